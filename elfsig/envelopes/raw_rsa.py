"""A bare RSA block in ``module_sig``: no attested use, so all plausible encodings are tried.

Greg Kroah-Hartman's tree of October 2003 links an RSA library with a PKCS#1 type-1 encoder whose caller was
never written (security/rsa, kernel/module-sig.c): the intended check can only be guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar, Final, Literal

from elfsig.crypto.checks import Match, digest_of, plain_bodies
from elfsig.crypto.pkcs1 import digest_info, from_number
from elfsig.errors import ParseError, SigningError
from elfsig.lazy_dataclass import dataclass
from elfsig.lazy_tuple import NamedTuple
from elfsig.model import (
    Key,
    Keyring,
    Message,
    Outcome,
    PacketSigner,
    Params,
    Remark,
    RsaBody,
    RsaForm,
    Signature,
    SignedValue,
    Signer,
    SignOptions,
)

SIZES: Final = (64, 128, 256, 512)
"""Sizes in bytes of recognised RSA blocks: keys of 512 to 4096 bits."""


class Form(NamedTuple):
    """One way to write the block: the length prefix and the byte order."""

    prefix: bool
    order: Literal["big", "little"]

    @property
    def text(self) -> str:
        return ("after a 16-bit count of bits, " if self.prefix else "") + f"{self.order}-endian"


FORMS: Final = tuple(Form(prefix, order) for prefix in (False, True) for order in ("big", "little"))
"""In the order in which they are tried; the first is used for signing."""


def _padded(body: bytes, size: int) -> bytes:
    """PKCS#1 v1.5 type 1 (RFC 8017 9.2): 00 01 FF..FF 00 and ``body``; empty if it does not fit."""
    fill = size - len(body) - 3
    return b"" if fill < 8 else b"\0\1" + b"\xff" * fill + b"\0" + body


Padding = Callable[[bytes, int], bytes]

PADDINGS: Final[dict[str, Padding]] = {
    "PKCS#1 type 1 with DigestInfo": lambda digest, size: _padded(digest_info("sha1", digest), size),
    "PKCS#1 type 1 around the bare digest": _padded,
    "PKCS#1 type 1 around the digest in hex": lambda digest, size: _padded(digest.hex().encode(), size),
    "PKCS#1 type 1 around the digest in hex and a line feed": (
        lambda digest, size: _padded(digest.hex().encode() + b"\n", size)
    ),
    "the bare digest, no padding": lambda digest, size: digest.rjust(size, b"\0"),
}
"""What the block may hold, by SHA-1 digest and size of the modulus; the first is used for signing."""

RSA_FORMS: Final[tuple[RsaForm, ...]] = ("info", "bare", "hex", "hex-newline", "unpadded")
"""The words for PADDINGS, in the same order."""


@dataclass(frozen=True, slots=True)
class RawRsa:
    """``search``: try every combination of FORMS and PADDINGS; else only the one that elfsig makes."""

    suffix: ClassVar[str] = ".rsa"
    search: bool = False
    id: str = "raw-rsa"

    def parse(self, blob: bytes, params: Params) -> Sequence[Signature]:
        """One entry, for a block of exactly 64, 128, 256 or 512 bytes (two more with a prefix)."""
        forms = tuple(form for form in self._forms() if _fits(blob, form))
        if not forms:
            text = f"{len(blob)} bytes are not an RSA block: {', '.join(map(str, SIZES))} expected"
            raise ParseError(text, offset=0)
        value = _value(blob, forms[0])
        facts = {"forms": [form.text for form in forms], "attested": False}
        guess = Remark("raw-rsa-guess", "a bare RSA block: how it is written is a guess, no kernel read one")
        return [Signature(self.id, "rsa", "sha1", value, facts=facts, remarks=(guess,), detail=(blob, forms))]

    def _forms(self) -> tuple[Form, ...]:
        return FORMS if self.search else FORMS[:1]

    def verify(self, signature: Signature, message: Message, keys: Keyring) -> Outcome:
        """Open the block with every key in every form; says which one matched."""
        from elfsig.crypto.judge import judge

        digest = digest_of(message, "sha1")
        matched: list[str] = []

        def attempt(key: Key) -> Match:
            verdict = Match.FOREIGN
            for text, block in self._opened(signature, key):
                for padding, pad in self._paddings():
                    if block == pad(digest, len(block)):
                        matched.append(f"{text}, {padding}")
                        return Match.YES
                if block[:3] == b"\0\1\xff":
                    verdict = Match.NO
            return verdict

        outcome = judge(signature, keys, attempt)
        remarks = [Remark("raw-rsa-form", f"matches as: {text}") for text in matched[:1]]
        return outcome._replace(remarks=(*outcome.remarks, *remarks))

    def _paddings(self) -> tuple[tuple[str, Padding], ...]:
        every = tuple(PADDINGS.items())
        return every if self.search else every[:1]

    def _opened(self, signature: Signature, key: Key) -> Iterator[tuple[str, bytes]]:
        """(form, value to the public exponent) for each form in which the value is below the modulus."""
        if key.algorithm != "rsa":
            return
        blob, forms = signature.detail
        numbers = key.public.public_numbers()
        for form in forms:
            value = int.from_bytes(_value(blob, form))
            if value < numbers.n:
                yield form.text, pow(value, numbers.e, numbers.n).to_bytes((key.bits + 7) // 8)

    def create(
        self, message: Message, signer: Signer | PacketSigner, options: SignOptions
    ) -> tuple[bytes, Params]:
        """The block big-endian, without prefix, PKCS#1 type 1 with DigestInfo. Raises SigningError."""
        if not isinstance(signer, Signer):
            raise SigningError(
                "a raw RSA block needs the key itself (PEM or PKCS#11), GnuPG only makes packets"
            )
        if signer.algorithm != "rsa" or (signer.key_bits + 7) // 8 not in SIZES:
            bits = ", ".join(str(size * 8) for size in SIZES)
            raise SigningError(f"a raw RSA block is made with an RSA key of {bits} bits", code="wrong-key")
        if options.hash not in (None, "sha1"):
            raise SigningError(f"a raw RSA block holds SHA-1, not {options.hash}", code="wrong-hash")
        _, pad = next(iter(PADDINGS.items()))
        block = pad(digest_of(message, "sha1"), (signer.key_bits + 7) // 8)
        return signer.sign_block(block), None

    def rsa_bodies(self, signature: Signature, message: Message) -> Iterator[RsaBody]:
        """A DigestInfo of the message."""
        return plain_bodies(signature, message)

    def signed_values(self, signature: Signature, message: Message, key: Key | None) -> Iterator[SignedValue]:
        """The block in each form and padding that is tried."""
        if key is not None and key.algorithm == "rsa":
            blob, forms = signature.detail
            for form in forms:
                for padding, _ in zip(RSA_FORMS, self._paddings(), strict=False):
                    value = from_number(key, _value(blob, form))
                    yield SignedValue("rsa", "sha1", value, form=padding)


def _fits(blob: bytes, form: Form) -> bool:
    if not form.prefix:
        return len(blob) in SIZES
    bits = int.from_bytes(blob[:2])
    return (bits + 7) // 8 == len(blob) - 2 and any(size - 8 <= len(blob) - 2 <= size for size in SIZES)


def _value(blob: bytes, form: Form) -> bytes:
    """The block big-endian, without its prefix."""
    body = blob[2:] if form.prefix else blob
    return body if form.order == "big" else body[::-1]
