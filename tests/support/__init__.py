"""What the tests share: outside tools, real kernels, corpus access."""
