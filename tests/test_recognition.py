"""Whatever is given to a verb is named for what it is, with the option or command that it is for."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import os
import tarfile
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import pkcs7, pkcs12

import corpus
import elfsig
from elfsig.envelopes.openpgp.packets import SIGNATURE, mpi, write_packet
from elfsig.recognition.kinds import Family
from elfsig.recognition.sniff import kind_of
from tests.support.cms import identity, private
from tests.support.elf import Sec, build, repatched
from tests.support.run import run

ONE = identity()
DER = serialization.Encoding.DER
PEM = serialization.Encoding.PEM
PKCS8 = serialization.PrivateFormat.PKCS8
TRADITIONAL = serialization.PrivateFormat.TraditionalOpenSSL
PLAIN = serialization.NoEncryption()
LOCKED = serialization.BestAvailableEncryption(b"secret")
DAY = datetime(2026, 1, 1, tzinfo=UTC)


def pem(label: str, data: bytes) -> bytes:
    from base64 import encodebytes

    return b"-----BEGIN %b-----\n%b-----END %b-----\n" % (label.encode(), encodebytes(data), label.encode())


def certificate() -> x509.Certificate:
    return x509.load_der_x509_certificate(ONE.certificate)


def tar(*names: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    return stream.getvalue()


def old_tar() -> bytes:
    """A header as before POSIX: no magic, only a checksum."""
    block = bytearray(tar("a")[:512])
    block[257:265] = bytes(8)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + bytes(1024)


def zipped() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.ko", b"x")
    return stream.getvalue()


def at(offset: int, mark: bytes, size: int = 1 << 17) -> bytes:
    return (bytes(offset) + mark).ljust(size, b"\0")


def pe(*sections: bytes) -> bytes:
    header = b"PE\0\0" + b"\x64\x86" + len(sections).to_bytes(2, "little") + bytes(12) + b"\0\0" + bytes(2)
    table = b"".join(name.ljust(40, b"\0") for name in sections)
    return b"MZ" + bytes(0x3A) + (0x40).to_bytes(4, "little") + header + table + bytes(600)


def partitioned() -> bytes:
    entry = b"\x80\1\1\0\x83\xfe\xff\xff" + (2048).to_bytes(4, "little") + (90000).to_bytes(4, "little")
    return bytes(0x1BE) + entry + bytes(48) + b"\x55\xaa" + bytes(4096)


def request() -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(private("rsa"), hashes.SHA256()).public_bytes(DER)


def revocation_list() -> bytes:
    builder = x509.CertificateRevocationListBuilder().issuer_name(certificate().subject)
    dated = builder.last_update(DAY).next_update(DAY)
    return dated.sign(private("rsa"), hashes.SHA256()).public_bytes(DER)


def detached() -> bytes:
    builder = pkcs7.PKCS7SignatureBuilder().set_data(b"x")
    signed = builder.add_signer(certificate(), ONE.private, hashes.SHA256())
    made: bytes = signed.sign(DER, [pkcs7.PKCS7Options.DetachedSignature])
    return made


def key_bytes(form: serialization.PrivateFormat, protection: object = PLAIN, kind: str = "rsa") -> bytes:
    made: bytes = private(kind).private_bytes(DER, form, protection)
    return made


def bundle(password: bytes | None) -> bytes:
    locked = PLAIN if password is None else serialization.BestAvailableEncryption(password)
    return pkcs12.serialize_key_and_certificates(b"k", private("rsa"), certificate(), None, locked)


def spki() -> bytes:
    made: bytes = (
        private("rsa").public_key().public_bytes(DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return made


def elf(type: int = 1, machine: int = 62, *sections: str) -> bytes:
    return repatched(build([Sec(name, b"code") for name in (".text", *sections)]), type=type, machine=machine)


def report() -> bytes:
    return json.dumps({"schema_version": 1, "elfsig": "0", "files": []}).encode()


CERT, KEY, PUB = ONE.certificate, key_bytes(PKCS8), spki()
OPENSSH = private("rsa").private_bytes(PEM, serialization.PrivateFormat.OpenSSH, PLAIN)
PGP_SIG = write_packet(SIGNATURE, b"\4\0\1\2\0\0\0\0\0\0" + mpi(5))

CASES: dict[str, tuple[Callable[[], bytes], str, Family]] = {
    "certificate": (lambda: CERT, "a certificate", Family.CERTIFICATE),
    "certificate PEM": (lambda: pem("CERTIFICATE", CERT), "a certificate", Family.CERTIFICATE),
    "certificate BOM": (
        lambda: b"\xef\xbb\xbf" + pem("CERTIFICATE", CERT), "a certificate", Family.CERTIFICATE,
    ),
    "certificate UTF-16": (
        lambda: pem("CERTIFICATE", CERT).decode().encode("utf-16"), "a certificate", Family.CERTIFICATE,
    ),
    "certificate with text": (
        lambda: b"subject=CN = x\r\n" + pem("TRUSTED CERTIFICATE", CERT), "a certificate", Family.CERTIFICATE,
    ),
    "public key": (lambda: PUB, "a public key", Family.CERTIFICATE),
    "public key PEM": (lambda: pem("PUBLIC KEY", PUB), "a public key", Family.CERTIFICATE),
    "PKCS#7 bundle": (
        lambda: pkcs7.serialize_certificates([certificate()], DER), "certificates in a PKCS#7 file",
        Family.CERTIFICATE,
    ),
    "PKCS#7 bundle PEM": (
        lambda: pkcs7.serialize_certificates([certificate()], PEM), "certificates in a PKCS#7 file",
        Family.CERTIFICATE,
    ),
    "PKCS#8": (lambda: KEY, "a private key", Family.PRIVATE_KEY),
    "PKCS#8 PEM": (lambda: pem("PRIVATE KEY", KEY), "a private key", Family.PRIVATE_KEY),
    "PKCS#8 locked": (lambda: key_bytes(PKCS8, LOCKED), "an encrypted private key", Family.PRIVATE_KEY),
    "PKCS#1": (
        lambda: key_bytes(TRADITIONAL), "a private key", Family.PRIVATE_KEY
    ),
    "SEC 1": (
        lambda: key_bytes(TRADITIONAL, kind="p256"), "a private key",
        Family.PRIVATE_KEY,
    ),
    "EC with parameters": (
        lambda: pem("EC PARAMETERS", b"\6\0") + pem("EC PRIVATE KEY", b"\x30\0"), "a private key",
        Family.PRIVATE_KEY,
    ),
    "PKCS#12": (lambda: bundle(b"secret"), "a PKCS#12 file", Family.PRIVATE_KEY),
    "PKCS#12 open": (lambda: bundle(None), "a PKCS#12 file", Family.PRIVATE_KEY),
    "TPM key": (
        lambda: pem("TSS2 PRIVATE KEY", bytes.fromhex("300806066781050a0103")), "only its TPM can use",
        Family.FOREIGN_KEY,
    ),
    "TPM key DER": (
        lambda: bytes.fromhex("300806066781050a0103"), "only its TPM can use", Family.FOREIGN_KEY,
    ),
    "OpenSSH key": (lambda: OPENSSH, "an OpenSSH private key", Family.FOREIGN_KEY),
    "OpenSSH public key": (lambda: b"ssh-ed25519 AAAAC3 me", "an OpenSSH public key", Family.FOREIGN_KEY),
    "PuTTY": (
        lambda: b"PuTTY-User-Key-File-3: ssh-rsa\r\n", "a private key of PuTTY", Family.FOREIGN_KEY,
    ),
    "Java": (lambda: b"\xfe\xed\xfe\xed\0\0\0\2", "a Java key store", Family.FOREIGN_KEY),
    "keybox": (lambda: at(8, b"KBXf", 64), "GnuPG's keybox", Family.FOREIGN_KEY),
    "GnuPG store": (
        lambda: b"(21:protected-private-key(3:rsa", "in GnuPG's own store", Family.FOREIGN_KEY
    ),
    "PGP public": (
        lambda: b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nx", "an OpenPGP public key", Family.CERTIFICATE
    ),
    "PGP secret": (
        lambda: b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nx", "an OpenPGP secret key", Family.PRIVATE_KEY
    ),
    "PGP secret binary": (
        lambda: write_packet(5, b"\4\0\0\0\0\1" + mpi(77)), "an OpenPGP secret key", Family.PRIVATE_KEY
    ),
    "PGP public binary": (
        lambda: write_packet(6, b"\4\0\0\0\0\1" + mpi(77)), "an OpenPGP public key", Family.CERTIFICATE
    ),
    "PGP signature": (lambda: PGP_SIG, "an OpenPGP signature", Family.SIGNATURE),
    "PGP signature armour": (
        lambda: b"-----BEGIN PGP SIGNATURE-----\n\nx", "an OpenPGP signature", Family.SIGNATURE
    ),
    "CMS": (detached, "a PKCS#7 signature", Family.SIGNATURE),
    "CMS PEM": (lambda: pem("CMS", detached()), "a PKCS#7 signature", Family.SIGNATURE),
    "IMA": (lambda: b"\3\2\4" + bytes(6) + bytes(256), "an IMA signature", Family.SIGNATURE),
    "request": (request, "a request for a certificate", Family.REQUEST),
    "request PEM": (lambda: pem("CERTIFICATE REQUEST", request()), "a request", Family.REQUEST),
    "CRL": (revocation_list, "a certificate revocation list", Family.REQUEST),
    "CRL PEM": (lambda: pem("X509 CRL", revocation_list()), "revocation list", Family.REQUEST),
    "tar": (lambda: tar("a", "b"), "a tar archive", Family.CONTAINER),
    "old tar": (old_tar, "a tar archive", Family.CONTAINER),
    "Arch package": (lambda: tar(".BUILDINFO", ".MTREE", "usr/"), "an Arch Linux package", Family.CONTAINER),
    "Alpine package": (lambda: tar(".SIGN.RSA.x", ".PKGINFO"), "an Alpine package", Family.CONTAINER),
    "deb": (lambda: b"!<arch>\ndebian-binary   ", "a Debian package", Family.CONTAINER),
    "static library": (lambda: b"!<arch>\n/               ", "an ar archive", Family.CONTAINER),
    "rpm": (lambda: b"\xed\xab\xee\xdb\3\0", "an RPM package", Family.CONTAINER),
    "zip": (zipped, "a zip archive", Family.CONTAINER),
    "initramfs": (lambda: b"070701" + b"0" * 104, "an initramfs", Family.CONTAINER),
    "qcow2": (lambda: b"QFI\xfb\0\0\0\3", "qcow2", Family.CONTAINER),
    "vmdk": (lambda: b"KDMV\1\0\0\0", "VMDK", Family.CONTAINER),
    "vhd": (lambda: bytes(4096) + b"conectix".ljust(512, b"\0"), "VHD", Family.CONTAINER),
    "vdi": (lambda: at(0x40, b"\x7f\x10\xda\xbe"), "VirtualBox", Family.CONTAINER),
    "E01": (lambda: b"EVF\x09\x0d\x0a\xff\0", "EnCase E01", Family.CONTAINER),
    "GPT": (lambda: at(512, b"EFI PART"), "GPT", Family.CONTAINER),
    "MBR": (partitioned, "MBR", Family.CONTAINER),
    "ISO": (lambda: at(0x8001, b"CD001"), "an ISO 9660 image", Family.CONTAINER),
    "ext4": (lambda: at(0x438, b"\x53\xef"), "ext4", Family.CONTAINER),
    "xfs": (lambda: at(0, b"XFSB"), "an XFS file system", Family.CONTAINER),
    "btrfs": (lambda: at(0x10040, b"_BHRfS_M"), "Btrfs", Family.CONTAINER),
    "squashfs": (lambda: b"hsqs" + bytes(92), "a squashfs image", Family.CONTAINER),
    "erofs": (lambda: at(0x400, b"\xe2\xe1\xf5\xe0"), "an EROFS image", Family.CONTAINER),
    "android": (lambda: b"ANDROID!" + bytes(900), "an Android boot image", Family.CONTAINER),
    "x86 kernel": (lambda: at(0x202, b"HdrS", 2000), "an x86 kernel", Family.KERNEL),
    "arm64 kernel": (lambda: at(0x38, b"ARM\x64", 2000), "an arm64 kernel", Family.KERNEL),
    "vmlinux": (lambda: elf(2, 62, "__ksymtab"), "an uncompressed kernel", Family.KERNEL),
    "PE": (lambda: pe(b".text"), "a PE image: sbverify", Family.PE),
    "UKI": (lambda: pe(b".text", b".linux"), "a unified kernel image", Family.CONTAINER),
    "executable": (lambda: elf(2), "an ELF executable", Family.PROGRAM),
    "library": (lambda: elf(3), "an ELF shared library", Family.PROGRAM),
    "core": (lambda: elf(4), "an ELF core dump", Family.PROGRAM),
    "object": (elf, "an object file that was not linked as a module", Family.PROGRAM),
    "eBPF": (lambda: elf(1, 247), "an eBPF object file", Family.PROGRAM),
    "report": (report, "a report of elfsig", Family.REPORT),
    "script": (lambda: b"#!/usr/bin/env python3\nprint()\n", "a script for /usr/bin/env", Family.OTHER),
    "source": (lambda: b"import os\nprint(os.name)\n", "text", Family.OTHER),
    "microcode": (lambda: b"DMA\0" + bytes(900), "a firmware file", Family.OTHER),
    "PDF": (lambda: b"%PDF-1.7\n", "a PDF document", Family.OTHER),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_is_not_a_module_is_named_by_verify(name: str, tmp_path: Path) -> None:
    """Neither unsigned nor malformed: nothing about signatures was established."""
    make, words, family = CASES[name]
    data = make()
    kind = kind_of(data)
    assert kind is not None and kind.family is family and words in kind.words
    path = tmp_path / "given"
    path.write_bytes(data)
    ran = run("verify", path, "--trust", corpus.KEYS / "signer.cert.pem")
    assert (ran.code, ran.out) == (5, "")
    assert f"{path}: not a module: " in ran.err and words in ran.err
    found = json.loads(run("verify", path, "--json").out)["files"][0]
    assert found["verdict"] is None and found["error"]["code"] == "not-a-module"
    assert found["size"] == len(data)


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_what_is_compressed_is_named_by_what_is_inside(
    pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    path = tmp_path / "given"
    path.write_bytes(pack(tar("a")))
    assert "not a module: a tar archive, " in run("verify", path).err


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("certificate", "did you mean --trust?"),
        ("PKCS#8", "pass it with --key to sign with it"),
        ("CMS", "pass it with --detached"),
        ("x86 kernel", "pass it with --kernel"),
        ("report", "audit --expect takes it"),
    ],
)
def test_the_command_line_names_the_option(name: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "given"
    path.write_bytes(CASES[name][0]())
    assert words in run("verify", path).err


def test_signed_files_of_any_kind_keep_their_verdict(tmp_path: Path) -> None:
    """IMA and kexec check signatures after anything: only what has none is refused."""
    key, cert = corpus.KEYS / "signer.key.pem", corpus.KEYS / "signer.cert.pem"
    for name in ("deb", "x86 kernel", "script", "executable"):
        path = tmp_path / name.replace(" ", "-")
        path.write_bytes(CASES[name][0]())
        assert run("sign", "--format", "pkcs7", "--key", key, "--cert", cert, "--in-place", path).code == 0
        assert run("verify", path, "--trust", cert).code == 0


def test_what_is_not_recognized_is_unsigned_and_damage_stays_malformed(tmp_path: Path) -> None:
    path = tmp_path / "given"
    for data, code, words in (
        (bytes(range(1, 250)), 1, "unsigned: no trace of a signature; not an ELF file"),
        (b"\x7fELF" + bytes(20), 1, "malformed"),
        (b"", 1, "malformed: the file is empty"),
        (elf(1, 62, ".modinfo"), 1, "unsigned: no trace of a signature"),
    ):
        path.write_bytes(data)
        ran = run("verify", path)
        assert (ran.code, words in ran.out) == (code, True), ran


def test_files_of_a_walk_over_all_files_are_unsigned(tmp_path: Path) -> None:
    """With --all, other files than modules are expected; a module's name promises a module all the same."""
    (tmp_path / "program").write_bytes(elf(2))
    ran = run("verify", "--all", tmp_path)
    assert (ran.code, "unsigned" in ran.out) == (1, True)
    (tmp_path / "program").unlink()
    (tmp_path / "m.ko").write_bytes(CERT)
    ran = run("verify", tmp_path)
    assert ran.code == 5 and "m.ko: not a module: a certificate" in ran.err and "1 not a module" in ran.err


