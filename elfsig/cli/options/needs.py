"""Editing commands name everything that a command line lacks in one message."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import click

from elfsig.cli.options.files import WritingCommand
from elfsig.errors import UsageError


class Need(NamedTuple):
    """One of ``params`` is required; ``text`` names the options.

    ``explained``: if nothing else is missing, the error of the options themselves says more.
    """

    params: tuple[str, ...]
    text: str
    explained: bool = False

    def met(self, given: dict[str, Any]) -> bool:
        """Whether it is given."""
        return any(given.get(name) not in (None, False, ()) for name in self.params)


FORMAT = Need(("format_id", "attach"), "--format ID")
TO = Need(("ids",), "--to ID")
KEY = Need(
    ("keys", "ephemeral", "program", "prepare", "attach"),
    "one of --key KEY, --ephemeral FILE and --signer-command CMD",
    explained=True,
)
SOURCE = Need(("source",), "--from SIGNED|PART")
OUTPUT = Need(
    ("output_file", "output_dir", "in_place", "dry_run", "prepare"),
    "one of -o FILE, --output-dir DIR and --in-place",
    explained=True,
)


class NeedingCommand(WritingCommand):
    """A command with options that must be given."""

    needs: ClassVar[tuple[Need, ...]] = ()

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Raises UsageError that names everything that is missing."""
        missing = [need for need in self.needs if not need.met(ctx.params)]
        if len(missing) > 1 or any(not need.explained for need in missing):
            text = "; ".join(need.text for need in missing)
            raise UsageError(f"missing: {text}", code="missing-options")
        return super().invoke(ctx)


class SignCommand(NeedingCommand):
    """``elfsig sign``."""

    needs: ClassVar[tuple[Need, ...]] = (FORMAT, KEY, OUTPUT)


class ConvertCommand(NeedingCommand):
    """``elfsig convert``."""

    needs: ClassVar[tuple[Need, ...]] = (TO, KEY, OUTPUT)


class AttachCommand(NeedingCommand):
    """``elfsig attach``."""

    needs: ClassVar[tuple[Need, ...]] = (SOURCE, OUTPUT)
