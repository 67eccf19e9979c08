"""The policy that an audit of a fleet has where none is given: each host by the keys of its own kernel."""

from __future__ import annotations

from collections.abc import Iterable

from elfsig.verbs.policy.model import ModuleRule, Policy
from elfsig.verbs.policy.pattern import ANY, pattern

OWN_KERNEL = "{kernel}"


def implied_policy(
    trust: Iterable[str] = (),
    keys: Iterable[str] = (),
    hashes: Iterable[str] = (),
    formats: Iterable[str] = (),
    kernel: str | None = None,
    own_kernel: bool = True,
) -> Policy:
    """One rule for all modules. ``own_kernel``: also trust what the kernel of each host and release does."""
    sources = (*((OWN_KERNEL,) if own_kernel else ()), *trust)
    rule = ModuleRule(
        (pattern(ANY),),
        sources,
        tuple(keys),
        formats=frozenset(formats),
        hashes=frozenset(hashes),
        kernel=kernel,
    )
    return Policy("the options", "", (rule,))
