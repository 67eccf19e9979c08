"""A fleet of hosts: what a host costs beside its modules, with Debian's kernel image as its trust.

Run on its own, it measures that memory stays as it is with the number of modules, which takes minutes for a
million of hard links: ``python -m tests.bench.fleet 1000 1000000``.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.bench.measure import Row, elfsig_command, medians, peak_memory, processor, run
from tests.bench.workload import Workload
from tests.support.fleet import fleet

FEW, MANY = 5, 45
"""Hosts of the two fleets whose difference is measured: what is done once for all hosts drops out."""

PER_HOST = 0.25
"""Seconds of processor time that a host may cost beside its modules."""

POLICY = """\
[[rule]]
path = "**"
trust = "{root}/boot/vmlinuz-{release}"
"""

MODULES = 200
"""Modules of each host: a hard link is one of three kernels times as many files."""


def rows(work: Workload) -> list[Row]:
    """Hosts that have hard links to one kernel image, and hosts of which each has its own copy of it."""
    policy = work.scratch / "policy.toml"
    policy.write_text(POLICY)
    size = work.vmlinuz.stat().st_size / 1e6
    made = []
    for word, place in (("hard links to", os.link), ("copies of", shutil.copyfile)):
        pattern = _hosts(work, place)
        command: list[str | Path] = [*elfsig_command(), "audit", "--policy", policy, "--host-root"]
        commands = {name: [*command, f"{pattern}/{name}*"] for name in ("few", "")}
        jobs = {name: partial(processor, partial(run, each)) for name, each in commands.items()}
        taken = medians(jobs, runs=3)
        each = (taken[""] - taken["few"]) / (MANY - FEW)
        what = f"audit --host-root: {word} a vmlinuz of {size:.0f} MB, processor time a host, beside modules"
        made.append(Row(what, "0.25 s", each, PER_HOST, 1))
    return made


def _hosts(work: Workload, place: Callable[[Path, Path], object]) -> Path:
    """The directory of MANY hosts with one module each, of which the names of FEW begin with "few"."""
    folder = work.scratch / f"hosts-{place.__name__}"
    release = work.vmlinuz.name.removeprefix("vmlinuz-")
    stock = folder.with_suffix(".stock")
    stock.mkdir()
    image, module = (Path(shutil.copy(each, stock)) for each in (work.vmlinuz, work.modules[0]))
    for number in range(MANY):
        root = folder / f"{'few' if number < FEW else 'other'}{number:02}"
        below = root / "lib/modules" / release / module.relative_to(stock)
        for target in (root / "boot" / image.name, below):
            target.parent.mkdir(parents=True)
        place(image, root / "boot" / image.name)
        os.link(module, below)
    return folder


def measured(modules: int) -> str:
    """One audit of as many modules, in hosts of at most MODULES each."""
    each = min(MODULES, modules)
    hosts = -(-modules // each)
    with tempfile.TemporaryDirectory(prefix="elfsig-fleet-") as folder:
        made = fleet(Path(folder), hosts, each, copies=False)
        start = time.perf_counter()
        used = peak_memory([*elfsig_command(), "audit", "--host-root", made.pattern])
        took = time.perf_counter() - start
    modules = hosts * each
    per = f"{took / modules * 1e6:.0f} us a module, {took / hosts * 1e3:.1f} ms a host"
    return f"{modules} modules on {hosts} hosts: {took:.1f} s, {per}, at most {used / 1e6:.0f} MB"


if __name__ == "__main__":
    for word in sys.argv[1:]:
        print(measured(int(word)), flush=True)
