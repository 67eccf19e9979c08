"""Looking into one module: digests, coverage maps, comparisons, parts."""
