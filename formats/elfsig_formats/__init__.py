"""The built-in formats. The order of BUILTIN is the order in which files are probed."""

from __future__ import annotations

from typing import Final

from elfsig.model import Format
from elfsig_formats.appended_pgp import APPENDED_PGP
from elfsig_formats.crypto_digsig import CRYPTO_DIGSIG
from elfsig_formats.crypto_pgp import CRYPTO_PGP
from elfsig_formats.gkh import GKH
from elfsig_formats.merkle import MERKLE
from elfsig_formats.modarg_pgp import MODARG_PGP
from elfsig_formats.note import NOTE
from elfsig_formats.pkcs7 import PKCS7
from elfsig_formats.redhat import REDHAT
from elfsig_formats.vendor_signature import VENDOR_SIGNATURE
from elfsig_formats.x509 import X509
from elfsig_formats.x509_rc1 import X509_RC1

# Trailers come before sections, which are inside. Of those sharing a carrier, the ones used today come first.
# Sections: the last one inserted comes first, since a note may cover the others. gkh may be in redhat's.
BUILTIN: Final[tuple[Format, ...]] = (
    PKCS7,
    X509,
    MERKLE,
    APPENDED_PGP,
    CRYPTO_PGP,
    CRYPTO_DIGSIG,
    X509_RC1,
    MODARG_PGP,
    NOTE,
    REDHAT,
    GKH,
    VENDOR_SIGNATURE,
)
