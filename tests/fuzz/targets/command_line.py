"""Command lines: any command with any of its options, on files in a folder of their own.

The words come from the commands themselves, so that a new option is covered as soon as it exists. Values are
names of harmless files, ids, numbers, and texts out of the input without ``/`` and ``:``, so that none
leads out of the folder, to a program or to a token.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import click
from click.testing import CliRunner
from jsonschema import ValidationError

import corpus
from elfsig.cli.app import elfsig
from elfsig.errors import DEBUG, ElfsigError
from tests.fuzz import plausible, seeds
from tests.fuzz.target import VERB, Broken, Target
from tests.support.schema import validate

NOT_RUN = frozenset({"tour", "dkms", "generate", "install", "recover", "sign-file", "help"})
"""Commands that take long, make keys, or are about this machine."""

NOT_GIVEN = frozenset(
    {
        "--signer-command",
        "--token-jobs",
        "--ephemeral",
        "--cage",
        "--cage-time",
        "--cage-memory",
        "--this-machine",
        "--root",
        "--prove",
        "--engine",
        "--max-memory",
        "--max-seconds",
        "-j",
        "--partition",
        "--backend",
    }
)
"""Options that start programs or processes, or look at this machine."""

ALWAYS = {"survey": ("--no-cage",)}
CODES = frozenset(range(6))
FILES = (
    "signed.ko",
    "plain.ko",
    "fuzz.ko",
    "fuzz.ko",
    "tree",
    "missing",
    "signer.pem",
    "signer.key",
    "ring.gpg",
    "report.json",
    "config",
    "a.deb",
    "out",
    "out.d",
    ".",
    "-",
    "",
    "signed.ko!/x",
    "detached.p7s",
)
WORDS = (
    "pkcs7",
    "x509",
    "gkh",
    "redhat",
    "note",
    "crypto-pgp",
    "sha256",
    "sha1",
    "md5",
    "fileorder",
    "sorted",
    "whole-file",
    "auto",
    "6.1",
    "rhel6",
    "3.7",
    "2.6.18-8.el5",
    "signer.pem",
    "signer.key",
    "platform:signer.pem",
    "revoked:signer.pem",
    "SHA256:00",
    "merkle:00/1",
    "valid",
    "unsigned",
    "v2",
    "raw-rsa",
    "signer",
    "modsign=1,00",
    "x",
    "3",
    "0",
    "signed.ko",
    "fuzz.ko",
    "report.json",
    "order",
)
NUMBERS = ("0", "1", "2", "3", "-1", "1000000", "4294967296", "9" * 30, "x", "")


@cache
def _home() -> Path:
    memory = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="fuzz", dir=memory if memory.is_dir() else None))


@cache
def _files() -> dict[str, bytes]:
    """The inputs, which no command may change."""
    report = next(iter(seeds.reports()))
    return {
        "signed.ko": corpus.content("amd64.pkcs7"),
        "plain.ko": seeds.unsigned()[0],
        "tree/one.ko": corpus.content("amd64.pkcs7"),
        "tree/two.ko": corpus.content("el7.x509"),
        "signer.pem": (corpus.KEYS / "signer.cert.pem").read_bytes(),
        "signer.key": (corpus.KEYS / "signer.key.pem").read_bytes(),
        "ring.gpg": seeds.rings()[0],
        "report.json": report,
        "config": next(seeds.configs()),
        "detached.p7s": seeds.blobs("cms")[0],
        "order": b"tree/one.o\ntree/two.o\n",
        **plausible.more_files(),
    }


def _prepared(fuzz: bytes) -> Path:
    """The folder as it is before each command."""
    home = _home()
    kept = _files()
    for path in sorted(home.rglob("*"), reverse=True):
        if str(path.relative_to(home)) not in kept and path.name != "tree":
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    (home / "tree").mkdir(exist_ok=True)
    for name, data in kept.items():
        if not (home / name).exists():
            (home / name).write_bytes(data)
    (home / "fuzz.ko").write_bytes(fuzz)
    return home


@cache
def commands() -> tuple[tuple[tuple[str, ...], click.Command], ...]:
    """Every command that is run, with the words that lead to it."""

    def below(
        words: tuple[str, ...], command: click.Command
    ) -> Iterator[tuple[tuple[str, ...], click.Command]]:
        if not isinstance(command, click.Group):
            yield words, command
            return
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None and name not in NOT_RUN:
                yield from below((*words, name), found)

    context = click.Context(elfsig)
    return tuple(below((), elfsig))


class _Choices:
    """Decisions out of the bytes of an input: zeros when there are no more."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def below(self, most: int) -> int:
        """A number."""
        found = self._data[self._at] if self._at < len(self._data) else 0
        self._at += 1
        return found % most

    def text(self) -> str:
        """A text without what would lead elsewhere."""
        size = self.below(24)
        found = self._data[self._at : self._at + size].decode("utf-8", "replace")
        self._at += size
        return found.translate({ord("/"): "_", ord(":"): "_", 0: "_"})


