"""What kernels answer: every measured verdict, the known answers of the section eras, and the tables."""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from elfsig import registry
from elfsig.carriers.detached import argument_place
from elfsig.carriers.trailer import MARKER
from elfsig.crypto.names import signer_name
from elfsig.elf.image import Image
from elfsig.elf.table import SHT_NOBITS, ElfTable
from elfsig.errors import UsageError
from elfsig.kernels import config
from elfsig.kernels.catalogue import FAMILIES, PROFILES, VENDORS, get
from elfsig.kernels.errnos import ERRNOS
from elfsig.kernels.policy import WALKS, Subject, every_mode, predict, predict_modes
from elfsig.kernels.profile import Mode, Prediction, Profile
from elfsig.kernels.section_era.elf_checks import fault
from elfsig.kernels.select import choose, for_module, for_release
from elfsig.model import Basis
from elfsig.trust.entries import Material, Origin
from elfsig.trust.make import key_from_certificate, key_from_public
from elfsig.trust.ring import Ring
from tests.support import elf, verdicts
from tests.support.cms import Identity, attributes, cms, identity, issued, ring, signer_info
from tests.support.opened import opened
from tests.support.vectors import Vector, each, key_ring, module, read, vector, vectors
from tests.support.verdicts import FORGIVEN, INNER, MODULE, OTHER, ROWS, RSA, Row, signed, trailed

REGISTRY = registry.load(plugins=False)
MODES = (Mode(), Mode(lockdown=True), Mode(enforcing=True))
COLUMNS = ("debian-6.1", "debian-6.12", "debian-7.2")


def subject(content: bytes, keys: Ring | None, kernel: str | Profile) -> Subject:
    profile = get(kernel) if isinstance(kernel, str) else kernel
    return Subject(opened(content), keys, profile)


def ask(content: bytes, keys: Ring | None, kernel: str | Profile, **mode: bool) -> Prediction:
    return predict(subject(content, keys, kernel), Mode(**mode))


# --------------------------------------------------------------------------- tested on booted kernels


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in ROWS])
def test_measured_verdicts_of_debian(row: Row) -> None:
    content = row.make()
    for kernel, word in zip(COLUMNS, row.classes, strict=True):
        answers = list(predict_modes(subject(content, row.ring(content), kernel), MODES))
        inner = INNER.get(word, word)
        forgiven = [None, "EPERM", "EKEYREJECTED"] if word in FORGIVEN else [inner] * 3
        assert [each.errno for each in answers] == forgiven, kernel
        assert {each.inner for each in answers} == {inner}, kernel
        assert answers[0].taint == ("E" if word in FORGIVEN else None)
        assert [each.accepted for each in answers] == [errno is None for errno in forgiven]
        if row.log and word != "ok":
            assert row.log in answers[2].log


LINES = {
    "unsigned": "Loading of unsigned module is rejected",
    "crypto": "Loading of module with unsupported crypto is rejected",
    "nokey": "Loading of module with unavailable key is rejected",
}


@pytest.mark.parametrize(
    ("word", "content"),
    [("unsigned", MODULE), ("crypto", MODULE + MARKER), ("nokey", signed(OTHER))],
)
def test_the_log_tells_apart_what_the_errno_does_not(word: str, content: bytes) -> None:
    keys = ring(RSA.certificate)
    permissive, locked, enforcing = predict_modes(subject(content, keys, "debian-6.1"), MODES)
    assert enforcing.message == LINES[word]
    assert locked.message is not None and locked.message.startswith("Lockdown: ")
    assert permissive.message is not None and permissive.message.endswith("tainting kernel")
    both = ask(content, keys, "debian-6.1", enforcing=True, lockdown=True)
    assert both.errno == "EKEYREJECTED"


def test_a_wrong_signature_is_the_one_without_a_log_line() -> None:
    answer = ask(verdicts.flipped(signed(), 90), ring(RSA.certificate), "debian-6.1", enforcing=True)
    assert (answer.errno, answer.log) == ("EKEYREJECTED", ())


def test_what_debian_s_other_kernels_log_about_algorithms_that_they_lack() -> None:
    """As linux-image-5.10.0-32-amd64, 7.0.13+deb13 and 7.3.4+deb13-cloud-amd64 answered."""
    content = signed(verdicts.p384(), hash_name="sha1")
    old = ask(content, ring(verdicts.p384().certificate), "debian-5.10", enforcing=True)
    assert old.log == ("Unsupported pkey algo: N", LINES["crypto"]), "ecdsa-with-SHA1 is in its OID registry"
    other = signed(verdicts.p384(), hash_name="sha256")
    old = ask(other, ring(verdicts.p384().certificate), "debian-5.10", enforcing=True)
    assert old.log[0] == "PKCS7: Unknown OID: [..] 1.2.840.10045.4.3.2"
    who = identity("mldsa44")
    for kernel in ("debian-7.0", "debian-7.1", "debian-7.2"):
        answer = ask(signed(who, hash_name="sha512"), ring(who.certificate), kernel, enforcing=True)
        assert (answer.errno, answer.log) == ("EKEYREJECTED", (LINES["nokey"],)), kernel


