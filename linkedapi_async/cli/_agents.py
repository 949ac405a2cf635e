"""The command that serves agents: mcp."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from linkedapi_async._http.requests import is_loopback
from linkedapi_async._utils.secret import Secret
from linkedapi_async.cli._console import Console
from linkedapi_async.cli._contacts import contacts_of, contacts_options
from linkedapi_async.cli._credentials import credential_options, credentials, variables
from linkedapi_async.cli._exit_codes import CommandError
from linkedapi_async.cli._messages import message_of
from linkedapi_async.cli._pace import pace_of, pace_options
from linkedapi_async.cli._signals import SignalHandler


if TYPE_CHECKING:
    from linkedapi_async.agents import WorkflowService

TOKEN: Final = "LINKED_API_MCP_TOKEN"  # noqa: S105  # the name of a variable
"""The variable with the secret of the clients of a server over HTTP."""


@click.command(short_help="Serve agents over the Model Context Protocol.")
@click.option(
    "--allow-writes",
    is_flag=True,
    help="Send workflows that write to LinkedIn, each once.",
)
@click.option(
    "--journal",
    metavar="FILE",
    help="Record writes here; by default in your state directory.",
)
@click.option(
    "--http",
    metavar="HOST:PORT",
    help="Serve HTTP at a loopback address instead of standard input and output.",
)
@click.option(
    "--wait",
    type=click.FloatRange(0),
    default=45.0,
    show_default=True,
    metavar="SECONDS",
    help="How long a call waits for its result before it answers with an id.",
)
@pace_options
@contacts_options
@credential_options
def mcp(
    *,
    allow_writes: bool,
    journal: str | None,
    http: str | None,
    wait: float,
    per_day: Sequence[tuple[str, int]],
    hours: str | None,
    min_interval: float | None,
    contacts: str | None,
    once_in: float,
    never: str | None,
    **options: Any,
) -> None:
    """Serve agents over the Model Context Protocol: four tools for every workflow.

    An editor or a chat program starts it and communicates by standard input and output.
    It only reads, unless you pass --allow-writes. Then the program asks you before each
    write, if it can. Each write is sent once, also after a crash: the same action is
    not done to a person again unless the agent passes a new key.

    With --http it serves http://HOST:PORT/mcp, on this machine only, for clients that
    send the header "Authorization: Bearer ..." with the value of LINKED_API_MCP_TOKEN.

    \b
    Examples:
      linkedapi mcp
      linkedapi mcp --allow-writes --per-day stMessages 25
      linkedapi mcp --http 127.0.0.1:8765
    """
    try:
        # Imported here: other commands do not need the extra.
        from linkedapi_async import agents  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name not in {"mcp", "uvicorn"}:
            raise
        raise CommandError(
            "the server for agents needs its extra; install it with: "
            "python -m pip install 'linkedapi-async[mcp]'"
        ) from error
    creds = credentials(**options)
    pace = pace_of(per_day, hours, min_interval)
    if journal is None and (allow_writes or pace is not None):
        journal = str(_default_journal())
    service = agents.WorkflowService(
        creds.session,
        account_of=creds.one,
        allow_writes=allow_writes,
        journal=journal,
        pace=pace,
        contacts=contacts_of(contacts, once_in, never),
        wait=wait,
        describe=message_of,
    )
    if http is None:
        asyncio.run(serve_stdio(service))
        return
    host, port = _address(http)
    token = _token(options["env_file"])
    with _listening(host, port) as listener:
        asyncio.run(_serve_http(service, listener, token, creds.console))


def state_folder() -> Path:
    """Return the folder for data of this user's programs."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")


def _default_journal() -> Path:
    folder = state_folder() / "linkedapi"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder / "agents.journal"


# Standard input and output


async def serve_stdio(
    service: WorkflowService, *, exit: Callable[[int], Any] = os._exit
) -> None:
    """Serve a service on standard input and output, until the input ends or a signal.

    Args:
        service: The service, not entered.
        exit: Ends the process with a status, after a signal.
    """
    with SignalHandler(lambda: "the server ends", lambda: "") as signals:
        async with service:
            serving = asyncio.ensure_future(_stdio(service))
            received = asyncio.ensure_future(signals.wait())
            await asyncio.wait({serving, received}, return_when=asyncio.FIRST_COMPLETED)
        if signals.status is not None:
            # A thread reads standard input, and nothing interrupts it.
            exit(signals.status)
        received.cancel()
        await serving


async def _stdio(service: WorkflowService) -> None:
    from mcp.server.stdio import stdio_server  # noqa: PLC0415  # as above

    from linkedapi_async.agents import make_server  # noqa: PLC0415

    server = make_server(service)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


# HTTP


def _address(text: str) -> tuple[str, int]:
    """Return the host and the port of ``HOST:PORT``."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not port.isdecimal() or int(port) > 65535:  # noqa: PLR2004  # the highest port
        raise CommandError(f"--http must be as in 127.0.0.1:8765, got {text!r}")
    if not is_loopback(host):
        raise CommandError(
            f"--http must be a loopback address such as 127.0.0.1, got {host!r}, "
            "because every client acts as you; put a proxy with TLS and a login before "
            "it to reach it from elsewhere"
        )
    return host, int(port)


def _token(env_file: str | None) -> Secret[str]:
    token = Secret(variables(env_file, (TOKEN,)).reveal().get(TOKEN, ""))
    if not token.reveal():
        raise CommandError(
            f"{TOKEN} is not set; set it to a long random text, and give it to the "
            "clients of the server"
        )
    return token


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        message = f"cannot listen at {host}:{port}: {error.strerror or error}"
        raise CommandError(message) from error


async def _serve_http(
    service: WorkflowService,
    listener: socket.socket,
    token: Secret[str],
    console: Console,
) -> None:
    from linkedapi_async.agents import http_app, make_server, serve_http  # noqa: PLC0415  # as above

    host, port = listener.getsockname()[:2]
    async with service:
        try:
            app = http_app(make_server(service), token=token.reveal(), port=port)
        except ValueError as error:
            raise CommandError(f"{TOKEN}: {error}") from None
        # The reader of the URL may send a signal at once.
        with SignalHandler(lambda: "the server ends", lambda: "") as signals:
            name = f"[{host}]" if ":" in host else host
            click.echo(f"http://{name}:{port}/mcp")
            console.info(f"clients send the header Authorization: Bearer ${TOKEN}")
            await serve_http(app, listener, signals.wait)
