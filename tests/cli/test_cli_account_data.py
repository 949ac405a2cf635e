"""The commands without a workflow: whoami, inbox, network, usage, feedback, admin."""

from __future__ import annotations

import csv
import inspect
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from cli_harness import TOKENS, Shell, Terminal, sandbox_in_a_thread

from linkedapi_async._utils.secret import Secret
from linkedapi_async.cli._account_data import _moment
from linkedapi_async.cli._admin import (
    EXAMPLES,
    GROUPS,
    NOT_COMMANDS,
    _masked,
    admin,
    all_calls,
)
from linkedapi_async.sandbox import Sandbox


ADA = "https://www.linkedin.com/in/ada"
GRACE = "https://www.linkedin.com/in/grace"


@pytest.fixture
def box() -> Iterator[Sandbox]:
    """A sandbox that is fast."""
    with sandbox_in_a_thread(speed=2000) as sandbox:
        yield sandbox


def receive(box: Sandbox, *texts: str) -> None:
    """Let Ada write to the account."""
    for text in texts:
        box.receive_message(TOKENS["IDENTIFICATION_TOKEN"], ADA, text)


def test_whoami(shell: Shell) -> None:
    """The owner of the account is printed; a wrong token has its exit status."""
    done = shell("whoami")
    row = list(csv.DictReader(io.StringIO(shell("whoami", "--format", "csv").out)))
    shell.set(ACCOUNT_API_TOKEN="main-token-77", LINKED_API_TOKEN=None)
    older = shell("whoami")

    assert 0 == done.status
    assert [json.loads(done.out)] == row
    assert {"name", "url"} == json.loads(done.out).keys()
    assert (3, "") == (older.status, older.out)
    assert "the account_api generation has no info" in older.err


def test_inbox(shell: Shell, box: Sandbox) -> None:
    """Messages are printed oldest first, in each format, and again without a cursor."""
    never = shell("inbox")
    assert 0 == shell("sync-inbox").status
    receive(box, "one", "two", "three")
    done = shell("inbox")
    lines = shell("inbox", "--format", "jsonl", "--count", "2").out.splitlines()
    table = shell("inbox", "--format", "csv", "--type", "st")
    none = shell("inbox", "--type", "nv")
    later = shell("inbox", "--since", "2999-01-01", "--thread-id", "2-YWRh")

    assert (0, "[]\n") == (never.status, never.out)
    # The inbox of the sandbox has older messages.
    texts = [each["text"] for each in json.loads(done.out)]
    assert ["one", "two", "three"] == texts[-3:]
    assert texts[:2] == [json.loads(line)["text"] for line in lines]
    assert texts == [row["text"] for row in csv.DictReader(io.StringIO(table.out))]
    assert "[]\n" == none.out == later.out


def test_inbox_goes_on_at_the_cursor(shell: Shell, box: Sandbox) -> None:
    """With a cursor each message is printed once, over any number of commands."""
    assert 0 == shell("sync-inbox").status
    words = ("inbox", "--cursor", "inbox.cursor")
    assert 0 == shell(*words).status
    receive(box, "one", "two", "three")
    first = shell(*words, "--format", "jsonl", "--count", "2").out.splitlines()
    second = json.loads(shell(*words).out)
    third = json.loads(shell(*words).out)
    receive(box, "four")
    fourth = json.loads(shell(*words, "--count", "1").out)

    assert ["one", "two"] == [json.loads(line)["text"] for line in first]
    assert ["three"] == [each["text"] for each in second]
    assert [] == third
    assert ["four"] == [each["text"] for each in fourth]
    assert not (shell.folder / "inbox.cursor.new").exists()


