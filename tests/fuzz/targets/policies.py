"""Policies in TOML, records of surveys judged by them, and records compared with a vendor's."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from itertools import islice
from typing import Any

from elfsig.batch.parts.manifest import MANIFEST, QUESTION, close, problems
from elfsig.batch.parts.receipt import PartCounts, PartReceipt
from elfsig.batch.parts.store import Folder
from elfsig.batch.policy.context import Contexts, Settings
from elfsig.batch.policy.records import RecordAuditor, RecordFile, audited_records
from elfsig.batch.policy.sources import Sources
from elfsig.batch.survey.tables import read_records, table_writer
from elfsig.errors import ElfsigError
from elfsig.trust.ring import Ring
from elfsig.verbs.policy.judge import Excuses, rule_for
from elfsig.verbs.policy.lines import key_lines
from elfsig.verbs.policy.pattern import PatternError, name_pattern, pattern
from elfsig.verbs.policy.place import Position, position
from elfsig.verbs.policy.read import PolicyError, read_policy
from elfsig.verbs.policy.records import judged, record_path
from elfsig.verbs.policy.verdict import KnownKeys
from elfsig.verbs.survey.shapes import is_record
from elfsig.verbs.vendor.relation import closest, known
from tests.fuzz import judges, seeds
from tests.fuzz.mutate.plain import plain
from tests.fuzz.mutate.text import text
from tests.fuzz.target import Broken, Limits, Target
from tests.fuzz.targets.records import _records, _reported
from tests.fuzz.targets.texts import folder

TOML = b"""version = 1
# what may be loaded
[[rule]]
path = ["kernel/**", "updates/*.ko"]
host = "web-*"
release = ["6.1.*"]
trust = ["certs/{host}.pem", "SHA256:%s", "{kernel}"]
formats = "pkcs7"
hashes = ["sha256", "sha512"]
min-key-bits = { rsa = 2048, ecdsa = 256 }
signer = { name = "Debian", serial = "0a:0b" }
kernel = "6.1"
mode = ["enforce", "lockdown"]
ignore = ["misnamed"]

[[rule]]
path = "**"
trust = 'certs'

