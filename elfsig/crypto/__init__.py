"""Cryptography that every era shares: hashes, DER, X.509, and checking one value against one key."""
