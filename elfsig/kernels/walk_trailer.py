"""Steps of the kernels that look for a trailer, Linux 3.7 and later, up to the signature's own bytes.

In the order of module_sig_check() and mod_verify_sig() (kernel/module.c, kernel/module_signing.c, later
kernel/module/signing.c) and of mod_check_sig() (kernel/module_signature.c).
"""

from __future__ import annotations

from elfsig.carriers.marker_first import MarkerFirst
from elfsig.carriers.remains import remains
from elfsig.carriers.trailer import ID_TYPES, INFO, MARKER, ModuleTrailer, unpack_info
from elfsig.compression.whole import Compression, after_skippable
from elfsig.kernels.names import module_name
from elfsig.kernels.unpacking import fault, first_only
from elfsig.kernels.walk import Accept, Case, Said, Step, Stop, Went
from elfsig.model import Place, TrailerInfo

NONZERO = "PKCS#7 signature info has unexpected non-zero params"


def compressed(case: Case) -> Said:
    """Where the file is compressed: who decompresses it, and whether the signature is inside."""
    evidence = case.module
    if evidence.compression is None:
        return Went("the file is not compressed")
    if after_skippable(evidence.raw, 0):
        text = (
            "zstd that starts with a skippable frame is not zstd to loading tools, which look for the magic:"
        )
        return Stop("ENOEXEC", "compressed-unreadable", f"{text} the kernel gets the file as it is")
    if evidence.compression in case.profile.unpacks:
        return _decompressed_by_kernel(case, evidence.compression)
    tail = evidence.tail_offset
    if tail is not None:
        if evidence.raw.rfind(MARKER[:-1], tail) >= 0:
            text = "it was signed after compression: the trailer is after the compressed stream"
            return Stop("EINVAL", "signed-after-compression", text + ", and the loading tool refuses that")
        return Stop("EINVAL", "compressed-damaged", "bytes follow the compressed stream")
    text = f"the loading tool decompresses the {evidence.compression}; the kernel checks what is inside"
    if case.profile.unpacks:
        own = " or ".join(sorted(case.profile.unpacks))
        text += f" (its own decompressor takes {own}, and returns EINVAL for anything else)"
    return Went(text)


def _decompressed_by_kernel(case: Case, kind: Compression) -> Said:
    """kernel/module/decompress.c: it reads one stream, and ignores what follows it."""
    raw = case.module.raw
    if first_only(raw, kind):
        text = f"the kernel decompresses the first of several {kind} streams and nothing more"
        return Stop(case.profile.unsigned, "compressed-unreadable", text)
    if (why := fault(raw, kind)) is not None:
        return Stop("EINVAL", "compressed-unreadable", why.text)
    if case.module.tail_offset is not None:
        case.notes.append("a loading tool that decompresses the file itself refuses it (EINVAL)")
        return Went(f"the kernel decompresses the {kind}, ignores what follows it, and checks what is inside")
    return Went(f"the kernel, or the loading tool, decompresses the {kind}; what is inside is checked")


def flags(case: Case) -> Said:
    """Forced loading makes every module count as unsigned; it is not asked for here."""
    return Went("not loaded by force, which would skip the signature check")


def marker(case: Case) -> Said:
    """The last 28 bytes of the file."""
    image = case.image
    if image.end > len(MARKER) and image.data[image.end - len(MARKER) : image.end] == MARKER:
        return Went(f"the file ends in the {len(MARKER)}-byte marker: there is a signature")
    left = remains(image, (ModuleTrailer(),))
    if left is not None and left.fault is not None:
        text = f"no marker at the very end: {left.fault.text}"
        return Stop(case.profile.unsigned, "displaced", text)
    if image.end == 0:
        return Stop("EINVAL", "empty", "the file is empty")
    text = "no marker at the end of the file: for this kernel it has no signature"
    inside = ", ".join(_others(case))
    return Stop(
        case.profile.unsigned,
        "unsigned",
        text + (f" (it has {inside}, which is not checked)" if inside else ""),
    )


def _others(case: Case) -> list[str]:
    """What else of signatures there is in the file, for people."""
    names = [
        (f.claimants[0].id if f.claimants else "an unknown form") + f" in {_where(f.place)}"
        for f in case.module.places
        if f.place.fault is None
    ]
    return [f"a signature {name}" for name in dict.fromkeys(names)]


def _where(place: Place) -> str:
    return f"section {place.section}" if place.section else "a trailer"


