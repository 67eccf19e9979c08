"""Bundles of evidence in other hands: unpacked with GNU tar, and checked without elfsig or Python."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.tools import need

COREUTILS = ("cat", "dd", "dirname", "md5sum", "mktemp", "od", "rm", "sha1sum", "sha224sum",
             "sha256sum", "sha384sum", "sha512sum", "tail", "tr", "wc")  # fmt: skip
"""All that recheck.sh may need of the GNU coreutils."""

CHECKERS = ("openssl", "gpgv", "gzip", "xz", "zstd")


class Checked(NamedTuple):
    """How recheck.sh ended: its exit status, and what it says of each folder."""

    code: int
    words: Mapping[str, str]
    out: str
    err: str


def unpacked(archive: Path, folder: Path) -> Path:
    """The bundle of an archive, below ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run([need("tar"), "-xf", archive, "-C", folder], check=True)
    return folder / "evidence"


def tools(folder: Path, *more: str, without: Iterable[str] = ()) -> Path:
    """A directory with a shell, coreutils and CHECKERS, and nothing else."""
    path = folder / "bin"
    path.mkdir(parents=True, exist_ok=True)
    (path / "sh").symlink_to(need("dash"))
    for name in (*COREUTILS, *CHECKERS, *more):
        if name not in without:
            (path / name).symlink_to(need(name))
    return path


def recheck(bundle: Path, path: Path, *words: str, shell: str = "sh") -> Checked:
    """Run recheck.sh with an environment of nothing but PATH, from another directory."""
    done = subprocess.run(
        [shell if os.sep in shell else str(path / shell), str(bundle / "recheck.sh"), *words],
        env={"PATH": str(path)}, cwd="/", capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = (re.fullmatch(r"(m\d{5,}) [a-z-]+: (.*)", line) for line in done.stdout.splitlines())
    said = [(line[1], line[2]) for line in lines if line is not None]
    return Checked(done.returncode, dict(said), done.stdout, done.stderr)


def index(bundle: Path) -> list[tuple[str, str, str]]:
    """(folder, verdict, path) of each place of a module."""
    lines = (bundle / "index.tsv").read_text("ascii").splitlines()
    rows = [line.split("\t") for line in lines]
    return [(row[0], row[1], json.loads(row[5])) for row in rows]


def records(bundle: Path) -> list[dict[str, Any]]:
    """Everything that was found."""
    return [json.loads(line) for line in (bundle / "records.jsonl").read_text("utf-8").splitlines()]
