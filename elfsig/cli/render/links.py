"""Symbolic links in trees: what a run says about them after the files."""

from __future__ import annotations

from collections.abc import Iterator

from elfsig.cli.render.words import plural
from elfsig.cli.settings import visible
from elfsig.opened.links import LinkList, Links, MetLink

SHOWN = 10
"""Links of each kind that are named; the others are counted."""

WHY = {
    "directory": "a directory",
    "missing": "no such file",
    "loop": "links form a loop",
    "special": "not a regular file",
    "off": "--no-follow",
    "edited": "nothing is written through it",
    "other": "elsewhere, and not called like a module or container",
}
"""Why a link was not followed, by its code."""


def lines(links: Links) -> Iterator[str]:
    """The lines for stderr; none where no link was met."""
    total = links.followed + links.examined_anyway
    if total:
        done = "edited" if links.editing else "examined"
        yield f"{plural(total, 'symbolic link')} to files, {links.examined_anyway} of them {done} anyway"
    if links.outside.count:
        what = _counted(links.outside, "leads outside the tree", "lead outside the tree")
        yield f"{what}: {_named(links.outside)}"
    if links.renamed.count:
        what = _counted(links.renamed, "has the name of another module", "have the names of other modules")
        yield f"warning: {what}: {_named(links.renamed)}"
    if links.not_followed.count:
        yield f"{_counted(links.not_followed, 'not followed')}: {_named(links.not_followed)}"


def _counted(found: LinkList, one: str, many: str | None = None) -> str:
    """How many there are, and the words for one or for several."""
    return f"{plural(found.count, 'symbolic link')} {one if found.count == 1 else many or one}"


def _named(found: LinkList) -> str:
    """The first of them, and how many more there are."""
    shown = found.first[:SHOWN]
    more = found.count - len(shown)
    return ", ".join(map(_one, shown)) + (f" and {more} more" if more else "")


def _one(link: MetLink) -> str:
    why = f" ({WHY[link.why]})" if link.why is not None else ""
    return f"{visible(link.path)} -> {visible(link.target)}{why}"
