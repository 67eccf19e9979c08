"""What a rule of a policy requires on one system: its key sources and its kernel, read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from elfsig.batch.policy.sources import Recent, Sources, kernel_image
from elfsig.batch.tree import Examination, Examiner
from elfsig.errors import ElfsigError, KeySourceError, UsageError
from elfsig.kernels.select import AUTO, Chosen, choose, for_kernel
from elfsig.lazy_dataclass import dataclass, replace
from elfsig.model import Loss
from elfsig.opened.evidence import LIMIT
from elfsig.registry import Registry
from elfsig.trust.entries import Material, gather
from elfsig.trust.keyring import MERKLE, PIN, ROLES, pin_digest, pinned
from elfsig.trust.ring import Ring
from elfsig.verbs.audit.audit import Gate
from elfsig.verbs.policy.implied import OWN_KERNEL
from elfsig.verbs.policy.model import ModuleRule, Policy
from elfsig.verbs.policy.place import Position
from elfsig.verbs.verify.examine import Question
from elfsig.verbs.verify.kernel import KernelQuestion

MAX_CONTEXTS: Final = 64
"""Rules on systems that are kept: modules of one system follow each other."""


class Context(NamedTuple):
    """A rule on one system. ``faults`` say what of it could not be read: without keys, or without the kernel,
    modules are not checked. ``identity`` is equal where everything that decides is."""

    rule: ModuleRule
    gate: Gate
    examiner: Examiner
    no_keys: str | None
    no_kernel: str | None
    identity: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for all rules: the rules of audit to ``ignore``, and how files are read.

    ``states``: the hashes of every file are needed.
    """

    registry: Registry
    ignore: frozenset[str] = frozenset()
    states: bool = False
    all_files: bool = False
    limit: int = LIMIT


