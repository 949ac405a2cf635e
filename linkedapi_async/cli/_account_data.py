"""Commands that need no workflow: whoami, inbox, network, usage, feedback."""

from __future__ import annotations

import asyncio
import datetime as dt
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import attrs
import click

from linkedapi_async._utils.times import format_time, parse_time
from linkedapi_async.cli._console import option_group
from linkedapi_async.cli._credentials import (
    Credentials,
    credential_options,
    credentials,
)
from linkedapi_async.cli._exit_codes import CommandError
from linkedapi_async.cli._output import (
    FORMATS,
    answer_options,
    as_json,
    fields_option,
    selected,
    show_answer,
)
from linkedapi_async.cli._parameters import Words, as_command_errors
from linkedapi_async.cli._signals import SignalHandler
from linkedapi_async.session._account import Account
from linkedapi_async.session._inbox import ItemStream


T = TypeVar("T")

DAYS: Final = 7
"""The period of the usage, if none is given."""

_OPTION_NAMES: Final = {name: f"--{name}" for name in ("since", "start", "end", "type")}


def ask(creds: Credentials, work: Callable[[Account], Awaitable[T]]) -> T:
    """Return what *work* returns for the account of *creds*.

    Raises:
        CommandError: A value is wrong.
    """

    async def asked() -> T:
        """Open a session for the request."""
        async with creds.session() as session:
            with as_command_errors(_OPTION_NAMES):
                return await work(creds.one(session))

    return asyncio.run(asked())


@click.command(short_help="Print who the account is, which checks both tokens.")
@answer_options
@credential_options
def whoami(*, format_: str, **options: Any) -> None:
    """Print who the account is, which checks both tokens.

    \b
    Examples:
      linkedapi whoami
    """
    creds = credentials(**options)
    info = ask(creds, lambda account: account.info())
    show_answer(info.raw, format_, creds.console)


_stream_options = option_group(
    click.option("--follow", is_flag=True, help="Wait for new ones, until Ctrl-C."),
    click.option("--since", metavar="TIME", help="Only those since this moment."),
    click.option(
        "--cursor",
        metavar="FILE",
        help="Continue where the last command with this file ended.",
    ),
    click.option(
        "--interval",
        type=click.FloatRange(0, min_open=True),
        default=30.0,
        show_default=True,
        metavar="SECONDS",
        help="With --follow: the time between two polls.",
    ),
    click.option(
        "--count",
        type=click.IntRange(1),
        metavar="NUMBER",
        help="End after this many.",
    ),
    click.option(
        "--format",
        "format_",
        type=click.Choice(FORMATS),
        help="The format of the output; by default json, and jsonl with --follow.",
    ),
    fields_option,
    credential_options,
)


@attrs.frozen(kw_only=True)
class Feed:
    """Items to print, oldest first, and the position after the last one."""

    creds: Credentials
    follow: bool
    cursor: str | None
    count: int | None
    format_: str | None

    def show(
        self, open_stream: Callable[[Account, str | None], ItemStream[Any]]
    ) -> None:
        """Print the items of a stream.

        Args:
            open_stream: Returns the stream of an account from a cursor.

        Raises:
            CommandError: The cursor or another value is wrong, or a signal was received.
        """
        if self.follow and self.format_ not in {None, "jsonl"}:
            raise CommandError(f"--follow prints jsonl, got --format {self.format_}")
        asyncio.run(self._run(open_stream))

    async def _run(
        self, open_stream: Callable[[Account, str | None], ItemStream[Any]]
    ) -> None:
        position = self._read_cursor()
        async with self.creds.session() as session:
            account = self.creds.one(session)
            with SignalHandler(lambda: "it ends", lambda: "ended") as signals:
                try:
                    with as_command_errors(_OPTION_NAMES):
                        stream = open_stream(account, position)
                except ValueError as error:
                    # The library's message speaks of its methods.
                    message = f"{self.cursor} is not a cursor of this command"
                    raise CommandError(message) from error
                await signals.run_until_signal(self._consume(stream))

    async def _consume(self, stream: ItemStream[Any]) -> None:
        lines = self.follow or self.format_ == "jsonl"
        rows: list[Any] = []
        seen = 0
        async with stream:
            async for item in stream:
                seen += 1
                if lines:
                    click.echo(as_json(selected(item.raw), indent=None))
                    self._acknowledge(stream)
                else:
                    rows.append(item.raw)
                if seen == self.count:
                    break
        if not lines:
            show_answer(rows, self.format_ or "json", self.creds.console)
            self._acknowledge(stream)

    def _read_cursor(self) -> str | None:
        if self.cursor is None or not Path(self.cursor).exists():
            return None
        return Path(self.cursor).read_text("utf-8")

    def _acknowledge(self, stream: ItemStream[Any]) -> None:
        """Store the position, once the output has the items."""
        stream.acknowledge()
        sys.stdout.flush()
        if self.cursor is not None:
            new = Path(f"{self.cursor}.new")
            new.write_text(stream.cursor, encoding="utf-8")
            new.replace(self.cursor)


