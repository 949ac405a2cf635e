"""The starts of one account that wait for its pace."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import random
from collections import Counter, OrderedDict
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs

from linkedapi_async._actions.action import Roots, named_roots, nodes_of
from linkedapi_async._actions.counting import ExplainedLine, counted_lines
from linkedapi_async._actions.custom import custom
from linkedapi_async._actions.validators import warn_unknown
from linkedapi_async._http.responses import CompletedWorkflow
from linkedapi_async._pacing import (
    Booking,
    Bookings,
    BookingStore,
    History,
    Ledger,
    MemoryBookings,
    SharedBookings,
    Turn,
    Uses,
    excess,
)
from linkedapi_async._results.key import ACTIONS
from linkedapi_async._utils.log import log_errors
from linkedapi_async._utils.secret import Secret
from linkedapi_async._utils.times import from_timestamp, wall_time
from linkedapi_async._wire.read import read_completion
from linkedapi_async.errors import (
    AllowanceError,
    JournalError,
    PaceError,
    SessionClosedError,
    WorkflowCancelledError,
    WorkflowFailedError,
    WorkflowNotFoundError,
    verdict_of,
)
from linkedapi_async.session._runtime import Runtime


if TYPE_CHECKING:
    from linkedapi_async.policies import Pace


HISTORY: Final = 40 * 86400.0
"""How old bookings may be to count, in seconds: a month, in every time zone."""

_SOON: Final = 0.001
"""The shortest timer, in seconds, because clocks differ in their last digits."""

StartKind: TypeAlias = tuple[tuple[tuple[str, int], ...], bool]
"""The most that a start may do, and whether it is refused a long wait.

