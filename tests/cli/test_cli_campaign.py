"""Batches over several runs: texts, skipped rows, retries, and the exit status."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import hashlib
import json
import os
import signal
import sqlite3
import threading
import time
from typing import Any

import attrs
import pytest
from cli_harness import TOKENS, Shell, sandbox_in_a_thread
from hypothesis import given
from hypothesis import strategies as some

from linkedapi_async import st
from linkedapi_async._actions.texts import left_over, missing_value
from linkedapi_async.journal import SqliteJournal
from linkedapi_async.policies import Polling
from linkedapi_async.sandbox import Sandbox
from linkedapi_async.session._account import default_name


HELLO: dict[str, Any] = {
    "actionType": "st.sendMessage",
    "personUrl": "{{url}}",
    "text": "Hello {{name}}!",
}
BATCH = ("batch", "hello.json", "--from", "people.csv", "--out", "r.jsonl", "--yes")


@pytest.fixture
def shell(shell: Shell) -> Shell:
    """A folder with a template and some people, and tokens of the sandbox."""
    shell.write("hello.json", json.dumps(HELLO))
    shell.write("people.csv", people("Ada", "Bob", "Eve"))
    return shell


count = iter(range(100_000))


def people(*names: str) -> str:
    """Return a CSV of new people with these names."""
    rows = [f"https://www.linkedin.com/in/c{next(count)},{name}" for name in names]
    return "\n".join(["url,name", *rows, ""])


def lines(shell: Shell) -> list[dict[str, Any]]:
    """Return the results of a batch."""
    return [json.loads(line) for line in shell.read("r.jsonl").splitlines()]


# Texts


@pytest.mark.parametrize(
    ("cell", "problem"),
    [
        ("nan", "the cell is 'nan', a missing value"),
        ("#n/a", "the cell is '#n/a', a missing value"),
        ("undefined", "the cell is 'undefined', a missing value"),
        ("null", "the cell is 'null', a missing value"),
        ("{{First Name}}", "the cell has the left-over placeholder '{{First Name}}'"),
        ("{name}", "the cell has the left-over placeholder '{name}'"),
        ("", "the cell is empty; write {{name?}} if it may be empty"),
    ],
)
def test_broken_cells_are_refused(
    shell: Shell, box: Sandbox, cell: str, problem: str
) -> None:
    """A text with a hole, a missing value or a placeholder is never sent."""
    before = box.requests
    shell.write("people.csv", people("Ada", cell))
    done = shell(*BATCH)

    assert 3 == done.status
    assert f"people.csv:3: column 'name': root: text: {problem}" in done.err
    assert before == box.requests


def test_empty_cells_leave_no_gap(shell: Shell) -> None:
    """A cell that may be empty must not leave "Hello !" behind."""
    gap = {**HELLO, "text": "Hello {{name?}}!"}
    fine = {**HELLO, "text": "Hello!{{name?}} {{name?}}"}
    shell.write("people.csv", people(""))
    shell.write("hello.json", json.dumps(gap))
    refused = shell(*BATCH)
    shell.write("hello.json", json.dumps(fine))

    assert 3 == refused.status
    assert "column 'name': root: text: an empty cell leaves a gap: 'Hello !'" in (
        refused.err.replace("columns", "column")
    )
    assert 0 == shell(*BATCH).status


def test_run_warns_of_missing_values(shell: Shell) -> None:
    """A text that looks unfinished is sent with a warning; a flag says it is meant."""
    definition = {**HELLO, "personUrl": "https://www.linkedin.com/in/z"}
    shell.write("hello.json", json.dumps({**definition, "text": "Hello nan!"}))
    doubtful = shell("run", "hello.json", "--yes")
    meant = shell("run", "hello.json", "--yes", "--allow-braces")

    assert (0, 0) == (doubtful.status, meant.status)
    assert "warning: root: text has 'nan', which programs write" in doubtful.err
    assert "warning" not in meant.err


def test_names_that_look_like_missing_values(shell: Shell) -> None:
    """People are called Nan and Null: only what programs write is refused."""
    shell.write("people.csv", people("Nan", "Null", "Nil"))

    assert 0 == shell(*BATCH).status


@pytest.mark.parametrize("command", [("check",), ("run", "--dry-run"), ("run",)])
def test_templates_are_not_sent(
    shell: Shell, box: Sandbox, command: tuple[str, ...]
) -> None:
    """A template given to `run` or `check` is refused with its placeholder."""
    before = box.requests
    shell.write(
        "hello.json",
        json.dumps({**HELLO, "personUrl": "https://www.linkedin.com/in/ada"}),
    )
    done = shell(*command, "hello.json")

    assert 3 == done.status
    assert "root: text has the left-over placeholder '{{name}}'" in done.out + done.err
    assert before == box.requests
    assert 0 == shell("run", "hello.json", "--yes", "--allow-braces").status
    assert 0 == shell("check", "hello.json", "--allow-braces").status


def test_braces_that_are_meant(shell: Shell) -> None:
    """With --allow-braces texts and cells may have them."""
    shell.write("hello.json", json.dumps({**HELLO, "text": "{x} {{name}} {%"}))
    shell.write("people.csv", people("{{Ada}}"))

    assert 3 == shell(*BATCH).status
    assert 0 == shell(*BATCH, "--allow-braces").status


@given(some.text())
def test_plain_texts_pass(text: str) -> None:
    """A text without braces and hashes has nothing left over."""
    plain = text.translate(dict.fromkeys(map(ord, "{}%")))

    assert left_over(plain) is None
    assert not missing_value(f"{plain} and more")


# Rows


def test_skipped_rows_are_listed(shell: Shell) -> None:
    """With a report, bad rows are skipped and listed with line and problem."""
    same = "https://www.linkedin.com/in/twice,Ada"
    other = same.replace("twice", "once")
    rows = [same, "u,nan", "=evil,{{x}}", "a,b,c", same, other]
    shell.write("people.csv", "\n".join(["url,name", *rows]))
    refused = shell(*BATCH)
    done = shell(*BATCH, "--skip-invalid", "report.csv")
    report = shell.read("report.csv").splitlines()

    assert 3 == refused.status
    assert 0 == done.status
    assert "skipped 4 rows, listed in report.csv\n" in done.err
    assert {2, 7} == {line["line"] for line in lines(shell)}
    assert "line,problem,url,name" == report[0]
    assert ["3,", "4,", "5,", "6,"] == [line[:2] for line in report[1:]]
    assert "'=evil" in report[2]
    assert "the same target as line 2: st.sendMessage to https" in report[4]


def test_the_question_shows_the_first_rows(shell: Shell) -> None:
    """Before it asks, it shows to whom the first rows write, and with which words."""
    react = {"actionType": "st.reactToPost", "type": "like"}
    opened = {"actionType": "st.openPost", "then": react}
    each = {"actionType": "st.doForPosts", "then": opened}
    posts = {"actionType": "st.retrievePersonPosts", "then": each}
    page = {
        "actionType": "st.openPersonPage",
        "personUrl": "{{url}}",
        "then": [posts, {"actionType": "st.sendConnectionRequest", "note": "{{name}}"}],
    }
    shell.write("page.json", json.dumps(page))
    shell.write("people.csv", people("Ada", "Bob " * 70, "Eve\x1b", "Dan", "Fay"))
    messages = shell(*BATCH[:-1])
    reactions = shell("batch", "page.json", *BATCH[2:-1])
    url = shell.read("people.csv").splitlines()[1].partition(",")[0]

    assert messages.status == reactions.status == 14
    assert [
        f"line 2: st.sendMessage to {url}",
        "  text: Hello Ada!",
    ] == messages.err.splitlines()[:2]
    assert "Bob " * 60 not in messages.err
    assert "Bob Bob …\n" in messages.err
    assert "Eve\\x1b" in messages.err
    assert "line 5" not in messages.err
    assert "… and 2 more rows\n" in messages.err
    shell.write("people.csv", people("Ada", "Bob"))
    assert "more rows" not in shell(*BATCH[:-1]).err
    assert "line 2: st.reactToPost to each found\n" in reactions.err
    assert f"line 2: st.sendConnectionRequest to {url}\n  note: Ada\n" in reactions.err


def test_report_without_skipped_rows(shell: Shell) -> None:
    """A report of a good list is empty, and nothing is said about it."""
    done = shell(*BATCH, "--skip-invalid", "report.csv")

    assert 0 == done.status
    assert "skipped" not in done.err
    assert "line,problem,url,name\n" == shell.read("report.csv")


def test_long_lists_of_problems(shell: Shell) -> None:
    """Problems beyond the first fifty are counted."""
    names = [f"N{number}" for number in range(52)]
    shell.write("people.csv", people(*names))
    words = (*BATCH, "--key", "name")
    assert 0 == shell(*words).status
    shell.write("people.csv", people(*names))
    changed = shell(*words)
    shell.write("people.csv", people(*["nan"] * 53))
    broken = shell(*BATCH)

    assert (3, 3) == (changed.status, broken.status)
    assert "error: 52 problems; nothing was sent\n" in changed.err
    assert changed.err.endswith("  and 2 more\n")
    assert broken.err.endswith("  and 3 more\n")


def test_nothing_is_left_to_send(shell: Shell) -> None:
    """A list without one row that can be sent is an error, also with a report."""
    shell.write("people.csv", people("nan"))
    done = shell(*BATCH, "--skip-invalid", "report.csv")

    assert 3 == done.status
    assert "error: people.csv: no row can be sent\n" in done.err


def test_rows_from_standard_input(shell: Shell) -> None:
    """Rows come from standard input too, and a template cannot at the same time."""
    words = ("batch", "hello.json", "--from", "-", "--out", "r.jsonl", "--yes")
    done = shell(*words, typed=shell.read("people.csv").encode())
    both = shell("batch", "-", *words[2:], typed=b"{}")

    assert 0 == done.status
    assert 3 == len(lines(shell))
    assert 2 == both.status
    assert "TEMPLATE and --from cannot both be standard input" in both.err


def test_windows_text_is_named(shell: Shell) -> None:
    """A file that is no UTF-8 is read as Windows-1252, and the command says so."""
    shell.write("people.csv", people("Zoë").encode("cp1252"))
    done = shell(*BATCH)

    assert 0 == done.status
    assert "people.csv is not UTF-8 and was read as Windows-1252" in done.err
    assert "Zoë" == lines(shell)[0]["input"]["name"]


def earlier_batch(shell: Shell, key: str, definition: Any, *, journal: bool) -> None:
    """Leave what a version that kept margins left of one row."""
    completion = {"actionType": "st.sendMessage", "success": True}
    line = {"key": key, "line": 2, "status": "completed", "completion": completion}
    shell.write("r.jsonl", json.dumps({**line, "input": {}}) + "\n")

    async def record() -> None:
        """Record the row, as delivered."""
        async with SqliteJournal(shell.folder / "r.jsonl.journal") as opened:
            account = default_name(TOKENS["IDENTIFICATION_TOKEN"])
            body = json.dumps(definition).encode()
            await opened.intend(key, account, body, stream=True)
            await opened.accepted(key, "wf-1")
            await opened.finished(key, json.dumps(completion).encode(), "completed")
            await opened.delivered(key)

    if journal:
        asyncio.run(record())


@pytest.mark.parametrize("journal", [True, False])
@pytest.mark.parametrize("column", [None, "name"])
def test_margins_keep_the_key(
    shell: Shell, box: Sandbox, column: str | None, *, journal: bool
) -> None:
    """A row that an earlier version sent with its margins is not sent again."""
    url = f"https://www.linkedin.com/in/c{next(count)}"
    shell.write("people.csv", f"url,name\n{url}, Ada\n")
    definition = {**HELLO, "personUrl": url, "text": "Hello  Ada!"}
    text = json.dumps(definition, sort_keys=True).encode()
    key = " Ada" if column else hashlib.sha256(text).hexdigest()[:32]
    earlier_batch(shell, key, definition, journal=journal)
    before = len(box.workflows)
    options = ("--key", column) if column else ()
    done = shell(*BATCH, *options)

    assert 0 == done.status
    assert "1 of 1 done\n" in done.err
    assert before == len(box.workflows)
    # Started under the new key, a row stays there.
    shell.write("r.jsonl", "")
    (shell.folder / "r.jsonl.journal").unlink()
    assert [0, 0] == [shell(*BATCH, *options).status for _ in range(2)]
    (shell.folder / "r.jsonl").unlink()
    assert 0 == shell(*BATCH, *options).status
    assert before + 1 == len(box.workflows)


def test_margins_that_no_version_could_send(shell: Shell) -> None:
    """A cell of white space alone has no earlier key."""
    shell.write("people.csv", people(" Ada").replace(",", ",\xa0 "))
    shell.write("hello.json", json.dumps({**HELLO, "text": "Hi {{name}}"}))

    assert 0 == shell(*BATCH, "--key", "name").status
    hole = {**HELLO, "label": "{{extra}}", "text": "Hi"}
    shell.write("hello.json", json.dumps(hole))
    url = f"https://www.linkedin.com/in/c{next(count)}"
    shell.write("people.csv", f"url,extra\n{url},\u200b\n")
    assert 0 == shell(*BATCH[:4], "--out", "s.jsonl", "--yes").status
    page = {"actionType": "st.openPersonPage", "basicInfo": "{{extra}}"}
    shell.write("hello.json", json.dumps({**page, "personUrl": "{{url}}"}))
    assert 0 == shell(*BATCH[:4], "--out", "t.jsonl").status


def test_margins_of_targets_keep_the_key(shell: Shell, box: Sandbox) -> None:
    """A target that an earlier version sent with its margins is found by its digest."""
    url = f"https://www.linkedin.com/in/c{next(count)}"
    shell.write("people.csv", f"url,name\n {url},Ada\n")
    definition = {**HELLO, "personUrl": f" {url}", "text": "Hello Ada!"}
    text = json.dumps(definition, sort_keys=True).encode()
    key = hashlib.sha256(text).hexdigest()[:32]
    earlier_batch(shell, key, definition, journal=True)
    change_journal(shell, "definition = ''")
    before = len(box.workflows)

    assert 0 == shell(*BATCH).status
    assert before == len(box.workflows)
    assert [key] == [line["key"] for line in lines(shell)]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("not a url", "got 'not a url'"),
        ("https://example.com/x", "got 'https://example.com/x'"),
        ("ada@example.com", "got 'ada@example.com'"),
        ("https://www.linkedin.com/company/acme", "got a company: 'https://www"),
    ],
)
def test_targets_of_another_kind(shell: Shell, url: str, words: str) -> None:
    """A cell that certainly names no person is refused, unless it is meant."""
    shell.write("people.csv", f"url,name\n{url},Ada\n")
    done = shell(*BATCH)

    assert 3 == done.status
    assert (
        "people.csv:2: column 'url': root: st.sendMessage: personUrl must" in done.err
    )
    assert words in done.err
    sent = shell(*BATCH, "--allow-any-target")

    assert 9 == sent.status
    assert "st.sendMessage: personNotFound: personUrl must be" in sent.err


def test_targets_that_may_be_right(shell: Shell) -> None:
    """A URL that may name a person is sent, and other parameters are no targets."""
    hello = {**HELLO, "then": [], "label": "not a url"}
    shell.write("hello.json", json.dumps(hello))
    shell.write("people.csv", "url,name\nhttps://lnkd.in/abcd,Ada\n")
    done = shell(*BATCH)

    assert 0 == done.status
    assert 1 == done.err.count("person_url is a short link: 'https://lnkd.in/abcd'")


# The whole batch


def test_status_speaks_of_all_runs(shell: Shell, box: Sandbox) -> None:
    """A row that failed in an earlier run still fails the batch, until it is retried."""
    box.fail_action("st.sendMessage", "messagingNotAllowed")
    first = shell(*BATCH)
    box.clear_faults()
    shell.write("people.csv", shell.read("people.csv") + people("New").split("\n")[1])
    second = shell(*BATCH)
    third = shell(*BATCH, "--retry-failed")
    fourth = shell(*BATCH)
    found = lines(shell)

    assert (9, 9, 0, 0) == tuple(d.status for d in (first, second, third, fourth))
    assert "0 of 3 done, 3 failed\n" in first.err
    assert "1 of 4 done, 3 failed\n" in second.err
    assert "3 failed, see r.jsonl; retry them with: linkedapi batch" in second.err
    assert "--yes --retry-failed\n" in second.err
    assert "4 of 4 done\n" in third.err
    assert "4 of 4 done\n" in fourth.err
    assert 7 == len(found)
    assert [2, 2, 2] == [line["attempt"] for line in found[4:]]
    assert 4 == len({line["key"] for line in found})


def test_retry_goes_on_after_a_crash(shell: Shell, box: Sandbox) -> None:
    """A retry that an interrupted run started is waited for, and not started again."""
    box.fail_action("st.sendMessage", "messagingNotAllowed")
    shell(*BATCH)
    box.clear_faults()
    before = shell.read("r.jsonl")
    shell(*BATCH, "--retry-failed")
    started = len(box.workflows)
    # The results of the retry are lost; the journal has them.
    shell.write("r.jsonl", before)
    done = shell(*BATCH)

    assert 0 == done.status
    assert started == len(box.workflows)
    assert [2, 2, 2] == [line["attempt"] for line in lines(shell)[3:]]


def test_retry_fails_again(shell: Shell, box: Sandbox) -> None:
    """A row may fail again and again; each attempt is started once."""
    box.fail_action("st.sendMessage", "messagingNotAllowed")
    statuses = [shell(*BATCH, "--retry-failed").status for _ in range(3)]
    box.clear_faults()

    assert [9, 9, 9] == statuses
    assert [1, 2, 3] == sorted({line.get("attempt", 1) for line in lines(shell)})
    assert 9 == shell(*BATCH).status
    assert 0 == shell(*BATCH, "--retry-failed").status


def test_what_may_have_written_is_not_retried(shell: Shell, box: Sandbox) -> None:
    """A failed row is not retried if a part of it wrote, or if that is unknown."""
    visit = {"actionType": "st.openPersonPage", "personUrl": "{{url}}"}
    shell.write("hello.json", json.dumps([HELLO, visit]))
    box.fail_action("st.openPersonPage", "personNotFound")
    first = shell(*BATCH)
    box.clear_faults()
    second = shell(*BATCH, "--retry-failed")
    shell.write("hello.json", json.dumps(HELLO))
    shell.write("people.csv", people("Ada"))
    box.fail_next("languageNotSupported")
    third = shell(*BATCH)
    fourth = shell(*BATCH, "--retry-failed")

    assert (9, 9, 9, 9) == tuple(d.status for d in (first, second, third, fourth))
    assert "line 2: not retried, because a part may have been written\n" in second.err
    assert "line 2: not retried, because a part may have been written\n" in fourth.err
    assert 4 == len(lines(shell))


def test_unknown_starts_come_first(shell: Shell, box: Sandbox) -> None:
    """An unknown start counts before a failure, also in later runs."""
    box.inject_fault("reset_after", on="start")
    box.fail_action("st.sendMessage", "messagingNotAllowed")
    first = shell(*BATCH, "--limit", "1")
    box.clear_faults()
    second = shell(*BATCH)

    assert (8, 8) == (first.status, second.status)
    assert "0 of 3 done, 2 failed, 1 unknown\n" in first.err
    assert "1 may have been started; to decide on them, run: linkedapi" in second.err


def test_finished_run_after_a_signal(shell: Shell) -> None:
    """A run that ends in spite of a signal has the status of its rows."""
    with sandbox_in_a_thread(duration=0.2) as box:
        shell.set(LINKED_API_BASE_URL=box.url)

        def send() -> None:
            while len(box.workflows) < 3:
                threading.Event().wait(0.01)
            os.kill(os.getpid(), signal.SIGINT)

        sender = threading.Thread(target=send)
        sender.start()
        done = shell(*BATCH)
        sender.join()

    assert 0 == done.status
    assert "no more starts; waiting for " in done.err


def test_one_waiting_account_stops_no_other(
    shell: Shell, box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An account whose workflow passes the deadline rests; the others go on."""
    short = functools.partial(attrs.evolve, deadline=4)
    fixed = Polling.fixed
    monkeypatch.setattr(Polling, "fixed", lambda seconds: short(fixed(seconds)))

    def pending(answer: dict[str, Any]) -> dict[str, Any]:
        result = answer.get("result")
        if isinstance(result, dict) and "workflowStatus" in result:
            answer["result"] = {
                "workflowId": result["workflowId"],
                "workflowStatus": "pending",
                "pendingReason": "accountBusy",
            }
        return answer

    box.inject_fault(
        "mangle", on="status", count=None, account="token-night", change=pending
    )
    shell.write("two.json", '{"night": "token-night", "day": "token-day"}')
    shell.write("people.csv", people(*"abcdefgh"))
    begun = time.monotonic()
    done = shell(*BATCH, "--accounts", "two.json", "--limit", "2")
    took = time.monotonic() - begun

    assert 12 == done.status
    assert 1 == done.err.count("account night: no more starts: wf-")
    assert "has not ended within the deadline (accountBusy)\n" in done.err
    assert "account day" not in done.err
    assert {"day": 6} == {
        name: sum(line["account"] == name for line in lines(shell))
        for name in {line["account"] for line in lines(shell)}
    }
    # One deadline, not two.
    assert took < 60


