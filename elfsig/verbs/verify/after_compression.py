"""Modules that were compressed first and signed afterwards: the trailer follows the compressed stream."""

from __future__ import annotations

from collections.abc import Sequence

from elfsig.kernels import responses
from elfsig.lazy_dataclass import replace
from elfsig.model import Carrier, Cause, Place, Remark, SignatureReport, Verdict, optional
from elfsig.opened.module import Module


def mark(module: Module, tail: int) -> tuple[int, Carrier] | None:
    """The last mark of a trailer in the file's bytes from ``tail`` on, and its carrier."""
    marks = (
        (mark.text.removesuffix(b"\n"), c) for c in module.registry.trailers for mark in optional.marks(c)
    )
    found = [(at, carrier) for text, carrier in marks if (at := module.raw.rfind(text, tail)) >= 0]
    return max(found, key=lambda each: each[0], default=None)


def with_trailer(module: Module, tail: int, signatures: Sequence[SignatureReport]) -> list[SignatureReport]:
    """``signatures``, with a trailer that follows the compressed stream, instead of being inside, in front.

    ``tail`` is where the compressed stream ends.
    """
    found = mark(module, tail)
    if found is None:
        return list(signatures)
    at, carrier = found
    text = "signed after compression: the trailer is after the compressed stream"
    fault = Remark("signed-after-compression", text, at)
    place = Place(
        "trailer", carrier.id, tail, module.size, tail, b"", None,
        fault=fault, where="file", treated_as_unsigned=True,
    )  # fmt: skip
    said = responses.complete(fault)
    outer = SignatureReport(
        None, 0, 0, False, place, None, None, Verdict.MALFORMED, said.text, None, (said,),
        cause=Cause(said.code, said.text),
    )  # fmt: skip
    return [outer, *(replace(f, layer=f.layer + 1, blob=f.blob + 1) for f in signatures)]
