"""A machine's files (tests.fuzz.trees): explain there, and what its databases, firmware and DKMS say.

No command that is printed is ever run, nor any other program: a record ``rpm`` has what rpm would answer.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache, partial
from pathlib import Path
from subprocess import TimeoutExpired
from types import SimpleNamespace
from typing import Any
from unittest import mock

import corpus
import elfsig
from elfsig.errors import ElfsigError
from elfsig.host import databases, dkms, dkms_hooks
from elfsig.host.explain import OnMachine, explain, question
from elfsig.host.files import Files
from elfsig.host.firmware import EFIVARS, GLOBAL, SHIM, Firmware
from elfsig.host.machine import Machine
from elfsig.host.shell import assignments
from elfsig.kernels.names import module_name
from elfsig.kernels.select import Chosen, for_release
from elfsig.model import Verdict
from elfsig.trust.entries import Material
from elfsig.trust.keyring import read_argument
from elfsig.verbs.verify.kernel import KernelQuestion
from tests.fuzz import seeds
from tests.fuzz.target import UNPACKING, VERB, Broken, Seeds, Target
from tests.fuzz.trees import Tree, home, in_order, mutator
from tests.fuzz.vocabulary import (
    ASKED,
    BOOT,
    DKMS,
    EXTRA,
    KERNEL,
    LISTS,
    MODULE,
    MODULES,
    PLAIN,
    RELEASE,
    RUNNING,
    VARIABLES,
    joined,
    words,
)

PROMISED = (ElfsigError,)
WRITES = ("elfsig sign", "elfsig dkms", "elfsig keys", "mokutil", "convert")


@cache
def given() -> Material:
    """The key that has signed, vouched for."""
    return read_argument(str(corpus.KEYS / "signer.cert.pem"), True)


@contextmanager
def system(data: bytes, *, writes: bool = False) -> Iterator[Tree]:
    """The system of an input, on which nothing is written (unless ``writes``), and no program runs."""
    tree = Tree(home(), words(), writes=writes)
    tree.fill(data, {"vfat.ko": PLAIN, "framework.conf.d/x.conf": b"mok_signing_key=/outside\n"})
    answer = tree.settings.get(b"rpm", b"")
    ran = SimpleNamespace(returncode=int(answer.startswith(b"!")), stdout=answer)
    program = SimpleNamespace(run=lambda *given, **more: ran, TimeoutExpired=TimeoutExpired)
    before = tree.shown()
    with mock.patch.object(databases, "subprocess", program), nullcontext() if writes else tree.as_user():
        yield tree
    if not writes and (now := tree.shown()) != before:
        differ = [name for name in {*now, *before} if now.get(name) != before.get(name)]
        raise Broken("written", repr(sorted(differ)))


# --------------------------------------------------------------------------- explain


def explained(data: bytes) -> None:
    """A module on a machine, live or mounted, with directories in either order: the answers agree, nothing
    is written, and no advice is what must not be done."""
    with system(data) as tree:
        name = os.fsdecode(tree.settings.get(b"module", b"vfat").replace(b"\0", b""))
        if name.startswith("/"):
            name = f"{tree.root}/{os.path.normpath(name)}"
        elif "/" in name:
            return
        found, other = (_asked(tree, name, reverse) for reverse in (False, True))
        if isinstance(found, ElfsigError) or isinstance(other, ElfsigError):
            _same("refused", str(found), str(other))
            return
        for what in ("facts", "remarks", "step"):
            _same(what, getattr(found, what), getattr(other, what))
        _same("predictions", found.asked.predictions, other.asked.predictions)
        mounted = b"mounted" in tree.settings
        if found.command and mounted and not found.command.startswith("sudo elfsig explain --root "):
            raise Broken("mounted", found.command)
    _command(found)
    _advice(found, tree)


def _asked(tree: Tree, name: str, reverse: bool) -> OnMachine | ElfsigError:
    machine = Machine(tree.root, live=b"mounted" not in tree.settings)
    keys = [given()] if b"given" in tree.settings else []
    with in_order(reverse):
        try:
            return explain(machine, question(machine, KernelQuestion(Chosen(None)), keys), name)
        except ElfsigError as reason:
            return reason


def _same(what: str, one: object, other: object) -> None:
    if one != other:
        raise Broken("differs", f"{what}: {one!r} and {other!r}")


def _command(found: OnMachine) -> None:
    """What is printed is what a shell takes for these words; a path in it is one that is there."""
    line = found.command
    if line is None:
        return
    if not line.isprintable():
        raise Broken("unprintable", repr(line))
    for command in _commands(line):
        last = command[-1]
        path, name = os.path.abspath(found.module.path), module_name(found.module.path)
        wanted = {"insmod": (path,), "modprobe": (name,), "sign": (path,), "explain": (path, name)}
        verb = next((each for each in command[1:3] if each in wanted), None)
        if command[0] != "sudo" or (verb is not None and last not in wanted[verb]):
            raise Broken("command", repr(command))
        if verb in ("insmod", "modprobe") and len(command) != 3:
            raise Broken("command", repr(command))
        _options(command)


def _commands(line: str) -> Iterator[list[str]]:
    """The commands of a line, as a shell separates them."""
    command: list[str] = []
    lexer = shlex.shlex(line, posix=True, punctuation_chars="&")
    lexer.whitespace_split, lexer.commenters = True, ""
    for word in lexer:
        if word == "&&":
            yield command
            command = []
        else:
            command.append(word)
    yield command


def _options(command: list[str]) -> None:
    """A private key and a certificate are named together, and are there; a URI is not a file."""
    for option in ("--key", "--cert"):
        if option in command:
            value = command[command.index(option) + 1]
            if not value.startswith("pkcs11:") and not os.path.lexists(value):
                raise Broken("no-such-file", repr(command))


def _advice(found: OnMachine, tree: Tree) -> None:
    """What was changed, or may be a vendor's, is not to be signed or trusted; and the first does not load."""
    with open(Files(tree.root).required(Path(found.module.path)), "rb") as file:
        content = file.read()
    report = elfsig.verify(content, elfsig.keyring(seeds.certificate()))
    command = found.command or ""
    signs = any(each in command for each in WRITES)
    source = found.facts.source
    invalid = report.verdict is Verdict.INVALID and b"given" in tree.settings
    unsigned = report.verdict is Verdict.UNSIGNED
    if signs and (invalid or source.kind == "differs" or (unsigned and source.kind == "package")):
        raise Broken("signs", f"{report.verdict} {source}: {command}")
    if signs and source.kind in ("none", "unknown") and source.vendor:
        raise Broken("signs-vendor-s", f"{source}: {command}")
    if invalid and ("modprobe" in command or "insmod" in command or "nothing needs" in found.step.text):
        raise Broken("loads-changed", f"{found.step}")
    for each in found.asked.predictions:
        if (invalid or unsigned) and each.fault == "ok":
            raise Broken("ok", f"{report.verdict}: {each}")
    _listed(found, tree)


