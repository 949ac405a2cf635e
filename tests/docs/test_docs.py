"""The pages of the docs do what they say, and lead where they say."""

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
    Player,
    WrongPageError,
    blocks,
    environment,
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
PLAYED = [
    page
    for page in PAGES
    if any(
        block.language in {"python", "console"}
        for block in blocks((DOCS / page).read_text(encoding="utf-8"))
    )
]
HOSTS = {
    *("github.com", "ipython.readthedocs.io", "jsonlines.org", "linkedapi.io"),
    "mermaid.js.org",
}
"""Where links may lead."""
ASIDE = {"linkedapi_async.cli", "linkedapi_async.sandbox.__main__"}
"""Modules whose names are no part of the reference."""


# What the pages show


class Players:
    """Plays pages at the same time, each in a process and a folder of its own."""

    def __init__(self, url: str, folders: pytest.TempPathFactory) -> None:
        self._url = url
        self._folders = folders
        self.playing: dict[str, subprocess.Popen[str]] = {}

    def _environment(self, page: str) -> dict[str, str]:
        made = environment(self._url, account=re.sub(r"\W", "-", page))
        # It tells of slow callbacks on standard error, where snippets say nothing.
        made.pop("PYTHONDEVMODE", None)
        return made

    def play(self, page: str) -> subprocess.Popen[str]:
        """Return the process that plays a page."""
        if page not in self.playing:
            player = Path(__file__).parents[1] / "run_docs_snippets.py"
            folder = self._folders.mktemp("page")
            self.playing[page] = subprocess.Popen(
                [sys.executable, str(player), str(DOCS / page), str(folder)],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                env=self._environment(page),
            )
        return self.playing[page]


@pytest.fixture(scope="module")
def players(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Players]:
    """All pages begin at once; those of a worker of pytest-xdist as it comes to them."""
    with sandbox_process() as url:
        players = Players(url, tmp_path_factory)
        if "PYTEST_XDIST_WORKER" not in os.environ:
            for page in PLAYED:
                players.play(page)
        yield players
        for process in players.playing.values():
            process.kill()
            process.communicate()


@pytest.mark.parametrize("page", PLAYED)
def test_snippets(page: str, players: Players) -> None:
    """The snippets of a page run from top to bottom, and print what it shows."""
    process = players.play(page)
    said, _ = process.communicate(timeout=120)

    assert 0 == process.returncode, said


def test_mistake_is_the_one_of_the_readme() -> None:
    """What mypy says of the tutorial's mistake is tested with the README."""
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


# The player


@pytest.mark.parametrize(
    ("page", "why"),
    [
        pytest.param("```python\n1 / 0\n```\n", "ZeroDivisionError", id="error"),
        pytest.param(
            "```python\nprint(1)\n```\n\n```text\n2\n```\n", "came:\n1", id="output"
        ),
        pytest.param(
            "```python\nimport sys\nprint(1, file=sys.stderr)\n```\n",
            "standard error",
            id="stderr",
        ),
        pytest.param(
            "<!-- raises -->\n```python\n1\n```\n", "no error came", id="no-error"
        ),
        pytest.param(
            "```console\n$ python -c 'exit(3)'\n```\n", "exit status 3", id="status"
        ),
        pytest.param(
            "```console\n$ python -c 'print(1)'\n2\n```\n", "came:\n1", id="command"
        ),
        pytest.param(
            "<!-- terminal -->\n```console\n$ python -c 1 --port 80\n```\n",
            "no URL came",
            id="no-server",
        ),
    ],
)
def test_what_is_wrong_is_found(page: str, why: str, tmp_path: Path) -> None:
    """A page that does not do what it says is told with the line."""
    with pytest.raises(WrongPageError, match=r"^line \d+: ") as caught:
        Player(tmp_path).play(page)

    assert why in str(caught.value)


def test_what_is_right_passes(tmp_path: Path) -> None:
    """Files, commands, statuses, errors and what changes from run to run."""
    page = """
<!-- file: hello.py -->
```python
for n in range(3): print("hello", n)
```

```console
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
    Player(tmp_path).play(page)

    assert (tmp_path / "hello.py").exists()


# The site


class Page(HTMLParser):
    """What a page leads to, and what can be led to in it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.parts: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the id and the links of a tag."""
        given = dict(attrs)
        if found := given.get("id"):
            self.ids.add(found)
        if tag == "a" and (found := given.get("href")):
            self.links.append(found)
        if found := given.get("href" if tag == "link" else "src"):
            self.parts.append(found)


def broken(site: dict[Path, Page]) -> list[str]:
    """Return the links of a site that lead nowhere, or where none may lead."""
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


def test_links_lead_somewhere(site: dict[Path, Page]) -> None:
    """Every link has a page and a place; nothing is fetched from elsewhere."""
    assert len(PAGES) <= len(site)
    assert [] == broken(site)


def test_broken_links_are_found(tmp_path: Path) -> None:
    """A page that is not there, a place, a host, and a part of another host."""
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
    """Return all that is public, by its name in the module that exports it.

    The value is what it is called where it is made.
    """
    found: dict[str, str] = {}
    modules = [linkedapi_async]
    for info in pkgutil.walk_packages(linkedapi_async.__path__, "linkedapi_async."):
        hidden = any(part.startswith("_") for part in info.name.split(".")[1:])
        if not hidden and not any(info.name.startswith(aside) for aside in ASIDE):
            modules.append(importlib.import_module(info.name))
    for module in modules:
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if inspect.isclass(value) or inspect.isfunction(value):
                found[f"{module.__name__}.{name}"] = value.__name__
    return found


def test_everything_is_in_the_reference(site: dict[Path, Page]) -> None:
    """What is public has a place in the reference, each action and error too."""
    names: dict[str, set[str]] = defaultdict(set)
    for page in site.values():
        for name in page.ids:
            if name.startswith("linkedapi_async."):
                names[name.rpartition(".")[2]].add(name)
    actions = {f"{c.__module__}.{c.__name__}" for c in ACTIONS.values()}
    missing = [name for name, own in public().items() if not names[own]]

    assert 62 == len(actions)
    assert set() == {a for a in actions if a not in names[a.rpartition(".")[2]]}
    assert [] == missing