# Rows that are held back


def test_limit_is_no_failure(shell: Shell, box: Sandbox) -> None:
    """Rows that meet a limit are deferred, and the same command does exactly the rest."""
    shell.write("people.csv", people(*"abcdefgh"))
    sent: list[object] = []

    def over(action: object) -> bool:
        sent.append(action)
        return len(sent) > 3

    limit = box.script(st.send_message, error="limitExceeded", when=over)
    first = shell(*BATCH, "--limit", "2")
    limit.stop()
    second = shell(*BATCH)
    third = shell(*BATCH)
    found = lines(shell)

    assert (75, 0, 0) == (first.status, second.status, third.status)
    assert "3 of 8 done" in first.err
    assert "deferred: st.sendMessage: limitExceeded" in first.err
    assert "continue with: linkedapi batch hello.json" in first.err
    assert "8 of 8 done" in second.err
    assert 8 == len(found) == len({line["key"] for line in found})
    assert not [line for line in found if line["errors"]]


def test_signal_ends_the_wait_for_a_limit(shell: Shell, box: Sandbox) -> None:
    """With --wait the command goes on until a signal; nothing is lost by that."""
    limit, before = (
        box.script(st.send_message, error="limitExceeded"),
        len(box.workflows),
    )
    shell.write("people.csv", people(*"ab"))

    def send() -> None:
        while not box.workflows[before:]:
            threading.Event().wait(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    sender = threading.Thread(target=send)
    sender.start()
    first = shell(*BATCH, "--wait")
    sender.join()
    limit.stop()
    second = shell(*BATCH, "--wait")

    assert (143, 0) == (first.status, second.status)
    assert "0 of 2 done; continue with: linkedapi batch" in first.err
    assert 2 == len(lines(shell))


# Files


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--journal", "r.jsonl"), "--out and --journal name one file: r.jsonl"),
        (("--journal", "./r.jsonl"), "--out and --journal name one file: r.jsonl"),
        (("--out", "people.csv"), "--from and --out name one file: people.csv"),
        (("--out", "hello.json"), "TEMPLATE and --out name one file: hello.json"),
        (("--skip-invalid", "r.jsonl"), "--out and --skip-invalid name one file"),
        (("--out", "."), "--out: . is a directory"),
        (("--out", "/dev/full"), "--out: /dev/full is not a regular file"),
        (("--out", "absent/r.jsonl"), "absent/r.jsonl: No such file or directory"),
        (("--journal", "absent/j"), "absent/j"),
        (("--skip-invalid", "absent/x.csv"), "absent/x.csv: No such file or directory"),
    ],
)
def test_files_in_the_wrong_place(
    shell: Shell, box: Sandbox, options: tuple[str, ...], words: str
) -> None:
    """A file that cannot be used is named before anything is sent."""
    before = len(box.workflows)
    done = shell(*BATCH, *options)

    assert done.status in {2, 13}
    assert words in done.err
    assert "Traceback" not in done.err
    assert before == len(box.workflows)
    assert shell.read("people.csv").startswith("url,name\n")


