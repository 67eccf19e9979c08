"""A Debian kernel as the oracle uses it: its image, its configuration, and modules of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from elfsig.compression.whole import Compression
from elfsig.kernels import config as configs
from elfsig.opened import evidence
from elfsig.opened.evidence import Evidence
from elfsig.verbs.edit.strip import strip
from tests.support.bootable import bootable
from tests.support.kernels import Unpacked
from tests.support.opened import opened

SAMPLE = "cordic"
"""A module of every Debian kernel that needs no other one and does nothing when it is loaded."""

HASHES = ("sha512_generic", "sha3_generic", "sha3")
"""Hashes that some of Debian's kernels have as modules: loaded first, as udev and initramfs do."""

COMPRESSIONS: tuple[Compression, ...] = ("gzip", "xz", "zstd")
STAND_IN = "newest"
"""Whose modules are asked about where a mirror has kept a kernel's image and not its modules."""


@dataclass(frozen=True)
class Kernel:
    """An unpacked kernel package."""

    package: Unpacked

    @cached_property
    def image(self) -> Path:
        return self.package.vmlinuz()

    @cached_property
    def release(self) -> str:
        return self.image.name.partition("-")[2] or self.image.parent.name

    @cached_property
    def config(self) -> Path | None:
        """The build configuration; None where the package that has it is gone."""
        try:
            return self.package.config()
        except StopIteration:
            return None

    @cached_property
    def options(self) -> configs.Options:
        return configs.parse(self.config.read_text()) if self.config else {}

    @cached_property
    def modules(self) -> dict[str, Path]:
        """The file of each module, by its name."""
        return {p.name.partition(".ko")[0].replace("-", "_"): p for p in self.package.modules()}

    @property
    def whole(self) -> bool:
        """Whether its modules are there as well."""
        return SAMPLE in self.modules

    @cached_property
    def shipped(self) -> Evidence:
        """SAMPLE as Debian ships it; of another kernel, which cannot load here, where there is none."""
        if self.whole:
            return evidence.read(str(self.modules[SAMPLE]))
        other = bootable(STAND_IN)
        assert other is not None
        return Kernel(other).shipped

    @cached_property
    def base(self) -> bytes:
        """SAMPLE without its signature."""
        return strip(opened(self.shipped.content)).content

    @cached_property
    def unpacks(self) -> Compression | None:
        """How modules are compressed that the kernel unpacks itself, as /sys/module/compression says."""
        if self.options.get("MODULE_DECOMPRESS") != "y":
            return None
        return next(k for k in COMPRESSIONS if self.options.get(f"MODULE_COMPRESS_{k.upper()}") == "y")

    def needed(self, *names: str) -> dict[str, bytes]:
        """Modules with all that they depend on, in the order of loading; those that it lacks are left out."""
        found: dict[str, bytes] = {}
        for name in names:
            for each, content in self._with_dependencies(name):
                found.setdefault(each, content)
        return found

    def _with_dependencies(self, name: str) -> Iterator[tuple[str, bytes]]:
        if name not in self.modules:
            return
        content = evidence.read(str(self.modules[name])).content
        depends = re.search(rb"\0depends=([^\0]*)\0", content)
        for each in depends[1].decode().split(",") if depends else ():
            yield from self._with_dependencies(each.replace("-", "_"))
        yield name, content
