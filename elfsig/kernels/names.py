"""Module names: what the kernel calls the module in a file."""

from __future__ import annotations

import os
import re

SUFFIX = re.compile(r"\.ko(\.(gz|xz|zst))?\Z")


def module_name(path: str) -> str:
    """``drivers/snd-pcm.ko.xz`` is the module ``snd_pcm``."""
    return SUFFIX.sub("", os.path.basename(path)).replace("-", "_") or "module"
