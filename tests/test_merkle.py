"""Merkle proofs (id_type 3): made by a tree of our own, held against roots given in words and in images."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import corpus
from corpus.recipes import trailer
from elfsig.envelopes.merkle import Merkle
from elfsig.errors import KeySourceError, ParseError
from elfsig.model import TrailerInfo
from elfsig.trust.keyring import load
from tests.support.elf import Sec, build, repatched
from tests.support.run import run

MODULES = [corpus.content("amd64-6.1.ko") + bytes([number]) for number in range(5)]


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\2" + left + right).digest()


def tree(modules: Sequence[bytes]) -> tuple[bytes, list[bytes]]:
    """The root, and a proof for each module; at an odd end a node pairs with itself."""
    leaves = [hashlib.sha256(b"\1" + struct.pack(">I", i) + m).digest() for i, m in enumerate(modules)]
    proofs = [struct.pack(">I", i) for i in range(len(modules))]
    row = leaves
    level = 0
    while len(row) > 1:
        row = row + [row[-1]] * (len(row) % 2)
        proofs = [proof + row[(i >> level) ^ 1] for i, proof in enumerate(proofs)]
        row = [node(*row[at : at + 2]) for at in range(0, len(row), 2)]
        level += 1
    return row[0], proofs


ROOT, PROOFS = tree(MODULES)
LEVELS = 3
WORDS = f"merkle:{ROOT.hex()}/{LEVELS}"


def vmlinux(root: bytes = ROOT, levels: int = LEVELS, order: str = "<") -> bytes:
    """A linked ELF file with nothing in it but the section of the root."""
    body = struct.pack(order + "I", levels) + root
    return repatched(build([Sec(".module_hashes", body)], order=order), type=2)


@pytest.fixture
def signed(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{i}.ko" for i in range(len(MODULES))]
    for path, module, proof in zip(paths, MODULES, PROOFS, strict=True):
        path.write_bytes(module + trailer(proof, id_type=3))
    return paths


def test_every_module_of_the_tree_leads_to_its_root(signed: list[Path]) -> None:
    ran = run("verify", *signed, "--trust", WORDS)
    assert ran.code == 0, ran.out
    assert ran.out.count("valid: merkle signature") == len(MODULES)


@pytest.mark.parametrize("order", ["<", ">"])
def test_root_in_a_kernel_image(order: str, signed: list[Path], tmp_path: Path) -> None:
    (tmp_path / "vmlinux").write_bytes(vmlinux(order=order))
    assert run("verify", signed[4], "--trust", tmp_path / "vmlinux").code == 0
    assert run("verify", signed[4], "--keys", tmp_path / "vmlinux").code == 4
    [root] = load([str(tmp_path / "vmlinux")]).merkle_roots
    assert (root.digest, root.levels) == (ROOT, LEVELS)
    listed = run("keys", "list", tmp_path / "vmlinux").out
    assert ROOT.hex() in listed


@pytest.mark.parametrize("image", [vmlinux(levels=33), vmlinux(root=bytes(32)), vmlinux(root=b"short")])
def test_image_without_a_root(image: bytes, tmp_path: Path) -> None:
    (tmp_path / "vmlinux").write_bytes(image)
    with pytest.raises(KeySourceError):
        load([str(tmp_path / "vmlinux")])


def test_other_roots_other_content_and_no_root(signed: list[Path]) -> None:
    other = run("verify", signed[0], "--trust", f"merkle:{'00' * 32}/3")
    assert (other.code, "unknown-key" in other.out, ROOT.hex() in other.out) == (4, True, True)
    depth = run("verify", signed[0], "--trust", f"merkle:{ROOT.hex()}/4")
    assert (depth.code, "unknown-key" in depth.out) == (4, True)
    none = run("verify", signed[0])
    assert (none.code, "merkle:HEX/LEVELS" in none.out) == (4, True)
    signed[0].write_bytes(b"\x7fELG" + signed[0].read_bytes()[4:])
    assert "unknown-key" in run("verify", signed[0], "--trust", WORDS).out


def test_a_root_is_no_key_to_other_formats(tmp_path: Path) -> None:
    for sample in ("amd64.pkcs7", "el7.x509", "arm64.pkcs7-ec"):
        (tmp_path / "m.ko").write_bytes(corpus.content(sample))
        ran = run("verify", tmp_path / "m.ko", "--trust", WORDS)
        assert (ran.code, "unknown-key" in ran.out) == (4, True)


def test_show_gives_position_and_levels(signed: list[Path]) -> None:
    shown = run("show", signed[4]).out
    assert "merkle.merkle_position: 4\n" in shown
    assert "merkle.merkle_levels: 3\n" in shown


@pytest.mark.parametrize(
    ("blob", "offset", "text"),
    [
        (b"", 0, "not 0"),
        (PROOFS[0][:-1], 99, "not 99"),
        (bytes(4 + 33 * 32), 4 + 33 * 32, "at most 32 levels"),
        (b"\0\0\0\x08" + PROOFS[0][4:], 0, "leaf position 8 does not exist"),
    ],
)
def test_damaged_proofs(blob: bytes, offset: int, text: str) -> None:
    with pytest.raises(ParseError, match=text) as fault:
        Merkle().parse(blob, TrailerInfo(id_type=3))
    assert fault.value.offset == offset


@given(st.lists(st.binary(max_size=4), min_size=1, max_size=40))
def test_trees_of_any_size(modules: list[bytes]) -> None:
    from elfsig.envelopes.merkle import walk
    from tests.support.openpgp import message

    root, proofs = tree(modules)
    for position, (module, proof) in enumerate(zip(modules, proofs, strict=True)):
        assert walk(message(module), position, proof[4:]) == root
