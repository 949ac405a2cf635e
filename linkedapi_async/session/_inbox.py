"""New messages and network events, one after another, from a stored cursor.

The endpoints return what was captured since a moment. It is not documented whether the
moment is included, and items may be captured late and out of order. So each poll looks
back, and the ids of items that were delivered within that time are remembered.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import heapq
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Generic, NamedTuple, NoReturn, Self, TypeVar

from linkedapi_async._http.connection import check_positive
from linkedapi_async._results.completion import Result
from linkedapi_async._utils.json import decode_json, encode_json
from linkedapi_async._utils.log import error_reason, log_extra
from linkedapi_async._utils.times import format_time, parse_time
from linkedapi_async.errors import (
    AuthenticationError,
    RateLimitedError,
    RejectedError,
    RequestError,
)
from linkedapi_async.policies import Retries
from linkedapi_async.session._account_runtime import AccountRuntime


_log = logging.getLogger("linkedapi_async")

T = TypeVar("T")

ItemT = TypeVar("ItemT", bound=Result)

VERSION = 1
"""The layout of cursors."""

MARGIN = dt.timedelta(seconds=1)
"""How much further back a poll looks, because the API may exclude the given time."""

REMEMBERED = 10_000
"""How many delivered items are remembered at most, not counting those of one moment."""

REFUSALS_NEEDED = 3
"""How many polls in a row must be refused to end an iteration that has worked."""

MAX_WAIT = 300.0
"""The longest wait between polls while they fail, in seconds; or the interval."""

_EARLIEST = dt.datetime.min.replace(tzinfo=dt.UTC)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class InboxItem(NamedTuple):
    """An item of an answer: its id, its time, and the result itself."""

    key: str
    when: dt.datetime | None
    item: Any


def item_of(item: Result, time: str | None) -> InboxItem:
    """Return *item* with its id; without one, a hash of its content is the id."""
    key = getattr(item, "id", None)
    if key is None:
        raw = encode_json(item.raw)
        key = "#" + hashlib.blake2b(raw, digest_size=12).hexdigest()
    return InboxItem(key, parse_time(time), item)


class Cursor:
    """The position in a stream of items that come roughly in the order of their times.

    A late item is new if it is not older than *window* before the newest acknowledged
    one. Times in the future do not count as newest: an item with a wrong date must not
    hide those that follow it.

    Args:
        kind: The kind of items; the text of a cursor of another kind is refused.
        window: How late an item may be captured.
        since: Where to begin; None begins with the oldest item.
        limit: How many items are remembered at most. With more of them in the window
            it shrinks; those of the newest moment are remembered in any case.
        clock: Returns the present time.
    """

    def __init__(
        self,
        kind: str,
        window: dt.timedelta,
        *,
        since: dt.datetime | None = None,
        limit: int = REMEMBERED,
        clock: Callable[[], dt.datetime] = _now,
    ) -> None:
        self._kind = kind
        self._window = window
        self._limit = limit
        self._clock = clock
        self._floor = since
        self._acknowledged: dict[dt.datetime, set[str]] = {}
        self._times: list[dt.datetime] = []
        self._count = 0
        self._undated: set[str] = set()

    @property
    def since(self) -> str | None:
        """The moment from which to poll; None polls everything."""
        if self._floor is None:
            return None
        return format_time(_before(self._floor, MARGIN))

    @property
    def remembered(self) -> int:
        """How many items are remembered."""
        return self._count + len(self._undated)

    def has_gap(self, items: Iterable[InboxItem]) -> bool:
        """Return whether an answer does not reach back to what was acknowledged."""
        now = self._clock()
        # An item with a time in the future is in every answer, so it proves nothing.
        past = any(when <= now for when in self._times)
        return past and not any(
            item.when is not None and item.when <= now and self._knows(item)
            for item in items
        )

    def new_items(self, items: Iterable[InboxItem]) -> list[InboxItem]:
        """Return the items of an answer that were not acknowledged, oldest first.

        Args:
            items: All items of an answer, newest first as the API returns them.
        """
        by_key = {item.key: item for item in items}
        # An item without a time is remembered for as long as the API returns it.
        self._undated &= by_key.keys()
        new = [item for item in by_key.values() if self._is_new(item)]
        new.reverse()
        new.sort(key=lambda item: (item.when is None, item.when or _EARLIEST))
        return new

    def _is_new(self, item: InboxItem) -> bool:
        if item.when is not None and item.when < (self._floor or _EARLIEST):
            return False
        return not self._knows(item)

    def _knows(self, item: InboxItem) -> bool:
        if item.when is None:
            return item.key in self._undated
        return item.key in self._acknowledged.get(item.when, ())

    def acknowledge(self, item: InboxItem) -> None:
        """Record that *item* was delivered and processed."""
        if item.when is None:
            self._undated.add(item.key)
            return
        self._remember(item.when, item.key)
        self._raise_floor(_before(min(item.when, self._clock()), self._window))
        while self._count > self._limit and len(self._times) > 1:
            self._forget_oldest()
            self._raise_floor(min(self._times[0], self._clock()))

    def _remember(self, when: dt.datetime, key: str) -> None:
        if when not in self._acknowledged:
            self._acknowledged[when] = set()
            heapq.heappush(self._times, when)
        self._acknowledged[when].add(key)
        self._count += 1

    def _raise_floor(self, floor: dt.datetime) -> None:
        self._floor = floor if self._floor is None else max(self._floor, floor)
        while self._times and self._times[0] < self._floor:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        self._count -= len(self._acknowledged.pop(heapq.heappop(self._times)))

    def dump(self) -> str:
        """Return the position as a short text."""
        state = {
            "v": VERSION,
            "of": self._kind,
            "floor": None if self._floor is None else self._floor.isoformat(),
            "taken": {
                when.isoformat(): sorted(self._acknowledged[when])
                for when in sorted(self._times)
            },
            "undated": sorted(self._undated),
        }
        return encode_json(state).decode()

    def load(self, text: object) -> None:
        """Go to the position that `dump` has returned as *text*.

        Raises:
            ValueError: It is not the text of a cursor of this kind.
        """
        state = _read_cursor(text, self._kind)
        self._floor = state["floor"]
        if self._floor is not None:
            # In cursors of earlier versions, this time may be in the future.
            self._floor = min(self._floor, _before(self._clock(), self._window))
        for when, keys in state["taken"].items():
            for key in keys:
                self._remember(when, key)
        self._undated.update(state["undated"])


def _before(when: dt.datetime, span: dt.timedelta) -> dt.datetime:
    try:
        return when - span
    except OverflowError:
        return _EARLIEST


def _read_cursor(text: object, kind: str) -> dict[str, Any]:
    if not isinstance(text, str):
        _refuse_cursor(kind, type(text).__name__)
    try:
        state = decode_json(text.encode())
    except ValueError:
        state = None
    if not isinstance(state, dict) or state.get("v") != VERSION:
        _refuse_cursor(kind, "another text, or a cursor of another version")
    if state.get("of") != kind:
        _refuse_cursor(kind, f"a cursor of {str(state.get('of'))[:60]!r}")
    floor, taken = state.get("floor"), state.get("taken")
    undated = state.get("undated")
    if not (
        isinstance(floor, str | None)
        and isinstance(taken, dict)
        and all(_is_keys(keys) for keys in [undated, *taken.values()])
    ):
        _refuse_cursor(kind, "a damaged one")
    times = {
        moment: parse_time(moment) for moment in [*taken, floor] if moment is not None
    }
    if None in times.values():
        _refuse_cursor(kind, "one with damaged times")
    return {
        "floor": times.get(floor),
        "taken": {times[moment]: keys for moment, keys in taken.items()},
        "undated": undated,
    }


def _is_keys(keys: object) -> bool:
    return isinstance(keys, list) and all(isinstance(key, str) for key in keys)


def _refuse_cursor(kind: str, found: str) -> NoReturn:
    raise ValueError(f"cursor must be the `cursor` of an earlier {kind}(), got {found}")


class ItemStream(Generic[ItemT]):
    """Incoming items of an account; `messages` and `network_events` return it.

    An async iterator, oldest first, and an async context manager::

        async with account.messages(cursor=stored) as messages:
            async for message in messages:
                ...
                store(messages.cursor)

    An item is acknowledged when the body requests the next one. Until then the `cursor`
    is before the item, so that a crash loses nothing. After processing an item, call
    `acknowledge` to move the `cursor` past it at once.

    An error does not end the iterator: iterating again continues. Memory holds one
    answer, and the ids of the items that were acknowledged within the window, at most
    10,000 of them, not counting those of one moment.
    """

    def __init__(
        self,
        account: AccountRuntime,
        position: Cursor,
        poll: Callable[[str | None], Awaitable[list[InboxItem]]],
        *,
        interval: float,
        follow: bool,
    ) -> None:
        check_positive("interval", interval)
        account.runtime.check_open()
        self._account = account
        self._position = position
        self._poll = poll
        self._follow = follow
        self._waits = Retries(
            initial_delay=interval, max_delay=max(interval, MAX_WAIT), jitter=0.2
        )
        self._pending: list[InboxItem] = []
        self._current: InboxItem | None = None
        self._iterating = False
        self._answered = False
        self._failures = 0
        self._refusals = 0
        loop = asyncio.get_running_loop()
        self._next_poll: float = loop.time()
        self._closed: asyncio.Future[None] = loop.create_future()

    @property
    def cursor(self) -> str:
        """The position after the last acknowledged item, to be stored.

        A short JSON text without secrets. Pass it to the method that returned this
        iterator, in any process, to continue there.
        """
        return self._position.dump()

    def acknowledge(self) -> None:
        """Move the `cursor` past the current item, before the next one is requested."""
        if self._current is not None:
            self._position.acknowledge(self._current)
            self._current = None

    async def aclose(self) -> None:
        """End the iteration and any wait for the next item; the cursor stays."""
        if not self._closed.done():
            self._closed.set_result(None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ItemT:
        """Return the next item; wait until there is one.

        Raises:
            AuthenticationError: The API refuses the tokens.
            RejectedError: The API refuses the request.
            RequestError: Another failure; only with ``follow=False``.
            SessionClosedError: The session was closed.
        """
        if self._iterating:
            message = "another task waits for the next item; iterate in one task"
            raise RuntimeError(message)
        self._iterating = True
        try:
            return await self._next()
        finally:
            self._iterating = False

    async def _next(self) -> ItemT:
        self.acknowledge()
        while not self._closed.done():
            self._check()
            if self._pending:
                self._current = self._pending.pop()
                item: ItemT = self._current.item
                return item
            if not await self._poll_when_due():
                break
        raise StopAsyncIteration

    async def _poll_when_due(self) -> bool:
        """Poll once, when it is time; return whether to continue."""
        loop = asyncio.get_running_loop()
        wait = self._next_poll - loop.time()
        if self._follow and wait > 0:
            await self._unless_closed(asyncio.sleep(wait))
        if self._closed.done():
            return False
        pause = 0.0
        try:
            answer = await self._unless_closed(self._poll_once())
        except RequestError as error:
            self._on_failure(error)
            if isinstance(error, RateLimitedError):
                pause = error.pause or 0.0
        else:
            self._failures = self._refusals = 0
            self._answered = True
            self._receive(answer or [])
        # The wait of attempt 2 is the interval; attempt 1 has none.
        wait = self._waits.wait(max(2, self._failures + 1), self._account.runtime.rng)
        self._next_poll = loop.time() + max(wait, pause)
        return self._follow or bool(self._pending)

    async def _poll_once(self) -> list[InboxItem]:
        return await self._poll(self._position.since)

    def _receive(self, answer: list[InboxItem]) -> None:
        if self._position.has_gap(answer):
            name = self._account.name
            _log.warning(
                "An answer for account %s does not reach back to the last delivered "
                "item; items in between may be missing",
                name,
                extra=log_extra(account=name),
            )
        self._pending = self._position.new_items(answer)
        # `pop` takes the oldest one from the end.
        self._pending.reverse()

    def _on_failure(self, error: RequestError) -> None:
        """Continue after a failed poll, or raise *error* if repeating is useless.

        After the API has answered once, a refusal is raised only when it is repeated.
        """
        self._failures += 1
        refused = isinstance(error, AuthenticationError | RejectedError)
        if refused and error.type is not None:
            self._refusals += 1
            if not self._answered or self._refusals >= REFUSALS_NEEDED:
                raise error
        else:
            self._refusals = 0
        if not self._follow:
            raise error
        if self._failures == 1:
            name = self._account.name
            _log.warning(
                "A poll for account %s failed and is repeated: %s",
                name,
                error,
                extra=log_extra(account=name, reason=error_reason(error)),
            )

    async def _unless_closed(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Do *work*; return None if this iterator is closed meanwhile.

        Raises:
            SessionClosedError: The session is closed meanwhile.
        """
        task = asyncio.ensure_future(work)
        stopped = self._account.runtime.poller.stopped
        ends = [end for end in (task, self._closed, stopped) if end is not None]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            done = task.done()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._check()
        return task.result() if done else None

    def _check(self) -> None:
        """Check that the session is open and its poller works."""
        runtime = self._account.runtime
        runtime.check_open()
        runtime.poller.check_running()
