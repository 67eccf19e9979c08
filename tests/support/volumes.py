"""Logical volumes of LVM2 in their other forms, by recipe: striped, thin, and snapshots."""

from __future__ import annotations

from pathlib import Path

from tests.support.images import MIB, call, lvm_physical, lvm_uid

CHUNK = 64 << 10
"""Bytes of a chunk of a thin pool, and of a piece of a stripe."""
_METADATA = 4


def volume(name: str, extents: int, body: str, *, visible: bool = True) -> str:
    """A volume of one segment, as the metadata of a group describe it."""
    status = '["READ", "WRITE", "VISIBLE"]' if visible else '["READ", "WRITE"]'
    return (
        f'{name} {{\nid = "{lvm_uid(name[0].upper())}"\nstatus = {status}\nflags = []\nsegment_count = 1\n'
        f"segment1 {{\nstart_extent = 0\nextent_count = {extents}\n{body}\n}}\n}}\n"
    )


def _linear(name: str, extents: int, place: int, *, visible: bool = False) -> str:
    body = f'type = "striped"\nstripe_count = 1\nstripes = [\n"pv0", {place}\n]'
    return volume(name, extents, body, visible=visible)


def striped(content: bytes, count: int) -> bytes:
    """A physical volume with the volume ``root`` in ``count`` stripes, each in a place of its own."""
    extents = -(-len(content) // (count * MIB)) * count
    each = extents // count
    places = ",\n".join(f'"pv0", {number * each}' for number in range(count))
    body = f'type = "striped"\nstripe_count = {count}\nstripe_size = {CHUNK // 512}\nstripes = [\n{places}\n]'
    disk = bytearray(lvm_physical("P", "P", volume("root", extents, body), extents, MIB))
    for number, at in enumerate(range(0, len(content), CHUNK)):
        row, column = divmod(number, count)
        start = MIB + column * each * MIB + row * CHUNK
        piece = content[at : at + CHUNK]
        disk[start : start + len(piece)] = piece
    return bytes(disk)


def with_snapshot(content: bytes) -> bytes:
    """A physical volume with the volume ``root``, and ``snap``: what has changed since a snapshot of it."""
    extents = -(-len(content) // MIB)
    text = _linear("root", extents, 0, visible=True) + _linear("snap", 1, extents, visible=True)
    body = 'type = "snapshot"\nchunk_size = 8\norigin = "root"\ncow_store = "snap"'
    text += volume("snapshot0", 1, body, visible=False)
    disk = bytearray(lvm_physical("P", "P", text, extents + 1, MIB))
    disk[MIB : MIB + len(content)] = content
    disk[MIB + extents * MIB :][:4] = b"SnAp"
    return bytes(disk)


def thin(content: bytes, folder: Path, more: str = "") -> bytes:
    """A physical volume with the thin volume ``root``, of which chunks of zeros are not stored, others in the
    opposite order; ``more`` belongs to its segment. The pool's metadata are those of thin_restore."""
    chunks = [content[at : at + CHUNK].ljust(CHUNK, b"\0") for at in range(0, len(content), CHUNK)]
    stored = [number for number, chunk in enumerate(chunks) if any(chunk)]
    extents = -(-len(stored) * CHUNK // MIB)
    metadata = _restored(stored, extents * MIB // CHUNK, folder)
    body = 'type = "thin"\nthin_pool = "pool"\ntransaction_id = 0\ndevice_id = 1\n'
    text = volume("root", -(-len(content) // MIB), body + more)
    body = 'type = "thin-pool"\nmetadata = "pool_tmeta"\npool = "pool_tdata"\ntransaction_id = 1\n'
    body += f'chunk_size = {CHUNK // 512}\ndiscards = "passdown"\nzero_new_blocks = 1'
    text += volume("pool", extents, body) + _linear("pool_tmeta", _METADATA, 0)
    text += _linear("pool_tdata", extents, _METADATA)
    disk = bytearray(lvm_physical("P", "P", text, _METADATA + extents, MIB))
    disk[MIB : MIB + len(metadata)] = metadata
    for place, number in enumerate(reversed(stored)):
        start = MIB + _METADATA * MIB + place * CHUNK
        disk[start : start + CHUNK] = chunks[number]
    return bytes(disk)


def _restored(stored: list[int], count: int, folder: Path) -> bytes:
    lines = "\n".join(
        f'<single_mapping origin_block="{number}" data_block="{place}" time="0"/>'
        for number, place in sorted((number, place) for place, number in enumerate(reversed(stored)))
    )
    text, out = folder / "pool.xml", folder / "pool.meta"
    text.write_text(
        f'<superblock uuid="" time="0" transaction="1" data_block_size="{CHUNK // 512}" '
        f'nr_data_blocks="{count}">\n<device dev_id="1" mapped_blocks="{len(stored)}" transaction="0" '
        f'creation_time="0" snap_time="0">\n{lines}\n</device>\n</superblock>\n'
    )
    out.write_bytes(bytes(_METADATA * MIB))
    call("thin_restore", "-i", text, "-o", out)
    call("thin_check", out)
    return out.read_bytes()
