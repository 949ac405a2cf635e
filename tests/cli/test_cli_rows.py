"""The rows of a batch: lists as spreadsheets, LinkedIn and programs write them."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from linkedapi_async.cli._exit_codes import CommandError
from linkedapi_async.cli._row_input import read_rows


def rows_of(path: Path, text: str | bytes, **settings: Any) -> list[tuple[int, Any]]:
    """Return the rows that are read from a file with *text*."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with read_rows(str(path), **settings) as rows:
        found = [(row.line, row.problem or dict(row.values)) for row in rows]
        assert found == [(row.line, row.problem or dict(row.values)) for row in rows]
    return found


def test_rows_know_their_lines(tmp_path: Path) -> None:
    """A row has the line where it begins, also after cells of several lines."""
    text = '\ufeff\r\n a ,b\r\n"1\n2",x\r\n\r\n3,"y, z"\r\n'

    assert [(3, {"a": "1\n2", "b": "x"}), (6, {"a": "3", "b": "y, z"})] == rows_of(
        tmp_path / "p.csv", text
    )
    assert [(2, {"a": 1}), (3, {"a": "x\u2028y"})] == rows_of(
        tmp_path / "p.JSONL", '\n{"a": 1}\n{"a": "x\u2028y"}\n'
    )


ADA = "https://www.linkedin.com/in/ada"
USED = ("url", "name")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"]
)
def test_encodings_and_delimiters(
    tmp_path: Path, encoding: str, delimiter: str
) -> None:
    """Encoding and delimiter are detected, and may be named."""
    text = f"url,name\n{ADA},Zoë\n".replace(",", delimiter)
    path = tmp_path / "p.csv"

    assert [(2, {"url": ADA, "name": "Zoë"})] == rows_of(
        path, text.encode(encoding), columns=USED
    )
    assert [(2, {"url": ADA, "name": "Zoë"})] == rows_of(
        path, text.encode(encoding), encoding=encoding, delimiter=delimiter
    )


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        pytest.param(f"url,name,\n{ADA},Ada,\n", [2], id="nameless last column"),
        pytest.param(f"url,name,a,b\n{ADA},Ada\n", [2], id="no cells at the end"),
        pytest.param(f"url,name\n{ADA},Ada,, \n", [2], id="blank cells at the end"),
        pytest.param(f"sep=;\nurl;name\n{ADA};Ada\n", [3], id="sep line"),
        pytest.param(f'"sep=|"\nurl|name\n{ADA}|Ada\n', [3], id="quoted sep line"),
        pytest.param(
            f"url,name\n,\n , \n\u200b,\xa0\n{ADA},Ada\n", [5], id="blank rows"
        ),
        pytest.param(
            f"url,name,x,x\n{ADA},Ada,,\n", [2], id="unused columns of a name"
        ),
        pytest.param(
            f'Notes:\n"Some ""text"", and more"\n\nurl,name\n{ADA},Ada\n',
            [5],
            id="notes before the header",
        ),
        pytest.param(f'Say "hi",\nurl,name\n{ADA},Ada\n', [3], id="notes not in CSV"),
        pytest.param(f'url,name\n"{ADA}\n"," Ada "\n', [2], id="margins"),
        pytest.param(
            f"\u200burl,name\xa0\n\u200b{ADA}\u200b,\ufeffAda\xa0\n", [2], id="no width"
        ),
    ],
)
def test_lists_as_people_have_them(tmp_path: Path, text: str, rows: list[int]) -> None:
    """What programs add to a list is no part of its cells."""
    expected = [(line, ADA, "Ada") for line in rows]
    found = rows_of(tmp_path / "p.csv", text, columns=USED)

    assert expected == [(line, cells["url"], cells["name"]) for line, cells in found]


