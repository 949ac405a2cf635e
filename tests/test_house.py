"""The house keeps its floors: imports run down, and some rooms never see some things."""

from __future__ import annotations

import ast
import pathlib
from collections.abc import Iterator

import attrs
import pytest

import linkedapi_async


PACKAGE = "linkedapi_async"
HOME = pathlib.Path(linkedapi_async.__file__).parent

# From the ground up; within a floor a later room may look into an earlier one.
FLOORS: list[list[str]] = [
    [
        *("_version", "_compile", "_drawn", "errors", "_text", "_escapes", "_fields"),
        *("_scopes", "params", "policies"),
    ],
    ["_action", "_throttle", "_trust", "_lane", "_lanes"],
    ["_outcomes", "_flat", "results", "direct", "_admin_results", "_admin_calls"],
    ["st", "nv", "_wire", "_operation", "operations"],
    [
        *("_protocol", "_facts", "_events", "webhooks", "_hub", "_rows", "journal"),
        *("explain", "export", "_timeline", "_tree", "draw"),
        *("sandbox._world", "sandbox._queue", "sandbox._answers", "sandbox._made"),
        *("sandbox._script", "sandbox._direct", "sandbox._admin", "sandbox._faults"),
        *("sandbox._deliveries", "sandbox._hooks", "sandbox._server", "sandbox"),
        "sandbox.__main__",
    ],
    [
        *("_http", "_caller", "_entry", "_handle", "_stream", "_inbox", "_direct"),
        *("events", "_telling", "_verbs", "_account", "_listener", "session", "otel"),
        *("_window", "_admin_groups", "_admin_accounts", "admin"),
        *("testing._values", "testing._trees", "testing._breaks"),
        *("testing._clock", "testing._asserts", "testing"),
        *("testing.strategies", "testing.plugin"),
    ],
    [
        "__init__",
        *("cli._exits", "cli._talk", "cli._app", "cli._reference", "cli._source"),
        *("cli._access", "cli._results", "cli._stop", "cli._pace", "cli._people"),
        *("cli._template", "cli._batch", "cli._look", "cli._work", "cli._campaign"),
        *("cli._serve", "cli", "__main__"),
    ],
]

HEIGHT = {
    room: (n, m) for n, floor in enumerate(FLOORS) for m, room in enumerate(floor)
}

# Imports inside of functions, each for a reason: they are dear, or go upstairs.
IN_FUNCTIONS = {
    ("_direct", "linkedapi_async.direct"),
    ("_fields", "difflib"),
    ("_outcomes", "linkedapi_async._flat"),
    ("_drawn", "linkedapi_async.draw"),
    ("_wire", "cattrs"),
    ("cli", "linkedapi_async.cli._app"),
    ("cli._look", "linkedapi_async.draw"),
    ("cli._look", "linkedapi_async.explain"),
    *(("cli._pace", f"rich.{part}") for part in ("console", "progress", "text")),
    *(("cli._results", f"rich.{p}") for p in ("box", "console", "table", "text")),
    ("sandbox._server", "linkedapi_async.admin"),
    ("sandbox._server", "linkedapi_async.session"),
    ("_timeline", "linkedapi_async.events"),
    ("session", "linkedapi_async._listener"),
    ("session", "linkedapi_async._telling"),
    ("session", "linkedapi_async.journal"),
    ("webhooks", "aiohttp"),
}

# What a room never sees, by the beginning of the name.
UNSEEN = {
    "session": {"json", "orjson", "cattrs", "linkedapi_async._wire"},
    "_protocol": {"aiohttp", "anyio", "asyncio", "socket", "ssl", "time"},
    "_hub": {"aiohttp", "linkedapi_async._action", "linkedapi_async._wire"},
    "_lane": {"aiohttp", "anyio", "asyncio", "datetime", "time"},
    "_lanes": {"aiohttp", "anyio", "asyncio", "datetime", "time"},
    "_throttle": {"aiohttp", "anyio", "asyncio", "datetime", "time"},
    "_trust": {"aiohttp", "anyio", "asyncio", "datetime", "time"},
    "_outcomes": {"cattrs", "json", "orjson"},
    "policies": {"aiohttp", "anyio", "asyncio", "datetime", "time"},
    "__init__": {
        f"linkedapi_async.{room}"
        for room in (
            *("admin", "cli", "direct", "draw", "events", "explain", "export"),
            *("journal", "operations", "otel", "sandbox", "testing", "webhooks"),
            *("_listener", "_telling"),
        )
    },
}
ONLY_IN = {
    "cattrs": {"_wire"},
    "aiohttp": {
        *("_http", "session"),
        *("sandbox._answers", "sandbox._deliveries", "sandbox._faults"),
        *("sandbox._server", "webhooks", "cli._serve"),
    },
    "hypothesis": {
        *("testing._values", "testing._trees", "testing._breaks"),
        "testing.strategies",
    },
    "orjson": {"_wire"},
    "pytest": {"testing.plugin"},
    "rich": {"cli._pace", "cli._results"},
}

