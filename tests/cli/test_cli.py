"""The command line in this process, against a sandbox: results, words, exit statuses."""

from __future__ import annotations

import asyncio
import csv
import importlib
import io
import json
import os
import re
import runpy
import signal
import socket
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_harness import FAST, TOKENS, Shell, Terminal, sandbox_in_a_thread
from pyarrow import parquet

from linkedapi_async import errors, st
from linkedapi_async._actions import reference
from linkedapi_async._actions.parameters import parameters_of
from linkedapi_async._results.key import ACTIONS
from linkedapi_async._wire.read import read_completion
from linkedapi_async.cli import _token_files
from linkedapi_async.cli._app import COMMANDS, app
from linkedapi_async.cli._console import Console
from linkedapi_async.cli._credentials import variables
from linkedapi_async.cli._exit_codes import EXIT_CODES, status_of
from linkedapi_async.cli._output import FORMATS, show, show_rows
from linkedapi_async.cli._signals import SignalHandler, _print_last
from linkedapi_async.journal import SqliteJournal
from linkedapi_async.sandbox import Sandbox
from linkedapi_async.session._account import default_name
from linkedapi_async.webhooks import sign


COMPANY: dict[str, Any] = {
    "actionType": "st.openCompanyPage",
    "companyUrl": "https://www.linkedin.com/company/acme",
    "basicInfo": True,
    "then": {"actionType": "st.retrieveCompanyEmployees", "limit": 3},
}
MESSAGE = {
    "actionType": "st.sendMessage",
    "personUrl": "https://www.linkedin.com/in/ada",
    "text": "Hello!",
}


