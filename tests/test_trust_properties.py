"""Trust as properties, over every kind of source, prefix, option, order and folder.

One key is revoked, one vouched for, one only to be tried: nothing is valid, and nothing loads, by the first
or the last; verify and the kernels agree; what revokes only ever takes trust away, whole or damaged.
"""

from __future__ import annotations

import gzip
import hashlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs7
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from elfsig.crypto.certificate import parse
from elfsig.envelopes.openpgp.keys import key_body
from elfsig.envelopes.openpgp.make import make_ring
from elfsig.envelopes.openpgp.packets import PUBLIC_SUBKEY, write_packet
from elfsig.errors import KeySourceError
from elfsig.kernels.catalogue import PROFILES
from elfsig.kernels.policy import predict
from elfsig.kernels.profile import Mode, Profile
from elfsig.model import Verdict
from elfsig.signers.pem import FileSigner
from elfsig.trust.keyring import load
from elfsig.trust.ring import Ring
from elfsig.verbs.verify.examine import Question, examine
from tests.support.cms import Identity, identity
from tests.support.efilists import ATTRIBUTES, SHA256, X509, X509_SHA256, esl, update
from tests.support.keysources import arm64_image, bzimage, certificate_list, pem, spki, unpacked
from tests.support.opened import opened
from tests.support.verdicts import signed
from tests.test_kernels import subject

REVOKED, VOUCHED, TRIED, OTHER = (identity("rsa", number) for number in range(4))
CONTENTS = {who.certificate: signed(who) for who in (REVOKED, VOUCHED, TRIED)}
PREFIXES = ("", "builtin:", "secondary:", "machine:", "platform:")
EVERY = [each for each in PROFILES.values() if each.walk == "cms"]
KERNELS = [
    each for each in EVERY
    if not predict(subject(CONTENTS[TRIED.certificate], None, each), Mode(enforcing=True)).accepted
]  # fmt: skip
"""Kernels that refuse modules by unknown keys when they enforce: a few load whatever they get."""

STRICT = [each for each in KERNELS if each.trust.revoked_keys == "always"]


class Kind(NamedTuple):
    """A kind of source: the name of its file, its content with one key, and the prefix that it needs."""

    name: str
    make: Callable[[Identity], bytes]
    prefix: str | None = None


def _pem(who: Identity, text: str = "") -> bytes:
    return text.encode() + pem("CERTIFICATE", who.certificate)


def _ring(who: Identity, subkey: Identity | None = None) -> bytes:
    primary = (subkey and OTHER) or who
    made = make_ring(FileSigner(primary.private, primary.private.public_key(), "rsa", 2048, None), "U")
    return made + write_packet(PUBLIC_SUBKEY, key_body(who.private.public_key(), 0)) if subkey else made


def _bundle(who: Identity) -> bytes:
    certificate = x509.load_der_x509_certificate(who.certificate)
    return pkcs7.serialize_certificates([certificate], serialization.Encoding.DER)


def _image(*parts: bytes) -> bytes:
    return bzimage(gzip.compress(unpacked(*parts)))


def _printed(who: Identity) -> bytes:
    n = who.private.public_key().public_numbers().n
    digits = "00:" + n.to_bytes(256).hex(":")
    return (
        f"[key 1]\nCertificate:\n    Data:\n        Subject: CN = x\n            Public-Key: (2048 bit)\n"
        f"            Modulus:\n                {digits}\n            Exponent: 65537 (0x10001)\n"
    ).encode()


def _update(who: Identity, by: Identity) -> bytes:
    return update(esl(X509, who.certificate), by.certificate, by.private)


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _own(who: Identity) -> bytes:
    return certificate_list([who.certificate])


