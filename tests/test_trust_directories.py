"""Directories of key sources: what is not read there, and what the names on the way to a file say."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from elfsig.batch.policy.sources import SHARED, Sources
from elfsig.errors import KeySourceError
from elfsig.model import Verdict, Why
from elfsig.trust.keyring import load
from tests.support.cli import elfsig
from tests.support.efilists import SHA256, X509, esl
from tests.support.keysources import noise
from tests.test_trust_sources import GUID, ONE, TWO, pem_of, verify, write

PRIVATE = ONE.private.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)
V6 = b"\xc6\x06\x06" + bytes(5)


def dangling(path: Path) -> None:
    path.symlink_to("/nonexistent/target")


def linked_folder(path: Path) -> None:
    far = path.parent.parent / "far"
    write(far / "one.der", ONE.certificate)
    path.symlink_to(far)


def holding(data: bytes) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.write_bytes(data)

    return make


UNREAD: dict[str, tuple[str, Callable[[Path], None]]] = {
    "cut off": ("one.crt", holding(ONE.certificate[:-5])),
    "cut off, no suffix": ("one", holding(ONE.certificate[:-5])),
    "empty certificate": ("one.der", holding(b"")),
    "text for a certificate": ("one.pem", holding(b"hello\n")),
    "dangling link": ("one.der", dangling),
    "dangling folder": ("more", dangling),
    "linked folder": ("more", linked_folder),
    "fifo": ("one.der", os.mkfifo),
    "ring of a later version": ("evil.gpg", holding(V6)),
    "hashes in text": ("hashes.txt", holding(b"ab" * 32 + b"  file.ko\n")),
    "fingerprint in text": ("notes.txt", holding(b"revoke " + b"AB:" * 31 + b"AB\n")),
    "base64 in text": ("keys.txt", holding(b"MIIC/zCCAeegAwIBAgIBATANBgkqhkiG9w0BAQsFADARMQ8wDQYDVQQD\n")),
    "archive": ("keys.tar", holding(b"one.der".ljust(257, b"\0") + b"ustar" + bytes(250) + ONE.certificate)),
    "noise": ("data", holding(noise(200))),
}  # fmt: skip


@pytest.mark.parametrize("name", UNREAD)
@pytest.mark.parametrize("folder", ["rev", "dbx", "keys/dbx", "keys/vendor_dbx/deep"])
def test_what_a_directory_that_revokes_does_not_read_is_an_error(
    tmp_path: Path, name: str, folder: str
) -> None:
    file, make = UNREAD[name]
    trusted = write(tmp_path / "one.der", ONE.certificate)
    write(tmp_path / folder / "good.der", TWO.certificate)
    make(tmp_path / folder / file)
    top = tmp_path / folder.partition("/")[0]
    source = f"revoked:{top}" if folder == "rev" else str(top)
    with pytest.raises(KeySourceError) as raised:
        load([trusted, source])
    assert raised.value.text.startswith(f"{tmp_path / folder / file}: ")
    assert raised.value.text.endswith("(everything in a directory that revokes must be read)")


@pytest.mark.parametrize(
    "name, make",
    [
        ("dbx", linked_folder), ("dbx", dangling), ("dbx.esl", dangling), ("dbx.esl", os.mkfifo),
        ("dbx" + GUID, dangling), ("vendor_dbx", linked_folder), ("MokListXRT", os.mkfifo),
    ],
)  # fmt: skip
@pytest.mark.parametrize("prefix", ["", "machine:"])
def test_a_list_of_revocations_that_is_no_file_is_an_error(
    tmp_path: Path, name: str, make: Callable[[Path], None], prefix: str
) -> None:
    write(tmp_path / "keys" / "one.der", ONE.certificate)
    make(tmp_path / "keys" / name)
    with pytest.raises(KeySourceError, match=name):
        load([f"{prefix}{tmp_path / 'keys'}"])


def test_a_text_without_keys_beside_revocations_is_told(tmp_path: Path) -> None:
    """It is passed over, and named: nobody can rule out that it was meant to revoke."""
    trusted = write(tmp_path / "two.der", TWO.certificate)
    write(tmp_path / "rev" / "one.der", ONE.certificate)
    for name, data in (("README", b"These are ours.\n"), ("get.sh", b"#!/bin/sh\nexit 0\n"), (".keep", b"")):
        write(tmp_path / "rev" / name, data)
    ring = load([trusted, f"revoked:{tmp_path / 'rev'}"])
    assert [Path(loss.file).name for loss in ring.losses] == [".keep", "README", "get.sh"]
    report = verify(TWO, trusted, f"revoked:{tmp_path / 'rev'}")
    assert report.verdict is Verdict.VALID
    assert sum(each.code == "key-source-loss" for each in report.warnings) == 3


def test_what_a_directory_of_keys_does_not_read_is_told(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    write(keys / "one.der", ONE.certificate)
    dangling(keys / "a.der")
    linked_folder(keys / "b")
    os.mkfifo(keys / "c")
    write(keys / ("db" + GUID), noise(50))
    ring = load([str(keys)])
    assert {Path(loss.file).name: loss.reason.partition(",")[0] for loss in ring.losses} == {
        "a.der": "a link that leads nowhere",
        "b": "a link to a directory",
        "c": "not a regular file",
        "db" + GUID: "not a key source of a known kind",
    }
    assert verify(ONE, str(keys)).verdict is Verdict.VALID


def test_a_linked_folder_that_is_read_anyway_is_no_loss(tmp_path: Path) -> None:
    write(tmp_path / "keys" / "2024" / "one.der", ONE.certificate)
    (tmp_path / "keys" / "latest").symlink_to("2024")
    assert not load([str(tmp_path / "keys")]).losses
    (tmp_path / "keys" / "dbx").symlink_to("2024")
    with pytest.raises(KeySourceError, match="dbx: a link to a directory"):
        load([str(tmp_path / "keys")])


# --------------------------------------------------------------------------- private keys


@pytest.mark.parametrize("first", [True, False])
def test_a_certificate_beside_a_private_key_in_one_file_is_told(tmp_path: Path, first: bool) -> None:
    """As certs/signing_key.pem of a kernel's build has both."""
    parts = (PRIVATE, pem_of(ONE)) if first else (pem_of(ONE), PRIVATE)
    write(tmp_path / "signing_key.pem", b"".join(parts))
    write(tmp_path / "mok.key", PRIVATE)
    write(tmp_path / "two.der", TWO.certificate)
    [loss] = load([str(tmp_path)]).losses
    assert loss.file.endswith("signing_key.pem") and loss.reason.startswith("holds a private key; give")