@pytest.fixture
def shell(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Shell:
    """A folder with two workflows, and no tokens."""
    made = Shell.entered(tmp_path, monkeypatch, capsys)
    made.write("company.json", json.dumps(COMPANY))
    made.write("message.json", json.dumps(MESSAGE))
    return made


@pytest.fixture
def online(shell: Shell, box: Sandbox) -> Iterator[Shell]:
    """The same, with tokens of the sandbox."""
    shell.set(**TOKENS, **FAST, LINKED_API_BASE_URL=box.url)
    yield shell
    box.clear_faults()


# The whole


def test_list_of_commands_says_what_they_say(shell: Shell) -> None:
    """`--help` lists the commands without importing them, and says the same."""
    with app.make_context("linkedapi", ["exit-codes"]) as context:
        for name, (_, about) in COMMANDS.items():
            command = app.get_command(context, name)

            assert command is not None
            assert about == command.get_short_help_str(100)

    done = shell("--help")

    assert (0, "") == (done.status, done.err)
    for name, (_, about) in COMMANDS.items():
        assert re.search(f"  {name} +{re.escape(about)}\n", done.out)


def test_version(shell: Shell) -> None:
    """`--version` says which one it is."""
    assert "linkedapi, version " in shell("--version").out


def test_unknown_command(shell: Shell) -> None:
    """An unknown command is a usage error."""
    done = shell("checks")

    assert 2 == done.status
    assert "No such command 'checks'" in done.err


def test_without_click(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra there is one line that says how to install it."""
    monkeypatch.delitem(sys.modules, "linkedapi_async.cli._app")
    monkeypatch.setitem(sys.modules, "click", None)
    done = shell("--help")

    assert (2, "") == (done.status, done.out)
    assert "python -m pip install 'linkedapi-async[cli]'\n" in done.err
    assert 1 == done.err.count("\n")


def test_other_imports_that_fail_are_not_hidden(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a missing click is a missing extra."""
    monkeypatch.delitem(sys.modules, "linkedapi_async.cli._app")
    monkeypatch.setitem(sys.modules, "linkedapi_async.cli._console", None)

    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("linkedapi_async.cli").main()


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_completion(shell: Shell, name: str) -> None:
    """Each shell gets a script that asks the command itself."""
    done = shell("completion", name)

    assert 0 == done.status
    assert "_LINKEDAPI_COMPLETE" in done.out


def every_error() -> list[type[Exception]]:
    """Return all public error classes."""
    found = vars(errors).values()
    return [c for c in found if isinstance(c, type) and issubclass(c, Exception)]


def test_exit_codes(shell: Shell) -> None:
    """Every status is listed once, and every error class has one."""
    done = shell("exit-codes")
    statuses = [int(line.split()[0]) for line in done.out.splitlines()]

    assert sorted({e.status for e in EXIT_CODES}) == statuses
    for known in EXIT_CODES:
        for error in known.errors:
            assert known.status == status_of(error.__new__(error))
            assert error.__name__ in done.out
    for cls in every_error():
        assert status_of(cls.__new__(cls)) in statuses
    assert 5 == status_of(errors.AccountPausedError("x"))
    assert 7 == status_of(errors.ProtocolError("x"))
    assert 1 == status_of(KeyError("x"))


# Looking


def test_check_that_finds_nothing(shell: Shell) -> None:
    """Right workflows say nothing on standard output, from wherever they come."""
    shell.write("bom.json", b"\xef\xbb\xbf" + json.dumps([COMPANY]).encode())
    done = shell(
        "check",
        "company.json",
        "bom.json",
        "-",
        typed=b'[{"actionType": "st.retrieveSSI"}]',
    )

    assert (0, "") == (done.status, done.out)
    assert "company.json: no problems\n" in done.err
    assert "-: no problems\n" in done.err
    assert "" == shell("check", "company.json", "--quiet").err


def test_check_lists_all_problems(shell: Shell) -> None:
    """All problems of all files are listed with their places."""
    wrong = {**COMPANY, "then": [{"actionType": "st.searchPeople"}], "basicInfo": 3}
    shell.write("wrong.json", json.dumps(wrong))
    shell.write("torn.json", "{")
    done = shell("check", "wrong.json", "missing.json", "torn.json", "company.json")

    assert 3 == done.status
    expected = [
        "wrong.json: root: st.openCompanyPage: basicInfo",
        "wrong.json: root.then[0]: st.searchPeople cannot ",
        "missing.json: No such file or directory; pass a file, - or",
        "torn.json: root: not JSON: ",
    ]
    for words, line in zip(expected, done.out.splitlines(), strict=True):
        assert line.startswith(words)
    assert "4 problems" in done.err


def test_check_as_json_and_for_a_generation(shell: Shell) -> None:
    """A gap of one generation is a problem for that one only, also as JSON."""
    shell.write("inbox.json", '{"actionType": "st.syncInbox"}')
    done = shell(
        "check", "inbox.json", "--generation", "account_api", "--format", "json"
    )
    (problem,) = json.loads(done.out)

    assert 3 == done.status
    assert ("inbox.json", "root") == (problem["file"], problem["path"])
    assert "does not exist in the account_api generation" in problem["message"]
    assert 0 == shell("check", "inbox.json", "--generation", "linked_api").status
    assert 2 == shell("check", "missing.json").status


def test_unknown_values_are_warned_of(shell: Shell) -> None:
    """What this version does not know is allowed, and said."""
    shell.write("new.json", '{"actionType": "st.somethingNew"}')
    done = shell("check", "new.json")

    assert 0 == done.status
    assert "warning: root: 'st.somethingNew' is not a known action type" in done.err


FLOWS = """
from linkedapi_async import st
company = st.open_company_page("https://www.linkedin.com/company/acme")
two = [st.retrieve_ssi(), st.retrieve_feed()]
number = 7
def made():
    return company
class inner:
    company = company
child = st.retrieve_company_posts()
def broken():
    raise OSError("no \\x1b way")
def wrong():
    return st.send_message(text="x" * 2000)
"""


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("company", 0, "no problems"),
        ("two", 0, "no problems"),
        ("made", 0, "no problems"),
        ("inner.company", 0, "no problems"),
        ("number", 2, "expected a workflow, got int"),
        ("absent", 2, "AttributeError: module"),
        ("broken", 2, "OSError: no \\x1b way"),
        ("child", 3, "root"),
        ("wrong", 3, "1900 characters"),
        ("inner", 2, "expected a workflow, got type"),
    ],
)
def test_attributes_of_modules(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, name: str, status: int, words: str
) -> None:
    """A workflow may be an attribute of a module in the current folder."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "flows_of_test", raising=False)
    shell.write("flows_of_test.py", FLOWS)
    importlib.invalidate_caches()
    for _ in range(2):
        done = shell("check", f"flows_of_test:{name}")

        assert status == done.status
        assert words in done.out + done.err
    assert 1 == sys.path.count(str(shell.folder))


def test_draw(shell: Shell) -> None:
    """A workflow is drawn for terminals and as Mermaid, right or not."""
    shell.write(
        "done.json",
        json.dumps(
            {"actionType": "st.retrieveSSI", "success": True, "data": {"ssi": 7}}
        ),
    )

    assert "└─ st.retrieveCompanyEmployees" in shell("draw", "company.json").out
    assert (
        "`- st.retrieveCompanyEmployees" in shell("draw", "company.json", "--ascii").out
    )
    assert "flowchart" in shell("draw", "company.json", "--mermaid").out
    assert "none failed" in shell("draw", "done.json", "--completion").out
    assert 3 == shell("draw", "-", typed=b"7").status


def test_explain(shell: Shell) -> None:
    """The costs come as text, and as data."""
    done = shell("explain", "message.json", "--per-day", "stMessages", "30")
    data = json.loads(shell("explain", "company.json", "--format", "json").out)

    assert "limit stMessages: at most 1, 30 a day for each account: 1 day" in done.out
    assert 2 == data["total"]
    assert "core" == data["plan"]


def test_actions(shell: Shell) -> None:
    """Actions are listed, searched, and described in full."""
    assert len(ACTIONS) == len(shell("actions").out.splitlines())
    assert (
        "st.withdrawConnectionRequest  write"
        in shell("actions", "connection", "request").out
    )
    (one,) = json.loads(shell("actions", "st.search_people", "--format", "json").out)
    assert "st.searchPeople" == one["actionType"]
    shown = shell("actions", "ST.openCOMPANYpage").out
    assert "parents: root, " in shown
    assert "companyUrl: string, needed at the root, refused below, minimum 1" in shown
    shown = shell("actions", "st.sendMessage").out
    assert "personUrl: string, needed at the root unless threadId is given" in shown
    shown = shell("actions", "st.endorsePersonSkill").out
    assert "skillName: string, needed at the root, refused below" in shown
    done = shell("actions", "st.serchPeople")
    assert 2 == done.status
    assert "did you mean st.searchPeople?" in done.err
    assert "did you mean" not in shell("actions", "zzzzzzzz").err


def test_reference_is_complete() -> None:
    """Every action's reference has all of its parameters, each described or nested."""
    for cls in ACTIONS.values():
        one = reference.reference(cls)
        names = [parameter["name"] for parameter in one["parameters"]]

        assert [row.json_name for row in parameters_of(cls)] == names
        assert all(parameter["about"] for parameter in one["parameters"])
        assert one["summary"].endswith(".")
        assert all(name in "\n".join(reference.format_action(one)) for name in names)
    people = reference.reference(st.search_people)
    (inner,) = (p for p in people["parameters"] if p["name"] == "filter")
    assert "connectionDegrees" in [field["name"] for field in inner["fields"]]
    search = "\n".join(reference.format_action(people))
    assert "maximum 10 in account_api / 1000 in linked_api" in search
    assert "list of string" in search
    mentions = "\n".join(reference.format_action(reference.reference(st.create_post)))
    assert "list of Mention" in mentions
    posts = "\n".join(reference.format_action(reference.reference(st.search_posts)))
    assert "list of string or MemberRef" in posts


