"""``python -m tests.bench [JOB...] [--strict]``: measure, print the table, say which bars are missed."""

from __future__ import annotations

import argparse
import sys

from tests.bench import (
    compressed,
    digest,
    fleet,
    memory,
    parts,
    sections,
    signing,
    startup,
    survey,
    tree,
    verbs,
)
from tests.bench.measure import table
from tests.bench.workload import workload

JOBS = {
    "startup": startup.rows,
    "tree": tree.rows,
    "verbs": verbs.rows,
    "compressed": compressed.rows,
    "sections": sections.rows,
    "sign": signing.rows,
    "digest": digest.rows,
    "memory": memory.rows,
    "survey": survey.rows,
    "scale": parts.rows,
    "fleet": fleet.rows,
}


def main() -> int:
    """Print the table; 1 where ``--strict`` was given and a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("job", nargs="*", help=f"some of {', '.join(JOBS)}; all by default")
    parser.add_argument("--strict", action="store_true", help="exit code 1 when a bar is missed")
    options = parser.parse_args()
    if unknown := set(options.job) - set(JOBS):
        parser.error(f"unknown job {sorted(unknown)[0]}")
    with workload() as work:
        rows = [row for name in options.job or JOBS for row in JOBS[name](work)]
    print(table(rows))
    return int(options.strict and not all(row.met for row in rows))


if __name__ == "__main__":
    sys.exit(main())
