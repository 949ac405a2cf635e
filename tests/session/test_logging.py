"""What goes to the standard logs: under which name, at which level, with what."""

from __future__ import annotations

import ast
import asyncio
import logging
import pathlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from scripted_server import (
    ACCOUNT,
    TOKEN,
    Answer,
    Scripted,
    dropped,
    held,
    ok,
    raw,
    refused,
    running,
    status_is,
    taken,
)

import linkedapi_async
from linkedapi_async import AccountPausedError, LinkedApiError, Polling, st
from linkedapi_async._actions.action import action_types
from linkedapi_async._http.responses import CompletedWorkflow
from linkedapi_async._polling.answers import Ended
from linkedapi_async._utils.log import error_reason, log_extra
from linkedapi_async.errors import ProtocolError
from linkedapi_async.session import _observer


pytestmark = pytest.mark.anyio

CHECK = st.check_connection_status("https://www.linkedin.com/in/ada")
STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    """A scripted server that takes one workflow and completes it."""
    async with Scripted() as scripted:
        scripted.script("POST", taken())
        scripted.script("GET", running(), status_is("connected"))
        scripted.script("DELETE", ok({"cancelled": True}))
        yield scripted


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """All records of this library."""
    caplog.set_level(logging.DEBUG, "linkedapi_async")
    return caplog


def extra(record: logging.LogRecord) -> dict[str, Any]:
    """Return what a record carries besides its words, without figures of time."""
    return {
        name.removeprefix("linkedapi_"): value
        for name, value in vars(record).items()
        if name not in STANDARD
        and name not in {"linkedapi_seconds", "linkedapi_detection_delay"}
    }


