"""Which files are one image, by their names: E01, E02 and so on, and the extents of a VMDK."""

from __future__ import annotations

import os
import re

from elfsig.containers.images.descriptor import LIMIT, MARK, extents

_NUMBERED = re.compile(r"(.*\.[EeLlSs])([0-9]{2}|[A-Za-z]{2})\Z", re.DOTALL)
"""Names of the files of one image: E01 to E99, then EAA to EZZ."""
_EXTENT = re.compile(r"(.*)-(?:flat|delta|sesparse|[sf][0-9]{3})\.vmdk\Z", re.DOTALL | re.IGNORECASE)
"""Names that VMware and qemu-img give to extents; the descriptor is called like the rest of it."""


def goes_on(first: str, number: int, following: str) -> bool:
    """Whether the image whose first file is ``first`` goes on in ``following``, as its file ``number``."""
    start, found = _NUMBERED.match(first), _NUMBERED.match(following)
    if start is None or found is None or start[1] != found[1] or start[2] != "01":
        return False
    return found[2].upper() == _suffix(number)


def _suffix(number: int) -> str:
    """The last two characters of the name of file ``number``."""
    if number < 100:
        return f"{number:02}"
    tens, ones = divmod(number - 100, 26)
    return f"{chr(ord('A') + tens)}{chr(ord('A') + ones)}" if tens < 26 else ""


def extents_of(path: str) -> tuple[str, ...]:
    """The files beside ``path`` that it names as extents, in order; none if it is not a VMDK descriptor."""
    if not path.lower().endswith(".vmdk") or not os.path.isfile(path):
        return ()
    try:
        with open(path, "rb") as file:
            text = file.read(LIMIT) if file.read(len(MARK)) == MARK else b""
    except OSError:
        return ()
    names = (os.fsdecode(each.name) for each in extents(text))
    inside = (each for each in dict.fromkeys(names) if each and "/" not in each and "\0" not in each)
    return tuple(os.path.join(os.path.dirname(path), each) for each in inside)


def descriptor_of(path: str) -> str | None:
    """The descriptor that names ``path`` as an extent; None without one."""
    found = _EXTENT.match(path)
    descriptor = None if found is None else f"{found[1]}.vmdk"
    return descriptor if descriptor is not None and path in extents_of(descriptor) else None
