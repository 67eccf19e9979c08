"""Verifying modules of the section eras, whose digests are canonical, against SHA-1 of the same bytes."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import dsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.bench.measure import Row, elfsig_command, medians, run
from tests.bench.workload import SIGNED, Workload, unsigned

FORMATS = {"redhat": "fileorder", "note": "sorted"}
"""Formats, and the coverage of each."""

FLOOR = """
import hashlib, sys, time
paths = sys.stdin.read().splitlines()
start = time.perf_counter()
for path in paths:
    with open(path, "rb") as stream:
        hashlib.sha1(stream.read()).digest()
print(time.perf_counter() - start)
"""
"""Reads and hashes each file of standard input; prints the seconds, start-up not counted."""


def rows(work: Workload) -> list[Row]:
    """``verify`` of modules signed with DSA, as kernels of these eras have them, with OpenPGP signatures."""
    key, ring = work.scratch / "dsa.pem", work.scratch / "ring.gpg"
    private = dsa.generate_private_key(1024)
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    run([*elfsig_command(), "keys", "openpgp", key, "-o", ring])
    return [_row(work, format_id, key, ring) for format_id in FORMATS]


def _row(work: Workload, format_id: str, key: Path, ring: Path) -> Row:
    source, tree = unsigned(work, SIGNED), work.scratch / f"signed-{format_id}"
    options: list[str | Path] = ["--format", format_id, "--coverage", FORMATS[format_id], "--key", key]
    run([*elfsig_command(), "sign", "-q", source, *options, "--output-dir", tree])
    files = sorted(tree.iterdir())
    taken = medians(
        {
            "verify": partial(run, [*elfsig_command(), "verify", tree, "--trust", ring]),
            "floor": partial(_floor, files),
        },
        runs=3,
    )
    what = f"elfsig verify, {len(files)} modules in the format {format_id}, DSA"
    return Row(what, "SHA-1 of the same bytes", taken["verify"], taken["floor"], 4)


def _floor(files: list[Path]) -> float:
    lines = "\n".join(map(str, files))
    done = subprocess.run(
        [sys.executable, "-c", FLOOR], input=lines, capture_output=True, text=True, check=True
    )
    return float(done.stdout)
