"""Five programs that people write with the library, run on signed, unsigned and malformed modules.

Each is a function that could stand in a script as it is; what it prints or returns is held against what the
files are known to be.
"""

from __future__ import annotations

import hashlib
import lzma
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

import corpus
import elfsig

KEY, CERT, OTHER = (corpus.KEYS / f"{name}.pem" for name in ("signer.key", "signer.cert", "other.cert"))
PLAIN, SIGNED = corpus.content("amd64-6.1.ko"), corpus.content("amd64.pkcs7")

FILES = {
    "signed.ko": SIGNED,
    "packed.ko.xz": lzma.compress(SIGNED, check=lzma.CHECK_CRC32),
    "plain.ko": PLAIN,
    "changed.ko": corpus.content("content-changed"),
    "marker-cut.ko": SIGNED[:-1],
    "cut.ko": SIGNED[: len(PLAIN) // 2],
    "empty.ko": b"",
    "text.ko": b"not a module\n",
    "stacked.ko": corpus.content("el7.stacked"),
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "broken.ko.xz").write_bytes(FILES["packed.ko.xz"][:-100])
    return tmp_path


# --------------------------------------------------------------------------- 1: a gate in a build


def refused(tree: Path, certificate: Path) -> dict[str, str]:
    """The modules below ``tree`` that are not validly signed by the owner of ``certificate``, and why."""
    found = {}
    for report in elfsig.verify_tree(tree, trust=certificate, jobs=2):
        try:
            report.require_valid()
        except elfsig.VerificationError as reason:
            found[Path(report.path).name] = reason.code
    return found


def test_a_gate(tree: Path) -> None:
    codes = refused(tree, CERT)
    assert codes.keys() == {*FILES, "broken.ko.xz"} - {"signed.ko", "packed.ko.xz", "stacked.ko"}
    assert codes["plain.ko"] == "unsigned"
    assert codes["changed.ko"] == "invalid"
    assert codes["marker-cut.ko"] == codes["cut.ko"] == codes["empty.ko"] == "malformed"
    assert codes["text.ko"] == "unsigned"
    assert codes["broken.ko.xz"] == "decompression-damaged"
    assert refused(tree, OTHER).keys() == {*FILES, "broken.ko.xz"}


# --------------------------------------------------------------------------- 2: who signed what


def signers(paths: Iterable[Path]) -> Iterator[tuple[str, str, str]]:
    """(file, format, signer) of every signature, by what it says of itself: nothing is verified."""
    for path in paths:
        try:
            signatures = elfsig.list_signatures(path)
        except elfsig.ReadError as reason:
            yield path.name, "-", f"cannot be read: {reason.text}"
            continue
        for signature in signatures:
            claims = signature.claims
            name = claims.signer if claims is not None else None
            yield path.name, signature.format or "unknown", name or "no name"
        if not signatures:
            yield path.name, "-", "no signature"


def test_who_signed_what(tree: Path) -> None:
    rows = list(signers(sorted(tree.iterdir())))
    by_name = {name: (form, signer) for name, form, signer in rows}
    assert by_name["signed.ko"] == by_name["packed.ko.xz"] == ("pkcs7", "THROW-AWAY test key signer")
    assert by_name["plain.ko"] == by_name["text.ko"] == by_name["empty.ko"] == ("-", "no signature")
    assert by_name["broken.ko.xz"][1].startswith("cannot be read")
    assert Counter(name for name, _, _ in rows)["stacked.ko"] == 2


# --------------------------------------------------------------------------- 3: sign again with another key


def signed_again(path: Path, key: bytes, certificate: bytes, old: Path) -> bytes:
    """The content of ``path`` with a new signature, if the old one was valid; keys come from memory."""
    signer = elfsig.open_signer(load_pem_private_key(key, None), x509.load_pem_x509_certificate(certificate))
    module = elfsig.open(path)
    elfsig.verify(module, trust=old).require_valid()
    options = elfsig.SignOptions(hash="sha512")
    return elfsig.sign(module, "pkcs7", signer, options, existing=elfsig.Existing.REPLACE).content


def test_sign_again(tree: Path) -> None:
    key, certificate = KEY.read_bytes(), CERT.read_bytes()
    for name in ("signed.ko", "packed.ko.xz"):
        done = signed_again(tree / name, key, certificate, CERT)
        (signature,) = elfsig.verify(done, trust=CERT).signatures
        assert signature.verdict is elfsig.Verdict.VALID
        assert signature.claims is not None and signature.claims.hash == "sha512"
        assert elfsig.strip(done).content == PLAIN
    for name in refused(tree, CERT):
        with pytest.raises((elfsig.VerificationError, elfsig.ReadError)):
            signed_again(tree / name, key, certificate, CERT)


# --------------------------------------------------------------------------- 4: will this kernel load it?


def why_not(path: Path, kernel: str, certificate: Path) -> str | None:
    """None if ``kernel`` loads the module while it enforces signatures, else the reason."""
    try:
        told = elfsig.explain(path, kernel, trust=certificate, mode=elfsig.Mode(enforcing=True))
    except elfsig.ReadError as reason:
        return reason.text
    if told.accepted:
        return None
    first = told.answer.predictions[0]
    return f"{first.errno}: {first.reason}"


def test_will_it_load(tree: Path) -> None:
    for name in ("signed.ko", "packed.ko.xz"):
        assert why_not(tree / name, "6.1", CERT) is None
    for name, certificate in (("plain.ko", CERT), ("changed.ko", CERT), ("signed.ko", OTHER)):
        assert str(why_not(tree / name, "6.1", certificate)).startswith("EKEYREJECTED: ")
    assert str(why_not(tree / "empty.ko", "6.1", CERT)) == "EINVAL: the file is empty"
    assert "damaged" in str(why_not(tree / "broken.ko.xz", "6.1", CERT))


# --------------------------------------------------------------------------- 5: the same module as shipped?


def differs(found: Path, shipped: Path) -> str | None:
    """None if two files are the same module, whoever signed it and however it is compressed."""
    comparison = elfsig.compare(found, shipped)
    return None if comparison.is_same else comparison.sentence


def test_the_same_module(tree: Path) -> None:
    assert differs(tree / "packed.ko.xz", tree / "signed.ko") is None
    assert differs(tree / "plain.ko", tree / "signed.ko") is None
    for name in ("changed.ko", "cut.ko", "empty.ko", "text.ko"):
        assert differs(tree / name, tree / "signed.ko"), name
    with pytest.raises(elfsig.ReadError):
        differs(tree / "broken.ko.xz", tree / "signed.ko")


def test_a_digest_for_another_tool(tree: Path) -> None:
    """What openssl or a signing service would be given: the hash of the unsigned content."""
    (digest,) = elfsig.digest(tree / "packed.ko.xz", "whole-file", hash="sha512")
    assert digest.digest == hashlib.sha512(PLAIN).hexdigest()
    assert digest.size == len(PLAIN)