def test_inbox_follows(shell: Shell, box: Sandbox) -> None:
    """With --follow new messages are printed as lines, until Ctrl-C or the count."""
    assert 0 == shell("sync-inbox").status
    assert 0 == shell("inbox", "--cursor", "c").status
    receive(box, "one")
    words = ["inbox", "--follow", "--interval", "0.05", "--cursor", "c"]
    command = subprocess.Popen(
        [sys.executable, "-m", "linkedapi_async", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=shell.folder,
        env={**os.environ},
    )
    assert command.stdout is not None
    texts = [json.loads(command.stdout.readline())["text"]]
    receive(box, "two")
    texts.append(json.loads(command.stdout.readline())["text"])
    command.send_signal(signal.SIGINT)
    out, err = command.communicate(timeout=60)
    receive(box, "three")
    rest = shell(*words, "--count", "1")

    assert ["one", "two"] == texts
    assert (130, b"") == (command.returncode, out)
    assert b"error: ended\n" in err
    # A message is printed again if its print was interrupted before it was stored.
    assert 0 == rest.status
    assert json.loads(rest.out)["text"] in {"two", "three"}


def test_network(shell: Shell, box: Sandbox) -> None:
    """Changes of the connections are printed, all or of one type."""
    assert 0 == shell("sync-network").status
    account = TOKENS["IDENTIFICATION_TOKEN"]
    box.accept_connection(account, ADA)
    box.accept_connection(account, GRACE, type="connectionRequestReceived")
    done = shell("network")
    some = shell("network", "--type", "connectionAccepted", "--follow", "--count", "1")

    assert ["connectionAccepted", "connectionRequestReceived"] == [
        each["type"] for each in json.loads(done.out)
    ]
    assert "connectionAccepted" == json.loads(some.out)["type"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["inbox", "--since", "today"], "--since must be ISO 8601 text, got 'today'"),
        (
            ["inbox", "--follow", "--format", "csv"],
            "--follow prints jsonl, got --format",
        ),
        (["inbox", "--cursor", "odd"], "odd is not a cursor of this command"),
        (["network", "--cursor", "odd"], "odd is not a cursor of this command"),
        (["usage", "--end", "today"], "--end must be ISO 8601 text, got 'today'"),
        (["usage", "--start", "today"], "--start must be ISO 8601 text, got 'today'"),
        (
            ["usage", "--start", "2026-03-01", "--end", "2026-02-01"],
            "--end must be after start, 2026-03-01, got 2026-02-01",
        ),
        (["feedback", "bug", ""], "message must be a string that is not empty"),
        (
            ["admin", "limits", "set", "x", "--limits", "stMessages"],
            "--limits must be CATEGORY:PERIOD=NUMBER, got 'stMessages'",
        ),
        (
            ["admin", "limits", "set", "x", "--yes", "--limits", "stMessages:daily"],
            "--limits[0].max_value is required",
        ),
        (
            ["admin", "subscription", "set-seats", "x", "core", "month", "--yes"],
            "QUANTITY must be a whole number, got 'x'",
        ),
        (["admin", "changelog", "--since", "June"], "--since must be a date"),
    ],
)
def test_wrong_values(shell: Shell, words: list[str], message: str) -> None:
    """A wrong value is a usage error that names the option."""
    shell.write("odd", "{}")
    done = shell(*words)

    assert (2, "") == (done.status, done.out)
    assert message in done.err


def test_usage(shell: Shell) -> None:
    """What the account has executed in a period is printed."""
    assert 0 == shell("ssi").status
    period = ("--start", "2000-01-01T00:00:00Z", "--end", "2000-01-02T00:00:00Z")
    recent = shell("usage", "--end", "2999-01-01T00:00:00Z")
    now = shell("usage")
    before = shell("usage", *period)

    assert (0, "[]\n") == (recent.status, recent.out)
    assert 0 == now.status
    assert (0, "[]\n") == (before.status, before.out)
    assert 2026 == _moment("2026-01-01").year


def test_feedback(shell: Shell, box: Sandbox) -> None:
    """Feedback is sent with what it is about, typed or from standard input."""
    first = shell(
        "feedback", "bug", "Broken", "--severity", "low", "--workflow-id", "w"
    )
    second = shell("feedback", "praise", "-", typed=b"Good\n")

    assert ("feedback-1\n", "feedback-2\n") == (first.out, second.out)
    assert [
        {
            "type": "bug",
            "message": "Broken",
            "context": {"severity": "low", "workflowId": "w"},
        },
        {"type": "praise", "message": "Good"},
    ] == box.account_data.feedback


# The Admin API


def test_each_call_has_a_command() -> None:
    """Each method of the groups is a command, or says why it is none."""
    methods = {
        f"{group}.{name}"
        for group, cls in GROUPS.items()
        for name, each in vars(cls).items()
        if inspect.isfunction(each) and not name.startswith("_")
    }
    calls = {f"{call.group}.{call.method}" for call in all_calls()}

    assert methods == calls | NOT_COMMANDS.keys()
    assert not calls & NOT_COMMANDS.keys()
    assert ["subscription", "accounts", "limits", "webhook", "changelog"] == [
        *admin.commands
    ]
    for call in all_calls():
        command = call.build()
        assert command.help
        assert ("yes" in {each.name for each in command.params}) == call.changes
        for each in call.inputs:
            assert each.about or each.positional