def test_reference_without_docstrings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without docstrings, as under -OO, the facts are there."""
    monkeypatch.setattr(st.retrieve_ssi, "__doc__", None)
    one = reference.reference(st.retrieve_ssi)

    assert ("", None) == (one["summary"], one["url"])
    assert "yields: SocialSellingIndex" in "\n".join(reference.format_action(one))


# Running


def test_run_prints_the_completion(online: Shell) -> None:
    """The completion comes on standard output, all else does not."""
    done = online("run", "company.json")
    completion = json.loads(done.out)

    assert 0 == done.status
    assert "Acme" == completion["data"]["name"]
    assert 1 == done.err.count("started wf-")
    assert "" == online("run", "company.json", "-q").err


def test_run_prints_rows(online: Shell) -> None:
    """The same as rows: JSON Lines, CSV, and a table."""
    only = ("--action", "st.retrieveCompanyEmployees")
    lines = online("run", "company.json", "--format", "jsonl").out.splitlines()
    table = online("run", "company.json", "--format", "table").out
    cells = [
        *csv.DictReader(
            io.StringIO(online("run", "company.json", "--format", "csv", *only).out)
        )
    ]

    assert ["st.openCompanyPage", *["st.retrieveCompanyEmployees"] * 3] == [
        json.loads(line)["action_type"] for line in lines
    ]
    assert [json.loads(line)["name"] for line in lines[1:]] == [
        c["name"] for c in cells
    ]
    assert all(cell["name"] in table for cell in cells)
    done = online("run", "company.json", "--action", "st.retrieveCompanyEmploys")
    assert 2 == done.status
    assert "did you mean st.retrieveCompanyEmployees?" in done.err
    assert "did you mean" not in online("run", "company.json", "--action", "zzzz").err


ONLY = ("--action", "st.retrieveCompanyEmployees")


def test_run_prints_csv_for_excel(online: Shell) -> None:
    """With an option CSV begins with a byte order mark; other formats refuse it."""
    done = online("run", "company.json", "--bom", "--format", "csv", *ONLY)
    refused = online("run", "company.json", "--format", "jsonl", "--bom")

    assert "\ufeffname,public_url," == done.out[:17]
    assert 4 == len(done.out.splitlines())
    assert 2 == refused.status
    assert "--bom needs --format csv, got jsonl" in refused.err


def test_run_prints_parquet(online: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Typed columns go to a file, from a run and from a later wait."""
    started = online("run", "company.json", "--no-wait").out.strip()
    tables = []
    for words in (("run", "company.json"), ("wait", started)):
        with (online.folder / "rows.parquet").open("w") as file:
            monkeypatch.setattr("sys.stdout", file)
            assert 0 == online.status(*words, *ONLY, "--format", "parquet")
        tables.append(parquet.read_table(online.folder / "rows.parquet"))

    assert tables[0].schema.equals(tables[1].schema)
    assert [3, 3] == [table.num_rows for table in tables]
    assert "viewer_state" in tables[0].column_names


