"""Compressed data: recognised by its first bytes, decompressed as a whole or as a stream, within bounds."""
