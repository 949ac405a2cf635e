"""Sessions with contacts: a person is written to once, whatever happens on the way."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from scripted_server import (
    ACCOUNT,
    TOKEN,
    Answer,
    Scripted,
    completed,
    dropped,
    held,
    ok,
    refused,
    taken,
)

from linkedapi_async import (
    JournalError,
    LinkedApiError,
    RejectedError,
    Session,
    StartUnknownError,
    SuppressedError,
    WorkflowError,
    WorkflowFailedError,
    st,
)
from linkedapi_async.contacts import Contacts, Name, Previous, SqliteContactStore
from linkedapi_async.journal import MemoryJournal, SqliteJournal
from linkedapi_async.sandbox import Sandbox
from linkedapi_async.session._account import default_name
from linkedapi_async.session._contacts import ContactKeeper


pytestmark = pytest.mark.anyio

SITE = "https://www.linkedin.com"
ADA, BOB = f"{SITE}/in/ada", f"{SITE}/in/bob"
HASHED = f"{SITE}/in/ACoAAB1"
SEND = st.send_message(ADA, text="Hello")
SENT = {"actionType": "st.sendMessage", "success": True}
CHECK = st.check_connection_status(ADA)


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    """A server that accepts everything, and completes it at once."""
    async with Scripted() as scripted:
        scripted.script("POST", taken())
        scripted.script("GET", completed(SENT))
        yield scripted


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of the contacts."""
    return tmp_path / "contacts.sqlite3"


async def previous(path: Path, name: str = ADA, kind: str = "sendMessage") -> Any:
    """Return what stands in the way of one more contact; None if nothing does."""
    store = SqliteContactStore(path)
    await store.open()
    claim = os.urandom(16)
    acts = [(kind, Name.of(name))]
    found = await store.reserve(claim, b"", acts, now=1e10, since=0.0)
    await store.release(claim)
    await store.aclose()
    return found


async def kept(path: Path, name: str = ADA, kind: str = "sendMessage") -> bool | None:
    """Return whether a contact took place; None if there is none."""
    found: Previous | None = await previous(path, name, kind)
    return None if found is None else found.kept


async def test_a_person_is_written_to_once(server: Scripted, path: Path) -> None:
    """A second message is not sent, by another session and spelling neither."""
    async with server.session(contacts=Contacts(path)) as session:
        await session.run(SEND)
        with pytest.raises(SuppressedError) as caught:
            await session.start(st.send_message(f"{ADA}/?x=1", text="Good day"))
    async with server.session(contacts=Contacts(path)) as session:
        with pytest.raises(SuppressedError):
            await session.run(SEND)
        await session.run(st.send_message(BOB, text="Hello"))

    assert ADA == caught.value.target
    assert [ADA, BOB] == [
        s.body["personUrl"] for s in server.seen if s.method == "POST"
    ]
    assert await kept(path)


async def test_reading_needs_no_reservation(server: Scripted, path: Path) -> None:
    """What only reads is started again and again, and leaves nothing behind."""
    node = {"actionType": "st.checkConnectionStatus", "success": True}
    server.script("GET", completed(node))
    async with server.session(contacts=Contacts(path)) as session:
        for _ in range(2):
            await (await session.start(CHECK)).completion()

    assert 2 == server.count("POST")
    assert await kept(path, kind="checkConnectionStatus") is None


@pytest.mark.parametrize(
    ("answers", "error", "free"),
    [
        pytest.param(
            [refused("invalidRequestPayload")], RejectedError, True, id="refused"
        ),
        pytest.param([dropped()], StartUnknownError, False, id="unknown"),
        pytest.param([ok({"workflowId": 5})], StartUnknownError, False, id="garbage"),
    ],
)
@pytest.mark.parametrize("journal", [True, False])
async def test_starts_that_fail(
    server: Scripted,
    path: Path,
    answers: Sequence[Answer],
    error: type[LinkedApiError],
    *,
    free: bool,
    journal: bool,
) -> None:
    """A refusal is a proof that nothing was sent; no answer is none."""
    server.script("POST", *answers)
    kept_in = MemoryJournal() if journal else None
    async with server.session(contacts=Contacts(path), journal=kept_in) as session:
        with pytest.raises(error):
            await session.start(SEND)

    assert (None if free else False) == await kept(path)


