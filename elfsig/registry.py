"""The formats that exist: the built-in ones in probing order, then those of third parties.

Third parties declare an entry point in the group ``elfsig.formats`` that names a Format object or a
sequence of them. A plug-in that cannot be loaded is kept as data and shown; it stops nothing.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, lru_cache
from importlib.machinery import PathFinder
from typing import Any

from elfsig.elf.image import Image
from elfsig.errors import UsageError
from elfsig.lazy_dataclass import dataclass
from elfsig.model import Carrier, Envelope, Format, Place, optional

ENTRY_POINT_GROUP = "elfsig.formats"


@dataclass(frozen=True, slots=True)
class PluginFailure:
    """A third-party format that could not be used: its entry point, and the reason."""

    name: str
    reason: str


class Registry:
    """An ordered set of formats; ids and aliases are unique."""

    def __init__(self, formats: Sequence[Format], failures: Sequence[PluginFailure] = ()) -> None:
        self.formats = tuple(formats)
        self.failures = tuple(failures)
        self._names = {name: f for f in self.formats for name in (f.id, *f.aliases)}

    def __repr__(self) -> str:
        return f"<Registry of {len(self.formats)} formats>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Registry):
            return NotImplemented
        return self is other or (self.formats, self.failures) == (other.formats, other.failures)

    def __hash__(self) -> int:
        return hash(tuple(self._names))

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickle and copy: the registry of this process stands for that of another."""
        for plugins in (True, False):
            if self is load(plugins):
                return load, (plugins,)
        return Registry, (self.formats, self.failures)

    def get(self, name: str) -> Format:
        """The format of this id or alias. Raises UsageError that lists the choices."""
        found = self._names.get(name)
        if found is None:
            named = [f.id for f in self.formats if name in {c.short_name for c in (f.carrier, *f.also)}]
            why = "known are " + ", ".join(f.id for f in self.formats)
            if named:
                why = f"this is the name of a section, not of a format: choose {' or '.join(named)}"
            raise UsageError(f"unknown format {name!r}: {why}", code="unknown-format")
        return found

    def changed(self, change: Callable[[Format], Format]) -> Registry:
        """The same registry with every format as ``change`` gives it, ids kept."""
        return Registry([change(f) for f in self.formats], self.failures)

    @cached_property
    def carriers(self) -> tuple[Carrier, ...]:
        """Every carrier once, in probing order."""
        return tuple({c.id: c for f in self.formats for c in (f.carrier, *f.also)}.values())

    def carrier(self, place: Place) -> Carrier:
        """The carrier that found ``place``."""
        return next(c for c in self.carriers if c.id == place.carrier)

    def claimants(self, place: Place) -> tuple[Format, ...]:
        """The formats that call ``place`` theirs, in probing order."""
        return tuple(f for f in self._by_carrier.get(place.carrier, ()) if f.selects(place.params))

    @cached_property
    def _by_carrier(self) -> dict[str, tuple[Format, ...]]:
        return {
            c.id: tuple(f for f in self.formats if c.id in (f.carrier.id, *(a.id for a in f.also)))
            for c in self.carriers
        }

    @cached_property
    def names(self) -> dict[str, str]:
        """What each carrier, by its id, is called in a listing."""
        return {c.id: c.short_name for c in self.carriers}

    @cached_property
    def envelopes(self) -> dict[str, Envelope]:
        """Every envelope by its id."""
        return {pair.envelope.id: pair.envelope for f in reversed(self.formats) for pair in f.pairs}

    @cached_property
    def modinfo_names(self) -> dict[str, str]:
        """What modinfo calls each envelope, by its id."""
        return {name: optional.modinfo_name(each) for name, each in self.envelopes.items()}

    @cached_property
    def trailers(self) -> tuple[Carrier, ...]:
        """The carriers that lie behind the ELF image, in probing order."""
        return tuple(c for c in self.carriers if c.kind == "trailer" and not optional.in_elf(c))

    @cached_property
    def sections(self) -> tuple[Carrier, ...]:
        """The carriers inside the ELF structure, in probing order."""
        return tuple(c for c in self.carriers if optional.in_elf(c))

    def sections_of(self, image: Image) -> tuple[Carrier, ...]:
        """Those of :attr:`sections` of which a mark is among the section names of ``image``: seldom any."""
        table = image.elf
        names = table.names if table else b""
        if self._any_section_mark.search(names) is None:
            return self._unmarked_sections
        return tuple(c for c, texts in self._section_marks if not texts or any(t in names for t in texts))

    @cached_property
    def _section_marks(self) -> tuple[tuple[Carrier, tuple[bytes, ...]], ...]:
        return tuple((c, tuple(mark.text for mark in optional.marks(c))) for c in self.sections)

    @cached_property
    def _unmarked_sections(self) -> tuple[Carrier, ...]:
        return tuple(c for c, texts in self._section_marks if not texts)

    @cached_property
    def _any_section_mark(self) -> re.Pattern[bytes]:
        texts = [re.escape(text) for _, texts in self._section_marks for text in texts]
        return re.compile(b"|".join(texts) or rb"(?!)")

    @cached_property
    def trailer_texts(self) -> tuple[bytes, ...]:
        """What marks the trailers of these formats, without a newline at the end, each once."""
        texts = (mark.text.removesuffix(b"\n") for c in self.trailers for mark in optional.marks(c))
        return tuple(dict.fromkeys(texts))