[[exception]]
name = "nvidia"
sha256 = "%s"
rules = ["unsigned"]
reason = \"\"\"until the vendor
signs it\"\"\"
expires = 2030-01-31
""" % (b"ab" * 32, b"cd" * 32)
POLICY = read_policy(TOML, "policy.toml", seeds.REGISTRY)
NO_FILES = read_policy(
    b'version = 1\n[[rule]]\npath = "**"\ntrust = "{kernel}"\n', "kernel.toml", seeds.REGISTRY
)
TODAY = date(2026, 1, 1)
KEYS = KnownKeys(frozenset(key.fingerprint for key in judges.ring().keys))
PATHS = ("/lib/modules/6.1.0-1/kernel/fs/fat/vfat.ko", "a.deb!/x.ko", "updates/dkms/nvidia.ko.xz", "")


def toml(data: bytes) -> None:
    """Any file as a policy. What tomllib reads, the scanner of lines reads, too; every mistake has a line."""
    try:
        policy = read_policy(data, "policy.toml", seeds.REGISTRY)
    except PolicyError as reason:
        lines = data.count(b"\n") + 1
        if not reason.mistakes or any(not 0 <= each.line <= lines for each in reason.mistakes):
            raise Broken("lines", f"{reason.mistakes!r} in {lines} lines") from reason
        _scanned(data)
        return
    for path in PATHS:
        rule_for(policy, position(path))


def _scanned(data: bytes) -> None:
    try:
        source = data.decode("utf-8-sig")
        document = tomllib.loads(source)
    except (ValueError, RecursionError):
        return
    found = key_lines(source)
    if missing := [key for key in document if (key,) not in found]:
        raise Broken("lines", f"no line for {missing!r}")


def patterns(data: bytes) -> None:
    """A pattern and a path, one a line: any pattern can be compared with any path."""
    first, _, path = data.decode("utf-8", "surrogateescape").partition("\n")
    with suppress(PatternError):
        pattern(first).matches(path)
    with suppress(PatternError):
        name_pattern(first).match(path)


def judgement(data: bytes) -> None:
    """A file of records, judged by a policy: what matches no key is never without a fault."""
    path = folder() / "records.jsonl"
    path.write_bytes(data)
    for record in RecordFile(str(path)):
        if record["record"] != "module":
            continue
        where = position(record_path(record))
        for rule in POLICY.rules:
            found = judged(record, rule, KEYS, frozenset())
            if not _matches(record) and not found.faults:
                raise Broken("no-fault", f"{record['verdict']} by {rule.text} has no fault")
        rule_for(POLICY, where)


def _matches(record: Any) -> bool:
    """Whether the file, or a signer beside the one that decided, matches some key."""
    words = [record.get("verdict"), *(each.get("verdict") for each in record["signatures"])]
    return words[0] != "invalid" and not {"valid", "untrusted"}.isdisjoint(words)


class _Fixed(Contexts):
    """The keys of every rule are those of the corpus."""

    def ring(self, number: int, where: Position, without_kernel: bool = False) -> Ring:
        return judges.ring()


def audited(data: bytes) -> None:
    """A file of records, audited: each module has a result, and what matches no key has a fault in it,
    unless an exception excuses it."""
    path = folder() / "records.jsonl"
    path.write_bytes(data)
    records = RecordFile(str(path))
    excuses = Excuses(POLICY, TODAY)
    auditor = RecordAuditor(POLICY, excuses, _Fixed(NO_FILES, Settings(seeds.REGISTRY), Sources()), {})
    modules = [each for each in records if each["record"] == "module"]
    found = list(audited_records(records, auditor, "web-1"))
    if len(found) < len(modules):
        raise Broken("results", f"{len(found)} results for {len(modules)} modules")
    for record in modules:
        one = auditor(record, None)
        if not _matches(record) and not one.faults and not one.excused:
            raise Broken("no-fault", f"{record.get('verdict')} has no fault: {one!r}")


def vendor(data: bytes) -> None:
    """Records as modules of a vendor: each is the same as itself."""
    found = [each for each in islice(_reported(data), 4) if is_record(each)]
    modules = [known(each) for each in found if each["record"] == "module"]
    there = [each for each in modules if each is not None]
    for each in there:
        finding = closest(each, there)
        if finding is None or finding.relation.value != "same":
            raise Broken("relation", f"{each!r}: {finding!r}")
        json.dumps(finding.to_json())


def parquet(data: bytes) -> None:
    """A file of Parquet, damaged: there are rows that JSON can hold, or there is an error."""
    path = folder() / "records.parquet"
    path.write_bytes(data)
    for record in read_records(str(path)):
        is_record(json.loads(json.dumps(record)))


def parts(data: bytes) -> None:
    """The files of a survey in parts, changed: what is wrong is told, and the rest adds up."""
    place = folder() / "parts"
    place.mkdir(exist_ok=True)
    names = (QUESTION, "part-00000-of-00002.receipt.json", "part-00001-of-00002.receipt.json", MANIFEST)
    given = [*data.split(b"\n")[:4], *[b""] * 4]
    for name, part in zip(names, given, strict=False):
        (place / name).write_bytes(part)
    store = Folder(str(place))
    list(islice(problems(store), 100))
    with suppress(ElfsigError):
        close(store, 2, "0" * 64)
    with suppress(ElfsigError):
        found = PartReceipt.parse(data.split(b"\n")[1])
        if PartReceipt.from_json(found.to_json()) != found or (found.counts + found.counts).modules < 0:
            raise Broken("receipt", repr(found))


def _parts() -> list[bytes]:
    counts = PartCounts({"valid": 2, "unsigned": 1}, 1, 4, 1)
    receipts = [PartReceipt(part, 2, "jsonl", counts, 10, "ab" * 32, "0" * 64).to_json() for part in (0, 1)]
    question = {
        "record": "question",
        "run": "x",
        "question": "0" * 64,
        "asked": {"parts": 2, "form": "jsonl"},
    }
    whole = [question, *receipts, {"record": "manifest", "parts": 2}]
    return [b"\n".join(json.dumps(each).encode() for each in whole), json.dumps(question).encode() + b"\n"]


def _tables() -> Iterator[bytes]:
    path = folder() / "made.parquet"
    try:
        with table_writer(str(path)) as add:
            for data in _records():
                add(json.loads(data))
    except ElfsigError:  # without the extra
        return
    yield path.read_bytes()


def _judged() -> Iterator[bytes]:
    every = list(_records())
    yield from every
    yield b"\n".join(every)
    yield b'{"records": [' + b",".join(every) + b"]}"


NAMES = "path host release trust keys formats hashes min-key-bits signer kernel mode ignore"
MORE = "name sha256 rules reason expires version"
SYNTAX = (
    b"[[rule]]\n",
    b"[[exception]]\n",
    b'"""',
    b"'''",
    b"{ ",
    b"\\u0000",
    b"1979-05-27T07:32:00Z",
    b"inf",
    b"a.b.c",
)
WORDS = (*(f"{each} = ".encode() for each in f"{NAMES} {MORE}".split()), *SYNTAX)
PATTERNS = [b"kernel/**/x-[!a]*.ko\nkernel/fs/x-b.ko", b"vfat\nvfat.ko", b"[]a]\n]"]
COSTS = Limits(0.4, 80e-6)

PROMISED = (ElfsigError,)

TARGETS = (
    Target("policies/toml", "policies", toml, lambda: [TOML], text, WORDS, PROMISED, limits=COSTS),
    Target("policies/pattern", "patterns", patterns, lambda: PATTERNS, text, (b"**", b"[!"), (), 2048),
    Target("policies/records", "records judged", judgement, _judged, text, (), PROMISED, limits=COSTS),
    Target("policies/audited", "records audited", audited, _judged, text, (), PROMISED, limits=COSTS),
    Target("policies/parts", "surveys in parts", parts, _parts, text, (), PROMISED, limits=COSTS),
    Target("policies/vendor", "records of a vendor", vendor, _judged, text, (), PROMISED, limits=COSTS),
    Target(
        "policies/parquet",
        "records in Parquet",
        parquet,
        _tables,
        plain,
        (b"PAR1",),
        PROMISED,
        1 << 15,
        COSTS,
    ),
)
