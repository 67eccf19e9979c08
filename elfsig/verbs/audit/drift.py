"""drift: how the modules of a tree differ from what they were, or from what should be there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from elfsig.kernels.names import SUFFIX
from elfsig.lazy_tuple import NamedTuple
from elfsig.model import Verdict
from elfsig.verbs.audit.audit import Audited, FileState
from elfsig.verbs.audit.baseline import BaselineFile
from elfsig.verbs.audit.matching import moved, pairs
from elfsig.verbs.audit.rules import Fault


class Seen(NamedTuple):
    """What is kept of a module that was examined."""

    path: str
    verdict: Verdict | None
    key: str
    signer: str
    state: FileState | None
    host: str | None = None
    release: str | None = None


class Drift:
    """Compares the modules of a tree with ``files``. ``complete``: other modules should not be there.

    Where both name hosts, modules are compared with those of the same host.
    """

    source: str
    files: Sequence[BaselineFile]
    complete: bool

    def __init__(self, source: str, files: Sequence[BaselineFile], complete: bool) -> None:
        self.source, self.files, self.complete = source, files, complete
        self._seen: list[Seen] = []
        self._unread: dict[str | None, str] = {}

    @property
    def needs_hashes(self) -> bool:
        """Whether :class:`FileState` is needed of every module."""
        return any(each.sha256 or each.content_sha256 for each in self.files)

    def add(self, each: Audited) -> None:
        """Take in the result for a module."""
        if each.verdict is None and SUFFIX.search(each.path) is None:
            self._unread.setdefault(each.host, each.path)  # a host, a directory or a container
            return
        signer = each.signer
        self._seen.append(
            Seen(each.path, each.verdict, signer.key_id, signer.signer, each.state, each.host, each.release)
        )

    def faults(self) -> Iterator[Fault]:
        """What is missing, new, or another than it was."""
        for files, seen in self._by_host():
            yield from self._differences(files, seen)

    def _by_host(self) -> Iterator[tuple[Sequence[BaselineFile], Sequence[Seen]]]:
        """The files before and after, of each host for itself where both name their hosts."""
        if not any(each.host for each in self.files) or not any(each.host for each in self._seen):
            yield self.files, self._seen
            return
        before: dict[str | None, list[BaselineFile]] = {}
        after: dict[str | None, list[Seen]] = {}
        for file in self.files:
            before.setdefault(file.host, []).append(file)
        for each in self._seen:
            after.setdefault(each.host, []).append(each)
        for host in dict.fromkeys((*after, *before)):
            yield before.get(host, ()), after.get(host, ())

    def _differences(self, files: Sequence[BaselineFile], seen: Sequence[Seen]) -> Iterator[Fault]:
        before = [each.path for each in files]
        after = [os.path.abspath(each.path) for each in seen]
        for old, new in pairs(before, after):
            if old is not None and new is not None:
                found = self._compared(files[old], seen[new])
                yield from (each._replace(host=seen[new].host, release=seen[new].release) for each in found)
            elif old is not None:
                yield self._absent(files[old])
            elif new is not None and self.complete:
                text, each = f"not in {self.source}", seen[new]
                yield Fault("new", each.path, text, None, text, each.host, each.release)

    def _absent(self, file: BaselineFile) -> Fault:
        """The fault of a file that was not met: missing, if everything of its host was read."""
        unread = next((self._unread[host] for host in (file.host, None) if host in self._unread), None)
        if unread is None and (file.host is None or not any(each.host for each in self._seen)):
            unread = next(iter(self._unread.values()), None)
        text = f"named in {self.source}"
        if unread is None:
            return Fault("missing", file.path, text, None, text, file.host)
        text += f"; whether it is there is not known, since {unread} was not read to its end"
        return Fault("not-checked", file.path, text, None, f"are {text}", file.host)

    def _compared(self, old: BaselineFile, new: Seen) -> Iterator[Fault]:
        if moved(old.path, os.path.abspath(new.path)):
            yield Fault("moved", new.path, f"it was {old.path} in {self.source}")
        if new.verdict is None:  # it could not be read, which is a fault of its own
            return
        if old.signed and new.verdict is Verdict.UNSIGNED:
            text = f"{self.source} says that it was signed, but it has no signature now"
            if _changed(old, new) is not None:
                text += ", and its content is another"
            yield Fault("stripped", new.path, text, fold=f"had a signature according to {self.source}")
            return
        if old.signed and old.key and new.key and old.key != new.key:
            text = f"signed by {_named(new.signer, new.key)}; {self.source} has {_named(old.signer, old.key)}"
            yield Fault("other-signer", new.path, text, fold=f"are {text}")
        if (why := _changed(old, new)) is not None:
            yield Fault("changed", new.path, f"{why} ({self.source})")


def _named(signer: str | None, key: str) -> str:
    return f'"{signer}", key {key}' if signer else f"key {key}"


def _changed(old: BaselineFile, new: Seen) -> str | None:
    """How the content differs; None where it is the same, or nothing is known of it.

    The content without signatures decides where it is known: signing and compressing do not count. Else it
    is the file, or what it decompresses to where it was not compressed before.
    """
    state = new.state
    if state is None or old.sha256 in (state.sha256, state.unpacked_sha256):
        return None
    if old.content_sha256 is not None and state.content_sha256 is not None:
        if old.content_sha256 == state.content_sha256:
            return None
        return f"SHA-256 of its content was {old.content_sha256}, and is {state.content_sha256}"
    if old.sha256 is None:
        return None
    if old.signed and new.verdict is Verdict.UNSIGNED:
        return None  # without its signature it is another file
    if old.compression == "" and state.unpacked_sha256 is not None:
        return f"its SHA-256 was {old.sha256}, and that of its content is {state.unpacked_sha256}"
    if old.compression is not None and old.compression != (state.compression or ""):
        return "it was compressed in another way, so whether its content changed is not known"
    return f"its SHA-256 was {old.sha256}, and is {state.sha256}"
