"""Commands about single workflows: run, status, wait, cancel, recover."""

from __future__ import annotations

import asyncio
import datetime as dt
import shlex
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import attrs
import click

from linkedapi_async._actions.action import ActionClass, Roots, roots_of
from linkedapi_async._actions.texts import find_left_overs, warn_of_doubts
from linkedapi_async._http.requests import validate_workflow_id
from linkedapi_async._http.responses import WorkflowStatus
from linkedapi_async._results.completion import Completion
from linkedapi_async._utils.times import format_time
from linkedapi_async._wire.dump import dump_workflow
from linkedapi_async.cli._console import Console, ask, braces_option, option_group
from linkedapi_async.cli._contacts import contacts_of, contacts_options
from linkedapi_async.cli._credentials import (
    Credentials,
    credential_options,
    credentials,
)
from linkedapi_async.cli._exit_codes import FAILED, CommandError, status_of
from linkedapi_async.cli._messages import message_of
from linkedapi_async.cli._output import (
    action_of,
    answer_options,
    chosen_fields,
    format_options,
    show,
    show_answer,
    show_results,
)
from linkedapi_async.cli._pace import pace_of, pace_options
from linkedapi_async.cli._signals import SignalHandler
from linkedapi_async.cli._workflow_input import (
    BRACES_ADVICE,
    find_unsupported,
    read_workflow,
    writing_actions,
)
from linkedapi_async.errors import (
    InvalidDefinitionError,
    LinkedApiError,
    StartUnknownError,
    WaitTimeoutError,
    WorkflowError,
    WorkflowFailedError,
)
from linkedapi_async.events import PollAnswered, StartHeldBack, WorkflowStarting
from linkedapi_async.explain import explain
from linkedapi_async.journal import Journal
from linkedapi_async.session import Recovered
from linkedapi_async.session._account import Account
from linkedapi_async.session._handle import WorkflowHandle


@attrs.frozen
class WorkflowEnd:
    """The end of a workflow, or the error that ended the wait."""

    workflow_id: str
    key: str | None
    completion: Completion | None
    error: Exception | None

    @property
    def status(self) -> int:
        """The exit status for this end."""
        if self.completion is None:
            return status_of(self.error or AssertionError())
        return FAILED if any(not root.success for root in self.completion.roots) else 0

    @property
    def facts(self) -> dict[str, Any]:
        """The end as JSON values."""
        facts: dict[str, Any] = {"workflowId": self.workflow_id}
        if self.key is not None:
            facts["key"] = self.key
        if self.completion is not None:
            return {**facts, "status": "completed", "completion": self.completion.raw}
        if isinstance(self.error, WorkflowFailedError):
            failure = {
                "reason": self.error.reason,
                "message": self.error.explanation,
            }
            return {**facts, "status": "failed", "failure": failure}
        return {
            **facts,
            "status": None,
            "error": message_of(self.error) if self.error else None,
        }

    def report(self, console: Console) -> None:
        """Show the errors."""
        if self.error is not None:
            console.error(f"error: {message_of(self.error)}")
        for error in self.completion.errors if self.completion else ():
            console.info(f"failed: {message_of(error)}")


async def _wait_for(handle: WorkflowHandle[Any], timeout: float | None) -> WorkflowEnd:
    completion, error = None, None
    try:
        # `_acknowledge` does it once the output has the result.
        completion = await handle.completion(timeout, acknowledge=False)
    except LinkedApiError as raised:
        error = raised
    return WorkflowEnd(str(handle.workflow_id), handle.key, completion, error)


def _show_ends(
    ends: Sequence[WorkflowEnd],
    format_: str,
    action: ActionClass | None,
    console: Console,
) -> None:
    if format_ == "json" and chosen_fields() is None:
        show([end.facts for end in ends])
    else:
        _show_rows(ends, format_, action, console)
    for end in ends:
        end.report(console)


def _show_rows(
    ends: Sequence[WorkflowEnd],
    format_: str,
    action: ActionClass | None,
    console: Console,
) -> None:
    completions = [end.completion for end in ends if end.completion is not None]
    show_results(completions, format_, action, console)


def _exit(context: click.Context, statuses: Iterable[int]) -> None:
    """Exit with the first status that is not 0."""
    status = next(filter(None, statuses), 0)
    if status:
        context.exit(status)


_TIMEOUT = click.option(
    "--timeout",
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="The longest time to wait; by default a day.",
)


