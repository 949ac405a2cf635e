"""Checks that the write-ahead log beside a journal belongs to it and is complete.

SQLite does not report such errors: without its log, it opens a database as it was at
the last checkpoint, and it applies a log of another database. So the last row of the
table *openings*, in the file without the log, describes the log that belongs to it:

- *log_origin* identifies a log as long as it exists (see `_WalHeader.origin`). It is NULL
  while the journal is being opened, when no change was acknowledged yet;
- *log_size* is the minimum size of the log, in bytes;
- *complete* is 0 if the log has changes that the file lacks. It is set to 0 before a
  checkpoint and to 1 by the first commit after it. So the file has 0 while the log is
  written, and 1 after the whole log was moved to the file.
"""

from __future__ import annotations

import contextlib
import sqlite3
import struct
from pathlib import Path
from typing import Any, Final, Self

import attrs

from linkedapi_async.errors import JournalError


_MARKER: Final = (
    "SELECT run, opened, log_origin, log_size, complete FROM openings "
    "ORDER BY run DESC LIMIT 1"
)

# What SQLite writes: https://sqlite.org/fileformat2.html#walformat
_HEADER: Final = struct.Struct(">IIIIIIII")
_FRAME: Final = struct.Struct(">IIII")
_FRAME_HEADER_BYTES: Final = 24
_MAGIC: Final = frozenset({0x377F0682, 0x377F0683})


@attrs.frozen
class _WalHeader:
    """The beginning of a log."""

    page_size: int
    sequence: int
    salts: tuple[int, int]

    @classmethod
    def read(cls, log: Path) -> Self | None:
        """Return the header of *log*, or None if it has none."""
        try:
            with log.open("rb") as file:
                content = file.read(_HEADER.size)
        except FileNotFoundError:
            return None
        if len(content) < _HEADER.size:
            return None
        magic, _, page_size, sequence, *salts, _, _ = _HEADER.unpack(content)
        if magic not in _MAGIC:
            return None
        return cls(page_size, sequence, (salts[0], salts[1]))

    @property
    def origin(self) -> int:
        """What identifies a log: its first salt grows with its sequence number."""
        return (self.salts[0] - self.sequence) % 2**32


def log_of(path: Path) -> Path:
    """Return the path of the write-ahead log of a journal."""
    return path.with_name(f"{path.name}-wal")


def log_facts(path: Path) -> tuple[int | None, int]:
    """Return the origin and the size, in bytes, of the log of an open journal."""
    log = log_of(path)
    header = _WalHeader.read(log)
    return None if header is None else header.origin, log.stat().st_size


def check_log(path: Path) -> None:
    """Check the log of a journal that is not open, before SQLite applies it.

    Raises:
        JournalError: It is missing, of another journal, or damaged.
        sqlite3.Error: The file is damaged.
    """
    log = log_of(path)
    header = _WalHeader.read(log)
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size:
            _check(path, log, header)
            return
    if header is not None:
        raise JournalError(
            f"the journal {path} is missing, but its log {log} has changes of it; put "
            "the journal back beside it, or move the log away"
        )


def _check(path: Path, log: Path, header: _WalHeader | None) -> None:
    marker = _marker(f"{path.as_uri()}?mode=ro&immutable=1")
    if marker is None:  # an older version, which marked nothing
        return
    run, opened, origin, size, complete = marker
    if header is None:
        if complete == 0:
            raise JournalError(
                f"the journal {path} was copied or moved without its log {log.name}, "
                "which has its last changes, or that was deleted; put the log back "
                "beside it, or move the journal away and begin a new one"
            )
        return
    if header.origin != origin and not _was_opening(path, run, opened, origin):
        raise JournalError(
            f"{log} belongs to another journal than {path}; move it away, and put back "
            "the log of this journal if it has one"
        )
    short = header.origin == origin and log.stat().st_size < size
    if short or _commits_after(log, header, _valid_frames(path)) > 1:
        raise JournalError(
            f"{log} is damaged: changes that were on disk cannot be read any more; put "
            f"back a whole copy, or move it away together with {path.name} and begin a "
            "new one; the platform's history shows what runs"
        )


def _marker(uri: str) -> Any:
    """Return the marker of a database, or None if it has none."""
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
            return connection.execute(_MARKER).fetchone()
    except sqlite3.Error:  # damage is found when the log is applied
        return None


def _was_opening(path: Path, run: int, opened: float, origin: int | None) -> bool:
    """Return whether a new log comes from a run that was killed while opening *path*.

    When such a log is applied, there are the openings of the file, and one more unless
    the log belongs to the last opening in the file.
    """
    query = "SELECT run, opened FROM openings WHERE run >= ? ORDER BY run"
    with contextlib.closing(_read_only(path)) as connection:
        try:
            first, *more = connection.execute(query, (run,)).fetchall()
        except (sqlite3.Error, ValueError):
            return False
    return bool(first == (run, opened) and len(more) == (origin is not None))


def _read_only(path: Path) -> sqlite3.Connection:
    """Return a connection that applies the log without moving it to the file."""
    return sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)


def _valid_frames(path: Path) -> int:
    """Return how many frames of the log SQLite applies, and check the database.

    Raises:
        sqlite3.DatabaseError: The database is damaged.
    """
    with contextlib.closing(_read_only(path)) as connection:
        problems = connection.execute("PRAGMA integrity_check(1)").fetchall()
        if problems != [("ok",)]:
            error = sqlite3.DatabaseError(str(problems[0][0]))
            error.sqlite_errorname = "SQLITE_CORRUPT"
            raise error
    # Read after closing, because closing a file ends all locks that the process has on
    # it.
    index = path.with_name(f"{path.name}-shm").read_bytes()
    # https://sqlite.org/walformat.html#the_wal_index_header
    return int(struct.unpack_from("=I", index, 16)[0])


def _commits_after(log: Path, header: _WalHeader, frames: int) -> int:
    """Return how many commits the log has after so many *frames*.

    A commit waits for the disk before the next one begins. So a crash may leave the
    last one incomplete. But if SQLite does not apply two commits, the first of them was
    complete before and is damaged.
    """
    commits = 0
    with log.open("rb") as file:
        file.seek(_HEADER.size + frames * (_FRAME_HEADER_BYTES + header.page_size))
        while len(frame := file.read(_FRAME_HEADER_BYTES)) == _FRAME_HEADER_BYTES:
            _, pages, *salts = _FRAME.unpack_from(frame)
            commits += pages != 0 and tuple(salts) == header.salts
            file.seek(header.page_size, 1)
    return commits
