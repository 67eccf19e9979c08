"""Signing by others: programs that sign, and services that are given files and give signatures back."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature

import corpus
from elfsig.errors import SigningError, UsageError
from elfsig.signers import outside, patience
from elfsig.signers.command import CommandSigner
from elfsig.signers.outside import Request, checked, public_half, read_public
from elfsig.verbs.remote.complete import name_below
from elfsig.verbs.remote.prepare import read_manifest
from tests.support.cli import Ran, elfsig
from tests.support.cms import identity, private
from tests.support.tools import need

MODULE = corpus.SAMPLES / "amd64-6.1.ko"
DIGEST = bytes(range(32))


@pytest.fixture
def module(tmp_path: Path) -> Path:
    path = tmp_path / "m.ko"
    assert elfsig("strip", "--all", "-o", path, MODULE).code == 0
    return path


@pytest.fixture
def tree(module: Path, tmp_path: Path) -> Path:
    """Two modules in directories, one of them compressed, and one that is signed by somebody else."""
    folder = tmp_path / "tree"
    (folder / "kernel" / "fs").mkdir(parents=True)
    shutil.copy(module, folder / "kernel" / "a.ko")
    shutil.copy(MODULE, folder / "kernel" / "fs" / "signed.ko")
    packed = subprocess.run([need("xz"), "--check=crc32", "-c", module], capture_output=True, check=True)
    (folder / "kernel" / "fs" / "b.ko.xz").write_bytes(packed.stdout)
    return folder


def files(kind: str, folder: Path) -> tuple[Path, Path]:
    """Key and certificate in PEM."""
    key, certificate = identity(kind).pem()
    (folder / f"{kind}.key").write_bytes(key)
    (folder / f"{kind}.crt").write_bytes(certificate)
    return folder / f"{kind}.key", folder / f"{kind}.crt"


def sign(*arguments: str | Path) -> Ran:
    return elfsig("sign", *arguments)


# --------------------------------------------------------------------------- programs


@pytest.mark.parametrize("hash_name", ["sha256", "sha3-384"])
@pytest.mark.parametrize("kind", ["rsa", "p256"])
def test_program(kind: str, hash_name: str, module: Path, tmp_path: Path) -> None:
    key, certificate = files(kind, tmp_path)
    signed = tmp_path / "s.ko"
    program = f"{need('openssl')} pkeyutl -sign -inkey '{key}' -pkeyopt digest:{{hash}}"
    how = ("--format", "pkcs7", "--hash", hash_name, "--cert", certificate, "--signer-command", program)
    assert sign(*how, "-o", signed, module).code == 0
    assert elfsig("verify", "--trust", certificate, signed).code == 0


def test_program_that_gets_the_message(module: Path, tmp_path: Path) -> None:
    """ML-DSA signs the module itself, on the program's standard input."""
    _, certificate = files("mldsa44", tmp_path)
    seen, answer = tmp_path / "seen", tmp_path / "answer"
    answer.write_bytes(private("mldsa44").sign(module.read_bytes()))
    script = tmp_path / "kms"
    script.write_text(f'#!/bin/sh\ncat > {seen}\necho "$ELFSIG_KIND $ELFSIG_ALGORITHM" >&2\ncat {answer}\n')
    script.chmod(0o755)
    signed = tmp_path / "s.ko"
    how = ("--format", "pkcs7", "--cert", certificate, "--signer-command", script)
    assert sign(*how, "-o", signed, module).code == 0
    assert seen.read_bytes() == module.read_bytes()
    assert elfsig("verify", "--trust", certificate, signed).code == 0


