"""convert: every format to every other and back, each step judged by the other tool of its era."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import corpus
from elfsig.compression import whole as compression
from elfsig.elf.image import Image
from elfsig.envelopes.openpgp.make import make_ring
from elfsig.errors import EditRefused, SigningError, UsageError
from elfsig.model import Existing, Keyring, SignOptions, Verdict
from elfsig.opened.evidence import Evidence, read
from elfsig.opened.module import Module
from elfsig.opened.places import find
from elfsig.registry import Registry
from elfsig.signers import open_signer
from elfsig.trust.keyring import load
from elfsig.verbs.edit.attach import attach, parts_in
from elfsig.verbs.edit.convert import Conversion, Plan, Target, convert, look, options_for, plan, refusal
from elfsig.verbs.edit.convert_record import convert_file
from elfsig.verbs.edit.sign import sign
from elfsig.verbs.edit.strip import strip
from elfsig.verbs.inspect.digest import streams
from elfsig.verbs.verify.detached import from_argument
from tests.support.debian import debian_modules, debian_vmlinuz
from tests.support.gnupg import home
from tests.support.judges import REGISTRY, Judges, Signed, judges
from tests.support.notes import Note
from tests.support.opened import opened
from tests.support.run import run
from tests.support.schema import lines, parsed, validate
from tests.support.signed import era_signer as signer

KEY, CERT = corpus.KEYS / "signer.key.pem", corpus.KEYS / "signer.cert.pem"
OTHER = corpus.KEYS / "other.cert.pem"
FORMATS = [f.id for f in REGISTRY.formats if "sign" in f.capabilities]
PLAIN = [sample.name for sample in corpus.select("unsigned") if sample.kept]
MODULE = "amd64-6.1.ko"
REAL = 25
"""Real modules for each of four architectures."""


COVERAGES = {"gkh": "textdata", "redhat": "fileorder", "note": "sorted"}


def target(format_id: str, **wish: Any) -> Target:
    if format_id == "note":
        wish.setdefault("coverage", "sorted")
    options = SignOptions(created=1_000_000_000, **wish)
    return Target(REGISTRY.get(format_id), signer(format_id), options)


def rings() -> list[bytes]:
    """The OpenPGP form of both keys."""
    return [make_ring(signer("note"), "DSA", hash="sha1"), make_ring(signer("pkcs7"), "RSA")]


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Keyring:
    folder = tmp_path_factory.mktemp("trust")
    for number, ring in enumerate(rings()):
        (folder / str(number)).write_bytes(ring)
    return load([str(folder), str(CERT)])


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judges]:
    with judges(tmp_path_factory.mktemp("judges"), CERT, rings()) as made:
        yield made


def circuit(names: Sequence[str]) -> list[str]:
    """A walk that goes from every name to every other exactly once, and ends where it began."""
    left = {name: [other for other in names if other != name] for name in names}
    path, stack = [], [names[0]]
    while stack:
        if left[stack[-1]]:
            stack.append(left[stack[-1]].pop())
        else:
            path.append(stack.pop())
    return path


def converted(signed: Signed, how: Plan, registry: Registry = REGISTRY) -> Conversion:
    module = Module(Evidence("module.ko", signed.content, signed.content), registry)
    before = look(module, how)
    assert refusal(before, how) is None, refusal(before, how)
    return convert(module, before, how)


def step(signed: Signed, to: str, trust: Keyring | None, **more: Any) -> Signed:
    """``signed`` in the format ``to``; what it bears now must be valid under ``trust``."""
    outside = None if signed.argument is None else from_argument(signed.argument)
    done = converted(signed, plan([target(to)], REGISTRY, trust, outside=outside, **more))
    assert [f.format for f in done.after.signatures] == [to]
    assert done.after.verdict is Verdict.VALID
    argument = done.parts[0][1].decode() if done.parts else None
    return Signed(done.content, argument)


# --------------------------------------------------------------------------- every format to every other


def test_the_walk_takes_every_pair_once() -> None:
    path = circuit(FORMATS)
    pairs = list(itertools.pairwise(path))
    assert len(pairs) == len(set(pairs)) == len(FORMATS) * (len(FORMATS) - 1)
    assert len(FORMATS) == 9


@pytest.mark.parametrize("name", PLAIN)
def test_every_format_converts_to_every_other_and_back(name: str, trust: Keyring, bench: Judges) -> None:
    original = corpus.content(name)
    path = circuit(FORMATS)
    signed = step(Signed(original), path[0], None, unverified=True)
    for to in path[1:]:
        signed = step(signed, to, trust)
        assert bench.accept(to, signed, COVERAGES.get(to, "whole-file")), to
        assert strip(opened(signed.content), everything=True).content == original


@pytest.mark.parametrize("arch", ["amd64", "i386", "arm64", "s390x"])
def test_real_modules_from_the_vendor_s_signature_and_on(
    arch: str, trust: Keyring, bench: Judges, note: Note
) -> None:
    vendor = load([str(debian_vmlinuz(arch))])
    chosen = random.Random(arch).sample(debian_modules(arch), REAL)
    path = circuit(FORMATS)
    for number, module in enumerate(chosen):
        shipped = Signed(module.read_bytes())
        bare = strip(opened(shipped.content)).content
        at = (number * 4 + len(arch)) % (len(path) - 3)
        for to, keys in zip([*path[at : at + 4], "pkcs7"], [vendor, *[trust] * 4], strict=True):
            shipped = step(shipped, to, keys)
            assert bench.accept(to, shipped, COVERAGES.get(to, "whole-file")), (module, to)
        assert strip(opened(shipped.content), everything=True).content == bare
    note(f"convert: {REAL} real modules of {arch}, five conversions each, every one judged")


# --------------------------------------------------------------------------- what is refused


def signed_with(format_id: str, name: str = MODULE) -> bytes:
    wish = target(format_id)
    return sign(
        opened(corpus.content(name)), wish.format, wish.signer, wish.options, existing=Existing.STACK
    ).content


def tried(content: bytes, to: str, keys: Keyring | None, **more: Any) -> str | None:
    """The code of the refusal, None where the file may be converted."""
    how = plan([target(to)], REGISTRY, keys, **more)
    why = refusal(look(opened(Evidence("a.ko", content, content)), how), how)
    return why.code if why else None


def test_only_what_is_valid_is_converted(trust: Keyring) -> None:
    signed = bytearray(signed_with("pkcs7"))
    assert tried(bytes(signed), "x509", trust) is None
    assert tried(bytes(signed), "x509", load([str(OTHER)])) == "not-valid"
    assert tried(bytes(signed), "x509", load([], [str(CERT)])) == "not-valid"
    assert tried(bytes(signed[:-1]), "x509", trust) == "not-valid"
    assert tried(corpus.content(MODULE), "x509", trust) == "not-valid"
    signed[1000] ^= 1
    assert tried(bytes(signed), "x509", trust) == "not-valid"
    assert tried(bytes(signed), "x509", trust, unverified=True) is None
    with pytest.raises(UsageError, match="no keys were given") as caught:
        plan([target("x509")], REGISTRY, None)
    assert caught.value.hint == "trust-or-unverified"


def test_no_refusal_offers_to_sign_what_was_changed(trust: Keyring) -> None:
    """An option that converts all the same is named only where the module may be what was signed."""
    signed = signed_with("pkcs7")
    changed = bytearray(signed)
    changed[1000] ^= 1
    for content, keys, offered in (
        (bytes(changed), trust, False),
        (signed + b"\n", trust, False),
        (signed[:-1], trust, False),
        (signed[:-60] + signed[-40:], trust, False),
        (corpus.content(MODULE), trust, False),
        (signed, load([str(OTHER)]), True),
        (signed, load([], [str(CERT)]), True),
    ):
        how = plan([target("x509")], REGISTRY, keys)
        why = refusal(look(opened(Evidence("a.ko", content, content)), how), how)
        assert why is not None and (why.hint == "unverified") is offered, why
        if not offered and content != corpus.content(MODULE):
            assert "do not sign it before you know why it changed" in why.text, why
        if content == corpus.content(MODULE):
            assert "if you built it yourself" in why.text


@pytest.mark.parametrize("sample", corpus.select("signed"), ids=lambda sample: str(sample.name))
def test_every_signed_sample_converts_if_and_only_if_it_is_valid(
    sample: corpus.Sample, trust: Keyring
) -> None:
    evidence = read(sample.data())
    how = plan([target("x509")], REGISTRY, load([str(path) for path in corpus.certificates()]))
    change = convert_file(opened(evidence), how)
    assert change.record is not None
    validate({"target": None, "dry_run": False, **change.record})
    assert (change.error is None) == (sample.verdict == "valid"), change.error
    if change.error is None:
        made = read(change.content or evidence.raw)
        assert made.compression == evidence.compression
        plain = strip(opened(evidence.content), everything=True).content
        assert strip(opened(made.content), everything=True).content == plain


def test_targets_that_contradict_each_other(trust: Keyring) -> None:
    for targets in ([], [target("x509"), target("x509")], [target("x509"), target("gkh", engine="lief")]):
        with pytest.raises(UsageError, match="each once"):
            plan(targets, REGISTRY, trust)
    formats = [REGISTRY.get(name) for name in ("note", "pkcs7")]
    wish = SignOptions(coverage="sorted")
    assert [options_for(f, wish, formats).coverage for f in formats] == ["sorted", None]
    with pytest.raises(SigningError, match="none of the formats has a payload"):
        options_for(formats[0], SignOptions(payload="v2"), formats)


def test_a_result_that_is_not_proven_is_not_given_out(trust: Keyring) -> None:
    how = plan([target("x509")], REGISTRY, trust)
    signed = Signed(signed_with("pkcs7"))
    foreign = plan(
        [Target(REGISTRY.get("x509"), open_signer(*_paths("other")), SignOptions())], REGISTRY, trust
    )
    with pytest.raises(EditRefused, match="would be unknown-key"):
        converted(signed, Plan(foreign.targets, trust, how.own))


def _paths(name: str) -> tuple[str, str]:
    return str(corpus.KEYS / f"{name}.key.pem"), str(corpus.KEYS / f"{name}.cert.pem")


# --------------------------------------------------------------------------- several signatures


def formats_in(content: bytes) -> list[str]:
    return [found.claimants[0].id for found in find(Image(content), REGISTRY)]


def test_keep_adds_where_formats_can_live_together(trust: Keyring) -> None:
    original = corpus.content(MODULE)
    signed = Signed(signed_with("note"))
    done = converted(signed, plan([target("pkcs7")], REGISTRY, trust, keep=True))
    assert formats_in(done.content) == ["pkcs7", "note"] and not done.removed
    assert done.content.startswith(signed.content)
    again = converted(Signed(done.content), plan([target("x509")], REGISTRY, trust, keep=True))
    assert formats_in(again.content) == ["x509", "pkcs7", "note"]
    assert [len([r for r in each.remarks if r.code == "stacked-trailers"]) for each in (done, again)] == [
        0,
        1,
    ]
    assert strip(opened(again.content), everything=True).content == original


@pytest.mark.parametrize("section", ["note", "redhat", "gkh"])
def test_keep_refuses_a_section_beneath_a_trailer(section: str, trust: Keyring) -> None:
    with pytest.raises(EditRefused, match=f"convert to {section} and pkcs7 at once") as caught:
        converted(Signed(signed_with("pkcs7")), plan([target(section)], REGISTRY, trust, keep=True))
    assert (caught.value.code, caught.value.hint) == ("order", "convert-to-both")


def test_keep_breaks_no_signature_that_stays(trust: Keyring) -> None:
    inner = Signed(signed_with("note", "i386-2.6.18-el5.ko"))
    with pytest.raises(EditRefused, match=r"the note signature .* would no longer match") as caught:
        converted(inner, plan([target("redhat")], REGISTRY, trust, keep=True))
    assert caught.value.code == "breaks-signature"


def test_several_targets_are_made_in_the_order_in_which_they_hold(trust: Keyring) -> None:
    signed = Signed(signed_with("x509"))
    names = ["pkcs7", "note", "crypto-digsig", "redhat", "gkh"]
    for shuffled in (names, names[::-1]):
        done = converted(signed, plan([target(name) for name in shuffled], REGISTRY, trust))
        assert formats_in(done.content) == ["pkcs7", "crypto-digsig", "note", "redhat", "gkh"]
        assert {f.verdict for f in done.after.signatures} == {Verdict.VALID}
    assert strip(opened(done.content), everything=True).content == corpus.content(MODULE)


# --------------------------------------------------------------------------- warnings


@pytest.mark.parametrize(
    ("name", "to", "warned"),
    [("amd64-6.1.ko", "pkcs7", False), ("amd64-6.1.ko", "x509", True), ("amd64-3.10-el7.ko", "x509", False),
     ("amd64-3.10-el7.ko", "pkcs7", True), ("amd64-2.6.32-el6.ko", "note", False),
     ("ppc64-4.4.ko", "pkcs7", False), ("amd64-2.6.39-uek.ko", "note", False),
     ("amd64-2.6.39-uek.ko", "redhat", True),
     ("i386-2.6.18-el5.ko", "redhat", False), ("i386-2.6.5-fc2.ko", "gkh", False),
     ("i386-2.6.5-fc2.ko", "redhat", True), ("amd64-6.1.ko", "crypto-digsig", True)],
)  # fmt: skip
def test_a_target_that_the_module_s_kernel_does_not_read_is_warned_of(
    name: str, to: str, warned: bool, trust: Keyring
) -> None:
    wish = {"coverage": "fileorder-nobuildid"} if "uek" in name and to == "note" else {}
    done = converted(Signed(signed_with("x509-rc1", name)), plan([target(to, **wish)], REGISTRY, trust))
    assert ("kernel-does-not-read" in [remark.code for remark in done.remarks]) is warned


@pytest.mark.parametrize(
    ("name", "to", "wish", "said"),
    [("amd64-2.6.39-uek.ko", "note", {"coverage": "sorted"}, "computes fileorder-nobuildid, not sorted"),
     ("i386-2.6.18-el5.ko", "redhat", {"hash": "sha256", "force": True}, "knows no sha256"),
     ("amd64-6.1.ko", "pkcs7", {"hash": "sha3-256"}, "knows no sha3-256")],
)  # fmt: skip
def test_so_is_a_coverage_or_hash_that_it_does_not_read(
    name: str, to: str, wish: dict[str, Any], said: str, trust: Keyring
) -> None:
    done = converted(Signed(signed_with("x509-rc1", name)), plan([target(to, **wish)], REGISTRY, trust))
    assert any(said in remark.text for remark in done.remarks)


def test_a_new_signature_that_takes_in_more_is_warned_of(trust: Keyring) -> None:
    def codes(start: str, to: str) -> list[str]:
        done = converted(Signed(signed_with(start, "i386-2.6.5-fc2.ko")), plan([target(to)], REGISTRY, trust))
        return [remark.code for remark in done.remarks]

    assert "vouches-for-more" in codes("gkh", "pkcs7")
    assert "vouches-for-more" not in codes("gkh", "gkh")
    assert "vouches-for-more" not in codes("x509", "pkcs7")


# --------------------------------------------------------------------------- the command

KEYED = (f"--key={KEY}", f"--cert={CERT}")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Signed modules, plain and compressed; one by somebody else, one unsigned."""
    root = tmp_path / "tree"
    (root / "kernel").mkdir(parents=True)
    for number, name in enumerate(PLAIN):
        (root / f"kernel/{number}.ko").write_bytes(signed_with("pkcs7", name))
    packed: dict[str, compression.Compression] = {"gz": "gzip", "xz": "xz", "zst": "zstd"}
    for suffix, kind in packed.items():
        (root / f"packed.ko.{suffix}").write_bytes(compression.pack(signed_with("pkcs7"), kind))
    foreign = sign(
        opened(corpus.content(MODULE)), REGISTRY.get("pkcs7"), open_signer(*_paths("other")), SignOptions()
    )
    (root / "foreign.ko").write_bytes(foreign.content)
    (root / "unsigned.ko").write_bytes(corpus.content(MODULE))
    return root


