"""Double entry: the catalogue of actions against a transcription of the API's facts."""

import collections
import inspect
import json
import pathlib
import re
import types
import typing
from collections.abc import Iterator
from typing import Any, Literal

import attrs
import pytest
from sample_targets import SAMPLE_TARGETS

from linkedapi_async import nv, params, results, st
from linkedapi_async._actions.action import Action, given_targets, nesting_error
from linkedapi_async._actions.compatibility import unsupported_in
from linkedapi_async._actions.parameters import Parameter, parameters_of
from linkedapi_async._actions.validators import (
    Boolean,
    Date,
    DateTime,
    Enum,
    Integer,
    ListOf,
    Object,
    String,
    StringOrObject,
    TargetString,
    Validator,
)
from linkedapi_async._results.completion import Result, json_names_of
from linkedapi_async._results.key import ACTIONS
from linkedapi_async._types import BOTH, Generation
from linkedapi_async._utils.spelling import json_name
from linkedapi_async.errors import NestingError, ParameterError
from linkedapi_async.urls import TargetKind


Entry = dict[str, Any]

FACTS: dict[str, Entry] = json.loads(
    (pathlib.Path(__file__).parents[1] / "data" / "actions.json").read_text("utf-8")
)
BUILT = [name for name, entry in FACTS.items() if entry.get("built", True)]

# What needs more than its required parameters to be built.
CONDITIONS: dict[str, dict[str, str]] = {
    "st.acceptInvitation": {
        "invitation_type": "connect",
        "person_url": "https://www.linkedin.com/in/x",
    },
    "st.ignoreInvitation": {
        "invitation_type": "connect",
        "person_url": "https://www.linkedin.com/in/x",
    },
    "st.searchPosts": {"term": "x"},
}

KINDS: dict[type[Validator], str] = {
    Enum: "enum",
    StringOrObject: "(string|object)",
    Boolean: "boolean",
    Object: "object",
    String: "string",
    TargetString: "string",
    DateTime: "string",
    Date: "string",
    Integer: "integer",
}

# The kind of every parameter that names something on LinkedIn.
TARGET_KINDS: dict[str, TargetKind] = {
    "person_url": "person",
    "person_hashed_url": "nvPerson",
    "company_url": "company",
    "company_hashed_url": "nvCompany",
    "post_url": "post",
    "post_urn": "post",
    "comment_url": "comment",
    "job_url": "job",
    "newsletter_url": "newsletter",
    "thread_id": "thread",
}

_BY_KIND = {kind: SAMPLE_TARGETS[name] for name, kind in TARGET_KINDS.items()}

each_action = pytest.mark.parametrize("name", BUILT)


def sample(validator: Validator) -> Any:
    """Return a value that *validator* accepts."""
    if isinstance(validator, TargetString):
        return _BY_KIND[validator.kind]
    return validator.known[0] if isinstance(validator, Enum) else "x"


def least(name: str, *, targets: bool = False) -> Any:
    """Build an action with as few parameters as both generations allow."""
    cls = ACTIONS[name]
    given = {
        row.name: sample(row.validator)
        for row in parameters_of(cls)
        if row.required or row.info.needed_in or (targets and row.info.target)
    }
    given |= CONDITIONS.get(name, {})
    places = [
        given.pop(row.name) for row in parameters_of(cls) if positional(row, given)
    ]
    return cls(*places, **given)


def positional(row: Parameter, given: dict[str, Any]) -> bool:
    """Return whether *row* is passed by position and *given*."""
    return row.positional and row.name in given


def per_generation(value: Any, generations: list[Generation]) -> dict[Generation, Any]:
    """Spread a fact over the generations that it holds for."""
    if isinstance(value, dict):
        return {g: value[g] for g in generations if value.get(g) is not None}
    return {} if value is None else dict.fromkeys(generations, value)


def of_kind(validator: Validator) -> str:
    """Return the transcription's word for what *validator* accepts."""
    if isinstance(validator, ListOf):
        return of_kind(validator.item) + "[]"
    return KINDS[type(validator)]


def inner(validator: Validator) -> Validator:
    """Return the validator of a list's items, or *validator* itself."""
    return validator.item if isinstance(validator, ListOf) else validator


def nested_class(validator: Validator) -> type[Any] | None:
    """Return the parameter class that *validator* accepts, if there is one."""
    match inner(validator):
        case Object(cls=cls) | StringOrObject(nested=Object(cls=cls)):
            return cls
        case _:
            return None