@pytest.mark.parametrize("kind", ["mldsa44", "mldsa65", "mldsa87"])
def test_ml_dsa(kind: str) -> None:
    who, keys = identity(kind), ring(identity(kind).certificate)
    for hash_name in ("sha512", "sha256"):
        assert ask(signed(who, hash_name=hash_name), keys, "7.0", enforcing=True).accepted
    assert ask(signed(who, hash_name="sha512", keyid=True), keys, "7.0", enforcing=True).accepted
    attrs = signed(who, hash_name="sha512", attrs=attributes(MODULE, "sha512"))
    answer = ask(attrs, keys, "7.0")
    assert answer.errno == "EKEYREJECTED"
    assert answer.log == ("PKCS7: Invalid module sig (has authattrs)",)
    waiving = config.apply(get("7.0"), {"PKCS7_WAIVE_AUTHATTRS_REJECTION_FOR_MLDSA": "y"}).profile
    assert ask(attrs, keys, waiving, enforcing=True).accepted
    other = signed(who, hash_name="sha256", attrs=attributes(MODULE, "sha256"))
    answer = ask(other, keys, waiving)
    assert (answer.errno, answer.fault) == ("EKEYREJECTED", "attributes-digest")
    assert ask(verdicts.flipped(signed(who), len(MODULE) + 200), keys, "7.0").errno is not None
    assert ask(signed(who, hash_name="sha512"), keys, "6.12").inner == "ENOPKG"


def test_attributes_are_waived_for_the_algorithm_of_the_first_signer() -> None:
    """pkcs7_check_authattrs(); BER does not sort the signers."""
    waiving = config.apply(get("7.0"), {"PKCS7_WAIVE_AUTHATTRS_REJECTION_FOR_MLDSA": "y"}).profile
    pair = identity("mldsa44"), RSA
    keys = ring(*(who.certificate for who in pair))
    first, second = (signer_info(who, MODULE, "sha512", attrs=attributes(MODULE, "sha512")) for who in pair)
    by_size = cms(first, second)
    unsorted = by_size.replace(second + first, first + second)
    assert by_size != unsorted
    assert ask(trailed(unsorted), keys, waiving, enforcing=True).accepted
    assert ask(trailed(by_size), keys, waiving, enforcing=True).fault == "signed-attributes"


def test_the_compressed_module_is_judged_by_what_is_inside() -> None:
    keys = ring(RSA.certificate)
    packed = lzma.compress(signed(), check=lzma.CHECK_CRC32)
    assert ask(packed, keys, "debian-6.12", enforcing=True).accepted
    crc64 = ask(lzma.compress(signed()), keys, "debian-6.12")
    assert (crc64.errno, crc64.fault) == ("EINVAL", "compressed-unreadable")
    assert ask(lzma.compress(signed()), keys, "debian-6.1", enforcing=True).accepted
    streams = lzma.compress(signed()[:99], check=lzma.CHECK_CRC32) + packed
    assert ask(streams, keys, "debian-6.12").inner == "ENODATA"
    trailed_twice = packed + verdicts.info(9) + MARKER
    assert ask(trailed_twice, keys, "debian-6.12", enforcing=True).accepted
    assert ask(trailed_twice, keys, "debian-6.1").errno == "EINVAL"
    behind = ask(gzip.compress(MODULE) + verdicts.info(9) + MARKER, keys, "debian-6.12")
    assert (behind.errno, behind.fault) == ("EINVAL", "signed-after-compression")
    assert ask(b"", keys, "debian-6.1").errno == "EINVAL"
    assert ask(b"ab", keys, "debian-6.1", enforcing=True).inner == "ENODATA"


# --------------------------------------------------------------------------- the original code's verdicts

ORIGINAL = {
    "fc2": "fc2",
    "rhel4": "rhel4",
    "rhel5": "rhel5",
    "fc6": "fc6",
    "rhel6": "rhel6-early",
    "uek2": "uek2",
    "uek2nb": "uek2-nobuildid",
}


@each(v for v in vectors() if v.get("original_kernels"))
def test_verdicts_of_the_original_code(entry: Vector) -> None:
    content = module(entry)
    for kernel, answers in entry["original_kernels"].items():
        for mode, wanted in answers.items():
            answer = ask(
                content, key_ring("keys/dsa1024.pub.gpg"), ORIGINAL[kernel], enforcing=mode == "enforcing"
            )
            loaded = "OK signed" if answer.fault == "ok" else "OK"
            assert (answer.errno or loaded) == wanted, (kernel, mode, answer.reason)


def test_later_rhel6_reads_sha2_and_calls_all_else_a_format_error() -> None:
    sha2 = vector("note-sorted-amd64-dsa2048-sha256")
    keys = key_ring("keys/dsa2048.pub.gpg")
    assert ask(module(sha2), keys, "rhel6-late", enforcing=True).accepted
    assert ask(module(sha2), keys, "rhel6-early").errno == "ENOENT"
    for name in ("note-sorted-amd64-sig-not-pgp", "note-sorted-amd64-sig-len"):
        assert ask(module(vector(name)), keys, "rhel6-late").errno == "ELIBBAD"


