"""What the parser of certificates refuses, and which kernels have that rule."""

from __future__ import annotations

from typing import Literal

from elfsig.lazy_tuple import NamedTuple

Stage = Literal["start", "algorithm", "key"]
"""How far the parser has come: it knows nothing, the algorithm of the signature, that of the key as well."""

Rule = Literal["decoder", "parser", "bit-strings", "extensions", "constraints"]
"""Which kernels refuse it: every kernel with X.509; those since 4.3; since 4.7 (the first byte of a BIT
STRING); since 6.4 (the form of keyUsage and basicConstraints); since 6.18 (what basicConstraints say)."""


class Fault(NamedTuple):
    """Why the parser refuses a certificate: errno, a stable word, and the reason as a clause.

    ``stage``: what it knew by then, since an unknown algorithm is refused as soon as it is read.
    """

    errno: str
    code: str
    text: str
    rule: Rule = "parser"
    stage: Stage = "start"
