"""How a module is related to the vendor's, by their hashes: nothing is claimed that these do not show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, NoReturn

from elfsig.kernels.names import module_name, release_of
from elfsig.lazy_dataclass import dataclass
from elfsig.lazy_tuple import NamedTuple
from elfsig.model.brief import brief
from elfsig.model.json_form import SCHEMA_VERSION, path_members
from elfsig.verbs.audit.matching import installed

Json = Mapping[str, Any]


class Relation(StrEnum):
    """How a module is related to what the vendor ships for its kernel, the closest first."""

    SAME = "same"
    """Every byte is the same."""
    REPACKED = "repacked"
    """The same content with the same signatures, compressed or arranged in another way."""
    RESIGNED = "other-signature"
    """The same content; both are signed, with different signatures."""
    UNSIGNED = "signature-removed"
    """The same content; only the vendor's is signed."""
    SIGNED = "signature-added"
    """The same content; only this one is signed."""
    CHANGED = "changed"
    """The content differs."""
    UNCERTAIN = "uncertain"
    """Of one of them it is not certain where its signature starts and ends, and so what its content is."""
    UNKNOWN = "unknown"
    """The vendor has no such module: everything that was given was read to its end."""
    INCOMPLETE = "incomplete"
    """No such module was found, but not everything of the vendor's was read to its end."""
    MISSING = "missing"
    """The vendor ships it for this kernel, and it is not there: all of both was read to its end."""


CONTENT_SAME = frozenset(
    {Relation.SAME, Relation.REPACKED, Relation.RESIGNED, Relation.UNSIGNED, Relation.SIGNED}
)
"""What runs is what the vendor ships."""

GOOD = frozenset({Relation.SAME, Relation.REPACKED})
"""Nothing differs that a vendor would have to answer for."""

_ORDER = tuple(Relation)


class SignedBy(NamedTuple):
    """What a signature names: its format, signer and key (serial number or key id, in hex)."""

    format: str | None
    signer: str | None
    key: str | None

    def __str__(self) -> str:
        return f'"{self.signer or "no signer named"}"' + (f", key {self.key}" if self.key else "")

    def to_json(self) -> dict[str, Any]:
        """The same as plain JSON values."""
        return dict(self._asdict())


class KnownModule(NamedTuple):
    """What is compared of a module, from its record.

    ``content`` is the SHA-256 of the decompressed content without signatures, ``signatures`` that of all
    signatures, both in hex; None where they are not known, or there is none. ``release`` and ``place`` (the
    path below the module directory) are those of :func:`whereabouts`.
    """

    path: str
    release: str | None
    place: str | None
    name: str
    vermagic: str | None
    sha256: str
    content: str | None
    compression: str | None
    signatures: str | None
    signed_by: SignedBy | None


@dataclass(frozen=True, slots=True)
class VendorFinding:
    """One module against the vendor's: an entry of the records' member ``vendor``.

    ``path`` is that of the module, of a missing one that of the vendor's. ``vendor_path`` is the vendor's
    module, None where there is none. ``moved``: it has another place or name there. ``signed_by`` are the
    signatures that decide, of the module and of the vendor's. ``content_of``: of a changed module, the
    vendor's module of another name whose content it has. ``comparison`` is what differs, in a changed module,
    as JSON values; its ``error`` says why that is not known.
    """

    path: str
    relation: Relation
    release: str | None = None
    vendor_path: str | None = None
    vendor_sha256: str | None = None
    moved: bool = False
    signed_by: tuple[SignedBy | None, SignedBy | None] = (None, None)
    content_of: str | None = None
    comparison: Json | None = None

    def __repr__(self) -> str:
        return brief(self)

    def __hash__(self) -> int:
        return hash((self.path, self.relation, self.vendor_path))

    def __bool__(self) -> NoReturn:
        raise TypeError("a finding has no truth value: look at its relation")

    def to_json(self) -> dict[str, Any]:
        """The member ``vendor`` of a module's record."""
        own, vendor = self.signed_by
        return {
            "relation": self.relation.value,
            "release": self.release,
            "path": self.vendor_path,
            "sha256": self.vendor_sha256,
            "moved": self.moved,
            "signed_by": None if own is None else own.to_json(),
            "vendor_signed_by": None if vendor is None else vendor.to_json(),
            "content_of": self.content_of,
            "comparison": None if self.comparison is None else dict(self.comparison),
        }


def whereabouts(path: str, vermagic: str | None) -> tuple[str | None, str | None]:
    """(release, path below the module directory) of a module; None for what is not known.

    The release is that of the directory ``lib/modules/RELEASE``, elsewhere the first word of the vermagic.
    """
    release, place = installed(path)
    return release or release_of(vermagic), place


def known(record: Json) -> KnownModule | None:
    """What is compared of a module record of a survey; None for a module that could not be read."""
    if record["error"] is not None or record["sha256"] is None:
        return None
    decisive = next((each for each in record["signatures"] if each["effective"]), None)
    by = None
    if decisive is not None:
        key = decisive["serial"] or decisive["key_id"]
        by = SignedBy(decisive["format"], decisive["signer"], key)
    path, vermagic = record["path"], record["vermagic"]
    release, place = whereabouts(path, vermagic)
    signatures = record.get("signatures_sha256")  # of a confined process: it may be anything
    return KnownModule(
        path, release, place, record["name"] or module_name(path.rpartition("!/")[2]), vermagic,
        record["sha256"], record["content_sha256"], record["compression"],
        signatures if isinstance(signatures, str) else None, by,
    )  # fmt: skip


def relation(one: KnownModule, vendor: KnownModule) -> Relation:
    """How ``one`` is related to the vendor's."""
    if one.sha256 == vendor.sha256:
        return Relation.SAME
    if one.content is None or vendor.content is None:
        return Relation.UNCERTAIN
    if one.content != vendor.content:
        return Relation.CHANGED
    if one.signatures == vendor.signatures:
        return Relation.REPACKED
    if one.signatures is None:
        return Relation.UNSIGNED
    return Relation.SIGNED if vendor.signatures is None else Relation.RESIGNED


def closest(one: KnownModule, candidates: Iterable[KnownModule]) -> VendorFinding | None:
    """The finding for the candidate that is related most closely; None without candidates."""
    found = [(_ORDER.index(relation(one, each)), number, each) for number, each in enumerate(candidates)]
    if not found:
        return None
    rank, _, vendor = min(found)
    place_known = one.place is not None and vendor.place is not None
    return VendorFinding(
        one.path, _ORDER[rank], one.release, vendor.path, vendor.sha256,
        place_known and one.place != vendor.place, (one.signed_by, vendor.signed_by),
    )  # fmt: skip


def finding_of(record: Json) -> VendorFinding | None:
    """The finding in a module's record, or in one of a missing module; None in any other."""
    if record["record"] not in ("module", "missing") or (said := record.get("vendor")) is None:
        return None
    own, vendor = (
        None if each is None else SignedBy(each["format"], each["signer"], each["key"])
        for each in (said["signed_by"], said["vendor_signed_by"])
    )
    return VendorFinding(
        record["path"], Relation(said["relation"]), said["release"], said["path"], said["sha256"],
        said["moved"], (own, vendor), said["content_of"], said["comparison"],
    )  # fmt: skip


def missing_record(finding: VendorFinding) -> dict[str, Any]:
    """The record of a module of the vendor's that is not there; its path is the vendor's."""
    return {
        "schema_version": SCHEMA_VERSION,
        "record": "missing",
        **path_members(finding.path),
        "vendor": finding.to_json(),
    }