FAILED = {"workflowStatus": "failed", "failure": {"reason": "x", "message": "y"}}
NOT_FOUND = {"type": "personNotFound", "message": "x"}
UNKNOWN = {"type": "unknownError", "message": "x"}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(completed(SENT), True, id="done"),
        pytest.param(
            completed({**SENT, "success": False, "error": NOT_FOUND}),
            None,
            id="not done",
        ),
        pytest.param(
            completed({**SENT, "success": False, "error": UNKNOWN}), True, id="doubt"
        ),
        pytest.param(ok(FAILED), True, id="failed as a whole"),
        pytest.param(ok({"workflowStatus": "cancelled"}), True, id="cancelled"),
    ],
)
@pytest.mark.parametrize("journal", [True, False])
async def test_ends(
    server: Scripted, path: Path, answer: Answer, *, expected: bool, journal: bool
) -> None:
    """A contact is kept unless the completion proves that nothing was written."""
    server.script("GET", answer)
    kept_in = MemoryJournal() if journal else None
    async with server.session(contacts=Contacts(path), journal=kept_in) as session:
        handle = await session.start(SEND)
        with contextlib.suppress(LinkedApiError):
            await handle.result()

    assert expected == await kept(path)


async def test_waits_that_end_otherwise(server: Scripted, path: Path) -> None:
    """Leaving while a workflow runs changes nothing: it may still write."""
    server.script("GET", ok({"workflowStatus": "running"}))
    async with server.session(contacts=Contacts(path)) as session:
        await session.start(SEND)

    assert await kept(path) is False


async def test_withdrawn_starts(server: Scripted, path: Path) -> None:
    """A start that was cancelled before it was sent leaves the person free."""
    gate = asyncio.Event()
    server.script("POST", held(gate, taken()))
    async with server.session(contacts=Contacts(path)) as session:
        first = asyncio.create_task(session.start(SEND))
        second = asyncio.create_task(session.start(st.send_message(BOB, text="x")))
        while not server.seen or await kept(path, BOB) is None:
            await asyncio.sleep(0.01)
        second.cancel()
        await asyncio.wait([second])
        gate.set()
        await (await first).completion()

    assert await kept(path)
    assert await kept(path, BOB) is None


async def test_workflows_of_others(server: Scripted, path: Path) -> None:
    """A workflow that was started elsewhere has no reservation to keep."""
    server.script("GET", ok(FAILED))
    async with server.session(contacts=Contacts(path)) as session:
        with pytest.raises(WorkflowFailedError):
            await session.attach("wf-9", SEND).completion()

    assert await kept(path) is None


