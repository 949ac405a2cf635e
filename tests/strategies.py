"""Hypothesis strategies, derived from the classes: legal trees, and illegal edits."""

import copy
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attrs
from hypothesis import strategies as draws

from linkedapi_async import custom, dump_workflow
from linkedapi_async._action import ACTIONS, Action, standing_in
from linkedapi_async._fields import (
    Checked,
    Choice,
    Either,
    Flag,
    Many,
    Nested,
    Row,
    Spec,
    Text,
    Whole,
    rows,
    slots,
    wire_name,
)
from linkedapi_async._scopes import Nowhere, Root
from linkedapi_async.errors import NestingError, ParameterError, WorkflowError


AnyAction = Action[Any, Any, Any]
ActionClass = type[AnyAction]
Json = dict[str, Any]

LARGE = 2**70
STARTING: list[Any] = [cls for cls in ACTIONS.values() if Root in cls.where]
NESTING: list[Any] = [cls for cls in STARTING if cls.opens is not Nowhere]


# Parameters


@functools.cache
def texts(minimum: int = 0, maximum: int | None = None) -> draws.SearchStrategy[str]:
    """Draw a short text that JSON can carry."""
    return draws.text(min_size=minimum, max_size=min(8, maximum or 8))


json_values: draws.SearchStrategy[Any] = draws.recursive(
    draws.none()
    | draws.booleans()
    | draws.integers(-LARGE, LARGE)
    | draws.floats(allow_nan=False, allow_infinity=False)
    | texts(),
    lambda inner: (
        draws.lists(inner, max_size=3) | draws.dictionaries(texts(), inner, max_size=3)
    ),
    max_leaves=4,
)


@functools.singledispatch
def values(spec: Spec) -> draws.SearchStrategy[Any]:
    """Draw a value that *spec* takes, inside its bounds and on them."""
    raise NotImplementedError(spec)


@values.register
def _(spec: Text) -> draws.SearchStrategy[Any]:
    return texts(spec.minimum or 0, spec.maximum)


@values.register
def _(spec: Whole) -> draws.SearchStrategy[Any]:
    highest = LARGE if spec.maximum is None else spec.maximum
    return draws.integers(spec.minimum, highest)


@values.register
def _(_: Flag) -> draws.SearchStrategy[Any]:
    return draws.booleans()


@values.register
def _(spec: Choice) -> draws.SearchStrategy[Any]:
    return draws.sampled_from(spec.known)


@values.register
def _(spec: Many) -> draws.SearchStrategy[Any]:
    return draws.lists(values(spec.item), max_size=3)


@values.register
def _(spec: Nested) -> draws.SearchStrategy[Any]:
    return checked(spec.cls)


@values.register
def _(spec: Either) -> draws.SearchStrategy[Any]:
    return values(spec.text) | values(spec.nested)


@draws.composite
def checked(draw: draws.DrawFn, cls: type[Any], targets: tuple[str, ...] = ()) -> Any:
    """Draw an object of *cls* with these targets and any of its other parameters."""
    found = {row.name: row for row in rows(cls)}
    free = [n for n, row in found.items() if not row.required and not row.fact.target]
    chosen = draw(draws.sets(draws.sampled_from(free), max_size=3)) if free else set()
    given = {
        name: draw(values(row.spec))
        for name, row in found.items()
        if name in chosen or name in targets or (row.required and not row.fact.target)
    }
    if issubclass(cls, Action) and draw(draws.booleans()):
        given["label"] = draw(texts())
    for _ in found:
        try:
            return cls(**given)
        except ParameterError as error:
            if cls._problems is Checked._problems:
                raise
            # The class has rules between its parameters: it says what to mend.
            if error.reason.startswith("is required"):
                given[error.parameter] = draw(values(found[error.parameter].spec))
            else:
                del given[error.parameter]
    return cls(**given)


