"""Credentials: tokens from the environment or private files, never from arguments."""

from __future__ import annotations

import contextlib
import os
import shlex
import tomllib
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

import attrs
import click

from linkedapi_async._http.requests import DEFAULT_URL, validate_token
from linkedapi_async._types import Generation
from linkedapi_async._utils.json import decode_json
from linkedapi_async._utils.secret import Secret
from linkedapi_async.cli._console import Console, option_group
from linkedapi_async.cli._exit_codes import CommandError
from linkedapi_async.cli._messages import message_of
from linkedapi_async.cli._stored_accounts import (
    IDENTITY,
    MAIN,
    StoredAccounts,
    load_accounts,
)
from linkedapi_async.cli._token_files import assignments, private
from linkedapi_async.cli._verbose import show_event
from linkedapi_async.events import SessionEvent
from linkedapi_async.policies import Polling
from linkedapi_async.session import Session
from linkedapi_async.session._account import Account
from linkedapi_async.session._session import ENVIRONMENT, environment_settings


def variables(
    path: str | None, names: Collection[str] = ENVIRONMENT.keys()
) -> Secret[dict[str, str]]:
    """Return the variables called *names*; the default names make a session.

    Args:
        path: A private file with lines such as ``LINKED_API_TOKEN=…``; its values
            take precedence over the environment.
        names: The names of the variables.

    Raises:
        CommandError: The file cannot be used.
    """
    given: Secret[dict[str, str]] = Secret({})
    if path is not None:
        given = assignments(path, private(path))
    return Secret(_merged(given.reveal(), names))


def _merged(given: dict[str, str], names: Collection[str]) -> dict[str, str]:
    found = {name: os.environ[name] for name in names if name in os.environ}
    if any(given.get(name) for name in MAIN):
        # A main token of the file replaces that of the environment, of either generation.
        found = {name: value for name, value in found.items() if name not in MAIN}
    return {**found, **{n: v for n, v in given.items() if n in names}}


def named_accounts(path: str | None) -> dict[str, Secret[str]]:
    """Return the identification tokens of a private file by account name.

    Args:
        path: TOML or JSON, ``name = "token"`` for each account.

    Raises:
        CommandError: The file cannot be used.
    """
    if path is None:
        return {}
    kind = "TOML" if path.endswith(".toml") else "JSON"
    text, found = private(path), Secret[Any](None)
    # The error of the parser has the text of the file, so it is not the cause.
    with contextlib.suppress(ValueError):
        read = tomllib.loads if kind == "TOML" else _json
        found = Secret(read(text.reveal()))
    if found.reveal() is None:
        raise CommandError(f"{path} is not {kind}")
    if not isinstance(found.reveal(), dict) or not found.reveal():
        message = f'{path}: expected "name": "identification token" for each account'
        raise CommandError(message)
    tokens = {name: Secret(token) for name, token in found.reveal().items()}
    return {name: _validate_token(f"{path}: {name}", tokens[name]) for name in tokens}


def _json(text: str) -> Any:
    return decode_json(text.encode())


def _validate_token(name: str, token: Secret[Any]) -> Secret[str]:
    try:
        return validate_token(name, token)
    except (TypeError, ValueError) as error:
        raise CommandError(str(error)) from None


