"""Texts that are bad for what reads them: command lines, configurations, lists of modules, reports."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import elfsig
from elfsig.batch.parts.manifest import MANIFEST as PARTS
from elfsig.batch.parts.manifest import QUESTION, problems
from elfsig.batch.parts.receipt import PartReceipt
from elfsig.batch.parts.store import Folder
from elfsig.carriers.detached import argument_place
from elfsig.cli.render.safe_html import rewritten
from elfsig.containers.images.descriptor import extents
from elfsig.containers.nested import candidates, names_of
from elfsig.elf.image import Image
from elfsig.host.machine import Machine
from elfsig.host.shell import assignments
from elfsig.kernels import config
from elfsig.kernels.catalogue import get
from elfsig.kernels.modes import from_text
from elfsig.kernels.select import choose, read_image
from elfsig.keygen import genkey, kconfig
from elfsig.registry import load
from elfsig.signers.gpg import parse_key
from elfsig.signers.pkcs11_uri import parse
from elfsig.trust.keyring import read_argument
from elfsig.trust.merkle import from_words
from elfsig.verbs.audit.baseline import read_baseline
from elfsig.verbs.audit.expected import expected, loaded
from elfsig.verbs.policy.pattern import PatternError, pattern
from elfsig.verbs.policy.read import read_policy
from elfsig.verbs.remote.prepare import MANIFEST, read_manifest
from tests.linear.measure import Call, Shape

REGISTRY = load()
BOOT = get("7.2").boot
Make = Callable[[int], str]


class Reader(NamedTuple):
    """A reader of text, and what is bad for it besides what is bad for all."""

    call: Call
    shapes: Mapping[str, Make] = {}


def on_disk(call: Callable[[str], object]) -> Call:
    """``call`` with a file of the text."""

    def run(text: str) -> object:
        with tempfile.NamedTemporaryFile() as file:
            file.write(text.encode())
            file.flush()
            return call(file.name)

    return run


@contextmanager
def machine(name: str, text: str) -> Iterator[Machine]:
    with tempfile.TemporaryDirectory() as root:
        path = Path(root, name)
        path.parent.mkdir(parents=True)
        path.write_text(text)
        yield Machine(Path(root), "6.1.0")


def markup(text: str) -> None:
    """What a confined process drew; what is not well formed is ValueError."""
    with suppress(ValueError):
        rewritten(text)


def found(text: str) -> object:
    with machine("lib/modules/6.1.0/modules.dep", text) as system:
        return system.find("wanted")


def keyed(text: str) -> object:
    with machine("proc/keys", text) as system:
        return system.loaded("12345678")


PATTERNS = [
    pattern(each) for each in ("**/x/**/y", "*a*a*a*b", "kernel/**/[!b]*.ko", "a-b-*-c", "**/**/**/x")
]


def matched(text: str) -> object:
    """A long text as a pattern, against a path."""
    with suppress(PatternError):
        return pattern(text).matches("/lib/modules/6.1/kernel/fs/" + "a" * 200)
    return None


def manifest(text: str) -> object:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, MANIFEST).write_text(text)
        return read_manifest(folder)


def stored(text: str) -> object:
    """A text as each of the files of a survey in parts."""
    with tempfile.TemporaryDirectory() as folder:
        for name in (QUESTION, PARTS, "part-00000-of-00001.receipt.json", "part-00000-of-00001.jsonl"):
            Path(folder, name).write_text(text)
        return list(problems(Folder(folder)))


def again(part: str, before: str = "", after: str = "") -> Make:
    return lambda size: before + part * (size // len(part)) + after


def numbered(part: str, before: str = "") -> Make:
    return lambda size: before + "".join(part.replace("#", str(nr)) for nr in range(size // (len(part) + 5)))


COMMON: Mapping[str, Make] = {
    "empty lines": again("\n"),
    "blanks": again(" "),
    "blanks and a word": again(" ", after="x"),
    "empty and blank lines": again(" \n"),
    "words": again("a "),
    "one word": again("a"),
    "digits": again("1"),
    "numbers": again("1."),
    "equals": again("="),
    "assignments": again("a=b\n"),
    "quotes": again('"'),
    "backslashes": again("\\"),
    "comments": again("#\n"),
    "hyphens": again("-"),
    "open brackets": again("["),
    "open braces": again('{"a":'),
    "carriage returns": again("\r"),
    "percent": again("%41"),
    "paths": again("a/"),
    "lines of a list": numbered("kernel/#.ko\n"),
}


def report(entry: str) -> Make:
    return lambda size: '{"schema_version": 1, "files": [' + ",".join([entry] * (size // len(entry))) + "]}"


READERS: Mapping[str, Reader] = {
    "command line": Reader(
        lambda text: from_text(text, BOOT),
        {
            "quotes": again('a" b'),
            "quotes for GRUB": again('"a \\', "linux "),
            "entries": again("menuentry\n"),
            "lines after the default": again("\n", "default=0"),
            "a long number": again("9", "title\ndefault="),
            "logged": again("Command line: x\n"),
            "indented": again(" ", "title x\n", "linux"),
        },
    ),
    "kernel configuration": Reader(
        lambda text: (
            config.is_config(text.encode()),
            config.parse(text),
            elfsig.predict(b"", "6.1", config=text.encode()),
        ),
        {
            "options": numbered("CONFIG_A#=y\n"),
            "unset options": numbered("# CONFIG_A# is not set\n"),
            "nearly unset": again("# CONFIG_"),
            "one option": again("CONFIG_A=y\n"),
        },
    ),
    "configuration for a key": Reader(
        on_disk(lambda path: [(c.kind, c.hash) for c in kconfig.read_all([path])]),
        {"options": numbered("CONFIG_A#=y\n"), "one option": again('CONFIG_MODULE_SIG_HASH="sha256"\n')},
    ),
    "genkey": Reader(
        lambda text: genkey.read(text, "x509.genkey"),
        {
            "variables": numbered("n#=a\n"),
            "uses": again("b=$n1\n", "n1=a\n"),
            "continued": again("a=\\\n"),
            "unclosed": again("${", "a="),
            "sections": numbered("[ s# ]\n"),
            "unclosed section": again("\t", "[ ", "\n"),
            "unclosed section, continued": again(" ", "[ ", "\\\nx\n"),
        },
    ),
    "policy": Reader(
        lambda text: read_policy(text.encode(), "policy.toml", REGISTRY),
        {
            "rules": again('[[rule]]\npath = "**"\ntrust = "a"\n'),
            "exceptions": numbered(
                '[[exception]]\nname = "m#"\nrules = "unsigned"\nreason = "x"\nexpires = 2030-01-31\n'
            ),
            "paths": again('"kernel/**",', '[[rule]]\ntrust = "a"\npath = [', "]\n"),
            "unknown keys": numbered("k# = 1\n"),
            "unknown keys of a rule": numbered("k# = 1\n", "[[rule]]\n"),
            "tables": numbered("[t#]\n"),
            "dotted keys": again("a.", "", "a = 1\n"),
            "inline tables": again("{a = ", "a = "),
            "strings of several lines": again("x\n", 'a = """', '"""'),
            "mistakes": again('[[rule]]\npath = "["\n'),
        },
    ),
    "pattern": Reader(matched, {"anything": again("**/", "", "x"), "stars": again("*a", "", "b")}),
    "path against patterns": Reader(
        lambda text: [each.matches(text) for each in PATTERNS],
        {"of stars": again("a"), "folders": again("a/"), "dashes": again("-_")},
    ),
    "manifest of requests": Reader(
        manifest,
        {
            "files": again('{"name": "a.ko", "file": "a.ko.digest", "asked": "00"},', '{"files": [', "{}]}"),
            "a long key": again("A", '{"key": "', '"}'),
        },
    ),
    "receipt of a part": Reader(
        lambda text: PartReceipt.parse(text.encode()),
        {"counts": numbered('"v#": 1,', '{"record": "part", "counts": {"verdicts": {')},
    ),
    "survey in parts": Reader(stored, {"receipts": again('{"record": "part"}\n')}),
    "nested path": Reader(
        lambda text: (list(candidates(text)), names_of(text)),
        {"containers": again("a!/"), "escapes": again("%41!/"), "numbers": again("#1")},
    ),
    "VMDK descriptor": Reader(
        lambda text: extents(text.encode()),
        {
            "extents": again('RW 1 FLAT "a" 0\n'),
            "open quotes": again('RW 1 FLAT "'),
            "numbers": again("RW 1 "),
        },
    ),
    "key argument": Reader(
        lambda text: read_argument(text, True),
        {"prefixes": again("machine:"), "roots": again("a", "merkle:")},
    ),
    "modules.order": Reader(on_disk(expected), {"objects": numbered("drivers/#.o\n")}),
    "/proc/modules": Reader(
        on_disk(loaded),
        {"modules": numbered("m# 1 0 - Live 0x0 (OE)\n"), "one long line": again("a ", "m 1 ")},
    ),
    "baseline": Reader(
        lambda text: read_baseline(text.encode(), "baseline.json"),
        {
            "files": report('{"path": "/a.ko", "verdict": "valid", "signatures": []}'),
            "lines": again('{"path": "/a.ko", "verdict": "valid", "signatures": []}\n'),
            "nested arrays": again("[", '{"files":'),
            "nested objects": again('{"files":'),
            "a long string": again("a", '{"files": ["', '"]}'),
            "signatures": lambda size: report(
                '{"path": "/a.ko", "signatures": [' + ",".join(["{}"] * (size // 3)) + "]}"
            )(size),
        },
    ),
    "DKMS settings": Reader(
        lambda text: list(assignments(text)),
        {"exports": again("export a='b c'\n"), "blank exports": again("export ")},
    ),
    "modules.dep": Reader(
        found,
        {
            "modules": numbered("kernel/#.ko: kernel/a.ko\n"),
            "dependencies": again("kernel/a.ko ", "kernel/b.ko: "),
        },
    ),
    "/proc/keys": Reader(keyed, {"keys": again("12345678 I 1 asymmetri x: 12345678\n")}),
    "modarg": Reader(
        lambda text: argument_place(Image(b""), text),
        {"digits": again("ab", "modsign=100,"), "many": again("modsign=1,a ")},
    ),
    "release": Reader(choose, {"vendors": again("-uek", "2.6.32-"), "numbers": again(".1", "6.1")}),
    "kernel image": Reader(lambda text: read_image(text.encode()), {"banners": again("Linux version 6.1")}),
    "pkcs11 URI": Reader(
        parse, {"attributes": numbered("a#=b;", "pkcs11:"), "escapes": again("%41", "pkcs11:object=")}
    ),
    "markup": Reader(
        markup,
        {
            "unclosed elements": again("<p/."),
            "elements": again("<p>"),
            "attributes": again(' x="1"', "<rect"),
            "attribute": again("a", '<rect x="'),
            "character references": again("&#9", "<p>", "</p>"),
        },
    ),
    "Merkle root": Reader(from_words, {"digits": again("a", "merkle:")}),
    "key of an agent": Reader(parse_key, {"digits": again("A", "gpg:")}),
}


def shapes(reader: Reader) -> tuple[Shape, ...]:
    """What is bad for ``reader``."""
    return tuple(Shape(name, make, 1 << 14, 1 << 18) for name, make in {**COMMON, **reader.shapes}.items())
