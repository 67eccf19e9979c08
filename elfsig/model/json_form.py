"""The machine-readable form: reports as plain JSON values. The schema is ``data/schema.json``.

Bytes are lower-case hex, times ISO 8601 UTC, sizes and offsets integers, keys sorted when written. Each class
knows its own form (``to_json()``); this module has all of them under one name.
"""

from __future__ import annotations

from elfsig.model.json_values import (
    SCHEMA_VERSION,
    Json,
    checked_object,
    dumps,
    origin_members,
    path_members,
    plain,
    readable,
    remark_object,
    run_id,
    run_record,
    time_text,
)
from elfsig.model.key import certificate_fingerprints, key_object, loss_object
from elfsig.model.report import carrier_object, file_object, params_object, signature_object

__all__ = [
    "SCHEMA_VERSION",
    "Json",
    "carrier_object",
    "certificate_fingerprints",
    "checked_object",
    "dumps",
    "file_object",
    "key_object",
    "loss_object",
    "origin_members",
    "params_object",
    "path_members",
    "plain",
    "readable",
    "remark_object",
    "run_id",
    "run_record",
    "signature_object",
    "time_text",
]
