"""Files of rows grow safely: rows are written whole, and none is lost silently."""

from __future__ import annotations

import copy
import csv
import errno
import io
import json
import os
import pathlib
import pickle
import sys
import threading
from typing import Any

import hostile_text
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as draws
from pyarrow import parquet
from strategies import json_values

from linkedapi_async import st, tables
from linkedapi_async._results.key import ACTIONS
from linkedapi_async._utils.text import cell
from linkedapi_async._wire.read import read_completion
from linkedapi_async.export import (
    CsvWriter,
    ExportError,
    JsonlWriter,
    write_csv,
    write_jsonl,
    write_parquet,
)
from linkedapi_async.tables import Table


Rows = list[dict[str, Any]]
PEOPLE: Rows = [
    {"name": "Ann", "age": -5, "note": "=1+1", "ok": True},
    {"name": 'Bob "B", jr.', "age": 2.5, "note": "two\nlines\r", "ok": False},
    {"name": "Zoë \U0001f600", "age": None, "note": "", "ok": None},
]
NAMES = list(PEOPLE[0])

texts = draws.text(draws.characters(), max_size=6) | draws.text(
    draws.sampled_from("=+-@'\"\r\n\t, a\ud83d\0"), max_size=6
)


@draws.composite
def sheets(draw: draws.DrawFn) -> Rows:
    """Draw rows that have the same columns in the same order."""
    names = draw(draws.lists(texts, min_size=1, max_size=4, unique_by=cell))
    values = draws.tuples(*[texts | json_values for _ in names])
    return [
        dict(zip(names, row, strict=True))
        for row in draw(draws.lists(values, max_size=4))
    ]


def table(path: pathlib.Path) -> list[list[str]]:
    """Return the cells of a CSV file."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file, strict=True))


def lines(path: pathlib.Path) -> Rows:
    """Return the rows of a file of JSON Lines."""
    data = path.read_bytes()

    assert not data or data.endswith(b"\n")
    return [json.loads(line) for line in data.split(b"\n")[:-1]]


def as_cell(value: Any, *, safe: bool = True) -> str:
    """Return the cell of *value*, computed independently."""
    if value is None:
        return ""
    if isinstance(value, str):
        return cell(value, safe=safe)
    if type(value) in {int, float}:
        return str(value)
    return "json:" + json.dumps(value, sort_keys=True)


def read_cell(text: str, value: Any) -> str:
    """Return a cell that was read, JSON of *value* in its canonical form."""
    if isinstance(value, bool | list | dict):
        return "json:" + json.dumps(json.loads(text), sort_keys=True)
    return text


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return a folder for files that many examples write one after the other."""
    return tmp_path_factory.mktemp("examples")


# CSV


def test_csv(tmp_path: pathlib.Path) -> None:
    """Rows become a table: numbers as they are, formulas escaped, None as an empty cell."""
    path = tmp_path / "people.csv"

    assert 3 == write_csv(path, PEOPLE)
    assert (
        b"name,age,note,ok\n"
        b"Ann,-5,'=1+1,true\n"
        b'"Bob ""B"", jr.",2.5,"two\nlines\r",false\n'
        b"Zo\xc3\xab \xf0\x9f\x98\x80,,,\n"
    ) == path.read_bytes()


def test_csv_for_spreadsheets(tmp_path: pathlib.Path) -> None:
    """Options write a byte order mark, other line ends and formulas as they are."""
    path = tmp_path / "people.csv"
    write_csv(path, PEOPLE[:1], bom=True, newline="\r\n", safe=False)

    assert b"\xef\xbb\xbfname,age,note,ok\r\nAnn,-5,=1+1,true\r\n" == path.read_bytes()


