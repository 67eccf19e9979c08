"""Valid inputs, made by recipe: what the mutators begin with. All keys are the corpus' throw-away ones."""

from __future__ import annotations

import base64
import gzip
import json
import lzma
from collections.abc import Callable, Iterable, Iterator
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat, PublicFormat, pkcs12

import corpus
from elfsig.registry import load
from tests.support import cms as craft
from tests.support.efilists import SHA256, X509, X509_SHA256, esl, update
from tests.support.vectors import ROOT as VECTORS

REGISTRY = load(plugins=False)
SMALL = 6000
PASSPHRASE = b"secret"


@cache
def modules() -> tuple[bytes, ...]:
    """Unsigned and signed modules, damaged ones among them."""
    made = [sample.data() for sample in corpus.select()]
    made += [path.read_bytes() for path in sorted((VECTORS / "modules").iterdir())]
    return tuple(each for each in dict.fromkeys(made) if len(each) < SMALL)


@cache
def unsigned() -> tuple[bytes, ...]:
    """ELF files without signatures, of every word size and byte order."""
    made = [path.read_bytes() for path in sorted((VECTORS / "unsigned").iterdir())]
    return tuple(dict.fromkeys([*(sample.data() for sample in corpus.select() if sample.kept), *made]))


@cache
def blobs(*envelopes: str) -> tuple[bytes, ...]:
    """The signatures inside the sample modules that one of ``envelopes`` may parse; without names, all."""
    from tests.support.opened import opened

    found = []
    for data in modules():
        for each in opened(data, REGISTRY).places:
            ids = {pair.envelope.id for f in each.claimants for pair in f.pairs}
            if each.place.blob and (not envelopes or ids & set(envelopes)):
                found.append(each.place.blob)
    return tuple(dict.fromkeys(found))


@cache
def identity(name: str = "signer") -> craft.Identity:
    """A key pair of the corpus: signer, other (RSA) or curve (P-256)."""
    private = serialization.load_pem_private_key((corpus.KEYS / f"{name}.key.pem").read_bytes(), None)
    return craft.Identity(private, certificate(name))


@cache
def certificate(name: str = "signer") -> bytes:
    """Its certificate in DER."""
    loaded = x509.load_pem_x509_certificate((corpus.KEYS / f"{name}.cert.pem").read_bytes())
    return loaded.public_bytes(Encoding.DER)


CONTENT = b"a module, or anything else that is signed\n" * 8


def cms() -> Iterator[bytes]:
    """CMS of many shapes over CONTENT, good and bad, and those of the sample modules."""
    signer, curve = identity(), identity("curve")
    for hash_name in ("sha1", "sha256", "sha512"):
        yield craft.cms(craft.signer_info(signer, CONTENT, hash_name))
    yield craft.cms(craft.signer_info(signer, CONTENT, keyid=True), version=3)
    yield craft.cms(craft.signer_info(curve, CONTENT), certificates=[certificate("curve")])
    yield craft.cms(craft.signer_info(signer, CONTENT), certificates=[certificate(), certificate("other")])
    attributes = craft.attributes(CONTENT, "sha256")
    yield craft.cms(craft.signer_info(signer, CONTENT, attrs=attributes))
    yield craft.cms(craft.signer_info(signer, CONTENT), craft.signer_info(curve, CONTENT, "sha512"))
    yield craft.cms(craft.signer_info(signer, CONTENT), content=CONTENT)
    yield craft.cms(craft.signer_info(signer, CONTENT), wrap=craft.indefinite)
    yield craft.cms(craft.signer_info(signer, b"other content"))
    yield from blobs("cms")


def openpgp_signatures() -> Iterator[bytes]:
    """Signature packets of versions 3 and 4, DSA and RSA."""
    yield from (path.read_bytes() for path in sorted((VECTORS / "signatures").iterdir()))
    yield from blobs("openpgp")


def encrypted() -> Iterator[bytes]:
    """OpenPGP messages to an RSA and an Elgamal key (RFC 4880 5.1, 5.7, 5.13); nobody can open them."""
    number = b"\4\0" + b"\x80".ljust(128, b"n")
    for tag, head in ((9, b""), (18, b"\1")):
        for algorithm, numbers in ((1, number), (16, number * 2)):
            session = b"\3" + bytes(range(8)) + bytes([algorithm]) + numbers
            yield _packet(1, session) + _packet(tag, head + bytes(range(60)))


