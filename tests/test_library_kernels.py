"""predict and explain as functions: the same answers as the command line's."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

import corpus
import elfsig
from tests.support.cli import elfsig as command

CERT = corpus.KEYS / "signer.cert.pem"
NAMES = ["amd64.pkcs7", "amd64-6.1.ko", "el7.stacked", "content-changed"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kernel", ["auto", "6.1", "5.10"])
def test_explain_is_the_command(name: str, kernel: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.ko"
    path.write_bytes(corpus.content(name))
    ran = command("explain", "--jsonl", "--kernel", kernel, "--enforce", "--trust", str(CERT), path)
    mode = elfsig.Mode(enforcing=True)
    if not ran.out:
        with pytest.raises(elfsig.UsageError):
            elfsig.explain(path, kernel, CERT, mode=mode)
        return
    (written,) = ran.files()
    told = elfsig.explain(path, kernel, CERT, mode=mode)
    assert told.to_json() == written
    assert told.accepted is (ran.code == 0)
    answer = elfsig.predict(elfsig.open(path), kernel, CERT, mode=mode)
    assert answer == told.answer and answer.to_json() == written["kernel"]
    for each in (told, answer, *answer.predictions):
        assert len(repr(each)) < 1500
        assert pickle.loads(pickle.dumps(each)) == each


def test_answers_have_no_truth_value() -> None:
    told = elfsig.explain(corpus.content("amd64-6.1.ko"), "6.1")
    for each in (told, told.answer):
        with pytest.raises(TypeError, match="accepted"):
            bool(each)


def test_every_mode_and_one_mode_exclude_each_other() -> None:
    answer = elfsig.predict(corpus.content("amd64.pkcs7"), "6.1", CERT, every_mode=True)
    assert len(answer.predictions) > 1
    with pytest.raises(elfsig.UsageError):
        elfsig.predict(corpus.content("amd64.pkcs7"), "6.1", every_mode=True, mode=elfsig.Mode(fips=True))


def test_a_configuration_and_a_command_line_are_read_from_bytes() -> None:
    unsigned = corpus.content("amd64-6.1.ko")
    assert elfsig.predict(unsigned, "6.1").accepted
    forced = b"CONFIG_MODULE_SIG=y\nCONFIG_MODULE_SIG_FORCE=y\n"
    assert not elfsig.predict(unsigned, "6.1", config=forced).accepted
    assert not elfsig.predict(unsigned, "6.1", cmdline=b"quiet module.sig_enforce=1").accepted
    with pytest.raises(elfsig.UsageError, match="CONFIG_"):
        elfsig.predict(unsigned, "6.1", config=b"nothing")


@pytest.mark.parametrize("kernel", [7, None, object(), b"6.1"])
def test_a_wrong_type_of_kernel_is_a_usage_error(kernel: Any) -> None:
    for call in (elfsig.predict, elfsig.explain):
        with pytest.raises(elfsig.UsageError, match="kernel"):
            call(corpus.content("amd64.pkcs7"), kernel)


def test_a_machine_is_a_directory(tmp_path: Path) -> None:
    with pytest.raises(elfsig.UsageError, match="directory"):
        elfsig.explain("vfat", root=tmp_path / "missing")
    with pytest.raises(elfsig.UsageError, match="name"):
        elfsig.explain(corpus.content("amd64.pkcs7"), root=tmp_path)
