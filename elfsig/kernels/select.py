"""Which profile a kernel has: by its release, by a module's vermagic, by an image of it.

A release is what ``uname -r`` prints: ``6.1.0-54-amd64``, ``2.6.32-431.el6.x86_64``, ``5.15.0-91-generic``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

from elfsig.elf.image import Image
from elfsig.elf.modinfo import value
from elfsig.errors import UsageError
from elfsig.kernels import config as configs
from elfsig.kernels.catalogue import ALIASES, PROFILES, get, mainline
from elfsig.kernels.profile import Profile, Trust
from elfsig.kernels.tables_distros import PLATFORM, RETRY, WITH_PLATFORM
from elfsig.kernels.tables_trailers import MACHINE
from elfsig.model import Basis
from elfsig.opened.evidence import read

AUTO = "auto"
RELEASE = re.compile(r"\d+\.\d+(?:\.\d+)?(?:[-+.].*)?\Z")
_BANNER = re.compile(rb"Linux version (\d[!-~]{1,128})")
_DEBIAN_ARCH = (
    r"(?:amd64|arm64|armmp|armmp-lpae|686|686-pae|s390x|powerpc64le|loong64|riscv64|[45]kc-malta|octeon)"
)


def _numbers(release: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", release.partition("-")[0].partition("+")[0])[:3]))


def _mainline(release: str) -> Profile:
    version = _numbers(release)[:2]
    if re.match(r"3\.7\.0-rc1\b", release):
        return PROFILES["3.7-rc1"]
    found = [row for since, row in mainline() if since <= version]
    if not found:
        raise UsageError(f"no profile for the release {release}", code="unknown-kernel", hint="kernel")
    return found[-1]


def _el6(release: str) -> Profile:
    """SHA-2 came with 6.6 (504) at the latest; OpenVZ's stab103 is built on it."""
    number = re.search(r"2\.6\.32-(\d+)(?:stab(\d+))?", release)
    late = number is not None and (int(number[1]) > 431 or int(number[2] or 0) >= 103)
    return PROFILES["rhel6-late" if late else "rhel6-early"]


def _fixed(name: str) -> Callable[[str], Profile]:
    return lambda release: PROFILES[name]


def _patched(
    name: str, trust: Trust, exact: Mapping[str, str] = MappingProxyType({})
) -> Callable[[str], Profile]:
    """The distribution's own row where ``exact`` has one; else mainline's row with its keyrings.

    It is chosen by a release or by the id of a mainline row; its own id is made of both names.
    """

    def choose(release: str) -> Profile:
        row = PROFILES.get(release) or _mainline(release)
        if row.id in exact:
            return PROFILES[exact[row.id]]
        if row.walk != "cms":
            return row
        title = f"{name}, {row.title}"
        return replace(
            row, id=f"{name.lower()}-{row.id}", title=title, trust=trust, basis=Basis.RECALLED,
            notes=(*row.notes, RETRY),
            source=f"mainline {row.id}; what the distribution adds is recalled",
        )  # fmt: skip

    return choose


PATCHED: Mapping[str, Callable[[str], Profile]] = {
    "fedora": _patched("Fedora", WITH_PLATFORM, {"6.12": "fedora"}),
    "sles": _patched("SLES", WITH_PLATFORM),
    "debian": _patched(
        "Debian", Trust((MACHINE, PLATFORM), revoked_files=True), {"6.12": "debian-6.12", "7.0": "debian-7.2"}
    ),
    "ubuntu": _patched(
        "Ubuntu", WITH_PLATFORM, {"5.4": "ubuntu-5.4", "5.13": "ubuntu-5.15", "6.12": "ubuntu"}
    ),
}
"""Distributions whose releases follow mainline, for those without a row: ``debian-5.4`` is such an id."""

