"""The plug-in interface: the contracts, and the parts that the built-in formats use.

A package declares its formats as an entry point of the group ``elfsig.formats``, which names a
:class:`Format` or a sequence of them::

    [project.entry-points."elfsig.formats"]
    seal = "elfsig_seal:FORMATS"

A format combines a :class:`Carrier` (where the signature's bytes are), a :class:`Coverage` (which bytes it
signs) and an :class:`Envelope` (how it is encoded). Each may be one of those below or one of the package's
own. Objects are immutable, do no I/O, and can be pickled: trees are verified in several processes.

*Required* members are those of the three protocols. *Optional* members, with their defaults:

=============  ====================  ==============================================================
object         member                default
=============  ====================  ==============================================================
carrier        ``in_elf``            True for the kinds section and note
carrier        ``marks``             none: no remains are recognised, the carrier sees every file
carrier        ``before``            only the mark of displaced remains is recognised
carrier        ``unmarked``          nothing is found without a mark
carrier        ``may_end``           True: no file is skipped by its last bytes
carrier        ``anomalies``         none
coverage       ``verbatim``          False: the message is made from sections
envelope       ``suffix``            ``.signature``, the name that ``show --extract`` gives a blob
envelope       ``also_suffixes``     none
envelope       ``from_file``         a file holds the blob as it is
envelope       ``parts``             only the blob and the values are extracted
envelope       ``public_form``       ``key``: others verify with the public key alone
envelope       ``rsa_bodies``        keys are not recovered from such signatures
envelope       ``recorded_digest``   nothing is said of a signature for which no key is known
envelope       ``signed_values``     ``recheck.sh`` of an evidence bundle cannot confirm such signatures
envelope       ``hash_steps``        it is not a proof without a key
envelope       ``tool``              no general tool reads a blob as it is
envelope       ``dump``              no listing of elements
envelope       ``modinfo_name``      the envelope's id
envelope       ``opaque_value``      False: blobs are parsed one by one
=============  ====================  ==============================================================

Their signatures and meanings are in :mod:`elfsig.model.optional`, whose functions call them.

What goes in and out: ``find`` and ``parse`` get bytes of hostile origin. ``parse`` raises nothing but
:class:`ParseError`, with the offset in the blob; ``find`` raises nothing, and returns a damaged wrapper as a
:class:`Place` with a ``fault``; ``attach`` and ``detach`` raise :class:`EditRefused` or ParseError, and
change nothing but their own place (elfsig compares the result with the original). Any other exception is
reported as the fault of that one file, with the plug-in's name. Texts do not name command-line options: an
error may have a ``hint`` instead (:class:`elfsig.errors.ElfsigError`).

What kernels do is not part of a format: :mod:`elfsig.kernels` has tables of its own, to which third parties
cannot add.

Every name in ``__all__`` is stable: it keeps its meaning and its parameters within a major version, new
parameters have defaults, and what will be removed gives a DeprecationWarning for one minor version before.
Other modules of elfsig may change in any version.
"""

from __future__ import annotations

from elfsig.carriers.note import NoteCarrier
from elfsig.carriers.section import SectionCarrier
from elfsig.carriers.trailer import ModuleTrailer, cut_out, overlap
from elfsig.coverages.canonical import FILEORDER, FILEORDER_NOBUILDID, SORTED
from elfsig.coverages.textdata import TEXTDATA
from elfsig.coverages.whole_file import WholeFile
from elfsig.crypto.checks import (
    Match,
    Unsupported,
    digest_of,
    plain_bodies,
    plain_value,
    try_digest,
    try_message,
)
from elfsig.crypto.diagnosis import Signed, signed_message
from elfsig.crypto.hashes import Hash, hash_named
from elfsig.crypto.judge import judge
from elfsig.crypto.pkcs1 import digest_info
from elfsig.elf.edit import insert_section, remove_section
from elfsig.elf.guard import NewSection as NewSection
from elfsig.elf.image import Image
from elfsig.elf.table import SHT_NOTE, SHT_PROGBITS
from elfsig.envelopes.cms.envelope import Cms
from elfsig.envelopes.digsig import Digsig, raw_signer
from elfsig.envelopes.openpgp.envelope import OpenPgp
from elfsig.envelopes.raw_rsa import RawRsa
from elfsig.envelopes.x509_block import X509Block
from elfsig.errors import EditRefused, ElfsigError, ParseError, SigningError
from elfsig.model import (
    Basis,
    ByteRange,
    Carrier,
    Cause,
    Certificate,
    Coverage,
    Derived,
    Envelope,
    FileRange,
    Format,
    Hasher,
    HashStep,
    Key,
    KeyId,
    Keyring,
    MagicInfo,
    Mark,
    Message,
    Outcome,
    PacketSigner,
    Pair,
    Params,
    Part,
    Piece,
    Place,
    PlaceKind,
    PublicForm,
    RecordedDigest,
    Remark,
    RsaBody,
    RsaForm,
    Scheme,
    SectionInfo,
    Signature,
    SignedValue,
    Signer,
    SignOptions,
    Tool,
    TrailerInfo,
    Verdict,
    Wrapper,
)

__all__ = [
    "FILEORDER",
    "FILEORDER_NOBUILDID",
    "SHT_NOTE",
    "SHT_PROGBITS",
    "SORTED",
    "TEXTDATA",
    "Basis",
    "ByteRange",
    "Carrier",
    "Cause",
    "Certificate",
    "Cms",
    "Coverage",
    "Derived",
    "Digsig",
    "EditRefused",
    "ElfsigError",
    "Envelope",
    "FileRange",
    "Format",
    "Hash",
    "HashStep",
    "Hasher",
    "Image",
    "Key",
    "KeyId",
    "Keyring",
    "MagicInfo",
    "Mark",
    "Match",
    "Message",
    "ModuleTrailer",
    "NewSection",
    "NoteCarrier",
    "OpenPgp",
    "Outcome",
    "PacketSigner",
    "Pair",
    "Params",
    "ParseError",
    "Part",
    "Piece",
    "Place",
    "PlaceKind",
    "PublicForm",
    "RawRsa",
    "RecordedDigest",
    "Remark",
    "RsaBody",
    "RsaForm",
    "Scheme",
    "SectionCarrier",
    "SectionInfo",
    "SignOptions",
    "Signature",
    "Signed",
    "SignedValue",
    "Signer",
    "SigningError",
    "Tool",
    "TrailerInfo",
    "Unsupported",
    "Verdict",
    "WholeFile",
    "Wrapper",
    "X509Block",
    "cut_out",
    "digest_info",
    "digest_of",
    "hash_named",
    "insert_section",
    "judge",
    "overlap",
    "plain_bodies",
    "plain_value",
    "raw_signer",
    "remove_section",
    "signed_message",
    "try_digest",
    "try_message",
]
