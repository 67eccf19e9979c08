"""Add, remove and convert signatures. The results are in memory: nothing is written."""

from __future__ import annotations

from elfsig.api.guard import public
from elfsig.api.keys import KeySources, keyring
from elfsig.api.verifying import outside_of
from elfsig.errors import EditRefused
from elfsig.model import Existing, PacketSigner, Signer, SignOptions
from elfsig.opened.evidence import LIMIT
from elfsig.opened.module import ModuleSource, open_module
from elfsig.registry import Registry
from elfsig.verbs.edit.attach import Attached, taken
from elfsig.verbs.edit.attach import attach as _attach
from elfsig.verbs.edit.convert import Conversion, Target, look, plan, refusal
from elfsig.verbs.edit.convert import convert as _convert
from elfsig.verbs.edit.sign import SignResult
from elfsig.verbs.edit.sign import sign as _sign
from elfsig.verbs.edit.strip import StripResult
from elfsig.verbs.edit.strip import strip as _strip


@public
def sign(
    source: ModuleSource,
    format_id: str,
    signer: Signer | PacketSigner,
    options: SignOptions | None = None,
    *,
    existing: Existing = Existing.REFUSE,
    registry: Registry | None = None,
    limit: int = LIMIT,
) -> SignResult:
    """Sign the decompressed content of ``source`` in the format ``format_id``.

    ``signer`` is what :func:`elfsig.open_signer` returns. ``existing`` says what to do with existing
    signatures. Raises ReadError, UsageError, SigningError, EditRefused (there is a signature and
    ``existing`` is REFUSE; or another signature would no longer match).
    """
    module = open_module(source, registry, limit=limit)
    return _sign(module, module.registry.get(format_id), signer, options or SignOptions(), existing=existing)


@public
def strip(
    source: ModuleSource,
    *,
    format_id: str | None = None,
    everything: bool = False,
    registry: Registry | None = None,
    limit: int = LIMIT,
) -> StripResult:
    """Remove the signature that was applied last from the decompressed content of ``source``, or all.

    ``format_id`` removes one of this format. The result is byte for byte the content before signing.
    Raises ReadError, UsageError, EditRefused.
    """
    module = open_module(source, registry, limit=limit)
    return _strip(module, format_id=format_id, everything=everything)


@public
def convert(
    source: ModuleSource,
    to: str,
    signer: Signer | PacketSigner,
    options: SignOptions | None = None,
    *,
    trust: KeySources = (),
    unverified: bool = False,
    keep: bool = False,
    detached: ModuleSource | None = None,
    modarg: str | None = None,
    registry: Registry | None = None,
    limit: int = LIMIT,
) -> Conversion:
    """Replace the signatures of ``source`` by one in the format ``to``.

    The old one must be valid under ``trust`` (see :func:`elfsig.verify`), unless ``unverified``. ``keep``
    adds instead of replacing. The result holds the decompressed content, both reports, what was removed, and
    remarks, such as that the module's kernel does not read this format. Raises ReadError, KeySourceError,
    UsageError, SigningError, EditRefused (not valid; another signature would no longer match).
    """
    module = open_module(source, registry, limit=limit)
    target = Target(module.registry.get(to), signer, options or SignOptions())
    outside = outside_of(detached, modarg, limit)
    how = plan([target], module.registry, keyring(trust), unverified=unverified, keep=keep, outside=outside)
    before = look(module, how)
    if (why := refusal(before, how)) is not None:
        raise EditRefused(why.text, offset=why.offset, code=why.code, hint=why.hint)
    return _convert(module, before, how)


@public
def attach(
    source: ModuleSource,
    signature: ModuleSource,
    trust: KeySources = (),
    *,
    format_id: str | None = None,
    layer: int | None = None,
    existing: Existing = Existing.REFUSE,
    force: bool = False,
    registry: Registry | None = None,
    limit: int = LIMIT,
) -> Attached:
    """Add an existing signature to the decompressed content of ``source``.

    ``signature`` is a signed module (all its signatures are used, innermost first, unless ``format_id`` or
    ``layer`` select some), or the content of a signature file. With ``trust`` it must be valid for
    ``source``, unless ``force``. Raises ReadError, KeySourceError, ParseError, UsageError, EditRefused.
    """
    keys = keyring(trust)
    module = open_module(source, registry, limit=limit)
    given = open_module(signature, module.registry, limit=limit)
    parts = taken(module, given, keys, format_id=format_id, layer=layer, existing=existing)
    return _attach(module, parts, keys, origin=given, existing=existing, force=force)
