"""Keys: what sources hold, new pairs, and keys recovered from signatures."""
