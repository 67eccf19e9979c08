"""journal: the report of a run that signs many files; an interrupted run continues from it.

During the run, each file's result is written to ``FILE.partial`` at once, one line each. When the run ends,
all results become one document, ``FILE``, and the lines are removed. A later run that finds either of them
skips a file if its SHA-256 is the recorded one and it has the requested signature.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from hashlib import sha256
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from elfsig.batch.edit import Output
from elfsig.errors import ElfsigError, UsageError, WriteError
from elfsig.model import Key, PacketSigner, Signer, SignOptions
from elfsig.model.json_form import (
    SCHEMA_VERSION,
    Json,
    dumps,
    key_object,
    path_members,
    plain,
    readable,
    remark_object,
    run_record,
    time_text,
)
from elfsig.model.json_values import loads
from elfsig.opened.atomic import open_itself, write_atomic, write_pieces
from elfsig.opened.evidence import read
from elfsig.opened.module import Module
from elfsig.opened.source import system_text
from elfsig.verbs.edit.change import Change, Done
from elfsig.verbs.verify.examine import Question, signatures_at

SUFFIX: Final = ".partial"
START: Final = b'{"asked"'
"""What the lines of a run start with; of a run that was killed at once, there may be less."""

LIMIT: Final = 1 << 28
"""Maximum size of a report that a run continues from, in bytes."""


def asked(format_id: str, signer: Signer | PacketSigner, options: SignOptions, output: Output) -> Json:
    """The request of a run, as plain JSON: results of a run with another request do not count."""
    return {
        "format": format_id,
        "key": _name(signer),
        "options": plain(options._asdict()) | {"kernel": getattr(options.kernel, "id", None)},
        "output": output.directory or output.file or "in place",
    }


def _name(signer: Signer | PacketSigner) -> str:
    """SHA-256 of the certificate or of the public key; of a key in GnuPG, its fingerprint."""
    if not isinstance(signer, Signer):
        return str(plain(getattr(signer, "fingerprint", b"")))
    if signer.certificate is not None:
        return sha256(signer.certificate.der).hexdigest()

    return sha256(signer.public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


class Journal:
    """One run's report. ``again``: only interrupted runs are continued, finished ones do not count.

    ``is_done`` says whether a module has the requested signature: what a report says about a file counts
    only where it has, since anybody may have written the report. Raises UsageError for a ``path`` that
    holds something else; ReadError. ``keys`` are the signer's, with their certificates: the report has them.
    """

    keys: Sequence[Key]

    path: str
    asked: Json
    argv: Sequence[str]

    def __init__(
        self,
        path: str,
        asked: Json,
        argv: Sequence[str] = (),
        *,
        is_done: Callable[[Module], bool],
        keys: Sequence[Key] = (),
        again: bool = False,
    ) -> None:
        self.path, self.asked, self.argv, self._is_done, self.keys = path, asked, argv, is_done, keys
        finished = self._finished()
        earlier = (*([] if again else finished), *self._unfinished())
        self._earlier = {_key(each): each for each in earlier if _is_entry(each)}

    @property
    def partial(self) -> str:
        """The file with the lines of a run, which is removed when it ends: no result is written there."""
        return self.path + SUFFIX

    def known(self, module: Module) -> Change | None:
        """An earlier run's result for this file, where it is still current; else None."""
        earlier = self._earlier.get(_key(path_members(module.path)))
        if earlier is None or earlier.get("after") is None:
            return None
        wanted, target = earlier["after"]["sha256"], earlier.get("target")
        result = module
        if target is not None:
            found = _opened(target, module) if module.sha256 == earlier["before"]["sha256"] else None
            if found is None:
                return None
            result = found
        stands = result.sha256 == wanted and self._is_done(result)
        text = "done by an earlier run, as its report says"
        return Change(None, "unchanged", text, record=earlier, leave=True) if stands else None

    def entry(self, module: Module, change: Change) -> Change:
        """``change`` packed for its file, with its record: the file before and after."""
        before = {"size": module.size, "sha256": module.sha256}
        raw = None
        if change.content is not None:
            direct = change.verbatim or change.suffix
            raw = change.content if direct else module.packed(change.content)
        after = before if raw is None else {"size": len(raw), "sha256": sha256(raw).hexdigest()}
        result = module if change.content is None else module.edited(change.content)
        record = {
            **path_members(module.path),
            "action": change.word,
            "text": change.text,
            "compression": module.compression,
            "before": before,
            "after": after,
            "content_sha256": module.bare_sha256,
            "signature": None if change.suffix else _signature(result),
            "time": time_text(int(time.time())),
        }
        return change._replace(content=raw, verbatim=True, record=record)

    def kept(self, results: Iterable[Done]) -> Iterator[Done]:
        """``results`` unchanged; each is also written as a line, and finally all as the document.

        Raises WriteError where the lines cannot be begun: then nothing was done yet. Where they cannot be
        gone on with, all results are passed on nevertheless, since they are on the disk; the document has
        them all, or cannot be written either, which raises WriteError at the end.
        """
        entries: list[Json] = []
        with _Lines(self.partial, self.asked) as lines:
            for done in results:
                entries.append(_completed(done))
                lines.add(entries[-1])
                yield done
        self._finish(entries)

    def _finish(self, entries: list[Json]) -> None:
        document = {
            "schema_version": SCHEMA_VERSION,
            "run": run_record(self.argv),
            "asked": self.asked,
            "keys": [key_object(each) for each in self.keys],
            "edits": entries,
        }
        write_atomic(self.path, dumps(document).encode("ascii") + b"\n")
        with suppress(OSError):
            os.unlink(self.partial)

    # ------------------------------------------------------------------ earlier results

    def _finished(self) -> list[Json]:
        """The results in the document of an earlier run with the same request."""
        data = _content(self.path)
        if data is None:
            return []
        document = _json(data)
        if not isinstance(document, dict) or not {"asked", "edits"} <= document.keys():
            raise UsageError(f"{self.path}: exists, and is not a sign report", code="report")
        found = document["edits"] if document["asked"] == self.asked else []
        return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []

    def _unfinished(self) -> Iterator[Json]:
        """The results that interrupted runs left: those after the line with the request. The last line of
        a run may be cut off. Raises UsageError for a file that no run left: it would be removed."""
        counts = False
        partial = self.partial
        data = b"" if os.path.islink(partial) else _content(partial) or b""
        head = data.lstrip(b"\n")[: len(START)]
        if os.path.islink(partial) or not START.startswith(head):
            text = f"{partial}: exists, and was not left by an interrupted run: move it away"
            raise UsageError(text, code="report")
        for line in data.split(b"\n"):
            entry = _json(line)
            if isinstance(entry, dict) and "asked" in entry:
                counts = entry["asked"] == self.asked
            elif isinstance(entry, dict) and counts and "path" in entry:
                yield entry


