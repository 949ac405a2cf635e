"""Commands that look at workflows and send nothing: check, draw, explain, actions."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from linkedapi_async._results.key import ACTIONS
from linkedapi_async._types import BOTH, Generation
from linkedapi_async._utils.spelling import nearest
from linkedapi_async._utils.text import printable
from linkedapi_async._wire.read import read_completion
from linkedapi_async.cli._console import Console, quiet_option
from linkedapi_async.cli._exit_codes import CommandError, status_of
from linkedapi_async.cli._output import show
from linkedapi_async.cli._reference import format_action, search_actions
from linkedapi_async.cli._workflow_input import (
    find_problems,
    read_definition,
    read_workflow,
)
from linkedapi_async.errors import WorkflowError


CommandT = TypeVar("CommandT", bound=Callable[..., Any])

_GENERATION: Final = click.option(
    "--generation",
    type=click.Choice(BOTH),
    help="The generation of the API that has to take it.",
)

_TEXT: Final = click.option(
    "--format",
    "format_",
    type=click.Choice(("text", "json")),
    default="text",
    show_default=True,
    help="text is for people.",
)


def _tell(text: str) -> None:
    click.echo(printable(text, lines=True))


@click.command(short_help="Say all that is wrong with workflows.")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@_GENERATION
@_TEXT
@quiet_option
@click.pass_context
def check(
    context: click.Context,
    /,
    *,
    files: tuple[str, ...],
    generation: Generation | None,
    format_: str,
    quiet: bool,
) -> None:
    """Say all that is wrong with workflows, each with its place; nothing is sent.

    FILE is a workflow in JSON, - for standard input, or module:attribute. The exit
    status is 3 if anything is wrong with any of them.

    \b
    Examples:
      linkedapi check company.json
      linkedapi check company.json message.json --format json
      cat company.json | linkedapi check -
      linkedapi check flows:company --generation account_api
    """
    talk = Console(quiet)
    wrong: list[dict[str, str]] = []
    statuses: set[int] = set()
    for name in files:
        with talk.warnings():
            problems = [*find_problems(name, generation)]
        for problem in problems:
            path = getattr(problem, "path", "")
            message = problem.message.removeprefix(f"{name}: ")
            wrong.append({"file": name, "path": path, "message": message})
            statuses.add(status_of(problem))
            if format_ == "text":
                _tell(": ".join(filter(None, (name, path, message))))
        if not problems:
            talk.say(f"{name}: nothing is wrong")
    if format_ == "json":
        show(wrong)
    if wrong:
        talk.say(f"{len(wrong)} problem{'' if len(wrong) == 1 else 's'}")
        # A wrong workflow before a missing file: CI asks for the first.
        context.exit(status_of(WorkflowError("")) if 3 in statuses else min(statuses))  # noqa: PLR2004  # as in the table


@click.command(short_help="Draw a workflow, or what came of one.")
@click.argument("file", metavar="FILE")
@click.option("--completion", is_flag=True, help="FILE is what a workflow brought.")
@click.option("--mermaid", is_flag=True, help="As a Mermaid flowchart.")
@click.option("--ascii", "plain", is_flag=True, help="With ASCII alone.")
@quiet_option
def draw(
    *, file: str, completion: bool, mermaid: bool, plain: bool, quiet: bool
) -> None:
    """Draw a workflow as a tree; nothing is sent.

    FILE is a workflow in JSON, - for standard input, or module:attribute. It need not
    be right.

    \b
    Examples:
      linkedapi draw company.json
      linkedapi draw company.json --mermaid
      linkedapi run company.json | linkedapi draw - --completion
    """
    # Only here: what it draws with takes a while to import.
    from linkedapi_async import draw as drawing  # noqa: PLC0415

    with Console(quiet).warnings():
        what = read_definition(file)
        if completion:
            what = read_completion(what)
        if mermaid:
            text = drawing.to_mermaid(what)
        else:
            color = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
            text = drawing.draw(what, ascii=plain, color=color)
    # It is harmless already, and may have colours.
    click.echo(text)


@click.command(short_help="Say what a workflow will cost.")
@click.argument("file", metavar="FILE")
@_GENERATION
@click.option(
    "--per-day",
    multiple=True,
    nargs=2,
    type=(str, click.IntRange(0)),
    metavar="LIMIT NUMBER",
    help="How many the account does in a day, such as stMessages 30.",
)
@_TEXT
@quiet_option
def explain(
    *,
    file: str,
    generation: Generation | None,
    per_day: tuple[tuple[str, int], ...],
    format_: str,
    quiet: bool,
) -> None:
    """Say what a workflow will do and cost at most, before it is sent.

    How many actions of which kind, which daily limits they count against, which plan
    is needed, how many minutes it takes, and which lines are responsible. For a whole
    batch: linkedapi batch --dry-run.

    \b
    Examples:
      linkedapi explain company.json
      linkedapi explain message.json --per-day stMessages 30
      linkedapi explain company.json --format json
    """
    from linkedapi_async import explain as explaining  # noqa: PLC0415  # as for draw

    with Console(quiet).warnings():
        told = explaining.explain(
            read_workflow(file),
            generation=generation or "linked_api",
            limits=dict(per_day),
        )
    if format_ == "json":
        show(told.to_dict())
    else:
        _tell(str(told))


@click.command(short_help="Look up actions: parameters, limits, places.")
@click.argument("words", metavar="[NAME]", nargs=-1)
@_TEXT
def actions(*, words: tuple[str, ...], format_: str) -> None:
    """Look up actions: their parameters, limits, and where they may stand.

    NAME is an action, as the API or Python spells it, or words to search for. Without
    it, all are listed.

    \b
    Examples:
      linkedapi actions
      linkedapi actions st.openCompanyPage
      linkedapi actions connection request
      linkedapi actions st.search_people --format json
    """
    text = " ".join(words)
    some = search_actions(text)
    if not some:
        alike = nearest(text, ACTIONS)
        hint = f"; did you mean {alike}?" if alike else ""
        message = f"no action has {text!r}{hint}"
        raise CommandError(message)
    if format_ == "json":
        show(some)
    elif len(some) == 1:
        _tell("\n".join(format_action(some[0])))
    else:
        width = max(len(one["actionType"]) for one in some)
        for one in some:
            writes = "write" if one["effect"] == "write" else "     "
            _tell(f"{one['actionType']:<{width}}  {writes}  {one['summary']}")
