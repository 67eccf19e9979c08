"""What goes wrong at one file is that file's error: a plug-in's mistake, a verb's, a kernel walk's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import corpus
import elfsig
from elfsig.batch.edit import Output, edit
from elfsig.batch.tree import Examination, verify_tree
from elfsig.carriers.trailer import INFO, MARKER
from elfsig.cli.render import list_ as render_list
from elfsig.cli.render import show as render_show
from elfsig.cli.render import verify as render_verify
from elfsig.elf.image import Image
from elfsig.errors import ElfsigError, UsageError
from elfsig.kernels.catalogue import PROFILES
from elfsig.kernels.policy import Subject, every_mode, predict_modes
from elfsig.kernels.select import Chosen
from elfsig.model import Existing, FileReport
from elfsig.model.json_form import file_object
from elfsig.opened.module import Module
from elfsig.registry import Registry
from elfsig.trust.keyring import load
from elfsig.verbs.edit.change import Change
from elfsig.verbs.edit.strip import strip
from elfsig.verbs.verify.examine import Question, examine
from elfsig.verbs.verify.kernel import KernelQuestion, ask
from tests.plugin_package.elfsig_seal import SEAL, SealEnvelope, SealTrailer
from tests.support import elf, verdicts
from tests.support.keysources import rsa_key, spki
from tests.support.opened import opened
from tests.support.run import run
from tests.support.schema import validate
from tests.support.signed import CERT, REGISTRY, made, question

PLUGIN = "tests.plugin_package.elfsig_seal"


def boom(*args: Any, **more: Any) -> Any:
    raise IndexError("list index out of range")


def nonsense(*args: Any, **more: Any) -> Any:
    return ["nonsense"]


def nothing(*args: Any, **more: Any) -> Any:
    return None


MISTAKES: tuple[tuple[type, str, Callable[..., Any]], ...] = (
    (SealTrailer, "find", boom),
    (SealTrailer, "find", nonsense),
    (SealTrailer, "find", nothing),
    (SealEnvelope, "parse", boom),
    (SealEnvelope, "parse", nonsense),
    (SealEnvelope, "parse", nothing),
    (SealEnvelope, "verify", boom),
    (SealEnvelope, "verify", nothing),
)


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """A directory with a module that has a seal, between two without."""
    plain = corpus.content("amd64-6.1.ko")
    (tmp_path / "a.ko").write_bytes(made(plain, "pkcs7", "whole-file").content)
    (tmp_path / "b.ko").write_bytes(plain + bytes(40) + (40).to_bytes(2, "big") + b"SEALED\n")
    (tmp_path / "c.ko").write_bytes(plain)
    return tmp_path


@pytest.mark.parametrize(("owner", "name", "mistake"), MISTAKES)
def test_a_plugin_s_mistake_has_its_name_and_costs_one_file(
    owner: type, name: str, mistake: Callable[..., Any], sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = getattr(owner, name)

    def fragile(self: Any, *args: Any) -> Any:
        image = args[0]
        there = isinstance(image, Image) and not image.data[: image.end].endswith(b"SEALED\n")
        return mine(self, *args) if there else mistake()

    monkeypatch.setattr(owner, name, fragile)
    what = Examination(Registry([*REGISTRY.formats, SEAL]), question())
    good, bad, unsigned = verify_tree([sealed], what, jobs=1)
    assert (str(good.verdict), str(unsigned.verdict)) == ("valid", "unsigned")
    assert bad.error is not None and bad.error.code == "plug-in-error"
    assert bad.error.text.startswith(f"plug-in {PLUGIN}: ")


@pytest.mark.parametrize(("owner", "name", "mistake"), MISTAKES)
def test_a_plugin_s_mistake_leaves_public_functions_under_its_name(
    owner: type, name: str, mistake: Callable[..., Any], sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, name, mistake)
    registry = Registry([*REGISTRY.formats, SEAL])
    module = elfsig.open(sealed / "b.ko", registry=registry)
    for call in (
        lambda: elfsig.verify(sealed / "b.ko", CERT, registry=registry),
        lambda: elfsig.verify(module, CERT),
        lambda: elfsig.coverage(module, CERT),
    ):
        with pytest.raises(elfsig.InternalError) as caught:
            call()
        assert caught.value.code == "plug-in-error"
        assert caught.value.text.startswith(f"plug-in {PLUGIN}: ")
        assert caught.value.__cause__ is not None


def test_a_plugin_that_works_is_blamed_for_nothing(sealed: Path) -> None:
    what = Examination(Registry([*REGISTRY.formats, SEAL]), question())
    assert [str(each.verdict) for each in verify_tree([sealed], what, jobs=1)] == [
        "valid", "unknown-key", "unsigned"
    ]  # fmt: skip


def test_the_name_of_an_entry_point_is_preferred() -> None:
    registry = Registry([*REGISTRY.formats, SEAL], (), {PLUGIN: "seal (elfsig_seal:SEAL)"})
    assert registry.plugin_of(f"{PLUGIN}.deeper") == "seal (elfsig_seal:SEAL)"
    assert registry.plugin_of("elfsig.carriers.trailer") is None
    assert registry.changed(lambda f: f).plugin_of(PLUGIN) == "seal (elfsig_seal:SEAL)"


def test_a_mistake_in_a_change_costs_one_file(sealed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def change(module: Module) -> Change:
        if module.path.endswith("b.ko"):
            raise KeyError("boom")
        return Change(None, "unchanged", "")

    done = list(edit([str(sealed)], change, Output(in_place=True), REGISTRY, jobs=1))
    assert [each.word for each in done] == ["unchanged", "failed", "unchanged"]
    assert done[1].error is not None and done[1].error.code == "internal-error"
    monkeypatch.setenv("ELFSIG_DEBUG", "1")
    with pytest.raises(KeyError):
        list(edit([str(sealed)], change, Output(in_place=True), REGISTRY, jobs=1))


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("elfsig.kernels.policy._walk", ("verify", "--kernel", "6.12")),
        ("elfsig.kernels.policy._walk", ("explain", "--kernel", "6.12")),
        ("elfsig.kernels.policy._walk", ("audit", "--trust", CERT, "--kernel", "6.12")),
        ("elfsig.verbs.audit.audit._file_faults", ("audit", "--trust", CERT)),
        ("elfsig.cli.render.verify.lines", ("verify",)),
        ("elfsig.cli.render.list_.tree_lines", ("list",)),
        ("elfsig.verbs.inspect.sections._sections", ("list", "--sections")),
    ],
)
def test_a_mistake_in_a_verb_or_a_walk_costs_one_file(
    target: str, words: tuple[str | Path, ...], sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, _, name = target.rpartition(".")
    mine = getattr(__import__(module, fromlist=[name]), name)
    calls: list[int] = []

    def fragile(*args: Any, **more: Any) -> Any:
        calls.append(1)
        return boom() if len(calls) == 1 else mine(*args, **more)

    monkeypatch.setattr(target, fragile)
    ran = run(*words, sealed)
    assert "IndexError" in ran.out + ran.err
    assert ran.code not in (0, 70) and "c.ko" in ran.out


# --------------------------------------------------------------------------- kernel walks never raise


def x509_trailer(hash_number: int, value: bytes = bytes(256)) -> bytes:
    """A trailer of the X.509 era with a hash of this number in the kernel's table."""
    blob = b"Somebody" + bytes(20) + len(value).to_bytes(2, "big") + value
    info = INFO.pack(1, hash_number, 1, 8, 20, bytes(3), len(value) + 2)
    return elf.toy() + blob + info + MARKER


