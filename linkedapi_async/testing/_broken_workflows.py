"""Workflow definitions that break one rule, and what must be said of each."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias, TypeVar

import attrs
from hypothesis import strategies as draws

from linkedapi_async._actions.action import Action, allowed_in
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
    AnyAction,
    targets_of,
    under,
    workflow_trees,
)


T = TypeVar("T")

Json: TypeAlias = dict[str, Any]


@attrs.frozen(kw_only=True)
class BrokenWorkflow:
    """A definition that breaks exactly one rule, and what must be said of it."""

    definition: dict[str, Any]
    """The workflow as JSON; all of it is right but for one thing."""
    path: str
    """Where that is, such as ``root.then[1]``."""
    error: type[WorkflowError]
    """The class of the one problem that `load_workflow` has with it."""
    rule: str = ""
    """Which rule is broken: one of `RULES`."""
    facts: dict[str, Any]
    """Attributes of the error, all of them known beforehand."""
    words: str = ""
    """What stands in the error's text."""
    parent: AnyAction | None = None
    """Where *child* may not be nested; None where no nesting is wrong."""
    child: Any = None
    """What may not be nested there."""
    build: Callable[[], Any] | None = attrs.field(default=None, repr=False)
    """What raises the same by a plain call; None where there is nothing to call."""
    python: dict[str, Any] | None = None
    """The facts as *build* tells them, where they differ."""


@attrs.frozen
class TreePosition:
    """One action of a tree, and its object in the tree's JSON."""

    path: str
    node: AnyAction
    definition: Json


def spots(
    node: AnyAction, definition: Json, path: str = "root"
) -> Iterator[TreePosition]:
    """Visit all actions of a tree with their JSON."""
    yield TreePosition(path, node, definition)
    then = definition.get("then", [])
    nodes = then if isinstance(then, list) else [then]
    for index, child in enumerate(node.children):
        yield from spots(child, nodes[index], f"{path}.then[{index}]")


def nest(definition: Json, child: Any) -> None:
    """Put *child* after the children that *definition* has."""
    then = definition.setdefault("then", [])
    if not isinstance(then, list):
        definition["then"] = [then]
    definition["then"].append(child)


def plain(action: AnyAction) -> Json:
    """Return the JSON of an action that need not be legal at the root."""
    holder = _dumped(custom("xy.holder").then(action))
    return copy.deepcopy(holder["then"])


def known(spot: TreePosition) -> bool:
    """Return whether the catalogue has the action."""
    return not isinstance(spot.node, custom)


class EditContext:
    """What an edit draws with."""

    def __init__(self, draw: draws.DrawFn, plan: StrategySettings) -> None:
        self.plan: StrategySettings = plan
        self._draw = draw

    def draw(self, strategy: draws.SearchStrategy[T]) -> T:
        """Draw anything."""
        return self._draw(strategy)

    def one(self, options: Sequence[T]) -> T:
        """Draw one of *options*."""
        return self._draw(draws.sampled_from(options))

    def checked(self, cls: Any, targets: tuple[str, ...] = ()) -> Any:
        """Draw an action of *cls* with these targets."""
        return self._draw(parameter_objects(cls, targets, self.plan))

    def planted(self, roots: Sequence[Any] = ()) -> tuple[Json, list[TreePosition]]:
        """Draw a tree for an edit: its JSON, and all places in it."""
        tree = self._draw(workflow_trees(self.plan, roots))
        definition = _dumped(tree)
        return definition, [*spots(tree, definition)]


def _dumped(root: AnyAction) -> Json:
    definition = dump_workflow(root)
    assert isinstance(definition, dict)  # noqa: S101  # one root, one object
    return definition


def having(wanted: Callable[[Parameter], Any]) -> list[Any]:
    """Return the actions that may start and have a parameter that is *wanted*."""
    return [cls for cls in STARTING if any(map(wanted, parameters_of(cls)))]


Edit: TypeAlias = Callable[[EditContext], BrokenWorkflow]

EDITS: list[Edit] = []


def edit(function: Edit) -> Edit:
    """Note *function* as one kind of illegal edit."""
    EDITS.append(function)
    return function


def nested_wrongly(
    definition: Json, spot: TreePosition, child: Any, **more: Any
) -> BrokenWorkflow:
    """Nest *child*, as JSON too, where it may not stand."""
    found = plain(child) if isinstance(child, Action) else child
    nest(spot.definition, found)
    return BrokenWorkflow(
        definition=definition,
        path=f"{spot.path}.then[{len(spot.node.children)}]",
        parent=spot.node,
        child=child,
        **more,
    )


