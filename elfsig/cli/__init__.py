"""The command line: one module per sub-command, loaded only when it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run elfsig with ``args`` (default: those of the process) and exit with its exit code."""
    import gc

    # Imports make many objects and no garbage. The collector is on again when a command starts its work,
    # and leaves alone what is there by then.
    gc.disable()
    from elfsig.cli.app import elfsig

    elfsig.main(args, prog_name="elfsig")
