"""The kernels that elfsig can simulate, one row for each behaviour, by who published them."""
