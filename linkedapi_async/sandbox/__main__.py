"""Runs a sandbox: ``python -m linkedapi_async.sandbox --port 8080``."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime as dt
import signal
import sys

from linkedapi_async._http.requests import is_loopback
from linkedapi_async.sandbox._admin import MAX_SEATS
from linkedapi_async.sandbox._options import REACHABLE, parse_hours, parse_limits
from linkedapi_async.sandbox._server import Sandbox


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m linkedapi_async.sandbox",
        description="Run a local server that behaves like the Linked API.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument(
        "--port",
        type=int,
        default=8080,
        help="the port to listen on; 0 takes a free one",
    )
    parser.add_argument(
        "--speed",
        type=float,
        default=1.0,
        help="how many times faster than the API it works",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="the seed of the made-up people"
    )
    parser.add_argument(
        "--token",
        action="append",
        help="a valid main token; may be repeated; by default any is valid",
    )
    parser.add_argument(
        "--duration", type=float, help="how long each workflow takes, in seconds"
    )
    parser.add_argument(
        "--limits",
        action="append",
        default=[],
        help="a limit such as stMessages:daily=50, or default; may be repeated",
    )
    parser.add_argument(
        "--note-limit", type=int, help="the monthly maximum of requests with a note"
    )
    parser.add_argument("--working-hours", help="hours such as 09:00-17:00")
    parser.add_argument("--working-days", help="days such as mon,tue")
    parser.add_argument(
        "--refuse-off-hours",
        action="store_true",
        help="refuse starts outside of the working hours instead of parking them",
    )
    parser.add_argument(
        "--timezone", default="UTC", help="the time zone of limits and working hours"
    )
    parser.add_argument(
        "--now", type=dt.datetime.fromisoformat, help="when its clock starts"
    )
    parser.add_argument(
        "--seats", type=int, default=MAX_SEATS, help="the number of seats"
    )
    parser.add_argument(
        "--sign-out",
        action="append",
        default=[],
        help="the identification token of an account to sign out; may be repeated",
    )
    parser.add_argument(
        "--control",
        action="store_true",
        help="control it over HTTP by /sandbox/…, which shows its log, too",
    )
    return parser.parse_args()


def _sandbox(options: argparse.Namespace) -> Sandbox:
    sandbox = Sandbox(
        speed=options.speed,
        seed=options.seed,
        duration=options.duration,
        tokens=options.token,
        limits=parse_limits(options.limits),
        note_limit=options.note_limit,
        working_hours=parse_hours(
            options.working_hours,
            options.working_days,
            refuse=options.refuse_off_hours,
        ),
        timezone=options.timezone,
        now=options.now,
        seats=options.seats,
        control=options.control,
        host=options.host,
        port=options.port,
    )
    for token in options.sign_out:
        sandbox.sign_out(token)
    if not is_loopback(options.host):
        sys.stderr.write(f"warning: {REACHABLE.format(host=options.host)}\n")
    return sandbox


async def _serve(sandbox: Sandbox, tokens: list[str] | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Windows has no signal handlers; Ctrl-C raises KeyboardInterrupt there.
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop.set)
    async with sandbox:
        accepted = "the given tokens" if tokens else "any token"
        line = (
            f"Linked API sandbox at {sandbox.url}, with {accepted}: "
            f"LINKED_API_BASE_URL={sandbox.url} points Session.from_env() at it\n"
        )
        sys.stdout.write(line)
        sys.stdout.flush()
        await stop.wait()


def main() -> None:
    """Run a sandbox until Ctrl-C or SIGTERM."""
    options = _options()
    try:
        sandbox = _sandbox(options)
    except ValueError as error:
        sys.exit(f"error: {error}")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(sandbox, options.token))


if __name__ == "__main__":
    main()
