"""What kernels do about an observation, by the code of its remark.

Carriers, envelopes and coverages say what is the case; this table says what kernels make of it. Whoever
writes a report for people joins the two with :func:`complete`. A code that is not here has no known effect
on kernels. What one given kernel responds is the business of the walks, not of this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from elfsig.lazy_tuple import NamedTuple
from elfsig.model import Remark

Effect = Literal["rejected", "unsigned", "ignored"]
"""``rejected``: not accepted; ``unsigned``: they see no signature; ``ignored``: they accept it."""


class Response(NamedTuple):
    """What kernels do: ``text`` for people, ``effect``, and the ``errno`` of a rejection where known."""

    text: str
    effect: Effect
    errno: str | None = None


def _rejected(errno: str, who: str = "kernels", more: str = "") -> Response:
    return Response(f"{who} reject{'s' * who.startswith('that')} it with {errno}{more}", "rejected", errno)


def _ignored(text: str) -> Response:
    return Response(text, "ignored")


UNSIGNED = Response("the kernel treats it as unsigned", "unsigned")
_NOT_LOOKED_AT = _ignored("kernels do not look at this")
_OF_2012 = "that kernel"

RESPONSES: Mapping[str, Response] = {
    # Keys are codes; with an envelope in front where its code alone is too wide.
    # include/linux/module_signature.h, mod_check_sig(); kernel/module_signing.c of 3.7
    "trailer-length": _rejected("EBADMSG"),
    "trailer-names": _rejected("EBADMSG"),
    "trailer-truncated": _rejected("EBADMSG"),
    "id-type-unknown": _rejected("ENOPKG"),
    "nonzero-params": _rejected("EBADMSG"),
    "nonzero-padding": _NOT_LOOKED_AT,
    "inner-trailer": _ignored("kernels look at the outermost one only, and this is content to them"),
    "marker-inside": Response("3.7-rc1 took the first one for the start of the signature", "rejected"),
    "signed-after-compression": Response(
        "the loader sees a damaged file (EINVAL), the kernel treats the module as unsigned", "unsigned"
    ),
    # kernel/module-verify.c of the development tree of 2012
    "magic-length": _rejected("ELIBBAD", _OF_2012),
    "modarg": _rejected("EINVAL", _OF_2012),
    # scripts/mod and kernel/module-verify.c of RHEL 4 to 6, Fedora Core, UEK2
    "note-owner": _rejected("ELIBBAD"),
    "note-type": _rejected("ELIBBAD"),
    "note-padding": _rejected("ELIBBAD"),
    "wrong-section-type": Response(
        "kernels see no signature in it and treat the module as unsigned", "unsigned"
    ),
    "second-signature-section": _ignored("kernels look at that one only"),
    # crypto/asymmetric_keys/pkcs7_parser.c, pkcs7_verify.c
    "cms/malformed": _rejected("EBADMSG"),
    "cms-not-signed-data": _rejected("EINVAL"),
    "signed-data-version": _rejected("EINVAL"),
    "signer-version": _rejected("EINVAL"),
    "version-mismatch": _rejected("EBADMSG"),
    "certificate-damaged": _rejected("EBADMSG"),
    "embedded-content": _rejected("EBADMSG"),
    "content-type": _rejected("EINVAL"),
    "attributes-differ": Response("kernels reject the whole message", "rejected"),
    "signed-attributes-damaged": Response("kernels reject it", "rejected"),
    "signed-attributes": _rejected(
        "EKEYREJECTED", more=" (with ML-DSA, unless built with PKCS7_WAIVE_AUTHATTRS_REJECTION_FOR_MLDSA)"
    ),
    "combined-algorithm": _rejected("ENOPKG", more=": they know plain rsaEncryption only"),
    "no-kernel-reads-it": _rejected("ENOPKG", "all released kernels"),
    "trailing-bytes": _ignored("kernels ignore them"),
    "ber-encoding": _ignored("kernels accept it"),
    "digest-not-listed": _NOT_LOOKED_AT,
    "algorithm-parameters": _NOT_LOOKED_AT,
    "issuer-not-ca": _NOT_LOOKED_AT,
    "certificate-expired": _NOT_LOOKED_AT,
    "value-length": _rejected("EKEYREJECTED"),
    # kernel/module_signing.c of 3.7 to 4.2
    "x509-block/malformed": _rejected("EBADMSG"),
    "hash-number": _ignored("kernels take it for RIPEMD-128"),
    # kernel/ksign.c of RHEL and UEK, crypto/asymmetric_keys/pgp_*.c of the 2012 trees
    "armoured": _rejected("EBADMSG"),
    "packet-skipped": _ignored("kernels skip it, too"),
    "critical-subpacket": _NOT_LOOKED_AT,
    "issuer-missing": Response("kernels find no key for it", "rejected"),
    "bytes-behind-value": _rejected("EBADMSG", "Howells' kernels of 2012"),
    "length-past-end": _rejected("EBADMSG"),
    "signature-expired": _NOT_LOOKED_AT,
    "dsa-hash-cut": Response("RHEL and UEK kernels do not cut it, and reject it", "rejected"),
    "digsig-hash-byte": _NOT_LOOKED_AT,
}  # fmt: skip


def response(remark: Remark, envelope: str | None = None) -> Response | None:
    """What kernels do about ``remark``, one on a signature of this ``envelope`` if that is given."""
    return RESPONSES.get(f"{envelope}/{remark.code}") or RESPONSES.get(remark.code)


def complete(remark: Remark, envelope: str | None = None, *, unsigned: bool = False) -> Remark:
    """``remark`` with what kernels do about it in its text.

    ``unsigned``: it is the fault of a place in which they see no signature at all.
    """
    found = UNSIGNED if unsigned else response(remark, envelope)
    return remark if found is None else remark._replace(text=f"{remark.text}; {found.text}")
