"""The session without asyncio, against a sandbox in another thread."""

from __future__ import annotations

import ast
import asyncio
import atexit
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from blocking_stub import PROXIES, stub
from cli_harness import sandbox_in_a_thread

import linkedapi_async
from linkedapi_async import (
    ActionError,
    WaitTimeoutError,
    admin,
    blocking,
    events,
    st,
)
from linkedapi_async.policies import Polling
from linkedapi_async.sandbox import Sandbox


TOKENS = {"linked_api_token": "main-token-77", "identification_token": "account-88"}
PAGE = st.open_person_page("https://www.linkedin.com/in/ada", basic_info=True)
MISSING = st.open_person_page("https://www.linkedin.com/in/not-found-1")


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    """A sandbox that is fast."""
    with sandbox_in_a_thread(speed=2000) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def slow() -> Iterator[Sandbox]:
    """A sandbox whose workflows take hours."""
    with sandbox_in_a_thread(speed=1, duration=36_000.0) as sandbox:
        yield sandbox


def session_of(sandbox: Sandbox, **settings: Any) -> blocking.Session:
    """Return a session of *sandbox*."""
    usual: dict[str, Any] = {"polling": Polling.fixed(0.02), **TOKENS}
    return blocking.Session(base_url=sandbox.url, **{**usual, **settings})


# Running


def test_run_start_and_wait(box: Sandbox) -> None:
    """A workflow runs to its typed result, at once or by a handle."""
    with session_of(box) as session:
        person = session.run(PAGE)
        handle = session.start(PAGE)
        again = handle.result()

        assert person.name == again.name
        assert handle.completion()[PAGE].name == person.name
        assert ("completed", True) == (handle.status, handle.done)
        assert not handle.cancel()
        assert 2 == session.stats.completed


def test_errors_are_the_same(box: Sandbox, slow: Sandbox) -> None:
    """What the asynchronous session raises is raised here."""
    with session_of(box) as session, pytest.raises(ActionError):
        session.run(MISSING)
    with session_of(slow) as session:
        with pytest.raises(WaitTimeoutError) as caught:
            session.run(PAGE, timeout=0)
        (handle,) = session.handles

        assert handle.workflow_id == caught.value.workflow_id
        assert session.attach(str(caught.value.workflow_id)) == handle
        assert handle.cancel()


def test_a_stream_reads_its_input_in_threads(box: Sandbox) -> None:
    """The input may take its time and use the session, while workflows are polled."""
    with session_of(box) as session:

        def slowly() -> Iterator[Any]:
            """Give workflows; each after one that runs meanwhile."""
            for number in range(3):
                session.run(PAGE)
                yield f"key-{number}", PAGE

        with session.as_completed(slowly(), limit=2) as done:
            found = {handle.key: handle.result() for handle in done}

        with session.as_completed([MISSING]) as done:
            (failed,) = done
            with pytest.raises(ActionError):
                failed.result()
        with pytest.raises(TypeError, match="put this one in a list"):
            session.as_completed(PAGE)  # type: ignore[call-overload]

    assert {"key-0", "key-1", "key-2"} == set(found)


def test_accounts_are_proxies_too(box: Sandbox) -> None:
    """An account has the same methods; it equals itself, however it is reached."""
    with session_of(box) as session:
        other = session.account("another-account", name="other")
        other.run(PAGE)

        assert other == session.account("another-account")
        assert {other, other} == {other}
        assert session.default_account != other
        assert {session.default_account, other} == set(session.accounts)
        assert "other" == other.name
        other.account_id = "acc-1"
        assert "acc-1" == other.account_id
        assert "<blocking <Account other, 0 unfinished>>" == repr(other)


def test_accounts_share_a_stream(box: Sandbox) -> None:
    """A pool takes the accounts as they are here, also as the account of an item."""
    with session_of(box) as session:
        pool = [session.account(f"pool-{n}", name=f"pool-{n}") for n in range(2)]
        items = [(f"key-{n}", PAGE, pool[n % 2]) for n in range(4)]
        with session.as_completed(items, accounts=pool, limit=1) as done:
            found = {handle.key: handle.account for handle in done}

        assert done.complete
        assert () == done.deferred

    assert {f"key-{n}": f"pool-{n % 2}" for n in range(4)} == found


