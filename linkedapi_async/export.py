"""Rows to files that grow, and tables to Parquet.

CSV is for spreadsheets, JSON Lines for programs. Rows come from `Completion.rows`, or are
any mappings with JSON values. A file that is being written is locked: a second writer,
also in another program, is refused. New files are readable for their owner only, because
results are personal data.
"""

from __future__ import annotations

import contextlib
import csv
import io
import logging
import os
import re
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final, Literal, Protocol, Self, TypeAlias

import attrs

from linkedapi_async._utils.json import decode_json, encode_json
from linkedapi_async._utils.locks import FileLock
from linkedapi_async._utils.text import cell, short_repr
from linkedapi_async.errors import LinkedApiError


__all__ = [
    "ArrowStream",
    "CsvWriter",
    "ExportError",
    "JsonlWriter",
    "RowMapping",
    "Target",
    "write_csv",
    "write_jsonl",
    "write_parquet",
]

RowMapping: TypeAlias = Mapping[str, Any]
"""Names of columns with JSON values."""
Target: TypeAlias = str | os.PathLike[str] | IO[str] | IO[bytes]
"""A path, which is opened and closed here, or an open file, which is not."""


class ArrowStream(Protocol):
    """Columns that Arrow can read: a `Table`, or a frame of polars, pyarrow or pandas."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return the rows, as a capsule of Arrow."""
        ...


_BOM: Final = b"\xef\xbb\xbf"

# Patterns for the beginning and the end of a quoted cell of CSV.
_OPENING: Final = re.compile(rb'(?:\A(?:\xef\xbb\xbf)?|,)"')
_CLOSING: Final = re.compile(rb'(?:[^"]++|"")*+"')
_QUOTED: Final = re.compile(rb'(\A|,)"(?:[^"]++|"")*+"')

_COMPRESSION: Final = "zstd(3)"

_log = logging.getLogger("linkedapi_async")


class ExportError(LinkedApiError, ValueError):
    """A row cannot be written, or the file cannot be appended to.

    Rows that were written before stay.

    Attributes:
        path: The file; empty if an open file was passed.
    """

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path: str = path


class _Writer(ABC):
    """The common base of both formats: a row is written completely, or not at all."""

    def __init__(self, target: Target, *, append: bool, fsync: bool) -> None:
        self.written: int = 0
        """How many rows were written here."""
        self.repaired: str = ""
        """The damage at the end of the file, and its repair; empty without damage."""
        self._fsync = fsync
        self._given: IO[Any] | None = None
        self._lock: FileLock | None = None
        self._path = ""
        if not isinstance(target, str | os.PathLike):
            if append or fsync:
                raise ValueError("append and fsync need a path, not an open file")
            self._given = target
            return
        path = Path(target)
        self._path = str(path)
        # A pipe and the like has no earlier content and cannot be locked.
        self._is_file = path.is_file() or not path.exists()
        if not self._is_file:
            self._file = path.open("ab", buffering=0)
            return
        try:
            # Locked before it is read, because a row that is being written looks
            # incomplete.
            self._lock = FileLock(self._path)
        except BlockingIOError:
            message = "another writer has it open; end that one, or use another file"
            raise self._error(message) from None
        # Unbuffered, because rows that `write` has written must not be lost in a crash.
        self._file = path.open("r+b", buffering=0)
        try:
            if append:
                self._resume(_read_existing(path, quoted=isinstance(self, CsvWriter)))
                self._file.seek(0, os.SEEK_END)
            else:
                self._file.truncate()
        except BaseException:
            self.close()
            raise

    @abstractmethod
    def _resume(self, found: _ExistingFile) -> None:
        """Read a file to append to, and repair its end if that is incomplete.

        Raises:
            ExportError: It has another format.
        """

    @abstractmethod
    def _line(self, row: RowMapping) -> bytes:
        """Return *row* as it is written."""

    def write(self, row: RowMapping) -> None:
        """Write one row; when this returns, the operating system has it.

        Raises:
            ExportError: The row does not fit; nothing of it is written.
            OSError: The file could not be written; nothing of the row stays in it.
        """
        self.write_all([row])

    def write_all(self, rows: Iterable[RowMapping]) -> int:
        """Write rows, each at once, and return how many; see `write`."""
        before = self.written
        try:
            for row in rows:
                self._put(self._line(_as_row(row)))
                self.written += 1
        finally:
            self._flush()
        return self.written - before

    def _put(self, data: bytes) -> None:
        given = self._given
        if given is not None:
            given.write(data if _is_binary(given) else data.decode())
            return
        begin = self._file.tell() if self._is_file else 0
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except BaseException:
            # An incomplete row would join the next one.
            if self._is_file:
                with contextlib.suppress(OSError):
                    self._file.truncate(begin)
                    self._file.seek(begin)
            raise

    def _flush(self) -> None:
        if self._given is not None:
            self._given.flush()
        elif self._fsync and not self._file.closed:
            os.fsync(self._file.fileno())

    def _move_tail_aside(self, found: _ExistingFile) -> None:
        """Remove an incomplete row, and keep it beside the file."""
        aside = f"{self._path}.torn"
        with open(aside, "ab", opener=_open_private) as file:  # Path.open has no opener
            file.write(found.tail)
        self._file.truncate(found.end)
        self._report_repair(
            f"its last row is incomplete; its {len(found.tail)} bytes were moved to "
            f"{aside}"
        )

    def _report_repair(self, what: str) -> None:
        self.repaired = what
        _log.warning("%s: %s", self._path, what)

    def _error(self, message: str) -> ExportError:
        return ExportError(message, path=self._path)

    def close(self) -> None:
        """Close the file and release its lock, unless an open file was passed."""
        if self._given is None:
            self._file.close()
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _as_row(row: Any) -> RowMapping:
    if isinstance(row, Mapping):
        return row
    raise TypeError(f"a row must be a mapping, got {short_repr(row)}")


