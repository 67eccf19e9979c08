"""convert: verify the old signature, remove it exactly, and sign in another format.

Converting without a check would turn untrusted code into trusted code, so the old signature is verified
first. Before a result is returned, it is checked: the new signatures match the signing keys, and (with the
exact engine) stripping the result gives exactly the bytes that stripping the original gives.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from elfsig.errors import EditRefused, SigningError, UsageError
from elfsig.kernels.select import for_module
from elfsig.kernels.suits import unread
from elfsig.model import (
    Carrier,
    Existing,
    FileReport,
    Format,
    Keyring,
    PacketSigner,
    Remark,
    SignatureReport,
    Signer,
    SignOptions,
    Verdict,
    optional,
)
from elfsig.model.brief import brief
from elfsig.opened.module import Module
from elfsig.registry import Registry
from elfsig.verbs.edit.change import tail_of
from elfsig.verbs.edit.own_key import own_ring
from elfsig.verbs.edit.sign import SignResult, sign
from elfsig.verbs.edit.strip import Removed, result_object, strip
from elfsig.verbs.verify.detached import from_argument
from elfsig.verbs.verify.examine import Outside, Question, examine


def _rank(carrier: Carrier) -> int:
    """The order of signing: a trailer signs the file with its sections, a detached signature signs all of
    it."""
    return 0 if optional.in_elf(carrier) else 2 if carrier.kind == "detached" else 1


GOOD = (Verdict.VALID, Verdict.NOT_A_SIGNATURE, Verdict.UNCHECKED)
"""Acceptable verdicts under the signing key: an encrypted digest is not a signature, GnuPG's is not
checked."""


@dataclass(frozen=True, slots=True)
class Target:
    """One format to convert to, with the signer and the options."""

    format: Format
    signer: Signer | PacketSigner
    options: SignOptions


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do with every file; made by :func:`plan`. ``own`` are the signing keys."""

    targets: tuple[Target, ...]
    keys: Keyring | None
    own: Keyring | None
    unverified: bool = False
    keep: bool = False
    outside: Outside | None = None

    @property
    def engine(self) -> str:
        return self.targets[0].options.engine


@dataclass(frozen=True, slots=True)
class Conversion:
    """The conversion of one file. ``module`` is the result; ``parts`` are (format id, bytes) of signatures
    that are kept outside it. ``before`` holds the old signatures' verdicts, ``after`` the new ones' under the
    keys that made them."""

    before: FileReport
    after: FileReport
    module: Module
    parts: tuple[tuple[str, bytes], ...]
    removed: tuple[Removed, ...]
    made: tuple[tuple[Format, SignResult], ...]
    remarks: tuple[Remark, ...]

    def __repr__(self) -> str:
        return brief(self)

    def to_json(self) -> dict[str, Any]:
        """The result as plain JSON values: before, after, what was removed and added, warnings."""
        return {
            **result_object(self.module.path, self.content, self.removed, self.remarks),
            "before": self.before.to_json(),
            "after": self.after.to_json(),
            "added": [made.added() for _, made in self.made],
        }

    @property
    def content(self) -> bytes:
        """The content of the result, decompressed."""
        return self.module.content


def plan(
    targets: Sequence[Target],
    registry: Registry,
    keys: Keyring | None,
    *,
    unverified: bool = False,
    keep: bool = False,
    outside: Outside | None = None,
) -> Plan:
    """The targets in the order in which they can coexist: sections, then trailers, then the rest.

    Of the sections, those that kernels read last come last, since a note covers the others. Raises
    UsageError for a contradiction: no key sources and not ``unverified``, a format twice, different engines.
    """
    if keys is None and not unverified:
        raise UsageError(
            "conversion verifies the signature first, and no keys were given",
            code="unverified",
            hint="trust-or-unverified",
        )
    ids = [target.format.id for target in targets]
    if not targets or len(set(ids)) != len(ids) or len({t.options.engine for t in targets}) != 1:
        raise UsageError("convert needs one or more formats, each once", code="formats")
    if sum(t.format.carrier.kind == "detached" for t in targets) > 1:
        raise UsageError("convert to one detached format at a time", code="formats")
    where = {format_.id: number for number, format_ in enumerate(registry.formats)}
    ordered = sorted(targets, key=lambda t: (_rank(t.format.carrier), -where[t.format.id]))
    signed = [target.signer for target in ordered]
    created = next((t.options.key_created for t in ordered if t.options.key_created), 0)
    return Plan(tuple(ordered), keys, own_ring(signed, created), unverified, keep, outside)


