"""What to do with one file: the result of every editing verb."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from elfsig.errors import EditRefused
from elfsig.model import Remark
from elfsig.opened.module import Module


class Change(NamedTuple):
    """What to do with one file. ``content`` is the new content, decompressed; None: nothing to do.

    ``word`` says what was done (signed, stripped, unchanged), ``text`` the same in a sentence. With
    ``suffix`` the content is not a module but a separate file, named after the module with this suffix
    appended. ``verbatim``: the content is the whole file, not to be compressed. ``beside`` is another file,
    (suffix, bytes), to be written next to the result. ``record`` is the record of the change: plain JSON.
    With ``error`` the file is refused, and nothing is written. ``leave``: the result of an earlier run is
    already in place.
    """

    content: bytes | None
    word: str
    text: str
    remarks: tuple[Remark, ...] = ()
    suffix: str = ""
    verbatim: bool = False
    beside: tuple[str, bytes] | None = None
    record: Mapping[str, Any] | None = None
    error: Remark | None = None
    leave: bool = False


class Done(NamedTuple):
    """What was done with one file. ``word`` is the change's, or "failed" with ``error`` and an exit
    ``code``."""

    path: str
    target: str | None
    word: str
    text: str
    remarks: tuple[Remark, ...] = ()
    error: Remark | None = None
    code: int = 0
    record: Mapping[str, Any] | None = None


def tail_of(module: Module) -> bytes | None:
    """What is left of a file that was signed after it was compressed: the compressed stream alone.

    None where nothing follows the stream. Raises EditRefused where anything other than one whole trailer
    does.
    """
    if module.tail_offset is None:
        return None
    image = module.as_file().image
    for place in (place for carrier in module.registry.trailers for place in carrier.find(image)):
        if place.fault is None and place.start == module.tail_offset:
            return module.raw[: place.start]
    size = module.size - module.tail_offset
    raise EditRefused(
        f"{size} bytes that are not a whole signature follow the compressed stream; an edit would lose them",
        offset=module.tail_offset,
        code="compressed-tail",
    )
