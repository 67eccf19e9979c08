"""Results of an audit as plain values: for the ledger, and out of processes that are not trusted."""

from __future__ import annotations

from typing import Any

from elfsig.model import Loss, Verdict
from elfsig.verbs.audit.audit import Audited, Excused, FileState, SignerRow
from elfsig.verbs.audit.rules import RULES, Fault


def values_of(each: Audited) -> tuple[Any, ...]:
    """The result as values that JSON has."""
    return (each.path, None if each.verdict is None else each.verdict.value, *each[2:])


def audited_of(values: Any) -> Audited:
    """The result from the values of :func:`values_of`."""
    path, verdict, signer, faults, state, host, release, excused, losses = values
    return Audited(
        path,
        None if verdict is None else Verdict(verdict),
        SignerRow(*signer),
        tuple(Fault(*each) for each in faults),
        None if state is None else FileState(*state),
        host,
        release,
        tuple(Excused(*each) for each in excused),
        tuple(Loss(*each) for each in losses),
    )


def checked(values: Any) -> Audited:
    """The same from a process that a hostile file may have taken over. Raises ValueError for values that are
    not those of a result."""
    try:
        found = audited_of(values)
    except (TypeError, ValueError):
        raise ValueError("not a result") from None
    texts = [found.path, *found.signer, *(text for each in found.faults for text in each[:3])]
    texts += [text for each in found.excused for text in (each.rule, each.reason, each.expires)]
    texts += [text for each in found.losses for text in each[:3]]
    perhaps = (found.host, found.release, *(each.host for each in found.faults))
    offsets = [*(each.offset for each in found.faults), *(each.offset for each in found.losses)]
    sound = (
        all(isinstance(each, str) for each in texts)
        and all(each is None or isinstance(each, str) for each in perhaps)
        and all(each.rule in RULES and isinstance(each.fold, str) for each in found.faults)
        and all(offset is None or type(offset) is int for offset in offsets)
        and all(type(each.number) is int for each in found.excused)
        and (found.state is None or _is_state(found.state))
    )
    if not sound:
        raise ValueError("not a result")
    return found


def _is_state(state: FileState) -> bool:
    size, *rest = state
    return type(size) is int and all(each is None or isinstance(each, str) for each in rest)