@draws.composite
def customs(draw: draws.DrawFn) -> custom:
    """Draw an action that no version knows, with any JSON as parameters."""
    taken = {"then", "actionType", "label", "children"}
    names = texts().filter(lambda name: name not in taken)
    return custom(
        "xy." + draw(texts()),
        label=draw(draws.none() | texts()),
        **draw(draws.dictionaries(names, json_values, max_size=2)),
    )


def sample(row: Row) -> Any:
    """Return a value that a required parameter, or a target, takes."""
    return getattr(row.spec, "known", ("x",))[0]


def least(cls: ActionClass) -> AnyAction:
    """Build an action of *cls* with as few parameters as it takes."""
    found = {row.name: row for row in rows(cls)}
    given = {name: sample(row) for name, row in found.items() if row.required}
    while True:
        try:
            return cls(**given)
        except ParameterError as error:
            if error.parameter in given:
                raise
            given[error.parameter] = sample(found[error.parameter])


# Legal trees


def under(parent: ActionClass) -> list[Any]:
    """Return the known actions that may stand under *parent*."""
    return [cls for cls in ACTIONS.values() if cls.stands_under(parent)]


@draws.composite
def targets_of(draw: draws.DrawFn, cls: ActionClass, *, least: int) -> tuple[str, ...]:
    """Draw which targets of *cls* are given."""
    needed = {row.name for row in rows(cls) if row.fact.target and row.required}
    some = draw(draws.sets(draws.sampled_from(cls.targets), min_size=least))
    return tuple(some | needed)


@draws.composite
def actions(
    draw: draws.DrawFn, cls: ActionClass, parent: ActionClass | None, left: list[int]
) -> AnyAction:
    """Draw an action of *cls* where it stands, and what is nested under it.

    Args:
        cls: Its class.
        parent: The class above it; None at the root.
        left: How many more actions the tree may have; counted down.
    """
    node: AnyAction
    if cls is custom:
        node = draw(customs())
    else:
        targets: tuple[str, ...] = ()
        if cls.targets and parent is None:
            least = len(cls.targets) if cls.pair else 1
            targets = draw(targets_of(cls, least=least))
        elif cls.targets and parent is custom:
            targets = draw(targets_of(cls, least=0))
        node = draw(checked(cls, targets))
    children = []
    while left[0] > 0 and draw(draws.booleans()):
        left[0] -= 1
        below = draw(draws.sampled_from([*under(cls), custom]))
        children.append(draw(actions(below, cls, left)))
    return node.then(*children)


@draws.composite
def trees(draw: draws.DrawFn, roots: Sequence[Any] = ()) -> AnyAction:
    """Draw any legal workflow with one root, of one of the classes *roots*."""
    any_root = draws.sampled_from([*STARTING, custom]) | draws.sampled_from(NESTING)
    root = draw(draws.sampled_from(roots) if roots else any_root)
    return draw(actions(root, None, [draw(draws.integers(0, 6))]))


workflows: draws.SearchStrategy[Any] = trees() | draws.lists(
    trees(), min_size=1, max_size=3
).map(tuple)
"""Draw any legal workflow: one root, or a tuple of roots."""


# Illegal edits


@attrs.frozen(kw_only=True)
class Illegal:
    """A legal definition with one illegal edit, and what must be said of it."""

    definition: Json
    """The workflow as JSON, with the edit."""
    path: str
    """Where the edit is."""
    error: type[WorkflowError]
    """What it is called."""
    facts: dict[str, Any]
    """Attributes of the error, all of them known beforehand."""
    parent: AnyAction | None = None
    """Where *child* may not be nested; None where no nesting is wrong."""
    child: Any = None
    """What may not be nested there."""
    build: Callable[[], Any] | None = None
    """What raises the same by a plain call; None where there is nothing to call."""
    words: str = ""
    """What stands in the error's text."""
    python: dict[str, Any] | None = None
    """The facts as *build* tells them, where they differ."""


@attrs.frozen
class Spot:
    """One action of a tree, and its object in the tree's JSON."""

    path: str
    node: AnyAction
    definition: Json


