"""Start, attach, recover and drain the workflows of one account."""

from __future__ import annotations

import asyncio
import contextlib
import math
import uuid
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

import anyio

from linkedapi_async._actions.action import Action, Roots, named_roots
from linkedapi_async._actions.compatibility import unsupported_in
from linkedapi_async._actions.texts import warn_of_doubts
from linkedapi_async._http.requests import validate_workflow_id
from linkedapi_async._polling.answers import Ended
from linkedapi_async._polling.lane import PendingWorkflow
from linkedapi_async._utils.json import encode_json
from linkedapi_async._utils.secret import Secret
from linkedapi_async._utils.times import wall_time
from linkedapi_async._wire.dump import dump_workflow
from linkedapi_async._wire.load import load_workflow
from linkedapi_async.errors import JournalError, LinkedApiError, StartUnknownError
from linkedapi_async.session._account_runtime import AccountRuntime
from linkedapi_async.session._deferral import may_write
from linkedapi_async.session._handle import ManagedHandle
from linkedapi_async.session._journaling import JournalRecorder, end_of, workflow_of
from linkedapi_async.session._runtime import Runtime
from linkedapi_async.session._start import Start, TurnMissedError


if TYPE_CHECKING:
    from linkedapi_async._pacing import Uses
    from linkedapi_async.journal import Journal, Row
    from linkedapi_async.session._pacer import Pacer


