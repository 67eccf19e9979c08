"""What was given of the vendor's: how far each source was read, and what is in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from elfsig.lazy_dataclass import dataclass
from elfsig.model import Remark
from elfsig.model.brief import brief
from elfsig.model.json_form import SCHEMA_VERSION, path_members, remark_object


@dataclass(frozen=True, slots=True)
class VendorSource:
    """A package, a tree or a mirror: ``files`` of it were read, and have ``modules``.

    ``sha256`` is that of a single file, in hex. ``unread`` counts the containers and modules that were not
    read to their end; ``error`` is what the first of them says, or that there is no module in it.
    ``complete``: there is no such error.
    """

    path: str
    files: int
    modules: int
    sha256: str | None = None
    unread: int = 0
    error: Remark | None = None
    error_path: str | None = None

    def __repr__(self) -> str:
        return brief(self)

    def __bool__(self) -> NoReturn:
        raise TypeError("a source has no truth value: look at complete")

    @property
    def complete(self) -> bool:
        """Whether all of it was read to its end."""
        return self.error is None

    def to_json(self) -> dict[str, Any]:
        """The record ``vendor`` as plain JSON values."""
        return {
            "schema_version": SCHEMA_VERSION,
            "record": "vendor",
            **path_members(self.path),
            "sha256": self.sha256,
            "files": self.files,
            "modules": self.modules,
            "complete": self.complete,
            "unread": self.unread,
            "error": None if self.error is None else remark_object(self.error),
            "error_path": self.error_path,
        }


def source_of(record: Mapping[str, Any]) -> VendorSource:
    """The source of a record ``vendor``."""
    error = record["error"]
    return VendorSource(
        record["path"], record["files"], record["modules"], record["sha256"], record["unread"],
        None if error is None else Remark(error["code"], error["text"], error["offset"]),
        record["error_path"],
    )  # fmt: skip
