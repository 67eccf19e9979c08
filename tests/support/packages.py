"""The one list of outside programs that tests compare elfsig with, and the Debian packages they are in.

Standard library only: the set-up runs before anything is installed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

KBUILD = "linux-kbuild"
"""Stands for the linux-kbuild package of the running release; its name holds a version."""

TOOLS = {
    "7zz": "7zip",
    "apt-get": "apt",
    "bash": "bash",
    "bsdtar": "libarchive-tools",
    "busybox": "busybox",
    "bzip2": "bzip2",
    "cert-to-efi-sig-list": "efitools",
    "chattr": "e2fsprogs",
    "dash": "dash",
    "debootstrap": "debootstrap",
    "depmod": "kmod",
    "dh": "debhelper",
    "dkms": "dkms",
    "chromedriver": "chromium-driver",
    "chromium": "chromium",
    "cpio": "cpio",
    "dpkg-deb": "dpkg",
    "dracut": "dracut-core",
    "evmctl": "ima-evm-utils",
    "fish": "fish",
    "gcc": "gcc",
    "git": "git",
    "gpg": "gnupg",
    "gpg1": "gnupg1",
    "gpgv": "gpgv",
    "gzip": "gzip",
    "ld": "binutils",
    "ldd": "libc-bin",
    "lz4": "lz4",
    "lzop": "lzop",
    "make": "make",
    "man": "man-db",
    "mandoc": "mandoc",
    "mdadm": "mdadm",
    "mkbootimg": "mkbootimg",
    "mkinitramfs": "initramfs-tools-core",
    "mkswap": "util-linux",
    "partx": "util-linux",
    "modinfo": "kmod",
    "mount": "mount",
    "nm": "binutils",
    "node": "nodejs",
    "objcopy": "binutils",
    "objdump": "binutils",
    "openssl": "openssl",
    "perl": "perl-base",
    "pgrep": "procps",
    "pkcs11-tool": "opensc",
    "qemu-system-x86_64": "qemu-system-x86",
    "readelf": "binutils",
    "rpm2cpio": "rpm2cpio",
    "rpmbuild": "rpm",
    "setfattr": "attr",
    "setsid": "util-linux",
    "sig-list-to-certs": "efitools",
    "sign-efi-sig-list": "efitools",
    "sign-file": KBUILD,
    "skopeo": "skopeo",
    "softhsm2-util": "softhsm2",
    "strip": "binutils",
    "tar": "tar",
    "uname": "coreutils",
    "unpack_bootimg": "mkbootimg",
    "unmkinitramfs": "initramfs-tools-core",
    "umoci": "umoci",
    "sync": "coreutils",
    "thin_check": "thin-provisioning-tools",
    "thin_restore": "thin-provisioning-tools",
    "umount": "mount",
    "unshare": "util-linux",
    "xargs": "findutils",
    "xxd": "xxd",
    "xz": "xz-utils",
    "zsh": "zsh",
    "zstd": "zstd",
    "aarch64-linux-gnu-as": "binutils-aarch64-linux-gnu",
    "aarch64-linux-gnu-ld": "binutils-aarch64-linux-gnu",
    "aarch64-linux-gnu-objcopy": "binutils-aarch64-linux-gnu",
    "i686-linux-gnu-as": "binutils-i686-linux-gnu",
    "i686-linux-gnu-ld": "binutils-i686-linux-gnu",
    "i686-linux-gnu-objcopy": "binutils-i686-linux-gnu",
    "powerpc64-linux-gnu-as": "binutils-powerpc64-linux-gnu",
    "powerpc64-linux-gnu-ld": "binutils-powerpc64-linux-gnu",
    "powerpc64-linux-gnu-objcopy": "binutils-powerpc64-linux-gnu",
    "s390x-linux-gnu-as": "binutils-s390x-linux-gnu",
    "s390x-linux-gnu-ld": "binutils-s390x-linux-gnu",
    "s390x-linux-gnu-objcopy": "binutils-s390x-linux-gnu",
    "x86_64-linux-gnu-as": "binutils-x86-64-linux-gnu",
    "x86_64-linux-gnu-ld": "binutils-x86-64-linux-gnu",
    "x86_64-linux-gnu-objcopy": "binutils-x86-64-linux-gnu",
    "btrfs": "btrfs-progs",
    "debugfs": "e2fsprogs",
    "ewfacquire": "ewf-tools",
    "mcopy": "mtools",
    "mke2fs": "e2fsprogs",
    "mkfs.btrfs": "btrfs-progs",
    "mkfs.ext2": "e2fsprogs",
    "mkfs.ext3": "e2fsprogs",
    "mkfs.ext4": "e2fsprogs",
    "mkfs.vfat": "dosfstools",
    "mkfs.xfs": "xfsprogs",
    "xfs_logprint": "xfsprogs",
    "mksquashfs": "squashfs-tools",
    "qemu-img": "qemu-utils",
    "qemu-io": "qemu-utils",
    "sgdisk": "gdisk",
    "unsquashfs": "squashfs-tools",
    "xfs_db": "xfsprogs",
    "xorriso": "xorriso",
}
"""Program -> Debian package. A package that is needed by a new test is added here and nowhere else."""

HEADERS = "linux-headers"
"""Stands for the kernel headers metapackage of the machine's architecture."""

