"""Genuine files below a directory: RHEL 6.2's modules, a kernel of EL 6, modules of old compilers.

The four modules of RHEL 6.2 are in the public history of kmod:

    git clone https://git.kernel.org/pub/scm/utils/kernel/kmod/kmod.git && git -C kmod checkout v18
    export ELFSIG_AUTHENTIC=kmod/testsuite/rootfs-pristine/test-modinfo
    python -m pytest tests/test_genuine_modules.py

They are data to check against, and not part of this project. Files are known by their SHA-256.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from elfsig import registry
from elfsig.coverages.canonical import SORTED
from elfsig.elf.image import Image
from elfsig.elf.records import STT_SECTION, symbol_columns
from elfsig.elf.table import SHT_NOTE, SHT_REL, SHT_RELA, ElfTable
from elfsig.errors import ElfsigError
from elfsig.kernels.policy import Subject, predict
from elfsig.kernels.profile import Mode
from elfsig.kernels.select import choose
from elfsig.model import SignatureReport, SignOptions, Verdict
from elfsig.opened.module import Module
from elfsig.trust.entries import Material, Origin
from elfsig.trust.keyring import load
from elfsig.trust.make import key_from_public
from elfsig.trust.ring import Ring
from elfsig.verbs.edit.convert import Target, convert, look, plan
from elfsig.verbs.edit.sign import sign
from elfsig.verbs.edit.strip import strip
from elfsig.verbs.verify.digest_bits import BEFORE_STRIP, CODES, DIFFERS, FITS
from elfsig.verbs.verify.examine import Question, examine
from tests.support import authentic, elf
from tests.support.notes import Note
from tests.support.opened import opened
from tests.support.openpgp import private_key, signer
from tests.support.tools import need

REGISTRY = registry.load(plugins=False)
NOTE = ".note.module.sig"
RHEL_6_2 = {
    "i686": ("59c719badc47e57ab4413f9e5859b660dc5d9f26447c5631e7771ec615b6f927", "0aab990babcb4471", "1ed5"),
    "ppc64": ("60ea06c695a3e068325a3c136a23351cfe92434dbc5a16d68a82ad08d3b3be6c", "67106e4bd1c0a6dd", "c4aa"),
    "s390x": ("f8603adbebcc02b7128bc031d6c09a1588ba8a5a22d5c2b084986d749ec75357", "2aee51dfb6f83c3c", "6285"),
    "x86_64": (
        "cfc5c2dd8ab0046e3a27ed256535ce159b8b1f439084700304f2314e4aee7a04",
        "4bb1e63d18b42658",
        "4304",
    ),
}
"""ext4.ko of 2.6.32-220.el6: SHA-256, key id, and the first 16 bits of the digest, as their packets say."""

EL6_504 = "48452b0e29e5000bdd8389669c57b71bf564a46af9d7b5c438572dcea9192e4a"
"""vmlinuz-2.6.32-504.el6.x86_64 of Scientific Linux 6.6 (github.com/projectvacuum/viab, isolinux/vmlinuz)."""

OLD = {
    "2.6.11, gcc 3.3": (
        "e4df15c59ec56d25cd55f9c769cb7af566fc2e0f1ff9d77225d3fa5d5cf7454b",
        "c7d49f22a09ddbc44347de7cb5ff3bb77bf11ed8727a0348f43b9bc8ab7cf88f",
    ),
    "2.6.32, gcc 4.4.5": (
        "c8f80e95907f107c97321f38758f0396719ae352b04c459d933efd1fbba74e77",
        "5a264b0b836b530248e52bdb887c5125dc3ae44278cb99f8d67848820331a39d",
        "aacee1c03c1dfef46e2f49f357ee9717c17d7293bd71e03a9a29417aead23646",
        "6914cca4a3a804913a496430f99e32caf37893e52df8df74e07ff1c484c120ef",
    ),
}
"""Unsigned modules that compilers of the time made (github.com/wyangsc/linux-2.6.11_bzImage_vmlinux and
github.com/perceus/perceus)."""

LARGEST = 16 << 20
SECTION_FORMATS = (
    ("redhat", None), ("note", "sorted"), ("note", "fileorder"), ("note", "fileorder-nobuildid"),
    ("gkh", None),
)  # fmt: skip


@cache
def _found() -> dict[str, Path]:
    """The files below the directory, by their SHA-256."""
    folder = os.environ.get(authentic.DIRECTORY)
    files = [path for path in Path(folder).rglob("*") if ".git" not in path.parts] if folder else []
    regular = [path for path in files if path.is_file() and path.stat().st_size <= LARGEST]
    return {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in regular}


def genuine(sha256: str, what: str) -> Path:
    """The file of this hash; skips the test where it is not there."""
    path = _found().get(sha256)
    if path is None:
        pytest.skip(
            f"opt-in: {authentic.DIRECTORY} names no directory with {what}; see this file's first lines"
        )
    return path


@pytest.fixture(params=RHEL_6_2)
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def rhel(machine: str) -> bytes:
    return genuine(RHEL_6_2[machine][0], f"RHEL 6.2's ext4.ko for {machine}").read_bytes()


def only(content: bytes, ring: Ring | None = None) -> SignatureReport:
    (found,) = examine(opened(content, REGISTRY), Question(ring)).signatures
    return found


def bits(content: bytes) -> tuple[str, str]:
    """Code and text of what the digest bits say."""
    ((code, text),) = ((w.code, w.text) for w in only(content).warnings if w.code in CODES)
    return code, text


def only_unsigned(content: bytes) -> bool:
    return examine(opened(content, REGISTRY), Question()).verdict is Verdict.UNSIGNED


def ours() -> Ring:
    return Ring(
        Material((key_from_public(private_key("dsa1024").public_key(), Origin("ours", "user", True)),))
    )


# --------------------------------------------------------------------------- RHEL 6.2


def test_the_digest_bits_fit_sorted_and_nothing_else(machine: str) -> None:
    content = rhel(machine)
    code, text = bits(content)
    assert code == FITS and "match sorted, which" in text
    found = only(content)
    assert found.format == "note" and found.claims is not None
    assert (found.claims.algorithm, found.claims.hash) == ("dsa", "sha1")
    said = (found.claims.key_id or b"").hex(), found.claims.facts["hash16"]
    assert said == RHEL_6_2[machine][1:]


def test_a_changed_byte_is_told_with_the_expected_coverage(machine: str) -> None:
    content = bytearray(rhel(machine))
    content[ElfTable(bytes(content)).rows[elf.index_of(bytes(content), ".text")].offset + 8] ^= 1
    code, text = bits(bytes(content))
    assert code == DIFFERS and f"starting {RHEL_6_2[machine][2]}" in text
    assert "expected by the module's vermagic" in text.partition(";")[0]


def test_the_note_is_where_ld_r_left_it(machine: str) -> None:
    """Before .symtab, and with a symbol of its own: what the engines have to renumber."""
    content = rhel(machine)
    table = ElfTable(content)
    nr, symtab = elf.index_of(content, NOTE), elf.index_of(content, ".symtab")
    row = table.rows[nr]
    assert (row.type, row.flags, row.align) == (SHT_NOTE, 0, 4)
    assert row.offset < table.rows[symtab].offset and nr < symtab
    columns, data = symbol_columns(table), table.content(symtab)
    symbols = zip(columns.info.read(data), columns.shndx.read(data), strict=True)
    assert [info & 15 for info, at in symbols if at == nr] == [STT_SECTION]


@pytest.mark.parametrize("engine", ["exact", "lief"])
def test_both_engines_strip_and_sign_them(machine: str, engine: str) -> None:
    content = rhel(machine)
    (found,) = opened(content, REGISTRY).places
    bare = strip(opened(content, REGISTRY), engine=engine).content
    assert (
        SORTED.message(Image(bare), None).to_bytes() == SORTED.message(Image(content), found.place).to_bytes()
    )
    wish = SignOptions(coverage="sorted", engine=engine)
    signed = sign(opened(bare, REGISTRY), REGISTRY.get("note"), signer("dsa1024"), wish).content
    assert only(signed, ours()).verdict is Verdict.VALID
    again = strip(opened(signed, REGISTRY), engine=engine).content
    assert only_unsigned(again) and (engine == "lief" or again == bare)


@pytest.mark.parametrize("machine", ["i686", "x86_64"])
def test_today_s_strip_is_seen_through_without_any_key(machine: str, tmp_path: Path) -> None:
    path = tmp_path / "stripped.ko"
    path.write_bytes(rhel(machine))
    assert subprocess.run([need("strip"), "-g", path]).returncode == 0
    assert bits(path.read_bytes())[0] == BEFORE_STRIP


# --------------------------------------------------------------------------- the kernel of EL 6.6


def test_the_genuine_ring_has_three_keys_and_none_of_rhel_6_2() -> None:
    image = genuine(EL6_504, "vmlinuz-2.6.32-504.el6.x86_64")
    chosen = choose(str(image))
    assert chosen.profile is not None
    assert (chosen.profile.id, chosen.release) == ("rhel6-late", "2.6.32-504.el6.x86_64")
    keys = load([str(image)])
    ids = sorted(value.hex() for key in keys.keys for kind, value in key.ids if kind == "openpgp")
    assert ids == ["cb445e0da3ea1f65", "d4a26c9ccd09beda", "e09ee6f869bfd302"]
    content = rhel("x86_64")
    for mode in (Mode(), Mode(enforcing=True)):
        answer = predict(Subject(opened(content, REGISTRY), keys, chosen.profile), mode)
        assert (answer.errno, answer.log[-1]) == ("ENOKEY", "Module signed with unknown public key")


# --------------------------------------------------------------------------- modules of old compilers


@pytest.mark.parametrize(("format_id", "coverage"), SECTION_FORMATS, ids=lambda value: str(value))
@pytest.mark.parametrize("era", OLD)
def test_old_modules_in_the_section_formats(
    era: str, format_id: str, coverage: str | None, tmp_path: Path
) -> None:
    """Signed, verified and stripped exactly; today's strip -g alters the headers of relocation sections."""
    for sha256 in OLD[era]:
        plain = genuine(sha256, f"modules of {era}").read_bytes()
        rows = ElfTable(plain).rows
        count = sum(row.type in (SHT_REL, SHT_RELA) for row in rows)
        assert count and not any(row.flags & 0x40 for row in rows)
        wish = SignOptions(coverage=coverage, force=True)
        made = sign(opened(plain, REGISTRY), REGISTRY.get(format_id), signer("dsa1024"), wish).content
        assert only(made, ours()).verdict is Verdict.VALID
        assert strip(opened(made, REGISTRY)).content == plain
        path = tmp_path / "stripped.ko"
        path.write_bytes(made)
        assert subprocess.run([need("strip"), "-g", path]).returncode == 0
        found = only(path.read_bytes(), ours())
        if format_id == "gkh":  # it hashes no headers
            assert found.verdict is Verdict.VALID
            continue
        assert found.verdict is Verdict.INVALID and found.cause is not None
        assert found.cause.code == "relocation-headers-altered"
        assert "all else is as it was signed" in found.cause.text