def test_parquet_that_cannot_be_printed(
    online: Shell, box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parquet without an action, without its extra or to a terminal starts nothing."""
    begun = len(box.workflows)
    run = ("run", "company.json", "--format", "parquet")
    without = online(*run)
    with Terminal(columns=80) as terminal:
        status = online.at(terminal, *run, *ONLY)
    monkeypatch.setitem(sys.modules, "arro3.io", None)
    missing = online(*run, *ONLY)

    assert [2, 2, 2] == [without.status, status, missing.status]
    assert "--format parquet needs --action TYPE, because" in without.err
    assert "--format parquet needs: pip install 'linkedapi-async[table]'" in missing.err
    assert begun == len(box.workflows)


def test_run_in_the_older_generation(online: Shell) -> None:
    """The credential decides which generation is spoken."""
    online.set(LINKED_API_TOKEN="", ACCOUNT_API_TOKEN="main-token-77")
    online.write("inbox.json", '[{"actionType": "st.syncInbox"}]')

    assert 0 == online("run", "company.json").status
    done = online("run", "inbox.json")
    assert 3 == done.status
    assert "root[0]: st.syncInbox does not exist in the account_api" in done.err
    assert (
        "/account/workflows"
        in online("run", "inbox.json", "--dry-run", "--no-check").out
    )
    assert 3 == online("cancel", "wf-1").status


def test_list_of_one_stays_one(online: Shell, box: Sandbox) -> None:
    """An array workflow of one root is sent as such."""
    online.write("one.json", json.dumps([COMPANY]))

    assert 0 == online("run", "one.json").status
    assert [COMPANY] == box.workflows[-1].definition


def test_no_check_sends_it_as_it_is(online: Shell, box: Sandbox) -> None:
    """The API has the last word, if the user wants it."""
    odd = {**COMPANY, "companyUrl": 7}
    online.write("odd.json", json.dumps(odd))
    done = online("run", "odd.json", "--no-check", "--yes")

    assert 3 == online("run", "odd.json").status
    assert 6 == done.status
    assert "error: " in done.err
    assert odd != box.workflows[-1].definition


def test_no_wait_then_status_then_wait(online: Shell) -> None:
    """A workflow can be started now and polled later."""
    started = online("run", "company.json", "--no-wait").out.strip()
    waited = json.loads(online("wait", started, "--format", "json").out)
    known = json.loads(online("status", started, started).out)
    rows = online("wait", started, "--format", "csv").out.splitlines()

    assert [{"workflowId": started, "status": "completed"}] == known
    assert [(started, "completed")] == [(w["workflowId"], w["status"]) for w in waited]
    assert 5 == len(rows)
    assert started in online("status", started, "--format", "table").out


def test_unknown_ids(online: Shell) -> None:
    """Each unknown id is reported, with an exit status."""
    started = online("run", "company.json", "--no-wait").out.strip()
    online("wait", started)
    done = online("status", "wf-1", started)
    # The API is given a minute to learn of an id that is new.
    waited = online("wait", "wf-1", started, "--timeout", "0.2")

    assert (11, 12) == (done.status, waited.status)
    assert [None, "completed"] == [row["status"] for row in json.loads(done.out)]
    assert [None, "completed"] == [row["status"] for row in json.loads(waited.out)]
    assert (
        "error: the API does not know this id; check the id and the account [workflow wf-1]"
        in done.err
    )
    assert "error: not finished after 0.2 s" in waited.err
    assert 2 == online("status", "no id").status


def test_cancel(shell: Shell) -> None:
    """What runs is cancelled, what has ended is not."""
    with sandbox_in_a_thread(duration=100.0) as box:
        shell.set(**TOKENS, LINKED_API_BASE_URL=box.url)
        started = shell("run", "company.json", "--no-wait").out.strip()
        first = shell("cancel", started)
        second = shell("cancel", started, "--format", "jsonl")
        waited = shell("wait", started)

    assert (0, [{"workflowId": started, "cancelled": True}]) == (
        first.status,
        json.loads(first.out),
    )
    assert {"workflowId": started, "cancelled": False} == json.loads(second.out)
    assert 10 == waited.status


def test_time_is_up(shell: Shell) -> None:
    """A wait may end before the workflow; the last line says how to wait on."""
    with sandbox_in_a_thread(duration=100.0) as box:
        shell.set(**TOKENS, LINKED_API_BASE_URL=box.url)
        done = shell("run", "company.json", "--timeout", "0")
        workflow_id = box.workflows[0].id

    assert (12, "") == (done.status, done.out)
    assert f"continue the wait with: linkedapi wait {workflow_id}\n" in done.err


def test_failures(online: Shell, box: Sandbox) -> None:
    """A failed root, a failed child and a failed workflow differ."""
    box.fail_action("st.retrieveCompanyEmployees", "retrievingNotAllowed")
    child = online("run", "company.json")
    box.fail_action("st.openCompanyPage", "companyNotFound")
    root = online("run", "company.json")
    box.clear_faults()
    box.fail_next("languageNotSupported")
    whole = online("run", "company.json")
    box.fail_next("languageNotSupported")
    waited = online("wait", online("run", "company.json", "--no-wait").out.strip())

    assert 0 == child.status
    assert "failed: st.retrieveCompanyEmployees: retrievingNotAllowed" in child.err
    assert 9 == root.status
    assert json.loads(root.out)["error"]["type"] == "companyNotFound"
    assert (9, "") == (whole.status, whole.out)
    assert "error: languageNotSupported" in whole.err
    (facts,) = json.loads(waited.out)
    assert (9, "failed") == (waited.status, facts["status"])
    assert "languageNotSupported" == facts["failure"]["reason"]


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        ({"status": 401, "type": "invalidLinkedApiToken"}, 4),
        ({"status": 403, "type": "linkedinAccountSignedOut"}, 5),
        ({"status": 400, "type": "plusPlanRequired"}, 6),
    ],
)
def test_refusals(
    online: Shell, box: Sandbox, facts: dict[str, Any], status: int
) -> None:
    """What the API refuses has a status by its kind."""
    box.inject_fault("status", on="start", **facts)

    assert status == online("run", "company.json").status


def test_unreachable_server(online: Shell) -> None:
    """An unreachable server gives an error without a traceback."""
    online.set(LINKED_API_BASE_URL="http://127.0.0.1:9")
    done = online("status", "wf-1")

    assert 7 == done.status
    assert "Traceback" not in done.err


def test_dry_run_sends_nothing(online: Shell, box: Sandbox) -> None:
    """What would be sent is shown, with and without tokens."""
    before = box.requests
    done = online("run", "message.json", "--dry-run")
    online.set(LINKED_API_TOKEN=None, LINKED_API_BASE_URL=None)
    without = online("run", "message.json", "--dry-run")

    assert {
        "method": "POST",
        "url": f"{box.url}/workflows",
        "workflow": MESSAGE,
    } == json.loads(done.out)
    assert "1 × st.sendMessage  root  (writes)" in done.err
    assert "https://api.linkedapi.io/workflows" == json.loads(without.out)["url"]
    assert before == box.requests


def test_writing_needs_a_yes(online: Shell, box: Sandbox) -> None:
    """Without a terminal a write needs --yes; a read does not."""
    before = len(box.workflows)
    done = online("run", "message.json", typed=b"y\n")

    assert (14, "") == (done.status, done.out)
    assert "add --yes" in done.err
    assert before == len(box.workflows)
    assert 0 == online("run", "message.json", "--yes").status


@pytest.mark.parametrize(
    ("answer", "sent"), [("y\n", True), ("n\n", False), ("\n", False)]
)
def test_writing_asks_at_a_terminal(
    online: Shell, box: Sandbox, answer: str, *, sent: bool
) -> None:
    """At a terminal the question names the writing actions."""
    before = len(box.workflows)
    with Terminal() as terminal:
        terminal.press(answer)
        found = online.at(terminal, "run", "message.json")
        terminal.expect("Send [y/N]: ")
        terminal.expect("root: st.sendMessage")

    assert 0 == found
    assert before + sent == len(box.workflows)
    assert ("nothing was sent" in terminal.text) == (not sent)


# Results


NASTY = json.loads(
    (Path(__file__).parents[1] / "data" / "nasty_profile.json").read_text("utf-8")
)


def nasty_completion(**more: Any) -> dict[str, Any]:
    """Return a completion with all that is nasty in a profile."""
    return {
        "actionType": "st.openPersonPage",
        "success": True,
        "data": {**NASTY, **more},
    }


def acts(text: str) -> bool:
    """Return whether anything in *text* acts on a terminal."""
    return any(
        not char.isprintable() and char not in "\n\t\u200d\u200c" for char in text
    )


@pytest.mark.parametrize("format_", FORMATS)
def test_hostile_text_is_harmless(
    shell: Shell, capsys: pytest.CaptureFixture[str], format_: str
) -> None:
    """Nothing in a profile acts on a terminal, in whatever form it is shown."""
    completion = _results_of(nasty_completion())
    capsys.readouterr()
    if format_ == "json":
        show(completion.raw)
    else:
        show_rows(completion.rows(), format_, Console())
    shown = capsys.readouterr()

    assert shown.out
    assert not acts(shown.out + shown.err)
    if format_ == "json":
        assert completion.raw == json.loads(shown.out)


def _results_of(raw: Any) -> Any:
    return read_completion(raw)


def test_hostile_drawing(shell: Shell) -> None:
    """A picture of a nasty profile is harmless too, but for its own colours."""
    shell.write("hostile_text.json", json.dumps(nasty_completion()))

    assert not acts(shell("draw", "hostile_text.json", "--completion").out)


def test_cells_are_no_formulas(
    shell: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    """A cell that begins like a formula is escaped in CSV."""
    show_rows([{"=1": "=cmd()", "n": -1, "l": ["=x"]}], "csv", Console())
    header, row = csv.reader(io.StringIO(capsys.readouterr().out))

    assert ["'=1", "n", "l"] == header
    assert ["'=cmd()", "-1", '["=x"]'] == row


def test_table_at_a_narrow_terminal(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table has as many columns as fit, and says which ones do not."""
    rows = [{f"column{n}": "[bold]x[/bold]" * 30 for n in range(9)}]
    monkeypatch.setenv("COLUMNS", "40")
    with Terminal(columns=40) as terminal, terminal.files() as files:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", files["stdout"])
            patch.setattr(sys, "stderr", files["stderr"])
            show_rows(rows, "table", Console())
            files["stdout"].flush()
        terminal.expect("columns that do not fit: column3, ")
        terminal.expect("[bold]x")


# Tokens


def test_no_tokens(shell: Shell) -> None:
    """Without tokens the error names the variables."""
    done = shell("status", "wf-1")

    assert 2 == done.status
    assert "LINKED_API_TOKEN" in done.err


def test_tokens_from_a_private_file(online: Shell, box: Sandbox) -> None:
    """A file that only its owner may read brings tokens, and goes before the shell's."""
    lines = [
        "# comment",
        "",
        "export ACCOUNT_API_TOKEN='file-token'",
        'IDENTIFICATION_TOKEN="file-account"',
        "OTHER=1",
    ]
    online.write("env", "\n".join(lines))
    online.set(IDENTIFICATION_TOKEN=None)
    done = online("run", "company.json", "--env-file", "env", "--no-wait")

    assert 0 == done.status
    assert "account_api" == box.workflows[-1].generation
    online.write("half", "IDENTIFICATION_TOKEN=x")
    assert 0 == online("run", "company.json", "--env-file", "half", "--no-wait").status
    generations = [workflow.generation for workflow in box.workflows[-2:]]
    assert ["account_api", "linked_api"] == generations


def test_files_that_bring_no_tokens(online: Shell) -> None:
    """A file that others may read, or an invalid one, is refused without a token."""
    online.write("open", "LINKED_API_TOKEN=secret-1", mode=0o644)
    online.write("odd", "LINKED_API_TOKEN secret-1")
    online.write("latin", b"LINKED_API_TOKEN=\xff")
    online.write("space", "LINKED_API_TOKEN='secret-1 secret-2'")
    for name, words in {
        "open": "others may read it; run: chmod 600 open",
        "odd": "odd:1: expected NAME=value",
        "latin": "latin is not UTF-8",
        "absent": "absent: No such file or directory",
        "space": "LINKED_API_TOKEN must be printable ASCII",
    }.items():
        done = online("status", "wf-1", "--env-file", name)

        assert 2 == done.status
        assert words in done.err
        assert "secret" not in done.err


def test_windows_does_not_tell_who_may_read(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the system does not tell who may read a file, it is taken as it is."""
    monkeypatch.setattr(_token_files, "_PRIVATE", False)
    shell.write("open", "LINKED_API_TOKEN=x", mode=0o644)

    assert {"LINKED_API_TOKEN": "x"} == variables("open").reveal()


def test_accounts(online: Shell, box: Sandbox) -> None:
    """Accounts come by name from a private file; one of several has to be named."""
    online.write("two.toml", 'sales = "token-1"\nhr = "token-2"')
    online.write("one.json", '{"sales": "token-1"}')
    run = ("run", "company.json", "--no-wait")

    assert 0 == online(*run, "--accounts", "two.toml", "--account", "hr").status
    hr = box.workflows[-1].account
    assert 0 == online(*run, "--accounts", "one.json").status
    assert hr != box.workflows[-1].account
    several = online(*run, "--accounts", "two.toml")
    assert 2 == several.status
    assert "several accounts; add --account NAME: sales, hr" in several.err
    absent = online(*run, "--accounts", "two.toml", "--account", "it")
    assert "no account 'it'; known accounts: sales, hr" in absent.err
    online.set(IDENTIFICATION_TOKEN=None)
    assert (
        "no account; set IDENTIFICATION_TOKEN, pass --accounts, or store the account "
        "with: linkedapi accounts add NAME" in online(*run).err
    )


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.toml", "sales = secret-1", "a.toml is not TOML"),
        ("a.json", '{"sales": "secret-1"', "a.json is not JSON"),
        ("a.json", '["secret-1"]', 'a.json: expected "name": "identification token"'),
        ("a.json", '{"sales": "secret-1 2"}', "a.json: sales must be printable ASCII"),
        ("a.json", '{"sales": 7}', "a.json: sales must be a string"),
        ("a.json", '{"a": "secret-1", "b": "secret-1"}', "the account is called 'a'"),
    ],
)
def test_accounts_that_are_none(
    online: Shell, name: str, text: str, words: str
) -> None:
    """An invalid file of accounts is refused without printing a token."""
    online.write(name, text)
    done = online("status", "wf-1", "--accounts", name)

    assert 2 == done.status
    assert words in done.err
    assert "secret" not in done.err


# Resuming


async def left_behind(path: Path, url: str) -> None:
    """Leave a journal with a running workflow and an unknown start."""
    async with SqliteJournal(path) as journal:
        account = "c0ffee"
        await journal.intend("mine", _name(), json.dumps(COMPANY).encode())
        await journal.unknown_start("mine")
        await journal.intend("other", account, b"{}")
        await journal.accepted("other", "wf-2")


def _name() -> str:
    return default_name(TOKENS["IDENTIFICATION_TOKEN"])


def test_resume(online: Shell, box: Sandbox) -> None:
    """What was started with a journal comes out later; the unknown waits for a word."""
    started = online("run", "company.json", "--no-wait", "--journal", "j").out.strip()
    asyncio.run(left_behind(online.folder / "j", box.url))
    first = online("recover", "j")
    (facts,) = json.loads(first.out)

    assert 8 == first.status
    assert (started, "run-1-1") == (facts["workflowId"], facts["key"])
    assert "waiting for 1" in first.err
    assert f"it is unknown whether 'mine' was started on {_name()}" in first.err
    assert (
        "linkedapi recover j --mark-started mine ID, --retry mine or --skip mine"
        in first.err
    )
    assert "1 belong to accounts that are not loaded: c0ffee" in first.err
    assert 2 == online("recover", "j", "--mark-started", "mine", "no id").status
    assert 13 == online("recover", "j", "--retry", "absent").status
    adopted = online(
        "recover", "j", "--mark-started", "mine", "wf-77", "--timeout", "0.2"
    )
    assert (12, "mine") == (adopted.status, json.loads(adopted.out)[0]["key"])


@pytest.mark.parametrize("word", ["--retry", "--skip"])
def test_decisions(online: Shell, box: Sandbox, word: str) -> None:
    """An unknown start is forgotten, or left alone for ever."""
    asyncio.run(left_behind(online.folder / "j", box.url))

    assert 0 == online("recover", "j", word, "mine").status
    assert ("mine" in {row.key for row in SqliteJournal.read("j")}) == (
        word == "--skip"
    )


def test_no_journal(online: Shell) -> None:
    """A journal that is not there is not made."""
    assert 2 == online("recover", "absent").status
    assert not (online.folder / "absent").exists()
    online.write("text", "no journal" * 100)
    assert 13 == online("recover", "text").status


# Signals


def interrupted(box: Sandbox, number: int, times: int = 1) -> threading.Thread:
    """Send a signal to this process at the first poll of the sandbox."""
    seen = box.log.polls

    def send() -> None:
        while box.log.polls == seen:
            threading.Event().wait(0.01)
        for _ in range(times):
            os.kill(os.getpid(), number)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_the_wait_only(shell: Shell, number: int) -> None:
    """A signal ends the wait, the workflow goes on, the last line says how to wait on."""
    with sandbox_in_a_thread(duration=100.0) as box:
        shell.set(**TOKENS, **FAST, LINKED_API_BASE_URL=box.url)
        shell.write("accounts.json", '{"a b": "account-88"}')
        sender = interrupted(box, number)
        options = ("--accounts", "accounts.json", "--account", "a b")
        done = shell("run", "company.json", *options)
        sender.join()
        (workflow,) = box.workflows
        state = workflow.state
        sender = interrupted(box, number)
        noted = shell("run", "company.json", "--journal", "my journal")
        sender.join()

    assert (128 + number, "") == (done.status, done.out)
    last = f"linkedapi wait {workflow.id} --accounts accounts.json --account 'a b'"
    assert "the wait ends\n" in done.err
    assert done.err.endswith(f"error: the workflow goes on; wait for it with: {last}\n")
    assert "running" == state
    assert "continue with: linkedapi recover 'my journal'\n" in noted.err


def after(condition: Callable[[], object]) -> Callable[[Any], Any]:
    """Return a change for the fault ``mangle`` that holds the answer back."""

    def change(answer: Any) -> Any:
        while not condition():
            threading.Event().wait(0.01)
        return answer

    return change


def test_signal_while_it_starts(shell: Shell) -> None:
    """A start under way gets its answer, so that the id is known."""
    with sandbox_in_a_thread(duration=100.0) as box:
        shell.set(**TOKENS, **FAST, LINKED_API_BASE_URL=box.url)
        sent = threading.Event()
        box.inject_fault("mangle", on="start", change=after(sent.is_set))

        def send() -> None:
            while not box.log.starts:
                threading.Event().wait(0.01)
            os.kill(os.getpid(), signal.SIGINT)
            sent.set()

        sender = threading.Thread(target=send)
        sender.start()
        done = shell("run", "company.json")
        sender.join()

    assert 130 == done.status
    assert "the wait ends after the start" in done.err


def test_second_signal_while_it_starts(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second signal during a start says where to look."""
    left: list[int] = []
    defaults = {"exit": left.append}
    monkeypatch.setattr(SignalHandler.__init__, "__kwdefaults__", defaults)
    with sandbox_in_a_thread(duration=100.0) as box:
        shell.set(**TOKENS, **FAST, LINKED_API_BASE_URL=box.url)
        box.inject_fault("mangle", on="start", change=after(lambda: left))

        def send() -> None:
            while not box.log.starts:
                threading.Event().wait(0.01)
            # Two signals that are pending at the same time count as one.
            while not left:
                os.kill(os.getpid(), signal.SIGINT)
                threading.Event().wait(0.05)

        sender = threading.Thread(target=send)
        sender.start()
        done = shell("run", "company.json")
        sender.join()

    assert {130} == set(left)
    assert "it is unknown whether it was started; check the history" in done.err


def test_cursor_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar hides the cursor; the last message is below the bar and shows it again."""
    with Terminal() as terminal, terminal.files() as files:
        monkeypatch.setattr(sys, "__stderr__", files["stderr"])
        _print_last("go on\nhere")
        terminal.expect("\r\ngo on\\nhere\r\n\x1b[?25h")


@pytest.mark.anyio
async def test_second_signal_leaves_at_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second signal prints the last message and ends the process."""
    left: list[int] = []
    monkeypatch.setattr(sys, "__stderr__", None)
    with SignalHandler(lambda: "first", lambda: "last", exit=left.append) as signals:
        os.kill(os.getpid(), signal.SIGINT)
        await signals.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        while not left:
            await asyncio.sleep(0)

    assert [143] == left
    assert 130 == signals.status
    assert "first\nlast\n" == capsys.readouterr().err


class Windows(asyncio.SelectorEventLoop):
    """A loop that hears no signals, as on Windows."""

    def add_signal_handler(self, *args: Any) -> None:  # type: ignore[override]
        """Refuse, as the base class of all loops does."""
        raise NotImplementedError


def test_signals_without_help_of_the_loop(capsys: pytest.CaptureFixture[str]) -> None:
    """Where the loop hears no signals, Python's own handlers do, and are put back."""
    before = signal.getsignal(signal.SIGTERM)

    async def body() -> int | None:
        """Hear a signal."""
        with SignalHandler(lambda: "first", lambda: "last") as signals:
            asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGTERM)
            await signals.wait()
        return signals.status

    with asyncio.Runner(loop_factory=Windows) as runner:
        assert 143 == runner.run(body())
    assert before is signal.getsignal(signal.SIGTERM)


# Serving


def interrupted_when_ready(ready: Callable[[], object] = lambda: True) -> Any:
    """Send SIGINT as soon as the command handles signals and is *ready*."""
    before = signal.getsignal(signal.SIGTERM)

    def send() -> None:
        while signal.getsignal(signal.SIGTERM) is before or not ready():
            threading.Event().wait(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def test_sandbox_ends_with_a_signal(shell: Shell) -> None:
    """A sandbox listens until Ctrl-C, and says where."""
    sender = interrupted_when_ready()
    done = shell("sandbox", "--port", "0", "--speed", "10")
    sender.join()

    assert 0 == done.status
    assert done.out.startswith("http://127.0.0.1:")
    assert f"LINKED_API_BASE_URL={done.out.strip()}" in done.err


def test_sandbox_with_every_option(shell: Shell) -> None:
    """The options set up the sandbox, and a warning says who can reach it."""
    sender = interrupted_when_ready()
    done = shell(
        *("sandbox", "--port", "0", "--duration", "5", "--limits", "default"),
        *("--note-limit", "1", "--seats", "2", "--working-hours", "09:00-17:00"),
        *("--working-days", "sun", "--refuse-off-hours", "--timezone", "Europe/Berlin"),
        *("--now", "2026-07-01T12:00:00Z", "--sign-out", "account", "--control"),
        *("--host", "0.0.0.0"),  # for its warning
    )
    sender.join()

    assert 0 == done.status
    assert "warning: other machines can reach the sandbox at 0.0.0.0" in done.err


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--limits", "stMessages", "a limit must be default or as in"),
        ("--working-hours", "9 to 5", "working hours must be as in 09:00-17:00"),
        ("--working-hours", "18:00-09:00", "opens must be before closes"),
        ("--timezone", "Mars", "timezone must be a name such as Europe/Berlin"),
        ("--now", "2026-07-01T12:00", "now must have a time zone"),
        ("--now", "soon", "Invalid isoformat string"),
    ],
)
def test_wrong_options_of_a_sandbox(
    shell: Shell, option: str, value: str, message: str
) -> None:
    """A wrong option of a sandbox is an error that says what is allowed."""
    done = shell("sandbox", option, value)

    assert 2 == done.status
    assert message in done.err


