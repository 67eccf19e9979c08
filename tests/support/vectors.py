"""The known-answer vectors under ``corpus/vectors``, those made from a Debian package rebuilt on demand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from elfsig.carriers.trailer import INFO, MARKER, unpack_info
from elfsig.trust.keyring import load
from elfsig.trust.ring import Ring
from tests.support.debian import cloud_modules
from tests.support.kernels import CLOUD

ROOT = Path(__file__).resolve().parents[2] / "corpus" / "vectors"

Vector = Mapping[str, Any]


@cache
def manifest() -> Mapping[str, Any]:
    """The whole manifest; its fields are explained in ``corpus/vectors/README.md``."""
    loaded: Mapping[str, Any] = json.loads((ROOT / "manifest.json").read_text())
    return loaded


def vectors() -> Sequence[Vector]:
    """All 65, in the manifest's order."""
    found: Sequence[Vector] = manifest()["vectors"]
    return found


def each(entries: Iterable[Vector]) -> pytest.MarkDecorator:
    """One test for each of ``entries``."""
    return pytest.mark.parametrize("entry", [pytest.param(v, id=v["id"]) for v in entries])


def vector(name: str) -> Vector:
    """The vector of this id."""
    return next(v for v in vectors() if v["id"] == name)


@cache
def key_ring(*names: str) -> Ring:
    """The vectors' keys of these names, vouched for."""
    return load([str(ROOT / name) for name in names])


def read(name: str) -> bytes:
    """A file of the vectors, named as in the manifest."""
    return (ROOT / name).read_bytes()


@cache
def package_module() -> bytes:
    """The unsigned ``xt_comment.ko`` of Debian's package; skips the test where that cannot be had."""
    package = manifest()["package"]
    found = [path for path in cloud_modules() if str(path).endswith(package["path"])]
    content = found[0].read_bytes() if found else b""
    end = len(content) - len(MARKER) - INFO.size
    if end > 0:
        content = content[: end - unpack_info(content[end : end + INFO.size]).sig_len]
    if hashlib.sha256(content).hexdigest() != package["unsigned_sha256"]:
        pytest.skip(f"gone: {CLOUD} {package['version']} is no longer on the mirrors")
    return content


def rebuild(recipe: Sequence[Sequence[Any]], sources: Mapping[str, bytes]) -> bytes:
    """Put a module together from runs of ``sources`` and literal bytes."""
    return b"".join(
        bytes.fromhex(step[1]) if step[0] == "bytes" else sources[step[0]][step[1] : step[1] + step[2]]
        for step in recipe
    )


def module(entry: Vector) -> bytes:
    """The module of a vector, its SHA-256 checked; skips the test where its package cannot be had."""
    about = entry["module"]
    if about["source"] == "file":
        content = read(about["path"])
    else:
        sources = {"module": package_module()}
        if "signature" in entry:
            sources["signature"] = read(entry["signature"])
        content = rebuild(about["recipe"], sources)
    assert hashlib.sha256(content).hexdigest() == about["sha256"], entry["id"]
    return content
