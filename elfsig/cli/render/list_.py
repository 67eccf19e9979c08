"""The text of ``list``: readelf's columns, then what the signature claims."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from elfsig.cli.render.table import laid_out, terminal_width, wrapped
from elfsig.cli.render.words import failed_word, plural, remark_words, type_word
from elfsig.cli.settings import visible
from elfsig.lazy_tuple import NamedTuple
from elfsig.model import FileReport, SignatureReport, Verdict
from elfsig.verbs.verify.digest_bits import CODES as DIGEST_BITS

Names = Mapping[str, str]
"""The names of carriers by id: Registry.names."""

NARROW = " " * 7
NO_ADDRESS = {64: f"{'-':<16}", 32: f"{'-':<8}"}
HEADINGS = ("Format", "Hash", "Key", "Signer")
WIDTHS = (8, 8, 16)
"""Of the columns before the signer, where they are not known from all rows."""

LEGEND = """Key to columns:
  Nr, Off and Size are as in readelf; a trailer follows the ELF image and has
  no number. Key is the serial number or key id, and Signer the name, that the
  signature claims: nothing was verified. Use elfsig show for all fields, and
  elfsig verify for a verdict."""


def heading(bits: int, widths: Sequence[int]) -> str:
    """readelf's heading of the section table, followed by further columns."""
    address = "Address         " if bits == 64 else "Addr    "
    return f"  [Nr] {'Name':<17} {'Type':<15} {address} Off    Size   {_columns(HEADINGS, widths)}"


def _columns(cells: Sequence[str], widths: Sequence[int] = WIDTHS) -> str:
    return " ".join((*map(str.ljust, cells, widths), cells[-1]))


def _widths(signatures: Sequence[SignatureReport]) -> tuple[int, ...]:
    """WIDTHS, or what the widest cell of a column needs."""
    columns = zip(WIDTHS, *(map(len, _claims(each)) for each in signatures), strict=False)
    return tuple(max(column) for column in columns)


def _narrow_heading() -> tuple[str, str]:
    """The heading for terminals that are narrower than a line: without the address, which says nothing."""
    first = f"  [Nr] {'Name':<17} {'Type':<15} Off    Size   {HEADINGS[0]:<8} {HEADINGS[1]}"
    return first, f"{NARROW}{HEADINGS[2]}  {HEADINGS[3]}"


def _narrow(sig: SignatureReport, names: Names) -> tuple[str, str]:
    """One signature in two lines."""
    format_, hash_, key, signer = _claims(sig)
    place = sig.place
    first = f"  {parts(sig, names).lead} {place.start:06x} {place.end - place.start:06x} {format_:<8} {hash_}"
    return first, f"{NARROW}{key}  {signer}"


class Parts(NamedTuple):
    """A line without what differs between two modules signed by one key: address width and offset."""

    lead: str
    tail: str


def parts(sig: SignatureReport, names: Names, widths: Sequence[int] = WIDTHS) -> Parts:
    """The text before the address, and the text after the offset."""
    place = sig.place
    number = "[ -]" if place.index is None else f"[{place.index:2}]"
    name = visible(place.section if place.section is not None else names.get(place.carrier, place.carrier))
    size = f"{place.end - place.start:06x}"
    return Parts(f"{number} {name:<17} {type_word(place):<15}", f"{size} {_columns(_claims(sig), widths)}")


def line(sig: SignatureReport, names: Names, bits: int = 64, widths: Sequence[int] = WIDTHS) -> str:
    """One signature, in readelf's columns. The address of a section in a module is 0, a trailer has none."""
    lead, tail = parts(sig, names, widths)
    address = NO_ADDRESS[bits] if sig.place.index is None else "0" * len(NO_ADDRESS[bits])
    return f"{lead} {address} {sig.place.start:06x} {tail}"


def _claims(sig: SignatureReport) -> tuple[str, str, str, str]:
    """The cells of HEADINGS."""
    signature = sig.claims
    format_ = sig.format or "-"
    if signature is None:
        what = "" if sig.reason is None else f"{sig.verdict.value}: {visible(sig.reason)}"
        return format_, "-", "-", what or sig.verdict.value
    key = signature.serial or signature.key_id
    signer = visible(signature.signer) if signature.signer else "-"
    if sig.verdict in (Verdict.MALFORMED, Verdict.UNSUPPORTED, Verdict.NOT_A_SIGNATURE):
        signer += f"  [{sig.verdict.value}: {visible(sig.reason or 'see elfsig show')}]"
    hash_ = visible(signature.hash or signature.hash_text or "-")
    return format_, hash_, key.hex() if key else "-", signer


