"""What evmctl writes besides signatures of version 1 and 2: attributes of IMA and EVM, not checked here.

The first byte is the type (enum evm_ima_xattr_type, security/integrity/integrity.h); after types 3, 5 and 6
comes struct signature_v2_hdr. Version 3 (fs-verity, and IMA's sigv3 of Linux 7.1) signs a structure that has
the file's hash in it.
"""

from __future__ import annotations

from struct import Struct

from elfsig.crypto.hashes import HASH_BY_KERNEL
from elfsig.errors import ParseError
from elfsig.model import Signature

HEADER = Struct(">BBB4sH")
"""Type, version, hash, key id, size of the value."""
DIGEST, HMAC, SIGNATURE, DIGEST_NG, PORTABLE, VERITY = range(1, 7)
SIGNED = {
    SIGNATURE: "an IMA signature",
    PORTABLE: "a portable EVM signature",
    VERITY: "an IMA signature of the fs-verity kind",
}
SHA1_SIZE = 20


def parse(blob: bytes) -> Signature | None:
    """The attribute as a signature that cannot be checked; None if it is of another kind.

    Raises ParseError if its type is known and its length is wrong.
    """
    kind = blob[0] if blob else 0
    if kind in (DIGEST, HMAC) and len(blob) == 1 + SHA1_SIZE:
        what = "IMA's plain hash of a file" if kind == DIGEST else "EVM's keyed hash (HMAC)"
        return _named(f"{what}, not a signature", blob, "sha1")
    if kind == DIGEST_NG and len(blob) > 2:
        row = HASH_BY_KERNEL.get(blob[1])
        if row is not None and len(blob) == 2 + row.size:
            return _named("IMA's plain hash of a file, not a signature", blob, row.name)
    if kind not in SIGNED or len(blob) < HEADER.size:
        return None
    _, version, hash_number, key_id, size = HEADER.unpack_from(blob)
    if version not in (2, 3) or (kind == SIGNATURE and version == 2):
        return None
    value = blob[HEADER.size :]
    if size != len(value):
        text = f"{SIGNED[kind]} with a value of {size} bytes, {len(value)} present"
        raise ParseError(text, offset=HEADER.size - 2)
    row = HASH_BY_KERNEL.get(hash_number)
    name = f"{SIGNED[kind]}, version {version}"
    return _named(name, value, row.name if row else None, key_id)._replace(
        facts={"digsig_version": version, "hash_number": hash_number}
    )


def _named(name: str, value: bytes, hash_name: str | None, key_id: bytes | None = None) -> Signature:
    return Signature(
        envelope="digsig",
        algorithm=None,
        algorithm_text=name,
        hash=hash_name,
        value=value,
        key_ids=(("digsig2", key_id),) if key_id else (),
        key_id=key_id,
        detail=None,
    )
