"""Cryptography common to all formats: hashes, DER, X.509, and checking one value against one key."""
