"""The sandbox harms a client as it says, and a session bears it as the design says."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import math
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import anyio
import attrs
import pytest
from event_loops import VirtualLoop

from linkedapi_async import Completion, Polling, Retries, Session, st
from linkedapi_async._wire.dump import dump_workflow
from linkedapi_async.errors import (
    AccountPausedError,
    AuthenticationError,
    ConnectionFailedError,
    LinkedApiError,
    ProtocolError,
    RateLimitedError,
    RejectedError,
    StartUnknownError,
    WaitTimeoutError,
    WorkflowCancelledError,
    WorkflowNotFoundError,
)
from linkedapi_async.sandbox import Fault, FaultHit, Sandbox


pytestmark = pytest.mark.anyio

JANE = "https://www.linkedin.com/in/jane-doe"
READ = st.check_connection_status(JANE)
WRITE = st.send_connection_request(JANE)
SSI = json.dumps({"actionType": "st.retrieveSSI"}).encode()
HEADERS = {"linked-api-token": "main", "identification-token": "account"}


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Run with a clock that jumps, so that stalls and timeouts take no time."""
    return "asyncio", {"loop_factory": VirtualLoop}


def now() -> float:
    """Return the time of the loop in seconds."""
    return asyncio.get_running_loop().time()


async def settle() -> None:
    """Let the other end hear of what has happened."""
    await asyncio.sleep(0.5)


# On the wire


class Wire:
    """A client that takes an answer byte by byte, as it comes."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def sent(
        cls,
        sandbox: Sandbox,
        method: str = "POST",
        path: str = "/workflows",
        *,
        body: bytes = SSI,
        account: str = "account",
    ) -> Wire:
        """Return the open connection on which a request was sent."""
        _, _, address = sandbox.url.partition("//")
        host, _, port = address.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {address}\r\nlinked-api-token: main\r\n"
            f"identification-token: {account}\r\nConnection: close\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        await writer.drain()
        return cls(reader, writer)

    async def rest(self) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body of all that comes until the end."""
        try:
            answer = await self._reader.read()
        finally:
            self._writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        pairs = (line.split(": ", 1) for line in lines)
        return int(first.split()[1]), {k.lower(): v for k, v in pairs}, body

    async def some(self, size: int) -> bytes:
        """Return the next *size* bytes."""
        return await self._reader.readexactly(size)

    async def hang_up(self) -> None:
        """Leave, and give the server the time to notice."""
        self._writer.transport.abort()
        await settle()


async def answer(
    sandbox: Sandbox, *place: str, **more: Any
) -> tuple[int, dict[str, str], bytes]:
    """Return the whole answer to a request."""
    wire = await Wire.sent(sandbox, *place, **more)
    return await wire.rest()


async def outcome(sandbox: Sandbox, *place: str, **more: Any) -> int | str:
    """Return the status of an answer, or ``reset``."""
    try:
        status, _, _ = await answer(sandbox, *place, **more)
    except ConnectionResetError:
        return "reset"
    return status


async def begun(sandbox: Sandbox) -> str:
    """Start a workflow and return its id."""
    _, _, body = await answer(sandbox)
    return str(json.loads(body)["result"]["workflowId"])


def ids(sandbox: Sandbox) -> list[str | None]:
    """Return the ids of the workflows that were taken."""
    return [workflow.id for workflow in sandbox.workflows]


async def test_status_without_envelope() -> None:
    """A gateway answers with its own page, and nothing was done."""
    async with Sandbox() as sandbox:
        fault = sandbox.inject_fault("status", status=503, headers={"X-Gate": "7"})
        status, headers, body = await answer(sandbox)

    assert (503, "7", "text/html") == (
        status,
        headers["x-gate"],
        headers["content-type"],
    )
    assert body.startswith(b"<!DOCTYPE html>")
    assert [FaultHit("start", None, fault.hits[0].when)] == fault.hits
    assert () == sandbox.workflows
    assert 1 == sandbox.log.starts


async def test_status_with_envelope() -> None:
    """An error may come in the API's own words."""
    async with Sandbox() as sandbox:
        sandbox.inject_fault(
            "status", status=402, type="plusPlanRequired", message="pay"
        )
        status, headers, body = await answer(sandbox)

    error = {"type": "plusPlanRequired", "message": "pay"}
    assert {"success": False, "error": error} == json.loads(body)
    assert (402, "application/json") == (status, headers["content-type"])


DONE: list[tuple[str, dict[str, Any]]] = [
    ("status", {}),
    ("throttle", {}),
    ("garbage", {}),
    ("huge", {"size": 10}),
    ("deep", {"levels": 3}),
    ("redirect", {"location": "/"}),
]


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize(("kind", "details"), DONE, ids=[kind for kind, _ in DONE])
async def test_the_work_may_be_done_all_the_same(
    kind: Any, details: dict[str, Any], done: bool
) -> None:
    """With *done* the workflow was started, and the account knows which one."""
    async with Sandbox() as sandbox:
        fault = sandbox.inject_fault(kind, done=done, **details)
        await answer(sandbox)

    assert int(done) == len(sandbox.workflows)
    assert (ids(sandbox) or [None]) == [c.workflow_id for c in fault.hits]
    assert 1 == sandbox.log.starts


async def test_a_refusal_may_be_lost_too() -> None:
    """What is done may as well be to refuse: then no workflow is in the account."""
    async with Sandbox() as sandbox:
        fault = sandbox.inject_fault("reset_after")
        end = await outcome(sandbox, body=b"{}")

    assert "reset" == end
    assert [None] == [c.workflow_id for c in fault.hits]


NEW_YEAR = dt.datetime(2027, 1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1)))


@pytest.mark.parametrize(
    ("retry_after", "header"),
    [
        (None, None),
        (7.2, "8"),
        (0, "0"),
        (NEW_YEAR, "Fri, 01 Jan 2027 00:00:00 GMT"),
        ("soon", "soon"),
    ],
)
async def test_throttle(retry_after: Any, header: str | None) -> None:
    """429 comes with seconds, with a date, with anything, or without."""
    async with Sandbox() as sandbox:
        sandbox.inject_fault("throttle", retry_after=retry_after)
        status, headers, body = await answer(sandbox)

    assert (429, header) == (status, headers.get("retry-after"))
    assert "tooManyRequests" == json.loads(body)["error"]["type"]


