"""A machine with real Secure Boot, booted in an emulator: a kernel judges modules, and elfsig runs in it.

One of the five states of the machine in every run, two with ELFSIG_SLOW=1, as each boot takes minutes;
``python -m tests.oracle secure-boot`` asks four kernels in all.
"""

from __future__ import annotations

import os

import pytest

from tests.oracle.kernel import Kernel
from tests.oracle.secure_boot import SecureJudge
from tests.oracle.secure_keys import STATES
from tests.support.bootable import BOOTABLE, bootable
from tests.support.notes import Note
from tests.support.tools import need

pytestmark = pytest.mark.booted

KERNEL = "6.1"
ANSWERS = {
    # whether the kernel is locked down and enforces; some of its answers
    "trusted": ("integrity", True, {
        "as shipped, unpacked": "loads", "not signed": "EKEYREJECTED", "signed by mok": "loads",
        "signed by db": "loads", "signed by stranger": "EKEYREJECTED", "signed by mok_dbx": "loads",
        "mok, value damaged": "EKEYREJECTED", "SHA-256 of the whole file in MokListX": "EKEYREJECTED",
    }),
    "no-validation": ("none", False, {
        "as shipped, unpacked": "loads", "not signed": "loads, E", "signed by mok": "loads, E",
        "signed by db": "loads", "signed by stranger": "loads, E", "mok, value damaged": "loads, E",
        "SHA-256 of the whole file in MokListX": "loads, E",
    }),
}  # fmt: skip


@pytest.mark.parametrize("state", ANSWERS)
def test_kernel_and_elfsig_agree_under_secure_boot(state: str, note: Note) -> None:
    if state != "trusted" and not os.environ.get("ELFSIG_SLOW"):
        pytest.skip("opt-in: boots this machine once more; set ELFSIG_SLOW=1")
    package = bootable(KERNEL)
    if package is None:
        wanted = BOOTABLE[KERNEL].pattern
        pytest.skip(f"gone: {wanted} is not available, or was not fetched (python -m tests.setup)")
    for tool in ("qemu-system-x86_64", "perl", "ldd"):
        need(tool)
    judge = SecureJudge(Kernel(package), STATES[state])
    locked, enforces, answers = ANSWERS[state]
    column = judge.column()
    assert (judge.locked, judge.enforces) == (locked, enforces)
    assert {name: column[name] for name in answers} == answers
    assert len(judge.inside()) == len(judge.facts()) == len(judge.cases) >= 66
    assert [str(each) for each in judge.differences()] == []
    note(f"{package.release} under Secure Boot, {state}: {judge.summary}")
