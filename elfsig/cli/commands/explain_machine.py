"""``elfsig explain --this-machine``: the running kernel, or the one of a system mounted somewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from elfsig.cli import exit_codes
from elfsig.cli.options.common import Machine
from elfsig.cli.options.kernel import KernelWish, question_of
from elfsig.cli.options.key_rings import tell_of_losses
from elfsig.cli.render.documents import line_of, write_document, write_files
from elfsig.cli.render.kernel import answer_lines
from elfsig.cli.render.table import aligned, laid_out
from elfsig.cli.settings import Settings, complain, visible
from elfsig.errors import ElfsigError, UsageError
from elfsig.host.explain import OnMachine, explain, question
from elfsig.host.machine import Machine as System
from elfsig.kernels.select import choose
from elfsig.model.json_form import Json, dumps, file_object
from elfsig.trust.keyring import read_argument
from elfsig.verbs.verify.examine import Question, examine
from elfsig.verbs.verify.kernel import KernelQuestion, with_kernel


def run(
    settings: Settings,
    names: Sequence[str],
    trust: Sequence[str],
    keys: Sequence[str],
    wish: KernelWish,
    root: str,
    machine: Machine,
) -> int:
    """Explain each of ``names`` on the system below ``root``; the exit code. Raises UsageError."""
    if not Path(root).is_dir():
        raise UsageError(f"{root}: not a directory", code="no-root")
    wanted = choose(wish.kernel).release if wish.kernel else None
    system = System(Path(root), wanted, live=Path(root) == Path("/"))
    given = [read_argument(text, True) for text in trust] + [read_argument(text, False) for text in keys]
    asking = question(system, question_of(wish, (), ()), given)
    tell_of_losses(asking.ring)
    found: list[OnMachine] = []
    codes: list[int] = []
    for name in names:
        try:
            found.append(explain(system, asking, name, settings.registry))
        except ElfsigError as fault:
            complain(fault.text, name)
            codes.append(exit_codes.UNREADABLE)
    if machine.wanted:
        _document(settings, machine, system, found, asking)
    else:
        for each in found:
            click.echo(laid_out("\n".join(_lines(each))))
            if each.command is not None:  # in one line, however wide the terminal is: it is to be pasted
                click.echo(f"    {each.command}")
    codes += [exit_codes.GOOD if each.asked.accepted else exit_codes.REFUSED for each in found]
    return exit_codes.combined(codes)


def _lines(found: OnMachine) -> Iterator[str]:
    yield from answer_lines(found.module.path, found.asked)
    yield ""
    yield "  this machine:"
    facts = found.facts
    rows = (
        ("Secure Boot", facts.secure_boot),
        ("lockdown", facts.lockdown),
        ("enforcement", facts.enforcing),
        ("signed by", facts.signer),
        ("its key", facts.key),
        ("comes from", facts.source.words),
    )
    yield from aligned([(f"{label}:", visible(text)) for label, text in rows], indent="    ").splitlines()
    yield ""
    yield from (f"    {visible(text)}" for text in found.remarks)
    yield ""
    yield f"  next: {visible(found.step.text)}"


def _document(
    settings: Settings, machine: Machine, system: System, found: Sequence[OnMachine], asking: KernelQuestion
) -> None:
    plain = Question(asking.ring, True, True)
    files = [file_object(with_kernel(examine(each.module, plain), each.asked)) for each in found]
    modules: list[Json] = [
        {
            "path": each.module.path,
            "command": each.command,
            "next": each.step.text,
            "secure_boot": each.facts.secure_boot,
            "lockdown": each.facts.lockdown,
            "enforcing": each.facts.enforcing,
            "signer": each.facts.signer,
            "key": each.facts.key,
            "source": each.facts.source.words,
            "package": each.facts.source.name or None,
            "remarks": list(each.remarks),
        }
        for each in found
    ]
    about: Json = {"release": system.release, "modules": modules}
    if machine.form == "json":
        write_document(settings, machine, files=files, system=about)
    else:
        write_files(settings, machine, [*map(dumps, files), line_of(system=about)])
