"""The files with which DKMS signs by elfsig: what ``elfsig dkms setup`` writes."""

from __future__ import annotations

from typing import Final, NamedTuple

from elfsig.host.dkms_paths import shell_word

MARK: Final = "# Written by elfsig dkms setup."
"""What the files are known by."""

_FRAMEWORK_TEXT: Final = """\
{mark} DKMS signs every module that it builds with these.
# try_sign_modules: from DKMS 3.4.0 on nothing is signed in chroots, containers and image builds unless this
# is set. Older releases ignore it.
try_sign_modules=true
sign_file={sign_file}
mok_signing_key={key}
mok_certificate={certificate}
"""
_LINK_TEXT: Final = """\
{mark} /etc/dkms/MODULE.conf is a link to this file for each
# module that is signed by the hook. DKMS looks for the hook below {tree}/MODULE/VERSION/build, or from
# 3.4.0 on below /etc/dkms/MODULE where that exists, so the modules' directory is an argument.
POST_BUILD="{up}{hook} $kernelver $arch $dkms_tree/$module/$module_version/$kernelver/$arch/module"
"""
_HOOK_TEXT: Final = """\
#!/bin/sh
{mark} DKMS runs it after a build with the kernel, the architecture and the
# directory of the compressed modules. DKMS continues when this fails, so read its output.
set -eu
kernel=$1 kernelver=$1 arch=$2 modules=$3
kernel_source_dir=${{kernel_source_dir:-/lib/modules/$kernel/build}}
key={key}
certificate={certificate}
hash={hash}
if [ -z "$hash" ] && [ -r "$(dirname "$key")/khash" ]; then
    hash=$(cat "$(dirname "$key")/khash")
fi
if [ -z "$hash" ]; then
    hash=$(sed -n 's/^CONFIG_MODULE_SIG_HASH="\\(.*\\)"/\\1/p' "/lib/modules/$kernel/build/.config" \\
        "/boot/config-$kernel" 2>/dev/null | head -n 1)
fi
# --replace: DKMS has signed them with its own key by now.
exec {elfsig} sign -q --replace --format pkcs7 --hash "${{hash:-sha256}}" \\
    --key "$key" --cert "$certificate" --in-place "$modules"
"""


class Setup(NamedTuple):
    """What to set up. ``modules`` empty: all, through sign_file. ``hash`` None: that of each kernel's
    configuration, which DKMS looks up itself. ``key`` and ``certificate`` may name the kernel, see
    :mod:`elfsig.host.dkms_paths`."""

    key: str
    certificate: str
    sign_file: str
    elfsig: str
    modules: tuple[str, ...] = ()
    hash: str | None = None


def link_text(tree: str, up: str, hook: str) -> str:
    """The configuration that a module's links to: ``up`` leads from a module in ``tree`` to the root."""
    return _LINK_TEXT.format(mark=MARK, tree=tree, up=up, hook=hook)


def framework_text(wish: Setup) -> str:
    """The settings by which DKMS signs every module."""
    words = {"sign_file": wish.sign_file, "key": wish.key, "certificate": wish.certificate}
    return _FRAMEWORK_TEXT.format(mark=MARK, **{name: shell_word(word) for name, word in words.items()})


def hook_text(wish: Setup) -> str:
    """The script that signs the modules of one build."""
    words = {"elfsig": wish.elfsig, "key": wish.key, "certificate": wish.certificate, "hash": wish.hash or ""}
    return _HOOK_TEXT.format(mark=MARK, **{name: shell_word(word) for name, word in words.items()})
