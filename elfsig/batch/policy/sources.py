"""Key sources and kernel images of many systems: what several of them share is read once.

Large files are known by their SHA-256, so that an image of which every host has a copy is unpacked once. What
is kept is bounded, and is given out under the name that was asked for.
"""

from __future__ import annotations

import os
import stat
from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from typing import Final, Generic, NamedTuple, TypeVar

from elfsig.errors import KeySourceError, ReadError, UsageError
from elfsig.kernels import config as configs
from elfsig.kernels.select import KernelFile, read_image
from elfsig.lazy_dataclass import replace
from elfsig.model import Key
from elfsig.opened.inside import outermost
from elfsig.opened.links import resolved_below
from elfsig.opened.source import read_error, read_whole
from elfsig.trust.entries import Material, Origin
from elfsig.trust.forms import read_source
from elfsig.trust.keyring import ROLES, read_argument, read_path

SHARED: Final = 1 << 16
"""Files from this size on, in bytes, are looked up by their hash; smaller ones are read faster than that."""

MAX_SHARED: Final = 1 << 30
MAX_IMAGES: Final = 64
"""Images whose keys are kept."""

MAX_FILES: Final = 1 << 16
"""Files whose hashes are kept."""

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """The values that were asked for last, at most ``most``."""

    most: int

    def __init__(self, most: int) -> None:
        self.most = most
        self._held: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: K) -> V | None:
        """The value for ``key``, None where it is not kept."""
        if key not in self._held:
            return None
        self._held.move_to_end(key)
        return self._held[key]

    def put(self, key: K, value: V) -> V:
        """Keep ``value``, and drop the one that was not asked for the longest time."""
        self._held[key] = value
        if len(self._held) > self.most:
            self._held.popitem(last=False)
        return value

    def made(self, key: K, make: Callable[[], V]) -> V:
        """The value for ``key``, made where it is not kept."""
        found = self.get(key)
        return self.put(key, make()) if found is None else found


class Image(NamedTuple):
    """What a kernel image says of itself, None where it has no banner; and its configuration."""

    said: KernelFile | None
    options: configs.Options | None


_Stamp = tuple[int, int, int, int, int]


class Sources:
    """Reads key sources. ``images_read`` counts the large files that were unpacked."""

    images_read: int

    def __init__(self) -> None:
        self.images_read = 0
        self._digests: Recent[_Stamp, str] = Recent(MAX_FILES)
        self._materials: Recent[tuple[str, str | None, bool, str, str], Material] = Recent(MAX_IMAGES)
        self._images: Recent[str, Image] = Recent(MAX_IMAGES)

    def material(self, source: str, trusted: bool, root: str | None = None) -> Material:
        """The entries of one source of ``--trust`` or ``--keys``, not of a pin.

        ``root``: the file is part of the system with this root directory, and its links are resolved there.
        Raises KeySourceError.
        """
        prefix, colon, rest = source.partition(":")
        role = prefix if colon and prefix in ROLES else None
        path = rest if role else source
        real = path if root is None else inside(path, root)
        stamp = _stamp(real)
        if stamp is None or stamp[2] < SHARED:
            if real == path:
                return read_argument(source, trusted)
            return renamed(read_path(real, _origin(real, real, path, role, trusted)), path)
        digest = self._digest(real, stamp)
        # Names of lists of revocations mean something, those of links and of what they lead to.
        key = (digest, role, trusted, os.path.basename(path), os.path.basename(real))
        return renamed(self._materials.made(key, lambda: self._read(real, path, role, trusted)), path)

    def image(self, path: str, root: str | None = None) -> Image:
        """What the kernel image at ``path`` says of itself. Raises KeySourceError."""
        real = path if root is None else inside(path, root)
        stamp = _stamp(real)
        if stamp is None:
            raise KeySourceError(f"{path}: no such kernel image", code="key-source-unreadable")
        digest = self._digest(real, stamp)
        return self._images.made(digest, lambda: _image(_content(real, path)))

    def identity(self, path: str, root: str | None = None) -> object:
        """What identifies the content of a file: equal for files with the same bytes; the path of none."""
        try:
            real = path if root is None else inside(path, root)
        except KeySourceError:
            return path
        stamp = _stamp(real)
        return path if stamp is None else self._digest(real, stamp)

    def _digest(self, path: str, stamp: _Stamp) -> str:
        return self._digests.made(stamp, lambda: sha256(_content(path, path)).hexdigest())

    def _read(self, real: str, path: str, role: str | None, trusted: bool) -> Material:
        self.images_read += 1
        return read_source(_content(real, path), _origin(path, real, path, role, trusted))


