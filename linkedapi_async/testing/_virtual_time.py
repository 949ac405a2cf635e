"""Virtual time: the clock of the event loop jumps to the next timer, and nobody waits.

Only the loop's clock is virtual, and with it `asyncio.sleep`, timeouts, sessions and
sandboxes. `time.time` and `datetime.now` go on as ever.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Coroutine
from typing import Any, Self, TypeVar


T = TypeVar("T")

GRACE = 0.0002
"""Real time in seconds that open sockets get before the clock jumps.

Both ends are in the loop, so it only has to outlast the kernel's way between them.
"""

SHORT = 5.0
"""Jumps in seconds that sockets get no such time before.

What is under way is seen at the next jump: that is soon enough for all that has a
timeout of a minute, and connections that wait for nothing have a timer each second.
"""

THREAD_GRACE = 0.002
"""Real time in seconds that other threads, such as a journal's, get before it jumps."""

PATIENCE = 5.0
"""Real time in seconds that sockets and threads get when no timer is set."""


class VirtualTime:
    """Lets the running loop's clock jump to the next timer whenever all else waits.

    ::

        async def test_a_day() -> None:
            with VirtualTime() as clock:
                async with Sandbox() as sandbox, sandbox.session() as session:
                    await campaign(session)
                assert clock.elapsed < 86_400

    It works in any loop that is written in Python, whatever runs it: `asyncio.run`,
    pytest-asyncio, anyio's plugin. Servers and clients belong into that one loop: time
    may jump past what is under way in another process. It stands still while a job of
    ``run_in_executor`` runs. Afterwards the loop's clock goes on at its usual pace,
    ahead by what was skipped.

    Raises:
        RuntimeError: No loop runs, or it is not one of asyncio's own, such as uvloop.
    """

    def __init__(self) -> None:
        self._loop: Any = None
        self._now = 0.0
        self._began = 0.0
        self._jobs = 0

    @property
    def elapsed(self) -> float:
        """How much virtual time has passed since it began, in seconds."""
        return self._now - self._began

    def __enter__(self) -> Self:
        if self._loop is not None:
            message = "virtual time is entered once: make another one"
            raise RuntimeError(message)
        loop = asyncio.get_running_loop()
        if not isinstance(loop, asyncio.BaseEventLoop):
            message = f"virtual time needs a loop of asyncio's own, not {loop!r}"
            raise RuntimeError(message)  # noqa: TRY004  # as for a loop that is not there
        self._install(loop, loop.time())
        return self

    def __exit__(self, *_: object) -> None:
        selector, real, run_in_executor = self._real
        # No clock of a loop may run backwards.
        ahead = self._now - real()
        self._loop.time = lambda: real() + ahead
        self._loop._selector = selector
        self._loop.run_in_executor = run_in_executor

    def _install(self, loop: Any, now: float) -> None:
        """Put the clock, and a selector that moves it, into *loop*."""
        self._loop = loop
        self._now = self._began = now
        self._real = (loop._selector, loop.time, loop.run_in_executor)
        loop._selector = _JumpingSelector(loop._selector, self)
        loop.time = lambda: self._now
        loop.run_in_executor = self._run_in_executor

    def _run_in_executor(self, *args: Any) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self._real[2](*args)
        self._jobs += 1
        future.add_done_callback(self._job_done)
        return future

    def _job_done(self, _: asyncio.Future[Any]) -> None:
        self._jobs -= 1

    def _select(self, real: Any, timeout: float | None) -> Any:
        """Return what is ready; if nothing is, let the time of *timeout* pass.

        Raises:
            RuntimeError: Nothing is, and no timer is set: a deadlock.
        """
        ready = real.select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if self._jobs:
            # The time stands still while a job of an executor runs.
            return real.select(None)
        threads = threading.active_count() > 1
        # The loop itself has one, which wakes it from other threads.
        sockets = _watched(real) > 1
        if timeout is None:
            ready = real.select(PATIENCE) if sockets or threads else []
            if not ready:
                message = "nothing is left to wait for: a deadlock"
                raise RuntimeError(message)
            return ready
        if threads:
            ready = real.select(THREAD_GRACE)
        elif sockets and timeout > SHORT:
            ready = _soon(real)
        if not ready:
            self._jump(timeout)
        return ready

    def _jump(self, seconds: float) -> None:
        """Move the clock by *seconds*, so far as the next timer at most."""
        self._now += seconds
        # Or, after half a year, a timer that is due would seem to be just not yet due.
        resolution = max(self._loop._clock_resolution, math.ulp(self._now))
        self._loop._clock_resolution = resolution


class _JumpingSelector:
    """A selector that moves the clock of its loop instead of sleeping."""

    def __init__(self, real: Any, clock: VirtualTime) -> None:
        self._real = real
        self._clock = clock

    def select(self, timeout: float | None = None) -> Any:
        return self._clock._select(self._real, timeout)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def _watched(selector: Any) -> int:
    """Return how many files *selector* watches; a proactor does not tell: many."""
    get_map = getattr(selector, "get_map", None)
    return len(get_map()) if get_map else 2


def _soon(selector: Any) -> Any:
    """Return what becomes ready within `GRACE`: no selector waits for so short."""
    until = time.perf_counter() + GRACE
    while not (ready := selector.select(0)) and time.perf_counter() < until:
        pass
    return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio loop whose time is virtual from beginning to end.

    ``asyncio.Runner(loop_factory=VirtualLoop)`` takes it, and anyio's plugin as
    ``("asyncio", {"loop_factory": VirtualLoop})`` for an ``anyio_backend``.
    """

    def __init__(self) -> None:
        super().__init__()
        VirtualTime()._install(self, 1000.0)


def run_virtual(main: Coroutine[Any, Any, T], *, debug: bool = False) -> T:
    """Run *main* in a loop with a virtual clock and return its result.

    Args:
        main: What to run, as `asyncio.run` takes it.
        debug: Whether the loop is in debug mode.
    """
    with asyncio.Runner(loop_factory=VirtualLoop, debug=debug) as runner:
        return runner.run(main)