def test_the_tree_of_2003_compares_nothing() -> None:
    for content in (module(vector("gkh-snap-i386-rsa-v4")), module(vector("rh-i386-bad-text")), MODULE):
        assert ask(content, None, "gkh-2003", enforcing=True).accepted


def test_no_kernel_looks_at_another_era_s_place() -> None:
    keys = key_ring("keys/dsa1024.pub.gpg")
    note = module(vector("note-sorted-amd64-dsa"))
    assert ask(note, keys, "debian-6.1", enforcing=True).inner == "ENODATA"
    assert ask(signed(), keys, "rhel6-late", enforcing=True).errno == "EKEYREJECTED"
    assert ask(note, keys, "rhel5", enforcing=True).fault == "unsigned"
    answer = ask(trailed(cms(signer_info(RSA, note)), note), keys, "rhel6-early", enforcing=True)
    assert answer.accepted and answer.place is not None and answer.place.kind == "note"


def test_fips_panics_where_the_era_did() -> None:
    keys = key_ring("keys/dsa1024.pub.gpg")
    bad = module(vector("rh-i386-bad-text"))
    answer = ask(bad, keys, "rhel5", fips=True)
    assert answer.panic and not answer.accepted and answer.errno is None
    assert (
        answer.message == "Kernel panic - not syncing: Module verification failed with error -1 in FIPS mode"
    )
    assert not ask(module(vector("rh-amd64-removed")), keys, "rhel5", fips=True).panic
    assert ask(bad, keys, "fc6", fips=True).errno == "EKEYREJECTED"
    modern = ask(signed(OTHER), ring(RSA.certificate), "6.12", fips=True)
    assert modern.accepted and any("panics" in note for note in modern.notes)


# --------------------------------------------------------------------------- the table that Oracle printed


@pytest.mark.parametrize(
    ("name", "keys", "errno", "words"),
    [
        ("note-sorted-amd64-dsa", "dsa1024", None, "trusts; nothing needs to be done"),
        ("note-sorted-amd64-unknown-key", "dsa1024", "ENOKEY", "which this kernel does not trust"),
        ("note-sorted-amd64-bad-text", "dsa1024", "EKEYREJECTED", "changed after signing"),
        ("note-sorted-amd64-sig-len", "dsa1024", "EBADMSG", "damaged and cannot be read"),
        ("note-sorted-amd64-note-type-101", "dsa1024", "ELIBBAD", "malformed"),
    ],
)
def test_rows_of_howells_series(name: str, keys: str, errno: str | None, words: str) -> None:
    content = module(vector(name))
    for enforcing in (False, True):
        answer = ask(content, key_ring(f"keys/{keys}.pub.gpg"), "howells-2012", enforcing=enforcing)
        assert (answer.errno, words in answer.advice) == (errno, True), answer.advice


def test_howells_series_unsigned_and_what_it_cannot_compute() -> None:
    removed = module(vector("note-sorted-amd64-removed"))
    assert ask(removed, None, "howells-2012").accepted
    answer = ask(removed, None, "howells-2012", enforcing=True)
    assert (answer.errno, answer.message) == (
        "EKEYREJECTED",
        "An attempt to load unsigned module was rejected",
    )
    without = replace(
        get("howells-2012"), crypto=replace(get("howells-2012").crypto, absent=frozenset({"sha1"}))
    )
    content = module(vector("note-sorted-amd64-dsa"))
    answer = ask(content, key_ring("keys/dsa1024.pub.gpg"), without)
    assert answer.errno == "ENOPKG" and "sha1, which this kernel cannot compute" in answer.advice
    at = content.index(b"module.sig\0") + 12
    assert content[at] == 0x88  # an old-format signature packet; 0xb0 makes it a trust packet
    none = ask(content[:at] + b"\xb0" + content[at + 1 :], None, "howells-2012")
    assert (none.errno, none.fault) == ("ENOMSG", "no-packet")


def test_howells_trailer_and_argument() -> None:
    keys = key_ring("keys/rsa2048.pub.gpg")
    appended = module(vector("wholefile-2012-appended"))
    assert ask(appended, keys, "howells-2012-trailer", enforcing=True).accepted
    broken = appended[:100] + bytes([appended[100] ^ 1]) + appended[101:]
    assert ask(broken, keys, "howells-2012-trailer").errno == "EKEYREJECTED"
    assert ask(appended[:-1], keys, "howells-2012-trailer", enforcing=True).fault == "unsigned"
    entry = vector("wholefile-2012-modsign-arg")
    place = argument_place(Image(module(entry)), read(entry["argument"]).decode().strip())
    asked = replace(subject(module(entry), keys, "howells-2012-modarg"), argument=place)
    assert predict(asked, Mode(enforcing=True)).accepted


def test_uek2_says_that_oracle_s_table_is_another_kernel_s() -> None:
    assert any("EKEYEXPIRED" in note for note in get("uek2").notes)


