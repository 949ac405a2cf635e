"""The service that runs the workflows of agents, and sends each write once."""

from __future__ import annotations

import asyncio
import math
import os
import shlex
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, Literal, Self, TypeAlias, TypeVar, cast

import attrs

from linkedapi_async._http.requests import validate_workflow_id
from linkedapi_async._types import Generation
from linkedapi_async._utils.json import decode_json, encode_json
from linkedapi_async._utils.times import format_time, from_timestamp
from linkedapi_async.agents._checks import Check, check_definition
from linkedapi_async.contacts import Contacts
from linkedapi_async.errors import (
    JournalError,
    JournalLockedError,
    LinkedApiError,
    StartUnknownError,
    WorkflowCancelledError,
    WorkflowFailedError,
)
from linkedapi_async.journal import Journal, Row
from linkedapi_async.policies import Pace
from linkedapi_async.session import Account, Session, WorkflowHandle


T = TypeVar("T")

AnswerStatus: TypeAlias = Literal[
    "completed", "failed", "cancelled", "running", "pending", "not_sent", "unknown"
]
"""The state of a workflow; ``unknown`` if it may have been sent."""

Report: TypeAlias = Callable[[float, float | None, str], Awaitable[None]]
"""Called with the seconds that have passed, the total if it is known, and a text."""

LOCK_WAIT: Final = 10.0
"""How long a write waits for a journal that another process has open, in seconds."""

_LOCK_INTERVAL: Final = 0.2
"""The time between two attempts to open it, in seconds."""

AGAIN: Final = "pass a new key to send it again"
"""Advice for an agent that intends a second write."""

OTHER: Final = (
    "nothing was sent: another workflow already has this key (by default the action and "
    "its target); it"
)
"""Why a write with another text is not sent."""


