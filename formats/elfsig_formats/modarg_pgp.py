"""``modarg-pgp``: one revision of Howells' tree of 2012. OpenPGP over the file, as a module argument."""

from __future__ import annotations

from elfsig.carriers.detached import ModuleArgument
from elfsig.coverages.whole_file import WholeFile
from elfsig.envelopes.openpgp.envelope import OpenPgp
from elfsig.model import Basis, Format, Pair

MODARG_PGP = Format(
    id="modarg-pgp",
    title="OpenPGP in a module argument",
    carrier=ModuleArgument(),
    pairs=(Pair(WholeFile(), OpenPgp()),),
    kernels="Howells' development tree, 2012 (one revision)",
    basis=Basis.SOURCE,
    basis_text="kernel/module-verify.c of that revision read",
    capabilities=frozenset({"show", "verify", "sign"}),
)
