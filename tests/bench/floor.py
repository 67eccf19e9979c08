"""The floor of verifying: read each module, unpack and hash its content, check the RSA value, in one thread.

Run as a program: CERTIFICATE FILE... are read from standard input, one a line; prints the seconds that the
work took, start-up not counted. It trusts the layout blindly, so nothing that verifies can be faster.
"""

from __future__ import annotations

import hashlib
import lzma
import sys
import time
from collections.abc import Callable, Mapping

import zstandard
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

TAIL = 28 + 12
UNPACK: Mapping[str, Callable[[bytes], bytes]] = {
    "xz": lzma.decompress,
    "zst": zstandard.ZstdDecompressor().decompress,
    "ko": bytes,
}
"""What to do first, by the file name's suffix."""


def main() -> None:
    """Verify every file of standard input; an invalid one ends it."""
    certificate, *paths = sys.stdin.read().splitlines()
    with open(certificate, "rb") as stream:
        key = x509.load_der_x509_certificate(stream.read()).public_key()
    if not isinstance(key, RSAPublicKey):
        raise TypeError("the floor is one of RSA")
    size, scheme, pad = key.key_size // 8, Prehashed(SHA256()), PKCS1v15()
    start = time.perf_counter()
    for path in paths:
        with open(path, "rb") as stream:
            data = memoryview(UNPACK[path.rpartition(".")[2]](stream.read()))
        length = int.from_bytes(data[-32:-28], "big")
        digest = hashlib.sha256(data[: -TAIL - length]).digest()
        key.verify(bytes(data[-TAIL - size : -TAIL]), digest, pad, scheme)
    print(time.perf_counter() - start)


if __name__ == "__main__":
    main()
