"""All commands under one name; each is imported when it is called."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import signal
import sys
import warnings
from typing import TYPE_CHECKING, Any, Final

import click
from click.shell_completion import get_completion_class

from linkedapi_async._utils.spelling import nearest
from linkedapi_async._version import __version__
from linkedapi_async.cli._console import logged
from linkedapi_async.cli._exit_codes import EXIT_CODES, CommandError
from linkedapi_async.cli._messages import command_error
from linkedapi_async.errors import LinkedApiError, TextWarning


if TYPE_CHECKING:
    from linkedapi_async.cli._operations import Operation


# The module of each command and its summary: `--help` imports none of them.
_SECTIONS: Final = {
    "Workflows": {
        "check": ("_inspect", "List the problems of workflows."),
        "draw": ("_inspect", "Draw a workflow, or its completion."),
        "explain": ("_inspect", "Estimate what a workflow will use."),
        "actions": ("_inspect", "Look up actions: parameters, limits, nesting."),
        "schema": ("_inspect", "Print the JSON Schema of workflows."),
        "run": ("_workflows", "Run a workflow and print its completion."),
        "batch": ("_batch", "Run one workflow per row of a file."),
        "status": ("_workflows", "Print the status of workflows."),
        "wait": ("_workflows", "Wait for workflows and print their completions."),
        "cancel": ("_workflows", "Cancel workflows."),
        "recover": ("_workflows", "Finish what earlier runs left open."),
    },
    "Account": {
        "whoami": (
            "_account_data",
            "Print who the account is, which checks both tokens.",
        ),
        "inbox": (
            "_account_data",
            "Print the messages of the inbox, or follow them.",
        ),
        "network": (
            "_account_data",
            "Print changes of the connections, or follow them.",
        ),
        "usage": ("_account_data", "Print the actions that the account has executed."),
        "accounts": ("_accounts", "Keep the tokens of accounts for later commands."),
        "admin": ("_admin", "Administer the subscription and accounts."),
        "feedback": ("_account_data", "Send feedback on the API to its makers."),
    },
    "Tools": {
        "drift": ("_drift", "List what the API has beyond this version."),
        "mcp": ("_agents", "Serve agents over the Model Context Protocol."),
        "sandbox": ("_serve", "Run a local server that behaves like the API."),
        "webhook": ("_serve", "Receive webhooks."),
        "worker": ("_fleet", "Run lanes of a queue."),
        "queue": ("_fleet", "Show and change a queue of workers."),
    },
}
_LAST: Final = "Tools"
"""The section with the commands of the group itself."""

COMMANDS: Final = {
    name: found for section in _SECTIONS.values() for name, found in section.items()
}
SHELLS: Final = ("bash", "zsh", "fish")


class App(click.Group):
    """The commands of `COMMANDS`, of the operations, and of the group itself."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Return the context, with the arguments as given, to be printed again."""
        arguments = tuple(args)
        context = super().make_context(info_name, args, parent, **extra)
        context.meta["arguments"] = arguments
        return context

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        del ctx
        return [name for rows in self._sections().values() for name in rows]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a command and return the command."""
        if cmd_name in COMMANDS:
            module = importlib.import_module(
                f"linkedapi_async.cli.{COMMANDS[cmd_name][0]}"
            )
            command: click.Command = getattr(module, cmd_name)
            return command
        operation = _operations().get(cmd_name)
        if operation is None:
            return super().get_command(ctx, cmd_name)
        # Imported here: it brings what sends workflows.
        from linkedapi_async.cli._operation_commands import OperationCommand  # noqa: PLC0415

        return OperationCommand(operation)

    def _sections(self) -> dict[str, dict[str, str]]:
        """Return the summaries of the commands by section and name."""
        first, *others = (
            (section, {name: about for name, (_, about) in rows.items()})
            for section, rows in _SECTIONS.items()
        )
        sections = dict([first])
        for operation in _operations().values():
            rows = sections.setdefault(operation.section, {})
            rows[operation.command] = operation.summary
        sections |= dict(others)
        own = {
            name: each.get_short_help_str(70) for name, each in self.commands.items()
        }
        return {**sections, _LAST: sections[_LAST] | own}

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002
        formatter: click.HelpFormatter,
    ) -> None:
        """List the commands by section, without importing them."""
        for section, rows in self._sections().items():
            with formatter.section(section):
                formatter.write_dl([*rows.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; errors of the library become a message and a status."""
        try:
            with logged(), warnings.catch_warnings():
                # The commands check texts themselves, before anything is sent.
                warnings.simplefilter("ignore", TextWarning)
                return super().invoke(ctx)
        except LinkedApiError as error:
            raise command_error(error) from error
        except (KeyboardInterrupt, click.Abort) as error:
            raise CommandError("interrupted", 128 + signal.SIGINT) from error
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            if error.filename is None:
                _discard_output()
            where = error.filename or "standard output"
            raise CommandError(f"{where}: {error.strerror or error}") from error

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command of *args*, or suggest one."""
        name = args[0]
        if self.get_command(ctx, name) is None:
            alike = nearest(name, self.list_commands(ctx))
            hint = f"; did you mean {alike}?" if alike else ""
            ctx.fail(f"No such command {name!r}{hint}")
        return super().resolve_command(ctx, args)


def _operations() -> dict[str, Operation]:
    # Imported here: other commands do not need the operations.
    from linkedapi_async.cli._operations import all_operations  # noqa: PLC0415

    return all_operations()


def _discard_output() -> None:
    """Discard the rest of the output, because it cannot be written at exit either."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(cls=App, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="linkedapi")
def app() -> None:
    """Check, explain and run Linked API workflows.

    Results go to standard output, everything else to standard error. Tokens come from
    LINKED_API_TOKEN (or ACCOUNT_API_TOKEN) and IDENTIFICATION_TOKEN, from files that
    only you may read, or from stored accounts (linkedapi accounts). LINKED_API_BASE_URL names another server, such as a sandbox.

    \b
    Examples:
      linkedapi check company.json
      linkedapi run company.json --format csv
      linkedapi actions search people
    """


@app.command("completion", short_help="Print a script for completion in a shell.")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, /, *, shell: str) -> None:
    """Print a script that completes commands and options in a shell.

    \b
    Examples:
      linkedapi completion bash > ~/.linkedapi-complete.sh
      linkedapi completion fish > ~/.config/fish/completions/linkedapi.fish
    """
    found = get_completion_class(shell)
    assert found is not None  # noqa: S101  # click has all of these shells
    made = found(context.find_root().command, {}, "linkedapi", "_LINKEDAPI_COMPLETE")
    click.echo(made.source())


@app.command("exit-codes", short_help="List the exit statuses.")
def exit_codes() -> None:
    """List the exit statuses and their meaning.

    \b
    Examples:
      linkedapi exit-codes
    """
    # Imported here: it brings modules that other commands do not need.
    from linkedapi_async.cli._output import show_list  # noqa: PLC0415

    rows = []
    for known in sorted(EXIT_CODES, key=lambda known: known.status):
        names = ", ".join(error.__name__ for error in known.errors)
        rows.append((f"{known.status:>3}", known.when + (names and f" ({names})")))
    show_list(rows)
