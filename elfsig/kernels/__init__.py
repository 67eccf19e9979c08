"""How kernels respond to signed modules: tables of kernels, and the steps that they go through."""
