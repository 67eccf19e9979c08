"""The examples of ``--help`` do what they show: each is run where the files that it names exist, and ends
with 0, since none of them promises another exit code."""

from __future__ import annotations

import lzma
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import load_pem_x509_certificate

import corpus
from elfsig.cli.examples import EXAMPLES
from tests.support import ingredients
from tests.support.cli import environment
from tests.support.cms import private
from tests.support.documents import absolute
from tests.support.efilists import X509, esl
from tests.support.gnupg import home
from tests.support.run import run
from tests.support.system_dkms import executables


class World:
    """A working directory with the files that examples name, and the root of a machine."""

    def __init__(self, top: Path) -> None:
        self.here, self.system = top / "work", top / "system"
        for made in (self.here, self.system, top / "bin"):
            made.mkdir()
        executables(top / "bin")
        self.path = f"{top / 'bin'}:{os.environ['PATH']}"
        self.words: dict[str, str] = {}

    def write(self, name: str, data: bytes) -> Path:
        path = self.here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def sign(self, source: Path | str, name: str, who: str = "mok") -> None:
        """NAME is SOURCE with a PKCS#7 signature by WHO."""
        (self.here / name).parent.mkdir(parents=True, exist_ok=True)
        key, certificate = self.here / f"{who}.key", self.here / f"{who}.der"
        words = ("--format", "pkcs7", "--key", key, "--cert", certificate, "-o", self.here / name)
        ingredients.elfsig("sign", self.here / source, *words)

    def pair(self, name: str, who: str) -> None:
        shutil.copy(corpus.KEYS / f"{who}.key.pem", self.here / f"{name}.key")
        certificate = load_pem_x509_certificate((corpus.KEYS / f"{who}.cert.pem").read_bytes())
        self.write(f"{name}.der", certificate.public_bytes(Encoding.DER))


def usual(world: World) -> None:
    """Two key pairs; modules signed by one; a machine and a mounted system with modules of the other."""
    world.pair("mok", "signer")
    world.pair("vendor", "other")
    plain = corpus.content("amd64-6.1.ko")
    world.write("plain.ko", plain)
    world.sign("plain.ko", "driver.ko")
    nvme = corpus.content("amd64.pkcs7")
    world.write("nvme.ko", nvme)
    world.write("nvme.ko.xz", lzma.compress(nvme, check=lzma.CHECK_CRC32))
    ingredients.machine(world.here, world.system)
    ingredients.image(world.here, world.system)
    loose = world.system / "lib/modules" / ingredients.RELEASE / "updates/dkms/nvidia.ko"
    world.sign(loose, "nvidia.ko", "vendor")
    shutil.move(world.here / "nvidia.ko", loose)


def old(world: World, sample: str, format_id: str, ring: str) -> None:
    """old.ko, signed with a DSA key as its kernel wants it, and the ring."""
    ingredients.elfsig("keys", "generate", "--type", "dsa1024", "--openpgp", "-o", world.here / "dsa")
    (world.here / "dsa.gpg").rename(world.here / ring)
    words = ("--format", format_id, "--key", world.here / "dsa.key", "-o", world.here / "old.ko")
    ingredients.elfsig("sign", corpus.SAMPLES / sample, *words)


def prepare(name: str, world: World) -> None:
    """What the examples of one command need beside the usual files."""
    usual(world)
    more = MORE.get(name)
    if more is not None:
        more(world)


def _list(world: World) -> None:
    old(world, "amd64-2.6.32-el6.ko", "rhel6", "rhel6.gpg")


def _verify(world: World) -> None:
    old(world, "i386-2.6.18-el5.ko", "redhat", "rhel5.gpg")


def _sign(world: World) -> None:
    world.write("driver.ko", corpus.content("amd64-6.1.ko"))
    world.write("build/one.ko", corpus.content("amd64-6.1.ko"))
    world.write("build/deeper/two.ko", corpus.content("i386-6.1.ko"))
    world.write("old.ko", corpus.content("amd64-2.6.32-el6.ko"))


def _strip(world: World) -> None:
    shutil.copy(world.here / "driver.ko", world.here / "signed.ko")
    world.sign("plain.ko", "tree/one.ko")
    world.sign("plain.ko", "tree/deeper/two.ko")


def _convert(world: World) -> None:
    ingredients.el6(world.here, world.system)
    (world.here / "rhel6.gpg").rename(world.here / "el6.gpg")
    shutil.copy(world.here / "mok.der", world.here / "old.der")
    world.sign("plain.ko", "a.ko")


