"""Symbolic links in JSON."""

from __future__ import annotations

from typing import Any

from elfsig.model.json_values import path_members, readable
from elfsig.opened.links import LinkList, Links


def links_object(links: Links) -> dict[str, Any]:
    """The member ``links`` of a document: which links a walk met, and what was done about them."""
    return {
        "followed": links.followed,
        "examined_anyway": links.examined_anyway,
        "outside": _list_object(links.outside),
        "renamed": _list_object(links.renamed),
        "not_followed": _list_object(links.not_followed),
    }


def _list_object(found: LinkList) -> dict[str, Any]:
    first = [
        {**path_members(each.path), "target": readable(each.target), "why": each.why} for each in found.first
    ]
    return {"count": found.count, "first": first}
