"""Reports in files, beside what is printed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from elfsig.cli.settings import complain
from elfsig.errors import WriteError
from elfsig.opened.atomic import write_atomic

Report = tuple[str | None, Callable[[], bytes]]
"""The path of a file, None for one that is not wanted, and what gives its content."""


@contextmanager
def written(*reports: Report) -> Iterator[None]:
    """Write the files; the body prints the results, also where a file could not be written. Then raises
    WriteError."""
    faults: list[WriteError] = []
    for path, content in reports:
        if path is not None:
            try:
                write_atomic(path, content())
            except WriteError as reason:
                faults.append(reason)
    yield
    for fault in faults[1:]:
        complain(str(fault), fault.path)
    if faults:
        raise faults[0]
