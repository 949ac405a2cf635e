"""Why a workflow is pending: the words of the API reach the user."""

from __future__ import annotations

import copy
import pickle
from collections.abc import AsyncIterator

import pytest
from scripted_server import Scripted, completed, ok, running

from linkedapi_async import Polling, WaitTimeoutError, st
from linkedapi_async.events import PollAnswered


pytestmark = pytest.mark.anyio

CHECK = st.check_connection_status("https://www.linkedin.com/in/jane")
DONE = {
    "actionType": "st.checkConnectionStatus",
    "success": True,
    "data": {"connectionStatus": "connected"},
}
HOURS = {
    "workflowStatus": "pending",
    "pendingReason": "outsideWorkingHours",
    "message": "The account works from 09:00.",
}
SLOW = Polling(initial_delay=3600, interval=3600, max_interval=3600)


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    """A server whose answers are scripted."""
    made = Scripted()
    async with made:
        yield made


async def test_the_answer_to_the_start_says_why(server: Scripted) -> None:
    """The reason of the start is on the handle before the first poll."""
    server.script("POST", ok({"workflowId": "wf-1", **HOURS}))
    async with server.session(polling=SLOW) as session:
        handle = await session.start(CHECK)

        assert "outsideWorkingHours" == handle.pending_reason
        assert "The account works from 09:00." == handle.message
        assert {"outsideWorkingHours": 1} == session.stats.pending_reasons


async def test_each_poll_renews_the_reason(server: Scripted) -> None:
    """A reason lasts as long as the API gives it, and an end leaves none."""
    server.script("POST", ok({"workflowId": "wf-1"}))
    server.script("GET", ok(HOURS), running(), completed(DONE))
    async with server.session(polling=SLOW) as session:
        handle = await session.start(CHECK)
        events: list[PollAnswered] = []
        session.on(PollAnswered, events.append)
        found = []
        for _ in range(2):
            with pytest.raises(WaitTimeoutError):
                await handle.result(timeout=0)
            found.append((handle.pending_reason, handle.message))
        await handle.result(timeout=0)

        assert [("outsideWorkingHours", HOURS["message"]), (None, None)] == found
        assert (None, None) == (handle.pending_reason, handle.message)
        assert ["outsideWorkingHours", None, None] == [e.pending_reason for e in events]
        assert [HOURS["message"], None, None] == [e.message for e in events]
        assert {} == session.stats.pending_reasons


async def test_a_timeout_says_why(server: Scripted) -> None:
    """The error of a wait has the reason and the message, also after pickling."""
    server.script("POST", ok({"workflowId": "wf-1"}))
    server.script("GET", ok(HOURS))
    async with server.session(polling=SLOW) as session:
        handle = await session.start(CHECK)
        with pytest.raises(WaitTimeoutError) as caught:
            await handle.result(timeout=0)

    for error in (caught.value, copy.copy(caught.value), _pickled(caught.value)):
        assert "(outsideWorkingHours – The account works from 09:00.)" in str(error)
        assert "outsideWorkingHours" == error.pending_reason
        assert "The account works from 09:00." == error.api_message


def _pickled(error: WaitTimeoutError) -> WaitTimeoutError:
    copied = pickle.loads(pickle.dumps(error))
    assert isinstance(copied, WaitTimeoutError)
    return copied


async def test_a_status_has_its_reason(server: Scripted) -> None:
    """A status is a string, with the reason and the message as attributes."""
    server.script("GET", ok(HOURS), ok({"workflowStatus": "running"}))
    async with server.session() as session:
        pending = await session.status("wf-1")
        plain = await session.status("wf-1")

    assert pending == "pending"
    assert ("outsideWorkingHours", HOURS["message"]) == (
        pending.pending_reason,
        pending.message,
    )
    assert (None, None) == (plain.pending_reason, plain.message)
    for copied in (copy.copy(pending), pickle.loads(pickle.dumps(pending))):
        assert ("pending", "outsideWorkingHours") == (copied, copied.pending_reason)


async def test_odd_reasons_are_none(server: Scripted) -> None:
    """A reason that is not a text is no reason, and hurts nothing."""
    server.script("GET", ok({**HOURS, "pendingReason": 5, "message": ["x"]}))
    async with server.session() as session:
        status = await session.status("wf-1")

    assert (None, None) == (status.pending_reason, status.message)
