"""Run many workflows, at most *limit* at a time, and yield the finished handles."""

from __future__ import annotations

import asyncio
import datetime as dt
import math
from collections import deque
from collections.abc import (
    AsyncIterable,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Sequence,
)
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar, cast

import anyio
import attrs

from linkedapi_async._actions.action import Action
from linkedapi_async._utils.log import error_reason
from linkedapi_async._utils.secret import Secret
from linkedapi_async._utils.text import short_repr
from linkedapi_async._utils.times import from_timestamp, wall_time
from linkedapi_async.errors import (
    About,
    AuthenticationError,
    JournalError,
    LinkedApiError,
    SuppressedError,
    WaitTimeoutError,
    verdict_of,
)
from linkedapi_async.session._deferral import (
    Deferred,
    HeldCategory,
    Hold,
    Holds,
    categories_of,
    deferring_end_error,
    deferring_start_error,
    delay_of,
    held_categories,
    is_refusal,
    may_write,
)
from linkedapi_async.session._handle import ManagedHandle, WorkflowHandle
from linkedapi_async.session._journaling import workflow_of
from linkedapi_async.session._recent import RecentKeys
from linkedapi_async.session._recent_acts import RecentActs, acts_of_item
from linkedapi_async.session._runner import Runner


if TYPE_CHECKING:
    from linkedapi_async.journal import Journal, Row


ResultT = TypeVar("ResultT", covariant=True)


@attrs.define(eq=False)
class _InputItem:
    """One item of the input."""

    key: str | None
    workflow: Secret[Any]
    bound: str | None = None
    """The account on which it must run."""
    _categories: frozenset[str] | None = None

    @property
    def categories(self) -> frozenset[str]:
        """The account limits that it counts against."""
        if self._categories is None:
            self._categories = categories_of(self.workflow.reveal())
        return self._categories


@attrs.define(eq=False)
class _DeferredItem:
    """A deferred item."""

    record: Deferred
    item: _InputItem
    """Its workflow is left out if the journal has it."""
    wakes_at: float
    hold: Hold | None
    """The hold of its account that defers it; None if there is another cause."""

    def wakes(self, now: float) -> bool:
        """Return whether it is time to look for an account again."""
        return self.wakes_at <= now or (self.hold is not None and self.hold.lifted)


@attrs.define(eq=False)
class _Share:
    """The share of one account in the stream."""

    runner: Runner
    holds: Holds
    used: int = 0
    """Its items that the body has not processed."""

    @property
    def name(self) -> str:
        """The name of the account."""
        return self.runner.name

    def now(self) -> dt.datetime:
        """Return the time in the zone in which the account's days begin."""
        pacer = self.runner.pacer
        return _now() if pacer is None else _now().astimezone(pacer.pace.zone)


_TURN: Final = 1_000
"""How many delivered items are skipped between two turns of other tasks."""


class _TakenError(JournalError):
    """Another stream of the session has just started the item."""


