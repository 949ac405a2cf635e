"""Batches: rows, placeholders, the pace, and one workflow per row, each once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import signal
import sqlite3
import threading
from collections.abc import Callable
from typing import Any

import pytest
from cli_harness import Shell, Terminal, sandbox_in_a_thread
from hypothesis import given
from hypothesis import strategies as some

from linkedapi_async import Estimate, UnknownValueWarning, dump_workflow
from linkedapi_async._actions.texts import missing_value
from linkedapi_async._polling import lane
from linkedapi_async._polling.scheduler import PollScheduler
from linkedapi_async.cli._console import Console
from linkedapi_async.cli._progress import (
    ESTIMATE_INTERVAL,
    WINDOW,
    BatchProgress,
    duration,
    progress_display,
)
from linkedapi_async.cli._template import Problem, Template
from linkedapi_async.journal import SqliteJournal
from linkedapi_async.sandbox import Sandbox


HELLO: dict[str, Any] = {
    "actionType": "st.sendMessage",
    "personUrl": "{{url}}",
    "text": "Hello {{name}}!",
}
VISIT: dict[str, Any] = {"actionType": "st.openPersonPage", "personUrl": "{{url}}"}
BATCH = ("batch", "hello.json", "--from", "people.csv", "--out", "r.jsonl")
VISITS = ("batch", "visit.json", "--from", "people.csv", "--out", "r.jsonl")


@pytest.fixture
def shell(shell: Shell) -> Shell:
    """A folder with two templates and some people, and tokens of the sandbox."""
    shell.write("hello.json", json.dumps(HELLO))
    shell.write("visit.json", json.dumps(VISIT))
    shell.write("people.csv", people(4))
    return shell


count = iter(range(100_000))
A, B, C = (f"https://www.linkedin.com/in/{name}" for name in "abc")


def people(number: int) -> str:
    """Return a CSV of new people."""
    rows = [f"https://www.linkedin.com/in/p{next(count)},N{n}" for n in range(number)]
    return "\n".join(["url,name", *rows])


def lines(shell: Shell, name: str = "r.jsonl") -> list[dict[str, Any]]:
    """Return the results of a batch."""
    return [json.loads(line) for line in shell.read(name).splitlines()]


def taken(box: Sandbox, shell: Shell) -> list[int]:
    """Return how often each row of the people was taken by the sandbox."""
    roots = [w.definition for w in box.workflows]
    counted = [(r[0] if isinstance(r, list) else r)["personUrl"] for r in roots]
    rows = shell.read("people.csv").splitlines()[1:]
    return [counted.count(row.split(",")[0]) for row in rows]


# Placeholders


def _is_sent(text: str) -> bool:
    return bool(text.strip()) and not missing_value(text.strip())


TEXT = some.text(some.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(TEXT.filter(_is_sent), TEXT.filter(_is_sent))
def test_a_cell_is_never_looked_through(one: str, two: str) -> None:
    """A cell goes into the text unchanged, placeholders included."""
    text = "a{{ x }}b{{y}}{{x}}c"
    template = Template(
        {**HELLO, "personUrl": "https://www.linkedin.com/in/ada", "text": text},
        allow_braces=True,
    )
    filled: Any = template.render({"x": one, "y": two + "{{x}}"})

    assert f"a{one}b{two}{{{{x}}}}{one}c" == filled.text


def typed(value: Any, cell: Any, **more: Any) -> Any:
    """Return what a search of jobs becomes when *cell* fills a placeholder in it."""
    definition = {"actionType": "st.searchJobs", **value, **more}
    filled = Template(definition).render({"x": cell})
    if isinstance(filled, list):
        return [str(problem) for problem in filled]
    return dump_workflow(filled)


@pytest.mark.parametrize(
    ("cell", "limit"),
    [("7", 7), (" 7 ", 7), (7, 7), ("", None), (None, None), ("  ", None)],
)
def test_whole_numbers(cell: Any, limit: int | None) -> None:
    """A placeholder that is all of a value becomes a number, or is left out."""
    expected = {"actionType": "st.searchJobs", "term": "x"}
    found = typed({"term": "x", "limit": "{{x}}"}, cell)

    assert (expected if limit is None else {**expected, "limit": limit}) == found


@pytest.mark.parametrize("cell", ["seven", "7.5", True, [7], {"a": 1}])
def test_what_is_no_whole_number(cell: Any) -> None:
    """A cell that is no number is reported with its column and path."""
    (found,) = typed({"term": "x", "limit": "{{x}}"}, cell)

    assert found.startswith("column 'x': root: ")
    assert f"got {cell!r}" in found


@pytest.mark.parametrize(
    ("cell", "flag"),
    [
        ("yes", True),
        ("TRUE", True),
        ("1", True),
        ("no", False),
        ("False", False),
        ("0", False),
        (True, True),
    ],
)
def test_flags(cell: Any, flag: bool) -> None:
    """Words become flags, also inside of an object."""
    found = typed({"term": "x", "filter": {"easyApply": "{{x}}"}}, cell)

    assert {"easyApply": flag} == found["filter"]


def test_what_is_no_flag() -> None:
    """Other words do not."""
    (found,) = typed({"term": "x", "filter": {"easyApply": "{{x}}"}}, "maybe")

    assert "column 'x': root: filter: expected yes or no, got 'maybe'" == found


@pytest.mark.parametrize(
    ("cell", "companies"),
    [
        ("Acme; Umbrella ;", ["Acme", "Umbrella"]),
        ('["a;b", "c"]', ["a;b", "c"]),
        (["a", "b"], ["a", "b"]),
    ],
)
def test_lists(cell: Any, companies: list[str]) -> None:
    """A cell becomes a list at its semicolons, or is JSON."""
    found = typed({"term": "x", "filter": {"companies": "{{x}}"}}, cell)

    assert companies == found["filter"]["companies"]


def test_objects_and_items() -> None:
    """A cell may be a whole object; an empty item of a list is left out."""
    whole = typed({"term": "x", "filter": "{{x}}"}, '{"easyApply": true}')
    items = typed({"term": "x", "filter": {"companies": ["{{x}}", "b", "{{x}}c"]}}, "a")
    less = typed({"term": "x", "filter": {"companies": ["{{x}}", "b"]}}, "")
    torn = typed({"term": "x", "filter": "{{x}}"}, '{"easyApply"')
    member = {"actionType": "st.searchPosts", "term": "y"}
    plain = typed({**member, "filter": {"fromMembers": ["{{x}}"]}}, "Ada")
    exact = typed({**member, "filter": {"fromMembers": ["{{x}}"]}}, '{"name": "Ada"}')
    inner = typed({**member, "filter": {"fromMembers": [{"name": "{{x}}"}]}}, "Ada")

    assert {"easyApply": True} == whole["filter"]
    assert ["a", "b", "ac"] == items["filter"]["companies"]
    assert ["b"] == less["filter"]["companies"]
    assert torn == [
        "column 'x': root: filter: expected a JSON object, got '{\"easyApply\"'"
    ]
    assert ["Ada"] == plain["filter"]["fromMembers"]
    assert [{"name": "Ada"}] == exact["filter"]["fromMembers"]
    assert [{"name": "Ada"}] == inner["filter"]["fromMembers"]


def test_texts_from_json() -> None:
    """Numbers become text where a text is expected; objects do not."""
    assert "5" == typed({"term": "{{x}}"}, 5)["term"]
    assert "a5.5" == typed({"term": "a{{x}}"}, 5.5)["term"]
    (listed,) = typed({"term": "{{x}}"}, [1])
    assert listed.startswith("column 'x': root: st.searchJobs: term")
    assert "expected a string, got [1]" in typed({"term": "a{{x}}"}, [1])[0]
    with pytest.warns(UnknownValueWarning):
        assert {"a": 5} == typed({"odd": "{{x}}"}, {"a": 5}, actionType="st.new")["odd"]


def test_empty_cells_inside_of_texts() -> None:
    """A text with a hole is not sent, unless the template allows for it."""
    for cell in ("", "  ", None):
        (found,) = typed({"term": "Dear {{x}}"}, cell)
        assert "the cell is empty; write {{x?}} if it may be empty" in found
        assert f"Dear {cell or ''}" == typed({"term": "Dear {{ x ? }}"}, cell)["term"]
    assert "no such column in this row" in str(Template(VISIT).render({}))


def test_problems_know_their_columns() -> None:
    """A problem deep in the tree is reported with path, parameter and column."""
    tree = [
        VISIT,
        {**VISIT, "then": [{"actionType": "st.sendMessage", "text": "{{text}}"}, 7]},
        {
            **VISIT,
            "then": {
                "actionType": "st.retrievePersonPosts",
                "limit": "{{n}}",
                "since": 5,
            },
        },
    ]
    template = Template(tree)
    found: Any = template.render(
        {"url": "https://www.linkedin.com/in/ada", "text": "x" * 2000, "n": "0"}
    )
    shown = [str(problem) for problem in found]

    assert ["url", "text", "n"] == template.columns
    assert shown[0].startswith("column 'text': root[1].then[0]: st.sendMessage: text")
    assert "root[1].then[1]: " in shown[1]
    assert any(
        t.startswith("column 'n': root[2].then[0]: st.retrievePersonPosts: limit")
        for t in shown
    )
    assert "columns 'a', 'b': x" == str(Problem("x", "", ("a", "b")))


def test_problems_of_a_generation() -> None:
    """A row has to fit the generation that is spoken."""
    search = {"actionType": "st.searchPeople", "customSearchUrl": "{{url}}"}
    found = Template(search).render({"url": "u"}, "account_api")

    assert isinstance(found, list)
    assert "root: st.searchPeople: customSearchUrl does not exist in" in str(found[0])
    assert not isinstance(Template(search).render({"url": "u"}, "linked_api"), list)


def test_invalid_templates() -> None:
    """Half a placeholder, or one for a type, is wrong before any row is looked at."""
    wrong = {
        "actionType": "{{type}}",
        "text": "{{name",
        "label": "a}}",
        "then": "{{x}}",
    }
    shown = [str(problem) for problem in Template(wrong).problems]

    assert "root: actionType must not have a placeholder" == shown[0]
    assert shown[1].startswith("root: text: '{{name' has '{{', which is no placeholder")
    assert 3 == len(shown)
    assert () == Template(7).problems


# The pace


def test_pace() -> None:
    """Rate and time left are unknown until enough has ended, and then honest."""
    pace = BatchProgress(total=1000, done=90, in_flight=3)
    first = pace.summary(0)
    pace.started(100)
    pace.started(300)
    for number in range(1, 5):
        pace.ended(100 + 10 * number)
    before = pace.eta(140)
    pace.ended(150)
    pace.done = 95

    assert (
        "90 of 1000 done, 3 in flight, 1 account, rate unknown, time left unknown"
        == first
    )
    assert before is None
    assert 6 == pace.rate(150)
    assert 3 == pace.rate(200)
    assert (1000 - 95) * 10 == pace.eta(150)
    pace.accounts, pace.failed = 2, 1
    assert (
        "95 of 1000 done, 1 failed, 3 in flight, 2 accounts, 6 a minute, time left about 3 h"
        == pace.summary(150)
    )
    pace.accounts = 0
    assert pace.eta(150) is None
    pace.done, pace.failed, pace.unknown = 997, 2, 1
    assert "997 of 1000 done, 2 failed, 1 unknown" == pace.summary(150)


def test_learnt_durations_give_the_time_left() -> None:
    """What was learnt goes before the rate, and is computed now and then."""
    passed: list[int] = []

    def learnt(unstarted: int) -> Estimate:
        """Return a time left that follows from the rows that are not started."""
        passed.append(unstarted)
        return Estimate(unstarted * 60, unstarted * 30, unstarted * 120)

    progress = BatchProgress(total=30, done=8, in_flight=2, learnt=learnt)

    left = "time left about 20 min (10 min to 40 min)"
    assert progress.summary(0).endswith(left)

    progress.done = 18
    assert progress.summary(ESTIMATE_INTERVAL - 1).endswith(left)

    left = "time left about 10 min (5 min to 20 min)"
    assert progress.summary(ESTIMATE_INTERVAL).endswith(left)
    assert [20, 10] == passed

    progress.accounts = 0
    assert progress.summary(ESTIMATE_INTERVAL).endswith("time left unknown")


def test_pace_forgets_what_was_long_ago() -> None:
    """Only the last ends count, and a standstill shows."""
    pace = BatchProgress(total=10_000)
    pace.started(0)
    for number in range(WINDOW * 2):
        pace.ended(number if number < WINDOW else number * 2)

    now = 2.0 * (WINDOW * 2 - 1)
    assert 30 == pytest.approx(pace.rate(now), rel=0.01)
    assert math.isclose(15, pace.rate(now + (WINDOW - 1) * 2) or 0, rel_tol=0.01)


def test_durations() -> None:
    """A duration is shown in the largest unit that fits."""
    times = [0, 119, 120, 7199, 7200, 172_799, 172_800]

    assert ["0 s", "119 s", "2 min", "120 min", "2 h", "48 h", "2 days"] == [
        *map(duration, times)
    ]


def test_lines_come_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal there is a line now and then, and one at the end."""

    class Loop(asyncio.SelectorEventLoop):
        """A loop with a settable clock."""

        now = 0.0

        def time(self) -> float:
            """Return what the test says."""
            return self.now

    async def show() -> None:
        """Let rows end at some times."""
        loop = asyncio.get_running_loop()
        pace = BatchProgress(total=9)
        with progress_display(pace, Console()) as changed:
            for now in (1.0, 9.9, 10.0, 19.0, 20.1):
                loop.now = now  # type: ignore[attr-defined]
                pace.done += 1
                changed()

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(show())
    said = capsys.readouterr().err.splitlines()

    assert ["3 of 9", "5 of 9", "5 of 9"] == [
        line.partition(" done")[0] for line in said
    ]


