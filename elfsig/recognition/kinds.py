"""The words for what a file is, and what can be done with each family of files."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from elfsig.lazy_tuple import NamedTuple


class Family(StrEnum):
    """What a file can be used for."""

    MODULE = "module"
    CERTIFICATE = "certificate"
    """Certificates and public keys in a form that key sources are read from."""
    PRIVATE_KEY = "private-key"
    """A private key in a form that can be read."""
    FOREIGN_KEY = "foreign-key"
    """A key in a form that is not read; its note says how to convert or use it."""
    REQUEST = "request"
    """A request for a certificate, or a list of revoked ones: neither is a key."""
    SIGNATURE = "signature"
    CONTAINER = "container"
    """Packages, archives, file systems and disk images: modules may be inside."""
    KERNEL = "kernel"
    PE = "pe"
    PROGRAM = "program"
    """ELF files other than modules."""
    REPORT = "report"
    """Output of elfsig in JSON."""
    OTHER = "other"


class Kind(NamedTuple):
    """What a file is.

    ``code`` is a stable word, ``name`` the words for people with their article ("a Debian package"), and
    ``note`` what to do with it where no option of elfsig's takes it ("export it with gpg --export").
    """

    code: str
    name: str
    family: Family
    note: str = ""

    @property
    def words(self) -> str:
        """The name, followed by the note."""
        return f"{self.name}: {self.note}" if self.note else self.name


_AS_MODULE: Mapping[Family, str] = {
    Family.CERTIFICATE: "as-trust",
    Family.PRIVATE_KEY: "as-key",
    Family.SIGNATURE: "as-detached",
    Family.CONTAINER: "survey",
    Family.KERNEL: "as-kernel",
    Family.REPORT: "as-report",
}
_AS_KEY: Mapping[Family, str] = {Family.CERTIFICATE: "as-cert"}
_AS_CERTIFICATE: Mapping[Family, str] = {Family.PRIVATE_KEY: "as-key"}
_AS_TRUST: Mapping[Family, str] = {
    Family.PRIVATE_KEY: "as-key",
    Family.SIGNATURE: "as-detached",
}
_AS_SIGNATURE: Mapping[Family, str] = {Family.CERTIFICATE: "as-trust", Family.PRIVATE_KEY: "as-key"}
HINTS: Mapping[str, Mapping[Family, str]] = {
    "module": _AS_MODULE,
    "signed": {Family.CERTIFICATE: "as-cert", Family.PRIVATE_KEY: "as-key"},
    "key": _AS_KEY,
    "certificate": _AS_CERTIFICATE,
    "trust": _AS_TRUST,
    "signature": _AS_SIGNATURE,
    "report": {Family.CERTIFICATE: "as-trust"},
}
"""By what the file was given as."""


def hint_for(role: str, kind: Kind) -> str | None:
    """The hint code for a file of ``kind`` that was given as ``role`` (a key of HINTS); None without one."""
    return HINTS[role].get(kind.family)