@edit
def wrong_child(pen: EditContext) -> BrokenWorkflow:
    """Nest an action where its class may not stand."""
    definition, tree = pen.planted(STARTING)
    spot = pen.one([s for s in tree if known(s)])
    parent = type(spot.node)
    wrong = [cls for cls in ACTIONS.values() if not cls.may_nest_under(parent)]
    cls = pen.one(wrong)
    required = tuple(r.name for r in parameters_of(cls) if r.required and r.info.target)
    facts = {
        "offender": cls.action_type,
        "parent": parent.action_type,
        "allowed": tuple(allowed_in(parent.opens)),
    }
    child = pen.checked(cls, required)
    return nested_wrongly(
        definition,
        spot,
        child,
        error=NestingError,
        facts=facts,
        words=f"{cls.action_type} cannot be nested under {parent.action_type}",
    )


@edit
def target_below(pen: EditContext) -> BrokenWorkflow:
    """Give an action a target although its parent hands one over."""
    roots = [c for c in STARTING if any(child.targets for child in under(c))]
    definition, tree = pen.planted(roots)
    pairs = [
        (spot, cls)
        for spot in tree
        if known(spot)
        for cls in under(type(spot.node))
        if cls.targets
    ]
    spot, cls = pen.one(pairs)
    targets = pen.draw(targets_of(cls, pen.plan, least=1))
    given = [name for name in cls.targets if name in targets]
    facts = {
        "owner": cls.action_type,
        "parameter": " and ".join(map(json_name, given)),
    }
    child = pen.checked(cls, targets)
    return nested_wrongly(
        definition,
        spot,
        child,
        error=ParameterError,
        facts=facts,
        python={**facts, "parameter": " and ".join(given)},
        words=f"{spot.node.action_type}, which supplies it; leave it out",
    )


@edit
def no_target(pen: EditContext) -> BrokenWorkflow:
    """Take its target, or one of its pair, away from the root."""
    cls = pen.one([cls for cls in STARTING if cls.targets])
    least = pen.checked(cls, cls.targets)
    lost = cls.targets if not cls.needs_all_targets else (pen.one(cls.targets),)
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
def wrong_root(pen: EditContext) -> BrokenWorkflow:
    """Start with an action that may only stand under another."""
    wrong = [cls for cls in ACTIONS.values() if Root not in cls.where]
    root = pen.checked(pen.one(wrong))
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
def no_action(pen: EditContext) -> BrokenWorkflow:
    """Nest something that is no action at all."""
    definition, tree = pen.planted()
    spot = pen.one(tree)
    child: Any = pen.one([None, True, 5, "st.openPost", []])
    return nested_wrongly(
        definition,
        spot,
        child,
        error=WorkflowError,
        facts={},
        words="expected an action, a JSON object, got ",
    )


@edit
def no_list(pen: EditContext) -> BrokenWorkflow:
    """Put something under ``then`` that is neither an action nor a list of them."""
    definition, tree = pen.planted()
    spot = pen.one([s for s in tree if not s.node.children])
    spot.definition["then"] = pen.one([None, False, 5, "x", 1.5])
    return BrokenWorkflow(
        definition=definition,
        path=spot.path,
        error=ParameterError,
        facts={"parameter": "then"},
        words="must be an action or a list of actions, got ",
    )


def arguments_of(node: Validated) -> dict[str, Any]:
    """Return what *node* was built with, without children."""
    cls: Any = type(node)
    names = [name for name in field_names(cls) if name != "children"]
    return {n: getattr(node, n) for n in names if getattr(node, n) is not None}


def owned(spot: TreePosition) -> dict[str, Any]:
    """Return what is told of the owner of a wrong parameter."""
    return {"owner": spot.node.action_type}


@edit
def wrong_value(pen: EditContext) -> BrokenWorkflow:
    """Give a parameter a value of another type, or one that is out of range."""
    definition, tree = pen.planted(having(lambda _: True))
    places = [
        (spot, row)
        for spot in tree
        if known(spot)
        for row in parameters_of(type(spot.node))
        if not row.info.target or getattr(spot.node, row.name) is not None
    ]
    spot, row = pen.one(places)
    value, place, words = pen.one(wrongs_of(row))
    spot.definition[row.json_name] = value
    cls = type(spot.node)
    kwargs = {**arguments_of(spot.node), row.name: value}
    return BrokenWorkflow(
        definition=definition,
        path=spot.path,
        error=ParameterError,
        facts={**owned(spot), "parameter": row.json_name + place},
        words=words,
        build=None if value is None else lambda: cls(**kwargs),
        python={**owned(spot), "parameter": row.name + place},
    )


