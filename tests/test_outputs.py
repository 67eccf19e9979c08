"""What a command writes takes the place of nothing that it reads, and of no other result."""

from __future__ import annotations

from pathlib import Path

import pytest

import corpus
from elfsig.errors import WriteError
from elfsig.opened.atomic import write_atomic
from tests.support.cli import elfsig

KEY, CERT = corpus.KEYS / "signer.key.pem", corpus.KEYS / "signer.cert.pem"
KEYED = ("--format=pkcs7", f"--key={KEY}", f"--cert={CERT}")
ONE, TWO = corpus.content("amd64-6.1.ko"), corpus.content("arm64-6.1.ko")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A directory with two modules."""
    folder = tmp_path / "src"
    folder.mkdir()
    (folder / "a.ko").write_bytes(ONE)
    (folder / "b.ko").write_bytes(TWO)
    return folder


# --------------------------------------------------------------------------- symbolic links


@pytest.mark.parametrize("command", [("strip",), ("sign", *KEYED)])
def test_a_link_in_the_output_directory_is_replaced_itself(source: Path, command: tuple[str, ...]) -> None:
    out = source.with_name("out")
    out.mkdir()
    (out / "b.ko").symlink_to("../src/a.ko")
    ran = elfsig(*command, source, "--output-dir", out)
    assert ran.code == 0 and (source / "a.ko").read_bytes() == ONE
    assert not (out / "b.ko").is_symlink() and (out / "b.ko").read_bytes().startswith(TWO)


def test_an_output_that_is_a_link_is_replaced_itself(source: Path) -> None:
    other, link = source / "other.ko", source / "link.ko"
    other.write_bytes(TWO)
    link.symlink_to("other.ko")
    assert elfsig("strip", source / "a.ko", "-o", link).code == 0
    assert other.read_bytes() == TWO and link.read_bytes() == ONE and not link.is_symlink()
    link.unlink()
    link.symlink_to("a.ko")
    ran = elfsig("strip", source / "a.ko", "-o", link)
    assert ran.code and link.is_symlink() and (source / "a.ko").read_bytes() == ONE


def test_outputs_that_are_one_file_through_a_linked_directory_are_refused(tmp_path: Path) -> None:
    for name, content in (("x", ONE), ("y", TWO)):
        (tmp_path / "src" / name).mkdir(parents=True)
        (tmp_path / "src" / name / "m.ko").write_bytes(content)
    out = tmp_path / "out"
    (out / "x").mkdir(parents=True)
    (out / "y").symlink_to("x")
    ran = elfsig("strip", tmp_path / "src", "--output-dir", out)
    assert ran.code == 1 and "its output would overwrite that of" in ran.err
    assert (out / "x/m.ko").read_bytes() == ONE


def test_an_output_directory_that_leads_into_the_input_is_refused(source: Path) -> None:
    (source / "k").mkdir()
    (source / "k/c.ko").write_bytes(ONE)
    out = source.with_name("out")
    out.mkdir()
    (out / "k").symlink_to("../src")
    (source / "c.ko").write_bytes(TWO)
    ran = elfsig("strip", source, "--output-dir", out)
    assert ran.code == 1 and "would overwrite" in ran.err and (source / "c.ko").read_bytes() == TWO


def test_an_output_that_is_another_input_is_refused(source: Path) -> None:
    out = source.with_name("out")
    out.mkdir()
    (out / "a.ko").write_bytes(TWO)
    ran = elfsig("sign", *KEYED, source / "a.ko", out / "a.ko", "--output-dir", out)
    assert ran.code == 1 and (out / "a.ko").read_bytes() == TWO


def test_links_to_the_standard_streams_are_never_replaced() -> None:
    with pytest.raises(WriteError, match="not a regular file"):
        write_atomic("/dev/stdout", b"", follow=False)