# Batches


def test_batch(shell: Shell, box: Sandbox) -> None:
    """Each row comes into the results once, and a second run does nothing."""
    first = shell(*BATCH, "--yes")
    requests = box.requests
    second = shell(*BATCH, "--yes")
    found = lines(shell)

    assert (0, "", 0, "") == (first.status, first.out, second.status, second.out)
    assert "4 of 4 done\n" in first.err
    assert requests == box.requests
    assert [1, 1, 1, 1] == taken(box, shell)
    assert [2, 3, 4, 5] == sorted(line["line"] for line in found)
    assert {"completed"} == {line["status"] for line in found}
    assert {"N0", "N1", "N2", "N3"} == {line["input"]["name"] for line in found}
    assert all(line["completion"]["success"] for line in found)
    assert {w.id for w in box.workflows[-4:]} == {line["workflowId"] for line in found}


def test_rows_may_come_go_and_move(shell: Shell, box: Sandbox) -> None:
    """A changed input starts what is new, and nothing that was started."""
    shell(*VISITS)
    header, *rows = shell.read("people.csv").splitlines()
    new = people(2).splitlines()[1:]
    shell.write("people.csv", "\n".join([header, new[0], *rows[:0:-1], new[1]]))
    done = shell(*VISITS)

    assert 0 == done.status
    assert [1] * 5 == taken(box, shell)
    assert 6 == len({line["key"] for line in lines(shell)}) == len(lines(shell))