@pytest.mark.parametrize("jobs", [1, 2])
def test_programs_at_a_time(jobs: int, module: Path, tmp_path: Path) -> None:
    """Never more than --token-jobs, whatever -j says: each run notes how many there are."""
    key, certificate = files("rsa", tmp_path)
    running, most = tmp_path / "running", tmp_path / "most"
    running.mkdir()
    script = tmp_path / "kms"
    script.write_text(
        f"#!/bin/sh\ntouch {running}/$$\nls {running} | wc -l >> {most}\n"
        f"openssl pkeyutl -sign -inkey '{key}' -pkeyopt digest:$1 | base64\nrm {running}/$$\n"
    )
    script.chmod(0o755)
    many = tmp_path / "many"
    many.mkdir()
    for number in range(16):
        shutil.copy(module, many / f"{number}.ko")
    how = ("--format", "pkcs7", "--cert", certificate, "--signer-command", f"{script} {{hash}}")
    assert sign(*how, "--token-jobs", str(jobs), "-j", "8", "--in-place", many).code == 0
    counts = [int(line) for line in most.read_text().split()]
    assert len(counts) == 16 and max(counts) <= jobs
    assert elfsig("verify", "--trust", certificate, many).code == 0


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("false", "false exited with status 1"),
        ("sh -c 'echo no quota left >&2; exit 3'", "exited with status 3: no quota left"),
        ("/nowhere/kms", "no such file"),
        ("true", "it returned no signature"),
        ("echo hello", "is not a signature by the rsa key"),
        ("sh -c \"openssl dgst -sha256 -sign '{key}'\"", "hashed the digest again"),
        ("openssl pkeyutl -sign -inkey '{key}'", "without the DigestInfo"),
        ("openssl pkeyutl -sign -inkey '{other}' -pkeyopt digest:sha256", "not a signature by the rsa key"),
        ("cat 'unbalanced", "No closing quotation"),
    ],
)
def test_programs_that_do_not_sign(program: str, words: str, module: Path, tmp_path: Path) -> None:
    """What went wrong is said, and nothing is written."""
    key, certificate = files("rsa", tmp_path)
    other = tmp_path / "other.key"
    other.write_bytes(identity("rsa", 1).pem()[0])
    filled = program.replace("{key}", str(key)).replace("{other}", str(other))
    ran = sign(
        "--format",
        "pkcs7",
        "--cert",
        certificate,
        "--signer-command",
        filled,
        "-o",
        tmp_path / "s.ko",
        module,
    )
    assert ran.code == 1 and words in ran.err
    assert not (tmp_path / "s.ko").exists()


