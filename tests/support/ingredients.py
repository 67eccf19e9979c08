"""What the commands of the documents work on: modules, keys, trees and a machine, each by the name that a
page gives in its ``<!-- run: ... -->`` comment. All are made from the corpus and from throw-away keys."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import os
import shutil
import subprocess
import sysconfig
import tarfile
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import corpus
from corpus.recipes import trailer
from tests.support import softhsm
from tests.support.cli import CHECKOUT, environment
from tests.support.keysources import bzimage, certificate_list, unpacked
from tests.support.packages import locate
from tests.support.run import run
from tests.support.tools import need

RELEASE = "6.1.0-54-amd64"


def _kernel() -> bytes:
    """A kernel image of that release, into which another key is compiled."""
    made = x509.load_pem_x509_certificate((corpus.KEYS / "other.cert.pem").read_bytes()).public_bytes(
        Encoding.DER
    )
    banner = f"Linux version {RELEASE} (builder@example) #1 SMP\n\0".encode()
    return bzimage(gzip.compress(unpacked(banner, certificate_list([made])), mtime=0))


"""What ``uname -r`` says in the documents' world."""

Maker = Callable[[Path, Path], dict[str, str] | None]
MAKERS: dict[str, Maker] = {}


def ingredient(made: Maker) -> Maker:
    """Register a maker: ``(working directory, root of the machine)``, under its own name."""
    MAKERS[made.__name__.replace("_", "-")] = made
    return made


def add(name: str, folder: Path, system: Path) -> dict[str, str]:
    """Make one ingredient; the environment that it needs. Raises KeyError for an unknown name."""
    return MAKERS[name](folder, system) or {}


def stand_ins(folder: Path) -> None:
    """Programs that tests cannot run in earnest: they do nothing, ``sudo`` runs its words, ``uname -r`` says
    :data:`RELEASE`."""
    scripts = {
        "sudo": 'exec "$@"',
        "uname": f"echo {RELEASE}",
        **dict.fromkeys(
            ("mokutil", "modprobe", "systemctl", "apt-get", "pipx", "update-initramfs"), "exit 0"
        ),
    }
    for name, text in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)


def elfsig(*words: str | Path) -> None:
    """Run the command line in this process; it must succeed."""
    done = run(*words)
    assert done.code == 0, (words, done.err)


def _pair(folder: Path, stem: str, who: str = "signer") -> None:
    """NAME.key, NAME.crt, NAME.der, NAME.pem of one of the corpus' published keys."""
    certificate = (corpus.KEYS / f"{who}.cert.pem").read_bytes()
    shutil.copy(corpus.KEYS / f"{who}.key.pem", folder / f"{stem}.key")
    for suffix in ("crt", "pem"):
        (folder / f"{stem}.{suffix}").write_bytes(certificate)
    der = x509.load_pem_x509_certificate(certificate).public_bytes(Encoding.DER)
    (folder / f"{stem}.der").write_bytes(der)


def _module(name: str, sample: str = "amd64-6.1.ko") -> bytes:
    """A sample that is called ``name`` in its .modinfo, as audit wants it of a file of that name."""
    old = b"name=sample\0"
    new = f"name={name}".encode().ljust(len(old), b"\0")
    content: bytes = corpus.content(sample)
    assert content.count(old) == 1 and len(new) == len(old)
    return content.replace(old, new)


def _sign(path: Path, stem: str, *more: str | Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_module(path.name.partition(".")[0]))
    keys = path.parent / ".keys"
    keys.mkdir()
    _pair(keys, "k", stem)
    words = ("--key", keys / "k.key", "--cert", keys / "k.crt", "--in-place", *more)
    elfsig("sign", "--format", "pkcs7", *words, path)
    shutil.rmtree(keys)


# --------------------------------------------------------------------------- modules and keys


@ingredient
def clone(folder: Path, system: Path) -> None:
    """The directories of this repository that examples name."""
    for name in ("corpus", "elfsig", "tests"):
        (folder / name).symlink_to(CHECKOUT / name)


@ingredient
def driver(folder: Path, system: Path) -> None:
    """driver.ko, unsigned."""
    (folder / "driver.ko").write_bytes(_module("driver"))


