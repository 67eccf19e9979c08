"""Targets under libFuzzer, each in a process of its own: ``python -m tests.fuzz.child``.

elfsig is instrumented while it is imported, which takes seconds, so a parent imports and each target is a
fork of it. Nothing may import elfsig before :func:`main` has set the hook. Findings are saved as they are
met, and the run goes on; a crash of the interpreter, a hang and memory beyond the limit end the process, and
libFuzzer saves the input.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import sys
import time
import traceback
from importlib import import_module
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import atheris

from tests.fuzz.oracles import Judge
from tests.fuzz.target import Finding, Target

WARM = 3
"""Seeds that are tried before a target's process is made."""

SLACK = 120
"""Seconds that a process may take beyond three times its time, before it is ended."""

MOST_FINDINGS = 25
"""Different findings of one run, after which it ends."""

OWN = 0.6
"""Share of inputs that the target's own mutator changes; libFuzzer's changes the rest."""


class _Quiet:
    """Standard error of Python without the line that atheris writes for each module."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return len(text) if text.startswith("INFO: Instrumenting") else self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def save(folder: Path, finding: Finding) -> Path:
    """Keep the input and what is wrong with it; the name is that of the finding."""
    name = hashlib.sha256(finding.identity.encode()).hexdigest()[:12]
    path = folder / f"{finding.target.replace('/', '-')}-{name}"
    path.write_bytes(finding.data)
    facts = {"target": finding.target, "kind": finding.kind, "where": finding.where, "text": finding.text}
    path.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n")
    return path


class Run:
    """The function that libFuzzer calls, and what it has found."""

    def __init__(self, target: Target, folder: Path) -> None:
        self.judge, self.folder = Judge(target), folder
        self.seen: set[str] = set()

    def __call__(self, data: bytes) -> None:
        """Judge one input, and save a finding that is new."""
        found = self.judge(data)
        if found is None or found.identity in self.seen:
            return
        self.seen.add(found.identity)
        path = save(self.folder, found)
        print(f"FINDING {found.target} {found.identity} {path}", file=sys.stderr, flush=True)
        if len(self.seen) >= MOST_FINDINGS:
            raise RuntimeError(f"{MOST_FINDINGS} different findings: enough")


def load(name: str) -> Target:
    """The target of this name. Raises KeyError."""
    targets: tuple[Target, ...] = import_module(f"tests.fuzz.targets.{name.partition('/')[0]}").TARGETS
    return {each.name: each for each in targets}[name]


def mutator(target: Target) -> Any:
    """The custom mutator for libFuzzer: the target's own, a general one, or libFuzzer's, by chance."""
    from tests.fuzz.mutate.plain import plain

    own = target.mutate or plain

    def mutate(data: bytes, size: int, seed: int) -> bytes:
        chance = Random(seed)
        if chance.random() > OWN:
            return bytes(atheris.Mutate(data, size))
        changed = own(data, size, chance)
        return changed[:size] if changed else b"\0"

    return mutate


def _options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("targets", nargs="+")
    parser.add_argument("--seconds", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, required=True)
    parser.add_argument("--findings", type=Path, required=True)
    parser.add_argument("--logs", type=Path, required=True)
    return parser.parse_args(argv)


def _quoted(word: bytes) -> str:
    return '"' + "".join(f"\\x{byte:02x}" for byte in word) + '"'


def fuzz(target: Target, options: argparse.Namespace) -> None:
    """Fuzz until the time is up; libFuzzer ends the process."""
    name = target.name.replace("/", "-")
    corpus = options.keep / name
    corpus.mkdir(parents=True, exist_ok=True)
    for data in target.seeds():
        (corpus / hashlib.sha256(data).hexdigest()[:20]).write_bytes(data)
    flags = [
        "-print_final_stats=1",
        "-timeout=120",
        "-rss_limit_mb=3072",
        "-report_slow_units=100000",
        "-verbosity=1",
        "-len_control=20",
    ]
    if target.words:
        words = options.logs / f"{name}.words"
        words.write_text("\n".join(map(_quoted, target.words)) + "\n")
        flags.append(f"-dict={words}")
    flags += [f"-max_len={target.max_len}", f"-seed={options.seed}", f"-max_total_time={options.seconds}"]
    flags.append(f"-artifact_prefix={options.findings}/{name}-")
    run = Run(target, options.findings)
    atheris.Setup(["fuzz", *flags, str(corpus)], run, custom_mutator=mutator(target))
    atheris.Fuzz()


def _warm(target: Target) -> None:
    """Have what the target imports late imported and instrumented, once for all processes."""
    judge = Judge(target)
    for data in islice(target.seeds(), WARM):
        judge(data)


def _forked(target: Target, options: argparse.Namespace) -> int:
    """Fuzz in a process of its own; returns its exit status, -1 for one that had to be ended."""
    pid = os.fork()
    if not pid:
        log = os.open(
            options.logs / target.name.replace("/", "-"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600
        )
        os.dup2(log, 1)
        os.dup2(log, 2)
        try:
            fuzz(target, options)
        finally:
            traceback.print_exc()
            os._exit(3)
    end = time.monotonic() + 3 * options.seconds + SLACK
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return -1


def main(argv: list[str]) -> None:
    """Fuzz one target after the other, and say on standard output when one is done and how it ended."""
    options = _options(argv)
    sys.stderr = _Quiet(sys.stderr)
    atheris.instrument_imports(["elfsig", "elfsig_formats"], enable_loader_override=False).__enter__()
    for target in map(load, options.targets):
        begun = time.monotonic()
        _warm(target)
        print(target.name, _forked(target, options), round(time.monotonic() - begun, 2), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
