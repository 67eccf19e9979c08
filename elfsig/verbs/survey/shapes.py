"""The shape of records that come out of a confined process: it may have been taken over by what it read.

Only what readers of records rely on is checked; whether the record is true cannot be.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from elfsig.model import Verdict


class Each(NamedTuple):
    """A list of values of one shape."""

    shape: object


class OneOf(NamedTuple):
    """One of several shapes; None stands for JSON's null."""

    shapes: tuple[object, ...]


def _maybe(shape: object) -> OneOf:
    return OneOf((None, shape))


REMARK: dict[str, object] = {"code": str, "text": str, "offset": _maybe(int)}
LAYER: dict[str, object] = {
    "kind": str,
    "name": str,
    "offset": _maybe(int),
    "size": _maybe(int),
    "sha256": _maybe(str),
}
KEY: dict[str, object] = {"name": str, "fingerprint": str}
SIGNATURE: dict[str, object] = {
    "effective": bool, "format": _maybe(str), "hash": _maybe(str), "algorithm": _maybe(str),
    "curve": _maybe(str), "key_bits": _maybe(int), "signer": _maybe(str), "serial": _maybe(str),
    "key_id": _maybe(str), "created": _maybe(str), "reason": _maybe(str), "key": _maybe(KEY),
    "warnings": Each(REMARK),
}  # fmt: skip
COMMON: dict[str, object] = {"path": str, "chain": Each(LAYER), "schema_version": int}
RECORDS: Mapping[str, Mapping[str, object]] = {
    "module": {
        **COMMON, "verdict": OneOf((None, *(each.value for each in Verdict))), "size": _maybe(int),
        "sha256": _maybe(str), "content_sha256": _maybe(str), "compression": _maybe(str),
        "signatures": Each(SIGNATURE), "warnings": Each(REMARK), "error": _maybe(REMARK),
        "name": _maybe(str), "vermagic": _maybe(str), "kernel": OneOf((None, {"accepted": bool})),
    },
    "container": {
        **COMMON, "kind": str, "members": int, "modules": int, "complete": bool, "error": _maybe(REMARK),
    },
    "kernel": {
        **COMMON, "release": _maybe(str), "keys": Each({"label": str, "fingerprint": str}),
        "size": _maybe(int), "sha256": _maybe(str), "error": _maybe(REMARK),
    },
}  # fmt: skip
"""What a record has by its word; further members are left as they are."""


def is_record(value: Any) -> bool:
    """Whether this JSON value is a record of one of the three kinds."""
    if not isinstance(value, dict):
        return False
    word = value.get("record")
    return isinstance(word, str) and word in RECORDS and _fits(value, RECORDS[word])


def _fits(value: Any, shape: object) -> bool:
    if isinstance(shape, type):
        return type(value) is shape
    if isinstance(shape, OneOf):
        return any(_fits(value, each) for each in shape.shapes)
    if isinstance(shape, Each):
        return isinstance(value, list) and all(_fits(each, shape.shape) for each in value)
    if isinstance(shape, Mapping):
        return isinstance(value, dict) and all(n in value and _fits(value[n], s) for n, s in shape.items())
    return bool(value == shape)
