"""``python -m tests.oracle.build linux-source-7.2/``: a small kernel that knows every algorithm.

Distributions' kernels leave ML-DSA out. This one is built from a kernel's source (Debian's package
linux-source-7.2, unpacked) in a few minutes, with certificates of our own compiled in, and kept in the cache;
``test_booted_kernel`` then asks it as well. Needs gcc, make, flex, bison, bc, libelf-dev and libssl-dev.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from tests.support.cms import Identity, issued, private
from tests.support.kernels import cache_dir

KINDS = ("rsa", "p256", "p384", "p521", "ed25519", "mldsa44", "mldsa65", "mldsa87")
TRUSTED, IMAGE = "trusted.pem", "bzImage"

ON = """
64BIT HYPERVISOR_GUEST PVH PRINTK PRINTK_TIME BUG TTY SERIAL_8250 SERIAL_8250_CONSOLE BLK_DEV_INITRD
BINFMT_ELF BINFMT_SCRIPT FUTEX EPOLL MULTIUSER POSIX_TIMERS SYSFS PROC_FS PROC_SYSCTL DEVTMPFS TMPFS
SHMEM MODULES MODULE_UNLOAD KALLSYMS KEYS MODULE_SIG MODULE_SIG_SHA512 SYSTEM_TRUSTED_KEYRING
SECONDARY_TRUSTED_KEYRING SYSTEM_BLACKLIST_KEYRING ASYMMETRIC_KEY_TYPE ASYMMETRIC_PUBLIC_KEY_SUBTYPE
X509_CERTIFICATE_PARSER PKCS7_MESSAGE_PARSER CRYPTO CRYPTO_MANAGER CRYPTO_RSA CRYPTO_ECDSA CRYPTO_MLDSA
CRYPTO_SHA1 CRYPTO_SHA256 CRYPTO_SHA512 CRYPTO_SHA3 SECURITY SECURITYFS SECURITY_LOCKDOWN_LSM
SECURITY_LOCKDOWN_LSM_EARLY KERNEL_GZIP IKCONFIG
"""
"""Options that are set, on top of tinyconfig."""


def folder() -> Path:
    """Where the built kernel and its keys are kept."""
    return cache_dir() / "kernels" / "small"


def _fragment(certificates: Path) -> str:
    lines = [f"CONFIG_{name}=y" for name in ON.split()]
    lines += ['CONFIG_LSM="lockdown"', 'CONFIG_MODULE_SIG_KEY="certs/signing_key.pem"']
    lines += [f'CONFIG_SYSTEM_TRUSTED_KEYS="{certificates}"', "# CONFIG_MODULE_SIG_ALL is not set"]
    return "\n".join(lines) + "\n"


def _keys(into: Path) -> Path:
    """New keys and their certificates; the file of all certificates."""
    together = b""
    for kind in KINDS:
        hash_name = {"p384": "sha384", "p521": "sha512"}.get(kind, "sha256")
        key, certificate = issued(private(kind), f"small {kind}", hash_name=hash_name).pem()
        (into / f"{kind}.pem").write_bytes(key + certificate)
        together += certificate
    (into / TRUSTED).write_bytes(together)
    return into / TRUSTED


def trusted(into: Path) -> dict[str, Identity]:
    """The identities whose certificates are compiled in, by kind."""
    from cryptography.x509 import load_pem_x509_certificate

    found = {}
    for kind in KINDS:
        data = (into / f"{kind}.pem").read_bytes()
        certificate = load_pem_x509_certificate(data).public_bytes(Encoding.DER)
        found[kind] = Identity(load_pem_private_key(data, None), certificate)
    return found


def build(source: Path, into: Path) -> None:
    """Build the kernel of ``source``; what was built before is replaced once the new one is there."""
    work = into.with_name(into.name + ".part")
    shutil.rmtree(work, ignore_errors=True)
    (work / "out").mkdir(parents=True)
    _make(source, work, "tinyconfig")
    config = work / "out" / ".config"
    (work / "fragment").write_text(_fragment(_keys(work)))
    merge = [str(source / "scripts/kconfig/merge_config.sh"), "-m", "-O", str(work / "out")]
    subprocess.run([*merge, str(config), str(work / "fragment")], cwd=source, check=True, stdout=sys.stderr)
    _make(source, work, "olddefconfig")
    _make(source, work, f"-j{len(os.sched_getaffinity(0))}", "bzImage")
    shutil.copy(work / "out/arch/x86/boot/bzImage", work / IMAGE)
    shutil.copy(config, work / "config")
    shutil.rmtree(work / "out")
    shutil.rmtree(into, ignore_errors=True)
    work.rename(into)


def _make(source: Path, work: Path, *goals: str) -> None:
    command = ["make", "-s", "-C", str(source), f"O={work / 'out'}", *goals]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr)


def main(arguments: Sequence[str]) -> int:
    """Build the kernel whose source is named; 0 when it is there."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    build(Path(arguments[0]).absolute(), folder())
    print(folder() / IMAGE)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
