"""Resolve the names in docstrings to links.

Docstrings name things as the code around them does: `Polling`, `Session.recover`,
`asyncio.run`. A name of this project is looked up by the object that it refers to, so
the module in which it is written does not matter. A name of another project is checked by
importing it and gets no link. A name that does not exist stays an error.
"""

from __future__ import annotations

import builtins
import contextlib
import functools
import importlib
import operator
import pkgutil
import re
import types
import typing
from collections.abc import Iterator
from typing import Any

import attrs
from docutils import nodes
from sphinx.addnodes import desc_signature, pending_xref
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.nodes import find_pending_xref_condition, make_refnode

import linkedapi_async


PACKAGE = "linkedapi_async"
PLAIN = re.compile(r"['\"]|__|\w+=$|[a-z]+([A-Z][a-z]*)+$")
"""Names without links: values of a Literal, Python's own, arguments, the API's words."""

OVERLOADED = (
    f"{PACKAGE}.session._methods",
    f"{PACKAGE}.session._endpoints",
    f"{PACKAGE}._wire.dump",
)


@functools.cache
def modules() -> tuple[types.ModuleType, ...]:
    """Return all modules of the project that can be imported here."""
    infos = pkgutil.walk_packages(linkedapi_async.__path__, f"{PACKAGE}.")
    names = [info.name for info in infos if not info.name.endswith("__main__")]
    return (linkedapi_async, *map(importlib.import_module, names))


