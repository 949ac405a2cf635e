"""A batch through a queue: rows are submitted once, and workers run them."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final

import attrs
import click

from linkedapi_async._utils.json import decode_json
from linkedapi_async._utils.times import format_time
from linkedapi_async.cli._batch_results import (
    SUPPRESSED,
    BatchFiles,
    PastResults,
    ResultsFile,
    read_results,
)
from linkedapi_async.cli._batch_rows import MOST_PROBLEMS, Batch, KeyedRow, refused
from linkedapi_async.cli._console import Console, print_error
from linkedapi_async.cli._exit_codes import FAILED, LATER, CommandError, status_of
from linkedapi_async.cli._fleet import check_typed
from linkedapi_async.cli._messages import message_of
from linkedapi_async.cli._progress import BatchProgress, progress_display
from linkedapi_async.cli._row_input import InputRow, RowFile
from linkedapi_async.cli._signals import SignalHandler
from linkedapi_async.cli._template import Problem
from linkedapi_async.cli._workflow_input import writing_actions
from linkedapi_async.errors import (
    LinkedApiError,
    QueueError,
    StartUnknownError,
    SuppressedError,
    WorkflowFailedError,
)
from linkedapi_async.export import JsonlWriter
from linkedapi_async.fleet import Done, Queue, QueuedItem
from linkedapi_async.fleet._connection import validate_database_url
from linkedapi_async.fleet._queue import MAX_NAME, is_name


CHUNK: Final = 500
"""How many rows are looked up at once."""

INTERVAL: Final = 1.0
"""The time between two queries for results, in seconds."""


@attrs.frozen(kw_only=True)
class RowAccounts:
    """The accounts of the rows."""

    account: str | None
    """The account of all rows, or None."""
    column: str | None
    """The column that has the account of a row, or None."""
    file: str | None
    """The file of the queue, or None if a server has it."""
    names: set[str] = attrs.field(factory=set)
    """The accounts of the rows that were checked."""

    def of(self, row: InputRow) -> Any:
        """Return the account of a row."""
        return self.account if self.column is None else row.values.get(self.column)

    def check_columns(self, rows: RowFile) -> None:
        """Check that the rows have the column of the account.

        Raises:
            CommandError: They do not.
        """
        if self.column is not None and self.column not in rows.columns:
            columns = ", ".join(rows.columns)
            message = f"--account-column: {rows.name} has only the columns {columns}"
            raise CommandError(message)

    def check(self, item: KeyedRow) -> list[str]:
        """Return why the queue cannot have a row."""
        account = self.of(item.row)
        columns = () if self.column is None else (self.column,)
        problems = [
            str(Problem(f"the {what} must be {_NAME}, got {value!r}", "", used))
            for what, value, used in (
                ("account", account, columns),
                ("key", item.key, ()),
            )
            if not is_name(value)
        ]
        if not problems:
            self.names.add(account)
        return problems


_NAME: Final = f"a text of 1 to {MAX_NAME} characters without NUL"


_NOT_WITH_QUEUE: Final = (
    *("journal", "again", "limit", "per_day", "hours", "min_interval"),
    *("contacts", "once_in", "never", "env_file", "accounts", "poll", "proxy"),
    *("trust_env", "allow_insecure_http", "verbose"),
)
"""Options for sending, which apply only without a queue."""


def row_accounts(
    context: click.Context, url: str, *, account: str | None, column: str | None
) -> RowAccounts:
    """Return the accounts of the rows of a batch.

    Raises:
        CommandError: The options do not go together, or the URL is wrong.
    """
    typed = click.core.ParameterSource.COMMANDLINE
    for option in context.command.params:
        if option.name not in _NOT_WITH_QUEUE:
            continue
        if context.get_parameter_source(option.name) is typed:
            raise CommandError(
                f"{option.opts[-1]} cannot be used with --queue, because workers send the "
                "rows, with their own tokens, pace and contacts"
            )
    if (account is None) == (column is None):
        raise CommandError("--queue needs --account NAME, or --account-column COLUMN")
    check_typed("--queue", url)
    parts = validate_database_url(url)
    is_file = parts.get_backend_name() == "sqlite"
    return RowAccounts(
        account=account, column=column, file=parts.database if is_file else None
    )


async def run_by_queue(
    checked: Batch, accounts: RowAccounts, files: BatchFiles, console: Console
) -> int:
    """Submit a batch, write the results so far, and return the exit status."""
    progress = BatchProgress(total=checked.total, accounts=len(accounts.names))

    def left() -> str:
        """Return how to continue."""
        done = progress.done + progress.failed
        waiting = "" if files.wait else " --wait"
        return (
            f"{done} of {progress.total} have ended; the queue has the others; for their "
            f"results, run: {files.command}{waiting}"
        )

    assert files.queue is not None  # noqa: S101  # the batch goes there
    with JsonlWriter(files.results, append=True, fsync=True) as writer:
        # The writer has repaired an incomplete last line before.
        past = read_results(files.results)
        async with Queue(files.queue) as queue:
            with (
                SignalHandler(
                    lambda: "stopping; the workers continue", left
                ) as signals,
                progress_display(progress, console) as changed,
            ):
                runner = QueueRunner(
                    batch=checked,
                    accounts=accounts,
                    queue=queue,
                    results=ResultsFile(files.results, writer),
                    wait=files.wait,
                    retry_failed=files.retry_failed,
                    signals=signals,
                    progress=progress,
                    changed=changed,
                    interval=INTERVAL,
                )
                await runner.run(past)
    files.report_end(
        progress,
        console,
        suppressed="suppressed",  # or cancelled
        decide=shlex.join(["linkedapi", "queue", "unknown", "--url", files.queue]),
    )
    if progress.remaining:
        if signals.received:
            raise signals.failure()
        console.info(left())
    return runner.status


@attrs.define(eq=False, kw_only=True)
class QueueRunner:
    """One run of a batch through a queue; it continues earlier runs.

    Args:
        batch: The rows.
        accounts: Their accounts.
        queue: An open one.
        results: The file that results are appended to.
        wait: Whether to wait until all rows have ended.
        retry_failed: Whether rows that failed and wrote nothing run again.
        signals: After a signal, nothing more is submitted or waited for.
        progress: The counts, updated by the run.
        changed: Called after each change of *progress*.
        interval: The time between two queries for results, in seconds.
    """

    batch: Batch
    accounts: RowAccounts
    queue: Queue
    results: ResultsFile
    wait: bool
    retry_failed: bool
    signals: SignalHandler
    progress: BatchProgress
    changed: Callable[[], None]
    interval: float
    # For each row of the input, whether it is to be submitted.
    _new: bytearray = attrs.field(init=False)
    _pending: dict[str, KeyedRow] = attrs.field(factory=dict)
    _problems: list[str] = attrs.field(factory=list)
    _count: int = 0
    _edited: int = 0

    async def run(self, past: PastResults) -> None:
        """Submit the rows that are new, and write the results of those that ended.

        Args:
            past: The results of earlier runs.
        """
        self._new = bytearray(len(self.batch.valid))
        cursor = await self.queue.cursor()
        again = await self._look_up(past)
        if self._count:
            raise refused(self._problems, self._count)
        if self._edited:
            print_error(
                f"{self._edited} ended with another text or account, not sent again; "
                "--key COLUMN gives rows other keys"
            )
        for item in again:
            await self.queue.retry(item.key)
        self.progress.started(asyncio.get_running_loop().time())
        await self.queue.submit_all(self._plan())
        await self._follow(cursor)

    @property
    def status(self) -> int:
        """The exit status for the whole batch, unless a signal ends it."""
        if self.progress.unknown:
            return status_of(StartUnknownError("", account=""))
        if self.progress.failed:
            return FAILED
        return LATER if self.progress.remaining else 0

    async def _look_up(self, past: PastResults) -> list[KeyedRow]:
        """Look up each row in the queue; return the failed rows that run again."""
        again: list[KeyedRow] = []
        rows = self.batch.numbered_items()
        while chunk := [*islice(rows, CHUNK)]:
            found = await self.queue.find(item.key for _, item in chunk)
            for index, item in chunk:
                known = found.get(item.key)
                if known is None:
                    self._load_missing(index, item, past)
                elif self._load(item, known, past):
                    again.append(item)
            self.changed()
        return again

    def _load_missing(self, index: int, item: KeyedRow, past: PastResults) -> None:
        """Load a row that the queue does not have, or has forgotten."""
        failure = past.failed.get(item.digest)
        if not past.has_ended(item.digest) or (
            failure is not None and self._runs_again(item, failure.wrote)
        ):
            self._new[index] = 1
            self._pending[item.key] = item
        else:
            self._count_past(item, past)

    def _load(self, item: KeyedRow, known: QueuedItem, past: PastResults) -> bool:
        """Load a row that the queue has; return whether it is to run again."""
        problem = self._conflict(item, known)
        has_ended = past.has_ended(item.digest)
        if problem is not None and not has_ended:
            self._count += 1
            if self._count <= MOST_PROBLEMS:
                self._problems.append(f"line {item.row.line}: {problem}")
        elif problem is not None or item.digest in past.done:
            self._edited += problem is not None
            self._count_past(item, past)
        elif known.done is None:
            self._pending[item.key] = item
        elif past.cursors.get(item.digest) != known.done.cursor:
            self._write(item, known.done)
        elif item.digest in past.failed and self._runs_again(item, known.done.wrote):
            self._pending[item.key] = item
            return True
        else:
            self._count_past(item, past)
        return False

    def _count_past(self, item: KeyedRow, past: PastResults) -> None:
        """Count a row whose result is in the file."""
        if item.digest in past.failed:
            self.progress.failed += 1
        else:
            self._count_done(suppressed=item.digest in past.suppressed)

    def _conflict(self, item: KeyedRow, known: QueuedItem) -> str | None:
        """Return how the queue's item of this key differs from the row."""
        account = self.accounts.of(item.row)
        if known.account != account:
            other = known.account
            return f"the queue has {item.key!r} for the account {other!r} already"
        stored = decode_json(known.definition.encode())
        if stored != self.batch.definition(item.row):
            return (
                f"the queue has {item.key!r} with another workflow already; --key "
                "COLUMN gives rows other keys"
            )
        return None

    def _runs_again(self, item: KeyedRow, wrote: bool | None) -> bool:
        """Return whether a failed row runs again."""
        if not self.retry_failed:
            return False
        if wrote is None:
            wrote = self._writes(item)
        if wrote:
            print_error(
                f"line {item.row.line}: not retried, because a part may have been written"
            )
        return not wrote

    def _writes(self, item: KeyedRow) -> bool:
        return bool(writing_actions(self.batch.workflow(item)))

    def _plan(self) -> Iterator[tuple[str, Any, str]]:
        """Yield the rows to submit."""
        for index, item in self.batch.numbered_items():
            if self.signals.received:
                return
            if self._new[index]:
                self.progress.in_flight += 1
                self.changed()
                yield self.accounts.of(item.row), self.batch.workflow(item), item.key

    async def _follow(self, cursor: int) -> None:
        """Write the results as rows end; return when no more are waited for."""
        waiting: set[str] = set()
        is_lost = False
        while True:
            try:
                cursor = await self._read(cursor)
                waiting = await self._report_unknown(waiting)
            except QueueError as error:
                if not self.wait:
                    raise
                if not is_lost:
                    print_error(f"{message_of(error)}; it is tried again")
                is_lost = True
            else:
                is_lost = False
                self.progress.in_flight = len(self._pending) - len(waiting)
                self.changed()
                if not self.wait or not self.progress.in_flight:
                    return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.interval):
                    await self.signals.wait()
            if self.signals.received:
                return

    async def _read(self, cursor: int) -> int:
        """Write the results after a cursor, and return the next cursor."""
        async for done in self.queue.results(cursor):
            cursor = done.cursor
            item = self._pending.pop(done.key, None)
            if item is not None:
                self._write(item, done)
                self.progress.ended(asyncio.get_running_loop().time())
        return cursor

    async def _report_unknown(self, before: set[str]) -> set[str]:
        """Return the keys of the rows that wait for a decision, and report new ones."""
        waiting = {
            start.key
            for start in await self.queue.unknown()
            # A worker sends it again automatically if it only reads.
            if start.key in self._pending and self._writes(self._pending[start.key])
        }
        for key in sorted(waiting - before):
            print_error(
                f"line {self._pending[key].row.line}: it is unknown whether {key!r} was "
                "started; check the history of the account"
            )
        self.progress.unknown = len(waiting)
        return waiting

    def _count_done(self, *, suppressed: bool) -> None:
        self.progress.done += 1
        self.progress.suppressed += suppressed

    def _write(self, item: KeyedRow, done: Done) -> None:
        """Write the result of a row; it is on disk when this returns."""
        status: Any = done.status
        detail: Any = None
        reason: str | None = None
        if status == "completed":
            assert done.body is not None  # noqa: S101  # it has a completion
            detail = decode_json(done.body.encode())
        else:
            try:
                done.completion()
            except SuppressedError as error:
                status, reason = SUPPRESSED, f"suppressed: {message_of(error)}"
                since = None if error.since is None else format_time(error.since)
                detail = {"target": error.target, "since": since}
                detail = {"message": error.message, **detail}
            except LinkedApiError as error:
                reason = message_of(error)
                detail = _failure(done, error)
        failed = self.results.write(
            item, done.account, done.workflow_id, status, detail, cursor=done.cursor
        )
        if status == SUPPRESSED or failed is None:
            self._count_done(suppressed=status == SUPPRESSED)
        else:
            self.progress.failed += 1
        if failed is not None:
            print_error(f"line {item.row.line}: {reason or failed}")


def _failure(done: Done, error: LinkedApiError) -> Any:
    """Return the detail for the results of a row without a completion."""
    if isinstance(error, WorkflowFailedError):
        return {"reason": error.reason, "message": error.explanation}
    return {"message": error.message} if done.status == "refused" else None
