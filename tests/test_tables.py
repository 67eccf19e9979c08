"""Parquet: what is written is what the records say, whoever reads it; and the questions of the manual."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas
import pyarrow
import pyarrow.parquet
import pytest

import corpus
from elfsig.batch.survey import tables
from elfsig.batch.survey.tables import read_records, read_rows, table_writer
from elfsig.errors import ParseError, ReadError, UsageError, WriteError
from elfsig.verbs.survey.columns import COLUMNS, markdown, record_of, row_of
from elfsig.verbs.survey.shapes import is_record
from tests.support.cli import CHECKOUT
from tests.support.documents import MANUAL
from tests.support.run import run
from tests.support.signed import CERT, made
from tests.support.survey_records import HOSTILE, container, module, report_objects

Json = dict[str, Any]
PAGE = MANUAL / "jobs" / "tables.md"
UNSIGNED = corpus.content("amd64-2.6.39-uek.ko")
SIGNED = made(UNSIGNED, "pkcs7", "whole-file").content


@pytest.fixture(scope="module")
def objects() -> dict[str, Json]:
    return report_objects()


def archive(path: Path, **members: bytes) -> Path:
    """A tar of modules, below a module directory."""
    with tarfile.open(path, "w") as out:
        for name, content in members.items():
            header = tarfile.TarInfo(f"lib/modules/6.1.0/kernel/{name}.ko")
            header.size = len(content)
            out.addfile(header, io.BytesIO(content))
    return path


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """The tables of two hosts; the second has an unsigned module, and its archive is cut off."""
    folder = tmp_path / "fleet"
    folder.mkdir()
    one = archive(tmp_path / "one.tar", sample=SIGNED)
    two = archive(tmp_path / "two.tar", sample=SIGNED, other=UNSIGNED)
    two.write_bytes(two.read_bytes()[: len(SIGNED) + len(UNSIGNED) + 2500])
    for each in (one, two):
        run("survey", each, "--trust", CERT, "--parquet", folder / f"{each.stem}.parquet")
    return folder


def test_every_record_is_a_row(tmp_path: Path) -> None:
    source = archive(tmp_path / "x.tar", a=SIGNED, b=UNSIGNED)
    done = run("survey", source, "--trust", CERT, "--jsonl", "--parquet", tmp_path / "t.parquet")
    said = done.files()
    assert done.code == 1 and [each["record"] for each in said] == ["module", "module", "container"]
    rows = list(read_rows(str(tmp_path / "t.parquet")))
    (origin,) = {(each["host"], each["run"]) for each in map(json.loads, done.out.splitlines())}
    assert [{**each, "host": None, "run": None} for each in rows] == [row_of(each) for each in said]
    assert {(each["host"], each["run"]) for each in rows} == {origin}
    signed, unsigned, whole = map(row_of, said)
    decisive = said[0]["signatures"][0]
    assert signed["verdict"] == "valid" and signed["key_fingerprint"] == decisive["key"]["fingerprint"]
    assert (signed["hash"], signed["serial"]) == (decisive["hash"], decisive["serial"])
    assert signed["layers"] == ["tar"] and signed["file"] == str(source)
    assert (unsigned["verdict"], unsigned["signatures"], unsigned["format"]) == ("unsigned", 0, None)
    assert (whole["complete"], whole["modules"], whole["verdict"]) == (True, 2, None)


def test_duckdb_and_pandas_read_the_same(tmp_path: Path, objects: dict[str, Json]) -> None:
    path = tmp_path / "t.parquet"
    records = [module(each, f"/p.deb!/{word}.ko") for word, each in objects.items()]
    records[0]["signatures"][0]["created"] = "2012-02-29T23:59:59Z"
    with table_writer(str(path)) as add:
        for each in (*records, container("/p.deb")):
            add(each)
    rows = [row_of(each) for each in (*records, container("/p.deb"))]
    names = [each.name for each in COLUMNS]
    relation = duckdb.read_parquet(str(path))
    assert relation.columns == names
    duck = [
        {
            name: value.astimezone(UTC) if isinstance(value, datetime) else value
            for name, value in zip(names, row, strict=True)
        }
        for row in relation.fetchall()
    ]
    assert duck == rows
    frame = pandas.read_parquet(path)
    assert list(frame.columns) == names and len(frame) == len(rows)
    assert frame["created"][0] == pandas.Timestamp("2012-02-29T23:59:59Z")
    for name in ("path", "verdict", "key_name", "sha256"):
        assert [None if pandas.isna(each) else each for each in frame[name]] == [each[name] for each in rows]
    assert [list(each) for each in frame["warnings"]] == [each["warnings"] for each in rows]


def test_types_do_not_depend_on_the_data(tmp_path: Path, objects: dict[str, Json]) -> None:
    paths = [tmp_path / f"{number}.parquet" for number in range(3)]
    for path, records in zip(
        paths, ([], [container("/c")], [module(objects["valid"], "/m.ko")]), strict=True
    ):
        with table_writer(str(path)) as add:
            for each in records:
                add(each)
    schemas = {str(pyarrow.parquet.read_schema(path)) for path in paths}
    assert len(schemas) == 1 and list(read_rows(str(paths[0]))) == []
    assert len(duckdb.read_parquet([str(each) for each in paths]).fetchall()) == 2


@pytest.mark.parametrize(
    ("change", "column", "value"),
    [
        ({"size": 1 << 70}, "size", None),
        ({"size": True}, "size", None),
        ({"size": -(1 << 63) + 1}, "size", -(1 << 63) + 1),
        ({"vermagic": ["6.1"]}, "release", None),
        ({"name": "\ud800"}, "name", "\\ud800"),
        ({"name": "\x00é\n"}, "name", "\x00é\n"),
        ({"path": HOSTILE}, "path", HOSTILE),
        ({"host": None}, "host", None),
        ({"host": "web1"}, "host", "web1"),
        ({"elf": "x"}, "machine", None),
    ],
)
def test_values_that_do_not_fit(
    change: Json, column: str, value: object, tmp_path: Path, objects: dict[str, Json]
) -> None:
    record = module(objects["valid"], "/m.ko") | change
    assert row_of(record)[column] == value
    with table_writer(str(tmp_path / "t")) as add:
        add(record)
    assert next(read_rows(str(tmp_path / "t")))[column] == value


@pytest.mark.parametrize("created", ["@253402300800", "@-1e300", "0000-00-00T00:00:00Z", "yesterday", ""])
def test_times_beyond_the_calendar_are_null(created: str, objects: dict[str, Json]) -> None:
    record = module(objects["valid"], "/m.ko")
    changed = {**record["signatures"][0], "created": created}
    assert row_of({**record, "signatures": [changed]})["created"] is None


def test_the_last_second_of_the_calendar(tmp_path: Path, objects: dict[str, Json]) -> None:
    record = module(objects["valid"], "/m.ko")
    changed = {**record["signatures"][0], "created": "9999-12-31T23:59:59Z"}
    with table_writer(str(tmp_path / "t")) as add:
        add({**record, "signatures": [changed]})
    assert next(read_rows(str(tmp_path / "t")))["created"] == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def test_rows_are_records_again(tmp_path: Path, objects: dict[str, Json]) -> None:
    records = [module(each, f"/p.deb!/{word}.ko") for word, each in objects.items()]
    fault = {"code": "truncated", "offset": 77, "text": "it ends early"}
    records += [container("/p.deb", error=fault)]
    records += [module(objects["valid"], "/m\\xff.ko") | {"path_hex": b"/m\xff.ko".hex()}]
    with table_writer(str(tmp_path / "t")) as add:
        for each in records:
            add(each)
    back = list(read_records(str(tmp_path / "t")))
    assert all(map(is_record, back))
    for old, new in zip(records, back, strict=True):
        shared = old.keys() & new.keys() - {"chain", "signatures", "warnings"}
        assert {"path", "error"} <= shared and {each: old[each] for each in shared} == {
            e: new[e] for e in shared
        }
        for before, after in zip(old.get("signatures", ()), new.get("signatures", ()), strict=True):
            for name in ("format", "serial", "key_id", "signer", "hash", "created", "verdict"):
                assert before[name] == after[name]
    assert back[-1]["path_hex"] == "2f6dff2e6b6f"
    assert [row_of(each)["key_fingerprint"] for each in back] == [
        row_of(each)["key_fingerprint"] for each in records
    ]


def test_row_groups_are_bounded(tmp_path: Path, objects: dict[str, Json]) -> None:
    record = module(objects["valid"], "/m.ko")
    with table_writer(str(tmp_path / "t")) as add:
        for _ in range(tables.GROUP + 1):
            add(record)
    meta = pyarrow.parquet.ParquetFile(tmp_path / "t").metadata
    assert [meta.row_group(n).num_rows for n in range(meta.num_row_groups)] == [tables.GROUP, 1]
    assert meta.row_group(0).column(0).compression == "ZSTD"


def test_a_run_that_fails_leaves_what_was_there(tmp_path: Path, objects: dict[str, Json]) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(b"old")

    def interrupted() -> None:
        with table_writer(str(path)) as add:
            add(module(objects["valid"], "/m.ko"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["t.parquet"]


@pytest.mark.parametrize("target", ["", "absent/t.parquet", "fifo"])
def test_a_target_that_cannot_be_written(target: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(WriteError) as error, table_writer(str(tmp_path / target)) as add:
        add(container("/c"))
    assert error.value.path == str(tmp_path / target)
    assert sorted(os.listdir(tmp_path)) == ["fifo"]


def test_a_missing_extra_is_named_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError) as error, table_writer(str(tmp_path / "t")):
        pytest.fail("the body runs")
    assert (error.value.code, error.value.hint) == ("needs-extra", "parquet")
    done = run("survey", tmp_path / "absent", "--parquet", tmp_path / "t")
    assert done.code == 2 and "elfsig[parquet]" in done.err and done.out == ""
    assert not (tmp_path / "t").exists()


def test_pyarrow_is_loaded_when_rows_are_written(tmp_path: Path) -> None:
    """Processes that read hostile files are forked before that, without its threads."""
    program = (
        "import sys\nfrom elfsig.batch.survey.tables import table_writer\n"
        f"with table_writer({str(tmp_path / 't')!r}) as add:\n"
        "    add({'record': 'container', 'path': 'x'})\n    print('pyarrow' in sys.modules)\n"
        "print('pyarrow' in sys.modules)\n"
    )
    words = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=CHECKOUT)
    assert done.stdout.split() == ["False", "True"]


def _other_type(path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.table({"record": ["module"], "path": [1]}), path)


def _other_columns(path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.table({"a": [1]}), path)


def _cut(path: Path) -> None:
    with table_writer(str(path)) as add:
        add(container("/c"))
    path.write_bytes(path.read_bytes()[:-20])


def _changed(path: Path) -> None:
    with table_writer(str(path)) as add:
        add(container("/c"))
    data = bytearray(path.read_bytes())
    data[4:44] = b"\xff" * 40
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda path: path.write_bytes(b"{}"), "not-parquet"),
        (lambda path: path.write_bytes(b"PAR1"), "damaged"),
        (lambda path: path.write_bytes(b"PAR1" + b"\xff" * 200 + b"PAR1"), "damaged"),
        (_other_type, "not-a-table"),
        (_other_columns, "not-a-table"),
        (_cut, "damaged"),
        (_changed, "damaged"),
    ],
)
def test_files_that_are_not_such_tables(make: Any, code: str, tmp_path: Path) -> None:
    make(tmp_path / "t")
    with pytest.raises(ParseError) as error:
        list(read_rows(str(tmp_path / "t")))
    assert error.value.code == code


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ReadError) as error:
        list(read_rows(str(tmp_path / "t")))
    assert error.value.code == "not-found"


def test_an_older_table_has_fewer_columns(tmp_path: Path) -> None:
    columns = {"record": ["module"], "path": ["/m.ko"], "verdict": ["valid"], "of_later": [1]}
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "t")
    (row,) = read_rows(str(tmp_path / "t"))
    assert [*row] == [each.name for each in COLUMNS]
    assert (row["verdict"], row["warnings"], row["size"]) == ("valid", [], None)
    assert is_record(record_of(row))


# --------------------------------------------------------------------------- the manual


def answers(question: str) -> list[Any]:
    relation = duckdb.sql(question)
    assert relation is not None
    return relation.fetchall()


def questions() -> Iterator[str]:
    yield from re.findall(r"^```sql\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def test_the_questions_of_the_manual(fleet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(fleet.parent)
    who, read, builds = map(answers, questions())
    assert who == [
        ("THROW-AWAY test key signer", "THROW-AWAY test key signer", "valid", 2, 2),
        (None, None, "unsigned", 1, 1),
    ]
    assert [(Path(path).name, code) for path, code, _ in read] == [("two.tar", "truncated")]
    assert builds == []
    assert all(len(each.strip().splitlines()) <= 3 for each in questions())


def test_no_name_of_a_column_needs_quotes(tmp_path: Path) -> None:
    with table_writer(str(tmp_path / "t")) as add:
        add(container("/c"))
    names = ", ".join(each.name for each in COLUMNS)
    assert len(answers(f"SELECT {names} FROM read_parquet('{tmp_path / 't'}')")) == 1


def test_the_page_is_made_from_the_columns() -> None:
    shown = list(markdown())
    assert len(shown) == len(COLUMNS) + 2 and len({each.name for each in COLUMNS}) == len(COLUMNS)
    assert PAGE.read_text("utf-8").count("<!-- the columns -->") == 1
    assert all(each.doc and not each.doc.endswith(".") for each in COLUMNS)


def test_lines_of_verify_are_rows_too(tmp_path: Path) -> None:
    (tmp_path / "m.ko").write_bytes(SIGNED)
    (line,) = run("verify", tmp_path / "m.ko", "--trust", CERT, "--jsonl").files()
    row = row_of(json.loads(json.dumps(line)))
    assert (row["record"], row["verdict"], row["file"]) == ("module", "valid", None)