@edit
def wrong_inside(pen: EditContext) -> BrokenWorkflow:
    """Give a field of a nested parameter object a wrong value, or an unknown name."""
    roots = having(lambda row: isinstance(row.validator, Object))
    definition, tree = pen.planted(roots)
    places = [
        (spot, row)
        for spot in tree
        if known(spot)
        for row in parameters_of(type(spot.node))
        if isinstance(row.validator, Object)
    ]
    spot, row = pen.one(places)
    assert isinstance(row.validator, Object)  # noqa: S101  # was looked for
    cls = row.validator.cls
    owner = f"{spot.node.action_type}: {row.json_name}"
    if pen.draw(draws.booleans()):
        spot.definition[row.json_name] = {"zzz": 1}
        return BrokenWorkflow(
            definition=definition,
            path=spot.path,
            error=ParameterError,
            facts={"owner": owner, "parameter": "zzz"},
            words="is not a parameter; known: ",
            build=lambda: cls(zzz=1),
            python={"owner": f"params.{cls.__name__}", "parameter": "zzz"},
        )
    inner = pen.one(parameters_of(cls))
    value, place, words = pen.one(wrongs_of(inner))
    spot.definition[row.json_name] = {inner.json_name: value}
    return BrokenWorkflow(
        definition=definition,
        path=spot.path,
        error=ParameterError,
        facts={"owner": owner, "parameter": inner.json_name + place},
        words=words,
        build=lambda: cls(**{inner.name: value}),
        python={"owner": f"params.{cls.__name__}", "parameter": inner.name + place},
    )


@edit
def unknown_name(pen: EditContext) -> BrokenWorkflow:
    """Give an action a parameter that it does not have."""
    definition, tree = pen.planted(STARTING)
    spot = pen.one([s for s in tree if known(s)])
    name = pen.one(["zzz", "children", "actiontype", "limits", ""])
    spot.definition[name] = pen.draw(json_values)
    cls = type(spot.node)
    kwargs = {**arguments_of(spot.node), name: 1}
    return BrokenWorkflow(
        definition=definition,
        path=spot.path,
        error=ParameterError,
        facts={**owned(spot), "parameter": name},
        words="is not a parameter; ",
        build=None if name == "children" else lambda: cls(**kwargs),
    )


@edit
def missing(pen: EditContext) -> BrokenWorkflow:
    """Leave out a parameter that is required."""
    roots = having(lambda row: row.required and not row.info.target)
    definition, tree = pen.planted(roots)
    places = [
        (spot, row)
        for spot in tree
        if known(spot)
        for row in parameters_of(type(spot.node))
        if row.required and not row.info.target
    ]
    spot, row = pen.one(places)
    del spot.definition[row.json_name]
    cls = type(spot.node)
    kwargs = {k: v for k, v in arguments_of(spot.node).items() if k != row.name}
    return BrokenWorkflow(
        definition=definition,
        path=spot.path,
        error=ParameterError,
        facts={**owned(spot), "parameter": row.json_name, "reason": "is required"},
        build=lambda: cls(**kwargs),
        python={**owned(spot), "parameter": row.name, "reason": "is required"},
    )


@edit
def wrong_label(pen: EditContext) -> BrokenWorkflow:
    """Give an action a label that is no string."""
    definition, tree = pen.planted()
    spot = pen.one(tree)
    label = pen.one([None, 5, True, "\ud800", ["a"]])
    spot.definition["label"] = label
    build: Callable[[], Any] | None = None
    if known(spot) and label is not None:
        cls = type(spot.node)
        kwargs = {**arguments_of(spot.node), "label": label}
        build = functools.partial(cls, **kwargs)
    return BrokenWorkflow(
        definition=definition,
        path=spot.path,
        error=ParameterError,
        facts={"owner": spot.node.action_type, "parameter": "label"},
        build=build,
    )


@draws.composite
def broken_workflow(
    draw: draws.DrawFn, plan: StrategySettings, kind: Edit | None = None
) -> BrokenWorkflow:
    """Draw a legal tree of which one thing was made wrong, in one way or any."""
    chosen = kind or draw(draws.sampled_from(EDITS))
    return attrs.evolve(chosen(EditContext(draw, plan)), rule=chosen.__name__)
