"""Passes webhook events from any host to the workers.

The process that receives an event stores it. Each worker reads new events, and passes
those of its own workflows to its session, as `Session.listen` does. An event that is
lost or late costs a poll and has no other effect.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from linkedapi_async._http.requests import validate_workflow_id
from linkedapi_async._utils.log import error_reason, log_extra
from linkedapi_async._utils.secret import Secret
from linkedapi_async.errors import QueueError, WebhookError
from linkedapi_async.fleet._database import Database
from linkedapi_async.fleet._schema import (
    events,
    insert,
    items,
    lanes,
    now,
    number_events,
)
from linkedapi_async.session import Session
from linkedapi_async.session._webhooks import CLOCK_SKEW
from linkedapi_async.webhooks import AccountEvent, Event, WebhookReceiver, WorkflowEvent
from linkedapi_async.webhooks._checker import DeliveryChecker
from linkedapi_async.webhooks._events import Body, digest_of, happened_at
from linkedapi_async.webhooks._signature import AnyHeaders


if TYPE_CHECKING:
    from aiohttp import web


CREATED: Final = "workflow.created"

KEPT: Final = 86_400.0
"""How long an event is kept, in seconds: longer than the API tries to deliver it."""

CLEANED_AFTER: Final = 1_000
"""After how many deliveries a process removes old events."""

BATCH: Final = 500
"""How many events one query reads."""

MAX_ENDED: Final = 10_000
"""How many ended workflows a worker remembers, to read their late events."""

_log = logging.getLogger("linkedapi_async")


class EventStore:
    """Stores the events that one process receives.

    Args:
        database: A connection of its own, so that no event waits for other steps, and
            none needs its lock together with theirs.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._deliveries = 0

    async def close(self) -> None:
        """Finish the pending calls, then close the connections."""
        await self._database.close()

    async def receive(
        self, checker: DeliveryChecker, headers: AnyHeaders, body: Body
    ) -> Event | None:
        """Check a delivery and store its event; return it, or None if it is known.

        Raises:
            WebhookError: It is refused, or could not be stored.
            TypeError: *body* is not bytes, or *headers* are not headers.
        """
        event = checker.check(headers, body)
        return event if await self._add(event, bytes(body)) else None

    async def _add(self, event: Event, body: bytes) -> bool:
        """Store an event; return whether it is new."""
        row = {"id": digest_of(event).hex(), **_content(event, body)}
        of_workflow = row["workflow_id"] is not None
        self._deliveries += 1
        cleans = self._deliveries % CLEANED_AFTER == 1
        happened = happened_at(event)

        def step(connection: sa.Connection) -> bool:
            number_events(connection)
            if cleans:
                remove_events(connection, KEPT)
            adding = insert(connection, events).on_conflict_do_nothing()
            time = now(connection)
            new = {**row, "received_at": time}
            if event.type == CREATED and of_workflow:
                new["created_at"] = time if happened is None else happened
            added = connection.execute(adding.values(new).returning(events.c.number))
            is_new = added.first() is not None
            if is_new and of_workflow and event.account_id is not None:
                _name_account(connection, row["workflow_id"], event.account_id)
            return is_new

        try:
            return await self._database.do(step)
        except QueueError as error:
            # The sender delivers it again.
            raise WebhookError(str(error), status=503) from error


def _content(event: Event, body: bytes) -> dict[str, Any]:
    """Return the columns of an event.

    Only workflow and account events keep their content.
    """
    account_id = event.account_id
    if isinstance(event, AccountEvent):
        return {"workflow_id": None, "account_id": account_id, "body": body}
    if isinstance(event, WorkflowEvent):
        with contextlib.suppress(ValueError):  # the id of no workflow
            return {
                "workflow_id": validate_workflow_id(event.workflow_id),
                "account_id": account_id,
                "body": body,
            }
    return {"workflow_id": None, "body": None}


def _name_account(connection: sa.Connection, workflow_id: str, account_id: str) -> None:
    """Store the API's id of the account of a workflow's lane, if it has one."""
    lane = sa.select(items.c.account).where(items.c.workflow_id == workflow_id)
    is_new = lanes.c.account_id.is_distinct_from(account_id)
    connection.execute(
        sa.update(lanes)
        .where(lanes.c.account == lane.scalar_subquery(), is_new)
        .values(account_id=account_id)
    )


def created_meanwhile(connection: sa.Connection) -> dict[str, list[str]]:
    """Return, by key, the workflows that each unknown start may have created.

    According to events, they were created on its account during the start, and they
    belong to no item.
    """
    began, ended = items.c.intended_at, items.c.unknown_at
    other = sa.alias(items)
    is_of_item = sa.exists().where(other.c.workflow_id == events.c.workflow_id)
    found = (
        sa.select(items.c.key, events.c.workflow_id)
        .join(lanes, lanes.c.account == items.c.account)
        .join(events, events.c.account_id == lanes.c.account_id)
        .where(
            items.c.state == "unknown",
            events.c.created_at.between(began - CLOCK_SKEW, ended + CLOCK_SKEW),
            ~is_of_item,
        )
        .order_by(events.c.number)
    )
    by_key: dict[str, list[str]] = {}
    for key, workflow_id in connection.execute(found):
        by_key.setdefault(key, []).append(workflow_id)
    return by_key


