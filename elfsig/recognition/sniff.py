"""What a file is, by its content: magic numbers, ELF headers, PEM labels, shapes of DER, packets."""

from __future__ import annotations

from elfsig.elf.image import Image
from elfsig.elf.table import ET_REL, MAGIC
from elfsig.envelopes.openpgp import packets
from elfsig.errors import ParseError
from elfsig.recognition import magics
from elfsig.recognition.asn1 import asn1_kind
from elfsig.recognition.kinds import Family, Kind
from elfsig.recognition.text import (
    PGP_MESSAGE,
    PGP_PUBLIC,
    PGP_SECRET,
    PGP_SIGNATURE,
    text_kind,
)

MODULE = Kind("module", "a kernel module", Family.MODULE)
SIGNED = Kind("signed-file", "a file with a module signature", Family.MODULE)
EMPTY = Kind("empty", "an empty file", Family.OTHER)
IMA = Kind("ima-signature", "an IMA signature", Family.SIGNATURE)
AUTHENTICATED = Kind("efi-update", "a signed update of an EFI variable", Family.CERTIFICATE)
BPF = Kind("bpf-object", "an eBPF object file", Family.PROGRAM)
OBJECT = Kind("object", "an object file that was not linked as a module", Family.PROGRAM)
EXECUTABLE = Kind("executable", "an ELF executable", Family.PROGRAM)
LIBRARY = Kind("shared-library", "an ELF shared library", Family.PROGRAM)
CORE = Kind("core", "an ELF core dump", Family.PROGRAM)
VMLINUX = Kind("vmlinux", "an uncompressed kernel (vmlinux)", Family.KERNEL)
UKI = Kind("uki", "a unified kernel image (PE)", Family.CONTAINER, "sbverify checks its own signature")
FIRMWARE = Kind("firmware", "a firmware file, by its path", Family.OTHER)
FIRMWARE_FOLDER = "/lib/firmware/"

EM_BPF, ET_EXEC, ET_DYN, ET_CORE, PT_INTERP = 247, 2, 3, 4, 3
TAR_AT, AR, DEBIAN = 257, b"!<arch>\n", b"debian-binary"
WIN_CERT_EFI_GUID = b"\0\2\xf1\x0e"
"""Revision and type of the certificate in EFI_VARIABLE_AUTHENTICATION_2, after its time (UEFI 8.2.2)."""

MAX_IMA = 8192
"""No IMA signature is longer: an attribute must fit into a block."""

TRAILERS = (
    b"~Module signature appended~\n",
    b"~Module signature appended~",
    b"This Is A Crypto Signed Module",
)
_MODULE_SECTIONS = (b".modinfo\0", b".gnu.linkonce.this_module\0", b"__ksymtab\0", b".this_module\0")
"""Sections of modules since Linux 2.2, with their ends: names may be shared by others that end likewise."""
_IMA = tuple(bytes((kind, version)) for kind in (3, 5, 6) for version in (1, 2, 3))
"""Type (enum evm_ima_xattr_type, security/integrity/integrity.h) and version of a signature."""

_SECRET, _PUBLIC = (packets.SECRET_KEY, packets.SECRET_SUBKEY), (packets.PUBLIC_KEY, packets.PUBLIC_SUBKEY)


def kind_of(data: bytes, path: str = "") -> Kind | None:
    """What the content is; None where it cannot be recognized. ``path`` is only asked about firmware.

    Never raises. A damaged ELF file is not recognized: its own error says more.
    """
    if not data:
        return EMPTY
    if data[:4] == MAGIC:
        return _elf(data)
    found = _marked(data)
    if found is not None:
        return found
    if data.endswith(TRAILERS):
        return SIGNED
    found = _signature(data) or asn1_kind(data) or text_kind(data)
    if (found is None or found.code == "text") and FIRMWARE_FOLDER in path:
        return FIRMWARE
    return found


# --------------------------------------------------------------------------- marks


