"""Coverages: which bytes a signature signs.

``elfsig.coverage`` is also a verb of the library (:func:`elfsig.api.coverage`). Importing any module in here
binds the package to that name in place of the function, so the package can be called like it.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Verb(ModuleType):
    def __call__(self, *args: Any, **more: Any) -> Any:
        from elfsig.api import coverage

        return coverage(*args, **more)


sys.modules[__name__].__class__ = _Verb
