"""The examples of CONTRIBUTING.md are run as they stand there."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import corpus
import elfsig_formats
from elfsig.containers.names import Step
from elfsig.containers.nested import Name, resolve
from elfsig.containers.readers import bytes_reader
from elfsig.containers.registry import BUILTIN, Containers
from elfsig.containers.walk import ContainerRecord, Found, walk
from elfsig.errors import ContainerError
from elfsig.kernels import catalogue
from elfsig.model import Format, SignOptions, Verdict
from elfsig.opened.evidence import Evidence
from elfsig.opened.module import Module
from elfsig.registry import Registry
from elfsig.signers.pem import FileSigner
from elfsig.trust.keyring import load
from elfsig.verbs.edit.sign import sign
from elfsig.verbs.edit.strip import strip
from elfsig.verbs.inspect.extract import pieces
from elfsig.verbs.keys.recover import recover_key
from elfsig.verbs.verify.examine import Question, examine

TEXT = (Path(__file__).resolve().parent.parent / "CONTRIBUTING.md").read_text()
EXAMPLES = {found[1]: found[2] for found in re.finditer(r"```py\n# (\S+)\n(.*?)```", TEXT, re.DOTALL)}
"""The code by the file that it is to go into."""

PLAIN, OTHER = corpus.content("amd64-6.1.ko"), corpus.content("arm64-6.1.ko")


def added(path: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names of an example, which others can import from where it says that it stands."""
    name = path.removeprefix("formats/").removesuffix(".py").replace("/", ".")
    module = ModuleType(name)
    exec(compile(EXAMPLES[path], path, "exec"), vars(module))
    if name not in sys.modules:
        monkeypatch.setitem(sys.modules, name, module)
    return vars(module)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Format:
    for path in ("elfsig/envelopes/counted.py", "elfsig/carriers/tagged.py"):
        added(path, monkeypatch)
    found = added("formats/elfsig_formats/counted.py", monkeypatch)["COUNTED"]
    assert isinstance(found, Format)
    return found


def test_the_files_stand_where_files_of_their_kind_do() -> None:
    root = Path(__file__).resolve().parent.parent
    assert len(EXAMPLES) == 5
    assert all((root / path).parent.is_dir() for path in EXAMPLES)


def test_a_new_envelope_carrier_and_format_work_in_all_verbs(counted: Format, tmp_path: Path) -> None:
    registry = Registry([*elfsig_formats.BUILTIN, counted])
    private = rsa.generate_private_key(3, 1024)
    signer = FileSigner(private, private.public_key(), "rsa", 1024, None)
    key = tmp_path / "key.pem"
    key.write_bytes(signer.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))

    def opened(content: bytes) -> Module:
        return Module(Evidence("a.ko", content, content), registry)

    made, second = (sign(opened(c), counted, signer, SignOptions()).content for c in (PLAIN, OTHER))
    assert examine(opened(made), Question(load([str(key)]))).verdict is Verdict.VALID
    displaced = examine(opened(made + b"\0"), Question(check=False))
    assert (displaced.verdict, displaced.signatures[0].warnings[0].code) == (
        Verdict.MALFORMED,
        "marker-not-at-end",
    )
    assert {".counted", ".length", ".value"} <= {piece.suffix for piece in pieces(opened(made)).pieces}
    found = recover_key([opened(made), opened(second)], lambda text: None).key
    assert found.public.public_numbers() == private.public_key().public_numbers()
    assert strip(opened(made)).content == PLAIN


def test_a_new_kernel_profile_is_a_row_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    row = added("elfsig/kernels/tables/vendors.py", monkeypatch)["EXAMPLE_LINUX"]
    assert row.id not in catalogue.PROFILES
    [example] = row.releases.examples
    assert row.releases.fit(example)
    assert not any(each.releases.fit(example) for each in catalogue.VENDORS)


def test_a_new_container_is_walked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    drawer = added("elfsig/containers/drawer.py", monkeypatch)["DRAWER"]
    containers = Containers([*BUILTIN, drawer])
    inner = b"DRAWER\n%d a.ko\n%send\n" % (len(PLAIN), PLAIN)
    data = b"DRAWER\n%d inner\n%s6 note\nanswerend\n" % (len(inner), inner)

    def looked(data: bytes) -> tuple[list[str], list[ContainerError | None]]:
        walked = list(walk(bytes_reader(data), (Step("file", b"d"),), containers=containers))
        found = [each.path for each in walked if isinstance(each, Found)]
        return found, [each.error for each in walked if isinstance(each, ContainerRecord)]

    assert looked(data) == (["d!/inner!/a.ko", "d!/note"], [None, None])
    for cut in range(7, len(data), 199):
        assert looked(data[:cut])[1][-1] is not None
    assert looked(data + b"more")[1][-1].code == "trailing-data"  # type: ignore[union-attr]
    resolved = resolve(lambda: bytes_reader(data), (Name(b"inner"), Name(b"a.ko")), containers=containers)
    assert resolved.member.reader is not None and resolved.member.reader.all(1 << 20) == PLAIN
