"""A real kernel as judge: boots one in an emulator, hands it modules, and brings home what it answered.

No privileges, no network and no disk are needed: QEMU emulates the processor, the files travel in an
initramfs whose first program asks the kernel, and certificates get into the kernel through UEFI's db.
"""
