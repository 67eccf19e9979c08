"""What a kernel's build configuration changes in a profile: table by table, option by option.

The text is that of ``/boot/config-*``, ``/proc/config.gz`` or IKCONFIG: ``CONFIG_X=y`` and
``# CONFIG_X is not set``. An option that the text does not mention changes nothing.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from elfsig.kernels.profile import PERMISSIVE, Mode, Profile, Trust
from elfsig.kernels.tables_distros import ANDROID_GKI

_LINE = re.compile(r"^(?:CONFIG_(\w+)=(.*)|# CONFIG_(\w+) is not set)$", re.MULTILINE)
IKCONFIG_START = b"IKCFG_ST"
MAX_CONFIG = 16 << 20

Options = Mapping[str, str]
"""Option names without CONFIG_, and their values; "n" for those that are not set."""


def parse(text: str) -> Options:
    """The options in the text of a configuration."""
    return {m[1] or m[3]: (m[2] or "").strip('"') if m[1] else "n" for m in _LINE.finditer(text)}


def is_config(data: bytes) -> bool:
    """Whether this is the text of a kernel configuration, perhaps packed with gzip (/proc/config.gz)."""
    return b"CONFIG_" in read(data)[:65536].encode()


def read(data: bytes) -> str:
    """The text of a configuration file, unpacked where it is packed with gzip."""
    if data[:2] == b"\x1f\x8b":
        data = _gunzip(data) or b""
    return data.decode("utf-8", "replace")


def _gunzip(data: bytes) -> bytes | None:
    try:
        return zlib.decompressobj(31).decompress(data, MAX_CONFIG)
    except zlib.error:
        return None


def embedded(image: bytes) -> str | None:
    """The configuration inside an unpacked kernel built with IKCONFIG (kernel/configs.c), else None."""
    start = image.find(IKCONFIG_START)
    if start < 0:
        return None
    text = _gunzip(image[start + len(IKCONFIG_START) :])
    return text.decode("utf-8", "replace") if text else None


# --------------------------------------------------------------------------- what options do


@dataclass(frozen=True, slots=True)
class Built:
    """A profile as it was built, what it enforces by itself, and remarks for people."""

    profile: Profile
    mode: Mode = PERMISSIVE
    remarks: tuple[str, ...] = ()


def _without_role(*roles: str) -> Callable[[Profile], Profile]:
    def change(profile: Profile) -> Profile:
        rings = tuple(ring - set(roles) for ring in profile.trust.rings)
        kept = tuple(ring for ring in rings if ring)
        return replace(profile, trust=replace(profile.trust, rings=kept or (frozenset({"builtin"}),)))

    return change


def _trust(**fields: bool) -> Callable[[Profile], Profile]:
    def change(profile: Profile) -> Profile:
        trust: Trust = replace(profile.trust, **fields)  # type: ignore[arg-type]  # only flags are given
        return replace(profile, trust=trust)

    return change


def _lacks(*names: str) -> Callable[[Profile], Profile]:
    def change(profile: Profile) -> Profile:
        return replace(profile, crypto=replace(profile.crypto, absent=profile.crypto.absent | set(names)))

    return change


def _late(*names: str) -> Callable[[Profile], Profile]:
    def change(profile: Profile) -> Profile:
        return replace(profile, crypto=replace(profile.crypto, late=profile.crypto.late | set(names)))

    return change


def _has(*names: str) -> Callable[[Profile], Profile]:
    def change(profile: Profile) -> Profile:
        return replace(profile, crypto=replace(profile.crypto, absent=profile.crypto.absent - set(names)))

    return change


def _waives(profile: Profile) -> Profile:
    return replace(profile, crypto=replace(profile.crypto, waives_attributes=True))


def _protects(profile: Profile) -> Profile:
    return replace(profile, replies=ANDROID_GKI.replies, notes=(*profile.notes, *ANDROID_GKI.notes))


_HASH_OPTIONS = {
    "MD4": ("md4",),
    "MD5": ("md5",),
    "SHA1": ("sha1",),
    "SHA256": ("sha256", "sha224"),
    "SHA512": ("sha512", "sha384"),
    "SHA3": ("sha3-256", "sha3-384", "sha3-512"),
    "SM3": ("sm3",),
}


def _unbuilt(profile: Profile) -> Profile:
    return replace(profile, walk="none")


CHANGES: Mapping[tuple[str, str], Callable[[Profile], Profile]] = {
    ("MODULE_SIG", "n"): _unbuilt,
    **{(f"CRYPTO_{option}", "n"): _lacks(*names) for option, names in _HASH_OPTIONS.items()},
    **{(f"CRYPTO_{option}", "m"): _late(*names) for option, names in _HASH_OPTIONS.items()},
    ("CRYPTO_ECDSA", "n"): _lacks("ecdsa"),
    ("CRYPTO_ECDSA", "y"): _has("ecdsa"),
    ("CRYPTO_MLDSA", "n"): _lacks("mldsa44", "mldsa65", "mldsa87"),
    ("SECONDARY_TRUSTED_KEYRING", "n"): _without_role("secondary", "machine"),
    ("INTEGRITY_MACHINE_KEYRING", "n"): _without_role("machine"),
    ("INTEGRITY_PLATFORM_KEYRING", "n"): _without_role("platform"),
    ("SYSTEM_REVOCATION_LIST", "n"): _trust(revoked_keys=False),
    ("PKCS7_WAIVE_AUTHATTRS_REJECTION_FOR_MLDSA", "y"): _waives,
    ("MODULE_SIG_PROTECT", "y"): _protects,
}
"""(option, value) and what it does to the profile."""

_MODES: Mapping[tuple[str, str], Mode] = {
    ("MODULE_SIG_FORCE", "y"): Mode(enforcing=True),
    ("LOCK_DOWN_KERNEL_FORCE_INTEGRITY", "y"): Mode(lockdown=True),
    ("LOCK_DOWN_KERNEL_FORCE_CONFIDENTIALITY", "y"): Mode(lockdown=True),
}
_IGNORED_FORCE = frozenset({"fc4", "fc6", "rhel4", "rhel5", "fc2"})
"""Kernels that have CONFIG_MODULE_SIG_FORCE in their configuration, and a verifier that ignores it."""


def apply(profile: Profile, options: Options) -> Built:
    """``profile`` as built with ``options``."""
    remarks = list(_remarks(options))
    modes = [mode for (name, value), mode in _MODES.items() if options.get(name) == value]
    if profile.id in _IGNORED_FORCE:
        modes = []
    if "INTEGRITY_MACHINE_KEYRING" not in options and "SECONDARY_TRUSTED_KEYRING" in options:
        options = {**options, "INTEGRITY_MACHINE_KEYRING": "n"}
    for (name, value), change in CHANGES.items():
        if options.get(name) == value:
            profile = change(profile)
    return Built(profile, merged(modes), tuple(remarks))


def merged(modes: list[Mode]) -> Mode:
    """Whatever is on in one of them is on."""
    return Mode(*(any(each) for each in zip(*modes, strict=True))) if modes else Mode()


def _remarks(options: Options) -> Iterator[str]:
    if options.get("MODULE_SIG") == "n":
        yield "built without CONFIG_MODULE_SIG: signatures are not looked at, every module loads"
    late = [option for option in _HASH_OPTIONS if options.get(f"CRYPTO_{option}") == "m"]
    if late:
        yield f"built with {', '.join(late)} as modules: they are taken to be loaded"
    if options.get("LOCK_DOWN_IN_EFI_SECURE_BOOT") == "y":
        yield "locks itself down when booted with Secure Boot"
