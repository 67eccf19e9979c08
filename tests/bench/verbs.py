"""What people run beside a plain ``verify`` of a tree, as a ratio to it: keys from an image, JSON, audit, a
simulated kernel."""

from __future__ import annotations

import os
import time
from functools import partial
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509 import load_der_x509_certificate

from tests.bench.floor import TAIL
from tests.bench.measure import Row, elfsig_command, medians, peak_memory, run
from tests.bench.workload import Workload

MANY, FEW = 30_000, 500
"""Files of the trees on which the memory of ``audit`` is compared."""

DISTINCT = 60
"""Modules that are hard-linked again and again to make these trees."""


def rows(work: Workload) -> list[Row]:
    """Each against ``verify`` of the same tree with the certificate, as text."""
    elfsig, tree = elfsig_command(), work.tree
    trust: list[str | Path] = ["--trust", work.certificate]
    jobs: dict[str, list[str | Path]] = {
        "verify": ["verify", tree, *trust],
        "image": ["verify", tree, "--trust", work.vmlinuz],
        "jsonl": ["verify", "--jsonl", tree, *trust],
        "audit": ["audit", tree, *trust],
        "kernel": ["verify", "--kernel", "auto", tree, *trust],
        "list": ["list", "--jsonl", tree],
        "keys": ["keys", "list", work.vmlinuz],
    }
    timed = {name: partial(run, [*elfsig, *command]) for name, command in jobs.items()}
    taken = medians({**timed, "values": partial(_values, work)}, runs=5)
    plain, what, cores = taken["verify"], f"{len(work.modules)} modules", len(os.sched_getaffinity(0))
    least = f"its floor: elfsig keys list vmlinuz, then the RSA values divided by {cores}"
    return [
        Row(f"elfsig verify, {what}, key from vmlinuz", "verify", taken["image"], plain, 1.4),
        Row(least, "verify", taken["keys"] + taken["values"] / cores, plain, None),
        Row(f"elfsig verify --jsonl, {what}", "verify", taken["jsonl"], plain, 1.35),
        Row(f"elfsig audit, {what}", "verify", taken["audit"], plain, 1.35),
        Row(f"elfsig verify --kernel auto, {what}", "verify", taken["kernel"], plain, 1.55),
        Row(f"elfsig list --jsonl, {what}", "verify", taken["list"], plain, 0.75),
        _memory_of_audit(work),
    ]


def _values(work: Workload) -> float:
    """Seconds that checking the RSA values of all modules takes, in process: one value again and again."""
    key = load_der_x509_certificate(work.certificate.read_bytes()).public_key()
    assert isinstance(key, RSAPublicKey)
    data, size = work.modules[0].read_bytes(), key.key_size // 8
    length = int.from_bytes(data[-32:-28], "big")
    digest, value = sha256(data[: -TAIL - length]).digest(), data[-TAIL - size : -TAIL]
    scheme, pad = Prehashed(SHA256()), PKCS1v15()
    start = time.perf_counter()
    for _ in work.modules:
        key.verify(value, digest, pad, scheme)
    return time.perf_counter() - start


def _memory_of_audit(work: Workload) -> Row:
    """The peak for many files against that for few: nothing may be kept for each file."""
    peaks = {}
    for count in (FEW, MANY):
        tree = _linked(work, count)
        options: list[str | Path] = ["--trust", work.certificate, "--ignore", "misnamed"]
        peaks[count] = peak_memory([*elfsig_command(), "audit", tree, *options]) / 1e6
    job = f"elfsig audit, {MANY} hard-linked files: peak memory"
    return Row(job, f"{FEW} files", peaks[MANY], peaks[FEW], 1.15, unit="MB")


def _linked(work: Workload, count: int) -> Path:
    """A tree of ``count`` names of DISTINCT modules, a hundred in a folder."""
    chosen = sorted(work.modules, key=lambda path: path.stat().st_size)[: 2 * DISTINCT : 2]
    tree = work.scratch / f"linked-{count}"
    originals = work.scratch / "originals"
    originals.mkdir(exist_ok=True)
    for path in chosen:
        copy = originals / path.name
        if not copy.exists():
            copy.write_bytes(path.read_bytes())
    for number in range(count):
        folder, name = tree / f"{number // 100:04}", chosen[number % DISTINCT].name
        folder.mkdir(parents=True, exist_ok=True)
        os.link(originals / name, folder / f"{number}-{name}")
    return tree
