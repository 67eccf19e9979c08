"""The values of the global options, and messages on stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any

import click

from elfsig.cli.render.table import laid_out, terminal_width

if TYPE_CHECKING:
    from elfsig.model import Loss
    from elfsig.registry import Registry

COLORS = ("auto", "always", "never")


class Settings:
    """What the global options say; commands get it through ``@click.pass_obj``.

    ``argv`` are the words of the command line, without the program's name. ``run`` is what the ``run`` of
    JSON documents says besides them, ``losses`` what could not be read of key sources, in order.
    """

    def __init__(self, argv: tuple[str, ...] = (), plugins: bool = True) -> None:
        self.argv = argv
        self.run: dict[str, Any] = {}
        self.losses: dict[Loss, None] = {}
        self.plugins = plugins
        self.color: bool | None = None

    def colored(self, stream: IO[str]) -> bool:
        """Whether to use colour on ``stream``."""
        return stream.isatty() if self.color is None else self.color

    @staticmethod
    def choose_color(wish: str, environ: Mapping[str, str] = os.environ) -> bool | None:
        """True, False, or None: then each stream gets colour if it is a terminal.

        The option takes precedence over the environment, and NO_COLOR over FORCE_COLOR.
        """
        if wish != "auto":
            return wish == "always"
        if environ.get("NO_COLOR"):
            return False
        return True if environ.get("FORCE_COLOR") else None

    @property
    def registry(self) -> Registry:
        """The formats. For each plug-in that cannot be loaded, one warning is printed, once."""
        from elfsig import registry

        loaded = registry.load(self.plugins)
        for failure in loaded.failures:
            if failure not in _warned:
                _warned.add(failure)
                complain(f"format plug-in {failure.name} was not loaded: {failure.reason}", word="warning: ")
        return loaded


_warned: set[object] = set()


def visible(text: str) -> str:
    """``text`` for a terminal or a line of a report: control characters and undecodable bytes escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file name that is not UTF-8 (PEP 383)
        return f"\\x{code - 0xDC00:02x}"
    return char.encode("unicode_escape").decode("ascii")


def complain(text: str, path: str | None = None, *, word: str = "") -> None:
    """One line on stderr: ``elfsig: PATH: text``; wrapped between words where stderr is a terminal."""
    where = f"{visible(path)}: " if path is not None else ""
    line = f"elfsig: {where}{word}{visible(text)}"
    if sys.stderr.isatty():
        line = laid_out(line, terminal_width(sys.stderr))
    click.echo(line, err=True)
