"""What a test measured or sampled, printed at the end of the run: the fixture ``note``."""

from __future__ import annotations

from collections.abc import Callable

Note = Callable[[str], None]
"""Takes one line; see the fixture in ``conftest.py``."""

PROPERTY = "note"
"""Name of the report property that carries a note (also between processes)."""
