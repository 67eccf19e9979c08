"""``elfsig schema``: the JSON Schema of everything that ``--json`` and ``--jsonl`` write."""

from __future__ import annotations

from importlib.resources import files

import click


@click.command("schema")
def command() -> None:
    """Print the JSON Schema (draft 2020-12) of the machine-readable output."""
    text = files("elfsig").joinpath("data/schema.json").read_text(encoding="utf-8")
    click.echo(text, nl=False)
