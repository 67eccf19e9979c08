"""``python -m tests.world [--kills N] [VERB...]``: end every writing command N times; say what was left."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.world.kills import survive, table
from tests.world.verbs import VERBS


def main() -> int:
    """Print a table; 1 where something was lost, half written, or not gone on with."""
    parser = argparse.ArgumentParser(prog="python -m tests.world", description=__doc__)
    parser.add_argument(
        "verbs", nargs="*", metavar="VERB", help="commands whose names begin so (default: all)"
    )
    parser.add_argument("--kills", type=int, default=200, help="points at which each is ended (default: 200)")
    parser.add_argument("--seed", type=int, default=1, help="of chance (default: 1)")
    options = parser.parse_args()
    outcomes = []
    for verb in VERBS:
        if options.verbs and not verb.name.startswith(tuple(options.verbs)):
            continue
        with tempfile.TemporaryDirectory() as folder:
            outcomes.append(survive(verb, Path(folder), options.kills, options.seed))
        print(f"{verb.name}: {len(outcomes[-1].faults)} faults", file=sys.stderr, flush=True)
        for fault in outcomes[-1].faults[:20]:
            print(f"  {fault}", file=sys.stderr, flush=True)
    print("\n".join(table(outcomes)))
    return int(any(each.faults for each in outcomes))


if __name__ == "__main__":
    sys.exit(main())