@ingredient
def mok(folder: Path, system: Path) -> None:
    """A key pair of one's own: mok.key, mok.crt, mok.der, mok.pem, and the OpenPGP ring mok.gpg."""
    _pair(folder, "mok")
    elfsig("keys", "openpgp", folder / "mok.key", "-o", folder / "mok.gpg")


@ingredient
def vendor(folder: Path, system: Path) -> None:
    """driver.ko as a vendor ships it, plain and as driver.ko.xz; vendor.pem; rebuilt.ko without signature."""
    _pair(folder, "vendor", "other")
    (folder / "vendor.key").unlink()
    _sign(folder / "driver.ko", "other")
    (folder / "driver.ko.xz").write_bytes(corpus.content("amd64.pkcs7.xz"))
    (folder / "rebuilt.ko").write_bytes(_module("driver"))


@ingredient
def old(folder: Path, system: Path) -> None:
    """A DSA key and its ring, as before 2012: old.key, old.gpg."""
    elfsig("keys", "generate", "--type", "dsa1024", "-o", folder / "old")


@ingredient
def merkle(folder: Path, system: Path) -> None:
    """module.ko with a proof of one level, and the words of its root in the file root."""
    module, neighbour = corpus.content("amd64-6.1.ko"), bytes(32)
    leaf = hashlib.sha256(b"\1" + bytes(4) + module).digest()
    proof = bytes(4) + neighbour
    (folder / "module.ko").write_bytes(module + trailer(proof, id_type=3))
    (folder / "root").write_text(hashlib.sha256(b"\2" + leaf + neighbour).hexdigest() + "/1")


@ingredient
def appended_pgp(folder: Path, system: Path) -> None:
    """module.ko with id_type 0, and signer.pem."""
    (folder / "module.ko").write_bytes(corpus.content("amd64.appended-pgp"))
    shutil.copy(corpus.KEYS / "signer.cert.pem", folder / "signer.pem")


@ingredient
def vendor_signature(folder: Path, system: Path) -> None:
    """module.ko with a section .signature of the second variant."""
    blob = b"Sign" + bytes(3) + b"\1" + bytes(504)
    words = [need("objcopy"), "--add-section", f".signature={folder / 'blob'}"]
    (folder / "blob").write_bytes(blob)
    source = corpus.SAMPLES / "amd64-6.1.ko"
    subprocess.run([*words, source, folder / "module.ko"], check=True)
    (folder / "blob").unlink()


# --------------------------------------------------------------------------- trees


@ingredient
def build(folder: Path, system: Path) -> None:
    """modules/: three unsigned modules, one of them compressed."""
    (folder / "modules" / "extra").mkdir(parents=True)
    (folder / "modules" / "one.ko").write_bytes(_module("one"))
    (folder / "modules" / "extra" / "two.ko").write_bytes(_module("two", "amd64-3.10-el7.ko"))
    packed = lzma.compress(_module("three"), check=lzma.CHECK_CRC32)
    (folder / "modules" / "three.ko.xz").write_bytes(packed)


@ingredient
def el6(folder: Path, system: Path) -> None:
    """el6/: two modules signed as RHEL 6 did, and the ring rhel6.gpg of their key."""
    old(folder, system)
    for name in ("ext4.ko", "xfs.ko"):
        path = folder / "el6" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(_module(path.stem, "amd64-2.6.32-el6.ko"))
        elfsig("sign", "--format", "rhel6", "--key", folder / "old.key", "--in-place", path)
    (folder / "old.key").unlink()
    (folder / "old.gpg").rename(folder / "rhel6.gpg")


def _era(folder: Path, sample: str) -> None:
    """The module of an era, with the two key pairs that the page makes for all of them."""
    (folder / "driver.ko").write_bytes(corpus.content(sample))
    for type_, name in (("dsa1024", "old"), ("rsa2048", "mok")):
        elfsig("keys", "generate", "--type", type_, "--openpgp", "-o", folder / name)


def _of_era(sample: str, folder: Path, system: Path) -> None:
    _era(folder, sample)


def _shipped(folder: Path, tree: str, sample: str, format_id: str) -> None:
    """A tree with a module as a vendor of the time would have shipped it."""
    (folder / tree / "boot").mkdir(parents=True)
    out = folder / tree / "shipped.ko"
    key = folder / "old.key"
    elfsig("sign", corpus.SAMPLES / sample, "--format", format_id, "--key", key, "-o", out)


