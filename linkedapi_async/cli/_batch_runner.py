"""Run one workflow per row of a file, once each, also across interrupted runs.

The journal records the starts, the results file the ends. A row is identified by its
key, by default its acts: rows and texts may change between two runs, and nothing is
started twice.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any, Final

import attrs

from linkedapi_async._actions.acts import ACTS_PREFIX, acts_key
from linkedapi_async._utils.json import decode_json
from linkedapi_async._utils.times import format_time
from linkedapi_async.cli._batch_results import (
    SUPPRESSED,
    FailedRow,
    PastResults,
    ResultsFile,
)
from linkedapi_async.cli._batch_rows import (
    MOST_PROBLEMS,
    Batch,
    KeyedRow,
    default_key,
    refused,
)
from linkedapi_async.cli._console import print_error
from linkedapi_async.cli._exit_codes import (
    FAILED,
    LATER,
    TIMED_OUT,
    CommandError,
    status_of,
)
from linkedapi_async.cli._messages import message_of
from linkedapi_async.cli._progress import BatchProgress
from linkedapi_async.cli._signals import SignalHandler
from linkedapi_async.cli._workflow_input import writing_actions
from linkedapi_async.errors import (
    AuthenticationError,
    JournalError,
    PollingCrashedError,
    RejectedError,
    StartUnknownError,
    SuppressedError,
    WorkflowCancelledError,
    WorkflowError,
    WorkflowFailedError,
    WorkflowNotFoundError,
)
from linkedapi_async.events import AccountPaused
from linkedapi_async.journal import EndStatus, Journal, Row
from linkedapi_async.session import (
    Account,
    AsCompleted,
    Deferred,
    Session,
    WorkflowHandle,
)


_ROW_ERRORS: Final = (WorkflowError, RejectedError, StartUnknownError)
"""Errors of a start that do not affect other rows."""


@attrs.define(eq=False)
class BatchRunner:
    """One run of a batch; it continues earlier runs.

    Args:
        batch: The rows.
        session: An entered one.
        accounts: Its accounts that share the rows, by name.
        journal: The journal of the session.
        results: The file that results are appended to.
        limit: The most rows in flight on each account.
        wait: Whether to wait for rows that are deferred.
        retry_failed: Whether rows that failed and wrote nothing are started again.
        again: Whether rows that are done with another text are started again.
        signals: After a signal, no more rows are started.
        progress: The counts, updated by the run.
        changed: Called after each change of *progress*.
    """

    batch: Batch
    session: Session
    accounts: Mapping[str, Account]
    journal: Journal
    results: ResultsFile
    limit: int
    wait: bool
    retry_failed: bool
    again: bool
    signals: SignalHandler
    progress: BatchProgress
    changed: Callable[[], None]
    error: Exception | None = None
    """The first error that stopped an account or the run."""
    _aborted: bool = False
    # For each row of the input, the number of the attempt to start, or 0.
    _planned: array[int] = attrs.field(factory=lambda: array("H"))
    # The keys of rows that earlier versions started, by their place in the input.
    _renamed: dict[int, str] = attrs.field(factory=dict)
    # The same keys by the acts of the rows.
    _earlier: dict[str, str] = attrs.field(factory=dict)
    _changed_lines: list[int] = attrs.field(factory=list)
    _changed_texts: int = 0
    # Rows that are suppressed in the results; each run tries them again.
    _suppressed: set[int] = attrs.field(factory=set)
    _own: list[KeyedRow] = attrs.field(factory=list)
    _in_flight: dict[str, KeyedRow] = attrs.field(factory=dict)
    _started_here: set[str] = attrs.field(factory=set)
    _stopped: set[str] = attrs.field(factory=set)
    _refusals: set[int] = attrs.field(factory=set)
    _stream: AsCompleted[Any] = attrs.field(init=False)

    async def run(self, past: PastResults) -> None:
        """Start the new rows, wait for all rows, and write their results.

        Args:
            past: The results of earlier runs.
        """
        await self._load_state(past)
        self._stream = self.session.as_completed(
            self._next_rows(),
            accounts=self.accounts.values(),
            limit=self.limit,
            wait=self.wait,
            once=False,  # the rows were checked, or have keys
        )
        self.session.on(AccountPaused, self._on_pause)
        stopping = asyncio.create_task(self._stop_at_signal())
        try:
            async with self._stream as done:
                async for handle in done:
                    await self._ended(handle)
        except (CommandError, PollingCrashedError) as error:
            # The next run writes results that were not acknowledged.
            self._abort(error)
        finally:
            stopping.cancel()
        self._count()

    async def _stop_at_signal(self) -> None:
        await self.signals.wait()
        self._stream.stop()

    @property
    def deferred(self) -> tuple[Deferred, ...]:
        """The rows that were held back in this run."""
        return self._stream.deferred

    @property
    def status(self) -> int:
        """The exit status for the whole batch, signals aside."""
        if self._aborted and self.error is not None:
            return status_of(self.error)
        if self.progress.unknown:
            return status_of(StartUnknownError("", account=""))
        if self.progress.failed:
            return FAILED
        if self._refusals:
            return min(self._refusals)
        return self._status_of_rest() if self.progress.remaining else 0

    def _status_of_rest(self) -> int:
        """Return the exit status for rows that have not ended."""
        if self.error is not None:
            return status_of(self.error)
        errors = [record.error for record in self.deferred]
        if errors and all(isinstance(e, AuthenticationError) for e in errors):
            return status_of(errors[0])
        return LATER

    # Earlier runs

    async def _load_state(self, past: PastResults) -> None:
        """Look up each row in the journal: done, in flight, unknown, or new."""
        self._suppressed = past.suppressed
        self._planned = array("H", bytes(2 * len(self.batch.valid)))
        if self.batch.key is None:
            await self._load_earlier()
        problems: list[str] = []
        count = 0
        for index, item in self.batch.numbered_items():
            known = await self._known_item(item, past)
            if known.key != item.key:
                self._renamed[index] = known.key
            problem = await self._load_row(index, known, past)
            if problem is not None:
                count += 1
                if count <= MOST_PROBLEMS:
                    problems.append(f"line {item.row.line}: {problem}")
        if problems:
            raise refused(problems, count)
        self._report_changed_texts()
        self.changed()

    async def _load_earlier(self) -> None:
        """Read the rows of the journal with keys of earlier versions."""
        for key, definition in await self.journal.definitions():
            if not definition or key.startswith(ACTS_PREFIX):
                continue
            try:
                known = default_key(decode_json(definition))
            except ValueError as error:
                message = f"the definition of {key!r} in the journal is damaged"
                raise JournalError(message) from error
            self._earlier.setdefault(known, key)

    async def _load_row(
        self, index: int, item: KeyedRow, past: PastResults
    ) -> str | None:
        """Load the state of one row; return why it cannot be continued, or None."""
        written = past.knows(item.digest)
        item = attrs.evolve(item, attempt=past.attempts.get(item.digest, 1))
        failure = past.failed.get(item.digest)
        row = await self.journal.row(item.journal_key)
        if written and (failure is not None or self._has_other_text(item, row)):
            again = attrs.evolve(item, attempt=item.attempt + 1)
            newer = await self.journal.row(again.journal_key)
            if newer is not None:
                # This is another attempt, which has no result yet.
                item, row, written = again, newer, False
        problem = row and self._conflict(item, row)
        if problem:
            return problem
        if row is not None and row.state == "unknown":
            self._mark_unknown(item)
        elif written:
            # The run that wrote the result was killed before it acknowledged it.
            if row is not None and row.state == "finished":
                await self.journal.delivered(item.journal_key)
            if failure is None:
                self._load_done(index, item, row)
            else:
                self._load_failure(index, item, failure)
        elif row is None or row.state == "deferred":
            self._plan(index, item.attempt)
        elif row.state == "delivered":
            # The results were deleted or cut off.
            self._write(item, row.account, row.workflow_id, row.end_status, row.result)
        else:
            self._own.append(item)
        return None

    async def _known_item(self, item: KeyedRow, past: PastResults) -> KeyedRow:
        """Return *item* with the key that an earlier run gave it, if one did."""
        if past.knows(item.digest) or await self.journal.row(item.key) is not None:
            return item
        for earlier in self.batch.earlier(item):
            row = await self.journal.row(earlier.key)
            if row is None and not past.knows(earlier.digest):
                continue
            if self.batch.key is None or not self._is_another_message(earlier, row):
                return earlier
        key = self._earlier.get(item.key)
        return item if key is None else attrs.evolve(item, key=key)

    def _is_another_message(self, item: KeyedRow, row: Row | None) -> bool:
        """Return whether a row begun without ``--key`` is another one for its target."""
        known = default_key(self.batch.definition(item.row))
        return item.key == known and self._has_other_text(item, row)

    def _has_other_text(self, item: KeyedRow, row: Row | None) -> bool:
        """Return whether a row of the journal has another workflow than this row."""
        if row is None or not row.definition:
            return False
        try:
            stored = decode_json(row.definition)
        except ValueError:
            return False  # a damaged row is identified by its key alone
        return bool(stored != self.batch.definition(item.row))

    def _load_done(self, index: int, item: KeyedRow, row: Row | None) -> None:
        if self._has_other_text(item, row):
            if self.again:
                self._plan(index, item.attempt + 1)
                return
            self._changed_texts += 1
            if self._changed_texts <= MOST_PROBLEMS:
                self._changed_lines.append(item.row.line)
        self.progress.done += 1

    def _report_changed_texts(self) -> None:
        """Report rows that are done with another text than they have now."""
        count = self._changed_texts
        if count:
            more = count - len(self._changed_lines)
            listed = ", ".join(map(str, self._changed_lines))
            print_error(
                f"{count} already done with another text, not sent again: "
                f"line{'' if count == 1 else 's'} {listed}"
                f"{f' and {more} more' if more else ''}; --again sends them again"
            )

    def _load_failure(self, index: int, item: KeyedRow, failure: FailedRow) -> None:
        wrote = failure.wrote
        if wrote is None:
            wrote = bool(writing_actions(self.batch.workflow(item)))
        if self.retry_failed and not wrote:
            self._plan(index, item.attempt + 1)
            return
        self.progress.failed += 1
        if self.retry_failed:
            print_error(
                f"line {item.row.line}: not retried, because a part may have been written"
            )

    def _plan(self, index: int, attempt: int) -> None:
        self._planned[index] = attempt

    def _new_items(self) -> Iterator[KeyedRow]:
        for index, item in self.batch.numbered_items():
            if self._planned[index]:
                key = self._renamed.get(index, item.key)
                yield attrs.evolve(item, key=key, attempt=self._planned[index])

    def _conflict(self, item: KeyedRow, row: Row) -> str | None:
        """Return why a row of the journal does not match this row, if so."""
        if row.state == "deferred":
            return None  # it changed nothing
        if self._has_other_text(item, row):
            stored, own = decode_json(row.definition), self.batch.definition(item.row)
            if acts_key(own) is None or acts_key(stored) != acts_key(own):
                return (
                    f"{item.key!r} was started with another workflow; use another key, "
                    "or start a new batch with another --out"
                )
        if row.state in {"accepted", "finished"} and row.account not in self.accounts:
            return (
                f"started on the account {row.account!r}, which is not loaded; load it "
                "with --accounts, without an --account of another name"
            )
        return None

    # This run

    def _next_rows(self) -> Iterator[tuple[str, Any]]:
        """Yield the rows that earlier runs have started, then new ones."""
        for item in chain(self._own, self._started(self._new_items())):
            if self.signals.received or self._aborted:
                return
            self._in_flight[item.journal_key] = item
            self._count()
            roots = self.batch.workflow(item)
            # A list stays one in JSON, also that of one root.
            yield item.journal_key, [*roots] if isinstance(roots, tuple) else roots

    def _started(self, items: Iterator[KeyedRow]) -> Iterator[KeyedRow]:
        for item in items:
            self._started_here.add(item.journal_key)
            self.progress.started(asyncio.get_running_loop().time())
            yield item

    def _count(self) -> None:
        """Count what is in flight, and which accounts can start more."""
        self.progress.deferred = len(self.deferred)
        self.progress.in_flight = len(self._in_flight) - len(self.deferred)
        self.progress.accounts = sum(
            account.paused is None and name not in self._stopped
            for name, account in self.accounts.items()
        )
        self.changed()

    def _on_pause(self, event: AccountPaused) -> None:
        print_error(
            f"account {event.account}: no more starts: {message_of(event.error)}"
        )
        self._count()

    async def _ended(self, handle: WorkflowHandle[Any]) -> None:
        """Handle the end of a row, of its start, or of the wait for it."""
        item, name = self._in_flight.pop(str(handle.key)), handle.account
        failure: Exception | None = handle.failure
        if failure is None and not handle.done:
            # The deadline of the session has passed; a second wait would double it.
            reason = f" ({handle.pending_reason})" if handle.pending_reason else ""
            message = f"{handle.workflow_id} has not ended within the deadline{reason}"
            failure = CommandError(message, TIMED_OUT)
        if failure is None:
            completion = await handle.completion()
            self._write(item, name, handle.workflow_id, "completed", completion.raw)
        elif isinstance(failure, WorkflowFailedError):
            detail = {"reason": failure.reason, "message": failure.explanation}
            self._write(item, name, handle.workflow_id, "failed", detail)
        elif isinstance(failure, WorkflowCancelledError):
            self._write(item, name, handle.workflow_id, "cancelled", None)
        elif isinstance(failure, WorkflowNotFoundError):
            self._write(item, name, handle.workflow_id, "lost", None)
        else:
            self._without_result(item, name, failure)
        self._started_here.discard(item.journal_key)
        self._count()

    def _without_result(self, item: KeyedRow, name: str, error: Exception) -> None:
        """Handle a row without a result in this run."""
        if isinstance(error, StartUnknownError):
            self._mark_unknown(item)
        elif isinstance(error, SuppressedError):
            self._mark_suppressed(item, name, error)
        elif isinstance(error, _ROW_ERRORS):
            self._refusals.add(status_of(error))
            print_error(f"line {item.row.line}: not started: {message_of(error)}")
        elif isinstance(error, JournalError | PollingCrashedError):
            self._abort(error)
        else:
            self._stop_account(name, error)

    def _mark_suppressed(
        self, item: KeyedRow, account: str, error: SuppressedError
    ) -> None:
        """Record a row that is done, because its target was contacted before."""
        self.progress.suppressed += 1
        self.progress.done += 1
        print_error(f"line {item.row.line}: suppressed: {message_of(error)}")
        if item.digest not in self._suppressed:
            since = None if error.since is None else format_time(error.since)
            detail = {"message": error.message, "target": error.target, "since": since}
            self.results.write(item, account, None, SUPPRESSED, detail)

    def _mark_unknown(self, item: KeyedRow) -> None:
        self.progress.unknown += 1
        print_error(
            f"line {item.row.line}: it is unknown whether {item.journal_key!r} was "
            "started; check the history of the account"
        )

    def _stop_account(self, name: str, error: Exception) -> None:
        if name not in self._stopped:
            self._stopped.add(name)
            self.error = self.error or error
            print_error(f"account {name}: no more starts: {message_of(error)}")

    def _abort(self, error: Exception) -> None:
        if not self._aborted:
            self._aborted = True
            self.error = error
            print_error(f"no more starts: {message_of(error)}")

    def _write(
        self,
        item: KeyedRow,
        account: str,
        workflow_id: str | None,
        status: EndStatus | None,
        detail: Any,
    ) -> None:
        """Write the result of a row; it is on disk when this returns."""
        if isinstance(detail, bytes):
            detail = decode_json(detail)
        reason = self.results.write(item, account, workflow_id, status, detail)
        if item.journal_key in self._started_here:
            self.progress.ended(asyncio.get_running_loop().time())
        if reason is None:
            self.progress.done += 1
        else:
            self.progress.failed += 1
            print_error(f"line {item.row.line}: {reason}")
