"""What becomes of signatures that a module has when another one is made."""

from __future__ import annotations

from enum import StrEnum


class Existing(StrEnum):
    """What to do about signatures that are there already."""

    REFUSE = "refuse"
    """Raise EditRefused."""
    REPLACE = "replace"
    """Remove all of them first, exactly."""
    STACK = "stack"
    """Leave them, and add the new one. Kernels look at the outermost trailer only."""
