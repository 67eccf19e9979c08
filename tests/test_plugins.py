"""Formats of third parties reach what built-in ones reach, through elfsig.plugins alone."""

from __future__ import annotations

import ast
import json
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import FunctionType

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import corpus
import elfsig.plugins as sdk
import elfsig_formats
from elfsig.model import Format, SignOptions, Verdict, optional
from elfsig.opened.evidence import Evidence
from elfsig.opened.module import Module
from elfsig.registry import Registry
from elfsig.signers.pem import FileSigner
from elfsig.trust.keyring import load
from elfsig.verbs.edit.attach import attach, candidates, parts_in
from elfsig.verbs.edit.sign import sign
from elfsig.verbs.edit.strip import strip
from elfsig.verbs.inspect.extract import pieces
from elfsig.verbs.keys import ephemeral
from elfsig.verbs.keys.recover import recover_key
from elfsig.verbs.verify.examine import Question, examine
from tests.plugin_package import elfsig_seal
from tests.plugin_package.elfsig_seal import FORMATS, MAGIC, SEAL, SEAL_SECTION
from tests.support.cli import Ran, elfsig

PACKAGE = Path(elfsig_seal.__file__).parent
REGISTRY = Registry([*elfsig_formats.BUILTIN, *FORMATS])
PLAIN = corpus.content("amd64-6.1.ko")


@cache
def signer(number: int = 0) -> FileSigner:
    """A key with the exponent 3, which recovery needs no long numbers for."""
    private = rsa.generate_private_key(3, 1024)
    return FileSigner(private, private.public_key(), "rsa", 1024, None)


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("key") / "public.pem"
    path.write_bytes(signer().public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return str(path)


def opened(content: bytes, registry: Registry = REGISTRY) -> Module:
    return Module(Evidence("a.ko", content, content), registry)


def sealed(format_: Format = SEAL, content: bytes = PLAIN) -> bytes:
    return sign(opened(content), format_, signer(), SignOptions()).content


def verdict(content: bytes, trusted: str, registry: Registry = REGISTRY) -> tuple[Verdict | None, list[str]]:
    report = examine(opened(content, registry), Question(load([trusted])))
    return report.verdict, [warning.code for each in report.signatures for warning in each.warnings]


def test_the_package_uses_nothing_but_the_public_module() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name for name in imported if name and name.startswith("elfsig")} == {"elfsig.plugins"}


def test_everything_that_is_promised_is_there_and_described() -> None:
    assert sorted(sdk.__all__, key=str) == sorted(set(sdk.__all__))
    for name in sdk.__all__:
        assert getattr(sdk, name) is not None
    text = sdk.__doc__ or ""
    asked = [
        name
        for name, value in vars(optional).items()
        if isinstance(value, FunctionType) and value.__module__ == optional.__name__
    ]
    assert {"marks", "parts", "rsa_bodies"} <= set(asked)
    for name in {*asked, "also_suffixes"} - {"suffixes", "records_digests"}:
        assert f"``{name}``" in text, name


@pytest.mark.parametrize("format_", FORMATS, ids=lambda format_: format_.id)
def test_made_verified_and_removed_exactly(format_: Format, trusted: str) -> None:
    made = sealed(format_)
    assert verdict(made, trusted)[0] is Verdict.VALID
    changed = bytearray(made)
    changed[PLAIN.index(b"license=")] ^= 1
    assert verdict(bytes(changed), trusted)[0] is Verdict.INVALID
    assert strip(opened(made)).content == PLAIN


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (lambda made: made + b"junk", "marker-not-at-end"),
        (lambda made: made[:-1], "marker-no-newline"),
        (lambda made: made[:-2], "marker-cut"),
        (lambda made: made[: -len(MAGIC) - 2] + b"\xff\xff" + MAGIC, "seal-length"),
    ],
)
def test_remains_are_recognised(damage: object, code: str, trusted: str) -> None:
    assert callable(damage)
    word, codes = verdict(damage(sealed()), trusted)
    assert (word, codes[0]) == (Verdict.MALFORMED, code)


def test_remains_tell_the_seal_that_is_displaced() -> None:
    report = examine(opened(sealed() + b"junk"), Question(check=False))
    assert report.signatures[0].place.start == len(PLAIN)
    assert "seal mark not at the end: 4 bytes follow" in (report.signatures[0].reason or "")


def test_extract_gives_the_seal_under_its_own_names() -> None:
    taken = {piece.suffix: piece.data for piece in pieces(opened(sealed())).pieces}
    assert set(taken) >= {".unsigned", ".seal", ".seal.txt", ".fingerprint", ".value", ".trailer"}
    assert taken[".seal"] == taken[".fingerprint"] + taken[".value"]
    assert taken[".unsigned"] == PLAIN


