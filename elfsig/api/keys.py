"""Key rings from what callers supply: files, bytes, certificates, key objects, other key rings."""

from __future__ import annotations

from typing import overload

from elfsig.api.guard import public
from elfsig.model import Key
from elfsig.trust.given import KeySource, KeySources, ring_of
from elfsig.trust.ring import Ring

__all__ = ["KeySource", "KeySources", "keyring", "list_keys"]


@overload
def keyring(trust: KeySource, keys: KeySources = ()) -> Ring: ...
@overload
def keyring(trust: KeySources = (), keys: KeySources = ()) -> Ring | None: ...
@public
def keyring(trust: KeySources = (), keys: KeySources = ()) -> Ring | None:
    """The key ring of these sources, for many calls of :func:`elfsig.verify`; None if no source was given.

    ``trust``: what the caller vouches for; ``keys``: what is only tried. Each is a path (with the prefixes of
    ``--trust``, where it is a ``str``), the bytes of a file, a binary stream, an ``x509.Certificate``, a
    public key of the cryptography library, a key ring, or a sequence of these. A key ring records for each
    of its keys whether it is vouched for, so it is given as ``trust`` and without ``keys``. Raises
    KeySourceError for a source without a usable key, UsageError for an object that is not a key source.

    The ``losses`` of the ring are the entries that could not be read. The reports of :func:`elfsig.verify`
    and :func:`elfsig.audit` have them; for other functions make the ring first, and look at it.
    """
    return ring_of(trust, keys)


@public
def list_keys(sources: KeySources) -> tuple[Key, ...]:
    """Every key in ``sources``, also those that cannot be used here: their ``public`` is None.

    ``trusted`` says whether a key is trusted when its source is given as ``trust``, and ``why`` the reason.
    What could not be read is not a key: see the ``losses`` of :func:`keyring`.
    Raises KeySourceError, UsageError.
    """
    ring = sources if isinstance(sources, Ring) else ring_of(sources)
    return () if ring is None else (*ring.keys, *ring.unusable)
