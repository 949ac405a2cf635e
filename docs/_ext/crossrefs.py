"""What a name in a docstring leads to.

The docstrings name things as the code around them does: `Polling`, `Session.recover`,
`asyncio.run`. The place of a name of this project is looked up by what it *is*, so the
room that it was written in does not matter. A name of somebody else is checked by
importing it, and shown without a link; one that does not exist stays an error.
"""

from __future__ import annotations

import builtins
import contextlib
import functools
import importlib
import operator
import pkgutil
import types
import typing
from collections.abc import Iterator
from typing import Any

import attrs
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.nodes import find_pending_xref_condition, make_refnode

import linkedapi_async


PACKAGE = "linkedapi_async"
OVERLOADED = (
    f"{PACKAGE}.session._methods",
    f"{PACKAGE}.session._endpoints",
    f"{PACKAGE}._wire.dump",
)


@functools.cache
def rooms() -> tuple[types.ModuleType, ...]:
    """Return all modules of the project that can be imported here."""
    infos = pkgutil.walk_packages(linkedapi_async.__path__, f"{PACKAGE}.")
    names = [info.name for info in infos if not info.name.endswith("__main__")]
    return (linkedapi_async, *map(importlib.import_module, names))


def imported(name: str) -> Any:
    """Return what a dotted *name* stands for.

    Raises:
        LookupError: There is no such thing.
    """
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            value: Any = importlib.import_module(".".join(parts[:cut]))
            for part in parts[cut:]:
                value = getattr(value, part)
        except (ImportError, AttributeError):
            continue
        return value
    raise LookupError(name)


def meanings(name: str) -> Iterator[Any]:
    """Yield all that *name* may stand for, in the project first."""
    for room in rooms():
        value: Any = room
        try:
            for part in name.split("."):
                value = getattr(value, part)
        except AttributeError:
            continue
        yield value
    with contextlib.suppress(LookupError):
        yield imported(name)
    if hasattr(builtins, name):
        yield getattr(builtins, name)


def is_own(value: Any) -> bool:
    """Return whether *value* belongs to the public face, and so needs a place."""
    if not isinstance(value, type | types.FunctionType):
        return False
    room = value.__module__
    hidden = any(part.startswith("_") for part in f"{room}.{value.__name__}".split("."))
    return room.split(".")[0] == PACKAGE and not hidden


class Places:
    """The places that the documented names have, by what they stand for."""

    def __init__(self, names: typing.Iterable[str]) -> None:
        self._by_id: dict[int, str] = {}
        self._kept: list[Any] = []
        self._names = set(names)
        for name in sorted(self._names):
            try:
                value = imported(name)
            except LookupError:
                continue
            if isinstance(value, type | types.FunctionType | property):
                self._kept.append(value)
                self._by_id.setdefault(id(value), name)

    def of(self, name: str) -> str | None:
        """Return the documented name that *name* means, if there is one.

        Raises:
            LookupError: It means nothing at all, or something that needs a place.
        """
        for room in ("", *(f"{room.__name__}." for room in rooms())):
            if f"{room}{name}" in self._names:
                return f"{room}{name}"
        # An attribute or argument of something near, such as `workflow_id`.
        found = any(known.endswith(f".{name}") for known in self._names)
        own = False
        for value in meanings(name):
            if id(value) in self._by_id:
                return self._by_id[id(value)]
            found = True
            own = own or is_own(value)
        if own or not found:
            raise LookupError(name)
        return None


def resolve(app: Sphinx, env: Any, node: Any, contnode: Any) -> Any:
    """Return a link to what a name means, or the name where it is none of ours."""
    if node.get("refdomain") != "py":
        return None
    domain = env.get_domain("py")
    if not hasattr(app, "linkedapi_places"):
        app.linkedapi_places = Places(domain.objects)  # type: ignore[attr-defined]
    places: Places = app.linkedapi_places  # type: ignore[attr-defined]
    target = node["reftarget"].removeprefix("~").partition("(")[0]
    if target.startswith(("'", '"', "__")):  # a word of a Literal, or Python's own
        return contnode
    try:
        name = places.of(target)
    except LookupError:
        return None
    if name is None:
        return contnode
    found = domain.objects[name]
    return make_refnode(
        app.builder, node["refdoc"], found.docname, found.node_id, contnode, name
    )


def called(cls: Any) -> str:
    """Return how an action is called: its own parameters, then ``label``."""
    positional: list[str] = []
    rest: list[tuple[int, str]] = []
    for field in attrs.fields(cls):
        if field.name == "children":
            continue
        needed = field.default is attrs.NOTHING
        part = field.name if needed else f"{field.name}=None"
        if not field.kw_only:
            positional.append(part)
        else:  # what is needed comes first, the label last
            rest.append((2 if field.name == "label" else int(not needed), part))
    named = [part for _, part in sorted(rest, key=operator.itemgetter(0))]
    return f"({', '.join([*positional, '*', *named])})"


def short(*event: Any) -> tuple[str | None, str | None] | None:
    """Leave out the signatures of what users do not make themselves."""
    _, what, _, value, _, signature, returns = event
    if what not in {"class", "exception"} or not isinstance(value, type):
        return None
    if issubclass(value, linkedapi_async.Action) and attrs.has(value):
        return called(value), None
    if value.__name__ in GIVEN or issubclass(value, MADE):
        return "", None
    return signature, returns


MADE = (linkedapi_async.Result, linkedapi_async.LinkedApiError)

# The library makes these, and hands them out.
GIVEN = frozenset(
    {
        "Account",
        "AccountsCalls",
        "AsCompleted",
        "Completion",
        "ConnectionSession",
        "EventStream",
        "Explanation",
        "Fault",
        "ItemStream",
        "LimitsCalls",
        "Outcome",
        "Recovered",
        "Row",
        "Script",
        "Seen",
        "RecordedWorkflow",
        "Stats",
        "WebhookFaults",
        "SubscriptionCalls",
        "WebhookCalls",
        "WorkflowHandle",
    }
)


def forget_overloads(app: Sphinx) -> None:  # noqa: ARG001
    """Show one signature of what has many overloads: the last, which has them all."""
    for room in OVERLOADED:
        analyzer = ModuleAnalyzer.for_module(room)
        analyzer.analyze()
        analyzer.overloads.clear()


def plain_builtins(app: Sphinx, doctree: Any) -> None:  # noqa: ARG001
    """Keep `type` and its like from leading to attributes of that name."""
    for node in list(doctree.findall(pending_xref)):
        if node.get("refdomain") == "py" and hasattr(builtins, node["reftarget"]):
            short_form = find_pending_xref_condition(node, "resolved")
            node.replace_self(short_form.children if short_form else node.children)


COLON = "\N{MODIFIER LETTER COLON}"


def hide_colon(*event: Any) -> None:
    """Keep napoleon from taking what stands before a colon for a type."""
    _, what, *_, lines = event
    if what in {"attribute", "property", "data"} and lines:
        lines[0] = lines[0].replace(":", COLON)


def show_colon(*event: Any) -> None:
    """Undo `hide_colon`."""
    lines = event[-1]
    lines[:] = [line.replace(COLON, ":") for line in lines]


def setup(app: Sphinx) -> dict[str, bool]:
    """Let Sphinx know."""
    app.connect("builder-inited", forget_overloads)
    app.connect("autodoc-process-signature", short)
    app.connect("autodoc-process-docstring", hide_colon, priority=400)
    app.connect("autodoc-process-docstring", show_colon, priority=600)
    app.connect("doctree-read", plain_builtins)
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": False}
