"""Key pairs as ``elfsig keys generate`` makes them, held against OpenSSL, GnuPG, sign-file and kernels."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

import corpus
from elfsig.errors import UsageError
from elfsig.keygen import genkey, kconfig, keydir
from elfsig.keygen.certificate import self_signed
from elfsig.keygen.files import write_new
from elfsig.keygen.kinds import KINDS, kind_named, make_private
from elfsig.verbs.keys.generate import KeyRequest, decide, make
from tests.support.cli import Ran, elfsig, environment
from tests.support.terminal import typed
from tests.support.tools import need

MODULE = corpus.SAMPLES / "amd64-6.1.ko"
FAST = ("--type", "p256")


def generate(where: Path, *arguments: str | Path, env: Mapping[str, str] | None = None) -> Ran:
    return elfsig("keys", "generate", *arguments, cwd=where, env={"KBUILD_SIGN_PIN": "", **(env or {})})


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def openssl(*arguments: str | Path, data: bytes | None = None) -> str:
    done = subprocess.run(
        [need("openssl"), *map(str, arguments)], input=data, capture_output=True, check=True
    )
    return done.stdout.decode()


def text_of(certificate: Path, form: str = "DER") -> str:
    return openssl("x509", "-inform", form, "-in", certificate, "-noout", "-text")


# --------------------------------------------------------------------------- one pair


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_signs(kind: str, tmp_path: Path) -> None:
    """What was made signs a module, and its public half finds the signature valid."""
    assert generate(tmp_path, "-o", "k", "--type", kind).code == 0
    certified = not kind.startswith("dsa")
    how = (
        ("pkcs7", "--cert", tmp_path / "k.crt")
        if certified
        else ("crypto-pgp", "--hash", KINDS[kind].hash or "")
    )
    signed = tmp_path / "signed.ko"
    key = tmp_path / "k.key"
    assert elfsig("sign", "--format", *how, "--key", key, "--replace", "-o", signed, MODULE).code == 0
    public = tmp_path / ("k.der" if certified else "k.gpg")
    assert elfsig("verify", "--trust", public, "--require", how[0], signed).code == 0


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
def test_file_modes(umask: int, tmp_path: Path) -> None:
    old = os.umask(umask)
    try:
        assert generate(tmp_path, "-o", "k", *FAST, "--ima").code == 0
    finally:
        os.umask(old)
    assert {p.name: mode(p) for p in tmp_path.iterdir()} == {
        "k.key": 0o600, "k.crt": 0o644, "k.der": 0o644, "k.pub.pem": 0o644,
    }  # fmt: skip


def test_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    (tmp_path / "k.der").write_bytes(b"precious")
    ran = generate(tmp_path, "-o", "k", *FAST)
    assert ran.code == 1 and "k.der already exists" in ran.err
    assert [p.name for p in tmp_path.iterdir()] == ["k.der"]
    assert generate(tmp_path, "-o", "k", *FAST, "--force").code == 0
    assert openssl("x509", "-inform", "DER", "-in", tmp_path / "k.der", "-noout", "-subject")


def test_a_link_that_lies_in_wait_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "k.key").symlink_to(tmp_path / "stolen")
    assert generate(tmp_path, "-o", "k", *FAST).code == 1
    assert generate(tmp_path, "-o", "k", *FAST, "--force").code == 0
    assert not (tmp_path / "stolen").exists() and not (tmp_path / "k.key").is_symlink()


def test_passphrase(tmp_path: Path) -> None:
    assert generate(tmp_path, "-o", "k", *FAST, "--passphrase", env={"KBUILD_SIGN_PIN": "s3cret"}).code == 0
    assert b"ENCRYPTED PRIVATE KEY" in (tmp_path / "k.key").read_bytes()
    openssl("pkey", "-in", tmp_path / "k.key", "-passin", "pass:s3cret", "-noout")
    signed = tmp_path / "s.ko"
    sign = (
        "sign",
        "--format",
        "pkcs7",
        "--key",
        tmp_path / "k.key",
        "--cert",
        tmp_path / "k.crt",
        "--replace",
    )
    assert elfsig(*sign, "-o", signed, MODULE, env={"KBUILD_SIGN_PIN": "wrong"}).code == 1
    assert elfsig(*sign, "-o", signed, MODULE, env={"KBUILD_SIGN_PIN": "s3cret"}).code == 0
    empty = generate(tmp_path, "-o", "e", *FAST, "--passphrase")
    assert empty.code == 1 and "protects nothing" in empty.err


def test_the_kernels_tool_takes_what_was_made(tmp_path: Path) -> None:
    """sign-file with the encrypted pair of --like kernel; openssl cms verifies what it made."""
    pin = {"KBUILD_SIGN_PIN": "s3cret"}
    assert generate(tmp_path, "-o", "signing_key", "--like", "kernel", "--passphrase", env=pin).code == 0
    pair, certificate = tmp_path / "signing_key.pem", tmp_path / "signing_key.x509"
    assert (mode(pair), mode(certificate)) == (0o600, 0o644)
    module = tmp_path / "m.ko"
    assert elfsig("strip", "--all", "-o", module, MODULE).code == 0
    sign_file: list[str | Path] = [need("sign-file"), "-dp", "sha256", pair, certificate, module]
    subprocess.run(sign_file, check=True, env={**os.environ, **pin})
    pem = tmp_path / "c.pem"
    openssl("x509", "-inform", "DER", "-in", certificate, "-out", pem)
    openssl(
        "cms", "-verify", "-binary", "-inform", "DER", "-in", tmp_path / "m.ko.p7s", "-content", module,
        "-certfile", pem, "-noverify", "-out", "/dev/null",
    )  # fmt: skip


def test_dsa_has_a_ring_that_gnupg_takes(tmp_path: Path) -> None:
    assert generate(tmp_path, "-o", "old", "--for-kernel", "rhel5").code == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["old.gpg", "old.key"]
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    shown = subprocess.run(
        [need("gpg"), "--homedir", home, "--batch", "--show-keys", "--with-colons", tmp_path / "old.gpg"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert re.search(r"^pub:[^:]*:1024:17:", shown, re.MULTILINE)


# --------------------------------------------------------------------------- certificates


def extensions(text: str) -> str:
    """The part behind the public key, with what differs from key to key left out."""
    start = text.index("X509v3 extensions:")
    return re.sub(
        r"(?:[0-9A-F]{2}:){19}[0-9A-F]{2}", "ID", text[start : text.index("Signature Algorithm", start)]
    )


GENKEY = """\
[ req ]
default_bits = 4096
distinguished_name = req_distinguished_name
prompt = no
string_mask = utf8only
x509_extensions = myexts

