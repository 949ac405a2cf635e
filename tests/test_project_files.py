"""Files of the project say the same, and each class has a name of its own."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import linkedapi_async


ROOT = Path(__file__).parents[1]
CI = ROOT / ".github" / "workflows" / "ci.yml"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
NOT_IN_CI = {
    "bench",  # measures; there is no right or wrong
    "soak",  # takes long; the tests run a small share of it
}

# The installed one: CI removes the source before it tests the wheel.
PACKAGE = Path(linkedapi_async.__file__).parent

MIRRORS = {"blocking.py", "nv.py"}
"""Modules with the names of another on purpose: of the session, and of ``st``."""

SHARED_NAMES = {
    "AccountEvent": "an event of a session or of a webhook; both modules are public",
    "Execute": "the same idea for two databases",
    "InboxType": "the same words; the sandbox's are closed, because it refuses others",
    "PayloadMode": "the same words; the sandbox's are closed, because it refuses others",
    "WorkflowEvent": "an event of a session or of a webhook; both modules are public",
}
"""The names of classes and aliases that two modules define, and why."""


def text_of(name: str | Path) -> str:
    """Return the text of a file of the project."""
    return (ROOT / name).read_text(encoding="utf-8")


def found(pattern: str, name: str | Path) -> list[str]:
    """Return all that *pattern* finds in a file of the project."""
    return re.findall(pattern, text_of(name), re.MULTILINE)


def sessions() -> dict[str, ast.FunctionDef]:
    """Return the functions of the noxfile that are sessions, by name."""
    return {
        node.name: node
        for node in ast.parse(text_of("noxfile.py")).body
        if isinstance(node, ast.FunctionDef)
        and any("nox.session" in ast.unparse(mark) for mark in node.decorator_list)
    }


def requirements() -> tuple[list[str], list[str]]:
    """Return what the package needs, and what linting needs."""
    project: dict[str, Any] = tomllib.loads(text_of("pyproject.toml"))
    return project["project"]["dependencies"], project["dependency-groups"]["lint"]


def classified() -> list[str]:
    """Return the Python versions that the classifiers name, as they are ordered."""
    return found(r'"Programming Language :: Python :: (\d+\.\d+)"', "pyproject.toml")


def jobs(path: Path) -> list[str]:
    """Return the names of a workflow's jobs."""
    below = text_of(path).partition("\njobs:\n")[2]
    return re.findall(r"^  ([a-z]+):$", below, re.MULTILINE)


def without_options(command: str) -> str:
    """Return *command* without its options."""
    return " ".join(word for word in command.split() if not word.startswith("-"))


def minor(version: str) -> int:
    """Return the second number of a Python version."""
    return int(version.removeprefix("3."))


def test_contributing_names_every_session() -> None:
    """CONTRIBUTING names each nox session, and none that is missing."""
    named = set(found(r"nox -s (\w+)", "CONTRIBUTING.md"))

    assert set(sessions()) == named


def test_ci_runs_every_session() -> None:
    """CI runs each nox session but those with a reason, and none that is missing."""
    named = {
        *found(r"nox -s (\w+)", CI),
        *found(r"- session: (\w+)", CI),
        *re.findall(r"\w+", " ".join(found(r" session: \[(.*)\]", CI))),
    }

    assert set(sessions()) - NOT_IN_CI == named


def test_the_gate_needs_every_job() -> None:
    """The last job of CI needs all others, so that green means all of them."""
    *others, gate = jobs(CI)
    (needed,) = found(r"needs: \[(.*)\]", CI)

    assert "green" == gate
    assert others == needed.split(", ")


def test_versions_of_python_follow_the_classifiers() -> None:
    """The classifiers run without a gap, and the other files follow them."""
    versions = classified()
    oldest, newest = versions[0], versions[-1]
    pythons = found(r'python-version: "(.*)"', CI)
    ahead = found(r'python: "(.*)"\n +ahead: true', CI)

    assert [f"3.{n}" for n in range(minor(oldest), minor(newest) + 1)] == versions
    assert [f">={oldest}"] == found(r'requires-python = "(.*)"', "pyproject.toml")
    assert [oldest] == found(r'pythonVersion = "(.*)"', "pyproject.toml")
    assert [f"py3{minor(oldest)}"] == (
        found(r'target-version = "(.*)"', "pyproject.toml")
    )
    assert [newest] == pythons
    assert [f"3.{minor(newest) + 1}"] == ahead
    assert [newest] == found(r'python: "(.*)"', ".readthedocs.yaml")


def test_pre_commit_runs_what_lint_runs() -> None:
    """The hooks run the commands of ``nox -s lint``, in the same order."""
    commands = [
        " ".join(map(ast.literal_eval, node.args))
        for node in ast.walk(sessions()["lint"])
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "session.run"
    ]
    hooks = found(r"entry: (.*)", ".pre-commit-config.yaml")

    assert [without_options(line) for line in commands] == (
        [without_options(line) for line in hooks]
    )


def test_pre_commit_installs_what_lint_installs() -> None:
    """The hooks install what the group *lint* names, and one needs the package's."""
    needed, linting = requirements()
    installed = found(r'"(\w[\w-]*[>=]=[^"]*)"', ".pre-commit-config.yaml")

    assert {*needed, *linting} == set(installed)


def test_the_hook_for_workflows_installs_the_extra() -> None:
    """Others' hook runs ``linkedapi check`` with what the extra *cli* installs."""
    extra = tomllib.loads(text_of("pyproject.toml"))["project"]["optional-dependencies"]

    assert ["linkedapi check --quiet"] == found(
        r"entry: (.*)", ".pre-commit-hooks.yaml"
    )
    assert extra["cli"] == found(r'"(\w[\w-]*>=[^"]*)"', ".pre-commit-hooks.yaml")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_major_version(path: Path) -> None:
    """Every action that a workflow uses is pinned by its major version."""
    used = re.findall(r"uses: (.*)", text_of(path))

    assert used
    assert [] == [
        name for name in used if not re.fullmatch(r"\./.*|.*@(release/)?v\d+", name)
    ]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_has_no_permission_of_its_own(path: Path) -> None:
    """A workflow has no permission, and each job names those that it needs."""
    text = text_of(path)
    assert "\npermissions: {}\n" in text
    assert len(jobs(path)) == text.count("\n    permissions:")


def test_the_architecture_shows_every_layer() -> None:
    """The tree of the architecture page has the layers of the contract, in its order."""
    project: dict[str, Any] = tomllib.loads(text_of("pyproject.toml"))
    (layers,) = (
        contract["layers"]
        for contract in project["tool"]["importlinter"]["contracts"]
        if contract["type"] == "layers"
    )
    names = [name for layer in layers for name in layer.split(" : ")]
    page = text_of("docs/architecture.md")
    tree = page.partition("```text\n")[2].partition("```")[0]
    assert [
        f"{name}/" if (PACKAGE / name).is_dir() else name for name in names
    ] == re.findall(r"^(\S+)", tree, re.MULTILINE)


def test_a_class_shares_its_name_with_no_other() -> None:
    """No two modules define a class or alias of one name, except for a reason."""
    modules: dict[str, set[Path]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name in MIRRORS:
            continue
        for node in ast.parse(path.read_text("utf-8")).body:
            match node:
                case ast.ClassDef(name=name):
                    pass
                case ast.AnnAssign(
                    target=ast.Name(id=name), annotation=ast.Name(id="TypeAlias")
                ):
                    pass
                case _:
                    continue
            modules.setdefault(name.lstrip("_"), set()).add(path)
    assert set(SHARED_NAMES) == {name for name in modules if len(modules[name]) > 1}
