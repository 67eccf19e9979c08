"""Signatures that match but that no kernel accepts: the verdict is that of the mathematics, and a remark says
that kernels cannot use it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from elfsig.coverages.whole_file import WHOLE_FILE
from elfsig.lazy_dataclass import replace
from elfsig.model import Key, Remark, Signature, SignatureReport

PLAIN_PLACE = ("pkcs7", "cms", WHOLE_FILE)
"""Format, envelope and coverage of the form in which the kernel's build signs nearly all modules."""

PLAIN_RSA = "1.2.840.113549.1.1.1"
PLAIN_HASHES = frozenset({"sha256", "sha384", "sha512"})
PLAIN_BITS = frozenset({2048, 3072, 4096})


def with_refusal(signers: Sequence[SignatureReport]) -> Iterator[SignatureReport]:
    """The signers of one blob, each with a remark where no kernel accepts a message with such a signer."""
    if all(map(is_plain, signers)):
        yield from signers
        return
    from elfsig.kernels.forms import CODE, Form, refusal

    for each in signers:
        form = Form(each.format or "", each.coverage, each.claims, each.key) if each.claims else None
        found = refusal(form) if form is not None else None
        if found is not None:
            text = f"no kernel accepts a signature of this form: {found.text}"
            refused = Remark(CODE, text, each.place.start)
            yield from (_with(s, refused) for s in signers)
            return
    yield from signers


def is_plain(signer: SignatureReport) -> bool:
    """Whether a signature has the form that the kernel's build gives nearly all modules: RSA over a digest of
    the file, in a CMS message with nothing else inside. Kernels accept it, and their tables need not be read.
    """
    claims, key = signer.claims, signer.key
    if claims is None or key is None:
        return False
    place = (signer.format, claims.envelope, signer.coverage)
    return place == PLAIN_PLACE and _is_plain_rsa(claims, key) and not _has_more(claims)


def _is_plain_rsa(claims: Signature, key: Key) -> bool:
    named = claims.facts["signature_algorithm"] == PLAIN_RSA and claims.algorithm == key.algorithm == "rsa"
    return named and claims.hash in PLAIN_HASHES and key.bits in PLAIN_BITS


def _has_more(claims: Signature) -> bool:
    facts = claims.facts
    attributes = facts["signed_attributes"] is not None
    return attributes or facts["content_embedded"] or facts["certificates_damaged"]


def _with(signer: SignatureReport, refused: Remark) -> SignatureReport:
    """``signer`` with the remark, unless its format has said so already."""
    if any(remark.code == "no-kernel-reads-it" for remark in signer.warnings):
        return signer
    return replace(signer, warnings=(*signer.warnings, refused))
