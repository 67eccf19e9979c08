"""Records without the folders of the machine that they were made on, for bundles that are reproducible."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from elfsig.model.json_form import readable


class Shortener:
    """Replaces the absolute paths among ``given`` by their last component, wherever they occur in a value."""

    def __init__(self, given: Iterable[str]) -> None:
        whole = (os.path.dirname(os.path.normpath(path)) for path in given if path.startswith("/"))
        folders = {folder.rstrip("/") + "/" for folder in whole}
        longest_first = sorted(folders - {"/"}, key=len, reverse=True)
        self._folders = [(readable(each), os.fsencode(each).hex()) for each in longest_first]

    def __call__(self, value: Any) -> Any:
        """``value``, a JSON value, with shorter texts."""
        if not self._folders:
            return value
        if isinstance(value, dict):
            return {name: self._hex(each) if _is_hex(name) else self(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self(each) for each in value]
        return self.text(value) if isinstance(value, str) else value

    def text(self, text: str) -> str:
        """``text`` without the folders."""
        for folder, _ in self._folders:
            text = text.replace(folder, "")
        return text

    def _hex(self, value: Any) -> Any:
        for _, folder in self._folders:
            if isinstance(value, str):
                value = value.removeprefix(folder)
        return value


def _is_hex(name: str) -> bool:
    """Whether a member holds the bytes of a path, which is not UTF-8, in hex."""
    return name in ("path_hex", "name_hex")