def test_a_tree_is_converted_in_place_with_a_record_of_every_file(tree: Path, tmp_path: Path) -> None:
    before = {path: read(path) for path in sorted(tree.rglob("*.ko*"))}
    log = tmp_path / "record"
    ran = run("convert", tree, "--to=x509", *KEYED, "--trust", CERT, "--in-place", "--record", log)
    assert ran.code == 1
    records = {Path(each["path"]): each for each in lines(log.read_text())}
    assert records.keys() == before.keys()
    refused = {path.name for path, each in records.items() if each["action"] == "refused"}
    assert refused == {"foreign.ko", "unsigned.ko"}
    for path, record in records.items():
        now, old = read(path), before[path]
        assert record["before"]["sha256"] == old.sha256 and record["verdict"]
        if path.name in refused:
            assert now.raw == old.raw and record["after"] is None and record["target"] is None
            continue
        assert now.compression == old.compression and record["after"]["sha256"] == now.sha256
        assert record["before"]["content_sha256"] == record["after"]["content_sha256"]
        assert [each["format"] for each in record["after"]["signatures"]] == ["x509"]
        assert [each["format"] for each in record["removed"]] == ["pkcs7"]
        assert record["before"]["signatures"][0]["verdict"] == "valid" and not record["unverified"]
    assert "foreign.ko: not converted: the pkcs7 signature is unknown-key" in ran.err
    table = [line.split() for line in ran.out.splitlines()[-5:]]
    assert ["pkcs7", "valid", "x509", str(len(before) - 2)] in table
    assert ["-", "unsigned", "refused", "1"] in table


