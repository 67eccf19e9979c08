"""A laptop owner with Secure Boot and a module that DKMS builds: a key, DKMS, and the day it is replaced."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.cli import environment
from tests.support.system_dkms import MODULE, Sandbox, sandbox
from tests.walks.steps import Job


@pytest.fixture
def box(tmp_path: Path) -> Sandbox:
    """DKMS with directories of its own in place of /etc/dkms, /lib/modules and /var/lib/dkms."""
    return sandbox(tmp_path)


def test_from_no_key_to_a_module_that_loads_and_to_the_next_key(
    box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "PYTHONPATH", environment()["PYTHONPATH"])
    job = Job(tmp_path)
    # What people try first: each wrong turn names the right one.
    job("dkms", "setup", code=2, says=("--key", "--cert"))
    job("keys", "generate", "-o", "mok", "--codesigning", says=("mok.key", "mokutil --import"))
    job("verify", "mok.der", code=5, says=("not a module: a certificate", "did you mean --trust?"))
    mistaken = ("dkms", "setup", "--key", tmp_path / "mok.crt", "--cert", tmp_path / "mok.key")
    (tmp_path / "none").mkdir()
    job(*mistaken, "--root", tmp_path / "none", code=1, says=("key and certificate are swapped",))

    # The setup says what is left to do by hand.
    setup = ("elfsig", "dkms", "setup", "--key", tmp_path / "mok.key", "--cert", tmp_path / "mok.der")
    said = box.run(*setup)
    assert "mokutil --import" in said and "elfsig dkms resign" in said
    said = box.dkms("install")
    assert "Signing module" in said and str(tmp_path / "mok.key") in said
    job("verify", box.installed(), "--trust", "mok.der", says=(": valid: pkcs7 signature",))
    job("audit", tmp_path / "installed", "--trust", "mok.der", says=("1 module",))

    # What the kernel will say with the key enrolled, and without.
    enrolled = ("--enforce", "--kernel", box.kernel)
    job("verify", box.installed(), *enrolled, "--trust", "machine:mok.der", says=("loads",))
    job("verify", box.installed(), *enrolled, code=3, says=("ENOKEY",))
    job("explain", box.installed(), *enrolled, code=3, says=("mokutil",))

    # Years later: a new key. Nothing is built again, and DKMS sees nothing odd.
    job("keys", "generate", "-o", "new", "--codesigning", "--name", "My second key")
    box.run("elfsig", "dkms", "setup", "--key", tmp_path / "new.key", "--cert", tmp_path / "new.der")
    job("verify", box.installed(), "--trust", "new.der", code=4, says=("unknown-key",))
    said = box.run("elfsig", "dkms", "resign", "--dry-run")
    assert "signature made" in said and "dry run: nothing was written" in said
    box.run("elfsig", "dkms", "resign", MODULE)
    job("verify", box.installed(), box.built(), "--trust", "new.der", says=("2 files: 2 valid",))
    status = box.dkms("status")
    assert "installed" in status and "WARNING" not in status
    assert "removed" in box.run("elfsig", "dkms", "setup", "--remove")
