"""``elfsig evidence``: what a bundle holds, and that recheck.sh confirms it without elfsig."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import corpus
import elfsig
from elfsig.batch.evidence.events import Task
from elfsig.batch.evidence.keys import bundled_keys
from elfsig.batch.evidence.writer import Writer
from elfsig.batch.survey.file import Plan
from elfsig.batch.tree import Examination
from elfsig.coverages.bytemap import Kind
from elfsig.envelopes.openpgp.make import make_ring
from elfsig.errors import UsageError, WriteError
from elfsig.opened.bundle import Bundle
from elfsig.verbs.bundle import checks
from elfsig.verbs.bundle.shorten import Shortener
from elfsig.verbs.inspect.cover import covers
from elfsig.verbs.verify.examine import Question
from tests.support.archives import tar
from tests.support.cli import apart, environment
from tests.support.opened import opened
from tests.support.rechecks import index, recheck, records, tools, unpacked
from tests.support.run import run
from tests.support.signed import CERT, REGISTRY, WAYS, made, signer
from tests.support.tools import need

OTHER = corpus.KEYS / "other.cert.pem"
PLAIN = corpus.content("amd64-2.6.39-uek.ko")
IN_FILES = [way for way in WAYS if REGISTRY.get(way[0]).carrier.kind != "detached"]
"""(format, coverage) of everything that can be signed and is stored in the module."""


@pytest.fixture
def bin_(tmp_path: Path) -> Path:
    return tools(tmp_path / "tools")


@pytest.fixture
def ring(tmp_path: Path) -> Path:
    """The throw-away key as an OpenPGP ring."""
    path = tmp_path / "ring.gpg"
    path.write_bytes(make_ring(signer(), "throw-away"))
    return path


def bundle(folder: Path, *words: str | Path) -> Path:
    """The unpacked bundle of ``elfsig evidence WORDS``."""
    done = run("evidence", *words, "-o", folder / "case.tar", "--reproducible")
    assert done.code in (0, 5), done.err
    return unpacked(folder / "case.tar", folder / "unpacked")


@cache
def signed_in_every_way() -> dict[str, bytes]:
    return {f"{name}-{coverage}": made(PLAIN, name, coverage).content for name, coverage in IN_FILES}


def changed(content: bytes) -> bytes:
    """The module with a byte changed that its signature covers as it stands."""
    [cover] = covers(opened(content), Question())
    runs = [each for each in cover.kinds.within(64, len(content)) if each.kind is Kind.VERBATIM]
    longest = max(runs, key=lambda each: each.end - each.start)
    at = (longest.start + longest.end) // 2
    return content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1 :]


def broken(content: bytes) -> bytes:
    """The module with a signature that cannot be parsed, its wrapper untouched."""
    place = opened(content).places[0].place
    start = place.blob_start
    return content[:start] + b"\0" * 4 + content[start + 4 :]


def folder_of(path: Path, **modules: bytes) -> Path:
    path.mkdir(parents=True)
    for name, content in modules.items():
        (path / f"{name.replace('_', '-')}.ko").write_bytes(content)
    return path


# --------------------------------------------------------------------------- every format, every verdict


@pytest.mark.parametrize(
    ("what", "how", "verdict"),
    [
        (bytes, "--trust", "valid"),
        (bytes, "--keys", "untrusted"),
        (changed, "--trust", "invalid"),
        (changed, "--keys", "invalid"),
    ],
)
def test_every_format_is_confirmed(
    what: type[bytes], how: str, verdict: str, tmp_path: Path, bin_: Path, ring: Path
) -> None:
    modules = folder_of(tmp_path / "in", **{name: what(each) for name, each in signed_in_every_way().items()})
    found = bundle(tmp_path, modules, how, CERT, how, ring)
    assert {word for _, word, _ in index(found)} == {verdict}
    assert len(index(found)) == len(IN_FILES)
    done = recheck(found, bin_)
    assert done.code == 0, done.out + done.err
    assert set(done.words.values()) == {"confirmed"}
    assert done.err == ""


def test_unknown_keys_are_tried_and_refused(tmp_path: Path, bin_: Path) -> None:
    modules = folder_of(tmp_path / "in", **signed_in_every_way())
    found = bundle(tmp_path, modules, "--trust", OTHER)
    assert {word for _, word, _ in index(found)} == {"unknown-key"}
    done = recheck(found, bin_)
    assert done.code == 0, done.out + done.err
    assert set(done.words.values()) == {"confirmed"}


def test_what_cannot_be_parsed_cannot_be_parsed_by_others(tmp_path: Path, bin_: Path, ring: Path) -> None:
    contents = {name: broken(each) for name, each in signed_in_every_way().items()}
    modules = folder_of(tmp_path / "in", **contents)
    found = bundle(tmp_path, modules, "--trust", CERT, "--trust", ring)
    verdicts = {folder: word for folder, word, _ in index(found)}
    done = recheck(found, bin_)
    assert done.code in (0, 2), done.out
    assert "malformed" in verdicts.values()
    for folder, word in verdicts.items():
        openable = (found / folder / "checks").read_text().find(" cmsread ") + 1
        assert word != "malformed" or not openable or done.words[folder] == "confirmed"


def test_a_module_without_signature_has_no_mark_of_one(tmp_path: Path, bin_: Path) -> None:
    lures = {"plain": PLAIN, "talks": PLAIN + b"\0module_sig is a word in it\0"}
    found = bundle(tmp_path, folder_of(tmp_path / "in", **lures), "--trust", CERT)
    assert {word for _, word, _ in index(found)} == {"unsigned"}
    done = recheck(found, bin_)
    assert done.code == 2
    assert sorted(done.words.values()) == ["confirmed", "not confirmed"]
    assert "the text module_sig is in the file" in done.out


@pytest.mark.parametrize("sample", ["amd64-6.1.ko", "i386-6.1.ko", "s390x-6.1.ko", "ppc64-4.4.ko"])
def test_a_damaged_module_ends_too_early(sample: str, tmp_path: Path, bin_: Path) -> None:
    """Of both classes and byte orders; what is damaged otherwise is not confirmed."""
    content = corpus.content(sample)
    cuts = {"a": content[:-1], "b": content[:600], "c": content[:40], "d": b""}
    found = bundle(tmp_path, folder_of(tmp_path / "in", **cuts), "--trust", CERT)
    assert {word for _, word, _ in index(found)} == {"malformed"}
    done = recheck(found, bin_, "-v")
    assert done.code == 0, done.out
    assert "its section header table ends at" in done.out and "within the ELF header" in done.out


@pytest.mark.parametrize("name", sorted(corpus.samples()))
def test_no_sample_is_contradicted(name: str, tmp_path: Path, bin_: Path) -> None:
    path = tmp_path / f"{name}.ko"
    path.write_bytes(corpus.content(name))
    found = bundle(tmp_path, path, *(w for cert in corpus.certificates() for w in ("--trust", cert)))
    done = recheck(found, bin_)
    [(_, verdict, _)] = index(found)
    assert done.code != 1, done.out + done.err
    if verdict in ("valid", "untrusted", "invalid", "unknown-key", "unsigned"):
        assert done.code == 0, done.out


@pytest.mark.parametrize("shell", ["bash", "busybox"])
def test_other_shells_say_the_same(shell: str, tmp_path: Path, bin_: Path, ring: Path) -> None:
    from tests.support.tools import need

    modules = folder_of(tmp_path / "in", good=made(PLAIN, "note", "sorted").content, bad=PLAIN)
    found = bundle(tmp_path, modules, "--trust", ring)
    wanted = recheck(found, bin_)
    if shell == "bash":
        assert recheck(found, bin_, shell=need("bash")) == wanted
        return
    (bin_ / "ash").symlink_to(need("busybox"))
    assert recheck(found, bin_, shell="ash").words == wanted.words


# --------------------------------------------------------------------------- a recheck can fail


def _files(found: Path) -> Iterator[Path]:
    for pattern in (
        "m00001/file",
        "m00001/s1.blob",
        "m00001/*.stream",
        "m00001/s1.value",
        "m00001/s1.statement",
    ):
        yield from found.glob(pattern)


def _sums_again(found: Path) -> None:
    lines = []
    for line in (found / "SHA256SUMS").read_text().splitlines():
        name = line.split("  ", 1)[1]
        lines.append(f"{hashlib.sha256((found / name).read_bytes()).hexdigest()}  {name}\n")
    (found / "SHA256SUMS").write_text("".join(lines))


@pytest.mark.parametrize("with_sums", [False, True], ids=["sums-kept", "sums-made-again"])
@pytest.mark.parametrize(
    ("name", "coverage"), [("pkcs7", "whole-file"), ("note", "sorted"), ("crypto-digsig", "whole-file")]
)
def test_a_changed_byte_is_noticed(
    name: str, coverage: str, with_sums: bool, tmp_path: Path, bin_: Path, ring: Path
) -> None:
    path = tmp_path / "x.ko"
    path.write_bytes(made(PLAIN, name, coverage).content)
    found = bundle(tmp_path, path, "--trust", CERT, "--trust", ring)
    assert recheck(found, bin_).code == 0
    files = list(_files(found))
    assert len(files) >= 3
    for file in files:
        before = file.read_bytes()
        at = len(before) // 3
        file.write_bytes(before[:at] + bytes([before[at] ^ 1]) + before[at + 1 :])
        if with_sums:
            _sums_again(found)
        done = recheck(found, bin_)
        file.write_bytes(before)
        if with_sums and file.name == "file" and not _is_covered(found, at):
            continue
        assert done.code == 1, f"{file.name}: {done.out}"
        assert ("CONTRADICTED" in done.out) or not with_sums
    _sums_again(found)
    assert recheck(found, bin_).code == 0


def _is_covered(found: Path, at: int) -> bool:
    """Whether a byte of the module is in its stream as it stands, or in the signature."""
    lines = [path.read_text().splitlines() for path in (found / "m00001").glob("*.ranges")]
    copies = [line.split() for each in lines for line in each if line.startswith("copy ")]
    return any(int(start) <= at < int(start) + int(size) for _, start, size in copies)


@pytest.mark.parametrize("verdict", ["valid", "invalid", "unsigned"])
def test_a_wrong_verdict_is_contradicted(verdict: str, tmp_path: Path, bin_: Path) -> None:
    """The checks of one module with the files of another: what is said of it is then wrong."""
    content = made(PLAIN, "pkcs7", "whole-file").content
    modules = folder_of(tmp_path / "in", a=content, b=changed(content), c=PLAIN)
    found = bundle(tmp_path, modules, "--trust", CERT)
    folders = {word: folder for folder, word, _ in index(found)}
    other = {"valid": "invalid", "invalid": "valid", "unsigned": "valid"}[verdict]
    wrong = found / folders[verdict]
    table = (wrong / "checks").read_text()
    for path in wrong.iterdir():
        path.unlink()
    for path in (found / folders[other]).iterdir():
        (wrong / path.name).write_bytes(path.read_bytes())
    (wrong / "checks").write_text(table)
    done = recheck(found, bin_, folders[verdict])
    assert done.words == {folders[verdict]: "CONTRADICTED"}
    assert done.code == 1


def test_without_gpgv_openssl_decides(tmp_path: Path, ring: Path) -> None:
    path = tmp_path / "x.ko"
    path.write_bytes(made(PLAIN, "note", "sorted").content)
    found = bundle(tmp_path, path, "--trust", ring)
    assert " gpgv " in (found / "m00001/checks").read_text()
    done = recheck(found, tools(tmp_path / "few", without=("gpgv",)), "-v")
    assert done.code == 0
    assert "lack: needs gpgv" in done.out and "not confirmed:" not in done.out


def test_what_needs_a_tool_that_is_missing_is_not_confirmed(tmp_path: Path) -> None:
    """Neither confirmed nor contradicted, with the name of the tool; all else is checked."""
    signed = made(PLAIN, "pkcs7", "whole-file").content
    folder = tmp_path / "modules"
    folder.mkdir()
    for name, content in (
        ("good.ko", signed),
        ("bad.ko", b"%b\x7f%b" % (signed[:99], signed[100:])),
        ("un.ko", PLAIN),
    ):
        (folder / name).write_bytes(content)
    for tool, suffix in (("gzip", "gz"), ("xz", "xz"), ("zstd", "zst")):
        data = subprocess.run([need(tool), "-c"], input=signed, stdout=subprocess.PIPE, check=True).stdout
        (folder / f"packed.ko.{suffix}").write_bytes(data)
    found = bundle(tmp_path, folder, "--trust", CERT)
    of = {Path(path).name: where for where, _, path in index(found)}
    for number, (missing, names) in enumerate([
        ("gzip", ["packed.ko.gz"]), ("xz", ["packed.ko.xz"]), ("zstd", ["packed.ko.zst"]),
        ("openssl", [name for name in of if name != "un.ko"]),
    ]):  # fmt: skip
        done = recheck(found, tools(tmp_path / f"few{number}", without=(missing,)))
        assert (done.code, done.err) == (4, "")
        assert done.words == {
            at: "not confirmed" if name in names else "confirmed" for name, at in of.items()
        }
        assert done.out.count(f"    not confirmed: needs {missing}") >= len(names)
    (found / of["un.ko"] / "file").write_bytes(signed)
    assert recheck(found, tools(tmp_path / "one", without=("xz",))).code == 1


def test_without_gpgv_what_only_gpgv_can_tell_is_not_confirmed(tmp_path: Path, ring: Path) -> None:
    path = tmp_path / "x.ko"
    path.write_bytes(made(PLAIN, "note", "sorted").content)
    found = bundle(tmp_path, path, "--trust", ring)
    checks = found / "m00001/checks"
    checks.write_text("".join(
        line for line in checks.read_text().splitlines(True) if " rsa " not in line and " pair " not in line
    ))  # fmt: skip
    _sums_again(found)
    done = recheck(found, tools(tmp_path / "few", without=("gpgv",)))
    assert (done.code, done.words) == (4, {"m00001": "not confirmed"})
    assert recheck(found, tools(tmp_path / "all")).code == 0


def test_a_tool_that_cannot_unpack_contradicts_nothing(tmp_path: Path) -> None:
    """An old zstd, or one that may not use enough memory, says nothing about the module."""
    path = tmp_path / "x.ko.xz"
    path.write_bytes(
        subprocess.run([need("xz"), "-c"], input=PLAIN, stdout=subprocess.PIPE, check=True).stdout
    )
    found = bundle(tmp_path, path)
    few = tools(tmp_path / "few", without=("xz",))
    for code, expected in ((1, (2, "not confirmed")), (0, (1, "CONTRADICTED"))):
        (few / "xz").write_text(f"#!{few}/sh\nprintf x\nexit {code}\n")
        (few / "xz").chmod(0o755)
        done = recheck(found, few)
        assert (done.code, done.words["m00001"]) == expected


@pytest.mark.parametrize("missing", ["sha256sum", "dd", "od"])
def test_without_a_tool_that_everything_needs_it_does_not_run(missing: str, tmp_path: Path) -> None:
    path = tmp_path / "x.ko"
    path.write_bytes(PLAIN)
    found = bundle(tmp_path, path)
    done = recheck(found, tools(tmp_path / "few", without=(missing,)))
    assert (done.code, done.out, done.err) == (3, "", f"recheck: {missing} is needed\n")


# --------------------------------------------------------------------------- what is in it


def test_layers_chains_and_copies(tmp_path: Path, bin_: Path) -> None:
    content = made(PLAIN, "pkcs7", "whole-file").content
    packed = subprocess.run(["xz", "-c"], input=content, stdout=subprocess.PIPE, check=True).stdout
    outer = tmp_path / "outer.tar"
    outer.write_bytes(tar(a_ko_xz=packed, inner_tar=tar(b_ko=content, c_ko=content, d_ko=PLAIN)))
    found = bundle(tmp_path, outer, "--trust", CERT)
    places = {path: folder for folder, _, path in index(found)}
    assert len(places) == 4
    assert places[f"{outer.name}!/inner.tar!/b.ko"] == places[f"{outer.name}!/inner.tar!/c.ko"]
    assert len(set(places.values())) == 3
    for folder, _, _ in index(found):
        record = json.loads((found / folder / "record.json").read_bytes())
        assert record["chain"][0]["sha256"] == hashlib.sha256(outer.read_bytes()).hexdigest()
        assert record["sha256"] == hashlib.sha256((found / folder / "file").read_bytes()).hexdigest()
        assert record["chain"][-1]["sha256"] == record["sha256"]
    first = found / places[f"{outer.name}!/a.ko.xz"]
    assert (first / "file").read_bytes() == packed
    assert (first / "content").read_bytes() == content
    assert (first / "coverage.html").read_text("utf-8").startswith("<!DOCTYPE html>")
    stream = content[: content.rindex(b"\x30\x82")]
    [path] = first.glob("*.stream")
    assert content.startswith(path.read_bytes()) and len(path.read_bytes()) >= len(PLAIN) > 0 < len(stream)
    done = recheck(found, bin_, "-v")
    assert done.code == 0
    assert "file unpacks to content" in done.out and "needs" not in done.out
    assert len([each for each in records(found) if each["record"] == "container"]) == 2


def test_a_nested_path_is_one_module(tmp_path: Path) -> None:
    outer = tmp_path / "outer.tar"
    outer.write_bytes(tar(inner_tar=tar(b_ko=PLAIN, c_ko=PLAIN)))
    found = bundle(tmp_path, f"{outer}!/inner.tar!/b.ko")
    [(_, word, path)] = index(found)
    assert (word, path) == ("unsigned", "outer.tar!/inner.tar!/b.ko")


def test_only_some_verdicts(tmp_path: Path) -> None:
    content = made(PLAIN, "pkcs7", "whole-file").content
    modules = folder_of(tmp_path / "in", a=content, b=changed(content), c=PLAIN)
    found = bundle(tmp_path, modules, "--trust", CERT, "--only", "invalid", "--only", "unsigned")
    assert sorted(word for _, word, _ in index(found)) == ["invalid", "unsigned"]
    assert (
        "not in this bundle, since other verdicts were asked for: 1 valid." in (found / "README").read_text()
    )


def test_bytes_that_differ_from_a_good_copy(tmp_path: Path, bin_: Path) -> None:
    content = made(PLAIN, "pkcs7", "whole-file").content
    bad = bytearray(content)
    for at in (700, 701, 900):
        bad[at] ^= 0x10
    longer = bytes(bad[: len(PLAIN)]) + b"\0" + bytes(bad[len(PLAIN) :])
    modules = folder_of(tmp_path / "in", a=bytes(bad), b=content, c=longer)
    html = tmp_path / "case.html"
    found = bundle(tmp_path, modules, "--trust", CERT, "--html", html)
    folders = {path: folder for folder, _, path in index(found)}
    first, second = [json.loads(line) for line in (found / "changes.jsonl").read_text().splitlines()]
    assert first == {
        "bundle": folders["in/a.ko"], "good": folders["in/b.ko"], "bytes": 3,
        "ranges": [[700, 702], [900, 901]], "sizes": [len(content), len(content)],
    }  # fmt: skip
    assert (second["sizes"], second["ranges"][0]) == ([len(content) + 1, len(content)], [700, 702])
    assert "0x2bc-0x2bd, 0x384" in html.read_text("utf-8")
    assert recheck(found, bin_).code == 0


def test_memory_does_not_grow_with_the_number_of_modules(tmp_path: Path) -> None:
    """In a process of its own: the second tree has twelve times as many modules, which are all different."""
    program = (
        "import resource, sys, elfsig\n"
        "done = elfsig.evidence(sys.argv[1], sys.argv[2], only=['unsigned'])\n"
        "print(done.modules, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    used = []
    for count in (50, 600):
        folder = tmp_path / f"in{count}"
        folder.mkdir()
        for number in range(count):
            (folder / f"{number}.ko").write_bytes(PLAIN + b"%d" % number + bytes(50_000))
        modules, kibibytes = map(int, apart(program, folder, tmp_path / "case.tar").split())
        assert modules == count
        used.append(kibibytes)
    assert used[1] < used[0] + 6000, used


def test_damage_is_named_first(tmp_path: Path) -> None:
    good = tar(a_ko=PLAIN, b_ko=PLAIN)
    cut = tmp_path / "cut.tar"
    cut.write_bytes(good[: len(good) // 2])
    done = run("evidence", cut, "-o", tmp_path / "case.tar")
    assert done.code == 5
    found = unpacked(tmp_path / "case.tar", tmp_path / "unpacked")
    text = (found / "README").read_text()
    assert text.index("Not read to the end") < text.index("What was found")
    assert "cut.tar" in text.split("What was found")[0]


def test_an_unreadable_module_is_kept_as_it_is(tmp_path: Path, bin_: Path) -> None:
    path = tmp_path / "x.ko.xz"
    path.write_bytes(b"\xfd7zXZ\0" + bytes(100))
    found = bundle(tmp_path, path, "--only", "unreadable")
    [(folder, word, _)] = index(found)
    assert word == "unreadable"
    assert (found / folder / "file").read_bytes() == path.read_bytes()
    assert recheck(found, bin_).code == 2


def test_the_readme_says_everything(tmp_path: Path, ring: Path) -> None:
    path = tmp_path / "x.ko"
    path.write_bytes(made(PLAIN, "note", "sorted").content)
    found = bundle(tmp_path, path, "--trust", ring, "--keys", CERT)
    text = (found / "README").read_text("ascii")
    assert hashlib.sha256(ring.read_bytes()).hexdigest() in text
    assert f"elfsig {elfsig.__version__}" in text and "cryptography" in text
    assert max(map(len, text.splitlines())) <= 120
    files = {str(each.relative_to(found)) for each in found.rglob("*") if each.is_file()}
    listed = {line.split("  ", 1)[1] for line in (found / "SHA256SUMS").read_text().splitlines()}
    assert files - listed == {"SHA256SUMS"} and listed < files
    for name in {each.rpartition("/")[2] for each in files}:
        stem = re.sub(
            r"^s\d+-[a-z-]+\.(?=stream|ranges|made)", "sN-COVERAGE.", re.sub(r"^s\d+\.", "sN.", name)
        )
        assert stem in text or name == "README", name


# --------------------------------------------------------------------------- the same bytes


def test_reproducible_byte_for_byte(tmp_path: Path, ring: Path) -> None:
    sums = []
    for number in (1, 2):
        place = tmp_path / f"run{number}"
        modules = folder_of(place / "in", a=made(PLAIN, "note", "sorted").content, b=PLAIN)
        (modules / "c.tar").write_bytes(tar(a_ko=PLAIN, z_ko=PLAIN[:900]))
        (place / "ring.gpg").write_bytes(ring.read_bytes())
        words = [str(modules), "--trust", str(place / "ring.gpg"), "--keys", str(CERT)]
        run("evidence", *words, "-o", place / "case.tar", "--reproducible", "--html", place / "case.html")
        data = (place / "case.tar").read_bytes() + (place / "case.html").read_bytes()
        sums.append(hashlib.sha256(data).hexdigest())
        assert str(tmp_path).encode() not in data
        time.sleep(1.1 if number == 1 else 0)
    assert sums[0] == sums[1]
    with tarfile.open(place / "case.tar") as archive:
        members = archive.getmembers()
    assert {each.mtime for each in members} == {0}
    assert {(each.uid, each.gid, each.uname, each.gname) for each in members} == {(0, 0, "root", "root")}
    assert members[-1].name == "evidence/SHA256SUMS"


def test_source_date_epoch(tmp_path: Path) -> None:
    path = tmp_path / "x.ko"
    path.write_bytes(PLAIN)
    words = ("evidence", path, "-o", tmp_path / "case.tar", "--reproducible")
    assert run(*words, env={"SOURCE_DATE_EPOCH": "1066003200"}).code == 0
    with tarfile.open(tmp_path / "case.tar") as archive:
        assert {each.mtime for each in archive} == {1066003200}
    wrong = run(*words, env={"SOURCE_DATE_EPOCH": "yesterday"})
    assert (wrong.code, "SOURCE_DATE_EPOCH is not a number" in wrong.err) == (2, True)


def test_a_bundle_that_is_not_reproducible_says_when_and_how(tmp_path: Path) -> None:
    path = tmp_path / "x.ko"
    path.write_bytes(PLAIN)
    assert run("evidence", path, "-o", tmp_path / "case.tar").code == 0
    found = unpacked(tmp_path / "case.tar", tmp_path / "unpacked")
    assert str(path) in (found / "README").read_text()
    assert json.loads((found / "bundle.json").read_bytes())["run"]["argv"][0] == "evidence"


# --------------------------------------------------------------------------- hostile names

NAMES = (
    "it's.ko", 'say "hi".ko', "-rf.ko", "$(touch pwned).ko", "`touch pwned`.ko", "a\nb.ko", "a;b|c&d.ko",
    "<img src=x onerror=alert(1)>.ko", "m00001.ko", "..ko", "*?[a].ko", "\x1b[31mred.ko", "a\\b.ko", " .ko",
)  # fmt: skip


def test_hostile_names_stay_text(tmp_path: Path, bin_: Path) -> None:
    content = made(PLAIN, "pkcs7", "whole-file").content
    modules = tmp_path / "in"
    modules.mkdir()
    for number, name in enumerate(NAMES):
        (modules / name).write_bytes(content[:-1] if number % 2 else content)
    os.fsencode("n\udcff.ko")
    (modules / "n\udcff.ko").write_bytes(PLAIN)
    html = tmp_path / "case.html"
    found = bundle(tmp_path, modules, "--trust", CERT, "--html", html)
    assert len(index(found)) == len(NAMES) + 1
    for each in found.rglob("*"):
        assert re.fullmatch(r"[A-Za-z0-9.-]+", each.name), each
    done = recheck(found, bin_, "-v")
    assert done.code in (0, 2) and done.err == ""
    assert not list(tmp_path.rglob("pwned")) and not Path("/pwned").exists()
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", (found / "README").read_text("ascii"))
    assert "<img" not in html.read_text("utf-8")
    for page in found.rglob("coverage.html"):
        assert "<img" not in page.read_text("utf-8")


def test_names_in_containers_stay_text(tmp_path: Path, bin_: Path) -> None:
    outer = tmp_path / "outer.tar"
    with tarfile.open(outer, "w") as archive:
        for name in ("../../etc/passwd.ko", "/abs.ko", "a!/b.ko", "$(id).ko", "x\ny.ko"):
            header = tarfile.TarInfo(name)
            header.size = len(PLAIN)
            import io

            archive.addfile(header, io.BytesIO(PLAIN))
    found = bundle(tmp_path, outer)
    assert {folder for folder, _, _ in index(found)} == {"m00001"}
    assert len(index(found)) == 5
    assert recheck(found, bin_).code == 0


@pytest.mark.parametrize(
    "line",
    [
        ("fact", "1", "yes", "digest", "sha256", "$(id)", "a", "0", "1"),
        ("fact", "1", "yes", "exec", "rm"),
        ("fact", "1;id", "yes", "size", "file", "0"),
        ("copy", "../../etc/passwd", "file", "0", "1"),
        ("copy", "a", "file", "-1", "1"),
        ("open", "a b"),
        ("open", "a\nmodule valid"),
        ("unpack", "sh", "file", "content"),
        ("copy", "a", "file", "0"),
        (),
        ("module", 7),
    ],
)
def test_only_checks_of_the_table_are_written(line: tuple[object, ...]) -> None:
    with pytest.raises(ValueError, match="not a check"):
        checks.checked(line)


@pytest.mark.parametrize(
    "line",
    ["fact 1 yes size $(touch$IFS/tmp/pwned) 0", "copy /etc/passwd file 0 1", "fact x=1 yes size file 0",
     "eval id", "unpack sh file file",
     "unpack ./m00001/file file file", "ranges a file list ../../x", "fact 1 yes line_copy a", "signature"],
)  # fmt: skip
def test_recheck_refuses_what_is_not_a_check(line: str, tmp_path: Path, bin_: Path) -> None:
    path = tmp_path / "x.ko"
    path.write_bytes(PLAIN)
    found = bundle(tmp_path, path)
    with (found / "m00001/checks").open("a") as file:
        file.write(f"{line}\n")
    _sums_again(found)
    done = recheck(found, bin_)
    assert done.code != 0
    assert not Path("/tmp/pwned").exists()


RECORD: dict[str, Any] = {
    "record": "module", "path": "x.ko", "chain": [], "schema_version": 1, "verdict": "valid", "size": 1,
    "sha256": "00", "content_sha256": None, "compression": None, "signatures": [], "warnings": [],
    "error": None, "name": None, "vermagic": None, "kernel": None,
}  # fmt: skip


@pytest.mark.parametrize(
    "event",
    [
        None,
        [],
        ["piece", "../x", b""],
        ["piece", "a/b", b""],
        ["piece", "file", "text"],
        ["record", RECORD],
        ["record", {**RECORD, "record": "container"}],
        ["module", {**RECORD, "path": "/etc/passwd"}, [], [], ""],
        ["module", RECORD, [["fact", "1", "yes", "size", "$(id)", "0"]], [], ""],
        ["module", RECORD, [], [{"layer": 0, "open": "<b>", "size": 1}], ""],
        ["module", RECORD, "abc", [], ""],
        ["passed", "perfect"],
        ["shell", "id"],
    ],
)
def test_a_process_that_was_taken_over_cannot_write_what_it_likes(event: Any, tmp_path: Path) -> None:
    plan = Plan(Examination(REGISTRY, Question(None, True)))
    with Bundle(str(tmp_path / "case.tar"), 0) as written:
        writer = Writer(written, Task(plan, bundled_keys(None)), Shortener(()), lambda each: None)
        with pytest.raises(ValueError):
            writer.take(event, "x.ko")
        writer.close()
    assert list(tmp_path.iterdir()) == []


# --------------------------------------------------------------------------- whole or absent


def test_a_directory(tmp_path: Path, bin_: Path) -> None:
    path = tmp_path / "x.ko"
    path.write_bytes(PLAIN)
    assert run("evidence", path, "-o", f"{tmp_path}/case/").code == 0
    assert recheck(tmp_path / "case", bin_).code == 0
    again = run("evidence", path, "-o", f"{tmp_path}/case/")
    assert (again.code, "the directory exists" in again.err) == (1, True)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["case", "tools", "x.ko"]


def test_an_input_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "x.ko"
    path.write_bytes(PLAIN)
    for output in (path, tmp_path / "case.tar"):
        done = run("evidence", path if output == path else tmp_path, "-o", output)
        said = "would overwrite what PATH names" if output == path else "to another place"
        assert (done.code, said in done.err) == (2, True)
    assert path.read_bytes() == PLAIN


@pytest.mark.parametrize("output", ["case.tar", "case/"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_of_a_run_that_was_ended(number: signal.Signals, output: str, tmp_path: Path) -> None:
    content = made(PLAIN, "note", "sorted").content
    modules = tmp_path / "in"
    modules.mkdir()
    for each in range(3000):
        (modules / f"m{each}.ko").write_bytes(content + str(each).encode())
    out = tmp_path / "out"
    out.mkdir()
    words = ["evidence", str(modules), "-o", str(out / output) + ("/" if output[-1] == "/" else "")]
    with subprocess.Popen(
        [sys.executable, "-m", "elfsig", *words], env=environment(), stderr=subprocess.DEVNULL
    ) as process:
        time.sleep(3)
        process.send_signal(number)
        assert process.wait() != 0
    left = [each.name for each in out.iterdir()]
    if output == "case/" and number == signal.SIGKILL:
        assert all(re.fullmatch(r"\.case\..*\.elfsig-tmp", each) for each in left)
    else:
        assert left == []


def test_a_full_disk_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.ko"
    path.write_bytes(PLAIN)
    done = run("evidence", path, "-o", tmp_path / "absent" / "case.tar")
    assert (done.code, "not written" in done.err) == (1, True)


# --------------------------------------------------------------------------- from Python


def test_the_library(tmp_path: Path, bin_: Path) -> None:
    path = tmp_path / "x.ko"
    path.write_bytes(made(PLAIN, "pkcs7", "whole-file").content)
    done = elfsig.evidence(path, tmp_path / "case.tar", CERT.read_bytes(), only=["valid"])
    assert (done.modules, dict(done.verdicts), done.incomplete) == (1, {"valid": 1}, 0)
    assert done.sha256 == hashlib.sha256((tmp_path / "case.tar").read_bytes()).hexdigest()
    assert recheck(unpacked(tmp_path / "case.tar", tmp_path / "unpacked"), bin_).code == 0
    with pytest.raises(UsageError, match="unknown verdict 'good'"):
        elfsig.evidence(path, tmp_path / "other.tar", only=["good"])
    with pytest.raises(WriteError):
        elfsig.evidence(path, tmp_path / "absent" / "other.tar")
    assert not (tmp_path / "other.tar").exists()