def test_a_program_that_is_slow_is_named(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(patience, "SECONDS", 0.05)
    signer = CommandSigner("sh -c 'sleep 0.3'", public_half(private("rsa").public_key()))
    with pytest.raises(SigningError, match="returned no signature"):
        signer.sign_digest(DIGEST, "sha256")
    assert "still waiting for sh to sign" in capfd.readouterr().err


def test_a_program_that_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elfsig.signers.command.TIMEOUT", 0.1)
    signer = CommandSigner("sleep 20", public_half(private("rsa").public_key()))
    with pytest.raises(SigningError, match="within"):
        signer.sign_digest(DIGEST, "sha256")


# --------------------------------------------------------------------------- values


def test_every_form_of_a_value() -> None:
    """Raw, hexadecimal, base64 and its form for URLs; EC values as DER or with r and s in line."""
    rsa = private("rsa").sign(DIGEST, padding.PKCS1v15(), Prehashed(hashes.SHA256()))
    curve = private("p521").sign(DIGEST, ec.ECDSA(Prehashed(hashes.SHA256())))
    r, s = decode_dss_signature(curve)
    inline = r.to_bytes(66, "big") + s.to_bytes(66, "big")
    request = Request("digest", DIGEST, "sha256")
    for kind, value, raw in (("rsa", rsa, rsa), ("p521", curve, curve), ("p521", curve, inline)):
        half = public_half(private(kind).public_key())
        for form in (
            raw, raw.hex().encode() + b"\n", raw.hex().upper().encode(), base64.encodebytes(raw),
            base64.urlsafe_b64encode(raw).rstrip(b"="),
        ):  # fmt: skip
            assert checked(half, request, form, "it") == value
        for wrong in (raw[:-1], raw + b"\0", b"", b"\0" * len(raw), b"x" * len(raw)):
            with pytest.raises(SigningError) as caught:
                checked(half, request, wrong, "it")
            assert caught.value.code == "wrong-signature"


def test_short_rsa_values_are_filled_up() -> None:
    """A service may drop leading zeros. Found by trying: one value in 256 starts with a zero."""
    half = public_half(private("rsa").public_key())
    for number in range(4000):
        digest = number.to_bytes(32, "big")
        value = private("rsa").sign(digest, padding.PKCS1v15(), Prehashed(hashes.SHA256()))
        if value[0] == 0:
            assert checked(half, Request("digest", digest, "sha256"), value.lstrip(b"\0"), "it") == value
            return
    pytest.fail("no such value among 4000")


def test_key_too_small_for_the_hash() -> None:
    small = outside.OutsideSigner("it", outside.PublicHalf(None, "rsa", 512))
    with pytest.raises(SigningError, match="too small"):
        small.sign_digest(bytes(64), "sha512")


def test_public_halves() -> None:
    pem = private("rsa").public_key()
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    text = pem.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert read_public(text, "k").certificate is None
    for data in (identity().certificate, identity().pem()[1]):
        found = read_public(data, "c").certificate
        assert found is not None and found.der == identity().certificate
    for wrong in (
        b"",
        b"nothing",
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        identity().pem()[0],
    ):
        with pytest.raises(SigningError):
            read_public(wrong, "c")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--format", "pkcs7", "--in-place"),
        ("--format", "pkcs7", "--signer-command", "true", "--in-place"),
        ("--format", "pkcs7", "--signer-command", "true", "--key", "k", "--in-place"),
        ("--format", "pkcs7", "--prepare", "d"),
        ("--prepare", "d", "--cert", "rsa.crt"),
        ("--format", "pkcs7", "--prepare", "d", "--cert", "rsa.crt", "--in-place"),
        ("--format", "pkcs7", "--prepare", "d", "--attach", "d", "--in-place"),
        ("--attach", "nothing", "--in-place"),
        ("--attach", ".", "--in-place"),
        ("--format", "pkcs7", "--prepare", "d", "--cert", "rsa.crt", "--report", "r"),
    ],
)
def test_contradictions(arguments: tuple[str, ...], module: Path, tmp_path: Path) -> None:
    files("rsa", tmp_path)
    ran = elfsig("sign", *arguments, module, cwd=tmp_path)
    assert ran.code == 2 and not (tmp_path / "d").exists()


# --------------------------------------------------------------------------- prepare and attach


def answer_all(folder: Path, key: Path, hash_name: str = "sha256", suffix: str = ".sig") -> None:
    """The service: a raw signature for every digest."""
    for request in folder.rglob("*.digest"):
        subprocess.run(
            [need("openssl"), "pkeyutl", "-sign", "-inkey", key, "-pkeyopt", f"digest:{hash_name}",
             "-in", request, "-out", request.with_suffix(suffix)],
            check=True,
        )  # fmt: skip


def test_there_and_back(tree: Path, tmp_path: Path) -> None:
    """The result is that of signing here, byte for byte, inside compression too."""
    key, certificate = files("rsa", tmp_path)
    requests, out, here = tmp_path / "requests", tmp_path / "out", tmp_path / "here"
    assert sign("--format", "pkcs7", "--cert", certificate, "--prepare", requests, tree).code == 0
    written = {str(p.relative_to(requests)) for p in requests.rglob("*") if p.is_file()}
    assert written == {
        "manifest.json", "kernel/a.ko.digest", "kernel/fs/b.ko.xz.digest", "kernel/fs/signed.ko.digest",
    }  # fmt: skip
    answer_all(requests, key)
    ran = sign("--attach", requests, "--output-dir", out, tree)
    assert ran.code == 0, ran.err
    assert (
        sign("--format", "pkcs7", "--key", key, "--cert", certificate, "--output-dir", here, tree).code == 0
    )
    for path in (p for p in here.rglob("*") if p.is_file()):
        assert (out / path.relative_to(here)).read_bytes() == path.read_bytes()

    shutil.rmtree(tree)
    shutil.copytree(here, tree)
    again = sign("--attach", requests, "--in-place", tree)
    assert again.code == 0 and again.out.count("already") == 3


