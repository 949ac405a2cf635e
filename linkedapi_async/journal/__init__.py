"""What was started and how it ended, on disk: nothing is lost, nothing sent twice.

A row is on disk before its start is sent, so a crash leaves at worst a start that is
*unknown*, never one that is forgotten. Rows name accounts; no token is ever stored.
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