# --------------------------------------------------------------------------- both engines


def test_how_many_genuine_modules_each_engine_edits(note: Note) -> None:
    known = [row[0] for row in RHEL_6_2.values()] + [each for group in OLD.values() for each in group]
    paths = [_found()[each] for each in known if each in _found()]
    if not paths:
        pytest.skip(f"opt-in: {authentic.DIRECTORY} names no directory with genuine modules")
    for engine in ("exact", "lief"):
        counts: Counter[str] = Counter()
        for path in paths:
            _edit(opened(str(path), REGISTRY), engine, counts)
        note(f"engine {engine} on {len(paths)} genuine modules: {dict(counts)}")
        assert not [word for word in counts if not word.endswith(" done")], counts


def _edit(module: Module, engine: str, counts: Counter[str]) -> None:
    """Convert a signature that is there, or one that is made, to another section; strip it, and sign."""

    def done(word: str, job: Callable[[], Module]) -> Module:
        try:
            made = job()
        except ElfsigError as refusal:
            counts[f"{word} {refusal.code}"] += 1
            return module
        counts[f"{word} done"] += 1
        return made

    wish, who = SignOptions(coverage="sorted", engine=engine), signer("dsa1024")
    if not module.places:
        module = done("sign", lambda: sign(module, REGISTRY.get("note"), who, wish).module)
    to = plan(
        [Target(REGISTRY.get("redhat"), who, SignOptions(engine=engine))], REGISTRY, None, unverified=True
    )
    converted = done("convert", lambda: convert(module, look(module, to), to).module)
    for each in (module, converted):
        bare = done("strip", lambda each=each: strip(each, engine=engine).module)  # type: ignore[misc]
        done("sign", lambda bare=bare: sign(bare, REGISTRY.get("note"), who, wish).module)  # type: ignore[misc]
