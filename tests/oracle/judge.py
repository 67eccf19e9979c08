"""The matrix run by a kernel: what elfsig predicts, what the kernel answers, and where they differ."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from elfsig.compression.whole import Compression
from elfsig.kernels import config as configs
from elfsig.kernels.keys import KernelKeys
from elfsig.kernels.policy import Subject, predict
from elfsig.kernels.profile import Mode, Prediction, Profile
from elfsig.kernels.select import for_release, read_image
from elfsig.model import Key
from elfsig.opened import evidence
from elfsig.opened.evidence import Evidence
from elfsig.trust.entries import Material, Origin, Revocation, RevokedHash, gather
from elfsig.trust.keyring import read_path
from elfsig.trust.make import key_from_certificate
from elfsig.trust.ring import Ring
from elfsig.verbs.edit.strip import strip
from tests.oracle import build, firmware, machine
from tests.oracle.cases import (
    COMPRESSIONS,
    Case,
    algorithms,
    file_name,
    matrix,
    revoked,
    revoked_file,
    trusted,
)
from tests.oracle.machine import Answer, Machine, Report
from tests.support.kernels import Unpacked
from tests.support.opened import opened

SAMPLE = "cordic"
"""A module of every Debian kernel that needs no other one and does nothing when it is loaded."""

HASHES = ("sha512_generic", "sha3_generic")
"""Hashes that some of Debian's kernels have as modules: loaded first, as udev and initramfs do."""

MODES: Mapping[str, Mode] = {
    "permissive": Mode(),
    "lockdown": Mode(lockdown=True),
    "enforcing": Mode(enforcing=True, lockdown=True),
}
RARE = re.compile(r".*tainting kernel|Lockdown: ")
"""Lines that a kernel prints once, or not again for a while."""

SPOKEN = re.compile(
    r"(Loading of|Lockdown:|PKCS7:|PKCS#7|module:|Unsupported|Module hash|.*: module verification failed) "
)
"""How lines of the signature check begin. What else is logged concerns the ELF file, or the emulator."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a kernel did not do as predicted."""

    case: str
    mode: str
    text: str

    def __str__(self) -> str:
        return f"{self.case} ({self.mode}): {self.text}"


@dataclass(frozen=True)
class Judge:
    """A kernel and the files that it is asked about. ``ring`` are its keys as elfsig is given them;
    ``unpacks`` is how modules are compressed that it unpacks itself. ``report`` boots it, once."""

    release: str
    profile: Profile
    ring: Ring
    cases: Sequence[Case]
    machine: Machine
    unpacks: Compression | None = None

    @cached_property
    def report(self) -> Report:
        """What the kernel answered. Raises BootFailed."""
        files = {self._name(number): self._as_given(case) for number, case in enumerate(self.cases)}
        with tempfile.TemporaryDirectory(prefix="oracle") as folder:
            return machine.run(self.machine, files, Path(folder))

    def _name(self, number: int) -> str:
        return file_name(number, self.cases[number], self.unpacks)

    def _as_given(self, case: Case) -> bytes:
        """What the kernel does not unpack itself, the loading tool does, as far as it can."""
        if case.unpack is None or case.unpack == self.unpacks:
            return case.content
        found = evidence.read(case.content)
        return found.content if found.tail_offset is None else b""

    # ----------------------------------------------------------------------- both sides

    def foretold(self, case: Case, mode: str) -> Prediction:
        subject = Subject(opened(_named(case.content)), self.ring, self.profile)
        return predict(subject, MODES[mode])

    def answer(self, number: int, mode: str) -> Answer:
        return self.report.answers[mode][self._name(number)]

    def differences(self) -> Iterator[Difference]:
        for number, case in enumerate(self.cases):
            for mode in machine.MODES:
                for text in differ(case, self.foretold(case, mode), self.answer(number, mode)):
                    yield Difference(case.name, mode, text)

    def keys_differ(self) -> Iterator[str]:
        """Certificates that the kernel holds, and should not, or the other way round."""
        keys = KernelKeys(self.ring, self.profile)
        held = "\n".join(self.report.keys)
        for key in self.ring.keys:
            if key.revoked or key.certificate is None or key.certificate.skid is None:
                continue
            if not key.vouched:
                continue
            there, expected = key.certificate.skid.hex() in held, key not in keys.refused
            if there != expected:
                yield f"{key.label}: loaded {there}, predicted {expected} ({keys.refused.get(key)})"


# --------------------------------------------------------------------------- which kernels


