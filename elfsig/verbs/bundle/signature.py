"""The files and checks of one signature: what was signed, by which key, and what must come out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

from elfsig.crypto.checks import Unsupported
from elfsig.crypto.hashes import HASHES
from elfsig.crypto.judge import OTHER_ID
from elfsig.envelopes.cms.values import certificate_value
from elfsig.errors import ParseError
from elfsig.lazy_dataclass import dataclass
from elfsig.model import (
    Key,
    Keyring,
    Message,
    Pair,
    Signature,
    SignatureReport,
    SignedValue,
    Verdict,
    optional,
)
from elfsig.opened.module import Module
from elfsig.opened.places import LocatedSignature
from elfsig.verbs.bundle.checks import Want
from elfsig.verbs.bundle.entry import Entry
from elfsig.verbs.bundle.keys import KeyFolder, public_files
from elfsig.verbs.bundle.ranges import ranges
from elfsig.verbs.bundle.values import add_values, openssl_name

MAX_KEYS = 64
"""Keys that are tried again on a signature that none of them made; with more, that is not confirmed."""

GOOD = frozenset({Verdict.VALID, Verdict.UNTRUSTED})
CLAIMS_NOTHING = frozenset({Verdict.UNSUPPORTED, Verdict.NOT_A_SIGNATURE, Verdict.UNCHECKED})
"""Verdicts that say that nothing was established."""

OTHER_CONTENT = "message-digest"
"""The cause of a mismatch that can be seen without a key: the signed digest is not that of the content."""


Stream = tuple[Pair, str, Message]
"""A stream in the bundle: the pair that it belongs to, the name of its file, and what it was made from."""


class _Tool(NamedTuple):
    """A general tool: the kinds of facts that a signature matches, and that it can be read; and the file of a
    key that it takes."""

    checks: str
    reads: str
    key_file: str


_TOOLS: Mapping[optional.Tool, _Tool] = {
    "gpgv": _Tool("gpgv", "gpgvread", "ring.gpg"),
    "cms": _Tool("cms", "cmsread", "certificate.pem"),
}


@dataclass(frozen=True, slots=True)
class Bundled:
    """The keys of a bundle: ``ring`` as it verifies, ``folders`` by fingerprint."""

    ring: Keyring
    folders: Mapping[str, KeyFolder]

    def path(self, key: Key, file: str = "key.pem") -> str | None:
        """The file of a key in the bundle; None for a key that is not one of the key sources."""
        folder = self.folders.get(key.fingerprint)
        return f"{folder.name}/{file}" if folder is not None and file in folder.files else None


class SignatureEntry:
    """Adds one signature to the entry of its module.

    ``source`` is the file of the bundle in which the signature is, ``module`` what that file holds. The names
    of the signature's files start with ``stem``.
    """

    entry: Entry
    module: Module
    source: str
    stem: str
    keys: Bundled
    blob: str | None
    alone: bool

    def __init__(self, entry: Entry, module: Module, source: str, stem: str, keys: Bundled) -> None:
        self.entry, self.module, self.source, self.stem, self.keys = entry, module, source, stem, keys

    def add(self, found: LocatedSignature | None, sig: SignatureReport, alone: bool) -> None:
        """``found`` is where the signature is, None where that is only remains; ``alone``: it is the only one
        in its blob."""
        self._blob(sig)
        self.alone = alone
        if sig.verdict in CLAIMS_NOTHING:
            self._streams(found, sig)
            self.entry.say("none", sig.verdict.value)
        elif sig.place.fault is not None or found is None:
            self._remains(sig)
        elif sig.claims is None:
            self._unreadable(found, sig)
        else:
            self._judged(found, sig, sig.claims)

    # ------------------------------------------------------------------ what is there

    def _blob(self, sig: SignatureReport) -> None:
        """The signature's bytes, and that the module has them there."""
        place = sig.place
        self.blob = self.entry.small(self.stem, ".blob", place.blob) if place.blob else None
        end = place.blob_start + len(place.blob)
        if self.blob is not None and self.module.content[place.blob_start : end] == place.blob:
            self.entry.say("copy", self.blob, self.source, place.blob_start, len(place.blob))

    def _streams(self, found: LocatedSignature | None, sig: SignatureReport) -> list[Stream]:
        """(pair, name of the file, message) for each coverage that the signature has or may have."""
        made: list[Stream] = []
        names: dict[str, str] = {}
        for pair in _pairs(found, sig):
            assert found is not None, "there are no pairs without a place"
            try:
                message = self.module.message(pair.coverage, found.image, found.place)
            except ParseError:
                continue
            name = names.get(pair.coverage.id)
            if name is None:
                name = names[pair.coverage.id] = self._stream(pair.coverage.id, message)
            made.append((pair, name, message))
        return made

    def _stream(self, coverage: str, message: Message) -> str:
        """The stream, and how it is made from the file; several signers of one blob share it."""
        known = self.entry.streams.get(id(message))
        if known is None:
            known = self.entry.streams[id(message)] = message, self._new_stream(coverage, message)
        return known[1]

    def _new_stream(self, coverage: str, message: Message) -> str:
        plain = re.fullmatch("[a-z0-9-]{1,30}", coverage)
        stem = f"{self.stem}-{plain[0] if plain else 'coverage'}"
        name = self.entry.add(f"{stem}.stream", message.chunks())
        listed = ranges(message)
        text = self.entry.add(f"{stem}.ranges", [listed.text])
        made = self.entry.add(f"{stem}.made", [listed.made]) if listed.made else "-"
        self.entry.say("ranges", name, self.source, text, made)
        return name

    # ------------------------------------------------------------------ remains, and what cannot be parsed

    def _remains(self, sig: SignatureReport) -> None:
        """The mark of a trailer is there, and no whole trailer is at the end."""
        place, entry = sig.place, self.entry
        marks = [m for c in self.module.registry.carriers for m in optional.marks(c)]
        for text in dict.fromkeys(mark.text.rstrip(b"\n") for mark in marks):
            at = self.module.content.find(text, place.start, place.end)
            if at >= 0:
                entry.fact(entry.group(), "yes", "remains", self.source, at, len(text), text.hex())
                return
        self._no_trailer()

    def _no_trailer(self) -> None:
        group = self.entry.group
        for carrier in self.module.registry.trailers:
            for mark in optional.marks(carrier):
                self.entry.fact(group(), "yes", "absent", self.source, mark.text.hex(), "end")

    def _unreadable(self, found: LocatedSignature, sig: SignatureReport) -> None:
        """General tools cannot read it either."""
        tools = {optional.tool(pair.envelope) for pair in _pairs(found, sig)}
        self._streams(found, sig)
        said = False
        for tool in sorted(each for each in tools if each is not None):
            if self.blob is not None:
                self.entry.fact(self.entry.group(), "unread", _TOOLS[tool].reads, self.blob)
                said = True
        if not said:
            self.entry.say("open", "no-tool-reads-it")

    # ------------------------------------------------------------------ what a key decides

    def _judged(self, found: LocatedSignature, sig: SignatureReport, claims: Signature) -> None:
        streams = self._streams(found, sig)
        before = len(self.entry.checks)
        if sig.verdict is Verdict.INVALID and sig.cause is not None and sig.cause.code == OTHER_CONTENT:
            self._other_content(sig, claims, streams)
        else:
            for key in self._keys(sig, claims):
                self._by_key(key, sig, claims, streams)
            self._proof(sig, claims, streams)
            if sig.verdict in GOOD:
                self._chain(sig)
        if sig.verdict is Verdict.UNKNOWN_KEY and len(self.entry.checks) == before:
            self._no_such_key(claims)
        if not any(line[0] in ("fact", "open") for line in self.entry.checks[before:]):
            self.entry.say("open", "no-tool-checks-it" if streams else "no-stream-can-be-made")

    def _keys(self, sig: SignatureReport, claims: Signature) -> Sequence[Key]:
        """The keys whose answer confirms the verdict."""
        if sig.key is not None:
            return (sig.key,) if sig.key.public is not None else ()  # the root of a proof is not a key
        if sig.verdict is Verdict.UNKNOWN_KEY:
            every = {key.fingerprint: key for key in self.keys.ring.keys if key.public is not None}
            fitting = [key for key in every.values() if _is_kind(key, claims)]
            if len(fitting) > MAX_KEYS:
                self.entry.say("open", "many-keys")
                return ()
            return fitting
        named, tried = self.keys.ring.candidates(claims.key_ids)
        return [key for key in (*named, *tried)[:MAX_KEYS] if key.public is not None]

    def _by_key(self, key: Key, sig: SignatureReport, claims: Signature, streams: Sequence[Stream]) -> None:
        """One group of facts for each stream: does the value, by ``key``, match it?"""
        path, want = self._key_file(key), _want(sig)
        for pair, name, message in streams:
            try:
                values = list(optional.signed_values(pair.envelope, claims, message, key))
            except Unsupported:
                continue
            group_before = len(self.entry.checks)
            for file in add_values(self.entry, self.stem, name, values, path, want):
                self._value_in_blob(file)
            if sig.verdict is not Verdict.UNKNOWN_KEY or len(self.entry.checks) == group_before:
                facts = [f for f in self.entry.checks[group_before:] if f[0] == "fact" and f[3] != "digest"]
                group = int(facts[0][1]) if facts else self.entry.group()
                self._by_tool(pair, key, name, want, group)

    def _by_tool(self, pair: Pair, key: Key, stream: str, want: Want, group: int) -> None:
        """The general tool that reads the blob as it is: a further way to establish what ``group`` does."""
        name = optional.tool(pair.envelope)
        if name is None or self.blob is None or not self.alone:
            return
        tool = _TOOLS[name]
        given = self.keys.path(key, tool.key_file)
        if given is None and self.keys.path(key) is None:
            given = self._embedded(key).get(tool.key_file)
        if given is None:
            return
        self.entry.fact(group, want, tool.checks, self.blob, stream, given)

    def _value_in_blob(self, name: str) -> None:
        """That the value is part of the blob, where it is stored in it as it is."""
        data = b"".join(next(each.chunks for each in self.entry.files if each.name == name))
        blob = next((each.chunks[0] for each in self.entry.files if each.name == self.blob), b"")
        at = bytes(blob).find(data) if data else -1
        line = ("copy", name, str(self.blob), str(at), str(len(data)))
        if at >= 0 and line not in self.entry.checks:
            self.entry.checks.append(line)

    def _other_content(self, sig: SignatureReport, claims: Signature, streams: Sequence[Stream]) -> None:
        """The digest in the signed attributes is not that of the stream."""
        for pair, name, message in streams:
            group = self.entry.group()
            for value in optional.signed_values(pair.envelope, claims, message, sig.key):
                if value.statement is not None and value.digest_hash is not None:
                    self._digest_differs(group, value, name)
            if sig.key is not None:
                self._by_tool(pair, sig.key, name, "no", group)

    def _digest_differs(self, group: int, value: SignedValue, stream: str) -> None:
        file = self.entry.small(self.stem, ".statement", value.statement or b"")
        row = HASHES[value.digest_hash or ""]
        name = openssl_name(row.name)
        self.entry.fact(group, "no", "digest", name, stream, file, value.digest_at, row.size)

    def _proof(self, sig: SignatureReport, claims: Signature, streams: Sequence[Stream]) -> None:
        """For a proof without a key: that it leads to the root that elfsig found."""
        for pair, name, message in streams:
            steps = optional.hash_steps(pair.envelope, claims)
            if not steps:
                continue
            first, *further = steps
            state = sha256(first.before)
            message.feed(state)
            state.update(first.after)
            for step in further:
                state = sha256(step.before + state.digest() + step.after)
            lines = "".join(f"{s.before.hex() or '-'} {s.after.hex() or '-'}\n" for s in steps)
            file = self.entry.small(self.stem, ".steps", lines.encode("ascii"))
            self.entry.fact(self.entry.group(), "yes", "steps", name, file, state.hexdigest())

    def _chain(self, sig: SignatureReport) -> None:
        """Each certificate from the signer's up to the anchor is signed by the next key."""
        if sig.key is None or sig.anchor is None or sig.key.fingerprint == sig.anchor.fingerprint:
            return
        links = [sig.key, *sig.chain]
        for lower, upper in zip(links, [*links[1:], sig.anchor], strict=True):
            value = certificate_value(lower.certificate.der, upper) if lower.certificate else None
            if value is None or value.statement is None:
                self.entry.say("open", "certificate-not-checked")
                continue
            signed = self.entry.small(self.stem, ".tbs", value.statement)
            plain = value._replace(statement=None)
            add_values(self.entry, self.stem, signed, [plain], self._key_file(upper), "yes")

    def _no_such_key(self, claims: Signature) -> None:
        """None of the keys is of the signature's algorithm."""
        kind = _kind(claims)
        if kind is not None and re.fullmatch("[a-z0-9]+", kind):
            self.entry.fact(self.entry.group(), "no", "nokey", kind)

    def _key_file(self, key: Key) -> str:
        return self.keys.path(key) or self._embedded(key)["key.pem"]

    def _embedded(self, key: Key) -> dict[str, str]:
        """The files of a key that is not in the key sources but in the signature."""
        return {
            file: self.entry.small(f"{self.stem}-signer", f"-{file}".replace("-key", ""), data)
            for file, data in public_files(key).items()
        }


def _want(sig: SignatureReport) -> Want:
    if sig.verdict is Verdict.MALFORMED:
        return "unread"
    by_another_id = sig.cause is not None and sig.cause.code == OTHER_ID
    return "yes" if sig.verdict in GOOD or by_another_id else "no"


def _kind(claims: Signature) -> str | None:
    return "rsa" if claims.algorithm == "rsa-pss" else claims.algorithm


def _is_kind(key: Key, claims: Signature) -> bool:
    return key.algorithm in (_kind(claims), claims.algorithm)


def _pairs(found: LocatedSignature | None, sig: SignatureReport) -> Iterator[Pair]:
    """The pairs of the signature's format that may have made it: that of its coverage, where it is known."""
    format_ = next((each for each in found.claimants if each.id == sig.format), None) if found else None
    for pair in format_.pairs if format_ is not None else ():
        same = sig.claims is None or pair.envelope.id == sig.claims.envelope
        if same and sig.coverage in (None, pair.coverage.id):
            yield pair
