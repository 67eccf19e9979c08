"""The shape of records that come out of a confined process: it may have been taken over by what it read.

Only what readers of records rely on is checked; whether the record is true cannot be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

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
    "vendor": {
        "path": str, "schema_version": int, "modules": int, "complete": bool, "error": _maybe(REMARK),
    },
    "missing": {"path": str, "schema_version": int},
}  # fmt: skip
"""What a record has by its word; further members are left as they are."""


FOUND = frozenset({"module", "container", "kernel"})
"""Records of what is in a file; the others are about a comparison, which no confined process makes."""


def is_record(value: Any) -> bool:
    """Whether this JSON value is a record."""
    if not isinstance(value, dict):
        return False
    word = value.get("record")
    return isinstance(word, str) and word in _CHECKS and _CHECKS[word](value)


# --------------------------------------------------------------------------- shapes as functions

Check: TypeAlias = Callable[[Any], bool]
_ABSENT = object()


def check_of(shape: object) -> Check:
    """A function that says whether a value has a shape: a type, a value, :class:`OneOf`, :class:`Each`, or
    members by name. The value may be anything that JSON can express."""
    if (types := _types_of(shape)) is not None:
        return lambda value: type(value) in types
    if isinstance(shape, OneOf):
        checks = [check_of(each) for each in shape.shapes]
        return lambda value: any(check(value) for check in checks)
    if isinstance(shape, Each):
        inner = check_of(shape.shape)
        return lambda value: type(value) is list and all(map(inner, value))
    if isinstance(shape, Mapping):
        return _members_of(shape)
    return lambda value: type(value) is type(shape) and value == shape


def _types_of(shape: object) -> frozenset[type] | None:
    """The types of a shape that asks for nothing else; None for other shapes."""
    if isinstance(shape, type):
        return frozenset({shape})
    if shape is None:
        return frozenset({type(None)})
    if isinstance(shape, OneOf):
        every = [_types_of(each) for each in shape.shapes]
        known = [each for each in every if each is not None]
        return frozenset().union(*known) if len(known) == len(every) else None
    return None


def _members_of(shape: Mapping[str, object]) -> Check:
    """The check of an object: most of its members only have a type, and every record has a hundred.

    The types of all members together are compared with those of objects that were right before.
    """
    plain = [(name, types) for name, each in shape.items() if (types := _types_of(each)) is not None]
    others = [(name, check_of(each)) for name, each in shape.items() if _types_of(each) is None]
    names, allowed = [name for name, _ in plain], [types for _, types in plain]
    known: set[tuple[type, ...]] = set()

    def check(value: Any) -> bool:
        if type(value) is not dict:
            return False
        found = tuple([type(value.get(name, _ABSENT)) for name in names])
        if found not in known:
            if not all(each in types for each, types in zip(found, allowed, strict=True)):
                return False
            known.add(found)  # of two types for each member at most
        return all(inner(value.get(name, _ABSENT)) for name, inner in others)

    return check


_CHECKS: dict[str, Check] = {word: check_of(shape) for word, shape in RECORDS.items()}
