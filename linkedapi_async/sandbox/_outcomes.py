"""What the workflows of a sandbox result in: by script, by failing actions, or made up."""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import Any

import attrs

from linkedapi_async.sandbox._clock import Clock
from linkedapi_async.sandbox._completions import ActionFailure, CompletionFactory
from linkedapi_async.sandbox._definitions import loaded
from linkedapi_async.sandbox._lane import RecordedWorkflow
from linkedapi_async.sandbox._responses import failure_of
from linkedapi_async.sandbox._script import Scripts
from linkedapi_async.sandbox._world import World


class OutcomeSource:
    """Returns the completion or failure of workflows.

    Args:
        world: The people and companies of the completions.
        scripts: The outcomes that tests prescribe.
        clock: The sandbox's clock.
    """

    def __init__(self, world: World, scripts: Scripts, clock: Clock) -> None:
        self._world = world
        self._scripts = scripts
        self._clock = clock
        self._prescribed: dict[str, Any] = {}
        # The failing actions from each moment on. A completion is made when it is read,
        # but it shows the actions that failed when the workflow ended.
        self._failing: list[tuple[float, dict[str, ActionFailure]]] = [(-math.inf, {})]

    def fail_action(self, action_type: str, reason: str, message: str | None) -> None:
        """Let all actions of a type fail from now on."""
        failure = failure_of(reason, message)
        failing = self._failing[-1][1]
        added = {action_type: (failure.reason, failure.message)}
        self._failing.append((self._clock.now(), failing | added))

    def clear_failing_actions(self) -> None:
        """Let no action fail from now on."""
        self._failing.append((self._clock.now(), {}))

    def failing_actions_at(self, when: float) -> dict[str, ActionFailure]:
        """Return the actions that failed at a moment, by type."""
        since = bisect_right(self._failing, when, key=lambda change: change[0])
        return self._failing[since - 1][1]

    def start(self, workflow: RecordedWorkflow, definition: Any) -> None:
        """Apply the scripts to a workflow that starts, in the order of the starts."""
        if workflow.failure is not None:
            return
        prescribed = self._scripts.completion(
            self._world,
            workflow.generation,
            workflow.account,
            self._failing[-1][1],
            definition,
        )
        if prescribed is not None:
            self._prescribed[workflow.id] = prescribed

    def ended(self, workflow: RecordedWorkflow) -> dict[str, Any]:
        """Return the ``completion`` or ``failure`` of a workflow that has ended."""
        if workflow.failure is not None:
            return {"failure": attrs.asdict(workflow.failure)}
        return {"completion": self.completion(workflow)}

    def completion(self, workflow: RecordedWorkflow) -> Any:
        """Return the completion; it is made on each call, because it is always equal."""
        if workflow.id in self._prescribed:
            return self._prescribed[workflow.id]
        factory = CompletionFactory(
            self._world,
            workflow.generation,
            workflow.account,
            self.failing_actions_at(workflow.finished or 0.0),
        )
        definition = workflow.definition
        return factory.completion(loaded(definition), definition)
