"""An event loop whose clock jumps to the next timer: hours of waiting take no time."""

from __future__ import annotations

import asyncio
import random
import selectors
from typing import TYPE_CHECKING, Any, TypeVar


if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

T = TypeVar("T")

GRACE = 0.002
"""Real time in seconds that open sockets get before the clock jumps."""

PATIENCE = 5.0
"""Real time in seconds that sockets and threads get when no timer is set."""


class Middle(random.Random):
    """A source of chance that always takes the middle: no jitter."""

    def random(self) -> float:
        """Return one half."""
        return 0.5


class _JumpingSelector(selectors.BaseSelector):
    """A selector that moves the clock of its loop instead of sleeping."""

    def __init__(self) -> None:
        self._real = selectors.DefaultSelector()
        self.loop: VirtualLoop | None = None

    def register(
        self, fileobj: Any, events: int, data: Any = None
    ) -> selectors.SelectorKey:
        """Watch *fileobj*."""
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """Watch *fileobj* no longer."""
        return self._real.unregister(fileobj)

    def modify(
        self, fileobj: Any, events: int, data: Any = None
    ) -> selectors.SelectorKey:
        """Watch *fileobj* for other events."""
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """Return what is watched."""
        return self._real.get_map()

    def close(self) -> None:
        """Release the real selector."""
        self._real.close()

    def select(
        self, timeout: float | None = None
    ) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready; if nothing is, let the time of the timeout pass."""
        ready = self._real.select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        assert self.loop is not None
        alone = len(self.get_map()) <= 1 and not self.loop.has_threads
        if timeout is None:
            ready = [] if alone else self._real.select(PATIENCE)
            if not ready:
                raise RuntimeError("nothing is left to wait for: a deadlock")
            return ready
        if not alone:
            ready = self._real.select(GRACE)
        if not ready:
            self.loop.jump(timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio loop that never sleeps while only timers are left.

    For pytest: `("asyncio", {"loop_factory": VirtualLoop})` as an `anyio_backend`.
    """

    _scheduled: list[asyncio.TimerHandle]

    def __init__(self) -> None:
        self._virtual_now = 1000.0
        selector = _JumpingSelector()
        super().__init__(selector)
        selector.loop = self

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._virtual_now

    @property
    def has_threads(self) -> bool:
        """Whether threads may have something to say."""
        return getattr(self, "_default_executor", None) is not None

    def jump(self, seconds: float) -> None:
        """Move the clock by *seconds*, to the very time of the next timer if due.

        The time of the timer itself is free of the rounding of a difference.
        """
        target = self._virtual_now + seconds
        if self._scheduled and abs(self._scheduled[0].when() - target) < 1e-6:
            target = self._scheduled[0].when()
        self._virtual_now = max(target, self._virtual_now)


def run_virtual(main: Coroutine[Any, Any, T], *, debug: bool = False) -> T:
    """Run *main* in a loop with a virtual clock and return its result."""
    with asyncio.Runner(loop_factory=VirtualLoop, debug=debug) as runner:
        return runner.run(main)
