"""RPM packages: by rpmbuild in every compression, against rpm2cpio and rpm; by recipe; and damaged."""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

import corpus
from tests.support.compressed import compress
from tests.support.containers import inside, taken, with_links
from tests.support.tools import need

MODULE = corpus.content("amd64.pkcs7")
SPEC = """\
Name: x
Version: 1
Release: 1
Summary: x
License: x
BuildArch: noarch
%description
x
%install
mkdir -p %{buildroot}/lib/modules/6.1 %{buildroot}/etc
cp MODULE %{buildroot}/lib/modules/6.1/a.ko
ln %{buildroot}/lib/modules/6.1/a.ko %{buildroot}/lib/modules/6.1/b.ko
ln -s a.ko %{buildroot}/lib/modules/6.1/link.ko
touch %{buildroot}/etc/empty %{buildroot}/etc/ghost
%files
/lib/modules/6.1
/etc/empty
%ghost /etc/ghost
"""


def built(folder: Path, payload: str) -> Path:
    """A package whose payload rpmbuild compresses as told."""
    (folder / "module").write_bytes(MODULE)
    (folder / "x.spec").write_text(SPEC.replace("MODULE", str(folder / "module")))
    defined = {"_topdir": folder / "top", "_binary_payload": payload, "__os_install_post": "%{nil}"}
    words = [word for name, value in defined.items() for word in ("--define", f"{name} {value}")]
    subprocess.run([need("rpmbuild"), "-bb", *words, folder / "x.spec"], check=True, capture_output=True)
    (package,) = (folder / "top" / "RPMS").rglob("*.rpm")
    return package


@pytest.mark.parametrize("payload", ["w9.gzdio", "w9.bzdio", "w2.xzdio", "w2.lzdio", "w3.zstdio", "w.ufdio"])
def test_packages_of_rpmbuild(payload: str, tmp_path: Path) -> None:
    package = built(tmp_path, payload)
    out = tmp_path / "out"
    out.mkdir()
    archive = subprocess.run([need("rpm2cpio"), str(package)], check=True, capture_output=True).stdout
    unpack = [need("cpio"), "-idm", "--quiet"]
    subprocess.run(unpack, input=archive, cwd=out, check=True, capture_output=True)
    theirs = {
        str(path.relative_to(out)): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and not path.is_symlink()
    }
    files, records = taken(package.read_bytes())
    assert [(record.kind, record.error) for record in records] == [("rpm", None)]
    assert with_links(records, files) == theirs and theirs["lib/modules/6.1/b.ko"] == MODULE
    (link,) = (found.member for found in records.found if found.member.name.endswith(b"link.ko"))
    assert (link.kind, link.target) == ("link", b"a.ko")
    digest = f"sha256:{hashlib.sha256(MODULE).hexdigest()}"
    notes = {os.path.basename(found.member.name): found.member.notes for found in records.found}
    assert notes[b"b.ko"]["digest"] == digest


# --------------------------------------------------------------------------- by recipe

FILES = {b"/lib/modules/6.1/a.ko": MODULE, b"/lib/modules/6.1/b.ko": b"second", b"/etc/c": b"third!!"}


Tags = dict[int, tuple[int, Sequence[bytes | int] | bytes]]


def header(tags: Tags) -> bytes:
    """A header of the tags: type 4 for numbers of 32 bits, 3 for 16, 8 for texts, 7 for bytes."""
    index, store = b"", b""
    for tag, (kind, values) in sorted(tags.items()):
        size = {3: 2, 4: 4}.get(kind, 1)
        store += bytes(-len(store) % size)
        index += struct.pack(">IIII", tag, kind, len(store), len(values))
        if isinstance(values, bytes):
            store += values
        else:
            for value in values:
                store += value + b"\0" if isinstance(value, bytes) else value.to_bytes(size, "big")
    return b"\x8e\xad\xe8\x01\0\0\0\0" + struct.pack(">II", len(tags), len(store)) + index + store


