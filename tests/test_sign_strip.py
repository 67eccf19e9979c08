"""sign and strip: strip takes back exactly what sign added, and no other signature is broken on the way."""

from __future__ import annotations

import lzma
import os
import random
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import corpus
from elfsig import registry
from elfsig.batch.edit import Output, edit
from elfsig.carriers.trailer import MARKER
from elfsig.compression import whole as compression
from elfsig.elf import modinfo
from elfsig.elf.image import Image
from elfsig.errors import EditRefused, ElfsigError, SigningError, UsageError
from elfsig.model import Existing, SignOptions
from elfsig.opened.evidence import read
from elfsig.opened.module import Module
from elfsig.opened.places import find
from elfsig.verbs.edit.change import Change, Done
from elfsig.verbs.edit.sign import SignResult, sign, sign_file
from elfsig.verbs.edit.strip import StripResult, strip, strip_file
from tests.support.cli import elfsig
from tests.support.debian import debian_modules
from tests.support.opened import decompressed, opened
from tests.support.openpgp import signer as throwaway
from tests.support.signed import era_signer, signer
from tests.support.tools import need

REGISTRY = registry.load(plugins=False)
PLAIN = [sample.name for sample in corpus.select("unsigned") if sample.kept]
KEY, CERT = corpus.KEYS / "signer.key.pem", corpus.KEYS / "signer.cert.pem"
KEYED = (f"--key={KEY}", f"--cert={CERT}")
SIGNING = [f.id for f in REGISTRY.formats if "sign" in f.capabilities and f.carrier.kind != "detached"]
MODULE = "amd64-6.1.ko"


def make(content: bytes, format_id: str, *, existing: Existing = Existing.REFUSE, **wish: Any) -> SignResult:
    """Sign with the throw-away keys, whatever kernels of the format's time would say."""
    if format_id == "note":
        wish.setdefault("coverage", "sorted")
    options = SignOptions(created=1, **{"force": True, **wish})
    return sign(
        decompressed(content),
        REGISTRY.get(format_id),
        era_signer(format_id),
        options,
        existing=existing,
    )


def ids(content: bytes) -> list[str]:
    """The formats of the whole signatures in ``content``, from the outside in."""
    return [found.claimants[0].id for found in find(Image(content), REGISTRY) if not found.place.fault]


# --------------------------------------------------------------------------- there and back


@pytest.mark.parametrize("format_id", SIGNING)
@pytest.mark.parametrize("name", PLAIN)
def test_strip_gives_back_the_sample_to_the_byte(name: str, format_id: str) -> None:
    original = corpus.content(name)
    signed = make(original, format_id)
    assert ids(signed.content) == [format_id]
    assert len(signed.content) - len(original) == signed.size
    stripped = strip(opened(signed.content))
    assert stripped.content == original
    assert [removed.format for removed in stripped.removed] == [format_id]


@pytest.mark.parametrize("arch", ["amd64", "i386", "arm64", "s390x"])
def test_strip_gives_back_real_modules_to_the_byte(arch: str) -> None:
    chosen = random.Random(arch).sample(debian_modules(arch), 30)
    for path in chosen:
        as_shipped = path.read_bytes()
        original = strip(opened(as_shipped)).content
        assert as_shipped.startswith(original) and MARKER not in original
        again = make(as_shipped, "pkcs7", existing=Existing.REPLACE)
        assert [removed.format for removed in again.removed] == ["pkcs7"]
        for format_id in ("pkcs7", "x509", "note", "redhat"):
            assert strip(opened(make(original, format_id).content)).content == original
        assert strip(opened(again.content)).content == original


def test_sign_equals_the_kernel_s_sign_file(tmp_path: Path) -> None:
    module, theirs = tmp_path / "a.ko", tmp_path / "theirs.ko"
    module.write_bytes(corpus.content(MODULE))
    subprocess.run([need("sign-file"), "sha512", KEY, CERT, module, theirs], check=True)
    ran = elfsig("sign", module, "--format=pkcs7", *KEYED, "--hash=sha512", "-o", tmp_path / "ours.ko")
    assert ran.code == 0, ran.err
    assert (tmp_path / "ours.ko").read_bytes() == theirs.read_bytes()