def check_parameter(
    row: Parameter, entry: Entry, generations: list[Generation]
) -> None:
    """Compare one parameter, and what is nested in it, with its transcription."""
    known: list[Generation] = entry.get("generations", generations)
    fact = row.info
    required = entry.get("required", False)

    assert known == [g for g in generations if g in fact.generations]
    assert entry["type"] == of_kind(row.validator)
    assert entry.get("target", False) == fact.target
    if isinstance(required, list):
        assert not row.required
        assert tuple(required) == fact.needed_in
    else:
        assert required == row.required
        assert () == fact.needed_in
    assert per_generation(entry.get("default"), known) == (
        per_generation(fact.default, known)
    )
    assert entry.get("min", 1 if fact.target else None) == fact.minimum
    assert per_generation(entry.get("max"), known) == (
        per_generation(fact.maximum, known)
    )
    assert set(entry.get("documented", ())) - set(entry.get("disputed", ())) == (
        set(fact.enforced_in)
    )
    validator = inner(row.validator)
    assert entry.get("enum", []) == list(getattr(validator, "known", []))
    cls = nested_class(row.validator)
    if "fields" in entry:
        assert cls is not None
        check_parameters(parameters_of(cls), entry["fields"], known)
    else:
        assert cls is None


def check_parameters(
    found: tuple[Parameter, ...], entries: list[Entry], generations: list[Generation]
) -> None:
    """Compare all parameters of a class with their transcription."""
    by_name = {row.json_name: row for row in found}

    assert {entry["name"] for entry in entries} == set(by_name)
    for entry in entries:
        check_parameter(by_name[entry["name"]], entry, generations)


def wanted(annotation: Any) -> tuple[str, Any]:
    """Return the transcription's word for a result attribute, and what is inside."""
    options = [a for a in typing.get_args(annotation) if a is not types.NoneType]
    words = [a for a in options if typing.get_origin(a) is Literal]
    if words:
        return "enum", typing.get_args(words[0])
    (only,) = options
    plain = {
        str: "string",
        int: "integer",
        float: "number",
        bool: "boolean",
        list[str]: "string[]",
    }
    return ("object", only) if only not in plain else (plain[only], None)


def check_result(cls: type[Result], entries: list[Entry]) -> None:
    """Compare the attributes of a result class with what an action yields."""
    wires = names_of(cls)
    hints = typing.get_type_hints(cls)
    for entry in entries:
        assert entry["name"] in wires
        attribute = wires[entry["name"]]
        assert entry.get("renamed_to", entry["name"]) == json_name(attribute)
        kind, inside = wanted(hints[attribute])

        assert entry["type"] == kind
        if kind == "enum":
            # `typing` caches unions, and equal literals may differ in their order.
            assert sorted(entry["enum"]) == sorted(inside)
        if kind == "object":
            check_result(inside, entry["fields"])


def names_of(cls: Any) -> dict[str, str]:
    """Return the attribute of a result class for each of its JSON names."""
    wires = json_names_of(cls)
    return {wire: name for name, all_of in wires.items() for wire in all_of}


def result_places() -> Iterator[tuple[type[Result], list[Entry]]]:
    """Yield every result class at every place where an action yields it."""
    waiting: list[tuple[Any, list[Entry]]] = [
        (result_class(name), FACTS[name]["result"]["fields"])
        for name in BUILT
        if "fields" in FACTS[name]["result"]
    ]
    while waiting:
        cls, entries = waiting.pop()
        yield cls, entries
        wires = names_of(cls)
        hints = typing.get_type_hints(cls)
        waiting += [
            (wanted(hints[wires[entry["name"]]])[1], entry["fields"])
            for entry in entries
            if "fields" in entry
        ]


def result_class(name: str) -> Any:
    """Return the class of what an action yields, or of each item of it."""
    found = ACTIONS[name].result
    return typing.get_args(found)[0] if typing.get_origin(found) is list else found


def at_root(root: Action[Any, Any, Any]) -> NestingError | ParameterError | None:
    """Return why *root* cannot start a workflow, if it cannot."""
    return nesting_error(type(root), given_targets(root), None, "root")


def legal(parent: str, child: str, generation: Generation) -> bool:
    """Return whether the API lets *child* be nested under *parent*."""
    constraints = FACTS[parent]["constraints"].get(generation, {"children": []})
    return child in constraints["children"]


