"""What a kernel can compute and whom it trusts: all that decides whether it loads a key."""

from __future__ import annotations

from typing import Literal, Protocol

from elfsig.lazy_dataclass import dataclass
from elfsig.lazy_tuple import NamedTuple

FipsErrno = Literal["ENOENT", "ELIBBAD"]
ExtensionRule = Literal["unread", "read", "either", "strict", "unknown"]


@dataclass(frozen=True, slots=True)
class Crypto:
    """What a kernel can compute. ``hashes`` and ``algorithms`` are those that its signature parser knows.

    ``absent``: of those, what this build left out. ``late``: hashes and algorithms built as modules, not
    yet loaded when the kernel reads its certificates. ``curves`` are those of its certificate parser.
    ``sizes`` are the RSA sizes in bits that its RSA code accepts (None: any); ``fips_bits`` is the smallest
    of them in FIPS mode, ``fips_exponent``: that mode also limits the exponent. ``unhashed``: hashes
    without DigestInfo, so that RSA with them never verifies. ``extensions``: whether its certificate parser
    reads keyUsage and basicConstraints: not before 6.4 ("unread"), then their form ("read"), since 6.18 also
    whether basicConstraints are DER ("strict"); "either": there are releases before and after that.

    ``fips_absent``: the hashes, algorithms and curves that FIPS mode rules out, those without fips_allowed in
    crypto/testmgr.c; ``fips_unhashed``: those hashes that it rules out with RSA only. ``fips_errno`` is what
    it returns for such a digest: ENOENT since 5.18 (which becomes ENOPKG), ELIBBAD before (crypto/api.c).
    ``fips_built``: it has this mode at all (CONFIG_CRYPTO_FIPS). ``fips_assumed``: none of this was read for
    the kernel in question, it is that of a near one.
    """

    hashes: frozenset[str]
    algorithms: frozenset[str]
    curves: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()
    late: frozenset[str] = frozenset()
    waives_attributes: bool = False
    sizes: frozenset[int] | None = None
    fips_bits: int = 0
    fips_exponent: bool = False
    unhashed: frozenset[str] = frozenset()
    extensions: ExtensionRule = "unread"
    fips_absent: frozenset[str] = frozenset()
    fips_unhashed: frozenset[str] = frozenset()
    fips_errno: FipsErrno = "ENOENT"
    fips_built: bool = True
    fips_assumed: bool = False

    def lacks(self, *names: str | None, fips: bool) -> str | None:
        """Why the first of these hashes, algorithms or curves cannot be computed; None where all can."""
        for name in names:
            if name in self.absent:
                return f"this kernel was built without {name}"
            if fips and self.fips_built and name in self.fips_absent:
                return f"FIPS mode rules out {name}"
        return None

    def never_with_rsa(self, *, fips: bool) -> frozenset[str]:
        """The hashes with which an RSA signature does not verify here."""
        return self.unhashed | self.fips_unhashed if fips and self.fips_built else self.unhashed


Revocation = Literal["never", "platform", "always"]
Blacklist = Literal["own", "sha256"]
Machine = Literal["any", "trusted"]
CaRule = Literal["none", "ca", "ca-only"]
Identifiers = Literal["none", "skid", "both", "unknown"]


@dataclass(frozen=True, slots=True)
class Trust:
    """Which keys count. ``rings`` are asked in order, the next one after ENOKEY; each is a set of keyrings.

    ``revoked_keys``: when the list of revoked keys is asked: never, before the platform keyring, or always.
    ``revoked_files``: the SHA-256 of the whole file is looked up too. ``blacklist``: certificates are
    looked up by the hash of their signed part, in the digest of their own signature ("own") or in SHA-256.
    ``dates``: certificates outside of their validity are not loaded. ``machine``: machine owner keys go to
    the machine keyring always ("any"), or only where MokListTrustedRT is set ("trusted"). ``ca``: which of
    them the machine keyring takes: any, CA certificates (INTEGRITY_CA_MACHINE_KEYRING), or CA certificates
    that cannot sign data (INTEGRITY_CA_MACHINE_KEYRING_MAX). ``identifiers``: which a certificate must have
    to be loaded: a subjectKeyIdentifier, and an authorityKeyIdentifier with a key identifier as well.
    """

    rings: tuple[frozenset[str], ...]
    revoked_keys: Revocation = "never"
    revoked_files: bool = False
    dates: bool = False
    blacklist: Blacklist | None = None
    machine: Machine = "trusted"
    ca: CaRule = "none"
    identifiers: Identifiers = "none"


class KeyRules(Protocol):
    """What a kernel that judges keys goes by; a :class:`elfsig.kernels.profile.Profile` has it all."""

    @property
    def walk(self) -> str:
        """The id of its signature check: ``cms`` for Linux 4.3 to today."""
        ...

    @property
    def crypto(self) -> Crypto:
        """What it can compute."""
        ...

    @property
    def trust(self) -> Trust:
        """Which keys count."""
        ...


class FixedKeyRules(NamedTuple):
    """Rules that are those of no whole profile."""

    walk: str
    crypto: Crypto
    trust: Trust
