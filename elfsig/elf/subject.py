"""What a file is that is not a module: trailers are also put on kernels, initramfs images and plain text.

IMA (security/integrity/ima/ima_modsig.c) takes the module trailer on anything it appraises, s390 and
powerpc on the kernels that they boot or kexec, GRUB on kernels.
"""

from __future__ import annotations

from elfsig.elf.image import Image
from elfsig.elf.table import ET_REL

_MARKS = (
    (0x202, b"HdrS", "an x86 kernel"),
    (4, b"zimg", "an EFI zboot kernel"),
    (0x38, b"ARM\x64", "an arm64 kernel"),
    (0x38, b"RSC\x05", "a RISC-V kernel"),
    (0x10008, b"S390EP", "an s390 kernel"),
    (0, b"070701", "an initramfs"),
    (0, b"070702", "an initramfs"),
    (0, b"MZ", "a PE image"),
    (0, b"\x1f\x8b", "a gzip file"),
    (0, b"\xfd7zXZ\0", "an xz file"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd file"),
)
"""Offset, bytes, name. Documentation/arch/x86/boot.rst, arm64 and riscv boot image headers,
drivers/firmware/efi/libstub/zboot-header.S, arch/s390/boot/head.S, cpio newc; compressed files."""

SAMPLE = 512
_TEXT = bytes(range(0x20, 0x7F)) + b"\t\n\r\f"


def not_module(image: Image) -> str | None:
    """What ``image`` is instead of a relocatable ELF file, in words; None if it is one."""
    if image.elf is not None:
        if image.elf.header.type == ET_REL:
            return None
        return f"an ELF file of type {image.elf.summary().type}"
    for at, mark, name in _MARKS:
        if image.data.startswith(mark, at):
            return name
    head = image.data[: min(SAMPLE, image.end)]
    return "text" if head and not head.translate(None, _TEXT) else "not an ELF file"
