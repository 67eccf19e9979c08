"""Kernel modules that are bad for a reader of ELF files, trailers, and the messages in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import corpus
import elfsig
from elfsig.opened.module import open_module
from elfsig.verbs.inspect.sections import reaches
from tests.linear.elf import (
    GROUP,
    NOTE,
    PROGBITS,
    RELA,
    SHNDX,
    STRTAB,
    SYMTAB,
    Part,
    elf,
    relocations,
    symbols,
)
from tests.linear.measure import Call, Shape
from tests.support.cms import algorithm, cms, identity, indefinite, integer, oid, signer_info, tlv
from tests.support.elf import note
from tests.support.modules import MARKER, with_trailer
from tests.support.vectors import module as vector_module
from tests.support.vectors import vectors

CERT = corpus.KEYS / "signer.cert.pem"
ABS = 0xFFF1
LONG = 60_000
"""Bytes of a name below the longest that kernels and elfsig read."""


@cache
def ring() -> elfsig.Keyring:
    """The keys that everything is verified with."""
    return elfsig.keyring(CERT)


@cache
def base() -> bytes:
    """An unsigned module."""
    return corpus.content("amd64-6.1.ko")


@cache
def packet(name: str) -> bytes:
    """The bytes of a signature that a carrier with this section name holds, from a vector that is here whole:
    others need a package that mirrors drop."""
    for each in (vector for vector in vectors() if vector["module"]["source"] == "file"):
        for found in elfsig.list_signatures(vector_module(each)):
            if found.claims and found.place.section == name:
                return found.place.blob
    raise AssertionError(name)


# --------------------------------------------------------------------------- what is run


def changed(data: bytes) -> bytes:
    """The same file with one byte of its first section changed."""
    at = min(len(data) - 1, 70)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def moved(data: bytes) -> bytes:
    """The same file, every byte of the sections changed, the tables as they are."""
    if len(data) < 64 or data[:4] != b"\x7fELF":
        return data
    table = int.from_bytes(data[40:48], "little")
    flip = bytes(range(1, 256)) + b"\0"
    return data[:64] + data[64:table].translate(flip) + data[table:]


def removed(data: bytes) -> object:
    """Whatever is signed, without its signatures, and proven."""
    return elfsig.strip(data, everything=True)


def both(data: bytes, edit: Callable[[bytes], bytes]) -> object:
    return elfsig.compare(data, edit(data))


@cache
def signer() -> Any:
    return elfsig.open_signer(corpus.KEYS / "signer.key.pem", CERT)


def stacked_on(data: bytes) -> object:
    options = elfsig.SignOptions(force=True)
    return elfsig.sign(data, "redhat", signer(), options, existing=elfsig.Existing.STACK)


CALLS: Mapping[str, Call] = {
    "list": elfsig.list_signatures,
    "verify": lambda data: elfsig.verify(data, ring()),
    "JSON": lambda data: elfsig.verify(data, ring()).to_json(),
    "strip": removed,
    "compare one byte": lambda data: both(data, changed),
    "compare all bytes": lambda data: both(data, moved),
    "coverage": lambda data: elfsig.coverage(data, ring()),
    "digest by file order": lambda data: elfsig.digest(data, "redhat"),
    "digest of text and data": lambda data: elfsig.digest(data, "gkh"),
    "sections": lambda data: reaches(open_module(data)),
    "predict 6.1": lambda data: elfsig.predict(data, "6.1", ring()),
    "predict rhel5": lambda data: elfsig.predict(data, "rhel5", ring()),
    "predict rhel6": lambda data: elfsig.predict(data, "rhel6", ring()),
    "sign in a section": stacked_on,
}


# --------------------------------------------------------------------------- ELF


def crowded(name: str, kind: int, blob: bytes) -> Callable[[int], bytes]:
    """Sections of one name over one and the same bytes."""

    def make(size: int) -> bytes:
        first = Part(name, blob, kind, 0)
        return elf([first, *[Part(name, b"", kind, 0, at=64, size=len(blob))] * (size // 64)])

    return make


def covering(size: int) -> bytes:
    """Sections that each show the whole file."""
    return elf([Part(".data", bytes(size // 2)), *[Part("x.data", at=0, size=size // 2)] * (size // 128)])


def small(size: int) -> bytes:
    """Sections of one byte, each with a name of its own."""
    return elf([Part(f".text.{nr}", b"x") for nr in range(size // 80)])


def with_symbols(size: int) -> bytes:
    """Sections and a symbol in each."""
    count = size // 110
    strings = b"\0" + b"".join(b"f%d\0" % nr for nr in range(count))
    starts, at = [], 1
    for nr in range(count):
        starts.append(at)
        at += len(b"f%d\0" % nr)
    table = symbols([(start, 0x12, nr + 1, 0) for nr, start in enumerate(starts)])
    parts = [Part(f".text.{nr}", b"x" * 8) for nr in range(count)]
    return elf(
        [
            *parts,
            Part(".symtab", table, SYMTAB, 0, count + 2, 1, 8, 24),
            Part(".strtab", strings, STRTAB, 0),
        ]
    )


def one_table(entries: bytes, strings: bytes, *more: Part, text: bytes = b"x" * 64) -> bytes:
    """.text, .symtab, .strtab and ``more``."""
    return elf(
        [
            Part(".text", text, flags=6),
            Part(".symtab", entries, SYMTAB, 0, 3, 1, 8, 24),
            Part(".strtab", strings, STRTAB, 0),
            *more,
        ]
    )


def many_symbols(size: int) -> bytes:
    return one_table(symbols([(1, 0x12, 1, nr) for nr in range(size // 24)]), b"\0f\0")


def long_name(size: int) -> bytes:
    """Symbols that share one name of half the file."""
    return one_table(symbols([(1, 0x12, 1, 0)] * (size // 48)), b"\0" + b"n" * (size // 2) + b"\0")


def ending_names(size: int) -> bytes:
    """Symbols whose names are the ends of one long name."""
    count = size // 48
    return one_table(
        symbols([(1 + nr, 0x12, 1, 0) for nr in range(count)]), b"\0" + b"n" * (size // 2) + b"\0"
    )


def own_symbols(size: int) -> bytes:
    """Section symbols, all of the section that holds the signature."""
    blob = packet(".module_sig")
    entries = symbols([(0, 3, 4, 0)] * (size // 24))
    table = Part(".symtab", entries, SYMTAB, 0, 3, size // 24 + 1, 8, 24)
    return elf(
        [Part(".text", b"x" * 64, flags=6), table, Part(".strtab", b"\0", STRTAB, 0),
         Part(".module_sig", blob, PROGBITS, 0)]
    )  # fmt: skip


def relocated(named: Callable[[int], int], strings: Callable[[int], bytes]) -> Callable[[int], bytes]:
    """Relocations; ``named`` gives the symbol of each."""

    def make(size: int) -> bytes:
        entries = relocations([(nr, named(nr)) for nr in range(size // 24)])
        table = symbols([(1, 0x12, 1, 0), (1, 0x12, 0, 0)])
        rela = Part(".rela.text", entries, RELA, 0x40, 2, 1, 8, 24)
        return one_table(table, strings(size), rela)

    return make


def relocation_sections(size: int) -> bytes:
    """Sections of relocations that share their entries."""
    entries = relocations([(0, 1)] * (size // 96))
    more = [Part(".rela.text", b"", RELA, 0x40, 2, 1, 1, 24, at=64 + 64, size=len(entries))] * (size // 256)
    table = symbols([(1, 0x12, 1, 0)])
    return elf(
        [Part(".text", b"x" * 64, flags=6), Part(".symtab", table, SYMTAB, 0, 3, 1, 1, 24),
         Part(".strtab", b"\0f\0", STRTAB, 0), Part(".rela.text", entries, RELA, 0x40, 2, 1, 1, 24), *more]
    )  # fmt: skip


def string_tables(size: int) -> bytes:
    """Symbol tables that share one string table."""
    count = size // 160
    tables = [Part(".symtab", symbols([(1, 0x12, 1, 0)]), SYMTAB, 0, 2, 1, 8, 24)] * count
    return elf([Part(".text", b"x" * 64), Part(".strtab", b"\0f" + bytes(64), STRTAB, 0), *tables])


def overlapping_names(size: int) -> bytes:
    """Section names that are the ends of one long name."""
    count = size // 128
    names = b"\0" + b"n" * min(count, LONG) + b"\0"
    return elf([Part(1 + nr % (len(names) - 2), b"") for nr in range(count)], names=names)


def long_section_names(size: int) -> bytes:
    """Sections that share one name of 500 bytes: longer ones are refused."""
    return elf([Part(1, b"x")] * (size // 65), names=b"\0" + b"n" * 500 + b"\0")


def names_of_signature(size: int) -> bytes:
    """Sections whose name nearly is the one that is looked for."""
    return elf([Part(".module_sigx", b"x")] * (size // 65))


def notes(size: int) -> bytes:
    """A note section of many notes, the first of which is a signature."""
    first = note(b"module.sig\0", 100, packet(".note.module.sig"))
    return elf(
        [Part(".text", b"x"), Part(".note.module.sig", first + note(b"x\0", 1, b"") * (size // 16), NOTE, 0)]
    )


def note_sections(size: int) -> bytes:
    """Note sections of other names."""
    return elf([Part(f".note.{nr}", note(b"GNU\0", 3, b"abcd"), NOTE) for nr in range(size // 100)])


def groups(size: int) -> bytes:
    """Groups that each name every section."""
    count = max(2, size // 400)
    members = b"\1\0\0\0" + b"\1\0\0\0" * 60
    return elf(
        [Part(".text", b"x"), *[Part(".group", members, GROUP, 0, 2, 1, 4, 4)] * count,
         Part(".module_sig", packet(".module_sig"), PROGBITS, 0)]
    )  # fmt: skip


def extended(size: int) -> bytes:
    """Symbols with their section numbers in a table of their own."""
    count = size // 28
    table = symbols([(1, 0x12, 0xFFFF, 0)] * count)
    indices = bytes(4) + b"\1\0\0\0" * count
    return one_table(table, b"\0f\0", Part(".symtab_shndx", indices, SHNDX, 0, 2, 0, 4, 4))


def modinfo(size: int) -> bytes:
    """Many fields of one name."""
    return elf([Part(".modinfo", b"a=b\0" * (size // 4)), Part(".module_sig", packet(".module_sig"), 1, 0)])


def program_headers(size: int) -> bytes:
    """Program headers, which modules do not have."""
    data = bytearray(elf([Part(".text", bytes(size))]))
    data[32:40] = (64).to_bytes(8, "little")
    data[54:58] = (56).to_bytes(2, "little") + min(size // 56, 0xFFFF).to_bytes(2, "little")
    return bytes(data)


# --------------------------------------------------------------------------- trailers and messages


def trailed(blob: Callable[[int], bytes]) -> Callable[[int], bytes]:
    """The base with a trailer around a message of about this size."""
    return lambda size: with_trailer(base(), blob(size))


WHO = identity()


def info(**more: Any) -> bytes:
    return signer_info(WHO, base(), **more)


def ber(
    attributes: bytes = b"", content: bytes = b"", value: bytes = b"\4\1x", certificates: bytes = b""
) -> bytes:
    """A SignedData in indefinite lengths."""
    digest = algorithm("2.16.840.1.101.3.4.2.1")
    named = tlv(0x30, b"\x30\0\2\1\1")
    signed = indefinite(
        0x30, b"\2\1\1", named, digest, attributes, algorithm("1.2.840.113549.1.1.1", b"\5\0"), value
    )
    data = indefinite(0x30, oid("1.2.840.113549.1.7.1"), content)
    whole = indefinite(0x30, b"\2\1\1", tlv(0x31, digest), data, certificates, tlv(0x31, signed))
    return indefinite(0x30, oid("1.2.840.113549.1.7.2"), indefinite(0xA0, whole))


def attribute(*values: bytes) -> bytes:
    return tlv(0x30, oid("1.2.3.4"), tlv(0x31, *values))


def nested(size: int, tag: int = 0x30) -> bytes:
    return bytes([tag, 0x80]) * (size // 4) + bytes(2) * (size // 4)


def name_of(size: int) -> bytes:
    """An issuer's name of many parts."""
    part = tlv(0x31, tlv(0x30, oid("2.5.4.3"), tlv(0x0C, b"x")))
    return tlv(0x30, tlv(0x30, part * (size // len(part))), integer(1))


def numbered(count: int, size: int) -> list[bytes]:
    return [tlv(0x30, integer(nr), bytes([4, 0]) * (size // count // 2)) for nr in range(count)]


def stacked(size: int) -> bytes:
    """Trailers after each other."""
    data = base()
    pieces = [data]
    blob = b"\x30\0"
    one = blob + bytes((0, 0, 2, 0, 0, 0, 0, 0)) + len(blob).to_bytes(4, "big") + MARKER
    pieces += [one] * (size // len(one))
    return b"".join(pieces)


def markers(size: int) -> bytes:
    """The marker again and again after the ELF image, and then something."""
    return base() + MARKER * (size // len(MARKER)) + b"x"


def old_trailer(blob: bytes) -> bytes:
    """A trailer with a signer's name and a key id, by an OpenPGP signature."""
    return base() + blob + bytes((1, 4, 0, 200, 8, 0, 0, 0)) + (len(blob) - 208).to_bytes(4, "big") + MARKER


def inside(size: int) -> bytes:
    """The marker again and again inside the ELF image."""
    return with_trailer(elf([Part(".data", MARKER * (size // len(MARKER)))]), b"\x30\0")


def openpgp(body: Callable[[int], bytes]) -> Callable[[int], bytes]:
    """A section whose signature is made of these packets."""
    return lambda size: elf([Part(".text", b"x"), Part(".module_sig", body(size), PROGBITS, 0)])


def subpackets(size: int) -> bytes:
    """Two areas of one-byte subpackets, as long as their field allows, in packets one after the other."""
    area = b"\1\0" * 32_000
    body = (
        b"\4\0\1\2" + len(area).to_bytes(2, "big") + area + len(area).to_bytes(2, "big") + area + b"xx\0\1\1"
    )
    one = b"\x8a" + len(body).to_bytes(4, "big") + body
    return one * max(1, size // len(one))


ELF_SHAPES = (
    Shape("sections of one signature (.module_sig)", crowded(".module_sig", PROGBITS, packet(".module_sig"))),
    Shape("sections of one signature (module_sig)", crowded("module_sig", PROGBITS, packet("module_sig"))),
    Shape(
        "sections of one signature (.note.module.sig)",
        crowded(".note.module.sig", NOTE, note(b"module.sig\0", 100, packet(".note.module.sig"))),
    ),
    Shape("signature sections of the wrong type", crowded(".module_sig", NOTE, b"x")),
    Shape("sections that cover the file", covering),
    Shape("sections of one byte", small),
    Shape("sections with a symbol each", with_symbols),
    Shape("symbols", many_symbols),
    Shape("symbols that share a long name", long_name),
    Shape("symbols whose names overlap", ending_names),
    Shape("section symbols of the signature", own_symbols),
    Shape("relocations", relocated(lambda nr: 1, lambda size: b"\0f\0")),
    Shape("relocations to undefined symbols", relocated(lambda nr: 2, lambda size: b"\0f\0")),
    Shape(
        "relocations to one long name",
        relocated(lambda nr: 2, lambda size: b"\0" + b"n" * (size // 8) + b"\0"),
    ),
    Shape("relocation sections over the same entries", relocation_sections),
    Shape("symbol tables", string_tables),
    Shape("section names that overlap", overlapping_names),
    Shape("sections that share a long name", long_section_names),
    Shape("section names that nearly fit", names_of_signature),
    Shape("notes", notes),
    Shape("note sections", note_sections),
    Shape("groups", groups),
    Shape("extended section numbers", extended),
    Shape("fields of .modinfo", modinfo),
    Shape("program headers", program_headers),
)

MESSAGE_SHAPES = (
    Shape("stacked trailers", stacked),
    Shape("markers after the image", markers),
    Shape("markers inside the image", inside),
    Shape("a long module", lambda size: with_trailer(base() + bytes(size * 8), cms(signer_info(WHO, b"x")))),
    Shape("signers", trailed(lambda size: cms(*[info(value=b"x" * 8)] * (size // 150)))),
    Shape("certificates", trailed(lambda size: cms(info(), certificates=[WHO.certificate] * (size // 800)))),
    Shape(
        "certificates that are different",
        trailed(lambda size: cms(info(), certificates=numbered(max(1, size // 64), size))),
    ),
    Shape("empty certificates", trailed(lambda size: cms(info(), certificates=[b"\x30\0"] * (size // 2)))),
    Shape("digest algorithms", trailed(lambda size: cms(info(), digests=tlv(0x31, b"\x30\0" * (size // 2))))),
    Shape(
        "attributes",
        trailed(lambda size: cms(info(attrs=attribute(b"\5\0") * (size // 14)))),
    ),
    Shape("attribute values", trailed(lambda size: cms(info(attrs=attribute(b"\4\1a" * (size // 3)))))),
    Shape(
        "unsigned attributes", trailed(lambda size: cms(info(unsigned=tlv(0xA1, attribute() * (size // 12)))))
    ),
    Shape("parts of a name", trailed(lambda size: cms(info(sid=name_of(size))))),
    Shape(
        "a long serial number",
        trailed(lambda size: cms(info(sid=tlv(0x30, b"\x30\0", tlv(2, b"\1" * size))))),
    ),
    Shape("a long value", trailed(lambda size: cms(info(value=b"x" * size)))),
    Shape("BER: attribute values", trailed(lambda size: ber(tlv(0xA0, attribute(b"\4\1a" * (size // 3)))))),
    Shape(
        "BER: segments of the content",
        trailed(lambda size: ber(content=indefinite(0xA0, indefinite(0x24, b"\4\1a" * (size // 3))))),
    ),
    Shape(
        "BER: segments of the value",
        trailed(lambda size: ber(value=indefinite(0x24, b"\4\1a" * (size // 3)))),
    ),
    Shape("BER: nested", trailed(nested)),
    Shape("BER: nested in attributes", trailed(lambda size: ber(tlv(0xA0, attribute(nested(size)))))),
    Shape("BER: nested strings", trailed(lambda size: ber(value=nested(size, 0x24)))),
    Shape("BER: never closed", trailed(lambda size: b"\x30\x80" * (size // 2))),
    Shape(
        "BER: certificates",
        trailed(lambda size: ber(certificates=indefinite(0xA0, *[indefinite(0x30)] * (size // 4)))),
    ),
    Shape("OpenPGP: empty packets", openpgp(lambda size: b"\x88\0" * (size // 2))),
    Shape(
        "OpenPGP: packets",
        openpgp(lambda size: packet(".module_sig") * max(1, size // len(packet(".module_sig")))),
    ),
    Shape("OpenPGP: subpackets", openpgp(subpackets), 1 << 17, 1 << 19),
    Shape(
        "vendor signature: packets",
        lambda size: elf(
            [
                Part(".text", b"x"),
                Part(".signature", packet(".module_sig") * max(1, size // 1000), PROGBITS, 0),
            ]
        ),
    ),
    Shape("vendor signature: one block", lambda size: elf([Part(".signature", b"Sign" + bytes(size), 1, 0)])),
    Shape("a trailer of 2012", lambda size: old_trailer(bytes(size))),
    Shape("OpenPGP: open lengths", openpgp(lambda size: b"\xc2" + b"\xe0a" * (size // 2))),
)
