"""audit: what is wrong with the signatures of a tree of modules, by the rules of :mod:`audit_rules`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Any, NoReturn

from elfsig.crypto.hashes import shown_hash
from elfsig.crypto.remarks import weak_hash
from elfsig.elf.table import SHT_SYMTAB
from elfsig.errors import ElfsigError
from elfsig.kernels import unpacking
from elfsig.lazy_dataclass import dataclass
from elfsig.lazy_tuple import NamedTuple
from elfsig.model import FileReport, Loss, Remark, SignatureReport, Verdict
from elfsig.model.brief import brief
from elfsig.model.json_form import readable
from elfsig.opened.links import Links
from elfsig.opened.module import Module
from elfsig.opened.places import innermost
from elfsig.verbs.audit import ima_xattr
from elfsig.verbs.audit.folds import Folds
from elfsig.verbs.audit.rules import BY_VERDICT, RULES, Fault
from elfsig.verbs.policy.model import Exemption
from elfsig.verbs.survey.records import signatures_sha256
from elfsig.verbs.verify.examine import Question
from elfsig.verbs.verify.kernel import KernelQuestion, ask
from elfsig.verbs.verify.other_files import other_file

COPIED = {
    "weak-hash": "weak-hash",
    "small-key": "small-key",
    "no-kernel-accepts-it": "no-kernel-accepts-it",
    "no-kernel-reads-it": "no-kernel-accepts-it",
    "embedded-content": "no-kernel-accepts-it",
}
"""Rules that are remarks on a signature already, by the code of the remark."""


UNLOADABLE = frozenset({"malformed", "stripped", "compression"})
"""Rules about files that no kernel loads, by the codes of the remarks of :func:`unloadable`."""


WITHOUT_SIGNATURE = frozenset({Verdict.UNSIGNED, Verdict.MALFORMED, None})
"""Verdicts on files that have no signature that could be read."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What a file has to be. Empty ``hashes`` and ``formats`` leave both free; rules in ``ignored`` do not
    count. Each of ``kernels`` has to load it. ``states``: also give the hashes of each file."""

    question: Question
    hashes: frozenset[str] = frozenset()
    formats: frozenset[str] = frozenset()
    kernels: tuple[KernelQuestion, ...] = ()
    ignored: frozenset[str] = frozenset()
    states: bool = False


class SignerRow(NamedTuple):
    """The key by which the table of signers counts. Empty where nothing is known."""

    format: str
    signer: str
    key_id: str
    algorithm: str
    verdict: str

    def to_json(self) -> dict[str, Any]:
        """The same as plain JSON values; what is empty is null."""
        return {name: value or None for name, value in self._asdict().items()}


class FileState(NamedTuple):
    """Size in bytes and SHA-256 in hex of a file as stored; SHA-256 of its content without signatures (None
    where that is uncertain), of the content with them, where the file is compressed: ``compression``, and of
    all signatures. ``name`` and ``vermagic`` are the module's own words."""

    size: int
    sha256: str
    content_sha256: str | None
    unpacked_sha256: str | None
    compression: str | None
    signatures_sha256: str | None = None
    name: str | None = None
    vermagic: str | None = None


class Excused(NamedTuple):
    """A fault that an exception of a policy excuses.

    ``number`` is that of the exception, from 0; ``reason`` and ``expires`` (ISO 8601) are its own.
    """

    rule: str
    number: int
    reason: str
    expires: str


class Audited(NamedTuple):
    """The result for one file; cheap to pass between processes.

    ``host`` and ``release`` are those of its faults; ``excused`` are faults that do not count. ``losses``:
    what could not be read of key sources that were read for it, where no result before it says so.
    """

    path: str
    verdict: Verdict | None
    signer: SignerRow
    faults: tuple[Fault, ...]
    state: FileState | None = None
    host: str | None = None
    release: str | None = None
    excused: tuple[Excused, ...] = ()
    losses: tuple[Loss, ...] = ()

    def at(self, host: str | None, release: str | None) -> Audited:
        """The same of this host and release."""
        if host is None and release is None:
            return self
        faults = tuple(each._replace(host=host, release=release) for each in self.faults)
        return self._replace(faults=faults, host=host, release=release)


def audit(module: Module | None, report: FileReport, gate: Gate) -> Audited:
    """Check one file's report against the gate. Never raises because of the file's content.

    ``module`` is None for a file that could not be read. That, and what is not a module, is the fault
    ``unreadable``.
    """
    if module is None or report.error is not None:
        return unreadable(report.path, report.error or Remark("unreadable", "could not be read"))
    found = [
        *_verdict_faults(report),
        *_signature_faults(report, gate),
        *_revoked_signers(report),
        *_file_faults(module, report, gate),
        *_kernel_faults(module, gate),
    ]
    kept = dict.fromkeys(fault for fault in found if fault.rule not in gate.ignored)
    state = _state(module, report) if gate.states else None
    return Audited(report.path, report.verdict, _signer(report), tuple(kept), state)