@attrs.frozen(kw_only=True)
class Credentials:
    """Everything that a command needs to open a session."""

    variables: Secret[dict[str, str]]
    accounts: Mapping[str, Secret[str]]
    """Identification tokens by name; empty means the default account."""
    account: str | None
    """The name of the account to use."""
    poll: float | None
    proxy: str | None
    trust_env: bool
    allow_insecure_http: bool
    console: Console
    verbose: bool = False
    """Whether the events of sessions are shown."""
    arguments: tuple[str, ...] = ()
    """The options that give another command the same tokens."""

    @property
    def generation(self) -> Generation | None:
        """The generation that the main token decides; None without a main token."""
        if self.variables.reveal().get("LINKED_API_TOKEN"):
            return "linked_api"
        return (
            "account_api" if self.variables.reveal().get("ACCOUNT_API_TOKEN") else None
        )

    @property
    def base_url(self) -> str:
        """The URL of the API."""
        return self.variables.reveal().get("LINKED_API_BASE_URL") or DEFAULT_URL

    def command(self, *words: str) -> str:
        """Return a command line with the same tokens."""
        return shlex.join(["linkedapi", *words, *self.arguments])

    def session(self, *, deadline: float | None = None, **settings: Any) -> Session:
        """Return a session that was not entered yet.

        Args:
            deadline: The longest wait, in seconds; by default a day.
            settings: Further arguments of `Session`.

        Raises:
            CommandError: A token is missing or invalid.
        """
        if self.generation is None:
            raise CommandError(
                "no tokens; set LINKED_API_TOKEN (or ACCOUNT_API_TOKEN) and "
                "IDENTIFICATION_TOKEN, or store them with: linkedapi accounts add NAME"
            )
        polling = Polling()
        if self.poll is not None:
            # Workflows behind the head are polled less often, as by default.
            queued = max(self.poll, min(polling.queued_interval, 10 * self.poll))
            polling = attrs.evolve(Polling.fixed(self.poll), queued_interval=queued)
        if deadline is not None:
            polling = attrs.evolve(polling, deadline=deadline)
        settings |= {
            "polling": polling,
            "proxy": self.proxy,
            "trust_env": self.trust_env,
            "allow_insecure_http": self.allow_insecure_http,
        }
        try:
            session = Session(
                **{
                    **environment_settings(self.variables).reveal(),
                    **settings,
                }
            )
        except (TypeError, ValueError) as error:
            raise CommandError(message_of(error)) from error
        if self.verbose:
            session.on(SessionEvent, show_event)
        return session

    def all(self, session: Session) -> dict[str, Account]:
        """Return the accounts of an entered session by name: all, or that of --account.

        Raises:
            CommandError: There is no account, or none of that name.
        """
        if not self.accounts and not self.variables.reveal().get(
            "IDENTIFICATION_TOKEN"
        ):
            raise CommandError(
                "no account; set IDENTIFICATION_TOKEN, pass --accounts, or store the "
                "account with: linkedapi accounts add NAME"
            )
        try:
            if self.accounts:
                found = [
                    session.account(token.reveal(), name)
                    for name, token in self.accounts.items()
                ]
            else:
                found = [
                    session.account(self.variables.reveal()["IDENTIFICATION_TOKEN"])
                ]
        except ValueError as error:
            raise CommandError(f"--accounts: {error}") from error
        accounts = {account.name: account for account in found}
        if self.account is None:
            return accounts
        if self.account not in accounts:
            names = ", ".join(accounts)
            message = f"--account: no account {self.account!r}; known accounts: {names}"
            raise CommandError(message)
        return {self.account: accounts[self.account]}

    def one(self, session: Session) -> Account:
        """Return the one account of an entered session that a command uses.

        Raises:
            CommandError: There are several accounts and --account is missing.
        """
        accounts = self.all(session)
        if len(accounts) > 1:
            message = f"several accounts; add --account NAME: {', '.join(accounts)}"
            raise CommandError(message)
        (account,) = accounts.values()
        return account


