"""The command reference of the manual as Markdown: one page for each command, made from its help text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from inspect import cleandoc

import click

from elfsig.cli.examples import EXAMPLES
from elfsig.manual.pages import EXIT_STATUS, Page, all_pages


def reference() -> dict[str, str]:
    """File name -> Markdown, the program itself first (``elfsig.md``)."""
    every = all_pages()
    return {f"{page.name}.md": _render(page, every) for page in every}


def _render(page: Page, every: list[Page]) -> str:
    called = " ".join(("elfsig", *page.words))
    usage = " ".join((called, *page.command.collect_usage_pieces(page.context)))
    parts = [f"# {called}", _escaped(page.summary), f"```text\n{usage}\n```", *_text(page.command.help or "")]
    below = [each for each in every if each.words[:-1] == page.words and each.words]
    if isinstance(page.command, click.Group):
        rows = [f"| [`{each.words[-1]}`]({each.name}.md) | {_cell(each.summary)} |" for each in below]
        parts += ["## Commands", "\n".join(["| Command | |", "|---|---|", *rows])]
    parts += _options(page)
    if page.words and page.command.epilog:
        parts += ["## Notes", *_text(page.command.epilog)]
    if examples := EXAMPLES.get(" ".join(page.words)):
        parts += ["## Examples", "```text\n" + "\n".join(examples) + "\n```"]
    if not page.words:
        rows = [f"| {code} | {_cell(text)} |" for code, text in EXIT_STATUS.items()]
        parts += ["## Exit status", "\n".join(["| Code | Meaning |", "|---|---|", *rows])]
    return "\n\n".join(parts) + "\n"


def _options(page: Page) -> Iterator[str]:
    records = [param.get_help_record(page.context) for param in page.command.get_params(page.context)]
    rows = [f"| {_flags(record[0])} | {_cell(record[1])} |" for record in records if record and record[1]]
    if rows:
        yield "## Options"
        yield "\n".join(["| Option | Meaning |", "|---|---|", *rows])


def _flags(flags: str) -> str:
    return "`" + flags.replace("|", r"\|") + "`"


def _text(text: str) -> Iterator[str]:
    """Paragraphs, as click reads help texts: one that begins with a line of ``\\b`` keeps its lines."""
    for paragraph in re.split(r"\n\s*\n", cleandoc(text).strip("\n")):
        if not paragraph:
            continue
        lines = paragraph.split("\n")
        if lines[0] == "\b":
            yield "\n".join(("```text", *lines[1:], "```"))
        else:
            yield _escaped(" ".join(line.strip() for line in lines))


def _escaped(text: str) -> str:
    """Text of which Markdown takes nothing for markup."""
    return re.sub(r"([\\`*_<>\[\]#|])", r"\\\1", text)


def _cell(text: str) -> str:
    return _escaped(" ".join(text.split()))
