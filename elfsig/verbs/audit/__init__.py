"""Auditing a tree of modules against rules."""
