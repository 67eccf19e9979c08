"""The registry: the twelve formats against the three contracts, third parties' beside them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import corpus
from elfsig import registry
from elfsig.coverages.whole_file import WholeFile
from elfsig.elf.image import Image
from elfsig.errors import ParseError, UsageError
from elfsig.model import Carrier, Coverage, Envelope, Format
from elfsig.registry import Registry
from tests.plugin_package.elfsig_seal.box import boxed
from tests.support.cli import Ran, elfsig

PACKAGE = Path(__file__).parent / "plugin_package"
Arguments = list[str | Path]
SIGNER: Arguments = ["--key", corpus.KEYS / "signer.key.pem", "--cert", corpus.KEYS / "signer.cert.pem"]
TRUST: Arguments = ["--trust", corpus.KEYS / "signer.cert.pem"]


class Row(NamedTuple):
    """What the literature says of one format: where, which bytes, how encoded."""

    kind: str
    name: str
    coverages: set[str]
    envelopes: set[str]
    verbs: str = "show sign strip verify"


WHOLE = {"whole-file"}
GKH_PAYLOADS = {"openpgp", "encrypted-digest", "raw-rsa"}
FORMATS = {
    "gkh": Row("section", "module_sig", {"textdata", "textdata-2003"}, GKH_PAYLOADS),
    "redhat": Row("section", ".module_sig", {"fileorder"}, {"openpgp"}),
    "note": Row("note", ".note.module.sig", {"sorted", "fileorder", "fileorder-nobuildid"}, {"openpgp"}),
    "crypto-pgp": Row("trailer", "~Crypto Signed~", WHOLE, {"openpgp"}),
    "crypto-digsig": Row("trailer", "~Crypto Signed~", WHOLE, {"digsig"}),
    "modarg-pgp": Row("detached", "modsign=", WHOLE, {"openpgp"}, "show sign verify"),
    "x509-rc1": Row("trailer", "~Module sig~rc1", WHOLE, {"x509-block"}),
    "x509": Row("trailer", "~Module sig~", WHOLE, {"x509-block"}),
    "pkcs7": Row("trailer", "~Module sig~", WHOLE, {"cms"}),
    "merkle": Row("trailer", "~Module sig~", WHOLE, {"merkle"}, "show strip verify"),
    "vendor-signature": Row("section", ".signature", WHOLE, {"vendor-signature"}, "show strip"),
    "appended-pgp": Row("trailer", "~Module sig~", WHOLE, {"pgp"}, "show strip"),
}  # fmt: skip
ALIASES = {"uek": "note", "rhel6": "note", "modsig": "crypto-digsig", "cms": "pkcs7"}


def builtin() -> Registry:
    return registry.load(plugins=False)


@pytest.mark.parametrize("format_id", FORMATS)
def test_format_is_declared_as_the_literature_has_it(format_id: str) -> None:
    row, found = FORMATS[format_id], builtin().get(format_id)
    assert (found.carrier.kind, found.carrier.short_name) == (row.kind, row.name)
    assert {pair.coverage.id for pair in found.pairs} == row.coverages
    assert {pair.envelope.id for pair in found.pairs} == row.envelopes
    assert sorted(found.capabilities) == row.verbs.split()
    assert found.kernels and found.basis_text and found.title


def test_no_format_beside_them() -> None:
    assert {each.id for each in builtin().formats} == set(FORMATS)


@pytest.mark.parametrize("alias", ALIASES)
def test_alias(alias: str) -> None:
    assert builtin().get(alias).id == ALIASES[alias]


@pytest.mark.parametrize("name", [".module_sig", "module_sig"])
def test_a_section_name_is_no_alias(name: str) -> None:
    with pytest.raises(UsageError, match="gkh"):
        builtin().get(name)


def parts() -> Sequence[tuple[Carrier, Coverage, Envelope]]:
    """Every combination that is declared; mypy holds the parts against the protocols here."""
    return [(each.carrier, pair.coverage, pair.envelope) for each in builtin().formats for pair in each.pairs]


@pytest.mark.parametrize("data", [b"", b"\0", b"\x7fELF", b"plain text\n"])
def test_parts_keep_their_contracts_on_what_is_not_theirs(data: bytes) -> None:
    image = Image(data)
    for carrier, _, envelope in parts():
        assert carrier.find(image) == ()
        try:
            assert envelope.parse(data, None)
        except ParseError as refused:
            assert refused.offset is None or refused.offset <= len(data)


# --------------------------------------------------------------------------- third parties


@pytest.fixture(scope="module")
def seal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example package, installed by pip into a folder of its own."""
    source = tmp_path_factory.mktemp("source") / "plugin_package"
    shutil.copytree(PACKAGE, source)
    target = tmp_path_factory.mktemp("site")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(target)]
    command = [sys.executable, "-m", "pip", "install", *options, str(source)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return target


def plugged(site: Path, *arguments: str | Path) -> Ran:
    """Run elfsig where ``site`` is on the path too."""
    return elfsig(*arguments, path=[site])


def test_installed_format_signs_lists_verifies_and_strips(seal: Path, tmp_path: Path) -> None:
    module, sealed, plain = (tmp_path / name for name in ("module.ko", "sealed.ko", "plain.ko"))
    module.write_bytes(corpus.content("amd64-6.1.ko"))
    assert plugged(seal, "sign", module, "--format", "seal", *SIGNER, "-o", sealed).code == 0
    assert sealed.read_bytes().startswith(module.read_bytes())
    listed = plugged(seal, "list", sealed)
    assert {"TRAILER", "seal"} <= set(listed.out.split())
    ran = plugged(seal, "verify", "--jsonl", sealed, *TRUST)
    assert (ran.code, ran.files()[0]["signatures"][0]["format"]) == (0, "seal")
    changed = bytearray(sealed.read_bytes())
    changed[70] ^= 1
    (tmp_path / "changed.ko").write_bytes(changed)
    assert plugged(seal, "verify", tmp_path / "changed.ko", *TRUST).code != 0
    assert plugged(seal, "strip", sealed, "-o", plain).code == 0
    assert plain.read_bytes() == module.read_bytes()


def test_installed_format_lives_beside_the_built_in_ones(seal: Path, tmp_path: Path) -> None:
    module, both = tmp_path / "module.ko", tmp_path / "both.ko"
    module.write_bytes(corpus.content("amd64.pkcs7"))
    ran = plugged(seal, "sign", module, "--format", "seal", "--stack", *SIGNER, "-o", both)
    assert ran.code == 0, ran.err
    found = plugged(seal, "verify", "--jsonl", both, *TRUST).files()[0]["signatures"]
    assert [(each["format"], each["verdict"]) for each in found] == [("seal", "valid"), ("pkcs7", "valid")]


def test_an_installed_container_is_read(seal: Path, tmp_path: Path) -> None:
    module, box = corpus.content("amd64.pkcs7"), tmp_path / "x.box"
    box.write_bytes(boxed({b"a.ko": module, b"b.ko": module}))
    ran = plugged(seal, "verify", "--jsonl", f"{box}!/b.ko", *TRUST)
    assert (ran.code, ran.files()[0]["path"]) == (0, f"{box}!/b.ko")
    box.write_bytes(boxed({b"a.ko": module, b"bug": b""}))
    assert plugged(seal, "verify", f"{box}!/a.ko", *TRUST).code == 0
    ran = plugged(seal, "verify", f"{box}!/b.ko", *TRUST)
    assert ran.code == 5 and "plug-in box (elfsig_seal.box:BOX): KeyError" in ran.err
    assert elfsig("verify", f"{box}!/a.ko", *TRUST).code == 5


def test_no_plugins_leaves_it_out(seal: Path) -> None:
    assert "seal" in ids(plugged(seal, "formats", "--json"))
    assert "seal" not in ids(plugged(seal, "--no-plugins", "formats", "--json"))


def ids(ran: Ran) -> list[str]:
    """The format ids of ``formats --json``."""
    document: dict[str, Any] = json.loads(ran.out)
    return [each["id"] for each in document["formats"]]


def declare(site: Path, name: str, code: str) -> None:
    """An installed distribution whose module ``name`` holds ``code`` and declares ``name:FORMAT``."""
    (site / f"{name}.py").write_text(code)
    about = site / f"{name}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[elfsig.formats]\n{name} = {name}:FORMAT\n")


