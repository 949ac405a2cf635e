"""Make tables, lists and help texts of the pages from the classes.

A line ``<!-- build: name -->`` in a page becomes the Markdown that the function of that
name returns. That happens on each build, so no table is out of date.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, get_args, get_type_hints

import click

from linkedapi_async import admin, errors, events, nv, operations, params, results, st
from linkedapi_async._actions.reference import reference
from linkedapi_async._actions.scopes import Anywhere, Nowhere, Root
from linkedapi_async._http.failure_rules import FAILURE_RULES
from linkedapi_async._results.completion import Result
from linkedapi_async._results.key import ACTIONS
from linkedapi_async.cli._app import app
from linkedapi_async.cli._exit_codes import EXIT_CODES
from linkedapi_async.cli._operation_commands import SHARED, OperationCommand
from linkedapi_async.testing import plugin


if TYPE_CHECKING:
    from sphinx.application import Sphinx


NONE: Final = "–"
MARK: Final = re.compile(r"^<!-- build: (\w+) -->$", re.MULTILINE)

Cells = Iterable[str]


def table(head: Cells, rows: Iterable[Cells]) -> str:
    """Return a Markdown table."""
    first = list(head)
    lines = [first, ["---"] * len(first), *map(list, rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def directive(text: str) -> str:
    """Return reStructuredText embedded in Markdown."""
    return f"```{{eval-rst}}\n{text}\n```\n"


def documented(kind: str, names: Iterable[str], *options: str) -> str:
    """Return directives that document *names*, one after another."""
    lines = [f"   :{option}:" for option in options]
    return directive(
        "\n\n".join("\n".join([f".. {kind}:: {name}", *lines]) for name in names)
    )


# Actions


def builder(cls: Any) -> str:
    """Return the Python name of an action: ``st.open_company_page``."""
    return f"{cls.__module__.rpartition('.')[2]}.{cls.__name__}"


def link(cls: Any) -> str:
    """Return a link to an action, from a page beside its own."""
    file = cls.__module__.rpartition(".")[2]
    return f"[{builder(cls)}](/reference/{file}.md#{section(cls)})"


def section(cls: Any) -> str:
    """Return the anchor of the heading of an action."""
    return builder(cls).replace(".", "-").replace("_", "-")


def code(words: Iterable[str]) -> str:
    """Return *words* as code, with commas; a dash for none."""
    return ", ".join(f"`{word}`" for word in words) or "–"


def scope(cls: Any) -> str:
    """Return the name of a scope in words."""
    if cls is Nowhere:
        return "–"
    text = inspect.getdoc(cls) or ""
    return text.splitlines()[0].rstrip(".").split(", which")[0].lower()


def yielded(facts: Mapping[str, Any]) -> str:
    """Return the type that an action yields."""
    return f"`{facts['yields']}`" if facts["yields"] else "–"


def ordered() -> list[Any]:
    """Return all actions: the standard ones, then those of Sales Navigator."""
    return sorted(ACTIONS.values(), key=lambda cls: cls.__module__, reverse=True)


def actions() -> str:
    """The table of all actions."""
    rows = []
    for cls in ordered():
        facts = reference(cls)
        parents = ["(root)"] if facts["atRoot"] else []
        parents += [link(ACTIONS[parent]) for parent in facts["under"]]
        only = facts["generations"] if len(facts["generations"]) == 1 else []
        rows.append(
            [
                " ".join([link(cls), *(f"({name} only)" for name in only)]),
                facts["effect"],
                ", ".join(parents),
                scope(cls.opens),
                yielded(facts),
                ", ".join(filter(None, map(bounded, facts["parameters"]))) or NONE,
                f"`{facts['limit']}`" if facts["limit"] else NONE,
            ]
        )
    head = ("action", "effect", "nested under", "opens", "yields")
    return table([*head, "maximum", "counts against"], rows)


def bounded(parameter: Mapping[str, Any]) -> str:
    """Return a parameter with its maximum, or nothing without one."""
    most = per_generation(parameter, "maximum")
    return "" if most == NONE else f"`{parameter['name']}` {most}"


def count_of_actions() -> str:
    """The number of actions."""
    return f"There are {len(ACTIONS)} actions."


def generations(names: Iterable[str]) -> str:
    """Return the generations of the API in words."""
    known = list(names)
    return "both" if len(known) > 1 else f"`{known[0]}`"


def per_generation(parameter: Mapping[str, Any], fact: str) -> str:
    """Return a fact of a parameter; where generations differ, the older one first."""
    value = parameter.get(fact)
    found = []
    for generation in parameter["generations"]:
        one = value.get(generation) if isinstance(value, Mapping) else value
        text = str(one).lower() if isinstance(one, bool) else str(one)
        found.append(NONE if one is None else f"`{text}`")
    return " / ".join(dict.fromkeys(found) if len(set(found)) == 1 else found)


def parameters(facts: Iterable[Mapping[str, Any]]) -> str:
    """Return a table of parameters with their limits."""
    rows = []
    for one in facts:
        required = "yes" if one.get("required") else NONE
        if one.get("target"):
            others = " or ".join(f"`{name}`" for name in one.get("alternatives", ()))
            required = f"at the root, or {others}" if others else "at the root"
        rows.append(
            {
                "in JSON": f"`{one['name']}`",
                "type": one["type"],
                "required": required,
                "default": per_generation(one, "default"),
                "minimum": per_generation(one, "minimum"),
                "maximum": per_generation(one, "maximum"),
                "generation": generations(one["generations"]),
            }
        )
    # A column without information is left out.
    empty = {NONE, "both"}
    head = [name for name in rows[0] if not {row[name] for row in rows} <= empty]
    return table(head, [[row[name] for name in head] for row in rows])


def described(cls: Any) -> Iterator[str]:
    """Yield the section of an action."""
    facts = reference(cls)
    places = ["the root"] if facts["atRoot"] else []
    places += [link(ACTIONS[name]) for name in facts["under"]]
    inside = [link(ACTIONS[name]) for name in facts["children"]]
    limit = f", counts against `{facts['limit']}`" if facts["limit"] else ""
    writes = "writes to LinkedIn" if facts["effect"] == "write" else "only reads"
    yield f"## {builder(cls)}\n"
    yield documented("autoclass", [f"linkedapi_async.{builder(cls)}"])
    yield f"- **In JSON**: `{facts['actionType']}`"
    yield f"- **Effect**: {writes}{limit}"
    yield f"- **May be nested under**: {', '.join(places)}"
    yield f"- **Opens**: {scope(cls.opens)}"
    yield f"- **Children**: {', '.join(inside) or 'none'}"
    yield f"- **Yields**: {yielded(facts)}"
    yield f"- **Generation**: {generations(facts['generations'])}\n"
    if facts["parameters"]:
        yield parameters(facts["parameters"]) + "\n"


def action_sections(module: Any) -> str:
    """Return the sections of all actions of a *module*."""
    own = [cls for cls in ACTIONS.values() if cls.__module__ == module.__name__]
    return "\n".join(line for cls in own for line in described(cls))


def st_actions() -> str:
    """The standard actions."""
    return action_sections(st)


def nv_actions() -> str:
    """The actions of Sales Navigator."""
    return action_sections(nv)


def scopes() -> str:
    """The scopes, and the actions that open them."""
    rows = []
    for cls in sorted({c.opens for c in ACTIONS.values()}, key=lambda c: c.__name__):
        if cls not in (Nowhere, Anywhere, Root):
            openers = [link(c) for c in ACTIONS.values() if c.opens is cls]
            nested = [link(c) for c in ACTIONS.values() if cls in c.where]
            rows.append([scope(cls), ", ".join(openers), ", ".join(nested)])
    return table(["scope", "opened by", "may be nested there"], rows)


# Results, parameters, errors


def classes(module: Any, base: type) -> list[str]:
    """Return the full names of the public classes that a *module* defines."""
    return [
        f"{module.__name__}.{name}"
        for name, value in vars(module).items()
        if inspect.isclass(value)
        and issubclass(value, base)
        and value.__module__ == module.__name__
        and not name.startswith("_")
    ]


@functools.cache
def yielded_classes() -> frozenset[type]:
    """Return the classes of results that actions yield, with those inside of them."""
    found: set[type] = set()

    def visit(value: Any) -> None:
        if not inspect.isclass(value):
            for part in get_args(value):
                visit(part)
        elif issubclass(value, Result) and value not in found:
            found.update(value.__mro__)
            for annotation in get_type_hints(value).values():
                visit(annotation)

    for cls in ACTIONS.values():
        visit(cls.result)
    return frozenset(found)


def result_names(*, yielded: bool) -> list[str]:
    """Return the classes of `results` that actions yield, or the others."""
    return [
        name
        for name in classes(results, Result)
        if (getattr(results, name.rpartition(".")[2]) in yielded_classes()) is yielded
    ]


def result_classes() -> str:
    """The classes of the results of actions."""
    names = result_names(yielded=True)
    return documented("autoclass", names, "members", "undoc-members")


def endpoint_classes() -> str:
    """The classes of the answers of endpoints."""
    names = result_names(yielded=False)
    return documented("autoclass", names, "members", "undoc-members")


def admin_classes() -> str:
    """The classes of the answers of the Admin API."""
    names = [
        f"{admin.__name__}.{name}"
        for name, value in vars(admin).items()
        if inspect.isclass(value) and issubclass(value, Result) and value is not Result
    ]
    return documented("autoclass", names, "members", "undoc-members")


def event_classes() -> str:
    """All events of a session."""
    names = [f"{events.__name__}.{name}" for name in events.__all__]
    return documented("autoclass", names, "members", "inherited-members")


def fixtures() -> str:
    """The fixtures of the pytest plugin."""
    rows = []
    for name in vars(plugin):
        made = getattr(plugin, name)
        if name.startswith("linkedapi_"):
            rows.append([f"`{name}`", (made.__doc__ or "").splitlines()[0]])
    return table(["fixture", "what it is"], rows)


def parameter_classes() -> str:
    """All parameters that are objects, with the limits of what is in them."""
    found = []
    for name in classes(params, object):
        found.append(documented("autoclass", [name]))
        rows = _fields_of(name)
        if rows:
            found.append(parameters(rows) + "\n")
    return "\n".join(found)


@functools.cache
def _nested() -> dict[str, list[Mapping[str, Any]]]:
    """Return the fields of all parameters that are objects, by class."""
    found: dict[str, list[Mapping[str, Any]]] = {}

    def visit(facts: Iterable[Mapping[str, Any]]) -> None:
        for one in facts:
            if "fields" in one:
                name = one["type"].rpartition(" ")[2]
                found.setdefault(name, one["fields"])
                visit(one["fields"])

    for cls in ACTIONS.values():
        visit(reference(cls)["parameters"])
    return found


def _fields_of(name: str) -> list[Mapping[str, Any]]:
    return _nested().get(name.rpartition(".")[2], [])


def enums() -> str:
    """The known values of enum parameters."""
    rows = []
    for name in params.__all__:
        value = getattr(params, name)
        known = [word for word in _literals(value) if isinstance(word, str)]
        if known:
            rows.append([f"`{name}`", code(known)])
    return table(["alias", "known values"], rows)


def _literals(value: Any) -> Iterator[Any]:
    for one in getattr(value, "__args__", ()):
        if isinstance(one, str | int):
            yield one
        else:
            yield from _literals(one)


def error_classes() -> str:
    """All errors, in the order of the tree."""
    names = classes(errors, Exception)
    return documented("autoexception", names, "members", "show-inheritance")


# Operations


def operation_names() -> list[str]:
    """Return the names of all ready-made operations."""
    return [name for name in operations.__all__ if name.islower()]


def composed_operations() -> str:
    """The operations that compose several actions, and the classes of their results."""
    functions = [
        f"linkedapi_async.operations.{name}"
        for name in operation_names()
        if inspect.isfunction(getattr(operations, name)) and name != "custom_workflow"
    ]
    made = classes(operations, Result)
    return "\n".join(
        [
            documented("autofunction", functions),
            "## Results\n",
            documented("autoclass", made, "members", "undoc-members"),
        ]
    )


def migration() -> str:
    """Operation by operation: the call of the official SDK, and the one here."""
    rows = []
    for name in operation_names():
        here = getattr(operations, name)
        if name == "custom_workflow":
            call = "`load_workflow(…)`, or the dict itself: `session.run({…})`"
        elif inspect.isfunction(here):
            call = (
                f"[`operations.{name}`](/reference/operations.md) "
                f"`({_arguments(here)})` yields `{_returns(here)}`"
            )
        else:
            call = f"{link(here)} `({_arguments(here)})`"
        rows.append([f"`client.{name}`", call])
    return table(["official SDK", "here"], rows)


def _arguments(call: Any) -> str:
    names = []
    for name, one in inspect.signature(call).parameters.items():
        if name in {"label", "children"}:
            continue
        word = one.kind is inspect.Parameter.KEYWORD_ONLY
        names.append(f"{name}=" if word else name)
    return ", ".join(names)


def _returns(call: Any) -> str:
    annotation = str(inspect.signature(call).return_annotation)
    return annotation.rpartition(", ")[2].strip("]'")


# Failures


FAILURES: Final = {
    "unsent": "it was not sent: no connection, or a proxy that is down",
    "proxy_refused": "it was not sent: the proxy refused it with 401, 403, 405 or 407",
    "lost": "it was sent, and the connection broke or the time ran out",
    "throttled": "429: the server says that it did not accept it",
    "invalid_response": "an invalid response: 5xx, HTML, a truncated body, a redirect",
    "api_error": "an error of the API",
}
VERDICTS: Final = {
    "raise": "its error is raised",
    "retry": "retried",
    "retry_once": "retried once",
    "unknown": "not retried: `StartUnknownError`",
}


def failure_rules() -> str:
    """What the session does after a failed request."""
    rows = [
        [FAILURES[failure], *(VERDICTS[rules[kind]] for kind in rules)]
        for failure, rules in FAILURE_RULES.items()
    ]
    head = ("what happened", "a read, such as a poll", "a start that only reads")
    return table([*head, "a start that writes"], rows)


def exit_statuses() -> str:
    """The exit statuses of the command line."""
    rows = []
    for known in sorted(EXIT_CODES, key=lambda known: known.status):
        names = code(error.__name__ for error in known.errors)
        rows.append([f"{known.status}", known.when, names])
    return table(["status", "when", "errors"], rows)


# The command line


def commands() -> str:
    """The help of every command."""
    return "\n".join(_helped(app, "linkedapi", None))


def _helped(
    command: click.Command, name: str, parent: click.Context | None
) -> Iterator[str]:
    settings = {"max_content_width": 78, **command.context_settings}
    context = click.Context(command, info_name=name, parent=parent, **settings)
    if parent is not None:
        yield f"## {context.command_path}\n"
    text = command.get_help(context)
    if isinstance(command, OperationCommand):
        # The same in all of them.
        text = text.partition(f"\n\n{SHARED}:")[0]
    yield f"```text\n{text}\n```\n"
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            if found is not None:
                yield from _helped(found, child, context)


BUILT: Final[dict[str, Callable[[], str]]] = {
    build.__name__: build
    for build in (
        actions,
        admin_classes,
        commands,
        composed_operations,
        count_of_actions,
        endpoint_classes,
        enums,
        error_classes,
        event_classes,
        exit_statuses,
        failure_rules,
        fixtures,
        migration,
        nv_actions,
        parameter_classes,
        result_classes,
        scopes,
        st_actions,
    )
}


def filled(text: str) -> str:
    """Return a page with its generated parts filled in."""
    return MARK.sub(lambda mark: BUILT[mark[1]](), text)


def read(app: Sphinx, name: str, source: list[str]) -> None:  # noqa: ARG001
    """Fill a page that Sphinx has just read."""
    source[0] = filled(source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the handler with Sphinx."""
    app.connect("source-read", read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
