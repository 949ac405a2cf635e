"""Commands that inspect workflows and send nothing: check, draw, explain, actions, schema."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Final

import click

from linkedapi_async._actions.reference import format_action, search_actions
from linkedapi_async._results.key import ACTIONS
from linkedapi_async._types import BOTH, Generation
from linkedapi_async._utils.spelling import nearest
from linkedapi_async._utils.text import printable
from linkedapi_async._wire.read import read_completion
from linkedapi_async.cli._console import Console, braces_option, quiet_option
from linkedapi_async.cli._exit_codes import CommandError, status_of
from linkedapi_async.cli._messages import message_of
from linkedapi_async.cli._output import show, show_list
from linkedapi_async.cli._workflow_input import (
    find_problems,
    read_definition,
    read_workflow,
)
from linkedapi_async.errors import WorkflowError


if TYPE_CHECKING:
    from linkedapi_async.schema import Variant

_GENERATION: Final = click.option(
    "--generation",
    type=click.Choice(BOTH),
    help="The generation of the API to check against.",
)

_TEXT: Final = click.option(
    "--format",
    "format_",
    type=click.Choice(("text", "json")),
    default="text",
    show_default=True,
    help="The format of the output.",
)


_EFFECTS: Final = {"write": "write", "read": "     "}


def _print(text: str) -> None:
    click.echo(printable(text, lines=True))


@click.command(short_help="List the problems of workflows.")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@_GENERATION
@braces_option
@_TEXT
@quiet_option
@click.pass_context
def check(
    context: click.Context,
    /,
    *,
    files: tuple[str, ...],
    generation: Generation | None,
    allow_braces: bool,
    format_: str,
    quiet: bool,
) -> None:
    """List the problems of workflows, each with its path; nothing is sent.

    FILE is a workflow in JSON, - for standard input, or module:attribute. The exit
    status is 3 if any workflow has a problem.

    \b
    Examples:
      linkedapi check company.json
      linkedapi check company.json message.json --format json
      cat company.json | linkedapi check -
      linkedapi check flows:company --generation account_api
    """
    console = Console(quiet)
    problems: list[dict[str, str]] = []
    statuses: set[int] = set()
    for name in files:
        with console.warnings():
            found = [*find_problems(name, generation, allow_braces=allow_braces)]
        for problem in found:
            path = getattr(problem, "path", "")
            message = message_of(problem).removeprefix(f"{path}: ")
            message = message.removeprefix(f"{name}: ")
            problems.append({"file": name, "path": path, "message": message})
            statuses.add(status_of(problem))
            if format_ == "text":
                _print(": ".join(filter(None, (name, path, message))))
        if not found:
            console.info(f"{name}: no problems")
    if format_ == "json":
        show(problems)
    if problems:
        console.info(f"{len(problems)} problem{'' if len(problems) == 1 else 's'}")
        # An invalid workflow counts before a missing file.
        context.exit(status_of(WorkflowError("")) if 3 in statuses else min(statuses))  # noqa: PLR2004  # as in the table


@click.command(short_help="Draw a workflow, or its completion.")
@click.argument("file", metavar="FILE")
@click.option("--completion", is_flag=True, help="FILE is a completion.")
@click.option("--mermaid", is_flag=True, help="Print a Mermaid flowchart.")
@click.option("--ascii", "plain", is_flag=True, help="Draw with ASCII characters only.")
@quiet_option
def draw(
    *, file: str, completion: bool, mermaid: bool, plain: bool, quiet: bool
) -> None:
    """Draw a workflow as a tree; nothing is sent.

    FILE is a workflow in JSON, - for standard input, or module:attribute. It may have
    problems.

    \b
    Examples:
      linkedapi draw company.json
      linkedapi draw company.json --mermaid
      linkedapi run company.json | linkedapi draw - --completion
    """
    # Imported here: it takes a while.
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
    # The drawing is printable already, and may have colours.
    click.echo(text)


@click.command(short_help="Estimate what a workflow will use.")
@click.argument("file", metavar="FILE")
@_GENERATION
@click.option(
    "--per-day",
    multiple=True,
    nargs=2,
    type=(str, click.IntRange(0)),
    metavar="LIMIT NUMBER",
    help="A daily limit of the account, such as stMessages 30.",
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
    """Estimate what a workflow will use at most, before it is sent.

    Prints the number of actions of each kind, the daily limits that they count
    against, the plan that they need, the minutes that they take, and the lines that
    are responsible. For a whole batch, use linkedapi batch --dry-run.

    \b
    Examples:
      linkedapi explain company.json
      linkedapi explain message.json --per-day stMessages 30
      linkedapi explain company.json --format json
    """
    from linkedapi_async import explain as explaining  # noqa: PLC0415  # as for draw

    with Console(quiet).warnings():
        estimate = explaining.explain(
            read_workflow(file),
            generation=generation or "linked_api",
            limits=dict(per_day),
        )
    if format_ == "json":
        show(estimate.to_dict())
    else:
        _print(str(estimate))


@click.command(short_help="Look up actions: parameters, limits, nesting.")
@click.argument("words", metavar="[NAME]", nargs=-1)
@_TEXT
def actions(*, words: tuple[str, ...], format_: str) -> None:
    """Look up actions: their parameters, limits, and where they may be nested.

    NAME is an action, in the spelling of the API or of Python, or words to search for.
    Without NAME, all actions are listed.

    \b
    Examples:
      linkedapi actions
      linkedapi actions st.openCompanyPage
      linkedapi actions connection request
      linkedapi actions st.search_people --format json
    """
    text = " ".join(words)
    found = search_actions(text)
    if not found:
        alike = nearest(text, ACTIONS)
        hint = f"; did you mean {alike}?" if alike else ""
        raise CommandError(f"no action matches {text!r}{hint}")
    if format_ == "json":
        show(found)
    elif len(found) == 1:
        _print("\n".join(format_action(found[0])))
    else:
        width = max(len(one["actionType"]) for one in found)
        show_list(
            (
                f"{one['actionType']:<{width}}  {_EFFECTS[one['effect']]}",
                one["summary"],
            )
            for one in found
        )


@click.command(short_help="Print the JSON Schema of workflows.")
@click.option(
    "--generation",
    type=click.Choice(BOTH),
    help="The generation of the API; by default what either accepts.",
)
@click.option(
    "--variant",
    type=click.Choice(("workflow", "template", "structured_output")),
    default="workflow",
    show_default=True,
    help="template admits {{column}}; structured_output is for language models.",
)
def schema(*, generation: Generation | None, variant: Variant) -> None:
    """Print the JSON Schema of workflows, for editors and validators.

    An editor that knows it completes action types and parameters, and shows what is
    wrong while you type: put a "$schema" with the path of the file at the top of a
    workflow.

    \b
    Examples:
      linkedapi schema > workflow.schema.json
      linkedapi schema --variant template > template.schema.json
    """
    # Imported here: other commands do not need it.
    from linkedapi_async.schema import workflow_schema  # noqa: PLC0415

    made = workflow_schema(generation, variant=variant)
    click.echo(json.dumps(made, indent=1))
