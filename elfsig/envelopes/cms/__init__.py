"""The envelope ``cms`` (RFC 5652): parsing, checking and making SignedData."""