def _packet(tag: int, body: bytes) -> bytes:
    return bytes([0xC0 | tag, 0xFF]) + len(body).to_bytes(4) + body


# --------------------------------------------------------------------------- key sources


def _pem(label: str, data: bytes) -> bytes:
    return b"-----BEGIN %s-----\n%s-----END %s-----\n" % (
        label.encode(),
        base64.encodebytes(data),
        label.encode(),
    )


def _spki(name: str = "signer") -> bytes:
    public = identity(name).private.public_key()
    return bytes(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def _armoured(data: bytes, label: str = "PGP PUBLIC KEY BLOCK") -> bytes:
    return _pem(label, data).replace(b"-----\n", b"-----\nVersion: x\n\n", 1)


@cache
def pem() -> tuple[bytes, ...]:
    """PEM of all labels, with what people put around it."""
    cert, key = certificate(), identity().pem()[0]
    made = [
        _pem("CERTIFICATE", cert),
        _pem("TRUSTED CERTIFICATE", cert),
        _pem("PUBLIC KEY", _spki()),
        key,
        _pem("PKCS7", next(cms())),
        _pem("CMS", next(cms())),
        _pem("X509 CRL", cert[:200]),
        _pem("TSS2 PRIVATE KEY", bytes.fromhex("300806066781050a0103")),
        _pem("OPENSSH PRIVATE KEY", cert[:99]),
        _pem("ENCRYPTED PRIVATE KEY", cert[:99]),
    ]
    both = (
        b"\xef\xbb\xbfBag Attributes\r\n" + made[0].replace(b"\n", b"\r\n") + b"# elfsig: revoked\n" + made[2]
    )
    return (*made, both, made[0] * 3, made[0].decode().encode("utf-16"), _armoured(rings()[0]))


@cache
def rings() -> tuple[bytes, ...]:
    """OpenPGP key rings: public ones, and a secret one."""
    return tuple(path.read_bytes() for path in sorted((VECTORS / "keys").iterdir()))


def der() -> Iterator[bytes]:
    """Certificates, public keys, private keys and bundles in DER."""
    yield from (certificate(name) for name in ("signer", "other", "curve"))
    yield from (_spki(name) for name in ("signer", "curve"))
    yield certificate() + certificate("other") + certificate("curve")
    yield craft.cms(certificates=[certificate(), certificate("other")])
    private = identity().private
    yield private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, serialization.NoEncryption())
    yield private.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    yield private.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)


def private() -> Iterator[bytes]:
    """Private keys in files: PEM, DER, PKCS#12, OpenPGP, TPM."""
    for name in ("signer", "curve"):
        yield from identity(name).pem()
    key, cert = identity("curve").private, identity("curve").parsed
    # No key derivation worth the name: the time would be OpenSSL's.
    weak = serialization.PrivateFormat.PKCS12.encryption_builder().kdf_rounds(1)
    for hidden in (serialization.NoEncryption(), weak.build(PASSPHRASE)):
        yield pkcs12.serialize_key_and_certificates(b"name", key, cert, None, hidden)
    yield from (path.read_bytes() for path in (VECTORS / "keys").glob("*secret*"))
    yield from der()
    yield from pem()


def efi() -> Iterator[bytes]:
    """EFI signature lists, with the attributes of variables, and a signed update."""
    lists = esl(X509, certificate()) + esl(SHA256, bytes(32), b"\1" * 32) + esl(X509_SHA256, bytes(48))
    yield lists
    yield b"\7\0\0\0" + lists
    yield update(lists, certificate(), identity().private)
    yield update(lists, certificate(), identity().private, bare=False)