@click.command(short_help="Print the messages of the inbox, or follow them.")
@click.option(
    "--type", type=Words("st", "nv"), metavar="[st|nv]", help="By default both."
)
@click.option("--thread-id", metavar="ID", help="Only this conversation.")
@_stream_options
def inbox(
    *,
    follow: bool,
    since: str | None,
    cursor: str | None,
    interval: float,
    count: int | None,
    format_: str | None,
    type: str | None,
    thread_id: str | None,
    **options: Any,
) -> None:
    """Print the captured messages, oldest first; with --follow also new ones.

    The API captures messages once `linkedapi sync-inbox` has run. With --cursor, a
    message is printed again only if a command was killed while it was printed.

    \b
    Examples:
      linkedapi inbox
      linkedapi inbox --since 2026-11-01 --format csv
      linkedapi inbox --cursor inbox.cursor
    """
    feed = Feed(
        creds=credentials(**options),
        follow=follow,
        cursor=cursor,
        count=count,
        format_=format_,
    )
    feed.show(
        lambda account, position: account.messages(
            position,
            since=since,
            type=type,
            thread_id=thread_id,
            interval=interval,
            follow=follow,
        )
    )


@click.command(short_help="Print changes of the connections, or follow them.")
@click.option(
    "--type",
    type=Words("connectionAccepted", "connectionAdded", "connectionRequestReceived"),
    metavar="WORD",
    help="connectionAccepted, connectionAdded or connectionRequestReceived; by default "
    "all.",
)
@_stream_options
def network(
    *,
    follow: bool,
    since: str | None,
    cursor: str | None,
    interval: float,
    count: int | None,
    format_: str | None,
    type: str | None,
    **options: Any,
) -> None:
    """Print the changes of the connections, oldest first; with --follow also new ones.

    The API captures changes once `linkedapi sync-network` has run.

    \b
    Examples:
      linkedapi network
      linkedapi network --type connectionAccepted --format csv
    """
    feed = Feed(
        creds=credentials(**options),
        follow=follow,
        cursor=cursor,
        count=count,
        format_=format_,
    )
    feed.show(
        lambda account, position: account.network_events(
            position, since=since, type=type, interval=interval, follow=follow
        )
    )


@click.command(short_help="Print the actions that the account has executed.")
@click.option("--start", metavar="TIME", help=f"By default {DAYS} days before the end.")
@click.option("--end", metavar="TIME", help="At most 30 days later; by default now.")
@answer_options
@credential_options
def usage(*, start: str | None, end: str | None, format_: str, **options: Any) -> None:
    """Print every action that the account has executed in a period.

    \b
    Examples:
      linkedapi usage
      linkedapi usage --start 2026-11-01T00:00:00Z --end 2026-11-08T00:00:00Z
    """
    creds = credentials(**options)
    now = dt.datetime.now(dt.UTC)
    until = end or format_time(now)
    begin = start or format_time(_moment(until) - dt.timedelta(days=DAYS))
    used = ask(creds, lambda account: account.usage(begin, until))
    show_answer([each.raw for each in used], format_, creds.console)


def _moment(text: str) -> dt.datetime:
    found = parse_time(text)
    if found is None:
        raise CommandError(f"--end must be ISO 8601 text, got {text!r}")
    return found


@click.command(short_help="Send feedback on the API to its makers.")
@click.argument("type", type=Words("bug", "feature", "praise", "other"))
@click.argument("message")
@click.option("--severity", metavar="WORD", help="low, medium or high.")
@click.option("--workflow-id", metavar="ID", help="The workflow that it is about.")
@click.option("--error-text", metavar="TEXT", help="The error that it is about.")
@credential_options
def feedback(
    *,
    type: str,
    message: str,
    severity: str | None,
    workflow_id: str | None,
    error_text: str | None,
    **options: Any,
) -> None:
    """Send feedback on the API to Linked API, and print its id.

    TYPE is bug, feature, praise or other. MESSAGE has at most 5,000 characters; - reads
    it from standard input.

    \b
    Examples:
      linkedapi feedback praise "It is good"
      linkedapi feedback bug "The feed is empty" --severity low
    """
    creds = credentials(**options)
    text = sys.stdin.read().strip() if message == "-" else message
    given = {
        "severity": severity,
        "workflow_id": workflow_id,
        "error_text": error_text,
    }
    context = {name: value for name, value in given.items() if value is not None}
    click.echo(ask(creds, lambda account: account.send_feedback(type, text, **context)))
