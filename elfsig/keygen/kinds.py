"""The kinds of key pairs that kernels of some era verify, and how to generate one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric import dsa, ec, mldsa, rsa

from elfsig.crypto.public_keys import public_kind
from elfsig.errors import UsageError


class Kind(NamedTuple):
    """One kind of key. ``size`` is bits, the curve's class name, or the parameter set.

    ``hash`` signs the certificate by default; None where the algorithm includes its own.
    ``config`` is its suffix of CONFIG_MODULE_SIG_KEY_TYPE_ (certs/Kconfig), None where kbuild has none.
    """

    id: str
    algorithm: str
    size: int | str
    hash: str | None
    config: str | None


_ROWS = (
    Kind("rsa2048", "rsa", 2048, "sha256", "RSA"),
    Kind("rsa3072", "rsa", 3072, "sha256", "RSA"),
    Kind("rsa4096", "rsa", 4096, "sha256", "RSA"),
    Kind("p256", "ecdsa", "SECP256R1", "sha256", "ECDSA"),
    Kind("p384", "ecdsa", "SECP384R1", "sha384", "ECDSA"),
    Kind("p521", "ecdsa", "SECP521R1", "sha512", "ECDSA"),
    Kind("mldsa44", "mldsa44", "MLDSA44PrivateKey", None, "MLDSA_44"),
    Kind("mldsa65", "mldsa65", "MLDSA65PrivateKey", None, "MLDSA_65"),
    Kind("mldsa87", "mldsa87", "MLDSA87PrivateKey", None, "MLDSA_87"),
    Kind("dsa1024", "dsa", 1024, "sha1", None),
    Kind("dsa2048", "dsa", 2048, "sha256", None),
    Kind("dsa3072", "dsa", 3072, "sha256", None),
)

KINDS: Mapping[str, Kind] = {row.id: row for row in _ROWS}
DEFAULT = KINDS["rsa4096"]
"""Every kernel since 3.7 verifies it, with SHA-256; this does not hold for elliptic curves."""

_SPELLINGS = {
    "rsa": "rsa4096", "dsa": "dsa1024", "ec": "p384", "ecdsa": "p384", "mldsa": "mldsa65",
    "prime256v1": "p256", "secp256r1": "p256", "secp384r1": "p384", "secp521r1": "p521",
    "ecp256": "p256", "ecp384": "p384", "ecp521": "p521",
    "nistp256": "p256", "nistp384": "p384", "nistp521": "p521",
}  # fmt: skip

BY_CONFIG: Mapping[str, Kind] = {
    "RSA": DEFAULT, "ECDSA": KINDS["p384"],
    "MLDSA_44": KINDS["mldsa44"], "MLDSA_65": KINDS["mldsa65"], "MLDSA_87": KINDS["mldsa87"],
}  # fmt: skip
"""What kbuild itself generates for each CONFIG_MODULE_SIG_KEY_TYPE_ (certs/Makefile)."""


def kind_named(text: str) -> Kind:
    """The kind with this name, also given as rsa:4096, secp384r1, P-384, ML-DSA-65. Raises UsageError."""
    plain = re.sub(r"[-_: ]", "", text.lower())
    found = KINDS.get(_SPELLINGS.get(plain, plain))
    if found is None:
        raise UsageError(f"unknown type of key {text!r}: choose from {', '.join(KINDS)}", code="key-type")
    return found


def kind_of(public: Any) -> Kind | None:
    """The kind of a public key of the cryptography library, None for a kind that is not in the table."""
    algorithm, bits, _ = public_kind(public) or (None, 0, None)
    for row in _ROWS:
        if row.algorithm == algorithm and (algorithm.startswith("mldsa") or _bits(row) == bits):
            return row
    return None


def _bits(row: Kind) -> int:
    return row.size if isinstance(row.size, int) else int(re.sub(r"\D", "", row.id))


def make_private(kind: Kind) -> Any:
    """A new private key from the operating system's randomness, an object of the cryptography library."""
    if kind.algorithm == "rsa":
        return rsa.generate_private_key(65537, _bits(kind))
    if kind.algorithm == "dsa":
        return dsa.generate_private_key(_bits(kind))
    if kind.algorithm == "ecdsa":
        return ec.generate_private_key(getattr(ec, str(kind.size))())
    return getattr(mldsa, str(kind.size)).generate()
