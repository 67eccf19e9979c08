"""Faults planted in elfsig itself, one at a time: the oracle of each target of whole verbs notices them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from elfsig.batch import like_signed
from elfsig.batch.survey import file as survey_file
from elfsig.carriers.trailer import ModuleTrailer
from elfsig.cli.render import documents
from elfsig.coverages import bytemap
from elfsig.crypto import checks
from elfsig.elf.image import Image
from elfsig.host import databases, dkms, firmware, next_step
from elfsig.host.files import Files
from elfsig.model import Place, Verdict
from elfsig.verbs.audit import audit as audit_verb
from elfsig.verbs.bundle import module as bundle_module
from elfsig.verbs.inspect import compare as compare_verb
from elfsig.verbs.inspect.comparison import Conclusion
from elfsig.verbs.verify.kernel import KernelAnswer
from tests.fuzz import judges, seeds, vocabulary
from tests.fuzz.oracles import Judge
from tests.fuzz.runner import all_targets
from tests.fuzz.targets import command_line, verbs
from tests.support.packages import locate

Patch = pytest.MonkeyPatch


class Anything:
    """Equal to everything."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


def changed(data: bytes, at: int) -> bytes:
    """A signed module of which one byte is not as it was signed."""
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def judged(name: str, data: bytes) -> str | None:
    """The kind of the finding on one input."""
    target = next(each for each in all_targets() if each.name == name)
    judge = Judge(target._replace(limits=target.limits._replace(seconds=60, memory=1 << 30)))
    found = judge(data)
    return found.kind if found else None


def any_value_matches(patch: Patch) -> None:
    patch.setattr(checks, "digest_info", lambda *given: Anything())


def like_modules_are_not_checked(patch: Patch) -> None:
    """The outcome of the first module of a kind is that of all of them."""
    real, first = like_signed._outcome, list[Any]()

    def outcome(*given: Any) -> Any:
        first.append(first[0] if first else real(*given))
        return first[-1]

    patch.setattr(like_signed, "_outcome", outcome)


def audit_passes_all(patch: Patch) -> None:
    patch.setattr(audit_verb, "_verdict_faults", lambda report: ())


def survey_says_unsigned(patch: Patch) -> None:
    patch.setattr(
        survey_file, "with_origin", lambda report, kernels: replace(report, verdict=Verdict.UNSIGNED)
    )


def kernels_load_all(patch: Patch) -> None:
    """Whatever has a signature at all."""
    patch.setattr(KernelAnswer, "accepted", property(lambda self: self.predictions[0].inner != "ENODATA"))


def nothing_is_covered(patch: Patch) -> None:
    real = bytemap._runs

    def runs(size: int, layers: Any) -> Any:
        return real(size, [(kind, parts) for kind, parts in layers if kind is not bytemap.Kind.VERBATIM])

    patch.setattr(bytemap, "_runs", runs)


def all_is_identical(patch: Patch) -> None:
    patch.setattr(compare_verb, "_conclusion", lambda *given: Conclusion.IDENTICAL)


def strip_leaves_a_byte(patch: Patch) -> None:
    real = ModuleTrailer.detach

    def detach(self: ModuleTrailer, image: Image, place: Place, **more: Any) -> bytes:
        return bytes(real(self, image, place, **more)) + b"\0"

    patch.setattr(ModuleTrailer, "detach", detach)


def documents_have_no_version(patch: Patch) -> None:
    patch.setattr(documents, "line_of", lambda **body: json.dumps({"schema_version": "x"}))


def a_check_that_nobody_knows(patch: Patch) -> None:
    patch.setattr(bundle_module, "verdict_of", lambda report: "no verdict")


def changes_are_not_seen(patch: Patch) -> None:
    patch.setattr(next_step, "_again", lambda case, why: next_step._own(case))


def vendors_are_not_asked_about(patch: Patch) -> None:
    patch.setattr(next_step, "_doubtful", next_step._own)


def words_are_joined(patch: Patch) -> None:
    patch.setattr(next_step, "to_paste", lambda *commands: " && ".join(map(" ".join, commands)))


def directories_are_not_sorted(patch: Patch) -> None:
    patch.setattr(Files, "names", lambda self, path: os.listdir(path) if path.is_dir() else None)


def nothing_is_listed(patch: Patch) -> None:
    patch.setattr(databases, "_lines", lambda *given: iter(()))


def odd_is_off(patch: Patch) -> None:
    patch.setattr(firmware, "_unread", lambda *given: firmware.SecureBootState("off"))


def nothing_is_removed(patch: Patch) -> None:
    patch.setattr(dkms, "remove", lambda root: [])


