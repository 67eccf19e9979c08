"""Finding the PKCS#11 library, the token in it, and the PIN: the steps before a session."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pkcs11
from pkcs11 import PROTECTED_AUTH, TokenFlag

from elfsig.errors import SigningError
from elfsig.model import Remark
from elfsig.signers.pkcs11_uri import Uri

if TYPE_CHECKING:
    from pkcs11 import Slot, Token

VARIABLES = ("PKCS11_MODULE_PATH", "PKCS11_PROVIDER_MODULE")
"""Variables that name the library for OpenSSL's engine and provider; they are used here too."""

FOLDERS = (
    "/usr/lib/pkcs11", "/usr/lib64/pkcs11", "/usr/lib/x86_64-linux-gnu/pkcs11",
    "/usr/lib/aarch64-linux-gnu/pkcs11", "/usr/local/lib/pkcs11", "/usr/lib/softhsm", "/usr/lib64/softhsm",
    "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib",
)  # fmt: skip
PROXY = "p11-kit-proxy.so"
"""p11-kit's library, which gives access to all that the system has configured."""

_MATCHED = (
    ("token", "label"), ("manufacturer", "manufacturer_id"), ("model", "model"), ("serial", "serial"),
)  # fmt: skip
_SLOT_MATCHED = (("slot-manufacturer", "manufacturer_id"), ("slot-description", "slot_description"))


def load(uri: Uri) -> Any:
    """The initialised library. Raises SigningError."""
    path = module_path(uri)
    try:
        return pkcs11.lib(path)
    except pkcs11.PKCS11Error as reason:
        raise SigningError(
            f"{path}: not a PKCS#11 library: {explained(reason)}", code="pkcs11-module"
        ) from None


def module_path(uri: Uri) -> str:
    """The library: from the URI, else the environment, else p11-kit's. Raises SigningError."""
    given = uri.query.get("module-path")
    if given is not None and not os.path.isdir(given):
        return given
    name = uri.query.get("module-name")
    if name is not None:
        found = _first(given, (name, f"{name}.so", f"lib{name}.so"))
        if found is None:
            raise SigningError(
                f"PKCS#11 library {name!r} was not found: set module-path", code="pkcs11-module"
            )
        return found
    named = next((os.environ[each] for each in VARIABLES if os.environ.get(each)), None)
    found = named or _first(None, (PROXY,))
    if found is None:
        text = "which PKCS#11 library? Add ?module-path=/usr/lib/...so to the URI, or set " + VARIABLES[0]
        raise SigningError(text, code="pkcs11-module")
    return found


def _first(folder: str | None, names: Sequence[str]) -> str | None:
    paths = (os.path.join(f, name) for f in ([folder] if folder else FOLDERS) for name in names)
    return next((path for path in paths if os.path.isfile(path)), None)


# --------------------------------------------------------------------------- the token


def find_token(library: Any, uri: Uri) -> Token:
    """The one token that the URI matches. Raises SigningError that lists the tokens present."""
    fitting = matching_tokens(library, uri)
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(repr(str(token.label)) for token in fitting)
    raise SigningError(
        f"{uri.visible}: {len(fitting)} tokens match ({names}): add token=LABEL or serial=",
        code="ambiguous-token",
    )


def matching_tokens(library: Any, uri: Uri) -> list[Token]:
    """Every token that the URI matches, at least one. Raises SigningError that lists the tokens present."""
    try:
        present = list(_tokens(library))
    except pkcs11.PKCS11Error as reason:
        raise SigningError(f"the tokens cannot be listed: {explained(reason)}", code="pkcs11") from None
    fitting = [token for slot, token in present if _fits(slot, token, uri)]
    if not fitting:
        names = ", ".join(repr(str(token.label)) for _, token in present) or "none"
        raise SigningError(f"{uri.visible}: no such token; present: {names}", code="no-token")
    return fitting


def _tokens(library: Any) -> Iterator[tuple[Slot, Token]]:
    for slot in library.get_slots(token_present=True):
        try:
            token = slot.get_token()
        except (pkcs11.TokenNotPresent, pkcs11.TokenNotRecognised):
            continue
        if token.flags & pkcs11.TokenFlag.TOKEN_INITIALIZED:
            yield slot, token


