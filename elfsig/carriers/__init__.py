"""Carriers: where a signature's bytes are."""
