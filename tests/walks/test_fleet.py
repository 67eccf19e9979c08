"""Two hundred hosts' module trees, as a backup keeps them: equal files are hard links."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import Counter
from pathlib import Path

import pytest

import corpus
from tests.support.debian import debian_modules
from tests.support.notes import Note
from tests.walks.steps import Job

HOSTS, MODULES = 200, 6
KEY, CERT = corpus.KEYS / "signer.key.pem", corpus.KEYS / "signer.cert.pem"
BELOW = "lib/modules/6.1.0/kernel"


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """One host as it should be, and 199 copies; five hosts differ, each in its own way."""
    job = Job(tmp_path)
    first = tmp_path / "hosts/h000" / BELOW
    first.mkdir(parents=True)
    for path in sorted(debian_modules("amd64"), key=lambda each: each.stat().st_size)[:MODULES]:
        shutil.copyfile(path, first / path.name)
    # Debian signs its modules: the fleet's own key takes the place of Debian's.
    how = ("--format", "pkcs7", "--key", KEY, "--cert", CERT, "--replace", "--in-place", "-q")
    job("sign", *how, "hosts/h000")
    for number in range(1, HOSTS):
        folder = tmp_path / f"hosts/h{number:03}" / BELOW
        folder.mkdir(parents=True)
        for path in first.iterdir():
            os.link(path, folder / path.name)
    return tmp_path / "hosts"


def own(path: Path, content: bytes) -> None:
    """Give one host a file of its own in place of the link."""
    path.unlink()
    path.write_bytes(content)


def test_what_differs_among_two_hundred_is_found(fleet: Path, tmp_path: Path, note: Note) -> None:
    job = Job(tmp_path)
    total = HOSTS * MODULES
    began = time.monotonic()
    job("verify", "--trust", CERT, "hosts", says=(f"{total} files: {total} valid",))
    note(f"fleet: {(time.monotonic() - began) / HOSTS * 1000:.1f} ms a host of {MODULES} modules")
    baseline = job("verify", "--json", "--trust", CERT, "hosts/h000")
    (tmp_path / "baseline.json").write_text(baseline.out)

    names = sorted(path.name for path in (fleet / "h000" / BELOW).iterdir())
    good = (fleet / "h000" / BELOW / names[2]).read_bytes()
    plain = fleet / "h017" / BELOW / names[1]
    own(plain, plain.read_bytes())
    job("strip", "--in-place", plain)
    own(fleet / "h042" / BELOW / names[2], good[:300] + bytes([good[300] ^ 1]) + good[301:])
    own(fleet / "h099" / BELOW / names[3], CERT.read_bytes())
    (fleet / "h120" / BELOW / names[4]).unlink()
    (fleet / "h150" / BELOW / "extra.ko").write_bytes(good)

    ran = job("verify", "--jsonl", "--trust", CERT, "hosts", code=1)
    lines = [json.loads(line) for line in ran.out.splitlines()]
    words = Counter(line["verdict"] for line in lines)
    assert words == {"valid": total - 3, "unsigned": 1, "invalid": 1, None: 1}
    bad = {line["path"].split("/")[1]: line for line in lines if line["verdict"] != "valid"}
    assert set(bad) == {"h017", "h042", "h099"} and bad["h099"]["error"]["code"] == "not-a-module"
    assert all(len(line["sha256"]) == 64 for line in lines)

    # Host by host against the baseline: what is missing, new, changed.
    expect = ("--expect", "baseline.json")
    for host, code, word in (
        ("h000", 0, ""), ("h001", 0, ""), ("h017", 1, names[1]), ("h042", 1, names[2]), ("h120", 1, names[4]),
        ("h150", 1, "extra"),
    ):  # fmt: skip
        job("audit", "--trust", CERT, *expect, f"hosts/{host}", code=code, says=(word,) if word else ())
