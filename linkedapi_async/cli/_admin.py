"""The Admin API as commands, made from the methods of its groups."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import attrs
import click

from linkedapi_async._actions.documentation import documentation_of
from linkedapi_async._actions.validators import ListOf
from linkedapi_async._utils.secret import Secret
from linkedapi_async.admin import Admin, Limit, fetch_changelog
from linkedapi_async.admin._accounts import AccountsCalls
from linkedapi_async.admin._changelog import changelog_url_below
from linkedapi_async.admin._parameters import VALIDATORS
from linkedapi_async.admin._resources import (
    LimitsCalls,
    SubscriptionCalls,
    WebhookCalls,
)
from linkedapi_async.cli._console import OrderedGroup, ask
from linkedapi_async.cli._credentials import (
    Credentials,
    credential_options,
    credentials,
)
from linkedapi_async.cli._exit_codes import CommandError
from linkedapi_async.cli._output import answer_options, show_answer
from linkedapi_async.cli._parameters import Input, as_command_errors, as_help


GROUPS: Final[dict[str, type[Any]]] = {
    "subscription": SubscriptionCalls,
    "accounts": AccountsCalls,
    "limits": LimitsCalls,
    "webhook": WebhookCalls,
}

NOT_COMMANDS: Final = {
    "accounts.regenerate_identification_token": "its result is a token",
    "accounts.wait_connected": "it compares accounts of an earlier moment",
    "webhook.reveal_secret": "its result is a secret",
    "webhook.rotate_secret": "its result is a secret",
    "webhook.set_header": "the value of a header may be a secret",
    "webhook.set_headers": "the value of a header may be a secret",
    "webhook.set_signing": "its result is a secret",
}
"""The methods without a command, and why: the terminal shows no secrets."""

_NOT_OPTIONS: Final = ("headers", "signing_enabled")
"""For the same reasons."""

_LIMITS: Final = "CATEGORY:PERIOD=NUMBER; to delete one, CATEGORY:PERIOD is enough."

_READING: Final = ("get", "deliveries", "event_types")

EXAMPLES: Final = {
    "account_id": "0c9d1f62-8a55-4f0b-9d6e-3f1a2b4c5d6e",
    "delivery_id": "dlv-1",
    "id": "wh-1",
    "limits": "stMessages:daily=20",
    "name": "X-Key",
    "payload_mode": "thin",
    "quantity": "3",
    "seat_type": "core",
    "billing_period": "month",
    "session_id": "ses-1",
    "url": "https://example.com/linkedapi",
}
"""The values in examples, by the parameter's name."""

_LIMIT: Final = re.compile(r"(\w+):(\w+)(?:=([0-9]{1,9}))?")

_SECRET: Final = re.compile("token|secret", re.IGNORECASE)


