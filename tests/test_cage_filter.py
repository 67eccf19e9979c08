"""The filter of system calls, run by an interpreter of classic BPF; its numbers beside the kernel's."""

from __future__ import annotations

import os
import re
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from elfsig.cage.seccomp import ALLOW, ERRNO, KILL, MACHINES, Machine, Step, program, steps, this_machine
from elfsig.cage.system_calls import COLUMNS, CONDITIONAL, FORBIDDEN, HARMLESS, numbers
from tests.support.tools import need

PID = 4711


def answer(
    machine: Machine, number: int, arguments: Sequence[int] = (), audit: int | None = None, pid: int = PID
) -> int:
    """What the filter of ``machine`` says of a call: the kernel's interpreter in twenty lines."""
    order = "<" if machine.order == "little" else ">"
    padded = [*arguments, *(0,) * (6 - len(arguments))]
    data = struct.pack(f"{order}IIQ6Q", number, machine.audit if audit is None else audit, 0, *padded)
    code: Sequence[Step] = steps(machine, pid)
    at = accumulator = 0
    while True:
        step = code[at]
        at += 1
        if step.code == 0x20:
            accumulator = struct.unpack_from(f"{order}I", data, step.value)[0]
        elif step.code == 0x15:
            at += step.true if accumulator == step.value else step.false
        elif step.code == 0x45:
            at += step.true if accumulator & step.value else step.false
        else:
            assert step.code == 0x06
            return step.value


everywhere = pytest.mark.parametrize("name", MACHINES)


def calls(machine: Machine) -> dict[str, int]:
    return {
        name: number
        for table in (HARMLESS, CONDITIONAL, FORBIDDEN)
        for name, number in numbers(table, machine.column).items()
    }


@everywhere
def test_every_call_is_answered_by_its_table(name: str) -> None:
    machine = MACHINES[name]
    for number in numbers(HARMLESS, machine.column).values():
        assert answer(machine, number) == ALLOW
    for number in numbers(FORBIDDEN, machine.column).values():
        assert answer(machine, number) == KILL
    known = set(calls(machine).values())
    assert all(answer(machine, n) == ERRNO | 38 for n in range(1000) if n not in known)


@everywhere
def test_conditions(name: str) -> None:
    machine = MACHINES[name]
    number = calls(machine)
    opening = [("openat", 2), *([("open", 1)] if "open" in number else [])]
    for call, at in opening:
        for flags in (os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_TRUNC, os.O_APPEND, os.O_RDWR | os.O_CLOEXEC):
            assert answer(machine, number[call], [0] * at + [flags]) == KILL
        for flags in (0, os.O_CLOEXEC, os.O_PATH, os.O_NONBLOCK, os.O_NOFOLLOW):
            assert answer(machine, number[call], [0] * at + [flags]) == ALLOW
    thread, process = 0x3D0F00, 0x1200011
    flags_first = [[thread], [process]] if machine.column != "s390x" else [[0, thread], [0, process]]
    assert [answer(machine, number["clone"], each) for each in flags_first] == [ALLOW, KILL]
    assert answer(machine, number["prlimit64"], [0, 9, 0, 1 << 40]) == ALLOW
    assert answer(machine, number["prlimit64"], [0, 9, 1 << 40, 0]) == KILL
    assert answer(machine, number["prlimit64"], [0, 9, 5, 0]) == KILL
    for call in ("kill", "tgkill"):
        assert answer(machine, number[call], [PID, 9]) == ALLOW
        assert {answer(machine, number[call], [p, 9]) for p in (0, 1, 2**32 - 1)} == {KILL}
    assert answer(machine, number["fcntl"], [3, 2, 1]) == ALLOW
    assert answer(machine, number["fcntl"], [3, 8, 1]) == ERRNO | 1
    assert answer(machine, number["ioctl"], [0, 0x5412]) == ERRNO | 25


@everywhere
def test_calls_of_another_machine_end_the_process(name: str) -> None:
    for other in MACHINES.values():
        if other.audit != MACHINES[name].audit:
            assert answer(MACHINES[name], numbers(HARMLESS, other.column)["read"], audit=other.audit) == KILL
    assert answer(MACHINES["x86_64"], 0x40000000 | 0) == KILL


@everywhere
def test_no_number_stands_twice(name: str) -> None:
    found = list(calls(MACHINES[name]).values())
    assert len(found) == len(set(found)) > 90


def test_instructions_are_eight_bytes_in_this_machine_s_order() -> None:
    machine = MACHINES["x86_64"]
    packed = program(machine, PID)
    assert [Step(c, v, t, f) for c, t, f, v in struct.iter_unpack("=HBBI", packed)] == steps(machine, PID)
    assert len(packed) // 8 < 4096


HEADERS = {
    "x86_64": ("linux-libc-dev", ()),
    "generic": ("linux-libc-dev-arm64", ()),
    "ppc64": ("linux-libc-dev-ppc64el", ("-D__powerpc64__",)),
    "s390x": ("linux-libc-dev-s390x", ("-D__s390x__",)),
}
"""Debian's linux-libc-dev and its cross packages, and what their headers want to have defined."""


@pytest.mark.parametrize("column", COLUMNS)
def test_numbers_are_those_of_the_kernel_s_headers(column: str) -> None:
    headers, defined = HEADERS[column]
    folder = Path(need(headers)).parents[1]
    machine = next(each for each in MACHINES.values() if each.column == column)
    mine = calls(machine)
    source = "#include <asm/unistd.h>\n" + "".join(f"= {name} __NR_{name}\n" for name in mine)
    plain = () if column == "x86_64" else ("-U__x86_64__", "-nostdinc")
    done = subprocess.run(
        ["gcc", "-E", "-P", *plain, *defined, "-I", str(folder), "-I", "/usr/include", "-"],
        input=source, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    theirs = dict(re.findall(r"^= (\w+) (.*)$", done.stdout, re.MULTILINE))
    odd = {name: (number, theirs[name]) for name, number in mine.items() if theirs[name] != str(number)}
    assert not odd


def test_this_machine_is_known_by_its_name() -> None:
    assert this_machine() == MACHINES.get(os.uname().machine)
