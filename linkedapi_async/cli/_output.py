"""Results on standard output: JSON, JSON Lines, CSV, Parquet, or a table."""

from __future__ import annotations

import json
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, Final

import click

from linkedapi_async._actions.action import Action
from linkedapi_async._results.completion import Completion
from linkedapi_async._results.key import ACTIONS
from linkedapi_async._utils.spelling import nearest
from linkedapi_async._utils.text import ACTING, printable
from linkedapi_async.cli._console import CommandT, Console
from linkedapi_async.cli._exit_codes import CommandError
from linkedapi_async.export import write_csv, write_parquet
from linkedapi_async.tables import table


FORMATS: Final = ("json", "jsonl", "csv", "table")

PARQUET: Final = "parquet"

_EXCEL: Final = "csv for Excel"
"""The format of ``--format csv --bom``."""

_NARROWEST: Final = 12
"""The width of the narrowest column of a table, with its margin."""

_UNBOUNDED: Final = 100_000
"""The width of output without a terminal."""

_LONGEST: Final = 200
"""The longest text of a cell in a table."""


_FIELDS: Final = "linkedapi_async.fields"
"""The key of the chosen fields in the context of a command."""


def _keep_fields(
    context: click.Context, parameter: click.Parameter, given: str | None
) -> None:
    if given is None:
        return
    names = [name.strip() for name in given.split(",")]
    if not all(names):
        message = f"expected names with commas between them, got {given!r}."
        raise click.BadParameter(message, context, parameter)
    context.meta[_FIELDS] = names


def fields_option(command: CommandT) -> CommandT:
    """Give *command* the option ``--fields``, which `show_rows` uses."""
    return click.option(
        "--fields",
        metavar="NAME,…",
        expose_value=False,
        is_eager=True,
        callback=_keep_fields,
        help="Print rows with these columns of csv only, in this order.",
    )(command)


def chosen_fields() -> list[str] | None:
    """Return the fields that the user has chosen; None means all."""
    context = click.get_current_context(silent=True)
    found: list[str] | None = None if context is None else context.meta.get(_FIELDS)
    return found


def selected(row: dict[str, Any]) -> dict[str, Any]:
    """Return the chosen fields of a row."""
    fields = chosen_fields()
    return row if fields is None else {name: row.get(name) for name in fields}


def _selected_rows(
    rows: Sequence[dict[str, Any]], console: Console
) -> list[dict[str, Any]]:
    known = columns_of(rows)
    for name in chosen_fields() or ():
        if rows and name not in known:
            console.error(
                f"warning: no row has the field {name!r}; known: {', '.join(known)}"
            )
    return [*map(selected, rows)]


def format_options(command: CommandT) -> CommandT:
    """Give *command* the options ``--format``, ``--fields``, ``--bom``, ``--action``."""
    command = fields_option(command)
    # The format is checked against the others, which are eager to be read before it.
    command = click.option(
        "--action",
        metavar="TYPE",
        is_eager=True,
        help="Print rows of this action only, such as st.retrieveCompanyEmployees.",
    )(command)
    command = click.option(
        "--bom",
        is_flag=True,
        is_eager=True,
        help="Begin CSV with a byte order mark, as Excel expects.",
    )(command)
    return click.option(
        "--format",
        "format_",
        type=click.Choice((*FORMATS, PARQUET)),
        default="json",
        show_default=True,
        callback=_checked_format,
        help="json is the whole completion; the others have one row for each item. "
        "parquet has typed columns and needs --action.",
    )(command)


def _checked_format(ctx: click.Context, _: click.Parameter, format_: str) -> str:
    """Return the format, with what ``--bom`` says.

    Raises:
        CommandError: The other options or the installation do not allow it.
    """
    bom = ctx.params.pop("bom", False)
    if bom and format_ != "csv":
        raise CommandError(f"--bom needs --format csv, got {format_}")
    if format_ == PARQUET and _FIELDS in ctx.meta:
        raise CommandError("--format parquet has all fields; leave --fields out")
    if format_ == PARQUET:
        _check_parquet(ctx.params.get("action"))
    return _EXCEL if bom else format_


def _check_parquet(action: str | None) -> None:
    if action is None:
        raise CommandError(
            "--format parquet needs --action TYPE, because the columns follow from it"
        )
    if sys.stdout.isatty():
        raise CommandError(
            "--format parquet is not for a terminal; write it to a file with > FILE"
        )
    try:
        import arro3.core  # noqa: PLC0415
        import arro3.io  # noqa: F401, PLC0415
    except ImportError:
        message = "--format parquet needs: pip install 'linkedapi-async[table]'"
        raise CommandError(message) from None


