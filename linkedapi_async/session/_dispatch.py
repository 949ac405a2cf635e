"""Session events for callbacks; `Session.on` loads this module."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

import attrs

from linkedapi_async._utils.log import log_extra
from linkedapi_async.session import _events
from linkedapi_async.session._events import SessionEvent
from linkedapi_async.session._observer import Observer


EventT = TypeVar("EventT", bound=SessionEvent)

_log = logging.getLogger("linkedapi_async")

EVENT_CLASSES: Final = {
    name: kind
    for name, kind in vars(_events).items()
    if isinstance(kind, type) and issubclass(kind, SessionEvent)
}
"""All classes of events by name, bases included."""


@attrs.frozen(eq=False)
class Subscription:
    """One subscription; the same callback may have several."""

    callback: Callable[[Any], object]


class EventDispatcher:
    """Turns what an observer records into events, and calls the callbacks with them.

    It is the observer's dispatcher while it has subscriptions.
    """

    __slots__ = ("_observer", "_subscriptions")

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._subscriptions: dict[str, tuple[Subscription, ...]] = {}

    def subscribe(
        self, kind: type[EventT], callback: Callable[[EventT], object]
    ) -> Callable[[], None]:
        """Call *callback* with all events of *kind*; return how to end that."""
        if kind not in EVENT_CLASSES.values():
            message = f"event must be a class of linkedapi_async.events, got {kind!r}"
            raise TypeError(message)
        if _is_async(callback):
            raise TypeError(
                f"callback must be a plain function, got the coroutine function "
                f"{callback!r}; put the events into an asyncio.Queue, or start a task"
            )
        subscription = Subscription(callback)
        for name, each in EVENT_CLASSES.items():
            if issubclass(each, kind):
                # Tuples, because a callback may end a subscription during dispatch.
                others = self._subscriptions.get(name, ())
                self._subscriptions[name] = (*others, subscription)
        self._observer.dispatcher = self

        def unsubscribe() -> None:
            self._remove(subscription)

        return unsubscribe

    def _remove(self, subscription: Subscription) -> None:
        left = {
            name: tuple(other for other in others if other is not subscription)
            for name, others in self._subscriptions.items()
        }
        self._subscriptions = {name: others for name, others in left.items() if others}
        if not self._subscriptions and self._observer.dispatcher is self:
            self._observer.dispatcher = None

    def wants(self, event: str) -> bool:
        """Return whether a callback waits for events of the class *event*."""
        return event in self._subscriptions

    def dispatch(self, event: str, facts: dict[str, Any]) -> None:
        """Call the callbacks with an event of the class *event*."""
        kind = EVENT_CLASSES[event]
        now = {"at": asyncio.get_running_loop().time(), "time": time.time()}
        known = {**facts, **now}
        made = kind(**{name: known[name] for name in attrs.fields_dict(kind)})
        for subscription in self._subscriptions[event]:
            try:
                subscription.callback(made)
            except Exception:  # noqa: BLE001  # the user's own, which stops nothing
                _log.exception(
                    "A callback failed at %s",
                    event,
                    extra=log_extra(
                        account=facts.get("account"),
                        workflow_id=facts.get("workflow_id"),
                    ),
                )


def _is_async(callback: Callable[..., object]) -> bool:
    """Return whether *callback* returns a coroutine, which would never be awaited."""
    call = getattr(callback, "__call__", None)  # noqa: B004  # of an object: async too?
    return inspect.iscoroutinefunction(callback) or inspect.iscoroutinefunction(call)
