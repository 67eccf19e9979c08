"""The keyring for when no key source is given."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from elfsig.model import Candidates, Key, KeyId, Loss


class NoKeys:
    """An empty keyring."""

    keys: Sequence[Key] = ()
    losses: Sequence[Loss] = ()
    revokes_files = False

    def find(self, key_id: KeyId) -> Sequence[Key]:
        return ()

    def nameless(self, kind: str) -> Sequence[Key]:
        return ()

    def candidates(self, ids: Iterable[KeyId]) -> Candidates:
        return Candidates((), ())

    def revokes(
        self, certificate: bytes | None = None, key: Key | str | None = None, file: bytes | None = None
    ) -> str | None:
        return None
