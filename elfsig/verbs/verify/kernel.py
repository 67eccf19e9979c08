"""What a kernel would answer: predictions for a file, and their place in the file's report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NoReturn

from elfsig.carriers.detached import argument_place
from elfsig.kernels import config as configs
from elfsig.kernels.boot_line import NOTHING, Passed
from elfsig.kernels.mode import PERMISSIVE, Mode, merged
from elfsig.kernels.names import release_of
from elfsig.kernels.policy import Subject, every_mode, predict_modes
from elfsig.kernels.profile import Prediction, Profile
from elfsig.kernels.select import Chosen, for_module
from elfsig.lazy_dataclass import dataclass, replace
from elfsig.model import FileReport, Key, Remark, SignatureReport
from elfsig.model.brief import brief
from elfsig.opened.module import Module
from elfsig.trust.ring import Ring
from elfsig.verbs.verify.layers import OTHER_LAYER, OTHER_SIGNER, beside, decisive


@dataclass(frozen=True, slots=True)
class KernelQuestion:
    """Which kernel to simulate, its enforcement mode, and the keys that it holds.

    ``options`` is its configuration where one is known. ``every`` asks for all modes that matter, ``modes``
    for those that it may be in. ``booted`` are the keys that it holds under Secure Boot, where these are
    others. ``argument`` is a module argument given with the file. ``passed`` is the command line that it is
    started with, None where that is not known; what it adds to ``mode``, the kernel's profile says.
    """

    chosen: Chosen
    ring: Ring | None = None
    options: configs.Options | None = None
    mode: Mode = PERMISSIVE
    every: bool = False
    argument: str | None = None
    modes: tuple[Mode, ...] = ()
    booted: Ring | None = None
    passed: Passed | None = NOTHING

    def asked(self, built: configs.Built) -> tuple[Mode, ...]:
        """The modes to answer for; those of Secure Boot come last."""
        if self.every:
            return every_mode(built.profile)
        each = [merged([mode, built.mode]) for mode in self.modes or (self.mode,)]
        return tuple(sorted(dict.fromkeys(each), key=lambda mode: mode.secure_boot))

    def ring_in(self, mode: Mode) -> Ring | None:
        """The keys that it holds in a mode."""
        return self.booted if mode.secure_boot and self.booted is not None else self.ring

    @property
    def image_keys(self) -> tuple[Key, ...]:
        """The keys in its image, on a list of the kernel's own or not."""
        keys = (*self.ring.keys, *self.ring.unusable) if self.ring is not None else ()
        return tuple(key for key in keys if key.source == self.chosen.image)

    def built(self, module: Module) -> configs.Built:
        """The profile, as it was built and started. Raises UsageError where the kernel is not known."""
        profile = self.chosen.profile or for_module(module.vermagic)
        if self.options is None and self.passed in (None, NOTHING):
            return configs.Built(profile)
        return configs.apply(profile, self.options or {}, self.passed)


@dataclass(frozen=True, slots=True)
class KernelAnswer:
    """What a simulated kernel does with a module: ``predictions``, one for each requested mode.

    ``profile`` is the kernel's; ``remarks`` are on its configuration.
    """

    profile: Profile
    predictions: tuple[Prediction, ...]
    remarks: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return brief(self)

    def __bool__(self) -> NoReturn:
        raise TypeError("a kernel's answer has no truth value: look at its attribute accepted")

    def to_json(self) -> dict[str, Any]:
        """The member ``kernel`` of a file's object, as ``elfsig explain --json`` writes it."""
        return kernel_object(self)

    @property
    def accepted(self) -> bool:
        """Whether the module loads in every requested mode."""
        return all(each.accepted for each in self.predictions)


def ask(module: Module, question: KernelQuestion) -> KernelAnswer:
    """The answers for one file. Raises UsageError where the module does not name its kernel."""
    built = question.built(module)
    argument = None if question.argument is None else argument_place(module.image, question.argument)
    found: list[Prediction] = []
    for ring, modes in groupby(question.asked(built), question.ring_in):
        found += predict_modes(Subject(module, ring, built.profile, argument), tuple(modes))
    doubted = (replace(each, notes=(*_doubts(each, module, question, built), *each.notes)) for each in found)
    return KernelAnswer(built.profile, tuple(doubted), built.remarks)


def _doubts(
    each: Prediction, module: Module, question: KernelQuestion, built: configs.Built
) -> Iterator[str]:
    """What a prediction depends on and is not known."""
    release, built_for = question.chosen.release, release_of(module.vermagic)
    if each.accepted and release is not None and built_for not in (None, release):
        yield (
            f"the module was built for {built_for}, not for {release}: whether this kernel refuses it"
            " for that (its vermagic, the versions of symbols) is not simulated"
        )
    if built.line_doubt is not None and each.mode != PERMISSIVE:
        yield built.line_doubt
    if question.passed is not None and question.passed.doubt is not None:
        yield question.passed.doubt
    image = question.chosen.image
    listed = any(key.vouched and key.keyring == "builtin" for key in question.image_keys)
    if each.fault == "unknown-key" and image is not None and not listed:
        yield f"which keys this kernel trusts could not be read from {image}: it may have the signer's"


# --------------------------------------------------------------------------- in the report


def with_kernel(report: FileReport, asked: KernelAnswer) -> FileReport:
    """``report`` with the kernel's answer in it; the signature that the kernel looks at is effective."""
    signatures = _looked_at(report.signatures, asked.predictions[0])
    effective = next((f for f in signatures if f.effective), None)
    warnings = report.warnings
    if effective is not None:
        kept = [w for w in warnings if w.code not in (OTHER_SIGNER, OTHER_LAYER)]
        warnings = (*beside(signatures, effective), *kept)
    elif report.signatures:
        text = f"{asked.profile.id} looks at none of the signatures in this file"
        warnings = (*warnings, Remark("kernel-sees-none", text))
    return replace(
        report,
        signatures=tuple(signatures),
        verdict=effective.verdict if effective is not None else report.verdict,
        warnings=warnings,
        kernel=kernel_object(asked),
    )


def _looked_at(signatures: Sequence[SignatureReport], prediction: Prediction) -> list[SignatureReport]:
    place = prediction.place
    seen = [
        f for f in signatures if place is not None and (f.place.end, f.place.kind) == (place.end, place.kind)
        and f.place.section == place.section
    ]  # fmt: skip
    decides = decisive(seen) if seen else None
    return [f if f.effective is (f is decides) else replace(f, effective=f is decides) for f in signatures]


def kernel_object(asked: KernelAnswer) -> dict[str, Any]:
    """The member ``kernel`` of a file's object; with several modes the first one's, and all as ``modes``."""
    objects = [_prediction_object(each) for each in asked.predictions]
    first = dict(objects[0])
    if len(objects) > 1:
        first["modes"] = objects
    first["remarks"] = list(asked.remarks)
    return first


def _prediction_object(each: Prediction) -> dict[str, Any]:
    mode = each.mode
    return {
        "id": each.id,
        "enforcing": mode.enforcing,
        "lockdown": mode.lockdown,
        "fips": mode.fips,
        "secure_boot": mode.secure_boot,
        "accepted": each.accepted,
        "errno": each.errno,
        "inner": each.inner,
        "fault": each.fault,
        "panic": each.panic,
        "taint": each.taint,
        "message": each.message,
        "log": list(each.log),
        "insmod": each.insmod,
        "reason": each.reason,
        "advice": each.advice,
        "basis": each.basis.value,
        "steps": [{"name": s.name, "result": s.result, "text": s.text} for s in each.steps],
        "notes": list(each.notes),
    }
