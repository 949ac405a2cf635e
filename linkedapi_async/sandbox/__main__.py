"""Runs a sandbox: ``python -m linkedapi_async.sandbox --port 8080``."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys

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
    return parser.parse_args()


async def _serve(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Windows has no signal handlers; Ctrl-C raises KeyboardInterrupt there.
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop.set)
    sandbox = Sandbox(
        speed=options.speed,
        seed=options.seed,
        tokens=options.token,
        host=options.host,
        port=options.port,
    )
    async with sandbox:
        tokens = "the given tokens" if options.token else "any token"
        line = (
            f"Linked API sandbox at {sandbox.url}, with {tokens}: "
            f"LINKED_API_BASE_URL={sandbox.url} points Session.from_env() at it\n"
        )
        sys.stdout.write(line)
        sys.stdout.flush()
        await stop.wait()


def main() -> None:
    """Run a sandbox until Ctrl-C or SIGTERM."""
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(_options()))


if __name__ == "__main__":
    main()
