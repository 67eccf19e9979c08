"""Several signers and embedded certificates under a policy: on files, and on the records of a survey."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import corpus
from corpus.recipes import trailer
from tests.support import cms as craft
from tests.support.cms import Identity, identity, issued, private
from tests.support.fleet import module
from tests.support.run import run
from tests.support.schema import lines

ONE, TWO = identity("rsa", 7), identity("rsa", 11)
MIDDLE = issued(private("rsa", 13), "middle", ONE, serial=7)
END = issued(private("rsa", 15), "end", MIDDLE, serial=8, ca=False)
KEYS = {"one": ONE, "two": TWO, "middle": MIDDLE, "end": END}


def by(name: str, *signers: Identity, wrong: int | None = None, embedded: tuple[Identity, ...] = ()) -> bytes:
    """A module with these signers, of whom the one numbered ``wrong`` signed something else."""
    content = module(name)
    infos = [
        craft.signer_info(each, content + b"x" * (number == wrong), "sha256")
        for number, each in enumerate(signers)
    ]
    blob = craft.cms(*infos, certificates=[each.certificate for each in embedded])
    return content + trailer(blob, id_type=2)


MODULES = {
    "one": by("one", ONE),
    "both": by("both", ONE, TWO),
    "half": by("half", ONE, TWO, wrong=1),
    "flah": by("flah", ONE, TWO, wrong=0),
    "end": by("end", END),
    "leaf": by("leaf", END, embedded=(END,)),
    "chain": by("chain", END, embedded=(END, MIDDLE)),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree of these modules, and records of it as JSON lines and as a table, made with all keys and none
    of them trusted."""
    folder = tmp_path_factory.mktemp("signers")
    for name in ("keys", "tree"):
        (folder / name).mkdir()
    for name, each in KEYS.items():
        (folder / "keys" / f"{name}.der").write_bytes(each.certificate)
    for name, data in MODULES.items():
        (folder / "tree" / f"{name}.ko").write_bytes(data)
    words = ("survey", "--no-cage", folder / "tree", "--keys", folder / "keys")
    (folder / "jsonl").write_text(run(*words, "--jsonl").out)
    run(*words, "--parquet", folder / "parquet")
    return folder


def found(folder: Path, trust: str, *what: str | Path) -> dict[str, str]:
    """The rule that each module breaks under a policy that trusts these keys; "" for none."""
    words = trust.split()
    sources = [f"revoked:keys/{each[1:]}.der" if each[0] == "-" else f"keys/{each}.der" for each in words]
    policy = folder / "policy.toml"
    policy.write_text(f"[[rule]]\npath = '**'\ntrust = {sources}\nkeys = 'keys'\nignore = ['stripped']\n")
    ran = run("audit", *what, "--policy", policy, "--jsonl", "-j", "1")
    assert ran.code in (0, 1, 4), ran.err
    faults: list[dict[str, Any]] = [fault for each in lines(ran.out) for fault in each["faults"]]
    rules = {Path(each["path"]).stem: each["rule"] for each in faults}
    assert len(rules) == len(faults)
    return {name: rules.get(name, "") for name in MODULES}


PLAIN = ("one", "both", "half", "flah", "end")
TRUST = (
    "one", "two", "one two", "one -two", "two -one", "middle", "one -middle", "end", "end -one",
    "end -middle", "-one", "one -end",
)  # fmt: skip


@pytest.mark.parametrize("trust", TRUST)
def test_records_say_the_same_as_files_or_that_they_do_not_say_it(trust: str, made: Path) -> None:
    files = found(made, trust, made / "tree")
    for form, sure in (("jsonl", PLAIN), ("parquet", ("one", "end"))):
        records = found(made, trust, "--from", made / form)
        assert {name: records[name] for name in sure} == {name: files[name] for name in sure}, form
        assert all(records[name] in (files[name], "not-checked") for name in MODULES), form


@pytest.mark.parametrize(
    ("trust", "wanted"),
    [
        ("one", {"both": "", "half": "", "flah": "invalid", "leaf": "other-key", "chain": ""}),
        ("one two", {"both": "", "half": "invalid", "flah": "invalid"}),
        ("one -two", {"one": "", "both": "revoked-signer", "half": ""}),
        ("two -one", {"both": "revoked-signer", "half": "invalid", "flah": ""}),
        ("one -middle", {"one": "", "chain": "other-key"}),
        ("end -one", {"end": "", "leaf": "", "chain": "other-key"}),
    ],
)
def test_who_decides(trust: str, wanted: dict[str, str], made: Path) -> None:
    files = found(made, trust, made / "tree")
    assert {name: files[name] for name in wanted} == wanted


def test_a_revoked_signer_beside_a_trusted_one(made: Path) -> None:
    """verify goes by the trusted one, and names the other; audit does not pass; kernels of today refuse."""
    path, keys = made / "tree" / "both.ko", made / "keys"
    trust = ("--trust", keys / "one.der", "--trust", f"revoked:{keys / 'two.der'}")
    verified = run("verify", path, *trust)
    assert verified.code == 0 and "another signer of the same signature: untrusted" in verified.out
    audited = run("audit", path, *trust, "--ignore=stripped")
    assert audited.code == 1 and "revoked-signer: 1 module" in audited.out
    assert run("audit", path, *trust, "--ignore=stripped", "--ignore=revoked-signer").code == 0
    assert "EKEYREJECTED" in run("verify", path, *trust, "--kernel=6.12").out


@pytest.mark.parametrize("word", ["unsigned", "malformed", "invalid"])
def test_a_record_that_contradicts_itself_does_not_pass(word: str, made: Path, tmp_path: Path) -> None:
    """The verdict on the file counts, also where the signature in the record says something else."""
    record = next(each for each in lines((made / "jsonl").read_text()) if each["path"].endswith("one.ko"))
    changed = tmp_path / "changed.jsonl"
    changed.write_text(json.dumps(record | {"verdict": word}) + "\n")
    assert found(made, "one", "--from", changed)["one"] == word


def test_a_required_signature_has_to_be_valid_by_all_its_signers(made: Path, tmp_path: Path) -> None:
    """Also in a layer that does not decide the verdict."""
    stacked = tmp_path / "stacked.ko"
    words = ("--key", corpus.KEYS / "signer.key.pem", "--cert", corpus.KEYS / "signer.cert.pem")
    assert run("sign", *words, "--format=x509", "--stack", made / "tree" / "half.ko", "-o", stacked).code == 0
    trust = ("--trust", corpus.KEYS / "signer.cert.pem", "--trust", made / "keys" / "one.der")
    assert run("verify", stacked, *trust, "--require=pkcs7").code == 0
    spoilt = run("verify", stacked, *trust, "--trust", made / "keys" / "two.der", "--require=pkcs7")
    assert spoilt.code == 1 and "no valid pkcs7 signature, which is required" in spoilt.out