def _listed(found: OnMachine, tree: Tree) -> None:
    """A file that is on a list of dpkg's, which can be read, belongs to that package."""
    inside = os.path.realpath(found.module.path).removeprefix(str(tree.root))
    folder = tree.root / "var/lib/dpkg/info"
    if folder.is_symlink() or not folder.is_dir() or (tree.root / "var").is_symlink():
        return
    for path in folder.iterdir():
        plain = path.suffix == ".list" and path.is_file() and not path.is_symlink()
        names = path.read_bytes().split(b"\n") if plain and path not in tree.sealed else ()
        if os.fsencode(inside) in names and found.facts.source.kind != "package":
            raise Broken("package", f"{inside}: {path.name}: {found.facts.source}")


# --------------------------------------------------------------------------- databases of packages


def listed(data: bytes) -> None:
    """Lists of packages: what they say of a module is the same in any order of directories, of its name and
    in their text."""
    with system(data) as tree:
        inside = "/" + os.fsdecode(tree.settings.get(b"module", MODULES[1:] + b"/kernel/vfat.ko")).lstrip("/")
        found = []
        for reverse in (False, True):
            with in_order(reverse):
                found.append(databases.search(tree.root, inside, inside))
        one, other = found
        _same("owner", one.owner, other.owner)
        _same("namesakes", one.namesakes, other.namesakes)
        _same("faults", list(map(str, one.faults)), list(map(str, other.faults)))
        rule = databases.of_name(module_name(inside))
        for each in one.namesakes:
            if not rule.search(os.fsencode(each.path)):
                raise Broken("name", repr(each))
        if one.owner is None and not one.faults and one.consulted == 0 and one.namesakes:
            raise Broken("consulted", repr(one))


