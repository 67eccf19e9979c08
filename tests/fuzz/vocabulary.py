"""Records of small systems (tests.fuzz.trees): what elfsig looks for on a machine, in many states."""

from __future__ import annotations

from functools import cache

import corpus
from elfsig.host.firmware import EFIVARS, GLOBAL, MOKVARS, SECURITY, SHIM
from tests.fuzz import seeds
from tests.fuzz.trees import END
from tests.support.cpio import newc
from tests.support.efilists import X509, esl
from tests.support.verdicts import flipped, signed

RELEASE = b"6.1.0-54-amd64"
MODULES = b"/lib/modules/" + RELEASE
PLAIN = seeds.unsigned()[0]
SIGNED = signed(seeds.identity(), PLAIN)


@cache
def words() -> dict[bytes, bytes]:
    """What a content may stand for."""
    owner, stranger = seeds.certificate(), seeds.certificate("other")
    initramfs = newc({f"lib/modules/{RELEASE.decode()}/kernel/vfat.ko": PLAIN})
    made = {
        "plain": PLAIN, "signed": SIGNED, "foreign": signed(seeds.identity("other"), PLAIN),
        "changed": flipped(SIGNED, 90), "cut": SIGNED[:-1], "unmarked": SIGNED[:-28],
        "attributes": corpus.content("amd64.pkcs7"), "cert": owner, "stranger": stranger,
        "pem": seeds.pem()[0], "key": seeds.identity().pem()[0], "list": esl(X509, owner),
        "variable": b"\6\0\0\0" + esl(X509, owner), "strangers": b"\6\0\0\0" + esl(X509, stranger),
        "kernel": seeds.kernels()[0], "initramfs": initramfs, "on": b"\6\0\0\0\1", "off": b"\6\0\0\0\0",
    }  # fmt: skip
    return {b"$" + name.encode(): data for name, data in made.items()}