def test_dry_run(shell: Shell, box: Sandbox) -> None:
    """What would be sent is printed, with its sum, and nothing is sent."""
    requests = box.requests
    done = shell(*BATCH, "--dry-run")
    found = [json.loads(line) for line in done.out.splitlines()]

    assert 0 == done.status
    assert ["Hello N0!", "Hello N1!", "Hello N2!", "Hello N3!"] == [
        line["workflow"]["text"] for line in found
    ]
    assert "limit stMessages: at most 4, 50 a day for each account: 1 day" in done.err
    assert "a run would send 4 workflows to http://127.0.0.1" in done.err
    assert requests == box.requests
    assert not (shell.folder / "r.jsonl").exists()


def test_all_problems_before_anything_is_sent(shell: Shell, box: Sandbox) -> None:
    """One wrong row is enough that nothing is sent; all of them are listed."""
    requests = box.requests
    shell.write("people.csv", f"url,name\n{A},\n,N\n{B},{'x' * 2000}\n{C},N\n{C},N\n")
    done = shell(*BATCH, "--yes")

    assert (3, "") == (done.status, done.out)
    assert "error: 4 problems; nothing was sent\n" in done.err
    assert "people.csv:2: column 'name': root: text: the cell is empty" in done.err
    assert "people.csv:3: column 'url': root: st.sendMessage: personUrl" in done.err
    assert "people.csv:4: column 'name': root: st.sendMessage: text" in done.err
    assert "people.csv:6: the same target as line 5: st.sendMessage to " in done.err
    assert requests == box.requests


