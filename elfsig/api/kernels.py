"""What a kernel does with a module, and why: simulated, not asked of the running kernel."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from elfsig.api.guard import public
from elfsig.errors import UsageError
from elfsig.host.explain import OnMachine, question
from elfsig.host.explain import explain as _explain
from elfsig.host.machine import Machine
from elfsig.kernels.profile import PERMISSIVE, Mode
from elfsig.kernels.select import AUTO
from elfsig.model import FileReport
from elfsig.model.brief import brief
from elfsig.opened.evidence import LIMIT
from elfsig.opened.module import Module, ModuleSource, open_module
from elfsig.registry import Registry
from elfsig.trust.entries import Material
from elfsig.trust.given import KeySources, each_of, material_of
from elfsig.verbs.verify.examine import Question, examine
from elfsig.verbs.verify.kernel import KernelAnswer, KernelQuestion, ask, with_kernel
from elfsig.verbs.verify.kernel_question import kernel_question


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a kernel loads or refuses a module: the answer with its steps, and the report on the signatures.

    ``report`` has the signature that the kernel looks at as its effective one. ``machine`` holds the
    facts about the machine and the next step, where a machine was given.
    """

    report: FileReport
    answer: KernelAnswer
    machine: OnMachine | None = None

    def __repr__(self) -> str:
        return brief(self)

    def __bool__(self) -> NoReturn:
        raise TypeError("an explanation has no truth value: look at its attribute accepted")

    @property
    def accepted(self) -> bool:
        """Whether the kernel loads the module in every requested mode."""
        return self.answer.accepted

    def to_json(self) -> dict[str, Any]:
        """The file's object with its member ``kernel``, as ``elfsig explain --json`` writes it."""
        return self.report.to_json()


@public
def predict(
    source: ModuleSource,
    kernel: str | os.PathLike[str] = AUTO,
    trust: KeySources = (),
    keys: KeySources = (),
    *,
    mode: Mode = PERMISSIVE,
    every_mode: bool = False,
    cmdline: ModuleSource | None = None,
    config: ModuleSource | None = None,
    modarg: str | None = None,
    registry: Registry | None = None,
    limit: int = LIMIT,
) -> KernelAnswer:
    """Predict what ``kernel`` does with ``source``.

    ``kernel``: an id of ``elfsig kernels``, a release, the path of a kernel image or of its configuration, or
    "auto", the kernel that the module's vermagic names. ``trust`` and ``keys`` are the keys that it holds:
    those without a keyring's prefix count as compiled in. ``mode`` is its enforcement mode, in addition
    to what ``cmdline`` says; ``every_mode`` asks for all modes that matter. ``config`` is its configuration.
    ``modarg``: the signature is in this module argument. Raises ReadError, KeySourceError, UsageError (also
    where the module does not name its kernel).
    """
    asked = _question(kernel, trust, keys, mode, every_mode, cmdline, config, modarg, limit)
    return ask(open_module(source, registry, limit=limit), asked)


@public
def explain(
    source: ModuleSource,
    kernel: str | os.PathLike[str] = AUTO,
    trust: KeySources = (),
    keys: KeySources = (),
    *,
    mode: Mode = PERMISSIVE,
    every_mode: bool = False,
    cmdline: ModuleSource | None = None,
    config: ModuleSource | None = None,
    modarg: str | None = None,
    root: str | os.PathLike[str] | None = None,
    registry: Registry | None = None,
    limit: int = LIMIT,
) -> Explanation:
    """Explain why ``kernel`` loads or refuses ``source``: its steps, and the signatures that it looks at.

    The parameters are those of :func:`elfsig.predict`. With ``root``, ``source`` is the name or the path of
    a module on the system there ("/": this machine), whose kernel, settings and keys are looked up. Raises
    ReadError, KeySourceError, UsageError.
    """
    if root is not None:
        asked = _question(kernel, (), (), mode, every_mode, cmdline, config, modarg, limit)
        given = [material_of(each, True) for each in each_of(trust)]
        given += [material_of(each, False) for each in each_of(keys)]
        return _on_machine(source, asked, given, Path(root), registry)
    asked = _question(kernel, trust, keys, mode, every_mode, cmdline, config, modarg, limit)
    module = open_module(source, registry, limit=limit)
    return _explained(module, ask(module, asked), asked)


def _question(
    kernel: str | os.PathLike[str],
    trust: KeySources,
    keys: KeySources,
    mode: Mode,
    every_mode: bool,
    cmdline: ModuleSource | None,
    config: ModuleSource | None,
    modarg: str | None,
    limit: int,
) -> KernelQuestion:
    if not isinstance(kernel, (str, os.PathLike)):
        raise UsageError(f"a {type(kernel).__name__} does not name a kernel", code="wrong-type")
    return kernel_question(
        os.fsdecode(kernel),
        trust,
        keys,
        mode=mode,
        every_mode=every_mode,
        cmdline=None if cmdline is None else open_module(cmdline, limit=limit).content,
        config=None if config is None else open_module(config, limit=limit).content,
        modarg=modarg,
    )


def _explained(module: Module, answer: KernelAnswer, asked: KernelQuestion) -> Explanation:
    report = examine(module, Question(asked.ring, True))
    return Explanation(with_kernel(report, answer), answer)


def _on_machine(
    name: object, asked: KernelQuestion, given: list[Material], root: Path, registry: Registry | None
) -> Explanation:
    """A module on the system below ``root``."""
    if not isinstance(name, (str, os.PathLike)):
        raise UsageError("with a root, give the module by its name or path", code="wrong-type")
    if not root.is_dir():
        raise UsageError(f"{root}: not a directory", code="no-root")
    machine = Machine(root, asked.chosen.release, live=root == Path("/"))
    asking = question(machine, asked, given)
    found = _explain(machine, asking, os.fsdecode(name), registry)
    explained = _explained(found.module, found.asked, asking)
    return Explanation(explained.report, explained.answer, found)