@pytest.mark.parametrize(("kind", "taken"), [("reset_before", 0), ("reset_after", 1)])
async def test_reset(kind: Any, taken: int) -> None:
    """The connection is reset, before or after the work was done."""
    async with Sandbox() as sandbox:
        fault = sandbox.inject_fault(kind)
        ends = [await outcome(sandbox), await outcome(sandbox)]

    assert ["reset", 200] == ends
    assert taken + 1 == len(sandbox.workflows)
    assert [ids(sandbox)[0] if taken else None] == [
        hit.workflow_id for hit in fault.hits
    ]


@pytest.mark.parametrize("done", [False, True])
async def test_stall_for_a_time(done: bool) -> None:
    """The true answer comes late; the work is done before the silence, or after."""
    async with Sandbox() as sandbox:
        fault = sandbox.inject_fault("stall", seconds=30, done=done)
        begin = now()
        wire = await Wire.sent(sandbox)
        await asyncio.sleep(10)
        meanwhile = (len(sandbox.workflows), sandbox.log.starts, len(fault.hits))
        status, _, _ = await wire.rest()
        took = now() - begin

    assert (int(done), 1, 0) == meanwhile
    assert 200 == status
    assert 30 <= took < 31
    assert ids(sandbox) == [c.workflow_id for c in fault.hits]


@pytest.mark.parametrize("done", [False, True])
async def test_stall_for_ever(done: bool) -> None:
    """No answer comes; the hit is recorded when the client disconnects, not before."""
    async with Sandbox() as sandbox:
        fault = sandbox.inject_fault("stall", done=done)
        wire = await Wire.sent(sandbox)
        await asyncio.sleep(1000)
        before = list(fault.hits)
        await wire.hang_up()

    assert [] == before
    assert [("start", (ids(sandbox) or [None])[0])] == [c[:2] for c in fault.hits]
    assert int(done) == len(sandbox.workflows)


async def test_stall_until_the_end_of_the_sandbox() -> None:
    """A sandbox that is left cuts its clients off: silence was all that they got."""
    async with Sandbox() as sandbox:
        fault = sandbox.inject_fault("stall")
        wire = await Wire.sent(sandbox)
        await asyncio.sleep(1)
    with pytest.raises((ConnectionError, IndexError)):
        await wire.rest()

    assert 1 == len(fault.hits)


async def test_drip() -> None:
    """The true answer comes a few bytes at a time."""
    async with Sandbox() as sandbox:
        fault = sandbox.inject_fault("drip", pause=2, size=10)
        begin = now()
        status, headers, body = await answer(sandbox)
        took = now() - begin

    assert 200 == status
    assert str(len(body)) == headers["content-length"]
    assert ids(sandbox) == [json.loads(body)["result"]["workflowId"]]
    assert 2 * math.ceil(len(body) / 10) == pytest.approx(took)
    assert 1 == len(fault.hits)


async def test_drip_until_the_client_hangs_up() -> None:
    """A client that loses its patience has met the fault."""
    async with Sandbox() as sandbox:
        fault = sandbox.inject_fault("drip", pause=2)
        wire = await Wire.sent(sandbox)
        await wire.some(10)
        before = list(fault.hits)
        await wire.hang_up()

    assert [] == before
    assert 1 == len(fault.hits)


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ({"body": "nö"}, ("text/html", "nö".encode())),
        ({"body": b"\x00\xff", "content_type": "x/y"}, ("x/y", b"\x00\xff")),
        ({"body": "", "status": 204}, ("text/html", b"")),
    ],
)
async def test_garbage(details: dict[str, Any], expected: tuple[str, bytes]) -> None:
    """Any bytes come under any name."""
    async with Sandbox() as sandbox:
        sandbox.inject_fault("garbage", **details)
        status, headers, body = await answer(sandbox)

    assert expected == (headers.get("content-type"), body)
    assert details.get("status", 200) == status


async def test_garbage_under_a_false_name() -> None:
    """Without a body it is the true answer, called something else."""
    async with Sandbox() as sandbox:
        sandbox.inject_fault("garbage", body=None)
        _, headers, body = await answer(sandbox)

    assert "text/html" == headers["content-type"]
    assert ids(sandbox) == [json.loads(body)["result"]["workflowId"]]


@pytest.mark.parametrize("as_json", [False, True])
async def test_truncated(as_json: bool) -> None:
    """Half of the answer comes, and its length is a lie, or is not."""
    async with Sandbox() as sandbox:
        fault = sandbox.inject_fault("truncated", json=as_json)
        _, headers, body = await answer(sandbox)

    length = int(headers["content-length"])
    assert len(body) == length if as_json else len(body) == length // 2
    assert body.startswith(b'{"success":true,"result":')
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        json.loads(body)
    assert ids(sandbox) == [c.workflow_id for c in fault.hits]


@pytest.mark.parametrize("form", ["length", "chunked", "gzip"])
async def test_huge(form: str) -> None:
    """The body has exactly the requested size, and is JSON."""
    async with Sandbox() as sandbox, aiohttp.ClientSession() as http:
        fault = sandbox.inject_fault("huge", size=200_000, form=form)
        async with http.post(sandbox.url + "/workflows", headers=HEADERS) as response:
            body = await response.read()
            length = response.headers.get("Content-Length")

    assert 200_000 == len(body)
    assert {"success", "result"} == json.loads(body).keys()
    assert ("200000" if form == "length" else None) == length
    assert 1 == len(fault.hits)


async def test_huge_is_small_on_the_wire() -> None:
    """Compressed, a hundred times as much fits through the same line."""
    async with Sandbox() as sandbox:
        sandbox.inject_fault("huge", size=1_000_000, form="gzip")
        _, headers, body = await answer(sandbox)

    assert "gzip" == headers["content-encoding"]
    assert len(body) < 20_000


async def test_huge_that_nobody_reads() -> None:
    """A client that hangs up on the first bytes has met the fault."""
    async with Sandbox() as sandbox:
        fault = sandbox.inject_fault("huge")
        wire = await Wire.sent(sandbox)
        await wire.some(100)
        await wire.hang_up()

    assert 1 == len(fault.hits)


async def test_deep() -> None:
    """The result has the requested number of levels."""
    async with Sandbox() as sandbox:
        sandbox.inject_fault("deep", levels=3)
        _, _, body = await answer(sandbox)

    assert {"success": True, "result": [[[]]]} == json.loads(body)


