"""Signatures that are not in the module: ``--detached FILE``, ``--modarg STRING``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from elfsig.cli.options.common import path_type
from elfsig.errors import UsageError

if TYPE_CHECKING:
    from elfsig.verbs.verify.examine import Outside


def outside_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds ``--detached FILE`` and ``--modarg STRING``."""
    text = "Read the signature from a module argument (modsign=...)."
    with_argument = click.option("--modarg", metavar="STRING", help=text)(command)
    text = "Read the signature from FILE (such as a .p7s)."
    return click.option("--detached", metavar="FILE", type=path_type, help=text)(with_argument)


def outside_of(detached: str | None, modarg: str | None, single: bool) -> Outside | None:
    """The detached signature of the one file given. Raises UsageError, ReadError, ParseError."""
    if detached is None and modarg is None:
        return None
    if not single or (detached is not None and modarg is not None):
        raise UsageError("--detached and --modarg give one signature: use one of them, with exactly one FILE")
    from elfsig.opened.evidence import read
    from elfsig.verbs.verify.detached import from_argument, from_file

    return from_argument(modarg) if modarg is not None else from_file(read(detached or "").content)
