"""Fuzz whole HTTP answers to polls and starts, with both parsers of aiohttp.

Whatever a server answers, no error outside the error tree leaves the library, and no
start that writes is sent again once its answer left open whether it was accepted.
"""

from __future__ import annotations

import asyncio
import collections
import gzip
import json
import logging
import os
import random
import subprocess
import sys
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp.http_parser

from linkedapi_async import LinkedApiError, Polling, Retries, Session, st


POLLS: Final = 100_000
STARTS: Final = 20_000
BATCH: Final = 500
"""How many requests one session makes; its memory ends with it."""
AT_ONCE: Final = 20

STATUS_LINES: Final = (
    *[f"HTTP/1.1 {status} X" for status in (200, 200, 200, 400, 401, 403, 404, 429)],
    *[f"HTTP/1.1 {status}" for status in (0, 99, 100, 101, 103, 204, 206, 304, 302)],
    *[f"HTTP/1.1 {status} " for status in (402, 407, 500, 502, 503, 504, 599, 999)],
    "HTTP/1.0 200 OK",
    "HTTP/2 200",
    "HTTP/9.9 200 OK",
    "HTTP/1.1 -1 X",
    "HTTP/1.1 " + "2" * 300 + " X",
    "HTTP/1.1 200 " + "x" * 9000,
    "ICY 200 OK",
    "",
)
HEADERS: Final = (
    "Content-Type: application/json",
    "Content-Type: text/html; charset=\xff\xfe",
    "Content-Type: application/json; charset=utf-7",
    "Content-Type: " + "a/" * 2000,
    "Connection: keep-alive",
    "Connection: upgrade\r\nUpgrade: websocket",
    "Retry-After: 0",
    "Retry-After: -1",
    "Retry-After: soon",
    "Retry-After: Fri, 99 Foo 2026",
    "Set-Cookie: a=b; Max-Age=" + "9" * 5000,
    "Location: http://[::1",
    "Location: //",
    "X-Odd: \x01\x02",
    ": no name",
    "No colon",
    " folded",
    "X-Long: " + "y" * 20_000,
    "\x00: \x00",
    "Transfer-Encoding: gzip, identity",
    "Content-Encoding: br",
    "Content-Encoding: gzip, gzip",
    "Trailer: X",
)
LENGTHS: Final = (
    "+{n}",
    "-{n}",
    "0",
    "{n}0",
    "0x{n}",
    "{n}, {n}",
    "{n}\r\nContent-Length: 1",
    " {n} ",
    "\u0663",
    "",
    "9" * 25,
    "0" * 4400 + "{n}",
    "9" * 4400,
)
WORDS: Final = (
    *("internalError", "tooManyRequests", "workflowNotFound", "invalidLinkedApiToken"),
    *("linkedinAccountSignedOut", "subscriptionRequired", "", "\ud800", "x" * 5000),
)
SENT: Final = {"actionType": "st.sendMessage", "success": True}
STATES: Final = ("pending", "running", "completed", "failed", "cancelled", "odd", "")


class Answers:
    """Makes answers from a seed."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.text = b""
        """The body of the last answer before it was compressed or damaged."""

    def value(self, depth: int = 0) -> Any:
        """Return any JSON value."""
        rng = self.rng
        kind = rng.randrange(9 if depth < 4 else 6)
        if kind >= 7:
            names = ("actionType", "success", "data", "error", "then", "type", "x")
            return {rng.choice(names): self.value(depth + 1) for _ in range(3)}
        if kind == 6:
            return [self.value(depth + 1) for _ in range(rng.randrange(4))]
        plain = (None, True, rng.randrange(-5, 10**30), rng.random() * 1e300)
        text = rng.choice((*WORDS, "st.sendMessage", "2026-01-01"))
        return (*plain, text, 10**400)[kind]

    def envelope(self, workflow_id: str) -> Any:
        """Return JSON that is like the API's about a workflow, more or less."""
        rng = self.rng
        error = {"type": rng.choice((*WORDS, self.value())), "message": self.value()}
        state = {
            "workflowStatus": rng.choice((*STATES, *["completed"] * 20, self.value())),
            "workflowId": rng.choice((*[workflow_id] * 20, "", "a/b", 5, self.value())),
            "completion": rng.choice((SENT, SENT, self.value())),
            "failure": rng.choice((None, error, self.value())),
        }
        return rng.choice(
            (
                *[{"success": True, "result": state}] * 4,
                {"success": True, "result": self.value()},
                {"success": False, "error": error},
                {"success": self.value(), "error": self.value(), "result": state},
                self.value(),
            )
        )

    def body(self, workflow_id: str) -> bytes:
        """Return a body about a workflow."""
        rng = self.rng
        kind = rng.randrange(16)
        self.text = b""
        if kind == 0:
            return rng.randbytes(rng.randrange(60))
        if kind == 1:
            deep = rng.choice((500, 1100, 40_000))
            place = rng.choice((b'{"error":{"type":%s}}', b'{"result":%s}', b"%s"))
            return place % (b"[" * deep + b"1" + b"]" * deep)
        text = self.text = json.dumps(self.envelope(workflow_id)).encode()
        if kind == 2:
            return text[: rng.randrange(len(text) + 1)]
        if kind == 3:
            return b'{"success":true,"result":%s}' % (b"9" * 5000)
        return gzip.compress(text) if kind == 4 else text

    def answer(self, workflow_id: str) -> bytes:
        """Return a whole answer about a workflow."""
        rng = self.rng
        body = self.body(workflow_id)
        lines = [rng.choice(STATUS_LINES) if rng.random() < 0.4 else "HTTP/1.1 200 OK"]
        lines += rng.choices(HEADERS, k=rng.choice((0, 0, 0, 0, 0, 1, 1, 4)))
        if body.startswith(b"\x1f\x8b") and rng.random() < 0.8:
            lines.append("Content-Encoding: gzip")
        if rng.random() < 0.2:
            lines.append("Transfer-Encoding: chunked")
            size = rng.choice((f"{len(body):x}", "zz", "ffffffffffffffff", ""))
            body = size.encode() + b"\r\n" + body + b"\r\n0\r\n\r\n"
        elif rng.random() < 0.9:
            length = rng.choice(LENGTHS) if rng.random() < 0.3 else "{n}"
            lines.append(f"Content-Length: {length}".format(n=len(body)))
        end = rng.choice(("\r\n", "\r\n", "\r\n", "\r\n", "\n"))
        head = end.join([*lines, "", ""]).encode("latin-1", "replace")
        whole = bytearray(head + body)
        for _ in range(rng.choice((0, 0, 0, 0, 1, 5))):
            if whole:
                whole[rng.randrange(len(whole))] = rng.randrange(256)
        return bytes(whole)


