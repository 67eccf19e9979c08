"""Which key a kernel finds for a signature: in keyrings, through embedded certificates, in revocations."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from elfsig.kernels.catalogue import get
from elfsig.kernels.keys import KernelKeys
from elfsig.kernels.policy import Subject, predict
from elfsig.kernels.profile import Mode, Prediction
from elfsig.trust.entries import Material, Origin
from elfsig.trust.keyring import load
from elfsig.trust.make import key_from_certificate
from elfsig.trust.ring import Ring
from tests.support.cli import elfsig
from tests.support.cms import Identity, cms, issued, private, ring, signer_info
from tests.support.opened import opened
from tests.support.verdicts import MODULE, trailed

ENFORCING = Mode(enforcing=True)
KEY, OTHER_KEY, LEAF_KEY = (private("rsa", number) for number in (41, 42, 43))


def ask(content: bytes, keys: Ring | None, kernel: str = "6.12", mode: Mode = ENFORCING) -> Prediction:
    return predict(Subject(opened(content), keys, get(kernel)), mode)


def signed(who: Identity, *embedded: Identity, keyid: bool = False) -> bytes:
    info = signer_info(who, MODULE, keyid=keyid)
    certificates = [each.certificate for each in embedded]
    return trailed(cms(info, certificates=certificates, version=3 if keyid else 1))


def on(keyring: str, *certificates: Identity) -> Ring:
    found = (key_from_certificate(c.certificate, Origin("MokListRT", keyring)) for c in certificates)
    return Ring(Material(tuple(found)))


# --------------------------------------------------------------------------- one key of a description


def test_a_renewed_certificate_takes_the_place_of_the_old_one() -> None:
    """Linux 6.18.44: adding a second key of the same name and key identifier replaced the first (add_key)."""
    old, new = issued(KEY, "MOK", serial=1), issued(KEY, "MOK", serial=2)
    for keys, lost, kept in ((on("machine", old, new), old, new), (on("machine", new, old), new, old)):
        answer = ask(signed(lost), keys, "debian-6.12")
        assert answer.inner == "ENOKEY", answer
        assert any("takes the place of" in note for note in answer.notes)
        assert "took its place" in answer.advice
        assert ask(signed(kept), keys, "debian-6.12").accepted
        assert ask(signed(lost, keyid=True), keys, "debian-6.12").accepted, "both have this key identifier"


def test_keys_of_other_names_identifiers_and_keyrings_stay() -> None:
    old, new = issued(KEY, "MOK", serial=1), issued(KEY, "MOK", serial=2)
    apart = (
        on("machine", old, issued(KEY, "another", serial=2)),
        on("machine", old, issued(OTHER_KEY, "MOK", serial=2)),
        Ring(Material((*on("machine", old).keys, *on("platform", new).keys))),
    )
    for keys in apart:
        assert not KernelKeys(keys, get("debian-6.12")).displaced
        assert ask(signed(old), keys, "debian-6.12").accepted


# --------------------------------------------------------------------------- embedded certificates

ROOT = issued(KEY, "root")
LEAF = issued(LEAF_KEY, "leaf", ROOT, serial=21)


def test_a_signer_named_by_key_identifier_has_no_embedded_certificate() -> None:
    """pkcs7_find_key() compares issuer and serial number only, so that there is no chain to the root."""
    assert ask(signed(LEAF, LEAF), ring(ROOT.certificate)).accepted
    by_identifier = signed(LEAF, LEAF, keyid=True)
    assert ask(by_identifier, ring(ROOT.certificate)).inner == "ENOKEY"
    assert ask(by_identifier, ring(LEAF.certificate)).accepted


def test_an_embedded_certificate_is_looked_up_by_issuer_and_serial_number() -> None:
    old, new = issued(KEY, "MOK", serial=1), issued(KEY, "MOK", serial=2)
    assert ask(signed(new, new), ring(old.certificate)).inner == "ENOKEY"
    assert ask(signed(old, old), ring(old.certificate)).accepted
    assert ask(signed(new, keyid=True), ring(old.certificate)).accepted


def test_every_embedded_link_must_match_even_above_a_trusted_certificate() -> None:
    """pkcs7_verify_sig_chain() comes before any keyring."""
    impostor = issued(OTHER_KEY, "root", serial=22)
    forged = with_identifier(OTHER_KEY, ROOT.skid)
    refused = ask(signed(LEAF, LEAF, forged), ring(LEAF.certificate))
    assert (refused.accepted, refused.inner, refused.fault) == (False, "EINVAL", "embedded-chain")
    assert "did not sign it" in refused.reason and "do not fit together" in refused.advice
    assert not ask(signed(LEAF, LEAF, forged), ring(LEAF.certificate), mode=Mode()).accepted
    assert ask(signed(LEAF, LEAF, ROOT), ring(LEAF.certificate)).accepted
    assert ask(signed(LEAF, LEAF, impostor), ring(LEAF.certificate)).accepted, "nothing names it"


def with_identifier(key: Any, key_id: bytes) -> Identity:
    """A self-signed certificate named "root" with a key identifier that is not of its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509.oid import NameOID

    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "root")])
    like = x509.load_der_x509_certificate(ROOT.certificate)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 5)
    builder = builder.not_valid_before(like.not_valid_before_utc).not_valid_after(like.not_valid_after_utc)
    builder = builder.add_extension(x509.SubjectKeyIdentifier(key_id), critical=False)
    return Identity(key, builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER))


