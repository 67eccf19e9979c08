"""Faults that fuzzing found: each with the smallest input that shows it, and its neighbours."""

from __future__ import annotations

import base64
import gc
import json
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    load_pem_private_key,
    pkcs12,
)

import corpus
import elfsig
from elfsig.batch.journal import SUFFIX, Journal
from elfsig.batch.parts.manifest import problems
from elfsig.batch.parts.receipt import PartCounts, PartReceipt
from elfsig.batch.parts.store import Folder
from elfsig.cage.cage import Cage
from elfsig.carriers.trailer import ModuleTrailer, pack_info
from elfsig.cli.render.safe_html import rewritten
from elfsig.compression import DECODER_MEMORY, streams, whole
from elfsig.containers.names import Step
from elfsig.containers.readers import bytes_reader
from elfsig.containers.walk import ContainerRecord, walk
from elfsig.crypto import der
from elfsig.elf.image import Image
from elfsig.errors import EditRefused, Killed, ParseError
from elfsig.kernels.profile import version_of
from elfsig.kernels.select import for_module
from elfsig.kernels.x509_parser import facts
from elfsig.keygen import genkey
from elfsig.keygen.certificate import _basic_constraints
from elfsig.keygen.keydir import period
from elfsig.model import RsaBody, TrailerInfo, Verdict
from elfsig.model.json_values import loads
from elfsig.signers import pkcs11_uri
from elfsig.trust import recover
from elfsig.verbs.policy.lines import key_lines
from elfsig.verbs.policy.place import built_for, position
from tests.support.cms import cms, identity, integer, ring, signer_info, tlv
from tests.support.images import call
from tests.support.modules import plain, with_trailer
from tests.support.opened import opened
from tests.support.run import run

ZSTD = next(each for each in streams.KINDS if each.name == "zstd")
CERT = corpus.KEYS / "signer.cert.pem"
SIGNER = elfsig.open_signer(corpus.KEYS / "signer.key.pem", corpus.KEYS / "signer.cert.pem")


@pytest.mark.parametrize(("n", "e"), [(-1, 65537), (-(1 << 2047), 3), (1 << 2047 | 1, -3), (0, 0), (1, 1)])
def test_an_rsa_key_with_impossible_numbers_is_no_key_source(n: int, e: int) -> None:
    """A negative number raised OverflowError in the library that makes the key."""
    with pytest.raises(elfsig.KeySourceError):
        elfsig.keyring(tlv(0x30, integer(n), integer(e)))


@pytest.mark.parametrize(
    "text", ["pkcs11:token=\udcae", "pkcs11:object=x?pin-value=\udcff", "pkcs11:\ud800=x"]
)
def test_a_uri_that_is_no_text_is_refused(text: str) -> None:
    """Arguments that are not UTF-8 raised UnicodeEncodeError."""
    with pytest.raises(elfsig.SigningError):
        pkcs11_uri.parse(text)


@pytest.mark.parametrize(("signer", "key_id"), [(3, 0), (0, 3), (255, 255)])
def test_names_that_pkcs7_does_not_have_do_not_shorten_the_signature(signer: int, key_id: int) -> None:
    """The length was too small by them, or negative: attaching such a signature again made another one."""
    carrier, info = ModuleTrailer(), TrailerInfo(0, 0, 2, signer, key_id)
    made = carrier.attach(Image(plain()), bytes(100), info)
    (place,) = carrier.find(Image(made))
    assert place.blob == bytes(100)
    assert carrier.detach(Image(made), place) == plain()


def test_names_that_exceed_the_signature_are_refused() -> None:
    with pytest.raises(EditRefused):
        pack_info(TrailerInfo(1, 4, 1, 60, 41), 100)
    assert pack_info(TrailerInfo(1, 4, 1, 60, 40), 100)[8:] == bytes(4)


def test_strip_of_one_format_leaves_a_section_of_another_that_it_may_have_used() -> None:
    """Both formats may keep a signature in .module_sig: the first such section was removed for either."""
    redhat = (corpus.FOLDER / "vectors/modules/rh-amd64-dsa-v4.ko").read_bytes()
    options = elfsig.SignOptions(force=True)
    both = elfsig.sign(redhat, "gkh", SIGNER, options, existing=elfsig.Existing.STACK)
    stripped = elfsig.strip(both.content, format_id="gkh")
    assert [each.format for each in stripped.removed] == ["gkh"] and stripped.content == redhat
    assert [each.format for each in elfsig.strip(redhat, format_id="gkh").removed] == ["redhat"]


