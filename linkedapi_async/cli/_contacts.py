"""The options of commands that write to each person once."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from linkedapi_async.cli._console import option_group
from linkedapi_async.cli._exit_codes import CommandError


if TYPE_CHECKING:
    from linkedapi_async.contacts import Contacts


contacts_options = option_group(
    click.option(
        "--contacts",
        metavar="FILE",
        help="Write to each person once, also across commands that use the same file.",
    ),
    click.option(
        "--once-in",
        type=click.FloatRange(0, min_open=True),
        default=90.0,
        show_default=True,
        metavar="DAYS",
        help="With --contacts: how long a person is not written to again.",
    ),
    click.option(
        "--never",
        metavar="FILE",
        help="With --contacts: a CSV file of people who are never written to.",
    ),
)
"""The options of `contacts_of`."""


def contacts_of(path: str | None, days: float, never: str | None) -> Contacts | None:
    """Return the contacts that the options name, if they do.

    Raises:
        CommandError: They cannot be used.
    """
    if path is None:
        if never is not None:
            message = (
                "--never needs --contacts FILE, which connects the names of a person"
            )
            raise CommandError(message)
        return None
    # Most commands have no contacts.
    from linkedapi_async.contacts import Contacts  # noqa: PLC0415

    try:
        once_in = dt.timedelta(days=days)
        names: Any = () if never is None else Path(never)
        return Contacts(path, once_in=once_in, never=names)
    except (ValueError, OverflowError) as error:
        raise CommandError(str(error)) from error