def test_der_keys_too(tmp_path: Path) -> None:
    key = ONE.private.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write(tmp_path / "mok.priv", key)
    write(tmp_path / "two.der", TWO.certificate)
    assert not load([str(tmp_path)]).losses
    write(tmp_path / "both", key + ONE.certificate)
    assert [Path(loss.file).name for loss in load([str(tmp_path)]).losses] == ["both"]


# --------------------------------------------------------------------------- names on the way


FORMS = {"certificate": ONE.certificate, "PEM": pem_of(ONE), "list": esl(X509, ONE.certificate)}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "path",
    [
        "dbx/mok.der", "dbx/db.esl", "vendor_dbx/MokListRT.der", "dbx/PK.der", "dbx/KEK/mok.der",
        "KEK/dbx/db", "DBX/sub/db.esl", "MokListX/MokListRT", "dbx" + GUID + "/db" + GUID,
    ],
)  # fmt: skip
def test_a_folder_that_revokes_wins_over_every_name_in_it(tmp_path: Path, form: str, path: str) -> None:
    trusted = write(tmp_path / "one.der", ONE.certificate)
    write(tmp_path / "keys" / path, FORMS[form])
    write(tmp_path / "keys" / "two.der", TWO.certificate)
    for source in (tmp_path / "keys", tmp_path / "keys" / path.partition("/")[0]):
        if "dbx" in source.name.lower() or source.name in ("keys", "MokListX"):
            report = verify(ONE, trusted, str(source))
            assert report.verdict is Verdict.UNTRUSTED and "revoke" in str(report.signatures[0].reason)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("path", ["KEK/mok.der", "PK/db.esl", "dbDefault/sub/MokListRT", "MokNew/db" + GUID])
