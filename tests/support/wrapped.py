"""A kernel and its modules in the containers that they come in, each made by the tool that makes it in the
field: dpkg-deb, rpmbuild, mkinitramfs, dracut, skopeo and umoci, objcopy, mksquashfs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.support import images
from tests.support.tools import need

CONTROL = (
    "Package: linux-image-x\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n"
)
SPEC = """\
Name: kernel-x
Version: 1
Release: 1
Summary: x
License: GPL
BuildArch: noarch
%define __os_install_post %{{nil}}
%define _build_id_links none
%description
x
%install
mkdir -p %{{buildroot}}
cp -a {tree}/. %{{buildroot}}/
%files
/
"""


def tree(folder: Path, release: str, modules: Sequence[Path], kernel: Path, config: Path) -> Path:
    """A root file system with these modules below lib/modules, their kernel and its configuration."""
    top = folder / "root"
    target = top / "lib/modules" / release / "kernel"
    target.mkdir(parents=True)
    for each in modules:
        shutil.copy(each, target / each.name)
    (top / "boot").mkdir()
    shutil.copy(kernel, top / "boot" / f"vmlinuz-{release}")
    shutil.copy(config, top / "boot" / f"config-{release}")
    return top


def _run(*command: str | Path, cwd: Path | None = None) -> None:
    subprocess.run([need(str(command[0])), *map(str, command[1:])], check=True, capture_output=True, cwd=cwd)


def deb(folder: Path, top: Path, release: str) -> Path:
    """A Debian package, xz."""
    staged = folder / "deb"
    shutil.copytree(top, staged)
    (staged / "DEBIAN").mkdir()
    (staged / "DEBIAN/control").write_text(CONTROL)
    _run("dpkg-deb", "-Zxz", "-z1", "--root-owner-group", "--build", staged, folder / "linux-image.deb")
    return folder / "linux-image.deb"


def rpm(folder: Path, top: Path, release: str) -> Path:
    """An RPM package, zstd."""
    (folder / "x.spec").write_text(SPEC.format(tree=top))
    defines = (f"_topdir {folder}/rpm", "_binary_payload w3.zstdio")
    _run("rpmbuild", "-bb", "--quiet", *(w for d in defines for w in ("--define", d)), folder / "x.spec")
    return next((folder / "rpm").glob("RPMS/*/*.rpm"))


def tar_zst(folder: Path, top: Path, release: str) -> Path:
    """A compressed archive, as Arch packages are."""
    _run("tar", "--zstd", "-cf", folder / "pkg.tar.zst", "-C", top, ".")
    return folder / "pkg.tar.zst"


def initramfs_tools(folder: Path, top: Path, release: str) -> Path:
    """An initramfs as update-initramfs makes it, with all modules of the tree.

    mkinitramfs looks in /lib/modules and for the kernel's configuration in /boot: those of the tree are
    mounted there, for it alone.
    """
    conf = folder / "conf"
    shutil.copytree("/etc/initramfs-tools", conf)
    names = sorted(path.stem.partition(".")[0] for path in (top / "lib/modules" / release).rglob("*.ko*"))
    (conf / "modules").write_text("\n".join(names) + "\n")
    (conf / "initramfs.conf").write_text("MODULES=list\nBUSYBOX=no\nCOMPRESS=zstd\nCOMPRESSLEVEL=1\n")
    made = folder / f"initrd.img-{release}"
    mounts = " && ".join(f"mount --bind {top}{place} {place}" for place in ("/lib/modules", "/boot"))
    script = f"{mounts} && exec mkinitramfs -d {conf} -o {made} {release}"
    _run("depmod", "-b", top, release)
    for place in ("/lib/modules", "/boot"):
        Path(place).mkdir(exist_ok=True)
    _run("unshare", "--mount", "sh", "-c", script)
    return made


def dracut(folder: Path, top: Path, release: str) -> Path:
    """An initramfs as dracut makes it, with the modules of the tree."""
    names = sorted(path.stem.partition(".")[0] for path in (top / "lib/modules" / release).rglob("*.ko*"))
    _run("depmod", "-b", top, release)
    made = folder / "initramfs-dracut.img"
    words = ("--force", "--no-hostonly", "--no-early-microcode", "--modules", "base kernel-modules", "--lz4")
    _run(
        "dracut", *words, "--add-drivers", " ".join(names), "--kver", release,
        "--kmoddir", top / "lib/modules" / release, made,
    )  # fmt: skip
    return made


def oci(folder: Path, top: Path, release: str) -> Path:
    """A directory in the layout of the Open Container Initiative, with one layer."""
    made = folder / "oci"
    _run("umoci", "init", "--layout", made)
    _run("umoci", "new", "--image", f"{made}:x")
    bundle = folder / "bundle"  # umoci insert would leave the end of the archive out
    _run("umoci", "unpack", "--image", f"{made}:x", bundle)
    _run("cp", "-a", f"{top}/.", bundle / "rootfs")
    _run("umoci", "repack", "--image", f"{made}:x", bundle)
    return made


def oci_zstd(folder: Path, top: Path, release: str) -> Path:
    """The same with its layer in zstd."""
    made = folder / "oci-zstd"
    words = ("--insecure-policy", "copy", "--dest-compress-format", "zstd")
    _run("skopeo", *words, f"oci:{oci(folder, top, release)}:x", f"oci:{made}:x")
    return made


def docker_save(folder: Path, top: Path, release: str) -> Path:
    """What ``docker save`` writes."""
    layout, made = oci(folder, top, release), folder / "saved.tar"
    _run("skopeo", "--insecure-policy", "copy", f"oci:{layout}:x", f"docker-archive:{made}:x:latest")
    return made


def uki(folder: Path, top: Path, release: str) -> Path:
    """A unified kernel image: systemd's stub, the kernel, and an initramfs as sections."""
    made, initrd = folder / "x.efi", tar_cpio(folder, top, release)
    kernel = top / "boot" / f"vmlinuz-{release}"
    at = 0x10000000
    sections: list[str] = []
    for name, path in ((".linux", kernel), (".initrd", initrd)):
        sections += ["--add-section", f"{name}={path}", "--change-section-vma", f"{name}={at:#x}"]
        at += path.stat().st_size + 0x100000 & ~0xFFF
    _run("objcopy", *sections, need("linuxx64.efi.stub"), made)
    return made


