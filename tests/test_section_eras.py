"""The ELF-section eras on the samples and on hundreds of real modules: GnuPG judges what is signed, strip
gives back what there was, and both engines sign the same bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

import corpus
from elfsig import registry
from elfsig.carriers.trailer import INFO, MARKER, unpack_info
from elfsig.elf.image import Image
from elfsig.envelopes.openpgp.make import make_ring
from elfsig.errors import EditRefused
from elfsig.model import SignOptions, Verdict
from elfsig.opened.places import find
from elfsig.trust.entries import Material
from elfsig.trust.openpgp import read
from elfsig.trust.ring import Ring
from elfsig.verbs.edit.sign import sign
from elfsig.verbs.edit.strip import strip
from elfsig.verbs.inspect.digest import streams
from elfsig.verbs.verify.examine import Question, examine
from tests.support import reference_streams as reference
from tests.support.debian import debian_modules
from tests.support.gnupg import Home, home
from tests.support.kernels import ARCHES
from tests.support.notes import Note
from tests.support.opened import opened
from tests.support.openpgp import private_key, signer
from tests.support.run import run
from tests.support.vectors import ROOT

REGISTRY = registry.load(plugins=False)
COUNT = 202
"""Modules of each architecture that are signed and stripped in each format."""


class Wish(NamedTuple):
    """One way to sign in a section: a format, what it covers, and the words that ask for both."""

    format: str
    coverage: str
    words: tuple[str, ...] = ()

    @property
    def options(self) -> SignOptions:
        return SignOptions(coverage=self.coverage, created=1_100_000_000)


WISHES = (
    Wish("gkh", "textdata"),
    Wish("redhat", "fileorder"),
    Wish("note", "sorted", ("--coverage", "sorted")),
    Wish("note", "fileorder", ("--coverage", "fileorder")),
    Wish("note", "fileorder-nobuildid", ("--coverage", "fileorder-nobuildid")),
)
each_wish = pytest.mark.parametrize("wish", WISHES, ids=lambda wish: f"{wish.format}-{wish.coverage}")


def unsigned_samples() -> list[Path]:
    kept = [corpus.SAMPLES / sample.name for sample in corpus.select("unsigned") if sample.kept]
    return [*kept, *sorted((ROOT / "unsigned").iterdir())]


each_sample = pytest.mark.parametrize("path", unsigned_samples(), ids=lambda path: path.name)


@cache
def ring() -> bytes:
    return make_ring(signer("dsa1024"), "Test")


@cache
def question() -> Question:
    return Question(Ring(Material(tuple(read(ring(), "ring", "user", True)))))


def signed(content: bytes, wish: Wish, engine: str = "exact") -> bytes:
    options = wish.options._replace(engine=engine)
    return sign(opened(content), REGISTRY.get(wish.format), signer("dsa1024"), options).content


def small_modules(arch: str, count: int) -> Sequence[bytes]:
    """``count`` modules of the smallest third of a package, spread evenly, their trailers taken off."""
    by_size = sorted(debian_modules(arch), key=lambda path: (path.stat().st_size, path))
    small = by_size[: len(by_size) // 3]
    assert len(small) >= count
    return [_without_trailer(small[i * len(small) // count].read_bytes()) for i in range(count)]


def _without_trailer(content: bytes) -> bytes:
    end = len(content) - len(MARKER) - INFO.size
    return content[: end - unpack_info(content[end : end + INFO.size]).sig_len]


# --------------------------------------------------------------------------- GnuPG over what digest writes


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    path = tmp_path_factory.mktemp("key") / "dsa.pem"
    secret = private_key("dsa1024")
    path.write_bytes(secret.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


@pytest.fixture(scope="module")
def gnupg() -> Iterator[Home]:
    with home("gpg", [ring()]) as made:
        yield made


def judged(path: Path, wish: Wish, key: Path, gnupg: Home, work: Path) -> bool:
    """Sign ``path`` on the command line; whether GnuPG accepts the packet that ``show --extract`` cuts out
    over the reference stream, which ``digest -o`` has to write as well, and refuses it over another."""
    out, stream, parts = work / "signed.ko", work / "stream", work / "parts"
    lines: tuple[tuple[str | Path, ...], ...] = (
        ("sign", path, "--format", wish.format, *wish.words, "--key", key, "-o", out),
        ("digest", out, "--coverage", wish.coverage, "-o", stream),
        ("show", out, "--extract", parts, "--force"),
    )
    for line in lines:
        done = run(*line)
        assert done.code == 0, done.err
    content = out.read_bytes()
    (found,) = find(Image(content), REGISTRY)
    signed = reference.stream(wish.coverage, content, found.place.index)
    assert stream.read_bytes() == signed
    packet = (parts / "signed.ko.pgp").read_bytes()
    return gnupg.accepts(packet, signed) and not gnupg.accepts(packet, signed + b"!")


@each_wish
@each_sample
def test_gnupg_accepts_it_over_the_stream_that_digest_writes(
    path: Path, wish: Wish, key: Path, gnupg: Home, tmp_path: Path
) -> None:
    assert judged(path, wish, key, gnupg, tmp_path)


@each_wish
@pytest.mark.parametrize("arch", ARCHES)
def test_gnupg_accepts_it_on_real_modules(
    arch: str, wish: Wish, key: Path, gnupg: Home, tmp_path: Path
) -> None:
    for content in small_modules(arch, 4):
        path = tmp_path / "module.ko"
        path.write_bytes(content)
        assert judged(path, wish, key, gnupg, tmp_path)


# --------------------------------------------------------------------------- there and back


@pytest.mark.parametrize("format_id", ["gkh", "redhat", "note"])
@pytest.mark.parametrize("arch", ARCHES)
def test_strip_gives_back_hundreds_of_real_modules_to_the_byte(arch: str, format_id: str, note: Note) -> None:
    wishes = [wish for wish in WISHES if wish.format == format_id]
    modules = small_modules(arch, COUNT)
    for nr, content in enumerate(modules):
        after = signed(content, wishes[nr % len(wishes)])
        stripped = strip(opened(after))
        assert [each.format for each in stripped.removed] == [format_id]
        assert stripped.content == content != after
    note(f"{arch}: {len(modules)} modules signed as {format_id} and stripped: identical")


# --------------------------------------------------------------------------- both engines


def looked_at(content: bytes) -> tuple[str | None, str | None, Verdict | None]:
    """Format, coverage and verdict of the one signature."""
    report = examine(opened(content), question())
    (found,) = report.signatures
    return found.format, found.coverage, report.verdict


def stream_bytes(content: bytes) -> dict[str, bytes]:
    """What each coverage takes in, the signature left out."""
    found = streams(opened(content))
    return {
        each.coverage: each.message.to_bytes()
        for each in found
        if each.message is not None and each.found is not None
    }


def compare_engines(content: bytes, wish: Wish) -> None:
    """Sign with both engines, and take out with both what LIEF put in."""
    exact, lief = (signed(content, wish, engine) for engine in ("exact", "lief"))
    assert looked_at(exact) == looked_at(lief)
    assert looked_at(lief)[2] is Verdict.VALID
    assert wish.coverage in stream_bytes(lief)
    assert stream_bytes(exact) == stream_bytes(lief)
    pairs = REGISTRY.get(wish.format).pairs
    coverage = next(pair.coverage for pair in pairs if pair.coverage.id == wish.coverage)
    wanted = coverage.message(Image(content), None).to_bytes()
    for engine in ("exact", "lief"):
        left = strip(opened(lief), engine=engine).content
        assert coverage.message(Image(left), None).to_bytes() == wanted
        assert examine(opened(left), question()).verdict is Verdict.UNSIGNED


@each_wish
@each_sample
def test_the_lief_engine_gives_the_same_verdict_and_streams(path: Path, wish: Wish) -> None:
    compare_engines(path.read_bytes(), wish)


@pytest.mark.parametrize("arch", ARCHES)
def test_the_lief_engine_gives_the_same_on_real_modules(arch: str) -> None:
    for nr, content in enumerate(small_modules(arch, 40)):
        compare_engines(content, WISHES[nr % len(WISHES)])


def test_what_lief_refuses_the_exact_engine_signs() -> None:
    from tests.support.elf import toy, with_shared_names

    content = with_shared_names(toy())
    with pytest.raises(EditRefused, match="section names"):
        signed(content, WISHES[2], "lief")
    assert looked_at(signed(content, WISHES[2]))[2] is Verdict.VALID
