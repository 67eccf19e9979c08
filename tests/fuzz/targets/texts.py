"""Texts that people and programs write: configurations, reports, manifests, lists of modules, URIs."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

from elfsig.batch.journal import SUFFIX, Journal
from elfsig.errors import ElfsigError
from elfsig.host import dkms_hooks
from elfsig.host.shell import assignments
from elfsig.keygen import genkey, kconfig
from elfsig.signers import pkcs11_uri
from elfsig.verbs.audit import expected
from elfsig.verbs.audit.baseline import read_baseline
from elfsig.verbs.audit.matching import moved, pairs, tail
from elfsig.verbs.remote.prepare import MANIFEST, read_manifest
from tests.fuzz import seeds
from tests.fuzz.mutate.text import text
from tests.fuzz.target import Broken, Limits, Target
from tests.support.opened import decompressed

PROMISED = (ElfsigError,)


@cache
def folder() -> Path:
    """A folder in memory where that is possible, for readers that take paths."""
    memory = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="fuzz", dir=memory if memory.is_dir() else None))


def on_disk(name: str, read: Callable[[str], object], data: bytes) -> None:
    """A reader that takes a path."""
    path = folder() / name
    path.write_bytes(data)
    read(str(path))


def decoded(data: bytes) -> str:
    """As files of text are read."""
    return data.decode("utf-8", "surrogateescape")


def openssl(data: bytes) -> None:
    """The configuration of openssl req, as kernels use it."""
    genkey.read(decoded(data), "x509.genkey").with_common_name("x")


def configuration(data: bytes) -> None:
    """A kernel's build configuration, as keys generate reads it and writes it."""
    found = kconfig.read_all([_written("config", data)])
    for each in found:
        for option in ("CONFIG_MODULE_SIG_KEY", "CONFIG_MODULE_SIG_HASH"):
            each.value(option)
        if each.hash is not None and not isinstance(each.hash, str):
            raise Broken("hash", repr(each.hash))


def _written(name: str, data: bytes) -> str:
    path = folder() / name
    path.write_bytes(data)
    return str(path)


def shell(data: bytes) -> None:
    """Settings of DKMS: assignments, hooks."""
    lines = decoded(data)
    list(assignments(lines))
    list(dkms_hooks._hooks(lines))


def uri(data: bytes) -> None:
    """pkcs11: URIs; what is shown never has the PIN."""
    uri = decoded(data)
    found = pkcs11_uri.parse(uri)
    if found.visible != pkcs11_uri.parse(uri.partition("?")[0]).visible:
        raise Broken("pin", found.visible)


def baseline(data: bytes) -> None:
    """Any JSON as a baseline."""
    for each in read_baseline(data, "report.json"):
        tail(each.path)


def manifest(data: bytes) -> None:
    """The manifest of a signing request."""
    read_manifest(str(Path(_written(MANIFEST, data)).parent))


def journal(data: bytes) -> None:
    """The report of an earlier run of sign, whole (the first half) and interrupted (the second)."""
    report = folder() / "sign-report.json"
    first, _, second = data.partition(b"\n\n")
    report.write_bytes(first)
    Path(f"{report}{SUFFIX}").write_bytes(second)
    earlier = Journal(str(report), {}, is_done=lambda module: True)
    earlier.known(decompressed(MODULE, seeds.REGISTRY))


def paths(data: bytes) -> None:
    """Two lists of paths, matched: every path once, on its side."""
    lines = [each for each in decoded(data).splitlines() if each]
    old, new = lines[::2], lines[1::2]
    found = list(pairs(old, new))
    for side, given in ((0, old), (1, new)):
        used = sorted(number for each in found if (number := each[side]) is not None)
        if used != list(range(len(given))):
            raise Broken("pairs", f"{given!r}: {used}")
    for one, other in found:
        if one is not None and other is not None:
            moved(old[one], new[other])


def _manifest() -> list[bytes]:
    options = {"hash": "sha256"}
    document = {
        "kind": "elfsig-signing-request",
        "schema_version": 1,
        "format": "pkcs7",
        "options": options,
        "key": seeds.pem()[0].decode(),
        "algorithm": "rsa",
        "key_bits": 2048,
        "files": [{"name": "a.ko", "file": "a.ko.digest", "asked": "00" * 32}],
    }
    return [json.dumps(document).encode()]


