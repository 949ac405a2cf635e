"""Which items of a stream are deferred, and what an account may start meanwhile.

Pure: the caller passes the time, in seconds on the clock of the event loop.
"""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final, TypeAlias

import attrs

from linkedapi_async._actions.action import Action, nodes_of
from linkedapi_async._results.completion import Completion
from linkedapi_async._results.key import writes
from linkedapi_async._utils.log import error_reason
from linkedapi_async._wire.load import load_silently
from linkedapi_async.errors import (
    ActionError,
    LinkedApiError,
    PaceError,
    RequestError,
    Verdict,
    WorkflowFailedError,
    verdict_of,
)


RETRY_AFTER: Final = 3600.0
"""Time in seconds after which something with an unknown end is tried again."""

RETRY_HOST_AFTER: Final = 60.0
"""Time in seconds after which a host that did not answer is tried again."""

SOON: Final = 0.001
"""The shortest wait for a pace, in seconds, because clocks differ in their last digits."""

REFUSALS: Final = 3
"""How many times in a row ``requestNotAllowed`` pauses a category."""

_ONE_REFUSAL: Final = "requestNotAllowed"
"""An error of the target or of the category; only its repetition shows which."""

_DEFERRING: Final = frozenset({"account", "category", "token", "host"})

HeldCategory: TypeAlias = str | None
"""What is held back on an account: a category, or None for all of its actions."""


@attrs.frozen
class Deferred:
    """An item of a stream that runs later."""

    key: str
    """The item's key."""
    account: str
    """The ``name`` of the account that could not run it."""
    error: LinkedApiError
    """Why it is deferred."""
    until: dt.datetime | None
    """When it may be started, with a time zone; None if that is unknown."""

    @property
    def reason(self) -> str:
        """The API's word for why it is deferred, or the name of the error's class."""
        return error_reason(self.error) or type(self.error).__name__


def deferring_start_error(error: Exception) -> LinkedApiError | None:
    """Return *error* if an item that was not started is deferred because of it."""
    if not isinstance(error, RequestError | PaceError):
        return None
    return error if verdict_of(error).about in _DEFERRING else None


def deferring_end_error(
    end: Completion | Exception | None, *, may_write: bool, never_ran: bool
) -> LinkedApiError | None:
    """Return the error because of which an item is deferred; None if it must not be.

    It is deferred only if it has certainly changed nothing on LinkedIn: every writing
    action of its completion has failed with a temporary error, or the workflow failed
    as a whole and either never began or has no writing action.

    Args:
        end: How its workflow ended.
        may_write: Whether an action of the workflow writes.
        never_ran: Whether the workflow certainly never began.
    """
    if isinstance(end, WorkflowFailedError):
        deferring = verdict_of(end).about in _DEFERRING
        return end if deferring and (never_ran or not may_write) else None
    if not isinstance(end, Completion):
        return None
    for outcome in end.walk():
        if writes(outcome.action_type) and not _wrote_nothing(outcome.error):
            return None
    return next((e for e in end.errors if verdict_of(e).about in _DEFERRING), None)


def _wrote_nothing(error: ActionError | None) -> bool:
    """Return whether an action has certainly not written anything.

    An error of the host does not say how far the action came.
    """
    if error is None:
        return False
    verdict = verdict_of(error)
    return verdict.passes and verdict.about in {"account", "category"}


def categories_of(workflow: Any) -> frozenset[str]:
    """Return the account limits that a workflow counts against.

    The result is empty if it is no workflow; its start raises the error then.
    """
    try:
        if not isinstance(workflow, Action | tuple):
            workflow = load_silently(workflow)
        categories = {node.category for node in nodes_of(workflow)}
        return frozenset(each for each in categories if each is not None)
    except Exception:  # noqa: BLE001  # whatever the input is
        return frozenset()


@attrs.define(eq=False)
class Hold:
    """Why an account starts no items of some scopes."""

    error: LinkedApiError
    """The error that said so."""
    ends_at: float
    """When one item may try it again."""
    about_account: bool
    """Whether the error is about this account alone, and not the token or the host."""
    by_pause: bool
    """Whether it ends when the account is no longer paused."""
    waited_out: bool
    """Whether a stream waits for its end in any case."""
    lifted: bool = False
    """Whether it ended early."""


def may_write(workflow: Any) -> bool:
    """Return whether an action of a workflow writes, or may because it is unknown."""
    if isinstance(workflow, Action) and not workflow.children:
        return workflow.effect == "write"  # most workflows, in a fifth of the time
    if not isinstance(workflow, Action | tuple):
        return True
    return any(node.effect == "write" for node in nodes_of(workflow))