def test_every_action_is_there_once_and_in_order() -> None:
    """The catalogue has all actions of the transcription, in its order."""
    names = [*ACTIONS]

    assert [n for n in BUILT if n.startswith("st.")] == (
        [n for n in names if n.startswith("st.")]
    )
    assert [n for n in BUILT if n.startswith("nv.")] == (
        [n for n in names if n.startswith("nv.")]
    )
    assert len(BUILT) == len(names)


@each_action
def test_name_generations_effect_and_category(name: str) -> None:
    """An action has its name, generations, effect and limit category."""
    entry = FACTS[name]
    cls = ACTIONS[name]
    namespace, _, rest = name.partition(".")
    module = {"st": st, "nv": nv}[namespace]

    assert getattr(module, cls.__name__) is cls
    assert cls.__name__ in module.__all__
    assert rest.lower() == cls.__name__.replace("_", "")
    assert entry["generations"] == list(cls.generations)
    assert entry["effect"] == cls.effect
    assert entry.get("category") == cls.category
    assert entry["result"].get("own_node", True) == cls.has_outcome
    assert entry.get("all_targets", False) == cls.needs_all_targets


@each_action
def test_parameters(name: str) -> None:
    """An action has the API's parameters, with their facts, and no others."""
    entry = FACTS[name]

    check_parameters(
        parameters_of(ACTIONS[name]), entry["parameters"], entry["generations"]
    )


@each_action
def test_the_first_target_is_positional(name: str) -> None:
    """Only the parameter that names the target is positional."""
    found = parameters_of(ACTIONS[name])
    expected = [row.name for row in found if row.info.target][:1]
    if name in {"st.acceptInvitation", "st.ignoreInvitation"}:
        expected = ["invitation_type"]

    assert expected == [row.name for row in found if row.positional]


@each_action
def test_result(name: str) -> None:
    """An action yields what the API sends: nothing, an object or a list."""
    entry = FACTS[name]["result"]
    kind = entry["kind"]
    kinds = set(kind.values()) if isinstance(kind, dict) else {kind}
    found = ACTIONS[name].result
    is_list = typing.get_origin(found) is list

    assert ("array" in kinds) == is_list
    assert (kinds == {"none"}) == (found is types.NoneType or found is None)
    if "fields" in entry:
        check_result(result_class(name), entry["fields"])


def test_result_classes_have_only_attributes_of_the_api() -> None:
    """Every attribute of a result class occurs in the API."""
    seen: dict[type[Result], set[str]] = collections.defaultdict(set)
    for cls, entries in result_places():
        seen[cls] |= {entry["name"] for entry in entries}

    for cls in [*seen]:
        # Classes with a common base may have older names that come to one of them only.
        bases = {*cls.__mro__} - {*Result.__mro__}
        related = [other for other in seen if bases & {*other.__mro__}]
        names = {name for other in related for name in seen[other]}

        assert set() == set(names_of(cls)) - names


ANSWERS = (
    *("AccountInfo", "ActionUse", "Conversation", "ConversationQuery", "InboxMessage"),
    *("InboxThread", "Message", "NetworkEvent", "PersonInbox"),
)
"""What the endpoints take and answer that need no workflow."""


def test_every_public_result_class_is_used() -> None:
    """A public class is yielded, answered by an endpoint, or a base of one."""
    used = {base for cls, _ in result_places() for base in cls.__mro__}
    public = {getattr(results, name) for name in results.__all__}
    answers = {getattr(results, name) for name in ANSWERS}

    assert answers == {cls for cls in public if isinstance(cls, type)} - used


@pytest.mark.parametrize("module", [params, results, st, nv], ids=lambda m: m.__name__)
def test_the_list_of_public_names_is_sorted_and_complete(
    module: types.ModuleType,
) -> None:
    """``__all__`` is sorted and names what a module defines."""
    own = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (
            getattr(value, "__module__", None) == module.__name__
            or typing.get_origin(value) in {typing.Union, types.UnionType}
        )
    }
    imported = {"ConnectionDegree", "InvitationType", "ReactionType", "WorkplaceType"}
    imported |= {"Moment"} if module in {st, nv} else set()
    imported |= {n for n in own if n in params.__all__} if module in {st, nv} else set()
    if module is not params:
        own -= imported

    assert sorted(module.__all__) == module.__all__
    assert own == set(module.__all__)