def look(module: Module, how: Plan) -> FileReport:
    """The report of the file as it is, with its signatures verified against the user's trusted keys."""
    return examine(module, Question(how.keys, hashes=True, any_file=True), how.outside)


CHANGED = "do not sign it before you know why it changed"
NOT_CHANGED = (Verdict.UNTRUSTED, Verdict.UNKNOWN_KEY, Verdict.UNSUPPORTED, Verdict.NOT_A_SIGNATURE)
"""Verdicts that do not mean that the module is another than the one that was signed."""


def refusal(before: FileReport, how: Plan) -> Remark | None:
    """Why this file must not be converted; None where it may be.

    Only where the module may be the one that was signed does it hint at converting it all the same.
    """
    if before.verdict is Verdict.VALID or how.unverified:
        return None
    if before.verdict is Verdict.UNSIGNED:
        text = "unsigned: nothing vouches for it; if you built it yourself, sign it"
        return Remark("not-valid", f"not converted: {text}")
    if before.verdict in NOT_CHANGED:
        return Remark("not-valid", f"not converted: {_reason(before)}", hint="unverified")
    return Remark("not-valid", f"not converted: {_reason(before)}; {CHANGED}")


def _reason(before: FileReport) -> str:
    """What is the case with the signature that counts, or with the file that has none."""
    effective = next((f for f in before.signatures if f.effective), None)
    if effective is not None:
        why = f": {effective.reason}" if effective.reason else ""
        return f"the {effective.format or 'unknown'} signature is {effective.verdict}{why}"
    why = "; ".join(remark.text for remark in before.warnings)
    return f"{before.verdict}: {why}" if why else str(before.verdict)


def convert(module: Module, before: FileReport, how: Plan) -> Conversion:
    """The file with the new signatures. ``before`` is :func:`look`'s answer, and was not refused.

    Raises EditRefused, SigningError, ParseError.
    """
    tail = tail_of(module)
    if tail is not None and how.keep:
        raise EditRefused(
            "signed after compression: no kernel sees this signature, and nothing can be added to it",
            offset=len(tail),
            code="already-signed",
        )
    result = module
    removed: tuple[Removed, ...] = ()
    if how.keep:
        _check_order(module, how)
    else:
        stripped = strip(module, everything=True, engine=how.engine)
        result, removed = stripped.module, (*_outermost(module, tail), *stripped.removed)
    remarks = list(_forewarned(before))
    made: list[tuple[Format, SignResult]] = []
    parts: list[tuple[str, bytes]] = []
    for target in how.targets:
        done = sign(result, target.format, target.signer, target.options, existing=Existing.STACK)
        made.append((target.format, done))
        remarks += [*done.remarks, *_widened(before, done)]
        if done.detached:
            parts.append((target.format.id, done.content))
        result = done.module
    result = result.edited(result.content)
    remarks += _unread(result, made)
    after = _proven(before, result, tuple(parts), how)
    remarks += [*_relaid(before, after), *_stacked(after)]
    return Conversion(
        before, after, result, tuple(parts), removed, tuple(made), tuple(dict.fromkeys(remarks))
    )


def _check_order(module: Module, how: Plan) -> None:
    """Refuse to add a section under an existing trailer that is kept."""
    section = next((t for t in how.targets if optional.in_elf(t.format.carrier)), None)
    if section is None or section.options.force:
        return
    for found in module.places:
        if found.place.kind == "trailer":
            name = found.claimants[0].id if found.claimants else found.place.carrier
            new = section.format.id
            text = (
                f"the {name} trailer signs the file with its sections, so a {new} signature has to be made "
                f"before it: convert to {new} and {name} at once"
            )
            raise EditRefused(text, offset=found.place.start, code="order", hint="convert-to-both")


