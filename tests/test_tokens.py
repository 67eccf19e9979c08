"""Keys in tokens, for real: SoftHSM2 through PKCS#11, every value judged by OpenSSL or GnuPG."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

import corpus
from elfsig.errors import SigningError
from elfsig.model import Signer
from elfsig.signers import open_signer, pkcs11_module, pkcs11_session
from elfsig.signers.pkcs11 import TokenSigner
from elfsig.signers.pkcs11_uri import parse
from tests.support.cli import Ran, elfsig, environment
from tests.support.cms import identity, issued, private
from tests.support.notes import Note
from tests.support.softhsm import PIN, SoftHsm, make
from tests.support.terminal import typed
from tests.support.tools import need

MODULE = corpus.SAMPLES / "amd64-6.1.ko"
KINDS = ("rsa", "p256", "p384", "p521", "dsa")
TOKEN = "Glacier & Sons; 7"


@pytest.fixture(scope="module")
def hsm(tmp_path_factory: pytest.TempPathFactory) -> SoftHsm:
    """A token with a key of every kind, each with certificate and public key, and further odd ones."""
    store = make(tmp_path_factory.mktemp("hsm"))
    store.token(TOKEN)
    folder = store.folder
    for number, kind in enumerate(KINDS, 1):
        key, certificate = identity(kind).pem()
        (folder / f"{kind}.key").write_bytes(key)
        (folder / f"{kind}.pem").write_bytes(certificate)
        (folder / f"{kind}.der").write_bytes(identity(kind).certificate)
        store.load(TOKEN, folder / f"{kind}.key", kind, number)
        store.certify(TOKEN, folder / f"{kind}.der", kind, number)
    store.generate(TOKEN, "inside", "rsa:2048", 0x20)
    return store


@pytest.fixture
def settled(hsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> Iterator[SoftHsm]:
    """For tests in this process: the environment set, and whatever was opened let go."""
    for name, value in hsm.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("KBUILD_SIGN_PIN", PIN)
    yield hsm


@pytest.fixture
def module(tmp_path: Path) -> Path:
    path = tmp_path / "m.ko"
    assert elfsig("strip", "--all", "-o", path, MODULE).code == 0
    return path


def sign(hsm: SoftHsm, *arguments: str | Path, pin: str | None = PIN) -> Ran:
    env = {**hsm.environment, "PKCS11_MODULE_PATH": "", **({"KBUILD_SIGN_PIN": pin} if pin else {})}
    return elfsig("sign", *arguments, env=env)


def opened(hsm: SoftHsm, label: str, cert: str | None = None) -> TokenSigner:
    signer = open_signer(hsm.uri(TOKEN, label), cert)
    assert isinstance(signer, TokenSigner)
    return signer


# --------------------------------------------------------------------------- signing


@pytest.mark.parametrize("hash_name", ["sha256", "sha512"])
@pytest.mark.parametrize("kind", ["rsa", "p256", "p384", "p521"])
def test_cms_as_openssl_judges_it(
    kind: str, hash_name: str, hsm: SoftHsm, module: Path, tmp_path: Path
) -> None:
    """The certificate comes from the token. P-256 with SHA-512: the digest is longer than the order."""
    signed = tmp_path / "signed.ko"
    ran = sign(
        hsm, "--format", "pkcs7", "--hash", hash_name, "--key", hsm.uri(TOKEN, kind), "-o", signed, module
    )
    assert (ran.code, ran.err) == (0, "")
    blob = tmp_path / "blob"
    blob.write_bytes(signed.read_bytes()[module.stat().st_size : -40])
    subprocess.run(
        [need("openssl"), "cms", "-verify", "-binary", "-inform", "DER", "-in", blob, "-content", module,
         "-certfile", hsm.folder / f"{kind}.pem", "-noverify", "-out", "/dev/null"],
        check=True, capture_output=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("format_", "kind", "more"),
    [
        ("x509", "rsa", ()),
        ("crypto-pgp", "rsa", ()),
        ("redhat", "dsa", ()),
        ("crypto-digsig", "rsa", ("--payload", "v1")),
        ("gkh", "rsa", ("--payload", "raw-rsa")),
    ],
)
def test_the_other_eras(
    format_: str, kind: str, more: tuple[str, ...], hsm: SoftHsm, module: Path, tmp_path: Path
) -> None:
    """The same bytes as with the key in a file, where the signature is not random; else a valid one."""
    signed, plain = tmp_path / "signed.ko", tmp_path / "plain.ko"
    dated = () if format_ == "x509" else ("--created", "1100000000")
    how = ("--format", format_, *dated, *more)
    pem = tmp_path / "k.pem"
    pem.write_bytes(b"".join(identity(kind).pem()))
    assert sign(hsm, *how, "--key", hsm.uri(TOKEN, kind), "-o", signed, module).code == 0
    assert sign(hsm, *how, "--key", pem, "-o", plain, module).code == 0
    if kind == "rsa":
        assert signed.read_bytes() == plain.read_bytes()
    ring = tmp_path / "k.gpg"
    trust = hsm.folder / f"{kind}.pem"
    if format_ in ("redhat", "crypto-pgp"):
        assert elfsig("keys", "openpgp", pem, "-o", ring, "--hash", "sha1").code == 0
        trust = ring
    assert elfsig("verify", "--trust", trust, "--require", format_, signed).code == 0


def test_certificate_from_a_file(hsm: SoftHsm, module: Path, tmp_path: Path) -> None:
    """As with keys in a KMS: the key is there, the certificate is here. That of another key is refused."""
    spki = serialization.load_der_public_key(hsm.public(TOKEN, 0x20))
    signer = private("rsa")
    builder = x509.CertificateBuilder(
        identity().parsed.subject, identity().parsed.subject, spki, 77,  # type: ignore[arg-type]  # an RSA key
        identity().parsed.not_valid_before_utc, identity().parsed.not_valid_after_utc,
    )  # fmt: skip
    certificate = tmp_path / "inside.pem"
    made = builder.sign(signer, hashes.SHA256())
    certificate.write_bytes(identity("p256").pem()[1] + made.public_bytes(serialization.Encoding.PEM))
    how = ("--format", "pkcs7", "--key", hsm.uri(TOKEN, "inside"), "-o", tmp_path / "signed.ko", module)
    bare = sign(hsm, *how)
    assert bare.code == 1 and "pass it with --cert" in bare.err
    other = sign(hsm, *how, "--cert", hsm.folder / "p256.pem")
    assert other.code == 1 and "no certificate of the key" in other.err
    assert sign(hsm, *how, "--cert", certificate).code == 0
    single = tmp_path / "single.der"
    single.write_bytes(made.public_bytes(serialization.Encoding.DER))
    assert elfsig("verify", "--trust", single, tmp_path / "signed.ko").code == 0


def test_certificate_by_uri(settled: SoftHsm) -> None:
    signer = opened(
        settled, "rsa", f"pkcs11:token={TOKEN.replace(';', '%3B').replace('&', '%26')};object=rsa"
    )
    assert signer.certificate is not None and signer.certificate.der == identity("rsa").certificate
    signer.release()


def test_sign_file_takes_a_uri(hsm: SoftHsm, module: Path) -> None:
    ran = elfsig(
        "sign-file", "sha256", hsm.uri(TOKEN, "rsa"), hsm.folder / "rsa.pem", module,
        env={**hsm.environment, "KBUILD_SIGN_PIN": PIN},
    )  # fmt: skip
    assert (ran.code, ran.err) == (0, "")
    assert elfsig("verify", "--trust", hsm.folder / "rsa.pem", module).code == 0


def test_raw_blocks(settled: SoftHsm) -> None:
    """Any block below the modulus, to the private exponent; other keys have none."""
    signer = opened(settled, "rsa")
    block = b"\0\1" + b"\xff" * 100 + b"\0" + b"m" * 153
    numbers = private("rsa").private_numbers()
    expected = pow(int.from_bytes(block, "big"), numbers.d, numbers.public_numbers.n)
    assert int.from_bytes(signer.sign_block(block), "big") == expected
    assert isinstance(signer, Signer)
    signer.release()
    curve = opened(settled, "p256")
    with pytest.raises(SigningError, match="no padded blocks"):
        curve.sign_block(block)
    curve.release()


# --------------------------------------------------------------------------- logins


@pytest.mark.parametrize("jobs", [1, 3])
def test_logins_and_operations_are_bounded(
    jobs: int, hsm: SoftHsm, module: Path, tmp_path: Path, note: Note
) -> None:
    """One login for all files; with --token-jobs one for each process, besides the one that looks at the key.

    Counted by a library that stands between and writes down every call.
    """
    tree = tmp_path / "tree"
    tree.mkdir()
    content = module.read_bytes()
    for number in range(40):
        (tree / f"m{number}.ko").write_bytes(content)
    log = tmp_path / "calls"
    env = {"PKCS11SPY": hsm.module, "PKCS11SPY_OUTPUT": str(log), "KBUILD_SIGN_PIN": PIN, **hsm.environment}
    uri = hsm.uri(TOKEN, "rsa").replace(hsm.module, need("pkcs11-spy.so"))
    more = ("--token-jobs", str(jobs), "-j", "8")
    ran = elfsig("sign", "--format", "pkcs7", "--key", uri, *more, "--in-place", tree, env=env)
    assert ran.code == 0, ran.err
    calls = re.findall(r"^\d+: (C_\w+)$", log.read_text(errors="replace"), re.MULTILINE)
    count = {name: calls.count(name) for name in ("C_Initialize", "C_Login", "C_SignInit")}
    assert count["C_SignInit"] == 40
    assert count["C_Login"] == count["C_Initialize"] <= (1 if jobs == 1 else jobs + 1)
    note(f"tokens: 40 files, --token-jobs {jobs}: {count['C_Login']} logins")
    assert elfsig("verify", "--trust", hsm.folder / "rsa.pem", tree).code == 0


def test_pins(hsm: SoftHsm, module: Path, tmp_path: Path) -> None:
    """From a file, from the URI (with a warning), from the environment; never waited for, never shown."""
    pin_file = tmp_path / "pin"
    pin_file.write_text(PIN + "\n")
    pin_file.chmod(0o600)
    signed = tmp_path / "s.ko"

    def run(*query: str, pin: str | None = None) -> Ran:
        signed.unlink(missing_ok=True)
        return sign(
            hsm, "--format", "pkcs7", "--key", hsm.uri(TOKEN, "rsa", *query), "-o", signed, module, pin=pin
        )

    assert (run(f"pin-source=file:{pin_file}").code, signed.exists()) == (0, True)
    pin_file.chmod(0o644)
    assert "is readable by others" in run(f"pin-source={pin_file}").err
    shown = run(f"pin-value={PIN}")
    assert shown.code == 0 and "pin-source" in shown.err and PIN not in shown.out + shown.err
    none = run()
    assert none.code == 1 and "there is no terminal" in none.err and not signed.exists()
    wrong = run(pin="4321")
    assert wrong.code == 1 and "wrong PIN" in wrong.err and "4321" not in wrong.err
    missing = run("pin-source=file:/nowhere")
    assert missing.code == 2 and "/nowhere" in missing.err
    program = run("pin-source=%7Ccat")
    assert program.code == 1 and "programs are not run" in program.err
    assert run(pin=PIN).code == 0


def test_a_wrong_pin_is_tried_once(hsm: SoftHsm, module: Path, tmp_path: Path) -> None:
    """Three wrong ones lock many a token: forty files must not be forty attempts."""
    log = tmp_path / "calls"
    env = {
        "PKCS11SPY": hsm.module,
        "PKCS11SPY_OUTPUT": str(log),
        "KBUILD_SIGN_PIN": "0000",
        **hsm.environment,
    }
    uri = hsm.uri(TOKEN, "rsa").replace(hsm.module, need("pkcs11-spy.so"))
    ran = elfsig(
        "sign", "--format", "pkcs7", "--key", uri, "--token-jobs", "4", "--in-place", module, env=env
    )
    assert ran.code == 1
    assert re.findall(r"^\d+: C_Login$", log.read_text(errors="replace"), re.MULTILINE) == [
        next(line for line in log.read_text(errors="replace").splitlines() if line.endswith(": C_Login"))
    ]


# --------------------------------------------------------------------------- messages


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("pkcs11:token=none;object=rsa", ("no such token", "Glacier & Sons; 7")),
        (
            "pkcs11:token=Glacier%20%26%20Sons%3B%207;object=gone",
            ("no such private key", "object=p384;id=%03"),
        ),
        ("pkcs11:token=Glacier%20%26%20Sons%3B%207", ("6 keys match", "object=inside;id=%20")),
        ("pkcs11:token=Glacier%20%26%20Sons%3B%207;id=%ff", ("no such private key",)),
        ("pkcs11:serial=1;object=rsa", ("no such token",)),
        ("pkcs11:object=rsa;flavour=x", ("unknown attribute 'flavour'",)),
    ],
)
def test_what_is_not_there(uri: str, words: tuple[str, ...], settled: SoftHsm) -> None:
    with pytest.raises(SigningError) as caught:
        open_signer(f"{uri}?module-path={settled.module}")
    for word in words:
        assert word in str(caught.value)


def test_two_tokens_fit(settled: SoftHsm) -> None:
    settled.token("second")
    with pytest.raises(SigningError, match="2 tokens match"):
        open_signer(f"pkcs11:object=rsa?module-path={settled.module}")


def test_which_library(settled: SoftHsm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in pkcs11_module.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    folder = str(Path(settled.module).parent)
    named = parse(f"pkcs11:?module-name=softhsm2&module-path={folder}")
    assert pkcs11_module.module_path(named) == settled.module
    monkeypatch.setattr(pkcs11_module, "FOLDERS", (str(tmp_path),))
    with pytest.raises(SigningError, match="which PKCS#11 library"):
        pkcs11_module.module_path(parse("pkcs11:object=k"))
    with pytest.raises(SigningError, match="was not found"):
        pkcs11_module.module_path(parse("pkcs11:?module-name=none"))
    monkeypatch.setenv("PKCS11_MODULE_PATH", settled.module)
    assert pkcs11_module.module_path(parse("pkcs11:object=k")) == settled.module
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"no library")
    with pytest.raises(SigningError, match="not a PKCS#11 library"):
        open_signer(f"pkcs11:object=k?module-path={broken}")


def test_certificate_that_belongs_to_no_key_here(settled: SoftHsm, tmp_path: Path) -> None:
    stranger = tmp_path / "c.pem"
    stranger.write_bytes(issued(private("rsa", 9)).pem()[1])
    with pytest.raises(SigningError, match="no certificate of the key") as caught:
        opened(settled, "rsa", str(stranger))
    assert caught.value.code == "certificate-of-other"


# --------------------------------------------------------------------------- URIs


def test_uri() -> None:
    uri = parse("pkcs11:token=A%20b%3B;id=%01%fe;type=private?pin-value=12%2634&module-path=/x.so&x-more=1")
    assert uri.path == {"token": "A b;", "id": "01fe", "type": "private"}
    assert uri.id == b"\x01\xfe"
    assert uri.query == {"pin-value": "12&34", "module-path": "/x.so"}
    assert uri.visible == "pkcs11:token=A%20b%3B;id=%01%FE;type=private"
    assert parse("PKCS11:").path == {}


@pytest.mark.parametrize(
    "text",
    ["pkcs11:token", "pkcs11:token=a;token=b", "pkcs11:token=%f", "pkcs11:token=%ff", "pkcs11:type=any",
     "pkcs11:slot-id=x", "pkcs11:?pin-value=12&pin-source=file:x", "pkcs11:=x", "other:token=a"],
)  # fmt: skip
def test_uris_that_are_refused(text: str) -> None:
    with pytest.raises(SigningError) as caught:
        parse(text)
    assert caught.value.code == "pkcs11-uri" and "12" not in str(caught.value).replace("7512", "")


def test_two_keys_of_one_token_share_a_login(settled: SoftHsm, tmp_path: Path, module: Path) -> None:
    """In one process, and also where a key is opened once for each certificate; the last one logs out."""
    first, second = opened(settled, "rsa"), opened(settled, "p256")
    first.release()
    second.sign_digest(b"d" * 32, "sha256")
    first.sign_digest(b"d" * 32, "sha256")
    first.release()
    second.release()
    assert pkcs11_session._KEEPERS == {}
    keys = [word for kind in ("dsa", "rsa") for word in ("--key", settled.uri(TOKEN, kind))]
    formats = ("--to", "redhat", "--to", "pkcs7")
    certs = ("--cert", settled.folder / "rsa.pem")
    result = tmp_path / "both.ko"
    ran = elfsig(
        "convert", *formats, *keys, *certs, "--unverified", "-o", result, module,
        env={**settled.environment, "KBUILD_SIGN_PIN": PIN},
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert elfsig("verify", "--trust", settled.folder / "rsa.pem", "--require", "pkcs7", result).code == 0


def test_no_pin_in_a_record(hsm: SoftHsm, module: Path, tmp_path: Path) -> None:
    uri = hsm.uri(TOKEN, "rsa", f"pin-value={PIN}")
    ran = elfsig(
        "convert", "--to", "pkcs7", "--key", uri, "--unverified", "--json", "-o", tmp_path / "c.ko", module,
        env=hsm.environment,
    )  # fmt: skip
    assert ran.code == 0 and f"pin-value={PIN}" not in ran.out + ran.err and "pin-value=..." in ran.out


@pytest.mark.parametrize(("pin", "code"), [(PIN, 0), ("9999", 1)])
def test_pin_at_the_terminal(pin: str, code: int, hsm: SoftHsm, module: Path, tmp_path: Path) -> None:
    """Asked for once, with the key's name; not echoed."""
    words: list[str | Path] = [sys.executable, "-m", "elfsig", "sign", "--format", "pkcs7", "--in-place"]
    env = environment(hsm.environment)
    env.pop("KBUILD_SIGN_PIN", None)
    asked = (b"object=rsa;type=private: ", pin.encode())
    got, text = typed([*words, "--key", hsm.uri(TOKEN, "rsa"), module], [asked], env, tmp_path)
    assert got == code and f": {pin}" not in text and text.count("object=rsa;type=private: ") == 1 + code
    assert ("signature made" if not code else "wrong PIN") in " ".join(text.split())


