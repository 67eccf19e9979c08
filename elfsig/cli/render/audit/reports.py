"""``audit`` for machines: JSON, and JUnit XML and SARIF for CI systems."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from elfsig.cli.render import sarif as sarif_parts
from elfsig.cli.render.links_object import links_object
from elfsig.cli.settings import visible
from elfsig.model.json_form import SCHEMA_VERSION, Json, dumps, path_members, readable
from elfsig.opened.links import Links
from elfsig.verbs.audit.audit import Audited
from elfsig.verbs.audit.ledger import Ledger
from elfsig.verbs.audit.rules import RULES, Fault
from elfsig.verbs.policy.model import Policy

# --------------------------------------------------------------------------- JSON


def file_objects(ledger: Ledger, origin: Json) -> Iterator[Json]:
    """What is said of each file, missing files last: the lines of ``--jsonl``, and ``files``. ``origin`` are
    the members ``host`` and ``run``."""
    for each in ledger.audited():
        state = each.state
        yield {
            **path_members(each.path),
            **origin,
            **({} if each.host is None else {"host": readable(each.host)}),
            "release": None if each.release is None else readable(each.release),
            "size": state.size if state is not None else None,
            "sha256": state.sha256 if state is not None else None,
            "content_sha256": state.content_sha256 if state is not None else None,
            "compression": state.compression if state is not None else None,
            "vendor": ledger.vendor_of(each) if state is not None else None,
            "signer": each.signer.to_json() if each.verdict is not None else None,
            "faults": [fault.to_json() for fault in each.faults],
            "excused": [
                {"rule": by.rule, "reason": readable(by.reason), "expires": by.expires} for by in each.excused
            ],
        }


def document(
    ledger: Ledger, links: Links, run: Json, origin: Json, more: Json | None = None
) -> Iterator[str]:
    """The document of ``--json``, in pieces: it may be larger than the memory that an audit takes.

    ``more`` are further members: ``policy``, of an audit by a policy, and ``losses``.
    """
    yield '{"audit": {"faults": ['
    yield from _listed(fault.to_json() for fault in ledger.faults())
    signers = [{**row.to_json(), "files": count} for row, count in ledger.sorted_signers()]
    rest = {
        "files": ledger.files,
        "passed": ledger.passed,
        "rules": ledger.folds.to_json(),
        "signers": signers,
    }
    yield f'\n], {dumps(rest)[1:]}, "files": ['
    yield from _listed({**each, "schema_version": SCHEMA_VERSION} for each in file_objects(ledger, origin))
    end = {"links": links_object(links), "run": run, "schema_version": SCHEMA_VERSION, **(more or {})}
    yield f"\n], {dumps(end)[1:]}\n"


def policy_object(policy: Policy, digest: str | None, used: Mapping[int, int], today: date) -> Json:
    """The member ``policy``: which it was, and what its exceptions excused. ``used`` is by their numbers."""
    return {
        **path_members(policy.source),
        "sha256": digest,
        "rules": len(policy.rules),
        "exceptions": [
            {
                "line": each.line,
                "modules": readable(each.text),
                "rules": sorted(each.rules),
                "reason": readable(each.reason),
                "expires": each.expires.isoformat(),
                "expired": each.expires < today,
                "excused": used.get(number, 0),
            }
            for number, each in enumerate(policy.exceptions)
        ],
    }


def _listed(objects: Iterator[Json]) -> Iterator[str]:
    separator = "\n"
    for each in objects:
        yield separator + dumps(each)
        separator = ",\n"


# --------------------------------------------------------------------------- JUnit XML


def junit(ledger: Ledger) -> bytes:
    """One test case per module, named by its path; its faults are the failure. Names are escaped, since XML
    1.0 cannot represent all of them."""
    cases, failed, total = bytearray(), 0, 0
    for each in ledger.audited():
        total, failed = total + 1, failed + bool(each.faults)
        cases += _case(each).encode("utf-8")
    counts = f'tests="{total}" failures="{failed}" errors="0" skipped="0"'
    start = (
        f'<?xml version="1.0" encoding="utf-8"?>\n<testsuites {counts}>\n'
        f'  <testsuite name="elfsig audit" {counts}>\n'
    )
    return b"%b%b  </testsuite>\n</testsuites>\n" % (start.encode("utf-8"), bytes(cases))


def _case(each: Audited) -> str:
    folder, name = os.path.split(visible(each.path))
    start = f"    <testcase classname={quoteattr(folder.replace('/', '.') or '.')} name={quoteattr(name)}"
    if not each.faults:
        return f"{start} />\n"
    first = each.faults[0]
    kind, message = quoteattr(first.rule), quoteattr(visible(first.text))
    body = "\n".join(f"{f.rule}: {visible(f.text)}\n{RULES[f.rule].help}" for f in each.faults)
    return (
        f"{start}>\n      <failure type={kind} message={message}>{escape(body)}</failure>\n    </testcase>\n"
    )


# --------------------------------------------------------------------------- SARIF


def sarif(ledger: Ledger) -> Json:
    """A log in SARIF 2.1.0 (OASIS) with one run: the violated rules, and a result for each fault."""
    used = [each.rule for each in ledger.folds.rules]
    results = [_sarif_result(fault, used.index(fault.rule)) for fault in ledger.faults()]
    return sarif_parts.log([RULES[name] for name in used], results)


def _sarif_result(fault: Fault, index: int) -> Json:
    location: dict[str, Any] = {"artifactLocation": {"uri": sarif_parts.uri(fault.path)}}
    if fault.offset is not None:
        location["region"] = {"byteOffset": fault.offset}
    return {
        "ruleId": fault.rule,
        "ruleIndex": index,
        "level": "error",
        "message": {"text": readable(fault.text)},
        "locations": [{"physicalLocation": location}],
    }