def debian(package: Unpacked) -> Judge:
    """A kernel of Debian's with the certificates of the matrix in UEFI's db, and some things in dbx."""
    kernel = package.vmlinuz()
    release = kernel.name.removeprefix("vmlinuz-")
    modules = {path.name.partition(".")[0]: path for path in package.modules()}
    shipped = evidence.read(modules[SAMPLE])
    base = strip(opened(shipped.content)).content
    blacklist = [revoked_file(base), base + b"revoked"]
    cases = [Case("as Debian ships it", shipped.raw, unpack=shipped.compression), *matrix(base)]
    hashes = {name: evidence.read(modules[name]).content for name in HASHES if name in modules}
    config = next(package.path.glob("boot/config-*")).read_text()
    db = [who.certificate for who in trusted()]
    booted = Machine(kernel, db, _dbx(blacklist), hashes)
    return Judge(release, for_release(release), _ring(kernel, blacklist), cases, booted, _unpacks(config))


def _dbx(blacklist: Sequence[bytes]) -> bytes:
    hashes = [hashlib.sha256(content).digest() for content in blacklist]
    lists = firmware.signature_list(firmware.SHA256, hashes)
    return lists + firmware.signature_list(firmware.X509, [revoked().certificate])


def _ring(kernel: Path, blacklist: Sequence[bytes]) -> Ring:
    """All keys as elfsig is given them: the kernel image for what is compiled in, db and dbx."""
    db, dbx = Origin("db", "platform"), Origin("dbx", "revoked", False)
    keys: list[Key] = [key_from_certificate(who.certificate, db) for who in trusted()]
    keys.append(key_from_certificate(revoked().certificate, dbx))
    hashes = tuple(
        Revocation(RevokedHash("bin", "sha256", hashlib.sha256(c).digest()), dbx.source, dbx.provenance)
        for c in blacklist
    )
    image = read_path(kernel, Origin(str(kernel)))
    return Ring(gather([image, Material(tuple(keys), revocations=hashes)]))


def _unpacks(config: str) -> Compression | None:
    """How modules are compressed that a kernel unpacks itself, as /sys/module/compression says."""
    if "CONFIG_MODULE_DECOMPRESS=y" not in config:
        return None
    return next(each for each in COMPRESSIONS if f"CONFIG_MODULE_COMPRESS_{each.upper()}=y" in config)


def small(folder: Path) -> Judge:
    """The kernel that :mod:`tests.oracle.build` left in ``folder``; it loads no module of another one."""
    kernel = folder / build.IMAGE
    image = read_image(kernel.read_bytes())
    assert image is not None and image.config is not None
    built = configs.apply(for_release(image.release), configs.parse(image.config))
    ring = Ring(read_path(kernel, Origin(str(kernel))))
    return Judge(image.release, built.profile, ring, [*algorithms(build.trusted(folder))], Machine(kernel))


# --------------------------------------------------------------------------- the comparison


def _named(content: bytes) -> Evidence:
    return replace(evidence.read(content), path=f"{SAMPLE}.ko")


def differ(case: Case, foretold: Prediction, answer: Answer) -> Iterator[str]:
    """In words, each difference between the prediction and the answer."""
    expected = foretold.errno if not foretold.accepted or case.loads else "ENOEXEC"
    if answer.errno != expected:
        yield f"errno {answer.errno}, predicted {expected} ({foretold.reason})"
    if answer.taint is not None and answer.taint != (foretold.taint or ""):
        yield f"taint {answer.taint!r}, predicted {foretold.taint!r}"
    patterns = [_pattern(line) for line in foretold.log]
    for line, pattern in zip(foretold.log, patterns, strict=True):
        if not RARE.match(line) and not any(pattern.fullmatch(said) for said in answer.log):
            yield f"the line {line!r} is missing in {answer.log}"
    for said in answer.log:
        if SPOKEN.match(said) and not any(pattern.fullmatch(said) for pattern in patterns):
            yield f"the line {said!r} was not predicted"


def _pattern(line: str) -> re.Pattern[str]:
    """The pattern of a predicted line: the kernel's own numbers are left open in it."""
    text = re.escape(line).replace(r"\[\.\.\]", r"\[[^\]]*\]")
    return re.compile(re.sub(r"\bN\b", r"\\d+", text))


def table(judges: Sequence[Judge]) -> Iterator[str]:
    """The answers as a table in Markdown: a case in each row, for each kernel its three errnos."""
    heads = [judge.release for judge in judges]
    yield "| case | " + " | ".join(heads) + " |"
    yield "|---" * (len(heads) + 1) + "|"
    rows: dict[str, list[str]] = {}
    for judge in judges:
        for number, case in enumerate(judge.cases):
            errnos = [judge.answer(number, mode) for mode in machine.MODES]
            rows.setdefault(case.name, []).append(", ".join(_word(answer) for answer in errnos))
    for name, cells in rows.items():
        yield f"| {name} | " + " | ".join(cells) + " |"


def _word(answer: Answer) -> str:
    return answer.errno or ("loads, " + answer.taint if answer.taint else "loads")
