"""The events of webhooks in a session: whichever comes first ends a wait.

An event is a hint that may be lost, late, doubled or out of order. It never makes a
wait end wrongly: what it does not tell in full is asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Self, cast

import attrs

from linkedapi_async._http.responses import read_event_ending
from linkedapi_async._utils.log import error_reason, log_extra
from linkedapi_async.errors import AccountPausedError, JournalError
from linkedapi_async.webhooks._events import AccountEvent, Event, WorkflowEvent


if TYPE_CHECKING:
    from linkedapi_async._polling.lane import PendingWorkflow
    from linkedapi_async.journal import Journal, Row
    from linkedapi_async.session._account import Account
    from linkedapi_async.session._handle import WorkflowHandle
    from linkedapi_async.session._session import Session
    from linkedapi_async.webhooks import WebhookReceiver


KEEP_SECONDS: Final = 300.0
"""How long an event is kept whose workflow is not known yet, in seconds."""

MAX_KEPT: Final = 10_000
"""How many workflows are kept at most, of those that are known and of those that are not."""

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
    """What events have told of a workflow that is not known yet."""

    workflow_id: str
    account_id: str | None
    came: float
    """When the first event came, on the clock of the loop."""
    created: float | None
    """When the workflow was created, in seconds since 1970, if an event told."""
    last: WorkflowEvent
    """The event that tells most."""


class WebhookSubscription:
    """What `Session.listen` returns: the receiver's events count until it is closed.

    A context manager; leaving the session closes it too.
    """

    def __init__(self, session: Session, receiver: WebhookReceiver) -> None:
        self._session = session
        self._loop = asyncio.get_running_loop()
        self._early: dict[str, UnmatchedEvents] = {}
        # So that a late event of a workflow that has ended explains nothing else.
        self._known: dict[str, None] = {}
        for handle in session.handles:
            self._remember(str(handle.workflow_id))
        self._deciding: set[Account] = set()
        self._unsubscribe = receiver.subscribe(self._take)
        self._closed = False

    def close(self) -> None:
        """Listen no longer; workflows are asked for as without webhooks."""
        if not self._closed:
            self._closed = True
            self._unsubscribe()
            self._session._listenings.remove(self)
            if not self._session._listenings:
                self._session._hub.stop_listening()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self, event: Event) -> None:
        """Take an event, in whatever thread the receiver was called."""
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            self._heed(event)
        else:
            # A loop that is closed has no session left.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._heed, event)

    def _heed(self, event: Event) -> None:
        if self._closed:
            return
        if isinstance(event, WorkflowEvent) and event.type in STAGES:
            self._heed_workflow(event)
        elif isinstance(event, AccountEvent):
            self._heed_account(event)

    def _heed_account(self, event: AccountEvent) -> None:
        account = self._account(event.account_id)
        if account is None:
            return
        word = event.type.partition(".")[2]
        if word == "active":
            account.unpause()
        else:
            message = f"a webhook event says {event.type} of the LinkedIn account"
            account._note(AccountPausedError(message, type=word))

    def _heed_workflow(self, event: WorkflowEvent) -> None:
        handle = self._handle(event)
        if handle is None:
            if event.type == "workflow.completed":
                self._session._hub.event_confirmed(event.workflow_id)
            if event.workflow_id not in self._known:
                self._keep(event)
            return
        account = handle.account
        if account.account_id is None:
            account.account_id = event.account_id
        self._tell(handle, event)

    def _tell(self, handle: WorkflowHandle[Any], event: WorkflowEvent) -> None:
        """Let the engine know what an event says of a workflow that is waited for."""
        ticket, hub = cast("PendingWorkflow", handle._ticket), self._session._hub
        if event.type == "workflow.completed":
            told = read_event_ending(
                ticket.id, event.status, event.completion, event.failure
            )
            hub.event_finished(ticket, told)
        elif event.type == "workflow.started":
            if ticket.status != "running" and not handle.done:
                self._session._facts.running(handle)
            hub.event_started(ticket)

    def _account(self, account_id: str | None) -> Account | None:
        accounts = self._session._accounts.values()
        known = (a for a in accounts if a.account_id == account_id)
        return None if account_id is None else next(known, None)

    def _handle(self, event: WorkflowEvent) -> WorkflowHandle[Any] | None:
        for account in self._session._accounts.values():
            handle = account._handles.get(event.workflow_id)
            if handle is not None:
                return handle
        return None

    # Workflows that are not known, or not yet

    def _keep(self, event: WorkflowEvent) -> None:
        """Keep an event until its workflow is known, or explains an unknown start."""
        now = self._loop.time()
        self._prune(now)
        created = _seconds(event) if event.type == "workflow.created" else None
        early = self._early.get(event.workflow_id)
        if early is None:
            early = UnmatchedEvents(
                event.workflow_id, event.account_id, now, created, event
            )
            self._early[event.workflow_id] = early
        elif STAGES[event.type] > STAGES[early.last.type]:
            early.last = event
        if created is not None:
            early.created = created
        account = self._account(event.account_id)
        if account is not None:
            self.consider(account)

    def _prune(self, now: float) -> None:
        while self._early:
            first = next(iter(self._early.values()))
            if now - first.came <= KEEP_SECONDS and len(self._early) < MAX_KEPT:
                break
            del self._early[first.workflow_id]

    def known(self, handle: WorkflowHandle[Any]) -> None:
        """Use what came before the workflow was known."""
        self._remember(str(handle.workflow_id))
        early = self._early.pop(str(handle.workflow_id), None)
        if early is not None:
            account = handle.account
            account.account_id = account.account_id or early.account_id
            # Its start is to be noted in the journal before its end is.
            self._loop.call_soon(self._tell, handle, early.last)

    def _remember(self, workflow_id: str) -> None:
        self._known[workflow_id] = None
        if len(self._known) > MAX_KEPT:
            del self._known[next(iter(self._known))]

    def explaining(self, account: Account, since: float, until: float) -> list[str]:
        """Return the unknown workflows that were created on *account* in that time.

        Args:
            account: Whose they are.
            since: The beginning, in seconds since 1970.
            until: The end, in seconds since 1970.
        """
        if account.account_id is None:
            return []
        return [
            early.workflow_id
            for early in self._early.values()
            if early.account_id == account.account_id
            and early.created is not None
            and since - CLOCK_SKEW <= early.created <= until + CLOCK_SKEW
        ]

    def consider(self, account: Account) -> None:
        """Look whether early events explain unknown starts of *account*."""
        journal = self._session.journal
        if journal is None or account in self._deciding or account._posting:
            return  # the start under way may be what the event is of
        self._deciding.add(account)
        self._session._spawn(self._decide(account, journal))

    async def _decide(self, account: Account, journal: Journal) -> None:
        try:
            rows = await journal.unknown(account=account.name)
            for row in rows:
                await self._suggest(account, journal, row, alone=len(rows) == 1)
        except (JournalError, ValueError) as error:
            _log.error(
                "The journal could not note a candidate: %s",
                error,
                extra=log_extra(account=account.name, reason=error_reason(error)),
            )
        finally:
            self._deciding.discard(account)

    async def _suggest(
        self, account: Account, journal: Journal, row: Row, *, alone: bool
    ) -> None:
        """Note the candidates of an unknown start; adopt the only one if that is safe."""
        end = max(row.updated, row.created + self._session._settings.timeout)
        ids = self.explaining(account, row.created, end)
        for workflow_id in ids:
            await journal.suggest(row.key, workflow_id)
        found = {*row.candidates, *ids}
        if not (self._session.sole_client and alone and len(found) == 1):
            return
        (workflow_id,) = found
        await journal.adopt(row.key, workflow_id)
        account._resumed(journal, attrs.evolve(row, workflow_id=workflow_id))
        _log.warning(
            "The unknown start %s on account %s is workflow %s, by a webhook event; its "
            "handle is in session.handles",
            row.key,
            account.name,
            workflow_id,
            extra=log_extra(account=account.name, key=row.key, workflow_id=workflow_id),
        )


def _seconds(event: WorkflowEvent) -> float:
    """Return when an event happened, in seconds since 1970; now, if it does not say."""
    try:
        when = datetime.fromisoformat(event.created_at or "")
    except ValueError:
        return time.time()
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
