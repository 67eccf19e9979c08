"""Reading 4000 modules: ``list`` against modinfo, ``verify`` against its floor and openssl."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from tests.bench.measure import Row, elfsig_command, medians, run
from tests.bench.workload import Workload, tool

LOOP = 'tool=$1; shift; for each in "$@"; do "$tool" "$each"; done'
SAMPLED = 200
"""Modules on which the loop of openssl is measured; its time is extrapolated to all."""


def rows(work: Workload) -> list[Row]:
    """Listing and verifying."""
    return [*listing(work), *verifying(work)]


def listing(work: Workload) -> list[Row]:
    """``list`` of the tree against ``modinfo`` of every file, in one call and in a loop."""
    modinfo = tool("modinfo")
    taken = medians(
        {
            "list": partial(run, [*elfsig_command(), "list", work.tree]),
            "modinfo": partial(run, [modinfo, *work.modules]),
        },
        runs=7,
    )
    loop = medians({"loop": partial(run, ["sh", "-c", LOOP, "sh", modinfo, *work.modules])}, runs=1)
    what = f"elfsig list, {len(work.modules)} modules ({work.megabytes:.0f} MB)"
    return [
        Row(what, "modinfo, all in one call", taken["list"], taken["modinfo"], 1.5),
        Row(what, "modinfo, one call each", taken["list"], loop["loop"], 20, faster=True),
    ]


def verifying(work: Workload) -> list[Row]:
    """``verify`` of the tree, with the certificate and with the kernel image that holds it."""
    verify: list[str | Path] = [*elfsig_command(), "verify", work.tree, "--trust"]
    cores = len(os.sched_getaffinity(0))
    taken = medians(
        {
            "certificate": partial(run, [*verify, work.certificate]),
            "image": partial(run, [*verify, work.vmlinuz]),
            "floor": partial(floor, work.certificate, work.modules),
            "start": partial(
                run, [*elfsig_command(), "verify", work.modules[0], "--trust", work.certificate]
            ),
            "split": partial(split_floor, work, cores),
        },
        runs=5,
    )
    loop = openssl(work)
    what = f"elfsig verify, {len(work.modules)} modules, RSA-4096"
    each = f"openssl cms -verify each ({SAMPLED} measured, extrapolated)"
    least = f"its floor: verify of one module, and the floor in {cores} processes"
    return [
        Row(what, "single-threaded floor", taken["certificate"], taken["floor"], 1.2),
        Row(least, "single-threaded floor", taken["start"] + taken["split"], taken["floor"], None),
        Row(what, each, taken["certificate"], loop, 100, faster=True),
        Row(what + ", key from vmlinuz", each, taken["image"], loop, None, faster=True),
    ]


def floor(certificate: Path, modules: Sequence[Path]) -> float:
    """Seconds of the bare work on ``modules``; see tests.bench.floor."""
    lines = "\n".join(map(str, [certificate, *modules]))
    program = Path(__file__).with_name("floor.py")
    done = subprocess.run([sys.executable, program], input=lines, capture_output=True, text=True, check=True)
    return float(done.stdout)


def split_floor(work: Workload, count: int) -> float:
    """Seconds of the bare work when ``count`` processes share it: those of the one that takes longest."""
    with ThreadPoolExecutor(count) as pool:
        return max(pool.map(lambda nr: floor(work.certificate, work.modules[nr::count]), range(count)))


def openssl(work: Workload) -> float:
    """Seconds that a loop of ``openssl cms -verify`` over all modules would take, unpacking not counted."""
    step = len(work.modules) // SAMPLED
    folder = work.scratch / "openssl"
    folder.mkdir(exist_ok=True)
    certificate = folder / "certificate.pem"
    run([tool("openssl"), "x509", "-inform", "DER", "-in", work.certificate, "-out", certificate])
    seconds = 0.0
    for path in work.modules[::step][:SAMPLED]:
        data = path.read_bytes()
        size = int.from_bytes(data[-32:-28], "big")
        (folder / "content").write_bytes(data[: -40 - size])
        (folder / "signature").write_bytes(data[-40 - size : -40])
        options = ("-binary", "-inform", "DER", "-in", folder / "signature", "-content", folder / "content")
        trust = ("-certfile", certificate, "-noverify", "-out", "/dev/null")
        seconds += run([tool("openssl"), "cms", "-verify", *options, *trust])
    return seconds * len(work.modules) / SAMPLED
