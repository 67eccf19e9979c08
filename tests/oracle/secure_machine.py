"""A machine with real Secure Boot: OVMF with SMM, shim, GRUB and the kernel as their vendors signed them.

The chain is Microsoft's key in the firmware, shim signed by Microsoft, GRUB and the kernel signed by Debian.
Only the store of variables is prepared. The secure build of OVMF needs a q35 with SMM; it refuses S3. GRUB
reads /EFI/debian/grub.cfg of the disk that it came from, and has shim verify the kernel.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tests.oracle import firmware
from tests.oracle.emulator import Emulator
from tests.oracle.initramfs import Archive
from tests.oracle.kernel import Kernel
from tests.oracle.machine import COMMAND_LINE
from tests.oracle.report import Report
from tests.support.bootable import boot_chain

TIMEOUT = 900
"""Seconds for one boot: 40 of an idle processor, and others may be busy with something else."""

FROM_PACKAGES = {
    "BOOTX64.EFI": "usr/lib/shim/shimx64.efi.signed",
    "mmx64.efi": "usr/lib/shim/mmx64.efi.signed",
    "grubx64.efi": "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed",
}
"""What goes to /EFI/BOOT of the disk: shim, MokManager, GRUB."""

GRUB = """serial --unit=0 --speed=115200
terminal_output serial
linux /vmlinuz {}
initrd /initrd
boot
"""


class SecureMachine:
    """One machine in ``folder``, whose variables stay there from one boot to the next."""

    def __init__(self, folder: Path, variables: bytes) -> None:
        self.folder = folder
        self.emulator = Emulator(folder)
        (folder / "variables").write_bytes(variables)
        self._megabytes = 0

    def prepare(self, kernel: Kernel, archive: Archive, *, pack: bool = False) -> None:
        """Fill the disk. ``pack``: compress the initramfs, which is worth it for a large one."""
        chain = boot_chain()
        if chain is None:
            pytest.skip("gone: shim, GRUB and MokManager were not fetched (python -m tests.setup)")
        disk = self.folder / "disk"
        for folder in ("EFI/BOOT", "EFI/debian"):
            (disk / folder).mkdir(parents=True, exist_ok=True)
        for name, source in FROM_PACKAGES.items():
            (disk / "EFI/BOOT" / name).write_bytes((chain.path / source).read_bytes())
        (disk / "vmlinuz").write_bytes(kernel.image.read_bytes())
        data = archive.to_bytes()
        self._megabytes = 768 + (3 * len(data) >> 20)
        (disk / "initrd").write_bytes(gzip.compress(data, 5, mtime=0) if pack else data)
        (disk / "EFI/debian/grub.cfg").write_text(GRUB.format(COMMAND_LINE))

    def start(self) -> None:
        """Start it; skips where QEMU or the firmware is missing."""
        code = firmware.find(secure=True).code
        flash = [*firmware.flash(code, self.folder / "variables")]
        hardware = [
            "-machine", "q35,smm=on,vmport=off", "-cpu", "max", "-m", str(self._megabytes),
            "-global", "driver=cfi.pflash01,property=secure,value=on", "-global", "ICH9-LPC.disable_s3=1",
            "-drive", f"if=none,id=disk,format=raw,readonly=on,file=fat:{self.folder / 'disk'}",
            "-device", "virtio-blk-pci,drive=disk,bootindex=1",
            "-qmp", f"unix:{self.folder / 'qmp'},server=on,wait=off",
        ]  # fmt: skip
        self.emulator.start([*hardware, *flash])

    def report(self) -> Report:
        """What its guest reported, once it has ended. Raises BootFailed."""
        return self.emulator.report(TIMEOUT)