COPY = "from dataclasses import replace\nfrom elfsig_formats.pkcs7 import PKCS7\n"
BROKEN = {
    "raises": ("raise RuntimeError('bad day')\n", "bad day"),
    "lacking": ("", "FORMAT"),
    "no_format": ("FORMAT = 17\n", "not an elfsig.model.Format"),
    "same_id": (f"{COPY}FORMAT = replace(PKCS7, aliases=())\n", "'pkcs7' is already taken"),
    "same_alias": (f"{COPY}FORMAT = replace(PKCS7, id='mine')\n", "'cms' is already taken"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_failing_plug_in_is_one_warning_and_stops_nothing(name: str, tmp_path: Path) -> None:
    code, reason = BROKEN[name]
    declare(tmp_path, name, code)
    module = tmp_path / "module.ko"
    module.write_bytes(corpus.content("amd64.pkcs7"))
    ran = plugged(tmp_path, "verify", module, *TRUST)
    assert ran.code == 0, ran.err
    assert len([line for line in ran.err.splitlines() if name in line and reason in line]) == 1
    listed = json.loads(plugged(tmp_path, "formats", "--json").out)["plugin_failures"]
    assert [name in each["name"] and reason in each["reason"] for each in listed] == [True]
    assert name not in plugged(tmp_path, "--no-plugins", "verify", module, *TRUST).err


def test_a_good_plug_in_beside_a_failing_one(seal: Path, tmp_path: Path) -> None:
    declare(tmp_path, "raises", "raise RuntimeError('bad day')\n")
    ran = elfsig("formats", "--json", path=[tmp_path, seal])
    assert "seal" in ids(ran)


def test_a_declaration_is_all_that_a_format_needs() -> None:
    pkcs7 = builtin().get("pkcs7")
    pair = pkcs7.pairs[0]._replace(coverage=WholeFile())
    new = Format("new", "New", pkcs7.carrier, (pair,), "none", pkcs7.basis, "a test", selects=pkcs7.selects)
    image = Image(corpus.content("amd64.pkcs7"))
    known = Registry([new])
    assert [f.id for place in new.carrier.find(image) for f in known.claimants(place)] == ["new"]
