"""Results that are bad for what is made of them: many records, faults, copies and trees, in every output."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import elfsig
from elfsig.batch.policy.baseline import expected_modules
from elfsig.batch.policy.records import RecordFile
from elfsig.batch.survey.tables import read_rows, table_writer
from elfsig.cli.render import list_ as render_list
from elfsig.cli.render import sections as render_sections
from elfsig.cli.render import show as render_show
from elfsig.cli.render import verify as render_verify
from elfsig.cli.render.audit import reports as audit_reports
from elfsig.cli.render.audit import text as audit_text
from elfsig.cli.render.coverage import page as coverage_page
from elfsig.cli.render.coverage import svg as coverage_svg
from elfsig.cli.render.coverage import text as coverage_text
from elfsig.cli.render.safe_html import rewritten
from elfsig.cli.render.survey.page import Page
from elfsig.cli.render.survey.sarif import Log
from elfsig.cli.render.survey.text import Tally, several, summary
from elfsig.model import Verdict
from elfsig.opened.links import Links
from elfsig.opened.module import open_module
from elfsig.verbs.audit.audit import Audited, SignerRow
from elfsig.verbs.audit.ledger import Ledger
from elfsig.verbs.audit.rules import Fault
from elfsig.verbs.inspect.cover import covers
from elfsig.verbs.inspect.sections import reaches
from elfsig.verbs.survey.columns import row_of
from elfsig.verbs.survey.copies import Copies
from elfsig.verbs.vendor.relation import closest, known
from elfsig.verbs.verify.examine import Question
from tests.linear import modules
from tests.linear.measure import Call, Shape
from tests.support import survey_records
from tests.support.cms import cms, integer, signer_info, tlv
from tests.support.modules import with_trailer

Json = dict[str, Any]
BY_COUNT = (64, 1 << 14)

# --------------------------------------------------------------------------- records of a survey


@cache
def _object(word: str) -> Json:
    return survey_records.report_objects()[word]


def records(one: Callable[[int], Json]) -> Callable[[int], list[Json]]:
    return lambda count: [one(nr) for nr in range(count)]


def _module(word: str, path: str, **changes: Any) -> Json:
    return survey_records.module(_object(word), path, **changes)


def _signer(nr: int) -> Json:
    """A module of a signer of its own."""
    base = json.loads(json.dumps(_object("valid")))
    base["signatures"][0]["signer"] = f"signer {nr}"
    return survey_records.module(base, f"/d/{nr}.ko")


RECORDS = {
    "modules": records(lambda nr: _module("valid", f"/d/{nr}.ko")),
    "modules of one name": records(lambda nr: _module("invalid", f"/d/{nr}/a.ko", sha256=f"{nr:064x}")),
    "copies": records(lambda nr: _module("valid", f"/d{nr}.tar!/a.ko")),
    "signers": records(_signer),
    "releases": records(lambda nr: _module("unsigned", f"/d/{nr}.ko", release=f"6.1.{nr}")),
    "containers": records(
        lambda nr: survey_records.container(
            f"/{nr}.tar", error={"code": "damaged", "text": "x", "offset": nr}
        )
    ),
    "deep paths": records(lambda nr: _module("valid", "!/".join(["/d", *["a.tar"] * 12, f"{nr}.ko"]))),
}


def rendered(found: Sequence[Json]) -> None:
    """The outputs of survey."""
    tally, copies, page, log = Tally(), Copies(), Page(), Log()
    for each in found:
        tally.add(each)
        if each["record"] == "module":
            copies.add(each)
            row_of(each)
        page.add(each)
        log.add(each)
    list(summary(tally))
    list(several(list(copies.several()), copies.left_out))
    json.dumps(log.log())
    page.text({})


def by_vendor(found: Sequence[Json]) -> None:
    """Each of a few modules, compared with all as a vendor's."""
    every = [known(each) for each in found if each["record"] == "module"]
    there = [each for each in every if each is not None]
    for each in there[:3]:
        closest(each, there)


