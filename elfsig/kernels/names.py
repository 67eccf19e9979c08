"""What a kernel calls a module, and the release that a module names."""

from __future__ import annotations

import os
import re

SUFFIX = re.compile(r"\.ko(\.(gz|xz|zst))?\Z")


def release_of(vermagic: str | None) -> str | None:
    """The release that a vermagic begins with (include/linux/vermagic.h); None if there is none."""
    return (vermagic or "").partition(" ")[0] or None


def module_name(path: str) -> str:
    """``drivers/snd-pcm.ko.xz`` is the module ``snd_pcm``."""
    return SUFFIX.sub("", os.path.basename(path)).replace("-", "_") or "module"
