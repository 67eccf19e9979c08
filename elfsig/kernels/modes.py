"""The mode that a kernel command line, GRUB's configuration or a boot log describes.

The parameters: ``module.sig_enforce`` (kernel/module.c), ``enforcemodulesig`` (2004 to 2012), ``lockdown=``
(security/lockdown), ``fips=1`` (crypto/fips.c).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from elfsig.kernels.config import merged
from elfsig.kernels.profile import Mode

_WORDS: Mapping[str, Mode] = {
    r"module\.sig_enforce(?:=(?:1|y|Y|on))?": Mode(enforcing=True),
    r"enforcemodulesig(?:=\S*)?": Mode(enforcing=True),
    r"lockdown=(?:integrity|confidentiality)": Mode(lockdown=True),
    r"fips=1": Mode(fips=True),
}
_LOGGED: Mapping[str, Mode] = {
    r"Kernel is locked down from": Mode(lockdown=True),
    r"Kernel is locked down from EFI Secure Boot": Mode(secure_boot=True),
    r"(?:integrity|ima): secureboot mode enabled": Mode(secure_boot=True),
    r"secureboot: Secure boot enabled": Mode(secure_boot=True),
    r"fips mode: enabled": Mode(fips=True),
}
"""security/lockdown, security/integrity (its prefix was "ima:" before 7.1), distributions' efi/secureboot.c,
crypto/fips.c."""
_COMMAND_LINE = re.compile(r"[Cc]ommand line: (.*)")
# [^\S\n]: blanks within a line. With \s every line of many empty ones would be looked at from each before it.
_ENTRY = re.compile(r"^[^\S\n]*(?:menuentry|title)\b", re.MULTILINE)
_BOOTS = re.compile(
    r"^[^\S\n]*(?:kernel|linux|linux16|linuxefi|options|GRUB_CMDLINE_LINUX(?:_DEFAULT)?=)(.*)", re.MULTILINE
)
_DEFAULT = re.compile(r"^[^\S\n]*default[= ](\d{1,9})[^\S\n]*$", re.MULTILINE)
_COMMENT = re.compile(r"^[^\S\n]*#.*$", re.MULTILINE)


def words_of(command_line: str) -> Mode:
    """The modes that one kernel command line switches on. Only whole parameters count."""
    words = command_line.replace('"', " ").replace("'", " ").split()
    found = [mode for word in words for rule, mode in _WORDS.items() if re.fullmatch(rule, word)]
    return merged(found)


def from_text(text: str) -> Mode:
    """The modes in a command line, a boot log (dmesg), or GRUB's configuration (its default entry)."""
    logged = _COMMAND_LINE.search(text)
    if logged:
        return merged(
            [words_of(logged[1]), *(mode for line, mode in _LOGGED.items() if re.search(line, text))]
        )
    lines = list(_grub_lines(text))
    return merged([words_of(line) for line in lines] if lines else [words_of(text)])


def _grub_lines(text: str) -> Iterator[str]:
    """The command lines of GRUB's default entry; of a fragment without entries, all."""
    text = _COMMENT.sub("", text)
    starts = [m.start() for m in _ENTRY.finditer(text)]
    if starts:
        chosen = _DEFAULT.search(text)
        number = min(int(chosen[1]) if chosen else 0, len(starts) - 1)
        text = text[starts[number] : [*starts, len(text)][number + 1]]
    yield from (m[1] for m in _BOOTS.finditer(text))
