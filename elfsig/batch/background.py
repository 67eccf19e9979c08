"""Work that is done in a process of its own while this one does something else."""

from __future__ import annotations

import os
import pickle
import select
import signal
import threading
import warnings
from collections.abc import Callable
from typing import Generic, NoReturn, TypeVar

R = TypeVar("R")


def is_possible(jobs: int) -> bool:
    """Whether a second process has a processor to run on, and this process may be forked."""
    return jobs > 1 and threading.active_count() == 1


class Background(Generic[R]):
    """``work``, begun in a forked process. What it returns should be cheap to pickle."""

    def __init__(self, work: Callable[[], R]) -> None:
        self._work = work
        self._pipe, theirs = os.pipe()
        with warnings.catch_warnings():
            # Python threads were ruled out; those of native libraries hold no lock that the work needs.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._pid = os.fork()
        if not self._pid:
            os.close(self._pipe)
            self._serve(theirs)
        os.close(theirs)

    def is_done(self) -> bool:
        """Whether :meth:`result` would not wait for long."""
        return bool(select.select([self._pipe], [], [], 0)[0])

    def result(self) -> R:
        """What ``work`` returns. Where the process failed, the work is done here, and raises what it does."""
        with os.fdopen(self._pipe, "rb") as stream:
            data = stream.read()
        if os.waitpid(self._pid, 0)[1] or not data:
            return self._work()
        found: R = pickle.loads(data)
        return found

    def _serve(self, pipe: int) -> NoReturn:
        status = 1
        try:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            data = pickle.dumps(self._work(), pickle.HIGHEST_PROTOCOL)
            with os.fdopen(pipe, "wb") as stream:
                stream.write(data)
            status = 0
        finally:
            # Whatever failed is done again, and reported, by the process that waits. No clean-up of its own
            # buffers and atexit functions.
            os._exit(status)
