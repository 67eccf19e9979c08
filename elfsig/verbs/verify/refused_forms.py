"""Signatures that match but that no kernel accepts: the verdict is that of the mathematics, and a remark says
that kernels cannot use it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from elfsig.lazy_dataclass import replace
from elfsig.model import Remark, SignatureReport


def with_refusal(signers: Sequence[SignatureReport]) -> Iterator[SignatureReport]:
    """The signers of one blob, each with a remark where no kernel accepts a message with such a signer."""
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


def _with(signer: SignatureReport, refused: Remark) -> SignatureReport:
    """``signer`` with the remark, unless its format has said so already."""
    if any(remark.code == "no-kernel-reads-it" for remark in signer.warnings):
        return signer
    return replace(signer, warnings=(*signer.warnings, refused))