def dumps() -> Iterator[bytes]:
    """Certificates printed as mokutil and openssl do."""
    head = "[key 1]\nSHA1 Fingerprint: aa:bb\nCertificate:\n    Data:\n        Version: 3 (0x2)\n"
    head += "        Serial Number: 10799 (0x2a2f)\n        Subject: CN=elfsig, O=x\n"
    numbers = ":".join(
        f"{byte:02x}" for byte in b"\0" + identity().private.public_key().public_numbers().n.to_bytes(256)
    )
    rows = "".join(f"                    {numbers[at : at + 45]}\n" for at in range(0, len(numbers), 45))
    key = "            Public Key Algorithm: rsaEncryption\n                Public-Key: (2048 bit)\n"
    yield (
        head + key + f"                Modulus:\n{rows}                Exponent: 65537 (0x10001)\n"
    ).encode()
    skid = "            X509v3 Subject Key Identifier: \n                AA:BB:CC\n"
    curve = "                Public-Key: (256 bit)\n                pub:\n                    04:aa:bb\n"
    yield (head + curve + "                ASN1 OID: prime256v1\n" + skid).encode()
    yield f"[SHA-256]\n{'ab' * 32}\n[SHA-1]\n{'cd' * 20}\n".encode()
    yield f"tbs:{'ab' * 32}\nbin:{'cd' * 32}\n".encode()


# --------------------------------------------------------------------------- compressed data and kernels


def compressed(content: bytes = b"") -> dict[str, bytes]:
    """``content`` as one stream of each compression that needs no outside program."""
    import bz2

    import lz4.frame
    import zstandard

    data = content or corpus.content("amd64.pkcs7")
    return {
        "gzip": gzip.compress(data, mtime=0),
        "xz": lzma.compress(data, check=lzma.CHECK_CRC32),
        "zstd": zstandard.ZstdCompressor(write_checksum=True).compress(data),
        "zstd-frames": zstandard.compress(data[:99])
        + b"\x50\x2a\x4d\x18\4\0\0\0skip"
        + zstandard.compress(data),
        "bzip2": bz2.compress(data),
        "lz4": bytes(lz4.frame.compress(data, content_checksum=True)),
        "lz4-legacy": _lz4_legacy(data),
        "lzo": _lzop(data),
        "lzma": lzma.compress(data, lzma.FORMAT_ALONE),
    }


def _lz4_legacy(data: bytes) -> bytes:
    import lz4.block

    block: bytes = lz4.block.compress(data, store_size=False)
    return b"\x02\x21\x4c\x18" + len(block).to_bytes(4, "little") + block


def _lzop(data: bytes) -> bytes:
    """One block, as lzop writes it (its header: version, method, flags, mode, times, an empty name)."""
    import struct
    import zlib

    from lzallright import LZOCompressor

    block = bytes(LZOCompressor().compress(data))
    head = struct.pack(">HHHBBIIIIB", 0x1030, 0x20A0, 0x0940, 1, 5, 0x03000001, 0o100644, 0, 0, 0)
    body = struct.pack(">III", len(data), len(block), zlib.adler32(data)) + block + bytes(4)
    return b"\x89LZO\0\r\n\x1a\n" + head + struct.pack(">I", zlib.adler32(head)) + body


@cache
def kernels() -> tuple[bytes, ...]:
    """Kernel images of every kind, small: with a list of certificates, a banner and a configuration."""
    from tests.support.keysources import (
        arm64_image,
        bzimage,
        certificate_list,
        unified,
        unpacked,
        vmlinux,
        zboot,
    )

    listed = certificate_list([certificate(), certificate("other")])
    config = b"IKCFG_ST" + gzip.compress(b"CONFIG_MODULE_SIG=y\nCONFIG_MODULE_SIG_FORCE=y\n") + b"IKCFG_ED"
    banner = b"Linux version 6.1.0-54-amd64 (x@x) #1 SMP\n\0"
    plain = unpacked(listed, banner + config)
    old = unpacked(b"Linux version 2.6.18-8.el5 (x)\n\0", rings()[0])
    symbols = {"system_certificate_list": (listed, 512), "system_certificate_list_size": (bytes(8), 4096)}
    made = [plain, old, arm64_image(plain), vmlinux(symbols), vmlinux(symbols, ">", 32)]
    for data in compressed(plain).values():
        made.append(bzimage(data))
    made.append(zboot(gzip.compress(plain), b"gzip"))
    made.append(unified((b".initrd", unpacked(listed)), (b".linux", plain)))
    return tuple(made)


