"""The machine-readable form: reports as plain JSON values. The schema is ``data/schema.json``.

Bytes are lower-case hex, times ISO 8601 UTC, sizes and offsets integers, keys sorted when written.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from elfsig._version import __version__
from elfsig.model import (
    Certificate,
    FileReport,
    Key,
    Loss,
    Params,
    Place,
    Provenance,
    Remark,
    Signature,
    SignatureReport,
)

SCHEMA_VERSION = 1

Json = dict[str, Any]


def dumps(value: object) -> str:
    """One line of ASCII JSON with sorted keys."""
    return json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(", ", ": "))


def time_text(seconds: int | float) -> str:
    """ISO 8601 UTC from seconds since 1970; times beyond the calendar stay a number."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return f"@{seconds}"


def run_record(argv: Sequence[str], reproducible: bool = False) -> Json:
    """Who wrote a document, when, and what was asked; all null with ``reproducible``."""
    if reproducible:
        return {"tool": "elfsig", "version": None, "time": None, "argv": None}
    now = time_text(datetime.now(UTC).timestamp())
    return {
        "tool": "elfsig",
        "version": __version__,
        "time": now,
        "argv": [_without_pin(readable(a)) for a in argv],
    }


def _without_pin(word: str) -> str:
    """A PIN in a token's URI is in no record."""
    return re.sub(r"(pin-value=)[^&]*", r"\1...", word) if "pkcs11:" in word.lower() else word


def readable(text: str) -> str:
    """``text`` with bytes that are not UTF-8 as ``\\xNN``; all else as it is."""
    return os.fsencode(text).decode("utf-8", "backslashreplace")


def plain(value: Any) -> Any:
    """Any value of a report as JSON knows it: bytes as hex, tuples as lists, the rest by its own text."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).hex()
    if isinstance(value, Remark):
        return remark_object(value)
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, (set, frozenset)):
        return sorted((plain(each) for each in value), key=dumps)
    return str(value)


def path_members(path: str) -> Json:
    """The member ``path``, and ``path_hex`` where the name is not UTF-8."""
    name = os.fsencode(path)
    text = name.decode("utf-8", "backslashreplace")
    return {"path": text, **({"path_hex": name.hex()} if text.encode() != name else {})}


def remark_object(remark: Remark) -> Json:
    """An entry of ``warnings``, and an ``error``."""
    return {"code": remark.code, "text": remark.text, "offset": remark.offset}


def file_object(report: FileReport) -> Json:
    """One file's object: an entry of ``files``, and a line of ``--jsonl``."""
    elf = report.elf
    return {
        "schema_version": SCHEMA_VERSION,
        **path_members(report.path),
        "size": report.size,
        "sha256": report.sha256,
        "compression": report.compression,
        "content_sha256": report.content_sha256,
        "elf": elf and {"class": elf.bits, "data": elf.data, "machine": elf.machine, "type": elf.type},
        "signatures": [signature_object(each) for each in report.signatures],
        "verdict": None if report.verdict is None else report.verdict.value,
        "warnings": [remark_object(each) for each in report.warnings],
        "error": remark_object(report.error) if report.error else None,
        "kernel": plain(report.kernel),
    }


def signature_object(sig: SignatureReport) -> Json:
    """One entry of ``signatures``."""
    return {
        "format": sig.format,
        "layer": sig.layer,
        "blob": sig.blob,
        "effective": sig.effective,
        "carrier": carrier_object(sig.place),
        "coverage": sig.coverage,
        **_signature_keys(sig.claims, sig.key),
        "verdict": sig.verdict.value,
        "reason": sig.reason,
        "cause": sig.cause and {"code": sig.cause.code, **plain(sig.cause.facts)},
        "key": _short_key_object(sig.key),
        "anchor": _short_key_object(sig.anchor),
        "chain": [_short_key_object(each) for each in sig.chain],
        "warnings": [remark_object(each) for each in sig.warnings],
    }


def carrier_object(place: Place) -> Json:
    """Where a signature is: ``offset`` and ``size`` span the wrapper too."""
    return {
        "kind": place.kind,
        "section": place.section,
        "index": place.index,
        "where": place.where,
        "offset": place.start,
        "size": place.end - place.start,
        "params": params_object(place.params),
    }