def test_many_problems_are_cut(shell: Shell) -> None:
    """Only the first of many problems are shown."""
    shell.write("people.csv", "url,name\n" + "u,\n" * 60)
    done = shell(*BATCH, "--yes")

    assert "60 problems" in done.err
    assert "and 10 more" in done.err


def test_columns_that_are_not_there(shell: Shell) -> None:
    """A placeholder without a column is reported with the nearest one, or all."""
    shell.write("people.csv", "urls,x\nu,1\n")
    done = shell(*BATCH, "--yes")
    shell.write("half.json", json.dumps({**VISIT, "label": "{{"}))

    assert 3 == done.status
    assert (
        "column 'url': root: personUrl: no such column; did you mean 'urls'?"
        in done.err
    )
    assert "column 'name': root: text: no such column; columns: urls, x" in done.err
    assert "the template: root: label" in shell("batch", "half.json", *BATCH[2:]).err


def test_keys(shell: Shell, box: Sandbox) -> None:
    """With a key of its own, a row may be like another; a key is there, and once."""
    both = ("--key", "name")
    shell.write(
        "people.csv",
        "url,name\nhttps://www.linkedin.com/in/k,a\nhttps://www.linkedin.com/in/k,b\n",
    )
    assert 3 == shell(*VISITS).status
    assert 0 == shell(*VISITS, *both).status
    assert {"a", "b"} == {line["key"] for line in lines(shell)}
    shell.write("people.csv", f"url,name\n{A},a\n{B},\n{C},a\n")
    done = shell(*VISITS, *both)
    assert "people.csv:3: column 'name': the key is empty" in done.err
    assert "people.csv:4: the same key 'a' as line 2; remove" in done.err
    wrong = shell(*VISITS, "--key", "names").err
    assert 1 == wrong.count("no such column")
    assert "column 'names': --key: no such column; did you mean 'name'?" in wrong
    shell.write("people.csv", f"url,name\n{C},a\n")
    other = shell(*VISITS, *both)
    assert 3 == other.status
    assert "line 2: 'a' was started with another workflow" in other.err


