"""``elfsig survey``: what verify says of every module, wherever it is, and whether all was looked at."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import lzma
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lz4.frame
import pytest
import zstandard
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate

import corpus
import elfsig
from elfsig.batch.survey import run as survey_run
from elfsig.containers.contract import Container, Context, Member
from elfsig.containers.readers import Reader
from elfsig.containers.registry import Containers, load
from elfsig.verbs.survey.shapes import is_record
from tests.support import images
from tests.support.archives import tar
from tests.support.cli import validator
from tests.support.keysources import COMPRESSORS, bzimage, certificate_list, unpacked
from tests.support.run import run
from tests.support.signed import CERT, made
from tests.support.tools import need

UNSIGNED = corpus.content("amd64-2.6.39-uek.ko")
SIGNED = made(UNSIGNED, "pkcs7", "whole-file").content
Json = dict[str, Any]


@pytest.fixture
def nested(tmp_path: Path) -> Path:
    """Two modules and an object file in a tar in a compressed tar."""
    inner = tar(a__sample_ko=SIGNED, b__sample_ko=UNSIGNED, usr__readme=b"text", crt1_o=_object())
    path = tmp_path / "outer.tar"
    path.write_bytes(tar(inner_tar=inner, boot__config=b"CONFIG_MODULES=y\n"))
    subprocess.run([need("xz"), str(path)], check=True)
    return tmp_path / "outer.tar.xz"


def _object() -> bytes:
    """A relocatable ELF file that is not a module."""
    renamed = UNSIGNED.replace(b".modinfo", b".madinfo").replace(b"__ksymtab", b"__ksimtab")
    return renamed.replace(b".gnu.linkonce.this_module", b".gnu.linkonce.that_module")


def records(*words: str | Path) -> list[Json]:
    return run("survey", "--jsonl", *words).files()


def test_every_module_gets_the_verdict_of_verify(nested: Path, tmp_path: Path) -> None:
    found = records(nested, "--trust", CERT)
    modules = {each["path"]: each for each in found if each["record"] == "module"}
    for name, content in (("a", SIGNED), ("b", UNSIGNED)):
        plain = tmp_path / f"{name}.ko"
        plain.write_bytes(content)
        said = run("verify", plain, "--trust", CERT, "--jsonl").files()[0]
        record = modules.pop(f"{nested}!/inner.tar!/{name}/sample.ko")
        shared = said.keys() - {"path"}
        assert {key: record[key] for key in shared} == {key: said[key] for key in shared}
    assert modules == {}


def test_the_chain_names_every_layer(nested: Path) -> None:
    chain = next(e for e in records(nested, "--trust", CERT) if e["record"] == "module")["chain"]
    assert [(each["kind"], each["name"]) for each in chain] == [
        ("file", str(nested)), ("xz", ""), ("tar", "inner.tar"), ("tar", "a/sample.ko"),
    ]  # fmt: skip
    assert chain[0]["sha256"] == hashlib.sha256(nested.read_bytes()).hexdigest()
    assert chain[-1]["sha256"] == hashlib.sha256(SIGNED).hexdigest()
    assert chain[-1]["size"] == len(SIGNED)


def test_a_container_in_a_container_is_hashed_at_its_end(nested: Path) -> None:
    inner = next(e for e in records(nested) if e["record"] == "container")
    content = subprocess.run(["tar", "-xJOf", nested, "inner.tar"], check=True, capture_output=True).stdout
    assert inner["chain"][-1]["name"] == "inner.tar"
    assert inner["chain"][-1]["sha256"] == hashlib.sha256(content).hexdigest()


def test_containers_come_after_what_is_in_them(nested: Path) -> None:
    found = [(e["record"], e.get("kind"), e.get("modules")) for e in records(nested)]
    assert found == [
        ("module", None, None), ("module", None, None), ("container", "tar", 2), ("container", "tar", 2),
        ("container", "xz", 2),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"a_ko": SIGNED}, 0),
        ({"a_ko": SIGNED, "b_ko": UNSIGNED}, 1),
        ({"a_ko": SIGNED, "b_tar": tar(c_ko=SIGNED)[:700]}, 5),
        ({"b_ko": UNSIGNED, "b_tar": tar(c_ko=SIGNED)[:700]}, 1),
        ({"readme": b"text"}, 5),
    ],
)
def test_exit_codes(tmp_path: Path, members: dict[str, bytes], code: int) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(tar(**members))
    assert run("survey", path, "--trust", CERT).code == code


def test_a_cut_off_archive_is_named_and_what_was_before_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    whole = tar(a_ko=SIGNED, b_ko=SIGNED)
    path.write_bytes(whole[: len(SIGNED) + 2000])
    done = run("survey", path, "--trust", CERT)
    lines = done.out.splitlines()
    assert lines[0].startswith(f"{path}!/a.ko: valid: ")
    assert any(line.startswith(f"{path}: tar: not read to its end (truncated): ") for line in lines)
    assert done.code == 5
    assert "1 container not read to the end, which may hold modules that are not listed" in done.err


def test_a_failing_member_is_a_module_record_too(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(tar(a_ko=SIGNED)[: len(SIGNED) // 2])
    found = records(path, "--trust", CERT)
    assert [(e["record"], (e["error"] or {}).get("code")) for e in found] == [
        ("module", "truncated"), ("container", "truncated"),
    ]  # fmt: skip


def test_what_is_of_no_known_kind(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("text")
    named = records(tmp_path / "notes.txt")
    assert [(e["record"], e["error"]["code"]) for e in named] == [("container", "unrecognised")]
    assert run("survey", "--jsonl", tmp_path).out == ""
    assert [e["error"]["code"] for e in records(tmp_path / "absent")] == ["not-found"]


def test_a_directory_of_modules_and_containers(nested: Path, tmp_path: Path) -> None:
    (tmp_path / "z").mkdir()
    for number in range(70):
        (tmp_path / "z" / f"m{number:02}.ko").write_bytes(SIGNED)
    (tmp_path / "z" / "link.ko").symlink_to("/etc/passwd")
    names = ["link", *(f"m{number:02}" for number in range(70))]
    found = [e["path"] for e in records(tmp_path, "--trust", CERT) if e["record"] == "module"]
    assert len(found) == 73
    assert found[2:] == [str(tmp_path / "z" / f"{name}.ko") for name in names]


def test_text_and_document(nested: Path) -> None:
    done = run("survey", nested, "--trust", CERT, "--json")
    document = json.loads(done.out)
    validator().validate(document)
    assert document["summary"] == {
        "containers": 3, "incomplete": 0, "kernels": 0, "modules": 2, "verdicts": {"unsigned": 1, "valid": 1},
    }  # fmt: skip
    assert document["run"]["cage"]["held"]
    assert "2 modules in 3 containers: 1 valid, 1 unsigned" in done.err


def test_copies_that_lost_their_signature(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(tar(disk__a_ko=SIGNED, initrd_tar=tar(a_ko=UNSIGNED)))
    done = run("survey", path, "--trust", CERT)
    assert "lost its signature, in:\n" in done.out
    several = json.loads(run("survey", path, "--json").out)["several_places"]
    assert [each["relation"] for each in several] == ["lost its signature"]


# --------------------------------------------------------------------------- keys of the same disk


@pytest.fixture
def with_kernel(tmp_path: Path) -> Path:
    """A module, and after it the kernel that holds its key."""
    der = load_pem_x509_certificate(CERT.read_bytes()).public_bytes(Encoding.DER)
    kernel = bzimage(COMPRESSORS["gzip"](unpacked(certificate_list([der]))))
    path = tmp_path / "disk.tar"
    path.write_bytes(tar(lib__a_ko=SIGNED, boot__vmlinuz=kernel))
    return path


def test_keys_found_are_never_trusted(with_kernel: Path) -> None:
    found = records(with_kernel, "--keys", "found")
    module, kernel = found[0], found[1]
    assert kernel["record"] == "kernel" and len(kernel["keys"]) == 1
    assert module["verdict"] == "untrusted"
    assert "kernel-in-same-file" in {each["code"] for each in module["warnings"]}
    assert module["signatures"][0]["key"]["source"] == f"{with_kernel}!/boot/vmlinuz"
    assert run("survey", with_kernel, "--keys", "found").code == 4


def test_without_keys_found_the_kernel_is_only_listed(with_kernel: Path) -> None:
    found = records(with_kernel)
    assert [each["record"] for each in found] == ["module", "kernel", "container"]
    assert found[0]["verdict"] == "unchecked"


def test_a_kernel_in_a_container_is_a_key_source(with_kernel: Path) -> None:
    source = f"{with_kernel}!/boot/vmlinuz"
    assert run("survey", with_kernel, "--trust", source).code == 0
    assert run("verify", f"{with_kernel}!/lib/a.ko", "--trust", source).code == 0


# --------------------------------------------------------------------------- limits and the cage


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--max-members", "1", "--max-members raises the limit"),
        ("--max-depth", "2", "--max-depth raises the limit"),
        ("--max-size", "5000", "--max-size raises the limit"),
    ],
)
def test_budgets_are_named(nested: Path, option: str, value: str, said: str) -> None:
    done = run("survey", nested, "--trust", CERT, option, value)
    assert done.code in (1, 5)
    assert "(over-budget)" in done.out
    assert said in done.out


def _crash(reader: Reader, context: Context) -> Iterator[Member]:
    yield Member(b"a.ko", "file", reader.part(len(SIGNED), "a.ko"))
    os.abort()


def _spin(reader: Reader, context: Context) -> Iterator[Member]:
    yield Member(b"a.ko", "file", reader.part(len(SIGNED), "a.ko"))
    while True:
        pass


@pytest.mark.parametrize(("how", "said"), [(_crash, "SIGABRT"), (_spin, "it took more than")])
def test_a_crash_or_a_hang_costs_one_file(
    how: Any, said: str, nested: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "evil.bin"
    path.write_bytes(b"EVILFILE" + SIGNED)

    def opened(reader: Reader, context: Context) -> Iterator[Member]:
        reader.skip(8)
        yield from how(reader, context)

    evil = Container("evil", ((0, b"EVILFILE"),), opened)
    known = Containers((evil, *load(False).containers))
    monkeypatch.setattr("elfsig.containers.walk.load", lambda: known)
    found = records(path, nested, "--trust", CERT, "--max-seconds", "1", "-j1")
    assert [(e["record"], e["path"]) for e in found[:2]] == [
        ("module", f"{path}!/a.ko"), ("container", str(path)),
    ]  # fmt: skip
    assert found[1]["error"]["code"] == "killed" and said in found[1]["error"]["text"]
    assert found[1]["modules"] == 1
    assert [e["record"] for e in found[2:]].count("module") == 2


def test_a_child_that_lies_is_found_out() -> None:
    record = elfsig.ContainerRecord("x.tar", (elfsig.Layer("file", "x.tar"),), "tar", 1, 0).to_json()
    assert survey_run.line_of([record, "", ""], "x.tar").record == record
    bad: list[Any] = [
        None, [record], [{**record, "path": "other.tar"}, "", ""], [{**record, "modules": "3"}, "", ""],
        [{**record, "record": "verdict"}, "", ""], [record, 1, ""], [{**record, "chain": [1]}, "", ""],
    ]  # fmt: skip
    for item in bad:
        with pytest.raises(ValueError):
            survey_run.line_of(item, "x.tar")


def test_a_fault_after_everything_was_reported_is_a_record(
    nested: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = survey_run._Worker._work

    def and_more(self: Any, batch: Any, report: Any) -> None:
        work(self, batch, report)
        report(["one", "more"])

    monkeypatch.setattr(survey_run._Worker, "_work", and_more)
    *found, last = records(nested, "--trust", CERT, "-j1")
    assert [each["record"] for each in found].count("module") == 2
    assert last["path"] == str(nested) and last["error"]["code"] == "killed" and last["modules"] == 2


def test_a_member_of_another_shape_is_found_out(nested: Path) -> None:
    record = next(each for each in records(nested, "--trust", CERT) if each["record"] == "module")
    assert is_record(record)
    odd: tuple[Any, ...] = (True, 1.5, {}, ["x"], [[]], [{}], [None])
    for name in ("sha256", "size", "signatures", "warnings", "verdict", "kernel", "chain", "path"):
        assert not is_record({member: each for member, each in record.items() if member != name})
        for value in odd:
            assert not is_record({**record, name: value}), (name, value)
    for layer in ({**record["chain"][0], "name": 1}, {**record["chain"][0], "size": True}):
        assert not is_record({**record, "chain": [layer]})
    assert not is_record({**record, "verdict": "valid "})


def test_without_a_cage_it_says_the_same(nested: Path) -> None:
    caged, plain = (records(nested, "--trust", CERT, *more) for more in ((), ("--no-cage",)))
    assert caged == plain


# --------------------------------------------------------------------------- images in several files


def test_files_of_one_image_belong_together() -> None:
    names = ["a.E01", "a.E02", "a.E03", "b.E01", "c.E02", "d.E01", "d.E03", "e.ko"]
    found = [each.files for each in survey_run.outermost(names)]
    assert found == [
        ("a.E01", "a.E02", "a.E03"), ("b.E01",), ("c.E02",), ("d.E01",), ("d.E03",), ("e.ko",),
    ]  # fmt: skip
    many = [f"x.E{number:02}" for number in range(1, 100)] + ["x.EAA", "x.EAB"]
    assert [each.files for each in survey_run.outermost(many)] == [tuple(many)]


@pytest.fixture
def split(tmp_path: Path) -> list[Path]:
    """A disk with a module at its end, in three files or more."""
    content = os.urandom(5 << 20)
    (tmp_path / "raw").write_bytes(tar(noise=content, a_ko=SIGNED) + bytes(512))
    words = ("-u", "-q", "-c", "none", "-S", "1MiB", "-f", "encase6", "-t", tmp_path / "disk")
    images.call("ewfacquire", *words, tmp_path / "raw")
    return sorted(tmp_path.glob("disk.E*"))


def test_an_image_in_several_files(split: list[Path]) -> None:
    assert len(split) >= 3
    found = records(*split, "--trust", CERT)
    modules = [each for each in found if each["record"] == "module"]
    assert [each["verdict"] for each in modules] == ["valid"]
    assert modules[0]["path"] == f"{split[0]}!/a.ko"
    assert all(each["complete"] for each in found if each["record"] == "container")
    further = {each["path"]: each["chain"][0]["sha256"] for each in found if each.get("kind") == "further"}
    assert further == {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in split[1:]}


def test_a_changed_byte_in_a_further_file_is_noticed(split: list[Path]) -> None:
    data = bytearray(split[1].read_bytes())
    data[len(data) // 2] ^= 1
    split[1].write_bytes(data)
    bad = [e for e in records(*split) if e["record"] == "container" and not e["complete"]]
    assert any("checksum" in each["error"]["text"] for each in bad)


def test_an_image_of_which_a_file_is_missing(split: list[Path]) -> None:
    for given, said in ((split[:1], "number 2 was not given"), (split[:-1], f"number {len(split)} was not")):
        (container, *_) = records(*given)
        assert not container["complete"] and said in container["error"]["text"]


# --------------------------------------------------------------------------- reports, library


def test_reports_are_written(nested: Path, tmp_path: Path) -> None:
    html, sarif = tmp_path / "r.html", tmp_path / "r.sarif"
    assert run("survey", nested, "--html", html, "--sarif", sarif).code == 1
    assert html.read_text().count('id="map-') == 0  # unchecked signatures have no map
    results = json.loads(sarif.read_text())["runs"][0]["results"]
    assert {each["ruleId"] for each in results} == {"unsigned", "other-key"}


def test_the_page_has_a_map_of_each_odd_module(nested: Path, tmp_path: Path) -> None:
    html = tmp_path / "r.html"
    other = corpus.KEYS / "other.cert.pem"
    assert run("survey", nested, "--trust", other, "--html", html).code == 1
    text = html.read_text()
    assert text.count('id="map-') == 1 and 'svg class="map"' in text


def test_the_library_yields_typed_records(nested: Path) -> None:
    found = list(elfsig.survey(nested, trust=CERT))
    kinds = [type(each).__name__ for each in found]
    assert kinds == ["ModuleRecord", "ModuleRecord", *["ContainerRecord"] * 3]
    assert isinstance(found[0], elfsig.ModuleRecord)
    assert found[0].report.require_valid().format == "pkcs7"
    assert [each.to_json() for each in found] == records(nested, "--trust", CERT)
    with pytest.raises(TypeError):
        bool(found[0])


def test_a_boot_image_without_its_kernel_is_a_kernel_record(tmp_path: Path) -> None:
    path = tmp_path / "vmlinuz"
    path.write_bytes(bzimage(b"nothing compressed here"))
    found = records(path)
    assert [each["record"] for each in found] == ["kernel"]
    assert found[0]["error"]["code"]


def bz2_in(name: str, content: bytes = UNSIGNED) -> tuple[str, bytes]:
    return name, bz2.compress(content)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        bz2_in("a.ko.bz2"), bz2_in("a.ko"), bz2_in("a.ko.xz"),
        ("a.ko.lzma", lzma.compress(UNSIGNED, lzma.FORMAT_ALONE)),
        ("a.ko.lz4", lz4.frame.compress(UNSIGNED)),
        ("a.ko.xz", lzma.compress(gzip.compress(UNSIGNED))),
        ("a.ko.gz", gzip.compress(gzip.compress(UNSIGNED))),
        ("a.ko.zst", zstandard.compress(bz2.compress(UNSIGNED))),
    ],
)  # fmt: skip
def test_modules_that_are_compressed_as_no_kernel_reads_them(
    name: str, content: bytes, tmp_path: Path
) -> None:
    (tmp_path / "tree").mkdir()
    path = tmp_path / "tree" / name
    path.write_bytes(content)
    packed = tmp_path / "x.tar"
    packed.write_bytes(tar(**{name.replace(".", "_"): content}))
    for given, shown in ((path, path), (path.parent, path), (packed, f"{packed}!/{name}")):
        done = run("survey", given)
        assert (done.code, done.out.splitlines()[0]) == (1, f"{shown}: unsigned: no trace of a signature")


@pytest.mark.parametrize("content", [b"text", b"", lzma.compress(b"text"), _object()])
def test_what_is_called_a_module_is_named_whatever_it_is(content: bytes, tmp_path: Path) -> None:
    for name, data in (bz2_in("a.ko.bz2", content), ("a.ko.lzo", content), bz2_in("a.ko", content)):
        packed = tmp_path / "x.tar"
        packed.write_bytes(tar(**{name.replace(".", "_"): data}))
        done = run("survey", packed)
        assert done.code in (1, 5) and f"{packed}!/{name}: " in done.out + done.err
