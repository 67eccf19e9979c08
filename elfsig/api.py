"""The verbs as plain functions over bytes, binary streams and paths: what ``import elfsig`` offers.

Results are the typed objects of :mod:`elfsig.model`. Nothing here writes a file. Third-party formats take
part as they do on the command line; ``registry`` leaves them out or gives others.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import cast

from elfsig.errors import UsageError
from elfsig.evidence import LIMIT, Source, read
from elfsig.model import FileReport, Finding, Format, Keyring, PacketSigner, Signer, SignOptions
from elfsig.registry import Registry, load
from elfsig.verbs.sign import SignResult
from elfsig.verbs.sign import sign as _sign
from elfsig.verbs.strip import StripResult
from elfsig.verbs.strip import strip as _strip
from elfsig.verbs.verify import Outside, Question, examine

KeySources = Keyring | str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


def formats(plugins: bool = True) -> tuple[Format, ...]:
    """The signature formats that are known, in probing order; ``plugins=False``: the built-in ones."""
    return load(plugins).formats


def list_signatures(
    source: Source, *, registry: Registry | None = None, limit: int = LIMIT
) -> tuple[Finding, ...]:
    """The signatures of ``source``, outermost first, parsed and not checked.

    Raises ReadError; what is wrong with a signature is said in its finding.
    """
    question = Question(registry or load(), check=False)
    return examine(read(source, limit=limit), question).findings


def verify(
    source: Source,
    trust: KeySources = (),
    keys: KeySources = (),
    *,
    detached: Source | None = None,
    modarg: str | None = None,
    hashes: bool = True,
    registry: Registry | None = None,
    limit: int = LIMIT,
) -> FileReport:
    """What the signatures of ``source`` are worth; see FileReport.verdict and its findings.

    ``trust``: what the caller vouches for, each a path as ``--trust`` takes it, or a key ring made before
    (then ``keys`` must be empty). ``keys`` are merely tried. ``detached`` or ``modarg`` give a signature that
    is kept elsewhere. Raises ReadError, KeySourceError, UsageError; ParseError for a malformed ``modarg``.
    """
    question = Question(registry or load(), keyring(trust, keys), hashes)
    return examine(read(source, limit=limit), question, _outside(detached, modarg, limit))


def _outside(detached: Source | None, modarg: str | None, limit: int) -> Outside | None:
    if detached is not None and modarg is not None:
        raise UsageError("one signature at a time: detached or modarg")
    from elfsig.verbs.detached import from_argument, from_file

    if detached is not None:
        return from_file(read(detached, limit=limit).content)
    return None if modarg is None else from_argument(modarg)


def keyring(trust: KeySources = (), keys: KeySources = ()) -> Keyring | None:
    """The key ring of these sources, for many calls of :func:`verify`; None where none was given.

    Raises KeySourceError for a source without a usable key.
    """
    vouched, tried = _words(trust), _words(keys)
    if vouched is None:
        if keys:
            raise UsageError("a key ring and further key sources exclude each other")
        return cast("Keyring", trust)
    if tried is None:
        raise UsageError("a key ring is given as trust: it says of each key whether it is vouched for")
    if not vouched and not tried:
        return None
    from elfsig.trust.keyring import load as load_ring

    return load_ring(vouched, tried)


def _words(sources: KeySources) -> list[str] | None:
    """The sources as the command line has them; None for a ready key ring."""
    if isinstance(sources, (str, os.PathLike)):
        return [os.fspath(sources)]
    if isinstance(sources, Sequence):
        return [os.fspath(each) for each in sources]
    return None


def sign(
    source: Source,
    format_id: str,
    signer: Signer | PacketSigner,
    options: SignOptions | None = None,
    *,
    replace: bool = False,
    stack: bool = False,
    registry: Registry | None = None,
    limit: int = LIMIT,
) -> SignResult:
    """The decompressed content of ``source`` with a signature on it, by ``elfsig.open_signer(KEY, CERT)``.

    Raises ReadError, UsageError, SigningError, EditRefused (signed already, and neither ``replace`` nor
    ``stack``; or another signature would no longer match).
    """
    known = registry or load()
    content = read(source, limit=limit).content
    made = options or SignOptions()
    return _sign(content, known.get(format_id), signer, made, known, replace=replace, stack=stack)


def strip(
    source: Source,
    *,
    format_id: str | None = None,
    everything: bool = False,
    registry: Registry | None = None,
    limit: int = LIMIT,
) -> StripResult:
    """The decompressed content of ``source`` without the signature applied last, or without all.

    Raises ReadError, UsageError, EditRefused.
    """
    content = read(source, limit=limit).content
    return _strip(content, registry or load(), format_id=format_id, everything=everything)
