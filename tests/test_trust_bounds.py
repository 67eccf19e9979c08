"""What reading a key source may cost: the worst shapes of each form, a megabyte each.

At most ten seconds of processor and ten times the file plus 200 MB of memory, as the system counts them. A
usual machine needs two seconds at most; some are three times slower for a while.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import os
import resource
import time
import zlib
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from elfsig.crypto import der
from elfsig.envelopes.cms.envelope import Cms
from elfsig.envelopes.openpgp.keys import key_body
from elfsig.errors import ElfsigError
from elfsig.trust.entries import MAX_LOSSES, Origin
from elfsig.trust.forms import read_source
from elfsig.trust.ring import Ring
from tests.support.cli import apart
from tests.support.efilists import SHA256, UNKNOWN, X509, X509_SHA256, esl
from tests.support.keysources import arm64_image, certificate, certificate_list, ec_key, pem, spki
from tests.support.openpgp import signer

MB = 1 << 20
SECONDS, TIMES, BESIDE = 10.0, 10, 200 << 20


def fill(part: bytes, size: int = MB) -> bytes:
    return (part * (size // len(part) + 1))[:size]


CERT = certificate("a", ec_key(), organisation="o", skid=b"")
ED = spki(ed25519.Ed25519PrivateKey.generate())
BEGIN, END = b"-----BEGIN CERTIFICATE-----\n", b"-----END CERTIFICATE-----\n"
PGP = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n"
BODY = key_body(signer("rsa1024").public, 0)
INDEFINITE = b"\x30\x82\xff\xf0\x30\x82\xff\x00\x02\x01\x01\x30\x00\x30\x80\x30\x80"
SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")


def packet(tag: int, body: bytes) -> bytes:
    return bytes([0x81 | tag << 2]) + len(body).to_bytes(2) + body


def binding() -> bytes:
    """A binding signature whose 16 bits fit and whose value does not: each has to be computed."""
    head = b"\x04\x18\x01\x08\0\0"
    framed = b"\x99" + len(BODY).to_bytes(2) + BODY
    digest = hashlib.sha256(framed * 2 + head + b"\x04\xff" + len(head).to_bytes(4)).digest()
    return packet(2, head + b"\0\0" + digest[:2] + (1024).to_bytes(2) + b"\x7f" * 128)


def bundle(certificates: bytes) -> bytes:
    data = der.encode(0x30, bytes.fromhex("06092a864886f70d010701"))
    signed = der.encode(0x30, b"\2\1\1", der.encode(0x31), data, der.encode(0xA0, certificates), b"\x31\0")
    return der.encode(0x30, SIGNED_DATA, der.encode(0xA0, signed))


def packed(part: bytes, megabytes: int = 30) -> bytes:
    """A stream of little size in a file of unknown form."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"XX" + b"".join(squeeze.compress(fill(part)) for _ in range(megabytes)) + squeeze.flush()


