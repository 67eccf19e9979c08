"""``vendor-signature``: section ``.signature`` of two vendors' trees. Recognised and shown, not checked."""

from __future__ import annotations

from elfsig.carriers.section import SectionCarrier
from elfsig.coverages.whole_file import WholeFile
from elfsig.envelopes.vendor_signature import WHY, VendorSignature
from elfsig.model import Basis, Format, Pair

VENDOR_SIGNATURE = Format(
    id="vendor-signature",
    title="vendors' section .signature",
    carrier=SectionCarrier(".signature"),
    pairs=(Pair(WholeFile(), VendorSignature()),),
    kernels="two vendor trees derived from the code of 2003",
    basis=Basis.SOURCE,
    basis_text="two vendor kernel sources read, the vendors not known",
    capabilities=frozenset({"show", "strip"}),
    why_unsupported=WHY,
)