def remove_events(connection: sa.Connection, older_than: float) -> None:
    """Remove events that were received more than so many seconds ago."""
    old = events.c.received_at < now(connection) - older_than
    connection.execute(sa.delete(events).where(old))


class EventHandler:
    """The handler of deliveries in an aiohttp application."""

    def __init__(self, store: EventStore, secrets: Secret[Any]) -> None:
        self._store = store
        self._checker = DeliveryChecker(secrets)

    async def handle(self, request: web.Request) -> web.Response:
        """Answer a delivery once its event is stored."""
        return await self._checker.answer(request, self._accept)

    async def _accept(self, headers: AnyHeaders, body: bytes) -> None:
        try:
            await self._store.receive(self._checker, headers, body)
        except WebhookError as error:
            self._checker.refuse(error)
            raise


class EventReader:
    """Passes the events of a worker's workflows to its session.

    Args:
        database: The worker's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._session: Session
        # All of them were checked when they were received.
        self._receiver = WebhookReceiver(allow_unsigned=True)
        self._cursor = 0
        self._waited: set[str] = set()
        self._ended: dict[str, None] = {}

    async def open(self, session: Session) -> None:
        """Let *session* use the events from now on."""
        self._session = session
        session.listen(self._receiver)
        last = sa.select(sa.func.coalesce(sa.func.max(events.c.number), 0))
        self._cursor = await self._database.do(
            lambda connection: connection.execute(last).scalar_one()
        )

    async def run(self, interval: float) -> None:
        """Look for new events every *interval* seconds."""
        while True:
            await self.read()
            await asyncio.sleep(interval)

    async def watch(self, workflow_id: str) -> None:
        """Read the events of a workflow from now on, and those that came before.

        They may have come before its id was known, or while another worker ran it.
        """
        self._waited.add(workflow_id)
        if self._cursor:  # otherwise there were none at all
            with _warned():
                await self._give(events.c.workflow_id == workflow_id)

    def leave(self, workflow_id: str) -> None:
        """Record that a workflow has ended; the event of its end may be late."""
        self._waited.discard(workflow_id)
        self._ended[workflow_id] = None
        if len(self._ended) > MAX_ENDED:
            del self._ended[next(iter(self._ended))]

    async def read(self) -> None:
        """Pass the events since the last call to the session."""
        with _warned():
            while await self._read() == BATCH:
                pass

    async def _read(self) -> int:
        """Read some events; return how many there were."""
        new = (
            sa.select(
                events.c.number,
                events.c.workflow_id,
                events.c.account_id,
                events.c.body.is_not(None).label("has_body"),
            )
            .where(events.c.number > self._cursor)
            .order_by(events.c.number)
            .limit(BATCH)
        )
        found = await self._database.do(
            lambda connection: connection.execute(new).all()
        )
        wanted = [row.number for row in found if row.has_body and self._is_wanted(row)]
        named = {row.account_id for row in found if row.workflow_id is None} - {None}
        if named:
            await self._identify(named)
        if wanted:
            # Only these bodies are read, because most workflows belong to other
            # workers.
            await self._give(events.c.number.in_(wanted))
        if found:
            self._cursor = found[-1].number
        return len(found)

    async def _identify(self, account_ids: set[str]) -> None:
        """Set the ids of the session's accounts."""
        query = sa.select(lanes.c.account, lanes.c.account_id).where(
            lanes.c.account_id.in_(account_ids)
        )
        found = await self._database.do(
            lambda connection: connection.execute(query).all()
        )
        ids = {row.account: row.account_id for row in found}
        for account in self._session.accounts:
            if account.name in ids:
                account.account_id = ids[account.name]

    def _is_wanted(self, row: Any) -> bool:
        id = row.workflow_id
        return id is None or id in self._waited or id in self._ended

    async def _give(self, which: sa.ColumnElement[bool]) -> None:
        bodies = sa.select(events.c.body).where(which).order_by(events.c.number)
        found = await self._database.do(
            lambda connection: connection.scalars(bodies).all()
        )
        for body in found:
            with contextlib.suppress(WebhookError):  # the receiver has logged it
                self._receiver.receive({}, body)


@contextlib.contextmanager
def _warned() -> Iterator[None]:
    """Continue without events that cannot be read, because polls find the same."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  # an event is a hint
        _log.warning(
            "Webhook events could not be read: %s",
            error,
            extra=log_extra(reason=error_reason(error)),
        )