# --------------------------------------------------------------------------- firmware


def booted(data: bytes) -> None:
    """Variables of the firmware: Secure Boot is off only where a variable of one byte says so, or where there
    is none among those that can be listed; and on only where SecureBoot says so."""
    with system(data) as tree:
        found = Firmware(Files(tree.root))
        state, folder = found.boot.state, tree.root / EFIVARS
        _ = found.ignores_db, found.trusts_moks, found.secure_boot
    if any(part.is_symlink() for part in (folder, *folder.parents, *tree.files())):
        return
    there, firmware = tree.names(folder), tree.names(folder.parents[1])
    names = (f"SecureBoot-{GLOBAL}", f"SetupMode-{GLOBAL}", f"MokSBStateRT-{SHIM}")
    value, setup, shim = (_byte(tree, folder / each) for each in names)
    said = f"{state}: {value!r} {setup!r} {shim!r}"
    if state == "on" and (value in (None, 0) or setup == 1):
        raise Broken("on", said)
    if state == "off" and names[0] in there and value != 0 and (value is None or setup != 1):
        raise Broken("off", said)
    if state == "off" and not there and "efi" in (firmware or ["efi"]):
        raise Broken("off", f"no variables, {firmware}")
    if state == "validation-off" and (value in (None, 0) or shim != 1):
        raise Broken("validation-off", said)


def _byte(tree: Tree, path: Path) -> int | None:
    """The value of a variable of one byte; None for any other, and for one that cannot be read."""
    data = path.read_bytes() if path.is_file() and path not in tree.sealed else b""
    return data[4] if len(data) == 5 else None


def owned(data: bytes) -> None:
    """Lists of keys: the machine owner's are the kernel's only under Secure Boot, and what is lost of a list
    is said."""
    with system(data) as tree:
        machine = Machine(tree.root)
        chosen = for_release(RELEASE.decode())
        assert chosen is not None
        found = machine.rings(chosen, ())
        ids = frozenset(each for key in found.booted.keys for each in key.ids)
        machine.owned(ids), machine.pending(ids), machine.listed()
        owners = [key for key in found.ring.keys if Path(key.source).name.startswith("MokListRT")]
        if owners and machine.firmware.secure_boot is not True:
            raise Broken("owners-keys", f"{machine.firmware.boot}: {owners!r}")
        for key in (*found.ring.keys, *found.booted.keys):
            if not key.source.startswith(f"{tree.root}/"):
                raise Broken("outside", repr(key))
        if machine.gaps and not machine.remarks:
            raise Broken("gaps", repr(machine.gaps))


# --------------------------------------------------------------------------- DKMS

OURS = ("Written by elfsig", "'elfsig-sign.conf'")


def set_up(data: bytes) -> None:
    """setup, and then remove: files and links are as they were, and nothing beside the root was touched."""
    with system(data, writes=True) as tree:
        before = _without_folders(tree)
        if any(text in repr(what) for what in before.values() for text in OURS):
            return  # what elfsig wrote earlier is elfsig's to remove
        told = {name: os.fsdecode(text).replace("\0", "") for name, text in tree.settings.items()}
        key, cert = told.get(b"key", "/root/mok.key"), told.get(b"cert", "/root/mok.der")
        modules = tuple(told.get(b"modules", "").split())
        wish = dkms.Setup(key, cert, "/usr/bin/elfsig-sign-file", "/usr/bin/elfsig", modules)
        try:
            with tree.as_user():
                dkms_hooks.refuse_reserved(modules)
                dkms.setup(tree.root, wish)
                _read_back(tree, wish)
        except ElfsigError:
            pass
        dkms.remove(tree.root)
        after = _without_folders(tree)
        if after != before:
            differ = [name for name in {*after, *before} if after.get(name) != before.get(name)]
            raise Broken("not-removed", repr(sorted(differ)))


def _without_folders(tree: Tree) -> dict[str, Any]:
    """Directories that setup needed stay."""
    return {name: what for name, what in tree.shown().items() if isinstance(what, tuple)}