HOSTILE_REPORTS = {
    "a number of too many digits": '{"asked": {}, "edits": [%s]}' % ("9" * 5000),
    "half of a character": '{"asked": {}, "edits": [{"path": "\\ud800", "before": null, "after": null}]}',
    "no state after": '{"asked": {}, "edits": [{"path": "<bytes>"}]}',
    "an empty path": '{"asked": {}, "edits": [{"path": "", "before": null, "after": null}]}',
}


@pytest.mark.parametrize("name", HOSTILE_REPORTS)
@pytest.mark.parametrize("interrupted", [False, True])
def test_a_hostile_report_of_sign_is_refused_or_ignored(name: str, interrupted: bool, tmp_path: Path) -> None:
    """They raised ValueError and UnicodeEncodeError before anything was signed."""
    report, text = tmp_path / "report.json", HOSTILE_REPORTS[name]
    if interrupted:
        line = json.dumps({"asked": {}}) + "\n" + text[text.index("[") + 1 : -2] + "\n"
        Path(f"{report}{SUFFIX}").write_text(line)
    else:
        report.write_text(text)
    try:
        journal = Journal(str(report), {}, is_done=lambda module: True)
    except elfsig.UsageError as reason:
        assert "not a sign report" in reason.text
        return
    assert journal.known(opened(plain())) is None


@pytest.mark.parametrize("text", ["\ud800", "x\udfff", "\udc00", "\udc7f"])
@pytest.mark.parametrize("place", ["path", "a name of a member"])
def test_text_that_no_file_has_is_no_record_of_a_confined_process(text: str, place: str) -> None:
    """A process that a hostile file has taken over could end its parent: a SARIF log encodes each path."""

    def work(report: Callable[[Any], None]) -> None:
        report({"path": text} if place == "path" else {text: 1})

    with pytest.raises(elfsig.ReadError) as caught:
        list(Cage().run(work))
    assert isinstance(caught.value, Killed) and caught.value.limit == "records"


@pytest.mark.parametrize("text", ["a\udcff.ko", "\udc80", "\U0001f4e6.ko", "\\ud800"])
def test_names_that_are_not_utf_8_still_arrive(text: str) -> None:
    assert list(Cage().run(lambda report: report({"path": text}))) == [{"path": text}]


@pytest.mark.parametrize(
    "text", ["<![foo[", "<![ ", "<p><![x[y]]></p>", "<![endif-->", "<!DOCTYPE x [<!FOO>]>"]
)
def test_markup_that_the_parser_does_not_know_is_refused(text: str) -> None:
    """Python's HTML parser raises AssertionError for some: it ended the run of a survey with a report."""
    try:
        made = rewritten(text)
    except ValueError:
        return
    assert "<!" not in made


def zstd_frame(claimed: int, *blocks: bytes, last: int = 0) -> bytes:
    """A frame that claims this size in 8 bytes, with raw blocks, and at the end an empty one."""
    stored = b"".join((len(each) << 3).to_bytes(3, "little") + each for each in blocks)
    head = b"\x28\xb5\x2f\xfd\xc0\x58" + claimed.to_bytes(8, "little")
    return head + stored + (1 | last << 1).to_bytes(3, "little")


@pytest.mark.parametrize("last", [0, 2])
@pytest.mark.parametrize("claimed", [0, 1, 9, 11, 1 << 33])
def test_a_frame_of_zstd_that_ends_before_the_size_that_it_claims_is_damaged(claimed: int, last: int) -> None:
    """libzstd does not compare them where the last block is empty: content was missing in silence."""
    whole = list(streams.decompress(bytes_reader(zstd_frame(10, b"0123456789")), ZSTD))
    assert b"".join(whole) == b"0123456789"
    with pytest.raises(elfsig.ContainerError) as caught:
        list(streams.decompress(bytes_reader(zstd_frame(claimed, b"01234", b"56789", last=last)), ZSTD))
    assert caught.value.code == "damaged"


