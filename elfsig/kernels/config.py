"""What a kernel's build configuration changes in a profile, option by option.

The text is that of ``/boot/config-*``, ``/proc/config.gz`` or IKCONFIG: ``CONFIG_X=y`` and
``# CONFIG_X is not set``. An option that the text does not mention changes nothing, unless
the text is a whole configuration.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Mapping

from elfsig.kernels import boot_line
from elfsig.kernels.boot_line import Options as Options
from elfsig.kernels.boot_line import Passed
from elfsig.kernels.key_rules import CaRule, Crypto, Trust
from elfsig.kernels.mode import PERMISSIVE, BootParameter, Mode, merged
from elfsig.kernels.profile import Moks, Profile, SecureBoot
from elfsig.kernels.tables import parameters
from elfsig.kernels.tables.mainline import REPLIES
from elfsig.kernels.tables.vendors import ANDROID_GKI
from elfsig.lazy_dataclass import dataclass, replace
from elfsig.recognition.text import plain_text

_LINE = re.compile(r"^(?:CONFIG_(\w+)=(.*)|# CONFIG_(\w+) is not set)[ \t\r]*$", re.MULTILINE)
IKCONFIG_START = b"IKCFG_ST"
MAX_CONFIG = 16 << 20


def parse(text: str) -> Options:
    """The options in the text of a configuration: names without CONFIG_, and values; "n" for "not set"."""
    return {m[1] or m[3]: (m[2] or "").rstrip().strip('"') if m[1] else "n" for m in _LINE.finditer(text)}


def is_config(data: bytes) -> bool:
    """Whether this is the text of a kernel configuration, plain or compressed with gzip (/proc/config.gz)."""
    return b"CONFIG_" in read(data)[:65536].encode()


def read(data: bytes) -> str:
    """The text of a configuration file, decompressed where it is compressed with gzip."""
    if data[:2] == b"\x1f\x8b":
        data = _gunzip(data) or b""
    return plain_text(data).decode("utf-8", "replace")


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
    """A profile as it was built and started: the modes that its build and its command line switch on, and
    remarks for people. ``line_known``: the whole command line is known. ``line_doubt``: why it is not certain
    that the kernel is in the mode that its command line switches on, as a sentence."""

    profile: Profile
    mode: Mode = PERMISSIVE
    remarks: tuple[str, ...] = ()
    line_known: bool = False
    line_doubt: str | None = None


Change = Callable[[Profile], Profile]


def _without_keyring(*names: str) -> Change:
    def change(profile: Profile) -> Profile:
        rings = tuple(ring - set(names) for ring in profile.trust.rings)
        kept = tuple(ring for ring in rings if ring)
        return replace(profile, trust=replace(profile.trust, rings=kept or (frozenset({"builtin"}),)))

    return change


def _without_platform(profile: Profile) -> Profile:
    """Without a platform keyring, keys that the machine keyring does not take are not loaded at all.

    Kernels before 5.0 have the keys of the firmware on the keyring of the others, whatever this option says.
    """
    rings = tuple(ring for ring in profile.trust.rings if "platform" not in ring or "builtin" in ring)
    return replace(profile, trust=replace(profile.trust, rings=rings or profile.trust.rings))


def _without_machine(profile: Profile) -> Profile:
    """Machine owner keys go to the platform keyring then, which the kernel may ask as well."""
    rings = tuple(ring if "platform" in ring else ring - {"machine"} for ring in profile.trust.rings)
    return replace(profile, trust=replace(profile.trust, rings=rings))


def _without_secondary(profile: Profile) -> Profile:
    return _without_machine(_without_keyring("secondary")(profile))


def _never_revoked(profile: Profile) -> Profile:
    """Without the list of 5.13. Before PKCS#7 it was the blacklist keyring that was asked for keys."""
    if profile.walk != "cms":
        return profile
    return replace(profile, trust=replace(profile.trust, revoked_keys="never"))


def _without_blacklist(profile: Profile) -> Profile:
    trust = replace(profile.trust, revoked_keys="never", revoked_files=False, blacklist=None)
    return replace(profile, trust=trust)


def _without_firmware_keys(profile: Profile) -> Profile:
    boot = profile.secure_boot
    profile = _without_keyring("machine", "platform")(profile)
    return replace(profile, secure_boot=boot and boot._replace(moks="never"))


def _ca(rule: CaRule) -> Change:
    def change(profile: Profile) -> Profile:
        trust: Trust = replace(profile.trust, ca=rule)
        return replace(profile, trust=trust)

    return change


