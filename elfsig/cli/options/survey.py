"""The options of ``survey``: what reading one file may cost, and how it is confined."""

from __future__ import annotations

from functools import wraps
from typing import Any, Final, NamedTuple

import click

from elfsig.batch.survey.file import Limits
from elfsig.cli.options.common import Callback, with_options
from elfsig.cli.options.files import output_type, source_name

SIZE, MEMBERS, DEPTH, SECONDS, MEBIBYTES = 64 << 30, 4_000_000, 16, 3600, 4096
FOUND = "found"
"""The word that ``--keys`` takes besides a source."""


class SurveyWish(NamedTuple):
    """The budget of one outermost file, and its cage."""

    limits: Limits
    seconds: int
    mebibytes: int
    caged: bool


class Reports(NamedTuple):
    """Where reports besides the standard output go."""

    html: str | None
    sarif: str | None
    parquet: str | None


def _number(name: str, default: int, metavar: str, text: str) -> Any:
    return click.option(
        name, type=click.IntRange(min=1), default=default, metavar=metavar, show_default=True, help=text
    )


BUDGET: Final = (
    _number("--max-size", SIZE, "BYTES", "Maximum bytes to unpack from one file, all layers together."),
    _number("--max-members", MEMBERS, "N", "Maximum members of all containers in one file."),
    _number("--max-depth", DEPTH, "N", "Maximum depth of containers in each other."),
    _number("--max-seconds", SECONDS, "SECONDS", "Maximum time for one file."),
    _number("--max-memory", MEBIBYTES, "MIB", "Maximum memory for one file."),
    click.option("--no-cage", is_flag=True, help="Read files in this process, not in a confined one."),
)


def budget_options(callback: Callback) -> Callback:
    """Adds the limits and ``--no-cage``; the callback gets one argument ``budget``."""

    @wraps(callback)
    def wrapped(
        *args: Any,
        max_size: int,
        max_members: int,
        max_depth: int,
        max_seconds: int,
        max_memory: int,
        no_cage: bool,
        **more: Any,
    ) -> Any:
        limits = Limits(max_size, max_members, max_depth, float(max_seconds))
        wish = SurveyWish(limits, max_seconds, max_memory, not no_cage)
        return callback(*args, budget=wish, **more)

    return with_options(wrapped, BUDGET)


against_option: Final = click.option(
    "--against",
    multiple=True,
    metavar="SRC",
    type=source_name,
    help="Compare with the vendor's modules in SRC: a package, a tree, a directory of packages; repeatable.",
)


def report_options(callback: Callback) -> Callback:
    """Adds ``--html F``, ``--sarif F`` and ``--parquet F``; the callback gets one argument ``reports``."""

    @click.option("--html", type=output_type, metavar="F", help="Also write a report as one HTML page to F.")
    @click.option("--sarif", type=output_type, metavar="F", help="Also write SARIF 2.1.0 to F.")
    @click.option("--parquet", type=output_type, metavar="F", help="Also write a table as Parquet to F.")
    @wraps(callback)
    def wrapped(*args: Any, html: str | None, sarif: str | None, parquet: str | None, **more: Any) -> Any:
        return callback(*args, reports=Reports(html, sarif, parquet), **more)

    return wrapped
