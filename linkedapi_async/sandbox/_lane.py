"""One lane per account, and what the sandbox knows of each workflow in it.

Nothing runs: a lane works out what has happened by now whenever somebody asks, so that
a hundred thousand queued workflows cost nothing but their definitions.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import attrs

from linkedapi_async._types import Generation
from linkedapi_async._utils.json import decode_json
from linkedapi_async.sandbox._clock import Clock


Endpoint: TypeAlias = Literal["start", "status", "cancel", "admin", "direct"]

State: TypeAlias = Literal["pending", "running", "completed", "failed", "cancelled"]


@attrs.frozen
class Failure:
    """Why a workflow fails as a whole."""

    reason: str
    message: str


@attrs.define(eq=False, kw_only=True)
class RecordedWorkflow:
    """A workflow as the sandbox saw it; times are seconds on the sandbox's clock."""

    id: str
    account: str
    """The account's name: 12 hex digits of its token's SHA-256, as in a session."""
    generation: Generation
    body: bytes = attrs.field(repr=False)
    """The definition as it came, in JSON."""
    accepted: float
    """When its start was answered."""
    duration: float
    """How long it runs, in seconds of the clock."""
    failure: Failure | None = None
    """Why it fails as a whole, if it does."""
    polls: int = 0
    """How often it was asked for."""
    noticed: float | None = None
    """When somebody first asked for it after it had ended."""
    lane: AccountQueue = attrs.field(repr=False)
    """Where it waits for its turn."""
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
        """When it began to run, if it did by now."""
        self.lane.advance()
        return self.began

    @property
    def finished(self) -> float | None:
        """When it ended, if it did by now."""
        self.lane.advance()
        return self.ended

    @property
    def lateness(self) -> float | None:
        """How long after its end somebody noticed, in seconds, if anybody did."""
        if self.noticed is None or self.ended is None:
            return None
        return self.noticed - self.ended

    @property
    def state(self) -> State:
        """What it is doing now."""
        if self.finished is None:
            return "pending" if self.began is None else "running"
        if self.cancelled:
            return "cancelled"
        return "completed" if self.failure is None else "failed"


@attrs.define
class RequestLog:
    """What a sandbox saw."""

    starts: int = 0
    """Requests that start a workflow, refused ones included."""
    polls: int = 0
    """Requests that ask for a workflow."""
    cancels: int = 0
    """Requests that cancel one."""
    others: int = 0
    """Requests for anything else."""
    workflows: list[RecordedWorkflow] = attrs.field(factory=list, repr=False)
    """The workflows that were taken, in order."""

    @property
    def requests(self) -> int:
        """How many requests there were."""
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
        taken: dict[str, list[str]] = {}
        for workflow in self.workflows:
            taken.setdefault(canonical(workflow.definition), []).append(workflow.id)
        return taken


def canonical(definition: Any) -> str:
    """Return a definition in JSON, the same for all spellings of it."""
    return json.dumps(definition, sort_keys=True, separators=(",", ":"))


Turn: TypeAlias = Literal["created", "started", "completed"]
"""What happens to a workflow, in the words of webhooks; to be cancelled is none."""


class AccountQueue:
    """The workflows of one account, which run in turn.

    Args:
        clock: Tells the time.
        notice: Is called whenever something is found to have happened to a workflow,
            with the time at which it did.
    """

    def __init__(
        self,
        clock: Clock,
        notice: Callable[[Turn, RecordedWorkflow, float], None] | None = None,
    ) -> None:
        self._clock = clock
        self.notice: Callable[[Turn, RecordedWorkflow, float], None] | None = notice
        # The first one runs; the others wait, but for those cancelled meanwhile.
        self._unfinished: deque[RecordedWorkflow] = deque()

    def add(self, workflow: RecordedWorkflow) -> None:
        """Put *workflow* at the end."""
        self.advance()
        self._unfinished.append(workflow)
        self._tell("created", workflow, workflow.accepted)
        if self._unfinished[0] is workflow:
            self._begin(workflow, workflow.accepted)

    def advance(self) -> None:
        """Let everything happen that has happened by now."""
        now = self._clock.now()
        while (end := self.next_end) is not None and end <= now:
            self._end(self._unfinished[0], end)

    @property
    def next_end(self) -> float | None:
        """When the workflow that runs ends, if one does."""
        if not self._unfinished:
            return None
        head = self._unfinished[0]
        return (head.began or 0.0) + head.duration

    def cancel(self, workflow: RecordedWorkflow) -> bool:
        """Take *workflow* out, and return whether there was anything to cancel."""
        self.advance()
        if workflow.ended is not None:
            return False
        workflow.cancelled = True
        self._end(workflow, self._clock.now())
        return True

    def _end(self, workflow: RecordedWorkflow, when: float) -> None:
        workflow.ended = when
        if not workflow.cancelled:
            self._tell("completed", workflow, when)
        if workflow is not self._unfinished[0]:
            return
        while self._unfinished and self._unfinished[0].ended is not None:
            self._unfinished.popleft()
        if self._unfinished:
            self._begin(self._unfinished[0], when)

    def _begin(self, workflow: RecordedWorkflow, when: float) -> None:
        workflow.began = when
        self._tell("started", workflow, when)

    def _tell(self, turn: Turn, workflow: RecordedWorkflow, when: float) -> None:
        if self.notice is not None:
            self.notice(turn, workflow, when)
