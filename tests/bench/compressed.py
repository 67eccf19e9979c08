"""Verifying compressed modules against their decompressor alone, on as many cores."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from tests.bench.measure import Row, elfsig_command, medians, run
from tests.bench.workload import SIGNED, Workload, tool

PACKERS = {"xz": ["--check=crc32", "--lzma2=dict=1MiB"], "zstd": ["-q", "--ultra", "-19"]}
"""How the kernel's build compresses modules (scripts/Makefile.modinst), but for zstd's long last level."""

SUFFIXES = {"xz": ".xz", "zstd": ".zst"}

UNPACK = 'tool=$1; cores=$2; shift 2; printf "%s\\0" "$@" | xargs -0 -P"$cores" -n 32 "$tool" -dcq >/dev/null'


def rows(work: Workload) -> list[Row]:
    """``verify`` of a tree of ``.ko.xz`` and one of ``.ko.zst``."""
    cores = str(len(os.sched_getaffinity(0)))
    found = []
    for kind in PACKERS:
        tree = packed(work, kind)
        files = sorted(tree.iterdir())
        commands: dict[str, list[str | Path]] = {
            "verify": [*elfsig_command(), "verify", tree, "--trust", work.certificate],
            "alone": ["sh", "-c", UNPACK, "sh", tool(kind), cores, *files],
        }
        taken = medians({name: partial(run, command) for name, command in commands.items()}, runs=3)
        job = f"elfsig verify, {len(files)} modules in {kind}"
        found.append(Row(job, f"xargs -P{cores} {kind} -dc", taken["verify"], taken["alone"], 1.2))
    return found


def packed(work: Workload, kind: str) -> Path:
    """A directory of SIGNED modules of all sizes, compressed by the outside tool."""
    folder = work.scratch / kind
    folder.mkdir()
    step = len(work.modules) / SIGNED
    for number in range(SIGNED):
        source = work.modules[int(number * step)]
        (folder / source.name).write_bytes(source.read_bytes())
    pack = 'tool=$1; shift; printf "%s\\0" "$@" | xargs -0 -P"$(nproc)" -n 16 $tool'
    words = " ".join([tool(kind), *PACKERS[kind], "--rm" if kind == "zstd" else ""])
    run(["sh", "-c", pack, "sh", words, *sorted(folder.iterdir())])
    return folder
