"""Examine each file in a cage of its own: see :mod:`elfsig.cage`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pkgutil import walk_packages
from typing import Any, Generic, TypeVar

from elfsig.batch.isolation import OUT_OF_MEMORY
from elfsig.batch.tree import Examined, Examiner, finished
from elfsig.cage.cage import Cage
from elfsig.cage.lock import Limits
from elfsig.errors import ElfsigError, Killed, ReadError
from elfsig.opened.inside import disk_path
from elfsig.opened.walk import WalkedFile
from elfsig.verbs.verify.examine import failed

__all__ = ["Cage", "ConfinedExaminer", "Limits"]

R = TypeVar("R")

WARM_AFTER = 16
"""With this many files, what verifying imports late is imported before a child starts: every child would."""

_LATE = ("carriers", "coverages", "crypto", "elf", "envelopes", "model", "opened", "verbs.verify")
_LIBRARIES = ("hashlib", "lzma", "zlib", "zstandard")


class ConfinedExaminer(Generic[R]):
    """Examines a file in a child of ``cage``, which only hands out the finished result.

    ``encode`` makes a JSON value of a result. ``decode`` gets that value and the entry and makes the result
    again; it must raise ValueError for what ``encode`` never makes, since a hostile file may have taken over
    the child.
    """

    cage: Cage
    encode: Callable[[R], Any]
    decode: Callable[[Any, WalkedFile], R]

    def __init__(
        self, cage: Cage, encode: Callable[[R], Any], decode: Callable[[Any, WalkedFile], R]
    ) -> None:
        self.cage, self.encode, self.decode = cage, encode, decode
        self._started = 0

    def __call__(self, examiner: Examiner, entry: WalkedFile, finish: Callable[[Examined], R]) -> R:
        """The finished result for ``entry``; if the child is ended, that of the error that says why."""

        if entry.error is not None:
            return finished(examiner, entry, finish)

        def work(report: Callable[[Any], None]) -> None:
            report(self.encode(finished(examiner, entry, lambda found: finish(_with_memory(found)))))

        fault: ElfsigError
        self._started += 1
        if self._started == WARM_AFTER:
            _import_everything()
        try:
            path = entry.path if entry.link is None else entry.link.path
            readable = () if entry.data is not None else (disk_path(path),)
            records = list(self.cage.run(work, readable))
            return self.decode(records[0] if len(records) == 1 else None, entry)
        except ElfsigError as reason:
            fault = reason
        except ValueError:
            fault = Killed("what it reported is not a result", limit="records")
        except OSError as reason:
            fault = ReadError(f"no process for it: {reason.strerror}", code="no-process")
        return finish(Examined(failed(entry.path, fault)))


def _with_memory(found: Examined) -> Examined:
    """``found``; MemoryError where it is the error that there was none, which the cage knows the limit of."""
    if found.report.error is not None and found.report.error.code == OUT_OF_MEMORY:
        raise MemoryError
    return found


def _import_everything() -> None:
    for name in _LATE:
        folder = import_module(f"elfsig.{name}")
        for module in walk_packages(folder.__path__, f"{folder.__name__}."):
            if not module.name.endswith("_numpy"):  # for comparisons of many modules only
                import_module(module.name)
    for name in _LIBRARIES:
        import_module(name)
