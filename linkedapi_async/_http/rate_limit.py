"""A sliding window: limited requests in any span, first come, first served."""

from __future__ import annotations

import asyncio
import contextlib
import math

from linkedapi_async._http.caller import Transport
from linkedapi_async._http.requests import Headers, Request
from linkedapi_async._http.responses import Response


class SlidingWindow:
    """Sends requests as fast as the host allows.

    A request takes a slot before it is sent, and the slot is free again one span after
    its answer, because the server may count it at any moment in between.

    Args:
        transport: Sends the requests.
        slots: How many requests are sent at most in any span.
        span: The length of the span, in seconds.
    """

    def __init__(self, transport: Transport, slots: int, span: float) -> None:
        self._transport = transport
        self._span = span
        self._slots = asyncio.Semaphore(slots)
        self._turn = asyncio.Lock()
        self._closed = asyncio.Event()
        self._until = -math.inf
        self._loop = asyncio.get_running_loop()

    async def admit(self) -> None:
        """Wait for the end of a pause and take a slot; `send` frees it.

        Raises:
            RuntimeError: It was closed meanwhile.
        """
        # Only one caller waits for the end of a pause, so that the others keep their
        # order.
        async with self._turn:
            await self._slots.acquire()
            try:
                while (wait := self._until - self._loop.time()) > 0:
                    await self.sleep(wait)
                self._check_open()
            except BaseException:
                self._slots.release()
                raise

    async def admit_retry(self, seconds: float) -> bool:
        """Wait for *seconds*, then as `admit` does.

        Raises:
            RuntimeError: It was closed meanwhile.
        """
        await self.sleep(seconds)
        await self.admit()
        return True

    async def send(
        self, request: Request, headers: Headers, *, write: bool = False
    ) -> Response:
        """Send *request* once and return the answer, whatever its status."""
        try:
            return await self._transport.send(request, headers, write=write)
        finally:
            # Also after a failure, because the server may have counted the request.
            self._loop.call_later(self._span, self._slots.release)

    def pause(self, seconds: float | None) -> None:
        """Send nothing for *seconds*; an earlier, longer pause stays."""
        if seconds is not None:
            self._until = max(self._until, self._loop.time() + seconds)

    async def sleep(self, seconds: float) -> None:
        """Wait for *seconds*.

        Raises:
            RuntimeError: It was closed meanwhile.
        """
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closed.wait(), seconds)
        self._check_open()

    def close(self) -> None:
        """End all waits with an error."""
        self._closed.set()
        # One slot is enough, because each waiter that gets it fails and releases it
        # again.
        self._slots.release()

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise RuntimeError("the Admin was left meanwhile; make another one")