[ req_distinguished_name ]
#O = Unspecified company
CN = Build time autogenerated kernel key
#emailAddress = unspecified.user@unspecified.company

[ myexts ]
basicConstraints=critical,CA:FALSE
keyUsage=digitalSignature
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
"""

UBUNTU = """\
HOME                    = .
RANDFILE                = $ENV::HOME/.rnd
[ req ]
distinguished_name      = req_distinguished_name
x509_extensions         = v3
string_mask             = utf8only
prompt                  = no

[ req_distinguished_name ]
countryName             = CA
0.organizationName      = "cyphermox, # not a comment"
commonName              = Secure Boot \\
Signing
emailAddress            = example@example.com

[ v3 ]
subjectKeyIdentifier    = hash
authorityKeyIdentifier  = keyid:always
basicConstraints        = critical,CA:FALSE
extendedKeyUsage        = codeSigning,1.3.6.1.4.1.311.10.3.6,1.3.6.1.4.1.2312.16.1.2
nsComment               = "OpenSSL Generated Certificate"
keyUsage                = critical, digitalSignature, nonRepudiation
"""


@pytest.mark.parametrize("config", [GENKEY, UBUNTU], ids=["kernel", "ubuntu"])
def test_config_file_as_openssl_reads_it(config: str, tmp_path: Path) -> None:
    path = tmp_path / "x509.genkey"
    path.write_text(config)
    assert generate(tmp_path, "-o", "ours", *FAST, "--genkey", path).code == 0
    openssl(
        "req", "-new", "-nodes", "-utf8", "-sha256", "-days", "36500", "-batch", "-x509", "-config", path,
        "-outform", "DER", "-out", tmp_path / "theirs.der", "-keyout", tmp_path / "theirs.key",
        "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
    )  # fmt: skip
    ours, theirs = (text_of(tmp_path / f"{name}.der") for name in ("ours", "theirs"))
    assert extensions(ours) == extensions(theirs)
    for pattern in (r"Subject: .*", r"Issuer: .*", r"Not After : \w+ +\d+ .* \d{4} GMT"):
        found = re.search(pattern, ours), re.search(pattern, theirs)
        assert found[0] and found[1]
        assert found[0][0][:25] == found[1][0][:25]
    openssl(
        "verify", "-CAfile", tmp_path / "ours.crt", "-check_ss_sig", "-partial_chain", tmp_path / "ours.crt"
    )


def test_the_default_is_the_kernels(tmp_path: Path) -> None:
    """RSA-4096, SHA-256, and the extensions of x509.genkey."""
    assert genkey.read(GENKEY, "x509.genkey").extensions == tuple(
        (name, value.replace(", ", ",")) for name, value in genkey.KERNEL.extensions
    )
    assert (KeyRequest().kind.id, KeyRequest().hash) == ("rsa4096", "sha256")
    assert decide(None, None) == (KINDS["rsa4096"], "sha256")
    assert decide(None, None, bits=2048) == (KINDS["rsa2048"], "sha256")


@pytest.mark.parametrize(
    ("options", "usages"),
    [
        (("--codesigning",), "Code Signing"),
        (("--module-only",), "Code Signing, 1.3.6.1.4.1.2312.16.1.2"),
        (("--ima", "--codesigning"), "Code Signing"),
    ],
)
def test_usages(options: tuple[str, ...], usages: str, tmp_path: Path) -> None:
    assert generate(tmp_path, "-o", "k", *FAST, *options, "--name", "Höhle 7").code == 0
    shown = text_of(tmp_path / "k.der")
    assert re.search(rf"Extended Key Usage: *\n +{re.escape(usages)}\n", shown)
    assert re.search(r"CN ?= ?H(\\C3\\B6|ö)hle 7", shown)


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (("[ req ]", "[ other ]"), "no [req] section"),
        (("x509_extensions = myexts", ""), "no x509_extensions"),
        (("= myexts", "= elsewhere"), "'elsewhere', which does not exist"),
        (("keyUsage=digital", "subjectAltName=DNS:x\nkeyUsage=digital"), "extension 'subjectAltName'"),
        (("CN = ", "XY = "), "field 'XY'"),
        (("prompt = no", "prompt"), "line 4 is neither"),
        (("digitalSignature", "signEverything"), "signEverything: this is not known"),
        (("subjectKeyIdentifier=hash", "subjectKeyIdentifier=$x"), "$x has no value"),
        (("CA:FALSE", "CA:PERHAPS"), "CA:PERHAPS"),
        (("4096", "many"), "default_bits"),
    ],
)
def test_config_files_that_are_refused(change: tuple[str, str], wrong: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=re.escape(wrong)):
        self_signed(
            make_private(KINDS["p256"]), genkey.read(GENKEY.replace(*change, 1), "x509.genkey"), "sha256"
        )


def test_spellings() -> None:
    for text, kind in (
        ("RSA:3072", "rsa3072"), ("P-521", "p521"), ("secp384r1", "p384"), ("prime256v1", "p256"),
        ("ml-dsa-87", "mldsa87"), ("EC", "p384"), ("dsa", "dsa1024"),
    ):  # fmt: skip
        assert kind_named(text).id == kind
    with pytest.raises(UsageError, match="choose from rsa2048"):
        kind_named("rsa512")


@pytest.mark.parametrize("hash_name", ["sha1", "md5"])
def test_hashes_that_sign_no_certificate(hash_name: str) -> None:
    with pytest.raises(UsageError, match="no certificate"):
        make(KeyRequest(kind=KINDS["rsa2048"], hash=hash_name))


# --------------------------------------------------------------------------- for a kernel, like a tool


@pytest.mark.parametrize(
    ("kernel", "options", "refused"),
    [
        ("debian-6.1", ("--type", "p384"), "does not verify ecdsa"),
        ("6.7", ("--type", "p521"), "curve secp521r1"),
        ("debian-6.1", ("--hash", "sha512"), "too late"),
        ("4.3", ("--hash", "sha3-512"), "does not know sha3-512"),
        ("rhel5", ("--type", "rsa2048"), "does not verify rsa"),
    ],
)
def test_what_a_kernel_would_not_take(
    kernel: str, options: tuple[str, ...], refused: str, tmp_path: Path
) -> None:
    ran = generate(tmp_path, "-o", "k", "--for-kernel", kernel, *options)
    assert ran.code == 2 and refused in ran.err
    assert not list(tmp_path.iterdir())


def test_hash_of_the_target_kernels_configuration(tmp_path: Path) -> None:
    config = tmp_path / "config-6.12"
    config.write_text(
        "# Linux/x86 6.12.5 Kernel Configuration\n"
        'CONFIG_MODULE_SIG_HASH="sha512"\nCONFIG_CRYPTO_SHA512=y\nCONFIG_CRYPTO_ECDSA=y\n'
    )
    ran = generate(tmp_path, "-o", "k", "--for-kernel", config)
    assert ran.code == 0 and "for signing with sha512" in ran.out
    assert "sha512WithRSA" in text_of(tmp_path / "k.der")


def test_like_dkms(tmp_path: Path) -> None:
    ran = generate(tmp_path, "-o", "mok", "--like", "dkms")
    assert ran.code == 0 and "mokutil --import mok.pub" in ran.out
    shown = text_of(tmp_path / "mok.pub")
    for words in ("2048 bit", "CN ?= ?DKMS module signing key", "Code Signing"):
        assert re.search(words, shown)
    assert mode(tmp_path / "mok.key") == 0o600


@pytest.mark.parametrize(
    "arguments",
    [(), ("-o", "k", "--key-dir", "d"), ("-o", "k", "--refresh", "7d"), ("-o", "k", "--use-for", "both"),
     ("--key-dir", "d", "--refresh", "3months"), ("-o", "d/"), ("-o", "k", "--type", "dsa", "--like", "dkms"),
     ("-o", "k", "--for-kernel", "auto"), ("-o", "k", "--openpgp", "--type", "p256"),
     ("-o", "k", "--hash", "whirlpool")],
)  # fmt: skip
def test_contradictions(arguments: tuple[str, ...], tmp_path: Path) -> None:
    assert generate(tmp_path, *arguments).code == 2
    assert not list(tmp_path.iterdir())


# --------------------------------------------------------------------------- key directories

CONFIG = """\
# Linux/x86 6.12.5 Kernel Configuration
CONFIG_MODULE_SIG=y
# CONFIG_MODULE_SIG_SHA256 is not set
CONFIG_MODULE_SIG_SHA512=y
CONFIG_MODULE_SIG_HASH="sha512"
CONFIG_MODULE_SIG_KEY="certs/signing_key.pem"
# CONFIG_MODULE_SIG_KEY_TYPE_RSA is not set
CONFIG_MODULE_SIG_KEY_TYPE_ECDSA=y
CONFIG_SYSTEM_TRUSTED_KEYS=""
CONFIG_LAST=y"""


def test_key_directory_and_configurations(tmp_path: Path) -> None:
    """As in a kernel package's build: keys when due, configurations always in line, nothing done twice."""
    configs = [tmp_path / name for name in ("config.a", "config.b")]
    for each in configs:
        each.write_text(CONFIG)
        each.chmod(0o640)
    wanted = ("--key-dir", "certs-local", "--kernel-config", "config.*", "--refresh", "7days")
    assert generate(tmp_path, *wanted).code == 0
    current = tmp_path / "certs-local" / "current"
    folder = current.resolve()
    assert re.fullmatch(r"\d{8}-\d{4}", os.readlink(current))
    assert {p.name: mode(p) for p in folder.iterdir()} == {
        "signing_key.pem": 0o600, "signing_prv.pem": 0o600, "signing_crt.crt": 0o644,
        "khash": 0o644, "ktype": 0o644,
    }  # fmt: skip
    assert mode(folder) == 0o700
    assert (folder / "khash").read_text() + (folder / "ktype").read_text() == "sha512\nec\n"
    pair = folder / "signing_key.pem"
    first = configs[0].read_text()
    assert first == CONFIG.replace('"certs/signing_key.pem"', f'"{pair}"').replace(
        'KEYS=""', f'KEYS="{pair}"'
    )
    assert mode(configs[0]) == 0o640

    before = {p: (p.stat().st_ino, p.read_bytes()) for p in (*configs, pair)}
    again = generate(tmp_path, *wanted)
    assert again.code == 0 and "still current" in again.out and again.out.count("up to date") == 2
    assert before == {p: (p.stat().st_ino, p.read_bytes()) for p in (*configs, pair)}

    newer = generate(tmp_path, *wanted[:-1], "always")
    assert newer.code == 0 and current.resolve() != folder and folder.is_dir()
    assert str(current.resolve()) in configs[1].read_text()


