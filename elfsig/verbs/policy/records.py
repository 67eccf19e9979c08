"""A policy applied to a record of a survey: what the record establishes, and what it leaves open.

A record says which key a signature matches, by its fingerprint; whether the policy trusts that key is decided
here. What a record does not say, such as a kernel's answer, is a fault (not-checked), never a pass.
"""

from __future__ import annotations

from collections.abc import Iterator

from elfsig.crypto.hashes import shown_hash
from elfsig.kernels.names import SUFFIX, module_name
from elfsig.model import Remark, Verdict
from elfsig.verbs.audit.audit import COPIED, Audited, FileState, SignerRow, unloadable_fault, unreadable
from elfsig.verbs.audit.rules import BY_VERDICT, RULES, Fault
from elfsig.verbs.policy.judge import Signer, demand_faults, not_checked
from elfsig.verbs.policy.model import ModuleRule
from elfsig.verbs.policy.verdict import REVOKED, Decided, KnownKeys, Record, decided
from elfsig.verbs.verify.misnamed import SIGNED

IMA = "security.ima"


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
    which = decided(record, keys)
    sig, verdict = which.sig, which.verdict
    signer = _signer(sig) if verdict is Verdict.VALID and sig is not None else None
    found = [
        *_verdict_faults(path, which),
        *_signature_faults(path, record, sig, rule),
        *_other_signers(path, which),
        *demand_faults(path, rule, signer, verdict),
        *_file_faults(path, record, verdict, rule),
    ]
    kept = dict.fromkeys(each for each in found if each.rule not in ignored)
    return Audited(path, verdict, _row(sig, verdict), tuple(kept), _state(record))


def _verdict_faults(path: str, which: Decided) -> Iterator[Fault]:
    if which.verdict is Verdict.VALID:
        return
    if which.verdict is Verdict.UNCHECKED:
        yield not_checked(path, which.why or "no keys")
        return
    rule, sig = BY_VERDICT[which.verdict], which.sig or {}
    text, fold = sig.get("reason") or RULES[rule].title, "have no signature" if rule == "unsigned" else ""
    if rule == "other-key":
        text, fold = f"{which.why}: {_claims(sig)}", f"are signed by {_claims(sig)}"
    yield Fault(rule, path, text, None, fold)


def _other_signers(path: str, which: Decided) -> Iterator[Fault]:
    """Signers with a revoked key beside the one that makes the file valid, and those of whom that is open."""
    for each in which.revoked:
        text, fold = f"another signer, {_claims(each)}: {REVOKED}", f"are also signed by {_claims(each)}"
        yield Fault("revoked-signer", path, text, None, fold)
    for each in which.open_:
        yield not_checked(path, f"whether the policy revokes the key of another signer, {_claims(each)}")


def _claims(sig: Record) -> str:
    return f"{sig.get('signer') or 'no signer named'}, key {_named(sig) or 'unnamed'}"


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