@pytest.mark.parametrize("format_", FORMATS, ids=lambda format_: format_.id)
def test_the_key_is_recovered_from_two_seals(format_: Format) -> None:
    other = corpus.content("arm64-6.1.ko")
    found = recover_key([opened(sealed(format_)), opened(sealed(format_, other))], lambda text: None)
    assert found.key.public.public_numbers() == signer().public.public_numbers()


@pytest.mark.parametrize("format_", FORMATS, ids=lambda format_: format_.id)
def test_a_seal_is_attached_from_a_file_of_its_own_and_from_a_module(format_: Format, trusted: str) -> None:
    made = sealed(format_)
    text = next(p.data for p in pieces(opened(made)).pieces if p.suffix == ".seal.txt")
    [part] = candidates(text, REGISTRY, format_.id)
    assert attach(opened(PLAIN), [part], load([trusted])).content == made
    assert attach(opened(PLAIN), parts_in(opened(made)), load([trusted])).content == made
    with pytest.raises(sdk.ParseError, match="hexadecimal"):
        candidates(b"seal:xyz", REGISTRY, format_.id)


def test_a_key_pair_for_one_run_is_made_for_a_seal() -> None:
    made = ephemeral.make(SEAL, SignOptions())
    assert (made.algorithm, made.key_bits, made.certificate) == ("rsa", 2048, None)


# --------------------------------------------------------------------------- installed


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as an installer leaves it."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(PACKAGE, folder / "elfsig_seal")
    about = folder / "elfsig_seal-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: elfsig-seal\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[elfsig.formats]\nseal = elfsig_seal:FORMATS\n")
    return folder


def plugged(site: Path, *words: str | Path) -> Ran:
    return elfsig(*words, path=[site])


def test_show_names_and_lists_a_seal(site: Path, tmp_path: Path) -> None:
    module = tmp_path / "a.ko"
    module.write_bytes(sealed())
    fingerprint = next(p.data for p in pieces(opened(sealed())).pieces if p.suffix == ".fingerprint")
    assert f"fingerprint {fingerprint.hex()}" in plugged(site, "show", "--dump", module).out
    assert plugged(site, "show", "-F", "sig_id", module).out == "SEAL\n"
    shown = json.loads(plugged(site, "show", "--jsonl", module).out)
    assert shown["signatures"][0]["carrier"]["params"] == {"version": 1, "length": 160}
    out = tmp_path / "parts"
    assert plugged(site, "show", "--extract", out, module).code == 0
    assert (out / "a.ko.seal.txt").read_bytes().startswith(b"seal:")


def test_a_tree_is_searched_for_seals(site: Path, tmp_path: Path) -> None:
    (tmp_path / "firmware").write_bytes(b"not an ELF file" + sealed(SEAL, b"x" * 100))
    (tmp_path / "other").write_bytes(b"nothing of interest")
    found = plugged(site, "list", "--all", tmp_path)
    assert "firmware" in found.out and "seal" in found.out and "other" not in found.out
    assert plugged(site, "--no-plugins", "list", "--all", tmp_path).code == 5


# --------------------------------------------------------------------------- without the optional members


@dataclass(frozen=True, slots=True)
class BareTrailer:
    """The contract and nothing more: the last 132 bytes of a file that ends in a full stop."""

    id: str = "trailer:bare"
    kind: sdk.PlaceKind = "trailer"
    short_name: str = "bare"

    def find(self, image: sdk.Image) -> tuple[sdk.Place, ...]:
        start = image.end - 133
        if start < 0 or image.data[image.end - 1 : image.end] != b".":
            return ()
        blob = image.data[start : image.end - 1]
        return (sdk.Place("trailer", self.id, start, image.end, start, blob, None),)

    def attach(self, image: sdk.Image, blob: bytes, params: sdk.Params, *, engine: str = "exact") -> bytes:
        return image.bytes() + blob.rjust(132, b"\0") + b"."

    def detach(self, image: sdk.Image, place: sdk.Place, *, engine: str = "exact") -> bytes:
        return sdk.cut_out(image, place)


@dataclass(frozen=True, slots=True)
class BareEnvelope:
    """The contract and nothing more: four zero bytes, then an RSA-1024 value."""

    id: str = "bare"

    def parse(self, blob: bytes, params: sdk.Params) -> tuple[sdk.Signature, ...]:
        if len(blob) != 132 or any(blob[:4]):
            raise sdk.ParseError("four zero bytes and an RSA-1024 value expected", offset=0)
        return (sdk.Signature(self.id, "rsa", "sha256", blob[4:]),)

    def verify(self, signature: sdk.Signature, message: sdk.Message, keys: sdk.Keyring) -> sdk.Outcome:
        digest = sdk.digest_of(message, "sha256")
        return sdk.judge(
            signature, keys, lambda key: sdk.try_digest(key, "rsa", "sha256", digest, signature.value)
        )

    def create(
        self, message: sdk.Message, signer: sdk.Signer | sdk.PacketSigner, options: sdk.SignOptions
    ) -> tuple[bytes, sdk.Params]:
        values = sdk.raw_signer(signer, "bare")
        return bytes(4) + values.sign_digest(sdk.digest_of(message, "sha256"), "sha256"), None


