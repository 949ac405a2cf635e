"""Rows to files that grow: CSV for spreadsheets, JSON Lines for programs.

Rows come from `Completion.rows`, or are any mappings with JSON values. One program at a
time may write to a file; nothing is locked.
"""

from __future__ import annotations

import contextlib
import csv
import io
import logging
import os
import re
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final, Literal, Self, TypeAlias, cast

import attrs

from linkedapi_async._utils.json import decode_json, encode_json
from linkedapi_async._utils.text import cell, short_repr
from linkedapi_async.errors import LinkedApiError


__all__ = [
    "CsvWriter",
    "ExportError",
    "JsonlWriter",
    "Row",
    "Target",
    "write_csv",
    "write_jsonl",
]

Row: TypeAlias = Mapping[str, Any]
"""Names of columns with JSON values."""
Target: TypeAlias = str | os.PathLike[str] | IO[str] | IO[bytes]
"""A path, which is opened and closed here, or an open file, which is not."""

_BOM: Final = b"\xef\xbb\xbf"

# Quotes that open a cell of CSV, and what of a line is inside of it until they close.
_OPENING: Final = re.compile(rb'(?:\A(?:\xef\xbb\xbf)?|,)"')
_CLOSING: Final = re.compile(rb'(?:[^"]++|"")*+"')
_QUOTED: Final = re.compile(rb'(\A|,)"(?:[^"]++|"")*+"')

_log = logging.getLogger("linkedapi_async")


class ExportError(LinkedApiError, ValueError):
    """A row cannot be written, or the file is none that may be appended to.

    What was written before it stays.

    Attributes:
        path: The file; empty where it was given open.
    """

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path: str = path


class _Writer(ABC):
    """What both kinds of file share: a row is there to its end, or not at all."""

    def __init__(self, target: Target, *, append: bool, fsync: bool) -> None:
        self.written: int = 0
        """How many rows were written here."""
        self.repaired: str = ""
        """What was amiss at the end of the file and how it was mended, or nothing."""
        self._fsync = fsync
        self._given: IO[Any] | None = None
        self._path = ""
        if not isinstance(target, str | os.PathLike):
            if append or fsync:
                message = "append and fsync need a path, not an open file"
                raise ValueError(message)
            self._given = target
            return
        path = Path(target)
        self._path = str(path)
        old = append and path.is_file()
        mode = "r+b" if old else "ab" if append else "wb"
        self._file = cast("io.FileIO", path.open(mode, buffering=0))
        # A pipe is a path too, and cannot be taken back.
        self._regular = stat.S_ISREG(os.fstat(self._file.fileno()).st_mode)
        if old:
            try:
                self._go_on(_existing_file(path, quoted=isinstance(self, CsvWriter)))
                self._file.seek(0, os.SEEK_END)
            except BaseException:
                self._file.close()
                raise

    @abstractmethod
    def _go_on(self, found: _ExistingFile) -> None:
        """Take up the file that was there, mended where it was torn.

        Raises:
            ExportError: It is not one of these.
        """

    @abstractmethod
    def _line(self, row: Row) -> bytes:
        """Return *row* as it is written."""

    def write(self, row: Row) -> None:
        """Write one row; when this returns, the operating system has it.

        Raises:
            ExportError: The row does not fit; nothing of it is written.
            OSError: The file could not be written; nothing of the row stays in it.
        """
        self.write_all([row])

    def write_all(self, rows: Iterable[Row]) -> int:
        """Write rows, each at once, and return how many; see `write`."""
        before = self.written
        try:
            for row in rows:
                self._put(self._line(_checked(row)))
                self.written += 1
        finally:
            self._flush()
        return self.written - before

    def _put(self, data: bytes) -> None:
        given = self._given
        if given is not None:
            given.write(data if _is_binary(given) else data.decode())
            return
        begin = self._file.tell() if self._regular else 0
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except BaseException:
            # Half a row would join the next one.
            if self._regular:
                with contextlib.suppress(OSError):
                    self._file.truncate(begin)
                    self._file.seek(begin)
            raise

    def _flush(self) -> None:
        if self._given is not None:
            self._given.flush()
        elif self._fsync and not self._file.closed:
            os.fsync(self._file.fileno())

    def _cut(self, found: _ExistingFile) -> None:
        """Take the torn end off, and keep it beside the file."""
        aside = f"{self._path}.torn"
        with Path(aside).open("ab") as kept:
            kept.write(found.tail)
        self._file.truncate(found.end)
        self._mended(
            f"its last row was cut off, {len(found.tail)} bytes without an end; they "
            f"were moved to {aside}"
        )

    def _mended(self, what: str) -> None:
        self.repaired = what
        _log.warning("%s: %s", self._path, what)

    def _refuse(self, message: str) -> ExportError:
        return ExportError(message, path=self._path)

    def close(self) -> None:
        """Close the file, unless it was given open."""
        if self._given is None:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _checked(row: Any) -> Row:
    if isinstance(row, Mapping):
        return row
    message = f"a row is a mapping, got {short_repr(row)}"
    raise TypeError(message)


