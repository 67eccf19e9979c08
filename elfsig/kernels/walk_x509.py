"""Steps of Linux 3.7 to 4.2 and RHEL 7: a bare RSA value, its key looked up by name and key id.

In the order of mod_verify_sig(), mod_extract_mpi_array() and request_asymmetric_key()
(kernel/module_signing.c of 3.7), and of public_key_verify_signature() (crypto/asymmetric_keys/rsa.c).
"""

from __future__ import annotations

from elfsig.crypto.checks import Match, Unsupported, digest_of, try_digest
from elfsig.crypto.hashes import HASH_BY_KERNEL, HASHES
from elfsig.crypto.pkcs1 import open_padding
from elfsig.envelopes.x509_block import HASHES_OF_LATER
from elfsig.kernels.keys import named, nameless
from elfsig.kernels.walk import Case, Said, Step, Stop, Went, compute
from elfsig.kernels.walk_trailer import HEAD, compressed, done, flags, marker_first, names_fit
from elfsig.model import Key, KeyId, Message, TrailerInfo

REQUEST = "Request for unknown module key '{description}' err -11"


def algorithms(case: Case) -> Said:
    """RSA and X.509 identifiers only."""
    info: TrailerInfo = case.found["info"]
    if info.algo == 1 and info.id_type == 1:
        return Went("RSA, key named by X.509 certificate, as expected")
    if info.id_type == 2:
        text = "a PKCS#7 signature (id_type 2): kernels before 4.3 do not read it"
        return Stop("ENOPKG", "id-type", text)
    return Stop(
        "ENOPKG", "id-type", f"algo {info.algo}, id_type {info.id_type}: this kernel reads 1 and 1 only"
    )


def hash_number(case: Case) -> Said:
    """The hash by its number in the kernel's table."""
    info: TrailerInfo = case.found["info"]
    row = HASH_BY_KERNEL.get(info.hash)
    name = row.name if row else HASHES_OF_LATER.get(info.hash, f"number {info.hash}")
    if row is None or row.name not in case.profile.crypto.hashes:
        return Stop("ENOPKG", "unsupported-hash", f"hash {name} is not in this kernel's table")
    case.found["hash"] = row.name
    return Went(f"hash {name}")


def _names(case: Case) -> tuple[bytes, bytes]:
    info: TrailerInfo = case.found["info"]
    body: bytes = case.found["body"]
    name = body[: info.signer_len]
    return name, body[info.signer_len : info.signer_len + info.key_id_len]


def _ids(case: Case) -> list[KeyId]:
    name, key_id = _names(case)
    return [("x509-name", name + b": " + key_id.hex().encode())]


def revoked(case: Case) -> Said:
    """RHEL 7 asks the blacklist keyring before it looks for the key."""
    if case.profile.trust.revoked_keys == "never":
        return Went("this kernel has no list of revoked keys")
    found = named(case.keys.revoked, _ids(case))
    name, key_id = _names(case)
    case.claims["description"] = f"{name.decode('utf-8', 'backslashreplace')}: {key_id.hex()}"
    if found:
        return Stop("EKEYREJECTED", "revoked", f"{found[0].source} revokes the key {found[0].label}")
    return Went("the key is not revoked")


def key(case: Case) -> Said:
    """The key whose description is "<name>: <key id in hex>"."""
    name, key_id = _names(case)
    text = name.decode("utf-8", "backslashreplace")
    description = f"{text}: {key_id.hex()}"
    case.claims.update(signer=text, key_id=key_id.hex())
    held = case.keys.held(case.profile.trust.rings[0])
    found = named(held, _ids(case)) or [k for k in nameless(held, _ids(case)) if _matches(case, k)]
    if not found:
        case.found["ids"] = [*_ids(case), ("skid", key_id)]
        line = REQUEST.format(description=description)
        return Stop("ENOKEY", "unknown-key", f"this kernel has no key '{description}'", (line,))
    case.key = found[0]
    return Went(f"this kernel has the key '{description}'")


def _matches(case: Case, each: Key) -> bool:
    message = compute(case)
    if not isinstance(message, Message):
        return False
    name: str = case.found["hash"]
    try:
        return try_digest(each, "rsa", name, digest_of(message, name), _value(case)) is Match.YES
    except Unsupported:  # see the step available(), which comes after this one
        return False


def available(case: Case) -> Said:
    """Whether this build has the hash."""
    name: str = case.found["hash"]
    crypto = case.profile.crypto
    if (lacking := crypto.lacks(name, fips=case.mode.fips)) is not None:
        built_in = name not in crypto.absent and crypto.fips_errno != "ENOENT"
        return Stop(crypto.fips_errno if built_in else "ENOPKG", "unsupported-hash", lacking)
    try:
        HASHES[name].new()
    except ValueError:
        return Stop(
            "ENOPKG", "unsupported-hash", f"{name} is not available in this OpenSSL build, so this is a guess"
        )
    message = compute(case)
    assert isinstance(message, Message)
    case.message = message
    return Went(f"the {message.size} bytes before the signature are digested with {name}")


def _value(case: Case) -> bytes:
    info: TrailerInfo = case.found["info"]
    body: bytes = case.found["body"]
    return body[info.signer_len + info.key_id_len + 2 :]


def body_length(case: Case) -> Said:
    """Two bytes before the RSA value give its length, which must be exact."""
    info: TrailerInfo = case.found["info"]
    body: bytes = case.found["body"][info.signer_len + info.key_id_len :]
    if len(body) < 3 or int.from_bytes(body[:2], "big") != len(body) - 2:
        text = f"{len(body)} bytes of signature do not start with their own length"
        return Stop("EBADMSG", "signature-damaged", text)
    return Went(f"an RSA value of {len(body) - 2} bytes")


def rsa(case: Case) -> Said:
    """RSA, PKCS#1 v1.5: form first (EBADMSG), then the digest (EKEYREJECTED)."""
    each, message, value = case.key, case.message, _value(case)
    assert each is not None and message is not None
    name: str = case.found["hash"]
    if each.algorithm != "rsa" or len(value) != (each.bits + 7) // 8:
        return Stop(
            "EBADMSG", "signature-damaged", f"{len(value)} bytes are not a value of the key {each.label}"
        )
    if try_digest(each, "rsa", name, digest_of(message, name), value) is Match.YES:
        return Went(f"the signature matches the key {each.label}")
    if open_padding(each, value) is None:
        return Stop("EBADMSG", "signature-damaged", "opened with the key, the value is not a padded digest")
    return Stop("EKEYREJECTED", "mismatch", f"the signature by {each.label} is over another content")


_TAIL = (
    Step("algorithms", algorithms),
    Step("hash", hash_number),
    Step("revoked keys", revoked),
    Step("key", key),
    Step("digest", available),
    Step("length of the value", body_length),
    Step("signature value", rsa),
    Step("verdict", done),
)

X509 = (*HEAD, Step("name and key id", names_fit), *_TAIL)
X509_RC1 = (Step("unpacking", compressed), Step("load flags", flags), Step("marker", marker_first), *_TAIL)
