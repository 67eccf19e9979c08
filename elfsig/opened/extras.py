"""Optional packages: each is imported at the top of one module, which is loaded here, by its name."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from elfsig.errors import UsageError

NEEDS_EXTRA = "needs-extra"


def require(extra: str, package: str, what: str) -> None:
    """Make sure that ``package``, of the extra ``extra``, is installed, without importing it.

    ``what`` needs it, in the plural: "Parquet files". Raises UsageError with the code needs-extra and the
    name of the extra as its hint.
    """
    if find_spec(package) is None:
        raise _missing(extra, package, what)


def adapter(extra: str, module: str, what: str) -> ModuleType:
    """The module of elfsig that imports the packages of ``extra``. Raises UsageError as :func:`require`."""
    try:
        return import_module(module)
    except ModuleNotFoundError as reason:
        if (reason.name or "").startswith("elfsig"):
            raise
        raise _missing(extra, reason.name or "a package", what) from None


def _missing(extra: str, package: str, what: str) -> UsageError:
    text = f"{what} need the extra {extra}: install elfsig[{extra}] ({package} is missing)"
    return UsageError(text, code=NEEDS_EXTRA, hint=extra)