def test_a_journal_over_two_runs(slow: Sandbox, box: Sandbox, tmp_path: Path) -> None:
    """What an earlier run left is recovered, and the journal is read and decided on."""
    path = tmp_path / "work.sqlite3"
    with session_of(slow, journal=path) as session:
        with (
            session.as_completed([("a", PAGE)]) as done,
            pytest.raises(WaitTimeoutError),
        ):
            started = next(iter_handles(session))
            started.result(timeout=0)
        del done
    with session_of(slow, journal=path) as session:
        recovered = session.recover()
        (handle,) = recovered.handles
        journal = session.journal
        assert journal is not None

        assert isinstance(handle, blocking.WorkflowHandle)
        assert "a" == handle.key
        assert ((), ()) == (recovered.unknown, recovered.other_accounts)
        assert ["a"] == [row.key for row in journal.rows("accepted")]
        assert [] == journal.unknown()
        with pytest.raises(AttributeError, match="'Journal' object has no attribute"):
            journal.submit_intent  # type: ignore[attr-defined]  # noqa: B018


def iter_handles(session: blocking.Session) -> Iterator[blocking.WorkflowHandle[Any]]:
    """Yield the handles of a session once there are some."""
    while not session.handles:
        time.sleep(0.001)
    yield from session.handles


def test_messages_are_iterated(box: Sandbox) -> None:
    """New items come in a for loop."""
    with session_of(box) as session:
        session.run(st.sync_inbox())
        with session.messages(interval=0.001) as messages:
            first = next(messages)
            cursor = messages.cursor
        again = [
            m for m, _ in zip(session.messages(interval=0.001), "ab", strict=False)
        ]

    assert first.id == again[0].id
    assert cursor


def test_the_admin_api(box: Sandbox) -> None:
    """The calls are grouped as in the asynchronous Admin, and know a session's accounts."""
    with (
        session_of(box) as session,
        blocking.Admin(linked_api_token="main-token-77", base_url=box.url) as client,
    ):
        session.run(PAGE)
        limits = client.limits.get_defaults()
        left = client.identify(session)

        assert isinstance(limits[0], admin.Limit)
        assert () == left
        assert session.default_account.account_id
        assert client.subscription.get_seats()


# Threads, loops, processes


def test_many_threads_share_a_session(box: Sandbox) -> None:
    """Calls of many threads do not disturb each other, and each starts once."""
    before = len(box.workflows)
    with session_of(box) as session, ThreadPoolExecutor(20) as pool:
        names = {
            person.name for person in pool.map(lambda _: session.run(PAGE), range(60))
        }

    assert 1 == len(names)
    assert 60 == len(box.workflows) - before


def test_it_works_inside_a_running_loop(box: Sandbox) -> None:
    """A notebook has a loop already; the session has its own."""

    async def cell() -> Any:
        """Run a workflow as a cell does."""
        session = session_of(box).open()
        try:
            return session.run(PAGE)
        finally:
            session.close()

    assert asyncio.run(cell()).name


def test_a_callback_cannot_wait(box: Sandbox) -> None:
    """A callback runs in the loop's thread, which cannot wait for itself."""
    found: list[str] = []
    with session_of(box) as session:

        def callback(_: events.WorkflowFinished) -> None:
            """Try to run another one."""
            with pytest.raises(RuntimeError, match="event loop thread") as caught:
                session.run(PAGE)
            found.append(str(caught.value))

        end = session.on(events.WorkflowFinished, callback)
        session.run(PAGE)
        end()

    assert 1 == len(found)


def test_before_and_after(box: Sandbox) -> None:
    """A session can be prepared before it is open, and read after it; it runs between."""
    session = session_of(box)
    assert session.account("x").name
    with pytest.raises(RuntimeError, match="not open"):
        session.close()
    with pytest.raises(RuntimeError, match="the session is not open: use it as: with"):
        session.run(PAGE)
    with session:
        session.run(PAGE)
    assert 1 == session.stats.completed
    with pytest.raises(RuntimeError, match="not open"):
        session.run(PAGE)
    with pytest.raises(RuntimeError, match="the Session was entered before"):
        session.open()
    assert session.base_url == box.url


def test_what_belongs_to_a_loop_is_refused(box: Sandbox) -> None:
    """A session of aiohttp, and webhooks, are for the asynchronous session."""

    async def client() -> aiohttp.ClientSession:
        """Make a session in a loop."""
        async with aiohttp.ClientSession() as made:
            return made

    with pytest.raises(TypeError, match="belongs to an event loop of its own"):
        session_of(box, http=asyncio.run(client()))
    with session_of(box) as session:
        assert not hasattr(session, "listen")
        assert not hasattr(session, "_runtime")
        assert "listen" not in dir(session)
        assert "aclose" not in dir(session)
        assert "run" in dir(session)