def _declared() -> bool:
    """Whether an installed distribution may declare a format: a look at the ``entry_points.txt`` files.

    importlib.metadata alone takes longer to import than all that ``list`` needs, so it is asked only
    where there is something to find, or where distributions may lie elsewhere than in directories.
    """
    if any(hasattr(f, "find_distributions") for f in sys.meta_path if f is not PathFinder):
        return True
    for folder in sys.path:
        try:
            names = os.listdir(folder or ".")
        except NotADirectoryError:
            return True
        except OSError:
            continue
        for name in names:
            if name.endswith((".dist-info", ".egg-info", "EGG-INFO")) and _names_group(folder, name):
                return True
    return False


def _names_group(folder: str, name: str) -> bool:
    try:
        with open(os.path.join(folder, name, "entry_points.txt"), "rb") as declarations:
            return ENTRY_POINT_GROUP.encode() in declarations.read()
    except OSError:
        return False


def _plugins() -> Iterable[tuple[str, object | Exception]]:
    """(entry point, what it names or why it could not be loaded)."""
    if not _declared():
        return
    from importlib.metadata import entry_points

    for point in entry_points(group=ENTRY_POINT_GROUP):
        label = f"{point.name} ({point.value})"
        try:
            yield label, point.load()
        except Exception as reason:  # a foreign module may raise anything while it is imported
            yield label, reason


def _checked(loaded: object, taken: Iterable[str]) -> list[Format]:
    """The formats in what a plug-in names. Raises ValueError for what is no format or not new."""
    formats: list[Format] = []
    names = set(taken)
    for each in loaded if isinstance(loaded, (list, tuple)) else (loaded,):
        if not isinstance(each, Format):
            raise ValueError(f"{each!r} is no elfsig.model.Format")
        if clash := names.intersection((each.id, *each.aliases)):
            raise ValueError(f"format id or alias {sorted(clash)[0]!r} is already taken")
        names.update((each.id, *each.aliases))
        formats.append(each)
    return formats


@lru_cache(maxsize=2)
def load(plugins: bool = True) -> Registry:
    """The registry of this process; ``plugins=False`` leaves third-party formats out."""
    from elfsig_formats import BUILTIN

    formats: list[Format] = list(BUILTIN)
    failures: list[PluginFailure] = []
    for label, loaded in _plugins() if plugins else ():
        try:
            if isinstance(loaded, Exception):
                raise loaded
            formats += _checked(loaded, (name for f in formats for name in (f.id, *f.aliases)))
        except Exception as reason:  # listed, never fatal: see the module's text
            failures.append(PluginFailure(label, f"{type(reason).__name__}: {reason}"))
    return Registry(formats, failures)