sending_options = option_group(
    click.option("--yes", is_flag=True, help="Write to LinkedIn without asking."),
    click.option("--dry-run", is_flag=True, help="Print the request and send nothing."),
    click.option(
        "--no-wait", is_flag=True, help="Print the workflow id as soon as it has one."
    ),
    click.option(
        "--journal",
        metavar="FILE",
        help="Record the run in this file, so that a crash loses nothing.",
    ),
    pace_options,
    contacts_options,
    _TIMEOUT,
    braces_option,
    format_options,
    credential_options,
)
"""The options of `send`."""


@click.command(short_help="Run a workflow and print its completion.")
@click.argument("file", metavar="FILE")
@click.option("--no-check", is_flag=True, help="Send the definition exactly as it is.")
@sending_options
@click.pass_context
def run(
    context: click.Context, /, *, file: str, no_check: bool, **options: Any
) -> None:
    """Run a workflow and print its completion.

    FILE is a workflow in JSON, - for standard input, or module:attribute. Ctrl-C ends
    the wait, not the workflow.

    With --per-day, --hours or --min-interval the start waits for the pace of the
    account. If that takes longer than --timeout, nothing is sent, and the exit status
    is 75. With --contacts, a person who was written to is not written to again, and the
    exit status is 16.

    \b
    Examples:
      linkedapi run company.json
      linkedapi run company.json --format csv > employees.csv
      linkedapi run flows:company --format table --action st.retrieveCompanyEmployees
      linkedapi run company.json --fields name,headline --verbose
      linkedapi run message.json --dry-run
      linkedapi run message.json --yes
      linkedapi run company.json --no-wait
      linkedapi run message.json --journal runs --per-day stMessages 25 --yes
    """
    send(
        context,
        lambda: read_workflow(file, check=not no_check),
        check=not no_check,
        **options,
    )


def send(
    context: click.Context,
    read: Callable[[], Roots],
    *,
    yes: bool,
    dry_run: bool,
    no_wait: bool,
    journal: str | None,
    timeout: float | None,
    allow_braces: bool,
    format_: str,
    action: str | None,
    check: bool = True,
    **options: Any,
) -> None:
    """Run a workflow, print its completion, and exit with its status.

    Args:
        context: The context of the command.
        read: Returns the workflow; its warnings are shown.
        yes: Whether to write to LinkedIn without asking.
        dry_run: Whether to print the request and send nothing.
        no_wait: Whether to print the workflow id and not to wait.
        journal: The file of a journal.
        timeout: The longest wait, in seconds.
        allow_braces: Whether texts may have braces like placeholders.
        format_: The format of the output.
        action: The type of the action whose rows are printed.
        check: Whether the workflow is checked against the generation of the tokens.
        options: The options of `credentials`, the pace and the contacts.
    """
    settings = _settings(journal, **{name: options.pop(name) for name in _SETTINGS})
    creds, only = credentials(**options), action_of(action)
    with creds.console.warnings():
        roots = read()
    definition = dump_workflow(roots)
    problems = [
        *(_unsupported(roots, creds) if check else ()),
        *(() if allow_braces else find_left_overs(definition, BRACES_ADVICE)),
    ]
    if problems:
        raise InvalidDefinitionError(problems)
    with creds.console.warnings():
        if not allow_braces:
            warn_of_doubts(definition)
    if dry_run:
        _show_request(roots, creds)
        return
    if not _confirm(roots, creds, yes=yes):
        return

    def display(end: WorkflowEnd) -> None:
        if format_ != "json" or chosen_fields() is not None:
            _show_rows([end], format_, only, creds.console)
        elif end.completion is not None:
            show(end.completion.raw)
        end.report(creds.console)

    work = _start_and_wait(
        roots,
        creds,
        settings,
        timeout=timeout,
        check=check,
        display=None if no_wait else display,
    )
    end = asyncio.run(work)
    if end is None:
        return
    if isinstance(end.error, WaitTimeoutError):
        creds.console.info(
            f"continue the wait with: {creds.command('wait', end.workflow_id)}"
        )
    _exit(context, [end.status])


_SETTINGS = ("per_day", "hours", "min_interval", "contacts", "once_in", "never")


def _settings(
    journal: str | None,
    *,
    per_day: Sequence[tuple[str, int]],
    hours: str | None,
    min_interval: float | None,
    contacts: str | None,
    once_in: float,
    never: str | None,
) -> dict[str, Any]:
    """Return the arguments of the session that the options set."""
    if journal is None and (per_day or min_interval is not None):
        raise CommandError(
            "--per-day and --min-interval need --journal FILE, which has what earlier "
            "runs have started"
        )
    return {
        "journal": journal,
        "pace": pace_of(per_day, hours, min_interval),
        "contacts": contacts_of(contacts, once_in, never),
    }


