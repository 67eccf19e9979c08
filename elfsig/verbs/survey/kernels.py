"""Kernel images that a survey meets: their release, and the keys compiled into them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from elfsig.errors import KeySourceError
from elfsig.kernels.select import read_image
from elfsig.lazy_dataclass import replace
from elfsig.model import FileReport, Keyring, Remark, Verdict
from elfsig.trust.entries import Material, Origin, gather
from elfsig.trust.forms import read_source
from elfsig.trust.kernel_image import is_bzimage
from elfsig.trust.ring import Ring
from elfsig.verbs.survey.records import KernelRecord, Layer

SAME_FILE = "kernel-in-same-file"
"""Code of the warning that a key comes out of the file that was examined."""


def kernel_record(path: str, chain: tuple[Layer, ...], data: bytes) -> tuple[KernelRecord, Material]:
    """The record of the image ``data``, and its keys: to be tried, vouched for by nobody."""
    digest = hashlib.sha256(data).hexdigest()
    record = KernelRecord(path, chain, len(data), digest, release_of(data))
    try:
        found = read_source(data, Origin(path, vouched=False))
    except KeySourceError as fault:
        return replace(record, error=Remark(fault.code, fault.text.removeprefix(f"{path}: "))), Material()
    return replace(record, keys=found.keys), found


def release_of(data: bytes) -> str | None:
    """The release in a kernel image, None without one.

    An x86 image has it in its header: the two bytes at 0x20e are where, less 0x200
    (Documentation/arch/x86/boot.rst, kernel_version).
    """
    if is_bzimage(data):
        at = int.from_bytes(data[0x20E:0x210], "little") + 0x200
        text = data[at : at + 256].partition(b"\0")[0].partition(b" ")[0]
        if at > 0x200 and text and text.isascii():
            return text.decode("ascii")
    image = read_image(data)
    return None if image is None else image.release


def with_found(keys: Keyring | None, found: Iterable[Material]) -> Ring:
    """The keys of a question, and those of kernel images, which are only tried."""
    given = keys.material if isinstance(keys, Ring) else Material()
    return Ring(gather([given, *found]))


def with_origin(report: FileReport, kernels: frozenset[str]) -> FileReport:
    """``report`` with a warning where its key comes out of one of the images at the paths ``kernels``."""
    decisive = report.effective
    if decisive is None or report.verdict is not Verdict.UNTRUSTED:
        return report
    key = decisive.anchor or decisive.key
    if key is None or key.source not in kernels:
        return report
    text = "the key is that of the kernel on the same disk: who could change this could change that kernel"
    return replace(report, warnings=(*report.warnings, Remark(SAME_FILE, text)))