# --------------------------------------------------------------------------- the X.509 era


def x509(
    who: Identity = RSA,
    content: bytes = MODULE,
    *,
    value: bytes | None = None,
    size: int | None = None,
    **change: Any,
) -> bytes:
    """A module as scripts/sign-file of 3.7 left it; fields of the info block may be changed."""
    name = signer_name(who.parsed.subject.public_bytes()) or b""
    if value is None:
        value = who.private.sign(content, padding.PKCS1v15(), hashes.SHA256())
    blob = name + who.skid + (len(value) if size is None else size).to_bytes(2, "big") + value
    fields = {"id_type": 1, "algo": 1, "hash_": 4, "signer": len(name), "key_id": len(who.skid)} | change
    return content + blob + verdicts.info(len(value) + 2, **fields) + MARKER


ENOPKG_X509: tuple[dict[str, Any], ...] = (
    {"algo": 0},
    {"id_type": 0},
    {"id_type": 2},
    {"hash_": 8},
    {"hash_": 200},
)


EARLY = issued(RSA.private, "rsa key 0", serial=0x1234, own_authority=True).certificate
"""What kernels before 3.13 load: with an authorityKeyIdentifier, as the kernel's build makes it."""


def test_the_x509_era() -> None:
    keys = ring(EARLY)
    for kernel in ("3.7", "3.17", "rhel7"):
        assert ask(x509(), keys, kernel, enforcing=True).accepted
        unknown = ask(x509(OTHER), keys, kernel, enforcing=True)
        assert (unknown.errno, unknown.accepted) == ("ENOKEY", False)
        assert unknown.message is not None
        assert unknown.message.startswith("Request for unknown module key 'rsa key 1: ")
        assert ask(x509(OTHER), keys, kernel).accepted
        assert ask(MODULE, keys, kernel, enforcing=True).errno == "ENOKEY"
        assert ask(verdicts.flipped(x509(), 90), keys, kernel).errno == "EKEYREJECTED"
        for change in ENOPKG_X509:
            assert ask(x509(**change), keys, kernel).errno == "ENOPKG", change
        for content in (x509(size=7), x509(value=bytes(256)), x509(value=b"short")):
            assert ask(content, keys, kernel).errno == "EBADMSG"
        assert ask(signed(), keys, kernel).errno == "ENOPKG"
    assert ask(x509(), keys, "4.3").errno == "ENOPKG"
    assert ask(x509(), keys, "5.4").accepted


def test_rhel7_asks_the_blacklist_first() -> None:
    keys = ring(RSA.certificate, revoked=[RSA.certificate])
    assert ask(x509(), keys, "rhel7").errno == "EKEYREJECTED"
    assert ask(x509(), keys, "3.17").accepted


def test_expired_certificates_are_not_loaded_before_3_13() -> None:
    old = issued(RSA.private, "old", years=(2001, 2003), own_authority=True)
    early = ask(x509(old), ring(old.certificate), "3.7")
    assert early.inner == "ENOKEY" and "expired" in early.advice
    assert ask(x509(old), ring(old.certificate), "3.13", enforcing=True).accepted


def test_3_7_rc1_takes_the_first_marker() -> None:
    whole = x509()
    block, blob = whole[-40:-28], whole[len(MODULE) : -40]
    keys = ring(EARLY)
    assert ask(MODULE + MARKER + blob + block, keys, "3.7-rc1", enforcing=True).accepted
    assert ask(MODULE + MARKER + blob[1:] + block, keys, "3.7-rc1").errno == "EBADMSG"
    assert ask(MODULE, keys, "3.7-rc1").accepted
    assert ask(MODULE, keys, "3.7-rc1", enforcing=True).errno == "ENOKEY"


# --------------------------------------------------------------------------- keyrings


SECONDARY = ("4.7", "5.4", "5.18", "6.12", "debian-6.1", "fedora")


@pytest.mark.parametrize(
    ("role", "accepting"),
    [
        ("user", ("4.3", *SECONDARY)),
        ("builtin", ("4.3", *SECONDARY)),
        ("secondary", SECONDARY),
        ("machine", ("5.18", "6.12", "debian-6.1", "fedora")),
        (
            "platform",
            ("debian-6.1", "debian-6.12", "debian-7.2", "fedora", "rhel8", "rhel9", "ubuntu", "sles"),
        ),
    ],
)
def test_which_keyrings_count(role: str, accepting: tuple[str, ...]) -> None:
    keys = Ring(Material((key_from_certificate(RSA.certificate, Origin("k.pem", role)),)))
    asked = {*accepting, "4.3", *SECONDARY}
    for kernel in asked:
        answer = ask(signed(), keys, kernel, enforcing=True)
        assert answer.accepted is (kernel in accepting), kernel
        if not answer.accepted:
            assert f"in the keyring {role}, which this kernel does not use" in answer.advice


