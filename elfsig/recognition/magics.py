"""Kinds of files with a mark at a fixed offset."""

from __future__ import annotations

from elfsig.lazy_tuple import NamedTuple
from elfsig.recognition.kinds import Family, Kind


class Magic(NamedTuple):
    """Bytes at an offset, and what a file with them is."""

    at: int
    bytes: bytes
    kind: Kind


def _container(code: str, name: str) -> Kind:
    return Kind(code, name, Family.CONTAINER)


def _other(code: str, name: str) -> Kind:
    return Kind(code, name, Family.OTHER)


def _foreign(code: str, name: str, note: str) -> Kind:
    return Kind(code, name, Family.FOREIGN_KEY, note)


INITRAMFS = _container("initramfs", "an initramfs (a cpio archive)")
AR = _container("ar", "an ar archive")
DEBIAN = _container("debian-package", "a Debian package")
TAR = _container("tar", "a tar archive")
ALPINE = _container("alpine-package", "an Alpine package")
ARCH = _container("arch-package", "an Arch Linux package")
ZIP = _container("zip", "a zip archive")
FAT = _container("fat", "a FAT file system")
GPT = _container("gpt", "a disk image with a GPT partition table")
MBR = _container("mbr", "a disk image with an MBR partition table")
QCOW2 = _container("qcow2", "a disk image of QEMU (qcow2)")
VMDK = _container("vmdk", "a disk image of VMware (VMDK)")
VHD = _container("vhd", "a disk image of Hyper-V (VHD)")
E01 = _container("e01", "a forensic disk image (EnCase E01)")
ISO = _container("iso9660", "an ISO 9660 image")
EXT = _container("ext", "an ext2, ext3 or ext4 file system")
LVM = _container("lvm", "an LVM physical volume")
MD = _container("md", "a member of a Linux software RAID")
PARALLELS = _container("parallels", "a disk image of Parallels")
HFS = _container("hfsplus", "an HFS+ file system")
BCACHE = _container("bcache", "a bcache device")
BCACHEFS = _container("bcachefs", "a bcachefs file system")
CRAMFS = _container("cramfs", "a cramfs image")
JFFS2 = _container("jffs2", "a JFFS2 image")
SWAP = _container("swap", "a swap area")
HIBERNATION = _container("hibernation", "a swap area with the image of a hibernated system")
_PAGES = (4096, 8192, 16384, 65536)
_HIBERNATED = (b"S1SUSPEND\0", b"S2SUSPEND\0", b"ULSUSPEND\0", b"LINHIB0001")
"""Marks of the kernel (kernel/power/swap.c), of uswsusp and TuxOnIce, in the place of a swap area's."""
BITLOCKER = _container("bitlocker", "an encrypted volume (BitLocker)")
_BITLOCKER_ID = b"\x3b\xd6\x67\x49\x29\x2e\xd8\x4a\x83\x99\xf6\xa3\x39\xe3\xd0\x01"
_LHA = (b"0", b"5", b"6", b"7")
_JFFS2_NODES = (
    b"\x85\x19\1\xe0", b"\x85\x19\2\xe0", b"\x85\x19\3\x20",
    b"\x19\x85\xe0\1", b"\x19\x85\xe0\2", b"\x19\x85\x20\3",
)  # fmt: skip
"""Mark and type of the first node, of both byte orders (include/uapi/linux/jffs2.h)."""
SSH_PUBLIC = _foreign(
    "openssh-public-key", "an OpenSSH public key", "convert it with ssh-keygen -e -m PKCS8 -f FILE"
)
KEYBOX = _foreign("gnupg-keybox", "GnuPG's keybox", "export the keys with gpg --export")
GNUPG_STORE = _foreign(
    "gnupg-private-key", "a private key in GnuPG's own store", "name it to GnuPG instead, by its key id"
)
JKS = _foreign(
    "java-key-store", "a Java key store", "convert it with keytool -importkeystore -deststoretype PKCS12"
)
ZIMG = Kind("zboot-kernel", "an EFI zboot kernel", Family.KERNEL)
PE = Kind("pe", "a PE image", Family.PE, "sbverify checks its signatures")

