"""Forms of certificates that the kernel's decoder and parser take or refuse.

What Linux 6.18.44 returned for each (add_key(2), key type "asymmetric", 2026-11) is recorded here; where the
tests run on a kernel that has that key type and may be asked, it is asked again.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import platform
from collections.abc import Callable
from functools import cache

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from elfsig.crypto.pkcs1 import digest_info, pkcs1_block
from elfsig.kernels.catalogue import get
from elfsig.kernels.policy import Subject, predict
from elfsig.kernels.profile import Mode
from elfsig.kernels.select import for_release
from tests.support.cms import NULL, Identity, algorithm, cms, integer, oid, ring, signer_info, tlv
from tests.support.opened import opened
from tests.support.verdicts import MODULE, RSA, trailed

SHA256 = algorithm("1.2.840.113549.1.1.11", NULL)
SHA1_OLD = algorithm("1.3.14.3.2.29", NULL)
SKID, USAGE, BASIC, AKID = "2.5.29.14", "2.5.29.15", "2.5.29.19", "2.5.29.35"
IDENTIFIER = b"k" * 20
ATTRIBUTE = (oid("2.5.4.3"), tlv(0x0C, b"Form"))


def extension(dotted: str, value: bytes) -> bytes:
    return tlv(0x30, oid(dotted), tlv(4, value))


def named(*attribute: bytes, rdn: int = 0x31) -> bytes:
    return tlv(0x30, tlv(rdn, tlv(0x30, *attribute)))


DATES = tlv(0x30, tlv(0x17, b"250101000000Z"), tlv(0x18, b"21250101000000Z"))
KEY = RSA.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
NUMBERS = RSA.private.private_numbers()


def rsa_key(n: int, e: bytes, unused: int = 0) -> bytes:
    bits = bytes([unused]) + tlv(0x30, integer(n), tlv(2, e))
    return tlv(0x30, algorithm("1.2.840.113549.1.1.1", NULL), tlv(3, bits))


def made(
    *extensions: bytes,
    version: bytes = tlv(0xA0, integer(2)),
    signed_with: bytes = SHA256,
    name: bytes = named(*ATTRIBUTE),
    dates: bytes = DATES,
    spki: bytes = KEY,
    ids: bytes = b"",
    extra: bytes = b"",
    unused: int = 0,
    sign: Callable[[bytes], bytes] | None = None,
) -> bytes:
    """A self-signed certificate; whatever is given replaces what would be right."""
    own = tlv(0xA3, tlv(0x30, extension(SKID, tlv(4, IDENTIFIER)), *extensions))
    tbs = tlv(0x30, version, integer(7), signed_with, name, dates, name, spki, ids, own, extra)
    value = RSA.private.sign(tbs, padding.PKCS1v15(), hashes.SHA256()) if sign is None else sign(tbs)
    return tlv(0x30, tbs, signed_with, tlv(3, bytes([unused]) + value))


def raw(block: bytes) -> bytes:
    """``block`` to the private exponent."""
    value: int = pow(int.from_bytes(block), NUMBERS.d, NUMBERS.public_numbers.n)
    return value.to_bytes(RSA.private.key_size // 8)


def padded(tbs: bytes, *, change: Callable[[bytes], bytes] = bytes) -> bytes:
    block = pkcs1_block(digest_info("sha256", hashlib.sha256(tbs).digest()), RSA.private.key_size // 8)
    assert block is not None
    return raw(change(block))


def authority(*parts: bytes) -> bytes:
    return extension(AKID, tlv(0x30, *parts))


def constraints(value: bytes) -> bytes:
    return extension(BASIC, value)


Make = Callable[[], bytes]


def three_octets() -> bytes:
    """The outer length in three octets, which DER would give in two."""
    whole = made()
    return b"\x30\x83" + (len(whole) - 4).to_bytes(3) + whole[4:]


NAMES = tlv(0xA1, tlv(0x82, b"a.example"))

MEASURED: dict[str, tuple[Make, str | None]] = {
    "as it should be": (made, None),
    "authority that is not DER": (lambda: made(extension(AKID, b"garbage")), "EBADMSG"),
    "authority without content": (lambda: made(extension(AKID, b"")), "EBADMSG"),
    "authority with an unknown part": (lambda: made(authority(tlv(0x85, b"x"))), "EBADMSG"),
    "authority in the wrong order": (lambda: made(authority(tlv(0x82, b"\7"), tlv(0x80, b"z"))), "EBADMSG"),
    "authority that is empty": (lambda: made(authority()), None),
    "authority with names and no serial": (lambda: made(authority(NAMES)), None),
    "authority with an empty list of names": (lambda: made(authority(tlv(0xA1))), None),
    "one more field": (lambda: made(extra=tlv(0x04, b"x")), "EBADMSG"),
    "unique identifier": (lambda: made(ids=tlv(0x81, b"\0x")), None),
    "unique identifier, constructed": (lambda: made(ids=tlv(0xA1, tlv(3, b"\0x"))), "EBADMSG"),
    "version that is not a number": (lambda: made(version=tlv(0xA0, tlv(4, b"\2"))), "EBADMSG"),
    "version 9": (lambda: made(version=tlv(0xA0, integer(9))), None),
    "no version": (lambda: made(version=b""), None),
    "length of three octets": (three_octets, "EBADMSG"),
    "unused bits in the signature": (lambda: made(unused=3), "EBADMSG"),
    "attribute of one part": (lambda: made(name=named(ATTRIBUTE[0])), "EBADMSG"),
    "attribute of three parts": (lambda: made(name=named(*ATTRIBUTE, NULL)), "EBADMSG"),
    "a SEQUENCE for the SET of a name": (lambda: made(name=named(*ATTRIBUTE, rdn=0x30)), "EBADMSG"),
    "algorithm of three parts": (
        lambda: made(signed_with=algorithm("1.2.840.113549.1.1.11", NULL + NULL)), "EBADMSG"
    ),
    "one date": (lambda: made(dates=tlv(0x30, tlv(0x17, b"250101000000Z"))), None),
    "no dates": (lambda: made(dates=tlv(0x30)), "EBADMSG"),
    "more than 65535 bytes": (lambda: made(extension("1.2.3", bytes(66000))), "EMSGSIZE"),
    "sha1WithRSASignature": (lambda: made(signed_with=SHA1_OLD), "ENOPKG"),
    "keyUsage that is empty": (lambda: made(extension(USAGE, b"")), "EBADMSG"),
    "keyUsage of another type": (lambda: made(extension(USAGE, b"\4\2\7\x80")), "EBADMSG"),
    "keyUsage without bits": (lambda: made(extension(USAGE, b"\3\1\0")), "EBADMSG"),
    "keyUsage with 9 unused bits": (lambda: made(extension(USAGE, b"\3\2\x09\x80")), "EBADMSG"),
    "keyUsage with a wrong length": (lambda: made(extension(USAGE, b"\3\3\7\x80")), None),
    "basicConstraints that are empty": (lambda: made(constraints(b"")), "EBADMSG"),
    "basicConstraints of another type": (lambda: made(constraints(b"\x31\0")), "EBADMSG"),
    "basicConstraints with a wrong length": (lambda: made(constraints(b"\x30\5\1\1\xff")), "EBADMSG"),
    "basicConstraints, default": (lambda: made(constraints(b"\x30\0")), None),
    "basicConstraints, CA": (lambda: made(constraints(b"\x30\3\1\1\xff")), None),
    "basicConstraints, CA and length": (lambda: made(constraints(b"\x30\6\1\1\xff\2\1\0")), None),
    "basicConstraints, CA:FALSE": (lambda: made(constraints(b"\x30\3\1\1\0")), "EBADMSG"),
    "basicConstraints, TRUE as 1": (lambda: made(constraints(b"\x30\3\1\1\1")), "EBADMSG"),
    "basicConstraints, length only": (lambda: made(constraints(b"\x30\3\2\1\0")), "EBADMSG"),
    "RSA exponent 0": (lambda: made(spki=rsa_key(NUMBERS.public_numbers.n, b"\0")), "EBADMSG"),
    "RSA exponent 1": (lambda: made(spki=rsa_key(NUMBERS.public_numbers.n, b"\1")), "EINVAL"),
    "RSA exponent 2": (lambda: made(spki=rsa_key(NUMBERS.public_numbers.n, b"\2")), "EINVAL"),
    "RSA exponent longer than the modulus": (
        lambda: made(spki=rsa_key(NUMBERS.public_numbers.n, b"\1" * 300)), "EINVAL"
    ),
    "RSA exponent below 0": (lambda: made(spki=rsa_key(NUMBERS.public_numbers.n, b"\xff\1\1")), "EINVAL"),
    "RSA exponent without bytes": (lambda: made(spki=rsa_key(NUMBERS.public_numbers.n, b"")), "EINVAL"),
    "RSA modulus 0": (lambda: made(spki=rsa_key(0, b"\1\0\1")), "EINVAL"),
    "RSA key with unused bits": (
        lambda: made(spki=rsa_key(NUMBERS.public_numbers.n, b"\1\0\1", unused=3)), "EBADMSG"
    ),
    "another digest": (lambda: made(sign=lambda tbs: padded(tbs + b"x")), "EKEYREJECTED"),
    "padding of type 2": (
        lambda: made(sign=lambda tbs: padded(tbs, change=lambda b: b"\0\2" + b[2:])), "EBADMSG"
    ),
    "not a padded block": (
        lambda: made(sign=lambda tbs: padded(tbs, change=lambda b: b"\1" + b[1:])), "EINVAL"
    ),
    "an empty signature": (lambda: made(sign=lambda tbs: b""), "EINVAL"),
    "a signature of noughts": (lambda: made(sign=lambda tbs: bytes(256)), "EINVAL"),
}  # fmt: skip


@pytest.mark.parametrize("case", MEASURED, ids=MEASURED)
def test_what_6_18_was_measured_to_return(case: str) -> None:
    make, expected = MEASURED[case]
    found = for_release("6.18.44").loads(make())
    assert (found.loaded, found.errno, found.doubt) == (expected is None, expected, ""), found


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


ADD_KEY, KEYCTL, UNLINK, THREAD_KEYRING = 248, 250, 9, -1


def asked(certificate: bytes) -> str | None:
    """What this machine's kernel returns for a certificate in the thread's keyring."""
    added = _libc().syscall(ADD_KEY, b"asymmetric", None, certificate, len(certificate), THREAD_KEYRING)
    if added < 0:
        return errno.errorcode[ctypes.get_errno()]
    _libc().syscall(KEYCTL, UNLINK, added, THREAD_KEYRING, 0, 0)
    return None


def test_this_machine_s_kernel_returns_the_same() -> None:
    if not os.environ.get("ELFSIG_ASK_KERNEL"):
        pytest.skip("opt-in: set ELFSIG_ASK_KERNEL to put certificates to this kernel with add_key(2)")
    if platform.machine() != "x86_64" or asked(made()) is not None:
        pytest.skip("opt-in: this kernel has no key type asymmetric, or does not allow add_key(2)")
    profile = for_release(os.uname().release)
    for case, (make, _) in MEASURED.items():
        found = profile.loads(make())
        assert found.doubt or found.errno == asked(make()), (case, found)


@pytest.mark.parametrize(
    ("kernel", "usage", "false", "doubtful"),
    [
        ("4.19", None, None, False), ("debian-6.1", None, None, False), ("5.18", None, None, True),
        ("6.7", "EBADMSG", None, False), ("6.12", "EBADMSG", None, True),
        ("6.18", "EBADMSG", "EBADMSG", False), ("7.2", "EBADMSG", "EBADMSG", False),
    ],
)  # fmt: skip
def test_extensions_that_the_parser_reads_since_6_4(
    kernel: str, usage: str | None, false: str | None, doubtful: bool
) -> None:
    """The form of both since 6.4, what basicConstraints say since 6.18; a row with both says so."""
    row = get(kernel)
    assert row.loads(made(extension(USAGE, b"\3\1\0"))).errno == usage
    found = row.loads(made(constraints(b"\x30\3\1\1\0")))
    assert found.errno == false and bool(found.doubt) is doubtful, found
    assert row.loads(made(constraints(b"\x30\3\1\1\xff"))).doubt == ""


def test_what_was_not_read_before_is_not_refused_by_older_kernels() -> None:
    """Before 4.3 the decoder let pass what is missing at the end, but nothing else."""
    assert get("3.17").loads(made(name=tlv(0x30))).loaded
    assert get("3.17").loads(made(extra=tlv(0x04, b"x"))).errno == "EBADMSG"
    assert get("3.17").loads(made(extension("1.2.3", bytes(66000)))).errno == "EMSGSIZE"
    assert get("4.3").loads(made(sign=lambda tbs: b"\1" * 256)).errno == "EBADMSG"


def test_a_prediction_says_where_it_is_not_certain_that_a_key_is_loaded() -> None:
    own = made(constraints(b"\x30\3\1\1\0"))
    info = signer_info(Identity(RSA.private, own), MODULE, sid=tlv(0x80, IDENTIFIER), version=3)
    for embedded in ([], [own]):
        content = trailed(cms(info, version=3, certificates=embedded))
        answer = predict(Subject(opened(content), ring(own), get("6.12")), Mode(enforcing=True))
        assert answer.accepted and any("6.12.53" in note for note in answer.notes), embedded
        assert not predict(Subject(opened(content), ring(own), get("6.18")), Mode()).accepted or not embedded
        assert predict(Subject(opened(content), ring(own), get("5.13")), Mode(enforcing=True)).accepted