@attrs.frozen(kw_only=True)
class Answer:
    """The answer to an agent about a workflow."""

    status: AnswerStatus
    """The state of the workflow."""
    workflow_id: str | None = None
    """The API's id; None before it is accepted."""
    note: str | None = None
    """What happened and what to do, as text."""
    result: Any = None
    """The completion as the API sent it."""

    @property
    def is_error(self) -> bool:
        """Whether it failed, was cancelled or not sent, or may have been sent."""
        return self.status in {"failed", "cancelled", "not_sent", "unknown"}

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as JSON values, without unknown ones."""
        facts = {
            "status": self.status,
            "id": self.workflow_id,
            "note": self.note,
            "result": self.result,
        }
        return {name: value for name, value in facts.items() if value is not None}


@attrs.define(eq=False)
class _Run:
    """One run of a workflow, which all callers wait for."""

    definition: bytes = b""
    """The definition that it sends, as JSON."""
    handle: WorkflowHandle[Any] | None = None
    note: str | None = None
    """A note that is added to the answer."""
    task: asyncio.Task[Answer] | None = None


class WorkflowService:
    """Runs workflows for agents, on one account.

    An async context manager. Workflows that only read run on a session of their own.
    Those that write run on a session with the journal, which is open only while a write
    is in progress. So several processes can share the file, one at a time.

    A write has a key, by default its actions and their targets, without the texts. It
    is sent once for each key, even if agents repeat the call at the same time or after
    a crash.

    Args:
        connect: Makes a session that is not entered from some of its settings:
            `Session` or `Session.from_env`, with any further settings bound to it.
        account_of: Returns the account of an entered session.
        allow_writes: Whether workflows that write are sent.
        journal: The file in which writes are recorded; needed for them.
        pace: How much the account may do, and when. With a journal, reads count against
            it too.
        contacts: The record of who was written to, so that each person is written to
            once.
        wait: How long a call waits for a result, in seconds.
        interval: The time between two reports of a wait, in seconds.
        describe: Puts errors into words.

    Raises:
        ValueError: Writes are allowed without a journal.
    """

    def __init__(
        self,
        connect: Callable[..., Session],
        *,
        account_of: Callable[[Session], Account] = lambda one: one.default_account,
        allow_writes: bool = False,
        journal: str | os.PathLike[str] | None = None,
        pace: Pace | None = None,
        contacts: Contacts | None = None,
        wait: float = 45.0,
        interval: float = 2.0,
        describe: Callable[[Exception], str] = str,
    ) -> None:
        if allow_writes and journal is None:
            message = "writes need a journal, so that each is sent once; pass journal="
            raise ValueError(message)
        self._connect = connect
        self._account_of = account_of
        self.allow_writes: bool = allow_writes
        self._journal = journal
        self._settings = {"pace": pace, "contacts": contacts}
        self._pace = pace
        self.wait: float = wait
        self.interval: float = interval
        self.describe: Callable[[Exception], str] = describe
        self._stack = AsyncExitStack()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._runs: dict[tuple[str, str], _Run] = {}
        self._opening = asyncio.Lock()
        self._recorded: Session | None = None
        self._users = 0

    async def __aenter__(self) -> Self:
        pace = None if self._journal else self._pace
        self._session = await self._stack.enter_async_context(self._connect(pace=pace))
        try:
            self.account: Account = self._account_of(self._session)
        except BaseException:
            await self._stack.aclose()
            raise
        if self._journal is not None:
            self._spawn(self._recover())
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        # Leaving a session waits for the starts in progress.
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stack.aclose()

    @property
    def generation(self) -> Generation:
        """The generation of the API."""
        return self._session.generation

    def check(self, definition: Any) -> Check:
        """Return the check of a definition; nothing is sent."""
        return check_definition(definition, self.generation, self.describe)

    async def earlier(
        self, check: Check, key: str | None = None, report: Report | None = None
    ) -> Answer | None:
        """Return the answer to a call that needs no consent, or None.

        A write needs no consent if it was sent before, or cannot be sent.

        Args:
            check: A check without problems, of a workflow that writes.
            key: As for `run`.
            report: Called with the progress.
        """
        full = self._full_key(check, key)
        if ("write", full) not in self._runs:
            found = await asyncio.shield(self._spawn(self._looked_up(full)))
            if found is None or isinstance(found, Answer):
                return found
            if refused := self._refused(found, check):
                return refused
        return await self.run(check, key, report)

    async def run(
        self, check: Check, key: str | None = None, report: Report | None = None
    ) -> Answer:
        """Run a workflow, or wait for a run of the same one.

        Cancelling this call cancels its wait, but not the workflow.

        Args:
            check: A check without problems; its writes are allowed.
            key: The key of its writes; by default their actions and targets.
            report: Called with the progress.

        Returns:
            The result, or the state of the workflow when the wait is over.
        """
        definition = encode_json(check.definition)
        full = self._full_key(check, key) if check.writes else None
        # A workflow that only reads is shared while it runs, and runs again later.
        name = ("read", definition.decode()) if full is None else ("write", full)
        run = self._runs.get(name)
        if run is None:
            run = self._begin(
                name, lambda made: self._carry_out(made, check, full), definition
            )
        elif run.definition != definition:
            return Answer(status="not_sent", note=f"{OTHER} is in progress; {AGAIN}")
        return await self._join(run, report)

    async def result(self, workflow_id: str, report: Report | None = None) -> Answer:
        """Wait for the result of a workflow that was started by any process.

        Args:
            workflow_id: The API's id of it.
            report: Called with the progress.
        """
        try:
            validate_workflow_id(workflow_id)
        except ValueError as error:
            return Answer(status="unknown", note=self.describe(error))
        for run in self._runs.values():
            if run.handle is not None and run.handle.workflow_id == workflow_id:
                return await self._join(run, report)
        run = self._begin(
            ("id", workflow_id), lambda made: self._follow(made, workflow_id)
        )
        return await self._join(run, report)

    # Keys and runs

    def _full_key(self, check: Check, key: str | None) -> str:
        return f"{self.account.name}/{key or check.key}"

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run *work* in a task of its own, which outlives the call."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _begin(
        self,
        name: tuple[str, str],
        work: Callable[[_Run], Coroutine[Any, Any, Answer]],
        definition: bytes = b"",
    ) -> _Run:
        run = self._runs[name] = _Run(definition)
        run.task = self._spawn(work(run))
        run.task.add_done_callback(lambda _: self._runs.pop(name))
        return run

    async def _join(self, run: _Run, report: Report | None) -> Answer:
        """Wait for a run, and report its progress."""
        task = cast("asyncio.Task[Answer]", run.task)
        loop = asyncio.get_running_loop()
        begin = loop.time()
        while not task.done():
            passed = loop.time() - begin
            if passed >= self.wait:
                return _unfinished(run)
            if report is not None:
                eta = None if run.handle is None else run.handle.eta()
                total = None if eta is None else passed + eta.median
                await report(passed, total, _progress(run))
            await asyncio.wait({task}, timeout=min(self.interval, self.wait - passed))
        return task.result()

    async def _carry_out(self, run: _Run, check: Check, key: str | None) -> Answer:
        """Start a workflow, and wait for its end."""
        try:
            if self._journal is None or not (check.writes or self._pace):
                return await self._start(run, self.account, check, None)
            async with self._journaled() as session:
                account = self._account_of(session)
                if key is not None:
                    journal = cast("Journal", session.journal)
                    row = await journal.row(key)
                    if row is not None and _is_free(row):
                        # Looked up again, because the user's consent may have taken
                        # hours.
                        await journal.retry(key)
                    elif row is not None:
                        run.note = _sent_before(row)
                        if answer := self._refused(row, check):
                            return answer
                return await self._start(run, account, check, key)
        except StartUnknownError as error:
            advice = None if key is None else self._advice(key)
            note = "; ".join(filter(None, [self.describe(error), advice]))
            return Answer(status="unknown", note=note)
        except LinkedApiError as error:
            return self._error_answer(run, error)

    async def _start(
        self, run: _Run, account: Account, check: Check, key: str | None
    ) -> Answer:
        roots: Any = check.roots
        # Without a check, because the definition was checked before, and its warnings
        # shown.
        run.handle = await account.start(roots, check=False, key=key)
        return await self._wait_for(run, run.handle)

    async def _follow(self, run: _Run, workflow_id: str) -> Answer:
        try:
            # Polled once first, because a wait would take a minute to report an unknown
            # id.
            await self.account.status(workflow_id)
            run.handle = self.account.attach(workflow_id)
            return await self._wait_for(run, run.handle)
        except LinkedApiError as error:
            return self._error_answer(run, error, workflow_id)

    async def _wait_for(self, run: _Run, handle: WorkflowHandle[Any]) -> Answer:
        completion = await handle.completion(math.inf)
        failures = [self.describe(error) for error in completion.errors]
        note = "; ".join([*([run.note] if run.note else []), *failures])
        return Answer(
            status="completed",
            workflow_id=handle.workflow_id,
            note=note or None,
            result=completion.raw,
        )

    def _error_answer(
        self, run: _Run, error: LinkedApiError, workflow_id: str | None = None
    ) -> Answer:
        handle = run.handle
        known = handle.workflow_id if handle is not None else error.workflow_id
        status: AnswerStatus
        if isinstance(error, WorkflowFailedError):
            status = "failed"
        elif isinstance(error, WorkflowCancelledError):
            status = "cancelled"
        elif known or workflow_id:
            status = "unknown"
        else:
            status = "not_sent"
        text = self.describe(error)
        note = f"{run.note}; {text}" if run.note else text
        return Answer(status=status, workflow_id=known or workflow_id, note=note)

    # The journal

    @asynccontextmanager
    async def _journaled(self) -> AsyncIterator[Session]:
        """Enter the session with the journal, which its users share."""
        async with self._opening:
            if self._recorded is None:
                self._recorded = await self._open()
            self._users += 1
        try:
            yield self._recorded
        finally:
            async with self._opening:
                self._users -= 1
                if not self._users:
                    session, self._recorded = self._recorded, None
                    await session.__aexit__(None, None, None)

    async def _open(self) -> Session:
        loop = asyncio.get_running_loop()
        begin = loop.time()
        while True:
            session = self._connect(journal=self._journal, **self._settings)
            try:
                return await session.__aenter__()
            except JournalLockedError as error:
                # Another server is writing, or one that was killed has not ended yet.
                if loop.time() - begin >= LOCK_WAIT:
                    raise JournalError(
                        "another program has the journal of writes open, such as "
                        "another server for agents that writes; try it again later"
                    ) from error
            await asyncio.sleep(_LOCK_INTERVAL)

    async def _recover(self) -> None:
        """Wait for what earlier processes have started, so that its end is recorded."""
        try:
            async with self._journaled() as session:
                self._account_of(session)
                await session.recover()
                await session.drain()
        except LinkedApiError:
            # The process that has the journal open waits for it, or the next write
            # will.
            return

    async def _looked_up(self, key: str) -> Row | Answer | None:
        """Return the row of a key in the journal, unless the key may be used."""
        try:
            async with self._journaled() as session:
                row = await cast("Journal", session.journal).row(key)
        except LinkedApiError as error:
            return self._error_answer(_Run(), error)
        return None if row is None or _is_free(row) else row

    def _refused(self, row: Row, check: Check) -> Answer | None:
        """Return the answer to a repeat that has no result of its own."""
        if row.state == "unknown":
            note = (
                f"it was sent on {_date(row)} and not answered; {self._advice(row.key)}"
            )
            return Answer(status="unknown", note=note)
        if row.definition and decode_json(row.definition) != check.definition:
            note = f"{OTHER} was {_sent_before(row)}"
            return Answer(status="not_sent", workflow_id=row.workflow_id, note=note)
        return None

    def _advice(self, key: str) -> str:
        """Return what to do about a write that may have been sent."""
        file, name = (shlex.quote(str(text)) for text in (self._journal, key))
        return (
            "the history of the account shows whether it runs; decide with: linkedapi "
            f"recover {file} --retry {name}, or --mark-started {name} ID"
        )


def _is_free(row: Row) -> bool:
    """Return whether a key may be used again: its workflow changed nothing."""
    return row.failed and row.wrote is False


def _date(row: Row) -> str:
    return format_time(from_timestamp(row.created))


def _sent_before(row: Row) -> str:
    return f"sent on {_date(row)} as {row.workflow_id}; {AGAIN}"


def _progress(run: _Run) -> str:
    if run.handle is None:
        return "it waits for its start"
    eta = run.handle.eta()
    left = "" if eta is None else f", about {math.ceil(eta.median)} s left"
    reason = run.handle.pending_reason
    why = "" if reason is None else f" ({reason})"
    return f"{run.handle.workflow_id} is {run.handle.status}{why}{left}"


def _unfinished(run: _Run) -> Answer:
    if run.handle is None:
        note = (
            "it waits for its turn, and is sent once; call run_workflow with the same "
            "definition and key to wait on"
        )
        return Answer(status="pending", note=note)
    status = cast("AnswerStatus", run.handle.status)
    note = f"{_progress(run)}; get_result with this id waits on"
    if run.note:
        note = f"{run.note}; {note}"
    return Answer(status=status, workflow_id=run.handle.workflow_id, note=note)