def test_keys_merely_tried_and_bare_keys() -> None:
    assert ask(signed(), ring(tried=[RSA.certificate]), "6.12").inner == "ENOKEY"
    bare = Ring(Material((key_from_public(RSA.private.public_key(), Origin("bare.pem")),)))
    answer = ask(signed(), bare, "6.12", enforcing=True)
    assert answer.accepted and any("bare key" in note for note in answer.notes)
    assert ask(signed(OTHER), bare, "6.12").inner == "ENOKEY"


def test_revoked_keys() -> None:
    keys = ring(RSA.certificate, revoked=[RSA.certificate])
    for kernel, errno in (
        ("5.4", None),
        ("5.13", None),
        ("5.18", None),
        ("6.6", "EKEYREJECTED"),
        ("6.12", "EKEYREJECTED"),
        ("ubuntu", "EKEYREJECTED"),
        ("uek8", "EKEYREJECTED"),
        ("fedora", None),
        ("rhel9", None),
        ("debian-6.1", None),
    ):
        assert ask(signed(), keys, kernel).errno == errno, kernel


def test_the_first_of_two_faults_decides() -> None:
    """A wrong id_type is met before a non-zero field, that before a damaged PKCS#7, that before the key."""
    keys = ring(RSA.certificate)
    blob = verdicts.good(OTHER)
    size = len(blob)
    assert ask(trailed(blob, block=verdicts.info(size, 1, algo=1)), keys, "6.12").inner == "ENOPKG"
    assert (
        ask(trailed(bytes(size), block=verdicts.info(size, algo=1)), keys, "6.12").fault == "nonzero-params"
    )
    wrong = trailed(cms(signer_info(OTHER, MODULE, attrs=attributes(MODULE, "sha256")), content=MODULE))
    assert ask(wrong, keys, "6.12").errno == "EBADMSG"


# --------------------------------------------------------------------------- ELF checks


def test_elf_checks_pass_what_the_original_code_passed() -> None:
    for entry in vectors():
        if entry["module"]["source"] == "file" and "removed" not in entry["id"]:
            content = module(entry)
            assert fault(content, "redhat") is None, entry["id"]
            if ElfTable(content).header.machine in (
                3,
                62,
            ):  # the toy objects of others have notes aligned to 1
                assert fault(content, "series-2012") is None, entry["id"]


def _broken() -> Iterator[tuple[str, bytes]]:
    good = module(vector("note-sorted-amd64-dsa"))
    table = ElfTable(good)
    text, symtab = elf.index_of(good, ".text"), elf.index_of(good, ".symtab")
    rela = next(nr for nr, row in enumerate(table.rows) if row.type == 4)
    note = elf.index_of(good, ".note.module.sig")
    bss = next(nr for nr, row in enumerate(table.rows) if row.type == SHT_NOBITS)
    yield "program headers", elf.repatched(good, phnum=1, phoff=64, phentsize=56)
    yield "section [0]: is not empty", elf.patched(good, 0, size=1)
    yield "sh_link 999 names no section", elf.patched(good, text, link=999)
    yield "is in the ELF header or outside", elf.patched(good, bss, offset=1)
    yield "reach into what follows", elf.patched(good, text, size=table.rows[text].size + 4096)
    yield "names no section to relocate", elf.patched(good, rela, info=0)
    yield "sh_entsize is", elf.patched(good, symtab, entsize=8)
    yield "exactly one must be", elf.patched(good, symtab, type=1)
    yield (
        "a note's owner",
        good[: table.rows[note].offset + 13] + b"\0" + good[table.rows[note].offset + 14 :],
    )
    yield "name is outside of the name table", elf.patched(good, text, name=1 << 20)


@pytest.mark.parametrize(("words", "content"), [pytest.param(w, c, id=w) for w, c in _broken()])
def test_elf_faults_are_elibbad_in_every_mode(words: str, content: bytes) -> None:
    for mode in (Mode(), Mode(enforcing=True)):
        answer = predict(subject(content, key_ring("keys/dsa1024.pub.gpg"), "rhel6-early"), mode)
        assert answer.errno == "ELIBBAD", answer.reason
        assert answer.message == "Module failed ELF checks"
        assert words in answer.reason


def test_the_entry_point_matters_to_rhel5_alone() -> None:
    content = elf.repatched(module(vector("rh-amd64-dsa-v4")), entry=64)
    assert ask(content, key_ring("keys/dsa1024.pub.gpg"), "rhel5").errno == "ELIBBAD"
    note = elf.repatched(module(vector("note-sorted-amd64-dsa")), entry=64)
    assert ask(note, key_ring("keys/dsa1024.pub.gpg"), "rhel6-early").accepted


# --------------------------------------------------------------------------- releases, modes, configurations

