"""``redhat``: later Fedora Core 2 to Fedora Core 6, RHEL 4, RHEL 5. An OpenPGP packet in ``.module_sig``."""

from __future__ import annotations

from collections.abc import Sequence

from elfsig.carriers.section import SectionCarrier
from elfsig.coverages.canonical import FILEORDER
from elfsig.elf.table import SHF_ALLOC, SHF_WRITE, SHT_PROGBITS
from elfsig.envelopes.openpgp.envelope import OpenPgp
from elfsig.errors import SigningError
from elfsig.model import Basis, Format, Pair, Params, Remark, SectionInfo, SignOptions

NAME = ".module_sig"
READS = "RHEL 4, RHEL 5 and Fedora Core kernels read DSA with SHA-1 only"


def _wrap(params: Params, algorithm: str, options: SignOptions) -> Params:
    """``objcopy --set-section-flags .module_sig=alloc``, which makes it writable too."""
    return SectionInfo(options.section_name or NAME, SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, 1)


def _advise(algorithm: str, options: SignOptions, vermagic: str | None) -> Sequence[Remark]:
    """Refuse what no kernel of this format reads, unless forced."""
    wrong = []
    if algorithm != "dsa":
        wrong.append(algorithm.upper())
    if options.hash not in (None, "sha1"):
        wrong.append(str(options.hash).upper())
    if not wrong:
        return ()
    text = f"{READS}, not {' and '.join(wrong)}"
    if not options.force:
        raise SigningError(f"redhat: {text}", code="no-kernel-reads-it", hint="force")
    return (Remark("no-kernel-reads-it", text),)


REDHAT = Format(
    id="redhat",
    title="OpenPGP in section .module_sig",
    carrier=SectionCarrier(NAME, frozenset({SHT_PROGBITS}), "last"),
    pairs=(Pair(FILEORDER, OpenPgp()),),
    key_kind="dsa1024",
    kernels="Fedora Core 2 (2.6.10) to 6, RHEL 4, RHEL 5",
    basis=Basis.ORIGINAL_CODE,
    basis_text="verification code of RHEL 4, RHEL 5 and FC6 run on vectors; no authentic module seen",
    default_hash="sha1",
    wrap=_wrap,
    advise=_advise,
)
