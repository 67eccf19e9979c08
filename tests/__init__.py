"""The test suite of elfsig. ``python3 bootstrap.py test`` sets everything up and runs it."""