def test_like_arch_skm(tmp_path: Path) -> None:
    (tmp_path / "config").write_text('CONFIG_MODULES=y\nCONFIG_MODULE_SIG_KEY="certs/signing_key.pem"\n')
    assert generate(tmp_path, "--like", "arch-skm", "--kernel-config", "config").code == 0
    folder = (tmp_path / "certs-local" / "current").resolve()
    shown = text_of(folder / "signing_crt.crt")
    assert "ecdsa-with-SHA512" in shown and "P-384" in shown
    text = (tmp_path / "config").read_text()
    assert 'CONFIG_MODULE_SIG_KEY="certs/signing_key.pem"' in text
    assert f'CONFIG_SYSTEM_TRUSTED_KEYS="{folder}/signing_key.pem"' in text
    for line in (
        "CONFIG_MODULE_SIG_KEY_TYPE_ECDSA=y",
        "CONFIG_MODULE_SIG_SHA512=y",
        'CONFIG_MODULE_SIG_HASH="sha512"',
    ):
        assert line in text
    openssl("pkey", "-in", folder / "signing_key.pem", "-noout")
    openssl("x509", "-in", folder / "signing_key.pem", "-noout")


def test_somebody_elses_keys_in_a_configuration_stay(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text('CONFIG_A=y\nCONFIG_SYSTEM_TRUSTED_KEYS="debian/certs/debian-uefi-certs.pem"\n')
    wanted = ("--key-dir", "d", "--kernel-config", "config", *FAST)
    ran = generate(tmp_path, *wanted)
    assert ran.code == 2 and "debian-uefi-certs.pem" in ran.err
    assert "uefi-certs" in config.read_text() and not (tmp_path / "d").exists()
    assert generate(tmp_path, *wanted, "--force").code == 0
    assert "uefi-certs" not in config.read_text()


def test_configurations_that_do_not_agree(tmp_path: Path) -> None:
    (tmp_path / "config.1").write_text(CONFIG)
    (tmp_path / "config.2").write_text(CONFIG.replace("sha512", "sha256"))
    wanted = ("--key-dir", "d", "--kernel-config", "config.*")
    ran = generate(tmp_path, *wanted)
    assert ran.code == 2 and "choose with --hash" in ran.err
    assert generate(tmp_path, *wanted, "--hash", "sha384").code == 0
    for each in tmp_path.glob("config.*"):
        read = kconfig.read_all([str(each)])[0]
        assert (read.hash, read.kind) == ("sha384", KINDS["p384"])
        assert "# CONFIG_MODULE_SIG_SHA512 is not set" in read.text


def test_when_keys_are_due(tmp_path: Path) -> None:
    """By the certificate's own date: files that were copied are no younger."""
    folder = str(tmp_path / "d")
    assert keydir.due(folder, None, KINDS["p256"], "sha256") == "there are no keys yet"
    assert generate(tmp_path, "--key-dir", "d", *FAST).code == 0
    there = keydir.current(folder)
    assert there is not None
    for seconds, since, kind, hash_name, expected in (
        (3600, 3599, "p256", "sha256", None),
        (3600, 3600, "p256", "sha256", "were made"),
        (None, 10**9, "p256", "sha256", None),
        (0, 0, "p256", "sha256", "asked for"),
        (3600, 0, "p384", "sha256", "p256 with sha256"),
        (3600, 0, "p256", "sha512", "p256 with sha256"),
    ):
        why = keydir.due(folder, seconds, KINDS[kind], hash_name, there.made + since)
        assert why is None if expected is None else why is not None and expected in why
    Path(there.pair).unlink()
    assert "cannot be used" in str(keydir.due(folder, None, KINDS["p256"], "sha256"))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7days", 604800),
        ("24h", 86400),
        ("30 min", 1800),
        ("2weeks", 1209600),
        ("Always", 0),
        ("never", None),
    ],
)
def test_periods(text: str, seconds: int | None) -> None:
    assert keydir.period(text) == seconds


