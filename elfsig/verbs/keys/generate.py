"""generate: a new key pair for signing modules, in the files that its user expects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from cryptography.hazmat.primitives import serialization as forms
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from elfsig.crypto.public_keys import public_kind
from elfsig.errors import UsageError
from elfsig.keygen import keydir
from elfsig.keygen.certificate import DAYS, self_signed
from elfsig.keygen.files import PUBLIC, SECRET, Item
from elfsig.keygen.genkey import KERNEL, NAME_OIDS, Genkey
from elfsig.keygen.kinds import DEFAULT, KINDS, Kind, kind_named, make_private
from elfsig.signers.pem import FileSigner
from elfsig.verbs.keys.openpgp_ring import public_ring
from elfsig.verbs.keys.target import Target


class GeneratedKey(NamedTuple):
    """A new private key, an object of the cryptography library, with what was made from it.

    ``certificate`` is DER, None for DSA: its kernels supported only OpenPGP. ``ring`` is the OpenPGP public
    ring. ``hash`` is the one to sign modules with.
    """

    private: Any
    kind: Kind
    hash: str
    certificate: bytes | None
    ring: bytes | None


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """What to make. ``ring``: also make an OpenPGP ring. ``key_created`` is the time in it, which decides its
    key id. ``hash`` signs the certificate and is meant for the modules."""

    kind: Kind = DEFAULT
    hash: str = "sha256"
    genkey: Genkey = KERNEL
    days: int = DAYS
    ring: bool = False
    key_created: int = 0


def decide(
    type_name: str | None,
    hash_name: str | None,
    *,
    target: Target | None = None,
    bits: int | None = None,
    configured: tuple[Kind | None, str | None] = (None, None),
    like: tuple[Kind, str] | None = None,
    force: bool = False,
) -> tuple[Kind, str]:
    """(kind, hash): as the user chose, else the configurations, else the target, else the model, else
    RSA-4096 with SHA-256, which every kernel since 3.7 takes.

    ``bits`` are those of a genkey file, which are for RSA. Raises UsageError where the target would not
    accept it, unless ``force``.
    """
    fallback = (target.kind if target else None) or (like[0] if like else _of_bits(bits))
    kind = kind_named(type_name) if type_name else configured[0] or fallback
    own = None if type_name or configured[0] else like[1] if like and not target else None
    chosen = hash_name or configured[1] or (target.hash if target else None) or own or _usual(kind)
    if target is not None and not force:
        for why in target.objections(kind, chosen):
            raise UsageError(why, code="kernel", hint="force")
    return kind, chosen


def _of_bits(bits: int | None) -> Kind:
    return DEFAULT if bits is None else kind_named(f"rsa{bits}")


def _usual(kind: Kind) -> str:
    """The hash that goes with a kind; ML-DSA's own is SHA-512 (RFC 9882), by which kbuild names it."""
    return kind.hash or "sha512"


def make(wish: KeyRequest) -> GeneratedKey:
    """A new pair. Raises UsageError for an unsupported combination."""
    private = make_private(wish.kind)
    certified = wish.kind.algorithm != "dsa"
    hash_name = wish.hash if wish.kind.hash is not None else None
    certificate = self_signed(private, wish.genkey, hash_name, days=wish.days) if certified else None
    wants_ring = wish.ring or not certified
    return GeneratedKey(
        private, wish.kind, wish.hash, certificate, _ring(private, wish) if wants_ring else None
    )


def _ring(private: Any, wish: KeyRequest) -> bytes:
    public = private.public_key()
    algorithm, bits, _ = public_kind(public) or ("", 0, None)
    if algorithm not in ("rsa", "dsa"):
        raise UsageError(
            f"kernels do not read OpenPGP signatures by {algorithm}: use rsa or dsa", code="key-type"
        )
    signer = FileSigner(private, public, algorithm, bits, None)
    name = dict(wish.genkey.subject).get(NAME_OIDS["CN"])
    return public_ring(signer, user_id=name, key_created=wish.key_created, hash=wish.hash)


# --------------------------------------------------------------------------- files

Files = Callable[[str, GeneratedKey, bytes | None], list[Item]]
"""The files for a pair: (name without ending, pair, passphrase or None)."""


class Like(NamedTuple):
    """A layout of files to make: the default ``kind`` and ``hash``, and the default ``common_name`` and
    ``usages`` of the certificate. ``key_file`` and ``cert_file`` are the arguments for sign; ``pair``
    is the file with both key and certificate, if there is one; ``der`` is what mokutil takes.
    """

    files: Files
    key_file: str
    cert_file: str
    pair: str | None = None
    der: str | None = None
    kind: Kind = DEFAULT
    hash: str = "sha256"
    common_name: str | None = None
    usages: Sequence[str] = ()


