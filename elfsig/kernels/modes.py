"""The mode that a kernel command line, GRUB's configuration or a boot log describes.

Which parameters a kernel reads, and with which values, its profile says (:mod:`elfsig.kernels.mode`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import pairwise

from elfsig.kernels.boot_line import Passed
from elfsig.kernels.mode import BootParameters, Mode, merged

_LOGGED: Mapping[str, Mode] = {
    r"Kernel is locked down from": Mode(lockdown=True),
    r"Kernel is locked down from EFI Secure Boot": Mode(secure_boot=True),
    r"(?:integrity|ima): secureboot mode enabled": Mode(secure_boot=True),
    r"secureboot: Secure boot enabled": Mode(secure_boot=True),
    r"fips mode: enabled": Mode(fips=True),
}
"""security/lockdown, security/integrity (its prefix was "ima:" before 7.1), distributions' efi/secureboot.c,
crypto/fips.c."""
_WHOLE_LINE = re.compile(r"Kernel command line: (.*)")
"""start_kernel() in init/main.c: with what CONFIG_CMDLINE added. x86 logs the other one before."""
_COMMAND_LINE = re.compile(r"[Cc]ommand line: (.*)")
# [^\S\n]: blanks within a line. With \s every line of many empty ones would be looked at from each before it.
_ENTRY = re.compile(r"^[^\S\n]*(?:menuentry|title)\b", re.MULTILINE)
_BOOTS = re.compile(
    r"^[^\S\n]*(kernel|linux|linux16|linuxefi|options|GRUB_CMDLINE_LINUX(?:_DEFAULT)?\+?=)(.*)", re.MULTILINE
)
OTHER_ENTRIES = (
    "entry {} of the boot loader's configuration was read: which one is started is not known, and others"
    " differ"
)
_AS_IT_IS = frozenset({"kernel", "options"})
"""The words of GRUB Legacy and of boot loader entries, whose lines the kernel gets without changes."""
_DEFAULT = re.compile(r"^[^\S\n]*(?:set[^\S\n]+)?default[= ](\"?)(\d{1,9})\1[^\S\n]*$", re.MULTILINE)
_SUBMENU = re.compile(r"^[^\S\n]*submenu\b", re.MULTILINE)
_COMMENT = re.compile(r"^[^\S\n]*#.*$", re.MULTILINE)


def from_text(text: str, boot: BootParameters) -> Mode:
    """The modes in a command line, a boot log (dmesg), or GRUB's configuration (its default entry), for a
    kernel that reads ``boot``."""
    found = passed_by(text)
    return merged([found.logged, *map(boot.mode, found.lines)])


@lru_cache(maxsize=16)
def passed_by(text: str) -> Passed:
    """The command line in such a text, and what a log says besides. It ends at a NUL, as in a device tree."""
    whole = _WHOLE_LINE.search(text)
    if shown := whole or _COMMAND_LINE.search(text):
        logged = merged(mode for line, mode in _LOGGED.items() if re.search(line, text))
        return Passed((shown[1],), whole is not None, logged)
    text = text.partition("\0")[0]
    found = _grub(text)
    return found if found.lines else Passed((text,))


def _grub(text: str) -> Passed:
    """The command lines of GRUB's default entry; of a fragment without entries, all."""
    text = _COMMENT.sub("", text).replace("\\\n", "")
    starts = [m.start() for m in _ENTRY.finditer(text)]
    entries = [text[at:end] for at, end in pairwise([*starts, len(text)])] or [text]
    each = [tuple(_passed_on(m[1], m[2]) for m in _BOOTS.finditer(entry)) for entry in entries]
    chosen = _DEFAULT.search(text)
    number = min(int(chosen[2]) if chosen else 0, len(entries) - 1)
    # GRUB counts a submenu as one entry.
    known = chosen is not None and (not number or _SUBMENU.search(text) is None)
    return Passed(
        each[number], doubt=None if known or len(set(each)) == 1 else OTHER_ENTRIES.format(number + 1)
    )


# --------------------------------------------------------------------------- quotes

_SHELL_WORD = re.compile(r"""(?:'[^']*(?:'|\Z)|"(?:\\.|[^"\\])*(?:"|\Z)|\\.|[^\s'"\\])+""")
_SHELL_PART = re.compile(r"""'([^']*)'?|"((?:\\.|[^"\\])*)"?|\\(.)|([^\s'"\\]+)""")
_ESCAPED = re.compile(r"""\\(["$\\])""")


def _passed_on(keyword: str, line: str) -> str:
    """What the kernel gets of a line: GRUB 2 takes it apart as a shell does, and sh what GRUB is made of."""
    if keyword in _AS_IT_IS:
        return line
    if keyword.endswith("="):
        line = next(_shell_words(line), "")
    return " ".join(map(_loader_quoted, _shell_words(line)))


def _shell_words(line: str) -> Iterator[str]:
    for word in _SHELL_WORD.finditer(line):
        yield "".join(map(_unquoted, _SHELL_PART.finditer(word[0])))


def _unquoted(part: re.Match[str]) -> str:
    single, double, escaped, plain = part.groups("")
    return single + _ESCAPED.sub(r"\1", double) + escaped + plain


def _loader_quoted(word: str) -> str:
    """grub_create_loader_cmdline(): a word with a blank in double quotes, and quotes after a backslash."""
    word = re.sub(r"""([\\'"])""", r"\\\1", word)
    return f'"{word}"' if " " in word else word