def test_a_link_that_cannot_be_switched_leaves_no_keys_behind(tmp_path: Path) -> None:
    (tmp_path / "current").mkdir()
    ran = elfsig("keys", "generate", "--key-dir", tmp_path, "--type", "p256")
    assert (ran.code, ran.err) == (1, f"elfsig: {tmp_path}/current: is a directory\n")
    assert os.listdir(tmp_path) == ["current"]


def test_names_in_one_minute(tmp_path: Path) -> None:
    names = [Path(keydir.add(str(tmp_path), [], now=0)).name for _ in range(3)]
    assert names == [names[0], f"{names[0]}-2", f"{names[0]}-3"]
    assert os.readlink(tmp_path / "current") == names[2]


def test_install(tmp_path: Path) -> None:
    assert generate(tmp_path, "--key-dir", "certs-local", *FAST).code == 0
    for _ in range(2):
        assert elfsig("keys", "install", "pkg/certs-local", cwd=tmp_path).code == 0
        found = keydir.current(str(tmp_path / "pkg" / "certs-local"))
        assert found is not None and mode(Path(found.pair)) == 0o600
    assert len(list((tmp_path / "pkg" / "certs-local").iterdir())) == 2
    shutil.rmtree(tmp_path / "pkg")
    there = tmp_path / "certs-local" / "current"
    for name in ("signing_key.pem.bak", "signing_key.pem~", "#signing_key.pem#", "id_rsa"):
        (there / name).write_bytes((there / "signing_key.pem").read_bytes())
    assert elfsig("keys", "install", "--public-only", "pkg", cwd=tmp_path).code == 0
    names = {p.name for p in (tmp_path / "pkg" / "current").iterdir()}
    assert names == {"signing_crt.crt", "khash", "ktype"}
    assert elfsig("keys", "install", "pkg2", "--key-dir", "nothing", cwd=tmp_path).code == 5


