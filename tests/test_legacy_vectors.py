"""Every known-answer vector gets its expected verdict, made with the original tools of its time.

Under the stated key ring: the vector's key, for ``unknown-key`` the ring that lacks it.
"""

from __future__ import annotations

from collections.abc import Sequence

from elfsig import registry
from elfsig.model import SectionInfo, SignatureReport, SignOptions, Verdict
from elfsig.trust.ring import Ring
from elfsig.verbs.verify.detached import from_argument
from elfsig.verbs.verify.examine import Question, examine, signatures_at
from elfsig_formats.variants import lenient
from tests.support.opened import opened
from tests.support.vectors import Vector, each, key_ring, module, read, vector, vectors

REGISTRY = registry.load(plugins=False)


def ring_of(entry: Vector) -> Ring:
    known = entry["expected"] not in ("unknown-key", "unsigned")
    return key_ring(entry["key"] if known else "keys/dsa1024.pub.gpg")


def signatures(entry: Vector, keys: Ring) -> tuple[Sequence[SignatureReport], Verdict | None]:
    """The vector's signatures and the file's verdict; a module argument is handed over beside the file."""
    question, content = Question(keys), module(entry)
    if "argument" in entry:
        with_argument = from_argument(read(entry["argument"]).decode().strip())
        given = list(signatures_at(opened(content), with_argument(opened(content)), question))
        return given, given[0].verdict
    report = examine(opened(content), question)
    return report.signatures, report.verdict


@each(vectors())
def test_the_expected_verdict_format_and_coverage(entry: Vector) -> None:
    given, verdict = signatures(entry, ring_of(entry))
    assert verdict == entry["expected"]
    if verdict is Verdict.UNSIGNED:
        assert not given
        return
    assert [each.format for each in given] == [entry["format"]]
    if verdict is Verdict.VALID:
        assert given[0].coverage == entry["coverage"]


@each(v for v in vectors() if v["expected"] == "unknown-key")
def test_the_missing_key_makes_them_valid(entry: Vector) -> None:
    assert signatures(entry, key_ring(entry["key"]))[1] is Verdict.VALID


@each(v for v in vectors() if "openpgp" in v and v["expected"] == "valid")
def test_what_the_packet_says(entry: Vector) -> None:
    given, _ = signatures(entry, ring_of(entry))
    signature = given[0].claims
    assert signature is not None
    wanted = entry["openpgp"]
    said = (signature.facts["packet_version"], signature.facts["signature_class"], signature.algorithm)
    assert said == (wanted["version"], wanted["class"], wanted["algorithm"])
    assert signature.hash == wanted["hash"]


def test_an_invalid_note_says_that_all_three_coverages_were_tried() -> None:
    given, _ = signatures(vector("note-sorted-amd64-bad-text"), key_ring("keys/dsa1024.pub.gpg"))
    assert "sorted, fileorder, fileorder-nobuildid" in (given[0].reason or "")


@each(v for v in vectors() if v["id"].endswith("sig-len"))
def test_lengths_past_the_end_are_read_on_request(entry: Vector) -> None:
    """The packet's length was enlarged, as GnuPG tolerates it, and nothing else."""
    question = Question(key_ring("keys/dsa1024.pub.gpg"))
    report = examine(opened(module(entry), REGISTRY.changed(lenient)), question)
    assert report.verdict is Verdict.VALID
    (warning,) = (w for w in report.signatures[0].warnings if w.code == "length-past-end")
    assert warning.offset == report.signatures[0].place.blob_start


@each(v for v in vectors() if v["format"] == "note" and v["expected"] == "valid")
def test_without_the_key_the_packet_s_16_bits_tell_the_coverage(entry: Vector) -> None:
    given, verdict = signatures(entry, key_ring("keys/unknown.pub.gpg"))
    (text,) = (w.text for w in given[0].warnings if w.code == "hash16-fits")
    assert verdict is Verdict.UNKNOWN_KEY
    assert f"match {entry['coverage']}," in text


@each(v for v in vectors() if "section" in v and v["expected"] != "malformed")
def test_sections_are_declared_as_the_original_tools_left_them(entry: Vector) -> None:
    format_ = REGISTRY.get(entry["format"])
    assert format_.wrap is not None
    payload = "encrypted-digest" if entry["expected"] == "not-a-signature" else None
    algorithm = entry.get("openpgp", {}).get("algorithm", "rsa")
    info = format_.wrap(None, algorithm, SignOptions(payload=payload))
    assert isinstance(info, SectionInfo)
    section = entry["section"]
    assert (info.name, info.type, info.flags) == (section["name"], section["type"], section["flags"])
