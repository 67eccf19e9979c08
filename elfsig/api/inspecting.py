"""What signatures cover, how two files differ, and the digests of the signed bytes."""

from __future__ import annotations

from elfsig.api.guard import public
from elfsig.api.keys import KeySources, keyring
from elfsig.api.verifying import outside_of
from elfsig.crypto.hashes import Hash, hash_named
from elfsig.errors import SigningError, UsageError
from elfsig.opened.evidence import LIMIT
from elfsig.opened.module import ModuleSource, open_module
from elfsig.registry import Registry
from elfsig.verbs.inspect.compare import compare as _compare
from elfsig.verbs.inspect.comparison import Comparison
from elfsig.verbs.inspect.cover import Cover, covers
from elfsig.verbs.inspect.digest import CoverageDigest, streams
from elfsig.verbs.verify.examine import Question


@public
def compare(
    a: ModuleSource, b: ModuleSource, *, registry: Registry | None = None, limit: int = LIMIT
) -> Comparison:
    """Whether two files are the same module under each coverage, what differs, and a conclusion in words.

    Raises ReadError.
    """
    return _compare(open_module(a, registry, limit=limit), open_module(b, registry, limit=limit))


@public
def coverage(
    source: ModuleSource,
    trust: KeySources = (),
    keys: KeySources = (),
    *,
    coverage_id: str | None = None,
    detached: ModuleSource | None = None,
    modarg: str | None = None,
    registry: Registry | None = None,
    limit: int = LIMIT,
) -> tuple[Cover, ...]:
    """Which bytes each signature of ``source`` protects, one map for each, outermost first.

    Keys decide which of several coverages a signature has. ``coverage_id`` makes the map under this coverage,
    also for an unsigned file. Raises ReadError, KeySourceError, UsageError; ParseError for a malformed
    ``modarg``.
    """
    outside = outside_of(detached, modarg, limit)
    module = open_module(source, registry, limit=limit)
    return tuple(covers(module, Question(keyring(trust, keys)), coverage_id, outside))


@public
def digest(
    source: ModuleSource,
    coverage_id: str | None = None,
    *,
    hash: str = "sha256",
    registry: Registry | None = None,
    limit: int = LIMIT,
) -> tuple[CoverageDigest, ...]:
    """The digest of the bytes that signatures of ``source`` cover, without the signatures themselves.

    One for each signature with the coverage ``coverage_id`` (None: with every coverage that applies to the
    file), outermost first; one for the unsigned file if there is no such signature: then it is what a new
    one would cover. Raises ReadError, UsageError (unknown coverage or hash).
    """
    module = open_module(source, registry, limit=limit)
    named = hash_of(hash)
    return tuple(CoverageDigest.of(each, named) for each in streams(module, coverage_id))


def hash_of(name: str) -> Hash:
    """The hash of this name. Raises UsageError, also if this Python does not implement it."""
    try:
        found = hash_named(name)
        found.new()
    except SigningError as reason:
        raise UsageError(reason.text, code=reason.code) from None
    except ValueError as reason:
        raise UsageError(str(reason), code="unknown-hash") from None
    return found
