"""The table of sub-commands, so that ``elfsig --help`` imports none of them."""

from __future__ import annotations

from elfsig.cli.lazy import Row

COMMANDS = {
    "list": Row("list_", "Where signatures lie, in the look of readelf -SW."),
    "show": Row("show", "Every field of every signature; modinfo's names where it has them."),
    "verify": Row("verify", "What every signature is worth, given keys."),
    "sign": Row("sign", "Sign modules in any era's format."),
    "strip": Row("strip", "Remove signatures, exactly the bytes that signing added."),
    "convert": Row("convert", "From one era's signature to another's, verified first."),
    "compare": Row("compare", "Are two modules the same but for signatures? What differs?"),
    "coverage": Row("coverage", "Which bytes each signature protects and which not, as a map."),
    "attach": Row("attach", "Put an existing signature on a module."),
    "audit": Row("audit", "The gate for CI: fail when a module is not signed as it should be."),
    "digest": Row("digest", "The digest of what each coverage takes in, or its exact bytes."),
    "keys": Row("keys.group", "Make key pairs; list and extract public keys, find the one that signed."),
    "explain": Row("explain", "Why a kernel refuses a module, step by step, and what to do."),
    "kernels": Row("kernels", "The kernels whose answers elfsig foretells."),
    "formats": Row("formats", "The signature formats that elfsig knows."),
    "sign-file": Row("sign_file_command", "Drop-in for the kernel's scripts/sign-file."),
    "dkms": Row("dkms", "Let DKMS sign what it builds, and sign again what it has built."),
    "tour": Row("tour", "The main job, on sample modules that ship with elfsig."),
    "schema": Row("schema", "The JSON Schema of the machine-readable output."),
}  # fmt: skip
"""In the order in which ``elfsig --help`` lists them."""
