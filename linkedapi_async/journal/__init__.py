"""Records on disk what was started and how it ended, so a crash repeats nothing.

A row is on disk before its start is sent, so after a crash a start may be *unknown*,
but is never forgotten. Rows name accounts; no token is ever stored.
"""

from linkedapi_async.journal._journal import Failure, Journal, MemoryJournal
from linkedapi_async.journal._schema import EndStatus, Row, State
from linkedapi_async.journal._sqlite import SqliteJournal, open_journal


__all__ = [
    "EndStatus",
    "Failure",
    "Journal",
    "MemoryJournal",
    "Row",
    "SqliteJournal",
    "State",
    "open_journal",
]