RULES: tuple[tuple[str, Callable[[str], Profile]], ...] = (
    (r"2\.6\.39-.*uek", _fixed("uek2-nobuildid")),
    (r"2\.6\.32-\d+(?:stab\d+.*|.*\.el6.*)(?<!uek)$", _el6),
    (r"2\.6\.18-.*\.?el5", _fixed("rhel5")),
    (r"2\.6\.9-.*EL", _fixed("rhel4")),
    (r"2\.6\.0-test", _fixed("gkh-2003")),
    (r"2\.6\.[5-8]-\d.*", _fixed("fc2")),
    (r"2\.6\.\d+-.*(?:FC[2-4]|fc[34])", _fixed("fc4")),
    (r"2\.6\.\d+-.*(?:FC[56]|fc[56])", _fixed("fc6")),
    (r"3\.10\.0-.*\.el7", _fixed("rhel7")),
    (r"4\.18\.0-.*\.el8", _fixed("rhel8")),
    (r"5\.14\.0-.*\.el9", _fixed("rhel9")),
    (r"6\.12\.0-.*\.el10", _fixed("rhel10")),
    (r".*-android\d+-", _fixed("android-gki")),
    (r"\d+\.\d+\.\d+.*\.fc\d+", PATCHED["fedora"]),
    (r"3\.12\.\d+-.*-default", _fixed("sles12")),
    (r"\d+\.\d+\.\d+-.*-(?:default|preempt|azure)$", PATCHED["sles"]),
    (r"6\.1\.\d+-\d+(?:-[a-z]+)*-" + _DEBIAN_ARCH, _fixed("debian-6.1")),
    (r"\d+\.\d+(?:\.\d+)?(?:-\d+|\+deb\d+\w*|\+bpo\d*|-\d+\.bpo\.\d+)+(?:-[a-z]+)*-" + _DEBIAN_ARCH + r"\b",
     PATCHED["debian"]),
    (r"\d+\.\d+\.\d+-\d+-(?:generic|lowlatency|aws|azure|gcp|oracle|kvm|oem|raspi|nvidia|ibm)",
     PATCHED["ubuntu"]),
)  # fmt: skip
"""What a release looks like, and how its profile is chosen; the first that fits counts."""


def for_release(release: str) -> Profile:
    """The profile of a release. Raises UsageError where none is known."""
    if re.match(r"2\.6\.32-.*uek", release):
        raise UsageError(f"{release}: Oracle's UEK1 was not examined; its relatives are rhel6-early and uek2")
    for rule, choose in RULES:
        if re.match(rule, release):
            return choose(release)
    return _mainline(release)


def for_module(image: Image) -> Profile:
    """The profile of the kernel that a module was built for. Raises UsageError where it does not say."""
    vermagic = value(image, b"vermagic")
    if not vermagic:
        raise UsageError(
            "the module has no vermagic to select a kernel by", code="no-vermagic", hint="kernel"
        )
    return for_release(vermagic.split()[0])


class KernelFile(NamedTuple):
    """What a kernel image says of itself: ``release``, and its configuration where it carries one."""

    release: str
    config: str | None


def read_image(data: bytes) -> KernelFile | None:
    """The release and the configuration in a kernel image of any form; None where there is no banner."""
    from elfsig.trust.kernel_image import contents

    release = config = None
    for content in contents(data):
        found = _BANNER.search(content)
        if found:
            release = release or found[1].decode("ascii")
            config = configs.embedded(content)
            if config is not None or release:
                break
    return KernelFile(release, config) if release else None


class Chosen(NamedTuple):
    """What ``--kernel`` names: a profile, or None for the one of each module's own vermagic.

    ``config`` is the image's own configuration; ``image`` the image's path, whose keys the kernel holds.
    """

    profile: Profile | None
    config: str | None = None
    image: str | None = None
    release: str | None = None


def choose(text: str) -> Chosen:
    """The kernel that ``--kernel TEXT`` means: an id, "auto", a release, or a file. Raises UsageError."""
    if text == AUTO:
        return Chosen(None)
    if text in PROFILES or text in ALIASES:
        return Chosen(get(text))
    if RELEASE.match(text) and not os.path.isfile(text):
        return Chosen(for_release(text), release=text)
    distribution, _, row = text.partition("-")
    if distribution in PATCHED and row in PROFILES and PROFILES[row].walk == "cms":
        return Chosen(PATCHED[distribution](row))
    if not os.path.isfile(text):
        if os.sep in text:
            raise UsageError(f"{text}: no such kernel image", code="unknown-kernel")
        get(text)
    image = read_image(read(text).content)
    if image is None:
        raise UsageError(f"{text}: no kernel image: there is no 'Linux version' in it", code="unknown-kernel")
    return Chosen(for_release(image.release), image.config, text, image.release)
