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
from linkedapi_async.cli._batch_runner import (
    Batch,
    BatchRunner,
    check_rows,
    written_keys,
)
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
    """The files of a batch, and the command that runs it again."""

    results: Path
    journal: Path
    limit: int
    command: str


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
    help="Write the results here, one line of JSON for each row.",
)
@click.option(
    "--journal",
    metavar="FILE",
    help="Record the starts here; by default the name of --out plus .journal.",
)
@click.option(
    "--key",
    metavar="COLUMN",
    help="The column that identifies a row; by default its workflow does.",
)
@click.option(
    "--delimiter",
    default=",",
    show_default=True,
    help="The character between cells.",
)
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="The most workflows in flight on each account.",
)
@click.option("--yes", is_flag=True, help="Write to LinkedIn without asking.")
@click.option("--dry-run", is_flag=True, help="Print the workflows and send nothing.")
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
    **options: Any,
) -> None:
    """Run one workflow per row of a file, each row once.

    TEMPLATE is a workflow in JSON, or module:attribute, with placeholders in its texts:
    {{column}} becomes the cell. A value that is a single placeholder takes the type of
    its parameter: a list is split at ; and an empty cell omits the parameter. Inside a
    text, only {{column?}} may be empty. All rows are checked before anything is sent.

    After a crash or a kill, run the same command again: it continues, starts nothing
    twice, and writes each row to the results once. A row is identified by its workflow
    (or its --key), so rows may be added, removed and moved in between. A start without
    an answer is not repeated; decide on it with "linkedapi recover". With several
    --accounts, each takes the next row when it has capacity.

    The first Ctrl-C, or SIGTERM, starts nothing more and waits for the workflows in
    flight; the second exits at once. Neither loses anything.

    \b
    Examples:
      linkedapi batch hello.json --from people.csv --out results.jsonl --dry-run
      linkedapi batch visit.json --from people.csv --out visits.jsonl --key url
      linkedapi batch hello.json --from people.csv --out results.jsonl --yes
    """
    creds = credentials(**options)
    with creds.console.warnings():
        checked = check_rows(
            Template(_definition(template)),
            read_rows(source, delimiter=_character(delimiter)),
            source=source,
            key=key,
            generation=creds.generation,
        )
    if dry_run:
        _show(checked, creds)
        return
    command = shlex.join(["linkedapi", *context.meta["arguments"]])
    files = BatchFiles(
        results=Path(out),
        journal=Path(journal or f"{out}.journal"),
        limit=limit,
        command=command,
    )
    _confirm(checked, creds, yes=yes)
    try:
        status = asyncio.run(_run(checked, creds, files))
    except FileNotFoundError as error:
        message = f"{error.filename}: {error.strerror}"
        raise CommandError(message) from error
    if status:
        context.exit(status)


def _character(delimiter: str) -> str:
    character = delimiter.replace("\\t", "\t")
    if len(character) != 1:
        message = f"--delimiter must be one character or \\t, got {delimiter!r}"
        raise CommandError(message)
    return character


def _definition(template: str) -> Any:
    """Return the JSON of a template, which may be a built workflow."""
    found = read_definition(template)
    if isinstance(found, Action | tuple):
        return dump_workflow(found)
    return found


def _show(checked: Batch, creds: Credentials) -> None:
    """Print the workflows, one line of JSON for each row."""
    for item in checked.items:
        definition = dump_workflow(checked.workflow(item))
        line = {"key": item.key, "line": item.row.line, "workflow": definition}
        click.echo(as_json(line, indent=None))
    creds.console.info(str(_cost(checked, creds)))
    creds.console.info(
        f"a run would send {len(checked.items)} workflows to {creds.base_url}"
    )


def _cost(checked: Batch, creds: Credentials) -> object:
    return explain_batch(
        checked.workflows(),
        generation=checked.generation or "linked_api",
        accounts=max(1, len(creds.accounts)),
    )


def _confirm(checked: Batch, creds: Credentials, *, yes: bool) -> None:
    first = next(checked.workflows())
    writes = writing_actions(first)
    if writes:
        if not yes:
            creds.console.info(str(_cost(checked, creds)))
        lines = "\n  ".join(writes)
        question = (
            f"This writes to LinkedIn for {len(checked.items)} rows:\n  {lines}\nSend"
        )
        ask(question, yes=yes)


async def _run(checked: Batch, creds: Credentials, files: BatchFiles) -> int:
    """Run a batch, and return the exit status."""
    progress = Progress(total=len(checked.items))

    def first() -> str:
        """Return the message for the first signal."""
        return (
            f"no more starts; waiting for {progress.in_flight} in flight; "
            "press Ctrl-C again to exit at once, nothing is lost"
        )

    def last() -> str:
        """Return how to continue."""
        return (
            f"{progress.done} of {progress.total} done; continue with: {files.command}"
        )

    with JsonlWriter(files.results, append=True, fsync=True) as results:
        written = written_keys(files.results)
        async with creds.session(journal=files.journal) as session:
            assert session.journal is not None  # noqa: S101  # the session was given one
            with (
                SignalHandler(first, last) as signals,
                progress_display(progress, creds.console) as changed,
            ):
                runner = BatchRunner(
                    batch=checked,
                    accounts=creds.all(session),
                    journal=session.journal,
                    results=results,
                    limit=files.limit,
                    signals=signals,
                    progress=progress,
                    changed=changed,
                )
                await runner.run(written)
    if signals.received:
        raise signals.failure()
    if runner.unknown:
        creds.console.info(
            f"{runner.unknown} may have been started; to decide on them, run: "
            f"linkedapi recover {shlex.quote(str(files.journal))}"
        )
    if runner.remaining:
        creds.console.info(last())
    return runner.status