Such a start waits for the interval between two starts and for the workflows in
progress, and for nothing longer.
"""


class _Waiter:
    """A start that waits for its turn."""

    __slots__ = ("key", "kind", "number", "slot", "timer")

    def __init__(self, number: int, kind: StartKind, key: str) -> None:
        self.number = number
        self.kind = kind
        self.key = key
        self.slot: asyncio.Future[Slot] = asyncio.get_running_loop().create_future()
        self.timer: asyncio.TimerHandle | None = None


class Slot:
    """The turn of one start; its booking stays open until its workflow has ended."""

    __slots__ = ("_is_decided", "_is_recorded", "_pacer", "booking", "kind")

    def __init__(self, pacer: Pacer, booking: Booking, kind: StartKind) -> None:
        self._pacer = pacer
        self._is_recorded = False
        self._is_decided = False
        self.booking: Booking = booking
        self.kind: StartKind = kind

    async def renew(self) -> bool:
        """Check the turn once more, just before the start is sent.

        Returns:
            False if the turn has passed, because the start waited too long for the host
            or another process used the allowance.
        """
        if not self._pacer.renew(self):
            return False
        # The booking may be recorded even if the claim fails.
        self._is_recorded = self._pacer.is_shared
        if await self._pacer.claim(self):
            return True
        self._is_recorded = False
        return False

    def record(self) -> asyncio.Future[None] | None:
        """Record the booking once; the future is done when it is stored."""
        self._is_recorded = True
        return self._pacer.record(self)

    def accepted(self, workflow_id: str) -> None:
        """Record that the server accepted the start."""
        self._is_decided = True
        self._pacer.accepted(self, workflow_id)

    def free(self) -> None:
        """Remove the booking, unless it is settled, because nothing was started."""
        if not self._is_decided:
            self._is_decided = True
            self._pacer.free(self, is_recorded=self._is_recorded)

    def keep(self) -> None:
        """Keep the booking, unless it is settled, because the start may be accepted."""
        if not self._is_decided:
            self._is_decided = True
            self._pacer.keep(self)


class Pacer:
    """Makes the starts of one account wait for its pace.

    Starts of one kind begin in the order of their calls. A start that cannot begin
    today does not delay one of another kind that can. One timer serves all waiting
    starts.

    Args:
        runtime: The state of the session.
        account: The ``name`` of the account.
        pace: The policy.
    """

    def __init__(self, runtime: Runtime, account: str, pace: Pace) -> None:
        self.pace = pace
        self._runtime = runtime
        self._account = account
        self._shared: SharedBookings | None = None
        self._own: Bookings = runtime.journal or MemoryBookings()
        self._bookings: BookingStore = self._own
        if runtime.shared is not None:
            self._bookings = self._shared = runtime.shared.bookings
        self._slots: dict[Slot, None] = {}
        self._ledger: Ledger | None = None
        self._loading = asyncio.Lock()
        self._numbers = itertools.count(1)
        self._kinds: dict[StartKind, StartKind] = {}
        self._waiting: dict[StartKind, OrderedDict[_Waiter, None]] = {}
        self._turns: Mapping[StartKind, Turn] = {}
        self._ahead: Counter[str] = Counter()
        self._starts_ahead = 0
        self._unsent: Slot | None = None
        self._keys: dict[str, str] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._warned: set[str] = set()
        runtime.on_closing.append(self._close)

    # Called by starts

    def count(self, roots: Roots) -> Uses:
        """Return the maximum number of actions of a workflow, by category.

        Raises:
            AllowanceError: The pace never allows it.
        """
        generation = self._runtime.requests.generation
        lines = [
            line
            for path, root in named_roots(roots)
            for line in counted_lines(root, path, generation, {})
        ]
        most: dict[str, float] = {}
        for line in lines:
            if line.category is not None:
                most[line.category] = most.get(line.category, 0) + line.times
            elif not line.known and line.action_type not in self._warned:
                self._warned.add(line.action_type)
                warn_unknown(
                    f"{line.action_type!r} is not known, so the pace does not count it; "
                    "custom(…, category=) says which limit it counts against"
                )
        beyond = excess(self.pace, most)
        if beyond is not None:
            counts = [line for line in lines if line.category == beyond.category]
            raise AllowanceError(
                category=beyond.category,
                most=beyond.most,
                allowance=beyond.allowance,
                period=beyond.period,
                products=list(map(_product, counts)),
            )
        # The next run may limit what this pace does not limit.
        return {name: int(n) for name, n in sorted(most.items()) if n < math.inf}

    async def admit(
        self,
        uses: Uses,
        workflow: Secret[tuple[Roots, Any]],
        *,
        key: str | None,
        name: str,
        max_wait: float,
        wait: bool,
    ) -> Slot:
        """Wait for the turn of a start.

        Args:
            uses: The most actions that it can do, by category.
            workflow: Its roots, for events, and their definition.
            key: The caller's key.
            name: The key of the booking.
            max_wait: How long it may wait, in seconds.
            wait: Whether it waits for longer than the interval between two starts and
                the end of the workflows in progress.

        Raises:
            PaceError: Its turn comes too late.
            SessionClosedError: The session is left meanwhile.
        """
        ledger = await self._load()
        self._runtime.check_starting()
        observer = self._runtime.observer
        kind: StartKind = (tuple(uses.items()), not wait)
        kind = self._kinds.setdefault(kind, kind)
        now = wall_time()
        if max_wait < math.inf or not wait:
            turn = ledger.turn(
                uses, now, ahead=self._ahead, starts=self._starts_ahead, live=False
            )
            if turn.at > now + max_wait or not (wait or turn.brief):
                observer.held_back(
                    self._account, workflow.reveal()[0], key, turn, waits=False
                )
                raise self._error(turn)
        waiter = _Waiter(next(self._numbers), kind, name)
        is_first = kind not in self._waiting
        self._add(waiter)
        if is_first:
            self._pump()
        if not waiter.slot.done():
            turn = self._turns.get(kind) or ledger.turn(uses, now)
            observer.held_back(
                self._account, workflow.reveal()[0], key, turn, waits=True
            )
            if max_wait < math.inf:
                loop = asyncio.get_running_loop()
                waiter.timer = loop.call_later(max_wait, self._expire, waiter)
        try:
            return await waiter.slot
        except asyncio.CancelledError:
            self._withdraw(waiter)
            raise

    def _withdraw(self, waiter: _Waiter) -> None:
        """Record that the caller no longer waits."""
        if waiter.slot.cancelled():
            self._remove(waiter)
        elif waiter.slot.exception() is None:
            waiter.slot.result().free()

    def renew(self, slot: Slot) -> bool:
        """Move a booking to the present; return False if it may not be sent now."""
        ledger, now = self._known(), wall_time()
        ledger.release(slot.booking.key)
        turn = ledger.turn(dict(slot.kind[0]), now)
        if turn.at > now and not turn.brief:
            return False
        slot.booking = attrs.evolve(slot.booking, at=now)
        ledger.book(slot.booking)
        return True

    @property
    def is_shared(self) -> bool:
        """Whether other processes book for the account too."""
        return self._shared is not None

    async def claim(self, slot: Slot) -> bool:
        """Record a booking, if other processes book too; False if it does not fit."""
        if self._shared is None:
            return True
        pace, uses, now = self.pace, dict(slot.kind[0]), slot.booking.at
        rng = self._runtime.rng

        def allows(history: History) -> bool:
            """Return whether the turn is still free."""
            latest = max((each.at for each in history.bookings), default=-math.inf)
            turn = Ledger(pace, history, now, rng).turn(uses, now)
            # Each process has its own jitter of the interval.
            return turn.brief and now >= latest + pace.min_interval - _SOON

        history = await self._shared.claim(slot.booking, now - HISTORY, allows)
        if history is not None:
            self._slots.pop(slot)
            self._renew_ledger(history)
        return history is None

    def record(self, slot: Slot) -> asyncio.Future[None] | None:
        """Record a booking whose start is sent now, unless it was claimed."""
        self._known().sent(slot.booking.at)
        recorded = None
        if self._shared is None:
            recorded = self._own.submit_booking(slot.booking)
        self._sent(slot)
        return recorded

    def accepted(self, slot: Slot, workflow_id: str) -> None:
        """Record which workflow a booking is for."""
        self._slots.pop(slot)
        self.follow(workflow_id, slot.booking.key)

    def follow(self, workflow_id: str, key: str) -> None:
        """Settle the booking of *key* when its workflow has ended."""
        self._keys[workflow_id] = key
        if self._ledger is not None:
            self._ledger.revive(key)

    def free(self, slot: Slot, *, is_recorded: bool) -> None:
        """Remove a booking, because nothing was started."""
        self._slots.pop(slot, None)
        self._known().release(slot.booking.key)
        if is_recorded:
            self._spawn(self._bookings.unbook(slot.booking.key))
        self._sent(slot)
        self._pump()

    def keep(self, slot: Slot) -> None:
        """Keep a booking whose end this session will not notice."""
        self._slots.pop(slot)
        self._known().abandon(slot.booking.key)
        self._sent(slot)
        self._pump()

    def settle(self, key: str, now: float) -> None:
        """Count the most that an unknown start may have done; it is sent again."""
        if self._ledger is not None:
            self._ledger.settle(key, now, None)

    def ended(self, workflow_id: str, end: object, roots: Roots | None) -> None:
        """Record what a workflow did, after the wait for it has ended."""
        key = self._keys.pop(workflow_id, None)
        if key is None:
            return
        if not isinstance(end, _ENDS):
            # The wait has ended, but not the workflow.
            if self._ledger is not None:
                self._ledger.abandon(key)
            return
        uses, now = _done(end, roots), wall_time()
        self._spawn(self._bookings.book_end(key, now, uses))
        if self._ledger is not None:
            self._ledger.settle(key, now, uses)
            self._pump()

    # The ledger

    async def _load(self) -> Ledger:
        """Return the ledger, including what other processes have booked by now."""
        if self._ledger is not None and self._shared is None:
            return self._ledger
        async with self._loading:
            if self._ledger is not None and self._shared is None:
                return self._ledger
            since = wall_time() - HISTORY
            history = await self._bookings.bookings(self._account, since)
            return self._renew_ledger(history)

    def _renew_ledger(self, history: History) -> Ledger:
        """Replace the ledger; bookings that are not recorded yet still count."""
        rng = self._runtime.rng
        if self._shared is not None:
            # The same jitter in each look at the same bookings, in every process.
            rng = random.Random(self._account)  # noqa: S311  # no secret
        ledger = Ledger(self.pace, history, wall_time(), rng)
        for slot in self._slots:
            ledger.book(slot.booking)
        for key in self._keys.values():
            ledger.revive(key)
        self._ledger = ledger
        return ledger

    async def _reload(self) -> None:
        """Load what other processes have booked, and admit what may be sent."""
        # The claim before a start raises the error.
        with contextlib.suppress(JournalError):
            await self._load()
        self._pump()

    def _known(self) -> Ledger:
        assert self._ledger is not None  # noqa: S101  # a start with a slot was admitted
        return self._ledger

    # Waiting starts

    def _add(self, waiter: _Waiter) -> None:
        self._waiting.setdefault(waiter.kind, OrderedDict())[waiter] = None
        self._ahead.update(dict(waiter.kind[0]))
        self._starts_ahead += 1

    def _remove(self, waiter: _Waiter) -> None:
        waiters = self._waiting[waiter.kind]
        del waiters[waiter]
        if not waiters:
            del self._waiting[waiter.kind]
        self._ahead.subtract(dict(waiter.kind[0]))
        self._starts_ahead -= 1
        if waiter.timer is not None:
            waiter.timer.cancel()

    def _error(self, turn: Turn) -> PaceError:
        until = None if turn.at == math.inf else from_timestamp(turn.at)
        return PaceError(
            turn.reason, account=self._account, until=until, category=turn.category
        )

    def _expire(self, waiter: _Waiter) -> None:
        """End the wait of a start whose time is up."""
        self._remove(waiter)
        turn = self._known().turn(dict(waiter.kind[0]), wall_time())
        waiter.slot.set_exception(self._error(turn))

    def _pump(self) -> None:
        """Admit the starts that may be sent now, and set the timer for the others."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        ledger, now = self._known(), wall_time()
        while self._unsent is None:
            turns = {kind: ledger.turn(dict(kind[0]), now) for kind in self._waiting}
            self._turns = turns
            ready = [
                next(iter(self._waiting[kind]))
                for kind, turn in turns.items()
                if turn.at <= now
            ]
            if not ready:
                self._refuse_brief(turns)
                self._set_timer(min((t.at for t in turns.values()), default=math.inf))
                return
            self._admit(min(ready, key=lambda waiter: waiter.number), now)

    def _admit(self, waiter: _Waiter, now: float) -> None:
        self._remove(waiter)
        booking = Booking(waiter.key, self._account, now, dict(waiter.kind[0]))
        self._known().book(booking)
        slot = Slot(self, booking, waiter.kind)
        self._slots[slot] = None
        if self.pace.min_interval:
            # The next interval begins when this one is sent.
            self._unsent = slot
        waiter.slot.set_result(slot)

    def _refuse_brief(self, turns: Mapping[StartKind, Turn]) -> None:
        """End the waits of starts that may not wait for longer than an interval."""
        ledger, now = self._known(), wall_time()
        for kind, turn in turns.items():
            uses, is_brief = kind
            if is_brief and not ledger.turn(dict(uses), now, live=False).brief:
                for waiter in tuple(self._waiting[kind]):
                    self._remove(waiter)
                    waiter.slot.set_exception(self._error(turn))

    def _sent(self, slot: Slot) -> None:
        if self._unsent is slot:
            self._unsent = None
            self._pump()

    def _set_timer(self, moment: float) -> None:
        if moment < math.inf and self._waiting:
            delay = max(_SOON, moment - wall_time())
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(delay, self._wake)

    def _wake(self) -> None:
        if self._shared is None:
            self._pump()
        else:
            self._runtime.spawn(self._reload())

    def retire(self) -> None:
        """Remove it from the session; no start waits for it any more."""
        self._runtime.on_closing.remove(self._close)
        if self._timer is not None:
            self._timer.cancel()

    def _close(self) -> None:
        """End all waits, because the session closes."""
        if self._timer is not None:
            self._timer.cancel()
        for waiters in tuple(self._waiting.values()):
            for waiter in tuple(waiters):
                self._remove(waiter)
                waiter.slot.set_exception(SessionClosedError())

    def _spawn(self, step: Coroutine[Any, Any, None]) -> None:
        """Do *step* in a task; an end not recorded counts as the most, for some days."""
        message = "The journal could not record what account %s has used: %s"
        logged = log_errors(step, message, self._account, account=self._account)
        self._runtime.spawn(logged)


_ENDS: Final = (
    CompletedWorkflow,
    WorkflowFailedError,
    WorkflowCancelledError,
    WorkflowNotFoundError,
)
"""The ends of a workflow; other errors end only the wait."""


def _done(end: object, roots: Roots | None) -> Uses | None:
    """Return what a workflow did, or None if that is unknown."""
    if not isinstance(end, CompletedWorkflow):
        return None
    own = {
        node.action_type: node.limit_category
        for node in (() if roots is None else nodes_of(roots))
        if isinstance(node, custom) and node.limit_category is not None
    }
    done: Counter[str] = Counter()
    for outcome in read_completion(end.raw).walk():
        known = ACTIONS.get(outcome.action_type)
        category = own.get(outcome.action_type) if known is None else known.category
        # An error that concerns the workflow may have come after the action.
        did = outcome.error is None or verdict_of(outcome.error).about == "workflow"
        if category is not None and did:
            done[category] += 1
    return done


def _product(line: ExplainedLine) -> str:
    factors = [*(factor.items for factor in line.factors), line.action_type]
    words = ["unlimited" if each == math.inf else f"{each}" for each in factors]
    return f"{line.path}: {' × '.join(words)}"
