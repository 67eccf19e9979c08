"""The time of every parser is linear in its input: on the worst shapes known, twice the input takes at most
2.3 times as long."""

from __future__ import annotations

import pytest

from tests.linear import archives, disks, keys, modules, parsers, reports, texts
from tests.linear.measure import Call, Shape, too_steep
from tests.support.cli import apart

NAMES = "from tests.linear import parsers; from tests.test_linear_time import TABLE, too_steep; "

TABLE: dict[str, tuple[Shape, dict[str, Call]]] = {
    f"{family}: {shape.name}": (shape, dict(calls))
    for family, shapes, calls in (
        ("ELF", modules.ELF_SHAPES, modules.CALLS),
        ("message", modules.MESSAGE_SHAPES, modules.CALLS),
        ("key source", keys.SHAPES, keys.CALLS),
        ("archive", archives.SHAPES, archives.CALLS),
        ("disk", disks.SHAPES, disks.CALLS),
        ("survey", reports.SURVEYS, reports.SURVEY_CALLS),
        ("audit", reports.LEDGERS, {"outputs": reports.audited}),
        ("shown", reports.PAGES, reports.SHOWN_CALLS),
        ("folder", reports.FOLDERS, reports.TREE_CALLS),
        *((f"text, {name}", texts.shapes(each), {name: each.call}) for name, each in texts.READERS.items()),
    )
    for shape in shapes
}


@pytest.mark.timed
@pytest.mark.parametrize("name", TABLE)
def test_twice_the_input_takes_twice_as_long(name: str) -> None:
    shape, calls = TABLE[name]
    if too_steep(calls, shape):
        assert apart(f"{NAMES}shape, calls = TABLE[{name!r}]; print(too_steep(calls, shape))") == "{}"


@pytest.mark.timed
def test_every_parser_is_in_the_table() -> None:
    """What has the name of a parser is run by a shape, or it is said why it is not."""
    code = "print(*sorted(set(parsers.parsers()) - parsers.ran(TABLE.values())), sep='\\n')"
    assert apart(NAMES + code).split() == sorted(parsers.NOT_MEASURED)
