"""``x509``: Linux 3.7 to 4.2, RHEL 7, SLES 12. A bare RSA value with the signer's name, id_type 1."""

from __future__ import annotations

from elfsig.carriers.trailer import ModuleTrailer
from elfsig.coverages.whole_file import WholeFile
from elfsig.envelopes.x509_block import X509Block
from elfsig.model import Basis, Format, Pair, Params, TrailerInfo


def _is_x509(params: Params) -> bool:
    return isinstance(params, TrailerInfo) and params.id_type == 1


X509 = Format(
    id="x509",
    title="X.509-era trailer",
    carrier=ModuleTrailer(),
    pairs=(Pair(WholeFile(), X509Block()),),
    key_kind="rsa4096",
    kernels="3.7 to 4.2, RHEL 7, SLES 12",
    basis=Basis.SOURCE,
    basis_text="kernel/module_signing.c and scripts/sign-file of 3.7 read; later kernels' refusal booted",
    selects=_is_x509,
)
