"""Archives that tests make."""

from __future__ import annotations

import io
import tarfile


def tar(**members: bytes) -> bytes:
    """An archive of members; ``__`` in a name stands for a slash, one ``_`` for a dot."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in members.items():
            header = tarfile.TarInfo(name.replace("__", "/").replace("_", "."))
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    return out.getvalue()