def _lacks(*names: str) -> Change:
    def change(profile: Profile) -> Profile:
        crypto = profile.crypto
        return replace(
            profile, crypto=replace(crypto, absent=crypto.absent | set(names), late=crypto.late - set(names))
        )

    return change


def _late(*names: str) -> Change:
    def change(profile: Profile) -> Profile:
        crypto = profile.crypto
        return replace(
            profile, crypto=replace(crypto, late=crypto.late | set(names), absent=crypto.absent - set(names))
        )

    return change


def _has(*names: str) -> Change:
    def change(profile: Profile) -> Profile:
        crypto = profile.crypto
        return replace(
            profile, crypto=replace(crypto, absent=crypto.absent - set(names), late=crypto.late - set(names))
        )

    return change


def _waives(profile: Profile) -> Profile:
    return replace(profile, crypto=replace(profile.crypto, waives_attributes=True))


def _protects(profile: Profile) -> Profile:
    return replace(profile, replies=ANDROID_GKI.replies, notes=(*profile.notes, *ANDROID_GKI.notes))


def _without_protection(profile: Profile) -> Profile:
    """A generic Android kernel without MODULE_SIG_PROTECT responds as mainline does."""
    if profile.id != ANDROID_GKI.id:
        return profile
    return replace(profile, replies=replace(REPLIES, lockdown=None), notes=())


def _without_ima(profile: Profile) -> Profile:
    """IMA_ARCH_POLICY needs IMA, and so did the loading of machine owner keys before 7.1."""
    boot = profile.secure_boot
    if boot is None:
        return profile
    moks: Moks = "never" if boot.moks == "ima" else boot.moks
    return replace(profile, secure_boot=boot._replace(moks=moks, enforces=False, assumed=False))


def _arch_policy(enforces: bool) -> Change:
    def change(profile: Profile) -> Profile:
        boot = profile.secure_boot or SecureBoot()
        return replace(profile, secure_boot=boot._replace(enforces=enforces, assumed=False))

    return change


def _locks(locks: bool) -> Change:
    def change(profile: Profile) -> Profile:
        boot = profile.secure_boot or SecureBoot()
        return replace(profile, secure_boot=boot._replace(locks=locks))

    return change


def _without_lockdown(profile: Profile) -> Profile:
    boot = profile.secure_boot
    return replace(
        profile,
        replies=replace(profile.replies, lockdown=None),
        secure_boot=boot and boot._replace(locks=False),
    )


def _without_lockdown_of(parameter: BootParameter) -> Change:
    """The lockdown of distributions before 5.4 and the security module of 5.4 have options of their own."""
    return lambda profile: _without_lockdown(profile) if parameter in profile.boot.parameters else profile


def _fips(built: bool) -> Change:
    return lambda profile: replace(profile, crypto=replace(profile.crypto, fips_built=built))


def _unpacks(*formats: str) -> Change:
    return lambda profile: replace(profile, unpacks=frozenset(formats))


_HASH_OPTIONS = {
    "MD4": ("md4",),
    "MD5": ("md5",),
    "SHA1": ("sha1",),
    "SHA256": ("sha256", "sha224"),
    "SHA512": ("sha512", "sha384"),
    "SHA3": ("sha3-256", "sha3-384", "sha3-512"),
    "SM3": ("sm3",),
    "SM3_GENERIC": ("sm3",),
    "RMD160": ("rmd160",),
}
_ALGORITHM_OPTIONS = {"ECDSA": ("ecdsa",), "MLDSA": ("mldsa44", "mldsa65", "mldsa87")}
_CRYPTO = {**_HASH_OPTIONS, **_ALGORITHM_OPTIONS}
_LOCKS_WITH = ("LOCK_DOWN_IN_EFI_SECURE_BOOT", "LOCK_DOWN_IN_SECURE_BOOT", "LOCK_DOWN_KERNEL_IN_SECUREBOOT")
"""Patches of distributions: Debian and Fedora, Ubuntu 20.04, Photon."""


def _walks(walk: str) -> Change:
    return lambda profile: replace(profile, walk=walk)


