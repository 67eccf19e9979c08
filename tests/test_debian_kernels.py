"""Real modules of Debian's kernels on four architectures: all valid, no unnoticed change, exact edits."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from corpus import KEYS
from elfsig.carriers.trailer import INFO, MARKER, unpack_info
from elfsig.model import Verdict
from elfsig.trust import keyring
from elfsig.verbs.verify.examine import Question, examine
from tests.support.cli import elfsig
from tests.support.debian import debian_kernel, debian_modules, debian_vmlinuz
from tests.support.kernels import ARCHES
from tests.support.notes import Note
from tests.support.opened import opened

pytestmark = pytest.mark.parametrize("arch", ARCHES)

SEED = 20030101
MODULES, POSITIONS = 10, 16
"""How many modules of an architecture are changed, at how many places of the content of each."""


def question(arch: str) -> Question:
    """Is it signed by a key in the kernel image of its own package?"""
    return Question(keyring.load([str(debian_vmlinuz(arch))]))


def trailer_size(data: bytes) -> int:
    """Size of the CMS, the info block and the marker behind a module."""
    end = len(data) - len(MARKER)
    return unpack_info(data[end - INFO.size : end]).sig_len + INFO.size + len(MARKER)


def changed(data: bytes, position: int, value: int) -> bytes:
    """``data`` with the byte at ``position`` exclusive-ored with ``value``."""
    return data[:position] + bytes([data[position] ^ value]) + data[position + 1 :]


def sample(arch: str) -> list[Path]:
    """Modules of every size: the smallest, the largest, and others in even steps between."""
    by_size = sorted(debian_modules(arch), key=lambda path: (path.stat().st_size, path))
    return [by_size[i * (len(by_size) - 1) // (MODULES - 1)] for i in range(MODULES)]


def test_every_module_is_valid_under_the_key_in_its_own_kernel(arch: str) -> None:
    modules = debian_modules(arch)
    ran = elfsig("verify", "--jsonl", "--trust", debian_vmlinuz(arch), debian_kernel(arch).path)
    assert ran.code == 0, ran.err
    reports = [line for line in ran.out.splitlines() if '"verdict": "valid"' in line]
    assert len(reports) == len(ran.out.splitlines()) == len(modules)
    for report in elfsig("verify", "--jsonl", "--trust", debian_vmlinuz(arch), *modules[::50]).files():
        assert report["verdict"] == "valid"
        assert [found["format"] for found in report["signatures"]] == ["pkcs7"]
        assert report["signatures"][0]["key"]["role"] == "builtin"


def test_a_changed_byte_of_the_content_is_never_valid(arch: str, note: Note) -> None:
    dice, asked, tried = random.Random(SEED), question(arch), 0
    for path in sample(arch):
        data = path.read_bytes()
        size = len(data) - trailer_size(data)
        places = {0, 4, 5, 16, 40, size - 1, *dice.sample(range(size), POSITIONS)}
        if len(data) > 1 << 20:
            places = {0, size - 1, dice.randrange(size)}
        for position in places:
            mutant = changed(data, position, dice.randrange(1, 256))
            assert examine(opened(mutant), asked).verdict is Verdict.INVALID, (path, position)
            tried += 1
    note(f"{arch}: {tried} changes to the content of {MODULES} modules, none of them valid")


IGNORED = {
    "digest-not-listed": "SignedData.digestAlgorithms, which kernels skip",
    "algorithm-parameters": "parameters of an algorithm, which kernels skip",
    "combined-algorithm": "rsaEncryption turned into sha256WithRSAEncryption, which only kernels refuse",
}
"""The anomalies under which a changed CMS may still be valid: each is named in a warning."""


def mutants(arch: str) -> Iterator[tuple[int, bytes]]:
    """(offset in the signature, changed module): every byte from the CMS to the marker of the smallest
    module in several ways each, and POSITIONS of them in each of the others."""
    dice = random.Random(SEED)
    for index, path in enumerate(sample(arch)):
        data = path.read_bytes()
        start = len(data) - trailer_size(data)
        if not index:
            for position in range(start, len(data)):
                for value in (0x01, 0x02, 0x04, 0x20, 0x80, 0xFF):
                    yield position - start, changed(data, position, value)
        for position in dice.sample(range(start, len(data)), POSITIONS if index and start < 1 << 20 else 0):
            yield position - start, changed(data, position, dice.randrange(1, 256))


def test_a_changed_byte_of_signature_or_trailer_is_valid_only_where_kernels_ignore_it(
    arch: str, note: Note
) -> None:
    asked, tried = question(arch), 0
    survivors: dict[int, set[str]] = {}
    for offset, mutant in mutants(arch):
        tried += 1
        report = examine(opened(mutant), asked)
        if report.verdict is Verdict.VALID:
            codes = {warning.code for found in report.signatures for warning in found.warnings}
            assert codes & IGNORED.keys(), f"byte {offset} of the signature: valid without a word"
            survivors.setdefault(offset, set()).update(codes & IGNORED.keys())
    reasons = sorted({IGNORED[code] for codes in survivors.values() for code in codes})
    note(
        f"{arch}: {tried} changes to signatures and trailers; still valid with a warning are those to bytes "
        f"{sorted(survivors)} of the CMS: {'; '.join(reasons)}"
    )
    # The OID of SHA-256 in digestAlgorithms, and the tag of the parameters of rsaEncryption. By one change of
    # all, which chance may try, that OID becomes the one that says the same and names the hash as well.
    data = sample(arch)[0].read_bytes()
    start = len(data) - trailer_size(data)
    oid = data.index(bytes.fromhex("608648016503040201"), start) - start
    rsa = data.index(bytes.fromhex("2a864886f70d0101010500"), start) - start
    assert set(survivors) - {rsa + 8} == {*range(oid, oid + 9), rsa + 9}


@pytest.mark.parametrize(("format_id", "step"), [("pkcs7", 7), ("x509", 40)])
def test_strip_sign_strip_gives_the_unsigned_module_back(
    arch: str, format_id: str, step: int, tmp_path: Path, note: Note
) -> None:
    kernel, plain, signed, again = (tmp_path / name for name in ("kernel", "plain", "signed", "again"))
    kernel.mkdir()
    for number, path in enumerate(debian_modules(arch)[::step]):
        shutil.copyfile(path, kernel / f"{number:04}-{path.name}")
    keys: list[str | Path] = ["--key", KEYS / "signer.key.pem", "--cert", KEYS / "signer.cert.pem"]
    commands: tuple[tuple[str | Path, ...], ...] = (
        ("strip", kernel, "--output-dir", plain),
        ("sign", plain, "--format", format_id, *keys, "--output-dir", signed),
        ("strip", signed, "--output-dir", again),
    )
    for command in commands:
        ran = elfsig(*command)
        assert ran.code == 0, ran.err
    for path in sorted(kernel.iterdir()):
        whole, bare = path.read_bytes(), (plain / path.name).read_bytes()
        assert bare == whole[: len(whole) - trailer_size(whole)]
        assert (again / path.name).read_bytes() == bare != (signed / path.name).read_bytes()
    count = len(list(kernel.iterdir()))
    note(f"{arch}: {count} modules stripped, signed as {format_id}, stripped: identical")
    shutil.rmtree(tmp_path)
