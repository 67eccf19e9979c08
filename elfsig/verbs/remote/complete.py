"""complete: add to modules what a signing service made for them: raw values, or whole signatures."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import NamedTuple

from elfsig.crypto.checks import MESSAGE_ALGORITHMS
from elfsig.errors import EditRefused, ParseError, SigningError
from elfsig.model import Existing, Format, Keyring, Remark, SignOptions, optional
from elfsig.opened.module import Module
from elfsig.opened.walk import top_folders
from elfsig.registry import Registry
from elfsig.signers.deferred import Replayer
from elfsig.signers.key_file import read_file
from elfsig.signers.outside import PublicHalf
from elfsig.verbs.edit.attach import attach, candidates
from elfsig.verbs.edit.change import Change, tail_of
from elfsig.verbs.edit.own_key import own_ring
from elfsig.verbs.edit.sign import sign_file
from elfsig.verbs.remote.prepare import Order

VALUE_SUFFIXES = (".sig", ".raw")
"""Suffixes of files that hold a raw value; signatures have those of their envelopes."""

_COMPRESSED = re.compile(r"\.(gz|xz|zst)\Z")


class Answers(NamedTuple):
    """A folder of signatures, and what is known about how they were made.

    ``half`` is the public key of the signer; without one only whole signatures are accepted, and
    not verified. ``roots`` are the paths that the user gave: names count from there.
    """

    folder: str
    format: Format
    options: SignOptions
    half: PublicHalf | None
    order: Order | None
    roots: Sequence[str]


def answer_file(module: Module, answers: Answers, *, existing: Existing = Existing.REFUSE) -> Change:
    """The module with its signature added, verified. Raises SigningError, EditRefused, ParseError."""
    name = name_below(module.path, answers.roots)
    expected = _expected(name, answers.order)
    path = _find(name, answers, module.registry)
    data = read_file(path)
    if answers.half is None:
        return _whole(module, data, answers, existing)
    signer = Replayer(path, answers.half, data, expected)
    try:
        return sign_file(module, answers.format, signer, answers.options, existing=existing)
    except SigningError as reason:
        if reason.code != "wrong-signature":
            raise
        try:
            return _whole(module, data, answers, existing)
        except ParseError:
            raise reason from None


def name_below(path: str, roots: Sequence[str]) -> str:
    """A file's path below the directory in which it was found; its bare name where the file itself was named.

    With several directories, the path starts with the folder that the directory's results go to.
    """
    tops = top_folders(roots)
    for root in roots:
        if (
            path != root
            and os.path.isdir(root)
            and os.path.commonpath([root, path]) == os.path.normpath(root)
        ):
            return os.path.join(tops.get(root, ""), os.path.relpath(path, root))
    return os.path.basename(path)


def _suffixes(format_: Format, registry: Registry) -> tuple[str, ...]:
    """Suffixes after the module's name: those of the format first, then all others, since what a file holds
    is detected from its content."""
    pairs = [*format_.pairs, *(pair for each in registry.formats for pair in each.pairs)]
    own = [suffix for pair in pairs for suffix in optional.suffixes(pair.envelope)]
    return tuple(dict.fromkeys([*own, *VALUE_SUFFIXES]))


def _find(name: str, answers: Answers, registry: Registry) -> str:
    bare = _COMPRESSED.sub("", name)
    suffixes = _suffixes(answers.format, registry)
    for each in (each + suffix for each in dict.fromkeys((name, bare)) for suffix in suffixes):
        path = os.path.join(answers.folder, each)
        if os.path.isfile(path):
            return path
    wanted = os.path.join(answers.folder, name)
    raise SigningError(
        f"no signature for it: there is no {wanted} with one of {', '.join(suffixes)}", code="no-answer"
    )


def _expected(name: str, order: Order | None) -> bytes | None:
    """What was requested, where a manifest says so. It does not hold messages: their signature is checked."""
    if order is None:
        return None
    if name not in order.asked:
        raise SigningError("it is not in the manifest: it was not prepared", code="not-prepared")
    whole = order.half is not None and order.half.algorithm in MESSAGE_ALGORITHMS
    return None if whole else order.asked[name]


def _whole(module: Module, data: bytes, answers: Answers, existing: Existing) -> Change:
    """A whole signature: a CMS made by sign-file -d or by the service itself, OpenPGP packets."""
    stream = tail_of(module)
    if stream is not None and existing is not Existing.REPLACE:
        text = "signed after compression, where no kernel sees the signature"
        raise EditRefused(text, offset=len(stream), code="already-signed", hint="replace-inside")
    part = candidates(data, module.registry, answers.format.id)[0]
    keys, options = _ring(answers), answers.options
    done = attach(
        module, [part], keys,
        existing=existing, force=options.force, engine=options.engine,
    )  # fmt: skip
    worth = f", {done.verdict}" if done.verdict is not None else ""
    text = f"{part.name} signature attached ({len(part.blob)} bytes{worth})"
    if done.removed:
        text += ", instead of " + ", ".join(map(str, done.removed))
    remarks: tuple[Remark, ...] = done.remarks
    return Change(done.content, "signed", text, remarks)


def _ring(answers: Answers) -> Keyring | None:
    if answers.half is None:
        return None

    return own_ring([Replayer(answers.folder, answers.half, b"")], answers.options.key_created)