def own(log: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return what this library has logged; asyncio may complain of a slow machine."""
    return [r for r in log.records if r.name.startswith("linkedapi_async")]


def lines(log: pytest.LogCaptureFixture) -> list[tuple[str, str, str]]:
    """Return the name, level and words of what this library has logged."""
    return [
        (record.name.removeprefix("linkedapi_async"), record.levelname, record.message)
        for record in own(log)
    ]


async def test_a_life_in_the_logs(
    server: Scripted, log: pytest.LogCaptureFixture
) -> None:
    """Each step of a workflow is one line for debugging, under the name of its kind."""
    async with server.session() as session:
        name = session.account(ACCOUNT).name
        await session.run(CHECK)
        handle = session.attach("wf-1", CHECK)
        await handle.completion()
    action = "st.checkConnectionStatus"

    assert [
        (".starts", "DEBUG", f"Starting {action} on account {name}"),
        (".starts", "DEBUG", f"Started workflow wf-1 on account {name}"),
        (".polls", "DEBUG", f"Workflow wf-1 on account {name}: running"),
        (".polls", "DEBUG", f"Workflow wf-1 on account {name}: completed"),
        (".ends", "DEBUG", f"Workflow wf-1 on account {name} ended: completed"),
        (".ends", "DEBUG", f"Delivered workflow wf-1 of account {name}"),
        (".starts", "DEBUG", f"Attached workflow wf-1 to account {name}"),
    ] == lines(log)[:7]
    start, started, _, polled, ended, delivered, *_ = map(extra, own(log))
    assert start == {"account": name, "start": started["start"]}
    assert polled == {"account": name, "workflow_id": "wf-1", "status": "completed"}
    assert ended == {**polled, "polls": 2}
    assert ended == delivered
    assert {"seconds", "detection_delay"} <= {
        key.removeprefix("linkedapi_") for r in own(log) for key in vars(r)
    }


async def test_what_fails_in_the_logs(
    server: Scripted, log: pytest.LogCaptureFixture
) -> None:
    """Starts, polls and workflows that fail say the API's word for it."""
    failure = {"reason": "workflowTimeout", "message": "no"}
    server.script("POST", raw("no", status=503), taken(), refused("invalidWorkflow"))
    server.script(
        "GET",
        raw("no", status=500),
        ok({"workflowStatus": "failed", "failure": failure}),
    )
    async with server.session() as session:
        handle = await session.start(CHECK)
        with pytest.raises(LinkedApiError):
            await handle
        with pytest.raises(LinkedApiError):
            await session.start(CHECK)
    told = [
        (name, record["reason"], record.get("attempt"))
        for (name, _, _), record in zip(lines(log), map(extra, own(log)), strict=True)
        if "reason" in record
    ]

    assert [
        (".retries", "ProtocolError", 2),
        (".polls", "ProtocolError", None),
        (".polls", "workflowTimeout", None),
        (".ends", "workflowTimeout", None),
        (".ends", "workflowTimeout", None),
        (".starts", "invalidWorkflow", None),
    ] == told


async def test_a_pause_in_the_logs(
    server: Scripted, log: pytest.LogCaptureFixture
) -> None:
    """A pause is a warning, its end is information, and both name the account."""
    server.script("POST", refused("linkedinAccountSignedOut"))
    log.set_level(logging.INFO, "linkedapi_async")
    async with server.session() as session:
        account = session.account(ACCOUNT, "ada")
        with pytest.raises(AccountPausedError):
            await session.start(CHECK)
        account.unpause()

    assert [
        ("", "WARNING", "Account ada is paused: linkedinAccountSignedOut"),
        ("", "INFO", "Account ada works again"),
    ] == lines(log)
    assert [
        {"account": "ada", "reason": "linkedinAccountSignedOut"},
        {"account": "ada"},
    ] == [extra(record) for record in own(log)]


async def test_a_surprise_in_the_logs(
    server: Scripted, log: pytest.LogCaptureFixture
) -> None:
    """Another order than believed is worth a line for debugging."""
    server.script("POST", taken("wf-1"), taken("wf-2"))

    async def answer(request: Any) -> Any:
        """Let the second one run while the first one waits."""
        word = "pending" if request.path.endswith("wf-1") else "running"
        return await ok({"workflowStatus": word})(request)

    server.script("GET", answer)
    polling = Polling(
        initial_delay=0.01, interval=0.01, max_interval=0.01, queued_interval=0.02
    )
    async with server.session(polling=polling) as session:
        session.account(ACCOUNT, "ada")
        for _ in range(2):
            await session.start(CHECK)
        while not session.stats.out_of_order:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
    words = "Workflows of account ada run in another order than they were started"

    assert (".polls", "DEBUG", words) in lines(log)


@pytest.mark.parametrize(
    ("answer", "fields"),
    [
        pytest.param(taken(), {"workflow_id": "wf-1"}, id="taken"),
        pytest.param(
            refused("invalidWorkflow"), {"reason": "invalidWorkflow"}, id="no"
        ),
    ],
)
async def test_warnings_carry_what_they_are_about(
    server: Scripted,
    log: pytest.LogCaptureFixture,
    answer: Answer,
    fields: dict[str, str],
) -> None:
    """What a cancelled start came to can be found by its account and its key."""
    gate = asyncio.Event()
    server.script("POST", held(gate, answer))
    log.set_level(logging.WARNING, "linkedapi_async")
    async with server.session() as session:
        session.account(ACCOUNT, "ada")
        async with session.as_completed([("key", CHECK)], limit=1):
            while not server.seen:
                await asyncio.sleep(0)
        gate.set()

    assert [{"account": "ada", "key": "key", **fields}] == [
        extra(record) for record in own(log)
    ]


async def test_no_cancel_on_exit_in_the_logs(
    server: Scripted, log: pytest.LogCaptureFixture
) -> None:
    """What could not be cancelled on leaving is named, with the reason."""
    server.script("GET", running())
    server.script("DELETE", refused("workflowNotCancellable"))
    log.set_level(logging.WARNING, "linkedapi_async")
    async with server.session(cancel_on_exit=True) as session:
        session.account(ACCOUNT, "ada")
        await session.start(CHECK)

    assert [
        {"account": "ada", "workflow_id": "wf-1", "reason": "workflowNotCancellable"}
    ] == [extra(record) for record in own(log)]


async def test_no_token_is_ever_logged(
    server: Scripted, log: pytest.LogCaptureFixture
) -> None:
    """Neither words nor attributes have a token in them, whatever goes wrong."""
    broken = raw("no", status=500)
    server.script("POST", broken, dropped(), taken(), refused("invalidToken"))
    server.script("GET", broken, dropped(), running(), status_is("connected"))
    async with server.session() as session:
        for _ in range(3):
            try:
                await session.run(CHECK)
            except LinkedApiError:
                continue
    everything = "".join(f"{record.message}{vars(record)}" for record in own(log))

    assert len(own(log)) > 10
    assert TOKEN not in everything
    assert ACCOUNT not in everything


async def test_nothing_is_put_into_words_that_nobody_reads(
    server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the levels of every day, nothing is gathered for a line that is not written."""

    def dear(*_: object, **__: object) -> None:
        """Fail, for this is work for nothing."""
        raise AssertionError

    for name in ("log_extra", "error_reason", "action_types", "_derived"):
        monkeypatch.setattr(_observer, name, dear)
    server.script("POST", raw("no", status=503), taken(), refused("invalidWorkflow"))
    async with server.session() as session:
        await session.run(CHECK)
        session.attach("wf-2")
        with pytest.raises(LinkedApiError):
            await session.run(CHECK)


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Yield all calls in this package, each with the name of what is called."""
    for path in pathlib.Path(linkedapi_async.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                yield ast.unparse(node.func).rpartition(".")[2], node


def test_names_of_loggers_and_fields_are_documented() -> None:
    """All that this package uses are in one docstring, for users rely on them."""
    found = list(calls())
    loggers = {ast.literal_eval(c.args[0]) for f, c in found if f == "getLogger"}
    loggers.remove("dbos")  # the engine's own, which a worker makes quiet
    fields = set(_observer.EXTRA_FIELDS.values()) | {
        keyword.arg
        for function, call in found
        if function == "log_extra"
        for keyword in call.keywords
        if keyword.arg is not None
    }
    names = {*loggers, *(f"linkedapi_{name}" for name in fields)}

    assert {"linkedapi_async", "linkedapi_async.polls", "linkedapi_key"} <= names
    assert set() == {
        name for name in names if f"``{name}``" not in str(_observer.__doc__)
    }


def test_facts_that_are_not_known_are_left_out() -> None:
    """A field is absent rather than None; 0 is a fact."""
    assert {"linkedapi_polls": 0} == log_extra(key=None, polls=0)


def test_reasons() -> None:
    """The API's word comes first, then the name of the class."""
    assert "x" == error_reason(ProtocolError("no", type="x"))
    assert "ProtocolError" == error_reason(ProtocolError("no"))
    assert "OSError" == error_reason(OSError("no"))
    assert error_reason(None) is None


def test_action_types() -> None:
    """They are those of the roots; an attached workflow may have none."""
    assert ("st.checkConnectionStatus",) == action_types(CHECK)
    assert ("st.checkConnectionStatus",) * 2 == action_types((CHECK, CHECK))
    assert () == action_types(None)


def test_an_end_without_a_status_is_named(log: pytest.LogCaptureFixture) -> None:
    """The line of a poll that ended a workflow says so, also without a status."""
    observer = _observer.Observer()
    done = CompletedWorkflow({})
    observer.polled("ada", "wf-1", Ended(done, "completed"))
    observer.polled("ada", "wf-1", Ended(done))

    assert ["completed", "finished"] == [
        record.message.rpartition(" ")[2] for record in own(log)
    ]
