"""JSON on stdout: one document, or one object per line."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

from elfsig.cli.options.common import Machine
from elfsig.cli.settings import Settings
from elfsig.opened.links import Links


def write_document(settings: Settings, machine: Machine, **body: Any) -> None:
    """Write ``body``, with ``schema_version`` and ``run``, as one JSON document; with ``--jsonl``, as one
    line without ``run``."""
    from elfsig.model.json_form import SCHEMA_VERSION, dumps, run_record

    body["schema_version"] = SCHEMA_VERSION
    if machine.form == "json":
        body["run"] = run_record(settings.argv, machine.reproducible)
    sys.stdout.write(dumps(body) + "\n")


def line_of(**body: Any) -> str:
    """``body`` with ``schema_version``: a line of ``--jsonl``."""
    from elfsig.model.json_form import SCHEMA_VERSION, dumps

    return dumps({**body, "schema_version": SCHEMA_VERSION})


def write_files(
    settings: Settings,
    machine: Machine,
    lines: Iterable[str],
    member: str = "files",
    links: Links | None = None,
) -> None:
    """Write the JSON of many files: ``lines`` are their objects as JSON text, written as they come.

    ``member`` is the name of their array in a document, which also has ``links`` where they are given.
    """
    document = machine.form == "json"
    for text in _document(settings, machine, lines, member, links) if document else _lines(lines):
        sys.stdout.write(text)
        sys.stdout.flush()


def _lines(lines: Iterable[str]) -> Iterator[str]:
    return (line + "\n" for line in lines)


def _document(
    settings: Settings, machine: Machine, lines: Iterable[str], member: str, links: Links | None
) -> Iterator[str]:
    from elfsig.model.json_form import SCHEMA_VERSION, dumps, run_record

    yield f'{{"{member}": ['
    separator = "\n"
    for line in lines:
        yield separator + line
        separator = ",\n"
    run = dumps(run_record(settings.argv, machine.reproducible))
    about_links = "" if links is None else f'"links": {dumps(links.to_json())}, '
    yield f'\n], {about_links}"run": {run}, "schema_version": {SCHEMA_VERSION}}}\n'