def info_block(case: Case) -> Said:
    """The 12 bytes before the marker, and whether the length in them fits."""
    room = case.image.end - len(MARKER)
    if room <= INFO.size:
        return Stop(
            "EBADMSG", "trailer-truncated", f"{room} bytes precede the marker, and there must be more than 12"
        )
    at = room - INFO.size
    info = unpack_info(case.image.data[at:room])
    case.found["info"] = info
    if info.sig_len >= at:
        text = f"sig_len is {info.sig_len}, and only {at} bytes precede the info block"
        case.place = _place(case, at, at, info)
        return Stop("EBADMSG", "trailer-length", text)
    case.place = _place(case, at - info.sig_len, at, info)
    return Went(
        f"{info.sig_len} bytes of signature, id_type {info.id_type} ({ID_TYPES.get(info.id_type, '?')})"
    )


def _place(case: Case, start: int, stop: int, info: TrailerInfo) -> Place:
    end = case.image.end
    return Place("trailer", ModuleTrailer().id, start, end, start, case.image.data[start:stop], info)


def pkcs7_type(case: Case) -> Said:
    """Since 4.3 only PKCS#7 will do."""
    info: TrailerInfo = case.found["info"]
    if info.id_type == 2:
        return Went("PKCS#7, as expected")
    kind = ID_TYPES.get(info.id_type, "unknown")
    text = f"id_type {info.id_type} ({kind}): since Linux 4.3 only PKCS#7 (2) is read"
    return Stop("ENOPKG", "id-type", text, (_line(case, case.profile.not_pkcs7),))


def _line(case: Case, text: str) -> str:
    """A line about the trailer; kernels since 4.19 put a name in front."""
    return case.profile.who.format(name=module_name(case.module.path)) + text


def zero_fields(case: Case) -> Said:
    """The fields of the X.509 era must all be zero beside PKCS#7."""
    info: TrailerInfo = case.found["info"]
    fields = {
        "algo": info.algo,
        "hash": info.hash,
        "signer_len": info.signer_len,
        "key_id_len": info.key_id_len,
        **{f"__pad[{i}]": byte for i, byte in enumerate(info.pad)},
    }
    wrong = ", ".join(f"{name} {value}" for name, value in fields.items() if value)
    if not wrong:
        return Went("all other fields are zero")
    return Stop(
        "EBADMSG", "nonzero-params", f"fields that must be zero are not: {wrong}", (_line(case, NONZERO),)
    )


# --------------------------------------------------------------------------- the X.509 era


def marker_first(case: Case) -> Said:
    """3.7-rc1 scanned forward and took the first marker that it met; the info block is last."""
    image = case.image
    at = image.data.find(MARKER, 0, image.end)
    if at < 0:
        return Stop(
            case.profile.unsigned, "unsigned", "no marker anywhere: for this kernel it has no signature"
        )
    stop, start = image.end - INFO.size, at + len(MARKER)
    if stop <= start:
        return Stop("EBADMSG", "trailer-truncated", "no room for an info block after the first marker")
    info = unpack_info(image.data[stop : image.end])
    case.found.update(info=info, body=image.data[start:stop])
    case.place = Place("trailer", MarkerFirst().id, at, image.end, start, image.data[start:stop], info)
    if info.sig_len + info.signer_len + info.key_id_len != stop - start:
        return Stop(
            "EBADMSG", "trailer-length", "the lengths in the info block do not lead back to the first marker"
        )
    return Went(f"a marker at {at:#x}, after it {stop - start} bytes and the info block")


def names_fit(case: Case) -> Said:
    """Signer's name and key id precede the signature, and must fit too."""
    info: TrailerInfo = case.found["info"]
    assert case.place is not None
    names, before = info.signer_len + info.key_id_len, case.place.start
    if names >= before:
        return Stop("EBADMSG", "trailer-length", f"name and key id take {names} bytes, {before} are there")
    stop = case.image.end - len(MARKER) - INFO.size
    case.place = _place(case, before - names, stop, info)
    case.found["body"] = case.place.blob
    return Went(f"{info.signer_len} bytes of name and {info.key_id_len} of key id before it")


def done(case: Case) -> Said:
    """The end of a walk in which nothing was found wrong."""
    return Accept("the signature is good, by a key that this kernel has")


HEAD = (
    Step("unpacking", compressed),
    Step("load flags", flags),
    Step("marker", marker),
    Step("info block", info_block),
)
"""What every walk of a trailer at the end begins with."""
