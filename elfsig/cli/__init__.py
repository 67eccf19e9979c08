"""The command line: one module per sub-command, loaded only when it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run elfsig with ``args`` (default: those of the process) and exit with its exit code."""
    from elfsig.cli.app import elfsig

    elfsig.main(args, prog_name="elfsig")
