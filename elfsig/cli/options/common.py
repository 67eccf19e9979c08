"""Options that several commands share, as decorators."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import click

from elfsig.errors import UsageError
from elfsig.opened.evidence import LIMIT

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from elfsig.crypto.hashes import Hash

Callback = Callable[..., Any]


class FormatType(click.types.StringParamType):
    """The id or alias of a format. Only completion looks it up: who uses it does that anyway."""

    name = "ID"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Formats whose id begins so, each with its title."""
        from click.shell_completion import CompletionItem

        from elfsig.registry import load

        return [
            CompletionItem(each.id, help=each.title)
            for each in load().formats
            if each.id.startswith(incomplete)
        ]


format_type = FormatType()

path_type = click.Path(readable=False)
"""A path as it was typed. Whether it can be read is found out by who reads it: by default click ends the
whole run, as wrong usage, for one file among many that may not be read."""


def hash_wished(name: str) -> Hash:
    """The hash that an option names. Raises UsageError naming the known ones."""
    from elfsig.crypto.hashes import hash_named
    from elfsig.errors import SigningError

    try:
        return hash_named(name)
    except SigningError as reason:
        raise UsageError(reason.text, code=reason.code) from None


class Machine(NamedTuple):
    """What ``--json``, ``--jsonl`` and ``--reproducible`` ask for; ``form`` is None for people's text."""

    form: Literal["json", "jsonl"] | None = None
    reproducible: bool = False

    @property
    def wanted(self) -> bool:
        """Whether the answer is for a machine."""
        return self.form is not None


def machine_options(callback: Callback) -> Callback:
    """Adds ``--json --jsonl --reproducible``; the callback gets one argument ``machine``."""

    @click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
    @click.option("--jsonl", "as_jsonl", is_flag=True, help="One JSON object a line, streamed.")
    @click.option("--reproducible", is_flag=True, help="Leave time, version and arguments out of the JSON.")
    @wraps(callback)
    def wrapped(*args: Any, as_json: bool, as_jsonl: bool, reproducible: bool, **more: Any) -> Any:
        if as_json and as_jsonl:
            raise UsageError("--json and --jsonl exclude each other")
        form: Literal["json", "jsonl"] | None = "json" if as_json else "jsonl" if as_jsonl else None
        return callback(*args, machine=Machine(form, reproducible), **more)

    return wrapped


def json_option(callback: Callback) -> Callback:
    """Adds ``--json --reproducible`` for commands that answer with one document; argument ``machine``."""

    @click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
    @click.option("--reproducible", is_flag=True, help="Leave time, version and arguments out of the JSON.")
    @wraps(callback)
    def wrapped(*args: Any, as_json: bool, reproducible: bool, **more: Any) -> Any:
        return callback(*args, machine=Machine("json" if as_json else None, reproducible), **more)

    return wrapped


def paths_argument(metavar: str = "PATH...") -> Callable[[Callback], Callback]:
    """One or more paths of the file system, as str (undecodable bytes escaped by PEP 383)."""
    return click.argument("paths", nargs=-1, required=True, metavar=metavar, type=path_type)


def jobs_option(callback: Callback) -> Callback:
    """Adds ``--jobs N``: 0 stands for one per processor; argument ``jobs``."""
    option = click.option(
        "-j", "--jobs", type=click.IntRange(min=0), default=0, metavar="N", help="Work on N files at a time."
    )
    return option(callback)


def all_option(callback: Callback) -> Callback:
    """Adds ``--all``; argument ``all_files``."""
    option = click.option(
        "--all", "all_files", is_flag=True, help="In directories, every file that is ELF or carries a marker."
    )
    return option(callback)


def limit_option(callback: Callback) -> Callback:
    """Adds ``--max-size BYTES`` for files and what they decompress to; argument ``limit``."""
    option = click.option(
        "--max-size",
        "limit",
        type=click.IntRange(min=1),
        default=LIMIT,
        metavar="BYTES",
        show_default=True,
        help="Largest file, and most that a compressed one may give.",
    )
    return option(callback)


def trust_options(callback: Callback) -> Callback:
    """Adds ``--trust SRC`` and ``--keys SRC``, both repeatable; arguments ``trust`` and ``keys``."""
    trust = click.option("--trust", multiple=True, metavar="SRC", help="Keys that you vouch for.")
    keys = click.option("--keys", multiple=True, metavar="SRC", help="Keys merely to be tried.")
    return trust(keys(callback))
