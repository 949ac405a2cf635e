"""Contacts that the workers of a fleet share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from linkedapi_async._utils.text import safe_repr
from linkedapi_async.contacts._rows import ContactRows, SqlContactStore
from linkedapi_async.errors import JournalError
from linkedapi_async.fleet._tables import Tables


T = TypeVar("T")


class SharedContactStore(SqlContactStore):
    """Contacts in PostgreSQL, for the workers of all hosts.

    Args:
        tables: The tables that keep them.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._is_open = False

    async def open(self) -> None:
        """Connect to the database.

        Raises:
            JournalError: It cannot be used, or belongs to another application.
        """
        await self._tables.open()
        self._is_open = True

    async def aclose(self) -> None:
        """Finish the pending calls, then close; closing twice does no harm."""
        if self._is_open:
            self._is_open = False
            await self._tables.aclose()

    async def _do(self, step: Callable[[ContactRows], T]) -> T:
        if not self._is_open:
            raise JournalError("the contacts are not open; enter the session first")
        # A person may get further names at any time, so there is one lock for all
        # people.
        return await self._tables.do(
            lambda execute: step(ContactRows(execute)), lock="contacts"
        )

    @safe_repr
    def __repr__(self) -> str:
        return f"<SharedContactStore: {self._tables!r}>"
