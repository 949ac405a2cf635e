"""New messages and network events, one after another, from where the user left off.

The endpoints give what was captured since a moment. Nobody has published whether
that moment is part of it, and things may be captured late and out of order. So each
poll looks back a while, and what was delivered within that while is remembered by id.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import heapq
import logging
import math
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Generic, NamedTuple, NoReturn, Self, TypeVar

from linkedapi_async._results.outcome import Result
from linkedapi_async._utils.json import decode_json, encode_json
from linkedapi_async.errors import (
    AuthenticationError,
    RateLimitedError,
    RejectedError,
    RequestError,
)
from linkedapi_async.policies import Retries
from linkedapi_async.session._account_state import AccountState


_log = logging.getLogger("linkedapi_async")

T = TypeVar("T")

ItemT = TypeVar("ItemT", bound=Result)

VERSION = 1
"""The layout of cursors."""

MARGIN = dt.timedelta(seconds=1)
"""How much further back is asked: the API may leave out the moment itself."""

REMEMBERED = 10_000
"""How many delivered items are remembered at most, but for those of one moment."""

REFUSALS_NEEDED = 3
"""How many polls in a row are refused before that is the last word."""

MAX_WAIT = 300.0
"""The longest wait between polls while they fail, in seconds; or the interval."""

_DAWN = dt.datetime.min.replace(tzinfo=dt.UTC)


def parsed_time(text: object) -> dt.datetime | None:
    """Return a moment in ISO 8601 as UTC; None if it is none."""
    if not isinstance(text, str):
        return None
    try:
        when = dt.datetime.fromisoformat(text)
        if when.tzinfo is None:
            when = when.replace(tzinfo=dt.UTC)
        return when.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return None


def written_time(when: dt.datetime) -> str:
    """Return a moment in ISO 8601, in UTC and to the millisecond below."""
    spec = "milliseconds" if when.microsecond else "seconds"
    text = when.astimezone(dt.UTC).isoformat(timespec=spec)
    return text.replace("+00:00", "Z")


class Item(NamedTuple):
    """An item of an answer."""

    key: str
    when: dt.datetime | None
    item: Any


def item_of(item: Result, time: str | None) -> Item:
    """Return *item* with its id; without one, what it says is its id."""
    key = getattr(item, "id", None)
    if key is None:
        raw = encode_json(item.raw)
        key = "#" + hashlib.blake2b(raw, digest_size=12).hexdigest()
    return Item(key, parsed_time(time), item)


class Cursor:
    """Where somebody is in a stream of items that come by time, though not strictly.

    An item that comes to light late is new if it is not older than *window* before the
    newest one that was taken. Only the API's own times are compared.

    Args:
        of: What kind of items; a cursor of another kind is refused.
        window: How late an item may come to light.
        since: Where to begin; None takes all there is.
        most: How many items are remembered at most. With more of them in the window
            it shrinks; those of the newest moment are remembered in any case.
    """

    def __init__(
        self,
        of: str,
        window: dt.timedelta,
        *,
        since: dt.datetime | None = None,
        most: int = REMEMBERED,
    ) -> None:
        self._of = of
        self._window = window
        self._most = most
        self._floor = since
        self._taken: dict[dt.datetime, set[str]] = {}
        self._times: list[dt.datetime] = []
        self._count = 0
        self._undated: set[str] = set()

    @property
    def since(self) -> str | None:
        """From when on to ask; None asks for all."""
        if self._floor is None:
            return None
        return written_time(_before(self._floor, MARGIN))

    @property
    def remembered(self) -> int:
        """How many items are remembered."""
        return self._count + len(self._undated)

    def torn(self, items: Iterable[Item]) -> bool:
        """Return whether an answer does not reach back to what was taken."""
        return self._count > 0 and not any(self._knows(item) for item in items)

    def fresh(self, items: Iterable[Item]) -> list[Item]:
        """Return those of an answer that were not taken, oldest first.

        Args:
            items: All items of an answer, newest first as the API gives them.
        """
        by_key = {item.key: item for item in items}
        # What has no time is remembered for as long as the API shows it.
        self._undated &= by_key.keys()
        fresh = [item for item in by_key.values() if self._is_fresh(item)]
        fresh.reverse()
        fresh.sort(key=lambda item: (item.when is None, item.when or _DAWN))
        return fresh

    def _is_fresh(self, item: Item) -> bool:
        if item.when is not None and item.when < (self._floor or _DAWN):
            return False
        return not self._knows(item)

    def _knows(self, item: Item) -> bool:
        if item.when is None:
            return item.key in self._undated
        return item.key in self._taken.get(item.when, ())

    def take(self, item: Item) -> None:
        """Note that *item* was delivered and dealt with."""
        if item.when is None:
            self._undated.add(item.key)
            return
        self._remember(item.when, item.key)
        self._raise_floor(_before(item.when, self._window))
        while self._count > self._most and len(self._times) > 1:
            self._forget_oldest()
            self._raise_floor(self._times[0])

    def _remember(self, when: dt.datetime, key: str) -> None:
        if when not in self._taken:
            self._taken[when] = set()
            heapq.heappush(self._times, when)
        self._taken[when].add(key)
        self._count += 1

    def _raise_floor(self, floor: dt.datetime) -> None:
        self._floor = floor if self._floor is None else max(self._floor, floor)
        while self._times and self._times[0] < self._floor:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        self._count -= len(self._taken.pop(heapq.heappop(self._times)))

    def cursor(self) -> str:
        """Return the position as a short text."""
        state = {
            "v": VERSION,
            "of": self._of,
            "floor": None if self._floor is None else self._floor.isoformat(),
            "taken": {
                when.isoformat(): sorted(self._taken[when])
                for when in sorted(self._times)
            },
            "undated": sorted(self._undated),
        }
        return encode_json(state).decode()

    def go_to(self, cursor: object) -> None:
        """Go to the position that a *cursor* tells.

        Raises:
            ValueError: It is none of this kind.
        """
        state = _read_cursor(cursor, self._of)
        self._floor = state["floor"]
        for when, keys in state["taken"].items():
            for key in keys:
                self._remember(when, key)
        self._undated.update(state["undated"])


def _before(when: dt.datetime, span: dt.timedelta) -> dt.datetime:
    try:
        return when - span
    except OverflowError:
        return _DAWN


def _read_cursor(cursor: object, of: str) -> dict[str, Any]:
    if not isinstance(cursor, str):
        _refuse_cursor(of, f"got {type(cursor).__name__}")
    try:
        state = decode_json(cursor.encode())
    except ValueError:
        state = None
    if not isinstance(state, dict) or state.get("v") != VERSION:
        _refuse_cursor(of, "this is none, or one of another version")
    if state.get("of") != of:
        _refuse_cursor(of, f"this one is of {str(state.get('of'))[:60]!r}")
    floor, taken = state.get("floor"), state.get("taken")
    undated = state.get("undated")
    if not (
        isinstance(floor, str | None)
        and isinstance(taken, dict)
        and all(_is_keys(keys) for keys in [undated, *taken.values()])
    ):
        _refuse_cursor(of, "this one is damaged")
    times = {text: parsed_time(text) for text in [*taken, floor] if text is not None}
    if None in times.values():
        _refuse_cursor(of, "the times of this one are damaged")
    return {
        "floor": times.get(floor),
        "taken": {times[text]: keys for text, keys in taken.items()},
        "undated": undated,
    }


def _is_keys(keys: object) -> bool:
    return isinstance(keys, list) and all(isinstance(key, str) for key in keys)


def _refuse_cursor(of: str, what: str) -> NoReturn:
    message = f"cursor: a text is due that `cursor` of {of} gave; {what}"
    raise ValueError(message)


class ItemStream(Generic[ItemT]):
    """What comes in on an account; `messages` and `network_events` give it.

    An async iterator, oldest first, and an async context manager::

        async with account.messages(cursor=stored) as messages:
            async for message in messages:
                ...
                store(messages.cursor)

    An item counts as taken when the body asks for the next one: so the `cursor` is
    behind the item before the one at hand, and a crash loses nothing. Call `take` when
    the item at hand has been dealt with, and the `cursor` is behind it at once.

    An error ends one step, not the iterator: asking again goes on. Memory holds one
    answer, and the ids of what was taken within the window, at most 10,000 of them but
    for those of one moment.
    """

    def __init__(
        self,
        account: AccountState,
        position: Cursor,
        poll: Callable[[str | None], Awaitable[list[Item]]],
        *,
        interval: float,
        follow: bool,
    ) -> None:
        if not (math.isfinite(interval) and interval > 0):
            message = f"interval: a positive number is due, got {interval!r}"
            raise ValueError(message)
        account.runtime.check_open()
        self._account = account
        self._position = position
        self._poll = poll
        self._follow = follow
        self._waits = Retries(
            initial_delay=interval, max_delay=max(interval, MAX_WAIT), jitter=0.2
        )
        self._pending: list[Item] = []
        self._lent: Item | None = None
        self._asking = False
        self._heard = False
        self._failures = 0
        self._refusals = 0
        loop = asyncio.get_running_loop()
        self._due: float = loop.time()
        self._left: asyncio.Future[None] = loop.create_future()

    @property
    def cursor(self) -> str:
        """The position after the last item that was taken, to be stored.

        A short JSON text without secrets. Pass it to the call that gave this iterator,
        in whatever process, and it goes on there.
        """
        return self._position.cursor()

    def take(self) -> None:
        """Say that the item at hand was dealt with, before asking for the next."""
        if self._lent is not None:
            self._position.take(self._lent)
            self._lent = None

    async def aclose(self) -> None:
        """End the iteration, also a wait that is under way; the cursor stays."""
        if not self._left.done():
            self._left.set_result(None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ItemT:
        """Return the next item, when there is one.

        Raises:
            AuthenticationError: The API refuses the tokens.
            RejectedError: The API refuses the request.
            RequestError: Anything else went wrong; only with ``follow=False``.
            SessionClosedError: The session was closed.
        """
        if self._asking:
            message = "somebody else waits for the next item: there is one at a time"
            raise RuntimeError(message)
        self._asking = True
        try:
            return await self._next()
        finally:
            self._asking = False

    async def _next(self) -> ItemT:
        self.take()
        while not self._left.done():
            self._check()
            if self._pending:
                self._lent = self._pending.pop()
                item: ItemT = self._lent.item
                return item
            if not await self._look():
                break
        raise StopAsyncIteration

    async def _look(self) -> bool:
        """Poll once, when it is time; return whether to go on."""
        loop = asyncio.get_running_loop()
        wait = self._due - loop.time()
        if self._follow and wait > 0:
            await self._unless_left(asyncio.sleep(wait))
        if self._left.done():
            return False
        pause = 0.0
        try:
            answer = await self._unless_left(self._ask())
        except RequestError as error:
            self._missed(error)
            if isinstance(error, RateLimitedError):
                pause = error.retry_after or 0.0
        else:
            self._failures = self._refusals = 0
            self._heard = True
            self._receive(answer or [])
        wait = self._waits.wait(max(2, self._failures + 1), self._account.runtime.rng)
        self._due = loop.time() + max(wait, pause)
        return self._follow or bool(self._pending)

    async def _ask(self) -> list[Item]:
        return await self._poll(self._position.since)

    def _receive(self, answer: list[Item]) -> None:
        if self._position.torn(answer):
            _log.warning(
                "An answer for account %s does not reach back to what was delivered "
                "before: something in between may be missing",
                self._account.name,
            )
        self._pending = self._position.fresh(answer)
        self._pending.reverse()

    def _missed(self, error: RequestError) -> None:
        """Go on after a poll that failed, unless it is no use; then raise *error*.

        A definite refusal must be repeated once the API has answered before.
        """
        self._failures += 1
        refused = isinstance(error, AuthenticationError | RejectedError)
        if refused and error.type is not None:
            self._refusals += 1
            if not self._heard or self._refusals >= REFUSALS_NEEDED:
                raise error
        else:
            self._refusals = 0
        if not self._follow:
            raise error
        if self._failures == 1:
            _log.warning(
                "A poll for account %s failed and is repeated: %s",
                self._account.name,
                error,
            )

    async def _unless_left(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Do *work*; None if this iterator is left meanwhile.

        Raises:
            SessionClosedError: The session is left meanwhile.
        """
        task = asyncio.ensure_future(work)
        stopped = self._account.runtime.poller.stopped
        ends = [end for end in (task, self._left, stopped) if end is not None]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            done = task.done()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._check()
        return task.result() if done else None

    def _check(self) -> None:
        """Check that the session is open and works."""
        runtime = self._account.runtime
        runtime.check_open()
        runtime.poller.check_running()
