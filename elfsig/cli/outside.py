"""Signatures that are given beside a module: ``--detached FILE``, ``--modarg STRING``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elfsig.errors import UsageError

if TYPE_CHECKING:
    from elfsig.verbs.verify import Outside


def outside_of(detached: str | None, modarg: str | None, single: bool) -> Outside | None:
    """The signature given beside the one file that it is for. Raises UsageError, ReadError, ParseError."""
    if detached is None and modarg is None:
        return None
    if not single or (detached is not None and modarg is not None):
        raise UsageError("--detached and --modarg give the one signature of one file")
    from elfsig.evidence import read
    from elfsig.verbs.detached import from_argument, from_file

    return from_argument(modarg) if modarg is not None else from_file(read(detached or "").content)
