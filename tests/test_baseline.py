"""audit --expect with every JSON output of elfsig: what is missing, new, changed, moved, signed anew."""

from __future__ import annotations

import json
import lzma
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import corpus
from elfsig.errors import UsageError
from elfsig.verbs.audit.baseline import read_baseline
from elfsig.verbs.audit.matching import moved, pairs, tail
from tests.support.cli import environment
from tests.support.run import run
from tests.support.schema import lines, parsed

MINE = (f"--key={corpus.KEYS}/signer.key.pem", f"--cert={corpus.KEYS}/signer.cert.pem")
OTHER = (f"--key={corpus.KEYS}/other.key.pem", f"--cert={corpus.KEYS}/other.cert.pem")
TRUST = ("--trust", corpus.KEYS / "signer.cert.pem", "--trust", corpus.KEYS / "other.cert.pem")
CONTENT = {
    "kernel/fs/one.ko": "amd64-6.1.ko",
    "kernel/net/two.ko": "arm64-6.1.ko",
    "extra/three.ko": "i386-6.1.ko",
}


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """Modules as a build leaves them, signed; the report of that is beside them."""
    tree = tmp_path / "build" / "stage"
    for name, sample in CONTENT.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(corpus.content(sample))
    ran = run("sign", "--format=pkcs7", *MINE, "--in-place", tree, "--report", tmp_path / "report.json")
    assert ran.code == 0
    return tree


@pytest.fixture
def installed(built: Path, tmp_path: Path) -> Path:
    """The same modules on another machine, compressed as installing does it."""
    there = tmp_path / "root/lib/modules/6.1.0"
    for path in built.rglob("*.ko"):
        target = there / path.relative_to(built)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.with_suffix(".ko.xz").write_bytes(lzma.compress(path.read_bytes(), check=lzma.CHECK_CRC32))
    return there


def of_report(tree: Path, to: Path) -> None:
    shutil.copy(tree.parents[1] / "report.json", to)


def of(*words: str | Path) -> Callable[[Path, Path], None]:
    def written(tree: Path, to: Path) -> None:
        to.write_text(run(words[0], *words[1:], tree).out)

    return written


BASELINES = {
    "sign": of_report,
    "list-json": of("list", "--json"),
    "list-jsonl": of("list", "--jsonl"),
    "verify-json": of("verify", "--json", *TRUST),
    "verify-jsonl": of("verify", "--jsonl", *TRUST),
    "audit-json": of("audit", "--json", *TRUST),
    "audit-jsonl": of("audit", "--jsonl", *TRUST),
}


@pytest.fixture(params=BASELINES)
def baseline(request: pytest.FixtureRequest, built: Path, tmp_path: Path) -> Path:
    path = tmp_path / "baseline"
    BASELINES[request.param](built, path)
    return path


def found(tree: Path, baseline: Path) -> set[tuple[str, str]]:
    ran = run("audit", tree, *TRUST, "--ignore=misnamed", "--expect", baseline, "--json")
    assert ran.code in (0, 1), ran.err
    return {(each["rule"], Path(each["path"]).name) for each in parsed(ran.out)["audit"]["faults"]}


def test_the_same_modules_elsewhere_pass(baseline: Path, built: Path, installed: Path) -> None:
    assert found(built, baseline) == set()
    assert found(installed, baseline) == set()


def test_each_difference_has_its_word(baseline: Path, installed: Path) -> None:
    one, two = installed / "kernel/fs/one.ko.xz", installed / "kernel/net/two.ko.xz"
    (installed / "extra/three.ko.xz").unlink()
    (installed / "updates").mkdir()
    two.rename(installed / "updates/two.ko.xz")
    shutil.copy(one, installed / "updates/four.ko.xz")
    assert run("strip", "--in-place", one).code == 0
    assert found(installed, baseline) == {
        ("missing", "three.ko"),
        ("moved", "two.ko.xz"),
        ("new", "four.ko.xz"),
        ("stripped", "one.ko.xz"),
        ("unsigned", "one.ko.xz"),
    }


def test_another_signer_is_no_change_of_content(baseline: Path, installed: Path) -> None:
    one = installed / "kernel/fs/one.ko.xz"
    assert run("sign", "--format=pkcs7", *OTHER, "--replace", "--in-place", one).code == 0
    assert found(installed, baseline) == {("other-signer", "one.ko.xz")}


def test_changed_content_under_a_good_signature(baseline: Path, installed: Path) -> None:
    """Signed again by the same key after a change: only the baseline can tell."""
    one = installed / "kernel/fs/one.ko.xz"
    content = bytearray(corpus.content("amd64-6.1.ko"))
    content[64] ^= 1
    one.write_bytes(lzma.compress(bytes(content), check=lzma.CHECK_CRC32))
    assert run("sign", "--format=pkcs7", *MINE, "--in-place", one).code == 0
    assert found(installed, baseline) == {("changed", "one.ko.xz")}