# --------------------------------------------------------------------------- revocation


def test_a_blacklisted_key_is_not_loaded_which_is_not_a_refusal(tmp_path: Path) -> None:
    """A hash on the kernel's blacklist is no certificate on its list of revoked keys."""
    trusted, listed = tmp_path / "k.der", tmp_path / "list.txt"
    trusted.write_bytes(ROOT.certificate)
    listed.write_text(f'"tbs:{hashlib.sha256(ROOT.parsed.tbs_certificate_bytes).hexdigest()}"\n')
    keys = load([str(trusted), f"revoked:{listed}"])
    for kernel in ("5.18", "6.6", "6.12", "debian-6.12"):
        assert ask(signed(ROOT), keys, kernel).inner == "ENOKEY", kernel
        loaded = ask(signed(ROOT), keys, kernel, Mode())
        assert loaded.accepted and loaded.taint == "E", kernel


def test_hashes_of_efi_lists_revoke_nothing() -> None:
    """They are stored with their time (load_uefi.c), and never match."""
    from elfsig.trust.entries import Revocation, RevokedHash

    origin = Origin("dbx.esl")
    digest = hashlib.sha256(ROOT.parsed.tbs_certificate_bytes).digest()
    revocation = Revocation(RevokedHash("tbs", "sha256", digest), "dbx.esl", origin.provenance)
    key = key_from_certificate(ROOT.certificate, Origin("k.der"))
    keys = Ring(Material((key,), revocations=(revocation,)))
    for kernel in ("5.18", "6.6", "6.12", "ubuntu"):
        answer = ask(signed(ROOT), keys, kernel)
        assert answer.accepted and any("revokes this key" in note for note in answer.notes), kernel


@pytest.mark.parametrize("kernel", ["6.6", "6.12", "7.2"])
def test_revoked_certificates_are_searched_as_trusted_ones_are(kernel: str) -> None:
    keys = ring(ROOT.certificate, revoked=[ROOT.certificate])
    assert ask(signed(ROOT), keys, kernel).fault == "revoked"
    assert ask(signed(LEAF, LEAF), keys, kernel).fault == "revoked", "through the embedded chain"
    renewed = issued(KEY, "root", serial=9)
    keys = ring(renewed.certificate, revoked=[ROOT.certificate])
    answer = ask(signed(renewed), keys, kernel)
    assert answer.accepted, "another issuer and serial number"
    assert any("but not so that this kernel finds it" in note for note in answer.notes)


# --------------------------------------------------------------------------- before a signature is asked for


@pytest.mark.parametrize(
    ("kernel", "no_skid", "no_authority"),
    [
        ("3.7", "EKEYREJECTED", "EKEYREJECTED"), ("uek3", "EKEYREJECTED", "EKEYREJECTED"),
        ("3.13", "EKEYREJECTED", None), ("3.15", "EKEYREJECTED", None), ("rhel7", "EKEYREJECTED", None),
        ("3.17", None, None), ("4.3", None, None), ("6.12", None, None),
    ],
)  # fmt: skip
def test_identifiers_that_early_kernels_demand(
    kernel: str, no_skid: str | None, no_authority: str | None
) -> None:
    """x509_key_preparse() of 3.7; 17334cabc814 (3.13) let certificates without the second one pass."""
    bare = issued(KEY, "no skid", skid=False, authority=False)
    named_by_itself = issued(KEY, "no authority", authority=False)
    assert get(kernel).loads(bare.certificate).errno == no_skid
    assert get(kernel).loads(named_by_itself.certificate).errno == no_authority
    assert bool(get(kernel).loads(bare.certificate).doubt) is (kernel == "3.17")
    assert get(kernel).loads(issued(LEAF_KEY, "both", ROOT).certificate).good


def test_keys_list_knows_the_kernel_s_blacklist(tmp_path: Path) -> None:
    trusted, listed = tmp_path / "k.der", tmp_path / "list.txt"
    trusted.write_bytes(ROOT.certificate)
    listed.write_text(f'"tbs:{hashlib.sha256(ROOT.parsed.tbs_certificate_bytes).hexdigest()}"\n')
    for more in ((), ("--json",)):
        told = elfsig("keys", "list", trusted, listed, "--for-kernel", "6.12", *more).out
        assert "blacklist (by its sha256)" in told, more
