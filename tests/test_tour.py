"""The tour that ships with the package: it runs, shows every era, and says so where an answer is wrong."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from click.testing import CliRunner

import corpus
from corpus import build
from elfsig.cli import tour_steps as tour
from elfsig.cli.commands.tour import command
from elfsig.cli.settings import Settings
from tests.support.cli import elfsig, environment


def test_tour_shows_the_main_job_over_five_eras() -> None:
    ran = elfsig("tour")
    assert (ran.code, "expected" in ran.err) == (0, False), ran.err
    for era in ("gkh", "redhat", "note", "x509", "pkcs7"):
        assert f": valid: {era} signature" in ran.out
    for verb in ("list", "verify", "strip", "sign"):
        assert f"\n$ elfsig {verb} " in ran.out
    assert "signed.ko is 6.1-pkcs7.ko, byte for byte" in ran.out
    assert "plain.ko: unsigned" in ran.out and "changed.ko: invalid" in ran.out


def test_samples_of_the_tour_are_those_of_the_corpus() -> None:
    wanted = {name: corpus.content(sample) for name, sample in build.TOUR_SAMPLES.items()}
    wanted |= {name: (corpus.FOLDER / path).read_bytes() for name, path in build.TOUR_FILES.items()}
    assert {path.name: path.read_bytes() for path in build.TOUR.iterdir()} == wanted


def test_a_wrong_answer_fails_the_tour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
    step = tour.STEPS[0]
    monkeypatch.setattr(tour, "STEPS", (dataclasses.replace(step, code=1),))
    ran = CliRunner().invoke(command, obj=Settings(), standalone_mode=False)
    assert ran.return_value == 1
    assert "exit code 0, expected 1" in ran.output


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    assert elfsig("tour", env={"TMPDIR": str(tmp_path)}).code == 0
    assert list(tmp_path.iterdir()) == []
