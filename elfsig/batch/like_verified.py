"""again: the everyday module whose signature is like one that was verified before, and whose value matches.

Like: the trailer is byte for byte the same but for the value (see :mod:`like_trailers`), so it is by the
same key, of the same hash, and all that could be remarked on it was remarked on that one. What is left
is to hash the content and to hold the value against that key. Whatever does not match, or is different in
any way, is left to :mod:`elfsig.verbs.verify.examine`: nothing is ever refused here.
"""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

from elfsig.batch.like_trailers import Templates
from elfsig.model import FileReport, Key, SignatureReport, Verdict
from elfsig.opened.module import Module
from elfsig.registry import Registry

T = TypeVar("T")


class Known(NamedTuple, Generic[T]):
    """The key that matched, what its values sign, their size in bytes, and what the caller made of it."""

    key: Key
    algorithm: str
    hash: str
    value_size: int
    value_behind: int
    made: T


class Again(Generic[T]):
    """The signatures verified so far. ``T`` is whatever the caller makes of one."""

    def __init__(self, registry: Registry) -> None:
        self._templates = Templates[Known[T]](registry)

    def learn(self, report: FileReport, module: Module, made: T) -> None:
        """Remember the signature of an everyday module, if it matched a key over the plain content."""
        sig = report.signatures[0] if len(report.signatures) == 1 else None
        if sig is None or sig.verdict not in (Verdict.VALID, Verdict.UNTRUSTED):
            return
        signature, key = sig.claims, sig.key
        if signature is None or key is None or not _is_over_content(sig):
            return
        behind = len(module.content) - sig.place.blob_start - len(sig.place.blob)
        known = Known(key, str(signature.algorithm), str(signature.hash), len(signature.value), behind, made)
        self._templates.learn(report, module, known)

    def check(self, module: Module) -> T | None:
        """What was made of a signature like this one, which matches too; None where it takes a full look."""
        from elfsig.crypto.checks import Match, try_digest
        from elfsig.crypto.hashes import HASHES

        content = module.content
        seen = self._templates.look_at(content) if module.compression is None else None
        if seen is None:
            return None
        known, start, _ = seen
        state = HASHES[known.hash].new()
        state.update(memoryview(content)[:start])
        end = len(content) - known.value_behind
        value = content[end - known.value_size : end]
        match = try_digest(known.key, known.algorithm, known.hash, state.digest(), value)
        return known.made if match is Match.YES else None


def _is_over_content(sig: SignatureReport) -> bool:
    """Does the value sign the hash of the content itself, and not that of attributes or of itself?"""
    signature = sig.claims
    return (
        signature is not None
        and sig.coverage == "whole-file"
        and signature.algorithm in ("rsa", "ecdsa")
        and signature.hash is not None
        and signature.facts.get("signed_attributes") is None
        and not signature.facts.get("certificates")
    )
