"""Exit statuses: one for each kind of error."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import IO, Any, Final

import attrs
import click

from linkedapi_async._utils.text import printable
from linkedapi_async.errors import (
    AccountPausedError,
    ActionError,
    AuthenticationError,
    JournalError,
    LinkedApiError,
    PaceError,
    QueueError,
    RejectedError,
    RequestError,
    StartUnknownError,
    SuppressedError,
    WaitTimeoutError,
    WorkflowCancelledError,
    WorkflowError,
    WorkflowFailedError,
    WorkflowNotFoundError,
)
from linkedapi_async.export import ExportError


@attrs.frozen
class ExitCode:
    """One exit status."""

    status: int
    """What the process returns."""
    when: str
    """What happened."""
    errors: tuple[type[Exception], ...] = ()
    """The errors that end with it."""


USAGE: Final = 2

FAILED: Final = 9

TIMED_OUT: Final = 12

DECLINED: Final = 14

DRIFTED: Final = 15

LATER: Final = 75

# A class comes before its base: the first match decides.
EXIT_CODES: Final = (
    ExitCode(0, "everything is done, or you answered no to the question"),
    ExitCode(USAGE, "the command line, a file or the tokens are wrong", (ExportError,)),
    ExitCode(3, "a workflow is wrong; nothing was sent", (WorkflowError,)),
    ExitCode(4, "a token is missing, wrong or expired", (AuthenticationError,)),
    ExitCode(5, "the account cannot work at the moment", (AccountPausedError,)),
    ExitCode(6, "the API refused a request", (RejectedError,)),
    ExitCode(
        7, "the API could not be reached, or its answer was invalid", (RequestError,)
    ),
    ExitCode(8, "it is unknown whether a start was accepted", (StartUnknownError,)),
    ExitCode(
        FAILED, "a workflow or its root failed", (WorkflowFailedError, ActionError)
    ),
    ExitCode(10, "a workflow was cancelled", (WorkflowCancelledError,)),
    ExitCode(11, "the API does not know a workflow", (WorkflowNotFoundError,)),
    ExitCode(
        TIMED_OUT, "the timeout passed; the workflow goes on", (WaitTimeoutError,)
    ),
    ExitCode(13, "the journal or the queue cannot be used", (JournalError, QueueError)),
    ExitCode(
        DECLINED, "the workflow writes, and there was no terminal to confirm it at"
    ),
    ExitCode(DRIFTED, "the API has changes that this version does not know"),
    ExitCode(
        16, "the target was contacted before; nothing was sent", (SuppressedError,)
    ),
    ExitCode(
        LATER, "something was deferred; run the same command again later", (PaceError,)
    ),
    ExitCode(128 + signal.SIGINT, "Ctrl-C; what was started goes on"),
    ExitCode(128 + signal.SIGTERM, "SIGTERM; what was started goes on"),
    ExitCode(1, "anything else", (LinkedApiError,)),
)


def status_of(error: BaseException) -> int:
    """Return the exit status for *error*."""
    if isinstance(error, CommandError):
        return error.exit_code
    for known in EXIT_CODES:
        if isinstance(error, known.errors):
            return known.status
    return 1


class CommandError(click.ClickException):
    """A command failed.

    Args:
        message: What failed, on one line.
        status: The exit status.
        details: More lines, such as a list of problems.
    """

    def __init__(
        self, message: str, status: int = USAGE, details: Sequence[str] = ()
    ) -> None:
        super().__init__(message)
        self.details: tuple[str, ...] = tuple(details)
        # The base class keeps it on the class.
        vars(self)["exit_code"] = status

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the message on standard error."""
        lines = [f"error: {self.message}", *(f"  {line}" for line in self.details)]
        # Text from outside must not begin a line of its own.
        click.echo("\n".join(map(printable, lines)), err=file is None, file=file)