# --------------------------------------------------------------------------- texts


def configs() -> Iterator[bytes]:
    """Kernel configurations, plain and compressed."""
    text = (
        b'# Linux/x86 6.1.0 Kernel Configuration\nCONFIG_MODULE_SIG=y\nCONFIG_MODULE_SIG_HASH="sha256"\n'
        b'# CONFIG_MODULE_SIG_FORCE is not set\nCONFIG_MODULE_SIG_KEY="certs/signing_key.pem"\n'
        b"CONFIG_SYSTEM_TRUSTED_KEYRING=y\nCONFIG_INTEGRITY_CA_MACHINE_KEYRING=y\nCONFIG_SECURITY_LOCKDOWN_LSM=y\n"
    )
    yield text
    yield gzip.compress(text, mtime=0)


def command_lines() -> Iterator[bytes]:
    """Kernel command lines, boot logs, configurations of GRUB."""
    yield b"BOOT_IMAGE=/vmlinuz root=/dev/sda1 ro quiet module.sig_enforce=1 lockdown=integrity fips=1"
    log = b"[    0.000000] Command line: ro module.sig_enforce\n"
    yield log + b"[    0.1] Kernel is locked down from EFI Secure Boot\n"
    first, second = b"title A\n\tkernel /vmlinuz ro\n", b"title B\n\tkernel /vmlinuz enforcemodulesig=1\n"
    yield b"default=1\ntimeout=5\n" + first + second
    yield b"menuentry 'x' {\n linux /vmlinuz lockdown=confidentiality\n}\nGRUB_CMDLINE_LINUX=\"fips=1\"\n"


def releases() -> Iterator[bytes]:
    """What uname -r prints on many systems."""
    for text in (
        "6.1.0-54-amd64",
        "2.6.32-431.el6.x86_64",
        "5.15.0-91-generic",
        "4.18.0-513.el8.x86_64",
        "2.6.9-89.EL",
        "3.10.0-1160.el7.x86_64",
        "5.14.21-150500.55-default",
        "6.6.9-arch1-1",
        "5.10.198-android13-4",
        "4.1.12-124.16.4.el7uek.x86_64",
        "2.6.18-398.el5PAE",
        "3.7.0",
        "2.6.5-1.358",
        "7.1.0-rc3+",
    ):
        yield text.encode()


GENKEY = b"""[ req ]
default_bits = 4096
distinguished_name = req_dn
prompt = no
string_mask = utf8only
x509_extensions = myexts

[ req_dn ]
#O = Unspecified company
CN = Build time autogenerated kernel key
emailAddress = $ENV::USER

[ myexts ]
basicConstraints=critical,CA:FALSE
keyUsage=digitalSignature
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
"""


def reports() -> Iterator[bytes]:
    """JSON of elfsig: documents and lines of several verbs."""
    import elfsig

    ring = elfsig.keyring(certificate())
    found = [elfsig.verify(data, ring).to_json() for data in modules()[:6]]
    yield json.dumps({"schema_version": 1, "files": found[:2]}).encode()
    yield b"\n".join(json.dumps(each).encode() for each in found)
    entry = {
        "path": "a.ko",
        "action": "signed",
        "before": {"sha256": "00", "size": 1},
        "after": {"sha256": "01"},
        "signature": {"serial": "2a", "signer": "x"},
        "target": None,
    }
    yield json.dumps({"schema_version": 1, "asked": {}, "keys": [], "edits": [entry]}).encode()
    yield (
        json.dumps({"asked": {}}).encode()
        + b"\n"
        + json.dumps(entry).encode()
        + b"\n"
        + b'{"path": "b.ko", "sha'
    )
    signer = {"verdict": "valid", "key_id": "00"}
    yield json.dumps({"path_hex": "612e6b6f", "signer": signer, "faults": [], "sha256": "00"}).encode()


def only(*makers: Callable[[], Iterable[bytes]], most: int = 1 << 14) -> Callable[[], Iterator[bytes]]:
    """The seeds of all ``makers`` that are small enough."""

    def made() -> Iterator[bytes]:
        for each in makers:
            yield from (data for data in each() if len(data) <= most)

    return made
