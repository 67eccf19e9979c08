"""The other tools of each era as judges over modules that elfsig signed."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from elfsig import registry
from elfsig.carriers.trailer import MARKER
from elfsig.opened.places import LocatedSignature
from elfsig.verbs.verify.detached import from_argument
from tests.support import reference_streams as reference
from tests.support.gnupg import Home, home
from tests.support.opened import opened
from tests.support.tools import need

REGISTRY = registry.load(plugins=False)


class Signed(NamedTuple):
    """A module, and its detached signature if it has one."""

    content: bytes
    argument: str | None = None

    def found(self, format_id: str) -> LocatedSignature:
        """The outermost signature of this format."""
        module = opened(self.content, REGISTRY)
        if self.argument is not None:
            return from_argument(self.argument)(module)
        return next(f for f in module.places if format_id in {c.id for c in f.claimants})


class Judges:
    """GnuPG, openssl, modinfo and evmctl, with one RSA key and certificate and one OpenPGP ring for each key.

    Every judge gets the blob as stored in the module and the bytes that it signs, and nothing of elfsig's
    opinion.
    """

    def __init__(self, gnupg: Home, folder: Path, cert: Path) -> None:
        self.gnupg = gnupg
        self.folder = folder
        self.cert = cert
        self.public = folder / "public.pem"
        self.public.write_bytes(self._run("openssl", "x509", "-in", cert, "-noout", "-pubkey").stdout)

    def accept(self, format_id: str, signed: Signed, coverage: str = "whole-file") -> bool:
        """Whether the tool of the format's time calls the signature good."""
        found = signed.found(format_id)
        blob = found.place.blob
        if format_id in ("gkh", "redhat", "note"):
            stream = reference.stream(coverage, signed.content, found.place.index)
            return self.gnupg.accepts(blob, stream)
        stream = signed.content[: found.place.start]
        judge = {
            "crypto-pgp": self.gnupg.accepts, "modarg-pgp": self.gnupg.accepts, "pkcs7": self._cms,
            "x509": self._raw, "x509-rc1": self._raw, "crypto-digsig": self._evmctl,
        }[format_id]  # fmt: skip
        good = judge(blob, stream)
        return good and (format_id not in MODINFO or self._modinfo(signed.content) == MODINFO[format_id])

    def _files(self, blob: bytes, stream: bytes) -> tuple[Path, Path]:
        paths = self.folder / "module.sig", self.folder / "module"
        for path, data in zip(paths, (blob, stream), strict=True):
            path.write_bytes(data)
        return paths

    def _cms(self, blob: bytes, stream: bytes) -> bool:
        signature, content = self._files(blob, stream)
        done = self._run(
            "openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", signature, "-content", content,
            "-certfile", self.cert, "-noverify", "-out", "/dev/null",
        )  # fmt: skip
        return done.returncode == 0

    def _raw(self, blob: bytes, stream: bytes) -> bool:
        """The RSA value at the end of an X.509-era block; SHA-256, 2048 bits."""
        signature, content = self._files(blob[-256:], stream)
        done = self._run(
            "openssl", "dgst", "-sha256", "-verify", self.public, "-signature", signature, content
        )
        return done.returncode == 0

    def _evmctl(self, blob: bytes, stream: bytes) -> bool:
        _, content = self._files(b"\x03" + blob, stream)
        done = self._run("evmctl", "ima_verify", "--rsa", "--key", self.public, "--sigfile", content)
        return done.returncode == 0 and b"verification is OK" in done.stdout + done.stderr

    def _modinfo(self, content: bytes) -> str:
        assert content.endswith(MARKER)
        path = self.folder / "module.ko"
        path.write_bytes(content)
        return self._run("modinfo", "-F", "sig_id", path).stdout.decode().strip()

    def _run(self, *line: str | Path) -> subprocess.CompletedProcess[bytes]:
        words = [need(str(line[0])), *map(str, line[1:])]
        return subprocess.run(words, capture_output=True, check=False, stdin=subprocess.DEVNULL)


MODINFO = {"x509": "X509", "pkcs7": "PKCS#7"}
"""What modinfo calls the trailers that it knows."""


@contextmanager
def judges(folder: Path, cert: Path, rings: list[bytes]) -> Iterator[Judges]:
    """The judges of one test run; GnuPG holds ``rings``. Skips where one of them is missing."""
    for name in ("openssl", "modinfo", "evmctl"):
        need(name)
    with home("gpg", rings) as gnupg:
        yield Judges(gnupg, folder, cert)