RELEASES = {
    "6.1.0-54-amd64": "debian-6.1",
    "6.1.0-18-cloud-amd64": "debian-6.1",
    "6.1.0-0.deb11.21-amd64": "debian-6.1",
    "6.12.43+deb13-amd64": "debian-6.12",
    "6.12.74+deb13+1-amd64": "debian-6.12",
    "6.17.13+deb13-amd64": "debian-6.17",
    "7.2.13+deb14-cloud-amd64": "debian-7.2",
    "5.10.0-35-amd64": "debian-5.10",
    "5.10.0-35-cloud-amd64": "debian-5.10-cloud",
    "2.6.32-431.el6": "rhel6-early",
    "2.6.32-754.35.1.el6.x86_64": "rhel6-late",
    "2.6.32-042stab061.2": "rhel6-early",
    "2.6.32-042stab103.6": "rhel6-late",
    "2.6.39-400.17.1.el6uek": "uek2-nobuildid",
    "4.1.12-124.48.6.el7uek.x86_64": "uek4",
    "5.15.0-200.131.27.el8uek.x86_64": "uek7",
    "6.12.0-100.28.2.el10uek.x86_64": "uek8",
    "2.6.18-398.el5": "rhel5",
    "2.6.9-89.ELsmp": "rhel4",
    "2.6.8-1.521": "fc2",
    "2.6.10-1.771_FC2": "fc4",
    "2.6.20-1.2948.fc6": "fc6",
    "2.6.0-test6": "gkh-2003",
    "3.10.0-1160.el7.x86_64": "rhel7",
    "3.10.0-1160.vz7.1": "rhel7",
    "4.18.0-553.el8_10.x86_64": "rhel8",
    "4.18.0-553.rt7.342.el8_10.x86_64": "rhel8",
    "4.18.0-147.el8.x86_64": "rhel8-early",
    "5.14.0-427.13.1.el9_4.x86_64": "rhel9",
    "6.12.0-55.el10.x86_64": "rhel10",
    "6.12.0-144.el10.x86_64": "rhel10-stream",
    "6.19.10-300.fc44.x86_64": "fedora",
    "6.5.6-300.fc39.x86_64": "fedora-6.3",
    "5.15.0-91-generic": "ubuntu-5.15",
    "5.15.0-1084-aws-fips": "ubuntu-5.15",
    "6.8.0-31-generic": "ubuntu-6.8",
    "6.17.0-14-generic": "ubuntu",
    "6.14.0-1006-realtime": "ubuntu",
    "7.0.14-1-pve": "proxmox-7.0",
    "5.14.21-150500.55-default": "sles-5.13",
    "5.14.21-150500.13.5-rt": "sles-5.13",
    "4.4.103-6.38-default": "sles-4.3",
    "6.17.5-1-default": "tumbleweed",
    "3.12.74-60.64.40-default": "sles12",
    "5.10.107-android13-4-00001": "android-gki",
    "6.17.1-arch1-1": "arch",
    "6.6.134.1-1.azl3": "azurelinux",
    "6.12.25-35.53.amzn2023.x86_64": "amazon-6.12",
    "5.15.153.1-microsoft-standard-WSL2": "wsl2",
    "3.7.0-rc1": "3.7-rc1",
    "3.8.0": "3.7",
    "4.2.0": "3.17",
    "5.3.1": "4.19",
    "5.10.20": "5.6",
    "5.10.240": "5.10.26",
    "6.2.16": "5.18",
    "6.5.2": "6.3",
    "6.6.30": "6.6",
    "6.8.1": "6.7",
    "6.13.2": "6.12",
    "6.18.0-rc3+": "6.18",
    "6.19.1": "6.19",
    "7.0.4": "7.0",
    "7.1.8": "7.1",
    "7.3.0": "7.2",
}


def test_releases() -> None:
    assert {release: for_release(release).id for release in RELEASES} == RELEASES
    for unknown in ("2.4.20", "2.6.32-300.el6uek", "3.2.0"):
        with pytest.raises(UsageError):
            for_release(unknown)


@pytest.mark.parametrize(
    "row", [row for row in PROFILES.values() if row.releases.examples], ids=lambda r: r.id
)
def test_the_pattern_in_a_row_is_the_only_rule(row: Profile) -> None:
    """Each row is chosen by its own examples, and no other vendor's row or family would take them."""
    for release in row.releases.examples:
        assert for_release(release) == row
        assert [each.id for each in VENDORS if each.releases.fit(release)] in ([row.id], [])
        assert len([each for each in FAMILIES.values() if each.releases.fit(release)]) <= 1


FOREIGN = {
    "6.12.6-cachyos1.fc41.x86_64": "6.12",
    "6.17.7-ba05.fc43.x86_64": "6.14",
    "6.12.7-1.surface.fc41.x86_64": "6.12",
    "6.12.1-061201-generic": "6.12",
    "6.12.1-1.el9.elrepo.x86_64": "6.12",
    "6.13.7-zen1-1-zen": "6.12",
    "6.16.3-xanmod1": "6.14",
    "6.12.0-kali2-amd64": "6.12",
    "4.18.0-372.el8.lve.x86_64": "4.7",
    "6.12.0-custom": "6.12",
}


@pytest.mark.parametrize(("release", "row"), FOREIGN.items(), ids=FOREIGN)
def test_a_vendor_that_no_row_knows_gets_nobody_s_patches(release: str, row: str) -> None:
    profile = for_release(release)
    assert (profile.id, profile.trust, profile.basis) == (row, get(row).trust, Basis.RECALLED)
    assert profile.caveat is not None and profile.caveat.startswith(
        f"{release} is a vendor's kernel, its patches are not known"
    )
    answer = ask(signed(OTHER), ring(RSA.certificate), profile, enforcing=True)
    assert profile.caveat in answer.notes


