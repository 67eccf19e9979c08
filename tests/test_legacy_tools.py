"""The tools of the time over modules that elfsig signed, and elfsig over modules that they signed."""

from __future__ import annotations

import re
import struct
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from elfsig import registry
from elfsig.cli.app import elfsig
from elfsig.elf.image import Image
from elfsig.envelopes.openpgp.make import make_ring
from elfsig.model import SignOptions, Verdict
from elfsig.trust.entries import Material
from elfsig.trust.openpgp import read
from elfsig.trust.ring import Ring
from elfsig.verbs.edit.sign import sign
from elfsig.verbs.edit.strip import strip
from elfsig.verbs.verify.examine import Question, examine
from tests.support.gnupg import home
from tests.support.opened import opened
from tests.support.openpgp import private_key, signer
from tests.support.tools import need
from tests.support.vectors import read as vector_file

REGISTRY = registry.load(plugins=False)
KEYS = Ring(Material(tuple(read(make_ring(signer("dsa1024"), "Test"), "ring", "user", True))))
AS, LD, OBJCOPY = (f"x86_64-linux-gnu-{tool}" for tool in ("as", "ld", "objcopy"))
TOY = "unsigned/toyA-64.ko"
LINKED = "unsigned/toyA-64.linked.ko"
WISHES = [
    ("gkh", "textdata"),
    ("redhat", "fileorder"),
    ("note", "sorted"),
    ("note", "fileorder"),
    ("note", "fileorder-nobuildid"),
]
each_wish = pytest.mark.parametrize(("format_id", "coverage"), WISHES)


def run(*args: str | Path) -> str:
    done = subprocess.run(
        [need(str(args[0])), *map(str, args[1:])], capture_output=True, text=True, check=True
    )
    return done.stdout


def signed(format_id: str, coverage: str, name: str = LINKED) -> bytes:
    wish = SignOptions(coverage=coverage)
    return sign(opened(vector_file(name)), REGISTRY.get(format_id), signer("dsa1024"), wish).content


def verdict(content: bytes) -> Verdict | None:
    return examine(opened(content), Question(KEYS)).verdict


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "module.ko"


# --------------------------------------------------------------------------- legitimate changes


@each_wish
@pytest.mark.parametrize(
    "line", [("strip", "-g"), ("strip", "-x"), (OBJCOPY, "-R", ".comment")], ids=lambda line: " ".join(line)
)
def test_what_leaves_signatures_valid(
    work: Path, format_id: str, coverage: str, line: tuple[str, ...]
) -> None:
    work.write_bytes(signed(format_id, coverage))
    run(*line, work)
    assert verdict(work.read_bytes()) is Verdict.VALID


@each_wish
def test_linking_again_keeps_what_does_not_depend_on_order(work: Path, format_id: str, coverage: str) -> None:
    """Of a module that the linker laid out itself; one that it did not may get its sections reordered."""
    work.write_bytes(signed(format_id, coverage))
    again = work.with_suffix(".again.ko")
    run(LD, "-r", "-o", again, work)
    assert verdict(again.read_bytes()) is Verdict.VALID


@each_wish
def test_linking_that_moves_sections_breaks_all_that_goes_by_file_order(
    work: Path, format_id: str, coverage: str
) -> None:
    """An assembler puts .data in front of .rodata, the linker behind it: only ``sorted`` does not mind."""
    source, again = work.with_suffix(".s"), work.with_suffix(".again.ko")
    source.write_text('.text\nnop\n.data\n.quad 1\n.section .rodata,"a"\n.quad 2\n')
    run(AS, "-o", work, source)
    wish = SignOptions(coverage=coverage)
    made = sign(opened(work.read_bytes()), REGISTRY.get(format_id), signer("dsa1024"), wish)
    work.write_bytes(made.content)
    run(LD, "-r", "-o", again, work)
    wanted = Verdict.VALID if coverage == "sorted" else Verdict.INVALID
    assert (verdict(work.read_bytes()), verdict(again.read_bytes())) == (Verdict.VALID, wanted)


@each_wish
def test_without_symbols_only_text_and_data_still_match(work: Path, format_id: str, coverage: str) -> None:
    """``strip -s`` takes the symbols, and with them the relocations, and the module loads no more."""
    work.write_bytes(signed(format_id, coverage))
    run("strip", "-s", work)
    assert verdict(work.read_bytes()) is (Verdict.VALID if format_id == "gkh" else Verdict.INVALID)


@each_wish
def test_removing_the_section_leaves_an_unsigned_module(work: Path, format_id: str, coverage: str) -> None:
    work.write_bytes(signed(format_id, coverage))
    name = {"gkh": "module_sig", "redhat": ".module_sig", "note": ".note.module.sig"}[format_id]
    run(OBJCOPY, "-R", name, work)
    assert verdict(work.read_bytes()) is Verdict.UNSIGNED


