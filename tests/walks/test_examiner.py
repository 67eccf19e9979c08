"""An examiner with the disk of an old server as an ext4 image: what is signed, and what was changed."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

import corpus
from elfsig.elf.image import Image
from tests.support.tools import need
from tests.walks.steps import Job

BELOW = "lib/modules/2.6.32-504.el6"
NAMES = {"good": "kernel/a", "changed": "kernel/b", "foreign": "extra"}


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """The image: a signed module of the time, one changed in its code, and one that nobody signed."""
    job, tree = Job(tmp_path), tmp_path / "server"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc/hostname").write_text("old\n")
    paths = {name: tree / BELOW / folder / "sample.ko" for name, folder in NAMES.items()}
    for path in paths.values():
        path.parent.mkdir(parents=True)
        path.write_bytes(corpus.content("amd64-2.6.32-el6.ko"))
    job("keys", "generate", "-o", "vendor", "--for-kernel", "rhel6", "-q")  # DSA, as that kernel reads it
    job("sign", "--format", "note", "--key", "vendor.key", "--in-place", "-q", paths["good"])
    changed = bytearray(paths["good"].read_bytes())
    table = Image(bytes(changed)).elf
    assert table is not None
    text = next(each.row for each in table.sections if each.name == b".text")
    changed[text.offset + text.size // 2] ^= 0x40
    paths["changed"].write_bytes(changed)
    image = tmp_path / "disk.img"
    subprocess.run([need("mkfs.ext4"), "-q", "-d", tree, image, "16M"], check=True, capture_output=True)
    shutil.rmtree(tree)
    return image


def test_from_an_image_to_what_can_be_said_about_it(disk: Path, tmp_path: Path) -> None:
    job = Job(tmp_path)
    ring = "vendor.gpg"
    before = disk.read_bytes()
    job("verify", disk, code=5, says=("not a module: an ext2, ext3 or ext4 file system", "elfsig survey"))

    # What needs no extra: the files copied out by the file system's own debugger, without mounting.
    dump = f"rdump /lib {tmp_path / 'copy'}"
    (tmp_path / "copy").mkdir()
    subprocess.run([need("debugfs"), "-R", dump, disk], check=True, capture_output=True)
    good, changed, foreign = (f"copy/{BELOW}/{folder}/sample.ko" for folder in NAMES.values())
    assert len(list((tmp_path / "copy").rglob("sample.ko"))) == 3
    job("list", "copy", says=("3 files", "1 unsigned"))
    job("verify", "copy", code=1, says=("1 unsigned", "2 unchecked"))
    job("verify", "copy", "--trust", ring, code=1, says=("1 valid", "1 invalid", "1 unsigned"))

    # What that kernel would have answered, and what is open to changes in the module that is intact.
    job("verify", good, "--trust", ring, "--kernel", "rhel6", "--enforce", says=("loads",))
    job("verify", changed, "--trust", ring, "--kernel", "rhel6", "--enforce", code=3)
    job("coverage", good, "--trust", ring, says=("note",))
    # Which bytes differ, and in which function; the audit says nothing that an examiner must not do.
    compared = job("compare", good, changed, code=1, says=(".text",))
    assert "0xa" in compared.out  # the place of the changed byte in .text
    audit = job("audit", "copy", "--trust", ring, code=1, says=(foreign, changed))
    assert "sign it again" not in audit.out.lower()
    found = json.loads(job("verify", "--json", "copy", "--trust", ring, code=1).out)["files"]
    assert all(len(each["sha256"]) == 64 for each in found)
    assert disk.read_bytes() == before

    # An archive of the same server is examined as it is, nothing is unpacked to the disk.
    subprocess.run(["tar", "-C", tmp_path / "copy", "-czf", tmp_path / "lib.tar.gz", "lib"], check=True)
    names = {path.name for path in tmp_path.iterdir()}
    job("survey", "lib.tar.gz", "--trust", ring, code=1, says=("kernel/a/sample.ko", "1 valid", "1 unsigned"))
    assert {path.name for path in tmp_path.iterdir()} == names
