"""``linkedapi batch --queue``: rows go to a queue, and their results come back."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_harness import FAST, TOKENS, Done, Shell, sandbox_in_a_thread

from linkedapi_async import QueueError, st
from linkedapi_async.cli import _batch_queue
from linkedapi_async.cli._signals import SignalHandler
from linkedapi_async.fleet import Queue
from linkedapi_async.fleet._starts import End, Starts
from linkedapi_async.sandbox import Sandbox


URL = "sqlite:///work.sqlite3"
HELLO = {"actionType": "st.sendMessage", "personUrl": "{{url}}", "text": "Hello!"}
VISIT = {"actionType": "st.openPersonPage", "personUrl": "{{url}}"}
KEYED = ("--from", "people.csv", "--out", "r.jsonl", "--key", "name", "--queue", URL)
BATCH = ("batch", "hello.json", *KEYED, "--account", "sales", "--yes")
LANES = ("batch", "hello.json", *KEYED, "--account-column", "who", "--yes")
VISITS = ("batch", "visit.json", *KEYED, "--account", "sales")


@pytest.fixture
def shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Shell:
    """Return a shell without tokens, in a folder with two templates and some people."""
    monkeypatch.setattr(_batch_queue, "CHUNK", 2)
    made = Shell.entered(tmp_path, monkeypatch, capsys)
    made.write("hello.json", json.dumps(HELLO))
    made.write("visit.json", json.dumps(VISIT))
    made.write("people.csv", people("abc"))
    return made


def people(names: str) -> str:
    """Return a CSV of people, each for an account of its own."""
    url = "https://www.linkedin.com/in"
    return "\n".join(["url,name,who", *(f"{url}/{n},{n},of-{n}" for n in names)])


def lines(shell: Shell) -> list[dict[str, Any]]:
    """Return the results of a batch."""
    return [json.loads(line) for line in shell.read("r.jsonl").splitlines()]


def statuses(shell: Shell) -> list[tuple[str, str]]:
    """Return the keys and statuses of the results of a batch."""
    return [(line["key"], line["status"]) for line in lines(shell)]


def use(work: Callable[[Queue], Awaitable[Any]]) -> Any:
    """Return what *work* returns for the queue."""

    async def run() -> Any:
        """Open the queue for it."""
        async with Queue(URL) as queue:
            return await work(queue)

    return asyncio.run(run())


async def end(queue: Queue, key: str, stored: End | None) -> None:
    """Do what a worker does with an item; without an end, its answer is lost."""
    starts = Starts(queue._database)
    await starts.intend(key, "execution")
    if stored is None:
        await starts.unknown(key, "execution")
        return
    if stored.workflow_id is not None:
        await starts.accepted(key, "execution", stored.workflow_id)
    await starts.finished(key, "execution", stored)


def end_all(ends: dict[str, End | None]) -> None:
    """Do what a worker does with several items."""

    async def work(queue: Queue) -> None:
        """End one after another."""
        for key, stored in ends.items():
            await end(queue, key, stored)

    use(work)


def completed(workflow_id: str, *, error: bool = False) -> End:
    """Return the end of a workflow that has sent a message, or could not."""
    body: dict[str, Any] = {"actionType": "st.sendMessage", "success": True}
    if error:
        body |= {"success": False, "error": {"type": "personNotFound", "message": "no"}}
    return End(
        status="completed",
        workflow_id=workflow_id,
        body=json.dumps(body),
        error="personNotFound" if error else None,
        wrote=not error,
    )


def facts(**more: Any) -> str:
    """Return what is stored of an item that was not started."""
    return json.dumps({"message": "It is wrong", "request": None, **more})


ADA = {"target": "https://www.linkedin.com/in/ada", "key": None}
SINCE = {**ADA, "since": "2030-05-01T12:00:00+00:00"}


def test_rows_are_submitted_once(shell: Shell) -> None:
    """Each row is an item of its account; the same command again adds nothing."""
    first, again = shell(*LANES), shell(*LANES)
    found = use(lambda queue: queue.find("abc"))

    assert (75, 75) == (first.status, again.status), first.err
    assert "0 of 3 have ended; the queue has the others; for their results, run: " in (
        again.err
    )
    assert " --yes --wait\n" in again.err
    assert {n: f"of-{n}" for n in "abc"} == {
        key: item.account for key, item in found.items()
    }
    assert [] == lines(shell)
    assert {"r.jsonl", "hello.json", "visit.json", "people.csv"} == {
        path.name
        for path in shell.folder.iterdir()
        if not path.name.startswith("work.sqlite3")
    }


def test_results_come_once(shell: Shell) -> None:
    """Each run writes what has ended since the one before, and says how all is."""
    shell(*BATCH)
    end_all({"b": completed("wf-b")})
    first = shell(*BATCH)
    end_all({"a": completed("wf-a")})
    shell.write("people.csv", people("cabd"))
    second = shell(*BATCH)
    end_all({key: completed(f"wf-{key}") for key in "cd"})
    last, after = shell(*BATCH), shell(*BATCH)

    assert [75, 75, 0, 0] == [
        first.status,
        second.status,
        last.status,
        after.status,
    ]
    assert [(key, "completed") for key in "bacd"] == statuses(shell)
    line = lines(shell)[0]
    assert (3, "sales", "wf-b", 1) == (
        line["line"],
        line["account"],
        line["workflowId"],
        line["cursor"],
    )
    assert "b" == line["input"]["name"]
    assert line["completion"]["success"]


def test_ends_of_all_kinds(shell: Shell) -> None:
    """Failed rows count as failed, suppressed ones as done, unknown ones as unknown."""
    shell.write("people.csv", people("abcdefg"))
    shell(*BATCH)
    failure = json.dumps({"reason": "workflowTimeout", "message": "slow", "raw": None})
    ends: dict[str, End | None] = {
        "a": completed("wf-a", error=True),
        "b": End(status="failed", workflow_id="wf-b", body=failure, wrote=True),
        "c": End(status="refused", body=facts()),
        "d": End(status="refused", body=facts(suppressed=SINCE)),
        "e": End(status="refused", body=facts(suppressed={**ADA, "since": None})),
        "f": End(status="lost", workflow_id="wf-f", wrote=True),
    }
    end_all(ends)
    failed = shell(*BATCH)
    end_all({"g": None})
    unknown = shell(*BATCH)
    use(lambda queue: queue.cancel("g"))
    cancelled = shell(*BATCH)

    assert [9, 8, 9] == [failed.status, unknown.status, cancelled.status], unknown.err
    failures = {line["key"]: line.get("failure") for line in lines(shell)}
    assert {
        "a": None,
        "b": {"reason": "workflowTimeout", "message": "slow"},
        "c": {"message": "It is wrong"},
        "d": {
            "message": "It is wrong",
            "target": ADA["target"],
            "since": "2030-05-01T12:00:00Z",
        },
        "e": {"message": "It is wrong", "target": ADA["target"], "since": None},
        "f": None,
        "g": None,
    } == failures
    kinds = ["completed", "failed", "refused", "suppressed", "suppressed", "lost"]
    assert [*zip("abcdefg", [*kinds, "cancelled"], strict=True)] == statuses(shell)
    assert "line 4: It is wrong\n" in failed.err
    assert "line 5: suppressed: It is wrong\n" in failed.err
    assert "2 suppressed; see r.jsonl\n" in cancelled.err
    assert "5 failed, see r.jsonl; retry them with: linkedapi batch " in cancelled.err
    assert "line 8: it is unknown whether 'g' was started" in unknown.err
    assert (
        "1 may have been started; to decide on them, run: linkedapi queue unknown "
        f"--url {URL}\n"
    ) in unknown.err


def test_failed_rows_run_again_on_request(shell: Shell) -> None:
    """Only those that have written nothing, also if the queue has forgotten them."""
    shell.write("people.csv", people("abcd"))
    shell(*BATCH)
    wrote = End(status="failed", workflow_id="wf-b", body=FAILED, wrote=True)
    refused = End(status="refused", body=facts())
    end_all({"b": wrote, "d": refused})
    shell(*BATCH)
    use(lambda queue: queue.forget(0))
    end_all({key: completed(f"wf-{key}", error=key == "a") for key in "ac"})
    shell(*BATCH)
    before = use(lambda queue: queue.find("abcd"))
    again = shell(*BATCH, "--retry-failed")
    after = use(lambda queue: queue.find("abcd"))
    end_all({key: completed(f"wf-2{key}") for key in "ad"})
    last = shell(*BATCH, "--retry-failed")

    assert {"a": "ended", "c": "ended"} == {k: i.state for k, i in before.items()}
    assert {"a": "queued", "c": "ended", "d": "queued"} == {
        key: item.state for key, item in after.items()
    }
    assert [9, 9] == [again.status, last.status]
    assert "line 3: not retried, because a part may have been written\n" in last.err
    assert [*"bdacad"] == [key for key, _ in statuses(shell)]


FAILED = json.dumps({"reason": "workflowTimeout", "message": "slow", "raw": None})


def test_what_the_queue_has_retried_is_read_again(shell: Shell) -> None:
    """The last result of a row counts, also if another program ran it again."""
    shell(*BATCH)
    end_all({key: completed(f"wf-{key}", error=key == "a") for key in "abc"})
    first = shell(*BATCH)
    use(lambda queue: queue.retry("a"))
    waits = shell(*BATCH)
    end_all({"a": completed("wf-2")})
    last = shell(*BATCH)

    assert [9, 75, 0] == [first.status, waits.status, last.status]
    assert [*"abca"] == [key for key, _ in statuses(shell)]


def test_keys_of_other_workflows_are_refused(shell: Shell) -> None:
    """Nothing is submitted if a key is of another text or account already."""
    shell.write("people.csv", people("ab"))
    shell(*BATCH)
    shell.write("people.csv", people("abc"))
    account = shell(*LANES)
    shell.write("hello.json", json.dumps({**HELLO, "text": "Bye!"}))
    text = shell(*BATCH)
    found = use(lambda queue: queue.find("abc"))

    assert [3, 3] == [account.status, text.status]
    assert (
        "error: 2 problems; nothing was sent\n"
        "  line 2: the queue has 'a' for the account 'sales' already\n"
    ) in account.err
    assert "line 3: the queue has 'b' with another workflow already; --key" in text.err
    assert {"a", "b"} == found.keys()


def test_many_problems_are_counted(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the first ones are listed."""
    monkeypatch.setattr(_batch_queue, "MOST_PROBLEMS", 1)
    shell(*BATCH)
    done = shell(*LANES)

    assert "error: 3 problems; nothing was sent\n  line 2: " in done.err
    assert "  and 2 more\n" in done.err


