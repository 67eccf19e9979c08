"""The test suite of elfsig. ``python3 tests/bootstrap.py test`` sets everything up and runs it."""
