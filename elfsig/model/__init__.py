"""What the parts of elfsig pass to each other: plain, frozen data, and the contracts.

A signature scheme answers three independent questions. *Where* are the signature's bytes: a
:class:`Carrier`. *Which bytes* does it sign: a :class:`Coverage`. *How* is it encoded: an
:class:`Envelope`. A :class:`Format` is one named combination of the three, and the kernels that used it.

Offsets and sizes are bytes; ranges are half open; every offset is in the decompressed content unless it
says otherwise.
"""

from __future__ import annotations

from elfsig.elf.words import ByteRange, ElfSummary
from elfsig.model.existing import Existing
from elfsig.model.format import Basis, Format, Pair
from elfsig.model.key import Candidates, Certificate, Key, KeyId, Keyring, Loss, Provenance, Why
from elfsig.model.message import Coverage, Derived, FileRange, Hasher, Message, Piece
from elfsig.model.optional import (
    HashStep,
    Part,
    PublicForm,
    RecordedDigest,
    RsaBody,
    RsaForm,
    Scheme,
    SignedValue,
    Tool,
)
from elfsig.model.place import (
    Carrier,
    MagicInfo,
    Mark,
    Params,
    Place,
    PlaceKind,
    SectionInfo,
    TrailerInfo,
    Wrapper,
)
from elfsig.model.report import FileReport, SignatureReport
from elfsig.model.signature import NO_FACTS, Cause, Envelope, Outcome, Signature
from elfsig.model.signer import PacketSigner, Signer, SignOptions
from elfsig.model.verdict import Remark, Verdict

__all__ = [
    "NO_FACTS",
    "Basis",
    "ByteRange",
    "Candidates",
    "Carrier",
    "Cause",
    "Certificate",
    "Coverage",
    "Derived",
    "ElfSummary",
    "Envelope",
    "Existing",
    "FileRange",
    "FileReport",
    "Format",
    "HashStep",
    "Hasher",
    "Key",
    "KeyId",
    "Keyring",
    "Loss",
    "MagicInfo",
    "Mark",
    "Message",
    "Outcome",
    "PacketSigner",
    "Pair",
    "Params",
    "Part",
    "Piece",
    "Place",
    "PlaceKind",
    "Provenance",
    "PublicForm",
    "RecordedDigest",
    "Remark",
    "RsaBody",
    "RsaForm",
    "Scheme",
    "SectionInfo",
    "SignOptions",
    "Signature",
    "SignatureReport",
    "SignedValue",
    "Signer",
    "Tool",
    "TrailerInfo",
    "Verdict",
    "Why",
    "Wrapper",
]
