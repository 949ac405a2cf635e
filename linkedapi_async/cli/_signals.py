"""Ctrl-C and SIGTERM: the first ends the work in good order, the second at once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final, Self, TypeVar

from linkedapi_async.cli._console import print_error
from linkedapi_async.cli._exit_codes import CommandError


T = TypeVar("T")

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def _show_cursor() -> None:
    """Show the cursor, which a bar hides: nobody else will."""
    terminal = sys.__stderr__
    if terminal is not None and terminal.isatty():
        terminal.write("\x1b[?25h")
        terminal.flush()


class SignalHandler:
    """Hears signals while its body runs, in the event loop that enters it.

    Args:
        first: What is said at the first signal.
        last: What is said before leaving: how to go on.
        leave: Ends the process with a status, at the second signal.
    """

    def __init__(
        self,
        first: Callable[[], str],
        last: Callable[[], str],
        *,
        leave: Callable[[int], Any] = os._exit,
    ) -> None:
        self._first = first
        self._last = last
        self._leave = leave
        self._event = asyncio.Event()
        self._before: dict[signal.Signals, Any] = {}
        self.status: int | None = None
        """What the process is to end with, once a signal was heard."""

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            try:
                loop.add_signal_handler(number, self._hear, number)
            except NotImplementedError:
                # Windows: only the main thread hears, outside of the loop.
                self._before[number] = signal.signal(
                    number,
                    lambda heard, _: loop.call_soon_threadsafe(self._hear, heard),
                )
        return self

    def __exit__(self, *_: object) -> None:
        for number in _SIGNALS:
            if number in self._before:
                signal.signal(number, self._before[number])
            else:
                asyncio.get_running_loop().remove_signal_handler(number)

    @property
    def heard(self) -> bool:
        """Whether a signal was heard."""
        return self._event.is_set()

    def _hear(self, number: int) -> None:
        if self.heard:
            print_error(self._last())
            _show_cursor()
            self._leave(128 + number)
            return
        self.status = 128 + number
        self._event.set()
        print_error(self._first())

    async def wait(self) -> None:
        """Wait for the first signal."""
        await self._event.wait()

    async def unless(self, work: Awaitable[T]) -> T:
        """Return what *work* gives; at a signal, cancel it.

        Raises:
            Failed: A signal was heard; its message says how to go on.
        """
        task = asyncio.ensure_future(work)
        heard = asyncio.ensure_future(self.wait())
        await asyncio.wait({task, heard}, return_when=asyncio.FIRST_COMPLETED)
        heard.cancel()
        if task.done():
            return task.result()
        task.cancel()
        await asyncio.wait({task})
        raise self.failure()

    def failure(self) -> CommandError:
        """Return what the command ends with after a signal."""
        return CommandError(self._last(), self.status or 1)
