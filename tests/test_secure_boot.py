"""What Debian's kernels did on machines with real Secure Boot: a firmware, shim, GRUB, four signed kernels.

Measured with OVMF (SMM, Microsoft's keys), shim 16.1 and linux-image 6.1.192, 6.12.117, 7.2.13 and 7.3.4 in
five states of the machine. The variables are rebuilt here as those machines had them, the modules by recipe.
"""

from __future__ import annotations

import hashlib
import lzma
from collections.abc import Callable
from functools import cache
from pathlib import Path
from uuid import UUID

import pytest

from elfsig.host import explain
from elfsig.host.machine import EFIVARS, GLOBAL, SECURITY, SHIM, Machine
from elfsig.kernels.select import Chosen
from elfsig.verbs.verify.kernel import KernelQuestion, ask
from tests.support.cms import Identity, attributes, identity, issued, private
from tests.support.opened import opened
from tests.support.verdicts import MODULE, flipped, info, signed, trailed

RELEASES = {
    "6.1": "6.1.0-56-cloud-amd64",
    "6.12": "6.12.117+deb12-cloud-amd64",
    "7.2": "7.2.13+deb14-cloud-amd64",
    "7.3": "7.3.4+deb13-cloud-amd64",
}
X509, SHA256, TBS256 = (
    UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072"),
    UUID("c1c41626-504c-4092-aca9-41f936934328"),
    UUID("3bd2a492-96c0-4079-b420-fcf98ef103ed"),
)


def listed(kind: UUID, *datas: bytes) -> bytes:
    """EFI signature lists with one entry each (UEFI 32.4.1)."""
    found = b""
    for data in datas:
        entry = bytes(16) + data
        head = (28 + len(entry)).to_bytes(4, "little") + bytes(4) + len(entry).to_bytes(4, "little")
        found += kind.bytes_le + head + entry
    return found


# --------------------------------------------------------------------------- keys and modules

MOK, DB, STRANGER = identity("rsa", 21), identity("rsa", 22), identity("rsa", 23)
MOK_DBX, MOK_TBS, DB_DBX = identity("rsa", 24), identity("rsa", 25), identity("rsa", 26)


@cache
def ec(kind: str, hash_name: str) -> Identity:
    return issued(private(kind), kind, hash_name=hash_name)


P256, P384, P521 = ec("p256", "sha256"), ec("p384", "sha384"), ec("p521", "sha512")
ED25519 = issued(private("ed25519"), "ed25519")
IN_DBX, IN_MOKX = signed(MOK, MODULE + b"1"), signed(MOK, MODULE + b"2")

MODULES: dict[str, Callable[[], bytes]] = {
    "unsigned": lambda: MODULE,
    "mok": lambda: signed(MOK),
    "mok p256": lambda: signed(P256),
    "mok p384": lambda: signed(P384, hash_name="sha384"),
    "mok p521": lambda: signed(P521, hash_name="sha512"),
    "mok revoked in dbx": lambda: signed(MOK_DBX),
    "mok revoked by hash": lambda: signed(MOK_TBS),
    "db": lambda: signed(DB),
    "db revoked in dbx": lambda: signed(DB_DBX),
    "stranger": lambda: signed(STRANGER),
    "sha3": lambda: signed(MOK, hash_name="sha3-256"),
    "attributes": lambda: signed(MOK, attrs=attributes(MODULE, "sha256")),
    "damaged": lambda: flipped(signed(MOK), 90),
    "x509 form": lambda: trailed(b"x" * 300, block=info(300, 1)),
    "xz, trailer after it": lambda: signed(MOK, lzma.compress(MODULE, check=lzma.CHECK_CRC32)),
    "file in dbx": lambda: IN_DBX,
    "file in MokListX": lambda: IN_MOKX,
}

