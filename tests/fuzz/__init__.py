"""Fuzzing: ``python -m tests.fuzz --list`` shows the targets, ``CONTRIBUTING.md`` says how to add one.

This package imports nothing of elfsig: the child process has to instrument it first.
"""
