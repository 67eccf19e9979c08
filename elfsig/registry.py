"""The formats that exist: the built-in ones in probing order, then those of third parties.

Third parties declare an entry point in the group ``elfsig.formats`` that names a Format object or a
sequence of them. A plug-in that cannot be loaded is recorded and shown; it is not fatal.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, lru_cache, partial
from importlib.machinery import PathFinder
from types import MappingProxyType
from typing import Any

from elfsig.elf.image import Image
from elfsig.errors import ElfsigError, InternalError, UsageError
from elfsig.lazy_dataclass import dataclass
from elfsig.lazy_tuple import NamedTuple
from elfsig.model import Carrier, Envelope, Format, Place, optional

ENTRY_POINT_GROUP = "elfsig.formats"

_OWN = frozenset({"elfsig", "elfsig_formats"})
"""Packages whose parts are built in."""


@dataclass(frozen=True, slots=True)
class PluginFailure:
    """A third-party format that could not be used: its entry point, and the reason."""

    name: str
    reason: str


def _parts(format_: Format) -> Iterable[object]:
    """The carriers, coverages and envelopes of a format."""
    pairs = (part for pair in format_.pairs for part in (pair.coverage, pair.envelope))
    return (format_.carrier, *format_.also, *pairs)


class Registry:
    """An ordered set of formats; ids and aliases are unique.

    ``plugins`` are the names of plug-ins, by the Python modules that their entry points name. A third-party
    part that belongs to none of them is named by its own module.
    """

    def __init__(
        self,
        formats: Sequence[Format],
        failures: Sequence[PluginFailure] = (),
        plugins: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.formats: tuple[Format, ...] = tuple(formats)
        self.failures: tuple[PluginFailure, ...] = tuple(failures)
        self.plugins: MappingProxyType[str, str] = MappingProxyType(dict(plugins))
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
        return Registry, (self.formats, self.failures, dict(self.plugins))

    def get(self, name: str) -> Format:
        """The format of this id or alias. Raises UsageError that lists the choices."""
        found = self._names.get(name)
        if found is None:
            named = [f.id for f in self.formats if name in {c.short_name for c in (f.carrier, *f.also)}]
            why = "choose from " + ", ".join(f.id for f in self.formats)
            if named:
                why = f"this is the name of a section, not of a format: choose {' or '.join(named)}"
            raise UsageError(f"unknown format {name!r}: {why}", code="unknown-format")
        return found

    def changed(self, change: Callable[[Format], Format]) -> Registry:
        """A copy of the registry with ``change`` applied to every format; ids are kept."""
        return Registry([change(f) for f in self.formats], self.failures, self.plugins)

    def plugin_of(self, module: str) -> str | None:
        """The plug-in that the Python module of this name belongs to; None if it belongs to no plug-in."""
        while module and module not in self._plugin_modules:
            module = module.rpartition(".")[0]
        return self._plugin_modules.get(module)

    @cached_property
    def _plugin_modules(self) -> Mapping[str, str]:
        modules = {type(part).__module__ for f in self.formats for part in _parts(f)}
        foreign = {name: name for name in modules if name.partition(".")[0] not in _OWN}
        return {**foreign, **self.plugins}

    def blame(self, part: Carrier | Format, bug: Exception) -> None:
        """Raise InternalError for an exception of ``part``, if that is a plug-in's and the exception is
        not one that elfsig raises on purpose."""
        if isinstance(bug, ElfsigError):
            return
        parts = _parts(part) if isinstance(part, Format) else (part,)
        plugin = next((name for p in parts if (name := self.plugin_of(type(p).__module__))), None)
        if plugin is not None:
            text = f"plug-in {plugin}: {type(bug).__name__}: {bug}"
            raise InternalError(text, code="plug-in-error") from bug

    @cached_property
    def carriers(self) -> tuple[Carrier, ...]:
        """Every carrier once, in probing order."""
        return tuple({c.id: c for f in self.formats for c in (f.carrier, *f.also)}.values())

    def carrier(self, place: Place) -> Carrier:
        """The carrier that found ``place``."""
        return next(c for c in self.carriers if c.id == place.carrier)

    def in_elf(self, place: Place) -> bool:
        """Whether ``place`` is part of the ELF structure, which trailers cover."""
        return any(carrier.id == place.carrier for carrier in self.sections)

    def claimants(self, place: Place) -> tuple[Format, ...]:
        """The formats that claim ``place``, in probing order."""
        return tuple(f for f in self._by_carrier.get(place.carrier, ()) if f.selects(place.params))

    @cached_property
    def _by_carrier(self) -> dict[str, tuple[Format, ...]]:
        return {
            c.id: tuple(f for f in self.formats if c.id in (f.carrier.id, *(a.id for a in f.also)))
            for c in self.carriers
        }

    @cached_property
    def names(self) -> dict[str, str]:
        """The name of each carrier in listings, by its id."""
        return {c.id: c.short_name for c in self.carriers}

    @cached_property
    def envelopes(self) -> dict[str, Envelope]:
        """Every envelope by its id."""
        return {pair.envelope.id: pair.envelope for f in reversed(self.formats) for pair in f.pairs}

    @cached_property
    def modinfo_names(self) -> dict[str, str]:
        """modinfo's name of each envelope, by its id."""
        return {name: optional.modinfo_name(each) for name, each in self.envelopes.items()}

    @cached_property
    def trailers(self) -> tuple[Carrier, ...]:
        """The carriers after the ELF image, in probing order."""
        return tuple(c for c in self.carriers if c.kind == "trailer" and not optional.in_elf(c))

    @cached_property
    def sections(self) -> tuple[Carrier, ...]:
        """The carriers inside the ELF structure, in probing order."""
        return tuple(c for c in self.carriers if optional.in_elf(c))

    def sections_of(self, image: Image) -> tuple[Carrier, ...]:
        """Those of :attr:`sections` with a mark among the section names of ``image``: usually none."""
        table = image.elf
        return self.sections_among(table.names if table else b"")

    def sections_among(self, names: bytes) -> tuple[Carrier, ...]:
        """Like :meth:`sections_of`, given the section name table."""
        for text in self._section_texts:
            if text in names:
                break
        else:
            return self._unmarked_sections
        return tuple(c for c, texts in self._section_marks if not texts or any(t in names for t in texts))

    @cached_property
    def _section_marks(self) -> tuple[tuple[Carrier, tuple[bytes, ...]], ...]:
        return tuple((c, tuple(mark.text for mark in optional.marks(c))) for c in self.sections)

    @cached_property
    def _unmarked_sections(self) -> tuple[Carrier, ...]:
        return tuple(c for c, texts in self._section_marks if not texts)

    @cached_property
    def _section_texts(self) -> tuple[bytes, ...]:
        return tuple(dict.fromkeys(text for _, texts in self._section_marks for text in texts))

    @cached_property
    def may_end(self) -> tuple[Callable[[bytes], bool], ...]:
        """:func:`elfsig.model.optional.may_end` of each carrier of :attr:`trailers`."""
        return tuple(partial(optional.may_end, carrier) for carrier in self.trailers)

    @cached_property
    def trailer_texts(self) -> tuple[bytes, ...]:
        """The marks of these formats' trailers, without trailing newline, each once."""
        texts = (mark.text.removesuffix(b"\n") for c in self.trailers for mark in optional.marks(c))
        return tuple(dict.fromkeys(texts))


