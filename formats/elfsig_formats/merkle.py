"""``merkle``: module hashes as proposed in 2026 (v5). A Merkle proof in the trailer, id_type 3."""

from __future__ import annotations

from elfsig.carriers.trailer import ModuleTrailer
from elfsig.coverages.whole_file import WholeFile
from elfsig.envelopes.merkle import Merkle
from elfsig.model import Basis, Format, Pair, Params, TrailerInfo


def _is_merkle(params: Params) -> bool:
    return isinstance(params, TrailerInfo) and params.id_type == 3


MERKLE = Format(
    id="merkle",
    title="Merkle proof trailer",
    carrier=ModuleTrailer(),
    pairs=(Pair(WholeFile(), Merkle()),),
    kernels="proposal of 2026, not seen merged",
    basis=Basis.SOURCE,
    basis_text="patch series v5 of 2026-05-05 read; no kernel with it has been booted",
    selects=_is_merkle,
    capabilities=frozenset({"show", "verify", "strip"}),
)
