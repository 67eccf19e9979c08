"""Which of the functions that read what elfsig is given a target's seeds run: mutations begin from these."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

from tests.fuzz.runner import all_targets
from tests.fuzz.target import Target
from tests.linear.parsers import parsers, run_by

MOST = 40
"""Seeds of a target that are tried, spread over all it has."""

NOT_FUZZED = {
    "elfsig/batch/parts/store:Bucket.read": "needs a server; Folder.read is fuzzed",
    "elfsig/batch/plain_file:read_ends": "two reads of fixed sizes",
    "elfsig/batch/vendor/modules:Vendor.read": "surveys, which are fuzzed",
    "elfsig/carriers/detached:ModuleArgument.find": "calls argument_place(), which is fuzzed",
    "elfsig/keygen/kinds:kind_of": "of a key that was read",
    "elfsig/opened/evidence:read_inside": "calls resolve(), which is fuzzed",
    "elfsig/opened/inside:read_inside": "calls resolve(), which is fuzzed",
    "elfsig/opened/remote/client:entries": "needs a server",
    "elfsig/opened/remote/stores:entries": "needs a server",
    "elfsig/signers/gpg:parse_key": "splits a text at its first colon",
    "elfsig/signers/pkcs11_module:find_token": "asks a token",
    "elfsig/signers/pkcs11_objects:find_half": "asks a token",
    "elfsig/trust/efi:entries": "raises at what walk() finds, which is fuzzed",
    "elfsig/trust/openpgp:read": "calls read_ring(), which is fuzzed",
    "elfsig/verbs/verify/no_keys:NoKeys.find": "finds nothing, always",
}
"""What no seed runs, and why."""


def _calls(targets: list[Target]) -> Iterator[Callable[[], object]]:
    for target in targets:
        seeds = list(target.seeds())
        for data in seeds[:: -(-len(seeds) // MOST) or 1]:
            yield partial(_tried, target, data)


def _tried(target: Target, data: bytes) -> None:
    with suppress(*target.promised):
        target.run(data)


def missed() -> set[str]:
    """``module:function`` of the parsers that no seed of any target runs."""
    return set(parsers()) - run_by(_calls(all_targets()))