@each_action
def test_docstring_names_every_parameter_and_its_numbers(name: str) -> None:
    """The docstring describes all parameters, their maxima and defaults."""
    cls = ACTIONS[name]
    text = inspect.cleandoc(cls.__doc__ or "") + "\n"  # Python 3.13 dedents by itself
    namespace, _, rest = name.partition(".")
    kebab = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", rest).lower()

    assert f"https://linkedapi.io/docs/action-{namespace}-{kebab}\n" in text
    described = dict(re.findall(r"^    (\w+): (.*(?:\n {8,}.*)*)", text, re.MULTILINE))
    assert {row.name for row in parameters_of(cls)} == set(described)
    for entry in FACTS[name]["parameters"]:
        words = described[
            next(r.name for r in parameters_of(cls) if r.json_name == entry["name"])
        ]
        known = entry.get("generations", FACTS[name]["generations"])
        numbers = {
            *per_generation(entry.get("default"), known).values(),
            *per_generation(entry.get("max"), known).values(),
            *per_generation(entry.get("max_with_children"), known).values(),
        }
        for number in numbers:
            assert re.search(rf"\b{number}\b", words)
        if known != FACTS[name]["generations"]:
            assert re.search(rf"In\s+{known[0]} only", words)


@pytest.mark.parametrize("parent", FACTS)
def test_all_pairs(parent: str) -> None:
    """A child can be nested under a parent only where a generation allows it."""
    if parent not in BUILT:
        assert parent not in ACTIONS
        return
    under = least(parent)
    for child in FACTS:
        if child not in BUILT:
            assert child not in ACTIONS
            continue
        nested = least(child)
        allowed = [g for g in BOTH if legal(parent, child, g)]
        if not allowed:
            with pytest.raises(NestingError) as caught:
                under.then(nested)

            assert (child, parent) == (caught.value.offender, caught.value.parent)
            continue
        tree = under.then(nested)

        assert (nested,) == tree.children
        for generation in BOTH:
            fits = not list(unsupported_in(tree, generation))

            assert (generation in allowed) == fits


def test_parents_and_children_of_the_transcription_agree() -> None:
    """Parents list exactly the children that list them."""
    for generation in BOTH:
        known = {n: e for n, e in FACTS.items() if generation in e["constraints"]}
        down = {
            (parent, child)
            for parent, entry in known.items()
            for child in entry["constraints"][generation]["children"]
        }
        up = {
            (parent, child)
            for child, entry in known.items()
            for parent in entry["constraints"][generation]["parents"]
        }

        assert down == up


@each_action
def test_root(name: str) -> None:
    """An action can be a root only where a generation allows it."""
    allowed = any(c["root"] for c in FACTS[name]["constraints"].values())
    problem = at_root(least(name, targets=True))

    assert allowed == (problem is None)
    assert allowed != isinstance(problem, NestingError)


@each_action
def test_targets(name: str) -> None:
    """A target is required at the root and refused under a parent."""
    entry = FACTS[name]
    targets = [row for row in parameters_of(ACTIONS[name]) if row.info.target]
    optional = [row.name for row in targets if not row.required]
    if optional:
        assert isinstance(at_root(least(name)), ParameterError)
    parents = {p for c in entry["constraints"].values() for p in c["parents"]}
    for parent in parents & set(BUILT):
        for target in optional:
            (row,) = (row for row in targets if row.name == target)
            child = attrs.evolve(least(name), **{target: sample(row.validator)})
            with pytest.raises(ParameterError, match="which supplies it") as caught:
                least(parent).then(child)

            assert target == caught.value.parameter


@each_action
def test_kinds_of_targets(name: str) -> None:
    """A parameter whose name says what it refers to has its values checked for that."""
    for row in parameters_of(ACTIONS[name]):
        assert TARGET_KINDS.get(row.name) == row.info.kind
        assert (row.info.kind is None) == (not isinstance(row.validator, TargetString))


def test_one_of_two_targets_is_enough_but_a_pair_needs_both() -> None:
    """A root needs one of two alternative targets, or both of a pair."""
    assert at_root(st.send_message("https://www.linkedin.com/in/ada", text="x")) is None
    assert at_root(st.send_message(thread_id="t", text="x")) is None
    assert (
        at_root(
            st.endorse_person_skill("https://www.linkedin.com/in/ada", skill_name="s")
        )
        is None
    )
    for half in (
        st.endorse_person_skill("https://www.linkedin.com/in/ada"),
        st.endorse_person_skill(skill_name="s"),
    ):
        assert isinstance(at_root(half), ParameterError)