FILES = {
    "bash_completion": ("bash-completion", ("/usr/share/bash-completion/bash_completion",)),
    "kernel-headers": (HEADERS, ()),
    "linux-libc-dev": ("linux-libc-dev", ("/usr/include/x86_64-linux-gnu/asm/unistd.h",)),
    "linux-libc-dev-arm64": ("linux-libc-dev-arm64-cross", ("/usr/aarch64-linux-gnu/include/asm/unistd.h",)),
    "linux-libc-dev-ppc64el": (
        "linux-libc-dev-ppc64el-cross",
        ("/usr/powerpc64le-linux-gnu/include/asm/unistd.h",),
    ),
    "linux-libc-dev-s390x": ("linux-libc-dev-s390x-cross", ("/usr/s390x-linux-gnu/include/asm/unistd.h",)),
    "linuxx64.efi.stub": ("systemd-boot-efi", ("/usr/lib/systemd/boot/efi/linuxx64.efi.stub",)),
    "ovmf": ("ovmf", ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_CODE_4M.fd")),
    "pkcs11-spy.so": ("opensc-pkcs11", ("/usr/lib/x86_64-linux-gnu/pkcs11-spy.so", "/usr/lib/pkcs11-spy.so")),
    "softhsm2.so": ("softhsm2", ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm2.so")),
}
"""Things that are not programs: name -> (Debian package, where to look)."""

FLAVOURS = {"amd64": "amd64", "i386": "686", "arm64": "arm64", "s390x": "s390x", "ppc64el": "powerpc64le"}
"""Debian architecture -> the flavour in the name of its kernel metapackage."""


def _sign_file() -> str | None:
    found = sorted(Path("/usr/lib").glob("linux-kbuild-*/scripts/sign-file"))
    return str(found[0]) if found else None


def kernel_headers() -> str | None:
    """The build directory of installed kernel headers that modules can be built against."""
    found = sorted(Path("/lib/modules").glob("*/build/scripts/mod/modpost"))
    return str(found[-1].parents[2]) if found else None


def locate(name: str) -> str | None:
    """Path of a program of TOOLS or a file of FILES, None where this machine has it not."""
    if name == "sign-file":
        return _sign_file()
    if name == "kernel-headers":
        return kernel_headers()
    if name in FILES:
        return next((p for p in FILES[name][1] if Path(p).exists()), None)
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def package_of(name: str) -> str:
    """The Debian package that holds ``name``."""
    return FILES[name][0] if name in FILES else TOOLS[name]


def missing() -> dict[str, str]:
    """Every tool that this machine lacks: name -> Debian package."""
    return {name: package_of(name) for name in (*TOOLS, *FILES) if locate(name) is None}


def retry(command: Sequence[str], attempts: int = 3) -> subprocess.CompletedProcess[str]:
    """Run ``command`` until it succeeds; a mirror's hiccup is waited out. Gives the last result."""
    for attempt in range(1, attempts + 1):
        result = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if result.returncode == 0 or attempt == attempts:
            break
        print(f"again ({attempt}/{attempts}): {' '.join(command)}", file=sys.stderr)
        time.sleep(5 * attempt)
    return result


def _depends(package: str, pattern: str) -> str | None:
    """The first package matching ``pattern`` that ``package`` depends on."""
    shown = subprocess.run(["apt-cache", "depends", "-i", package], capture_output=True, text=True)
    found = re.search(rf"Depends: ({pattern})\n", shown.stdout)
    return found[1] if found else None


def headers_package() -> str:
    """The kernel headers metapackage of this machine's architecture."""
    native = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True).stdout.strip()
    return f"linux-headers-{FLAVOURS.get(native, native)}"


def kbuild_package() -> str | None:
    """The linux-kbuild package that the kernel headers metapackage of this release leads to."""
    headers = _depends(headers_package(), r"linux-headers-\S+")
    return _depends(headers, r"linux-kbuild-\S+") if headers else None


def install(packages: Iterable[str]) -> list[str]:
    """Install ``packages`` with apt (as root). Gives what could not be had, one line each."""
    wanted = sorted(set(packages))
    if not wanted:
        return []
    os.environ.setdefault("DEBIAN_FRONTEND", "noninteractive")
    updated = retry(["apt-get", "-q", "-o", "Acquire::Retries=3", "update"])
    if updated.returncode:
        print(f"apt-get update: {updated.stderr.strip()} (going on)", file=sys.stderr)
    problems = []
    if KBUILD in wanted:
        wanted.remove(KBUILD)
        wanted += [found] if (found := kbuild_package()) else []
        problems += [] if found else [f"{KBUILD}: no kernel headers metapackage leads to one"]
    if HEADERS in wanted:
        wanted[wanted.index(HEADERS)] = headers_package()
    together = _apt_install(wanted)
    if together is not None:
        problems += [f"{each}: {why}" for each in wanted if (why := _apt_install([each])) is not None]
    return problems


def _apt_install(packages: Sequence[str]) -> str | None:
    """Why ``packages`` could not be installed, None when they were."""
    command = ["apt-get", "-q", "-y", "-o", "Acquire::Retries=3", "install", "--no-install-recommends"]
    done = retry([*command, *packages], attempts=2)
    return None if done.returncode == 0 else (done.stderr.strip().splitlines() or ["apt-get failed"])[-1]
