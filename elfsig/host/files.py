"""The files of a system below a root, as that system itself would find them.

No link leads out of the root, as in a chroot: an absolute one starts at the root, and ``..`` stops there.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from pathlib import Path

from elfsig.errors import ElfsigError, ReadError
from elfsig.opened.evidence import read, read_error
from elfsig.opened.links import resolved_below


@dataclass
class Files:
    """The files below ``root``. Nothing is written.

    ``remarks`` collects what could not be read, and links that lead to nothing. ``denied``: only root may
    read something that decides.
    """

    root: Path
    remarks: list[str] = field(default_factory=list)
    denied: bool = False

    def path(self, name: str) -> Path:
        """The path of a file, which may be a link or missing."""
        return self.root / name

    def real(self, path: Path) -> Path | None:
        """What a path below the root leads to; None for nothing, or where only root may look."""
        try:
            return self.resolved(path)
        except PermissionError:
            self.deny(path)
        except OSError:
            self._report_link(path)
        return None

    def resolved(self, path: Path) -> Path:
        """What a path leads to: without links if it is below the root, else as it is. Raises OSError."""
        name = self.inside(path)
        return path if name is None else Path(resolved_below(str(self.root), name))

    def inside(self, path: Path) -> str | None:
        """The name of a path for the system itself, without a slash at its start; None for one outside."""
        root = os.path.abspath(self.root).rstrip("/")
        given = os.path.abspath(path)
        return given[len(root) + 1 :] if given.startswith(f"{root}/") else None

    def required(self, path: Path) -> Path:
        """As :meth:`resolved`, for a file that must be there. Raises ReadError."""
        try:
            return self.resolved(path)
        except OSError as reason:
            fault = read_error(reason)
            text = self._broken(path) or fault.text
            raise ReadError(text, code=fault.code) from None

    def _report_link(self, path: Path) -> None:
        broken = self._broken(path)
        if broken is not None:
            self.remarks.append(broken)

    def _broken(self, path: Path) -> str | None:
        """The link on the way to ``path`` that leads to nothing, in words; None if there is none."""
        before = self.root
        for part in Path(self.inside(path) or "").parts:
            link = before / part
            try:
                before = self.resolved(link)
            except OSError as reason:
                if not os.path.islink(link):  # False, too, for a name that cannot be one
                    return None
                nothing = reason.errno in (errno.ENOENT, errno.ENOTDIR)
                why = f"it leads to no file below {self.root}" if nothing else read_error(reason).text
                return f"{link} is a link to {os.readlink(link)}: {why}"
        return None

    def deny(self, path: Path) -> None:
        """Note that only root may read a file."""
        self.denied = True
        self.remarks.append(f"{path} can be read only by root")

    def there(self, path: Path) -> bool:
        """Whether there is something of this name, if only a link that leads to nothing."""
        folder = self.real(path.parent)
        return folder is not None and os.path.lexists(folder / path.name)

    # ----------------------------------------------------------------- content

    def is_file(self, path: Path) -> bool:
        """Whether there is a regular file."""
        try:
            real = self.real(path)
            return real is not None and real.is_file()
        except PermissionError:
            self.deny(path)
            return False

    def names(self, path: Path) -> list[str] | None:
        """The names in a directory; None where it is missing, or cannot be listed."""
        real = self.real(path)
        try:
            return None if real is None or not real.is_dir() else sorted(os.listdir(real))
        except PermissionError:
            self.deny(path)
        except OSError as reason:
            self.remarks.append(f"{path} cannot be listed: {read_error(reason).text}")
        return None

    def content(self, path: Path) -> bytes | None:
        """The content of a file; None where it is missing or, which is reported, cannot be read."""
        real = self.real(path)
        if real is None:
            return None
        try:
            return read(str(real)).raw
        except ElfsigError as reason:
            if reason.code == "permission-denied":
                self.deny(path)
            elif reason.code != "not-found":
                self.remarks.append(f"{path} cannot be read: {reason.text}")
            return None

    def bytes(self, name: str) -> bytes | None:
        """As :meth:`content`, by name."""
        return self.content(self.path(name))

    def text(self, name: str) -> str | None:
        """The text of a file by name, without line ends around it; None as for :meth:`content`."""
        data = self.bytes(name)
        return None if data is None else data.decode("utf-8", "replace").strip("\0\n ")
