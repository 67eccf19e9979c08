"""Runs targets, each in a process of its own, and reports what they did: executions, coverage, findings."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.fuzz.oracles import Judge
from tests.fuzz.target import Finding, Target

_DONE = re.compile(r"^stat::number_of_executed_units:\s+(\d+)", re.MULTILINE)
_LINE = re.compile(r"^#(\d+)\s+\S+.*?cov: (\d+) ft: (\d+) corp: (\d+)", re.MULTILINE)
_FOUND = re.compile(r"^FINDING \S+ (.*) (\S+)$", re.MULTILINE)
_ARTIFACT = re.compile(r"Test unit written to (\S+)")


class Result(NamedTuple):
    """What one target did. ``edges`` and ``features`` are libFuzzer's counts, over elfsig alone; ``findings``
    are paths of inputs, ``trouble`` is the end of the output where the child did not end by its time."""

    target: str
    executions: int
    seconds: float
    edges: int
    features: int
    corpus: int
    findings: tuple[Path, ...]
    trouble: str = ""

    @property
    def rate(self) -> float:
        """Executions per second."""
        return self.executions / self.seconds if self.seconds else 0.0


class Plan(NamedTuple):
    """How to run: ``keep`` is a folder for the corpora, which the next run goes on from; None to begin again
    each time. ``findings`` is where inputs are saved."""

    seconds: int
    findings: Path
    keep: Path | None = None
    seed: int = 1
    jobs: int = 1


def all_targets() -> list[Target]:
    """Every row of the table, in its order."""
    from importlib import import_module

    from tests.fuzz.targets import AREAS

    return [each for area in AREAS for each in import_module(f"tests.fuzz.targets.{area}").TARGETS]


def chosen(words: Sequence[str]) -> list[str]:
    """The names of the targets that ``words`` name: in full, or an area. Raises LookupError."""
    known = [each.name for each in all_targets()]
    found = [name for word in words for name in known if name == word or name.partition("/")[0] == word]
    if missing := [
        word for word in words if not any(word in (name, name.partition("/")[0]) for name in known)
    ]:
        raise LookupError(f"no target {missing[0]!r}")
    return found if words else known


def run(names: Sequence[str], plan: Plan, done: Callable[[Result], object]) -> list[Result]:
    """Fuzz each target for its time, ``plan.jobs`` at once; ``done`` is called as each ends."""
    plan.findings.mkdir(parents=True, exist_ok=True)
    found: list[Result] = []

    def share(part: Sequence[str]) -> None:
        for result in fuzz(part, plan):
            done(result)
            found.append(result)

    with ThreadPoolExecutor(plan.jobs) as pool:
        list(pool.map(share, [part for start in range(plan.jobs) if (part := names[start :: plan.jobs])]))
    return sorted(found, key=lambda each: names.index(each.target))


def fuzz(names: Sequence[str], plan: Plan) -> Iterator[Result]:
    """Fuzz some targets in one child process, which has a process for each."""
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "tests.fuzz.child", "--seconds", str(plan.seconds), "--logs", folder]
        words += ["--seed", str(plan.seed), "--keep", str(plan.keep or Path(folder, "corpora"))]
        words += ["--findings", str(plan.findings), *names]
        left = list(names)
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None and child.stderr is not None
            for line in child.stdout:
                name, code, seconds = line.split()
                left.remove(name)
                log = Path(folder, name.replace("/", "-")).read_text("utf-8", "replace")
                yield _result(name, log, int(code), float(seconds))
            said = child.stderr.read()
        for name in left:
            yield Result(name, 0, 0, 0, 0, 0, (), f"it was not begun: {said[-2000:]}")


def _result(name: str, output: str, code: int, seconds: float) -> Result:
    lines = list(_LINE.finditer(output))
    last = [int(part) for part in lines[-1].groups()] if lines else [0, 0, 0, 0]
    total = _DONE.search(output)
    paths = [Path(m[2]) for m in _FOUND.finditer(output)]
    paths += [Path(m[1]) for m in _ARTIFACT.finditer(output)]
    trouble = "" if code == 0 else output[-2000:] or f"no output, status {code}"
    executions = int(total[1]) if total else last[0]
    return Result(name, executions, seconds, last[1], last[2], last[3], tuple(paths), trouble)


def table(results: Sequence[Result]) -> Iterator[str]:
    """The report, as lines of text."""
    heads = ("executions", "per s", "edges", "features", "corpus", "findings")
    yield f"{'target':40} " + " ".join(f"{head:>10}" for head in heads)
    for each in results:
        counts = (
            each.executions,
            round(each.rate),
            each.edges,
            each.features,
            each.corpus,
            len(each.findings),
        )
        yield f"{each.target:40} " + " ".join(f"{count:10}" for count in counts)
    yield f"{'all':40} {sum(each.executions for each in results):10}"


def repeat(name: str, path: Path) -> Finding | None:
    """Judge one saved input again, in this process and without instrumentation."""
    target = next(each for each in all_targets() if each.name == name)
    return Judge(target, sample=2)(path.read_bytes())
