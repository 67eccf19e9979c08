"""Man pages in the language of man(7), one for each command, made from its help text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from inspect import cleandoc
from typing import Final, NamedTuple

import click

from elfsig._version import __version__
from elfsig.cli.app import elfsig as program
from elfsig.cli.command_table import COMMANDS
from elfsig.cli.examples import EXAMPLES

NAME: Final = "elfsig"

EXIT_STATUS: Final = {
    "0": "Every file is valid, or the command did what it was asked to do.",
    "1": "A file is invalid, malformed or unsigned; an edit was refused; files differ; an audit failed.",
    "2": "Usage error, or a key source that cannot be used.",
    "3": "The simulated kernel refuses a file.",
    "4": "No verdict: the signature was not made by any of the given keys, or it cannot be checked.",
    "5": "A file could not be read, or there were no files to look at.",
    "130": "Interrupted.",
    "141": "Output was cut off: its reader went away. Commands that change files go on instead.",
}
ENVIRONMENT: Final = {
    "KBUILD_SIGN_PIN": "Passphrase of the private key, or PIN of the token, as for the kernel's sign-file.",
    "NO_COLOR, FORCE_COLOR": "Disable or force colour, unless --color is given.",
    "ELFSIG_DEBUG": "Show the traceback of an internal error.",
}
SEE_ALSO: Final = ("modinfo(8)", "mokutil(1)", "dkms(8)", "openssl-cms(1)", "gpg(1)", "evmctl(1)")


class Page(NamedTuple):
    """``words`` name the command (empty: the program itself); ``summary`` is one line."""

    words: tuple[str, ...]
    summary: str
    command: click.Command
    context: click.Context

    @property
    def name(self) -> str:
        return "-".join((NAME, *self.words))


def all_pages() -> list[Page]:
    """The program, then every command and sub-command, in the order of ``--help``."""
    # A command keeps its first context's names of --help: these are the ones of the command line.
    root = click.Context(program, info_name=NAME, **program.context_settings)
    return [Page((), _first_line(program), program, root), *_below(program, root, ())]


def pages() -> dict[str, str]:
    """File name -> source of the man page, for the program and for every command and sub-command."""
    every = all_pages()
    names = [page.name for page in every]
    return {f"{page.name}.1": render(page, names) for page in every}


def _below(group: click.Group, context: click.Context, words: tuple[str, ...]) -> Iterator[Page]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        inner = click.Context(command, info_name=name, parent=context, **command.context_settings)
        summary = COMMANDS[name].help if not words else _first_line(command)
        yield Page((*words, name), summary, command, inner)
        if isinstance(command, click.Group):
            yield from _below(command, inner, (*words, name))


def _first_line(command: click.Command) -> str:
    return cleandoc(command.help or "").split("\n\n")[0].replace("\n", " ")


# --------------------------------------------------------------------------- one page


def _examples(page: Page) -> list[str]:
    lines = EXAMPLES.get(" ".join(page.words), ())
    return [".SH EXAMPLES", ".nf", *map(escaped, lines), ".fi"] if lines else []


def render(page: Page, names: list[str]) -> str:
    """The source of one page; ``names`` are those of all pages."""
    title = page.name.upper()
    lines = [f'.TH "{escaped(title)}" 1 "" "{NAME} {__version__}" "User Commands"']
    lines += [".SH NAME", rf"{escaped(page.name)} \- {escaped(page.summary.rstrip('.'))}"]
    lines += [".SH SYNOPSIS", *_synopsis(page)]
    lines += [".SH DESCRIPTION", *_paragraphs(page.command.help or "")]
    lines += _commands(page)
    lines += _options(page)
    if page.words and page.command.epilog:
        lines += [".SH NOTES", *_paragraphs(page.command.epilog)]
    lines += _examples(page)
    lines += [".SH EXIT STATUS", *_list(EXIT_STATUS)]
    lines += [".SH ENVIRONMENT", *_list(ENVIRONMENT)]
    lines += [".SH SEE ALSO", *_references(page, names)]
    return "\n".join(lines) + "\n"


def _synopsis(page: Page) -> Iterator[str]:
    called = " ".join((NAME, *page.words))
    pieces = page.command.collect_usage_pieces(page.context)
    yield f".B {escaped(called)}"
    yield from (escaped(piece) for piece in pieces)


def _commands(page: Page) -> Iterator[str]:
    if not isinstance(page.command, click.Group):
        return
    yield ".SH COMMANDS"
    for each in _below(page.command, page.context, page.words):
        if len(each.words) == len(page.words) + 1:
            yield from _item(rf"\fB{escaped(each.name)}\fP(1)", each.summary)


def _options(page: Page) -> Iterator[str]:
    records = [param.get_help_record(page.context) for param in page.command.get_params(page.context)]
    shown = [record for record in records if record is not None and record[1]]
    if shown:
        yield ".SH OPTIONS"
    for flags, text in shown:
        yield from _item(_FLAG.sub(lambda m: rf"\fB{escaped(m[0])}\fP", escaped_but_flags(flags)), text)


_FLAG: Final = re.compile(r"(?<![\w-])--?[A-Za-z0-9][\w-]*")


def escaped_but_flags(flags: str) -> str:
    """Option names are escaped together with their markup."""
    return flags.replace("\\", r"\e")


def _item(head: str, text: str) -> Iterator[str]:
    yield ".TP"
    yield head
    yield escaped(text)


def _list(items: Mapping[str, str]) -> Iterator[str]:
    for head, text in items.items():
        yield from _item(rf"\fB{escaped(head)}\fP", text)


def _references(page: Page, names: list[str]) -> Iterator[str]:
    """The page of the command above, those of the commands below, then other tools."""
    above = ["-".join((NAME, *page.words[:-1]))] if page.words else []
    below = [name for name in names if name.startswith(page.name + "-")]
    own = [rf"\fB{escaped(name)}\fP(1)" for name in (*above, *below)]
    yield ",\n".join((*own, *(re.sub(r"(.*)\((\d)\)", r"\\fB\1\\fP(\2)", each) for each in SEE_ALSO)))


# --------------------------------------------------------------------------- text


def _paragraphs(text: str) -> Iterator[str]:
    """Help text as click reads it: paragraphs are filled, unless they begin with a line that is ``\\b``."""
    for number, paragraph in enumerate(re.split(r"\n\s*\n", cleandoc(text).strip("\n"))):
        lines = paragraph.split("\n")
        if number:
            yield ".PP"
        if lines[0] == "\b":
            yield from (".nf", *map(escaped, lines[1:]), ".fi")
        else:
            yield from map(escaped, (line.strip() for line in lines))


def escaped(text: str) -> str:
    """One line of text as roff reads it: nothing in it is a request."""
    text = text.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq").replace("`", r"\(ga")
    text = text.replace("~", r"\(ti").replace("^", r"\(ha")
    return rf"\&{text}" if text.startswith((".", "'")) else text
