"""Input and output: files are read once, decompressed, and replaced atomically."""