def test_joiners_inside_a_cell_are_kept(tmp_path: Path) -> None:
    """Only margins are removed: emoji of several characters stay whole."""
    family = "\U0001f469\u200d\U0001f4bb x"

    assert [(2, {"a": family})] == rows_of(tmp_path / "p.csv", f"a\n {family}\n")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("p.csv", "", "p.csv: no rows"),
        ("p.csv", "a,b\n", "p.csv: no rows"),
        ("p.csv", "a,a\n1,2\n", "p.csv:1: two columns are called 'a'"),
        ("p.csv", 'a\n"1" 2\n', "p.csv:2: "),
        ("p.csv", b"\xff\xfea\0\n\0\xd8\xd8", "p.csv:2: not utf-16; save it as UTF-8"),
        ("p.csv", b"a\n1\n\x81\n", "p.csv:3: not cp1252"),
        ("p.csv", "a\n1\nA\0da\n", "p.csv:3: a NUL character"),
        ("p.csv", "column-\0\n1\n", "p.csv:1: a NUL character"),
        ("p.csv", "a\0\n1\n".encode("utf-16"), "p.csv:1: a NUL character"),
        pytest.param("p.csv", "a\n1\n" * 60_000 + "\0", "p.csv:120001: ", id="late"),
        pytest.param(
            "p.csv",
            "a\nZoë\n1\n".encode() + "Jörg".encode("cp1252"),
            "p.csv:2: UTF-8, and line 4 is not; save it as UTF-8, or pass --encoding",
            id="two encodings",
        ),
        pytest.param(
            "p.csv", "x" * 200_000, "p.csv:1: field larger than field", id="long cell"
        ),
        ("p.xlsx", b"PK\x03\x04\0\0", "p.xlsx is an Excel workbook; save it as CSV"),
        ("p.jsonl", "\n", "p.jsonl: no rows"),
    ],
)
def test_files_that_are_no_rows(
    tmp_path: Path, name: str, text: str | bytes, words: str
) -> None:
    """A problem of a whole file is reported with its line."""
    with pytest.raises(CommandError) as caught:
        rows_of(tmp_path / name, text, columns=["a"])

    assert words in caught.value.message


def test_two_encodings_are_read_as_one_that_is_named(tmp_path: Path) -> None:
    """What looks like UTF-8 may be Windows-1252, if the user says so."""
    text = "a\nStraß»\n".encode("cp1252") + b"J\xf6rg\n"

    assert [(2, {"a": "Straß»"}), (3, {"a": "Jörg"})] == rows_of(
        tmp_path / "p.csv", text, encoding="cp1252"
    )


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_the_order_of_bytes_follows_from_all_characters(
    tmp_path: Path, encoding: str
) -> None:
    """A file of UTF-16 without a mark may begin with any character."""
    text = f"姓名,url\n小明,{ADA}\n"

    assert [(2, {"姓名": "小明", "url": ADA})] == rows_of(
        tmp_path / "p.csv", text.encode(encoding)
    )


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing file and an unknown encoding are errors of the command."""
    with pytest.raises(CommandError, match="No such file"):
        read_rows(str(tmp_path / "absent.csv"))
    with pytest.raises(CommandError, match="--encoding: unknown encoding 'klingon'"):
        rows_of(tmp_path / "p.csv", "a\n1\n", encoding="klingon")


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("p.csv", "a,b\n1,2\n3,4,5\n", "3 cells, the header has 2"),
        ("p.jsonl", '{"a": 1}\n\n{"a"\n', "not JSON: "),
        ("p.jsonl", '{"a": 1}\n\n[1]\n', "expected a JSON object"),
    ],
)
def test_rows_that_cannot_be_read(
    tmp_path: Path, name: str, text: str, problem: str
) -> None:
    """A problem of one row is kept with the row, and the others are read."""
    good, bad = rows_of(tmp_path / name, text)

    assert isinstance(good[1], dict)
    assert bad[1].startswith(problem)


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard input is CSV or JSON Lines, by its first character."""
    for text in ("a\n1\n", '\n{"a": "1"}\n'):
        typed = io.TextIOWrapper(io.BytesIO(text.encode()))
        monkeypatch.setattr("sys.stdin", typed)
        with read_rows("-") as rows:
            assert [{"a": "1"}] == [dict(row.values) for row in rows]


CELLS = some.text(some.characters(exclude_categories=["Cs", "Cc"]), max_size=9)


@given(
    some.lists(some.tuples(CELLS, CELLS), min_size=1, max_size=9),
    some.sampled_from([",", ";", "\t"]),
    some.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_written_rows_are_read(
    tmp_path_factory: pytest.TempPathFactory,
    cells: list[tuple[str, str]],
    delimiter: str,
    encoding: str,
) -> None:
    """Any cells that a program writes come back, without margins and blank rows."""
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter).writerows([("url", "name"), *cells])
    path = tmp_path_factory.mktemp("rows") / "p.csv"
    path.write_bytes(out.getvalue().encode(encoding))
    try:
        with read_rows(str(path), columns=USED) as rows:
            found = [(row.values["url"], row.values["name"]) for row in rows]
    except CommandError:
        found = []

    assert len(found) <= len(cells)
    # Letters have no margins that are taken off, visible or not.
    assert [pair for pair in cells if all(map(str.isalnum, pair))] == [
        pair for pair in found if pair in cells and all(map(str.isalnum, pair))
    ]
