"""Carriers and envelopes: one target for each, made from the registry, so that a new one has its own."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache, partial
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature

from elfsig.elf.image import Image
from elfsig.errors import EditRefused, ElfsigError, ParseError, SigningError
from elfsig.model import (
    Carrier,
    Envelope,
    MagicInfo,
    Params,
    SectionInfo,
    TrailerInfo,
    Verdict,
    optional,
)
from elfsig.signers.outside import OutsideSigner, Request, read_public
from elfsig.trust.ring import Ring
from tests.fuzz import certificates, judges, seeds
from tests.fuzz.mutate.der import der
from tests.fuzz.mutate.elf import MAGIC, MARKER, module
from tests.fuzz.mutate.openpgp import openpgp
from tests.fuzz.mutate.plain import plain
from tests.fuzz.target import Broken, Limits, Target
from tests.support.cms import message

MESSAGE = message(seeds.CONTENT)

# --------------------------------------------------------------------------- carriers


def carrier(each: Carrier, data: bytes) -> None:
    """Find, and for each place: detach it, and attach its blob to what is left."""
    image = Image(data)
    places = each.find(image)
    optional.anomalies(each, image)
    optional.unmarked(each, image)
    if len(data) >= optional.ENOUGH and places and not optional.may_end(each, data[-optional.ENOUGH :]):
        raise Broken("may-end", "there is a place, and may_end() says that there cannot be")
    for place in places:
        if not 0 <= place.start <= place.end <= len(data):
            raise Broken("outside", f"a place {place.start}:{place.end} in {len(data)} bytes")
    if places and places[0].fault is None:
        _removed(each, image, places[0])


def _removed(each: Carrier, image: Image, place: object) -> None:
    try:
        bare = each.detach(image, place)  # type: ignore[arg-type]
        again = each.attach(Image(bare), place.blob, place.params)  # type: ignore[attr-defined]
    except (EditRefused, ParseError):
        return
    if bare == image.bytes():
        raise Broken("nothing-removed", "detach() has changed nothing")
    _added(each, bare, again)


def _added(each: Carrier, bare: bytes, made: bytes) -> None:
    """What attach() made is found, and detach() gives back what was there."""
    found = each.find(Image(made))
    if not found or found[0].fault is not None:
        raise Broken("not-found", "attach() has made a place that find() does not see")
    back = each.detach(Image(made), found[0])
    if back != bare:
        raise Broken("not-identical", f"attached and detached: {len(bare)} bytes became {len(back)} others")


def attached(each: Carrier, params: Params, data: bytes) -> None:
    """Attach a blob to any file at all, and take it off again."""
    blob = bytes(range(96))
    if not data:  # the verbs refuse to sign an empty file: kernels see no signature there
        return
    try:
        made = each.attach(Image(data), blob, params)
    except (EditRefused, ParseError):
        return
    _added(each, data, made)


PARAMS: dict[str, Params] = {
    "trailer:modsig": TrailerInfo(id_type=2),
    "trailer:modsig-rc1": TrailerInfo(1, 4, 1, 5, 20),
    "trailer:csm": MagicInfo("ascii"),
    "note:.note.module.sig": SectionInfo(".note.module.sig", 7, 2, 4, b"module.sig", 100),
}


def _params(each: Carrier) -> Params:
    return PARAMS.get(each.id) or SectionInfo(each.short_name, 1, 0, 1)


def _carriers() -> Iterator[Target]:
    words = (MARKER, MAGIC, b"module.sig\0", b".module_sig\0")
    for each in seeds.REGISTRY.carriers:
        if each.kind == "detached":
            continue
        name = each.id.replace(":", "-")
        for word, about, run in (
            (f"find-{name}", "find, detach, attach again", partial(carrier, each)),
            (f"attach-{name}", "attach to any file, detach", partial(attached, each, _params(each))),
        ):
            yield Target(f"signatures/{word}", about, run, seeds.modules, module, words, (ElfsigError,))


# --------------------------------------------------------------------------- envelopes


def envelope(each: Envelope, keys: Ring, data: bytes) -> None:
    """Parse, verify, dump, take apart; a second parse gives the same."""
    params, data = _split(each, data)
    list(optional.dump(each, data) or ())
    blob = optional.from_file(each, data)
    try:
        found = each.parse(blob, params)
    except ParseError as reason:
        if reason.offset is not None and not 0 <= reason.offset <= len(blob) + 1:
            raise Broken("offset", f"offset {reason.offset} in {len(blob)} bytes") from reason
        return
    if not found:
        raise Broken("no-signature", "parse() has neither a signature nor an error")
    if [str(each) for each in found] != [str(each) for each in each.parse(blob, params)]:
        raise Broken("unstable", "a second parse() gives something else")
    list(optional.parts(each, blob, found))
    for signature in found:
        _checked(each, signature, blob, keys, alone=len(found) == 1)


def _checked(each: Envelope, signature: object, blob: bytes, keys: Ring, *, alone: bool) -> None:
    """``alone``: other programs give one verdict for all signatures of a blob; only one alone is compared."""
    optional.recorded_digest(each, signature, MESSAGE)  # type: ignore[arg-type]
    outcome = each.verify(signature, MESSAGE, keys)  # type: ignore[arg-type]
    if outcome.verdict not in Verdict:
        raise Broken("verdict", f"{outcome.verdict!r} is not a verdict")
    if alone and outcome.verdict in (Verdict.VALID, Verdict.UNTRUSTED, Verdict.INVALID):
        judges.judge(each.id, signature, blob, outcome.verdict is not Verdict.INVALID)


WRAPPED = "x509-block"
"""The envelope that needs fields of its trailer: they are the first four bytes of the target's inputs."""


