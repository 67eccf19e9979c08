"""``survey`` of a package, against unpacking it and verifying what is in it: processor time."""

from __future__ import annotations

import subprocess
from functools import partial
from pathlib import Path

from tests.bench.measure import Command, Row, elfsig_command, medians, peak_memory, processor, run
from tests.bench.tree import floor
from tests.bench.workload import Workload, tool

MEMORY = 200e6
"""Bytes that a survey of a package may hold, all its processes together."""


def rows(work: Workload) -> list[Row]:
    """A package with all modules and their kernel, as dpkg-deb makes it."""
    package = _package(work)
    survey: Command = [*elfsig_command(), "survey", package, "--trust", work.certificate, "--jsonl"]
    verify: Command = [*elfsig_command(), "verify", work.tree, "--trust", work.certificate, "--jsonl"]
    taken = medians(
        {
            "survey": partial(processor, partial(run, survey)),
            "verify": partial(processor, partial(run, verify)),
            "unpack": partial(processor, partial(_piped, package, "cat")),
            "hash": partial(processor, partial(_piped, package, "sha256sum")),
            "checks": partial(floor, work.certificate, work.modules),
        },
        runs=3,
    )
    what = f"elfsig survey of a .deb, {len(work.modules)} modules, processor time"
    unpacked = taken["verify"] + taken["unpack"]
    hashed = taken["hash"] + taken["checks"]
    return [
        Row(what, "elfsig verify, unpacked, and dpkg-deb --fsys-tarfile", taken["survey"], unpacked, 1.3),
        Row(what, "dpkg-deb --fsys-tarfile | sha256sum, and the floor", taken["survey"], hashed, 1.3),
        Row(
            "elfsig survey of a .deb: peak memory", "200 MB", peak_memory(survey) / 1e6, MEMORY / 1e6, 1,
            unit="MB",
        ),
    ]  # fmt: skip


def _package(work: Workload) -> Path:
    """The unpacked kernel package, packed again."""
    made = work.scratch / "linux-image.deb"
    root = work.vmlinuz.parents[1]
    staged = work.scratch / "deb"
    staged.mkdir()
    for name in ("boot", "lib"):
        if (root / name).exists():
            run(["cp", "-a", root / name, staged / name])
    (staged / "DEBIAN").mkdir()
    about = "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n"
    (staged / "DEBIAN/control").write_text(about)
    run([tool("dpkg-deb"), "-Zxz", "-z1", "--root-owner-group", "--build", staged, made])
    run(["rm", "-r", staged])
    return made


def _piped(package: Path, into: str) -> float:
    """Unpack a package into a program."""
    words = [tool("dpkg-deb"), "--fsys-tarfile", str(package)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as unpacking:
        subprocess.run([into], stdin=unpacking.stdout, stdout=subprocess.DEVNULL, check=True)
    return 0.0
