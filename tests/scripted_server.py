"""A server with scripted answers, over real HTTP on loopback."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from typing import Any, Self

import attrs
from aiohttp import web

from linkedapi_async import Polling, Retries, Session


TOKEN = "main-token-4242"
ACCOUNT = "account-token-1717"

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@attrs.frozen
class Seen:
    """A request that was received."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


def ok(result: Any) -> Answer:
    """Answer with a result in the API's envelope."""
    return raw(json.dumps({"success": True, "result": result}))


def refused(type: str, message: str = "no", status: int = 400) -> Answer:
    """Answer with an error in the API's envelope."""
    error = {"success": False, "error": {"type": type, "message": message}}
    return raw(json.dumps(error), status=status)


def raw(
    body: str | bytes,
    *,
    status: int = 200,
    content_type: str = "application/json",
    **headers: str,
) -> Answer:
    """Answer with exactly these bytes."""

    async def answer(_: web.Request) -> web.StreamResponse:
        """Answer one request."""
        data = body if isinstance(body, bytes) else body.encode()
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(
            body=data, status=status, content_type=content_type, headers=more
        )

    return answer


def dropped() -> Answer:
    """Break the connection once the request is received."""

    async def answer(request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    return answer


def held(gate: asyncio.Event, then: Answer) -> Answer:
    """Answer once *gate* is set."""

    async def answer(request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        await gate.wait()
        return await then(request)

    return answer


def taken(workflow_id: str | None = None) -> Answer:
    """Accept a workflow; without an id they are wf-1, wf-2, … in turn."""
    numbers = itertools.count(1)

    async def answer(request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        accepted = workflow_id or f"wf-{next(numbers)}"
        return await ok({"workflowId": accepted})(request)

    return answer


def running() -> Answer:
    """Say that a workflow runs."""
    return ok({"workflowStatus": "running"})


def completed(completion: Any) -> Answer:
    """Say that a workflow is completed."""
    return ok({"workflowStatus": "completed", "completion": completion})


def status_is(word: str) -> Answer:
    """Complete a workflow that checks a connection."""
    data = {"connectionStatus": word}
    node = {"actionType": "st.checkConnectionStatus", "success": True, "data": data}
    return completed(node)


class Scripted:
    """The server; `script` sets the answers of a method, the last of which repeats."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self._answers: dict[str, deque[Answer]] = defaultdict(deque)
        self._runner: web.AppRunner | None = None
        self.url = ""

    def script(self, method: str, *answers: Answer) -> None:
        """Answer requests of *method* with these, in turn; the last one repeats."""
        self._answers[method] = deque(answers)

    def count(self, method: str) -> int:
        """Return the number of requests of *method*."""
        return sum(1 for seen in self.seen if seen.method == method)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.seen.append(
            Seen(
                request.method,
                request.path,
                dict(request.headers),
                json.loads(body) if body else None,
            )
        )
        answers = self._answers[request.method]
        answer = answers.popleft() if len(answers) > 1 else answers[0]
        return await answer(request)

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def session(self, **settings: Any) -> Session:
        """Return a session for this server that polls without delay."""
        defaults: dict[str, Any] = {
            "identification_token": ACCOUNT,
            "base_url": self.url,
            "polling": Polling.fixed(0.01),
            "retries": Retries(initial_delay=0.001, max_delay=0.01),
        }
        if "account_api_token" not in settings:
            defaults["linked_api_token"] = TOKEN
        return Session(**{**defaults, **settings})
