"""How a session reserves contacts, and records them when a workflow has ended."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import attrs

from linkedapi_async._actions.acts import acts_of
from linkedapi_async._http.responses import CompletedWorkflow
from linkedapi_async._utils.log import log_errors
from linkedapi_async.errors import (
    WorkflowCancelledError,
    WorkflowFailedError,
    WorkflowNotFoundError,
)
from linkedapi_async.session._journaling import may_have_written
from linkedapi_async.urls import aliases_in, target_kind


if TYPE_CHECKING:
    from linkedapi_async.contacts import Contacts
    from linkedapi_async.journal import Journal


@attrs.frozen
class Reservation:
    """The contacts that one start has reserved."""

    claim: bytes
    attempt: bytes


class ContactKeeper:
    """Reserves the people that starts write to, and records those who were written to.

    Args:
        contacts: The record of who was written to, and when.
        journal: The journal of the session, if there is one. It proves that a start of an
            earlier run, which has reserved a contact, was not sent.
        identity: Distinguishes the keys of the session from those of others, if there
            is no journal and its caller proves the same.
    """

    def __init__(
        self, contacts: Contacts, journal: Journal | None, identity: str | None = None
    ) -> None:
        self._contacts = contacts
        self._journal = journal
        self._identity = identity
        self._claims: dict[str, bytes] = {}
        self._failed: dict[str, bytes] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Open the contacts; the journal is open already.

        Raises:
            JournalError: They cannot be opened.
        """
        await self._contacts.open()
        if self._journal is not None:
            self._identity = await self._journal.identity()

    async def aclose(self) -> None:
        """Finish the pending changes, then close."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        await self._contacts.aclose()

    def _claim(self, key: str | None) -> bytes:
        """Return the owner of a reservation: one journal and key have the same."""
        if key is None or self._identity is None:
            return os.urandom(16)
        data = f"{self._identity}\0{key}".encode(errors="surrogatepass")
        return hashlib.sha256(data).digest()[:16]

    async def reserve(self, definition: Any, key: str | None) -> Reservation | None:
        """Reserve the people that a workflow writes to, before it is sent.

        Args:
            definition: The workflow as JSON values.
            key: The key of the start in the journal, if there is a journal.

        Raises:
            SuppressedError: A target was contacted, or is never to be contacted.
            WorkflowError: A target is known only while the workflow runs.
            JournalError: The contacts cannot be used.
        """
        acts = acts_of(definition)
        if not acts:
            return None
        made = Reservation(self._claim(key), os.urandom(16))
        try:
            await self._contacts.reserve(made.claim, made.attempt, acts)
        except asyncio.CancelledError:
            self.release(made, refused=False)
            raise
        return made

    def release(self, reservation: Reservation, *, refused: bool) -> None:
        """Begin to remove a reservation, because nothing was sent.

        Args:
            reservation: What `reserve` returned.
            refused: Whether the server has refused the start. If not, a reservation
                that an earlier run has made for it is kept.
        """
        attempt = None if refused else reservation.attempt
        self._spawn(self._contacts.store.release(reservation.claim, attempt))

    def accepted(self, workflow_id: str, reservation: Reservation) -> None:
        """Record which workflow a reservation is for."""
        self._claims[workflow_id] = reservation.claim

    def recalled(self, workflow_id: str, key: str) -> None:
        """Record that an earlier run started a workflow for *key*."""
        self._claims[workflow_id] = self._claim(key)

    async def free(self, workflow_id: str) -> None:
        """Release the reservation of a workflow that failed before it began.

        Call it before the failure is recorded elsewhere: a reservation that is left
        over suppresses further starts, even those with its own key.
        """
        claim = self._failed.pop(workflow_id, None)
        if claim is not None:
            # A caller that is cancelled does not cancel the release.
            await asyncio.shield(self._spawn(self._contacts.store.release(claim)))

    def ended(self, workflow_id: str, end: object) -> asyncio.Task[None] | None:
        """Begin to record how a workflow has ended; return the task that does it.

        Contacts that may have been written to are kept, and names that the completion
        gives to one person are connected. A wait that ended in another way changes
        nothing.
        """
        claim = self._claims.pop(workflow_id, None)
        if isinstance(end, CompletedWorkflow):
            return self._spawn(self._completed(claim, end))
        if claim is not None and isinstance(end, WorkflowFailedError):
            self._failed[workflow_id] = claim
        ended = WorkflowFailedError | WorkflowCancelledError | WorkflowNotFoundError
        if claim is not None and isinstance(end, ended):
            return self._spawn(self._contacts.store.keep(claim))
        return None

    async def _completed(self, claim: bytes | None, end: CompletedWorkflow) -> None:
        if claim is not None:
            if may_have_written(end, None):
                await self._contacts.store.keep(claim)
            else:
                await self._contacts.store.release(claim)
        for names in aliases_in(end.raw):
            if all(target_kind(name) in {"person", "nvPerson"} for name in names):
                await self._contacts.connect(*names)

    def _spawn(self, step: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        # If the step fails, the reservation stays, which is safe.
        logged = log_errors(step, "The contacts could not be recorded: %s")
        task = asyncio.get_running_loop().create_task(logged)
        # The loop keeps only weak references to its tasks.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
