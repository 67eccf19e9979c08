"""Work on many items in several processes: results in order, as they arrive, and no item is ever lost.

Processes are forked, so that they have what the work needs (keys, registry) without transfer. Items and
results travel through pipes and should be cheap to pickle.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import chain, islice
from struct import Struct
from typing import Any, Generic, NoReturn, TypeVar

from elfsig.errors import ElfsigError

T = TypeVar("T")
R = TypeVar("R")

FEW = 12
"""Up to this many items are processed here: starting processes would take longer."""
_CHUNK = 8
_BACKLOG = 16
_AHEAD = 64
"""How many items for each process may be in progress or wait for an earlier one's result."""
_LENGTH = Struct("<I")


def jobs_wanted(jobs: int) -> int:
    """``jobs``, or for 0 one for each processor that this process may use."""
    return jobs or len(os.sched_getaffinity(0))


def run(
    work: Callable[[T], R],
    items: Iterable[T],
    jobs: int = 0,
    *,
    lost: Callable[[T, str], R] | None = None,
    few: int = FEW,
) -> Iterator[R]:
    """``work(item)`` for every item, results in the order of the items.

    A process that dies costs the one item that it was working on: its result is ``lost(item, how it died)``;
    without ``lost``, ElfsigError is raised. What ``work`` raises is raised here. With one job, at most
    ``few`` items, or in a process with threads (which must not be forked), all is done in this process.
    """
    jobs = jobs_wanted(jobs)
    supply = iter(items)
    if jobs > 1 and threading.active_count() == 1:
        first = list(islice(supply, few + 1))
        supply = chain(first, supply)
        if len(first) > few:
            return _Pool(work, lost or _give_up, jobs).run(supply)
    return map(work, supply)


def _give_up(item: object, how: str) -> NoReturn:
    raise ElfsigError(f"{item}: {how}", code="process-died")


class _Slot(Generic[T, R]):
    """One item and, once available, its result."""

    __slots__ = ("done", "item", "result")

    def __init__(self, item: T) -> None:
        self.item = item
        self.result: R | None = None
        self.done = False


class _Worker(Generic[T, R]):
    """A process, and the pipes to it and from it."""

    def __init__(self, pid: int, tasks: int, results: int) -> None:
        self.pid, self.tasks, self.results = pid, tasks, results
        self.slots: deque[_Slot[T, R]] = deque()
        self.outbox, self.inbox = bytearray(), bytearray()


class _Raised:
    """What ``work`` raised in another process."""

    def __init__(self, reason: BaseException) -> None:
        import traceback

        self.reason: BaseException = reason
        self.trace = "".join(traceback.format_exception(reason))
        try:
            pickle.loads(pickle.dumps(reason))
        except Exception:  # exceptions may be unpicklable in any way; the trace still has everything
            self.reason = RuntimeError(self.trace)


