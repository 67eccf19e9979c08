"""Options of the commands that sign: how, and with which key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, wraps
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from click.core import ParameterSource

from elfsig.cli.options.common import hash_type, hash_wished, kernel_type, with_options
from elfsig.cli.options.files import output_type, source_name
from elfsig.cli.settings import complain
from elfsig.errors import SigningError, UsageError
from elfsig.model import Format, PacketSigner, Signer, SignOptions
from elfsig.opened.atomic import write_atomic
from elfsig.signers import open_signer, passphrase
from elfsig.signers.command import CommandSigner
from elfsig.signers.key_file import read_file
from elfsig.signers.outside import read_public
from elfsig.verbs.keys import ephemeral
from elfsig.verbs.keys.target import names_certificate, target

if TYPE_CHECKING:
    from elfsig.signers.outside import PublicHalf

Callback = Callable[..., Any]


MAKING_OPTIONS = (
    click.option(
        "--hash", "hash_name", type=hash_type, metavar="HASH", help="Sign with this hash, such as sha256."
    ),
    click.option("--coverage", metavar="ID", help="Sign these bytes, where the format leaves a choice."),
    click.option(
        "--for-kernel",
        type=kernel_type,
        metavar="KERNEL",
        help="Choose hash and coverage for this kernel: id, release, image, or configuration.",
    ),
    click.option(
        "--payload",
        metavar="NAME",
        help="Choose the content: openpgp, raw-rsa, encrypted-digest (gkh); v1, v2 (crypto-digsig).",
    ),
    click.option("--keyid", is_flag=True, help="Identify the signer by subject key id (as sign-file -k)."),
    click.option(
        "--packet-version",
        type=click.Choice(["3", "4"]),
        help="Set the version of OpenPGP packets (default: 4).",
    ),
    click.option(
        "--section-name", metavar="NAME", help="Name the section NAME instead of the format's default."
    ),
    click.option(
        "--created",
        type=int,
        metavar="SECONDS",
        help="Set the signing time, in seconds since 1970 (default: now).",
    ),
    click.option(
        "--key-created",
        type=int,
        default=0,
        metavar="SECONDS",
        help="Set the creation time of a PEM key, which its OpenPGP key id depends on.",
    ),
    click.option(
        "--engine",
        type=click.Choice(["exact", "lief"]),
        default="exact",
        help="Choose what edits the ELF file.",
    ),
    click.option("--force", is_flag=True, help="Override safety refusals."),
)
"""In the order of the help."""


def making_options(callback: Callback) -> Callback:
    """Adds the options for what a format leaves open; the callback gets one argument ``options``."""

    @wraps(callback)
    def wrapped(
        *args: Any, hash_name: str | None, packet_version: str | None, for_kernel: str | None, **more: Any
    ) -> Any:
        named = {name: more.pop(name) for name in _PLAIN}
        options = SignOptions(hash=_hash(hash_name), packet_version=int(packet_version or 4), **named)
        if for_kernel is not None:
            options = _meant_for(options, for_kernel)
        return callback(*args, options=options, **more)

    return with_options(wrapped, MAKING_OPTIONS)


def _hash(wish: str | None) -> str | None:
    """elfsig's name of the requested hash; warns if it is weak. Raises UsageError."""
    if wish is None:
        return None
    found = hash_wished(wish)
    if found.weak:
        complain(f"--hash {found.name}: {found.weak}", word="warning: ")
    return found.name


def _meant_for(options: SignOptions, kernel: str) -> SignOptions:
    """``options`` for a kernel: what it leaves open is chosen for each format (kernels.suits)."""
    found = target(kernel)
    return options._replace(kernel=found.profile, hash=options.hash or found.hash)


_PLAIN = ("coverage", "payload", "keyid", "section_name", "created", "key_created", "engine", "force")


_UNDATED = frozenset({"cms", "x509-block", "encrypted-digest", "raw-rsa"})
_NO_PACKETS = _UNDATED | {"digsig"}

