"""Kernel images, their decompressors, releases, configurations and command lines."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from elfsig.compression import payloads, streams, whole
from elfsig.containers.readers import bytes_reader
from elfsig.errors import ContainerError, ElfsigError
from elfsig.kernels import config as configs
from elfsig.kernels import modes
from elfsig.kernels.catalogue import PROFILES
from elfsig.kernels.select import for_kernel, read_image
from elfsig.opened.evidence import evidence_of
from elfsig.trust import kernel_image
from elfsig.trust.entries import Origin
from tests.fuzz import seeds
from tests.fuzz.mutate.plain import plain
from tests.fuzz.mutate.text import text
from tests.fuzz.target import UNPACKING, Broken, Limits, Target

ORIGIN = Origin("vmlinuz")
MOST = 1 << 20
ROOM = Limits(3.0, 100e-6, 400 << 20)
"""A stream may decompress to 32 MiB however small it is (payloads.FLOOR), and is then searched."""


def image(data: bytes) -> None:
    """The keys in a kernel, and what it says of itself."""
    read_image(data)
    if kernel_image.is_kernel(data):
        kernel_image.read(data, ORIGIN)
    kernel_image.read_container(data, ORIGIN)


def payload(data: bytes) -> None:
    """The stream that ``data`` starts with, by the decompressors of kernels."""
    method = payloads.method_at(data)
    if method is None:
        return
    found = payloads.unpack(data, method, MOST)
    if len(found.data) > MOST or not 0 < found.used <= len(data):
        raise Broken("bounds", f"{len(found.data)} bytes from {found.used} of {len(data)}")


def stream(data: bytes) -> None:
    """The streaming decoders: their pieces are those of the whole."""
    kind = streams.kind_of(data)
    if kind is None:
        return
    size = 0
    for piece in streams.decompress(bytes_reader(data), kind):
        size += len(piece)
        if size > MOST:
            return
    compression = whole.detect(data)
    if compression is not None and compression == kind.name:
        _same(data, compression, size)


def _same(data: bytes, kind: whole.Compression, size: int) -> None:
    """A stream without error is as long as the whole decoder has it."""
    try:
        found = whole.unpack(data, kind, MOST)
    except ElfsigError as reason:
        raise Broken("decoders", f"{kind}: a stream of {size} bytes, but as a whole: {reason}") from reason
    if found.end == len(data) and len(found.content) != size:
        raise Broken("decoders", f"{kind}: {size} bytes as a stream, {len(found.content)} as a whole")


def module(data: bytes) -> None:
    """A compressed module: opened, packed again, opened again: the content is the same."""
    found = evidence_of(data, "x.ko", MOST)
    if found.compression is None:
        return
    whole.first_bytes(data[:4096], found.compression)
    again = evidence_of(found.packed(found.content), "x.ko", 2 * MOST)
    if again.content != found.content:
        raise Broken("packed", f"{found.compression}: {len(found.content)} bytes became {len(again.content)}")


def release(data: bytes) -> None:
    """The profile of what uname -r prints."""
    for_kernel(data.decode("utf-8", "surrogateescape"))


def options(data: bytes) -> None:
    """A configuration, applied to every profile."""
    if not configs.is_config(data):
        return
    found = configs.parse(configs.read(data))
    for profile in PROFILES.values():
        configs.apply(profile, found)


def command_line(data: bytes) -> None:
    """A command line, a boot log, or GRUB's configuration."""
    for profile in PROFILES.values():
        modes.from_text(data.decode("utf-8", "replace"), profile.boot)


MAGICS = (
    b"HdrS",
    b"MZ\0\0zimg",
    b"ARM\x64",
    b"\x1f\x8b\x08",
    b"\xfd7zXZ\0",
    b"\x28\xb5\x2f\xfd",
    b"BZh9",
    b"\x04\x22\x4d\x18",
    b"\x02\x21\x4c\x18",
    b"\x89LZO\0\r\n\x1a\n",
    b"\x5d\0\0\x80\0",
    b"IKCFG_ST",
    b"Linux version ",
)
PROMISED = (ElfsigError,)


def _of(*names: str) -> list[bytes]:
    return [data for name, data in seeds.compressed().items() if name in names]


def _streams() -> list[Target]:
    found = []
    for name in ("gzip", "xz", "zstd", "bzip2", "lz4", "lz4-legacy", "lzo", "lzma"):
        made = partial(_of, name, f"{name}-frames")
        found.append(
            Target(
                f"kernels/{name}",
                f"{name}, by both decoders",
                partial(_both),
                made,
                plain,
                MAGICS,
                (ElfsigError,),
                1 << 13,
                UNPACKING,
            )
        )
    return found


def _both(data: bytes) -> None:
    with suppress(ElfsigError):
        payload(data)
    with suppress(ContainerError):
        stream(data)


TARGETS = (
    Target("kernels/image", "kernel images", image, seeds.kernels, plain, MAGICS, PROMISED, limits=ROOM),
    *_streams(),
    Target(
        "kernels/module",
        "compressed modules",
        module,
        lambda: seeds.compressed().values(),
        plain,
        MAGICS,
        PROMISED,
        limits=UNPACKING,
    ),
    Target(
        "kernels/release",
        "releases",
        release,
        seeds.releases,
        text,
        (b".el7", b"-generic", b"uek", b".fc", b"-rc"),
        PROMISED,
        256,
    ),
    Target(
        "kernels/config",
        "build configurations",
        options,
        seeds.configs,
        text,
        (b"CONFIG_", b" is not set\n", b"=y\n"),
        PROMISED,
        limits=Limits(0.3, 40e-6),
    ),
    Target(
        "kernels/command-line",
        "command lines",
        command_line,
        seeds.command_lines,
        text,
        (b"Command line: ", b"menuentry ", b"title ", b"default=", b"lockdown=", b"fips=1"),
        PROMISED,
    ),
)
