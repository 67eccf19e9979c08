"""Whole verbs over one module: every answer must be one of those promised, and all verbs must agree."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any

import corpus
import elfsig
from elfsig.coverages.bytemap import Kind
from elfsig.elf.image import Image
from elfsig.errors import ElfsigError, KeySourceError
from elfsig.kernels.catalogue import PROFILES
from elfsig.model import FileReport, Verdict
from elfsig.trust.recover import Solution, made_by
from elfsig.verbs.audit.rules import BY_VERDICT
from elfsig.verbs.keys.recover import claims
from tests.fuzz import certificates, judges, seeds
from tests.fuzz.mutate.elf import MAGIC, MARKER, module
from tests.fuzz.mutate.plain import plain
from tests.fuzz.target import VERB, Broken, Limits, Target
from tests.fuzz.targets.texts import folder

RING = judges.ring()
KEY, CERT = corpus.KEYS / "signer.key.pem", corpus.KEYS / "signer.cert.pem"
SIGNER = elfsig.open_signer(KEY, CERT)
PLAIN, SIGNED = seeds.unsigned()[0], corpus.content("amd64.pkcs7")
DETACHED = elfsig.SignOptions(force=True)
GOOD = (Verdict.VALID, Verdict.UNTRUSTED)

# --------------------------------------------------------------------------- reading


def _same(what: str, one: object, other: object) -> None:
    if one != other:
        raise Broken("verbs-differ", f"{what}: {one!r} and {other!r}")


def _rests(report: FileReport) -> dict[str, Any]:
    """A report as JSON, without what depends on how the file was given."""
    found = report.to_json()
    for name in ("path", "path_hex", "sha256", "content_sha256", "host", "run"):
        found.pop(name, None)
    return found


def examine(data: bytes) -> None:
    """verify: bytes and an opened module give the same; list finds the same places."""
    opened = elfsig.open(data)
    report = elfsig.verify(opened, RING)
    json.dumps(report.to_json())
    repr(report)
    listed = elfsig.list_signatures(data)
    _same(
        "places",
        [(s.format, s.place.start, s.place.end) for s in listed],
        [(s.format, s.place.start, s.place.end) for s in elfsig.verify(data).signatures],
    )
    _same("verdict", report.verdict, elfsig.verify(data, RING).verdict)
    if report.verdict is Verdict.VALID:
        _stays_valid(data, report)
    judges.module(opened.content, report)


def _stays_valid(data: bytes, report: FileReport) -> None:
    """Without keys nothing is valid; with keys that are only tried it is at most untrusted."""
    if elfsig.verify(data).verdict is Verdict.VALID:
        raise Broken("valid-without-keys", repr(report))
    if elfsig.verify(data, keys=[CERT]).verdict is Verdict.VALID:
        raise Broken("valid-by-tried-keys", repr(report))


def everywhere(data: bytes) -> None:
    """The same file through verify, a tree with a similar module (the fast path), audit and survey."""
    tree = folder() / "tree"
    tree.mkdir(exist_ok=True)
    (tree / "a.ko").write_bytes(SIGNED)
    path = tree / "sample.ko"
    path.write_bytes(data)
    report = elfsig.verify(path, RING)
    in_tree = list(elfsig.verify_tree(tree, RING))[-1]
    if report.error is None:
        _same("tree", _without_names(_rests(in_tree)), _without_names(_rests(report)))
    alone = next(iter(elfsig.verify_tree([path], RING)))
    _same("verdict of a named file", alone.verdict, report.verdict)
    _audited(path, report)
    _surveyed(path, report)


def _without_names(found: dict[str, Any]) -> dict[str, Any]:
    """Names are compared in trees only."""
    found["warnings"] = [each for each in found["warnings"] if each["code"] != "misnamed"]
    return found


def _audited(path: Any, report: FileReport) -> None:
    found = elfsig.audit(path, RING).faults
    faults = {fault.rule for fault in found}
    # A signature may be valid on what is no module, or a damaged one.
    unloadable = ("not a module", "damaged ELF file")
    wrong = {fault.rule for fault in found if not fault.text.startswith(unloadable)} & {
        "unsigned",
        "malformed",
        "invalid",
        "untrusted",
        "unsupported",
        "unknown-key",
        "unreadable",
    }
    if report.verdict is Verdict.VALID and wrong:
        raise Broken("verbs-differ", f"verify says valid, audit says {sorted(wrong)}")
    rule = "unreadable" if report.verdict is None else BY_VERDICT.get(report.verdict)
    if rule is not None and rule not in faults:
        raise Broken("verbs-differ", f"verify says {report.verdict}, audit finds {sorted(faults)}")


def _surveyed(path: Any, report: FileReport) -> None:
    records = list(elfsig.survey(path, RING))
    found = [each.report for each in records if isinstance(each, elfsig.ModuleRecord)]
    for record in records:
        json.dumps(record.to_json())
    if len(found) == 1 and report.error is None and len(records) == 1:
        _same("survey", found[0].verdict, report.verdict)


def predicted(data: bytes) -> None:
    """Every kernel's answer, in every mode; also of the kernel that the module names."""
    opened = elfsig.open(data)
    for name in KERNELS:
        answer = elfsig.predict(opened, name, RING, every_mode=True)
        bool_ = answer.accepted
        if not isinstance(bool_, bool):
            raise Broken("accepted", repr(bool_))
    with suppress(elfsig.UsageError):
        elfsig.explain(opened, "auto", RING).to_json()


