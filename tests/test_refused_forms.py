"""Which forms of signatures are known to be accepted without a look at the tables of kernels."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product
from types import MappingProxyType
from typing import Any

import pytest

import corpus
from elfsig.kernels.forms import Form, refusal
from elfsig.model import SignatureReport
from elfsig.opened.evidence import read
from elfsig.verbs.verify.examine import examine
from elfsig.verbs.verify.refused_forms import PLAIN_BITS, PLAIN_HASHES, is_plain
from tests.support.opened import opened
from tests.support.signed import WAYS, made, question


def signature(format_id: str, coverage: str) -> SignatureReport:
    """The signature of a module that was signed in this way."""
    bare = read(corpus.content("amd64-6.1.ko")).content
    done = made(bare, format_id, coverage)
    return examine(opened(done.content), question(), done.outside).signatures[0]


@cache
def plain() -> SignatureReport:
    return signature("pkcs7", "whole-file")


def changed(found: SignatureReport, **facts: Any) -> SignatureReport:
    """``found`` with other facts in its claims."""
    assert found.claims is not None
    return replace(
        found, claims=found.claims._replace(facts=MappingProxyType({**found.claims.facts, **facts}))
    )


def is_accepted(found: SignatureReport) -> bool:
    assert found.claims is not None
    return refusal(Form(found.format or "", found.coverage, found.claims, found.key)) is None


@pytest.mark.parametrize(("hash_", "bits"), list(product(sorted(PLAIN_HASHES), sorted(PLAIN_BITS))))
def test_the_tables_accept_every_plain_form(hash_: str, bits: int) -> None:
    found = plain()
    assert found.claims is not None and found.key is not None
    found = replace(found, claims=found.claims._replace(hash=hash_), key=replace(found.key, bits=bits))
    assert is_plain(found)
    assert is_accepted(found)


@pytest.mark.parametrize(
    "facts",
    [
        {"signed_attributes": ("contentType",)},
        {"content_embedded": True},
        {"certificates_damaged": True},
        {"signature_algorithm": "1.2.840.113549.1.1.10"},
        {"signature_algorithm": "1.2.840.113549.1.1.11"},
    ],
    ids=str,
)
def test_what_the_tables_refuse_is_not_plain(facts: dict[str, Any]) -> None:
    found = changed(plain(), **facts)
    assert not is_accepted(found)
    assert not is_plain(found)


@pytest.mark.parametrize(("format_id", "coverage"), WAYS)
def test_every_way_of_signing_is_plain_only_where_the_tables_accept_it(format_id: str, coverage: str) -> None:
    found = signature(format_id, coverage)
    assert is_accepted(found) or not is_plain(found)
