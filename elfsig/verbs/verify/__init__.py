"""Verifying: one report for each file, and what a kernel would have answered."""
