"""The public names of the package, and the modules that it does not load."""

from __future__ import annotations

import enum
import importlib
import importlib.util
import inspect
import pathlib
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import linkedapi_async
from linkedapi_async import errors, nv, params, results, st
from linkedapi_async._results.key import ACTIONS


HOME = pathlib.Path(linkedapi_async.__file__).parent

# Modules of many classes, with helpers for other modules.
CATALOGUES = [st, nv, params, results]

# Loaded only by programs that use them.
NOT_LOADED = [
    *("cattrs", "uvloop", "hypothesis", "pytest", "linkedapi", "pydantic"),
    *("aiohttp.web", "argparse", "click", "csv", "difflib", "opentelemetry"),
    *("arro3", "mcp", "rich", "sqlite3"),
    *(
        f"linkedapi_async.{module}"
        for module in (
            *("admin", "agents", "cli", "draw", "drift", "events", "explain", "export"),
            "fleet",
            *("journal", "operations", "otel", "sandbox", "schema"),
            *("tables", "testing"),
            "webhooks",
            *("session._dispatch", "session._events", "session._webhooks"),
        )
    ),
]


def public_modules() -> list[str]:
    """Return the modules of the package that have no underscore in their names."""
    found = pkgutil.walk_packages([str(HOME)], "linkedapi_async.")
    names = [module.name for module in found]
    return ["linkedapi_async", *(n for n in names if "._" not in n)]


def offered(module: Any) -> dict[str, Any]:
    """Return the public names of a module that are its own."""
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and not is_foreign(value, module)
    }


def is_foreign(value: Any, module: Any) -> bool:
    """Return whether *value* was only imported into *module*."""
    home = getattr(value, "__module__", module.__name__)
    return bool(inspect.ismodule(value) or home != module.__name__)


def test_all_is_sorted() -> None:
    """The list of names is sorted and has no duplicates."""
    assert sorted(set(linkedapi_async.__all__)) == linkedapi_async.__all__


def test_all_is_complete() -> None:
    """The list has every public name of the package except its modules."""
    public = {name for name in vars(linkedapi_async) if not name.startswith("_")}
    # Importing a module makes it an attribute of the package: these are not offered.
    modules = {name.rpartition(".")[2] for name in public_modules()}
    beside = (public & modules) - {"errors", "nv", "params", "results", "st"}

    assert {*(public - beside), "__version__"} == set(linkedapi_async.__all__)


def test_all_errors_are_shown() -> None:
    """Every error and warning can be caught by a name of the package itself."""
    own = {
        name
        for name, value in offered(errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }

    assert own <= set(linkedapi_async.__all__)
    assert len(own) > 20


@pytest.mark.parametrize("module", CATALOGUES, ids=lambda m: m.__name__)
def test_catalogue_lists_its_own_names(module: Any) -> None:
    """A module of classes lists its public classes and aliases, sorted."""
    classes = {n for n, v in offered(module).items() if isinstance(v, type)}
    words = {
        name
        for name, value in vars(module).items()
        if name[0].isupper() and not isinstance(value, type) and name in module.__all__
    }

    assert sorted(set(module.__all__)) == module.__all__
    assert classes | words == set(module.__all__)


@pytest.mark.parametrize("name", public_modules())
def test_public_modules_list_their_names(name: str) -> None:
    """A public module lists the classes that it defines."""
    module = importlib.import_module(name)
    own = {n for n, v in offered(module).items() if inspect.isclass(v)}

    assert own <= set(getattr(module, "__all__", []))


@pytest.mark.parametrize("action_type", ACTIONS)
def test_every_action_is_reachable(action_type: str) -> None:
    """An action is in the module that its type names, ``st`` or ``nv``, and listed."""
    cls = ACTIONS[action_type]
    module = {"st": st, "nv": nv}[action_type.partition(".")[0]]

    assert cls is getattr(module, cls.__name__)
    assert cls.__name__ in module.__all__
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", cls.__name__)


def test_nothing_but_actions_is_listed() -> None:
    """Between them, ``st`` and ``nv`` list all actions, each once."""
    listed = [getattr(m, name) for m in (st, nv) for name in m.__all__]

    assert len(ACTIONS) == len(listed)
    assert set(ACTIONS.values()) == set(listed)


def documented() -> Iterator[Any]:
    """Yield everything public: classes, functions and methods."""
    for name in public_modules():
        if not name.endswith("__main__"):
            module = importlib.import_module(name)
            listed = getattr(module, "__all__", None) or offered(module)
            for item in listed:
                yield from members(f"{name}.{item}", getattr(module, item))


def members(name: str, value: Any) -> Iterator[Any]:
    """Yield a class or function, and the public methods that a class defines."""
    if not inspect.isclass(value) and not inspect.isfunction(value):
        return
    yield pytest.param(value, id=name)
    if not inspect.isclass(value) or issubclass(value, enum.Enum):
        return
    for attribute, member in vars(value).items():
        found = member.__func__ if hasattr(member, "__func__") else member
        if attribute.startswith("_"):
            continue
        if inspect.isfunction(found) or isinstance(found, property):
            yield pytest.param(found, id=f"{name}.{attribute}")


@pytest.mark.parametrize("value", [*documented()])
def test_has_a_docstring(value: Any) -> None:
    """Everything public has a docstring of its own."""
    words = value.__doc__ or ""

    assert words.partition("\n")[0].rstrip().endswith((".", "::", ":"))
    assert not words.startswith(f"{getattr(value, '__name__', '')}(")


@pytest.mark.parametrize("action_type", ACTIONS)
def test_action_documents_its_parameters(action_type: str) -> None:
    """An action's docstring explains each parameter by name, and links its page."""
    cls = ACTIONS[action_type]
    words = inspect.cleandoc(cls.__doc__ or "")
    _, _, arguments = words.partition("Args:")
    explained = re.findall(r"^ {4}(\w+): ", arguments, re.MULTILINE)
    own = [name for name in cls.__annotations__ if not name.startswith("_")]

    assert own == explained
    assert "https://linkedapi.io/docs/action-" in words


def test_rarely_used_modules_are_not_loaded() -> None:
    """Importing the package loads no module that few programs use."""
    code = "import sys, linkedapi_async; print('\\n'.join(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        cwd=HOME.parent,
    ).stdout.split()

    assert "linkedapi_async.session" in loaded
    assert set() == set(NOT_LOADED) & set(loaded)
    # A module that was renamed would be missed.
    own = [name for name in NOT_LOADED if name.startswith("linkedapi_async.")]
    assert [] == [name for name in own if importlib.util.find_spec(name) is None]


def test_types_are_shipped() -> None:
    """The package has the marker for type checkers."""
    assert "" == (HOME / "py.typed").read_text("utf-8").strip()


def test_version() -> None:
    """Packaging tools understand the version, which is defined once."""
    version = linkedapi_async.__version__

    assert re.fullmatch(r"\d+(\.\d+){1,2}((a|b|rc)\d+)?(\.dev\d+)?", version)
    assert f'"{version}"' in (HOME / "_version.py").read_text("utf-8")