def _read_back(tree: Tree, wish: dkms.Setup) -> None:
    """What was set up is what elfsig reads: where a path has no variable, and is a line."""
    words_given = (wish.key, wish.certificate)
    if any("\n" in each or "$" in each or not each for each in words_given):
        return
    if not wish.modules:
        told = dict(assignments(dkms.text_of(tree.root, tree.root / dkms.FRAMEWORK) or ""))
        _same("framework", (told.get("mok_signing_key"), told.get("mok_certificate")), words_given)
    for module in wish.modules:
        own = dkms_hooks.own_setting(tree.root, module, "1")
        if own is None or (own.key, own.certificate) != words_given:
            raise Broken("hook", f"{module}: {own} for {words_given}")


def configured(data: bytes) -> None:
    """All that is read of DKMS: settings, keys, builds, hooks. Nothing outside the root is among it."""
    with system(data) as tree:
        root, kernel = tree.root, RELEASE.decode()
        wanted = [text for text in os.fsdecode(tree.settings.get(b"modules", b"")).split() if text]
        for read in (
            lambda: dkms.signing_words(root, None, None, kernel),
            lambda: dkms.kernel_hash(root, kernel),
            lambda: dkms_hooks.own_setting(root, "vfat", "1"),
        ):
            if "/outside" in repr(_tried(read)):
                raise Broken("outside", repr(_tried(read)))
        found = _tried(lambda: dkms_hooks.by_setting(root, dkms.built(root, wanted))) or []
        for _, group in found:
            for each in (path for built in group for path in (built.path, *built.installed)):
                if not os.path.realpath(each).startswith(f"{root}/"):
                    raise Broken("outside", repr(each))


def _tried(read: Any) -> Any:
    try:
        return read()
    except ElfsigError:
        return None


# --------------------------------------------------------------------------- seeds


def machines() -> Iterator[bytes]:
    """Each state of the module, on a machine with each of a few other facts."""
    base = [*RUNNING, *KERNEL]
    for nr, module in enumerate(MODULE[:10]):
        more = VARIABLES[: nr + 1], DKMS[4:8] if nr % 2 else LISTS[nr : nr + 2]
        yield joined([module], base, *more, MODULE[14:15] if nr % 3 else [], [b"given\n"] if nr % 2 else [])
    for at in (10, 13, 15, 19, 21):
        yield joined(MODULE[at : at + 4], base, VARIABLES[:2], DKMS[6:8])
    yield joined(MODULE[4:5], RUNNING, [BOOT[:-1] + b" !\n$on", b"/var/lib/dpkg/info/a.list !\n"])


def _pool(*parts: list[bytes]) -> list[bytes]:
    return [each for part in parts for each in part]


def _row(word: str, about: str, run: Any, made: Seeds, *parts: list[bytes], limits: Any = VERB) -> Target:
    change = mutator(partial(_pool, *parts))
    return Target(f"hosts/{word}", about, run, made, change, (), PROMISED, limits=limits)


TARGETS = (
    _row("explain", "a module on a small machine", explained, machines, RUNNING, KERNEL, VARIABLES, LISTS,
         DKMS, MODULE),
    _row("databases", "lists of package managers", listed,
         lambda: [joined(LISTS), *map(joined, ([each] for each in LISTS))], LISTS, MODULE[16:18],
         limits=UNPACKING),
    _row("firmware", "variables of Secure Boot", booted,
         lambda: [joined(VARIABLES), joined(VARIABLES[2:]), *VARIABLES], VARIABLES, limits=UNPACKING),
    _row("owner-lists", "lists of keys of the firmware and of the machine owner", owned,
         lambda: [joined(RUNNING, VARIABLES[n:]) for n in range(8)], VARIABLES, RUNNING, KERNEL),
    _row("dkms-setup", "dkms setup, and its removal", set_up,
         lambda: [b"key\n/a", *(joined(ASKED[n % 2 :], [each]) for n, each in enumerate(DKMS))],
         DKMS, ASKED),
    _row("dkms", "what is read of DKMS", configured,
         lambda: [joined(DKMS, [EXTRA + b"$plain"]), *DKMS], DKMS, ASKED, MODULE),
)  # fmt: skip
