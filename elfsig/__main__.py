"""``python -m elfsig``."""

from __future__ import annotations

from elfsig.cli import main

if __name__ == "__main__":
    main()
