"""Audit by a policy of the records of a survey, read from a file: JSON lines, a JSON document, or Parquet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from os import SEEK_END
from tempfile import SpooledTemporaryFile
from typing import IO, Any, Final, TypeGuard

from elfsig.batch.policy.context import Contexts
from elfsig.batch.policy.sources import PLACES, Recent
from elfsig.batch.survey.tables import MAGIC, is_table, read_records
from elfsig.errors import ElfsigError, ParseError, UsageError
from elfsig.model.json_form import SCHEMA_VERSION
from elfsig.model.json_values import loads
from elfsig.opened.source import read_error
from elfsig.trust.ring import Ring
from elfsig.verbs.audit.audit import UNLOADABLE, Audited, SignerRow, incomplete
from elfsig.verbs.policy.judge import Excuses, no_rule, rule_for
from elfsig.verbs.policy.model import Policy
from elfsig.verbs.policy.place import Position, built_for, joined, position
from elfsig.verbs.policy.records import judged, record_path
from elfsig.verbs.policy.verdict import KnownKeys, is_sound
from elfsig.verbs.survey.shapes import is_record

STDIN: Final = "-"
MAX_LINE: Final = 64 << 20
"""Maximum length of a line of JSON, in bytes."""

MAX_DOCUMENT: Final = 256 << 20
"""Maximum size of a JSON document, in bytes, which is read whole; lines may be any number."""

MAX_KERNELS: Final = 10_000
"""Maximum number of kernel images among the records."""

_SPOOLED: Final = 1 << 24

Record = Mapping[str, Any]


class RecordFile:
    """A file of records, which is read twice: to check that it fits, and to judge the modules.

    ``kernels`` are the kernel images among the records: by their paths, the fingerprints of the keys compiled
    in. Raises UsageError for a file that has something else in it, ReadError.
    """

    source: str
    kernels: Mapping[str, frozenset[str]]

    def __init__(self, source: str, stdin: IO[bytes] | None = None) -> None:
        self.source = source
        self._spool = None if source != STDIN or stdin is None else _spooled(stdin)
        kernels: dict[str, frozenset[str]] = {}
        count = 0
        for record in self._records():
            count += 1
            if record["record"] == "kernel" and (keys := _compiled_in(record)):
                if len(kernels) >= MAX_KERNELS:
                    raise self._unfit(f"more than {MAX_KERNELS} kernel images")
                kernels[record_path(record)] = keys
        if not count:
            raise self._unfit("it has no records")
        self.kernels = kernels

    def __iter__(self) -> Iterator[Record]:
        """All records, in their order."""
        return self._records()

    def _unfit(self, text: str) -> UsageError:
        return UsageError(f"{self.source}: {text}", code="records")

    def _records(self) -> Iterator[Record]:
        try:
            if self._spool is not None:
                self._spool.seek(0)
                yield from self._of_json(self._spool)
                return
            with open(self.source, "rb") as file:
                try:
                    head = file.read(len(MAGIC))
                    file.seek(0)
                    if is_table(head):
                        yield from self._checked(read_records(self.source))
                    else:
                        yield from self._of_json(file)
                except OSError as reason:
                    raise self._unfit(str(read_error(reason, file.fileno()))) from None
        except OSError as reason:
            raise self._unfit(f"{read_error(reason).text}") from None
        except ParseError as reason:
            raise self._unfit(f"{reason.text}") from None

    def _of_json(self, file: IO[bytes]) -> Iterator[Record]:
        first = file.readline(MAX_LINE + 1)
        value = _parsed(first)
        if isinstance(value, dict) and "record" in value:
            file.seek(0)
            yield from self._checked(self._lines(file), "line")
            return
        if file.seek(0, SEEK_END) > MAX_DOCUMENT:
            text = f"a JSON document of more than {MAX_DOCUMENT} bytes; JSON lines may have any size"
            raise self._unfit(text)
        file.seek(0)
        document = _parsed(file.read())  # read(n) would take n bytes of memory, however small the file is
        records = document.get("records") if isinstance(document, dict) else None
        if not isinstance(records, list):
            raise self._unfit("neither records of a survey nor a document of them")
        yield from self._checked(iter(records))

    def _lines(self, file: IO[bytes]) -> Iterator[Any]:
        while line := file.readline(MAX_LINE + 1):
            if len(line) > MAX_LINE:
                raise self._unfit(f"a line of more than {MAX_LINE} bytes")
            yield _parsed(line) if line.strip() else None

    def _checked(self, found: Iterator[Any], what: str = "record") -> Iterator[Record]:
        for number, each in enumerate(found, 1):
            if each is None and what == "line":
                continue
            if isinstance(each, dict) and each.get("schema_version", SCHEMA_VERSION) != SCHEMA_VERSION:
                text = f"of schema_version {each['schema_version']!r:.20}, and only {SCHEMA_VERSION} is known"
                raise self._unfit(f"{what} {number} is {text}")
            if not _is_sound(each):
                raise self._unfit(f"{what} {number} is not a record of a survey")
            yield each


def _file() -> IO[bytes]:
    return SpooledTemporaryFile(_SPOOLED, prefix="elfsig-records-")


def _spooled(stream: IO[bytes]) -> IO[bytes]:
    """Everything in a stream, in memory or on disk."""
    spool = _file()
    while piece := stream.read(1 << 20):
        spool.write(piece)
    return spool


def _parsed(data: bytes) -> Any:
    """The JSON value; an empty list, which is not a record, for anything else."""
    try:
        return loads(data)
    except (ValueError, RecursionError):
        return []


def _is_sound(value: Any) -> TypeGuard[Record]:
    """Whether a value has the shape of a record, with the members that a policy looks at."""
    if not is_record(value):
        return False
    raw, host = value.get("path_hex"), value.get("host")
    if not (host is None or isinstance(host, str)) or not (raw is None or _is_hex(raw)):
        return False
    if value["record"] != "module":
        return True
    source, kept = value.get("source"), [each["key"] for each in value["signatures"] if each["key"]]
    notes = value.get("notes", {})
    return (
        isinstance(notes, dict)
        and (source is None or isinstance(source, str))
        and all(_is_key(each) for each in kept)
        and all(map(is_sound, value["signatures"]))
        and _are_reasons(value.get("unloadable", []))
    )


def _is_key(key: Mapping[str, Any]) -> bool:
    """Whether what is said of a key is text, and its size a number, where they are there."""
    names = ("certificate_sha256", "certificate_sha1", "subject", "serial", "algorithm")
    texts = all(each is None or isinstance(each, str) for each in map(key.get, names))
    return texts and type(key.get("bits", 0)) in (int, type(None))


def _are_reasons(value: object) -> bool:
    """Whether this is a list of reasons why no kernel loads a module."""
    return isinstance(value, list) and all(
        _has_text(each, "text") and each.get("code") in UNLOADABLE and "offset" in each for each in value
    )


def _has_text(value: Any, name: str) -> bool:
    return isinstance(value, dict) and isinstance(value.get(name), str)


def _is_hex(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(bytes.fromhex(value))
    except ValueError:
        return False


def _compiled_in(record: Record) -> frozenset[str]:
    """The fingerprints of the keys that a kernel image holds as its own."""
    keys = (each for each in record["keys"] if each.get("role") == "builtin" and each.get("revoked") is False)
    return frozenset(each["fingerprint"] for each in keys)


# --------------------------------------------------------------------------- judging


class RecordAuditor:
    """Judges records by a policy: the key sources are those on disk, and kernel images among the records."""

    policy: Policy
    excuses: Excuses
    contexts: Contexts
    kernels: Mapping[str, frozenset[str]]

    def __init__(
        self, policy: Policy, excuses: Excuses, contexts: Contexts, kernels: Mapping[str, frozenset[str]]
    ) -> None:
        self.policy, self.excuses, self.contexts, self.kernels = policy, excuses, contexts, kernels
        self._known: Recent[tuple[int, str, str | None, str | None], KnownKeys] = Recent(1024)

    def __call__(self, record: Record, host: str | None) -> Audited:
        """The result for the record of a module; ``host`` is that of records that name none."""
        where = self._position(record, host)
        number = rule_for(self.policy, where)
        if number is None:
            path = record_path(record)
            found = Audited(path, None, SignerRow("", "", "", "", ""), (no_rule(path, self.policy),))
        else:
            rule = self.policy.rules[number]
            key = (number, where.root, where.release, where.host)
            known = self._known.made(key, lambda: self._keys(number, where))
            found = judged(record, rule, known, rule.ignore | self.contexts.settings.ignore)
        return self.excuses.apply(found, where).at(where.host, where.release)

    @staticmethod
    def _position(record: Record, host: str | None) -> Position:
        named, path = record.get("host"), record_path(record)
        where = position(path, _top(record, path), host if named is None else named)
        return built_for(where, record.get("vermagic"))

    def _keys(self, number: int, where: Position) -> KnownKeys:
        """The keys that a rule trusts on one system."""
        own = self._own_kernel(number, where)
        try:
            ring = self.contexts.ring(number, where, without_kernel=own is not None)
        except ElfsigError as fault:
            line = self.policy.rules[number].line
            return KnownKeys(why=f"the keys of the rule in line {line} cannot be read: {fault.text}")
        return _known(ring, own or frozenset())

    def _own_kernel(self, number: int, where: Position) -> frozenset[str] | None:
        """The keys of the kernel image that a rule names, where that is among the records."""
        if where.release is None or "{kernel}" not in self.policy.rules[number].trust:
            return None
        paths = (joined(where.root, place.format(where.release)) for place in PLACES)
        return next((self.kernels[path] for path in paths if path in self.kernels), None)


def _top(record: Record, path: str) -> str | None:
    """The directory that was given and led to a file on disk, None where that is not known.

    ``path`` is that of the record in bytes; ``source`` is only for people, as ``path`` of the record is.
    """
    source, shown = record.get("source"), record["path"]
    if source is None or len(record["chain"]) != 1 or not shown.startswith(f"{source.rstrip('/')}/"):
        return None
    below = shown[len(source.rstrip("/")) + 1 :].count("/") + 1
    return path.rsplit("/", below)[0] or "/"


def _known(ring: Ring, more: frozenset[str]) -> KnownKeys:
    trusted = frozenset(each.fingerprint for each in ring.keys if each.trusted)
    revoked = frozenset(each.fingerprint for each in ring.keys if each.revoked or each.revoked_by)
    return KnownKeys(trusted | more, revoked, bool(ring.revocations))


def audited_records(
    records: RecordFile, auditor: Callable[[Record, str | None], Audited], host: str | None
) -> Iterator[Audited]:
    """The results for all modules among the records, and the faults of containers that are not complete."""
    for record in records:
        if record["record"] == "module":
            yield auditor(record, host)
        elif record["record"] == "container" and not record["complete"]:
            yield _incomplete(record, host)


def _incomplete(record: Record, host: str | None) -> Audited:
    fault = record["error"] or {"text": "not read to its end", "offset": None}
    named = record.get("host")
    result = incomplete(record_path(record), record["kind"], fault["text"], fault["offset"])
    return result.at(host if named is None else named, None)