def _is_binary(file: Any) -> bool:
    if isinstance(file, io.TextIOBase):
        return False
    return isinstance(file, io.RawIOBase | io.BufferedIOBase) or "b" in str(
        getattr(file, "mode", "")
    )


class CsvWriter(_Writer):
    """Write rows to a CSV file, in UTF-8.

    None is an empty cell, True is ``true``, lists and objects are JSON text. Text that a
    spreadsheet takes for a formula gets an apostrophe before it.

    Args:
        target: A path, or an open file.
        columns: The columns in order; by default those of the first row. A row may lack
            some, those cells are empty, and may have no others.
        bom: Whether a new file begins with a byte order mark, for spreadsheets that
            take it for another encoding otherwise.
        append: Whether to go on where a file ends, if there is one: its columns and line
            ends stay, a row that was not written to its end is moved aside.
        safe: False writes formulas as they are.
        fsync: Whether each call waits until the disk has the rows.
        newline: What ends a line.

    Raises:
        ExportError: The file has not the columns that are to be written, or is no CSV.
        OSError: It cannot be opened.
    """

    def __init__(
        self,
        target: Target,
        *,
        columns: Sequence[str] | None = None,
        bom: bool = False,
        append: bool = False,
        safe: bool = True,
        fsync: bool = False,
        newline: Literal["\n", "\r\n"] = "\n",
    ) -> None:
        if isinstance(columns, str):
            raise ExportError(f"columns: a list is due, got {short_repr(columns)}")
        self.columns: tuple[str, ...] = ()
        """The columns as they stand in the header; empty as long as there is none."""
        self._safe = safe
        self._newline = newline
        self._begin = _BOM if bom else b""
        self._headless = b""
        self._keys: tuple[str, ...] = ()
        self._places: tuple[int, ...] = ()
        super().__init__(target, append=append, fsync=fsync)
        try:
            if columns is not None:
                self._find(tuple(columns))
        except BaseException:
            self.close()
            raise

    def _go_on(self, found: _ExistingFile) -> None:
        if not found.first:
            # Not even the header was written to its end, or this is another file.
            self._headless = found.tail
            return
        try:
            text = found.first.decode("utf-8-sig")
            (header,) = csv.reader(io.StringIO(text, newline=""), strict=True)
        except (UnicodeDecodeError, csv.Error) as error:
            message = f"it does not begin with a header of CSV in UTF-8: {error}"
            raise self._refuse(message) from None
        if len(set(header)) < len(header):
            raise self._refuse("its header has a column twice")
        self.columns = tuple(header)
        self._newline = "\r\n" if found.first.endswith(b"\r\n") else "\n"
        if found.tail and _is_truncated(found, len(header)):
            self._cut(found)
        elif found.tail:
            self._file.seek(0, os.SEEK_END)
            self._put(self._newline.encode()[-1 if found.tail[-1:] == b"\r" else 0 :])
            self._mended("its last row had no end of line; its last cell may be short")

    def _line(self, row: Row) -> bytes:
        keys = tuple(row)
        if keys != self._keys:
            self._find(keys)
        cells = [""] * len(self.columns)
        for place, (name, value) in zip(self._places, row.items(), strict=True):
            try:
                cells[place] = self._cell(value)
            except (TypeError, ValueError, RecursionError) as error:
                raise self._refuse(f"column {short_repr(name)}: {error}") from None
        return self._record(cells)

    def _find(self, keys: tuple[str, ...]) -> None:
        """Find the places of a row's *keys*; the first ones of all make the header."""
        if not keys or not all(isinstance(key, str) for key in keys):
            raise self._refuse(
                f"names of columns are due, got {short_repr(list(keys))}"
            )
        names = [cell(key, safe=self._safe) for key in keys]
        if len(set(names)) < len(names):
            raise self._refuse(f"a column stands twice in {short_repr(list(keys))}")
        if not self.columns:
            self._put_header(names)
        places = {name: place for place, name in enumerate(self.columns)}
        new = [name for name in names if name not in places]
        if new:
            message = (
                f"it has no column {', '.join(map(short_repr, new))}; write to another file, "
                "name all columns with columns= at the start, or use JSON Lines"
            )
            raise self._refuse(message)
        self._keys, self._places = keys, tuple(places[name] for name in names)

    def _put_header(self, names: list[str]) -> None:
        line = self._record(names)
        if self._headless:
            if not (_BOM + line).startswith(self._headless) and not line.startswith(
                self._headless
            ):
                message = "it has no line with these columns; write to another file"
                raise self._refuse(message)
            self._begin = _BOM if self._headless.startswith(_BOM[:1]) else b""
            self._file.truncate(0)
            self._file.seek(0)
            self._headless = b""
            self._mended("its header had no end; it was written again")
        self._put(self._begin + line)
        self.columns = tuple(names)

    def _cell(self, value: Any) -> str:
        if value is None:
            return ""
        if isinstance(value, str):
            return cell(value, safe=self._safe)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        return cell(encode_json(value).decode(), safe=self._safe)

    def _record(self, cells: Iterable[str]) -> bytes:
        buffer = io.StringIO(newline="")
        # By its own rule only what is in the line terminator needs quotes: with another
        # one, a lone carriage return would end a row.
        csv.writer(buffer, lineterminator="\r\n").writerow(cells)
        return (buffer.getvalue().removesuffix("\r\n") + self._newline).encode()