def test_templates_may_be_modules(shell: Shell, box: Sandbox) -> None:
    """A built workflow is a template too: its texts hold placeholders."""
    code = "from linkedapi_async import st\nvisit = st.open_person_page('{{url}}')\n"
    shell.write("templates_of_test.py", code)
    done = shell("batch", "templates_of_test:visit", *VISITS[2:])

    assert 0 == done.status
    assert [1, 1, 1, 1] == taken(box, shell)


def test_array_templates(shell: Shell, box: Sandbox) -> None:
    """A list of one is sent as such, and known again."""
    shell.write("visit.json", json.dumps([VISIT]))

    assert [0, 0] == [shell(*VISITS).status for _ in range(2)]
    assert 4 == len(lines(shell))
    assert isinstance(box.workflows[-1].definition, list)


def test_delimiters(shell: Shell) -> None:
    """Cells may be parted by another character."""
    shell.write("people.csv", shell.read("people.csv").replace(",", "\t"))

    assert 0 == shell(*VISITS, "--delimiter", "\\t").status
    assert 2 == shell(*VISITS, "--delimiter", "ab").status


def test_writing_needs_a_yes(shell: Shell, box: Sandbox) -> None:
    """A batch that writes asks once for all rows."""
    before = len(box.workflows)

    assert 14 == shell(*BATCH).status
    with Terminal() as terminal:
        terminal.press("n\n")
        assert 0 == shell.at(terminal, *BATCH)
        terminal.expect("nothing was sent")
        terminal.expect("for 4 rows")
        terminal.expect("4 × st.sendMessage")
    assert before == len(box.workflows)


def test_failures_are_results(shell: Shell, box: Sandbox) -> None:
    """What failed has a line like all others; the status says that something did."""
    box.fail_action("st.openPersonPage", "personNotFound")
    first = shell(*VISITS)
    box.clear_faults()
    shell.write("people.csv", people(2))
    box.fail_next("workflowTimeout")
    second = shell(*VISITS)
    found = lines(shell)

    assert (9, 9) == (first.status, second.status)
    assert "line 2: st.openPersonPage: personNotFound" in first.err
    assert [{"actionType": "st.openPersonPage", "type": "personNotFound"}] * 4 == [
        {name: line["errors"][0][name] for name in ("actionType", "type")}
        for line in found[:4]
    ]
    (failed,) = (line for line in found[4:] if line["status"] == "failed")
    assert "workflowTimeout" == failed["failure"]["reason"]
    assert 6 == len(found)


def test_rows_that_the_api_refuses(shell: Shell, box: Sandbox) -> None:
    """A refused row has no result, and is started by the next run."""
    box.inject_fault("status", on="start", status=400, type="plusPlanRequired")
    first = shell(*VISITS, "--limit", "1")
    second = shell(*VISITS)

    assert 6 == first.status
    assert "line 2: not started: " in first.err
    assert "3 of 4 done; continue with: linkedapi batch visit.json" in first.err
    assert 0 == second.status
    assert 4 == len(lines(shell))


def test_another_account_takes_over(shell: Shell, box: Sandbox) -> None:
    """Rows of an account that cannot work go to the others; without any they wait."""
    shell.write("two.json", '{"a": "token-a-1", "b": "token-b-1"}')
    options = ("--accounts", "two.json", "--limit", "1")
    box.sign_out("token-a-1")
    first = shell(*VISITS, *options)
    box.sign_out("token-b-1")
    shell.write("people.csv", people(2))
    second = shell(*VISITS, *options[:2])
    box.clear_faults()
    third = shell(*VISITS, *options)

    assert 0 == first.status
    assert "account a: no more starts: " in first.err
    assert {"b"} == {line["account"] for line in lines(shell)[:4]}
    assert 75 == second.status
    assert " deferred: " in second.err
    assert "0 of 2 done; continue with: linkedapi batch" in second.err
    assert 0 == third.status
    assert {"a", "b"} == {line["account"] for line in lines(shell)[4:]}


