"""Real lists of revocations as Debian ships them: every entry is read, by the count of another tool.

shim has the list of what Debian revoked in a section of its own; OVMF has the firmware's variables with
Microsoft's keys. ``python -m tests.setup`` fetches both.
"""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from elfsig.model import Why
from elfsig.trust.keyring import load
from tests.oracle.firmware import _STORE_AT, _STORE_HEADER, _VARIABLE, FOLDER, START, VARIABLE_ADDED
from tests.support import kernels
from tests.support.cms import identity
from tests.support.keysources import pem
from tests.support.tools import need

SHIM = "usr/lib/shim/shimx64.efi"
STORES = ("OVMF_VARS_4M.ms.fd", "OVMF_VARS.ms.fd", "OVMF_VARS_4M.snakeoil.fd")


def vendor_list(tmp_path: Path) -> bytes:
    """The vendor's dbx in shim (its struct cert_table: two sizes, two offsets, the certificate, the list)."""
    found = kernels.cached("amd64", kernels.SHIM_NAME)
    if found is None:
        pytest.skip(f"needs Debian's {kernels.SHIM}: python -m tests.setup")
    section = tmp_path / "vendor"
    command = [
        need("objcopy"),
        "-O",
        "binary",
        "--only-section=.vendor_cert",
        str(found.path / SHIM),
        str(section),
    ]
    subprocess.run(command, check=True, capture_output=True)
    data = section.read_bytes()
    _, size, _, offset = struct.unpack_from("<IIII", data)
    return data[offset : offset + size]


def variables(store: Path) -> Iterator[tuple[str, bytes]]:
    """The variables of edk2's authenticated store, by name."""
    image = store.read_bytes()
    (volume_header,) = struct.unpack_from("<H", image, _STORE_AT)
    at = volume_header + _STORE_HEADER
    while image[at : at + 2] == START.to_bytes(2, "little"):
        _, state, *_, name, size, _ = _VARIABLE.unpack_from(image, at)
        text = at + _VARIABLE.size
        if state == VARIABLE_ADDED:
            yield (
                image[text : text + name].decode("utf-16-le").rstrip("\0"),
                image[text + name : text + name + size],
            )
        at = (text + name + size + 3) & ~3


def counted(path: Path, tmp_path: Path) -> int:
    """How many entries efitools finds."""
    out = tmp_path / "out"
    out.mkdir()
    command = [need("sig-list-to-certs"), str(path), str(out / "e")]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return len(re.findall(r"^(?:file|Written) .*(?:Guid|certificate)", text, re.MULTILINE)) or len(
        list(out.iterdir())
    )


def test_what_debian_revoked(tmp_path: Path) -> None:
    path = tmp_path / "dbx.esl"
    path.write_bytes(vendor_list(tmp_path))
    ring = load([str(path)])
    found = len(ring.revocations) + len(ring.keys)
    assert found == counted(path, tmp_path) > 50
    assert all(key.revoked for key in ring.keys) and not ring.losses


def test_the_same_as_a_signed_update(tmp_path: Path) -> None:
    data = vendor_list(tmp_path)
    who = identity("rsa")
    (tmp_path / "dbx.esl").write_bytes(data)
    (tmp_path / "c.pem").write_bytes(pem("CERTIFICATE", who.certificate))
    (tmp_path / "k.pem").write_bytes(
        who.private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    command = [need("sign-efi-sig-list"), "-k", "k.pem", "-c", "c.pem", "dbx", "dbx.esl", "DBXUpdate.bin"]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)
    plain, update = load([str(tmp_path / "dbx.esl")]), load([str(tmp_path / "DBXUpdate.bin")])
    assert plain.revoked_hashes == update.revoked_hashes
    assert {k.fingerprint for k in plain.keys} == {k.fingerprint for k in update.keys}


@pytest.mark.parametrize("store", STORES)
def test_the_variables_of_a_firmware(tmp_path: Path, store: str) -> None:
    if not (FOLDER / store).exists():
        pytest.skip(f"needs {store}: apt package ovmf")
    held = {name: data for name, data in variables(FOLDER / store) if name in ("PK", "KEK", "db", "dbx")}
    assert set(held) == {"PK", "KEK", "db", "dbx"}
    for name, data in held.items():
        (tmp_path / name).mkdir()
        path = tmp_path / name / name
        path.write_bytes(data)
        ring = load([str(path)])
        assert len(ring.keys) + len(ring.revocations) == counted(path, tmp_path / name), name
        assert {key.trusted for key in ring.keys} <= {name == "db"}
        if name in ("PK", "KEK"):
            assert {key.why for key in ring.keys} == {Why.NOT_FOR_MODULES}