class JsonlWriter(_Writer):
    """Write rows as JSON Lines: one JSON object on each line, in UTF-8.

    Rows need not have the same columns; nested values stay as they are.

    Args:
        target: A path, or an open file.
        append: Whether to go on where a file ends, if there is one; a row that was not
            written to its end is moved aside.
        fsync: Whether each call waits until the disk has the rows.

    Raises:
        ExportError: The file is no JSON Lines.
        OSError: It cannot be opened.

    https://jsonlines.org
    """

    def __init__(
        self, target: Target, *, append: bool = False, fsync: bool = False
    ) -> None:
        super().__init__(target, append=append, fsync=fsync)

    def _go_on(self, found: _ExistingFile) -> None:
        if found.last.strip() and not _is_object(found.last):
            raise self._refuse("its last line is no JSON object: it is no JSON Lines")
        if not found.tail:
            return
        # No beginning of an object is an object, so this one is there to its end.
        if _is_object(found.tail):
            self._file.seek(0, os.SEEK_END)
            self._put(b"\n")
            self._mended("its last row had no end of line; it got one")
        # After a loss of power a file may end in zeros.
        elif found.tail.lstrip().startswith(b"{") or not found.tail.strip(b"\0"):
            self._cut(found)
        else:
            raise self._refuse("it does not end like JSON Lines")

    def _line(self, row: Row) -> bytes:
        try:
            return encode_json(dict(row)) + b"\n"
        except (TypeError, ValueError, RecursionError) as error:
            raise self._refuse(f"the row is no JSON: {error}") from None


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(decode_json(line), dict)
    except ValueError:
        return False


@attrs.frozen
class _ExistingFile:
    """What an existing file holds."""

    first: bytes
    """The first line that has an end."""
    last: bytes
    """The last line that has an end."""
    end: int
    """Where that line ends, in bytes."""
    tail: bytes
    """What comes after it: of a row that was not written to its end."""
    opened: bool
    """Whether the tail ends inside of quotes."""


def _existing_file(path: Path, *, quoted: bool) -> _ExistingFile:
    """Read a file; where *quoted*, an end of line inside of quotes ends nothing."""
    first = last = b""
    end = size = 0
    opened = False
    pending: list[bytes] = []
    with path.open("rb") as file:
        for line in file:
            size += len(line)
            pending.append(line)
            opened = quoted and _stays_open(line, opened=opened)
            if not opened and line.endswith(b"\n"):
                last, end = b"".join(pending), size
                first = first or last
                pending.clear()
    return _ExistingFile(first, last, end, b"".join(pending), opened)


def _stays_open(line: bytes, *, opened: bool) -> bool:
    """Return whether the next line begins inside of quotes."""
    place = 0
    while True:
        found = _CLOSING.match(line, place) if opened else _OPENING.search(line, place)
        if found is None:
            return opened
        opened, place = not opened, found.end()


def _is_truncated(found: _ExistingFile, width: int) -> bool:
    """Return whether the tail is certainly less than a row of *width* cells."""
    try:
        found.tail.decode()
    except UnicodeDecodeError:
        return True
    return found.opened or _width(found.tail) < width


def _width(tail: bytes) -> int:
    """Return how many cells there are in *tail*, whose quotes are closed."""
    return _QUOTED.sub(rb"\1", tail).count(b",") + 1


def write_csv(
    target: Target,
    rows: Iterable[Row],
    *,
    columns: Sequence[str] | None = None,
    bom: bool = False,
    append: bool = False,
    safe: bool = True,
    fsync: bool = False,
    newline: Literal["\n", "\r\n"] = "\n",
) -> int:
    """Write rows to a CSV file, and return how many.

    Its columns are those of all rows, unless *columns* says which; without rows and
    *columns* the file is empty. For the rest see `CsvWriter`.

    Raises:
        ExportError: The file has not the columns that are to be written, or is no CSV;
            nothing was written.
        OSError: It cannot be opened or written.
    """
    rows = list(rows)
    if columns is None and rows:
        columns = tuple(dict.fromkeys(name for row in rows for name in _checked(row)))
    with CsvWriter(
        target,
        columns=columns,
        bom=bom,
        append=append,
        safe=safe,
        fsync=fsync,
        newline=newline,
    ) as writer:
        return writer.write_all(rows)


def write_jsonl(
    target: Target,
    rows: Iterable[Row],
    *,
    append: bool = False,
    fsync: bool = False,
) -> int:
    """Write rows as JSON Lines, and return how many; see `JsonlWriter`.

    Raises:
        ExportError: A row is no JSON, or the file is no JSON Lines.
        OSError: It cannot be opened or written.
    """
    with JsonlWriter(target, append=append, fsync=fsync) as writer:
        return writer.write_all(rows)
