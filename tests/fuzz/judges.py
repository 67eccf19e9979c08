"""Other implementations as judges of signatures over ``seeds.CONTENT``: openssl, gpgv, and plain arithmetic.

The two programs cost milliseconds, so they judge the first verdicts of each kind and then a sample; what is
not installed does not judge.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import corpus
import elfsig
from elfsig.envelopes.openpgp.keys import is_armoured
from elfsig.envelopes.openpgp.packets import SIGNATURE, read_packets
from elfsig.model import FileReport, SignOptions, Verdict
from elfsig.trust.ring import Ring
from tests.fuzz import seeds
from tests.fuzz.target import Broken
from tests.support.cms import message
from tests.support.packages import locate

GOOD = (Verdict.VALID, Verdict.UNTRUSTED)
FIRST, THEN = 10, {True: 20, False: 400}
"""How many verdicts of each kind are judged, and then every which one."""

PREFIXES = {
    "sha1": "3021300906052b0e03021a05000414",
    "sha224": "302d300d06096086480165030402040500041c",
    "sha256": "3031300d060960864801650304020105000420",
    "sha384": "3041300d060960864801650304020205000430",
    "sha512": "3051300d060960864801650304020305000440",
}
"""DigestInfo up to the digest (RFC 8017, 9.2, note 1)."""

BEYOND = (b"no matching digest", b"DigestAlgorithm_init_bio", b"Field=certificates", b"Field=crls")
"""Errors of openssl about what does not decide the value: digestAlgorithms, which kernels do not read, and
damaged certificates in the message, which make kernels refuse what the key in the ring has signed."""

NO_DIGEST = b"CMS Verification failure\n"
"""All that openssl says where digestAlgorithms is empty."""

_counted: Counter[tuple[str, bool]] = Counter()
_seen: set[bytes] = set()


@cache
def ring() -> Ring:
    """The keys of the corpus and of its vectors, all vouched for."""
    sources: list[Any] = [*corpus.certificates(), *(each for each in seeds.rings() if each[:1] != b"\x95")]
    found = elfsig.keyring(sources)
    assert found is not None
    return found


def signed(name: str) -> Iterator[bytes]:
    """Signatures of the envelope ``name`` over CONTENT by the throw-away keys."""
    envelope, what = seeds.REGISTRY.envelopes[name], message(seeds.CONTENT)
    key = next(path for path in (corpus.FOLDER / "vectors/keys").glob("*secret*"))
    signers = [
        elfsig.open_signer(corpus.KEYS / "signer.key.pem", corpus.KEYS / "signer.cert.pem"),
        elfsig.open_signer(key),
    ]
    for signer in signers:
        for payload, hash_ in product((None, "v2", "raw-rsa"), ("sha256", None)):
            with suppress(elfsig.ElfsigError):
                yield envelope.create(what, signer, SignOptions(payload=payload, hash=hash_))[0]


def judge(name: str, signature: Any, blob: bytes, good: bool) -> None:
    """Ask whoever knows the envelope ``name``; raises Broken for another opinion."""
    if name in ("x509-block", "raw-rsa"):
        _arithmetic(name, signature, good)
    elif name in ("cms", "openpgp") and _sampled(name, blob, good):
        (_openssl if name == "cms" else _gpgv)(blob, good)


def _sampled(name: str, blob: bytes, good: bool) -> bool:
    digest = hashlib.sha256(blob).digest()
    if good and digest in _seen:
        return False
    _seen.add(digest)
    _counted[name, good] += 1
    number = _counted[name, good]
    return number <= FIRST or number % THEN[good] == 0


# --------------------------------------------------------------------------- arithmetic


def _arithmetic(name: str, signature: Any, good: bool) -> None:
    """RSA by pow(): the padded digest as RFC 8017 has it, byte for byte."""
    prefix = PREFIXES.get(signature.hash)
    if prefix is None or signature.algorithm != "rsa":
        return
    body = bytes.fromhex(prefix) + hashlib.new(signature.hash, seeds.CONTENT).digest()
    found = False
    for numbers in _rsa_numbers():
        size = (numbers.n.bit_length() + 7) // 8
        block = b"\0\1" + b"\xff" * (size - len(body) - 3) + b"\0" + body
        value = int.from_bytes(signature.value)
        if (
            len(signature.value) == size
            and value < numbers.n
            and pow(value, numbers.e, numbers.n) == int.from_bytes(block)
        ):
            found = True
    if found != good:
        raise Broken("arithmetic", f"{name}: elfsig says {good}, arithmetic says {found}")


@cache
def _rsa_numbers() -> tuple[Any, ...]:
    return tuple(key.public.public_numbers() for key in ring().keys if key.algorithm == "rsa")


# --------------------------------------------------------------------------- programs


@cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="judges"))
    (folder / "content").write_bytes(seeds.CONTENT)
    (folder / "certificates.pem").write_bytes(b"".join(path.read_bytes() for path in corpus.certificates()))
    (folder / "ring.gpg").write_bytes(b"".join(each for each in seeds.rings() if each[:1] != b"\x95"))
    return folder


def _run(*words: str | Path) -> subprocess.CompletedProcess[bytes] | None:
    program = locate(str(words[0]))
    if program is None:
        return None
    return subprocess.run(
        [program, *words[1:]], capture_output=True, check=False, stdin=subprocess.DEVNULL, timeout=60
    )


def module(content: bytes, report: FileReport) -> None:
    """Ask openssl about a module with one PKCS#7 trailer that is called good."""
    if len(report.signatures) != 1:
        return
    (found,) = report.signatures
    if found.format != "pkcs7" or found.place.where != "content" or found.verdict not in GOOD:
        return
    if _sampled("module", content, True):
        (_folder() / "module").write_bytes(content[: found.place.start])
        _openssl(bytes(found.place.blob), True, "module")


