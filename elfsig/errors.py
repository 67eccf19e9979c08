"""Exceptions, under two roots: something cannot be read, or it does not verify.

Third-party exceptions never leave elfsig: every module that calls a library maps them to one of these.
"""

from __future__ import annotations

from typing import Any, ClassVar

DEBUG = "ELFSIG_DEBUG"
"""Environment variable: when set, mistakes in elfsig are raised with their traceback instead of being
reported as one file's error."""


class ElfsigError(Exception):
    """Base of every error that elfsig raises on purpose.

    ``code`` is a stable word for machines, ``text`` the sentence for people, ``offset`` the byte
    position in the (decompressed) content that it refers to, or None. ``path``
    is set by the caller that knows the file. ``hint`` is a stable word for what the caller can do about it,
    such as ``force`` or ``replace``: texts name no command-line option, the command line adds the name of
    its own. ``exit_code`` is the exit status of the command line when this error decides it.
    """

    exit_code: ClassVar[int] = 1
    default_code: ClassVar[str] = "error"

    def __init__(
        self, text: str, *, offset: int | None = None, code: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(text)
        self.text = text
        self.offset = offset
        self.code: str = code or self.default_code
        self.hint = hint
        self.path: str | None = None

    def __str__(self) -> str:
        return self.text if self.offset is None else f"{self.text} (at offset {self.offset:#x})"


class ParseError(ElfsigError):
    """Bytes are not what their format says. The only error that a parser raises."""

    default_code = "malformed"


class ReadError(ElfsigError):
    """A file could not be read: missing, a directory, a FIFO, permission denied, or over the size limit."""

    exit_code = 5
    default_code = "unreadable"


class ContainerError(ReadError):
    """A package, archive, image or compressed stream could not be read to its end.

    ``code`` is one of damaged, truncated, trailing-data (something follows the end that is not part of it),
    over-budget, encrypted, unsupported, unrecognised, needs-extra (``hint`` names the extra), killed,
    connection (lost while a URL was read), out-of-memory, internal-error and plug-in-error (a mistake in
    elfsig or a plug-in). ``offset`` counts in the bytes of that container, not in those of the file that
    holds it.
    """

    default_code = "damaged"


class InternalError(ReadError):
    """A mistake in elfsig, or in a plug-in, that one file exposed.

    ``code`` is internal-error, or plug-in-error with the plug-in's name in the text. The exception that was
    raised is the ``__cause__``.
    """

    default_code = "internal-error"


class Killed(ReadError):
    """The process that examined one file was ended, or reached a limit.

    ``limit`` names the limit (processor, clock, memory, records, scratch), ``signal`` the signal that ended
    the process (``SIGSEGV``); None where there was none.
    """

    limit: str | None
    signal: str | None

    default_code = "killed"

    def __init__(
        self, text: str, *, limit: str | None = None, signal: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(text, hint=hint)
        self.limit, self.signal = limit, signal


class VerificationError(ElfsigError):
    """A file's signatures do not verify.

    ``FileReport.require_valid`` raises it for every file whose verdict is not ``valid``; ``report`` is then
    that report.
    """

    default_code = "not-valid"

    def __init__(
        self, text: str, *, offset: int | None = None, code: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(text, offset=offset, code=code, hint=hint)
        self.report: Any = None


class KeySourceError(ElfsigError):
    """A key source is missing, holds no usable key, or holds a private key where a public key is expected."""

    exit_code = 2
    default_code = "key-source"


class SigningError(ElfsigError):
    """A signature cannot be made: wrong key for the format, key and certificate do not match, token error."""

    default_code = "cannot-sign"


class KeyFileError(SigningError):
    """A key or certificate file is missing or cannot be read: a usage error, as for key sources."""

    exit_code = 2
    default_code = "no-key-file"


class EditRefused(ElfsigError):
    """An edit would change more than requested, or could not be proven not to. Nothing was written."""

    default_code = "edit-refused"


class WriteError(ElfsigError):
    """A result could not be written; what was there before is untouched."""

    default_code = "not-written"


class UsageError(ElfsigError):
    """The request contradicts itself or names something unknown."""

    exit_code = 2
    default_code = "usage"