BARE = Format(
    id="bare",
    title="the contract and nothing more",
    carrier=BareTrailer(),
    pairs=(sdk.Pair(sdk.WholeFile(), BareEnvelope()),),
    kernels="none",
    basis=sdk.Basis.SOURCE,
    basis_text="a test",
)
ALONE = Registry([BARE])


def test_a_format_without_optional_members_works_with_the_defaults(trusted: str) -> None:
    made = sign(opened(PLAIN, ALONE), BARE, signer(), SignOptions()).content
    assert verdict(made, trusted, ALONE)[0] is Verdict.VALID
    assert strip(opened(made, ALONE)).content == PLAIN
    taken = [piece.suffix for piece in pieces(opened(made, ALONE)).pieces]
    assert taken == [".unsigned", ".signature", ".trailer", ".value", ".whole-file.stream"]
    other = sign(opened(PLAIN[:-1], ALONE), BARE, signer(), SignOptions()).content
    with pytest.raises(sdk.ElfsigError, match="found 0"):
        recover_key([opened(made, ALONE), opened(other, ALONE)], lambda text: None)
    [part] = candidates(made[len(PLAIN) : -1], ALONE)
    assert attach(opened(PLAIN, ALONE), [part], load([trusted])).content == made
    assert examine(opened(made + b"x", ALONE), Question(check=False)).verdict is Verdict.UNSIGNED
    envelope, carrier = BARE.pairs[0].envelope, BARE.carrier
    assert (optional.dump(envelope, b""), optional.modinfo_name(envelope)) == (None, "bare")
    assert (optional.public_form(envelope, None), optional.in_elf(carrier)) == ("key", False)
    assert optional.in_elf(SEAL_SECTION.carrier) and optional.marks(carrier) == ()


# --------------------------------------------------------------------------- mistakes of a plug-in

BROKEN = """
from dataclasses import dataclass
from elfsig.plugins import Basis, Format, OpenPgp, Pair, WholeFile


@dataclass(frozen=True, slots=True)
class Broken:
    id: str = "trailer:broken"
    kind: str = "trailer"
    short_name: str = "broken"

    def find(self, image):
        if image.data[image.end - 6 : image.end] == b"BROKEN":
            raise ZeroDivisionError("nobody tried this")
        return ()

    def attach(self, image, blob, params, *, engine="exact"):
        raise KeyError("nor this")

    def detach(self, image, place, *, engine="exact"):
        raise KeyError("nor this")


FORMAT = Format(
    id="broken", title="broken", carrier=Broken(), pairs=(Pair(WholeFile(), OpenPgp()),), kernels="none",
    basis=Basis.SOURCE, basis_text="none",
)
"""


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("broken")
    (folder / "broken_format.py").write_text(BROKEN)
    about = folder / "broken-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[elfsig.formats]\nbroken = broken_format:FORMAT\n")
    return folder


@pytest.mark.parametrize("command", ["list", "show", "verify"])
def test_a_plug_in_s_exception_costs_one_file_and_has_its_name(
    command: str, broken: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.ko").write_bytes(PLAIN + b"BROKEN")
    (tmp_path / "b.ko").write_bytes(PLAIN)
    files = plugged(broken, command, "--jsonl", tmp_path).files()
    assert [each["verdict"] for each in files] == [None, "unsigned"]
    assert files[0]["error"]["code"] == "plug-in-error"
    assert "broken" in files[0]["error"]["text"] and "nobody tried this" in files[0]["error"]["text"]


def test_an_edit_goes_on_after_a_plug_in_s_exception(broken: Path, tmp_path: Path) -> None:
    for name, content in (("a.ko", PLAIN + b"BROKEN"), ("b.ko", PLAIN)):
        (tmp_path / name).write_bytes(content)
    key = corpus.KEYS / "signer.key.pem", corpus.KEYS / "signer.cert.pem"
    words = ("sign", "--format", "pkcs7", "--key", key[0], "--cert", key[1], "--in-place", tmp_path)
    ran = plugged(broken, *words)
    assert ran.code != 0 and "plug-in" in ran.err and "nobody tried this" in ran.err
    assert (tmp_path / "a.ko").read_bytes() == PLAIN + b"BROKEN"
    assert (tmp_path / "b.ko").read_bytes().startswith(PLAIN) and (tmp_path / "b.ko").read_bytes() != PLAIN
