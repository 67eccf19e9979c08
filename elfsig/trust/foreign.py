"""What a file is that was given as a key source but is not one: named, so that the right one can be found."""

from __future__ import annotations

from elfsig.crypto import der
from elfsig.elf.table import MAGIC
from elfsig.errors import ParseError
from elfsig.lazy_tuple import NamedTuple

ET_REL = 1
TAR_AT = 257
TRAILERS = (
    b"~Module signature appended~\n",
    b"~Module signature appended~",
    b"This Is A Crypto Signed Module",
)


class Magic(NamedTuple):
    """Bytes at an offset, and what a file with them is."""

    at: int
    bytes: bytes
    what: str


MAGICS = (
    Magic(TAR_AT, b"ustar", "a tar archive"),
    Magic(0, b"070701", "a cpio archive (an initramfs)"),
    Magic(0, b"070702", "a cpio archive (an initramfs)"),
    Magic(0, b"!<arch>\n", "an ar archive (a Debian package or a library)"),
    Magic(0, b"\xed\xab\xee\xdb", "an RPM package"),
    Magic(0, b"PK\x03\x04", "a zip archive"),
    Magic(0, b"hsqs", "a squashfs image"),
    Magic(0x8001, b"CD001", "an ISO image"),
    Magic(0x438, b"\x53\xef", "an ext2, ext3 or ext4 file system"),
    Magic(8, b"KBXf", "GnuPG's keybox: export the key with gpg --export"),
    Magic(0, b"\xce\xce\xce\xce", "a Java key store"),
    Magic(0, b"\xfe\xed\xfe\xed", "a Java key store"),
    Magic(0, b"SQLite format 3\0", "an SQLite database"),
    Magic(0, b"ssh-", "an OpenSSH public key: convert it with ssh-keygen -e -m PKCS8"),
    Magic(0, b"ecdsa-sha2-", "an OpenSSH public key: convert it with ssh-keygen -e -m PKCS8"),
    Magic(0, b"%PDF-", "a PDF document"),
)


def what_is(data: bytes) -> str | None:
    """What the content is, in words; None for what may still be a container with a kernel in it."""
    if not data:
        return "an empty file"
    if data[:4] == MAGIC and len(data) >= 18:
        order = "big" if data[5] == 2 else "little"
        kind = int.from_bytes(data[16:18], order)  # type: ignore[arg-type]  # one of the two words
        return "a kernel module" if kind == ET_REL else None
    magic = next((m for m in MAGICS if data.startswith(m.bytes, m.at)), None)
    if magic is not None:
        return magic.what
    if data.endswith(TRAILERS):
        return "a file with a module signature"
    return _signature(data)


def _signature(data: bytes) -> str | None:
    """Detached signatures: a PKCS#7, an OpenPGP signature packet, one of IMA's."""
    if data[:2] in (b"\x03\x01", b"\x03\x02", b"\x05\x01") and len(data) < 8192:
        return "an IMA signature"
    if (data[:1] and data[0] & 0xBC in (0x88, 0x8C)) or data[:1] == b"\xc2":
        return _openpgp(data)
    if data[:1] == b"\x30":
        return _asn1(data)
    return None


def _openpgp(data: bytes) -> str | None:
    from elfsig.envelopes.openpgp.packets import SIGNATURE, read_packet

    try:
        first = read_packet(data, 0)
    except ParseError:
        return None
    return (
        "an OpenPGP signature" if first.tag == SIGNATURE and first.body[:1] in (b"\2", b"\3", b"\4") else None
    )


def _asn1(data: bytes) -> str | None:
    try:
        outer = der.read(data, 0, min(len(data), 1 << 24))
        first = der.read(data, outer.body, outer.end)
    except ParseError:
        return None
    if first.tag == der.OID:
        return "a PKCS#7 signature or message"
    return None
