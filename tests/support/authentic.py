"""Checks on modules that somebody really shipped: what can be established of each, with and without its key.

Without any key the packet itself tells whether the bytes that elfsig hashes are those that were signed: it
holds the first 16 bits of the digest, which a wrong stream meets once in 65536 times.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from elfsig import registry
from elfsig.elf.image import Image
from elfsig.errors import ElfsigError
from elfsig.model import FileReport, SectionInfo, SignatureReport, Verdict
from elfsig.opened import evidence
from elfsig.opened.walk import walk
from elfsig.trust.entries import Material
from elfsig.trust.keyring import load
from elfsig.trust.ring import Ring
from elfsig.verbs.edit.strip import strip
from elfsig.verbs.inspect.digest import coverages
from elfsig.verbs.verify.examine import Question, examine
from tests.support.opened import opened

DIRECTORY, KEYS = "ELFSIG_AUTHENTIC", "ELFSIG_AUTHENTIC_KEYS"
REGISTRY = registry.load(plugins=False)
SECTION_ERAS = ("gkh", "redhat", "note")
FITS = re.compile(r"16 bits of the hash match ([\w-]+)")


class Checked(NamedTuple):
    """One file: its path, the facts worth counting, and what was wrong."""

    path: str
    facts: tuple[str, ...]
    problems: tuple[str, ...]


def asked() -> tuple[list[str], Ring] | None:
    """The modules under the directory that was named and the keys given for them; None where none was."""
    folder = os.environ.get(DIRECTORY)
    if not folder:
        return None
    sources = [path for path in os.environ.get(KEYS, "").split(os.pathsep) if path]
    return modules(folder), load(sources) if sources else Ring(Material(()))


def modules(folder: str) -> list[str]:
    """Every module in ``folder``, at any depth, compressed or not; sorted."""
    return sorted(entry.path for entry in walk([folder]) if entry.error is None)


def check(paths: Iterable[str], keys: Ring) -> Iterator[Checked]:
    """Each file verified with ``keys`` (none will do), stripped, and looked at again."""
    for path in paths:
        try:
            content = evidence.read(path)
            report = examine(opened(content), Question(keys))
            problems = [*_verdicts(report), *_stripped(content.content, report)]
            yield Checked(path, tuple(_facts(report)), tuple(problems))
        except ElfsigError as fault:
            yield Checked(path, ("unreadable",), (f"{fault.code}: {fault}",))


def _facts(report: FileReport) -> Iterator[str]:
    yield f"verdict: {report.verdict}"
    for found in report.signatures:
        info, signature = found.place.params, found.claims
        yield f"signature: {found.format} over {established(found) or 'unknown coverage'}"
        if isinstance(info, SectionInfo):
            yield f"section {info.name}: type {info.type}, flags {info.flags:#x}, align {info.align}"
        if signature is not None:
            packet = signature.facts.get("packet_version")
            version = f", packet of version {packet}" if packet else ""
            yield f"{found.format}: {signature.algorithm} {signature.hash}{version}"
            yield f"{found.format}: key {signature.key_id.hex() if signature.key_id else 'not named'}"
        for warning in found.warnings:
            yield f"warning: {warning.code}"


def established(found: SignatureReport) -> str | None:
    """The coverage under which a signature matches, or which the 16 bits in its packet speak for."""
    said = (FITS.search(warning.text) for warning in found.warnings if warning.code == "hash16-fits")
    return found.coverage or next((match[1] for match in said if match), None)


def _verdicts(report: FileReport) -> Iterator[str]:
    """What does not fit into what the specification says of these eras."""
    for found in report.signatures:
        if found.verdict in (Verdict.MALFORMED, Verdict.INVALID, Verdict.UNSUPPORTED):
            yield f"{found.format}: {found.verdict}: {found.reason}"
        elif _is_silent(found):
            yield f"{found.format}: no coverage gives the digest that the packet speaks of"
    if not report.signatures and report.verdict is not Verdict.UNSIGNED:
        yield f"{report.verdict}: {'; '.join(warning.text for warning in report.warnings)}"


def _is_silent(found: SignatureReport) -> bool:
    """Whether nothing at all speaks for the bytes that elfsig hashes."""
    is_signature = found.verdict is not Verdict.NOT_A_SIGNATURE
    return found.format in SECTION_ERAS and is_signature and established(found) is None


def _stripped(content: bytes, report: FileReport) -> Iterator[str]:
    """Stripping must leave an unsigned file, in which every coverage takes in what it did before."""
    if not report.signatures or any(found.place.fault for found in report.signatures):
        return
    bare = strip(opened(content), everything=True).content
    verdict = examine(opened(bare), Question()).verdict
    if verdict is not Verdict.UNSIGNED:
        yield f"stripped, it is {verdict}"
    innermost = report.signatures[-1]
    coverage = coverages(REGISTRY).get(established(innermost) or "")
    if coverage is None or innermost.place.kind not in ("section", "note"):
        return
    inside = [found.place for found in report.signatures if found.place.kind == "trailer"]
    signed = Image(content[: inside[-1].start] if inside else content)
    if coverage.message(signed, innermost.place).to_bytes() != coverage.message(Image(bare), None).to_bytes():
        yield f"stripped, {coverage.id} takes in other bytes"


def report_lines(checked: Sequence[Checked]) -> Iterator[str]:
    """What to send in: how often each fact was met, and each problem once with one file that has it."""
    yield f"{len(checked)} files, {sum(bool(each.problems) for each in checked)} with problems"
    for fact, count in sorted(Counter(fact for each in checked for fact in each.facts).items()):
        yield f"{count:6} {fact}"
    shown: dict[str, str] = {}
    for each in checked:
        for problem in each.problems:
            shown.setdefault(problem, each.path)
    for problem, path in shown.items():
        yield f"PROBLEM {problem} ({os.path.basename(path)})"
