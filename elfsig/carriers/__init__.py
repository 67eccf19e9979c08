"""Carriers: where a signature's bytes lie."""
