"""``linkedapi worker`` and ``linkedapi queue``."""

from __future__ import annotations

import asyncio
import json
import socket
import sqlite3
import sys

import pytest
from cli_harness import Shell

from linkedapi_async import st
from linkedapi_async.fleet import Queue, Worker
from linkedapi_async.fleet._starts import Starts


URL = "sqlite:///work.sqlite3"

WORKER = """
import aiohttp
from linkedapi_async import Session
from linkedapi_async.fleet import Worker

async def token(account):
    return f"token-of-{account}"

async def on_result(done):
    print(done.key, done.status)
    async with aiohttp.ClientSession() as http, http.get(PROBES) as answer:
        print(answer.status, sorted(await answer.json()))
    worker.stop()
    async with aiohttp.ClientSession() as http, http.get(PROBES) as answer:
        print(answer.status)

worker = Worker(
    "sqlite:///work.sqlite3",
    session=Session.from_env,
    token=token,
    interval=0.05,
    ttl=60,
    on_result=on_result,
)
other = "no worker"
"""


@pytest.fixture
def shell(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Return the shell, with the URL of a queue."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    shell.set(LINKED_API_QUEUE=URL)
    return shell


async def fill() -> None:
    """Submit three items; one is unknown, one has failed."""
    async with Queue(URL) as queue:
        for number, key in enumerate(("a", "b", "c")):
            message = st.send_message(
                f"https://www.linkedin.com/in/p-{number}", text="Hello!"
            )
            await queue.submit("lane", message, key=key)
        starts = Starts(queue._database)
        await starts.intend("b", "1")
        await starts.unknown("b", "1", ("wf-9",))


def test_a_worker_runs_until_it_is_stopped(shell: Shell) -> None:
    """It answers probes, and ends with status 0 when it is stopped."""
    asyncio.run(fill())
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    probes = f"PROBES = 'http://127.0.0.1:{port}/'\n"
    shell.write("worker_under_test.py", probes + WORKER)
    done = shell("worker", "worker_under_test:worker", "--health", str(port))
    wrong = shell("worker", "worker_under_test:other", "-q")

    assert 0 == done.status, done.err
    assert [
        "a completed",
        "200 ['beat', 'database', 'lanes', 'ok', 'starts']",
        "503",
    ] == done.out.splitlines()
    assert f"probes at http://127.0.0.1:{port}/\n" in done.err
    assert 2 == wrong.status
    assert "must be a linkedapi_async.fleet.Worker, got 'no worker'" in wrong.err


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("worker", "expected MODULE:ATTRIBUTE such as worker:worker, got 'worker'"),
        (":worker", "expected MODULE:ATTRIBUTE such as worker:worker, got ':worker'"),
        ("no_module_here:worker", "there is no module 'no_module_here' in "),
    ],
)
def test_workers_that_are_not_there(shell: Shell, target: str, message: str) -> None:
    """What is named must be there."""
    done = shell("worker", target)

    assert 2 == done.status
    assert message in done.err


def test_a_module_that_lacks_another_one(shell: Shell) -> None:
    """An import that fails inside of the module is not hidden."""
    shell.write("lacking.py", "import no_module_either")
    with pytest.raises(ModuleNotFoundError, match="no_module_either"):
        shell("worker", "lacking:worker")


@pytest.mark.parametrize(
    ("end", "status", "message"),
    [
        (75, 75, "another worker has taken over the lanes of this one"),
        (ValueError("it is wrong"), 2, "it is wrong"),
    ],
)
def test_a_worker_that_ends_by_itself(
    shell: Shell,
    monkeypatch: pytest.MonkeyPatch,
    end: object,
    status: int,
    message: str,
) -> None:
    """A worker that was declared dead ends with 75, one that is wrong with 2."""

    async def run(_: Worker) -> object:
        """End at once."""
        if isinstance(end, Exception):
            raise end
        return end

    monkeypatch.setattr(Worker, "run", run)
    shell.write("ending_worker.py", WORKER)
    done = shell("worker", "ending_worker:worker")

    assert status == done.status
    assert message in done.err


