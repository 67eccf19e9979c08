"""The documents as programs: every command of README.md and of the manual is run, its output compared.

A comment ``<!-- run: NAME... -->`` (invisible in the rendered page) starts a fresh working directory that
holds the named ingredients of :mod:`tests.support.ingredients`. The fenced blocks after it run there:

* ``sh``: each command must exit with 0, or with N where its comment says "exits with N".
* ``console``: each line that starts with ``$`` is run, and the lines after it are what it must print, stdout
  and stderr together; ``...`` stands for any text, or on a line of its own for any lines; ``[exit N]`` at the
  end where the exit code is not 0.
* ``python``: run as a program of its own.

``python -m tests.support.documents`` writes what the commands print now into the console blocks, and draws
the picture.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.support import ingredients, packages
from tests.support.cli import CHECKOUT, elfsig, environment
from tests.support.system_dkms import executables
from tests.support.tools import need

MANUAL = CHECKOUT / "elfsig" / "manual" / "docs"
DOCUMENTS = sorted([*CHECKOUT.glob("*.md"), *MANUAL.rglob("*.md")])
ERAS_PAGE = MANUAL / "jobs" / "old-systems.md"
"""Run by tests/test_readme_eras.py, which asks for more."""
PICTURE = MANUAL / "coverage-map.svg"
TIMEOUT = 120
NOT_FOUND = 127
"""Exit status of a shell for a command that is not there."""

_PIECE = re.compile(
    r"^<!-- run:(?P<run>[^>]*)-->$|^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_ABSOLUTE = re.compile(
    r"(?<![\w./$}!-])/(?=(?:boot|etc|lib/modules|mnt|opt|proc/modules|root|run|usr|var)(?:[/\s\"']|$))"
)
_EXPECTED = re.compile(r"\s+#.*\bexits with (\d+)")


@dataclass(frozen=True, slots=True)
class Step:
    """One command or Python program, and what it should do. ``shown``: its output, None where not shown."""

    language: str
    command: str
    code: int = 0
    shown: str | None = None


@dataclass(frozen=True, slots=True)
class Scene:
    """What runs in one working directory."""

    document: Path
    number: int
    needed: tuple[str, ...]
    steps: tuple[Step, ...]

    @property
    def id(self) -> str:
        return f"{self.document.relative_to(CHECKOUT)}:{self.number}"


def scenes(document: Path) -> Iterator[Scene]:
    """The scenes of a document. A block before the first ``run`` comment belongs to none."""
    current: Scene | None = None
    for piece in _PIECE.finditer(document.read_text("utf-8")):
        if piece["run"] is not None:
            if current is not None:
                yield current
            number = 1 if current is None else current.number + 1
            current = Scene(document, number, tuple(piece["run"].split()), ())
        elif current is not None:
            current = replace(current, steps=(*current.steps, *_steps(piece["language"], piece["text"])))
    if current is not None:
        yield current


def _steps(language: str, text: str) -> Sequence[Step]:
    if language == "python":
        return [Step(language, text)]
    if language == "sh":
        lines = text.replace("\\\n", " ").splitlines()
        found = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
        return [Step(language, line, _code(line)) for line in found]
    if language == "console":
        return [_shown(part) for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]]
    return []


def _code(line: str) -> int:
    said = _EXPECTED.search(line)
    return int(said[1]) if said else 0


def _shown(part: str) -> Step:
    command, _, shown = part.replace("\\\n", "\0").partition("\n")
    ended = re.search(r"^\[exit (\d+)\]\n*\Z", shown, re.MULTILINE)
    return Step("console", command.replace("\0", "\\\n"), int(ended[1]) if ended else 0, shown)


# --------------------------------------------------------------------------- running


class Stage:
    """A working directory with its ingredients; ``system`` stands for the root of the machine."""

    def __init__(self, folder: Path, needed: Sequence[str]) -> None:
        self.folder = folder / "work"
        self.system = folder / "system"
        for made in (self.folder, self.system, folder / "bin"):
            made.mkdir()
        executables(folder / "bin")
        ingredients.stand_ins(folder / "bin")
        self._path = f"{folder / 'bin'}:{os.environ['PATH']}:{Path(sys.executable).parent}"
        self._extra: dict[str, str] = {}
        for name in needed:
            self._extra |= ingredients.add(name, self.folder, self.system)

    def run(self, step: Step) -> tuple[int, str]:
        """Exit code and output of a step; absolute paths are those of ``system``. Skips without its tool."""
        extra = {"PATH": self._path, "COLUMNS": "100", "LC_ALL": "C.UTF-8", "NO_MKDOCS_2_WARNING": "1"}
        if step.language == "python":
            words = [sys.executable, "-W", "error", "-c", step.command]
        else:
            words = ["bash", "-o", "pipefail", "-c", self._here(step.command)]
        done = subprocess.run(
            words, cwd=self.folder, env=environment(extra) | self._extra, timeout=TIMEOUT, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        absent = re.search(r"(\S+): command not found", done.stdout) if done.returncode == NOT_FOUND else None
        if absent is not None and absent[1] in packages.TOOLS:
            need(absent[1])
        return done.returncode, done.stdout.replace(str(self.system), "").replace(f"{self.folder}/", "")

    def _here(self, command: str) -> str:
        command = absolute(command, self.system)
        return re.sub(r"elfsig dkms (setup|resign)", rf"elfsig dkms \1 --root {self.system}", command)


def absolute(command: str, system: Path) -> str:
    """``command`` with absolute paths, and the machine that it runs on, below ``system``."""
    command = _ABSOLUTE.sub(lambda _: f"{system}/", command)
    return command.replace("--this-machine", f"--root {system}")


def fits(shown: str, printed: str) -> bool:
    """Whether ``printed`` is what the document shows, whose ``...`` stand for anything."""
    pattern = "".join(
        r"(?:.*\n)*?" if line.strip() == "..." else r"[^\n]*".join(map(re.escape, line.split("..."))) + r"\n"
        for line in shown.strip("\n").split("\n")
        if shown.strip("\n")
    )
    return re.fullmatch(pattern, printed.strip("\n") + "\n" if printed.strip("\n") else "") is not None


def printed(code: int, output: str) -> str:
    """Output as a console block shows it."""
    text = "\n".join(line.rstrip() for line in output.splitlines())
    return text + "\n" + (f"[exit {code}]\n" if code else "") if text or code else ""


def _abridged(shown: str, text: str) -> str:
    """``text``, shortened where ``shown`` is: lines that a line with ``...`` fits, and lines left out."""
    old = shown.strip("\n").split("\n")
    short = [line for line in old if "..." in line and line.strip() != "..."]
    lines = [next((s for s in short if fits(s, line)), line) for line in text.splitlines()]
    here = 0
    for at in [n for n, line in enumerate(old) if line.strip() == "..."]:
        before, after = old[at - 1] if at else None, old[at + 1] if at + 1 < len(old) else None
        start = 0 if before is None else lines.index(before, here) + 1 if before in lines[here:] else None
        if start is not None and before != "" and (after is None or after in lines[start:]):
            lines[start : len(lines) if after is None else lines.index(after, start)] = ["..."]
            here = start + 1
    gap = "\n" if shown.endswith("\n\n") else ""
    return "".join(f"{line}\n" for line in lines) + gap


def refresh(document: Path) -> bool:
    """Write what the console blocks' commands print now; whether anything changed."""
    before = after = document.read_text("utf-8")
    for scene in scenes(document):
        with tempfile.TemporaryDirectory() as folder:
            stage = Stage(Path(folder), scene.needed)
            for step in scene.steps:
                code, output = stage.run(step)
                if step.shown is None:
                    if code != step.code:
                        print(f"{scene.id}: exit {code}: {step.command}\n{output}")
                elif not fits(step.shown, printed(code, output)):
                    old = f"$ {step.command}\n{step.shown}"
                    new = f"$ {step.command}\n{_abridged(step.shown, printed(code, output))}"
                    if after.count(old) != 1:
                        print(f"{scene.id}: shown more than once, mend by hand: {step.command}")
                    after = after.replace(old, new, 1)
    if after != before:
        document.write_text(after, "utf-8")
    return after != before


def draw(target: Path) -> None:
    """Draw README's picture: the coverage map of a vector that was signed with the original tools."""
    vectors = CHECKOUT / "corpus" / "vectors"
    module, ring = vectors / "modules" / "note-sorted-amd64-dsa.ko", vectors / "keys" / "dsa1024.pub.gpg"
    done = elfsig("coverage", module.name, "--trust", ring, "--svg", target, cwd=module.parent)
    assert done.code == 0, done.err


def main() -> None:
    """Refresh the documents named on the command line, or all and the picture."""
    chosen = [Path(word).resolve() for word in sys.argv[1:]] or DOCUMENTS
    if not sys.argv[1:]:
        draw(PICTURE)
    for document in chosen:
        if refresh(document):
            print(f"written: {document.relative_to(CHECKOUT)}")


if __name__ == "__main__":
    main()
