"""Webhook events in a session: an event or a poll ends a wait, whichever comes first.

An event may be lost, late, repeated or out of order. It never makes a wait end wrongly,
because the session polls for whatever an event does not contain.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Self

import attrs

from linkedapi_async._http.responses import read_event_ending
from linkedapi_async._utils.log import error_reason, log_extra
from linkedapi_async.errors import AccountPausedError, JournalError
from linkedapi_async.session._runner import Runner
from linkedapi_async.session._runtime import Runtime
from linkedapi_async.webhooks._events import (
    AccountEvent,
    Event,
    WorkflowEvent,
    happened_at,
)


if TYPE_CHECKING:
    from linkedapi_async.journal import Journal, Row
    from linkedapi_async.webhooks import WebhookReceiver


KEEP_SECONDS: Final = 300.0
"""How long an event of an unknown workflow is kept, in seconds."""

MAX_KEPT: Final = 10_000
"""The maximum number of workflows that are kept, each of known and unknown ones."""

CLOCK_SKEW: Final = 30.0
"""How far apart the server's clock and ours may be, in seconds."""

STAGES: Final = {
    "workflow.created": 0,
    "workflow.started": 1,
    "workflow.completed": 2,
}
"""The events of a workflow, in the order in which they happen."""

_log = logging.getLogger("linkedapi_async")


@attrs.define
class UnmatchedEvents:
    """What events have reported of a workflow that is not known yet."""

    workflow_id: str
    account_id: str | None
    came: float
    """When the first event came, on the clock of the loop."""
    created: float | None
    """When the workflow was created, in seconds since 1970, if an event said so."""
    last: WorkflowEvent
    """The event with the most information."""


