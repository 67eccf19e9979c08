"""Public keys: the keyring, and one module per kind of source."""
