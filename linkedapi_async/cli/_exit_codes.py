"""Exit statuses: one for each kind of error."""

from __future__ import annotations

import signal
from typing import IO, Any, Final

import attrs
import click

from linkedapi_async._utils.text import printable
from linkedapi_async.errors import (
    AccountPausedError,
    ActionError,
    AuthenticationError,
    InvalidDefinitionError,
    JournalError,
    LinkedApiError,
    RejectedError,
    RequestError,
    StartUnknownError,
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

DECLINED: Final = 14

DRIFTED: Final = 15

# A class comes before its base: the first match decides.
EXIT_CODES: Final = (
    ExitCode(0, "all is done"),
    ExitCode(USAGE, "the command line, a file or the tokens are wrong", (ExportError,)),
    ExitCode(3, "a workflow is wrong; nothing was sent", (WorkflowError,)),
    ExitCode(4, "a token is missing, wrong or expired", (AuthenticationError,)),
    ExitCode(5, "the account cannot work at the moment", (AccountPausedError,)),
    ExitCode(6, "the API refused a request", (RejectedError,)),
    ExitCode(7, "the API was not reached, or its answer was invalid", (RequestError,)),
    ExitCode(8, "it is unknown whether a start was accepted", (StartUnknownError,)),
    ExitCode(
        FAILED, "a workflow or its root failed", (WorkflowFailedError, ActionError)
    ),
    ExitCode(10, "a workflow was cancelled", (WorkflowCancelledError,)),
    ExitCode(11, "the API does not know a workflow", (WorkflowNotFoundError,)),
    ExitCode(12, "the timeout passed; the workflow goes on", (WaitTimeoutError,)),
    ExitCode(13, "the journal cannot be used", (JournalError,)),
    ExitCode(DECLINED, "the workflow writes and was not confirmed"),
    ExitCode(DRIFTED, "the API has changes that this version does not know"),
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
    """A command failed: the message, and the exit status."""

    def __init__(self, message: str, status: int = USAGE) -> None:
        super().__init__(message)
        # The base class keeps it on the class.
        vars(self)["exit_code"] = status

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the message on standard error."""
        text = f"error: {printable(self.message, lines=True)}"
        click.echo(text, err=file is None, file=file)


def command_error(error: Exception) -> CommandError:
    """Return *error* as the failure of a command."""
    text = str(error)
    if isinstance(error, InvalidDefinitionError):
        # Without the advice for Python.
        text = "\n  ".join(["the workflow is wrong:", *map(str, error.problems)])
    return CommandError(text, status_of(error))
