"""Packages, archives, file systems and disk images; paths into them; what a file is."""

from __future__ import annotations

import hashlib
import io
import struct
import tarfile
import zipfile
from collections.abc import Iterator
from functools import partial

from elfsig.containers.contract import Budget, Context
from elfsig.containers.given import Given
from elfsig.containers.names import Step, display, plain
from elfsig.containers.nested import Name, candidates, names_of, resolve
from elfsig.containers.readers import Reader, bytes_reader
from elfsig.containers.walk import ContainerRecord, walk
from elfsig.errors import ContainerError, ElfsigError
from elfsig.recognition.sniff import kind_of
from tests.fuzz import archive_seeds, images, seeds
from tests.fuzz.mutate import archives, boxes
from tests.fuzz.mutate.plain import plain as anyhow
from tests.fuzz.mutate.text import text
from tests.fuzz.target import ONE_DECODER, Broken, Limits, Mutator, Target
from tests.support.containers import FILE, forward
from tests.support.cpio import newc

CODES = frozenset(
    {
        "damaged",
        "truncated",
        "trailing-data",
        "over-budget",
        "encrypted",
        "unsupported",
        "needs-extra",
        "not-found",
        "unrecognised",
    }
)
MOST = 4 << 20

Content = tuple[str, str]
"""A path, and the hash of what is there."""


def _walked(reader: Reader, given: Given | None = None) -> tuple[list[Content], bool, int]:
    """What is found, whether everything was read to its end, and how many containers there are."""
    found, complete, count = [], True, 0
    context = Context(Budget(output=MOST, members=2000, seconds=20), given=given)
    for each in walk(reader, FILE, context):
        if isinstance(each, ContainerRecord):
            count += 1
            complete = complete and each.complete
            if each.error is not None and each.error.code not in CODES:
                raise Broken("code", f"{each.error.code}: {each.error}")
        elif each.member.reader is not None:
            try:
                found.append((each.path, hashlib.sha256(each.member.reader.all(MOST)).hexdigest()))
            except ContainerError as reason:
                complete = False
                if reason.code not in CODES:
                    raise Broken("code", f"{reason.code}: {reason}") from reason
    return found, complete, count


def archive(data: bytes) -> None:
    """Read forward and with access at any offset: the same is found; each path leads to what it names."""
    files, complete, count = _walked(forward(data, 4096))
    if not count:
        return
    others, also, _ = _walked(bytes_reader(data))
    if complete and also and files != others:
        raise Broken("readers", f"forward: {files[:3]}, seeking: {others[:3]}")
    if complete:
        _resolved(data, files[:4])


def _resolved(data: bytes, files: list[Content]) -> None:
    """A path that the walk gave, resolved again."""
    for path, digest in files:
        if "f" not in candidates(path):
            continue
        names = names_of(path.removeprefix("f!/"))
        try:
            found = resolve(lambda: bytes_reader(data), names, Context(Budget(output=MOST, members=2000)))
        except ElfsigError as reason:
            raise Broken("nested", f"{path!r} was found, and cannot be resolved: {reason}") from reason
        reader = found.member.reader
        if reader is not None and hashlib.sha256(reader.all(MOST)).hexdigest() != digest:
            raise Broken("nested", f"{path!r} leads to something else than the walk found there")


def image(kind: str, data: bytes) -> None:
    """An image with patches."""
    base = images.base(kind)
    if base is not None:
        _walked(*images.devices(kind, base.patched(data)))


def path(data: bytes) -> None:
    """Any text as a nested path; and names of any bytes, displayed and parsed again."""
    line = data.decode("utf-8", "surrogateescape")
    list(candidates(line))
    parts = [each for each in data.split(b"\n")[:6] if plain(each)]
    chain = (Step("file", b"f"), *(Step("x", each, None, None, 1 + len(each) % 3) for each in parts))
    shown = display(chain)
    names = names_of(shown.removeprefix("f!/")) if chain[1:] else ()
    wanted = [(plain(step.name), step.number) for step in chain[1:]]
    if [(each.name, each.number) for each in names] != wanted:
        raise Broken("display", f"{wanted!r} is shown as {shown!r} and read as {names!r}")
    Name.parse(line)


def recognised(data: bytes) -> None:
    """What a file is."""
    name, _, rest = data.partition(b"\n")
    found = kind_of(rest, name.decode("utf-8", "surrogateescape"))
    if found is not None and not found.words:
        raise Broken("words", f"{found!r} has no words")


# --------------------------------------------------------------------------- seeds

INNER = newc({"lib/a.ko": b"\x7fELFmodule" * 50, "b": b"second"})