def _attach(world: World) -> None:
    world.sign("plain.ko", "vendor.ko", "vendor")
    world.write("rebuilt.ko", corpus.content("amd64-6.1.ko"))
    world.write("driver.ko", corpus.content("amd64-6.1.ko"))
    key, certificate = world.here / "mok.key", world.here / "mok.der"
    ingredients.elfsig("sign-file", "-d", "sha256", key, certificate, world.here / "driver.ko")


def _compare(world: World) -> None:
    shutil.copy(world.here / "driver.ko", world.here / "original.ko")
    world.write("rebuilt.ko", corpus.content("amd64-6.1.ko"))
    for where in ("package", "server"):
        world.sign("plain.ko", f"{where}/lib/modules/one.ko")


def _survey(world: World) -> None:
    world.sign("plain.ko", "one.ko", "vendor")
    ingredients.package(world.here / "linux-image.deb", {"one.ko": (world.here / "one.ko").read_bytes()})
    shutil.copy(world.here / "linux-image.deb", world.here / "initrd.img")
    world.write(f"lib/modules/{ingredients.RELEASE}/one.ko", (world.here / "one.ko").read_bytes())
    (world.here / "mirror").mkdir()
    shutil.copy(world.here / "linux-image.deb", world.here / "mirror" / "linux-image.deb")


def _evidence(world: World) -> None:
    world.sign("plain.ko", "modules/one.ko", "vendor")
    shutil.copy(world.here / "driver.ko", world.here / "modules" / "two.ko")
    subprocess.run(["tar", "-cf", "disk.tar", "modules"], cwd=world.here, check=True)


def _audit(world: World) -> None:
    ingredients._sign(world.here / "build" / "one.ko", "signer", "--hash", "sha512")
    top = world.system / "lib" / "modules" / ingredients.RELEASE
    shipped = {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*.ko*")}
    assert shipped
    ingredients.package(world.here / "linux-image.deb", shipped)


def _sign_file(world: World) -> None:
    world.write("driver.ko", corpus.content("amd64-6.1.ko"))
    shutil.copy(world.here / "mok.key", world.here / "signing_key.pem")
    shutil.copy(world.here / "mok.der", world.here / "signing_key.x509")


def _keys_list(world: World) -> None:
    certificate = (world.here / "vendor.der").read_bytes()
    world.write("db.esl", esl(X509, certificate))


def _keys_match(world: World) -> None:
    world.pair("three", "curve")
    shutil.copy(world.here / "mok.der", world.here / "one.der")
    shutil.copy(world.here / "vendor.der", world.here / "two.der")


def _keys_generate(world: World) -> None:
    (world.here / "mok.key").unlink()
    (world.here / "mok.der").unlink()


def _keys_install(world: World) -> None:
    ingredients.elfsig("keys", "generate", "--key-dir", world.here / "certs-local")


def _keys_openpgp(world: World) -> None:
    pem = private("dsa").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    world.write("dsa.pem", pem)


def _keys_recover(world: World) -> None:
    ingredients.two_signed(world.here, world.system)


MORE = {
    "list": _list, "verify": _verify, "coverage": _verify, "sign": _sign, "strip": _strip,
    "convert": _convert, "attach": _attach, "compare": _compare, "audit": _audit, "survey": _survey,
    "evidence": _evidence,
    "sign-file": _sign_file, "keys list": _keys_list, "keys match": _keys_match,
    "keys generate": _keys_generate, "keys install": _keys_install,
    "keys openpgp": _keys_openpgp, "keys recover": _keys_recover,
}  # fmt: skip


@pytest.fixture
def gpg_home(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A GnuPG home with one key; its long id."""
    with home("gpg") as made:
        made.generate("examples", "rsa2048", "sign")
        monkeypatch.setenv("GNUPGHOME", str(made.path))
        yield made.fingerprint("examples")[-16:]


@pytest.mark.parametrize(("name", "line"), [(name, line) for name in EXAMPLES for line in EXAMPLES[name]])
def test_an_example_does_what_it_shows(
    name: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    world = World(tmp_path)
    prepare(name, world)
    if "gpg:" in line:
        world.words["01FEBB0A1B945187"] = request.getfixturevalue("gpg_home")
    monkeypatch.chdir(world.here)
    code, output = once(world, line)
    assert code == 0, f"{line}: exit code {code}\n{output}"


def once(world: World, line: str) -> tuple[int, str]:
    """Run one example: exit code and output. A pipeline is run by a shell."""
    for old_word, new in world.words.items():
        line = line.replace(old_word, new)
    line = absolute(line, world.system)
    if re.search(r" [|>] ", line):
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", line],
            env=environment({"PATH": world.path}), capture_output=True, text=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr
    ran = run(*shlex.split(line)[1:])
    return ran.code, ran.out + ran.err