GOOD: Mapping[str, Kind] = {
    "certificate": Kind("k.der", lambda w: w.certificate),
    "PEM": Kind("k.pem", _pem),
    "PEM of windows": Kind("k.pem", lambda w: b"\xef\xbb\xbf" + _pem(w).replace(b"\n", b"\r\n")),
    "public key": Kind("k.pub", lambda w: pem("PUBLIC KEY", spki(w.private))),
    "PKCS#7": Kind("k.p7b", _bundle),
    "ring": Kind("k.gpg", _ring),
    "db": Kind("db-d719b2cb-3d3a-4596-a3bc-dad00e67656f", lambda w: ATTRIBUTES + esl(X509, w.certificate)),
    "db update": Kind("db.auth", lambda w: _update(w, OTHER)),
    "MokListRT": Kind("MokListRT", lambda w: esl(X509, w.certificate)),
    "image": Kind("vmlinuz", lambda w: _image(_own(w))),
}
PRINTED = Kind("list.txt", _printed)
DOUBTFUL: Mapping[str, Kind] = {
    "KEK": Kind("KEK.esl", lambda w: esl(X509, w.certificate)),
    "dbDefault": Kind("dbDefault", lambda w: esl(X509, w.certificate)),
    "list": Kind("some.esl", lambda w: esl(X509, w.certificate)),
    "signer of an update": Kind("db.auth", lambda w: _update(OTHER, w)),
    "stray in an image": Kind("vmlinuz", lambda w: _image(w.certificate, _own(OTHER))),
    "image without a list": Kind("vmlinuz", lambda w: _image(w.certificate)),
    "recovered": Kind("k.pem", lambda w: _pem(w, "# recovered, not published\n")),
    "embedded": Kind("k.pem", lambda w: _pem(w, "# embedded in x\n").replace(b"\n", b"\r\n")),
    "subkey": Kind("k.gpg", lambda w: _ring(w, OTHER)),
}  # fmt: skip
REVOKING: Mapping[str, Kind] = {
    "dbx": Kind("dbx", lambda w: ATTRIBUTES + esl(X509, w.certificate)),
    "dbx by TBS": Kind(
        "dbx_2024.esl", lambda w: esl(X509_SHA256, _digest(parse(w.certificate).tbs) + bytes(16))
    ),
    "dbx by certificate": Kind("MokListXRT", lambda w: esl(X509_SHA256, _digest(w.certificate))),
    "dbx by file": Kind("dbx", lambda w: esl(SHA256, _digest(CONTENTS[w.certificate]))),
    "dbx update": Kind("DBXUpdate.bin", lambda w: _update(w, OTHER)),
    "marked": Kind("k.pem", lambda w: _pem(w, "# revoked, by x\n# revoked: a revocation\n")),
    "image": Kind(
        "vmlinuz", lambda w: _image(_own(OTHER), certificate_list([w.certificate], sizes=1))
    ),
    **{f"revoked:{name}": kind._replace(prefix="revoked:") for name, kind in GOOD.items()},
    **{f"revoked:{name}": DOUBTFUL[name]._replace(prefix="revoked:") for name in ("list", "KEK", "embedded")},
    "revoked:printed": PRINTED._replace(prefix="revoked:"),
}  # fmt: skip


@cache
def content(kind: Kind, who: bytes) -> bytes:
    return kind.make(next(each for each in (REVOKED, VOUCHED, TRIED) if each.certificate == who))


class Placed(NamedTuple):
    """A source: its kind, the key in it, the prefix, how many folders deep it is met (0: named itself)."""

    kind: Kind
    who: Identity
    prefix: str
    depth: int

    def word(self, base: Path, number: int, data: bytes | None = None) -> str:
        """Written below ``base``; what is to be given to --trust or --keys."""
        top = base / f"s{number}"
        folder = top.joinpath(*["sub"] * (self.depth - 1)) if self.depth else top
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / self.kind.name
        path.write_bytes(content(self.kind, self.who.certificate) if data is None else data)
        return f"{self.kind.prefix or self.prefix}{top if self.depth else path}"


def placed(kinds: Mapping[str, Kind], who: Identity) -> st.SearchStrategy[Placed]:
    return st.builds(
        Placed,
        st.sampled_from(list(kinds.values())),
        st.just(who),
        st.sampled_from(PREFIXES),
        st.integers(0, 2),
    )


def ring(trust: Sequence[Placed], keys: Sequence[Placed], base: Path) -> Ring:
    words = [each.word(base, number) for number, each in enumerate((*trust, *keys))]
    return load(words[: len(trust)], words[len(trust) :])


def verdict(who: Identity, held: Ring) -> Verdict | None:
    return examine(opened(CONTENTS[who.certificate]), Question(held)).verdict


def loads(who: Identity, held: Ring, kernel: Profile) -> bool:
    return predict(subject(CONTENTS[who.certificate], held, kernel), Mode(enforcing=True)).accepted


