"""Evidence bundles: what is read, and what is written."""
