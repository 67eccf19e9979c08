"""``elfsig tour``: run the main commands on sample modules, with explanations."""

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
    """Demonstrate list, verify, strip and sign on modules from five generations of kernels.

    The modules ship with elfsig. The commands are run as shown, in a temporary directory that is removed
    afterwards. Exit code 1 if one of them has an unexpected result.
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
        click.echo("\nThese are the main commands. elfsig --help lists all of them.")
    return int(bool(wrong))


def _run(step: Step, folder: Path, color: bool) -> str | None:
    """Run one step. Returns what was not as expected, or None."""
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
            return f"{line}: expected that {sentence}"
        click.echo(f"=> {sentence}.")
    return None