def test_stacked_signatures_come_off_one_by_one() -> None:
    original = corpus.content(MODULE)
    order = ["redhat", "note", "crypto-digsig", "x509", "pkcs7"]
    contents = [original]
    for format_id in order:
        contents.append(make(contents[-1], format_id, existing=Existing.STACK).content)
    for format_id, before in zip(reversed(order), reversed(contents[:-1]), strict=True):
        step = strip(opened(contents.pop()))
        assert [removed.format for removed in step.removed] == [format_id]
        assert step.content == before
    full = original
    for format_id in order:
        full = make(full, format_id, existing=Existing.STACK).content
    everything = strip(opened(full), everything=True)
    assert everything.content == original and len(everything.removed) == len(order)


TAILS = st.sampled_from([b"", MARKER, MARKER[:-1], b"This Is A Crypto Signed Module", bytes(12) + MARKER])


@settings(max_examples=60, deadline=None)
@given(content=st.builds(bytes.__add__, st.binary(min_size=1, max_size=80), TAILS))
@pytest.mark.parametrize("format_id", ["pkcs7", "x509", "crypto-digsig"])
def test_a_trailer_comes_off_whatever_it_is_put_on(format_id: str, content: bytes) -> None:
    signed = make(content, format_id, existing=Existing.STACK)
    assert strip(decompressed(signed.content)).content == content


@settings(max_examples=150, deadline=None)
@given(where=st.integers(0, 5000), value=st.binary(min_size=1, max_size=8), cut=st.integers(0, 5000))
def test_damage_is_stripped_or_refused_and_never_a_crash(where: int, value: bytes, cut: int) -> None:
    damaged = bytearray(signed_with_all())
    damaged[where % len(damaged) : where % len(damaged) + len(value)] = value
    with suppress(ElfsigError):
        strip(opened(bytes(damaged[: len(damaged) - cut % 700])), everything=True)


@cache
def signed_with_all() -> bytes:
    content = corpus.content(MODULE)
    for format_id in ("redhat", "note", "pkcs7"):
        content = make(content, format_id, existing=Existing.STACK).content
    return content


# --------------------------------------------------------------------------- what is refused


def test_signed_modules_are_refused_unless_it_is_said_what_is_meant() -> None:
    original = corpus.content(MODULE)
    once = make(original, "pkcs7").content
    with pytest.raises(EditRefused, match="already signed: pkcs7") as caught:
        make(once, "x509")
    assert caught.value.code == "already-signed"
    assert ids(make(once, "x509", existing=Existing.REPLACE).content) == ["x509"]
    assert ids(make(once, "x509", existing=Existing.STACK).content) == ["x509", "pkcs7"]
    with pytest.raises(EditRefused, match=r"remains of a signature.* before you sign it") as caught:
        make(once + b"tail", "pkcs7")
    assert caught.value.hint is None, "an option that signs what was changed is not offered"
    assert ids(make(once[:-1], "pkcs7", existing=Existing.STACK).content)[0] == "pkcs7"


def refused(code: str, content: bytes, format_id: str, **more: Any) -> None:
    """Stacking ``format_id`` is refused with ``code``, and done with a remark of that code by force."""
    with pytest.raises(EditRefused) as caught:
        make(content, format_id, existing=Existing.STACK, force=False, **more)
    assert caught.value.code == code
    assert code in [
        remark.code for remark in make(content, format_id, existing=Existing.STACK, **more).remarks
    ]


def test_no_edit_breaks_a_signature_that_stays() -> None:
    original = corpus.content(MODULE)
    inner = make(original, "x509").content
    both = make(inner, "pkcs7", existing=Existing.STACK).content
    with pytest.raises(EditRefused, match=r"the pkcs7 signature .* would no longer match"):
        strip(opened(both), format_id="x509")
    by_force = strip(opened(both), format_id="x509", force=True)
    assert [remark.code for remark in by_force.remarks] == ["breaks-signature"]
    assert ids(by_force.content) == ["pkcs7"]
    refused("breaks-signature", inner, "redhat")
    assert strip(opened(both), format_id="cms").content == inner
    with pytest.raises(UsageError, match="unknown format"):
        strip(opened(both), format_id="nonsense")