def spots(node: AnyAction, definition: Json, path: str = "root") -> Iterator[Spot]:
    """Visit all actions of a tree with their JSON."""
    yield Spot(path, node, definition)
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
    holder = dump_workflow(custom("xy.holder").then(action))
    assert isinstance(holder, dict)
    return copy.deepcopy(holder["then"])


def known(spot: Spot) -> bool:
    """Return whether the catalogue has the action."""
    return not isinstance(spot.node, custom)


def planted(draw: draws.DrawFn, roots: Sequence[Any] = ()) -> tuple[Json, list[Spot]]:
    """Draw a tree for an edit: its JSON, and all places in it."""
    tree = draw(trees(roots))
    definition = dump_workflow(tree)
    assert isinstance(definition, dict)
    return definition, [*spots(tree, definition)]


def having(wanted: Callable[[Row], Any]) -> list[Any]:
    """Return the actions that may start and have a parameter that is *wanted*."""
    return [cls for cls in STARTING if any(map(wanted, rows(cls)))]


Edit = Callable[[draws.DrawFn], Illegal]
EDITS: list[Edit] = []


def edit(function: Edit) -> Edit:
    """Note *function* as one kind of illegal edit."""
    EDITS.append(function)
    return function


def nested_wrongly(definition: Json, spot: Spot, child: Any, **more: Any) -> Illegal:
    """Nest *child*, as JSON too, where it may not stand."""
    found = plain(child) if isinstance(child, Action) else child
    nest(spot.definition, found)
    return Illegal(
        definition=definition,
        path=f"{spot.path}.then[{len(spot.node.children)}]",
        parent=spot.node,
        child=child,
        **more,
    )


@edit
def wrong_child(draw: draws.DrawFn) -> Illegal:
    """Nest an action where its class may not stand."""
    definition, tree = planted(draw, STARTING)
    spot = draw(draws.sampled_from([s for s in tree if known(s)]))
    parent = type(spot.node)
    wrong = [cls for cls in ACTIONS.values() if not cls.stands_under(parent)]
    cls = draw(draws.sampled_from(wrong))
    required = tuple(r.name for r in rows(cls) if r.required and r.fact.target)
    facts = {
        "offender": cls.action_type,
        "parent": parent.action_type,
        "allowed": tuple(standing_in(parent.opens)),
    }
    child = draw(checked(cls, required))
    return nested_wrongly(
        definition,
        spot,
        child,
        error=NestingError,
        facts=facts,
        words=f"{cls.action_type} cannot stand under {parent.action_type}",
    )


@edit
def target_below(draw: draws.DrawFn) -> Illegal:
    """Give an action a target although its parent hands one over."""
    roots = [c for c in STARTING if any(child.targets for child in under(c))]
    definition, tree = planted(draw, roots)
    pairs = [
        (spot, cls)
        for spot in tree
        if known(spot)
        for cls in under(type(spot.node))
        if cls.targets
    ]
    spot, cls = draw(draws.sampled_from(pairs))
    targets = draw(targets_of(cls, least=1))
    given = [name for name in cls.targets if name in targets]
    facts = {
        "owner": cls.action_type,
        "parameter": " and ".join(map(wire_name, given)),
    }
    child = draw(checked(cls, targets))
    return nested_wrongly(
        definition,
        spot,
        child,
        error=ParameterError,
        facts=facts,
        python={**facts, "parameter": " and ".join(given)},
        words=f"{spot.node.action_type} hands it over; leave it out",
    )


@edit
def no_target(draw: draws.DrawFn) -> Illegal:
    """Take its target, or one of its pair, away from the root."""
    cls = draw(draws.sampled_from([cls for cls in STARTING if cls.targets]))
    least = draw(checked(cls, cls.targets))
    lost = cls.targets if not cls.pair else (draw(draws.sampled_from(cls.targets)),)
    wires = {row.name: row.wire for row in rows(cls)}
    found = plain(least)
    for name in lost:
        del found[wires[name]]
    required = any(row.required and row.name in lost for row in rows(cls))
    bare = None if required else attrs.evolve(least, **dict.fromkeys(lost))
    word = " and " if cls.pair else " or "
    facts = {"owner": cls.action_type, "reason": "is required at the root"}
    return Illegal(
        definition=found,
        path="root",
        error=ParameterError,
        facts={**facts, "parameter": word.join(map(wire_name, cls.targets))},
        python={**facts, "parameter": word.join(cls.targets)},
        build=None if bare is None else lambda: dump_workflow(bare),
    )