@attrs.frozen
class AdminCommand:
    """A call of the Admin API, as a command."""

    group: str
    method: str

    @property
    def function(self) -> Callable[..., Any]:
        """The method of the group's class."""
        found: Callable[..., Any] = getattr(GROUPS[self.group], self.method)
        return found

    @property
    def command(self) -> str:
        """The name of the command in its group."""
        return self.method.replace("_", "-")

    @property
    def changes(self) -> bool:
        """Whether it changes anything."""
        return not self.method.startswith(_READING)

    @property
    def summary(self) -> str:
        """What it does, as a command."""
        text = as_help(documentation_of(self.function).summary, {})
        text = text.replace("None means all", "by default all")
        return re.sub("^Return ", "Make " if self.changes else "Print ", text)

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The arguments and options."""
        described = documentation_of(self.function).parameters
        described |= {"limits": _LIMITS}
        _, *parameters = inspect.signature(self.function).parameters.values()
        return tuple(
            Input(
                name=each.name,
                validator=VALIDATORS[each.name],
                about=as_help(described.get(each.name, ""), {}),
                required=each.default is each.empty and each.name != "events",
                positional=each.kind is not each.KEYWORD_ONLY
                and not isinstance(VALIDATORS[each.name], ListOf),
            )
            for each in parameters
            if each.name not in _NOT_OPTIONS
        )

    @property
    def example(self) -> str:
        """A command line."""
        words = ["linkedapi admin", self.group, self.command]
        for each in self.inputs:
            if each.required:
                option = [] if each.positional else [each.shown]
                words += [*option, EXAMPLES[each.name]]
        return " ".join(words)

    def build(self) -> click.Command:
        """Return the command."""
        inputs = self.inputs
        own = {each.name for each in inputs}

        @click.option("--yes", is_flag=True, help="Make the change without asking.")
        @answer_options
        @credential_options
        def call(*, yes: bool = True, format_: str, **given: Any) -> None:
            options = {name: value for name, value in given.items() if name not in own}
            creds = credentials(**options)
            values = {each.name: each.read(given[each.name]) for each in inputs}
            if "limits" in values:
                values["limits"] = [*map(_limit, values["limits"])]
            effect = "this changes what the Admin API manages"
            if self.changes and not ask(
                f"{self.summary}\nSend", yes=yes, effect=effect
            ):
                return
            names = {each.name: each.shown for each in inputs}
            with as_command_errors(names):
                answer = asyncio.run(self._ask(creds, values))
            _show(answer, format_, creds)

        made = click.command()(call)
        shared = [each for each in made.params if self.changes or each.name != "yes"]
        arguments = (f"{i.shown}: {i.help()}" for i in inputs if i.positional)
        examples = f"\b\nExamples:\n  {self.example}"
        return click.Command(
            self.command,
            callback=made.callback,
            params=[*(each.parameter() for each in inputs), *shared],
            help="\n\n".join([self.summary, *arguments, examples]),
            short_help=self.summary,
        )

    async def _ask(self, creds: Credentials, values: Mapping[str, Any]) -> Any:
        given = {name: value for name, value in values.items() if value is not None}
        if "events" in values and self.method == "set_events":
            given["events"] = values["events"]
        async with _admin(creds) as admin:
            group = getattr(admin, self.group)
            return await getattr(group, self.method)(**given)


def all_calls() -> Iterator[AdminCommand]:
    """Yield the calls that are commands."""
    for group, cls in GROUPS.items():
        for method, function in vars(cls).items():
            public = inspect.isfunction(function) and not method.startswith("_")
            if public and f"{group}.{method}" not in NOT_COMMANDS:
                yield AdminCommand(group, method)


def _limit(text: str) -> Limit:
    found = _LIMIT.fullmatch(text)
    if found is None:
        raise CommandError(f"--limits must be CATEGORY:PERIOD=NUMBER, got {text!r}")
    number = None if found[3] is None else int(found[3])
    return Limit(category=found[1], period=found[2], max_value=number)


def _admin(creds: Credentials) -> Admin:
    if creds.generation != "linked_api":
        raise CommandError("the Admin API needs LINKED_API_TOKEN")
    try:
        return Admin(
            linked_api_token=creds.variables.reveal()["LINKED_API_TOKEN"],
            base_url=creds.base_url,
            proxy=creds.proxy,
            trust_env=creds.trust_env,
            allow_insecure_http=creds.allow_insecure_http,
        )
    except ValueError as error:
        raise CommandError(str(error)) from None


def _show(answer: Any, format_: str, creds: Credentials) -> None:
    if answer is None:
        creds.console.info("done")
        return
    items = answer if isinstance(answer, list) else [answer]
    raw = [_masked(Secret(getattr(each, "raw", {"value": each}))) for each in items]
    if isinstance(answer, list):
        show_answer(raw, format_, creds.console)
        return
    lists = [each for each in raw[0].values() if _is_table(each)]
    rows = lists[0] if lists and format_ != "json" else raw[0]
    show_answer(rows, format_, creds.console)


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def _masked(value: Secret[Any]) -> Any:
    """Return a JSON value without the tokens and secrets in it."""
    if isinstance(value.reveal(), list):
        return [_masked(Secret(each)) for each in value.reveal()]
    if not isinstance(value.reveal(), dict):
        return value.reveal()
    return {
        name: "…"
        if _SECRET.search(name) and isinstance(value.reveal()[name], str)
        else _masked(Secret(value.reveal()[name]))
        for name in value.reveal()
    }


@click.group(cls=OrderedGroup, short_help="Administer the subscription and accounts.")
def admin() -> None:
    """Administer the subscription, the accounts, the limits and the webhook.

    The main token is enough. Changes ask for confirmation. Tokens and secrets in answers
    are replaced by "…"; the library returns them.

    \b
    Examples:
      linkedapi admin subscription get-status
      linkedapi admin accounts get-all --format table
    """


def _fill() -> None:
    for group, cls in GROUPS.items():
        about = documentation_of(cls).summary
        first = next(call for call in all_calls() if call.group == group)
        made = OrderedGroup(
            group,
            help=f"{about}\n\n\b\nExamples:\n  {first.example}",
            short_help=about,
            commands={c.command: c.build() for c in all_calls() if c.group == group},
        )
        admin.add_command(made)


_fill()


@admin.command(short_help="Print the public list of changes.")
@click.option("--since", metavar="DATE", help="Only what changed since this date.")
@answer_options
@credential_options
def changelog(*, since: str | None, format_: str, **options: Any) -> None:
    """Print the public list of changes of the API; it needs no token.

    \b
    Examples:
      linkedapi admin changelog --since 2026-06-01
    """
    creds = credentials(**options)
    work = fetch_changelog(
        since,
        url=changelog_url_below(creds.base_url),
        trust_env=creds.trust_env,
        proxy=creds.proxy,
        allow_insecure_http=creds.allow_insecure_http,
    )
    with as_command_errors({"since": "--since"}):
        _show(asyncio.run(work), format_, creds)