SECRET = "whsec_" + "s" * 40


def posted(url: str, *ids: str) -> threading.Thread:
    """Post events to *url* as soon as it accepts connections."""

    def post() -> None:
        for name in ids:
            event = {"id": name, "type": "brand.new", "evil": "\x1b\u202e"}
            body = json.dumps(event).encode()
            headers = sign(body, secret=SECRET)
            request = urllib.request.Request(url, body, headers)
            for _ in range(6000):
                try:
                    urllib.request.urlopen(request).close()
                    break
                except urllib.error.URLError:
                    threading.Event().wait(0.01)

    thread = threading.Thread(target=post)
    thread.start()
    return thread


def free_port() -> str:
    """Return a free port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


def test_events_are_printed(shell: Shell) -> None:
    """Events are lines of JSON, each once and harmless, until there are enough."""
    port = free_port()
    shell.write("env", f"LINKED_API_WEBHOOK_SECRET={SECRET}")
    listen = ("webhook", "listen", "--port", port, "--path", "/hook", "--count", "2")
    sender = posted(f"http://127.0.0.1:{port}/hook", "evt-1", "evt-1", "evt-2")
    done = shell(*listen, "--env-file", "env")
    sender.join()
    lines = [json.loads(line) for line in done.out.splitlines()]

    assert 0 == done.status
    assert ["evt-1", "evt-2"] == [line["id"] for line in lines]
    assert not acts(done.out)
    assert f"listening at http://127.0.0.1:{port}/hook\n" in done.err
    assert ", 1 repeated, 0 refused" in done.err


def test_receiver_ends_with_a_signal(shell: Shell) -> None:
    """A receiver without a count listens until Ctrl-C."""
    port = free_port()
    sender = posted(f"http://127.0.0.1:{port}/", "evt-1")
    stopper = interrupted_when_ready(lambda: not sender.is_alive())
    done = shell("webhook", "listen", "--port", port, "--allow-unsigned")
    sender.join()
    stopper.join()

    assert 0 == done.status
    assert "evt-1" == json.loads(done.out)["id"]
    assert "the receiver ends\n1 events, 0 repeated, 0 refused" in done.err


def test_invalid_receivers(shell: Shell) -> None:
    """A receiver has a secret, a right one, and a path."""
    listen = ("webhook", "listen", "--port", "0")
    without = shell(*listen)
    shell.set(LINKED_API_WEBHOOK_SECRET="")
    empty = shell(*listen)
    shell.set(LINKED_API_WEBHOOK_SECRET=" ")
    wrong = shell(*listen)
    path = shell(*listen, "--path", "hook")

    assert [2] * 4 == [d.status for d in (without, empty, wrong, path)]
    assert "LINKED_API_WEBHOOK_SECRET is not set" in without.err
    assert "LINKED_API_WEBHOOK_SECRET is not set" in empty.err
    assert "--path must be a path such as /hook, got 'hook'" in path.err


def test_as_a_module(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m linkedapi_async` is the command; importing it does nothing."""
    monkeypatch.setattr(sys, "argv", ["linkedapi", "--version"])
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    importlib.import_module("linkedapi_async.__main__")
    monkeypatch.delitem(sys.modules, "linkedapi_async.__main__")

    with pytest.raises(SystemExit, match="0"):
        runpy.run_module("linkedapi_async", run_name="__main__")
    assert "linkedapi, version " in out.getvalue()


def test_port_that_is_taken(shell: Shell, box: Sandbox) -> None:
    """A port in use is reported in one line."""
    port = box.url.rpartition(":")[2]
    shell.set(LINKED_API_WEBHOOK_SECRET=SECRET)

    for command in (["sandbox"], ["webhook", "listen"]):
        done = shell(*command, "--port", port)

        assert 2 == done.status
        assert f"cannot listen at 127.0.0.1:{port}" in done.err
