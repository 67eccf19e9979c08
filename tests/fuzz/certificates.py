"""Certificates in all their forms, and signatures that carry some: seeds for what kernels make of keys."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.fuzz import seeds
from tests.support import cms as craft
from tests.support.keysources import pem
from tests.support.modules import with_trailer

CODE_SIGNING, SERVER = "1.3.6.1.5.5.7.3.3", "1.3.6.1.5.5.7.3.1"


@cache
def chain() -> tuple[craft.Identity, ...]:
    """A signer's certificate, the one above it, and a root of the corpus that the oracles trust."""
    root = seeds.identity()
    middle = craft.issued(craft.private("rsa", 1), "middle", root, serial=11)
    return craft.issued(craft.private("p256", 1), "leaf", middle, ca=False, serial=12), middle, root


@cache
def forms() -> tuple[bytes, ...]:
    """Certificates with and without what a kernel's parser looks at, of every algorithm it may know."""
    key, other = craft.private("p256"), seeds.identity("curve")
    made = [
        craft.issued(key, "", ca=None, skid=False),
        craft.issued(key, organisation="o", own_authority=True, usage=("digital_signature",)),
        craft.issued(key, ca=False, usage=("key_cert_sign", "crl_sign"), purposes=(CODE_SIGNING,)),
        craft.issued(key, issuer=other, authority=False, years=(1990, 2049)),
        *(craft.identity(kind) for kind in ("rsa", "dsa", "ed25519", "mldsa44")),
        *chain(),
    ]
    return tuple(each.certificate for each in made)


def messages(content: bytes) -> Iterator[bytes]:
    """CMS over ``content`` that carry certificates, and signatures in RSASSA-PSS."""
    leaf, middle, root = chain()
    signer = craft.signer_info(leaf, content)
    yield craft.cms(signer, certificates=[each.certificate for each in (leaf, middle, root)])
    yield craft.cms(signer, certificates=[leaf.certificate, middle.certificate])
    yield craft.cms(craft.signer_info(middle, content, keyid=True), certificates=[middle.certificate])
    for name, salt in (("sha1", 20), ("sha256", 32), ("sha512", 0)):
        yield craft.cms(craft.pss_info(root, name, salt, content=content))


def modules() -> list[bytes]:
    """A module with a trailer for each of :func:`messages`."""
    bare = seeds.unsigned()[0]
    return [with_trailer(bare, blob) for blob in messages(bare)]


# --------------------------------------------------------------------------- what files say about trust


def settings() -> Iterator[bytes]:
    """OpenSSL's trust settings (CertAux): what is trusted, what is rejected, an alias, a key id."""
    code, server = craft.oid(CODE_SIGNING), craft.oid(SERVER)
    alias, keyid = craft.tlv(0x0C, b"mine"), craft.tlv(4, b"k" * 20)
    yield craft.tlv(0x30, craft.tlv(0xA0, code))
    yield craft.tlv(0x30, craft.tlv(0x30, server, code), craft.tlv(0xA0, server), alias, keyid)
    yield craft.tlv(0x30, craft.tlv(0x30, server), craft.tlv(0xA1, craft.algorithm(SERVER)))
    yield craft.tlv(0x30, craft.tlv(0xA0, craft.oid("2.5.29.37.0")))
    yield b""


def marked() -> Iterator[bytes]:
    """PEM of certificates with settings after them, and p11-kit's files."""
    certificate = seeds.certificate()
    yield from (pem("TRUSTED CERTIFICATE", certificate + each) for each in settings())
    object_ = b'[p11-kit-object-v1]\nlabel: "x"\n'
    block, other = pem("CERTIFICATE", certificate), pem("CERTIFICATE", seeds.certificate("other"))
    yield object_ + b"x-distrusted: true\n" + block + object_ + b"trusted: true\n" + other
    yield object_ + block + b'X-Distrusted : "true"\r\n'
    spki = seeds.identity().private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    yield object_ + pem("PUBLIC KEY", spki) + b"x-distrusted: false\n"
