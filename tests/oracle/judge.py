"""The matrix run by a kernel: what elfsig predicts, what the kernel answers, and where they differ."""

from __future__ import annotations

import hashlib
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
from tests.oracle import build, firmware, machine
from tests.oracle.cases import Case, algorithms, as_given, file_name, matrix, revoked, revoked_file, trusted
from tests.oracle.compare import Difference, differ, of_prediction, word
from tests.oracle.kernel import COMPRESSIONS, HASHES, SAMPLE, Kernel
from tests.oracle.machine import Machine
from tests.oracle.report import Answer, Report
from tests.support.kernels import Unpacked
from tests.support.opened import opened

MODES: Mapping[str, Mode] = {
    "permissive": Mode(),
    "lockdown": Mode(lockdown=True),
    "enforcing": Mode(enforcing=True, lockdown=True),
}


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
        files = {self._name(n): as_given(case, self.unpacks) for n, case in enumerate(self.cases)}
        with tempfile.TemporaryDirectory(prefix="oracle") as folder:
            return machine.run(self.machine, files, Path(folder))

    def _name(self, number: int) -> str:
        return file_name(number, self.cases[number], self.unpacks)

    # ----------------------------------------------------------------------- both sides

    def predicted(self, case: Case, mode: str) -> Prediction:
        subject = Subject(opened(_named(case.content)), self.ring, self.profile)
        return predict(subject, MODES[mode])

    def answer(self, number: int, mode: str) -> Answer:
        return self.report.answers[mode][self._name(number)]

    def differences(self) -> Iterator[Difference]:
        """Where the kernel did not answer as predicted, and where it holds other keys."""
        yield from (Difference("keys", "boot", text) for text in self.keys_differ())
        for number, case in enumerate(self.cases):
            for mode in machine.MODES:
                expected = of_prediction(self.predicted(case, mode)).unless(case.loads)
                for text in differ(expected, self.answer(number, mode)):
                    yield Difference(case.name, mode, text)

    @property
    def summary(self) -> str:
        """What was asked, in words."""
        return f"{len(self.cases)} files; {len(self.report.modes)} modes; {self.report.seconds:.0f} s"

    def column(self) -> dict[str, str]:
        """For each case its three answers in words."""
        return {
            case.name: ", ".join(word(self.answer(number, mode)) for mode in machine.MODES)
            for number, case in enumerate(self.cases)
        }

    def keys_differ(self) -> Iterator[str]:
        """Certificates that the kernel holds, and should not, or the other way round."""
        keys = KernelKeys(self.ring, self.profile)
        rings = frozenset().union(*self.profile.trust.rings)
        held = "\n".join(self.report.keys)
        for key in self.ring.keys:
            if key.revoked or key.certificate is None or key.certificate.skid is None:
                continue
            if not key.vouched:
                continue
            there = key.certificate.skid.hex() in held
            expected = key not in keys.refused and keys.ring_of(key) in rings
            if there != expected:
                yield f"{key.label}: loaded {there}, predicted {expected} ({keys.refused.get(key)})"


# --------------------------------------------------------------------------- which kernels


def debian(package: Unpacked) -> Judge:
    """A kernel of Debian's with the certificates of the matrix in UEFI's db, and some things in dbx.

    Where only its image is there, a module of another kernel is asked about: it can pass the signature check
    and cannot load, and algorithms that are modules are missing.
    """
    kernel = Kernel(package)
    cases = [Case("as Debian ships it", kernel.shipped.raw, unpack=kernel.shipped.compression)]
    cases += matrix(kernel.base)
    if not kernel.whole:
        cases = [case._replace(loads=False) for case in cases[1:]]
    blacklist = [revoked_file(kernel.base), kernel.base + b"revoked"]
    db = [who.certificate for who in trusted()]
    booted = Machine(kernel.image, db, _dbx(blacklist), kernel.needed(*HASHES))
    ring = _ring(kernel.image, blacklist)
    profile = configs.apply(for_release(kernel.release), kernel.options).profile
    unpacks = kernel.unpacks
    if not kernel.whole:
        crypto = replace(profile.crypto, absent=profile.crypto.absent | profile.crypto.late)
        profile, unpacks = replace(profile, crypto=crypto), _only(profile.unpacks)
    return Judge(kernel.release, profile, ring, cases, booted, unpacks)


def _only(formats: frozenset[str]) -> Compression | None:
    """The format that a kernel of Debian's unpacks itself, by its profile; the guest confirms it."""
    return next((each for each in COMPRESSIONS if each in formats), None)


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


def small(folder: Path) -> Judge:
    """The kernel that :mod:`tests.oracle.build` left in ``folder``; it loads no module of another one."""
    kernel = folder / build.IMAGE
    image = read_image(kernel.read_bytes())
    assert image is not None and image.config is not None
    built = configs.apply(for_release(image.release), configs.parse(image.config))
    ring = Ring(read_path(kernel, Origin(str(kernel))))
    return Judge(image.release, built.profile, ring, [*algorithms(build.trusted(folder))], Machine(kernel))


def _named(content: bytes) -> Evidence:
    return replace(evidence.read(content), path=f"{SAMPLE}.ko")
