"""The command-line options that correspond to the hints of library errors.

Library messages do not name options: they carry a stable word, which this table translates. An unknown word
(from a plug-in, for instance) adds nothing to the message.
"""

from __future__ import annotations

from collections.abc import Mapping

from elfsig.cli.command_table import COMMANDS

HINTS: Mapping[str, str] = {
    "as-cert": "pass it with --cert",
    "as-detached": "pass it with --detached, and name the module",
    "as-kernel": "to ask that kernel about modules, pass it with --kernel; for its keys, with --trust",
    "as-key": "pass it with --key to sign with it",
    "as-report": "audit --expect takes it as a baseline",
    "as-trust": "did you mean --trust?",
    "cage-memory": "--cage-memory raises the limit",
    "cage-time": "--cage-time raises the limit",
    "cert": "pass it with --cert",
    "convert-to-both": "leave out --keep and give --to twice",
    "coverage": "choose with --coverage",
    "every-key": "--all writes keys that are not trusted too",
    "force": "--force overrides this",
    "force-with-tail": "once you know what follows it, --force removes both",
    "format": "choose one with --format",
    "give-all-files": "name all of its files, or their directory",
    "in-place": "use --in-place to overwrite it",
    "kernel": "name one (elfsig kernels lists them)",
    "key-and-cert": "the options are --key and --cert",
    "layer": "choose one with --layer",
    "max-size": "--max-size raises the limit",
    "max-depth": "--max-depth raises the limit",
    "max-members": "--max-members raises the limit",
    "max-seconds": "--max-seconds raises the limit",
    "no-like": "leave out --like",
    "output": "use exactly one of -o FILE, --output-dir DIR, --in-place",
    "output-dir": "with several files, use --output-dir instead of -o",
    "output-elsewhere": "use -o or --output-dir",
    "overwrite": "--force overwrites it",
    "payload": "choose it with --payload",
    "replace-inside": "--replace puts a signature inside instead",
    "replace-or-stack": "--replace removes existing signatures, --stack adds one after them",
    "run-again": "run it again to go on with it",
    "survey": "elfsig survey examines the modules in it",
    "trust": "pass them with --trust",
    "trust-or-unverified": "pass keys with --trust, or use --unverified",
    "unverified": "if you trust where it comes from, --unverified converts it unverified",
}


def hinted(text: str, hint: str | None) -> str:
    """``text``, followed by the option for ``hint``, if there is one."""
    offer = HINTS.get(hint or "") if hint != "survey" or "survey" in COMMANDS else None
    return f"{text}; {offer}" if offer else text