class AsCompleted(Generic[ResultT]):
    """An async iterator over finished handles; `Session.as_completed` returns it.

    It reads an item of the input only if an account may take it and has a free slot,
    and frees the slot when the body requests the next handle. So the limit bounds what
    is in memory. With a journal, the keys that earlier runs have delivered are in
    memory too, about 150 bytes for each.
    """

    def __init__(
        self,
        workflows: Iterable[Any] | AsyncIterable[Any],
        runners: Sequence[Runner],
        *,
        limit: int,
        check: bool,
        wait: bool,
        once: bool,
    ) -> None:
        # The number of acts that the journal has of each item; negative after it was
        # skipped.
        self._delivered: dict[str, int | None] = {}
        self._skipped = 0
        self._next_item = _item_source(workflows, self._is_new)
        self._runtime = runners[0].runtime
        self._shares = {runner.name: _Share(runner, Holds()) for runner in runners}
        self._limit = limit
        self._checks = check
        self._wait = wait
        self._finished: asyncio.Queue[tuple[ManagedHandle, _Share] | None] = (
            asyncio.Queue()
        )
        self._running: set[asyncio.Task[None]] = set()
        self._feeder: asyncio.Task[None] | None = None
        self._keys = RecentKeys()
        self._acts = RecentActs()
        self._once = once
        self._input_error: Exception | None = None
        self._input_done = False
        self._current: tuple[ManagedHandle, _Share] | None = None
        self._changed = asyncio.Event()
        # Items that were read and wait for a slot of an account that may start them.
        self._waiting: deque[_InputItem] = deque()
        self._later: dict[str, _DeferredItem] = {}
        self._returning = 0  # deferred items whose rows are looked up
        self._look_at = math.inf  # when a deferred item may be placed again
        self._stopped = False
        self._reading = anyio.CancelScope()
        self._keyed = False
        self._in_vain = 0  # items in a row that were deferred as soon as they were read

    @property
    def deferred(self) -> tuple[Deferred, ...]:
        """The deferred items, with the reason and the time when they may run.

        They changed nothing on LinkedIn. A later stream that contains their keys starts
        them. Items that this stream has not read are not among them.
        """
        return tuple(later.record for later in self._later.values())

    @property
    def complete(self) -> bool:
        """Whether the input was read, and every item has ended and none is deferred."""
        read = self._input_done and not (self._input_error or self._stopped)
        return read and not (self._running or self._waiting or self._later)

    def stop(self) -> None:
        """Read and start no more items; end when those in progress have ended.

        Items that were read but not started are treated as if they had not been read.
        """
        self._stopped = True
        self._reading.cancel()
        self._wake()

    async def __aenter__(self) -> Self:
        if self._feeder is not None:
            raise RuntimeError("as_completed() can be entered once: call it again")
        self._runtime.check_open()
        for share in self._shares.values():
            share.runner.wakers.add(self._wake)
        self._feeder = asyncio.create_task(self._feed())
        return self

    async def __aexit__(self, *_: object) -> None:
        for share in self._shares.values():
            share.runner.wakers.discard(self._wake)
        tasks = [*self._running, cast("asyncio.Task[None]", self._feeder)]
        for task in tasks:
            task.cancel()
        # The bound is for an input that does not react to its cancellation.
        with anyio.move_on_after(self._runtime.request_timeout, shield=True):
            await asyncio.wait(tasks)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> WorkflowHandle[ResultT]:
        if self._feeder is None:
            raise RuntimeError("use it as: async with session.as_completed(…) as done")
        if self._current is not None:
            # The body requests the next handle after it has processed this one.
            handle, share = self._current
            handle.acknowledge()
            self._current = None
            self._release(share)
        since = self._runtime.now()
        ended = await self._finished.get()
        if ended is not None:
            handle, _ = self._current = ended
            handle.deliver(since)
            return handle
        # Put the end back, because later calls need it too.
        self._finished.put_nowait(None)
        if self._input_error is not None:
            raise self._input_error
        raise StopAsyncIteration

    # The input

    async def _feed(self) -> None:
        """Read the input while an account may take an item; then end the stream."""
        try:
            await self._load()
            while True:
                self._changed.clear()
                self._place_waiting()
                share = self._reader()
                if share is not None:
                    await self._read(share)
                elif self._is_over():
                    break
                else:
                    await self._change()
        except Exception as error:  # noqa: BLE001  # raised once the rest has ended
            self._input_error, self._input_done = error, True
            await asyncio.gather(*self._running, return_exceptions=True)
        self._finished.put_nowait(None)

    async def _load(self) -> None:
        """Read from the journal what is done, and what was held back.

        One item tries each of these, even before the recorded time.
        """
        journal = self._runtime.journal
        noted: list[tuple[str, About]] = []
        if journal is not None:
            self._delivered = await journal.delivered_items()
            noted = await journal.deferred_about()
        for share in self._shares.values():
            about = {kind for account, kind in noted if account == share.name}
            account = bool(about - {"category"})
            if share.runner.paused is not None:
                share.runner.unpause()
                account = True
            share.holds = Holds(account=account, categories="category" in about)

    def _is_new(self, item: Any) -> bool:
        """Return whether an item is not yet known as delivered."""
        if not isinstance(item, tuple) or len(item) not in {2, 3}:
            return True
        key, delivered = item[0], self._delivered
        if not isinstance(key, str) or key not in delivered:
            return True
        acts = delivered[key]
        # Later items that do the same are suppressed.
        if acts:
            delivered[key] = -abs(acts)
        elif acts is None and self._once:
            self._acts.add(key, acts_of_item(Secret(item[1])))
        self._skipped += 1
        # Now and then one is read, so that other tasks get their turn.
        return self._skipped % _TURN == 0

    def _reader(self) -> _Share | None:
        """Return an account that may take an item; None to read no input now."""
        if not self._may_read():
            return None
        free = [s for s in self._shares.values() if s.used < self._limit]
        candidates = [s for s in free if self._is_open(s) and not s.holds.busy(())]
        if not self._keyed:
            # Without a key an item cannot be deferred, so it gets its error.
            candidates = candidates or free
        return min(candidates, key=lambda share: share.used, default=None)

    def _may_read(self) -> bool:
        drawn = max(len(self._waiting), self._in_vain)
        return not (self._input_done or self._stopped) and drawn < self._limit

    async def _read(self, share: _Share) -> None:
        """Read one item into a slot of *share*, and choose its account."""
        self._runtime.poller.check_running()
        share.used += 1
        read = None
        self._reading = anyio.CancelScope()
        try:
            with self._reading:
                # Workflows have personal messages, which no frame may show to an error
                # tracker.
                read = Secret(await self._next_item())
        except Exception as error:  # noqa: BLE001  # the input's own, for the body
            if not isinstance(error, StopAsyncIteration):
                self._input_error = error
            self._input_done = True
        if read is None or self._stopped:
            share.used -= 1
            return
        item = _InputItem(None, read)
        try:
            item.key, item.workflow, account = _split(read)
            self._keyed = item.key is not None
            self._check(item, account)
            found = await self._found(item, share)
        except Exception as error:  # noqa: BLE001  # the handle's result() raises it
            found = self._unstarted(item, share.runner, error)
        share.used -= 1
        if found is None:
            self._place(item)
        elif isinstance(found, ManagedHandle):
            self._start(item, share, found)

    async def _found(
        self, item: _InputItem, share: _Share
    ) -> ManagedHandle | bool | None:
        """Return the handle of an item that must not be started; else as `_known`."""
        if item.key in self._delivered:
            await asyncio.sleep(0)  # the turn of other tasks
            return True
        suppressed = await self._suppressed(item)
        found = await self._known(item)
        if found is None and suppressed is not None:
            return self._unstarted(item, share.runner, suppressed)
        return found

    async def _suppressed(self, item: _InputItem) -> SuppressedError | None:
        """Return an error if an earlier item does the same to a person.

        An item whose start is unknown counts too, because it may have run.
        """
        if item.key is None or not self._once:
            return None
        acts = acts_of_item(item.workflow)
        if self._skipped and acts:
            journal = cast("Journal", self._runtime.journal)
            for act, key in await journal.items_of_acts(acts):
                if (self._delivered.get(key) or 0) < 0:
                    self._acts.add(key, {act: acts[act]})
        return self._acts.add(item.key, acts)

    def _check(self, item: _InputItem, account: Any) -> None:
        """Check that the key is new, and assign the item to its account."""
        if item.key is not None and not self._keys.add(item.key):
            raise ValueError(f"the key {item.key!r} came twice; keys must be unique")
        if account is None:
            return
        name = account if isinstance(account, str) else getattr(account, "name", None)
        if name not in self._shares:
            names = ", ".join(map(repr, self._shares))
            raise ValueError(
                f"the account of {item.key!r} must be one of {names}, got {name!r}"
            )
        item.bound = name

    async def _known(self, item: _InputItem) -> ManagedHandle | bool | None:
        """Return the handle that an earlier run has started; None if none has.

        True if nothing is left to do for the item in this run.
        """
        if item.key is None:
            return None
        runner = next(iter(self._shares.values())).runner
        row = await runner.row_of(item.key)
        if row is None:
            return None
        if row.state == "delivered":
            return True
        if row.state != "deferred":
            return self._resumed(item, row)
        if row.bound and item.bound is None:
            item.bound = row.account
        if item.bound is None or item.bound in self._shares:
            return None
        message = (
            f"{item.key!r} was started on the account {item.bound!r}, which is not "
            "among the accounts of this stream"
        )
        self._put_off(item, item.bound, JournalError(message))
        return True

    def _resumed(self, item: _InputItem, row: Row) -> ManagedHandle | bool:
        """Return the handle of an item in progress; defer one of another stream."""
        runner = next(iter(self._shares.values())).runner
        try:
            return runner.resume(row, item.workflow)
        except JournalError as error:
            self._put_off(item, row.account, error)
            return True

    # The accounts

    def _is_open(self, share: _Share) -> bool:
        return self._hold_of(share, frozenset()) is None

    def _hold_of(self, share: _Share, categories: frozenset[str]) -> Hold | None:
        """Return what holds back an item on an account, if something does."""
        now, paused = self._runtime.now(), share.runner.paused
        hold = share.holds.held((), now)
        if hold is None and paused is not None and not share.holds.tries_account:
            self._hold(share, (None,), paused)
        elif hold is not None and hold.by_pause and paused is None:
            self._look(lifted=share.holds.lift(about_account=True))
        return share.holds.held(categories, now)

    def _hold(
        self, share: _Share, categories: Sequence[HeldCategory], error: LinkedApiError
    ) -> Hold | None:
        """Hold back *categories* of an account, or of all, because of *error*."""
        if not categories:
            return None
        verdict = verdict_of(error)
        hold = Hold(
            error,
            ends_at=self._runtime.now() + delay_of(error, share.now())[0],
            about_account=verdict.about not in {"token", "host"},
            by_pause=share.runner.paused is not None,
            waited_out=verdict.retry_after is not None,
        )
        for each in [share] if hold.about_account else self._shares.values():
            each.holds.hold(categories, hold)
        return hold

    def _look(self, *, lifted: bool) -> None:
        """Check the deferred items again, if a hold was lifted."""
        if lifted:
            self._look_at = -math.inf

    def _place_waiting(self) -> None:
        """Start items that wait for a slot, and those whose deferral ends now."""
        for _ in range(len(self._waiting)):
            self._place(self._waiting.popleft())
        for share in self._shares.values():
            self._hold_of(share, frozenset())  # which notices that it works again
        now = self._runtime.now()
        if self._stopped or now < self._look_at:
            return
        free = self._free_places()
        ready = [key for key, later in self._later.items() if later.wakes(now)]
        for key in ready[:free]:
            self._returning += 1
            item = self._later.pop(key).item
            first = next(iter(self._shares.values()))
            work = partial(self._again, item)
            self._spawn(self._or_deliver(item, first, work, has_slot=False))
        left = (later.wakes_at for later in self._later.values())
        self._look_at = -math.inf if ready[free:] else min(left, default=math.inf)

    def _free_places(self) -> int:
        """Return how many deferred items may be started now."""
        return max(0, self._limit - len(self._waiting) - self._returning)

    async def _again(self, item: _InputItem) -> None:
        """Start a deferred item."""
        try:
            await self._place_again(item)
        finally:
            self._returning -= 1

    async def _place_again(self, item: _InputItem) -> None:
        """Start a deferred item, if its row allows that."""
        key, journal = cast("str", item.key), self._runtime.journal
        row = None if journal is None else await journal.row(key)
        found: ManagedHandle | bool | None = None
        if row is not None and row.state == "deferred":
            item.workflow = Secret(workflow_of(row))
        elif row is not None and row.state == "delivered":
            return
        elif row is not None:
            try:
                found = self._resumed(item, row)
            except LinkedApiError as error:
                share = next(iter(self._shares.values()))
                found = self._unstarted(item, share.runner, error)
        elif item.workflow.reveal() is None:
            return  # its key was freed, and the next run starts it
        if found is None:
            self._place(item)
        elif isinstance(found, ManagedHandle):
            self._start(item, self._share_of(found), found)

    def _share_of(self, handle: ManagedHandle) -> _Share:
        """Return the share of the handle's account, or of another of the stream."""
        return self._shares.get(handle.account) or next(iter(self._shares.values()))

    def _place(self, item: _InputItem) -> None:
        """Start an item on an account, let it wait for a slot, or defer it."""
        if self._stopped:
            return
        shares = self._shares_for(item)
        holds = [(share, self._hold_of(share, item.categories)) for share in shares]
        able = [share for share, hold in holds if hold is None]
        if item.key is None:
            able = able or shares
        if not able:
            self._in_vain += 1
            share, hold = min(holds, key=lambda each: cast("Hold", each[1]).ends_at)
            error = cast("Hold", hold).error
            work = partial(self._defer, item, share, error, hold)
            self._spawn(self._or_deliver(item, share, work, has_slot=False))
            return
        ready = [
            share
            for share in able
            if share.used < self._limit
            and (item.key is None or not share.holds.busy(item.categories))
        ]
        if not ready:
            self._waiting.append(item)
            return
        self._in_vain = 0
        self._start(item, min(ready, key=lambda share: share.used))

    def _shares_for(self, item: _InputItem) -> list[_Share]:
        bound = item.bound
        return [*self._shares.values()] if bound is None else [self._shares[bound]]

    def _start(
        self, item: _InputItem, share: _Share, handle: ManagedHandle | None = None
    ) -> None:
        share.used += 1
        tries_account = handle is None and share.holds.begin(item, item.categories)
        if tries_account and share.runner.paused is not None:
            share.runner.unpause()
        work = partial(self._run, item, share, handle)
        self._spawn(self._or_deliver(item, share, work, has_slot=True))

    async def _or_deliver(
        self,
        item: _InputItem,
        share: _Share,
        work: Callable[[], Awaitable[None]],
        *,
        has_slot: bool,
    ) -> None:
        """Do *work* for an item; deliver any error that it raises.

        The row of the item, if it has one, stays as it is for the next run. *work* is
        called here, because a coroutine of a task that is cancelled before it begins is
        never awaited.
        """
        try:
            await work()
        except Exception as error:  # noqa: BLE001  # the handle's result() raises it
            share.used += not has_slot
            share.holds.end(item, item.categories, worked=False)
            handle = self._unstarted(item, share.runner, error)
            self._finished.put_nowait((handle, share))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._wake()

    def _release(self, share: _Share) -> None:
        share.used -= 1
        self._wake()

    def _wake(self) -> None:
        self._changed.set()

    async def _change(self) -> None:
        """Wait until something changes, or a hold or a deferral ends."""
        now = self._runtime.now()
        ends = [share.holds.next_end(now) for share in self._shares.values()]
        if self._free_places():
            ends.append(self._look_at)
        seconds = min(ends) - now
        with anyio.move_on_after(None if seconds == math.inf else max(0.0, seconds)):
            await self._changed.wait()

    def _is_over(self) -> bool:
        """Return whether nothing more can be done in this run."""
        if self._running or self._waiting:
            return False
        if self._may_read() and (
            not self._keyed or any(map(self._is_open, self._shares.values()))
        ):
            return False  # the body has not processed what ended
        if self._stopped or (self._input_done and not self._later):
            return True
        now, holds = self._runtime.now(), (s.holds for s in self._shares.values())
        return not (self._wait or any(each.waited_out(now) for each in holds))

    # One item

    async def _run(
        self, item: _InputItem, share: _Share, handle: ManagedHandle | None
    ) -> None:
        """Run an item to its end; deliver it, or defer it."""
        tried = handle is None
        if handle is None:
            handle = await self._started(item, share)
        error = await self._wait_for(item, handle)
        worked = error is None and handle.status == "completed"
        if tried:
            lifted = share.holds.end(item, item.categories, worked=worked)
            self._look(lifted=lifted)
        if worked:
            for each in self._shares.values():
                self._look(lifted=each.holds.lift(about_account=False))
        if error is None:
            self._finished.put_nowait((handle, share))
            return
        await self._ended_early(item, self._share_of(handle), handle, error)
        self._release(share)

    async def _wait_for(
        self, item: _InputItem, handle: ManagedHandle
    ) -> LinkedApiError | None:
        """Wait for the end of an item; return the error if it is to run later."""
        try:
            await handle.wait_for_end()
        except Exception as error:  # noqa: BLE001  # the handle's result() raises it
            if item.key is not None and isinstance(error, WaitTimeoutError):
                # The next start on the account would wait as long.
                self._hold(self._share_of(handle), (None,), error)
        return None if item.key is None else await self._deferring(handle)

    async def _ended_early(
        self,
        item: _InputItem,
        share: _Share,
        handle: ManagedHandle,
        error: LinkedApiError,
    ) -> None:
        """Defer an item whose start or workflow was held back."""
        if isinstance(error, _TakenError):
            self._put_off(item, share.name, error)
            return
        if isinstance(handle.ended, AuthenticationError) and handle.workflow_id:
            # The workflow goes on: its row in the journal is not touched.
            self._hold(share, (None,), error)
            self._put_off(item, handle.account, error)
            return
        categories: Sequence[HeldCategory] = held_categories(
            error, verdict_of(error), item.categories
        )
        if is_refusal(error):
            categories = share.holds.refused(categories)
        hold = self._hold(share, categories, error)
        if handle.workflow_id is None:
            await self._defer(item, share, error, hold)
            return
        item.bound = handle.account
        if self._runtime.contacts is not None:
            await self._runtime.contacts.free(handle.workflow_id)
        await self._defer(item, share, error, hold)

    async def _defer(
        self, item: _InputItem, share: _Share, error: LinkedApiError, hold: Hold | None
    ) -> None:
        """Let another account start an item, or defer it."""
        if item.bound is None and any(
            self._hold_of(each, item.categories) is None
            for each in self._shares.values()
        ):
            self._waiting.append(item)
            return
        journal = self._runtime.journal
        if journal is not None:
            await self._record(journal, item, share, error)
            item = _InputItem(item.key, Secret(None), item.bound)
        self._put_off(item, share.name, error, hold)

    async def _record(
        self, journal: Journal, item: _InputItem, share: _Share, error: LinkedApiError
    ) -> None:
        # Only sessions with a journal load it.
        from linkedapi_async.journal import Failure  # noqa: PLC0415

        _, until = delay_of(error, _now())
        roots = _roots(item.workflow)
        definition = share.runner.definition_of(roots, check=self._checks)
        await journal.defer(
            cast("str", item.key),
            share.name,
            definition.reveal(),
            Failure(error_reason(error) or "", verdict_of(error).about, wrote=False),
            until=None if until is None else until.timestamp(),
            bound=item.bound is not None,
        )

    def _put_off(
        self,
        item: _InputItem,
        account: str,
        error: LinkedApiError,
        hold: Hold | None = None,
    ) -> None:
        """Keep a deferred item."""
        key = cast("str", item.key)
        seconds, until = delay_of(error, _now())
        wakes_at = self._runtime.now() + seconds if hold is None else hold.ends_at
        record = Deferred(key, account, error, until)
        self._later[key] = _DeferredItem(record, item, wakes_at, hold)
        self._look_at = min(self._look_at, wakes_at)

    async def _started(self, item: _InputItem, share: _Share) -> ManagedHandle:
        """Return the handle of an item, started or not."""
        try:
            return await share.runner.start(
                _roots(item.workflow),
                check=self._checks,
                key=item.key,
                # Without a key it cannot be deferred.
                wait_for_pace=item.key is None,
            )
        except Exception as error:  # noqa: BLE001  # the handle's result() raises it
            if isinstance(error, ValueError) and not isinstance(error, LinkedApiError):
                # The key was added to the journal after it was looked up.
                error = _TakenError(f"another stream has started {item.key!r}")
            return self._unstarted(item, share.runner, error)

    def _unstarted(
        self, item: _InputItem, runner: Runner, error: Exception
    ) -> ManagedHandle:
        workflow = item.workflow.reveal
        return ManagedHandle(runner, workflow(), error=error, key=item.key)

    async def _deferring(self, handle: ManagedHandle) -> LinkedApiError | None:
        """Return the error if an item is to run later; None if it has ended."""
        end = handle.ended
        if isinstance(end, _TakenError):
            return end
        if handle.workflow_id is None:
            return deferring_start_error(cast("Exception", end))
        if isinstance(end, AuthenticationError):
            return None if self._runtime.journal is None else end
        never_ran = await handle.never_ran()
        return deferring_end_error(
            end, may_write=may_write(handle.workflow), never_ran=never_ran
        )


