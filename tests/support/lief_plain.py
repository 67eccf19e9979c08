"""What LIEF does when it is used plainly: ``python lief_plain.py JOB IN OUT``, in a process of its own.

Jobs: ``parse`` and write, ``add`` a section ``.module_sig`` of alignment 16, ``remove`` the section ``sig``.
``count`` takes a list of modules as IN and writes to OUT in how many ``add`` changes relocations.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

from tests.support.cli import environment

PAYLOAD = b"P" * 523


def edit(job: str, content: bytes) -> bytes:
    """Plain parse, edit and write, as LIEF's documentation shows it."""
    import lief

    lief.logging.disable()
    binary = lief.ELF.parse(content)
    assert isinstance(binary, lief.ELF.Binary)
    if job == "add":
        section = lief.ELF.Section(".module_sig", lief.ELF.Section.TYPE.PROGBITS)
        section.content = list(PAYLOAD)
        section.alignment = 16
        assert binary.add(section, False, lief.ELF.Binary.SEC_INSERT_POS.POST_SECTION) is not None
    if job == "remove":
        unwanted = binary.get_section("sig")
        assert unwanted is not None
        binary.remove(unwanted)
    return binary.write_to_bytes()


def changes_relocations(content: bytes) -> bool:
    """Whether adding a section alters what is in any relocation section."""
    from elfsig.elf.table import SHT_REL, SHT_RELA, ElfTable

    before, after = ElfTable(content), ElfTable(edit("add", content))
    sections = (s.nr for s in before.sections if s.row.type in (SHT_REL, SHT_RELA))
    return any(before.content(nr) != after.content(nr) for nr in sections)


def run(job: str, content: bytes, directory: Path) -> bytes:
    """:func:`edit` in a child process; AssertionError says how that died."""
    given, made = directory / "in.ko", directory / "out.ko"
    given.write_bytes(content)
    command = [sys.executable, __file__, job, str(given), str(made)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment())
    assert done.returncode == 0, done.stderr
    return made.read_bytes()


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
    given, made = Path(sys.argv[2]), Path(sys.argv[3])
    if sys.argv[1] == "count":
        modules = given.read_text().splitlines()
        made.write_text(str(sum(changes_relocations(Path(name).read_bytes()) for name in modules)))
    else:
        made.write_bytes(edit(sys.argv[1], given.read_bytes()))
