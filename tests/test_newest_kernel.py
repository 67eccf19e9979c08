"""All modules of Debian's newest kernel: ECDSA P-384 in xz, valid under the key in its own image."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.oracle.kernel import Kernel
from tests.support.bootable import BOOTABLE, bootable
from tests.support.cli import elfsig
from tests.support.notes import Note


@pytest.fixture(scope="module")
def newest() -> Kernel:
    package = bootable("newest")
    if package is None:
        wanted = BOOTABLE["newest"].pattern
        pytest.skip(f"gone: {wanted} is not available, or was not fetched (python -m tests.setup)")
    return Kernel(package)


def test_every_module_is_valid_under_the_key_in_its_own_kernel(newest: Kernel, note: Note) -> None:
    paths = newest.package.modules()
    ran = elfsig("verify", "--jsonl", "--trust", newest.image, newest.package.path)
    assert ran.code == 0, ran.err
    found: Counter[str] = Counter()
    for report in ran.files():
        (signature,) = report["signatures"]
        assert (report["verdict"], signature["format"]) == ("valid", "pkcs7"), report["path"]
        assert signature["key"]["role"] == "builtin"
        found[f"{signature['key']['algorithm']}-{signature['key']['bits']} {signature['hash']}"] += 1
    assert sum(found.values()) == len(paths) > 500
    kinds = ", ".join(f"{count} {kind}" for kind, count in found.items())
    note(f"{newest.release}: {len(paths)} modules, all valid: {kinds}; {newest.shipped.compression}")


def test_the_newest_kernel_itself_is_predicted_to_accept_them(newest: Kernel) -> None:
    assert newest.config is not None
    words: list[str | Path] = [
        "--kernel",
        newest.release,
        "--config",
        newest.config,
        "--trust",
        f"builtin:{newest.image}",
    ]
    paths = newest.package.modules()
    ran = elfsig("explain", *words, "--secure-boot", "--jsonl", *paths[:: len(paths) // 40])
    assert ran.code == 0, ran.err
    assert {report["kernel"]["errno"] for report in ran.files()} == {None}
    assert {report["kernel"]["secure_boot"] for report in ran.files()} == {True}
