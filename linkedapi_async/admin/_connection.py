"""The connection of an `Admin`: what its resources call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlencode

from linkedapi_async._http.caller import RetryingCaller
from linkedapi_async._http.connection import ApiConnection, LifecycleState
from linkedapi_async._http.failure_rules import RequestKind
from linkedapi_async._http.rate_limit import SlidingWindow
from linkedapi_async._http.requests import Headers, Request
from linkedapi_async._http.responses import (
    read_empty_result,
    read_result,
    read_without_envelope,
)
from linkedapi_async.errors import RequestError
from linkedapi_async.policies import Polling


T = TypeVar("T")

SPAN = 60.0
"""The span in which requests are counted, in seconds."""


class AdminConnection:
    """Sends the calls of an `Admin`, at most *per_minute* in any minute.

    Args:
        connection: The connection to the host.
        polling: When connection sessions are polled.
        per_minute: How many requests are sent at most in any 60 seconds.
    """

    def __init__(
        self, connection: ApiConnection, polling: Polling, per_minute: int
    ) -> None:
        self.polling: Polling = polling
        self._connection = connection
        self._per_minute = per_minute
        self._headers = connection.requests.admin_headers()
        self._window: SlidingWindow
        self._caller: RetryingCaller

    @property
    def state(self) -> LifecycleState:
        """Whether it is open."""
        return self._connection.state

    def open(self) -> None:
        """Open the connections.

        Raises:
            RuntimeError: It was opened before.
        """
        transport = self._connection.open()
        self._window = SlidingWindow(transport, self._per_minute, SPAN)
        # The window is both: admitting takes a slot, and sending frees it.
        self._caller = self._connection.caller(self._window, self._window)

    async def aclose(self) -> None:
        """Close the connections; calls that wait raise `RuntimeError`.

        Raises:
            RuntimeError: It is not open.
        """
        self._connection.check_open()
        # This comes first, so that waiting calls raise instead of using closed
        # connections.
        self._window.close()
        await self._connection.aclose()

    async def call(
        self,
        call: str,
        kind: RequestKind,
        read: Callable[[Any], T],
        parameters: Any = None,
        *,
        void: bool = False,
    ) -> T:
        """Send a call of the Admin API and return its value.

        Args:
            call: The name of the call, such as ``accounts.getAll``.
            kind: Which failure rules apply.
            read: Converts the answer's result.
            parameters: The JSON to send.
            void: Whether the answer may lack a result.
        """
        self._connection.check_open()
        return await self._caller.call(
            self._connection.requests.admin(call, parameters),
            self._headers,
            kind,
            read,
            unknown=_add_advice,
            unwrap=read_empty_result if void else read_result,
        )

    async def get_public(
        self, url: str, query: dict[str, str], read: Callable[[Any], T]
    ) -> T:
        """Return the value at a public address; no token is sent."""
        self._connection.check_open()
        return await self._caller.call(
            Request("GET", f"{url}?{urlencode(query)}" if query else url),
            Headers(),
            "ask",
            read,
            unknown=_add_advice,
            unwrap=read_without_envelope,
        )

    async def sleep_before_poll(self, number: int) -> None:
        """Wait until it is time for the poll with this *number*, from 1 on.

        Raises:
            RuntimeError: The `Admin` was left meanwhile.
        """
        await self._window.sleep(self.polling.wait(number, self._connection.rng))


def _add_advice(error: RequestError) -> RequestError:
    error.add_note(
        "It is unknown whether the change was made: look before you make it again."
    )
    return error
