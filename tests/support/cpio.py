"""newc archives by recipe."""

from __future__ import annotations

from collections.abc import Mapping


def newc(files: Mapping[str, bytes]) -> bytes:
    """An archive of regular files, up to and with its trailer."""
    out = []
    for number, (name, content) in enumerate([*files.items(), ("TRAILER!!!", b"")]):
        stored = name.encode() + b"\0"
        mode = 0o100644 if number < len(files) else 0
        fields = [number + 1, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(stored), 0]
        head = b"070701" + b"".join(b"%08x" % field for field in fields) + stored
        out.append(head + bytes(-len(head) % 4) + content + bytes(-len(content) % 4))
    return b"".join(out)
