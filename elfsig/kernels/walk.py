"""What the steps of a kernel share: the case that is checked, and what a step may return."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from elfsig.coverages.canonical import FILEORDER, FILEORDER_NOBUILDID, SORTED, SORTED_2012
from elfsig.coverages.textdata import TEXTDATA, TEXTDATA_2003, TEXTDATA_FC2
from elfsig.coverages.whole_file import WholeFile
from elfsig.elf.image import Image
from elfsig.errors import ParseError
from elfsig.kernels.keys import KernelKeys
from elfsig.kernels.profile import Mode, Profile
from elfsig.lazy_tuple import NamedTuple
from elfsig.model import Coverage, Key, Message, Place
from elfsig.opened.module import Module
from elfsig.registry import Registry

WHOLE_FILE = WholeFile()

COVERAGES: Mapping[str, Coverage] = {
    each.id: each
    for each in (
        TEXTDATA, TEXTDATA_FC2, TEXTDATA_2003, FILEORDER, FILEORDER_NOBUILDID, SORTED, SORTED_2012,
        WHOLE_FILE,
    )
}  # fmt: skip
"""Every coverage by its id, those included that only kernels compute."""


class Went(NamedTuple):
    """The step found nothing against the module."""

    text: str


class Stop(NamedTuple):
    """The step ends the walk. ``inner`` is the errno, ``fault`` a stable word for :mod:`.advice`."""

    inner: str
    fault: str
    text: str
    log: tuple[str, ...] = ()


class Accept(NamedTuple):
    """The step ends the walk, and the kernel continues to load the module."""

    text: str
    fault: str = "ok"


class Crash(NamedTuple):
    """The step ends the walk and the machine: an error of the kernel's own."""

    text: str
    log: tuple[str, ...] = ()
    fault: str = "kernel-crash"


Said = Went | Stop | Accept | Crash


@dataclass
class Case:
    """One module on its way through one kernel. Steps leave what later ones need.

    ``argument`` is a signature given beside the file, for the one kernel that read it from there.
    ``native`` is the file as the kernel reads it, where that is not as its header says. ``later`` says why
    the kernel crashes on it once the signature check has let it pass.
    ``found`` is what a family of steps keeps for itself. ``claims`` are words about the signer for people.
    """

    module: Module
    keys: KernelKeys
    profile: Profile
    mode: Mode
    argument: Place | None = None
    native: Image | None = None
    later: str | None = None
    place: Place | None = None
    message: Message | None = None
    key: Key | None = None
    found: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, str] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def image(self) -> Image:
        """The content, with whatever is appended to it."""
        return self.module.image if self.native is None else self.native

    @property
    def registry(self) -> Registry:
        """The formats that are known."""
        return self.module.registry

    @property
    def blob(self) -> bytes:
        """The signature's bytes."""
        return self.place.blob if self.place else b""


class Step(NamedTuple):
    """``name`` as people read it; ``check`` looks at the case."""

    name: str
    check: Callable[[Case], Said]


def compute(case: Case) -> Message | ParseError:
    """The message under the coverage that this kernel computes, up to where its signature begins."""
    place = case.place
    view, coverage = case.image, COVERAGES[case.profile.look.coverage]
    if place is not None and place.kind == "trailer" and coverage is not WHOLE_FILE:
        view = view.cut(place.start)
    try:
        if case.native is not None:
            return coverage.message(view, place)
        return case.module.message(coverage, view, place)
    except ParseError as fault:
        return fault