class WebhookSubscription:
    """What `Session.listen` returns: the session uses events until it is closed.

    A context manager; leaving the session closes it too.
    """

    def __init__(
        self,
        runtime: Runtime,
        runners: Mapping[str, Runner],
        receiver: WebhookReceiver,
    ) -> None:
        self._runtime = runtime
        self._runners = runners
        self._loop = asyncio.get_running_loop()
        self._unmatched: dict[str, UnmatchedEvents] = {}
        # So that a late event of an ended workflow does not become a candidate.
        self._known: dict[str, None] = {}
        # The names of the accounts of unfinished workflows. A session without webhooks
        # has no such index, because 100,000 waits would need memory for it.
        self._account_of = {
            workflow_id: runner.name
            for runner in runners.values()
            for workflow_id in runner.handles
        }
        for workflow_id in self._account_of:
            self._remember(workflow_id)
        self._deciding: set[str] = set()
        self._closed = False
        runtime.start_events.append(self)
        runtime.poller.listen()
        # This comes last, because a receiver in another thread may deliver at once.
        self._unsubscribe = receiver.subscribe(self._on_event)

    def close(self) -> None:
        """Stop using events; workflows are polled as without webhooks."""
        if not self._closed:
            self._closed = True
            self._unsubscribe()
            self._runtime.start_events.remove(self)
            if not self._runtime.start_events:
                self._runtime.poller.stop_listening()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _on_event(self, event: Event) -> None:
        """Process an event; the receiver may be called in any thread."""
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            self._dispatch(event)
        else:
            # A loop that is closed has no session left.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._dispatch, event)

    def _dispatch(self, event: Event) -> None:
        if self._closed:
            return
        if isinstance(event, WorkflowEvent) and event.type in STAGES:
            self._on_workflow_event(event)
        elif isinstance(event, AccountEvent):
            self._on_account_event(event)

    def _on_account_event(self, event: AccountEvent) -> None:
        runner = self._runner_of(event.account_id)
        if runner is None:
            return
        state = event.type.partition(".")[2]
        if state == "active":
            runner.unpause()
        else:
            message = f"a webhook event says {event.type} of the LinkedIn account"
            runner.pause_if_needed(AccountPausedError(message, type=state))

    def _on_workflow_event(self, event: WorkflowEvent) -> None:
        runner = self._runner_with(event.workflow_id)
        if runner is None:
            if event.type == "workflow.completed":
                self._runtime.poller.event_confirmed(event.workflow_id)
            if event.workflow_id not in self._known:
                self._keep(event)
            return
        if runner.account_id is None:
            runner.account_id = event.account_id
        self._apply(event)

    def _apply(self, event: WorkflowEvent) -> None:
        """Pass an event to the poller, which polls its workflow."""
        runner = self._runner_with(event.workflow_id)
        if runner is None:
            return  # it has ended meanwhile
        pending = runner.handles[event.workflow_id].pending
        poller = self._runtime.poller
        if event.type == "workflow.completed":
            ending = read_event_ending(
                pending.id, event.status, event.completion, event.failure
            )
            poller.event_finished(pending, ending)
        elif event.type == "workflow.started":
            runner.note_running(event.workflow_id)
            poller.event_started(pending)

    def _runner_of(self, account_id: str | None) -> Runner | None:
        names = self._runtime.names_by_id.get(account_id or "")
        return None if names is None else self._runners[next(iter(names))]

    def _runner_with(self, workflow_id: str) -> Runner | None:
        name = self._account_of.get(workflow_id)
        return None if name is None else self._runners[name]

    # Workflows that the session does not know, or not yet

    def _keep(self, event: WorkflowEvent) -> None:
        """Keep an event until its workflow is known, or proves to be an unknown start."""
        now = self._loop.time()
        self._prune(now)
        created = None
        if event.type == "workflow.created":
            happened = happened_at(event)
            created = time.time() if happened is None else happened
        early = self._unmatched.get(event.workflow_id)
        if early is None:
            early = UnmatchedEvents(
                event.workflow_id, event.account_id, now, created, event
            )
            self._unmatched[event.workflow_id] = early
        elif STAGES[event.type] > STAGES[early.last.type]:
            early.last = event
        if created is not None:
            early.created = created
        runner = self._runner_of(event.account_id)
        if runner is not None:
            self.reconsider(runner.name)

    def _prune(self, now: float) -> None:
        while self._unmatched:
            # They are in the order in which they came.
            first = next(iter(self._unmatched.values()))
            if now - first.came <= KEEP_SECONDS and len(self._unmatched) < MAX_KEPT:
                break
            del self._unmatched[first.workflow_id]

    def match(self, workflow_id: str, account: str) -> None:
        """Use what came before the session knew the workflow of *account*."""
        self._account_of[workflow_id] = account
        self._remember(workflow_id)
        early = self._unmatched.pop(workflow_id, None)
        runner = self._runner_with(workflow_id)
        if early is not None and runner is not None:
            runner.account_id = runner.account_id or early.account_id
            # The journal records its start before its end.
            self._loop.call_soon(self._apply, early.last)

    def ended(self, workflow_id: str) -> None:
        """Forget which account the workflow ran on."""
        self._account_of.pop(workflow_id, None)

    def _remember(self, workflow_id: str) -> None:
        self._known[workflow_id] = None
        if len(self._known) > MAX_KEPT:
            del self._known[next(iter(self._known))]

    def candidates(self, account_id: str, since: float, until: float) -> list[str]:
        """Return the unknown workflows that were created on an account in that time.

        Args:
            account_id: The API's id of the account.
            since: The beginning, in seconds since 1970.
            until: The end, in seconds since 1970.
        """
        return [
            early.workflow_id
            for early in self._unmatched.values()
            if early.account_id == account_id
            and early.created is not None
            and since - CLOCK_SKEW <= early.created <= until + CLOCK_SKEW
        ]

    def reconsider(self, account: str) -> None:
        """Look whether early events explain unknown starts of an account."""
        journal = self._runtime.journal
        runner = self._runners[account]
        if journal is None or account in self._deciding or runner.starting:
            return  # the event may belong to the start in progress
        self._deciding.add(account)
        self._runtime.spawn(self._decide(runner, journal))

    async def _decide(self, runner: Runner, journal: Journal) -> None:
        try:
            rows = await journal.unknown(account=runner.name)
            for row in rows:
                await self._suggest(runner, journal, row, alone=len(rows) == 1)
        except (JournalError, ValueError) as error:
            _log.error(
                "The journal could not record a candidate: %s",
                error,
                extra=log_extra(account=runner.name, reason=error_reason(error)),
            )
        finally:
            self._deciding.discard(runner.name)

    async def _suggest(
        self, runner: Runner, journal: Journal, row: Row, *, alone: bool
    ) -> None:
        """Record the candidates of an unknown start; adopt the only one if that is safe."""
        # After a crash, the row does not contain when the request ended.
        end = max(row.updated, row.created + self._runtime.request_timeout)
        account_id = runner.account_id
        ids = (
            [] if account_id is None else self.candidates(account_id, row.created, end)
        )
        for workflow_id in ids:
            await journal.suggest(row.key, workflow_id)
        found = {*row.candidates, *ids}
        if not (self._runtime.sole_client and alone and len(found) == 1):
            return
        (workflow_id,) = found
        if await journal.key_of(workflow_id) is not None:
            return  # another start has become this workflow
        await journal.adopt(row.key, workflow_id)
        runner.from_journal(journal, attrs.evolve(row, workflow_id=workflow_id))
        _log.warning(
            "The unknown start %s on account %s is workflow %s, by a webhook event; its "
            "handle is in session.handles",
            row.key,
            runner.name,
            workflow_id,
            extra=log_extra(account=runner.name, key=row.key, workflow_id=workflow_id),
        )
