"""Virtual time: instead of waiting, the loop's clock jumps to the next timer.

Only the loop's clock is virtual, and with it `asyncio.sleep`, timeouts, sessions and
sandboxes. `time.time` and `datetime.now` still return the real time.
"""

from __future__ import annotations

import asyncio
import math
import selectors
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, Self, TypeVar, TypeVarTuple


T = TypeVar("T")
Ts = TypeVarTuple("Ts")

GRACE = 0.0002
"""Real time in seconds that open sockets get before the clock jumps.

Both ends are in the same loop, so it only has to cover the kernel's transfer.
"""

SHORT = 5.0
"""Jumps up to this length, in seconds, give sockets no such time.

Data in transit is read after the next jump, which is soon enough for timeouts of a minute
or more. Idle connections have a timer each second.
"""

THREAD_GRACE = 0.002
"""Real time in seconds that other threads, such as a journal's, get before a jump."""

DEADLOCK_TIMEOUT = 30.0
"""Real time in seconds that sockets and threads get when no timer is set."""

RESOLUTION = time.get_clock_info("monotonic").resolution


class _VirtualClock:
    """A clock that jumps when a selector would block."""

    def __init__(self, now: float) -> None:
        self.now = now
        self.loop: Any = None
        self._jobs = 0

    def track(self, job: asyncio.Future[T]) -> asyncio.Future[T]:
        """Stop the clock until *job*, one of an executor, is done."""
        self._jobs += 1
        job.add_done_callback(self._job_done)
        return job

    def _job_done(self, _: asyncio.Future[Any]) -> None:
        self._jobs -= 1

    def select(self, real: Any, timeout: float | None) -> Any:
        """Return the ready files; if there are none, jump by *timeout*.

        Raises:
            RuntimeError: Nothing is ready and no timer is set: a deadlock.
        """
        # Counted first, because the last action of a thread may wake the loop.
        threads = threading.active_count() > 1
        ready = real.select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if self._jobs:
            return real.select(None)
        # The loop itself watches one socket, which wakes it from other threads.
        sockets = _watched(real) > 1
        if timeout is None:
            ready = real.select(DEADLOCK_TIMEOUT) if sockets or threads else []
            if not ready:
                message = "deadlock: no timer is set and nothing else can happen"
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
        self.now += seconds
        # After half a year of virtual time a float cannot express the loop's resolution,
        # and a timer that has expired would seem to be in the future. asyncio has no
        # public way to set the resolution.
        self.loop._clock_resolution = max(RESOLUTION, math.ulp(self.now))  # noqa: SLF001


class _JumpingSelector:
    """A selector that moves the clock of its loop instead of blocking."""

    def __init__(self, real: Any, clock: _VirtualClock) -> None:
        self._real = real
        self._clock = clock

    def select(self, timeout: float | None = None) -> Any:
        return self._clock.select(self._real, timeout)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def _is_asyncio(loop: object) -> bool:
    return isinstance(loop, asyncio.BaseEventLoop)


def _watched(selector: Any) -> int:
    """Return how many files *selector* watches; a proactor counts as many."""
    get_map = getattr(selector, "get_map", None)
    return len(get_map()) if get_map else 2


def _soon(selector: Any) -> Any:
    """Return what becomes ready within `GRACE`, which is too short for a selector."""
    until = time.perf_counter() + GRACE
    while not (ready := selector.select(0)) and time.perf_counter() < until:
        pass
    return ready


class VirtualTime:
    """Makes the running loop's clock jump to the next timer whenever all tasks wait.

    ::

        async def test_a_day() -> None:
            with VirtualTime() as clock:
                async with Sandbox() as sandbox, sandbox.session() as session:
                    await campaign(session)
                assert clock.elapsed < 86_400

    It works in every loop that is written in Python, with `asyncio.run`, pytest-asyncio
    or anyio's plugin. Run servers and clients in that one loop, because the clock may
    jump while another process answers. It stops while a job of ``run_in_executor``
    runs. After the block the loop's clock runs at its usual speed, ahead by the time
    that was skipped.

    Raises:
        RuntimeError: No loop runs, or it is not one of asyncio's own, such as uvloop.
    """

    def __init__(self) -> None:
        self._clock: _VirtualClock | None = None
        self._began = 0.0
        self._loop: Any = None

    @property
    def elapsed(self) -> float:
        """The virtual time since the block was entered, in seconds."""
        return 0.0 if self._clock is None else self._clock.now - self._began

    def __enter__(self) -> Self:
        if self._clock is not None:
            message = "virtual time cannot be entered twice; create another one"
            raise RuntimeError(message)
        loop: Any = asyncio.get_running_loop()
        if not _is_asyncio(loop):
            message = f"virtual time needs a loop of asyncio's own, got {loop!r}"
            raise RuntimeError(message)
        clock = self._clock = _VirtualClock(loop.time())
        self._began = clock.now
        clock.loop = self._loop = loop
        # A running loop has no public way to replace its selector.
        selector = loop._selector  # noqa: SLF001
        self._real = real = (selector, loop.time, loop.run_in_executor)
        loop._selector = _JumpingSelector(selector, clock)  # noqa: SLF001
        loop.time = lambda: clock.now
        loop.run_in_executor = lambda *args: clock.track(real[2](*args))
        return self

    def __exit__(self, *_: object) -> None:
        selector, real_time, run_in_executor = self._real
        # The clock of a loop must never run backwards.
        ahead = self._loop.time() - real_time()
        self._loop.time = lambda: real_time() + ahead
        self._loop._selector = selector  # noqa: SLF001  # as above
        self._loop.run_in_executor = run_in_executor


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio loop whose time is virtual from beginning to end.

    ``asyncio.Runner(loop_factory=VirtualLoop)`` takes it, and anyio's plugin as
    ``("asyncio", {"loop_factory": VirtualLoop})`` for an ``anyio_backend``.
    """

    def __init__(self) -> None:
        self._clock = _VirtualClock(1000.0)
        self._clock.loop = self
        selector: Any = _JumpingSelector(selectors.DefaultSelector(), self._clock)
        super().__init__(selector)

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._clock.now

    def run_in_executor(
        self,
        executor: Executor | None,
        func: Callable[[*Ts], T],
        *args: *Ts,
    ) -> asyncio.Future[T]:
        """Run a job in an executor; the clock stops until it is done."""
        return self._clock.track(super().run_in_executor(executor, func, *args))


def run_virtual(main: Coroutine[Any, Any, T], *, debug: bool = False) -> T:
    """Run *main* in a loop with a virtual clock and return its result.

    Args:
        main: What to run, as `asyncio.run` takes it.
        debug: Whether the loop is in debug mode.
    """
    with asyncio.Runner(loop_factory=VirtualLoop, debug=debug) as runner:
        return runner.run(main)
