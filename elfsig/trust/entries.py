"""What one key source holds: keys, revocations, roots of module hashes, and what could not be read."""

from __future__ import annotations

from collections.abc import Iterable

from elfsig.errors import KeySourceError
from elfsig.lazy_dataclass import dataclass, replace
from elfsig.lazy_tuple import NamedTuple
from elfsig.model import Key, Loss, Provenance, Why

REVOKED = "revoked"
"""The prefix that turns everything in its source into a revocation."""

MAX_LOSSES = 1000
"""Maximum losses to record for one source; further ones are only counted."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where entries come from, and what the user said about the source.

    ``source``: the path or the text as the user gave it. ``keyring``: the user's prefix: a keyring for
    what is vouched for, or "revoked". ``vouched``: False for sources whose keys are only to be tried.
    ``name``: the file's own name, "" for content without one; ``around``: the names of the folders on the way
    to it and of what it links to, which only take trust away; ``found``: found in a directory, not named.
    ``mok_trusted``: see :class:`elfsig.model.Provenance`.
    ``proven`` is the keyring that the data itself proves, ``why`` its reason not to be vouched for.
    """

    source: str
    keyring: str | None = None
    vouched: bool = True
    name: str = ""
    around: tuple[str, ...] = ()
    found: bool = False
    proven: str | None = None
    why: Why = Why.SOURCE
    offset: int | None = None
    list: str | None = None
    container: str | None = None
    mok_trusted: bool | None = None

    @property
    def revoking(self) -> bool:
        """Whether every entry from here is a revocation."""
        return self.keyring == REVOKED

    @property
    def vouches(self) -> bool:
        """Whether a key from here is vouched for, by its place alone."""
        return self.vouched and not self.revoking and self.why is Why.SOURCE

    @property
    def reason(self) -> Why:
        """The :class:`Why` of a key from here."""
        if self.revoking:
            return Why.REVOKED
        return Why.TRIED if self.why is Why.SOURCE and not self.vouched else self.why

    @property
    def ring_name(self) -> str:
        """The keyring of a key from here. The user's prefix moves only what is vouched for."""
        return (self.keyring if self.vouches else None) or self.proven or "user"

    @property
    def provenance(self) -> Provenance:
        mok_trusted = None if self.keyring else self.mok_trusted
        return Provenance(self.source, self.offset, self.list, self.container, mok_trusted)

    def at(self, offset: int) -> Origin:
        """The same origin, at an offset in the file."""
        return replace(self, offset=offset)

    def only_tried(self, why: Why) -> Origin:
        """The same origin, for entries that nobody vouches for; an existing reason is kept."""
        return self if self.why is not Why.SOURCE else replace(self, why=why)


class RevokedHash(NamedTuple):
    """A revocation by hash: ``kind`` "bin" (of a file) or "tbs" (of a certificate), ``hash`` its name."""

    kind: str
    hash: str
    digest: bytes


class Revocation(NamedTuple):
    """An entry that revokes by hash, its origin, and its time (seconds since 1970) if it has one.

    ``in_kernel``: it is on a kernel's own list. Kernels compare certificates with that list. Entries of EFI
    lists never match: they are stored with their time after the hash (load_uefi.c).
    """

    revoked: RevokedHash
    source: str
    provenance: Provenance
    time: int | None = None
    in_kernel: bool = False


class MerkleRoot(NamedTuple):
    """Root of a tree of module hashes: 32 bytes SHA-256, and the tree's number of levels."""

    digest: bytes
    levels: int
    source: str
    trusted: bool = True
    why: Why = Why.SOURCE
    builtin: bool = False


@dataclass(frozen=True, slots=True)
class Material:
    """What one source held, or several.

    ``unusable`` are keys whose algorithm cannot be checked here: they are only listed. ``losses`` are entries
    that could not be read, ``lost`` is their number.
    """

    keys: tuple[Key, ...] = ()
    unusable: tuple[Key, ...] = ()
    revocations: tuple[Revocation, ...] = ()
    merkle_roots: tuple[MerkleRoot, ...] = ()
    losses: tuple[Loss, ...] = ()

    @property
    def revoked_hashes(self) -> frozenset[RevokedHash]:
        """The hashes of all revocations by hash."""
        return frozenset(each.revoked for each in self.revocations)

    def __bool__(self) -> bool:
        """Whether a signature could be checked against anything here."""
        return bool(self.keys or self.revocations or self.merkle_roots)


def gather(materials: Iterable[Material]) -> Material:
    """Merge several materials, in order."""
    parts = tuple(materials)
    return Material(
        tuple(key for part in parts for key in part.keys),
        tuple(key for part in parts for key in part.unusable),
        tuple(each for part in parts for each in part.revocations),
        tuple(root for part in parts for root in part.merkle_roots),
        tuple(loss for part in parts for loss in part.losses),
    )


def material(keys: Iterable[Key], losses: Iterable[Loss] = ()) -> Material:
    """Keys, split into those that can be used and those that can only be listed."""
    every = tuple(keys)
    return Material(
        tuple(key for key in every if key.public is not None),
        tuple(key for key in every if key.public is None),
        losses=tuple(losses),
    )


def complete(found: Material, origin: Origin) -> Material:
    """``found``. Raises KeySourceError for a list of revocations of which an entry could not be read.

    A list of revocations with a gap would accept what it is meant to refuse.
    """
    if origin.revoking and found.losses:
        first = found.losses[0]
        text = f"{origin.source}: a list of revocations must be read completely, and {_count(found)}: "
        raise KeySourceError(
            f"{text}{first.what}: {first.reason}", offset=first.offset, code="revocation-lost"
        )
    return found


def _count(found: Material) -> str:
    number = len(found.losses)
    return "one entry cannot be read" if number == 1 else f"{number} entries cannot be read"
