"""What is said to people: on standard error, harmless, and not when it is quiet."""

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


CallT = TypeVar("CallT", bound=Callable[..., Any])


@attrs.frozen
class Console:
    """The voice of a command."""

    quiet: bool = False
    """Whether only errors and warnings are said."""

    def say(self, text: str) -> None:
        """Say *text*, unless it is quiet."""
        if not self.quiet:
            print_error(text)

    @contextlib.contextmanager
    def warnings(self) -> Iterator[None]:
        """Say the warnings of the body, each once."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
        for text in dict.fromkeys(str(warning.message) for warning in caught):
            print_error(f"warning: {text}")


def print_error(text: str) -> None:
    """Say *text* on standard error, quiet or not."""
    click.echo(printable(text, lines=True), err=True)


def quiet_option(command: CallT) -> CallT:
    """Give *command* the option ``--quiet``."""
    return click.option(
        "-q", "--quiet", is_flag=True, help="Say errors and warnings only."
    )(command)


def at_terminal() -> bool:
    """Return whether somebody can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask(question: str, *, yes: bool) -> None:
    """Ask before something is written to LinkedIn.

    Raises:
        Failed: Nobody said yes.
    """
    if yes:
        return
    if not at_terminal():
        message = "this writes to LinkedIn, and nobody is here to be asked; add --yes"
        raise CommandError(message, DECLINED)
    if not click.confirm(printable(question, lines=True), err=True):
        message = "nothing was sent"
        raise CommandError(message, DECLINED)


class _ConsoleHandler(logging.Handler):
    """Says what the library logs."""

    def emit(self, record: logging.LogRecord) -> None:
        """Say one record."""
        print_error(f"{record.levelname.lower()}: {record.getMessage()}")


@contextlib.contextmanager
def logged() -> Iterator[None]:
    """Let warnings of the library be said while the body runs."""
    log, handler = (
        logging.getLogger("linkedapi_async"),
        _ConsoleHandler(logging.WARNING),
    )
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
