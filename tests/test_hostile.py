"""Whatever bytes a public function is given, it returns, or raises a subclass of ElfsigError on purpose."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import corpus
import elfsig
from elfsig.errors import InternalError
from elfsig.kernels.catalogue import get
from elfsig.kernels.modes import from_text

CERT = corpus.KEYS / "signer.cert.pem"
KEY = corpus.KEYS / "signer.key.pem"
PLAIN, SIGNED = corpus.content("amd64-6.1.ko"), corpus.content("amd64.pkcs7")
SEEDS = [sample.data() for sample in corpus.select() if len(sample.data()) < 60_000]
KEY_SEEDS = [path.read_bytes() for path in sorted(corpus.KEYS.iterdir()) if path.is_file()]
RING = elfsig.keyring(CERT)
SIGNER = elfsig.open_signer(KEY, CERT)


@st.composite
def mutated(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A sample with a few bytes changed, cut out, or put in from another one."""
    data = bytearray(draw(st.sampled_from(seeds)))
    other = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        how = draw(st.sampled_from(("change", "cut", "insert", "splice", "end")))
        if how == "change" and data:
            data[at] = draw(st.integers(0, 255))
        elif how == "cut":
            del data[at : at + draw(st.integers(1, 64))]
        elif how == "insert":
            data[at:at] = draw(st.binary(max_size=16))
        elif how == "splice" and other:
            start = draw(st.integers(0, len(other) - 1))
            data[at:at] = other[start : start + 512]
        else:
            del data[at:]
    return bytes(data)


def ask(data: bytes) -> str:
    raise elfsig.SigningError("no passphrase here")


MODULES: dict[str, Callable[[bytes], Any]] = {
    "open": elfsig.open,
    "list_signatures": elfsig.list_signatures,
    "verify": lambda data: elfsig.verify(data, RING),
    "verify detached": lambda data: elfsig.verify(PLAIN, RING, detached=data),
    "strip": elfsig.strip,
    "strip all": lambda data: elfsig.strip(data, everything=True),
    "sign": lambda data: elfsig.sign(data, "pkcs7", SIGNER),
    "sign in a section": lambda data: elfsig.sign(
        data, "redhat", SIGNER, elfsig.SignOptions(force=True), existing=elfsig.Existing.STACK
    ),
    "replace": lambda data: elfsig.sign(data, "x509", SIGNER, existing=elfsig.Existing.REPLACE),
    "convert": lambda data: elfsig.convert(data, "x509", SIGNER, unverified=True),
    "attach to": lambda data: elfsig.attach(data, SIGNED, RING),
    "attach from": lambda data: elfsig.attach(PLAIN, data, RING),
    "compare": lambda data: elfsig.compare(data, SIGNED),
    "coverage": lambda data: elfsig.coverage(data, RING),
    "coverage of sections": lambda data: elfsig.coverage(data, coverage_id="textdata"),
    "digest": elfsig.digest,
    "predict": lambda data: elfsig.predict(data, "auto", RING),
    "predict of an old kernel": lambda data: elfsig.predict(data, "3.7", RING, every_mode=True),
    "explain": lambda data: elfsig.explain(data, "6.1", RING),
}
KEYS: dict[str, Callable[[bytes], Any]] = {
    "trust": elfsig.keyring,
    "keys": lambda data: elfsig.keyring(keys=data),
    "list_keys": elfsig.list_keys,
    "open_signer": lambda data: elfsig.open_signer(data, ask=ask),  # type: ignore[arg-type]
    "certificate": lambda data: elfsig.open_signer(KEY, data),
    "module": lambda data: elfsig.verify(data, RING),
    "detached": lambda data: elfsig.verify(PLAIN, RING, detached=data),
    "config": lambda data: elfsig.predict(PLAIN, "6.1", config=data),
    "cmdline": lambda data: elfsig.predict(PLAIN, "6.1", cmdline=data),
}
LIMITS = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


def tried(call: Callable[[bytes], Any], data: bytes) -> None:
    try:
        result = call(data)
    except InternalError:
        raise  # an error that nobody foresaw, under the name that callers can catch
    except elfsig.ElfsigError as fault:
        assert fault.text and fault.code
        return
    assert result is not None
    for each in result if isinstance(result, tuple) else (result,):
        assert len(repr(each)) < 1500
        if hasattr(each, "to_json"):
            each.to_json()


@pytest.mark.parametrize("name", MODULES)
@LIMITS
@given(data=mutated(SEEDS))
def test_modules(name: str, data: bytes) -> None:
    tried(MODULES[name], data)


@pytest.mark.parametrize("name", KEYS)
@LIMITS
@given(data=mutated(KEY_SEEDS))
def test_keys(name: str, data: bytes) -> None:
    tried(KEYS[name], data)


@pytest.mark.parametrize("name", [*MODULES, *KEYS])
@LIMITS
@given(data=st.binary(max_size=400))
def test_noise(name: str, data: bytes) -> None:
    tried({**MODULES, **KEYS}[name], data)


@LIMITS
@given(texts=st.lists(st.text(max_size=30), max_size=4))
def test_words(texts: list[str]) -> None:
    for text in texts:
        for call in (
            lambda word: elfsig.verify(PLAIN, trust=word),
            lambda word: elfsig.verify(PLAIN, RING, modarg=word),
            lambda word: elfsig.predict(PLAIN, word),
            lambda word: elfsig.sign(PLAIN, word, SIGNER),
            lambda word: elfsig.digest(PLAIN, word),
            lambda word: elfsig.digest(PLAIN, hash=word),
            lambda word: elfsig.coverage(PLAIN, coverage_id=word),
            lambda word: elfsig.open(word),
            lambda word: elfsig.open_signer(word),
            lambda word: elfsig.audit(Path(__file__).parent / "none", RING, kernels=[word]),
        ):
            tried(call, text)  # type: ignore[arg-type]


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(files=st.lists(mutated(SEEDS), min_size=1, max_size=8))
def test_trees(files: list[bytes]) -> None:
    with TemporaryDirectory() as folder:
        for number, data in enumerate(files):
            (Path(folder) / f"{number}.ko").write_bytes(data)
        reports = list(elfsig.verify_tree(folder, RING))
        assert len(reports) == len(files)
        for report in reports:
            assert report.error is None or report.error.code != "internal-error", report.error
        found = elfsig.audit(folder, RING, kernels=["6.1", "3.7"])
        assert found.files == len(files)
        for fault in found.faults:
            assert "internal error" not in fault.text, fault


COMMAND_LINES = {
    "empty lines": "\n" * 1_000_000,
    "blank lines": "\n\t" * 500_000,
    "comments": "#\n" * 500_000,
    "entries": "menuentry\n" * 100_000,
    "lines after the default": "default=0" + "\n" * 1_000_000,
    "a number without end": "title\ndefault=" + "9" * 1_000_000 + "\n",
    "words": "a " * 500_000,
    "quotes": 'a" b' * 250_000,
    "open quotes of GRUB": "linux " + '"a \\' * 250_000,
}


@pytest.mark.timed
@pytest.mark.parametrize("name", COMMAND_LINES)
def test_a_megabyte_of_command_line(name: str) -> None:
    """Linear: quadratic searches took 71 seconds for the first of these."""
    begun = time.process_time()
    assert from_text(COMMAND_LINES[name], get("7.2").boot) == elfsig.Mode()
    assert time.process_time() - begun < 4
