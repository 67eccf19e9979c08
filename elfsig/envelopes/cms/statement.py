"""One signed statement: a value, what it signs and how, to check with any number of keys."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from elfsig.crypto import der
from elfsig.crypto.checks import (
    MESSAGE_ALGORITHMS,
    Match,
    Unsupported,
    digest_of,
    try_digest,
    try_message,
)
from elfsig.crypto.hashes import HASHES
from elfsig.crypto.oids import hash_name
from elfsig.crypto.pkcs1 import modulus_size
from elfsig.errors import ParseError
from elfsig.model import Key, Message

Stream = Message | bytes


@lru_cache(maxsize=32)
def _demand(hash_name: str | None) -> None:
    """Raises Unsupported for a hash that is not available here."""
    try:
        HASHES[hash_name or ""].new()
    except (KeyError, ValueError):
        raise Unsupported(f"hash {hash_name}") from None


def stream_digest(stream: Stream, hash_name: str | None) -> bytes:
    """The digest of what is signed. Raises Unsupported for a hash that is not available here."""
    _demand(hash_name)
    if isinstance(stream, Message):
        return digest_of(stream, hash_name or "")
    state = HASHES[hash_name or ""].new()
    state.update(stream)
    return bytes(state.digest())


class Statement:
    """``value`` over ``stream`` by ``algorithm``: elfsig's words, and ``rsa-pss`` with its parameters.

    ``params`` are the algorithm's parameters in DER. The stream is hashed once, when a key is tried.
    Raises Unsupported if no key could be tried at all.
    """

    algorithm: str
    hash: str | None
    params: bytes | None
    value: bytes
    stream: Stream

    def __init__(
        self, algorithm: str, hash_name: str | None, params: bytes | None, value: bytes, stream: Stream
    ) -> None:
        self.algorithm, self.hash, self.value, self.stream = algorithm, hash_name, value, stream
        self.params = params
        self._digest: bytes | None = None
        self._pss = pss_scheme(params) if algorithm == "rsa-pss" else None
        if algorithm not in MESSAGE_ALGORITHMS:
            _demand(self.hash)

    def attempt(self, key: Key) -> Match:
        """Check the value with ``key``. Raises Unsupported."""
        if self.algorithm in MESSAGE_ALGORITHMS:
            stream = self.stream
            whole = stream.to_bytes() if isinstance(stream, Message) else stream
            return try_message(key, self.algorithm, whole, self.value)
        if self._digest is None:
            self._digest = stream_digest(self.stream, self.hash)
        if self._pss is not None:
            return self._try_pss(key, self._digest)
        return try_digest(key, self.algorithm, self.hash or "", self._digest, self.value)

    def _try_pss(self, key: Key, digest: bytes) -> Match:
        if key.algorithm not in ("rsa", "rsa-pss"):
            return Match.FOREIGN
        if len(self.value) != modulus_size(key):
            return Match.LENGTH
        try:
            key.public.verify(self.value, digest, self._pss, Prehashed(_hash_object(self.hash)))
        except (InvalidSignature, ValueError):
            return Match.FOREIGN  # a wrong key and changed content cannot be distinguished here
        return Match.YES if key.restriction is None or self._allowed(key.restriction) else Match.RESTRICTED

    def _allowed(self, restriction: bytes) -> bool:
        """RFC 4055 3.3: the hashes of the key's parameters, and a salt that is no shorter; a key without
        parameters takes any."""
        parts = list(der.children(restriction, der.read(restriction, 0, len(restriction))))
        if len(parts) < 2:
            return True
        params = restriction[parts[1].start : parts[1].next]
        (mask, salt), (own_mask, own_salt) = pss_numbers(params), pss_numbers(self.params)
        return pss_hash(params)[0] == self.hash and mask == own_mask and salt <= own_salt


def _hash_object(name: str | None) -> Any:
    row = HASHES.get(name or "")
    known = getattr(hashes, row.hashlib.upper(), None) if row else None
    if known is None:
        raise Unsupported(f"RSASSA-PSS with {name}")
    return known()


def pss_hash(params: bytes | None) -> tuple[str | None, str]:
    """hashAlgorithm of RSASSA-PSS-params (RFC 8017, A.2.3), SHA-1 if absent: elfsig's name of the hash
    (None for an unknown one), and the name to show. Raises ParseError."""
    data = params or b"\x30\x00"
    for field in der.children(data, der.read(data, 0, len(data))):
        if field.tag == 0xA0:
            return hash_name(der.oid_text(data, der.descend(data, field, 0, 0)))
    return "sha1", "sha1"


_PSS_FIELDS = (
    der.Component("hashAlgorithm", (0xA0,), optional=True),
    der.Component("maskGenAlgorithm", (0xA1,), optional=True),
    der.Component("saltLength", (0xA2,), optional=True),
    der.Component("trailerField", (0xA3,), optional=True),
)
_MGF1 = "1.2.840.113549.1.1.8"


@lru_cache(maxsize=16)
def pss_scheme(params: bytes | None) -> Any:
    """The padding of RSASSA-PSS-params (RFC 8017, A.2.3); each field has SHA-1's default.

    Raises Unsupported for damaged parameters and for mask functions other than MGF1.
    """
    mask_hash, salt = pss_numbers(params)
    return PSS(MGF1(_hash_object(mask_hash)), salt)


def pss_numbers(params: bytes | None) -> tuple[str, int]:
    """(hash of the mask function, size of the salt in bytes) of RSASSA-PSS-params.

    Raises Unsupported, as :func:`pss_scheme`.
    """
    try:
        data = params or b"\x30\x00"
        fields = der.fields(data, der.read(data, 0, len(data)), _PSS_FIELDS)
        mask_hash, salt = "sha1", 20
        if "maskGenAlgorithm" in fields:
            mask_hash = _mgf1_hash(data, fields["maskGenAlgorithm"])
        if "saltLength" in fields:
            node = der.descend(data, fields["saltLength"], 0)
            salt = int.from_bytes(data[node.body : min(node.end, node.body + 4)], "big")
    except ParseError as fault:
        raise Unsupported(f"RSASSA-PSS with damaged parameters ({fault.text})") from None
    return mask_hash, salt


def _mgf1_hash(data: bytes, field: der.Node) -> str:
    function = der.descend(data, field, 0, 0)
    if der.oid_text(data, function) != _MGF1:
        raise Unsupported("RSASSA-PSS with a mask function other than MGF1")
    digest = der.descend(data, field, 0, 1, 0)
    return hash_name(der.oid_text(data, digest))[1]
