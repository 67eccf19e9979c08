"""The commands below ``elfsig keys``."""