def test_a_dry_run_writes_nothing_and_tells_all(tree: Path) -> None:
    before = {path: path.read_bytes() for path in tree.rglob("*.ko*")}
    ran = run("convert", tree, "--to=x509", *KEYED, "--unverified", "--dry-run", "--jsonl")
    assert ran.code == 0 and "dry run: nothing was written" in ran.err
    records = lines(ran.out)
    assert len(records) == len(before)
    assert all(each["dry_run"] and each["unverified"] and each["action"] == "converted" for each in records)
    assert {each["verdict"] for each in records} == {"unchecked", "unsigned"}
    assert {path: path.read_bytes() for path in tree.rglob("*.ko*")} == before
    warned = [w["code"] for each in records for w in each["warnings"]]
    assert warned.count("unverified") == len(records)
    document = parsed(run("convert", tree, "--to=x509", *KEYED, "--trust", CERT, "--dry-run", "--json").out)
    assert [each["action"] for each in document["files"]].count("refused") == 2


def test_each_target_may_have_its_own_key(tmp_path: Path) -> None:
    module, out, ring = (tmp_path / name for name in ("a.ko", "b.ko", "dsa.ring"))
    module.write_bytes(signed_with("x509"))
    dsa = tmp_path / "dsa.pem"
    dsa.write_bytes(_pem(signer("note").private))
    assert run("keys", "openpgp", dsa, "-o", ring, "--hash=sha1").code == 0
    words: list[str | Path] = [
        "convert",
        module,
        "--to=pkcs7",
        "--to=note",
        f"--key={KEY}",
        f"--key={dsa}",
        "--coverage=sorted",
    ]
    ran = run(*words, f"--cert={CERT}", "--trust", CERT, "-o", out)
    assert ran.code == 0, ran.err
    assert formats_in(out.read_bytes()) == ["pkcs7", "note"]
    verified = lines(run("verify", out, "--trust", CERT, "--trust", ring, "--jsonl").out)[0]
    assert [each["verdict"] for each in verified["signatures"]] == ["valid", "valid"]
    assert (
        "this certificate does not belong to any of the keys"
        in run(*words, f"--cert={OTHER}", "--trust", CERT, "--dry-run").err
    )
    three = run(*words, f"--key={KEY}", "--trust", CERT, "--dry-run")
    assert (three.code, "3 keys for 2 formats" in three.err) == (2, True)


