"""Section and note carriers: which places they find, what is wrong with them, attaching and detaching."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elfsig.carriers.note import NoteCarrier
from elfsig.carriers.section import SectionCarrier
from elfsig.carriers.trailer import INFO, MARKER
from elfsig.elf.image import Image
from elfsig.elf.table import SHT_NOBITS, SHT_NOTE, SHT_PROGBITS, ElfTable
from elfsig.errors import EditRefused, ParseError
from elfsig.model import Carrier, SectionInfo, TrailerInfo
from tests.support.elf import Sec, build, index_of, note, note_section, patched, samples, toy
from tests.support.vectors import read

GKH = SectionCarrier("module_sig")
REDHAT = SectionCarrier(".module_sig", frozenset({SHT_PROGBITS}), "last")
NOTE = NoteCarrier(".note.module.sig", b"module.sig", 100)
CARRIERS: list[Carrier] = [GKH, REDHAT, NOTE]
ENGINES = ["exact", "lief"]


def _with(*sections: Sec) -> Image:
    return Image(toy(extra=sections))


def test_one_section_is_one_place() -> None:
    image = _with(Sec("module_sig", b"blob"))
    (place,) = GKH.find(image)
    assert (place.kind, place.carrier, place.section, place.index) == (
        "section", "section:module_sig", "module_sig", index_of(image.data, "module_sig"),
    )  # fmt: skip
    assert image.data[place.start : place.end] == place.blob == b"blob"
    assert place.params == SectionInfo("module_sig", SHT_PROGBITS, 0, 1)
    assert (place.fault, place.remarks) == (None, ())


def test_names_are_compared_exactly() -> None:
    image = _with(Sec("module_sig.1", b"x"), Sec("xmodule_sig", b"y"))
    for carrier in CARRIERS:
        assert carrier.find(image) == ()


def test_gkh_takes_the_first_of_any_type() -> None:
    image = _with(Sec("module_sig", b"one", 0x70000001), Sec("module_sig", b"two"))
    first, second = GKH.find(image)
    assert (first.blob, second.blob) == (b"one", b"two")
    assert [r.code for r in second.remarks] == ["second-signature-section"]
    assert first.remarks == ()
    assert GKH.anomalies(image) == ()


def test_redhat_takes_the_last_of_type_progbits() -> None:
    image = _with(
        Sec(".module_sig", b"one"),
        Sec(".module_sig", b"two"),
        Sec(".module_sig", note(b"x\0", 1, b""), SHT_NOTE),
    )
    first, second = REDHAT.find(image)
    assert (first.blob, second.blob) == (b"two", b"one")
    assert [r.code for r in second.remarks] == ["second-signature-section"]
    (odd,) = REDHAT.anomalies(image)
    assert odd.code == "wrong-section-type"
    assert odd.offset == ElfTable(image.data).row_offset(7)


def test_a_note_section_of_another_type_is_no_signature_but_odd() -> None:
    image = _with(Sec(".note.module.sig", note(b"module.sig\0", 100, b"blob")))
    assert NOTE.find(image) == ()
    assert [r.code for r in NOTE.anomalies(image)] == ["wrong-section-type"]


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_note_is_unwrapped(order: str) -> None:
    image = Image(toy(order=order, extra=[note_section(b"blob!", order)]))
    (place,) = NOTE.find(image)
    assert (place.kind, place.carrier) == ("note", "note:.note.module.sig")
    assert (place.blob, place.blob_start - place.start, place.end - place.start) == (b"blob!", 24, 32)
    assert place.params == SectionInfo(".note.module.sig", SHT_NOTE, 0, 4, b"module.sig", 100)
    assert (place.fault, place.remarks) == (None, ())


WRONG_NOTES = {
    "note-truncated": (b"\x0b\0\0\0\x04\0\0", 0),
    "note-size": (note(b"module.sig\0", 100, b"blob")[:-4], 0),
    "note-owner": (note(b"module_sig\0", 100, b"blob"), 12),
    "note-type": (note(b"module.sig\0", 101, b"blob"), 8),
    "section-empty": (b"", None),
}


@pytest.mark.parametrize("code", WRONG_NOTES)
def test_a_note_that_kernels_refuse_is_a_place_with_a_fault(code: str) -> None:
    body, offset = WRONG_NOTES[code]
    image = _with(Sec(".note.module.sig", body, SHT_NOTE, align=4))
    (place,) = NOTE.find(image)
    assert place.fault is not None
    assert place.fault.code == code
    assert place.fault.offset == (
        place.start + offset if offset is not None else ElfTable(image.data).row_offset(5)
    )


def test_an_owner_of_another_length_is_followed_to_its_content() -> None:
    image = _with(Sec(".note.module.sig", note(b"longer.than.that\0", 100, b"blob"), SHT_NOTE))
    (place,) = NOTE.find(image)
    assert place.blob == b"blob"
    assert place.fault is not None
    assert isinstance(place.params, SectionInfo)
    assert place.params.owner == b"longer.than.that"


def test_what_lies_behind_the_note_is_remarked() -> None:
    whole = note(b"module.sig\0", 100, b"blob")
    (place,) = NOTE.find(_with(Sec(".note.module.sig", whole + b"more", SHT_NOTE)))
    assert [r.code for r in place.remarks] == ["note-trailing"]
    cut = note(b"module.sig\0", 100, b"blob!")[:-2]
    (place,) = NOTE.find(_with(Sec(".note.module.sig", cut, SHT_NOTE)))
    assert [r.code for r in place.remarks] == ["note-padding"]
    assert place.blob == b"blob!"


@pytest.mark.parametrize("code", ["note-sorted-amd64-note-type-101", "note-sorted-amd64-note-name"])
def test_the_wrong_notes_of_the_vectors_have_a_fault(code: str) -> None:
    (place,) = NOTE.find(Image(read(f"modules/{code}.ko")))
    assert place.fault is not None


def test_sections_without_bytes_have_a_fault() -> None:
    (place,) = GKH.find(_with(Sec("module_sig", b"", SHT_NOBITS, size=64)))
    assert place.fault is not None
    assert place.fault.code == "section-nobits"
    content = toy(extra=[Sec("module_sig", b"blob")])
    beyond = patched(content, index_of(content, "module_sig"), offset=len(content) - 1)
    (place,) = GKH.find(Image(beyond))
    assert place.fault is not None
    assert (place.fault.code, place.end <= len(beyond)) == ("elf-section-bounds", True)


@pytest.mark.parametrize("content", [b"", b"text", b"\x7fELF", toy()[:200]])
def test_nothing_is_found_where_there_is_no_section_table(content: bytes) -> None:
    for carrier in CARRIERS:
        assert carrier.find(Image(content)) == ()
        with pytest.raises((ParseError, EditRefused)):
            carrier.attach(Image(content), b"blob", None)
    assert REDHAT.anomalies(Image(content)) == ()


# --------------------------------------------------------------------------- editing


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("carrier", CARRIERS, ids=lambda c: c.id)
def test_attach_then_find_then_detach(carrier: Carrier, engine: str) -> None:
    for path in samples():
        before = path.read_bytes()
        signed = Image(carrier.attach(Image(before), b"a signature", None, engine=engine))
        (place,) = carrier.find(signed)
        assert (place.blob, place.fault, place.remarks) == (b"a signature", None, ())
        removed = carrier.detach(signed, place, engine=engine)
        assert carrier.find(Image(removed)) == ()
        assert engine == "lief" or removed == before


def test_new_sections_look_like_those_of_the_original_tools() -> None:
    note_row = ElfTable(NOTE.attach(Image(toy()), b"blob!", None)).rows[-1]
    assert (note_row.type, note_row.flags, note_row.align, note_row.size) == (SHT_NOTE, 0, 4, 32)
    plain = ElfTable(REDHAT.attach(Image(toy()), b"blob!", None)).rows[-1]
    assert (plain.type, plain.flags, plain.align, plain.size) == (SHT_PROGBITS, 0, 1, 5)


def test_params_decide_what_the_section_is() -> None:
    info = SectionInfo(".other", SHT_PROGBITS, 3, 8)
    section = ElfTable(REDHAT.attach(Image(toy()), b"blob", info)).sections[-1]
    assert (section.name, section.row.flags, section.row.align) == (b".other", 3, 8)
    odd = SectionInfo(".note.module.sig", SHT_NOTE, 0, 4, b"other", 7)
    (place,) = NOTE.find(Image(NOTE.attach(Image(toy()), b"blob", odd)))
    assert place.params == odd


def test_a_note_is_padded_but_its_size_is_not() -> None:
    for size in range(1, 9):
        image = Image(NOTE.attach(Image(toy(order=">")), b"s" * size, None))
        (place,) = NOTE.find(image)
        assert (len(place.blob), (place.end - place.start) % 4) == (size, 0)


def test_a_signature_behind_the_image_stays() -> None:
    trailer = b"sig" + INFO.pack(0, 0, 2, 0, 0, bytes(3), 3) + MARKER
    for carrier in CARRIERS:
        signed = carrier.attach(Image(toy() + trailer), b"blob", None)
        assert signed.endswith(trailer)
        (place,) = carrier.find(Image(signed))
        assert carrier.detach(Image(signed), place) == toy() + trailer
        peeled = Image(toy() + trailer).cut(len(toy()))
        assert carrier.attach(peeled, b"blob", None) == carrier.attach(Image(toy()), b"blob", None)


def test_no_second_section_where_kernels_take_the_first() -> None:
    with pytest.raises(EditRefused) as caught:
        GKH.attach(_with(Sec("module_sig", b"old")), b"new", None)
    assert caught.value.code == "section-exists"
    (place, _) = REDHAT.find(Image(REDHAT.attach(_with(Sec(".module_sig", b"old")), b"new", None)))
    assert place.blob == b"new"


def test_a_place_of_another_file_is_not_removed() -> None:
    (place,) = GKH.find(_with(Sec("x", b"1"), Sec("module_sig", b"2")))
    for other in (toy(), toy(extra=[Sec("module_sig", b"2")]), b"text"):
        with pytest.raises(EditRefused, match="is not a module_sig"):
            GKH.detach(Image(other), place)


def test_a_section_is_not_described_by_a_trailer() -> None:
    for carrier in (GKH, NOTE):
        with pytest.raises(EditRefused, match="needs a section's fields"):
            carrier.attach(Image(toy()), b"blob", TrailerInfo())


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.sampled_from("<>"))
def test_any_note_content_is_a_place(body: bytes, order: str) -> None:
    section = Sec(".note.module.sig", body, SHT_NOTE, align=4)
    image = Image(build([section], order=order))
    (place,) = NOTE.find(image)
    assert place.start <= place.blob_start <= place.end or place.fault is not None
    assert image.data[place.blob_start : place.blob_start + len(place.blob)] == place.blob


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1 << 12), st.integers(0, 255)), max_size=8))
def test_find_never_raises(changes: list[tuple[int, int]]) -> None:
    content = bytearray(toy(extra=[note_section(b"x"), Sec("module_sig", b"x"), Sec(".module_sig", b"x")]))
    for at, value in changes:
        content[at % len(content)] = value
    for carrier in (GKH, REDHAT, NOTE):
        carrier.find(Image(bytes(content)))
        carrier.anomalies(Image(bytes(content)))