class HeldStore(SqliteContactStore):
    """A store whose reservations return once it is let go."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.reserved = asyncio.Event()
        self.gate = asyncio.Event()

    async def reserve(self, *args: Any, **options: Any) -> Previous | None:
        """Reserve, and wait."""
        found = await super().reserve(*args, **options)
        self.reserved.set()
        await self.gate.wait()
        return found


async def test_cancelled_reservations(server: Scripted, path: Path) -> None:
    """A start that was cancelled while it reserves leaves the person free."""
    store = HeldStore(path)
    async with server.session(contacts=Contacts(store)) as session:
        start = asyncio.create_task(session.start(SEND))
        await store.reserved.wait()
        start.cancel()
        await asyncio.wait([start])

    assert start.cancelled()
    assert 0 == server.count("POST")
    assert await kept(path) is None


async def test_names_of_completions(server: Scripted, path: Path) -> None:
    """Names that a completion gives to one person are one; those of companies are not."""
    page = {
        "actionType": "st.openPersonPage",
        "success": True,
        "data": {
            "publicUrl": ADA,
            "hashedUrl": HASHED,
            "company": {
                "companyUrl": f"{SITE}/company/a",
                "companyHashedUrl": f"{SITE}/company/1",
            },
        },
    }
    server.script("GET", completed(page))
    contacts = Contacts(path)
    async with server.session(contacts=contacts) as session:
        await session.run(st.open_person_page(ADA, basic_info=True))
    async with contacts:
        names = await contacts.store.names(Name.of(ADA))
        company = await contacts.store.names(Name.of(f"{SITE}/company/a"))
    server.script("GET", completed(SENT))
    async with server.session(contacts=contacts) as session:
        await session.run(SEND)
        with pytest.raises(SuppressedError):
            await session.start(st.send_message(HASHED, text="Hello"))

    assert {Name.of(ADA).digest, Name.of(HASHED).digest} == names
    assert 1 == len(company)


# Over crashes


def journal_in(path: Path, name: str = "runs") -> SqliteJournal:
    """Return a journal beside the contacts."""
    return SqliteJournal(path.with_name(f"{name}.sqlite3"))


DEFINITION = {"actionType": "st.sendMessage", "personUrl": ADA, "text": "Hello"}


async def left_by(path: Path, key: str, until: str) -> None:
    """Leave what a process leaves that was killed after a step of a start."""
    async with journal_in(path) as journal:
        keeper = ContactKeeper(Contacts(path), journal)
        await keeper.open()
        await keeper.reserve(DEFINITION, key)
        await keeper.aclose()
        if until != "reserved":
            body = json.dumps(DEFINITION).encode()
            await journal.intend(key, default_name(ACCOUNT), body, stream=True)
        if until in {"accepted", "finished"}:
            await journal.accepted(key, "wf-1")
        if until == "finished":
            await journal.finished(key, json.dumps(SENT).encode(), "completed")


async def stream(session: Session, key: str = "ada") -> list[Exception | None]:
    """Run one item as a stream, and return the errors of what it yields."""
    found: list[Exception | None] = []
    async with session.as_completed([(key, SEND)]) as done:
        async for handle in done:
            found.append(handle.failure)
            if handle.failure is None:
                await handle.completion()
    return found


@pytest.mark.parametrize("until", ["reserved", "accepted", "finished"])
async def test_a_killed_start_goes_on(server: Scripted, path: Path, until: str) -> None:
    """The run after a kill goes on with its own reservation, and keeps it at the end."""
    await left_by(path, "ada", until)
    before = await kept(path)
    async with server.session(
        contacts=Contacts(path), journal=journal_in(path)
    ) as session:
        errors = await stream(session)

    assert before is False
    assert [None] == errors
    assert (1 if until == "reserved" else 0) == server.count("POST")
    assert await kept(path)


async def test_other_journals_do_not_go_on(server: Scripted, path: Path) -> None:
    """Only the journal of a reservation proves that nothing was sent."""
    await left_by(path, "ada", "reserved")
    journals = [journal_in(path, "other"), MemoryJournal(), None]
    for journal in journals:
        async with server.session(contacts=Contacts(path), journal=journal) as session:
            (error,) = await stream(session)

            assert isinstance(error, SuppressedError)
    journal_in(path).path.unlink()
    async with server.session(
        contacts=Contacts(path), journal=journal_in(path)
    ) as session:
        (error,) = await stream(session)

    assert isinstance(error, SuppressedError)
    assert 0 == server.count("POST")


async def test_a_key_that_is_used(server: Scripted, path: Path) -> None:
    """A start that its journal refuses releases no more than it has reserved."""
    await left_by(path, "ada", "intended")
    async with journal_in(path) as journal:
        keeper = ContactKeeper(Contacts(path), journal)
        await keeper.open()
        claim = await keeper.reserve({**DEFINITION, "personUrl": BOB}, "bob")
        again = await keeper.reserve({**DEFINITION, "personUrl": BOB}, "bob")
        assert claim is not None
        assert again is not None
        keeper.release(again, refused=False)
        await keeper.aclose()
    assert await kept(path, BOB) is False

    async with journal_in(path) as journal:
        keeper = ContactKeeper(Contacts(path), journal)
        await keeper.open()
        keeper.release(again, refused=True)
        await keeper.aclose()

    assert await kept(path, BOB) is None


async def test_deferred_workflows(path: Path) -> None:
    """A workflow that failed before it began is kept, until it is deferred."""
    end = WorkflowFailedError(reason="linkedinAccountSignedOut", message="x")
    await left_by(path, "ada", "accepted")
    async with journal_in(path) as journal:
        keeper = ContactKeeper(Contacts(path), journal)
        await keeper.open()
        keeper.recalled("wf-1", "ada")
        keeper.ended("wf-1", end)
        await keeper.aclose()
        before = await kept(path)
        await keeper.open()
        await keeper.free("wf-1")
        await keeper.free("wf-2")
        await keeper.aclose()

    assert before
    assert await kept(path) is None


@pytest.mark.parametrize("journal", [True, False])
async def test_deferred_items_start_again(
    server: Scripted, path: Path, *, journal: bool
) -> None:
    """An item that a limit has held back leaves the person free for its next start."""
    limited = {"type": "limitExceeded", "message": "x"}
    held_back = completed({**SENT, "success": False, "error": limited})
    server.script("GET", held_back, completed(SENT))
    found = []
    for _ in range(2):
        async with server.session(
            contacts=Contacts(path), journal=journal_in(path) if journal else None
        ) as session:
            found.append(await stream(session))

    assert [[], [None]] == found
    assert 2 == server.count("POST")
    assert await kept(path)


async def test_unknown_starts_are_decided(server: Scripted, path: Path) -> None:
    """A discarded start is started again, by its own key only; an adopted one is kept."""
    await left_by(path, "ada", "intended")
    for key in ("ada", "eve"):
        async with server.session(
            contacts=Contacts(path), journal=journal_in(path)
        ) as session:
            (unknown,) = await stream(session, key)
        expected = StartUnknownError if key == "ada" else SuppressedError

        assert isinstance(unknown, expected)
    async with journal_in(path) as journal:
        await journal.discard("ada")
    async with server.session(
        contacts=Contacts(path), journal=journal_in(path)
    ) as session:
        assert [None] == await stream(session)
    assert 1 == server.count("POST")
    assert await kept(path)


# Contacts that fail


async def test_contacts_that_do_not_open(server: Scripted, path: Path) -> None:
    """The journal and the connections are closed again, and nothing is sent."""
    path.write_bytes(b"x" * 5000)
    journal = journal_in(path)
    session = server.session(contacts=Contacts(path), journal=journal)
    with pytest.raises(JournalError, match="cannot be used"):
        await session.__aenter__()
    async with journal:
        pass

    assert [] == server.seen


class BrokenStore(SqliteContactStore):
    """A store that fails where it is told to."""

    def __init__(self, path: Path, method: str) -> None:
        super().__init__(path)

        async def fail(*_: Any, **__: Any) -> None:
            """Fail."""
            message = "the disk is full"
            raise JournalError(message)

        setattr(self, method, fail)


async def test_contacts_that_cannot_be_reserved(server: Scripted, path: Path) -> None:
    """What is not reserved is not sent."""
    store = BrokenStore(path, "reserve")
    async with server.session(contacts=Contacts(store)) as session:
        with pytest.raises(JournalError, match="disk is full"):
            await session.start(SEND)

    assert [] == server.seen


@pytest.mark.parametrize("method", ["keep", "release"])
async def test_contacts_that_cannot_be_recorded(
    server: Scripted, path: Path, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    """The result is delivered, the log names the error, the reservation stays."""
    if method == "release":
        server.script("POST", refused("invalidRequestPayload"))
    store = BrokenStore(path, method)
    async with server.session(contacts=Contacts(store)) as session:
        with contextlib.suppress(RejectedError):
            await session.run(SEND)
    records = [r for r in caplog.records if r.levelno == logging.ERROR]

    assert ["The contacts could not be recorded: the disk is full"] == [
        record.message for record in records
    ]
    assert await kept(path) is False


async def test_targets_that_are_not_known(server: Scripted, path: Path) -> None:
    """A workflow that finds its people as it runs is refused with the action's path."""
    page = st.open_person_page().then(st.send_connection_request())
    search = st.search_people(limit=5).then(st.do_for_people().then(page))
    async with server.session(contacts=Contacts(path)) as session:
        with pytest.raises(WorkflowError, match=r"^root\.then\[0\]\.then\[0\]"):
            await session.start(search)

    assert [] == server.seen