@settings(max_examples=60)
@given(sheets(), draws.booleans(), draws.booleans(), draws.sampled_from(["\n", "\r\n"]))
def test_csv_reads_back(
    folder: pathlib.Path, rows: Rows, safe: bool, bom: bool, newline: Any
) -> None:
    """The standard library reads the same cells, whatever their content."""
    path = folder / "back.csv"
    write_csv(path, rows, safe=safe, bom=bom, newline=newline)
    head, *body = table(path) if rows else [[]]

    assert [cell(name, safe=safe) for name in (rows[0] if rows else ())] == head
    assert [[as_cell(v, safe=safe) for v in row.values()] for row in rows] == [
        [read_cell(*pair) for pair in zip(found, row.values(), strict=True)]
        for found, row in zip(body, rows, strict=True)
    ]


@settings(max_examples=60)
@given(sheets(), draws.integers(0, 4))
def test_csv_in_parts(folder: pathlib.Path, rows: Rows, cut: int) -> None:
    """A file that was appended to equals one that was written at once."""
    whole, parts = folder / "whole.csv", folder / "parts.csv"
    parts.unlink(missing_ok=True)
    columns = list(rows[0]) if rows else ["x"]
    write_csv(whole, rows, columns=columns)
    for part in (rows[:cut], rows[cut:], []):
        with CsvWriter(parts, columns=columns, append=True) as writer:
            assert len(part) == writer.write_all(part)
            assert "" == writer.repaired

    assert whole.read_bytes() == parts.read_bytes()


def test_csv_columns_of_the_first_row(tmp_path: pathlib.Path) -> None:
    """The first row makes the header; a later one may lack columns, in any order."""
    path = tmp_path / "a.csv"
    with CsvWriter(path) as writer:
        assert not writer.columns
        writer.write({"a": 1, "b": 2})
        writer.write({"b": 4})
        writer.write({"b": 6, "a": 5})

        assert ("a", "b") == writer.columns
        assert 3 == writer.written
    assert [["a", "b"], ["1", "2"], ["", "4"], ["5", "6"]] == table(path)


def test_csv_columns_of_all_rows(tmp_path: pathlib.Path) -> None:
    """The header has the columns of all rows that are written at once."""
    path = tmp_path / "a.csv"
    write_csv(path, ({name: 1} for name in "abc"))

    assert [["a", "b", "c"], ["1", "", ""], ["", "1", ""], ["", "", "1"]] == table(path)


def test_csv_without_rows(tmp_path: pathlib.Path) -> None:
    """Without rows there is only the header, if it is known."""
    path = tmp_path / "a.csv"

    assert 0 == write_csv(path, [])
    assert b"" == path.read_bytes()
    assert 0 == write_csv(path, [], columns=["a"], append=True, bom=True)
    assert b"\xef\xbb\xbfa\n" == path.read_bytes()


def test_csv_refuses_new_columns(tmp_path: pathlib.Path) -> None:
    """A column that the header lacks is an error that names it; nothing is written."""
    path = tmp_path / "a.csv"
    write_csv(path, [{"a": 1, "=b": 2}])
    before = path.read_bytes()
    with pytest.raises(
        ExportError, match=r"a\.csv: it has no column 'c', 'd'; write to"
    ):
        write_csv(path, [{"a": 3}, {"c": 4, "a": 5, "d": 6}], append=True)
    with pytest.raises(ExportError, match="it has no column 'c'"):
        CsvWriter(path, append=True, columns=["c"])
    assert before == path.read_bytes()
    with CsvWriter(path, append=True) as writer:
        assert ("a", "'=b") == writer.columns
        writer.write({"=b": 7})
        with pytest.raises(ExportError, match="it has no column 'c'"):
            writer.write({"a": 8, "c": 9})
        writer.write({"a": 10})
    assert [["", "7"], ["10", ""]] == table(path)[2:]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a,a\n", "its header has two columns of one name"),
        (b'"a"b\n', "it does not begin with a CSV header in UTF-8"),
        (b"\xff\xfea\n", "it does not begin with a CSV header in UTF-8"),
        (b"a;b\n1;2\n", "it has no column 'a', 'b'"),
        (b"some notes", "it does not begin with these columns"),
        (b'{"a": 1}\n', "header"),
        (b"a,b,c", "it does not begin with these columns"),
        (b"\x00\x01", "it does not begin with these columns"),
    ],
)
def test_csv_refuses_other_files(
    tmp_path: pathlib.Path, content: bytes, words: str
) -> None:
    """A file that is not CSV with these columns stays as it is."""
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    if words == "header":
        words = "does not begin with a header of CSV|has no column"
    with pytest.raises(ExportError, match=words) as caught:
        write_csv(path, [{"a": 1, "b": 2}], append=True)
    assert str(path) == caught.value.path
    assert content == path.read_bytes()
    assert ["a.csv"] == [found.name for found in tmp_path.iterdir()]