class Contexts:
    """The contexts of a policy's rules, made when they are needed.

    Sources without placeholders are read at once: KeySourceError, UsageError for one that cannot be.
    """

    policy: Policy
    settings: Settings
    sources: Sources

    def __init__(self, policy: Policy, settings: Settings, sources: Sources) -> None:
        self.policy, self.settings, self.sources = policy, settings, sources
        self._held: Recent[tuple[int, str, str | None, str | None], Context] = Recent(MAX_CONTEXTS)
        self._fixed: dict[tuple[str, bool], Material] = {}
        self._lost: dict[Loss, None] = {}
        self._said: dict[Loss, None] = {}
        self._kernels: dict[str, Chosen] = {}
        for rule in policy.rules:
            try:
                self._prepare(rule)
            except (KeySourceError, UsageError) as fault:
                raise _at(fault, policy, rule) from None

    def _prepare(self, rule: ModuleRule) -> None:
        """Read the sources of a rule that are the same for every system."""
        pins = {pin_digest(text): text for text in rule.trust if text.startswith(PIN)}
        fixed: list[Material] = []
        for text, trusted in _each_source(rule):
            if "{" not in text:
                found = self.sources.material(self._placed(text), trusted)
                self._fixed[text, trusted] = found
                fixed.append(found)
                self.learn(found.losses)
        if pins and len(fixed) == len(_each_source(rule)):
            pinned(gather(fixed), pins)
        if rule.kernel is not None and "{" not in rule.kernel:
            self._kernels[rule.kernel] = choose(self._placed_kernel(rule.kernel))

    @property
    def losses(self) -> tuple[Loss, ...]:
        """What could not be read of the key sources, as far as this process knows."""
        return tuple(self._lost)

    def new_losses(self) -> tuple[Loss, ...]:
        """Those that the last call did not give, for the process that started this one."""
        new = tuple(loss for loss in self._lost if loss not in self._said)
        self._said.update(dict.fromkeys(new))
        return new

    def learn(self, losses: Iterable[Loss]) -> None:
        """Take what another process could not read of key sources into account."""
        self._lost.update(dict.fromkeys(losses))

    def _placed(self, text: str) -> str:
        """A key source of the policy, a relative one below the policy's folder."""
        if text.startswith((PIN, MERKLE)):
            return text
        prefix, colon, rest = text.partition(":")
        role, path = (f"{prefix}:", rest) if colon and prefix in ROLES else ("", text)
        return role + os.path.join(self.policy.folder, path)

    def _placed_kernel(self, text: str) -> str:
        return os.path.join(self.policy.folder, text) if "/" in text else text

    def context(self, number: int, where: Position) -> Context:
        """The context of a rule, by its number, on the system of a module."""
        key = (number, where.root, where.release, where.host)
        return self._held.made(key, lambda: self._made(number, where))

    def _made(self, number: int, where: Position) -> Context:
        rule = self.policy.rules[number]
        ring = kernel = None
        no_keys = no_kernel = None
        identity: tuple[object, ...] = (number,)
        try:
            ring, identity = self._ring(rule, where, identity)
        except ElfsigError as fault:
            no_keys = f"the keys of the rule in line {rule.line} cannot be read: {fault.text}"
        try:
            kernel = self._kernel(rule, where, ring)
        except ElfsigError as fault:
            no_kernel = f"the kernel of the rule in line {rule.line} is not known: {fault.text}"
        if rule.kernel is not None and "{" in rule.kernel and kernel is not None:
            release = kernel.chosen.release
            identity = (*identity, release, self._identity(kernel.chosen.image, where))
        gate = self._gate(rule, ring, kernel)
        what = Examination(self.settings.registry, gate.question, limit=self.settings.limit)
        examiner = Examiner(what)
        examiner.remember()
        return Context(rule, gate, examiner, no_keys, no_kernel, identity)

    def _gate(self, rule: ModuleRule, ring: Ring | None, kernel: KernelQuestion | None) -> Gate:
        settings = self.settings
        return Gate(
            Question(ring, any_file=settings.all_files),
            rule.hashes,
            rule.formats,
            () if kernel is None else (kernel,),
            rule.ignore | settings.ignore,
            settings.states,
        )

    def _ring(
        self, rule: ModuleRule, where: Position, identity: tuple[object, ...]
    ) -> tuple[Ring, tuple[object, ...]]:
        """The keys of a rule, and what identifies them. Raises KeySourceError, UsageError."""
        parts: list[Material] = []
        for text, trusted in _each_source(rule):
            if (fixed := self._fixed.get((text, trusted))) is not None:
                parts.append(fixed)
                continue
            source = self._filled(text, where)
            parts.append(self.sources.material(source, trusted, _root(source, where)))
            identity = (*identity, self._identity(source, where))
        pins = {pin_digest(text): text for text in rule.trust if text.startswith(PIN)}
        found = gather(parts)
        self.learn(found.losses)
        return Ring(pinned(found, pins) if pins else found), identity

    def ring(self, number: int, where: Position, without_kernel: bool = False) -> Ring:
        """The keys of a rule. ``without_kernel``: leave out the system's own kernel image.

        Raises KeySourceError, UsageError.
        """
        rule = self.policy.rules[number]
        if without_kernel:
            rule = replace(rule, trust=tuple(each for each in rule.trust if each != OWN_KERNEL))
        return self._ring(rule, where, ())[0]

    def _identity(self, source: str | None, where: Position) -> object:
        if source is None:
            return None
        prefix, colon, rest = source.partition(":")
        path = rest if colon and prefix in ROLES else source
        return self.sources.identity(path, _root(path, where))

    def _kernel(self, rule: ModuleRule, where: Position, ring: Ring | None) -> KernelQuestion | None:
        """The question for the kernel of a rule. Raises KeySourceError, UsageError, ReadError."""
        if rule.kernel is None:
            return None
        chosen, options = self._kernels.get(rule.kernel), None
        text = rule.kernel
        if chosen is None:
            text = self._filled(rule.kernel, where)
            chosen = choose(text) if "/" not in text else None
        if chosen is None or chosen.image is not None:
            path = text if chosen is None or chosen.image is None else chosen.image
            root = _root(path, where)
            image = self.sources.image(path, root)
            if image.said is None:
                raise UsageError(f"{path}: not a kernel image", code="unknown-kernel")
            options = image.options
            chosen = Chosen(for_kernel(image.said.release), image.said.config, path, image.said.release)
            held = [self.sources.material(path, True, root)]
            self.learn(held[0].losses)
            ring = Ring(gather([*([] if ring is None else [ring.material]), *held]))
        return KernelQuestion(chosen, ring, options, rule.mode, rule.every_mode)

    def _filled(self, text: str, where: Position) -> str:
        """A source with its placeholders filled in, as a path of this system. Raises UsageError."""
        values: dict[str, str] = {"root": where.root.rstrip("/") if "{root}/" in text else where.root}
        for name, value in (("release", where.release), ("host", where.host)):
            if value is not None:
                values[name] = value
            elif f"{{{name}}}" in text:
                raise UsageError(f"the {name} is not known", code=f"no-{name}")
        if "{kernel}" in text:
            if where.release is None:
                raise UsageError("the release is not known", code="no-release")
            values["kernel"] = kernel_image(where.root, where.release)
        filled = _fill(text, values)
        return filled if "{root}" in text or "{kernel}" in text else self._placed(filled)


def _at(fault: ElfsigError, policy: Policy, rule: ModuleRule) -> ElfsigError:
    """The same error, with the line of the rule where that is from a file."""
    if not rule.line:
        return fault
    text = f"{policy.source}: line {rule.line}: {fault.text}"
    return type(fault)(text, offset=fault.offset, code=fault.code, hint=fault.hint)


def _fill(text: str, values: Mapping[str, str]) -> str:
    """``text`` with its placeholders filled in; what is filled in may hold braces."""
    return re.sub(r"\{([a-z]+)\}", lambda match: values[match[1]], text)


def _each_source(rule: ModuleRule) -> list[tuple[str, bool]]:
    """The sources of a rule without its pins, and whether each is trusted."""
    trusted = [(text, True) for text in rule.trust if not text.startswith(PIN)]
    return [*trusted, *((text, False) for text in rule.keys)]


def _root(path: str, where: Position) -> str | None:
    """The root directory in which the links of a path are resolved, None for this system's."""
    path = path.partition(":")[2] if path.partition(":")[0] in ROLES else path
    if where.root in ("/", ".") or not path.startswith(f"{where.root.rstrip('/')}/"):
        return None
    return where.root if os.path.isdir(where.root) else None  # it may be in a container


def needs(policy: Policy, name: str) -> Iterable[int]:
    """The lines of the rules that have this placeholder."""
    for rule in policy.rules:
        if any(f"{{{name}}}" in each for each in (*rule.trust, *rule.keys, rule.kernel or "")):
            yield rule.line


__all__ = ["AUTO", "Context", "Contexts", "Settings", "needs"]
