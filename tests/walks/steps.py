"""One step of a job: a command, how it has to end, and what has to be read in its output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.cli import Ran, elfsig

NEVER = ("Traceback", "internal error")


@dataclass(frozen=True, slots=True)
class Job:
    """The steps of one user, in the folder ``place`` and with ``env``."""

    place: Path
    env: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, *words: str | Path, code: int = 0, says: tuple[str, ...] = (), **more: str) -> Ran:
        """Run ``elfsig WORDS``; ``says`` are parts of its output, in any order and however lines break."""
        ran = elfsig(*words, env={**self.env, **more}, cwd=self.place)
        text = " ".join((ran.out + " " + ran.err).split())
        shown = f"elfsig {' '.join(map(str, words))}\n{ran.out}\n{ran.err}"
        assert ran.code == code, shown
        for part in says:
            assert part in text, f"{part!r} is not in\n{shown}"
        assert not any(word in text for word in NEVER), shown
        return ran
