"""``gkh``: Greg KH's scheme of 2003/04, and Fedora Core 2. Section ``module_sig``, three payloads."""

from __future__ import annotations

from collections.abc import Sequence

from elfsig.carriers.section import SectionCarrier
from elfsig.coverages.textdata import TEXTDATA, TEXTDATA_2003
from elfsig.elf.table import SHF_ALLOC, SHF_WRITE, SHT_PROGBITS
from elfsig.envelopes.encrypted_digest import PROVES_NOTHING, EncryptedDigest
from elfsig.envelopes.openpgp.envelope import OpenPgp
from elfsig.envelopes.raw_rsa import RawRsa
from elfsig.errors import SigningError
from elfsig.model import Basis, Format, Pair, Params, Remark, SectionInfo, SignOptions
from elfsig_formats.choice import by_coverage, by_payload
from elfsig_formats.redhat import REDHAT

NAME = "module_sig"


def _wrap(params: Params, algorithm: str, options: SignOptions) -> Params:
    """Fedora Core 2 (DSA) set the flag alloc, to which objcopy adds write; the tools of 2003 set none."""
    signed = options.payload in (None, "openpgp")
    flags = SHF_ALLOC | SHF_WRITE if signed and algorithm == "dsa" else 0
    return SectionInfo(options.section_name or NAME, SHT_PROGBITS, flags, 1)


def _advise(algorithm: str, options: SignOptions, vermagic: str | None) -> Sequence[Remark]:
    remarks = []
    if options.payload == "encrypted-digest":
        remarks.append(Remark("proves-nothing", PROVES_NOTHING))
    elif options.payload == "raw-rsa":
        remarks.append(
            Remark("unattested", "no kernel or module with a raw RSA block is known: its form is a guess")
        )
    if options.hash not in (None, "sha1"):
        text = f"kernels of this scheme read SHA-1 only, not {options.hash}"
        if not options.force:
            raise SigningError(f"gkh: {text}", code="no-kernel-reads-it", hint="force")
        remarks.append(Remark("no-kernel-reads-it", text))
    return remarks


def _choose(pairs: Sequence[Pair], options: SignOptions, vermagic: str | None) -> Pair:
    """The requested payload, over the coverage of the signing tools."""
    fitting = by_payload("gkh", pairs, options.payload)
    return by_coverage("gkh", fitting, options.coverage) if options.coverage else fitting[0]


GKH = Format(
    id="gkh",
    title="Greg KH's section module_sig",
    carrier=SectionCarrier(NAME),
    also=(
        REDHAT.carrier,
    ),  # the scheme is often quoted with the other spelling, and was certainly used with it
    pairs=(
        Pair(TEXTDATA, OpenPgp(), "openpgp"),
        Pair(TEXTDATA, EncryptedDigest(), "encrypted-digest", "rsa2048"),
        Pair(TEXTDATA, RawRsa(), "raw-rsa", "rsa2048"),
        Pair(TEXTDATA_2003, RawRsa(), "raw-rsa", "rsa2048"),
    ),
    key_kind="dsa1024",
    kernels="Greg KH's tree 2003/04, Fedora Core 2",
    basis=Basis.ORIGINAL_CODE,
    basis_text="the mod tool and Fedora Core 2's verification code run on vectors; no authentic module seen",
    default_hash="sha1",
    wrap=_wrap,
    advise=_advise,
    choose=_choose,
)
