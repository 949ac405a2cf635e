"""The transport: what left, what came back, and what its errors contain."""

from __future__ import annotations

import asyncio
import errno
import pickle
import ssl
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import anyio
import attrs
import pytest
import trustme
from aiohttp import web

from linkedapi_async import (
    ConnectionFailedError,
    LinkedApiError,
    ProtocolError,
    Retries,
    Session,
    StartUnknownError,
    st,
)
from linkedapi_async._http.failures import connection_error
from linkedapi_async._http.requests import Headers, Request
from linkedapi_async._http.transport import AiohttpTransport, HttpSettings
from linkedapi_async._utils.secret import Secret


pytestmark = pytest.mark.anyio

MAIN, ACCOUNT = "main-token-4242", "account-token-1717"
HEADERS = Headers(
    {"linked-api-token": Secret(MAIN), "identification-token": Secret(ACCOUNT)}
)
WRITE = st.send_message("https://www.linkedin.com/in/nora-quill", text="Hello")
READ = st.retrieve_ssi()
SETTINGS = HttpSettings(
    timeout=20.0,
    max_response_bytes=100_000,
    connections=5,
    ssl=True,
    proxy=None,
    trust_env=False,
)

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(
    handler: Handler, context: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Serve raw connections on loopback; give the port."""
    server = await asyncio.start_server(handler, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """Return the head of a request, after its body was read too; empty without one."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            await reader.readexactly(int(line.split(b":")[1]))
    return head


def answering(*answers: bytes, seen: list[bytes] | None = None) -> Handler:
    """Return a server that sends these bytes, in turn, and hangs up after each."""
    left = list(answers)

    async def handle(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer one request."""
        head = await read_request(reader)
        if head and seen is not None:
            seen.append(head)
        writer.write(left.pop(0) if len(left) > 1 else left[0])
        writer.close()

    return handle


def answer(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """Return the bytes of an answer."""
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def session_at(url: str, **settings: Any) -> Session:
    """Return a session that retries without delay."""
    return Session(
        linked_api_token=MAIN,
        identification_token=ACCOUNT,
        base_url=url,
        retries=Retries(attempts=3, initial_delay=0.001, max_delay=0.001),
        **settings,
    )


async def error_of(work: Awaitable[Any]) -> LinkedApiError:
    """Return the error of this library that ends *work*."""
    with pytest.raises(LinkedApiError) as caught:
        await work
    return caught.value


def chain(error: BaseException | None) -> list[BaseException]:
    """Return an error with all that it was raised from or during."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


# What may have been accepted


ODD = {
    "length of thousands of zeros": b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: "
    + b"0" * 4400
    + b"2\r\n\r\n{}",
    "length of thousands of digits": b"HTTP/1.1 200 OK\r\nContent-Length: "
    + b"9" * 4400
    + b"\r\n\r\n{}",
    "error type nested deeply": answer(
        b'{"success":false,"error":{"type":' + b"[" * 1000 + b"1" + b"]" * 1000 + b"}}",
        "502 Bad Gateway",
    ),
    "error type as a number": answer(b'{"error":{"type":5}}', "400 Bad Request"),
    "error type as a list": answer(b'{"error":{"type":["x"]}}', "400 Bad Request"),
    "result nested deeply": answer(
        b'{"success":true,"result":' + b"[" * 90_000 + b"]" * 90_000 + b"}"
    ),
    "status of three hundred digits": b"HTTP/1.1 " + b"9" * 300 + b" OK\r\n\r\n",
    "status line of another protocol": b"SSH-2.0-OpenSSH_9.6\r\n",
    "broken chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}",
    "broken gzip": answer(b"no gzip", "200 OK", "Content-Encoding: gzip"),
    "unknown encoding": answer(b"{}", "200 OK", "Content-Encoding: zzz"),
    "charset that does not exist": answer(
        b"{}", "200 OK", "Content-Type: application/json; charset=\x00zz"
    ),
    "bare 403 of a gateway": answer(b"<html>", "403 Forbidden"),
    "nothing": b"",
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
async def test_a_start_with_an_odd_answer_is_unknown(odd: bytes) -> None:
    """Once a start that writes was sent, no answer but the API's own frees it."""
    seen: list[bytes] = []
    async with (
        listening(answering(odd, seen=seen)) as port,
        session_at(f"http://127.0.0.1:{port}") as session,
    ):
        error = await error_of(session.start(WRITE))

    assert StartUnknownError is type(error)
    assert 1 == len(seen)


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
async def test_an_odd_answer_is_an_error_of_the_tree(odd: bytes) -> None:
    """Whatever a server answers, a question ends with a `RequestError` that was sent."""
    async with (
        listening(answering(odd)) as port,
        session_at(f"http://127.0.0.1:{port}") as session,
    ):
        error = await error_of(session.info())

    assert error.sent is True  # type: ignore[attr-defined]


class OddError(Exception):
    """An error that no library raises."""


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
async def test_any_error_of_the_users_client_says_whether_it_was_sent(
    late: bool,
) -> None:
    """An exception of any class, raised around the request, tells what left."""
    seen: list[bytes] = []

    async def middleware(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Fail before or after the request is sent."""
        if late:
            await handler(request)
        raise OddError

    async with (
        listening(answering(answer(b"{}"), seen=seen)) as port,
        aiohttp.ClientSession(middlewares=[middleware]) as client,
        session_at(f"http://127.0.0.1:{port}", http=client) as session,
    ):
        error = await error_of(session.start(WRITE))

    expected = StartUnknownError if late else ConnectionFailedError
    assert expected is type(error)
    assert (1 if late else 0) == len(seen)
    assert "OddError" in str(error)


async def test_a_write_leaves_once_whatever_the_users_client_repeats() -> None:
    """A middleware that repeats requests does not send a start twice."""
    seen: list[bytes] = []

    async def middleware(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Repeat a request that failed."""
        try:
            return await handler(request)
        except aiohttp.ClientError:
            return await handler(request)

    async with (
        listening(answering(b"", seen=seen)) as port,
        aiohttp.ClientSession(middlewares=[middleware]) as client,
        session_at(f"http://127.0.0.1:{port}", http=client) as session,
    ):
        error = await error_of(session.start(WRITE))

    assert StartUnknownError is type(error)
    assert 1 == len(seen)


async def test_a_client_that_shows_nothing_counts_as_sent() -> None:
    """Where sending cannot be observed, a failure after it and before look the same."""

    async def opaque(*_: Any, **__: Any) -> Any:
        """Fail without any tracing."""
        raise aiohttp.ClientConnectionError

    with pytest.warns(DeprecationWarning, match="discouraged"):
        cls = type("Opaque", (aiohttp.ClientSession,), {"_request": opaque})
    client = cls()
    async with client, session_at("http://127.0.0.1:9", http=client) as session:
        error = await error_of(session.start(WRITE))

    assert StartUnknownError is type(error)


async def test_the_users_client_is_left_as_it_was() -> None:
    """Its tracing sees our requests, and our tracing goes when the session is left."""
    contexts = []

    async def on_start(_: Any, context: Any, __: Any) -> None:
        """Note what a request brings."""
        contexts.append(context.trace_request_ctx)

    mine = aiohttp.TraceConfig()
    mine.on_request_start.append(on_start)
    async with (
        listening(answering(answer(b"{}"))) as port,
        aiohttp.ClientSession(trace_configs=[mine]) as client,
    ):
        async with session_at(f"http://127.0.0.1:{port}", http=client) as session:
            await error_of(session.info())
            async with client.get(f"http://127.0.0.1:{port}"):
                pass

        assert [mine] == client.trace_configs

    assert [{}, {}, {}, None] == contexts


async def test_two_sessions_share_a_client() -> None:
    """A write of each leaves once and is accepted, also as another one observes it."""
    accepted = (
        b'{"success": true, "result": {"workflowId": "wf-%d", '
        b'"workflowStatus": "pending"}}'
    )
    answers = (answer(accepted % 1), answer(accepted % 2))
    seen: list[bytes] = []
    async with (
        listening(answering(*answers, seen=seen)) as port,
        aiohttp.ClientSession() as client,
        session_at(f"http://127.0.0.1:{port}", http=client) as first,
        session_at(f"http://127.0.0.1:{port}", http=client) as second,
    ):
        ids = [(await each.start(WRITE)).workflow_id for each in (first, second)]

    assert ["wf-1", "wf-2"] == ids
    assert 2 == len(seen)


async def test_a_closed_client_sends_nothing() -> None:
    """A start over a client that was closed is not unknown: it was not sent."""
    async with aiohttp.ClientSession() as client:
        pass
    async with session_at("http://127.0.0.1:9", http=client) as session:
        error = await error_of(session.start(WRITE))

    assert ConnectionFailedError is type(error)
    assert "must outlive" in str(error)


# Proxies


REFUSALS = {
    "407 Proxy Authentication Required": (407, 1),
    "403 Forbidden": (403, 1),
    "502 Bad Gateway": (502, 3),
    "503 Service Unavailable": (503, 3),
    None: (None, 3),
}


@pytest.mark.parametrize("mine", [False, True], ids=["ours", "users"])
@pytest.mark.parametrize("status", REFUSALS, ids=str)
async def test_a_proxy_that_refuses_was_sent_nothing(
    status: str | None, mine: bool
) -> None:
    """The error has the proxy's status, and what a retry may change is retried."""
    seen: list[bytes] = []
    refusal = b"" if status is None else answer(b"", status)
    client = aiohttp.ClientSession() if mine else None
    async with (
        listening(answering(refusal, seen=seen)) as port,
        session_at(
            "https://api.test",
            proxy=f"http://user:password@127.0.0.1:{port}",
            http=client,
        ) as session,
    ):
        error = await error_of(session.start(WRITE))
    if client is not None:
        await client.close()

    http_status, attempts = REFUSALS[status]
    assert ConnectionFailedError is type(error)
    assert (False, http_status) == (error.sent, error.http_status)
    assert attempts == len(seen)
    assert {b"CONNECT"} == {head.split()[0] for head in seen}
    assert (status or "api.test:443")[4:] in str(error)
    assert "password" not in str(error)


PROXY_ANSWERS = {
    "no HTTP": b"\x00\x01 nonsense\r\n\r\n",
    "half a line": b"HTTP/1.1",
    "a header without end": b"HTTP/1.1 407 X\r\nX: " + b"y" * 20_000,
    "no TLS": b"HTTP/1.1 200 OK\r\n\r\nnonsense",
}


@pytest.mark.parametrize("whose", ["ours", "users", "environment"])
@pytest.mark.parametrize("odd", PROXY_ANSWERS.values(), ids=PROXY_ANSWERS)
async def test_an_odd_answer_of_a_proxy_shows_no_password(
    odd: bytes, whose: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was sent through the proxy, and the error has nothing of its password."""
    async with listening(answering(odd)) as port, AsyncExitStack() as stack:
        proxy = f"http://user:password@127.0.0.1:{port}"
        settings: dict[str, Any] = {"proxy": proxy}
        if whose == "users":
            client = aiohttp.ClientSession(proxy=proxy)
            settings = {"http": await stack.enter_async_context(client)}
        elif whose == "environment":
            monkeypatch.setenv("HTTPS_PROXY", proxy)
            settings = {"trust_env": True}
        session = session_at("https://api.test", **settings)
        await stack.enter_async_context(session)
        error = await error_of(session.start(WRITE))

    assert ConnectionFailedError is type(error)
    assert not error.sent
    assert "password" not in repr((error, error.__cause__))


async def test_an_error_with_the_url_of_a_proxy_shows_no_password() -> None:
    """The user of a URL is removed from the text of any error."""
    cause = RuntimeError("cannot use http://user:pass@word@127.0.0.1:9/x?y")
    error = connection_error(cause, "https://api.test", Headers(), sent=False)

    assert "cannot use http://127.0.0.1:9/x?y" in str(error)


# Connections


@pytest.mark.parametrize("how", ["close", "abort", "late"])
async def test_writing_starts_need_no_connection_of_others(how: str) -> None:
    """A server that breaks its kept connections makes no start unknown."""
    starts = 0

    async def handle(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer, promise to keep the connection, and break it."""
        nonlocal starts
        head = await read_request(reader)
        if head.startswith(b"POST"):
            starts += 1
            result = b'{"workflowId":"wf-%d"}' % starts
        else:
            result = (
                b'{"workflowStatus":"completed","completion":'
                b'{"actionType":"st.sendMessage","success":true}}'
            )
        body = b'{"success":true,"result":%s}' % result
        writer.write(answer(body, "200 OK", "Connection: keep-alive"))
        await writer.drain()
        try:
            if how == "late":
                await asyncio.sleep(0.001)
        finally:
            if how == "close":
                writer.close()
            else:
                writer.transport.abort()

    async with (
        listening(handle) as port,
        session_at(f"http://127.0.0.1:{port}") as session,
    ):
        handles = [await session.start(WRITE) for _ in range(20)]

    assert 20 == len({handle.workflow_id for handle in handles}) == starts


# Errors that name the reason


async def refusing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a TLS greeting with plain HTTP."""
    writer.write(answer(b"{}", "400 Bad Request"))
    writer.close()


@attrs.frozen
class Secure:
    """A server with a certificate, and a client's trust in it."""

    server: ssl.SSLContext
    client: ssl.SSLContext


@pytest.fixture(scope="module")
def secure() -> Secure:
    """Return a certificate for localhost only."""
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return Secure(server, client)


async def test_a_refused_connection_says_where_and_why() -> None:
    """The message names host, port and reason; the cause has the errno."""
    async with listening(refusing) as port:
        pass
    async with session_at(f"http://127.0.0.1:{port}") as session:
        error = await error_of(session.start(WRITE))

    assert f"cannot connect to 127.0.0.1:{port}: " in str(error)
    assert isinstance(error.__cause__, ConnectionRefusedError)
    assert errno.ECONNREFUSED == error.__cause__.errno


async def test_a_name_that_does_not_resolve_says_so() -> None:
    """An unknown host is named."""
    async with session_at("https://no-such-host.invalid") as session:
        error = await error_of(session.start(WRITE))

    assert "cannot connect to no-such-host.invalid:443: " in str(error)
    assert isinstance(error.__cause__, OSError) or error.__cause__ is None


@pytest.mark.parametrize(
    ("host", "trusted", "words"),
    [
        ("localhost", False, "certificate verify failed"),
        ("127.0.0.1", True, "IP address mismatch"),
    ],
)
async def test_a_wrong_certificate_is_described(
    host: str, trusted: bool, words: str, secure: Secure
) -> None:
    """The reason and the cause have what OpenSSL says about the certificate."""
    # The server's side of a handshake that the client ends is not under test.
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    async with (
        listening(refusing, secure.server) as port,
        session_at(
            f"https://{host}:{port}", ssl=secure.client if trusted else True
        ) as session,
    ):
        error = await error_of(session.start(WRITE))
    cause = error.__cause__

    assert f"cannot connect to {host}:{port}: " in str(error)
    assert words in str(error)
    assert isinstance(cause, ssl.SSLCertVerificationError)
    assert cause.verify_code
    assert cause.verify_message in str(error)


async def test_tls_with_a_plain_server_is_described() -> None:
    """A server that speaks no TLS is named with the reason."""
    async with (
        listening(refusing) as port,
        session_at(f"https://127.0.0.1:{port}") as session,
    ):
        error = await error_of(session.start(WRITE))

    assert f"cannot connect to 127.0.0.1:{port}: " in str(error)
    assert isinstance(error.__cause__, ssl.SSLError)
    assert error.__cause__.reason


async def test_a_time_out_says_whether_it_was_sent() -> None:
    """A server that never answers was sent the request."""
    gate = asyncio.Event()

    async def handle(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Wait for the end of the test."""
        await gate.wait()
        writer.close()

    settings = attrs.evolve(SETTINGS, timeout=2.0)
    transport = AiohttpTransport(settings, None)
    async with listening(handle) as port:
        url = f"http://127.0.0.1:{port}/"
        error = await error_of(transport.send(Request("POST", url, b"{}"), HEADERS))
        gate.set()
    await transport.aclose()

    assert error.sent is True  # type: ignore[attr-defined]
    assert TimeoutError is type(error.__cause__)


FAILURES: dict[str, tuple[str, dict[str, Any]]] = {
    "refused": ("http://127.0.0.1:9", {}),
    "unresolved": ("https://no-such-host.invalid", {}),
    "proxy": ("https://api.test", {"proxy": "http://127.0.0.1:9"}),
}


@pytest.mark.parametrize(("url", "settings"), FAILURES.values(), ids=FAILURES)
async def test_causes_have_neither_traceback_nor_request(
    url: str, settings: dict[str, Any]
) -> None:
    """No error that leaves the transport leads to a frame or an object of aiohttp."""
    async with session_at(url, **settings) as session:
        error = await error_of(session.start(WRITE))
    first, *others = chain(error)
    files = {frame.filename for frame in traceback.extract_tb(first.__traceback__)}

    assert not any("aiohttp" in name for name in files)
    assert {None} >= {other.__traceback__ for other in others}
    assert all(type(e).__module__ in {"builtins", "socket", "ssl"} for e in others)
    assert pickle.loads(pickle.dumps(error)).__class__ is type(error)


async def test_cancelling_a_request_leaves_no_frames_of_aiohttp() -> None:
    """The `CancelledError` of a request does not lead to its headers."""
    arrived = asyncio.Event()

    async def handle(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Keep a request waiting."""
        await read_request(reader)
        arrived.set()
        await reader.read()
        writer.close()

    transport = AiohttpTransport(SETTINGS, None)
    async with listening(handle) as port:
        url = f"http://127.0.0.1:{port}/"
        task = asyncio.create_task(transport.send(Request("GET", url), HEADERS))
        with anyio.fail_after(20):
            await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        await transport.aclose()
    files = {
        frame.filename
        for error in chain(caught.value)
        for frame in traceback.extract_tb(error.__traceback__)
    }

    assert not any("aiohttp" in name for name in files)


# Bounds, and echoes


@pytest.mark.parametrize("chunked", [False, True])
async def test_an_answer_that_is_too_large_is_not_read(chunked: bool) -> None:
    """The limit holds with and without a length, and the error names the setting."""

    async def handle(request: web.Request) -> web.StreamResponse:
        """Answer with more than is allowed."""
        response = web.StreamResponse()
        if chunked:
            response.enable_chunked_encoding()
        else:
            response.content_length = 200_000
        await response.prepare(request)
        await response.write(b"x" * 200_000)
        return response

    transport = AiohttpTransport(SETTINGS, None)
    async with (
        web_server(handle) as url,
    ):
        error = await error_of(transport.send(Request("GET", url), HEADERS))
        await transport.aclose()

    assert ProtocolError is type(error)
    assert "larger than max_response_bytes=100000" in str(error)


@asynccontextmanager
async def web_server(
    handle: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> AsyncIterator[str]:
    """Serve every address with *handle*."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    yield f"http://{host}:{port}/"
    await runner.cleanup()


async def test_echoed_tokens_are_redacted() -> None:
    """A server that echoes the request in its error does not spread the tokens."""

    async def handle(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer with the head of the request, in the message, the type and a header."""
        head = (await read_request(reader)).decode().replace("\r\n", " ")
        body = b'{"error":{"type":"bad %s","message":"cannot handle %s"}}' % (
            MAIN.encode(),
            head.replace('"', "'").encode(),
        )
        writer.write(answer(body, "400 Bad Request", f"Content-Type: {MAIN}"))
        writer.close()

    async with (
        listening(handle) as port,
        session_at(f"http://127.0.0.1:{port}") as session,
    ):
        errors = [
            await error_of(session.start(READ)),
            await error_of(session.info()),
        ]

    for error in errors:
        shown = f"{error} {error!r} {vars(error)} {pickle.dumps(error)!r}"
        assert "[redacted]" in shown
        assert MAIN not in shown
        assert ACCOUNT not in shown


def test_a_short_token_is_not_redacted() -> None:
    """A token of a few letters is part of many words, and no secret."""
    headers = Headers({"linked-api-token": Secret("work"), "other": Secret('say-"hi"')})

    assert b'"workflow"' == headers.redact(b'"workflow"')
    assert b'"[redacted]" [redacted]' == headers.redact(b'"say-\\"hi\\"" say-"hi"')


async def test_text_of_a_server_stays_on_its_line() -> None:
    """Control characters of a message are shown, so that they cannot forge a line."""
    body = (
        rb'{"error":{"type":"odd\n\u001b[2J","message":"no\r\nERROR a forged line'
        rb'\u2028x"}}'
    )
    async with (
        listening(answering(answer(body, "400 Bad Request"))) as port,
        session_at(f"http://127.0.0.1:{port}") as session,
    ):
        error = await error_of(session.info())

    assert [str(error)] == str(error).splitlines()
    assert "\x1b" not in str(error)
    assert "no\r\nERROR a forged line\u2028x" == error.message
