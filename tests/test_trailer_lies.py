"""Trailers that lie: every malformed case has its own words and the offset, and none is called unsigned.

In the order of the checks of mod_verify_sig() of 3.7 and mod_check_sig() of 5.4, then those of 2012.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import corpus
from corpus.recipes import MARKER, set_info, sign_pkcs7, sign_x509, sign_x509_rc1, trailer
from corpus.recipes_2012 import MAGIC, csm, openpgp, sign_crypto_digsig, sign_crypto_pgp
from elfsig.model import FileReport, Remark, Verdict
from elfsig.trust.keyring import load
from elfsig.verbs.verify.examine import Question, examine
from tests.support.opened import opened

RING = load([str(path) for path in corpus.certificates()])
MODULE = corpus.content("amd64-6.1.ko")
CMS = corpus.content("amd64.pkcs7")
X509 = sign_x509(MODULE, "signer", "sha256")
RC1 = sign_x509_rc1(MODULE, "signer", "sha256")
PGP = sign_crypto_pgp(MODULE, "signer", "sha256")
END, CMS_END, X509_END = len(MODULE), len(CMS) - 40, len(X509) - 40
SIZE = CMS_END - END
NAMES = 42 + 20
"""Signer's name and key id in front of the X.509-era signature."""


def report(content: bytes) -> FileReport:
    return examine(opened(content), Question(RING))


def remarks(found: FileReport) -> list[Remark]:
    return [*found.warnings, *(remark for each in found.signatures for remark in each.warnings)]


def info(data: bytes, field: str, value: int) -> bytes:
    return set_info(data, field, str(value))


class Lie(NamedTuple):
    """A file, its verdict, and a remark that it gets: code, offset, words."""

    content: bytes
    verdict: str
    code: str
    offset: int | None
    words: str


MALFORMED, UNSUPPORTED, VALID = "malformed", "unsupported", "valid"

