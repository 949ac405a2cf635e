"""The command line as processes: with a terminal and without, killed and interrupted."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
import shlex
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cli_forks import Fork
from cli_harness import (
    FAST,
    TOKENS,
    Done,
    Shell,
    Terminal,
    process,
    sandbox_in_a_thread,
)

from linkedapi_async.cli._admin import EXAMPLES, all_calls
from linkedapi_async.cli._app import app
from linkedapi_async.cli._operations import all_operations
from linkedapi_async.fleet import Queue
from linkedapi_async.sandbox import Sandbox
from linkedapi_async.webhooks import sign


pytestmark = pytest.mark.anyio

VISIT = {"actionType": "st.openPersonPage", "personUrl": "{{url}}"}
HELLO = {
    "actionType": "st.sendMessage",
    "personUrl": "{{url}}",
    "text": "Hello {{name}}!",
}
COMPANY = {
    "actionType": "st.openCompanyPage",
    "companyUrl": "https://www.linkedin.com/company/acme",
    "then": {"actionType": "st.retrieveCompanyEmployees", "limit": 3},
}
FLOWS = """
from linkedapi_async import st
employees = st.retrieve_company_employees(limit=2)
company = st.open_company_page("https://www.linkedin.com/company/acme").then(employees)
"""


def files(folder: Path, number: int = 3) -> None:
    """Write what the examples speak of."""
    message = {**HELLO, "personUrl": "https://www.linkedin.com/in/x", "text": "Hi"}
    rows = [f"https://www.linkedin.com/in/p{n},N{n}" for n in range(number)]
    texts = {
        "company.json": json.dumps(COMPANY),
        "message.json": json.dumps(message),
        "visit.json": json.dumps(VISIT),
        "hello.json": json.dumps(HELLO),
        "people.csv": "\n".join(["url,name", *rows]),
        "flows.py": FLOWS,
        "sales.env": "\n".join(f"{name}={token}" for name, token in TOKENS.items()),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def variables(box: Sandbox) -> dict[str, str]:
    """Return the environment of a command that talks to *box*."""
    return {
        **TOKENS,
        **FAST,
        "LINKED_API_BASE_URL": box.url,
        "ACCOUNT_API_TOKEN": "",
        "PYTHONIOENCODING": "utf-8",
    }


# The examples


def examples() -> list[str]:
    """Return the examples of all help texts."""
    found: list[str] = []

    def visit(command: Any, words: list[str]) -> None:
        with command.make_context(" ".join(words), [], resilient_parsing=True) as ctx:
            text = command.get_help(ctx)
            for name in getattr(command, "list_commands", lambda _: [])(ctx):
                visit(command.get_command(ctx, name), [*words, name])
        assert "Examples:" in text or words == ["linkedapi", "webhook"], words
        lines = text.partition("Examples:\n")[2].splitlines()
        found.extend(
            line.strip() for line in lines if re.match(r"    (linkedapi|cat) ", line)
        )

    visit(app, ["linkedapi"])
    return found


SERVERS = (
    *("linkedapi sandbox", "linkedapi webhook listen", "linkedapi mcp --http"),
    "linkedapi worker",
)


async def in_a_shell(example: str, folder: Path, env: dict[str, str]) -> Done:
    """Run an example in a shell."""
    command = example.replace("linkedapi ", f"{sys.executable} -m linkedapi_async ")
    made = await asyncio.create_subprocess_shell(
        command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=folder,
        env={**os.environ, **env},
    )
    out, err = await made.communicate()
    return Done(made.returncode or 0, out.decode(), err.decode())


ADMIN_CHANGES = [call.example for call in all_calls() if call.changes]


def status_of_example(command: str) -> int:
    """Return the exit status of an example."""
    if command.startswith("linkedapi drift --since"):
        return 15
    if "--retry" in command:  # there is nothing to decide on in this journal
        return 13
    if re.match(r"linkedapi queue (adopt|discard|cancel|retry) ", command):
        return 13  # nor is there anything in this queue
    if "--queue postgresql:" in command:  # its writes are confirmed at a terminal
        return 14
    if "get-connection-session" in command:  # there is no such session
        return 6
    words = command.split()[:4]
    # Changes are confirmed at a terminal.
    changes = any(words == example.split()[:4] for example in ADMIN_CHANGES)
    return 14 if changes else 0


async def create_queue(path: Path) -> None:
    """Create a queue without items."""
    async with Queue(f"sqlite:///{path}"):
        pass


def test_examples_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All examples of all help texts do what they show."""
    files(tmp_path)
    asyncio.run(create_queue(tmp_path / "work.sqlite3"))
    (tmp_path / ".config" / "fish" / "completions").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    shell = Shell(tmp_path, monkeypatch, capsys)
    commands = [line for line in examples() if not line.startswith(SERVERS)]
    with sandbox_in_a_thread(speed=2000) as box:
        env = {
            **variables(box),
            "HOME": str(tmp_path),
            "XDG_STATE_HOME": str(tmp_path / "state"),
            "XDG_CONFIG_HOME": str(tmp_path / ".config"),
            "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
            "LINKED_API_QUEUE": "sqlite:///work.sqlite3",
        }
        shell.set(**env)
        # The ids and the journal of the examples.
        run = ("run", "company.json", "--no-wait")
        ids = {
            "wf-1f0c2a9e": shell(*run).out.strip(),
            "wf-9b3d77e4": shell(*run, "--journal", "runs.journal").out.strip(),
        }
        accounts = json.loads(shell("admin", "accounts", "get-all").out)["accounts"]
        ids[EXAMPLES["account_id"]] = accounts[0]["id"]
        for command in commands:
            for name, real in ids.items():
                command = command.replace(name, real)  # noqa: PLW2901
            if set("|>") & set(command):
                done = asyncio.run(in_a_shell(command, tmp_path, env))
            else:
                done = shell(*shlex.split(command)[1:])

            assert done.status == status_of_example(command), command
            assert "Traceback" not in done.err

    assert len(commands) > 25
    assert 3 == len(shell.read("results.jsonl").splitlines())


