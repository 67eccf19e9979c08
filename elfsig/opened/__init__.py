"""Bytes in and out: files read once, decompressed, and replaced atomically."""