class Server:
    """Answers every request with a fuzzed answer and hangs up."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self.requests = 0
        self.open_fate: set[bytes] = set()
        """The starts whose answer left open whether they were accepted."""
        self.twice: list[bytes] = []
        """The starts that were sent again all the same."""

    async def handle(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer one request."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            body = b""
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    body = await reader.readexactly(int(line.split(b":")[1]))
            self.requests += 1
            path = head.split(b" ", 2)[1].decode()
            started = f"wf-{self.requests}"
            workflow_id = started if body else path.rpartition("/")[2]
            if body in self.open_fate:
                self.twice.append(body)
            answer = self._answers.answer(workflow_id)
            seen = answer + self._answers.text
            throttles = b"429" in seen or b"tooManyRequests" in seen
            if body and not throttles:
                self.open_fate.add(body)
            writer.write(answer)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Serve on loopback; give the address."""
        server = await asyncio.start_server(self.handle, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()


def session_at(url: str) -> Session:
    """Return a session that polls only when it is asked to."""
    return Session(
        linked_api_token="main-token-4242",
        identification_token="account-token-1717",
        base_url=url,
        polling=Polling.fixed(1_000_000),
        retries=Retries(attempts=3, initial_delay=0.0001, max_delay=0.0001, budget=1),
        request_timeout=5,
        max_response_bytes=1_000_000,
    )


async def poll(session: Session, name: str) -> str:
    """Poll a workflow once; return how that ended."""
    try:
        await session.attach(name).result(timeout=0)
    except LinkedApiError as error:
        str(error)
        return type(error).__name__
    return "result"


async def start(session: Session, name: str) -> str:
    """Start a workflow that writes; return how that ended."""
    account = session.account(f"account-token-{name}")
    try:
        await account.start(st.send_message("https://linkedin.com/in/x", text=name))
    except LinkedApiError as error:
        str(error)
        return type(error).__name__
    return "handle"


async def fuzz(kind: str, count: int, seed: int) -> collections.Counter[str]:
    """Make *count* polls or starts; return how often each end came."""
    work = poll if kind == "polls" else start
    ends: collections.Counter[str] = collections.Counter()
    server = Server(Answers(seed))
    async with server.serve() as url:
        for first in range(0, count, BATCH):
            names = iter(range(first, min(first + BATCH, count)))
            async with session_at(url) as session:

                async def worker(names: Any = names, session: Any = session) -> None:
                    for number in names:
                        ends[await work(session, f"{seed}-{number}")] += 1

                await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    assert not server.twice, f"sent again: {server.twice[:3]}"
    assert count == ends.total(), "an end is missing"
    assert server.requests >= count, "a request is missing"
    return ends


def child(kind: str, count: int, seed: int) -> None:
    """Fuzz with the parser of this process; print the ends as JSON."""
    warnings.simplefilter("ignore")
    logging.disable()
    parser = aiohttp.http_parser.HttpResponseParser.__module__.rpartition(".")[2]
    ends = asyncio.run(fuzz(kind, count, seed))
    print(json.dumps({"parser": parser, "ends": dict(ends.most_common())}))


def run(share: float) -> dict[str, Any]:
    """Fuzz in two processes, one with each parser."""
    figures: dict[str, Any] = {}
    for kind, full in (("polls", POLLS), ("starts", STARTS)):
        count = max(1, round(full * share))
        processes = [
            subprocess.Popen(
                [sys.executable, __file__, kind, str(count), str(seed)],
                env={**os.environ, "AIOHTTP_NO_EXTENSIONS": plain},
                stdout=subprocess.PIPE,
                text=True,
            )
            for seed, plain in ((1, ""), (2, "1"))
        ]
        for process in processes:
            out, _ = process.communicate()
            assert process.returncode == 0, f"{kind}: an error outside the tree"
            found = json.loads(out)
            label = f"{kind}, parser {found['parser']}"
            figures[label] = f"{count:,}, {found['ends']}"
    return figures


if __name__ == "__main__":
    child(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
