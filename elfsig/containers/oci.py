"""Layers of container images in an archive: what manifests list must be there, whole.

An OCI image layout (image-layout.md, manifest.md of the OCI image specification) keeps everything in files
``blobs/sha256/HEX`` that are named after their content; ``index.json`` lists manifests, and they list layers.
``docker save`` before version 25 has layers by name, listed in ``manifest.json``. An index may list manifests
of other platforms, which need not be there.
"""

from __future__ import annotations

import json
import re
from typing import Any

from elfsig.containers.contract import Member, damaged
from elfsig.containers.names import plain
from elfsig.errors import ContainerError

_BLOB = re.compile(rb"(?:(.*)/)?blobs/sha256/([0-9a-f]{64})", re.DOTALL)
_INDEX = re.compile(rb"(?:(.*)/)?(index\.json|manifest\.json)", re.DOTALL)
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_DOCUMENT_LIMIT = 1 << 20
"""Maximum size of a manifest in bytes, as registries allow several times less."""
_LISTED_LIMIT = 1 << 16


class Layout:
    """What the members of one archive say about each other. ``fault`` is the first contradiction."""

    def __init__(self) -> None:
        self.fault: ContainerError | None = None
        self._there: dict[bytes, bool] = {}
        self._listed: dict[bytes, str] = {}

    def begin(self, member: Member) -> None:
        """Look at a member before it is read."""
        name = plain(member.name)
        if member.kind != "file" or member.reader is None:
            return
        if (blob := _BLOB.fullmatch(name)) is not None:
            member.reader.start_hash()
        index = _INDEX.fullmatch(name)
        found = blob or index
        if found is None or not 0 < (member.size or 0) <= _DOCUMENT_LIMIT:
            return
        head = member.reader.peek(1)
        if head in (b"{", b"["):
            self._read(member.reader.peek(_DOCUMENT_LIMIT), found[1] or b"", top=index is not None)

    def end(self, member: Member, *, recognised: bool) -> None:
        """Look at a member after everything in it was read; ``recognised``: it was a container."""
        name = plain(member.name)
        if member.kind == "link":
            self._there[name] = True
        if member.kind != "file" or member.reader is None:
            return
        self._there[name] = recognised
        blob = _BLOB.fullmatch(name)
        if blob is None:
            return
        member.reader.finish()
        if member.reader.sha256 not in (None, blob[2].decode()):
            text = (
                f"the content of {name.decode('utf-8', 'backslashreplace')} has another SHA-256 than its name"
            )
            self.fault = self.fault or damaged(text, member.offset or 0)

    def missing(self) -> ContainerError | None:
        """The fault, or the error for the first layer that is listed and is not there, or cannot be read."""
        if self.fault is not None:
            return self.fault
        for name, what in self._listed.items():
            shown = name.decode("utf-8", "backslashreplace")
            if name not in self._there:
                return ContainerError(f"{what} {shown} is listed and not there", code="truncated")
            if what == "the layer" and not self._there[name]:
                return ContainerError(f"{what} {shown} is of no known form, or encrypted", code="unsupported")
        return None

    def _read(self, text: bytes, folder: bytes, *, top: bool) -> None:
        try:
            document: Any = json.loads(text)
        except (ValueError, RecursionError):
            return
        if isinstance(document, list):
            names = [name for each in document for name in _list(each, "Layers") if isinstance(name, str)]
            self._list("the layer", [name.encode("utf-8", "surrogatepass") for name in names], folder)
            return
        self._list("the layer", _blobs(document, "layers"), folder)
        if top:
            self._list("the manifest", _blobs(document, "manifests"), folder)

    def _list(self, what: str, names: list[bytes], folder: bytes) -> None:
        for name in names:
            if len(self._listed) < _LISTED_LIMIT:
                self._listed.setdefault(plain(folder + b"/" + name), what)


def _blobs(document: object, member: str) -> list[bytes]:
    """The names of the blobs in a list of descriptors."""
    digests = (each.get("digest") for each in _list(document, member) if isinstance(each, dict))
    found = (_DIGEST.fullmatch(digest) for digest in digests if isinstance(digest, str))
    return [b"blobs/sha256/" + each[1].encode() for each in found if each is not None]


def _list(document: object, member: str) -> list[Any]:
    value = document.get(member) if isinstance(document, dict) else None
    return value if isinstance(value, list) else []
