"""A policy applied to a record of a survey: what the record establishes, and what it leaves open.

A record says which key a signature matches, by its fingerprint; whether the policy trusts that key is decided
here. What a record does not say, such as a kernel's answer, is a fault (not-checked), never a pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from elfsig.crypto.hashes import shown_hash
from elfsig.kernels.names import SUFFIX, module_name
from elfsig.lazy_tuple import NamedTuple
from elfsig.model import Remark, Verdict
from elfsig.verbs.audit.audit import COPIED, Audited, FileState, SignerRow, unloadable_fault, unreadable
from elfsig.verbs.audit.rules import BY_VERDICT, RULES, Fault
from elfsig.verbs.policy.judge import Signer, demand_faults, not_checked
from elfsig.verbs.policy.model import ModuleRule
from elfsig.verbs.verify.misnamed import SIGNED

Record = Mapping[str, Any]

IMA = "security.ima"


class KnownKeys(NamedTuple):
    """The keys that a rule trusts, by their fingerprints. ``why``: what of its sources could not be read.

    ``by_hash``: certificates or files are revoked by their hashes, which records do not have.
    """

    trusted: frozenset[str] = frozenset()
    revoked: frozenset[str] = frozenset()
    by_hash: bool = False
    why: str | None = None


def record_path(record: Record) -> str:
    """The path of a record, with the bytes of a name that is not UTF-8."""
    raw = record.get("path_hex")
    if isinstance(raw, str):
        return bytes.fromhex(raw).decode("utf-8", "surrogateescape")
    path: str = record["path"]
    return path


def judged(record: Record, rule: ModuleRule, keys: KnownKeys, ignored: frozenset[str]) -> Audited:
    """The result for the record of a module. ``ignored`` are rules of audit that do not count."""
    path, error = record_path(record), record.get("error")
    if error is not None or record.get("verdict") is None:
        fault = error or {"code": "unreadable", "text": "could not be read", "offset": None}
        return unreadable(path, Remark(fault["code"], fault["text"], fault["offset"]))
    verdict, why = _verdict(record, keys)
    sig = _effective(record)
    signer = _signer(sig) if verdict is Verdict.VALID and sig is not None else None
    found = [
        *_verdict_faults(path, record, verdict, why),
        *_signature_faults(path, record, sig, rule),
        *demand_faults(path, rule, signer, verdict),
        *_file_faults(path, record, verdict, rule),
    ]
    kept = dict.fromkeys(each for each in found if each.rule not in ignored)
    return Audited(path, verdict, _row(sig, verdict), tuple(kept), _state(record))


def _effective(record: Record) -> Record | None:
    return next((each for each in record["signatures"] if each.get("effective")), None)


def _verdict(record: Record, keys: KnownKeys) -> tuple[Verdict, str | None]:
    """The verdict by the keys of the policy, and why it is not known where it is UNCHECKED."""
    verdict = Verdict(record["verdict"])
    sig = _effective(record) or {}
    if verdict in (Verdict.UNKNOWN_KEY, Verdict.UNCHECKED):
        return Verdict.UNCHECKED, keys.why or "the survey did not have the key of its signature"
    if verdict not in (Verdict.VALID, Verdict.UNTRUSTED):
        return verdict, None
    if keys.why is not None:
        return Verdict.UNCHECKED, keys.why
    prints = [key["fingerprint"] for name in ("key", "anchor") if (key := sig.get(name))]
    if not prints:
        return Verdict.UNCHECKED, "the record does not say which key its signature matches"
    if keys.revoked.intersection(prints):
        return Verdict.INVALID, None
    if not keys.trusted.intersection(prints):
        return Verdict.UNTRUSTED, None
    if keys.by_hash:
        return Verdict.UNCHECKED, "keys are revoked by hashes that the record does not have"
    return Verdict.VALID, None


def _verdict_faults(path: str, record: Record, verdict: Verdict, why: str | None) -> Iterator[Fault]:
    if verdict is Verdict.VALID:
        return
    if verdict is Verdict.UNCHECKED:
        yield not_checked(path, why or "no keys")
        return
    rule, sig = BY_VERDICT[verdict], _effective(record) or {}
    text, fold = sig.get("reason") or RULES[rule].title, "have no signature" if rule == "unsigned" else ""
    if verdict is Verdict.INVALID and Verdict(record["verdict"]) is not Verdict.INVALID:
        text = "its key is revoked"
    if rule == "other-key":
        said = f"{sig.get('signer') or 'no signer named'}, key {_named(sig) or 'unnamed'}"
        text, fold = f"the policy does not trust its key: {said}", f"are signed by {said}"
    yield Fault(rule, path, text, None, fold)


def _named(sig: Record) -> str:
    return str(sig.get("serial") or sig.get("key_id") or "")


def _signature_faults(path: str, record: Record, sig: Record | None, rule: ModuleRule) -> Iterator[Fault]:
    if sig is None:
        return
    layers = {each.get("layer"): each.get("format") or "unknown" for each in record["signatures"]}
    if len(layers) > 1:
        text = f"{len(layers)} signatures, from the outside in: {', '.join(layers.values())}"
        yield Fault("stacked", path, text, None, f"have {text}")
    for name, wanted, found in (
        ("other-format", rule.formats, sig.get("format")), ("other-hash", rule.hashes, sig.get("hash")),
    ):  # fmt: skip
        if name == "other-hash" and sig.get("envelope", "") is None:
            continue  # it could not be parsed, which is a fault already
        if wanted and found not in wanted:
            text = f"{found or 'unknown'}, not {' or '.join(sorted(wanted))}"
            yield Fault(name, path, text, None, f"have {text}")
    for remark in (*sig["warnings"], *record["warnings"]):
        if remark["code"] in COPIED:
            fold = f"use {shown_hash(sig.get('hash') or '')}" if remark["code"] == "weak-hash" else ""
            yield Fault(COPIED[remark["code"]], path, remark["text"], None, fold)


def _file_faults(path: str, record: Record, verdict: Verdict, rule: ModuleRule) -> Iterator[Fault]:
    if "unloadable" in record:
        for each in record["unloadable"]:
            if each["code"] == "malformed" and verdict is Verdict.MALFORMED:
                continue
            yield unloadable_fault(path, Remark(each["code"], each["text"], each["offset"]))
    else:
        open_ = [each for each in ("stripped", "compression") if each not in rule.ignore]
        if open_:
            yield not_checked(path, f"the record does not say: {', '.join(open_)}")
    name, expected = record.get("name"), module_name(path)
    own = expected if name is None or SUFFIX.search(path) is None else name.replace("-", "_")
    if verdict in SIGNED and own != expected:
        yield Fault("misnamed", path, f"the module is called {name}, but its file {expected}")
    if IMA in record.get("notes", {}) and "stale-ima" not in rule.ignore:
        yield not_checked(path, f"the record does not say whether {IMA} fits the content")
    if rule.kernel is not None:
        yield not_checked(path, "the record does not have the answer of the kernel that the policy requires")


def _signer(sig: Record) -> Signer:
    """What the record says of the key that made a valid signature; what the signature says of it counts as
    little as in :func:`elfsig.verbs.policy.judge.signer_of`."""
    key = sig["key"] or {}
    prints = (key.get(name) for name in ("fingerprint", "certificate_sha256", "certificate_sha1"))
    names = frozenset(name for name in (key.get("name"), key.get("subject")) if isinstance(name, str))
    algorithm, bits = key.get("algorithm") or sig.get("algorithm"), key.get("bits") or sig.get("key_bits")
    serial = key.get("serial")
    if serial is None and key.get("certificate_sha256") is None:
        serial = (sig.get("serial") or "").lstrip("0") or None
    return Signer(names, frozenset(each for each in prints if each), serial, algorithm, bits)


def _row(sig: Record | None, verdict: Verdict) -> SignerRow:
    if sig is None:
        return SignerRow("", "", "", "", verdict.value)
    size = sig.get("curve") or sig.get("key_bits")
    algorithm = f"{sig.get('algorithm') or '?'}{f'-{size}' if size else ''} {sig.get('hash') or '?'}"
    return SignerRow(sig.get("format") or "", sig.get("signer") or "", _named(sig), algorithm, verdict.value)


def _state(record: Record) -> FileState | None:
    sha256, size = record.get("sha256"), record.get("size")
    if sha256 is None or size is None:
        return None
    return FileState(size, sha256, record.get("content_sha256"), None, record.get("compression"))
