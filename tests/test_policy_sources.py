"""One policy, the same findings: on a tree, on an archive of it, and on the records of a survey."""

from __future__ import annotations

import gzip
import itertools
import json
import random
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

import elfsig
from corpus.recipes import trailer
from elfsig.verbs.audit import ima_xattr
from tests.support import cms as craft
from tests.support.cms import Identity, identity, issued, private
from tests.support.fleet import kernel, module, signing
from tests.support.run import run
from tests.support.schema import lines
from tests.support.tools import need

pytest.importorskip("pyarrow")

Json = dict[str, Any]
RELEASE = "6.1.0-28-amd64"
FORMS = ("jsonl", "json", "parquet")
Findings = set[tuple[str, str]]


def _cms(
    name: str, who: Identity, *more: bytes, hash_name: str = "sha256", attributed: bool = False
) -> bytes:
    content = module(name)
    attrs = craft.attributes(content, hash_name) if attributed else None
    blob = craft.cms(craft.signer_info(who, content, hash_name, attrs=attrs), certificates=more)
    return content + trailer(blob, id_type=2)


def _modules(scratch: Path) -> dict[str, bytes]:
    """A module of each kind that a rule of audit is about, by its path below the directory of modules."""
    own, other, foreign = signing("Build key"), signing("Other key"), signing("Foreign key")
    curve, small = signing("Curve key", "ec"), identity("rsa1024")
    root = identity("rsa", 7)
    leaf = issued(private("rsa", 9), "leaf", root, serial=6, ca=False)
    stripped = scratch / "stripped.ko"
    stripped.write_bytes(module("strip"))
    subprocess.run([need("strip"), "--strip-all", stripped], check=True)
    sha1 = elfsig.SignOptions(hash="sha1")
    changed = bytearray(own.sign(module("chang")))
    changed[0x180] ^= 1
    packed = subprocess.run(
        [need("xz"), "-c"], input=own.sign(module("crc")), stdout=subprocess.PIPE, check=True
    )
    return {
        "kernel/good.ko": own.sign(module("good")),
        "kernel/gz.ko.gz": gzip.compress(own.sign(module("gz")), mtime=0),
        "kernel/crc.ko.xz": packed.stdout,  # kernels do not read its CRC64
        "kernel/old.ko": own.sign(module("old"), options=sha1),
        "kernel/long.ko": own.sign(module("long"), options=elfsig.SignOptions(hash="sha512")),
        "kernel/other.ko": other.sign(module("other")),
        "kernel/curve.ko": curve.sign(module("curve")),
        "kernel/forgn.ko": foreign.sign(module("forgn")),
        "kernel/small.ko": _cms("small", small),
        "kernel/leaf.ko": _cms("leaf", leaf, leaf.certificate),
        "kernel/attrs.ko": _cms("attrs", identity("rsa", 7), attributed=True),
        "kernel/plain.ko": module("plain"),
        "kernel/strip.ko": own.sign(stripped.read_bytes()),
        "kernel/twice.ko": own.sign(own.sign(module("twice")), existing=elfsig.Existing.STACK),
        "kernel/named.ko": own.sign(module("less")),
        "kernel/chang.ko": bytes(changed),
        "kernel/cut.ko": own.sign(module("cut"))[:-9],
        "kernel/bad.ko.gz": gzip.compress(own.sign(module("bad")))[:-20],
        "updates/dkms/good.ko": other.sign(module("good")),
        "extra/none.ko": module("none"),
    }


