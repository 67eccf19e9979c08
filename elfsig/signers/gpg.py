"""GnuPG as a signer: the user's own agent and home, asked for whole OpenPGP packets.

Talks to ``gpg`` in batch mode and reads its status lines (doc/DETAILS of GnuPG). Where there is no terminal
and no display to ask for a passphrase on, the agent is instructed not to ask: it fails instead of waiting.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

from elfsig.crypto.hashes import HASHES
from elfsig.envelopes.openpgp.packets import ALGORITHM_NAMES, ALGORITHMS
from elfsig.errors import SigningError
from elfsig.model import SignOptions

PROGRAMS: Final = {"gpg": "gpg", "gpg1": "gpg1"}
"""Prefixes of ``--key``, and the program each stands for; GnuPG 1 is the one that still writes v3."""

_HASH_NAMES: Final = {"rmd160": "RIPEMD160"}
_STATUS: Final = "[GNUPG:] "
_SIGN, _ENCRYPT = "s", "e"


class _Listed(NamedTuple):
    """One key as ``gpg --with-colons`` lists it; ``secret``: the secret half is available."""

    fingerprint: str
    algorithm: int
    bits: int
    uses: str
    secret: bool


class _Answer(NamedTuple):
    code: int
    output: bytes
    status: tuple[str, ...]
    text: str

    def line(self, word: str) -> list[str] | None:
        """The fields of the last status line that begins with ``word``."""
        return next((s.split()[1:] for s in reversed(self.status) if s.split()[:1] == [word]), None)


def parse_key(text: str) -> GpgSigner | None:
    """The signer for ``gpg:KEYID`` or ``gpg1:KEYID``; None for any other text. Raises SigningError."""
    prefix, colon, keyid = text.partition(":")
    if not colon or prefix not in PROGRAMS:
        return None
    if not keyid:
        raise SigningError(f"{text}: a key id, fingerprint or user id is missing", code="no-key-id")
    return GpgSigner(keyid, program=PROGRAMS[prefix])


class GpgSigner:
    """A key in GnuPG, named by key id, fingerprint or user id. Implements model.PacketSigner.

    ``homedir`` other than the user's own is for tests. Every method raises SigningError.
    """

    def __init__(self, keyid: str, homedir: Path | None = None, program: str = "gpg") -> None:
        self.keyid = keyid
        self.homedir = homedir
        self.program = program

    @property
    def algorithm(self) -> str:
        """rsa or dsa. Raises SigningError for keys that old kernels cannot read."""
        number = self._key.algorithm
        name = ALGORITHMS.get(number)
        if name not in ("rsa", "dsa"):
            kind = ALGORITHM_NAMES.get(number, f"algorithm {number}")
            text = f"gpg:{self.keyid} is an {kind} key: kernels read OpenPGP signatures by RSA and DSA only"
            raise SigningError(text, code="wrong-key")
        return name

    @property
    def key_bits(self) -> int:
        return self._key.bits

    @property
    def fingerprint(self) -> bytes:
        """Size of the signing key: the primary key unless another one was named."""
        return bytes.fromhex(self._key.fingerprint)

    def sign_packet(self, stream: bytes, hash_name: str, options: SignOptions) -> bytes:
        """A binary detached signature over ``stream``, with the requested hash."""
        key, hash_ = self._key, HASHES[hash_name]
        if not key.secret:
            raise SigningError(f"GnuPG has no secret key for {self.keyid}", code="no-secret-key")
        wanted = (ALGORITHMS.get(key.algorithm), hash_.openpgp)
        name = _HASH_NAMES.get(hash_name, hash_name.upper())
        args = [*self._options(options), "--digest-algo", name, "--local-user", key.fingerprint + "!"]
        answer = self._run([*args, "--detach-sign", "--output", "-"], stream)
        made = answer.line("SIG_CREATED")
        if answer.code or not answer.output or made is None:
            raise self._failure("sign", answer)
        if (ALGORITHMS.get(int(made[1])), int(made[2])) != wanted:
            raise SigningError(f"GnuPG used other algorithms than requested: {' '.join(made)}")
        return answer.output

    def _options(self, options: SignOptions) -> list[str]:
        """The options for packet version and time that this GnuPG supports."""
        old = self._version < (2,)
        if options.packet_version == 3 and not old:
            text = (
                f"GnuPG {'.'.join(map(str, self._version))} writes v4 signatures only: for v3 use a PEM key"
            )
            raise SigningError(f"{text}, or gpg1:KEYID", code="packet-version")
        if options.created is not None and old:
            raise SigningError("GnuPG 1 signs with the current time only", code="signing-time")
        args = ["--force-v3-sigs" if options.packet_version == 3 else "--no-force-v3-sigs"] if old else []
        return args if options.created is None else [*args, "--faked-system-time", f"{options.created}!"]

    def encrypt_packet(self, stream: bytes) -> bytes:
        """A binary OpenPGP message holding ``stream``, encrypted to this key or its encryption subkey."""
        args = ["--trust-model", "always", "--no-encrypt-to", "--recipient", self._primary.fingerprint]
        answer = self._run([*args, "--encrypt", "--output", "-"], stream)
        if answer.code or not answer.output:
            raise self._failure("encrypt", answer)
        return answer.output

    def export(self) -> bytes:
        """The binary public ring with this key and its subkeys, without the signatures of others."""
        args = ["--export-options", "export-minimal", "--export", self._primary.fingerprint]
        answer = self._run(args, b"")
        if answer.code or not answer.output:
            raise self._failure("export", answer)
        return answer.output

    def decrypt(self, packets: bytes) -> bytes:
        """The plaintext of an OpenPGP message encrypted to this key, or to a subkey of it.

        Messages of 2004 have no integrity protection; this is accepted.
        """
        own = [key.fingerprint for key in self._listed]
        args = [] if self._version < (2, 2, 8) else ["--ignore-mdc-error"]
        answer = self._run([*args, "--decrypt", "--output", "-"], packets)
        if answer.line("DECRYPTION_OKAY") is None:
            raise self._failure("decrypt", answer)
        to = [line.split()[1] for line in answer.status if line.startswith("ENC_TO ")]
        if not any(name.endswith(each) for name in own for each in to):
            text = f"it is encrypted to {', '.join(to)}, which is not {self.keyid}"
            raise SigningError(text, code="other-key")
        return answer.output

    # ----------------------------------------------------------------- the key

    @cached_property
    def _listed(self) -> tuple[_Listed, ...]:
        """The key and its subkeys, the primary one first; with secret halves where available."""
        for command, secret in (("--list-secret-keys", True), ("--list-keys", False)):
            answer = self._run(
                ["--with-colons", "--fixed-list-mode", *_TWICE, command, "--", self.keyid], b""
            )
            rows = _rows(answer.output.decode("utf-8", "replace"), secret)
            if rows:
                return _one(rows, self.keyid)
        raise SigningError(f"GnuPG has no key {self.keyid!r} in {self._home()}", code="no-such-key")

    @property
    def _primary(self) -> _Listed:
        return self._listed[0]

    @cached_property
    def _key(self) -> _Listed:
        """The key that signs: the (sub)key named by its id, else the primary one, else any that can sign.

        GnuPG itself prefers subkeys; kernels that read section signatures ignore them.
        """
        wanted = self.keyid.removeprefix("0x").removesuffix("!").upper()
        if re.fullmatch(r"[0-9A-F]{8,40}", wanted):
            named = next((k for k in self._listed if k.fingerprint.endswith(wanted)), None)
            if named is not None and _SIGN in named.uses:
                return named
        return next((k for k in self._listed if _SIGN in k.uses), self._primary)

    # ----------------------------------------------------------------- the program

    @cached_property
    def _version(self) -> tuple[int, ...]:
        found = re.search(rb"\(GnuPG\) (\d+)\.(\d+)\.(\d+)", self._call(["--version"], b"").stdout)
        if found is None:
            raise SigningError(f"{self.program} is not GnuPG", code="no-gnupg")
        return tuple(int(part) for part in found.groups())

    def _run(self, args: Sequence[str], stdin: bytes) -> _Answer:
        quiet = ["--batch", "--no-tty", "--status-fd", "2"]
        if self._version >= (2, 1) and not _somebody_to_ask():
            quiet += ["--pinentry-mode", "error"]
        done = self._call([*quiet, *args], stdin)
        lines = done.stderr.decode("utf-8", "replace").splitlines()
        status = tuple(line.removeprefix(_STATUS) for line in lines if line.startswith(_STATUS))
        text = "; ".join(dict.fromkeys(line for line in lines if not line.startswith(_STATUS)))
        return _Answer(done.returncode, done.stdout, status, text)

    def _call(self, args: Sequence[str], stdin: bytes) -> subprocess.CompletedProcess[bytes]:
        home = ["--homedir", str(self.homedir)] if self.homedir else []
        try:
            return subprocess.run(
                [self.program, *home, *args],
                input=stdin,
                capture_output=True,
                env=_environment(),
                check=False,
            )
        except OSError as reason:
            raise SigningError(f"GnuPG ({self.program}): {reason.strerror}", code="no-gnupg") from None

    def _home(self) -> str:
        return str(self.homedir or os.environ.get("GNUPGHOME") or "~/.gnupg")

    def _failure(self, verb: str, answer: _Answer) -> SigningError:
        """What went wrong, in words, followed by GnuPG's own message."""
        known = next((text for word, text in _FAILURES.items() if word in answer.text.lower()), None)
        if known is None and answer.line("NO_SECKEY") is not None:
            known = "the secret key this was encrypted to is not available"
        said = f"GnuPG said: {answer.text}" if answer.text else f"GnuPG exited with status {answer.code}"
        why = f"{known} ({said})" if known else said
        return SigningError(f"GnuPG cannot {verb} with key {self.keyid}: {why}", code="gnupg-failed")


