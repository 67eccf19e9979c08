"""Envelopes: how a signature is encoded."""
