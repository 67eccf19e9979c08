"""A fleet of hosts: what a host costs beside its modules, and that memory stays as it is.

Run on its own, since a million hard links take minutes: ``python -m tests.bench.fleet 1000 1000000``.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.bench.measure import elfsig_command, peak_memory
from tests.support.fleet import fleet

MODULES = 200
"""Modules of each host: a hard link is one of three kernels times as many files."""


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
