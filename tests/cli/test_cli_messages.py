"""What the command line says when something is wrong, and what it never says."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from cli_harness import FAST, TOKENS, Shell, Terminal, process, sandbox_in_a_thread

from linkedapi_async import Session, errors, load_workflow, st
from linkedapi_async.cli import _inspect
from linkedapi_async.cli._messages import message_of
from linkedapi_async.journal import SqliteJournal
from linkedapi_async.sandbox import Sandbox


COMPANY: dict[str, Any] = {
    "actionType": "st.openCompanyPage",
    "companyUrl": "https://www.linkedin.com/company/acme",
}


@pytest.fixture
def shell(shell: Shell) -> Shell:
    """A folder with a workflow, and tokens of the sandbox."""
    shell.write("company.json", json.dumps(COMPANY))
    return shell


# Messages


def raised(call: Any) -> Exception:
    """Return the error that *call* raises."""
    with pytest.raises(Exception) as caught:  # noqa: PT011  # any of the library
        call()
    return caught.value


MISTAKES = (
    errors.WaitTimeoutError(seconds=3, handle=None, workflow_id="wf-1"),
    errors.SessionClosedError(workflow_id="wf-1"),
    errors.PollingCrashedError(workflow_id="wf-1"),
    raised(lambda: Session(linked_api_token="a", base_url="http://example.com")),
    raised(lambda: Session(linked_api_token="a", base_url="example.com")),
    raised(lambda: load_workflow({**COMPANY, "company_url": 5})),
    raised(lambda: load_workflow({**COMPANY, "basicInfo": "yes"})),
    raised(lambda: st.open_company_page(basic_info=5)),  # type: ignore[arg-type]
    raised(lambda: st.search_people(custom_search_url="u", term="x", limit=0)),
)


@pytest.mark.parametrize("error", MISTAKES)
def test_no_advice_for_python(error: Exception) -> None:
    """A message names JSON, options and variables, and no Python."""
    for one in getattr(error, "problems", [error]):
        text = message_of(one)

        assert text
        assert not re.search(r"\w\(|\w=|\b[a-z]+_[a-z_]+\b(?!')", text), text


def test_timeouts_keep_their_workflow() -> None:
    """What is cut off a message is advice only."""
    assert "not finished after 3 s; the workflow goes on [workflow wf-1]" == message_of(
        MISTAKES[0]
    )


def test_generations_are_named_by_their_variables(shell: Shell) -> None:
    """An action of the other generation names the variable of its token."""
    shell.set(LINKED_API_TOKEN=None, ACCOUNT_API_TOKEN="main-token-77")
    shell.write("inbox.json", '{"actionType": "st.syncInbox"}')
    done = shell("run", "inbox.json")

    assert 3 == done.status
    assert "LINKED_API_TOKEN" in done.err
    assert "check=False" not in done.err


FORGED = "no\nerror: all done\r\x1b[2K"


def test_server_text_cannot_forge_lines(shell: Shell, box: Sandbox) -> None:
    """A message of the server stays on its line, whatever it has."""
    box.inject_fault(
        "status", on="start", status=400, type="plusPlanRequired", message=FORGED
    )
    refused = shell("run", "company.json")
    box.fail_action("st.openCompanyPage", "companyNotFound", message=FORGED)
    failed = shell("run", "company.json")

    assert (6, 9) == (refused.status, failed.status)
    for shown in (refused.err, failed.err):
        assert "no\\nerror: all done\\r\\x1b[2K" in shown
        assert "error: all done" not in shown.splitlines()
        assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("word", "hint"),
    [("chek", "did you mean check?"), ("btach", "did you mean batch?"), ("zzz", "")],
)
def test_misspelt_commands(shell: Shell, word: str, hint: str) -> None:
    """An unknown command gets a suggestion, if one is close."""
    done = shell(word)

    assert 2 == done.status
    assert f"No such command '{word}'" in done.err
    assert ("did you mean" in done.err) == bool(hint)
    assert hint in done.err


@pytest.mark.parametrize("command", [("actions",), ("exit-codes",)])
def test_lists_fit_the_terminal(shell: Shell, command: tuple[str, ...]) -> None:
    """At a terminal no line is wider; elsewhere each entry is one line."""
    shell.set(COLUMNS="60")
    with Terminal(columns=60) as terminal:
        assert 0 == shell.at(terminal, *command)
        lines = terminal.text.splitlines()
    plain = shell(*command).out.splitlines()

    assert len(plain) < len(lines)
    assert max(map(len, lines)) <= 60 < max(map(len, plain))
    assert [" ".join(" ".join(plain).split())] == [" ".join(" ".join(lines).split())]


# Ends without a traceback


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
        (OSError(errno.ENOSPC, "No space left"), 2, "standard output: No space left"),
        (OSError(errno.EACCES, "Denied", "x.csv"), 2, "error: x.csv: Denied\n"),
        (OSError("odd"), 2, "error: standard output: odd\n"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 1, ""),
    ],
)
def test_errors_of_the_system(
    shell: Shell,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    status: int,
    words: str,
) -> None:
    """An interrupt, a full disk and a closed pipe end a command in one line."""

    def fail(_: str) -> None:
        raise error

    monkeypatch.setattr(_inspect, "search_actions", fail)
    done = shell("actions", "x")

    assert status == done.status
    assert words in done.err
    assert "Traceback" not in done.err


@pytest.mark.anyio
async def test_full_device_loses_no_result(tmp_path: Path) -> None:
    """A result that could not be printed is not acknowledged: `recover` prints it."""
    (tmp_path / "company.json").write_text(json.dumps(COMPANY))
    words = [sys.executable, "-m", "linkedapi_async"]
    full = os.open("/dev/full", os.O_WRONLY)
    with sandbox_in_a_thread(speed=2000) as box:
        env = {**os.environ, **TOKENS, **FAST, "LINKED_API_BASE_URL": box.url}
        failed = []
        for command in (["run", "company.json", "--journal", "j"], ["recover", "j"]):
            started = await asyncio.create_subprocess_exec(
                *words,
                *command,
                stdout=full,
                stderr=asyncio.subprocess.PIPE,
                cwd=tmp_path,
                env=env,
            )
            _, err = await started.communicate()
            failed.append((started.returncode, err.decode()))
        states = [row.state for row in SqliteJournal.read(tmp_path / "j")]
        done = await process("recover", "j", folder=tmp_path, env=env)
        last = [row.state for row in SqliteJournal.read(tmp_path / "j")]
    os.close(full)

    for status, text in failed:
        assert 2 == status
        assert "error: standard output: No space left on device\n" in text
        assert "Traceback" not in text
        assert "Exception" not in text
    assert (["finished"], ["delivered"]) == (states, last)
    assert "st.openCompanyPage" in done.out


@pytest.mark.anyio
@pytest.mark.parametrize("command", ["wait", "recover"])
async def test_interrupted_waits_lose_nothing(tmp_path: Path, command: str) -> None:
    """Ctrl-C while some have ended prints no traceback and acknowledges nothing."""
    (tmp_path / "company.json").write_text(json.dumps(COMPANY))
    with sandbox_in_a_thread(speed=2000) as box:
        env = {**os.environ, **TOKENS, **FAST, "LINKED_API_BASE_URL": box.url}
        start = ("run", "company.json", "--no-wait", "--journal", "j")
        first = (await process(*start, folder=tmp_path, env=env)).out.strip()
        box.inject_fault("stall", on="status", count=None, seconds=600)
        second = (await process(*start, folder=tmp_path, env=env)).out.strip()
        box.clear_faults()
        waits = {"wait": (first, second), "recover": ("j",)}[command]
        box.inject_fault("stall", on="status", count=None, after=1, seconds=600)
        polled = box.requests
        started = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "linkedapi_async", command, *waits),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=tmp_path,
            env=env,
        )
        while box.requests < polled + 2:
            await asyncio.sleep(0.01)
        started.send_signal(signal.SIGINT)
        out, err = await started.communicate()
        states = {row.state for row in SqliteJournal.read(tmp_path / "j")}
        box.clear_faults()
        done = await process("recover", "j", folder=tmp_path, env=env)

    assert (130, b"") == (started.returncode, out)
    assert b"error: continue with: linkedapi " in err
    for word in (b"Traceback", b"never retrieved", b"Exception"):
        assert word not in err
    assert "delivered" not in states
    assert {first, second} == {end["workflowId"] for end in json.loads(done.out)}


# Proxies


def test_proxies(shell: Shell) -> None:
    """Requests go through the proxy of an option, a variable or the environment."""
    run = ("run", "company.json", "--no-wait")
    nowhere = "http://127.0.0.1:9"

    assert 0 == shell(*run).status
    assert 7 == shell("status", "wf-1", "--proxy", nowhere).status
    shell.set(HTTP_PROXY=nowhere)
    assert 0 == shell(*run).status
    assert 7 == shell("status", "wf-1", "--trust-env").status
    shell.set(HTTP_PROXY=None, LINKED_API_PROXY="http://user:secret-1@127.0.0.1:9")
    done = shell("status", "wf-1")
    assert 7 == done.status
    assert "secret-1" not in done.err


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://u:secret-1@proxy:1", "--proxy must not have a password"),
        ("secret-1", "--proxy must be a URL such as http://proxy:3128"),
        ("http://[secret-1", "--proxy must be a URL such as http://proxy:3128"),
    ],
)
def test_proxies_that_are_refused(shell: Shell, url: str, words: str) -> None:
    """A URL with a password is refused as an argument, and printed in no case."""
    done = shell("status", "wf-1", "--proxy", url)

    assert 2 == done.status
    assert words in done.err
    assert "secret-1" not in done.err


def test_plain_http_off_this_machine(shell: Shell) -> None:
    """Tokens go to another machine unencrypted only if an option says so."""
    shell.set(LINKED_API_BASE_URL="http://sandbox.invalid:8080")
    refused = shell("status", "wf-1")
    tried = shell(
        *("status", "wf-1", "--allow-insecure-http", "--proxy", "http://127.0.0.1:9")
    )

    assert 2 == refused.status
    assert (
        "would send the tokens unencrypted; use https, or pass --allow-insecure-http\n"
    ) in refused.err
    assert 7 == tried.status


def test_commands_to_continue_keep_plain_http(shell: Shell) -> None:
    """A command line that is suggested accepts the same URL."""
    with sandbox_in_a_thread(duration=100.0) as box:
        shell.set(LINKED_API_BASE_URL=box.url)
        done = shell("run", "company.json", "--timeout", "0", "--allow-insecure-http")

    assert 12 == done.status
    assert done.err.endswith(" --allow-insecure-http\n")


def test_commands_to_continue_keep_the_proxy(shell: Shell) -> None:
    """A command line that is suggested reaches the API in the same way."""
    with sandbox_in_a_thread(duration=100.0) as box:
        shell.set(LINKED_API_BASE_URL=box.url)
        done = shell("run", "company.json", "--timeout", "0", "--trust-env")

    assert 12 == done.status
    assert done.err.endswith(" --trust-env\n")
