"""The jobs for Slurm and Kubernetes, run as these would run them, and the library's survey in parts."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

import corpus
import elfsig
from elfsig.opened.remote import client
from tests.support.archives import tar
from tests.support.cli import CHECKOUT, environment
from tests.support.signed import CERT, made
from tests.support.system_dkms import executables

JOBS = CHECKOUT / "elfsig" / "data" / "integration"
UNSIGNED = corpus.content("amd64-2.6.39-uek.ko")
SIGNED = made(UNSIGNED, "pkcs7", "whole-file").content
PARTS = 3


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    root = tmp_path / "mirror"
    root.mkdir()
    for number in range(6):
        (root / f"p{number}.tar").write_bytes(tar(a_ko=SIGNED, b_ko=UNSIGNED))
    return root


def modules_in(folder: Path) -> Counter[str]:
    lines = [line for path in sorted(folder.glob("part-*.jsonl")) for line in path.read_text().splitlines()]
    return Counter(each["path"] for each in map(json.loads, lines) if each["record"] == "module")


def expected(mirror: Path) -> Counter[str]:
    return Counter(f"{path}!/{name}.ko" for path in sorted(mirror.glob("*.tar")) for name in "ab")


def job(words: Sequence[str | Path], folder: Path, **variables: str | Path) -> int:
    """Run the command of a job, with its variables and with elfsig in the PATH."""
    more = {name: str(value) for name, value in variables.items()}
    path = f"{executables(folder / 'bin')}:/usr/bin:/bin"
    done = subprocess.run(
        list(map(str, words)), env=environment({**more, "PATH": path}), capture_output=True, text=True,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return done.returncode


def test_the_slurm_array(mirror: Path, tmp_path: Path) -> None:
    out, script = tmp_path / "out", JOBS / "survey-slurm.sh"
    array = {"SLURM_ARRAY_TASK_MIN": "0", "SLURM_ARRAY_TASK_MAX": "2", "SLURM_ARRAY_TASK_STEP": "1"}
    for part in range(PARTS):
        where: dict[str, str | Path]
        where = {"SRC": mirror, "OUT": out, "TRUST": CERT, "SLURM_ARRAY_TASK_ID": str(part)}
        assert job([script], tmp_path, **array, **where) == 0
    assert modules_in(out) == expected(mirror)
    assert (out / "manifest.json").exists()
    where["SRC"] = tmp_path / "other"
    assert job([script], tmp_path, **array, **where) == 2, "another question"
    assert job([script], tmp_path, **{**array, "SLURM_ARRAY_TASK_MIN": "1"}, **where) == 2
    where["OUT"] = Path("/proc/nowhere")
    assert job([script], tmp_path, **array, **where) not in (0, 1)


def test_the_kubernetes_job(mirror: Path, tmp_path: Path) -> None:
    spec: dict[str, Any] = yaml.safe_load((JOBS / "survey-kubernetes.yaml").read_text())
    assert (spec["apiVersion"], spec["kind"]) == ("batch/v1", "Job")
    assert spec["spec"]["completionMode"] == "Indexed"
    (container,) = spec["spec"]["template"]["spec"]["containers"]
    variables = {each["name"]: each["value"] for each in container["env"]}
    assert variables["PARTS"] == str(spec["spec"]["completions"])
    out = tmp_path / "out"
    here: dict[str, str | Path] = {"SRC": mirror, "OUT": out, "PARTS": str(PARTS)}
    assert here.keys() == variables.keys()
    words = [*container["command"], *container["args"]]
    for part in range(PARTS):
        assert job(words, tmp_path, **here, JOB_COMPLETION_INDEX=str(part)) == 0
    assert modules_in(out) == expected(mirror)
    assert job(words, tmp_path, **here, JOB_COMPLETION_INDEX=str(PARTS)) == 2


# --------------------------------------------------------------------------- the library


def test_the_library_makes_parts(mirror: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (first,) = elfsig.survey_parts(mirror, PARTS, out, trust=CERT, part=1)
    assert isinstance(first, elfsig.PartReceipt)
    receipts = list(elfsig.survey_parts(mirror, PARTS, out, trust=CERT))
    assert receipts[1] == first and [each.part for each in receipts] == [0, 1, 2]
    assert sum((each.counts for each in receipts), elfsig.PartCounts({})).verdicts == {
        "unsigned": 6, "valid": 6,
    }  # fmt: skip
    assert modules_in(out) == expected(mirror)
    assert json.loads((out / "manifest.json").read_text())["totals"]["modules"] == 12
    assert [elfsig.PartReceipt.parse(p.read_bytes()) for p in sorted(out.glob("*.receipt.json"))] == receipts


def test_the_library_refuses_another_question(mirror: Path, tmp_path: Path) -> None:
    list(elfsig.survey_parts(mirror, PARTS, tmp_path / "out", part=0))
    asked: list[dict[str, Any]] = [{"trust": CERT}, {"found_keys": True}]
    for more in asked:
        with pytest.raises(elfsig.UsageError) as caught:
            elfsig.survey_parts(mirror, PARTS, tmp_path / "out", **more)
        assert caught.value.code == "other-question"
    for parts, part in ((0, None), (3, 3), (3, -1)):
        with pytest.raises(elfsig.UsageError):
            elfsig.survey_parts(mirror, parts, tmp_path / "x", part=part)


def test_the_library_raises_what_kept_a_part_from_being_written(
    mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Any, name: str) -> Any:
        raise elfsig.WriteError("no room")

    monkeypatch.setattr("elfsig.batch.parts.store.Folder.replacing", full)
    with pytest.raises(elfsig.WriteError):
        list(elfsig.survey_parts(mirror, PARTS, tmp_path / "out"))
    client.close()
