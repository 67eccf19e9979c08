"""Forms of key sources that are read, or named for what they are: EFI types, blacklists, PKCS#7, PKCS#12."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import pkcs7

import elfsig
from elfsig.crypto.certificate import parse
from elfsig.errors import KeySourceError
from elfsig.model import Verdict
from elfsig.recognition.sniff import kind_of
from elfsig.trust.keyring import load
from tests.support.efilists import ATTRIBUTES, X509, esl
from tests.support.tools import need
from tests.test_trust_sources import EC, GUID, ONE, TWO, pem_of, verify, write

TBS = hashlib.sha256(parse(ONE.certificate).tbs).hexdigest()
OTHER = "00" * 32
RSA2048_SHA256 = "e2b36190-879b-4a3d-ad8d-f2e7bba32784"
RSA2048_SHA1 = "67f8444f-8743-48f1-a328-1eaab8736080"
SM3 = "57347f87-7a9b-403a-b93c-dc4afb7a0ebc"
X509_SM3 = "60d807e5-10b4-49a9-9331-e40437888d37"
EXTERNAL = "452e8ced-dfff-4b8c-ae01-5118862e682c"

# --------------------------------------------------------------------------- EFI lists

UNREAD = {
    "RSA2048_SHA256": esl(RSA2048_SHA256, bytes(256)),
    "RSA2048_SHA1": esl(RSA2048_SHA1, bytes(256)),
    "SM3": esl(SM3, bytes(32)),
    "X509_SM3": esl(X509_SM3, bytes(48)),
    "EXTERNAL_MANAGEMENT": esl(EXTERNAL, b"\0"),
}


@pytest.mark.parametrize("name", UNREAD)
@pytest.mark.parametrize("before", [b"", ATTRIBUTES])
def test_types_of_uefi_that_name_no_key_are_named(tmp_path: Path, name: str, before: bytes) -> None:
    """In a list that begins with one, too: what follows it counts."""
    key = esl(X509, ONE.certificate)
    for data in (UNREAD[name] + key, key + UNREAD[name]):
        for source in (write(tmp_path / "keys" / ("db" + GUID), before + data), str(tmp_path / "keys")):
            [loss] = load([source]).losses
            assert loss.what == f"{name} entry" and "not a UEFI" not in loss.reason
            assert verify(ONE, source).verdict is Verdict.VALID
        with pytest.raises(KeySourceError, match=f"must be read completely.*{name} entry"):
            load([write(tmp_path / "dbx.esl", before + data)])


# --------------------------------------------------------------------------- names


@pytest.mark.parametrize("name", ["mokxps13.der", "mokxeon.pem", "my-mokxps13.crt"])
def test_names_that_only_begin_like_a_list_of_revocations(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "keys" / name, pem_of(ONE))
    assert verify(ONE, path).verdict is verify(ONE, str(tmp_path / "keys")).verdict is Verdict.VALID


@pytest.mark.parametrize(
    "name",
    [
        "mokx.der", "mokx2.pem", "mokx_2024.crt", "mokxrt.der", "mokxlist.pem", "MokListX.crt",
        "MokListXRT.der", "dbxupdate.pem", "dbxDefault.der", "dbx2024.crt", "dbxkeys.pem",
    ],
)  # fmt: skip
def test_names_of_lists_of_revocations(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, pem_of(ONE))
    trusted = write(tmp_path / "one.der", ONE.certificate)
    assert verify(ONE, trusted, path).verdict is Verdict.UNTRUSTED


# --------------------------------------------------------------------------- the kernel's blacklist


@pytest.mark.parametrize(
    "text",
    [
        f'"tbs:{TBS}","tbs:{OTHER}"', f'"tbs:{OTHER}" , "tbs:{TBS}"', f'"tbs:{OTHER}",\n"tbs:{TBS}",\n',
        f"tbs:{OTHER}\ntbs:{TBS}\n", f"tbs:{OTHER},tbs:{TBS}", f' \t"tbs:{TBS}"\n,\n"bin:{OTHER}"\n',
        f'\ufeff"tbs:{TBS}", "bin:{OTHER}"',
    ],
)  # fmt: skip
@pytest.mark.parametrize("prefix", ["", "revoked:"])
def test_a_blacklist_is_any_initialiser_of_c(tmp_path: Path, text: str, prefix: str) -> None:
    path = write(tmp_path / "hashes.txt", text.encode())
    trusted = write(tmp_path / "one.der", ONE.certificate)
    assert len(load([prefix + path]).revocations) == 2
    assert verify(ONE, trusted, prefix + path).verdict is Verdict.UNTRUSTED


@pytest.mark.parametrize(
    "text",
    [
        f'"tbs:{TBS}""tbs:{OTHER}"', f'"tbs:{OTHER}", "tbs:{TBS}', f"tbs:{OTHER};tbs:{TBS}", f"tbs:{OTHER},x",
        f'"tbs:{OTHER}", {TBS}', f"tbs:{OTHER}\ntbs:{TBS.upper()}f",
    ],
)  # fmt: skip
def test_a_blacklist_with_anything_else_is_refused(tmp_path: Path, text: str) -> None:
    """C joins strings without a comma between them: the kernel would know neither of the two."""
    path = write(tmp_path / "hashes.txt", text.encode())
    for source in (path, f"revoked:{path}"):
        with pytest.raises(KeySourceError):
            load([write(tmp_path / "one.der", ONE.certificate), source])


# --------------------------------------------------------------------------- PKCS#7 and PKCS#12


def bare(data: bytes) -> bytes:
    """The SignedData in a ContentInfo: 30 82 LLLL, the identifier, a0 82 LLLL."""
    return data[4 + 11 + 4 :]


def test_a_pkcs7_without_its_content_info(tmp_path: Path) -> None:
    both = [x509.load_der_x509_certificate(each.certificate) for each in (ONE, EC)]
    data = bare(pkcs7.serialize_certificates(both, serialization.Encoding.DER))
    kind = kind_of(data)
    assert kind is not None and kind.name == "certificates in a PKCS#7 file"
    path = write(tmp_path / "b.p7b", data)
    assert {key.algorithm for key in load([path]).keys} == {"rsa", "ecdsa"}
    assert not any(key.trusted for key in load([f"revoked:{path}"]).keys)
    made = (
        pkcs7.PKCS7SignatureBuilder()
        .set_data(b"x")
        .add_signer(both[0], ONE.private, hashes.SHA256())
        .sign(serialization.Encoding.DER, [pkcs7.PKCS7Options.DetachedSignature])
    )
    with pytest.raises(KeySourceError, match="a PKCS#7 signature, not a key source"):
        load([write(tmp_path / "s.p7s", bare(made))])


@pytest.mark.parametrize("words", [("-nokeys",), ("-inkey", "k.pem")])
def test_a_pkcs12_is_named(tmp_path: Path, words: tuple[str, ...]) -> None:
    """Whether a key is in it cannot be said: the content is encrypted."""
    key = ONE.private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write(tmp_path / "k.pem", key)
    write(tmp_path / "c.pem", pem_of(ONE))
    command = [
        need("openssl"),
        "pkcs12",
        "-export",
        "-in",
        "c.pem",
        "-passout",
        "pass:x",
        "-out",
        "o.p12",
        *words,
    ]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)
    made = (tmp_path / "o.p12").read_bytes()
    for source in (tmp_path / "o.p12", f"revoked:{tmp_path / 'o.p12'}"):
        with pytest.raises(KeySourceError, match="a PKCS#12 file: give the cert"):
            load([str(source)])
    write(tmp_path / "keys" / "o.p12", made)
    write(tmp_path / "keys" / "two.der", TWO.certificate)
    assert [Path(loss.file).name for loss in load([str(tmp_path / "keys")]).losses] == ["o.p12"]


# --------------------------------------------------------------------------- pins


def test_a_pin_in_two_spellings_is_one_pin(tmp_path: Path) -> None:
    path = write(tmp_path / "one.der", ONE.certificate)
    digest = hashlib.sha256(ONE.certificate).hexdigest()
    colons = ":".join(digest[at : at + 2] for at in range(0, 64, 2))
    pins = [f"SHA256:{digest}", f"SHA256:{digest.upper()}", f"SHA256:{colons}", f"SHA256:{digest}"]
    ring = elfsig.keyring([*pins, path])
    assert ring is not None and [key.trusted for key in ring.keys] == [True]
