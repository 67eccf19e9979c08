"""The built-in formats. The order of BUILTIN is the order in which files are probed."""

from __future__ import annotations

from typing import Final

from elfsig.model import Format
from elfsig_formats.pkcs7 import PKCS7
from elfsig_formats.x509 import X509

# Trailers come before sections: they lie outside of them. Of those that share a carrier, the living first.
BUILTIN: Final[tuple[Format, ...]] = (PKCS7, X509)