def test_what_a_kernel_decides_is_in_the_manifest(module: Path, tmp_path: Path) -> None:
    """With --for-kernel the hash is chosen when the requests are written, not when the answers come."""
    key, certificate = files("rsa", tmp_path)
    requests, out, here = (tmp_path / name for name in ("requests", "out.ko", "here.ko"))
    wanted = ("--format", "x509", "--for-kernel", "3.10", "--cert", certificate)
    ran = sign(*wanted, "--prepare", requests, module)
    assert ran.code == 0, ran.err
    document = json.loads((requests / "manifest.json").read_text())
    assert document["options"]["hash"] == document["files"][0]["hash"] is not None
    assert document["options"]["kernel"] is None
    answer_all(requests, key, document["options"]["hash"])
    ran = sign("--attach", requests, "-o", out, module)
    assert ran.code == 0, ran.err
    assert sign(*wanted, "--key", key, "-o", here, module).code == 0
    assert out.read_bytes() == here.read_bytes()


@pytest.mark.parametrize(
    ("format_", "kind", "more"),
    [
        ("x509", "rsa", ()), ("crypto-pgp", "rsa", ()), ("redhat", "dsa", ()), ("crypto-digsig", "rsa", ()),
        ("gkh", "rsa", ("--payload", "raw-rsa")), ("note", "dsa", ("--coverage", "sorted")),
    ],
)  # fmt: skip
def test_every_era(format_: str, kind: str, more: tuple[str, ...], module: Path, tmp_path: Path) -> None:
    """The manifest keeps what the signature depends on: time, coverage, payload."""
    key, certificate = files(kind, tmp_path)
    requests, signed = tmp_path / "requests", tmp_path / "s.ko"
    assert sign("--format", format_, *more, "--cert", certificate, "--prepare", requests, module).code == 0
    document = json.loads((requests / "manifest.json").read_text())
    hash_name = document["files"][0]["hash"] or "sha256"
    (request,) = (p for p in requests.iterdir() if p.name.startswith("m.ko."))
    if request.suffix == ".digest":
        answer_all(requests, key, hash_name)
    else:
        numbers = private("rsa").private_numbers()
        value = pow(int.from_bytes(request.read_bytes(), "big"), numbers.d, numbers.public_numbers.n)
        (requests / "m.ko.sig").write_bytes(value.to_bytes(256, "big"))
    ran = sign("--attach", requests, "-o", signed, module)
    assert ran.code == 0, ran.err
    trust = certificate
    if format_ in ("redhat", "crypto-pgp", "note"):
        trust = tmp_path / "ring"
        assert elfsig("keys", "openpgp", key, "-o", trust, "--hash", "sha1").code == 0
    assert elfsig("verify", "--trust", trust, "--require", format_, signed).code == 0


def test_bytes_for_services_that_hash(module: Path, tmp_path: Path) -> None:
    key, certificate = files("p384", tmp_path)
    requests, signed = tmp_path / "requests", tmp_path / "s.ko"
    wanted = ("--format", "pkcs7", "--hash", "sha384", "--cert", certificate, "--prepare", requests)
    assert sign(*wanted, "--prepare-as", "bytes", module).code == 0
    assert (requests / "m.ko.tbs").read_bytes() == module.read_bytes()
    made: list[str | Path] = [
        need("openssl"),
        "dgst",
        "-sha384",
        "-sign",
        key,
        "-out",
        requests / "m.ko.raw",
        requests / "m.ko.tbs",
    ]
    subprocess.run(made, check=True)
    assert sign("--attach", requests, "-o", signed, module).code == 0
    assert elfsig("verify", "--trust", certificate, signed).code == 0
    rsa = files("rsa", tmp_path)[1]
    how = ("--format", "crypto-pgp", "--cert", rsa, "--prepare", tmp_path / "r2")
    refused = sign(*how, "--prepare-as", "bytes", module)
    assert refused.code == 1 and "prepare digests instead" in refused.err


