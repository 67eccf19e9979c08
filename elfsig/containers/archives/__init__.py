"""Archives that need the whole file at hand, read by py7zr and pycdlib: the extra ``archives``."""