CHANGES: Mapping[tuple[str, str], Change] = {
    ("MODULE_SIG", "n"): _walks("none"),
    ("MODULES", "n"): _walks("no-modules"),
    **{(f"CRYPTO_{option}", "n"): _lacks(*names) for option, names in _CRYPTO.items()},
    **{(f"CRYPTO_{option}", "m"): _late(*names) for option, names in _CRYPTO.items()},
    **{(f"CRYPTO_{option}", "y"): _has(*names) for option, names in _CRYPTO.items()},
    ("SECONDARY_TRUSTED_KEYRING", "n"): _without_secondary,
    ("INTEGRITY_MACHINE_KEYRING", "n"): _without_machine,
    ("INTEGRITY_PLATFORM_KEYRING", "n"): _without_platform,
    ("INTEGRITY_CA_MACHINE_KEYRING", "y"): _ca("ca"),
    ("INTEGRITY_CA_MACHINE_KEYRING", "n"): _ca("none"),
    ("INTEGRITY_CA_MACHINE_KEYRING_MAX", "y"): _ca("ca-only"),
    ("LOAD_UEFI_KEYS", "n"): _without_firmware_keys,
    ("SYSTEM_REVOCATION_LIST", "n"): _never_revoked,
    ("SYSTEM_BLACKLIST_KEYRING", "n"): _without_blacklist,
    ("PKCS7_WAIVE_AUTHATTRS_REJECTION_FOR_MLDSA", "y"): _waives,
    ("MODULE_SIG_PROTECT", "y"): _protects,
    ("MODULE_SIG_PROTECT", "n"): _without_protection,
    ("IMA_ARCH_POLICY", "y"): _arch_policy(True),
    ("IMA_ARCH_POLICY", "n"): _arch_policy(False),
    ("IMA", "n"): _without_ima,
    **{(option, "n"): _locks(False) for option in _LOCKS_WITH},
    **{(option, "y"): _locks(True) for option in _LOCKS_WITH},
    ("LOCK_DOWN_KERNEL", "n"): _without_lockdown_of(parameters.ANY_LOCKDOWN),
    ("SECURITY_LOCKDOWN_LSM", "n"): _without_lockdown_of(parameters.LOCKDOWN),
    ("MODULE_DECOMPRESS", "n"): _unpacks(),
    ("CRYPTO_FIPS", "y"): _fips(True),
    ("CRYPTO_FIPS", "n"): _fips(False),
}
"""(option, value) and what it does to the profile, in this order."""

_MODES: Mapping[tuple[str, str], Mode] = {
    ("MODULE_SIG_FORCE", "y"): Mode(enforcing=True),
    ("LOCK_DOWN_MANDATORY", "y"): Mode(lockdown=True),
    ("LOCK_DOWN_KERNEL_FORCE_INTEGRITY", "y"): Mode(lockdown=True),
    ("LOCK_DOWN_KERNEL_FORCE_CONFIDENTIALITY", "y"): Mode(lockdown=True),
}
_IGNORED_FORCE = frozenset({"fc4", "fc6", "rhel4", "rhel5", "fc2"})
"""Kernels that have CONFIG_MODULE_SIG_FORCE in their configuration, and a verifier that ignores it."""
_WHOLE = 500
"""A text with more options than this is a whole configuration: what it does not mention is off."""
_OFF_WHEN_MISSING = (
    "INTEGRITY_CA_MACHINE_KEYRING", "IMA_ARCH_POLICY", "MODULE_DECOMPRESS", "SYSTEM_REVOCATION_LIST",
    "MODULE_SIG_PROTECT", "CRYPTO_FIPS", "SECURITY_LOCKDOWN_LSM", "IMA",
)  # fmt: skip
_NEEDED_BY: Mapping[str, tuple[str, ...]] = {
    "SECURITY": ("SECURITY_LOCKDOWN_LSM", "INTEGRITY"),
    "INTEGRITY": ("IMA", "INTEGRITY_SIGNATURE"),
    "INTEGRITY_SIGNATURE": ("INTEGRITY_ASYMMETRIC_KEYS",),
    "INTEGRITY_ASYMMETRIC_KEYS": ("INTEGRITY_PLATFORM_KEYRING", "INTEGRITY_MACHINE_KEYRING"),
    "SYSTEM_BLACKLIST_KEYRING": ("INTEGRITY_PLATFORM_KEYRING", "INTEGRITY_MACHINE_KEYRING"),
}
"""What depends on an option, in security/Kconfig, security/integrity/Kconfig and certs/Kconfig of 7.3: it is
off where that is off, and then a configuration does not mention it. In the order of the dependencies."""
_FIRMWARE_KEYS = ("LOAD_UEFI_KEYS", "LOAD_IPL_KEYS", "LOAD_PPC_KEYS")
"""Without a question of their own, so never "not set"; they go with the platform keyring of 5.0."""