def params_object(params: Params) -> Json | None:
    """What the wrapper says beside the signature's bytes; which keys there are depends on the carrier."""
    if params is None:
        return None
    return {name: plain(value) for name, value in params._asdict().items()}


def _signature_keys(signature: Signature | None, key: Key | None) -> Json:
    """What the signature says of itself; its size and curve are those of the key, where that is known."""
    if signature is None:
        names = (
            "envelope",
            "hash",
            "algorithm",
            "key_bits",
            "curve",
            "signer",
            "key_id",
            "serial",
            "created",
        )
        return dict.fromkeys(names) | {"facts": {}}
    created = signature.created
    return {
        "envelope": signature.envelope,
        "hash": signature.hash,
        "algorithm": signature.algorithm,
        "key_bits": (key and key.bits) or signature.key_bits,
        "curve": (key and key.curve) or signature.curve,
        "signer": signature.signer,
        "key_id": plain(signature.key_id),
        "serial": plain(signature.serial),
        "created": None if created is None else time_text(created),
        "facts": plain(signature.facts),
    }


def _short_key_object(key: Key | None) -> Json | None:
    """A key: where it comes from, and its fingerprints as elfsig, openssl and mokutil print them."""
    if key is None:
        return None
    found = certificate_fingerprints(key.certificate) if key.certificate else {}
    return {
        "name": readable(key.label),
        "fingerprint": key.fingerprint,
        "certificate_sha256": found.get("sha256"),
        "certificate_sha1": found.get("sha1"),
        "algorithm": key.algorithm,
        "bits": key.bits,
        "curve": key.curve,
        "source": readable(key.source),
        "role": key.role,
    }


def certificate_fingerprints(certificate: Certificate) -> dict[str, str]:
    """SHA-256 and SHA-1 of a certificate, as ``openssl x509 -fingerprint`` and ``mokutil`` have them, in hex
    without colons."""
    from hashlib import sha1, sha256

    return {
        "sha256": sha256(certificate.der).hexdigest(),
        "sha1": sha1(certificate.der, usedforsecurity=False).hexdigest(),
    }


def key_object(key: Key) -> Json:
    """Everything about one key as JSON values; what only a certificate has is null without one."""
    certificate = key.certificate
    return {
        "source": key.source,
        "role": key.role,
        "trusted": key.trusted,
        "keyring": key.keyring,
        "vouched": key.vouched,
        "why": str(key.why),
        "revoked": key.revoked,
        "revoked_by": key.revoked_by,
        "provenance": key.provenance and _provenance_object(key.provenance),
        "usable": key.public is not None,
        "label": key.label,
        "algorithm": key.algorithm,
        "bits": key.bits or None,
        "curve": key.curve,
        "fingerprint": key.fingerprint,
        "certificate": certificate
        and {
            "subject": certificate.subject_text,
            "issuer": certificate.issuer_text,
            "serial": f"{certificate.serial:x}",
            "skid": certificate.skid.hex() if certificate.skid is not None else None,
            "not_before": time_text(certificate.not_before),
            "not_after": time_text(certificate.not_after),
            "size": len(certificate.der),
            **certificate_fingerprints(certificate),
        },
        "openpgp_fingerprint": key.openpgp_fingerprint.hex() if key.openpgp_fingerprint else None,
        "created": None if key.created is None else time_text(key.created),
        "ids": {name: sorted(each.hex() for kind, each in key.ids if kind == name) for name in SHORT_IDS},
        "remarks": [remark_object(each) for each in key.remarks],
    }


def _provenance_object(provenance: Provenance) -> Json:
    return {
        "file": readable(provenance.file),
        "offset": provenance.offset,
        "list": provenance.list,
        "container": provenance.container,
    }


def loss_object(loss: Loss) -> Json:
    """Something in a key source that could not be read."""
    return {
        "file": readable(loss.file),
        "what": loss.what,
        "reason": loss.reason,
        "offset": loss.offset,
    }


SHORT_IDS = ("openpgp", "digsig1", "digsig2")
"""Key ids that follow from the key itself; the others are in the certificate."""
