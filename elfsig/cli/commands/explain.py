"""``elfsig explain``: why a kernel refuses a module, step by step, and what to do about it."""

from __future__ import annotations

import os
from collections.abc import Callable

import click

from elfsig.batch.tree import Examination, Examined, examined
from elfsig.cli import exit_codes
from elfsig.cli.commands.explain_machine import run
from elfsig.cli.hints import hinted
from elfsig.cli.options.common import (
    Machine,
    limit_option,
    machine_options,
    path_type,
    paths_argument,
    trust_options,
)
from elfsig.cli.options.kernel import KernelWish, kernel_options, question_of
from elfsig.cli.reading import Result, collect, entries, finish
from elfsig.cli.render.kernel import answer_lines
from elfsig.cli.render.table import laid_out
from elfsig.cli.settings import Settings
from elfsig.errors import ReadError, UsageError
from elfsig.model.json_form import dumps, file_object
from elfsig.opened.walk import WalkedFile
from elfsig.verbs.verify.examine import Question


@click.command("explain")
@paths_argument("PATH|NAME...", stream=True)
@trust_options
@kernel_options
@click.option("--modarg", metavar="STRING", help="Read the signature from a module argument (modsign=...).")
@click.option(
    "--this-machine", is_flag=True, help="Ask about the running kernel; NAME is the name of a module."
)
@click.option(
    "--root", metavar="DIR", type=path_type, help="Like --this-machine, for the system mounted at DIR."
)
@machine_options
@limit_option
@click.pass_obj
def command(
    settings: Settings,
    paths: tuple[str, ...],
    trust: tuple[str, ...],
    keys: tuple[str, ...],
    wish: KernelWish,
    modarg: str | None,
    this_machine: bool,
    root: str | None,
    machine: Machine,
    limit: int,
) -> int:
    """Go through a kernel's own steps for each module, and say where it stops and what to do about it.

    Without --kernel, the kernel is the one named in the module's vermagic. With --this-machine, modules are
    found by name, and the settings and keys of the running kernel are used; with --root, those of a mounted
    system. No other option looks at the machine that elfsig runs on.
    """
    if this_machine or root is not None:
        if modarg is not None:
            raise UsageError("--modarg is for kernels that are no longer in use: name one with --kernel")
        return run(settings, paths, trust, keys, wish, root or "/", machine)
    question = question_of(wish, trust, keys, modarg)
    found, _ = entries(paths, False)
    named = map(_hinted, found)
    plain = Question(question.ring, machine.wanted, True)
    what = Examination(settings.registry, plain, None, question, limit)
    results = examined(named, what, _finisher(machine), single=True)
    _, code = collect(results, settings, machine)
    return code


def _hinted(entry: WalkedFile) -> WalkedFile:
    """Add to the error for a missing file what to do if its name is that of a module."""
    if entry.error is None or entry.error.code != "not-found" or os.sep in entry.path:
        return entry
    text = "no such file; if this is the name of a module, add --this-machine or --root DIR"
    return entry._replace(error=ReadError(text, code="not-found"))


def _finisher(machine: Machine) -> Callable[[Examined], Result]:
    """A function for one file: it gives the kernel's steps as text, or the file's JSON object."""

    def finish_one(found: Examined) -> Result:
        report, asked, fault = found.report, found.asked, found.fault
        if asked is None:
            done = finish(report, "", "unreadable", exit_codes.UNREADABLE)
            known = report.error is not None
            return done if known or fault is None else done._replace(complaint=hinted(fault.text, fault.hint))
        code = exit_codes.GOOD if asked.accepted else exit_codes.REFUSED
        if machine.wanted:
            return finish(report, dumps(file_object(report)), "", code)
        return finish(report, laid_out("\n".join([*answer_lines(report.path, asked), ""])) + "\n", "", code)

    return finish_one
