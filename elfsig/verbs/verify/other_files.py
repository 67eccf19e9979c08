"""What a file is that is not a module: named, with what can be done with it.

Trailers are also put on kernels, initramfs images and plain text: IMA (security/integrity/ima/ima_modsig.c)
takes them on anything it appraises, s390 and powerpc on the kernels that they boot or kexec, GRUB on kernels.
"""

from __future__ import annotations

from collections.abc import Iterator

from elfsig.elf.image import Image
from elfsig.elf.table import ET_REL
from elfsig.errors import EditRefused
from elfsig.model import Remark
from elfsig.opened.module import Module
from elfsig.recognition.kinds import Family, hint_for
from elfsig.recognition.late import recognized

NOT_ELF = "not an ELF file"
"""What is said of a file that is not recognized."""

CODE = "not-a-module"
"""Code of the error for a file without a signature that is known to be something else."""


def not_a_module(module: Module, plain_text: bool = True) -> Remark | None:
    """The error for an unsigned file that is recognized as something other than a module; else None.

    ``plain_text``: text of no particular kind counts as recognized.
    """
    kind = recognized(module.content, module.path)
    if kind is None or kind.family is Family.MODULE or kind.code == "empty":
        return None
    if kind.code == "text" and not plain_text:
        return None
    packed = f", {module.compression} compressed" if module.compression is not None else ""
    note = f": {kind.note}" if kind.note else ""
    return Remark(CODE, f"not a module: {kind.name}{packed}{note}", None, hint_for("module", kind))


def other_file(image: Image) -> str | None:
    """What ``image`` is instead of a relocatable ELF file, in words; None if it is one."""
    if image.elf is not None:
        if image.elf.header.type == ET_REL:
            return None
        return f"an ELF file of type {image.elf.summary().type}"
    kind = recognized(image.bytes())
    return NOT_ELF if kind is None else kind.name


def refuse_keys(image: Image) -> None:
    """Raises EditRefused for what is given next to a module to be signed, not in its place: keys,
    certificates, signatures, reports."""
    kind = None if image.is_elf else recognized(image.bytes())
    beside = (Family.CERTIFICATE, Family.PRIVATE_KEY, Family.FOREIGN_KEY, Family.SIGNATURE, Family.REPORT)
    if kind is not None and kind.family in beside:
        text = f"not signed, not a module: {kind.words}"
        raise EditRefused(text, code=CODE, hint=hint_for("signed", kind))


def about_other(image: Image, signed: bool) -> Iterator[Remark]:
    """What a signed file is, where it is not a module; nothing is said about unsigned ones."""
    if not signed:
        if not image.is_elf:
            yield Remark("not-elf", "not an ELF file", 0)
    elif (what := other_file(image)) is not None:
        code = "not-module" if image.is_elf else "not-elf"
        yield Remark(
            code, f"not a module: {what}; the signature is over the whole file, as for IMA and kexec", 0
        )