def test_without_the_extra(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names what is missing."""
    monkeypatch.setitem(sys.modules, "linkedapi_async.fleet", None)

    for words in (("worker", "a:b"), ("queue", "status")):
        done = shell(*words)
        assert 2 == done.status
        assert "linkedapi_async.fleet" in done.err


def test_a_queue_is_shown_and_changed(shell: Shell) -> None:
    """Each command does what the method of its name does."""
    asyncio.run(fill())
    before = json.loads(shell("queue", "status").out)
    waiting = json.loads(shell("queue", "unknown").out)
    adopted = shell("queue", "adopt", "b", "wf-9")
    again = shell("queue", "discard", "b")
    cancelled = shell("queue", "cancel", "c")
    results = json.loads(shell("queue", "results", "--failed").out)
    retried = shell("queue", "retry", "c")
    after = json.loads(shell("queue", "status").out)

    assert (2, 1) == (before["queued"], before["unknown"])
    assert ("b", ["wf-9"], "st.sendMessage") == (
        *(waiting["key"], waiting["candidates"]),
        waiting["definition"]["actionType"],
    )
    assert 0 == adopted.status
    assert 13 == again.status
    assert "'b' cannot be discarded: it is accepted" in again.err
    assert "cancelled\n" == cancelled.out
    assert ("c", "cancelled", None) == (
        *(results["key"], results["status"]),
        results["body"],
    )
    assert 0 == retried.status
    assert (2, 1, 0) == (after["queued"], after["running"], after["cancelled"])


def test_results_are_lines_of_json(shell: Shell) -> None:
    """With their completions."""

    async def end() -> None:
        """End the first item."""
        from linkedapi_async.fleet._starts import End

        async with Queue(URL) as queue:
            starts = Starts(queue._database)
            await starts.intend("a", "1")
            await starts.accepted("a", "1", "wf-1")
            body = '{"actionType":"st.sendMessage","success":true}'
            await starts.finished(
                "a", "1", End(status="completed", workflow_id="wf-1", body=body)
            )

    asyncio.run(fill())
    asyncio.run(end())
    (line,) = shell("queue", "results").out.splitlines()
    row = json.loads(line)

    assert ("a", "completed", True) == (
        row["key"],
        row["status"],
        row["body"]["success"],
    )
    assert "" == shell("queue", "results", "--after", str(row["cursor"])).out


@pytest.mark.parametrize(
    "words",
    [("queue", "status"), ("worker", "worker_on_invoices:worker")],
)
def test_a_wrong_database(shell: Shell, words: tuple[str, ...]) -> None:
    """Each command says which database it is, and leaves it as it is."""
    with sqlite3.connect(shell.folder / "invoices.sqlite3") as connection:
        connection.execute("CREATE TABLE invoices (id)")
    connection.close()
    url = "sqlite:///invoices.sqlite3"
    shell.write("worker_on_invoices.py", WORKER.replace(URL, url))
    shell.set(LINKED_API_QUEUE=url)
    done = shell(*words)

    assert 13 == done.status
    assert (
        "error: invoices.sqlite3: the file has the tables of another application; use a "
        "database of its own for the queue\n"
    ) == done.err


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://db/x", "must be sqlite:///path or postgresql://"),
        (
            "postgresql://me:secret@/x",
            "--url must not have a password, because other programs can read the ",
        ),
    ],
)
def test_a_wrong_url(shell: Shell, url: str, message: str) -> None:
    """A URL of something else, or with a password, is a usage error."""
    done = shell("queue", "status", "--url", url)

    assert 2 == done.status
    assert message in done.err
    assert "secret" not in done.err


@pytest.mark.parametrize("command", [["status"], ["unknown"], ["discard", "a"]])
def test_a_file_that_does_not_exist(shell: Shell, command: list[str]) -> None:
    """A wrong path is an error, and creates no empty queue."""
    done = shell("queue", *command, "--url", "sqlite:///absent.sqlite3")

    assert 2 == done.status
    assert (
        "error: there is no queue in absent.sqlite3: the file does not exist; check the "
        "URL, or submit a workflow first\n"
    ) == done.err
    assert [] == [*shell.folder.glob("absent*")]


def test_a_missing_url_names_the_variable(shell: Shell) -> None:
    """Without a URL, the error says where it may come from."""
    shell.set(LINKED_API_QUEUE=None)
    done = shell("queue", "status")

    assert 2 == done.status
    assert "Missing option '--url' (env var: 'LINKED_API_QUEUE')" in done.err


def test_a_password_in_the_environment(shell: Shell) -> None:
    """The variable may have one, because other programs cannot read it."""
    shell.set(LINKED_API_QUEUE=f"postgresql://me:secret@/x?host={shell.folder}")
    done = shell("queue", "status")
    shell.set(LINKED_API_QUEUE="mysql://me:secret@/x")
    wrong = shell("queue", "status")

    assert (13, 2) == (done.status, wrong.status)
    assert "secret" not in done.err + wrong.err