def _declared() -> bool:
    """Whether an installed distribution may declare a format: a look at the ``entry_points.txt`` files.

    importlib.metadata alone takes longer to import than all that ``list`` needs, so it is used only
    if there is something to find, or if distributions may be stored other than in directories.
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


class _Plugin(NamedTuple):
    """An entry point, the module it names, and what was loaded or why it could not be."""

    name: str
    module: str
    loaded: object | Exception


def _plugins() -> Iterable[_Plugin]:
    """The entry points that installed distributions declare."""
    if not _declared():
        return
    from importlib.metadata import entry_points

    for point in entry_points(group=ENTRY_POINT_GROUP):
        label = f"{point.name} ({point.value})"
        try:
            yield _Plugin(label, point.module, point.load())
        except Exception as reason:  # a foreign module may raise anything while it is imported
            yield _Plugin(label, point.module, reason)


def _checked(loaded: object, taken: Iterable[str]) -> list[Format]:
    """The formats in the object a plug-in names. Raises ValueError for other objects and for taken ids."""
    formats: list[Format] = []
    names = set(taken)
    for each in loaded if isinstance(loaded, (list, tuple)) else (loaded,):
        if not isinstance(each, Format):
            raise ValueError(f"{each!r} is not an elfsig.model.Format")
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
    names: dict[str, str] = {}
    for name, module, loaded in _plugins() if plugins else ():
        try:
            if isinstance(loaded, Exception):
                raise loaded
            formats += _checked(loaded, (known for f in formats for known in (f.id, *f.aliases)))
            names[module] = name
        except Exception as reason:  # listed, never fatal: see the module docstring
            failures.append(PluginFailure(name, f"{type(reason).__name__}: {reason}"))
    return Registry(formats, failures, names)
