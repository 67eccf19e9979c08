"""prepare: what a signing service is to sign for each module, in files, with a manifest to continue from."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from elfsig.crypto.hashes import HASHES
from elfsig.errors import ReadError, SigningError, UsageError
from elfsig.kernels.suits import suited
from elfsig.model import Existing, Format, SignOptions
from elfsig.opened.atomic import write_atomic
from elfsig.opened.evidence import read_path
from elfsig.opened.module import Module
from elfsig.signers.deferred import Asked, Recorder
from elfsig.signers.outside import PublicHalf, Request, read_public
from elfsig.verbs.edit.change import Change, Done
from elfsig.verbs.edit.sign import choose_pair, sign_file
from elfsig.verbs.edit.strip import strip

MANIFEST = "manifest.json"
KIND = "elfsig-signing-request"
VERSION = 1
LIMIT = 1 << 28
"""Maximum size of a manifest, in bytes."""

Form = Literal["digest", "bytes"]
"""What is written: the digest that the key signs, or the bytes for the service to hash."""

_SUFFIXES = {"digest": ".digest", "block": ".block", "message": ".tbs"}


class Order(NamedTuple):
    """The content of a manifest: how to make the signatures, with which key, and what was requested.

    ``half`` is None where a manifest does not name a key. ``asked`` are digests, blocks, or hashes of
    messages, by the module's path below the prepared tree.
    """

    format: str
    options: SignOptions
    half: PublicHalf | None
    asked: Mapping[str, bytes]


def prepare_file(
    module: Module,
    format_: Format,
    half: PublicHalf,
    options: SignOptions,
    *,
    form: Form = "digest",
    existing: Existing = Existing.REFUSE,
) -> Change:
    """A file with what the key must sign, and a record of it for the manifest.

    ``options.created`` must be set: what is signed may hold the time. Raises SigningError, EditRefused.
    """
    request = _request(module, format_, half, options, existing)
    record = {
        "kind": request.kind,
        "hash": request.hash,
        "asked": _mark(request).hex(),
        "content_sha256": hashlib.sha256(module.content).hexdigest(),
    }
    data, suffix = request.data, _SUFFIXES[request.kind]
    if form == "bytes" and request.kind == "digest":
        signed = strip(module, everything=True).module if existing is Existing.REPLACE else module
        data, suffix = _hashed_bytes(signed, format_, options, request), ".tbs"
    what = f"{request.kind} ({request.hash or half.algorithm})"
    return Change(data, "prepared", f"{what}, {len(data)} bytes to sign", suffix=suffix, record=record)


def _request(
    module: Module,
    format_: Format,
    half: PublicHalf,
    options: SignOptions,
    existing: Existing,
) -> Request:
    """What the format requires of a key, found by requesting a signature."""
    try:
        sign_file(module, format_, Recorder(half), options, existing=existing)
    except Asked as stop:
        return stop.request
    raise SigningError(f"{format_.id} signatures need no private key", code="cannot-prepare")


def _mark(request: Request) -> bytes:
    """What identifies a request: messages are as long as modules."""
    return hashlib.sha256(request.data).digest() if request.kind == "message" else request.data


def _hashed_bytes(module: Module, format_: Format, options: SignOptions, request: Request) -> bytes:
    """The bytes whose digest ``request`` is. Raises SigningError where the format hashes more after them."""
    vermagic = module.vermagic if format_.choose is not None else None
    coverage = choose_pair(format_, options, vermagic).coverage
    message = module.message(coverage, module.image, None)
    state = HASHES[request.hash or ""].new()
    message.feed(state)
    if state.digest() != request.data:
        raise SigningError(
            f"{format_.id} signatures hash more than the module's bytes: prepare digests instead",
            code="cannot-prepare",
        )
    return message.to_bytes()


# --------------------------------------------------------------------------- the manifest


class Manifest:
    """Collects the records of a run and writes them, as one JSON document, after the last file."""

    def __init__(self, folder: str, format_: Format, half: PublicHalf, options: SignOptions) -> None:
        self.folder = folder
        # What depends on the kernel is decided now: a manifest does not name a kernel.
        chosen = suited(options, format_.id)._replace(kernel=None)
        self.head: dict[str, Any] = {
            "kind": KIND,
            "schema_version": VERSION,
            "format": format_.id,
            "options": chosen._asdict(),
            "key": _pem(half),
            "algorithm": half.algorithm,
            "key_bits": half.key_bits,
        }
        self.files: list[Mapping[str, Any]] = []

    def kept(self, results: Iterable[Done]) -> Iterator[Done]:
        """Pass on ``results``, and write the manifest when they end. Raises WriteError."""
        for done in results:
            if done.record is not None and done.target is not None and done.error is None:
                file = os.path.relpath(done.target, self.folder)
                self.files.append({"name": os.path.splitext(file)[0], "file": file, **done.record})
            yield done
        if self.files:
            document = {**self.head, "files": self.files}
            text = json.dumps(document, sort_keys=True, indent=1, ensure_ascii=True) + "\n"
            write_atomic(os.path.join(self.folder, MANIFEST), text.encode(), follow=False)


def _pem(half: PublicHalf) -> str:
    if half.certificate is not None:
        from ssl import DER_cert_to_PEM_cert

        return DER_cert_to_PEM_cert(half.certificate.der)
    return str(half.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def read_manifest(folder: str) -> Order | None:
    """The manifest in ``folder``, None where there is none. Raises UsageError for a damaged one."""
    path = os.path.join(folder, MANIFEST)
    if not os.path.lexists(path):
        return None
    try:
        return _order(json.loads(read_path(path, LIMIT)[0]), path)
    except (ReadError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as reason:
        text = f"{path}: not a manifest of signing requests: {type(reason).__name__}: {reason}"
        raise UsageError(text, code="manifest") from None


def _order(document: dict[str, Any], path: str) -> Order:
    if document["kind"] != KIND or document["schema_version"] != VERSION:
        raise ValueError("of another kind or version")
    options = SignOptions(**document["options"])
    wrong = [name for name, value in options._asdict().items() if not _same_type(name, value)]
    if wrong:
        raise ValueError(f"option {wrong[0]}")
    asked = {str(each["name"]): bytes.fromhex(each["asked"]) for each in document["files"]}
    return Order(str(document["format"]), options, read_public(document["key"].encode(), path), asked)


def _same_type(name: str, value: object) -> bool:
    """Whether a manifest's value is of the option's type."""
    usual = SignOptions._field_defaults[name]
    if usual is None:
        return value is None or isinstance(value, int if name == "created" else str)
    return type(value) is type(usual)
