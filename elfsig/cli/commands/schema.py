"""``elfsig schema``: the JSON Schema of everything that ``--json`` and ``--jsonl`` write, and of policies."""

from __future__ import annotations

from importlib.resources import files

import click


@click.command("schema")
@click.option("--policy", is_flag=True, help="Print the schema of the policies of audit instead.")
def command(policy: bool) -> None:
    """Print the JSON Schema (draft 2020-12) of the machine-readable output."""
    name = "policy.schema.json" if policy else "schema.json"
    text = files("elfsig").joinpath("data", name).read_text(encoding="utf-8")
    click.echo(text, nl=False)
