"""The pace of a batch: its options, its plan, and what is left for another day."""

from __future__ import annotations

import datetime as dt
import json
import math
import os
import re
import signal
import threading
from typing import Any

import pytest
from cli_harness import Shell, Terminal

from linkedapi_async import Pace, st
from linkedapi_async._types import CATEGORIES
from linkedapi_async.cli._pace import NAMES, plan
from linkedapi_async.explain import explain_batch
from linkedapi_async.sandbox import Sandbox


BATCH = ("batch", "hello.json", "--from", "people.csv", "--out", "r.jsonl")
PERSON = "https://www.linkedin.com/in/person"


@pytest.fixture
def shell(shell: Shell) -> Shell:
    """A folder with a template and three people, and tokens of the sandbox."""
    hello = {"actionType": "st.sendMessage", "personUrl": "{{url}}", "text": "Hello"}
    shell.write("hello.json", json.dumps(hello))
    shell.write("people.csv", "\n".join(["url", *(f"{PERSON}-{n}" for n in range(3))]))
    return shell


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--per-day", "stMessage", "25"), "--per-day: a category must be one of the"),
        (("--hours", "Mon-Fri 9-17 UTC"), "--hours: hours must be text such as"),
        (("--min-interval", "-1"), "--min-interval"),
        (("--per-day", "stMessages", "-1"), "--per-day"),
    ],
)
def test_wrong_options(shell: Shell, options: tuple[str, ...], message: str) -> None:
    """A mistake names its option, and what is allowed."""
    done = shell(*BATCH, *options, "--yes")

    assert 2 == done.status
    assert message in done.err


def test_the_rest_waits_for_another_day(shell: Shell, box: Sandbox) -> None:
    """Closed hours end the batch with status 75, and a row that no day allows with 3."""
    before = len(box.workflows)
    done = shell(*BATCH, "--per-day", "stMessages", "0", "--yes")
    hours = shell(*BATCH, "--hours", closed_hours(), "--yes")
    paced = shell(*BATCH, "--min-interval", "0.001", "--yes")

    assert 3 == done.status
    assert "the pace allows 0 a day" in done.err
    assert 75 == hours.status
    assert "it is outside the hours" in hours.err
    assert "0 of 3 done; continue with: linkedapi batch" in hours.err
    assert 0 == paced.status
    assert 3 == len(box.workflows) - before


def closed_hours() -> str:
    """Return hours of two days that are neither today nor tomorrow, in every zone."""
    later = dt.datetime.now(dt.UTC) + dt.timedelta(days=3)
    return f"{later:%a} 09:00-17:00 UTC"


def test_the_plan_is_shown(shell: Shell) -> None:
    """Before anything is sent: how many, how many a day, and how many days."""
    done = shell(*BATCH, "--per-day", "stMessages", "2", "--dry-run")

    assert 0 == done.status
    assert "3 messages, 2 a day on one account: 2 days" in done.err
    assert re.search(r"the last one starts on \w+day, \d{4}-\d\d-\d\d", done.err)


@pytest.mark.parametrize(
    ("pace", "count", "accounts", "lines"),
    [
        (
            {"per_day": {"stConnectionRequests": 25}},
            60,
            1,
            ["60 invitations, 25 a day on one account: 3 days"],
        ),
        (
            {"per_day": {"stConnectionRequests": 25}},
            60,
            3,
            ["60 invitations, 25 a day on 3 accounts: 1 day"],
        ),
        (
            {"per_day": {"stConnectionRequests": 0}},
            1,
            1,
            ["1 invitation, 0 a day on one account: no end"],
        ),
        (
            {"per_day": {"stConnectionRequests": 1}},
            40_000,
            1,
            ["40,000 invitations, 1 a day on one account: no end"],
        ),
        ({"per_day": {"stMessages": 1}}, 2, 1, []),
        ({"min_interval": 60}, 2, 1, []),
    ],
)
def test_plans(pace: dict[str, Any], count: int, accounts: int, lines: Any) -> None:
    """A plan counts for each account what its share takes."""
    cost = explain_batch(
        [st.send_connection_request(PERSON)] * count, accounts=accounts
    )
    *found, last = [*plan(Pace(**pace), cost), ""][: len(lines) + 1]

    assert lines == found
    assert ("the last one starts on" in last) == (count < 1000)


