"""The pace of a batch: its options, its plan, and what is left for another day."""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_harness import FAST, TOKENS, Shell, sandbox_in_a_thread

from linkedapi_async import Pace, st
from linkedapi_async._types import CATEGORIES
from linkedapi_async.cli._pace import NAMES, plan
from linkedapi_async.explain import explain_batch
from linkedapi_async.sandbox import Sandbox


BATCH = ("batch", "hello.json", "--from", "people.csv", "--out", "r.jsonl")
PERSON = "https://www.linkedin.com/in/person"


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    """A sandbox that is fast."""
    with sandbox_in_a_thread(speed=5000) as sandbox:
        yield sandbox


@pytest.fixture
def shell(
    box: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Shell:
    """A folder with a template and three people, and tokens of the sandbox."""
    made = Shell.entered(
        tmp_path, monkeypatch, capsys, **TOKENS, **FAST, LINKED_API_BASE_URL=box.url
    )
    hello = {"actionType": "st.sendMessage", "personUrl": "{{url}}", "text": "Hello"}
    made.write("hello.json", json.dumps(hello))
    made.write("people.csv", "\n".join(["url", *(f"{PERSON}-{n}" for n in range(3))]))
    return made


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