def test_the_end_of_the_program_closes_it(box: Sandbox, tmp_path: Path) -> None:
    """A session that was left open keeps no program from ending, and loses nothing."""
    program = """
        import os, sys
        from linkedapi_async import journal, st
        from linkedapi_async.blocking import Admin, Session

        url, name = sys.argv[1:]
        settings = {"base_url": url, "linked_api_token": "main-token-77"}
        admin = Admin(**settings).open()
        session = Session(
            journal=name, identification_token="account-88", **settings
        ).open()
        handle = session.start(st.retrieve_ssi(), key="a")
        closed = Session(identification_token="account-88", **settings).open()
        closed.close()
        print(handle.workflow_id is not None, flush=True)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), box.url, tmp_path / "j"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert (0, "True\n", "") == (done.returncode, done.stdout, done.stderr)
    with session_of(box, journal=tmp_path / "j") as session:
        assert ["a"] == [handle.key for handle in session.recover().handles]


def test_a_fork_closes_nothing(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a forked process does not close what is its parent's."""
    at_exit: list[Callable[[], object]] = []
    monkeypatch.setattr(atexit, "register", at_exit.append)
    with session_of(box) as session:
        (close,) = at_exit
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: 1)
            close()
        assert session.run(PAGE).name
        close()
        with pytest.raises(RuntimeError, match="the session is not open"):
            session.run(PAGE)


def test_a_fork_is_noticed(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a forked child the thread is gone, and the error says so."""
    with session_of(box) as session:
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: 1)
            with pytest.raises(RuntimeError, match="does not survive a fork"):
                session.run(PAGE)
        assert session.run(PAGE).name


def test_ctrl_c_ends_the_wait_only(slow: Sandbox) -> None:
    """Ctrl-C leaves a wait; the workflow goes on, and its handle is kept."""
    with session_of(slow) as session:
        handle = session.start(PAGE)
        polls = session.stats.polls

        def interrupt() -> None:
            """Press Ctrl-C once the wait polls."""
            while session.stats.polls <= polls:
                time.sleep(0.001)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            handle.result()
        thread.join()

        assert (handle,) == session.handles


def test_from_the_environment(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens come from the environment, as for the asynchronous ones."""
    monkeypatch.setenv("LINKED_API_TOKEN", "main-token-77")
    monkeypatch.setenv("IDENTIFICATION_TOKEN", "account-88")
    monkeypatch.setenv("LINKED_API_BASE_URL", box.url)
    monkeypatch.setenv("LINKED_API_POLL_INTERVAL", "0.02")
    with blocking.Session.from_env(connections=5) as session:
        assert session.run(PAGE).name
    with blocking.Admin.from_env() as client:
        assert client.limits.get_defaults()


def test_no_frame_shows_a_token_or_a_text(box: Sandbox) -> None:
    """The frames of this library have neither, whatever fails."""
    texts = ("main-token-77", "account-88", "a-third-token", "very private")
    calls: list[Callable[[blocking.Session], Any]] = [
        lambda s: s.account("a-third-token\n"),
        lambda s: s.run(
            st.send_message(
                "https://www.linkedin.com/in/not-found-1", text="very private"
            )
        ),
    ]
    with session_of(box) as session:
        for call in calls:
            with pytest.raises(Exception) as caught:  # noqa: PT011  # of any kind
                call(session)
            frame = caught.tb
            while frame is not None:
                if "linkedapi_async" in frame.tb_frame.f_code.co_filename:
                    shown = repr(frame.tb_frame.f_locals)
                    assert not [text for text in texts if text in shown], shown
                frame = frame.tb_next  # type: ignore[assignment]


def test_elsewhere_the_error_names_this_module() -> None:
    """Without a loop of asyncio, such as under trio, the error says what to use."""
    session = linkedapi_async.Session(linked_api_token="t")
    entering = session.__aenter__()

    with pytest.raises(RuntimeError, match=r"use linkedapi_async\.blocking\.Session"):
        entering.send(None)


def test_the_asynchronous_library_does_not_load_it() -> None:
    """Importing the library does not import the blocking module."""
    code = (
        "import sys, linkedapi_async; print('linkedapi_async.blocking' in sys.modules)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )

    assert "False\n" == shown.stdout


# Types


def test_the_types_are_those_of_the_asynchronous_classes() -> None:
    """The stub is what the source of the asynchronous classes gives."""
    path = Path(blocking.__file__).with_suffix(".pyi")
    written = ast.parse(path.read_text("utf-8"))
    made = ast.parse(stub())

    assert declared(made) == declared(written)


def declared(tree: ast.Module) -> dict[str, str]:
    """Return the classes of a stub, by name, without what formatting changes."""
    return {
        node.name: ast.unparse(node)
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    }


def test_every_proxy_has_types() -> None:
    """What is public here is in the stub."""
    assert set(PROXIES) - {"_Workflows"} == set(blocking.__all__)
