"""Tokens in software: SoftHSM2 with a store of its own for each test module."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from tests.support.tools import need

PIN, SO_PIN = "1234", "87654321"


@dataclass(frozen=True, slots=True)
class SoftHsm:
    """One store of tokens below ``folder``; ``module`` is the PKCS#11 library."""

    folder: Path
    module: str

    @property
    def environment(self) -> dict[str, str]:
        return {"SOFTHSM2_CONF": str(self.folder / "softhsm2.conf")}

    def token(self, label: str, pin: str = PIN) -> None:
        """Make a token."""
        self._run(
            need("softhsm2-util"),
            "--init-token",
            "--free",
            "--label",
            label,
            "--pin",
            pin,
            "--so-pin",
            SO_PIN,
        )

    def generate(self, token: str, label: str, kind: str, number: int) -> None:
        """Make a key pair inside a token: kind as pkcs11-tool wants it, such as rsa:2048 or EC:secp384r1."""
        self._tool(token, "--keypairgen", "--key-type", kind, "--id", f"{number:02x}", "--label", label)

    def load(self, token: str, key: Path, label: str, number: int) -> None:
        """Put a private key (PKCS#8, PEM) and its public half into a token."""
        where = ("--token", token, "--label", label, "--id", f"{number:02x}", "--pin", PIN)
        self._run(need("softhsm2-util"), "--import", str(key), *where)

    def certify(self, token: str, certificate: Path, label: str, number: int) -> None:
        """Put a certificate (DER) into a token."""
        named = ("--type", "cert", "--id", f"{number:02x}", "--label", label)
        self._tool(token, "--write-object", str(certificate), *named)

    def public(self, token: str, number: int) -> bytes:
        """The DER SubjectPublicKeyInfo of a key pair in a token."""
        out = self.folder / "public.der"
        self._tool(token, "--read-object", "--type", "pubkey", "--id", f"{number:02x}", "-o", str(out))
        return out.read_bytes()

    def uri(self, token: str, label: str, *query: str) -> str:
        """The URI of a private key, with the library and more in its query."""
        attributes = "&".join([f"module-path={quote(self.module)}", *query])
        return f"pkcs11:token={quote(token)};object={quote(label)};type=private?{attributes}"

    def _tool(self, token: str, *arguments: str) -> None:
        login = ("--module", self.module, "--token-label", token, "--login", "--pin", PIN)
        self._run(need("pkcs11-tool"), *login, *arguments)

    def _run(self, *words: str) -> None:
        done = subprocess.run(words, env={**os.environ, **self.environment}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def make(folder: Path) -> SoftHsm:
    """An empty store. Skips the test where SoftHSM is missing."""
    module = need("softhsm2.so")
    (folder / "tokens").mkdir()
    config = f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n"
    (folder / "softhsm2.conf").write_text(config)
    return SoftHsm(folder, module)