def _state(module: Module, report: FileReport) -> FileState:
    unpacked = None if module.compression is None else sha256(module.content).hexdigest()
    own = None if module.name is None else readable(module.name)
    vermagic = None if module.vermagic is None else readable(module.vermagic)
    return FileState(
        module.size, module.sha256, module.bare_sha256, unpacked, module.compression,
        signatures_sha256(each.place for each in report.signatures), own, vermagic,
    )  # fmt: skip


def unreadable(path: str, fault: Remark) -> Audited:
    """The result for a file that could not be read."""
    row = SignerRow("", "", "", "", "unreadable")
    return Audited(path, None, row, (Fault("unreadable", path, fault.text, fault.offset),))


def incomplete(path: str, kind: str, text: str, offset: int | None) -> Audited:
    """The result for a container of a kind that was not read to its end; ``file`` is one of no known kind."""
    row = SignerRow("", "", "", "", "unreadable")
    rule = "unreadable" if kind == "file" else "incomplete"
    return Audited(path, None, row, (Fault(rule, path, text, offset),))


def link_faults(links: Links) -> list[Fault]:
    """Symbolic links with the name of one module that lead to another, which is examined under its own."""
    text = "this is a symbolic link to {}, which is another module by its name"
    return [Fault("misnamed", each.path, text.format(each.target)) for each in links.renamed.first]


# --------------------------------------------------------------------------- the rules


def _verdict_faults(report: FileReport) -> Iterator[Fault]:
    if report.verdict is None or report.verdict is Verdict.VALID:
        return
    rule = BY_VERDICT[report.verdict]
    sig = report.effective
    text, offset = RULES[rule].title, None
    fold = "have no signature" if rule == "unsigned" else ""
    if sig is not None:
        text = sig.reason or text
        offset = sig.place.start if sig.place.where == "content" else None
        if rule == "other-key":
            text = f"{text}: {_claims(sig)}"
            fold = f"are signed by {_claims(sig)}"
    elif report.warnings and rule == "malformed":
        text = report.warnings[0].text
    yield Fault(rule, report.path, text, offset, fold)


def _claims(sig: SignatureReport) -> str:
    """What a signature says about its signer."""
    signature = sig.claims
    if signature is None:
        return "no signer named"
    key = signature.serial or signature.key_id
    return f"{signature.signer or 'no signer named'}, key {key.hex() if key else 'unnamed'}"


def _signature_faults(report: FileReport, gate: Gate) -> Iterator[Fault]:
    sig = report.effective
    if sig is None:
        return
    path, at = report.path, sig.place.start
    layers = {each.layer: each for each in report.signatures}
    if len(layers) > 1:
        names = ", ".join(each.format or "unknown" for each in layers.values())
        text = f"{len(layers)} signatures, from the outside in: {names}"
        yield Fault("stacked", path, text, at, f"have {text}")
    if gate.formats and sig.format not in gate.formats:
        wanted = " or ".join(sorted(gate.formats))
        text = f"{sig.format or 'unknown'}, not {wanted}"
        yield Fault("other-format", path, text, at, f"have {text}")
    signature = sig.claims
    if signature is not None and gate.hashes and signature.hash not in gate.hashes:
        said = signature.hash or signature.hash_text or "unknown"
        text = f"{said}, not {' or '.join(sorted(gate.hashes))}"
        yield Fault("other-hash", path, text, at, f"use {text}")
    name = signature.hash if signature is not None else None
    own = {remark: f"use {shown_hash(name or '')}" for remark in weak_hash(name)}
    for remark in sig.warnings:
        if remark.code in COPIED:
            yield Fault(COPIED[remark.code], path, remark.text, at, own.get(remark, ""))


def _revoked_signers(report: FileReport) -> Iterator[Fault]:
    """Signers with a revoked key beside the one that makes the file valid."""
    sig = report.effective
    if sig is None or report.verdict is not Verdict.VALID:
        return
    for each in report.signatures:
        if each.blob == sig.blob and each.cause is not None and each.cause.code == "revoked":
            text = f"another signer, {_claims(each)}: {each.reason}"
            yield Fault(
                "revoked-signer", report.path, text, each.place.start, f"are also signed by {_claims(each)}"
            )


def _file_faults(module: Module, report: FileReport, gate: Gate) -> Iterator[Fault]:
    path = module.path
    for remark in unloadable(module):
        if remark.code != "malformed" or report.verdict is not Verdict.MALFORMED:
            yield unloadable_fault(path, remark)
    yield from (Fault(each.code, path, each.text) for each in report.warnings if each.code == "misnamed")
    value = ima_xattr.value_of(module.location) if module.stat is not None else None
    if value is not None and (why := ima_xattr.stale(value, module, gate.question.keys)):
        yield Fault("stale-ima", path, f"{ima_xattr.NAME}: {why}")


