"""The text of a kernel's response: in short after a verdict, and step by step for ``explain``."""

from __future__ import annotations

from collections.abc import Iterator

from elfsig.cli.render.table import aligned
from elfsig.cli.settings import visible
from elfsig.kernels.errnos import number, sentence
from elfsig.kernels.policy import SCOPE, UNSOUND
from elfsig.kernels.profile import Prediction, Profile
from elfsig.model import Basis
from elfsig.verbs.verify.kernel import KernelAnswer

BASES = {
    Basis.BOOTED: "tested on booted kernels",
    Basis.ORIGINAL_CODE: "the kernel's own code was run",
    Basis.SOURCE: "the kernel's source was read",
    Basis.RECALLED: "recalled, not checked",
    Basis.TOOL_HALF: "only the signing tool is known",
}

TAINTS = {
    "E": "E: a module without a valid signature was loaded",
    "F": "F: a module was force-loaded; kernels before 3.15 also set it for unsigned modules",
    "U": "U: the module is listed as unsigned",
}


def answer(each: Prediction) -> str:
    """What the kernel does, in a few words: such as "refused, EKEYREJECTED (inside: ENOKEY)"."""
    if each.panic:
        return "panics: the machine stops" + (f" (inside: {each.inner})" if each.inner else "")
    inside = f" (inside: {each.inner})" if each.inner and each.inner != each.errno else ""
    if each.accepted:
        word = "passes the signature check" if UNSOUND in each.notes else "loads"
        return word + (f", taint {each.taint}" if each.taint else "") + inside
    return f"refused, {each.errno}{inside}"


def brief(path: str, asked: KernelAnswer) -> Iterator[str]:
    """The lines that follow a file's verdict."""
    head = visible(path)
    for each in asked.predictions:
        yield f"{head}: kernel {each.id} ({each.mode.words}): {answer(each)}: {visible(each.reason)}"
    first = asked.predictions[0]
    many = len(asked.predictions) > 1
    if not many:
        yield from (f"{head}:   kernel log: {visible(line)}" for line in first.log)
        if first.insmod:
            yield f"{head}:   {visible(first.insmod)}"
        if first.errno or first.inner or first.panic:
            yield f"{head}:   {visible(first.advice)}"
    yield from (f"{head}:   note: {visible(text)}" for text in first.notes if text != SCOPE)
    yield f"{head}:   basis: {BASES[first.basis]}"


# --------------------------------------------------------------------------- explain


def answer_lines(path: str, asked: KernelAnswer) -> Iterator[str]:
    """One file, step by step."""
    profile = asked.profile
    yield visible(path)
    yield f"  kernel {profile.id}: {profile.title} ({BASES[profile.basis]})"
    yield f"  looks at: {looks_at(profile)}"
    yield from (f"  note: {visible(remark)}" for remark in asked.remarks)
    yield ""
    yield from _steps(asked.predictions[0])
    for each in asked.predictions:
        yield ""
        yield from _outcome(each)
    notes = dict.fromkeys((*asked.predictions[-1].notes, *profile.notes))
    yield ""
    yield from (f"  note: {visible(text)}" for text in notes)


def looks_at(profile: Profile) -> str:
    """Which signature this kernel looks at, and what it assumes the signature covers."""
    look = profile.look
    where = look.carrier.partition(":")[2] if look.carrier.startswith(("section:", "note:")) else look.format
    kinds = {"section": f"section {where}", "note": f"note {where}", "trailer": "the end of the file"}
    place = kinds.get(look.carrier.partition(":")[0], "a module argument")
    return f"{place} (format {look.format}), over {look.coverage}"


def _steps(each: Prediction) -> Iterator[str]:
    words = {"ok": "ok", "stop": "STOP"}
    rows = [
        (f"{nr}.", step.name, words[step.result], visible(step.text)) for nr, step in enumerate(each.steps, 1)
    ]
    yield from aligned(rows, indent="  ").splitlines()


def _outcome(each: Prediction) -> Iterator[str]:
    yield f"  {each.mode.words}: {_long_answer(each)}"
    if each.taint:
        yield f"    taint {TAINTS.get(each.taint, each.taint)}"
    yield from (f"    kernel log: {visible(line)}" for line in each.log)
    if each.insmod:
        yield f"    insmod prints: {visible(each.insmod)}"
    yield f"    {visible(each.advice)}"


def _long_answer(each: Prediction) -> str:
    if each.errno is None:
        return answer(each)
    text = f'refused, {each.errno} ({number(each.errno)}, "{sentence(each.errno)}")'
    if each.inner and each.inner != each.errno:
        text += f'; the error inside is {each.inner} ("{sentence(each.inner)}")'
    return text
