"""What counts as signed already: what a kernel compares, however a report or a signature may look."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from tests.support import cms as craft
from tests.support.cli import Ran
from tests.support.cms import Identity, issued, private, signer_info
from tests.support.modules import certificate_file, plain, signed, with_trailer
from tests.support.run import run

KEY = private("rsa", 21)
FIRST = issued(KEY, "MOK", serial=0x1111)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    root.mkdir()
    return root


def sign(tree: Path, who: Identity, *words: str | Path) -> Ran:
    key, certificate = who.pem()
    folder = tree.parent
    (folder / "key.pem").write_bytes(key)
    (folder / "cert.pem").write_bytes(certificate)
    return run(
        "sign", "--format=pkcs7", "--key", folder / "key.pem", "--cert", folder / "cert.pem", "--in-place",
        tree, *words,
    )  # fmt: skip


def is_left_alone(ran: Ran) -> bool:
    assert ran.code == 0, ran.err
    assert ("signed like this" in ran.out) != ("signature made" in ran.out)
    return "signed like this" in ran.out


def test_a_good_signature_is_left_alone(tree: Path) -> None:
    (tree / "m.ko").write_bytes(signed(FIRST))
    assert is_left_alone(sign(tree, FIRST))


@pytest.mark.parametrize("keyid", [False, True])
@pytest.mark.parametrize(
    "renewed",
    [
        issued(KEY, "MOK", serial=0x2222),
        issued(KEY, "MOK renewed", serial=0x1111),
        issued(KEY, "MOK", issued(private("rsa", 22), "CA"), serial=0x1111),
        issued(KEY, "MOK", serial=0x2222, skid=False),
    ],
    ids=["serial", "name", "issuer", "no-skid"],
)
def test_a_renewed_certificate_of_the_same_key_signs_again(
    keyid: bool, renewed: Identity, tree: Path
) -> None:
    info = signer_info(FIRST, plain(), keyid=keyid)
    (tree / "m.ko").write_bytes(with_trailer(plain(), craft.cms(info, version=3 if keyid else 1)))
    assert not is_left_alone(sign(tree, renewed))
    trust = certificate_file(tree.parent, renewed, "renewed.pem")
    ran = run("verify", tree / "m.ko", "--trust", trust, "--kernel", "6.12", "--enforce")
    assert ran.code == 0, ran.out
    assert is_left_alone(sign(tree, renewed))


def test_another_subject_key_id_signs_again(tree: Path) -> None:
    other = issued(KEY, "MOK", serial=0x1111)
    changed = other.certificate.replace(other.skid, bytes(range(20)))
    tbs = changed[4 : 8 + int.from_bytes(changed[6:8])]
    value = KEY.sign(tbs, padding.PKCS1v15(), hashes.SHA256())
    renewed = Identity(KEY, changed[:-256] + value)
    info = signer_info(FIRST, plain(), keyid=True)
    (tree / "m.ko").write_bytes(with_trailer(plain(), craft.cms(info, version=3)))
    assert is_left_alone(sign(tree, FIRST, "--keyid"))
    assert not is_left_alone(sign(tree, renewed, "--keyid"))


def broken() -> dict[str, bytes]:
    module = plain()
    value = KEY.sign(module, padding.PKCS1v15(), hashes.SHA256())
    return {
        "zero in front": craft.cms(signer_info(FIRST, module, value=b"\0" + value)),
        "signed attributes": craft.cms(signer_info(FIRST, module, attrs=craft.attributes(module, "sha256"))),
        "combined identifier": craft.cms(
            signer_info(
                FIRST, module, signature_algorithm=craft.algorithm("1.2.840.113549.1.1.11", b"\x05\x00")
            )
        ),
        "damaged certificate": craft.cms(signer_info(FIRST, module), certificates=[b"\x30\x03\x02\x01\x00"]),
        "other content": craft.cms(signer_info(FIRST, b"other content")),
    }


@pytest.mark.parametrize("name", broken())
def test_what_kernels_refuse_is_signed_again(name: str, tree: Path) -> None:
    (tree / "m.ko").write_bytes(with_trailer(plain(), broken()[name]))
    assert not is_left_alone(sign(tree, FIRST))
    assert (tree / "m.ko").read_bytes() == signed(FIRST)
    assert is_left_alone(sign(tree, FIRST))


@pytest.mark.parametrize("kind", ["rsa1024", "p256", "p521", "mldsa44"])
def test_a_form_that_the_key_demands_is_not_signed_for_ever(kind: str, tree: Path) -> None:
    who = issued(private(kind, 5), "odd key")
    (tree / "m.ko").write_bytes(plain())
    assert not is_left_alone(sign(tree, who))
    assert is_left_alone(sign(tree, who))


@pytest.mark.parametrize("content", ["unsigned", "other key", "changed"])
@pytest.mark.parametrize("partial", [False, True])
def test_a_forged_report_leaves_nothing_unsigned(content: str, partial: bool, tree: Path) -> None:
    report, path = tree.parent / "report.json", tree / "m.ko"
    path.write_bytes(plain())
    assert not is_left_alone(sign(tree, FIRST, "--report", report))
    document = json.loads(report.read_text())
    stranger = issued(private("rsa", 23), "stranger")
    wrong = {
        "unsigned": plain(),
        "other key": signed(stranger),
        "changed": signed(FIRST).replace(b"ELF", b"elf", 1),
    }
    path.write_bytes(wrong[content])
    (entry,) = document["edits"]
    entry["after"] = {"size": len(wrong[content]), "sha256": sha256(wrong[content]).hexdigest()}
    if partial:
        lines = ({"asked": document["asked"]}, entry)
        Path(f"{report}.partial").write_text("".join(json.dumps(line) + "\n" for line in lines))
        report.unlink()
    else:
        report.write_text(json.dumps(document))
    ran = sign(tree, FIRST, "--report", report, "--replace")
    assert "done by an earlier run" not in ran.out
    trust = certificate_file(tree.parent, FIRST, "mok.pem")
    assert run("verify", path, "--trust", trust).code == 0
    assert "done by an earlier run" in sign(tree, FIRST, "--report", report).out


def test_a_renewed_certificate_does_not_continue_the_old_run(tree: Path) -> None:
    report = tree.parent / "report.json"
    (tree / "m.ko").write_bytes(plain())
    sign(tree, FIRST, "--report", report)
    assert not is_left_alone(sign(tree, issued(KEY, "MOK", serial=0x2222), "--report", report))
