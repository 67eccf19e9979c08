"""The OpenPGP parser inside Red Hat's kernels, with its liberties: what it reads, skips, logs and refuses.

It follows crypto/signature/ksign-parse.c and the MPI reader of lib/mpi (crypto/signature/mpi in older trees)
of 2.6.9 to 2.6.32-el6 and of Oracle's 2.6.39. This is not RFC 4880: lengths are read in another way, damage
in one place is an error and in another one makes the parser pass over the packet, and some fields are read
beyond the packet's end. All integers are big-endian.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from elfsig.envelopes.openpgp.packets import ISSUER, MAX_MPI_BITS, PUBLIC_KEY, SIGNATURE

DSA, SHA1, LAST_HASH = 17, 2, 11
CREATED = 2
LONGEST_AREA = 10000
"""Bytes of subpackets that are read at most."""

MAX_LINES = 200
"""Log lines that are kept; a kernel prints one for each packet that it passes over."""

LIMB = 8
"""Bytes of a word of the kernel's numbers. On 32-bit machines it is 4, which matters to cut numbers only."""


class Number(NamedTuple):
    """A number of a packet. ``cut``: it reaches beyond its packet; the kernel uses it all the same, its end
    being whatever was in memory, and ``value`` is what it is at least."""

    value: int
    cut: bool = False


class Dialect(NamedTuple):
    """How the parsers differ.

    ``any_hash``: every hash id from 1 to 11 is taken, as in later RHEL 6; else SHA-1 only. ``subpackets``:
    they are parsed, and the last issuer counts (RHEL 6, UEK2); else only the first issuer is looked for
    (RHEL 4, RHEL 5, Fedora), and the time of a version 4 signature is not read. ``byte`` is this
    source's word for a byte.
    """

    any_hash: bool = False
    subpackets: bool = True
    byte: str = "byte"


FIRST_ISSUER = Dialect(subpackets=False, byte="uint8_t")
"""RHEL 4 and 5, Fedora Core."""


@dataclass(frozen=True, slots=True)
class KsignSignature:
    """A signature packet as this parser understands it.

    ``hashed`` is the hashed area with its two length bytes, None where that is empty. ``numbers`` are r and
    s, None for one that is missing or too long.
    """

    version: int
    sig_class: int
    hash: int
    created: int
    key_id: bytes
    hashed: bytes | None
    numbers: tuple[Number | None, Number | None]

    @property
    def completion(self) -> bytes:
        """What is hashed after the module. An empty hashed area adds nothing, not even its length."""
        if self.version < 4:
            return bytes([self.sig_class]) + self.created.to_bytes(4)
        area = self.hashed or b""
        size = 6 + max(0, len(area) - 2)
        head = bytes([self.version, self.sig_class, DSA, self.hash])
        return head + area + bytes([self.version, 0xFF]) + size.to_bytes(4)


@dataclass(slots=True)
class Parsed:
    """The result: the first signature that is of interest, and what happened on the way.

    ``damage`` says why the blob was refused as a whole (EBADMSG), ``crash`` why the kernel does not survive
    it. ``passed`` are the signature packets that were passed over, in words; ``log`` the kernel's lines.
    """

    signature: KsignSignature | None = None
    damage: str | None = None
    crash: str | None = None
    passed: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)


def parse(memory: bytes, start: int, size: int, dialect: Dialect) -> Parsed:
    """Parse the ``size`` bytes at ``start``. ``memory`` is the whole file: reads may go beyond the blob."""
    parser = _Parser(memory, start, start + size, dialect)
    with suppress(_Ended):
        while parser.at < parser.end:
            parser.packet()
    if len(parser.found.log) >= MAX_LINES:
        parser.found.log.append(f"(only the first {MAX_LINES} of its lines are shown)")
    return parser.found


class _Ended(Exception):
    """The parser returned an error, or the kernel crashed; ``found`` says which."""


class _PassedOver(Exception):
    """This packet is passed over, and the next one is read."""


