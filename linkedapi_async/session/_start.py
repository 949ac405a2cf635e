"""One start in progress; it outlives the call that began it."""

from __future__ import annotations

import asyncio
import functools
import itertools
import logging
import time
from typing import TYPE_CHECKING, Any, cast

from linkedapi_async._actions.action import Roots
from linkedapi_async._http.failure_rules import RequestKind
from linkedapi_async._http.requests import Request
from linkedapi_async._http.responses import Accepted, read_started
from linkedapi_async._utils.log import error_reason, log_extra
from linkedapi_async.errors import (
    JournalError,
    RequestError,
    SessionClosedError,
    StartUnknownError,
)
from linkedapi_async.session._account_runtime import AccountRuntime
from linkedapi_async.session._deferral import may_write
from linkedapi_async.session._handle import ManagedHandle
from linkedapi_async.session._journaling import JournalRecorder


if TYPE_CHECKING:
    from linkedapi_async.session._contacts import Reservation
    from linkedapi_async.session._pacer import Slot


_log = logging.getLogger("linkedapi_async")

_NUMBERS = itertools.count(1)
"""The numbers of starts, which connect the events of one start."""


class TurnMissedError(Exception):
    """A start waited so long for the host that its turn has passed; nothing was sent."""


class Start:
    """One start of a workflow.

    The caller waits for *done* instead of the task, so that cancelling the caller
    cancels only its wait.

    Args:
        account: The account on which it starts.
        roots: The workflow.
        definition: The workflow as JSON.
        key: The caller's key.
        recorder: Its record in the journal, if there is a journal.
        slot: Its turn, if the account has a pace.
        queued_at: When the caller began it, on the clock of the loop.
    """

    def __init__(
        self,
        account: AccountRuntime,
        roots: Roots,
        definition: Any,
        *,
        key: str | None,
        recorder: JournalRecorder | None,
        slot: Slot | None,
        queued_at: float,
    ) -> None:
        self._account = account
        self._roots = roots
        self._definition = definition
        self._key = key
        self._recorder = recorder
        self.done: asyncio.Future[ManagedHandle] = (
            asyncio.get_running_loop().create_future()
        )
        self._reservation: Reservation | None = None
        self._posted = False
        self.begun = False
        """Whether it may have been sent, so that it can no longer be withdrawn."""
        self._number = next(_NUMBERS)
        self._slot = slot
        self._queued_at = queued_at

    async def run(self) -> None:
        """Wait for the account's turn, send the start and resolve `done`."""
        try:
            handle, recorded = await self._reserve_and_send()
        except asyncio.CancelledError:
            # The session no longer waits; a start that was sent may have been accepted.
            account = self._account
            self._end_turn(is_free=not self.begun)
            self._fail(
                account.unknown_start("the session was closed before its answer came")
                if self.begun
                else SessionClosedError()
            )
            raise
        except Exception as error:  # noqa: BLE001  # the caller's, or the log's
            # Closed by default: a key is freed only if the start was refused or not
            # sent.
            is_free = not self._posted or isinstance(error, RequestError)
            self._end_turn(is_free=is_free)
            self._fail(error)
            return
        # The caller waits until this start is on disk; the next start need not.
        if recorded is None:
            self._succeed(handle)
        else:
            recorded.add_done_callback(functools.partial(self._on_recorded, handle))

    def withdraw(self) -> None:
        """Free the turn of the start, because it will not be sent."""
        self._end_turn(is_free=True)

    def _end_turn(self, *, is_free: bool) -> None:
        if self._slot is not None:
            if is_free:
                self._slot.free()
            else:
                self._slot.keep()

    def _on_recorded(
        self, handle: ManagedHandle, recorded: asyncio.Future[None]
    ) -> None:
        error = cast("JournalError | None", recorded.exception())
        if error is None:
            self._succeed(handle)
        else:
            error.workflow_id = handle.workflow_id
            self._fail(error)

    def _succeed(self, handle: ManagedHandle) -> None:
        if not self.done.done():
            self.done.set_result(handle)
            return
        name = self._account.name
        _log.warning(
            "A cancelled start on account %s was accepted: workflow %s runs, its handle "
            "is in session.handles",
            name,
            handle.workflow_id,
            extra=log_extra(
                account=name, key=self._key, workflow_id=handle.workflow_id
            ),
        )

    def _fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)
            return
        if not self.begun:
            return  # it was withdrawn
        name = self._account.name
        _log.warning(
            "A cancelled start on account %s failed: %s",
            name,
            error,
            extra=log_extra(account=name, key=self._key, reason=error_reason(error)),
        )

    async def _reserve_and_send(
        self,
    ) -> tuple[ManagedHandle, asyncio.Future[None] | None]:
        """Reserve the contacts and start it; release them if nothing was sent."""
        contacts = self._account.runtime.contacts
        if contacts is None:
            return await self._send()
        key = self._key if self._recorder is None else self._recorder.key
        self._reservation = await contacts.reserve(self._definition, key)
        try:
            return await self._send()
        except BaseException as error:
            refused = isinstance(error, RequestError)
            if self._reservation is not None and (refused or not self._posted):
                contacts.release(self._reservation, refused=self._posted)
            raise

    async def _send(self) -> tuple[ManagedHandle, asyncio.Future[None] | None]:
        """Start it; return the handle, and a future of when its id is on disk."""
        account, runtime, recorder = (
            self._account,
            self._account.runtime,
            self._recorder,
        )
        async with account.turn, runtime.start_limit:
            # The wait for the turn may have taken hours.
            runtime.check_starting()
            runtime.poller.check_running()
            account.check_working()
            request = runtime.requests.start(self._definition)
            await runtime.admit()
            if self._slot is not None and not await self._slot.renew():
                raise TurnMissedError
            # The pause may have taken an hour, and the database minutes.
            runtime.check_starting()
            runtime.poller.check_running()
            self.begun = account.starting = True
            sent_at = runtime.now()
            try:
                runtime.observer.starting(
                    account.name,
                    self._number,
                    self._roots,
                    self._key,
                    sent_at - self._queued_at,
                )
                # Submitted first, so that one commit stores it together with the
                # intent.
                booked = None if self._slot is None else self._slot.record()
                if recorder is None:
                    accepted = await self._post(request)
                else:
                    accepted = await self._recorded_post(request, recorder, booked)
            except Exception as error:
                runtime.observer.start_failed(
                    account.name,
                    self._number,
                    self._roots,
                    self._key,
                    error,
                    seconds=runtime.now() - sent_at,
                )
                raise
            finally:
                account.starting = False
                # Events that came during the start may belong to it, so they were kept.
                account.reconsider()
            try:
                return self._accept(accepted, sent_at)
            except Exception as error:
                error.add_note(f"The server accepted workflow {accepted.workflow_id}.")
                raise

    def _accept(
        self, accepted: Accepted, sent_at: float
    ) -> tuple[ManagedHandle, asyncio.Future[None] | None]:
        """Record an accepted start and poll it, and do each even if the other fails."""
        account, runtime, recorder = (
            self._account,
            self._account.runtime,
            self._recorder,
        )
        runtime.counters.started += 1
        if runtime.contacts is not None and self._reservation is not None:
            runtime.contacts.accepted(accepted.workflow_id, self._reservation)
        if self._slot is not None:
            self._slot.accepted(accepted.workflow_id)
        try:
            recorded = None if recorder is None else self._record(recorder, accepted)
        finally:
            handle = account.watch(
                accepted.workflow_id,
                self._roots,
                accepted=accepted,
                key=self._key,
                ordered=True,
                recorder=recorder,
            )
        runtime.observer.started(handle, self._number, runtime.now() - sent_at)
        return handle, recorded

    async def _post(self, request: Request) -> Accepted:
        """Send the start; if its outcome is unknown, a webhook event may explain it."""
        account = self._account
        self._posted = True
        since = time.time()
        try:
            return await self._call(request)
        except StartUnknownError as error:
            # A workflow of another start does not explain this one, even as a
            # candidate.
            replayed = bool(error.candidates)
            error.candidates = error.candidates or account.candidates_since(since)
            if replayed or not await account.is_certain(error.candidates):
                account.runtime.unknown_starts[account.name] += 1
                raise
            (workflow_id,) = error.candidates
            _log.warning(
                "The answer to a start on account %s was lost; by a webhook event it "
                "is workflow %s",
                account.name,
                workflow_id,
                extra=log_extra(
                    account=account.name, key=self._key, workflow_id=workflow_id
                ),
            )
            return Accepted(workflow_id, "pending")

    async def _call(self, request: Request) -> Accepted:
        """Send the start.

        Raises:
            RequestError: The server did not accept it.
            StartUnknownError: The server may have accepted it.
        """
        account = self._account
        try:
            accepted = await account.call(
                request, _kind(self._roots), read_started, admitted=True
            )
        except (RequestError, StartUnknownError):
            raise
        except Exception as error:
            # Closed by default: only the failure rules free a start.
            reason = f"an unexpected {type(error).__name__} came after it was sent"
            raise account.unknown_start(reason) from error
        if not account.runtime.workflow_ids.add(accepted.workflow_id):
            # A proxy has replayed an answer, or the server confuses the two starts.
            reason = f"the answer has the id of another start, {accepted.workflow_id}"
            raise account.unknown_start(reason, (accepted.workflow_id,))
        return accepted

    async def _recorded_post(
        self,
        request: Request,
        recorder: JournalRecorder,
        booked: asyncio.Future[None] | None,
    ) -> Accepted:
        """Record the intent, send the start, and record its outcome."""
        await recorder.record_intent(self._account.name, request.body or b"")
        if booked is not None:
            try:
                await booked
            except JournalError:
                await recorder.refused()  # nothing was sent
                raise
        try:
            return await self._post(request)
        except RequestError:
            await recorder.refused()
            raise
        except StartUnknownError as error:
            await recorder.unknown(error.candidates)
            raise
        except Exception:
            # Closed by default: only the failure rules forget an intent.
            await recorder.unknown(())
            raise

    def _record(
        self, recorder: JournalRecorder, accepted: Accepted
    ) -> asyncio.Future[None]:
        try:
            return recorder.record_accepted(accepted.workflow_id)
        except JournalError as error:
            error.workflow_id = accepted.workflow_id
            raise


def _kind(roots: Roots) -> RequestKind:
    return "start_write" if may_write(roots) else "start_read"