def test_files_without_permission(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the system is one line with the name of the file."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "r.jsonl")

    monkeypatch.setattr("linkedapi_async.cli._batch.JsonlWriter", refuse)
    done = shell(*BATCH)

    assert (2, "error: r.jsonl: Permission denied\n") == (done.status, done.err)


def test_journal_of_recover_keeps_the_rows(shell: Shell) -> None:
    """`recover` prints rows of a batch and leaves them to the batch."""
    shell(*BATCH)
    states = {row.state for row in SqliteJournal.read("r.jsonl.journal")}

    assert {"delivered"} == states
    assert 0 == shell("recover", "r.jsonl.journal").status


# One person once


def sent_to(box: Sandbox, before: int) -> list[tuple[str, str]]:
    """Return the people that got a message since *before*, with its text."""
    found = [w.definition for w in box.workflows[before:]]
    return sorted((each["personUrl"], each["text"]) for each in found)


def edited(shell: Shell, text: str) -> None:
    """Edit the text of the template."""
    shell.write("hello.json", json.dumps({**HELLO, "text": text}))


def test_spellings_of_one_person_are_refused(shell: Shell, box: Sandbox) -> None:
    """Rows of one person are refused with both lines, with a key that is a URL too."""
    before = len(box.workflows)
    url = f"https://www.linkedin.com/in/c{next(count)}"
    other = url.replace("https://www", "http://uk").replace("/c", "/C") + "/?trk=x"
    shell.write("people.csv", f"url,name\n{url},Ada\n{other},Ada\n")
    problem = f"people.csv:3: the same target as line 2: st.sendMessage to {url}; "
    refused = shell(*BATCH), shell(*BATCH, "--key", "url")
    nothing = len(box.workflows)
    skipped = shell(*BATCH, "--skip-invalid", "report.csv")

    assert [3, 3] == [done.status for done in refused]
    assert problem + "remove the row, or identify rows with --key\n" in refused[0].err
    assert problem + "remove the row, or change its key\n" in refused[1].err
    assert before == nothing
    assert (0, before + 1) == (skipped.status, len(box.workflows))
    assert "the same target as line 2" in shell.read("report.csv")


def test_keys_allow_two_messages_to_one_person(shell: Shell, box: Sandbox) -> None:
    """With keys of their own, two rows of one person are both sent, once each."""
    before = len(box.workflows)
    url = f"https://www.linkedin.com/in/c{next(count)}"
    shell.write("people.csv", f"url,name,id\n{url},Ada,1\n{url},Ada,2\n")
    runs = [shell(*BATCH, "--key", "id").status for _ in range(2)]

    assert [0, 0] == runs
    assert [(url, "Hello Ada!")] * 2 == sent_to(box, before)


def test_a_person_in_two_rows_of_several_people(shell: Shell, box: Sandbox) -> None:
    """Each target of a row counts, and a row is refused once."""
    urls = [f"https://www.linkedin.com/in/c{next(count)}" for _ in range(3)]
    both = [{**HELLO, "personUrl": f"{{{{{each}}}}}"} for each in ("url", "other")]
    shell.write("hello.json", json.dumps(both))
    rows = [f"{urls[0]},{urls[1]},Ada", f"{urls[1]},{urls[0]},Bob"]
    shell.write("people.csv", "\n".join(["url,other,name", *rows]))
    done = shell(*BATCH)

    assert 3 == done.status
    assert "error: 1 problem; nothing was sent\n" in done.err


def test_an_edited_text_is_not_sent_again(shell: Shell, box: Sandbox) -> None:
    """Who has a message gets no second one, whatever was edited, without --again."""
    before = len(box.workflows)
    first = shell(*BATCH)
    edited(shell, "Good day, {{name}}!")
    rows = shell.read("people.csv").splitlines()
    extra = people("Fay").splitlines()[1]
    shell.write("people.csv", "\n".join([rows[0], extra, *reversed(rows[1:]), ""]))
    second = shell(*BATCH)
    texts = [text for _, text in sent_to(box, before)]
    third = shell(*BATCH, "--again")
    fourth = shell(*BATCH)
    urls = [row.partition(",")[0] for row in rows[1:]]

    assert [0] * 4 == [run.status for run in (first, second, third, fourth)]
    assert "3 already done with another text, not sent again: lines 3, 4, 5; " in (
        second.err
    )
    assert "Good day, Fay!" in texts
    assert 4 == len(texts)
    assert ["1", "2"] == sorted(
        str(line.get("attempt", 1)) for line in lines(shell) if line["line"] == 3
    )
    assert dict.fromkeys(urls, 2) == {
        url: len([1 for to, _ in sent_to(box, before) if to == url]) for url in urls
    }
    assert "another text" not in fourth.err


def test_again_goes_on_after_a_crash(shell: Shell, box: Sandbox) -> None:
    """A second message that was sent before a crash is not sent a third time."""
    shell.write("people.csv", people("Ada"))
    assert 0 == shell(*BATCH).status
    edited(shell, "Good day, {{name}}!")
    assert 0 == shell(*BATCH, "--again").status
    before = len(box.workflows)
    first, _ = shell.read("r.jsonl").splitlines()
    shell.write("r.jsonl", f"{first}\n")
    done = shell(*BATCH, "--again")

    assert 0 == done.status
    assert before == len(box.workflows)
    assert 2 == lines(shell)[-1]["attempt"]


def test_long_lists_of_other_texts(shell: Shell) -> None:
    """Lines beyond the first fifty are counted."""
    shell.write("people.csv", people(*[f"N{number}" for number in range(52)]))
    assert 0 == shell(*BATCH).status
    edited(shell, "Good day, {{name}}!")
    done = shell(*BATCH)

    assert 0 == done.status
    assert "52 already done with another text, not sent again: lines 2, 3, " in done.err
    assert ", 51 and 2 more; --again sends them again\n" in done.err


def change_journal(shell: Shell, change: str) -> None:
    """Change the rows of the journal as nothing but damage does."""
    path = shell.folder / "r.jsonl.journal"
    with contextlib.closing(sqlite3.connect(path)) as opened:
        opened.execute(f"UPDATE workflows SET {change}")
        opened.commit()


def test_damaged_definitions(shell: Shell, box: Sandbox) -> None:
    """A row is known by its key; without one that is certain, nothing is sent."""
    shell.write("people.csv", people("Ada"))
    assert 0 == shell(*BATCH).status
    before = len(box.workflows)
    change_journal(shell, "definition = X'7B'")
    known = shell(*BATCH)
    change_journal(shell, "key = 'earlier'")
    (shell.folder / "r.jsonl").unlink()
    doubtful = shell(*BATCH)

    assert (0, 13) == (known.status, doubtful.status)
    assert "the definition of 'earlier' in the journal is damaged" in doubtful.err
    assert before == len(box.workflows)


def test_a_key_for_a_batch_begun_without(shell: Shell, box: Sandbox) -> None:
    """What was sent stays sent; another message to the same person is another row."""
    shell.write("people.csv", people("Ada"))
    assert 0 == shell(*BATCH).status
    before = len(box.workflows)
    same = shell(*BATCH, "--key", "name")
    edited(shell, "Good day, {{name}}!")
    other = shell(*BATCH, "--key", "name")

    assert (0, 0) == (same.status, other.status)
    assert ["Good day, Ada!"] == [text for _, text in sent_to(box, before)]


# Contacts


def test_contacts_over_batches(shell: Shell, box: Sandbox) -> None:
    """Another batch writes to no person again; its rows are suppressed, and so done."""
    contacts = ("--contacts", "contacts.sqlite3")
    assert 0 == shell(*BATCH, *contacts).status
    before = len(box.workflows)
    rows = shell.read("people.csv") + people("Fay").splitlines()[1] + "\n"
    shell.write("people.csv", rows)
    edited(shell, "Good day, {{name}}!")
    other = (*BATCH[:4], "--out", "other.jsonl", "--yes", *contacts)
    first, second = shell(*other), shell(*other)
    results = [json.loads(line) for line in shell.read("other.jsonl").splitlines()]
    suppressed = [line for line in results if line["status"] == "suppressed"]

    assert (0, 0) == (first.status, second.status)
    assert (
        "line 2: suppressed: st.sendMessage to https://www.linkedin.com/" in first.err
    )
    assert "4 of 4 done" in first.err
    for done in (first, second):
        assert "3 suppressed, because they were contacted before; see other" in done.err
    assert before + 1 == len(box.workflows)
    assert 4 == len(results)
    assert [2, 3, 4] == [line["line"] for line in suppressed]
    assert {"message", "target", "since"} == suppressed[0]["failure"].keys()
    assert suppressed[0]["input"]["url"] == suppressed[0]["failure"]["target"]
    later = shell(*other, "--once-in", "1e-9")
    assert 0 == later.status
    assert before + 4 == len(box.workflows)


def test_people_who_are_never_written_to(shell: Shell, box: Sandbox) -> None:
    """A file says whom to leave alone; without contacts it could not be kept."""
    before = len(box.workflows)
    url = shell.read("people.csv").splitlines()[1].partition(",")[0]
    shell.write("never.csv", f"name;url\nAda;{url}/?x=1\n")
    contacts = ("--contacts", "contacts.sqlite3", "--never", "never.csv")
    done = shell(*BATCH, *contacts)
    alone = shell(*BATCH, "--never", "never.csv")
    shell.write("never.csv", "url\nada\n")
    wrong = shell(*BATCH, *contacts)

    assert (0, 2, 2) == (done.status, alone.status, wrong.status)
    assert f"line 2: suppressed: {url} is never to be contacted" in done.err
    assert before + 2 == len(box.workflows)
    assert [None] == [
        line["failure"]["since"] for line in lines(shell) if "failure" in line
    ]
    assert "--never needs --contacts FILE" in alone.err
    assert "never.csv:2: no URL or URN of a person" in wrong.err
