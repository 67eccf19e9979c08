"""One rule protects coexisting signatures: after any edit, the message of every signature that remains is
computed again; if one changed, the edit is refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set

from elfsig.coverages.whole_file import WholeFile
from elfsig.crypto import checks
from elfsig.errors import EditRefused, ParseError
from elfsig.model import Coverage, Message, Remark
from elfsig.opened.module import Module
from elfsig.opened.places import LocatedSignature


def check_remaining(
    before: Module, kept: Sequence[LocatedSignature], after: Module, *, force: bool = False
) -> list[Remark]:
    """Compare the messages of the signatures in ``kept``, found in ``before`` the edit, with those ``after``.

    Raises EditRefused (breaks-signature) naming the first that is gone or signs something else now; with
    ``force`` each is a remark instead. Where it is not known what a signature signs, a remark says so.
    """
    remarks: list[Remark] = []
    pool = list(after.places) if kept else []
    for found in kept:
        if found.place.fault is not None:
            continue
        remark = _difference(before, found, after, _counterpart(found, pool))
        if remark is None:
            continue
        if remark.code == "breaks-signature" and not force:
            raise EditRefused(remark.text, offset=remark.offset, code=remark.code, hint="force")
        remarks.append(remark)
    return remarks


def over_other_content(origin: Module, blobs: Set[bytes], result: Module) -> Remark | None:
    """A remark where a signature of ``origin``, one of ``blobs``, signs nothing that is in ``result``, which
    has it as well: its message differs under every coverage that it may have."""
    pool = list(result.places)
    for found in origin.places:
        other = _counterpart(found, pool) if found.place.fault is None else None
        if other is None or found.place.blob not in blobs:
            continue
        messages = [(_digest(origin, c, found), _digest(result, c, other)) for c in _coverages(found)]
        if messages and all(before != after for before, after in messages):
            text = f"the {name_of(found)} of {origin.path} is over other content than this"
            return Remark("other-content", text)
    return None


def name_of(found: LocatedSignature) -> str:
    """A place in words: its format, or what its carrier calls it, and where it is."""
    what = found.claimants[0].id if found.claimants else found.place.carrier
    return f"{what} signature at {found.place.start:#x}"


def _counterpart(found: LocatedSignature, pool: list[LocatedSignature]) -> LocatedSignature | None:
    """The same signature after the edit, taken out of ``pool`` so that equal ones pair up."""
    for other in pool:
        a, b = found.place, other.place
        if (a.carrier, a.blob, a.params, a.fault) == (b.carrier, b.blob, b.params, b.fault):
            pool.remove(other)
            return other
    return None


def _difference(
    before: Module, found: LocatedSignature, after: Module, other: LocatedSignature | None
) -> Remark | None:
    name, where = name_of(found), found.place.start
    if other is None:
        return Remark("breaks-signature", f"the {name} would be lost", where)
    coverages = list(_coverages(found))
    if not coverages:
        return Remark("not-rechecked", f"whether the {name} still holds is not known", where)
    changed = [c.id for c in coverages if _digest(before, c, found) not in (None, _digest(after, c, other))]
    if not changed:
        return None
    return Remark(
        "breaks-signature", f"the {name} would no longer match (coverage {', '.join(changed)})", where
    )


def _coverages(found: LocatedSignature) -> Iterator[Coverage]:
    """What this signature may sign, each coverage once; trailers always sign everything before them."""
    seen: set[str] = set()
    pairs: Iterable[Coverage] = [pair.coverage for f in found.claimants for pair in f.pairs]
    if found.place.kind == "trailer":
        pairs = [*pairs, WholeFile()]
    for coverage in pairs:
        if coverage.id not in seen:
            seen.add(coverage.id)
            yield coverage


def _digest(module: Module, coverage: Coverage, found: LocatedSignature) -> bytes | None:
    """A digest of the message, None where it cannot be computed (so no signature can be over it)."""
    try:
        return digest_of(module.message(coverage, found.image, found.place))
    except ParseError:
        return None


def digest_of(message: Message) -> bytes:
    """SHA-256 over a message's stream, to compare it with another."""
    return checks.digest_of(message, "sha256")
