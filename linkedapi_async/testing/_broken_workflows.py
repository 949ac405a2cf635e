"""Workflow definitions that break one rule, and the expected error of each."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias, TypeVar

import attrs
from hypothesis import strategies as draws

from linkedapi_async._actions.action import Action, AnyAction, allowed_in
from linkedapi_async._actions.custom import custom
from linkedapi_async._actions.parameters import (
    Parameter,
    Validated,
    field_names,
    parameters_of,
)
from linkedapi_async._actions.scopes import Root
from linkedapi_async._actions.validators import Object
from linkedapi_async._results.key import ACTIONS
from linkedapi_async._types import Json
from linkedapi_async._utils.spelling import json_name
from linkedapi_async._wire.dump import dump_workflow
from linkedapi_async.errors import NestingError, ParameterError, WorkflowError
from linkedapi_async.testing._parameter_values import (
    StrategySettings,
    json_values,
    parameter_objects,
    wrongs_of,
)
from linkedapi_async.testing._workflows import (
    STARTING,
    targets_of,
    under,
    workflow_trees,
)


T = TypeVar("T")


@attrs.frozen(kw_only=True)
class BrokenWorkflow:
    """A definition that breaks exactly one rule, and its expected error."""

    definition: dict[str, Any]
    """The workflow as JSON, valid except for one thing."""
    path: str
    """The place of the error, such as ``root.then[1]``."""
    error: type[WorkflowError]
    """The class of the one problem that `load_workflow` reports."""
    rule: str = ""
    """The broken rule, one of `RULES`."""
    facts: dict[str, Any]
    """The expected attributes of the error."""
    words: str = ""
    """A part of the error's text."""
    parent: AnyAction | None = None
    """The action under which *child* must not be nested; None for other rules."""
    child: Any = None
    """The action that must not be nested there."""
    build: Callable[[], Any] | None = attrs.field(default=None, repr=False)
    """A call that raises the same error; None if no call does."""
    python: dict[str, Any] | None = None
    """The attributes of the error of *build*, where they differ."""


@attrs.frozen
class TreePosition:
    """One action of a tree, and its object in the tree's JSON."""

    path: str
    node: AnyAction
    definition: Json


def positions(
    node: AnyAction, definition: Json, path: str = "root"
) -> Iterator[TreePosition]:
    """Visit all actions of a tree with their JSON."""
    yield TreePosition(path, node, definition)
    then = definition.get("then", [])
    nodes = then if isinstance(then, list) else [then]
    for index, child in enumerate(node.children):
        yield from positions(child, nodes[index], f"{path}.then[{index}]")


def nest(definition: Json, child: Any) -> None:
    """Append *child* to the children of *definition*."""
    then = definition.setdefault("then", [])
    if not isinstance(then, list):
        definition["then"] = [then]
    definition["then"].append(child)


def plain(action: AnyAction) -> Json:
    """Return the JSON of an action that may be invalid at the root."""
    holder = _dumped(custom("xy.holder").then(action))
    return copy.deepcopy(holder["then"])


def known(position: TreePosition) -> bool:
    """Return whether the catalogue has the action."""
    return not isinstance(position.node, custom)


class EditContext:
    """The draw function and settings of an edit."""

    def __init__(self, draw: draws.DrawFn, settings: StrategySettings) -> None:
        self.settings: StrategySettings = settings
        self._draw = draw

    def draw(self, strategy: draws.SearchStrategy[T]) -> T:
        """Draw anything."""
        return self._draw(strategy)

    def one(self, options: Sequence[T]) -> T:
        """Draw one of *options*."""
        return self._draw(draws.sampled_from(options))

    def draw_action(self, cls: Any, targets: tuple[str, ...] = ()) -> Any:
        """Draw an action of *cls* with these targets."""
        return self._draw(parameter_objects(cls, targets, self.settings))

    def tree(self, roots: Sequence[Any] = ()) -> tuple[Json, list[TreePosition]]:
        """Draw a tree to edit: its JSON, and the positions of its actions."""
        tree = self._draw(workflow_trees(self.settings, roots))
        definition = _dumped(tree)
        return definition, [*positions(tree, definition)]


def _dumped(root: AnyAction) -> Json:
    definition = dump_workflow(root)
    assert isinstance(definition, dict)  # noqa: S101  # one root, one object
    return definition


def having(wanted: Callable[[Parameter], Any]) -> list[Any]:
    """Return the actions that may be roots and have a *wanted* parameter."""
    return [cls for cls in STARTING if any(map(wanted, parameters_of(cls)))]


Edit: TypeAlias = Callable[[EditContext], BrokenWorkflow]

EDITS: list[Edit] = []


def edit(function: Edit) -> Edit:
    """Register *function* as a kind of illegal edit."""
    EDITS.append(function)
    return function


def nested_wrongly(
    definition: Json, position: TreePosition, child: Any, **more: Any
) -> BrokenWorkflow:
    """Nest *child*, an action or JSON, where it is not allowed."""
    found = plain(child) if isinstance(child, Action) else child
    nest(position.definition, found)
    return BrokenWorkflow(
        definition=definition,
        path=f"{position.path}.then[{len(position.node.children)}]",
        parent=position.node,
        child=child,
        **more,
    )


