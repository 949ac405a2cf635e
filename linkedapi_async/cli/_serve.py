"""Commands that serve: a sandbox, and a receiver of webhooks."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any, Final

import click
from aiohttp import web

from linkedapi_async._http.requests import is_loopback
from linkedapi_async._utils.secret import Secret
from linkedapi_async.cli._console import Console, quiet_option
from linkedapi_async.cli._credentials import variables
from linkedapi_async.cli._exit_codes import CommandError
from linkedapi_async.cli._output import as_json
from linkedapi_async.cli._signals import SignalHandler
from linkedapi_async.sandbox import Sandbox
from linkedapi_async.sandbox._admin import MAX_SEATS
from linkedapi_async.sandbox._options import REACHABLE, parse_hours, parse_limits
from linkedapi_async.webhooks import Event, WebhookReceiver


SECRETS: Final = ("LINKED_API_WEBHOOK_SECRET", "LINKED_API_WEBHOOK_SECRET_OLD")
"""The variables with the secrets of a webhook: the current and the previous one."""

_HOST: Final = click.option(
    "--host", default="127.0.0.1", show_default=True, help="The address to listen on."
)
_PORT: Final = click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="The port to listen on; 0 picks a free one.",
)


@click.command(short_help="Run a local server that behaves like the API.")
@_HOST
@_PORT
@click.option(
    "--speed",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    show_default=True,
    help="How many times faster than the API it works.",
)
@click.option(
    "--seed", default=0, show_default=True, help="The seed of the invented people."
)
@click.option(
    "--duration",
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="How long each workflow takes, before it is divided by the speed.",
)
@click.option(
    "--limits",
    multiple=True,
    metavar="LIMIT",
    help="Enforce a limit such as stMessages:daily=50, or the default ones.",
)
@click.option(
    "--note-limit",
    type=click.IntRange(0),
    metavar="NUMBER",
    help="Let connection requests with a note fail above this number a month.",
)
@click.option(
    "--working-hours",
    metavar="HOURS",
    help="Run workflows only within hours such as 09:00-17:00.",
)
@click.option(
    "--working-days",
    metavar="DAYS",
    help="Days such as mon,tue; by default mon to fri.",
)
@click.option(
    "--refuse-off-hours",
    is_flag=True,
    help="Refuse starts outside of the working hours instead of parking them.",
)
@click.option(
    "--timezone",
    default="UTC",
    show_default=True,
    help="The time zone of limits and working hours.",
)
@click.option(
    "--now",
    metavar="TIME",
    help="When its clock starts, in ISO 8601 with a time zone; by default now.",
)
@click.option(
    "--seats",
    type=click.IntRange(1, MAX_SEATS),
    default=MAX_SEATS,
    show_default=True,
    help="The number of seats of the subscription.",
)
@click.option(
    "--sign-out",
    "signed_out",
    multiple=True,
    metavar="TOKEN",
    help="Sign out the account of this identification token.",
)
@click.option(
    "--control",
    is_flag=True,
    help="Control it over HTTP by /sandbox/…, which shows its log, too.",
)
@quiet_option
def sandbox(
    *,
    limits: tuple[str, ...],
    working_hours: str | None,
    working_days: str | None,
    refuse_off_hours: bool,
    now: str | None,
    signed_out: tuple[str, ...],
    quiet: bool,
    **settings: Any,
) -> None:
    """Run a local server that behaves like the Linked API, with invented people.

    It accepts any tokens, speaks both generations, prints its URL when it listens, and
    ends with Ctrl-C.

    \b
    Examples:
      linkedapi sandbox
      linkedapi sandbox --port 8099 --speed 100
      linkedapi sandbox --limits default --working-hours 09:00-17:00
    """
    host, port = settings["host"], settings["port"]
    console = Console(quiet)
    try:
        box = Sandbox(
            limits=parse_limits(limits),
            working_hours=parse_hours(
                working_hours, working_days, refuse=refuse_off_hours
            ),
            now=None if now is None else dt.datetime.fromisoformat(now),
            **settings,
        )
    except ValueError as error:
        raise CommandError(str(error)) from None
    for token in signed_out:
        box.sign_out(token)
    if not is_loopback(host):
        console.info(f"warning: {REACHABLE.format(host=host)}")
    try:
        asyncio.run(_serve(box, console))
    except OSError as error:
        raise _cannot_listen(host, port, error) from error


async def _serve(box: Sandbox, console: Console) -> None:
    async with box:
        # The reader of the URL may send a signal at once.
        with SignalHandler(lambda: "the sandbox ends", lambda: "") as signals:
            click.echo(box.url)
            console.info(
                "any tokens work: LINKED_API_TOKEN=sandbox "
                "IDENTIFICATION_TOKEN=sandbox "
                f"LINKED_API_BASE_URL={box.url} linkedapi run …"
            )
            await signals.wait()


def _cannot_listen(host: str, port: int, error: OSError) -> CommandError:
    return CommandError(f"cannot listen at {host}:{port}: {error.strerror or error}")


@click.group(short_help="Receive webhooks.")
def webhook() -> None:
    """Receive webhooks."""


@webhook.command(short_help="Print incoming events.")
@_HOST
@_PORT
@click.option(
    "--path", default="/", show_default=True, help="The path that events are posted to."
)
@click.option(
    "--count",
    type=click.IntRange(1),
    metavar="NUMBER",
    help="End after this many events.",
)
@click.option(
    "--allow-unsigned", is_flag=True, help="Accept events without a signature."
)
@click.option(
    "--env-file",
    metavar="FILE",
    help="Read the secret from NAME=value lines; only you may read the file.",
)
@quiet_option
def listen(
    *,
    host: str,
    port: int,
    path: str,
    count: int | None,
    allow_unsigned: bool,
    env_file: str | None,
    quiet: bool,
) -> None:
    """Print incoming events, each as a line of JSON, each once.

    The secret of the webhook comes from LINKED_API_WEBHOOK_SECRET; during a rotation,
    the previous one comes from LINKED_API_WEBHOOK_SECRET_OLD. The API posts to public
    https addresses only: a proxy or a tunnel has to forward its deliveries.

    \b
    Examples:
      linkedapi webhook listen --port 8090 --path /hook
      linkedapi webhook listen --count 1 --allow-unsigned
    """
    found = variables(env_file, SECRETS)
    secrets = Secret([found.reveal()[n] for n in SECRETS if found.reveal().get(n)])
    if not secrets.reveal() and not allow_unsigned:
        raise CommandError(f"{SECRETS[0]} is not set; set it, or add --allow-unsigned")
    # aiohttp reads braces as a variable part of the path.
    if not path.startswith("/") or "{" in path:
        raise CommandError(f"--path must be a path such as /hook, got {path!r}")
    try:
        receiver = WebhookReceiver(
            secrets=secrets.reveal(),
            allow_unsigned=allow_unsigned and not secrets.reveal(),
        )
    except ValueError as error:
        raise CommandError(str(error)) from None
    try:
        asyncio.run(_listen(receiver, (host, port), path, count, Console(quiet)))
    except OSError as error:
        raise _cannot_listen(host, port, error) from error


async def _listen(
    receiver: WebhookReceiver,
    address: tuple[str, int],
    path: str,
    count: int | None,
    console: Console,
) -> None:
    complete = asyncio.Event()

    def print_event(event: Event) -> None:
        """Print an event before its delivery is answered: none is lost."""
        click.echo(as_json(event.raw, indent=None))
        # The receiver counts an event after its callbacks.
        if count is not None and receiver.received + 1 >= count:
            complete.set()

    receiver.subscribe(print_event)
    app = web.Application()
    app.router.add_post(path, receiver.handle)
    # By default, an open connection would delay the end by a minute.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, *address)
        await site.start()
        host, port = runner.addresses[0][:2]
        with SignalHandler(lambda: "the receiver ends", lambda: "") as signals:
            console.info(f"listening at http://{host}:{port}{path}")
            received = asyncio.ensure_future(signals.wait())
            done = asyncio.ensure_future(complete.wait())
            await asyncio.wait({received, done}, return_when=asyncio.FIRST_COMPLETED)
            received.cancel()
            done.cancel()
    finally:
        await runner.cleanup()
    console.info(
        f"{receiver.received} events, {receiver.duplicates} repeated, "
        f"{receiver.refused} refused"
    )
