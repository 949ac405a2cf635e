"""The command ``mcp``: its options, how it serves and how it ends."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
from cli_harness import FAST, TOKENS, Shell, sandbox_in_a_thread

import linkedapi_async.agents
from linkedapi_async.agents import WorkflowService, serve_http
from linkedapi_async.cli import _agents
from linkedapi_async.sandbox import Sandbox


SECRET = "a-secret-of-the-clients"

INITIALIZE = b"""\
{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25",\
"capabilities":{},"clientInfo":{"name":"a","version":"1"}}}
"""


@pytest.fixture
def shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Shell:
    """Return a shell with tokens, and a state folder of its own."""
    made = Shell.entered(tmp_path, monkeypatch, capsys, **TOKENS, **FAST)
    made.set(XDG_STATE_HOME=str(tmp_path / "state"), LINKED_API_MCP_TOKEN=None)
    return made


# Standard input and output


def test_it_ends_with_its_input(shell: Shell) -> None:
    """The server ends with its input, and writes nothing but answers."""
    done = shell("mcp")

    assert (0, "", "") == (done.status, done.out, done.err)


def test_it_answers(shell: Shell) -> None:
    """The handshake is answered on standard output."""
    done = shell("mcp", typed=INITIALIZE)

    assert 0 == done.status
    assert "linkedapi" in done.out


def test_the_state_folder_is_private(shell: Shell, tmp_path: Path) -> None:
    """The folder of the journal is readable for the user alone."""
    done = shell("mcp", "--allow-writes")

    assert 0 == done.status
    assert (tmp_path / "state" / "linkedapi").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (("--allow-writes",), "state/linkedapi/agents.journal"),
        (("--allow-writes", "--journal", "writes.journal"), "writes.journal"),
        (("--per-day", "stMessages", "25"), "state/linkedapi/agents.journal"),
    ],
)
def test_where_the_journal_is(
    shell: Shell,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    options: tuple[str, ...],
    name: str,
) -> None:
    """Writes or a pace create a journal, in the named file, for the user alone."""
    journal = tmp_path / name

    async def until_it_is_open(service: WorkflowService) -> None:
        """Enter the service, and wait for its journal."""
        # The service opens it in a task of its own, which ends with its input.
        async with service:
            with anyio.fail_after(60):
                while not journal.exists():
                    await anyio.sleep(0.01)

    monkeypatch.setattr(_agents, "serve_stdio", until_it_is_open)
    done = shell("mcp", *options)

    assert 0 == done.status
    assert journal.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"XDG_STATE_HOME": "/state"}, Path("/state")),
        ("linux", {"XDG_STATE_HOME": ""}, Path("/home/ada/.local/state")),
        ("darwin", {}, Path("/home/ada/Library/Application Support")),
        ("win32", {"LOCALAPPDATA": "/local"}, Path("/local")),
    ],
)
def test_state_folders(
    monkeypatch: pytest.MonkeyPatch,
    platform: str,
    variables: dict[str, str],
    expected: Path,
) -> None:
    """Each system has its folder for what a user's programs remember."""
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: Path("/home/ada"))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert expected == _agents.state_folder()


@pytest.mark.anyio
async def test_a_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At a signal the session is left in order before the process ends."""
    reading, writing = os.pipe()
    statuses: list[int] = []

    def ended(status: int) -> None:
        """End the input instead of the process."""
        statuses.append(status)
        os.close(writing)

    class WorkflowService(linkedapi_async.agents.WorkflowService):
        """A service at which the signal arrives."""

        async def __aenter__(self) -> Any:
            """Send the signal once it is entered."""
            entered = await super().__aenter__()
            signal.raise_signal(signal.SIGTERM)
            return entered

        async def __aexit__(self, *error: object) -> None:
            """Record that it was left."""
            await super().__aexit__(*error)
            statuses.append(0)

    with os.fdopen(reading, "rb") as pipe:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(pipe))
        async with Sandbox() as box:
            await _agents.serve_stdio(WorkflowService(box.session), exit=ended)

    assert [0, 128 + signal.SIGTERM] == statuses
    assert "the server ends" in capsys.readouterr().err


# HTTP


def test_http(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server prints its URL, answers those who have its token, ends with a signal."""
    answers: list[int] = []

    async def serve(
        app: Any, listener: Any, stop: Callable[[], Awaitable[Any]]
    ) -> None:
        """Serve until two requests were answered."""

        async def ask() -> None:
            """Ask with the token and without, then send a signal."""
            port = listener.getsockname()[1]
            async with aiohttp.ClientSession() as http:
                for token in (SECRET, "wrong"):
                    headers = {
                        "Authorization": f"Bearer {token}",
                        "Accept": "application/json, text/event-stream",
                    }
                    url = f"http://127.0.0.1:{port}/mcp"
                    async with http.post(
                        url,
                        data=INITIALIZE,
                        headers={**headers, "Content-Type": "application/json"},
                    ) as answer:
                        answers.append(answer.status)
            signal.raise_signal(signal.SIGTERM)
            await stop()

        await serve_http(app, listener, ask)

    monkeypatch.setattr(linkedapi_async.agents, "serve_http", serve)
    shell.set(LINKED_API_MCP_TOKEN=SECRET)
    done = shell("mcp", "--http", "127.0.0.1:0")

    assert 0 == done.status
    assert done.out.startswith("http://127.0.0.1:")
    assert done.out.endswith("/mcp\n")
    assert "Bearer $LINKED_API_MCP_TOKEN" in done.err
    assert SECRET not in done.out + done.err
    assert [200, 401] == answers


