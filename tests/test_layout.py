"""Text by the width of the terminal: words stay whole, rows take two lines, and pipes get what there is."""

from __future__ import annotations

import os
import pty
import struct
import subprocess
import sys
from fcntl import ioctl
from pathlib import Path
from termios import TIOCSWINSZ

import pytest

import corpus
from elfsig.cli.examples import EXAMPLES
from elfsig.cli.render import table
from tests.support.cli import environment

OTHER = corpus.FOLDER / "keys" / "other.cert.pem"
ROWS = [("Id", "State", "Text"), ("one", "ok", "a sentence of a few words"), ("three", "STOP", "short")]


def on_terminal(width: int, *words: str | Path) -> str:
    """What ``elfsig WORDS`` prints on a terminal of this width."""
    primary, secondary = pty.openpty()
    ioctl(secondary, TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    env = {k: v for k, v in environment({"NO_COLOR": "1"}).items() if k not in ("COLUMNS", "FORCE_COLOR")}
    command = [sys.executable, "-m", "elfsig", *words]
    with subprocess.Popen(command, stdout=secondary, stderr=subprocess.DEVNULL, env=env):
        os.close(secondary)
        shown = b""
        while True:
            try:
                part = os.read(primary, 1 << 16)
            except OSError:  # EIO: the other end is closed
                break
            if not part:
                break
            shown += part
    os.close(primary)
    return shown.decode().replace("\r\n", "\n")


def test_without_a_terminal_nothing_is_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "terminal_width", lambda: None)
    long = [("a" * 90, "b" * 90)]
    assert table.aligned(long) == f"{'a' * 90}  {'b' * 90}"
    assert table.laid_out("x " * 200) == "x " * 200


@pytest.mark.parametrize("width", [20, 30, 45, 60, 80, 200])
def test_words_stay_whole_and_none_is_lost(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "terminal_width", lambda: width)
    shown = table.aligned(ROWS)
    assert sorted(shown.split()) == sorted(word for row in ROWS for cell in row for word in cell.split())
    assert all(len(line) <= width for line in shown.splitlines())


def test_the_last_column_is_wrapped_where_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "terminal_width", lambda: 46)
    rows = [("1.", "marker", "ok", "the file ends in the 28-byte marker"), ("2.", "digest", "ok", "short")]
    assert table.aligned(rows) == (
        "1.  marker  ok  the file ends in the 28-byte\n                marker\n2.  digest  ok  short"
    )


def test_columns_that_do_not_fit_follow_on_a_second_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "terminal_width", lambda: 30)
    rows = [("name", "x" * 20, "y" * 20), ("other", "-", "z")]
    assert table.aligned(rows) == f"name   {'x' * 20}\n    {'y' * 20}\nother  -\n    z"


@pytest.mark.parametrize(
    "words",
    [
        ["list", "{}"],
        ["verify", "{}", "--trust", str(OTHER)],
        ["verify", "{}", "--trust", str(OTHER), "--kernel", "6.12", "--enforce"],
        ["explain", "{}", "--kernel", "6.12"],
        ["formats", "--no-plugins"],
        ["coverage", "{}"],
        ["compare", "{}", "{}"],
        ["digest", "{}"],
        ["keys", "list", str(OTHER)],
        ["kernels"],
        ["audit", "{}", "--trust", str(OTHER)],
        ["help"],
        *(["help", name] for name in ("sign", "keys", "convert", "coverage")),
    ],
    ids=lambda words: " ".join(words[:1] + words[2:]),
)
def test_no_line_is_wider_than_the_terminal(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m.ko").write_bytes(corpus.content("amd64.pkcs7"))
    monkeypatch.chdir(tmp_path)
    shown = on_terminal(80, *(word.format("m.ko") for word in words))
    longest = max(shown.splitlines(), key=len)
    assert len(longest) <= 80 or len(max(longest.split(), key=len)) > 60, longest


def test_examples_fit_into_eighty_columns() -> None:
    assert not [line for lines in EXAMPLES.values() for line in lines if len(line) > 76]


def test_what_stands_between_words_stays() -> None:
    assert [*table.wrapped("m.ko:   note: one two", 16)] == ["m.ko:   note:", "  one two"]
    assert [*table.wrapped("    cms  show  booted  4.3 to today", 26)] == [
        "    cms  show  booted  4.3",
        "      to today",
    ]
