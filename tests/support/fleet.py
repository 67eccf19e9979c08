"""A synthetic fleet: root directories of many hosts, a few kernels, modules as hard links to few files."""

from __future__ import annotations

import datetime
import gzip
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

import corpus
import elfsig
from tests.support.keysources import bzimage, certificate_list, unpacked

RELEASES = ("5.10.0-33-amd64", "6.1.0-28-amd64", "6.12.5-1-amd64")
PLAIN = corpus.SAMPLES / "amd64-6.1.ko"
OWN_NAME = b"name=sample\0"


@dataclass(frozen=True, slots=True)
class Signing:
    """A key, and the certificate for it."""

    name: str
    certificate: bytes
    key: bytes

    def sign(self, content: bytes, **options: Any) -> bytes:
        """``content`` with a signature as the kernel's sign-file makes it."""
        signer = elfsig.open_signer(self.key, self.certificate)
        return elfsig.sign(content, "pkcs7", signer, **options).content


@cache
def signing(name: str, kind: str = "rsa") -> Signing:
    """The key of this name, made in this process."""
    key = rsa.generate_private_key(65537, 2048) if kind == "rsa" else ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(int.from_bytes(name.encode()[-8:], "big") | 1 << 56)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=36500))
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8
    private = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return Signing(name, made.public_bytes(serialization.Encoding.DER), private)


@cache
def module(name: str) -> bytes:
    """A module that calls itself ``name``, of at most six letters."""
    new = b"name=" + name.encode() + b"\0"
    assert len(new) <= len(OWN_NAME)
    return PLAIN.read_bytes().replace(OWN_NAME, new.ljust(len(OWN_NAME), b"\0"))


def kernel(release: str, key: Signing, filling: int = 0, more: Sequence[Signing] = ()) -> bytes:
    """A kernel image of a release that holds the certificates of ``key`` and ``more``."""
    banner = f"Linux version {release} (builder@example) #1 SMP\n\0".encode()
    body = (
        unpacked(banner, certificate_list([each.certificate for each in (key, *more)]))
        + os.urandom(filling // 2)
        + bytes(filling // 2)
    )
    return bzimage(gzip.compress(body, 1, mtime=0))


@dataclass(frozen=True, slots=True)
class Fleet:
    """A fleet below ``folder``: ``fleet/NAME`` are the hosts' root directories."""

    folder: Path
    hosts: Sequence[str]
    names: Sequence[str]

    @property
    def pattern(self) -> str:
        """The glob pattern of all root directories."""
        return str(self.folder / "fleet" / "*")

    def root(self, host: str) -> Path:
        """The root directory of a host."""
        return self.folder / "fleet" / host

    def release(self, host: str) -> str:
        """The release of the host's kernel."""
        return RELEASES[self.hosts.index(host) % len(RELEASES)]

    def module(self, host: str, name: str, below: str = "kernel/drivers") -> Path:
        """A module of a host."""
        return self.root(host) / "lib/modules" / self.release(host) / below / f"{name}.ko"

    def replace(self, host: str, name: str, content: bytes, below: str = "kernel/drivers") -> Path:
        """Put another file in the place of a module of one host only."""
        path = self.module(host, name, below)
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path


def fleet(folder: Path, hosts: int, modules: int, filling: int = 0, copies: bool = True) -> Fleet:
    """Make a fleet of ``hosts``, each with ``modules`` for one of three kernels.

    ``filling`` are bytes to make each kernel larger. ``copies``: each host has its own copy of its kernel,
    else they are hard links as well.
    """
    names = [f"m{number:05}" for number in range(modules)]
    stock = folder / "stock"
    for release in RELEASES:
        key = signing(f"Build key of {release}")
        (stock / release).mkdir(parents=True)
        (stock / release / "vmlinuz").write_bytes(kernel(release, key, filling))
        for name in names:
            (stock / release / f"{name}.ko").write_bytes(key.sign(module(name)))
    made = Fleet(folder, [f"host{number:03}" for number in range(hosts)], names)
    for host in made.hosts:
        _host(made, host, stock / made.release(host), copies)
    return made


def _host(made: Fleet, host: str, stock: Path, copies: bool) -> None:
    root = made.root(host)
    for each in ("etc", "boot"):
        (root / each).mkdir(parents=True)
    (root / "etc/hostname").write_text(f"{host}.example\n")
    image = root / "boot" / f"vmlinuz-{made.release(host)}"
    if copies:
        image.write_bytes((stock / "vmlinuz").read_bytes())
    else:
        image.hardlink_to(stock / "vmlinuz")
    for name in made.names:
        path = made.module(host, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.hardlink_to(stock / f"{name}.ko")


def hosts_of(made: Fleet) -> Iterator[str]:
    """The names that the hosts give themselves."""
    return (f"{host}.example" for host in made.hosts)
