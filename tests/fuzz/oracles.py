"""The judge of one input: only promised exceptions, time linear, memory bounded."""

from __future__ import annotations

import time
import traceback
import tracemalloc
from collections.abc import Callable

from tests.fuzz.target import Broken, Finding, Target

RETRIES = 3
"""How often a slow input is tried again: the first run may have imported modules or filled caches."""

REFERENCE = 0.010
"""Seconds of processor time that :func:`_reference` takes on the machine that the limits are for."""

SAMPLE = 64
"""Every how many inputs the memory that Python allocates is measured; what the process takes always is."""


class Judge:
    """Runs a target's inputs and says what is wrong; ``count`` is the number of inputs so far."""

    def __init__(self, target: Target, *, sample: int = SAMPLE) -> None:
        self.target, self.count, self._sample = target, 0, sample
        self._peak = _resident()

    def __call__(self, data: bytes) -> Finding | None:
        """The finding of this input, None if all is well."""
        self.count += 1
        if self.count % self._sample == 0:
            return self._traced(data)
        begun = time.process_time()
        found = self._run(data)
        spent = time.process_time() - begun
        if found is None and spent > self._seconds(data):
            found = self._slow(data)
        return found or self._grown(data)

    def _run(self, data: bytes) -> Finding | None:
        try:
            self.target.run(data)
        except self.target.promised as reason:
            return None if _is_promised(reason) else self._finding(data, reason)
        except Exception as reason:  # whatever it is, it was not promised
            return self._finding(data, reason)
        return None

    def _finding(self, data: bytes, reason: BaseException) -> Finding:
        cause = reason.__cause__ if type(reason).__name__ == "InternalError" else None
        shown = cause or reason
        kind = shown.code if isinstance(shown, Broken) else type(shown).__name__
        return Finding(self.target.name, kind, _where(shown), _text(shown), data)

    # ------------------------------------------------------------------ time

    def _seconds(self, data: bytes) -> float:
        return self.target.limits.seconds + len(data) * self.target.limits.per_byte

    def _slow(self, data: bytes) -> Finding | None:
        """A finding if the input is slow each time; the fastest of some runs counts, in seconds of the
        machine that the limits are for."""
        fastest = min(_timed(lambda: self._run(data)) / _slowness() for _ in range(RETRIES))
        if fastest <= self._seconds(data):
            return None
        text = f"{len(data)} bytes took {fastest:.3f} s of processor time; limit {self._seconds(data):.3f} s"
        return Finding(self.target.name, "slow", f"{self.target.name}:{len(data).bit_length()}", text, data)

    # ------------------------------------------------------------------ memory

    def _bytes(self, data: bytes) -> int:
        return self.target.limits.memory + len(data) * self.target.limits.memory_per_byte

    def _grown(self, data: bytes) -> Finding | None:
        """A finding if the process has suddenly taken more memory than ever before."""
        before, self._peak = self._peak, _resident()
        return self._memory(data, self._peak - before, "the process grew by")

    def _traced(self, data: bytes) -> Finding | None:
        """As for other inputs, but with Python's own count of bytes instead of a clock."""
        tracemalloc.start()
        try:
            found = self._run(data)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        self._peak = _resident()
        return found or self._memory(data, peak, "Python allocated")

    def _memory(self, data: bytes, size: int, what: str) -> Finding | None:
        if size <= self._bytes(data):
            return None
        text = f"{what} {size} bytes for {len(data)} bytes of input; limit {self._bytes(data)}"
        return Finding(self.target.name, "memory", self.target.name, text, data)


def _is_promised(reason: BaseException) -> bool:
    """InternalError is a subclass of what is promised, and stands for what is not."""
    return type(reason).__name__ != "InternalError" or getattr(reason, "code", "") == "plug-in-error"


def _reference() -> None:
    sorted(str(number) for number in range(40_000))


def _slowness() -> float:
    """How many times slower this machine is at this moment, where it is slower: processors that share
    caches with a busy neighbour take more time for the same."""
    return max(1.0, _timed(_reference) / REFERENCE)


def _timed(call: Callable[[], object]) -> float:
    begun = time.process_time()
    call()
    return time.process_time() - begun


def _resident() -> int:
    """The most memory that this process has had, in bytes."""
    # Not ru_maxrss: that begins with the peak of whoever started the process.
    with open("/proc/self/status", "rb") as status:
        peak = next(line for line in status if line.startswith(b"VmHWM:"))
    return int(peak.split()[1]) * 1024


def _where(reason: BaseException) -> str:
    """The innermost line of elfsig, else the innermost line of all."""
    frames = traceback.extract_tb(reason.__traceback__)
    own = [f for f in frames if "/elfsig" in f.filename and "/tests/" not in f.filename]
    chosen = own or [f for f in frames if "/tests/" in f.filename] or frames
    if not chosen:
        return "unknown"
    if isinstance(reason, RecursionError):  # the depth at which it ends is chance
        return chosen[0].filename.rpartition("/")[2] + " recursion"
    last = chosen[-1]
    return f"{last.filename.rpartition('/')[2]}:{last.name}:{last.lineno}"


def _text(reason: BaseException) -> str:
    lines = traceback.format_exception(type(reason), reason, reason.__traceback__)
    return "".join(lines[:2] + lines[2:][-16:])[-8000:]
