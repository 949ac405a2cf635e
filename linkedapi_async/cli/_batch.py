"""The command ``batch``: one workflow per row of a file."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shlex
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from linkedapi_async import Estimate, Session
from linkedapi_async._actions.action import Action
from linkedapi_async._actions.acts import acts_of
from linkedapi_async._actions.texts import MESSAGES, nodes
from linkedapi_async._utils.times import format_time
from linkedapi_async._wire.dump import dump_workflow
from linkedapi_async.cli._batch_results import BatchFiles, ResultsFile, read_results
from linkedapi_async.cli._batch_rows import Batch, check_rows
from linkedapi_async.cli._batch_runner import BatchRunner
from linkedapi_async.cli._console import Console, ask, braces_option, print_error
from linkedapi_async.cli._contacts import contacts_of, contacts_options
from linkedapi_async.cli._credentials import (
    Credentials,
    credential_options,
    credentials,
    variables,
)
from linkedapi_async.cli._exit_codes import CommandError
from linkedapi_async.cli._fleet import fleet_module
from linkedapi_async.cli._messages import message_of
from linkedapi_async.cli._output import as_json
from linkedapi_async.cli._pace import pace_of, pace_options, plan
from linkedapi_async.cli._progress import BatchProgress, progress_display
from linkedapi_async.cli._row_input import STDIN, InputRow, RowFile, read_rows
from linkedapi_async.cli._signals import SignalHandler
from linkedapi_async.cli._template import Template
from linkedapi_async.cli._workflow_input import read_definition, writing_actions
from linkedapi_async.explain import explain_batch
from linkedapi_async.export import CsvWriter, JsonlWriter
from linkedapi_async.policies import Pace
from linkedapi_async.session import Deferred


if TYPE_CHECKING:
    from linkedapi_async.cli._batch_queue import RowAccounts


@click.command(short_help="Run one workflow per row of a file.")
@click.argument("template", metavar="TEMPLATE")
@click.option(
    "--from",
    "source",
    required=True,
    metavar="FILE",
    help="The rows: CSV, or JSON Lines (.jsonl); - is standard input.",
)
@click.option(
    "--out",
    required=True,
    metavar="FILE",
    help="Write the results to this file, one line of JSON for each row.",
)
@click.option(
    "--journal",
    metavar="FILE",
    help="Record the starts in this file; by default the name of --out plus .journal.",
)
@click.option(
    "--queue",
    metavar="URL",
    help="Submit the rows to this queue, whose workers send them; needs no token.",
)
@click.option(
    "--account-column",
    metavar="COLUMN",
    help="With --queue: the column with the account of a row, instead of --account.",
)
@click.option(
    "--key",
    metavar="COLUMN",
    help="The column that identifies a row; by default its action and target identify it.",
)
@click.option(
    "--delimiter",
    metavar="CHARACTER",
    help="The character between cells; by default it is detected.",
)
@click.option(
    "--encoding",
    metavar="NAME",
    help="The encoding of the rows; by default it is detected.",
)
@click.option(
    "--skip-invalid",
    metavar="REPORT",
    help="Skip rows that cannot be sent, and list them in this CSV file.",
)
@click.option(
    "--retry-failed",
    is_flag=True,
    help="Start failed rows again, unless they may have written something.",
)
@click.option(
    "--again",
    is_flag=True,
    help="Send rows again that are done with another text.",
)
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="The maximum number of workflows in flight on each account.",
)
@pace_options
@contacts_options
@click.option(
    "--wait",
    is_flag=True,
    help="Wait until deferred rows are done, even for days.",
)
@braces_option
@click.option(
    "--allow-any-target",
    is_flag=True,
    help="Send targets that are no LinkedIn URLs as they are.",
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
    queue: str | None,
    account_column: str | None,
    key: str | None,
    delimiter: str | None,
    encoding: str | None,
    skip_invalid: str | None,
    retry_failed: bool,
    again: bool,
    limit: int,
    per_day: Sequence[tuple[str, int]],
    hours: str | None,
    min_interval: float | None,
    contacts: str | None,
    once_in: float,
    never: str | None,
    wait: bool,
    allow_braces: bool,
    allow_any_target: bool,
    yes: bool,
    dry_run: bool,
    **options: Any,
) -> None:
    """Run one workflow per row of a file, each row once.

    TEMPLATE is a workflow in JSON, or module:attribute, with placeholders in its texts:
    {{column}} becomes the cell. A value that is a single placeholder takes the type of
    its parameter: a list is split at ; and an empty cell omits the parameter. Inside a
    text, only {{column?}} may be empty. All rows are checked before anything is sent:
    left-over placeholders, cells such as nan, null or #N/A, and targets that are no
    LinkedIn URLs are refused.

    CSV may come from LinkedIn, a spreadsheet or a program: the encoding, the delimiter
    and the line with the header are detected. White space around cells is removed.
    Columns that the template does not use are ignored.

    After a crash or a kill, run the same command again: it continues, starts nothing
    twice, and writes each row to the results once. A row that writes is identified by
    its action and its target, in any spelling of the URL; a row that only reads, by its
    workflow. So you may add, remove and move rows in between, and edit the text: a row
    that is done is not sent again, unless you pass --again. Two rows that do the same
    to one person are refused; to send both, pass --key COLUMN. A start without an
    answer is not repeated; decide on it with "linkedapi recover". With several
    --accounts, each takes the next row when it has capacity.

    With --contacts, each person is written to once in --once-in days, by all batches,
    accounts and processes together. Rows that are suppressed because of that count as
    done.

    Rows that were held back by a limit, or by an account that cannot work, are deferred
    if they changed nothing: another account takes them, or the next run does.

    The exit status and the last lines describe the whole batch, including earlier runs:
    8 if a start is unknown, otherwise 9 if a row failed, otherwise 75 if rows are
    deferred (run it again later), and 0 only if all rows are done.

    With --queue, the rows are submitted for --account, or for the accounts in
    --account-column, and workers run them. The results that exist already are written
    to --out; with --wait, those of all rows. A key can be in a queue only once, over
    all batches.

    --per-day, --hours and --min-interval keep a pace, for each account on its own. The
    journal keeps the counts, so run the same command again for the rows that are left.

    After the first Ctrl-C or SIGTERM, nothing more is started, and the command waits
    for the workflows in flight. The second one exits at once. Neither loses anything.

    \b
    Examples:
      linkedapi batch hello.json --from people.csv --out results.jsonl --dry-run
      linkedapi batch visit.json --from people.csv --out visits.jsonl --key url
      linkedapi batch hello.json --from people.csv --out results.jsonl --yes
      linkedapi batch hello.json --from people.csv --out r.jsonl --per-day stMessages 25 --yes
      linkedapi batch hello.json --from people.csv --out r.jsonl --queue postgresql://db/work --account sales-17
    """
    accounts = None
    if queue is not None:
        creds, accounts = _by_queue(context, queue, account_column, options)
    elif account_column is not None:
        raise CommandError("--account-column needs --queue URL")
    else:
        creds = credentials(**options)
    pace = pace_of(per_day, hours, min_interval)
    files = BatchFiles(
        results=Path(out),
        journal=Path(journal or f"{out}.journal"),
        queue=queue,
        limit=limit,
        wait=wait,
        retry_failed=retry_failed,
        again=again,
        command=shlex.join(["linkedapi", *context.meta["arguments"]]),
    )
    if template == source == STDIN:
        raise CommandError("TEMPLATE and --from cannot both be standard input")
    _refuse_same_files(
        {
            "TEMPLATE": template,
            "--from": source,
            "--out": out,
            "--journal": str(files.journal),
            "--skip-invalid": skip_invalid,
            "--contacts": contacts,
            "--never": never,
            "--queue": None if accounts is None else accounts.file,
        }
    )
    known = contacts_of(contacts, once_in, never)
    _refuse_unusable("--out", files.results)
    with creds.console.warnings():
        filled = Template(
            _definition(template),
            allow_braces=allow_braces,
            allow_any_target=allow_any_target,
        )
        also = (key, account_column)
        used = [*filled.columns, *(each for each in also if each is not None)]
        rows = read_rows(
            source,
            columns=used,
            delimiter=_character(delimiter),
            encoding=encoding,
        )
    with rows:
        if accounts is not None:
            accounts.check_columns(rows)
        if rows.encoding == "cp1252" and encoding is None:
            creds.console.info(
                f"{source} is not UTF-8 and was read as Windows-1252; --encoding names "
                "another encoding"
            )
        with (
            creds.console.warnings(),
            _skipped_rows(skip_invalid, rows, creds) as report,
        ):
            checked = check_rows(
                filled,
                rows,
                key=key,
                generation=creds.generation,
                report=report,
                also=(lambda _: []) if accounts is None else accounts.check,
            )
        cost = _cost(checked, _accounts(creds, accounts), pace)
        if dry_run:
            _show(checked, accounts)
            creds.console.block(cost)
            where = creds.base_url if accounts is None else "the queue"
            plural = "" if checked.total == 1 else "s"
            creds.console.info(
                f"a run would send {checked.total} workflow{plural} to {where}"
            )
            return
        if not _confirm(checked, creds, cost, yes=yes):
            return
        if accounts is not None:
            status = _run_by_queue(checked, accounts, files, creds.console)
        else:
            settings = {"pace": pace, "contacts": known}
            status = asyncio.run(_run(checked, creds, files, settings))
    if status:
        context.exit(status)


def _refuse_same_files(named: dict[str, str | None]) -> None:
    """Refuse one file for two options, because one would overwrite the other."""
    seen: dict[str, str] = {}
    for option, name in named.items():
        if name is None or name == STDIN:
            continue
        other = seen.setdefault(os.path.realpath(name), option)
        if other != option:
            raise CommandError(f"{other} and {option} name one file: {name}")


def _refuse_unusable(option: str, path: Path) -> None:
    if path.exists() and not path.is_file():
        kind = "a directory" if path.is_dir() else "not a regular file"
        raise CommandError(f"{option}: {path} is {kind}; pass the name of a file")


@contextlib.contextmanager
def _skipped_rows(
    path: str | None, rows: RowFile, creds: Credentials
) -> Iterator[Callable[[InputRow, str], None] | None]:
    """Yield a function that reports a skipped row; None where no row may be."""
    if path is None:
        yield None
        return
    lines: set[int] = set()
    columns = ["line", "problem", *(c for c in rows.columns if c not in _REPORT)]
    with CsvWriter(path, columns=columns) as writer:

        def report(row: InputRow, problem: str) -> None:
            """Write one problem of a row."""
            lines.add(row.line)
            cells = {c: row.values.get(c) for c in columns}
            writer.write({**cells, "line": row.line, "problem": problem})

        yield report
    if lines:
        plural = "" if len(lines) == 1 else "s"
        creds.console.info(f"skipped {len(lines)} row{plural}, listed in {path}")


_REPORT = ("line", "problem")


def _character(delimiter: str | None) -> str | None:
    if delimiter is None:
        return None
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


def _by_queue(
    context: click.Context, url: str, column: str | None, options: dict[str, Any]
) -> tuple[Credentials, RowAccounts]:
    """Return the generation that a batch without tokens uses, and its accounts."""
    fleet_module()  # raises an error that names the missing extra
    from linkedapi_async.cli._batch_queue import row_accounts  # noqa: PLC0415

    accounts = row_accounts(context, url, account=options["account"], column=column)
    creds = Credentials(
        variables=variables(None),
        accounts={},
        account=None,
        poll=None,
        proxy=None,
        trust_env=False,
        allow_insecure_http=False,
        console=Console(options["quiet"]),
    )
    return creds, accounts


def _run_by_queue(
    checked: Batch, accounts: RowAccounts, files: BatchFiles, console: Console
) -> int:
    from linkedapi_async.cli._batch_queue import run_by_queue  # noqa: PLC0415

    return asyncio.run(run_by_queue(checked, accounts, files, console))


def _accounts(creds: Credentials, accounts: RowAccounts | None) -> int:
    """Return how many accounts share the rows."""
    return max(1, len(creds.accounts if accounts is None else accounts.names))


def _show(checked: Batch, accounts: RowAccounts | None) -> None:
    """Print the workflows, one line of JSON for each row."""
    for _, item in checked.numbered_items():
        account = {} if accounts is None else {"account": accounts.of(item.row)}
        definition = dump_workflow(checked.workflow(item))
        line = {"key": item.key, "line": item.row.line, **account}
        click.echo(as_json({**line, "workflow": definition}, indent=None))


def _cost(checked: Batch, accounts: int, pace: Pace | None) -> str:
    """Return what a batch will use, and how long it takes with its pace."""
    cost = explain_batch(
        checked.workflows(),
        generation=checked.generation or "linked_api",
        accounts=accounts,
        limits=None if pace is None else pace.per_day,
    )
    lines = [] if pace is None else plan(pace, cost)
    return "\n".join([str(cost), *lines])


def _first_rows(checked: Batch) -> Iterator[str]:
    """Yield the actions of the first rows, with their targets and texts."""
    for _, item in itertools.islice(checked.numbered_items(), SHOWN_ROWS):
        definition = checked.definition(item.row)
        by_path = dict(nodes(definition))
        for act in acts_of(definition):
            recipient = act.target or ("each found" if act.listed else "")
            to = f" to {recipient}" if recipient else ""
            yield f"line {item.row.line}: {act.action_type}{to}"
            for name in MESSAGES:
                if text := by_path[act.path].get(name):
                    short = textwrap.shorten(text, SHOWN_TEXT, placeholder=" …")
                    yield f"  {name}: {short}"
    if checked.total > SHOWN_ROWS:
        yield f"… and {checked.total - SHOWN_ROWS} more rows"


SHOWN_ROWS: Final = 3
"""How many rows the question before writing shows."""

SHOWN_TEXT: Final = 200
"""How many characters of a text it shows."""


def _confirm(checked: Batch, creds: Credentials, cost: str, *, yes: bool) -> bool:
    """Return whether the batch may be sent."""
    writes = writing_actions(next(checked.workflows()))
    if not writes:
        return True
    if not yes:
        shown = "\n".join([*_first_rows(checked), cost])
        creds.console.block(shown)
    lines = "\n  ".join(writes)
    question = f"This writes to LinkedIn for {checked.total} rows:\n  {lines}\nSend"
    return ask(question, yes=yes)


async def _run(
    checked: Batch, creds: Credentials, files: BatchFiles, settings: dict[str, Any]
) -> int:
    """Run a batch, and return the exit status."""
    progress = BatchProgress(total=checked.total)

    def first() -> str:
        return (
            f"no more starts; waiting for {progress.in_flight} in flight; "
            "press Ctrl-C again to exit at once, nothing is lost"
        )

    def last() -> str:
        done = progress.done + progress.failed
        return f"{done} of {progress.total} done; continue with: {files.command}"

    with JsonlWriter(files.results, append=True, fsync=True) as writer:
        # The writer has repaired an incomplete last line before.
        past = read_results(files.results)
        async with creds.session(journal=files.journal, **settings) as session:
            assert session.journal is not None  # noqa: S101  # the session was given one
            with (
                SignalHandler(first, last) as signals,
                progress_display(progress, creds.console) as changed,
            ):
                runner = BatchRunner(
                    batch=checked,
                    session=session,
                    accounts=creds.all(session),
                    journal=session.journal,
                    results=ResultsFile(files.results, writer),
                    limit=files.limit,
                    wait=files.wait,
                    retry_failed=files.retry_failed,
                    again=files.again,
                    signals=signals,
                    progress=progress,
                    changed=changed,
                )
                progress.learnt = _estimator(checked, session)
                await runner.run(past)
    _report_deferred(runner.deferred)
    files.report_end(
        progress,
        creds.console,
        suppressed="suppressed, because they were contacted before",
        decide=creds.command("recover", str(files.journal)),
    )
    if progress.remaining:
        if signals.received:
            raise signals.failure()
        creds.console.info(last())
    return runner.status


def _estimator(checked: Batch, session: Session) -> Callable[[int], Estimate | None]:
    """Return a function of the number of rows left that estimates the time left."""
    first = dump_workflow(next(checked.workflows()))

    def left(unstarted: int) -> Estimate | None:
        """Return the time left as the session knows it."""
        return session.eta(first, times=unstarted) if unstarted else session.eta()

    return left


def _report_deferred(deferred: Sequence[Deferred]) -> None:
    """Show why rows are deferred, and until when, for each account and reason."""
    groups: dict[tuple[str, str], list[Deferred]] = {}
    for record in deferred:
        groups.setdefault((record.account, record.reason), []).append(record)
    for (account, _), records in groups.items():
        known = [record.until for record in records if record.until is not None]
        until = f" until {format_time(min(known))}" if known else ""
        print_error(
            f"account {account}: {len(records)} deferred{until}: "
            f"{message_of(records[0].error)}"
        )
