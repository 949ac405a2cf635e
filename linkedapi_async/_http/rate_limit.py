"""At most so many requests in any span of time, first come, first served."""

from __future__ import annotations

import asyncio
import contextlib
import math

from linkedapi_async._http.caller import Transport
from linkedapi_async._http.requests import Headers, Request
from linkedapi_async._http.responses import Response


class SlidingWindow:
    """Carries requests as fast as the host allows.

    A request takes a place before it is sent, and the place is free again a span after
    its answer: nobody knows when on its way the server counted it.

    Args:
        sender: What carries a request.
        places: How many requests go in any span at most.
        span: The length of the span, in seconds.
    """

    def __init__(self, sender: Transport, places: int, span: float) -> None:
        self._sender = sender
        self._span = span
        self._places = asyncio.Semaphore(places)
        self._turn = asyncio.Lock()
        self._closed = asyncio.Event()
        self._until = -math.inf
        self._loop = asyncio.get_running_loop()

    async def admit(self) -> None:
        """Take a place, and wait until the end of a pause; `send` gives it back.

        Raises:
            RuntimeError: It was closed meanwhile.
        """
        # Who waits for the end of a pause keeps those behind it in order.
        async with self._turn:
            await self._places.acquire()
            try:
                while (wait := self._until - self._loop.time()) > 0:
                    await self.nap(wait)
                self._check_open()
            except BaseException:
                self._places.release()
                raise

    async def send(
        self, request: Request, headers: Headers, *, fresh: bool = False
    ) -> Response:
        """Send *request* once and return the answer, whatever its status."""
        try:
            return await self._sender.send(request, headers, fresh=fresh)
        finally:
            self._loop.call_later(self._span, self._places.release)

    def pause(self, seconds: float | None) -> None:
        """Let nothing go for *seconds*, nor before the end of an earlier pause."""
        if seconds is not None:
            self._until = max(self._until, self._loop.time() + seconds)

    async def nap(self, seconds: float) -> None:
        """Let *seconds* pass.

        Raises:
            RuntimeError: It was closed meanwhile.
        """
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closed.wait(), seconds)
        self._check_open()

    def close(self) -> None:
        """Send off all who wait, with an error."""
        self._closed.set()
        # One place is enough: each who takes it finds out, and gives it on.
        self._places.release()

    def _check_open(self) -> None:
        if self._closed.is_set():
            message = "the Admin was left meanwhile; make another one"
            raise RuntimeError(message)