def test_no_row_is_recalled_without_the_fact() -> None:
    for row in PROFILES.values():
        assert row.basis is not Basis.RECALLED or row.recalled, row.id
        assert "recalled" not in row.source, row.id
    for family in FAMILIES.values():
        assert family.recalled, family.id


def test_what_a_release_chose_can_be_asked_for_by_its_id() -> None:
    for release, name in RELEASES.items():
        assert choose(name).profile == for_release(release)
    for wrong in ("debian-3.7", "debian-", "mageia-6.12"):
        with pytest.raises(UsageError):
            choose(wrong)


def test_without_keys_no_kernel_is_said_to_distrust_one() -> None:
    answer = predict(subject(signed(), None, get("6.12")), Mode(enforcing=True))
    assert answer.fault == "unknown-key" and "no keys were given" in answer.advice
    assert "does not trust" not in answer.advice


def test_weak_hashes_are_recommended_only_where_there_are_no_others() -> None:
    without = replace(get("6.12"), crypto=replace(get("6.12").crypto, absent=frozenset({"sha256"})))
    advice = ask(signed(), ring(RSA.certificate), without).advice
    assert "one of these hashes: sha224, sha3-256, " in advice and "sha1" not in advice
    assert "sm3" not in advice, "RSA with it never verifies"
    old = replace(get("6.12"), crypto=replace(get("6.12").crypto, hashes=frozenset({"sha1"})))
    assert "one of these hashes: sha1. " in ask(signed(), ring(RSA.certificate), old).advice


def test_a_key_in_the_wrong_keyring_is_told_what_to_do() -> None:
    platform = Ring(Material((key_from_certificate(RSA.certificate, Origin("k", "platform")),)))
    answer = ask(signed(), platform, "6.12", enforcing=True)
    assert "in the keyring platform" in answer.advice and "elfsig sign --format pkcs7" in answer.advice


def test_the_module_s_own_vermagic() -> None:
    info = b"license=GPL\0vermagic=5.15.0-91-generic SMP mod_unload \0"
    assert for_module(opened(elf.toy(extra=[elf.Sec(".modinfo", info)])).vermagic).id == "ubuntu-5.15"
    with pytest.raises(UsageError, match="no vermagic"):
        for_module(opened(MODULE).vermagic)


def test_configurations() -> None:
    options = config.parse(
        "CONFIG_MODULE_SIG=y\nCONFIG_MODULE_SIG_FORCE=y\n# CONFIG_CRYPTO_ECDSA is not set\n"
    )
    built = config.apply(get("6.12"), options)
    assert built.mode == Mode(enforcing=True) and "ecdsa" in built.profile.crypto.absent
    assert config.apply(get("rhel5"), options).mode == Mode()
    off = config.apply(get("6.12"), config.parse("# CONFIG_MODULE_SIG is not set\n")).profile
    assert ask(MODULE, None, off, enforcing=True).accepted
    no_secondary = config.apply(get("6.12"), {"SECONDARY_TRUSTED_KEYRING": "n"}).profile
    secondary = Ring(Material((key_from_certificate(RSA.certificate, Origin("k", "secondary")),)))
    assert ask(signed(), secondary, no_secondary).inner == "ENOKEY"
    no_sha512 = config.apply(get("6.12"), {"CRYPTO_SHA512": "n"}).profile
    assert ask(signed(hash_name="sha512"), ring(RSA.certificate), no_sha512).inner == "ENOPKG"
    image = b"...IKCFG_ST" + gzip.compress(b"CONFIG_MODULE_SIG_FORCE=y\n") + b"IKCFG_ED..."
    assert config.parse(config.embedded(image) or "") == {"MODULE_SIG_FORCE": "y"}


# --------------------------------------------------------------------------- the tables hold together


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_every_profile_answers_everything_in_words(profile: Profile) -> None:
    assert profile.walk in WALKS and profile.source and profile.basis is not Basis.TOOL_HALF
    contents = [MODULE, b"", b"text", signed(), signed(OTHER), x509(), MODULE + MARKER]
    contents += [
        module(vector(name)) for name in ("rh-amd64-dsa-v4", "note-sorted-amd64-dsa", "fc2-i386-dsa-v3")
    ]
    for content in contents:
        for answer in predict_modes(subject(content, ring(RSA.certificate), profile), every_mode(profile)):
            assert answer.reason and answer.advice.endswith(".") and answer.steps
            assert "{" not in answer.advice and (answer.errno or "EPERM") in ERRNOS
            assert (answer.errno is None) == (answer.accepted or answer.panic)
            assert bool(answer.insmod) == bool(answer.errno)
            assert [s.result for s in answer.steps[:-1]] == ["ok"] * (len(answer.steps) - 1)


# --------------------------------------------------------------------------- Secure Boot