def _journals() -> list[bytes]:
    digest = hashlib.sha256(MODULE).hexdigest()
    state = {"sha256": digest, "size": len(MODULE)}
    entry = {"path": "<bytes>", "action": "signed", "before": state, "after": state, "target": None}
    document = {"schema_version": 1, "asked": {}, "edits": [entry]}
    lines = [{"asked": {}}, entry, {**entry, "path": "b.ko", "target": "c.ko"}]
    whole, rest = json.dumps(document).encode(), b"\n".join(json.dumps(each).encode() for each in lines)
    return [whole + b"\n\n" + rest, whole, whole + b"\n\n" + rest[:-20]]


MODULE = b"not a module"
DKMS = [
    b'# comment\nmok_signing_key=/var/lib/dkms/mok.key\nexport sign_file="/usr/bin/x"\n'
    b'POST_BUILD="sign.sh $kernelver"\n'
]
URIS = [b"pkcs11:token=Build;object=modules;type=private;id=%02?pin-source=/run/pin&module-name=softhsm2"]
ORDER = [
    b"kernel/fs/fat/vfat.o\nkernel/net/x.ko\n",
    b"vfat 20480 1 - Live 0x0000000000000000\nx 1 0 - Live 0x0 (OE)\n",
]
PATHS = [b"/lib/modules/6.1/kernel/a.ko\n./kernel/a.ko.xz\nb/updates/c-d.ko\nextra/c_d.ko\n"]
JSON_WORDS = tuple(
    f'"{each}":'.encode()
    for each in (
        "files",
        "edits",
        "path",
        "path_hex",
        "sha256",
        "signatures",
        "after",
        "before",
        "faults",
        "signer",
        "error",
        "compression",
        "effective",
        "asked",
        "target",
        "schema_version",
    )
)
KCONFIG_WORDS = (
    b"CONFIG_MODULE_SIG_KEY=",
    b'"certs/signing_key.pem"',
    b" is not set\n",
    b"CONFIG_MODULE_SIG_SHA512=y\n",
)


def _text(word: str, about: str, run: Callable[[bytes], object], made: object, *words: bytes) -> Target:
    return Target(f"texts/{word}", about, run, made, text, words, PROMISED, limits=Limits(0.1, 20e-6))  # type: ignore[arg-type]


TARGETS = (
    _text("journal", "reports of earlier runs of sign", journal, _journals, *JSON_WORDS),
    _text(
        "genkey",
        "configuration of openssl req",
        openssl,
        lambda: [seeds.GENKEY],
        b"[ req ]\n",
        b"$ENV::",
        b"${x::y}",
    ),
    _text("kconfig", "kernel configuration of keys generate", configuration, seeds.configs, *KCONFIG_WORDS),
    _text("dkms", "settings of DKMS", shell, lambda: DKMS, b"POST_BUILD=", b"sign_file=", b"export "),
    _text("pkcs11", "pkcs11: URIs", uri, lambda: URIS, b"pkcs11:", b"pin-value=", b"id=%", b";object="),
    _text("baseline", "JSON as a baseline", baseline, seeds.reports, *JSON_WORDS),
    _text(
        "manifest",
        "manifests of signing requests",
        manifest,
        _manifest,
        b'"options":',
        b'"asked":',
        b'"key":',
    ),
    _text(
        "expect",
        "what audit is to expect",
        partial(on_disk, "expect", expected.expected),
        lambda: [*ORDER, *seeds.reports()],
        b".ko.xz\n",
        b".o\n",
    ),
    _text(
        "loaded",
        "modules in use",
        partial(on_disk, "modules", expected.loaded),
        lambda: ORDER[1:],
        b" Live 0x0 (OE)\n",
    ),
    _text(
        "paths",
        "paths of two trees, matched",
        paths,
        lambda: PATHS,
        b"/lib/modules/",
        b"kernel/",
        b"updates/",
        b".ko\n",
    ),
)