@pytest.mark.parametrize("content", ["a,b\r\n1,2\r\n", "\ufeffb,a\r\n2,1\r\n"])
def test_csv_keeps_the_format_of_the_file(tmp_path: pathlib.Path, content: str) -> None:
    """Line ends, order of columns and byte order mark of the file stay."""
    path = tmp_path / "a.csv"
    path.write_bytes(content.encode())
    write_csv(path, [{"a": 3, "b": 4}], append=True, bom=True)
    row = "3,4\r\n" if content.startswith("a") else "4,3\r\n"

    assert (content + row).encode() == path.read_bytes()


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ([], "columns must be one or more strings, got []"),
        ([5], "columns must be one or more strings, got [5]"),
        (["a", "b", "a"], "two columns have one name in ['a', 'b', 'a']"),
        ("name", "columns must be a list of names, got 'name'"),
    ],
)
def test_csv_refuses_columns(tmp_path: pathlib.Path, columns: Any, words: str) -> None:
    """Columns are a list of different names."""
    with pytest.raises(ExportError) as caught:
        CsvWriter(tmp_path / "a.csv", columns=columns)

    assert words in str(caught.value)


@pytest.mark.parametrize("tail", ["1", '1,"x', '1,"x""', '"1\n2', '1,2,"\n\n'])
def test_csv_torn_row(
    tmp_path: pathlib.Path, tail: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An incomplete row is moved aside, and the writer reports it."""
    path = tmp_path / "a.csv"
    whole = 'a,b,c\n"x ""y""\n,",,7\n'
    path.write_bytes((whole + tail).encode())
    with CsvWriter(path, append=True) as writer:
        writer.write({"a": 1, "b": 2, "c": 3})

    assert f"{whole}1,2,3\n" == path.read_text("utf-8")
    assert tail == path.with_name("a.csv.torn").read_bytes().decode()
    assert f"its last row is incomplete; its {len(tail)} bytes" in writer.repaired
    assert writer.repaired in caplog.text


@pytest.mark.parametrize("tail", ["1,2,3", '1,2,"x, y"', ",,", "1,2,3\r"])
def test_csv_row_without_an_end(tmp_path: pathlib.Path, tail: str) -> None:
    """A last row with all cells gets its line end, which editors leave out."""
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,b,c\r\n" + tail.encode())
    with CsvWriter(path, append=True) as writer:
        writer.write({"a": 1})

    assert (
        "its last row had no line end; its last cell may be incomplete"
        == writer.repaired
    )
    assert b"a,b,c\r\n" + tail.strip().encode() + b"\r\n1,,\r\n" == path.read_bytes()


def test_csv_half_a_character(tmp_path: pathlib.Path) -> None:
    """A row that ends within a character is incomplete, whatever its cells."""
    path = tmp_path / "a.csv"
    path.write_bytes("a,b\n1,Zoë".encode()[:-1])
    write_csv(path, [{"a": 2}], append=True)

    assert [["a", "b"], ["2", ""]] == table(path)


@pytest.mark.parametrize("bom", [True, False])
@pytest.mark.parametrize("size", [1, 3, 4])
def test_csv_part_of_a_header(tmp_path: pathlib.Path, size: int, bom: bool) -> None:
    """A file that is cut within its header gets the same header again."""
    path, whole = tmp_path / "a.csv", tmp_path / "b.csv"
    write_csv(whole, [{"alpha": 1, "beta": 2}], bom=bom)
    path.write_bytes(whole.read_bytes()[:size])
    with CsvWriter(path, append=True, bom=bom) as writer:
        writer.write({"alpha": 1, "beta": 2})

    assert "its header was incomplete; it was written again" == writer.repaired
    assert whole.read_bytes() == path.read_bytes()


def test_csv_part_of_another_header(tmp_path: pathlib.Path) -> None:
    """What is not the beginning of this header is left as it is."""
    path = tmp_path / "a.csv"
    path.write_bytes(b"alp")

    with pytest.raises(ExportError, match="does not begin with these columns"):
        write_csv(path, [{"beta": 2}], append=True)
    assert b"alp" == path.read_bytes()


@settings(max_examples=60)
@given(sheets().filter(bool), draws.data(), draws.booleans())
def test_csv_killed_anywhere(
    folder: pathlib.Path, rows: Rows, data: draws.DataObject, bom: bool
) -> None:
    """A file that is cut after any byte keeps all complete rows when it is appended to."""
    path = folder / "killed.csv"
    columns = list(rows[0])
    sizes = []
    with CsvWriter(path, columns=columns, bom=bom) as writer:
        for row in rows:
            writer.write(row)
            sizes.append(path.stat().st_size)
    whole = table(path)
    size = data.draw(draws.integers(0, sizes[-1]))
    os.truncate(path, size)
    with CsvWriter(path, columns=columns, append=True, bom=bom) as writer:
        writer.write(rows[0])
    kept = sum(end <= size for end in sizes)
    found = table(path)

    assert whole[: kept + 1] == found[: kept + 1]
    assert whole[1] == found[-1]
    assert kept + 2 <= len(found) <= kept + 3
    assert path.read_bytes().startswith(b"\xef\xbb\xbf") == bom


@pytest.mark.parametrize("row", [["a"], "name", None, 5])
def test_a_row_is_a_mapping(tmp_path: pathlib.Path, row: Any) -> None:
    """A row that is not a mapping is refused."""
    for write in (write_csv, write_jsonl):
        with pytest.raises(TypeError, match="a row must be a mapping, got "):
            write(tmp_path / "a", [row])


def deep() -> Any:
    """Return a value that is nested more deeply than anything may be."""
    value: Any = 5
    for _ in range(100_000):
        value = [value]
    return value


@pytest.mark.parametrize("value", [{1, 2}, object(), b"x", deep])
def test_values_that_are_not_json(tmp_path: pathlib.Path, value: Any) -> None:
    """A value that is not JSON is an error, and nothing of its row is written."""
    value = value() if value is deep else value
    good = {"a": 1}
    for writer in (CsvWriter(tmp_path / "a.csv"), JsonlWriter(tmp_path / "a.jsonl")):
        with writer:
            writer.write(good)
            with pytest.raises(
                ExportError, match=r"column 'a': |the row is not JSON: "
            ):
                writer.write_all([good, {"a": value}, good])
            writer.write(good)

        assert 3 == writer.written
    assert [["a"], ["1"], ["1"], ["1"]] == table(tmp_path / "a.csv")
    assert [good] * 3 == lines(tmp_path / "a.jsonl")


# JSON Lines


@settings(max_examples=60)
@given(
    draws.lists(draws.dictionaries(texts, json_values | texts, max_size=3), max_size=4)
)
def test_jsonl_reads_back(folder: pathlib.Path, rows: Rows) -> None:
    """The same rows are read, with their types and halves of emoji."""
    path = folder / "back.jsonl"

    assert len(rows) == write_jsonl(path, rows)
    assert repr(rows) == repr(lines(path))


@settings(max_examples=60)
@given(
    draws.lists(draws.dictionaries(texts, json_values), min_size=1, max_size=4),
    draws.data(),
)
def test_jsonl_killed_anywhere(
    folder: pathlib.Path, rows: Rows, data: draws.DataObject
) -> None:
    """A file that is cut after any byte keeps all complete rows when it is appended to."""
    path = folder / "killed.jsonl"
    sizes = []
    with JsonlWriter(path) as writer:
        for row in rows:
            writer.write(row)
            sizes.append(path.stat().st_size)
    size = data.draw(draws.integers(0, sizes[-1]))
    os.truncate(path, size)
    # All but its end of line is enough of a row.
    kept = sum(end - 1 <= size for end in sizes)
    with JsonlWriter(path, append=True) as writer:
        writer.write(rows[0])

    assert [*rows[:kept], rows[0]] == lines(path)
    assert bool(writer.repaired) == (size not in {0, *sizes})


def test_jsonl_row_without_an_end(tmp_path: pathlib.Path) -> None:
    """A complete object is kept, also if a crash came before its line end."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": 2}')
    with JsonlWriter(path, append=True) as writer:
        writer.write({"a": 3})

    assert "its last row had no line end, which was added" == writer.repaired
    kept = path.read_text(encoding="utf-8").splitlines()
    assert [1, 2, 3] == [json.loads(line)["a"] for line in kept]


