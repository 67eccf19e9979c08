"""Whether a signed module is stored under another module's file name.

A signature does not cover the name of the file: whoever can replace a file can put a validly signed
module in place of another one, and modprobe loads it by the file's name.
"""

from __future__ import annotations

import os

from elfsig.kernels.names import SUFFIX, module_name
from elfsig.model import FileReport, Remark, Verdict
from elfsig.opened.module import Module

CODE = "misnamed"
"""Code of the remark, and id of the audit rule."""

SIGNED = frozenset({Verdict.VALID, Verdict.UNTRUSTED})


def misnamed(module: Module, report: FileReport) -> Remark | None:
    """A remark where a module with a matching signature has another name than its file; else None.

    The names are compared as kernels do, with ``-`` and ``_`` equal. None as well where the file's name is
    not that of a module, or the module does not say its own.
    """
    if report.verdict not in SIGNED or has_own_name(module):
        return None
    name, expected = module.name, module_name(module.path)
    if name is None or name.replace("-", "_") == expected:
        return None
    file_name = os.path.basename(module.path)
    text = f"the module is called {name}, but the file {file_name}: it may have replaced another module"
    return Remark(CODE, text)


def has_own_name(module: Module) -> bool:
    """Whether the file has the name that the module says, as far as that is easily seen; also where the
    file's name is not that of a module."""
    if SUFFIX.search(module.path) is None:
        return True
    saying = f"\0name={module_name(module.path)}\0".encode("utf-8", "surrogateescape")
    span = module.modinfo_span
    return (span is not None and module.content.find(saying, *span) >= 0) or saying in module.content
