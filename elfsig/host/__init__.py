"""The machine elfsig runs on: its kernel, keys, modules and DKMS."""
