"""The table of sub-commands, so that ``elfsig --help`` imports none of them."""

from __future__ import annotations

from elfsig.cli.lazy import Row

COMMANDS = {
    "list": Row("elfsig.cli.list_", "Where signatures lie, in the look of readelf -SW."),
    "show": Row("elfsig.cli.show", "Every field of every signature; modinfo's names where it has them."),
    "verify": Row("elfsig.cli.verify", "What every signature is worth, given keys."),
    "sign": Row("elfsig.cli.sign", "Sign modules in any era's format."),
    "strip": Row("elfsig.cli.strip", "Remove signatures, exactly the bytes that signing added."),
    "convert": Row("elfsig.cli.convert", "From one era's signature to another's, verified first."),
    "compare": Row("elfsig.cli.compare", "Are two modules the same but for signatures? What differs?"),
    "coverage": Row("elfsig.cli.coverage", "Which bytes each signature protects and which not, as a map."),
    "attach": Row("elfsig.cli.attach", "Put an existing signature on a module."),
    "audit": Row("elfsig.cli.audit", "The gate for CI: fail when a module is not signed as it should be."),
    "digest": Row("elfsig.cli.digest", "The digest of what each coverage takes in, or its exact bytes."),
    "keys": Row("elfsig.cli.keys", "Make key pairs; list and extract public keys, find the one that signed."),
    "explain": Row("elfsig.cli.explain", "Why a kernel refuses a module, step by step, and what to do."),
    "kernels": Row("elfsig.cli.kernels", "The kernels whose answers elfsig foretells."),
    "formats": Row("elfsig.cli.formats", "The signature formats that elfsig knows."),
    "sign-file": Row("elfsig.cli.sign_file_command", "Drop-in for the kernel's scripts/sign-file."),
    "dkms": Row("elfsig.cli.dkms", "Let DKMS sign what it builds, and sign again what it has built."),
    "tour": Row("elfsig.cli.tour", "The main job, on sample modules that ship with elfsig."),
    "schema": Row("elfsig.cli.schema", "The JSON Schema of the machine-readable output."),
}  # fmt: skip
"""In the order in which ``elfsig --help`` lists them."""