def test_unknown_starts(shell: Shell, box: Sandbox) -> None:
    """A start without an answer is not repeated: it waits for a decision."""
    box.inject_fault("reset_after", on="start")
    first = shell(*BATCH, "--yes", "--limit", "1")
    second = shell(*BATCH, "--yes")
    (key,) = {row.key for row in SqliteJournal.read("r.jsonl.journal", "unknown")}
    unknown = box.workflows[-4]
    decided = shell(
        "recover", "r.jsonl.journal", "--mark-started", key, unknown.id, "-q"
    )
    third = shell(*BATCH, "--yes")

    assert (8, 8, 0, 0) == (first.status, second.status, decided.status, third.status)
    assert "line 2: it is unknown whether" in first.err
    assert (
        "1 may have been started; to decide on them, run: linkedapi recover r"
        in second.err
    )
    assert [1, 1, 1, 1] == taken(box, shell)
    assert 4 == len(lines(shell))


def test_one_completion_that_cannot_be_stored(shell: Shell, box: Sandbox) -> None:
    """It is polled again, and stops neither the other rows nor the batch."""

    def change(answer: Any) -> bytes:
        """Nest the completion too deeply."""
        text = json.dumps(answer).encode()
        nest = b'"completion": ' + b"[" * 1000 + b"]" * 1000 + b', "x": '
        return text.replace(b'"completion": ', nest)

    fault = box.inject_fault("mangle", on="status", change=change, count=3)
    done = shell(*VISITS)

    assert 3 == len(fault.hits)
    assert (0, "4 of 4 done") == (done.status, done.err.splitlines()[-1])
    assert 4 == len(lines(shell))


class NeverListedError(Exception):
    """An error that no rule of the library knows."""