def _kind(report: FileReport) -> str:
    """What kind of file it is."""
    codes = {warning.code for warning in report.warnings}
    if report.elf is not None:
        return f"an ELF{report.elf.bits} {report.elf.type} file for {report.elf.machine}"
    return (
        "an empty file"
        if "empty" in codes
        else "a damaged ELF file"
        if "elf-damaged" in codes
        else "not an ELF file"
    )


def one_file(report: FileReport, names: Names) -> str:
    """The listing of a single file: heading, lines, legend."""
    elf, kind = report.elf, _kind(report)
    packed = f", {report.compression} compressed" if report.compression else ""
    count = len(report.signatures)
    if count:
        lines = [f"There {'is' if count == 1 else 'are'} {plural(count, 'signature')} in {kind}{packed}:"]
    else:
        lines = [f"{kind[0].upper()}{kind[1:]}{packed}; no signatures."]
    bits = elf.bits if elf else 64
    if count:
        widths = _widths(report.signatures)
        rows = [heading(bits, widths)]
        rows += [f"  {line(each, names, bits, widths)}" for each in report.signatures]
        width = terminal_width()
        if width is not None and max(map(len, rows)) > width:
            rows = [
                *_narrow_heading(),
                *(part for each in report.signatures for part in _narrow(each, names)),
            ]
        lines += ["", "Signatures:", *rows]
    notes = [*_digests(report), *remark_words(report.warnings)]
    if not count and report.verdict is not None:
        lines.append(report.verdict.value)
    lines += [laid_out(f"Note: {text}") for text in notes]
    if count:
        lines += ["", LEGEND]
    return "\n".join(lines) + "\n"


def _digests(report: FileReport) -> Iterator[str]:
    """What signatures record of their digest, compared with the file."""
    for sig in report.signatures:
        for text in remark_words(each for each in sig.warnings if each.code in DIGEST_BITS):
            yield f"{f'[{sig.place.index}] ' if sig.place.index is not None else ''}{text}"


def tree_lines(report: FileReport, names: Names, prefix: str = "", only: str | None = None) -> Iterator[str]:
    """One line for each signature, or one for the file, each after ``prefix`` (the path, or nothing)."""
    if report.error is not None:
        return
    bits = report.elf.bits if report.elf else 64
    width = terminal_width()
    for each in report.signatures:
        if only is None or only in words_of(each):
            whole = f"{prefix}{line(each, names, bits)}"
            yield from (
                [whole] if width is None or len(whole) <= width else _folded(each, names, prefix, width)
            )
    if not report.signatures and report.verdict is not None and only in (None, report.verdict.value):
        why = "; ".join(remark_words(report.warnings))
        yield f"{prefix}{report.verdict.value}{': ' if why else ''}{why}"


def _folded(sig: SignatureReport, names: Names, prefix: str, width: int) -> Iterator[str]:
    """One signature in two lines, without the columns' padding and the address, which says nothing."""
    first, second = _narrow(sig, names)
    yield from wrapped(prefix + " ".join(first.split()).replace("[ -]", "[-]"), width)
    yield from wrapped(f"    {second.strip()}", width)


def words_of(sig: SignatureReport) -> set[str]:
    """The words by which ``--only`` selects a signature."""
    signature, place = sig.claims, sig.place
    words = {
        place.kind,
        type_word(place).lower(),
        (place.section or "").lower(),
        sig.format or "unclaimed",
    }
    words.add("malformed" if sig.verdict is Verdict.MALFORMED else "signed")
    if signature is not None:
        words |= {word for word in (signature.hash, signature.algorithm, signature.envelope) if word}
    return words


def kind_of(report: FileReport) -> str:
    """The word under which a file is counted in the summary."""
    if report.verdict is None:
        return failed_word(report)
    if not report.signatures:
        return report.verdict.value
    malformed = any(f.effective and f.verdict is Verdict.MALFORMED for f in report.signatures)
    return "malformed" if malformed else "signed"
