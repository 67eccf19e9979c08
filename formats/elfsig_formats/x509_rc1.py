"""``x509-rc1``: the merge window of 3.7. The X.509-era block after the marker, the info block last."""

from __future__ import annotations

from elfsig.carriers.marker_first import MarkerFirst
from elfsig.coverages.whole_file import WholeFile
from elfsig.envelopes.x509_block import X509Block
from elfsig.model import Basis, Format, Pair

X509_RC1 = Format(
    id="x509-rc1",
    title="X.509-era trailer, marker first",
    carrier=MarkerFirst(),
    pairs=(Pair(WholeFile(), X509Block()),),
    key_kind="rsa4096",
    kernels="3.7-rc1",
    basis=Basis.SOURCE,
    basis_text="scripts/sign-file (shell) and kernel/module_signing.c of October 2012 read",
)