def answer_options(command: CommandT) -> CommandT:
    """Give *command* the options ``--format`` and ``--fields`` of `show_answer`."""
    command = fields_option(command)
    return click.option(
        "--format",
        "format_",
        type=click.Choice(FORMATS),
        default="json",
        show_default=True,
        help="The format of the output.",
    )(command)


def action_of(name: str | None) -> type[Action[Any, Any, Any]] | None:
    """Return the class of an action type; None stays None.

    Raises:
        CommandError: The action type is unknown.
    """
    if name is None:
        return None
    if name in ACTIONS:
        return ACTIONS[name]
    alike = nearest(name, ACTIONS)
    hint = f"; did you mean {alike}?" if alike else ""
    raise CommandError(f"--action: unknown action type {name!r}{hint}")


def as_json(value: Any, *, indent: int | None = 2) -> str:
    """Return *value* as JSON without characters that act on a terminal."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    # Such characters occur inside strings only.
    return ACTING.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    return json.dumps(found[0])[1:-1]


def show(value: Any) -> None:
    """Print *value* as JSON."""
    click.echo(as_json(value))


def show_answer(answer: Any, format_: str, console: Console) -> None:
    """Print a JSON object or a list of them, as JSON or with a line for each."""
    if format_ == "json" and chosen_fields() is None:
        show(answer)
    else:
        show_rows(answer if isinstance(answer, list) else [answer], format_, console)


def show_results(
    completions: Sequence[Completion],
    format_: str,
    action: type[Action[Any, Any, Any]] | None,
    console: Console,
) -> None:
    """Print the rows of *completions*, of one action or of all."""
    if format_ == PARQUET and action is not None:
        write_parquet(sys.stdout.buffer, table(completions, action))
    else:
        rows = [row for completion in completions for row in completion.rows(action)]
        show_rows(rows, format_, console)


def show_rows(rows: Iterable[dict[str, Any]], format_: str, console: Console) -> None:
    """Print *rows*, with the chosen fields, as JSON, JSON Lines, CSV or a table."""
    listed = _selected_rows([*rows], console)
    if format_ == "json":
        show(listed)
    elif format_ == "jsonl":
        for row in listed:
            click.echo(as_json(row, indent=None))
    elif format_ in {"csv", _EXCEL}:
        _show_csv(listed, bom=format_ == _EXCEL)
    else:
        _show_table(listed, console)


def show_list(rows: Iterable[tuple[str, str]]) -> None:
    """Print names with their texts; at a terminal the texts wrap at its width."""
    listed = [*rows]
    indent = max((len(name) for name, _ in listed), default=0) + 2
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else _UNBOUNDED
    for name, text in listed:
        width = max(columns - indent, _NARROWEST)
        lines = textwrap.wrap(printable(text), width, break_on_hyphens=False)
        click.echo(f"{printable(name):<{indent}}{lines[0] if lines else ''}")
        for line in lines[1:]:
            click.echo(f"{'':<{indent}}{line}")


def columns_of(rows: Iterable[dict[str, Any]]) -> list[str]:
    """Return the names of all columns, in order of appearance."""
    return [*dict.fromkeys(name for row in rows for name in row)]


def _show_csv(rows: Sequence[dict[str, Any]], *, bom: bool) -> None:
    write_csv(
        sys.stdout,
        [{_csv_cell(name): _csv_cell(row[name]) for name in row} for row in rows],
        bom=bom,
    )


def _csv_cell(value: Any) -> Any:
    """Return *value* without characters that act on a terminal; lists become JSON."""
    if isinstance(value, str):
        return printable(value, lines=True)
    return as_json(value, indent=None) if isinstance(value, list | dict) else value


def _show_table(rows: Sequence[dict[str, Any]], console: Console) -> None:
    # Imported here: importing rich takes longer than most commands.
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415
    from rich.console import Console as RichConsole  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    terminal = sys.stdout.isatty()
    filled = [
        c for c in columns_of(rows) if any(row.get(c) is not None for row in rows)
    ]
    width = shutil.get_terminal_size().columns
    fitting = filled[: width // _NARROWEST] if terminal else filled
    shown = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in fitting:
        shown.add_column(Text(printable(name)), overflow="fold")
    for row in rows:
        shown.add_row(*(Text(_table_cell(row.get(name))) for name in fitting))
    # Without a terminal a line has no maximum length.
    output = RichConsole(file=sys.stdout, width=width if terminal else _UNBOUNDED)
    output.print(shown)
    if len(fitting) < len(filled):
        missing = ", ".join(filled[len(fitting) :])
        console.info(
            f"columns that do not fit: {missing}; --format csv has all columns"
        )


def _table_cell(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else as_json(value, indent=None)
    text = printable(text)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