@cache
def rings() -> Sequence[Any]:
    """No keys, a certificate, and a bare public key, which has no name and is tried at everything."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        bare = Path(folder) / "bare.pem"
        bare.write_bytes(spki(rsa_key()))
        return (None, load([str(CERT)]), load([str(bare)]), load([str(bare), str(CERT)]))


@pytest.mark.parametrize("number", range(10))
def test_a_bare_key_is_tried_whatever_hash_the_trailer_names(number: int, tmp_path: Path) -> None:
    """Hash 0 is MD4, which OpenSSL may lack."""
    for profile in ("3.7", "rhel7"):
        subject = Subject(opened(x509_trailer(number)), rings()[2], PROFILES[profile])
        assert not any(each.accepted for each in predict_modes(subject, every_mode(subject.profile)[1:2]))
    (tmp_path / "a.ko").write_bytes(x509_trailer(number))
    (tmp_path / "b.ko").write_bytes(corpus.content("amd64-6.1.ko"))
    bare = tmp_path / "bare.pem"
    bare.write_bytes(spki(rsa_key()))
    ran = run("verify", "--trust", bare, "--kernel", "3.7", tmp_path / "a.ko", tmp_path / "b.ko")
    assert "b.ko: kernel 3.7" in ran.out and "internal error" not in ran.err


@pytest.mark.parametrize("field", ["shoff", "shnum", "shstrndx", "shentsize", "ehsize", "phnum"])
@pytest.mark.parametrize("value", [0, 1, 0x40, 0xFF00, 0xFFFF])
def test_no_header_is_too_odd_for_the_elf_checks(field: str, value: int) -> None:
    odd = [
        elf.repatched(elf.toy(), **{field: value}),
        elf.repatched(elf.toy(), **{field: value, "ehsize": 0}),
    ]
    for content in odd:
        for profile in PROFILES.values():
            list(predict_modes(Subject(opened(content), None, profile), every_mode(profile)))


@cache
def bases() -> Sequence[bytes]:
    """Modules with every kind of signature that kernels looked at."""
    plain = corpus.content("amd64-2.6.32-el6.ko")
    sections = [("redhat", "fileorder"), ("gkh", "textdata"), ("note", "sorted")]
    found = [made(plain, name, coverage, existing=Existing.STACK).content for name, coverage in sections]
    trailers = ["pkcs7", "x509", "crypto-digsig", "crypto-pgp", "x509-rc1"]
    known = {f.id for f in REGISTRY.formats if "sign" in f.capabilities}
    found += [made(elf.toy(), name, "whole-file").content for name in trailers if name in known]
    return (*found, x509_trailer(4), verdicts.signed(), elf.toy(), b"text", b"")


CHANGES = st.lists(st.tuples(st.integers(-3000, 3000), st.integers(0, 255)), max_size=4)


def mutated(content: bytes, changes: Sequence[tuple[int, int]], cut: int) -> bytes:
    data = bytearray(content)
    for at, value in changes if data else ():
        data[at % len(data)] = value
    return bytes(data[: len(data) - cut] if cut < len(data) else data)


@settings(max_examples=400, deadline=None)
@given(
    base=st.integers(0, 12), changes=CHANGES, cut=st.sampled_from([0, 0, 0, 1, 7, 40]),
    profile=st.sampled_from(sorted(PROFILES)), ring=st.integers(0, 3),
)  # fmt: skip
def test_predict_and_ask_never_raise(
    base: int, changes: list[tuple[int, int]], cut: int, profile: str, ring: int
) -> None:
    content = mutated(bases()[base % len(bases())], changes, cut)
    subject = Subject(opened(content), rings()[ring], PROFILES[profile])
    for each in predict_modes(subject, every_mode(subject.profile)):
        assert each.accepted is (each.errno is None and not each.panic)
    with suppress(UsageError):
        ask(opened(content), KernelQuestion(Chosen(None), rings()[ring], every=True))


# --------------------------------------------------------------------------- the whole pipeline


@settings(max_examples=300, deadline=None)
@given(
    base=st.integers(0, 12), changes=CHANGES, cut=st.sampled_from([0, 0, 0, 1, 7, 40]), keyed=st.booleans()
)  # fmt: skip
def test_a_changed_signed_module_is_told_of_in_every_form(
    base: int, changes: list[tuple[int, int]], cut: int, keyed: bool
) -> None:
    """verify, show, list, JSON by the schema, and strip, of modules signed in sections and behind them."""
    module = opened(mutated(bases()[base % len(bases())], changes, cut))
    asked = replace(question(), hashes=True) if keyed else Question(check=False)
    report: FileReport = examine(module, asked)
    validate(file_object(report))
    said = "\n".join(render_verify.lines(report))
    assert said.startswith("<bytes>: ") if report.error is None else not said  # an error goes to stderr
    assert render_show.text(report, REGISTRY.modinfo_names) or not report.signatures
    assert list(render_list.tree_lines(report, REGISTRY.names)) or report.error is not None
    with suppress(ElfsigError):
        left = strip(module, everything=True)
        assert keyed is False or report.content_sha256 == left.module.sha256