def _openssl(blob: bytes, good: bool, content: str = "content") -> None:
    signature = _folder() / "signature.der"
    signature.write_bytes(blob)
    done = _run(
        "openssl",
        "cms",
        "-verify",
        "-binary",
        "-inform",
        "DER",
        "-in",
        signature,
        "-content",
        _folder() / content,
        "-certfile",
        _folder() / "certificates.pem",
        "-noverify",
        "-out",
        "/dev/null",
    )
    if done is None or done.stderr == NO_DIGEST or any(text in done.stderr for text in BEYOND):
        return
    if good and done.returncode != 0:
        raise Broken("openssl", f"elfsig calls it good, openssl does not: {done.stderr[-400:].decode()}")


REJECTED = re.compile(rb"Rejected Uses:\n\s+(?:.*, )?(?:Code Signing|Any Extended Key Usage)(?:,|\n)")
"""What ``openssl x509 -text`` says of a certificate that is not to sign code."""


def trust_settings(block: bytes, trusted: bool) -> None:
    """Ask openssl about a trusted certificate in PEM that elfsig has read, and trusts or not."""
    if not trusted or not _sampled("settings", block, False):
        return
    path = _folder() / "trusted.pem"
    path.write_bytes(block)
    done = _run("openssl", "x509", "-in", path, "-noout", "-text")
    if done is not None and (done.returncode != 0 or REJECTED.search(done.stdout)):
        raise Broken("settings", f"elfsig trusts it; openssl: {(done.stderr or done.stdout)[-400:].decode()}")


def _signatures(blob: bytes) -> bytes:
    """The signature packets alone: others, which kernels pass over, make gpgv refuse all."""
    if is_armoured(blob[:64]):
        return blob
    found = [each for each in read_packets(blob, lenient=True) if each.tag == SIGNATURE]
    return b"".join(blob[each.start : each.end] for each in found)


def _gpgv(blob: bytes, good: bool) -> None:
    signature = _folder() / "signature.gpg"
    signature.write_bytes(_signatures(blob))
    done = _run(
        "gpgv",
        "--homedir",
        _folder(),
        "--status-fd",
        "1",
        "--keyring",
        _folder() / "ring.gpg",
        signature,
        _folder() / "content",
    )
    if done is None:
        return
    if b"[GNUPG:] NO_PUBKEY" in done.stdout:  # a key of X.509 has no id that gpgv could know
        return
    if good and b"[GNUPG:] GOODSIG" not in done.stdout:
        raise Broken("gpgv", f"elfsig calls it good, gpgv does not: {done.stderr[-400:].decode()}")