def test_messages(module: Path, tmp_path: Path) -> None:
    """ML-DSA: what is to be signed is the module."""
    _, certificate = files("mldsa65", tmp_path)
    requests, signed = tmp_path / "requests", tmp_path / "s.ko"
    assert sign("--format", "pkcs7", "--cert", certificate, "--prepare", requests, module).code == 0
    message = (requests / "m.ko.tbs").read_bytes()
    assert message == module.read_bytes()
    (requests / "m.ko.sig").write_bytes(base64.b64encode(private("mldsa65").sign(message)))
    assert sign("--attach", requests, "-o", signed, module).code == 0
    assert elfsig("verify", "--trust", certificate, signed).code == 0


def test_a_module_that_changed_meanwhile(tree: Path, tmp_path: Path) -> None:
    key, certificate = files("rsa", tmp_path)
    requests = tmp_path / "requests"
    assert sign("--format", "pkcs7", "--cert", certificate, "--prepare", requests, tree).code == 0
    answer_all(requests, key)
    changed = tree / "kernel" / "a.ko"
    changed.write_bytes(changed.read_bytes() + b"\0")
    (tree / "kernel" / "new.ko").write_bytes(changed.read_bytes())
    (requests / "kernel" / "fs" / "b.ko.xz.sig").unlink()
    before = {p: p.read_bytes() for p in tree.rglob("*.ko*")}
    ran = sign("--attach", requests, "--in-place", tree)
    assert ran.code == 1
    for words in (
        "is not the one that was prepared",
        "no signature for it",
        "new.ko: it is not in the manifest",
    ):
        assert words in ran.err
    after = {p for p, content in before.items() if p.read_bytes() != content}
    assert after == {tree / "kernel" / "fs" / "signed.ko"}


def test_answers_that_are_wrong(module: Path, tmp_path: Path) -> None:
    """By another key, over something else, damaged: refused, with the reason."""
    certificate = files("rsa", tmp_path)[1]
    requests = tmp_path / "requests"
    assert sign("--format", "pkcs7", "--cert", certificate, "--prepare", requests, module).code == 0
    request, answer = requests / "m.ko.digest", requests / "m.ko.sig"
    other = private("rsa", 1).sign(request.read_bytes(), padding.PKCS1v15(), Prehashed(hashes.SHA256()))
    twice = private("rsa").sign(request.read_bytes(), padding.PKCS1v15(), hashes.SHA256())
    for value, words in (
        (other, "not a signature by the rsa key"),
        (twice, "hashed the digest again"),
        (b"", "no signature"),
    ):
        answer.write_bytes(value)
        ran = sign("--attach", requests, "-o", tmp_path / "s.ko", module)
        assert ran.code == 1 and words in ran.err and not (tmp_path / "s.ko").exists()


def test_damaged_manifests(module: Path, tmp_path: Path) -> None:
    _, certificate = files("rsa", tmp_path)
    assert sign("--format", "pkcs7", "--cert", certificate, "--prepare", tmp_path / "r", module).code == 0
    path = tmp_path / "r" / "manifest.json"
    good = path.read_text()
    assert read_manifest(str(tmp_path / "r")) is not None
    assert read_manifest(str(tmp_path)) is None
    for bad in (
        "", "[]", "{}", good.replace("elfsig-signing-request", "other"),
        good.replace('"schema_version": 1', '"schema_version": 2'),
        re.sub(r'"asked": "..', '"asked": "zz', good), good.replace('"keyid": false', '"keyid": "no"'),
        good.replace('"keyid"', '"unknown"'), re.sub(r'"key": "[^"]*"', '"key": ""', good),
    ):  # fmt: skip
        path.write_text(bad)
        with pytest.raises((UsageError, SigningError)):
            read_manifest(str(tmp_path / "r"))


# --------------------------------------------------------------------------- how distributions do it


