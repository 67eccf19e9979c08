"""Which keys kernels load, and which they can use: certificates made byte by byte, each with one oddity."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from elfsig import registry
from elfsig.errors import KeySourceError
from elfsig.kernels import config
from elfsig.kernels.catalogue import PROFILES, get
from elfsig.kernels.keys import kernel_keys
from elfsig.kernels.loading import Loading
from elfsig.kernels.policy import Subject, predict
from elfsig.kernels.profile import Mode, Prediction, Profile
from elfsig.kernels.x509.dates import date_fault
from elfsig.trust.entries import Material, Origin
from elfsig.trust.keyring import load
from elfsig.trust.make import key_from_certificate
from elfsig.trust.ring import Ring
from tests.support.cli import elfsig, validator
from tests.support.cms import (
    NULL,
    Identity,
    algorithm,
    cms,
    integer,
    issued,
    oid,
    private,
    ring,
    signer_info,
    tlv,
)
from tests.support.opened import opened
from tests.support.verdicts import MODULE, RSA, trailed

REGISTRY = registry.load(plugins=False)
CN, SKID, AKID = "2.5.4.3", "2.5.29.14", "2.5.29.35"
UTC, GENERALIZED = 0x17, 0x18
SHA256_RSA = "1.2.840.113549.1.1.11"


def name(text: str = "Glacier") -> bytes:
    return tlv(0x30, tlv(0x31, tlv(0x30, oid(CN), tlv(0x0C, text.encode()))))


def extension(dotted: str, value: bytes) -> bytes:
    return tlv(0x30, oid(dotted), tlv(4, value))


def key_identifier(value: bytes = b"k" * 20) -> bytes:
    return extension(SKID, tlv(4, value))


def certificate(
    key: Any = None,
    *,
    signer: Any = None,
    issuer: bytes | None = None,
    subject: bytes | None = None,
    dates: tuple[bytes, bytes] = (tlv(UTC, b"200102000000Z"), tlv(UTC, b"400102000000Z")),
    spki: bytes | None = None,
    extensions: tuple[bytes, ...] = (key_identifier(),),
    damage: bool = False,
) -> bytes:
    """A certificate; whatever is given replaces what would be right. SHA-256 with RSA, or ECDSA P-256."""
    key = key or RSA.private
    signer = signer or key
    ecdsa = isinstance(signer, ec.EllipticCurvePrivateKey)
    signed_with = algorithm("1.2.840.10045.4.3.2") if ecdsa else algorithm(SHA256_RSA, NULL)
    own = name()
    tbs = tlv(
        0x30,
        tlv(0xA0, integer(2)),
        integer(0x1234),
        signed_with,
        own if issuer is None else issuer,
        tlv(0x30, *dates),
        own if subject is None else subject,
        key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if spki is None
        else spki,
        tlv(0xA3, tlv(0x30, *extensions)) if extensions else b"",
    )
    value = (
        signer.sign(tbs, ec.ECDSA(hashes.SHA256()))
        if ecdsa
        else signer.sign(tbs, padding.PKCS1v15(), hashes.SHA256())
    )
    if damage:
        value = value[:-1] + bytes([value[-1] ^ 1])
    return tlv(0x30, tbs, signed_with, tlv(3, b"\0" + value))


def loads(made: bytes, kernel: str | Profile = "6.12", *, fips: bool = False) -> Loading:
    profile = get(kernel) if isinstance(kernel, str) else kernel
    return profile.loads(made, fips=fips)


def dated(tag: int, text: bytes) -> bytes:
    return certificate(dates=(tlv(tag, text), tlv(UTC, b"400102000000Z")))


def explicit_parameters() -> bytes:
    """An EC key whose curve is written out (X9.62, SpecifiedECDomain), here cut down to its version."""
    point = private("p256").public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return tlv(0x30, algorithm("1.2.840.10045.2.1", tlv(0x30, integer(1))), tlv(3, b"\0" + point))


def authority(key_id: bytes, issuer: bytes, serial: int) -> bytes:
    names = tlv(0xA1, tlv(0xA4, issuer))
    return extension(AKID, tlv(0x30, tlv(0x80, key_id), names, tlv(0x82, serial.to_bytes(2))))


REFUSED: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "year 1": (lambda: dated(GENERALIZED, b"00010101000000Z"), "EBADMSG", "date"),
    "GeneralizedTime before 2050": (lambda: dated(GENERALIZED, b"20300101000000Z"), "EBADMSG", "date"),
    "UTCTime without seconds": (lambda: dated(UTC, b"2001020000Z"), "EBADMSG", "date"),
    "UTCTime with an offset": (lambda: dated(UTC, b"200102000000+0100"), "EBADMSG", "date"),
    "before 1970": (lambda: dated(UTC, b"690102000000Z"), "EBADMSG", "date"),
    "30 February": (lambda: dated(UTC, b"200230000000Z"), "EBADMSG", "date"),
    "month 13": (lambda: dated(UTC, b"201302000000Z"), "EBADMSG", "date"),
    "fractional seconds": (lambda: dated(GENERALIZED, b"20500101000000.5Z"), "EBADMSG", "date"),
    "a date that is text": (lambda: dated(0x0C, b"200102000000Z"), "EBADMSG", "form"),
    "two key identifiers": (
        lambda: certificate(extensions=(key_identifier(), key_identifier(b"x" * 20))), "EBADMSG", "skid"
    ),
    "an empty subject": (lambda: certificate(subject=tlv(0x30)), "EBADMSG", "form"),
    "an empty issuer": (lambda: certificate(issuer=tlv(0x30)), "EBADMSG", "form"),
    "explicit EC parameters": (lambda: certificate(spki=explicit_parameters()), "EBADMSG", "parameters"),
    "a wrong signature by itself": (lambda: certificate(damage=True), "EINVAL", "self-signature"),
    "an issuer of the same name with another kind of key": (
        lambda: certificate(signer=private("p256")), "EKEYREJECTED", "issuer-algorithm"
    ),
    "contradicting authority": (
        lambda: certificate(extensions=(key_identifier(), authority(b"k" * 20, name("another"), 0x1234))),
        "EKEYREJECTED", "authority",
    ),
    "not a certificate": (lambda: b"\x30\x03abc", "EBADMSG", "not-certificate"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED, ids=REFUSED)
def test_certificates_that_no_kernel_loads(case: str) -> None:
    make, errno, code = REFUSED[case]
    for kernel in ("4.7", "5.15.0-91-generic", "debian-6.12", "7.2"):
        profile = get(kernel) if kernel in PROFILES else get("ubuntu-5.15")
        if code == "issuer-algorithm" and "ecdsa" not in profile.crypto.algorithms:
            continue
        if code == "parameters" and "ecdsa" not in profile.crypto.algorithms:
            continue
        found = loads(make(), profile)
        assert (found.loaded, found.errno, found.code) == (False, errno, code), (kernel, found)


LOADED: dict[str, Callable[[], bytes]] = {
    "as it should be": certificate,
    "no extensions at all": lambda: certificate(extensions=()),
    "GeneralizedTime from 2050": lambda: dated(GENERALIZED, b"20500101000000Z"),
    "expired long ago": lambda: dated(UTC, b"710102000000Z"),
    "29 February of a leap year": lambda: dated(UTC, b"200229000000Z"),
    "a leap second": lambda: dated(UTC, b"161231235960Z"),
    "midnight as 24:00": lambda: dated(UTC, b"200102240000Z"),
    "a wrong signature by another": lambda: certificate(issuer=name("a CA"), damage=True),
    "the same name, and an authority that is another key": (
        lambda: certificate(extensions=(key_identifier(), authority(b"z" * 20, name("x"), 1)), damage=True)
    ),
}


@pytest.mark.parametrize("case", LOADED, ids=LOADED)
def test_certificates_that_kernels_load(case: str) -> None:
    found = loads(LOADED[case]())
    assert found.good and found.errno is None, found


def test_dates_are_read_by_the_kernel_s_rules() -> None:
    assert date_fault(UTC, b"000229000000Z") is None
    assert date_fault(GENERALIZED, b"21000229000000Z") is not None
    assert date_fault(GENERALIZED, b"24000229000000Z") is None
    assert date_fault(UTC, b"2001020000\xb20Z") is not None
    assert date_fault(UTC, b"500102000000Z") is not None, "1950 is before 1970"


@cache
def sized(bits: int, exponent: int = 65537) -> Identity:
    return issued(rsa.generate_private_key(exponent, bits), f"rsa-{bits}-{exponent}")


def test_rsa_sizes() -> None:
    for bits, good in ((1024, True), (1536, True), (2048, True), (3072, True), (2056, False), (1792, False)):
        own = sized(bits)
        found = loads(own.certificate)
        assert found.good is good, bits
        if not good:
            assert (found.loaded, found.errno, found.code) == (False, "EINVAL", "size")
            below = issued(own.private, "leaf", RSA)
            leaf = loads(below.certificate)
            assert (leaf.loaded, leaf.usable, leaf.errno) == (True, False, "EKEYREJECTED")
            assert loads(own.certificate, "4.3").good, "Linux 4.3 had RSA code of its own, without limits"
    for bits, good in ((1024, False), (1536, False), (2048, True)):
        assert loads(sized(bits).certificate, fips=True).good is good, bits
    assert loads(sized(2048, 3).certificate).good
    assert not loads(sized(2048, 3).certificate, fips=True).good


def test_algorithms_that_are_absent_late_or_unknown() -> None:
    p256 = issued(private("p256"), "p256").certificate
    p521 = issued(private("p521"), "p521", hash_name="sha512").certificate
    for kernel, made, expected in (
        ("debian-6.1", p256, (False, "ENOENT", "absent")),
        ("debian-6.12", p256, (True, None, "ok")),
        ("ubuntu", p256, (False, "ENOENT", "late")),
        ("uek8", p256, (False, "ENOENT", "late")),
        ("6.6", p521, (False, "ENOPKG", "curve")),
        ("6.12", p521, (True, None, "ok")),
        ("4.19", p256, (False, "ENOPKG", "signature-algorithm")),
        ("6.12", issued(private("ed25519"), "ed").certificate, (False, "ENOPKG", "signature-algorithm")),
    ):
        found = loads(made, kernel)
        assert (found.loaded, found.errno, found.code) == expected, (kernel, found)
    late = config.apply(get("6.12"), {"CRYPTO_ECDSA": "m"}).profile
    assert loads(p256, late).code == "late"
    below = issued(private("p256"), "leaf", RSA).certificate
    assert loads(below, late).good, "nothing is verified with it while the kernel starts"
    without = config.apply(get("6.12"), {"CRYPTO_ECDSA": "n"}).profile
    assert (loads(below, without).loaded, loads(below, without).usable) == (True, False)


# --------------------------------------------------------------------------- in a prediction


def signed_by(key: Any, made: bytes, hash_name: str = "sha256", **change: Any) -> bytes:
    """A module signed by ``key``, whose certificate ``made`` is named by the key identifier."""
    sid = tlv(0x80, b"k" * 20)
    info = signer_info(Identity(key, made), MODULE, hash_name, sid=sid, version=3, **change)
    return trailed(cms(info, version=3))


def ask(content: bytes, keys: Ring | None, kernel: str | Profile, **mode: bool) -> Prediction:
    profile = get(kernel) if isinstance(kernel, str) else kernel
    return predict(Subject(opened(content), keys, profile), Mode(**mode))


def test_a_key_that_is_not_loaded_never_loads_a_module() -> None:
    made = dated(UTC, b"200230000000Z")
    answer = ask(signed_by(RSA.private, made), ring(made), "6.12", enforcing=True)
    assert (answer.errno, answer.inner) == ("EKEYREJECTED", "ENOKEY")
    (step,) = [step for step in answer.steps if step.name == "key loading"]
    assert "does not load the key" in step.text and "-74, its notBefore is not a date" in step.text
    assert "does not load it: its notBefore" in answer.advice
    good = certificate()
    assert ask(signed_by(RSA.private, good), ring(good), "6.12", enforcing=True).accepted


def test_a_key_that_cannot_be_used_sinks_the_signature() -> None:
    own = sized(1792)
    leaf = certificate(own.private, signer=RSA.private, issuer=name("a CA"))
    answer = ask(signed_by(own.private, leaf), ring(leaf), "6.12")
    assert (answer.errno, answer.fault) == ("EKEYREJECTED", "key-unusable")
    assert "RSA key of 1792 bits" in answer.advice
    small = certificate(sized(1024).private)
    content = signed_by(sized(1024).private, small)
    assert ask(content, ring(small), "6.12", enforcing=True).accepted
    assert not ask(content, ring(small), "6.12", enforcing=True, fips=True).accepted


def test_rsa_with_sm3_never_verifies() -> None:
    good = certificate()
    sm3 = signed_by(RSA.private, good, digest=algorithm("1.2.156.10197.1.401"))
    answer = ask(sm3, ring(good), "6.12")
    assert (answer.errno, answer.fault) == ("EKEYREJECTED", "unsupported-pair")


# --------------------------------------------------------------------------- the machine keyring

USAGE, BASIC = "2.5.29.15", "2.5.29.19"
CA = extension(BASIC, tlv(0x30, b"\x01\x01\xff"))


def usage(bits: int) -> bytes:
    return extension(USAGE, b"\x03\x02\x00" + bytes([bits]))


def on_machine(made: bytes) -> Ring:
    return Ring(Material((key_from_certificate(made, Origin("MokListRT", "machine")),)))


MACHINE_RULES = (
    # extensions, CA_MACHINE_KEYRING, CA_MACHINE_KEYRING_MAX
    ((), False, False),
    ((CA,), False, False),
    ((CA, usage(0x80)), False, False),
    ((CA, usage(0x04)), True, True),
    ((CA, usage(0x84)), True, False),
)


@pytest.mark.parametrize(("more", "ca", "pure"), MACHINE_RULES)
def test_which_machine_owner_keys_count(more: tuple[bytes, ...], ca: bool, pure: bool) -> None:
    made = certificate(extensions=(key_identifier(), *more))
    content = signed_by(RSA.private, made)
    rules: tuple[tuple[dict[str, str], bool], ...] = (
        ({}, True),
        ({"INTEGRITY_CA_MACHINE_KEYRING": "y"}, ca),
        ({"INTEGRITY_CA_MACHINE_KEYRING": "y", "INTEGRITY_CA_MACHINE_KEYRING_MAX": "y"}, pure),
    )
    for options, accepted in rules:
        built = config.apply(get("6.12"), options).profile
        answer = ask(content, on_machine(made), built, enforcing=True)
        assert answer.accepted is accepted, options
        if not accepted:
            assert "CA" in answer.advice and "mokutil --import" not in answer.advice
        retrying = config.apply(get("rhel9"), options).profile
        assert ask(content, on_machine(made), retrying, enforcing=True).accepted


def signature_list(made: bytes) -> bytes:
    """An EFI signature list with one certificate (UEFI 32.4.1)."""
    entry = bytes(16) + made
    kind = UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072").bytes_le
    sizes = (28 + len(entry)).to_bytes(4, "little") + bytes(4) + len(entry).to_bytes(4, "little")
    return kind + sizes + entry


SHIM = "605dab50-e046-4300-abb6-3dd810dd8b23"


def test_mok_list_trusted_counts_however_the_list_is_given(tmp_path: Path) -> None:
    """Debian 6.1 trusts every machine owner key; mainline wants MokListTrustedRT beside the list."""
    made = certificate()
    content = signed_by(RSA.private, made)
    listed = tmp_path / "vars" / f"MokListRT-{SHIM}"
    listed.parent.mkdir()
    listed.write_bytes(b"\6\0\0\0" + signature_list(made))
    for source in (str(listed), str(listed.parent)):
        keys = load([source])
        assert ask(content, keys, "debian-6.1", enforcing=True).accepted
        refused = ask(content, keys, "6.12", enforcing=True)
        assert refused.inner == "ENOKEY" and "mokutil --trust-mok" in refused.advice
        assert ask(content, load([f"machine:{listed}"]), "6.12", enforcing=True).accepted
        for both in ([source, f"machine:{listed}"], [f"machine:{listed}", source]):
            assert ask(content, load(both), "6.12", enforcing=True).accepted, both
    (listed.parent / f"MokListTrustedRT-{SHIM}").write_bytes(b"\6\0\0\0\1")
    for source in (str(listed), str(listed.parent)):
        assert ask(content, load([source]), "6.12", enforcing=True).accepted


# --------------------------------------------------------------------------- before one enrols it


def files(folder: Path, made: bytes) -> tuple[Path, Path]:
    """A key file and its certificate."""
    key, certificate_file = folder / "key.pem", folder / "odd.der"
    key.write_bytes(RSA.pem()[0])
    certificate_file.write_bytes(made)
    return key, certificate_file


def test_sign_warns_of_a_key_that_kernels_do_not_load(tmp_path: Path) -> None:
    module = tmp_path / "m.ko"
    module.write_bytes(MODULE)
    key, odd = files(tmp_path, certificate(extensions=(key_identifier(), key_identifier(b"x" * 20))))
    args = ("sign", module, "--format", "pkcs7", "--key", key, "--cert", odd, "--force")
    told = elfsig(*args, "-o", tmp_path / "out.ko")
    assert told.code == 0 and "two subjectKeyIdentifiers" in told.out + told.err
    files(tmp_path, certificate())
    told = elfsig(*args, "-o", tmp_path / "out2.ko")
    assert "subjectKeyIdentifiers" not in told.out + told.err


def test_keys_list_says_what_a_kernel_makes_of_each_key(tmp_path: Path) -> None:
    _, odd = files(tmp_path, dated(UTC, b"200230000000Z"))
    told = elfsig("keys", "list", odd, "--for-kernel", "6.12")
    assert "does not load it: its notBefore is not a date" in told.out and "error -74 (EBADMSG)" in told.out
    document = json.loads(elfsig("keys", "list", odd, "--for-kernel", "6.12", "--json").out)
    validator().validate(document)
    (kernel,) = [each["kernel"] for each in document["keys"]]
    assert (kernel["loaded"], kernel["errno"], kernel["code"]) == (False, "EBADMSG", "date")
    odd.write_bytes(certificate())
    assert "loads it" in elfsig("keys", "list", odd, "--for-kernel", "6.12").out
    assert "kernel:" not in elfsig("keys", "list", odd).out


def test_keys_generate_warns(tmp_path: Path) -> None:
    args = ("keys", "generate", "--type", "p256", "--force", "-o")
    told = elfsig(*args, tmp_path / "k", "--for-kernel", "6.17.0-14-generic")
    assert told.code == 0 and "warning: " in told.err and "ecdsa is a module" in told.err
    assert "warning" not in elfsig(*args, tmp_path / "g", "--for-kernel", "debian-6.12").err


def test_an_algorithm_that_is_a_module_is_there_for_certificates_inside_a_signature() -> None:
    """Certificates inside a signature are read when the module is loaded, not when the kernel starts."""
    leaf = issued(private("p256"), "leaf", RSA)
    info = signer_info(leaf, MODULE)
    content = trailed(cms(info, certificates=[leaf.certificate]))
    assert ask(content, ring(RSA.certificate), "ubuntu", enforcing=True).accepted
    own = issued(private("p256"), "own")
    content = trailed(cms(signer_info(own, MODULE), certificates=[own.certificate]))
    assert ask(content, ring(own.certificate), "ubuntu", enforcing=True).inner == "ENOKEY"
    assert ask(content, ring(own.certificate), "debian-6.12", enforcing=True).accepted


# --------------------------------------------------------------------------- the kernel's own blacklist


def test_blacklisted_certificates_are_not_loaded(tmp_path: Path) -> None:
    """Named by the hash of the signed part, in the digest of the certificate until 6.19, then in SHA-256."""
    own = issued(private("rsa", 31), "blacklisted", hash_name="sha512")
    tbs = own.parsed.tbs_certificate_bytes
    names = {name: hashlib.new(name, tbs).hexdigest() for name in ("sha256", "sha512")}
    content = trailed(cms(signer_info(own, MODULE)))
    trusted = tmp_path / "own.der"
    trusted.write_bytes(own.certificate)
    for kernel, name in (("6.19", "sha512"), ("7.0", "sha256"), ("debian-6.12", "sha512")):
        for listed in names:
            blacklist = tmp_path / f"{listed}.txt"
            blacklist.write_text(f'"tbs:{names[listed]}",\n"bin:{"0" * 64}"\n')
            keys = load([str(trusted), f"revoked:{blacklist}"])
            hashes_ = {each.revoked for each in keys.revocations}
            found = get(kernel).loads(own.certificate, blacklist=hashes_)
            assert found.loaded is (listed != name), (kernel, listed)
            if listed == name:
                assert (found.errno, found.code) == ("EKEYREJECTED", "blacklisted")
                answer = ask(content, keys, kernel, enforcing=True)
                assert not answer.accepted
                assert any("blacklist" in step.text for step in answer.steps)
    assert get("4.3").loads(own.certificate, blacklist=hashes_).good, "there was no blacklist yet"


@pytest.mark.parametrize("text", ["tbs:12\n", '"tbs:' + "0" * 64 + '", "dbx:00"', "bin:" + "0" * 64 + " x"])
def test_a_blacklist_with_a_gap_is_refused(text: str, tmp_path: Path) -> None:
    listed = tmp_path / "list"
    listed.write_text(text)
    for source in (f"revoked:{listed}", str(listed)):
        with pytest.raises(KeySourceError):
            load([source])


def test_a_chain_with_a_blacklisted_certificate_is_refused(tmp_path: Path) -> None:
    """The CA is trusted; the leaf that it issued, which is embedded in the signature, is blacklisted."""
    leaf = issued(private("rsa", 32), "leaf", RSA)
    content = trailed(cms(signer_info(leaf, MODULE), certificates=[leaf.certificate]))
    authority_file, blacklist = tmp_path / "ca.der", tmp_path / "blacklist"
    authority_file.write_bytes(RSA.certificate)
    blacklist.write_text(f"tbs:{hashlib.sha256(leaf.parsed.tbs_certificate_bytes).hexdigest()}\n")
    for kernel in ("6.1.0-54-amd64", "6.19", "7.2"):
        profile = get(kernel) if kernel in PROFILES else get("debian-6.1")
        assert ask(content, load([str(authority_file)]), profile, enforcing=True).accepted
        answer = ask(content, load([str(authority_file), f"revoked:{blacklist}"]), profile)
        assert (answer.errno, answer.fault) == ("EKEYREJECTED", "revoked"), kernel


def test_the_keys_of_a_kernel_are_worked_out_once() -> None:
    """The same for a profile that a configuration made anew; another for FIPS mode, ring or rules."""
    first, second = ring(certificate()), ring(certificate())
    options = {"MODULE_SIG_HASH": "sha512"}
    built = [config.apply(get("6.12"), options).profile for _ in range(2)]
    keys = kernel_keys(first, built[0])
    assert kernel_keys(first, built[1]) is keys
    assert kernel_keys(first, built[0], fips=True) is not keys
    assert kernel_keys(second, built[0]) is not keys
    assert kernel_keys(first, get("debian-6.12")) is not keys
    many = [ring(issued(private("rsa"), f"k{number}").certificate) for number in range(20)]
    for each in many:
        assert [key.label for key in kernel_keys(each, built[0]).known] == [each.keys[0].label]