UNUSED = {"packet_version": _NO_PACKETS, "created": _UNDATED, "key_created": _NO_PACKETS}
"""By option, the envelopes that have nothing of this kind. What those of plug-ins have is not known."""


def refuse_unused(formats: Sequence[Format]) -> None:
    """Raises UsageError for an option on the command line that would change nothing in any of ``formats``."""
    context = click.get_current_context()
    envelopes = {pair.envelope.id for format_ in formats for pair in format_.pairs}
    for param in context.command.params:
        given = context.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE
        if given and envelopes <= UNUSED.get(param.name or "", frozenset()):
            names = " and ".join(format_.id for format_ in formats)
            raise UsageError(f"{param.opts[0]} does not apply to {names}")


class KeyWords(NamedTuple):
    """The key options: ``--key`` and ``--cert``, the file for the public half of an ephemeral key, or the
    program that signs. ``at_a_time``: how many operations a token or program may do in parallel."""

    keys: tuple[str, ...]
    certs: tuple[str, ...]
    ephemeral: str | None
    command: str | None = None
    at_a_time: int = 1

    def signers(
        self, formats: Sequence[Format], options: SignOptions, *, dry: bool = False
    ) -> list[Signer | PacketSigner]:
        """One signer for each of ``formats``: one key serves all, or each has its own, in their order.

        A certificate goes with the key that it belongs to. Warnings go to stderr. Raises UsageError,
        SigningError, WriteError.
        """
        if self.ephemeral is not None:
            return [_ephemeral(self.ephemeral, formats, options, dry)]
        if self.command is not None:
            return [self._bounded(_program(self.command, self.certs))] * len(formats)
        if len(self.keys) not in (1, len(formats)):
            text = f"{len(self.keys)} keys for {len(formats)} formats: give one key for all, or one for each"
            raise UsageError(text, code="keys")
        opened = [self._bounded(signer) for signer in _opened(self.keys, self.certs)]
        each = opened * len(formats) if len(opened) == 1 else opened
        for format_, signer in zip(formats, each, strict=True):
            _refuse_nameless(format_, signer)
        return each

    def _bounded(self, signer: Signer | PacketSigner) -> Signer | PacketSigner:
        if hasattr(signer, "jobs"):
            signer.jobs = self.at_a_time
        return signer


KEY_OPTIONS = (
    click.option(
        "--key",
        "keys",
        multiple=True,
        metavar="KEY",
        type=source_name,
        help="Sign with this private key: a file, pkcs11: URI, or gpg:KEYID.",
    ),
    click.option(
        "--cert",
        "certs",
        multiple=True,
        metavar="CERT",
        type=source_name,
        help="Read the certificate of the key from CERT, if it is not stored with the key.",
    ),
    click.option(
        "--signer-command",
        "program",
        metavar="CMD",
        help="Sign with CMD: digest on stdin, {hash} in its arguments, signature on stdout; needs --cert.",
    ),
    click.option(
        "--token-jobs",
        "at_a_time",
        type=click.IntRange(min=1),
        default=1,
        metavar="N",
        show_default=True,
        help="Run N operations of a token or CMD in parallel.",
    ),
    click.option(
        "--ephemeral",
        type=output_type,
        metavar="FILE",
        help="Generate a key for this run only, and write its certificate or public key to FILE.",
    ),
)
"""In the order of the help."""


def key_options(callback: Callback) -> Callback:
    """Adds ``--key --cert --ephemeral --signer-command --token-jobs``; the callback gets one argument
    ``key_words``."""

    @wraps(callback)
    def wrapped(
        *args: Any,
        keys: tuple[str, ...],
        certs: tuple[str, ...],
        ephemeral: str | None,
        program: str | None,
        at_a_time: int,
        **more: Any,
    ) -> Any:
        ways = (bool(keys), ephemeral is not None, program is not None, *map(bool, map(more.get, LATER)))
        if sum(ways) != 1 or (ephemeral is not None and certs):
            text = "use exactly one of --key (with --cert), --ephemeral, and --signer-command (with --cert)"
            raise UsageError(text, code="keys")
        words = KeyWords(keys, certs, ephemeral, program, at_a_time)
        return callback(*args, key_words=words, **more)

    return with_options(wrapped, KEY_OPTIONS)


