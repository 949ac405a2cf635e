"""The session of the user: its settings, its accounts, its life cycle."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl as ssl_module
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self, TypedDict, TypeVar, Unpack, cast

import aiohttp
import attrs

from linkedapi_async._http.connection import (
    MAX_RESPONSE_BYTES,
    ApiConnection,
    api_requests,
    check_positive,
    check_type,
    read_environment,
)
from linkedapi_async._http.requests import DEFAULT_CLIENT, DEFAULT_URL, validate_token
from linkedapi_async._polling.durations import Estimate
from linkedapi_async._polling.scheduler import LaneState
from linkedapi_async._types import Generation
from linkedapi_async._utils.log import error_reason, log_extra
from linkedapi_async._utils.secret import Secret
from linkedapi_async._utils.text import safe_repr
from linkedapi_async.errors import LinkedApiError
from linkedapi_async.policies import Pace, Polling, Retries
from linkedapi_async.session._account import Account, default_name
from linkedapi_async.session._durations import Durations, as_roots, duration_kind
from linkedapi_async.session._handle import ManagedHandle, WorkflowHandle
from linkedapi_async.session._methods import NamedAccount, WorkflowMethods
from linkedapi_async.session._runner import Runner, drain
from linkedapi_async.session._runtime import Runtime
from linkedapi_async.session.shared import SharedState


if TYPE_CHECKING:
    from linkedapi_async.contacts import Contacts
    from linkedapi_async.journal import Journal, Row
    from linkedapi_async.session._contacts import ContactKeeper
    from linkedapi_async.session._dispatch import EventDispatcher
    from linkedapi_async.session._events import SessionEvent
    from linkedapi_async.session._pacer import Pacer
    from linkedapi_async.session._webhooks import WebhookSubscription
    from linkedapi_async.webhooks import WebhookReceiver


_log = logging.getLogger("linkedapi_async")

EventT = TypeVar("EventT", bound="SessionEvent")


@attrs.frozen(kw_only=True)
class Stats:
    """A snapshot of a session's counters."""

    started: int
    """Workflows that the server accepted."""
    in_flight: int
    """Workflows that have not ended, attached ones included."""
    completed: int
    """Workflows that ended with a completion, even if actions of it failed."""
    failed: int
    """Workflows that ended in any other way."""
    pending_reasons: Mapping[str, int]
    """How many workflows are pending, by the reason as the API spells it."""
    polls: int
    """Polls that were answered or failed."""
    retries: int
    """Requests that were sent again because they failed."""
    out_of_order: int
    """How often a workflow ran or finished out of the order of its lane."""
    detection_delay_p50: float | None
    """Median detection delay of the last 4096 ends, in seconds.

    It is an upper bound, because it counts from the last time at which the workflow was
    certainly unfinished. None before the first end.
    """
    detection_delay_p99: float | None
    """The 99th percentile of the detection delay, in seconds."""

    @property
    def polls_per_workflow(self) -> float:
        """Polls for each workflow that has ended."""
        return self.polls / max(1, self.completed + self.failed)


@attrs.frozen(kw_only=True)
class Recovered:
    """What earlier runs have left unfinished, as `Session.recover` returns it."""

    handles: tuple[WorkflowHandle[Any], ...]
    """Workflows that have not ended or were not delivered, in order of their starts."""
    unknown: tuple[Row, ...]
    """Starts with an unknown outcome; decide with `Journal.adopt` or `discard`."""
    other_accounts: tuple[Row, ...]
    """Rows of accounts that this session does not have."""


class SessionSettings(TypedDict, total=False):
    """The arguments of `Session`, for `Session.from_env`."""

    linked_api_token: str | None
    account_api_token: str | None
    identification_token: str | None
    base_url: str
    client: str
    polling: Polling | None
    retries: Retries | None
    http: aiohttp.ClientSession | None
    trust_env: bool
    ssl: ssl_module.SSLContext | bool
    proxy: str | None
    request_timeout: float
    max_response_bytes: int
    connections: int
    rate: float | None
    journal: str | os.PathLike[str] | Journal | None
    contacts: Contacts | None
    cancel_on_exit: bool
    sole_client: bool
    account_id: str | None
    pace: Pace | None
    shared: SharedState | None
    allow_insecure_http: bool


