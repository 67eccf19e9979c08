"""Editing one module: sign, strip, convert, attach."""
