"""What is wrong with a module according to the vendor's, as faults of an audit's rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from elfsig.lazy_tuple import NamedTuple
from elfsig.verbs.audit.rules import Fault
from elfsig.verbs.vendor.relation import CONTENT_SAME, Relation, SignedBy, VendorFinding, finding_of
from elfsig.verbs.vendor.sources import VendorSource, source_of

CHANGED, SIGNATURE, UNKNOWN = "vendor-changed", "vendor-signature", "vendor-unknown"
MISSING, UNREAD = "vendor-missing", "vendor-incomplete"

SHOWN = 6
"""Functions and objects that a sentence names."""


class _Words(NamedTuple):
    """The rule that a relation breaks, what is said of one module, and of many."""

    rule: str
    text: str
    fold: str


def record_faults(record: Mapping[str, Any]) -> Iterator[Fault]:
    """What is wrong according to a record, as a JSON object: of a module, a missing one, a source."""
    if record["record"] == "vendor":
        fault = source_fault(source_of(record))
        yield from () if fault is None else (fault,)
    elif (finding := finding_of(record)) is not None:
        yield from faults(finding)


def faults(finding: VendorFinding) -> Iterator[Fault]:
    """What is wrong with one module."""
    words = _words(finding)
    if words is not None:
        yield Fault(words.rule, finding.path, words.text, None, words.fold)
    if finding.moved and finding.relation in CONTENT_SAME:
        yield Fault("moved", finding.path, f"the vendor has it as {finding.vendor_path}")


def source_fault(source: VendorSource) -> Fault | None:
    """That a source was not read to its end."""
    if source.error is None:
        return None
    where = "" if source.error_path in (None, source.path) else f"{source.error_path}: "
    more = f", and {source.unread - 1} more" if source.unread > 1 else ""
    return Fault(UNREAD, source.path, f"{where}{source.error.text} ({source.error.code}){more}")


def _words(finding: VendorFinding) -> _Words | None:
    own, vendor = finding.signed_by
    word, release = finding.relation, finding.release or "its kernel"
    if word is Relation.RESIGNED:
        text = _other_signature(own, vendor)
        return _Words(SIGNATURE, text, f"are {text}")
    if word is Relation.UNSIGNED:
        by = f"signed by {vendor}" if vendor is not None else "signed"
        text = f"no signature; the vendor's is {by}"
        return _Words(SIGNATURE, text, f"have no signature, where the vendor's are {by}")
    if word is Relation.SIGNED:
        by = f"signed by {own}" if own is not None else "signed"
        text = f"{by}; the vendor's has no signature"
        return _Words(SIGNATURE, text, f"are {by}, where the vendor's have no signature")
    if word in (Relation.CHANGED, Relation.UNCERTAIN):
        text = _difference(finding)
        return _Words(CHANGED, text, f"differ: {text}")
    if word is Relation.MISSING:
        text = f"shipped for {release}, and not there"
        return _Words(MISSING, text, f"shipped for {release} are not there")
    if word is Relation.UNKNOWN:
        text = _other_name(finding) or f"the vendor has no such module for {release}"
        return _Words(
            UNKNOWN, text, "" if finding.content_of else f"for {release} are not among the vendor's"
        )
    if word is Relation.INCOMPLETE:
        text = _other_name(finding) or "not found, and not all of the vendor's could be read"
        return _Words(UNREAD, text, "" if finding.content_of else "were not found in what could be read")
    return None


def _other_signature(own: SignedBy | None, vendor: SignedBy | None) -> str:
    if own == vendor:
        return f"signed by {own}, as the vendor's, but the signature is another"
    return f"signed by {own or 'no one that could be read'}; the vendor's by {vendor or 'no one'}"


def _other_name(finding: VendorFinding) -> str | None:
    return None if finding.content_of is None else f"the content is that of the vendor's {finding.content_of}"


def _difference(finding: VendorFinding) -> str:
    """What differs in a changed module, in a sentence."""
    if (name := _other_name(finding)) is not None:
        return name
    found = finding.comparison
    if found is None or found["error"] is not None:
        error = None if found is None else found["error"]
        why = "" if error is None else f" (not compared: {error['text']})"
        if finding.relation is Relation.UNCERTAIN:
            return f"the extent of a signature is uncertain, and so is what differs{why}"
        return f"the content is another{why}"
    names = found["symbols"][:SHOWN]
    more = f" and {len(found['symbols']) - SHOWN} more" if len(found["symbols"]) > SHOWN else ""
    where = f", in {', '.join(names)}{more}" if names else ""
    return f"{found['text']}{where}{_signed_otherwise(*finding.signed_by)}"


def _signed_otherwise(own: SignedBy | None, vendor: SignedBy | None) -> str:
    """What a sentence about the content of a changed module adds about its signature."""
    if own == vendor:
        return ""
    if own is None:
        return "; it has no signature, as the vendor's has"
    return f"; signed by {own}" + ("" if vendor is None else f", the vendor's by {vendor}")
