"""Man pages and shell completion, made from the same commands as ``--help`` when the package is built."""