def imported(name: str) -> Any:
    """Return the object with a dotted *name*.

    Raises:
        LookupError: There is no such object.
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


def candidates(name: str) -> Iterator[Any]:
    """Yield the objects that *name* may refer to, those of the project first."""
    for module in modules():
        value: Any = module
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


def is_public(value: Any) -> bool:
    """Return whether *value* is public here, so that the reference must have it."""
    if not isinstance(value, type | types.FunctionType):
        return False
    path = f"{value.__module__}.{value.__name__}".split(".")
    return path[0] == PACKAGE and not any(part.startswith("_") for part in path)


class Documented:
    """The names that the reference documents, by the objects that they refer to."""

    def __init__(self, names: typing.Iterable[str]) -> None:
        self._by_id: dict[int, str] = {}
        self._alive: list[Any] = []
        self._names = set(names)
        for name in sorted(self._names):
            try:
                value = imported(name)
            except LookupError:
                continue
            if isinstance(value, type | types.FunctionType | property):
                # An id is unique only as long as the object lives.
                self._alive.append(value)
                self._by_id.setdefault(id(value), name)

    def find(self, name: str) -> str | None:
        """Return the documented name that *name* refers to, or None without one.

        Raises:
            LookupError: It does not exist, or it is public and not documented.
        """
        for prefix in ("", *(f"{module.__name__}." for module in modules())):
            if f"{prefix}{name}" in self._names:
                return f"{prefix}{name}"
        # An attribute or argument near the docstring, such as `workflow_id`.
        found = any(known.endswith(f".{name}") for known in self._names)
        own = False
        for value in candidates(name):
            if id(value) in self._by_id:
                return self._by_id[id(value)]
            found = True
            own = own or is_public(value)
        if own or not found:
            raise LookupError(name)
        return None


def resolve(app: Sphinx, env: Any, node: Any, contnode: Any) -> Any:
    """Return a link to the object of a name, or the plain name for other projects."""
    if node.get("refdomain") != "py":
        return None
    domain = env.get_domain("py")
    if not hasattr(app, "linkedapi_documented"):
        app.linkedapi_documented = Documented(domain.objects)  # type: ignore[attr-defined]
    documented: Documented = app.linkedapi_documented  # type: ignore[attr-defined]
    target = node["reftarget"].removeprefix("~").partition("(")[0]
    if PLAIN.match(target):
        return contnode
    try:
        name = documented.find(target)
    except LookupError:
        return None
    if name is None:
        return contnode
    found = domain.objects[name]
    return make_refnode(
        app.builder, node["refdoc"], found.docname, found.node_id, contnode, name
    )


def action_signature(cls: Any) -> str:
    """Return the signature of an action: its own parameters, then ``label``."""
    positional: list[str] = []
    rest: list[tuple[int, str]] = []
    for field in attrs.fields(cls):
        if field.name == "children":
            continue
        needed = field.default is attrs.NOTHING
        part = field.name if needed else f"{field.name}=None"
        if not field.kw_only:
            positional.append(part)
        else:  # required parameters come first, the label last
            rest.append((2 if field.name == "label" else int(not needed), part))
    named = [part for _, part in sorted(rest, key=operator.itemgetter(0))]
    return f"({', '.join([*positional, '*', *named])})"


def shorten_signature(*event: Any) -> tuple[str | None, str | None] | None:
    """Leave out the signatures of classes that users do not create themselves."""
    _, what, _, value, _, signature, returns = event
    if what not in {"class", "exception"} or not isinstance(value, type):
        return None
    if issubclass(value, linkedapi_async.Action) and attrs.has(value):
        return action_signature(value), None
    if value.__name__ in MADE_HERE or issubclass(value, MADE_HERE_BASES):
        return "", None
    return signature, returns


MADE_HERE_BASES = (linkedapi_async.Result, linkedapi_async.LinkedApiError)

# Only the library creates objects of these classes.
MADE_HERE = frozenset(
    {
        "Account",
        "AccountsCalls",
        "AsCompleted",
        "Completion",
        "ConnectionSession",
        "ConsumedEvent",
        "Deferred",
        "Durations",
        "Estimate",
        "EventStream",
        "ExplainedLine",
        "Explanation",
        "Fault",
        "FaultHit",
        "ItemStream",
        "LimitUse",
        "LimitsCalls",
        "Outcome",
        "RecordedWorkflow",
        "Recovered",
        "RequestLog",
        "Row",
        "Script",
        "Stats",
        "SubscriptionCalls",
        "WebhookCalls",
        "WebhookFaults",
        "WebhookSubscription",
        "WorkflowHandle",
    }
)


def forget_overloads(app: Sphinx) -> None:  # noqa: ARG001
    """Show one signature of an overloaded function: the last, which covers them all."""
    for name in OVERLOADED:
        analyzer = ModuleAnalyzer.for_module(name)
        analyzer.analyze()
        analyzer.overloads.clear()


def keep_builtins_plain(app: Sphinx, doctree: Any) -> None:  # noqa: ARG001
    """Keep names of builtins, such as `type`, from linking to attributes."""
    for node in list(doctree.findall(pending_xref)):
        if node.get("refdomain") == "py" and hasattr(builtins, node["reftarget"]):
            short_form = find_pending_xref_condition(node, "resolved")
            node.replace_self(short_form.children if short_form else node.children)


def choose_contents(app: Sphinx, doctree: Any) -> None:  # noqa: ARG001
    """List classes, functions and methods in a page's contents, but no attributes.

    An action is listed by the heading of its section already.
    """
    for signature in doctree.findall(desc_signature):
        kind = signature.parent["objtype"]
        section = next(findall_parents(signature, nodes.section), None)
        title = section[0].astext() if section is not None else ""
        name = signature.get("fullname") or ""
        if kind in {"attribute", "property"} or title.endswith(f".{name}"):
            signature["_toc_name"] = ""


def findall_parents(node: Any, kind: type) -> Iterator[Any]:
    """Yield the parents of *node* of a *kind*, the nearest first."""
    while node.parent is not None:
        node = node.parent
        if isinstance(node, kind):
            yield node


COLON = "\N{MODIFIER LETTER COLON}"


def hide_colon(*event: Any) -> None:
    """Keep napoleon from reading the words before a colon as a type."""
    _, what, *_, lines = event
    if what in {"attribute", "property", "data"} and lines:
        lines[0] = lines[0].replace(":", COLON)


def show_colon(*event: Any) -> None:
    """Undo `hide_colon`."""
    lines = event[-1]
    lines[:] = [line.replace(COLON, ":") for line in lines]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the handlers with Sphinx."""
    app.connect("builder-inited", forget_overloads)
    app.connect("autodoc-process-signature", shorten_signature)
    app.connect("autodoc-process-docstring", hide_colon, priority=400)
    app.connect("autodoc-process-docstring", show_colon, priority=600)
    app.connect("doctree-read", keep_builtins_plain)
    # Before the collector of the table of contents.
    app.connect("doctree-read", choose_contents, priority=100)
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": False}