def test_an_allocated_signature_section_is_covered_by_a_later_note_and_another_is_not() -> None:
    original = corpus.content("i386-2.6.18-el5.ko")
    both = make(make(original, "redhat").content, "note", existing=Existing.STACK).content
    with pytest.raises(EditRefused, match="the note signature"):
        strip(opened(both), format_id="redhat")
    plain = SignOptions(created=1, force=True)
    inner = sign(opened(original), REGISTRY.get("gkh"), throwaway("rsa1024"), plain).content
    left = strip(opened(make(inner, "note", existing=Existing.STACK).content), format_id="gkh")
    assert ids(left.content) == ["note"] and not left.remarks


@pytest.mark.parametrize("remains", [b"x", b"", MARKER[:-1]])
def test_remains_of_uncertain_extent_are_not_removed(remains: bytes) -> None:
    content = corpus.content(MODULE) + MARKER + remains
    if not remains:
        content = content[: -len(MARKER) - 4] + bytes(4) + MARKER
        content = content[: -len(MARKER) - 4] + b"\xff\xff\xff\xff" + MARKER
    with pytest.raises(EditRefused, match="extent is uncertain"):
        strip(opened(content))


def test_what_is_no_module() -> None:
    for format_id in ("note", "redhat", "gkh"):
        with pytest.raises(EditRefused, match="not an ELF file"):
            make(b"just text", format_id)
    signed = make(b"just text", "pkcs7")
    assert [remark.code for remark in signed.remarks] == ["not-elf"]
    assert strip(opened(signed.content)).content == b"just text"
    damaged = corpus.content(MODULE)[:2000]
    assert [remark.code for remark in make(damaged, "pkcs7").remarks] == ["elf-damaged"]
    with pytest.raises(EditRefused, match="empty"):
        make(b"", "pkcs7")
    text = opened(b"just text")
    assert strip(text) == StripResult(text, ())


def test_wishes_that_a_format_cannot_fulfil() -> None:
    content = corpus.content(MODULE)
    with pytest.raises(SigningError, match="choices are whole-file"):
        make(content, "pkcs7", coverage="sorted")
    with pytest.raises(SigningError, match="cannot be made"):
        make(content, "merkle")


def test_modinfo_is_read_within_bounds() -> None:
    image = Image(corpus.content(MODULE))
    assert ("license" in [name.decode() for name, _ in modinfo.fields(image)]) and (
        modinfo.value(image, b"vermagic") or ""
    ).startswith("6.1.0-sample")
    assert modinfo.fields(Image(b"text")) == []
    assert modinfo.value(image, b"no such field") is None


# --------------------------------------------------------------------------- files


