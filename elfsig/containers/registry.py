"""The containers there are: the built-in ones in probing order, then those of third parties.

Third parties declare an entry point in the group ``elfsig.containers`` that names a Container or a sequence
of them. A plug-in that cannot be loaded is recorded; it is not fatal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, lru_cache, partial
from importlib.metadata import entry_points
from itertools import islice

from elfsig.containers.android import ANDROID
from elfsig.containers.apk import APK, APK_V3
from elfsig.containers.ar import AR, THIN
from elfsig.containers.behind import APPIMAGE, SCRIPT
from elfsig.containers.blank import nothing_follows
from elfsig.containers.compressed import COMPRESSED
from elfsig.containers.contract import Container, Context, Member
from elfsig.containers.cpio import CPIO, PADDED
from elfsig.containers.images.declared import ARCHIVES, FAT, IMAGES
from elfsig.containers.partitions import GPT, MBR
from elfsig.containers.pe import PE
from elfsig.containers.readers import Reader, SeekReader, fault_of
from elfsig.containers.rpm import RPM
from elfsig.containers.tar import TAR
from elfsig.containers.uimage import UIMAGE
from elfsig.containers.unread import UNREAD, WITHOUT_FILES
from elfsig.containers.zip import ZIP
from elfsig.errors import ContainerError, ElfsigError
from elfsig.registry import PluginFailure

ENTRY_POINT_GROUP = "elfsig.containers"

BUILTIN: tuple[Container, ...] = (
    AR, THIN, SCRIPT, APPIMAGE, RPM, APK, *COMPRESSED, APK_V3, CPIO, PE, ANDROID, ZIP, TAR,
    UIMAGE, *ARCHIVES, *IMAGES, GPT, *UNREAD, *WITHOUT_FILES, FAT, MBR, PADDED,
)  # fmt: skip

_NUMBERS = (int, type(None))
"""Types of a size; libraries have further ones for integers, which other processes do not know."""

_HEAD = 1 << 17
"""First bytes of a file that say how much of it a container takes."""

_NEAR = 1 << 12
"""Magics up to this offset are looked for first: few files need a look further in."""


class Containers:
    """An ordered set of containers with unique ids; ``plugins`` maps the ids of foreign ones to their
    entry points."""

    def __init__(
        self,
        containers: Sequence[Container],
        failures: Sequence[PluginFailure] = (),
        plugins: dict[str, str] | None = None,
    ) -> None:
        self.containers: tuple[Container, ...] = tuple(containers)
        self.failures: tuple[PluginFailure, ...] = tuple(failures)
        self.plugins: dict[str, str] = dict(plugins or {})

    @cached_property
    def reach(self) -> int:
        """How many first bytes of a file decide which container it is."""
        return max(at + len(magic) for each in self.containers for at, magic in each.magics)

    def find(self, reader: Reader) -> Container | None:
        """The container that ``reader`` is at the start of, by its content; None where it is none.

        Nothing is read: the reader only looks ahead.
        """
        return next(self._matching(reader), None)

    def every(self, reader: Reader, expected: str | None = None) -> tuple[Container, ...]:
        """The same in a member that is ``expected`` to be something, and after it what else may be in use in
        the same place, with one table of partitions at most: see :attr:`Container.place`."""
        matching = self._matching(reader, expected)
        found = list(islice(matching, 1))
        if not found or found[0].place is None:
            return tuple(found)
        tables = found[0].place == "table"
        for each in matching:
            if each.place == "device" or (each.place == "table" and not tables):
                found.append(each)
                tables = tables or each.place == "table"
        return tuple(found)

    def _matching(self, reader: Reader, expected: str | None = None) -> Iterator[Container]:
        head = reader.peek(_NEAR)
        if len(head) == _NEAR < self.reach:
            head = reader.peek(self.reach)
        return (each for each in self.containers if each.within in (None, expected) and _matches(each, head))

    def members(
        self, container: Container, reader: Reader, context: Context, *, alone: bool = False
    ) -> Iterator[Member]:
        """The members of ``container``, each counted; ``alone``: nothing else is in the same place, and what
        follows its extent is an error.

        Raises ContainerError; with the code plug-in-error and the plug-in's name for what a third party's
        container raises though it should not, internal-error for what a built-in one does.
        """
        try:
            after = partial(_end, container, context) if alone and container.extent else None
            for member in container.members(reader, context, after):
                context.budget.count_member()
                yield member if type(member.size) in _NUMBERS else member._replace(size=int(member.size or 0))
        except ContainerError:
            raise
        except Exception as bug:
            if (plugin := self.plugins.get(container.id)) is not None:
                text = f"plug-in {plugin}: {type(bug).__name__}: {bug}"
                raise ContainerError(text, code="plug-in-error", offset=reader.tell()) from bug
            if isinstance(bug, ElfsigError):
                raise
            raise fault_of(bug, reader.tell()) from bug


def _end(container: Container, context: Context, reader: Reader) -> None:
    """Raises ContainerError: trailing-data for more than zeros after the container."""
    if container.extent is not None and isinstance(reader, SeekReader):
        nothing_follows(reader, container.extent(reader.read_at(0, _HEAD)), context.budget)


def _matches(container: Container, head: bytes) -> bool:
    if not any(head.startswith(magic, at) for at, magic in container.magics):
        return False
    return container.probe is None or container.probe(head)


def _checked(loaded: object, taken: Iterable[str]) -> list[Container]:
    """The containers in the object a plug-in names. Raises ValueError for other objects and taken ids."""
    found: list[Container] = []
    ids = set(taken)
    for each in loaded if isinstance(loaded, (list, tuple)) else (loaded,):
        if not isinstance(each, Container):
            raise ValueError(f"{each!r} is not an elfsig.containers.contract.Container")
        if each.id in ids:
            raise ValueError(f"container id {each.id!r} is already taken")
        ids.add(each.id)
        found.append(each)
    return found


@lru_cache(maxsize=2)
def load(plugins: bool = True) -> Containers:
    """The containers of this process; ``plugins=False`` leaves those of third parties out."""
    found: list[Container] = list(BUILTIN)
    failures: list[PluginFailure] = []
    names: dict[str, str] = {}
    for point in entry_points(group=ENTRY_POINT_GROUP) if plugins else ():
        label = f"{point.name} ({point.value})"
        try:
            more = _checked(point.load(), (each.id for each in found))
            found += more
            names.update((each.id, label) for each in more)
        except Exception as reason:  # a foreign module may raise anything; listed, never fatal
            failures.append(PluginFailure(label, f"{type(reason).__name__}: {reason}"))
    return Containers(found, failures, names)