def test_a_plan_without_an_end() -> None:
    """A list without a bound has no end."""
    everybody = st.retrieve_connections().then(
        st.do_for_people().then(st.open_person_page())
    )
    cost = explain_batch([everybody], generation="account_api")
    (line, _) = plan(Pace(per_day={"stPersonProfileViews": 5}), cost)

    assert "any number of profile views, 5 a day on one account: no end" == line
    assert math.inf == cost.total


def test_every_category_has_a_name() -> None:
    """What the API limits, people can read."""
    assert {*CATEGORIES} == {*NAMES}


# run


RUN = ("run", "message.json", "--yes")
MESSAGE = {"actionType": "st.sendMessage", "personUrl": PERSON, "text": "Hello"}


@pytest.fixture
def single(shell: Shell) -> Shell:
    """The same, with a message to one person."""
    shell.write("message.json", json.dumps(MESSAGE))
    return shell


def test_a_run_outside_of_its_hours_sends_nothing(single: Shell, box: Sandbox) -> None:
    """The error says until when, with the status for what waits."""
    before = len(box.workflows)
    done = single(*RUN, "--hours", closed_hours())

    assert (75, "") == (done.status, done.out)
    assert "it is outside the hours" in done.err
    assert "start it again at" in done.err
    assert before == len(box.workflows)


def test_runs_count_in_their_journal(single: Shell, box: Sandbox) -> None:
    """What a run has started counts for the next, which waits no longer than it may."""
    before = len(box.workflows)
    pace = ("--journal", "runs", "--min-interval", "36000")
    first = single(*RUN, *pace, "--timeout", "600")
    second = single(*RUN, *pace, "--timeout", "60")

    assert (0, 75) == (first.status, second.status)
    assert "at least 36000 s between two starts" in second.err
    assert 1 == len(box.workflows) - before


@pytest.mark.parametrize(
    "option", [("--per-day", "stMessages", "25"), ("--min-interval", "60")]
)
def test_a_run_that_counts_needs_a_journal(
    single: Shell, option: tuple[str, ...]
) -> None:
    """Without one, each run would count from zero."""
    done = single(*RUN, *option)

    assert 2 == done.status
    assert "--per-day and --min-interval need --journal FILE" in done.err


def test_a_signal_ends_the_wait_for_the_pace(single: Shell, box: Sandbox) -> None:
    """A run shows what it waits for, since and until when; Ctrl-C sends nothing."""
    pace = ("--journal", "runs", "--min-interval", "36000")
    first = single(*RUN, *pace)
    before = len(box.workflows)
    with Terminal(columns=300) as terminal:

        def interrupt() -> None:
            terminal.expect("waiting until ")
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        status = single.at(terminal, *RUN, *pace)
        thread.join()
        shown = terminal.text

    assert (0, 130) == (first.status, status)
    assert re.search(r"waiting until .* \(since \d\d:\d\d\)", shown)
    assert "the wait ends\r\n" in shown
    assert "error: nothing was sent\r\n" in shown
    assert before == len(box.workflows)


def test_a_run_writes_to_a_person_once(single: Shell, box: Sandbox) -> None:
    """With contacts, the second run to a person is suppressed, with its own status."""
    before = len(box.workflows)
    runs = [single(*RUN, "--contacts", "contacts.sqlite3") for _ in range(2)]

    assert [0, 16] == [done.status for done in runs]
    assert "once in 90 days; nothing was sent" in runs[1].err
    assert 1 == len(box.workflows) - before