def test_what_has_ended_with_another_text_is_not_sent_again(shell: Shell) -> None:
    """An edited text changes nothing of a row that has ended, also a failed one."""
    shell.write("people.csv", people("abc"))
    shell(*BATCH)
    ends: dict[str, End | None] = {
        "a": completed("wf-a"),
        "b": completed("wf-b", error=True),
        "c": End(status="refused", body=facts(suppressed=SINCE)),
    }
    end_all(ends)
    shell(*BATCH)
    shell.write("hello.json", json.dumps({**HELLO, "text": "Bye!"}))
    done = shell(*BATCH, "--retry-failed")

    assert 9 == done.status
    assert "3 ended with another text or account, not sent again; --key" in done.err
    assert 3 == len(lines(shell))


def test_what_the_queue_has_forgotten_is_not_sent_again(shell: Shell) -> None:
    """The results say what is done."""
    shell(*BATCH)
    end_all({key: completed(f"wf-{key}") for key in "abc"})
    shell(*BATCH)
    use(lambda queue: queue.forget(0))
    done = shell(*BATCH)
    found = use(lambda queue: queue.find("abc"))

    assert 0 == done.status
    assert {} == found


def test_reads_need_no_question(shell: Shell) -> None:
    """A read whose start is unknown is sent again by itself: it just waits."""
    first = shell(*VISITS)
    end_all({"a": None})
    second = shell(*VISITS)
    dry = shell(*LANES, "--dry-run")

    assert [75, 75, 0] == [first.status, second.status, dry.status]
    assert "may have been started" not in second.err
    assert ["of-a", "of-b", "of-c"] == [
        json.loads(line)["account"] for line in dry.out.splitlines()
    ]
    assert "a run would send 3 workflows to the queue\n" in dry.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "--queue needs --account NAME, or --account-column COLUMN"),
        (
            ("--account", "a", "--account-column", "who"),
            "--queue needs --account NAME, or --account-column COLUMN",
        ),
        (("--account", "a", "--journal", "j"), "--journal cannot be used with --queue"),
        (("--account", "a", "--limit", "5"), "--limit cannot be used with --queue"),
        (
            ("--account", "a", "--per-day", "stMessages", "5"),
            "--per-day cannot be used with --queue, because workers send the rows, with",
        ),
        (("--account", "a", "-v"), "--verbose cannot be used with --queue"),
        (("--account", "a", "--queue", "mysql://x"), "--queue: the URL of a "),
        (
            ("--account", "a", "--queue", "postgresql://me:secret@db/work"),
            "--queue must not have a password, because other programs can read the",
        ),
        (
            ("--account", "a", "--queue", "postgresql://db/work?password=secret"),
            "--queue must not have a password, because other programs can read the",
        ),
        (
            ("--account", "a", "--queue", "sqlite:///r.jsonl"),
            "--out and --queue name one file: r.jsonl",
        ),
        (
            ("--account-column", "whose"),
            "--account-column: people.csv has only the columns url, name, who",
        ),
    ],
)
def test_options_that_do_not_go_together(
    shell: Shell, words: tuple[str, ...], message: str
) -> None:
    """What sends belongs to the workers, and passwords do not belong in arguments."""
    done = shell("batch", "visit.json", *KEYED, *words)

    assert 2 == done.status
    assert message in done.err
    assert "secret" not in done.err


