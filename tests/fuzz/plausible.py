"""Values that make sense for each option, and what commands need: lines that get past their first checks."""

from __future__ import annotations

import io
import json
import lzma
import tarfile
from collections.abc import Mapping
from functools import cache

import corpus
from elfsig.model.json_form import dumps
from tests.fuzz import seeds
from tests.support import survey_records

MODULES = ("fuzz.ko", "fuzz.ko", "fuzz.ko", "signed.ko", "plain.ko", "tree", "a.tar", "signed.ko.xz")
KEYS = ("signer.pem", "ring.gpg", "platform:signer.pem", "revoked:signer.pem", "tree", "signed.ko", "fuzz.ko")

VALUES: Mapping[str, tuple[str, ...]] = {
    "--format": ("pkcs7", "x509", "redhat", "gkh", "note", "crypto-pgp", "crypto-digsig", "modarg-pgp"),
    "--to": ("x509", "pkcs7", "note"),
    "--require": ("pkcs7", "x509"),
    "--only": ("unsigned", "valid", "signed", "pkcs7"),
    "--key": ("signer.key",),
    "--cert": ("signer.pem",),
    "--decrypt-key": ("signer.key", "signer.pem"),
    "--hash": ("sha256", "sha512", "sha1", "md5"),
    "--coverage": ("whole-file", "fileorder", "sorted", "auto"),
    "--kernel": ("6.1", "rhel6", "3.7", "2.6.18-8.el5", "auto", "2.6.39-uek"),
    "--for-kernel": ("6.1", "rhel6", "3.7", "2.6.18-8.el5"),
    "--payload": ("v2", "raw-rsa", "auto"),
    "--section-name": (".module_sig", "module_sig", ".other"),
    "--created": ("1200000000", "0"),
    "--key-created": ("1200000000",),
    "--prepare": ("out.d",),
    "--attach": ("out.d", "tree"),
    "--report": ("report.out", "journal.json"),
    "-o": ("out",),
    "--output": ("out", "case.tar", "case.d/"),
    "--output-dir": ("out.d",),
    "--trust": KEYS,
    "--keys": KEYS,
    "--detached": ("detached.p7s", "signed.ko", "fuzz.ko"),
    "--modarg": ("modsign=4,00000000", "modsign=1,00"),
    "--cmdline": ("cmdline", "fuzz.ko"),
    "--config": ("config", "fuzz.ko"),
    "--host": ("web-1",),
    "--expect": ("report.json", "order", "3", "records.jsonl", "fuzz.ko"),
    "--against": ("tree", "a.tar", "fuzz.ko"),
    "--loaded": ("modules", "fuzz.ko"),
    "--policy": ("policy.toml", "fuzz.ko"),
    "--host-root": ("tree", "t*"),
    "--from": ("signed.ko", "records.jsonl", "detached.p7s", "fuzz.ko"),
    "--junit": ("out.xml",),
    "--sarif": ("out.sarif",),
    "--html": ("out.html",),
    "--svg": ("out.svg",),
    "--parquet": ("out.parquet",),
    "--record": ("out.records",),
    "--extract": ("out.parts",),
    "--field": ("signer", "hash", "vermagic", "serial"),
    "--layer": ("0", "1"),
    "--parts": ("2",),
    "--part": ("0", "1"),
    "--max-size": ("100000", "1000"),
    "--max-members": ("3", "1000"),
    "--max-depth": ("1", "3"),
    "--user-id": ("a <a@example.org>",),
    "--name": ("key of a test",),
    "--genkey": ("x509.genkey", "fuzz.ko"),
    "--days": ("10",),
}
"""Values by option; those of all others are of their type."""

SIGNER = ("--key", "signer.key", "--cert", "signer.pem")
NEEDED: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "sign": (
        ("--format", "pkcs7", *SIGNER, "-o", "out"),
        ("--format", "redhat", *SIGNER, "--force", "--output-dir", "out.d"),
        ("--format", "note", *SIGNER, "--stack", "--dry-run"),
        ("--format", "x509", *SIGNER, "--replace", "--report", "report.out", "--output-dir", "out.d"),
        ("--format", "pkcs7", "--cert", "signer.pem", "--prepare", "asked.d"),
    ),
    "strip": (("-o", "out"), ("--output-dir", "out.d"), ("--dry-run",)),
    "convert": (("--to", "x509", *SIGNER, "--trust", "signer.pem", "-o", "out"),),
    "attach": (("--from", "signed.ko", "-o", "out"), ("--from", "detached.p7s", "--force", "-o", "out")),
    "audit": (
        ("--trust", "signer.pem"),
        ("--policy", "policy.toml"),
        ("--policy", "policy.toml", "--from", "records.jsonl"),
    ),
    "survey": (("--trust", "signer.pem"), ("--parts", "2", "-o", "parts.d"), ("--kernel", "6.1")),
    "evidence": (("--trust", "signer.pem", "--no-cage", "--output", "case.tar"),),
    "verify": (("--trust", "signer.pem"), ("--kernel", "6.1"), ()),
    "explain": (("--kernel", "6.1"), ("--kernel", "auto")),
    "extract": (("--output-dir", "out.d"),),
    "openpgp": (("--output", "out"),),
    "certificate": ((*SIGNER[:2], "--output", "out", "--name", "x"),),
}  # fmt: skip
"""What each command is given first, one of these, by its last word."""

TARGETS: Mapping[str, tuple[str, ...]] = {
    "list": (*KEYS, *MODULES),
    "extract": KEYS,
    "openpgp": ("signer.key",),
    "match": ("signed.ko", "signer.pem", "signer.key"),
    "kernels": ("6.1", "rhel6"),
    "audit": ("fuzz.ko", "tree", "a.tar", "signed.ko"),
}
"""Arguments of commands that take something else than modules."""


@cache
def more_files() -> dict[str, bytes]:
    """Further inputs, by name."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in ("lib/modules/6.1/a.ko", "b.ko"):
            info = tarfile.TarInfo(name)
            info.size = len(corpus.content("amd64.pkcs7"))
            archive.addfile(info, io.BytesIO(corpus.content("amd64.pkcs7")))
    record = survey_records.module(survey_records.report_objects()["valid"], "/lib/modules/6.1/kernel/a.ko")
    return {
        "a.tar": out.getvalue(),
        "signed.ko.xz": lzma.compress(corpus.content("amd64.pkcs7"), check=lzma.CHECK_CRC32),
        "records.jsonl": dumps(record).encode() + b"\n",
        "policy.toml": b'version = 1\n[[rule]]\npath = "**"\ntrust = "signer.pem"\nhashes = ["sha256"]\n',
        "cmdline": b"root=/dev/sda1 module.sig_enforce=1\n",
        "modules": b"vfat 20480 1 - Live 0x0000000000000000\n",
        "x509.genkey": seeds.GENKEY,
        "journal.json": json.dumps({"schema_version": 1, "asked": {}, "edits": []}).encode() + b"\n",
    }
