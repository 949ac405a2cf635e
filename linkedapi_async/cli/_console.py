"""Messages on standard error, and the options that commands share."""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import attrs
import click

from linkedapi_async._utils.text import printable
from linkedapi_async.cli._exit_codes import DECLINED, CommandError


CommandT = TypeVar("CommandT", bound=Callable[..., Any])


def option_group(
    *options: Callable[[Any], Any],
) -> Callable[[CommandT], CommandT]:
    """Return a decorator that gives a command several *options*, in their order."""

    def decorate(command: CommandT) -> CommandT:
        """Apply the last one first, as decorators below each other are."""
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


@attrs.frozen
class Console:
    """Standard error, as one command uses it."""

    quiet: bool = False
    """Whether only errors and warnings are shown."""

    def info(self, text: str) -> None:
        """Show *text*, unless the console is quiet."""
        if not self.quiet:
            print_error(text)

    def block(self, text: str) -> None:
        """Show *text* of several lines, unless the console is quiet."""
        for line in text.splitlines():
            self.info(line)

    def error(self, text: str) -> None:
        """Show *text*, quiet or not."""
        print_error(text)

    @contextlib.contextmanager
    def warnings(self) -> Iterator[None]:
        """Show the warnings of the body, each once."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
        for text in dict.fromkeys(str(warning.message) for warning in caught):
            self.error(f"warning: {text}")


class OrderedGroup(click.Group):
    """A group that lists its commands in the order of their definitions."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        del ctx
        return [*self.commands]


def print_error(text: str) -> None:
    """Print *text* as one line on standard error.

    A new line in text from outside, such as a message of the server, is escaped, so that
    it cannot pass for a message of its own.
    """
    # Not err=True, which writes into a progress bar instead of above it.
    click.echo(printable(text), file=sys.stderr)


def quiet_option(command: CommandT) -> CommandT:
    """Give *command* the option ``--quiet``."""
    return click.option(
        "-q", "--quiet", is_flag=True, help="Show errors and warnings only."
    )(command)


def braces_option(command: CommandT) -> CommandT:
    """Give *command* the option ``--allow-braces``."""
    return click.option(
        "--allow-braces",
        is_flag=True,
        help="Send texts with braces such as {{name}} as they are.",
    )(command)


def at_terminal() -> bool:
    """Return whether a question can be asked and answered."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask(question: str, *, yes: bool, effect: str = "this writes to LinkedIn") -> bool:
    """Ask before anything is changed; return whether the answer was yes.

    Args:
        question: The question, without a question mark.
        yes: Whether the user answered in advance.
        effect: What will be done.

    Raises:
        CommandError: There is no terminal to ask at.
    """
    if yes:
        return True
    if not at_terminal():
        message = f"{effect} and there is no terminal to ask at; add --yes"
        raise CommandError(message, DECLINED)
    answer = click.confirm(printable(question, lines=True), err=True)
    if not answer:
        print_error("nothing was sent")
    return answer


class _ConsoleHandler(logging.Handler):
    """Print what the library logs."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record."""
        print_error(f"{record.levelname.lower()}: {record.getMessage()}")


@contextlib.contextmanager
def logged() -> Iterator[None]:
    """Print the library's warnings while the body runs."""
    log = logging.getLogger("linkedapi_async")
    handler = _ConsoleHandler(logging.WARNING)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
