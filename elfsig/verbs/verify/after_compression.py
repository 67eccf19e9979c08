"""Modules that were compressed first and signed afterwards: the trailer follows the compressed stream."""

from __future__ import annotations

from collections.abc import Sequence

from elfsig.kernels import responses
from elfsig.model import Cause, Place, Remark, SignatureReport, Verdict
from elfsig.opened.module import Module


def with_trailer(module: Module, tail: int, signatures: Sequence[SignatureReport]) -> list[SignatureReport]:
    """``signatures``, with a trailer that follows the compressed stream, instead of being inside, in front.

    ``tail`` is where the compressed stream ends. The trailer is layer 0, which those inside do not have.
    """
    found = module.outside_mark
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
    return [outer, *signatures]
