"""OpenPGP packets, keys and signatures, without GnuPG."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elfsig.crypto import der
from elfsig.envelopes.openpgp.envelope import OpenPgp
from elfsig.envelopes.openpgp.keys import PublicKeyPacket, crc24, dearmour, key_id_of, read_public_key
from elfsig.envelopes.openpgp.make import make_ring
from elfsig.envelopes.openpgp.packets import (
    PUBLIC_SUBKEY,
    SIGNATURE,
    mpi,
    read_mpi,
    read_packet,
    read_packets,
    read_signature,
    subpacket,
    v4_completion,
    write_packet,
)
from elfsig.errors import KeySourceError, ParseError, SigningError
from elfsig.model import Key, Outcome, SignOptions, Verdict
from elfsig.signers.pem import FileSigner
from elfsig.trust.armour import is_ring
from elfsig.trust.entries import Origin
from elfsig.trust.make import key_from_public
from elfsig.trust.openpgp import public_key, read, scan
from tests.support.openpgp import Keys, message, signer

CONTENT = b"a module's bytes " * 20
OPENPGP = OpenPgp()
KINDS = ("rsa1024", "rsa2048", "dsa1024", "dsa2048")


def options(kind: str, version: int = 4) -> SignOptions:
    digest = "sha256" if kind == "dsa2048" else "sha1"
    return SignOptions(hash=digest, packet_version=version, created=1_100_000_000)


def made(kind: str, version: int = 4) -> bytes:
    return OPENPGP.create(message(CONTENT), signer(kind), options(kind, version))[0]


def ring(kind: str) -> list[Key]:
    return read(make_ring(signer(kind), "Test <test@example.org>"), "ring", "user", True)


def verify(blob: bytes, keys: list[Key], content: bytes = CONTENT) -> Outcome:
    return OPENPGP.verify(OPENPGP.parse(blob, None)[0], message(content), Keys(keys))


def codes(outcome: Outcome) -> list[str]:
    return [remark.code for remark in outcome.remarks]


# --------------------------------------------------------------------------- packets


@pytest.mark.parametrize("size", [0, 1, 191, 192, 255, 256, 8383, 8384, 65535, 65536])
def test_packet_headers_old_and_new(size: int) -> None:
    body = bytes(size)
    old = read_packet(write_packet(13, body), 0)
    assert (old.tag, old.body, old.new_format) == (13, body, False)
    assert read_packet(new_header(13, size) + body, 0)[:5] == (
        13,
        0,
        len(new_header(13, size)),
        old_end(size),
        body,
    )


def new_header(tag: int, size: int) -> bytes:
    """RFC 4880 4.2.2, written out a second time."""
    if size < 192:
        return bytes([0xC0 | tag, size])
    if size < 8384:
        return bytes([0xC0 | tag, 192 + (size - 192 >> 8), size - 192 & 0xFF])
    return bytes([0xC0 | tag, 255]) + size.to_bytes(4)


def old_end(size: int) -> int:
    return len(new_header(13, size)) + size


@pytest.mark.parametrize(
    ("data", "offset", "text"),
    [
        (b"\x00", 0, "bit 7"),
        (b"\x80\x00", 0, "reserved"),
        (b"\x88", 1, "length"),
        (b"\x88\x05abcd", 0, "5 bytes and 4 are left"),
        (b"\x8babcd", 0, "indeterminate"),
        (b"\xc2\xe1ab", 0, "partial"),
        (b"\xc9\xe1a", 2, "2 bytes expected"),
    ],
)  # fmt: skip
def test_damaged_packets_name_the_offset(data: bytes, offset: int, text: str) -> None:
    with pytest.raises(ParseError, match=text) as caught:
        list(read_packets(data))
    assert caught.value.offset == offset


def test_data_packets_may_have_open_lengths() -> None:
    assert read_packet(b"\xa7rest of it", 0).body == b"rest of it"
    chained = read_packet(b"\xc9\xe1ab\xe0c\x02de\x88", 0)
    assert (chained.body, chained.end) == (b"abcde", 9)


def test_numbers_are_bounded() -> None:
    assert read_mpi(mpi(0x1FF), 0) == (0x1FF, 4)
    for data, text in (
        (b"\0\0", "zero"),
        (b"\0\x08\0", "zero"),
        (b"\xff\xff", "the limit is"),
        (b"\0\x09a", "number"),
    ):
        with pytest.raises(ParseError, match=text):
            read_mpi(data, 0)


# --------------------------------------------------------------------------- signatures


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_made_signatures_verify(kind: str, version: int) -> None:
    blob = made(kind, version)
    found = OPENPGP.parse(blob, None)[0]
    outcome = verify(blob, ring(kind))
    assert outcome.verdict is Verdict.VALID
    assert not outcome.remarks
    assert found.facts["packet_version"] == version
    assert found.facts["issuer_area"] == ("packet" if version == 3 else "unhashed")
    assert found.created == 1_100_000_000
    assert found.key_id == key_id_of(signer(kind).public, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_version_2_is_read_as_version_3(kind: str) -> None:
    """PGP 2 wrote such; the version byte is not hashed."""
    packet = read_packet(made(kind, 3), 0)
    blob = write_packet(packet.tag, b"\x02" + packet.body[1:])
    assert OPENPGP.parse(blob, None)[0].facts["packet_version"] == 2
    assert verify(blob, ring(kind)).verdict is Verdict.VALID


@pytest.mark.parametrize("kind", KINDS)
def test_changed_content_is_invalid_and_the_16_bits_say_so(kind: str) -> None:
    outcome = verify(made(kind), ring(kind), CONTENT + b"!")
    assert outcome.verdict is Verdict.INVALID
    assert codes(outcome) == ["hash16-differs"]


@pytest.mark.parametrize("kind", KINDS)
def test_changed_value_is_invalid_and_the_16_bits_fit(kind: str) -> None:
    blob = bytearray(made(kind))
    blob[-1] ^= 1
    outcome = verify(bytes(blob), ring(kind))
    assert outcome.verdict is Verdict.INVALID
    assert "hash16-fits" in codes(outcome)


def test_the_left_16_bits_are_an_anomaly_not_a_verdict() -> None:
    blob = made("rsa1024").replace(OPENPGP.parse(made("rsa1024"), None)[0].detail.left16, b"\0\0", 1)
    outcome = verify(blob, ring("rsa1024"))
    assert (outcome.verdict, codes(outcome)) == (Verdict.VALID, ["hash16-differs"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_pem_key_is_tried_since_it_has_no_openpgp_id(kind: str) -> None:
    pem = key_from_public(signer(kind).public, Origin("key.pem"))
    assert verify(made(kind), [pem]).verdict is Verdict.VALID


def test_keys_that_do_not_bear_the_id_are_not_it() -> None:
    outcome = verify(made("dsa1024"), ring("rsa1024"))
    assert (outcome.verdict, codes(outcome)) == (Verdict.UNKNOWN_KEY, ["hash16-fits"])
    assert codes(verify(made("dsa1024"), ring("rsa1024"), CONTENT + b"!")) == ["hash16-differs"]


def test_key_created_gives_another_key_id() -> None:
    wish = SignOptions(created=5, key_created=1_000_000_000)
    blob = OPENPGP.create(message(CONTENT), signer("rsa1024"), wish)[0]
    assert verify(blob, ring("rsa1024")).verdict is Verdict.UNKNOWN_KEY
    other = read(make_ring(signer("rsa1024"), "x", key_created=1_000_000_000), "r", "user", True)
    assert verify(blob, other).verdict is Verdict.VALID
    assert other[0].created == 1_000_000_000


def test_a_hash_longer_than_q_is_cut_and_said() -> None:
    wish = SignOptions(hash="sha256", created=1)
    blob = OPENPGP.create(message(CONTENT), signer("dsa1024"), wish)[0]
    outcome = verify(blob, ring("dsa1024"))
    assert (outcome.verdict, codes(outcome)) == (Verdict.VALID, ["dsa-hash-cut"])


def test_a_hash_shorter_than_q_is_refused_unless_forced() -> None:
    with pytest.raises(SigningError, match="longer hash"):
        OPENPGP.create(message(CONTENT), signer("dsa2048"), SignOptions(hash="sha1"))
    blob = OPENPGP.create(message(CONTENT), signer("dsa2048"), SignOptions(hash="sha1", force=True))[0]
    outcome = verify(blob, ring("dsa2048"))
    assert (outcome.verdict, codes(outcome)) == (Verdict.VALID, ["dsa-hash-short"])


def test_dsa_values_out_of_range_are_invalid() -> None:
    q = signer("dsa1024").public.parameters().parameter_numbers().q
    packet = read_packet(made("dsa1024"), 0)
    r, s = read_signature(packet.body).numbers
    head = packet.body[: -len(mpi(r) + mpi(s))]
    for numbers in ((r + q, s), (r, s + q), (q, q)):
        outcome = verify(write_packet(SIGNATURE, head + b"".join(map(mpi, numbers))), ring("dsa1024"))
        assert outcome.verdict is Verdict.INVALID
        assert "value-out-of-range" in codes(outcome)


def test_rsa_values_above_the_modulus_are_invalid() -> None:
    n = signer("rsa1024").public.public_numbers().n
    packet = read_packet(made("rsa1024"), 0)
    (value,) = read_signature(packet.body).numbers
    blob = write_packet(SIGNATURE, packet.body[: -len(mpi(value))] + mpi(value + n))
    outcome = verify(blob, ring("rsa1024"))
    assert outcome.verdict is Verdict.INVALID


def test_other_packets_are_skipped_and_said() -> None:
    blob = write_packet(13, b"somebody") + made("rsa1024") + made("dsa1024")
    found = OPENPGP.parse(blob, None)
    assert [each.algorithm for each in found] == ["rsa", "dsa"]
    assert found[0].remarks[0].code == "packet-skipped"


def test_no_signature_packet_is_malformed() -> None:
    with pytest.raises(ParseError, match="no OpenPGP signature packet: user id"):
        OPENPGP.parse(write_packet(13, b"somebody"), None)
    with pytest.raises(ParseError, match="nothing"):
        OPENPGP.parse(b"", None)


def test_a_length_past_the_end_is_refused_and_read_on_request() -> None:
    blob = made("rsa1024")
    longer = blob[:1] + bytes([blob[1] + 1]) + blob[2:]
    with pytest.raises(ParseError) as caught:
        OPENPGP.parse(longer, None)
    assert (caught.value.code, caught.value.offset) == ("length-past-end", 0)
    found = OpenPgp(lenient=True).parse(longer, None)[0]
    assert [remark.code for remark in found.remarks] == ["length-past-end"]
    assert OPENPGP.verify(found, message(CONTENT), Keys(ring("rsa1024"))).verdict is Verdict.VALID


def rewritten(*edits: tuple[int, int], more: bytes = b"") -> bytes:
    """A signature with bytes of its body set otherwise, and ``more`` behind it."""
    body = bytearray(read_packet(made("rsa1024"), 0).body)
    for at, value in edits:
        body[at] = value
    return write_packet(SIGNATURE, bytes(body) + more)


@pytest.mark.parametrize(
    ("at", "value", "reason"),
    [
        (0, 5, "version 5"),
        (1, 0x13, "certification"),
        (2, 22, "EdDSA"),
        (2, 99, "algorithm 99"),
        (3, 99, "OpenPGP 99"),
    ],
)
def test_what_cannot_be_checked_is_unsupported(at: int, value: int, reason: str) -> None:
    # A second number, which EdDSA has, is to the others some bytes behind their value.
    blob = rewritten((at, value), more=mpi(1))
    outcome = verify(blob, ring("rsa1024"))
    assert outcome.verdict is Verdict.UNSUPPORTED
    assert reason in (outcome.reason or "")


def with_subpackets(*unhashed: bytes) -> bytes:
    body = read_packet(made("rsa1024"), 0).body
    split = 6 + int.from_bytes(body[4:6])
    area = b"".join(unhashed)
    tail = body[split + 2 + int.from_bytes(body[split : split + 2]) :]
    return write_packet(SIGNATURE, body[:split] + len(area).to_bytes(2) + area + tail)


def test_critical_unknown_subpackets_are_reported() -> None:
    own = subpacket(16, key_id_of(signer("rsa1024").public, 0))
    blob = with_subpackets(own, bytes([2, 0x80 | 101, 0]))
    assert [remark.code for remark in OPENPGP.parse(blob, None)[0].remarks] == ["critical-subpacket"]
    assert verify(blob, ring("rsa1024")).verdict is Verdict.VALID


def test_a_critical_notation_that_is_unknown_makes_a_signature_unusable() -> None:
    who, data = signer("rsa1024"), b"content"
    for name, critical, verdict in (
        (b"x@example.org", True, Verdict.UNSUPPORTED),
        (b"x@example.org", False, Verdict.VALID),
        (b"preferred-email-encoding@pgp.com", True, Verdict.VALID),
    ):
        body = b"\x80\0\0\0" + len(name).to_bytes(2) + b"\0\1" + name + b"v"
        notation = subpacket(20 | (0x80 if critical else 0), body)
        hashed = subpacket(2, bytes(4)) + subpacket(16, key_id_of(who.public, 0)) + notation
        head = bytes([4, 0, 1, 8]) + len(hashed).to_bytes(2) + hashed
        digest = hashlib.sha256(data + v4_completion(head)).digest()
        value = int.from_bytes(who.sign_digest(digest, "sha256"))
        blob = write_packet(SIGNATURE, head + b"\0\0" + digest[:2] + mpi(value))
        (signature,) = OPENPGP.parse(blob, None)
        assert OPENPGP.verify(signature, message(data), Keys(ring("rsa1024"))).verdict is verdict


def test_several_issuers_are_all_tried_and_reported() -> None:
    own = subpacket(16, key_id_of(signer("rsa1024").public, 0))
    blob = with_subpackets(subpacket(16, b"somebody"), own)
    found = OPENPGP.parse(blob, None)[0]
    assert [remark.code for remark in found.remarks] == ["issuers-differ"]
    assert found.key_id == b"somebody"
    assert verify(blob, ring("rsa1024")).verdict is Verdict.VALID


def test_no_issuer_at_all_lets_every_key_be_tried() -> None:
    blob = with_subpackets()
    assert [remark.code for remark in OPENPGP.parse(blob, None)[0].remarks] == ["issuer-missing"]
    assert verify(blob, ring("rsa1024")).verdict is Verdict.VALID


@pytest.mark.parametrize("area", [b"\0", b"\x05\x02ab", b"\xff\xff\xff\xff\xff\x02"])
def test_damaged_subpackets_are_malformed(area: bytes) -> None:
    with pytest.raises(ParseError, match="subpacket"):
        OPENPGP.parse(with_subpackets(area), None)


def test_bytes_behind_the_value_are_reported() -> None:
    blob = rewritten(more=b"more")
    assert [remark.code for remark in OPENPGP.parse(blob, None)[0].remarks] == ["bytes-behind-value"]
    assert verify(blob, ring("rsa1024")).verdict is Verdict.VALID


def test_wishes_that_openpgp_cannot_fulfil() -> None:
    for wish in (SignOptions(hash="sha3-256"), SignOptions(packet_version=5)):
        with pytest.raises(SigningError):
            OPENPGP.create(message(CONTENT), signer("rsa1024"), wish)


# --------------------------------------------------------------------------- keys


def armoured(data: bytes, kind: str = "PUBLIC KEY BLOCK") -> bytes:
    text = base64.encodebytes(data) + b"=" + base64.b64encode(crc24(data).to_bytes(3))
    return (
        f"-----BEGIN PGP {kind}-----\nVersion: x\n\n".encode()
        + text
        + f"\n-----END PGP {kind}-----\n".encode()
    )


def test_armoured_rings_and_their_checksum() -> None:
    plain = make_ring(signer("rsa1024"), "Test")
    text = armoured(plain)
    assert dearmour(text) == [("PUBLIC KEY BLOCK", plain)]
    assert is_ring(text)
    assert is_ring(plain)
    assert [key.ids for key in read(text, "r", "user", True)] == [
        key.ids for key in read(plain, "r", "user", True)
    ]
    wrong = base64.b64encode((crc24(plain) ^ 1).to_bytes(3))
    with pytest.raises(KeySourceError, match="checksum"):
        read(text.replace(base64.b64encode(crc24(plain).to_bytes(3)), wrong), "r", "user", True)


def test_an_armoured_signature_is_for_gnupg_only() -> None:
    text = armoured(made("rsa1024"), "SIGNATURE")
    with pytest.raises(ParseError, match="binary"):
        OPENPGP.parse(text, None)
    found = OpenPgp(lenient=True).parse(text, None)[0]
    assert OPENPGP.verify(found, message(CONTENT), Keys(ring("rsa1024"))).verdict is Verdict.VALID


def test_a_ring_of_several_keys_and_a_subkey() -> None:
    first, second = make_ring(signer("dsa1024"), "One"), make_ring(signer("rsa1024"), "Two")
    subkey = write_packet(PUBLIC_SUBKEY, read_packet(make_ring(signer("rsa2048"), "x"), 0).body)
    keys = read(first + second + subkey, "ring", "builtin", False)
    assert [key.label for key in keys] == ["One", "Two", "Two (subkey)"]
    assert [remark.code for remark in keys[2].remarks] == ["openpgp-subkey"]
    assert verify(made("rsa2048"), keys).verdict is Verdict.UNTRUSTED


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "holds no OpenPGP key"),
        (b"nothing of the kind", "no OpenPGP key ring"),
        (write_packet(13, b"somebody"), "holds no OpenPGP key"),
        (b"\0\0\0\x20\x01\x01\0\2KBXf" + bytes(20), "gpg --export"),
        (write_packet(5, b"\x04secret"), "private key"),
        (write_packet(6, b"\x04\0\0\0\0\x16numbers"), "holds no OpenPGP key"),
        (write_packet(6, b"\x04\0\0\0\0\x01\0\0"), "zero"),
        (write_packet(6, b"\x07"), "version 7"),
    ],
)
def test_what_is_no_ring_is_an_error(data: bytes, text: str) -> None:
    with pytest.raises(KeySourceError, match=text):
        read(data, "ring", "user", True)


def test_version_3_keys_have_the_id_of_their_modulus() -> None:
    numbers = signer("rsa1024").public.public_numbers()
    body = b"\x03" + bytes(4) + bytes(2) + b"\x01" + mpi(numbers.n) + mpi(numbers.e)
    parsed = read_public_key(read_packet(write_packet(6, body), 0))
    assert parsed.key_id == (numbers.n % 2**64).to_bytes(8)
    assert len(parsed.fingerprint) == 16


# A group of 768 bits: p - 1 is a multiple of q, and g = 2^((p - 1) / q) has order q.
Q = 0xDC76F18A0585A01C4C7D6DF0621AEF57E4CC4133
P = int(
    "ee1d8298a60272f98ded0d3ac587bcb59b4783cd389deb2fb5282be94185c01a65c822084b0912d6a1b2118aed235e99"
    "a19fa2bfd3637cf2da3fd299267b1584714d13d64174330c158069288573577734f49ad2ed960c8d87878e1a30d1d44b",
    16,
)
G, X, K = pow(2, (P - 1) // Q, P), 0x1234567890, 0x9876543210


class ByHand(FileSigner):
    """DSA in the group above, which GnuPG 1 made and OpenSSL's generator does not."""

    def sign_digest(self, digest: bytes, hash_name: str) -> bytes:
        r = pow(G, K, P) % Q
        s = pow(K, -1, Q) * (int.from_bytes(digest) + X * r) % Q
        return der.encode(der.SEQUENCE, der.encode_integer(r), der.encode_integer(s))


