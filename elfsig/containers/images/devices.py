"""The devices of a volume group or an array that are in other files than the one that is read.

They are looked for in all files that were given: at their start, in their partitions, and in the disks of
images, but not in file systems and archives.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from elfsig.containers.contract import Context
from elfsig.containers.readers import Reader, SeekReader
from elfsig.containers.registry import Containers, load
from elfsig.errors import ContainerError

_DEPTH = 4
"""An image, in it a partition, in that an array, in that a physical volume."""


class Device(NamedTuple):
    """A device: a reader of it, and the place of its file among those that were given."""

    reader: SeekReader
    position: int


def devices(context: Context, kind: str) -> Iterator[Device]:
    """All devices that are containers of ``kind``, in the files given besides the one that is read.

    What cannot be read is left out: the file has a record of its own, which says why. Raises ContainerError,
    over-budget.
    """
    if context.given is None:
        return
    for given, reader in context.given.others():
        inside = Context(context.budget, given=given)
        for found in _devices(reader, inside, kind, load(), _DEPTH):
            yield Device(found, given.position)


def _devices(
    reader: Reader, context: Context, kind: str, containers: Containers, depth: int
) -> Iterator[SeekReader]:
    if not isinstance(reader, SeekReader):
        return
    for container in containers.every(reader):
        if container.id == kind:
            yield reader
        elif container.spans and depth:
            with suppress(ContainerError):
                for member in containers.members(container, reader, context):
                    if member.reader is not None:
                        yield from _devices(member.reader, context, kind, containers, depth - 1)
            context.budget.check_time()
