"""``python -m tests.oracle``: boot Debian's kernels, and print what they answered and where elfsig erred."""

from __future__ import annotations

import sys

from tests.oracle import build
from tests.oracle.judge import debian, small, table
from tests.support.kernels import BOOTABLE, cached


def main() -> int:
    """Print the table; 0 if every answer was predicted."""
    judges = [debian(found) for name in BOOTABLE if (found := cached("amd64", name)) is not None]
    built = [small(build.folder())] if (build.folder() / build.IMAGE).exists() else []
    for group in (judges, built):
        print(*table(group), "", sep="\n")
    judges += built
    wrong = [
        f"{j.release}: {text}" for j in judges for text in (*map(str, j.differences()), *j.keys_differ())
    ]
    print(*wrong, f"{len(wrong)} differences", sep="\n", file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