class Session(WorkflowMethods):
    """Runs workflows on the accounts of one main token.

    An async context manager, bound to the event loop that enters it::

        async with Session(linked_api_token="…", identification_token="…") as session:
            company = await session.run(workflow)

    Pass exactly one of *linked_api_token* and *account_api_token*; it decides which
    generation of the API is used. The methods `run`, `start`, `attach`, `status`,
    `cancel` and `as_completed` work on the default account; `account` returns others.

    Args:
        linked_api_token: The main token of the current API.
        account_api_token: The main token of the older Account API.
        identification_token: The default LinkedIn account.
        base_url: The address of the API; https, or http on loopback.
        client: The name of your program in the header ``client``, at most 100
            characters; by default that of this library and its version.
        polling: When workflows are polled.
        retries: When a failed request is retried.
        http: An `aiohttp.ClientSession` of your own; it is never closed here. Starts
            then use its connections instead of new ones: if the server has just closed
            such a connection, `StartUnknownError` may be raised although nothing was
            accepted. ``TCPConnector(force_close=True)`` prevents that.
        trust_env: Whether proxies come from the environment.
        ssl: As aiohttp takes it; False switches the check of certificates off.
        proxy: The URL of a proxy.
        request_timeout: The longest time for one request, in seconds. Leaving the
            session takes at most a second longer.
        max_response_bytes: The largest answer that is read, in bytes.
        connections: The maximum number of open connections, and so of requests in
            progress.
        rate: How many polls are sent at most per second; None sets no limit.
        journal: Where starts and ends are recorded: the path of a SQLite file, or a
            `linkedapi_async.journal.Journal`; `recover` continues what it contains.
        contacts: The record of who was written to, across campaigns, accounts and
            processes. A start that would write to a person again raises a
            `SuppressedError`.
        cancel_on_exit: Whether leaving the session cancels unfinished workflows in the
            API.
        sole_client: Whether only this session starts workflows on these accounts. Then,
            if the answer to a start is lost and webhook events report exactly one
            workflow that belongs to no other start, the session takes it as that of the
            lost start; see `listen`.
        account_id: The API's id of the default account, for webhook events.
        pace: How much each account may do, and when. It is counted for each account
            separately: in the journal, so that later runs keep it too, or otherwise in
            memory.
        shared: The state that it shares with the sessions of other processes. The
            workers of a fleet set it. It cannot be combined with a *journal*.
        allow_insecure_http: Whether *base_url* may be plain http off loopback.

    Raises:
        TypeError: A setting has the wrong type.
        ValueError: Both main tokens or none were passed, or a value is not allowed.
    """

    def __init__(
        self,
        *,
        linked_api_token: str | None = None,
        account_api_token: str | None = None,
        identification_token: str | None = None,
        base_url: str = DEFAULT_URL,
        client: str = DEFAULT_CLIENT,
        polling: Polling | None = None,
        retries: Retries | None = None,
        http: aiohttp.ClientSession | None = None,
        trust_env: bool = False,
        ssl: ssl_module.SSLContext | bool = True,
        proxy: str | None = None,
        request_timeout: float = 60.0,
        max_response_bytes: int = MAX_RESPONSE_BYTES,
        connections: int = 50,
        rate: float | None = None,
        journal: str | os.PathLike[str] | Journal | None = None,
        contacts: Contacts | None = None,
        cancel_on_exit: bool = False,
        sole_client: bool = False,
        account_id: str | None = None,
        pace: Pace | None = None,
        shared: SharedState | None = None,
        allow_insecure_http: bool = False,
    ) -> None:
        main = Secret.optional(linked_api_token)
        older = Secret.optional(account_api_token)
        identity = Secret.optional(identification_token)
        way = Secret.optional(proxy)
        # So that no frame shows them.
        del linked_api_token, account_api_token, identification_token, proxy
        check_type("polling", polling, Polling, None)
        check_type("cancel_on_exit", cancel_on_exit, bool)
        check_type("sole_client", sole_client, bool)
        check_type("account_id", account_id, str, None)
        check_type("pace", pace, Pace, None)
        check_type("shared", shared, SharedState, None)
        if shared is not None and journal is not None:
            raise ValueError(
                "pass journal= or shared=, not both: a journal belongs to one process"
            )
        if rate is not None:
            check_positive("rate", rate)
        if identity is not None:
            validate_token("identification_token", identity)
        opened = None if journal is None else _opened(journal)
        self._runtime = Runtime(
            connection=ApiConnection(
                "Session",
                api_requests(
                    linked_api_token=main,
                    account_api_token=older,
                    base_url=base_url,
                    client=client,
                    allow_insecure_http=allow_insecure_http,
                ),
                retries=retries,
                http=http,
                trust_env=trust_env,
                ssl=ssl,
                proxy=way,
                request_timeout=request_timeout,
                max_response_bytes=max_response_bytes,
                connections=connections,
            ),
            polling=polling or Polling(),
            rate=rate,
            request_timeout=request_timeout,
            journal=opened,
            sole_client=sole_client,
            contacts=(None if contacts is None else _keeper(contacts, opened, shared)),
            shared=shared,
        )
        self._cancel_on_exit = cancel_on_exit
        self._account_id = account_id
        self._pace = pace
        self._warned_of_memory = False
        self._identity = identity
        self._accounts: dict[Secret[str], Account] = {}
        self._runners: dict[str, Runner] = {}
        self._subscriptions: list[WebhookSubscription] = []
        self._dispatcher: EventDispatcher | None = None

    @property
    def generation(self) -> Generation:
        """The generation of the API that the session uses."""
        return self._runtime.requests.generation

    @property
    def base_url(self) -> str:
        """The address of the API."""
        return self._runtime.requests.base_url

    @property
    def polling(self) -> Polling:
        """When workflows are polled."""
        return self._runtime.polling

    @property
    def retries(self) -> Retries:
        """When a request that failed is sent again."""
        return self._runtime.connection.retries

    @property
    def pace(self) -> Pace | None:
        """How much an account may do, and when, unless it has a pace of its own."""
        return self._pace

    @property
    def sole_client(self) -> bool:
        """Whether only this session starts workflows on its accounts."""
        return self._runtime.sole_client

    @classmethod
    def from_env(cls, **settings: Unpack[SessionSettings]) -> Self:
        """Return a session with its tokens from the environment.

        It reads ``LINKED_API_TOKEN`` or ``ACCOUNT_API_TOKEN``, ``IDENTIFICATION_TOKEN``,
        ``LINKED_API_BASE_URL`` and ``LINKED_API_POLL_INTERVAL``. The last is a number of
        seconds for `Polling.fixed`, for a sandbox that is faster than the API. Empty
        variables count as absent.

        Args:
            settings: Everything else, as for `Session`; these take precedence.

        Raises:
            ValueError: A variable is missing or has a wrong value; the message names it.
        """
        found = environment_settings(Secret(os.environ))
        given = Secret({**found.reveal(), **settings})
        cast("dict[str, Any]", settings).clear()  # so that no frame shows a token
        return cls(**given.reveal())

    async def open(self) -> Self:
        """Open it and return it; the same as entering it.

        Use it where ``async with`` is not possible: in the cells of a notebook, or in a
        framework that calls one function when it starts and another when it stops. The
        latter calls `aclose`.

        Raises:
            RuntimeError: It was opened before.
            JournalError: The journal cannot be opened.
        """
        await self._runtime.open()
        return self

    async def aclose(self) -> None:
        """Close it; the same as leaving it. Closing it again does nothing."""
        if self._runtime.state != "closed":
            await self.__aexit__()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        self._runtime.check_open()
        # This comes first, so that no event reaches a session that is closing.
        for subscription in self._subscriptions:
            subscription.close()
        await self._runtime.close(self._cancel_all)

    async def _cancel_all(self) -> None:
        """Cancel the unfinished workflows, if the session is set to do that."""

        async def cancel(runner: Runner, workflow_id: str) -> None:
            try:
                await runner.cancel(workflow_id)
            except LinkedApiError as error:
                _log.warning(
                    "Could not cancel %s: %s",
                    workflow_id,
                    error,
                    extra=log_extra(
                        account=runner.name,
                        workflow_id=workflow_id,
                        reason=error_reason(error),
                    ),
                )

        if self._cancel_on_exit:
            await asyncio.gather(
                *(cancel(r, i) for r in self._runners.values() for i in r.handles)
            )

    def account(
        self,
        identification_token: str,
        name: str | None = None,
        *,
        account_id: str | None = None,
        pace: Pace | None = None,
    ) -> Account:
        """Return another LinkedIn account on the same connections.

        Args:
            identification_token: The account's token; the same token gives the same
                object.
            name: What the account is called in logs, stats and errors; by default 12
                hex digits of the token's SHA-256.
            account_id: The API's id of it, by which webhook events are matched.
            pace: How much it may do, and when; by default the session's pace.

        Raises:
            ValueError: The token is malformed, the name is not free, or the account has
                another pace already.
        """
        check_type("pace", pace, Pace, None)
        token = Secret(identification_token)
        del identification_token  # so that no frame shows it
        validate_token("identification_token", token)
        return self._account(token, name, account_id, pace)

    def _account(
        self,
        token: Secret[str],
        name: str | None = None,
        account_id: str | None = None,
        pace: Pace | None = None,
    ) -> Account:
        if token == self._identity:
            account_id = account_id or self._account_id
        known = self._accounts.get(token)
        if known is not None:
            if name not in {None, known.name}:
                raise ValueError(f"the account is called {known.name!r} already")
            if pace is not None and pace != known.pace:
                raise ValueError(
                    f"the account {known.name!r} has another pace already; pass pace= "
                    "when you name the account for the first time"
                )
            known.account_id = account_id or known.account_id
            return known
        name = name or default_name(token.reveal())
        if name in self._runners:
            raise ValueError(
                f"another account is called {name!r} already; pass another name="
            )
        pacer = self._pacer(name, pace or self._pace)
        runner = Runner(
            self._runtime, token, name, account_id, pacer, runners=self._runners
        )
        account = self._accounts[token] = Account(runner)
        return account

    def forget_account(self, account: Account) -> None:
        """Forget an account, so that one session may use thousands one after another.

        Its token is forgotten too. `account` names it again, at any time.

        Args:
            account: An account from `account`; it cannot be used afterwards.

        Raises:
            ValueError: It is the default account, or belongs to another session.
            RuntimeError: It has unfinished workflows, starts in progress or a stream, or
                its pace is counted in memory.
        """
        runner = self._runner_of(account)
        if runner.token == self._identity:
            raise ValueError("the default account belongs to the session and stays")
        runtime = self._runtime
        is_counted = runtime.journal is not None or runtime.shared is not None
        if runner.pacer is not None and not is_counted:
            raise RuntimeError(
                f"the pace of account {account.name!r} is counted in memory, so it cannot "
                "be forgotten; Session(journal=…) keeps it"
            )
        runner.retire()
        del self._runners[account.name]
        del self._accounts[runner.token]

    def _pacer(self, name: str, pace: Pace | None) -> Pacer | None:
        if pace is None:
            return None
        runtime = self._runtime
        is_kept = runtime.journal is not None or runtime.shared is not None
        if not (is_kept or self._warned_of_memory):
            self._warned_of_memory = True
            _log.warning(
                "The pace of account %s is counted in memory: another run begins at 0; "
                "Session(journal=…) keeps it",
                name,
                extra=log_extra(account=name),
            )
        # Most sessions have no pace.
        from linkedapi_async.session._pacer import Pacer  # noqa: PLC0415

        return Pacer(self._runtime, name, pace)

    @property
    def default_account(self) -> Account:
        """The account of *identification_token*.

        Raises:
            ValueError: The session has none.
        """
        if self._identity is None:
            raise ValueError(
                "the session has no default account: pass identification_token= to "
                "Session, or use session.account(…)"
            )
        return self._account(self._identity)

    @property
    def accounts(self) -> tuple[Account, ...]:
        """The default account, if there is one, and all accounts from `account`."""
        self._add_default_account()
        return tuple(self._accounts.values())

    def _add_default_account(self) -> None:
        if self._identity is not None:
            self._account(self._identity)

    def _all_runners(self) -> Iterable[Runner]:
        # Rows may belong to the default account before it was first used.
        self._add_default_account()
        return self._runners.values()

    def _runner(self) -> Runner:
        return self._runners[self.default_account.name]

    def _runner_of(self, account: NamedAccount) -> Runner:
        runner = self._runners.get(account.name)
        if runner is None or self._accounts.get(runner.token) is not account:
            raise ValueError(f"accounts must be of this session, got {account!r}")
        return runner

    def listen(self, receiver: WebhookReceiver) -> WebhookSubscription:
        """End waits by webhook events or by polls, whichever comes first.

        While events arrive reliably, workflows are rarely polled; when events are lost,
        they are polled as often as without webhooks. An event may be lost, late,
        repeated or out of order: that changes only the number of requests. Fat payloads
        contain the results; with thin ones, each result costs one request.

        An event that an account is frozen, deleted or must be reconnected pauses it,
        and an event that it is active unpauses it; its ``account_id`` must be known for
        that. If an event reports a workflow that belongs to no known start, the
        workflow becomes a candidate of an unknown start, in the `journal` and on
        `StartUnknownError`.

        https://linkedapi.io/docs/webhooks

        Args:
            receiver: Receives the events of the client to which the main token belongs.

        Returns:
            The subscription. Closing it ends it, and so does leaving the session.
        """
        # Most sessions use no webhooks.
        from linkedapi_async.session._webhooks import WebhookSubscription  # noqa: PLC0415

        self._runtime.check_open()
        self._add_default_account()  # events may concern it before it was first used
        subscription = WebhookSubscription(self._runtime, self._runners, receiver)
        self._subscriptions.append(subscription)
        return subscription

    def on(
        self, event: type[EventT], callback: Callable[[EventT], object]
    ) -> Callable[[], None]:
        """Call *callback* with each event of this session from now on.

        ::

            from linkedapi_async.events import WorkflowFinished

            session.on(WorkflowFinished, lambda event: print(event.reason, event.polls))

        An error that it raises is logged and has no other effect. It is called in the
        thread of the event loop and blocks it. An event without a subscription costs
        nothing.

        Args:
            event: A class of `linkedapi_async.events`; a base class means
                all of its events, `linkedapi_async.events.SessionEvent` for every event.
            callback: A plain function that does not take long.

        Returns:
            A function that ends the subscription; it may be called twice.

        Raises:
            TypeError: *event* is no such class, or *callback* is a coroutine function.
        """
        # Most sessions have no subscription, and need no classes of events.
        from linkedapi_async.session._dispatch import EventDispatcher  # noqa: PLC0415

        if self._dispatcher is None:
            self._dispatcher = EventDispatcher(self._runtime.observer)
        return self._dispatcher.subscribe(event, callback)

    @property
    def journal(self) -> Journal | None:
        """The journal, if the session keeps one."""
        return self._runtime.journal

    async def recover(self) -> Recovered:
        """Continue what earlier runs with the same journal have left unfinished.

        Name the accounts with `account` first, because rows refer to them by name.

        Returns:
            Typed handles of the workflows that have not ended or were not delivered;
            the starts that wait for a decision; the rows of accounts that this session
            does not have.

        Raises:
            ValueError: The session keeps no journal.
            JournalError: The journal cannot be read.
        """
        self._runtime.check_open()
        journal = self._runtime.journal
        if journal is None:
            raise ValueError("recover() needs Session(journal=…)")
        runners = {runner.name: runner for runner in self._all_runners()}
        rows = await journal.rows("accepted", "finished", "unknown")
        own = [row for row in rows if row.account in runners]
        return Recovered(
            handles=tuple(
                runners[row.account].from_journal(journal, row)
                for row in own
                if row.state != "unknown"
            ),
            unknown=tuple(row for row in own if row.state == "unknown"),
            other_accounts=tuple(row for row in rows if row.account not in runners),
        )

    @property
    def handles(self) -> tuple[WorkflowHandle[Any], ...]:
        """All unfinished handles of all accounts."""
        return self._unfinished()

    def _unfinished(self) -> tuple[ManagedHandle, ...]:
        return tuple(h for r in self._runners.values() for h in r.handles.values())

    async def drain(
        self, timeout: float | None = None
    ) -> tuple[WorkflowHandle[Any], ...]:
        """Wait until all unfinished workflows of all accounts have ended.

        Args:
            timeout: How long to wait, in seconds; None waits for ever.

        Returns:
            The handles that have not ended when the time is up.
        """
        return await drain(self._unfinished, timeout)

    async def quiesce(self) -> tuple[WorkflowHandle[Any], ...]:
        """Start nothing more, and wait until the starts in progress are answered.

        Use it in a process that is about to end while another one takes over its
        workflows: leave the session afterwards, and attach the ids of the handles in
        the other process. Starts that wait for their account, their pace or the host
        end with `SessionClosedError`, as do further starts; they were not sent.
        Unfinished workflows are still polled, and may be cancelled.

        Returns:
            All unfinished handles of all accounts.
        """
        self._runtime.check_open()
        await self._runtime.quiesce()
        return self._unfinished()

    @property
    def stats(self) -> Stats:
        """The counters as they are now."""
        poller, counters = self._runtime.poller, self._runtime.counters
        delays = sorted(poller.detection_delays)
        return Stats(
            started=counters.started,
            in_flight=len(self._unfinished()),
            completed=counters.completed,
            failed=counters.failed,
            pending_reasons=Counter(
                handle.pending_reason
                for handle in self._unfinished()
                if handle.pending_reason is not None
            ),
            polls=poller.polls,
            retries=self._runtime.retried,
            out_of_order=poller.out_of_order,
            detection_delay_p50=delays[len(delays) // 2] if delays else None,
            detection_delay_p99=delays[len(delays) * 99 // 100] if delays else None,
        )

    def eta(self, *workflow: Any, times: int = 1) -> Estimate | None:
        """Return in how many seconds all unfinished workflows will have ended.

        Args:
            workflow: A further workflow, as for `start`, that you are about to start.
            times: How often you start it; the accounts of the session share these
                evenly.

        Returns:
            The median in seconds from now, and an interval for eight cases in ten; 0 if
            nothing is unfinished. None if too little is known, as for
            `WorkflowHandle.eta`.

        Raises:
            ValueError: *times* is less than 1.
        """
        if times < 1:
            raise ValueError(f"times must be at least 1, got {times!r}")
        self._runtime.check_open()
        idle = sum(not runner.handles for runner in self._all_runners())
        kind = duration_kind(as_roots(workflow)) if workflow else None
        times = times if workflow else 0
        return self._runtime.poller.eta_of_all(kind, times, idle)

    @property
    def durations(self) -> Durations:
        """What the session has learnt about how long workflows take, on all accounts."""
        return Durations(self._runtime.poller.durations)

    def counts_by_state(self) -> dict[LaneState, int]:
        """Return the number of workflows by state; callable from any thread."""
        is_open = self._runtime.state == "open"
        return self._runtime.poller.counts_by_state() if is_open else {}

    @safe_repr
    def __repr__(self) -> str:
        where = f"{self.generation} at {self.base_url}"
        return (
            f"<Session {where}, {len(self._accounts)} accounts, {self._runtime.state}>"
        )


def _opened(journal: str | os.PathLike[str] | Journal) -> Journal:
    # Most sessions keep none.
    from linkedapi_async.journal import Journal, open_journal  # noqa: PLC0415

    check_type("journal", journal, str, os.PathLike, Journal)
    return open_journal(journal)


def _keeper(
    contacts: Contacts, journal: Journal | None, shared: SharedState | None
) -> ContactKeeper:
    # Most sessions keep none.
    from linkedapi_async.contacts import Contacts  # noqa: PLC0415
    from linkedapi_async.session._contacts import ContactKeeper  # noqa: PLC0415

    check_type("contacts", contacts, Contacts)
    identity = None if shared is None else shared.identity
    return ContactKeeper(contacts, journal, identity)


ENVIRONMENT = {
    "LINKED_API_TOKEN": "linked_api_token",
    "ACCOUNT_API_TOKEN": "account_api_token",
    "IDENTIFICATION_TOKEN": "identification_token",
    "LINKED_API_BASE_URL": "base_url",
}


POLL_INTERVAL = "LINKED_API_POLL_INTERVAL"


def environment_settings(
    variables: Secret[Mapping[str, str]],
) -> Secret[dict[str, Any]]:
    """Return the arguments of `Session` that environment *variables* set."""
    mains = ("LINKED_API_TOKEN", "ACCOUNT_API_TOKEN")
    found = [name for name in mains if variables.reveal().get(name)]
    if len(found) != 1:
        which = "both are" if found else "neither is"
        message = f"set one of LINKED_API_TOKEN and ACCOUNT_API_TOKEN; {which} set"
        raise ValueError(message)
    settings = read_environment(ENVIRONMENT, variables)
    if seconds := variables.reveal().get(POLL_INTERVAL):
        settings.reveal()["polling"] = _polling(seconds)
    return settings


def _polling(seconds: str) -> Polling:
    try:
        return Polling.fixed(float(seconds))
    except ValueError:
        raise ValueError(
            f"{POLL_INTERVAL} must be a positive number of seconds, got {seconds!r}"
        ) from None
