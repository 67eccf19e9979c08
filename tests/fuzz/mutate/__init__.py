"""Mutators: of bytes in general, and of ELF, DER, OpenPGP and archives by their structure."""
