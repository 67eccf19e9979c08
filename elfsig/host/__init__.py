"""The machine that elfsig runs on: its kernel, keys, modules and DKMS."""
