"""Why an RSA signature does not match: an RSA value reveals what was signed, so this can be determined.

PKCS#1 v1.5 is reversible with the public key. If the padding opens, this key made the value, and it contains
the digest that was signed; if it does not open, the key did not make the value in its present form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from elfsig.crypto.checks import Unsupported, digest_of, prehashed
from elfsig.crypto.hashes import HASHES, shown_hash
from elfsig.crypto.pkcs1 import (
    DigestInfo,
    digest_info,
    from_number,
    modulus_size,
    open_padding,
    padding_and_mismatch,
    public_operation,
    read_digest_info,
)
from elfsig.lazy_tuple import NamedTuple
from elfsig.model import Cause, Key, Message

NOT_THIS_KEY = "not-this-key"


class Signed(NamedTuple):
    """What a value should sign.

    ``digest`` returns its digest for a hash name (may raise Unsupported); ``what`` is its name in messages.
    ``as_number``: the format stores an RSA value as a number, without leading zeros.
    ``one_way``: there is only one way to compute what is hashed, so a different digest means different
    content.
    """

    digest: Callable[[str], bytes]
    what: str = "content"
    one_way: bool = True
    as_number: bool = False


def signed_message(message: Message, suffix: bytes = b"", *, as_number: bool = False) -> Signed:
    """``message`` followed by ``suffix``, as what a value should sign."""
    return Signed(
        lambda name: digest_of(message, name, suffix),
        one_way=message.verbatim,
        as_number=as_number,
    )


def diagnose(key: Key, hash_name: str, value: bytes, signed: Signed) -> Cause:
    """Why ``value`` is not a PKCS#1 v1.5 signature by the RSA key ``key`` over ``signed``."""
    if signed.as_number:
        value = from_number(key, value)
    if len(value) != modulus_size(key):
        return _wrong_length(key, hash_name, value, signed)
    opened = open_padding(key, value)
    if opened is None:
        return _unopened(key, hash_name, value, signed)
    found = read_digest_info(opened)
    return _in_digest_info(key, hash_name, found, signed) if found else _bare(hash_name, opened, signed)


def _digest(signed: Signed, hash_name: str) -> bytes | None:
    try:
        return signed.digest(hash_name)
    except Unsupported:
        return None


def _hashed(hash_name: str, data: bytes) -> bytes | None:
    try:
        state = HASHES[hash_name].new()
    except (KeyError, ValueError):
        return None
    state.update(data)
    return bytes(state.digest())


# --------------------------------------------------------------------------- the value's own form


def wrong_length(key: Key, value: bytes) -> Cause:
    """An RSA value, of PKCS#1 v1.5 or PSS, that is not as long as the modulus."""
    size = modulus_size(key)
    text = f"the value has {len(value)} bytes and the modulus {size}: they must be equal (RFC 8017, 8.2.2)"
    return Cause("value-length", text, {"value_size": len(value), "modulus_size": size})


def _wrong_length(key: Key, hash_name: str, value: bytes, signed: Signed) -> Cause:
    cause = wrong_length(key, value)
    whole = from_number(key, value)
    digest = _digest(signed, hash_name)
    if value and digest is not None and open_padding(key, whole) == digest_info(hash_name, digest):
        how = "without its leading zeros" if len(value) < len(whole) else "with zeros in front"
        return cause._replace(text=f"{cause.text}; it is otherwise the right value, {how}")
    return cause


def _unopened(key: Key, hash_name: str, value: bytes, signed: Signed) -> Cause:
    """The padding does not open: bytes in reverse order, another padding, or not made by this key."""
    if open_padding(key, value[::-1]) is not None:
        text = "the bytes of the value are in reverse order (little-endian, as in Microsoft's CryptoAPI)"
        return Cause("reversed-value", text)
    digest = _digest(signed, hash_name)
    raw = public_operation(key, value)
    if digest is not None and raw is not None:
        if raw.lstrip(b"\0") in (digest.lstrip(b"\0"), digest_info(hash_name, digest)):
            return Cause("no-padding", "the value was made without PKCS#1 padding around the digest")
        if _is_pss(key, hash_name, digest, value):
            return Cause("pss-value", "the value is RSA-PSS, though the signature says PKCS#1 v1.5")
    text = "not made by this key, or the value was damaged: its padding does not open"
    return Cause(NOT_THIS_KEY, text)


