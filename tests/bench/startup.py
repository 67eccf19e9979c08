"""What a command costs before it does anything."""

from __future__ import annotations

import sys
from functools import partial

from tests.bench.measure import Row, elfsig_command, medians, run
from tests.bench.workload import Workload


def rows(work: Workload) -> list[Row]:
    """``--help`` and ``list`` of one module against importing click."""
    elfsig, module = elfsig_command(), work.modules[len(work.modules) // 2]
    taken = medians(
        {
            "click": partial(run, [sys.executable, "-c", "import click"]),
            "help": partial(run, [*elfsig, "--help"]),
            "list": partial(run, [*elfsig, "list", module]),
        },
        runs=21,
    )
    against = "python -c 'import click'"
    return [
        Row("elfsig --help", against, taken["help"], taken["click"], 1.3),
        Row("elfsig list, one module", against, taken["list"], taken["click"], 1.6),
    ]
