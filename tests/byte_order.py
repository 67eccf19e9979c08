"""``python -m tests.byte_order [STEP]``: what elfsig says of the samples, as one JSON line each.

Under interpreters of both byte orders the lines must be the same (:mod:`tests.pythons`). What depends on the
time, on chance or on this machine's paths is not in them.
"""

from __future__ import annotations

import gzip
import io
import json
import lzma
import sys
import tarfile
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any

import lz4.frame
import zstandard

import corpus
import elfsig
from elfsig.coverages import relocations
from elfsig.errors import ElfsigError
from tests.support.cpio import newc
from tests.support.elf import many, toy

CERT, KEY = corpus.KEYS / "signer.cert.pem", corpus.KEYS / "signer.key.pem"
WRITERS = {"plain": sys.maxsize, "numpy": 0}
"""From how many relocations on numpy writes their records."""


def attempt(call: Callable[[], Any]) -> Any:
    """What it gives, or the error that it raises on purpose."""
    try:
        return call()
    except ElfsigError as fault:
        return f"{type(fault).__name__} {fault.code}: {fault}"


def hashed(content: bytes) -> str:
    return sha256(content).hexdigest()


def inputs() -> Iterator[tuple[str, bytes]]:
    """Samples of every class, byte order and era, and files made here."""
    for sample in corpus.select():
        yield sample.name, sample.data()
    for order in "<>":
        yield f"toy {order}", toy(order=order)
    yield "many sections", many(70_000, symbol_in=0xFF10)


def digests(data: bytes) -> dict[str, Any]:
    """The digest under every coverage, by either writer of records."""
    found: dict[str, Any] = {}
    for name, least in WRITERS.items():
        relocations.LARGE = relocations.SMALL = least
        for each in (None, "fileorder", "sorted", "textdata"):
            made = attempt(lambda each=each: [d.to_json() for d in elfsig.digest(data, each)])  # type: ignore[misc]
            found[f"{name} {each}"] = made
    return found


def edits(data: bytes) -> dict[str, Any]:
    """What is written: with another signature, and without any."""
    signer = elfsig.open_signer(KEY, CERT)
    options = elfsig.SignOptions(force=True, created=1_200_000_000)
    found = {}
    for format_ in ("pkcs7", "x509", "redhat", "gkh"):
        made = attempt(
            lambda f=format_: elfsig.sign(data, f, signer, options, existing=elfsig.Existing.STACK)  # type: ignore[misc]
        )
        found[format_] = made if isinstance(made, str) else hashed(made.content)
    bare = attempt(lambda: elfsig.strip(data, everything=True))
    found["strip"] = bare if isinstance(bare, str) else hashed(bare.content)
    return found


def about(data: bytes) -> dict[str, Any]:
    """Everything about one module."""
    changed = data[:-1] + bytes([data[-1] ^ 1]) if data else data
    ring = elfsig.keyring(CERT.read_bytes())
    verified = elfsig.verify(data, ring).to_json()
    if verified["compression"] is not None:
        del verified["sha256"]  # samples are compressed by each system's own zlib
    return {
        "verify": verified,
        "digests": digests(data),
        "coverage": attempt(lambda: [each.to_json() for each in elfsig.coverage(data, ring)]),
        "predict": {
            kernel: attempt(lambda k=kernel: elfsig.predict(data, k, ring).to_json())  # type: ignore[misc]
            for kernel in ("6.1", "rhel5", "rhel6", "3.7")
        },
        "compare": attempt(lambda: elfsig.compare(data, changed).to_json()),
        "edits": edits(data),
    }


def packed(content: bytes) -> Iterator[tuple[str, bytes]]:
    """A module in every wrapping that needs no outside program."""
    yield "gzip", gzip.compress(content, mtime=0)
    yield "xz", lzma.compress(content)
    yield "zstd", zstandard.compress(content)
    yield "lz4", lz4.frame.compress(content)
    yield "cpio", newc({"a.ko": content})
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("a.ko")
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    yield "tar", out.getvalue()


def lines(step: int) -> Iterator[tuple[str, Any]]:
    """(name, what is said of it), of each ``step``th sample."""
    for name, data in list(inputs())[::step]:
        yield name, about(data)
    for name, data in packed(corpus.content("amd64.pkcs7")):
        yield name, attempt(lambda data=data: [hashed(m.content) for m in elfsig.members(data)])  # type: ignore[misc]
    yield (
        "keys",
        [
            key.to_json()
            for key in elfsig.list_keys([p.read_bytes() for p in sorted(corpus.KEYS.glob("*.cert.pem"))])
        ],
    )


def main() -> None:
    """Print the lines."""
    for name, said in lines(int(sys.argv[1]) if len(sys.argv) > 1 else 1):
        print(json.dumps([name, said], sort_keys=True), flush=True)


if __name__ == "__main__":
    main()