@edit
def wrong_root(draw: draws.DrawFn) -> Illegal:
    """Start with an action that may only stand under another."""
    wrong = [cls for cls in ACTIONS.values() if Root not in cls.where]
    root = draw(checked(draw(draws.sampled_from(wrong))))
    return Illegal(
        definition=plain(root),
        path="root",
        error=NestingError,
        facts={
            "offender": root.action_type,
            "parent": None,
            "allowed": tuple(standing_in(Root)),
            "nearest": None,
        },
        words=f"{root.action_type} cannot stand at the root",
        build=lambda: dump_workflow(root),
    )


@edit
def no_action(draw: draws.DrawFn) -> Illegal:
    """Nest something that is no action at all."""
    definition, tree = planted(draw)
    spot = draw(draws.sampled_from(tree))
    child: Any = draw(
        draws.sampled_from([None, True, 5, "st.openPost", [], {}, {"actionType": 5}])
    )
    return nested_wrongly(
        definition, spot, child, error=WorkflowError, facts={}, words=" is due, "
    )


@edit
def no_list(draw: draws.DrawFn) -> Illegal:
    """Put something under ``then`` that is neither an action nor a list of them."""
    definition, tree = planted(draw)
    spot = draw(draws.sampled_from([s for s in tree if not s.node.children]))
    spot.definition["then"] = draw(draws.sampled_from([None, False, 5, "x", 1.5]))
    return Illegal(
        definition=definition,
        path=spot.path,
        error=ParameterError,
        facts={"parameter": "then"},
        words="an action or a list of actions is due, got ",
    )


# What no parameter of a kind takes, as JSON and in Python alike.


Wrong = tuple[Any, str, str]
"""A value that is refused, the place inside it, and words of the reason."""


@functools.singledispatch
def wrongs(spec: Spec) -> Iterator[Wrong]:
    """Yield values that *spec* refuses: of another type, and just out of bounds."""
    raise NotImplementedError(spec)


@wrongs.register
def _(spec: Text) -> Iterator[Wrong]:
    yield 5, "", "a string is due, got 5"
    yield None, "", "a string is due, got None"
    yield "\ud800", "", "'\\ud800' has a lone surrogate"
    if spec.minimum:
        yield "", "", f"at least {spec.minimum} character is due, got ''"
    if spec.maximum is not None:
        words = f"at most {spec.maximum} characters are allowed"
        yield "x" * (spec.maximum + 1), "", words


@wrongs.register
def _(spec: Whole) -> Iterator[Wrong]:
    for value in (True, "5", 1.0, [1]):
        yield value, "", f"a whole number is due, got {value!r}"
    if spec.minimum is not None:
        yield spec.minimum - 1, "", f"at least {spec.minimum} is due"
    if spec.maximum is not None:
        yield spec.maximum + 1, "", f"at most {spec.maximum} is allowed"


@wrongs.register
def _(_: Flag) -> Iterator[Wrong]:
    for value in (1, 0, "true"):
        yield value, "", f"True or False is due, got {value!r}"


@wrongs.register
def _(_: Choice) -> Iterator[Wrong]:
    yield 5, "", "a string is due, got 5"
    yield "", "", "at least 1 character is due"
    yield "\ud800", "", "has a lone surrogate"


def item_of(spec: Spec) -> Any:
    """Return the JSON of something that a list of *spec* takes."""
    if isinstance(spec, Nested):
        return {row.wire: sample(row) for row in rows(spec.cls) if row.required}
    return "x"


