"""Coverages: which bytes a signature signs."""
