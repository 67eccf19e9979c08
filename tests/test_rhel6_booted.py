"""What RHEL 6 kernels answer, as measured on a booted 2.6.32-504.el6 (Scientific Linux 6.6), file by file.

``tests/golden/ksign_504.tsv`` holds that kernel's answers to files that are made here. Files that were
judged elsewhere can be added:

    ELFSIG_RHEL6_FILES=DIRECTORY python -m pytest tests/test_rhel6_booted.py

DIRECTORY holds ``answers.tsv`` (tab-separated, with the columns name, ring, mode, errno, check, log),
``files/`` with the files, and the key rings as RING.gpg. A row whose file or ring is missing is passed over.
"""

from __future__ import annotations

import csv
import os
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from struct import pack
from typing import NamedTuple

import pytest

from elfsig.elf.table import ElfTable
from elfsig.kernels.catalogue import get
from elfsig.kernels.policy import Subject, predict
from elfsig.kernels.profile import Mode, Prediction, Profile
from elfsig.kernels.select import choose
from elfsig.model import Basis
from elfsig.trust.entries import Material
from elfsig.trust.keyring import load
from elfsig.trust.openpgp import read
from elfsig.trust.ring import Ring
from tests.support import elf, ksign_files
from tests.support.elf import Sec
from tests.support.ksign_files import NOTE, Maker, number, old, signed, sub
from tests.support.notes import Note
from tests.support.opened import opened
from tests.support.openpgp import private_key

GOLDEN = Path(__file__).parent / "golden" / "ksign_504.tsv"
RELEASE = "2.6.32-504.el6.x86_64"
MODES = (Mode(), Mode(enforcing=True))


class Row(NamedTuple):
    """One file, and the kernel's answers."""

    name: str
    permissive: str
    enforcing: str
    log: tuple[str, ...]


def _rows() -> Iterator[Row]:
    for line in GOLDEN.read_text().splitlines():
        if not line.startswith("#"):
            name, permissive, enforcing, log = (*line.split("\t"), "")[:4]
            yield Row(name, permissive, enforcing, tuple(log.split(" / ")) if log else ())


ROWS = list(_rows())


@cache
def made() -> dict[str, bytes]:
    return ksign_files.files()


@cache
def ring() -> Ring:
    return Ring(Material(tuple(read(ksign_files.ring(), "ring", "user", True))))


@cache
def booted() -> Profile:
    profile = choose(RELEASE).profile
    assert profile is not None
    return profile


def ask(content: bytes, kernel: str | None = None, **mode: bool) -> Prediction:
    profile = booted() if kernel is None else get(kernel)
    return predict(Subject(opened(content), ring(), profile), Mode(**mode))


def word(answer: Prediction) -> str:
    return "passed" if answer.accepted else answer.errno or "died"


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in ROWS])
def test_the_booted_kernel_answers_as_predicted(row: Row) -> None:
    permissive, enforcing = (
        predict(Subject(opened(made()[row.name]), ring(), booted()), each) for each in MODES
    )
    assert (word(permissive), word(enforcing)) == (row.permissive, row.enforcing), permissive.reason
    assert permissive.log == row.log
    forbidden = ("An attempt to load unsigned module was rejected",)
    assert enforcing.log == (row.log if row.permissive == row.enforcing else forbidden)


def test_there_is_an_answer_to_every_file() -> None:
    assert sorted(made()) == sorted(row.name for row in ROWS)
    assert booted().id == "rhel6-late" and booted().basis is Basis.BOOTED


# --------------------------------------------------------------------------- what stops the machine


def _with_symbol(content: bytes, place: int) -> bytes:
    """Symbol 3 in the section of this number."""
    at = ElfTable(content).rows[elf.index_of(content, ".symtab")].offset + 3 * 24 + 6
    return content[:at] + pack("<H", place) + content[at + 2 :]


@pytest.mark.parametrize("place", [0xFF00, 0xFFF0, 0xFFFF])
def test_reserved_section_numbers_of_symbols_crash_the_kernel(place: int) -> None:
    """Measured with these three on 2.6.32-504.el6, with modules whose vermagic was its own."""
    for content, errno in ((_with_symbol(ksign_files.BASE, place), "EKEYREJECTED"), (_signed(place), None)):
        permissive, enforcing = ask(content), ask(content, enforcing=True)
        assert (permissive.fault, permissive.panic, permissive.accepted) == ("kernel-crash", True, False)
        assert "crashes on it" in permissive.reason and "Do not load it" in permissive.advice
        assert enforcing.errno == errno and enforcing.panic is (errno is None)


