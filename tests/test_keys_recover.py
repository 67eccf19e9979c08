"""``elfsig keys recover``: public keys out of pairs of signatures, and what they are worth."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from elfsig import registry
from elfsig.coverages.whole_file import WholeFile
from elfsig.crypto.certificate import parse
from elfsig.crypto.pkcs1 import digest_info, pkcs1_block
from elfsig.elf.image import Image
from elfsig.envelopes.cms.envelope import Cms
from elfsig.errors import UsageError, VerificationError
from elfsig.model import Existing, RsaBody, SignOptions, Verdict
from elfsig.opened import evidence
from elfsig.opened.module import Module
from elfsig.signers.pem import FileSigner
from elfsig.trust import recover as arithmetic
from elfsig.trust.keyring import load
from elfsig.trust.recover import EXPONENTS, PLAIN, Equation, equation, made_by, recover
from elfsig.verbs.edit.sign import sign
from elfsig.verbs.keys.recover import Recovered, recover_key
from elfsig.verbs.verify.examine import Question, examine
from tests.support import elf
from tests.support.cli import Ran, elfsig, validator
from tests.support.cms import Identity, attributes, cms, issued, signer_info
from tests.support.debian import debian_modules
from tests.support.opened import opened
from tests.support.tools import need
from tests.support.verdicts import trailed

REGISTRY = registry.load(plugins=False)
CREATED = 1_700_000_000
FIRST = elf.toy()
SECOND = FIRST.replace(b"T" * 40, b"U" * 40)
THIRD = FIRST.replace(b"T" * 40, b"V" * 40)


@cache
def cubic(number: int = 0) -> Identity:
    """A key with the exponent 3, which needs no long numbers."""
    return issued(rsa.generate_private_key(3, 2048 if number else 1024), f"vendor {number}")


def made(content: bytes, form: str, who: Identity, **options: Any) -> bytes:
    signer = FileSigner(
        who.private, who.private.public_key(), "rsa", who.private.key_size, parse(who.certificate).certificate
    )
    chosen = SignOptions(created=CREATED, force=True)._replace(**options)
    return sign(opened(content), REGISTRY.get(form), signer, chosen, existing=Existing.STACK).content


def file(content: bytes, name: str = "a.ko") -> Module:
    return opened(replace(evidence.read(content), path=name))


def recovered(*contents: bytes, exponents: tuple[int, ...] = EXPONENTS) -> Recovered:
    files = [file(content, f"{number}.ko") for number, content in enumerate(contents)]
    return recover_key(files, lambda text: None, exponents)


def spki(who: Identity) -> bytes:
    found: bytes = who.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return found


FORMS: tuple[tuple[str, dict[str, Any], set[tuple[str, bool | None]]], ...] = (
    ("pkcs7", {}, set()),
    ("pkcs7", {"keyid": True, "hash": "sha512"}, {("skid", True)}),
    ("x509", {}, {("skid", True)}),
    ("x509-rc1", {}, {("skid", True)}),
    ("crypto-pgp", {}, {("openpgp", True)}),
    ("crypto-pgp", {"key_created": CREATED - 5000}, {("openpgp", True)}),
    ("crypto-pgp", {"key_created": 1000}, {("openpgp", None)}),
    ("crypto-digsig", {}, {("digsig1", True)}),
    ("crypto-digsig", {"payload": "v2"}, {("digsig2", True)}),
    ("note", {"coverage": "sorted"}, {("openpgp", True)}),
    ("note", {"coverage": "fileorder"}, {("openpgp", True)}),
    ("redhat", {}, {("openpgp", True)}),
    ("gkh", {}, {("openpgp", True)}),
    ("gkh", {"payload": "raw-rsa"}, set()),
)


@pytest.mark.parametrize(
    ("form", "options", "ids"), FORMS, ids=lambda v: str(v) if isinstance(v, str) else ""
)
def test_two_modules_of_one_format(form: str, options: dict[str, Any], ids: set[tuple[str, bool]]) -> None:
    who = cubic(1)
    found = recovered(made(FIRST, form, who, **options), made(SECOND, form, who, **options))
    assert found.key.public.public_numbers() == who.private.public_key().public_numbers()
    assert (found.exponent, len(found.made), found.others) == (3, 2, ())
    assert {(each.kind, each.follows) for each in found.ids} == ids


def test_across_formats_which_name_the_key_in_different_ways() -> None:
    found = recovered(made(FIRST, "pkcs7", cubic()), made(SECOND, "crypto-digsig", cubic()))
    assert {claim.format for claim in found.made} == {"pkcs7", "crypto-digsig"}
    stacked = made(made(FIRST, "redhat", cubic()), "pkcs7", cubic())
    assert len(recovered(stacked).made) == 2


def test_others_are_told_apart() -> None:
    odd = made(THIRD, "pkcs7", cubic(2))
    found = recovered(odd, made(FIRST, "pkcs7", cubic()), made(SECOND, "pkcs7", cubic()))
    assert [claim.path for claim in found.made] == ["1.ko", "2.ko"]
    assert [claim.path for claim in found.others] == ["0.ko"]


def test_signed_attributes_do_not_need_the_content() -> None:
    blobs = [
        cms(signer_info(cubic(), content, attrs=attributes(content, "sha256"))) for content in (FIRST, SECOND)
    ]
    found = recovered(*(trailed(blob, b"something else") for blob in blobs))
    assert found.key.bits == 1024


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        ((FIRST,), "found 0"),
        ((made(FIRST, "pkcs7", cubic()),) * 2, "found 1: 2 have the same value"),
        ((made(FIRST, "pkcs7", cubic()), made(SECOND, "pkcs7", cubic(2))), "no two of the signatures"),
        ((made(FIRST, "pkcs7", cubic()), made(SECOND, "pkcs7", cubic())[:-50]), "found 1"),
        (
            (made(FIRST, "pkcs7", cubic()), made(SECOND, "pkcs7", cubic()).replace(b"U" * 40, b"W" * 40)),
            "no two",
        ),
    ],
)
def test_what_gives_no_key(contents: tuple[bytes, ...], words: str) -> None:
    with pytest.raises(VerificationError, match=words):
        recovered(*contents, exponents=(3, 17))


# --------------------------------------------------------------------------- arithmetic


def _primes(exponent: int) -> Iterator[int]:
    """Primes of 512 bits for which the exponent can be used."""
    while True:
        numbers = rsa.generate_private_key(65537, 1024).private_numbers()
        yield from (p for p in (numbers.p, numbers.q) if math.gcd(p - 1, exponent) == 1)


def equations(exponent: int, count: int = 2) -> tuple[int, list[Equation]]:
    """A modulus of 1024 bits, and signatures over numbers under a key with this exponent."""
    source = _primes(exponent)
    p, q = next(source), next(source)
    private = pow(exponent, -1, (p - 1) * (q - 1))
    found = []
    for number in range(count):
        content = digest_info("sha1", bytes([number] * 20))
        block = pkcs1_block(content, 128)
        assert block is not None
        value = pow(int.from_bytes(block), private, p * q)
        found.append(Equation(value.to_bytes((value.bit_length() + 7) // 8), (RsaBody("", content),)))
    return p * q, found


@pytest.mark.parametrize("exponent", [3, 17, 41, 257, 641])
def test_any_exponent(exponent: int) -> None:
    modulus, found = equations(exponent, 3)
    exponents = (*EXPONENTS[:-1], 641)
    key = recover(found, exponents, lambda text: None, PLAIN)
    assert key is not None and key == (modulus, exponent)
    assert all(made_by(each, key) for each in found)
    other = equations(exponent)[1][0]
    assert not made_by(other, key)


def test_gmp_and_python_agree() -> None:
    pytest.importorskip("gmpy2", reason="needs gmpy2: pip install elfsig[recover]")
    modulus, found = equations(641)
    assert arithmetic.arithmetic() is not PLAIN
    assert recover(found, (641,), lambda text: None, arithmetic.arithmetic()) == (modulus, 641)


def test_small_common_factors_are_cast_out() -> None:
    modulus = equations(3, 0)[0]
    assert arithmetic._without_small_factors(modulus * 2**40 * 3 * 65521) == modulus


def test_what_is_over_one_of_several_messages() -> None:
    modulus, (first, second) = equations(17)
    wrong = RsaBody("wrong", b"not this")
    widened = [Equation(e.value, (wrong, *e.bodies)) for e in (first, second)]
    assert recover(widened, (17,), lambda text: None, PLAIN) == (modulus, 17)


def test_values_of_absurd_size_are_passed_over() -> None:
    [signature] = Cms().parse(cms(signer_info(cubic(), FIRST)), None)
    message = WholeFile().message(Image(FIRST), None)
    assert equation(Cms(), signature, message) is not None
    for size in (0, 8, 1 << 20):
        assert equation(Cms(), signature._replace(value=b"v" * size), message) is None
    with pytest.raises(UsageError, match="million bits"):
        recover(equations(17)[1], (1 << 30,), lambda text: None, arithmetic.arithmetic())


def test_without_gmp_long_numbers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gmpy2", None)
    assert arithmetic.arithmetic() is PLAIN
    files = [file(made(c, "pkcs7", cubic(1))) for c in (FIRST, SECOND)]
    assert recover_key(files, lambda text: None).exponent == 3
    with pytest.raises(UsageError, match=r"install gmpy2 \(pip install 'elfsig\[recover\]'\)"):
        recover_key(files, lambda text: None, (65537,))


# --------------------------------------------------------------------------- the recovered key as a source


def written(tmp_path: Path) -> Path:
    path = tmp_path / "signer.pem"
    path.write_bytes(recovered(made(FIRST, "pkcs7", cubic()), made(SECOND, "pkcs7", cubic())).pem)
    return path


@pytest.mark.parametrize("prefix", ["", "builtin:", "platform:"])
def test_it_never_vouches_for_what_it_made(prefix: str, tmp_path: Path) -> None:
    ring = load([f"{prefix}{written(tmp_path)}"])
    assert [(key.role, key.trusted) for key in ring.keys] == [("recovered", False)]
    report = examine((file(made(THIRD, "pkcs7", cubic()))), Question(ring))
    assert report.verdict is Verdict.UNTRUSTED
    assert (
        report.signatures[0].reason == "same signer as 0.ko, 1.ko; whose key it is has not been established"
    )
    assert "key-recovered" in {remark.code for remark in report.signatures[0].warnings}
    broken = examine((file(made(THIRD, "pkcs7", cubic()).replace(b"V" * 40, b"W" * 40))), Question(ring))
    assert broken.verdict is Verdict.INVALID


def test_the_label_belongs_to_the_key_behind_it(tmp_path: Path) -> None:
    path = written(tmp_path)
    plain = cubic(2).parsed.public_bytes(Encoding.PEM)
    path.write_bytes(plain + path.read_bytes() + plain)
    assert sorted(key.role for key in load([str(path)]).keys) == ["recovered", "user"]


def test_openssl_reads_it(tmp_path: Path) -> None:
    command = [need("openssl"), "pkey", "-pubin", "-in", str(written(tmp_path)), "-outform", "DER"]
    assert subprocess.run(command, capture_output=True, check=True).stdout == spki(cubic())


# --------------------------------------------------------------------------- the command


def _pair(tmp_path: Path, form: str = "x509") -> tuple[Path, Path]:
    paths = tmp_path / "one.ko", tmp_path / "two.ko"
    for path, content in zip(paths, (FIRST, SECOND), strict=True):
        path.write_bytes(made(content, form, cubic()))
    return paths


def _document(ran: Ran) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ran.out)
    validator().validate(found)
    return found


def test_the_command(tmp_path: Path) -> None:
    pair = _pair(tmp_path)
    ran = elfsig("keys", "recover", *pair)
    assert ran.code == 0 and ran.out.startswith("# recovered, not published\n# same signer as ")
    assert "recovered an RSA-1024 public key, exponent 3\n" in ran.err
    target = tmp_path / "key.pem"
    ran = elfsig("keys", "recover", *pair, "-o", target)
    assert (ran.code, ran.err) == (0, "") and "written to" in ran.out
    assert (
        f"{pair[0]} (x509, says it is by" in ran.out and "follows from the key: SHA-1 of the key" in ran.out
    )
    again = elfsig("keys", "recover", *pair, "-o", target)
    assert again.code == 1 and "--force" in again.err
    third = tmp_path / "three.ko"
    third.write_bytes(made(THIRD, "pkcs7", cubic()))
    said = elfsig("verify", third, "--trust", target)
    assert said.code == 4 and f"same signer as {pair[0]}, {pair[1]}" in said.out


def test_the_command_in_json(tmp_path: Path) -> None:
    found = _document(elfsig("keys", "recover", "--json", *_pair(tmp_path, "crypto-digsig")))["recovered"]
    assert found["exponent"] == 3 and found["key"]["role"] == "recovered"
    assert [each["follows"] for each in found["ids"]] == [True] and len(found["made"]) == 2


def test_the_command_s_refusals(tmp_path: Path) -> None:
    one, two = _pair(tmp_path)
    assert elfsig("keys", "recover", one).code == 1
    assert elfsig("keys", "recover", one, two, "--exponent", "17").code == 1
    assert elfsig("keys", "recover", one, tmp_path / "none.ko").code == 5
    assert elfsig("keys", "recover", one, two, "--exponent", "1").code == 2


# --------------------------------------------------------------------------- real keys


def _slow() -> None:
    pytest.importorskip("gmpy2", reason="needs gmpy2: pip install elfsig[recover]")
    if not os.environ.get("ELFSIG_SLOW"):
        pytest.skip("opt-in: takes minutes; set ELFSIG_SLOW=1")


def test_two_of_debian_s_modules() -> None:
    """RSA-4096 with the usual exponent, and the certificate in the kernel image as the judge."""
    _slow()
    modules = debian_modules("amd64")
    found = recover_key([opened(path) for path in modules[:2]], lambda text: None)
    image = next(modules[0].parents[i] for i in range(12) if (modules[0].parents[i] / "boot").is_dir())
    ring = load([str(next(image.glob("boot/vmlinuz-*")))])
    builtin = next(key for key in ring.keys if key.role == "builtin")
    assert (found.key.fingerprint, found.exponent) == (builtin.fingerprint, 65537)


def test_rsa_2048_with_the_usual_exponent() -> None:
    _slow()
    who = issued(rsa.generate_private_key(65537, 2048), "usual")
    found = recovered(made(FIRST, "pkcs7", who), made(SECOND, "x509", who))
    assert found.key.public.public_numbers() == who.private.public_key().public_numbers()
