"""Whole jobs of five kinds of users, step by step, each held against what they need to read there."""
