"""Modules with a signature note of every odd kind, made from a sample: what RHEL 6 kernels were asked about.

The packets and the value are made here, from RFC 4880 and FIPS 186 alone; elfsig only attaches the section.
``tests/golden/ksign_504.tsv`` has the answers of a booted kernel.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from struct import pack
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature

import corpus
from elfsig.carriers.note import NoteCarrier
from elfsig.carriers.section import SectionCarrier
from elfsig.elf.image import Image
from elfsig.elf.table import SHT_NOBITS, SHT_NOTE, ElfTable
from elfsig.model import SectionInfo
from tests.support import elf, reference_streams
from tests.support.openpgp import private_key

HASHES = {1: "md5", 2: "sha1", 3: "ripemd160", 8: "sha256", 9: "sha384", 10: "sha512", 11: "sha224"}
CREATED = 1_400_000_000
"""When the signatures say that they were made; the key is older."""

KEY_CREATED = 1_300_000_000
NOTE = ".note.module.sig"
NOTES = NoteCarrier(NOTE, b"module.sig", 100)
BASE = corpus.content("amd64-2.6.32-el6.ko")


def number(value: int) -> bytes:
    """A multi-precision integer."""
    return value.bit_length().to_bytes(2) + value.to_bytes((value.bit_length() + 7) // 8)


def old(body: bytes, tag: int = 2) -> bytes:
    """A packet with an old header and one or two bytes of length."""
    width = 0 if len(body) < 256 else 1
    return bytes([0x80 | tag << 2 | width]) + len(body).to_bytes(width + 1) + body


def new(body: bytes, tag: int = 2, length: bytes | None = None) -> bytes:
    """A packet with a new header."""
    return bytes([0xC0 | tag]) + (bytes([len(body)]) if length is None else length) + body


def sub(kind: int, data: bytes, size: int | None = None) -> bytes:
    """A subpacket; ``size`` is the length that it claims."""
    return bytes([len(data) + 1 if size is None else size, kind]) + data


@dataclass(frozen=True)
class Maker:
    """The key, and what is made with it."""

    private: Any

    @cached_property
    def key_body(self) -> bytes:
        """The body of the public key packet."""
        public = self.private.public_key().public_numbers()
        group = public.parameter_numbers
        numbers = b"".join(map(number, (group.p, group.q, group.g, public.y)))
        return b"\4" + KEY_CREATED.to_bytes(4) + b"\x11" + numbers

    @cached_property
    def key_id(self) -> bytes:
        body = self.key_body
        return hashlib.sha1(b"\x99" + len(body).to_bytes(2) + body).digest()[-8:]

    @property
    def q(self) -> int:
        """The order of the key's group."""
        found: int = self.private.parameters().parameter_numbers().q
        return found

    @property
    def ring(self) -> bytes:
        """The key ring that a kernel is built with."""
        return old(self.key_body, 6) + old(b"Test", 13)

    def value(self, completion: bytes, hash_id: int = 2, base: bytes = BASE) -> tuple[int, int]:
        """r and s over the stream ``sorted`` of ``base`` and ``completion``, with the whole hash."""
        data = reference_streams.sorted_by_name(base) + completion
        digest = int.from_bytes(hashlib.new(HASHES.get(hash_id, "sha1"), data).digest())
        short = (digest % self.q).to_bytes(20)
        while True:
            r, s = decode_dss_signature(self.private.sign(short, Prehashed(hashes.SHA1())))
            if min(r, s) >> 152:  # of full length: the kernel logs lengths
                return r, s

    def v4(
        self,
        hashed: bytes | None = None,
        unhashed: bytes | None = None,
        *,
        hash_id: int = 2,
        algorithm: int = 17,
        sig_class: int = 0,
        version: int = 4,
        completion: bytes | None = None,
        numbers: Callable[[int, int], bytes] | None = None,
        base: bytes = BASE,
        sizes: tuple[int | None, int | None] = (None, None),
    ) -> bytes:
        """The body of a version 4 signature. ``numbers`` writes r and s; ``sizes`` are the areas' claims."""
        hashed = sub(2, CREATED.to_bytes(4)) if hashed is None else hashed
        unhashed = sub(16, self.key_id) if unhashed is None else unhashed
        front = bytes([version, sig_class, algorithm, hash_id])
        first = (len(hashed) if sizes[0] is None else sizes[0]).to_bytes(2)
        second = (len(unhashed) if sizes[1] is None else sizes[1]).to_bytes(2)
        part = front + first + hashed
        own = part + bytes([version, 255]) + len(part).to_bytes(4)
        r, s = self.value(own if completion is None else completion, hash_id, base)
        value = number(r) + number(s) if numbers is None else numbers(r, s)
        return part + second + unhashed + b"\0\0" + value

    def v3(self, *, length: int = 5, hash_id: int = 2, sig_class: int = 0) -> bytes:
        """The body of a version 3 signature."""
        hashed = bytes([sig_class]) + CREATED.to_bytes(4)
        r, s = self.value(hashed, hash_id)
        front = bytes([3, length]) + hashed + self.key_id + bytes([17, hash_id])
        return front + b"\0\0" + number(r) + number(s)