def _fits(slot: Slot, token: Token, uri: Uri) -> bool:
    if "slot-id" in uri.path and int(uri.path["slot-id"]) != slot.slot_id:
        return False
    pairs = [(uri.path.get(name), getattr(token, field)) for name, field in _MATCHED]
    pairs += [(uri.path.get(name), getattr(slot, field)) for name, field in _SLOT_MATCHED]
    return all(wanted is None or wanted.strip() == _plain(found) for wanted, found in pairs)


def _plain(value: Any) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text.strip(" \0")


# --------------------------------------------------------------------------- the PIN


def pin_of(uri: Uri, ask: Callable[[str], bytes], token: Token) -> tuple[Any, list[Remark]]:
    """(PIN, remarks): from the URI, else the reader's keypad, else ``ask``. None: no login needed.

    Raises SigningError, also for a locked token: one that is locked, or about to be, is not tried.
    """
    if token.flags & TokenFlag.USER_PIN_LOCKED:
        raise SigningError(
            f"{uri.visible}: the PIN is locked; unlock the token with its PUK", code="pin-locked"
        )
    given = uri.query.get("pin-value")
    if given is not None:
        text = "a PIN on the command line can be read by every user: use pin-source=file:... instead"
        return given, [Remark("pin-visible", text), *_last_try(token)]
    source = uri.query.get("pin-source")
    if source is not None:
        return (*_from_file(source.removeprefix("file://").removeprefix("file:")), *())
    if not token.flags & TokenFlag.LOGIN_REQUIRED:
        return None, []
    if token.flags & TokenFlag.PROTECTED_AUTHENTICATION_PATH:
        return PROTECTED_AUTH, []
    return _decoded(ask(uri.visible)), _last_try(token)


def _last_try(token: Token) -> list[Remark]:
    if token.flags & TokenFlag.USER_PIN_FINAL_TRY:
        return [Remark("pin-final-try", "another wrong PIN locks the token")]
    return []


def _from_file(path: str) -> tuple[str, list[Remark]]:
    from elfsig.signers.key_file import read_file

    if path.startswith("|"):
        raise SigningError("pin-source: programs are not run for a PIN; use a file", code="pin-source")
    pin = _decoded(read_file(path).rstrip(b"\r\n"))
    others = stat.S_IMODE(os.stat(path).st_mode) & 0o077
    remarks = [Remark("pin-readable", f"{path} holds a PIN and is readable by others")] if others else []
    return pin, remarks


def _decoded(pin: bytes) -> str:
    try:
        return pin.decode()
    except UnicodeDecodeError:
        raise SigningError("the PIN is not UTF-8", code="pin") from None


# --------------------------------------------------------------------------- what goes wrong


_SENTENCES = {
    "PinIncorrect": "wrong PIN",
    "PinInvalid": "wrong PIN",
    "PinLenRange": "the PIN is too short or too long for this token",
    "PinLocked": "the PIN is locked; unlock the token with its PUK",
    "PinExpired": "the PIN has expired",
    "UserPinNotInitialized": "the token has no user PIN yet",
    "UserNotLoggedIn": "the token requires a login",
    "DeviceRemoved": "the token was removed",
    "TokenNotPresent": "the token was removed",
    "DeviceError": "the device failed",
    "SessionCount": "the token allows no more sessions: use fewer at once",
    "MechanismInvalid": "the token cannot do this kind of operation",
    "KeyFunctionNotPermitted": "the key must not be used for signing (CKA_SIGN)",
    "KeyTypeInconsistent": "the key is not of this type",
    "DataLenRange": "the key is too small for this hash",
    "FunctionCancelled": "it was cancelled",
}


def explained(reason: Exception) -> str:
    """A library's error in words, followed by its own name."""
    name = type(reason).__name__
    sentence = _SENTENCES.get(name)
    text = str(reason)
    return f"{sentence} ({name})" if sentence else f"{name}: {text}" if text else name
