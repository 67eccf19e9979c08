"""The encrypted digest of 2004: an OpenPGP message that holds the SHA-1 of the module in hex.

Greg Kroah-Hartman, "Signed Kernel Modules", Linux Journal 117 (January 2004): ``sha1sum`` of the text and
data sections, 40 lower-case hex digits and a line feed, encrypted with ``gpg -e`` to a public key. Anyone
who has that public key can make such a message, so it proves nothing, even if the digest inside matches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from elfsig.crypto.checks import digest_of
from elfsig.errors import ParseError, SigningError
from elfsig.lazy_dataclass import dataclass
from elfsig.model import (
    Keyring,
    Message,
    Outcome,
    PacketSigner,
    Params,
    Remark,
    Signature,
    Signer,
    SignOptions,
    Verdict,
)

if TYPE_CHECKING:
    from elfsig.envelopes.openpgp.packets import Packet

_SESSION_NUMBERS: Final[Mapping[int, int]] = {1: 1, 2: 1, 16: 2}
"""How many numbers an encrypted session key has: RSA one, Elgamal two."""

PROVES_NOTHING = (
    "an encrypted digest is not a signature: anyone with the public key can make one, so it proves nothing"
)


@dataclass(frozen=True, slots=True)
class EncryptedDigest:
    """Identified, made, opened with the secret key; never valid.

    ``decrypt`` turns a whole OpenPGP message into its plaintext, and raises SigningError.
    """

    suffix: ClassVar[str] = ".gpg"
    decrypt: Callable[[bytes], bytes] | None = None
    id: str = "encrypted-digest"

    def parse(self, blob: bytes, params: Params) -> Sequence[Signature]:
        """One entry for the message. Raises ParseError for anything else."""
        from elfsig.envelopes.openpgp.packets import ALGORITHM_NAMES, ALGORITHMS, SEIPD

        recipients, data = _message(blob)
        first = recipients[0]
        head = [_session_key(p) for p in recipients]
        key_id, algorithm = head[0]
        facts: dict[str, Any] = {
            "recipients": [each.hex() for each, _ in head],
            "public_key_algorithm": algorithm,
            "encrypted_packet": data.name,
            "integrity_protected": data.tag == SEIPD,
            "encrypted_bytes": len(data.body),
        }
        return [
            Signature(
                self.id,
                ALGORITHMS.get(algorithm),
                "sha1",
                first.body,
                (("openpgp", key_id),),
                ALGORITHM_NAMES.get(algorithm, f"algorithm {algorithm}"),
                key_id=key_id,
                facts=facts,
                detail=blob,
            )
        ]

    def verify(self, signature: Signature, message: Message, keys: Keyring) -> Outcome:
        """Always not-a-signature; with ``decrypt``, a remark describes the content."""
        if self.decrypt is None:
            return Outcome(Verdict.NOT_A_SIGNATURE, PROVES_NOTHING)
        try:
            return open_with(signature, message, self.decrypt)
        except SigningError as reason:
            remark = Remark("digest-not-opened", f"the digest inside is not known: {reason.text}")
            return Outcome(Verdict.NOT_A_SIGNATURE, PROVES_NOTHING, None, (remark,))

    def create(
        self, message: Message, signer: Signer | PacketSigner, options: SignOptions
    ) -> tuple[bytes, Params]:
        """The article's message, encrypted by GnuPG to the signer's key. Raises SigningError."""
        if isinstance(signer, Signer):
            raise SigningError("an encrypted digest is made through GnuPG: give the key as gpg:KEYID")
        if options.hash not in (None, "sha1"):
            raise SigningError(f"an encrypted digest is one of SHA-1, not {options.hash}", code="wrong-hash")
        return signer.encrypt_packet(plaintext(message)), None

    def dump(self, blob: bytes) -> Iterator[str]:
        """The packets, as ``gpg --list-packets`` lists them."""
        from elfsig.envelopes.openpgp.dump import lines

        return lines(blob)


def plaintext(message: Message) -> bytes:
    """The 41 bytes that are encrypted: the SHA-1 in lower-case hex, and a line feed."""
    return digest_of(message, "sha1").hex().encode() + b"\n"


def open_with(signature: Signature, message: Message, decrypt: Callable[[bytes], bytes]) -> Outcome:
    """Compare the digest inside with the content; ``decrypt`` turns the whole OpenPGP message into plaintext.

    The verdict stays not-a-signature; a remark ``digest-fits``, ``digest-differs`` or ``digest-strange``
    says what was inside. What ``decrypt`` raises is passed on.
    """
    inside, wanted = decrypt(signature.detail).strip().lower(), plaintext(message).strip()
    if inside == wanted:
        remark = Remark("digest-fits", f"the digest inside is that of this content: {wanted.decode()}")
    elif len(inside) == len(wanted) and not inside.strip(b"0123456789abcdef"):
        text = f"the digest inside is {inside.decode()}, that of this content {wanted.decode()}"
        remark = Remark("digest-differs", text)
    else:
        remark = Remark("digest-strange", f"what is inside is not a SHA-1 in hex: {inside[:64]!r}")
    return Outcome(Verdict.NOT_A_SIGNATURE, PROVES_NOTHING, None, (remark,))


def _message(blob: bytes) -> tuple[list[Packet], Packet]:
    """(session key packets, the encrypted data). Nothing may follow it."""
    from elfsig.envelopes.openpgp.packets import PKESK, SED, SEIPD, read_packet

    recipients: list[Packet] = []
    packet = read_packet(blob, 0)
    while packet.tag == PKESK:
        recipients.append(packet)
        packet = read_packet(blob, packet.end)
    if not recipients:
        raise ParseError(f"not an OpenPGP encrypted message: it begins with a {packet.name} packet", offset=0)
    if packet.tag not in (SED, SEIPD):
        raise ParseError(f"encrypted data expected, found a {packet.name} packet", offset=packet.start)
    if packet.end != len(blob):
        text = f"{len(blob) - packet.end} bytes after an encrypted message"
        raise ParseError(text, offset=packet.end)
    return recipients, packet


def _session_key(packet: Packet) -> tuple[bytes, int]:
    """(key id, algorithm) of a session key packet (RFC 4880 5.1)."""
    from elfsig.envelopes.openpgp.packets import byte_at, read_mpis, take

    body, base = packet.body, packet.body_start
    try:
        version = byte_at(body, 0, "version")
        if version not in (2, 3):
            raise ParseError(f"encrypted session key of version {version}: 3 expected", offset=0)
        key_id, algorithm = take(body, 1, 8, "key id"), byte_at(body, 9, "algorithm")
        if algorithm in _SESSION_NUMBERS:
            read_mpis(body, 10, _SESSION_NUMBERS[algorithm])
    except ParseError as fault:
        raise ParseError(fault.text, offset=base + (fault.offset or 0)) from None
    return key_id, algorithm
