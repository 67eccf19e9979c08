"""Linux kernel module signatures of every era: find, show, verify, make, remove, convert."""

__version__ = "0.1.0"
