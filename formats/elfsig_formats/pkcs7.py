"""``pkcs7``: Linux 4.3 to today. A detached CMS SignedData in the trailer, id_type 2."""

from __future__ import annotations

from elfsig.carriers.trailer import ModuleTrailer
from elfsig.coverages.whole_file import WholeFile
from elfsig.envelopes.cms.envelope import Cms
from elfsig.model import Basis, Format, Pair, Params, TrailerInfo


def _is_pkcs7(params: Params) -> bool:
    return isinstance(params, TrailerInfo) and params.id_type == 2


PKCS7 = Format(
    id="pkcs7",
    title="PKCS#7 / CMS trailer",
    carrier=ModuleTrailer(),
    pairs=(Pair(WholeFile(), Cms()),),
    key_kind="rsa4096",
    kernels="4.3 to today",
    basis=Basis.BOOTED,
    basis_text="verdicts tested on booted kernels 6.1, 6.12 and 7.2; layout from scripts/sign-file.c",
    aliases=("cms",),
    selects=_is_pkcs7,
    wrapper=TrailerInfo(id_type=2),
)
