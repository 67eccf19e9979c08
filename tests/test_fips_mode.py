"""FIPS mode: what it rules out, as booted kernels answered, and by crypto/testmgr.c of each version."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from elfsig.kernels import config
from elfsig.kernels.catalogue import get
from elfsig.kernels.policy import FIPS_ASSUMED, Subject, predict
from elfsig.kernels.profile import Mode, Prediction, Profile
from elfsig.kernels.select import for_release
from tests.support import verdicts
from tests.support.cms import identity, issued, oid, private, ring
from tests.support.opened import opened
from tests.support.verdicts import RSA, signed

EC = verdicts.p384()
SHA256_RSA, MD5_RSA = oid("1.2.840.113549.1.1.11"), oid("1.2.840.113549.1.1.4")


def ask(hash_name: str, kernel: str | Profile, *, enforcing: bool = True, fips: bool = True) -> Prediction:
    profile = get(kernel) if isinstance(kernel, str) else kernel
    subject = Subject(opened(signed(hash_name=hash_name)), ring(RSA.certificate), profile)
    return predict(subject, Mode(enforcing=enforcing, fips=fips))


BOOTED = {
    ("debian-6.1", "md5"): ("EKEYREJECTED", "ENOPKG"),
    ("debian-6.1", "sha256"): (None, None),
    ("debian-6.1", "sha1"): (None, None),
    ("debian-5.10-cloud", "md5"): ("ELIBBAD", "ELIBBAD"),
    ("debian-5.10-cloud", "sha256"): (None, None),
    ("debian-5.10-cloud", "sha1"): (None, None),
    ("debian-7.2", "sha1"): (None, None),
    ("debian-7.2", "sha256"): (None, None),
    ("debian-7.2", "sha384"): (None, None),
}
"""6.1.0-57-cloud-amd64, 5.10.0-46-cloud-amd64 and 7.3.4+deb13-cloud-amd64, booted with fips=1 and enforcing;
the last one was built without FIPS mode."""


@pytest.mark.parametrize(("case", "answer"), BOOTED.items(), ids=map("-".join, BOOTED))
def test_what_booted_kernels_answered(case: tuple[str, str], answer: tuple[str | None, str | None]) -> None:
    kernel, hash_name = case
    told = ask(hash_name, kernel)
    assert (told.errno, told.inner) == answer
    assert ask(hash_name, kernel, fips=False).accepted
    if answer[1] == "ENOPKG":
        assert told.message == "Loading of module with unsupported crypto is rejected"
        assert told.reason == "FIPS mode rules out md5" and "md5, sha" not in told.advice
        assert ask(hash_name, kernel, enforcing=False).accepted, "permissive, with a taint"
    elif answer[1] is not None:
        assert ask(hash_name, kernel, enforcing=False).errno == answer[1], "not forgiven"


SOURCE = {
    ("5.15.0", "md5"): "ELIBBAD",
    ("6.6.0", "md5"): "ENOPKG",
    ("6.6.0", "sha1"): None,
    ("6.12.0", "sha1"): None,
    ("7.3.0", "sha1"): "EKEYREJECTED",
    ("7.3.0", "sha3-256"): None,
}


@pytest.mark.parametrize(("case", "inner"), SOURCE.items(), ids=map("-".join, SOURCE))
def test_what_the_table_of_each_version_says(case: tuple[str, str], inner: str | None) -> None:
    release, hash_name = case
    told = ask(hash_name, for_release(release))
    assert told.inner == inner
    if inner == "EKEYREJECTED":
        assert told.reason.startswith("FIPS mode rules out RSA with sha1")


@pytest.mark.parametrize(
    ("release", "loads", "errno"),
    [("5.15.0", False, "ELIBBAD"), ("6.1.0", False, "ENOENT"), ("6.3.0", True, None), ("6.12.0", True, None)],
)
def test_ecdsa_keys(release: str, loads: bool, errno: str | None) -> None:
    """Allowed since c27b2d2012e1 (6.3), P-384 and P-256 alone; a self-signed certificate is checked."""
    profile = for_release(release)
    assert profile.loads(EC.certificate).good
    told = profile.loads(EC.certificate, fips=True)
    assert (told.good, told.errno) == (loads, errno)
    subject = Subject(opened(signed(EC)), ring(EC.certificate), profile)
    assert predict(subject, Mode(enforcing=True, fips=True)).accepted == loads
    small = issued(ec.generate_private_key(ec.SECP192R1())).certificate
    assert profile.loads(small).good and not profile.loads(small, fips=True).good


def test_certificates_signed_with_what_is_ruled_out() -> None:
    """x509_get_sig_params(): ENOENT leaves the signature unchecked, anything else refuses the certificate."""
    by = issued(private("rsa", 1), "CA")
    made = issued(private(), issuer=by).certificate.replace(SHA256_RSA, MD5_RSA)
    for release, good in (("6.1.0", True), ("5.10.200", False)):
        assert for_release(release).loads(made).good
        assert for_release(release).loads(made, fips=True).good == good


def test_the_configuration_says_whether_there_is_such_a_mode() -> None:
    built = config.apply(get("6.12"), {"CRYPTO_FIPS": "n"}).profile
    told = ask("md5", config.apply(get("5.18"), {"CRYPTO_FIPS": "n"}).profile)
    assert told.accepted and any("without FIPS mode" in note for note in told.notes)
    assert built.loads(identity("rsa1024").certificate, fips=True).good
    there = config.apply(get("debian-7.2"), {"CRYPTO_FIPS": "y"}).profile
    assert ask("sha1", there).inner == "EKEYREJECTED"
    panics = replace(get("3.7"), crypto=replace(get("3.7").crypto, fips_built=False))
    assert not ask("sha256", panics).panic


@pytest.mark.parametrize(
    ("kernel", "assumed"),
    [("debian-6.1", False), ("6.12", False), ("rhel9", True), ("ubuntu", True), ("4.19", True)],
)
def test_what_was_not_read_is_said(kernel: str, assumed: bool) -> None:
    assert (FIPS_ASSUMED in ask("sha256", kernel).notes) == assumed
    assert FIPS_ASSUMED not in ask("sha256", kernel, fips=False).notes
