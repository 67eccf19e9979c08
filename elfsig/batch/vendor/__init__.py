"""Modules against those of a vendor."""