# --------------------------------------------------------------------------- signed as they were then


def section(content: bytes, work: Path) -> tuple[str, ...]:
    """Name, type, size, flags and alignment of the signature section, as readelf prints them."""
    work.write_bytes(content)
    row = r"\] (\S*module.sig) +(\S+) +[0-9a-f]+ [0-9a-f]+ ([0-9a-f]+) 00 +([A-Z]*) +0 +0 +([0-9]+)$"
    (found,) = re.findall(row, run("readelf", "-SW", work), re.MULTILINE)
    return tuple(found)


@pytest.mark.parametrize(("format_id", "coverage"), WISHES[:2])
def test_objcopy_makes_the_same_section(work: Path, format_id: str, coverage: str) -> None:
    """Added, then ``--set-section-flags alloc``: the build rules of Fedora Core and RHEL."""
    ours = signed(format_id, coverage)
    place = examine(opened(ours), Question(KEYS)).signatures[0].place
    blob, name = work.with_suffix(".sig"), place.section
    blob.write_bytes(place.blob)
    work.write_bytes(vector_file(LINKED))
    run(OBJCOPY, "--add-section", f"{name}={blob}", work)
    run(OBJCOPY, "--set-section-flags", f"{name}=alloc", work)
    theirs = work.read_bytes()
    assert verdict(theirs) is Verdict.VALID
    assert section(ours, work) == section(theirs, work)


@pytest.mark.parametrize("coverage", ["sorted", "fileorder"])
def test_the_linker_makes_the_same_note(work: Path, coverage: str) -> None:
    """A note in an object of its own, linked in with ``ld -r``: the build rules of RHEL 6 and UEK2."""
    ours = signed("note", coverage)
    place = examine(opened(ours), Question(KEYS)).signatures[0].place
    note, object_ = work.with_suffix(".note"), work.with_suffix(".o")
    head = struct.pack("<III", 11, len(place.blob), 100) + b"module.sig\0\0"
    note.write_bytes(head + place.blob.ljust(-(-len(place.blob) // 4) * 4, b"\0"))
    unsigned = work.with_suffix(".unsigned")
    unsigned.write_bytes(vector_file(LINKED))
    source = f'.section .note.module.sig,"",@note\n.balign 4\n.incbin "{note}"\n'
    assembler = work.with_suffix(".s")
    assembler.write_text(source)
    run(AS, "-o", object_, assembler)
    run(LD, "-r", "-o", work, unsigned, object_)
    theirs = work.read_bytes()
    assert verdict(theirs) is Verdict.VALID
    assert section(ours, work.with_suffix(".ours")) == section(theirs, work)
    left = strip(opened(theirs)).content
    table = Image(left).elf
    assert table is not None
    assert not table.named(b".note.module.sig")


# --------------------------------------------------------------------------- elfsig keys openpgp


@pytest.mark.parametrize("program", ["gpg", "gpg1"])
@pytest.mark.parametrize("kind", ["rsa2048", "dsa1024"])
def test_gnupg_imports_the_ring_and_knows_the_signatures(tmp_path: Path, kind: str, program: str) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    pem, ring, out = tmp_path / "key.pem", tmp_path / "ring.gpg", tmp_path / "signed.ko"
    secret = private_key(kind).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem.write_bytes(secret)
    module = tmp_path / "module.ko"
    module.write_bytes(vector_file(TOY))
    born = ["--key-created", "1100000000"]
    for line in (
        ["keys", "openpgp", str(pem), "-o", str(ring), "--user-id", "Kernel Maker", *born],
        ["sign", str(module), "--format", "gkh", "--key", str(pem), "-o", str(out), *born],
        ["verify", str(out), "--trust", str(ring)],
    ):
        done = CliRunner().invoke(elfsig, line)
        assert done.exit_code == 0, done.output
    place = examine(opened(out.read_bytes()), Question(KEYS)).signatures[0].place
    coverage = REGISTRY.get("gkh").pairs[0].coverage
    stream = coverage.message(Image(out.read_bytes()), place).to_bytes()
    with home(program, [ring.read_bytes()]) as judge:
        assert judge.accepts(place.blob, stream)


def test_an_existing_ring_is_not_replaced(tmp_path: Path) -> None:
    ring = tmp_path / "ring.gpg"
    ring.write_bytes(b"precious")
    done = CliRunner().invoke(elfsig, ["keys", "openpgp", "no-such-key", "-o", str(ring)])
    assert done.exit_code == 1
    assert ring.read_bytes() == b"precious"
