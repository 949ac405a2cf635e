"""The blocks of the README and the examples run as they are shown."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from run_docs_snippets import Block, PageRunner, blocks


ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = list(blocks(README))


def marked(mark: str) -> Block:
    """Return the block behind a comment with *mark*."""
    (found,) = (block for block in BLOCKS if block.mark == mark)
    return found


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


SNIPPETS = {
    "A workflow and its typed result": r"Acme has \d+ employees\n(.+ – .+\n){5}",
    "Many workflows, many accounts": r"(Company \d+ \d+\n){20}\d+\.\d+ polls per workflow",
    "A campaign that survives a crash": r"(wrote to https://www\.linkedin\.com/in/.+\n){2}",
    "Beyond one machine": r"hello/ada completed\n",
}
"""What the runnable block of each section prints."""
READ_BY_SESSION = (
    *("LINKED_API_TOKEN", "ACCOUNT_API_TOKEN", "IDENTIFICATION_TOKEN"),
    *("LINKED_API_BASE_URL", "LINKED_API_POLL_INTERVAL"),
)


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of the README's own commands, with their sandbox running."""
    clean = {k: v for k, v in os.environ.items() if k not in READ_BY_SESSION}
    # The development mode reports slow callbacks on standard error.
    clean.pop("PYTHONDEVMODE", None)
    runner = PageRunner(
        tmp_path_factory.mktemp("readme"), {**clean, "PYTHONIOENCODING": "utf-8"}
    )
    try:
        runner.run_block(marked("environment"))
        yield dict(runner.environ)
    finally:
        runner.stop()


def section(title: str) -> str:
    """Return the runnable block of a section."""
    _, _, rest = README.partition(f"\n## {title}\n")
    (code,) = (
        block.text
        for block in blocks(rest.partition("\n## ")[0])
        if block.language == "python" and not block.mark
    )
    return code


def test_every_runnable_block_has_an_expectation() -> None:
    """A new block of Python in the README is run by these tests, or this one fails."""
    runnable = [b.text for b in BLOCKS if b.language == "python" and not b.mark]

    assert [section(title) for title in SNIPPETS] == runnable


@pytest.mark.parametrize("title", SNIPPETS)
def test_each_block_runs_alone(
    title: str, environ: dict[str, str], tmp_path: Path
) -> None:
    """A block runs on its own in an empty folder and prints what is expected."""
    done = run(section(title), tmp_path, environ)

    assert "" == done.stderr
    assert re.search(f"^{SNIPPETS[title]}", done.stdout), done.stdout


def test_the_readme_is_short() -> None:
    """The README is read in one sitting; everything else is on a page of its own."""
    assert len(README.splitlines()) <= 220


def test_links_lead_to_files() -> None:
    """Every relative link of the README leads to a file of the project."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README)

    assert [] == [link for link in links if not (ROOT / link).is_file()]


def test_every_how_to_page_is_linked() -> None:
    """A reader of the README finds each of the how-to pages."""
    pages = {f"docs/how-to/{path.name}" for path in (ROOT / "docs/how-to").glob("*.md")}

    assert pages == set(re.findall(r"\]\((docs/how-to/[^)#]+)", README))


def test_the_test_passes(tmp_path: Path) -> None:
    """The test that the README shows runs with the plugin alone."""
    (tmp_path / "test_campaign.py").write_text(marked("tests").text, encoding="utf-8")
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
    """The README shows the error of Python as it is."""
    done = run(marked("mistake").text, tmp_path)

    assert f"linkedapi_async.errors.{marked('python').text}" in done.stderr


def test_mistake_is_caught_by_mypy(tmp_path: Path) -> None:
    """The README shows the error of mypy as it is."""
    path = tmp_path / "mistake.py"
    path.write_text(marked("mistake").text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-pretty", str(path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )

    assert marked("mypy").text.strip() in done.stdout


def test_both_commands_are_at_the_top() -> None:
    """A newcomer finds them before anything else."""
    top = README[: README.index("\n## ")]

    assert "python -m pip install nox && python -m nox -s demo" in top
    assert "python -m pip install nox && python -m nox -s tests" in top


def test_ci_runs_the_command_of_the_readme() -> None:
    """CI runs the command that the README shows."""
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