def ed_keys() -> bytes:
    return b"".join(ED[:-32] + os.urandom(32) for _ in range(MB // len(ED)))


SHAPES: dict[str, Callable[[], bytes]] = {
    "PEM: beginnings": lambda: fill(BEGIN),
    "PEM: beginnings and foreign ends": lambda: fill(BEGIN + b"-----END X-----\n"),
    "PEM: ends": lambda: BEGIN + fill(END),
    "PEM: short lines": lambda: BEGIN + fill(b"A\n"),
    "PEM: empty lines": lambda: BEGIN + fill(b"\n"),
    "PEM: text lines": lambda: fill(b"#\n") + BEGIN,
    "PEM: names": lambda: fill(b"# same signer as x\n", MB - 4096) + pem("CERTIFICATE", CERT),
    "PEM: one line of blanks": lambda: fill(b" ", MB - 4096) + b"\n" + pem("CERTIFICATE", CERT),
    "PEM: one line of hyphens": lambda: BEGIN + fill(b"-"),
    "PEM: keys": lambda: fill(pem("PUBLIC KEY", ED)),
    "PEM: certificates": lambda: fill(pem("CERTIFICATE", CERT)),
    "PEM: bad certificates": lambda: pem("CERTIFICATE", CERT) + fill(BEGIN + b"AAAA\n" + END),
    "UTF-16": lambda: BEGIN.decode().encode("utf-16") + fill("A\n".encode("utf-16-le")),
    "DER: keys": ed_keys,
    "DER: empty sequences": lambda: CERT + fill(b"\x30\0"),
    "DER: nested, never closed": lambda: fill(b"\x30\x80"),
    "PKCS#7: no certificates": lambda: bundle(fill(b"\x30\3\2\1\1")),
    "PKCS#7: indefinite lengths": lambda: (
        b"\x30\x80" + SIGNED_DATA + b"\xa0\x80\x30\x80\2\1\1\x31\0\x30\0\xa0\x80" + fill(b"\x30\x80\0\0")
        + b"\0\0\x31\0\0\0\0\0\0\0"
    ),
    "EFI: hashes": lambda: esl(SHA256, *(os.urandom(32) for _ in range(MB // 48))),
    "EFI: certificate hashes": lambda: esl(X509_SHA256, *(os.urandom(48) for _ in range(MB // 64))),
    "EFI: bad certificates": lambda: esl(X509, *[b"\x30"] * (MB // 17)),
    "EFI: unknown": lambda: esl(UNKNOWN, *[b"?"] * (MB // 17)),
    "EFI: empty lists": lambda: fill(esl(SHA256, bytes(32))[:16] + b"\x1c\0\0\0" + bytes(4) + b"\x30\0\0\0"),
    "armour: beginnings": lambda: fill(PGP),
    "armour: foreign ends": lambda: PGP + fill(b"-----END PGP X-----\n"),
    "armour: short lines": lambda: PGP + fill(b"A\n") + b"-----END PGP PUBLIC KEY BLOCK-----\n",
    "OpenPGP: keys": lambda: fill(packet(6, BODY)),
    "OpenPGP: subkeys": lambda: packet(6, BODY) + fill(packet(14, BODY)),
    "OpenPGP: bindings": lambda: packet(6, BODY) + packet(14, BODY) + fill(binding()),
    "OpenPGP: empty packets": lambda: packet(6, BODY) + fill(b"\x98\0"),
    "OpenPGP: open lengths": lambda: packet(6, BODY) + b"\xc6" + fill(b"\xe0a"),
    "printed: beginnings": lambda: fill(b"Certificate:\n"),
    "printed: digits": lambda: b"Certificate:\nModulus:\n" + fill(b"aa:bb:cc\n"),
    "printed: hashes": lambda: fill(b"[SHA-256]\n" + b"ab" * 32 + b"\n"),
    "IMA": lambda: b"\1\0\0\0\0\0\2" + fill(b"\xff"),
    "image: certificates": lambda: arm64_image(fill(CERT)),
    "image: lookalikes": lambda: arm64_image(fill(b"\x30\x82\x7f\xff\x30\x82\x7f\0")),
    "image: indefinite lengths": lambda: arm64_image(fill(INDEFINITE)),
    "image: rings": lambda: arm64_image(fill(packet(6, BODY))),
    "image: pieces of keys": lambda: arm64_image(
        certificate_list([CERT], sizes=1) + fill(b"\x2a\x86\x48\xce\x3d\x02\x01\x06\x05")
    ),
    "streams: gzip": lambda: fill(b"\x1f\x8b\x08\0\0\0\0\0\0\3"),
    "streams: lzma": lambda: fill(b"\x5d\0\0\0\1" + b"\xff" * 8),
    "streams: zstd": lambda: fill(b"\x28\xb5\x2f\xfd\0\0"),
    "bomb: zeros": lambda: packed(b"\0"),
    "bomb: more than there is room": lambda: b"".join(packed(b"\0", 60)[2:-1] + b"Z" for _ in range(16)),
    "bomb: certificates": lambda: packed(CERT),
    "bomb: beginnings": lambda: packed(b"\x30\x82"),
    "bomb: plausible keys": lambda: packed(b"\x99\x0f\xff\x04\0\0\0\0\x01\x20\xff"),
    "bomb: magics": lambda: packed(b"\x1f\x8b\x08\0\0\0\0\0\0\3"),
    "bomb: bzip2": lambda: b"XX" + bz2.compress(bytes(200 * MB)),
    "bomb: nested": lambda: b"XX" + gzip.compress(packed(b"\0")),
    "zeros": lambda: bytes(MB),
    "random": lambda: os.urandom(MB),
    "82": lambda: fill(b"\x30\x82"),
}  # fmt: skip


def cost(work: Callable[[], object]) -> tuple[float, int]:
    """Seconds of processor and bytes of memory that ``work`` takes, in a process of its own."""
    out, into = os.pipe()
    child = os.fork()
    if not child:
        before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        try:
            work()
        except ElfsigError:
            pass
        except BaseException:
            os._exit(1)
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        os.write(into, f"{time.process_time() - begun} {used * 1024}".encode())
        os._exit(0)
    os.close(into)
    text = os.read(out, 100).decode()
    os.close(out)
    _, status = os.waitpid(child, 0)
    assert status == 0, "something else than an error of elfsig's was raised"
    seconds, used_bytes = text.split()
    return float(seconds), int(used_bytes)


def too_much(name: str, variable: str) -> tuple[float, int] | tuple[()]:
    """What reading the shape costs, if that is more than the bounds."""
    data = SHAPES[name]()
    seconds, used = cost(lambda: Ring(read_source(data, Origin("x", name=variable))))
    return () if seconds <= SECONDS and used <= TIMES * len(data) + BESIDE else (seconds, used)


@pytest.mark.timed
@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("variable", ["", "dbx"])
def test_a_megabyte_is_read_in_seconds(name: str, variable: str) -> None:
    if too_much(name, variable):
        code = f"print(too_much({name!r}, {variable!r}))"  # without the memory that earlier tests scattered
        assert apart("from tests.test_trust_bounds import too_much; " + code) == "()"


def test_a_cap_is_named() -> None:
    found = read_source(pem("CERTIFICATE", CERT) + fill(BEGIN + b"AAAA\n" + END), Origin("x"))
    assert len(found.keys) == 1 and f"more than {MAX_LOSSES}" in found.losses[-1].reason


def _ber(attributes: bytes, content: bytes = b"", value: bytes = b"\4\1x") -> bytes:
    def open_(tag: int, *parts: bytes) -> bytes:
        return bytes([tag, 0x80]) + b"".join(parts) + b"\0\0"

    digest = der.encode(0x30, der.encode_oid("2.16.840.1.101.3.4.2.1"))
    rsa = der.encode(0x30, der.encode_oid("1.2.840.113549.1.1.1"), b"\5\0")
    named = der.encode(0x30, b"\x30\0\2\1\1")
    info = open_(0x30, b"\2\1\1", named, digest, attributes, rsa, value)
    data = open_(0x30, bytes.fromhex("06092a864886f70d010701"), content)
    signed = open_(0x30, b"\2\1\1", der.encode(0x31, digest), data, open_(0x31, info))
    return open_(0x30, SIGNED_DATA, open_(0xA0, signed))


SMALL = fill(b"\4\1a", 900_000)
BER = {
    "values": _ber(der.encode(0xA0, der.encode(0x30, der.encode_oid("1.2.3.4"), der.encode(0x31, SMALL)))),
    "segments of the content": _ber(b"", b"\xa0\x80\x24\x80" + SMALL + bytes(4)),
    "segments of the value": _ber(b"", value=b"\x24\x80" + SMALL + bytes(2)),
}


@pytest.mark.timed
@pytest.mark.parametrize("name", BER)
def test_a_message_in_ber_is_bounded(name: str) -> None:
    seconds, used = cost(lambda: Cms().parse(BER[name], None))
    assert seconds <= SECONDS and used <= TIMES * len(BER[name]) + BESIDE, (seconds, used)
