"""The keys of the Secure Boot matrix, where their certificates are, and the states of the machine."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric import rsa

from tests.oracle.firmware import (
    AUTHENTICATED,
    BOOT_ONLY,
    IMAGE_SECURITY,
    SECURE_BOOT_ENABLE,
    SHA256,
    SHIM,
    TBS_SHA256,
    X509,
    Store,
    signature_list,
)
from tests.support.cms import Identity, issued, private

CODE_SIGNING, MODULES_ONLY = "1.3.6.1.5.5.7.3.3", "1.3.6.1.4.1.2312.16.1.2"
"""extendedKeyUsage: codeSigning, and the one by which shim takes a key for modules only."""
SIGNS, ISSUES = ("digital_signature",), ("key_cert_sign", "crl_sign")


class Placed(NamedTuple):
    """A key, and the lists that name it: "mok", "mokx", "db", "dbx", and the last with "-tbs" for an entry
    that is the hash of the certificate's signed part."""

    identity: Identity
    places: Sequence[str]


class State(NamedTuple):
    """What the firmware and shim are set to; the names are those of mokutil's options.

    ``untrust_mok``: MOKs are not to be trusted for modules. ``disable_validation``: shim verifies nothing,
    and the kernel takes Secure Boot for off. ``ignore_db``: shim keeps UEFI's db from the kernel.
    ``secure``: Secure Boot is on in the firmware.
    """

    untrust_mok: bool = False
    disable_validation: bool = False
    ignore_db: bool = False
    secure: bool = True

    @property
    def counts(self) -> bool:
        """Whether the kernel takes Secure Boot for on."""
        return self.secure and not self.disable_validation


STATES: Mapping[str, State] = {
    "trusted": State(),
    "untrusted": State(untrust_mok=True),
    "no-validation": State(disable_validation=True),
    "ignore-db": State(ignore_db=True),
    "off": State(secure=False),
}


def _owner_keys() -> Mapping[str, Mapping[str, Any]]:
    """Machine owner keys: how each is made."""
    both = (*SIGNS, "key_cert_sign")
    return {
        "mok": {"purposes": [CODE_SIGNING]},
        "mok_noeku": {},
        "mok_plain": {"ca": None, "usage": ()},
        "mok_module": {"purposes": [CODE_SIGNING, MODULES_ONLY]},
        "mok_moduleonly": {"purposes": [MODULES_ONLY]},
        "mok_ca": {"ca": True, "usage": ISSUES},
        "mok_ca_sign": {"ca": True, "usage": both},
        "mok_ca_code": {"ca": True, "usage": ISSUES, "purposes": [CODE_SIGNING]},
        "mok_certsign": {"usage": ("key_cert_sign",)},
        "mok_noskid": {"skid": False},
        "mok_expired": {"years": (2012, 2016)},
        "mok_future": {"years": (2040, 2060)},
        "mok_4096": {"key": rsa.generate_private_key(65537, 4096)},
        "mok_1024": {"key": private("rsa1024", 9)},
        "mok_p256": {"key": private("p256", 9)},
        "mok_p384": {"key": private("p384", 9), "hash_name": "sha384"},
        "mok_p521": {"key": private("p521", 9), "hash_name": "sha512"},
        "mok_ed25519": {"key": private("ed25519", 9)},
        "mok_sha512": {"hash_name": "sha512"},
    }


TWICE = {
    "mok_dbx": ("mok", "dbx"), "mok_mokx": ("mok", "mokx"), "mok_dbx_tbs": ("mok", "dbx-tbs"),
    "mok_mokx_tbs": ("mok", "mokx-tbs"), "db": ("db",), "db_dbx": ("db", "dbx"), "db_mokx": ("db", "mokx"),
    "db_dbx_tbs": ("db", "dbx-tbs"), "mok_db": ("mok", "db"), "stranger": (),
}  # fmt: skip
"""Ordinary keys, by where they are."""


@cache
def keys() -> Mapping[str, Placed]:
    """Every key by its name, which is also the common name of its certificate."""
    found: dict[str, Placed] = {}

    def add(name: str, places: Sequence[str], **how: Any) -> None:
        key = how.pop("key", None) or private("rsa", 100 + len(found))
        found[name] = Placed(issued(key, name, **{"ca": False, "usage": SIGNS, **how}), places)

    for name, how in _owner_keys().items():
        add(name, ("mok",), **how)
    for name, places in TWICE.items():
        add(name, places)
    add("db_ca", ("db",), ca=True, usage=ISSUES)
    add("db_expired", ("db",), years=(2012, 2016))
    add("leaf", (), issuer=found["mok_ca"].identity, serial=77)
    add("mok_issued", ("mok",), issuer=found["stranger"].identity, serial=78)
    return found


class Files(NamedTuple):
    """Contents whose SHA-256 is in dbx, and in MokListX."""

    dbx: Sequence[bytes]
    mokx: Sequence[bytes]


def _lists(place: str, files: Sequence[bytes] = ()) -> bytes:
    named = [placed.identity for placed in keys().values() if place in placed.places]
    hashed = [placed.identity for placed in keys().values() if f"{place}-tbs" in placed.places]
    tbs = [hashlib.sha256(who.parsed.tbs_certificate_bytes).digest() + bytes(16) for who in hashed]
    lists = signature_list(X509, [who.certificate for who in named])
    lists += signature_list(SHA256, [hashlib.sha256(content).digest() for content in files])
    return lists + signature_list(TBS_SHA256, tbs)


def variables(template: bytes, state: State, files: Files) -> bytes:
    """The store of a machine in ``state``, on top of OVMF's own with Microsoft's keys.

    MokListTrusted is inverted: shim sets MokListTrustedRT unless it is there.
    """
    store = Store(template)
    store.add("MokList", SHIM, _lists("mok"), BOOT_ONLY)
    store.add("MokListX", SHIM, _lists("mokx", files.mokx), BOOT_ONLY)
    store.add("db", IMAGE_SECURITY, _lists("db"), AUTHENTICATED)
    store.add("dbx", IMAGE_SECURITY, _lists("dbx", files.dbx), AUTHENTICATED)
    switches = {
        "MokListTrusted": state.untrust_mok, "MokSBState": state.disable_validation,
        "MokDBState": state.ignore_db,
    }  # fmt: skip
    for name, on in switches.items():
        if on:
            store.set(name, SHIM, b"\1")
    if not state.secure:
        store.set("SecureBootEnable", SECURE_BOOT_ENABLE, b"\0")
    return store.image