LIES = {
    # The marker.
    "nothing but the marker": Lie(MARKER, MALFORMED, "trailer-truncated", 0, "nothing but the marker"),
    "5 bytes and the marker": Lie(b"abcde" + MARKER, MALFORMED, "trailer-truncated", 5, "5 bytes before"),
    "an info block and the marker": Lie(bytes(12) + MARKER, MALFORMED, "trailer-truncated", 12, "EBADMSG"),
    "newline lost": Lie(CMS[:-1], MALFORMED, "marker-no-newline", CMS_END + 12, f"whole from {END:#x} on"),
    "newline doubled": Lie(CMS + b"\n", MALFORMED, "marker-not-at-end", CMS_END + 12, "1 byte follows it"),
    "newline as CR LF": Lie(CMS[:-1] + b"\r\n", MALFORMED, "marker-cr-lf", CMS_END + 12, "CR LF instead"),
    "padded": Lie(CMS + bytes(100), MALFORMED, "marker-not-at-end", CMS_END + 12, "100 zero bytes follow"),
    "marker alone inside": Lie(
        MODULE + b"x" * 9 + MARKER + b"y" * 7, MALFORMED, "marker-not-at-end", END + 9, "7 bytes follow"
    ),
    "marker cut off": Lie(CMS[:-9], MALFORMED, "marker-cut", CMS_END + 12, "19 of its 28 bytes"),
    "marker missing": Lie(CMS[:-28], MALFORMED, "marker-lost", CMS_END + 12, "the info block is missing"),
    "X.509 marker missing": Lie(X509[:-28], MALFORMED, "marker-lost", X509_END + 12, "is missing"),
    "info block cut off": Lie(CMS[:-34], MALFORMED, "trailer-lost", END, "6 bytes after it are not"),
    "trailer missing": Lie(CMS[:-40], MALFORMED, "trailer-lost", END, "without a trailer after it"),
    "CMS cut off": Lie(CMS[:-100], MALFORMED, "trailer-lost", END, f"{SIZE - 60} of its {SIZE} bytes"),
    "marker in capitals": Lie(
        CMS[:-28] + MARKER.upper(), MALFORMED, "trailer-lost", END, "40 bytes after it are not a trailer"
    ),
    # Lengths.
    "sig_len 0": Lie(info(CMS, "sig_len", 0), MALFORMED, "malformed", CMS_END, "empty (sig_len 0)"),
    "sig_len beyond the file": Lie(
        info(CMS, "sig_len", 0xFFFFFFFF), MALFORMED, "trailer-length", CMS_END + 8, "4294967295 does not fit"
    ),
    "sig_len as long as the file": Lie(
        info(CMS, "sig_len", CMS_END), MALFORMED, "trailer-length", CMS_END + 8, f"{CMS_END} bytes before"
    ),
    "sig_len little-endian": Lie(
        info(CMS, "sig_len", int.from_bytes(SIZE.to_bytes(4, "little"), "big")),
        MALFORMED, "trailer-length", CMS_END + 8, "does not fit",
    ),
    "sig_len one more": Lie(
        info(CMS, "sig_len", SIZE + 1), MALFORMED, "trailer-overlaps-elf", END - 1, f"which ends at {END:#x}"
    ),
    "sig_len one less": Lie(
        info(CMS, "sig_len", SIZE - 1), MALFORMED, "bytes-behind-elf", END, "1 byte follows the ELF image"
    ),
    "no module under it": Lie(CMS[END:], MALFORMED, "trailer-length", SIZE + 8, "does not fit"),
    # The kind.
    "id_type 4": Lie(info(CMS, "id_type", 4), UNSUPPORTED, "id-type-unknown", CMS_END + 2, "id_type 4"),
    "id_type 255": Lie(info(CMS, "id_type", 255), UNSUPPORTED, "id-type-unknown", CMS_END + 2, "ENOPKG"),
    "a CMS called Merkle": Lie(info(CMS, "id_type", 3), MALFORMED, "malformed", CMS_END, f"not {SIZE}"),
    # Beside a CMS everything else must be zero.
    "algo": Lie(info(CMS, "algo", 1), MALFORMED, "nonzero-params", CMS_END, "algo 1"),
    "hash": Lie(info(CMS, "hash", 4), MALFORMED, "nonzero-params", CMS_END + 1, "hash 4"),
    "signer_len": Lie(info(CMS, "signer_len", 5), MALFORMED, "nonzero-params", CMS_END + 3, "signer_len 5"),
    "key_id_len": Lie(info(CMS, "key_id_len", 9), MALFORMED, "nonzero-params", CMS_END + 4, "key_id_len 9"),
    "padding": Lie(info(CMS, "pad", 1), MALFORMED, "nonzero-params", CMS_END + 6, "__pad[1] 1"),
    "CMS of nothing": Lie(
        MODULE + trailer(b"\x8d" * 300), MALFORMED, "malformed", END, "are left"
    ),
    # The X.509 era.
    "names too long": Lie(
        info(info(X509[-340:], "signer_len", 255), "key_id_len", 200),
        MALFORMED, "trailer-names", 300 + 3, "name (255 bytes) and key id (200) do not fit: 42 bytes",
    ),
    "x509 sig_len 2": Lie(
        info(X509, "sig_len", 2), MALFORMED, "malformed", X509_END - 2, "sig_len 2 leaves no room"
    ),
    "x509 sig_len 0": Lie(info(X509, "sig_len", 0), MALFORMED, "malformed", X509_END, "sig_len 0 leaves no"),
    "x509 nothing at all": Lie(
        MODULE + trailer(b"", 1, 4, 1), MALFORMED, "malformed", END, "sig_len 0 leaves no room"
    ),
    "x509 prefix": Lie(
        X509[: X509_END - 258] + b"\0\xff" + X509[X509_END - 256 :],
        MALFORMED, "malformed", X509_END - 258, "255 bytes declared, 256 present",
    ),
    "x509 padding": Lie(info(X509, "pad", 7), VALID, "nonzero-padding", X509_END + 5, "kernels do not look"),
    "x509 name with an escape": Lie(
        sign_x509(MODULE, "signer", "sha256", b"a\x1b[2Kb".hex()),
        VALID, "signer-control-characters", END, "control characters",
    ),
    "x509 name in Latin-1": Lie(
        sign_x509(MODULE, "signer", "sha256", b"M\xfcller".hex()), VALID, "signer-not-utf8", END, "not UTF-8"
    ),
    # 3.7-rc1.
    "rc1, one byte lost": Lie(RC1[:-1], MALFORMED, "marker-not-at-end", END, "330 bytes follow"),
    "rc1 over a marker": Lie(
        sign_x509_rc1(MODULE[:64] + MARKER + MODULE[92:], "signer", "sha256"),
        MALFORMED, "marker-inside", 64, "3.7-rc1 took the first one",
    ),
    # 2012.
    "nothing but the magic": Lie(MAGIC, MALFORMED, "magic-length", 0, "30 bytes in all"),
    "magic and a length": Lie(b"100  " + MAGIC, MALFORMED, "magic-length", 0, "treats it as unsigned"),
    "magic without length": Lie(csm(MODULE, b"abcde".hex()), MALFORMED, "magic-length", END, "b'abcde'"),
    "length 99999": Lie(csm(MODULE, b"99999".hex()), MALFORMED, "magic-length", END, "length 99999 does not"),
    "length 0": Lie(csm(MODULE, b"0    ".hex()), MALFORMED, "no-signature-packet", END, "OpenPGP"),
    "length after a blank": Lie(
        csm(MODULE, b" 12  ".hex()), MALFORMED, "magic-length-odd", END, "that kernel read 0"
    ),
    "length in hex": Lie(csm(MODULE, b"0x10 ".hex()), MALFORMED, "magic-length", END, "ELIBBAD"),
    "length around nothing": Lie(csm(MODULE, b"100  ".hex(), "100"), MALFORMED, "malformed", END, "0x78"),
    "binary length around nothing": Lie(
        csm(MODULE, "0064", "100"), MALFORMED, "magic-length", END + 97, "length of an IMA signature (100)"
    ),
    "magic with a newline": Lie(PGP + b"\n", MALFORMED, "marker-not-at-end", len(PGP) - 30, "1 byte follows"),
    "magic with a NUL": Lie(PGP + b"\0", MALFORMED, "marker-not-at-end", len(PGP) - 30, "1 zero byte"),
    "magic cut off": Lie(PGP[:-4], MALFORMED, "marker-cut", len(PGP) - 30, "26 of its 30 bytes"),
}  # fmt: skip


