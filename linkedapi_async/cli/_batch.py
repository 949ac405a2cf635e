"""The command ``batch``: one workflow per row of a file."""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path
from typing import Any

import attrs
import click

from linkedapi_async._actions.action import Action
from linkedapi_async._wire.dump import dump_workflow
from linkedapi_async.cli._batch_runner import Batch, BatchRunner, checked, written_keys
from linkedapi_async.cli._console import ask
from linkedapi_async.cli._credentials import (
    Credentials,
    credential_options,
    credentials,
)
from linkedapi_async.cli._exit_codes import CommandError
from linkedapi_async.cli._output import as_json
from linkedapi_async.cli._progress import Progress, progress_display
from linkedapi_async.cli._row_input import read_rows
from linkedapi_async.cli._signals import SignalHandler
from linkedapi_async.cli._template import Template
from linkedapi_async.cli._workflow_input import read_definition, writing_actions
from linkedapi_async.explain import explain_batch
from linkedapi_async.export import JsonlWriter


@attrs.frozen(kw_only=True)
class BatchFiles:
    """Where a batch keeps what it knows, and how it is called again."""

    results: Path
    journal: Path
    limit: int
    again: str


@click.command(short_help="Run one workflow per row of a file.")
@click.argument("template", metavar="TEMPLATE")
@click.option(
    "--from",
    "source",
    required=True,
    metavar="FILE",
    help="The rows: CSV in UTF-8, or JSON Lines (.jsonl).",
)
@click.option(
    "--out",
    required=True,
    metavar="FILE",
    help="Where results go, one line of JSON for each row.",
)
@click.option(
    "--journal",
    metavar="FILE",
    help="Where to note what was started; by default the results' name and .journal.",
)
@click.option(
    "--key",
    metavar="COLUMN",
    help="The column that tells rows apart; by default their workflows do.",
)
@click.option(
    "--delimiter", default=",", show_default=True, help="What stands between cells."
)
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="How many are in flight on each account at most.",
)
@click.option("--yes", is_flag=True, help="Do not ask before it writes.")
@click.option("--dry-run", is_flag=True, help="Print what would be sent, send nothing.")
@credential_options
@click.pass_context
def batch(
    context: click.Context,
    /,
    *,
    template: str,
    source: str,
    out: str,
    journal: str | None,
    key: str | None,
    delimiter: str,
    limit: int,
    yes: bool,
    dry_run: bool,
    **way: Any,
) -> None:
    """Run one workflow per row of a file, each row once.

    TEMPLATE is a workflow in JSON, or module:attribute, with placeholders in its texts:
    {{column}} becomes the cell. A value that is only a placeholder takes the type that
    its parameter needs, a list being split at ; and left out where its cell is empty.
    {{column?}} may be empty inside of a text. All rows are filled and checked before
    anything is sent.

    Killed at any point and started again, it goes on where it was: nothing is started
    twice, and each row comes into the results once. A row is known by its workflow (or
    its --key), so the rows may be added to, removed and moved in between. A start that
    nobody knows the fate of is not repeated; "linkedapi recover" decides on it. With
    several --accounts, each takes the next row when it has room.

    The first Ctrl-C, or SIGTERM, starts nothing more and waits for what is in flight;
    the second leaves at once. Neither loses anything.

    \b
    Examples:
      linkedapi batch hello.json --from people.csv --out results.jsonl --dry-run
      linkedapi batch visit.json --from people.csv --out visits.jsonl --key url
      linkedapi batch hello.json --from people.csv --out results.jsonl --yes
    """
    way_in = credentials(**way)
    with way_in.talk.warnings():
        made = checked(
            Template(_definition(template)),
            read_rows(source, delimiter=_character(delimiter)),
            source=source,
            key=key,
            generation=way_in.generation,
        )
    if dry_run:
        _show(made, way_in)
        return
    again = shlex.join(["linkedapi", *context.meta["arguments"]])
    place = BatchFiles(
        results=Path(out),
        journal=Path(journal or f"{out}.journal"),
        limit=limit,
        again=again,
    )
    _confirm(made, way_in, yes=yes)
    try:
        status = asyncio.run(_run(made, way_in, place))
    except FileNotFoundError as error:
        message = f"{error.filename}: {error.strerror}"
        raise CommandError(message) from error
    if status:
        context.exit(status)


def _character(delimiter: str) -> str:
    found = delimiter.replace("\\t", "\t")
    if len(found) != 1:
        message = f"--delimiter: one character, or \\t, is due, got {delimiter!r}"
        raise CommandError(message)
    return found


def _definition(template: str) -> Any:
    """Return the JSON of a template; a built workflow has placeholders in its texts."""
    found = read_definition(template)
    if isinstance(found, Action | tuple):
        return dump_workflow(found)
    return found


def _show(made: Batch, way_in: Credentials) -> None:
    """Print what would be sent, one line of JSON for each row."""
    for item in made.items:
        definition = dump_workflow(made.workflow(item))
        line = {"key": item.key, "line": item.person.line, "workflow": definition}
        click.echo(as_json(line, indent=None))
    way_in.talk.say(str(_cost(made, way_in)))
    way_in.talk.say(f"{len(made.items)} would be sent to {way_in.base_url}")


def _cost(made: Batch, way_in: Credentials) -> object:
    return explain_batch(
        made.workflows(),
        generation=made.generation or "linked_api",
        accounts=max(1, len(way_in.accounts)),
    )


def _confirm(made: Batch, way_in: Credentials, *, yes: bool) -> None:
    first = next(made.workflows())
    writes = writing_actions(first)
    if writes:
        if not yes:
            way_in.talk.say(str(_cost(made, way_in)))
        lines = "\n  ".join(writes)
        question = (
            f"This writes to LinkedIn, for {len(made.items)} rows:\n  {lines}\nSend"
        )
        ask(question, yes=yes)


async def _run(made: Batch, way_in: Credentials, place: BatchFiles) -> int:
    """Run a batch, and return the exit status."""
    pace = Progress(total=len(made.items))

    def first() -> str:
        """Return what is said at the first signal."""
        return (
            f"nothing more is started, {pace.in_flight} in flight end first; "
            "again to leave at once, nothing is lost"
        )

    def last() -> str:
        """Return how to go on."""
        return f"{pace.done} of {pace.total} done; go on with: {place.again}"

    with JsonlWriter(place.results, append=True, fsync=True) as results:
        written = written_keys(place.results)
        async with way_in.session(journal=place.journal) as session:
            assert session.journal is not None  # noqa: S101  # it was given one
            with (
                SignalHandler(first, last) as stop,
                progress_display(pace, way_in.talk) as changed,
            ):
                run = BatchRunner(
                    batch=made,
                    accounts=way_in.all(session),
                    journal=session.journal,
                    results=results,
                    limit=place.limit,
                    stop=stop,
                    pace=pace,
                    changed=changed,
                )
                await run.go(written)
    if stop.heard:
        raise stop.failure()
    if run.unknown:
        way_in.talk.say(
            f"{run.unknown} may have been started: linkedapi recover "
            f"{shlex.quote(str(place.journal))} tells how to decide"
        )
    if run.left:
        way_in.talk.say(last())
    return run.status
