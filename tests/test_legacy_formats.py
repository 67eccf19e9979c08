"""The ELF-section formats: what is signed by default, what is refused, and how odd modules are read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import corpus
from elfsig import registry
from elfsig.crypto.hashes import HASHES
from elfsig.elf.edit import insert_section
from elfsig.elf.guard import NewSection
from elfsig.elf.table import SHT_NOBITS, SHT_NOTE, SHT_PROGBITS
from elfsig.envelopes.openpgp.make import make_ring
from elfsig.envelopes.raw_rsa import FORMS, PADDINGS, Form, RawRsa
from elfsig.errors import EditRefused, ParseError, SigningError
from elfsig.model import Existing, FileReport, Pair, SignatureReport, SignOptions, Verdict
from elfsig.signers.gpg import GpgSigner
from elfsig.trust.entries import Material, Origin
from elfsig.trust.make import key_from_public
from elfsig.trust.openpgp import read
from elfsig.trust.ring import Ring
from elfsig.verbs.edit.sign import SignResult, choose_pair, sign
from elfsig.verbs.edit.strip import strip
from elfsig.verbs.verify.examine import Question, examine
from elfsig_formats.gkh import GKH
from elfsig_formats.note import NOTE
from elfsig_formats.redhat import REDHAT
from elfsig_formats.variants import searching
from tests.support import reference_streams as reference
from tests.support.gnupg import Home, home
from tests.support.opened import opened
from tests.support.openpgp import Keys, message, signer
from tests.support.run import run
from tests.support.vectors import ROOT
from tests.support.vectors import read as vector_file

REGISTRY = registry.load(plugins=False)
MODULES = sorted(path.name for path in (ROOT / "unsigned").iterdir())
TOY = "toyA-64.ko"
Wishes = dict[str, Any]
UEK = "2.6.39-400.17.1.el6uek.x86_64 SMP mod_unload modversions"
EL6 = "2.6.32-431.el6.x86_64 SMP mod_unload modversions"


def unsigned(name: str = TOY) -> bytes:
    return vector_file(f"unsigned/{name}")


def keys(*kinds: str) -> Ring:
    """OpenPGP rings of the throw-away keys."""
    rings = (make_ring(signer(kind), kind) for kind in kinds or ("rsa1024", "dsa1024"))
    return Ring(Material(tuple(key for ring in rings for key in read(ring, "ring", "user", True))))


def signed(content: bytes, format_id: str, kind: str = "dsa1024", **wish: Any) -> SignResult:
    return sign(opened(content), REGISTRY.get(format_id), signer(kind), SignOptions(**wish))


def look(content: bytes, ring: Ring | None = None) -> FileReport:
    return examine(opened(content), Question(ring or keys()))


def only(content: bytes, ring: Ring | None = None) -> SignatureReport:
    (found,) = look(content, ring).signatures
    return found


def codes(found: SignatureReport) -> list[str]:
    return [warning.code for warning in found.warnings]


# --------------------------------------------------------------------------- sign, verify, strip

WISHES: list[tuple[str, str, Wishes]] = [
    ("note", "dsa1024", {"coverage": "sorted"}),
    ("note", "rsa1024", {"coverage": "fileorder", "hash": "sha256"}),
    ("note", "dsa1024", {"coverage": "fileorder-nobuildid", "packet_version": 3}),
    ("redhat", "dsa1024", {}),
    ("redhat", "rsa1024", {"force": True}),
    ("gkh", "rsa1024", {}),
    ("gkh", "dsa1024", {"packet_version": 3}),
    ("gkh", "rsa1024", {"payload": "raw-rsa"}),
    ("gkh", "dsa1024", {"section_name": ".module_sig"}),
]


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize(("format_id", "kind", "wish"), WISHES, ids=lambda value: str(value))
def test_sign_verify_strip(name: str, format_id: str, kind: str, wish: Wishes) -> None:
    result = signed(unsigned(name), format_id, kind, **wish)
    found = only(result.content)
    assert (found.verdict, found.format) == (Verdict.VALID, format_id)
    assert strip(opened(result.content)).content == unsigned(name)


@pytest.fixture(scope="module", params=["gpg", "gpg1"])
def gnupg(request: pytest.FixtureRequest) -> Iterator[Home]:
    rings = [make_ring(signer(kind), kind) for kind in ("rsa1024", "dsa1024")]
    with home(request.param, rings) as made:
        yield made


@pytest.mark.parametrize("name", [TOY, "edgeA-32.ko", "ppc64be.ko"])
@pytest.mark.parametrize(
    ("format_id", "kind", "wish"), [w for w in WISHES if w[2].get("payload") is None], ids=str
)
def test_gnupg_accepts_each_signature_over_its_stream(
    gnupg: Home, name: str, format_id: str, kind: str, wish: Wishes
) -> None:
    result = signed(unsigned(name), format_id, kind, **wish)
    found = only(result.content)
    stream = reference.stream(result.coverage, result.content, found.place.index)
    assert gnupg.accepts(found.place.blob, stream)


# --------------------------------------------------------------------------- defaults and refusals


@pytest.mark.parametrize("format_id", ["note", "redhat", "gkh"])
def test_the_default_hash_is_sha1(format_id: str) -> None:
    wish = {"coverage": "sorted"} if format_id == "note" else {}
    signature = only(signed(unsigned(), format_id, **wish).content).claims
    assert signature is not None
    assert signature.hash == "sha1"


def test_redhat_refuses_what_its_kernels_do_not_read() -> None:
    wishes: list[tuple[str, Wishes]] = [("rsa1024", {}), ("dsa1024", {"hash": "sha256"})]
    for kind, wish in wishes:
        with pytest.raises(SigningError, match="DSA with SHA-1 only"):
            signed(unsigned(), "redhat", kind, **wish)
        forced = signed(unsigned(), "redhat", kind, force=True, **wish)
        assert [r.code for r in forced.remarks].count("no-kernel-reads-it") == 1


def test_note_warns_that_no_kernel_reads_rsa() -> None:
    result = signed(unsigned(), "note", "rsa1024", coverage="sorted")
    assert "no-kernel-reads-it" in [remark.code for remark in result.remarks]


@pytest.mark.parametrize(
    ("hash_name", "vermagic", "code"),
    [
        ("sha1", UEK, None),
        ("sha256", EL6, "few-kernels-read-it"),
        ("sha256", UEK, "no-kernel-reads-it"),
        ("rmd160", EL6, "no-kernel-reads-it"),
    ],
)
def test_note_says_which_hashes_its_kernels_read(hash_name: str, vermagic: str, code: str | None) -> None:
    assert NOTE.advise is not None
    said = NOTE.advise("dsa", SignOptions(hash=hash_name), vermagic)
    assert [remark.code for remark in said] == ([code] if code else [])


@pytest.mark.parametrize(
    ("format_id", "kind", "wish", "code"),
    [
        ("redhat", "rsa1024", {"force": True}, "no-kernel-reads-it"),
        ("redhat", "dsa1024", {"force": True, "hash": "sha256"}, "no-kernel-reads-it"),
        ("gkh", "rsa1024", {"force": True, "hash": "sha512"}, "no-kernel-reads-it"),
        ("note", "rsa1024", {"coverage": "sorted"}, "no-kernel-reads-it"),
        ("note", "dsa1024", {"coverage": "sorted", "hash": "sha256"}, "few-kernels-read-it"),
        ("note", "dsa1024", {"coverage": "sorted"}, None),
        ("redhat", "dsa1024", {}, None),
    ],
)
def test_verify_says_what_matches_and_was_not_read_by_kernels(
    format_id: str, kind: str, wish: Wishes, code: str | None
) -> None:
    found = only(signed(unsigned(), format_id, kind, **wish).content)
    assert found.verdict is Verdict.VALID
    assert [each for each in codes(found) if each.endswith("-it")] == ([code] if code else [])


def test_which_of_two_coverages_was_meant_is_not_told_without_a_build_id() -> None:
    with_build_id = corpus.content("amd64-2.6.39-uek.ko")
    for content, coverage, ambiguous in (
        (unsigned(), "fileorder", True),
        (unsigned(), "fileorder-nobuildid", True),
        (unsigned(), "sorted", False),
        (with_build_id, "fileorder", False),
        (with_build_id, "fileorder-nobuildid", False),
    ):
        found = only(signed(content, "note", coverage=coverage).content)
        assert ("coverage-ambiguous" in codes(found)) == ambiguous
    assert "coverage-ambiguous" not in codes(only(signed(unsigned(), "redhat").content))


@pytest.mark.parametrize(
    ("vermagic", "coverage"),
    [(UEK, "fileorder-nobuildid"), (EL6, "sorted")],
)
def test_vermagic_tells_the_coverage_of_a_note(vermagic: str, coverage: str) -> None:
    assert choose_pair(NOTE, SignOptions(), vermagic).coverage.id == coverage
    assert choose_pair(NOTE, SignOptions(coverage="fileorder"), vermagic).coverage.id == "fileorder"


@pytest.mark.parametrize("vermagic", [None, "6.1.0-54-amd64 SMP preempt mod_unload modversions"])
def test_a_note_without_known_coverage_is_an_error_that_names_the_choices(vermagic: str | None) -> None:
    with pytest.raises(SigningError, match=r"sorted \(RHEL 6\), fileorder-nobuildid \(UEK2\), fileorder"):
        choose_pair(NOTE, SignOptions(), vermagic)


@pytest.mark.parametrize(
    ("wish", "text"),
    [
        ({"coverage": "whole-file"}, "no coverage"),
        ({"payload": "v1"}, "no payload"),
        ({"hash": "md5"}, "SHA-1"),
    ],
)
def test_wishes_that_gkh_cannot_fulfil(wish: Wishes, text: str) -> None:
    with pytest.raises(SigningError, match=text):
        signed(unsigned(), "gkh", **wish)


@pytest.mark.parametrize(
    ("format_id", "name", "warned"),
    [("gkh", ".module_sig", False), ("gkh", "module-sig", True), ("redhat", "module_sig", True)],
)
def test_a_section_name_that_nobody_looks_for_is_said(format_id: str, name: str, warned: bool) -> None:
    result = signed(unsigned(), format_id, section_name=name)
    assert ("section-name" in [remark.code for remark in result.remarks]) == warned


def test_a_trailer_has_no_section_name() -> None:
    with pytest.raises(SigningError, match="not kept in a section"):
        signed(unsigned(), "crypto-pgp", "rsa1024", section_name="x")


def test_raw_rsa_takes_rsa_keys_only() -> None:
    with pytest.raises(SigningError, match="RSA key"):
        signed(unsigned(), "gkh", "dsa1024", payload="raw-rsa")


def test_an_encrypted_digest_is_made_through_gnupg_only() -> None:
    with pytest.raises(SigningError, match="gpg:KEYID"):
        signed(unsigned(), "gkh", "rsa1024", payload="encrypted-digest")


def test_an_encrypted_digest_in_a_module_is_no_signature() -> None:
    with home("gpg", [vector_file("keys/rsa1024.pub.gpg")]) as made:
        maker = GpgSigner("rsa1024", made.path)
        wish = SignOptions(payload="encrypted-digest")
        result = sign(opened(unsigned()), GKH, maker, wish)
    assert "proves-nothing" in [remark.code for remark in result.remarks]
    found = only(
        result.content, Ring(Material(tuple(read(vector_file("keys/rsa1024.pub.gpg"), "r", "user", True))))
    )
    assert (found.verdict, found.format) == (Verdict.NOT_A_SIGNATURE, "gkh")


# --------------------------------------------------------------------------- odd modules


def inserted(content: bytes, name: str, blob: bytes, type_: int = SHT_PROGBITS) -> bytes:
    return insert_section(
        content, NewSection(name.encode(), blob, type_, 0, 4 if type_ == SHT_NOTE else 1), "exact"
    )


def blob_of(content: bytes) -> bytes:
    return only(content).place.blob


def test_a_dotted_section_over_textdata_is_reported_as_gkh() -> None:
    content = signed(unsigned(), "gkh", section_name=".module_sig").content
    found = only(content)
    assert (found.format, found.coverage, found.place.section) == ("gkh", "textdata", ".module_sig")
    assert only(content, keys("rsa1024")).format == "redhat"  # none verifies: the first claimant answers


@pytest.mark.parametrize(
    ("name", "kind"), [("module_sig", "first"), (".module_sig", "last"), (".note.module.sig", "last")]
)
def test_of_two_sections_the_one_that_kernels_take_decides(name: str, kind: str) -> None:
    format_id = {"module_sig": "gkh", ".module_sig": "redhat", ".note.module.sig": "note"}[name]
    wish = {"coverage": "sorted"} if format_id == "note" else {}
    good = signed(unsigned(), format_id, **wish).content
    type_ = SHT_NOTE if format_id == "note" else SHT_PROGBITS
    report = look(inserted(good, name, b"second one", type_))
    assert len(report.signatures) == 2
    effective = next(f for f in report.signatures if f.effective)
    assert effective.place.index == (min if kind == "first" else max)(
        f.place.index or 0 for f in report.signatures
    )
    assert any("second-signature-section" in codes(f) for f in report.signatures)


@pytest.mark.parametrize(("name", "type_"), [(".module_sig", SHT_NOTE), (".note.module.sig", SHT_PROGBITS)])
def test_the_wrong_section_type_is_no_signature_and_not_unsigned(name: str, type_: int) -> None:
    report = look(inserted(unsigned(), name, bytes(64), type_))
    assert not report.signatures
    [odd] = [warning for warning in report.warnings if warning.code == "wrong-section-type"]
    assert odd.text.endswith("kernels see no signature in it and treat the module as unsigned")
    assert report.verdict is Verdict.MALFORMED


def test_gkh_takes_any_section_type() -> None:
    blob = blob_of(signed(unsigned(), "gkh").content)
    assert only(inserted(unsigned(), "module_sig", blob, SHT_NOTE)).verdict is Verdict.VALID
    assert only(inserted(unsigned(), "module_sig", b"", SHT_NOBITS)).verdict is Verdict.MALFORMED


@pytest.mark.parametrize("name", ["module_sig", ".module_sig"])
@pytest.mark.parametrize(
    "blob", [b"\0", b"\x88", b"\x88\x02\x04", bytes(50), b"-----BEGIN PGP SIGNATURE-----"]
)
def test_junk_is_malformed_and_names_the_offset(name: str, blob: bytes) -> None:
    found = only(inserted(unsigned(), name, blob))
    assert found.verdict is Verdict.MALFORMED
    offsets = [warning.offset for warning in found.warnings if warning.offset is not None]
    assert all(found.place.start <= offset <= found.place.end for offset in offsets)
    assert offsets


@pytest.mark.parametrize(
    ("name", "type_", "blob", "said"),
    [
        (".module_sig", SHT_PROGBITS, b"\x80junk", "redhat: section [19] .module_sig: OpenPGP packet type 0"),
        ("module_sig", SHT_PROGBITS, b"\x88\x02\x04", "gkh: section [19] module_sig: "),
        (".note.module.sig", SHT_NOTE, b"abc", "note: section [19] .note.module.sig: 3 bytes are not a note"),
        (".module_sig", SHT_PROGBITS, b"", "redhat: section [19] .module_sig is empty (at 0x"),
    ],
)
def test_what_cannot_be_read_is_told_with_section_and_offset(
    tmp_path: Path, name: str, type_: int, blob: bytes, said: str
) -> None:
    path = tmp_path / "m.ko"
    path.write_bytes(inserted(unsigned(), name, blob, type_))
    ran = run("verify", path)
    assert ran.code == 1
    assert f"m.ko: malformed: {said}" in ran.out
    assert "(at 0x" in ran.out


def test_old_and_new_signatures_live_side_by_side() -> None:
    """The trailing note covers the allocated section of redhat, which was there before it."""
    both = signed(unsigned(), "redhat").content
    both = sign(
        opened(both), NOTE, signer("dsa1024"), SignOptions(coverage="sorted"), existing=Existing.STACK
    ).content
    assert [f.verdict for f in look(both).signatures] == [Verdict.VALID] * 2
    with pytest.raises(EditRefused, match="no longer match"):
        strip(opened(both), format_id="redhat")
    assert strip(opened(both), everything=True).content == unsigned()


def test_vendor_signatures_are_shown_and_not_checked() -> None:
    packet = blob_of(signed(unsigned(), "gkh", "rsa1024").content)
    for blob, algorithm in ((b"Sign\0\0\0\1" + bytes(512), "rsa"), (packet, "rsa")):
        found = only(inserted(unsigned(), ".signature", blob))
        assert (found.format, found.verdict) == ("vendor-signature", Verdict.UNSUPPORTED)
        assert found.claims is not None
        assert found.claims.algorithm == algorithm
    for blob in (b"Sign\0\0\0\2" + bytes(8), b"Sign", b"neither"):
        assert only(inserted(unsigned(), ".signature", blob)).verdict is Verdict.MALFORMED
    with pytest.raises(SigningError):
        signed(unsigned(), "vendor-signature")


# --------------------------------------------------------------------------- raw RSA

CONTENT = b"text and data"


def raw_block(form: Form, padding: str) -> bytes:
    """A block written in one of the forms of the search."""
    digest = HASHES["sha1"].new()
    digest.update(CONTENT)
    value = signer("rsa1024").sign_block(PADDINGS[padding](digest.digest(), 128))
    body = value if form.order == "big" else value[::-1]
    return (1024).to_bytes(2) + body if form.prefix else body


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.text)
@pytest.mark.parametrize("padding", PADDINGS)
def test_the_search_finds_every_form_and_says_which(form: Form, padding: str) -> None:
    ring = Keys([key_from_public(signer("rsa1024").public, Origin("key.pem"))])
    search = RawRsa(search=True)
    (found,) = search.parse(raw_block(form, padding), None)
    outcome = search.verify(found, message(CONTENT), ring)
    assert outcome.verdict is Verdict.VALID
    assert outcome.remarks[0].text == f"matches as: {form.text}, {padding}"
    assert search.verify(found, message(CONTENT + b"!"), ring).verdict is not Verdict.VALID


def test_without_the_search_only_the_first_form_counts() -> None:
    ring = Keys([key_from_public(signer("rsa1024").public, Origin("key.pem"))])
    for form in FORMS:
        for padding in PADDINGS:
            try:
                (found,) = RawRsa().parse(raw_block(form, padding), None)
            except ParseError:
                assert form.prefix
                continue
            first = (form, padding) == (FORMS[0], next(iter(PADDINGS)))
            verdict = RawRsa().verify(found, message(CONTENT), ring).verdict
            assert (verdict is Verdict.VALID) == first


def test_the_search_is_a_variant_of_the_format() -> None:
    def searches(pairs: tuple[Pair, ...]) -> list[bool]:
        return [pair.envelope.search for pair in pairs if isinstance(pair.envelope, RawRsa)]

    assert searches(GKH.pairs) == [False, False]
    assert searches(searching(GKH).pairs) == [True, True]
    assert searching(REDHAT) == REDHAT
