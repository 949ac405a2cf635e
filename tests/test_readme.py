"""The README and the examples do what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"(?:<!-- (\w+) -->\n)?```(\w+)\n(.*?)```", re.DOTALL)
BLOCKS = [(mark, language, text) for mark, language, text in BLOCK.findall(README)]

# The waits of the default policy are for workflows that take minutes.
HURRY = """
from linkedapi_async import Polling, Session
patient = Session.from_env.__func__
def hurried(cls, **settings):
    return patient(cls, polling=Polling().faster(1000), **settings)
Session.from_env = classmethod(hurried)
"""


def block(mark: str) -> str:
    """Return the block behind a comment with *mark*."""
    (text,) = (text for name, _, text in BLOCKS if name == mark)
    return str(text)


def run(
    code: str, folder: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run *code* in an interpreter and a folder of its own."""
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **environment},
    )


@pytest.fixture(scope="module")
def sandbox_url() -> Iterator[str]:
    """A sandbox in a process of its own, as a user would run it."""
    command = [sys.executable, "-m", "linkedapi_async.sandbox", "--speed", "2000"]
    with subprocess.Popen(
        [*command, "--port", "0"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        (url,) = re.findall(r"http://[\d.]+:\d+", line)[:1]
        yield url
        process.terminate()


def test_every_snippet_runs(sandbox_url: str, tmp_path: Path) -> None:
    """The snippets run from top to bottom, and print what the README shows."""
    snippets = [
        text for mark, language, text in BLOCKS if language == "python" and not mark
    ]
    (shown,) = (t for mark, language, t in BLOCKS if language == "text" and not mark)
    done = run(
        HURRY + "\n".join(snippets),
        tmp_path,
        LINKED_API_TOKEN="token",
        IDENTIFICATION_TOKEN="account",
        LINKED_API_BASE_URL=sandbox_url,
        ACCOUNT_API_TOKEN="",
    )

    assert "" == done.stderr
    assert shown in done.stdout
    assert "Acme has" in done.stdout
    assert "follows" in done.stdout
    assert 2 == done.stdout.count("told https://www.linkedin.com/in/")
    assert "() wait for a decision" in done.stdout
    assert 20 == len(re.findall(r"^Company \d+ \d+$", done.stdout, re.MULTILINE))


def test_mistake_is_caught_at_run_time(tmp_path: Path) -> None:
    """Python says what the README says that it says."""
    done = run(block("mistake"), tmp_path)

    assert f"linkedapi_async.errors.{block('python')}" in done.stderr


def test_mistake_is_caught_by_mypy(tmp_path: Path) -> None:
    """So does mypy."""
    path = tmp_path / "mistake.py"
    path.write_text(block("mistake"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-pretty", str(path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )

    assert block("mypy").strip() in done.stdout


def test_both_commands_stand_at_the_top() -> None:
    """A newcomer finds them before anything else."""
    top = README[: README.index("\n---\n")]

    assert "python -m pip install nox && python -m nox -s demo" in top
    assert "python -m pip install nox && python -m nox -s tests" in top


def test_ci_runs_the_command_of_the_readme() -> None:
    """What the README says is what is tested."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")

    assert "python -m pip install nox && python -m nox -s tests" in script


def test_demo_prints_typed_results() -> None:
    """The demo runs without tokens and ends with its summary."""
    tokens = ("LINKED_API_TOKEN", "ACCOUNT_API_TOKEN", "IDENTIFICATION_TOKEN")
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "demo.py"), "--companies", "6"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **dict.fromkeys(tokens, "")},
    )

    assert 0 == done.returncode, done.stderr
    assert "Microsoft" in done.stdout
    assert "6/6 workflows" in done.stderr
    assert "6 of 6 workflows on 3 accounts" in done.stdout.splitlines()[-1]