def test_without_python_pkcs11_the_first_use_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in sys.modules if each.startswith(("pkcs11", "elfsig.signers.pkcs11"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pkcs11", None)
    with pytest.raises(SigningError, match=r"pip install 'elfsig\[pkcs11\]'") as raised:
        open_signer("pkcs11:token=x;object=y?pin-value=1234")
    assert raised.value.code == "no-pkcs11" and "1234" not in str(raised.value)


# --------------------------------------------------------------------------- from zero: list, certify


def test_keys_of_a_token_are_listed_with_the_uri_that_signs(hsm: SoftHsm) -> None:
    uri = f"pkcs11:token={TOKEN.replace(';', '%3B')}?module-path={hsm.module}"
    ran = elfsig("keys", "list", uri, env={**hsm.environment, "KBUILD_SIGN_PIN": PIN})
    assert ran.code == 0, ran.err
    entry = next(part for part in ran.out.split("\n  role:") if "object=rsa" in part)
    source = re.search(r"source: +(\S.*)", entry)
    assert source is not None and "holds:       private key, public key, certificate" in entry
    assert "id=%01" in source[1] and "algorithm:   rsa 2048" in entry
    assert "  holds:       private key, public key\n" in ran.out  # the one without a certificate
    named = source[1] + f"?module-path={hsm.module}"
    assert open_signer_in(hsm, named).key_bits == 2048
    rows = json.loads(
        elfsig("keys", "list", "--json", uri, env={**hsm.environment, "KBUILD_SIGN_PIN": PIN}).out
    )
    assert source[1] in {row["source"] for row in rows["keys"]}


def open_signer_in(hsm: SoftHsm, uri: str) -> Signer:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**hsm.environment, "KBUILD_SIGN_PIN": PIN}.items():
            patch.setenv(name, value)
        signer = open_signer(uri)
        assert isinstance(signer, TokenSigner)
        signer.release()
        return signer


def test_a_list_without_the_pin_says_what_it_cannot_see(hsm: SoftHsm) -> None:
    ran = elfsig("keys", "list", f"pkcs11:?module-path={hsm.module}", env=hsm.environment)
    assert ran.code == 0 and "a private key is not visible without the PIN" in ran.out
    none = elfsig("keys", "list", f"pkcs11:token=none?module-path={hsm.module}", env=hsm.environment)
    assert none.code == 1 and "no such token; present: " in none.err


@pytest.mark.parametrize(("kind", "hash_name"), [("rsa:2048", "sha256"), ("EC:secp384r1", "sha384")])
def test_from_an_empty_token_to_a_verified_module(
    kind: str, hash_name: str, hsm: SoftHsm, module: Path, tmp_path: Path
) -> None:
    """The key is made in the token, certified there, and OpenSSL accepts its signature on itself."""
    number, label = (0x40, "fresh") if "rsa" in kind else (0x41, "curve")
    hsm.generate(TOKEN, label, kind, number)
    env = {**hsm.environment, "KBUILD_SIGN_PIN": PIN}
    uri = hsm.uri(TOKEN, label)
    how = ("--key", uri, "--name", "Build key", "--module-only", "-o", tmp_path / "modules")
    ran = elfsig("keys", "certificate", *how, env=env)
    assert ran.code == 0 and "next:\n  mokutil --import" in ran.out, ran.err
    shown = subprocess.run(
        [need("openssl"), "x509", "-in", tmp_path / "modules.crt", "-noout", "-text"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert "CN = Build key" in shown or "CN=Build key" in shown
    assert "1.3.6.1.4.1.2312.16.1.2" in shown and hash_name.upper()[3:] in shown.upper()
    subprocess.run(
        [need("openssl"), "verify", "-check_ss_sig", "-CAfile", tmp_path / "modules.crt",
         tmp_path / "modules.crt"],
        check=True, capture_output=True,
    )  # fmt: skip
    signed = tmp_path / "signed.ko"
    sign_how = ("--format", "pkcs7", "--key", uri, "--cert", tmp_path / "modules.crt", "-o", signed)
    assert elfsig("sign", *sign_how, module, env=env).code == 0
    assert elfsig("verify", "--trust", tmp_path / "modules.der", signed).code == 0
    again = elfsig("keys", "certificate", *how, env=env)
    assert again.code == 1 and "already exists; --force overwrites it" in again.err


def test_keys_in_files_are_certified_too(tmp_path: Path, module: Path) -> None:
    for kind in ("rsa", "p256", "p384", "mldsa65"):
        key = tmp_path / f"{kind}.key"
        key.write_bytes(identity(kind).pem()[0])
        name = tmp_path / kind
        assert elfsig("keys", "certificate", "--key", key, "--name", kind, "-o", name).code == 0
        signed = tmp_path / f"{kind}.ko"
        how = ("--format", "pkcs7", "--key", key, "--cert", f"{name}.crt", "-o", signed)
        assert elfsig("sign", *how, module).code == 0
        assert elfsig("verify", "--trust", f"{name}.der", signed).code == 0
    dsa = tmp_path / "dsa.key"
    dsa.write_bytes(identity("dsa").pem()[0])
    ran = elfsig("keys", "certificate", "--key", dsa, "--name", "x", "-o", tmp_path / "dsa")
    assert ran.code == 2 and "DSA" in ran.err
    bare = elfsig("keys", "certificate", "--key", dsa, "-o", tmp_path / "dsa")
    assert bare.code == 2 and "--name" in bare.err