@pytest.mark.parametrize("moment", ["polled", "between"])
def test_a_dead_engine_ends_the_batch(
    shell: Shell, box: Sandbox, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Nothing more is started, nothing is lost, and the next run goes on."""
    method = {"polled": "answered", "between": "take"}[moment]

    def crash(*_: object) -> None:
        """Fail as the engine never should."""
        raise NeverListedError

    with monkeypatch.context() as patch:
        patch.setattr(PollScheduler, method, crash)
        first = shell(*VISITS, "--limit", "1")
    once = taken(box, shell)
    second = shell(*VISITS)

    assert 1 == first.status
    assert "no more starts: the polling engine crashed" in first.err
    assert "0 of 4 done; continue with: linkedapi batch visit.json" in first.err
    assert sum(once) <= 1
    assert (0, "4 of 4 done") == (second.status, second.err.splitlines()[-1])
    assert [1, 1, 1, 1] == taken(box, shell)


@pytest.mark.parametrize("words", [(), ("--journal", "runs")])
def test_a_dead_engine_ends_a_run(
    shell: Shell,
    box: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
) -> None:
    """The command says what happened and names the workflow, which goes on."""

    def crash(*_: object) -> None:
        """Fail as the engine never should."""
        raise NeverListedError

    shell.write("one.json", json.dumps({**VISIT, "personUrl": A}))
    with monkeypatch.context() as patch:
        patch.setattr(PollScheduler, "answered", crash)
        first = shell("run", "one.json", *words)
    workflow_id = box.workflows[-1].id
    again = ("recover", "runs") if words else ("wait", workflow_id)
    second = shell(*again)

    assert 1 == first.status
    assert f"the polling engine crashed [workflow {workflow_id}]" in first.err
    assert "Traceback" not in first.err
    assert 0 == second.status
    assert workflow_id in second.out


def test_lost_results_are_written_again(shell: Shell, box: Sandbox) -> None:
    """Results that were deleted, or torn, come back from the journal."""
    shell(*VISITS)
    whole = sorted(shell.read("r.jsonl").splitlines())
    (shell.folder / "r.jsonl").unlink()
    again = shell(*VISITS)
    first = sorted(shell.read("r.jsonl").splitlines())
    shell.write("r.jsonl", shell.read("r.jsonl")[:-9])
    shell(*VISITS)

    assert 0 == again.status
    assert whole == first == sorted(shell.read("r.jsonl").splitlines())
    assert [1, 1, 1, 1] == taken(box, shell)


def test_lost_journal_starts_nothing_again(shell: Shell, box: Sandbox) -> None:
    """What is in the results is done, also where the journal is gone."""
    shell(*VISITS)
    (shell.folder / "r.jsonl.journal").unlink()

    assert 0 == shell(*VISITS).status
    assert [1, 1, 1, 1] == taken(box, shell)


def test_results_of_something_else(shell: Shell) -> None:
    """A file that is no results of a batch is left alone."""
    shell.write("r.jsonl", '{"a": 1}\n')
    done = shell(*VISITS)

    assert 2 == done.status
    assert "r.jsonl:1: not a result of a batch; pass another --out" in done.err
    assert 2 == shell(*VISITS[:-1], "absent/r.jsonl").status


def journal_of(shell: Shell, *steps: Callable[[SqliteJournal], Any]) -> None:
    """Take steps in the journal of a batch, as an earlier run would."""

    async def take() -> None:
        """Take them in order."""
        async with SqliteJournal(shell.folder / "r.jsonl.journal") as journal:
            for step in steps:
                await step(journal)

    asyncio.run(take())


def test_what_a_crash_leaves(shell: Shell, box: Sandbox) -> None:
    """Every state that a crash can leave a row in is taken up where it is."""
    shell(*VISITS)
    rows = {r.key: r for r in SqliteJournal.read("r.jsonl.journal")}
    by_line = {line["line"]: line for line in lines(shell)}
    keys = [by_line[n]["key"] for n in (2, 3, 4, 5)]
    (shell.folder / "r.jsonl.journal").unlink()
    shell.write("r.jsonl", json.dumps(by_line[3]) + "\n")

    def begun(key: str) -> list[Callable[[SqliteJournal], Any]]:
        row = rows[key]
        return [
            lambda j: j.intend(key, row.account, row.definition, stream=True),
            lambda j: j.accepted(key, str(row.workflow_id)),
        ]

    def finished(key: str) -> list[Callable[[SqliteJournal], Any]]:
        return [*begun(key), lambda j: j.finished(key, rows[key].result, "completed")]

    journal_of(
        shell,
        *begun(keys[0]),
        *finished(keys[1]),
        *finished(keys[2]),
        *begun(keys[3]),
        lambda j: j.finished(keys[3], None, "cancelled"),
        lambda j: j.delivered(keys[3]),
    )
    done = shell(*VISITS)
    found = {line["line"]: line["status"] for line in lines(shell)}

    assert 9 == done.status
    assert {2: "completed", 3: "completed", 4: "completed", 5: "cancelled"} == found
    assert 4 == len(lines(shell))
    assert {"delivered"} == {r.state for r in SqliteJournal.read("r.jsonl.journal")}
    assert [1, 1, 1, 1] == taken(box, shell)


def test_ends_of_other_kinds(shell: Shell, box: Sandbox) -> None:
    """What was cancelled or is not known any more is a result too."""
    shell(*VISITS, "--limit", "4")
    row = SqliteJournal.read("r.jsonl.journal")[0]
    (shell.folder / "r.jsonl.journal").unlink()
    shell.write("r.jsonl", "")
    items = {
        line["key"]: line
        for line in map(json.loads, shell(*VISITS, "--dry-run").out.splitlines())
    }
    first, second, *_ = items

    def begun(key: str, ending: str) -> list[Callable[[SqliteJournal], Any]]:
        definition = json.dumps(items[key]["workflow"]).encode()
        return [
            lambda j: j.intend(key, row.account, definition, stream=True),
            lambda j: j.accepted(key, f"wf-{ending}"),
            lambda j: j.finished(key, None, ending),
        ]

    journal_of(shell, *begun(first, "cancelled"), *begun(second, "lost"))
    done = shell(*VISITS)
    found = {line["line"]: line["status"] for line in lines(shell)}

    assert 9 == done.status
    assert ("cancelled", "lost") == (found[2], found[3])
    assert "line 2: cancelled\n" in done.err


def test_accounts_that_are_gone(shell: Shell, box: Sandbox) -> None:
    """A row that runs on an account that is not here stops the batch before it starts."""
    box.inject_fault(
        "status", on="start", status=400, type="plusPlanRequired", count=None
    )
    shell(*VISITS)
    box.clear_faults()
    (line, *_) = map(json.loads, shell(*VISITS, "--dry-run").out.splitlines())
    definition = json.dumps(line["workflow"]).encode()
    journal_of(
        shell,
        lambda j: j.intend(line["key"], "gone", definition, stream=True),
        lambda j: j.accepted(line["key"], "wf-1"),
    )
    done = shell(*VISITS)

    assert 3 == done.status
    assert (
        "line 2: started on the account 'gone', which is not loaded; load it with "
        "--accounts, without an --account of another name" in done.err
    )
    assert [0, 0, 0, 0] == taken(box, shell)


def test_revoked_tokens(
    shell: Shell, box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token that is refused stops its account; what runs there is not for others."""
    # A minute, otherwise.
    monkeypatch.setattr(lane, "REPEATS_SPAN", 0.1)
    shell.write("two.json", '{"c": "token-c-1", "d": "token-d-1"}')
    options = ("--accounts", "two.json", "--limit", "1")
    refused: dict[str, Any] = {"status": 401, "type": "invalidIdentificationToken"}
    box.inject_fault("status", on="status", account="token-c-1", count=None, **refused)
    first = shell(*VISITS, *options)
    box.clear_faults()
    second = shell(*VISITS, *options)

    assert (4, 0) == (first.status, second.status)
    assert "account c: 1 deferred: " in first.err
    assert "account d" not in first.err
    assert [1, 1, 1, 1] == taken(box, shell)
    assert 4 == len(lines(shell))


def test_full_disk(shell: Shell, box: Sandbox) -> None:
    """Results that cannot be written are not acknowledged: the next run has them."""
    import resource

    shell.write("people.csv", people(30))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    shell.write(
        "r.jsonl",
        b"".join(
            [
                json.dumps(
                    {"key": "x", "status": "lost", "fill": "x" * 400_000}
                ).encode(),
                b"\n",
            ]
        ),
    )
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_900, hard))
        first = shell(*VISITS, "--limit", "2")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    seen = {row.key for row in SqliteJournal.read("r.jsonl.journal", "delivered")}
    kept = {line["key"] for line in lines(shell)}
    second = shell(*VISITS)

    assert first.status in {2, 13}
    assert "no more starts: " in first.err
    assert seen <= kept
    assert 0 == second.status
    assert 31 == len({line["key"] for line in lines(shell)}) == len(lines(shell))
    assert [1] * 30 == taken(box, shell)


