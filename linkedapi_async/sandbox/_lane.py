"""One queue per account, and the records of the workflows in it.

Nothing runs in the background. Whenever a queue is read, it computes what has happened
up to now, so a hundred thousand queued workflows need memory only for their
definitions.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeAlias

import attrs

from linkedapi_async._http.responses import Status
from linkedapi_async._types import Generation
from linkedapi_async._utils.json import decode_json
from linkedapi_async.sandbox._clock import Clock


Endpoint: TypeAlias = Literal["start", "status", "cancel", "admin", "account_data"]


@attrs.frozen
class WorkflowFailure:
    """Why a workflow fails as a whole."""

    reason: str
    message: str


@attrs.define(eq=False, kw_only=True)
class RecordedWorkflow:
    """A workflow that the sandbox accepted; times are seconds on the sandbox's clock."""

    id: str
    account: str
    """The account's name: 12 hex digits of its token's SHA-256, as in a session."""
    generation: Generation
    body: bytes = attrs.field(repr=False)
    """The definition as it was sent, in JSON."""
    accepted: float
    """When its start was answered."""
    duration: float
    """How long it runs, in seconds on the clock."""
    failure: WorkflowFailure | None = None
    """Why it fails as a whole, if it does."""
    polls: int = 0
    """How often it was polled."""
    first_polled_after_end: float | None = None
    """When it was first polled after its end, if it was."""
    lane: AccountQueue = attrs.field(repr=False)
    """The queue of its account."""
    began: float | None = attrs.field(default=None, repr=False)
    ended: float | None = attrs.field(default=None, repr=False)
    cancelled: bool = False
    """Whether it was cancelled."""

    @property
    def definition(self) -> Any:
        """The definition, a dict or a list."""
        return decode_json(self.body)

    @property
    def started(self) -> float | None:
        """When it started to run, if it has."""
        self.lane.advance()
        return self.began

    @property
    def finished(self) -> float | None:
        """When it ended, if it has."""
        self.lane.advance()
        return self.ended

    @property
    def detection_delay(self) -> float | None:
        """How long after its end it was first polled, in seconds, if it was."""
        if self.first_polled_after_end is None or self.ended is None:
            return None
        return self.first_polled_after_end - self.ended

    @property
    def state(self) -> Status:
        """Its state now."""
        if self.finished is None:
            return "pending" if self.began is None else "running"
        if self.cancelled:
            return "cancelled"
        return "completed" if self.failure is None else "failed"


@attrs.define
class RequestLog:
    """The requests and workflows that a sandbox received."""

    starts: int = 0
    """Requests that start a workflow, including refused ones."""
    polls: int = 0
    """Requests for the status of a workflow."""
    cancels: int = 0
    """Requests that cancel a workflow."""
    others: int = 0
    """All other requests."""
    workflows: list[RecordedWorkflow] = attrs.field(factory=list, repr=False)
    """The workflows that were accepted, in order."""

    @property
    def requests(self) -> int:
        """The number of requests."""
        return self.starts + self.polls + self.cancels + self.others

    def count(self, endpoint: Endpoint | None) -> None:
        """Count a request."""
        match endpoint:
            case "start":
                self.starts += 1
            case "status":
                self.polls += 1
            case "cancel":
                self.cancels += 1
            case _:
                self.others += 1

    def by_definition(self) -> dict[str, list[str]]:
        """Return the ids of the workflows by their definition in canonical JSON."""
        ids: dict[str, list[str]] = {}
        for workflow in self.workflows:
            ids.setdefault(canonical(workflow.definition), []).append(workflow.id)
        return ids


def canonical(definition: Any) -> str:
    """Return a definition as JSON with sorted keys and without spaces."""
    return json.dumps(definition, sort_keys=True, separators=(",", ":"))


StateChange: TypeAlias = Literal["created", "started", "completed"]
"""A change of a workflow's state, as webhooks name it; a cancellation has no event."""


