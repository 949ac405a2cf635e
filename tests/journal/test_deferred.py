"""A journal knows what is deferred, and starts nothing that may have written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from linkedapi_async import JournalError
from linkedapi_async.journal import (
    Failure,
    Journal,
    MemoryJournal,
    Row,
    SqliteJournal,
    State,
)


pytestmark = pytest.mark.anyio

DEFINITION = b'{"actionType":"st.sendMessage"}'
LIMIT = Failure("limitExceeded", "category", wrote=False)
SIGNED_OUT = Failure("linkedinAccountSignedOut", "account", wrote=False)


@pytest.fixture(params=["sqlite", "memory"])
async def journal(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[Journal]:
    """An open journal of each kind."""
    make: Callable[[], Journal] = MemoryJournal
    if request.param == "sqlite":
        make = lambda: SqliteJournal(tmp_path / "runs")  # noqa: E731
    async with make() as made:
        yield made


async def lead(journal: Journal, key: str, state: State) -> None:
    """Bring a row to *state*."""
    await journal.intend(key, "ada", DEFINITION, stream=True)
    if state == "unknown":
        await journal.unknown_start(key)
    if state in {"accepted", "finished", "delivered"}:
        await journal.accepted(key, f"wf-{key}")
    if state in {"finished", "delivered"}:
        await journal.finished(key, b"{}", "completed", LIMIT)
    if state == "delivered":
        await journal.delivered(key)


async def the_row(journal: Journal, key: str = "k") -> Row:
    """Return a row that is there."""
    row = await journal.row(key)
    assert row is not None
    return row


async def test_an_item_that_was_not_started(journal: Journal) -> None:
    """It gets a row of its own, which says why it waits and until when."""
    journal._now = lambda: 1.5
    await journal.defer("k", "ada", DEFINITION, SIGNED_OUT, until=9.5)
    expected = Row(
        key="k",
        account="ada",
        state="deferred",
        workflow_id=None,
        definition=DEFINITION,
        end_status=None,
        result=None,
        stream=True,
        run_number=1,
        created=1.5,
        updated=1.5,
        error="linkedinAccountSignedOut",
        about="account",
        wrote=False,
        until=9.5,
        bound=False,
    )

    assert expected == await the_row(journal)
    assert [expected] == await journal.deferred()
    assert [expected] == await journal.deferred(account="ada")
    assert [] == await journal.deferred(account="bob")
    assert [] == await journal.failed()


async def test_a_workflow_that_wrote_nothing(journal: Journal) -> None:
    """It loses its end and its result, and stays with its account."""
    await lead(journal, "k", "finished")
    await journal.defer("k", "ada", DEFINITION, LIMIT, bound=True)
    row = await the_row(journal)

    assert ("deferred", None, None) == (row.state, row.end_status, row.result)
    assert ("limitExceeded", "category", False) == (row.error, row.about, row.wrote)
    assert row.bound
    assert not row.failed
    assert [] == await journal.failed()


async def test_an_intent_starts_what_is_deferred(journal: Journal) -> None:
    """The row goes on as any other, and remembers nothing of why it waited."""
    await journal.defer("k", "ada", DEFINITION, LIMIT, until=9.5, bound=True)
    await journal.intend("k", "bob", b"{}", stream=True)
    row = await the_row(journal)

    assert ("intended", "bob", b"{}") == (row.state, row.account, row.definition)
    assert (None, None, None, None, False) == (
        row.error,
        row.about,
        row.wrote,
        row.until,
        row.bound,
    )
    assert [] == await journal.deferred()
    with pytest.raises(ValueError, match="'k' is in the journal already, intended"):
        await journal.intend("k", "bob", b"{}", stream=True)

    await journal.accepted("k", "wf-2")
    await journal.finished("k", b"{}", "completed")
    row = await the_row(journal)

    assert (b"{}", False) == (row.result, row.failed)


async def test_deferring_again(journal: Journal) -> None:
    """The last reason counts."""
    await journal.defer("k", "ada", DEFINITION, LIMIT, until=9.5)
    await journal.defer("k", "bob", DEFINITION, SIGNED_OUT)
    row = await the_row(journal)

    assert ("bob", "linkedinAccountSignedOut", None) == (
        row.account,
        row.error,
        row.until,
    )


@pytest.mark.parametrize("state", ["intended", "accepted", "unknown", "delivered"])
async def test_what_cannot_be_deferred(journal: Journal, state: State) -> None:
    """What may run, or was delivered, keeps its state."""
    await lead(journal, "k", state)
    before = await the_row(journal)
    with pytest.raises(JournalError, match=f"'k' is {state}: it cannot be deferred"):
        await journal.defer("k", "ada", DEFINITION, LIMIT)

    assert before == await the_row(journal)


@pytest.mark.parametrize("state", [None, "finished"])
async def test_what_wrote_is_not_deferred(journal: Journal, state: Any) -> None:
    """What may have changed something is never started again by itself."""
    if state is not None:
        await lead(journal, "k", state)
    before = await journal.row("k")
    wrote = Failure("limitExceeded", "category", wrote=True)
    with pytest.raises(JournalError, match="'k' may have changed something"):
        await journal.defer("k", "ada", DEFINITION, wrote)

    assert before == await journal.row("k")


async def test_a_key_that_is_no_text(journal: Journal) -> None:
    """It is refused as for every other row."""
    with pytest.raises(ValueError, match="lone surrogates"):
        await journal.defer("\ud800", "ada", DEFINITION, LIMIT)


async def test_it_stays_deferred_in_the_next_run(journal: Journal) -> None:
    """Opening the journal again does not make it unknown."""
    await journal.defer("k", "ada", DEFINITION, LIMIT)
    await journal.aclose()
    await journal.open()

    assert ["k"] == [row.key for row in await journal.deferred()]
    assert [] == await journal.unknown()
    assert 0 == await journal.forget_delivered(streams=True)


async def test_retrying_frees_the_key(journal: Journal) -> None:
    """A deferred item that is retried is bound to no account."""
    await journal.defer("k", "ada", DEFINITION, LIMIT, bound=True)
    await journal.retry("k")

    assert await journal.row("k") is None