def recipe(
    stripped: bool = False, signatures: Sequence[bytes] = (), ghost: bool = False, flag: int = 1 << 6
) -> bytes:
    """A package of FILES, gzip'd."""
    payload, names = b"", list(FILES)
    for number, (name, content) in enumerate(FILES.items()):
        if stripped:
            payload += b"07070X%08x\0\0" % number
        else:
            stored = b"." + name + b"\0"
            fields = [number + 1, 0o100644, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(stored), 0]
            payload += b"070701" + b"".join(b"%08x" % field for field in fields) + stored
            payload += bytes(-len(payload) % 4)
        payload += content + bytes(-len(content) % 4)
    fields = [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 11, 0]
    payload += b"070701" + b"".join(b"%08x" % field for field in fields) + b"TRAILER!!!\0"
    payload = compress("gzip", payload + bytes(-len(payload) % 4))
    listed = [*names, b"/var/ghost"] if ghost else names
    flags = [0, 0, 0, flag][: len(listed)]
    main = header({
        1117: (8, [os.path.basename(name) for name in listed]),
        1118: (8, [os.path.dirname(name) + b"/" for name in listed]),
        1116: (4, list(range(len(listed)))),
        1028: (4, [*(len(content) for content in FILES.values()), 0][: len(listed)]),
        1030: (3, [0o100644] * len(listed)),
        1037: (4, flags),
        5092: (8, [hashlib.sha256(payload).hexdigest().encode()]),
        5093: (4, [8]),
    })  # fmt: skip
    tags: Tags = {273: (8, [hashlib.sha256(main).hexdigest().encode()])}
    if signatures:
        tags[274] = (8, signatures)
    signature = header(tags)
    lead = b"\xed\xab\xee\xdb\3\0\0\0\0\1" + b"x".ljust(66, b"\0") + b"\0\1\0\5" + bytes(16)
    return lead + signature + bytes(-len(signature) % 8) + main + payload


@pytest.mark.parametrize("stripped", [False, True])
@pytest.mark.parametrize("ghost", [False, True])
def test_payloads_with_and_without_names(stripped: bool, ghost: bool) -> None:
    signatures = [b"030204aabb", b"", b"030204ccdd"]
    files, records = taken(recipe(stripped, signatures, ghost))
    assert records[-1].error is None
    assert inside(files) == {name[1:].decode(): content for name, content in FILES.items()}
    assert [found.member.notes.get("security.ima") for found in records.found] == [
        bytes.fromhex("030204aabb"), None, bytes.fromhex("030204ccdd"),
    ]  # fmt: skip


def test_bsdtar_reads_the_recipe_alike(tmp_path: Path) -> None:
    (tmp_path / "x.rpm").write_bytes(recipe())
    listed = subprocess.run(
        [need("bsdtar"), "-tf", tmp_path / "x.rpm"], check=True, capture_output=True
    ).stdout
    assert listed.split() == [b"." + name for name in FILES]


def test_every_truncation_is_reported() -> None:
    data = recipe()
    whole, records = taken(data)
    assert len(whole) == 3 and records[-1].complete
    for cut in [*range(4, 700), *range(700, len(data), 97), len(data) - 1]:
        files, records = taken(data[:cut])
        assert files.items() <= whole.items()
        assert records[-1].error and records[-1].error.code == "truncated", (cut, records)


def test_every_flipped_bit_after_the_lead_is_reported() -> None:
    data = recipe()
    whole, _ = taken(data)
    start = data.index(b"\x8e\xad\xe8\x01", 100)
    for at in [
        *range(96, 104),
        *range(104, start, 3),
        *range(start, start + 600),
        *range(start + 600, len(data), 53),
    ]:
        changed = bytearray(data)
        changed[at] ^= 1
        files, records = taken(bytes(changed))
        if at in range(100, 104) or at in range(start - 8, start):
            continue  # reserved, padding
        assert records[-1].error is not None or files == whole, at
        assert at < start + 8 or records[-1].error is not None, at


def test_a_file_of_the_header_that_is_missing_is_reported() -> None:
    files, records = taken(recipe(ghost=True, flag=0))
    error = records[-1].error
    assert error is not None and error.code == "damaged" and "var/ghost" in error.text and len(files) == 3


def test_claims_of_a_header_are_bounded() -> None:
    data = recipe()
    at = data.index(b"\x8e\xad\xe8\x01") + 8
    for claim in (b"\xff\xff\xff\xff\0\0\0\0", b"\0\0\0\1\xff\xff\xff\xff"):
        _, records = taken(data[:at] + claim + data[at + 8 :])
        assert records[-1].error and "claims" in records[-1].error.text


def test_delta_packages_are_named() -> None:
    lead = recipe()[:96]
    signature, main = header({}), header({1124: (8, [b"drpm"])})
    _, records = taken(lead + signature + main + b"payload")
    assert records[-1].error and records[-1].error.code == "unsupported" and "drpm" in records[-1].error.text