ERAS = {
    "era-gkh": "i386-2.6.5-fc2.ko",
    "era-redhat": "i386-2.6.18-el5.ko",
    "era-note": "amd64-2.6.39-uek.ko",
    "era-2012": "amd64-6.1.ko",
    "era-x509": "amd64-3.10-el7.ko",
    "era-pkcs7": "amd64-6.1.ko",
}
"""Ingredient -> the sample that stands for a module of the era."""

MAKERS.update({name: partial(_of_era, sample) for name, sample in ERAS.items()})


@ingredient
def era_redhat(folder: Path, system: Path) -> None:
    """Also el5/, whose kernel image is the ring alone."""
    _era(folder, ERAS["era-redhat"])
    _shipped(folder, "el5", "i386-2.6.18-el5.ko", "redhat")
    shutil.copy(folder / "old.gpg", folder / "el5/boot/vmlinuz-2.6.18-8.el5")


@ingredient
def era_note(folder: Path, system: Path) -> None:
    """Also uek/."""
    _era(folder, ERAS["era-note"])
    _shipped(folder, "uek", "amd64-2.6.39-uek.ko", "uek")


@ingredient
def two_signed(folder: Path, system: Path) -> None:
    """one.ko and two.ko, signed by one RSA key with the exponent 3."""
    key = rsa.generate_private_key(3, 1024)
    (folder / "key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    for name, sample in (("one.ko", "amd64-6.1.ko"), ("two.ko", "i386-6.1.ko")):
        words = ("--format", "crypto-digsig", "--payload", "v2", "--key", folder / "key")
        elfsig("sign", *words, corpus.SAMPLES / sample, "-o", folder / name)
    (folder / "key").unlink()


# --------------------------------------------------------------------------- installing


@ingredient
def install(folder: Path, system: Path) -> dict[str, str]:
    """A source tree, and a machine to install it on. pip builds with the tests' packages, offline."""
    for name in ("elfsig", "formats"):
        shutil.copytree(CHECKOUT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("README.md", "LICENSE", "pyproject.toml"):
        shutil.copy(CHECKOUT / name, folder / name)
    for name in ("opt", "usr/local/bin", "usr/local/share"):
        (system / name).mkdir(parents=True)
    packages = os.pathsep.join([environment()["PYTHONPATH"], sysconfig.get_path("purelib")])
    return {
        "PYTHONPATH": packages,
        "PIP_NO_DEPS": "1",
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads it inverted: 0 disables isolation
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
    }


# --------------------------------------------------------------------------- signing elsewhere


@ingredient
def token(folder: Path, system: Path) -> dict[str, str]:
    """A token Build with the key and certificate "modules", id 02; modules.crt; the PIN in /run/pin."""
    (system / "run").mkdir(exist_ok=True)
    (system / "run/pin").write_text(softhsm.PIN)
    (system / "softhsm").mkdir()
    store = softhsm.make(system / "softhsm")
    store.token("Build")
    store.load("Build", corpus.KEYS / "signer.key.pem", "modules", 2)
    _pair(folder, "modules")
    store.certify("Build", folder / "modules.der", "modules", 2)
    (folder / "modules.key").unlink()
    return {**store.environment, "PKCS11_MODULE_PATH": store.module, "KBUILD_SIGN_PIN": softhsm.PIN}


@ingredient
def service(folder: Path, system: Path) -> None:
    """service.key and service.crt of a signing service, kms.crt, and the program kms-sign."""
    need("openssl")
    _pair(folder, "service")
    shutil.copy(folder / "service.crt", folder / "kms.crt")
    script = folder / "kms-sign"
    script.write_text("#!/bin/sh\nexec openssl pkeyutl -sign -inkey service.key -pkeyopt digest:sha256\n")
    script.chmod(0o755)


@ingredient
def debian(folder: Path, system: Path) -> None:
    """A package of Debian's linux-signed: unsigned modules, and a CMS for each."""
    _pair(folder, "signer")
    where = "lib/modules/6.1.0/kernel/one.ko"
    for top in ("linux-image-amd64", "signatures/linux-image-amd64"):
        (folder / "debian" / top / where).parent.mkdir(parents=True)
    module = folder / "debian/linux-image-amd64" / where
    module.write_bytes(_module("one"))
    elfsig("sign-file", "-d", "sha256", folder / "signer.key", folder / "signer.crt", module)
    module.with_name("one.ko.p7s").rename(folder / "debian/signatures/linux-image-amd64" / f"{where}.sig")


@ingredient
def suse(folder: Path, system: Path) -> None:
    """buildroot/ with an unsigned module, and signatures/ with the raw RSA value of the build service."""
    shutil.copy(corpus.KEYS / "signer.cert.pem", folder / "_projectcert.crt")
    for name in ("buildroot", "signatures"):
        (folder / name).mkdir()
    module = folder / "buildroot" / "one.ko"
    module.write_bytes(_module("one"))
    words = [need("openssl"), "dgst", "-sha256", "-sign", str(corpus.KEYS / "signer.key.pem")]
    subprocess.run([*words, "-out", folder / "signatures/one.ko.sig", module], check=True)


@ingredient
def arch(folder: Path, system: Path) -> dict[str, str]:
    """conf/ with a kernel configuration, and the directories of an Arch package."""
    for name in ("conf", "pkg/build", "pkg/modules"):
        (folder / name).mkdir(parents=True)
    (folder / "conf/config.x86_64").write_text('CONFIG_MODULE_SIG_HASH="sha512"\n')
    (folder / "pkg/modules/one.ko").write_bytes(_module("one"))
    return {"builddir": str(folder / "pkg/build"), "modulesdir": str(folder / "pkg/modules")}


# --------------------------------------------------------------------------- machines


@ingredient
def machine(folder: Path, system: Path) -> None:
    """A running Debian 6.1 under Secure Boot: the vendor's modules, its key in the kernel image, DKMS's key
    pair, and nvidia as DKMS built and installed it, unsigned."""
    modules = system / "lib/modules" / RELEASE
    _sign(modules / "kernel/fs/fat/vfat.ko", "other")
    loose = modules / "updates/dkms/nvidia.ko"
    loose.parent.mkdir(parents=True)
    loose.write_bytes(_module("nvidia"))
    built = system / "var/lib/dkms/nvidia/550.163" / RELEASE / "x86_64/module/nvidia.ko"
    built.parent.mkdir(parents=True)
    shutil.copy(loose, built)
    (modules / "modules.dep").write_text("updates/dkms/nvidia.ko:\nkernel/fs/fat/vfat.ko:\n")
    for name, text in {
        "proc/sys/kernel/osrelease": f"{RELEASE}\n",
        "proc/cmdline": "ro quiet\n",
        "proc/modules": "vfat 20480 1 - Live 0x0000000000000000\n",
        "sys/module/module/parameters/sig_enforce": "Y\n",
        "sys/kernel/security/lockdown": "none [integrity] confidentiality\n",
        f"boot/config-{RELEASE}": "CONFIG_MODULE_SIG=y\n",
    }.items():
        (system / name).parent.mkdir(parents=True, exist_ok=True)
        (system / name).write_text(text)
    firmware = system / "sys/firmware/efi/efivars"
    firmware.mkdir(parents=True)
    for name, value in (("SecureBoot", 1), ("SetupMode", 0)):
        (firmware / f"{name}-8be4df61-93ca-11d2-aa0d-00e098032b8c").write_bytes(b"\6\0\0\0" + bytes([value]))
    (system / f"boot/vmlinuz-{RELEASE}").write_bytes(_kernel())
    (system / "root").mkdir()
    dkms = system / "var/lib/dkms"
    _pair(dkms, "mok")
    (dkms / "mok.der").rename(dkms / "mok.pub")
    (dkms / "mok.key").chmod(0o600)


def package(path: Path, members: dict[str, bytes]) -> None:
    """A Debian package with these files below /lib/modules, made by dpkg-deb."""
    tree = path.parent / f".{path.name}"
    for name, content in members.items():
        file = tree / "lib/modules" / RELEASE / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    (tree / "DEBIAN").mkdir()
    about = "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n"
    (tree / "DEBIAN/control").write_text(about)
    command = [need("dpkg-deb"), "--build", "--root-owner-group", str(tree), str(path)]
    subprocess.run(command, check=True, capture_output=True)
    shutil.rmtree(tree)


@ingredient
def packages(folder: Path, system: Path) -> None:
    """linux-image.deb with vfat.ko, signed by the key in vendor.pem; and server.tar, where it has lost it."""
    _sign(folder / ".signed" / "vfat.ko", "other")
    signed = (folder / ".signed" / "vfat.ko").read_bytes()
    package(folder / "linux-image.deb", {"kernel/fs/fat/vfat.ko": signed})
    with tarfile.open(folder / "server.tar", "w") as archive:
        header = tarfile.TarInfo(f"lib/modules/{RELEASE}/kernel/fs/fat/vfat.ko")
        header.size = len(plain := _module("vfat"))
        archive.addfile(header, BytesIO(plain))
    shutil.rmtree(folder / ".signed")


@ingredient
def disk(folder: Path, system: Path) -> None:
    """disk.img: an ext4 file system of a server with the vendor's vfat.ko, and a module without signature
    where DKMS puts them. Needs mkfs.ext4 and the extra ``images``."""
    pytest.importorskip("dissect.extfs")
    need("mkfs.ext4")
    modules = folder / ".tree" / "lib" / "modules" / RELEASE
    for name in ("kernel/fs/fat/vfat.ko", "updates/dkms/nvidia.ko"):
        (modules / name).parent.mkdir(parents=True)
        (modules / name).write_bytes(_module(Path(name).stem))
    _sign(modules / "kernel/fs/fat/vfat.ko", "other")
    words = ("-q", "-b", "1024", "-d", folder / ".tree", folder / "disk.img", "8M")
    subprocess.run([locate("mkfs.ext4") or "", *map(str, words)], check=True, capture_output=True)
    shutil.rmtree(folder / ".tree")


POLICY = """\
version = 1

[[rule]]                                   # the distributor's modules, by the key in each host's kernel
path = "kernel/**"
trust = "{kernel}"
formats = "pkcs7"
hashes = ["sha256", "sha384", "sha512"]

[[rule]]                                   # what DKMS built, by the key of the machine's owner
path = "updates/dkms/**"
trust = ["{root}/var/lib/dkms/mok.pub", "{kernel}"]

[[exception]]
name = "nvidia"
host = "web*"
rules = "unsigned"
reason = "the key is enrolled at the next boot: ticket 4711"
expires = 2099-12-31

[[exception]]
name = "vfat"
rules = "other-key"
reason = "rebuilt for a test of the storage team"
expires = 2024-06-30
"""


@ingredient
def fleet(folder: Path, system: Path) -> None:
    """fleet/web1, web2 and db1: a vendor's module each; in web2 one of DKMS without a signature; in db1 the
    vendor's is signed by another key. And policy.toml."""
    for name, signer in (("web1", "other"), ("web2", "other"), ("db1", "signer")):
        root = folder / "fleet" / name
        _sign(root / "lib/modules" / RELEASE / "kernel/fs/fat/vfat.ko", signer)
        for each in ("etc", "boot"):
            (root / each).mkdir()
        (root / "etc/hostname").write_text(f"{name}\n")
        (root / f"boot/vmlinuz-{RELEASE}").write_bytes(_kernel())
    dkms = folder / "fleet/web2/var/lib/dkms"
    dkms.mkdir(parents=True)
    _pair(dkms, "mok")
    (dkms / "mok.der").rename(dkms / "mok.pub")
    loose = folder / "fleet/web2/lib/modules" / RELEASE / "updates/dkms/nvidia.ko"
    loose.parent.mkdir(parents=True)
    loose.write_bytes(_module("nvidia"))
    (folder / "policy.toml").write_text(POLICY)


@ingredient
def image(folder: Path, system: Path) -> None:
    """A system mounted at /mnt, with its kernel's key."""
    _sign(system / "mnt/lib/modules" / RELEASE / "kernel/fs/fat/vfat.ko", "other")
    (system / "mnt/boot").mkdir()
    (system / f"mnt/boot/vmlinuz-{RELEASE}").write_bytes(_kernel())
