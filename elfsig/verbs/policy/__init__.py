"""Policies for audits: what is required of which modules, and which exceptions hold until when."""
