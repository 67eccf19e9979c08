"""Kernels that looked for a signature in an ELF section, 2003 to 2012: what they compare, read and answer."""
