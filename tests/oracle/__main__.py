"""``python -m tests.oracle``: boot real kernels, and print what they answered and where elfsig erred.

    python -m tests.oracle debian [NAME...]        every Debian kernel that the mirror has (or those named)
    python -m tests.oracle small                   the kernel that tests.oracle.build built

Kernels are fetched into the cache (ELFSIG_CACHE). Exit code: 0 if every answer was predicted, 1 if one was
not, 2 if a machine did not come up.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence

from tests.oracle import build
from tests.oracle.compare import table
from tests.oracle.judge import Judge, debian, small
from tests.oracle.report import BootFailed
from tests.support.bootable import BOOTABLE, fetch_bootable
from tests.support.kernels import FetchError


def _debian(names: Sequence[str]) -> Iterator[Judge]:
    """The judges that are there; what is gone is said."""
    seen = set()
    for name in names or BOOTABLE:
        try:
            package = fetch_bootable(name)
        except FetchError as reason:
            print(f"{name}: gone: {reason}", file=sys.stderr)
            continue
        if package.root not in seen:
            seen.add(package.root)
            yield debian(package)


def ask(judges: Iterable[Judge]) -> int:
    """Boot each kernel, print the table and the differences; the exit code."""
    columns: dict[str, dict[str, str]] = {}
    wrong = failed = 0
    for judge in judges:
        try:
            columns[judge.release] = judge.column()
        except BootFailed as reason:
            failed += 1
            print(f"{judge.release}: did not come up: {reason}", file=sys.stderr)
            continue
        differences = [*map(str, judge.differences()), *judge.keys_differ()]
        wrong += len(differences)
        for text in differences:
            print(f"{judge.release}: {text}", file=sys.stderr)
        counts = f"{len(judge.cases)} files, {len(judge.report.modes)} modes, {len(differences)} differences"
        print(f"{judge.release}: {counts}, {judge.report.seconds:.0f} s", file=sys.stderr, flush=True)
    print(*table(columns), sep="\n")
    return 2 if failed else int(bool(wrong))


def main() -> int:
    """Run the command that was named; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.oracle", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    kernels = verbs.add_parser("debian", help="Debian's kernels, in three modes")
    kernels.add_argument("names", nargs="*", choices=[[], *BOOTABLE], metavar="NAME")
    verbs.add_parser("small", help="the kernel with every algorithm, see tests.oracle.build")
    options = parser.parse_args()
    if options.verb == "small":
        return ask([small(build.folder())])
    return ask(_debian(options.names))


if __name__ == "__main__":
    sys.exit(main())