def signed(blob: bytes, base: bytes = BASE) -> bytes:
    """``base`` with ``blob`` in a signature note."""
    return NOTES.attach(Image(base), blob, None)


def with_section(body: bytes, name: str = NOTE, kind: int = SHT_NOTE, base: bytes = BASE) -> bytes:
    """``base`` with a section of these bytes."""
    info = SectionInfo(name, kind, 0, 4)
    return SectionCarrier(name, None, "last", kind, 0, 4).attach(Image(base), body, info)


Make = Callable[[Maker], bytes]


def _packets() -> Mapping[str, Callable[[Maker], bytes]]:
    """Blobs in the note."""

    def good(m: Maker) -> bytes:
        return old(m.v4())

    def bad(m: Maker) -> bytes:
        return old(m.v4(completion=b"another"))

    def stranger(m: Maker) -> bytes:
        return old(m.v4(unhashed=sub(16, bytes(range(8)))))

    def issuer(m: Maker) -> bytes:
        return sub(16, m.key_id)

    time, empty = sub(2, CREATED.to_bytes(4)), bytes([4, 0, 17, 2])
    return {
        "good": good,
        "v3": lambda m: old(m.v3()),
        "v3-length-6": lambda m: old(m.v3(length=6)),
        "v3-class-1": lambda m: old(m.v3(sig_class=1)),
        "version-2-is-3": lambda m: old(b"\2" + m.v3()[1:]),
        "version-5": lambda m: old(m.v4(version=5)),
        **{f"hash-{nr}": _hash(nr) for nr in (0, 1, 3, 4, 7, 8, 9, 10, 11, 12)},
        "rsa": lambda m: old(m.v4(algorithm=1)),
        "algorithm-16": lambda m: old(m.v4(algorithm=16)),
        "class-2": lambda m: old(m.v4(sig_class=2)),
        "class-2-then-good": lambda m: old(m.v4(sig_class=2)) + good(m),
        "rsa-then-good": lambda m: old(m.v4(algorithm=1)) + good(m),
        "version-6-then-good": lambda m: old(m.v4(version=6)) + good(m),
        "md5-then-good": lambda m: old(m.v4(hash_id=1)) + good(m),
        "good-then-bad": lambda m: good(m) + bad(m),
        "bad-then-good": lambda m: bad(m) + good(m),
        "stranger": stranger,
        "stranger-then-good": lambda m: stranger(m) + good(m),
        "bad": bad,
        "empty": lambda m: b"",
        "not-a-packet": lambda m: b"0\x82" + bytes(30),
        "user-id-only": lambda m: old(b"somebody", 13),
        "user-id-then-good": lambda m: old(b"somebody", 13) + good(m),
        "tag-0-then-good": lambda m: new(b"zero", 0) + good(m),
        "tag-63-then-good": lambda m: new(b"private", 63) + good(m),
        "zeros-after": lambda m: good(m) + bytes(4),
        "half-a-header-after": lambda m: good(m) + b"\xc2",
        "half-a-length-after": lambda m: good(m) + b"\xc2\xc1",
        "half-an-old-length-after": lambda m: good(m) + b"\x89\1",
        "too-short-a-packet-after": lambda m: good(m) + old(bytes(15)),
        "longer-than-the-blob": lambda m: good(m)[:-1],
        "new-header": lambda m: new(m.v4()),
        "new-header-5": lambda m: new(m.v4(), length=b"\xff" + len(m.v4()).to_bytes(4)),
        "new-header-5-high-bytes": lambda m: new(m.v4(), length=b"\xff\1\2\3" + bytes([len(m.v4())])),
        "partial": lambda m: new(m.v4(), length=b"\xe6"),
        "indeterminate": lambda m: b"\x8b" + m.v4(),
        "public-key-then-good": lambda m: old(m.key_body, 6) + good(m),
        "rsa-public-key-then-good": lambda m: old(b"\4" + bytes(4) + b"\1" + bytes(8), 6) + good(m),
        "short-public-key-then-good": lambda m: old(b"\4" + bytes(10), 6) + good(m),
        "public-key-of-version-5-then-good": lambda m: old(b"\5" + bytes(20), 6) + good(m),
        "r-zero": lambda m: old(m.v4(numbers=lambda r, s: number(0) + number(s))),
        "s-zero": lambda m: old(m.v4(numbers=lambda r, s: number(r) + number(0))),
        "r-too-large": lambda m: old(m.v4(numbers=lambda r, s: number(r + m.q) + number(s))),
        "s-too-large": lambda m: old(m.v4(numbers=lambda r, s: number(r) + number(s + m.q))),
        "s-missing": lambda m: old(m.v4(numbers=lambda r, s: number(r))),
        "s-cut": lambda m: old(m.v4(numbers=lambda r, s: number(r) + number(s)[:-3])),
        "r-of-20000-bits": lambda m: old(
            m.v4(numbers=lambda r, s: (20000).to_bytes(2) + bytes(2500) + number(s))
        ),
        "third-number": lambda m: old(m.v4(numbers=lambda r, s: number(r) + number(s) + number(77))),
        "leading-zeros": lambda m: old(
            m.v4(numbers=lambda r, s: (176).to_bytes(2) + r.to_bytes(22) + number(s))
        ),
        "nothing-hashed-as-rfc-4880": lambda m: old(m.v4(b"", time + issuer(m))),
        "nothing-hashed-as-the-kernel": lambda m: old(
            m.v4(b"", time + issuer(m), completion=empty + b"\4\xff\0\0\0\6")
        ),
        "issuer-hashed": lambda m: old(m.v4(time + issuer(m), b"")),
        "issuer-missing": lambda m: old(m.v4(unhashed=b"")),
        "issuer-short": lambda m: old(m.v4(unhashed=sub(16, m.key_id[:7]))),
        "issuer-long": lambda m: old(m.v4(unhashed=sub(16, m.key_id + b"\1\x65" + bytes(2)))),
        "issuer-in-both-last-wrong": lambda m: old(m.v4(time + issuer(m), sub(16, bytes(8)))),
        "issuer-in-both-last-right": lambda m: old(m.v4(time + sub(16, bytes(8)), issuer(m))),
        "time-short": lambda m: old(m.v4(sub(2, bytes(3)))),
        "time-missing": lambda m: old(m.v4(sub(3, bytes(4)))),
        "time-before-the-key": lambda m: old(m.v4(sub(2, bytes(4)))),
        "subpacket-of-0-bytes": lambda m: old(m.v4(time + b"\0\0")),
        "subpacket-beyond": lambda m: old(m.v4(time + sub(20, b"abc", 9))),
        "subpacket-beyond-unhashed": lambda m: old(m.v4(None, issuer(m) + sub(20, b"abc", 9))),
        "subpacket-2-byte-length": lambda m: old(m.v4(time + b"\xc1\0\x14" + bytes(447))),
        "subpacket-192": lambda m: old(m.v4(time + sub(20, bytes(191)))),
        "subpacket-5-byte-length": lambda m: old(m.v4(time + b"\xff\0\0\0\5\x14abcd")),
        "hashed-beyond-the-packet": lambda m: old(m.v4(sizes=(9000, None))),
        "hashed-too-long": lambda m: old(m.v4(sizes=(10001, None))),
        "unhashed-beyond-the-packet": lambda m: old(m.v4(sizes=(None, 9000))),
        "unhashed-beyond-then-good": lambda m: old(m.v4(sizes=(None, 9000))) + good(m),
        "unhashed-too-long": lambda m: old(m.v4(sizes=(None, 10001))),
        "unhashed-beyond-nothing-hashed": lambda m: old(m.v4(b"", sizes=(None, 9000))),
        "ends-after-the-areas": lambda m: old(m.v4(numbers=lambda r, s: b"")),
        "critical-unknown": lambda m: old(m.v4(time + sub(0x80 | 100, b"x"))),
    }


