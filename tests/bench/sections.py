"""Verifying modules of the section eras, whose digests are canonical, against SHA-1 of the same bytes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import dsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from elfsig.coverages.canonical import FILEORDER, SORTED
from elfsig.elf.image import Image
from tests.bench.measure import Row, elfsig_command, medians, run
from tests.bench.workload import SIGNED, Workload, unsigned

FORMATS = {"redhat": "fileorder", "note": "sorted"}
"""Formats, and the coverage of each."""

COVERAGES = {coverage.id: coverage for coverage in (FILEORDER, SORTED)}

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
    """``verify`` of modules signed with DSA, as kernels of these eras have them, with OpenPGP signatures; and
    what the values and the streams take without anything around them."""
    key, ring = work.scratch / "dsa.pem", work.scratch / "ring.gpg"
    private = dsa.generate_private_key(1024)
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    run([*elfsig_command(), "keys", "openpgp", key, "-o", ring])
    return [row for format_id in FORMATS for row in _rows(work, format_id, key, ring)]


def _rows(work: Workload, format_id: str, key: Path, ring: Path) -> list[Row]:
    source, tree = unsigned(work, SIGNED), work.scratch / f"signed-{format_id}"
    options: list[str | Path] = ["--format", format_id, "--coverage", FORMATS[format_id], "--key", key]
    run([*elfsig_command(), "sign", "-q", source, *options, "--output-dir", tree])
    files = sorted(tree.iterdir())
    taken = medians(
        {
            "verify": partial(run, [*elfsig_command(), "verify", tree, "--trust", ring]),
            "values": partial(_values, key, len(files)),
            "streams": partial(_streams, FORMATS[format_id], files),
            "floor": partial(_floor, files),
        },
        runs=3,
    )
    cores, against = len(os.sched_getaffinity(0)), "SHA-1 of the same bytes"
    what = f"elfsig verify, {len(files)} modules in the format {format_id}, DSA"
    values = f"its floor: {len(files)} DSA values; divided by {cores}"
    streams = f"its floor: the streams of coverage {FORMATS[format_id]}, hashed; divided by {cores}"
    return [
        Row(what, against, taken["verify"], taken["floor"], 4),
        Row(values, against, taken["values"] / cores, taken["floor"], None),
        Row(streams, against, taken["streams"] / cores, taken["floor"], None),
    ]


def _values(key: Path, count: int) -> float:
    """Seconds that checking ``count`` values takes, in process."""
    private = load_pem_private_key(key.read_bytes(), None)
    assert isinstance(private, dsa.DSAPrivateKey)
    public, digest, scheme = private.public_key(), bytes(20), Prehashed(SHA1())
    value = private.sign(digest, scheme)
    start = time.perf_counter()
    for _ in range(count):
        public.verify(value, digest, scheme)
    return time.perf_counter() - start


def _streams(coverage_id: str, files: list[Path]) -> float:
    """Seconds from the bytes of each file to the digest of what its signature covers, in process."""
    coverage = COVERAGES[coverage_id]
    contents = [path.read_bytes() for path in files]
    start = time.perf_counter()
    for content in contents:
        coverage.message(Image(content), None).feed(hashlib.sha1(usedforsecurity=False))
    return time.perf_counter() - start


def _floor(files: list[Path]) -> float:
    lines = "\n".join(map(str, files))
    done = subprocess.run(
        [sys.executable, "-c", FLOOR], input=lines, capture_output=True, text=True, check=True
    )
    return float(done.stdout)