def as_lines(found: Sequence[Json]) -> None:
    """Records and a baseline in JSON lines."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.writelines(json.dumps(each) + "\n" for each in found)
        file.flush()
        for _ in RecordFile(file.name):
            pass
        expected_modules(file.name)


def as_table(found: Sequence[Json]) -> None:
    """Records and a baseline in Parquet."""
    with tempfile.TemporaryDirectory() as folder, suppress(elfsig.UsageError):
        path = f"{folder}/records.parquet"
        with table_writer(path) as add:
            for each in found:
                add(each)
        for _ in read_rows(path):
            pass
        expected_modules(path)


SURVEY_CALLS: Mapping[str, Call] = {
    "outputs": rendered,
    "vendor": by_vendor,
    "JSON lines": as_lines,
    "Parquet": as_table,
}

# --------------------------------------------------------------------------- results of an audit


def audits(one: Callable[[int], Audited]) -> Callable[[int], list[Audited]]:
    return lambda count: [one(nr) for nr in range(count)]


ROW = SignerRow("pkcs7", "signer", "00", "rsa", "valid")


def faulty(nr: int, rule: str = "unsigned", text: str = "no signature", row: SignerRow = ROW) -> Audited:
    path = f"/lib/modules/6.1/{nr}.ko"
    return Audited(path, Verdict.INVALID, row, (Fault(rule, path, text, None),))


AUDITS = {
    "one fault": audits(faulty),
    "different faults": audits(lambda nr: faulty(nr, "invalid", f"at {nr}")),
    "signers": audits(lambda nr: faulty(nr, row=ROW._replace(signer=f"signer {nr}"))),
    "faults of one file": lambda count: [
        Audited("a.ko", None, ROW, tuple(Fault("stripped", "a.ko", str(nr), nr) for nr in range(count)))
    ],
    "hosts": audits(lambda nr: faulty(nr).at(f"host{nr}", "6.1")),
    "without faults": audits(lambda nr: Audited(f"{nr}.ko", Verdict.VALID, ROW, ())),
}


def audited(found: Sequence[Audited]) -> None:
    """The outputs of audit."""
    ledger = Ledger()
    for each in found:
        ledger.add(each)
    list(audit_text.lines(ledger, False))
    list(audit_text.lines(ledger, False, True))
    audit_reports.junit(ledger)
    json.dumps(audit_reports.sarif(ledger))
    origin = {"host": None, "run": "0"}
    for _ in audit_reports.document(ledger, Links(True), {}, origin, None):
        pass
    ledger.close()


# --------------------------------------------------------------------------- one module, shown


def signed(data: bytes) -> bytes:
    """With a signature at the end, as what is shown is about one."""
    return with_trailer(data, _one())


def shown(data: bytes) -> None:
    """The outputs of verify, list and show."""
    module = open_module(signed(data))
    report = elfsig.verify(module, modules.ring())
    list(render_verify.lines(report))
    render_list.one_file(report, {})
    list(render_list.tree_lines(report, {}))
    render_show.text(report, {}, module)
    json.dumps(report.to_json())


def sectioned(data: bytes) -> None:
    """The table of sections."""
    module = open_module(signed(data))
    found = reaches(module)
    render_sections.text(module.image, found)


def mapped(data: bytes) -> None:
    """The outputs of coverage."""
    module = open_module(signed(data))
    found = list(covers(module, Question(modules.ring()), None, None))
    for each in found:
        list(coverage_text.text(each, None, False))
        json.dumps(coverage_text.map_object(each, None))
        rewritten(coverage_page.signature_map(each, None))
    coverage_page.page(module, found, [None] * len(found))
    coverage_svg.document(module, found)


SHOWN_CALLS: Mapping[str, Call] = {"verdict": shown, "sections": sectioned, "coverage": mapped}
SHOWN = (
    "stacked trailers", "sections of one byte", "sections with a symbol each",
    "sections that share a long name",
    "symbols", "relocations", "certificates that are different", "signers", "attributes", "parts of a name",
    "fields of .modinfo", "sections of one signature (.module_sig)", "notes",
)  # fmt: skip

# --------------------------------------------------------------------------- trees of like modules


def _tree(blob: Callable[[int], bytes]) -> Callable[[int], list[bytes]]:
    return lambda count: [with_trailer(modules.base() + b"%08d" % nr, blob(nr)) for nr in range(count)]


def _numbered(nr: int) -> bytes:
    """The same signer for each, with a serial number of its own."""
    name = tlv(0x30, tlv(0x30), integer(nr + (1 << 40)))
    return cms(signer_info(modules.WHO, b"x", sid=name))


@cache
def _one() -> bytes:
    return cms(signer_info(modules.WHO, b"x"))


TREES = {
    "modules signed alike": _tree(lambda nr: _one()),
    "modules of a signer each": _tree(_numbered),
    "modules that are the same": lambda count: [with_trailer(modules.base(), _one())] * count,
    "unsigned modules": lambda count: [modules.base() + b"%d" % nr for nr in range(count)],
}


def on_disk(run: Callable[[str], object]) -> Call:
    """Run it over a folder with these files."""

    def call(contents: Sequence[bytes]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for nr, content in enumerate(contents):
                Path(folder, f"{nr}.ko").write_bytes(content)
            for _ in run(folder):  # type: ignore[attr-defined]
                pass

    return call


TREE_CALLS: Mapping[str, Call] = {
    "verify": on_disk(lambda folder: elfsig.verify_tree([folder], modules.ring(), jobs=1)),
    "audit": on_disk(lambda folder: elfsig.audit(folder, modules.ring(), jobs=1).faults),
    "survey": on_disk(lambda folder: elfsig.survey(folder, modules.ring())),
}

SURVEYS = tuple(Shape(name, make, *BY_COUNT) for name, make in RECORDS.items())
LEDGERS = tuple(Shape(name, make, *BY_COUNT) for name, make in AUDITS.items())
PAGES = tuple(
    each._replace(start=1 << 12, most=1 << 15)
    for each in (*modules.ELF_SHAPES, *modules.MESSAGE_SHAPES)
    if each.name in SHOWN
)
FOLDERS = tuple(Shape(name, make, 16, 512) for name, make in TREES.items())
