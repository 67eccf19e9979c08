"""A readable listing of OpenPGP packets, in the words of ``gpg --list-packets`` (RFC 4880).

Nothing is checked: packets are shown up to the byte that cannot be read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final

from elfsig.envelopes.openpgp import packets
from elfsig.envelopes.openpgp.packets import Packet, SignaturePacket, Subpacket
from elfsig.errors import ParseError

_KINDS: Final = {
    packets.PKESK: "pubkey enc packet", packets.SIGNATURE: "signature packet",
    packets.SECRET_KEY: "secret key packet", packets.PUBLIC_KEY: "public key packet",
    packets.SECRET_SUBKEY: "secret sub key packet", packets.COMPRESSED: "compressed packet",
    packets.SED: "encrypted data packet", packets.LITERAL: "literal data packet",
    packets.USER_ID: "user ID packet", packets.PUBLIC_SUBKEY: "public sub key packet",
    packets.SEIPD: "encrypted data packet",
}  # fmt: skip


def lines(data: bytes) -> Iterator[str]:
    """The packets in order, a few lines each; the last line says where they are damaged, if they are."""
    try:
        for packet in packets.read_packets(data, lenient=True):
            yield _head(packet, data)
            yield from _packet(packet)
            if packet.cut:
                yield f"\tcut off: {packet.cut} bytes are missing"
    except ParseError as fault:
        yield f"# off={fault.offset or 0} {fault.text}"


def _head(packet: Packet, data: bytes) -> str:
    form = " new-ctb" if packet.new_format else ""
    header, size = packet.body_start - packet.start, len(packet.body)
    return (
        f"# off={packet.start} ctb={data[packet.start]:02x} tag={packet.tag} hlen={header} plen={size}{form}"
    )


def _packet(packet: Packet) -> Iterator[str]:
    kind = _KINDS.get(packet.tag, packet.name)
    try:
        if packet.tag == packets.SIGNATURE:
            yield from _signature(packets.read_signature(packet.body), packet.body)
        elif packet.tag == packets.PKESK:
            yield from _session_key(packet.body)
        elif packet.tag == packets.USER_ID:
            yield f":{kind}: {_text(packet.body)}"
        else:
            yield f":{kind}:"
            yield f"\tlength: {len(packet.body)}"
    except ParseError as fault:
        yield f":{kind}: damaged at byte {fault.offset or 0} of it: {fault.text}"


def _signature(found: SignaturePacket, body: bytes) -> Iterator[str]:
    if found.version not in (2, 3, 4):
        yield f":signature packet: version {found.version}, {len(body)} bytes"
        return
    key_id = (found.key_id or bytes(8)).hex().upper()
    yield f":signature packet: algo {found.algorithm}, keyid {key_id}"
    hashed = 5 if found.version < 4 else 0
    created = found.created or 0
    yield (f"\tversion {found.version}, created {created}, md5len {hashed}, sigclass 0x{found.sig_class:02x}")
    yield f"\tdigest algo {found.hash}, begin of digest {found.left16.hex(' ')}"
    for each in found.subpackets:
        yield _subpacket(each)
    yield from _numbers(found.numbers)
    if found.behind:
        yield f"\t{found.behind} bytes after the signature"


def _numbers(numbers: tuple[int, ...]) -> Iterator[str]:
    for number in numbers:
        yield f"\tdata: [{number.bit_length()} bits]"


def _subpacket(each: Subpacket) -> str:
    critical = "critical " if each.critical else ""
    area = "hashed " if each.hashed else ""
    meaning = _MEANINGS.get(each.type)
    text = meaning(each.data) if meaning else "?"
    return f"\t{critical}{area}subpkt {each.type} len {len(each.data)} ({text})"


def _date(data: bytes) -> str:
    if len(data) != 4:
        return f"?? {data.hex()}"
    return datetime.fromtimestamp(int.from_bytes(data), UTC).date().isoformat()


def _lifetime(data: bytes) -> str:
    if len(data) != 4:
        return f"?? {data.hex()}"
    minutes = int.from_bytes(data) // 60
    days, hours = minutes // 1440, minutes // 60 % 24
    return f"sig expires after {days // 365}y{days % 365}d{hours}h{minutes % 60}m"


def _text(data: bytes) -> str:
    text = data.decode("utf-8", "backslashreplace")
    return '"' + "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text) + '"'


_MEANINGS: Final[dict[int, Callable[[bytes], str]]] = {
    packets.CREATED: lambda data: f"sig created {_date(data)}",
    packets.EXPIRES: _lifetime,
    packets.ISSUER: lambda data: f"issuer key ID {data.hex().upper()}",
    20: lambda data: f"notation: {len(data)} bytes",
    27: lambda data: f"key flags: {data.hex().upper()}",
    packets.SIGNER_UID: lambda data: f"signer's user ID {_text(data)}",
    packets.ISSUER_FINGERPRINT: lambda data: f"issuer fpr v{data[:1].hex()[-1:]} {data[1:].hex().upper()}",
}
"""What a subpacket says, by its type (RFC 4880 5.2.3.1, RFC 9580 5.2.3.35)."""


def _session_key(body: bytes) -> Iterator[str]:
    head = packets.take(body, 0, 10, "encrypted session key")
    version, algorithm = head[0], head[9]
    yield f":pubkey enc packet: version {version}, algo {algorithm}, keyid {head[1:9].hex().upper()}"
    count = {1: 1, 2: 1, 16: 2}.get(algorithm)
    if count is None:
        yield f"\tdata: {len(body) - 10} bytes"
    else:
        yield from _numbers(packets.read_mpis(body, 10, count)[0])