@pytest.mark.parametrize("name", ["certificate", "PKCS#8", "CMS", "report", "TPM key"])
def test_sign_refuses_what_belongs_next_to_the_module(name: str, tmp_path: Path) -> None:
    """A mistaken order of arguments must not put a signature on the key or the certificate."""
    key, cert = corpus.KEYS / "signer.key.pem", corpus.KEYS / "signer.cert.pem"
    path = tmp_path / "given"
    path.write_bytes(CASES[name][0]())
    before = path.read_bytes()
    how = ("sign", "--format", "pkcs7", "--key", key, "--cert", cert, "--in-place", path)
    ran = run(*how)
    assert ran.code == 1 and "not signed, not a module: " in ran.err and path.read_bytes() == before
    assert run(*how, "--force").code == 0 and path.read_bytes() != before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("coverage",), "nothing is protected; not a module: a tar archive"),
        (("strip", "--dry-run", "--in-place"), "nothing to strip, not a module: a tar archive"),
        (("list",), "not a module: a tar archive"),
        (("show",), "not a module: a tar archive"),
        (("explain",), "not a module: a tar archive"),
        (("keys", "list"), "a tar archive, not a key source"),
        (("compare", corpus.SAMPLES / "amd64-6.1.ko"), "B is not an ELF file: a tar archive"),
        (("audit", "--trust", corpus.KEYS / "signer.cert.pem"), "not a module: a tar archive"),
    ],
)
def test_every_verb_names_it(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    path = tmp_path / "given"
    path.write_bytes(tar("a"))
    ran = run(*words, path)
    assert said in " ".join((ran.out + ran.err).split())


@pytest.mark.parametrize("name", ["certificate", "PKCS#8", "TPM key", "request", "report", "executable"])
def test_what_is_not_a_signature_is_named(name: str, tmp_path: Path) -> None:
    path = tmp_path / "given"
    path.write_bytes(CASES[name][0]())
    ran = run("verify", "--detached", path, corpus.SAMPLES / "amd64-6.1.ko")
    assert ran.code == 2 and CASES[name][1] in ran.err and "not a signature" in ran.err


def test_a_large_image_is_named_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    with path.open("wb") as stream:
        stream.write(at(0x438, b"\x53\xef"))
        os.truncate(stream.fileno(), 3 << 30)
    ran = run("verify", path)
    assert ran.code == 5 and "not a module: an ext2, ext3 or ext4 file system of 3221225472 bytes" in ran.err


def test_the_library_says_it_too() -> None:
    found = elfsig.verify(CERT)
    assert found.verdict is None and found.error is not None and found.error.code == "not-a-module"
    with pytest.raises(elfsig.VerificationError, match="not a module: a certificate"):
        found.require_valid()


def test_cut_off_files_of_every_kind_raise_nothing() -> None:
    for make, _, _ in CASES.values():
        data = make()[:2000]
        for size in (*range(min(len(data), 64)), len(data) // 2, len(data) - 1):
            kind_of(data[:size])


@pytest.mark.parametrize("name", ["certificate", "certificate PEM", "PKCS#8", "tar", "executable", "CMS"])
def test_what_is_not_a_baseline_is_named(name: str, tmp_path: Path) -> None:
    path, cert = tmp_path / "given", corpus.KEYS / "signer.cert.pem"
    path.write_bytes(CASES[name][0]())
    ran = run("audit", "--trust", cert, "--expect", path, corpus.SAMPLES / "amd64-6.1.ko")
    assert ran.code == 2 and f"{path}: {CASES[name][1]}, not a number, a modules.order" in ran.err
