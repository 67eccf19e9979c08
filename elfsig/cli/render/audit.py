"""The output of ``audit``: text grouped by rule, JSON, and JUnit XML and SARIF for CI systems."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, Final
from urllib.parse import quote

from elfsig._version import __version__
from elfsig.cli.render.table import aligned
from elfsig.cli.render.words import plural
from elfsig.cli.settings import visible
from elfsig.kernels.names import module_name
from elfsig.model.json_form import Json, path_members, readable
from elfsig.verbs.audit.audit import Audited, AuditResult
from elfsig.verbs.audit.rules import RULES, Fault

HEADINGS: Final = ("Modules", "Verdict", "Format", "Algorithm", "Key", "Signer")
SARIF_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"


def lines(outcome: AuditResult, color: bool) -> Iterator[str]:
    """The violated rules with their files, the table of signers, and the result."""
    for rule, faults in outcome.by_rule().items():
        concerned = len({each.path for each in faults})
        head = f"{rule}: {plural(concerned, 'module')}, {RULES[rule].title}"
        yield f"\x1b[1;31m{head}\x1b[0m" if color else head
        yield from (f"  {visible(each.path)}: {visible(each.text)}" for each in faults)
        yield f"  -> {RULES[rule].help}"
        yield ""
    yield signers(outcome)
    yield ""
    yield verdict(outcome)


def signers(outcome: AuditResult) -> str:
    """The table by signer, the most frequent first."""
    rows = [
        (str(count), row.verdict, row.format or "-", row.algorithm or "-", row.key_id or "-",
         visible(row.signer) or "-")
        for row, count in outcome.signers
    ]  # fmt: skip
    return aligned([HEADINGS, *rows])


def verdict(outcome: AuditResult) -> str:
    if outcome.passed:
        return f"passed: {plural(outcome.files, 'module')}"
    missing = {fault.path for fault in outcome.faults if fault.rule == "missing"}
    concerned = len({fault.path for fault in outcome.faults} - missing)
    rest = "; expected modules are missing" if missing else ""
    faults, modules = plural(len(outcome.faults), "fault"), plural(outcome.files, "module")
    return f"FAILED: {faults} in {concerned} of {modules}{rest}"


def would_be_refused(outcome: AuditResult, in_use: int) -> str:
    """How many modules in use would be refused if signatures were enforced. Modules without a readable file
    are counted separately."""
    named = {rule: {module_name(f.path) for f in faults} for rule, faults in outcome.by_rule().items()}
    refused = set().union(
        *(names for rule, names in named.items() if RULES[rule].refused or rule == "kernel")
    )
    open_ = (named.get("missing", set()) | named.get("unreadable", set())) - refused
    rest = f"; unknown for {len(open_)}, whose files are missing or unreadable" if open_ else ""
    return f"{len(refused)} of {in_use} modules in use would be refused if signatures were enforced{rest}"


# --------------------------------------------------------------------------- JSON


def file_objects(outcome: AuditResult, results: Sequence[Audited]) -> Iterator[Json]:
    """The faults of each file, missing files last: the lines of ``--jsonl``."""
    faults: dict[str, list[Fault]] = {each.path: [] for each in results}
    for fault in outcome.faults:
        faults.setdefault(fault.path, []).append(fault)
    signers = {each.path: each.signer for each in results if each.verdict is not None}
    for path, found in faults.items():
        signer = signers[path].to_json() if path in signers else None
        yield {**path_members(path), "signer": signer, "faults": [each.to_json() for each in found]}


# --------------------------------------------------------------------------- JUnit XML


def junit(outcome: AuditResult, results: Sequence[Audited]) -> bytes:
    """One test case per module, named by its path; its faults are the failure. Names are escaped, since XML
    1.0 cannot represent all of them."""
    from xml.etree.ElementTree import Element, SubElement, indent, tostring

    by_path: dict[str, list[Fault]] = {each.path: [] for each in results}
    for fault in outcome.faults:
        by_path.setdefault(fault.path, []).append(fault)
    failed = sum(map(bool, by_path.values()))
    counts = {"tests": str(len(by_path)), "failures": str(failed), "errors": "0", "skipped": "0"}
    suites = Element("testsuites", counts)
    suite = SubElement(suites, "testsuite", {"name": "elfsig audit", **counts})
    for path, faults in by_path.items():
        folder, name = os.path.split(visible(path))
        case = SubElement(suite, "testcase", {"classname": folder.replace("/", ".") or ".", "name": name})
        if faults:
            attributes = {"type": faults[0].rule, "message": visible(faults[0].text)}
            failure = SubElement(case, "failure", attributes)
            failure.text = "\n".join(f"{f.rule}: {visible(f.text)}\n{RULES[f.rule].help}" for f in faults)
    indent(suites)
    body: bytes = tostring(suites, encoding="utf-8")
    return b'<?xml version="1.0" encoding="utf-8"?>\n' + body + b"\n"


# --------------------------------------------------------------------------- SARIF


def sarif(outcome: AuditResult) -> Json:
    """A log in SARIF 2.1.0 (OASIS) with one run: the violated rules, and a result for each fault."""
    used = list(outcome.by_rule())
    driver = {
        "name": "elfsig",
        "version": __version__,
        "semanticVersion": __version__,
        "rules": [_sarif_rule(name) for name in used],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "utf16CodeUnits",
        "results": [_sarif_result(fault, used.index(fault.rule)) for fault in outcome.faults],
    }
    return {"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}


def _sarif_rule(name: str) -> Json:
    rule = RULES[name]
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.help},
        "help": {"text": rule.help},
        "defaultConfiguration": {"level": "error"},
    }


def _sarif_result(fault: Fault, index: int) -> Json:
    location: dict[str, Any] = {"artifactLocation": {"uri": _uri(fault.path)}}
    if fault.offset is not None:
        location["region"] = {"byteOffset": fault.offset}
    return {
        "ruleId": fault.rule,
        "ruleIndex": index,
        "level": "error",
        "message": {"text": readable(fault.text)},
        "locations": [{"physicalLocation": location}],
    }


def _uri(path: str) -> str:
    """A relative reference for a relative path, else a file URI (RFC 8089); percent-encoded."""
    return ("file://" if path.startswith("/") else "") + quote(os.fsencode(path))