def test_jsonl_torn_row(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An incomplete row is moved aside, and the writer reports it."""
    path = tmp_path / "a.jsonl"
    for tail in (b'{"a": "x', b"\0\0\0"):
        path.write_bytes(b'{"a": 1}\n' + tail)
        with JsonlWriter(path, append=True) as writer:
            writer.write({"a": 2})

        assert [{"a": 1}, {"a": 2}] == lines(path)
        assert f"incomplete; its {len(tail)} bytes were moved" in writer.repaired
    assert b'{"a": "x\0\0\0' == path.with_name("a.jsonl.torn").read_bytes()
    assert 2 == len(caplog.records)


@pytest.mark.parametrize(
    "content",
    [b"a,b\n1,2\n", b"[\n  1\n]\n", b"notes", b'{"a": 1}\n[1', b"5\n", b"\xff"],
)
def test_jsonl_refuses_other_files(tmp_path: pathlib.Path, content: bytes) -> None:
    """A file that is not JSON Lines stays as it is."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    with pytest.raises(ExportError, match="JSON Lines"):
        JsonlWriter(path, append=True)
    assert content == path.read_bytes()


def test_jsonl_appends(tmp_path: pathlib.Path) -> None:
    """Without append a file is overwritten; with it, it grows, also from nothing."""
    path = tmp_path / "a.jsonl"
    write_jsonl(path, [{"a": 1}], append=True)
    write_jsonl(path, [{"b": 2}], append=True)

    assert [{"a": 1}, {"b": 2}] == lines(path)
    write_jsonl(path, [{"c": 3}])
    assert [{"c": 3}] == lines(path)


# Files


class Unclosed(io.StringIO):
    """A file that says whether it was flushed."""

    flushed = 0

    def flush(self) -> None:
        """Count."""
        self.flushed += 1


def test_open_text_files() -> None:
    """An open text file is written to, flushed once a call, and left open."""
    sheet, text = Unclosed(newline=""), Unclosed(newline="")
    write_csv(sheet, PEOPLE[:2])
    write_jsonl(text, PEOPLE[:2])

    assert PEOPLE[:2] == [json.loads(line) for line in text.getvalue().splitlines()]
    assert NAMES == next(csv.reader(io.StringIO(sheet.getvalue(), newline="")))
    assert (1, 1) == (sheet.flushed, text.flushed)


def test_open_binary_files(tmp_path: pathlib.Path) -> None:
    """An open binary file is written to in UTF-8, whatever wraps it."""
    buffer = io.BytesIO()
    write_csv(buffer, [{"ë": "ü"}], bom=True)

    assert b"\xef\xbb\xbf\xc3\xab\n\xc3\xbc\n" == buffer.getvalue()
    import tempfile

    with tempfile.NamedTemporaryFile(dir=tmp_path) as file:
        write_jsonl(file, [{"ë": 1}])
        file.seek(0)

        assert '{"ë":1}\n' == file.read().decode()


def test_open_files_are_not_read() -> None:
    """Options that read or sync a file need a path."""
    file = io.StringIO()
    for options in ({"append": True}, {"fsync": True}):
        with pytest.raises(ValueError, match="append and fsync need a path"):
            write_jsonl(file, [], **options)


def test_fsync(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With fsync each call waits for the disk once, after its rows."""
    path = tmp_path / "a.jsonl"
    sizes = []
    real = os.fsync

    def synced(number: int) -> None:
        real(number)
        sizes.append(path.stat().st_size)

    monkeypatch.setattr(os, "fsync", synced)
    with JsonlWriter(path, fsync=True) as writer:
        writer.write_all([{}, {}])
        writer.write({})
    write_jsonl(path, [{}], append=True)

    assert [6, 9] == sizes


@pytest.mark.parametrize("append", [True, False])
@pytest.mark.parametrize("kind", [CsvWriter, JsonlWriter])
def test_a_file_has_one_writer(tmp_path: pathlib.Path, kind: Any, append: bool) -> None:
    """A second writer changes nothing, not even a row that is being written."""
    path = tmp_path / "rows"
    with kind(path) as writer:
        writer.write({"a": 1})
        with path.open("ab") as file:
            file.write(b'{"a": ')
        before = path.read_bytes()
        with pytest.raises(ExportError, match="rows: another writer has it open; end"):
            kind(path, append=append)

        assert before == path.read_bytes()

    with kind(path, append=append) as writer:
        assert append == bool(writer.repaired)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
def test_only_the_owner_may_read(tmp_path: pathlib.Path) -> None:
    """New files are private, also incomplete rows; the mode of an old one stays."""
    path, old = tmp_path / "rows", tmp_path / "old"
    write_jsonl(path, PEOPLE)
    with path.open("ab") as file:
        file.write(b'{"a": ')
    write_jsonl(path, PEOPLE, append=True)
    old.touch(0o644)
    write_jsonl(old, PEOPLE)
    aside = tmp_path / "rows.torn"

    assert [0o600, 0o600, 0o644] == [
        each.stat().st_mode & 0o777 for each in (path, aside, old)
    ]


def test_paths_that_cannot_be_written(tmp_path: pathlib.Path) -> None:
    """A directory and a folder that is missing are errors of the operating system."""
    for path in (tmp_path, tmp_path / "missing" / "rows"):
        for append in (True, False):
            with pytest.raises(OSError, match=path.name):
                JsonlWriter(path, append=append)


def test_writing_after_the_end(tmp_path: pathlib.Path) -> None:
    """A closed writer raises an error, and closing twice is harmless."""
    writer = JsonlWriter(tmp_path / "a.jsonl", fsync=True)
    writer.close()
    writer.close()
    with pytest.raises(ValueError, match="closed file"):
        writer.write({})


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such pipes")
def test_a_pipe_is_a_path(tmp_path: pathlib.Path) -> None:
    """A named pipe is written to as it comes."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()))
    reader.start()
    write_csv(path, [{"a": 1}], append=True)
    reader.join()

    assert [b"a\n1\n"] == read


@pytest.mark.skipif(sys.platform == "win32", reason="limits are a thing of Unix")
@pytest.mark.parametrize("kind", [CsvWriter, JsonlWriter])
def test_a_full_disk(tmp_path: pathlib.Path, kind: Any) -> None:
    """A row that did not fit leaves nothing in the file, and the next one is whole."""
    import resource

    path = tmp_path / "full"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with kind(path) as writer:
        writer.write({"a": "x" * 50})
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
        try:
            with pytest.raises(OSError, match="File too large"):
                writer.write({"a": "y" * 500})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        writer.write({"a": "z" * 500})

    expected = ["x" * 50, "z" * 500]
    if kind is CsvWriter:
        assert [["a"], *([text] for text in expected)] == table(path)
    else:
        assert [{"a": text} for text in expected] == lines(path)


@pytest.mark.skipif(not pathlib.Path("/dev/full").exists(), reason="a thing of Linux")
def test_a_full_device() -> None:
    """The error of a device is that of the operating system."""
    with pytest.raises(OSError, match="No space left"):
        write_jsonl("/dev/full", [{"a": 1}])


def test_the_error_pickles() -> None:
    """The error keeps its message and its path when it is copied or pickled."""
    error = ExportError("it is full", path="a.csv")
    for again in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert "a.csv: it is full" == str(again)
        assert "a.csv" == again.path


def test_the_nasty_profile(tmp_path: pathlib.Path) -> None:
    """The hostile profile is whole in both files, and no formula in a spreadsheet."""
    rows = read_completion(hostile_text.completion()).rows(st.open_person_page)
    write_csv(tmp_path / "a.csv", rows)
    write_jsonl(tmp_path / "a.jsonl", rows)
    head, *body = table(tmp_path / "a.csv")

    assert rows == lines(tmp_path / "a.jsonl")
    assert 2 == len(body)
    for row, cells in zip(rows, body, strict=True):
        found = dict(zip(head, cells, strict=True))
        assert {k: as_cell(v) for k, v in row.items()} == {
            k: read_cell(found[k], v) for k, v in row.items()
        }
    numbers = {"-42"}
    assert not any(
        text.strip("\t\r\n \ufeff").startswith(tuple("=+-@"))
        for text in {*head, *body[0], *body[1]} - numbers
    )


# Parquet


def some_people() -> Table:
    """Return a table of people, one of which has more than its columns."""
    data = [{"name": "Ann", "new": 1}, {"name": "Zoë \U0001f600"}]
    node = {"actionType": "st.searchPeople", "success": True, "data": data}
    return read_completion(node).table(st.search_people)


def test_parquet(tmp_path: pathlib.Path) -> None:
    """A table is in the file as it was; a file that was there is replaced."""
    path = tmp_path / "people.parquet"
    path.write_text("old")
    write_parquet(path, some_people())

    assert pa.table(some_people()).equals(parquet.read_table(path))
    assert [path] == [*tmp_path.iterdir()]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
def test_parquet_is_private(tmp_path: pathlib.Path) -> None:
    """Only its owner can read the file, and a link to one stays a link."""
    path, link = tmp_path / "people.parquet", tmp_path / "link"
    link.symlink_to(path)
    write_parquet(link, some_people())

    assert link.is_symlink()
    assert 0o600 == path.stat().st_mode & 0o777


def test_parquet_of_each_action(tmp_path: pathlib.Path) -> None:
    """A table of any action can be written, also without a row."""
    path = tmp_path / "empty.parquet"
    for action in ACTIONS.values():
        empty = tables.table([], action)
        write_parquet(path, empty)

        assert pa.schema(empty).equals(parquet.read_schema(path))


def test_parquet_to_an_open_file() -> None:
    """A table can be written to an open file, which stays open."""
    buffer = io.BytesIO()
    write_parquet(buffer, some_people())

    assert pa.table(some_people()).equals(parquet.read_table(buffer))


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such pipes")
def test_parquet_to_a_pipe(tmp_path: pathlib.Path) -> None:
    """A table can be written to what is no file."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    write_parquet(pipe, some_people())
    reader.join()

    assert pa.table(some_people()).equals(parquet.read_table(io.BytesIO(got[0])))


def test_parquet_of_a_frame(tmp_path: pathlib.Path) -> None:
    """A data frame can be written as well as a table."""
    frame = pl.DataFrame({"n": [1, None]})
    write_parquet(tmp_path / "frame.parquet", frame)

    assert frame.equals(pl.read_parquet(tmp_path / "frame.parquet"))


def test_parquet_that_cannot_be_written(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the disk is full, the old file stays and no part of the new one is left."""
    path = tmp_path / "people.parquet"
    path.write_text("old")

    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, f"no space for {number}")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space for"):
        write_parquet(path, some_people())

    assert [path] == [*tmp_path.iterdir()]
    assert "old" == path.read_text()


def test_parquet_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without arro3-io the error says what to install."""
    made = some_people()
    monkeypatch.setitem(sys.modules, "arro3.io", None)
    with pytest.raises(ImportError, match=r"pip install 'linkedapi-async\[table\]'"):
        write_parquet(io.BytesIO(), made)
