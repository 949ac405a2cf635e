"""The commands that keep accounts for later commands: accounts."""

from __future__ import annotations

import os
import re
import sys
from typing import Final

import click
from click.shell_completion import CompletionItem

from linkedapi_async._http.requests import validate_token
from linkedapi_async._utils.secret import Secret
from linkedapi_async.cli._console import (
    Console,
    OrderedGroup,
    at_terminal,
    quiet_option,
)
from linkedapi_async.cli._exit_codes import CommandError
from linkedapi_async.cli._output import answer_options, show_answer
from linkedapi_async.cli._stored_accounts import (
    IDENTITY,
    MAIN,
    StoredAccounts,
    accounts_file,
    changed_accounts,
    has_keyring,
    load_accounts,
)
from linkedapi_async.cli._token_files import assignments, decoded


_NAME: Final = re.compile(r"\w[\w.@ -]{0,63}")


class _StoredName(click.ParamType):  # type: ignore[type-arg]  # not in click 8.1
    """The name of a stored account."""

    name = "name"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the names that begin so; none if the accounts cannot be read."""
        del ctx, param
        try:
            names = load_accounts().accounts
        except CommandError:
            return []
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


_STORED: Final = click.argument("name", metavar="NAME", type=_StoredName())


@click.group(
    cls=OrderedGroup, short_help="Keep the tokens of accounts for later commands."
)
def accounts() -> None:
    """Keep the tokens of accounts, so that commands need no environment variables.

    With the extra "keyring" the system's keyring keeps them, where it has one. Otherwise
    a file in your configuration directory does, which only you may read. Commands use
    one account, or that of --account; tokens of the environment, of --env-file and of
    --accounts take precedence.

    \b
    Examples:
      linkedapi accounts list
    """


@accounts.command()
@click.argument("name", metavar="NAME")
@click.option(
    "--generation",
    type=click.Choice([name.removesuffix("_TOKEN").lower() for name in MAIN]),
    default="linked_api",
    show_default=True,
    help="Which main token is typed at a terminal.",
)
@click.option(
    "--no-keyring",
    is_flag=True,
    help="Keep the tokens in the file, even if there is a keyring.",
)
@quiet_option
def add(*, name: str, generation: str, no_keyring: bool, quiet: bool) -> None:
    """Add an account; the first one is used.

    At a terminal the two tokens are typed and not shown. Otherwise they are lines of
    standard input: LINKED_API_TOKEN=… (or ACCOUNT_API_TOKEN=…) and
    IDENTIFICATION_TOKEN=…. They are never arguments, because other programs can read
    those.

    \b
    Examples:
      cat sales.env | linkedapi accounts add sales
    """
    console = Console(quiet)
    if not _NAME.fullmatch(name):
        raise CommandError(
            "NAME must be letters, digits, spaces and any of ._@-, at most 64, got "
            f"{name!r}"
        )
    load_accounts().check_free(name)
    tokens = _typed(generation) if at_terminal() else _piped()
    with changed_accounts() as found:
        found.check_free(name)
        _keep(found, name, tokens, console, keyring=not no_keyring and has_keyring())
        used = found.in_use == name
    console.info(f"stored {name}{', which is used' if used else ''}")
    console.info(f"check it with: linkedapi whoami --account '{name}'")


def _typed(generation: str) -> Secret[dict[str, str]]:
    names = (f"{generation.upper()}_TOKEN", IDENTITY)
    return _validate_tokens(
        Secret({each: click.prompt(each, hide_input=True, err=True) for each in names})
    )


def _piped() -> Secret[dict[str, str]]:
    text = decoded("standard input", Secret(sys.stdin.buffer.read()))
    given = assignments("standard input", text)
    names = {name for name in (*MAIN, IDENTITY) if given.reveal().get(name)}
    if IDENTITY not in names or len(names) != 2:  # noqa: PLR2004  # and a main token
        raise CommandError(
            "expected two lines, LINKED_API_TOKEN=… (or ACCOUNT_API_TOKEN=…) and "
            f"IDENTIFICATION_TOKEN=…, got {', '.join(sorted(names)) or 'neither'}"
        )
    return _validate_tokens(
        Secret({name: given.reveal()[name] for name in sorted(names)})
    )


def _validate_tokens(tokens: Secret[dict[str, str]]) -> Secret[dict[str, str]]:
    for name in tokens.reveal():
        try:
            validate_token(name, Secret(tokens.reveal()[name]))
        except ValueError as error:
            raise CommandError(str(error)) from None
    return tokens


def _keep(
    found: StoredAccounts,
    name: str,
    tokens: Secret[dict[str, str]],
    console: Console,
    *,
    keyring: bool,
) -> None:
    if keyring:
        try:
            found.add(name, tokens, keyring=True)
        except CommandError as error:
            console.error(
                f"warning: {error.message}; {accounts_file()} keeps the tokens"
            )
        else:
            return
    found.add(name, tokens, keyring=False)


@accounts.command("list")
@answer_options
def list_accounts(*, format_: str) -> None:
    """List the stored accounts, without their tokens.

    \b
    Examples:
      linkedapi accounts list
      linkedapi accounts list --format table
    """
    found = load_accounts()
    rows = [
        {
            "name": name,
            "generation": account.generation,
            "tokens": account.place,
            "inUse": name == found.in_use,
        }
        for name, account in found.accounts.items()
    ]
    show_answer(rows, format_, Console())


@accounts.command()
@_STORED
@quiet_option
def use(*, name: str, quiet: bool) -> None:
    """Use an account in all commands that name no other.

    \b
    Examples:
      linkedapi accounts use sales
    """
    console = Console(quiet)
    with changed_accounts() as found:
        found.find(name)
        found.in_use = name
    console.info(f"commands use {name}")
    present = [each for each in (*MAIN, IDENTITY) if os.environ.get(each)]
    if present:
        console.error(
            f"warning: {', '.join(present)} of the environment takes precedence"
        )


@accounts.command()
@_STORED
@quiet_option
def remove(*, name: str, quiet: bool) -> None:
    """Remove an account and its tokens from this machine.

    The account itself stays as it is.

    \b
    Examples:
      linkedapi accounts remove sales
    """
    with changed_accounts() as found:
        found.remove(name)
    Console(quiet).info(f"removed {name}")
