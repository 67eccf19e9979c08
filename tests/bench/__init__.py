"""Benchmarks: ``python -m tests.bench`` prints each job as a ratio to a peer or floor of the same run."""
