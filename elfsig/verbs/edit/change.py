"""What is to become of one file: the result that every editing verb gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from elfsig.errors import EditRefused
from elfsig.model import Remark
from elfsig.opened.module import Module


class Change(NamedTuple):
    """What is to become of one file. ``content`` is the new content, decompressed; None: nothing to do.

    ``word`` says what was done (signed, stripped, unchanged), ``text`` the same in a sentence. With
    ``suffix`` the content is no module but a file of its own, named like the module with this behind it.
    ``verbatim``: the content is the whole file as it is to be, not to be compressed. ``beside`` is a further
    file, (suffix, bytes), that goes next to the result. ``record`` is what is to be kept on it: plain JSON.
    With ``error`` the file is refused, and nothing written. ``leave``: the result is where it belongs, from
    an earlier run.
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
    """What became of one file. ``word`` is the change's, or "failed" with ``error`` and an exit ``code``."""

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

    None where nothing follows the stream. Raises EditRefused where something else than one whole trailer
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
        f"{size} bytes that are no whole signature follow the compressed stream; an edit would lose them",
        offset=module.tail_offset,
        code="compressed-tail",
    )
