"""Run one workflow per row of a file, once each, also across interrupted runs.

The journal records the starts, the results file the ends. A row is identified by its
key, by default a digest of its workflow: rows may be added, removed and moved between
two runs, and nothing is started twice.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from linkedapi_async._actions.action import Roots
from linkedapi_async._types import Generation
from linkedapi_async._utils.json import decode_json
from linkedapi_async._wire.dump import dump_workflow
from linkedapi_async._wire.read import read_completion
from linkedapi_async.cli._console import print_error
from linkedapi_async.cli._exit_codes import FAILED, CommandError, status_of
from linkedapi_async.cli._progress import Progress
from linkedapi_async.cli._row_input import InputRow
from linkedapi_async.cli._signals import SignalHandler
from linkedapi_async.cli._template import Problem, Template
from linkedapi_async.errors import (
    JournalError,
    LinkedApiError,
    RejectedError,
    StartUnknownError,
    WorkflowCancelledError,
    WorkflowError,
    WorkflowFailedError,
    WorkflowNotFoundError,
)
from linkedapi_async.export import JsonlWriter
from linkedapi_async.journal import EndStatus, Journal, Row
from linkedapi_async.session._account import Account
from linkedapi_async.session._handle import WorkflowHandle


MOST_PROBLEMS: Final = 50
"""The most problems that are listed."""

_ROW_ERRORS: Final = (WorkflowError, RejectedError, StartUnknownError)
"""Errors of a start that do not affect other rows."""


@attrs.frozen(eq=False)
class Item:
    """A row with its key."""

    key: str
    row: InputRow


@attrs.frozen
class Batch:
    """All rows of an input, checked."""

    template: Template
    items: tuple[Item, ...]
    generation: Generation | None

    def workflow(self, item: Item) -> Roots:
        """Return the workflow of a row."""
        roots = self.template.render(item.row.values, self.generation)
        assert not isinstance(roots, list)  # noqa: S101  # the row was checked
        return roots

    def workflows(self) -> Iterator[Roots]:
        """Yield the workflows of all rows."""
        return (self.workflow(item) for item in self.items)


def check_rows(
    template: Template,
    rows: Sequence[InputRow],
    *,
    source: str,
    key: str | None,
    generation: Generation | None,
) -> Batch:
    """Return the batch of *rows*, every row rendered and checked.

    Args:
        template: A workflow with placeholders.
        rows: The rows.
        source: The name of the input in messages.
        key: The column that identifies a row; None uses a digest of its workflow.
        generation: The generation of the API to check against.

    Raises:
        CommandError: There are problems; each has its line, column and path.
    """
    problems = [f"the template: {p}" for p in template.problems]
    problems += [f"{source}: {p}" for p in template.missing(_columns(rows))]
    if problems:
        raise _refused(problems)
    items: dict[str, Item] = {}
    for row in rows:
        where = f"{source}:{row.line}"
        roots = template.render(row.values, generation)
        if isinstance(roots, list):
            problems += [f"{where}: {problem}" for problem in roots]
            continue
        name = _digest(roots) if key is None else row.values.get(key)
        if not isinstance(name, str) or not name.strip():
            reason = "no such column" if key not in row.values else "the key is empty"
            problems.append(f"{where}: {Problem(reason, '', (str(key),))}")
        elif name in items:
            other = items[name].row.line
            same = "the workflow" if key is None else f"the key {name!r}"
            hint = "; remove it, or identify rows with --key" if key is None else ""
            problems.append(f"{where}: same as line {other}: {same}{hint}")
        else:
            items[name] = Item(name, row)
    if problems:
        raise _refused(problems)
    return Batch(template, tuple(items.values()), generation)


def _columns(rows: Sequence[InputRow]) -> list[str]:
    return [*dict.fromkeys(name for row in rows for name in row.values)]


def _digest(roots: Roots) -> str:
    # Sorted, because the order of parameters in a template does not matter.
    text = json.dumps(dump_workflow(roots), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _refused(problems: Sequence[str]) -> CommandError:
    more = len(problems) - MOST_PROBLEMS
    lines = [*problems[:MOST_PROBLEMS], *([f"and {more} more"] if more > 0 else [])]
    plural = "" if len(problems) == 1 else "s"
    head = f"{len(problems)} problem{plural}; nothing was sent"
    return CommandError("\n  ".join([head, *lines]), status_of(WorkflowError("")))


def written_keys(path: Path) -> set[str]:
    """Return the keys of the rows in a results file.

    Raises:
        CommandError: The file has a line that no batch wrote.
    """
    keys: set[str] = set()
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                found = decode_json(line)
                keys.add(found["key"])
            except (ValueError, TypeError, KeyError):
                message = (
                    f"{path}:{number}: not a result of a batch; pass another --out"
                )
                raise CommandError(message) from None
    return keys


@attrs.define(eq=False)
class BatchRunner:
    """One run of a batch; it continues earlier runs.

    Args:
        batch: The rows.
        accounts: The accounts of an entered session, by name.
        journal: The journal of the session.
        results: The writer of the results.
        limit: The most rows in flight on each account.
        signals: After a signal, no more rows are started.
        progress: The counts, updated by the run.
        changed: Called after each change of *progress*.
    """

    batch: Batch
    accounts: Mapping[str, Account]
    journal: Journal
    results: JsonlWriter
    limit: int
    signals: SignalHandler
    progress: Progress
    changed: Callable[[], None]
    unknown: int = 0
    """Rows with an unknown start."""
    refused: int = 0
    """Rows that the API refused to start."""
    error: Exception | None = None
    """The first error that stopped an account or the run."""
    _aborted: bool = False
    _pool: deque[Item] = attrs.field(factory=deque)
    _own: dict[str, deque[Item]] = attrs.field(factory=dict)
    _items: dict[str, Item] = attrs.field(factory=dict)
    _new: set[str] = attrs.field(factory=set)
    _stopped: set[str] = attrs.field(factory=set)
    _statuses: set[int] = attrs.field(factory=set)

    async def run(self, written: set[str]) -> None:
        """Start the new rows, wait for all rows, and write their results.

        Args:
            written: The keys of the rows that have a result already.
        """
        self._items = {item.key: item for item in self.batch.items}
        self._own = {name: deque() for name in self.accounts}
        await self._load_state(written)
        while self._may_start():
            async with asyncio.TaskGroup() as workers:
                for account in self._running_accounts():
                    workers.create_task(self._work(account))

    def _may_start(self) -> bool:
        """Return whether a row and an account to start it are left."""
        if self.signals.received or self._aborted:
            return False
        return any(self._own[a.name] or self._pool for a in self._running_accounts())

    def _running_accounts(self) -> list[Account]:
        return [a for name, a in self.accounts.items() if name not in self._stopped]

    @property
    def remaining(self) -> int:
        """The number of rows without a result."""
        return self.progress.total - self.progress.done

    @property
    def status(self) -> int:
        """The exit status, signals aside."""
        if self.error is not None:
            return status_of(self.error)
        if self.unknown:
            return status_of(StartUnknownError("", account=""))
        return min(self._statuses, default=0)

    # Earlier runs

    async def _load_state(self, written: set[str]) -> None:
        """Look up each row in the journal: done, in flight, unknown, or new."""
        problems: list[str] = []
        for item in self.batch.items:
            row = await self.journal.row(item.key)
            problem = row and self._conflict(item, row)
            if problem:
                problems.append(f"line {item.row.line}: {problem}")
            elif row is None:
                if item.key in written:
                    self.progress.done += 1
                else:
                    self._pool.append(item)
            elif row.state == "unknown":
                self._mark_unknown(item)
            elif item.key in written:
                self.progress.done += 1
                if row.state == "finished":
                    await self.journal.delivered(item.key)
            elif row.state == "delivered":
                self._write(
                    item, row.account, row.workflow_id, row.end_status, row.result
                )
            else:
                self._own[row.account].append(item)
        if problems:
            raise _refused(problems)
        self.changed()

    def _conflict(self, item: Item, row: Row) -> str | None:
        """Return why a row of the journal does not match this row, if so."""
        definition = dump_workflow(self.batch.workflow(item))
        if decode_json(row.definition) != definition:
            return (
                f"{item.key!r} was started with another workflow; use another key, "
                "or start a new batch with another --out"
            )
        if row.state in {"accepted", "finished"} and row.account not in self.accounts:
            return f"started on the account {row.account!r}, which is not loaded"
        return None

    # One account

    async def _work(self, account: Account) -> None:
        """Run rows on an account until none are left or the account cannot continue."""
        self._count_accounts()
        stream = account.as_completed(self._next_rows(account.name), limit=self.limit)
        async with stream as done:
            async for handle in done:
                try:
                    await self._ended(account.name, handle)
                except OSError as error:
                    # Not acknowledged: the next run writes the result.
                    self._abort(error)
                    break

    def _next_rows(self, name: str) -> Iterator[tuple[str, Any]]:
        """Yield rows for an account: those it started earlier, then new ones."""
        while not (self.signals.received or self._aborted or name in self._stopped):
            queue = self._own[name] or self._pool
            if not queue:
                return
            item = queue.popleft()
            if queue is self._pool:
                self._new.add(item.key)
                self.progress.started(asyncio.get_running_loop().time())
            self.progress.in_flight += 1
            self.changed()
            # JSON keeps a list of one root.
            yield item.key, dump_workflow(self.batch.workflow(item))

    async def _ended(self, name: str, handle: WorkflowHandle[Any]) -> None:
        """Handle the end of a row, or of its start."""
        item = self._items[str(handle.key)]
        self.progress.in_flight -= 1
        failure = handle.failure
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
            self._without_result(item, handle, failure)
        self.changed()

    def _without_result(
        self, item: Item, handle: WorkflowHandle[Any], error: Exception
    ) -> None:
        """Handle a row that gets no result in this run."""
        if isinstance(error, StartUnknownError):
            self._mark_unknown(item)
        elif isinstance(error, _ROW_ERRORS):
            self.refused += 1
            self._statuses.add(status_of(error))
            print_error(f"line {item.row.line}: not started: {error}")
        elif isinstance(error, JournalError):
            self._abort(error)
        else:
            # The account cannot continue; another one may start the row instead.
            if handle.workflow_id is None:
                self._pool.appendleft(item)
            self._stop_account(handle.account, error)

    def _mark_unknown(self, item: Item) -> None:
        self.unknown += 1
        print_error(
            f"line {item.row.line}: it is unknown whether {item.key!r} was "
            "started; check the history of the account"
        )

    def _stop_account(self, name: str, error: Exception) -> None:
        if name not in self._stopped:
            self._stopped.add(name)
            self._count_accounts()
            self.error = self.error or error
            print_error(f"account {name}: no more starts: {error}")

    def _abort(self, error: Exception) -> None:
        self._aborted = True
        self.error = error
        print_error(f"no more starts: {error}")

    def _count_accounts(self) -> None:
        self.progress.accounts = len(self.accounts) - len(self._stopped)

    def _write(
        self,
        item: Item,
        account: str,
        workflow_id: str | None,
        status: EndStatus | None,
        raw: Any,
    ) -> None:
        """Write one line of results; it is on disk when this returns."""
        if isinstance(raw, bytes):
            raw = decode_json(raw)
        line = {
            "key": item.key,
            "line": item.row.line,
            "account": account,
            "workflowId": workflow_id,
            "status": status,
            "input": item.row.values,
        }
        errors: Sequence[LinkedApiError] = ()
        failed = status != "completed"
        if status == "completed":
            completion = read_completion(raw, workflow_id=workflow_id)
            errors = completion.errors
            failed = any(not root.success for root in completion.roots)
            line["errors"] = [
                {"actionType": e.action_type, "type": e.type, "message": e.message}
                for e in completion.errors
            ]
            line["completion"] = raw
        elif raw is not None:
            line["failure"] = raw
        self.results.write(line)
        self.progress.done += 1
        if item.key in self._new:
            self.progress.ended(asyncio.get_running_loop().time())
        if failed:
            self.progress.failed += 1
            self._statuses.add(FAILED)
            reason = next((str(error) for error in errors), status)
            print_error(f"line {item.row.line}: {reason}")