@edit
def wrong_child(context: EditContext) -> BrokenWorkflow:
    """Nest an action where its class is not allowed."""
    definition, tree = context.tree(STARTING)
    position = context.one([s for s in tree if known(s)])
    parent = type(position.node)
    wrong = [cls for cls in ACTIONS.values() if not cls.may_nest_under(parent)]
    cls = context.one(wrong)
    required = tuple(r.name for r in parameters_of(cls) if r.required and r.info.target)
    facts = {
        "offender": cls.action_type,
        "parent": parent.action_type,
        "allowed": tuple(allowed_in(parent.opens)),
    }
    child = context.draw_action(cls, required)
    return nested_wrongly(
        definition,
        position,
        child,
        error=NestingError,
        facts=facts,
        words=f"{cls.action_type} cannot be nested under {parent.action_type}",
    )


@edit
def target_below(context: EditContext) -> BrokenWorkflow:
    """Give an action a target although its parent provides one."""
    roots = [c for c in STARTING if any(child.targets for child in under(c))]
    definition, tree = context.tree(roots)
    pairs = [
        (position, cls)
        for position in tree
        if known(position)
        for cls in under(type(position.node))
        if cls.targets
    ]
    position, cls = context.one(pairs)
    targets = context.draw(targets_of(cls, context.settings, least=1))
    given = [name for name in cls.targets if name in targets]
    facts = {
        "owner": cls.action_type,
        "parameter": " and ".join(map(json_name, given)),
    }
    child = context.draw_action(cls, targets)
    return nested_wrongly(
        definition,
        position,
        child,
        error=ParameterError,
        facts=facts,
        python={**facts, "parameter": " and ".join(given)},
        words=f"{position.node.action_type}, which supplies it; leave it out",
    )


@edit
def no_target(context: EditContext) -> BrokenWorkflow:
    """Remove the target, or one of two, from the root."""
    cls = context.one([cls for cls in STARTING if cls.targets])
    least = context.draw_action(cls, cls.targets)
    lost = cls.targets if not cls.needs_all_targets else (context.one(cls.targets),)
    wires = {row.name: row.json_name for row in parameters_of(cls)}
    found = plain(least)
    for name in lost:
        del found[wires[name]]
    required = any(row.required and row.name in lost for row in parameters_of(cls))
    bare = None if required else attrs.evolve(least, **dict.fromkeys(lost))
    word = " and " if cls.needs_all_targets else " or "
    facts = {"owner": cls.action_type, "reason": "is required at the root"}
    return BrokenWorkflow(
        definition=found,
        path="root",
        error=ParameterError,
        facts={**facts, "parameter": word.join(map(json_name, cls.targets))},
        python={**facts, "parameter": word.join(cls.targets)},
        build=None if bare is None else lambda: dump_workflow(bare),
    )


@edit
def wrong_root(context: EditContext) -> BrokenWorkflow:
    """Use an action as the root that must be nested."""
    wrong = [cls for cls in ACTIONS.values() if Root not in cls.where]
    root = context.draw_action(context.one(wrong))
    return BrokenWorkflow(
        definition=plain(root),
        path="root",
        error=NestingError,
        facts={
            "offender": root.action_type,
            "parent": None,
            "allowed": tuple(allowed_in(Root)),
            "nearest": None,
        },
        words=f"{root.action_type} cannot be a root",
        build=lambda: dump_workflow(root),
    )


@edit
def no_action(context: EditContext) -> BrokenWorkflow:
    """Nest a value that is not an action."""
    definition, tree = context.tree()
    position = context.one(tree)
    child: Any = context.one([None, True, 5, "st.openPost", []])
    return nested_wrongly(
        definition,
        position,
        child,
        error=WorkflowError,
        facts={},
        words="expected an action, a JSON object, got ",
    )


@edit
def no_list(context: EditContext) -> BrokenWorkflow:
    """Set ``then`` to neither an action nor a list of actions."""
    definition, tree = context.tree()
    position = context.one([s for s in tree if not s.node.children])
    position.definition["then"] = context.one([None, False, 5, "x", 1.5])
    return BrokenWorkflow(
        definition=definition,
        path=position.path,
        error=ParameterError,
        facts={"parameter": "then"},
        words="must be an action or a list of actions, got ",
    )


_NOT_ARGUMENTS = {"children", "as_list", "extra_json"}


def arguments_of(node: Validated) -> dict[str, Any]:
    """Return the arguments that *node* was built with, without children."""
    cls: Any = type(node)
    names = [n for n in field_names(cls) if n not in _NOT_ARGUMENTS]
    return {n: getattr(node, n) for n in names if getattr(node, n) is not None}


def owned(position: TreePosition) -> dict[str, Any]:
    """Return the expected owner of a wrong parameter."""
    return {"owner": position.node.action_type}


