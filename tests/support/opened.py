"""Modules for tests: whatever is at hand, opened with the built-in formats unless others are given."""

from __future__ import annotations

from elfsig import registry as registries
from elfsig.elf.image import Image
from elfsig.opened.evidence import Evidence, Source, read
from elfsig.opened.module import Module
from elfsig.registry import Registry


def opened(source: Source | Evidence | Image, registry: Registry | None = None) -> Module:
    """A path, a bytes-like object, a stream, an image or what was read, as a Module."""
    if isinstance(source, Image):
        source = source.bytes()
    evidence = source if isinstance(source, Evidence) else read(source)
    return Module(evidence, registry or registries.load(plugins=False))


def decompressed(content: bytes, registry: Registry | None = None) -> Module:
    """``content`` as it is, even where it begins as a compressed file does."""
    return opened(Evidence("<bytes>", content, content), registry)
