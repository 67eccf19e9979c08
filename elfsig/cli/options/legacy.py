"""Options that read the formats of the section eras otherwise than kernels did."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from elfsig.errors import UsageError

if TYPE_CHECKING:
    from elfsig.model import Format
    from elfsig.registry import Registry

Callback = Callable[..., Any]
Variants = Callable[["Registry"], "Registry"]


def legacy_options(callback: Callback) -> Callback:
    """Adds ``--lenient --search-raw-rsa --decrypt-key``; the callback gets ``variants``, which changes a
    registry as they ask."""

    @click.option(
        "--lenient", is_flag=True, help="Read OpenPGP packets as GnuPG does: armoured, or cut off at the end."
    )
    @click.option(
        "--search-raw-rsa", is_flag=True, help="Try every way in which a bare RSA block could be meant."
    )
    @click.option("--decrypt-key", metavar="gpg:KEYID", help="Open encrypted digests with this secret key.")
    @wraps(callback)
    def wrapped(*args: Any, lenient: bool, search_raw_rsa: bool, decrypt_key: str | None, **more: Any) -> Any:
        changes = _changes(lenient, search_raw_rsa, decrypt_key)

        def variants(registry: Registry) -> Registry:
            for change in changes:
                registry = registry.changed(change)
            return registry

        return callback(*args, variants=variants, **more)

    return wrapped


def _changes(
    lenient: bool, search_raw_rsa: bool, decrypt_key: str | None
) -> list[Callable[[Format], Format]]:
    if not (lenient or search_raw_rsa or decrypt_key is not None):
        return []
    from elfsig_formats import variants

    changes: list[Callable[[Format], Format]] = [
        change
        for wanted, change in ((lenient, variants.lenient), (search_raw_rsa, variants.searching))
        if wanted
    ]
    if decrypt_key is not None:
        changes.append(variants.opening(_decrypter(decrypt_key)))
    return changes


def _decrypter(text: str) -> Callable[[bytes], bytes]:
    from elfsig.signers.gpg import parse_key

    signer = parse_key(text)
    if signer is None:
        raise UsageError(f"--decrypt-key {text!r}: expected gpg:KEYID, GnuPG holds the secret key")
    return signer.decrypt
