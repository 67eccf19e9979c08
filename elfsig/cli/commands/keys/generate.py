"""``elfsig keys generate``: a key pair for signing modules, once or whenever it is due."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from elfsig.cli.options.common import hash_wished
from elfsig.cli.settings import complain, visible
from elfsig.errors import UsageError
from elfsig.kernels.suits import key_warning
from elfsig.keygen import genkey, kconfig, keydir
from elfsig.keygen.files import write_all
from elfsig.keygen.kconfig import Use, updated
from elfsig.opened.atomic import write_atomic
from elfsig.opened.evidence import read
from elfsig.signers import passphrase
from elfsig.verbs.keys.generate import DATED, LIKES, PLAIN, Wish, decide, ima_items, make
from elfsig.verbs.keys.target import target as kernel_target

if TYPE_CHECKING:
    from elfsig.keygen.genkey import Genkey
    from elfsig.keygen.kconfig import Config
    from elfsig.keygen.kinds import Kind
    from elfsig.verbs.keys.generate import Like, Pair
    from elfsig.verbs.keys.target import Target

LIKE = ("kernel", "dkms", "arch-skm")
USES = ("both", "own-modules", "other-modules")


@click.command(
    "generate",
    epilog="Times for --refresh: 90s, 30min, 24h, 7days, 2weeks, always, never. --passphrase takes it from "
    "KBUILD_SIGN_PIN or the terminal.",
)
@click.option("-o", "--output", metavar="NAME", type=click.Path(), help="Write NAME.key, NAME.crt, NAME.der.")
@click.option(
    "--key-dir", metavar="DIR", type=click.Path(), help="Write DIR/DATE-TIME/, led to by DIR/current."
)
@click.option("--refresh", metavar="TIME", help="In --key-dir, make keys only when older (default 7days).")
@click.option(
    "--type", "type_name", metavar="T", help="rsa2048|3072|4096, p256|384|521, mldsa44|65|87, dsa1024."
)
@click.option("--hash", "hash_name", metavar="HASH", help="To sign with (default sha256).")
@click.option("--name", "common_name", metavar="TEXT", help="Common name of the certificate.")
@click.option("--genkey", metavar="FILE", type=click.Path(), help="Certificate as in this x509.genkey file.")
@click.option("--days", type=click.IntRange(min=1), default=36500, show_default=True, help="Validity.")
@click.option("--codesigning", is_flag=True, help="For DKMS and machine owner keys: usage code signing.")
@click.option("--module-only", is_flag=True, help="Usage: modules alone, so that shim boots nothing by it.")
@click.option("--ima", is_flag=True, help="For IMA too: usage code signing, and NAME.pub.pem for evmctl.")
@click.option(
    "--openpgp", is_flag=True, help="An OpenPGP ring too, for kernels before 3.7 (with DSA always)."
)
@click.option(
    "--key-created", type=click.IntRange(0, 2**32 - 1), default=0, metavar="SECONDS", help="In the ring."
)
@click.option("--passphrase", is_flag=True, help="Encrypt the private key.")
@click.option("--for-kernel", metavar="K", help="What suits this kernel: id, release, image, configuration.")
@click.option("--like", type=click.Choice(LIKE), help="Files and defaults as these tools have them.")
@click.option(
    "--kernel-config", "configs", multiple=True, metavar="FILE", help="Have it use the key; wildcards."
)
@click.option(
    "--use-for",
    type=click.Choice(USES),
    help="In --kernel-config: CONFIG_MODULE_SIG_KEY, trusted keys, or both.",
)
@click.option("--force", is_flag=True, help="Replace files, and make what the kernel would not take.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing about what went well.")
def command(**how: Any) -> None:
    """Make a key pair: RSA-4096 with the extensions of the kernel's x509.genkey, unless told otherwise.

    Private keys are readable by their owner alone. With --key-dir new keys are made only when they are due,
    and kernel configurations are brought in line with them whether or not they were.
    """
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
        click.echo(f"{visible(pair)}: still serves")
    _configure(plan, pair, how)


class Plan(NamedTuple):
    """What the options come to. ``folder`` is the directory of dated folders, None for plain files; ``due``
    why new keys are to be made there, None if they are not."""

    wish: Wish
    like: Like
    folder: str | None
    base: str
    due: str | None
    configs: list[Config]
    use: Use
    target: Target | None

    def pair_path(self, paths: list[str]) -> str | None:
        """The file with both halves among those that were written, if this layout has one."""
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
        raise UsageError("a kernel's build takes key and certificate in one file: --key-dir or --like kernel")
    target = kernel_target(how["for_kernel"]) if how["for_kernel"] else None
    genkey = _genkey(how, like)
    kind, hash_name = _decided(how, like, configs, target, genkey)
    use = _use(how)
    for config in () if how["force"] else configs:
        kconfig.refuse_foreign(config, _pair_name(like, how), use)
    ring = how["openpgp"] or bool(target and target.wants_ring)
    wish = Wish(kind, hash_name, genkey, how["days"], ring, how["key_created"])
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
        raise UsageError("say where the keys go: -o NAME, or --key-dir DIR", code="output")
    if how["output"] is not None and not os.path.basename(how["output"]):
        raise UsageError("-o NAME is the beginning of file names, not a directory", code="output")
    if how["refresh"] and folder is None:
        raise UsageError("--refresh is for --key-dir", code="refresh")
    if how["use_for"] and not how["configs"]:
        raise UsageError("--use-for is for --kernel-config", code="use-for")


def _genkey(how: dict[str, Any], like: Like) -> Genkey:
    found = genkey.KERNEL
    if how["genkey"]:
        found = genkey.read(_text(how["genkey"]), how["genkey"])
    name = how["common_name"] or (None if how["genkey"] else like.common_name)
    if name:
        found = found.with_common_name(name)
    usages = list(like.usages) if not how["genkey"] else []
    usages += [genkey.CODE_SIGNING] if how["codesigning"] or how["ima"] else []
    usages += [genkey.CODE_SIGNING, genkey.MODULE_SIGNING] if how["module_only"] else []
    return found.with_usage(*dict.fromkeys(usages)) if usages else found


def _text(path: str) -> str:
    return read(path, limit=1 << 20).raw.decode("utf-8", "replace")


# --------------------------------------------------------------------------- making


def _present(plan: Plan, how: dict[str, Any]) -> str | None:
    """The pair that still serves, None where a new one is to be made."""
    if plan.folder is None or plan.due is not None:
        return None
    there = keydir.current(plan.folder)
    return there.pair if there else None


def _make(plan: Plan, how: dict[str, Any]) -> tuple[Pair, list[str]]:
    name = plan.base or "signing"
    secret = passphrase.choose(name) if how["passphrase"] else None
    made = make(plan.wish)
    items = plan.like.files(name, made, secret) + (ima_items(name, made) if how["ima"] else [])
    if plan.folder:
        folder = keydir.add(plan.folder, items)
        return made, [os.path.join(folder, item.name) for item in items]
    return made, write_all(os.path.dirname(how["output"]), items, replace=how["force"])


def _warn(plan: Plan, made: Pair) -> None:
    """A key that the kernel does not load, or that none does, is better not enrolled."""
    kernel = plan.target.profile if plan.target else None
    if made.certificate is not None and (text := key_warning(made.certificate, kernel)):
        complain(f"warning: {text}")


def _tell(made: Pair, paths: list[str], why: str) -> None:
    reason = f": {visible(why)}" if why else ""
    click.echo(f"new {made.kind.id} key pair, to sign with {made.hash}{reason}")
    for path in paths:
        click.echo(f"  {visible(path)}")


def _configure(plan: Plan, pair: str | None, how: dict[str, Any]) -> None:
    """Bring the configurations in line; each is written only where that changes it."""
    if pair is None:
        return

    for config in plan.configs:
        text = updated(config, pair, plan.wish.kind, plan.wish.hash, plan.use)
        if text != config.text:
            for remark in write_atomic(config.path, text.encode("utf-8", "surrogateescape")):
                complain(remark.text, config.path, word="warning: ")
        if not how["quiet"]:
            word = "up to date" if text == config.text else "uses the key now"
            click.echo(f"{visible(config.path)}: {word}")


# --------------------------------------------------------------------------- what to do next


def _next_steps(plan: Plan, made: Pair, paths: list[str]) -> Iterator[str]:
    """Commands for what usually follows."""
    folder = os.path.dirname(paths[0])
    key, cert, der = (
        os.path.join(folder, name.format(name=plan.base)) if name else None
        for name in (plan.like.key_file, plan.like.cert_file, plan.like.der)
    )
    yield "next:"
    if made.certificate is None or (plan.target and plan.target.wants_ring):
        format_ = plan.target.format if plan.target else "FORMAT"
        yield f"  build the ring into the kernel; elfsig sign --format {format_} --key {key} ..."
    elif plan.folder:
        yield "  build the kernel with --kernel-config's files, and in its package step:"
        yield f"  elfsig keys install --key-dir {visible(plan.folder)} DESTINATION"
    elif der is None:
        yield f'  CONFIG_MODULE_SIG_KEY="{visible(os.path.abspath(paths[0]))}" in the kernel\'s configuration'
    else:
        yield f"  mokutil --import {visible(der)}    (then reboot, and confirm in MokManager)"
        yield f"  mokutil --test-key {visible(der)}    (says whether it is enrolled)"
        yield f"  elfsig sign --format pkcs7 --hash {made.hash} --key {key} --cert {cert} --in-place M.ko"
