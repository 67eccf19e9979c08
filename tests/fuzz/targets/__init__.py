"""The targets, one module for each area; ``TARGETS`` of each holds its rows."""

AREAS = (
    "elf",
    "signatures",
    "keys",
    "kernels",
    "containers",
    "texts",
    "records",
    "bundles",
    "policies",
    "verbs",
    "hosts",
    "command_line",
)