MAGICS: tuple[Magic, ...] = (
    Magic(0x202, b"HdrS", Kind("x86-kernel", "an x86 kernel", Family.KERNEL)),
    Magic(4, b"zimg", ZIMG),
    Magic(0x38, b"ARM\x64", Kind("arm64-kernel", "an arm64 kernel", Family.KERNEL)),
    Magic(0x38, b"RSC\x05", Kind("riscv-kernel", "a RISC-V kernel", Family.KERNEL)),
    Magic(0x10008, b"S390EP", Kind("s390-kernel", "an s390 kernel", Family.KERNEL)),
    Magic(0, b"070701", INITRAMFS),
    Magic(0, b"070702", INITRAMFS),
    Magic(0, b"070707", _container("cpio", "a cpio archive")),
    Magic(0, b"\xc7\x71", _container("cpio", "a cpio archive")),
    Magic(0, b"\x71\xc7", _container("cpio", "a cpio archive")),
    Magic(0, b"!<arch>\n", AR),
    Magic(0, b"!<thin>\n", _container("ar-thin", "a thin ar archive")),
    Magic(0, b"\xed\xab\xee\xdb", _container("rpm", "an RPM package")),
    *(Magic(0, b"ADB" + form, ALPINE) for form in (b"d", b".", b"c")),
    Magic(0, b"PK\x03\x04", ZIP),
    Magic(0, b"PK\x05\x06", ZIP),
    Magic(0, b"7z\xbc\xaf\x27\x1c", _container("7z", "a 7z archive")),
    Magic(0, b"Rar!\x1a\x07", _container("rar", "a RAR archive")),
    Magic(0, b"xar!", _container("xar", "a xar archive")),
    Magic(0, b"MSCF\0\0\0\0", _container("cab", "a cabinet archive")),
    *(Magic(2, b"-lh" + method + b"-", _container("lha", "an LHA archive")) for method in _LHA),
    Magic(0, b"LZIP\1", _container("lzip", "an lzip file")),
    Magic(0, b"LRZI\0", _container("lrzip", "an lrzip file")),
    Magic(0, b"\x1f\x9d\x90", _container("compress", "a file of compress (.Z)")),
    Magic(0, b"\x1f\x8b", _container("gzip", "a gzip file")),
    Magic(0, b"\xfd7zXZ\0", _container("xz", "an xz file")),
    Magic(0, b"\x28\xb5\x2f\xfd", _container("zstd", "a zstd file")),
    Magic(0, b"BZh", _container("bzip2", "a bzip2 file")),
    Magic(0, b"\x02\x21\x4c\x18", _container("lz4", "an LZ4 file")),
    Magic(0, b"\x04\x22\x4d\x18", _container("lz4", "an LZ4 file")),
    Magic(0, b"\x89LZO\0", _container("lzop", "an lzop file")),
    Magic(0, b"\x5d\0\0", _container("lzma", "an LZMA file")),
    Magic(0, b"QFI\xfb", QCOW2),
    Magic(0, b"KDMV", VMDK),
    Magic(0, b"COWD", VMDK),
    Magic(0, b"# Disk DescriptorFile", VMDK),
    Magic(0, b"\xbe\xba\xfe\xca\0\0\0\0", VMDK),
    Magic(0, b"vhdxfile", _container("vhdx", "a disk image of Hyper-V (VHDX)")),
    Magic(0, b"QED\0", _container("qed", "a disk image of QEMU (QED)")),
    Magic(0, b"WithoutFreeSpace", PARALLELS),
    Magic(0, b"WithouFreSpacExt", PARALLELS),
    Magic(0, b"MSWIM\0\0\0", _container("wim", "a Windows image (WIM)")),
    Magic(0, b"conectix", VHD),
    Magic(0x40, b"\x7f\x10\xda\xbe", _container("vdi", "a disk image of VirtualBox (VDI)")),
    Magic(0, b"EVF\x09\x0d\x0a\xff\0", E01),
    Magic(0, b"LVF\x09\x0d\x0a\xff\0", _container("l01", "a forensic image of files (EnCase L01)")),
    Magic(0, b"EVF2\x0d\x0a\x81", _container("ex01", "a forensic disk image (EnCase Ex01)")),
    Magic(0, b"AFF10\x0d\x0a", _container("aff", "a forensic disk image (AFF)")),
    Magic(512, b"EFI PART", GPT),
    Magic(4096, b"EFI PART", GPT),
    Magic(0, b"hsqs", _container("squashfs", "a squashfs image")),
    Magic(0, b"sqsh", _container("squashfs-big-endian", "a big-endian squashfs image")),
    Magic(0x400, b"\xe2\xe1\xf5\xe0", _container("erofs", "an EROFS image")),
    Magic(0x438, b"\x53\xef", EXT),
    Magic(0x8001, b"CD001", ISO),
    Magic(0, b"XFSB", _container("xfs", "an XFS file system")),
    Magic(0x10040, b"_BHRfS_M", _container("btrfs", "a Btrfs file system")),
    Magic(0x400, b"\x10\x20\xf5\xf2", _container("f2fs", "an F2FS file system")),
    Magic(3, b"-FVE-FS-", BITLOCKER),
    Magic(160, _BITLOCKER_ID, BITLOCKER),
    Magic(424, _BITLOCKER_ID, BITLOCKER),
    Magic(3, b"NTFS    ", _container("ntfs", "an NTFS file system")),
    Magic(3, b"EXFAT   ", _container("exfat", "an exFAT file system")),
    Magic(0x8001, b"BEA01", _container("udf", "a UDF file system")),
    Magic(0x400, b"H+\0\4", HFS),
    Magic(0x400, b"HX\0\5", HFS),
    Magic(0x20, b"NXSB", _container("apfs", "an APFS container")),
    Magic(0x8000, b"JFS1", _container("jfs", "a JFS file system")),
    Magic(0x10034, b"ReIsEr", _container("reiserfs", "a ReiserFS file system")),
    Magic(0x1018, b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81", BCACHE),
    Magic(0x1018, b"\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef", BCACHEFS),
    Magic(0x204, b"!Stra0tis\x86\xff\x02^A\rh", _container("stratis", "a device of a Stratis pool")),
    Magic(0, b"dmvdo001", _container("vdo", "a VDO volume")),
    *(Magic(0, mark, JFFS2) for mark in _JFFS2_NODES),
    Magic(0x4014, b"\0\0\0\7version\0", _container("zfs", "a device of a ZFS pool")),
    Magic(0x406, b"\x34\x34", _container("nilfs2", "a NILFS2 file system")),
    Magic(0x2000, b"OCFSV2", _container("ocfs2", "an OCFS2 file system")),
    Magic(0x10000, b"\x01\x16\x19\x70", _container("gfs2", "a GFS2 file system")),
    Magic(0x10000, b"ReIsEr4", _container("reiser4", "a Reiser4 file system")),
    *(Magic(page - 10, mark, HIBERNATION) for page in _PAGES for mark in _HIBERNATED),
    *(Magic(page - 10, mark, SWAP) for page in _PAGES for mark in (b"SWAPSPACE2", b"SWAP-SPACE")),
    Magic(0x36, b"FAT1", FAT),
    Magic(0x52, b"FAT32", FAT),
    Magic(0, b"-rom1fs-", _container("romfs", "a romfs image")),
    Magic(0, b"\x45\x3d\xcd\x28", CRAMFS),
    Magic(0, b"\x28\xcd\x3d\x45", CRAMFS),
    Magic(0, b"UBI#", _container("ubi", "a UBI image")),
    Magic(0, b"\x31\x18\x10\x06", _container("ubifs", "a UBIFS image")),
    *(Magic(512 * sector, b"LABELONE", LVM) for sector in range(4)),
    *(Magic(at, b"\xfc\x4e\x2b\xa9\1\0\0\0", MD) for at in (0, 4096)),
    Magic(0, b"LUKS\xba\xbe", _container("luks", "an encrypted volume (LUKS)")),
    Magic(0, b"ANDROID!", _container("android-boot", "an Android boot image")),
    Magic(0, b"VNDRBOOT", _container("android-vendor-boot", "an Android vendor_boot image")),
    Magic(0, b"\x3a\xff\x26\xed", _container("android-sparse", "an Android sparse image")),
    Magic(4096, b"gDla", _container("android-super", "an Android super partition")),
    Magic(0, b"CrAU", _container("android-payload", "an Android update (payload.bin)")),
    Magic(0, b"\x27\x05\x19\x56", _container("uimage", "a U-Boot image (uImage)")),
    Magic(0, b"\xd0\x0d\xfe\xed", _container("device-tree", "a device tree or FIT image")),
    Magic(8, b"AI\x02", _container("appimage", "an AppImage")),
    Magic(8, b"KBXf", KEYBOX),
    Magic(0, b"(11:private-key", GNUPG_STORE),
    Magic(0, b"(21:protected-private-key", GNUPG_STORE),
    Magic(0, b"\xce\xce\xce\xce", JKS),
    Magic(0, b"\xfe\xed\xfe\xed", JKS),
    Magic(0, b"SQLite format 3\0", _other("sqlite", "an SQLite database")),
    Magic(0, b"ssh-", SSH_PUBLIC),
    Magic(0, b"ecdsa-sha2-", SSH_PUBLIC),
    Magic(0, b"sk-", SSH_PUBLIC),
    Magic(0, b"---- BEGIN SSH2 PUBLIC KEY", SSH_PUBLIC),
    Magic(0, b"PuTTY-User-Key-File-", _foreign(
        "putty-key", "a private key of PuTTY", "convert it with puttygen -O private-openssh-new"
    )),
    Magic(0, b"untrusted comment:", _foreign(
        "signify", "a key or signature of signify or minisign", "kernels have no such signatures"
    )),
    Magic(0, b"%PDF-", _other("pdf", "a PDF document")),
    Magic(0, b"\x89PNG\r\n\x1a\n", _other("png", "a PNG picture")),
    Magic(0, b"\xff\xd8\xff", _other("jpeg", "a JPEG picture")),
    Magic(4, b"IWL\n", _other("firmware", "a firmware file (iwlwifi)")),
    Magic(0, b"DMA\0", _other("firmware", "a firmware file (AMD microcode)")),
    Magic(0, b"BC\xc0\xde", _other("llvm-bitcode", "LLVM bitcode, not linked as a module")),
    Magic(0, b"\xca\xfe\xba\xbe", _other("java-class", "a Java class file")),
    Magic(0, b"\xa1\x59\xc0\xa5\xe4\x94\xa7\x4a", Kind(
        "efi-signature-list", "an EFI signature list", Family.CERTIFICATE
    )),
)  # fmt: skip
"""The first that fits counts: more specific ones come before those whose marks are short.

Documentation/arch/x86/boot.rst, boot image headers of arm64 and riscv, drivers/firmware/efi/libstub/
zboot-header.S, arch/s390/boot/head.S; magic numbers of include/uapi/linux/magic.h and of the formats'
specifications. The EFI list begins with EFI_CERT_X509_GUID (UEFI 32.4.1).
"""


def marks(*codes: str) -> tuple[tuple[int, bytes], ...]:
    """(offset, bytes) of all marks of these kinds."""
    return tuple((each.at, each.bytes) for each in MAGICS if each.kind.code in codes)


PARTITIONS, BOOT_MARK = 0x1BE, b"\x55\xaa"


def is_partitioned(data: bytes) -> bool:
    """Whether the first sector is a master boot record with at least one partition and no odd status."""
    if data[510:512] != BOOT_MARK:
        return False
    table = [data[PARTITIONS + 16 * n : PARTITIONS + 16 * (n + 1)] for n in range(4)]
    return all(entry[0] in (0, 0x80) for entry in table) and any(
        int.from_bytes(entry[12:16], "little") for entry in table
    )