@pytest.mark.parametrize("done", [False, True])
async def test_headers(done: bool) -> None:
    """Headers come until the client hangs up."""
    async with Sandbox() as sandbox:
        fault = sandbox.inject_fault("headers", done=done)
        wire = await Wire.sent(sandbox)
        head = await wire.some(500_000)
        before = list(fault.hits)
        await wire.hang_up()

    assert head.startswith(b"HTTP/1.1 200 OK\r\nX-Endless: xxx")
    assert b"\r\n\r\n" not in head
    assert int(done) == len(sandbox.workflows)
    assert [] == before
    assert 1 == len(fault.hits)


async def test_headers_that_nobody_reads() -> None:
    """A client that does not read does not fill the memory either."""
    async with Sandbox() as sandbox:
        fault = sandbox.inject_fault("headers")
        wire = await Wire.sent(sandbox)
        wire._writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(1)
        (connection,) = sandbox._running().server.connections  # type: ignore[union-attr]
        buffered = connection.transport.get_write_buffer_size()  # type: ignore[union-attr]
        await wire.hang_up()

    assert buffered < 100_000
    assert 1 == len(fault.hits)


async def test_redirect() -> None:
    """The client is sent elsewhere."""
    async with Sandbox() as sandbox:
        sandbox.inject_fault("redirect", location="https://example.com/", status=302)
        status, headers, body = await answer(sandbox)

    assert (302, "https://example.com/", b"") == (status, headers["location"], body)


async def test_bad_id() -> None:
    """The workflow was started, and its id in the answer is wrong."""
    async with Sandbox() as sandbox:
        fault = sandbox.inject_fault("bad_id", count=None)
        _, _, body = await answer(sandbox)
        _, _, refused = await answer(sandbox, body=b"{}")

    assert "../admin" == json.loads(body)["result"]["workflowId"]
    assert "error" in json.loads(refused)
    assert [*ids(sandbox), None] == [c.workflow_id for c in fault.hits]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda a: a["result"] | {"x": math.nan}, b'"x": NaN}'),
        (lambda _: 2**70, b"1180591620717411303424"),
        (lambda _: "\ud83d", b'"\\ud83d"'),
        (lambda _: b"\xff", b"\xff"),
    ],
)
async def test_mangle(change: Any, expected: bytes) -> None:
    """What is sent is what a function makes of the true answer."""
    async with Sandbox() as sandbox:
        fault = sandbox.inject_fault("mangle", change=change)
        _, _, body = await answer(sandbox)

    assert body.endswith(expected)
    assert ids(sandbox) == [c.workflow_id for c in fault.hits]


# When they strike, and what is counted


async def test_count() -> None:
    """By default a fault is met once; None is any number."""
    async with Sandbox() as sandbox:
        fault = sandbox.inject_fault("status", count=2)
        few = [await outcome(sandbox) for _ in range(4)]
        sandbox.inject_fault("status", status=418, count=None)
        many = [await outcome(sandbox) for _ in range(4)]

    assert [500, 500, 200, 200] == few
    assert [418] * 4 == many
    assert (2, 6) == (len(fault.hits), sandbox.fault_hits)
    assert 8 == sandbox.log.starts


async def test_after() -> None:
    """The first requests pass."""
    async with Sandbox() as sandbox:
        fault = sandbox.inject_fault("status", after=2)
        ends = [await outcome(sandbox) for _ in range(4)]

    assert [200, 200, 500, 200] == ends
    assert 3 == fault.matched


async def test_endpoint() -> None:
    """A fault strikes only where it is meant to, and knows which workflow it was."""
    async with Sandbox(duration=1000) as sandbox:
        workflow = await begun(sandbox)
        faults = [
            sandbox.inject_fault("status", status=501, on="start"),
            sandbox.inject_fault("status", status=502, on="cancel"),
            sandbox.inject_fault("status", status=503, on="status"),
        ]
        path = f"/workflows/{workflow}"
        places = [("GET", path), ("DELETE", path), ("POST", "/workflows")]
        ends = [await outcome(sandbox, *place) for place in places * 2]

    assert [503, 502, 501, 200, 200, 200] == ends
    assert [("start", None), ("cancel", workflow), ("status", workflow)] == [
        fault.hits[0][:2] for fault in faults
    ]
    seen = sandbox.log
    assert (3, 2, 2) == (seen.starts, seen.polls, seen.cancels)


async def test_any_endpoint_but_no_others() -> None:
    """Without an endpoint all three are meant; unknown paths are never."""
    async with Sandbox() as sandbox:
        fault = sandbox.inject_fault("status", count=None)
        workflow = "/workflows/x"
        places = [("GET", "/"), ("GET", workflow), ("DELETE", workflow)]
        ends = [await outcome(sandbox, *place) for place in places]

    assert [404, 500, 500] == ends
    assert ["status", "cancel"] == [c.endpoint for c in fault.hits]
    assert 1 == sandbox.log.others


async def test_account() -> None:
    """A fault may be meant for one account, whose token it does not show."""
    async with Sandbox() as sandbox:
        fault = sandbox.inject_fault("status", account="secret-2")
        ends = [
            await outcome(sandbox, account=account)
            for account in ("secret-1", "secret-2", "secret-2")
        ]

    assert [200, 500, 200] == ends
    assert fault.account == sandbox.workflows[1].account
    assert "secret" not in repr(fault)


async def struck(seed: int, probability: float) -> list[int | str]:
    """Return how 60 requests end."""
    async with Sandbox(seed=seed) as sandbox:
        sandbox.inject_fault("status", count=None, probability=probability)
        sandbox.inject_fault("throttle", count=None, probability=probability)
        return [await outcome(sandbox, body=b"{}") for _ in range(60)]


@pytest.mark.no_cover
async def test_probability() -> None:
    """Chance comes from the seed: the same one gives the same faults."""
    first, again, other = [await struck(seed, 0.3) for seed in (1, 1, 2)]
    counts = Counter(first)

    assert first == again != other
    assert 10 <= counts[500] <= 26
    assert 5 <= counts[429] <= 20
    assert {500} == set(await struck(1, 1))
    assert {400} == set(await struck(1, 0))


async def test_the_first_rule_strikes() -> None:
    """Where several rules fit, the older one strikes, and all see the request."""
    async with Sandbox() as sandbox:
        faults = [
            sandbox.inject_fault("status", status=501),
            sandbox.inject_fault("status", status=502),
            sandbox.inject_fault("status", status=503, after=3),
        ]
        ends = [await outcome(sandbox) for _ in range(5)]

    assert [501, 502, 200, 503, 200] == ends
    assert tuple(faults) == sandbox.faults
    assert [1, 2, 4] == [fault.matched for fault in faults]


