"""``elfsig keys list``: list the keys in key sources."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import click

from elfsig.cli.options.common import Machine, kernel_type, machine_options
from elfsig.cli.render.documents import line_of, write_document, write_files
from elfsig.cli.render.table import terminal_width
from elfsig.cli.settings import Settings, complain, visible
from elfsig.kernels.errnos import number
from elfsig.kernels.keys import kernel_blacklist
from elfsig.kernels.loading import Blacklist, Loading
from elfsig.kernels.profile import Profile
from elfsig.model import Key
from elfsig.model.json_form import Json, certificate_fingerprints, loss_object, time_text
from elfsig.signers import passphrase
from elfsig.trust.keyring import load
from elfsig.trust.ring import Ring
from elfsig.verbs.keys.target import target
from elfsig.verbs.keys.tokens import keys_in_tokens

MAX_SHOWN = 20
"""Losses that are listed one by one."""


@click.command("list")
@click.argument("sources", nargs=-1, required=True, metavar="SRC...")
@click.option(
    "--for-kernel", type=kernel_type, metavar="KERNEL", help="Say which keys this kernel does not load."
)
@machine_options
@click.pass_obj
def command(settings: Settings, machine: Machine, sources: Sequence[str], for_kernel: str | None) -> None:
    """List the keys in SRC: subject, issuer, serial, key ids, algorithm, validity, role.

    SRC may be a token (pkcs11: URI), whose private keys are visible with its PIN.

    Role: builtin is in the kernel's list of keys, embedded is elsewhere in the image. For an untrusted key
    the reason is printed; what could not be read of a source is listed last.
    """
    kernel = target(for_kernel).profile if for_kernel is not None else None
    if kernel is not None and kernel.caveat:
        complain(kernel.caveat, word="warning: ")
    tokens = [source for source in sources if source.startswith("pkcs11:")]
    ring = load([source for source in sources if source not in tokens])
    held = [held for uri in tokens for held in keys_in_tokens(uri, _pin())]
    keys = [*ring.keys, *ring.unusable, *(each.key for each in held if each.key is not None)]
    listed = kernel_blacklist(ring)
    if machine.wanted:
        rows = [{**key.to_json(), **_loading(key, kernel, listed)} for key in keys]
        _write(settings, machine, rows, ring)
        return
    words = {id(each.key): each.words for each in held}
    for key in keys:
        more = [_line("holds", words[id(key)])] if id(key) in words else []
        click.echo("\n".join([*_lines(key), *more, *_judged(key, kernel, listed)]))
    for each in held:
        if each.key is None:
            click.echo("\n".join([visible(each.uri), _line("holds", each.words)]))
    if ring.revoked_hashes:
        click.echo(f"{len(ring.revoked_hashes)} revoked hashes")
    for loss in ring.losses[:MAX_SHOWN]:
        click.echo(f"not read: {visible(str(loss))}")
    if len(ring.losses) > MAX_SHOWN:
        click.echo(f"not read: {len(ring.losses) - MAX_SHOWN} more entries")


def _write(settings: Settings, machine: Machine, keys: Sequence[Json], ring: Ring) -> None:
    """One document, or a line for each key, each revoked hash and each loss."""
    hashes, losses = ring.revoked_hash_objects(), [loss_object(each) for each in ring.losses]
    if machine.form == "json":
        write_document(settings, machine, keys=keys, revoked_hashes=hashes, losses=losses)
    else:
        write_files(settings, machine, (line_of(**each) for each in (*keys, *hashes, *losses)))


def _pin() -> Callable[[str], bytes] | None:
    """How to learn a token's PIN; None where it would have to be waited for in vain."""
    return passphrase.ask if passphrase.can_ask() else None


def _line(name: str, text: str) -> str:
    """A field; a fingerprint that is too long for the terminal goes on between two of its bytes."""
    lead, text, width = f"  {name + ':':<13}", visible(text), terminal_width()
    if width is None or len(lead) + len(text) <= width or " " in text:
        return f"{lead}{text}"
    if ":" not in text.removeprefix("SHA256:"):
        return f"{lead.rstrip()}\n    {text}"
    step = max(3, (width - len(lead)) // 3 * 3)
    return "\n".join(
        (lead if not at else " " * len(lead)) + text[at : at + step] for at in range(0, len(text), step)
    )


def _lines(key: Key) -> Iterator[str]:
    yield visible(key.label)
    for name, text in _fields(key):
        yield _line(name, text)


def _judged(key: Key, kernel: Profile | None, listed: Blacklist) -> Iterator[str]:
    """Whether a kernel loads the key; ``listed``: what is on its blacklist."""
    if kernel is not None:
        found = kernel.loads(key, blacklist=listed)
        yield f"  {'kernel:':<13}{visible(kernel.id)}: {visible(_loading_words(found))}"


def _loading_words(found: Loading) -> str:
    if found.good:
        return f"loads it, but: {found.doubt}" if found.doubt else "loads it"
    code = f", error -{number(found.errno)} ({found.errno})" if found.errno else ""
    return f"{'cannot use it' if found.loaded else 'does not load it'}: {found.text}{code}"


def _loading(key: Key, kernel: Profile | None, listed: Blacklist) -> Json:
    if kernel is None:
        return {}
    found = kernel.loads(key, blacklist=listed)
    return {"kernel": {"id": kernel.id, **found._asdict()}}


def _colons(digest: str) -> str:
    """As ``openssl x509 -fingerprint`` prints a digest; mokutil does so in lower case."""
    return bytes.fromhex(digest).hex(":").upper()


def _fields(key: Key) -> Iterator[tuple[str, str]]:
    yield "role", key.role
    if not key.trusted:
        yield "not trusted", f"revoked by {key.revoked_by}" if key.revoked_by else key.why.text
    yield "source", key.source
    size = key.curve or (str(key.bits) if key.bits else "")
    yield "algorithm", f"{key.algorithm} {size}".rstrip()
    yield "fingerprint", f"SHA256:{key.fingerprint}"
    if certificate := key.certificate:
        prints = certificate_fingerprints(certificate)
        yield "cert sha256", _colons(prints["sha256"])
        yield "cert sha1", _colons(prints["sha1"])
        yield "subject", certificate.subject_text
        yield "issuer", certificate.issuer_text
        yield "serial", f"{certificate.serial:x}"
        yield "skid", certificate.skid.hex() if certificate.skid is not None else "none"
        yield "valid", f"{time_text(certificate.not_before)} to {time_text(certificate.not_after)}"
    if key.openpgp_fingerprint:
        yield "openpgp", key.openpgp_fingerprint.hex()
    if key.created is not None:
        yield "created", time_text(key.created)
    for remark in key.remarks:
        yield "note", remark.text