KERNELS = tuple(PROFILES)


def kernel(data: bytes) -> None:
    """One kernel, by the first byte: its answer under enforcement agrees with the mathematics."""
    name = KERNELS[data[0] % len(KERNELS)] if data else KERNELS[0]
    opened = elfsig.open(data[1:])
    answer = elfsig.predict(opened, name, RING, mode=elfsig.Mode(enforcing=True))
    report = elfsig.verify(opened, RING)
    if answer.accepted and not any(s.verdict in GOOD for s in report.signatures):
        if not report.signatures or _loads_bare(opened, name):  # this kernel does not enforce anything here
            return
        raise Broken("loads-unsigned", f"{name} loads under enforcement what verify calls {report.verdict}")


def _loads_bare(opened: elfsig.Module, name: str) -> bool:
    """Whether the kernel also loads the module without any signature."""
    with suppress(ElfsigError):
        bare = elfsig.strip(opened, everything=True).content
        return elfsig.predict(bare, name, RING, mode=elfsig.Mode(enforcing=True)).accepted
    return True


def covered(data: bytes) -> None:
    """coverage and digest."""
    for each in elfsig.coverage(data, RING):
        repr(each)
        each.to_json()
    for digest in elfsig.digest(data):
        repr(digest)


def mapped(data: bytes) -> None:
    """Signed in one format, by the first byte: a byte that the map calls verbatim breaks the signature when
    it is changed, one that it calls open does not matter."""
    name = MAPPED[data[0] % len(MAPPED)] if data else MAPPED[0]
    try:
        made = elfsig.sign(data[1:], name, SIGNER, DETACHED, existing=elfsig.Existing.STACK)
    except ElfsigError:
        return
    content = made.content
    cover = next((each for each in elfsig.coverage(content, RING) if _is_own(each, name)), None)
    if cover is None:  # forced into a file whose outer signature it breaks
        if _is_good(content, name):
            raise Broken("no-map", f"{name}: just signed, and coverage has no map of it")
        return
    chance = Random(data)
    for kind in (Kind.VERBATIM, Kind.OPEN):
        runs = [run for run in cover.kinds.runs if run.kind is kind]
        for run in chance.sample(runs, min(2, len(runs))):
            at = chance.randrange(run.start, run.end)
            changed = content[:at] + bytes([content[at] ^ chance.randrange(1, 256)]) + content[at + 1 :]
            good = _is_good(changed, name)
            if good == (kind is Kind.VERBATIM):
                word = "still good" if good else "not good any more"
                raise Broken("map", f"{name}: the byte at {at:#x} is {kind}, and changed it is {word}")


