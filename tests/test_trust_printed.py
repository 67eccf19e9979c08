"""What mokutil prints of lists of revocations: every hash counts, and what it does not print is told."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from elfsig.errors import KeySourceError
from elfsig.model import Verdict
from elfsig.trust.keyring import load
from tests.support.verdicts import signed
from tests.test_trust_sources import ONE, TWO, printed, verify, write

OTHER = "00" * 32


def digest(name: str) -> str:
    return hashlib.new(name, signed(ONE)).hexdigest()


def listed(*lists: tuple[str, ...]) -> bytes:
    """As print_hash_array of mokutil prints lists: a heading, and one hash a line."""
    parts = (
        f"[key {number}]\n" + "".join(f"  {line}\n" for line in lines)
        for number, lines in enumerate(lists, 1)
    )
    return "\n".join(parts).encode()


@pytest.mark.parametrize("name", ["sha1", "sha224", "sha256", "sha384", "sha512"])
@pytest.mark.parametrize("dash", ["-", ""])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_every_hash_of_every_list_revokes(tmp_path: Path, name: str, dash: str, place: int) -> None:
    hashes = ["00" * hashlib.new(name).digest_size] * 2
    hashes.insert(place, digest(name))
    heading = f"[{name.upper().replace('SHA', 'SHA' + dash)}]"
    trusted = write(tmp_path / "one.der", ONE.certificate)
    plain = listed((heading, *hashes))
    for data, count in (
        (plain, 3),
        (listed(("[SHA-256]", OTHER), (heading, *hashes)), 4),
        (listed((heading, *hashes), ("[SHA-256]", OTHER)), 4),
        (plain.replace(b"\n", b"\r\n"), 3),
        ("\n".join([heading, *hashes]).upper().encode(), 3),
    ):
        path = write(tmp_path / "mokx.txt", data)
        assert verify(ONE, trusted, f"revoked:{path}").verdict is Verdict.UNTRUSTED, data
        assert len(load([f"revoked:{path}"]).revocations) == count


LOST = {
    "an empty key": listed(("[SHA-256]", OTHER), ()),
    "an empty key first": listed((), ("[SHA-256]", OTHER)),
    "two empty keys": listed(("[SHA-256]", OTHER), (), ()),
    "only empty keys": listed((), ()),
    "a kind without a hash": listed(("[SHA-256]",), ("[SHA-256]", OTHER)),
    "a kind without a hash last": listed(("[SHA-256]", OTHER), ("[SHA-384]",)),
    "an unknown kind": listed(("[SHA-256]", OTHER), ("[SM3]", OTHER)),
    "another size of SHA": listed(("[SHA-257]", OTHER)),
    "too short": listed(("[SHA-256]", OTHER, OTHER[:-2])),
    "too long": listed(("[SHA-256]", OTHER + "00")),
    "a digit too few": listed(("[SHA-256]", OTHER, OTHER[:-1])),
    "not a digit": listed(("[SHA-256]", OTHER, "x" + OTHER[1:])),
    "of another size": listed(("[SHA-256]", "00" * 20)),
    "a certificate that is missing": listed(("[SHA-256]", OTHER), ("SHA1 Fingerprint: aa:bb:cc",)),
}


@pytest.mark.parametrize("name", LOST)
def test_what_is_not_printed_is_told(tmp_path: Path, name: str) -> None:
    trusted = write(tmp_path / "one.der", ONE.certificate)
    path = write(tmp_path / "rev" / "mokx.txt", LOST[name])
    for source in (path, tmp_path / "rev"):
        with pytest.raises(KeySourceError, match="must be read completely"):
            load([trusted, f"revoked:{source}"])


def test_keys_and_hashes_in_one_text(tmp_path: Path) -> None:
    trusted = write(tmp_path / "two.der", TWO.certificate)
    data = printed(tmp_path, ONE) + b"\n[key 2]\n  [SHA-256]\n  " + OTHER.encode() + b"\n"
    path = write(tmp_path / "list.txt", data + b"\n" + printed(tmp_path, TWO))
    ring = load([f"revoked:{path}"])
    assert (len(ring.keys), len(ring.revocations), ring.losses) == (2, 1, ())
    assert verify(TWO, trusted, f"revoked:{path}").verdict is Verdict.UNTRUSTED


def test_hashes_of_a_list_that_is_not_said_to_revoke_are_told(tmp_path: Path) -> None:
    path = write(tmp_path / "list.txt", printed(tmp_path, ONE) + b"\n" + listed(("[SHA-256]", OTHER)))
    [loss] = load([path]).losses
    assert "does not say whether it revokes" in loss.reason
    assert verify(ONE, path).verdict is Verdict.VALID
