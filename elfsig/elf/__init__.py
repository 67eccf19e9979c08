"""Reading and exact editing of ELF files."""