class _Lines:
    """The lines of a run, appended to ``path`` one by one. Raises WriteError where they cannot be begun.

    After one that cannot be written no further one is.
    """

    def __init__(self, path: str, asked: Json) -> None:
        with ExitStack() as opened:
            try:
                self._stream = opened.enter_context(open(path, "ab", buffering=0, opener=open_itself))
                write_pieces(self._stream.fileno(), f"\n{dumps({'asked': asked})}\n".encode("ascii"))
            except OSError as reason:
                text = f"{path}: the report cannot be written: {system_text(reason)}"
                raise WriteError(text, code="report") from None
            opened.pop_all()
        self._whole = True

    def add(self, entry: Json) -> None:
        """Write one line."""
        if self._whole:
            try:
                write_pieces(self._stream.fileno(), dumps(entry).encode("ascii") + b"\n")
            except OSError:
                self._whole = False

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._stream.close()


def _is_entry(entry: Json) -> bool:
    """Whether it has the form of a result: anybody may have written the report."""
    before, after = entry.get("before"), entry.get("after")
    states = all(isinstance(each, dict) and "sha256" in each for each in (before, after))
    target, raw = entry.get("target"), entry.get("path_hex", "")
    return (
        (states or after is None)
        and _is_name(entry.get("path"))
        and isinstance(raw, str)
        and isinstance(target, str | None)
    )


def _is_name(path: object) -> bool:
    """Whether this is a text that a file can be called by: JSON also has halves of characters."""
    try:
        return isinstance(path, str) and bool(os.fsencode(path))
    except UnicodeEncodeError:
        return False


def _key(entry: Mapping[str, Any]) -> str:
    """The key by which a file is found again, whatever bytes its name has."""
    return str(entry.get("path_hex") or os.fsencode(entry["path"]).hex())


def _signature(module: Module) -> Json | None:
    """What the outermost signature of a result says; None where there is none."""
    found = next((each for each in module.places if each.place.fault is None), None)
    if found is None:
        return None
    sig = next(signatures_at(module, found, Question(check=False)))
    claims = sig.claims
    return {
        "format": sig.format,
        "hash": claims.hash if claims else None,
        "algorithm": claims.algorithm if claims else None,
        "signer": readable(claims.signer) if claims and claims.signer else None,
        "serial": claims.serial.hex() if claims and claims.serial else None,
        "key_id": claims.key_id.hex() if claims and claims.key_id else None,
    }


def _completed(done: Done) -> Json:
    """The entry of a file, also of one that could not be read or written."""
    known = done.record if done.record is not None and done.error is None else None
    entry = dict(known) if known is not None else _failed(done)
    if "target" not in entry:
        in_place = done.target in (None, done.path)
        entry["target"] = None if in_place else readable(done.target or "")
    entry["warnings"] = [remark_object(each) for each in done.remarks]
    entry["error"] = remark_object(done.error) if done.error else None
    return entry


def _failed(done: Done) -> Json:
    nothing = dict.fromkeys(
        ("compression", "before", "after", "target", "content_sha256", "signature", "time")
    )
    return {**path_members(done.path), "action": "failed", "text": "", **nothing}


def _content(path: str) -> bytes | None:
    if not os.path.lexists(path):
        return None
    return read(path, limit=LIMIT).content


def _json(data: bytes) -> Any:
    try:
        return loads(data)
    except (ValueError, RecursionError):  # ValueError: not JSON, not UTF-8, or a number of too many digits
        return None


def _opened(path: str, like: Module) -> Module | None:
    """The result of an earlier run; None where it cannot be read."""
    try:
        return Module(read(path), like.registry)
    except ElfsigError:
        return None