EFI, COPIES = f"/{EFIVARS}/".encode(), f"/{MOKVARS}/".encode()
BOOT = EFI + b"SecureBoot-" + GLOBAL.encode() + b"\n"
OWNERS = EFI + b"MokListRT-" + SHIM.encode() + b"\n"
VFAT, EXTRA = MODULES + b"/kernel/vfat.ko\n", MODULES + b"/updates/dkms/vfat.ko\n"
RUNNING = [
    b"/proc/sys/kernel/osrelease\n" + RELEASE + b"\n", b"/proc/cmdline\nro quiet\n",
    b"/sys/module/module/parameters/sig_enforce\nY\n", b"/proc/sys/crypto/fips_enabled\n0\n",
    b"/sys/kernel/security/lockdown\nnone [integrity] confidentiality\n",
]  # fmt: skip
KERNEL = [
    b"/boot/config-" + RELEASE + b"\nCONFIG_MODULE_SIG=y\nCONFIG_MODULE_SIG_HASH=\"sha256\"\n",
    b"/boot/vmlinuz-" + RELEASE + b"\n$kernel", b"/boot/initrd.img-" + RELEASE + b"\n$initramfs",
    b"/proc/keys\n01 I--Q 1 perm 1f 0 0 asymmetri x: 01020304: X509.rsa 01020304 []\n",
]  # fmt: skip
VARIABLES = [
    BOOT + b"$on", OWNERS + b"$variable", EFI + b"SetupMode-" + GLOBAL.encode() + b"\n$off",
    EFI + b"MokSBStateRT-" + SHIM.encode() + b"\n$off", EFI + b"MokNew-" + SHIM.encode() + b"\n$variable",
    EFI + b"MokListTrustedRT-" + SHIM.encode() + b"\n$on", COPIES + b"MokListRT\n$list",
    EFI + b"MokListXRT-" + SHIM.encode() + b"\n$strangers", EFI + b"db-" + SECURITY.encode() + b"\n$variable",
    EFI + b"dbx-" + SECURITY.encode() + b"\n$strangers", EFI + b"MokIgnoreDB-" + SHIM.encode() + b"\n$on",
    EFI + b"MokListRT1-" + SHIM.encode() + b"\n$strangers", COPIES + b"MokIgnoreDB\n\1", BOOT + b"$off",
    b"/sys/firmware/acpi/\n", EFI + b"\n",
]  # fmt: skip
LISTS = [
    b"/var/lib/dpkg/info/linux-image.list\n/etc\n" + VFAT,
    b"/var/lib/dpkg/info/zz:amd64.list\n/usr" + MODULES + b"/extra/vfat.ko.xz\n",
    b"/var/lib/pacman/local/linux-6.1-1/files\n%FILES%\n" + VFAT[1:],
    b"/var/lib/pacman/local/ALPM_DB_VERSION\n9\n",
    b"/lib/apk/db/installed\nP:musl\n\nP:linux-lts\nF:" + MODULES[1:] + b"/kernel\nR:vfat.ko\n",
    b"/var/lib/rpm/rpmdb.sqlite\nx", b"rpm\nkernel-default-6.1-1.2\t" + VFAT, b"rpm\n!",
    b"/etc/os-release\nID=\"opensuse-leap\"\nID_LIKE='suse opensuse'\n", b"/usr/bin/dnf\n", b"/usr/bin/yum\n",
]  # fmt: skip
DKMS = [
    b"/etc/dkms/framework.conf\nmok_signing_key=/var/lib/dkms/mok.key\nmok_certificate='/root/mok.der'\n",
    b"/etc/dkms/framework.conf.d/a.conf\ndkms_tree=/srv/dkms\ninstall_tree=\"/lib/modules\"\n",
    b"/etc/dkms/vfat.conf\nPOST_BUILD=\"sign.sh $kernelver\"\n",
    b"/usr/src/vfat-1/dkms.conf\nPOST_BUILD=sign\n",
    b"/var/lib/dkms/vfat/1/" + RELEASE + b"/x86_64/module/vfat.ko\n$plain",
    b"/var/lib/dkms/vfat/kernel-6.1-x86_64 -> 1/" + RELEASE + b"/x86_64\n",
    b"/var/lib/dkms/mok.key\n$key", b"/var/lib/dkms/mok.pub\n$cert", b"/root/mok.key\n$key",
    b"/root/mok.der\n$cert", b"/var/lib/shim-signed/mok/MOK.priv\n$key",
    b"/var/lib/shim-signed/mok/MOK.der\n$pem",
    b"/etc/dkms/framework.conf.d/k.conf\nmok_signing_key=$kernel_source_dir/certs/k.pem\n"
    b"mok_certificate=${kernel_source_dir}/certs/k.der\n",
    MODULES + b"/build -> ../../../usr/src/headers\n", b"/usr/src/headers/certs/k.pem\n$key",
    b"/usr/src/headers/certs/k.der\n$cert", MODULES + b"/build/.config\nCONFIG_MODULE_SIG_HASH=\"sha512\"\n",
    b"/etc/dkms/framework.conf.d -> $OUT/framework.conf.d\n", b"/etc/dkms -> $OUT\n",
    b"/etc/dkms/elfsig-sign.sh\n#!/bin/sh\n", b"/etc/dkms/framework.conf.d/elfsig.conf -> $OUT/new\n",
]  # fmt: skip
MODULE = [
    VFAT + b"$signed", EXTRA + b"$signed", EXTRA + b"$foreign", EXTRA + b"$changed", EXTRA + b"$plain",
    VFAT + b"$cut", VFAT + b"$unmarked", VFAT + b"$attributes", VFAT + b"$plain", VFAT + b"$changed",
    MODULES + b"/kernel/vfat.ko -> /srv/vfat.ko\n", b"/srv/vfat.ko\n$signed",
    MODULES + b"/extra/vfat.ko -> $OUT/vfat.ko\n", MODULES + b"/extra/a b;$(x).ko\n$plain",
    MODULES + b"/modules.dep\nkernel/vfat.ko: kernel/fat.ko\n",
    MODULES + b"/modules.dep\nupdates/dkms/vfat.ko: kernel/fat.ko\n",
    b"module\n" + MODULES + b"/extra/a b;$(x).ko", b"module\n" + EXTRA[:-1], b"given\n", b"mounted\n",
    b"/lib -> usr/lib\n", b"/usr" + VFAT + b"$signed", b"module\n/home/x/-a'&&\xff.ko",
    b"/home/x/-a'&&\xff.ko\n$plain",
]  # fmt: skip
ASKED = [b"modules\nvfat fat", b"key\npkcs11:object=x", b"key\n/root/a b'.key", b'cert\n$kernelver/"x.der']


def joined(*parts: list[bytes]) -> bytes:
    return END.join(each for part in parts for each in part)