class _Pool(Generic[T, R]):
    def __init__(self, work: Callable[[T], R], lost: Callable[[T, str], R], jobs: int) -> None:
        self.work, self.lost, self.jobs = work, lost, jobs
        self.workers: list[_Worker[T, R]] = []
        self.waiting: deque[_Slot[T, R]] = deque()
        self.order: deque[_Slot[T, R]] = deque()

    def run(self, supply: Iterator[T]) -> Iterator[R]:
        try:
            for _ in range(self.jobs):
                self._add_worker()
            while self._fill(supply):
                for _ in range(_CHUNK):
                    if not self._is_ready():
                        break
                    yield self.order.popleft().result  # type: ignore[misc]  # done: the result is set
                self._exchange()
        finally:
            for worker in self.workers:
                _stop(worker)

    # ------------------------------------------------------------------ this process

    def _is_ready(self) -> bool:
        return bool(self.order) and self.order[0].done

    def _fill(self, supply: Iterator[T]) -> bool:
        """Send items to processes that have few left; False when all is done."""
        while True:
            worker = min(self.workers, key=lambda w: len(w.slots))
            chunk = self._next_chunk(supply) if len(worker.slots) < _BACKLOG else []
            if not chunk:
                return bool(self.order)
            worker.slots.extend(chunk)
            worker.outbox += _framed([slot.item for slot in chunk])

    def _next_chunk(self, supply: Iterator[T]) -> list[_Slot[T, R]]:
        """Small chunks while little is in progress, so that few items are shared out evenly."""
        if self.waiting:
            return [self.waiting.popleft()]
        under_way = len(self.order)
        if under_way >= self.jobs * _AHEAD:
            return []
        size = min(_CHUNK, 1 + under_way // (4 * self.jobs))
        chunk = [_Slot[T, R](item) for item in islice(supply, size)]
        self.order.extend(chunk)
        return chunk

    def _exchange(self) -> None:
        """Send what fits, receive what has arrived; wait unless there are results to pass on."""
        poll, by_fd = select.poll(), {}
        for worker in self.workers:
            poll.register(worker.results, select.POLLIN)
            by_fd[worker.results] = worker
            if worker.outbox:
                poll.register(worker.tasks, select.POLLOUT)
                by_fd[worker.tasks] = worker
        for fd, _ in poll.poll(0 if not self.order or self._is_ready() else None):
            worker = by_fd[fd]
            if worker not in self.workers:
                continue
            if fd == worker.tasks:
                with suppress(BlockingIOError, BrokenPipeError):
                    del worker.outbox[: os.write(fd, worker.outbox)]
            elif not self._receive(worker):
                self._bury(worker)

    def _receive(self, worker: _Worker[T, R]) -> bool:
        """Receive results; False when the process is gone."""
        data = os.read(worker.results, 1 << 20)
        inbox = worker.inbox
        inbox += data
        at = 0
        while len(inbox) - at >= 4 and len(inbox) - at - 4 >= (size := _LENGTH.unpack_from(inbox, at)[0]):
            result = pickle.loads(memoryview(inbox)[at + 4 : at + 4 + size])
            at += 4 + size
            if isinstance(result, _Raised):
                result.reason.add_note(result.trace)
                raise result.reason
            slot = worker.slots.popleft()
            slot.result, slot.done = result, True
        del inbox[:at]
        return bool(data)

    def _bury(self, worker: _Worker[T, R]) -> None:
        """A process died: its first item is lost, the others go to a new process, one by one."""
        self.workers.remove(worker)
        how = _stop(worker)
        if worker.slots:
            slot = worker.slots.popleft()
            slot.result, slot.done = self.lost(slot.item, how), True
            self.waiting.extend(worker.slots)
        self._add_worker()

    def _add_worker(self) -> None:
        """Start one more process, or ask for one less where the system does not allow more."""
        try:
            self.workers.append(self._start())
        except OSError:
            if not self.workers:
                raise

    def _start(self) -> _Worker[T, R]:
        (their_tasks, tasks), (results, their_results) = os.pipe(), os.pipe()
        with warnings.catch_warnings():
            # Python threads were ruled out; those of native libraries hold no lock that the work needs.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if not pid:
            for fd in (tasks, results, *(fd for w in self.workers for fd in (w.tasks, w.results))):
                os.close(fd)
            self._serve(their_tasks, their_results)
        os.close(their_tasks)
        os.close(their_results)
        os.set_blocking(tasks, False)
        return _Worker(pid, tasks, results)

    # ------------------------------------------------------------------ the other process

    def _serve(self, tasks: int, results: int) -> NoReturn:
        """Work until the pipe ends. The current item is finished even when the user interrupts."""
        status = 1
        try:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            with os.fdopen(tasks, "rb") as stream:
                while len(head := stream.read(4)) == 4:
                    for item in pickle.loads(stream.read(_LENGTH.unpack(head)[0])):
                        _write_all(results, self._result(item))
            status = 0
        except BrokenPipeError:
            status = 0
        finally:
            # No clean-up that belongs to the parent: its buffers, its atexit functions.
            os._exit(status)

    def _result(self, item: T) -> bytes:
        try:
            return _framed(self.work(item))
        except Exception as reason:  # sent to the parent, which raises it
            return _framed(_Raised(reason))


def _framed(thing: object) -> bytes:
    data = pickle.dumps(thing, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(data)) + data


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _stop(worker: _Worker[Any, Any]) -> str:
    """Close the pipes, wait for the end, and describe it."""
    os.close(worker.tasks)
    os.close(worker.results)
    status = os.waitstatus_to_exitcode(os.waitpid(worker.pid, 0)[1])
    if status < 0:
        return f"its process was ended by {signal.Signals(-status).name}"
    return f"its process ended with status {status}"