def test_options_of_a_batch_without_a_queue(shell: Shell) -> None:
    """The column of the account means nothing to a batch that sends."""
    words = ("--from", "people.csv", "--out", "r.jsonl", "--account-column", "who")
    done = shell("batch", "visit.json", *words)

    assert 2 == done.status
    assert "error: --account-column needs --queue URL\n" == done.err


def test_rows_that_the_queue_cannot_have(shell: Shell) -> None:
    """A row without an account, or with a long key, is a problem of that row."""
    url = "https://www.linkedin.com/in"
    rows = [f"{url}/a,a,", f"{url}/b,{'b' * 501},of-b", f"{url}/c,c,of-c"]
    shell.write("people.csv", "\n".join(["url,name,who", *rows]))
    refused = shell(*LANES)
    skipped = shell(*LANES, "--skip-invalid", "skipped.csv")
    found = use(lambda queue: queue.find(["a", "b", "c"]))

    assert [3, 75] == [refused.status, skipped.status]
    assert (
        "people.csv:2: column 'who': the account must be a text of 1 to 500 characters "
        "without NUL, got ''\n"
    ) in refused.err
    assert "people.csv:3: the key must be a text of 1 to 500 characters" in refused.err
    assert {"c"} == found.keys()


def test_without_the_extra(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install."""
    monkeypatch.setitem(sys.modules, "linkedapi_async.fleet", None)
    done = shell(*BATCH)

    assert 2 == done.status


WORKER = """
from linkedapi_async import Session
from linkedapi_async.fleet import Worker

async def token(account):
    return f"token-of-{account}"

ended = []

def on_result(done):
    ended.append(done.key)
    if len(ended) == 3:
        worker.stop()

worker = Worker(
    "sqlite:///work.sqlite3",
    session=Session.from_env,
    token=token,
    interval=0.05,
    ttl=60,
    on_result=on_result,
)
"""


@pytest.fixture
def box() -> Iterator[Sandbox]:
    """Run a fast sandbox beside the test."""
    with sandbox_in_a_thread(speed=1000) as found:
        yield found


def test_a_worker_runs_the_rows(
    shell: Shell, box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that a batch has submitted are sent by a worker, once each."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    first = shell(*LANES)
    shell.set(**TOKENS, **FAST, LINKED_API_BASE_URL=box.url)
    shell.write("worker_of_rows.py", WORKER)
    worked = shell("worker", "worker_of_rows:worker")
    shell.set(**dict.fromkeys((*TOKENS, "LINKED_API_BASE_URL")))
    last = shell(*LANES)

    assert [75, 0, 0] == [first.status, worked.status, last.status], worked.err
    assert {(key, "completed") for key in "abc"} == {*statuses(shell)}
    assert sorted(f"https://www.linkedin.com/in/{n}" for n in "abc") == sorted(
        workflow.definition["personUrl"] for workflow in box.workflows
    )


def waiting(
    shell: Shell,
    monkeypatch: pytest.MonkeyPatch,
    steps: list[Callable[[], object]],
    option: str = "--wait",
) -> Done:
    """Run a batch that waits; each time that it looks again, a step was done."""

    async def results(self: Queue, after: int = 0) -> Any:
        """Do the next step first."""
        if steps:
            found: Any = steps.pop(0)()
            if found is not None:
                await found(self)
        async for done in real(self, after):
            yield done

    real = Queue.results
    monkeypatch.setattr(_batch_queue, "INTERVAL", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(Queue, "results", results)
        return shell(*BATCH, option)


def ends(key: str, stored: End | None) -> Callable[[], object]:
    """Return a step in which an item ends."""
    return lambda: lambda queue: end(queue, key, stored)


async def other(queue: Queue) -> None:
    """Let an item end that another program has submitted."""
    page = st.open_person_page("https://www.linkedin.com/in/eve")
    await queue.submit("other", page, key="eve")
    await end(queue, "eve", completed("wf-eve"))


def test_a_batch_waits_for_its_rows(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --wait it ends when all rows have ended, or wait for a decision."""
    unknown = waiting(
        shell,
        monkeypatch,
        [
            ends("a", completed("wf-a")),
            ends("b", None),
            lambda: other,
            ends("c", completed("wf-c")),
        ],
    )
    use(lambda queue: queue.adopt("b", "wf-b"))
    done = waiting(shell, monkeypatch, [lambda: None, ends("b", completed("wf-b"))])

    assert [8, 0] == [unknown.status, done.status], done.err
    assert 1 == unknown.err.count("it is unknown whether 'b' was started")
    assert [*"acb"] == [key for key, _ in statuses(shell)]


async def fail(_: Queue) -> None:
    """Fail as a queue whose database is away."""
    message = "the database is away"
    raise QueueError(message)


def test_an_outage_is_waited_out(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --wait, the command goes on when the database is back."""
    steps: list[Callable[[], object]] = [lambda: fail, lambda: fail, lambda: None]
    done = waiting(
        shell,
        monkeypatch,
        [*steps, *(ends(key, completed(f"wf-{key}")) for key in "abc")],
    )
    shell.write("people.csv", people("d"))
    once = waiting(shell, monkeypatch, [lambda: fail], "--quiet")

    assert (0, 13) == (done.status, once.status)
    assert 1 == done.err.count("the database is away; it is tried again\n")
    assert "error: the database is away\n" == once.err


def test_a_signal_ends_the_wait(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was submitted goes on, and the command says how to read the rest."""
    done = waiting(
        shell,
        monkeypatch,
        [ends("a", completed("wf-a")), lambda: signal.raise_signal(signal.SIGINT)],
    )

    assert 130 == done.status
    assert "stopping; the workers continue\n" in done.err
    assert "error: 1 of 3 have ended; the queue has the others" in done.err
    assert [("a", "completed")] == statuses(shell)


def test_a_signal_ends_the_submission(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows that are left are submitted by the next run."""

    async def submit_all(self: Queue, plan: Any) -> int:
        """Let the signal come after the first row."""
        rows = [next(plan)]
        signal.raise_signal(signal.SIGTERM)
        await handlers[0].wait()
        return await real(self, [*rows, *plan])

    def handler(*arguments: Any) -> SignalHandler:
        """Keep what handles the signals."""
        handlers.append(SignalHandler(*arguments))
        return handlers[0]

    handlers: list[SignalHandler] = []
    real = Queue.submit_all
    with monkeypatch.context() as patch:
        patch.setattr(_batch_queue, "SignalHandler", handler)
        patch.setattr(Queue, "submit_all", submit_all)
        done = shell(*BATCH)
    found = use(lambda queue: queue.find("abc"))

    assert 143 == done.status
    assert {"a"} == found.keys()