def delay_of(
    error: LinkedApiError, now: dt.datetime
) -> tuple[float, dt.datetime | None]:
    """Return when the cause of *error* ends: in seconds from *now*, and as a time.

    If that is unknown, return in how many seconds to try again: after a limit, when the
    next day begins.

    Args:
        error: Why an item was held back.
        now: The time, in the zone in which the account's days begin.
    """
    if isinstance(error, PaceError) and error.until is not None:
        return max(SOON, (error.until - now).total_seconds()), error.until
    verdict = verdict_of(error)
    if verdict.retry_after is not None:
        seconds = verdict.retry_after
        return seconds, now + dt.timedelta(seconds=seconds)
    if verdict.about == "category":
        tomorrow = now.date() + dt.timedelta(days=1)
        midnight = dt.datetime.combine(tomorrow, dt.time(), now.tzinfo)
        # Not the difference of two local times, because of summer time.
        return midnight.timestamp() - now.timestamp(), None
    return (RETRY_HOST_AFTER if verdict.about == "host" else RETRY_AFTER), None


class Holds:
    """What one account holds back at present, and what it tries with one item.

    A category, or None for the whole account, is *open*, *held* until some time, or
    *doubted*. While it is doubted, one item at a time may try it, until one succeeds.

    Args:
        account: Whether the whole account is doubted.
        categories: Whether each of its categories is.
    """

    def __init__(self, *, account: bool = False, categories: bool = False) -> None:
        self._held: dict[HeldCategory, Hold] = {}
        self._trying: dict[HeldCategory, object | None] = {}
        self._proven: set[HeldCategory] = set()
        self._refusals: Counter[HeldCategory] = Counter()
        self._doubts_categories = categories
        if account:
            self._trying[None] = None

    def held(self, categories: Iterable[HeldCategory], now: float) -> Hold | None:
        """Return the longest hold that applies to an item of *categories*."""
        for category in (None, *categories):
            hold = self._held.get(category)
            if hold is not None and hold.ends_at <= now:
                del self._held[category]
                self._trying[category] = None
        holds = [self._held[s] for s in (None, *categories) if s in self._held]
        return max(holds, key=lambda hold: hold.ends_at, default=None)

    @property
    def tries_account(self) -> bool:
        """Whether one item may try the whole account, or does."""
        return None in self._trying

    def busy(self, categories: Iterable[HeldCategory]) -> bool:
        """Return whether another item is trying one of *categories* now."""
        return any(
            self._trying.get(category) is not None for category in (None, *categories)
        )

    def begin(self, item: object, categories: Iterable[HeldCategory]) -> bool:
        """Record that *item* is started; return whether it tries the whole account."""
        for category in (None, *categories):
            doubted = (
                self._doubts_categories and category and category not in self._proven
            )
            if category in self._trying or doubted:
                self._trying[category] = item
        return self._trying.get(None) is item

    def end(
        self, item: object, categories: Iterable[HeldCategory], *, worked: bool
    ) -> bool:
        """Record that *item* has ended; return whether that lifts a hold.

        Args:
            item: The one that was started.
            categories: Its categories.
            worked: Whether its end shows that all of them are open.
        """
        lifted = False
        for category in (None, *categories):
            if worked:
                lifted |= self._lift(category)
                self._trying.pop(category, None)
                self._proven.add(category)
                self._refusals.pop(category, None)
            elif self._trying.get(category) is item:
                self._trying[category] = None
        return lifted

    def hold(self, categories: Iterable[HeldCategory], hold: Hold) -> None:
        """Hold *categories* back."""
        for category in categories:
            self._held[category] = hold
            self._trying.pop(category, None)
            self._proven.discard(category)

    def lift(self, *, about_account: bool) -> bool:
        """End what holds the whole account; return whether something did.

        Args:
            about_account: Whether the error concerned the account, and not the token or
                the host.
        """
        hold = self._held.get(None)
        if hold is None or hold.about_account != about_account:
            return False
        return self._lift(None)

    def _lift(self, category: HeldCategory) -> bool:
        hold = self._held.pop(category, None)
        if hold is not None:
            hold.lifted = True
        return hold is not None

    def refused(self, categories: Iterable[HeldCategory]) -> list[HeldCategory]:
        """Count a refusal; return the categories that were refused often enough."""
        categories = [*categories]
        self._refusals.update(categories)
        return [
            category for category in categories if self._refusals[category] >= REFUSALS
        ]

    def next_end(self, now: float) -> float:
        """Return when the next hold ends; infinity without a hold."""
        ends = (hold.ends_at for hold in self._held.values())
        return min((end for end in ends if end > now), default=math.inf)

    def waited_out(self, now: float) -> bool:
        """Return whether there is a hold whose end a stream waits for in any case."""
        return any(h.waited_out and h.ends_at > now for h in self._held.values())


def held_categories(
    error: LinkedApiError, verdict: Verdict, categories: frozenset[str]
) -> tuple[HeldCategory, ...]:
    """Return what *error* of an item of *categories* holds back on an account.

    An error of one action because of the account does not affect other actions, because
    the account has run the workflow.
    """
    if verdict.about == "category":
        known = [verdict.category] if verdict.category else sorted(categories)
        return tuple(known) or (None,)
    return () if isinstance(error, ActionError) else (None,)


def is_refusal(error: LinkedApiError) -> bool:
    """Return whether only the repetition of *error* shows what it concerns."""
    return getattr(error, "type", None) == _ONE_REFUSAL
