"""Key sources as the library takes them: paths, bytes, streams, certificates, key objects, key rings."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from typing import IO, TYPE_CHECKING, TypeAlias, TypeGuard, Union, cast, get_args

from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding

from elfsig.errors import ElfsigError, KeySourceError, UsageError
from elfsig.opened.evidence import read_stream
from elfsig.trust.entries import Material, Origin, gather, material
from elfsig.trust.forms import read_source
from elfsig.trust.keyring import PIN, pin_digest, pinned, read_argument
from elfsig.trust.make import key_from_public
from elfsig.trust.paths import MAX_SOURCE, read_path
from elfsig.trust.ring import Ring

if TYPE_CHECKING:
    from cryptography import x509

KeySource: TypeAlias = Union[  # | does not take a name in quotes
    str,
    os.PathLike[str],
    bytes,
    bytearray,
    memoryview,
    IO[bytes],
    "x509.Certificate",
    PublicKeyTypes,
    Ring,
]
"""One source of keys.

A ``str`` is what ``--trust`` takes: a path, with a prefix that names a keyring (``platform:db.esl``) or a
pin (``SHA256:...``). A path object is only a path. Bytes and binary streams hold the content of a
file. Certificates and public keys are objects of the cryptography library.
"""

KeySources: TypeAlias = KeySource | Iterable[KeySource]
"""One source, or any number of them."""


def ring_of(trust: KeySources = (), keys: KeySources = ()) -> Ring | None:
    """The ring of the sources in ``trust``, which the caller vouches for, and in ``keys``, which are only
    tried; None without sources.

    A ring in ``trust`` records for each key whether it is vouched for: ``keys`` must be empty then.
    Raises KeySourceError for a source without a usable key, UsageError for an object that is not a source.
    """
    vouched, tried = each_of(trust), each_of(keys)
    if any(isinstance(each, Ring) for each in tried):
        raise UsageError("give a key ring as trust: it records for each key whether it is vouched for")
    rings = [each for each in vouched if isinstance(each, Ring)]
    if rings and tried:
        raise UsageError("a key ring cannot be combined with further sources to be tried")
    if not vouched and not tried:
        return None
    if len(vouched) == 1 and rings:
        return rings[0]
    pins = {pin_digest(each): each for each in vouched if _is_pin(each)}
    parts = [material_of(each, True) for each in vouched if not _is_pin(each)]
    found = gather([*parts, *(material_of(each, False) for each in tried)])
    return Ring(pinned(found, pins) if pins else found)


def _is_pin(source: object) -> TypeGuard[str]:
    return isinstance(source, str) and source.startswith(PIN)


def each_of(sources: KeySources) -> list[KeySource]:
    """The sources one by one: an object that is not a source is left for :func:`material_of` to refuse."""
    single = isinstance(sources, (str, os.PathLike, bytes, bytearray, memoryview, Ring, Mapping))
    if single or hasattr(sources, "read") or not isinstance(sources, Iterable):
        return [cast("KeySource", sources)]
    return list(cast("Iterable[KeySource]", sources))


def material_of(source: object, vouched: bool) -> Material:
    """What one source holds; pins are not sources. Raises KeySourceError, UsageError."""
    if isinstance(source, Ring):
        return source.material
    if isinstance(source, str):
        if source.startswith("-----BEGIN "):
            raise UsageError("a key source is PEM text in a str: give it as bytes", code="wrong-type")
        return read_argument(source, vouched)
    if isinstance(source, os.PathLike):
        path = os.fsdecode(source)
        return read_path(path, Origin(path, vouched=vouched))
    return _held(source, vouched)


def _is_certificate(source: object) -> TypeGuard[x509.Certificate]:
    """Whether this is a certificate of the cryptography library, whose X.509 half takes 20 ms to import:
    where nobody imported it, there is none."""
    module = sys.modules.get("cryptography.x509")
    return module is not None and isinstance(source, module.Certificate)


def _held(source: object, vouched: bool) -> Material:
    """The keys in a source in memory."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return read_source(bytes(source), Origin("<bytes>", vouched=vouched))
    if _is_certificate(source):
        return read_source(source.public_bytes(Encoding.DER), Origin("<certificate>", vouched=vouched))
    if isinstance(source, get_args(PublicKeyTypes)):
        return material([key_from_public(source, Origin("<public key>", vouched=vouched))])
    if isinstance(source, get_args(PrivateKeyTypes)):
        text = f"a {type(source).__name__} is a private key: give its public_key()"
        raise KeySourceError(text, code="private-key")
    if not hasattr(source, "read"):
        text = (
            f"a {type(source).__name__} is not a key source: give a path, bytes, a stream, an "
            "x509.Certificate, a public key, a key ring, or a sequence of these"
        )
        raise UsageError(text, code="wrong-type")
    name = getattr(source, "name", None)
    label = name if isinstance(name, str) else "<stream>"
    try:
        data = read_stream(source, MAX_SOURCE)
    except UsageError:
        raise
    except ElfsigError as reason:
        raise KeySourceError(f"{label}: {reason.text}", code="key-source-unreadable") from None
    if len(data) > MAX_SOURCE:
        raise KeySourceError(f"{label}: larger than {MAX_SOURCE} bytes", code="key-source-unreadable")
    # Files of EFI variables are recognized by their names: dbx has revocations in it.
    return read_source(data, Origin(label, vouched=vouched, name=os.path.basename(label) if name else ""))
