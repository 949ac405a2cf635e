"""A journal knows what failed, why, and what can be run again without repeating it."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from scripted_server import Scripted, completed, ok

from linkedapi_async import JournalError, LinkedApiError, st
from linkedapi_async.journal import Failure, Journal, MemoryJournal, SqliteJournal


pytestmark = pytest.mark.anyio

ADA = "https://www.linkedin.com/in/ada"
SEND = st.send_message(ADA, text="Hello")
CHECK = st.check_connection_status(ADA)
VISIT = st.open_person_page(ADA).then(
    st.send_message(text="Hello"), st.send_connection_request()
)
DEFINITION = b'{"actionType":"st.checkConnectionStatus"}'


def node(action_type: str, error: str | None = None, **more: Any) -> dict[str, Any]:
    """Return the outcome of an action, which failed with *error*."""
    if error is None:
        return {"actionType": action_type, "success": True, "data": {}, **more}
    failure = {"type": error, "message": "no"}
    return {"actionType": action_type, "success": False, "error": failure, **more}


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    """A server that accepts every start."""
    ids = itertools.count(1)

    async def accept(request: web.Request) -> web.StreamResponse:
        """Accept a workflow under the next id."""
        return await ok({"workflowId": f"wf-{next(ids)}"})(request)

    async with Scripted() as scripted:
        scripted.script("POST", accept)
        yield scripted


def failed_as_a_whole(reason: str, completion: Any = None) -> Any:
    """Answer that a workflow failed, with what it did before."""
    failure = {"reason": reason, "message": "no"}
    result = {"workflowStatus": "failed", "failure": failure, "completion": completion}
    return ok({key: value for key, value in result.items() if value is not None})


@pytest.mark.parametrize(
    ("workflow", "answer", "expected"),
    [
        pytest.param(
            SEND,
            completed(node("st.sendMessage", "limitExceeded")),
            ("limitExceeded", "category", False),
            id="limit",
        ),
        pytest.param(
            SEND,
            completed(node("st.sendMessage", "personNotFound")),
            ("personNotFound", "target", False),
            id="target",
        ),
        pytest.param(
            SEND,
            completed(node("st.sendMessage", "somethingNew")),
            ("somethingNew", "workflow", True),
            id="unknown error of an action that writes",
        ),
        pytest.param(
            CHECK,
            completed(node("st.checkConnectionStatus", "somethingNew")),
            ("somethingNew", "workflow", False),
            id="unknown error of an action that reads",
        ),
        pytest.param(
            VISIT,
            completed(
                node(
                    "st.openPersonPage",
                    then=[
                        node("st.sendMessage"),
                        node("st.sendConnectionRequest", "limitExceeded"),
                    ],
                )
            ),
            ("limitExceeded", "category", True),
            id="one of two was sent",
        ),
        pytest.param(
            VISIT,
            completed(node("st.openPersonPage", "personNotFound")),
            ("personNotFound", "target", False),
            id="none of two was reached",
        ),
        pytest.param(
            SEND,
            completed([node("st.somethingNew"), node("st.sendMessage", "noteTooLong")]),
            ("noteTooLong", "workflow", True),
            id="unknown action",
        ),
        pytest.param(
            SEND,
            failed_as_a_whole("linkedinAccountSignedOut"),
            ("linkedinAccountSignedOut", "account", True),
            id="signed out before or after a write",
        ),
        pytest.param(
            (CHECK, SEND),
            failed_as_a_whole("linkedinAccountSignedOut", [node("st.openPersonPage")]),
            ("linkedinAccountSignedOut", "account", True),
            id="signed out amid an array workflow",
        ),
        pytest.param(
            CHECK,
            failed_as_a_whole("linkedinAccountSignedOut"),
            ("linkedinAccountSignedOut", "account", False),
            id="signed out where nothing writes",
        ),
        pytest.param(
            CHECK,
            completed(node("st.checkConnectionStatus")),
            (None, None, None),
            id="no error",
        ),
    ],
)
async def test_why_a_workflow_failed(
    server: Scripted,
    workflow: Any,
    answer: Any,
    expected: tuple[str | None, str | None, bool | None],
) -> None:
    """A row has the first error, what it is about, and whether something was written."""
    roots = workflow if isinstance(workflow, tuple) else (workflow,)
    journal = MemoryJournal()
    server.script("GET", answer)
    async with server.session(journal=journal) as session:
        await session.start(*roots)
        await session.drain()
    async with journal:
        (row,) = await journal.rows()
        failed = await journal.failed()

    assert expected == (row.error, row.about, row.wrote)
    assert row.failed == (expected[0] is not None)
    assert failed == ([row] if row.failed else [])


async def test_damaged_definition_may_have_written(server: Scripted) -> None:
    """Where it is unknown what a workflow was, it may have changed something."""

    class Damaged(MemoryJournal):
        """A journal whose definitions cannot be read."""

        def submit_intent(
            self, key: str, account: str, definition: bytes, **more: Any
        ) -> Any:
            """Damage a definition."""
            return super().submit_intent(key, account, b"{", **more)

    journal = Damaged()
    server.script("GET", failed_as_a_whole("linkedinAccountSignedOut"))
    async with server.session(journal=journal) as session:
        await session.start(CHECK)
        await session.drain()
    async with journal:
        (row,) = await journal.rows()

    assert row.wrote


async def test_failed_item_is_retried_in_the_next_run(
    server: Scripted, tmp_path: Path
) -> None:
    """An item that failed is delivered once, and runs again once that is decided."""
    path, seen = tmp_path / "runs", []
    server.script("GET", completed(node("st.sendMessage", "messagingNotAllowed")))
    for run in range(3):
        if run == 2:
            server.script("GET", completed(node("st.sendMessage")))
            async with SqliteJournal(path) as journal:
                assert ["ada"] == await journal.retry_failed("target")
        async with server.session(journal=path) as session:
            async with session.as_completed([("ada", SEND)]) as done:
                async for handle in done:
                    try:
                        await handle
                    except LinkedApiError as error:
                        seen.append(str(error))
                    else:
                        seen.append("sent")

    assert 2 == len(seen)
    assert "messagingNotAllowed" in seen[0]
    assert "sent" == seen[1]
    assert 2 == server.count("POST")


@pytest.fixture(params=["sqlite", "memory"])
async def journal(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[Journal]:
    """A journal of each kind, with workflows of two accounts that failed."""
    make: Callable[[], Journal] = MemoryJournal
    if request.param == "sqlite":
        make = lambda: SqliteJournal(tmp_path / "runs")  # noqa: E731
    async with make() as made:
        await end(
            made, "limit", "ada", Failure("limitExceeded", "category", wrote=False)
        )
        await end(
            made, "target", "ada", Failure("personNotFound", "target", wrote=False)
        )
        await end(
            made, "wrote", "bob", Failure("limitExceeded", "category", wrote=True)
        )
        await end(made, "done", "ada")
        await made.intend("new", "ada", DEFINITION)
        yield made


async def end(
    journal: Journal, key: str, account: str, failure: Failure | None = None
) -> None:
    """Write a row that has ended, and was delivered."""
    await journal.intend(key, account, DEFINITION, stream=True)
    await journal.accepted(key, f"wf-{key}")
    await journal.finished(key, b"{}", "completed", failure)
    await journal.delivered(key)


async def keys(journal: Journal) -> list[str]:
    """Return all keys."""
    return [row.key for row in await journal.rows()]


async def test_failed_rows(journal: Journal) -> None:
    """A completed workflow in which an action failed is among the failed ones."""
    for account, expected in [
        (None, ["limit", "target", "wrote"]),
        ("ada", ["limit", "target"]),
        ("eve", []),
    ]:
        found = await journal.failed(account=account)

        assert expected == [row.key for row in found]


@pytest.mark.parametrize(
    ("about", "options", "freed"),
    [
        ((), {}, ["limit", "target"]),
        ((), {"again": True}, ["limit", "target", "wrote"]),
        (("category",), {}, ["limit"]),
        (("category", "target"), {"account": "bob"}, []),
        (("category",), {"account": "bob", "again": True}, ["wrote"]),
        (("host",), {"again": True}, []),
    ],
)
async def test_retrying_all(
    journal: Journal, about: Any, options: Any, freed: list[str]
) -> None:
    """What may have written is kept, and so is what failed for another reason."""
    before = await keys(journal)

    assert freed == await journal.retry_failed(*about, **options)
    assert [key for key in before if key not in freed] == await keys(journal)


async def test_retrying_one(journal: Journal) -> None:
    """Its key is free, and nothing of it stays."""
    await journal.retry("limit")
    with pytest.raises(JournalError, match=r"'wrote' may have changed .*again=True"):
        await journal.retry("wrote")
    await journal.retry("wrote", again=True)
    for key in ("limit", "wrote"):
        await journal.intend(key, "ada", DEFINITION)
        row = await journal.row(key)

        assert row is not None
        assert (None, None, None, None) == (row.result, row.error, row.about, row.wrote)


@pytest.mark.parametrize(
    ("key", "state"), [("done", "completed"), ("new", "intended"), ("x", "not in the")]
)
async def test_retrying_what_did_not_fail(
    journal: Journal, key: str, state: str
) -> None:
    """What is done or under way is not run again."""
    with pytest.raises(JournalError, match=f"'{key}' is {state}.*cannot be run again"):
        await journal.retry(key, again=True)

    assert key == "x" or key in await keys(journal)


async def test_workflows_that_did_not_end_well(tmp_path: Path) -> None:
    """Without a known error, a failed, cancelled or lost workflow may have written."""
    async with SqliteJournal(tmp_path / "runs") as journal:
        for end_status in ("failed", "cancelled", "lost"):
            await journal.intend(end_status, "ada", DEFINITION)
            await journal.accepted(end_status, f"wf-{end_status}")
            await journal.finished(end_status, None, end_status)

        assert 3 == len(await journal.failed())
        assert [] == await journal.retry_failed()
        assert 3 == len(await journal.retry_failed(again=True))
        assert [] == await journal.rows()
