"""One workflow per row of a file, once each, however often the run is interrupted.

The journal says what was started, the results what came. A row is known by its key: by
default a digest of its workflow, so that rows may be added, removed and moved between
two runs, and nothing that was started is started again.
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
"""How many problems are listed at most."""

_OF_THE_ROW: Final = (WorkflowError, RejectedError, StartUnknownError)
"""Why a start may fail that says nothing of other rows."""


@attrs.frozen(eq=False)
class Item:
    """A row with its key."""

    key: str
    person: InputRow


@attrs.frozen
class Batch:
    """All rows of an input, checked: nothing was sent yet."""

    template: Template
    items: tuple[Item, ...]
    generation: Generation | None

    def workflow(self, item: Item) -> Roots:
        """Return the workflow of a row."""
        filled = self.template.fill(item.person.values, self.generation)
        assert not isinstance(filled, list)  # noqa: S101  # it was checked
        return filled

    def workflows(self) -> Iterator[Roots]:
        """Make the workflows of all rows, one after the other."""
        return (self.workflow(item) for item in self.items)


def checked(
    template: Template,
    people: Sequence[InputRow],
    *,
    source: str,
    key: str | None,
    generation: Generation | None,
) -> Batch:
    """Return the batch of *people*, every row filled and checked.

    Args:
        template: A workflow with placeholders.
        people: The rows.
        source: What the input is called in messages.
        key: The column that tells rows apart; None makes a digest of each workflow.
        generation: The generation of the API that has to take them.

    Raises:
        Failed: With all problems, each with its line, column and path.
    """
    told = [f"the template: {p}" for p in template.problems]
    told += [f"{source}: {p}" for p in template.missing(_columns(people))]
    if told:
        raise _refused(told)
    items: dict[str, Item] = {}
    for person in people:
        where = f"{source}:{person.line}"
        filled = template.fill(person.values, generation)
        if isinstance(filled, list):
            told += [f"{where}: {problem}" for problem in filled]
            continue
        name = _digest(filled) if key is None else person.values.get(key)
        if not isinstance(name, str) or not name.strip():
            what = "no such column" if key not in person.values else "a text is due"
            told.append(f"{where}: {Problem(f'as a key {what}', '', (str(key),))}")
        elif name in items:
            other = items[name].person.line
            same = "is the workflow" if key is None else f"has the key {name!r}"
            hint = "; remove it, or tell them apart with --key" if key is None else ""
            told.append(f"{where}: {same} of line {other}{hint}")
        else:
            items[name] = Item(name, person)
    if told:
        raise _refused(told)
    return Batch(template, tuple(items.values()), generation)


def _columns(people: Sequence[InputRow]) -> list[str]:
    return [*dict.fromkeys(name for person in people for name in person.values)]


def _digest(roots: Roots) -> str:
    # Sorted: the order of what a template says of one action does not matter.
    text = json.dumps(dump_workflow(roots), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _refused(told: Sequence[str]) -> CommandError:
    more = len(told) - MOST_PROBLEMS
    lines = [*told[:MOST_PROBLEMS], *([f"and {more} more"] if more > 0 else [])]
    plural = "" if len(told) == 1 else "s"
    head = f"{len(told)} problem{plural}; nothing was sent"
    return CommandError("\n  ".join([head, *lines]), status_of(WorkflowError("")))


def written_keys(path: Path) -> set[str]:
    """Return the keys of the rows that a results file has.

    Raises:
        Failed: It has a line that is of no batch.
    """
    keys: set[str] = set()
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                found = decode_json(line)
                keys.add(found["key"])
            except (ValueError, TypeError, KeyError):
                message = (
                    f"{path}:{number} is no result of a batch; choose another --out"
                )
                raise CommandError(message) from None
    return keys


@attrs.define(eq=False)
class BatchRunner:
    """One run of a batch, with what earlier ones have left.

    Args:
        batch: What is to be done.
        accounts: The accounts of an entered session, by name.
        journal: Its journal.
        results: Where results are written.
        limit: How many rows are in flight on each account at most.
        stop: Hears when no more is to be started.
        pace: Is told of what ends.
        changed: Is called when *pace* has changed.
    """

    batch: Batch
    accounts: Mapping[str, Account]
    journal: Journal
    results: JsonlWriter
    limit: int
    stop: SignalHandler
    pace: Progress
    changed: Callable[[], None]
    unknown: int = 0
    """Rows of which nobody knows whether they were started."""
    refused: int = 0
    """Rows that the API would not start."""
    trouble: Exception | None = None
    """Why an account, or all of it, came to a halt first."""
    _halted: bool = False
    _pool: deque[Item] = attrs.field(factory=deque)
    _own: dict[str, deque[Item]] = attrs.field(factory=dict)
    _items: dict[str, Item] = attrs.field(factory=dict)
    _new: set[str] = attrs.field(factory=set)
    _resting: set[str] = attrs.field(factory=set)
    _statuses: set[int] = attrs.field(factory=set)

    async def go(self, written: set[str]) -> None:
        """Start what was not started, wait for all of it, write down what came.

        Args:
            written: The keys of the rows that the results have already.
        """
        self._items = {item.key: item for item in self.batch.items}
        self._own = {name: deque() for name in self.accounts}
        await self._sort(written)
        while self._may_start():
            async with asyncio.TaskGroup() as workers:
                for account in self._awake():
                    workers.create_task(self._work(account))

    def _may_start(self) -> bool:
        """Return whether there is something to do, and somebody who may do it."""
        if self.stop.heard or self._halted:
            return False
        return any(self._own[a.name] or self._pool for a in self._awake())

    def _awake(self) -> list[Account]:
        return [a for name, a in self.accounts.items() if name not in self._resting]

    @property
    def left(self) -> int:
        """How many rows are not in the results."""
        return self.pace.total - self.pace.done

    @property
    def status(self) -> int:
        """The exit status, but for signals."""
        if self.trouble is not None:
            return status_of(self.trouble)
        if self.unknown:
            return status_of(StartUnknownError("", account=""))
        return min(self._statuses, default=0)

    # What earlier runs have left

    async def _sort(self, written: set[str]) -> None:
        """Look each row up in the journal: done, under way, doubtful, or new."""
        told: list[str] = []
        for item in self.batch.items:
            row = await self.journal.row(item.key)
            problem = row and self._misfit(item, row)
            if problem:
                told.append(f"line {item.person.line}: {problem}")
            elif row is None:
                if item.key in written:
                    self.pace.done += 1
                else:
                    self._pool.append(item)
            elif row.state == "unknown":
                self._doubt(item)
            elif item.key in written:
                self.pace.done += 1
                if row.state == "finished":
                    await self.journal.delivered(item.key)
            elif row.state == "delivered":
                self._write(
                    item, row.account, row.workflow_id, row.end_status, row.result
                )
            else:
                self._own[row.account].append(item)
        if told:
            raise _refused(told)
        self.changed()

    def _misfit(self, item: Item, row: Row) -> str | None:
        """Return why a row of the journal is not this row, if it is not."""
        definition = dump_workflow(self.batch.workflow(item))
        if decode_json(row.definition) != definition:
            return (
                f"{item.key!r} was started with another workflow; give it another key, "
                "or begin a batch of its own with another --out"
            )
        if row.state in {"accepted", "finished"} and row.account not in self.accounts:
            return f"it was started on the account {row.account!r}, which is not here"
        return None

    # One account

    async def _work(self, account: Account) -> None:
        """Run rows on an account until there are none, or it cannot go on."""
        self._count_accounts()
        stream = account.as_completed(self._draw(account.name), limit=self.limit)
        async with stream as done:
            async for handle in done:
                try:
                    await self._ended(account.name, handle)
                except OSError as error:
                    # Not acknowledged: the next run writes it down.
                    self._halt(error)
                    break

    def _draw(self, name: str) -> Iterator[tuple[str, Any]]:
        """Yield rows for an account: its own of earlier runs, then from the pool."""
        while not (self.stop.heard or self._halted or name in self._resting):
            queue = self._own[name] or self._pool
            if not queue:
                return
            item = queue.popleft()
            if queue is self._pool:
                self._new.add(item.key)
                self.pace.begin(asyncio.get_running_loop().time())
            self.pace.in_flight += 1
            self.changed()
            # As JSON, which tells a list of one from one.
            yield item.key, dump_workflow(self.batch.workflow(item))

    async def _ended(self, name: str, handle: WorkflowHandle[Any]) -> None:
        """Deal with the end of a row, or with a start that failed."""
        item = self._items[str(handle.key)]
        self.pace.in_flight -= 1
        failure = handle.failure
        if failure is None:
            completion = await handle.completion()
            self._write(item, name, handle.workflow_id, "completed", completion.raw)
        elif isinstance(failure, WorkflowFailedError):
            facts = {"reason": failure.reason, "message": failure.explanation}
            self._write(item, name, handle.workflow_id, "failed", facts)
        elif isinstance(failure, WorkflowCancelledError):
            self._write(item, name, handle.workflow_id, "cancelled", None)
        elif isinstance(failure, WorkflowNotFoundError):
            self._write(item, name, handle.workflow_id, "lost", None)
        else:
            self._not_done(item, handle, failure)
        self.changed()

    def _not_done(
        self, item: Item, handle: WorkflowHandle[Any], error: Exception
    ) -> None:
        """Deal with a row that has no result, and will have none in this run."""
        if isinstance(error, StartUnknownError):
            self._doubt(item)
        elif isinstance(error, _OF_THE_ROW):
            self.refused += 1
            self._statuses.add(status_of(error))
            print_error(f"line {item.person.line}: not started: {error}")
        elif isinstance(error, JournalError):
            self._halt(error)
        else:
            # It speaks of the account: another one may start what this one did not.
            if handle.workflow_id is None:
                self._pool.appendleft(item)
            self._rest(handle.account.name, error)

    def _doubt(self, item: Item) -> None:
        self.unknown += 1
        print_error(
            f"line {item.person.line}: nobody knows whether it was started, as "
            f"{item.key!r}; the account's history shows it"
        )

    def _rest(self, name: str, error: Exception) -> None:
        if name not in self._resting:
            self._resting.add(name)
            self._count_accounts()
            self.trouble = self.trouble or error
            print_error(f"the account {name} starts nothing more: {error}")

    def _halt(self, error: Exception) -> None:
        self._halted = True
        self.trouble = error
        print_error(f"nothing more is started: {error}")

    def _count_accounts(self) -> None:
        self.pace.accounts = len(self.accounts) - len(self._resting)

    def _write(
        self,
        item: Item,
        account: str,
        workflow_id: str | None,
        how: EndStatus | None,
        raw: Any,
    ) -> None:
        """Write one line of results, on disk when this returns."""
        if isinstance(raw, bytes):
            raw = decode_json(raw)
        line = {
            "key": item.key,
            "line": item.person.line,
            "account": account,
            "workflowId": workflow_id,
            "status": how,
            "input": item.person.values,
        }
        errors: Sequence[LinkedApiError] = ()
        bad = how != "completed"
        if how == "completed":
            completion = read_completion(raw, workflow_id=workflow_id)
            errors = completion.errors
            bad = any(not root.success for root in completion.roots)
            line["errors"] = [
                {"actionType": e.action_type, "type": e.type, "message": e.message}
                for e in completion.errors
            ]
            line["completion"] = raw
        elif raw is not None:
            line["failure"] = raw
        self.results.write(line)
        self.pace.done += 1
        if item.key in self._new:
            self.pace.ended(asyncio.get_running_loop().time())
        if bad:
            self.pace.failed += 1
            self._statuses.add(FAILED)
            why = next((str(error) for error in errors), how)
            print_error(f"line {item.person.line}: {why}")
