"""What the editing verbs share: each of many files is changed or left alone, and written whole or not at
all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from elfsig.batch.isolation import isolated
from elfsig.batch.outage import until_outage
from elfsig.batch.workers import run
from elfsig.errors import EditRefused, ElfsigError, UsageError, WriteError
from elfsig.model import Remark
from elfsig.opened.atomic import folds_case, settle, write_atomic
from elfsig.opened.evidence import INSIDE, LIMIT
from elfsig.opened.inputs import Inputs, is_inside
from elfsig.opened.links import Links
from elfsig.opened.module import Module, open_module
from elfsig.opened.walk import WalkedFile, top_folders, walk
from elfsig.registry import Registry
from elfsig.verbs.edit.change import Change, Done


class Task(NamedTuple):
    """One file and its output: ``target`` None is in place. ``named``: the user named the output file
    itself. ``error``: there is nothing to do. ``dry``: write nothing. ``found``: the file was found in a
    directory, where it was not a symbolic link. ``below``: the directory that the output must not be led out
    of. ``twin``: a file whose output has the same name but for upper and lower case."""

    path: str
    target: str | None
    error: Remark | None = None
    code: int = 0
    named: bool = False
    dry: bool = False
    found: bool = False
    below: str | None = None
    twin: str | None = None


@dataclass(frozen=True, slots=True)
class Output:
    """Where results go: exactly one of a file (for one input), a directory, in place.

    The layout of a tree is kept below the directory; each of several trees has a folder of its own name.

    ``dry``: nothing is written; then none of the three is needed. ``never`` are further files of the run,
    such as its keys and its report: no result takes their place.
    """

    file: str | None = None
    directory: str | None = None
    in_place: bool = False
    dry: bool = False
    never: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.dry and (self.file, self.directory, self.in_place) == (None, None, False):
            return
        if (self.file is not None) + (self.directory is not None) + self.in_place != 1:
            raise UsageError("exactly one output is needed", code="output", hint="output")

    def tasks(self, paths: Sequence[str], entries: Iterable[WalkedFile]) -> Iterator[Task]:
        """The output of each entry. Raises UsageError where the outputs are impossible as a whole."""
        if self.file is not None:
            if len(paths) != 1 or os.path.isdir(paths[0]):
                raise UsageError(
                    "a single output file requires a single module", code="output", hint="output-dir"
                )
        elif self.directory is not None:
            _refuse_inside(self.directory, paths)
        return self._tasks(entries, top_folders(paths))

    def _tasks(self, entries: Iterable[WalkedFile], tops: Mapping[str, str]) -> Iterator[Task]:
        taken, alike = dict[str, str](), dict[str, str]()
        place = Inputs().place
        for entry in entries:
            if entry.error is not None:
                fault = entry.error
                yield Task(entry.path, None, Remark.of(fault), fault.exit_code)
                continue
            target = self._target(entry, tops)
            at = os.path.realpath(entry.path) if target is None else place(target)
            first = taken.setdefault(at, entry.path)
            if first != entry.path:
                if target is not None or entry.root is None:  # else it is edited under the name it was given
                    yield Task(entry.path, target, _taken(first, target), 1)
                continue
            twin = alike.setdefault(at.casefold(), entry.path) if target is not None else entry.path
            yield Task(
                entry.path, target, named=self.file is not None, dry=self.dry, found=entry.root is not None,
                below=self.directory, twin=None if twin == entry.path else twin,
            )  # fmt: skip

    def _target(self, entry: WalkedFile, tops: Mapping[str, str]) -> str | None:
        if self.directory is None:
            return self.file
        if entry.root is None:
            return os.path.join(self.directory, os.path.basename(entry.path))
        below = os.path.relpath(entry.path, entry.root)
        return os.path.join(self.directory, tops.get(entry.root, ""), below)


def _taken(first: str, target: str | None) -> Remark:
    if target is None:
        return Remark("same-target", f"it is the same file as {first}, which this run edits")
    return Remark("same-target", f"its output would overwrite that of {first}")


def _refuse_inside(directory: str, paths: Sequence[str]) -> None:
    """Results must not be found by the walk that they come from."""
    inside = os.path.realpath(directory)
    for root in filter(os.path.isdir, paths):
        if os.path.commonpath([inside, os.path.realpath(root)]) == os.path.realpath(root):
            raise UsageError(f"the output directory is inside {root}, which is read", code="output")


def edit(
    paths: Sequence[str],
    change: Callable[[Module], Change],
    output: Output,
    registry: Registry,
    *,
    jobs: int = 0,
    limit: int = LIMIT,
    links: Links | None = None,
) -> Iterator[Done]:
    """Apply ``change`` to every file meant by ``paths``, in parallel; an error costs one file.

    ``change`` gets a module, opened with ``registry``, and raises ElfsigError where it refuses. Results come
    in the order of the files; SigningError ends them where the signer keeps failing. ``links`` keeps account
    of symbolic links in directories: what they lead to is changed only if it is found in the directories
    anyway.
    """
    tasks = output.tasks(paths, walk(paths, links=links))
    inputs = Inputs((*paths, *output.never))

    def work(task: Task) -> Done:
        return edit_one(task, change, registry, limit, inputs)

    results = until_outage(run(work, tasks, jobs, lost=_lost))
    return results if output.dry else _synced(results)


def _synced(results: Iterable[Done]) -> Iterator[Done]:
    """Pass on ``results``; when they end, sync each directory once, since syncing costs as much as a file,
    and remove what a killed run left there."""
    folders: set[str] = set()
    try:
        for done in results:
            if done.error is None:
                where = done.target or done.path
                folders.add(os.path.dirname(os.path.realpath(where) if os.path.islink(where) else where))
            yield done
    finally:
        for folder in folders:
            settle(folder)


def _lost(task: Task, how: str) -> Done:
    return Done(task.path, task.target, "failed", "", (), Remark("process-died", how), 1)


def edit_one(
    task: Task,
    change: Callable[[Module], Change],
    registry: Registry,
    limit: int = LIMIT,
    inputs: Inputs | None = None,
) -> Done:
    """Read, change and write one file. Never raises because of its content. The result never takes the place
    of one of ``inputs``, nor of the file itself."""
    if task.error is not None:
        return Done(task.path, task.target, "failed", "", (), task.error, task.code)

    def work(task: Task) -> Done:
        return _edited(task, change, open_module(task.path, registry, limit=limit), inputs or Inputs())

    return isolated(work, _failed, registry)(task)


def _failed(task: Task, fault: ElfsigError) -> Done:
    where = f"{fault.path}: " if fault.path not in (None, task.path) else ""
    error = Remark(fault.code, where + fault.text, fault.offset, fault.hint)
    # A file that cannot be read is exit code 5; any other fault of one of many files is a refusal.
    code = fault.exit_code if fault.exit_code == 5 else 1
    return Done(task.path, task.target, "failed", "", (), error, code)


def _edited(task: Task, change: Callable[[Module], Change], module: Module, inputs: Inputs) -> Done:
    done = change(module)
    idle = done.leave or done.error is not None
    if task.target is not None and not idle:
        _refuse_inputs(task, done, inputs)
        _refuse_elsewhere(task, inputs)
    target, written = (task.target, ()) if idle or task.dry else _write(task, module, done)
    remarks = (*done.remarks, *written)
    return Done(
        task.path, target, done.word, done.text, remarks, done.error, int(done.error is not None), done.record
    )


def _write(task: Task, module: Module, done: Change) -> tuple[str | None, tuple[Remark, ...]]:
    """Write the result: (where it is, None where nothing had to be written; remarks)."""
    if task.target is None:
        return _write_in_place(task, module, done)
    target = task.target if task.named else task.target + done.suffix
    if not task.named:
        _make_folder(target)
    if task.twin is not None and folds_case(os.path.dirname(target)):
        text = f"its output would overwrite that of {task.twin}: upper and lower case are the same there"
        raise EditRefused(text, code="same-target")
    like = None if done.suffix or module.stat is None else task.path
    _write_beside(target, done)
    return target, write_atomic(target, _raw(module, done), like=like, sync=False, follow=False)


def _write_in_place(task: Task, module: Module, done: Change) -> tuple[str | None, tuple[Remark, ...]]:
    if done.suffix:
        raise EditRefused(
            "the result is not a module, so it cannot be written in place",
            code="not-in-place",
            hint="output-elsewhere",
        )
    if done.content is None:
        return None, ()
    if module.stat is None and INSIDE in task.path:
        raise EditRefused(
            "it is inside a container, which is not changed", code="not-in-place", hint="output-elsewhere"
        )
    if task.found and os.path.islink(task.path):
        raise EditRefused("it has become a symbolic link meanwhile", code="changed-meanwhile")
    _write_beside(task.path, done)
    return task.path, write_atomic(task.path, _raw(module, done), expect=module.stat, sync=False)


def _write_beside(target: str, done: Change) -> None:
    """The additional file first: without it, the module would be half of the result."""
    if done.beside is not None:
        suffix, data = done.beside
        write_atomic(target + suffix, data, sync=False, follow=False)


def _raw(module: Module, done: Change) -> bytes:
    """The bytes to write. An unchanged file stays the same to the byte, compression included."""
    if done.content is None:
        return module.raw
    return done.content if done.verbatim or done.suffix else module.packed(done.content)


def _refuse_elsewhere(task: Task, inputs: Inputs) -> None:
    """Raises EditRefused where a link in the output directory leads out of it."""
    if task.below is None or task.target is None:
        return
    folder = os.path.dirname(inputs.place(task.target))
    if not is_inside(folder, os.path.realpath(task.below)):
        text = (
            f"its output {task.target} would be written to {folder}, out of {task.below}: a link leads there"
        )
        raise EditRefused(text, code="output-elsewhere")


def _refuse_inputs(task: Task, done: Change, inputs: Inputs) -> None:
    """Raises EditRefused where a target is a file that the run reads. A symbolic link to one is not: it is
    replaced itself."""
    main = (task.target or "") + ("" if task.named else done.suffix)
    for target in (main, *([main + done.beside[0]] if done.beside is not None else [])):
        if os.path.exists(target) and os.path.exists(task.path) and os.path.samefile(task.path, target):
            raise EditRefused("the output is the input", code="output-is-input", hint="in-place")
        other = inputs.file_at(target) or inputs.tree_of(target)
        if other is not None:
            raise EditRefused(f"its output {target} would overwrite {other}", code="output-is-input")


def _make_folder(target: str) -> None:
    folder = os.path.dirname(target) or "."
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as reason:
        while (parent := os.path.dirname(folder)) and not os.path.lexists(parent):
            folder = parent  # the message is the same for all that would be below it
        raise WriteError(
            f"not written: cannot make the directory {folder}: {(reason.strerror or '').lower()}"
        ) from None