def _is_good(content: bytes, name: str) -> bool:
    return any(s.format == name and s.verdict in GOOD for s in elfsig.verify(content, RING).signatures)


def _is_own(cover: elfsig.Cover, name: str) -> bool:
    return cover.signature is not None and cover.signature.format == name and cover.is_good


MAPPED = ("redhat", "gkh", "note", "pkcs7", "x509")


def compared(data: bytes) -> None:
    """A file is the same as itself, and two files are the same both ways or not at all. With a signature
    more it is the same module."""
    itself = elfsig.compare(data, data)
    if itself.conclusion != "identical":
        raise Broken("itself", f"a file and itself: {itself.conclusion}")
    one, other = elfsig.compare(data, SIGNED), elfsig.compare(SIGNED, data)
    if (one.conclusion == "identical") != (data == SIGNED) or one.is_same != other.is_same:
        raise Broken("both-ways", f"{one.conclusion} and {other.conclusion}")
    for each in (itself, one, other):
        each.to_json()
    with suppress(ElfsigError):
        signed_ = elfsig.sign(data, "pkcs7", SIGNER, DETACHED, existing=elfsig.Existing.STACK).content
        found = elfsig.compare(data, signed_)
        if not found.is_same or found.conclusion == "identical":
            raise Broken("signed", f"a file and the same one signed: {found.conclusion}")


def claimed(data: bytes) -> None:
    """What keys recover makes of a module: the equation of each RSA signature that is good has the key that
    verifies it as a solution."""
    opened = elfsig.open(data)
    found = {(claim.format, claim.signature.value): claim.equation for claim in claims(opened)}
    for each in elfsig.verify(opened, RING).signatures:
        signature, key = each.claims, each.key
        if each.verdict not in GOOD or signature is None or key is None or signature.algorithm != "rsa":
            continue
        numbers = key.public.public_numbers()
        equation = found.get((str(each.format), signature.value))
        if equation is None or not made_by(equation, Solution(numbers.n, numbers.e)):
            raise Broken("equation", f"{each.format} is {each.verdict}, and its equation is not solved")


# --------------------------------------------------------------------------- editing


def signed(format_id: str, data: bytes) -> None:
    """Sign and strip: the bytes are those from before, and in between the signature is valid."""
    try:
        made = elfsig.sign(data, format_id, SIGNER, DETACHED, existing=elfsig.Existing.STACK)
    except ElfsigError:
        return
    before = elfsig.open(data).content
    if made.detached:
        report = elfsig.verify(data, RING, modarg=made.content.decode())
    else:
        report = elfsig.verify(made.content, RING)
        back = _without(made.content, format_id, before)
        if back is None:  # forced into a file whose outer signature it breaks
            return
        if back != before:
            raise Broken("strip-identity", f"{format_id}: {len(before)} bytes became {len(back)} others")
    if not any(s.format == format_id and s.verdict in GOOD for s in report.signatures):
        raise Broken("own-signature", f"{format_id}: just made, and verify says {report.verdict}")


def _without(content: bytes, format_id: str, before: bytes) -> bytes | None:
    """Stripped; None where that is refused for the sake of signatures that were there before, or that are
    there since a section table which was cut off goes on."""
    try:
        return elfsig.strip(content, format_id=format_id).content
    except ElfsigError as reason:
        if elfsig.list_signatures(before) or Image(before).elf_fault is not None:
            return None
        raise Broken("strip-refused", f"{format_id}: just made, and not removed: {reason}") from reason


def stripped(data: bytes) -> None:
    """Strip everything: nothing is left to strip, and list finds nothing."""
    made = elfsig.strip(data, everything=True)
    again = elfsig.strip(made.content, everything=True)
    if again.content != made.content and made.removed:
        raise Broken("strip-twice", f"{len(made.content)} bytes became {len(again.content)}")


def converted(data: bytes) -> None:
    """Convert, verified or not."""
    for unverified in (False, True):
        try:
            made = elfsig.convert(data, "x509", SIGNER, DETACHED, trust=RING, unverified=unverified)
        except ElfsigError:
            continue
        if not any(
            s.format == "x509" and s.verdict in GOOD for s in elfsig.verify(made.content, RING).signatures
        ):
            raise Broken("converted", "the new signature is not valid")