def test_the_way_of_debian(tree: Path, tmp_path: Path) -> None:
    """Its signing service runs ``sign-file -d`` and keeps ``PATH.sig``: CMS, put on without a manifest."""
    key, certificate = files("rsa", tmp_path)
    signatures = tmp_path / "debian" / "signatures"
    bare = tree / "kernel" / "fs" / "signed.ko"
    assert elfsig("strip", "--in-place", bare).code == 0
    (tree / "kernel" / "fs" / "b.ko.xz").unlink()
    for path in tree.rglob("*.ko"):
        subprocess.run([need("sign-file"), "-d", "sha256", key, certificate, path], check=True)
        target = signatures / path.relative_to(tree).with_suffix(".ko.sig")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(f"{path}.p7s", target)
    expected = tmp_path / "expected.ko"
    raw = signatures / "kernel" / "a.ko.sig"
    subprocess.run(
        [need("sign-file"), "-s", raw, "sha256", certificate, tree / "kernel" / "a.ko", expected], check=True
    )
    ran = sign("--attach", signatures, "--format", "pkcs7", "--cert", certificate, "--in-place", tree)
    assert ran.code == 0, ran.err
    assert (tree / "kernel" / "a.ko").read_bytes() == expected.read_bytes()
    assert elfsig("verify", "--trust", certificate, tree).code == 0


def test_the_way_of_suse(tree: Path, tmp_path: Path) -> None:
    """Its build service gives raw RSA values, ``PATH.ko.sig``, though modules may be compressed by then."""
    key, certificate = files("rsa", tmp_path)
    signatures, digests = tmp_path / "signatures", tmp_path / "digests"
    assert sign("--format", "pkcs7", "--cert", certificate, "--prepare", digests, tree).code == 0
    answer_all(digests, key)
    for path in digests.rglob("*.sig"):
        target = signatures / str(path.relative_to(digests)).replace(".xz", "")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, target)
    how = ("--format", "pkcs7", "--hash", "sha256", "--cert", certificate)
    ran = sign("--attach", signatures, *how, "--in-place", tree)
    assert ran.code == 0, ran.err
    assert elfsig("verify", "--trust", certificate, tree).code == 0


def test_whole_signatures_are_verified_too(module: Path, tmp_path: Path) -> None:
    """A CMS in DER or PEM is taken as it is, one over other content never; unverified ones are said to be."""
    key, certificate = files("rsa", tmp_path)
    folder, signed = tmp_path / "sigs", tmp_path / "s.ko"
    folder.mkdir()
    made: list[str | Path] = [
        need("openssl"),
        "cms",
        "-sign",
        "-binary",
        "-signer",
        certificate,
        "-inkey",
        key,
        "-md",
        "sha256",
        "-nocerts",
    ]
    attach = ("--attach", folder, "--format", "pkcs7", "-o", signed)
    for form in ("DER", "PEM"):
        for extra in ([], ["-noattr"]):
            out = folder / "m.ko.p7s"
            subprocess.run([*made, *extra, "-in", module, "-outform", form, "-out", out], check=True)
            ran = sign(*attach, "--cert", certificate, module)
            assert ran.code == 0 and "valid" in ran.out, ran.err
    unchecked = sign(*attach, module)
    assert unchecked.code == 0 and "not verified" in unchecked.err
    signed.unlink()
    stranger = files("p256", tmp_path)[1]
    refused = sign(*attach, "--cert", stranger, module)
    assert refused.code == 1 and "not attached" in refused.err and not signed.exists()
    module.write_bytes(module.read_bytes() + b"\0")
    refused = sign(*attach, "--cert", certificate, module)
    assert refused.code == 1 and "not attached" in refused.err and not signed.exists()


def test_names_below_roots(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "ab").mkdir()
    root = str(tmp_path / "a")
    for path, roots, name in (
        (f"{root}/b/m.ko", [root], "b/m.ko"),
        (f"{root}/b/m.ko", [root + os.sep], "b/m.ko"),
        (f"{root}/b/m.ko", [f"{root}/b/m.ko"], "m.ko"),
        (f"{tmp_path}/ab/m.ko", [root], "m.ko"),
    ):
        assert name_below(path, roots) == name
