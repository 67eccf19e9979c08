"""Which kind of key a given kernel needs: ``--for-kernel``, by what is known about that kernel's verifier."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from elfsig.errors import UsageError
from elfsig.kernels import config as configs
from elfsig.kernels.select import choose, for_release
from elfsig.keygen.kinds import DEFAULT, KINDS, Kind
from elfsig.model import Format, optional
from elfsig.opened.evidence import read
from elfsig.registry import load

if TYPE_CHECKING:
    from elfsig.kernels.profile import Profile

_HEADER = re.compile(r"^# Linux/\S+ (\d\S*) Kernel Configuration", re.MULTILINE)
_CURVES = {"p256": "secp256r1", "p384": "secp384r1", "p521": "secp521r1"}


def names_certificate(format_: Format) -> bool:
    """Whether the format's default signatures name their signer by certificate; kernels hold an OpenPGP
    ring for the others."""
    return optional.public_form(format_.pairs[0].envelope, None) == "certificate"


class Target(NamedTuple):
    """A kernel, and the key that suits it. ``hash`` is what its own build asks for, where that is known."""

    profile: Profile
    kind: Kind
    hash: str | None

    @property
    def format(self) -> str:
        """The id of the format that this kernel reads."""
        return self.profile.look.format

    @property
    def wants_ring(self) -> bool:
        """Whether its kernels keep an OpenPGP ring rather than certificates."""
        return not names_certificate(load(plugins=False).get(self.format))

    def objections(self, kind: Kind, hash_name: str | None) -> Iterator[str]:
        """Why this kernel would not accept signatures by such a key; None where it would."""
        crypto = self.profile.crypto
        title = self.profile.title
        if kind.algorithm not in crypto.algorithms - crypto.absent:
            yield f"{title} does not verify {kind.algorithm}"
        elif kind.id in _CURVES and _CURVES[kind.id] not in crypto.curves:
            yield f"{title} does not know the curve {_CURVES[kind.id]}"
        if hash_name is not None and kind.hash is not None:
            if hash_name not in crypto.hashes - crypto.absent:
                yield f"{title} does not know {hash_name}"
            elif hash_name in crypto.late and not self.wants_ring:
                yield f"{title} has {hash_name} as a module, too late for certificates that are built in"


def target(text: str) -> Target:
    """What ``--for-kernel TEXT`` means: an id, a release, a kernel image, or a kernel's configuration.

    Raises UsageError.
    """
    if os.path.isfile(text) and configs.is_config(_content(text)):
        return _configured(text, configs.read(_content(text)))

    chosen = choose(text)
    if chosen.profile is None:
        text = "auto reads the kernel from a module, and a key is not made for a module: name the kernel"
        raise UsageError(text, code="kernel")
    options = configs.parse(chosen.config) if chosen.config else {}
    return _target(configs.apply(chosen.profile, options).profile, options.get("MODULE_SIG_HASH"))


def _content(path: str) -> bytes:
    return read(path).raw


def _configured(path: str, text: str) -> Target:
    found = _HEADER.search(text)
    if found is None:
        raise UsageError(f"{path}: no line says which kernel this configuration is for", code="kernel")
    options = configs.parse(text)
    return _target(configs.apply(for_release(found[1]), options).profile, options.get("MODULE_SIG_HASH"))


def _target(profile: Profile, hash_name: str | None) -> Target:
    usable = profile.crypto.algorithms - profile.crypto.absent
    if names_certificate(load(plugins=False).get(profile.look.format)):
        kind = DEFAULT
    else:
        kind = KINDS["dsa1024"] if "dsa" in usable else KINDS["rsa2048"]
    suits = hash_name in profile.crypto.hashes - profile.crypto.absent - profile.crypto.late
    return Target(profile, kind, hash_name if suits else None)