def _open_private(path: str, flags: int) -> int:
    """Open a file; if it is created, other users cannot read it."""
    return os.open(path, flags, 0o600)


def _is_binary(file: Any) -> bool:
    if isinstance(file, io.TextIOBase):
        return False
    return isinstance(file, io.RawIOBase | io.BufferedIOBase) or "b" in str(
        getattr(file, "mode", "")
    )


class CsvWriter(_Writer):
    """Write rows to a CSV file, in UTF-8.

    None is an empty cell, True is ``true``, lists and objects are JSON text. Text that
    a spreadsheet would run as a formula gets an apostrophe before it.

    Args:
        target: A path, or an open file.
        columns: The columns in order; by default those of the first row. A row may lack
            some, whose cells are then empty, but must have no others.
        bom: Whether a new file begins with a byte order mark, for spreadsheets that
            expect another encoding without it.
        append: Whether to append to a file that exists: its columns and line ends stay,
            an incomplete last row is moved to ``….torn``.
        safe: False writes formulas as they are.
        fsync: Whether each call waits until the disk has the rows.
        newline: What ends a line.

    Raises:
        ExportError: The file lacks a column, is not CSV, or is open in another writer.
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
            message = f"columns must be a list of names, got {short_repr(columns)}"
            raise ExportError(message)
        self.columns: tuple[str, ...] = ()
        """The columns in the header; empty until it is written."""
        self._safe = safe
        self._newline = newline
        self._bom = _BOM if bom else b""
        self._partial_header = b""
        self._keys: tuple[str, ...] = ()
        self._places: tuple[int, ...] = ()
        super().__init__(target, append=append, fsync=fsync)
        try:
            if columns is not None:
                self._map_columns(tuple(columns))
        except BaseException:
            self.close()
            raise

    def _resume(self, found: _ExistingFile) -> None:
        if not found.first:
            # The header is incomplete, or missing, or this is another file.
            self._partial_header = found.tail
            return
        try:
            text = found.first.decode("utf-8-sig")
            (header,) = csv.reader(io.StringIO(text, newline=""), strict=True)
        except (UnicodeDecodeError, csv.Error) as error:
            message = f"it does not begin with a CSV header in UTF-8: {error}"
            raise self._error(message) from None
        if len(set(header)) < len(header):
            raise self._error("its header has two columns of one name")
        self.columns = tuple(header)
        self._newline = "\r\n" if found.first.endswith(b"\r\n") else "\n"
        if found.tail and _is_truncated(found, len(header)):
            self._move_tail_aside(found)
        elif found.tail:
            self._file.seek(0, os.SEEK_END)
            self._put(self._newline.encode()[-1 if found.tail[-1:] == b"\r" else 0 :])
            self._report_repair(
                "its last row had no line end; its last cell may be incomplete"
            )

    def _line(self, row: RowMapping) -> bytes:
        keys = tuple(row)
        if keys != self._keys:
            self._map_columns(keys)
        cells = [""] * len(self.columns)
        for place, (name, value) in zip(self._places, row.items(), strict=True):
            try:
                cells[place] = self._cell(value)
            except (TypeError, ValueError, RecursionError) as error:
                raise self._error(f"column {short_repr(name)}: {error}") from None
        return self._record(cells)

    def _map_columns(self, keys: tuple[str, ...]) -> None:
        """Map a row's *keys* to columns; the first ones make the header."""
        if not keys or not all(isinstance(key, str) for key in keys):
            raise self._error(
                f"columns must be one or more strings, got {short_repr(list(keys))}"
            )
        names = [cell(key, safe=self._safe) for key in keys]
        if len(set(names)) < len(names):
            raise self._error(f"two columns have one name in {short_repr(list(keys))}")
        if not self.columns:
            self._put_header(names)
        places = {name: place for place, name in enumerate(self.columns)}
        new = [name for name in names if name not in places]
        if new:
            raise self._error(
                f"it has no column {', '.join(map(short_repr, new))}; write to another file, "
                "name all columns with columns= at the start, or use JSON Lines"
            )
        self._keys, self._places = keys, tuple(places[name] for name in names)

    def _put_header(self, names: list[str]) -> None:
        line = self._record(names)
        if self._partial_header:
            if not (_BOM + line).startswith(
                self._partial_header
            ) and not line.startswith(self._partial_header):
                message = "it does not begin with these columns; write to another file"
                raise self._error(message)
            self._bom = _BOM if self._partial_header.startswith(_BOM[:1]) else b""
            self._file.truncate(0)
            self._file.seek(0)
            self._partial_header = b""
            self._report_repair("its header was incomplete; it was written again")
        self._put(self._bom + line)
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
        # The writer quotes only characters of its own line terminator: with another
        # one, a lone carriage return would end a row.
        csv.writer(buffer, lineterminator="\r\n").writerow(cells)
        return (buffer.getvalue().removesuffix("\r\n") + self._newline).encode()


