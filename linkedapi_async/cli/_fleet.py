"""Commands beyond one machine: a worker, and the queue that workers run."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import attrs
import click
from aiohttp import web

from linkedapi_async._utils.json import decode_json
from linkedapi_async.cli._console import Console, quiet_option
from linkedapi_async.cli._exit_codes import LATER, CommandError
from linkedapi_async.cli._output import as_json, show
from linkedapi_async.cli._signals import SignalHandler


if TYPE_CHECKING:
    from linkedapi_async.fleet import Queue, Worker


T = TypeVar("T")


@click.command(short_help="Run lanes of a queue.")
@click.argument("target", metavar="MODULE:ATTRIBUTE")
@click.option(
    "--health",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Answer probes at this port with JSON; 503 while something is wrong.",
)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="The address for probes."
)
@quiet_option
def worker(*, target: str, health: int | None, host: str, quiet: bool) -> None:
    """Run a worker: an object of linkedapi_async.fleet.Worker in a module.

    Ctrl-C and SIGTERM give its lanes to other workers and end it with status 0. It ends
    with 75 if it was suspended for longer than its ttl and another worker has taken
    over.

    \b
    Examples:
      linkedapi worker worker:worker
      linkedapi worker myapp.worker:worker --health 8081 --host 0.0.0.0
    """
    found = _worker_of(target)
    try:
        status = asyncio.run(_work(found, (host, health), Console(quiet)))
    except ValueError as error:
        raise CommandError(str(error)) from error
    if status:
        raise CommandError("another worker has taken over the lanes of this one", LATER)


def _worker_of(target: str) -> Worker:
    """Return the worker that MODULE:ATTRIBUTE names."""
    kind = fleet_module().Worker
    name, _, attribute = target.partition(":")
    if not name or not attribute:
        message = f"expected MODULE:ATTRIBUTE such as worker:worker, got {target!r}"
        raise CommandError(message)
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        # A module that it imports and that is missing is an error of its own.
        if error.name != name.partition(".")[0] and error.name != name:
            raise
        message = f"there is no module {name!r} in {folder} or in the environment"
        raise CommandError(message) from None
    found = getattr(module, attribute, None)
    if not isinstance(found, kind):
        message = f"{target} must be a linkedapi_async.fleet.Worker, got {found!r}"
        raise CommandError(message)
    return cast("Worker", found)


async def _work(
    found: Worker, address: tuple[str, int | None], console: Console
) -> int:
    async def health(_: web.Request) -> web.Response:
        """Answer a probe."""
        known = found.health()
        return web.json_response(known, status=200 if known["ok"] else 503)

    app = web.Application()
    app.router.add_get("/", health)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        host, port = address
        if port is not None:
            await web.TCPSite(runner, host, port).start()
            console.info(f"probes at http://{host}:{runner.addresses[0][1]}/")
        with SignalHandler(
            lambda: (
                "the worker gives its lanes to others; press Ctrl-C again to end it at once"
            ),
            lambda: "starts in progress may be unknown: see linkedapi queue unknown",
        ) as signals:
            task = asyncio.create_task(found.run())
            stopped = asyncio.create_task(signals.wait())
            await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            found.stop()
            return await task
    finally:
        await runner.cleanup()


def fleet_module() -> Any:
    """Return the module of queues and workers, which needs an extra.

    Raises:
        CommandError: The extra is not installed.
    """
    try:
        return importlib.import_module("linkedapi_async.fleet")
    except ImportError as error:
        raise CommandError(str(error)) from None


@click.group(short_help="Show and change a queue of workers.")
def queue() -> None:
    """Show and change a queue of workers.

    The variable LINKED_API_QUEUE has its URL, or the option --url. No command needs
    tokens.

    \b
    Examples:
      linkedapi queue status --url sqlite:///work.sqlite3
      LINKED_API_QUEUE=postgresql://me@db/work linkedapi queue unknown
    """


def _command(name: str, short_help: str) -> Callable[[Callable[..., Any]], Any]:
    """Return what makes a function a command of the queue, with its options."""

    def decorate(function: Callable[..., Any]) -> Any:
        with_url = click.option(
            "--url",
            required=True,
            envvar="LINKED_API_QUEUE",
            show_envvar=True,
            metavar="URL",
            help="postgresql://… or sqlite:///path.",
        )(function)
        return queue.command(name, short_help=short_help)(with_url)

    return decorate


def check_typed(option: str, url: str) -> None:
    """Check the URL of a queue that is an argument of the command.

    Raises:
        CommandError: It is of something else, or has a password.
    """
    fleet_module()
    from linkedapi_async.fleet._connection import validate_database_url  # noqa: PLC0415

    try:
        parts = validate_database_url(url)
    except ValueError as error:
        raise CommandError(f"{option}: {error}") from error
    if parts.password is not None or "password" in parts.query:
        raise CommandError(
            f"{option} must not have a password, because other programs can read the "
            "arguments of a command; set PGPASSWORD, or store it in ~/.pgpass"
        )


def _use(url: str, work: Callable[[Queue], Awaitable[T]]) -> T:
    """Return what *work* returns for the queue at a URL."""
    source = click.get_current_context().get_parameter_source("url")
    if source is click.core.ParameterSource.COMMANDLINE:
        check_typed("--url", url)
    fleet = fleet_module()

    async def use() -> T:
        async with fleet.Queue(url) as found:
            return await work(found)

    try:
        _check_exists(url)
        return asyncio.run(use())
    except ValueError as error:
        raise CommandError(str(error)) from error


def _check_exists(url: str) -> None:
    """Check that the file of a queue is there, because opening one creates it.

    Raises:
        CommandError: It is not.
        ValueError: The URL is of something else.
    """
    from linkedapi_async.fleet._connection import validate_database_url  # noqa: PLC0415

    parts = validate_database_url(url)
    if parts.get_backend_name() == "sqlite" and not Path(str(parts.database)).exists():
        raise CommandError(
            f"there is no queue in {parts.database}: the file does not exist; check the "
            "URL, or submit a workflow first"
        )


@_command("status", "Print the number of items by state.")
def status(*, url: str) -> None:
    """Print the number of items by state, as JSON.

    \b
    Examples:
      linkedapi queue status --url sqlite:///work.sqlite3
    """
    show(attrs.asdict(_use(url, lambda found: found.progress())))


@_command("results", "Print what has ended.")
@click.option(
    "--after", default=0, metavar="CURSOR", help="Only results after this cursor."
)
@click.option("--failed", is_flag=True, help="Only those with an error, at most 200.")
@click.option("--follow", is_flag=True, help="Wait for more, until Ctrl-C.")
def results(*, url: str, after: int, failed: bool, follow: bool) -> None:
    """Print what has ended, each as a line of JSON, with its cursor.

    \b
    Examples:
      linkedapi queue results > ended.jsonl
      linkedapi queue results --after 1200
      linkedapi queue results --failed
    """

    def line(done: Any) -> None:
        row = attrs.asdict(done)
        row["definition"] = decode_json(done.definition.encode())
        row["body"] = None if done.body is None else decode_json(done.body.encode())
        click.echo(as_json(row, indent=None))

    async def read(found: Queue) -> None:
        """Print the results of an open queue."""
        if failed:
            for done in await found.failed(after):
                line(done)
            return
        async for done in found.results(after, follow=follow):
            line(done)

    _use(url, read)


@_command("unknown", "Print the starts that wait for a decision.")
def unknown(*, url: str) -> None:
    """Print the starts that may have been accepted, each as a line of JSON.

    \b
    Examples:
      linkedapi queue unknown
    """
    for start in _use(url, lambda found: found.unknown()):
        row = attrs.asdict(start)
        row["definition"] = decode_json(start.definition.encode())
        click.echo(as_json(row, indent=None))


@_command("adopt", "Decide that a start was accepted.")
@click.argument("key")
@click.argument("workflow_id", metavar="ID")
def adopt(*, url: str, key: str, workflow_id: str) -> None:
    """Decide that an unknown start was accepted, as the workflow ID.

    \b
    Examples:
      linkedapi queue adopt hello/ada wf-1f0c2a9e
    """
    _use(url, lambda found: found.adopt(key, workflow_id))


@_command("discard", "Decide that a start was not accepted.")
@click.argument("key")
def discard(*, url: str, key: str) -> None:
    """Decide that an unknown start was not accepted: it is sent again.

    \b
    Examples:
      linkedapi queue discard hello/ada
    """
    _use(url, lambda found: found.discard(key))


@_command("cancel", "Cancel an item.")
@click.argument("key")
def cancel(*, url: str, key: str) -> None:
    """Cancel an item, and print cancelled, requested (it runs) or finished.

    \b
    Examples:
      linkedapi queue cancel hello/ada
    """
    click.echo(_use(url, lambda found: found.cancel(key)))


@_command("retry", "Run a failed item again.")
@click.argument("key")
@click.option(
    "--again", is_flag=True, help="Also if it may have changed something on LinkedIn."
)
def retry(*, url: str, key: str, again: bool) -> None:
    """Run a failed or cancelled item again; its result is removed.

    \b
    Examples:
      linkedapi queue retry hello/ada
    """
    _use(url, lambda found: found.retry(key, again=again))
