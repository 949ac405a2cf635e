"""The queue: programs submit workflows to it and read results from it."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import functools
import logging
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
)
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeAlias, TypeVar

import attrs
import sqlalchemy as sa
from dbos import error as dbos_error
from sqlalchemy import exc as sa_exc

from linkedapi_async._actions.action import Action, roots_of
from linkedapi_async._utils.json import decode_json, encode_json
from linkedapi_async._utils.log import log_extra
from linkedapi_async._utils.secret import Secret
from linkedapi_async._utils.text import is_encodable, safe_repr
from linkedapi_async._wire.dump import dump_workflow
from linkedapi_async._wire.load import load_silently, load_workflow
from linkedapi_async.errors import QueueError
from linkedapi_async.fleet._database import Database
from linkedapi_async.fleet._dbos_client import (
    DbosClient,
    LanePosition,
    check,
    chunks,
    migrate,
)
from linkedapi_async.fleet._done import Done, done_from
from linkedapi_async.fleet._events import (
    EventHandler,
    EventStore,
    created_meanwhile,
    remove_events,
)
from linkedapi_async.fleet._schema import insert, items, lanes, now, results
from linkedapi_async.fleet._shared import forget_bookings
from linkedapi_async.fleet._starts import ENDED, Starts, StartState
from linkedapi_async.fleet._trace import current_trace
from linkedapi_async.webhooks import Event
from linkedapi_async.webhooks._checker import DeliveryChecker
from linkedapi_async.webhooks._events import Body
from linkedapi_async.webhooks._signature import AnyHeaders


if TYPE_CHECKING:
    from aiohttp import web


T = TypeVar("T")

_log = logging.getLogger("linkedapi_async.fleet")

Submission: TypeAlias = "tuple[str, Any, str]"
"""An account, a workflow for it, and a key."""

ItemState: TypeAlias = Literal["queued", "running", "unknown", "ended"]
"""The state of an item of a queue; see `QueuedItem`."""

_STATES: Final[dict[StartState, ItemState]] = {
    "free": "queued",
    "intended": "running",
    "accepted": "running",
    "unknown": "unknown",
    "finished": "ended",
    "cancelled": "ended",
}
"""The state of an item, by the state of its start."""

BATCH: Final = 200
"""How many items one transaction submits, and how many results one query reads."""

MAX_NAME: Final = 500
"""How long a key or the name of an account may be, in characters."""

FOLLOW_INTERVAL: Final = 1.0
"""How often a reader that follows looks for new results, in seconds."""


@attrs.frozen(kw_only=True)
class Progress:
    """The number of items of a queue, by state."""

    queued: int
    """Items that were not sent: they wait for their turn, or for their account."""
    running: int
    """Items that were sent, or are just being sent."""
    completed: int
    """Items that ended with a completion, even if actions of it failed."""
    failed: int
    """Items that ended in another way."""
    cancelled: int
    """Cancelled."""
    unknown: int
    """Starts that wait for a decision."""


@attrs.frozen(kw_only=True)
class UnknownStart:
    """A start that may have been accepted; `Queue.adopt` or `Queue.discard` decides."""

    key: str
    """The item's key."""
    account: str
    """The account that it is for."""
    candidates: tuple[str, ...]
    """The ids of workflows that it may have created, if any are known."""
    definition: str = attrs.field(repr=False)
    """The workflow as JSON."""

    @property
    def workflow(self) -> Any:
        """The workflow that was submitted: an action, or a tuple of roots."""
        return load_silently(self.definition)


@attrs.frozen(kw_only=True)
class QueuedItem:
    """An item of a queue, as `Queue.find` returns it."""

    key: str
    """The item's key."""
    account: str
    """The account that it is for."""
    state: ItemState
    """Its state.

    ``queued``: it was not sent. ``running``: it was sent, or is just being sent.
    ``unknown``: its start waits for a decision. ``ended``: it has a result.
    """
    done: Done | None
    """How it ended; None before."""
    definition: str = attrs.field(repr=False)
    """The workflow as JSON."""