def _pem(private: Any) -> bytes:
    from cryptography.hazmat.primitives import serialization as form

    pem: bytes = private.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    return pem


def test_a_module_argument_goes_beside_the_module_and_comes_back(tmp_path: Path) -> None:
    module, out, ring = (tmp_path / name for name in ("a.ko", "b.ko", "rsa.ring"))
    module.write_bytes(signed_with("pkcs7"))
    ring.write_bytes(rings()[1])
    assert run("convert", module, "--to=modarg-pgp", *KEYED, "--trust", CERT, "-o", out).code == 0
    assert out.read_bytes() == corpus.content(MODULE)
    argument = (tmp_path / "b.ko.modarg-pgp").read_text()
    back: list[str | Path] = ["convert", out, "--to=pkcs7", *KEYED, "--trust", ring, "--in-place"]
    assert run(*back, f"--modarg={argument}").code == 0
    assert out.read_bytes() == module.read_bytes()
    assert run(*back, "--modarg=modsign=1,0").code == 1


def test_nothing_is_written_where_a_record_cannot_be_kept(tree: Path, tmp_path: Path) -> None:
    log = tmp_path / "record"
    log.write_text("an older one")
    ran = run("convert", tree, "--to=x509", *KEYED, "--unverified", "--in-place", "--record", log)
    assert ran.code == 2 and "cannot write records" in ran.err
    assert log.read_text() == "an older one"
    assert formats_in((tree / "kernel/0.ko").read_bytes()) == ["pkcs7"]


