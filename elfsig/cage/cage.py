"""One hostile file, one child: its records come through a pipe, and whatever happens to it is one error.

The child is forked from a process that has everything imported, locks itself in (:mod:`elfsig.cage.lock`),
works, and reports. What crosses the pipe is JSON in frames (a length of 4 bytes, little-endian, and the
bytes): a child that was taken over can lie about its own file, and do nothing else to its parent.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import select
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from struct import Struct
from typing import Any, NoReturn

from elfsig.cage import room
from elfsig.cage.lock import Held, Limits, lock
from elfsig.errors import ElfsigError, Killed, ReadError

Work = Callable[[Callable[[Any], None]], None]
"""What a child does. It is given the function that reports one record, a JSON value."""

_LENGTH = Struct("<I")
_RECORD, _HELD, _FAULT, _MEMORY, _END = "record", "held", "fault", "memory", "end"
_GRACE = 1.0
"""Seconds that a child may take to exit after it has closed its pipe."""
_CHUNK = 1 << 20
_WAIT = 0.03
"""Seconds that records may wait in the pipe, so that several are read at once: to be woken up for each would
cost as much as to read it."""
_SURROGATE = re.compile(rb"\\u[dD][^0-7]")
"""Half of a character beyond U+FFFF in JSON, or a byte of a name that is not UTF-8 (os.fsdecode)."""
_DEPTH = 200
"""Nesting of a record, at most."""


class Cage:
    """Starts one child after the other, all under the same limits.

    ``readable`` are files and directories that every child may read, besides Python's own; ``keep`` are
    descriptors that it inherits: all others are closed.
    """

    readable: tuple[str, ...]
    keep: tuple[int, ...]

    def __init__(self, limits: Limits | None = None, readable: Sequence[str] = (), keep: Sequence[int] = ()):
        self.limits: Limits = limits or Limits()
        self.readable, self.keep = tuple(readable), tuple(keep)

    def keeping(self, *descriptors: int) -> Cage:
        """A cage with the same limits, whose children inherit these descriptors too."""
        return Cage(self.limits, self.readable, (*self.keep, *descriptors))

    @cached_property
    def held(self) -> Held:
        """Which layers children are in, found out by one that does nothing."""
        child = _Child(self, _nothing, ())
        for _ in child.records():
            pass
        return child.held or Held(())

    def run(self, work: Work, readable: Sequence[str] = ()) -> Iterator[Any]:
        """The records that ``work`` reports in a child, as they come; this child may read ``readable`` too.

        When they end before ``work`` has, the reason is raised: Killed for a child that was ended or
        reached a limit, ReadError (with code, text, offset and hint of the error) for what ``work`` raised.
        Must not be called in a process with threads. Raises OSError where no process can be started.
        """
        yield from _Child(self, work, readable).records()


def _nothing(report: Callable[[Any], None]) -> None:
    """The work of a child that only tells which layers it is in."""


class _Child:
    """One child, and what has come from it so far."""

    def __init__(self, cage: Cage, work: Work, readable: Sequence[str]) -> None:
        self.limits = cage.limits
        self.held: Held | None = None
        self.inbox = bytearray()
        self.received = 0
        self.ended = False
        self.fault: ElfsigError | None = None
        self.deadline = time.monotonic() + cage.limits.clock
        copies = tempfile.TemporaryFile() if cage.limits.scratch else None  # noqa: SIM115  # closed below
        self.pipe, theirs = os.pipe()
        with suppress(OSError):  # less room means that the child waits more often
            fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, _CHUNK)
        with warnings.catch_warnings():
            # Python threads are ruled out by the caller; those of native libraries hold no lock needed here.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.pid = os.fork()
        if not self.pid:
            os.close(self.pipe)
            _serve(cage, work, readable, (theirs, copies.fileno() if copies is not None else None))
        os.close(theirs)
        if copies is not None:
            copies.close()

    def records(self) -> Iterator[Any]:
        """The records, then the error, if there is one."""
        try:
            while not self.ended and self.fault is None:
                arrived = self._arrived()
                if not arrived:
                    break
                yield from arrived
        finally:
            os.close(self.pipe)
            status, processor = self._reaped()
        if self.fault is None and not self.ended:
            self.fault = _died(status, processor, self.limits)
        if self.fault is not None:
            raise self.fault

    def _arrived(self) -> list[Any]:
        """What came next, at least one record unless the child is done, gone, or broke a rule."""
        found: list[Any] = []
        poll = select.poll()
        if self.received:
            poll.register(self.pipe, 0)  # only that the child is gone ends this wait early
            poll.poll(1000 * _WAIT)
        poll.register(self.pipe, select.POLLIN)
        while not found and not self.ended and self.fault is None:
            left = self.deadline - time.monotonic()
            if left <= 0 or not poll.poll(1000 * left):
                text = f"it took more than {self.limits.clock:g} s"
                self.fault = Killed(text, limit="clock", hint="cage-time")
                break
            data = os.read(self.pipe, _CHUNK)
            if not data:
                break
            self.received += len(data)
            self.inbox += data
            if self.received > self.limits.records:
                self.fault = Killed(f"it reported more than {self.limits.records} bytes", limit="records")
                break
            found += self._frames()
        return found

    def _frames(self) -> Iterator[Any]:
        """The records of all frames that are complete."""
        at = 0
        while len(self.inbox) - at >= 4 and self.fault is None:
            end = at + 4 + _LENGTH.unpack_from(self.inbox, at)[0]
            if end > len(self.inbox):
                break
            yield from self._frame(self.inbox[at + 4 : end])
            at = end
        del self.inbox[:at]

    def _frame(self, data: bytearray) -> Iterator[Any]:
        try:
            kind, value = json.loads(data.decode("ascii"))
            if _SURROGATE.search(data):
                _encode(value)
            if kind == _RECORD:
                yield value if data.count(b"[") + data.count(b"{") < _DEPTH else _shallow(value)
            elif kind == _HELD:
                self.held = Held(tuple(map(str, value[0])), tuple((str(a), str(b)) for a, b in value[1]))
            elif kind == _FAULT:
                self.fault = _fault(value)
            elif kind == _MEMORY:
                text = f"it needs more than {self.limits.memory >> 20} MiB of memory"
                self.fault = Killed(text, limit="memory", hint="cage-memory")
            elif kind == _END:
                self.ended = True
            else:
                raise ValueError
        except (ValueError, TypeError, IndexError, KeyError, RecursionError):
            self.fault = Killed("what it reported is not a record", limit="records")

    def _reaped(self) -> tuple[int, float]:
        """(exit status or minus the signal, seconds of processor time), once the child is gone."""
        deadline = 0.0 if self.ended or self.fault is not None else time.monotonic() + _GRACE
        while True:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() >= deadline:
                with suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGKILL)
                _, status, usage = os.wait4(self.pid, 0)
                break
            time.sleep(0.001)
        return os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime


def _encode(value: Any) -> None:
    """Raises UnicodeEncodeError, a ValueError, for a text that no bytes decode to: JSON has halves of
    characters, and whoever writes such a record or looks for such a path would fail."""
    json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogateescape")


def _shallow(value: Any) -> Any:
    """``value``; ValueError where it is nested so deeply that working on it could exhaust the stack."""
    level = [value]
    for _ in range(_DEPTH):
        level = [
            part
            for each in level
            if isinstance(each, (list, dict))
            for part in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return value
    raise ValueError("nested too deeply")


def _fault(value: Any) -> ElfsigError:
    code, text, offset, hint = value
    return ReadError(
        str(text),
        code=str(code),
        offset=offset if isinstance(offset, int) else None,
        hint=hint if isinstance(hint, str) else None,
    )


def _died(status: int, processor: float, limits: Limits) -> Killed:
    """Why a child ended that did not say so itself."""
    if status >= 0:
        return Killed(f"its process ended with status {status} before it was done")
    name = _signal_name(-status)
    if -status == signal.SIGXCPU or (-status == signal.SIGKILL and processor >= limits.processor):
        text = f"it took more than {limits.processor} s of processor time"
        return Killed(text, limit="processor", signal=name, hint="cage-time")
    if -status == signal.SIGXFSZ:
        text = f"it wrote more than {limits.scratch} bytes"
        return Killed(text, limit="scratch", signal=name)
    if -status == signal.SIGSYS:
        return Killed(f"its process made a forbidden system call and was ended by {name}", signal=name)
    return Killed(f"its process was ended by {name}", signal=name)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


# --------------------------------------------------------------------------- in the child


def _serve(cage: Cage, work: Work, readable: Sequence[str], given: tuple[int, int | None]) -> NoReturn:
    """Lock in, work, report. Nothing of the parent's is cleaned up here: buffers, atexit functions.

    ``given`` are the descriptors of the pipe, and of the file for copies.
    """
    pipe, copies = given
    try:
        if copies is not None:
            room.give(copies)
        _alone(pipe, cage.keep if copies is None else (*cage.keep, copies))
        held = lock(cage.limits, [*readable, *cage.readable])
        _send(pipe, _HELD, [held.held, held.missing])
        _send(pipe, *_outcome(work, pipe))
    except BaseException:  # there is nobody to tell, and no handler above this one belongs to the child
        os._exit(1)
    os._exit(0)


def _outcome(work: Work, pipe: int) -> tuple[str, Any]:
    try:
        work(lambda record: _send(pipe, _RECORD, record))
    except MemoryError:
        return _MEMORY, None
    except ElfsigError as fault:
        return _FAULT, (fault.code, fault.text, fault.offset, fault.hint)
    except Exception as bug:  # what goes wrong at one file is its record, whatever it is
        return _FAULT, ("internal-error", f"internal error: {type(bug).__name__}: {bug}", None, None)
    return _END, None


def _send(pipe: int, kind: str, value: Any) -> None:
    data = json.dumps([kind, value]).encode("ascii")
    view = memoryview(_LENGTH.pack(len(data)) + data)
    while view:
        view = view[os.write(pipe, view) :]


def _alone(pipe: int, keep: Sequence[int]) -> None:
    """Part from the parent: a process group, signals and descriptors of its own."""
    os.setpgid(0, 0)
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGXCPU, signal.SIGPIPE):
        signal.signal(each, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writing too much to a scratch file is an error there
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
    start = 3
    for fd in sorted({pipe, *keep}):
        os.closerange(start, fd)
        start = fd + 1
    os.closerange(start, os.sysconf("SC_OPEN_MAX"))
    sys.dont_write_bytecode = True
