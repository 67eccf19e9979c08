"""``python -m tests.oracle``: boot real kernels, and print what they answered and where elfsig erred.

    python -m tests.oracle debian [NAME...]        every Debian kernel that the mirror has (or those named)
    python -m tests.oracle secure-boot [--state STATE]... [--outside] [NAME...]
                                                   the same under real Secure Boot: shim, machine owner keys
    python -m tests.oracle enrol [NAME...]         enrol a machine owner key: mokutil, MokManager, and after
    python -m tests.oracle rhel6                   a kernel of RHEL 6, the path in ELFSIG_RHEL6_KERNEL
    python -m tests.oracle small                   the kernel that tests.oracle.build built

Debian's kernels are fetched into the cache (ELFSIG_CACHE). Exit code: 0 if every answer was predicted, 1 if
one was not, 2 if a machine did not come up.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from typing import Protocol

from tests.oracle import build
from tests.oracle.compare import Difference, table
from tests.oracle.enrol import Enrolment
from tests.oracle.judge import debian, small
from tests.oracle.kernel import Kernel
from tests.oracle.report import BootFailed
from tests.oracle.rhel6 import Rhel6Judge, kernel
from tests.oracle.secure_boot import SecureJudge
from tests.oracle.secure_keys import CODE_SIGNING, SIGNS, STATES
from tests.support import ksign_files
from tests.support.bootable import ALWAYS, BOOTABLE, fetch_boot_chain, fetch_bootable
from tests.support.cms import issued, private
from tests.support.kernels import FetchError, Unpacked

SECURE = ("6.1", "6.12", "7.2", "7.3")
"""Kernels that Secure Boot is asked of, where none are named."""


def _kernels(names: Iterable[str]) -> Iterator[Unpacked]:
    """The kernels that are there, each once; what is gone is said."""
    seen = set()
    for name in names:
        try:
            package = fetch_bootable(name)
        except FetchError as reason:
            print(f"{name}: gone: {reason}", file=sys.stderr)
            continue
        if package.root not in seen:
            seen.add(package.root)
            yield package


class Asked(Protocol):
    """A judge: it boots its machine when it is first asked for answers, which may raise BootFailed."""

    @property
    def summary(self) -> str: ...

    def column(self) -> dict[str, str]: ...

    def differences(self) -> Iterator[Difference]: ...


def _judges(options: argparse.Namespace) -> Iterator[tuple[str, Asked]]:
    """The judges of a command, by name."""
    if options.verb == "small":
        built = small(build.folder())
        yield built.release, built
    elif options.verb == "rhel6":
        old = Rhel6Judge(kernel(), ksign_files.files(), ksign_files.ring())
        yield old.release, old
    elif options.verb == "debian":
        for package in _kernels(options.names or [*BOOTABLE]):
            found = debian(package)
            yield found.release, found
    else:
        fetch_boot_chain()
        for package in _kernels(options.names or [*SECURE]):
            for state in options.state or STATES:
                judge = SecureJudge(Kernel(package), STATES[state], not options.outside)
                yield f"{judge.kernel.release} {state}", judge


def ask(judges: Iterable[tuple[str, Asked]]) -> int:
    """Boot each machine, print the table and the differences; the exit code."""
    columns: dict[str, dict[str, str]] = {}
    wrong = failed = 0
    for name, judge in judges:
        try:
            columns[name] = judge.column()
        except BootFailed as reason:
            failed += 1
            print(f"{name}: did not come up: {reason}", file=sys.stderr)
            continue
        differences = [*judge.differences()]
        wrong += len(differences)
        for each in differences:
            print(f"{name}: {each}", file=sys.stderr)
        print(f"{name}: {judge.summary}; {len(differences)} differences", file=sys.stderr, flush=True)
    print(*table(columns), sep="\n")
    return 2 if failed else int(bool(wrong))


def enrol(names: Iterable[str]) -> int:
    """Enrol a key on a machine with each kernel, and print what was said; 0 if the module loads after it."""
    fetch_boot_chain()
    wrong = 0
    for package in _kernels(names):
        who = issued(
            private("rsa", 99), "a machine owner's key", ca=False, usage=SIGNS, purposes=[CODE_SIGNING]
        )
        done = Enrolment(Kernel(package), who)
        before, after = done.answers()
        wrong += (before, after) != ("EKEYREJECTED", None)
        print(f"{package.release}: before {before}, after {after or 'loads'}")
        for report, fact in zip(done.result, done.facts(), strict=True):
            for command in report.commands[:-1]:
                print(f"  {' '.join(command.words)}: {command.code} {' '.join(command.out[:1])}")
            print(f"  elfsig: its key: {fact['key']}; next: {fact['next']}: {fact['command']}")
    return int(bool(wrong))


def main() -> int:
    """Run the command that was named; its exit code."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m tests.oracle", description=__doc__, formatter_class=form)
    verbs = parser.add_subparsers(dest="verb", required=True)
    kernels = verbs.add_parser("debian", help="Debian's kernels, in three modes")
    secure = verbs.add_parser("secure-boot", help="Debian's kernels under Secure Boot")
    enrolling = verbs.add_parser("enrol", help="enrol a machine owner key as users do; three boots")
    for each in (kernels, secure, enrolling):
        each.add_argument("names", nargs="*", choices=[[], *BOOTABLE], metavar="NAME")
    secure.add_argument("--state", action="append", choices=list(STATES), help="repeatable; default: all")
    secure.add_argument("--outside", action="store_true", help="do not run elfsig in the machine")
    verbs.add_parser("rhel6", help="a kernel of RHEL 6 and files signed in its era")
    verbs.add_parser("small", help="the kernel with every algorithm, see tests.oracle.build")
    options = parser.parse_args()
    return enrol(options.names or ALWAYS) if options.verb == "enrol" else ask(_judges(options))


if __name__ == "__main__":
    sys.exit(main())