def test_a_name_that_is_taken_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without hard links the name is looked at once more; nothing is left behind."""

    def no_links(*_: object, **__: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    write_new(str(tmp_path / "k"), b"1", 0o600)
    with pytest.raises(Exception, match="already"):
        write_new(str(tmp_path / "k"), b"2", 0o600)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("k", b"1")]


@pytest.mark.parametrize(("second", "code"), [(b"one", 0), (b"two", 1)])
def test_passphrase_at_the_terminal(second: bytes, code: int, tmp_path: Path) -> None:
    """Asked for twice; nothing is written where the two differ."""
    env = environment()
    env.pop("KBUILD_SIGN_PIN", None)
    words = [sys.executable, "-m", "elfsig", "keys", "generate", "-o", "k", *FAST, "--passphrase"]
    got, text = typed(words, [(b"for k: ", b"one"), (b"again: ", second)], env, tmp_path)
    assert got == code and (tmp_path / "k.key").exists() is not bool(code)
    assert "differ" in text if code else "new p256 key pair" in text


def test_the_name_in_a_ring_is_the_common_name(tmp_path: Path) -> None:
    config = tmp_path / "x509.genkey"
    config.write_text(UBUNTU)
    assert generate(tmp_path, "-o", "k", "--genkey", config, "--type", "rsa2048", "--openpgp").code == 0
    assert "Secure Boot Signing" in elfsig("keys", "list", tmp_path / "k.gpg").out


GROWING = {
    "doubling": "x0=" + "A" * 1000 + "\n" + "".join(f"x{i}=$x{i - 1}$x{i - 1}\n" for i in range(1, 40)),
    "many large": "b=" + "A" * 60_000 + "\n" + "".join(f"a{i}=$b\n" for i in range(100_000)),
    "many names": "".join(f"n{i}=a\n" for i in range(40_000)) + "b=$n1\n" * 40_000,
    "continued": "a=\\\n" * 300_000,
    "unclosed": "a=" + "${" * 500_000,
}


@pytest.mark.timed
@pytest.mark.parametrize("name", GROWING)
def test_a_megabyte_of_variables_is_bounded(name: str) -> None:
    """Forty lines that double each other were gigabytes."""
    begun = time.process_time()
    with pytest.raises(UsageError):
        genkey.read(GROWING[name], "x509.genkey")
    assert time.process_time() - begun < 4