@pytest.mark.parametrize("name", LIES)
def test_every_lie_has_its_own_words_and_the_offset(name: str) -> None:
    lie = LIES[name]
    found = report(lie.content)
    assert found.verdict is not None
    assert found.verdict.value == lie.verdict
    told = [(r.code, r.offset) for r in remarks(found) if lie.words in r.text]
    assert (lie.code, lie.offset) in told, remarks(found)


def test_no_two_lies_are_told_in_the_same_words() -> None:
    told: dict[str, str] = {}
    for name, lie in LIES.items():
        found = report(lie.content)
        words = " ".join(r.text for r in remarks(found)) + str([f.format for f in found.signatures])
        alike = {name, told.setdefault(words, name)}
        assert len(alike) == 1 or alike == {"id_type 4"}, alike


@pytest.mark.parametrize("name", [n for n, lie in LIES.items() if lie.verdict == MALFORMED])
def test_the_reason_of_what_is_malformed_has_an_offset_in_the_file(name: str) -> None:
    found = report(LIES[name].content)
    (effective,) = (f for f in found.signatures if f.effective)
    (reason,) = {r for r in effective.warnings if r.text == effective.reason}
    assert reason.offset is not None
    assert 0 <= reason.offset <= len(LIES[name].content)


# --------------------------------------------------------------------------- what is no lie


@pytest.mark.parametrize(
    "content",
    [
        MODULE,
        MODULE + bytes(16),
        MODULE + b"no signature",
        MODULE[:256] + MARKER + MODULE[284:],
        MODULE[:256] + MAGIC + MODULE[286:],
        b"",
        b"\0" * 64,
    ],
)
def test_what_bears_no_trace_is_not_called_remains(content: bytes) -> None:
    found = report(content)
    assert found.signatures == ()
    assert found.verdict is (Verdict.UNSIGNED if content else Verdict.MALFORMED)


