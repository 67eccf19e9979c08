"""Commands that write, ended with SIGKILL: nothing is lost, nothing is half, and the next run completes it.

``python -m tests.world`` tries two hundred points of each command.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.run import run
from tests.world import kills
from tests.world.kills import Outcome, Verb, differences, survive, table
from tests.world.verbs import VERBS

POINTS = 6


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_a_killed_command_leaves_whole_files_and_can_be_run_again(verb: Verb, tmp_path: Path) -> None:
    outcome = survive(verb, tmp_path, POINTS)
    assert outcome.faults == ()
    assert outcome.ended, "it was never ended early"


def test_a_new_key_pair_is_whole_or_not_there_whenever_it_was_killed(tmp_path: Path) -> None:
    """No private key is in a temporary file, or without its certificate; and the next run goes on."""
    verb = next(each for each in VERBS if each.name == "keys generate -o")
    trial = kills.Trial(verb, tmp_path)
    number = kills.calls(trial)
    for at in range(number):
        _, faults = trial.at(lambda at=at: kills._countdown(at))  # type: ignore[misc]
        assert faults == [] and (trial.work / "signing.key").exists(), at
    assert number > 10


def test_the_files_of_others_are_not_taken_for_those_of_a_killed_run(tmp_path: Path) -> None:
    (tmp_path / "k.crt").write_text("mine")
    listed = tmp_path / ".elfsig-keys.000000000000.elfsig-tmp"
    listed.write_text(f"- k.key\n{'0' * 64} k.crt\n{'0' * 64} ../other\n")
    ran = run("keys", "generate", "-q", "--type", "p384", "-o", tmp_path / "k")
    assert ran.code == 1 and "k.crt already exists" in ran.err
    assert (tmp_path / "k.crt").read_text() == "mine" and not (tmp_path / "k.key").exists()
    assert not listed.exists()


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
