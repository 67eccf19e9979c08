"""survey: every module in one file, whatever contains it, and whether the file was read to its end."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from hashlib import file_digest
from typing import NamedTuple

from elfsig.batch.tree import Examination, Examiner
from elfsig.containers.contract import Budget, Context, Member
from elfsig.containers.given import Given
from elfsig.containers.nested import Step
from elfsig.containers.readers import Reader, SeekReader, reader_of
from elfsig.containers.registry import load
from elfsig.containers.walk import ContainerRecord as WalkedContainer
from elfsig.containers.walk import Found, walk
from elfsig.errors import ContainerError, ReadError
from elfsig.lazy_dataclass import dataclass, replace
from elfsig.model import Remark
from elfsig.opened.inside import Outermost, outermost
from elfsig.opened.module import Module
from elfsig.opened.remote.client import RemoteContent
from elfsig.opened.source import read_error, reading
from elfsig.opened.walk import WalkedFile
from elfsig.trust.entries import Material
from elfsig.verbs.audit import ima_xattr
from elfsig.verbs.audit.audit import unloadable
from elfsig.verbs.survey.kernels import kernel_record, with_found, with_origin
from elfsig.verbs.survey.recognise import KERNEL, MODULE, is_module, is_named_module, what_it_is
from elfsig.verbs.survey.records import (
    ContainerRecord,
    KernelRecord,
    Layer,
    ModuleCounts,
    ModuleRecord,
    SurveyRecord,
    layers_of,
)
from elfsig.verbs.verify.examine import failed


class Limits(NamedTuple):
    """What reading one outermost file may cost: see :class:`elfsig.containers.contract.Budget`."""

    output: int | None = 64 << 30
    members: int | None = 4_000_000
    depth: int | None = 16
    seconds: float | None = None

    def budget(self) -> Budget:
        """A new budget of this size."""
        return Budget(*self)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to find out about every module, and how much reading may cost.

    ``found_keys``: also try the keys of kernel images in the same outermost file. ``given`` are the files
    that were named: an image may need several, and none is opened that was not given.
    """

    examination: Examination
    limits: Limits = Limits()
    found_keys: bool = False
    given: tuple[str, ...] = ()


class Surveyed(NamedTuple):
    """One record; ``module`` is the opened module of a module record, None where it could not be unpacked.

    ``data`` are the bytes of a module, None where they could not be read, and for other records.
    """

    record: SurveyRecord
    module: Module | None = None
    data: bytes | None = None


def survey_file(
    path: str,
    plan: Plan,
    root: str | None = None,
    further: Sequence[str] = (),
    around: Sequence[str] = (),
    content: RemoteContent | None = None,
) -> Iterator[Surveyed]:
    """The records of one outermost file, in the order in which things are stored in it.

    A container's record follows those of what is in it. Nothing is raised because of the file: what cannot be
    read is a record too. ``root`` is the directory that led to it, where it was not named itself; ``further``
    are the files in which an image goes on: each has a record with its hash; ``around`` those among which
    others that it needs are looked for: see :func:`companions`. ``content`` is that of a file at the URL
    ``path``. It is read once, forward, so that its hash is only in its own record, the last one.
    """
    try:
        yield from _Survey(path, root, plan, further, around, content).records()
    except ReadError as fault:
        yield Surveyed(unreadable(path, fault))
    else:
        yield from map(_further, further)


def _further(path: str) -> Surveyed:
    """The record of a file in which an image goes on."""
    try:
        layer = Layer("file", path, None, os.path.getsize(path), _sha256(path))
        return Surveyed(ContainerRecord(path, (layer,), "further", 0, 0))
    except OSError as reason:
        return Surveyed(unreadable(path, read_error(reason)))
    except ReadError as fault:
        return Surveyed(unreadable(path, fault))


MOST_GIVEN = 1024
"""Files among which those are looked for that an image needs."""


def companions(path: str, root: str | None, given: Sequence[str]) -> tuple[str, ...]:
    """The files that reading ``path`` may need, in order, itself included; none where it stands alone.

    These are the files that were named, and those in the same directory where a directory was named. Only a
    disk or a part of a volume may need others: a package is never read with a view of other files.
    """
    try:
        with outermost(path) as (reader, chain):
            container = load().find(reader)
            if len(chain) > 1 or container is None or not container.spans:
                return ()
    except ReadError:
        return ()
    beside: list[str] = []
    if root is not None:
        folder = os.path.dirname(path)
        with suppress(OSError):
            beside = [os.path.join(folder, each) for each in sorted(os.listdir(folder))]
    found = [each for each in dict.fromkeys((*given, *beside)) if os.path.isfile(each)]
    around = found[:MOST_GIVEN]
    return tuple(around) if path in around else (*around, path)