def run(paths: Sequence[Path], output: Output, strip_all: bool = False) -> list[Done]:
    def change(module: Module) -> Change:
        if strip_all:
            return strip_file(module, everything=True)
        return sign_file(module, REGISTRY.get("pkcs7"), signer(), SignOptions())

    return list(edit([str(path) for path in paths], change, output, REGISTRY))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree of samples, plain and compressed."""
    root = tmp_path / "tree"
    for number, name in enumerate(PLAIN):
        path = root / f"kernel/{number % 3}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(corpus.content(name))
    packed: dict[str, compression.Compression] = {"gz": "gzip", "xz": "xz", "zst": "zstd"}
    for suffix, kind in packed.items():
        (root / f"packed.ko.{suffix}").write_bytes(compression.pack(corpus.content(MODULE), kind))
    return root


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): read(path).content for path in root.rglob("*.ko*")}


def test_a_tree_is_signed_and_stripped_in_place(tree: Path) -> None:
    before, raw = contents(tree), (tree / "packed.ko.xz").read_bytes()
    done = run([tree], Output(in_place=True))
    assert {each.word for each in done} == {"signed"} and len(done) == len(before)
    for name, content in contents(tree).items():
        assert ids(content) == ["pkcs7"] and content.startswith(before[name])
    for suffix, kind in (("gz", "gzip"), ("xz", "xz"), ("zst", "zstd")):
        plain = subprocess.run(
            [need(kind), "-dc", tree / f"packed.ko.{suffix}"], capture_output=True, check=True
        )
        assert plain.stdout.endswith(MARKER)
    assert {each.error.code for each in run([tree], Output(in_place=True)) if each.error} == {
        "already-signed"
    }
    run([tree], Output(in_place=True), strip_all=True)
    assert contents(tree) == before and (tree / "packed.ko.xz").read_bytes() == raw


def test_the_tree_is_kept_in_the_output_directory(tree: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in tree.rglob("*.ko*")}
    assert not [each for each in run([tree], Output(directory=str(tmp_path / "out"))) if each.error]
    assert contents(tmp_path / "out").keys() == contents(tree).keys()
    assert {path: path.read_bytes() for path in before} == before
    alike = tmp_path / "other" / MODULE
    alike.parent.mkdir()
    alike.write_bytes(corpus.content(MODULE))
    done = run([alike, *tree.rglob(MODULE)], Output(directory=str(tmp_path / "flat")))
    assert [each.error.code if each.error else None for each in done] == [None, "same-target"]


def test_what_needs_nothing_is_not_written_in_place_and_copied_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "a.ko.xz"
    path.write_bytes(lzma.compress(corpus.content(MODULE), check=lzma.CHECK_CRC64))
    before = path.stat()
    (done,) = run([path], Output(in_place=True), strip_all=True)
    assert (done.word, done.target) == ("unchanged", None) and path.stat() == before
    run([path], Output(file=str(tmp_path / "b.ko.xz")), strip_all=True)
    assert (tmp_path / "b.ko.xz").read_bytes() == path.read_bytes()


def test_one_bad_file_stops_no_other(tree: Path, tmp_path: Path) -> None:
    os.mkfifo(tree / "fifo.ko")
    (tree / "cut.ko.gz").write_bytes(compression.pack(corpus.content(MODULE), "gzip")[:500])
    (tree / "empty.ko").touch()
    ran = elfsig("sign", tree, tmp_path / "gone", "--format=pkcs7", *KEYED, "--in-place")
    assert ran.code == 1
    assert ran.out.count("signature made") == len(PLAIN) + 3
    for line in (
        "fifo.ko: is a FIFO",
        "cut.ko.gz: damaged gzip",
        "empty.ko: the file is empty",
        "gone: no such",
    ):
        assert line in ran.err
    assert f"{len(PLAIN) + 7} files: 4 failed, {len(PLAIN) + 3} signed" in ran.err


def test_outputs_that_make_no_sense(tree: Path, tmp_path: Path) -> None:
    module = next(tree.rglob(MODULE))
    strip_it = ("strip", module)
    assert elfsig(*strip_it).code == 2
    assert elfsig(*strip_it, "--in-place", "-o", tmp_path / "x").code == 2
    assert elfsig("strip", tree, "-o", tmp_path / "x").code == 2
    assert elfsig("strip", tree, "--output-dir", tree / "out").code == 2
    ran = elfsig(*strip_it, "-o", module)
    assert ran.code == 2 and "would overwrite what" in ran.err and "--in-place" in ran.err
    assert elfsig("strip", tmp_path / "gone", "--in-place").code == 5
    assert not (tmp_path / "x").exists()


def test_a_file_goes_into_no_directory_that_is_not_there(tmp_path: Path) -> None:
    ran = elfsig("sign", corpus.SAMPLES / MODULE, "--format=pkcs7", *KEYED, "-o", tmp_path / "typo" / "x.ko")
    missing = f"-o {tmp_path / 'typo' / 'x.ko'}: there is no such directory"
    assert ran.code == 2 and missing in ran.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("hash_name", "code", "said"),
    [("sha256", 0, ""), ("md5", 0, "warning: --hash md5: collisions are practical"),
     ("sha1", 0, "warning: --hash sha1: collisions"), ("md17", 2, "unknown hash 'md17'")],
)  # fmt: skip
def test_a_weak_hash_is_named_and_an_unknown_one_is_wrong_usage(
    hash_name: str, code: int, said: str, tmp_path: Path
) -> None:
    options = ("--format=pkcs7", *KEYED, "--hash", hash_name, "-o", tmp_path / "x.ko")
    ran = elfsig("sign", corpus.SAMPLES / MODULE, *options)
    assert ran.code == code and said in ran.err and bool(ran.err) == bool(said)


def test_a_module_argument_is_a_file_of_its_own(tmp_path: Path) -> None:
    module = tmp_path / "a.ko"
    module.write_bytes(corpus.content(MODULE))
    wish = ("sign", module, "--format=modarg-pgp", *KEYED)
    ran = elfsig(*wish, "-o", tmp_path / "argument")
    assert ran.code == 0, ran.err
    assert (tmp_path / "argument").read_bytes().startswith(b"modsign=")
    assert elfsig(*wish, "--in-place").code == 1
    assert module.read_bytes() == corpus.content(MODULE)


# --------------------------------------------------------------------------- signed after compression


def test_a_signature_behind_the_compression_is_removed_exactly(tmp_path: Path) -> None:
    packed = compression.pack(corpus.content(MODULE), "xz")
    path = tmp_path / "a.ko.xz"
    path.write_bytes(make(packed, "pkcs7").content)
    (refusal,) = run([path], Output(in_place=True))
    assert refusal.error is not None and "signed after compression" in refusal.error.text
    (done,) = run([path], Output(in_place=True), strip_all=True)
    assert "after the compressed stream" in done.text
    assert path.read_bytes() == packed
    path.write_bytes(packed + b"something else")
    (refusal,) = run([path], Output(in_place=True), strip_all=True)
    assert refusal.error is not None and refusal.error.code == "compressed-tail"


def test_replace_puts_the_signature_inside_the_compression() -> None:
    packed = compression.pack(corpus.content(MODULE), "zstd")
    evidence = read(make(packed, "pkcs7").content)
    change = sign_file(
        opened(evidence), REGISTRY.get("pkcs7"), signer(), SignOptions(), existing=Existing.REPLACE
    )
    assert change.content is not None and ids(change.content) == ["pkcs7"]
    assert read(evidence.packed(change.content)).tail_offset is None


@pytest.mark.parametrize("tail", [b"\0", b"\0" * 512, b" ", b"\n", b"appended text"])
def test_what_follows_a_trailer_goes_with_it_where_that_is_wished(tail: bytes, tmp_path: Path) -> None:
    """Padding to a block, for instance: refused, with the way on, which gives the plain module."""
    key, cert = corpus.KEYS / "signer.key.pem", corpus.KEYS / "signer.cert.pem"
    plain, padded, out = tmp_path / "plain.ko", tmp_path / "padded.ko", tmp_path / "out.ko"
    plain.write_bytes((corpus.SAMPLES / "amd64-6.1.ko").read_bytes())
    assert elfsig("strip", "--all", "--in-place", plain).code == 0
    how = ("--format", "pkcs7", "--key", key, "--cert", cert)
    assert elfsig("sign", *how, "-o", padded, plain).code == 0
    padded.write_bytes(padded.read_bytes() + tail)
    for words in (("strip",), ("sign", *how, "--replace")):
        refused = elfsig(*words, "-o", out, padded)
        assert refused.code == 1 and "once you know what follows it, --force removes both" in refused.err
    assert elfsig("strip", "--force", "-o", out, padded).code == 0
    assert out.read_bytes() == plain.read_bytes()
    assert elfsig("sign", *how, "--replace", "--force", "-o", out, "--force", padded).code == 0
    assert elfsig("verify", "--trust", cert, out).code == 0
