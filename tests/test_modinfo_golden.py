"""elfsig's answer beside modinfo's, for everything that modinfo hides: ``golden/modinfo.txt``.

``PYTHONPATH=formats python -m tests.test_modinfo_golden`` writes it anew, with whatever modinfo is here.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

import corpus
from tests.support.packages import locate
from tests.support.run import run
from tests.support.tools import need

GOLDEN = Path(__file__).parent / "golden" / "modinfo.txt"
KMOD = "kmod version 30"
FIELDS = ("sig_id", "signer", "sig_hashalgo")

ROWS = {
    "PKCS#7, issuer and serial": ["amd64.pkcs7"],
    "PKCS#7, subject key id (sign-file -k)": ["amd64.pkcs7-keyid"],
    "PKCS#7 with SHA3-256": ["amd64.pkcs7-sha3"],
    "two SignerInfos": ["amd64.pkcs7-two"],
    "ECDSA P-384": ["arm64.pkcs7-ec"],
    "id_type 0 and 1, RSA or DSA": ["amd64.appended-pgp", "el7.x509", "x509-dsa"],
    "X509 with hash 8": ["x509-hash-8"],
    "hash 9, algo 2, id_type 3 and 9": ["x509-hash-9", "x509-algo-2", "amd64.merkle", "id-type-unknown"],
    "PKCS#7 around garbage": ["cms-garbage"],
    "sig_len 0, beyond the file, too short": ["sig-len-zero", "sig-len-huge", "cms-cut"],
    "PKCS#7 with non-zero fields": [
        "pkcs7-algo", "pkcs7-hash", "pkcs7-pad", "pkcs7-signer-len", "pkcs7-key-id-len",
    ],
    "marker without newline, a byte behind it, cut, lost": [
        "newline-lost", "byte-behind", "marker-cut", "marker-lost", "trailer-lost",
    ],
    "stacked": ["amd64.stacked", "el7.stacked"],
    "signer name with control characters": ["x509-control-name"],
    "compressed": ["amd64.pkcs7.xz", "el7.x509.gz", "signed-compressed"],
    "content or value changed": ["content-changed", "x509-content-changed", "value-changed"],
    "the trailers of 2012": [
        "amd64.crypto-pgp", "amd64.crypto-digsig", "s390x.crypto-digsig", "el7.x509-rc1",
        "magic-without-length", "magic-length-huge",
    ],
    "no module": ["text.pkcs7", "cpio.pkcs7"],
    "unsigned": ["amd64-6.1.ko"],
}  # fmt: skip
"""What is shown, and the samples that show it."""

SUFFIXES = {".gz": ".ko.gz", ".xz": ".ko.xz"}


def put(name: str, folder: Path) -> Path:
    """The sample as a file with a name that modinfo takes for a module's."""
    path = folder / (name.replace(".", "-") + SUFFIXES.get(Path(name).suffix, ".ko"))
    path.write_bytes(corpus.content(name))
    return path


def modinfo_says(path: Path, program: str) -> str:
    """The short ones of modinfo's signature fields; "nothing" where there are none."""
    done = subprocess.run([program, path], capture_output=True)
    if done.returncode:
        # Which compressions it can read depends on how it was built.
        return "cannot read it"
    text = done.stdout.decode("utf-8", "backslashreplace")
    values = [re.search(rf"^{field}: +(.*?)$", text, re.MULTILINE) for field in FIELDS]
    told = [f"{field} {m[1]}" for field, m in zip(FIELDS, values, strict=True) if m]
    return ascii("; ".join(told))[1:-1] if told else "nothing"


def elfsig_says(path: Path) -> str:
    """The lines of ``elfsig verify`` without the path, all throw-away keys being vouched for."""
    trust = [word for each in corpus.certificates() for word in ("--trust", str(each))]
    lines = run("--no-plugins", "verify", path, *trust).out.splitlines()
    return "\n         ".join(line.removeprefix(f"{path}: ") for line in lines).replace(
        str(corpus.KEYS), "keys"
    )


def block(name: str, modinfo: str, elfsig: str) -> str:
    return f"{name}: {corpus.samples()[name].about}\nmodinfo: {modinfo}\nelfsig:  {elfsig}\n"


def recorded() -> dict[str, str]:
    """The blocks of the golden file by sample."""
    blocks = (part for part in GOLDEN.read_text().split("\n\n") if not part.startswith("#"))
    return {part.partition(":")[0]: part.rstrip("\n") + "\n" for part in blocks}


def names() -> Sequence[str]:
    return [name for samples in ROWS.values() for name in samples]


@pytest.mark.parametrize("name", names())
def test_elfsig_says_what_is_recorded(name: str, tmp_path: Path) -> None:
    expected = recorded()[name]
    said = re.search(r"^modinfo: (.*)$", expected, re.MULTILINE)
    assert said is not None
    assert block(name, said[1], elfsig_says(put(name, tmp_path))) == expected


@pytest.mark.parametrize("name", names())
def test_modinfo_says_what_is_recorded(name: str, tmp_path: Path) -> None:
    program = need("modinfo")
    version = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    if not version.startswith(KMOD + "\n"):
        pytest.skip(f"opt-in: recorded with {KMOD}, here is {version.splitlines()[0]}")
    said = re.search(r"^modinfo: (.*)$", recorded()[name], re.MULTILINE)
    assert said is not None
    assert modinfo_says(put(name, tmp_path), program) == said[1]


def test_nothing_is_recorded_twice_or_forgotten() -> None:
    assert list(recorded()) == list(names())
    damaged = {s.name for s in corpus.select("damaged")} | {s.name for s in corpus.select("modinfo")}
    assert damaged - set(names()) == {"elf-cut"}


def test_what_modinfo_hides_is_never_called_unsigned() -> None:
    for name, text in recorded().items():
        assert ("elfsig:  unsigned" in text) == (name == "amd64-6.1.ko")


def main() -> None:
    program = locate("modinfo")
    if program is None:
        sys.exit("modinfo is not installed")
    parts = []
    with tempfile.TemporaryDirectory() as folder:
        for title, samples in ROWS.items():
            parts.append(f"# {title}\n")
            for name in samples:
                path = put(name, Path(folder))
                parts.append(block(name, modinfo_says(path, program), elfsig_says(path)))
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text("\n".join(parts))


if __name__ == "__main__":
    main()
