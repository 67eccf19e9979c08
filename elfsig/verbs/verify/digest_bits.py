"""What a signature says about its own digest, compared with the file, where no key decides.

An OpenPGP packet holds the first 16 bits of the digest that was signed (RFC 4880, 5.2.3). Nothing protects
them, and one wrong content in 65 536 fits. But genuine ones tell under which coverage a module was signed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

from elfsig.elf.image import Image
from elfsig.errors import ElfsigError, ParseError
from elfsig.model import (
    Format,
    Message,
    Pair,
    RecordedDigest,
    Remark,
    Signature,
    SignOptions,
    Verdict,
    optional,
)
from elfsig.opened.module import Module
from elfsig.opened.places import LocatedSignature
from elfsig.verbs.verify.near_misses import without_info_link

FITS, DIFFERS, BEFORE_STRIP = "hash16-fits", "hash16-differs", "hash16-before-strip"
CODES = frozenset({FITS, DIFFERS, BEFORE_STRIP})
UNDECIDED = frozenset({Verdict.UNCHECKED, Verdict.UNKNOWN_KEY, Verdict.INVALID})
"""Verdicts for which the bits tell more."""

CHANCE = "which happens by chance once in 65 536; no signature was checked"


class DigestBits:
    """The messages of one format at one place, computed where they are wanted, once for all signatures."""

    module: Module
    found: LocatedSignature
    format: Format

    def __init__(self, module: Module, found: LocatedSignature, format_: Format) -> None:
        self.module, self.found, self.format = module, found, format_

    def remark(self, signature: Signature) -> Remark | None:
        """Which coverages fit the bits that ``signature`` records; None where it records none."""
        recorded = list(self._recorded(signature, self._messages))
        if not recorded:
            return None
        fitting = [name for name, each in recorded if each.claimed == each.computed]
        claimed = recorded[0][1].claimed.hex()
        if fitting:
            text = f"the packet's 16 bits of the hash match {', '.join(fitting)}, {CHANCE}"
            return Remark(FITS, text)
        before, count = self._before_strip
        fitting = [name for name, each in self._recorded(signature, before) if each.claimed == each.computed]
        if fitting:
            sections = f"{count} relocation section{'s' if count > 1 else ''}"
            text = (
                f"the packet's 16 bits of the hash match {', '.join(fitting)} once a flag is cleared that a"
                f" later strip or objcopy set in the headers of {sections} (SHF_INFO_LINK), {CHANCE}"
            )
            return Remark(BEFORE_STRIP, text)
        starts = "; ".join(
            f"{name}: {each.computed.hex()}{self._expected_word(name)}" for name, each in recorded
        )
        text = f"the signature records a digest starting {claimed}, and no coverage of this file gives it"
        why = "the file or its signature was changed, or another coverage was signed"
        return Remark(DIFFERS, f"{text} ({starts}): {why}")

    def among(self, remarks: Sequence[Remark], signature: Signature, verdict: Verdict) -> list[Remark]:
        """``remarks`` on ``signature`` with what the bits say; what the envelope said of them is replaced."""
        said = next((remark.code for remark in remarks if remark.code in CODES), None)
        if verdict not in UNDECIDED or (verdict is Verdict.INVALID and said != DIFFERS):
            return list(remarks)
        own = self.remark(signature)
        if own is None:
            return list(remarks)
        return [own, *(remark for remark in remarks if remark.code not in CODES)]

    def _expected_word(self, coverage: str) -> str:
        return ", expected by the module's vermagic" if coverage == self._expected else ""

    @cached_property
    def _expected(self) -> str | None:
        """The coverage that kernels of the module's vermagic compute, where that decides among several."""
        if self.format.choose is None or len({pair.coverage.id for pair in self.format.pairs}) < 2:
            return None
        try:
            return self.format.choose(self.format.pairs, SignOptions(), self.module.vermagic).coverage.id
        except ElfsigError:
            return None

    @cached_property
    def _messages(self) -> list[tuple[Pair, Message]]:
        return list(self._under(self.found.image))

    @cached_property
    def _before_strip(self) -> tuple[list[tuple[Pair, Message]], int]:
        """As the messages were if strip or objcopy set the flag, and in how many sections."""
        table = self.found.image.elf
        if table is None or not self.module.registry.in_elf(self.found.place):
            return [], 0
        data, count = without_info_link(self.found.image.data, table)
        return (list(self._under(Image(data, self.found.image.end))), count) if count else ([], 0)

    def _under(self, image: Image) -> Iterator[tuple[Pair, Message]]:
        for pair in filter(lambda each: optional.records_digests(each.envelope), self.format.pairs):
            try:
                if image is self.found.image:
                    yield pair, self.module.message(pair.coverage, image, self.found.place)
                else:
                    yield pair, pair.coverage.message(image, self.found.place)
            except ParseError:
                continue

    @staticmethod
    def _recorded(
        signature: Signature, messages: Sequence[tuple[Pair, Message]]
    ) -> Iterator[tuple[str, RecordedDigest]]:
        for pair, message in messages:
            if pair.envelope.id == signature.envelope:
                each = optional.recorded_digest(pair.envelope, signature, message)
                if each is not None:
                    yield pair.coverage.id, each
