"""The public keys of a bundle, in the forms that general tools take."""

from __future__ import annotations

from base64 import encodebytes
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from elfsig.crypto.public_keys import spki_of
from elfsig.envelopes.openpgp.keys import read_public_key
from elfsig.envelopes.openpgp.packets import PUBLIC_KEY, PUBLIC_SUBKEY, Packet, read_packet
from elfsig.errors import ParseError
from elfsig.model import Key
from elfsig.model.json_form import key_object
from elfsig.trust import armour

Json = dict[str, Any]


class KeyFolder(NamedTuple):
    """One public key: its folder in the bundle, and the files in it.

    ``fingerprint`` is that of :attr:`elfsig.model.Key.fingerprint`, ``algorithm`` elfsig's word.
    ``entries`` are the entries of the key sources with this key, as ``keys list --json`` has them.
    """

    name: str
    fingerprint: str
    algorithm: str
    files: Mapping[str, bytes]
    entries: Sequence[Json]


def key_folders(keys: Iterable[Key], rings: Mapping[str, bytes]) -> list[KeyFolder]:
    """One folder for each key that can be used, sorted by fingerprint; entries of several sources share one.

    ``rings`` are OpenPGP keys as their sources have them, by fingerprint.
    """
    entries: dict[str, list[Key]] = {}
    for key in keys:
        if key.public is not None:
            entries.setdefault(key.fingerprint, []).append(key)
    return [
        _folder(number, entries[fingerprint], rings.get(fingerprint))
        for number, fingerprint in enumerate(sorted(entries), 1)
    ]


def _folder(number: int, entries: Sequence[Key], ring: bytes | None) -> KeyFolder:
    first = entries[0]
    files = public_files(next((key for key in entries if key.certificate is not None), first))
    if ring is not None:
        files["ring.gpg"] = ring
    files["algorithm"] = f"{first.algorithm}\n".encode("ascii")
    objects = [key_object(key) for key in entries]
    return KeyFolder(f"keys/k{number:05}", first.fingerprint, first.algorithm, files, objects)


def public_files(key: Key) -> dict[str, bytes]:
    """The files of one key: ``key.pem``, and with a certificate ``certificate.pem``."""
    files = {"key.pem": pem(spki_of(key), "PUBLIC KEY")}
    if key.certificate is not None:
        files["certificate.pem"] = pem(key.certificate.der, "CERTIFICATE")
    return files


def pem(der: bytes, what: str) -> bytes:
    """DER in PEM (RFC 7468), with lines of 64 characters."""
    text = encodebytes(der).replace(b"\n", b"")
    lines = b"\n".join(text[at : at + 64] for at in range(0, len(text), 64))
    return f"-----BEGIN {what}-----\n".encode() + lines + f"\n-----END {what}-----\n".encode()


def openpgp_rings(data: bytes, keys: Iterable[Key]) -> Iterator[tuple[str, bytes]]:
    """(fingerprint, ring of that key alone) for those of ``keys`` that the ring ``data`` holds.

    A key is given with its user ids and their signatures, without which gpgv does not use it.
    """
    wanted = {key.openpgp_fingerprint: key.fingerprint for key in keys if key.openpgp_fingerprint}
    for _, block in armour.rings(data)[0]:
        for fingerprints, start, end in _transferable(block):
            for each in fingerprints:
                if each in wanted:
                    yield wanted[each], block[start:end]


def _transferable(data: bytes) -> Iterator[tuple[list[bytes], int, int]]:
    """(fingerprints of a key and its subkeys, start, end) for each primary key, up to what cannot be read."""
    fingerprints: list[bytes] = []
    start = at = 0
    while at < len(data):
        try:
            packet = read_packet(data, at)
        except ParseError:
            break
        if packet.tag == PUBLIC_KEY:
            if fingerprints:
                yield fingerprints, start, at
            fingerprints, start = [], at
        fingerprints += _fingerprint(packet)
        at = packet.end
    if fingerprints:
        yield fingerprints, start, at


def _fingerprint(packet: Packet) -> list[bytes]:
    if packet.tag not in (PUBLIC_KEY, PUBLIC_SUBKEY):
        return []
    try:
        return [read_public_key(packet).fingerprint]
    except ParseError:
        return []