@pytest.mark.parametrize("last", [0, 1])
def test_a_compressed_block_of_zstd_without_bytes_is_damaged(last: int) -> None:
    """libzstd's decoder for streams passes over it, its other one does not: one file had two answers."""
    frame = zstd_frame(5, b"01234")
    frame = frame[:-3] + (last | 2 << 1).to_bytes(3, "little") + frame[-3:] * (1 - last)
    with pytest.raises(elfsig.ContainerError, match="a compressed block of 0 bytes"):
        list(streams.decompress(bytes_reader(frame), ZSTD))
    with pytest.raises(elfsig.ReadError, match="damaged zstd data"):
        whole.unpack(frame, "zstd", 100)


MANY = "9" * 5000
"""More digits than int() takes."""

NUMBERS: dict[str, tuple[Callable[[str], object], str]] = {
    "size of a key": (lambda number: genkey.read(f"[req]\ndefault_bits = {number}", "x"), "default_bits"),
    "length of a path": (
        lambda number: _basic_constraints(["CA:TRUE", f"pathlen:{number}"], None),
        "basicConstraints",
    ),
    "slot of a token": (lambda number: pkcs11_uri.parse(f"pkcs11:slot-id={number}"), "slot-id"),
    "period of a key": (lambda number: period(f"{number}d"), "is not a period"),
}


@pytest.mark.parametrize("number", [MANY, "\u00b2", "\u0663", "-1"])
@pytest.mark.parametrize("name", NUMBERS)
def test_what_is_no_number_of_a_usual_size_is_refused(name: str, number: str) -> None:
    """str.isdigit() is true for digits that int() does not take; it raised ValueError for them."""
    read, said = NUMBERS[name]
    with pytest.raises(elfsig.ElfsigError, match=said):
        read(number)


@pytest.mark.parametrize("release", [f"6.{MANY}.1", f"{MANY}-amd64", f"6.1.{MANY}"])
def test_a_release_of_thousands_of_digits_is_a_release(release: str) -> None:
    """A vermagic of them raised ValueError."""
    assert version_of(release) >= (6, 1)


@pytest.mark.parametrize("vermagic", [None, "", " ", " SMP", "  6.1.0 SMP"])
def test_a_vermagic_without_a_release_names_no_kernel(vermagic: str | None) -> None:
    """One of spaces raised IndexError."""
    with pytest.raises(elfsig.UsageError, match="has no vermagic"):
        for_module(vermagic)


@pytest.mark.parametrize("release", ["..", ".", "../..", "/etc", "", "6.1.0/../5.10.0"])
def test_a_vermagic_names_no_other_directory(release: str) -> None:
    """Of a module in a container it was taken as part of the path of a kernel's own key."""
    where = position("/a.tar!/x.ko")
    assert built_for(where, f"{release} SMP") == where
    assert built_for(where, "6.1.0 SMP").release == "6.1.0"
    assert built_for(position("/lib/modules/5.10/x.ko"), "6.1.0 SMP").release == "5.10"


def test_bytes_to_change_are_counted_with_a_usual_number() -> None:
    ran = run("coverage", f"--prove={MANY}", corpus.SAMPLES / "amd64-2.6.32-el6.ko")
    assert ran.code == 2 and "expected a number of bytes" in ran.err


@pytest.mark.parametrize("line", ["x{}.{} = 1", "[x{}.{}]", "[[x{}.{}]]", "x{} = {{ {} = 1 }}"])
def test_the_lines_of_long_dotted_keys_take_no_more_than_the_text(line: str) -> None:
    """All beginnings of each key were kept: a policy of a megabyte took four gigabytes."""
    text = "\n".join(line.format(number, ".".join(["a"] * 1000)) for number in range(8))
    tracemalloc.start()
    found = key_lines(text)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found["x7",] == 8
    assert peak < 40 * len(text)


