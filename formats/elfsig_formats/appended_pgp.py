"""``appended-pgp``: id_type 0 of the trailer, a number that no release has defined."""

from __future__ import annotations

from elfsig.carriers.trailer import ModuleTrailer
from elfsig.coverages.whole_file import WholeFile
from elfsig.envelopes.opaque import Opaque
from elfsig.model import Basis, Format, Pair, Params, TrailerInfo


def _is_pgp(params: Params) -> bool:
    return isinstance(params, TrailerInfo) and params.id_type == 0


APPENDED_PGP = Format(
    id="appended-pgp",
    title="PGP trailer",
    carrier=ModuleTrailer(),
    pairs=(Pair(WholeFile(), Opaque("pgp")),),
    kernels="none: an enum value only",
    basis=Basis.BOOTED,
    basis_text="booted kernels 6.1 to 7.2 reject it with ENOPKG",
    selects=_is_pgp,
    capabilities=frozenset({"show", "strip"}),
    why_unsupported="id_type 0 (PGP) was reserved and never defined: kernels reject it with ENOPKG",
)
