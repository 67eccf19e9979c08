"""Signing in two steps: write out what is to be signed, then add the values made elsewhere."""

from __future__ import annotations

from typing import NoReturn

from elfsig.errors import SigningError
from elfsig.signers.outside import OutsideSigner, PublicHalf, Request


class Asked(Exception):
    """Ends signing at the point where the private key would be needed."""

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
    """Returns one value made elsewhere, once checked. Implements model.Signer.

    ``source`` names where the value comes from. ``expected`` is the request it answers, if known:
    this distinguishes a changed file from a wrong signature.
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
