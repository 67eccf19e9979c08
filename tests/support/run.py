"""Run the command line inside the test's process: fast, and with stdout and stderr apart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from click.testing import CliRunner

from elfsig.cli.app import elfsig
from tests.support.cli import Ran


def run(*words: str | Path, env: Mapping[str, str | None] | None = None) -> Ran:
    """``elfsig WORDS``. What is raised beyond an exit is raised here, so that a trace is never hidden."""
    done = CliRunner().invoke(
        elfsig, [str(word) for word in words], env=env, prog_name="elfsig", catch_exceptions=False
    )
    return Ran(done.exit_code, done.stdout, done.stderr)
