"""The README of a bundle: what is in it, what was found, and what the verdicts leave open."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from string import Template
from typing import Any, NamedTuple

from elfsig.model import Verdict
from elfsig.verbs.bundle.module import UNREADABLE

Json = Mapping[str, Any]

MAX_LISTED = 100
"""Modules and containers that the README lists one by one; ``index.tsv`` and ``records.jsonl`` have all."""

MEANINGS: Mapping[str, str] = {
    Verdict.VALID: "the signature matches a key that whoever made this bundle vouched for",
    Verdict.UNTRUSTED: "the signature matches a key, for which nobody vouched or which is revoked",
    Verdict.UNKNOWN_KEY: "there is a signature; none of the keys given is the one that it names",
    Verdict.INVALID: "the signature does not match the module",
    Verdict.UNSUPPORTED: "there is something like a signature, which could not be checked",
    Verdict.NOT_A_SIGNATURE: "there is an encrypted digest, which proves nothing even where it is intact",
    Verdict.MALFORMED: "no signature or module can be read from what is there, or kernels refuse its form",
    Verdict.UNSIGNED: "there is no trace of a signature",
    Verdict.UNCHECKED: "there is a signature, and no keys were given to check it with",
    UNREADABLE: "the module could not be read or unpacked",
}


class Facts(NamedTuple):
    """What a bundle's README tells. ``verdicts`` counts places by verdict, ``left_out`` those that were not
    wanted; ``incomplete`` are container records, ``listed`` lines of the index."""

    run: Json
    versions: Mapping[str, str]
    sources: Sequence[Json]
    verdicts: Mapping[str, int]
    left_out: Mapping[str, int]
    modules: int
    containers: int
    incomplete: Sequence[Json]
    incomplete_count: int
    listed: Sequence[str]
    shortened: bool


def readme(facts: Facts, template: str) -> str:
    """The whole text: ``template`` with what was found, what was not read to its end, and how it was made."""
    parts = {
        "incomplete": "".join(_incomplete(facts)),
        "found": "".join(_found(facts)),
        "made": "".join(_made(facts)),
    }
    return Template(template).substitute(parts)


def _incomplete(facts: Facts) -> Iterator[str]:
    if not facts.incomplete_count:
        if facts.containers:
            yield f"Containers: {facts.containers}, each was read to its end.\n\n"
        return
    yield "Not read to the end\n-------------------\n\n"
    yield f"{facts.incomplete_count} of {facts.containers} files and containers were not read to their end.\n"
    yield "They may hold modules that are not in this bundle:\n\n"
    for each in facts.incomplete[:MAX_LISTED]:
        error = each["error"] or {}
        at = "" if error.get("offset") is None else f" at {error['offset']:#x}"
        yield f"  {quoted(each['path'])}: {error.get('code')}{at}: {quoted(error.get('text') or '')}\n"
    if facts.incomplete_count > MAX_LISTED:
        yield f"  and {facts.incomplete_count - MAX_LISTED} more: see records.jsonl\n"
    yield "\n"


def _found(facts: Facts) -> Iterator[str]:
    yield f"Modules: {sum(facts.verdicts.values())}, of which {facts.modules} are different.\n\n"
    for word, meaning in MEANINGS.items():
        if facts.verdicts.get(word):
            yield f"{facts.verdicts[word]:8} {word}: {meaning}\n"
    left_out = ", ".join(f"{count} {word}" for word, count in sorted(facts.left_out.items()))
    if left_out:
        yield f"\nFound, but not in this bundle, since other verdicts were asked for: {left_out}.\n"
    if facts.listed:
        yield "\n"
    yield from (f"  {line}\n" for line in facts.listed[:MAX_LISTED])
    if len(facts.listed) > MAX_LISTED:
        yield f"  and more: the first {MAX_LISTED} are listed here, all are in index.tsv\n"


def _made(facts: Facts) -> Iterator[str]:
    yield "".join(f"{name} {version}\n" for name, version in facts.versions.items())
    if facts.run.get("time"):
        yield f"{facts.run['time']}\n"
    yield "\nKey sources:\n\n" if facts.sources else "\nNo key sources were given.\n"
    for each in facts.sources:
        yield f"  {quoted(each['source'])} ({each['use']}): SHA-256 {each['sha256'] or 'none'}\n"
        yield from (f"    {quoted(file['name'])}: SHA-256 {file['sha256']}\n" for file in each["files"])
    argv = facts.run.get("argv")
    if argv:
        yield "\nCommand line, word by word:\n\n"
        yield from (f"  {quoted(word)}\n" for word in ("elfsig", *argv))
    if facts.shortened:
        yield "\nThis bundle is reproducible: the same command on the same files makes the same bytes.\n"
        yield "It has no times, and no folders of absolute paths.\n"


def quoted(text: str) -> str:
    """``text`` in quotes as JSON writes it, all in ASCII: names may hold anything."""
    return json.dumps(text.encode("utf-8", "backslashreplace").decode("utf-8"))