def tar_cpio(folder: Path, top: Path, release: str) -> Path:
    """An initramfs made by cpio, not compressed."""
    made = folder / "plain.cpio"
    with made.open("wb") as out:
        names = subprocess.run(["find", "."], cwd=top, check=True, capture_output=True).stdout
        subprocess.run(
            [need("cpio"), "-o", "-H", "newc", "--quiet"], cwd=top, input=names, stdout=out, check=True
        )
    return made


def squashfs(folder: Path, top: Path, release: str) -> Path:
    """A live image."""
    images.squashfs(top, folder / "live.squashfs")
    return folder / "live.squashfs"


def _disk(folder: Path, top: Path) -> Path:
    """A disk with a partition table, and in its partition a volume with ext4."""
    _run("mkfs.ext4", "-q", "-O", "metadata_csum,64bit", "-d", top, folder / "root.ext4", "64M")
    disk = folder / "disk.raw"
    images.gpt(disk, images.lvm((folder / "root.ext4").read_bytes()))
    return disk


def qcow2(folder: Path, top: Path, release: str) -> Path:
    """A virtual machine's disk: GPT, LVM, ext4."""
    _run("qemu-img", "convert", "-O", "qcow2", "-c", _disk(folder, top), folder / "disk.qcow2")
    return folder / "disk.qcow2"


def vmdk(folder: Path, top: Path, release: str) -> Path:
    """The same for another machine, as it is exported."""
    options = ("-O", "vmdk", "-o", "subformat=streamOptimized")
    _run("qemu-img", "convert", *options, _disk(folder, top), folder / "disk.vmdk")
    return folder / "disk.vmdk"


def ewf(folder: Path, top: Path, release: str) -> Path:
    """An examiner's image."""
    _run("ewfacquire", "-u", "-q", "-c", "fast", "-S", "4GiB", "-t", folder / "disk", _disk(folder, top))
    return folder / "disk.E01"


WAYS: dict[str, Callable[[Path, Path, str], Path]] = {
    each.__name__: each
    for each in (
        deb,
        rpm,
        tar_zst,
        initramfs_tools,
        dracut,
        oci,
        oci_zstd,
        docker_save,
        uki,
        tar_cpio,
        squashfs,
        qcow2,
        vmdk,
        ewf,
    )
}
"""Every way, by name."""

AS_ROOT = {"initramfs_tools", "dracut", "oci", "oci_zstd", "docker_save"}
"""Ways that need the rights to mount, or to own files as root."""


def can(name: str) -> bool:
    """Whether this user may make it."""
    return name not in AS_ROOT or os.geteuid() == 0
