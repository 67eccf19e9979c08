"""The canonical digests of the largest module, in process, against one SHA-1 pass over the same bytes."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from functools import partial

from elfsig.carriers.trailer import ModuleTrailer
from elfsig.coverages.canonical import FILEORDER, SORTED, SORTED_2012
from elfsig.elf.image import Image
from elfsig.elf.table import SHT_REL, SHT_RELA
from elfsig.model import Coverage
from tests.bench.measure import Row, medians
from tests.bench.workload import Workload

BARS = {"fileorder": 8, "sorted": 2.5, "sorted-2012": 8}


def unsigned_content(data: bytes) -> bytes:
    """The module without its trailer."""
    places = ModuleTrailer().find(Image(data))
    return data[: places[0].start] if places else data


def digest(coverage: Coverage, data: bytes) -> None:
    """Everything from the file's bytes to the digest: section table, stream, SHA-1."""
    hasher = hashlib.sha1(usedforsecurity=False)
    coverage.message(Image(data), None).feed(hasher)
    hasher.hexdigest()


def floor(data: bytes) -> None:
    hashlib.sha1(data, usedforsecurity=False).hexdigest()


def seconds(job: Callable[[], None]) -> float:
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def relocations(data: bytes) -> int:
    """How many entries the relocation sections of a module have."""
    table = Image(data).elf
    rows = table.rows if table else []
    sizes = {SHT_REL: table.layout.rel.size, SHT_RELA: table.layout.rela.size} if table else {}
    return sum(row.size // sizes[row.type] for row in rows if row.type in sizes)


def rows(work: Workload) -> list[Row]:
    """``fileorder``, ``sorted`` and the latter's kernel variant; imports are warmed up, not counted."""
    data = unsigned_content(max(work.modules, key=lambda path: path.stat().st_size).read_bytes())
    jobs = {coverage.id: partial(digest, coverage, data) for coverage in (FILEORDER, SORTED, SORTED_2012)}
    taken = medians(
        {name: partial(seconds, job) for name, job in {**jobs, "floor": partial(floor, data)}.items()}, 9
    )
    what = f"{len(data) / 1e6:.0f} MB, {relocations(data)} relocations"
    return [
        Row(f"{name} digest of {what}", "SHA-1 of the file", taken[name], taken["floor"], BARS.get(name, 8))
        for name in jobs
    ]