def apply(profile: Profile, options: Options, passed: Passed | None = None) -> Built:
    """``profile`` as built with ``options``; ``passed``: the command line that it is started with, None where
    that is not known."""
    options = _completed(options)
    modes = [mode for (name, value), mode in _MODES.items() if options.get(name) == value]
    if profile.id in _IGNORED_FORCE:
        modes = []
    lines = boot_line.read_by(options, passed)
    remarks, doubt = tuple(_remarks(options, profile.crypto)), _line_doubt(profile, options, passed, lines)
    for (name, value), change in CHANGES.items():
        if options.get(name) == value:
            profile = change(profile)
    for change in _by_list(options, lines):
        profile = change(profile)
    modes += [profile.boot.mode(line) for line in lines]
    modes.append(PERMISSIVE if passed is None else passed.logged)
    return Built(profile, merged(modes), remarks, boot_line.is_known(options, passed), doubt)


def _line_doubt(
    profile: Profile, options: Options, passed: Passed | None, lines: tuple[str, ...]
) -> str | None:
    mode = merged(profile.boot.mode(line) for line in lines)
    starts = boot_line.lockdown_starts(options, lines, len(options) > _WHOLE)
    if starts is None and parameters.LOCKDOWN in profile.boot.parameters:
        return boot_line.UNSURE
    default = passed is not None and passed.is_empty and boot_line.use(options) == "otherwise"
    return boot_line.DEFAULT if default and mode != PERMISSIVE else None


def _completed(options: Options) -> Options:
    """``options`` with "n" for what a whole configuration leaves out because something else is off."""
    missing = list(_OFF_WHEN_MISSING) if len(options) > _WHOLE else []
    if "SECONDARY_TRUSTED_KEYRING" in options:
        missing.append("INTEGRITY_MACHINE_KEYRING")
    if options.get("MODULE_SIG_FORCE") == "y":
        missing.append("MODULE_SIG_PROTECT")
    if len(options) > _WHOLE and options.get("INTEGRITY_PLATFORM_KEYRING") == "y":
        missing += ["LOAD_UEFI_KEYS"] if not any(options.get(each) == "y" for each in _FIRMWARE_KEYS) else []
    for name, dependent in _NEEDED_BY.items():
        if options.get(name) == "n" or name in missing:
            missing += dependent
    return {**dict.fromkeys(missing, "n"), **options}


def _by_list(options: Options, lines: tuple[str, ...]) -> Iterator[Change]:
    """Changes by options whose value is more than y, m or n."""
    if boot_line.lockdown_starts(options, lines, len(options) > _WHOLE) is False:
        yield _without_lockdown_of(parameters.LOCKDOWN)
    if options.get("MODULE_DECOMPRESS") == "y":
        named = [f for f in ("gzip", "xz", "zstd") if options.get(f"MODULE_COMPRESS_{f.upper()}") == "y"]
        if named:
            yield _unpacks(*named)
    if (name := options.get("MODULE_SIG_HASH")) is not None:
        yield lambda profile: replace(profile, hash=name)


def _remarks(options: Options, crypto: Crypto) -> Iterator[str]:
    if options.get("MODULES") == "n":
        yield "built without CONFIG_MODULES: it loads no module"
    elif options.get("MODULE_SIG") == "n":
        yield "built without CONFIG_MODULE_SIG: signatures are not checked, every module loads"
        if options.get("IMA_ARCH_POLICY") == "y":
            yield "under Secure Boot IMA demands a signature of its own then, which is not simulated"
    if line := boot_line.own(options):
        only = boot_line.ONLY_WITHOUT if boot_line.use(options) == "otherwise" else ""
        yield f"has a command line of its own (CONFIG_CMDLINE){only}: {line}"
    known = crypto.hashes | crypto.algorithms
    built_late = [option for option in _CRYPTO if options.get(f"CRYPTO_{option}") == "m"]
    late = [option for option in built_late if known & set(_CRYPTO[option])]
    if late:
        yield (
            f"built with {', '.join(late)} as modules: assumed to be loaded before the module, but not before"
            " the kernel reads its certificates"
        )
    beyond = [
        option for option in ("SM2", "ECRDSA", "STREEBOG") if options.get(f"CRYPTO_{option}") in ("y", "m")
    ]
    if beyond:
        yield f"built with {', '.join(beyond)}: elfsig cannot check such signatures"
    if options.get("CHECK_CODESIGN_EKU") == "y":
        yield "built with CHECK_CODESIGN_EKU: a key must be meant for signing code, which is not simulated"
    if any(options.get(option) == "y" for option in _LOCKS_WITH):
        yield "locks itself down when it is started by Secure Boot"
    if options.get("IMA_ARCH_POLICY") == "y":
        yield "demands valid signatures (module.sig_enforce) when it is started by Secure Boot"
