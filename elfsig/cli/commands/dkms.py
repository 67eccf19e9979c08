"""``elfsig dkms``: have DKMS sign with elfsig, and re-sign modules after a change of keys."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Set
from pathlib import Path
from typing import TYPE_CHECKING

import click

import elfsig
from elfsig.batch.edit import Output, edit
from elfsig.batch.up_to_date import is_done, wanted_signature
from elfsig.cli.options.common import hash_type, hash_wished
from elfsig.cli.options.output import report
from elfsig.cli.settings import Settings, complain
from elfsig.cli.streams import outlive_readers
from elfsig.crypto.hashes import hash_named
from elfsig.errors import EditRefused, ReadError, UsageError
from elfsig.host import dkms, dkms_hooks, dkms_paths
from elfsig.host.commands import UNPRINTABLE, enrolling, to_paste
from elfsig.host.dkms_copies import same_code
from elfsig.host.dkms_resign import left
from elfsig.host.files import Files
from elfsig.host.next_step import DIFFERS
from elfsig.model import Existing, SignOptions
from elfsig.opened.module import Module, open_module
from elfsig.signers import open_signer
from elfsig.verbs.edit.change import Change, Done
from elfsig.verbs.edit.sign import sign_file

if TYPE_CHECKING:
    from elfsig.host.dkms import Built
    from elfsig.registry import Registry

Work = Callable[[Module], Change]

IN_INITRAMFS = "the initramfs contains one of them"


def _directory(context: click.Context, parameter: click.Parameter, root: Path) -> Path:
    """Raises UsageError: nothing is made or found below a directory that is not there."""
    if not root.is_dir():
        raise UsageError(f"{root}: not a directory", code="no-root")
    return root


_root_option = click.option(
    "--root",
    type=click.Path(path_type=Path),
    callback=_directory,
    default=Path("/"),
    metavar="DIR",
    help="Work on the system mounted at DIR.",
)


@click.group("dkms")
def command() -> None:
    """Have DKMS sign the modules it builds, and re-sign those it has built."""


@command.command("setup")
@click.option(
    "--key",
    metavar="KEY",
    help="Sign with this private key: a file, a pkcs11: URI, or '$kernel_source_dir/...' of each kernel.",
)
@click.option("--cert", metavar="CERT", help="Use this certificate of the key (mokutil needs DER).")
@click.option(
    "--module", "modules", multiple=True, metavar="NAME", help="Configure only this module; repeatable."
)
@click.option(
    "--hash",
    "hash_name",
    type=hash_type,
    metavar="HASH",
    help="With --module: use this hash instead of the kernel's.",
)
@click.option("--remove", is_flag=True, help="Remove the configuration again, or with --module a part of it.")
@click.option("--force", is_flag=True, help="Replace configuration that elfsig did not write.")
@_root_option
def setup(
    key: str | None,
    cert: str | None,
    modules: tuple[str, ...],
    hash_name: str | None,
    remove: bool,
    force: bool,
    root: Path,
) -> int:
    """Configure DKMS to sign modules with elfsig.

    Without --module this writes /etc/dkms/framework.conf.d/elfsig.conf, which makes DKMS run
    elfsig-sign-file instead of the kernel's sign-file for every module. With --module it writes a
    POST_BUILD hook, and a link to it in /etc/dkms/NAME.conf; the hook signs inside the compression. Key and
    certificate are tested first. Their paths may contain $kernel_source_dir, $kernelver and $arch, which DKMS
    expands for each kernel. With --root, they are written as that system names them.

    --remove removes all of this; with --module only what is for these modules.
    """
    if remove:
        _refuse_beside_remove(**{"--key": key, "--cert": cert, "--hash": hash_name, "--force": force or None})
        for path in dkms.remove(root, modules):
            click.echo(f"{path}: removed")
        return 0
    if key is None or cert is None:
        raise UsageError("give --key and --cert")
    if cert.startswith("pkcs11:"):
        raise UsageError("DKMS needs the certificate in a file: use --cert FILE (the key may be in a token)")
    if hash_name and not modules:
        raise UsageError(
            "--hash needs --module: without it, DKMS takes the hash from the kernel's configuration"
        )
    dkms_hooks.refuse_reserved(modules)
    for words in _each_kernel(root, key, cert):
        _try_out(*words)
    key, cert = (dkms_paths.as_named(root, dkms_paths.absolute(word)) for word in (key, cert))
    chosen = hash_wished(hash_name).name if hash_name else None
    sign_file, program = (
        dkms_paths.as_named(root, _executable(name)) for name in ("elfsig-sign-file", "elfsig")
    )
    wish = dkms.Setup(key, cert, sign_file, program, modules, chosen)
    if _is_here(root) and not force:
        _refuse_changeable(wish.sign_file, wish.elfsig)
    for path in dkms.setup(root, wish, force=force):
        click.echo(f"{path}: written")
    _tell_next(root, wish)
    return 0


def _is_here(root: Path) -> bool:
    return os.path.realpath(root) == "/"


def _refuse_beside_remove(**given: object) -> None:
    for option, value in given.items():
        if value is not None:
            raise UsageError(f"--remove and {option} cannot be combined")


def _where(root: Path) -> str:
    return "" if _is_here(root) else "in that system, "


def _tell_next(root: Path, wish: dkms.Setup) -> None:
    """What is left to do; commands to paste are for this machine only."""
    here, where = _is_here(root), _where(root)
    if not here:
        _warn_of_missing(root, wish)
    if dkms_paths.names_kernel(wish.certificate):
        complain(f"next: {where}run elfsig dkms resign for built modules; each kernel has its own key")
        return
    end = ":" if here else ""
    complain(f"next: {where}enrol the certificate once, and run elfsig dkms resign for built modules{end}")
    if here:
        click.echo(f"  {to_paste(*enrolling(wish.certificate)) or UNPRINTABLE}", err=True)


def _warn_of_missing(root: Path, wish: dkms.Setup) -> None:
    """Say what the system at ``root`` does not have of what its DKMS is to use."""
    files = Files(root)
    for word in (wish.key, wish.certificate, wish.elfsig if wish.modules else wish.sign_file):
        is_path = not word.startswith(("pkcs11:", "$")) and not dkms_paths.names_kernel(word)
        if is_path and not files.is_file(root / word.lstrip("/")):
            text = f"{word}: not there in the system at {root}: its DKMS can sign nothing without it"
            complain(text, word="warning: ")


def _each_kernel(root: Path, key: str, cert: str) -> Iterator[tuple[str, str]]:
    """Key and certificate to try out: as given, or for each kernel where the paths name it.

    A kernel without them is remarked: DKMS does not sign for it. Raises UsageError where none has them.
    """
    if not dkms_paths.names_kernel(key + cert):
        yield key, cert
        return
    found = 0
    releases = list(dkms_paths.kernels(root, dkms.settings(root).get("install_tree", dkms.INSTALL)))
    for release in releases:
        try:
            words = dkms.within(root, release, key), dkms.within(root, release, cert)
            if (missing := next(filter(_is_missing, words), None)) is None:
                found += 1
                yield words
                continue
            why = f"{missing}: not there"
        except ReadError as reason:
            why = reason.text
        complain(f"{why}: DKMS will sign nothing for {release}", word="warning: ")
    if releases and not found:
        raise UsageError(f"{key}: no installed kernel has this key", code="no-key")


def _is_missing(word: str) -> bool:
    return not (word.startswith("pkcs11:") or os.path.exists(word))


def _refuse_changeable(*programs: str) -> None:
    """DKMS runs as root: other users must not be able to change what it runs. Raises UsageError."""
    for path in (*programs, sys.executable, os.path.dirname(os.path.abspath(elfsig.__file__))):
        part = dkms_hooks.changeable(Path(path))
        if part is not None:
            raise UsageError(
                f"DKMS would run {path} as root, and others than root can change {part}: install elfsig for"
                " the whole system (a virtual environment in /opt, owned by root), or use --force",
                code="not-safe",
            )


def _try_out(key: str, cert: str) -> None:
    """Raises SigningError now for errors that would occur in every build, such as a wrong certificate."""
    for remark in getattr(open_signer(key, cert), "remarks", ()):
        complain(remark.text, cert, word="warning: ")


def _executable(name: str) -> str:
    """The path of an executable of this elfsig: next to the running one, else in PATH."""
    folders = (os.path.dirname(os.path.abspath(sys.argv[0])), os.path.dirname(sys.executable))
    found = shutil.which(name, path=os.pathsep.join(folders)) or shutil.which(name)
    if found is None:
        raise UsageError(f"{name} is not installed: DKMS could not run it", code="not-installed")
    return os.path.abspath(found)


@command.command("resign")
@click.argument("modules", nargs=-1, metavar="[NAME[/VERSION]]...")
@click.option(
    "-k",
    "--kernel",
    "kernels",
    multiple=True,
    metavar="RELEASE",
    help="Re-sign only modules for this kernel; repeatable.",
)
@click.option("--key", metavar="KEY", help="Use this key instead of the one DKMS is configured with.")
@click.option("--cert", metavar="CERT", help="Use this certificate of the key.")
@click.option(
    "--hash", "hash_name", type=hash_type, metavar="HASH", help="Use this hash instead of each kernel's own."
)
@click.option("--force", is_flag=True, help="Re-sign even modules that this key has already signed.")
@click.option("--dry-run", is_flag=True, help="Do everything except writing.")
@click.option("-q", "--quiet", is_flag=True, help="Print only problems and the summary.")
@_root_option
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
    """Re-sign the modules that DKMS has built, and their installed copies.

    Use it after a change of keys: modules are not rebuilt. The built and the installed copy stay
    identical, as dkms status requires; exactly the bytes of the old signatures are removed.
    """
    chosen = hash_wished(hash_name).name if hash_name else None
    found, builds = dkms.built(root, modules, kernels), dkms.built(root)
    if not found:
        complain("DKMS has not built any modules here (see dkms status)")
        return 0

    def every() -> Iterator[Done]:
        for kernel, group in dkms.by_kernel(found).items():
            usual = hash_named(dkms.kernel_hash(root, kernel)).name
            for own, members in dkms_hooks.by_setting(root, group):
                if own is not None and own.foreign and key is None:
                    yield from _left(members, own.path, settings.registry)
                    continue
                words, mine = _signing_words(root, kernel, own, key, cert)
                options = SignOptions(hash=chosen or mine or usual)
                changed = set[str]()
                for done in _resigned(members, words, options, settings.registry, dry_run, force):
                    changed |= {done.path} if done.word == "signed" else set()
                    yield done
                yield from _copied(members, builds, root, settings.registry, changed if dry_run else None)

    outlive_readers()
    code = report(every(), quiet)
    if dry_run:
        complain("dry run: nothing was written")
    elif code == 0:
        complain(f"next: {_where(root)}run update-initramfs -u (or dracut -f) if {IN_INITRAMFS}")
    return code


def _signing_words(
    root: Path, kernel: str, own: dkms_hooks.Own | None, key: str | None, cert: str | None
) -> tuple[tuple[str, str], str | None]:
    """Key and certificate for modules whose setting is ``own``, and the hash that goes with them, if any.

    The environment is this machine's, and says nothing about another system.
    """
    if own is not None and own.key and own.certificate and key is None and cert is None:
        words = dkms.within(root, kernel, own.key), dkms.within(root, kernel, own.certificate)
        return words, own.hash or dkms_paths.hash_beside(root, words[0])
    environment = os.environ if _is_here(root) else {}
    return dkms.signing_words(root, key, cert, kernel, environment), None


def _left(group: list[Built], configuration: str, registry: Registry) -> Iterator[Done]:
    """Modules that are signed by their own hook: with another key their signatures would be lost."""
    text = f"left unchanged: {configuration} signs it (POST_BUILD); build it again, or give --key and --cert"
    paths = [str(each.path) for each in group]
    output = Output(in_place=True, dry=True)
    yield from edit(paths, lambda module: Change(None, "unchanged", text), output, registry, jobs=1)


def _resigned(
    group: list[Built],
    words: tuple[str, str],
    options: SignOptions,
    registry: Registry,
    dry: bool,
    again: bool,
) -> Iterator[Done]:
    """The built modules; each installed copy of the same code gets the same signature afterwards.

    ``again``: also those that this key has signed.
    """
    signer, format_ = open_signer(*words), registry.get("pkcs7")
    wanted = None if again else wanted_signature(format_, signer, options)

    def make(module: Module) -> Change:
        if wanted is not None and is_done(module, wanted):
            return Change(None, "unchanged", "already signed like this by this key")
        return sign_file(module, format_, signer, options, existing=Existing.REPLACE)

    output = Output(in_place=True, dry=dry)
    yield from edit([str(each.path) for each in group], make, output, registry, jobs=1)


def _copied(
    group: list[Built], builds: list[Built], root: Path, registry: Registry, pending: Set[str] | None
) -> Iterator[Done]:
    """The installed copies: those of the same code become the same file, others are refused or left.

    ``pending``: nothing is written, and these of the built ones would have been signed by now.
    """
    output = Output(in_place=True, dry=pending is not None)
    for each in group:
        unsigned = pending is not None and str(each.path) in pending
        for path in each.installed:
            work = _like(each, path, builds, root, registry, unsigned)
            yield from edit([str(path)], work, output, registry, jobs=1)


def _like(
    each: Built, path: Path, builds: list[Built], root: Path, registry: Registry, unsigned: bool
) -> Work:
    """Replace a copy by the signed content of ``each`` if its code is the same. ``unsigned``: that is still
    to be signed."""
    source = open_module(str(each.path), registry)

    def work(module: Module) -> Change:
        if not same_code(source, module):
            why = left(module, path, each, builds, root)
            if why is not None:
                return Change(None, "unchanged", f"left unchanged: {why}")
            text = f"not signed: its code differs from {each.path}, which DKMS built; {DIFFERS}"
            raise EditRefused(text, code="code-differs")
        if module.content == source.content and not unsigned:
            return Change(None, "unchanged", "already the same as the built one")
        return Change(source.content, "signed", "now the same as the built one")

    return work
