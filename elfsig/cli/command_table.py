"""The table of sub-commands, so that ``elfsig --help`` imports none of them."""

from __future__ import annotations

from elfsig.cli.lazy import Row

COMMANDS = {
    "list": Row("list_", "List signatures, in readelf -SW style."),
    "show": Row("show", "Show every field of every signature, under modinfo's names."),
    "verify": Row("verify", "Verify signatures against the given keys."),
    "survey": Row("survey", "Verify the modules in packages, archives and disk images."),
    "evidence": Row("evidence", "Bundle modules so that others can confirm verdicts without elfsig."),
    "sign": Row("sign", "Sign modules, in any format."),
    "strip": Row("strip", "Remove signatures: exactly the bytes that signing added."),
    "convert": Row("convert", "Convert signatures to another format, verifying them first."),
    "compare": Row("compare", "Compare two modules, or two trees, apart from their signatures."),
    "coverage": Row("coverage", "Map which bytes each signature protects."),
    "attach": Row("attach", "Attach an existing signature to a module."),
    "audit": Row("audit", "Fail when a module is not signed as required: a gate for CI."),
    "digest": Row("digest", "Print the digest of the bytes that a signature covers."),
    "keys": Row("keys.group", "Generate key pairs; list, extract and match public keys."),
    "explain": Row("explain", "Explain why a kernel refuses a module, and what to do."),
    "kernels": Row("kernels", "List the kernels elfsig can simulate."),
    "formats": Row("formats", "List the signature formats elfsig knows."),
    "sign-file": Row("sign_file_command", "Drop-in replacement for the kernel's scripts/sign-file."),
    "dkms": Row("dkms", "Have DKMS sign the modules it builds, and re-sign built ones."),
    "tour": Row("tour", "Demonstrate elfsig on sample modules that ship with it."),
    "help": Row("help", "Show the help of a command."),
    "schema": Row("schema", "Print the JSON Schema of the machine-readable output."),
}  # fmt: skip
"""In the order in which ``elfsig --help`` lists them."""
