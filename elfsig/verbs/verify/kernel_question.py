"""Which kernel to simulate for a module: built from what callers and the command line say."""

from __future__ import annotations

from elfsig.errors import KeySourceError, UsageError
from elfsig.kernels import config as configs
from elfsig.kernels.boot_line import NOTHING
from elfsig.kernels.mode import PERMISSIVE, Mode
from elfsig.kernels.modes import passed_by
from elfsig.kernels.select import AUTO, Chosen, choose
from elfsig.recognition.text import plain_text
from elfsig.trust.entries import gather
from elfsig.trust.given import KeySources, each_of, material_of, ring_of
from elfsig.trust.keyring import PIN
from elfsig.trust.ring import Ring
from elfsig.verbs.verify.kernel import KernelQuestion


def kernel_question(
    kernel: str = AUTO,
    trust: KeySources = (),
    keys: KeySources = (),
    *,
    mode: Mode = PERMISSIVE,
    every_mode: bool = False,
    cmdline: bytes | None = None,
    config: bytes | None = None,
    modarg: str | None = None,
) -> KernelQuestion:
    """The question for the kernel that ``kernel`` names: an id, a release, "auto", or the path of an image.

    ``trust`` and ``keys`` are the keys that it holds; those compiled into an image are added. ``mode`` is its
    enforcement mode, in addition to what ``cmdline`` says (a kernel command line, a boot loader's
    configuration, a kernel log); ``every_mode`` asks for all modes that matter. ``config`` is the content of
    its configuration, plain or compressed. Raises UsageError, ReadError, KeySourceError.
    """
    if every_mode and (mode != PERMISSIVE or cmdline is not None):
        raise UsageError("choose every mode or one mode, not both", code="modes")
    chosen = choose(kernel)
    passed = NOTHING if cmdline is None else passed_by(plain_text(cmdline).decode("utf-8", "replace"))
    ring = kernel_ring(trust, keys, chosen.image)
    return KernelQuestion(chosen, ring, _options(config, chosen), mode, every_mode, modarg, passed=passed)


def _options(config: bytes | None, chosen: Chosen) -> configs.Options | None:
    """The configuration that was given, else the image's own."""
    if config is None:
        return None if chosen.config is None else configs.parse(chosen.config)
    options = configs.parse(configs.read(config))
    if not options:
        raise UsageError("not a kernel configuration: there is no CONFIG_ line in it", code="no-config")
    return options


def kernel_ring(trust: KeySources, keys: KeySources, image: str | None) -> Ring | None:
    """The keys that a simulated kernel holds: the trusted ones, and those compiled into its image.

    Pins say which of the given keys are trusted, and take none of its own from the kernel.
    """
    held, tried = each_of(trust), each_of(keys)
    if image is None:
        return ring_of(held, tried)
    try:
        ring = ring_of([*held, image], tried)
        if ring is None or not any(isinstance(each, str) and each.startswith(PIN) for each in held):
            return ring
        return Ring(gather([ring.material, material_of(image, True)]))
    except KeySourceError as reason:
        if reason.code not in ("no-certificate", "no-key", "key-lost"):
            raise
        return ring_of(held, tried)