def _stacked(after: FileReport) -> Iterator[Remark]:
    """With ``--keep``: two trailers; no kernel looks at the inner one."""
    if len({sig.layer for sig in after.signatures if sig.place.kind == "trailer"}) > 1:
        text = "two trailers, one after the other: kernels look only at the outermost"
        yield Remark("stacked-trailers", text)


def _relaid(before: FileReport, after: FileReport) -> Iterator[Remark]:
    """LIEF's engine proves that everything else is the same, not that it is at the same offsets."""
    if before.content_sha256 != after.content_sha256:
        text = "the lief engine changed the layout: unsigned, the file is equivalent, not byte-identical"
        yield Remark("laid-out-anew", text)


def _forewarned(before: FileReport) -> Iterator[Remark]:
    if before.verdict is not Verdict.VALID:
        yield Remark("unverified", f"converted although the module was {before.verdict}")


def _unread(module: Module, made: Sequence[tuple[Format, SignResult]]) -> Iterator[Remark]:
    """A remark where the kernel that the module's vermagic names does not read the new signature."""
    try:
        kernel = for_module(module.vermagic)
    except UsageError:  # no vermagic, or a kernel that elfsig does not know
        return
    for format_, result in made:
        text = unread(kernel, format_.id, result.coverage, result.hash)
        if text is not None:
            yield Remark("kernel-does-not-read", f"the module was built for {kernel.title}, which {text}")


def _widened(before: FileReport, made: SignResult) -> Iterator[Remark]:
    """What was not signed so far, where the new signature may cover more than the old one did."""
    effective = next((f for f in before.signatures if f.effective), None)
    if effective is None or effective.coverage in (None, made.coverage):
        return
    for remark in effective.warnings:
        if remark.code == "not-covered":
            text = f"the new signature may vouch for what the old one did not cover: {remark.text}"
            yield Remark("vouches-for-more", text)


def _outermost(module: Module, stream: bytes | None) -> Iterator[Removed]:
    """The signature after the compressed stream, which is removed when the content is compressed again."""
    if stream is not None:
        yield Removed(None, "after the compressed stream", len(stream), module.size - len(stream))


def _proven(
    before: FileReport, result: Module, parts: tuple[tuple[str, bytes], ...], how: Plan
) -> FileReport:
    """The report of the result under the signing keys. Raises EditRefused where a check fails."""
    outside = _outside(parts)
    after = examine(result, Question(how.own, hashes=True), outside)
    new = {target.format.id for target in how.targets}
    for sig in after.signatures:
        if sig.format in new and not _fits(sig, how):
            text = f"the new {sig.format} signature would be {sig.verdict}: {sig.reason}"
            raise EditRefused(text, code="not-proven")
    if how.engine == "exact" and before.content_sha256 != after.content_sha256:
        raise EditRefused("stripping the result would not give back the unsigned module", code="not-proven")
    return after


def _fits(sig: SignatureReport, how: Plan) -> bool:
    """Kept signatures of the same format are by other keys, which is not a fault of the new one."""
    return sig.verdict in GOOD or (how.keep and sig.verdict is Verdict.UNKNOWN_KEY)


def _outside(parts: tuple[tuple[str, bytes], ...]) -> Outside | None:
    """The first new signature that is kept outside the file, where its form is a module argument."""
    for _, data in parts:
        if data.startswith(b"modsign="):
            return from_argument(data.decode("ascii"))
    return None


def options_for(format_: Format, options: SignOptions, formats: Sequence[Format]) -> SignOptions:
    """``options`` for one of several formats: coverage and payload go to those that have them.

    Raises SigningError for a choice that none of ``formats`` has.
    """
    if len(formats) == 1:
        return options
    return options._replace(
        coverage=_for(format_, "coverage", options.coverage, formats),
        payload=_for(format_, "payload", options.payload, formats),
    )


def _for(format_: Format, what: str, wish: str | None, formats: Sequence[Format]) -> str | None:
    if wish is None or wish in _choices(format_, what):
        return wish
    if not any(wish in _choices(each, what) for each in formats):
        raise SigningError(f"none of the formats has a {what} {wish!r}", code=what)
    return None


def _choices(format_: Format, what: str) -> set[str | None]:
    return {pair.coverage.id if what == "coverage" else pair.payload for pair in format_.pairs}
