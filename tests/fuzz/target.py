"""What a target is, and what can go wrong with it. Nothing here imports elfsig."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import NamedTuple

Seeds = Callable[[], Iterable[bytes]]
Mutator = Callable[[bytes, int, Random], bytes]
"""The input, the maximum size of the result, and the source of chance: everything that decides the result."""


class Broken(AssertionError):
    """An oracle's objection: ``code`` names the oracle, the text says what was expected and found."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code: str = code


class Limits(NamedTuple):
    """What one input of ``n`` bytes may cost: ``seconds + n * per_byte`` of processor time, and memory of
    ``memory + n * memory_per_byte`` bytes above what was in use before.

    The figures are for instrumented code, which is about three times as slow as plain code.
    """

    seconds: float = 0.05
    per_byte: float = 10e-6
    memory: int = 48 << 20
    memory_per_byte: int = 256


ONE_DECODER = (160 + 48) << 20
"""Memory of what may decompress: elfsig.compression.DECODER_MEMORY, which the input may ask for, and more."""

VERB = Limits(0.5, 40e-6, ONE_DECODER)
"""For whole verbs: several signatures, each with a search for near misses, which compresses the content: an
encoder of xz has 94 MiB."""

UNPACKING = Limits(0.4, 20e-6, ONE_DECODER)
"""For decompressors, which may give more than they were given."""


class Target(NamedTuple):
    """One row of the table.

    ``name`` is AREA/WORD, where AREA is the module in ``targets`` that has the row. ``run`` takes an input
    and may raise what ``promised`` names, and :class:`Broken`. ``seeds`` are valid inputs, ``mutate`` knows
    their structure, ``words`` are put in as they are.
    """

    name: str
    about: str
    run: Callable[[bytes], object]
    seeds: Seeds
    mutate: Mutator | None = None
    words: tuple[bytes, ...] = ()
    promised: tuple[type[Exception], ...] = ()
    max_len: int = 1 << 14
    limits: Limits = Limits()


class Finding(NamedTuple):
    """Something that must not happen, on one input: ``kind`` is an exception's name or an oracle's code,
    ``where`` the innermost line of elfsig. Two findings with the same ``kind`` and ``where`` are one."""

    target: str
    kind: str
    where: str
    text: str
    data: bytes

    @property
    def identity(self) -> str:
        """What makes it the same finding as another one."""
        return f"{self.kind} {self.where}"