def _hash(nr: int) -> Callable[[Maker], bytes]:
    return lambda m: old(m.v4(hash_id=nr))


def _notes() -> Mapping[str, Make]:
    """What is wrong with the note, or with the section around it."""

    def noted(owner: bytes = b"module.sig\0", kind: int = 100, after: bytes = b"") -> Make:
        return lambda m: with_section(elf.note(owner, kind, old(m.v4())) + after)

    other = elf.note(b"GNU\0", 3, bytes(20))
    return {
        "note-owner": noted(b"module.sag\0"),
        "note-owner-longer": noted(b"module.sig\0\0"),
        "note-owner-without-nul": noted(b"module.sigX"),
        "note-type-101": noted(kind=101),
        "note-then-another": noted(after=other),
        "note-after-another": lambda m: with_section(other + elf.note(b"module.sig\0", 100, old(m.v4()))),
        "note-then-rubbish": noted(after=b"\1\2\3\4"),
        "note-of-12-bytes": lambda m: with_section(pack("<III", 0, 0, 100)),
        "note-of-no-bytes": lambda m: with_section(b""),
        "note-without-padding": lambda m: _unpadded(old(m.v4())),
        "two-sections-last-good": lambda m: _twice(m, bad_first=True),
        "two-sections-last-bad": lambda m: _twice(m, bad_first=False),
        "wrong-type": lambda m: with_section(elf.note(b"module.sig\0", 100, old(m.v4())), kind=1),
        "other-name": lambda m: with_section(elf.note(b"module.sig\0", 100, old(m.v4())), ".note.modsign"),
        "section-of-rhel5": lambda m: with_section(old(m.v4()), ".module_sig", 1),
    }