def _now() -> dt.datetime:
    return from_timestamp(wall_time())


def _split(secret: Secret[Any]) -> tuple[str | None, Secret[Any], Any]:
    """Return key, workflow and account of an item; None for what it lacks."""
    item = secret.reveal()
    if not isinstance(item, tuple) or len(item) not in {2, 3}:
        return None, secret, None
    key, workflow, *account = item
    if isinstance(key, str):
        return key, Secret(workflow), account[0] if account else None
    if isinstance(key, Action | dict):
        # An array workflow of several roots.
        return None, secret, None
    return text_key(key), Secret(workflow), None


def text_key(key: Any) -> str:
    """Return *key* if it is a string."""
    if isinstance(key, str):
        return key
    shown = short_repr(key)
    message = f"the key of an item must be a string, got {shown}; pass str({shown})"
    raise TypeError(message)


def _roots(secret: Secret[Any]) -> Secret[tuple[Any, ...]]:
    workflow = secret.reveal()
    return secret if isinstance(workflow, tuple) else Secret((workflow,))


def _item_source(
    workflows: Iterable[Any] | AsyncIterable[Any], is_new: Callable[[Any], bool]
) -> Callable[[], Awaitable[Any]]:
    """Return a function that reads the next item or raises `StopAsyncIteration`."""
    if isinstance(workflows, AsyncIterable):
        items = aiter(workflows)

        async def next_of_many() -> Any:
            while True:
                read = Secret(await anext(items))
                if is_new(read.reveal()):
                    return read.reveal()

        return next_of_many
    if isinstance(workflows, Action | dict | str):
        raise TypeError("as_completed takes many workflows: put this one in a list")
    try:
        iterator = filter(is_new, workflows)
    except TypeError:
        message = f"as_completed takes many workflows, got {short_repr(workflows)}"
        raise TypeError(message) from None

    async def next_item() -> Any:
        try:
            return next(iterator)
        except StopIteration:
            raise StopAsyncIteration from None

    return next_item
