"""Evidence bundles: what is written of one module, in the form that recheck.sh reads."""

from __future__ import annotations

from elfsig.coverages.catalogue import COVERAGES
from elfsig.elf.image import Image
from elfsig.errors import ElfsigError, ParseError
from elfsig.verbs.bundle.checks import checked, is_name, text
from elfsig.verbs.bundle.keys import key_folders
from elfsig.verbs.bundle.module import module_entry
from elfsig.verbs.bundle.ranges import ranges
from elfsig.verbs.bundle.signature import Bundled
from elfsig.verbs.inspect.cover import covers
from elfsig.verbs.verify.examine import Question, examine
from tests.fuzz import judges, seeds
from tests.fuzz.mutate.elf import module as mutated
from tests.fuzz.target import VERB, Broken, Target
from tests.support.opened import opened

RING = judges.ring()
KEYS = Bundled(RING, {each.fingerprint: folder for each in RING.keys for folder in key_folders([each], {})})


def entry(data: bytes) -> None:
    """Every check is one that recheck.sh knows, and every file has a name that it may have."""
    module, question = opened(data, seeds.REGISTRY), Question(RING)
    report = examine(module, question)
    made = module_entry(module, report, list(covers(module, question, None, None)), KEYS)
    for line in made.checks:
        try:
            checked(line)
        except ValueError as reason:
            raise Broken("check", repr(line)) from reason
    text(made.checks)
    names = [each.name for each in made.files]
    if len(set(names)) != len(names) or not all(map(is_name, names)):
        raise Broken("names", repr(names))


def pieces(data: bytes) -> None:
    """A stream put together from its list of ranges, as recheck.sh does it, is the stream."""
    image = Image(data)
    for name, coverage in COVERAGES.items():
        try:
            message = coverage.message(image, None)
        except ParseError:
            continue
        found = ranges(message)
        sources = {"copy": bytes(message.data), "made": found.made}
        parts = []
        for line in found.text.decode("ascii").splitlines():
            if not line.startswith("#"):
                source, start, size = line.split()
                parts.append(sources[source][int(start) : int(start) + int(size)])
        if b"".join(parts) != message.to_bytes():
            raise Broken("ranges", f"{name}: the list of ranges does not give the stream")


COSTS = VERB._replace(seconds=1.5)
TARGETS = (
    Target(
        "bundles/entry",
        "what is written of a module",
        entry,
        seeds.modules,
        mutated,
        (),
        (ElfsigError,),
        1 << 13,
        COSTS,
    ),
    Target(
        "bundles/ranges",
        "streams from their ranges",
        pieces,
        seeds.unsigned,
        mutated,
        (),
        (ElfsigError,),
        1 << 13,
        COSTS,
    ),
)
