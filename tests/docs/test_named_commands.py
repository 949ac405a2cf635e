"""Commands and options that the pages name exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from linkedapi_async.cli._app import app


ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
OPTION = re.compile(r"(?<!\S)--[a-z][a-z-]*")


def commands(command: click.Command, path: str) -> Iterator[tuple[str, set[str]]]:
    """Yield each command by its words, with its options."""
    yield path, {"--help", *(name for made in command.params for name in made.opts)}
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            if nested := command.get_command(context, name):
                yield from commands(nested, f"{path} {name}")


KNOWN = dict(commands(app, "linkedapi"))


def unknown(page: str) -> list[str]:
    """Return the command lines of a page whose command or option does not exist."""
    page = page.replace("\\\n", " ")
    shown = re.findall(r"`(linkedapi [^`\n]+)`", page)
    shown += re.findall(r"^\$ (?:.*\| )?(linkedapi .+)$", page, re.MULTILINE)
    wrong = []
    for line in shown:
        words = line.split()
        while words and " ".join(words) not in KNOWN:
            words.pop()
        command = " ".join(words)
        rest = line.removeprefix(command).split()
        named = command != "linkedapi" or rest[:1] == ["--help"]
        if not named or {*OPTION.findall(line)} - KNOWN[command]:
            wrong.append(line)
    return wrong


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_named_commands_exist(path: Path) -> None:
    """Every command line of a page has a command and options that exist."""
    assert [] == unknown(path.read_text(encoding="utf-8"))


def test_unknown_commands_are_found() -> None:
    """A wrong command, and a wrong option of a right one, are found."""
    page = (
        "`linkedapi rum x.json` `linkedapi run --yes`\n$ linkedapi wait 1 \\\n --dry\n"
    )

    assert ["linkedapi rum x.json", "linkedapi wait 1   --dry"] == unknown(page)