def _unsupported(roots: Roots, creds: Credentials) -> Iterable[WorkflowError]:
    """Return the parts of a workflow that the API of the tokens does not support."""
    return find_unsupported(roots, creds.generation) if creds.generation else ()


def _show_request(roots: Roots, creds: Credentials) -> None:
    prefix = "/account" if creds.generation == "account_api" else ""
    show(
        {
            "method": "POST",
            "url": f"{creds.base_url}{prefix}/workflows",
            "workflow": dump_workflow(roots),
        }
    )
    creds.console.block(str(_cost(roots, creds)))
    creds.console.info("nothing was sent")


def _cost(roots: Roots, creds: Credentials) -> object:
    return explain(*roots_of(roots), generation=creds.generation or "linked_api")


def _confirm(roots: Roots, creds: Credentials, *, yes: bool) -> bool:
    """Return whether the workflow may be sent."""
    writes = writing_actions(roots)
    if not writes:
        return True
    if not yes:
        creds.console.block(str(_cost(roots, creds)))
    lines = "\n  ".join(writes)
    return ask(f"This writes to LinkedIn:\n  {lines}\nSend", yes=yes)


class _ReasonReport:
    """Shows why a workflow is pending, whenever that changes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown: tuple[str | None, str | None] = (None, None)

    def show(self, event: PollAnswered) -> None:
        """Show the reason and the message of the API as they are."""
        if event.status is None or (event.pending_reason, event.message) == self._shown:
            return
        self._shown = event.pending_reason, event.message
        if event.pending_reason is not None:
            texts = " – ".join(filter(None, self._shown))
            self._console.info(f"waiting: {texts} (since {_clock()})")


def _clock() -> str:
    return f"{dt.datetime.now().astimezone():%H:%M}"


class _PaceReport:
    """Shows what a start waits for, until it is sent."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._since: str | None = None
        self.waits = False
        """Whether the start waits, and nothing was sent."""

    def held_back(self, event: StartHeldBack) -> None:
        """Show the reason, since when the start waits, and until when it has to."""
        if event.waits:
            self.waits = True
            self._since = self._since or _clock()
            end = "" if event.until is None else f" until {format_time(event.until)}"
            self._console.info(f"waiting{end}: {event.reason} (since {self._since})")

    def starting(self, _: WorkflowStarting) -> None:
        """Record that the start is sent."""
        self.waits = False


async def _start_and_wait(
    roots: Roots,
    creds: Credentials,
    settings: dict[str, Any],
    *,
    timeout: float | None,
    check: bool,
    display: Callable[[WorkflowEnd], None] | None,
) -> WorkflowEnd | None:
    """Start a workflow, and return its end; without *display*, print its id only."""
    started: list[str] = []
    journal = settings["journal"]
    pace = _PaceReport(creds.console)

    def last() -> str:
        if pace.waits:
            return "nothing was sent"
        if journal is not None:
            return f"continue with: {creds.command('recover', journal)}"
        if not started:
            return (
                "it is unknown whether it was started; check the history of the account"
            )
        return (
            f"the workflow goes on; wait for it with: {creds.command('wait', *started)}"
        )

    def first() -> str:
        is_early = not (started or pace.waits)
        return f"the wait ends{' after the start' if is_early else ''}"

    # A start must no longer wait for its pace.
    deadline = None if timeout is None else max(timeout, 0.001)
    async with creds.session(deadline=deadline, **settings) as session:
        account = creds.one(session)
        session.on(PollAnswered, _ReasonReport(creds.console).show)
        session.on(StartHeldBack, pace.held_back)
        session.on(WorkflowStarting, pace.starting)
        with SignalHandler(first, last) as signals:
            # JSON keeps a list of one root.
            definition: Any = dump_workflow(roots)
            begun = asyncio.get_running_loop().time()
            handle = await _started(account, definition, pace, signals, check=check)
            started.append(str(handle.workflow_id))
            creds.console.info(f"started {handle.workflow_id}")
            if display is None:
                click.echo(started[0])
                return None
            if timeout is not None:
                timeout = max(0.0, begun + timeout - asyncio.get_running_loop().time())
            end: WorkflowEnd = await signals.run_until_signal(
                _wait_for(handle, timeout)
            )
        display(end)
        await _acknowledge(session.journal, [end])
    return end


