"""Steps of the kernels that look for a signature in an ELF section, 2003 to 2012: up to its own bytes.

In the order of module_verify() and module_verify_signature() (kernel/module-verify*.c of the RHEL, Fedora
and Oracle trees), and of module_check_sig() (kernel/module-sig.c of Greg Kroah-Hartman's tree of October
2003). What follows is in :mod:`elfsig.kernels.section_era.walk_ksign`.
"""

from __future__ import annotations

from elfsig.kernels.section_era.elf_checks import finding
from elfsig.kernels.walk import Accept, Case, Said, Step, Stop, Went
from elfsig.kernels.walk_trailer import compressed
from elfsig.model import Place


def is_elf(case: Case) -> Said:
    """Only an ELF file gets to the signature check of these kernels."""
    if case.image.is_elf:
        return Went("it is an ELF file")
    return Stop("ENOEXEC", "not-elf", "it is not an ELF file, and is refused before the signature check")


def elf_checks(case: Case) -> Said:
    """The structure, in all modes: a signature on a malformed file could not be computed safely."""
    profile = case.profile
    assert profile.elf is not None
    content: bytes = case.found.get("content") or case.image.bytes()
    found = finding(content, profile.elf)
    if found is None:
        return Went("the ELF structure passes this kernel's checks")
    log = () if profile.elf_line is None else (found.log(profile.elf_line),)
    return Stop("ELIBBAD", "elf", f"the ELF structure fails this kernel's checks: {found.text}", log)


def find(case: Case) -> Said:
    """The one section that this kernel looks for, by name and type."""
    carrier = next(c for c in case.registry.carriers if c.id == case.profile.look.carrier)
    places = carrier.find(case.image)
    name = carrier.short_name
    if not places:
        text = f"it has no section {name}: for this kernel it has no signature"
        return Stop(case.profile.unsigned, "unsigned", text + _others(case, carrier.id))
    case.place = places[0]
    more = f"; {len(places) - 1} more of that name are ignored" if len(places) > 1 else ""
    if places[0].fault is None:
        return Went(f"section [{places[0].index}] {name}, {len(places[0].blob)} bytes{more}")
    return _faulty(case, places[0])


def _faulty(case: Case, place: Place) -> Said:
    assert place.fault is not None
    if place.kind == "note":
        return Stop("ELIBBAD", "note-damaged", f"the note is not as it must be: {place.fault.text}")
    if not case.profile.packets.checks_section:
        return Went(f"the section cannot be read ({place.fault.text})")
    return Stop(case.profile.packets.damaged, "signature-damaged", place.fault.text)


def _others(case: Case, carrier: str) -> str:
    """What else of signatures there is, which this kernel does not look at."""
    found = [f for f in case.module.places if f.place.carrier != carrier]
    texts = dict.fromkeys(
        f.place.section or f"{f.claimants[0].id if f.claimants else ''} trailer".strip() for f in found
    )
    return f" (it has {', '.join(texts)}, which this kernel does not check)" if texts else ""


# --------------------------------------------------------------------------- the tree of 2003


def never_compared(case: Case) -> Said:
    """The check of this tree ends when the key is loaded: nothing is ever compared."""
    return Accept("this tree computes a digest, loads its key, and compares nothing: every module passes")


GKH_2003 = (
    Step("unpacking", compressed),
    Step("ELF file", is_elf),
    Step("signature section", find),
    Step("signature", never_compared),
)