SOME = st.lists(st.sampled_from(KERNELS), min_size=4, max_size=6, unique_by=lambda each: each.id)
SLOW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@SLOW
@given(
    st.permutations(range(4)),
    placed(GOOD, VOUCHED),
    placed(GOOD, REVOKED),
    placed(REVOKING, REVOKED),
    st.one_of(placed(DOUBTFUL, TRIED), placed(GOOD, TRIED)),
    st.booleans(),
    SOME,
)
def test_nothing_is_valid_and_nothing_loads_that_should_not(
    order: list[int],
    good: Placed,
    withdrawn: Placed,
    revoking: Placed,
    tried: Placed,
    in_keys: bool,
    kernels: list[Profile],
) -> None:
    by_certificate = revoking.kind in (REVOKING["dbx by TBS"], REVOKING["dbx by certificate"])
    assume(not (by_certificate and withdrawn.kind in (GOOD["public key"], GOOD["ring"])))  # they have none
    sources = [good, withdrawn, revoking, tried]
    as_keys = [tried] if tried.kind in GOOD.values() else []
    as_keys += [revoking] if in_keys else []
    trust = [sources[number] for number in order if sources[number] not in as_keys]
    with tempfile.TemporaryDirectory() as folder:
        held = ring(trust, as_keys, Path(folder))
    assert verdict(VOUCHED, held) is Verdict.VALID
    assert verdict(REVOKED, held) is Verdict.UNTRUSTED
    assert verdict(TRIED, held) in (Verdict.UNTRUSTED, Verdict.UNKNOWN_KEY)
    by_file = revoking.kind == REVOKING["dbx by file"]
    for kernel in kernels:
        assert not loads(TRIED, held, kernel), kernel.id
        # Kernels store hashes of an EFI list with the time behind them, so that these never match.
        asks = kernel.trust.revoked_files if by_file else kernel in STRICT and not by_certificate
        if asks:
            assert not loads(REVOKED, held, kernel), kernel.id


@SLOW
@given(
    st.lists(st.one_of(placed(GOOD, VOUCHED), placed(GOOD, TRIED), placed(DOUBTFUL, TRIED)), max_size=3),
    st.lists(placed(GOOD, TRIED), max_size=2),
    st.sampled_from((VOUCHED, TRIED, REVOKED)).flatmap(lambda who: placed(REVOKING, who)),
    st.booleans(),
    SOME,
)
def test_what_revokes_only_takes_trust_away(
    trust: list[Placed], keys: list[Placed], more: Placed, first: bool, kernels: list[Profile]
) -> None:
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        before = ring(trust, keys, Path(one))
        after = ring([more, *trust] if first else [*trust, more], keys, Path(two))
    for who in (REVOKED, VOUCHED, TRIED):
        if verdict(who, after) is Verdict.VALID:
            assert verdict(who, before) is Verdict.VALID
        for kernel in kernels:
            if loads(who, after, kernel):
                assert loads(who, before, kernel), kernel.id


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(sorted(REVOKING)),
    st.integers(0, 2),
    st.floats(0, 1, exclude_max=True),
    st.sampled_from((1, 1, 1, 2, 3, 4, 16, 64, 1 << 20)),
    st.sampled_from(PREFIXES),
)
@example("dbx", 0, 0.0, 1 << 20, "")
@example("revoked:printed", 0, 0.5, 3, "")
def test_bytes_that_a_revoking_source_loses_make_nothing_valid(
    name: str, depth: int, where: float, size: int, prefix: str
) -> None:
    source = Placed(REVOKING[name], REVOKED, prefix, depth)
    whole = content(source.kind, REVOKED.certificate)
    at = int(where * len(whole))
    data = whole[:at] + whole[at + size :]
    with tempfile.TemporaryDirectory() as folder:
        try:
            held = load([Placed(GOOD["certificate"], REVOKED, "", 0).word(Path(folder), 0),
                         source.word(Path(folder), 1, data)])  # fmt: skip
        except KeySourceError:
            return
    assert verdict(REVOKED, held) is not Verdict.VALID, (at, size)


@pytest.mark.parametrize("name", sorted(DOUBTFUL))
@pytest.mark.parametrize("prefix", PREFIXES)
def test_no_prefix_vouches(name: str, prefix: str, tmp_path: Path) -> None:
    """Every doubtful kind with every prefix, named and in a folder, in every kernel."""
    for depth in (0, 1):
        held = load([Placed(DOUBTFUL[name], TRIED, prefix, depth).word(tmp_path, depth)])
        assert verdict(TRIED, held) in (Verdict.UNTRUSTED, Verdict.UNKNOWN_KEY)
        assert not any(loads(TRIED, held, kernel) for kernel in KERNELS)


def test_an_arm_image_may_not_lose_its_list(tmp_path: Path) -> None:
    """Uncompressed images have no checksum: what is damaged is told, or still revokes."""
    body = unpacked(_own(OTHER), certificate_list([REVOKED.certificate], sizes=1))
    whole = arm64_image(body)
    start = whole.index(REVOKED.certificate)
    good = tmp_path / "k.der"
    good.write_bytes(REVOKED.certificate)
    revoked = load([str(good)]).keys[0].fingerprint
    for at in range(start, start + len(REVOKED.certificate), 7):
        (tmp_path / "Image").write_bytes(whole[:at] + whole[at + 1 :])
        try:
            held = load([str(good), str(tmp_path / "Image")])
        except KeySourceError:
            continue
        assert not any(key.keyring == "builtin" and key.fingerprint == revoked for key in held.keys)