@pytest.mark.parametrize("kind", ["status", "reset_after", "truncated", "drip"])
async def test_a_client_that_left_is_no_hit(
    monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    """A fault for a client that has disconnected applies to the next one again."""
    async with Sandbox() as sandbox:
        fault = sandbox.inject_fault(kind)
        play = sandbox._faults.play

        async def left(*args: Any) -> Any:
            """Disconnect just before the fault applies."""
            args[2].transport.abort()
            return await play(*args)

        with monkeypatch.context() as patch:
            patch.setattr(sandbox._faults, "play", left)
            first = await lost_or(sandbox)
            before = list(fault.hits)
        await lost_or(sandbox)

    assert "lost" == first
    assert [] == before
    assert (2, 1) == (fault.matched, len(fault.hits))


async def lost_or(sandbox: Sandbox) -> int | str:
    """Return the status of an answer, or that there was none."""
    try:
        return await outcome(sandbox)
    except IndexError:
        return "lost"


async def test_one_at_a_time() -> None:
    """A fault in progress does not apply to a second request."""
    async with Sandbox() as sandbox:
        fault = sandbox.inject_fault("stall", seconds=30)
        first = await Wire.sent(sandbox)
        await asyncio.sleep(1)
        begin = now()
        second = await outcome(sandbox)
        took = now() - begin
        status, _, _ = await first.rest()

    assert (200, 200) == (second, status)
    assert took < 1
    assert (2, 1) == (fault.matched, len(fault.hits))


async def test_withdraw_and_clear() -> None:
    """A fault can be withdrawn, alone or with all others, also twice."""
    async with Sandbox() as sandbox:
        fault = sandbox.inject_fault("status", count=None)
        ends = [await outcome(sandbox)]
        fault.withdraw()
        fault.withdraw()
        ends.append(await outcome(sandbox))
        sandbox.inject_fault("status", count=None)
        sandbox.clear_faults()
        ends.append(await outcome(sandbox))

    assert [500, 200, 200] == ends
    assert 1 == sandbox.fault_hits
    assert 2 == len(sandbox.faults)
    assert not sandbox._faults


@pytest.mark.parametrize(
    ("kind", "settings", "error"),
    [
        ("explode", {}, "kind must be one of bad_id, .*, got 'explode'"),
        (
            "status",
            {"on": "poll"},
            "on must be one of None, start, status, cancel, admin, account_data",
        ),
        ("status", {"probability": 1.5}, "probability must be from 0 to 1"),
        ("status", {"after": -1}, "count at least 1, got -1 and 1"),
        ("status", {"count": 0}, "count at least 1, got 0 and 0"),
        ("status", {"code": 500}, "unexpected keyword argument 'code'"),
        ("redirect", {}, "missing a required (keyword-only )?argument: 'location'"),
    ],
)
def test_wrong_rules(kind: Any, settings: dict[str, Any], error: str) -> None:
    """Wrong settings are refused when a fault is injected, not when it applies."""
    with pytest.raises((ValueError, TypeError), match=error):
        Sandbox().inject_fault(kind, **settings)


async def test_accepted_by_definition() -> None:
    """What was taken twice shows, however it was spelt."""
    one, two = {"actionType": "st.retrieveSSI", "label": "1"}, {"label": "2"}
    bodies = [one, one | two, dict(reversed(one.items()))]
    async with Sandbox() as sandbox:
        for body in bodies:
            await answer(sandbox, body=json.dumps(body).encode())

    first, second, third = ids(sandbox)
    assert {
        '{"actionType":"st.retrieveSSI","label":"1"}': [first, third],
        '{"actionType":"st.retrieveSSI","label":"2"}': [second],
    } == sandbox.accepted_by_definition


# Outages


@pytest.mark.parametrize("forget", [False, True])
async def test_restart(forget: bool) -> None:
    """It comes back where it was, with what it knew or without; what it saw stays."""
    async with Sandbox(duration=1000) as sandbox:
        workflow, url = await begun(sandbox), sandbox.url
        await sandbox.restart(forget=forget)
        status = await outcome(sandbox, "GET", f"/workflows/{workflow}")
        other = await begun(sandbox)

    assert url == f"http://127.0.0.1:{sandbox._address[1]}"
    assert (404 if forget else 200) == status
    assert [workflow, other] == ids(sandbox)
    assert workflow != other
    assert ("running" if forget else "pending") == sandbox.workflows[1].state


async def test_restart_drops_connections() -> None:
    """Connections are cut, idle or not; a client in a stall has met it."""
    async with Sandbox() as sandbox, aiohttp.ClientSession(headers=HEADERS) as http:
        async with http.post(sandbox.url + "/workflows", data=SSI) as kept:
            await kept.read()
        fault = sandbox.inject_fault("stall")
        stalled = await Wire.sent(sandbox)
        await settle()
        await sandbox.restart()
        with pytest.raises((ConnectionError, IndexError)):
            await stalled.rest()
        connections = sandbox._running().server.connections  # type: ignore[union-attr]

    assert [] == connections
    assert 1 == len(fault.hits)


async def test_outage() -> None:
    """During an outage no request is answered; workflows go on."""
    async with Sandbox(duration=60) as sandbox:
        workflow, url = await begun(sandbox), sandbox.url
        await sandbox.stop()
        await sandbox.stop()
        there = sandbox.url
        with pytest.raises(ConnectionRefusedError):
            await answer(sandbox)
        shown = repr(sandbox)
        await asyncio.sleep(100)
        await sandbox.start()
        await sandbox.start()
        _, _, body = await answer(sandbox, "GET", f"/workflows/{workflow}")

    assert url == there
    assert "<Sandbox not running, 1 workflows>" == shown
    assert "completed" == json.loads(body)["result"]["workflowStatus"]


async def test_outage_until_the_end() -> None:
    """A sandbox may be left while it is away, and cannot be started before or after."""
    async with Sandbox() as sandbox:
        await sandbox.stop()
    for verb in (sandbox.start, sandbox.stop, sandbox.restart, Sandbox().start):
        with pytest.raises(RuntimeError, match="async with"):
            await verb()


# The conformance matrix: what becomes of each verb under each fault
#
# Written from section 5 of the design, not from the client. A try is what the client
# counts; aiohttp by itself sends a GET or a DELETE once more when its connection
# breaks before any answer, so such a try is two requests.

TIMEOUT = 5
INTERVAL = 10
TAIL = 20
PATIENCE = 95
TRIES = 4
ERRORS: dict[str, type[LinkedApiError]] = {
    "lost": ConnectionFailedError,
    "invalid_response": ProtocolError,
    "throttled": RateLimitedError,
}


@attrs.frozen
class Row:
    """A fault, and what it is to a client."""

    kind: str
    details: dict[str, Any]
    is_a: str
    """``fine``, ``lost``, ``invalid_response``, ``throttled`` or ``api_error``."""
    error: type[LinkedApiError] | None = None
    """What it raises, if that does not follow from *is_a*."""
    done: bool = False
    """Whether the work is done all the same."""
    per_try: int = 1
    """Requests for each try to ask: aiohttp repeats a GET by itself."""
    slow: int = 0
    """How long a try takes, in seconds."""
    asked: str | None = None
    """What it is to those who ask or cancel, if it is something else."""
    cancelled: str | None = None
    """What it is to those who cancel, if it is something else."""
    asked_error: type[LinkedApiError] | None = None
    """What it raises for those."""
    ends_wait: bool = False
    """Whether it ends a wait when it is repeated for a minute."""
    rests: bool = False
    """Whether a wait goes on at the cadence of a tail."""

    @property
    def id(self) -> str:
        """What the row is called."""
        words = [f"{k}={v}"[:24] for k, v in self.details.items() if k != "change"]
        return "-".join([self.kind, *words])


def nothing(answer: Any) -> Any:
    """Take the result out of an answer."""
    return {**answer, "result": None}


SIGNED_OUT = {"status": 403, "type": "linkedinAccountSignedOut"}
BAD_UTF8 = b'{"success":true,"result":"\xff"}'
ROWS = [
    Row("reset_before", {}, "lost", per_try=2),
    Row("reset_after", {}, "lost", per_try=2, done=True),
    Row("stall", {}, "lost", slow=TIMEOUT),
    Row("stall", {"done": True}, "lost", slow=TIMEOUT, done=True),
    Row("stall", {"seconds": 2}, "fine"),
    Row("drip", {"pause": 1}, "lost", slow=TIMEOUT, done=True),
    Row("drip", {"pause": 0.1, "size": 40}, "fine"),
    Row("truncated", {}, "lost", done=True),
    Row("truncated", {"json": True}, "invalid_response", done=True),
    Row("headers", {}, "lost"),
    Row("headers", {"pause": 1, "done": True}, "lost", slow=TIMEOUT, done=True),
    Row("status", {"status": 500, "type": "internalError"}, "invalid_response"),
    Row("status", {"status": 503}, "invalid_response"),
    Row("status", {"status": 502, "done": True}, "invalid_response", done=True),
    Row("status", {"status": 404}, "invalid_response"),
    Row("status", {"status": 400, "type": "odd"}, "api_error", RejectedError),
    Row(
        "status",
        {"status": 401, "type": "invalidLinkedApiToken"},
        "api_error",
        AuthenticationError,
        ends_wait=True,
    ),
    Row("status", {"status": 403}, "invalid_response", AuthenticationError),
    Row("status", SIGNED_OUT, "api_error", AccountPausedError, rests=True),
    Row(
        "status",
        {"status": 404, "type": "workflowNotFound"},
        "api_error",
        RejectedError,
        asked_error=WorkflowNotFoundError,
        ends_wait=True,
    ),
    Row("throttle", {}, "throttled"),
    Row("throttle", {"type": None}, "throttled"),
    Row("throttle", {"retry_after": 7}, "throttled"),
    Row("garbage", {}, "invalid_response"),
    Row("garbage", {"done": True}, "invalid_response", done=True),
    Row("garbage", {"body": None}, "fine"),
    Row("garbage", {"body": ""}, "invalid_response"),
    Row("garbage", {"body": b"\x00\xff", "content_type": "a/b"}, "invalid_response"),
    Row("garbage", {"body": BAD_UTF8}, "invalid_response"),
    Row("huge", {"size": 300_000}, "invalid_response"),
    Row("huge", {"size": 300_000, "form": "chunked"}, "invalid_response"),
    Row("huge", {"size": 300_000, "form": "gzip"}, "invalid_response"),
    Row("deep", {}, "invalid_response"),
    Row("redirect", {"location": "http://127.0.0.9/"}, "invalid_response"),
    Row("bad_id", {}, "invalid_response", done=True, cancelled="fine"),
    Row("mangle", {"change": nothing}, "invalid_response", done=True),
]
each_row = pytest.mark.parametrize("row", ROWS, ids=[row.id for row in ROWS])
each_tree = pytest.mark.parametrize(
    "workflow", [pytest.param(READ, id="reads"), pytest.param(WRITE, id="writes")]
)
each_length = pytest.mark.parametrize(
    "always", [pytest.param(False, id="once"), pytest.param(True, id="always")]
)


def cautious(sandbox: Sandbox, **settings: Any) -> Session:
    """Return a session with short limits; by default it does not poll."""
    defaults = {
        "polling": Polling.fixed(100_000),
        "retries": Retries(attempts=TRIES),
        "request_timeout": TIMEOUT,
        "max_response_bytes": 100_000,
    }
    return sandbox.session(**{**defaults, **settings})


def struck_by(sandbox: Sandbox, row: Row, on: Any, *, always: bool) -> Fault:
    """Let the fault of a row happen."""
    kind: Any = row.kind
    return sandbox.inject_fault(kind, on=on, count=None if always else 1, **row.details)


async def end_of(call: Awaitable[Any]) -> Any:
    """Return what comes of a call: its value, or the class of its error."""
    try:
        with anyio.fail_after(10_000):
            value = await call
    except LinkedApiError as error:
        value = type(error)
    await settle()
    return value


def expected_start(row: Row, *, writes: bool, always: bool) -> tuple[int, Any]:
    """Return the requests that a start is, and how it ends."""
    if row.is_a == "fine":
        return 1, "taken"
    if row.is_a == "api_error":
        return 1, row.error
    if row.is_a == "throttled":  # the server says that it did not take it
        return (TRIES, RateLimitedError) if always else (2, "taken")
    if writes:  # sent, and no usable answer: it is never repeated
        return 1, StartUnknownError
    return 2, StartUnknownError if always else "taken"


@each_row
@each_tree
@each_length
async def test_matrix_start(row: Row, workflow: Any, always: bool) -> None:
    """A start that writes is sent once unless it was surely not taken."""
    writes = workflow is WRITE
    async with Sandbox(duration=1000) as sandbox, cautious(sandbox) as session:
        fault = struck_by(sandbox, row, "start", always=always)

        async def start() -> str:
            """Start a workflow whose id is one that the sandbox gave."""
            handle: Any = await session.start(workflow)
            return "taken" if handle.workflow_id in ids(sandbox) else "lost"

        begin = now()
        end = await end_of(start())
        took = now() - begin

    attempts, expected = expected_start(row, writes=writes, always=always)
    assert (attempts, expected) == (sandbox.log.starts, end)
    assert (attempts if always else 1) == len(fault.hits)
    harmed = len(fault.hits) if row.done else 0
    passed = attempts if row.is_a == "fine" else attempts - len(fault.hits)
    taken = attempts if row.is_a == "fine" else harmed + passed
    assert taken == len(sandbox.workflows)
    assert taken <= (1 if writes else 2)
    assert (1 if taken else 0) == len(sandbox.accepted_by_definition)
    assert took >= row.details.get("retry_after", 0)


def expected_ask(
    row: Row, value: Any, *, always: bool, per_try: int
) -> tuple[int, Any]:
    """Return the requests that asking or cancelling is, and how it ends."""
    is_a = row.asked or row.is_a
    if is_a == "fine":
        return 1, value
    if is_a == "api_error":
        return 1, row.asked_error or row.error
    if always:
        return TRIES * per_try, row.error or ERRORS[is_a]
    return 2, value


@each_row
@each_tree
@each_length
async def test_matrix_status(row: Row, workflow: Any, always: bool) -> None:
    """Asking is repeated until there is an answer, but not for ever."""
    async with Sandbox(duration=1000) as sandbox, cautious(sandbox) as session:
        handle = await session.start(workflow)
        fault = struck_by(sandbox, row, "status", always=always)
        end = await end_of(session.status(str(handle.workflow_id)))
        errors = session.stats.retries

    attempts, expected = expected_ask(
        row, "running", always=always, per_try=row.per_try
    )
    assert (attempts, expected) == (sandbox.log.polls, end)
    assert (attempts if always else 1) == len(fault.hits)
    assert {handle.workflow_id} == {c.workflow_id for c in fault.hits}
    assert attempts // row.per_try - 1 == errors
    assert (1, 1) == (sandbox.log.starts, len(sandbox.workflows))


@each_row
@each_tree
@each_length
async def test_matrix_cancel(row: Row, workflow: Any, always: bool) -> None:
    """Cancelling is repeated as asking is, and says what it did, not what it heard."""
    row = attrs.evolve(row, asked=row.cancelled or row.asked)
    async with Sandbox(duration=1000) as sandbox, cautious(sandbox) as session:
        handle: Any = await session.start(workflow)
        fault = struck_by(sandbox, row, "cancel", always=always)
        end = await end_of(handle.cancel())
        if end is True:
            with pytest.raises(WorkflowCancelledError):
                await handle.result()

    attempts, expected = expected_ask(row, True, always=always, per_try=1)
    assert (attempts, expected) == (sandbox.log.cancels, end)
    assert (attempts if always else 1) == len(fault.hits)
    cancelled = row.done or (row.asked or row.is_a) == "fine" or end is True
    assert ("cancelled" if cancelled else "running") == sandbox.workflows[0].state


def expected_wait(row: Row, *, always: bool) -> tuple[int, Any]:
    """Return the requests that a wait is, and how it ends."""
    is_a = row.asked or row.is_a
    if is_a == "fine":
        return 1, True
    if not always:
        return 2, True
    if row.ends_wait:  # three times, over at least 60 seconds
        return 1 + 60 // INTERVAL, row.asked_error or row.error
    gap = TAIL if row.rests else INTERVAL + row.slow
    return len(range(INTERVAL, PATIENCE, gap)) * row.per_try, WaitTimeoutError


@each_row
@each_tree
@each_length
async def test_matrix_result(row: Row, workflow: Any, always: bool) -> None:
    """A failed poll never ends a wait; only a definite answer does, when repeated."""
    polling = attrs.evolve(Polling.fixed(INTERVAL), queued_interval=TAIL)
    async with (
        Sandbox(duration=0) as sandbox,
        cautious(sandbox, polling=polling) as session,
    ):
        handle: Any = await session.start(workflow)
        fault = struck_by(sandbox, row, "status", always=always)

        async def succeeded() -> bool:
            """Wait, and return whether the workflow did what it should."""
            completion = await handle.completion(PATIENCE)
            return bool(completion.root.success)

        end = await end_of(succeeded())
        asked, consumed = sandbox.log.polls, len(fault.hits)
        fault.withdraw()
        again = await end_of(succeeded()) if end is WaitTimeoutError else end

    attempts, expected = expected_wait(row, always=always)
    assert (attempts, expected) == (asked, end)
    assert (asked if always else 1) == consumed
    assert {handle.workflow_id} == {c.workflow_id for c in fault.hits}
    assert (True if end is WaitTimeoutError else end) == again
    assert (1, 1) == (sandbox.log.starts, len(sandbox.workflows))


# The same for a server that is away, or comes back


Verb = Callable[[Session, Any, str], Awaitable[Any]]


async def start_verb(session: Session, workflow: Any, _: str) -> bool:
    """Start another workflow."""
    handle: Any = await session.start(workflow)
    return handle.workflow_id is not None


async def status_verb(session: Session, _: Any, workflow_id: str) -> bool:
    """Ask for a workflow."""
    return await session.status(workflow_id) == "running"


async def cancel_verb(session: Session, _: Any, workflow_id: str) -> bool:
    """Cancel a workflow."""
    return await session.cancel(workflow_id)


each_verb = pytest.mark.parametrize("verb", [start_verb, status_verb, cancel_verb])


@each_verb
@each_tree
@pytest.mark.parametrize("forget", [False, True])
async def test_matrix_restart(verb: Verb, workflow: Any, forget: bool) -> None:
    """A dropped idle connection costs nothing; what was forgotten is not found."""
    async with Sandbox(duration=1000) as sandbox, cautious(sandbox) as session:
        handle = await session.start(workflow)
        before = sandbox.requests
        await sandbox.restart(forget=forget)
        end = await end_of(verb(session, workflow, str(handle.workflow_id)))

    lost = forget and verb is not start_verb
    assert (WorkflowNotFoundError if lost else True) == end
    assert 1 == sandbox.requests - before
    assert (2 if verb is start_verb else 1) == len(sandbox.workflows)


@each_verb
@each_tree
@each_length
async def test_matrix_outage(verb: Verb, workflow: Any, always: bool) -> None:
    """What was never sent is tried again, a start that writes as well."""
    async with Sandbox(duration=1000) as sandbox, cautious(sandbox) as session:
        handle = await session.start(workflow)
        before = sandbox.requests
        await sandbox.stop()
        task = asyncio.ensure_future(
            end_of(verb(session, workflow, str(handle.workflow_id)))
        )
        if not always:
            await asyncio.sleep(0.1)
            await sandbox.start()
        end = await task
        retries = session.stats.retries

    assert (ConnectionFailedError if always else True) == end
    assert (0 if always else 1) == sandbox.requests - before
    assert (TRIES - 1 if always else 1) == retries


@pytest.mark.no_cover
@each_tree
@pytest.mark.parametrize("forget", [False, True])
async def test_matrix_outage_of_a_wait(workflow: Any, forget: bool) -> None:
    """An hour without a server ends no wait; one that forgot ends it in a minute."""
    polling = Polling.fixed(INTERVAL)
    async with (
        Sandbox(duration=0) as sandbox,
        cautious(sandbox, polling=polling) as session,
    ):
        handle: Any = await session.start(workflow)
        task = asyncio.ensure_future(end_of(handle.completion()))
        await asyncio.sleep(INTERVAL / 2)
        await sandbox.stop()
        await asyncio.sleep(3600)
        waiting = not task.done()
        await sandbox.restart(forget=forget)
        back = now()
        end = await task
        took = now() - back

    assert waiting
    assert forget == (end is WorkflowNotFoundError)
    assert took <= (80 if forget else INTERVAL + 1)
    assert (7 if forget else 1) == sandbox.log.polls


@pytest.mark.parametrize(
    ("workflow", "always"),
    [
        pytest.param(READ, False, id="reads-once"),
        pytest.param(READ, True, id="reads-always"),
        pytest.param(WRITE, False, id="writes-once"),
        pytest.param(WRITE, True, id="writes-always"),
    ],
)
async def test_matrix_no_connection_free(workflow: Any, always: bool) -> None:
    """A start that waited for a connection in vain was never sent."""
    connector = aiohttp.TCPConnector(limit=1)
    async with (
        Sandbox(duration=1000) as sandbox,
        aiohttp.ClientSession(connector=connector, headers=HEADERS) as http,
        cautious(sandbox, http=http) as session,
    ):
        stall = sandbox.inject_fault("stall", seconds=1000 if always else TIMEOUT + 3)
        own = asyncio.ensure_future(http.get(f"{sandbox.url}/workflows/x"))
        await settle()
        end = await end_of(start_verb(session, workflow, ""))
        own.cancel()
        await asyncio.wait([own])
        await settle()

    assert (ConnectionFailedError if always else True) == end
    assert (0 if always else 1) == sandbox.log.starts == len(sandbox.workflows)
    assert 1 == len(stall.hits)


async def test_matrix_of_a_users_own_client() -> None:
    """What a client of the user's would do by itself is not done."""
    http = aiohttp.ClientSession(raise_for_status=True)
    async with Sandbox() as other, Sandbox() as sandbox:
        async with http, cautious(sandbox, http=http) as session:
            sandbox.inject_fault("redirect", location=f"{other.url}/")
            sandbox.inject_fault("status", after=1)
            sandbox.inject_fault("stall", after=2)
            begin = now()
            ends = [await end_of(session.start(WRITE)) for _ in range(3)]
            took = now() - begin

    assert [StartUnknownError] * 3 == ends
    assert (3, 3, 0) == (
        sandbox.log.starts,
        sandbox.fault_hits,
        other.requests,
    )
    assert TIMEOUT <= took < TIMEOUT + 3


@pytest.mark.no_cover
async def test_a_write_is_never_taken_twice() -> None:
    """Under many faults at once, what was taken twice only reads."""
    kinds: list[Any] = [
        *("reset_before", "reset_after", "truncated", "throttle", "status"),
        *("garbage", "bad_id"),
    ]
    retries = Retries(attempts=TRIES, budget=1)
    async with (
        Sandbox(seed=4, duration=0) as sandbox,
        cautious(sandbox, retries=retries) as session,
    ):
        faults = [sandbox.inject_fault(k, count=None, probability=0.08) for k in kinds]
        ends: list[Any] = []
        definitions: list[Any] = [dump_workflow(READ), dump_workflow(WRITE)]
        for number in range(60):
            for plain in definitions:
                definition = {**plain, "label": f"{number}"}
                ends.append(await end_of(start_verb(session, definition, "")))

    taken = sandbox.accepted_by_definition
    twice = [json.loads(key)["actionType"] for key, ids in taken.items() if ids[1:]]
    unknown = sum(end is StartUnknownError for end in ends)
    assert {"st.checkConnectionStatus"} == set(twice)
    assert all(fault.hits for fault in faults)
    assert {True, StartUnknownError} == set(ends)
    assert 120 - unknown <= len(taken) <= 120
    assert sandbox.log.starts == 120 + session.stats.retries


# Hostile answers


ODD: list[Any] = [
    *(None, True, 0, 2**70, math.nan, -math.inf, "", "\ud83d", "../x"),
    *([], [None], {}, {"a": []}),
]
PLACES = [
    *("", "success", "error", "error.type", "error.message", "result"),
    *("result.workflowId", "result.workflowStatus", "result.completion"),
    *("result.failure", "result.failure.reason", "result.cancelled"),
    *("result.completion.actionType", "result.completion.success"),
    *("result.completion.error", "result.completion.data"),
    *("result.completion.data.connectionStatus", "result.completion.data.then"),
]


def put(place: str, value: Any) -> Callable[[Any], Any]:
    """Return what puts a value at a place of an answer."""

    def change(answer: Any) -> Any:
        """Put the value there."""
        *parents, name = ["whole", *filter(None, place.split("."))]
        whole = at = {"whole": answer}
        for parent in parents:
            at[parent] = at.get(parent) or {}
            at = at[parent]
        at[name] = value
        if place.startswith("result.failure"):
            answer["result"]["workflowStatus"] = "failed"
        return whole["whole"]

    return change


@pytest.mark.parametrize("place", PLACES)
async def test_odd_values(place: str) -> None:
    """With any value anywhere, each call returns a value or an error of the tree."""
    retries = Retries(attempts=2)
    polling = Polling.fixed(INTERVAL)
    async with (
        Sandbox(duration=0) as sandbox,
        cautious(sandbox, polling=polling, retries=retries) as session,
    ):
        for value in ODD:
            handle: Any = await session.start(READ)
            fault = sandbox.inject_fault("mangle", count=None, change=put(place, value))
            ends = [
                await end_of(handle.result(3 * INTERVAL)),
                await end_of(session.status(handle.workflow_id)),
                await end_of(session.cancel(handle.workflow_id)),
                await end_of(session.start(WRITE)),
                await end_of(session.start(READ)),
            ]
            fault.withdraw()
            await end_of(handle.result())

            assert 5 == len(ends)
            assert {"start", "status", "cancel"} == {c[0] for c in fault.hits}
    written = [w for w in sandbox.workflows if w.definition == dump_workflow(WRITE)]
    assert len(ODD) == len(written)


async def test_lone_surrogate() -> None:
    """Half an emoji does not lose a completion."""

    def halve(answer: Any) -> bytes:
        """Cut an emoji in two, within the name."""
        answer["result"]["completion"]["data"]["name"] = "NAME"
        return json.dumps(answer).encode().replace(b"NAME", rb"Jane \ud83d")

    page = st.open_person_page(JANE, basic_info=True)
    polling = Polling.fixed(INTERVAL)
    async with (
        Sandbox(duration=0) as sandbox,
        cautious(sandbox, polling=polling) as session,
    ):
        fault = sandbox.inject_fault("mangle", on="status", change=halve)
        person = await session.run(page)

    assert "Jane \ud83d" == person.name
    assert 1 == len(fault.hits)


def nested(levels: int, shape: str) -> Callable[[Any], Any]:
    """Return what puts nested values into a completion."""
    inner = {
        "then": '{"actionType":"st.openPersonPage","success":true,"data":{"then":',
        "list": '{"actionType":"st.openPersonPage","success":true,"data":{"then":[',
        "array": "[",
        "object": '{"a":',
    }[shape]
    ends = {"then": "}}", "list": "]}}", "array": "]", "object": "}"}[shape]
    middle = "" if shape in {"list", "array"} else "null"

    def change(answer: Any) -> bytes:
        """Put them there."""
        answer["result"]["completion"]["data"] = {"then": "HERE"}
        text = inner * levels + middle + ends * levels
        return json.dumps(answer).encode().replace(b'"HERE"', text.encode())

    return change


@pytest.mark.parametrize("shape", ["then", "list", "array", "object"])
@pytest.mark.parametrize("levels", [50, 200, 330, 400, 500, 900, 1010, 5000])
async def test_deep_completion(levels: int, shape: str) -> None:
    """However deep a completion is, it ends in a value or in an error of the tree."""
    polling = Polling.fixed(INTERVAL)
    async with (
        Sandbox(duration=0) as sandbox,
        cautious(sandbox, polling=polling) as session,
    ):
        handle: Any = await session.start(READ)
        fault = sandbox.inject_fault(
            "mangle", on="status", count=None, change=nested(levels, shape)
        )
        end = await end_of(handle.completion(3 * INTERVAL))
        if isinstance(end, Completion):
            assert list(end.walk())
            assert repr(end)
            assert 1 >= len(tuple(end.errors))
        fault.withdraw()
        await end_of(handle.completion())

    assert fault.hits
    assert end is not None


IDS = [
    *("../admin", "a/b", "", " ", "x" * 201, "wf\r\nX: y", "wf-é", ".", "%2e", "a?b"),
    *(5, None, ["a"], {"a": 1}, True, 2**70),
]


@pytest.mark.parametrize("id", IDS, ids=ascii)
@each_tree
async def test_bad_ids(id: Any, workflow: Any) -> None:
    """A text that is not an id is never requested."""
    polling = Polling.fixed(1)
    async with (
        Sandbox() as sandbox,
        cautious(sandbox, polling=polling) as session,
    ):
        fault = sandbox.inject_fault("bad_id", id=id, count=None)
        end = await end_of(session.start(workflow))
        await asyncio.sleep(5)

    assert StartUnknownError is end
    attempts = 1 if workflow is WRITE else 2
    assert (attempts, attempts) == (sandbox.requests, len(fault.hits))


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
async def test_redirects_lead_nowhere(status: int) -> None:
    """No verb follows a redirect, so no token goes to where it leads."""
    workflow_id = "wf-1"
    async with Sandbox() as other, Sandbox() as sandbox, cautious(sandbox) as session:
        location = f"{other.url}/workflows/{workflow_id}"
        fault = sandbox.inject_fault(
            "redirect", count=None, status=status, location=location
        )
        handle = session.attach(workflow_id, READ)
        ends = [
            await end_of(session.start(READ)),
            await end_of(session.start(WRITE)),
            await end_of(session.status(workflow_id)),
            await end_of(session.cancel(workflow_id)),
            await end_of(handle.result(0)),
        ]

    assert [
        *(StartUnknownError, StartUnknownError),
        *(ProtocolError, ProtocolError, WaitTimeoutError),
    ] == ends
    assert 0 == other.requests
    assert 1 + 2 + 1 + TRIES + TRIES + 1 == len(fault.hits)


@pytest.mark.parametrize(
    ("retry_after", "pause"),
    [
        ("soon", 0),
        ("-5", 0),
        ("1e9", 0),
        ("", 0),
        ("\u0663", 0),
        ("7200", 3600),
        ("9" * 30, 3600),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600),
    ],
    ids=ascii,
)
async def test_absurd_pauses(retry_after: str, pause: int) -> None:
    """A pause is at most an hour, and what is not a pause is ignored."""
    async with Sandbox() as sandbox, cautious(sandbox) as session:
        fault = sandbox.inject_fault("throttle", retry_after=retry_after)
        begin = now()
        end = await end_of(start_verb(session, WRITE, ""))
        took = now() - begin

    assert end is True
    assert pause <= took < pause + 5
    assert 1 == len(fault.hits)
