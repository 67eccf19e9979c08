"""One signature as parsed, the result of checking it, and the contract of envelopes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from elfsig.lazy_tuple import NamedTuple
from elfsig.model.brief import brief
from elfsig.model.key import Key, KeyId, Keyring
from elfsig.model.message import Message
from elfsig.model.place import Params
from elfsig.model.signer import PacketSigner, Signer, SignOptions
from elfsig.model.verdict import Remark, Verdict

NO_FACTS: Mapping[str, Any] = {}


class Signature(NamedTuple):
    """One signature as its envelope parsed it: claims, not yet facts.

    ``key_ids`` are looked up in the keyring in order. ``facts`` are what kernels care about (versions,
    attributes, embedded content or certificates, how an algorithm is written). ``fault`` marks a part
    that parses far enough to be shown but that kernels refuse. ``detail`` is the envelope's own parsed
    structure, handed back to its ``verify``. ``algorithm`` is None when the identifier is unknown;
    then ``algorithm_text`` names it as well as possible (by OID, for example).
    """

    envelope: str
    algorithm: str | None
    hash: str | None
    value: bytes
    key_ids: tuple[KeyId, ...] = ()
    algorithm_text: str | None = None
    hash_text: str | None = None
    key_bits: int | None = None
    curve: str | None = None
    signer: str | None = None
    key_id: bytes | None = None
    serial: bytes | None = None
    created: int | None = None
    fault: Remark | None = None
    remarks: tuple[Remark, ...] = ()
    facts: Mapping[str, Any] = NO_FACTS
    detail: Any = None

    def __repr__(self) -> str:
        return brief(self)

    def __hash__(self) -> int:
        """Hash over what identifies a signature; ``facts`` are a mapping, which is not hashable."""
        return hash((self.envelope, self.algorithm, self.hash, self.value))


class Cause(NamedTuple):
    """Why a signature does not match, or does not count: ``code`` for machines, ``text`` for people.

    ``facts`` are values that belong to the code, such as ``signed_digest`` in hex. The manual's page on JSON
    lists all codes.
    """

    code: str
    text: str
    facts: Mapping[str, Any] = NO_FACTS

    def __repr__(self) -> str:
        return brief(self)

    def __hash__(self) -> int:
        """Without ``facts``: a mapping is not hashable."""
        return hash((self.code, self.text))


class Outcome(NamedTuple):
    """The result of checking one signature.

    ``key`` is the signer's: the key that made the value, or that should have made it. ``anchor`` is the key
    of the key sources on which the verdict rests: the same key, or the one that issued its certificate
    through ``chain``, the keys of the embedded certificates between the two, from the signer upwards.
    """

    verdict: Verdict
    reason: str | None = None
    key: Key | None = None
    remarks: tuple[Remark, ...] = ()
    anchor: Key | None = None
    chain: tuple[Key, ...] = ()
    cause: Cause | None = None


class Envelope(Protocol):
    """How a signature is encoded. Implementations are immutable and do no I/O (GnuPG signers do).

    Further members are optional: ``suffix``, ``also_suffixes``, ``from_file``, ``parts``, ``public_form``,
    ``rsa_bodies``, ``recorded_digest``, ``signed_values``, ``hash_steps``, ``tool``, ``dump``,
    ``modinfo_name``, ``opaque_value``; see :mod:`elfsig.model.optional`.
    """

    @property
    def id(self) -> str:
        """Unique name, for example ``cms``: part of the interface."""
        ...

    def parse(self, blob: bytes, params: Params) -> Sequence[Signature]:
        """At least one signature, or ParseError with the offset inside ``blob``."""
        ...

    def verify(self, signature: Signature, message: Message, keys: Keyring) -> Outcome:
        """Check one signature returned by ``parse`` over ``message``. Never raises for bad signatures."""
        ...

    def create(
        self, message: Message, signer: Signer | PacketSigner, options: SignOptions
    ) -> tuple[bytes, Params]:
        """A new blob, and the wrapper's fields that go with it. Raises SigningError."""
        ...
