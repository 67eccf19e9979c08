"""Make the parts of a survey, one after the other or several at a time."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import IO, TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

from elfsig.batch.background import Background
from elfsig.batch.parts.division import RECEIPT, key_of, named, part_of, stem
from elfsig.batch.parts.manifest import QUESTION, receipt_at
from elfsig.batch.parts.question import LIMIT, PartsQuestion
from elfsig.batch.parts.receipt import PartReceipt, Tally
from elfsig.batch.parts.store import Store
from elfsig.batch.survey.file import Plan
from elfsig.batch.survey.run import Drawn, Outermost, outermost, survey_all
from elfsig.batch.survey.tables import table_into
from elfsig.batch.workers import jobs_wanted
from elfsig.batch.workers import run as in_processes
from elfsig.errors import ElfsigError, ParseError, ReadError, UsageError
from elfsig.lazy_dataclass import dataclass
from elfsig.model.json_form import dumps, origin_members
from elfsig.model.json_values import run_id
from elfsig.opened.remote import client
from elfsig.opened.remote.frames import CONNECTION

if TYPE_CHECKING:
    from elfsig.cage.cage import Cage

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class PartsJob:
    """A survey in parts: what to look into, what to find out, and where the parts go.

    ``host`` is what records say of the machine that the files are from; with ``reproducible``, the id of the
    run is the nil UUID.
    """

    sources: tuple[str, ...]
    plan: Plan
    question: PartsQuestion
    store: Store
    cage: Cage | None = None
    host: str | None = None
    reproducible: bool = False


class PartOutcome(NamedTuple):
    """How one part went: its receipt, or why there is none. ``resumed``: it was there already."""

    part: int
    receipt: PartReceipt | None
    error: ElfsigError | None = None
    resumed: bool = False


def begin(job: PartsJob) -> str:
    """Make sure that the store is for this survey; returns the id of the run that its parts belong to.

    The first to come writes ``question.json``, which all others compare with. Raises UsageError
    (other-question, not-a-receipt), ReadError, WriteError.
    """
    job.store.prepare()
    data = job.store.read(QUESTION, LIMIT)
    if data is None:
        _check_names(job)
        mine = (dumps(job.question.to_json(run_id(job.reproducible))) + "\n").encode("ascii")
        data = mine if job.store.create(QUESTION, mine) else job.store.read(QUESTION, LIMIT) or b""
    try:
        return job.question.run_of(data)
    except UsageError as fault:
        raise UsageError(f"{job.store.label}: {fault.text}", code=fault.code) from None
    except ParseError as fault:
        raise UsageError(f"{job.store.label}: {QUESTION}: {fault.text}", code="not-a-receipt") from None


def _check_names(job: PartsJob) -> None:
    """Raises UsageError for parts without a question: nobody knows what they answer."""
    if any(named(name) is not None for name in job.store.sizes()):
        text = f"{job.store.label}: it holds parts, and no {QUESTION} that says what they answer"
        raise UsageError(text, code="other-question")


def finished(job: PartsJob, parts: Sequence[int]) -> dict[int, PartReceipt]:
    """The receipts of those of ``parts`` that are done, with their files. Raises UsageError, ReadError."""
    sizes = job.store.sizes()
    found = {}
    for part in parts:
        if stem(part, job.question.parts) + RECEIPT not in sizes:
            continue
        receipt = receipt_at(job.store, part, job.question.parts)
        if receipt is None:
            continue
        if not receipt.fits(job.question, part):
            text = f"{job.store.label}: {stem(part, job.question.parts)}{RECEIPT} is for another question"
            raise UsageError(text, code="other-question")
        if receipt.file in sizes and sizes[receipt.file] in (None, receipt.size):
            found[part] = receipt
    return found


def survey_parts(job: PartsJob, parts: Sequence[int], jobs: int = 0) -> Iterator[PartOutcome]:
    """Make those of ``parts`` that are not there yet, in order, with ``jobs`` processes (0: one a processor).

    Raises what :func:`begin` and :func:`finished` raise before any module is read. Later a part that cannot
    be made is an outcome with its error, and the others go on.
    """
    run = begin(job)
    done = finished(job, parts)
    missing = [part for part in parts if part not in done]
    jobs = jobs_wanted(jobs)
    inner = jobs if len(missing) < jobs else 1  # few parts: several processes for the files of each
    make = partial(_make, job, run, inner)
    made = in_processes(make, missing, 1 if inner > 1 else jobs, lost=_lost, few=1)
    for part in parts:
        if part in done:
            yield PartOutcome(part, done[part], resumed=True)
        else:
            yield next(made)


def _lost(part: int, how: str) -> PartOutcome:
    return PartOutcome(part, None, ReadError(f"not finished: {how}", code="process-died"))


def _make(job: PartsJob, run: str, jobs: int, part: int) -> PartOutcome:
    try:
        return PartOutcome(part, make_part(job, part, run, jobs))
    except ElfsigError as fault:
        return PartOutcome(part, None, fault)


def make_part(job: PartsJob, part: int, run: str, jobs: int = 1) -> PartReceipt:
    """Survey the files of one part. Its file appears when it is whole, then its receipt.

    Raises WriteError; ReadError, connection, where the files that belong to it cannot be listed.
    """
    question = job.question
    tally = Tally(job.plan.examination.kernel is not None)
    origin = origin_members(job.host, run)
    lines = survey_all(
        _counted(_own(job, part, tally), tally), job.plan, lambda found: Drawn(), cage=job.cage, jobs=jobs
    )

    def records() -> Iterator[Json]:
        for line in lines:
            tally.add(line.record)
            yield {**line.record, **origin}

    name = stem(part, question.parts)
    with job.store.replacing(f"{name}.{question.form}") as file:
        size, digest = (_as_lines if question.form == "jsonl" else _as_table)(records(), file)
    receipt = PartReceipt(
        part, question.parts, question.form, tally.counts, size, digest, question.digest,
        unlisted=tuple(tally.unlisted),
    )  # fmt: skip
    job.store.write(name + RECEIPT, (dumps(receipt.to_json()) + "\n").encode("ascii"))
    return receipt


def _own(job: PartsJob, part: int, tally: Tally) -> Iterator[Outermost]:
    """The files of a part, and the directories that belong to it and cannot be listed.

    ``tally`` gets all that cannot: each part may lack files because of them.
    """
    for each in outermost(job.sources):
        if each.error is not None:
            if each.error.code == CONNECTION:
                raise ReadError(f"{each.path}: {each.error.text}", code=CONNECTION)
            tally.add_unlisted(each.path)
        if part_of(key_of(each), job.question.parts) == part:
            yield each


def _counted(files: Iterable[Outermost], tally: Tally) -> Iterator[Outermost]:
    for each in files:
        tally.files += 1
        yield each


# --------------------------------------------------------------------------- the file of a part


class _Hashing:
    """A file that is hashed while it is written."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.size, self.hash = file, 0, hashlib.sha256()
        self.closed = False

    def write(self, data: bytes) -> int:
        self.hash.update(data)
        self.size += len(data)
        return self.file.write(data)

    def flush(self) -> None:
        self.file.flush()

    def tell(self) -> int:
        return self.size


def _as_lines(records: Iterator[Json], file: BinaryIO) -> tuple[int, str]:
    """Write one JSON object per line; size and hash of all."""
    hashed = _Hashing(file)
    for each in records:
        hashed.write(dumps(each).encode("ascii") + b"\n")
    return hashed.size, hashed.hash.hexdigest()


def _as_table(records: Iterator[Json], file: BinaryIO) -> tuple[int, str]:
    """Write Parquet; size and hash of all.

    pyarrow starts threads, and cages must not be forked after that: a process of its own makes the table, of
    records that are kept in a temporary file until then.
    """
    with tempfile.TemporaryFile("w+b") as kept:
        _as_lines(records, kept)
        kept.flush()
        return Background(partial(_convert, kept, file)).result()


def _convert(kept: BinaryIO, file: BinaryIO) -> tuple[int, str]:
    kept.seek(0)
    file.seek(0)
    file.truncate()
    hashed = _Hashing(file)
    with table_into(cast(BinaryIO, hashed)) as add:
        for line in kept:
            add(json.loads(line))
    file.flush()
    return hashed.size, hashed.hash.hexdigest()


def end() -> None:
    """End the process that reads URLs, if there is one."""
    client.close()