@wrongs.register
def _(spec: Many) -> Iterator[Wrong]:
    yield "Oslo", "", "a list is due, got 'Oslo'; write ['Oslo']"
    yield 5, "", "a list is due, got 5"
    for value, place, words in wrongs(spec.item):
        yield [value], f"[0]{place}", words
    if spec.maximum is not None:
        words = f"at most {spec.maximum} items are allowed"
        yield [item_of(spec.item)] * (spec.maximum + 1), "", words


@wrongs.register
def _(spec: Nested) -> Iterator[Wrong]:
    for value in ("x", 5):
        yield value, "", f"a params.{spec.cls.__name__} is due, got {value!r}"


@wrongs.register
def _(spec: Either) -> Iterator[Wrong]:
    yield 5, "", f"a string or a params.{spec.nested.cls.__name__} is due, got 5"
    yield "", "", "at least 1 character is due"


def wrongs_of(row: Row) -> list[Wrong]:
    """Return what a parameter refuses; None there means that it is not given."""
    return [wrong for wrong in wrongs(row.spec) if wrong[0] is not None or row.required]


def arguments_of(node: Checked) -> dict[str, Any]:
    """Return what *node* was built with, without children."""
    cls: Any = type(node)
    names = [name for name in slots(cls) if name != "children"]
    return {n: getattr(node, n) for n in names if getattr(node, n) is not None}


def owned(spot: Spot) -> dict[str, Any]:
    """Return what is told of the owner of a wrong parameter."""
    return {"owner": spot.node.action_type}


@edit
def wrong_value(draw: draws.DrawFn) -> Illegal:
    """Give a parameter a value of another type, or one that is out of range."""
    definition, tree = planted(draw, having(lambda row: True))
    places = [
        (spot, row)
        for spot in tree
        if known(spot)
        for row in rows(type(spot.node))
        if not row.fact.target or getattr(spot.node, row.name) is not None
    ]
    spot, row = draw(draws.sampled_from(places))
    value, place, words = draw(draws.sampled_from(wrongs_of(row)))
    spot.definition[row.wire] = value
    cls = type(spot.node)
    kwargs = {**arguments_of(spot.node), row.name: value}
    return Illegal(
        definition=definition,
        path=spot.path,
        error=ParameterError,
        facts={**owned(spot), "parameter": row.wire + place},
        words=words,
        build=None if value is None else lambda: cls(**kwargs),
        python={**owned(spot), "parameter": row.name + place},
    )


@edit
def wrong_inside(draw: draws.DrawFn) -> Illegal:
    """Give a field of a nested parameter object a wrong value, or an unknown name."""
    roots = having(lambda row: isinstance(row.spec, Nested))
    definition, tree = planted(draw, roots)
    places = [
        (spot, row)
        for spot in tree
        if known(spot)
        for row in rows(type(spot.node))
        if isinstance(row.spec, Nested)
    ]
    spot, row = draw(draws.sampled_from(places))
    assert isinstance(row.spec, Nested)
    cls = row.spec.cls
    owner = f"{spot.node.action_type}: {row.wire}"
    if draw(draws.booleans()):
        spot.definition[row.wire] = {"zzz": 1}
        return Illegal(
            definition=definition,
            path=spot.path,
            error=ParameterError,
            facts={"owner": owner, "parameter": "zzz"},
            words="unknown; known: ",
            build=lambda: cls(zzz=1),
            python={"owner": f"params.{cls.__name__}", "parameter": "zzz"},
        )
    inner = draw(draws.sampled_from(rows(cls)))
    value, place, words = draw(draws.sampled_from(wrongs_of(inner)))
    spot.definition[row.wire] = {inner.wire: value}
    return Illegal(
        definition=definition,
        path=spot.path,
        error=ParameterError,
        facts={"owner": owner, "parameter": inner.wire + place},
        words=words,
        build=lambda: cls(**{inner.name: value}),
        python={"owner": f"params.{cls.__name__}", "parameter": inner.name + place},
    )


