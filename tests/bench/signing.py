"""Signing 1000 modules with RSA-2048 against the kernel's own sign-file."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

from corpus import KEYS
from tests.bench.measure import Command, Row, elfsig_command, medians, run
from tests.bench.workload import SIGNED, Workload, tool, unsigned

LOOP = (
    "tool=$1; key=$2; cert=$3; out=$4; shift 4; "
    'for f in "$@"; do "$tool" sha256 "$key" "$cert" "$f" "$out/${f##*/}"; done'
)
XARGS = (
    "tool=$1; key=$2; cert=$3; out=$4; shift 4; "
    'printf "%s\\0" "$@" | xargs -0 -P2 -I{} sh -c \'"$1" sha256 "$2" "$3" "$5" "$4/${5##*/}"\' '
    'sh "$tool" "$key" "$cert" "$out" {}'
)


def rows(work: Workload) -> list[Row]:
    """``sign`` of a directory into another one; the outputs are the same bytes."""
    source, key, certificate = unsigned(work, SIGNED), KEYS / "signer.key.pem", KEYS / "signer.cert.pem"
    files = sorted(source.iterdir())
    outputs = {name: work.scratch / name for name in ("ours", "loop", "xargs")}
    mine: list[str | Path] = [
        *elfsig_command(),
        "sign",
        "-q",
        source,
        "--format",
        "pkcs7",
        "--key",
        key,
        "--cert",
        certificate,
    ]
    fixed: list[str | Path] = [tool("sign-file"), key, certificate]
    commands: dict[str, Command] = {
        "ours": [*mine, "--output-dir", outputs["ours"]],
        "loop": ["sh", "-c", LOOP, "sh", *fixed, outputs["loop"], *files],
        "xargs": ["sh", "-c", XARGS, "sh", *fixed, outputs["xargs"], *files],
    }
    taken = medians({name: partial(_fresh, outputs[name], command) for name, command in commands.items()}, 3)
    for path in files:
        expected = (outputs["loop"] / path.name).read_bytes()
        if (outputs["ours"] / path.name).read_bytes() != expected:
            raise AssertionError(f"{path.name}: not what sign-file makes")
    what = f"elfsig sign, {len(files)} modules, RSA-2048"
    return [
        Row(what, "sign-file, one call each", taken["ours"], taken["loop"], 5, faster=True),
        Row(what, "xargs -P2 sign-file", taken["ours"], taken["xargs"], 1, faster=True),
    ]


def _fresh(output: Path, command: Command) -> float:
    """Seconds of ``command``, which writes into the empty directory ``output``."""
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir()
    return run(command)