@pytest.mark.parametrize("more", [(), ("--keep",), ("--to=pkcs7",)])
def test_an_interrupted_run_can_be_repeated(more: tuple[str, ...], tree: Path, tmp_path: Path) -> None:
    """By a key that --trust does not name: then the new signatures do not verify under the old keys."""
    log, key = tmp_path / "record", corpus.KEYS / "other.key.pem"
    words = (
        "convert",
        "--to=x509",
        f"--key={key}",
        f"--cert={OTHER}",
        f"--trust={CERT}",
        "--in-place",
        *more,
    )
    for name in ("foreign.ko", "unsigned.ko"):
        (tree / name).unlink()
    paths = sorted(tree.rglob("*.ko*"))
    first = run(*words, "--record", log, *paths[:2])
    done = len(log.read_text().splitlines())
    assert first.code == 0 and done == 2, first.err
    whole = log.read_text()
    log.write_text(whole + '{"path": "cut o')
    before = [path.read_bytes() for path in paths[:2]]
    again = run(*words, "--record", log, tree)
    assert again.code == 0 and "unknown-key" not in again.err, again.err
    assert again.out.count("already has exactly these signatures") == 2
    assert [path.read_bytes() for path in paths[:2]] == before
    records = log.read_text()
    assert records.startswith(whole) and len(lines(records)) == len(paths)
    assert run(*words, "--record", log, tree).code == 0 and log.read_text() == records