def _signed(place: int) -> bytes:
    base = _with_symbol(ksign_files.BASE, place)
    return _with_symbol(signed(old(Maker(private_key("dsa1024")).v4(base=base))), place)


@pytest.mark.parametrize("place", [0xFFF1, 0xFFF2, 0])
def test_other_section_numbers_of_symbols_do_not(place: int) -> None:
    """SHN_COMMON is refused later ("please compile with -fno-common"), and that is not simulated."""
    assert ask(_signed(place)).accepted


def test_a_symbol_table_without_strings_crashes_the_kernel() -> None:
    content = elf.patched(made()["good"], elf.index_of(made()["good"], ".symtab"), link=0)
    assert ask(content, enforcing=True).fault == "kernel-crash"


@pytest.mark.parametrize("kernel", [None, "rhel6-early", "rhel5", "uek2"])
def test_a_public_key_whose_numbers_cannot_be_read_crashes_the_kernel(kernel: str | None) -> None:
    """Measured on 2.6.32-504.el6; the others have the same ksign_parse_key()."""
    key = b"\4" + bytes(4) + b"\x11" + (40000).to_bytes(2) + bytes(20)
    blob = old(key, 6) + old(Maker(private_key("dsa1024")).v4())
    content = signed(blob)
    if kernel == "rhel5":
        content = ksign_files.with_section(blob, ".module_sig", 1)
    answer = ask(content, kernel, enforcing=True)
    assert (answer.fault, answer.panic, answer.errno) == ("kernel-crash", True, None)
    assert "a public key packet in it cannot be read" in answer.reason


# --------------------------------------------------------------------------- FIPS mode


def _registers(name: bytes) -> bytes:
    """An unsigned module that refers to a function of this name."""
    symbols = elf.symbol(0, 0, 0) + elf.symbol(1, 0x10, 0)
    return elf.build(
        [
            Sec(".text", bytes(16), flags=6),
            Sec(".symtab", symbols, 2, 0, 3, 1, 8, 24),
            Sec(".strtab", b"\0" + name + b"\0", 3),
        ]
    )


def test_fips_mode_stops_for_modules_that_register_an_algorithm() -> None:
    """Measured: refused modules are refused, unsigned ones load, and only this kind stops the machine."""
    crypto, plain = _registers(b"crypto_register_template"), _registers(b"register_netdev")
    assert ask(plain, fips=True).accepted and ask(crypto).accepted
    answer = ask(crypto, fips=True)
    assert answer.panic and answer.log[-1].endswith("signature verification failed in FIPS mode")
    assert ask(crypto, fips=True, enforcing=True).errno == "EKEYREJECTED"
    assert ask(made()["bad"], fips=True).errno == "EKEYREJECTED"
    assert ask(made()["rsa"], fips=True, enforcing=True).errno == "ELIBBAD"


# --------------------------------------------------------------------------- the machine


def test_a_release_names_the_machine_that_its_modules_must_be_for() -> None:
    other = elf.build([Sec(".text", bytes(4), flags=6)], bits=32, machine=3)
    assert ask(other).errno == "ENOEXEC" and ask(other).fault == "not-module"
    assert ask(other, "rhel6-late").errno == "ELIBBAD"  # an i386 kernel: it has no symbol table
    for arm in (elf.build([], machine=183), elf.build([], machine=40, bits=32)):
        assert ask(arm, "rhel6-late").errno == ask(arm, "rhel5").errno == "ENOEXEC"


def test_modules_of_other_machines_are_read_in_their_own_byte_order() -> None:
    big = elf.build([Sec(".text", bytes(4), flags=6)], order=">", machine=21)
    little = big[:5] + b"\1" + big[6:]
    for content in (big, little):
        answer = ask(content, "rhel6-late")
        assert answer.log == ("Couldn't locate module symbol table", "Module failed ELF checks")


def test_uek2_wants_the_section_table_in_the_file() -> None:
    cut = made()["elf-without-the-last-byte"]
    assert (ask(cut).errno, ask(cut, "uek2").errno) == ("ELIBBAD", "ENOEXEC")
    odd = ask(made()["elf-shoff-odd"], "uek2")
    assert odd.log[0] == "Verify ELF error (assertion 73)"  # its source has two more lines before that check


# --------------------------------------------------------------------------- relatives: read, not measured

