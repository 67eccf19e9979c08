"""Audit of many files by a policy: hosts of a fleet, trees, containers, records of a survey."""