LATER = ("prepare", "attach")
"""Arguments of commands for signing elsewhere: then no key is needed."""


def _refuse_nameless(format_: Format, signer: Signer | PacketSigner) -> None:
    """Raises SigningError, once for all files, if the format needs a certificate and there is none."""
    if not names_certificate(format_) or getattr(signer, "certificate", None) is not None:
        return
    if isinstance(signer, Signer):
        what = "needs the signer's certificate: pass it with --cert"
    else:
        what = "needs a signer with a certificate, which a GnuPG key does not have"
    raise SigningError(f"{format_.id} {what}", code="no-certificate")


def _program(command: str, certs: tuple[str, ...]) -> Signer:
    signer = CommandSigner(command, public_half(certs))
    _warned(signer, certs[0])
    return signer


def public_half(certs: tuple[str, ...]) -> PublicHalf:
    """The public half of a key that is not at hand, from ``--cert``. Raises UsageError, SigningError."""
    if len(certs) != 1:
        raise UsageError(
            "signing elsewhere needs the signer's certificate: pass exactly one --cert", code="keys"
        )
    return read_public(read_file(certs[0]), certs[0])


def _opened(keys: tuple[str, ...], certs: tuple[str, ...]) -> list[Signer | PacketSigner]:
    if len(keys) == 1 and len(certs) < 2:
        return [_warned(open_signer(keys[0], *certs), (*certs, *keys)[0])]

    ask = cache(passphrase.ask)  # a key may be opened once for each certificate
    unused = set(certs)
    signers = [_warned(_with_its_certificate(key, certs, unused, ask), key) for key in keys]
    if unused:
        raise UsageError(
            f"{sorted(unused)[0]}: this certificate does not belong to any of the keys", code="keys"
        )
    return signers


def _with_its_certificate(
    key: str, certs: tuple[str, ...], unused: set[str], ask: Callable[[str], bytes]
) -> Signer | PacketSigner:
    """The signer of ``key``, with its certificate if that is among ``certs``."""
    signer = open_signer(key, ask=ask)
    for cert in certs if isinstance(signer, Signer) else ():
        try:
            signer = open_signer(key, cert, ask=ask)
        except SigningError as reason:
            if reason.code != "certificate-of-other":
                raise
        else:
            unused.discard(cert)
    return signer


def _warned(signer: Signer | PacketSigner, name: str) -> Signer | PacketSigner:
    for remark in getattr(signer, "remarks", ()):
        complain(remark.text, getattr(signer, "name", name), word="warning: ")
    return signer


def _ephemeral(path: str, formats: Sequence[Format], options: SignOptions, dry: bool) -> Signer:
    """A key that only this process has. Its public half is written before anything is signed with it."""
    if len(formats) != 1:
        raise UsageError("--ephemeral generates one key, so it works with one format only", code="keys")
    if not options.force:
        ephemeral.refuse_existing(path)
    signer = ephemeral.make(formats[0], options)
    public = ephemeral.public_half(formats[0], signer, options, path)
    if not dry:
        write_atomic(path, public)
    return signer


def jobs_for(jobs: int, signers: Sequence[Signer | PacketSigner]) -> int:
    """How many files to process in parallel.

    By default one if an agent may ask for a passphrase; with a token or a program, at most ``--token-jobs``.
    """
    bounds: list[int] = [signer.jobs for signer in signers if hasattr(signer, "jobs")]
    if not bounds:
        return jobs or (0 if all(isinstance(signer, Signer) for signer in signers) else 1)
    allowed = min([*bounds, jobs or bounds[0]])
    for signer in signers:
        if allowed > 1 and hasattr(signer, "release"):
            signer.release()
    return allowed
