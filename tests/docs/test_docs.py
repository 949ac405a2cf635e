"""The snippets of the docs run as they are shown; every link has a target."""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from run_docs_snippets import (
    PageRunner,
    WrongPageError,
    blocks,
    environment,
    packages_for,
    sandbox_process,
)

import linkedapi_async
from linkedapi_async._results.key import ACTIONS


ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(
    path.relative_to(DOCS).as_posix()
    for path in DOCS.rglob("*.md")
    if "_build" not in path.parts
)
RUN = [
    page
    for page in PAGES
    if any(
        block.language in {"python", "console"}
        for block in blocks((DOCS / page).read_text(encoding="utf-8"))
    )
    and not packages_for((DOCS / page).read_text(encoding="utf-8"))
]
HOSTS = {
    *(
        "arrow.apache.org",
        "parquet.apache.org",
        "github.com",
        "ipython.readthedocs.io",
        "jsonlines.org",
        "linkedapi.io",
    ),
    *("mermaid.js.org", "modelcontextprotocol.io", "pre-commit.com"),
}
"""The hosts that links may have."""
NOT_IN_REFERENCE = {"linkedapi_async.cli", "linkedapi_async.sandbox.__main__"}
"""Modules whose names the reference leaves out."""


# What the pages show


class PageProcesses:
    """Runs pages at the same time, each in a process and a folder of its own."""

    def __init__(self, url: str, folders: pytest.TempPathFactory) -> None:
        self._url = url
        self._folders = folders
        self.running: dict[str, subprocess.Popen[str]] = {}

    def _environment(self, page: str) -> dict[str, str]:
        made = environment(self._url, account=re.sub(r"\W", "-", page))
        # The development mode reports slow callbacks on standard error.
        made.pop("PYTHONDEVMODE", None)
        return made

    def process(self, page: str) -> subprocess.Popen[str]:
        """Return the process that runs a page; start it if needed."""
        if page not in self.running:
            script = Path(__file__).parents[1] / "run_docs_snippets.py"
            folder = self._folders.mktemp("page")
            self.running[page] = subprocess.Popen(
                [sys.executable, str(script), str(DOCS / page), str(folder)],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                env=self._environment(page),
            )
        return self.running[page]


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageProcesses]:
    """All pages start at once; a worker of pytest-xdist starts those that it tests."""
    with sandbox_process() as url:
        processes = PageProcesses(url, tmp_path_factory)
        if "PYTEST_XDIST_WORKER" not in os.environ:
            for page in RUN:
                processes.process(page)
        yield processes
        for process in processes.running.values():
            process.kill()
            process.communicate()


@pytest.mark.parametrize("page", RUN)
def test_snippets(page: str, processes: PageProcesses) -> None:
    """The snippets of a page run from top to bottom and print what the page shows."""
    process = processes.process(page)
    output, _ = process.communicate(timeout=300)

    assert 0 == process.returncode, output


def test_mistake_is_the_one_of_the_readme() -> None:
    """The tutorial shows the README's mistake, whose errors the README's tests check."""
    readme = {
        block.mark: block.text
        for block in blocks((ROOT / "README.md").read_text(encoding="utf-8"))
    }
    tutorial = {
        block.mark: block.text
        for block in blocks((DOCS / "tutorial.md").read_text(encoding="utf-8"))
    }

    assert readme["mistake"] == tutorial["file: mistake.py"]
    assert readme["mypy"] == tutorial["shown: mypy"]


# The runner of pages


@pytest.mark.parametrize(
    ("page", "why"),
    [
        pytest.param("```python\n1 / 0\n```\n", "ZeroDivisionError", id="error"),
        pytest.param(
            "```python\nprint(1)\n```\n\n```text\n2\n```\n",
            "the output is:\n1",
            id="output",
        ),
        pytest.param(
            "```python\nimport sys\nprint(1, file=sys.stderr)\n```\n",
            "unexpected on standard error",
            id="stderr",
        ),
        pytest.param(
            "<!-- raises -->\n```python\n1\n```\n", "raised no error", id="no-error"
        ),
        pytest.param(
            "```console\n$ python -c 'exit(3)'\n```\n", "exit status 3", id="status"
        ),
        pytest.param(
            "```console\n$ python -c 'print(1)'\n2\n```\n",
            "the output is:\n1",
            id="command",
        ),
        pytest.param(
            "<!-- terminal -->\n```console\n$ python -c 1 --port 80\n```\n",
            "printed no URL",
            id="no-server",
        ),
    ],
)
def test_wrong_pages_are_found(page: str, why: str, tmp_path: Path) -> None:
    """A page that does not do what it shows is an error that names the line."""
    with pytest.raises(WrongPageError, match=r"^line \d+: ") as caught:
        PageRunner(tmp_path).run(page)

    assert why in str(caught.value)