class Everything:
    """The same modules as a directory with and without lib/modules, as an archive, and as records of both."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tree, self.flat = folder / "tree/lib/modules" / RELEASE, folder / "flat"
        self.archive = folder / "tree.tar"
        modules = _modules(folder)
        for top in (self.tree, self.flat):
            for below, content in modules.items():
                (top / below).parent.mkdir(parents=True, exist_ok=True)
                (top / below).write_bytes(content)
        boot = folder / "tree/boot" / f"vmlinuz-{RELEASE}"
        boot.parent.mkdir()
        boot.write_bytes(kernel(RELEASE, signing("Build key")))
        with tarfile.open(self.archive, "w") as tar:
            tar.add(folder / "tree", ".")
        self._keys()
        for source in (folder / "tree", self.flat, self.archive):
            self._survey(source)

    def _keys(self) -> None:
        der = {each: signing(f"{each} key").certificate for each in ("Build", "Other", "Foreign")}
        der |= {"Curve": signing("Curve key", "ec").certificate}
        der |= {f"i{n}": i.certificate for n, i in enumerate((identity("rsa1024"), identity("rsa", 7)))}
        (self.folder / "keys").mkdir()
        for name, data in der.items():
            (self.folder / "keys" / f"{name}.der").write_bytes(data)

    def _survey(self, source: Path) -> None:
        words = ("survey", "--no-cage", source, "--keys", self.folder / "keys")
        for form in ("jsonl", "json"):
            (self.folder / f"{source.name}.{form}").write_text(run(*words, f"--{form}").out)
        run(*words, "--parquet", self.folder / f"{source.name}.parquet")


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Everything:
    return Everything(tmp_path_factory.mktemp("everything"))


PARTS = (
    'formats = "pkcs7"',
    'hashes = ["sha256"]',
    'hashes = ["sha512", "sha1"]',
    "min-key-bits = { rsa = 2048 }",
    "min-key-bits = { rsa = 3072, ecdsa = 384 }",
    'signer = "Build key"',
    'signer = { name = "*leaf*" }',
    'signer = { name = "CN=Other key" }',
    'signer = { serial = "BUILD" }',
    'signer = { fingerprint = "SHA1" }',
    'signer = { fingerprint = "SHA256" }',
    'ignore = ["stripped", "compression", "misnamed"]',
    'ignore = ["other-key", "unsigned"]',
    'ignore = ["stacked", "weak-hash", "small-key"]',
)
TRUST = (
    'trust = "keys/Build.der"', 'trust = ["keys/Build.der", "keys/Other.der"]', 'trust = "keys/i1.der"',
    'trust = "keys"', 'trust = ["keys/i0.der", "keys/Curve.der"]', 'trust = "{kernel}"',
)  # fmt: skip
PATHS = ("**", "kernel/**", "kernel/*", "**/dkms/**", "good", "g*", "updates/**")


COUNT = 24


def _rule(path: str, trust: str, *parts: str) -> str:
    """``keys``: the policy knows the keys that the survey knew."""
    return "\n".join(["[[rule]]", f"path = '{path}'", trust, 'keys = "keys"', *parts, ""])


def _policies(count: int) -> list[str]:
    """Policies of one to three rules with some demands each: the same in every run."""
    chosen = random.Random(16)
    made = [_rule("**", trust, part) for trust, part in zip(itertools.cycle(TRUST), PARTS, strict=False)]
    while len(made) < count:
        rules = []
        for path in [*chosen.sample(PATHS[1:], chosen.randrange(3)), "**"]:
            parts = {each.partition(" ")[0]: each for each in chosen.sample(PARTS, 3)}
            rules.append(_rule(path, chosen.choice(TRUST), *parts.values()))
        made.append("".join(rules))
    return made


def _filled(text: str) -> str:
    key = elfsig.list_keys(signing("Build key").certificate)[0].to_json()["certificate"]
    return text.replace("BUILD", key["serial"]).replace("SHA1", key["sha1"]).replace("SHA256", key["sha256"])


def _found(*words: str | Path) -> list[Json]:
    ran = run("audit", *words, "--jsonl", "-j", "1")
    assert ran.code in (0, 1, 4, 5), ran.err
    return [fault for each in lines(ran.out) for fault in each["faults"]]


def _below(faults: list[Json]) -> Findings:
    """The rules that are broken, with the path of the module below kernel, updates and extra."""
    tops = ("/kernel/", "/updates/", "/extra/")
    return {
        (path[max(path.rfind(top) for top in tops) :], each["rule"])
        for each in faults
        for path in [each["path"]]
    }


@pytest.mark.parametrize("number", range(COUNT))
def test_one_policy_finds_the_same_everywhere(number: int, everything: Everything) -> None:
    made = everything
    policy = made.folder / f"policy{number}.toml"
    policy.write_text(_filled(_policies(COUNT)[number]))
    wanted = _below(_found(made.tree, "--policy", policy))
    assert _below(_found(made.archive, "--policy", policy)) == wanted
    for source in ("tree", "tree.tar"):
        records = [_found("--from", made.folder / f"{source}.{form}", "--policy", policy) for form in FORMS]
        assert _below(records[0]) == wanted, source
        assert records[1] == records[2] == records[0], source
    if "{kernel}" not in policy.read_text():
        assert _below(_found(made.flat, "--policy", policy)) == wanted
        flat = [_found("--from", made.folder / f"flat.{form}", "--policy", policy) for form in FORMS]
        assert _below(flat[0]) == wanted and flat[1] == flat[2] == flat[0]


def test_these_policies_find_every_kind(everything: Everything) -> None:
    found: set[str] = set()
    for number, text in enumerate(_policies(COUNT)):
        policy = everything.folder / f"all{number}.toml"
        policy.write_text(_filled(text))
        found |= {
            each["rule"] for each in _found("--from", everything.folder / "tree.parquet", "--policy", policy)
        }
    assert found >= {
        "unsigned", "stripped", "malformed", "invalid", "other-key", "stacked", "other-hash", "weak-hash",
        "small-key", "no-kernel-accepts-it", "misnamed", "compression", "required-signer",
        "key-size", "unreadable",
    }  # fmt: skip


def test_what_a_signature_says_of_its_signer_does_not_count_in_a_record(everything: Everything) -> None:
    """A CMS names the issuer of its certificate: the demand is for the signer."""
    policy = everything.folder / "issuer.toml"
    issuer = elfsig.list_keys(identity("rsa", 7).certificate)[0].label
    policy.write_text(f"[[rule]]\npath = 'leaf'\ntrust = 'keys/i1.der'\nsigner = '{issuer}'\n")
    for form in FORMS:
        faults = _found("--from", everything.folder / f"tree.{form}", "--policy", policy)
        assert ("/kernel/leaf.ko", "required-signer") in _below(faults)


def test_a_table_without_a_column_is_a_usage_error(everything: Everything, tmp_path: Path) -> None:
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(everything.folder / "tree.parquet")
    policy = everything.folder / "p.toml"
    policy.write_text("[[rule]]\npath = '**'\ntrust = 'keys'\n")
    for name in ("unloadable", "warning_texts", "stack", "name", "notes", "key_subject"):
        pyarrow.parquet.write_table(table.drop_columns([name]), tmp_path / "t.parquet")
        expect: list[str | Path] = [
            everything.tree,
            "--trust",
            policy.parent / "keys",
            "--expect",
            tmp_path / "t.parquet",
        ]
        for words in (["--from", tmp_path / "t.parquet", "--policy", policy], expect):
            ran = run("audit", *words)
            assert (ran.code, ran.out) == (2, "") and f"no column {name}" in ran.err


def test_an_attribute_of_ima_is_in_the_records(
    everything: Everything, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it fits is not known from a record: not a pass."""
    monkeypatch.setattr(ima_xattr, "value_of", lambda path: b"\x04\x04" + bytes(32))
    policy = everything.folder / "ima.toml"
    policy.write_text("[[rule]]\npath = 'good'\ntrust = 'keys'\n[[rule]]\npath = '**'\ntrust = 'keys'\n")
    good = everything.flat / "kernel/good.ko"
    assert _below(_found(good, "--policy", policy)) == {("/kernel/good.ko", "stale-ima")}
    words = ("survey", "--no-cage", good, "--keys", everything.folder / "keys")
    (tmp_path / "s.jsonl").write_text(run(*words, "--jsonl").out)
    run(*words, "--parquet", tmp_path / "s.parquet")
    for form in ("jsonl", "parquet"):
        faults = _found("--from", tmp_path / f"s.{form}", "--policy", policy)
        assert [each["rule"] for each in faults] == ["not-checked"] and "security.ima" in faults[0]["text"]
    assert json.loads((tmp_path / "s.jsonl").read_text())["notes"] == {"security.ima": "0404" + "00" * 32}