def line(command: str) -> bytes:
    """An input that is this command on good files, with JSON."""
    for data in command_line.lines():
        words = command_line.line(data.partition(b"\xff\xfe")[0])
        if words[0] == command and "--json" in words and not {"--host", "--root"} & {*words}:
            return data
    raise AssertionError(command)


ENROLLED = (vocabulary.RUNNING, vocabulary.VARIABLES[:2], vocabulary.DKMS[6:8])
CHANGED = vocabulary.joined([vocabulary.EXTRA + b"$changed", b"given\n"], *ENROLLED)
IN_THE_KERNEL = vocabulary.joined([vocabulary.VFAT + b"$plain"], *ENROLLED)
LISTED = vocabulary.joined([vocabulary.VFAT + b"$plain"], vocabulary.LISTS[:1], *ENROLLED)
ODD_PATH = b"/home/a b;$(x).ko\n"
ODD_NAME = vocabulary.joined([ODD_PATH + b"$plain", b"module\n" + ODD_PATH[:-1]], *ENROLLED)
PAIRS = [b"/root/mok-%d.%s\n$cert" % (n, suffix) for n in (2, 3) for suffix in (b"key", b"der")]
SEVERAL = vocabulary.joined(PAIRS, [vocabulary.EXTRA + b"$plain"], vocabulary.RUNNING)
ENFORCING = next(nr for nr, name in enumerate(verbs.KERNELS) if name.startswith("5.18"))
TAMPERED, OTHER = changed(verbs.SIGNED, 70), changed(verbs.SIGNED, 71)  # what matched once is remembered
PLANTED: dict[str, tuple[str, Callable[[Patch], None], bytes, str]] = {
    "examine": ("verbs/examine", any_value_matches, OTHER, "openssl"),
    "tree": ("verbs/everywhere", like_modules_are_not_checked, TAMPERED, "verbs-differ"),
    "audit": ("verbs/everywhere", audit_passes_all, TAMPERED, "verbs-differ"),
    "survey": ("verbs/everywhere", survey_says_unsigned, TAMPERED, "verbs-differ"),
    "predict": ("verbs/kernel", kernels_load_all, bytes([ENFORCING]) + TAMPERED, "loads-unsigned"),
    "coverage": ("verbs/mapped", nothing_is_covered, b"\3" + seeds.unsigned()[0], "map"),
    "compare": ("verbs/compare", all_is_identical, seeds.unsigned()[0], "both-ways"),
    "sign and strip": ("verbs/sign-pkcs7", strip_leaves_a_byte, seeds.unsigned()[0], "strip-refused"),
    "evidence": ("bundles/entry", a_check_that_nobody_knows, verbs.SIGNED, "check"),
    "advice": ("hosts/explain", changes_are_not_seen, CHANGED, "signs"),
    "vendor": ("hosts/explain", vendors_are_not_asked_about, IN_THE_KERNEL, "signs-vendor-s"),
    "quoting": ("hosts/explain", words_are_joined, ODD_NAME, "command"),
    "order": ("hosts/explain", directories_are_not_sorted, SEVERAL, "differs"),
    "package": ("hosts/explain", nothing_is_listed, LISTED, "package"),
    "firmware": ("hosts/firmware", odd_is_off, vocabulary.BOOT + b"\6\0\0\0\0\0", "off"),
    "removal": ("hosts/dkms-setup", nothing_is_removed, b"key\n/root/key", "not-removed"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_an_oracle_notices_the_fault_planted_for_it(name: str, monkeypatch: Patch) -> None:
    target, plant, data, kind = PLANTED[name]
    if kind == "openssl" and locate("openssl") is None:
        pytest.skip("needs openssl")
    judges._seen.clear()
    judges._counted.clear()
    assert judged(target, data) is None
    plant(monkeypatch)
    assert judged(target, data) == kind


def test_documents_that_the_schema_refuses_are_noticed(monkeypatch: Patch) -> None:
    data = line("compare")
    assert judged("command_line/any", data) is None
    documents_have_no_version(monkeypatch)
    assert judged("command_line/any", data) == "json"


def test_the_seeds_of_command_lines_get_past_their_options(monkeypatch: Patch) -> None:
    """Of the lines that are tried first, many do something: they do not end as usage errors."""
    codes: list[int] = []
    monkeypatch.setattr(command_line, "_judged", lambda words, done, home: codes.append(done.exit_code))
    for data in list(command_line.lines())[::23]:
        command_line.run(data)
    assert len(codes) > 20 and codes.count(2) < len(codes) * 0.6, codes
