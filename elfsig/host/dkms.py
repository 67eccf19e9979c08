"""DKMS: make it sign modules with elfsig, and sign again what it has built and installed.

DKMS offers two ways: ``sign_file``, ``mok_signing_key`` and ``mok_certificate`` in
/etc/dkms/framework.conf.d, for every module; or a POST_BUILD hook in /etc/dkms/NAME.conf, which DKMS reads
after the dkms.conf of the module, for the named modules.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from elfsig.errors import ReadError, UsageError, WriteError
from elfsig.host.dkms_paths import expanded
from elfsig.host.dkms_texts import MARK, framework_text, hook_text, link_text
from elfsig.host.dkms_texts import Setup as Setup
from elfsig.host.files import Files
from elfsig.host.shell import assignments
from elfsig.kernels.names import SUFFIX
from elfsig.opened.atomic import replace_link, write_atomic
from elfsig.opened.source import read_error, system_text

CONFIG: Final = "etc/dkms"
FRAMEWORK: Final = f"{CONFIG}/framework.conf.d/elfsig.conf"
HOOK: Final = f"{CONFIG}/elfsig-sign.sh"
LINK: Final = f"{CONFIG}/elfsig-sign.conf"
TREE: Final = "/var/lib/dkms"
INSTALL: Final = "/lib/modules"
MOK_KEY: Final = f"{TREE}/mok.key"
MOK_CERTIFICATE: Final = f"{TREE}/mok.pub"
"""DKMS's own defaults, except on Ubuntu."""
UBUNTU: Final = ("/var/lib/shim-signed/mok/MOK.priv", "/var/lib/shim-signed/mok/MOK.der")

LIMIT: Final = 1 << 24
"""Maximum size of a file of configuration, in bytes."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*\Z")

# --------------------------------------------------------------------------- settings


def settings(root: Path) -> dict[str, str]:
    """The configuration of DKMS: framework.conf, then framework.conf.d in order; the last value counts.

    Raises ReadError.
    """
    files, folder = Files(root), root / CONFIG / "framework.conf.d"
    names = [name for name in files.names(folder) or () if name.endswith(".conf")]
    _refuse_denied(files)
    found: dict[str, str] = {}
    for path in (root / CONFIG / "framework.conf", *(folder / name for name in names)):
        found.update(assignments(text_of(root, path) or ""))
    return found


def text_of(root: Path, path: Path) -> str | None:
    """A file of configuration, which is found as the system below ``root`` finds it; None without one.

    Raises ReadError.
    """
    files = Files(root)
    try:
        real = files.real(path)
        is_file = real is not None and real.is_file()
        if real is not None and is_file and real.stat().st_size > LIMIT:
            raise ReadError(f"DKMS's configuration: {path}: more than {LIMIT} bytes", code="too-large")
        found = os.fsdecode(real.read_bytes()) if real is not None and is_file else None
    except OSError as reason:
        fault = read_error(reason)
        text = f"DKMS's configuration: {path}: {fault.text}"
        raise ReadError(text, code=fault.code) from None
    _refuse_denied(files)
    return found


def _refuse_denied(files: Files) -> None:
    if files.denied:
        raise ReadError(f"DKMS's configuration: {files.remarks[-1]}", code="permission-denied")


def kernel_hash(root: Path, kernel: str) -> str:
    """The hash that a kernel's configuration names for modules, as DKMS looks it up; else sha256."""
    install = root / INSTALL.lstrip("/") / kernel
    for path in (install / "build" / ".config", install / "config", root / f"boot/config-{kernel}"):
        text = text_of(root, path)
        if text is not None:
            return dict(assignments(text)).get("CONFIG_MODULE_SIG_HASH") or "sha256"
    return "sha256"


# --------------------------------------------------------------------------- setting up


def setup(root: Path, wish: Setup, *, force: bool = False) -> list[str]:
    """Write the configuration; returns the paths that were written or already correct, without ``root``.

    Raises UsageError, or, before anything is written, WriteError for a file that elfsig did not write, unless
    ``force``.
    """
    _check_names(wish.modules)
    for module in () if force else wish.modules:
        _refuse_taken(root, module)
    if not wish.modules:
        return [_write(root, FRAMEWORK, framework_text(wish), force=force)]
    tree = settings(root).get("dkms_tree", TREE)
    up = "../" * (len(Path(tree).parts) - 1 + 3)
    link = link_text(tree, up, HOOK)
    if not force:
        _refuse_foreign(root, LINK)
    written = [
        _write(root, HOOK, hook_text(wish), mode=0o755, force=force),
        _write(root, LINK, link, force=force),
    ]
    return written + [_link(root, module) for module in wish.modules]


def _check_names(modules: Iterable[str]) -> None:
    for module in modules:
        if not _NAME.match(module):
            raise UsageError(f"{module!r} is not the name of a DKMS module")


