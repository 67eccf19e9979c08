"""The options of a survey in parts."""

from __future__ import annotations

from functools import wraps
from typing import Any, Final, NamedTuple

import click

from elfsig.batch.parts.division import MAX_PARTS, Form, checked
from elfsig.cli.options.common import Callback, path_type, with_options
from elfsig.errors import UsageError


class PartsWish(NamedTuple):
    """The values of the options; ``parts`` is None with ``check``, which looks at what is there."""

    parts: int | None
    output: str
    part: int | None
    form: Form
    scheduler: str | None
    check: bool


OPTIONS: Final = (
    click.option("--parts", type=click.IntRange(1, MAX_PARTS), metavar="N", help="Survey in N parts."),
    click.option(
        "-o", "output", type=path_type, metavar="DIR", help="Write the parts to DIR, a directory or a URL."
    ),
    click.option("--part", type=click.IntRange(min=0), metavar="K", help="Make only part K, from 0 to N-1."),
    click.option(
        "--as", "form", type=click.Choice(("jsonl", "parquet")), help="Form of the parts (default: jsonl)."
    ),
    click.option(
        "--scheduler", metavar="ADDRESS", help="Make the parts on the Dask cluster of tcp://HOST:PORT."
    ),
    click.option("--check", is_flag=True, help="Check the parts in DIR against their receipts."),
)


def parts_options(callback: Callback) -> Callback:
    """Adds the options; the callback gets one argument ``parts``, None where no parts are wanted."""

    @wraps(callback)
    def wrapped(
        *args: Any,
        parts: int | None,
        output: str | None,
        part: int | None,
        form: Form | None,
        scheduler: str | None,
        check: bool,
        **more: Any,
    ) -> Any:
        wish = None
        if check:
            _refuse(("--parts", parts), ("--as", form), ("--scheduler", scheduler), to="--check")
            wish = PartsWish(None, _place(output, "--check"), part, "jsonl", None, True)
        elif parts is not None:
            checked(part, parts)
            if part is not None:
                _refuse(("--scheduler", scheduler), to="--part")
            wish = PartsWish(parts, _place(output, "--parts"), part, form or "jsonl", scheduler, False)
        else:
            _needs(("-o", output), ("--part", part), ("--as", form), ("--scheduler", scheduler))
        return callback(*args, parts=wish, **more)

    return with_options(wrapped, OPTIONS)


def _place(output: str | None, what: str) -> str:
    if output is None:
        raise UsageError(f"{what} needs -o DIR")
    return output


def _refuse(*given: tuple[str, object], to: str) -> None:
    for name, value in given:
        if value is not None:
            raise UsageError(f"{to} and {name} cannot be combined")


def _needs(*given: tuple[str, object]) -> None:
    for name, value in given:
        if value is not None:
            raise UsageError(f"{name} needs --parts N")
