"""Why a workflow is pending, at the command line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_harness import TOKENS, Shell, sandbox_in_a_thread

from linkedapi_async.cli import _workflows
from linkedapi_async.cli._console import Console
from linkedapi_async.cli._workflows import _PaceReport, _ReasonReport
from linkedapi_async.events import PollAnswered, StartHeldBack


def polled(
    status: str | None, reason: str | None = None, message: str | None = None
) -> PollAnswered:
    """Return the event of a poll that was answered with these."""
    return PollAnswered(
        at=0,
        time=0,
        account="sales",
        workflow_id="wf-1",
        outcome="waiting",
        status=status,
        pending_reason=reason,
        message=message,
        error=None,
    )


def test_a_reason_is_shown_when_it_changes(capsys: pytest.CaptureFixture[str]) -> None:
    """Each new reason is one line with the message and the time; repeats are not."""
    report = _ReasonReport(Console(quiet=False))
    for event in (
        polled("pending", "queued"),
        polled("pending", "queued"),
        polled(None),
        polled("pending", "outsideWorkingHours", "From 09:00."),
        polled("running"),
        polled("pending", "queued"),
    ):
        report.show(event)

    lines = capsys.readouterr().err.splitlines()
    assert all(re.fullmatch(r".* \(since \d\d:\d\d\)", line) for line in lines)
    assert [
        "waiting: queued",
        "waiting: outsideWorkingHours – From 09:00.",
        "waiting: queued",
    ] == [line.partition(" (since ")[0] for line in lines]


def test_a_start_waits_since_it_was_held_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each reason is one line, with the time at which the wait began."""
    times = iter(["09:00", "09:30"])
    monkeypatch.setattr(_workflows, "_clock", lambda: next(times))
    report = _PaceReport(Console(quiet=False))
    for reason, waits in (("25 a day", True), ("closed", True), ("too late", False)):
        report.held_back(
            StartHeldBack(
                at=0,
                time=0,
                account="ada",
                key=None,
                workflow=(),
                reason=reason,
                category=None,
                until=None,
                waits=waits,
            )
        )

    assert [
        "waiting: 25 a day (since 09:00)",
        "waiting: closed (since 09:00)",
    ] == capsys.readouterr().err.splitlines()


@pytest.fixture
def shell(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Shell]:
    """A shell with the tokens of a sandbox whose workflows take an hour."""
    with sandbox_in_a_thread(speed=1, duration=3600.0) as sandbox:
        made = Shell.entered(
            tmp_path, monkeypatch, capsys, **TOKENS, LINKED_API_BASE_URL=sandbox.url
        )
        made.write("ssi.json", json.dumps({"actionType": "st.retrieveSSI"}))
        yield made


def test_a_status_has_its_reason(shell: Shell) -> None:
    """The row of a workflow in the queue has the reason that the API gives."""
    shell("run", "ssi.json", "--no-wait")
    queued = shell("run", "ssi.json", "--no-wait").out.strip()
    (row,) = json.loads(shell("status", queued).out)

    assert ("pending", "queued") == (row["status"], row["pendingReason"])