def test_reading_needs_no_word_and_changes_do(shell: Shell, box: Sandbox) -> None:
    """What reads is printed; what changes is declined where it cannot be confirmed."""
    shell("ssi")
    account = json.loads(shell("admin", "accounts", "get-all").out)["accounts"][0]["id"]
    for call in all_calls():
        line = call.example.replace(EXAMPLES["account_id"], account)
        done = shell(*line.split()[1:])

        if call.changes:
            assert (14, "") == (done.status, done.out), line
            assert "this changes what the Admin API manages and there is no" in done.err
        elif call.method == "get_connection_session":
            assert 6 == done.status
        else:
            assert 0 == done.status, done.err
            assert json.loads(done.out) is not None


def test_changes(shell: Shell, box: Sandbox) -> None:
    """Limits, the webhook and the seats are changed with --yes, or at a terminal."""
    shell("ssi")
    account = json.loads(shell("admin", "accounts", "get-all").out)["accounts"][0]["id"]
    limit = ("limits", "set", account, "--limits", "stMessages:daily=7", "--yes")
    done = shell("admin", *limit)
    limits = json.loads(shell("admin", "limits", "get", account).out)

    assert (0, "", "done\n") == (done.status, done.out, done.err)
    assert 7 == next(
        each["maxValue"]
        for each in limits
        if (each["category"], each["period"]) == ("stMessages", "daily")
    )
    with Terminal() as terminal:
        terminal.press("n\n")
        words = ("admin", "limits", "reset-to-defaults", account)

        assert 0 == shell.at(terminal, *words)
        assert "nothing was sent" in terminal.text
    hook = ("admin", "webhook", "set", "https://example.com/hook", "--yes")
    made = shell(*hook, "--payload-mode", "thin", "--events", "inbox.*")
    webhook = json.loads(made.out)
    again = shell("admin", "webhook", "set-events", webhook["id"], "--yes")
    table = shell("admin", "webhook", "get", "--format", "table")

    assert ("thin", ["inbox.*"]) == (webhook["payloadMode"], webhook["events"])
    assert json.loads(again.out)["events"] is None
    assert "https://example.com/hook" in table.out
    deleted = shell("admin", "webhook", "delete", webhook["id"], "--yes")
    assert (0, "") == (deleted.status, deleted.out)
    assert "[]\n" == shell("admin", "webhook", "get").out


def test_tokens_of_answers_are_not_printed(shell: Shell) -> None:
    """Tokens and secrets in answers are masked, wherever they are."""
    shell("ssi")
    for format_ in ("json", "jsonl", "csv", "table"):
        done = shell("admin", "accounts", "get-all", "--format", format_)

        assert 0 == done.status
        assert TOKENS["IDENTIFICATION_TOKEN"] not in done.out
        assert "…" in done.out
    assert {"a": [{"newSecret": "…", "n": 1}], "token": None} == _masked(
        Secret({"a": [{"newSecret": "x", "n": 1}], "token": None})
    )


def test_admin_needs_the_current_api(shell: Shell) -> None:
    """The older API has no administration; a wrong token is named."""
    shell.set(LINKED_API_TOKEN=None, ACCOUNT_API_TOKEN="main-token-77")
    older = shell("admin", "subscription", "get-status")
    shell.set(LINKED_API_TOKEN="a b", ACCOUNT_API_TOKEN=None)
    wrong = shell("admin", "subscription", "get-status")

    assert (2, "error: the Admin API needs LINKED_API_TOKEN\n") == (
        older.status,
        older.err,
    )
    assert 2 == wrong.status
    assert "must be printable ASCII" in wrong.err


def test_changelog(shell: Shell) -> None:
    """The changelog is printed without a token."""
    shell.set(LINKED_API_TOKEN=None, IDENTIFICATION_TOKEN=None)
    done = shell("admin", "changelog", "--since", "2020-01-01")
    rows = shell("admin", "changelog", "--format", "csv")

    assert 0 == done.status
    assert "entries" in json.loads(done.out)
    assert rows.out.startswith("date,")


def test_groups_are_in_the_order_of_the_api() -> None:
    """Commands of a group are listed in the order of the API's documentation."""
    with click.Context(admin) as context:
        assert "subscription" == admin.list_commands(context)[0]