def _split(each: Envelope, data: bytes) -> tuple[Params, bytes]:
    """The wrapper's fields, and the blob."""
    if each.id != WRAPPED:
        return None, data
    algo, hash_, signer, key = data[:4].ljust(4, b"\0")
    return TrailerInfo(algo, hash_, 1, signer, key), data[4:]


def _messages() -> Iterator[bytes]:
    yield from seeds.cms()
    yield from certificates.messages(seeds.CONTENT)


def _vendors() -> Iterator[bytes]:
    yield b"Sign" + b"\0\0\0\1" + bytes(256)
    yield from seeds.openpgp_signatures()


MAKERS: dict[str, Callable[[], Iterator[bytes]]] = {
    "cms": _messages,
    "openpgp": seeds.openpgp_signatures,
    "pgp": seeds.openpgp_signatures,
    "vendor-signature": _vendors,
    "encrypted-digest": seeds.encrypted,
}


def _blobs(name: str) -> Iterator[bytes]:
    if name in MAKERS:
        yield from MAKERS[name]()
    elif name == WRAPPED:
        size = len(next(judges.signed(name))) - 2 - 256 - 20
        yield from (bytes((1, 4, size, 20)) + blob for blob in (*seeds.blobs(name), *judges.signed(name)))
        return
    else:
        yield from seeds.blobs(name)
    yield from judges.signed(name)


def _envelopes() -> Iterator[Target]:
    mutators = {"cms": der, **dict.fromkeys(("openpgp", "pgp", "encrypted-digest"), openpgp)}
    for name, each in seeds.REGISTRY.envelopes.items():
        yield Target(
            f"signatures/{name}",
            "parse, verify, dump",
            partial(envelope, each, judges.ring()),
            partial(_blobs, name),
            mutators.get(name, plain),
            promised=(ElfsigError,),
            max_len=1 << 13,
            limits=Limits(0.1, 40e-6),
        )


# --------------------------------------------------------------------------- values from elsewhere


class _Answering(OutsideSigner):
    """A key somewhere else, which answers everything with the same bytes."""

    answer = b""

    def ask(self, request: Request) -> bytes:
        return self.answer


@cache
def _answering(name: str) -> _Answering:
    return _Answering(name, read_public(seeds.certificate(name), name))


DIGEST = sha256(seeds.CONTENT).digest()


def answer(data: bytes) -> None:
    """What a signing service may return: it is refused, or it is a signature of what was asked."""
    for name in ("signer", "curve"):
        signer = _answering(name)
        signer.answer = data
        with suppress(SigningError):
            value = signer.sign_digest(DIGEST, "sha256")
            _verified(signer.public, value)
    with suppress(SigningError):
        _answering("signer").sign_block(b"\0\1" + b"\xff" * 221 + b"\0" + DIGEST)


def _verified(public: Any, value: bytes) -> None:
    """By the library itself."""
    hash_ = Prehashed(hashes.SHA256())
    how = (PKCS1v15(), hash_) if isinstance(public, RSAPublicKey) else (ECDSA(hash_),)
    try:
        public.verify(value, DIGEST, *how)
    except InvalidSignature as reason:
        raise Broken("answer", "a value is taken that is not a signature") from reason


def _answers() -> Iterator[bytes]:
    """Right ones, in every form in which services return them."""
    values = [
        seeds.identity().private.sign(seeds.CONTENT, PKCS1v15(), hashes.SHA256()),
        seeds.identity("curve").private.sign(seeds.CONTENT, ECDSA(hashes.SHA256())),
    ]
    half = (seeds.identity("curve").private.key_size + 7) // 8
    r, s = decode_dss_signature(values[1])
    for value in (*values, r.to_bytes(half) + s.to_bytes(half), b"\0" + values[0]):
        yield from (value, value.hex().encode(), base64.encodebytes(value), base64.urlsafe_b64encode(value))


TARGETS = (
    *_carriers(),
    *_envelopes(),
    Target("signatures/answer", "answers of signing services", answer, _answers, plain, max_len=1 << 12),
)
