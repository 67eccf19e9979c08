"""The verbs as plain functions over bytes, binary streams and paths: what ``import elfsig`` offers.

Results are the typed objects of :mod:`elfsig.model`. Nothing here writes a file. Third-party formats take
part as they do on the command line; ``registry`` leaves them out or gives others.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from elfsig.errors import EditRefused, UsageError
from elfsig.model import FileReport, Format, Keyring, PacketSigner, SignatureReport, Signer, SignOptions
from elfsig.opened.evidence import LIMIT, Source, read
from elfsig.opened.module import open_module
from elfsig.registry import Registry, load
from elfsig.verbs.edit.sign import SignResult
from elfsig.verbs.edit.sign import sign as _sign
from elfsig.verbs.edit.strip import StripResult
from elfsig.verbs.edit.strip import strip as _strip
from elfsig.verbs.verify.examine import Outside, Question, examine

if TYPE_CHECKING:
    from elfsig.verbs.edit.attach import Attached
    from elfsig.verbs.edit.convert import Conversion
    from elfsig.verbs.inspect.compare import Comparison
    from elfsig.verbs.inspect.cover import Cover

KeySources = Keyring | str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


def formats(plugins: bool = True) -> tuple[Format, ...]:
    """The signature formats that are known, in probing order; ``plugins=False``: the built-in ones."""
    return load(plugins).formats


def list_signatures(
    source: Source, *, registry: Registry | None = None, limit: int = LIMIT
) -> tuple[SignatureReport, ...]:
    """The signatures of ``source``, outermost first, parsed and not checked.

    Raises ReadError; what is wrong with a signature is said in its sig.
    """
    return examine(open_module(source, registry, limit=limit), Question(check=False)).signatures


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
    """What the signatures of ``source`` are worth; see FileReport.verdict and its signatures.

    ``trust``: what the caller vouches for, each a path as ``--trust`` takes it, or a key ring made before
    (then ``keys`` must be empty). ``keys`` are merely tried. ``detached`` or ``modarg`` give a signature that
    is kept elsewhere. Raises ReadError, KeySourceError, UsageError; ParseError for a malformed ``modarg``.
    """
    question = Question(keyring(trust, keys), hashes)
    module = open_module(source, registry, limit=limit)
    return examine(module, question, _outside(detached, modarg, limit))


def _outside(detached: Source | None, modarg: str | None, limit: int) -> Outside | None:
    if detached is not None and modarg is not None:
        raise UsageError("one signature at a time: detached or modarg")
    from elfsig.verbs.verify.detached import from_argument, from_file

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
    module = open_module(source, registry, limit=limit)
    format_, made = module.registry.get(format_id), options or SignOptions()
    return _sign(module, format_, signer, made, replace=replace, stack=stack)


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
    module = open_module(source, registry, limit=limit)
    return _strip(module, format_id=format_id, everything=everything)


def convert(
    source: Source,
    to: str,
    signer: Signer | PacketSigner,
    options: SignOptions | None = None,
    *,
    trust: KeySources = (),
    unverified: bool = False,
    keep: bool = False,
    detached: Source | None = None,
    modarg: str | None = None,
    registry: Registry | None = None,
    limit: int = LIMIT,
) -> Conversion:
    """``source`` with a signature in the format ``to`` instead of those that it bears.

    The old one must be valid under ``trust`` (see :func:`verify`), unless ``unverified``. ``keep`` adds
    instead of replacing. The result holds the decompressed content, both reports, what was removed, and
    remarks, such as that the module's kernel does not read this format. Raises ReadError, KeySourceError,
    UsageError, SigningError, EditRefused (not valid; another signature would no longer match).
    """
    from elfsig.verbs.edit.convert import Target, look, plan, refusal
    from elfsig.verbs.edit.convert import convert as _convert

    module = open_module(source, registry, limit=limit)
    target = Target(module.registry.get(to), signer, options or SignOptions())
    outside = _outside(detached, modarg, limit)
    how = plan([target], module.registry, keyring(trust), unverified=unverified, keep=keep, outside=outside)
    before = look(module, how)
    if (why := refusal(before, how)) is not None:
        raise EditRefused(why.text, offset=why.offset, code=why.code)
    return _convert(module, before, how)


def attach(
    source: Source,
    signature: Source,
    trust: KeySources = (),
    *,
    format_id: str | None = None,
    layer: int | None = None,
    replace: bool = False,
    stack: bool = False,
    force: bool = False,
    registry: Registry | None = None,
    limit: int = LIMIT,
) -> Attached:
    """The decompressed content of ``source`` with an existing signature on it.

    ``signature`` is a signed module (all that it bears is taken, innermost first, unless ``format_id`` or
    ``layer`` choose), or a signature in a file of its own. With ``trust`` it must be valid here. Raises
    ReadError, KeySourceError, ParseError, UsageError, EditRefused.
    """
    from elfsig.verbs.edit.attach import attach as _attach
    from elfsig.verbs.edit.attach import taken

    keys = keyring(trust)
    module = open_module(source, registry, limit=limit)
    taken_from = open_module(signature, module.registry, limit=limit)
    parts = taken(module, taken_from, keys, format_id=format_id, layer=layer, replace=replace)
    return _attach(module, parts, keys, replace=replace, stack=stack, force=force)


def compare(a: Source, b: Source, *, registry: Registry | None = None, limit: int = LIMIT) -> Comparison:
    """Whether two files are the same module under each coverage, what differs, and a conclusion in words.

    Raises ReadError.
    """
    from elfsig.verbs.inspect.compare import compare as _compare

    return _compare(open_module(a, registry, limit=limit), open_module(b, registry, limit=limit))


def coverage(
    source: Source,
    trust: KeySources = (),
    keys: KeySources = (),
    *,
    coverage_id: str | None = None,
    detached: Source | None = None,
    modarg: str | None = None,
    registry: Registry | None = None,
    limit: int = LIMIT,
) -> list[Cover]:
    """Which bytes each signature of ``source`` protects, one map for each, outermost first.

    Keys tell which of several coverages a signature has. ``coverage_id`` draws the map of this one, also
    for an unsigned file. Raises ReadError, KeySourceError, UsageError; ParseError for a malformed ``modarg``.
    """
    from elfsig.verbs.inspect.cover import covers

    outside = _outside(detached, modarg, limit)
    module = open_module(source, registry, limit=limit)
    return covers(module, Question(keyring(trust, keys)), coverage_id, outside)
