"""``elfsig keys generate``: generate a key pair for signing modules, once or periodically."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from elfsig.cli.options.common import hash_type, hash_wished, kernel_type
from elfsig.cli.settings import complain, visible
from elfsig.cli.streams import outlive_readers
from elfsig.errors import UsageError
from elfsig.host.commands import UNPRINTABLE, operand, to_paste
from elfsig.kernels.suits import key_warning
from elfsig.keygen import genkey, kconfig, keydir
from elfsig.keygen.files import write_all
from elfsig.keygen.kconfig import Use, updated
from elfsig.opened.atomic import write_atomic
from elfsig.opened.evidence import read
from elfsig.signers import passphrase
from elfsig.verbs.keys.generate import DATED, LIKES, PLAIN, KeyRequest, decide, ima_items, make
from elfsig.verbs.keys.target import target as kernel_target

if TYPE_CHECKING:
    from elfsig.keygen.genkey import Genkey
    from elfsig.keygen.kconfig import Config
    from elfsig.keygen.kinds import Kind
    from elfsig.verbs.keys.generate import GeneratedKey, Like
    from elfsig.verbs.keys.target import Target

LIKE = ("kernel", "dkms", "arch-skm")
USES = ("both", "own-modules", "other-modules")


@click.command(
    "generate",
    epilog="Times for --refresh: 90s, 30min, 24h, 7days, 2weeks, always, never. The passphrase is read from "
    "KBUILD_SIGN_PIN, or from the terminal.",
)
@click.option(
    "-o", "--output", metavar="NAME", type=click.Path(), help="Write NAME.key, NAME.crt and NAME.der."
)
@click.option(
    "--key-dir", metavar="DIR", type=click.Path(), help="Write to DIR/DATE-TIME/, and link DIR/current to it."
)
@click.option(
    "--refresh",
    metavar="TIME",
    help="With --key-dir: generate keys only if the current ones are older (default: 7days).",
)
@click.option(
    "--type",
    "type_name",
    metavar="T",
    help="Choose rsa2048|3072|4096, p256|384|521, mldsa44|65|87, or dsa1024.",
)
@click.option(
    "--hash",
    "hash_name",
    type=hash_type,
    metavar="HASH",
    help="Choose the hash for signing (default: sha256).",
)
@click.option("--name", "common_name", metavar="TEXT", help="Set the common name of the certificate.")
@click.option(
    "--genkey",
    metavar="FILE",
    type=click.Path(),
    help="Take the certificate's fields from this x509.genkey file.",
)
@click.option(
    "--days",
    metavar="N",
    type=click.IntRange(min=1),
    default=36500,
    show_default=True,
    help="Set the validity in days.",
)
@click.option("--codesigning", is_flag=True, help="Allow code signing, for DKMS and machine owner keys.")
@click.option(
    "--module-only",
    is_flag=True,
    help="Allow signing modules only, so that shim does not boot anything signed with it.",
)
@click.option(
    "--ima", is_flag=True, help="For IMA too: allow code signing, and write NAME.pub.pem for evmctl."
)
@click.option(
    "--openpgp", is_flag=True, help="Also write an OpenPGP ring, for kernels before 3.7 (always with DSA)."
)
@click.option(
    "--key-created",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    metavar="SECONDS",
    help="Set the creation time in the ring.",
)
@click.option("--passphrase", is_flag=True, help="Encrypt the private key.")
@click.option(
    "--for-kernel",
    type=kernel_type,
    metavar="KERNEL",
    help="Choose what suits this kernel: id, release, image, or configuration.",
)
@click.option("--like", type=click.Choice(LIKE), help="Use the file names and defaults of this tool.")
@click.option(
    "--kernel-config",
    "configs",
    multiple=True,
    metavar="FILE",
    help="Make these kernel configurations use the key; may contain wildcards.",
)
@click.option(
    "--use-for",
    type=click.Choice(USES),
    help="With --kernel-config: set CONFIG_MODULE_SIG_KEY, the trusted keys, or both.",
)
@click.option(
    "--force", is_flag=True, help="Overwrite files, and generate keys that the kernel would refuse."
)
@click.option("-q", "--quiet", is_flag=True, help="Print only problems.")
def command(**how: Any) -> None:
    """Generate a key pair: by default RSA-4096, with the extensions of the kernel's x509.genkey.

    Private keys are readable only by their owner. With --key-dir, new keys are generated only when they are
    due; kernel configurations are updated in any case.
    """
    outlive_readers()
    plan = _plan(how)
    quiet = how["quiet"]
    why, pair = "", _present(plan, how)
    if pair is None or not plan.folder:
        why = plan.due or ""
        made, paths = _make(plan, how)
        pair = plan.pair_path(paths)
        if not quiet:
            _tell(made, paths, why)
        _warn(plan, made)
        if not quiet:
            for line in _next_steps(plan, made, paths):
                click.echo(line)
    elif not quiet:
        click.echo(f"{visible(pair)}: still current")
    _configure(plan, pair, how)


class Plan(NamedTuple):
    """The result of the options. ``folder`` is the directory of dated folders, None for plain files; ``due``
    is why new keys are needed there, None if they are not."""

    wish: KeyRequest
    like: Like
    folder: str | None
    base: str
    due: str | None
    configs: list[Config]
    use: Use
    target: Target | None

    def pair_path(self, paths: list[str]) -> str | None:
        """The file with both key and certificate among ``paths``, if this layout has one."""
        name = self.like.pair
        wanted = None if name is None else os.path.basename(name.format(name=self.base))
        found = (os.path.abspath(path) for path in paths if os.path.basename(path) == wanted)
        return next(found, None)


def _plan(how: dict[str, Any]) -> Plan:
    folder = how["key_dir"] or ("certs-local" if how["like"] == "arch-skm" else None)
    _check(how, folder)
    configs = kconfig.read_all(how["configs"])
    like = LIKES[how["like"]] if how["like"] else DATED if folder else PLAIN
    if configs and like.pair is None:
        raise UsageError(
            "a kernel build needs key and certificate in one file: use --key-dir or --like kernel"
        )
    target = kernel_target(how["for_kernel"]) if how["for_kernel"] else None
    if target is not None and target.profile.caveat:
        complain(target.profile.caveat, word="warning: ")
    genkey = _genkey(how, like)
    kind, hash_name = _decided(how, like, configs, target, genkey)
    use = _use(how)
    for config in () if how["force"] else configs:
        kconfig.refuse_foreign(config, _pair_name(like, how), use)
    ring = how["openpgp"] or bool(target and target.wants_ring)
    wish = KeyRequest(kind, hash_name, genkey, how["days"], ring, how["key_created"])
    due = None
    if folder:
        due = keydir.due(folder, keydir.period(how["refresh"] or keydir.REFRESH), kind, hash_name)
    return Plan(wish, like, folder, os.path.basename(how["output"] or ""), due, configs, use, target)


def _decided(
    how: dict[str, Any], like: Like, configs: list[Config], target: Target | None, genkey: Genkey
) -> tuple[Kind, str]:
    type_name = how["type_name"]
    said = hash_wished(how["hash_name"]).name if how["hash_name"] else genkey.hash
    return decide(
        type_name,
        said,
        target=target,
        bits=genkey.bits,
        configured=(
            None if type_name else kconfig.agreed(configs, lambda c: c.kind, "--type", lambda k: k.id),
            None if said else kconfig.agreed(configs, lambda c: c.hash, "--hash"),
        ),
        like=(like.kind, like.hash) if how["like"] else None,
        force=how["force"],
    )


def _use(how: dict[str, Any]) -> Use:
    word = how["use_for"] or ("other-modules" if how["like"] == "arch-skm" else "both")
    return Use(module_key=word != "other-modules", trusted=word != "own-modules")


def _pair_name(like: Like, how: dict[str, Any]) -> str:
    return (like.pair or "").format(name=os.path.basename(how["output"] or ""))


def _check(how: dict[str, Any], folder: str | None) -> None:
    if (how["output"] is None) == (folder is None):
        raise UsageError("use exactly one of -o NAME and --key-dir DIR", code="output")
    if how["output"] is not None and not os.path.basename(how["output"]):
        raise UsageError(
            "-o NAME is the start of file names, not a directory: such as -o DIR/signing", code="output"
        )
    if how["refresh"] and folder is None:
        raise UsageError("--refresh needs --key-dir", code="refresh")
    if how["use_for"] and not how["configs"]:
        raise UsageError("--use-for needs --kernel-config", code="use-for")


def _genkey(how: dict[str, Any], like: Like) -> Genkey:
    own = how["genkey"]
    name = how["common_name"] or (None if own else like.common_name)
    usages = () if own else like.usages
    codesigning = how["codesigning"] or how["ima"]
    return genkey_of(own, name, usages, codesigning=codesigning, module_only=how["module_only"])


def genkey_of(
    path: str | None,
    name: str | None,
    usages: Sequence[str] = (),
    *,
    codesigning: bool = False,
    module_only: bool = False,
) -> Genkey:
    """What a certificate is to say: that of the kernel, or of the file ``path``, with this common name and
    further extended key usages. Raises UsageError, ReadError."""
    found = genkey.read(_text(path), path) if path else genkey.KERNEL
    if name:
        found = found.with_common_name(name)
    more = [*usages, *([genkey.CODE_SIGNING] if codesigning else [])]
    more += [genkey.CODE_SIGNING, genkey.MODULE_SIGNING] if module_only else []
    return found.with_usage(*dict.fromkeys(more)) if more else found


def _text(path: str) -> str:
    return read(path, limit=1 << 20).raw.decode("utf-8", "replace")


# --------------------------------------------------------------------------- making


def _present(plan: Plan, how: dict[str, Any]) -> str | None:
    """The current pair, None if a new one is to be generated."""
    if plan.folder is None or plan.due is not None:
        return None
    there = keydir.current(plan.folder)
    return there.pair if there else None


def _make(plan: Plan, how: dict[str, Any]) -> tuple[GeneratedKey, list[str]]:
    name = plan.base or "signing"
    secret = passphrase.choose(name) if how["passphrase"] else None
    made = make(plan.wish)
    items = plan.like.files(name, made, secret) + (ima_items(name, made) if how["ima"] else [])
    if plan.folder:
        folder = keydir.add(plan.folder, items)
        return made, [os.path.join(folder, item.name) for item in items]
    read = [*(each for each in (how["genkey"], how["for_kernel"]) if each), *(c.path for c in plan.configs)]
    return made, write_all(os.path.dirname(how["output"]), items, replace=how["force"], never=read)


def _warn(plan: Plan, made: GeneratedKey) -> None:
    """A key that the kernel does not load, or that none does, is better not enrolled."""
    kernel = plan.target.profile if plan.target else None
    if made.certificate is not None and (text := key_warning(made.certificate, kernel)):
        complain(f"warning: {text}")


def _tell(made: GeneratedKey, paths: list[str], why: str) -> None:
    reason = f": {visible(why)}" if why else ""
    click.echo(f"new {made.kind.id} key pair, for signing with {made.hash}{reason}")
    for path in paths:
        click.echo(f"  {visible(path)}")


def _configure(plan: Plan, pair: str | None, how: dict[str, Any]) -> None:
    """Update the configurations; a file is written only if it changes."""
    if pair is None:
        return

    for config in plan.configs:
        text = updated(config, pair, plan.wish.kind, plan.wish.hash, plan.use)
        if text != config.text:
            for remark in write_atomic(config.path, text.encode("utf-8", "surrogateescape")):
                complain(remark.text, config.path, word="warning: ")
        if not how["quiet"]:
            word = "up to date" if text == config.text else "now uses the key"
            click.echo(f"{visible(config.path)}: {word}")


# --------------------------------------------------------------------------- what to do next


def _next_steps(plan: Plan, made: GeneratedKey, paths: list[str]) -> Iterator[str]:
    """The usual next steps, as commands."""
    folder = os.path.dirname(paths[0])
    key, cert, der = (
        operand(os.path.join(folder, name.format(name=plan.base))) if name else None
        for name in (plan.like.key_file, plan.like.cert_file, plan.like.der)
    )
    yield "next:"
    if made.certificate is None or (plan.target and plan.target.wants_ring):
        format_ = plan.target.format if plan.target else "FORMAT"
        sign = _pasted("elfsig", "sign", "--format", format_, "--key", key)
        yield f"  build the ring into the kernel; {sign} ..."
    elif plan.folder:
        yield "  build the kernel with --kernel-config's files, and in its package step:"
        yield f"  {_pasted('elfsig', 'keys', 'install', '--key-dir', operand(plan.folder))} DESTINATION"
    elif der is None:
        yield f'  CONFIG_MODULE_SIG_KEY="{visible(os.path.abspath(paths[0]))}" in the kernel\'s configuration'
    else:
        words = ("elfsig", "sign", "--format", "pkcs7", "--hash", made.hash, "--key", key, "--cert", cert)
        yield f"  {_pasted('mokutil', '--import', der)}    # then reboot, and confirm in MokManager"
        test = _pasted("mokutil", "--test-key", der)
        yield f"  {test}    # read its answer: the exit code changed after 0.7.2"
        yield f"  {_pasted(*words, '--in-place', 'M.ko')}"


def _pasted(*words: str | None) -> str:
    return to_paste([word for word in words if word is not None]) or UNPRINTABLE
