"""What happens in a session, as events to those who listen; `Session.on` loads it."""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import attrs

from linkedapi_async._polling.answers import Ended, PollFailed, StillRunning
from linkedapi_async._results.completion import Completion
from linkedapi_async._utils.log import error_reason, log_extra
from linkedapi_async.errors import StartUnknownError
from linkedapi_async.session import _events
from linkedapi_async.session._events import SessionEvent
from linkedapi_async.session._observer import NULL_OBSERVER, Observer


if TYPE_CHECKING:
    from linkedapi_async._actions.action import Roots
    from linkedapi_async._http.failure_rules import RequestKind
    from linkedapi_async._polling.answers import Answer
    from linkedapi_async._polling.lane import PendingWorkflow
    from linkedapi_async.errors import AccountPausedError, RequestError
    from linkedapi_async.session._handle import WorkflowHandle
    from linkedapi_async.session._session import Session


E = TypeVar("E", bound=SessionEvent)

_log = logging.getLogger("linkedapi_async")

EVENT_CLASSES: Final = tuple(
    kind
    for kind in vars(_events).values()
    if isinstance(kind, type) and issubclass(kind, SessionEvent)
)
"""All classes of events, bases included."""


@attrs.frozen(eq=False)
class Subscription:
    """One subscription; the same callback may have several."""

    callback: Callable[[Any], object]