async def listening(*words: str, folder: Path, env: dict[str, str]) -> Any:
    """Start a command that serves; return it and where it listens."""
    made = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "linkedapi_async",
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=folder,
        env={**os.environ, **env},
    )
    assert made.stderr is not None
    line = (await made.stderr.readline()).decode()
    return made, re.findall(r"http://[^\s]+", line)[0]


async def test_servers(tmp_path: Path) -> None:
    """A sandbox serves another command; both servers end with a signal."""
    sandbox, url = await listening(
        "sandbox", "--port", "0", "--speed", "999", folder=tmp_path, env={}
    )
    files(tmp_path)
    env = {**TOKENS, **FAST, "LINKED_API_BASE_URL": url}
    done = await process("run", "company.json", folder=tmp_path, env=env)
    sandbox.send_signal(signal.SIGTERM)
    out, err = await sandbox.communicate()

    assert 0 == done.status
    assert (0, f"{url}\n") == (sandbox.returncode, out.decode())
    assert b"the sandbox ends\n" in err


async def test_webhooks_are_printed(tmp_path: Path) -> None:
    """Events come out as lines of JSON, each once, if the secret fits."""
    secret = "whsec-" + "s" * 40
    event = {
        "id": "evt-1",
        "type": "webhook.test",
        "createdAt": "2026-01-01T00:00:00Z",
        "data": {},
    }
    body = json.dumps({**event, "evil": "\x1b\u202e"}).encode()
    words = ("webhook", "listen", "--port", "0", "--path", "/hook", "--count", "2")
    env = {"LINKED_API_WEBHOOK_SECRET": secret}
    made, url = await listening(*words, folder=tmp_path, env=env)
    other = json.dumps({**event, "id": "evt-2"}).encode()
    statuses = []
    async with aiohttp.ClientSession() as http:
        for content, key in [
            (body, "x" * 46),
            (body, secret),
            (body, secret),
            (other, secret),
        ]:
            headers = sign(content, secret=key)
            async with http.post(url, data=content, headers=headers) as answer:
                statuses.append(answer.status)
    async with asyncio.timeout(100):
        out, err = await made.communicate()
    lines = out.decode().splitlines()

    assert [401, 204, 204, 204] == statuses
    assert 0 == made.returncode, err
    assert ["evt-1", "evt-2"] == [json.loads(line)["id"] for line in lines]
    assert "\x1b" not in out.decode()
    assert "\u202e" not in out.decode()
    assert "2 events, 1 repeated, 1 refused" in err.decode()