class _Parser:
    """``at`` is the next byte, ``end`` the end of the blob."""

    def __init__(self, memory: bytes, at: int, end: int, dialect: Dialect) -> None:
        self.memory, self.at, self.end, self.dialect = memory, at, end, dialect
        self.found = Parsed()

    def _log(self, line: str) -> None:
        if len(self.found.log) < MAX_LINES:
            self.found.log.append(line)

    def damage(self, text: str, line: str | None = None) -> _Ended:
        if line is not None:
            self._log(line)
        self.found.damage = text
        return _Ended()

    def read(self, size: int) -> int:
        """The next bytes as a number. After the file's end there is memory of which nothing is known: 0."""
        data = self.memory[self.at : self.at + size]
        self.at += size
        return int.from_bytes(data) << 8 * (size - len(data))

    # ------------------------------------------------------------------ packets

    def packet(self) -> None:
        """ksign_parse_one_packet()."""
        first = self.read(1)
        if not first & 0x80:
            line = f"ksign: invalid packet (ctb={first:02x})"
            raise self.damage(f"the byte {first:#04x} does not start a packet", line)
        if first & 0x40:
            tag, size = first & 0x3F, self._new_length()
        else:
            tag, size = first >> 2 & 0x0F, self._old_length(first & 3)
        if self.at + size > self.end:
            line = "ksign: packet length longer than available data"
            raise self.damage(f"a packet claims {size} bytes, {self.end - self.at} are left", line)
        following = self.at + size
        if tag == PUBLIC_KEY:
            self._public_key(following)
        elif tag == SIGNATURE:
            with suppress(_PassedOver):
                self._signature(following)
        self.at = following

    def _old_length(self, kind: int) -> int:
        """An indeterminate length counts as 0."""
        width = 0 if kind == 3 else 1 << kind
        if self.at + width > self.end:
            raise self.damage("a packet's length is cut off", f"ksign: length {self.dialect.byte}s missing")
        return self.read(width) if width else 0

    def _new_length(self) -> int:
        """Partial lengths count as 0; of a length of four bytes only the last one counts."""
        if self.at >= self.end:
            raise self.damage("a packet's length is missing", "ksign: 1st length byte missing")
        first = self.read(1)
        if first < 192:
            return first
        if first < 224:
            if self.at >= self.end:
                line = f"ksign: 2nd length {self.dialect.byte} missing"
                raise self.damage("a packet's length is cut off", line)
            return (first - 192) * 256 + self.read(1) + 192
        if first == 255:
            if self.at + 3 >= self.end:
                raise self.damage("a packet's length is cut off", "ksign: 4 uint8_t length invalid")
            return self.read(4) & 0xFF
        return 0

    def _public_key(self, end: int) -> None:
        """ksign_parse_key(): nobody wants the key, and yet its key id is computed."""
        if end - self.at < 12:
            line = "ksign: public key packet too short"
            raise self.damage("a public key packet is too short", line)
        version = self.read(1)
        unknown = f"ksign: public key packet with unknown version {version}"
        if version not in (2, 3, 4):
            raise self.damage(f"a public key packet of version {version}", unknown)
        self.read(4 if version == 4 else 6)
        if self.read(1) != DSA:
            self._log(unknown)
            return
        if None in [self._number(end) for _ in range(4)]:
            self.found.crash = "the numbers of a public key packet in it cannot be read"
            raise _Ended

    # ------------------------------------------------------------------ signatures

    def _signature(self, end: int) -> None:
        """ksign_parse_signature() and ksign_grab_signature()."""
        if end - self.at < 16:
            raise self.damage("a signature packet is too short", "ksign: signature packet too short")
        version = self.read(1)
        if version not in (2, 3, 4):
            line = f"ksign: signature packet with unknown version {version}"
            raise self._pass_over(f"version {version}", line)
        created, key_id, named = 0, bytes(8), False
        if version < 4:
            self.read(1)  # the length of the hashed part
        sig_class = self.read(1)
        if version < 4:
            created, key_id, named = self.read(4), self.read(8).to_bytes(8), True
        hash_id = self._algorithms()
        hashed, forgiven = None, False
        if version == 4:
            areas = _Areas(self, end)
            hashed, forgiven = areas.read()
            created, key_id, named = areas.created, areas.key_id, areas.named
        if end - self.at < 5:
            line = "ksign: signature packet too short"
            raise self.too_short("a signature packet is too short", line, forgiven=forgiven)
        self.read(2)  # the first 16 bits of the digest, which are not compared
        if not named:
            self._log("ksign: signature packet without issuer")
        numbers = self._number(end), self._number(end)
        if sig_class:
            raise self._pass_over(f"class {sig_class:#04x}")
        if self.found.signature is None:
            self.found.signature = KsignSignature(
                version, sig_class, hash_id, created, key_id, hashed, numbers
            )

    def _pass_over(self, text: str, line: str | None = None) -> _PassedOver:
        if line is not None:
            self._log(line)
        if len(self.found.passed) < MAX_LINES:
            self.found.passed.append(text)
        return _PassedOver()

    def too_short(self, text: str, line: str, *, forgiven: bool) -> Exception:
        """Damage, or a packet that is passed over because the parser's last result was success."""
        return self._pass_over(text, line) if forgiven else self.damage(text, line)

    def _algorithms(self) -> int:
        """The hash id of a DSA signature."""
        algorithm = self.read(1)
        if algorithm != DSA:
            rsa = "RSA, and this kernel reads DSA only"
            text = rsa if algorithm in (1, 3) else f"algorithm {algorithm}"
            raise self._pass_over(text, "ksign: ignoring non-DSA signature")
        hash_id = self.read(1)
        if self.dialect.any_hash:
            if not 0 < hash_id <= LAST_HASH:
                line = f"ksign: ignoring unsupported signature hash ({hash_id})"
                raise self._pass_over(f"hash {hash_id}", line)
        elif hash_id != SHA1:
            raise self._pass_over(f"hash {hash_id}, and not SHA-1", "ksign: ignoring non-SHA1 signature")
        return hash_id

    def _number(self, end: int) -> Number | None:
        """mpi_read_from_buffer(). The room left is unsigned, and so is endless once it was overstepped."""
        room = (end - self.at) & 0xFFFFFFFF
        if room < 2:
            return None
        bits = int.from_bytes(self.memory[self.at : self.at + 2])
        if bits > MAX_MPI_BITS:
            self._log(f"MPI: mpi too large ({bits} bits)")
            return None
        size = (bits + 7) // 8
        self.at += 2
        if size + 2 > room:
            self._log(f"MPI: mpi larger than buffer nread={room + 1} ret_nread={room}")
            whole = size - (size + 2 - room + LIMB - 1) // LIMB * LIMB
            value = self.read(max(0, whole)) << 8 * (size - whole)
            self.at = end + 1
            return Number(value, cut=True)
        return Number(self.read(size))


