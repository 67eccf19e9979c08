"""layers: which signature of a file decides its verdict, and remarks on the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from elfsig.lazy_dataclass import replace
from elfsig.model import Remark, SignatureReport, Verdict

OTHER_SIGNER, OTHER_LAYER = "other-signer", "other-layer"
"""Codes of a file's warnings about signatures that do not decide."""

RANK = (
    Verdict.VALID,
    Verdict.UNTRUSTED,
    Verdict.INVALID,
    Verdict.MALFORMED,
    Verdict.UNCHECKED,
    Verdict.UNKNOWN_KEY,
    Verdict.UNSUPPORTED,
    Verdict.NOT_A_SIGNATURE,
)
"""Which of several signers decides, where none is wrong under a key that is vouched for."""


def mark_effective(signatures: Sequence[SignatureReport]) -> list[SignatureReport]:
    """Mark the one signature that decides: of the outermost blob, by the kernel's rule for signers."""
    if not signatures:
        return []
    decides = deciding(signatures)[0]
    return [f if f.effective is (f is decides) else replace(f, effective=f is decides) for f in signatures]


def deciding(signatures: Iterable[SignatureReport]) -> list[SignatureReport]:
    """Of each layer the signature that decides, from the outside in."""
    layers: dict[int, list[SignatureReport]] = {}
    for each in signatures:
        layers.setdefault(each.layer, []).append(each)
    return [decisive(layers[number]) for number in sorted(layers)]


KEYLESS = frozenset({"message-digest", "embedded-certificate"})
"""Causes of a mismatch that can be seen without any of the user's keys."""


def decisive(signers: Sequence[SignatureReport]) -> SignatureReport:
    """Of several signers in one blob: one that is wrong invalidates the whole message, else one valid signer
    is enough.

    Wrong is a messageDigest of other content or a value that its embedded certificate did not make
    (pkcs7_verify(), crypto/asymmetric_keys/pkcs7_verify.c), and a value that does not match a trusted key
    (pkcs7_validate_trust(), pkcs7_trust.c). A mismatch with a key that was only tried is not.
    """
    for each in signers:
        if each.verdict is Verdict.INVALID and _spoils(each):
            return each
    return min(signers, key=lambda f: RANK.index(f.verdict))


def _spoils(wrong: SignatureReport) -> bool:
    if wrong.cause is not None and wrong.cause.code in KEYLESS:
        return True
    return wrong.anchor is not None and wrong.anchor.trusted


def beside(signatures: Iterable[SignatureReport], effective: SignatureReport) -> Iterator[Remark]:
    """The verdicts of the signatures that do not decide: the file's verdict does not include them."""
    for each in signatures:
        if each is effective:
            continue
        said = f"{each.format or 'unknown form'}: {each.verdict.value}"
        if each.blob == effective.blob:
            yield Remark(OTHER_SIGNER, f"another signer of the same {said}", each.place.start)
        else:
            yield Remark(OTHER_LAYER, f"layer {each.layer}, {said}", each.place.start)
