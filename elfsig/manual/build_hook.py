"""Build hook: puts man pages and completion scripts into the wheel, where their readers look for them."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ManualHook(BuildHookInterface[Any]):
    """Makes the files in a temporary directory that lasts as long as the build."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the files to the data that is shared with the system."""
        sys.path[:0] = [self.root, str(Path(self.root) / "formats")]
        from elfsig.manual.completion import TARGETS, script
        from elfsig.manual.pages import pages

        files = {f"share/man/man1/{name}": text for name, text in pages().items()}
        files |= {target: script(shell) for shell, target in TARGETS.items()}
        self._folder = tempfile.TemporaryDirectory(prefix="elfsig-manual-")
        for target, text in files.items():
            path = Path(self._folder.name, target)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            build_data["shared_data"][str(path)] = target

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """The files are in the wheel now."""
        self._folder.cleanup()
