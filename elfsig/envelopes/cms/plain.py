"""A parser without an ASN.1 library, for the CMS that the kernel's scripts/sign-file makes.

Importing a library takes as long as everything else that ``elfsig list`` does with one module. This reads
only the usual form: DER, one signer, no certificates, no attributes, no content, one digest algorithm, and
algorithm parameters NULL or absent. Everything else is left to schema.py and ber.py.
"""

from __future__ import annotations

from itertools import islice

from elfsig.crypto import der
from elfsig.crypto.der import Node
from elfsig.envelopes.cms.types import DATA, SIGNED_DATA, AlgorithmId, SignedData, SignerInfo, magnitude
from elfsig.errors import ParseError

_NULL = b"\x05\x00"
_EXPLICIT, _SKID = 0xA0, 0x80


def parse(blob: bytes, size: int) -> SignedData | None:
    """The SignedData that fills ``blob[:size]``; None if it is not of the usual form."""
    try:
        kind, wrapped = _children(blob, der.read(blob, 0, size), der.SEQUENCE, 2)
        (message,) = _children(blob, wrapped, _EXPLICIT, 1)
        version, digests, content, signers = _children(blob, message, der.SEQUENCE, 4)
        (digest,) = _children(blob, digests, der.SET, 1)
        (content_type,) = _children(blob, content, der.SEQUENCE, 1)
        (signer,) = _children(blob, signers, der.SET, 1)
        if _oid(blob, kind) != SIGNED_DATA or _oid(blob, content_type) != DATA:
            return None
        return SignedData(
            version=_integer(blob, version),
            digests=(_algorithm(blob, digest),),
            content_type=DATA,
            content=None,
            certificates=(),
            revocations=0,
            signers=(_signer(blob, signer),),
            size=size,
            encoding="DER",
        )
    except ParseError:
        return None


def _signer(blob: bytes, node: Node) -> SignerInfo:
    version, sid, digest, algorithm, value = _children(blob, node, der.SEQUENCE, 5)
    issuer = serial = None
    if sid.tag != _SKID:
        name, number = _children(blob, sid, der.SEQUENCE, 2)
        issuer = blob[_expect(name, der.SEQUENCE).start : name.end]
        serial = magnitude(_integer(blob, number))
    return SignerInfo(
        version=_integer(blob, version),
        issuer=issuer,
        serial=serial,
        skid=blob[sid.body : sid.end] if issuer is None else None,
        digest=_algorithm(blob, digest),
        signed=None,
        signed_der=None,
        algorithm=_algorithm(blob, algorithm),
        value=blob[_expect(value, der.OCTETS).body : value.end],
        unsigned=None,
        start=node.start,
        value_start=value.body,
    )


def _algorithm(blob: bytes, node: Node) -> AlgorithmId:
    oid, *params = _children(blob, node, der.SEQUENCE, 1, 2)
    if params and blob[params[0].start : params[0].end] != _NULL:
        raise ParseError("parameters that are not NULL", offset=params[0].start)
    return AlgorithmId(_oid(blob, oid), _NULL if params else None)


def _children(blob: bytes, node: Node, tag: int, *counts: int) -> list[Node]:
    """The elements of ``node``, which has ``tag`` and this many elements; raises ParseError for BER."""
    found = list(islice(der.children(blob, _expect(node, tag)), max(counts) + 1))
    if len(found) not in counts:
        raise ParseError(f"{len(found)} elements", offset=node.start)
    for each in (node, *found):
        size = each.end - each.body
        header = 2 if size < 0x80 else 2 + (size.bit_length() + 7) // 8
        if each.indefinite or each.body - each.start != header:
            raise ParseError("a length that is not DER", offset=each.start)
    return found


def _expect(node: Node, tag: int) -> Node:
    if node.tag != tag:
        raise ParseError(f"tag {node.tag:#04x}", offset=node.start)
    return node


def _oid(blob: bytes, node: Node) -> str:
    body = blob[_expect(node, der.OID).body : node.end]
    if 0x80 in body:  # may be an arc with a leading zero, which is not DER
        raise ParseError("an object identifier that may not be DER", offset=node.start)
    return der.decode_oid(body)


def _integer(blob: bytes, node: Node) -> int:
    value = int.from_bytes(blob[_expect(node, der.INTEGER).body : node.end], "big", signed=True)
    if der.encode_integer(value) != blob[node.start : node.end]:
        raise ParseError("an integer that is not DER", offset=node.start)
    return value