def test_journal_that_fails(shell: Shell, box: Sandbox) -> None:
    """Without a journal nothing is sent; the next run goes on."""
    shell(*VISITS)
    shell.write("people.csv", people(5))
    refuse = (
        "CREATE TRIGGER refuse BEFORE INSERT ON workflows "
        "BEGIN SELECT RAISE(ABORT, 'full'); END"
    )
    for statement, status in ((refuse, 13), ("DROP TRIGGER refuse", 0)):
        with contextlib.closing(sqlite3.connect("r.jsonl.journal")) as connection:
            connection.execute(statement)
        counted = taken(box, shell)
        done = shell(*VISITS)

        assert [0] * 5 == counted
        assert status == done.status
        assert ("no more starts: " in done.err) == (status == 13)
    assert [1] * 5 == taken(box, shell)


def test_signal_drains(shell: Shell) -> None:
    """A signal starts nothing more; what is in flight comes into the results."""
    # The first workflow holds the others of its account until the signal has come.
    durations = iter([4.0])
    with sandbox_in_a_thread(duration=lambda _: next(durations, 0.06)) as box:
        shell.set(LINKED_API_BASE_URL=box.url)
        shell.write("people.csv", people(20))

        def send() -> None:
            while len(box.workflows) < 3:
                threading.Event().wait(0.01)
            os.kill(os.getpid(), signal.SIGTERM)

        sender = threading.Thread(target=send)
        sender.start()
        first = shell(*VISITS, "--limit", "3")
        sender.join()
        started = len(box.workflows)
        second = shell(*VISITS, "--limit", "20", "-q")
        counted = taken(box, shell)

    assert 143 == first.status
    assert 3 <= started < 10
    assert (
        "no more starts; waiting for 3 in flight; press Ctrl-C again to exit"
        in first.err
    )
    done = (
        f"error: {started} of 20 done; continue with: linkedapi batch visit.json --from"
    )
    assert done in first.err
    assert (0, "") == (second.status, second.err)
    assert [1] * 20 == counted
    assert 20 == len({line["key"] for line in lines(shell)}) == len(lines(shell))


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_progress_at_a_terminal(shell: Shell, box: Sandbox, term: str) -> None:
    """A terminal shows a bar with the pace, unless it cannot."""
    shell.set(TERM=term)
    with Terminal(columns=120) as terminal:
        assert 0 == shell.at(terminal, *VISITS)
        terminal.expect("4 of 4 done")
        assert ("━" in terminal.text) == (term == "xterm")