@edit
def wrong_value(context: EditContext) -> BrokenWorkflow:
    """Give a parameter a value of another type or out of range."""
    definition, tree = context.tree(having(lambda _: True))
    places = [
        (position, row)
        for position in tree
        if known(position)
        for row in parameters_of(type(position.node))
        if not row.info.target or getattr(position.node, row.name) is not None
    ]
    position, row = context.one(places)
    value, place, words = context.one(wrongs_of(row))
    position.definition[row.json_name] = value
    cls = type(position.node)
    kwargs = {**arguments_of(position.node), row.name: value}
    return BrokenWorkflow(
        definition=definition,
        path=position.path,
        error=ParameterError,
        facts={**owned(position), "parameter": row.json_name + place},
        words=words,
        build=None if value is None else lambda: cls(**kwargs),
        python={**owned(position), "parameter": row.name + place},
    )


@edit
def wrong_inside(context: EditContext) -> BrokenWorkflow:
    """Give a field of a nested parameter object a wrong value, or an unknown name."""
    roots = having(lambda row: isinstance(row.validator, Object))
    definition, tree = context.tree(roots)
    places = [
        (position, row)
        for position in tree
        if known(position)
        for row in parameters_of(type(position.node))
        if isinstance(row.validator, Object)
    ]
    position, row = context.one(places)
    assert isinstance(row.validator, Object)  # noqa: S101  # filtered above
    cls = row.validator.cls
    owner = f"{position.node.action_type}: {row.json_name}"
    if context.draw(draws.booleans()):
        name = f"{context.one(parameters_of(cls)).json_name}x"
        position.definition[row.json_name] = {name: 1}
        return BrokenWorkflow(
            definition=definition,
            path=position.path,
            error=ParameterError,
            facts={"owner": owner, "parameter": name},
            words="is not a parameter; did you mean ",
            build=lambda: cls(**{name: 1}),
            python={"owner": f"params.{cls.__name__}", "parameter": name},
        )
    inner = context.one(parameters_of(cls))
    value, place, words = context.one(wrongs_of(inner))
    position.definition[row.json_name] = {inner.json_name: value}
    return BrokenWorkflow(
        definition=definition,
        path=position.path,
        error=ParameterError,
        facts={"owner": owner, "parameter": inner.json_name + place},
        words=words,
        build=lambda: cls(**{inner.name: value}),
        python={"owner": f"params.{cls.__name__}", "parameter": inner.name + place},
    )


@edit
def unknown_name(context: EditContext) -> BrokenWorkflow:
    """Give an action a misspelt parameter."""
    definition, tree = context.tree(STARTING)
    position = context.one([s for s in tree if known(s)])
    name = context.one(["children", "actiontype", "lable", "thn"])
    position.definition[name] = context.draw(json_values)
    cls = type(position.node)
    kwargs = {**arguments_of(position.node), name: 1}
    return BrokenWorkflow(
        definition=definition,
        path=position.path,
        error=ParameterError,
        facts={**owned(position), "parameter": name},
        words="in JSON it is then" if name == "children" else "is not a parameter; ",
        build=None if name == "children" else lambda: cls(**kwargs),
    )


@edit
def missing(context: EditContext) -> BrokenWorkflow:
    """Leave out a parameter that is required."""
    roots = having(lambda row: row.required and not row.info.target)
    definition, tree = context.tree(roots)
    places = [
        (position, row)
        for position in tree
        if known(position)
        for row in parameters_of(type(position.node))
        if row.required and not row.info.target
    ]
    position, row = context.one(places)
    del position.definition[row.json_name]
    cls = type(position.node)
    kwargs = {k: v for k, v in arguments_of(position.node).items() if k != row.name}
    return BrokenWorkflow(
        definition=definition,
        path=position.path,
        error=ParameterError,
        facts={**owned(position), "parameter": row.json_name, "reason": "is required"},
        build=lambda: cls(**kwargs),
        python={**owned(position), "parameter": row.name, "reason": "is required"},
    )


@edit
def wrong_label(context: EditContext) -> BrokenWorkflow:
    """Give an action a label that is not a string."""
    definition, tree = context.tree()
    position = context.one(tree)
    label = context.one([None, 5, True, "\ud800", ["a"]])
    position.definition["label"] = label
    build: Callable[[], Any] | None = None
    if known(position) and label is not None:
        cls = type(position.node)
        kwargs = {**arguments_of(position.node), "label": label}
        build = functools.partial(cls, **kwargs)
    return BrokenWorkflow(
        definition=definition,
        path=position.path,
        error=ParameterError,
        facts={"owner": position.node.action_type, "parameter": "label"},
        build=build,
    )


@draws.composite
def broken_workflow(
    draw: draws.DrawFn, settings: StrategySettings, kind: Edit | None = None
) -> BrokenWorkflow:
    """Draw a valid tree and break it by one edit, by default any."""
    chosen = kind or draw(draws.sampled_from(EDITS))
    return attrs.evolve(chosen(EditContext(draw, settings)), rule=chosen.__name__)