def unreadable(path: str, fault: ReadError, modules: int = 0) -> ContainerRecord:
    """The record of an outermost file that could not be opened, or whose process was ended after it had found
    ``modules``."""
    return ContainerRecord(path, (Layer("file", path),), "file", 0, modules, Remark.of(fault))


class _Survey:
    """One outermost file, while it is read."""

    def __init__(
        self,
        path: str,
        root: str | None,
        plan: Plan,
        further: Sequence[str],
        around: Sequence[str] = (),
        content: RemoteContent | None = None,
    ) -> None:
        self.path, self.root, self.plan, self.further, self.around = path, root, plan, further, around
        self.remote = None if content is None else _Remote(path, content)
        self.counts = ModuleCounts()
        self.digests: dict[int, str | None] = {}
        self.kernels: dict[str, tuple[KernelRecord, Material]] = {}
        self.examiner = Examiner(plan.examination)
        self.fault: Remark | None = None

    def records(self) -> Iterator[Surveyed]:
        """All records. Raises ReadError where the file cannot be opened."""
        if not self._is_single():  # the records of what is in a container name the container's hash
            if self.remote is None:
                self.digests[0] = self._hashed_disk()
            elif self.plan.found_keys:
                self.remote.spool(self._context())
            self.examiner.remember()
            if self.plan.found_keys:
                self._find_kernels()
        for each in self._walk():
            if isinstance(each, WalkedContainer):
                yield Surveyed(self._container(each))
            elif each.what == KERNEL:
                yield Surveyed(self._kernel(each))
            elif each.what is not None:
                yield from self._module(each)
            elif (
                each.chain == self.chain
                and self.remote is not None
                and self.remote.reader.failure is not None
            ):
                yield Surveyed(self._failed(self.remote.reader.failure))

    def _is_single(self) -> bool:
        """Whether the file is itself a module or a kernel; also finds out where it is."""
        with self._outermost(self._context()) as (reader, chain):
            self.chain, self.disk = chain, os.fsdecode(chain[0].name)
            return what_it_is(Member(chain[-1].name, "file", reader)) is not None

    @contextmanager
    def _outermost(self, context: Context) -> Iterator[Outermost]:
        if self.remote is not None:
            yield self.remote.outermost()
            return
        with outermost(self.path, context) as found:
            yield found

    def _context(self, stack: ExitStack | None = None) -> Context:
        """What reading shares; with ``stack``, which closes them, the other files that it may need."""
        if stack is None:
            return Context(self.plan.limits.budget())
        return context_of(stack, self.plan.limits, self.path, self.further, self.around)

    def _walk(self) -> Iterator[Found | WalkedContainer]:
        with ExitStack() as stack:
            context = self._context(stack)
            reader, chain = stack.enter_context(self._outermost(context))
            expected = "this file" if self.root is None else None
            yield from walk(reader, chain, context, what_it_is, expected=expected)

    def _hashed_disk(self) -> str | None:
        """The hash of the outermost file; None where it cannot be read to its end, which its record says."""
        try:
            return _sha256(self.disk)
        except ReadError as fault:
            self.fault = Remark.of(fault)
            return None

    def _find_kernels(self) -> None:
        """Read all kernel images first: a module may be stored before the kernel whose key it needs."""
        for each in self._walk():
            if isinstance(each, Found) and each.what == KERNEL:
                self._kernel(each)
        found = [material for _, material in self.kernels.values()]
        what = self.plan.examination
        question = replace(what.question, keys=with_found(what.question.keys, found))
        self.examiner = Examiner(replace(what, question=question))
        self.examiner.remember()

    # ------------------------------------------------------------------ records

    def _kernel(self, found: Found) -> KernelRecord:
        if found.path not in self.kernels:
            layers = self._layers(found.chain)
            try:
                data = _content(found, self.plan.examination.limit)
            except ContainerError as fault:
                return KernelRecord(found.path, layers, found.member.size, None, error=Remark.of(fault))
            record, keys = kernel_record(found.path, layers, data)
            self.kernels[found.path] = replace(record, chain=_hashed(layers, record.sha256)), keys
        return self.kernels[found.path][0]

    def _module(self, found: Found) -> Iterator[Surveyed]:
        path, layers, notes = found.path, self._layers(found.chain), self._notes(found)
        try:
            data = _content(found, self.plan.examination.limit)
        except ContainerError as fault:
            self.counts.add(found.chain)
            yield Surveyed(ModuleRecord(path, layers, failed(path, fault), None, None, notes, (), self.root))
            return
        entry = WalkedFile(path, self.root or self.path, data=data)
        examined = self.examiner(entry)
        module = examined.module
        if found.what != MODULE and module is not None and not (_is_named(found) or _belongs(module)):
            return
        self.counts.add(found.chain)
        report = with_origin(examined.report, frozenset(self.kernels))
        name, vermagic = (None, None) if module is None else (module.name, module.vermagic)
        chain = _hashed(layers, report.sha256)
        why = () if module is None else tuple(unloadable(module))
        yield Surveyed(ModuleRecord(path, chain, report, name, vermagic, notes, why, self.root), module, data)

    def _notes(self, found: Found) -> dict[str, object]:
        """What is known of a module beside its content: from its container, or from the file system."""
        notes = dict(found.member.notes)
        if (
            len(found.chain) == 1
            and self.remote is None
            and (value := ima_xattr.value_of(self.path)) is not None
        ):
            notes[ima_xattr.NAME] = value
        return notes

    def _container(self, each: WalkedContainer) -> ContainerRecord:
        error = Remark.of(each.error) if each.error is not None else None
        error = error or (self.fault if each.chain == self.chain else None)
        layers = self._layers(each.chain)
        if each.chain == self.chain and self.remote is not None:
            failure = self.remote.finish()
            layers = _hashed(layers, self.remote.reader.sha256)
            error = error if failure is None else Remark.of(failure)
        elif each.sha256 is not None:
            layers = _hashed(layers, each.sha256)
        modules = self.counts.take(each.chain)
        return ContainerRecord(each.path, layers, each.kind, each.members, modules, error)

    def _failed(self, fault: ContainerError) -> ContainerRecord:
        """The record of a file of no known kind that a listing led to, and that could not be read."""
        return ContainerRecord(self.path, self._layers(self.chain), "file", 0, 0, Remark.of(fault))

    def _layers(self, chain: tuple[Step, ...]) -> tuple[Layer, ...]:
        return layers_of(chain, self.digests)


