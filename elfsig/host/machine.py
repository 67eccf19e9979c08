"""What a running or mounted system says about its kernel, keys and modules. All reads are below one root.

Sources: /proc/sys/kernel/osrelease, /proc/cmdline, /proc/keys, /sys/module/module/parameters/sig_enforce,
/sys/kernel/security/lockdown, /boot, /lib/modules, and the UEFI variables (:mod:`elfsig.host.firmware`).
Nothing is written, and whatever cannot be read is reported.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from elfsig.errors import ElfsigError, UsageError
from elfsig.host.firmware import EFIVARS, GLOBAL, SECURITY, SHIM, Firmware
from elfsig.kernels import config as configs
from elfsig.kernels.mode import Mode, merged
from elfsig.kernels.names import module_name
from elfsig.kernels.profile import Profile
from elfsig.model import Key, KeyId
from elfsig.opened.evidence import MODULE_SUFFIXES, read
from elfsig.trust.entries import Material, Origin, gather
from elfsig.trust.kernel_image import contents
from elfsig.trust.keyring import read_path
from elfsig.trust.ring import Ring

__all__ = ["EFIVARS", "GLOBAL", "SECURITY", "SHIM", "Machine", "Strictness"]

MODULE_DIRS = ("lib/modules", "usr/lib/modules")
OWN_KEYS = (
    ("var/lib/shim-signed/mok/MOK.priv", "var/lib/shim-signed/mok/MOK.der"),
    ("var/lib/dkms/mok.key", "var/lib/dkms/mok.pub"),
    ("root/mok.key", "root/mok.der"),
)
"""Private key and certificate: where DKMS keeps its signing key, and where :data:`NEW_KEY` goes."""
NEW_KEY = "root/mok"
INITRAMFS = ("boot/initrd.img-{}", "boot/initramfs-{}.img", "boot/initrd-{}", "lib/modules/{}/initramfs.img")
PREFERRED = ("updates", "extra", "weak-updates", "kernel")
_CPIO_NAME = rb"lib/modules/[^\0]{1,200}/%s\.ko(?:\.gz|\.xz|\.zst)?\0"
_LOCKED = re.compile(r"\[(none|integrity|confidentiality)\]")


class Strictness(NamedTuple):
    """What the system reports about itself: each None where it does not."""

    enforcing: bool | None
    lockdown: str | None

    def lockdown_words(self, mode: Mode) -> str:
        """Whether it is locked down, in words; ``mode`` is the conclusion where it does not say."""
        return self.lockdown or _concluded(mode.lockdown)

    def enforcing_words(self, mode: Mode) -> str:
        """Whether it demands valid signatures, in words; ``mode`` as above."""
        if self.enforcing is None:
            return _concluded(mode.enforcing)
        return "on: only modules with a valid signature load" if self.enforcing else "off"


def _concluded(on: bool) -> str:
    return f"{'on' if on else 'off'}, by Secure Boot and the command line; the system does not report it"


@dataclass
class Machine:
    """The system below ``root``; ``remarks`` collects what could not be read and what was noticed.

    ``wanted`` is the release of the kernel in question, where the user named one. ``live``: this is
    the running system, on which commands may be run. ``denied``: only root may read something that
    decides.
    """

    root: Path
    wanted: str | None = None
    live: bool = False
    remarks: list[str] = field(default_factory=list)
    denied: bool = False

    def _path(self, name: str) -> Path:
        return self.root / name

    def _text(self, name: str) -> str | None:
        data = self._bytes(name)
        return None if data is None else data.decode("utf-8", "replace").strip("\0\n ")

    def _bytes(self, name: str) -> bytes | None:
        """The content of a file; None where it is missing. A lack of permission is reported."""
        try:
            return read(str(self._path(name))).raw
        except ElfsigError as reason:
            if reason.code != "not-found":
                self.remarks.append(f"{self._path(name)} cannot be read: {reason.text}")
            return None

    def _is_file(self, path: Path) -> bool:
        try:
            return path.is_file()
        except PermissionError:
            self._deny(path)
            return False

    def _deny(self, path: Path) -> None:
        self.denied = True
        self.remarks.append(f"{path} can be read only by root")

    # ----------------------------------------------------------------- kernel

    @cached_property
    def release(self) -> str:
        """The release in question: the requested one, else the running one, else the newest.

        A release without modules here does not count: a chroot shows the release of its host. Raises
        UsageError.
        """
        running = self._text("proc/sys/kernel/osrelease")
        there = sorted({p.name for d in MODULE_DIRS for p in self._folders(d)}, key=_version)
        for each in (self.wanted, running):
            if each in there:
                return each
        if running and self.wanted is None and (self.live or not there):
            return running
        if not there:
            raise UsageError(f"{self.root}: it has no kernel modules", code="no-kernel")
        missing = self.wanted or running
        if missing:
            self.remarks.append(f"{missing} has no modules here: the module is that of {there[-1]}")
        return there[-1]

    def _folders(self, name: str) -> list[Path]:
        base = self._path(name)
        return [p for p in base.iterdir() if p.is_dir()] if base.is_dir() else []

    @property
    def image(self) -> Path | None:
        """The image of the kernel in /boot, or next to its modules."""
        names = [f"boot/vmlinuz-{self.release}", f"boot/vmlinux-{self.release}"]
        names += [f"{d}/{self.release}/vmlinuz" for d in MODULE_DIRS]
        return next((self._path(n) for n in names if self._is_file(self._path(n))), None)

    def options(self) -> configs.Options | None:
        """The build configuration of the kernel; None where it is missing."""
        for name in (f"boot/config-{self.release}", "proc/config.gz", f"lib/modules/{self.release}/config"):
            data = self._bytes(name)
            if data:
                return configs.parse(configs.read(data))
        self.remarks.append("the configuration of the kernel was not found")
        return None

    @cached_property
    def strictness(self) -> Strictness:
        """What the running kernel reports about itself."""
        enforce = self._text("sys/module/module/parameters/sig_enforce")
        lockdown = self._text("sys/kernel/security/lockdown")
        found = _LOCKED.search(lockdown) if lockdown else None
        return Strictness(None if enforce is None else enforce in ("Y", "1"), found[1] if found else None)

    def mode(self, profile: Profile) -> Mode:
        """The kernel's enforcement mode: as it reports itself, else according to how it was booted."""
        said, line = self.strictness, self._text("proc/cmdline")
        if said == (None, None) and line is None and self.firmware.state == "unknown":
            self.remarks.append("it is not known whether this kernel enforces signatures: give its mode")
        implied = profile.in_mode(Mode(secure_boot=self.firmware.secure_boot))
        on = Mode(
            enforcing=implied.enforcing if said.enforcing is None else said.enforcing,
            lockdown=implied.lockdown if said.lockdown is None else said.lockdown != "none",
            fips=self._text("proc/sys/crypto/fips_enabled") == "1",
        )
        return merged([on, profile.boot.mode(line or "")])

    # ----------------------------------------------------------------- modules

    def find(self, name: str) -> Path:
        """The file of the module ``name``, with "-" and "_" equal. Raises UsageError."""
        wanted = module_name(name)
        for directory in MODULE_DIRS:
            base = self._path(directory) / self.release
            found = self._listed(base, wanted) or self._walked(base, wanted)
            if found is not None:
                return found
        raise UsageError(
            f"no module {name} for the kernel {self.release} below {self._path('lib/modules')}",
            code="no-module",
        )

    def _listed(self, base: Path, wanted: str) -> Path | None:
        try:
            lines = (base / "modules.dep").read_text("utf-8", "surrogateescape").splitlines()
        except OSError:
            return None
        names = (line.partition(":")[0] for line in lines)
        found = next((base / name for name in names if module_name(name) == wanted), None)
        return found if found is not None and found.is_file() else None

    def _walked(self, base: Path, wanted: str) -> Path | None:
        if not base.is_dir():
            return None
        found = [
            p
            for p in sorted(base.rglob("*.ko*"))
            if p.name.endswith(MODULE_SUFFIXES) and module_name(p.name) == wanted
        ]
        if found:
            self.remarks.append(
                "modules.dep does not list the module, so the file was searched for: run depmod -a"
            )
        return min(found, key=lambda p: _preference(p.relative_to(base)), default=None)

    def initramfs(self, name: str) -> str:
        """Whether the initramfs has a copy of the module, in words."""
        files = (self._path(each.format(self.release)) for each in INITRAMFS)
        path = next((each for each in files if self._is_file(each)), None)
        if path is None:
            return "no initramfs of this kernel was found"
        try:
            data = read(str(path)).raw
        except ElfsigError as reason:
            return f"{path} cannot be read ({reason.text}): whether it has a copy of the module is not known"
        parts = module_name(name).encode().split(b"_")
        rule = re.compile(_CPIO_NAME % b"[-_]".join(map(re.escape, parts)))
        if any(rule.search(content) for content in contents(data)):
            return f"{path} has a copy of the module too, which may differ: rebuild it after signing"
        return f"{path} has no copy of the module"

    # ----------------------------------------------------------------- keys

    @cached_property
    def firmware(self) -> Firmware:
        """The UEFI variables."""
        return Firmware(self.root, self._bytes)

    def ring(self, profile: Profile, given: Iterable[Material] = ()) -> Ring:
        """The keys that the kernel should hold: ``given``, those of its image, of UEFI and of the machine
        owner, and revocations."""
        return Ring(gather([*given, *self._materials(profile)]))

    def _materials(self, profile: Profile) -> Iterator[Material]:
        if self.image is None:
            self.remarks.append("no image of the kernel was found, so its compiled-in keys are not known")
        else:
            yield from self._source(self.image, "builtin", None)
        if self.firmware.ignores_db:
            self.remarks.append("the keys of UEFI's db do not count: mokutil --ignore-db was used")
        else:
            yield from self._source(self._variable("db", SECURITY), "platform", "platform")
        yield from self._source(self._variable("dbx", SECURITY), "revoked", "revoked")
        boot = profile.secure_boot
        if boot is not None and boot.moks == "never":
            self.remarks.append("this kernel was built so that it does not load machine owner keys")
        elif not self.firmware.secure_boot:
            self.remarks.append("Secure Boot is off or not known, so the kernel skips machine owner keys")
        else:
            yield from self._owner_keys(profile)

    def _owner_keys(self, profile: Profile) -> Iterator[Material]:
        """Machine owner keys go to the machine keyring if the owner or the kernel's rule says so."""
        trusted = profile.trust.machine == "any" or self.firmware.trusts_moks
        keyring = "machine" if trusted else "platform"
        yield from self._source(self._variable("MokListRT", SHIM), "MOK", keyring)
        yield from self._source(self._variable("MokListXRT", SHIM), "revoked", "revoked")

    def _source(self, path: Path | None, what: str, role: str | None) -> Iterator[Material]:
        if path is None:
            return
        if not os.access(path, os.R_OK):
            self._deny(path)
            return
        try:
            yield read_path(path, Origin(str(path), role, role != "revoked"))
        except ElfsigError as reason:
            if reason.code not in ("no-key", "no-certificate"):
                self.remarks.append(f"{what} keys are not known: {reason.text}")

    def _variable(self, name: str, vendor: str) -> Path | None:
        return next((each for each in self.firmware.paths(name, vendor) if self._is_file(each)), None)

    def pending(self, ids: frozenset[KeyId]) -> bool:
        """Whether the enrolment of a key with one of these ids is pending (MokNew)."""
        path = self._variable("MokNew", SHIM)
        return path is not None and self._has(path, ids)

    def owned(self, ids: frozenset[KeyId]) -> bool:
        """Whether a key with one of these ids is a machine owner key, loaded by this kernel or not."""
        path = self._variable("MokListRT", SHIM)
        return path is not None and os.access(path, os.R_OK) and self._has(path, ids)

    def own(self, ids: frozenset[KeyId]) -> tuple[Path, Path] | None:
        """The signing key pair on this system: the one with one of these ids, else the first one."""
        every = [(self._path(key), self._path(cert)) for key, cert in OWN_KEYS]
        pairs = [pair for pair in every if self._is_file(pair[1])]
        return next((pair for pair in pairs if ids and self._has(pair[1], ids)), pairs[0] if pairs else None)

    def holds(self, path: Path, ids: frozenset[KeyId]) -> bool:
        """Whether the certificate in a file has one of these ids."""
        return self._has(path, ids)

    def _has(self, path: Path, ids: frozenset[KeyId]) -> bool:
        found: list[Key] = [key for m in self._source(path, str(path), None) for key in m.keys]
        return any(key.ids & ids for key in found)

    def loaded(self, key_id: str) -> str:
        """What /proc/keys says about a key id (hex): it only has descriptions, so this is never proof."""
        text = self._text("proc/keys")
        if text is None:
            return "/proc/keys cannot be read"
        short = key_id[-8:].lower()
        lines = [line for line in text.splitlines() if "asymmetri" in line and short in line.lower()]
        if not lines:
            return f"/proc/keys does not list a key {key_id}: it is not loaded, or you may not see it"
        return f"/proc/keys lists a key with this id (not proof): {' '.join(lines[0].split()[8:])}"


def _version(release: str) -> list[int]:
    return [int(n) for n in re.findall(r"\d+", release)]


def _preference(path: Path) -> tuple[int, str]:
    """depmod's usual search order: updates before extra before what came with the kernel."""
    first = path.parts[0]
    return (PREFERRED.index(first) if first in PREFERRED else len(PREFERRED), str(path))