class Queue:
    """Workflows for any number of accounts, which workers on any number of hosts run.

    An async context manager. It needs no tokens, and may be open in many processes::

        async with Queue("postgresql://…/work") as queue:
            await queue.submit("sales-17", workflow, key="hello/ada")
            async for done in queue.results():
                print(done.key, done.result())

    The items of an account are its lane: they run one after another, in the order in
    which they were submitted.

    Args:
        url: ``postgresql://user@host/database``, or ``sqlite:///path`` for development
            on one machine. The tables are created when it is entered.

    Raises:
        ValueError: The URL is of another kind.
    """

    def __init__(self, url: str) -> None:
        self._database = Database(url)
        self._client: DbosClient | None = None
        self._starts = Starts(self._database)
        self._events = EventStore(Database(url))

    async def __aenter__(self) -> Self:
        self._client = await opened(self._database)
        return self

    async def __aexit__(self, *_: object) -> None:
        client, self._client = self._opened(), None
        await self._database.call(client.close)
        await self._events.close()
        await self._database.close()

    def _opened(self) -> DbosClient:
        if self._client is None:
            message = "the queue is not open; use: async with Queue(…) as queue"
            raise RuntimeError(message)
        return self._client

    async def submit(self, account: str, *workflow: Any, key: str) -> bool:
        """Put a workflow at the end of the lane of an account.

        Args:
            account: The name of the account; workers look up its token.
            workflow: As for `Session.start`: several are the roots of one array
                workflow, and a dict or list as in the API's docs works too.
            key: Your identifier of it, unique in the queue: it is sent once, however
                often it is submitted.

        Returns:
            Whether it is new.

        Raises:
            WorkflowError: The workflow is wrong.
            QueueError: The key has another workflow or account, or the database cannot
                be used.
            ValueError: The name or the key is not text, or too long.
        """
        one = workflow[0] if len(workflow) == 1 else workflow
        return bool(await self._submit([_item(account, one, key)]))

    async def submit_all(
        self, plan: Iterable[Submission] | AsyncIterable[Submission]
    ) -> int:
        """Put many workflows at the ends of the lanes of their accounts.

        The plan is read while it is submitted, so it may be larger than memory. After
        an error, the items before it are submitted; submitting all again adds the rest.

        Args:
            plan: Tuples of an account, a workflow and a key, as for `submit`; an array
                workflow is a tuple of roots.

        Returns:
            How many are new.

        Raises:
            LinkedApiError: As for `submit`.
        """
        added = 0
        batch: list[dict[str, Any]] = []
        try:
            async for account, workflow, key in _aiter(plan):
                batch.append(_item(account, workflow, key))
                if len(batch) == BATCH:
                    full, batch = batch, []
                    added += await self._submit(full)
        except Exception:
            await self._submit(batch)
            raise
        return added + await self._submit(batch)

    async def _submit(self, batch: list[dict[str, Any]]) -> int:
        if not batch:
            return 0
        trace = current_trace()
        if trace is not None:
            batch = [{**item, "trace": trace} for item in batch]
        try:
            return await self._submit_at_once(batch)
        except QueueError:
            if len(batch) == 1:
                raise
            # The items before the wrong one are submitted.
            return sum([await self._submit_at_once([item]) for item in batch])

    async def _submit_at_once(self, batch: list[dict[str, Any]]) -> int:
        client = self._opened()
        added = await self._do(lambda found: _submit(found, client, batch))
        _log.debug(
            "Submitted %d items, of which %d are new",
            len(batch),
            added,
            extra=log_extra(items=len(batch)),
        )
        return added

    async def progress(self) -> Progress:
        """Return the number of items by state."""

        def step(connection: sa.Connection) -> Progress:
            count = sa.func.count()
            completed = sa.select(sa.literal("completed"), count).where(
                results.c.status == "completed"
            )
            # One statement, because others commit between two.
            both = (
                sa.select(items.c.state, count)
                .group_by(items.c.state)
                .union_all(completed)
            )
            by_state = {row[0]: int(row[1]) for row in connection.execute(both)}
            done = by_state["completed"]
            return Progress(
                queued=by_state.get("free", 0),
                running=by_state.get("intended", 0) + by_state.get("accepted", 0),
                completed=done,
                failed=by_state.get("finished", 0) - done,
                cancelled=by_state.get("cancelled", 0),
                unknown=by_state.get("unknown", 0),
            )

        return await self._do(step)

    async def find(self, keys: Iterable[str]) -> dict[str, QueuedItem]:
        """Return the items that the queue has of these keys, by key.

        Args:
            keys: Any number of keys.

        Raises:
            QueueError: The database cannot be used.
        """
        found: dict[str, QueuedItem] = {}
        for chunk in chunks([*keys]):
            found |= await self._do(functools.partial(_find, chunk))
        return found

    async def cursor(self) -> int:
        """Return the cursor of the last result; `results` after it yields new ones."""
        last = sa.select(sa.func.coalesce(sa.func.max(results.c.number), 0))
        return await self._do(lambda found: int(found.execute(last).scalar_one()))

    async def results(
        self, after: int = 0, *, follow: bool = False
    ) -> AsyncIterator[Done]:
        """Yield the items that have ended, in the order in which that was recorded.

        Store the `Done.cursor` of a result together with what you made of it, and
        continue after that cursor. So each result is delivered at least once.

        Args:
            after: The cursor of the last one that was seen.
            follow: Whether to wait for more results, for ever.

        Raises:
            QueueError: The database cannot be used.
        """
        while True:
            found = await self._read(results.c.number > after)
            for done in found:
                yield done
                after = done.cursor
            if len(found) < BATCH:
                if not follow:
                    return
                await asyncio.sleep(FOLLOW_INTERVAL)

    async def failed(self, after: int = 0) -> list[Done]:
        """Return the items that have ended with an error, at most 200.

        That includes completed workflows in which an action failed.

        Args:
            after: The cursor of the last one that was seen.
        """
        return await self._read(results.c.number > after, results.c.error.is_not(None))

    async def _read(self, *conditions: sa.ColumnElement[bool]) -> list[Done]:
        def step(connection: sa.Connection) -> list[Done]:
            return [
                done_from(row) for row in connection.execute(read_done(*conditions))
            ]

        return await self._do(step)

    async def unknown(self) -> list[UnknownStart]:
        """Return the unknown starts, which the API may have accepted.

        The account's history in the platform shows whether the workflow runs. Their
        lanes continue meanwhile.

        Webhook events provide candidates: workflows that belong to no item and were
        created on the account during the start. The account must be known from an
        earlier event of a workflow of its lane.
        """
        self._opened()
        waiting = await self._starts.waiting()
        created = await self._do(created_meanwhile)
        return [
            UnknownStart(
                key=row.key,
                account=row.account,
                candidates=tuple(
                    dict.fromkeys([*(row.candidates or ()), *created.get(row.key, ())])
                ),
                definition=row.definition,
            )
            for row in waiting
        ]

    async def adopt(self, key: str, workflow_id: str) -> None:
        """Decide that an unknown start was accepted: a worker waits for its end.

        Args:
            key: The item's.
            workflow_id: The id that the platform shows for it.

        Raises:
            QueueError: The start is not unknown.
            ValueError: It is not an id, or another item has it.
        """
        self._opened()
        await self._starts.adopt(key, workflow_id)
        await self._wake(key)

    async def discard(self, key: str) -> None:
        """Decide that an unknown start was not accepted: it is sent again.

        If it must not be sent again, call `cancel` instead.

        Args:
            key: The item's.

        Raises:
            QueueError: The start is not unknown.
        """
        self._opened()
        await self._starts.discard(key)
        await self._wake(key)

    async def retry(self, key: str, *, again: bool = False) -> None:
        """Run a failed or cancelled item again; its result is removed.

        It comes before the waiting items of its lane.

        Args:
            key: The item's.
            again: Whether to run it even if it may have changed something on LinkedIn,
                such as by a message that was sent before another action failed.

        Raises:
            QueueError: It has not failed, or may have changed something.
        """
        self._opened()
        await self._starts.retry(key, again=again)
        await self._wake(key)

    async def _wake(self, key: str) -> None:
        def account_of(connection: sa.Connection) -> str:
            found = sa.select(items.c.account).where(items.c.key == key)
            account: str = connection.execute(found).scalar_one()
            return account

        account = await self._database.do(account_of)
        if await guarded(self._database, self._opened().wake(key, account)):
            await self._starts.woken(key)

    async def cancel(self, key: str) -> Literal["cancelled", "requested", "finished"]:
        """Cancel an item.

        Args:
            key: The item's.

        Returns:
            ``cancelled``: it will not be sent, or not again if its start was unknown.
                ``requested``: it runs, and its worker cancels it within seconds, if the
                API can. ``finished``: it has ended.

        Raises:
            QueueError: The queue does not have it.
        """
        client = self._opened()
        found = await self._starts.cancel(key)
        if found == "cancelled":
            await guarded(
                self._database, self._database.call(lambda: client.cancel(key))
            )
            return "cancelled"
        return "finished" if found == "finished" else "requested"

    def webhook(
        self, secret: str, *more: str
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        """Return a handler for aiohttp applications that receives webhook events.

        ::

            app.router.add_post("/hook", queue.webhook(SECRET))

        Use it in a web application on any host, which keeps the queue open while it
        runs. Workers read the events from the database, and rarely poll the workflows
        that have events.

        The handler makes the default checks of `WebhookReceiver`. It answers 204 when
        an event is stored, also if it was stored before, and 503 if it cannot be
        stored, so that the API delivers it again.

        https://linkedapi.io/docs/webhooks

        Args:
            secret: The secret of the webhook.
            more: The old one, while it is rotated.

        Raises:
            ValueError: A secret cannot be right.
        """
        given = Secret((secret, *more))
        del secret, more  # so that no frame shows them
        return EventHandler(self._events, given).handle

    async def receive_event(
        self, headers: AnyHeaders, body: Body, *, secrets: str | Iterable[str]
    ) -> Event | None:
        """Check a delivery and store its event; for any web framework.

        ::

            try:
                await queue.receive_event(headers, body, secrets=SECRET)
            except WebhookError as error:
                return error.status  # without its message
            return 204

        Args:
            headers: The headers of the request.
            body: Its body, byte for byte as received, at most 1 MiB.
            secrets: The secret of the webhook; while it is rotated, the old one too.

        Returns:
            The event, or None if it was stored before. Of an event of another kind than
            workflow or account, only the id is stored.

        Raises:
            WebhookError: The delivery is refused, or could not be stored; answer with the
                error's ``status``.
            ValueError: There is no secret, or one that cannot be right.
            TypeError: *body* is not bytes, or *headers* are not headers.
        """
        self._opened()
        given = Secret((secrets,) if isinstance(secrets, str) else tuple(secrets))
        del secrets  # so that no frame shows them
        return await self._events.receive(DeliveryChecker(given), headers, body)

    async def forget(self, older_than: float | dt.timedelta) -> int:
        """Remove items that have ended, and their results; their keys are free again.

        Webhook events of that age are removed too, and counts of the workers' pace that
        are too old for any month.

        Args:
            older_than: How long ago they must have ended, in seconds or as a timedelta.

        Returns:
            How many were removed.
        """
        client = self._opened()
        seconds = (
            older_than.total_seconds()
            if isinstance(older_than, dt.timedelta)
            else older_than
        )
        forgotten = 0
        while keys := await self._do(functools.partial(_old_keys, seconds)):
            # These come first, so that after an error the next call removes them.
            await guarded(
                self._database,
                self._database.call(functools.partial(client.remove, keys)),
            )
            await self._do(functools.partial(_remove, keys))
            forgotten += len(keys)
        await guarded(self._database, forget_bookings(self._database, seconds))
        await self._do(lambda found: remove_events(found, seconds))
        return forgotten

    async def _do(self, step: Callable[[sa.Connection], T]) -> T:
        self._opened()
        return await self._database.do(step)

    @safe_repr
    def __repr__(self) -> str:
        state = "closed" if self._client is None else "open"
        return f"<Queue {self._database.url.get_backend_name()}, {state}>"


async def opened(database: Database) -> DbosClient:
    """Create the tables of a queue if they are missing; return the client of DBOS.

    Raises:
        QueueError: The database cannot be reached, or belongs to another application.
    """
    try:
        await database.open(functools.partial(check, database))
        await guarded(database, database.call(lambda: migrate(database)))
    except BaseException:
        await database.close()
        raise
    return DbosClient(database)


async def guarded(database: Database, work: Awaitable[T]) -> T:
    """Return the result of *work*; raise errors of DBOS as `QueueError`."""
    with dbos_errors(database):
        return await work


@contextlib.contextmanager
def dbos_errors(database: Database) -> Iterator[None]:
    """Raise errors of DBOS as `QueueError`."""
    try:
        yield
    except dbos_error.DBOSException as error:
        message = f"the queue, {database.where}, cannot be used: {error}"
        raise QueueError(message) from error
    except sa_exc.SQLAlchemyError as error:
        raise database.failed(error) from error


async def _aiter(plan: Iterable[T] | AsyncIterable[T]) -> AsyncIterator[T]:
    if isinstance(plan, AsyncIterable):
        async for each in plan:
            yield each
    else:
        for each in plan:
            yield each


def _item(account: str, workflow: Any, key: str) -> dict[str, Any]:
    """Return an item to be submitted, after all checks."""
    for name, value in (("account", account), ("key", key)):
        if not is_name(value):
            raise ValueError(
                f"{name} must be a text of 1 to {MAX_NAME} characters, none of them NUL "
                f"or half of an emoji, got {value!r}"
            )
    if not all(isinstance(root, Action) for root in roots_of(workflow)):
        workflow = load_workflow(workflow)
    definition = encode_json(dump_workflow(workflow)).decode()
    return {"key": key, "account": account, "definition": definition, "state": "free"}


def is_name(value: Any) -> bool:
    """Return whether *value* can be a key, or the name of an account."""
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_NAME:
        return False
    return "\0" not in value and is_encodable(value)  # what both databases can store


def _submit(
    connection: sa.Connection, client: DbosClient, batch: list[dict[str, Any]]
) -> int:
    """Add the new items of *batch* to the queue; return how many."""
    # Two programs that submit the same items must not wait for each other.
    ordered = sorted(batch, key=lambda item: item["key"])
    added = set(
        connection.scalars(
            insert(connection, items).on_conflict_do_nothing().returning(items.c.key),
            ordered,
        )
    )
    _check_same(connection, batch)
    new: dict[str, dict[str, Any]] = {}
    for item in batch:
        if item["key"] in added:
            new.setdefault(item["key"], item)
    if new:
        positions = _positions(connection, [item["account"] for item in new.values()])
        client.enqueue(
            connection,
            [
                LanePosition(
                    item["key"], item["account"], next(positions[item["account"]])
                )
                for item in new.values()
            ],
        )
    return len(new)


def _check_same(connection: sa.Connection, batch: list[dict[str, Any]]) -> None:
    """Raise an error if the queue has a key with another workflow or account."""
    found = sa.select(items.c.key, items.c.account, items.c.definition).where(
        items.c.key.in_([item["key"] for item in batch])
    )
    known = {row.key: row for row in connection.execute(found)}
    for item in batch:
        row = known[item["key"]]
        if row.account != item["account"]:
            raise QueueError(
                f"the key {row.key!r} already belongs to an item of account "
                f"{row.account!r}; use another key"
            )
        if row.definition != item["definition"] and (
            decode_json(row.definition.encode())
            != decode_json(item["definition"].encode())
        ):
            raise QueueError(
                f"the key {row.key!r} already names another workflow; use another key, "
                "or forget() the ended item"
            )


def _positions(
    connection: sa.Connection, accounts: list[str]
) -> dict[str, Iterator[int]]:
    """Return the next position in the lane of each of *accounts*, which may repeat."""
    counts: dict[str, int] = {}
    for account in sorted(accounts):
        counts[account] = counts.get(account, 0) + 1
    adding = insert(connection, lanes)
    last = connection.execute(
        adding.on_conflict_do_update(
            index_elements=["account"],
            set_={"last": lanes.c.last + adding.excluded.last},
        ).returning(lanes.c.account, lanes.c.last),
        [{"account": account, "last": count} for account, count in counts.items()],
    )
    return {
        row.account: iter(range(row.last - counts[row.account] + 1, row.last + 1))
        for row in last
    }


def read_done(*conditions: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """Return the query for ends, with the definitions of their items."""
    joined = results.join(items, items.c.key == results.c.key)
    return (
        sa.select(results, items.c.definition)
        .select_from(joined)
        .where(*conditions)
        .order_by(results.c.number)
        .limit(BATCH)
    )


def _find(keys: list[str], connection: sa.Connection) -> dict[str, QueuedItem]:
    joined = items.outerjoin(results, results.c.key == items.c.key)
    item = [column.label(f"item_{column.name}") for column in items.c]
    query = sa.select(*item, *results.c, items.c.definition).select_from(joined)
    rows = connection.execute(query.where(items.c.key.in_(keys)))
    return {
        row.item_key: QueuedItem(
            key=row.item_key,
            account=row.item_account,
            state=_STATES[row.item_state],
            done=None if row.number is None else done_from(row),
            definition=row.definition,
        )
        for row in rows
    }


def _old_keys(seconds: float, connection: sa.Connection) -> list[str]:
    old = results.c.ended_at < now(connection) - seconds
    return list(connection.scalars(sa.select(results.c.key).where(old).limit(BATCH)))


def _remove(keys: list[str], connection: sa.Connection) -> None:
    # An item that was freed meanwhile runs again.
    ended = items.c.key.in_(keys) & items.c.state.in_(ENDED)
    gone = connection.scalars(sa.delete(items).where(ended).returning(items.c.key))
    connection.execute(sa.delete(results).where(results.c.key.in_(list(gone))))
