"""The command that compares this version with the API: drift."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

import attrs
import click

from linkedapi_async._http.requests import DEFAULT_URL
from linkedapi_async._utils.text import printable
from linkedapi_async.admin import fetch_changelog
from linkedapi_async.admin._changelog import changelog_url_below
from linkedapi_async.cli._exit_codes import DRIFTED
from linkedapi_async.cli._output import as_json
from linkedapi_async.drift import CATALOGUE_DATE, entries_since, sdk_differences


@click.command(short_help="List what the API has beyond this version.")
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d"]),
    default=CATALOGUE_DATE.isoformat(),
    show_default=True,
    help="Entries of the changelog from this day on.",
)
@click.option(
    "--base-url",
    envvar="LINKED_API_BASE_URL",
    show_envvar=True,
    default=DEFAULT_URL,
    metavar="URL",
    help="The address of the API, or of a sandbox.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="The format of the output.",
)
@click.pass_context
def drift(
    context: click.Context,
    /,
    *,
    since: dt.datetime,
    base_url: str,
    format_: str,
) -> None:
    """List what the API and its official SDK have and this version lacks.

    The API's changelog is public, so no token is needed. Names of actions, parameters
    and results that this version does not know are marked. With the package linkedapi
    installed, its operations are compared as well.

    The exit status is 0 without any difference, 15 with differences, and 7 if the
    changelog cannot be read.

    \b
    Examples:
      linkedapi drift
      linkedapi drift --since 2026-06-01 --format json
    """
    try:
        differences: list[Any] | None = sdk_differences()
    except ModuleNotFoundError:
        differences = None
    changelog = asyncio.run(fetch_changelog(url=changelog_url_below(base_url)))
    entries = entries_since(changelog, since.date())
    if format_ == "json":
        found = {
            "changelog": [attrs.asdict(entry) for entry in entries],
            "sdk": None
            if differences is None
            else [attrs.asdict(difference) for difference in differences],
        }
        click.echo(as_json(found))
    else:
        for entry in entries:
            unknown = f" – unknown here: {', '.join(entry.unknown)}" * bool(
                entry.unknown
            )
            click.echo(printable(f"{entry.date}  {entry.title}{unknown}"))
        for difference in differences or ():
            click.echo(printable(f"official SDK  {difference}"))
        click.echo(_summary(len(entries), differences), err=True)
    context.exit(DRIFTED if entries or differences else 0)


def _summary(entries: int, differences: list[Any] | None) -> str:
    """Return the last line, as text."""
    changes = f"{entries or 'no'} {'entry' if entries == 1 else 'entries'}"
    if differences is None:
        return f"{changes} in the changelog; the package linkedapi is not installed"
    count = len(differences)
    names = f"{count or 'no'} {'difference' if count == 1 else 'differences'}"
    return f"{changes} in the changelog, {names} to the official SDK"