def test_files_that_cannot_be_read_have_a_record_too(tmp_path: Path) -> None:
    ran = run("convert", tmp_path / "none.ko", "--to=x509", *KEYED, "--unverified", "--in-place", "--jsonl")
    record = lines(ran.out)[0]
    assert (ran.code, record["action"], record["error"]["code"]) == (5, "failed", "not-found")


def test_what_bears_these_very_signatures_stays_as_it_is(tmp_path: Path) -> None:
    module = tmp_path / "a.ko"
    module.write_bytes(signed_with("pkcs7"))
    before = module.stat()
    ran = run("convert", module, "--to=pkcs7", *KEYED, "--trust", CERT, "--in-place")
    assert (ran.code, module.stat().st_ino) == (0, before.st_ino)
    assert "already" in ran.out


# --------------------------------------------------------------------------- other engines, signers, files


@pytest.mark.parametrize("format_id", ["gkh", "redhat", "note"])
@pytest.mark.parametrize("name", ["amd64-6.1.ko", "s390x-6.1.ko", "i386-6.1.ko"])
def test_the_other_engine_converts_there_and_back(name: str, format_id: str, trust: Keyring) -> None:
    signed = Signed(signed_with("pkcs7", name))
    there = converted(signed, plan([target(format_id, engine="lief")], REGISTRY, trust))
    assert [f.verdict for f in there.after.signatures] == [Verdict.VALID]
    assert "laid-out-anew" in [remark.code for remark in there.remarks]
    back = converted(Signed(there.content), plan([target("pkcs7")], REGISTRY, trust))
    for coverage in ("textdata", "fileorder", "sorted"):
        old, new = (_stream(content, coverage) for content in (corpus.content(name), back.content))
        assert old == new