def test_contacts_have_a_type(path: Path) -> None:
    """A path is no policy."""
    with pytest.raises(TypeError, match="contacts must be"):
        Session(linked_api_token=TOKEN, contacts=str(path))  # type: ignore[arg-type]


# Two processes

PEOPLE, KILLS = 24, 3

WORKER = """
import asyncio, os, random, signal, sys
from pathlib import Path

from linkedapi_async import Polling, Session, st
from linkedapi_async.contacts import Contacts, SqliteContactStore

folder, name, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
people = (folder / "people.txt").read_text().split()
rng = random.Random(f"{name} {seed}")
rng.shuffle(people)
kill_at = rng.randrange(1, 6) if seed >= 0 else -1


class Killed(SqliteContactStore):
    reserved = 0

    async def reserve(self, *args, **options):
        found = await super().reserve(*args, **options)
        self.reserved += 1
        if self.reserved == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return found


async def main():
    contacts = Contacts(Killed(folder / "contacts.sqlite3"))
    items = [(p, st.send_message(p, text=f"Hello from {name}")) for p in people]
    async with Session.from_env(
        polling=Polling.fixed(0.05),
        journal=folder / f"{name}.sqlite3",
        contacts=contacts,
        identification_token=f"account-token-{name}",
    ) as session:
        async with session.as_completed(items, limit=4) as done:
            async for handle in done:
                pass


asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
async def test_two_processes_with_kills(tmp_path: Path) -> None:
    """Two processes with one list, killed after reservations, write to each once.

    A start that was under way beside the reservation is unknown, and stays so.
    """
    people = [f"{SITE}/in/person-{number}" for number in range(PEOPLE)]
    (tmp_path / "people.txt").write_text("\n".join(people))
    (tmp_path / "worker.py").write_text(WORKER)
    statuses: list[int] = []
    async with Sandbox(speed=2000, seed=1) as sandbox:
        environment = {
            **os.environ,
            "LINKED_API_TOKEN": "main-token-4242",
            "ACCOUNT_API_TOKEN": "",
            "LINKED_API_BASE_URL": sandbox.url,
        }

        async def work(name: str) -> None:
            """Run a process again and again until it is not killed."""
            for seed in [*range(KILLS), -1]:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    str(tmp_path / "worker.py"),
                    *(str(tmp_path), name, str(seed)),
                    env=environment,
                )
                statuses.append(await process.wait())

        await asyncio.gather(work("one"), work("two"))
        sent = Counter(w.definition["personUrl"] for w in sandbox.workflows)
    unknown = {
        row.key
        for name in ("one", "two")
        for row in SqliteJournal.read(tmp_path / f"{name}.sqlite3", "unknown")
    }

    assert [0, 0] == [status for status in statuses if status != -9]
    assert 2 * KILLS == statuses.count(-9)
    assert {1} == {*sent.values()}
    assert {*people} == sent.keys() | unknown
