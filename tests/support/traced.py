"""Which tests branch coverage is taken from: ``pytest --part traced``, and ``--part rest`` for the others.

Tracing makes tests several times slower, so only those are traced that call elfsig in their own process.
What measures time, boots kernels, goes through thousands of real modules, or judges documents, packages and
other programs is the rest. Each test is in one of the two parts, so both together run the suite once.
"""

from __future__ import annotations

from pathlib import Path

import pytest

OPTION = "--part"

TRACED, REST = "traced", "rest"

LEFT_OUT = {
    "about kernels": ("booted_kernel", "debian_kernels", "real_modules", "secure_boot", "authentic"),
    "about documents": ("documents", "readme", "readme_eras", "site", "contributing", "examples"),
    "about the sources": ("texts", "house", "floors", "typing", "packaging", "dkms", "paths", "tour"),
    "measure time": ("bench",),
    "run other programs": ("legacy_tools", "integration", "gpg", "library_programs", "dissect_plugin"),
    "run elfsig as a program": ("killed", "world", "survey_cluster", "fuzz"),
    "take minutes": ("prove", "isolation", "keys_recover", "splice"),
}
"""Test files (``tests/test_NAME.py``) that are not traced, by what they do."""

WORDS = (
    "real", "hundreds", "two_builds", "map_is_fair", "a_tree_is_reported_as_with_keys",
    "told_of_as_its_files", "a_hundred_thousand", "memory_does_not_grow", "row_groups_are_bounded",
    "reads_what_linux_reads", "damage_is_never_silence", "no_entry_breaks", "damage_gives_a_parse_error",
    "no_type_depends", "no_change_is_a_crash", "every_truncation", "an_array", "drift", "the_examples_run",
    "kills_at_any_moment", "an_exit_is_recorded",
)  # fmt: skip
"""Words in the names of tests that are not traced: they go through whole trees of modules or try thousands of
inputs, which takes up to seven times as long when it is traced, and reach what other tests reach; the last
one ends its process by the call that tracing replaces."""

MARKS = ("timed", "booted")
"""Marks of tests that are not traced."""

_FILES = frozenset(f"test_{name}.py" for names in LEFT_OUT.values() for name in names)


def left_out() -> list[Path]:
    """The test files that are not traced."""
    tests = Path(__file__).resolve().parent.parent
    return [tests / name for name in sorted(_FILES)]


def part_of(item: pytest.Item) -> str:
    """The part that a test belongs to: :data:`TRACED` or :data:`REST`."""
    if item.path.name in _FILES or any(item.get_closest_marker(mark) for mark in MARKS):
        return REST
    return REST if any(word in item.nodeid for word in WORDS) else TRACED


def keep(part: str, items: list[pytest.Item]) -> list[pytest.Item]:
    """Leave the tests of ``part`` in ``items``; those taken out."""
    others = [item for item in items if part_of(item) != part]
    items[:] = [item for item in items if part_of(item) == part]
    return others
