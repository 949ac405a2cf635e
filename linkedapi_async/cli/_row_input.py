"""The rows of a batch: CSV as spreadsheets save it, or JSON Lines, each with its line.

The input is copied to a private temporary file and read from there, any number of times,
one row at a time: the rows that were checked are the rows that are sent.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import shutil
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import IO, Any, Final, Self

import attrs

from linkedapi_async._utils.json import decode_json
from linkedapi_async.cli._exit_codes import CommandError


STDIN: Final = "-"

_DELIMITERS: Final = (",", ";", "\t", "|")

# Excel writes this line before the header.
_SEP_LINE: Final = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)

# LinkedIn's own export has notes before the header.
_HEADER_SEARCH: Final = 30

# UTF-32 before UTF-16, whose mark is the beginning of the other one.
_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

_SAMPLE: Final = 4096
"""How many bytes at the beginning say whether the text is UTF-16."""

# Bytes that are characters in UTF-8, and nonsense such as Ã« in Windows-1252.
_UTF8_SEQUENCE: Final = re.compile(
    rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
)

_NUL: Final = "a NUL character, which no text has"

# White space and characters without width. The joiners are kept inside a cell.
_MARGINS: Final = (
    "".join(filter(str.isspace, map(chr, range(0x3001))))
    + "\xad\u180e\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
)


@attrs.frozen
class InputRow:
    """One row of the input."""

    line: int
    """The first line of the row in the file, from 1 on."""
    values: Mapping[str, Any]
    """The cells by column, without white space around them."""
    problem: str | None = None
    """Why the row cannot be read."""
    original: Mapping[str, Any] | None = None
    """The cells with the white space around them, if there is any."""


@attrs.frozen
class _CsvHeader:
    """The header of a CSV file and how to read the rows below it."""

    delimiter: str
    names: tuple[str, ...]
    skipped: int
    """The number of lines before the header."""


class RowFile:
    """The rows of one input; iterate over it as often as needed, once at a time.

    Args:
        name: The name of the input in messages.
        file: A copy of the input.
        columns: The columns that are used; the header is the first row with all of them.
        delimiter: The character between two cells of CSV; None detects it.
        encoding: The encoding of the text; None detects it.

    Raises:
        CommandError: The input is not text, or has no rows.
    """

    def __init__(
        self,
        name: str,
        file: IO[bytes],
        *,
        columns: Collection[str] = (),
        delimiter: str | None = None,
        encoding: str | None = None,
    ) -> None:
        self.name = name
        self._file = file
        self.encoding: str = encoding or self._detect_encoding()
        self._check_encoding()
        self._header: _CsvHeader | None = None
        if self._is_json():
            names = (name for row in self for name in row.values)
            self.columns: list[str] = [*dict.fromkeys(names)]
        else:
            self._header = self._find_header(columns, delimiter)
            self.columns = self._unique_columns(columns)
        if next(iter(self), None) is None:
            raise CommandError(f"{name}: no rows")

    def __iter__(self) -> Iterator[InputRow]:
        with self._text() as text:
            yield from (
                self._json_rows(text)
                if self._header is None
                else (self._csv_rows(text, self._header))
            )

    @contextmanager
    def _text(self) -> Iterator[io.TextIOWrapper]:
        self._file.seek(0)
        text = io.TextIOWrapper(self._file, self.encoding, newline="")
        try:
            yield text
        finally:
            # An iteration that was left early may end after the file was closed.
            if not self._file.closed:
                text.detach()

    def _detect_encoding(self) -> str:
        self._file.seek(0)
        start = self._file.read(_SAMPLE)
        if start.startswith(b"PK\x03\x04"):
            raise CommandError(f"{self.name} is an Excel workbook; save it as CSV")
        for bom, encoding in _BOMS:
            if start.startswith(bom):
                return encoding
        # In UTF-16, every second byte of Latin text is zero, and URLs are Latin text.
        for first, encoding in enumerate(("utf-16-be", "utf-16-le")):
            if start[first::2].count(0) * 8 > len(start):
                return encoding
        problem = self._problem("utf-8")
        if problem is None or problem[1] is _NUL:
            return "utf-8"
        self._check_windows(problem[0])
        return "cp1252"

    def _check_windows(self, line: int) -> None:
        """Check that a file which is not UTF-8 at *line* has no UTF-8 elsewhere."""
        self._file.seek(0)
        for number, content in enumerate(self._file, 1):
            if _UTF8_SEQUENCE.search(content):
                raise CommandError(
                    f"{self.name}:{number}: UTF-8, and line {line} is not; save it as "
                    "UTF-8, or pass --encoding, such as cp1252 for Windows"
                )

    def _problem(self, encoding: str) -> tuple[int, str] | None:
        """Return the first line that cannot be read by *encoding*, and why."""
        self._file.seek(0)
        decoder = codecs.getincrementaldecoder(encoding)()
        line = 1
        while True:
            chunk = self._file.read(1 << 16)
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                line += error.object[: error.start].count(b"\n")
                return line, f"not {encoding}"
            if "\0" in text:
                return line + text[: text.index("\0")].count("\n"), _NUL
            if not chunk:
                return None
            line += text.count("\n")

    def _check_encoding(self) -> None:
        try:
            problem = self._problem(self.encoding)
        except LookupError:
            message = f"--encoding: unknown encoding {self.encoding!r}"
            raise CommandError(message) from None
        if problem is not None:
            message = f"{self.name}:{problem[0]}: {problem[1]}; save it as UTF-8"
            raise CommandError(message)

    # JSON Lines

    def _is_json(self) -> bool:
        if self.name != STDIN:
            return self.name.lower().endswith((".jsonl", ".ndjson"))
        with self._text() as text:
            lines = (line.strip(_MARGINS) for line in text)
            return next(filter(None, lines), "").startswith("{")

    def _json_rows(self, text: io.TextIOWrapper) -> Iterator[InputRow]:
        for number, line in enumerate(text, 1):
            if not line.strip(_MARGINS):
                continue
            try:
                values = decode_json(line.encode())
            except ValueError as error:
                # Leave out Python's position, which counts the lines of one row.
                reason = getattr(error, "msg", error)
                yield InputRow(number, {}, f"not JSON: {reason}")
                continue
            if isinstance(values, dict):
                yield _without_margins(number, values)
            else:
                yield InputRow(number, {}, "expected a JSON object")

    # CSV

    def _find_header(
        self, columns: Collection[str], delimiter: str | None
    ) -> _CsvHeader:
        with self._text() as text:
            marked = _SEP_LINE.fullmatch(text.readline())
        first = 1 if marked else 0
        if delimiter is None and marked:
            delimiter = marked[1]
        found: list[_CsvHeader] = []
        for candidate in (delimiter,) if delimiter else _DELIMITERS:
            headers = self._first_records(candidate, first)
            for header in headers if columns else islice(headers, 1):
                if columns and set(columns) <= set(header.names):
                    return header
                found.append(header)
        # No row has all columns: the widest one makes the best message.
        return max(found, key=lambda header: len(header.names), default=_NO_HEADER)

    def _first_records(self, delimiter: str, first: int) -> Iterator[_CsvHeader]:
        with self._text() as text:
            for _ in range(first):
                text.readline()
            reader = csv.reader(text, delimiter=delimiter)
            line = first
            try:
                for cells in islice(reader, _HEADER_SEARCH):
                    names = tuple(cell.strip(_MARGINS) for cell in cells)
                    if any(names):
                        yield _CsvHeader(delimiter, names, line)
                    line = first + reader.line_num
            except csv.Error:
                # Notes before the header need not be CSV.
                return

    def _unique_columns(self, used: Collection[str]) -> list[str]:
        """Return the columns that have a name of their own."""
        assert self._header is not None  # noqa: S101  # it was just found
        names = self._header.names
        for name in used:
            if names.count(name) > 1:
                line = self._header.skipped + 1
                message = f"{self.name}:{line}: two columns are called {name!r}"
                raise CommandError(message)
        return [name for name in names if name and names.count(name) == 1]

    def _csv_rows(
        self, text: io.TextIOWrapper, header: _CsvHeader
    ) -> Iterator[InputRow]:
        for _ in range(header.skipped):
            text.readline()
        # Strict, because a quote that is never closed would include all rows below it.
        reader = csv.reader(text, delimiter=header.delimiter, strict=True)
        line = header.skipped + 1
        try:
            next(reader, None)
            line = header.skipped + reader.line_num + 1
            for cells in reader:
                first, line = line, header.skipped + reader.line_num + 1
                row = self._csv_row(first, cells, header.names)
                if row is not None:
                    yield row
        except csv.Error as error:
            # The rows below cannot be separated from the invalid one.
            raise CommandError(f"{self.name}:{line}: {error}") from error

    def _csv_row(
        self, line: int, cells: list[str], names: tuple[str, ...]
    ) -> InputRow | None:
        if not any(cell.strip(_MARGINS) for cell in cells):
            return None
        # Excel leaves out empty cells at the end of a row.
        cells += [""] * (len(names) - len(cells))
        known = dict.fromkeys(self.columns)
        values = {n: c for n, c in zip(names, cells, strict=False) if n in known}
        row = _without_margins(line, values)
        if any(cell.strip(_MARGINS) for cell in cells[len(names) :]):
            problem = f"{len(cells)} cells, the header has {len(names)}"
            return attrs.evolve(row, problem=problem)
        return row

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


_NO_HEADER: Final = _CsvHeader(",", (), 0)


def _without_margins(line: int, values: Mapping[str, Any]) -> InputRow:
    cleaned = {
        name.strip(_MARGINS): value.strip(_MARGINS) if isinstance(value, str) else value
        for name, value in values.items()
    }
    return InputRow(line, cleaned, original=values if values != cleaned else None)


def read_rows(
    name: str,
    *,
    columns: Collection[str] = (),
    delimiter: str | None = None,
    encoding: str | None = None,
) -> RowFile:
    """Return the rows of a file: JSON Lines if its name ends so, otherwise CSV.

    Args:
        name: A file, or ``-`` for standard input.
        columns: The columns that are used.
        delimiter: The character between two cells of CSV; None detects it.
        encoding: The encoding of the text; None detects it.

    Raises:
        CommandError: The file cannot be read; the message names the line.
    """
    # Only this user can open it, and it has no name.
    copy = tempfile.TemporaryFile()  # noqa: SIM115  # RowFile closes it
    try:
        if name == STDIN:
            shutil.copyfileobj(sys.stdin.buffer, copy)
        else:
            with open(name, "rb") as source:  # noqa: PTH123  # as it was typed
                shutil.copyfileobj(source, copy)
        return RowFile(
            name, copy, columns=columns, delimiter=delimiter, encoding=encoding
        )
    except OSError as error:
        copy.close()
        raise CommandError(f"{name}: {error.strerror}") from error
    except BaseException:
        copy.close()
        raise
