"""Private keys: PEM files, GnuPG, tokens."""