class Runner(AccountRuntime):
    """Starts the workflows of one account, and recovers those of earlier runs.

    Args:
        runtime: As for `AccountRuntime`.
        identification_token: As for `AccountRuntime`.
        name: As for `AccountRuntime`.
        account_id: As for `AccountRuntime`.
        pacer: As for `AccountRuntime`.
        runners: All runners of the session by name, this one included.
    """

    def __init__(
        self,
        runtime: Runtime,
        identification_token: Secret[str],
        name: str,
        account_id: str | None,
        pacer: Pacer | None,
        *,
        runners: dict[str, Runner],
    ) -> None:
        super().__init__(runtime, identification_token, name, account_id, pacer)
        self.runners = runners
        runners[name] = self
        self._starts = 0
        self._retired = False

    async def start(
        self,
        workflow: Secret[tuple[Any, ...]],
        *,
        check: bool,
        key: str | None = None,
        max_wait: float | None = None,
        wait_for_pace: bool = True,
        stream: bool = True,
    ) -> ManagedHandle:
        """Start a workflow; a start in progress survives the caller's cancellation.

        Args:
            workflow: The roots, or one definition; opaque, because they contain
                personal messages, which no frame shows to an error tracker.
            check: Whether to check it against the generation.
            key: The caller's key.
            stream: Whether a stream acknowledges the end of a workflow with a key.
            max_wait: How long it may wait for the account's pace, in seconds; None is
                the deadline of the policy.
            wait_for_pace: Whether it waits for longer than the minimum interval between
                two starts and the end of the workflows in progress.

        Raises:
            PaceError: Its turn comes too late; nothing was sent.
        """
        self.runtime.check_starting()
        self.runtime.poller.check_running()
        self.check_working()
        self._check_known()
        began, slot = self.runtime.now(), None
        if max_wait is None:
            shared = self.runtime.shared
            waits = shared is None or shared.waits
            max_wait = self.runtime.polling.deadline if waits else 0.0
        prepared, uses = self._counted(workflow, check=check)
        recorder = self._new_recorder(key, stream)
        self._starts += 1
        try:
            while True:
                if self.pacer is not None and uses is not None:
                    # No coroutine is added in between, because many starts may wait for
                    # days.
                    slot = await self.pacer.admit(
                        uses,
                        prepared,
                        key=key,
                        name=self._booking_key(key, recorder),
                        max_wait=max(0.0, max_wait - (self.runtime.now() - began)),
                        wait=wait_for_pace,
                    )
                    prepared = _with_definition(prepared)
                try:
                    return await self._send(
                        Start(
                            self,
                            *prepared.reveal(),
                            key=key,
                            recorder=recorder,
                            slot=slot,
                            queued_at=began,
                        )
                    )
                except TurnMissedError:
                    continue
        finally:
            self._starts -= 1

    def _counted(
        self, workflow: Secret[tuple[Any, ...]], *, check: bool
    ) -> tuple[Secret[tuple[Roots, Any]], Uses | None]:
        """Return a workflow as it is sent, and the actions that the pace counts."""
        try:
            prepared = Secret(self._prepare(*workflow.reveal(), check=check))
            if self.pacer is None:
                return prepared, None
            # It may wait for days, with many others.
            uses = self.pacer.count(prepared.reveal()[0])
            return _without_definition(prepared), uses
        except Exception as error:
            error.__traceback__ = None  # its frames have the texts
            raise

    async def _send(self, start: Start) -> ManagedHandle:
        """Send a start; return its handle once it was accepted."""
        # A task of the session, because the caller may be cancelled at any time, and
        # the id of a workflow that runs must not be lost.
        task = self.runtime.spawn(start.run())
        self.runtime.starting.add(task)
        task.add_done_callback(self.runtime.starting.discard)
        try:
            return await start.done
        except asyncio.CancelledError:
            if not start.begun:
                task.cancel()
                # A task that has not begun ends without running.
                start.withdraw()
            raise

    def retire(self) -> None:
        """Forget everything that the session keeps for the account.

        Raises:
            RuntimeError: It is in use.
        """
        if self.handles or self._starts or self.turn.locked() or self.wakers:
            raise RuntimeError(
                f"account {self.name!r} cannot be forgotten, because it has unfinished "
                "workflows, a start in progress or a stream; await account.drain() first"
            )
        self._retired = True
        self.account_id = None
        self.runtime.poller.release(self)
        if self.pacer is not None:
            self.pacer.retire()

    def _check_known(self) -> None:
        if self._retired:
            raise RuntimeError(
                f"account {self.name!r} was forgotten; name it again with "
                "session.account(…)"
            )

    def _booking_key(self, key: str | None, recorder: JournalRecorder | None) -> str:
        if self.runtime.shared is not None:
            # Other processes number their starts too.
            return key or f"start-{uuid.uuid4().hex}"
        if recorder is None:
            return f"start-{self.runtime.next_start()}"
        return recorder.key

    async def start_once(
        self, workflow: Secret[tuple[Any, ...]], *, check: bool, key: str
    ) -> ManagedHandle:
        """Start a workflow, or return the handle of the one with this key.

        Raises:
            JournalError: The key is being started, or belongs to another account.
        """
        row = await self.row_of(key)
        if row is not None and row.state != "deferred":
            one = workflow.reveal()
            return self.resume(row, Secret(one[0] if len(one) == 1 else one))
        if row is not None and row.bound and row.account != self.name:
            raise _foreign(row)
        return await self.start(workflow, check=check, key=key, stream=False)

    async def row_of(self, key: str) -> Row | None:
        """Return the row of a key, unless the workflow may simply be started.

        An unknown start that only reads is forgotten, because it may run twice without
        harm. It still counts against the account's pace.
        """
        journal = self.runtime.journal
        row = None if journal is None else await journal.row(key)
        if row is None or row.state != "unknown" or may_write(workflow_of(row)):
            return row
        journal = cast("Journal", journal)
        now = wall_time()
        if self.pacer is not None:
            self.pacer.settle(key, now)
        await journal.book_end(key, now, None)
        await journal.discard(key)
        return None

    def definition_of(
        self, workflow: Secret[tuple[Any, ...]], *, check: bool
    ) -> Secret[bytes]:
        """Return a workflow, checked, as a start would send it."""
        try:
            return Secret(
                encode_json(self._prepare(*workflow.reveal(), check=check)[1])
            )
        except Exception as error:
            error.__traceback__ = None  # its frames have the texts
            raise

    def _prepare(self, *workflow: Any, check: bool) -> tuple[Roots, Any]:
        """Return the roots of a workflow and its definition, both checked."""
        (first,) = workflow if len(workflow) == 1 else (None,)
        roots: Roots
        if isinstance(first, list | tuple) and any(
            isinstance(r, Action) for r in first
        ):
            roots = tuple(first)
        elif isinstance(first, dict | list):
            roots = load_workflow(first, check=check)
        else:
            roots = first if isinstance(first, Action) else workflow
        definition = dump_workflow(roots)
        if check:
            generation = self.runtime.requests.generation
            for path, root in named_roots(roots):
                for problem in unsupported_in(root, generation, path):
                    raise problem
            warn_of_doubts(definition)
        return roots, definition

    def _new_recorder(self, key: str | None, stream: bool) -> JournalRecorder | None:
        """Return the record of a start in the journal, if there is a journal."""
        journal = self.runtime.journal
        if journal is None:
            return None
        # Unique in the journal: each opening of it has a number of its own.
        name = key or f"run-{journal.run_number}-{self.runtime.next_start()}"
        return JournalRecorder(
            journal,
            self.runtime.spawn,
            name,
            stream=stream and key is not None,
            named=key is not None,
        )

    def attach(
        self,
        workflow_id: str,
        workflow: Roots | None,
        *,
        ordered: bool = False,
        key: str | None = None,
    ) -> ManagedHandle:
        """Return the handle of a workflow that was started elsewhere or earlier.

        Args:
            workflow_id: The API's id of it.
            workflow: What was sent, if that is known.
            ordered: Whether the server accepted it after all others of the account.
            key: The key that it was started with, if that is known.
        """
        self.runtime.check_open()
        self._check_known()
        workflow_id = validate_workflow_id(workflow_id)
        known = self.handles.get(workflow_id)
        if known is None:
            if key is not None:
                self._recall(workflow_id, key)
            handle = self.watch(workflow_id, workflow, ordered=ordered, key=key)
            self.runtime.observer.attached(handle)
            return handle
        if workflow is not None and known.workflow not in {None, workflow}:
            raise ValueError(f"{workflow_id} is attached with another workflow already")
        known.workflow = known.workflow or workflow
        return known

    def attach_all(
        self, workflow_ids: Iterable[str], workflow: Roots | None, *, ordered: bool
    ) -> tuple[ManagedHandle, ...]:
        """Return the handles of workflows that were started elsewhere or earlier.

        Args:
            workflow_ids: Their ids; none is attached if one is malformed.
            workflow: The workflow of all of them, if it is known.
            ordered: Whether the server accepted them in this order.
        """
        self.runtime.check_open()
        valid = [validate_workflow_id(workflow_id) for workflow_id in workflow_ids]
        # Their order relative to the workflows in the lane is unknown.
        ordered = ordered and not self.handles
        return tuple(self.attach(each, workflow, ordered=ordered) for each in valid)

    def resume(self, row: Row, workflow: Secret[Any]) -> ManagedHandle:
        """Return the handle of a workflow that was started earlier with a key.

        Args:
            row: Its row; it must not be deferred.
            workflow: The caller's workflow, whose actions are the keys of its results.

        Raises:
            JournalError: It is being started at present, or belongs to an account that
                this session does not have.
            StartUnknownError: It is unknown whether it was started.
        """
        if row.state == "intended":
            message = f"the key {row.key!r} is being started already; keys are unique"
            raise JournalError(message)
        if row.state == "unknown":
            message = (
                f"{row.key!r} was sent and not answered; decide with journal.adopt() "
                "or journal.discard()"
            )
            raise StartUnknownError(message, account=row.account)
        runner = self.runners.get(row.account)
        if runner is None:
            raise _foreign(row)
        journal = cast("Journal", self.runtime.journal)
        return runner.from_journal(journal, row, workflow.reveal())

    def from_journal(
        self, journal: Journal, row: Row, workflow: Any = None
    ) -> ManagedHandle:
        """Return the handle of a workflow that an earlier run has started."""
        workflow_id = str(row.workflow_id)
        known = self.handles.get(workflow_id)
        if known is not None:
            return known
        # Only the actions of the caller's own workflow are the keys of its results.
        if not isinstance(workflow, Action | tuple):
            workflow = workflow_of(row)
        recorder = JournalRecorder(
            journal, self.runtime.spawn, row.key, stream=row.stream
        )
        contacts = self.runtime.contacts
        self._recall(workflow_id, row.key)
        ending = end_of(row)
        if ending is None:
            handle = self.watch(
                workflow_id, workflow, key=row.key, ordered=True, recorder=recorder
            )
            self.runtime.observer.attached(handle)
            return handle
        if contacts is not None:
            contacts.ended(workflow_id, ending)
        pending = PendingWorkflow(workflow_id, self)
        pending.end = Ended(ending)
        recorder.recovered()
        if self.pacer is not None:
            self.pacer.ended(workflow_id, ending, workflow)
        return ManagedHandle(
            self, workflow, pending=pending, key=row.key, recorder=recorder
        )

    def _recall(self, workflow_id: str, key: str) -> None:
        """Settle the reservation and the booking of *key* when its workflow ends."""
        if self.runtime.contacts is not None:
            self.runtime.contacts.recalled(workflow_id, key)
        if self.pacer is not None:
            self.pacer.follow(workflow_id, key)


def _foreign(row: Row) -> JournalError:
    return JournalError(
        f"the key {row.key!r} belongs to the account {row.account!r}; name that account "
        "with session.account()"
    )


def _without_definition(prepared: Secret[Any]) -> Secret[Any]:
    roots, _ = prepared.reveal()
    return Secret((roots, None))


def _with_definition(prepared: Secret[Any]) -> Secret[Any]:
    roots, _ = prepared.reveal()
    return Secret((roots, dump_workflow(roots)))


async def drain(
    unfinished: Callable[[], Iterable[ManagedHandle]], timeout: float | None
) -> tuple[ManagedHandle, ...]:
    """Wait until nothing is unfinished or the time is up; return the rest."""
    with anyio.move_on_after(timeout):
        while first := next(iter(unfinished()), None):
            with contextlib.suppress(LinkedApiError):
                await first.wait_for_end(math.inf)
            first.check_running()
    return tuple(unfinished())
