"""Ctrl-C and SIGTERM: the first ends the work in order, the second at once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final, Self, TypeVar

from linkedapi_async._utils.text import printable
from linkedapi_async.cli._console import print_error
from linkedapi_async.cli._exit_codes import CommandError


T = TypeVar("T")

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def _print_last(text: str) -> None:
    """Print *text* below a progress bar, and show the cursor, which the bar hides."""
    terminal = sys.__stderr__
    if terminal is None or not terminal.isatty():
        print_error(text)
        return
    # In one line, so that a command in it can be copied.
    terminal.write(f"\n{printable(text)}\n\x1b[?25h")
    terminal.flush()


class SignalHandler:
    """Handle signals while the body runs, in the event loop that enters it.

    Args:
        first: Returns the message for the first signal.
        last: Returns the message before the process ends: how to continue.
        exit: Ends the process with a status, at the second signal.
    """

    def __init__(
        self,
        first: Callable[[], str],
        last: Callable[[], str],
        *,
        # `sys.exit` would wait for what the first signal waits for.
        exit: Callable[[int], Any] = os._exit,
    ) -> None:
        self._first = first
        self._last = last
        self._exit = exit
        self._event = asyncio.Event()
        self._before: dict[signal.Signals, Any] = {}
        self.status: int | None = None
        """The exit status for the signal that was received."""

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            try:
                loop.add_signal_handler(number, self._receive, number)
            except NotImplementedError:
                # Windows: signals reach the main thread, outside of the loop.
                self._before[number] = signal.signal(
                    number,
                    lambda received, _: loop.call_soon_threadsafe(
                        self._receive, received
                    ),
                )
        return self

    def __exit__(self, *_: object) -> None:
        for number in _SIGNALS:
            if number in self._before:
                signal.signal(number, self._before[number])
            else:
                asyncio.get_running_loop().remove_signal_handler(number)

    @property
    def received(self) -> bool:
        """Whether a signal was received."""
        return self._event.is_set()

    def _receive(self, number: int) -> None:
        if self.received:
            _print_last(self._last())
            self._exit(128 + number)
            return
        self.status = 128 + number
        self._event.set()
        print_error(self._first())

    async def wait(self) -> None:
        """Wait for the first signal."""
        await self._event.wait()

    async def run_until_signal(self, work: Awaitable[T]) -> T:
        """Return the result of *work*; cancel it at a signal.

        Raises:
            CommandError: A signal was received; the message says how to continue.
        """
        task = asyncio.ensure_future(work)
        received = asyncio.ensure_future(self.wait())
        await asyncio.wait({task, received}, return_when=asyncio.FIRST_COMPLETED)
        received.cancel()
        if task.done():
            return task.result()
        task.cancel()
        # Retrieves the exception too: a gathering of tasks ends with one.
        await asyncio.gather(task, return_exceptions=True)
        raise self.failure()

    def failure(self) -> CommandError:
        """Return the error that ends the command after a signal."""
        return CommandError(self._last(), self.status or 1)
