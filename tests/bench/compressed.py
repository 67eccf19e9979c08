"""Verifying compressed modules against their decompressor alone, on as many cores."""

from __future__ import annotations

import os
import shutil
from functools import partial
from pathlib import Path

from tests.bench.measure import Row, elfsig_command, medians, run
from tests.bench.tree import floor
from tests.bench.workload import SIGNED, Workload, tool

PACKERS = {"xz": ["--check=crc32", "--lzma2=dict=1MiB"], "zstd": ["-q", "--ultra", "-19"]}
"""How the kernel's build compresses modules (scripts/Makefile.modinst), but for zstd's long last level."""

SUFFIXES = {"xz": ".xz", "zstd": ".zst"}

UNPACK = 'tool=$1; cores=$2; shift 2; printf "%s\\0" "$@" | xargs -0 -P"$cores" -n 32 "$tool" -dcq >/dev/null'


NAMES = 4
"""Names of every compressed file in the tree: so many that the work outweighs the start of Python."""


def rows(work: Workload) -> list[Row]:
    """``verify`` of a tree of ``.ko.xz`` and one of ``.ko.zst``, and what no verifier in Python can save."""
    return [row for kind in PACKERS for row in _rows(work, kind)]


def _rows(work: Workload, kind: str) -> list[Row]:
    cores = len(os.sched_getaffinity(0))
    tree = packed(work, kind)
    files = sorted(tree.glob("*/*"))
    alone: list[str | Path] = ["sh", "-c", UNPACK, "sh", tool(kind), str(cores), *files]
    taken = medians(
        {
            "verify": partial(run, [*elfsig_command(), "verify", tree, "--trust", work.certificate]),
            "alone": partial(run, alone),
            "floor": partial(floor, work.certificate, files),
        },
        runs=5,
    )
    what, against = f"{len(files)} modules in {kind}", f"xargs -P{cores} {kind} -dc"
    bare = f"its floor: unpacked by Python's library, hashed, RSA; divided by {cores}"
    return [
        Row(f"elfsig verify, {what}", against, taken["verify"], taken["alone"], 1.2),
        Row(bare, against, taken["floor"] / cores, taken["alone"], None),
    ]


def packed(work: Workload, kind: str) -> Path:
    """A directory of SIGNED modules of all sizes, compressed by the outside tool, each NAMES times."""
    folder = work.scratch / kind / "0"
    folder.mkdir(parents=True)
    step = len(work.modules) / SIGNED
    for number in range(SIGNED):
        source = work.modules[int(number * step)]
        (folder / source.name).write_bytes(source.read_bytes())
    pack = 'tool=$1; shift; printf "%s\\0" "$@" | xargs -0 -P"$(nproc)" -n 16 $tool'
    words = " ".join([tool(kind), *PACKERS[kind], "--rm" if kind == "zstd" else ""])
    run(["sh", "-c", pack, "sh", words, *sorted(folder.iterdir())])
    for number in range(1, NAMES):
        shutil.copytree(folder, folder.with_name(str(number)), copy_function=os.link)
    return folder.parent
