"""Static errors of mypy and pyright: ``typing/*.md``, and all pairs of actions."""

import json
import os
import pathlib
import re
import subprocess
import sys
from collections import defaultdict
from typing import Any

import attrs
import pytest
from strategies import least

import linkedapi_async
from linkedapi_async._actions.scopes import Root
from linkedapi_async._results.key import ACTIONS


PAIRS = "all_pairs.py"
CHECKERS = ("mypy", "pyright")
WRONG_ARGUMENT = {"mypy": "arg-type", "pyright": "reportArgumentType"}

Errors = dict[str, dict[int, set[str]]]
"""Codes of errors, by file and line."""

each_checker = pytest.mark.parametrize("checker", CHECKERS)


@attrs.frozen
class Case:
    """One block of Python of a Markdown file."""

    name: str
    source: str

    def expected(self, checker: str) -> dict[int, set[str]]:
        """Return the expected errors by line: a comment is above its line."""
        return {
            number + 1: set(re.split(r", *", found[1]))
            for number, line in enumerate(self.source.splitlines(), 1)
            if (found := re.search(rf"# {checker}-error: \[([^]]+)\]", line))
        }


def cases() -> list[Case]:
    """Read the cases of all Markdown files."""
    found = []
    pattern = r"(?s)## ([^\n]+)\n\n```python\n(.*?)```"
    for path in sorted((pathlib.Path(__file__).parent / "typing").glob("*.md")):
        text = path.read_text("utf-8")
        for title, source in re.findall(pattern, text):
            slug = re.sub(r"\W+", "_", title.lower())
            found.append(Case(f"{path.stem}_{slug}.py", source))
    return found


CASES = cases()


def pairs() -> tuple[str, set[int]]:
    """Write every nesting and every root; return the lines that are illegal, too."""
    lines = ["from linkedapi_async import Session, nv, st", ""]
    names = {}
    for number, cls in enumerate(ACTIONS.values()):
        names[cls] = f"a{number}"
        lines.append(f"a{number} = {least(cls)!r}")
    illegal = set()
    for parent, above in names.items():
        for child, below in names.items():
            lines.append(f"{above}.then({below})")
            if not child.may_nest_under(parent):
                illegal.add(len(lines))
    lines.append("async def roots(session: Session) -> None:")
    for cls, name in names.items():
        lines.append(f"    await session.run({name})")
        if Root not in cls.where:
            illegal.add(len(lines))
    return "\n".join(lines) + "\n", illegal


@pytest.fixture(scope="session")
def errors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Errors]:
    """Run both checkers once over everything; return the errors of each."""
    folder = tmp_path_factory.mktemp("typing")
    package = pathlib.Path(linkedapi_async.__file__).parents[1]
    for case in CASES:
        (folder / case.name).write_text(case.source, "utf-8")
    (folder / PAIRS).write_text(pairs()[0], "utf-8")
    settings = {"typeCheckingMode": "standard", "extraPaths": [str(package)]}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings), "utf-8")
    environment = {**os.environ, "PYTHONPATH": str(package), "PYTHONDEVMODE": ""}
    commands: dict[str, list[str]] = {
        "mypy": [
            "--strict",
            "--config-file=",
            "--output=json",
            "--cache-dir=cache",
            ".",
        ],
        "pyright": ["--outputjson", f"--pythonpath={sys.executable}"],
    }
    running = {
        name: subprocess.Popen(
            [sys.executable, "-m", name, *arguments],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name, arguments in commands.items()
    }
    outputs = {name: process.communicate() for name, process in running.items()}
    for name, process in running.items():
        # 1 says that errors were found; more, that the checker did not get that far.
        assert process.returncode == 1, (name, *outputs[name])
    return {
        "mypy": by_line(map(read_mypy, outputs["mypy"][0].splitlines())),
        "pyright": by_line(
            map(read_pyright, json.loads(outputs["pyright"][0])["generalDiagnostics"])
        ),
    }


def read_mypy(line: str) -> tuple[str, int, str] | None:
    """Return file, line and code of an error, or None for a note."""
    report = json.loads(line)
    if report["severity"] != "error":
        return None
    return report["file"], report["line"], report["code"]


def read_pyright(report: Any) -> tuple[str, int, str] | None:
    """Return file, line and rule of an error, or None for less than one."""
    if report["severity"] != "error":
        return None
    return (
        report["file"],
        report["range"]["start"]["line"] + 1,
        report.get("rule", "syntax"),
    )


def by_line(found: Any) -> Errors:
    """Sort errors by file and line."""
    errors: Errors = defaultdict(lambda: defaultdict(set))
    for file, line, code in filter(None, found):
        errors[pathlib.Path(file).name][line].add(code)
    return errors


@each_checker
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(errors: dict[str, Errors], case: Case, checker: str) -> None:
    """Each line of a case has the errors that its comments name, and no others."""
    assert case.expected(checker) == dict(errors[checker][case.name])


@each_checker
def test_all_pairs(errors: dict[str, Errors], checker: str) -> None:
    """Exactly what the nesting rule refuses at run time is a static error."""
    found = errors[checker][PAIRS]
    text, illegal = pairs()
    lines = text.splitlines()

    assert [] == [lines[number - 1] for number in sorted(illegal ^ found.keys())]
    assert all(WRONG_ARGUMENT[checker] in codes for codes in found.values())


def test_the_cases_are_there() -> None:
    """Every block has a name of its own, and some of them expect errors."""
    names = [case.name for case in CASES]

    assert len(names) == len({*names})
    assert {"blocking", "nesting", "operations", "results"} == {
        name.partition("_")[0] for name in names
    }
    for checker in CHECKERS:
        assert 30 < sum(len(case.expected(checker)) for case in CASES)


def test_all_pairs_are_written() -> None:
    """The generated module has a line for each pair and each root."""
    text, illegal = pairs()
    count = len(ACTIONS)

    assert count * count == text.count(".then(")
    assert count == text.count("session.run(")
    assert 3000 < len(illegal) < count * count
