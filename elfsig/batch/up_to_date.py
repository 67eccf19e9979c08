"""Whether a module already has the signature that is about to be made, so that a tree can be signed again and
only what is new, changed or signed by others takes time.

It compares what a kernel compares: format, hash, the signer's identifier (issuer and serial number, or the
subject key id: a certificate that was renewed has others), form, and that kernels accept the value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from elfsig.errors import ElfsigError
from elfsig.kernels.forms import Form, refusal
from elfsig.kernels.suits import suited
from elfsig.model import (
    Format,
    Keyring,
    PacketSigner,
    Signature,
    SignatureReport,
    Signer,
    SignOptions,
    Verdict,
)
from elfsig.opened.module import Module
from elfsig.opened.places import LocatedSignature
from elfsig.signers.gpg import GpgSigner
from elfsig.trust.entries import Origin
from elfsig.trust.keyring import read_source
from elfsig.trust.ring import Ring
from elfsig.verbs.edit.own_key import own_ring
from elfsig.verbs.edit.sign import choose_pair
from elfsig.verbs.verify.examine import Question, signatures_at

OWN_HASH: Final = frozenset({"ed25519", "ed448", "mldsa44", "mldsa65", "mldsa87"})
"""Algorithms with a hash of their own: a format's default does not apply to them."""

BY_CERTIFICATE: Final = frozenset({"issuer-serial", "skid", "x509-name"})
"""Kinds of identifiers that come from a certificate."""


@dataclass(frozen=True, slots=True)
class WantedSignature:
    """The requested signature, and the public key of the signer."""

    format: Format
    options: SignOptions
    keys: Keyring


def wanted_signature(
    format_: Format, signer: Signer | PacketSigner, options: SignOptions
) -> WantedSignature | None:
    """What to compare modules with; None where this is not known: the signature is not part of the file, or
    the signer has no public key."""
    if format_.carrier.kind == "detached":
        return None
    keys = _ring(signer, options)
    return None if keys is None else WantedSignature(format_, suited(options, format_.id), keys)


def _ring(signer: Signer | PacketSigner, options: SignOptions) -> Keyring | None:
    if isinstance(signer, Signer):
        return own_ring([signer], options.key_created)

    if not isinstance(signer, GpgSigner):
        return None

    try:
        return Ring(read_source(signer.export(), Origin("the signing key")))
    except ElfsigError:  # GnuPG reports its fault when it signs
        return None


def is_done(module: Module, wanted: WantedSignature, *, beside_others: bool = False) -> bool:
    """Whether the file has the requested signature: in its format, valid, by this key, with these options.

    It must be the only one, unless ``beside_others``.
    """
    if module.tail_offset is not None or not wanted.format.carrier.find(module.image):
        return False
    if not beside_others and len(module.places) != 1:
        return False
    return any(_is_wanted(module, each, wanted) for each in module.places)


def has_all(module: Module, wanted: Sequence[WantedSignature], *, beside_others: bool = False) -> bool:
    """Whether the file has each of the requested signatures, and no other one unless ``beside_others``; False
    where none is given."""
    alone = beside_others or len(module.places) == len(wanted)
    return bool(wanted) and alone and all(is_done(module, each, beside_others=True) for each in wanted)


def _is_wanted(module: Module, found: LocatedSignature, wanted: WantedSignature) -> bool:
    if found.place.fault is not None or wanted.format not in found.claimants:
        return False
    signatures = list(signatures_at(module, found, Question(wanted.keys)))
    return len(signatures) == 1 and _as_asked(signatures[0], module, wanted)


def _as_asked(sig: SignatureReport, module: Module, wanted: WantedSignature) -> bool:
    signature, options = sig.claims, wanted.options
    if sig.verdict is not Verdict.VALID or sig.format != wanted.format.id or signature is None:
        return False
    vermagic = module.vermagic if wanted.format.choose is not None else None
    pair = choose_pair(wanted.format, options, vermagic)
    hash_ = options.hash or (None if signature.algorithm in OWN_HASH else wanted.format.default_hash)
    form = signature.facts.get("signer_form")
    return (
        sig.coverage == pair.coverage.id
        and signature.envelope == pair.envelope.id
        and hash_ in (None, signature.hash)
        and (form is None or (form == "skid") is options.keyid)
        and options.section_name in (None, sig.place.section)
        and signature.facts.get("digsig_version") in (None, int((options.payload or "v1").strip("v")))
        and _names_the_signer(signature, wanted.keys)
        and _is_accepted(sig, signature)
    )


def _names_the_signer(signature: Signature, keys: Keyring) -> bool:
    """Whether a kernel that holds the signer's key finds it by the identifier that the signature names first.

    A certificate's identifiers count where there is one: its subject key id need not be the usual one.
    """
    if not signature.key_ids:
        return True
    first = signature.key_ids[0]
    known = keys.keys
    if first[0] in BY_CERTIFICATE:
        known = [key for key in known if key.certificate is not None] or known
    return any(first in key.ids for key in known)


def _is_accepted(sig: SignatureReport, signature: Signature) -> bool:
    """Whether kernels accept the form, or signing again would not change it: it follows from the key or the
    format."""
    refused = refusal(Form(sig.format or "", sig.coverage, signature, sig.key))
    attributes = signature.facts.get("signed_attributes") is not None
    return (refused is None or refused.by_key) and not attributes