def test_compressing_and_signing_again_are_no_changes(baseline: Path, built: Path) -> None:
    one = built / "kernel/fs/one.ko"
    assert run("sign", "--format=pkcs7", *MINE, "--replace", "--hash=sha512", "--in-place", one).code == 0
    assert found(built, baseline) == set()


def test_a_report_holds_what_an_examiner_asks_for(built: Path, tmp_path: Path) -> None:
    report = parsed((tmp_path / "report.json").read_text())
    assert report["run"]["version"] and report["run"]["time"]
    (key,) = report["keys"]
    done = subprocess.run(
        ["openssl", "x509", "-in", corpus.KEYS / "signer.cert.pem", "-noout", "-fingerprint", "-sha256"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    fingerprint = done.stdout.strip().partition("=")[2].replace(":", "").lower()
    assert key["certificate"]["sha256"] == fingerprint
    for entry in report["edits"]:
        assert entry["signature"]["format"] == "pkcs7" and entry["signature"]["hash"] == "sha256"
        listed = lines(run("list", "--jsonl", entry["path"]).out)[0]
        assert entry["after"]["sha256"] == listed["sha256"]
        assert entry["content_sha256"] == listed["content_sha256"]
        assert entry["signature"]["serial"] == listed["signatures"][0]["serial"]
        assert entry["time"].endswith("Z")


def test_an_interrupted_report_counts_for_what_it_has(built: Path, tmp_path: Path) -> None:
    document = json.loads((tmp_path / "report.json").read_text())
    partial = tmp_path / "report.json.partial"
    entries = [json.dumps(each) for each in document["edits"]]
    partial.write_text(
        "\n".join(["", json.dumps({"asked": document["asked"]}), *entries]) + '\n{"path": "cut'
    )
    assert found(built, partial) == set()


def test_convert_and_section_lists(built: Path, tmp_path: Path) -> None:
    path = tmp_path / "baseline"
    path.write_text(run("list", "--sections", "--json", built).out)
    assert found(built, path) == set()
    (built / "kernel/fs/one.ko").unlink()
    assert found(built, path) == {("missing", "one.ko")}
    words = ("convert", "--to=x509", *MINE, *TRUST, "--json", "--output-dir", tmp_path / "old", built)
    path.write_text(run(*words).out)
    assert found(tmp_path / "old", path) == set()


def test_a_compressed_baseline_is_read(built: Path, tmp_path: Path) -> None:
    path = tmp_path / "baseline.json.xz"
    path.write_bytes(lzma.compress(run("list", "--json", built).out.encode()))
    assert found(built, path) == set()


def test_without_a_hash_of_the_content_another_compression_is_not_judged(built: Path, tmp_path: Path) -> None:
    """A baseline of old: the hash of the file alone."""
    document = json.loads((tmp_path / "report.json").read_text())
    for each in document["edits"]:
        del each["content_sha256"], each["signature"]
    (tmp_path / "old.json").write_text(json.dumps(document))
    assert found(built, tmp_path / "old.json") == set()
    one = built / "kernel/fs/one.ko"
    one.with_suffix(".ko.xz").write_bytes(lzma.compress(one.read_bytes(), check=lzma.CHECK_CRC32))
    one.unlink()
    assert found(built, tmp_path / "old.json") == set()  # it decompresses to that very file
    other = lzma.compress(corpus.content("amd64.pkcs7-keyid"), check=lzma.CHECK_CRC32)
    one.with_suffix(".ko.xz").write_bytes(other)
    words = ("audit", built, *TRUST, "--ignore=misnamed", "--expect", tmp_path / "old.json")
    assert "changed: 1 module" in run(*words).out
    for each in document["edits"]:
        each["compression"] = "gzip"
    (tmp_path / "old.json").write_text(json.dumps(document))
    assert "whether its content changed is not known" in run(*words).out


# --------------------------------------------------------------------------- matching


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/lib/modules/6.1.0/kernel/fs/a.ko.xz", "kernel/fs/a.ko"),
        ("stage/lib/modules/6.1.0/kernel/drivers/extra/a.ko", "kernel/drivers/extra/a.ko"),
        ("/home/kernel/out/kernel/fs/a.ko", "kernel/fs/a.ko"),
        ("weak-updates/x/a.ko.zst", "weak-updates/x/a.ko"),
        ("drivers/net/a.ko", None),
        ("kernel", None),
        ("a.ko", None),
    ],
)
def test_tails(path: str, expected: str | None) -> None:
    assert tail(path) == expected