class _Areas:
    """The two areas of subpackets of a version 4 signature."""

    def __init__(self, parser: _Parser, end: int) -> None:
        self.parser, self.end = parser, end
        self.created, self.key_id, self.named = 0, bytes(8), False

    def read(self) -> tuple[bytes | None, bool]:
        """The hashed area with its length, and whether damage that follows is forgiven.

        It is once an area was parsed: the variable for the result then holds success (RHEL 6).
        """
        hashed = self._area("hashed", forgiven=False)
        parses = self.parser.dialect.subpackets
        unhashed = self._area("unhashed", forgiven=parses and hashed is not None)
        if not parses:
            self._first_issuer(hashed, unhashed)
        return hashed, parses and (hashed is not None or unhashed is not None)

    def _area(self, name: str, *, forgiven: bool) -> bytes | None:
        parser = self.parser
        size = parser.read(2)
        if size > LONGEST_AREA:
            line = f"ksign: signature packet: {name} data too long"
            raise parser.too_short(f"{size} bytes of {name} subpackets", line, forgiven=forgiven)
        if not size:
            return None
        # Compared as unsigned numbers: a position that is beyond the end already leaves endless room.
        if 0 <= self.end - parser.at < size:
            line = "ksign: signature packet: available data too short"
            raise parser.too_short(f"its {name} subpackets reach beyond it", line, forgiven=forgiven)
        start = parser.at
        area = parser.memory[start : start + size].ljust(size, b"\0")
        if parser.dialect.subpackets:
            self._subpackets(area)
        parser.at = start + size
        return size.to_bytes(2) + area

    def _subpackets(self, area: bytes) -> None:
        """ksign_parse_v4_subpackets(): ``at`` and ``left`` go apart after a long issuer or time."""
        at, left = 0, len(area)

        def number(size: int) -> int:
            nonlocal at
            data = area[at : at + size].ljust(size, b"\0")
            at += size
            return int.from_bytes(data)

        while left > 0:
            size = number(1)
            left -= 1
            if size == 0:
                continue
            if 192 < size < 255:
                if left < 192:
                    raise self._short()
                size = (size - 192 << 8) + number(1) + 192
                left -= 1
            elif size == 255:
                if left < 4:
                    raise self._short()
                size = number(4)
                left -= 4
                if not size:
                    raise self._short()
            if size > left:
                raise self.parser.damage("a subpacket reaches beyond its area")
            left -= size
            kind, size = number(1) & 0x7F, size - 1
            if kind == CREATED:
                if size < 4:
                    raise self._short()
                self.created = number(4)
            elif kind == ISSUER:
                if size < 8:
                    raise self._short()
                self.key_id, self.named = number(8).to_bytes(8), True
            else:
                at += size

    def _short(self) -> Exception:
        return self.parser.damage("a subpacket is too short", "ksign: signature subpkt too short")

    def _first_issuer(self, *areas: bytes | None) -> None:
        """ksign_find_sig_issuer() on the hashed area, then on the other one."""
        found = next((key_id for area in areas if area and (key_id := _issuer(area[2:]))), None)
        if found is not None:
            self.key_id, self.named = found, True


def _issuer(area: bytes) -> bytes | None:
    """The first issuer of an area; damage before it ends the search."""
    at = 0
    while at < len(area):
        size = area[at]
        at += 1
        if size == 255:
            if len(area) - at < 4:
                return None
            size = int.from_bytes(area[at : at + 4])
            at += 4
        elif size >= 192:
            if len(area) - at < 2:
                return None
            size = (size - 192 << 8) + area[at] + 192
            at += 1
        if len(area) - at < size:
            return None
        if at < len(area) and area[at] & 0x7F == ISSUER:
            return area[at + 1 : at + 9] if size >= 9 else None
        at += size
    return None
