"""What a running or mounted system says of its kernel, keys and modules. All reads go below one root.

Sources: /proc/sys/kernel/osrelease, /proc/cmdline, /proc/keys, /sys/module/module/parameters/sig_enforce,
/sys/kernel/security/lockdown, /boot, /lib/modules, the UEFI variables under /sys/firmware/efi. Nothing is
written, and what cannot be read is said.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from elfsig.errors import ElfsigError, UsageError
from elfsig.kernels import config as configs
from elfsig.kernels import modes
from elfsig.kernels.names import module_name
from elfsig.kernels.profile import Mode
from elfsig.model import Key, KeyId
from elfsig.opened.evidence import MODULE_SUFFIXES, read
from elfsig.trust.entries import Material, Origin, gather
from elfsig.trust.kernel_image import contents
from elfsig.trust.keyring import read_path
from elfsig.trust.ring import Ring

MODULE_DIRS = ("lib/modules", "usr/lib/modules")
EFIVARS, MOKVARS = "sys/firmware/efi/efivars", "sys/firmware/efi/mok-variables"
SHIM, GLOBAL = "605dab50-e046-4300-abb6-3dd810dd8b23", "8be4df61-93ca-11d2-aa0d-00e098032b8c"
SECURITY = "d719b2cb-3d3a-4596-a3bc-dad00e67656f"
OWN_KEYS = (
    ("var/lib/shim-signed/mok/MOK.priv", "var/lib/shim-signed/mok/MOK.der"),
    ("var/lib/dkms/mok.key", "var/lib/dkms/mok.pub"),
    ("root/mok.key", "root/mok.der"),
)
"""Private key and certificate: where DKMS keeps those that it signs with, and where :data:`NEW_KEY` goes."""
NEW_KEY = "root/mok"
INITRAMFS = ("boot/initrd.img-{}", "boot/initramfs-{}.img", "boot/initrd-{}", "lib/modules/{}/initramfs.img")
PREFERRED = ("updates", "extra", "weak-updates", "kernel")
_CPIO_NAME = rb"lib/modules/[^\0]{1,200}/%s\.ko(?:\.gz|\.xz|\.zst)?\0"


@dataclass
class Machine:
    """The system below ``root``; ``remarks`` collects what could not be read and what was noticed.

    ``denied``: something that decides may only be read by the superuser.
    """

    root: Path
    remarks: list[str] = field(default_factory=list)
    denied: bool = False

    def _path(self, name: str) -> Path:
        return self.root / name

    def _text(self, name: str) -> str | None:
        data = self._bytes(name)
        return None if data is None else data.decode("utf-8", "replace").strip("\0\n ")

    def _bytes(self, name: str) -> bytes | None:
        """A file's content; None where it is missing. What may not be read is remarked."""
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
        self.remarks.append(f"{path} can be looked at by the superuser only")

    # ----------------------------------------------------------------- kernel

    @cached_property
    def release(self) -> str:
        """The running kernel's release; of a mounted system, the newest with modules. Raises UsageError."""
        running = self._text("proc/sys/kernel/osrelease")
        if running:
            return running
        found = [p.name for d in MODULE_DIRS if self._path(d).is_dir() for p in self._path(d).iterdir()]
        if not found:
            raise UsageError(f"{self.root}: no kernel's modules are there", code="no-kernel")
        return max(found, key=_version)

    @property
    def image(self) -> Path | None:
        """The kernel's image in /boot, or beside its modules."""
        names = [f"boot/vmlinuz-{self.release}", f"boot/vmlinux-{self.release}"]
        names += [f"{d}/{self.release}/vmlinuz" for d in MODULE_DIRS]
        return next((self._path(n) for n in names if self._is_file(self._path(n))), None)

    def options(self) -> configs.Options | None:
        """The kernel's build configuration; None where there is none."""
        for name in (f"boot/config-{self.release}", "proc/config.gz", f"lib/modules/{self.release}/config"):
            data = self._bytes(name)
            if data:
                return configs.parse(configs.read(data))
        self.remarks.append("the kernel's configuration was not found")
        return None

    def mode(self) -> Mode:
        """How strict the kernel runs, as it says itself."""
        enforce = self._text("sys/module/module/parameters/sig_enforce")
        lockdown = self._text("sys/kernel/security/lockdown")
        fips = self._text("proc/sys/crypto/fips_enabled")
        line = self._text("proc/cmdline")
        if enforce is None and lockdown is None and line is None:
            self.remarks.append(
                "it is not known whether this kernel enforces signatures: say in which mode it runs"
            )
        locked = bool(lockdown and re.search(r"\[(integrity|confidentiality)\]", lockdown))
        told = Mode(enforce in ("Y", "1"), locked, fips == "1")
        return configs.merged([told, modes.words_of(line or "")])

    # ----------------------------------------------------------------- modules

    def find(self, name: str) -> Path:
        """The file of the module ``name``, "-" and "_" being the same. Raises UsageError."""
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
            self.remarks.append("modules.dep does not list the module, it was searched for: run depmod -a")
        return min(found, key=lambda p: _preference(p.relative_to(base)), default=None)

    def initramfs(self, name: str) -> str:
        """Whether the initramfs holds a copy of the module, in words."""
        files = (self._path(each.format(self.release)) for each in INITRAMFS)
        path = next((each for each in files if self._is_file(each)), None)
        if path is None:
            return "no initramfs of this kernel was found"
        try:
            data = read(str(path)).raw
        except ElfsigError as reason:
            return f"{path} cannot be read ({reason.text}): whether it holds a copy is not known"
        parts = module_name(name).encode().split(b"_")
        rule = re.compile(_CPIO_NAME % b"[-_]".join(map(re.escape, parts)))
        if any(rule.search(content) for content in contents(data)):
            return f"{path} holds a copy of the module too, perhaps another one: rebuild it after signing"
        return f"{path} holds no copy of the module"

    # ----------------------------------------------------------------- keys

    def ring(self, given: Iterable[Material] = ()) -> Ring:
        """The keys that the kernel should hold: ``given``, its image's, UEFI's, the machine owner's, and
        revocations."""
        return Ring(gather([*given, *self._materials()]))

    def _materials(self) -> Iterator[Material]:
        if self.image is None:
            self.remarks.append("no kernel image was found: its compiled-in keys are not known")
        else:
            yield from self._source(self.image, "builtin", None)
        yield from self._source(self._variable("db", SECURITY), "platform", "platform")
        yield from self._source(self._variable("dbx", SECURITY), "revoked", "revoked")
        if not self.secure_boot:
            self.remarks.append("Secure Boot is off or unknown: the kernel skips machine owner keys then")
            return
        trusted = self._variable("MokListTrustedRT", SHIM) is not None
        yield from self._source(
            self._variable("MokListRT", SHIM), "MOK", "machine" if trusted else "platform"
        )
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
        found = (self._path(f"{EFIVARS}/{name}-{vendor}"), self._path(f"{MOKVARS}/{name}"))
        return next((each for each in found if self._is_file(each)), None)

    @cached_property
    def secure_boot(self) -> bool:
        """Whether the firmware says that Secure Boot is on: the byte behind the attributes."""
        data = self._bytes(f"{EFIVARS}/SecureBoot-{GLOBAL}")
        return data is not None and data[4:5] == b"\1"

    def pending(self, ids: set[KeyId]) -> bool:
        """Whether a key of one of these ids waits for its enrolment (MokNew)."""
        path = self._variable("MokNew", SHIM)
        return path is not None and self._has(path, ids)

    def own(self, ids: set[KeyId]) -> tuple[Path, Path] | None:
        """The signing key pair on this system: the one with one of these ids, else the first there is."""
        every = [(self._path(key), self._path(cert)) for key, cert in OWN_KEYS]
        pairs = [pair for pair in every if self._is_file(pair[1])]
        return next((pair for pair in pairs if ids and self._has(pair[1], ids)), pairs[0] if pairs else None)

    def holds(self, path: Path, ids: set[KeyId]) -> bool:
        """Whether the certificate in a file has one of these ids."""
        return self._has(path, ids)

    def _has(self, path: Path, ids: set[KeyId]) -> bool:
        found: list[Key] = [key for m in self._source(path, str(path), None) for key in m.keys]
        return any(key.ids & ids for key in found)

    def loaded(self, key_id: str) -> str:
        """What /proc/keys says of a key id (hex): descriptions only, so never a proof."""
        text = self._text("proc/keys")
        if text is None:
            return "/proc/keys cannot be read"
        short = key_id[-8:].lower()
        lines = [line for line in text.splitlines() if "asymmetri" in line and short in line.lower()]
        if not lines:
            return f"/proc/keys lists no key {key_id}: it is not loaded, or you may not see it"
        return (
            f"/proc/keys lists a key of this id (a description, no proof): {' '.join(lines[0].split()[8:])}"
        )


def _version(release: str) -> list[int]:
    return [int(n) for n in re.findall(r"\d+", release)]


def _preference(path: Path) -> tuple[int, str]:
    """depmod's usual search order: updates before extra before what came with the kernel."""
    first = path.parts[0]
    return (PREFERRED.index(first) if first in PREFERRED else len(PREFERRED), str(path))