class JsonlWriter(_Writer):
    """Write rows as JSON Lines: one JSON object on each line, in UTF-8.

    Rows need not have the same columns; nested values stay as they are.

    Args:
        target: A path, or an open file.
        append: Whether to append to a file that exists; an incomplete last row is moved
            to ``….torn``.
        fsync: Whether each call waits until the disk has the rows.

    Raises:
        ExportError: The file is not JSON Lines, or is open in another writer.
        OSError: It cannot be opened.

    https://jsonlines.org
    """

    def __init__(
        self, target: Target, *, append: bool = False, fsync: bool = False
    ) -> None:
        super().__init__(target, append=append, fsync=fsync)

    def _resume(self, found: _ExistingFile) -> None:
        if found.last.strip() and not _is_object(found.last):
            raise self._error(
                "its last line is not a JSON object, so it is not JSON Lines"
            )
        if not found.tail:
            return
        # A part of an object is not valid JSON, so this object is complete.
        if _is_object(found.tail):
            self._file.seek(0, os.SEEK_END)
            self._put(b"\n")
            self._report_repair("its last row had no line end, which was added")
        # After a loss of power a file may end in zeros.
        elif found.tail.lstrip().startswith(b"{") or not found.tail.strip(b"\0"):
            self._move_tail_aside(found)
        else:
            raise self._error("it does not end as JSON Lines do")

    def _line(self, row: RowMapping) -> bytes:
        try:
            return encode_json(dict(row)) + b"\n"
        except (TypeError, ValueError, RecursionError) as error:
            raise self._error(f"the row is not JSON: {error}") from None


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(decode_json(line), dict)
    except ValueError:
        return False


