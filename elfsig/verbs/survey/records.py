"""The records of a survey: modules, containers, kernel images; each with the way to it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, NoReturn, TypeAlias

from elfsig.containers.nested import Step
from elfsig.lazy_dataclass import dataclass
from elfsig.model import FileReport, Key, Place, Remark
from elfsig.model.brief import brief
from elfsig.model.json_form import SCHEMA_VERSION, file_object, path_members, plain, readable, remark_object

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer on the way to a record: in a container of ``kind``, the member ``name``.

    The first is the outermost file: ``kind`` is "file", ``name`` its path. ``offset`` and ``size`` are those
    of the content in its container, in bytes, None where they are not known. ``sha256`` is that of a layer
    that was read whole, in hex, else None: its offset and size in the layer before it identify it.
    """

    kind: str
    name: str
    offset: int | None = None
    size: int | None = None
    sha256: str | None = None

    def to_json(self) -> Json:
        """An entry of ``chain``; a name that is not UTF-8 has its bytes in ``name_hex``."""
        named = {("name" + key.removeprefix("path")): value for key, value in path_members(self.name).items()}
        return {
            "kind": self.kind, **named, "offset": self.offset, "size": self.size, "sha256": self.sha256,
        }  # fmt: skip


def signatures_sha256(places: Iterable[Place]) -> str | None:
    """SHA-256 over the bytes of all signatures, wherever they are: equal for equal signatures. In hex.

    Each distinct one is hashed with its length before it (8 bytes, little-endian), in the order of their
    bytes. None without a signature.
    """
    blobs = sorted({place.blob for place in places})
    if not blobs:
        return None
    return sha256(b"".join(len(each).to_bytes(8, "little") + each for each in blobs)).hexdigest()


@dataclass(frozen=True, slots=True)
class ModuleRecord:
    """One module: its report, as of :func:`elfsig.verify`, and where it was found.

    ``name`` and ``vermagic`` are the module's own words, None where it has none. ``notes`` are facts that its
    container keeps about it, such as ``security.ima``. ``unloadable`` says why no kernel would load it,
    whatever its signature: it has no symbol table (``stripped``), or kernels cannot decompress it
    (``compression``). ``source`` is the directory that was given and led to it, None for a file
    that was named.
    """

    path: str
    chain: tuple[Layer, ...]
    report: FileReport
    name: str | None
    vermagic: str | None
    notes: Mapping[str, object]
    unloadable: tuple[Remark, ...] = ()
    source: str | None = None

    def __repr__(self) -> str:
        return brief(self)

    def __hash__(self) -> int:
        return hash((self.path, self.chain, self.report))

    def __bool__(self) -> NoReturn:
        raise TypeError("a record has no truth value: look at its report")

    def to_json(self) -> Json:
        """Everything that ``elfsig verify --json`` says of a file, and the members of a record."""
        return {
            **file_object(self.report),
            **_members("module", self.path, self.chain),
            "signatures_sha256": signatures_sha256(each.place for each in self.report.signatures),
            "vendor": None,
            "name": None if self.name is None else readable(self.name),
            "vermagic": None if self.vermagic is None else readable(self.vermagic),
            "notes": {name: plain(value) for name, value in sorted(self.notes.items())},
            "unloadable": [remark_object(each) for each in self.unloadable],
            "source": None if self.source is None else readable(self.source),
        }


@dataclass(frozen=True, slots=True)
class ContainerRecord:
    """One container, or an outermost file that is none: how far it was read.

    ``kind`` is the container's id, "file" for a file that could not be opened or recognised. ``members`` are
    its own, ``modules`` those in it and in containers inside it. ``error`` says why it was not read to
    its end; None where it was.
    """

    path: str
    chain: tuple[Layer, ...]
    kind: str
    members: int
    modules: int
    error: Remark | None = None

    def __repr__(self) -> str:
        return brief(self)

    def __bool__(self) -> NoReturn:
        raise TypeError("a record has no truth value: look at complete")

    @property
    def complete(self) -> bool:
        """Whether it was read to its end."""
        return self.error is None

    def to_json(self) -> Json:
        """The record as plain JSON values."""
        return {
            "schema_version": SCHEMA_VERSION,
            **_members("container", self.path, self.chain),
            "kind": self.kind,
            "members": self.members,
            "modules": self.modules,
            "size": self.chain[-1].size,
            "sha256": self.chain[-1].sha256,
            "complete": self.complete,
            "error": None if self.error is None else remark_object(self.error),
        }


@dataclass(frozen=True, slots=True)
class KernelRecord:
    """One kernel image: its release, and the keys compiled into it.

    ``release`` is None where its banner was not found. ``error`` says why it has no readable keys.
    """

    path: str
    chain: tuple[Layer, ...]
    size: int | None
    sha256: str | None
    release: str | None = None
    keys: tuple[Key, ...] = ()
    error: Remark | None = None

    def __repr__(self) -> str:
        return brief(self)

    def __bool__(self) -> NoReturn:
        raise TypeError("a record has no truth value: look at its keys")

    def to_json(self) -> Json:
        """The record as plain JSON values."""
        return {
            "schema_version": SCHEMA_VERSION,
            **_members("kernel", self.path, self.chain),
            "size": self.size,
            "sha256": self.sha256,
            "release": self.release,
            "keys": [each.to_json() for each in self.keys],
            "error": None if self.error is None else remark_object(self.error),
        }


SurveyRecord: TypeAlias = ModuleRecord | ContainerRecord | KernelRecord


def _members(record: str, path: str, chain: Sequence[Layer]) -> Json:
    return {"record": record, **path_members(path), "chain": [each.to_json() for each in chain]}


def layers_of(chain: Sequence[Step], digests: Mapping[int, str | None]) -> tuple[Layer, ...]:
    """The layers of a chain; ``digests`` are known SHA-256 by the number of the layer."""
    return tuple(
        Layer(step.kind, os.fsdecode(step.name), step.offset, step.size, digests.get(number))
        for number, step in enumerate(chain)
    )


class ModuleCounts:
    """How many modules were found in each container, those in containers inside it included."""

    def __init__(self) -> None:
        self._found: Counter[tuple[Step, ...]] = Counter()

    def add(self, chain: tuple[Step, ...]) -> None:
        """Count a module at ``chain`` in everything that contains it."""
        for end in range(1, len(chain)):
            self._found[chain[:end]] += 1

    def take(self, chain: tuple[Step, ...]) -> int:
        """The number for the container at ``chain``, which is complete."""
        return self._found.pop(chain, 0)