@edit
def unknown_name(draw: draws.DrawFn) -> Illegal:
    """Give an action a parameter that it does not have."""
    definition, tree = planted(draw, STARTING)
    spot = draw(draws.sampled_from([s for s in tree if known(s)]))
    name = draw(draws.sampled_from(["zzz", "children", "actiontype", "limits", ""]))
    spot.definition[name] = draw(json_values)
    cls = type(spot.node)
    kwargs = {**arguments_of(spot.node), name: 1}
    return Illegal(
        definition=definition,
        path=spot.path,
        error=ParameterError,
        facts={**owned(spot), "parameter": name},
        words="unknown; ",
        build=None if name == "children" else lambda: cls(**kwargs),
    )


@edit
def missing(draw: draws.DrawFn) -> Illegal:
    """Leave out a parameter that is required."""
    roots = having(lambda row: row.required and not row.fact.target)
    definition, tree = planted(draw, roots)
    places = [
        (spot, row)
        for spot in tree
        if known(spot)
        for row in rows(type(spot.node))
        if row.required and not row.fact.target
    ]
    spot, row = draw(draws.sampled_from(places))
    del spot.definition[row.wire]
    cls = type(spot.node)
    kwargs = {k: v for k, v in arguments_of(spot.node).items() if k != row.name}
    return Illegal(
        definition=definition,
        path=spot.path,
        error=ParameterError,
        facts={**owned(spot), "parameter": row.wire, "reason": "is required"},
        build=lambda: cls(**kwargs),
        python={**owned(spot), "parameter": row.name, "reason": "is required"},
    )


@edit
def wrong_label(draw: draws.DrawFn) -> Illegal:
    """Give an action a label that is no string."""
    definition, tree = planted(draw)
    spot = draw(draws.sampled_from(tree))
    label = draw(draws.sampled_from([None, 5, True, "\ud800", ["a"]]))
    spot.definition["label"] = label
    build: Callable[[], Any] | None = None
    if known(spot) and label is not None:
        cls = type(spot.node)
        kwargs = {**arguments_of(spot.node), "label": label}
        build = functools.partial(cls, **kwargs)
    return Illegal(
        definition=definition,
        path=spot.path,
        error=ParameterError,
        facts={"owner": spot.node.action_type, "parameter": "label"},
        build=build,
    )


@draws.composite
def illegal(draw: draws.DrawFn, kind: Edit | None = None) -> Illegal:
    """Draw a legal tree of which one thing was made wrong, in one way or any."""
    return (kind or draw(draws.sampled_from(EDITS)))(draw)


# Odd JSON

odd_texts = draws.text(draws.characters(), max_size=4) | draws.sampled_from(
    ["\ud800", "x\udfffy", "st.openPost", "xy.new", ""]
)
odd_values: draws.SearchStrategy[Any] = (
    json_values
    | odd_texts
    # Copied: what is drawn here is changed later.
    | draws.sampled_from([None, {}, [], [{}], [[]], 5, LARGE]).map(copy.deepcopy)
)
odd_names = (
    draws.sampled_from(["then", "label", "actionType", "children", "json", "as_list"])
    | odd_texts
)


def objects(value: Any) -> Iterator[Json]:
    """Visit all JSON objects inside *value*."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from objects(inner)


@draws.composite
def odd_definitions(draw: draws.DrawFn) -> Json:
    """Draw a definition that the API may or may not take, and we may not know."""
    if draw(draws.integers(0, 4)) == 0:
        return draw(draws.dictionaries(odd_names, odd_values, max_size=4))
    definition = dump_workflow(draw(trees()))
    assert isinstance(definition, dict)
    for _ in range(draw(draws.integers(1, 3))):
        found = draw(draws.sampled_from([*objects(definition)]))
        name = draw(odd_names | draws.sampled_from(sorted(found) or [""]))
        match draw(draws.sampled_from(["set", "list", "nest", "drop"])):
            case "set":
                found[name] = draw(odd_values)
            case "list":
                then = found.get("then", {})
                found["then"] = then[:1] if isinstance(then, list) else [then]
            case "nest":
                found["then"] = [plain(draw(trees())), draw(odd_values)]
            case _:
                found.pop(name, None)
    return definition
