"""A record of a survey as one flat row, for tables: Parquet, SQL, data frames.

The columns and their types are always the same, whatever the data: a value that a record does not have is
None, a list without elements is empty. Times are in UTC; a time beyond the calendar is None in its column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal

from elfsig.kernels.names import release_of
from elfsig.lazy_tuple import NamedTuple
from elfsig.model.json_values import SCHEMA_VERSION

Json = Mapping[str, Any]
Row = dict[str, Any]
Type = Literal["text", "integer", "boolean", "time", "texts"]

BUILTIN: Final = "builtin"
"""The role of keys that are compiled into a kernel image."""

MAX_INTEGER: Final = (1 << 63) - 1


class Column(NamedTuple):
    """One column: its name, its type, what is in it, and how a record gives it.

    Types: ``text`` (UTF-8), ``integer`` (64 bits, signed), ``boolean``, ``time`` (milliseconds since 1970 in
    UTC, as :class:`datetime.datetime` in rows), ``texts`` (a list of texts, never None).
    """

    name: str
    type: Type
    doc: str
    value: Callable[[Json], object]


def row_of(record: Json) -> Row:
    """The row of a record: a JSON object of ``survey``, or of ``verify`` and ``list`` (a module's report).

    A value that does not fit the type of its column is None: records of a survey come from processes that
    read hostile files.
    """
    return {each.name: _FITTING[each.type](each.value(record)) for each in COLUMNS}


# --------------------------------------------------------------------------- values


def _member(*names: str) -> Callable[[Json], object]:
    """The member at a path of names; None where one is missing."""

    def value(record: Json) -> object:
        found: object = record
        for name in names:
            found = found.get(name) if isinstance(found, Mapping) else None
        return found

    return value


def _decisive(*names: str) -> Callable[[Json], object]:
    """The same in the signature that decides the verdict."""
    inner = _member(*names)
    return lambda record: inner(_effective(record) or {})


def _effective(record: Json) -> Json | None:
    return next((each for each in record.get("signatures") or () if each["effective"]), None)


def _release(record: Json) -> object:
    """Of a module: the first word of its vermagic. Of a kernel image: its release."""
    vermagic = record.get("vermagic")
    return release_of(vermagic) if isinstance(vermagic, str) else record.get("release")


def _stack(record: Json) -> object:
    """The formats of its signatures, one for each layer from the outside."""
    layers: dict[object, str] = {}
    for each in record.get("signatures") or ():
        layers[each.get("layer")] = each.get("format") or "unknown"
    return list(layers.values())


def _warning_texts(record: Json) -> object:
    about = (_effective(record) or {}).get("warnings") or ()
    return [f"{each['code']}: {each['text']}" for each in (*about, *(record.get("warnings") or ()))]


def _loadable(record: Json) -> object:
    found = record.get("unloadable")
    return not found if isinstance(found, list) else None


def _unloadable(record: Json) -> object:
    return [f"{each['code']}: {each['text']}" for each in record.get("unloadable") or ()]


def _notes(record: Json) -> object:
    return sorted(record.get("notes") or ())


def _layers(record: Json) -> object:
    """The kinds of the containers: each element of ``chain`` names the container that it is in."""
    return [each["kind"] for each in record.get("chain") or ()][1:]


def _file(record: Json) -> object:
    chain = record.get("chain")
    return chain[0]["name"] if chain else None


def _file_sha256(record: Json) -> object:
    """Of a file that is not in another, ``sha256`` says it: a column of hashes takes half of a table."""
    chain = record.get("chain") or ()
    own = record.get("record") in ("module", "kernel") and len(chain) == 1
    return None if own or not chain else chain[0]["sha256"]


def _counted(name: str) -> Callable[[Json], object]:
    def value(record: Json) -> object:
        found = record.get(name)
        return len(found) if isinstance(found, list) else None

    return value


def _warnings(record: Json) -> object:
    own = record.get("warnings") or ()
    about = (_effective(record) or {}).get("warnings") or ()
    return sorted({each["code"] for each in (*own, *about)})


def _fingerprints(record: Json) -> object:
    """Those that the kernel trusts: an image also has keys that it revokes."""
    keys = record.get("keys") or ()
    return [
        each["fingerprint"] for each in keys if each.get("role") == BUILTIN and each.get("revoked") is False
    ]


def _record(record: Json) -> object:
    return record.get("record", "module")


# --------------------------------------------------------------------------- types


def _text(value: object) -> str | None:
    """Texts are UTF-8; a surrogate, which JSON may have, is written as its escape."""
    if not isinstance(value, str):
        return None
    return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()


def _texts(value: object) -> list[str]:
    found = value if isinstance(value, list) else []
    return [text for each in found if (text := _text(each)) is not None]


def _integer(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if -MAX_INTEGER <= value <= MAX_INTEGER else None


def _boolean(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _time(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        return datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


_FITTING: Final[Mapping[Type, Callable[[object], object]]] = {
    "text": _text, "texts": _texts, "integer": _integer, "boolean": _boolean, "time": _time,
}  # fmt: skip

# --------------------------------------------------------------------------- the columns

COLUMNS: Final[tuple[Column, ...]] = (
    Column("record", "text", "`module`, `container`, `kernel`, `vendor` or `missing`", _record),
    Column("host", "text", "the host that the file belongs to, where one was given", _member("host")),
    Column("run", "text", "the id of the run", _member("run")),
    Column("path", "text", "where it is: the file, and `!/` before each layer in it", _member("path")),
    Column("path_hex", "text", "the bytes of the path in hex, where they are not UTF-8", _member("path_hex")),
    Column("file", "text", "the outermost file", _file),
    Column("file_sha256", "text", "SHA-256 of that file; null where it is the module itself", _file_sha256),
    Column("layers", "texts", "the kinds of the containers that it is in, from the outside", _layers),
    Column("name", "text", "the module's name according to its `.modinfo`", _member("name")),
    Column("release", "text", "the kernel release it was built for; of a kernel image, its own", _release),
    Column("vermagic", "text", "the module's `vermagic`", _member("vermagic")),
    Column("size", "integer", "size of the file in bytes", _member("size")),
    Column("sha256", "text", "SHA-256 of the file", _member("sha256")),
    Column(
        "signatures_sha256", "text", "SHA-256 of all signatures, equal for equal ones",
        _member("signatures_sha256"),
    ),
    Column(
        "content_sha256", "text", "SHA-256 of the decompressed content without signatures",
        _member("content_sha256"),
    ),
    Column("compression", "text", "`gzip`, `xz`, `zstd`, ...; null for none", _member("compression")),
    Column("machine", "text", "the processor that the ELF header names", _member("elf", "machine")),
    Column("verdict", "text", "the verdict; null where the module could not be read", _member("verdict")),
    Column("reason", "text", "the verdict in a sentence", _decisive("reason")),
    Column("cause", "text", "why a signature does not count: a code", _decisive("cause", "code")),
    Column("warnings", "texts", "codes of the warnings, sorted", _warnings),
    Column("warning_texts", "texts", "each warning in a sentence, after its code", _warning_texts),
    Column("signatures", "integer", "how many signatures it has", _counted("signatures")),
    Column("stack", "texts", "their formats, one for each layer from the outside", _stack),
    Column("format", "text", "format of the signature that decides the verdict", _decisive("format")),
    Column("envelope", "text", "its encoding; null where it cannot be parsed", _decisive("envelope")),
    Column("coverage", "text", "which bytes that signature covers", _decisive("coverage")),
    Column("hash", "text", "its hash", _decisive("hash")),
    Column("algorithm", "text", "its algorithm", _decisive("algorithm")),
    Column("key_bits", "integer", "size of its key in bits", _decisive("key_bits")),
    Column("curve", "text", "the curve of its key", _decisive("curve")),
    Column("signer", "text", "the signer that the signature names", _decisive("signer")),
    Column("serial", "text", "the serial number that it names, in hex", _decisive("serial")),
    Column("key_id", "text", "the key id that it names, in hex", _decisive("key_id")),
    Column(
        "certificates", "integer", "how many certificates are embedded in it",
        _decisive("facts", "certificates"),
    ),
    Column("created", "time", "when it was made, by its own word", _decisive("created")),
    Column("key_name", "text", "name of the key that made it", _decisive("key", "name")),
    Column(
        "key_fingerprint", "text", "SHA-256 of that key's SubjectPublicKeyInfo",
        _decisive("key", "fingerprint"),
    ),
    Column("key_algorithm", "text", "that key's algorithm", _decisive("key", "algorithm")),
    Column("key_subject", "text", "the subject of its certificate", _decisive("key", "subject")),
    Column("key_serial", "text", "the serial number of its certificate, in hex", _decisive("key", "serial")),
    Column(
        "key_certificate_sha256", "text", "SHA-256 of its certificate", _decisive("key", "certificate_sha256")
    ),
    Column("key_certificate_sha1", "text", "SHA-1 of its certificate", _decisive("key", "certificate_sha1")),
    Column("key_source", "text", "the key source that has that key", _decisive("key", "source")),
    Column("key_role", "text", "the keyring that the key belongs to, or `revoked`", _decisive("key", "role")),
    Column("anchor_name", "text", "name of the key that vouches for it", _decisive("anchor", "name")),
    Column("anchor_fingerprint", "text", "fingerprint of that key", _decisive("anchor", "fingerprint")),
    Column("loadable", "boolean", "whether kernels can load it, whatever its signature", _loadable),
    Column("unloadable", "texts", "why they cannot: a code and a sentence for each reason", _unloadable),
    Column("notes", "texts", "what is stored beside it, such as `security.ima`", _notes),
    Column("source", "text", "the directory that was given and led to it", _member("source")),
    Column("kernel", "text", "the simulated kernel, where one was asked", _member("kernel", "id")),
    Column("accepted", "boolean", "whether that kernel loads the module", _member("kernel", "accepted")),
    Column("errno", "text", "the error that it returns", _member("kernel", "errno")),
    Column("vendor", "text", "how it is related to the vendor's module", _member("vendor", "relation")),
    Column("vendor_path", "text", "the vendor's module", _member("vendor", "path")),
    Column("vendor_moved", "boolean", "whether it has another place there", _member("vendor", "moved")),
    Column(
        "vendor_difference", "text", "what differs, as `elfsig compare` concludes",
        _member("vendor", "comparison", "conclusion"),
    ),
    Column("kind", "text", "of a container: its kind", _member("kind")),
    Column("members", "integer", "of a container: its members", _member("members")),
    Column("modules", "integer", "of a container: all modules in it, to any depth", _member("modules")),
    Column("complete", "boolean", "of a container: whether it was read to its end", _member("complete")),
    Column("keys", "texts", "of a kernel image: fingerprints of the keys compiled in", _fingerprints),
    Column("error_code", "text", "why it could not be read: a code", _member("error", "code")),
    Column("error_offset", "integer", "the offset where reading failed", _member("error", "offset")),
    Column("error", "text", "the same in a sentence", _member("error", "text")),
)  # fmt: skip
"""All columns, in their order."""


def markdown() -> Iterator[str]:
    """The lines of a table of the columns, for the manual."""
    yield "| Column | Type | Content |"
    yield "|---|---|---|"
    yield from (f"| `{each.name}` | {each.type} | {each.doc} |" for each in COLUMNS)


# --------------------------------------------------------------------------- back


def record_of(row: Mapping[str, Any]) -> Row:
    """A record with what a row has of it: the members of ``survey``'s objects, with one signature at most.

    What has no column is missing: it is not the record that the row was made from. The layers of ``chain``
    have no names, of other signatures than the decisive one there is only the format (of several signers the
    number, in ``facts``), notes have no values, and keys of kernel images have no other name than their
    fingerprint.
    """
    kind = row["record"]
    outer = {"kind": "file", "name": row["file"] or row["path"], "offset": None, "size": None}
    common = {name: row[name] for name in ("record", "host", "run", "path", "size", "sha256")}
    common |= {"path_hex": row["path_hex"]} if row["path_hex"] is not None else {}
    fault = {"code": row["error_code"], "text": row["error"], "offset": row["error_offset"]}
    common |= {
        "schema_version": SCHEMA_VERSION,
        "chain": [
            {**outer, "sha256": row["file_sha256"]},
            *({**outer, "kind": each, "name": "", "sha256": None} for each in row["layers"]),
        ],
        "error": None if row["error_code"] is None else fault,
    }
    if kind == "missing":
        return common
    if kind == "vendor":
        return common | {name: row[name] for name in ("modules", "complete")}
    if kind not in ("module", "kernel"):
        return common | {name: row[name] for name in ("kind", "members", "modules", "complete")}
    if kind == "kernel":
        about = {"role": BUILTIN, "revoked": False}
        keys = [{"label": each, "fingerprint": each, **about} for each in row["keys"]]
        return common | {"release": row["release"], "keys": keys}
    plain = ("name", "vermagic", "content_sha256", "signatures_sha256", "compression", "verdict")
    return common | {name: row[name] for name in plain} | {
        **({} if row["loadable"] is None else {"unloadable": _remarks(row["unloadable"])}),
        "signatures": _signatures(row) if row["signatures"] else [],
        "warnings": _remarks(row["warning_texts"] or row["warnings"]),
        "notes": dict.fromkeys(row["notes"]),
        "source": row["source"],
        "vendor": None,
        "kernel": None if row["kernel"] is None else
        {"id": row["kernel"], "accepted": row["accepted"], "errno": row["errno"]},
    }  # fmt: skip


def _remarks(texts: Iterable[str]) -> list[Row]:
    """Remarks from a code and a sentence each; where there is only a code, it is the sentence too."""
    found = (each.partition(": ") for each in texts)
    return [{"code": code, "text": text or code, "offset": None} for code, _, text in found]


def _signatures(row: Mapping[str, Any]) -> list[Row]:
    """The signature that decides the verdict, among the others, of which only the formats are known."""
    first = _signature(row)
    nothing = dict.fromkeys(first)
    others = [
        {**nothing, "effective": False, "warnings": [], "format": format_, "layer": number}
        for number, format_ in enumerate(row["stack"])
    ]
    decisive = next(
        (n for n, each in enumerate(others) if each["format"] == (row["format"] or "unknown")), None
    )
    if decisive is not None:
        others[decisive] = {**first, "layer": decisive}
    return others if decisive is not None else [first]


def _signature(row: Mapping[str, Any]) -> Row:
    """The signature that decides the verdict."""
    own = (
        "format", "envelope", "coverage", "hash", "algorithm", "key_bits", "curve", "signer", "serial",
        "key_id", "reason", "verdict",
    )  # fmt: skip
    said = ("name", "fingerprint", "source", "role", "algorithm", "subject", "serial", "certificate_sha256",
            "certificate_sha1")  # fmt: skip
    key = {name: row[f"key_{name}"] for name in said} | {"bits": row["key_bits"]}
    anchor = {name: row[f"anchor_{name}"] for name in ("name", "fingerprint")}
    created = row["created"]
    return {name: row[name] for name in own} | {
        "effective": True,
        "created": None if created is None else created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "cause": None if row["cause"] is None else {"code": row["cause"]},
        "facts": {
            "certificates": row["certificates"] or 0,
            "signer_count": 1 + max(0, (row["signatures"] or 0) - len(row["stack"])),
        },
        "key": None if row["key_fingerprint"] is None else key,
        "anchor": None if row["anchor_fingerprint"] is None else anchor,
        "warnings": [],
    }