def test_right_pages_pass(tmp_path: Path) -> None:
    """Files, commands, statuses, errors and output that changes are all compared."""
    page = """
<!-- file: hello.py -->
```python
for n in range(3): print("hello", n)
```

```console
$ export GREETING=hello OTHER="two words"
$ python -c 'import os; print(os.environ["GREETING"], os.environ["OTHER"])'
hello two words
$ python hello.py
hello 0
…
hello 2
$ python -c 'exit(3)'  # exit status 3
$ python hello.py > out.txt
$ python -c 'print(open("out.txt").read())'
hello …
hello …
```

<!-- raises -->
```python
1 / 0
```

```text
ZeroDivisionError: …
```
"""
    PageRunner(tmp_path, dict(os.environ)).run(page)

    assert (tmp_path / "hello.py").exists()


# The site


class Page(HTMLParser):
    """The links of a page, and the ids that links can have as targets."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.parts: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect the id and the links of a tag."""
        given = dict(attrs)
        if found := given.get("id"):
            self.ids.add(found)
        if tag == "a" and (found := given.get("href")):
            self.links.append(found)
        if found := given.get("href" if tag == "link" else "src"):
            self.parts.append(found)


def broken(site: dict[Path, Page]) -> list[str]:
    """Return the links of a site without a target, or to a host that is not allowed."""
    wrong = []
    for path, page in site.items():
        for link in [*page.links, *page.parts]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                ok = parts.scheme == "https" and parts.netloc in HOSTS
                if not ok or link in page.parts:
                    wrong.append(f"{path.name}: {link}")
                continue
            file = unquote(parts.path)
            target = (path.parent / file).resolve() if file else path
            place = unquote(parts.fragment)
            if not target.is_file() or (place and place not in site[target].ids):
                wrong.append(f"{path.name}: {link}")
    return wrong


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Page]:
    """The pages of the site: of the folder ``LINKEDAPI_SITE``, or built here."""
    folder = os.environ.get("LINKEDAPI_SITE")
    if folder is None:
        pytest.importorskip("sphinx", reason="the session docs of nox has it")
        pytest.importorskip("furo")
        pytest.importorskip("myst_parser")
        folder = str(tmp_path_factory.mktemp("site"))
        command = [sys.executable, "-m", "sphinx", "-nWq", "--keep-going"]
        done = subprocess.run(
            [*command, "-b", "html", str(DOCS), folder],
            capture_output=True,
            text=True,
            check=False,
        )
        assert 0 == done.returncode, done.stderr
    return {path: Page(path) for path in Path(folder).resolve().rglob("*.html")}


def test_links_have_targets(site: dict[Path, Page]) -> None:
    """Every link has a page and an id; nothing is fetched from other hosts."""
    assert len(PAGES) <= len(site)
    assert [] == broken(site)


def test_broken_links_are_found(tmp_path: Path) -> None:
    """Missing pages, missing ids, other hosts, and parts from other hosts are found."""
    links = {
        "a": '<a id="x" href="#x"></a><a href="b.html#y"></a>',
        "b": (
            '<a href="a.html#y"></a><a href="c.html"></a><a href="#z"></a>'
            '<a href="https://example.com"></a><a href="http://linkedapi.io"></a>'
            '<script src="https://linkedapi.io/x.js"></script><i id="y"></i>'
            '<link href="d.css"><a href="https://linkedapi.io/docs"></a>'
        ),
    }
    for name, text in links.items():
        (tmp_path / f"{name}.html").write_text(text, encoding="utf-8")
    paths = [tmp_path.resolve() / f"{name}.html" for name in links]

    assert [
        "b.html: a.html#y",
        "b.html: c.html",
        "b.html: #z",
        "b.html: https://example.com",
        "b.html: http://linkedapi.io",
        "b.html: https://linkedapi.io/x.js",
        "b.html: d.css",
    ] == broken({path: Page(path) for path in paths})


def public() -> dict[str, str]:
    """Return the public names by module, with the names where they are defined."""
    found: dict[str, str] = {}
    modules = [linkedapi_async]
    for info in pkgutil.walk_packages(linkedapi_async.__path__, "linkedapi_async."):
        hidden = any(part.startswith("_") for part in info.name.split(".")[1:])
        if not hidden and not info.name.startswith(tuple(NOT_IN_REFERENCE)):
            modules.append(importlib.import_module(info.name))
    for module in modules:
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if inspect.isclass(value) or inspect.isfunction(value):
                found[f"{module.__name__}.{name}"] = value.__name__
    return found


def test_everything_is_in_the_reference(site: dict[Path, Page]) -> None:
    """Every public name, action and error has an entry in the reference."""
    names: dict[str, set[str]] = defaultdict(set)
    for page in site.values():
        for name in page.ids:
            if name.startswith("linkedapi_async."):
                names[name.rpartition(".")[2]].add(name)
    actions = {f"{c.__module__}.{c.__name__}" for c in ACTIONS.values()}
    missing = [name for name, own in public().items() if not names[own]]

    assert len(ACTIONS) == len(actions)
    assert set() == {a for a in actions if a not in names[a.rpartition(".")[2]]}
    assert [] == missing
