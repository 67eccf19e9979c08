"""``elfsig tour``: run the main job on sample modules, and say what is seen."""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from elfsig.cli.settings import Settings
from elfsig.cli.tour_steps import Step, steps, unpack


@click.command("tour")
@click.pass_obj
def command(settings: Settings) -> int:
    """Show the main job on modules of five eras that ship with elfsig: list, verify, strip, sign.

    Works in a temporary directory that is gone afterwards. The commands shown are those that are run.
    Exit code 1 when one of them answers otherwise than it should.
    """
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(prefix="elfsig-tour-") as work:
        folder = Path(work)
        unpack(folder)
        for step in steps(folder):
            if (problem := _run(step, folder, settings.colored(sys.stdout))) is not None:
                wrong.append(problem)
    for problem in wrong:
        click.echo(problem, err=True)
    if not wrong:
        click.echo("\nThat is the main job. elfsig --help lists the rest; README.md explains it.")
    return int(bool(wrong))


def _run(step: Step, folder: Path, color: bool) -> str | None:
    """Run one step; what went otherwise than it should, None when nothing did."""
    line = shlex.join(["elfsig", *step.arguments])
    click.secho(f"\n# {step.text}", fg="cyan", color=color)
    click.secho(f"$ {line}", bold=True, color=color)
    sys.stdout.flush()
    options = ["--no-plugins", f"--color={'always' if color else 'never'}"]
    command_line = [sys.executable, "-m", "elfsig", *options, *step.arguments]
    code = subprocess.run(command_line, cwd=folder, stdin=subprocess.DEVNULL).returncode
    if code != step.code:
        return f"{line}: exit code {code}, expected {step.code}"
    if step.check is not None:
        sentence, holds = step.check
        if not holds(folder):
            return f"{line}: it is not so that {sentence}"
        click.echo(f"=> {sentence}.")
    return None
