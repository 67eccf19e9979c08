"""``elfsig dkms``: let DKMS sign through elfsig, and sign again after a change of keys."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from elfsig.batch.edit import Output, edit
from elfsig.batch.up_to_date import is_done, wish
from elfsig.cli.options.common import hash_wished
from elfsig.cli.options.output import report
from elfsig.cli.settings import Settings, complain
from elfsig.crypto.hashes import hash_named
from elfsig.errors import UsageError
from elfsig.host import dkms
from elfsig.model import Existing, SignOptions
from elfsig.opened.module import Module, open_module
from elfsig.signers import open_signer
from elfsig.verbs.edit.change import Change, Done
from elfsig.verbs.edit.sign import sign_file

if TYPE_CHECKING:
    from elfsig.host.dkms import Built
    from elfsig.registry import Registry

Work = Callable[[Module], Change]

root_option = click.option(
    "--root", type=click.Path(path_type=Path), default=Path("/"), metavar="DIR", help="Another system's root."
)


@click.group("dkms")
def command() -> None:
    """Let DKMS sign what it builds, and sign again what it has built."""


@command.command("setup")
@click.option("--key", metavar="KEY", help="Private key: a file, or a pkcs11: URI.")
@click.option("--cert", metavar="CERT", help="Its certificate; DER is what mokutil takes.")
@click.option("--module", "modules", multiple=True, metavar="NAME", help="Only this module; repeatable.")
@click.option(
    "--hash", "hash_name", metavar="HASH", help="With --module: instead of the kernel's own choice."
)
@click.option("--remove", is_flag=True, help="Take everything back.")
@click.option("--force", is_flag=True, help="Replace configuration that is not from elfsig.")
@root_option
def setup(
    key: str | None,
    cert: str | None,
    modules: tuple[str, ...],
    hash_name: str | None,
    remove: bool,
    force: bool,
    root: Path,
) -> int:
    """Write the configuration by which DKMS signs through elfsig.

    Without --module, /etc/dkms/framework.conf.d/elfsig.conf: elfsig-sign-file takes the place of the
    kernel's sign-file for every module. With --module, a POST_BUILD hook that /etc/dkms/NAME.conf links to:
    it signs inside the compression. Key and certificate are tried first.
    """
    if remove:
        for path in dkms.remove(root):
            click.echo(f"{path}: removed")
        return 0
    if key is None or cert is None:
        raise UsageError("give --key and --cert")
    if cert.startswith("pkcs11:"):
        raise UsageError("DKMS wants the certificate in a file: --cert FILE (the key may be in a token)")
    if hash_name and not modules:
        raise UsageError(
            "--hash goes with --module: else DKMS takes the hash from the kernel's configuration"
        )
    _try_out(key, cert)
    key, cert = key if key.startswith("pkcs11:") else os.path.abspath(key), os.path.abspath(cert)
    chosen = hash_wished(hash_name).name if hash_name else None
    wish = dkms.Wish(key, cert, _executable("elfsig-sign-file"), _executable("elfsig"), modules, chosen)
    for path in dkms.setup(root, wish, force=force):
        click.echo(f"{path}: written")
    complain(
        f"next: mokutil --import {_enrollable(cert)}, once; elfsig dkms resign for what is built already"
    )
    return 0


def _enrollable(cert: str) -> str:
    """The certificate as mokutil takes it: DER. How to come by that where it is PEM."""
    with open(cert, "rb") as stream:
        if stream.read(1) == b"\x30":
            return cert
    return f"MOK.der (made by openssl x509 -in {cert} -outform DER -out MOK.der)"


def _try_out(key: str, cert: str) -> None:
    """Raises SigningError now for what would fail in every build: no key, another key's certificate."""
    for remark in getattr(open_signer(key, cert), "remarks", ()):
        complain(remark.text, cert, word="warning: ")


def _executable(name: str) -> str:
    """Where this elfsig's executable is: beside the one that runs, else in the PATH."""
    folders = (os.path.dirname(os.path.abspath(sys.argv[0])), os.path.dirname(sys.executable))
    found = shutil.which(name, path=os.pathsep.join(folders)) or shutil.which(name)
    if found is None:
        raise UsageError(f"{name} is not installed where DKMS could run it", code="not-installed")
    return os.path.abspath(found)


@command.command("resign")
@click.argument("modules", nargs=-1, metavar="[NAME[/VERSION]]...")
@click.option("-k", "--kernel", "kernels", multiple=True, metavar="RELEASE", help="For this kernel alone.")
@click.option("--key", metavar="KEY", help="Instead of the key that DKMS is configured with.")
@click.option("--cert", metavar="CERT", help="Its certificate.")
@click.option("--hash", "hash_name", metavar="HASH", help="Instead of the choice of each kernel.")
@click.option("--force", is_flag=True, help="Sign again also what is signed by this key.")
@click.option("--dry-run", is_flag=True, help="Do everything but write.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing about what went well.")
@root_option
@click.pass_obj
def resign(
    settings: Settings,
    modules: tuple[str, ...],
    kernels: tuple[str, ...],
    key: str | None,
    cert: str | None,
    hash_name: str | None,
    force: bool,
    dry_run: bool,
    quiet: bool,
    root: Path,
) -> int:
    """Sign again what DKMS has built, and the copies of it that are installed.

    For after a change of keys: no module is built anew. The built and the installed copy stay the same
    file, as dkms status wants them to be; old signatures are removed exactly.
    """
    chosen = hash_wished(hash_name).name if hash_name else None
    found = dkms.built(root, modules, kernels)
    if not found:
        complain("DKMS has built nothing here (dkms status)")
        return 0

    def every() -> Iterator[Done]:
        for kernel, group in dkms.by_kernel(found).items():
            words = dkms.signing_words(root, key, cert, kernel, os.environ)
            options = SignOptions(hash=chosen or hash_named(dkms.kernel_hash(root, kernel)).name, force=force)
            yield from _resigned(group, words, options, settings.registry, dry_run)

    code = report(every(), quiet)
    if not dry_run and code == 0:
        complain("next: update-initramfs -u (or dracut -f) where the initramfs holds one of them")
    return code


def _resigned(
    group: list[Built], words: tuple[str, str], options: SignOptions, registry: Registry, dry: bool
) -> Iterator[Done]:
    """The built modules first; then each installed copy of the same code gets the very same signature."""
    signer, format_ = open_signer(*words), registry.get("pkcs7")
    wanted = None if options.force else wish(format_, signer, options)

    def make(module: Module) -> Change:
        if wanted is not None and is_done(module, wanted):
            return Change(None, "unchanged", "signed like this by this key already")
        return sign_file(module, format_, signer, options, existing=Existing.REPLACE)

    output = Output(in_place=True, dry=dry)
    yield from edit([str(each.path) for each in group], make, output, registry, jobs=1)
    for each in group:
        if each.installed:
            copies = [str(path) for path in each.installed]
            yield from edit(copies, _like(each.path, registry), output, registry, jobs=1)


def _like(path: Path, registry: Registry) -> Work:
    """Give a copy the signed content of ``path``, where the code in it is the same; else leave it alone."""
    source = open_module(str(path), registry)

    def work(module: Module) -> Change:
        if module.bare != source.bare:
            return Change(None, "unchanged", f"left alone: other code than in {path}")
        if module.content == source.content:
            return Change(None, "unchanged", "the same as the built one")
        return Change(source.content, "signed", "now the same as the built one")

    return work
