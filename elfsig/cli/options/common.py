"""Options that several commands share, as decorators."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, Literal

import click

from elfsig.cli.options.files import path_type as path_type
from elfsig.cli.options.files import source_name, source_type
from elfsig.errors import UsageError
from elfsig.lazy_tuple import NamedTuple
from elfsig.model.json_values import NIL_RUN, origin_members, run_id
from elfsig.opened.evidence import LIMIT
from elfsig.opened.links import Links

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from elfsig.crypto.hashes import Hash

Callback = Callable[..., Any]


class WordType(click.types.StringParamType):
    """A word that shells complete. ``words`` are the known ones, with descriptions; commands check it."""

    def __init__(self, name: str, words: Callable[[], Iterable[tuple[str, str]]]) -> None:
        self.name = name
        self.words = words

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The known words that start with ``incomplete``."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(w, help=text) for w, text in self.words() if w.startswith(incomplete.lower())]


class FormatType(WordType):
    """The id or alias of a format, in any case."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """``value`` in the case of the id, for the built-in formats."""
        known = {word.lower(): word for word, _ in _formats(plugins=False)}
        return known.get(value.lower(), value)


def _formats(plugins: bool = True) -> Iterator[tuple[str, str]]:
    from elfsig.registry import load

    for each in load(plugins).formats:
        yield from ((name, each.title) for name in (each.id, *each.aliases))


def _hashes() -> Iterator[tuple[str, str]]:
    from elfsig.crypto.hashes import HASHES

    return ((each.name, each.weak or "") for each in HASHES.values())


def _kernels() -> Iterator[tuple[str, str]]:
    from elfsig.kernels.catalogue import PROFILES

    yield "auto", "the kernel that the module was built for"
    yield from ((each.id, each.title) for each in PROFILES.values())


format_type: Final = FormatType("ID", _formats)
hash_type: Final = WordType("HASH", _hashes)
kernel_type: Final = WordType("KERNEL", _kernels)


def hash_wished(name: str) -> Hash:
    """The hash that an option names. Raises UsageError, which lists the known ones."""
    from elfsig.crypto.hashes import hash_named
    from elfsig.errors import SigningError

    try:
        return hash_named(name)
    except SigningError as reason:
        raise UsageError(reason.text, code=reason.code) from None


def with_options(callback: Callback, options: Sequence[Callable[[Callback], Callback]]) -> Callback:
    """``callback`` with ``options``, in this order in its help."""
    for option in reversed(options):
        callback = option(callback)
    return callback


class Machine(NamedTuple):
    """The values of ``--json``, ``--jsonl``, ``--reproducible`` and ``--host``; ``form`` is None for plain
    text. ``run`` is the id of this run."""

    form: Literal["json", "jsonl"] | None = None
    reproducible: bool = False
    host: str | None = None
    run: str = NIL_RUN

    @property
    def wanted(self) -> bool:
        """Whether the output is JSON."""
        return self.form is not None

    @property
    def origin(self) -> dict[str, Any]:
        """The members ``host`` and ``run`` of the object of a file."""
        return origin_members(self.host, self.run)


def machine_options(callback: Callback) -> Callback:
    """Adds ``--json --jsonl --reproducible``; the callback gets one argument ``machine``."""

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
    @click.option(
        "--jsonl", "as_jsonl", is_flag=True, help="Print one JSON object per line, as files are done."
    )
    @click.option("--reproducible", is_flag=True, help="Omit time, version and arguments from the JSON.")
    @wraps(callback)
    def wrapped(*args: Any, as_json: bool, as_jsonl: bool, reproducible: bool, **more: Any) -> Any:
        if as_json and as_jsonl:
            raise UsageError("--json and --jsonl cannot be combined")
        form: Literal["json", "jsonl"] | None = "json" if as_json else "jsonl" if as_jsonl else None
        return callback(*args, machine=Machine(form, reproducible, None, run_id(reproducible)), **more)

    return wrapped


HOST_NEEDS: Final = "--host needs a form for machines, such as --json or --jsonl"


def host_option(callback: Callback) -> Callback:
    """Adds ``--host NAME`` below :func:`machine_options`, whose argument ``machine`` it completes."""

    @click.option("--host", metavar="NAME", help="In the JSON, name the machine that the files are from.")
    @wraps(callback)
    def wrapped(*args: Any, machine: Machine, host: str | None, **more: Any) -> Any:
        wanted = machine.wanted or more.get("parquet") is not None or more.get("parts") is not None
        if host is not None and not wanted:
            raise UsageError(HOST_NEEDS)
        if host is not None and not host.strip():
            raise UsageError("--host: the name is empty")
        return callback(*args, machine=machine._replace(host=host), **more)

    return wrapped


def json_option(callback: Callback) -> Callback:
    """Adds ``--json --reproducible`` to commands that print one document; argument ``machine``."""

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
    @click.option("--reproducible", is_flag=True, help="Omit time, version and arguments from the JSON.")
    @wraps(callback)
    def wrapped(*args: Any, as_json: bool, reproducible: bool, **more: Any) -> Any:
        return callback(*args, machine=Machine("json" if as_json else None, reproducible), **more)

    return wrapped


def paths_argument(
    metavar: str = "PATH...", required: bool = True, *, stream: bool = False
) -> Callable[[Callback], Callback]:
    """One or more file system paths, as str (undecodable bytes are escaped as in PEP 383); ``stream``: or
    standard input."""
    kind = source_type if stream else path_type
    return click.argument("paths", nargs=-1, required=required, metavar=metavar, type=kind)


def jobs_option(callback: Callback) -> Callback:
    """Adds ``--jobs N``; 0 means one per processor; argument ``jobs``."""
    option = click.option(
        "-j",
        "--jobs",
        type=click.IntRange(min=0),
        default=0,
        metavar="N",
        help="Process N files in parallel (default: one per CPU).",
    )
    return option(callback)


def all_option(callback: Callback) -> Callback:
    """Adds ``--all``; argument ``all_files``."""
    option = click.option(
        "--all",
        "all_files",
        is_flag=True,
        help="In directories, include every ELF file and every file with a signature marker.",
    )
    return option(callback)


def links_options(callback: Callback) -> Callback:
    """Adds ``--no-follow`` and ``--root DIR``, for symbolic links in directories; argument ``links``."""

    @click.option("--no-follow", is_flag=True, help="In directories, do not follow symbolic links to files.")
    @click.option(
        "--root",
        type=path_type,
        metavar="DIR",
        help="Resolve absolute symbolic links below DIR, the root of another system.",
    )
    @wraps(callback)
    def wrapped(*args: Any, no_follow: bool, root: str | None, **more: Any) -> Any:
        return callback(*args, links=Links(not no_follow, root), **more)

    return wrapped


def limit_option(callback: Callback) -> Callback:
    """Adds ``--max-size BYTES``, for files and for their decompressed content; argument ``limit``."""
    option = click.option(
        "--max-size",
        "limit",
        type=click.IntRange(min=1),
        default=LIMIT,
        metavar="BYTES",
        show_default=True,
        help="Maximum size, before and after decompression.",
    )
    return option(callback)


def trust_options(callback: Callback) -> Callback:
    """Adds ``--trust SRC`` and ``--keys SRC``, both repeatable; arguments ``trust`` and ``keys``."""
    how: dict[str, Any] = {"multiple": True, "metavar": "SRC", "type": source_name}
    trust = click.option("--trust", **how, help="Trust the keys in SRC; repeatable.")
    keys = click.option("--keys", **how, help="Try the keys in SRC without trusting them; repeatable.")
    return trust(keys(callback))
