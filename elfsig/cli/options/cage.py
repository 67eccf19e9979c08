"""``--cage``: examine every file in a process of its own that can do nothing else."""

from __future__ import annotations

from functools import wraps
from typing import Any, NamedTuple

import click

from elfsig.cli.options.common import Callback, with_options
from elfsig.errors import UsageError

SECONDS, MEBIBYTES = 300, 4096

_OPTIONS = (
    click.option("--cage", is_flag=True, help="Examine each file in a confined process of its own."),
    click.option(
        "--cage-time",
        type=click.IntRange(min=1),
        metavar="SECONDS",
        help=f"Processor time for each file in its cage (default: {SECONDS}); by the clock, four times that.",
    ),
    click.option(
        "--cage-memory",
        type=click.IntRange(min=16),
        metavar="MIB",
        help=f"Memory for each file in its cage (default: {MEBIBYTES}).",
    ),
)


class CageWish(NamedTuple):
    """The values of ``--cage``, ``--cage-time`` and ``--cage-memory``."""

    seconds: int = SECONDS
    mebibytes: int = MEBIBYTES


def cage_options(callback: Callback) -> Callback:
    """Adds ``--cage --cage-time --cage-memory``; the callback gets one argument ``cage``, None without."""

    @wraps(callback)
    def wrapped(*args: Any, cage: bool, cage_time: int | None, cage_memory: int | None, **more: Any) -> Any:
        if not cage and (cage_time or cage_memory):
            raise UsageError("--cage-time and --cage-memory need --cage")
        wish = CageWish(cage_time or SECONDS, cage_memory or MEBIBYTES) if cage else None
        return callback(*args, cage=wish, **more)

    return with_options(wrapped, _OPTIONS)
