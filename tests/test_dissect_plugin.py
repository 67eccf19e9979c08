"""The example plug-in for dissect.target: installed by pip, and run by ``target-query`` on an image."""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import corpus
from tests.support.cli import CHECKOUT, environment
from tests.support.signed import CERT, made
from tests.support.tools import need

pytest.importorskip(
    "dissect.target",
    reason="needs dissect.target, on a Python that it can be imported by",
    exc_type=ImportError,
)

Json = dict[str, Any]
PACKAGE = Path(__file__).parent / "dissect_plugin"
PLAIN = corpus.content("amd64-6.1.ko")
SIGNED = made(PLAIN, "pkcs7", "whole-file").content
AT = SIGNED.index(b"license=")
FILES = {
    "usr/lib/modules/6.1.0/kernel/good.ko": SIGNED,
    "usr/lib/modules/6.1.0/kernel/packed.ko.xz": lzma.compress(SIGNED, check=lzma.CHECK_CRC32),
    "usr/lib/modules/6.1.0/kernel/changed.ko": SIGNED[:AT] + b"L" + SIGNED[AT + 1 :],
    "usr/lib/modules/6.1.0/updates/plain.ko": PLAIN,
    "usr/lib/modules/6.1.0/updates/damaged.ko": SIGNED[:100] + SIGNED[-200:],
    "usr/lib/modules/6.1.0/modules.dep": b"",
    "etc/os-release": b'NAME="Debian GNU/Linux"\nID=debian\nVERSION_ID="12"\n',
    "etc/hostname": b"examined\n",
    "var/log/x": b"",
    "opt/x": b"",
}
VERDICTS = {
    "good.ko": "valid", "packed.ko.xz": "valid", "changed.ko": "invalid", "plain.ko": "unsigned",
    "damaged.ko": "malformed",
}  # fmt: skip


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file system as on today's Debian: /lib is a link to usr/lib; and a link that leads back up."""
    folder = tmp_path_factory.mktemp("image")
    top = folder / "root"
    for name, content in FILES.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (top / "lib").symlink_to("usr/lib")
    (top / "usr/lib/modules/6.1.0/build").symlink_to("/lib/modules")
    made_image = folder / "disk.img"
    words = [need("mke2fs"), "-q", "-t", "ext4", "-d", str(top), str(made_image), "16M"]
    subprocess.run(words, check=True, capture_output=True)
    return made_image


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, built and installed into a folder of its own."""
    source = tmp_path_factory.mktemp("source") / "dissect_plugin"
    shutil.copytree(PACKAGE, source, ignore=shutil.ignore_patterns("__pycache__"))
    site = tmp_path_factory.mktemp("site")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(site)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(source)], check=True)
    return site / "elfsig_dissect"


def program(name: str) -> str:
    """A program that a package of the test extra has put beside this Python."""
    return str(Path(sys.executable).with_name(name))


def query(image: Path, plugin: Path, *more: str | Path) -> list[Json]:
    """The records that ``target-query`` writes, as JSON of ``rdump``."""
    words = [image, "--plugin-path", plugin, "-f", "elfsig", *more]
    env = {**environment(), "PYTHONPATH": os.pathsep.join([str(CHECKOUT), str(CHECKOUT / "formats")])}
    done = subprocess.run(
        [program("target-query"), "-q", *map(str, words)],
        capture_output=True,
        env=env,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr.decode()
    if not done.stdout:
        return []
    shown = subprocess.run(
        [program("rdump"), "-J", "-"], input=done.stdout, capture_output=True, check=True, env=env
    )
    return [json.loads(line) for line in shown.stdout.splitlines()]


def test_every_module_of_an_image(image: Path, plugin: Path) -> None:
    before = hashlib.sha256(image.read_bytes()).hexdigest()
    records = {each["path"].rpartition("/")[2]: each for each in query(image, plugin, "--trust", CERT)}
    assert {name: each["verdict"] for name, each in records.items()} == VERDICTS
    assert hashlib.sha256(image.read_bytes()).hexdigest() == before
    good, packed, plain = records["good.ko"], records["packed.ko.xz"], records["plain.ko"]
    assert good["path"] == "/lib/modules/6.1.0/kernel/good.ko" and good["hostname"] == "examined"
    assert good["sha256"] == hashlib.sha256(SIGNED).hexdigest() and good["size"] == len(SIGNED)
    assert (good["format"], good["signer"], good["key_bits"]) == ("pkcs7", "THROW-AWAY test key signer", 2048)
    assert good["trusted"] is True and good["serial"] and good["name"] == "sample"
    assert (packed["compression"], packed["content_sha256"]) == ("xz", good["content_sha256"])
    assert records["changed.ko"]["trusted"] is False and plain["format"] is None
    assert plain["content_sha256"] == good["content_sha256"]


def test_without_keys_nothing_is_trusted(image: Path, plugin: Path) -> None:
    records = query(image, plugin)
    assert len(records) == len(VERDICTS) and not any(each["trusted"] for each in records)
    assert {each["verdict"] for each in records} == {"unchecked", "unsigned", "malformed"}


def test_a_target_without_modules(plugin: Path, tmp_path: Path) -> None:
    (tmp_path / "root/etc").mkdir(parents=True)
    (tmp_path / "root/var").mkdir()
    (tmp_path / "root/opt").mkdir()
    words = [need("mke2fs"), "-q", "-t", "ext4", "-d", tmp_path / "root", tmp_path / "disk.img", "16M"]
    subprocess.run(list(map(str, words)), check=True, capture_output=True)
    assert query(tmp_path / "disk.img", plugin) == []
