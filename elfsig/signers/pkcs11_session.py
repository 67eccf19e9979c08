"""Logins: one for each token and process, however many of its keys are used."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import pkcs11

from elfsig.errors import SigningError
from elfsig.model import Remark
from elfsig.signers.patience import waiting_for
from elfsig.signers.pkcs11_module import explained, find_token, load
from elfsig.signers.pkcs11_uri import Uri

if TYPE_CHECKING:
    from pkcs11 import Session, Token

PinSource = Callable[["Token"], tuple[Any, list[Remark]]]
"""(PIN, remarks) for a token; None means no login."""


@dataclass(slots=True, eq=False)
class _Keeper:
    """The session that is logged in, and how many others depend on it."""

    library: Any
    session: Session
    pin: Any
    users: int = 0


_Where = tuple[int, str, int]
_KEEPERS: dict[_Where, _Keeper] = {}
"""Keys: process, library and slot."""


class OpenSession(NamedTuple):
    """A session on a token. ``pin`` is what it was opened with, ``where`` names its login."""

    where: _Where
    session: Session
    pin: Any
    remarks: tuple[Remark, ...] = ()

    @property
    def alive(self) -> bool:
        """Whether it may be used: a process started later cannot use it."""
        return self.where in _KEEPERS and self.where[0] == os.getpid()


_turns: list[int] = []
"""Descriptor of a file whose lock serialises the processes started since."""


def take_turns() -> None:
    """Call before starting processes: makes them log in one at a time.

    Libraries that keep tokens in files (measured: SoftHSM 2.6) lose them when several processes log in.
    """
    if not _turns:
        with tempfile.TemporaryFile() as stream:
            _turns.append(os.dup(stream.fileno()))


@contextmanager
def _alone() -> Iterator[None]:
    """Context in which no other process of ours logs in. fcntl locks belong to processes, not to files."""
    for descriptor in _turns:
        fcntl.lockf(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        for descriptor in _turns:
            fcntl.lockf(descriptor, fcntl.LOCK_UN)


def enter(uri: Uri, pin: PinSource) -> OpenSession:
    """A session on the token that ``uri`` names, logged in. A wrong PIN is not tried twice.

    Raises SigningError.
    """
    with _alone():
        library = load(uri)
        try:
            return _entered(library, uri, pin)
        except pkcs11.PKCS11Error as reason:
            raise SigningError(f"{uri.visible}: {explained(reason)}", code="token-login") from None
        finally:
            finish(library)


def _entered(library: Any, uri: Uri, pin: PinSource) -> OpenSession:
    token = find_token(library, uri)
    where = (os.getpid(), library.so, token.slot.slot_id)
    remarks: list[Remark] = []
    if where not in _KEEPERS:
        secret, remarks = pin(token)
        with waiting_for(f"the login to the token ({uri.visible})"):
            _KEEPERS[where] = _Keeper(library, token.open(user_pin=secret), secret)
    keeper = _KEEPERS[where]
    keeper.users += 1
    try:
        return OpenSession(where, token.open(), keeper.pin, tuple(remarks))
    except BaseException:
        _one_less(where)
        raise


def leave(entry: OpenSession) -> None:
    """Close a session; the last one logs out and releases the library. A removed token needs neither."""
    if entry.alive:
        with suppress(pkcs11.PKCS11Error):
            entry.session.close()
        _one_less(entry.where)


def _one_less(where: _Where) -> None:
    keeper = _KEEPERS[where]
    keeper.users -= 1
    if not keeper.users:
        del _KEEPERS[where]
        with suppress(pkcs11.PKCS11Error):
            keeper.session.close()
        finish(keeper.library)


def finish(library: Any) -> None:
    """Release a library without logins: started processes must find it as if never loaded."""
    if not any(keeper.library is library for keeper in _KEEPERS.values()):
        with suppress(pkcs11.PKCS11Error):
            library.finalize()