# Crashes


async def killed(folder: Path, env: dict[str, str], seconds: float | None) -> int:
    """Run a batch, and kill it after some seconds; return its exit status."""
    made = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "linkedapi_async", "batch", "hello.json", "--from", "people.csv"),
        *("--out", "r.jsonl", "--yes", "--limit", "8", "-q"),
        stderr=asyncio.subprocess.DEVNULL,
        cwd=folder,
        env={**os.environ, **env},
    )
    killer = None
    if seconds is not None:
        killer = asyncio.get_running_loop().call_later(seconds, made.kill)
    status = await made.wait()
    if killer is not None:
        killer.cancel()
    return status


async def test_killed_at_any_moment(tmp_path: Path) -> None:
    """Killed again and again, a batch starts nothing twice and loses no result."""
    rng, number, kills = random.Random(7), 60, 0
    files(tmp_path, number)
    with sandbox_in_a_thread(duration=0.03) as box:
        env = variables(box)
        while (
            await killed(tmp_path, env, rng.uniform(0.45, 0.8) if kills < 6 else None)
            < 0
        ):
            kills += 1
        doubt = await process(
            "recover", "r.jsonl.journal", "--timeout", "1", folder=tmp_path, env=env
        )
        taken = box.accepted_by_definition
    unknown = re.findall(r"whether '(\w+)' was started", doubt.err)
    lines = [
        json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()
    ]
    keys = [line["key"] for line in lines]

    assert kills >= 3
    assert number >= len(taken)
    assert [] == [ids for ids in taken.values() if len(ids) > 1]
    assert len(set(keys)) == len(keys)
    assert number == len(keys) + len(unknown)
    assert set(keys).isdisjoint(unknown)


# Terminals


async def until(condition: Any) -> None:
    """Wait until something is so."""
    while not condition():
        await asyncio.sleep(0.01)


async def ended(made: Fork) -> int:
    """Return the exit status of a process."""
    return await asyncio.to_thread(made.wait)


async def test_terminal(tmp_path: Path) -> None:
    """At a terminal the batch asks, shows a bar, and handles two interrupts."""
    files(tmp_path, 30)
    batch = ("batch", "hello.json", "--from", "people.csv", "--out", "r.jsonl")
    with sandbox_in_a_thread(duration=60.0) as box, contextlib.ExitStack() as stack:
        env = {**variables(box), "TERM": "xterm"}
        first = stack.enter_context(Terminal(columns=120))
        second = stack.enter_context(Terminal(columns=120))
        asked = first.start(*batch, folder=tmp_path, env=env)
        waits = second.start("run", "company.json", folder=tmp_path, env=env)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, first.expect, "Send [y/N]: ")
        first.press("y\n")
        await until(lambda: len(box.workflows) > 20)
        first.press("\x03")
        await loop.run_in_executor(None, first.expect, "no more starts")
        running = asked.poll()
        first.press("\x03")
        left = await ended(asked)
        await loop.run_in_executor(None, second.expect, "started wf-")
        second.press("\x03")
        alone = await ended(waits)
        await loop.run_in_executor(
            None, second.expect, "wait for it with: linkedapi wait wf-"
        )
        taken = len(box.workflows)

    assert running is None
    assert (130, 130) == (left, alone)
    assert 21 == taken
    assert "time left unknown" in first.text
    assert "\x1b[2Kno more starts" in first.text  # above the bar, not in it
    last = first.text.rpartition("continue with: ")[2]
    assert last.rstrip().endswith("\x1b[?25h")
    assert last.startswith("linkedapi batch hello.json --from people.csv --out r.jsonl")


