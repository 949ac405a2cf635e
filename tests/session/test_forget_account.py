"""A session forgets accounts, and finds those that it has without a walk."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest
from event_loops import VirtualLoop
from scripted_server import Scripted, completed, dropped, held, running, taken

from linkedapi_async import Pace, Polling, StartUnknownError, st
from linkedapi_async.journal import MemoryJournal
from linkedapi_async.webhooks import WebhookReceiver


pytestmark = pytest.mark.anyio

SEND = st.send_message("https://www.linkedin.com/in/ada", text="Hello")
SENT = {"actionType": "st.sendMessage", "success": True}


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Run with virtual time, in which hours pass at once."""
    return "asyncio", {"loop_factory": VirtualLoop}


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    """A server that accepts every workflow and completes it."""
    async with Scripted() as scripted:
        scripted.script("POST", taken())
        scripted.script("GET", completed(SENT))
        yield scripted


async def test_nothing_of_an_account_stays(server: Scripted) -> None:
    """What the session keeps of accounts does not grow with those that it has had."""
    pace = Pace(per_day={"stMessages": 5})
    runners: list[weakref.ref[Any]] = []
    async with server.session(journal=MemoryJournal(), pace=pace) as session:
        own, runtime = session.accounts, session._runtime
        waiters = len(runtime.on_closing)
        for number in range(20):
            account = session.account(f"token-{number}", account_id=f"id-{number}")
            server.script("POST", taken(f"wf-{number}"))
            await account.run(SEND)
            runners.append(weakref.ref(account._runner()))
            session.forget_account(account)
        await asyncio.sleep(1)
        gc.collect()

        assert own == session.accounts
        assert {} == runtime.names_by_id
        assert waiters == len(runtime.on_closing)
        # The poller may still have the last one.
        assert 1 >= sum(runner() is not None for runner in runners)


async def test_an_index_for_events_has_what_is_unfinished(server: Scripted) -> None:
    """It has what began before the session listened too, and forgets what has ended."""
    async with server.session() as session:
        server.script("GET", running())
        earlier = await session.start(SEND)
        subscription = session.listen(WebhookReceiver("secret"))
        server.script("POST", taken("wf-2"))
        later = await session.start(SEND)
        name = session.default_account.name
        assert {earlier.workflow_id: name, "wf-2": name} == subscription._account_of

        server.script("GET", completed(SENT))
        await asyncio.gather(earlier.completion(), later.completion())
        assert {} == subscription._account_of


async def test_a_forgotten_account_may_come_again(server: Scripted) -> None:
    """The object is of no use any more; the session gives another one."""
    async with server.session() as session:
        account = session.account("token-1", "one")
        session.forget_account(account)
        with pytest.raises(ValueError, match="must be of this session"):
            session.forget_account(account)
        with pytest.raises(RuntimeError, match="'one' was forgotten"):
            account.attach("wf-1")
        with pytest.raises(RuntimeError, match="'one' was forgotten"):
            await account.start(SEND)
        await session.account("token-1", "one").run(SEND)

    assert 1 == server.count("POST")


@pytest.mark.parametrize("when", ["starting", "running", "waiting", "streaming"])
async def test_an_account_in_use_stays(server: Scripted, when: str) -> None:
    """An account with work under way is not forgotten, whatever the work waits for."""
    release = asyncio.Event()
    if when == "starting":
        server.script("POST", held(release, taken()))
    server.script("GET", running())
    pace = Pace(per_day={"stMessages": 1})
    async with server.session(
        journal=MemoryJournal(), pace=pace, polling=Polling(deadline=1e9)
    ) as session:
        account = session.account("token-1", "one")
        start = asyncio.create_task(account.start(SEND))
        if when == "starting":
            await asyncio.sleep(1)
        else:
            await start
        second = None
        if when == "waiting":
            server.script("GET", completed(SENT))
            await account.drain()
            second = asyncio.create_task(account.start(SEND))
            await asyncio.sleep(60)
        if when == "streaming":
            server.script("GET", completed(SENT))
            await account.drain()
            async with account.as_completed([]):
                with pytest.raises(RuntimeError, match="'one' cannot be forgotten"):
                    session.forget_account(account)
        else:
            with pytest.raises(RuntimeError, match="'one' cannot be forgotten"):
                session.forget_account(account)
        release.set()
        await start
        server.script("GET", completed(SENT))
        if second is not None:
            second.cancel()
            await asyncio.wait([second])
        await account.drain()
        session.forget_account(account)


async def test_what_is_not_forgotten(server: Scripted) -> None:
    """The default account stays, and so does what only the memory counts."""
    pace = Pace(per_day={"stMessages": 1})
    async with server.session() as session, server.session() as other:
        with pytest.raises(ValueError, match="default account belongs"):
            session.forget_account(session.default_account)
        with pytest.raises(ValueError, match="must be of this session"):
            session.forget_account(other.default_account)
        account = session.account("token-1", "one", pace=pace)
        with pytest.raises(RuntimeError, match="'one' is counted in memory"):
            session.forget_account(account)
        plain = session.account("token-2", "two")
        session.forget_account(plain)
    async with server.session(identification_token=None) as session:
        session.forget_account(session.account("token-3"))

        assert () == session.accounts


async def test_unknown_starts_are_not_forgotten(server: Scripted) -> None:
    """An unknown start of an account counts when the account comes again."""
    server.script("POST", dropped(), taken())
    async with server.session(sole_client=True) as session:
        account = session.account("token-1", "one")
        with pytest.raises(StartUnknownError):
            await account.run(SEND)
        session.forget_account(account)
        again = session.account("token-1", "one")

        assert not await again._runner().is_certain(("wf-9",))


async def test_accounts_are_found_by_their_ids(server: Scripted) -> None:
    """An account is found by the id that it has at present; of two, by the first."""
    async with server.session(account_id="a") as session:
        found = session._runtime.names_by_id
        with session.listen(WebhookReceiver("secret")) as subscription:
            first = session.default_account
            second = session.account("token-2", "two", account_id="a")

            def of(account_id: str | None) -> Any:
                """Return the name of the account that an event is about."""
                runner = subscription._runner_of(account_id)
                return None if runner is None else runner.name

            assert [first.name, None, None] == [of("a"), of("b"), of(None)]
            first.account_id = "b"
            assert [second.name, first.name] == [of("a"), of("b")]
            second.account_id = None
            assert {"b": {first.name: None}} == found
