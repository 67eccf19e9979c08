"""The text of ``show``: modinfo's fields first, then what modinfo does not print."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from elfsig.cli.render.modinfo import Field, fields, hex_lines, labelled
from elfsig.cli.render.words import remark_words, type_word
from elfsig.cli.settings import visible
from elfsig.elf import modinfo
from elfsig.model import FileReport, Place, SectionInfo, SignatureReport
from elfsig.model.json_form import params_object, time_text
from elfsig.opened.module import Module


def blocks(
    report: FileReport, names: Mapping[str, str], module: Module | None = None
) -> Iterator[list[Field]]:
    """The fields of a file, one block for each signature, in the order in which they are printed.

    ``names``: modinfo's names of the envelopes, by id. ``module``: the file, for what modinfo prints of it.
    """
    head: list[Field] = [("filename", report.path), *(_module_fields(module) if module else ())]
    if not report.signatures:
        yield head + _file_fields(report)
        return
    for number, sig in enumerate(report.signatures):
        own = fields(sig, names) + _more(sig)
        yield (head if not number else []) + own + ([] if number else _file_fields(report))


def _module_fields(module: Module) -> Iterator[Field]:
    """Which module this is, for which kernel, what it needs, and its build, as modinfo of kmod 35 prints it.

    Empty for files without these fields.
    """
    build = modinfo.build_id(module.image)
    values = (
        ("name", module.name),
        ("vermagic", module.vermagic),
        ("depends", modinfo.value(module.image, b"depends")),
        ("build-id", None if build is None else hex_lines(build)),
    )
    return ((name, value) for name, value in values if value is not None)


def _more(sig: SignatureReport) -> list[Field]:
    """What modinfo does not print of one signature; fields have the names of the JSON."""
    signature = sig.claims
    found: list[Field] = [("format", sig.format or "unknown"), ("layer", str(sig.layer))]
    if not sig.effective:
        found.append(("effective", "no"))
    found += _place_fields(sig.place)
    if signature is not None:
        found.append(("envelope", signature.envelope))
        found += _optional("algorithm", signature.algorithm or signature.algorithm_text)
        found += _optional("key_bits", signature.key_bits)
        found += _optional("curve", signature.curve)
        found += _optional("key_id", signature.key_id)
        found += _optional("serial", signature.serial)
        if signature.created is not None:
            found.append(("created", time_text(signature.created)))
        found += _flat(f"{signature.envelope}.", signature.facts)
    if sig.reason is not None and sig.verdict.value != "unchecked":
        found.append(("status", f"{sig.verdict.value}: {sig.reason}"))
    return found + [("warning", text) for text in remark_words(sig.warnings)]


def _place_fields(place: Place) -> list[Field]:
    found: list[Field] = [("carrier", place.kind)]
    if place.section is not None:
        found += [("section", place.section), ("section_nr", str(place.index))]
        found.append(("section_type", type_word(place)))
    within = " of the file, after the compressed stream" if place.where == "file" else ""
    found.append(("offset", f"{place.start:#x}{within}"))
    found.append(("size", str(place.end - place.start)))
    label = "trailer" if place.kind == "trailer" else "wrapper"
    said = params_object(place.params) or {}
    if isinstance(place.params, SectionInfo) and place.params.owner is not None:
        said["owner"] = place.params.owner.decode("utf-8", "backslashreplace")
    return found + _flat(f"{label}.", said)


def _optional(name: str, value: Any) -> list[Field]:
    return [] if value is None else _flat("", {name: value})


def _flat(prefix: str, values: Mapping[str, Any]) -> list[Field]:
    """Nested facts as ``outer.inner`` fields; one line for each entry of a list."""
    found: list[Field] = []
    for name, value in values.items():
        found += _field(f"{prefix}{name}", value)
    return found


def _field(name: str, value: Any) -> list[Field]:
    if value is None:
        return []
    if isinstance(value, Mapping):
        return _flat(f"{name}.", value)
    if isinstance(value, (list, tuple, set, frozenset)):
        members = sorted(value, key=str) if isinstance(value, (set, frozenset)) else value
        return [field for each in members for field in _field(name, each)]
    if isinstance(value, bool):
        return [(name, "yes" if value else "no")]
    return [(name, hex_lines(value) if isinstance(value, bytes) else str(value))]


def _file_fields(report: FileReport) -> list[Field]:
    found: list[Field] = []
    if report.compression:
        found.append(("compression", report.compression))
    if elf := report.elf:
        found.append(("elf", f"ELF{elf.bits} {elf.data}-endian {elf.machine} {elf.type}"))
    if not report.signatures and report.verdict is not None:
        found.append(("status", report.verdict.value))
    return found + [("warning", text) for text in remark_words(report.warnings)]


def text(report: FileReport, names: Mapping[str, str], module: Module | None = None) -> str:
    """All fields of one file, with a blank line between signatures; control characters are escaped."""
    return "\n".join(
        "".join(f"{labelled(name, _printable(value))}\n" for name, value in block)
        for block in blocks(report, names, module)
    )


def picked(
    report: FileReport,
    names: Mapping[str, str],
    field: str | None,
    nul: bool,
    module: Module | None = None,
) -> str:
    """``-F`` and ``-0`` as in modinfo: only the values of one field, or NUL-separated pairs."""
    pairs = [pair for block in blocks(report, names, module) for pair in block if field in (None, pair[0])]
    if nul:
        # Unchanged, except for a NUL in a value: what follows it would be taken for the next field.
        exact = ((name, value.replace("\0", "\\x00")) for name, value in pairs)
        return "".join(f"{value}\0" if field else f"{name}={value}\0" for name, value in exact)
    return "".join(f"{_printable(value)}\n" for _, value in pairs)


def _printable(value: str) -> str:
    """Escaped, except for the line breaks within long hex values."""
    return "\n\t\t".join(visible(part) for part in value.split("\n\t\t"))
