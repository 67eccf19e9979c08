"""Completion scripts for bash, zsh and fish: they ask elfsig itself what may follow."""

from __future__ import annotations

from typing import Final

from click.shell_completion import get_completion_class

from elfsig.cli.app import elfsig as program

NAME: Final = "elfsig"
VARIABLE: Final = "_ELFSIG_COMPLETE"

TARGETS: Final = {
    "bash": "share/bash-completion/completions/elfsig",
    "zsh": "share/zsh/site-functions/_elfsig",
    "fish": "share/fish/vendor_completions.d/elfsig.fish",
}
"""Where each shell looks, below the prefix of an installation."""


def script(shell: str) -> str:
    """The script for ``shell``, one of TARGETS."""
    kind = get_completion_class(shell)
    if kind is None:
        raise ValueError(f"no completion for {shell}")
    made = kind(program, {}, NAME, VARIABLE)
    return made.source_template % made.source_vars()
