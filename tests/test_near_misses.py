"""Signatures of something close to the file: compressed, with an older signature, headers before strip."""

from __future__ import annotations

import json
import lzma
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import utils

import corpus
from elfsig.compression import whole as compression
from elfsig.elf.image import Image
from tests.support import cms as craft
from tests.support.cms import identity, signer_info
from tests.support.modules import certificate_file, plain, signed, with_trailer
from tests.support.run import run
from tests.support.tools import need

RSA, CURVE, OTHER = identity(), identity("p256"), identity("rsa", 1)


def cause_of(path: Path, *words: str | Path) -> tuple[str, str | None]:
    """(verdict, code of the cause) of the signature that decides."""
    found: dict[str, Any] = json.loads(run("verify", path, *words, "--json").out)["files"][0]
    effective = next(each for each in found["signatures"] if each["effective"])
    return effective["verdict"], effective["cause"] and effective["cause"]["code"]


@pytest.mark.parametrize("who", [RSA, CURVE], ids=["rsa", "ecdsa"])
@pytest.mark.parametrize("kind", ["gzip", "xz", "zstd", "plain-xz"])
@pytest.mark.parametrize("packed", [False, True])
def test_made_over_the_compressed_file(who: Any, kind: Any, packed: bool, tmp_path: Path) -> None:
    module = plain()
    over = lzma.compress(module) if kind == "plain-xz" else compression.pack(module, kind)
    made = with_trailer(module, craft.cms(signer_info(who, over)))
    path = tmp_path / "m.ko"
    if packed:
        kind = "xz" if kind == "plain-xz" else kind
        path = tmp_path / f"m.ko.{kind}"
        made = compression.pack(made, kind)
    path.write_bytes(made)
    assert cause_of(path, "--trust", certificate_file(tmp_path, who)) == ("invalid", "compressed-file")


def test_a_detached_one_over_the_compressed_file(tmp_path: Path) -> None:
    path, beside = tmp_path / "m.ko.xz", tmp_path / "m.p7s"
    path.write_bytes(lzma.compress(plain(), preset=1))
    beside.write_bytes(craft.cms(signer_info(RSA, path.read_bytes())))
    words = ("--trust", certificate_file(tmp_path, RSA), "--detached", beside)
    assert cause_of(path, *words) == ("invalid", "compressed-file")
    path.write_bytes(plain())
    assert cause_of(path, *words)[0] == "invalid"


@pytest.mark.parametrize("who", [RSA, CURVE], ids=["rsa", "ecdsa"])
def test_made_without_the_older_signature_that_is_still_inside(who: Any, tmp_path: Path) -> None:
    twice = signed(OTHER, signed(OTHER))
    path = tmp_path / "m.ko"
    path.write_bytes(with_trailer(twice, craft.cms(signer_info(who, plain()))))
    trust = ("--trust", certificate_file(tmp_path, who))
    assert cause_of(path, *trust) == ("invalid", "older-signature-inside")
    path.write_bytes(with_trailer(twice, craft.cms(signer_info(who, twice))))
    assert cause_of(path, *trust) == ("valid", None)
    path.write_bytes(with_trailer(twice, craft.cms(signer_info(who, b"else"))))
    assert cause_of(path, *trust)[1] in ("content-changed", "mismatch")


# --------------------------------------------------------------------------- strip and old compilers


def with_flag(data: bytes, there: bool) -> tuple[bytes, int]:
    """``data`` with SHF_INFO_LINK set or cleared in every relocation section's header, and their number."""
    table = Image(data).elf
    assert table is not None
    out, count, size = bytearray(data), 0, table.layout.row.size
    for number, row in enumerate(table.rows):
        if row.type in (4, 9):
            at = table.header.shoff + number * size
            flags = row.flags | 0x40 if there else row.flags & ~0x40
            out[at : at + size] = table.layout.row.pack(*row._replace(flags=flags))
            count += 1
    return bytes(out), count


ERAS = [
    ("redhat", "amd64-6.1.ko", ()), ("note", "amd64-6.1.ko", ("--coverage=sorted",)),
    ("note", "i386-6.1.ko", ("--coverage=fileorder",)), ("redhat", "s390x-6.1.ko", ()),
]  # fmt: skip


@pytest.fixture
def ring(tmp_path: Path) -> tuple[Path, Path]:
    """A DSA key in PEM, private and public."""
    from cryptography.hazmat.primitives import serialization as s

    key = craft.private("dsa")
    secret, public = tmp_path / "dsa.key", tmp_path / "dsa.pub"
    secret.write_bytes(key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()))
    form = s.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(key.public_key().public_bytes(s.Encoding.PEM, form))
    return secret, public


def old_signed(era: tuple[str, str, tuple[str, ...]], secret: Path, folder: Path) -> tuple[Path, int]:
    """A module as an old compiler left it, signed in a section format, and its relocation sections."""
    format_id, name, words = era
    path = folder / "old.ko"
    data, count = with_flag(corpus.content(name), False)
    path.write_bytes(data)
    ran = run("sign", f"--format={format_id}", "--key", secret, *words, "--in-place", path)
    assert ran.code == 0, ran.err
    return path, count


@pytest.mark.parametrize("era", ERAS, ids=lambda era: f"{era[0]}-{era[1]}")
def test_headers_that_strip_altered_are_named(
    era: tuple[str, str, tuple[str, ...]], ring: tuple[Path, Path], tmp_path: Path
) -> None:
    path, count = old_signed(era, ring[0], tmp_path)
    trust = ("--trust", ring[1])
    assert cause_of(path, *trust) == ("valid", None)
    altered, _ = with_flag(path.read_bytes(), True)
    path.write_bytes(altered)
    assert count and cause_of(path, *trust) == ("invalid", "relocation-headers-altered")
    assert f"the headers of {count} relocation section" in run("verify", path, *trust).out
    content = bytearray(altered)
    content[altered.index(b"license=") + 3] ^= 1
    path.write_bytes(content)
    assert cause_of(path, *trust)[1] != "relocation-headers-altered"


def test_today_s_objcopy_is_seen_through(ring: tuple[Path, Path], tmp_path: Path) -> None:
    path, _ = old_signed(ERAS[0], ring[0], tmp_path)
    done = subprocess.run([need("strip"), "-g", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    verdict, code = cause_of(path, "--trust", ring[1])
    assert (verdict, code) == ("invalid", "relocation-headers-altered")


def test_a_heap_of_wrong_signatures_is_not_explained_one_by_one(tmp_path: Path) -> None:
    content, module = plain() + bytes(500_000), plain()
    wrong = (utils.encode_dss_signature(5 + number, 7) for number in range(40))
    blob = craft.cms(*(signer_info(CURVE, module, value=value) for value in wrong))
    for _ in range(40):
        content = with_trailer(content, blob)
    path = tmp_path / "m.ko"
    path.write_bytes(content)
    before = os.times()
    assert run("verify", path, "--trust", certificate_file(tmp_path, CURVE)).code == 1
    after = os.times()
    assert sum(after[:4]) - sum(before[:4]) < 6  # one by one it takes three times as long