def tars() -> Iterator[bytes]:
    """Archives of every dialect that Python writes."""
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w", format=form) as out:
            for name in ("a.ko", "c/" * 55 + "d"):
                about = tarfile.TarInfo(name)
                about.size = 700
                if form == tarfile.PAX_FORMAT:
                    about.pax_headers = {"SCHILY.xattr.security.ima": "\3\2signature"}
                out.addfile(about, io.BytesIO(name[:1].encode() * 700))
            link = tarfile.TarInfo("link")
            link.type, link.linkname = tarfile.SYMTYPE, "a.ko"
            out.addfile(link)
        yield made.getvalue().rstrip(b"\0").ljust(7168, b"\0")


def ar(*members: tuple[bytes, bytes]) -> bytes:
    """An archive as dpkg-deb writes it."""
    parts = [b"!<arch>\n"]
    for name, data in members:
        parts.append(b"%-16s%-12d%-6d%-6d%-8o%-10d`\n" % (name, 0, 0, 0, 0o644, len(data)))
        parts.append(data + b"\n" * (len(data) % 2))
    return b"".join(parts)


def apks() -> Iterator[bytes]:
    """Packages of Alpine: three compressed archives after each other; the second has the third's hash."""
    parts = []
    for name, data in ((".SIGN.RSA.x", b"signature"), (".PKGINFO", b""), ("a.ko", b"\x7fELF" * 99)):
        if name == ".PKGINFO":
            data = b"datahash = " + b"0" * 64 + b"\n"
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as out:
            about = tarfile.TarInfo(name)
            about.size = len(data)
            out.addfile(about, io.BytesIO(data))
        parts.append(seeds.compressed(made.getvalue()[: 512 + -(-len(data) // 512) * 512])["gzip"])
    yield b"".join(parts)


def ars() -> Iterator[bytes]:
    """Debian packages, and archives with long names."""
    tar = next(tars())
    for packed in (seeds.compressed(tar)[name] for name in ("gzip", "xz", "zstd")):
        yield ar((b"debian-binary", b"2.0\n"), (b"control.tar.gz", b""), (b"data.tar", packed))
    yield ar((b"#1/9", b"long namex"), (b"//", b"a-long-name/\n"), (b"/0", b"x"))


def cpios() -> Iterator[bytes]:
    """An initramfs, also in pieces, compressed or not."""
    yield INNER
    yield INNER + bytes(512) + seeds.compressed(INNER)["gzip"] + bytes(4) + INNER
    yield INNER.replace(b"070701", b"070702")
    yield INNER + seeds.compressed(INNER)["zstd"]


def zips() -> Iterator[bytes]:
    """Stored and deflated members."""
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", method) as out:
            out.writestr("a.ko", b"\x7fELF" * 100)
            out.writestr("b/c", b"text")
        yield made.getvalue()


def rpms() -> Iterator[bytes]:
    """A package with two headers, of no more than they need, around an archive."""
    payload = seeds.compressed(INNER)["gzip"]
    for wanted in ("gzip", "xz"):
        entries = struct.pack(">IIII", 1125, 6, 0, 1) + struct.pack(">IIII", 1124, 6, 5, 1)
        store = wanted.encode().ljust(4, b"\0")[:4] + b"\0cpio\0"
        header = b"\x8e\xad\xe8\x01" + bytes(4) + struct.pack(">II", 2, len(store)) + entries + store
        empty = b"\x8e\xad\xe8\x01" + bytes(4) + struct.pack(">II", 0, 0)
        yield b"\xed\xab\xee\xdb\3\0".ljust(96, b"\0") + empty + header + payload


def boots() -> Iterator[bytes]:
    """Boot images of Android (system/tools/mkbootimg): versions 0 and 4, and the vendor's."""
    page, ramdisk = 2048, seeds.compressed(INNER)["gzip"]
    kernel = b"kernel" * 100
    head = b"ANDROID!" + struct.pack("<10I", len(kernel), 0, len(ramdisk), 0, 0, 0, 0, page, 0, 0)
    parts = (head, kernel, ramdisk)
    yield b"".join(part.ljust(-(-len(part) // page) * page, b"\0") for part in parts)
    head = b"ANDROID!" + struct.pack("<4I16s2I", len(kernel), len(ramdisk), 0, 1580, bytes(16), 4, 0)
    parts = (head.ljust(4096, b"\0"), kernel.ljust(4096, b"\0"), ramdisk.ljust(4096, b"\0"))
    yield b"".join(parts)


def pes() -> Iterator[bytes]:
    """A unified kernel image: sections of a PE file."""
    optional, initrd = bytes(240), INNER
    head = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 64) + b"PE\0\0"
    head += struct.pack("<HHIIIHH", 0x8664, 2, 0, 0, 0, len(optional), 0x22) + b"\x0b\x02" + optional[2:]
    at, rows, body = 1024, b"", b""
    for name, data in ((b".linux", b"kernel" * 20), (b".initrd", initrd)):
        rows += struct.pack("<8sIIIIIIHHI", name, len(data), 4096, len(data), at + len(body), 0, 0, 0, 0, 0)
        body += data.ljust(-(-len(data) // 512) * 512, b"\0")
    yield (head + rows).ljust(at, b"\0") + body


def everything() -> Iterator[bytes]:
    """A sample of each, also compressed."""
    for each in (tars, apks, ars, cpios, zips, rpms, boots, pes, archive_seeds.unread):
        yield from each()
    yield from seeds.compressed(INNER).values()
    yield from seeds.compressed(next(ars())).values()


def _kinds() -> Iterator[bytes]:
    for data in (
        *everything(),
        *seeds.modules()[:9],
        *seeds.pem(),
        *seeds.rings(),
        *seeds.efi(),
        *seeds.kernels(),
    ):
        yield b"name.ko\n" + data[:6000]
    for data in (*seeds.configs(), *seeds.reports(), seeds.GENKEY):
        yield b"name\n" + data[:6000]


# --------------------------------------------------------------------------- the table

COSTS = Limits(0.6, 60e-6, 2 * ONE_DECODER)
IMAGE = Limits(3.0, 0, 512 << 20)
"""An image has megabytes whatever the input has. The memory is that of a list of the 4 Mi blocks that a file
of ext2 or ext3 may have at most."""
MAGICS = (
    b"!<arch>\n",
    b"!<thin>\n",
    b"070701",
    b"070702",
    b"070707",
    b"TRAILER!!!",
    b"ustar\0" + b"00",
    b"ustar  \0",
    b"PK\3\4",
    b"PK\1\2",
    b"PK\5\6",
    b"\xed\xab\xee\xdb",
    b"\x8e\xad\xe8\x01",
    b"ANDROID!",
    b"VNDRBOOT",
    b"ADB.",
    b"ADBd",
)


def _archive(word: str, about: str, made: object, mutate: Mutator) -> Target:
    promised = (ElfsigError,)
    return Target(f"containers/{word}", about, archive, made, mutate, MAGICS, promised, limits=COSTS)  # type: ignore[arg-type]


def _image(kind: str) -> Target:
    """One target for a kind of image; its inputs are short lists of patches."""

    def start() -> Iterator[bytes]:
        images.base(kind)  # made here, so that it is no input's cost
        yield from (b"\0", b"\0\0\4\x38\1\x53\xef", b"\0\0\1\0\x81\0\0")

    about = f"{kind}, patched"
    return Target(
        f"containers/{kind}",
        about,
        partial(image, kind),
        start,
        images.patches,
        (),
        (ElfsigError,),
        512,
        IMAGE,
    )


TARGETS = (
    _archive(
        "tar", "tar", seeds.only(tars, archive_seeds.sparse_tars, archive_seeds.linked_tars), archives.tar
    ),
    _archive("cpio", "cpio, initramfs", seeds.only(cpios, archive_seeds.old_cpios), archives.cpio),
    _archive("ar", "ar, Debian packages", ars, anyhow),
    _archive("zip", "zip", seeds.only(zips, archive_seeds.odd_zips), anyhow),
    _archive("rpm", "RPM packages", rpms, anyhow),
    _archive("android", "boot images of Android", seeds.only(boots, archive_seeds.vendor_boots), anyhow),
    _archive("uimage", "images of U-Boot", archive_seeds.uimages, boxes.uimage),
    _archive("behind", "what unpacks itself", archive_seeds.behind, anyhow),
    _archive("oci", "images of containers", archive_seeds.layouts, boxes.layout),
    _archive("stream", "compressed streams and frames before them", archive_seeds.streams, anyhow),
    _archive("pe", "unified kernel images", pes, anyhow),
    _archive("any", "any archive, container in container", everything, anyhow),
    Target(
        "containers/path",
        "paths into containers",
        path,
        lambda: [b"a.deb!/data.tar.xz!/x.ko\\#2", b"a\n./b//c\n\\!"],
        text,
        (b"!/", b"\\x21", b"\\#2", b"/./", b"\\"),
        (),
        512,
    ),
    Target(
        "containers/kind",
        "what a file is",
        recognised,
        _kinds,
        anyhow,
        (*MAGICS, b"-----BEGIN ", b"\x7fELF"),
        (),
        limits=Limits(0.1, 40e-6),
    ),
    *map(_image, images.MAKERS),
)