# The output of each command; ID and JOURNAL are those of an earlier run.
EVERY = {
    "accounts": ("accounts list", "[]"),
    "actions": ("actions employees", "st.retrieveCompanyEmployees"),
    "admin": ("admin accounts get-all", "identificationToken"),
    "batch": ("batch visit.json --from people.csv --out OUT --yes", "done"),
    "cancel": ("cancel ID", "ID"),
    "check": ("check company.json", "no problems"),
    "completion": ("completion bash", "complete"),
    "drift": ("drift", "official SDK"),
    "draw": ("draw company.json", "st.retrieveCompanyEmployees"),
    "exit-codes": ("exit-codes", "130"),
    "explain": ("explain company.json", "actions"),
    "feedback": ("feedback praise good", "feedback-"),
    "inbox": ("inbox", "[]"),
    "network": ("network", "[]"),
    "person": ("person https://www.linkedin.com/in/ada", "st.openPersonPage"),
    "queue": ("queue status --url sqlite:///queue.sqlite3", "queued"),
    "recover": ("recover JOURNAL", "st.openCompanyPage"),
    "run": ("run company.json", "st.openCompanyPage"),
    "schema": ("schema", "$defs"),
    "status": ("status ID", "completed"),
    "usage": ("usage", "["),
    "wait": ("wait ID", "st.openCompanyPage"),
    "whoami": ("whoami", "https://www.linkedin.com/in/"),
}
SERVING = {
    "mcp": "mcp --http 127.0.0.1:0",
    "sandbox": "sandbox --port 0",
    "webhook": "webhook listen --port 0 --allow-unsigned",
}


async def test_every_command_is_a_process(tmp_path: Path) -> None:
    """Each command works as a process, with a terminal and without.

    One operation is tried for all, which are made by the same code. A worker needs a
    module of the user's: the tests of the fleet have one.
    """
    known = app.list_commands(app.make_context("x", [], resilient_parsing=True))
    assert {*EVERY, *SERVING, "worker", *all_operations()} == {*known}
    files(tmp_path)
    await create_queue(tmp_path / "queue.sqlite3")
    with sandbox_in_a_thread(speed=2000) as box:
        env = {**variables(box), "TERM": "xterm"}
        start = ("run", "company.json", "--no-wait", "--journal")
        first, second = await asyncio.gather(
            *(process(*start, name, folder=tmp_path, env=env) for name in ("a", "b"))
        )
        real = {"ID": first.out.strip(), "JOURNAL": "a", "OUT": "a.jsonl"}
        others = {"ID": second.out.strip(), "JOURNAL": "b", "OUT": "b.jsonl"}
        for name, (line, shows) in EVERY.items():
            plain = [real.get(word, word) for word in line.split()]
            seen = [others.get(word, word) for word in line.split()]
            with Terminal(columns=120) as terminal:
                made = terminal.start(*seen, folder=tmp_path, env=env)
                done, status = await asyncio.gather(
                    process(*plain, folder=tmp_path, env=env), ended(made)
                )

            assert (done.status, name) == (status, name)
            assert real.get(shows, shows) in done.out + done.err, name
            assert others.get(shows, shows) in terminal.text, name
            assert "Traceback" not in done.err + terminal.text
            if name != "cancel":  # what has ended cannot be cancelled
                assert (0, name) == (status, name)


async def test_servers_at_a_terminal(tmp_path: Path) -> None:
    """What serves says where, and ends with Ctrl-C."""
    loop = asyncio.get_running_loop()
    env = {**TOKENS, "LINKED_API_MCP_TOKEN": "a-secret-of-the-clients"}
    for name, line in SERVING.items():
        with Terminal(columns=120) as terminal:
            made = terminal.start(*line.split(), folder=tmp_path, env=env)
            await loop.run_in_executor(None, terminal.expect, "http://127.0.0.1:")
            terminal.press("\x03")

            assert (name, 0) == (name, await ended(made)), terminal.text
            assert "Traceback" not in terminal.text


async def test_old_consoles(tmp_path: Path) -> None:
    """Data is UTF-8 whatever the code page; messages escape what it does not have."""
    files(tmp_path)
    (tmp_path / "λ日.json").write_text("{}", encoding="utf-8")
    env = {"PYTHONIOENCODING": "iso8859-7"}
    done = await in_a_shell("linkedapi explain company.json", tmp_path, env)
    wrong = await in_a_shell("linkedapi check λ日.json", tmp_path, env)
    refused = await in_a_shell("linkedapi run 日.json", tmp_path, env)

    assert 0 == done.status
    assert "1 × st.openCompanyPage" in done.out
    assert "λ日.json: " in wrong.out
    assert "\\u65e5.json" in refused.err


async def test_pipe_that_closes(tmp_path: Path) -> None:
    """A reader that has enough ends the command without a traceback."""
    command = "linkedapi actions | head -1"
    done = await in_a_shell(command, tmp_path, {})

    assert 1 == len(done.out.splitlines())
    assert "Traceback" not in done.err
