"""What tests of containers share: a forward reader, and everything that a walk finds."""

from __future__ import annotations

import os
from contextlib import suppress

from elfsig.containers.contract import Context
from elfsig.containers.names import Step, plain
from elfsig.containers.readers import Reader
from elfsig.containers.walk import ContainerRecord, Found, walk
from elfsig.errors import ContainerError

FILE = (Step("file", b"f"),)


class Records(list[ContainerRecord]):
    """The records of the containers, and what was found in them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Found] = []


def forward(data: bytes, piece: int = 1000) -> Reader:
    """A reader that cannot seek and gets its bytes in small pieces."""
    pieces = iter([data[at : at + piece] for at in range(0, len(data), piece)])
    return Reader(lambda: next(pieces, b""))


def taken(
    data: bytes, context: Context | None = None, reader: Reader | None = None
) -> tuple[dict[str, bytes], Records]:
    """The content of every file found by its path, and the records of the containers."""
    files: dict[str, bytes] = {}
    records = Records()
    for found in walk(reader or forward(data), FILE, context):
        if isinstance(found, ContainerRecord):
            records.append(found)
            continue
        records.found.append(found)
        if found.member.reader is not None:
            with suppress(ContainerError):  # the container's record has it as well
                files[found.path] = found.member.reader.all(1 << 30)
    return files, records


def inside(files: dict[str, bytes]) -> dict[str, bytes]:
    """``files`` by their last names."""
    return {path.rpartition("!/")[2]: content for path, content in files.items()}


def with_links(records: Records, files: dict[str, bytes]) -> dict[str, bytes]:
    """``files`` by their last names, with the hard links to them, which have no content of their own."""
    found = inside(files)
    for each in records.found:
        if each.member.notes.get("hard-link"):
            name, target = (
                os.fsdecode(plain(text or b"")) for text in (each.member.name, each.member.target)
            )
            found[name] = found[target]
    return found
