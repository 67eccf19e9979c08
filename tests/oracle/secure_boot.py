"""A kernel under real Secure Boot as judge: of predictions made outside, and of elfsig inside the machine."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from elfsig.host.firmware import WORDS
from tests.oracle import firmware, initramfs, inside
from tests.oracle.cases import Case, as_given, file_name
from tests.oracle.compare import Difference, differ, of_json, word
from tests.oracle.kernel import HASHES, Kernel
from tests.oracle.machine import AS_BOOTED
from tests.oracle.report import Answer, Report
from tests.oracle.secure_cases import Matrix, matrix
from tests.oracle.secure_keys import State, keys, variables
from tests.oracle.secure_machine import SecureMachine
from tests.support.cli import elfsig

SUFFIXES = {None: "", "gzip": ".gz", "xz": ".xz", "zstd": ".zst"}
MOK_RINGS = (".machine", ".platform")
_NUMBER = re.compile(r"c(\d{4})\.ko")


@dataclass(frozen=True)
class SecureJudge:
    """A kernel in one state of its machine. ``asks_inside``: elfsig runs in the guest as well.

    ``report`` boots it, once.
    """

    kernel: Kernel
    state: State
    asks_inside: bool = True

    @cached_property
    def matrix(self) -> Matrix:
        return matrix(self.kernel)

    @property
    def cases(self) -> Sequence[Case]:
        return self.matrix.cases

    @cached_property
    def files(self) -> dict[str, bytes]:
        """What elfsig is asked about, by file name."""
        return {f"c{n:04}.ko{SUFFIXES[case.unpack]}": case.content for n, case in enumerate(self.cases)}

    @cached_property
    def report(self) -> Report:
        """What the kernel answered, and elfsig in it. Raises BootFailed."""
        unpacks = self.kernel.unpacks
        asked = {file_name(n, case, unpacks): as_given(case, unpacks) for n, case in enumerate(self.cases)}
        commands = [inside.explain(self.files)] if self.asks_inside else []
        before = self.kernel.needed("efivarfs", *HASHES)
        archive = initramfs.build(asked, before, [AS_BOOTED], commands)
        if self.asks_inside:
            inside.add_python(archive)
            inside.add_kernel(archive, self.kernel, self.files)
        store = variables(firmware.find(secure=True).variables.read_bytes(), self.state, self.matrix.revoked)
        with tempfile.TemporaryDirectory(prefix="secure-boot") as folder:
            machine = SecureMachine(Path(folder), store)
            machine.prepare(self.kernel, archive, pack=self.asks_inside)
            machine.start()
            return machine.report()

    def answers(self) -> Iterator[tuple[int, Case, Answer]]:
        answers = self.report.answers[AS_BOOTED]
        for number, case in enumerate(self.cases):
            yield number, case, answers[file_name(number, case, self.kernel.unpacks)]

    @property
    def summary(self) -> str:
        """What was asked, in words."""
        enforcing = "enforcing" if self.enforces else "permissive"
        where = "outside and inside" if self.asks_inside else "outside"
        asked = f"{len(self.cases)} files; elfsig {where}"
        return f"{asked}; lockdown {self.locked}, {enforcing}; {self.report.seconds:.0f} s"

    def column(self) -> dict[str, str]:
        """For each case its answer in words."""
        return {case.name: word(answer) for _, case, answer in self.answers()}

    @property
    def locked(self) -> str:
        """The kernel's own word for its lockdown."""
        return self.report.modes[AS_BOOTED][0]

    @property
    def enforces(self) -> bool:
        return self.report.modes[AS_BOOTED][1] == "Y"

    # ----------------------------------------------------------------------- elfsig outside

    def outside(self) -> dict[int, Mapping[str, Any]]:
        """The predictions of ``elfsig explain --secure-boot``, which is given the machine's variables.

        Without Secure Boot the kernel loads no machine owner keys, and the option is not given.
        """
        wanted = ["dbx"] if self.state.ignore_db else ["db", "dbx"]
        wanted += ["MokListRT", "MokListXRT"] if self.state.counts else []
        mode = ["--secure-boot"] if self.state.counts else []
        with tempfile.TemporaryDirectory(prefix="outside") as name:
            folder = Path(name)
            for variable, content in self.report.variables.items():
                (folder / variable).write_bytes(content)
            given = [path for each in wanted for path in folder.glob(f"{each}-*")]
            for file, content in self.files.items():
                (folder / file).write_bytes(content)
            trust = [f"builtin:{self.kernel.image}", *map(str, given)]
            words = [*mode, *(word for source in trust for word in ("--trust", source))]
            paths = [folder / file for file in self.files]
            about = ["--kernel", self.kernel.release, "--config", str(self.kernel.config)]
            ran = elfsig("explain", *about, *words, "--jsonl", *paths)
        assert ran.out, ran.err
        return _by_number(ran.out.splitlines())

    # ----------------------------------------------------------------------- elfsig inside

    @cached_property
    def _said_inside(self) -> Sequence[str]:
        (command,) = self.report.commands
        assert command.out, command.err
        return command.out

    def inside(self) -> dict[int, Mapping[str, Any]]:
        """The predictions of ``elfsig explain --this-machine`` in the guest."""
        return _by_number(self._said_inside)

    def facts(self) -> dict[int, Mapping[str, Any]]:
        """What it showed of the machine, for each module."""
        system = next(json.loads(line)["system"] for line in self._said_inside if '"system"' in line)
        return {int(_NUMBER.search(each["path"])[1]): each for each in system["modules"]}  # type: ignore[index]

    # ----------------------------------------------------------------------- both sides

    def differences(self) -> Iterator[Difference]:
        """Where predictions and facts are not what the kernel answered and showed."""
        sides = {"outside": self.outside()}
        if self.asks_inside:
            sides["inside"] = self.inside()
            yield from self._facts_differ()
        for side, predicted in sides.items():
            for number, case, answer in self.answers():
                if number not in predicted:
                    yield Difference(case.name, side, "there is no prediction")
                    continue
                for text in differ(of_json(predicted[number]), answer):
                    yield Difference(case.name, side, text)

    def _facts_differ(self) -> Iterator[Difference]:
        state = self.state
        expected = WORDS["off" if not state.secure else "validation-off" if not state.counts else "on"]
        facts = self.facts()
        for number, case, _ in self.answers():
            fact = facts[number]
            if fact["secure_boot"] != expected:
                yield Difference(case.name, "fact", f"Secure Boot: {fact['secure_boot']}")
            if fact["lockdown"] != self.locked:
                yield Difference(case.name, "fact", f"lockdown: {fact['lockdown']}, not {self.locked}")
            if fact["enforcing"].startswith("on") != self.enforces:
                yield Difference(case.name, "fact", f"enforcement: {fact['enforcing']}")
            name = case.name.removeprefix("signed by ")
            if name in keys():
                yield from self._key_differs(name, fact["key"])

    def _key_differs(self, name: str, said: str) -> Iterator[Difference]:
        """Whether elfsig says of a key that it is enrolled where the kernel has it, and only there."""
        rings = [ring for ring in MOK_RINGS if self._holds(ring, name)]
        claimed = [ring for ring in MOK_RINGS if f"(keyring {ring[1:]})" in said]
        revoked = "revoked by" in said
        if not revoked and (bool(rings) != bool(claimed) or not set(claimed) <= set(rings)):
            yield Difference(name, "fact", f"its key: {said}; the kernel has it in {rings or 'no keyring'}")

    def _holds(self, ring: str, name: str) -> bool:
        """Whether a keyring has a key, which the kernel describes by its common name and an id."""
        return any(key.startswith(f"{name}: ") for key in self.report.keyrings.get(ring, ()))


def _by_number(lines: Sequence[str]) -> dict[int, Mapping[str, Any]]:
    """The member ``kernel`` of each file in JSON lines, by the number in its name."""
    found: dict[int, Mapping[str, Any]] = {}
    for line in lines:
        each = json.loads(line) if line.startswith("{") else {}
        number = _NUMBER.search(each.get("path") or "")
        if number and each.get("kernel"):
            found[int(number[1])] = each["kernel"]
    return found
