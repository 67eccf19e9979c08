"""The module records of a survey as columns of small numbers: 100 000 modules fit into a page of 5 MB."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from elfsig.cli.render.vendor import said
from elfsig.kernels.names import release_of
from elfsig.verbs.vendor.relation import finding_of

Json = dict[str, Any]

INTERNED = (
    "verdict", "folder", "file", "outer", "layers", "format", "hash", "signer", "release", "compression",
    "reason", "kernel", "vendor",
)  # fmt: skip
"""Columns of texts; the page gets each text once, and numbers."""


class Group(NamedTuple):
    """One row of a table over all modules: a text, in how many modules, and with which verdicts."""

    number: int
    text: str
    modules: int
    verdicts: Counter[str]


class Columns:
    """Collects module records, column by column. A text that many records share is stored once."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self.strings: list[str] = []
        self.columns: dict[str, list[int]] = {name: [] for name in INTERNED}
        self.sizes: list[int] = []
        self.sha256: list[str] = []
        self.created: dict[int, tuple[str, str]] = {}
        self.fingerprints: dict[int, str] = {}
        self.maps: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self.sizes)

    def add(self, record: Json) -> None:
        """Append one module record."""
        decisive = next((each for each in record["signatures"] if each["effective"]), None)
        folder, slash, name = record["path"].rpartition("/")
        outer = record["path"].partition("!/")[0]
        values = {
            "verdict": record["verdict"] or "unreadable",
            "folder": folder + slash,
            "file": name,
            "outer": outer,
            "layers": " > ".join(map(layer_words, record.get("chain", ())[:-1])),
            "format": (decisive or {}).get("format") or "",
            "hash": _algorithm(decisive),
            "signer": signer_words(decisive),
            "release": release_of(record.get("vermagic")) or "",
            "compression": record["compression"] or "",
            "reason": _reason(record, decisive),
            "kernel": _kernel(record.get("kernel")),
            "vendor": said(finding_of(record)),
        }
        for column in INTERNED:
            self.columns[column].append(self.number(values[column]))
        self.sizes.append(record["size"] or 0)
        self.sha256.append(record["sha256"] or "")
        if decisive is not None:
            self._about_signer(self.columns["signer"][-1], decisive)

    def number(self, text: str) -> int:
        """The number of a text, the same for equal texts."""
        if text not in self._numbers:
            self._numbers[text] = len(self.strings)
            self.strings.append(text)
        return self._numbers[text]

    def _about_signer(self, signer: int, decisive: Json) -> None:
        """When the signer's signatures were made, by their own word, and the key's fingerprint."""
        if decisive["key"] is not None:
            self.fingerprints[signer] = decisive["key"]["fingerprint"]
        when = decisive["created"]
        if when:
            first, last = self.created.get(signer, (when, when))
            self.created[signer] = min(first, when), max(last, when)

    def groups(self, column: str) -> list[Group]:
        """How often each text occurs in a column, the most frequent first."""
        found: dict[int, Counter[str]] = {}
        verdicts = self.columns["verdict"]
        for number, verdict in zip(self.columns[column], verdicts, strict=True):
            found.setdefault(number, Counter())[self.strings[verdict]] += 1
        rows = (Group(n, self.strings[n], sum(c.values()), c) for n, c in found.items())
        return sorted(rows, key=lambda each: (-each.modules, each.text))

    def data(self) -> Json:
        """What the page's script reads."""
        return {
            "strings": self.strings,
            "columns": self.columns,
            "sizes": self.sizes,
            "sha256": self.sha256,
            "maps": {str(row): each for row, each in self.maps.items()},
        }


def layer_words(layer: Json) -> str:
    """One element of a record's ``chain`` for people."""
    size = None if layer.get("size") is None else f"{layer['size']} bytes"
    offset = None if layer.get("offset") is None else f"at {layer['offset']:#x}"
    digest = None if layer.get("sha256") is None else f"SHA-256 {layer['sha256']}"
    facts = ", ".join(each for each in (size, offset, digest) if each)
    name = " ".join(each for each in (layer["kind"], layer.get("name")) if each)
    return f"{name} ({facts})" if facts else name


def signer_words(decisive: Json | None) -> str:
    """The key that decides a verdict, else who the signature says made it; "" without a signature."""
    if decisive is None:
        return ""
    key = decisive["key"]
    if key is not None:
        return f"{key['name']} ({key['fingerprint'][:16]})"
    named = decisive["serial"] or decisive["key_id"]
    return f"says: {decisive['signer'] or 'unnamed'}" + (f" ({named[:16]})" if named else "")


def _algorithm(decisive: Json | None) -> str:
    if decisive is None:
        return ""
    size = decisive["curve"] or decisive["key_bits"] or ""
    names = (decisive["algorithm"], str(size), decisive["hash"])
    return "-".join(each for each in names if each)


def _reason(record: Json, decisive: Json | None) -> str:
    texts: Iterable[str | None] = (
        (record["error"] or {}).get("text"),
        (decisive or {}).get("reason"),
        *(each["text"] for each in (decisive or {}).get("warnings", ())),
        *(each["text"] for each in record["warnings"]),
    )
    return "; ".join(dict.fromkeys(each for each in texts if each))


def _kernel(answer: Json | None) -> str:
    if not answer:
        return ""
    return "loads" if answer.get("accepted") else "refuses"
