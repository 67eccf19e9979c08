"""JSON on stdout: one document, or one object per line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from elfsig.cli.options.common import Machine
from elfsig.cli.settings import Settings


def write_document(settings: Settings, machine: Machine, **body: Any) -> None:
    """Write ``body``, with ``schema_version`` and ``run``, as one JSON document; with ``--jsonl``, as one
    line without ``run``."""
    body = {**lost(settings), **body}
    if machine.form == "json":
        body["run"] = _run(settings, machine)
    sys.stdout.write(line_of(**body) + "\n")


def _run(settings: Settings, machine: Machine) -> Mapping[str, Any]:
    from elfsig.model.json_form import run_record

    said = {} if machine.reproducible else settings.run
    return {**run_record(settings.argv, machine.reproducible), **said}


def lost(settings: Settings) -> dict[str, Any]:
    """The member ``losses`` of a document, where something of the key sources could not be read."""
    if not settings.losses:
        return {}
    from elfsig.model.json_form import loss_object

    return {"losses": [loss_object(each) for each in settings.losses]}


def line_of(**body: Any) -> str:
    """``body`` with ``schema_version``: a line of ``--jsonl``."""
    from elfsig.model.json_form import SCHEMA_VERSION, dumps

    return dumps({**body, "schema_version": SCHEMA_VERSION})


def write_files(
    settings: Settings,
    machine: Machine,
    lines: Iterable[str],
    member: str = "files",
    more: Callable[[], dict[str, Any]] = dict,
) -> None:
    """Write the JSON of many files: ``lines`` are their objects as JSON text, written as they come.

    ``member`` is the name of their array in a document, ``more`` gives its further members at the end.
    """
    whole = machine.form == "json"
    found = chain(lines, () if whole else map(_line, lost(settings).get("losses", ())))
    for text in _document(settings, machine, found, member, more) if whole else _lines(found):
        sys.stdout.write(text)
        sys.stdout.flush()


def _line(found: Mapping[str, Any]) -> str:
    return line_of(**found)


def _lines(lines: Iterable[str]) -> Iterator[str]:
    return (line + "\n" for line in lines)


def _document(
    settings: Settings,
    machine: Machine,
    lines: Iterable[str],
    member: str,
    more: Callable[[], dict[str, Any]],
) -> Iterator[str]:
    yield f'{{"{member}": ['
    separator = "\n"
    for line in lines:
        yield separator + line
        separator = ",\n"
    yield "\n], " + line_of(**lost(settings), **more(), run=_run(settings, machine))[1:] + "\n"
