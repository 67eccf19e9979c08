"""x509_process_extension(): the extensions that the kernel looks into (x509_cert_parser.c).

keyUsage and basicConstraints are looked into since 6.4 (567671281a75, 30eae2b037af); before 6.18
(5851afffe2ab, also in 6.6.112, 6.12.53 and 6.17.3) the length of the BOOLEAN was taken for its value.
"""

from __future__ import annotations

from collections.abc import Iterator

from elfsig.kernels.x509.faults import Fault, Rule

SKID, KEY_USAGE, BASIC_CONSTRAINTS, AKID = "2.5.29.14", "2.5.29.15", "2.5.29.19", "2.5.29.35"
DIGITAL_SIGNATURE, KEY_CERT_SIGN = 0x80, 0x04
_BIT_STRING, _OCTETS, _SEQUENCE = 0x03, 0x04, 0x30


class Extensions:
    """What the extensions say: ``skid``, ``authority`` (the content of authorityKeyIdentifier), ``is_ca``,
    and ``usage``, the two bits of keyUsage that the kernel keeps."""

    def __init__(self) -> None:
        self.skid: bytes | None = None
        self.authority: bytes | None = None
        self.is_ca: bool = False
        self.usage: int = 0
        self._readers = {
            SKID: self._key_identifier,
            KEY_USAGE: self._key_usage,
            AKID: self._authority,
            BASIC_CONSTRAINTS: self._basic_constraints,
        }

    def add(self, oid: str, value: bytes) -> Iterator[Fault]:
        """Notes one extension; what is wrong with it, if anything."""
        reader = self._readers.get(oid)
        if reader is not None:
            yield from reader(value)

    def _key_identifier(self, value: bytes) -> Iterator[Fault]:
        if self.skid is not None:
            yield _fault("skid", "it has two subjectKeyIdentifiers", "parser")
        elif len(value) < 3 or value[0] != _OCTETS or value[1] != len(value) - 2:
            yield _fault("skid", "its subjectKeyIdentifier is malformed", "parser")
        else:
            self.skid = value[2:]

    def _authority(self, value: bytes) -> Iterator[Fault]:
        self.authority = value
        yield from ()

    def _key_usage(self, value: bytes) -> Iterator[Fault]:
        if len(value) < 4 or value[0] != _BIT_STRING or value[2] >= 8:
            yield _fault("key-usage", "its keyUsage is malformed", "extensions")
            return
        self.usage |= value[3] & DIGITAL_SIGNATURE
        if (value[1] == 2 and value[2] <= 2) or (len(value) > 4 and value[1] == 3):
            self.usage |= value[3] & KEY_CERT_SIGN

    def _basic_constraints(self, value: bytes) -> Iterator[Fault]:
        if len(value) < 2 or value[0] != _SEQUENCE or value[1] != len(value) - 2:
            yield _fault("basic-constraints", "its basicConstraints are malformed", "extensions")
            return
        self.is_ca = self.is_ca or (len(value) >= 4 and value[2:4] == b"\x01\x01")
        if len(value) > 2 and value[2:5] != b"\x01\x01\xff":
            text = "its basicConstraints are neither empty nor begin with cA TRUE as DER has it (01 01 FF)"
            yield _fault("basic-constraints", text, "constraints")


def _fault(code: str, text: str, rule: Rule) -> Fault:
    return Fault("EBADMSG", code, text, rule, "key")
