"""Commands about single workflows: run, status, wait, cancel, recover."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import attrs
import click

from linkedapi_async._actions.action import ActionClass, Roots
from linkedapi_async._http.requests import validate_workflow_id
from linkedapi_async._results.completion import Completion
from linkedapi_async._wire.dump import dump_workflow
from linkedapi_async.cli._console import Console, ask, print_error
from linkedapi_async.cli._credentials import (
    Credentials,
    credential_options,
    credentials,
)
from linkedapi_async.cli._exit_codes import (
    FAILED,
    CommandError,
    command_error,
    status_of,
)
from linkedapi_async.cli._output import (
    FORMATS,
    action_of,
    format_options,
    show,
    show_rows,
)
from linkedapi_async.cli._signals import SignalHandler
from linkedapi_async.cli._workflow_input import (
    find_unsupported,
    read_workflow,
    writing_actions,
)
from linkedapi_async.errors import (
    InvalidDefinitionError,
    LinkedApiError,
    StartUnknownError,
    WaitTimeoutError,
    WorkflowFailedError,
)
from linkedapi_async.explain import explain
from linkedapi_async.journal import Journal
from linkedapi_async.session import Recovered
from linkedapi_async.session._account import Account
from linkedapi_async.session._handle import WorkflowHandle


@attrs.frozen
class WorkflowEnd:
    """How a workflow ended, or that it did not."""

    workflow_id: str
    key: str | None
    completion: Completion | None
    error: Exception | None

    @property
    def status(self) -> int:
        """The exit status that it asks for."""
        if self.completion is None:
            return status_of(self.error or AssertionError())
        return FAILED if any(not root.success for root in self.completion.roots) else 0

    @property
    def facts(self) -> dict[str, Any]:
        """All of it as JSON values."""
        told: dict[str, Any] = {"workflowId": self.workflow_id}
        if self.key is not None:
            told["key"] = self.key
        if self.completion is not None:
            return {**told, "status": "completed", "completion": self.completion.raw}
        if isinstance(self.error, WorkflowFailedError):
            why = {"reason": self.error.reason, "message": self.error.explanation}
            return {**told, "status": "failed", "failure": why}
        return {**told, "status": None, "error": str(self.error)}

    def say(self, talk: Console) -> None:
        """Say what went wrong."""
        if self.error is not None:
            print_error(f"error: {self.error}")
        for error in self.completion.errors if self.completion else ():
            talk.say(f"failed: {error}")


async def _wait_for(handle: WorkflowHandle[Any], timeout: float | None) -> WorkflowEnd:
    completion, error = None, None
    try:
        completion = await handle.completion(timeout)
    except LinkedApiError as found:
        error = found
    return WorkflowEnd(str(handle.workflow_id), handle.key, completion, error)


def _show_ends(
    ends: Sequence[WorkflowEnd], format_: str, action: ActionClass | None, talk: Console
) -> None:
    if format_ == "json":
        show([end.facts for end in ends])
    else:
        _show_rows(ends, format_, action, talk)
    for end in ends:
        end.say(talk)


def _show_rows(
    ends: Sequence[WorkflowEnd], format_: str, action: ActionClass | None, talk: Console
) -> None:
    completions = [end.completion for end in ends if end.completion is not None]
    rows = [row for completion in completions for row in completion.rows(action)]
    show_rows(rows, format_, talk)


def _exit(context: click.Context, statuses: Iterable[int]) -> None:
    """End with the first status that is not 0."""
    status = next(filter(None, statuses), 0)
    if status:
        context.exit(status)


_TIMEOUT = click.option(
    "--timeout",
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="How long to wait; by default a day.",
)


@click.command(short_help="Run a workflow and print what it brings.")
@click.argument("file", metavar="FILE")
@click.option("--yes", is_flag=True, help="Do not ask before it writes.")
@click.option("--dry-run", is_flag=True, help="Print what would be sent, send nothing.")
@click.option("--no-wait", is_flag=True, help="Print its id as soon as it is started.")
@click.option("--no-check", is_flag=True, help="Send a definition exactly as it is.")
@click.option(
    "--journal", metavar="FILE", help="Where to note it, so that a crash loses nothing."
)
@_TIMEOUT
@format_options
@credential_options
@click.pass_context
def run(
    context: click.Context,
    /,
    *,
    file: str,
    yes: bool,
    dry_run: bool,
    no_wait: bool,
    no_check: bool,
    journal: str | None,
    timeout: float | None,
    format_: str,
    action: str | None,
    **way: Any,
) -> None:
    """Run a workflow and print what it brings.

    FILE is a workflow in JSON, - for standard input, or module:attribute. Ctrl-C ends
    the wait, not the workflow.

    \b
    Examples:
      linkedapi run company.json
      linkedapi run company.json --format csv > employees.csv
      linkedapi run flows:company --format table --action st.retrieveCompanyEmployees
      linkedapi run message.json --dry-run
      linkedapi run message.json --yes
      linkedapi run company.json --no-wait
    """
    way_in, only = credentials(**way), action_of(action)
    with way_in.talk.warnings():
        roots = read_workflow(file, check=not no_check)
        if way_in.generation is not None and not no_check:
            unfit = [*find_unsupported(roots, way_in.generation)]
            if unfit:
                raise InvalidDefinitionError(unfit)
    if dry_run:
        _show_request(roots, way_in)
        return
    _confirm(roots, way_in, yes=yes)
    work = _start_and_wait(
        roots, way_in, journal, None if no_wait else [timeout], check=not no_check
    )
    end = asyncio.run(work)
    if isinstance(end, str):
        click.echo(end)
        return
    if end.completion is None:
        if isinstance(end.error, WaitTimeoutError):
            way_in.talk.say(f"wait on with: {way_in.command('wait', end.workflow_id)}")
        raise command_error(end.error or AssertionError())
    if format_ == "json":
        show(end.completion.raw)
    else:
        _show_rows([end], format_, only, way_in.talk)
    end.say(way_in.talk)
    _exit(context, [end.status])


def _show_request(roots: Roots, way_in: Credentials) -> None:
    prefix = "/account" if way_in.generation == "account_api" else ""
    show(
        {
            "method": "POST",
            "url": f"{way_in.base_url}{prefix}/workflows",
            "workflow": dump_workflow(roots),
        }
    )
    way_in.talk.say(str(_cost(roots, way_in)))
    way_in.talk.say("nothing was sent")


def _cost(roots: Roots, way_in: Credentials) -> object:
    workflow = roots if isinstance(roots, tuple) else (roots,)
    return explain(*workflow, generation=way_in.generation or "linked_api")


def _confirm(roots: Roots, way_in: Credentials, *, yes: bool) -> None:
    writes = writing_actions(roots)
    if writes:
        if not yes:
            way_in.talk.say(str(_cost(roots, way_in)))
        lines = "\n  ".join(writes)
        ask(f"This writes to LinkedIn:\n  {lines}\nSend", yes=yes)


async def _start_and_wait(
    roots: Roots,
    way_in: Credentials,
    journal: str | None,
    wait: Sequence[float | None] | None,
    *,
    check: bool,
) -> WorkflowEnd | str:
    """Start a workflow; return how it ended, or its id if nobody is to wait."""
    started: list[str] = []

    def last() -> str:
        """Return how to go on."""
        if journal is not None:
            return f"go on with: {way_in.command('recover', journal)}"
        if not started:
            return "whether it was started is not known; the account's history shows it"
        return f"it goes on; wait with: {way_in.command('wait', *started)}"

    def first() -> str:
        """Return what is said at the first signal."""
        return "the wait ends" if started else "the wait ends when it is started"

    async with way_in.session(journal=journal) as session:
        account = way_in.one(session)
        with SignalHandler(first, last) as stop:
            # As JSON, which tells a list of one from one. Never cut short: the answer
            # brings the id.
            definition: Any = dump_workflow(roots)
            handle = await account.start(definition, check=check)
            started.append(str(handle.workflow_id))
            way_in.talk.say(f"started {handle.workflow_id}")
            if wait is None:
                return started[0]
            return await stop.unless(_wait_for(handle, *wait))


def _about(
    ids: Sequence[str],
    way_in: Credentials,
    work: Callable[[Account, str], Awaitable[Any]],
) -> dict[str, Any]:
    """Return what *work* gives for each id, or the error that it raised."""
    # An id that is given twice is asked for once.
    ids = [*dict.fromkeys(ids)]
    for each in ids:
        try:
            validate_workflow_id(each)
        except ValueError as error:
            raise CommandError(str(error)) from error

    async def all_of_them() -> dict[str, Any]:
        """Do it for all ids at once, until a signal."""
        again = f"ask again with: {way_in.command('wait', *ids)}"
        async with way_in.session() as session:
            account = way_in.one(session)

            async def one(each: str) -> Any:
                """Do it for one id."""
                try:
                    return await work(account, each)
                except LinkedApiError as error:
                    return error

            with SignalHandler(lambda: "the wait ends", lambda: again) as stop:
                found = await stop.unless(asyncio.gather(*map(one, ids)))
        return dict(zip(ids, found, strict=True))

    return asyncio.run(all_of_them())


def _show_answers(
    context: click.Context,
    answers: dict[str, Any],
    name: str,
    format_: str,
    talk: Console,
) -> None:
    rows = []
    for each, answer in answers.items():
        wrong = isinstance(answer, LinkedApiError)
        rows.append({"workflowId": each, name: None if wrong else answer})
        if wrong:
            print_error(f"error: {answer}")
    if format_ == "json":
        show(rows)
    else:
        show_rows(rows, format_, talk)
    wrongs = (a for a in answers.values() if isinstance(a, LinkedApiError))
    _exit(context, map(status_of, wrongs))


_ANSWERS = click.option(
    "--format", "format_", type=click.Choice(FORMATS), default="json", show_default=True
)

_IDS = click.argument("ids", metavar="ID...", nargs=-1, required=True)


@click.command(short_help="Say how workflows are.")
@_IDS
@_ANSWERS
@credential_options
@click.pass_context
def status(
    context: click.Context, /, *, ids: tuple[str, ...], format_: str, **way: Any
) -> None:
    """Say how workflows are: pending, running, completed, failed or cancelled.

    \b
    Examples:
      linkedapi status wf-1f0c2a9e
      linkedapi status wf-1f0c2a9e wf-9b3d77e4 --format table
    """
    way_in = credentials(**way)
    found = _about(ids, way_in, lambda account, each: account.status(each))
    _show_answers(context, found, "status", format_, way_in.talk)


@click.command(short_help="Wait for workflows and print what they bring.")
@_IDS
@_TIMEOUT
@format_options
@credential_options
@click.pass_context
def wait(
    context: click.Context,
    /,
    *,
    ids: tuple[str, ...],
    timeout: float | None,
    format_: str,
    action: str | None,
    **way: Any,
) -> None:
    """Wait for workflows that were started earlier, and print what they bring.

    Ctrl-C ends the wait, not the workflows.

    \b
    Examples:
      linkedapi wait wf-1f0c2a9e
      linkedapi wait wf-1f0c2a9e wf-9b3d77e4 --format jsonl
    """
    way_in, only = credentials(**way), action_of(action)
    found = _about(
        ids, way_in, lambda account, each: _wait_for(account.attach(each), timeout)
    )
    ends = [*found.values()]
    _show_ends(ends, format_, only, way_in.talk)
    _exit(context, (end.status for end in ends))


@click.command(short_help="Cancel workflows.")
@_IDS
@_ANSWERS
@credential_options
@click.pass_context
def cancel(
    context: click.Context, /, *, ids: tuple[str, ...], format_: str, **way: Any
) -> None:
    """Cancel workflows, and say for each whether it was: what has ended cannot be.

    \b
    Examples:
      linkedapi cancel wf-1f0c2a9e
    """
    way_in = credentials(**way)
    found = _about(ids, way_in, lambda account, each: account.cancel(each))
    _show_answers(context, found, "cancelled", format_, way_in.talk)


@attrs.frozen(kw_only=True)
class Decisions:
    """What somebody decided on starts that nobody knows the fate of."""

    mark_started: tuple[tuple[str, str], ...]
    retry: tuple[str, ...]
    skip: tuple[str, ...]

    async def take(self, journal: Journal) -> None:
        """Note all of them."""
        for key, workflow_id in self.mark_started:
            await journal.adopt(key, workflow_id)
        for key in self.retry:
            await journal.discard(key)
        for key in self.skip:
            await journal.discard(key, again=False)


@click.command(short_help="Pick up what earlier runs have left.")
@click.argument("journal", metavar="JOURNAL")
@click.option(
    "--mark-started",
    nargs=2,
    multiple=True,
    metavar="KEY ID",
    help="It was started, and this is its id.",
)
@click.option(
    "--retry", multiple=True, metavar="KEY", help="It was not started; it may be."
)
@click.option(
    "--skip", multiple=True, metavar="KEY", help="It may have been; leave it alone."
)
@_TIMEOUT
@format_options
@credential_options
@click.pass_context
def recover(
    context: click.Context,
    /,
    *,
    journal: str,
    mark_started: tuple[tuple[str, str], ...],
    retry: tuple[str, ...],
    skip: tuple[str, ...],
    timeout: float | None,
    format_: str,
    action: str | None,
    **way: Any,
) -> None:
    """Wait for what earlier runs with a journal have left, and print what it brings.

    Nothing is started. Starts that were sent and never answered are listed: the
    account's history shows whether they run, and --mark-started, --retry or --skip decides.
    What a batch has left is printed too, and still comes into its results when the
    batch is started again.

    \b
    Examples:
      linkedapi recover runs.journal
      linkedapi recover runs.journal --retry run-1-1
    """
    way_in, only = credentials(**way), action_of(action)
    if not Path(journal).is_file():
        message = f"{journal}: no such journal"
        raise CommandError(message)
    decided = Decisions(mark_started=mark_started, retry=retry, skip=skip)
    ends, left = asyncio.run(_resumed(journal, decided, way_in, timeout))
    _show_ends(ends, format_, only, way_in.talk)
    _say_left(journal, left, way_in)
    doubt = status_of(StartUnknownError("", account="")) if left.unknown else 0
    _exit(context, [doubt, *(end.status for end in ends)])


async def _resumed(
    journal: str, decided: Decisions, way_in: Credentials, timeout: float | None
) -> tuple[list[WorkflowEnd], Recovered]:
    again = f"go on with: {way_in.command('recover', journal)}"
    async with way_in.session(journal=journal) as session:
        way_in.all(session)
        assert session.journal is not None  # noqa: S101  # it was given one
        try:
            await decided.take(session.journal)
        except ValueError as error:
            raise CommandError(str(error)) from error
        left = await session.recover()
        if left.handles:
            way_in.talk.say(f"waiting for {len(left.handles)}")
        with SignalHandler(lambda: "the wait ends", lambda: again) as stop:
            work = (_wait_for(handle, timeout) for handle in left.handles)
            ends: list[WorkflowEnd] = await stop.unless(asyncio.gather(*work))
    return ends, left


def _say_left(journal: str, left: Recovered, way_in: Credentials) -> None:
    for row in left.unknown:
        print_error(f"nobody knows whether {row.key!r} was started on {row.account}")
    if left.unknown:
        command = way_in.command("recover", journal)
        key = shlex.quote(left.unknown[0].key)
        way_in.talk.say(
            f"decide: {command} --mark-started {key} ID, --retry {key} or --skip {key}"
        )
    if left.other_accounts:
        names = ", ".join(sorted({row.account for row in left.other_accounts}))
        way_in.talk.say(
            f"{len(left.other_accounts)} are of accounts that are not here: {names}"
        )
