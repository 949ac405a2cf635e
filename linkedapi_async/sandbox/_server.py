"""The sandbox: the HTTP face of both API generations over lanes and a made-up world.

https://linkedapi.io/docs/executing-workflows
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import math
import os
import socket
import statistics
import uuid
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeAlias

import attrs
from aiohttp import web
from yarl import URL

from linkedapi_async._types import Generation
from linkedapi_async.policies import Polling
from linkedapi_async.sandbox._admin import Administration, AdminMixin, answer, changelog
from linkedapi_async.sandbox._completions import ActionFailure, CompletionFactory
from linkedapi_async.sandbox._faults import Fault, Faults, Kind, Work
from linkedapi_async.sandbox._inbox import Direct, InboxMixin
from linkedapi_async.sandbox._lane import (
    AccountQueue,
    Endpoint,
    Failure,
    RecordedWorkflow,
    RequestLog,
)
from linkedapi_async.sandbox._responses import (
    MESSAGES,
    ApiError,
    LoopClock,
    account_name,
    checked,
    failure_of,
    loaded,
    needs_plus,
    read,
    reply,
    state_fields,
)
from linkedapi_async.sandbox._script import ScriptingMixin
from linkedapi_async.sandbox._tokens import TokenStore
from linkedapi_async.sandbox._webhook import WebhookEndpoint, WebhookMixin
from linkedapi_async.sandbox._world import World


if TYPE_CHECKING:
    from linkedapi_async.admin import Admin
    from linkedapi_async.session import Session

Duration: TypeAlias = float | Callable[[Any], float]
Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

MEDIAN_DURATION = 25.0
"""How long half of all workflows take at most, in seconds."""
DURATION_SIGMA = 0.6
"""The standard deviation of the logarithm of how long workflows take."""

PREFIXES: dict[Generation, str] = {"account_api": "/account", "linked_api": ""}
ID_PREFIXES: dict[Generation, str] = {"account_api": "account", "linked_api": "wf"}


@attrs.frozen
class PlannedFailure:
    """A workflow that is to fail: the next one, of any account or of one."""

    failure: Failure
    account: str | None


class Sandbox(ScriptingMixin, AdminMixin, InboxMixin, WebhookMixin):
    """A local server that behaves like the Linked API; an async context manager.

    It speaks both generations, keeps one lane per account in which workflows run in
    turn, and makes its answers up: the same seed and the same URLs give the same
    people, in whatever order they are asked for.

    Args:
        speed: How many times faster than the API it works.
        seed: Another one makes up other people and durations.
        duration: How long a workflow takes, in seconds before they are divided by
            *speed*: a number, or what gives it for a definition. By default
            log-normal with a median of 25 seconds.
        tokens: The main tokens that are valid; by default any.
        identification_tokens: The account tokens that are valid; by default any.
        plus: Whether the plan includes the ``nv.*`` actions.
        fail: Action types that fail from the start, with the API's error type each.
        host: Where to listen.
        port: Where to listen; 0 takes a free one.
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
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        if not (math.isfinite(speed) and speed > 0):
            message = f"speed: a positive number is due, got {speed!r}"
            raise ValueError(message)
        super().__init__()
        self.seen: RequestLog = RequestLog()
        self.speed = speed
        self._duration = duration
        self._keys = TokenStore(tokens, identification_tokens)
        self._plus = plus
        self._address: tuple[str, int] = (host, port)
        self._url: str | None = None
        self._reserved: socket.socket | None = None
        self._runner: web.AppRunner | None = None
        self._clock = LoopClock()
        self._world = World(seed)
        self._faults = Faults(self._world.dice, self._clock)
        self._lanes: dict[str, AccountQueue] = {}
        self._by_id: dict[str, RecordedWorkflow] = {}
        self._settled: dict[str, Any] = {}
        self._orders: list[PlannedFailure] = []
        self._signed_out: set[str] = set()
        self._administration = Administration(
            keys=self._keys,
            seen=self.seen,
            signed_out=self._signed_out,
            world=self._world,
            clock=self._clock,
            speed=speed,
            seat_type="plus" if plus else "core",
        )
        # Since when which actions fail: a completion tells of the time it was made.
        self._broken: list[tuple[float, dict[str, ActionFailure]]] = [(-math.inf, {})]
        self.direct: Direct = Direct(
            world=self._world,
            clock=self._clock,
            speed=speed,
            keys=self._keys,
            seen=self.seen,
            telling=self,
        )
        self._hooks = WebhookEndpoint(
            clock=self._clock,
            speed=speed,
            dice=self._world.dice,
            lanes=self._lanes,
            ended=self._ended,
        )
        self._administration.calls.update(self._hooks.calls)
        self.direct.on_event = self._hooks.emit
        self._administration.on_event = self._hooks.emit
        for action_type, reason in (fail or {}).items():
            self.fail_action(action_type, reason)

    async def __aenter__(self) -> Self:
        if self._runner is not None:
            message = "a sandbox is entered once: make another one"
            raise RuntimeError(message)
        # What has no limit cannot refuse a large workflow; the access log has headers.
        app = web.Application(client_max_size=0)
        for generation, prefix in PREFIXES.items():
            path = f"{prefix}/workflows"
            start, tell = self._starter(generation), self._teller(generation)
            app.router.add_post(path, self._handler("start", start))
            app.router.add_get(
                f"{path}/{{id}}", self._handler("status", tell), allow_head=False
            )
            for (method, where), work in self.direct.endpoints(generation).items():
                app.router.add_route(
                    method, prefix + where, self._handler("direct", work)
                )
        app.router.add_delete("/workflows/{id}", self._handler("cancel", self._cancel))
        app.router.add_post("/admin/{call}", self._handler("admin", self._administer))
        app.router.add_get(
            "/api/changelog", self._handler("admin", self._changelog), allow_head=False
        )
        app.router.add_route("*", "/{rest:.*}", self._handler(None, self._unknown))
        # A fault that stalls must hear of it when its client hangs up.
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
        await self._hooks.aclose()
        await runner.cleanup()

    # For those who use it

    @property
    def url(self) -> str:
        """Where it listens: the ``base_url`` of a session.

        Raises:
            RuntimeError: It is not running.
        """
        if self._url is None:
            message = "use it as: async with Sandbox() as sandbox"
            raise RuntimeError(message)
        return self._url

    def _running(self) -> web.AppRunner:
        _ = self.url  # raises if it does not run
        assert self._runner is not None  # noqa: S101  # it was entered
        return self._runner

    async def stop(self) -> None:
        """Listen no more and drop all connections, as in an outage; `start` ends it.

        Workflows run on, and nothing is forgotten.
        """
        runner = self._running()
        for site in runner.sites:
            await site.stop()
        for _ in range(3):
            # What was being accepted takes a few rounds to become a connection.
            assert runner.server is not None  # noqa: S101  # until it is cleaned up
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

    def _reserve(self) -> socket.socket:
        """Take the address before it runs, so that `url` and `session` are there.

        Returns:
            The socket, to be closed if the sandbox is never entered.
        """
        host, _ = self._address
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with contextlib.ExitStack() as stack:
            reserved = stack.enter_context(socket.socket(family))
            # As asyncio has it: what lingers from before is no hindrance.
            reuse = os.name == "posix"
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
            reserved.bind(self._address)
            stack.pop_all()
        self._reserved = reserved
        port = reserved.getsockname()[1]
        self._url = str(URL.build(scheme="http", host=host, port=port))
        return reserved

    async def restart(self, *, forget: bool = False) -> None:
        """Drop all connections and come back at once, on the same port.

        Args:
            forget: Whether the workflows are unknown afterwards. What was seen stays.
        """
        await self.stop()
        if forget:
            self._hooks.forget()
            self._lanes.clear()
            self._by_id.clear()
        await self.start()

    def session(
        self,
        generation: Generation = "linked_api",
        identification_token: str | None = None,
        **settings: Any,
    ) -> Session:
        """Return a session that talks to it, to be entered.

        Args:
            generation: The API generation that it speaks.
            identification_token: Its default account; any name will do.
            settings: Everything else, as for `Session`; by default *polling* is as
                much faster than usual as the sandbox is.
        """
        # The session stands a floor above, and only this convenience needs it.
        from linkedapi_async.session import Session  # noqa: PLC0415

        named = self._keys.accounts or ("sandbox-account",)
        token = (self._keys.main or ("sandbox-token",))[0]
        linked = generation == "linked_api"
        return Session(
            **{
                "linked_api_token" if linked else "account_api_token": token,
                "identification_token": identification_token or named[0],
                "base_url": self.url,
                "polling": Polling().faster(self.speed),
                **settings,
            }
        )

    def admin(self, **settings: Any) -> Admin:
        """Return an `Admin` that talks to it, to be entered.

        Args:
            settings: As for `Admin`; by default *polling* is as much faster than usual
                as the sandbox is.
        """
        # A floor above too, and few need it.
        from linkedapi_async.admin import Admin  # noqa: PLC0415

        return Admin(
            **{
                "linked_api_token": (self._keys.main or ("sandbox-token",))[0],
                "base_url": self.url,
                "polling": Polling().faster(self.speed),
                **settings,
            }
        )

    def fail_next(
        self, reason: str, message: str | None = None, account: str | None = None
    ) -> None:
        """Let the next workflow that is started fail as a whole.

        Args:
            reason: The API's word, such as ``languageNotSupported``.
            message: The API's message.
            account: The identification token whose next workflow is meant; by default
                the next of any.
        """
        failure = failure_of(reason, message)
        self._orders.append(PlannedFailure(failure, account and account_name(account)))

    def fail_action(
        self, action_type: str, reason: str, message: str | None = None
    ) -> None:
        """Let all actions of a type fail from now on, until `mend`.

        Args:
            action_type: The API's name of it, such as ``st.retrieveCompanyDMs``.
            reason: The API's error type, such as ``retrievingNotAllowed``.
            message: The API's message.
        """
        failure = failure_of(reason, message)
        broken = self._broken[-1][1] | {action_type: (failure.reason, failure.message)}
        self._broken.append((self._clock.now(), broken))

    def sign_out(self, account: str) -> None:
        """Sign a LinkedIn account out, until `mend`; the webhook hears of both.

        Its starts are refused in linked_api; in account_api they are taken, and fail.

        Args:
            account: Its identification token.
        """
        self._signed_out.add(account_name(account))
        self.emit("account.reconnectionRequired", account=account)

    def fault(
        self,
        kind: Kind,
        *,
        on: Endpoint | None = None,
        count: int | None = 1,
        probability: float | None = None,
        after: int = 0,
        account: str | None = None,
        **details: Any,
    ) -> Fault:
        """Let something go wrong on the way, until `mend`.

        Of the rules that fit a request, the one that was made first strikes.

        Args:
            kind: What goes wrong: ``status``, ``throttle``, ``reset_before``,
                ``reset_after``, ``stall``, ``drip``, ``garbage``, ``truncated``,
                ``huge``, ``deep``, ``headers``, ``redirect``, ``bad_id``, ``mangle``.
            on: Which requests: ``start``, ``status``, ``cancel``, ``admin`` or
                ``direct``; by default any.
            count: How often it is consumed at most; None for any number.
            probability: In which fraction of the requests it strikes, at random by the
                sandbox's seed; pass ``count=None`` too for more than one.
            after: How many of these requests pass first.
            account: The identification token whose requests are meant.
            details: The settings of the kind, such as ``status=503``.

        Returns:
            The fault, with the account of when it was ``consumed``.
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

    def mend(self) -> None:
        """Undo `fail_next`, `fail_action`, `sign_out` and all faults from now on."""
        self._faults.rules.clear()
        self._hooks.mend(self._signed_out)
        self._orders.clear()
        self._signed_out.clear()
        self._broken.append((self._clock.now(), {}))

    @property
    def workflows(self) -> tuple[RecordedWorkflow, ...]:
        """The workflows that were taken, in order."""
        return tuple(self.seen.workflows)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """All faults that were ever made, in order."""
        return tuple(self._faults.made)

    @property
    def fault_hits(self) -> int:
        """How often any fault was really met."""
        return sum(len(fault.consumed) for fault in self._faults.made)

    @property
    def taken_by_definition(self) -> dict[str, list[str]]:
        """The ids of the workflows taken, in order, by their definition.

        The key is the definition in JSON with sorted keys and without spaces. With
        unique definitions, a list of two is something that was done twice.
        """
        return self.seen.by_definition()

    @property
    def requests(self) -> int:
        """How many requests there were."""
        return self.seen.requests

    @property
    def polls_per_workflow(self) -> float:
        """How often a workflow was asked for, on average."""
        workflows = self.seen.workflows
        return sum(w.polls for w in workflows) / max(1, len(workflows))

    def __repr__(self) -> str:
        running = self._runner is not None and self._runner.addresses
        where = f"at {self.url}" if running else "not running"
        return f"<Sandbox {where}, {len(self.seen.workflows)} workflows>"

    # Requests

    def _handler(self, endpoint: Endpoint | None, work: Work) -> Handler:
        """Return what answers requests to an endpoint, unless a fault does."""

        async def in_envelope(request: web.Request) -> web.Response:
            try:
                return await work(request)
            except ApiError as refusal:
                error = {"type": refusal.type, "message": refusal.message}
                return reply({"success": False, "error": error}, refusal.status)

        async def answer(request: web.Request) -> web.StreamResponse:
            self.seen.count(endpoint)
            if self._faults and endpoint is not None:
                token = request.headers.get("identification-token", "")
                fault = self._faults.claim(endpoint, account_name(token))
                if fault is not None:
                    return await self._faults.play(
                        fault, endpoint, request, in_envelope
                    )
            return await in_envelope(request)

        return answer

    def _starter(self, generation: Generation) -> Work:
        async def start(request: web.Request) -> web.Response:
            account = self._keys.account(request, generation)
            return self._start(generation, account, await request.read())

        return start

    def _start(self, generation: Generation, account: str, body: bytes) -> web.Response:
        definition = read(body)
        roots = checked(definition, generation)
        if not self._plus and any(needs_plus(root) for root in roots):
            message = "Some actions of this workflow require the Plus plan."
            raise ApiError("plusPlanRequired", message, 402)
        if self._administration.is_frozen(account):
            raise ApiError(
                "subscriptionRequired", MESSAGES["subscriptionRequired"], 402
            )
        failure = None
        if account in self._signed_out:
            failure = failure_of("linkedinAccountSignedOut", None)
            if generation == "linked_api":
                raise ApiError(failure.reason, failure.message, 403)
        failure = failure or self._ordered(account)
        workflow = self._take(generation, account, body, definition, failure)
        result = {"workflowId": workflow.id}
        if generation == "linked_api":
            waits = workflow.began is None
            result |= state_fields("pending" if waits else "running")
        return reply({"success": True, "result": result})

    def _ordered(self, account: str) -> Failure | None:
        for order in self._orders:
            if order.account in {None, account}:
                self._orders.remove(order)
                return order.failure
        return None

    def _take(
        self,
        generation: Generation,
        account: str,
        body: bytes,
        definition: Any,
        failure: Failure | None,
    ) -> RecordedWorkflow:
        number = len(self.seen.workflows)
        lane = self._lanes.setdefault(
            account, AccountQueue(self._clock, self._hooks.notice)
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
        self.seen.workflows.append(workflow)
        self._by_id[workflow.id] = workflow
        lane.add(workflow)
        if failure is None:
            settled = self._scripts.settled(
                self._world, generation, account, self._broken[-1][1], definition
            )
            if settled is not None:
                self._settled[workflow.id] = settled
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
        share = self._world.dice("duration").share(number)
        bell = statistics.NormalDist(math.log(MEDIAN_DURATION), DURATION_SIGMA)
        return math.exp(bell.inv_cdf(share))

    def _teller(self, generation: Generation) -> Work:
        async def tell(request: web.Request) -> web.Response:
            workflow = self._asked(request, generation)
            workflow.polls += 1
            fields = self._told(workflow)
            if generation == "linked_api":
                fields = {"workflowId": workflow.id, **fields}
            return reply({"success": True, "result": fields})

        return tell

    def _told(self, workflow: RecordedWorkflow) -> dict[str, Any]:
        state = workflow.state
        if state in {"pending", "running"}:
            # https://linkedapi.io/docs/account-api/executing-workflows
            older = workflow.generation == "account_api"
            return state_fields("running" if older else state)
        if workflow.noticed is None:
            workflow.noticed = self._clock.now()
        fields = state_fields(state)
        return fields if state == "cancelled" else fields | self._ended(workflow)

    def _ended(self, workflow: RecordedWorkflow) -> dict[str, Any]:
        """Return what a workflow came to, one that was not cancelled."""
        if workflow.failure is not None:
            return {"failure": attrs.asdict(workflow.failure)}
        return {"completion": self._completion(workflow)}

    def _completion(self, workflow: RecordedWorkflow) -> Any:
        """Make the completion; nothing keeps it, as it comes out the same each time."""
        if workflow.id in self._settled:
            return self._settled[workflow.id]
        broken = self._broken_at(workflow.finished or 0.0)
        maker = CompletionFactory(
            self._world, workflow.generation, workflow.account, broken
        )
        definition = workflow.definition
        return maker.completion(loaded(definition), definition)

    def _broken_at(self, when: float) -> dict[str, ActionFailure]:
        """Return the actions that failed at a moment."""
        since = bisect_right(self._broken, when, key=lambda change: change[0])
        return self._broken[since - 1][1]

    async def _cancel(self, request: web.Request) -> web.Response:
        workflow = self._asked(request, "linked_api")
        cancelled = workflow.lane.cancel(workflow)
        return reply({"success": True, "result": {"cancelled": cancelled}})

    async def _administer(self, request: web.Request) -> web.Response:
        self._keys.check_main(request, "linked_api")
        calls = self._administration.calls
        result = answer(calls, request.match_info["call"], await request.read())
        return reply({"success": True, "result": result})

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

    def _asked(self, request: web.Request, generation: Generation) -> RecordedWorkflow:
        account = self._keys.account(request, generation)
        workflow = self._by_id.get(request.match_info["id"])
        # What belongs to others is unknown, as if it were not there.
        if workflow is None or (workflow.account, workflow.generation) != (
            account,
            generation,
        ):
            raise ApiError("workflowNotFound", "There is no such workflow.", 404)
        return workflow
