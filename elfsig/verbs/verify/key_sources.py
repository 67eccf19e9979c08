"""What key sources say about a whole file: that its hash is revoked (dbx, MokListX), and what was
unreadable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from elfsig.lazy_dataclass import replace
from elfsig.model import Cause, Keyring, Loss, Remark, SignatureReport, Verdict
from elfsig.opened.module import Module


def unless_revoked(
    signatures: Iterable[SignatureReport], module: Module, keys: Keyring | None
) -> list[SignatureReport]:
    """The signatures of a file; none of them is valid where the file's hash is revoked.

    The hash may be that of the file, or of its content as the kernel gets it (decompressed).
    """
    found = list(signatures)
    if keys is None or not keys.revokes_files:
        return found
    contents = dict.fromkeys((module.content, module.raw))
    source = next((s for content in contents if (s := keys.revokes(file=content)) is not None), None)
    return found if source is None else [_revoked(each, source) for each in found]


def loss_remarks(keys: Keyring | None) -> Iterator[Remark]:
    """One remark for each key source that held something that could not be read."""
    return remarks_on(keys.losses if keys is not None else ())


def remarks_on(losses: Iterable[Loss]) -> Iterator[Remark]:
    """One remark for each file that ``losses`` name."""
    counted: dict[str, list[Loss]] = {}
    for loss in losses:
        counted.setdefault(loss.file, []).append(loss)
    for file, losses in counted.items():
        first = losses[0]
        at = "" if first.offset is None else f" at {first.offset:#x}"
        entries = "one entry" if len(losses) == 1 else f"{len(losses)} entries, first"
        text = f"key source {file}: {entries} could not be read: {first.what}{at}: {first.reason}"
        yield Remark("key-source-loss", text)


def _revoked(signature: SignatureReport, source: str) -> SignatureReport:
    text = f"{source} revokes this file by its hash"
    warned = replace(signature, warnings=(*signature.warnings, Remark("file-revoked", text)))
    if signature.verdict is not Verdict.VALID:
        return warned
    reason = f"matches, but {text}"
    cause = Cause("revoked-file", reason, {"source": source})
    return replace(warned, verdict=Verdict.UNTRUSTED, reason=reason, cause=cause)
