"""Private keys in tokens, by PKCS#11: ``--key 'pkcs11:token=...;object=...'``.

Hashing is done here; the token sees the digest alone. The library used (python-pkcs11) initialises tokens
for one thread, so parallel operations need processes: each logs in once, all with one PIN.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import pkcs11
from pkcs11 import Mechanism

from elfsig.crypto.pkcs1 import digest_info
from elfsig.errors import SigningError
from elfsig.signers.outside import OutsideSigner, PublicHalf, Request
from elfsig.signers.patience import waiting_for
from elfsig.signers.pkcs11_list import list_tokens as list_tokens
from elfsig.signers.pkcs11_module import explained, pin_of
from elfsig.signers.pkcs11_objects import attribute, find_half, private_key
from elfsig.signers.pkcs11_session import OpenSession, PinSource, enter, leave, take_turns
from elfsig.signers.pkcs11_uri import Uri, parse


class _Held(NamedTuple):
    """The key in an open session. ``each_time``: it requires the PIN for every signature."""

    entry: OpenSession
    key: Any
    each_time: bool


class TokenSigner(OutsideSigner):
    """A key in a token. Implements model.Signer; every value is checked before it is returned."""

    def __init__(self, uri: Uri, half: PublicHalf, held: _Held) -> None:
        super().__init__(uri.visible, half)
        self._uri = uri
        self._pin = held.entry.pin
        self._hold(held)

    def _hold(self, held: _Held) -> None:
        self._held = held
        self._end = weakref.finalize(self, leave, held.entry)

    def ask(self, request: Request) -> bytes:
        """One operation of the token. Raises SigningError."""
        mechanism, data = _operation(self.algorithm, self.key_bits, request)
        if not (self._end.alive and self._held.entry.alive):
            self._hold(_found(self._uri, lambda token: (self._pin, [])))
        again = {"pin": self._pin} if self._held.each_time and isinstance(self._pin, str) else {}
        try:
            with waiting_for(f"the token ({self.name}): does it need a touch, or its PIN?"):
                return bytes(self._held.key.sign(data, mechanism=mechanism, **again))
        except pkcs11.PKCS11Error as reason:
            raise SigningError(f"{self.name}: {explained(reason)}", code="token-failed") from None

    def release(self) -> None:
        """Log out, before other processes are started; the next use logs in again."""
        self._end()
        take_turns()


def open_token(
    text: str, cert: str | None, read: Callable[[str], bytes], ask: Callable[[str], bytes]
) -> TokenSigner:
    """The signer for a URI. ``cert``: a file, a URI, or None for the key's certificate in the token.

    Logs in, unless already done for another key of this token. Raises SigningError.
    """
    uri = parse(text)
    held = _found(uri, lambda token: pin_of(uri, ask, token))
    try:
        half = find_half(held.entry.session, held.key, uri, cert, read)
    except BaseException:
        leave(held.entry)
        raise
    return TokenSigner(uri, half._replace(remarks=(*half.remarks, *held.entry.remarks)), held)


def _found(uri: Uri, pin: PinSource) -> _Held:
    """The key in a new session. Raises SigningError."""
    entry = enter(uri, pin)
    try:
        key = private_key(entry.session, uri)
        return _Held(entry, key, bool(attribute(key, pkcs11.Attribute.ALWAYS_AUTHENTICATE)))
    except pkcs11.PKCS11Error as reason:
        leave(entry)
        raise SigningError(f"{uri.visible}: {explained(reason)}", code="token-failed") from None
    except BaseException:
        leave(entry)
        raise


def _operation(algorithm: str, bits: int, request: Request) -> tuple[Any, bytes]:
    """(mechanism, input) for one request. Raises SigningError where tokens have no mechanism."""
    if request.kind == "block":
        return Mechanism.RSA_X_509, request.data
    if request.kind == "digest":
        if algorithm == "rsa":
            return Mechanism.RSA_PKCS, digest_info(request.hash or "", request.data)
        if algorithm == "dsa":
            return Mechanism.DSA, request.data
        # A digest longer than the order is cut (FIPS 186-5, 6.4.1); not every token does this itself.
        return Mechanism.ECDSA, request.data[: (bits + 7) // 8]
    raise SigningError(f"{algorithm} in a token is not supported: PKCS#11 tokens sign digests here")
