"""Every coverage by its id, in the order of history."""

from __future__ import annotations

from collections.abc import Mapping

from elfsig.coverages.canonical import FILEORDER, FILEORDER_NOBUILDID, SORTED, SORTED_2012
from elfsig.coverages.textdata import TEXTDATA, TEXTDATA_2003, TEXTDATA_FC2
from elfsig.coverages.whole_file import WholeFile
from elfsig.model import Coverage

COVERAGES: Mapping[str, Coverage] = {
    coverage.id: coverage
    for coverage in (
        TEXTDATA,
        TEXTDATA_FC2,
        TEXTDATA_2003,
        FILEORDER,
        FILEORDER_NOBUILDID,
        SORTED,
        SORTED_2012,
        WholeFile(),
    )
}

SIGNED_AS: Mapping[str, str] = {
    "textdata-fc2": "textdata",
    "textdata-2003": "textdata",
    "sorted-2012": "sorted",
}
"""Coverages that a kernel computes differently, and the coverage that its signing tool computes."""