@pytest.mark.parametrize("value", [None, True, -1, "1", [], 1.5, 1 << 63])
@pytest.mark.parametrize("name", ["files", "verdicts", "refused", "part", "bytes"])
def test_a_receipt_counts_with_numbers(name: str, value: object) -> None:
    """None as the count of a verdict was accepted, and raised when parts were added up."""
    counts = PartCounts({"valid": 2}, 1, 2)
    document = PartReceipt(0, 1, "jsonl", counts, 10, "ab" * 32, "cd" * 32).to_json()
    assert PartReceipt.from_json(document).counts == counts
    document[name] = {"valid": value} if name == "verdicts" else value
    if (name, value) == ("refused", None):
        assert PartReceipt.from_json(document).counts.refused is None
        return
    with pytest.raises(ParseError):
        PartReceipt.from_json(document)


@pytest.mark.parametrize("parts", [10**12, 0, -1, 1_000_001])
def test_the_number_of_parts_in_a_question_is_bounded(parts: int, tmp_path: Path) -> None:
    """Each part was looked for: a million million of them."""
    question = {"record": "question", "asked": {"parts": parts}}
    (tmp_path / "question.json").write_text(json.dumps(question))
    with pytest.raises(elfsig.UsageError):
        next(problems(Folder(str(tmp_path))))


def test_a_report_of_sign_whose_entry_names_no_target(tmp_path: Path) -> None:
    module = opened(corpus.content("amd64-6.1.ko"))
    state = {"sha256": module.sha256, "size": module.size}
    entry = {"path": "<bytes>", "action": "signed", "before": state, "after": state}
    (tmp_path / "report.json").write_text(json.dumps({"schema_version": 1, "asked": {}, "edits": [entry]}))
    journal = Journal(str(tmp_path / "report.json"), {}, is_done=lambda module: True)
    assert journal.known(module) is not None


def test_what_is_not_a_module_does_not_pass_an_audit(tmp_path: Path) -> None:
    """The audit of the library passed an object file that is not a module: only its report has the error."""
    path = tmp_path / "object.ko"
    path.write_bytes(plain().replace(b".modinfo", b".nothing").replace(b".this_module", b".that_module"))
    assert elfsig.verify(path).verdict is None
    found = elfsig.audit(path, corpus.KEYS / "signer.cert.pem")
    assert [fault.rule for fault in found.faults] == ["unreadable"]


@pytest.mark.parametrize("certificate", ["3000", "30023000", "300030", "30053003020101", "3080", ""])
def test_a_certificate_without_its_parts_is_refused_by_kernels(certificate: str) -> None:
    """An empty sequence in the place of a certificate in a PKCS#7 raised ValueError in predict."""
    assert facts(bytes.fromhex(certificate)).faults
    signature = cms(signer_info(identity(), plain()), certificates=[bytes.fromhex(certificate)])
    answer = elfsig.predict(with_trailer(plain(), signature), "6.1")
    assert isinstance(answer.accepted, bool)


def test_a_validity_beyond_all_dates_ends_in_the_year_9999(tmp_path: Path) -> None:
    """OverflowError for more days than a C int holds."""
    words = ("--key", corpus.KEYS / "signer.key.pem", "--name", "x", "--days", str(1 << 32))
    assert run("keys", "certificate", *words, "-o", tmp_path / "c.pem").code == 0
    assert "9999-12-" in run("keys", "list", tmp_path).out


@pytest.mark.parametrize("created", [-1, 1 << 32, 1 << 70])
def test_a_key_of_a_time_that_openpgp_does_not_have_is_refused(created: int) -> None:
    """Only sign looked at it: OverflowError in convert."""
    options = elfsig.SignOptions(key_created=created)
    with pytest.raises(elfsig.SigningError):
        elfsig.convert(corpus.content("amd64.pkcs7"), "x509", SIGNER, options, trust=CERT)
    with pytest.raises(elfsig.SigningError):
        elfsig.sign(plain(), "redhat", SIGNER, options)


@pytest.mark.parametrize("header", [b"\x30", b"\x30\x82", b"\x30\x84\x01", b"\x30\x80"])
def test_a_type_of_a_cms_right_after_the_start_of_one(header: bytes) -> None:
    """IndexError for a header of one byte."""
    content = header + bytes.fromhex("06092a864886f70d010702")
    found = ModuleTrailer().unmarked(Image(content))
    assert (found is None) == (len(header) < 2)
    assert elfsig.verify(content).verdict is Verdict.UNSIGNED


