"""How existing signatures are treated when a module is signed."""

from __future__ import annotations

from enum import StrEnum


class Existing(StrEnum):
    """What to do with existing signatures."""

    REFUSE = "refuse"
    """Raise EditRefused."""
    REPLACE = "replace"
    """Remove all existing signatures first."""
    STACK = "stack"
    """Keep them and add the new one. Kernels look at the outermost trailer only."""
