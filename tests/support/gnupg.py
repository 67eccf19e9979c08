"""GnuPG homes for tests: made in a short-lived directory, their agent ended with them."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.tools import need


class Home:
    """One home of one GnuPG program ("gpg" or "gpg1")."""

    def __init__(self, path: Path, program: str) -> None:
        self.path = path
        self.program = program

    def run(self, *args: str | Path, stdin: bytes = b"", check: bool = True) -> bytes:
        """Standard output of a batch run."""
        line = [self.program, "--homedir", str(self.path), "--batch", "--no-tty", "--quiet", *map(str, args)]
        done = subprocess.run(line, input=stdin, capture_output=True, check=False)
        assert not check or done.returncode == 0, done.stderr.decode()
        return done.stdout

    def generate(self, name: str, algorithm: str, use: str, passphrase: str = "") -> None:
        """A key pair that never expires (GnuPG 2)."""
        self.run(*_secret(passphrase), "--quick-generate-key", name, algorithm, use, "never")

    def add_subkey(self, name: str, algorithm: str, use: str) -> None:
        """A subkey for a key without passphrase (GnuPG 2)."""
        self.run(*_secret(""), "--quick-add-key", self.fingerprint(name), algorithm, use, "never")

    def fingerprint(self, name: str) -> str:
        """Of a primary key, in upper-case hex."""
        lines = self.run("--with-colons", "--fingerprint", "--list-keys", name).decode().splitlines()
        return next(line.split(":")[9] for line in lines if line.startswith("fpr"))

    def accepts(self, signature: bytes, stream: bytes) -> bool:
        """Whether GnuPG calls a detached signature over ``stream`` good."""
        files = [self.path / "signature", self.path / "stream"]
        for path, data in zip(files, (signature, stream), strict=True):
            path.write_bytes(data)
        status = self.run("--status-fd", "1", "--verify", *files, check=False).decode()
        return "[GNUPG:] GOODSIG" in status


def _secret(passphrase: str) -> tuple[str, ...]:
    return "--pinentry-mode", "loopback", "--passphrase", passphrase


@contextmanager
def home(program: str, rings: Sequence[bytes] = ()) -> Iterator[Home]:
    """A new home that holds the keys of ``rings``. Skips the test where the program is missing."""
    need(program)
    path = Path(tempfile.mkdtemp(prefix="pgp"))
    try:
        made = Home(path, program)
        for ring in rings:
            made.run("--import", stdin=ring)
        yield made
    finally:
        subprocess.run(["gpgconf", "--homedir", str(path), "--kill", "all"], capture_output=True, check=False)
        shutil.rmtree(path, ignore_errors=True)
