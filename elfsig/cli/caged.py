"""Work in cages for the command line: their limits, what is said of them, and how their results are taken."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from elfsig.batch.confined import Cage, ConfinedExaminer, Limits
from elfsig.cli import exit_codes
from elfsig.cli.options.cage import CageWish
from elfsig.cli.options.common import Machine
from elfsig.cli.reading import Result
from elfsig.cli.settings import Settings, complain, visible
from elfsig.model.json_form import checked_object
from elfsig.opened.walk import WalkedFile

_CLOCK = 4.0
"""Seconds by the clock for each of processor time: the machine may be busy."""

_COLOR = re.compile(r"(\x1b\[[0-9;]*m)")


def examiner(wish: CageWish, settings: Settings, machine: Machine) -> ConfinedExaminer[Result]:
    """What examines each file in a cage. Results are JSON objects where ``machine`` wants them."""
    decode = partial(_object_of, machine) if machine.wanted else _lines_of
    return ConfinedExaminer(cage_of(wish, settings), list, decode)


def cage_of(wish: CageWish, settings: Settings) -> Cage:
    """A cage with these limits.

    Prints a warning for each layer that this machine lacks, and notes for the ``run`` of JSON documents which
    are held.
    """
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


def _object_of(machine: Machine, value: Any, entry: WalkedFile) -> Result:
    """The result with a JSON object as its text, written again: a child may send anything."""
    result = _result(value, entry)
    return result._replace(text=checked_object(result.text, machine.origin)) if result.text else result


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