class EventDispatcher(Observer):
    """Tells what happens to those who listen, and to the logs as ever.

    Args:
        session: The session that it happens in.
    """

    __slots__ = ("_ears", "_session")

    def __init__(self, session: Session) -> None:
        self._session = session
        self._ears: dict[type[SessionEvent], tuple[Subscription, ...]] = {}

    def listen(
        self, kind: type[E], callback: Callable[[E], object]
    ) -> Callable[[], None]:
        """Call *callback* with all events of *kind*; return what ends it."""
        if kind not in EVENT_CLASSES:
            message = f"a class of linkedapi_async.events is due, got {kind!r}"
            raise TypeError(message)
        if _is_async(callback):
            message = (
                f"callback: a plain function is due, {callback!r} is a coroutine "
                "function; let one put the events into an asyncio.Queue, or start a task"
            )
            raise TypeError(message)
        ear = Subscription(callback)
        for each in EVENT_CLASSES:
            if issubclass(each, kind):
                self._ears[each] = (*self._ears.get(each, ()), ear)
        self._session._facts = self

        def unsubscribe() -> None:
            self._drop(ear)

        return unsubscribe

    def _drop(self, ear: Subscription) -> None:
        left = {
            kind: tuple(other for other in ears if other is not ear)
            for kind, ears in self._ears.items()
        }
        self._ears = {kind: ears for kind, ears in left.items() if ears}
        if not self._ears and self._session._facts is self:
            self._session._facts = NULL_OBSERVER

    def _tell(self, kind: type[E], **facts: Any) -> None:
        """Tell those who listen for *kind* of it, if anybody does."""
        ears = self._ears.get(kind)
        if ears is None:
            return
        event = kind(at=self._session._hub.now(), time=time.time(), **facts)
        for ear in ears:
            try:
                ear.callback(event)
            except Exception:  # noqa: BLE001  # the user's own, which hinders nothing
                _log.exception(
                    "A callback failed at %s",
                    kind.__name__,
                    extra=log_extra(
                        account=getattr(event, "account", None),
                        workflow_id=getattr(event, "workflow_id", None),
                    ),
                )

    def starting(
        self, account: str, number: int, roots: Roots, key: str | None, waited: float
    ) -> None:
        """Tell of it as `WorkflowStarting`."""
        super().starting(account, number, roots, key, waited)
        self._tell(
            _events.WorkflowStarting,
            account=account,
            number=number,
            workflow=roots,
            key=key,
            waited=waited,
        )

    def started(self, handle: WorkflowHandle[Any], number: int, seconds: float) -> None:
        """Tell of it as `WorkflowStarted`, and whether it runs already."""
        super().started(handle, number, seconds)
        self._tell(
            _events.WorkflowStarted, number=number, seconds=seconds, **_of(handle)
        )
        if handle.status == "running":
            self.running(handle)

    def start_failed(
        self,
        account: str,
        number: int,
        roots: Roots,
        key: str | None,
        error: Exception,
        *,
        seconds: float,
    ) -> None:
        """Tell of it as `StartFailed` or `StartUnknown`."""
        super().start_failed(account, number, roots, key, error, seconds=seconds)
        unknown = isinstance(error, StartUnknownError)
        self._tell(
            _events.StartUnknown if unknown else _events.StartFailed,
            account=account,
            number=number,
            workflow=roots,
            key=key,
            error=error,
            seconds=seconds,
        )

    def attached(self, handle: WorkflowHandle[Any]) -> None:
        """Tell of it as `WorkflowAttached`."""
        super().attached(handle)
        self._tell(_events.WorkflowAttached, **_of(handle))

    def polled(self, account: str, ticket: PendingWorkflow, answer: Answer) -> None:
        """Tell of it as `PollAnswered`."""
        super().polled(account, ticket, answer)
        if _events.PollAnswered in self._ears:
            self._tell(
                _events.PollAnswered,
                account=account,
                workflow_id=ticket.id,
                outcome=_OUTCOMES[type(answer)],
                status=getattr(answer, "status", None),
                error=answer.error if isinstance(answer, PollFailed) else None,
            )

    def running(self, handle: WorkflowHandle[Any]) -> None:
        """Tell of it as `WorkflowRunning`."""
        super().running(handle)
        self._tell(_events.WorkflowRunning, **_of(handle))

    def finished(
        self, handle: WorkflowHandle[Any], polls: int, late: float | None
    ) -> None:
        """Tell of it as `WorkflowFinished`."""
        super().finished(handle, polls, late)
        self._tell(
            _events.WorkflowFinished,
            status=handle.status,
            reason=error_reason(handle.failure),
            error=handle.failure,
            late=late,
            polls=polls,
            **_of(handle),
        )

    def delivered(self, handle: WorkflowHandle[Any], seconds: float) -> None:
        """Tell of it as `WorkflowDelivered`."""
        super().delivered(handle, seconds)
        ended = handle._ended
        self._tell(
            _events.WorkflowDelivered,
            completion=ended if isinstance(ended, Completion) else None,
            error=None if isinstance(ended, Completion) else ended,
            polls=cast("PendingWorkflow", handle._ticket).polls,
            seconds=seconds,
            **_of(handle),
        )

    def retried(
        self,
        account: str,
        kind: RequestKind,
        error: RequestError,
        attempt: int,
        wait: float,
    ) -> None:
        """Tell of it as `RequestRetried`."""
        super().retried(account, kind, error, attempt, wait)
        self._tell(
            _events.RequestRetried,
            account=account,
            request=kind,
            error=error,
            attempt=attempt,
            wait=wait,
        )

    def paused(self, account: str, error: AccountPausedError) -> None:
        """Tell of it as `AccountPaused`."""
        super().paused(account, error)
        self._tell(
            _events.AccountPaused, account=account, reason=error.reason, error=error
        )

    def unpaused(self, account: str) -> None:
        """Tell of it as `AccountUnpaused`."""
        super().unpaused(account)
        self._tell(_events.AccountUnpaused, account=account)

    def surprised(self, account: str) -> None:
        """Tell of it as `LaneReordered`."""
        super().surprised(account)
        self._tell(_events.LaneReordered, account=account)

    def outage_began(self, error: Exception, failures: int) -> None:
        """Tell of it as `OutageBegan`."""
        super().outage_began(error, failures)
        self._tell(_events.OutageBegan, error=error, failures=failures)

    def outage_ended(self, failures: int, seconds: float) -> None:
        """Tell of it as `OutageEnded`."""
        super().outage_ended(failures, seconds)
        self._tell(_events.OutageEnded, failures=failures, seconds=seconds)


_OUTCOMES: Final = {StillRunning: "waiting", Ended: "finished", PollFailed: "missed"}


def _of(handle: WorkflowHandle[Any]) -> dict[str, Any]:
    return {
        "account": handle.account.name,
        "workflow_id": handle.workflow_id,
        "key": handle.key,
        "handle": handle,
    }


def _is_async(callback: Callable[..., object]) -> bool:
    """Return whether calling *callback* gives a coroutine that nobody would await."""
    call = getattr(callback, "__call__", None)  # noqa: B004  # of an object: async too?
    return inspect.iscoroutinefunction(callback) or inspect.iscoroutinefunction(call)