@pytest.mark.parametrize(("content", "what"), [(b"plain text\n", "text"), (CMS[END:CMS_END], "PKCS#7")])
def test_what_is_known_not_to_be_a_module_is_named(content: bytes, what: str) -> None:
    found = report(content)
    assert found.signatures == () and found.verdict is None
    assert found.error is not None and what in found.error.text


def test_bytes_behind_the_elf_are_named_and_change_no_verdict() -> None:
    (padded,) = report(MODULE + bytes(16)).warnings
    assert (padded.code, padded.offset) == ("bytes-behind-elf", END)
    assert "16 bytes follow the ELF image (all zero)" in padded.text
    (signed,) = report(sign_pkcs7(MODULE + b"left", "signer", "sha256")).warnings
    assert signed.text.startswith("4 bytes follow the ELF image")
    assert report(CMS).warnings == ()


def test_marker_inside_the_elf_is_content() -> None:
    found = report(sign_pkcs7(MODULE[:256] + MARKER + MODULE[284:], "signer", "sha256"))
    assert found.verdict is Verdict.VALID


def test_stacks_peel_from_the_outside_in() -> None:
    stacks = {
        sign_x509_rc1(PGP, "signer", "sha256"): ["x509-rc1", "crypto-pgp"],
        sign_crypto_digsig(sign_x509(CMS, "other", "sha1"), "signer", "sha1"): [
            "crypto-digsig", "x509", "pkcs7",
        ],
    }  # fmt: skip
    for content, expected in stacks.items():
        found = report(content)
        assert [f.format for f in found.signatures] == expected
        assert {f.verdict for f in found.signatures} == {Verdict.VALID}
        inner = [any(r.code == "inner-trailer" for r in f.warnings) for f in found.signatures]
        assert inner == [False] + [True] * (len(expected) - 1)


def test_a_broken_outer_trailer_hides_what_is_inside() -> None:
    found = report(info(sign_pkcs7(CMS, "other", "sha256"), "sig_len", 0xFFFF))
    assert [f.verdict for f in found.signatures] == [Verdict.MALFORMED]


def test_the_displaced_signature_is_handed_on_whole() -> None:
    (sig,) = report(CMS + b"!").signatures
    assert sig.place.blob == CMS[END:CMS_END]
    assert (sig.place.start, sig.place.end) == (END, len(CMS) + 1)
    assert sig.place.treated_as_unsigned


def test_length_field_of_2012_ends_at_a_blank_for_that_kernel() -> None:
    packet = openpgp(MODULE, "signer", "sha256")
    found = report(MODULE + packet + b"%d x" % len(packet) + MAGIC)
    assert found.verdict is Verdict.VALID
    assert "magic-length-odd" in {r.code for r in remarks(found)}


# --------------------------------------------------------------------------- any bytes


TAILS = st.one_of(
    st.binary(max_size=60),
    st.builds(
        lambda blob, fields, size: blob + struct.pack(">5B3xI", *fields, size) + MARKER,
        st.binary(max_size=60),
        st.tuples(*[st.integers(0, 12)] * 5),
        st.one_of(st.integers(0, 80), st.integers(0, 2**32 - 1)),
    ),
    st.builds(lambda blob, field: blob + field + MAGIC, st.binary(max_size=60), st.binary(max_size=6)),
    st.integers(1, len(CMS) - END).map(lambda size: CMS[END : END + size]),
    st.integers(1, len(PGP) - END).map(lambda size: PGP[END : END + size]),
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([MODULE, b"", b"text"]), st.lists(TAILS, max_size=3))
def test_any_tail_is_told_of_without_an_error(start: bytes, tails: list[Any]) -> None:
    content = start + b"".join(tails)
    found = report(content)
    assert (found.verdict is None) == (found.error is not None)
    assert found.error is None or found.signatures == ()
    for remark in remarks(found):
        assert remark.offset is None or 0 <= remark.offset <= len(content)
    if start and content[len(start) :].find(MARKER[:-1]) >= 0:
        assert found.error is None and found.verdict is not Verdict.UNSIGNED
