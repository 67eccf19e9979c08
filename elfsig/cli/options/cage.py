"""``--cage``: examine every file in a process of its own that can do nothing else."""

from __future__ import annotations

import re
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from elfsig.cli import exit_codes
from elfsig.cli.options.common import Callback, with_options
from elfsig.cli.reading import Result
from elfsig.cli.settings import Settings, complain, visible
from elfsig.errors import UsageError
from elfsig.opened.walk import WalkedFile

if TYPE_CHECKING:
    from elfsig.batch.confined import Cage, ConfinedExaminer

SECONDS, MEBIBYTES = 300, 4096
_CLOCK = 4.0
"""Seconds by the clock for each of processor time: the machine may be busy."""

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
_COLOR = re.compile(r"(\x1b\[[0-9;]*m)")


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


def confined(wish: CageWish | None, settings: Settings, machine: bool) -> ConfinedExaminer[Result] | None:
    """What examines files in cages; None without ``--cage``. ``machine``: results are JSON objects."""
    if wish is None:
        return None
    from elfsig.batch.confined import ConfinedExaminer

    cage = cage_of(wish, settings)
    return ConfinedExaminer(cage, list, _object_of if machine else _lines_of)


def cage_of(wish: CageWish, settings: Settings) -> Cage:
    """A cage with these limits.

    Prints a warning for each layer that this machine lacks, and notes for the ``run`` of JSON documents which
    are held.
    """
    from elfsig.batch.confined import Cage, Limits

    limits = Limits(processor=wish.seconds, clock=_CLOCK * wish.seconds, memory=wish.mebibytes << 20)
    cage = Cage(limits)
    held = cage.held
    for layer, reason in held.missing:
        complain(f"the cage does without {layer}: {reason}", word="warning: ")
    settings.run["cage"] = {
        "held": list(held.held),
        "missing": [{"layer": layer, "reason": reason} for layer, reason in held.missing],
    }
    return cage


def safe_lines(text: str) -> str:
    """Text from a confined process: nothing but colours and line ends controls the terminal."""
    return "\n".join(map(_safe, text.split("\n")))


def _object_of(value: Any, entry: WalkedFile) -> Result:
    """The result with a JSON object as its text, written again: a child may send anything."""
    from elfsig.model.json_form import checked_object

    result = _result(value, entry)
    return result._replace(text=checked_object(result.text)) if result.text else result


def _lines_of(value: Any, entry: WalkedFile) -> Result:
    """The result with text for people: nothing but colours controls the terminal."""
    result = _result(value, entry)
    return result._replace(text=safe_lines(result.text))


def _safe(line: str) -> str:
    return "".join(part if at % 2 else visible(part) for at, part in enumerate(_COLOR.split(line)))


def _result(value: Any, entry: WalkedFile) -> Result:
    """The result that a child reported. Raises ValueError for anything else."""
    try:
        _, text, word, code, complaint = value
    except TypeError:
        raise ValueError from None
    known = isinstance(text, str) and isinstance(word, str) and code in exit_codes.PRECEDENCE
    if not known or not (complaint is None or isinstance(complaint, str)):
        raise ValueError
    return Result(entry.path, text, visible(word), code, complaint)