def _write(root: Path, name: str, text: str, *, mode: int = 0o644, force: bool) -> str:
    if not force:
        _refuse_foreign(root, name)
    path = _folder(root, name) / os.path.basename(name)
    target = Files(root).real(path) or path  # a link that leads to nothing there is itself replaced
    write_atomic(str(target), text.encode("utf-8", "surrogateescape"), mode=mode, follow=False)
    return f"/{name}"


def _refuse_foreign(root: Path, name: str) -> None:
    if Files(root).there(root / name) and MARK not in (text_of(root, root / name) or ""):
        raise WriteError(f"/{name}: exists, and was not written by elfsig", code="exists", hint="overwrite")


def _refuse_taken(root: Path, module: str) -> None:
    """Raises WriteError where a module has a configuration of its own."""
    path = root / CONFIG / f"{module}.conf"
    if not Files(root).there(path) or is_linked(root, module):
        return
    text = f"/{CONFIG}/{path.name} already exists: add the POST_BUILD of /{LINK} to it, or have it replaced"
    raise WriteError(text, code="exists", hint="overwrite")


def _folder(root: Path, name: str) -> Path:
    """The directory of a file, made where it is missing: no link on the way leads out of ``root``.

    Raises WriteError.
    """
    files, path, missing = Files(root), (root / name).parent, list[str]()
    try:
        while True:
            try:
                folder = files.resolved(path).joinpath(*reversed(missing))
                break
            except FileNotFoundError:
                if os.path.islink(path):
                    raise
                missing.append(path.name)
                path = path.parent
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as reason:
        raise WriteError(f"{path}: {(reason.strerror or '').lower()}") from None
    return folder


def _link(root: Path, module: str) -> str:
    """/etc/dkms/MODULE.conf as a link to the one file that all of them share."""
    name = f"{CONFIG}/{module}.conf"
    path = _folder(root, name) / os.path.basename(name)
    if _is_link_to_hook(path):
        return f"/{name}"
    try:
        replace_link(str(path), os.path.basename(LINK))
    except OSError as reason:
        raise WriteError(f"/{name}: {(reason.strerror or '').lower()}") from None
    return f"/{name}"


def remove(root: Path, modules: Sequence[str] = ()) -> list[str]:
    """Remove what :func:`setup` wrote, links included; returns the paths that were removed.

    With ``modules`` only what signs these goes: their links, and with the last link the hook itself. Raises
    UsageError, ReadError, WriteError.
    """
    _check_names(modules)
    links = _links(root)
    wanted = {f"{CONFIG}/{module}.conf" for module in modules} if modules else links.keys()
    own = (FRAMEWORK, LINK, HOOK) if not modules else (LINK, HOOK) if links.keys() <= wanted else ()
    gone = {name: path for name, path in links.items() if name in wanted}
    for name in own:
        if MARK in (text_of(root, root / name) or ""):
            gone[name] = _folder(root, name) / os.path.basename(name)
    removed: list[str] = []
    for name, path in gone.items():
        try:
            path.unlink()
        except OSError as reason:
            before = f" (removed before it: {', '.join(removed)})" if removed else ""
            raise WriteError(f"/{name}: not removed: {system_text(reason)}{before}") from None
        removed.append(f"/{name}")
    return removed


def _links(root: Path) -> dict[str, Path]:
    """The links to elfsig's hook in DKMS's configuration: name, and path."""
    files = Files(root)
    folder, names = files.real(root / CONFIG), files.names(root / CONFIG) or ()
    found = {f"{CONFIG}/{name}": folder / name for name in names if folder is not None}
    return {name: path for name, path in found.items() if _is_link_to_hook(path)}


def is_linked(root: Path, module: str) -> bool:
    """Whether a module's configuration is a link to the one that all of them share."""
    folder = Files(root).real(root / CONFIG)
    return folder is not None and _is_link_to_hook(folder / f"{module}.conf")


def _is_link_to_hook(path: Path) -> bool:
    return os.path.islink(path) and os.readlink(path) == os.path.basename(LINK)


# --------------------------------------------------------------------------- built modules


@dataclass(frozen=True, slots=True)
class Built:
    """One module that DKMS built, and the copies of it that are installed for its kernel."""

    module: str
    version: str
    kernel: str
    path: Path
    installed: tuple[Path, ...]

    @property
    def name(self) -> str:
        """The module with its version, as dkms takes it."""
        return f"{self.module}/{self.version}"


def built(root: Path, wanted: Iterable[str] = (), kernels: Iterable[str] = ()) -> list[Built]:
    """Everything that DKMS built, or only that of ``wanted`` (NAME or NAME/VERSION) and for ``kernels``.

    Raises UsageError where DKMS did not build one of ``wanted`` at all.
    """
    configured, files = settings(root), Files(root)
    tree = files.real(root / configured.get("dkms_tree", TREE).lstrip("/"))
    install = root / configured.get("install_tree", INSTALL).lstrip("/")
    names, releases = set(wanted), set(kernels)
    found: list[Built] = []
    copies: dict[str, dict[str, list[Path]]] = {}
    for path, (module, version, kernel) in _modules(files, tree):
        if names and not {module, f"{module}/{version}"} & names:
            continue
        if releases and kernel not in releases:
            continue
        if kernel not in copies:
            copies[kernel] = _by_name(files.real(install / kernel))
        same = copies[kernel].get(SUFFIX.sub("", path.name), [])
        found.append(Built(module, version, kernel, path, tuple(same)))
    there = {each.module for each in found} | {f"{each.module}/{each.version}" for each in found}
    if missing := sorted(names - there):
        raise UsageError(f"{missing[0]}: DKMS has not built this module (see dkms status)", code="not-found")
    return found


