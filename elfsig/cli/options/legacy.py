"""Options that read the section formats less strictly than kernels did."""

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
    """Adds ``--lenient --search-raw-rsa --decrypt-key``; the callback gets ``variants``, which returns
    a registry changed accordingly."""

    @click.option(
        "--lenient", is_flag=True, help="Accept OpenPGP packets that GnuPG accepts: armoured, or truncated."
    )
    @click.option(
        "--search-raw-rsa", is_flag=True, help="Try every known interpretation of a bare RSA block."
    )
    @click.option(
        "--decrypt-key", metavar="gpg:KEYID", help="Decrypt encrypted digests with this secret key."
    )
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
        raise UsageError(f"--decrypt-key {text!r}: expected gpg:KEYID, a secret key in GnuPG")
    return signer.decrypt
