"""The keyrings of a simulated kernel: which of the given keys it has, and in which keyring.

Keys that were given without saying which keyring they belong to ("user") stand for compiled-in ones.
A kernel has no key that nobody vouches for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from elfsig.kernels.loading import X509_WALKS, Loading, machine_refuses
from elfsig.kernels.profile import Profile
from elfsig.kernels.x509_parser import facts
from elfsig.model import Key, KeyId
from elfsig.trust.entries import RevokedHash
from elfsig.trust.ring import FILE, Ring

COMPILED_IN = frozenset({"builtin", "user"})


def kernel_blacklist(ring: Ring | None) -> frozenset[RevokedHash]:
    """The hashes on the kernel's own list. Those of EFI lists, stored with their time, never match."""
    return frozenset(each.revoked for each in ring.revocations if each.in_kernel) if ring else frozenset()


class KernelKeys:
    """The keys of ``ring`` (None: none were given) as the kernel of ``profile`` would have loaded them."""

    def __init__(self, ring: Ring | None, profile: Profile, *, fips: bool = False) -> None:
        self._ring, self._profile = ring, profile
        given = [key for key in ring.keys if key.vouched and not key.revoked] if ring else []
        self._blacklist = listed = kernel_blacklist(ring)
        judged = {key: profile.loads(key, fips=fips, blacklist=listed) for key in given}
        self.refused: dict[Key, Loading] = {
            key: loading for key, loading in judged.items() if not loading.loaded
        }
        self.unusable: dict[Key, Loading] = {
            key: loading for key, loading in judged.items() if loading.loaded and not loading.usable
        }
        self._doubts = {key: loading.doubt for key, loading in judged.items() if loading.doubt}
        loaded = [key for key in given if key not in self.refused]
        self.displaced: dict[Key, Key] = self._displacements(loaded)
        self._loaded = [key for key in loaded if key not in self.displaced]
        # A hash is not a certificate on the list of revoked keys: it goes through the blacklist.
        listed_keys = [key for key in ring.keys if key.revoked] if ring else []
        self.revoked: list[Key] = [key for key in listed_keys if profile.loads(key, fips=fips).loaded]

    def _displacements(self, loaded: Sequence[Key]) -> dict[Key, Key]:
        """Keys whose place another one took: loaded later into the same keyring, under the same description.

        key_create_or_update() and __key_link() (security/keys): the type "asymmetric" has no update, so that
        the new key takes the old one's place. Measured on 6.18.
        """
        if self._ring is None or self._profile.walk not in X509_WALKS:
            return {}
        material = self._ring.material.keys
        order = {each.certificate.der: n for n, each in enumerate(material) if each.certificate}
        last: dict[tuple[str, bytes], Key] = {}
        displaced = {}
        for key in sorted((k for k in loaded if k.certificate), key=lambda k: order.get(_der(k), 0)):
            name = (self.ring_of(key), facts(_der(key), self._profile.walk != "cms").description)
            before = last.get(name)
            if before is not None and _der(before) != _der(key):
                displaced[before] = key
            last[name] = key
        return displaced

    def doubt(self, key: Key) -> str | None:
        """Why it is not certain that a loaded key is loaded."""
        why = self._doubts.get(key)
        return why and f"that it loads the key {key.label} is not certain: {why}"

    @property
    def given(self) -> bool:
        """Whether there was any source of keys at all."""
        return self._ring is not None

    @property
    def known(self) -> list[Key]:
        """Every key that the user vouches for, loaded or not."""
        return [*self._loaded, *self.refused]

    def held(self, roles: frozenset[str]) -> list[Key]:
        """The loaded keys of the keyrings ``roles``."""
        return [key for key in self._loaded if self.ring_of(key) in roles]

    def ring_of(self, key: Key) -> str:
        """The keyring that this kernel puts a key into."""
        if key.keyring in COMPILED_IN:
            return "builtin"
        return "platform" if self.not_on_machine(key) is not None else key.keyring

    def not_on_machine(self, key: Key) -> str | None:
        """Why a machine owner key does not go to the machine keyring; None for one that does, and others."""
        if key.keyring != "machine" or key.certificate is None:
            return None
        if self.untrusted_mok(key):
            return "the kernel was not told to trust machine owner keys (MokListTrustedRT is not set)"
        return machine_refuses(key.certificate.der, self._profile)

    def untrusted_mok(self, key: Key) -> bool:
        """Whether only the missing MokListTrustedRT keeps a machine owner key off the machine keyring."""
        if self._profile.trust.machine == "any" or key.provenance is None:
            return False
        return key.keyring == "machine" and key.provenance.mok_trusted is False

    def judged(self, ids: Iterable[KeyId]) -> dict[Key, Loading]:
        """Keys with one of ``ids`` that this kernel does not load, or cannot use, and why."""
        wanted = set(ids)
        return {key: why for key, why in {**self.refused, **self.unusable}.items() if key.ids & wanted}

    def elsewhere(self, roles: frozenset[str], ids: Iterable[KeyId]) -> list[Key]:
        """Vouched-for keys with one of ``ids`` that this lookup does not reach, loaded or not."""
        wanted = set(ids)
        reached = set(self.held(roles))
        return [key for key in self.known if key not in reached and key.ids & wanted]

    def revokes_key(self, key: Key) -> str | None:
        """The source that revokes a key, whatever this kernel makes of that."""
        return self._ring.revokes(key=key) if self._ring else None

    def blacklists(self, certificate: bytes) -> bool:
        """Whether a DER certificate is on the kernel's own blacklist, by the hash that this kernel takes."""
        if not self._blacklist:
            return False
        return self._profile.loads(certificate, blacklist=self._blacklist).code == "blacklisted"

    def revokes_file(self, content: bytes) -> str | None:
        """The SHA-256 of ``content`` in hex, where a revocation list names it: kernels take no other hash."""
        if self._ring is None or not self._ring.revokes_files:
            return None
        digest = hashlib.sha256(content).digest()
        return digest.hex() if RevokedHash(FILE, "sha256", digest) in self._ring.revoked_hashes else None


def _der(key: Key) -> bytes:
    return key.certificate.der if key.certificate else b""


_KEPT = 16
_kept: dict[tuple[object, ...], KernelKeys] = {}


def kernel_keys(ring: Ring | None, profile: Profile, *, fips: bool = False) -> KernelKeys:
    """:class:`KernelKeys`, worked out once for a ring and a kernel: a tree of modules asks for it each time.

    The profile may be another object with the same rules, as a configuration makes one for each module.
    """
    name = (id(ring), profile.walk, profile.crypto, profile.trust, fips)
    found = _kept.get(name)
    if found is None:
        if len(_kept) >= _KEPT:
            _kept.clear()
        found = _kept[name] = KernelKeys(ring, profile, fips=fips)
    return found


def named(keys: Iterable[Key], ids: Sequence[KeyId]) -> list[Key]:
    """Of ``keys`` those with one of ``ids``."""
    wanted = set(ids)
    return [key for key in keys if key.ids & wanted]


def nameless(keys: Iterable[Key], ids: Sequence[KeyId]) -> list[Key]:
    """Of ``keys`` those given without what kernels name them by: they can only be tried."""
    kinds = {kind for kind, _ in ids}
    return [
        key
        for key in keys
        if (key.certificate is None and kinds & {"skid", "issuer-serial", "x509-name"})
        or ("openpgp" in kinds and not any(kind == "openpgp" for kind, _ in key.ids))
    ]
