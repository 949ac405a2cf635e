"""All commands under one name; each is imported when it is called."""

from __future__ import annotations

import importlib
from typing import Any, Final

import click
from click.shell_completion import get_completion_class

from linkedapi_async._version import __version__
from linkedapi_async.cli._console import logged
from linkedapi_async.cli._exit_codes import EXIT_CODES, command_error
from linkedapi_async.errors import LinkedApiError


# Where each command is, and what it is for: `--help` need not import them.
COMMANDS: Final = {
    "check": ("_inspect", "Say all that is wrong with workflows."),
    "draw": ("_inspect", "Draw a workflow, or what came of one."),
    "explain": ("_inspect", "Say what a workflow will cost."),
    "actions": ("_inspect", "Look up actions: parameters, limits, places."),
    "run": ("_workflows", "Run a workflow and print what it brings."),
    "batch": ("_batch", "Run one workflow per row of a file."),
    "status": ("_workflows", "Say how workflows are."),
    "wait": ("_workflows", "Wait for workflows and print what they bring."),
    "cancel": ("_workflows", "Cancel workflows."),
    "recover": ("_workflows", "Pick up what earlier runs have left."),
    "sandbox": ("_serve", "Run a local server that behaves like the API."),
    "webhook": ("_serve", "Receive webhooks."),
}
SHELLS: Final = ("bash", "zsh", "fish")


class App(click.Group):
    """The commands of `COMMANDS`, and those that are added."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Return the context, with the arguments as they came: to say them again."""
        arguments = tuple(args)
        context = super().make_context(info_name, args, parent, **extra)
        context.meta["arguments"] = arguments
        return context

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return [*COMMANDS, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, and import its room."""
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        room = importlib.import_module(f"linkedapi_async.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(room, cmd_name)
        return command

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002
        formatter: click.HelpFormatter,
    ) -> None:
        """Write the list of commands, without importing them."""
        rows = [(name, about) for name, (_, about) in COMMANDS.items()]
        rows += [
            (name, own.get_short_help_str(70)) for name, own in self.commands.items()
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; what the library refuses becomes a line and a status."""
        try:
            with logged():
                return super().invoke(ctx)
        except LinkedApiError as error:
            raise command_error(error) from error


@click.group(cls=App, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="linkedapi")
def app() -> None:
    """Check, explain and run Linked API workflows.

    Results go to standard output, all else to standard error. Tokens come from
    LINKED_API_TOKEN (or ACCOUNT_API_TOKEN) and IDENTIFICATION_TOKEN, or from files that
    only you may read; LINKED_API_BASE_URL is another server, such as a sandbox.

    \b
    Examples:
      linkedapi check company.json
      linkedapi run company.json --format csv
      linkedapi actions search people
    """


@app.command("completion", short_help="Print what completes commands in a shell.")
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
    assert found is not None  # noqa: S101  # click has all of the choice
    made = found(context.find_root().command, {}, "linkedapi", "_LINKEDAPI_COMPLETE")
    click.echo(made.source())


@app.command("exit-codes", short_help="List the exit statuses.")
def exit_codes() -> None:
    """List the exit statuses and what each stands for.

    \b
    Examples:
      linkedapi exit-codes
    """
    for known in sorted(EXIT_CODES, key=lambda known: known.status):
        names = ", ".join(error.__name__ for error in known.errors)
        click.echo(f"{known.status:>3}  {known.when}{f' ({names})' if names else ''}")
