"""``crypto-digsig``: Kasatkin's modsig of August 2012. IMA digsig, two-byte length, magic."""

from __future__ import annotations

from collections.abc import Sequence

from elfsig.carriers.magic_trailer import MagicTrailer
from elfsig.coverages.whole_file import WholeFile
from elfsig.envelopes.digsig import Digsig, plausible
from elfsig.errors import SigningError
from elfsig.model import Basis, Format, MagicInfo, Pair, Params, SignOptions
from elfsig_formats.choice import by_coverage

CSM = MagicTrailer(plausible)
"""The carrier that both schemes with the magic of 2012 share."""


def _is_u16(params: Params) -> bool:
    return isinstance(params, MagicInfo) and params.style == "u16"


def _choose(pairs: Sequence[Pair], options: SignOptions, vermagic: str | None) -> Pair:
    """One envelope reads and makes both versions; which one to make is the payload."""
    if options.payload not in (None, "v1", "v2"):
        text = f"crypto-digsig has no payload {options.payload!r}: choices are v1, v2"
        raise SigningError(text, code="unknown-payload")
    return by_coverage("crypto-digsig", pairs, options.coverage) if options.coverage else pairs[0]


CRYPTO_DIGSIG = Format(
    id="crypto-digsig",
    title="IMA digsig trailer of 2012",
    carrier=CSM,
    pairs=(Pair(WholeFile(), Digsig()),),
    kernels="Kasatkin's modsig proposal, August 2012",
    basis=Basis.TOOL_HALF,
    basis_text="from the signing tool (ima-evm-utils 203f058); the kernel half of the proposal was not found",
    aliases=("modsig",),
    selects=_is_u16,
    wrapper=MagicInfo("u16"),
    default_hash="sha1",
    choose=_choose,
)