def _stream(content: bytes, coverage: str) -> bytes:
    message = streams(opened(content), coverage)[0].message
    assert message is not None
    return message.to_bytes()


def test_gnupg_signs_conversions_and_encrypts_digests(
    tmp_path: Path, trust: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, out, ring = (tmp_path / name for name in ("a.ko", "b.ko", "ring"))
    module.write_bytes(signed_with("pkcs7"))
    with home("gpg") as gnupg:
        gnupg.generate("converter", "rsa2048", "sign")
        gnupg.add_subkey("converter", "rsa2048", "encr")
        ring.write_bytes(gnupg.run("--export", "converter"))
        monkeypatch.setenv("GNUPGHOME", str(gnupg.path))
        key = f"gpg:{gnupg.fingerprint('converter')}"
        ran = run("convert", module, "--to=crypto-pgp", "--key", key, "--trust", CERT, "-o", out, "--jsonl")
        record = lines(ran.out)[0]
        assert (ran.code, record["after"]["signatures"][0]["verdict"]) == (0, "unchecked")
        assert run("verify", out, "--trust", ring).code == 0
        words = ("--to=gkh", "--payload=encrypted-digest", "--key", key, "--trust", CERT)
        assert run("convert", module, *words, "-o", out).code == 0
        assert run("verify", out, "--trust", ring).code == 1
        assert strip(opened(out.read_bytes())).content == corpus.content(MODULE)


def test_what_was_signed_after_compression_is_put_right_on_request(tmp_path: Path, trust: Keyring) -> None:
    module, out = tmp_path / "a.ko.xz", tmp_path / "b.ko.xz"
    packed = compression.pack(corpus.content(MODULE), "xz")
    module.write_bytes(
        sign(opened(packed).as_file(), REGISTRY.get("pkcs7"), signer("pkcs7"), SignOptions()).content
    )
    words = ("convert", module, "--to=pkcs7", *KEYED, "-o", out)
    assert run(*words, "--trust", CERT).code == 1 and not out.exists()
    assert run(*words, "--unverified", "--keep").code == 1 and not out.exists()
    ran = run(*words, "--unverified", "--jsonl")
    assert ran.code == 0
    assert [each["name"] for each in lines(ran.out)[0]["removed"]] == ["after the compressed stream"]
    assert read(out).content == signed_with("pkcs7") and read(out).tail_offset is None


def test_formats_of_third_parties_take_part_without_code_of_their_own(trust: Keyring) -> None:
    from tests.plugin_package.elfsig_seal import SEAL

    registry = Registry([*REGISTRY.formats, SEAL])
    seal = Target(SEAL, signer("pkcs7"), SignOptions())
    signed = Signed(signed_with("note"))
    for wish in (seal, target("redhat"), seal, target("pkcs7")):
        done = converted(signed, plan([wish], registry, trust), registry)
        assert [(f.format, f.verdict) for f in done.after.signatures] == [(wish.format.id, Verdict.VALID)]
        signed = Signed(done.content)
    assert signed.content == signed_with("pkcs7")
    part = attach(opened(corpus.content(MODULE), registry), parts_in(opened(done.content, registry)), trust)
    assert part.content == signed.content