def test_http_on_ipv6(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loopback address of IPv6 is written in brackets."""

    async def serve(*_: Any) -> None:
        """Serve nothing."""

    monkeypatch.setattr(linkedapi_async.agents, "serve_http", serve)
    shell.set(LINKED_API_MCP_TOKEN=SECRET)
    done = shell("mcp", "--http", "[::1]:0")

    assert done.out.startswith("http://[::1]:")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("8765", "--http must be as in 127.0.0.1:8765, got '8765'"),
        ("127.0.0.1:x", "--http must be as in 127.0.0.1:8765, got '127.0.0.1:x'"),
        ("127.0.0.1:65536", "--http must be as in 127.0.0.1:8765"),
        ("0.0.0.0:8765", "--http must be a loopback address such as 127.0.0.1"),
        ("example.org:80", "because every client acts as you"),
    ],
)
def test_wrong_addresses(shell: Shell, address: str, message: str) -> None:
    """The server listens on loopback only, and says what an address looks like."""
    done = shell("mcp", "--http", address)

    assert 2 == done.status
    assert message in done.err


def test_tokens_of_clients(shell: Shell) -> None:
    """Over HTTP a token is needed, from the environment or a private file, and a long one."""
    missing = shell("mcp", "--http", "127.0.0.1:0")
    shell.write("tokens.env", "LINKED_API_MCP_TOKEN=short\n")
    short = shell("mcp", "--http", "127.0.0.1:0", "--env-file", "tokens.env")

    assert (2, 2) == (missing.status, short.status)
    assert "LINKED_API_MCP_TOKEN is not set" in missing.err
    assert "LINKED_API_MCP_TOKEN: the token must have at least 16" in short.err


def test_the_port_is_taken(shell: Shell) -> None:
    """A port that is taken is an error in words."""
    shell.set(LINKED_API_MCP_TOKEN=SECRET)
    with sandbox_in_a_thread() as box:
        address = box.url.removeprefix("http://")
        done = shell("mcp", "--http", address)

    assert 2 == done.status
    assert f"cannot listen at {address}: " in done.err


# What is missing


def test_tokens_of_the_api(shell: Shell) -> None:
    """Without tokens of the API the server does not begin."""
    shell.set(LINKED_API_TOKEN=None)
    token = shell("mcp")
    shell.set(**{**TOKENS, "IDENTIFICATION_TOKEN": None})
    account = shell("mcp")

    assert (2, 2) == (token.status, account.status)
    assert "no tokens; set LINKED_API_TOKEN" in token.err
    assert "no account; set IDENTIFICATION_TOKEN" in account.err


def test_without_the_extra(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra the command says how to install it."""
    for name in [*sys.modules]:
        if name.startswith("linkedapi_async.agents"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(linkedapi_async, "agents")
    monkeypatch.setitem(sys.modules, "mcp", None)
    done = shell("mcp")

    assert 2 == done.status
    assert "python -m pip install 'linkedapi-async[mcp]'" in done.err


def test_another_module_is_missing(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That another module is missing is not blamed on the extra."""
    for name in [*sys.modules]:
        if name.startswith("linkedapi_async.agents"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(linkedapi_async, "agents")
    monkeypatch.setitem(sys.modules, "linkedapi_async.contacts", None)
    with pytest.raises(ModuleNotFoundError, match=r"linkedapi_async\.contacts"):
        shell("mcp")
