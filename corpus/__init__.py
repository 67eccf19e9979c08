"""The sample modules of elfsig: small objects of our own source, and everything made of them by recipe.

``manifest.json`` names every sample with its provenance and SHA-256. A sample is either *kept* (a file
under ``samples/``, built by ``python -m corpus.build``) or *made* (a recipe over kept ones, see
:mod:`corpus.recipes`). ``README.md`` here says more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
SAMPLES = FOLDER / "samples"
KEYS = FOLDER / "keys"
MANIFEST = FOLDER / "manifest.json"


@dataclass(frozen=True, slots=True)
class Sample:
    """One entry of the manifest.

    ``recipe`` is how it comes to be; ``base`` the sample that it is made of, None for a kept one.
    ``formats`` are the ids of the formats that claim its signatures, from the outside in, None for one
    that no format claims. ``verdict`` is the
    word of ``elfsig verify`` when every certificate of ``keys/`` is vouched for. ``sha256`` is None where
    the bytes depend on a compressor's version.
    """

    name: str
    about: str
    recipe: str
    sha256: str | None
    base: str | None
    formats: tuple[str | None, ...]
    verdict: str
    tags: tuple[str, ...]

    @property
    def kept(self) -> bool:
        return self.base is None

    def data(self) -> bytes:
        """The sample's bytes, read or made."""
        return content(self.name)


@cache
def samples() -> Mapping[str, Sample]:
    """Every sample of the manifest by name."""
    entries = json.loads(MANIFEST.read_text())["samples"]
    return {name: _sample(name, fields) for name, fields in entries.items()}


def _sample(name: str, fields: dict[str, Any]) -> Sample:
    lists = {key: tuple(fields[key]) for key in ("formats", "tags")}
    return Sample(**{**fields, **lists, "name": name})


def select(*tags: str) -> list[Sample]:
    """The samples that bear all of ``tags``. Raises LookupError for a tag that no sample bears."""
    known = {tag for sample in samples().values() for tag in sample.tags}
    if unknown := set(tags) - known:
        raise LookupError(f"no sample is tagged {sorted(unknown)}; known are {sorted(known)}")
    return [sample for sample in samples().values() if set(tags) <= set(sample.tags)]


def certificates() -> list[Path]:
    """The certificates of all throw-away keys."""
    return sorted(KEYS.glob("*.cert.pem"))


@cache
def content(name: str) -> bytes:
    """The bytes of the sample ``name``, read or made by its recipe."""
    sample = samples()[name]
    if sample.base is None:
        return (SAMPLES / name).read_bytes()
    from corpus import recipes

    return recipes.make(sample.recipe, content(sample.base))
