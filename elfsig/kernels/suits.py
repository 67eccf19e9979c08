"""Does a kernel read a new signature, and load the key that made it? For signing, converting, making keys."""

from __future__ import annotations

from elfsig.coverages.catalogue import SIGNED_AS
from elfsig.coverages.whole_file import WHOLE_FILE
from elfsig.kernels.catalogue import MAINLINE
from elfsig.kernels.errnos import number
from elfsig.kernels.profile import Profile
from elfsig.model import SignOptions

PREFERRED = ("sha256", "sha512", "sha384", "sha224", "sha1")
"""For kernels that are given certificates: the first that is not weak and not slow to verify."""

PREFERRED_BY_SECTIONS = ("sha1", "sha256", "sha512")
"""For kernels with an OpenPGP ring: what all of them read comes first."""


def unread(kernel: Profile, format_id: str, coverage: str | None, hash_name: str | None) -> str | None:
    """What ``kernel`` does instead of reading such a signature; None where it reads it."""
    if not reads(kernel, format_id):
        return f"looks for {kernel.look.format} only, not for {format_id}"
    if coverage != (own := signed_for(kernel)):
        return f"computes {own}, not {coverage}"
    if hash_name not in kernel.crypto.hashes - kernel.crypto.absent:
        return f"knows no {hash_name} here"
    return None


def signed_for(kernel: Profile) -> str:
    """The coverage that a signing tool computes for ``kernel``."""
    return SIGNED_AS.get(kernel.look.coverage, kernel.look.coverage)


def suited(options: SignOptions, format_id: str) -> SignOptions:
    """``options`` with what they leave open chosen for ``options.kernel``: its coverage, a hash it knows.

    Nothing is chosen for a format that this kernel does not look for.
    """
    kernel: Profile | None = options.kernel
    if kernel is None or not reads(kernel, format_id):
        return options
    known = kernel.crypto.hashes - kernel.crypto.absent
    order = PREFERRED if kernel.look.coverage == WHOLE_FILE else PREFERRED_BY_SECTIONS
    hash_name = options.hash or next((name for name in order if name in known), None)
    return options._replace(hash=hash_name, coverage=options.coverage or signed_for(kernel))


_BY_BUILD = frozenset({"algorithm", "signature-algorithm", "curve", "absent", "late"})
"""Codes that depend on how a kernel was built: these say nothing about kernels in general."""

_SINCE = {"key-usage": "kernels since 6.4", "basic-constraints": "kernels since 6.18"}
"""Who it is that does not load a key, for codes of rules that are newer than 4.7."""


def reads(kernel: Profile | None, format_id: str) -> bool:
    """Whether ``kernel`` looks for signatures of this format; None: whether current kernels do."""
    return format_id == (kernel or MAINLINE[-1]).look.format


def key_warning(certificate: bytes, kernel: Profile | None) -> str | None:
    """Why ``kernel`` does not load the key of a DER certificate, or cannot use it; None where it can.

    Without a kernel only what no kernel since 4.7 takes is said: dates, names, sizes and the like.
    """
    profile = MAINLINE[-1] if kernel is None else kernel
    found = profile.loads(certificate)
    if found.good and found.doubt and kernel is not None:
        return f"{kernel.title} may not load this key: {found.doubt}"
    if found.good or (kernel is None and found.code in _BY_BUILD):
        return None
    who = f"{_SINCE.get(found.code, 'kernels')} do not" if kernel is None else f"{kernel.title} does not"
    what = "use" if found.loaded else "load"
    code = f" (error -{number(found.errno)}, {found.errno})" if found.errno else ""
    return f"{who} {what} this key: {found.text}{code}"