def _origin(source: str, real: str, path: str, role: str | None, trusted: bool) -> Origin:
    """The origin of a file or directory that ``path`` leads to: it is what either name says."""
    return Origin(source, role, trusted, os.path.basename(path), (os.path.basename(real),))


def inside(path: str, root: str) -> str:
    """``path`` without links, as the system with this root directory resolves it. Raises KeySourceError."""
    if not path.startswith(f"{root.rstrip('/')}/"):
        return path
    real = os.path.realpath(root)
    try:
        return resolved_below(real, path[len(root.rstrip("/")) :])
    except OSError as reason:
        raise KeySourceError(f"{path}: {read_error(reason).text}", code="key-source-unreadable") from None


def _stamp(path: str) -> _Stamp | None:
    """What changes when a regular file does; None for anything else."""
    try:
        about = os.stat(path)
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(about.st_mode):
        return None
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns


def _content(real: str, path: str) -> bytes:
    try:
        if os.path.getsize(real) > MAX_SHARED:
            raise KeySourceError(f"{path}: larger than {MAX_SHARED} bytes", code="key-source-unreadable")
        return read_whole(real)
    except (OSError, ReadError) as reason:
        fault = reason if isinstance(reason, ReadError) else read_error(reason)
        raise KeySourceError(
            f"{path}: {fault.text}", code="key-source-unreadable", offset=fault.offset
        ) from None


def _image(data: bytes) -> Image:
    said = read_image(data)
    return Image(said, None if said is None or said.config is None else configs.parse(said.config))


def renamed(found: Material, source: str) -> Material:
    """The same entries, as read from ``source``."""
    return Material(
        tuple(_key_from(key, source) for key in found.keys),
        tuple(_key_from(key, source) for key in found.unusable),
        tuple(
            each._replace(source=source, provenance=each.provenance._replace(file=source))
            for each in found.revocations
        ),
        tuple(each._replace(source=source) for each in found.merkle_roots),
        tuple(each._replace(file=source) for each in found.losses),
    )


def _key_from(key: Key, source: str) -> Key:
    place = key.provenance
    return replace(key, source=source, provenance=None if place is None else place._replace(file=source))


def kernel_image(root: str, release: str) -> str:
    """The path of a release's kernel image below a root directory: the first of the usual places that exists.

    Raises UsageError where there is none.
    """
    for place in PLACES:
        path = f"{root.rstrip('/')}/{place.format(release)}"
        if _exists(path, root):
            return path
    raise UsageError(f"no kernel image of {release} below {root}", code="no-kernel-image")


def _exists(path: str, root: str) -> bool:
    """Whether a file is below a root directory, which may be in a container."""
    try:
        if os.path.isdir(root):
            return os.path.isfile(inside(path, root))
        with outermost(path):
            return True
    except (KeySourceError, ReadError):
        return False


PLACES: Final = (
    "boot/vmlinuz-{}", "usr/lib/modules/{}/vmlinuz", "lib/modules/{}/vmlinuz", "boot/vmlinux-{}",
    "boot/Image-{}", "boot/kernel-{}", "usr/lib/modules/{}/vmlinux", "lib/modules/{}/vmlinux",
)  # fmt: skip
"""Where distributions keep kernel images; the UAPI group's Boot Loader Specification names the second."""