def test_names_of_sections_are_needed() -> None:
    """With e_shstrndx 0 the extractor took the start of the file for names, and kernels refused it."""
    content = bytearray(plain())
    table, rows = int.from_bytes(content[40:48], "little"), int.from_bytes(content[60:62], "little")
    content[62:64] = bytes(2)
    for row in range(rows):
        content[table + 64 * row : table + 64 * row + 4] = bytes(4)
    for name in ("fileorder", "sorted", "sorted-2012"):
        (found,) = elfsig.digest(bytes(content), name)
        assert found.error is not None and found.error.code == "elf-shstrndx"


def test_a_reader_that_failed_keeps_no_decoder() -> None:
    """LZMA with a dictionary of 128 MiB: the error kept all that it had passed through."""
    stream = bytes.fromhex("5d000000080400000000000000")
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        for _ in range(2):
            records = list(walk(bytes_reader(stream), (Step("file", b"f"),)))
        kept = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert records and kept[0] < 1 << 22 and kept[1] < 200 << 20, kept


@pytest.mark.parametrize("before", [b"", b"XX"])
def test_a_header_of_lzma_does_not_take_what_it_asks_for(before: bytes) -> None:
    """240 MiB for 37 bytes, as a source of keys, a kernel image or an archive."""
    asks = before + bytes.fromhex("5d0000000f") + bytes(32)
    tracemalloc.start()
    try:
        with suppress(elfsig.ElfsigError):
            elfsig.list_keys(asks)
        list(walk(bytes_reader(asks), (Step("file", b"f"),)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < DECODER_MEMORY


@pytest.mark.parametrize("half", ["\ud800", "\udbff", "\udfff"])
@pytest.mark.parametrize("member", ["path", "vermagic"])
def test_halves_of_characters_are_in_no_document(member: str, half: str, tmp_path: Path) -> None:
    """UnicodeEncodeError where such a path was shown or written again."""
    path, baseline = tmp_path / "m.ko", tmp_path / "b.jsonl"
    path.write_bytes(corpus.content("amd64.pkcs7"))
    (found,) = (json.loads(line) for line in run("verify", "--jsonl", path).out.splitlines())
    baseline.write_text(json.dumps({**found, member: f"/{half}.ko"}) + "\n")
    for output in ((), ("--json",), ("--jsonl",), ("--sarif", tmp_path / "sarif")):
        ran = run("audit", path, "--trust", CERT, "--expect", baseline, *output)
        assert ran.code == 2 and "not a JSON output of elfsig" in ran.err
    assert loads(json.dumps({member: "𝄞"})) == {member: "𝄞"}


@pytest.mark.parametrize("size", [1 << 42, 1 << 59])
def test_a_directory_of_ext_is_no_larger_than_what_is_stored_of_it(size: int, tmp_path: Path) -> None:
    """It was read to its end, which was holes: for years."""
    tree, out = tmp_path / "tree", tmp_path / "image"
    tree.mkdir()
    (tree / "x.ko").write_bytes(plain())
    options = ("-b", "1024", "-I", "128", "-O", "^metadata_csum,^has_journal")
    call("mkfs.ext4", "-q", *options, "-d", tree, out, "2M")
    image = bytearray(out.read_bytes())
    inode = 1024 * int.from_bytes(image[2048 + 8 : 2048 + 12], "little") + 128
    assert image[inode + 4 : inode + 8] == (1024).to_bytes(4, "little")
    image[inode + 4 : inode + 8] = (size & 0xFFFFFFFF).to_bytes(4, "little")
    image[inode + 108 : inode + 112] = (size >> 32).to_bytes(4, "little")
    found = list(walk(bytes_reader(bytes(image)), (Step("file", b"f"),)))
    assert isinstance(found[-1], ContainerRecord) and found[-1].error is not None
    assert "has a hole" in found[-1].error.text and "f!/x.ko" in [each.path for each in found]


def protected(method: str) -> bytes:
    """A key in PKCS#8, whose passphrase is hashed 2 ** 31 times: by PBKDF2, as in PKCS#12, or by scrypt."""
    often = der.encode_integer(1 << 31)
    salt = tlv(4, bytes(8))
    if method == "pbe":
        kind = tlv(0x30, der.encode_oid("1.2.840.113549.1.12.1.3"), tlv(0x30, salt, often))
        return tlv(0x30, kind, tlv(4, bytes(32)))
    derived = tlv(0x30, der.encode_oid("1.2.840.113549.1.5.12"), tlv(0x30, salt, often))
    if method == "scrypt":
        costs = (often, der.encode_integer(8), der.encode_integer(1))
        derived = tlv(0x30, der.encode_oid("1.3.6.1.4.1.11591.4.11"), tlv(0x30, salt, *costs))
    cipher = tlv(0x30, der.encode_oid("2.16.840.1.101.3.4.1.42"), tlv(4, bytes(16)))
    kind = tlv(0x30, der.encode_oid("1.2.840.113549.1.5.13"), tlv(0x30, derived, cipher))
    return tlv(0x30, kind, tlv(4, bytes(32)))


def with_often_hashed_mac(rounds: int) -> bytes:
    """A PKCS#12 file whose MAC takes as long."""
    key = load_pem_private_key((corpus.KEYS / "signer.key.pem").read_bytes(), None)
    made = pkcs12.serialize_key_and_certificates(b"x", key, None, None, BestAvailableEncryption(b"x"))  # type: ignore[arg-type]
    version, content, mac = (each for each in der.children(made, der.read(made, 0, len(made))))
    digest, salt, _ = der.children(made, mac)
    whole = tlv(0x30, made[digest.start : salt.end], der.encode_integer(rounds))
    return tlv(0x30, made[version.start : content.end], whole)


@pytest.mark.parametrize("armoured", [False, True])
@pytest.mark.parametrize("method", ["pbkdf2", "pbe", "scrypt", "mac"])
def test_a_passphrase_is_not_hashed_for_hours(method: str, armoured: bool) -> None:
    data = with_often_hashed_mac(1 << 31) if method == "mac" else protected(method)
    if armoured and method != "mac":
        lines = base64.encodebytes(data).decode()
        data = f"-----BEGIN ENCRYPTED PRIVATE KEY-----\n{lines}-----END ENCRYPTED PRIVATE KEY-----\n".encode()
    with pytest.raises(elfsig.SigningError, match="more than 10000000 are not tried"):
        elfsig.open_signer(data, ask=lambda name: b"x")


def test_a_number_of_rounds_that_has_too_many_digits_to_print() -> None:
    """It is named in no message: Python refuses to print 4300 digits."""
    with pytest.raises(elfsig.SigningError, match="more than 10000000 are not tried"):
        elfsig.open_signer(with_often_hashed_mac(1 << 40_000), ask=lambda name: b"x")


def test_the_primes_that_no_modulus_has_are_multiplied_once() -> None:
    """Not for every pair of signatures and every size, which took longer than all else."""
    bodies = tuple((RsaBody("sha1", letter * 35),) for letter in (b"a", b"b"))
    pair = [recover.Equation(b"\xb5" * 49, bodies[0]), recover.Equation(b"\x86" * 49, bodies[1])]
    for _ in range(3):
        assert recover.recover(pair, (3, 5), lambda line: None, recover.PLAIN) is None
    assert recover._small_primes.cache_info().misses == 1


@pytest.mark.parametrize("wrong", [0, 1])
def test_attach_refuses_what_one_wrong_signer_makes_invalid(wrong: int) -> None:
    """As verify does where the wrong value is by a trusted key; whichever of two signers it is."""
    content, both = corpus.content("amd64-6.1.ko"), (identity("rsa", 7), identity("rsa", 11))
    infos = [
        signer_info(each, content + b"x" * (number == wrong), "sha256") for number, each in enumerate(both)
    ]
    keys = ring(*(each.certificate for each in both))
    signature = cms(*infos)
    with pytest.raises(EditRefused, match="not attached: the pkcs7 signature is invalid here"):
        elfsig.attach(content, signature, keys)
    forced = elfsig.attach(content, signature, keys, force=True)
    assert elfsig.verify(forced.content, keys).verdict is Verdict.INVALID
    one = ring(both[1 - wrong].certificate)
    assert elfsig.verify(elfsig.attach(content, signature, one).content, one).verdict is Verdict.VALID