def test_dsa_groups_of_sizes_that_only_gnupg_1_made() -> None:
    parsed = PublicKeyPacket(4, 0, 17, "dsa", (P, Q, G, pow(G, X, P)), b"", b"", False)
    by_hand = ByHand(None, public_key(parsed), "dsa", 768, None)
    keys = read(make_ring(by_hand, "Old", hash="sha1"), "ring", "user", True)
    blob, _ = OPENPGP.create(message(CONTENT), by_hand, SignOptions(hash="sha1"))
    assert (keys[0].bits, verify(blob, keys).verdict) == (768, Verdict.VALID)
    assert verify(blob, keys, CONTENT + b"!").verdict is Verdict.INVALID


@pytest.mark.parametrize("kind", KINDS)
def test_rings_are_found_inside_a_kernel_image(kind: str) -> None:
    image = b"\x99\x01\xa2\x04junk" * 500 + make_ring(signer(kind), "Kernel Maker") + bytes(3000)
    (key,) = scan(image, Origin("vmlinux", proven="builtin"))
    assert key.label == "Kernel Maker"
    assert ("openpgp", key_id_of(signer(kind).public, 0)) in key.ids


# --------------------------------------------------------------------------- hostile input

SEEDS = [
    made("rsa1024"),
    made("rsa1024", 3),
    make_ring(signer("rsa1024"), "Test"),
    with_subpackets(b"\2\x85\0"),
]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A real blob with some bytes set otherwise, cut out or put in."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        size = draw(st.integers(0, 4))
        data[at : at + size] = draw(st.binary(max_size=4))
    return bytes(data)


@settings(max_examples=600, deadline=None)
@given(st.one_of(st.binary(max_size=200), damaged()), st.booleans())
def test_parsing_raises_nothing_but_parse_errors(data: bytes, lenient: bool) -> None:
    try:
        found = OpenPgp(lenient).parse(data, None)
    except ParseError:
        return
    for each in found:
        assert OPENPGP.verify(each, message(CONTENT), Keys(ring("rsa1024"))).verdict in Verdict


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=200), damaged()))
def test_rings_raise_nothing_but_key_source_errors(data: bytes) -> None:
    is_ring(data)
    scan(data, Origin("vmlinux"))
    try:
        keys = read(data, "ring", "user", True)
    except KeySourceError:
        return
    for kind in ("rsa1024", "dsa1024"):
        nameless = [replace(key, ids=frozenset()) for key in keys]
        assert verify(made(kind), nameless).verdict in Verdict
