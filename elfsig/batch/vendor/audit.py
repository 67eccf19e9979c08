"""The comparison with a vendor's modules as a check of an audit."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from typing import Any

from elfsig.batch.survey.run import Outermost
from elfsig.batch.vendor.modules import COMPARED, HELD_BACK, Looked, Vendor
from elfsig.kernels.names import module_name
from elfsig.lazy_dataclass import replace
from elfsig.model.json_form import readable
from elfsig.verbs.audit.audit import Audited
from elfsig.verbs.audit.rules import Fault
from elfsig.verbs.vendor.faults import faults, source_fault
from elfsig.verbs.vendor.relation import (
    GOOD,
    KnownModule,
    SignedBy,
    VendorFinding,
    whereabouts,
)


class AgainstVendor:
    """Compares the modules of a tree with the vendor's. ``named`` are the paths that the audit was given: a
    module that was named itself does not stand for all modules of its kernel."""

    needs_hashes = True

    def __init__(self, vendor: Vendor, named: Collection[str]) -> None:
        self._vendor, self._named = vendor, frozenset(named)
        self._held: list[tuple[str, Looked]] = []
        self._odd: dict[str, VendorFinding] = {}

    def add(self, each: Audited) -> None:
        """Take in the result for a module."""
        looked = self._looked_up(each)
        if looked is None:
            self._vendor.own_complete = False
        elif looked.finding.relation in COMPARED:
            self._held.append((each.path, looked))
            if len(self._held) >= HELD_BACK:
                self._compare()
        elif looked.finding.relation not in GOOD or looked.finding.moved:
            self._odd[each.path] = replace(looked.finding, path=each.path)

    def _looked_up(self, each: Audited) -> Looked | None:
        if each.state is None:
            return None
        real = os.path.realpath(each.path)
        own = Outermost(real, None if each.path in self._named else os.path.dirname(real))
        return self._vendor.look_up(_known(each, real), own, each.state.size)

    def _compare(self) -> None:
        found = self._vendor.compared([looked for _, looked in self._held])
        for path, looked in self._held:
            self._odd[path] = replace(found[looked.finding.path], path=path)
        self._held.clear()

    def faults(self) -> Iterator[Fault]:
        """What differs, and what is missing."""
        self._compare()
        yield from (fault for each in self._vendor.sources if (fault := source_fault(each)) is not None)
        for finding in self._odd.values():
            yield from faults(finding)
        for finding in self._vendor.missing():
            yield from faults(finding)

    def member(self, each: Audited) -> dict[str, Any] | None:
        """The member ``vendor`` of a file, once all faults were asked for; None where it was not compared."""
        finding = self._odd.get(each.path)
        if finding is None:
            looked = self._looked_up(each)
            finding = None if looked is None else looked.finding
        return None if finding is None else finding.to_json()


def _known(each: Audited, real: str) -> KnownModule:
    """What is compared of a module; its place is that of the path under which the audit found it."""
    state, row = each.state, each.signer
    assert state is not None, "the caller has looked"
    release, place = whereabouts(os.path.abspath(each.path), state.vermagic)
    by = SignedBy(row.format or None, row.signer or None, row.key_id or None)
    name, signed = state.name or module_name(each.path), state.signatures_sha256
    return KnownModule(
        readable(real), release, place, name, state.vermagic, state.sha256, state.content_sha256,
        state.compression, signed, by if signed is not None else None,
    )  # fmt: skip
