"""audit: each fault in a tree is found, named, grouped, and told to people and to CI systems."""

from __future__ import annotations

import gzip
import hashlib
import json
import lzma
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import zstandard

import corpus
import elfsig
from elfsig.compression import whole as compression
from elfsig.compression.whole import Compression
from elfsig.kernels import unpacking
from elfsig.verbs.audit.rules import BY_VERDICT, RULES
from tests.support.cli import Ran
from tests.support.cli import elfsig as command
from tests.support.debian import debian_kernel, debian_vmlinuz
from tests.support.run import run
from tests.support.schema import parsed
from tests.support.tools import need

KEY, CERT = corpus.KEYS / "signer.key.pem", corpus.KEYS / "signer.cert.pem"
GOOD, PLAIN = corpus.content("amd64.pkcs7"), corpus.content("amd64-6.1.ko")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Three good modules."""
    root = tmp_path / "tree" / "kernel"
    root.mkdir(parents=True)
    for name in ("a", "b", "c"):
        (root / f"{name}.ko").write_bytes(GOOD)
    return root


def audit(*words: str | Path) -> Ran:
    # The samples all call themselves "sample", whatever their files are called here.
    return run("audit", *words, "--trust", CERT, "--ignore", "misnamed")


def faults(*words: str | Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = parsed(audit(*words, "--json").out)["audit"]["faults"]
    return found


def rules(*words: str | Path) -> set[str]:
    return {each["rule"] for each in faults(*words)}


# --------------------------------------------------------------------------- every rule


def test_a_good_tree_passes(tree: Path) -> None:
    ran = audit(tree)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.endswith("passed: 3 modules\n")
    row = ran.out.splitlines()[1].split()
    assert row[:5] == ["3", "valid", "pkcs7", "rsa-2048", "sha256"]


SAMPLES = {
    "unsigned": "amd64-6.1.ko",
    "malformed": "sig-len-zero",
    "invalid": "content-changed",
    "other-key": "amd64.pkcs7-other",
    "unsupported": "x509-dsa",
    "stacked": "amd64.stacked",
    "weak-hash": "i386.pkcs7-sha1",
}


@pytest.mark.parametrize(("rule", "sample"), SAMPLES.items())
def test_one_bad_module_is_found(rule: str, sample: str, tree: Path) -> None:
    (tree / "bad.ko").write_bytes(corpus.content(sample))
    ran = audit(tree)
    assert ran.code == 1
    assert f"{rule}: 1 module" in ran.out and f"{tree}/bad.ko: " in ran.out
    assert "FAILED: " in ran.out and "of 4 modules" in ran.out
    found = faults(tree)
    assert rule in {each["rule"] for each in found}
    assert {each["path"] for each in found} == {f"{tree}/bad.ko"}
    assert audit(tree, *(f"--ignore={each['rule']}" for each in found)).code == 0


def test_every_verdict_but_valid_breaks_a_rule() -> None:
    assert set(BY_VERDICT.values()) <= set(RULES)
    assert len(BY_VERDICT) == 8


def test_strip_is_told_of(tree: Path) -> None:
    subprocess.run([need("strip"), "--strip-debug", tree / "b.ko"], check=True)
    (fault,) = faults(tree)
    assert fault["rule"] == "unsigned" and "2 others here have one" in fault["text"]
    subprocess.run([need("strip"), "--strip-all", tree / "b.ko"], check=True)
    assert rules(tree) == {"unsigned", "stripped"}


def test_hash_and_format_as_asked(tree: Path) -> None:
    assert audit(tree, "--hash", "SHA256", "--format", "cms").code == 0
    assert rules(tree, "--hash", "sha512") == {"other-hash"}
    assert rules(tree, "--hash", "sha512", "--hash", "sha256") == set()
    assert rules(tree, "--format", "x509") == {"other-format"}


def test_a_kernel_that_refuses(tree: Path) -> None:
    assert audit(tree, "--kernel", "6.1").code == 0
    (tree / "old.ko").write_bytes(corpus.content("el7.x509"))
    ran = audit(tree, "--kernel", "6.1", "--loaded", proc_modules(tree, "a", "old"))
    assert ran.code == 3 and "old.ko: " in ran.out and ": EKEYREJECTED: " in ran.out
    assert "1 of 2 modules in use would be refused" in ran.out


# --------------------------------------------------------------------------- compression


def packed(data: bytes, kind: str, **how: Any) -> bytes:
    makers: dict[str, Callable[..., bytes]] = {
        "gz": gzip.compress,
        "xz": lzma.compress,
        "zst": lambda data: zstandard.ZstdCompressor(**how).compress(data),
    }
    return makers[kind](data, **({} if kind == "zst" else how))


DELTA = [{"id": lzma.FILTER_DELTA, "dist": 1}, {"id": lzma.FILTER_LZMA2}]
X86 = [{"id": lzma.FILTER_X86}, {"id": lzma.FILTER_LZMA2}]
MEMBER = packed(GOOD, "gz")
STREAMS = [
    ("xz", packed(GOOD, "xz", check=lzma.CHECK_CRC32), None),
    ("xz", packed(GOOD, "xz", check=lzma.CHECK_NONE), None),
    ("xz", packed(GOOD, "xz", check=lzma.CHECK_CRC32, filters=X86), None),
    ("xz", packed(GOOD, "xz"), "CRC64"),
    ("xz", packed(GOOD, "xz", check=lzma.CHECK_SHA256), "SHA-256"),
    ("xz", packed(GOOD, "xz", check=lzma.CHECK_CRC32, filters=DELTA), "filter 0x3"),
    ("xz", packed(GOOD[:99], "xz", check=1) + packed(GOOD[99:], "xz", check=1),
     "several xz streams"),
    ("gz", packed(GOOD, "gz"), None),
    ("gz", packed(GOOD[:99], "gz") + packed(GOOD[99:], "gz"), "several gzip members"),
    ("gz", MEMBER[:3] + b"\x04" + MEMBER[4:10] + b"\x02\0ab" + MEMBER[10:], "its header"),
    ("gz", MEMBER[:3] + b"\x08" + MEMBER[4:10] + b"a.ko\0" + MEMBER[10:], None),
    ("zst", packed(GOOD, "zst"), None),
    ("zst", packed(GOOD[:99], "zst") + packed(GOOD[99:], "zst"), "several zstd frames"),
]  # fmt: skip


@pytest.mark.parametrize(("suffix", "data", "why"), STREAMS)
def test_compression_that_kernels_cannot_read(suffix: str, data: bytes, why: str | None, tree: Path) -> None:
    (tree / f"packed.ko.{suffix}").write_bytes(data)
    found = faults(tree)
    if why is None:
        assert not found
    else:
        (fault,) = found
        assert fault["rule"] == "compression" and why in fault["text"]


@pytest.mark.parametrize("kind", ["gzip", "xz", "zstd"])
def test_what_elfsig_packs_is_readable(kind: Compression) -> None:
    assert unpacking.fault(compression.pack(GOOD, kind), kind) is None


@pytest.mark.parametrize(
    "tool", [("gzip", "-n"), ("xz", "--check=crc32", "--lzma2=dict=1MiB"), ("zstd", "-q")]
)
def test_what_the_kernel_s_build_packs_is_readable(tool: tuple[str, ...]) -> None:
    done = subprocess.run([need(tool[0]), *tool[1:], "-c"], input=GOOD, capture_output=True, check=True)
    assert unpacking.fault(done.stdout, compression.detect(done.stdout)) is None


# --------------------------------------------------------------------------- security.ima


def set_ima(path: Path, value: bytes) -> None:
    try:
        os.setxattr(path, "security.ima", value)
    except OSError as reason:
        pytest.skip(f"opt-in: security.ima cannot be set here ({reason.strerror})")


@pytest.mark.parametrize(
    ("prefix", "hash_"), [(b"\x01", "sha1"), (b"\x04\x04", "sha256"), (b"\x04\x06", "sha512")]
)
def test_a_stale_ima_hash(prefix: bytes, hash_: str, tree: Path) -> None:
    path = tree / "a.ko"
    set_ima(path, prefix + hashlib.new(hash_, path.read_bytes()).digest())
    assert rules(tree) == set()
    path.write_bytes(corpus.content("amd64.pkcs7-keyid"))
    (fault,) = faults(tree)
    assert fault["rule"] == "stale-ima" and f"its {hash_} hash is of other content" in fault["text"]


def test_a_stale_ima_signature_of_evmctl(tree: Path) -> None:
    path = tree / "a.ko"
    set_ima(path, b"\x01" + bytes(20))
    sign = [need("evmctl"), "ima_sign", "--hashalgo", "sha256", "--key", str(KEY), str(path)]
    subprocess.run(sign, check=True, capture_output=True)
    assert os.getxattr(path, "security.ima")[0] == 3
    assert rules(tree) == set()
    path.write_bytes(corpus.content("amd64.pkcs7-keyid"))
    assert rules(tree) == {"stale-ima"}


# --------------------------------------------------------------------------- what has to be there


def test_expect(tree: Path, tmp_path: Path) -> None:
    order = tmp_path / "modules.order"
    order.write_text("kernel/a.ko\nkernel/b.ko\nkernel/c.ko\n")
    assert audit(tree, "--expect", order).code == audit(tree, "--expect", "3").code == 0
    (tree / "b.ko").rename(tree / "b.ko.old")
    (fault,) = faults(tree, "--expect", order)
    assert (fault["rule"], fault["path"]) == ("missing", "kernel/b.ko")
    (fault,) = faults(tree, "--expect", "3")
    assert fault["text"] == "2 modules, 3 expected"
    order.write_text("kernel/a.o\nkernel/c.o\n")
    (tree / "c.ko").rename(tree / "c.ko.xz")
    assert audit(tree, "--expect", order).code == 0
    for wrong in ("", "a list\nof things\n", '{"edits": 5}'):
        order.write_text(wrong)
        ran = audit(tree, "--expect", order)
        assert ran.code == 2 and "a JSON output of elfsig" in ran.err and "'int'" not in ran.err


def test_expect_what_was_signed(tree: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    run("sign", "--format=pkcs7", f"--key={KEY}", f"--cert={CERT}", "--in-place", tree, "--report", report)
    assert audit(tree, "--expect", report).code == 0
    subprocess.run([need("strip"), "--strip-debug", tree / "b.ko"], check=True)
    (tree / "c.ko").unlink()
    assert rules(tree, "--expect", report) == {"unsigned", "stripped", "missing"}
    subprocess.run([need("strip"), "--strip-all", tree / "b.ko"], check=True)
    said = audit(tree, "--expect", report).out
    assert "\nstripped: 1 module, " in said and said.count(f"{tree}/b.ko: ") == 3
    report.write_text("{}")
    assert audit(tree, "--expect", report).code == 2


def test_expect_debian_s_own_list(tmp_path: Path) -> None:
    """A kernel package is complete by its own modules.order, and signed by the key in its image."""
    kernel = debian_kernel("amd64")
    order = next(kernel.path.glob("**/modules.order"))
    folder = order.parent / "kernel" / "crypto"
    wanted = tmp_path / "modules.order"
    names = [line for line in order.read_text().splitlines() if line.startswith("kernel/crypto/")]
    wanted.write_text("\n".join(names) + "\n")
    assert len(names) > 30
    ran = run("audit", folder, "--trust", debian_vmlinuz("amd64"), "--expect", wanted, "--hash", "sha256")
    assert ran.code == 0, ran.out


def proc_modules(tree: Path, *names: str, taints: str = "") -> Path:
    path = tree.parent / "proc-modules"
    tail = f" ({taints})" if taints else ""
    path.write_text("".join(f"{name} 16384 0 - Live 0x0000000000000000{tail}\n" for name in names))
    return path


def test_loaded(tree: Path) -> None:
    (tree / "snd-pcm.ko").write_bytes(PLAIN)
    (tree / "idle.ko").write_bytes(PLAIN)
    ran = audit(tree, "--loaded", proc_modules(tree, "a", "snd_pcm"))
    assert ran.code == 1 and "idle.ko" not in ran.out
    assert ran.out.endswith("1 of 2 modules in use would be refused if signatures were enforced\n")
    assert rules(tree, "--loaded", proc_modules(tree, "a", "gone")) == {"missing"}
    ended = audit(tree, "--loaded", proc_modules(tree, "a", "gone", "snd_pcm", taints="OE")).out.splitlines()
    assert ended[-2:] == [
        "FAILED: 5 faults in 2 of 2 modules; expected modules are missing",
        "1 of 3 modules in use would be refused if signatures were enforced; "
        "unknown for 1, whose files are missing or unreadable",
    ]
    (fault,) = faults(tree, "--loaded", proc_modules(tree, "a", taints="OE"))
    assert fault["rule"] == "tainted" and fault["path"] == f"{tree}/a.ko"
    assert audit(tree, "--loaded", tree / "a.ko").code == 2
    assert audit(tree, "--loaded", proc_modules(tree)).code == 5


# --------------------------------------------------------------------------- for CI systems


@pytest.fixture
def bad_tree(tree: Path) -> Path:
    for rule, sample in SAMPLES.items():
        (tree / f"{rule}.ko").write_bytes(corpus.content(sample))
    return tree


def test_json_is_the_same_as_the_text(bad_tree: Path) -> None:
    document = parsed(audit(bad_tree, "--json", "--reproducible").out)["audit"]
    text = audit(bad_tree, "--details").out
    assert document["files"] == 10 and not document["passed"]
    assert sum(row["files"] for row in document["signers"]) == 10
    for fault in document["faults"]:
        assert f"  {fault['path']}: {fault['text']}" in text
    assert set(SAMPLES) <= {fault["rule"] for fault in document["faults"]}


def test_junit(bad_tree: Path, tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    (bad_tree / "name with \x01 & <>.ko").write_bytes(PLAIN)
    assert audit(bad_tree, "--junit", path).code == 1
    suites = ElementTree.parse(path).getroot()
    (suite,) = suites
    cases = list(suite)
    assert suites.tag == "testsuites" and suite.get("tests") == str(len(cases)) == "11"
    failed = {case.get("name"): case[0] for case in cases if len(case)}
    assert suite.get("failures") == str(len(failed)) == "8"
    assert failed["unsigned.ko"].get("type") == "unsigned"
    assert "stacked: 2 signatures" in (failed["stacked.ko"].text or "")
    assert "name with \\x01 & <>.ko" in failed


def test_sarif(bad_tree: Path, tmp_path: Path) -> None:
    path = tmp_path / "audit.sarif"
    (bad_tree / "a b%.ko").write_bytes(PLAIN)
    assert audit(bad_tree, "--sarif", path).code == 1
    log = json.loads(path.read_text())
    (found,) = log["runs"]
    assert log["version"] == "2.1.0" and found["tool"]["driver"]["name"] == "elfsig"
    names = [rule["id"] for rule in found["tool"]["driver"]["rules"]]
    assert len(names) == len(set(names)) and set(SAMPLES) <= set(names)
    for result in found["results"]:
        assert names[result["ruleIndex"]] == result["ruleId"] and result["message"]["text"]
        (location,) = result["locations"]
        assert location["physicalLocation"]["artifactLocation"]["uri"].startswith("file:///")
    uris = {r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for r in found["results"]}
    assert any(uri.endswith("/a%20b%25.ko") for uri in uris)


def test_what_cannot_be_read_is_a_fault_of_its_own(tree: Path) -> None:
    (tree / "cut.ko.xz").write_bytes(lzma.compress(GOOD)[:500])
    ran = audit(tree)
    assert ran.code == 5 and "unreadable: 1 module" in ran.out
    assert audit(tree / "nonesuch").code == 5


def test_nothing_passes_because_it_could_not_be_read(tree: Path) -> None:
    """Neither can that be ignored."""
    ran = run("audit", tree / "nonesuch", "--trust", CERT, "--ignore", "unreadable")
    assert ran.code == 2 and "'unreadable' is not one of" in ran.err
    with pytest.raises(elfsig.UsageError, match="unknown rule 'unreadable'"):
        elfsig.audit([tree], [str(CERT)], ignore=["unreadable"])


SIGNED_ALL_THE_SAME = {
    "text.ko": (b"hello\n", "not a module: text"),
    "cut.ko": (PLAIN[:2000], "damaged ELF file: section header table"),
    "exec.ko": (PLAIN[:16] + b"\2" + PLAIN[17:], "not a module: an ELF file of type EXEC"),
}


@pytest.mark.parametrize("name", SIGNED_ALL_THE_SAME)
@pytest.mark.parametrize("packed", [False, True])
def test_a_valid_signature_makes_no_module(name: str, packed: bool, tree: Path, tmp_path: Path) -> None:
    content, why = SIGNED_ALL_THE_SAME[name]
    path = tree / name
    path.write_bytes(content)
    run("sign", "--format", "pkcs7", "--key", KEY, "--cert", CERT, "--in-place", path)
    if packed:
        path.with_name(f"{name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert run("verify", next(tree.glob(f"{name}*")), "--trust", CERT).code == 0
    (fault,) = faults(tree)
    assert fault["rule"] == "malformed" and fault["text"].startswith(why)
    assert not elfsig.audit([tree], [str(CERT)], ignore=["misnamed"]).passed
    policy = tmp_path / "policy.toml"
    policy.write_text(f'[[rule]]\npath = "**"\ntrust = ["{CERT}"]\nignore = ["misnamed"]\n')
    ran = run("audit", tree, "--policy", policy)
    assert ran.code == 1 and "malformed: 1 module" in ran.out
    records = run("survey", tree, "--trust", CERT, "--jsonl").out
    (tmp_path / "records.jsonl").write_text(records)
    ran = run("audit", "--from", tmp_path / "records.jsonl", "--policy", policy)
    assert ran.code == 1 and "malformed: 1 module" in ran.out


def test_what_is_named_twice_is_counted_once(tree: Path) -> None:
    """And so is what lies in a directory that is named as well."""
    again = (tree, tree, tree.parent, tree / "a.ko", tree / ".." / "kernel")
    assert "passed: 3 modules" in audit(*again).out
    assert audit(*again, "--expect", "4").code == 1
    assert run("list", *again).err.endswith("3 files: 3 signed\n")
    how = ("--format", "pkcs7", "--key", KEY, "--cert", CERT)
    once = run("sign", "--stack", *how, "--in-place", tree / "a.ko", tree / "a.ko")
    assert once.code == 0 and (tree / "a.ko").read_bytes().count(b"~Module signature appended~") == 2


def test_links_and_damage_are_counted_rightly(tree: Path) -> None:
    for number in range(3):
        (tree / f"other{number}.ko").symlink_to("a.ko")
    assert "FAILED: 6 faults in 3 of 3 modules" in run("audit", tree, "--trust", CERT).out
    for path in tree.glob("*.ko"):
        path.unlink()
    (tree / "a.ko").write_bytes(b"")
    (tree / "b.ko").write_bytes(b"")
    assert "malformed: all 2 modules: the file is empty" in audit(tree).out


def test_a_hash_that_there_is_not_is_wrong_usage(tree: Path) -> None:
    for words in (("audit", tree, "--trust", CERT), ("dkms", "resign", "--root", tree)):
        ran = run(*words, "--hash", "md17")
        assert ran.code == 2 and "unknown hash 'md17'" in ran.err


def test_an_audit_needs_somebody_to_vouch_for(tree: Path) -> None:
    ran = run("audit", tree)
    assert ran.code == 2 and "--trust" in ran.err


@pytest.mark.parametrize("option", ["--junit", "--sarif"])
def test_what_cannot_be_written_is_named(option: str, tree: Path) -> None:
    ran = audit(tree, option, tree / "gone" / "x")
    assert (ran.code, ran.err) == (2, f"elfsig: {option} {tree}/gone/x: there is no such directory\n")


def test_names_of_any_bytes(tree: Path, tmp_path: Path) -> None:
    odd = os.fsdecode(os.fsencode(tree) + b"/\xff\x1b[2J.ko")
    Path(odd).write_bytes(PLAIN)
    files = ("--junit", tmp_path / "j", "--sarif", tmp_path / "s")
    ran = command("audit", tree, "--trust", CERT, "--ignore", "misnamed", *files)
    assert ran.code == 1 and "\\xff\\x1b[2J.ko" in ran.out and "\x1b" not in ran.out
    words = ("--trust", CERT, "--ignore", "misnamed", "--json")
    (fault,) = parsed(command("audit", tree, *words).out)["audit"]["faults"]
    assert bytes.fromhex(fault["path_hex"]) == os.fsencode(odd)
    assert "%FF%1B%5B2J.ko" in (tmp_path / "s").read_text()
    ElementTree.parse(tmp_path / "j")


@pytest.mark.parametrize("data", [b'{"edits":' * 200_000, b"[" * 500_000, b"{" + b"9" * 1_000_000])
def test_expect_of_hostile_files(tree: Path, tmp_path: Path, data: bytes) -> None:
    """Deep nesting was a RecursionError; a line without end was shown whole."""
    report = tmp_path / "report.json"
    report.write_bytes(data)
    ran = audit(tree, "--expect", report)
    assert ran.code == 2 and "internal error" not in ran.err and len(ran.err) < 2000
    assert audit(tree, "--expect", "9" * 5000).code == 5  # the name of a file that is too long


# --------------------------------------------------------------------------- what can be read


def test_like_faults_are_one_line(tree: Path) -> None:
    for path in tree.glob("*.ko"):
        path.write_bytes(corpus.content("i386.pkcs7-sha1"))
    for number in range(60):
        (tree / f"m{number:02}.ko").write_bytes(corpus.content("i386.pkcs7-sha1"))
    ran = audit(tree)
    said = ran.out.splitlines()
    assert said[0] == "weak-hash: all 63 signed modules use SHA-1"
    assert said[1] == f"  {tree}/a.ko, {tree}/b.ko, {tree}/c.ko and 60 more"
    assert len(said) < 12 and "--details lists every module." in said
    assert ran.out.endswith("FAILED: 63 faults in 63 of 63 modules\n")
    (tree / "z.ko").write_bytes(PLAIN)
    mixed = audit(tree).out
    assert "weak-hash: all 63 signed modules use SHA-1" in mixed and "unsigned: 1 module, " in mixed
    (tree / "z.ko").write_bytes(GOOD)
    assert "weak-hash: 63 of 64 modules use SHA-1" in audit(tree).out
    details = audit(tree, "--details").out
    assert all(f"  {tree}/m{number:02}.ko: SHA-1: " in details for number in range(60))


def test_json_has_the_folds_too(tree: Path) -> None:
    for path in tree.glob("*.ko"):
        path.write_bytes(corpus.content("i386.pkcs7-sha1"))
    document = parsed(audit(tree, "--json").out)
    (rule,) = document["audit"]["rules"]
    assert (rule["rule"], rule["modules"], rule["others"]) == ("weak-hash", 3, 0)
    assert [(each["text"], each["modules"]) for each in rule["groups"]] == [("use SHA-1", 3)]
    assert [each["sha256"] for each in document["files"]] == [
        hashlib.sha256((tree / name).read_bytes()).hexdigest() for name in ("a.ko", "b.ko", "c.ko")
    ]


def test_faults_without_end_are_cut_and_counted(tree: Path) -> None:
    """Every module says something else: a hostile tree cannot fill the screen."""
    for number in range(150):
        content = bytearray(corpus.content("amd64.pkcs7"))
        content[100] ^= number + 1
        (tree / f"m{number:03}.ko").write_bytes(content)
    said = audit(tree).out
    assert "invalid: 150 modules" in said and "further faults" in said and len(said.splitlines()) < 40
    assert len(audit(tree, "--details").out.splitlines()) > 150


def test_an_examiner_is_never_told_to_sign(tree: Path) -> None:
    for rule in RULES.values():
        assert "sign again" not in f"{rule.title} {rule.help}".lower()
        assert "sign it" not in f"{rule.title} {rule.help}".lower()