def _value(parameter: click.Parameter, chosen: _Choices, values: tuple[str, ...] = ()) -> str:
    """A value: mostly one of ``values``, else one of the parameter's type, now and then any text."""
    kind, dice = parameter.type, chosen.below(8)
    if dice == 0:
        return chosen.text()
    if values and dice < 7:
        return values[chosen.below(len(values))]
    if isinstance(kind, click.Choice):
        return str(list(kind.choices)[chosen.below(len(kind.choices))])
    if isinstance(kind, (click.IntRange, click.types.IntParamType)):
        return NUMBERS[chosen.below(len(NUMBERS))]
    if isinstance(kind, click.Path):
        return FILES[chosen.below(len(FILES))]
    return WORDS[chosen.below(len(WORDS))]


def line(data: bytes) -> list[str]:
    """The command line that an input stands for."""
    chosen = _Choices(data)
    words, command = commands()[chosen.below(len(commands()))]
    options = [
        p for p in command.params if isinstance(p, click.Option) and not NOT_GIVEN.intersection(p.opts)
    ]
    arguments = [p for p in command.params if isinstance(p, click.Argument)]
    made, wild = [*words, *ALWAYS.get(words[-1], ())], chosen.below(8) == 7
    needed = () if wild else plausible.NEEDED.get(words[-1], ())
    if needed:
        made += needed[chosen.below(len(needed))]
    for _ in range(chosen.below(6) if options else 0):
        option = options[chosen.below(len(options))]
        made.append(option.opts[chosen.below(len(option.opts))])
        if not option.is_flag and not option.count:
            name = next((each for each in option.opts if each in plausible.VALUES), "")
            made.append(_value(option, chosen, () if wild else plausible.VALUES.get(name, ())))
    if not wild and chosen.below(3) == 0:
        made += [each for each in ("--json", "--jsonl") if any(each in p.opts for p in options)][:1]
    values = () if wild else plausible.TARGETS.get(words[-1], plausible.MODULES)
    for argument in arguments:
        count = 1 + chosen.below(3) if argument.nargs < 0 else 1
        made += [_value(argument, chosen, values) for _ in range(count)]
    if wild and chosen.below(2) == 0:
        made.insert(chosen.below(len(made)), chosen.text())
    return made


def run(data: bytes) -> None:
    """Half of the input decides the words, the rest is the content of fuzz.ko."""
    size, _, content = data.partition(b"\xff\xfe")
    home = _prepared(content)
    words = line(size)
    before, path = os.getcwd(), dict(os.environ)
    os.environ.update({DEBUG: "1", "KBUILD_SIGN_PIN": "x", "COLUMNS": "100"})
    os.chdir(home)
    try:
        done = CliRunner().invoke(elfsig, words, prog_name="elfsig", catch_exceptions=True)
    finally:
        os.chdir(before)
        os.environ.clear()
        os.environ.update(path)
    _judged(words, done, home)


def _judged(words: list[str], done: object, home: Path) -> None:
    reason, code = done.exception, done.exit_code  # type: ignore[attr-defined]
    if reason is not None and not isinstance(reason, SystemExit):
        raise reason
    if code not in CODES:
        raise Broken("exit-code", f"{words}: {code}: {done.stderr[-500:]}")  # type: ignore[attr-defined]
    if "Traceback" in done.output:  # type: ignore[attr-defined]
        raise Broken("traceback", f"{words}: {done.output[-500:]}")  # type: ignore[attr-defined]
    for name in _changed(home):
        if not _asked_to_write(words, name):
            raise Broken("input-changed", f"{words}: {name}")
    if code in (0, 1, 5) and words[:1] != ["schema"]:
        _documents(words, done.stdout)  # type: ignore[attr-defined]


def _changed(home: Path) -> list[str]:
    """The inputs that are no longer what they were; they are made again."""
    found = []
    for name, data in _files().items():
        path = home / name
        if not path.is_file() or path.read_bytes() != data:
            found.append(name)
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            path.unlink(missing_ok=True)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
    return found


def _asked_to_write(words: list[str], name: str) -> bool:
    """Whether the words name the file, or its folder, as an output."""
    after = [word for before, word in pairwise(words) if before.startswith("-")]
    after += [word.partition("=")[2] for word in words if "=" in word]
    outputs = {word for word in after if word}
    return "--in-place" in words or any(
        name.startswith((word, f"./{word}")) or word == "." for word in outputs
    )


def _documents(words: list[str], text: str) -> None:
    """Where JSON was asked for, all of the output is JSON, and passes the schema that is shipped."""
    if "--jsonl" in words:
        parts = text.splitlines()
    elif "--json" in words and text:
        parts = [text]
    else:
        return
    try:
        for each in parts:
            if each.lstrip()[:1] == "{":
                validate(json.loads(each))
    except (ValueError, ValidationError) as reason:
        raise Broken("json", f"{words}: {str(reason)[:900]}: {text[-200:]}") from reason


def lines() -> Iterator[bytes]:
    """One input for each command with each of its options."""
    for number, (_, command) in enumerate(commands()):
        for option in range(len(command.params)):
            for form in (0, 1):
                words = bytes((number, form, option % 5, 1, option, 0, 1, 1, form, 1, 1, 1, option, 1, 1))
                yield words + b"\xff\xfe" + seeds.modules()[option]
        yield bytes((number, 0, 1, 0, 1, 1)) + b"\xff\xfe" + corpus.content("amd64.pkcs7")


TARGETS = (
    Target(
        "command_line/any",
        "any command with any options",
        run,
        lines,
        None,
        (b"\xff\xfe",),
        (ElfsigError,),
        1 << 13,
        VERB._replace(seconds=3.0),
    ),
)
