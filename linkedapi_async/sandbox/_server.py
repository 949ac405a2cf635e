"""The sandbox: an HTTP server for both API generations.

https://linkedapi.io/docs/executing-workflows
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import hashlib
import math
import os
import socket
import statistics
import uuid
import zoneinfo
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self, TypeAlias

import attrs
from aiohttp import web
from yarl import URL

from linkedapi_async._types import Generation
from linkedapi_async._utils.secret import Secret
from linkedapi_async._utils.text import safe_repr
from linkedapi_async.policies import Polling
from linkedapi_async.sandbox._admin import (
    MAX_SEATS,
    Administration,
    AdminMixin,
    answer,
    changelog,
)
from linkedapi_async.sandbox._clock import Calendar, LoopClock
from linkedapi_async.sandbox._control import control, log_of
from linkedapi_async.sandbox._definitions import load_definition, needs_plus, read
from linkedapi_async.sandbox._faults import Fault, FaultKind, Faults, Work
from linkedapi_async.sandbox._inbox import AccountData, InboxMixin
from linkedapi_async.sandbox._lane import (
    AccountQueue,
    Endpoint,
    RecordedWorkflow,
    RequestLog,
    StateChange,
    WorkflowFailure,
)
from linkedapi_async.sandbox._limits import DEFAULTS, AccountLimits, LimitKey
from linkedapi_async.sandbox._outcomes import OutcomeSource
from linkedapi_async.sandbox._responses import (
    MESSAGES,
    ApiError,
    failure_of,
    reply,
    state_fields,
)
from linkedapi_async.sandbox._script import ScriptingMixin
from linkedapi_async.sandbox._tokens import TokenStore, account_name
from linkedapi_async.sandbox._webhook import WebhookEndpoint, WebhookMixin
from linkedapi_async.sandbox._working_hours import OpenHours, WorkingHours
from linkedapi_async.sandbox._world import World


if TYPE_CHECKING:
    from linkedapi_async.admin import Admin
    from linkedapi_async.session import Session

Duration: TypeAlias = float | Callable[[Any], float]
Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

MEDIAN_DURATION = 25.0
"""The median duration of workflows, in seconds."""
DURATION_SIGMA = 0.6
"""The standard deviation of the logarithm of the duration."""

PREFIXES: dict[Generation, str] = {"account_api": "/account", "linked_api": ""}
ID_PREFIXES: dict[Generation, str] = {"account_api": "account", "linked_api": "wf"}


@attrs.frozen
class PlannedFailure:
    """The failure of the next workflow, of one account or of any."""

    failure: WorkflowFailure
    account: str | None


def _zone(name: str) -> dt.tzinfo:
    if name == "UTC":
        # Windows has no time zones of its own.
        return dt.UTC
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        message = f"timezone must be a name such as Europe/Berlin, got {name!r}"
        raise ValueError(message) from None


class Sandbox(ScriptingMixin, AdminMixin, InboxMixin, WebhookMixin):
    """A local server that behaves like the Linked API; an async context manager.

    It serves both generations and runs the workflows of each account one after another.
    Its people, companies and results are made up: the same seed and URL give the same
    result, in whatever order the requests come.

    Args:
        speed: How many times faster than the API it works.
        seed: The seed of the made-up people and durations.
        duration: The duration of a workflow, in seconds before they are divided by
            *speed*: a number, or a function that returns it for a definition. By
            default it is log-normal with a median of 25 seconds.
        tokens: The valid main tokens; by default any.
        identification_tokens: The valid account tokens; by default any.
        plus: Whether the plan includes the ``nv.*`` actions.
        fail: Action types that fail from the start, with the API's error type each.
        limits: The limits of all accounts that are enforced, such as
            ``{("stMessages", "daily"): 50}``, or ``default`` for the documented ones. By
            default only limits that are set later are. Actions above a limit fail with
            ``limitExceeded``; the older generation has no limits.
        note_limit: The monthly maximum of connection requests with a note, for all
            accounts; actions above it fail with ``noteLimitExceeded``.
        working_hours: The hours in which accounts run workflows; by default always.
        timezone: The time zone of the accounts, in which days begin: a name such as
            ``Europe/Berlin``.
        now: The aware date and time at which its clock starts; by default the real one.
        seats: The number of seats of the subscription.
        control: Whether ``/sandbox/…`` controls it over HTTP and shows its log.
        host: The address to listen on.
        port: The port to listen on; 0 takes a free one.
    """

    def __init__(
        self,
        *,
        speed: float = 1.0,
        seed: int = 0,
        duration: Duration | None = None,
        tokens: Collection[str] | None = None,
        identification_tokens: Collection[str] | None = None,
        plus: bool = True,
        fail: Mapping[str, str] | None = None,
        limits: Mapping[LimitKey, int] | Literal["default"] | None = None,
        note_limit: int | None = None,
        working_hours: WorkingHours | None = None,
        timezone: str = "UTC",
        now: dt.datetime | None = None,
        seats: int = MAX_SEATS,
        control: bool = False,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        if not (math.isfinite(speed) and speed > 0):
            raise ValueError(f"speed must be a positive number, got {speed!r}")
        if now is not None and now.tzinfo is None:
            raise ValueError(f"now must have a time zone, got {now!r}")
        super().__init__()
        self.log: RequestLog = RequestLog()
        self.speed = speed
        self._duration = duration
        self._tokens = TokenStore(tokens, identification_tokens)
        self._plus = plus
        self._address: tuple[str, int] = (host, port)
        self._url: str | None = None
        self._reserved: socket.socket | None = None
        self._runner: web.AppRunner | None = None
        self._clock = LoopClock()
        start = now or dt.datetime.now(dt.UTC)
        self._calendar = Calendar(self._clock, speed, start, _zone(timezone))
        self._limits = AccountLimits(
            self._calendar, DEFAULTS if limits == "default" else limits, note_limit
        )
        self._hours: dict[str, WorkingHours | None] = {}
        self._default_hours = working_hours
        self._control = control
        self._world = World(seed)
        self._faults = Faults(self._world.random, self._clock)
        self._lanes: dict[str, AccountQueue] = {}
        self._by_id: dict[str, RecordedWorkflow] = {}
        self._planned_failures: list[PlannedFailure] = []
        self._signed_out: set[str] = set()
        self._outcomes = OutcomeSource(
            self._world, self._scripts, self._clock, self._calendar, self._limits
        )
        self._administration = Administration(
            tokens=self._tokens,
            signed_out=self._signed_out,
            world=self._world,
            calendar=self._calendar,
            limits=self._limits,
            count=self._count,
            seat_type="plus" if plus else "core",
            seats=seats,
        )
        self.account_data: AccountData = AccountData(
            world=self._world,
            clock=self._clock,
            calendar=self._calendar,
            tokens=self._tokens,
            log=self.log,
            outcomes=self._outcomes,
        )
        self._webhook = WebhookEndpoint(
            clock=self._clock,
            speed=speed,
            random=self._world.random,
            lanes=self._lanes,
            ended=self._outcomes.ended,
        )
        self._administration.calls.update(self._webhook.calls)
        self.account_data.on_event = self._webhook.emit
        self._administration.on_event = self._webhook.emit
        for action_type, reason in (fail or {}).items():
            self.fail_action(action_type, reason)

    async def __aenter__(self) -> Self:
        if self._runner is not None:
            raise RuntimeError("a sandbox cannot be entered twice; create another one")
        # No size limit, because large workflows are valid; no access log, because it
        # would show tokens.
        app = web.Application(client_max_size=0)
        for generation, prefix in PREFIXES.items():
            path = f"{prefix}/workflows"
            start, status = self._starter(generation), self._status(generation)
            app.router.add_post(path, self._handler("start", start))
            app.router.add_get(
                f"{path}/{{id}}", self._handler("status", status), allow_head=False
            )
            for (method, where), work in self.account_data.endpoints(
                generation
            ).items():
                app.router.add_route(
                    method, prefix + where, self._handler("account_data", work)
                )
        app.router.add_delete("/workflows/{id}", self._handler("cancel", self._cancel))
        app.router.add_post("/admin/{call}", self._handler("admin", self._administer))
        app.router.add_get(
            "/api/changelog", self._handler("admin", self._changelog), allow_head=False
        )
        if self._control:
            app.router.add_post("/sandbox/{call}", self._handler(None, self._command))
            app.router.add_get("/sandbox/log", self._handler(None, self._show_log))
        app.router.add_route("*", "/{rest:.*}", self._handler(None, self._unknown))
        # Cancellation stops a stalled fault when its client disconnects.
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=1.0, handler_cancellation=True
        )
        await self._runner.setup()
        await self._listen(self._runner)
        self._clock.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        runner = self._running()
        self._url = None
        self._clock.stop()
        await self._webhook.aclose()
        await runner.cleanup()

    # For users

    @property
    def url(self) -> str:
        """The URL it listens at: the ``base_url`` of a session.

        Raises:
            RuntimeError: It is not running.
        """
        if self._url is None:
            message = "the sandbox is not running; use: async with Sandbox() as sandbox"
            raise RuntimeError(message)
        return self._url

    def _running(self) -> web.AppRunner:
        _ = self.url  # this raises unless it is running
        assert self._runner is not None  # noqa: S101  # set on entry
        return self._runner

    async def stop(self) -> None:
        """Stop listening and drop all connections, as in an outage; `start` ends it.

        Workflows keep running, and all state is kept.
        """
        runner = self._running()
        for site in runner.sites:
            await site.stop()
        for _ in range(3):
            # A connection that is being accepted appears a few iterations later.
            assert runner.server is not None  # noqa: S101  # until cleanup
            for connection in runner.server.connections:
                if connection.transport is not None:
                    connection.transport.abort()
            await asyncio.sleep(0)

    async def start(self) -> None:
        """Listen again after `stop`, on the same port."""
        runner = self._running()
        if not runner.addresses:
            await self._listen(runner)

    async def _listen(self, runner: web.AppRunner) -> None:
        host, port = self._address
        if self._reserved is None:
            await web.TCPSite(runner, host, port).start()
        else:
            await web.SockSite(runner, self._reserved).start()
            self._reserved = None
        host, port = self._address = runner.addresses[0][:2]
        self._url = str(URL.build(scheme="http", host=host, port=port))

    def reserve(self) -> socket.socket:
        """Bind the address before entering, so that `url` and `session` work already.

        Returns:
            The socket; close it if the sandbox is never entered.
        """
        host, _ = self._address
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with contextlib.ExitStack() as stack:
            reserved = stack.enter_context(socket.socket(family))
            # As in asyncio: connections in TIME_WAIT do not block the port.
            reuse = os.name == "posix"
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
            reserved.bind(self._address)
            stack.pop_all()
        self._reserved = reserved
        port = reserved.getsockname()[1]
        self._url = str(URL.build(scheme="http", host=host, port=port))
        return reserved

    async def restart(self, *, forget: bool = False) -> None:
        """Drop all connections and listen again at once, on the same port.

        Args:
            forget: Whether the workflows are unknown afterwards; the log keeps them.
        """
        await self.stop()
        if forget:
            self._webhook.forget()
            self._lanes.clear()
            self._by_id.clear()
        await self.start()

    def session(
        self,
        generation: Generation = "linked_api",
        identification_token: str | None = None,
        **settings: Any,
    ) -> Session:
        """Return a session for this sandbox, to be entered.

        Args:
            generation: The API generation of the session.
            identification_token: The token of its default account; by default the
                first valid one.
            settings: Further arguments of `Session`; by default *polling* is as much
                faster than usual as the sandbox is.
        """
        # Imported here, because the command that runs a sandbox needs no session.
        from linkedapi_async.session import Session  # noqa: PLC0415

        linked = generation == "linked_api"
        main = "linked_api_token" if linked else "account_api_token"
        given = Secret(
            {
                main: self._tokens.first_main(),
                "identification_token": identification_token
                or self._tokens.first_account(),
                "base_url": self.url,
                "polling": Polling().faster(self.speed),
                **settings,
            }
        )
        del identification_token
        settings.clear()  # so that no frame shows a token
        return Session(**given.reveal())

    def admin(self, **settings: Any) -> Admin:
        """Return an `Admin` for this sandbox, to be entered.

        Args:
            settings: Further arguments of `Admin`; by default *polling* is as much
                faster than usual as the sandbox is.
        """
        # Imported here, because the command that runs a sandbox needs no Admin.
        from linkedapi_async.admin import Admin  # noqa: PLC0415

        given = Secret(
            {
                "linked_api_token": self._tokens.first_main(),
                "base_url": self.url,
                "polling": Polling().faster(self.speed),
                **settings,
            }
        )
        settings.clear()  # so that no frame shows a token
        return Admin(**given.reveal())

    def fail_next(
        self, reason: str, message: str | None = None, account: str | None = None
    ) -> None:
        """Let the next workflow that is started fail as a whole.

        Args:
            reason: The API's reason, such as ``languageNotSupported``.
            message: The API's message.
            account: The identification token of the account; by default the next
                workflow of any account fails.
        """
        failure = failure_of(reason, message)
        self._planned_failures.append(
            PlannedFailure(failure, account and account_name(account))
        )

    def fail_action(
        self, action_type: str, reason: str, message: str | None = None
    ) -> None:
        """Let all actions of a type fail from now on, until `clear_faults`.

        Args:
            action_type: The API's name of the type, such as ``st.retrieveCompanyDMs``.
            reason: The API's error type, such as ``retrievingNotAllowed``.
            message: The API's message.
        """
        self._outcomes.fail_action(action_type, reason, message)

    def sign_out(self, account: str) -> None:
        """Sign a LinkedIn account out, until `clear_faults`; both send a webhook event.

        Its workflows that have not started fail. Its starts are refused in linked_api;
        in account_api they are accepted and fail.

        Args:
            account: Its identification token.
        """
        name = account_name(account)
        self._signed_out.add(name)
        if name in self._lanes:
            self._lanes[name].fail_waiting(failure_of("linkedinAccountSignedOut"))
        self.emit("account.reconnectionRequired", account=account)

    def sign_in(self, account: str) -> None:
        """Connect a LinkedIn account again after `sign_out`, with a webhook event.

        Args:
            account: Its identification token.
        """
        self._signed_out.discard(account_name(account))
        self.emit("account.active", account=account)

    def set_working_hours(self, account: str, hours: WorkingHours | None) -> None:
        """Set the hours in which an account runs workflows, from now on.

        Outside of them workflows are parked as pending, with a reason and a message, or
        their starts are refused.

        Args:
            account: Its identification token.
            hours: The hours; None runs workflows at any time.
        """
        name = account_name(account)
        self._hours[name] = hours
        if name in self._lanes:
            self._lanes[name].reschedule(self._schedule(name))
            self._webhook.watch(self._lanes[name])

    def _schedule(self, name: str) -> OpenHours | None:
        hours = self._hours.get(name, self._default_hours)
        if hours is None:
            return None
        return OpenHours(hours, self._calendar, self.speed)

    def inject_fault(
        self,
        kind: FaultKind,
        *,
        on: Endpoint | None = None,
        count: int | None = 1,
        probability: float | None = None,
        after: int = 0,
        account: str | None = None,
        **details: Any,
    ) -> Fault:
        """Inject a fault of the network or the server, until `clear_faults`.

        Of the faults that apply to a request, the oldest one answers it.

        Args:
            kind: The kind of fault: ``status``, ``throttle``, ``reset_before``,
                ``reset_after``, ``stall``, ``drip``, ``garbage``, ``truncated``,
                ``huge``, ``deep``, ``headers``, ``redirect``, ``bad_id``, ``mangle``.
            on: The requests that it matches: ``start``, ``status``, ``cancel``,
                ``admin`` or ``account_data``; by default all.
            count: The maximum number of hits; None sets no maximum.
            probability: The fraction of the requests that it applies to, at random by
                the sandbox's seed; pass ``count=None`` too for more than one hit.
            after: How many matching requests pass before the first hit.
            account: The identification token of the account whose requests it matches.
            details: The settings of the kind, such as ``status=503``.

        Returns:
            The fault, whose ``hits`` list when it reached a client.
        """
        return self._faults.add(
            kind,
            on=on,
            count=count,
            probability=probability,
            after=after,
            account=account and account_name(account),
            details=details,
        )

    def clear_faults(self) -> None:
        """Undo `fail_next`, `fail_action`, `sign_out` and all injected faults."""
        self._faults.clear()
        self._webhook.clear_faults(self._signed_out)
        self._planned_failures.clear()
        self._signed_out.clear()
        self._outcomes.clear_failing_actions()

    @property
    def workflows(self) -> tuple[RecordedWorkflow, ...]:
        """The workflows that were accepted, in order."""
        return tuple(self.log.workflows)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """All faults that were ever injected, in order."""
        return tuple(self._faults.all)

    @property
    def fault_hits(self) -> int:
        """How often any fault reached a client."""
        return sum(len(fault.hits) for fault in self._faults.all)

    @property
    def accepted_by_definition(self) -> dict[str, list[str]]:
        """The ids of the accepted workflows, in order, by their definition.

        The key is the definition as JSON with sorted keys and without spaces. When all
        definitions are unique, a list of two ids is a workflow that was started twice.
        """
        return self.log.by_definition()

    @property
    def requests(self) -> int:
        """The number of requests."""
        return self.log.requests

    @property
    def polls_per_workflow(self) -> float:
        """The average number of polls of a workflow."""
        workflows = self.log.workflows
        return sum(w.polls for w in workflows) / max(1, len(workflows))

    @safe_repr
    def __repr__(self) -> str:
        running = self._runner is not None and self._runner.addresses
        where = f"at {self.url}" if running else "not running"
        return f"<Sandbox {where}, {len(self.log.workflows)} workflows>"

    # Requests

    def _handler(self, endpoint: Endpoint | None, work: Work) -> Handler:
        """Return the handler of an endpoint; an injected fault may answer instead."""

        async def in_envelope(request: web.Request) -> web.Response:
            try:
                return await work(request)
            except ApiError as refused:
                error = {"type": refused.type, "message": refused.message}
                return reply({"success": False, "error": error}, refused.status)

        async def answer(request: web.Request) -> web.StreamResponse:
            self.log.count(endpoint)
            if self._faults and endpoint is not None:
                token = request.headers.get("identification-token", "")
                rule = self._faults.claim(endpoint, account_name(token))
                if rule is not None:
                    return await self._faults.play(rule, endpoint, request, in_envelope)
            return await in_envelope(request)

        return answer

    def _starter(self, generation: Generation) -> Work:
        async def start(request: web.Request) -> web.Response:
            account = self._tokens.account(request, generation)
            return self._start(generation, account, await request.read())

        return start

    def _start(self, generation: Generation, account: str, body: bytes) -> web.Response:
        definition = read(body)
        roots = load_definition(definition, generation)
        if not self._plus and any(needs_plus(root) for root in roots):
            message = "Some actions of this workflow require the Plus plan."
            raise ApiError("plusPlanRequired", message, 402)
        if self._administration.is_frozen(account):
            raise ApiError(
                "subscriptionRequired", MESSAGES["subscriptionRequired"], 402
            )
        failure = None
        if account in self._signed_out:
            failure = failure_of("linkedinAccountSignedOut")
            if generation == "linked_api":
                raise ApiError(failure.reason, failure.message, 403)
        closed = self._closed(account)
        if closed is not None and generation == "linked_api" and closed.hours.refuse:
            opening = closed.closed_until(self._clock.now())
            raise ApiError("outsideWorkingHours", str(opening), 403)
        failure = failure or self._next_failure(account)
        workflow = self._accept(generation, account, body, definition, failure)
        result = {"workflowId": workflow.id}
        if generation == "linked_api":
            waits = workflow.began is None
            result |= self._state_fields(workflow, "pending" if waits else "running")
        return reply({"success": True, "result": result})

    def _closed(self, account: str) -> OpenHours | None:
        """Return the working hours of an account if it is outside of them."""
        schedule = self._schedule(account)
        now = self._clock.now()
        return None if schedule is None or schedule.opening(now) <= now else schedule

    def _state_fields(self, workflow: RecordedWorkflow, state: str) -> dict[str, Any]:
        closed = self._closed(workflow.account) if state == "pending" else None
        message = closed.closed_until(self._clock.now()) if closed else None
        return state_fields(state, message)

    def _count(self, account: str) -> None:
        if account in self._lanes:
            self._lanes[account].advance()
        self._outcomes.count(account)

    def _on_change(
        self, change: StateChange, workflow: RecordedWorkflow, when: float
    ) -> None:
        if change == "completed":
            self._outcomes.end(workflow)
        self._webhook.on_change(change, workflow, when)

    def _next_failure(self, account: str) -> WorkflowFailure | None:
        for planned in self._planned_failures:
            if planned.account in {None, account}:
                self._planned_failures.remove(planned)
                return planned.failure
        return None

    def _accept(
        self,
        generation: Generation,
        account: str,
        body: bytes,
        definition: Any,
        failure: WorkflowFailure | None,
    ) -> RecordedWorkflow:
        number = len(self.log.workflows)
        lane = self._lanes.setdefault(
            account,
            AccountQueue(self._clock, self._on_change, self._schedule(account)),
        )
        workflow = RecordedWorkflow(
            id=self._new_id(generation, number),
            account=account,
            generation=generation,
            body=body,
            accepted=self._clock.now(),
            duration=self._seconds(number, definition) / self.speed,
            failure=failure,
            lane=lane,
        )
        self.log.workflows.append(workflow)
        self._by_id[workflow.id] = workflow
        lane.add(workflow)
        self._outcomes.start(workflow, definition)
        self._webhook.watch(lane)
        return workflow

    def _new_id(self, generation: Generation, number: int) -> str:
        text = f"{self._world.seed}/{number}".encode()
        digest = hashlib.blake2b(text, digest_size=16).digest()
        return f"{ID_PREFIXES[generation]}-{uuid.UUID(bytes=digest, version=4)}"

    def _seconds(self, number: int, definition: Any) -> float:
        if callable(self._duration):
            return self._duration(definition)
        if self._duration is not None:
            return self._duration
        share = self._world.random("duration").share(number)
        bell = statistics.NormalDist(math.log(MEDIAN_DURATION), DURATION_SIGMA)
        return math.exp(bell.inv_cdf(share))

    def _status(self, generation: Generation) -> Work:
        async def status(request: web.Request) -> web.Response:
            workflow = self._requested(request, generation)
            workflow.polls += 1
            fields = self._state(workflow)
            if generation == "linked_api":
                fields = {"workflowId": workflow.id, **fields}
            return reply({"success": True, "result": fields})

        return status

    def _state(self, workflow: RecordedWorkflow) -> dict[str, Any]:
        state = workflow.state
        if state in {"pending", "running"}:
            # https://linkedapi.io/docs/account-api/executing-workflows
            older = workflow.generation == "account_api"
            return self._state_fields(workflow, "running" if older else state)
        if workflow.first_polled_after_end is None:
            workflow.first_polled_after_end = self._clock.now()
        fields = state_fields(state)
        if state == "cancelled":
            return fields
        return fields | self._outcomes.ended(workflow)

    async def _cancel(self, request: web.Request) -> web.Response:
        workflow = self._requested(request, "linked_api")
        cancelled = workflow.lane.cancel(workflow)
        return reply({"success": True, "result": {"cancelled": cancelled}})

    async def _administer(self, request: web.Request) -> web.Response:
        self._tokens.check_main(request, "linked_api")
        calls = self._administration.calls
        result = answer(calls, request.match_info["call"], await request.read())
        return reply({"success": True, "result": result})

    async def _command(self, request: web.Request) -> web.Response:
        control(self, request.match_info["call"], await request.read())
        return reply({"success": True, "result": None})

    async def _show_log(self, _: web.Request) -> web.Response:
        return reply(
            {"success": True, "result": log_of(self.log, self._outcomes.ended)}
        )

    async def _changelog(self, request: web.Request) -> web.Response:
        # Neither token nor envelope; https://linkedapi.io/api/changelog
        try:
            return reply(changelog(request.query.get("since")))
        except ValueError:
            message = "since must be an ISO 8601 date or a zoned instant"
            return reply({"error": message}, 400)

    async def _unknown(self, request: web.Request) -> NoReturn:
        message = f"There is no {request.method} {request.path}."
        raise ApiError("notFound", message, 404)

    def _requested(
        self, request: web.Request, generation: Generation
    ) -> RecordedWorkflow:
        account = self._tokens.account(request, generation)
        workflow = self._by_id.get(request.match_info["id"])
        # The workflow of another account is unknown, as if it did not exist.
        if workflow is None or (workflow.account, workflow.generation) != (
            account,
            generation,
        ):
            raise ApiError("workflowNotFound", "There is no such workflow.", 404)
        return workflow