def _modules(files: Files, tree: Path | None) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """The modules in DKMS's tree, with name, version and kernel; none that is only a link out of the root."""
    for path in () if tree is None else sorted(tree.glob("*/*/*/*/module/*.ko*")):
        if tree is not None and SUFFIX.search(path.name) and not _is_link(tree, path):
            real = files.real(path)
            if real is not None and real.name == path.name:
                yield real, path.relative_to(tree).parts[:3]


def _is_link(tree: Path, path: Path) -> bool:
    """Whether the path leads through ``kernel-VERSION-ARCH``, DKMS's link to what is installed."""
    return any((tree / Path(*path.relative_to(tree).parts[:n])).is_symlink() for n in (2, 3, 4))


def _by_name(folder: Path | None) -> dict[str, list[Path]]:
    """The modules installed for one kernel, by name without suffix; links are left out."""
    found: dict[str, list[Path]] = {}
    for base, _, names in () if folder is None else os.walk(folder, onerror=_unlisted):
        for name in names:
            path = Path(base, name)
            if SUFFIX.search(name) and not path.is_symlink():
                found.setdefault(SUFFIX.sub("", name), []).append(path)
    return found


def _unlisted(reason: OSError) -> None:
    """Raises ReadError for a directory that cannot be listed: copies in it would not be signed again."""
    if not isinstance(reason, FileNotFoundError):  # removed meanwhile
        fault = read_error(reason)
        raise ReadError(f"{reason.filename} cannot be listed: {fault.text}", code=fault.code)


def _gentoo(environment: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Key and certificate that Gentoo names in the environment; one PEM file may hold both."""
    key = environment.get("MODULES_SIGN_KEY")
    return key, environment.get("MODULES_SIGN_CERT") or key


def _usual(root: Path) -> tuple[str, str]:
    """DKMS's own pair, on Ubuntu that of update-secureboot-policy; the other one where only that is there."""
    own = (MOK_KEY, MOK_CERTIFICATE)
    pairs = (UBUNTU, own) if "ubuntu" in system_ids(root) else (own, UBUNTU)
    files = Files(root)
    there = (each for each in pairs if all(files.there(root / path.lstrip("/")) for path in each))
    return next(there, pairs[0])


def system_ids(root: Path) -> set[str]:
    """ID and ID_LIKE of /etc/os-release, and their parts before a dash; empty without it."""
    for name in ("etc/os-release", "usr/lib/os-release"):
        data = Files(root).bytes(name)
        if data is None:
            continue
        found = dict(assignments(data.decode("utf-8", "replace")))
        words = f"{found.get('ID', '')} {found.get('ID_LIKE', '')}".split()
        return {part for word in words for part in (word, word.partition("-")[0])}
    return set()


def signing_words(
    root: Path,
    key: str | None,
    certificate: str | None,
    kernel: str,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> tuple[str, str]:
    """Key and certificate as given, else as DKMS is configured (where a path may name $kernelver).

    ``environment``: where DKMS is not configured, MODULES_SIGN_KEY and MODULES_SIGN_CERT in it count, which
    DKMS 3.4.3 reads on Gentoo.

    Raises UsageError where only one is given.
    """
    if (key is None) != (certificate is None):
        raise UsageError(
            "key and certificate go together: give both, or neither to use those of DKMS",
            code="key-and-certificate",
            hint="key-and-cert",
        )
    if key is not None and certificate is not None:
        return key, certificate
    configured = settings(root)
    own, usual = _gentoo(environment), _usual(root)
    words = (
        configured.get("mok_signing_key") or own[0] or usual[0],
        configured.get("mok_certificate") or own[1] or usual[1],
    )
    first, second = (within(root, kernel, word) for word in words)
    return first, second


def within(root: Path, kernel: str, word: str) -> str:
    """A configured key or certificate for one kernel of the system at ``root``, as a path here.

    It need not exist. Raises ReadError for a link that leads to nothing below ``root``.
    """
    if word.startswith("pkcs11:"):
        return word
    install, files = settings(root).get("install_tree", INSTALL), Files(root)
    path = root / expanded(word, root, kernel, install).lstrip("/")
    real = files.real(path)
    if real is None and files.remarks:
        raise ReadError(files.remarks[-1])
    return str(real or path)


def by_kernel(found: Sequence[Built]) -> dict[str, list[Built]]:
    """The modules of each kernel, kernels in order."""
    grouped: dict[str, list[Built]] = {}
    for each in found:
        grouped.setdefault(each.kernel, []).append(each)
    return dict(sorted(grouped.items()))
