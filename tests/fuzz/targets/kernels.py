"""Kernel images, their decompressors, releases, configurations and command lines."""

from __future__ import annotations

import zlib
from contextlib import suppress
from functools import partial

from elfsig.compression import payloads, streams, whole
from elfsig.containers.readers import bytes_reader
from elfsig.errors import ContainerError, ElfsigError
from elfsig.kernels import config as configs
from elfsig.kernels import modes
from elfsig.kernels.catalogue import PROFILES
from elfsig.kernels.keys import KernelKeys
from elfsig.kernels.profile import Profile
from elfsig.kernels.select import for_kernel, read_image
from elfsig.kernels.x509_parser import facts
from elfsig.model import Key
from elfsig.opened.evidence import evidence_of
from elfsig.trust import kernel_image
from elfsig.trust.entries import Origin
from elfsig.trust.forms import read_source
from elfsig.trust.make import key_from_certificate
from elfsig.trust.ring import Ring
from tests.fuzz import certificates, seeds
from tests.fuzz.mutate.der import der
from tests.fuzz.mutate.plain import plain
from tests.fuzz.mutate.text import text
from tests.fuzz.target import ONE_DECODER, UNPACKING, Broken, Limits, Target
from tests.fuzz.targets.keys import DER_WORDS
from tests.support.keysources import pem

ORIGIN = Origin("vmlinuz")
MOST, PART = 1 << 20, 8
ROOM = Limits(3.0, 100e-6, 400 << 20)
"""A stream may decompress to 32 MiB however small it is (payloads.FLOOR), and is then searched."""


def some(profiles: tuple[Profile, ...], data: bytes) -> tuple[Profile, ...]:
    """A part of the profiles, which the input decides: all of them take too long."""
    return profiles[zlib.crc32(data) % PART :: PART]


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
    for profile in some(tuple(PROFILES.values()), data):
        if configs.apply(profile, found) != configs.apply(profile, dict(reversed(list(found.items())))):
            raise Broken("order", f"{profile.id}: {found!r} in reverse order is something else")


def command_line(data: bytes) -> None:
    """A command line, a boot log, or GRUB's configuration."""
    for profile in some(tuple(PROFILES.values()), data):
        modes.from_text(data.decode("utf-8", "replace"), profile.boot)


# --------------------------------------------------------------------------- keys that kernels load


def certificate(data: bytes) -> None:
    """A certificate, as kernels read it: a decoder that allows more refuses less, FIPS mode allows less, and
    what is wrong has an errno."""
    strict, lenient = (
        [each for each in facts(data, allowing).faults if each.rule == "decoder"]
        for allowing in (False, True)
    )
    if lenient and not strict:
        raise Broken("lenient", f"{lenient!r}, and nothing for the strict decoder")
    with suppress(ElfsigError):
        _loaded(key_from_certificate(data, ORIGIN), some(RULES, data))
    _loaded(data, some(RULES, data))


def _loaded(key: bytes | Key, profiles: tuple[Profile, ...]) -> None:
    for profile in profiles:
        usual, fips = profile.loads(key), profile.loads(key, fips=True)
        for each in (usual, fips):
            if each.good != (each.errno is None):
                raise Broken("errno", f"{profile.id}: {each!r}")
        if fips.good and not usual.good:
            raise Broken("fips", f"{profile.id}: FIPS mode alone takes it; else: {usual!r}")


def ring(data: bytes) -> None:
    """Any key source, as kernels' own keys: none that is revoked, refused or displaced is in a keyring."""
    found = Ring(read_source(data, ORIGIN))
    roles = frozenset({"builtin", "platform", *(key.keyring for key in found.keys)})
    for profile in some(RULES, data):
        keys = KernelKeys(found, profile)
        for key in keys.held(roles):
            if key.revoked or not key.vouched or key in keys.refused or key in keys.displaced:
                raise Broken("held", f"{profile.id}: {key!r}")


def _distinct() -> tuple[Profile, ...]:
    """One profile for each set of rules about keys."""
    return tuple({(each.walk, each.crypto, each.trust): each for each in PROFILES.values()}.values())


RULES = _distinct()


def _certificates() -> list[bytes]:
    return [*certificates.forms(), *(seeds.certificate(name) for name in ("signer", "other", "curve"))]


def _sources() -> list[bytes]:
    one, other = _certificates()[:2]
    made = [b"".join(pem("CERTIFICATE", each) for each in pair) for pair in ((one, other, one), (other, one))]
    return [*made, *certificates.marked(), *seeds.efi(), *seeds.rings(), *seeds.der()]


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


def _option(name: str, value: str) -> bytes:
    line = f"# CONFIG_{name} is not set" if value == "n" else f"CONFIG_{name}={value}"
    return f"\n{line}\n".encode()


OPTIONS = tuple(_option(*each) for each in configs.CHANGES)
"""What a configuration may change."""


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
        "kernels/certificate",
        "certificates, as all kernels load them",
        certificate,
        _certificates,
        der,
        DER_WORDS,
        PROMISED,
        limits=Limits(0.5, 60e-6),
    ),
    Target(
        "kernels/keys",
        "any key source, as kernels load it",
        ring,
        _sources,
        plain,
        DER_WORDS,
        PROMISED,
        limits=Limits(0.8, 60e-6, ONE_DECODER),
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
        (*OPTIONS, b" is not set\n", b"=y\n"),
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
