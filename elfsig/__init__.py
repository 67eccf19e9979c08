"""Linux kernel module signatures of every era: find, show, verify, make, remove, convert.

>>> import elfsig
>>> report = elfsig.verify("driver.ko", trust="/boot/vmlinuz-6.1.0")  # doctest: +SKIP
>>> report.verdict is elfsig.Verdict.VALID  # doctest: +SKIP
True
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from elfsig._version import __version__

if TYPE_CHECKING:
    from elfsig.api import (
        attach,
        compare,
        convert,
        coverage,
        formats,
        keyring,
        list_signatures,
        sign,
        strip,
        verify,
    )
    from elfsig.errors import (
        EditRefused,
        ElfsigError,
        KeySourceError,
        ParseError,
        ReadError,
        SigningError,
        UsageError,
        VerificationError,
    )
    from elfsig.model import (
        FileReport,
        Format,
        Key,
        Place,
        Remark,
        Signature,
        SignatureReport,
        SignOptions,
        Verdict,
    )
    from elfsig.opened.evidence import Evidence
    from elfsig.opened.evidence import read as open
    from elfsig.signers import open_signer


__all__ = [
    "EditRefused",
    "ElfsigError",
    "Evidence",
    "FileReport",
    "Format",
    "Key",
    "KeySourceError",
    "ParseError",
    "Place",
    "ReadError",
    "Remark",
    "SignOptions",
    "Signature",
    "SignatureReport",
    "SigningError",
    "UsageError",
    "Verdict",
    "VerificationError",
    "__version__",
    "attach",
    "compare",
    "convert",
    "coverage",
    "formats",
    "keyring",
    "list_signatures",
    "open",
    "open_signer",
    "sign",
    "strip",
    "verify",
]

_HOMES = {
    "elfsig.api": (
        "attach", "compare", "convert", "coverage", "formats", "keyring", "list_signatures", "sign", "strip",
        "verify",
    ),
    "elfsig.errors": (
        "EditRefused", "ElfsigError", "KeySourceError", "ParseError", "ReadError", "SigningError",
        "UsageError", "VerificationError",
    ),
    "elfsig.opened.evidence": ("Evidence",),
    "elfsig.model": (
        "FileReport", "Format", "Key", "Place", "Remark", "Signature", "SignatureReport", "SignOptions",
        "Verdict",
    ),
    "elfsig.signers": ("open_signer",),
}  # fmt: skip
_WHERE = {name: (module, name) for module, names in _HOMES.items() for name in names}
_WHERE["open"] = ("elfsig.opened.evidence", "read")


def __getattr__(name: str) -> Any:
    """Loaded when first used, so that the command line starts fast."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _WHERE[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])
