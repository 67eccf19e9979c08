"""Made-up key sources: certificates, unpacked kernels with a certificate list, images of every kind."""

from __future__ import annotations

import datetime
import struct
import subprocess
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from tests.support.tools import need

SETUP_SECTORS = 3


@cache
def rsa_key(number: int = 0) -> rsa.RSAPrivateKey:
    """A throw-away RSA key; another one for each number."""
    return rsa.generate_private_key(65537, 1024 + 8 * number)


@cache
def ec_key(number: int = 0) -> ec.EllipticCurvePrivateKey:
    """A throw-away P-256 key; another one for each number."""
    return ec.generate_private_key(ec.SECP256R1())


def certificate(
    name: str = "elfsig test key",
    key: Any = None,
    *,
    organisation: str = "elfsig",
    skid: bytes | None = None,
    serial: int | None = None,
) -> bytes:
    """A self-signed certificate in DER; ``skid`` None takes the usual SHA-1, b"" leaves it out."""
    key = key or rsa_key()
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(serial or 0x2A0F)
        .not_valid_before(datetime.datetime(2020, 1, 2, 3, 4, 5))
        .not_valid_after(datetime.datetime(2120, 1, 2, 3, 4, 5))
    )
    if skid != b"":
        usual = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        builder = builder.add_extension(x509.SubjectKeyIdentifier(skid) if skid else usual, critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def pem(label: str, data: bytes) -> bytes:
    """``data`` armoured as ``label``."""
    import base64

    return (
        f"-----BEGIN {label}-----\n".encode() + base64.encodebytes(data) + f"-----END {label}-----\n".encode()
    )


def spki(key: Any) -> bytes:
    """The DER SubjectPublicKeyInfo of a private key's public half."""
    encoded: bytes = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return encoded


def noise(size: int, seed: int = 1) -> bytes:
    """Bytes that compress a little and hold no certificate."""
    state, out = seed, bytearray()
    while len(out) < size:
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        out += (state >> 16 & 0x3F).to_bytes(1) * 3
    return bytes(out[:size])


def certificate_list(
    certificates: Sequence[bytes], word: str = "<Q", sizes: int = 2, reserved: int = 0
) -> bytes:
    """A list as certs/system_certificates.S lays it out, to be put at an offset aligned to 8."""
    body = b"".join(certificates)
    out = body + bytes(reserved) + (bytes(-(len(body) + reserved) % 4 + 4) if reserved else b"")
    for size in (len(body), len(certificates[0]))[:sizes]:
        out += bytes(-len(out) % 8) + struct.pack(word, size)
    return out + bytes(-len(out) % 8) + noise(64)


def unpacked(*parts: bytes) -> bytes:
    """An unpacked kernel: each part at an offset aligned to 8, noise between them."""
    out = bytearray(noise(4096))
    for part in parts:
        out += part + bytes(-len(part) % 8) + noise(1024, len(out))
    return bytes(out)


def _tool(*command: str) -> Callable[[bytes], bytes]:
    def run(data: bytes) -> bytes:
        done = subprocess.run([need(command[0]), *command[1:]], input=data, capture_output=True, check=True)
        return done.stdout

    return run


def _sized(pack: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """With the content's size after it, as scripts/Makefile.lib appends it (gzip has its own)."""
    return lambda data: pack(data) + struct.pack("<I", len(data))


COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": _tool("gzip", "-n", "-9"),
    "bzip2": _sized(_tool("bzip2", "-9")),
    "lzma": _sized(_tool("xz", "--format=lzma", "-9")),
    "xz": _sized(_tool("xz", "--check=crc32", "--x86", "--lzma2=dict=32MiB")),
    "lzo": _sized(_tool("lzop", "-9")),
    "lz4": _sized(_tool("lz4", "-l", "-9", "-c")),
    "zstd": _sized(_tool("zstd", "-22", "--ultra", "-c")),
}
"""The commands of the kernel's build (scripts/Makefile.lib)."""


def bzimage(payload: bytes, version: int = 0x20F, stub: bytes = b"\x90" * 700) -> bytes:
    """An x86 boot image: setup sectors, the decompressor's own code, the payload, more code."""
    head = bytearray((SETUP_SECTORS + 1) * 512)
    head[0x1F1] = SETUP_SECTORS
    head[0x202:0x208] = b"HdrS" + struct.pack("<H", version)
    if version >= 0x208:
        struct.pack_into("<II", head, 0x248, len(stub), len(payload))
    return bytes(head) + stub + payload + noise(300)


def zboot(payload: bytes, name: bytes) -> bytes:
    """An EFI zboot image (drivers/firmware/efi/libstub/zboot-header.S)."""
    head = b"MZ\0\0zimg" + struct.pack("<IIII", 512, len(payload), 0, 0) + name
    return head.ljust(512, b"\0") + payload + noise(200)


def arm64_image(body: bytes) -> bytes:
    """A raw arm64 Image (Documentation/arch/arm64/booting.rst): only the magic matters here."""
    return (bytes(0x38) + b"ARM\x64").ljust(64, b"\0") + body


def vmlinux(lists: dict[str, tuple[bytes, int]], order: str = "<", bits: int = 64) -> bytes:
    """A linked ELF file whose .symtab delimits things.

    ``lists`` maps a symbol to (content that starts there, its offset from the start of the section).
    """
    base, data, strings, symbols = 0x100000, bytearray(noise(256)), bytearray(b"\0"), []
    for name, (content, at) in lists.items():
        data = data.ljust(at, b"\x55")
        data[at : at + len(content)] = content
        symbols.append((len(strings), base + at))
        strings += name.encode() + b"\0"
    wide = bits == 64
    sym, row, head = ("IBBHQQ", "IIQQQQIIQQ", "HHIQQQIHHHHHH") if wide else ("IIIBBH", "10I", "HHIIIIIHHHHHH")
    table = b"".join(
        struct.pack(order + sym, *((name, 1, 0, 1, value, 0) if wide else (name, value, 0, 1, 0, 1)))
        for name, value in symbols
    )
    start = 16 + struct.calcsize(order + head)
    at_sym, at_str = start + len(data), start + len(data) + len(table)
    shoff = at_str + len(strings)
    rows = (
        (0,) * 10,
        (0, 1, 3, base, start, len(data), 0, 0, 8, 0),
        (0, 2, 0, 0, at_sym, len(table), 3, 0, 8, struct.calcsize(order + sym)),
        (0, 3, 0, 0, at_str, len(strings), 0, 0, 1, 0),
    )
    ident = b"\x7fELF" + bytes((2 if wide else 1, 1 if order == "<" else 2, 1)) + bytes(9)
    size = struct.calcsize(order + row)
    header = struct.pack(order + head, 2, 62, 1, 0, 0, shoff, 0, start, 0, 0, size, len(rows), 0)
    return (
        ident
        + header
        + bytes(data)
        + table
        + bytes(strings)
        + b"".join(struct.pack(order + row, *each) for each in rows)
    )


def unified(*sections: tuple[bytes, bytes]) -> bytes:
    """A PE file with these sections, as a unified kernel image is one."""
    head = b"MZ".ljust(60, b"\0") + struct.pack("<I", 64)
    head += b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, len(sections), 0, 0, 0, 0, 0)
    at = len(head) + 40 * len(sections)
    for name, content in sections:
        head += struct.pack("<8sIIII16x", name, len(content), 0, len(content), at)
        at += len(content)
    return head + b"".join(content for _, content in sections)
