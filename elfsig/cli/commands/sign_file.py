"""``elfsig-sign-file``: the arguments and the output of the kernel's scripts/sign-file.

For kbuild, DKMS and other programs that run sign-file by path; also in place of kmodsign (``-D``), which
Ubuntu has in sbsigntool, and Debian from sbsigntool 0.9.5. Exit codes are those of the kernel's tool: 2 for a
usage error, 1 for every other error.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from elfsig.carriers.trailer import MARKER, pack_info
from elfsig.cli.streams import open_missing
from elfsig.coverages.whole_file import WholeFile
from elfsig.elf.image import Image
from elfsig.envelopes.cms.envelope import read
from elfsig.envelopes.cms.make import create
from elfsig.errors import ElfsigError, ParseError, ReadError, WriteError
from elfsig.model import SignOptions, TrailerInfo
from elfsig.opened.atomic import write_atomic
from elfsig.opened.inputs import Inputs
from elfsig.opened.source import system_text
from elfsig.signers import open_signer

USAGE = """\
Usage: {name} [-dDpk] <hash algo> <key> <x509> <module> [<dest>]
       {name} -s <raw sig> <hash algo> <x509> <module> [<dest>]

  -s  attach <raw sig>, a signature made elsewhere (CMS in DER)
  -p  also write the signature to <module>.p7s
  -d  write the signature to <module>.p7s only
  -D  write the complete trailer to <module>.p7s or <dest>, as kmodsign does
  -k  identify the signer by subject key id, not by issuer and serial number

Keys and certificates are PEM or DER. A passphrase is read from KBUILD_SIGN_PIN,
or from the terminal.
"""
FLAGS = "dDpks"

COMPRESSED = {b"\x1f\x8b": "gzip", b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


@dataclass(frozen=True, slots=True)
class Order:
    """A parsed command line: ``flags``, and the positional arguments by meaning."""

    flags: frozenset[str]
    hash: str
    x509: str
    module: str
    dest: str | None
    key: str | None = None
    raw_signature: str | None = None

    @property
    def beside(self) -> str:
        """The file for a detached signature."""
        return self.module + ".p7s"


def parse(words: Sequence[str]) -> Order | None:
    """The parsed ``words``; None for a command line that the kernel's tool would refuse."""
    flags: set[str] = set()
    positional: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            positional += rest
        elif word.startswith("-") and len(word) > 1:
            flags |= set(word[1:])
        else:
            positional.append(word)
    if not flags <= set(FLAGS) or not 4 <= len(positional) <= 5:
        return None
    first, second, x509, module, *dest = positional
    target = dest[0] if dest else None
    if "s" in flags:
        return Order(frozenset(flags), second, x509, module, target, raw_signature=first)
    return Order(frozenset(flags), first, x509, module, target, key=second)


def run(order: Order) -> None:
    """Run the command, with warnings on stderr. Raises ElfsigError."""
    module = _read(order.module)
    _warn_about(module, order.module)
    blob = _signature(order, module)
    if order.key is not None and order.flags & {"p", "d"}:
        _write(order.beside, blob, order)
        if "d" in order.flags:
            return
    if "D" in order.flags:
        _write(order.dest or order.beside, _with_trailer(b"", blob), order)
    else:
        _write(order.dest or order.module, _with_trailer(module, blob), order)


def _write(path: str, data: bytes, order: Order) -> None:
    """Raises WriteError, also where it would overwrite the key, the certificate or the raw signature."""
    read = Inputs(each for each in (order.key, order.x509, order.raw_signature) if each is not None)
    if (other := read.file_at(path, follow=True)) is not None:
        raise WriteError(f"{path}: not written: it would overwrite {other}", code="output-is-input")
    for remark in write_atomic(path, data):
        _say(f"warning: {path}: {remark.text}")


def _read(path: str, *, pipes: bool = False) -> bytes:
    """The content of the file; ``pipes``: also of a pipe. Raises ElfsigError that names the file."""
    wait = 0 if pipes else os.O_NONBLOCK
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | wait)) as stream:
            if not pipes and not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise ReadError(f"{path}: not a regular file")
            return stream.read()
    except OSError as reason:
        raise ReadError(f"{path}: {system_text(reason)}") from None


def _warn_about(module: bytes, path: str) -> None:
    if module.endswith(MARKER):
        _say(f"warning: {path} is already signed; kernels look only at the outermost signature, the new one")
    for magic, name in COMPRESSED.items():
        if module.startswith(magic):
            _say(
                f"warning: {path} is compressed ({name}); kernels find no signature after the compressed data"
            )


def _signature(order: Order, module: bytes) -> bytes:
    """The CMS for ``module``: created with the key, or read from a file. Raises ElfsigError."""
    if order.raw_signature is not None:
        return _foreign(order.raw_signature)

    signer = open_signer(order.key or "", order.x509)
    for remark in getattr(signer, "remarks", ()):
        _say(f"warning: {order.x509}: {remark.text}")
    # Like sign-file: sign everything that can be encoded, even what no kernel verifies.
    options = SignOptions(hash=order.hash, keyid="k" in order.flags, force=True)
    return create(WholeFile().message(Image(module), None), signer, options)


def _foreign(path: str) -> bytes:
    blob = _read(path, pipes=True)
    try:
        read(blob)
    except ParseError as fault:
        _say(f"warning: {path} is not a CMS that kernels could read: {fault}")
    return blob


def _with_trailer(content: bytes, blob: bytes) -> bytes:
    return content + blob + pack_info(TrailerInfo(id_type=2), len(blob)) + MARKER


def _say(text: str) -> None:
    print(f"sign-file: {text}", file=sys.stderr)


def status(words: Sequence[str], name: str) -> int:
    """Run a command line. Returns the exit code: 0 done, 1 failed, 2 usage error; messages go to stderr."""
    order = parse(words)
    if order is None:
        sys.stderr.write(USAGE.format(name=name))
        return 2
    try:
        run(order)
    except ElfsigError as fault:
        _say(f"{fault.path}: {fault}" if fault.path else str(fault))
        return 1
    except KeyboardInterrupt:
        return 1
    return 0


def main() -> NoReturn:
    """The executable ``elfsig-sign-file``."""
    open_missing()
    sys.exit(status(sys.argv[1:], os.path.basename(sys.argv[0])))


if __name__ == "__main__":
    main()
