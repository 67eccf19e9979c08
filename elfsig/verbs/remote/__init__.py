"""Signing by a service that elfsig does not talk to."""
