"""Signing in two halves: first write down what is to be signed, later bring the values that others made."""

from __future__ import annotations

from typing import NoReturn

from elfsig.errors import SigningError
from elfsig.signers.outside import OutsideSigner, PublicHalf, Request


class Asked(Exception):
    """Ends the making of a signature at the point where the private key would be needed."""

    def __init__(self, request: Request) -> None:
        super().__init__(request.kind)
        self.request = request


class Recorder(OutsideSigner):
    """Signs nothing: the first request is raised as :class:`Asked`. Implements model.Signer."""

    def __init__(self, half: PublicHalf) -> None:
        super().__init__("the key", half)

    def ask(self, request: Request) -> NoReturn:
        raise Asked(request)


class Replayer(OutsideSigner):
    """Answers with one value that was made elsewhere, if it is one. Implements model.Signer.

    ``source`` names where the value comes from. ``expected`` is what it was asked for, where that is known:
    a file that changed meanwhile is told from a wrong signature.
    """

    def __init__(self, source: str, half: PublicHalf, value: bytes, expected: bytes | None = None) -> None:
        super().__init__(source, half)
        self.value = value
        self.expected = expected

    def ask(self, request: Request) -> bytes:
        if self.expected is not None and request.data != self.expected:
            text = "the module is not the one that was prepared: what is to be signed has changed"
            raise SigningError(text, code="changed-since-prepared")
        return self.value