L, E, R, I = "loads", "loads, E", "EKEYREJECTED", "EINVAL"  # noqa: E741
STRICT = {
    # case: 6.1, 6.12, 7.2, 7.3
    "unsigned": (R, R, R, R),
    "mok": (L, L, L, L),
    "mok p256": (R, L, L, L),
    "mok p384": (R, L, L, L),
    "mok p521": (R, L, L, L),
    "mok revoked in dbx": (L, L, L, L),
    "mok revoked by hash": (L, L, L, L),
    "db": (L, L, L, L),
    "db revoked in dbx": (L, L, L, L),
    "stranger": (R, R, R, R),
    "sha3": (R, L, L, L),
    "attributes": (R, R, R, R),
    "damaged": (R, R, R, R),
    "x509 form": (R, R, R, R),
    "xz, trailer after it": (I, R, R, R),
    "file in dbx": (R, R, L, L),
    "file in MokListX": (R, R, L, L),
}
WITHOUT_DB = {**STRICT, "db": (R,) * 4, "db revoked in dbx": (R,) * 4}
PERMISSIVE = {
    **dict.fromkeys(STRICT, (E,) * 4),
    "db": (L,) * 4,
    "db revoked in dbx": (L,) * 4,
    "attributes": (R,) * 4,
    "xz, trailer after it": (I, E, E, E),
}
"""No machine owner key is loaded, so that a damaged value by one is not found out either."""

STATES = {
    "trusted": STRICT,
    "untrusted": STRICT,
    "ignore-db": WITHOUT_DB,
    "no-validation": PERMISSIVE,
    "off": PERMISSIVE,
}


# --------------------------------------------------------------------------- the machine


def machine(root: Path, release: str, state: str) -> Machine:
    """A machine in one of the states, with the variables that the kernel of the guest showed."""

    def variable(name: str, vendor: str, data: bytes, attributes: int = 6) -> None:
        path = root / EFIVARS / f"{name}-{vendor}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(attributes.to_bytes(4, "little") + data)

    folder = root / "lib/modules" / release
    folder.mkdir(parents=True)
    kernel = root / "proc/sys/kernel/osrelease"
    kernel.parent.mkdir(parents=True)
    kernel.write_text(release)
    (root / "proc/cmdline").write_text("ro quiet")
    variable("SecureBoot", GLOBAL, bytes([state != "off"]))
    variable("db", SECURITY, listed(X509, DB.certificate, DB_DBX.certificate), 0x27)
    revoked = [MOK_DBX.certificate, DB_DBX.certificate]
    tbs = hashlib.sha256(MOK_TBS.parsed.tbs_certificate_bytes).digest() + bytes(16)
    dbx = listed(X509, *revoked) + listed(TBS256, tbs) + listed(SHA256, hashlib.sha256(IN_DBX).digest())
    variable("dbx", SECURITY, dbx, 0x27)
    owners = (MOK, P256, P384, P521, ED25519, MOK_DBX, MOK_TBS)
    variable("MokListRT", SHIM, listed(X509, *(who.certificate for who in owners)))
    variable("MokListXRT", SHIM, listed(SHA256, hashlib.sha256(IN_MOKX).digest()))
    if state != "untrusted":
        variable("MokListTrustedRT", SHIM, b"\1")
    if state == "no-validation":
        variable("MokSBStateRT", SHIM, b"\1")
    if state == "ignore-db":
        variable("MokIgnoreDB", SHIM, b"\1")
    return Machine(root, live=True)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("kernel", RELEASES)
def test_each_state_of_the_machine(kernel: str, state: str, tmp_path: Path) -> None:
    column = list(RELEASES).index(kernel)
    system = machine(tmp_path, RELEASES[kernel], state)
    asking = explain.question(system, KernelQuestion(Chosen(None)))
    got = {}
    for name, make in MODULES.items():
        (answer,) = ask(opened(make()), asking).predictions
        got[name] = answer.errno or ("loads, E" if answer.taint else "loads")
    assert got == {name: answers[column] for name, answers in STATES[state].items()}