LONGEST = 700
"""Lines that a file has at most, unless it is a catalogue."""
CATALOGUES = {"st"}
"""As long as what they list: nobody reads them through."""


@attrs.frozen
class Import:
    """One import of a room: what it names, and where it stands."""

    room: str
    module: str
    line: int
    in_function: bool


def files() -> dict[str, pathlib.Path]:
    """Return the file of each room."""
    found = {}
    for path in sorted(HOME.rglob("*.py")):
        parts = path.relative_to(HOME).with_suffix("").parts
        inner = parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts
        found[".".join(inner)] = path
    return found


FILES = files()
each_room = pytest.mark.parametrize("room", FILES)


def parsed(room: str) -> ast.Module:
    """Return the syntax tree of a room."""
    return ast.parse(FILES[room].read_text("utf-8"))


def imports_of(room: str) -> Iterator[Import]:
    """Yield what *room* imports at run time."""
    yield from _imports(parsed(room), room, in_function=False)


def _imports(node: ast.AST, room: str, *, in_function: bool) -> Iterator[Import]:
    below = ast.iter_child_nodes(node)
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield Import(room, alias.name, node.lineno, in_function)
    elif isinstance(node, ast.ImportFrom):
        for module in _modules(node):
            yield Import(room, module, node.lineno, in_function)
    elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        below = iter(node.orelse)
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        in_function = True
    for child in below:
        yield from _imports(child, room, in_function=in_function)


def _modules(node: ast.ImportFrom) -> Iterator[str]:
    """Yield the modules of ``from … import …``: a name may be a module itself."""
    assert node.level == 0, "imports are absolute"
    for alias in node.names:
        name = f"{node.module}.{alias.name}"
        yield name if name.removeprefix(f"{PACKAGE}.") in FILES else str(node.module)


def room_of(module: str) -> str | None:
    """Return the room that a module is, or None if it is not of this house."""
    if module.partition(".")[0] != PACKAGE:
        return None
    return module.removeprefix(PACKAGE).removeprefix(".") or "__init__"


ALL = [found for room in FILES for found in imports_of(room)]


def test_every_room_has_a_floor() -> None:
    """A new file must be given its floor here."""
    assert set(HEIGHT) == set(FILES)


@each_room
def test_arrows_run_down(room: str) -> None:
    """A room imports from floors below, or from an earlier room of its own."""
    for found in imports_of(room):
        below = room_of(found.module)
        if below is not None and not found.in_function:
            assert HEIGHT[below] < HEIGHT[room], found


def test_imports_inside_functions() -> None:
    """What is imported inside of a function is listed here, with a reason."""
    assert {(i.room, i.module) for i in ALL if i.in_function} == IN_FUNCTIONS


def seen(found: Import, name: str) -> bool:
    """Return whether an import names a module or something inside of it."""
    return f"{found.module}.".startswith(f"{name}.")


@pytest.mark.parametrize("room", UNSEEN)
def test_unseen(room: str) -> None:
    """Some rooms never see some things: JSON, sockets, actions, clocks."""
    for found in imports_of(room):
        assert not any(seen(found, name) for name in UNSEEN[room]), found


@pytest.mark.parametrize("library", ONLY_IN)
def test_only_there(library: str) -> None:
    """Some libraries are known in few rooms only."""
    assert {found.room for found in ALL if seen(found, library)} == ONLY_IN[library]


@each_room
def test_length(room: str) -> None:
    """No file is longer than one can keep in mind."""
    lines = len(FILES[room].read_text("utf-8").splitlines())

    assert lines <= LONGEST or room in CATALOGUES


@each_room
def test_names_are_sorted(room: str) -> None:
    """Where a room lists what it offers, the list is sorted and without repeats."""
    for statement in parsed(room).body:
        if isinstance(statement, ast.Assign) and "__all__" in {
            ast.unparse(target) for target in statement.targets
        }:
            names = ast.literal_eval(statement.value)

            # Constants first, as ruff has it.
            assert sorted(set(names), key=lambda n: (not n.isupper(), n)) == names


@each_room
def test_rooms_say_what_they_are_for(room: str) -> None:
    """Each file begins with a sentence on what it is for."""
    if room != "_version":
        assert (ast.get_docstring(parsed(room)) or "").partition("\n")[0].endswith(".")


PROBE = """
import a, a.b
from linkedapi_async import st
from linkedapi_async.errors import NestingError
if TYPE_CHECKING:
    import hidden
else:
    import plain
def f():
    import inside
class C:
    import deep
    async def g(self):
        from far import away
try:
    import tried
except ImportError: pass
"""


def test_the_walk_sees_all_imports() -> None:
    """The walk through a file misses no import and knows those of checkers."""
    found = {
        (i.module, i.in_function)
        for i in _imports(ast.parse(PROBE), "x", in_function=False)
    }

    assert {
        *{("a", False), ("a.b", False), ("plain", False), ("deep", False)},
        *{("linkedapi_async.st", False), ("linkedapi_async.errors", False)},
        *{("inside", True), ("far", True), ("tried", False)},
    } == found
