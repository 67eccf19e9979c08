"""``target-query IMAGE -f elfsig``: the kernel modules of a target, and who signed them.

The target is only read: modules are read out of its file systems into memory, and verified there.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from dissect.target.exceptions import Error, UnsupportedPluginError
from dissect.target.helpers.record import TargetRecordDescriptor
from dissect.target.plugin import Plugin, arg, export

from elfsig import FileReport, Keyring, ReadError, Verdict, keyring, verify
from elfsig import open as opened

FOLDERS = ("/lib/modules", "/usr/lib/modules")
SUFFIXES = (".ko", ".ko.gz", ".ko.xz", ".ko.zst")
OPTION = {"action": "append", "default": [], "metavar": "SRC"}
LIMIT = 1 << 28
"""Size in bytes above which a file is not read."""

ModuleSignatureRecord = TargetRecordDescriptor(
    "linux/module/signature",
    [
        ("datetime", "created"),
        ("path", "path"),
        ("filesize", "size"),
        ("string", "sha256"),
        ("string", "content_sha256"),
        ("string", "name"),
        ("string", "vermagic"),
        ("string", "compression"),
        ("string", "verdict"),
        ("boolean", "trusted"),
        ("string", "reason"),
        ("string", "format"),
        ("string", "hash"),
        ("string", "algorithm"),
        ("varint", "key_bits"),
        ("string", "signer"),
        ("string", "serial"),
        ("string", "key_id"),
        ("string", "key_name"),
        ("string", "key_fingerprint"),
        ("string[]", "warnings"),
        ("string", "error"),
    ],
)
"""``created`` is when the signature says that it was made; ``trusted``: valid, by a key of --trust."""


class ElfsigPlugin(Plugin):  # type: ignore[misc]  # dissect.target is not read by the type checker
    """Verify the signatures of kernel modules with elfsig."""

    def check_compatible(self) -> None:
        """Raises UnsupportedPluginError for a target without modules."""
        if not any(self.target.fs.path(folder).is_dir() for folder in FOLDERS):
            raise UnsupportedPluginError("no directory with kernel modules")

    @arg("--trust", **OPTION, help="trust the keys in SRC")  # type: ignore[untyped-decorator]
    @arg("--keys", **OPTION, help="try the keys in SRC")  # type: ignore[untyped-decorator]
    @export(record=ModuleSignatureRecord)  # type: ignore[untyped-decorator]
    def elfsig(self, trust: list[str], keys: list[str]) -> Iterator[Any]:
        """Return a record for each kernel module: its verdict, and who signed it.

        Modules are found by their names, below /lib/modules and /usr/lib/modules. One that cannot be read has
        a record with an error. SRC is a file on the machine of the examiner, such as a certificate or a
        kernel image.
        """
        ring = keyring(trust, keys)
        for path in self._modules():
            yield self._record(path, ring)

    def _modules(self) -> Iterator[Any]:
        """The paths of all modules; links to directories are not followed below these two."""
        seen: set[str] = set()
        for folder in FOLDERS:
            top = self.target.fs.path(folder)
            if not top.is_dir() or (real := str(top.resolve())) in seen:
                continue
            seen.add(real)
            for path in sorted(top.rglob("*")):
                if path.name.endswith(SUFFIXES) and not path.is_dir():
                    yield path

    def _record(self, path: Any, ring: Keyring | None) -> Any:
        try:
            size = path.stat().st_size
            if size > LIMIT:
                return ModuleSignatureRecord(
                    path=path, size=size, error=f"larger than {LIMIT} bytes", _target=self.target
                )
            module = opened(path.read_bytes())
        except (OSError, Error, ReadError) as reason:
            return ModuleSignatureRecord(path=path, error=str(reason) or repr(reason), _target=self.target)
        return ModuleSignatureRecord(
            path=path, size=size, name=module.name, vermagic=module.vermagic, _target=self.target,
            **_members(verify(module, () if ring is None else ring)),
        )  # fmt: skip


def _members(report: FileReport) -> dict[str, Any]:
    """What a record has of a report."""
    said = report.to_json()
    decisive: dict[str, Any] = next((each for each in said["signatures"] if each["effective"]), {})
    key = decisive.get("key") or {}
    own = ("reason", "format", "hash", "algorithm", "key_bits", "signer", "serial", "key_id")
    warnings = (*said["warnings"], *decisive.get("warnings", ()))
    return {
        **{name: decisive.get(name) for name in own},
        "sha256": said["sha256"],
        "content_sha256": said["content_sha256"],
        "compression": said["compression"],
        "verdict": said["verdict"],
        "trusted": report.verdict is Verdict.VALID,
        "created": _time(decisive.get("created")),
        "key_name": key.get("name"),
        "key_fingerprint": key.get("fingerprint"),
        "warnings": sorted({each["code"] for each in warnings}),
        "error": said["error"] and said["error"]["text"],
    }


def _time(text: str | None) -> datetime | None:
    """A time of elfsig's JSON; None for one that is beyond the calendar."""
    if text is None or text.startswith("@"):
        return None
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
