"""What a keyring calls a key: the name that x509_fabricate_name() makes, and an identifier.

x509_extract_name_segment(), x509_fabricate_name() (x509_cert_parser.c) and x509_key_preparse()
(x509_public_key.c), alike since Linux 3.7.
"""

from __future__ import annotations

COMMON_NAME, ORGANIZATION, EMAIL = "2.5.4.3", "2.5.4.10", "1.2.840.113549.1.9.1"
_KEPT_SIZE = 256
_SAME_START = 7


class Segments:
    """The last common name, organization and e-mail address of the name that is being read."""

    def __init__(self) -> None:
        self._found: dict[str, bytes] = {}

    def add(self, oid: str, value: bytes) -> None:
        """One attribute. The kernel keeps its size in one byte, so that of 300 bytes it takes 44."""
        if oid in (COMMON_NAME, ORGANIZATION, EMAIL):
            self._found[oid] = value[: len(value) % _KEPT_SIZE]

    def name(self) -> bytes:
        """The name made of them; what was read is forgotten."""
        common, organization, email = (self._found.get(n, b"") for n in (COMMON_NAME, ORGANIZATION, EMAIL))
        self._found.clear()
        if not common or not organization:
            return common or organization or email
        start = organization[:_SAME_START]
        if common.startswith(organization) or (len(start) == _SAME_START and common.startswith(start)):
            return common
        return organization + b": " + common


def description(name: bytes, identifier: bytes) -> bytes:
    """What the kernel names the key: the name up to its first NUL, and the SKID or serial number in hex."""
    return name.split(b"\0")[0] + b": " + identifier.hex().encode()
