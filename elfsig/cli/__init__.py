"""The command line: one module for each sub-command, loaded only when that command runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from elfsig.cli.streams import open_missing


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run elfsig with ``args`` (default: those of the process) and exit with its exit code."""
    import gc

    # Imports create many objects and no garbage. The collector is enabled again when a command starts, and
    # ignores the objects that exist by then.
    gc.disable()
    open_missing()  # before anything else opens a file
    from elfsig.cli.app import elfsig

    elfsig.main(args, prog_name="elfsig")
