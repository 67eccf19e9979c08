"""One run: a kernel booted with an initramfs, and the report that its first program wrote."""

from __future__ import annotations

import errno
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.oracle import firmware, initramfs
from tests.support.tools import need

MODES = ("permissive", "lockdown", "enforcing")
"""In this order: a running kernel can be made stricter, and never laxer. Lockdown stays on when enforcing."""

TIMEOUT = 150
COMMAND_LINE = "console=ttyS0 quiet loglevel=1 panic=-1 reboot=t edd=off"
COMPRESSED = ".compressed"
"""How the names of cases end that the kernel itself is to unpack."""


class BootFailed(Exception):
    """The kernel did not come up, or its report is not whole."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What finit_module() gave for one case in one mode: its errno by name (None: loaded), the log since,
    and the taint letters of the module, where it was loaded."""

    errno: str | None
    log: tuple[str, ...]
    taint: str | None


@dataclass
class Report:
    """Everything that one boot reported. ``answers`` are by mode, then by case; ``keys`` are lines of
    /proc/keys, ``boot`` lines of the log about certificates, ``seconds`` how long it took."""

    release: str = ""
    compression: str = ""
    seconds: float = 0.0
    boot: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    before: dict[str, int] = field(default_factory=dict)
    modes: dict[str, tuple[str, str]] = field(default_factory=dict)
    answers: dict[str, dict[str, Answer]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Machine:
    """What is booted. ``db`` are certificates in DER; ``dbx`` signature lists; without either there is no
    firmware, and the kernel is started directly. ``before``: modules that are loaded first."""

    kernel: Path
    db: Sequence[bytes] = ()
    dbx: bytes = b""
    before: Mapping[str, bytes] = field(default_factory=dict)


def run(machine: Machine, cases: Mapping[str, bytes], folder: Path, modes: Sequence[str] = MODES) -> Report:
    """Boot and ask about every case in each mode. Raises BootFailed; skips where QEMU is missing."""
    command = [need("qemu-system-x86_64"), *_hardware(machine, folder)]
    size = sum(map(len, cases.values()))
    (folder / "initrd").write_bytes(initramfs.build(cases, machine.before, " ".join(modes)))
    command += ["-m", str(512 + 4 * (size >> 20)), "-initrd", str(folder / "initrd")]
    command += ["-serial", f"file:{folder / 'console'}", "-serial", f"file:{folder / 'report'}"]
    command += ["-kernel", str(machine.kernel), "-append", COMMAND_LINE]
    begun = time.monotonic()
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        raise BootFailed(f"no answer within {TIMEOUT} s: {_tail(folder)}") from None
    if done.returncode:
        raise BootFailed(done.stderr.decode(errors="replace"))
    report = parse((folder / "report").read_text(errors="surrogateescape"))
    if report is None:
        raise BootFailed(f"the report is not whole: {_tail(folder)}")
    report.seconds = time.monotonic() - begun
    return report


def _hardware(machine: Machine, folder: Path) -> Iterator[str]:
    yield from (
        "-machine",
        "pc",
        "-accel",
        "tcg",
        "-cpu",
        "max",
        "-nodefaults",
        "-display",
        "none",
        "-no-reboot",
    )
    if not machine.db and not machine.dbx:
        return
    found = firmware.find()
    store = folder / "variables"
    store.write_bytes(firmware.store(found.variables.read_bytes(), machine.db, machine.dbx))
    flash = "if=pflash,format=raw,unit="
    yield from ("-drive", f"{flash}0,readonly=on,file={found.code}", "-drive", f"{flash}1,file={store}")


def _tail(folder: Path) -> str:
    """The end of what the guest printed."""
    said = [
        p.read_text(errors="replace")[-1500:] for p in (folder / "console", folder / "report") if p.exists()
    ]
    return "\n".join(said)


# --------------------------------------------------------------------------- the report


def parse(text: str) -> Report | None:
    """The report in ``text``; None where its last line or any other is missing."""
    _, begun, text = text.replace("\r", "").partition("\nbegin\n")
    lines = text.split("\n")
    end = next((i for i, line in enumerate(lines) if line.startswith("end\t")), None)
    if not begun or end is None:
        return None
    body = lines[:end]
    total = sum(sum(line.encode(errors="surrogateescape")) + 10 for line in body)
    if lines[end].split("\t")[1:] != [str(len(body)), str(total)]:
        return None
    return _Reader().read(body)


class _Reader:
    """Lines of the report, one after the other; a line of a case belongs to the last "answer"."""

    def __init__(self) -> None:
        self.report = Report()
        self.mode = self.case = ""

    def read(self, lines: Sequence[str]) -> Report:
        for line in lines:
            word, *fields = line.split("\t")
            getattr(self, f"_{word}")(*fields)
        return self.report

    def _release(self, text: str = "") -> None:
        self.report.release = text

    def _compression(self, text: str = "") -> None:
        self.report.compression = text

    def _boot(self, *text: str) -> None:
        self.report.boot.append("\t".join(text))

    def _before(self, name: str, number: str) -> None:
        self.report.before[name] = int(number)

    def _key(self, *text: str) -> None:
        self.report.keys.append("\t".join(text))

    def _mode(self, name: str, locked: str, enforced: str) -> None:
        self.mode = name
        self.report.modes[name] = (locked, enforced)
        self.report.answers[name] = {}

    def _answer(self, case: str, number: str) -> None:
        self.case = case
        name = errno.errorcode.get(int(number), number) if int(number) else None
        self._replace(Answer(name, (), None))

    def _log(self, *text: str) -> None:
        answer = self.report.answers[self.mode][self.case]
        self._replace(Answer(answer.errno, (*answer.log, "\t".join(text)), answer.taint))

    def _loaded(self, module: str, taint: str, stuck: str) -> None:
        if int(stuck):
            raise BootFailed(f"{module} of {self.case} could not be removed again: errno {stuck}")
        answer = self.report.answers[self.mode][self.case]
        self._replace(Answer(answer.errno, answer.log, taint))

    def _replace(self, answer: Answer) -> None:
        self.report.answers[self.mode][self.case] = answer