SECURE_BOOT = {
    "debian-6.1": "EKEYREJECTED",
    "debian-7.2": "EKEYREJECTED",
    "debian-5.10": "EPERM",
    "rhel8": "EKEYREJECTED",
    "rhel8-early": "EPERM",
    "rhel9": "EKEYREJECTED",
    "rhel10": "EKEYREJECTED",
    "fedora": "EKEYREJECTED",
    "tumbleweed": "EKEYREJECTED",
    "uek8": "EKEYREJECTED",
    "azurelinux": "EKEYREJECTED",
    "ubuntu-5.4": "EPERM",
    "ubuntu": "EKEYREJECTED",
    "arch": None,
    "talos": None,
    "android-gki": None,
    "photon": "EPERM",
    "3.17": None,
}


@pytest.mark.parametrize(("kernel", "errno"), SECURE_BOOT.items(), ids=SECURE_BOOT)
def test_what_secure_boot_switches_on(kernel: str, errno: str | None) -> None:
    """Enforcing where IMA_ARCH_POLICY is on, else locked down where the kernel locks itself, else nothing."""
    answer = ask(MODULE, None, kernel, secure_boot=True)
    assert answer.errno == errno
    lines = {"EKEYREJECTED": "Loading of unsigned module is rejected", "EPERM": "Lockdown: "}
    if errno is not None:
        assert answer.message is not None and answer.message.startswith(lines[errno])
    assert any("Secure Boot" in note for note in answer.notes)


def test_a_configuration_decides_what_secure_boot_does() -> None:
    for value, errno in (("y", "EKEYREJECTED"), ("n", None)):
        built = config.apply(get("6.12"), {"IMA_ARCH_POLICY": value}).profile
        answer = ask(MODULE, None, built, secure_boot=True)
        assert answer.errno == errno and not any("assumes" in note for note in answer.notes)
    assert any(
        "assumes CONFIG_IMA_ARCH_POLICY" in n for n in ask(MODULE, None, "6.12", secure_boot=True).notes
    )
    for option in (
        "LOCK_DOWN_IN_EFI_SECURE_BOOT",
        "LOCK_DOWN_IN_SECURE_BOOT",
        "LOCK_DOWN_KERNEL_IN_SECUREBOOT",
    ):
        built = config.apply(get("6.12"), {"IMA_ARCH_POLICY": "n", option: "y"}).profile
        assert ask(MODULE, None, built, secure_boot=True).errno == "EPERM"
    for without in ({"SECURITY_LOCKDOWN_LSM": "n"}, {"LSM": "landlock,yama,integrity"}):
        built = config.apply(get("debian-5.10"), without).profile
        assert ask(MODULE, None, built, secure_boot=True).accepted
        assert ask(MODULE, None, built, lockdown=True).accepted


def test_options_that_decide_about_android_and_compression() -> None:
    protected = config.apply(get("android-gki"), {"MODULE_SIG": "y", "MODULE_SIG_PROTECT": "y"})
    assert ask(MODULE, None, protected.profile).accepted
    forced = config.apply(get("android-gki"), {"MODULE_SIG_FORCE": "y"})
    assert forced.mode == Mode(enforcing=True)
    assert ask(MODULE, None, forced.profile, enforcing=True).errno == "EKEYREJECTED"
    trailed_gzip = gzip.compress(MODULE, mtime=0) + verdicts.info(9) + MARKER
    unpacks = {"MODULE_DECOMPRESS": "y", "MODULE_COMPRESS_GZIP": "y", "MODULE_COMPRESS_XZ": "n"}
    built = config.apply(get("debian-6.12"), unpacks).profile
    assert ask(trailed_gzip, None, built).inner == "ENODATA"
    assert ask(trailed_gzip, None, "debian-6.12").errno == "EINVAL"
    assert config.apply(get("debian-6.12"), {"MODULE_DECOMPRESS": "n"}).profile.unpacks == frozenset()


def test_the_log_lines_of_each_era() -> None:
    lines = {
        "5.4": "Loading of unsigned module is rejected",
        "5.6": "module: Loading of unsigned module is rejected",
        "5.10.26": "Loading of unsigned module is rejected",
        "5.11": "module: loading of unsigned module is rejected",
        "5.12": "Loading of unsigned module is rejected",
    }
    for kernel, line in lines.items():
        subject_ = subject(MODULE, None, kernel)
        named = replace(subject_, module=opened(replace(subject_.module.evidence, path="module.ko")))
        assert predict(named, Mode(enforcing=True)).message == line, kernel
    wrong = trailed(b"x" * 9, block=verdicts.info(9, 1))
    said = {
        "4.3": "Module is not signed with expected PKCS#7 message",
        "4.19": "m: Module is not signed with expected PKCS#7 message",
        "5.4": "module: not signed with expected PKCS#7 message",
        "6.12": "module: not signed with expected PKCS#7 message",
    }
    for kernel, line in said.items():
        subject_ = subject(wrong, None, kernel)
        named = replace(subject_, module=opened(replace(subject_.module.evidence, path="m.ko")))
        assert line in predict(named).log, kernel
