"""Modules in directories that somebody else signed: they are left alone, unless replacing was asked for.

A signature belongs to a key that made its value, or whose identifier it names. So one of the same key with
another certificate, another hash or a damaged value is the signer's own.
"""

from __future__ import annotations

from collections.abc import Iterator

from elfsig.model import Format, Keyring, SignatureReport, Verdict
from elfsig.opened.module import Module
from elfsig.verbs.edit.change import Change
from elfsig.verbs.edit.message_guard import name_of
from elfsig.verbs.verify.examine import Question, signatures_at

LEFT_ALONE = "left alone"
"""The word for a module that is signed by others and was not changed."""


def left_alone(module: Module, format_: Format, keys: Keyring | None) -> Change | None:
    """The change that leaves ``module`` as it is, if others than the owner of ``keys`` signed it; else None.

    ``keys`` None: whose keys they are is not known, so any signature counts as another's. None for formats
    that are kept outside the file, and where there are only remains of a signature, which signing reports.
    """
    if format_.carrier.kind == "detached":
        return None
    theirs = next(_of_others(module, keys), None)
    return None if theirs is None else Change(None, LEFT_ALONE, f"signed by others ({theirs}), so left alone")


def _of_others(module: Module, keys: Keyring | None) -> Iterator[str]:
    """The signatures by other keys, in words."""
    whole = () if module.tail_offset is None else (module.as_file(),)
    for file in (module, *whole):
        for found in file.places:
            if found.place.fault is not None:
                continue
            asked = Question(keys, check=keys is not None)
            reports = list(signatures_at(file, found, asked))
            if keys is None or not any(_is_own(each, keys) for each in reports):
                yield _words(reports) or name_of(found)


def _is_own(sig: SignatureReport, keys: Keyring) -> bool:
    """Whether one of ``keys`` made it, or it names one of them. What is malformed is nobody's: also True."""
    if sig.verdict in (Verdict.VALID, Verdict.MALFORMED):
        return True
    named = frozenset(sig.claims.key_ids) if sig.claims is not None else frozenset()
    return any(key.ids & named for key in keys.keys)


def _words(reports: list[SignatureReport]) -> str | None:
    """Format and signer of a signature, where it says them."""
    claims = next((each.claims for each in reports if each.claims is not None), None)
    if claims is None:
        return None
    named = claims.serial or claims.key_id
    signer = f'"{claims.signer}"' if claims.signer else f"key {named.hex()}" if named else "an unnamed signer"
    return f"{reports[0].format} by {signer}"