class _Remote:
    """The content of a file at a URL, while it is read."""

    def __init__(self, url: str, content: RemoteContent) -> None:
        self.step = Step("file", os.fsencode(url), None, content.size)
        self.reader: Reader = reader_of(content.pieces())
        self.reader.start_hash()
        self.copy: SeekReader | None = None

    def outermost(self) -> Outermost:
        """The content, from its start: of a copy any number of times, else until something is read of it."""
        reader = self.reader if self.copy is None else self.copy.window(0, self.copy.size)
        return Outermost(reader, (self.step,))

    def spool(self, context: Context) -> None:
        """Make a copy, to be read several times. Raises ContainerError: over-budget."""
        self.copy = context.seekable(self.reader)

    def finish(self) -> ContainerError | None:
        """Read what is left, for the hash; returns why it could not be read to its end."""
        with suppress(ContainerError):
            self.reader.finish()
        return self.reader.failure


def _content(found: Found, limit: int) -> bytes:
    """The bytes of a member. Raises ContainerError."""
    reader = found.member.reader
    return b"" if reader is None else reader.all(limit)


def _belongs(module: Module) -> bool:
    """Whether an object file counts: it is a module, or carries a signature."""
    return is_module(module.image) or bool(module.places)


def _is_named(found: Found) -> bool:
    """Whether this is the content of a compressed file that has the name of a module."""
    return is_named_module(next(step.name for step in reversed(found.chain) if step.name))


def _hashed(layers: tuple[Layer, ...], sha256: str | None) -> tuple[Layer, ...]:
    """The layers, with the hash of the innermost, which was read whole."""
    return (*layers[:-1], replace(layers[-1], sha256=sha256))


def context_of(
    stack: ExitStack, limits: Limits, path: str, further: Sequence[str], around: Sequence[str]
) -> Context:
    """What reading ``path`` shares, with the other files that it may need; ``stack`` closes them."""
    others = [opened_further(stack, each) for each in further]
    given = Given(around, path, lambda each: opened_further(stack, each)) if around else None
    return Context(limits.budget(), further=others, given=given)


def opened_further(stack: ExitStack, path: str) -> SeekReader:
    """A reader of a file in which an image goes on; ``stack`` closes it. Raises ReadError."""
    reader, _ = stack.enter_context(outermost(path))
    if not isinstance(reader, SeekReader):
        raise ReadError("an image can go on only in a file on disk", code="not-a-regular-file")
    return reader


def _sha256(path: str) -> str:
    """SHA-256 of a file on disk, in hex. Raises ReadError."""
    try:
        with open(path, "rb", buffering=0) as file, reading(file.fileno()):
            return file_digest(file, "sha256").hexdigest()
    except OSError as reason:
        raise read_error(reason) from None