def _marked(data: bytes) -> Kind | None:
    """By a magic number, and by what follows a few of them."""
    if data[:2] == b"MZ" and (found := _pe(data)) is not None:
        return found
    if data[:8] == AR:
        return magics.DEBIAN if data.startswith(DEBIAN, 8) else magics.AR
    if data.startswith(b"ustar", TAR_AT) or _is_old_tar(data):
        return _tar(data)
    found = next((m.kind for m in magics.MAGICS if data.startswith(m.bytes, m.at)), None)
    if found is not None:
        return found
    if data[-512:-504] == b"conectix":
        return magics.VHD
    if data[20:24] == WIN_CERT_EFI_GUID:
        return AUTHENTICATED
    return magics.MBR if magics.is_partitioned(data) else None


def _pe(data: bytes) -> Kind | None:
    """A PE image: a kernel with its header, a unified kernel image, or another program."""
    at = int.from_bytes(data[0x3C:0x40], "little")
    if data[0x202:0x206] == b"HdrS" or data[4:8] == b"zimg" or data[0x38:0x3C] in (b"ARM\x64", b"RSC\x05"):
        return None
    if data[at : at + 4] != b"PE\0\0":
        return magics.PE
    sections = int.from_bytes(data[at + 6 : at + 8], "little")
    table = at + 24 + int.from_bytes(data[at + 20 : at + 22], "little")
    names = (data[table + 40 * n : table + 40 * n + 8].rstrip(b"\0") for n in range(min(sections, 96)))
    return UKI if b".linux" in names else magics.PE


def _tar(data: bytes) -> Kind:
    """A tar archive; packages of some distributions are one, known by the name of their first file."""
    name = data[:100].rstrip(b"\0")
    if name in (b".PKGINFO", b".BUILDINFO", b".MTREE"):
        return magics.ARCH if b".BUILDINFO" in data[: 1 << 16] or name != b".PKGINFO" else magics.ALPINE
    return magics.ALPINE if name.startswith(b".SIGN.") else magics.TAR


def _is_old_tar(data: bytes) -> bool:
    """Whether the first block is a header of tar before POSIX: only its checksum shows it."""
    block = data[:512]
    field = block[148:156].strip(b" \0")
    if len(block) < 512 or not block[0] or not field or field.strip(b"01234567"):
        return False
    return sum(block) - sum(block[148:156]) + 8 * 0x20 == int(field, 8)


# --------------------------------------------------------------------------- ELF


def _elf(data: bytes) -> Kind | None:
    """What an ELF file is; None for one whose structure is damaged."""
    table = Image(data).elf
    if table is None:
        return None
    header = table.header
    if header.machine == EM_BPF:
        return BPF
    names = table.names
    if header.type == ET_REL:
        known = not names or data.endswith(TRAILERS)
        return MODULE if known or any(name in names for name in _MODULE_SECTIONS) else OBJECT
    if header.type == ET_CORE:
        return CORE
    if b"__ksymtab\0" in names or b".init.text\0" in names:
        return VMLINUX
    if header.type == ET_DYN and b".interp\0" not in names:
        return LIBRARY
    return EXECUTABLE if header.type in (ET_EXEC, ET_DYN) else None


# --------------------------------------------------------------------------- signatures and keys


def _signature(data: bytes) -> Kind | None:
    """Signatures of IMA, and OpenPGP: signatures, keys, messages."""
    if data[:2] in _IMA and len(data) < MAX_IMA:
        return IMA
    if not data[0] & 0x80:
        return None
    try:
        first = packets.read_packet(data, 0)
    except ParseError:
        return None
    version = first.body[:1]
    if first.tag == packets.SIGNATURE:
        return PGP_SIGNATURE if version in (b"\2", b"\3", b"\4", b"\5", b"\6") else None
    if first.tag in _SECRET + _PUBLIC:
        known = version in (b"\2", b"\3", b"\4", b"\5", b"\6") and len(first.body) > 6
        return (PGP_SECRET if first.tag in _SECRET else PGP_PUBLIC) if known else None
    sealed = first.tag in (packets.PKESK, packets.SEIPD, 3)
    return PGP_MESSAGE if sealed and version in (b"\1", b"\3", b"\4", b"\5", b"\6") else None