def test_a_folder_of_other_keys_wins_over_keyrings(tmp_path: Path, form: str, path: str) -> None:
    write(tmp_path / path, FORMS[form])
    [key] = load([str(tmp_path)]).keys
    assert (key.trusted, key.why) == (False, Why.NOT_FOR_MODULES)


def test_hashes_in_a_folder_that_revokes_do_too(tmp_path: Path) -> None:
    write(tmp_path / "dbx" / "db.esl", esl(SHA256, bytes(32)))
    assert len(load([str(tmp_path)]).revocations) == 1


@pytest.mark.parametrize("way", ["dbx/s/..", "latest", "latest/s/..", "dbx/./", "latest/."])
def test_a_directory_is_known_by_its_real_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    write(tmp_path / "dbx" / "list.der", ONE.certificate)
    (tmp_path / "dbx" / "s").mkdir()
    (tmp_path / "latest").symlink_to("dbx")
    monkeypatch.chdir(tmp_path)
    for source in (str(tmp_path / way), f"{tmp_path}/{way}", way, f"machine:{way}"):
        assert not any(key.trusted for key in load([source]).keys), source
    monkeypatch.chdir(tmp_path / "dbx" / "s")
    assert not any(key.trusted for key in load([".."]).keys)


@pytest.mark.parametrize("form", FORMS)
def test_a_link_is_known_by_what_it_leads_to(tmp_path: Path, form: str) -> None:
    write(tmp_path / "store" / "dbx-2024.bin", FORMS[form])
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "db.der").symlink_to("../store/dbx-2024.bin")
    for source in (tmp_path / "keys", tmp_path / "keys" / "db.der"):
        assert not any(key.trusted for key in load([str(source)]).keys)


def test_every_link_of_a_chain_counts(tmp_path: Path) -> None:
    write(tmp_path / "store" / "0123" / "one.der", ONE.certificate)
    (tmp_path / "dbx").symlink_to("store/0123")
    (tmp_path / "keys").symlink_to("dbx")
    (tmp_path / "dbx.der").symlink_to("store/0123/one.der")
    (tmp_path / "mine.der").symlink_to("dbx.der")
    for source in ("keys", "dbx", "mine.der", "dbx.der"):
        assert not any(key.trusted for key in load([str(tmp_path / source)]).keys), source


@pytest.mark.parametrize("size", [0, SHARED])
@pytest.mark.parametrize("names", [("dbx.esl", "blob"), ("list.esl", "dbx.esl")])
def test_a_link_in_the_root_of_a_host_too(tmp_path: Path, size: int, names: tuple[str, str]) -> None:
    """A policy for many hosts resolves their links itself; large files are kept for all hosts."""
    name, target = names
    write(
        tmp_path / "host" / "store" / target, esl(X509, ONE.certificate) * (1 + size // len(ONE.certificate))
    )
    (tmp_path / "host" / "etc").mkdir()
    (tmp_path / "host" / "etc" / name).symlink_to(f"/store/{target}")
    found = Sources().material(str(tmp_path / "host" / "etc" / name), True, str(tmp_path / "host"))
    assert found.keys[0].revoked


@pytest.mark.parametrize("names", [("dbx", "2024"), ("latest", "dbx")])
def test_a_linked_folder_in_the_root_of_a_host_too(tmp_path: Path, names: tuple[str, str]) -> None:
    name, target = names
    write(tmp_path / "host" / target / "one.der", ONE.certificate)
    (tmp_path / "host" / name).symlink_to(f"/{target}")
    found = Sources().material(str(tmp_path / "host" / name), True, str(tmp_path / "host"))
    assert found.keys[0].revoked


def test_the_command_says_what_it_did_not_read(tmp_path: Path) -> None:
    write(tmp_path / "keys" / "one.der", ONE.certificate)
    dangling(tmp_path / "keys" / "dbx.esl")
    ran = elfsig("keys", "list", tmp_path / "keys")
    assert ran.code == 2 and "dbx.esl: a link that leads nowhere" in ran.err
    assert "Traceback" not in ran.err
