"""The envelope ``openpgp`` (RFC 4880): packets, keys, and signatures of versions 3 and 4."""
