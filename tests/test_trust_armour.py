"""OpenPGP rings in files: what may be before the first key, and where in a text an armour may be."""

from __future__ import annotations

import subprocess
from base64 import encodebytes
from pathlib import Path

import pytest

from elfsig.envelopes.openpgp.make import make_ring
from elfsig.envelopes.openpgp.packets import write_packet
from elfsig.errors import KeySourceError
from elfsig.trust.entries import Origin
from elfsig.trust.forms import read_source
from elfsig.verbs.bundle.keys import openpgp_rings
from tests.support.openpgp import signer
from tests.support.tools import need
from tests.test_trust_sources import ONE, pem_of

RING, SECOND = make_ring(signer("rsa1024"), "A"), make_ring(signer("dsa1024"), "B")
MARKER = b"\xca\x03PGP"
LATER = [write_packet(6, bytes([version]) + bytes(4) + b"\x1b\0\0\0\x20" + bytes(32)) for version in (5, 6)]
TEXT = b"The keys of our developers.\n" * 400


def armour(ring: bytes = RING, dashes: bytes = b"-----") -> bytes:
    def boundary(word: bytes) -> bytes:
        return dashes + word + b" PGP PUBLIC KEY BLOCK" + dashes + b"\n"

    return boundary(b"BEGIN") + b"\n" + encodebytes(ring) + boundary(b"END")


WHOLE = {
    "marker": MARKER + RING,
    "two markers": MARKER * 2 + RING,
    "late": TEXT + armour(),
    "after a long line": b"x" * 5000 + b"\n" + armour(),
    "between texts": TEXT + armour() + TEXT + armour(SECOND) + TEXT,
    "byte-order mark": b"\xef\xbb\xbf" + armour(),
    "utf-16": armour().decode().encode("utf-16"),
    "utf-16-le": armour().decode().encode("utf-16-le"),
    "utf-16-be with a mark": ("\ufeff" + armour().decode()).encode("utf-16-be"),
    "late in utf-16": (TEXT + armour()).decode().encode("utf-16"),
    "zeros at the end": armour() + bytes(8),
}


@pytest.mark.parametrize("name", WHOLE)
def test_rings_that_gpg_reads_are_read(name: str) -> None:
    keys = read_source(WHOLE[name], Origin("ring")).keys
    assert [key.algorithm for key in keys][:1] == ["rsa"] and all(key.trusted for key in keys)
    found = read_source(WHOLE[name], Origin("ring", "revoked"))
    assert len(found.keys) == len(keys) and all(key.revoked for key in found.keys)
    assert len(list(openpgp_rings(WHOLE[name], keys))) == len(keys), "a bundle has them too"


@pytest.mark.parametrize("name", ["marker", "two markers", "late", "between texts"])
def test_gpg_reads_them(tmp_path: Path, name: str) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (tmp_path / "ring").write_bytes(WHOLE[name])
    command = [need("gpg"), "--homedir", str(home), "--batch", "--show-keys", str(tmp_path / "ring")]
    assert b"rsa1024" in subprocess.run(command, capture_output=True).stdout


LOST = {
    "version 5 first": LATER[0] + RING,
    "version 6 first": LATER[1] + RING,
    "version 6 between": RING + LATER[1] + SECOND,
    "marker and version 6": MARKER + LATER[1] + RING,
    "binary after armour": armour() + SECOND,
    "armour after binary": RING + armour(SECOND),
    "other dashes": armour() + armour(SECOND, "\u2014\u2014".encode()),
    "quoted": armour() + b"".join(b"> " + line for line in armour(SECOND).splitlines(keepends=True)),
    "escaped dashes": armour() + armour(SECOND, b"- -----"),
    "old mac": armour() + armour(SECOND).replace(b"\n", b"\r"),
}


@pytest.mark.parametrize("name", LOST)
def test_no_part_of_a_ring_is_left_out_in_silence(name: str) -> None:
    found = read_source(LOST[name], Origin("ring"))
    assert found.losses and "rsa" in {key.algorithm for key in found.keys}
    with pytest.raises(KeySourceError, match="must be read completely"):
        read_source(LOST[name], Origin("ring", "revoked"))


@pytest.mark.parametrize("data", LATER)
def test_a_ring_of_later_versions_is_named(data: bytes) -> None:
    with pytest.raises(KeySourceError, match=r"public key of version [56]: only 2, 3 and 4 are known"):
        read_source(data, Origin("ring"))


@pytest.mark.parametrize(
    "data", [b"", MARKER, MARKER * 40 + RING, MARKER + b"\xca\x03PGQ", b"\xca\x03PGQ" + RING]
)
def test_markers_without_a_key(data: bytes) -> None:
    with pytest.raises(KeySourceError):
        read_source(data, Origin("ring"))


@pytest.mark.parametrize(
    "data",
    [
        b'{"ca": "' + pem_of(ONE).replace(b"\n", b"\\n") + b'"}',
        b"".join(b"> " + line for line in pem_of(ONE).splitlines(keepends=True)),
    ],
)
def test_a_certificate_inside_another_text_is_named(data: bytes) -> None:
    with pytest.raises(KeySourceError, match="a certificate, but its BEGIN line is inside another text"):
        read_source(data, Origin("x.pem"))