def attached(data: bytes) -> None:
    """Attach what is in a file to a module, and a module's signature to a file."""
    for module_, signature in ((PLAIN, data), (data, SIGNED)):
        with suppress(ElfsigError):
            made = elfsig.attach(module_, signature, RING)
            if elfsig.verify(made.content, RING).verdict not in GOOD:
                raise Broken("attached", "it had to be valid, and is not")
        with suppress(ElfsigError):
            elfsig.attach(module_, signature, force=True, existing=elfsig.Existing.STACK)


def detached(data: bytes) -> None:
    """A signature in a file of its own, or in a module argument."""
    elfsig.verify(SIGNED, RING, detached=data).to_json()
    with suppress(ElfsigError):
        elfsig.verify(SIGNED, RING, modarg=data.decode("utf-8", "surrogateescape"))


def trusted(data: bytes) -> None:
    """Anything as a key source: a module is valid by a certificate only if the source holds that."""
    try:
        ring = elfsig.keyring(data)
    except KeySourceError:
        return
    report = elfsig.verify(SIGNED, ring)
    if report.verdict is Verdict.VALID and SIGNER_KEY not in {key.fingerprint for key in ring.keys}:
        raise Broken("trust", "valid by a source without the signer's key")
    elfsig.list_keys(data)


SIGNER_KEY = elfsig.keyring(CERT).keys[0].fingerprint
PROMISED = (ElfsigError,)
WORDS = (MARKER, MAGIC, b"module.sig\0", b".module_sig\0", b"vermagic=6.1.0 SMP\0")


def _modules() -> tuple[bytes, ...]:
    return (*seeds.modules(), *certificates.modules())


def _verb(word: str, about: str, run: Callable[[bytes], object], limits: Limits = VERB) -> Target:
    return Target(f"verbs/{word}", about, run, _modules, module, WORDS, PROMISED, 1 << 13, limits)


def _formats() -> list[Target]:
    ids = [each.id for each in seeds.REGISTRY.formats if "sign" in each.capabilities]
    return [
        _verb(f"sign-{name}", f"sign as {name}, verify, strip", partial(signed, name), VERB) for name in ids
    ]


TARGETS = (
    _verb("examine", "verify and list", examine),
    _verb("everywhere", "verify, tree, audit, survey agree", everywhere, VERB._replace(seconds=2.0)),
    _verb("predict", "all kernels in all modes", predicted, VERB._replace(seconds=6.0)),
    _verb(
        "kernel", "one kernel under enforcement, against verify", kernel, VERB._replace(seconds=1.0)
    )._replace(seeds=lambda: [bytes([n % len(KERNELS)]) + d for n, d in enumerate(_modules())]),
    _verb("coverage", "coverage and digest", covered, VERB._replace(seconds=1.5)),
    _verb("mapped", "every byte of a map, by changing it", mapped, VERB._replace(seconds=3.0))._replace(
        seeds=lambda: [bytes([n % len(MAPPED)]) + d for n, d in enumerate(seeds.unsigned())]
    ),
    _verb("claims", "what keys recover reads, against verify", claimed),
    _verb("compare", "compare with itself and with another", compared, VERB._replace(seconds=1.5)),
    *_formats(),
    _verb("strip", "strip everything, twice", stripped),
    _verb("convert", "convert", converted, VERB._replace(seconds=1.5)),
    _verb("attach", "attach from a file, and to a file", attached, VERB._replace(seconds=1.5)),
    _verb("detached", "detached signatures and module arguments", detached)._replace(
        seeds=lambda: [*seeds.blobs(), *seeds.openpgp_signatures(), *seeds.pem()], mutate=plain
    ),
    _verb("trust", "anything as a key source", trusted)._replace(
        seeds=lambda: [
            *seeds.pem(),
            *certificates.marked(),
            *seeds.der(),
            *seeds.rings(),
            *seeds.efi(),
            *seeds.modules()[:20],
        ],
        mutate=plain,
    ),
)
