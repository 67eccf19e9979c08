"""``note``: RHEL 6, Oracle UEK2, Howells 2011-12. An OpenPGP packet in an ELF note, three coverages."""

from __future__ import annotations

from collections.abc import Sequence

from elfsig.carriers.note import NoteCarrier
from elfsig.coverages.canonical import FILEORDER, FILEORDER_NOBUILDID, SORTED
from elfsig.elf.table import SHT_NOTE
from elfsig.envelopes.openpgp.envelope import OpenPgp
from elfsig.errors import SigningError
from elfsig.model import Basis, Format, Pair, Params, Remark, SectionInfo, SignOptions
from elfsig_formats.choice import by_coverage

NAME = ".note.module.sig"
SHA2 = frozenset({"sha224", "sha256", "sha384", "sha512"})
OWNER, NOTE_TYPE, ALIGN = b"module.sig", 100, 4

BY_VERMAGIC = (("uek", "fileorder-nobuildid"), (".el6", "sorted"))
"""A word in vermagic, and the coverage that this vendor's kernels compute; UEK2's own vermagic has both."""


def _wrap(params: Params, algorithm: str, options: SignOptions) -> Params:
    """As ``ld -r`` left the note of modsign-note.sh: no flags."""
    return SectionInfo(options.section_name or NAME, SHT_NOTE, 0, ALIGN, OWNER, NOTE_TYPE)


def _choose(pairs: Sequence[Pair], options: SignOptions, vermagic: str | None) -> Pair:
    """The requested coverage, else the one that the module's own vermagic implies."""
    if options.coverage:
        return by_coverage("note", pairs, options.coverage)
    for word, coverage in BY_VERMAGIC:
        if vermagic and word in vermagic:
            return by_coverage("note", pairs, coverage)
    said = f"vermagic {vermagic!r} does not decide" if vermagic else "the module has no vermagic"
    choices = "sorted (RHEL 6), fileorder-nobuildid (UEK2), fileorder (UEK2's first release)"
    text = f"note: choose a coverage, {choices}: {said}"
    raise SigningError(text, code="coverage-needed", hint="coverage")


def _advise(algorithm: str, options: SignOptions, vermagic: str | None) -> Sequence[Remark]:
    """Which kernels read it: all read DSA with SHA-1, only the last ones of RHEL 6 read SHA-2."""
    hash_name = options.hash or "sha1"
    if algorithm != "dsa":
        text = "RHEL 6 and UEK2 read DSA only; no released kernel is known to read an RSA signature in a note"
        return (Remark("no-kernel-reads-it", text),)
    if hash_name in SHA2 and "uek" not in (vermagic or ""):
        text = f"{hash_name} is read by the last kernels of RHEL 6 only: those up to 6.5 and UEK2 read SHA-1"
        return (Remark("few-kernels-read-it", text),)
    if hash_name != "sha1":
        text = f"no released kernel for this module is known to read {hash_name} in a note: they read SHA-1"
        return (Remark("no-kernel-reads-it", text),)
    return ()


NOTE = Format(
    id="note",
    title="OpenPGP in an ELF note",
    carrier=NoteCarrier(NAME, OWNER, NOTE_TYPE),
    pairs=tuple(Pair(coverage, OpenPgp()) for coverage in (SORTED, FILEORDER, FILEORDER_NOBUILDID)),
    key_kind="dsa1024",
    kernels="RHEL 6, Oracle UEK2, Howells 2011-12",
    basis=Basis.ORIGINAL_CODE,
    basis_text="sorted: genuine modules of RHEL 6.2 on four architectures, and a booted 2.6.32-504.el6;"
    " fileorder and fileorder-nobuildid (UEK2): the extractors run, no authentic module seen",
    aliases=("uek", "rhel6"),
    default_hash="sha1",
    wrap=_wrap,
    advise=_advise,
    choose=_choose,
)
