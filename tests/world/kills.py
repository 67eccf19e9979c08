"""End a writing command with SIGKILL at one point after another, and judge what is left.

A command runs in a child of this process, which has imported everything already. It is ended before its Nth
call that changes a file, for every N; and after a random time, which also falls between such calls.
"""

from __future__ import annotations

import builtins
import errno
import os
import random
import select
import shutil
import signal
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from elfsig.batch import journal
from elfsig.opened.atomic import TEMPORARY
from tests.support.run import run

CALLS = (
    "open", "write", "pwrite", "close", "fsync", "replace", "rename", "link", "symlink", "unlink", "remove",
    "mkdir", "rmdir", "chmod", "fchmod", "chown", "fchown", "setxattr", "truncate", "ftruncate",
)  # fmt: skip
"""Functions of ``os`` at which a command is ended."""

LEFTOVERS = (TEMPORARY, journal.SUFFIX)
"""Suffixes of what a killed command may leave, until the next one."""

SECONDS = 60
"""How long a command may take."""

Canonical = Callable[[str, bytes], bytes]
State = Mapping[str, tuple[str, int, bytes]]


def same(path: str, content: bytes) -> bytes:
    """The content as it is."""
    return content


class Verb(NamedTuple):
    """A command that writes. ``prepare`` makes its files in an empty folder; ``words`` are its arguments, in
    which ``{}`` is the folder. ``canonical`` leaves out of a file differs in every run. ``judge`` says
    what is wrong with a state, where every run makes other content, such as a new key; else each file must be
    as it was before the command or as it is after it. ``again`` are the exit codes of a whole run.
    """

    name: str
    prepare: Callable[[Path], None]
    words: tuple[str, ...]
    canonical: Canonical = same
    judge: Callable[[Path], Iterator[str]] | None = None
    again: tuple[int, ...] = (0,)

    def arguments(self, folder: Path) -> list[str]:
        return [word.replace("{}", str(folder)) for word in self.words]


class Outcome(NamedTuple):
    """What became of one verb: points tried, at how many of them it was ended early, what was wrong."""

    verb: str
    tried: int
    ended: int
    faults: tuple[str, ...]


def is_leftover(path: str) -> bool:
    """Whether a killed command may leave this, until the next one."""
    return any(part.endswith(LEFTOVERS) for part in path.split("/"))


def snapshot(folder: Path, canonical: Canonical = same) -> State:
    """Every file, link and folder below ``folder``: kind, mode, and a digest of what is in it."""
    found: dict[str, tuple[str, int, bytes]] = {}
    for base, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(base, name)
            where, status = os.path.relpath(path, folder), os.lstat(path)
            if stat.S_ISLNK(status.st_mode):
                found[where] = "link", 0, os.fsencode(os.readlink(path))
            elif stat.S_ISDIR(status.st_mode):
                found[where] = "folder", stat.S_IMODE(status.st_mode), b""
            else:
                content = Path(path).read_bytes()
                leftover = is_leftover(where)
                kept = content if leftover else canonical(where, content)
                found[where] = "file", stat.S_IMODE(status.st_mode), sha256(kept).digest()
    return found


def differences(now: State, before: State, after: State) -> Iterator[str]:
    """What is neither as before the command nor as after it."""
    for path, state in now.items():
        known = [each[path] for each in (before, after) if path in each]
        if not known and not is_leftover(path):
            yield f"{path}: neither before nor after the command was there such a file"
        elif known and state not in known:
            yield f"{path}: neither as before nor as after the command"
    for path in before:
        if path not in now and path in after:
            yield f"{path}: lost"


# --------------------------------------------------------------------------- the child


def _countdown(left: int) -> None:
    """End this process before the ``left``th call that changes a file."""
    counter = iter(range(left, -1, -1))

    def guarded(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if not next(counter, 1):
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **named)

        return call

    for name in CALLS:
        setattr(os, name, guarded(getattr(os, name)))
    builtins.open = guarded(builtins.open)


def child(words: Sequence[str], before: Callable[[], None] = lambda: None) -> int:
    """A process, leader of a group of its own, that runs elfsig; ``before`` is called first. Its id."""
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(null, number)
        before()
        code = run(*words).code
    finally:
        os._exit(code)