def unloadable(module: Module) -> Iterator[Remark]:
    """Why no kernel loads the file, whatever its signature: by the codes of :data:`UNLOADABLE`."""
    image = module.image
    table, damage = image.elf, image.elf_fault
    if damage is not None:
        yield Remark("malformed", f"damaged ELF file: {damage.text}", damage.offset)
    elif (what := other_file(innermost(image, module.places) or image)) is not None:
        yield Remark("malformed", f"not a module: {what}", 0)
    elif table is not None and not any(row.type == SHT_SYMTAB for row in table.rows):
        yield Remark("stripped", "no symbol table")
    if (remark := unpacking.fault(module.raw, module.compression)) is not None:
        yield Remark("compression", remark.text)


def unloadable_fault(path: str, remark: Remark) -> Fault:
    """The fault for a remark of :func:`unloadable`."""
    fold = "have no symbol table" if remark.code == "stripped" else ""
    return Fault(remark.code, path, remark.text, fold=fold)


def _kernel_faults(module: Module, gate: Gate) -> Iterator[Fault]:
    for question in gate.kernels:
        try:
            asked = ask(module, question)
        except ElfsigError as reason:
            yield Fault("kernel", module.path, reason.text)
            continue
        for each in asked.predictions:
            if not each.accepted:
                yield Fault("kernel", module.path, f"{each.id}: {each.errno or 'panic'}: {each.reason}")


def _signer(report: FileReport) -> SignerRow:
    sig = report.effective
    word = report.verdict.value if report.verdict is not None else ""
    if sig is None or sig.claims is None:
        return SignerRow(sig.format or "" if sig is not None else "", "", "", "", word)
    signature, key = sig.claims, sig.key
    named = signature.serial or signature.key_id or b""
    bits = (key.bits if key else None) or signature.key_bits
    curve = (key.curve if key else None) or signature.curve
    size = f"-{curve or bits}" if curve or bits else ""
    algorithm = f"{signature.algorithm or signature.algorithm_text or '?'}{size} {signature.hash or '?'}"
    signer = signature.signer or (key.label if key else "")
    return SignerRow(sig.format or "", signer, named.hex(), algorithm, word)


# --------------------------------------------------------------------------- the tree


@dataclass(frozen=True, slots=True)
class AuditResult:
    """The result of an audit.

    ``files`` is how many were examined, ``signers`` counts them by signer, ``faults`` are in the order of the
    rules. ``excused`` counts the faults that exceptions of a policy excuse; ``unused`` are the exceptions
    that hold and excuse nothing. ``losses`` are the entries of key sources that could not be read: what they
    made is another's.
    """

    files: int
    faults: tuple[Fault, ...]
    signers: tuple[tuple[SignerRow, int], ...]
    excused: int = 0
    unused: tuple[Exemption, ...] = ()
    losses: tuple[Loss, ...] = ()

    def __repr__(self) -> str:
        return brief(self)

    def __bool__(self) -> NoReturn:
        raise TypeError("an audit has no truth value: look at its attribute passed")

    @property
    def passed(self) -> bool:
        """Whether no rule was broken."""
        return not self.faults

    def to_json(self) -> dict[str, Any]:
        """The member ``audit`` of the document, as ``elfsig audit --json`` writes it."""
        return {
            "passed": self.passed,
            "files": self.files,
            "faults": [each.to_json() for each in self.faults],
            "rules": Folds(self.faults).to_json(),
            "signers": [{**row.to_json(), "files": count} for row, count in self.signers],
        }

    def by_rule(self) -> dict[str, list[Fault]]:
        """The faults of each rule that was broken."""
        grouped: dict[str, list[Fault]] = {}
        for fault in self.faults:
            grouped.setdefault(fault.rule, []).append(fault)
        return grouped


def outcome(results: Sequence[Audited], more: Iterable[Fault] = ()) -> AuditResult:
    """The summary of all files, with the faults that do not belong to a single file."""
    order = list(RULES)
    faults = [fault for each in results for fault in each.faults]
    signed = sum(each.verdict not in WITHOUT_SIGNATURE for each in results)
    every = [*(in_company(fault, signed) for fault in faults), *more]
    counts = Counter(each.signer for each in results)
    return AuditResult(
        len(results),
        tuple(sorted(every, key=lambda fault: order.index(fault.rule))),
        tuple(sorted(counts.items(), key=lambda row: (-row[1], row[0]))),
    )


def in_company(fault: Fault, signed: int) -> Fault:
    """An unsigned module among signed ones has most likely lost its signature: say so."""
    if fault.rule != "unsigned" or not signed:
        return fault
    others = "1 other here has" if signed == 1 else f"{signed} others here have"
    text = f"{fault.text}, and {others} one: left out, or lost (strip drops it silently)"
    return fault._replace(text=text)
