"""The options of ``audit`` for policies, fleets and records."""

from __future__ import annotations

from functools import wraps
from typing import Any

import click

from elfsig.cli.options.common import Callback, path_type, with_options
from elfsig.cli.options.files import source_type
from elfsig.lazy_tuple import NamedTuple


class FleetWish(NamedTuple):
    """The values of ``--policy``, ``--host-root`` and ``--from``."""

    policy: str | None = None
    host_roots: tuple[str, ...] = ()
    records: str | None = None

    @property
    def wanted(self) -> bool:
        """Whether the audit is one by a policy, which may be implied."""
        return self != FleetWish()


OPTIONS = (
    click.option(
        "--policy", type=path_type, metavar="FILE", help="Audit by the rules and exceptions in a TOML file."
    ),
    click.option(
        "--host-root",
        "host_roots",
        multiple=True,
        metavar="GLOB",
        help="Audit the hosts whose root directories match, each with its own kernel's keys; repeatable.",
    ),
    click.option(
        "--from",
        "records",
        type=source_type,
        metavar="FILE",
        help="Audit the records of elfsig survey in FILE (--jsonl, --json, --parquet; - is standard input).",
    ),
)


def policy_options(callback: Callback) -> Callback:
    """Adds ``--policy``, ``--host-root`` and ``--from``; the callback gets one argument ``fleet``."""

    @wraps(callback)
    def wrapped(
        *args: Any, policy: str | None, host_roots: tuple[str, ...], records: str | None, **more: Any
    ) -> Any:
        return callback(*args, fleet=FleetWish(policy, host_roots, records), **more)

    return with_options(wrapped, OPTIONS)