def private_pem(pair: GeneratedKey, passphrase: bytes | None) -> bytes:
    """PKCS#8, encrypted (PBES2, AES-256) where there is a passphrase."""
    protection = forms.BestAvailableEncryption(passphrase) if passphrase else forms.NoEncryption()
    made: bytes = pair.private.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, protection)
    return made


def certificate_pem(der: bytes) -> bytes:
    from ssl import DER_cert_to_PEM_cert

    return DER_cert_to_PEM_cert(der).encode()


def _certificate(pair: GeneratedKey) -> bytes:
    if pair.certificate is None:
        raise UsageError(
            "kernels do not read certificates with DSA keys, so this layout of files has no place for one",
            code="key-type",
            hint="no-like",
        )
    return pair.certificate


def _both(pair: GeneratedKey, passphrase: bytes | None) -> bytes:
    return private_pem(pair, passphrase) + certificate_pem(_certificate(pair))


def _separate(name: str, pair: GeneratedKey, passphrase: bytes | None) -> list[Item]:
    items = [Item(f"{name}.key", private_pem(pair, passphrase), SECRET, "private key")]
    if pair.certificate is not None:
        items.append(Item(f"{name}.crt", certificate_pem(pair.certificate), PUBLIC, "certificate"))
        items.append(Item(f"{name}.der", pair.certificate, PUBLIC, "certificate, DER, for mokutil"))
    return items + _ring_item(name, pair)


def _ring_item(name: str, pair: GeneratedKey) -> list[Item]:
    return [Item(f"{name}.gpg", pair.ring, PUBLIC, "OpenPGP public ring")] if pair.ring else []


def _kernel(name: str, pair: GeneratedKey, passphrase: bytes | None) -> list[Item]:
    return [
        Item(f"{name}.pem", _both(pair, passphrase), SECRET, "private key and certificate"),
        Item(f"{name}.x509", _certificate(pair), PUBLIC, "certificate, DER"),
        *_ring_item(name, pair),
    ]


def _dkms(name: str, pair: GeneratedKey, passphrase: bytes | None) -> list[Item]:
    return [
        Item(f"{name}.key", private_pem(pair, passphrase), SECRET, "private key"),
        Item(f"{name}.pub", _certificate(pair), PUBLIC, "certificate, DER"),
        *_ring_item(name, pair),
    ]


def _arch(name: str, pair: GeneratedKey, passphrase: bytes | None) -> list[Item]:
    kind = {"rsa": "rsa", "ecdsa": "ec"}.get(pair.kind.algorithm, pair.kind.id)
    return [
        Item(keydir.PAIR, _both(pair, passphrase), SECRET, "private key and certificate"),
        Item(keydir.PRIVATE, private_pem(pair, passphrase), SECRET, "private key"),
        Item(keydir.CERTIFICATE, _certificate(pair), PUBLIC, "certificate, DER"),
        Item(keydir.HASH, f"{pair.hash}\n".encode(), PUBLIC, "hash"),
        Item(keydir.TYPE, f"{kind}\n".encode(), PUBLIC, "type of key"),
        *_ring_item("signing", pair),
    ]


def ima_items(name: str, pair: GeneratedKey) -> list[Item]:
    """The bare public key, which evmctl uses for its older kind of signature."""
    public = pair.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return [Item(f"{name}.pub.pem", public, PUBLIC, "public key, for evmctl")]


PLAIN = Like(_separate, "{name}.key", "{name}.crt", der="{name}.der")
DATED = Like(
    _arch, keydir.PRIVATE, keydir.CERTIFICATE, keydir.PAIR, keydir.CERTIFICATE,
    common_name="Local Out of tree kernel module signing key",
)  # fmt: skip

LIKES: Mapping[str, Like] = {
    "kernel": Like(
        _kernel, "{name}.pem", "{name}.x509", "{name}.pem", "{name}.x509",
        common_name="Build time autogenerated kernel key",
    ),
    "dkms": Like(
        _dkms, "{name}.key", "{name}.pub", der="{name}.pub", kind=KINDS["rsa2048"],
        common_name="DKMS module signing key", usages=("codeSigning",),
    ),
    "arch-skm": DATED._replace(kind=KINDS["p384"], hash="sha512"),
}  # fmt: skip
"""``--like``: certs/Makefile of the kernel, DKMS, and Arch-SKM's genkeys.py."""