async def _started(
    account: Account,
    definition: Any,
    pace: _PaceReport,
    signals: SignalHandler,
    *,
    check: bool,
) -> WorkflowHandle[Any]:
    """Start a workflow. A signal ends the wait for the pace.

    It does not interrupt the start, because its response has the id.
    """
    start: asyncio.Future[Any] = asyncio.ensure_future(
        account.start(definition, check=check)
    )
    signal: asyncio.Future[Any] = asyncio.ensure_future(signals.wait())
    await asyncio.wait({start, signal}, return_when=asyncio.FIRST_COMPLETED)
    signal.cancel()
    if pace.waits and not start.done():
        start.cancel()
        await asyncio.wait({start})
        raise signals.failure()
    handle: WorkflowHandle[Any] = await start
    return handle


async def _acknowledge(journal: Journal | None, ends: Sequence[WorkflowEnd]) -> None:
    """Record that *ends* were printed, once the output has them."""
    sys.stdout.flush()
    if journal is None:
        return
    printed = {end.workflow_id for end in ends}
    for row in await journal.rows("finished"):
        # A batch writes its rows to its own results first.
        if row.workflow_id in printed and not row.stream:
            await journal.delivered(row.key)


def _for_each_id(
    ids: Sequence[str],
    creds: Credentials,
    work: Callable[[Account, str], Awaitable[Any]],
) -> dict[str, Any]:
    """Return the result of *work* for each id, or the error that it raised."""
    ids = [*dict.fromkeys(ids)]
    # Checked before any request, so that a misspelt id leaves nothing half done.
    for each in ids:
        try:
            validate_workflow_id(each)
        except ValueError as error:
            raise CommandError(message_of(error)) from error

    async def for_all() -> dict[str, Any]:
        """Call *work* for all ids at once, until a signal."""
        again = f"continue with: {creds.command('wait', *ids)}"
        async with creds.session() as session:
            account = creds.one(session)

            async def one(each: str) -> Any:
                try:
                    return await work(account, each)
                except LinkedApiError as error:
                    return error

            with SignalHandler(lambda: "the wait ends", lambda: again) as signals:
                found = await signals.run_until_signal(asyncio.gather(*map(one, ids)))
        return dict(zip(ids, found, strict=True))

    return asyncio.run(for_all())


def _show_answers(
    context: click.Context,
    answers: dict[str, Any],
    name: str,
    format_: str,
    console: Console,
) -> None:
    rows = []
    for each, answer in answers.items():
        failed = isinstance(answer, LinkedApiError)
        row = {"workflowId": each, name: None if failed else answer}
        if isinstance(answer, WorkflowStatus):
            known = {"pendingReason": answer.pending_reason, "message": answer.message}
            row |= {name: text for name, text in known.items() if text is not None}
        rows.append(row)
        if failed:
            console.error(f"error: {message_of(answer)}")
    show_answer(rows, format_, console)
    errors = (a for a in answers.values() if isinstance(a, LinkedApiError))
    _exit(context, map(status_of, errors))


_IDS = click.argument("ids", metavar="ID...", nargs=-1, required=True)


@click.command(short_help="Print the status of workflows.")
@_IDS
@answer_options
@credential_options
@click.pass_context
def status(
    context: click.Context, /, *, ids: tuple[str, ...], format_: str, **options: Any
) -> None:
    """Print the status of workflows: pending, running, completed, failed, cancelled.

    \b
    Examples:
      linkedapi status wf-1f0c2a9e
      linkedapi status wf-1f0c2a9e wf-9b3d77e4 --format table
    """
    creds = credentials(**options)
    found = _for_each_id(ids, creds, lambda account, each: account.status(each))
    _show_answers(context, found, "status", format_, creds.console)


@click.command(short_help="Wait for workflows and print their completions.")
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
    **options: Any,
) -> None:
    """Wait for workflows that were started earlier, and print their completions.

    Ctrl-C ends the wait, not the workflows.

    \b
    Examples:
      linkedapi wait wf-1f0c2a9e
      linkedapi wait wf-1f0c2a9e wf-9b3d77e4 --format jsonl
    """
    creds, only = credentials(**options), action_of(action)
    found = _for_each_id(
        ids, creds, lambda account, each: _wait_for(account.attach(each), timeout)
    )
    ends = [*found.values()]
    _show_ends(ends, format_, only, creds.console)
    _exit(context, (end.status for end in ends))


