"""How strict a kernel runs, and which parameters of its command line decide about that."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from elfsig.lazy_tuple import NamedTuple


class Mode(NamedTuple):
    """How strict a kernel runs; all False is permissive.

    ``secure_boot``: it was started by UEFI Secure Boot. What follows from that, each profile knows.
    """

    enforcing: bool = False
    lockdown: bool = False
    fips: bool = False
    secure_boot: bool = False

    @property
    def words(self) -> str:
        """Such as "enforcing, FIPS"."""
        named = (
            ("Secure Boot", self.secure_boot), ("enforcing", self.enforcing), ("lockdown", self.lockdown),
            ("FIPS", self.fips),
        )  # fmt: skip
        return ", ".join(word for word, on in named if on) or "permissive"


PERMISSIVE = Mode()


def merged(modes: Iterable[Mode]) -> Mode:
    """Whatever is on in one of them is on."""
    return Mode(*(any(each) for each in zip(PERMISSIVE, *modes, strict=True)))


class BootParameter(NamedTuple):
    """A parameter that switches ``mode`` on, where ``value`` (a regular expression) matches the beginning of
    its value.

    ``bare``: it does so without a value too. ``prefix``: it is read by an old __setup() without "=", which
    takes every word that begins with the name, whatever follows. ``last``: the last of several decides; of
    the others one suffices, as they cannot be switched off again.
    """

    name: str
    mode: Mode
    value: str = ""
    bare: bool = False
    prefix: bool = False
    last: bool = False

    def reads(self, name: str) -> bool:
        """Whether a word of this name is for it: parameq() in kernel/params.c, "-" and "_" are equal."""
        given, own = name.replace("-", "_"), self.name.replace("-", "_")
        return given.startswith(own) if self.prefix else given == own

    def switches_on(self, value: str | None) -> bool:
        """Whether it does with this value, None for none."""
        return self.bare if value is None else re.match(self.value, value) is not None


class BootParameters(NamedTuple):
    """What a kernel reads on its command line. ``dashes``: a word "--" ends what is for the kernel."""

    parameters: tuple[BootParameter, ...] = ()
    dashes: bool = True

    def mode(self, line: str) -> Mode:
        """The modes that a command line switches on."""
        on: dict[BootParameter, bool] = {}
        for name, value in words(line, dashes=self.dashes):
            for each in self.parameters:
                if each.reads(name):
                    on[each] = each.switches_on(value) or (on.get(each, False) and not each.last)
        return merged(each.mode for each, is_on in on.items() if is_on)


_WORD = re.compile(r'(?:[^\t-\r "]|"[^"]*(?:"|\Z))+')


def words(line: str, *, dashes: bool = True) -> Iterator[tuple[str, str | None]]:
    """The names and values of a command line, as next_arg() in lib/cmdline.c takes them apart.

    Quotes keep blanks, wherever in a word they are; those around a value or a whole word are removed.
    ``dashes``: stop at "--", as parse_args() in kernel/params.c does since 3.15.
    """
    for found in _WORD.finditer(line):
        name, value = _parted(found[0])
        if dashes and value is None and name == "--":
            return
        yield name, value


def _parted(word: str) -> tuple[str, str | None]:
    quoted = word.startswith('"')
    word = word[1:] if quoted else word
    equals = word.find("=", 1)
    if equals < 0:
        return (word.removesuffix('"') if quoted else word), None
    name, value = word[:equals], word[equals + 1 :]
    if value.startswith('"'):
        return name, value[1:].removesuffix('"')
    return name, value.removesuffix('"') if quoted else value
