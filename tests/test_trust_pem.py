"""PEM files: nothing in one is left out in silence, and what it says against its own certificates counts."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from elfsig.crypto import der
from elfsig.errors import KeySourceError
from elfsig.model import Verdict, Why
from elfsig.trust.keyring import load
from tests.support.keysources import pem
from tests.support.tools import need
from tests.test_trust_sources import EC, ONE, TWO, pem_of, printed, verify, write

OBJECT = b"[p11-kit-object-v1]\n"
DISTRUSTED = b"trusted: false\nx-distrusted: true\n"


def dashed(dash: str, who: bytes = pem_of(ONE)) -> bytes:
    return who.replace(b"-----", dash.encode())


HASH = b"ab" * 32
LOST: dict[str, bytes] = {
    "a second value in the block": pem("CERTIFICATE", TWO.certificate + ONE.certificate),
    "bytes after the value": pem("CERTIFICATE", TWO.certificate + b"\0"),
    "DER after PEM": pem_of(TWO) + ONE.certificate,
    "DER between": pem_of(TWO) + ONE.certificate + b"\n" + pem_of(EC),
    "em dashes": pem_of(TWO) + dashed("\u2014\u2014"),
    "en dashes": pem_of(TWO) + dashed("\u2013" * 5),
    "minus signs": pem_of(TWO) + dashed("\u2212" * 5),
    "em dashes of Windows": pem_of(TWO) + pem_of(ONE).replace(b"-----", b"\x97\x97"),
    "equals signs": pem_of(TWO) + dashed("====="),
    "hashes of mokutil": pem_of(TWO) + b"[SHA-256]\n  " + HASH + b"\n",
    "hashes of the kernel": pem_of(TWO) + b'"tbs:' + HASH + b'",\n',
    "printed certificates": pem_of(TWO) + 2 * b"Certificate:\n    Data:\n        Version: 3 (0x2)\n",
}


@pytest.mark.parametrize("name", LOST)
def test_no_part_of_a_pem_file_is_left_out_in_silence(tmp_path: Path, name: str) -> None:
    trusted = write(tmp_path / "one.der", ONE.certificate)
    path = write(tmp_path / "list.pem", LOST[name])
    ring = load([path])
    assert ring.losses and [key.trusted for key in ring.keys][:1] == [True]
    assert "key-source-loss" in {each.code for each in verify(TWO, path).warnings}
    with pytest.raises(KeySourceError, match="must be read completely") as raised:
        load([trusted, f"revoked:{path}"])
    assert raised.value.code == "revocation-lost"


@pytest.mark.parametrize(
    "text",
    [
        b"# Gr\xc3\xbc\xc3\x9fe \xe2\x80\x94 of 2024\n", b"Gr\xfc\xdfe\n", b"\x1b[1mkeys\n", b"\tkeys\x0c\n",
        b"===== BEGIN of the list =====\n", b"The END of certificate A\n", b"\x1a\n", b"\0\0\0",
    ],
)  # fmt: skip
def test_text_around_blocks_is_no_loss(tmp_path: Path, text: bytes) -> None:
    before = text if text.strip(b"\0") else b""
    path = write(tmp_path / "one.pem", before + pem_of(ONE) + text)
    assert not load([f"revoked:{path}"]).losses


def test_printed_certificates_with_their_pem_are_no_loss(tmp_path: Path) -> None:
    """As ``openssl x509 -text`` prints them, each before its block, and mk-ca-bundle, after it."""
    texts = [(printed(tmp_path, who), pem_of(who)) for who in (ONE, EC)]
    for data in (b"".join(a + b for a, b in texts), b"".join(b + a for a, b in texts)):
        ring = load([f"revoked:{write(tmp_path / 'list.pem', data)}"])
        assert len(ring.keys) == 2 and not ring.losses


# --------------------------------------------------------------------------- OpenSSL's trust settings


def with_settings(tmp_path: Path, *options: str) -> str:
    write(tmp_path / "in.pem", pem_of(ONE))
    command = [need("openssl"), "x509", "-in", str(tmp_path / "in.pem"), "-trustout", *options]
    made = subprocess.run(command, check=True, capture_output=True).stdout
    assert made.startswith(b"-----BEGIN TRUSTED CERTIFICATE-----")
    return write(tmp_path / "trusted.pem", made)


@pytest.mark.parametrize("use", ["codeSigning", "anyExtendedKeyUsage"])
@pytest.mark.parametrize("more", [(), ("-addtrust", "serverAuth"), ("-setalias", "mine")])
def test_what_openssl_was_told_to_reject_revokes(tmp_path: Path, use: str, more: tuple[str, ...]) -> None:
    path = with_settings(tmp_path, "-addreject", use, "-addreject", "emailProtection", *more)
    plain = write(tmp_path / "one.der", ONE.certificate)
    for sources in ([path], [plain, path], [path, plain], [f"machine:{path}"], [str(tmp_path)]):
        assert verify(ONE, *sources).verdict is Verdict.UNTRUSTED
    [key] = load([path]).keys
    assert key.why is Why.REVOKED and "reject it for code signing" in key.remarks[-1].text


@pytest.mark.parametrize(
    "options, why",
    [
        ([], Why.SOURCE), (["-setalias", "mine"], Why.SOURCE), (["-addtrust", "codeSigning"], Why.SOURCE),
        (["-addtrust", "anyExtendedKeyUsage"], Why.SOURCE), (["-addreject", "emailProtection"], Why.SOURCE),
        (["-addtrust", "serverAuth"], Why.NOT_FOR_MODULES),
        (["-addtrust", "codeSigning", "-addtrust", "serverAuth"], Why.SOURCE),
    ],
)  # fmt: skip
def test_other_settings_of_openssl(tmp_path: Path, options: list[str], why: Why) -> None:
    ring = load([with_settings(tmp_path, *options)])
    assert [key.why for key in ring.keys] == [why] and not ring.losses
    assert ring.keys[0].trusted is (why is Why.SOURCE)


OID = der.encode_oid("1.3.6.1.5.5.7.3.3")


@pytest.mark.parametrize(
    "settings",
    [
        b"\x30", b"\0", der.encode(0x30, der.encode(0xA0, OID), der.encode(0x30, OID)), der.encode(0x30, OID),
        der.encode(0x30, der.encode(0xA0, b"\5\0")), der.encode(0x30) + b"\0", der.encode(0x31),
        der.encode(0x30, der.encode(0xA2, OID)), der.encode(0x30, der.encode(0xA0), der.encode(0xA0, OID)),
    ],
)  # fmt: skip
def test_a_certificate_with_damaged_settings_is_a_loss(tmp_path: Path, settings: bytes) -> None:
    """What they reject is not known: the key is not trusted."""
    path = write(tmp_path / "t.pem", pem("TRUSTED CERTIFICATE", ONE.certificate + settings) + pem_of(TWO))
    ring = load([path])
    assert [key.label for key in ring.keys] == ["rsa key 1"] and len(ring.losses) == 1


# --------------------------------------------------------------------------- p11-kit


P11 = {
    "before": OBJECT + b'label: "x"\n' + DISTRUSTED + pem_of(ONE),
    "after": OBJECT + pem_of(ONE) + DISTRUSTED,
    "between others": OBJECT + b"trusted: true\n" + pem_of(TWO) + OBJECT + DISTRUSTED + pem_of(ONE) + OBJECT,
    "windows": (OBJECT + DISTRUSTED + pem_of(ONE)).replace(b"\n", b"\r\n"),
    "no heading": b"x-distrusted:true\n" + pem_of(ONE),
    "quoted": OBJECT + b'X-Distrusted : "true"\n' + pem_of(ONE),
}


@pytest.mark.parametrize("name", P11)
def test_what_p11_kit_distrusts_is_revoked(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "x.p11-kit", P11[name])
    plain = write(tmp_path / "one.der", ONE.certificate)
    for sources in ([path], [plain, path], [f"builtin:{path}"], [str(tmp_path)]):
        assert verify(ONE, *sources).verdict is Verdict.UNTRUSTED
    if name == "between others":
        assert verify(TWO, path).verdict is Verdict.VALID


def test_what_p11_kit_does_not_distrust_is_not(tmp_path: Path) -> None:
    data = OBJECT + b"trusted: true\nx-distrusted: false\n" + pem_of(ONE) + OBJECT + pem_of(TWO)
    path = write(tmp_path / "x.p11-kit", data)
    assert verify(ONE, path).verdict is verify(TWO, path).verdict is Verdict.VALID


@pytest.mark.parametrize("first", [True, False])
def test_a_distrusted_object_without_a_certificate_is_an_error(tmp_path: Path, first: bool) -> None:
    """p11-kit also names certificates by issuer and serial number, which cannot be looked up here."""
    named = OBJECT + b'issuer: "%30%11"\nserial-number: "%02%01%01"\n' + DISTRUSTED
    data = named + OBJECT + pem_of(ONE) if first else OBJECT + pem_of(ONE) + named
    path = write(tmp_path / "keys" / "x.p11-kit", data)
    for source in (path, f"revoked:{path}", str(tmp_path / "keys")):
        with pytest.raises(KeySourceError, match="without a PEM block") as raised:
            load([source])
        assert raised.value.code == "revocation-lost"


# --------------------------------------------------------------------------- headings


@pytest.mark.parametrize(
    "heading", ["Embedded Systems Signing CA\n====", "Recovered Paper Ltd CA", "# embedded-systems.example"]
)
def test_a_heading_is_no_mark(tmp_path: Path, heading: str) -> None:
    path = write(tmp_path / "one.pem", heading.encode() + b"\n" + pem_of(ONE))
    assert verify(ONE, path).verdict is Verdict.VALID


@pytest.mark.parametrize(
    "mark", ["embedded", "embedded: never trusted", "recovered", "revoked in 2024", "Revoked"]
)
def test_marks_written_by_hand(tmp_path: Path, mark: str) -> None:
    path = write(tmp_path / "one.pem", f"# {mark}\n".encode() + pem_of(ONE))
    assert verify(ONE, path).verdict is Verdict.UNTRUSTED
