"""The outcomes of a sandbox's workflows: by script, by failing actions, or made up."""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import Any, TypeVar

import attrs

from linkedapi_async.sandbox._clock import Calendar, Clock
from linkedapi_async.sandbox._completions import ActionFailure, CompletionFactory
from linkedapi_async.sandbox._definitions import loaded
from linkedapi_async.sandbox._lane import RecordedWorkflow
from linkedapi_async.sandbox._limits import AccountLimits
from linkedapi_async.sandbox._responses import failure_of
from linkedapi_async.sandbox._script import Scripts
from linkedapi_async.sandbox._world import World


FactoryT = TypeVar("FactoryT", bound=CompletionFactory)


class OutcomeSource:
    """Returns the completion or failure of workflows.

    Args:
        world: The people and companies of the completions.
        scripts: The outcomes that tests prescribe.
        clock: The sandbox's clock.
        calendar: Its dates.
        limits: The limits of the accounts.
    """

    def __init__(
        self,
        world: World,
        scripts: Scripts,
        clock: Clock,
        calendar: Calendar,
        limits: AccountLimits,
    ) -> None:
        self._world = world
        self._scripts = scripts
        self._clock = clock
        self._calendar = calendar
        self._limits = limits
        # The completions that cannot be made again: by script, or under limits.
        self._kept: dict[str, Any] = {}
        # Workflows that have ended and are not counted yet, by account.
        self._uncounted: dict[str, list[RecordedWorkflow]] = {}
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
            lambda factory: self._factory(workflow, workflow.accepted, factory),
            workflow.account,
            definition,
        )
        if prescribed is not None:
            self._kept[workflow.id] = prescribed

    def ended(self, workflow: RecordedWorkflow) -> dict[str, Any]:
        """Return the ``completion`` or ``failure`` of a workflow that has ended."""
        if workflow.failure is not None:
            return {"failure": attrs.asdict(workflow.failure)}
        return {"completion": self.completion(workflow)}

    def end(self, workflow: RecordedWorkflow) -> None:
        """Apply the limits to a workflow that has ended, in the order of the ends."""
        if workflow.failure is not None:
            return
        self._uncounted.setdefault(workflow.account, []).append(workflow)
        # Without limits the completion is made when it is read, not kept.
        if self._limits.are_enforced(workflow.account):
            self.count(workflow.account)

    def count(self, account: str) -> None:
        """Count the actions of an account up to now against its limits."""
        for workflow in self._uncounted.pop(account, ()):
            completion = self.completion(workflow)
            enforce = workflow.generation == "linked_api"
            enforced = enforce and self._limits.are_enforced(account)
            self._limits.apply(
                account,
                loaded(workflow.definition),
                completion,
                workflow.ended or 0.0,
                enforce=enforce,
            )
            if enforced:
                self._kept[workflow.id] = completion

    def completion(self, workflow: RecordedWorkflow) -> Any:
        """Return the completion of a workflow that has ended."""
        if workflow.id in self._kept:
            return self._kept[workflow.id]
        factory = self._factory(workflow, workflow.ended or 0.0, CompletionFactory)
        definition = workflow.definition
        return factory.completion(loaded(definition), definition)

    def _factory(
        self,
        workflow: RecordedWorkflow,
        when: float,
        factory: type[FactoryT],
    ) -> FactoryT:
        return factory(
            self._world,
            workflow.generation,
            workflow.account,
            self.failing_actions_at(when),
            self._calendar.ms_at(when),
        )
