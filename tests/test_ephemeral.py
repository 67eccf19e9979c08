"""--ephemeral: a key for one run, whose private half is never written anywhere."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

import corpus
from elfsig.keygen import kinds
from tests.support.judges import REGISTRY
from tests.support.run import run
from tests.support.tools import need

SIGNABLE = [f.id for f in REGISTRY.formats if "sign" in f.capabilities]
Words = list[str | Path]
PLAIN = corpus.content("amd64-6.1.ko")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The private keys that were made, small ones for speed."""
    keys: list[Any] = []
    real = kinds.make_private

    def make_private(kind: kinds.Kind) -> Any:
        small = kinds.KINDS["dsa1024" if kind.algorithm == "dsa" else "rsa2048"]
        keys.append(real(small))
        return keys[-1]

    monkeypatch.setattr(kinds, "make_private", make_private)
    return keys


def secrets(private: Any) -> list[bytes]:
    """The private numbers as any encoding holds them."""
    numbers = private.private_numbers()
    found = [numbers.p, numbers.q, numbers.d] if hasattr(numbers, "d") else [numbers.x]
    return [number.to_bytes((number.bit_length() + 7) // 8) for number in found]


@pytest.mark.parametrize("format_id", SIGNABLE)
def test_what_it_signs_verifies_with_what_it_leaves(format_id: str, tmp_path: Path, made: list[Any]) -> None:
    module, public, out = (tmp_path / name for name in ("a.ko", "public", "b.ko"))
    module.write_bytes(PLAIN)
    choice = ["--coverage=sorted"] if format_id == "note" else []
    ran = run("sign", module, f"--format={format_id}", *choice, "--ephemeral", public, "-o", out)
    assert ran.code == 0, ran.err
    outside = [f"--modarg={out.read_text()}"] if format_id == "modarg-pgp" else []
    signed = module if outside else out
    assert run("verify", signed, "--trust", public, *outside).code == 0
    (private,) = made
    for path in tmp_path.iterdir():
        data = path.read_bytes()
        assert b"PRIVATE" not in data and not any(secret in data for secret in secrets(private)), path


def test_the_public_half_is_what_other_tools_take(tmp_path: Path, made: list[Any]) -> None:
    module = tmp_path / "a.ko"
    module.write_bytes(PLAIN)
    for name, form in (("key.pem", "PEM"), ("key.x509", "DER")):
        public = tmp_path / name
        assert run("sign", module, "--format=pkcs7", "--ephemeral", public, "-o", tmp_path / "b.ko").code == 0
        line = f"{need('openssl')} x509 -inform {form} -in {public} -noout -ext keyUsage".split()
        shown = subprocess.run(line, capture_output=True, check=True, text=True).stdout
        assert "Digital Signature" in shown


def test_one_key_for_a_tree_and_another_for_the_next_run(tmp_path: Path, made: list[Any]) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(20):
        (tree / f"{number}.ko").write_bytes(PLAIN)
    first, second = tmp_path / "first.pem", tmp_path / "second.pem"
    assert run("sign", tree, "--format=x509", "--ephemeral", first, "--in-place").code == 0
    assert run("verify", tree, "--trust", first).code == 0
    to: Words = ["convert", tree, "--to=pkcs7", "--trust", first, "--in-place"]
    assert run(*to, "--ephemeral", second).code == 0
    assert run("verify", tree, "--trust", second, "--require=pkcs7").code == 0
    assert run("verify", tree, "--trust", first).code == 4
    assert len(made) == 2


def test_what_is_there_is_kept_and_contradictions_are_named(tmp_path: Path, made: list[Any]) -> None:
    module, public = tmp_path / "a.ko", tmp_path / "public"
    module.write_bytes(PLAIN)
    public.write_text("an older one")
    words: Words = ["sign", module, "--format=pkcs7", "--in-place"]
    ran = run(*words, "--ephemeral", public)
    assert ran.code == 1 and "already exists; --force overwrites it" in ran.err
    assert public.read_text() == "an older one" and module.read_bytes() == PLAIN
    assert run(*words, "--ephemeral", public, "--dry-run").code == 1
    public.unlink()
    assert run(*words, "--ephemeral", public, "--dry-run").code == 0
    assert not public.exists() and module.read_bytes() == PLAIN
    key = corpus.KEYS / "signer.key.pem"
    half: Words = [*words, "--ephemeral", public]
    assert [run(*words).code, run(*half, f"--key={key}").code, run(*half, "--cert", key).code] == [2, 2, 2]
    both = ("--to=note", "--to=pkcs7", "--unverified", "--in-place")
    assert run("convert", module, *both, "--ephemeral", public).code == 2
    digest: Words = ["sign", module, "--format=gkh", "--payload=encrypted-digest", "--in-place"]
    assert "gpg:KEYID" in run(*digest, "--ephemeral", public).err
