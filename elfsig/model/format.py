"""A signature format as a declaration: one combination of carrier, coverage and envelope."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum

from elfsig.lazy_dataclass import dataclass
from elfsig.lazy_tuple import NamedTuple
from elfsig.model.message import Coverage
from elfsig.model.place import Carrier, Params
from elfsig.model.signature import Envelope
from elfsig.model.signer import SignOptions
from elfsig.model.verdict import Remark


class Basis(StrEnum):
    """Where the knowledge of a format comes from."""

    BOOTED = "booted"
    ORIGINAL_CODE = "original-code"
    SOURCE = "source"
    TOOL_HALF = "tool-half"
    RECALLED = "recalled"


class Pair(NamedTuple):
    """One way to read a format: what is signed, and how that is encoded.

    ``key_kind`` is that of the format unless given here.
    """

    coverage: Coverage
    envelope: Envelope
    payload: str | None = None
    key_kind: str | None = None


def _any_params(params: Params) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Format:
    """A signature format as a declaration.

    ``selects`` tells from a place's params whether the place belongs to this format. ``pairs`` are tried
    in order, the first one is the default for signing. ``wrap`` gives the params for ``carrier.attach``
    from those the envelope made, the signer's algorithm and the options. ``capabilities`` are the verbs
    that work: show, verify, sign, strip. ``advise`` gives remarks on, or raises SigningError for, a request
    to sign: (signer algorithm, options, vermagic or None). ``choose`` picks the pair for signing.
    ``key_kind`` is a kind of key that all its kernels read, by the names of keygen.kinds: the default for
    new keys. ``wrapper`` is the wrapper's fields for a detached signature, for formats without ``wrap``.
    ``also`` are further carriers to search for this format's signatures: one scheme used two section names.
    ``carrier`` alone is used for signing.
    """

    id: str
    title: str
    carrier: Carrier
    pairs: tuple[Pair, ...]
    kernels: str
    basis: Basis
    basis_text: str
    aliases: tuple[str, ...] = ()
    selects: Callable[[Params], bool] = _any_params
    capabilities: frozenset[str] = frozenset({"show", "verify", "sign", "strip"})
    default_hash: str = "sha256"
    wrap: Callable[[Params, str, SignOptions], Params] | None = None
    advise: Callable[[str, SignOptions, str | None], Sequence[Remark]] | None = None
    choose: Callable[[Sequence[Pair], SignOptions, str | None], Pair] | None = None
    why_unsupported: str | None = None
    also: tuple[Carrier, ...] = ()
    key_kind: str = "rsa2048"
    wrapper: Params = None