_TWICE: Final = ("--with-fingerprint", "--with-fingerprint")
"""Given twice, subkeys are listed with their fingerprints too."""

_FAILURES: Final = {
    "no pinentry": "the key has a passphrase, and there is no terminal to ask on",
    "no passphrase": "the key has a passphrase, and there is no terminal to ask on",
    "can't query passphrase in batch mode": "the key has a passphrase, and GnuPG 1 cannot ask for it here",
    "can't connect to the agent": "no gpg-agent could be reached or started",
    "inappropriate ioctl": "the key has a passphrase, and there is no terminal to ask on",
    "invalid length": "the hash is too short for this DSA key",
    "or larger hash": "the hash is too short for this DSA key",
    "in the future": "the key was created after the requested signing time",
    "unusable secret key": "the key is expired, revoked or not meant for signing",
    "unusable public key": "the key has no usable subkey for encryption",
}


def _rows(text: str, secret: bool) -> list[tuple[bool, _Listed]]:
    """(is a primary key, key) from a listing with colons."""
    rows: list[tuple[bool, _Listed]] = []
    head: list[str] = []
    for line in text.splitlines():
        fields = line.split(":")
        if fields[0] in ("sec", "ssb", "pub", "sub"):
            head = fields
        elif fields[0] == "fpr" and head and len(fields) > 9:
            uses = head[11] if len(head) > 11 and head[11] else _SIGN + _ENCRYPT
            stub = len(head) > 14 and head[14] == "#"
            key = _Listed(fields[9], int(head[3] or 0), int(head[2] or 0), uses, secret and not stub)
            rows.append((head[0] in ("sec", "pub"), key))
            head = []
    return rows


def _one(rows: list[tuple[bool, _Listed]], keyid: str) -> tuple[_Listed, ...]:
    """The rows of the only key. Raises SigningError if several match."""
    primaries = [key.fingerprint for primary, key in rows if primary]
    if len(primaries) > 1:
        raise SigningError(
            f"{keyid!r} names {len(primaries)} keys: {', '.join(primaries)}", code="ambiguous-key"
        )
    return tuple(key for _, key in rows)


def _terminal() -> str | None:
    """The terminal that this process was started from, if it is one of its first three files."""
    for number in (0, 1, 2):
        try:
            return os.ttyname(number)
        except OSError:
            continue
    return None


def _somebody_to_ask() -> bool:
    return bool(_terminal() or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")))


def _environment() -> dict[str, str]:
    """English messages, and the terminal for the agent, since GnuPG's own input is a pipe here."""
    env = {**os.environ, "LC_ALL": "C"}
    if (terminal := _terminal()) and not env.get("GPG_TTY"):
        env["GPG_TTY"] = terminal
    return env