def test_two_releases_are_told_apart() -> None:
    old = ["/lib/modules/1/kernel/a.ko", "/lib/modules/2/kernel/a.ko", "/lib/modules/2/updates/a.ko"]
    new = [f"/mnt{each}.xz" for each in reversed(old)]
    assert {(a, b) for a, b in pairs(old, new)} == {(0, 2), (1, 1), (2, 0)}
    assert list(pairs(["x/snd-pcm.ko"], ["y/snd_pcm.ko.gz"])) == [(0, 0)]
    assert not moved("modules/a.ko", "/lib/modules/1/updates/a.ko")
    assert moved("kernel/net/a.ko", "/lib/modules/1/updates/a.ko")


FOLDERS = ("", "1/kernel", "2/kernel", "updates", "x")
PATHS = st.lists(st.tuples(st.sampled_from(FOLDERS), st.sampled_from("abc")), max_size=12)


@given(PATHS, PATHS)
def test_every_path_is_in_one_pair(old: list[tuple[str, str]], new: list[tuple[str, str]]) -> None:
    before, after = ([f"{folder}/{name}.ko" for folder, name in each] for each in (old, new))
    found = list(pairs(before, after))
    assert sorted(a for a, _ in found if a is not None) == list(range(len(before)))
    assert sorted(b for _, b in found if b is not None) == list(range(len(after)))
    assert (None, None) not in found


def test_many_like_files_take_no_quadratic_time() -> None:
    many = [f"/host{n}/lib/modules/6/kernel/a.ko" for n in range(20_000)]
    assert len(list(pairs(many, many[::-1]))) == len(many)


# --------------------------------------------------------------------------- hostile JSON


HOSTILE = [
    b"{}", b"[]", b"[1]", b'{"files": 5}', b'{"files": [5]}', b'{"edits": [null]}', b'{"edits": {"path": 1}}',
    b'{"files": [{"path": 5}]}', b'{"files": [{"path_hex": "zz"}]}', b'{"files": [{}]}', b'{"path": 5}',
    b'{"path": "a.ko"}\n5\n', b'{"path": "a.ko"}\n{"path": "cut\n', b'{"title": "my thesis"}',
    b'{"audit": {}}',
    b"[" * 100_000, b'{"files":' * 100_000, b'{"files": [' + b"[" * 50_000, b"{" + b"9" * 100_000,
    b'{"files": [{"path": "\\ud800", "sha256": ' + b"9" * 5000 + b"}]}", b"\xff\xfe{\0}\0", b'{"path"',
]  # fmt: skip


@pytest.mark.parametrize("data", HOSTILE, ids=range(len(HOSTILE)))
def test_anything_else_is_refused_in_words(data: bytes, built: Path, tmp_path: Path) -> None:
    path = tmp_path / "baseline"
    path.write_bytes(data)
    ran = run("audit", built, *TRUST, "--expect", path)
    assert ran.code == 2 and len(ran.err) < 600, ran.err
    assert "JSON output of elfsig" in ran.err


NAMES = (
    "path", "path_hex", "target", "after", "before", "sha256", "content_sha256", "signatures", "signer",
    "signature", "serial", "key_id", "error", "faults", "effective", "compression", "action", "files",
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=25,
)


@settings(max_examples=300, deadline=None)
@given(st.lists(VALUES, max_size=4), st.booleans())
def test_no_entry_breaks_the_reader(entries: list[object], as_lines: bool) -> None:
    document = {"files": entries}
    text = "\n".join(map(json.dumps, entries)) if as_lines else json.dumps(document)
    try:
        files = read_baseline(text.encode(), "x")
    except UsageError as reason:
        assert len(reason.text) < 300
    else:
        assert all(isinstance(each.path, str) for each in files)


# --------------------------------------------------------------------------- memory


def test_memory_does_not_grow_with_the_number_of_files(tmp_path: Path) -> None:
    """Peak memory of an audit of 4000 files with a fault each, against one of 200: text and JSON."""
    module = tmp_path / "m.ko"
    module.write_bytes(corpus.content("i386.pkcs7-sha1"))
    peaks = []
    for count in (200, 4000):
        tree = tmp_path / str(count)
        tree.mkdir()
        for number in range(count):
            os.link(module, tree / f"{number}.ko")
        words = ["audit", "-j1", "--json", *map(str, TRUST), str(tree)]
        code = f"""import resource, sys; sys.argv = ["elfsig"]
from elfsig.cli import main
try: main({words!r})
except SystemExit: pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"""
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        peaks.append(int(done.stderr.split()[-1]))
    assert peaks[1] < 1.08 * peaks[0], peaks