@click.command(short_help="Cancel workflows.")
@_IDS
@answer_options
@credential_options
@click.pass_context
def cancel(
    context: click.Context, /, *, ids: tuple[str, ...], format_: str, **options: Any
) -> None:
    """Cancel workflows, and print for each whether it was cancelled.

    A workflow that has ended cannot be cancelled.

    \b
    Examples:
      linkedapi cancel wf-1f0c2a9e
    """
    creds = credentials(**options)
    found = _for_each_id(ids, creds, lambda account, each: account.cancel(each))
    _show_answers(context, found, "cancelled", format_, creds.console)


@attrs.frozen(kw_only=True)
class Decisions:
    """The decisions of the user on unknown starts."""

    mark_started: tuple[tuple[str, str], ...]
    retry: tuple[str, ...]
    skip: tuple[str, ...]

    async def apply(self, journal: Journal) -> None:
        """Record all of them."""
        for key, workflow_id in self.mark_started:
            await journal.adopt(key, workflow_id)
        for key in self.retry:
            await journal.discard(key)
        for key in self.skip:
            await journal.discard(key, again=False)


@click.command(short_help="Finish what earlier runs left open.")
@click.argument("journal", metavar="JOURNAL")
@click.option(
    "--mark-started",
    nargs=2,
    multiple=True,
    metavar="KEY ID",
    help="Record that the start was accepted, with its workflow id.",
)
@click.option(
    "--retry",
    multiple=True,
    metavar="KEY",
    help="Free the key: it may be started again.",
)
@click.option("--skip", multiple=True, metavar="KEY", help="Never start the key again.")
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
    **options: Any,
) -> None:
    """Wait for the unfinished workflows of a journal, and print their completions.

    Nothing is started. Starts without an answer are listed: the history of the account
    shows whether they run; decide with --mark-started, --retry or --skip. Rows of a
    batch are printed too, and still go to its results when the batch runs again.

    \b
    Examples:
      linkedapi recover runs.journal
      linkedapi recover runs.journal --retry run-1-1
    """
    creds, only = credentials(**options), action_of(action)
    if not Path(journal).is_file():
        raise CommandError(f"{journal}: no such journal")
    decisions = Decisions(mark_started=mark_started, retry=retry, skip=skip)

    def display(ends: Sequence[WorkflowEnd]) -> None:
        _show_ends(ends, format_, only, creds.console)

    work = _recovered(journal, decisions, creds, timeout, display)
    ends, recovered = asyncio.run(work)
    _report_open(journal, recovered, creds)
    unknown = status_of(StartUnknownError("", account=""))
    _exit(context, [unknown if recovered.unknown else 0, *(end.status for end in ends)])


async def _recovered(
    journal: str,
    decisions: Decisions,
    creds: Credentials,
    timeout: float | None,
    display: Callable[[Sequence[WorkflowEnd]], None],
) -> tuple[list[WorkflowEnd], Recovered]:
    again = f"continue with: {creds.command('recover', journal)}"
    async with creds.session(journal=journal) as session:
        # The journal may have rows of every account.
        creds.all(session)
        assert session.journal is not None  # noqa: S101  # the session was given one
        try:
            await decisions.apply(session.journal)
        except ValueError as error:
            raise CommandError(message_of(error)) from error
        recovered = await session.recover()
        if recovered.handles:
            creds.console.info(f"waiting for {len(recovered.handles)}")
        with SignalHandler(lambda: "the wait ends", lambda: again) as signals:
            work = (_wait_for(handle, timeout) for handle in recovered.handles)
            ends: list[WorkflowEnd] = await signals.run_until_signal(
                asyncio.gather(*work)
            )
        display(ends)
        await _acknowledge(session.journal, ends)
    return ends, recovered


def _report_open(journal: str, recovered: Recovered, creds: Credentials) -> None:
    for row in recovered.unknown:
        creds.console.error(
            f"it is unknown whether {row.key!r} was started on {row.account}"
        )
    if recovered.unknown:
        command = creds.command("recover", journal)
        key = shlex.quote(recovered.unknown[0].key)
        creds.console.info(
            f"decide with: {command} --mark-started {key} ID, --retry {key} or --skip {key}"
        )
    if recovered.other_accounts:
        names = ", ".join(sorted({row.account for row in recovered.other_accounts}))
        creds.console.info(
            f"{len(recovered.other_accounts)} belong to accounts that are not loaded: "
            f"{names}"
        )
