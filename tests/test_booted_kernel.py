"""Debian's own kernels, booted in an emulator, as judges of what elfsig predicts.

Each boots once with every certificate of the matrix in UEFI's db, and answers for every file in three
modes. Here that of Debian 12 and the newest are asked; ``python -m tests.oracle debian`` asks all that the
mirror has, and prints their answers as a table.
"""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from elfsig.trust.efi import is_list, read
from elfsig.trust.entries import Origin
from tests.oracle import build, firmware, initramfs
from tests.oracle import report as reports
from tests.oracle.judge import Judge, debian, small
from tests.oracle.kernel import SAMPLE
from tests.support.bootable import ALWAYS, BOOTABLE, bootable, version_key
from tests.support.cms import identity
from tests.support.notes import Note
from tests.support.tools import need

pytestmark = pytest.mark.booted


def judge(name: str) -> Judge:
    """The judge of a kernel in the cache; skips where it, or what it takes to boot it, is missing."""
    package = bootable(name)
    if package is None:
        wanted = BOOTABLE[name].pattern
        pytest.skip(f"gone: {wanted} is not available, or was not fetched (python -m tests.setup)")
    for tool in ("qemu-system-x86_64", "perl", "ldd", "ovmf"):
        need(tool)
    return debian(package)


@pytest.mark.parametrize("name", ALWAYS)
def test_the_kernel_answers_as_predicted(name: str, note: Note) -> None:
    asked = judge(name)
    report = asked.report
    assert report.release == asked.release
    assert report.compression == (asked.unpacks or "")
    assert report.modes == {
        "permissive": ("none", "N"), "lockdown": ("integrity", "N"), "enforcing": ("integrity", "Y")
    }  # fmt: skip
    assert not any(report.before.values())
    assert len(asked.cases) >= 25
    assert [str(each) for each in asked.differences()] == []
    _the_matrix_is_no_formality(asked)
    note(f"{report.release}: {len(asked.cases)} files in {len(report.modes)} modes, {report.seconds:.0f} s")


def test_a_kernel_with_every_algorithm_answers_as_predicted(note: Note) -> None:
    if not (build.folder() / build.IMAGE).exists():
        pytest.skip("opt-in: build a kernel with ML-DSA first (python -m tests.oracle.build)")
    need("qemu-system-x86_64")
    asked = small(build.folder())
    assert [str(each) for each in asked.differences()] == []
    good = [
        n for n, case in enumerate(asked.cases) if case.name.startswith("mldsa") and " with sha" in case.name
    ]
    assert [asked.answer(number, "enforcing").errno for number in good] == ["ENOEXEC"] * 12
    note(f"{asked.report.release}: {len(asked.cases)} files, {asked.report.seconds:.0f} s")


def _the_matrix_is_no_formality(asked: Judge) -> None:
    """Every class of answer is in it, and whatever elfsig made of the module loads into the kernel."""
    answers = asked.report.answers
    errnos = {answer.errno for each in answers.values() for answer in each.values()}
    assert errnos >= {None, "EKEYREJECTED", "EBADMSG", "EPERM", "ENOEXEC", "EINVAL"}
    assert {answer.taint for answer in answers["permissive"].values()} == {None, "", "E"}
    assert any("tainting kernel" in line for a in answers["permissive"].values() for line in a.log)
    for number, case in enumerate(asked.cases):
        if "converted to pkcs7" in case.name or "pkcs7 on top of" in case.name:
            assert asked.answer(number, "enforcing").errno is None, case.name


# --------------------------------------------------------------------------- the machinery itself


def _report(*lines: str, count: int | None = None) -> str:
    total = sum(sum(line.encode()) + 10 for line in lines)
    end = f"end\t{len(lines) if count is None else count}\t{total}"
    return "\r\n".join(["\x1b[2Jfirmware says hello", "begin", *lines, end, ""])


LINES = (
    "release\t7.0", "compression\txz", "key\tasymmetri x", "before\tsha3\t0", "mode\tenforcing\tnone\tY",
    "answer\t0001\t0", f"loaded\t{SAMPLE}\tOE\t0", "answer\t0002\t129", "log\tLoading of\ttabs is rejected",
)  # fmt: skip


def test_a_report_is_whole_or_none_at_all() -> None:
    report = reports.parse(_report(*LINES))
    assert report is not None and (report.release, report.keys) == ("7.0", ["asymmetri x"])
    answers = report.answers["enforcing"]
    assert answers["0001"] == reports.Answer(None, (), "OE")
    assert answers["0002"] == reports.Answer("EKEYREJECTED", ("Loading of\ttabs is rejected",), None)
    assert reports.parse(_report(*LINES, count=8)) is None
    assert reports.parse(_report(*LINES).replace("129", "128")) is None
    assert reports.parse(_report(*LINES).partition("end")[0]) is None
    stuck = (*LINES[:-3], f"loaded\t{SAMPLE}\t\t11")
    with pytest.raises(reports.BootFailed, match="could not be removed"):
        reports.parse(_report(*stuck))


def test_the_store_holds_what_elfsig_reads_from_it() -> None:
    empty = bytearray(4096)
    struct.pack_into("<H", empty, 0x30, 72)
    struct.pack_into("<I", empty, 72 + 16, 4000)
    certificate = identity().certificate
    hashes = firmware.signature_list(firmware.SHA256, [b"h" * 32])
    store = firmware.Store(bytes(empty))
    store.add("db", firmware.IMAGE_SECURITY, firmware.signature_list(firmware.X509, [certificate]))
    store.add("dbx", firmware.IMAGE_SECURITY, hashes)
    store.add("MokList", firmware.SHIM, b"")
    whole = store.image
    db, dbx = (whole.index(n.encode("utf-16-le") + b"\0\0") for n in ("db", "dbx"))
    found = whole[db + 6 : db + 6 + 44 + len(certificate)]
    assert is_list(found) and len(read(found, Origin("db")).keys) == 1
    assert whole[dbx + 8 :].startswith(hashes)
    assert store.get("dbx", firmware.IMAGE_SECURITY) == hashes
    assert store.get("MokList", firmware.SHIM) == store.get("dbx", firmware.SHIM) == b""
    store.add("db", firmware.IMAGE_SECURITY, hashes)
    again = store.image
    assert store.get("db", firmware.IMAGE_SECURITY) == found + hashes
    assert again.count(certificate) == 2, "the old one is still there, and marked as deleted"
    for old, new in zip(whole[: dbx + 8], again, strict=False):
        assert old & new == new, "flash: bits only fall"
    with pytest.raises(AssertionError, match="too many"):
        store.set("db", firmware.IMAGE_SECURITY, certificate * 9)


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("linux-image-7.3-cloud-amd64", "linux-image-7.3.4+deb13-cloud-amd64"),
        ("linux-image-6.12.9+deb12-cloud-amd64", "linux-image-6.12.117+deb12-cloud-amd64"),
        ("linux-image-5.10.0-9-amd64", "linux-image-5.10.0-32-amd64"),
    ],
)
def test_the_newest_kernel_is_found_by_its_numbers(older: str, newer: str) -> None:
    assert version_key(older) < version_key(newer)


def test_an_initramfs_is_an_archive(tmp_path: Path) -> None:
    archive = initramfs.Archive()
    archive.file("/a/b/file", b"content")
    archive.folder("a/b")
    archive.device("dev/console", 5, 1)
    data = archive.to_bytes()
    assert data.count(b"070701") == 5 and data.count(b"a/b\0") == 1 and len(data) % 4 == 0
    assert b"a/b/file\0\0content\0" + b"070701" in data
