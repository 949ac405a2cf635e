"""The README and the examples do what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from run_docs_snippets import HURRY, blocks, environment, sandbox_process


ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = [(block.mark, block.language, block.text) for block in blocks(README)]


def block(mark: str) -> str:
    """Return the block behind a comment with *mark*."""
    (text,) = (text for name, _, text in BLOCKS if name == mark)
    return str(text)


def run(
    code: str, folder: Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run *code* in an interpreter and a folder of its own."""
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        cwd=folder,
        env=env or {**os.environ, "PYTHONIOENCODING": "utf-8"},
    )


@pytest.fixture(scope="module")
def sandbox_url() -> Iterator[str]:
    """A sandbox in a process of its own, as a user would run it."""
    with sandbox_process() as url:
        yield url


def test_every_snippet_runs(sandbox_url: str, tmp_path: Path) -> None:
    """The snippets run from top to bottom, and print what the README shows."""
    snippets = [
        text for mark, language, text in BLOCKS if language == "python" and not mark
    ]
    (shown,) = (t for mark, language, t in BLOCKS if language == "text" and not mark)
    done = run(HURRY + "\n".join(snippets), tmp_path, environment(sandbox_url))

    assert "" == done.stderr
    assert shown in done.stdout
    assert "Acme has" in done.stdout
    assert "follows" in done.stdout
    assert 2 == done.stdout.count("told https://www.linkedin.com/in/")
    assert "() wait for a decision" in done.stdout
    assert 20 == len(re.findall(r"^Company \d+ \d+$", done.stdout, re.MULTILINE))


def test_the_test_passes(tmp_path: Path) -> None:
    """The test that the README shows runs with the plugin alone."""
    (tmp_path / "test_campaign.py").write_text(block("tests"), encoding="utf-8")
    options = ["-q", "-p", "no:asyncio", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "test_campaign.py"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        cwd=tmp_path,
    )

    assert "1 passed" in done.stdout, done.stdout


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