def _unpadded(blob: bytes) -> bytes:
    """The section ends with the signature, where up to three zeros should follow."""
    blob += old(bytes(3 - len(blob) % 4), 13)  # a user id: then the size is no multiple of 4
    return with_section(elf.note(b"module.sig\0", 100, blob)[: 24 + len(blob)])


def _twice(m: Maker, *, bad_first: bool) -> bytes:
    good, bad = old(m.v4()), old(m.v4(completion=b"another"))
    first, second = (bad, good) if bad_first else (good, bad)
    return with_section(elf.note(b"module.sig\0", 100, second), base=signed(first))


def _elves() -> Mapping[str, Callable[[bytes], bytes]]:
    """What is done to a well-signed module."""

    def at(section: str, /, **fields: int) -> Callable[[bytes], bytes]:
        return lambda c: elf.patched(c, elf.index_of(c, section), **fields)

    def head(**fields: int) -> Callable[[bytes], bytes]:
        return lambda c: elf.repatched(c, **fields)

    def symbol(nr: int, field: int, size: int, value: int) -> Callable[[bytes], bytes]:
        return lambda c: _put(c, _start(c, ".symtab") + 24 * nr + field, value.to_bytes(size, "little"))

    return {
        "elf-4-bytes": lambda c: c[:4],
        "elf-63-bytes": lambda c: c[:63],
        "elf-64-bytes": lambda c: c[:64],
        "elf-without-the-last-byte": lambda c: c[:-1],
        "elf-text": lambda c: b"#!/bin/sh\n" * 20,
        "elf-type-2": head(type=2),
        "elf-machine-arm64": head(machine=183),
        "elf-machine-i386": head(machine=3),
        "elf-entry-size": head(shentsize=40),
        "elf-class-1": lambda c: _put(c, 4, b"\1"),
        "elf-order-2": lambda c: _put(c, 5, b"\2"),
        "elf-version": head(version=7),
        "elf-entry-point": head(entry=4096),
        "elf-program-headers": head(phnum=1),
        "elf-phoff": head(phoff=64),
        "elf-no-sections": head(shnum=0),
        "elf-shstrndx-0": head(shstrndx=0),
        "elf-shstrndx-out": head(shstrndx=200),
        "elf-shoff-odd": lambda c: elf.repatched(c + bytes(8), shoff=ElfTable(c).header.shoff + 4),
        "elf-shnum-reserved": head(shnum=0xFF00),
        "elf-shnum-too-many": head(shnum=2000),
        "elf-ehsize": head(ehsize=0xFFFF),
        "elf-names-nobits": at(".shstrtab", type=SHT_NOBITS),
        "elf-names-empty": at(".shstrtab", size=0),
        "elf-names-unterminated": at(".shstrtab", size=3),
        "elf-section-0-name": lambda c: elf.patched(c, 0, name=1 << 20),
        "elf-section-0-type": lambda c: elf.patched(c, 0, type=1),
        "elf-section-0-size": lambda c: elf.patched(c, 0, size=1),
        "elf-section-0-offset": lambda c: elf.patched(c, 0, offset=1),
        "elf-section-0-link": lambda c: elf.patched(c, 0, link=500),
        "elf-name-out": at(".text", name=1 << 20),
        "elf-name-blank": at(".comment", name=0),
        "elf-link-out": at(".text", link=500),
        "elf-entsize-odd": at(".text", entsize=3),
        "elf-symbol-entsize": at(".symtab", entsize=8),
        "elf-rela-entsize": at(".rela.text", entsize=16),
        "elf-offset-in-header": at(".bss", offset=16),
        "elf-offset-out": at(".bss", offset=1 << 40),
        "elf-size-too-large": at(".text", size=1 << 20),
        "elf-rela-info-0": at(".rela.text", info=0),
        "elf-rela-info-out": at(".rela.text", info=500),
        "elf-no-symbol-table": at(".symtab", type=1),
        "elf-no-string-table": at(".strtab", type=1),
        "elf-string-table-named-twice": lambda c: elf.patched(
            c, elf.index_of(c, ".shstrtab"), name=ElfTable(c).rows[elf.index_of(c, ".strtab")].name
        ),
        "elf-symbol-0": symbol(0, 8, 8, 1),
        "elf-symbol-0-kind": symbol(0, 4, 1, 1),
        "elf-symbol-name-out": symbol(3, 0, 4, 1 << 20),
        "elf-symbol-section-out": symbol(4, 6, 2, 300),
        "elf-relocation-out": lambda c: _put(c, _start(c, ".rela.text"), pack("<Q", 1 << 20)),
        "elf-relocation-symbol-out": lambda c: _put(c, _start(c, ".rela.text") + 12, pack("<I", 5000)),
        "elf-second-relocation-out": lambda c: _put(c, _start(c, ".rela.text") + 24, pack("<Q", 1 << 20)),
        "elf-note-too-long": lambda c: _put(c, _start(c, ".note.Linux") + 4, pack("<I", 4096)),
        "elf-note-owner": lambda c: _put(c, _start(c, ".note.gnu.build-id") + 13, b"\0"),
        "elf-note-owner-unterminated": lambda c: _put(c, _start(c, ".note.gnu.build-id") + 15, b"!"),
        "elf-note-owner-too-long": lambda c: _put(c, _start(c, ".note.Linux"), pack("<I", 200)),
        "changed-text": lambda c: _put(c, _start(c, ".text"), b"\xcc"),
        "changed-comment": lambda c: _put(c, _start(c, ".comment"), b"\xcc"),
        "changed-info": lambda c: _put(c, _start(c, ".modinfo"), b"L"),
        "changed-bss-size": at(".bss", size=0x300),
        "changed-rela-flags": at(".rela.text", flags=0),
        "changed-address": at(".text", addr=4096),
        "bytes-after-the-file": lambda c: c + b"after the file",
    }


def _start(content: bytes, name: str) -> int:
    return ElfTable(content).rows[elf.index_of(content, name)].offset


def _put(content: bytes, at: int, data: bytes) -> bytes:
    return content[:at] + data + content[at + len(data) :]


def files(private: Any = None) -> dict[str, bytes]:
    """Every file by name, signed with ``private`` (None: a key made for this run)."""
    maker = Maker(private or private_key("dsa1024"))
    good = signed(old(maker.v4()))
    made = {"unsigned": BASE}
    made |= {name: signed(blob(maker)) for name, blob in _packets().items()}
    made |= {name: make(maker) for name, make in _notes().items()}
    made |= {name: change(good) for name, change in _elves().items()}
    return made


def ring(private: Any = None) -> bytes:
    """The key ring for :func:`files`."""
    return Maker(private or private_key("dsa1024")).ring