EARLY = {
    "good": "passed",
    "v3": "passed",
    "md5-then-good": "passed",
    "hash-8": "ENOENT",
    "zeros-after": "EBADMSG",
    "unhashed-beyond-the-packet": "ENOENT",
    "unhashed-beyond-then-good": "passed",
    "issuer-in-both-last-right": "passed",
    "issuer-in-both-last-wrong": "ENOKEY",
    "subpacket-of-0-bytes": "passed",
    "time-short": "EBADMSG",
    "s-zero": "EKEYREJECTED",
    "note-owner": "ELIBBAD",
}
"""RHEL 6.0 to 6.5 by its sources: SHA-1 only, packets read once and after hashing, errors as they are."""


@pytest.mark.parametrize("name", EARLY)
def test_earlier_rhel6_by_its_sources(name: str) -> None:
    assert word(ask(made()[name], "rhel6-early")) == EARLY[name]


RHEL5 = {
    "good": "passed",
    "issuer-in-both-last-right": "EPERM",
    "issuer-in-both-last-wrong": "passed",
    "time-short": "passed",
    "issuer-short": "EPERM",
    "unhashed-beyond-the-packet": "EBADMSG",
    "class-2-then-good": "passed",
    "nothing-hashed-as-the-kernel": "passed",
    "tag-0-then-good": "passed",
}


@pytest.mark.parametrize("name", RHEL5)
def test_rhel5_by_its_sources(name: str) -> None:
    """The first issuer counts; the time is not looked at; damage is never forgiven."""
    table = ElfTable(made()[name])
    note = table.content(elf.index_of(made()[name], NOTE))
    blob = note[24 : 24 + int.from_bytes(note[4:8], "little")]
    # The stream of RHEL 5 is another one, so the value cannot hold: a value that is reached is enough.
    answer = ask(ksign_files.with_section(blob, ".module_sig", 1), "rhel5")
    reached = answer.fault == "mismatch"
    assert ("passed" if reached else word(answer)) == RHEL5[name], answer.reason
    if reached:
        assert any(re.match(r"ksign: public key is \d+ seconds newer", line) for line in answer.log)


def test_a_number_without_an_inverse_is_no_error_here() -> None:
    """mpi_invm() of a hostile key's q that is not a prime."""
    maker = Maker(private_key("dsa1024"))
    content = signed(old(maker.v4(numbers=lambda r, s: number(r) + number(1))))
    assert ask(content).errno == "EKEYREJECTED"


def test_many_odd_packets_are_read_quickly_and_logged_in_part() -> None:
    blob = old(bytes([4, 0, 1]) + bytes(13)) * 3000 + old(Maker(private_key("dsa1024")).v4(sub(2, bytes(4))))
    answer = ask(signed(blob))
    assert answer.accepted and len(answer.log) < 500
    assert any("only the first" in line for line in answer.log)


# --------------------------------------------------------------------------- files that were judged elsewhere

DIRECTORY = "ELFSIG_RHEL6_FILES"
CRASHES_BY_ITSELF = re.compile(r"oraoops")
"""Modules whose own code crashes, after everything else went well."""


def test_files_that_were_judged_elsewhere(note: Note) -> None:
    folder = os.environ.get(DIRECTORY)
    if not folder:
        pytest.skip(f"opt-in: set {DIRECTORY} to a directory of files with a booted kernel's answers")
    rings = {path.stem: load([str(path)]) for path in Path(folder).glob("*.gpg")}
    with open(Path(folder) / "answers.tsv", newline="") as table:
        answers = list(csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE))
    counts: Counter[str] = Counter()
    wrong = []
    for each in answers:
        path = Path(folder) / "files" / each["name"]
        if each["ring"] not in rings or not path.exists():
            counts["passed over"] += 1
            continue
        mode = Mode(enforcing="enforcing" in each["mode"], fips="fips" in each["mode"])
        answer = predict(Subject(opened(str(path)), rings[each["ring"]], booted()), mode)
        difference = _difference(each, answer)
        counts["differ" if difference else "agree"] += 1
        if difference and not any("uninitialised memory" in line for line in answer.notes):
            wrong.append((each["name"], each["ring"], each["mode"], difference))
    note(f"{RELEASE}: {dict(counts)}")
    assert not wrong
    assert counts["agree"] > 1


def _difference(row: dict[str, str], answer: Prediction) -> str | None:
    """What differs: the errno, or the lines in the log where the signature check decided."""
    log = tuple(line for line in row["log"].split(" / ") if line)
    if row["errno"] == "died":
        own = CRASHES_BY_ITSELF.search(row["name"])
        return None if answer.panic or own else f"died, and not {word(answer)}"
    expected = "passed" if row["check"] == "passed" else row["errno"]
    if word(answer) != expected:
        return f"{expected}, and not {word(answer)}"
    return f"logs {log}, and not {answer.log}" if expected != "passed" and log != answer.log else None