def ended(pid: int, within: float = SECONDS) -> bool:
    """Wait for a child, at most ``within`` seconds, then kill its group; whether it was ended by a kill."""
    handle = os.pidfd_open(pid)
    try:
        select.select([handle], [], [], within)
    finally:
        os.close(handle)
    try:
        os.killpg(pid, signal.SIGKILL)
    except OSError as reason:
        if reason.errno not in (errno.ESRCH, errno.EPERM):
            raise
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status)


# --------------------------------------------------------------------------- one verb


class Trial:
    """A verb with the states before and after it."""

    def __init__(self, verb: Verb, folder: Path) -> None:
        self.verb, self.folder = verb, folder
        self._template = folder / "template"
        self._template.mkdir(parents=True)
        self.work = folder / "work"
        verb.prepare(self._template)
        self.reset()
        self.before = snapshot(self.work, verb.canonical)
        begun = time.monotonic()
        ran = run(*verb.arguments(self.work))
        assert ran.code in verb.again, (verb.name, ran)
        self.lasts = time.monotonic() - begun
        self.after = snapshot(self.work, verb.canonical)
        assert self.after != self.before, f"{verb.name} writes nothing"

    def reset(self) -> None:
        """The files as they were before the command."""
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.copytree(self._template, self.work, symlinks=True)

    def at(self, before: Callable[[], None], within: float = SECONDS) -> tuple[bool, list[str]]:
        """Run the command to an early end, and again: whether it was ended, and what is wrong then."""
        self.reset()
        early = ended(child(self.verb.arguments(self.work), before), within)
        faults = [f"killed: {each}" for each in self._wrong(snapshot(self.work, self.verb.canonical))]
        again = run(*self.verb.arguments(self.work))
        if again.code not in self.verb.again:
            faults.append(f"the next run: exit code {again.code}: {again.err.strip()[-300:]}")
        final = snapshot(self.work, self.verb.canonical)
        faults += [f"after the next run: {path} is left" for path in final if is_leftover(path)]
        if self.verb.judge is not None:
            faults += [f"after the next run: {each}" for each in self.verb.judge(self.work)]
        elif final != self.after:
            wrong = sorted(p for p in {*final, *self.after} if final.get(p) != self.after.get(p))
            faults += [f"after the next run: {path} is not as it should be" for path in wrong]
        return early, faults

    def _wrong(self, now: State) -> Iterator[str]:
        if self.verb.judge is not None:
            return self.verb.judge(self.work)
        return differences(now, self.before, self.after)


def calls(trial: Trial) -> int:
    """How many calls that change a file the command makes."""
    low, high = 0, 16
    while trial_ends(trial, high):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if trial_ends(trial, middle) else (low, middle)
    return high


def trial_ends(trial: Trial, number: int) -> bool:
    """Whether the command is ended at call ``number``."""
    trial.reset()
    return ended(child(trial.verb.arguments(trial.work), lambda: _countdown(number)))


def survive(verb: Verb, folder: Path, points: int, seed: int = 1) -> Outcome:
    """End ``verb`` at so many points: half of them calls, spread over all there are, half of them times."""
    trial, dice = Trial(verb, folder), random.Random(f"{seed} {verb.name}")
    number = calls(trial)
    chosen = [dice.randrange(number) for _ in range(points - points // 2)]
    if len(chosen) >= number:
        chosen[:number] = range(number)
    faults: list[str] = []
    early = 0
    for at in chosen:
        came, wrong = trial.at(lambda at=at: _countdown(at))  # type: ignore[misc]
        early += came
        faults += [f"call {at}: {each}" for each in wrong]
    for _ in range(points // 2):
        moment = dice.uniform(0, trial.lasts * 1.2)
        came, wrong = trial.at(lambda: None, moment)
        early += came
        faults += [f"after {moment:.4f} s: {each}" for each in wrong]
    return Outcome(verb.name, points, early, tuple(dict.fromkeys(faults)))


def table(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """The outcomes as lines: points tried, commands ended early, points after which all was well."""
    rows = [
        (each.verb, (each.tried, each.ended, each.tried - len({f.partition(":")[0] for f in each.faults})))
        for each in outcomes
    ]
    total = [sum(column) for column in zip(*(numbers for _, numbers in rows), strict=True)]
    width = max(len(name) for name, _ in rows)
    yield f"{'command':{width}}  tried  ended early  survived"
    for name, (tried, early, survived) in [*rows, ("all", (total[0], total[1], total[2]))]:
        yield f"{name:{width}}  {tried:5}  {early:11}  {survived:8}"