credential_options = option_group(
    click.option(
        "--env-file",
        metavar="FILE",
        help="Read tokens from NAME=value lines; only you may read the file.",
    ),
    click.option(
        "--accounts",
        metavar="FILE",
        help="Identification tokens by name, in TOML (.toml) or JSON; only you may "
        "read the file.",
    ),
    click.option("--account", metavar="NAME", help="The account to use."),
    click.option(
        "--poll",
        type=click.FloatRange(0, min_open=True),
        envvar="LINKED_API_POLL_INTERVAL",
        show_envvar=True,
        metavar="SECONDS",
        help="Poll at this interval; by default it grows with the age of a workflow.",
    ),
    click.option(
        "--proxy",
        envvar="LINKED_API_PROXY",
        metavar="URL",
        help="Send requests through this proxy; set LINKED_API_PROXY instead if its URL "
        "has a password.",
    ),
    click.option(
        "--trust-env",
        is_flag=True,
        help="Take the proxy from HTTPS_PROXY, HTTP_PROXY and NO_PROXY.",
    ),
    click.option(
        "--allow-insecure-http",
        is_flag=True,
        help="Send tokens unencrypted to an http:// URL of another machine, such as "
        "that of a sandbox.",
    ),
    click.option(
        "-v",
        "--verbose",
        is_flag=True,
        help="Show what the session does, such as starts, polls and retries.",
    ),
    click.option("-q", "--quiet", is_flag=True, help="Show errors and warnings only."),
)
"""The options of `credentials`."""


def credentials(
    *,
    env_file: str | None,
    accounts: str | None,
    account: str | None,
    poll: float | None,
    proxy: str | None,
    trust_env: bool,
    allow_insecure_http: bool,
    verbose: bool,
    quiet: bool,
) -> Credentials:
    """Return the credentials that the options of `credential_options` name."""
    found, named = variables(env_file), named_accounts(accounts)
    if accounts is None:
        stored = _stored_account(found, account)
        if stored is not None:
            store, account = stored
            tokens = store.tokens(account)
            main = store.find(account).main
            found = Secret({**found.reveal(), main: tokens.reveal()[main]})
            named = {account: Secret(tokens.reveal()[IDENTITY])}
    given = {
        "--env-file": env_file,
        "--accounts": accounts,
        "--account": account,
        "--proxy": proxy if _typed("proxy") else None,
    }
    if proxy is not None:
        _check_proxy(proxy)
    return Credentials(
        variables=found,
        accounts=named,
        account=account,
        poll=poll,
        proxy=proxy,
        trust_env=trust_env,
        allow_insecure_http=allow_insecure_http,
        console=Console(quiet),
        verbose=verbose,
        arguments=(
            *(word for name, value in given.items() if value for word in (name, value)),
            *(["--trust-env"] if trust_env else []),
            *(["--allow-insecure-http"] if allow_insecure_http else []),
        ),
    )


def _stored_account(
    found: Secret[dict[str, str]], name: str | None
) -> tuple[StoredAccounts, str] | None:
    """Return the stored accounts and the one that a command uses, if it uses one.

    Args:
        found: The variables, whose tokens take precedence.
        name: That of ``--account``; by default the one in use.

    Raises:
        CommandError: The accounts cannot be read, or do not include *name*.
    """
    given = [each for each in (*MAIN, IDENTITY) if found.reveal().get(each)]
    if given and name is None:
        return None
    store = load_accounts()
    if given and name in store.accounts:
        raise CommandError(
            f"--account: {' and '.join(given)} takes precedence over the stored account "
            f"{name!r}; unset it"
        )
    if given or not store.accounts:
        return None
    chosen = name or store.in_use
    if chosen is None:
        names = ", ".join(store.accounts)
        raise CommandError(f"no account is in use; add --account NAME: {names}")
    store.find(chosen)
    return store, chosen


def _typed(name: str) -> bool:
    """Return whether an option was typed, rather than set in the environment."""
    source = click.get_current_context().get_parameter_source(name)
    return source is click.core.ParameterSource.COMMANDLINE


def _check_proxy(url: str) -> None:
    # The URL may have a password, so it is in no message.
    message = "--proxy must be a URL such as http://proxy:3128"
    try:
        parts = urlsplit(url)
    except ValueError:
        raise CommandError(message) from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise CommandError(message)
    if parts.password is not None and _typed("proxy"):
        raise CommandError(
            "--proxy must not have a password, because other programs can read the "
            "arguments of a command; set LINKED_API_PROXY instead"
        )
