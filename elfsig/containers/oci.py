"""Layers of container images in an archive: what manifests list must be there, whole.

An OCI image layout (image-layout.md, manifest.md of the OCI image specification) keeps everything in files
``blobs/sha256/HEX`` that are named after their content; ``index.json`` lists manifests, and they list layers.
``docker save`` before version 25 has layers by name, listed in ``manifest.json``. An index in a blob may list
manifests of other platforms, which need not be there; nor need blobs without an index beside them, such as
containerd's, which it deletes once they are unpacked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from elfsig.containers.contract import Budget, Member, damaged
from elfsig.containers.names import plain
from elfsig.containers.readers import PIECE
from elfsig.errors import ContainerError

_BLOB = re.compile(rb"(?:(.*)/)?blobs/sha256/([0-9a-f]{64})", re.DOTALL)
_INDEX = re.compile(rb"(?:(.*)/)?(index\.json|manifest\.json)", re.DOTALL)
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
DOCUMENT_LIMIT = 4 << 20
"""Maximum size of a manifest in bytes: registries must take as much, and few take more (OCI distribution
specification, "Pushing Manifests")."""
_KEPT = 1 << 16
"""Names that are remembered of one archive."""
_EMPTY_LAYER = 10240
"""Bytes of an archive without members, which is zeros alone: two blocks, in GNU tar's way twenty."""


class _Listed(NamedTuple):
    """A blob that a manifest lists. ``folder`` is that of the image; ``files``: it must be an archive."""

    name: bytes
    what: str
    folder: bytes
    files: bool


class Layout:
    """What the members of one archive say about each other. ``fault`` is the first contradiction."""

    def __init__(self, budget: Budget) -> None:
        self.fault: ContainerError | None = None
        self._budget = budget
        self._there: dict[bytes, bool] = {}
        self._listed: dict[bytes, _Listed] = {}
        self._images: set[bytes] = set()
        self._optional: dict[bytes, None] = {}
        self._is_full = False

    def begin(self, member: Member) -> None:
        """Look at a member before it is read."""
        if member.kind != "file" or member.reader is None:
            return
        name = plain(member.name)
        if (blob := _BLOB.fullmatch(name)) is not None:
            member.reader.start_hash()
            self._note(name, _is_empty_layer(member))
        index = _INDEX.fullmatch(name)
        found = blob or index
        if found is None or not 0 < (member.size or 0) <= DOCUMENT_LIMIT:
            return
        if member.reader.peek(1) in (b"{", b"["):
            self._read(member.reader.peek(DOCUMENT_LIMIT), found[1] or b"", top=index is not None)

    def end(self, member: Member, *, recognised: bool) -> None:
        """Look at a member after everything in it was read; ``recognised``: it was a container."""
        name = plain(member.name)
        if member.kind == "link" or recognised:
            self._note(name, True)
        blob = _BLOB.fullmatch(name)
        if member.kind != "file" or member.reader is None or blob is None:
            return
        with suppress(ContainerError):  # which its container reports
            while piece := member.reader.take(PIECE):
                self._scan(len(piece))
        if member.reader.sha256 not in (None, blob[2].decode()):
            shown = name.decode("utf-8", "backslashreplace")
            text = f"the content of {shown} has another SHA-256 than its name"
            self.fault = self.fault or damaged(text, member.offset or 0)

    def missing(self) -> ContainerError | None:
        """The fault, or the error for the first blob that is listed and is not there, or cannot be read."""
        if self.fault is not None:
            return self.fault
        for each in self._listed.values():
            if each.folder not in self._images:
                continue
            shown = each.name.decode("utf-8", "backslashreplace")
            if self._is_full:
                text = f"an image of more than {_KEPT} layers, or among as many other files"
                return ContainerError(text, code="over-budget")
            if each.name not in self._there:
                return ContainerError(f"{each.what} {shown} is listed and not there", code="truncated")
            if each.files and not self._there[each.name]:
                text = f"{each.what} {shown} is of no known form, or encrypted"
                return ContainerError(text, code="unsupported")
        return None

    def listed(self) -> Iterator[bytes]:
        """The names of all blobs that are listed, also of those that are while this goes on; manifests of
        other platforms included, which need not be there."""
        seen: set[bytes] = set()
        while more := [name for name in (*self._listed, *self._optional) if name not in seen]:
            seen.update(more)
            yield from more

    def _scan(self, size: int) -> None:
        try:
            self._budget.scan(size)
        except ContainerError as reason:
            self.fault = self.fault or reason
            raise

    def _note(self, name: bytes, readable: bool) -> None:
        """Remember that a file is there, and whether it is a container."""
        if name in self._there or len(self._there) < _KEPT:
            self._there[name] = readable or self._there.get(name, False)
        else:
            self._is_full = True

    def _read(self, text: bytes, folder: bytes, *, top: bool) -> None:
        try:
            document: Any = json.loads(text)
        except (ValueError, RecursionError):
            return
        if isinstance(document, list):
            names = [name for each in document for name in _list(each, "Layers") if isinstance(name, str)]
            stored = [plain(folder + b"/" + name.encode("utf-8", "surrogatepass")) for name in names]
            self._list([_Listed(name, "the layer", folder, True) for name in stored if top])
            self._images.update({folder} if top and names else ())
            return
        if not top:
            self._list(_blobs(document, "layers", "the layer", folder))
            for each in _blobs(document, "manifests", "the manifest", folder)[:_KEPT]:
                self._optional.setdefault(each.name)
        elif manifests := _blobs(document, "manifests", "the manifest", folder):
            self._list([each._replace(files=False) for each in manifests])
            self._images.add(folder)

    def _list(self, listed: list[_Listed]) -> None:
        for each in listed:
            if len(self._listed) < _KEPT:
                self._listed.setdefault(each.name, each)
            else:
                self._is_full = True


def _blobs(document: object, member: str, what: str, folder: bytes) -> list[_Listed]:
    """The blobs in a list of descriptors. Layers of artifacts, such as attestations, need not be archives."""
    found = []
    for each in _list(document, member):
        digest, kind = (
            each.get(name) if isinstance(each, dict) else None for name in ("digest", "mediaType")
        )
        matched = _DIGEST.fullmatch(digest) if isinstance(digest, str) else None
        if matched is not None:
            name = plain(folder + b"/blobs/sha256/" + matched[1].encode())
            found.append(_Listed(name, what, folder, not isinstance(kind, str) or "tar" in kind))
    return found


def _is_empty_layer(member: Member) -> bool:
    assert member.reader is not None, "the caller has looked"
    size = member.size or 0
    return 0 < size <= _EMPTY_LAYER and not any(member.reader.peek(size))


def _list(document: object, member: str) -> list[Any]:
    value = document.get(member) if isinstance(document, dict) else None
    return value if isinstance(value, list) else []