class Schedule(Protocol):
    """The working hours of an account, in times of the sandbox's clock."""

    def opening(self, when: float) -> float:
        """Return *when* if it is within the hours, else the next opening."""
        ...

    def expiry(self, accepted: float) -> float:
        """Return when a workflow that was accepted at a time stops waiting."""
        ...


class AccountQueue:
    """The workflows of one account, which run one after another.

    Args:
        clock: The sandbox's clock.
        on_change: Called with each change of a workflow and its time, when the queue
            works it out.
        schedule: The working hours of the account; None runs workflows at any time.
    """

    def __init__(
        self,
        clock: Clock,
        on_change: Callable[[StateChange, RecordedWorkflow, float], None] | None = None,
        schedule: Schedule | None = None,
    ) -> None:
        self._clock = clock
        self.on_change: (
            Callable[[StateChange, RecordedWorkflow, float], None] | None
        ) = on_change
        self._schedule = schedule
        # When the account could start the first workflow, if it is not running.
        self._free_since = 0.0
        # The first one runs; the others wait, unless they were cancelled meanwhile.
        self._unfinished: deque[RecordedWorkflow] = deque()

    def add(self, workflow: RecordedWorkflow) -> None:
        """Append *workflow*."""
        self.advance()
        if not self._unfinished:
            self._free_since = workflow.accepted
        self._unfinished.append(workflow)
        self._changed("created", workflow, workflow.accepted)
        self.advance()

    def advance(self) -> None:
        """Compute all changes up to now."""
        now = self._clock.now()
        while (when := self.next_change) is not None and when <= now:
            head = self._unfinished[0]
            if head.began is not None:
                self._end(head, when)
            elif when < self._opening():
                message = "The workflow waited too long for the working hours."
                head.failure = WorkflowFailure("workingHoursWaitExpired", message)
                self._end(head, when)
            else:
                head.began = when
                self._changed("started", head, when)

    @property
    def next_change(self) -> float | None:
        """When the first workflow starts, ends or expires; None without workflows."""
        if not self._unfinished:
            return None
        head = self._unfinished[0]
        if head.began is not None:
            return head.began + head.duration
        if self._schedule is None:
            return self._free_since
        # Not before the account was free, because the changes of a lane are in order.
        expiry = max(self._schedule.expiry(head.accepted), self._free_since)
        return min(self._opening(), expiry)

    def _opening(self) -> float:
        """Return when the first workflow may start."""
        if self._schedule is None:
            return self._free_since
        return self._schedule.opening(self._free_since)

    def reschedule(self, schedule: Schedule | None) -> None:
        """Change the working hours from now on; None runs workflows at any time."""
        self.advance()
        self._free_since = self._clock.now()
        self._schedule = schedule
        self.advance()

    def fail_waiting(self, failure: WorkflowFailure) -> None:
        """Let all workflows fail that have not started."""
        self.advance()
        now = self._clock.now()
        for workflow in tuple(self._unfinished):
            if workflow.began is None and workflow.ended is None:
                workflow.failure = failure
                self._end(workflow, now)

    def cancel(self, workflow: RecordedWorkflow) -> bool:
        """Cancel *workflow* and return whether it had not ended yet."""
        self.advance()
        if workflow.ended is not None:
            return False
        workflow.cancelled = True
        self._end(workflow, self._clock.now())
        self.advance()
        return True

    def _end(self, workflow: RecordedWorkflow, when: float) -> None:
        workflow.ended = when
        if not workflow.cancelled:
            self._changed("completed", workflow, when)
        if workflow is not self._unfinished[0]:
            return
        self._free_since = when
        while self._unfinished and self._unfinished[0].ended is not None:
            self._unfinished.popleft()

    def _changed(
        self, change: StateChange, workflow: RecordedWorkflow, when: float
    ) -> None:
        if self.on_change is not None:
            self.on_change(change, workflow, when)
