"""Every command that writes, on small files made here."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Callable, Iterator
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import corpus
import elfsig
from tests.support.run import run
from tests.world.kills import Verb

KEYS = corpus.KEYS
SIGN = ("--key", f"{KEYS}/signer.key.pem", "--cert", f"{KEYS}/signer.cert.pem")
TRUST = ("--trust", f"{KEYS}/signer.cert.pem")
KERNEL = "6.1.0-sample"


@cache
def plain() -> bytes:
    return corpus.content("amd64-6.1.ko")


@cache
def signed() -> bytes:
    return corpus.content("amd64.pkcs7")


def modules(content: Callable[[], bytes], count: int = 3) -> Callable[[Path], None]:
    """A tree of modules, and one that is compressed."""

    def prepare(folder: Path) -> None:
        (folder / "tree/sub").mkdir(parents=True)
        for nr in range(count):
            (folder / "tree" / ("sub" if nr % 2 else ".") / f"m{nr}.ko").write_bytes(content())

    return prepare


def vendored(folder: Path) -> None:
    """A module, and the same one signed by its vendor."""
    modules(plain, 1)(folder)
    (folder / "vendor.ko").write_bytes(signed())


def dkms(folder: Path) -> None:
    """A module that DKMS built and installed, signed by another key."""
    root = folder / "root"
    other = elfsig.open_signer(KEYS / "other.key.pem", KEYS / "other.cert.pem")
    old = elfsig.sign(plain(), "pkcs7", other).content
    for place in (f"var/lib/dkms/hello/1.0/{KERNEL}/x86_64/module", f"lib/modules/{KERNEL}/updates/dkms"):
        (root / place).mkdir(parents=True)
        (root / place / "hello.ko").write_bytes(old)


def dkms_configured(folder: Path) -> None:
    """Configuration that elfsig wrote for another key."""
    conf = folder / "root/etc/dkms"
    conf.mkdir(parents=True)
    words = ("--key", f"{KEYS}/other.key.pem", "--cert", f"{KEYS}/other.cert.pem", "--root", folder / "root")
    assert run("dkms", "setup", *words).code == 0
    assert run("dkms", "setup", "--module", "hello", *words).code == 0


def pairs(folder: Path) -> None:
    """A directory of key pairs, and a package that has an older one."""
    for _ in range(2):
        assert run("keys", "generate", "-q", "--key-dir", folder / "keys", "--refresh", "always").code == 0
        assert run("keys", "install", "-q", "--key-dir", folder / "keys", folder / "package").code == 0
    assert run("keys", "generate", "-q", "--key-dir", folder / "keys", "--refresh", "always").code == 0


def key_folder(folder: Path) -> None:
    assert run("keys", "generate", "-q", "--key-dir", folder / "keys").code == 0


def pair_is_whole(place: str) -> Callable[[Path], Iterator[str]]:
    """That ``current`` always leads to a key and a certificate that belong together."""

    def judge(folder: Path) -> Iterator[str]:
        pair = folder / place / "current"
        for name in ("signing_key.pem", "signing_prv.pem", "signing_crt.crt", "khash", "ktype"):
            if not (pair / name).is_file():
                yield f"{place}/current/{name}: lost"
                return
        try:
            elfsig.open_signer(pair / "signing_key.pem", pair / "signing_crt.crt")
            elfsig.open_signer(pair / "signing_prv.pem", pair / "signing_crt.crt")
        except elfsig.ElfsigError as fault:
            yield f"{place}/current: {fault}"

    return judge


def nothing(folder: Path) -> None:
    """No file at all."""


def plain_pair_is_whole(folder: Path) -> Iterator[str]:
    """That a private key is nowhere without its certificate, and in no temporary file."""
    for path in folder.rglob("*"):
        if path.is_file() and b"PRIVATE KEY" in path.read_bytes() and path != folder / "signing.key":
            yield f"{path.name}: a private key is left"
    if (folder / "signing.key").exists():
        for name in ("signing.crt", "signing.der"):
            try:
                elfsig.open_signer(folder / "signing.key", folder / name)
            except elfsig.ElfsigError as fault:
                yield f"{name}: {fault}"


def prepared(folder: Path) -> None:
    """Requests for a signing service, and its answers."""
    modules(plain, 2)(folder)
    words = ("--format", "pkcs7", "--cert", f"{KEYS}/signer.cert.pem", "--prepare", folder / "asked")
    assert run("sign", "-q", folder / "tree", *words).code == 0
    signer = elfsig.open_signer(KEYS / "signer.key.pem", KEYS / "signer.cert.pem")
    for request in (folder / "asked").rglob("*.digest"):
        value = signer.sign_digest(request.read_bytes(), "sha256")  # type: ignore[union-attr]
        request.with_suffix(".sig").write_bytes(value)


def package(folder: Path) -> None:
    """An archive of modules."""
    with tarfile.open(folder / "disk.tar", "w") as archive:
        for name, content in (("a.ko", signed()), ("b.ko", plain())):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, BytesIO(content))


# --------------------------------------------------------------------------- reports


VARYING = re.compile(r"\"created\": \d+|\d{4}-\d\d-\d\dT[0-9:.+Z-]+|\"(?:run|id|guid)\": *\"[^\"]*\"")


def of_report(path: str, content: bytes) -> bytes:
    """What a report of sign says of each file, in any order and without the time."""
    if not path.endswith("report.json"):
        return content
    edits: list[dict[str, Any]] = json.loads(content)["edits"]
    kept = [
        (each["path"].rpartition("/tree/")[2], each["after"] and each["after"]["sha256"]) for each in edits
    ]
    return json.dumps(sorted(kept)).encode()


def timeless(path: str, content: bytes) -> bytes:
    """A text without times, folders of the test and ids of a run."""
    return VARYING.sub("", content.decode("utf-8", "replace")).encode()


SIGNED = ("sign", "-q", "-j1", *SIGN, "--format", "pkcs7")
ELSEWHERE = ("sign", "-q", "-j1", "--format", "pkcs7", "--cert", f"{KEYS}/signer.cert.pem")
IN_SECTION = ("sign", "-q", "-j1", *SIGN, "--format", "redhat", "--force", "--created", "1200000000")

SURVEY = ("--no-cage", "-j1", *TRUST)


def several(folder: Path) -> None:
    """Files to survey: archives, and modules by themselves."""
    package(folder)
    modules(signed)(folder)


VERBS = (
    Verb("sign --in-place TREE", modules(plain), (*SIGNED, "--in-place", "{}/tree")),
    Verb(
        "sign --in-place -j2", modules(plain, 6), ("sign", "-q", "-j2", *SIGNED[3:], "--in-place", "{}/tree")
    ),
    Verb(
        "sign --in-place --report",
        modules(plain),
        (*SIGNED, "--in-place", "--report", "{}/report.json", "{}/tree"),
        of_report,
    ),
    Verb("sign --output-dir", modules(plain), (*SIGNED, "--output-dir", "{}/out", "{}/tree")),
    Verb("sign in a section", modules(plain), (*IN_SECTION, "--in-place", "{}/tree")),
    Verb(
        "sign --replace -o FILE",
        modules(signed, 1),
        (*SIGNED, "--hash", "sha512", "--replace", "{}/tree/m0.ko", "-o", "{}/tree/m0.ko.new"),
    ),
    Verb("sign --prepare", modules(plain), (*ELSEWHERE, "--prepare", "{}/asked", "{}/tree"), timeless),
    Verb("sign --attach", prepared, (*ELSEWHERE, "--attach", "{}/asked", "--in-place", "{}/tree")),
    Verb("strip --in-place TREE", modules(signed), ("strip", "-q", "--in-place", "{}/tree")),
    Verb("strip --output-dir", modules(signed), ("strip", "-q", "--output-dir", "{}/out", "{}/tree")),
    Verb(
        "convert --in-place TREE",
        modules(signed),
        ("convert", "-q", "-j1", *TRUST, *SIGN, "--to", "x509", "--in-place", "{}/tree"),
    ),
    Verb(
        "attach --in-place",
        vendored,
        ("attach", "-q", "--replace", "--from", "{}/vendor.ko", "--in-place", "{}/tree/m0.ko"),
    ),
    Verb("dkms setup", dkms_configured, ("dkms", "setup", *SIGN, "--root", "{}/root")),
    Verb(
        "dkms setup --module",
        dkms_configured,
        ("dkms", "setup", "--module", "hello", "--module", "more", *SIGN, "--root", "{}/root"),
    ),
    Verb("dkms resign", dkms, ("dkms", "resign", "-q", *SIGN, "--root", "{}/root")),
    Verb(
        "keys generate --key-dir",
        key_folder,
        ("keys", "generate", "-q", "--key-dir", "{}/keys", "--refresh", "always"),
        judge=pair_is_whole("keys"),
    ),
    Verb(
        "keys generate -o",
        nothing,
        ("keys", "generate", "-q", "--type", "p384", "-o", "{}/signing"),
        judge=plain_pair_is_whole,
        again=(0, 1),
    ),
    Verb(
        "keys install",
        pairs,
        ("keys", "install", "-q", "--key-dir", "{}/keys", "{}/package"),
        judge=pair_is_whole("package"),
    ),
    Verb(
        "keys extract",
        modules(plain, 1),
        (
            "keys",
            "extract",
            "--force",
            *(f"{KEYS}/{who}.cert.pem" for who in ("signer", "other")),
            "-o",
            "{}/keys",
        ),
    ),
    Verb(
        "show --extract",
        modules(signed),
        ("show", "--force", "--extract", "{}/parts", "{}/tree/m0.ko", "{}/tree/m2.ko"),
    ),
    Verb(
        "digest -o", modules(plain, 1), ("digest", "{}/tree/m0.ko", "--coverage", "whole-file", "-o", "{}/m")
    ),
    Verb(
        "coverage --html", modules(signed, 1), ("coverage", "{}/tree/m0.ko", "--html", "{}/m.html"), timeless
    ),
    Verb(
        "audit --sarif --junit",
        modules(signed),
        ("audit", "{}/tree", *TRUST, "--sarif", "{}/a.sarif", "--junit", "{}/a.xml"),
        timeless,
        again=(0, 1),
    ),
    Verb(
        "survey --html --sarif",
        package,
        ("survey", "{}/disk.tar", *SURVEY, "--html", "{}/s.html", "--sarif", "{}/s.sarif"),
        timeless,
        again=(0, 1),
    ),
    Verb(
        "survey --parts",
        several,
        ("survey", "{}/disk.tar", "{}/tree", *SURVEY, "--reproducible", "--parts", "3", "-o", "{}/parts"),
        timeless,
        again=(0, 1),
    ),
    Verb(
        "evidence -o FILE",
        package,
        (
            "evidence",
            "{}/disk.tar",
            *TRUST,
            "--no-cage",
            "--reproducible",
            "-o",
            "{}/c.tar",
            "--html",
            "{}/c.html",
        ),
        timeless,
        again=(0, 1),
    ),
    Verb(
        "evidence -o FOLDER/",
        package,
        ("evidence", "{}/disk.tar", *TRUST, "--no-cage", "--reproducible", "-o", "{}/case/"),
        timeless,
        again=(0, 1),
    ),
)
