"""Commands that write, ended with SIGKILL: nothing is lost, nothing is half, and the next run completes it.

``python -m tests.world`` tries two hundred points of each command.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.world.kills import Outcome, Verb, differences, survive, table
from tests.world.verbs import VERBS

POINTS = 6


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_a_killed_command_leaves_whole_files_and_can_be_run_again(verb: Verb, tmp_path: Path) -> None:
    outcome = survive(verb, tmp_path, POINTS)
    assert outcome.faults == ()
    assert outcome.ended, "it was never ended early"


def test_what_is_lost_or_half_is_seen(tmp_path: Path) -> None:
    """The judge itself: files that are neither old nor new, missing, or left over."""
    before = {"a": ("file", 0o644, b"old"), "b": ("file", 0o644, b"same")}
    after = {"a": ("file", 0o644, b"new"), "b": ("file", 0o644, b"same"), "c": ("file", 0o600, b"made")}
    assert not list(differences(before, before, after)) and not list(differences(after, before, after))
    assert list(differences({"a": ("file", 0o644, b"ne"), "b": before["b"]}, before, after))
    assert list(differences({"a": ("file", 0o600, b"new"), "b": before["b"]}, before, after))
    assert list(differences({"a": before["a"]}, before, after))
    assert list(differences({**before, "d": after["c"]}, before, after))
    assert not list(differences({**before, ".d.elfsig-tmp": after["c"]}, before, after))


def test_the_table_of_tried_and_survived() -> None:
    outcomes = [
        Outcome("sign", 10, 8, ()),
        Outcome("strip", 10, 9, ("call 3: lost", "call 3: left", "call 4: x")),
    ]
    _, *rows = (line.split() for line in table(outcomes))
    assert rows == [["sign", "10", "8", "10"], ["strip", "10", "9", "8"], ["all", "20", "17", "18"]]
