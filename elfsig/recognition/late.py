"""Recognition for modules that most runs never need it in: what it takes is imported when it is used."""

from __future__ import annotations

from elfsig.recognition.kinds import Kind


def recognized(data: bytes, path: str = "") -> Kind | None:
    """What a file is: see :func:`elfsig.recognition.sniff.kind_of`."""
    from elfsig.recognition.sniff import kind_of

    return kind_of(data, path)
