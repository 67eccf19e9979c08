"""``python -m corpus.build``: rebuild every kept sample with GNU as and ld, and the manifest's hashes.

``--check`` compares instead of writing. A new sample is a new entry of ``manifest.json`` (without its hash),
then this is run. The bytes are those of binutils 2.40 (Debian 12); another version
may lay objects out differently, which is why the samples are kept.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from corpus import FOLDER, MANIFEST, SAMPLES, oldlayout, recipes

BINUTILS = "2.40"


TOUR = FOLDER.parent / "elfsig" / "data" / "tour"
TOUR_SAMPLES = {"6.1-pkcs7.ko": "amd64.pkcs7", "3.10-x509.ko": "el7.x509"}
TOUR_FILES = {
    "2.6.5-gkh.ko": "vectors/modules/fc2-i386-dsa-v3.ko",
    "2.6.9-redhat.ko": "vectors/modules/rh-i386-dsa-v3.ko",
    "2.6.32-note.ko": "vectors/modules/note-sorted-amd64-dsa.ko",
    "test.crt": "keys/signer.cert.pem",
    "test.key": "keys/signer.key.pem",
    "test.gpg": "vectors/keys/dsa1024.pub.gpg",
}
"""What ``elfsig tour`` ships with: a module of each era, and the throw-away keys that belong to them."""


class Arch(NamedTuple):
    """Prefix of the cross tools, symbol of the source, size of a pointer, options of as."""

    prefix: str
    symbol: str
    pointer: int
    option: str


ARCHES = {
    "amd64": Arch("x86_64-linux-gnu-", "AMD64", 8, "--64"),
    "i386": Arch("i686-linux-gnu-", "I386", 4, "--32"),
    "arm64": Arch("aarch64-linux-gnu-", "ARM64", 8, "-EL"),
    "s390x": Arch("s390x-linux-gnu-", "S390X", 8, "-m64"),
    "ppc64": Arch("powerpc64-linux-gnu-", "PPC64", 8, "-a64"),
}


def tool(prefix: str, name: str) -> str:
    """A cross tool; the plain one where it is for this architecture. Raises LookupError."""
    found = shutil.which(prefix + name)
    if found is None:
        raise LookupError(f"{prefix}{name} is not installed")
    return found


def binutils_version(arch: str) -> str:
    """Version of the assembler for ``arch``. Raises LookupError where there is none."""
    shown = subprocess.run([tool(ARCHES[arch].prefix, "as"), "--version"], capture_output=True, text=True)
    found = re.search(r"(\d+\.\d+)", shown.stdout)
    return found[1] if found else "unknown"


def assemble(recipe: str) -> bytes:
    """Assemble and link a kept sample from ``assemble ARCH modern|old VERMAGIC``.

    Raises LookupError where the tools are missing, CalledProcessError where they fail.
    """
    _, name, layout, vermagic = recipe.split(maxsplit=3)
    arch = ARCHES[name]
    source = f'\t.macro vermagic\n\t.asciz "vermagic={vermagic} "\n\t.endm\n\t.include "module.S"\n'
    defines = [f"--defsym={symbol}={value}" for symbol, value in ((arch.symbol, 1), ("PTR", arch.pointer))]
    options = [arch.option, *defines, f"-I{FOLDER / 'source'}", "-o", "sample.o"]
    with tempfile.TemporaryDirectory() as work:
        subprocess.run([tool(arch.prefix, "as"), *options], cwd=work, input=source, text=True, check=True)
        link = [tool(arch.prefix, "ld"), "-r", "--build-id=sha1", "sample.o", "-o", "sample.ko"]
        subprocess.run(link, cwd=work, check=True)
        data = (Path(work) / "sample.ko").read_bytes()
    return oldlayout.rewrite(data) if layout == "old" else data


def manifest_text(entries: dict[str, dict[str, Any]]) -> str:
    """The manifest with a line for each field, so that a change is a small difference."""
    blocks = []
    for name, fields in entries.items():
        lines = [f"   {json.dumps(key)}: {json.dumps(value)}" for key, value in fields.items()]
        blocks.append(f"  {json.dumps(name)}: {{\n" + ",\n".join(lines) + "\n  }")
    return '{\n "samples": {\n' + ",\n".join(blocks) + "\n }\n}\n"


def rebuild() -> dict[Path, bytes]:
    """Every committed file as the recipes give it: kept samples, the manifest with its hashes, the tour's."""
    entries = json.loads(MANIFEST.read_text())["samples"]
    contents: dict[str, bytes] = {}
    files: dict[Path, bytes] = {}
    for name, fields in entries.items():
        if fields["base"] is None:
            contents[name] = files[SAMPLES / name] = assemble(fields["recipe"])
        else:
            contents[name] = recipes.make(fields["recipe"], contents[fields["base"]])
        stable = fields["recipe"].split()[0] not in recipes.VERSION_DEPENDENT
        fields["sha256"] = hashlib.sha256(contents[name]).hexdigest() if stable else None
    files[MANIFEST] = manifest_text(entries).encode()
    made = {name: contents[sample] for name, sample in TOUR_SAMPLES.items()}
    copied = {name: (FOLDER / path).read_bytes() for name, path in TOUR_FILES.items()}
    return files | {TOUR / name: data for name, data in (made | copied).items()}


def main() -> int:
    """Rebuild, or compare: exit code 1 when something differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, say what differs")
    check = parser.parse_args().check
    files = rebuild()
    different = [path for path, data in files.items() if not path.exists() or path.read_bytes() != data]
    for path in different:
        print(("differs: " if check else "written: ") + str(path.relative_to(FOLDER.parent)))
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(files[path])
    return int(check and bool(different))


if __name__ == "__main__":
    sys.exit(main())
