"""The five signature fields of modinfo, in its order, spelling and layout (kmod, libkmod-signature.c)."""

from __future__ import annotations

from collections.abc import Mapping

from elfsig.carriers.trailer import ID_TYPES
from elfsig.crypto.hashes import HASH_BY_KERNEL
from elfsig.model import SignatureReport, TrailerInfo

LINE = 20
"""Bytes of hex per line."""

LABEL = 16
"""Column where values start."""

Field = tuple[str, str]


def hex_lines(data: bytes) -> str:
    """Upper-case hex with colons, 20 bytes per line; every line but the last ends with a colon."""
    text = data.hex(":").upper()
    step = 3 * LINE
    return "\n\t\t".join(text[at : at + step] for at in range(0, len(text), step))


def labelled(name: str, value: str) -> str:
    """``name:`` padded to column 16, then the value."""
    return f"{name + ':':<{LABEL}}{value}" if len(name) + 1 < LABEL else f"{name}: {value}"


def fields(sig: SignatureReport, names: Mapping[str, str]) -> list[Field]:
    """The five fields of one signature; empty if nothing could be parsed.

    ``names``: modinfo's names of the envelopes, by id. Like modinfo, only the info block is read of trailers
    with id_type 0 and 1.
    """
    info = sig.place.params
    if isinstance(info, TrailerInfo) and info.id_type in (0, 1) and sig.place.fault is None:
        return _from_info(sig.place.blob, info)
    signature = sig.claims
    if signature is None:
        return _unreadable(sig)
    return [
        ("sig_id", names.get(signature.envelope, signature.envelope)),
        ("signer", signature.signer or ""),
        ("sig_key", hex_lines(signature.serial or signature.key_id or b"")),
        ("sig_hashalgo", signature.hash or signature.hash_text or "unknown"),
        ("signature", hex_lines(signature.value)),
    ]


def _unreadable(sig: SignatureReport) -> list[Field]:
    """What modinfo of kmod 35 prints of a PKCS#7 that it cannot parse; older ones print nothing of it."""
    info = sig.place.params
    if not isinstance(info, TrailerInfo) or info.id_type != 2 or sig.place.fault is not None:
        return []
    return [("sig_id", ID_TYPES[2]), ("signer", ""), ("sig_key", ""), ("sig_hashalgo", "unknown")]


def _from_info(blob: bytes, info: TrailerInfo) -> list[Field]:
    """Signer name, key id and value precede the info block, in this order."""
    name, rest = blob[: info.signer_len], blob[info.signer_len :]
    known = HASH_BY_KERNEL.get(info.hash) if info.hash < 8 else None
    hash_name = known.name if known else {8: "sm3"}.get(info.hash, f"unknown ({info.hash})")
    return [
        ("sig_id", ID_TYPES[info.id_type]),
        ("signer", name.decode("utf-8", "backslashreplace")),
        ("sig_key", hex_lines(rest[: info.key_id_len])),
        ("sig_hashalgo", hash_name),
        ("signature", hex_lines(rest[info.key_id_len :])),
    ]