@attrs.frozen
class _ExistingFile:
    """The content of a file that is appended to."""

    first: bytes
    """The first complete line."""
    last: bytes
    """The last complete line."""
    end: int
    """The position of that line's end, in bytes."""
    tail: bytes
    """The incomplete row that follows it."""
    in_quotes: bool
    """Whether the tail ends inside quotes."""


def _read_existing(path: Path, *, quoted: bool) -> _ExistingFile:
    """Read a file; if *quoted*, a line end inside quotes does not end a line."""
    first = last = b""
    end = size = 0
    in_quotes = False
    pending: list[bytes] = []
    with path.open("rb") as file:
        for line in file:
            size += len(line)
            pending.append(line)
            in_quotes = quoted and _ends_in_quotes(line, in_quotes=in_quotes)
            if not in_quotes and line.endswith(b"\n"):
                last, end = b"".join(pending), size
                first = first or last
                pending.clear()
    return _ExistingFile(first, last, end, b"".join(pending), in_quotes)


def _ends_in_quotes(line: bytes, *, in_quotes: bool) -> bool:
    """Return whether the next line begins inside quotes."""
    place = 0
    while True:
        found = (
            _CLOSING.match(line, place) if in_quotes else _OPENING.search(line, place)
        )
        if found is None:
            return in_quotes
        in_quotes, place = not in_quotes, found.end()


def _is_truncated(found: _ExistingFile, width: int) -> bool:
    """Return whether the tail is certainly less than a row of *width* cells."""
    try:
        found.tail.decode()
    except UnicodeDecodeError:
        return True
    return found.in_quotes or _width(found.tail) < width


def _width(tail: bytes) -> int:
    """Return how many cells there are in *tail*, whose quotes are closed."""
    return _QUOTED.sub(rb"\1", tail).count(b",") + 1


def write_csv(
    target: Target,
    rows: Iterable[RowMapping],
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
        ExportError: The file lacks a column, is not CSV, or is open in another writer;
            nothing was written.
        OSError: It cannot be opened or written.
    """
    rows = list(rows)
    if columns is None and rows:
        columns = tuple(dict.fromkeys(name for row in rows for name in _as_row(row)))
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
    rows: Iterable[RowMapping],
    *,
    append: bool = False,
    fsync: bool = False,
) -> int:
    """Write rows as JSON Lines, and return how many; see `JsonlWriter`.

    Raises:
        ExportError: A row is not JSON, the file is not JSON Lines, or it is open in
            another writer.
        OSError: It cannot be opened or written.
    """
    with JsonlWriter(target, append=append, fsync=fsync) as writer:
        return writer.write_all(rows)


def write_parquet(
    target: str | os.PathLike[str] | IO[bytes], table: ArrowStream
) -> None:
    """Write a table to a Parquet file, compressed with Zstandard.

    At a path, the file appears only when it is complete: it replaces an earlier file
    when it is on disk.

    Args:
        target: A path, or a file that was opened to write bytes.
        table: What `Completion.table` or `tables.table` returns, or a data frame.

    Raises:
        ImportError: The extra ``table`` is not installed.
        OSError: It cannot be opened or written.

    https://parquet.apache.org
    """
    try:
        # Imported here: the extra may be missing.
        from arro3.io import write_parquet as write  # noqa: PLC0415
    except ImportError:
        raise ImportError(
            "Parquet needs arro3-io: pip install 'linkedapi-async[table]'"
        ) from None
    # Written to memory first, because an error of a file while arro3 writes would not
    # be an `OSError`.
    made = io.BytesIO()
    write(table, made, compression=_COMPRESSION)
    data = made.getbuffer()
    if not isinstance(target, str | os.PathLike):
        target.write(data)
        return
    path = Path(target).resolve()
    if path.exists() and not path.is_file():
        # A pipe or a device cannot be replaced.
        path.write_bytes(data)
        return
    # Readable for its owner only, as the other files.
    number, part = tempfile.mkstemp(".part", f"{path.name}.", path.parent)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(number)
        Path(part).replace(path)
    except BaseException:
        Path(part).unlink()
        raise
