"""``crypto-pgp``: Howells' development tree of mid 2012. OpenPGP after the module, ASCII length, magic."""

from __future__ import annotations

from elfsig.coverages.whole_file import WholeFile
from elfsig.envelopes.openpgp.envelope import OpenPgp
from elfsig.model import Basis, Format, MagicInfo, Pair, Params, SignOptions
from elfsig_formats.crypto_digsig import CSM


def _is_ascii(params: Params) -> bool:
    return isinstance(params, MagicInfo) and params.style == "ascii"


def _wrap(params: Params, algorithm: str, options: SignOptions) -> Params:
    return MagicInfo("ascii")


CRYPTO_PGP = Format(
    id="crypto-pgp",
    title="OpenPGP trailer of 2012",
    carrier=CSM,
    pairs=(Pair(WholeFile(), OpenPgp()),),
    kernels="Howells' development tree, mid 2012",
    basis=Basis.SOURCE,
    basis_text="kernel/module-verify.c and the build rules of the branch read; no module of it has been seen",
    selects=_is_ascii,
    wrap=_wrap,
)
