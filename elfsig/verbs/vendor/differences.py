"""What differs between a changed module and the vendor's: a comparison, cut to what a record can hold."""

from __future__ import annotations

from typing import Any

from elfsig.elf.diff import Difference, Weight
from elfsig.errors import ElfsigError
from elfsig.model.json_form import plain, readable
from elfsig.opened.module import Module
from elfsig.verbs.inspect.compare import compare
from elfsig.verbs.inspect.comparison import Conclusion, difference_object
from elfsig.verbs.survey.shapes import Each, OneOf, check_of

Json = dict[str, Any]

MOST_NAMES = 50
"""Sections, and functions or objects, that are named."""
MOST_DIFFERENCES = 50
MOST_CHANGES = 10
"""Stretches of bytes of one section."""
NAMES = ("the vendor's", "this file")
"""What the sentence calls the two."""

_check = check_of({
    "conclusion": OneOf((None, *(each.value for each in Conclusion))), "text": OneOf((None, str)),
    "sections": Each(str), "symbols": Each(str), "totals": dict, "differences": Each(dict),
    "error": OneOf((None, {"code": str, "text": str, "offset": OneOf((None, int))})),
})  # fmt: skip


def differences(vendor: Module, own: Module) -> Json:
    """The member ``comparison``, as ``elfsig compare`` finds it. ``sections`` are those whose bytes differ,
    ``symbols`` the functions and objects that they are in. Never raises because of their content."""
    found = compare(vendor, own, NAMES)
    loaded = [each for each in found.differences if each.weight is not Weight.LAYOUT]
    return {
        "conclusion": found.conclusion.value,
        "text": readable(found.sentence),
        "sections": _first(each.name for each in loaded if each.kind == "section"),
        "symbols": _first(change.symbol for each in loaded for change in each.changes if change.symbol),
        "totals": {name: plain(value) for name, value in found.totals.items()},
        "differences": [_object(each) for each in found.differences[:MOST_DIFFERENCES]],
        "error": None,
    }


def not_compared(fault: ElfsigError) -> Json:
    """The member of a module that could not be compared."""
    nothing: Json = {"conclusion": None, "text": None, "sections": [], "symbols": [], "totals": {}}
    error = {"code": fault.code, "text": fault.text, "offset": fault.offset}
    return {**nothing, "differences": [], "error": error}


def is_comparison(value: Any) -> bool:
    """Whether a JSON value, from a process that may have been taken over, is such a member."""
    return _check(value)


def _first(names: Any) -> list[str]:
    return [readable(each) for each in list(dict.fromkeys(names))[:MOST_NAMES]]


def _object(each: Difference) -> Json:
    return difference_object(each._replace(changes=each.changes[:MOST_CHANGES]))