def _is_pss(key: Key, hash_name: str, digest: bytes, value: bytes) -> bool:
    from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS

    scheme = prehashed(hash_name)
    if scheme is None:
        return False
    try:
        function = scheme._algorithm
        key.public.verify(value, digest, PSS(MGF1(function), PSS.AUTO), scheme)
    except (padding_and_mismatch()[1], ValueError):
        return False
    return True


# --------------------------------------------------------------------------- what the padding holds


def _in_digest_info(key: Key, hash_name: str, found: DigestInfo, signed: Signed) -> Cause:
    wanted = _digest(signed, found.hash)
    if found.hash != hash_name:
        text = f"the value holds a digest of {found.hash}, and the signature says {hash_name}"
        if found.digest == wanted:
            text += f": it is the {found.hash} digest of this {signed.what}"
        return Cause("other-hash", text, {"hash": found.hash, "signed_digest": found.digest.hex()})
    if found.digest == wanted:
        text = "the DigestInfo inside lacks its NULL parameters (RFC 8017, 9.2 note 1)"
        return Cause("digest-info-without-null", text)
    for code, text, digest in _mistakes(found.hash, wanted):
        if digest == found.digest:
            return Cause(code, f"the value was made by this key over {text}")
    return _changed(key, found, wanted, signed)


def _mistakes(hash_name: str, digest: bytes | None) -> Iterator[tuple[str, str, bytes | None]]:
    """(code, what was hashed instead, its digest) of the mistakes that signers are known to make."""
    if digest is None:
        return
    name = shown_hash(hash_name)
    yield "digest-of-digest", f"the {name} of the {name}: it was hashed twice", _hashed(hash_name, digest)
    for suffix, what in ((b"", ""), (b"\n", " and a line feed")):
        text = f"the {name} of the digest in hexadecimal{what}"
        yield "digest-of-hex", text, _hashed(hash_name, digest.hex().encode() + suffix)
    yield "reversed-digest", "the digest with its bytes in reverse order", digest[::-1]


def _bare(hash_name: str, opened: bytes, signed: Signed) -> Cause:
    """What is inside is not a DigestInfo."""
    names = dict.fromkeys((hash_name, *(h.name for h in HASHES.values() if h.size == len(opened))))
    for name in names:
        digest = _digest(signed, name)
        if digest is None:
            continue
        if opened == digest:
            text = f"the value was made by this key over a bare {shown_hash(name)} digest, without DigestInfo"
            return Cause("bare-digest", text, {"hash": name})
        if opened == digest[::-1]:
            text = "the value was made by this key over the bare digest with its bytes in reverse order"
            return Cause("reversed-digest", text, {"hash": name})
        if opened.strip().lower() == digest.hex().encode():
            text = f"the value was made by this key over the {shown_hash(name)} digest in hexadecimal"
            return Cause("hex-digest", text, {"hash": name})
    text = f"the value was made by this key, and holds {len(opened)} bytes that are not a digest of this"
    return Cause("not-a-digest", f"{text} {signed.what}", {"inside": opened.hex()})


def _changed(key: Key, found: DigestInfo, wanted: bytes | None, signed: Signed) -> Cause:
    name = shown_hash(found.hash)
    text = f'the signature is genuine, by "{key.label}", over {signed.what} with {name} {found.digest.hex()}'
    facts = {"hash": found.hash, "signed_digest": found.digest.hex()}
    if wanted is not None:
        facts["digest"] = wanted.hex()
        text += f"; this file has {wanted.hex()}"
    text += f": the {signed.what} was changed" + ("" if signed.one_way else ", or computed in another way")
    return Cause("content-changed", text, facts)
