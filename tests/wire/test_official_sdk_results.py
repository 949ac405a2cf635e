"""A second opinion: operations of the official SDK send and read the same as ours."""

from __future__ import annotations

import copy
import typing
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from completion_strategies import completions
from hypothesis import given, settings
from hypothesis import strategies as draws
from linkedapi import LinkedApiError
from linkedapi.core import Operation
from pydantic import BaseModel
from sdk_operations import (
    CASES,
    SDK,
    VOID,
    YIELDING,
    Given,
    normalised,
    params_of,
    theirs,
    understood,
)

from linkedapi_async import (
    ActionError,
    InvalidDefinitionError,
    ParameterError,
    UnsupportedError,
    dump_workflow,
    operations,
)
from linkedapi_async._actions.action import Action
from linkedapi_async._actions.composite import child_fields
from linkedapi_async._actions.parameters import parameters_of
from linkedapi_async._actions.validators import (
    ListOf,
    Object,
    StringOrObject,
    Validator,
)
from linkedapi_async._results.completion import Result, json_names_of
from linkedapi_async._wire.read import read_completion
from linkedapi_async.operations import (
    ComposedResult,
    EndorsedPerson,
    EndorsedSkill,
    SentMessage,
)
from linkedapi_async.results import Actor, ConversationSync, FoundPost
from linkedapi_async.sandbox import Sandbox


AnyAction = Action[Any, Any, Any]
Node = dict[str, Any]

OFFICIAL: dict[str, Any] = {
    name: value for name, value in vars(SDK).items() if isinstance(value, Operation)
}
"""The official operations, by the names that a user of the SDK calls."""

OURS = [name for name in operations.__all__ if name.islower()]
CUSTOM = "custom_workflow"
PREDEFINED = [name for name in OFFICIAL if name != CUSTOM]
NAMES = {operation.operation_name: name for name, operation in OFFICIAL.items()}
GIVEN = VOID | YIELDING

each_operation = pytest.mark.parametrize("name", PREDEFINED)


# Our side


def converted(validator: Validator, value: Any) -> Any:
    """Return a value of the SDK's models as a parameter of ours."""
    if isinstance(validator, ListOf):
        return [converted(validator.item, item) for item in value]
    nested = validator.nested if isinstance(validator, StringOrObject) else validator
    if isinstance(nested, Object) and isinstance(value, dict):
        return nested.cls(**arguments(nested.cls, value))
    return value


def arguments(cls: Any, values: Given) -> Given:
    """Return the parameters of one of our classes, from those of the SDK."""
    validators = {row.name: row.validator for row in parameters_of(cls)}
    return {name: converted(validators[name], value) for name, value in values.items()}


def flat_of(function: Any) -> Any:
    """Return the class that an operation yields, if it is a function."""
    return typing.get_args(typing.get_type_hints(function)["return"])[2]


def ours(name: str, values: Given) -> Any:
    """Return our workflow for the SDK's parameters of an operation."""
    function = getattr(operations, name)
    if isinstance(function, type):
        return function(**arguments(function, values))
    left = dict(values)
    parts: Given = {}
    for pick in child_fields(flat_of(function)):
        config = left.pop(f"{pick.parameter}_retrieval_config", None)
        if left.pop(f"retrieve_{pick.parameter}", False):
            part = True if config is None else arguments(pick.action, config)
            parts[pick.parameter] = part
    managed = left.pop("manage_conversation", None)
    if managed is not None:
        parts["manage_conversation"] = managed["operation"]
    return function(**left, **parts)


def read(name: str, raw: Any) -> Any:
    """Return what our operation with all its parts yields for a completion."""
    workflow = ours(name, GIVEN[name])
    return workflow.read(read_completion(raw, workflow))


# The names


def test_every_official_operation_is_ours() -> None:
    """Each operation that the SDK has is one of ours, under the same name."""
    assert 43 == len(OFFICIAL)
    assert set(OFFICIAL) == set(OURS)
    assert set(PREDEFINED) == set(GIVEN)


@each_operation
def test_every_official_parameter_is_ours(name: str) -> None:
    """Each parameter of an official operation has one of ours."""
    model = type(params_of(name, GIVEN[name]))
    fields = set(getattr(model, "model_fields", ()))
    function = getattr(operations, name)
    if isinstance(function, type):
        assert fields <= {row.name for row in parameters_of(function)}
        return
    picks = child_fields(flat_of(function))
    parts = {f"retrieve_{pick.parameter}" for pick in picks}
    configs = {f"{pick.parameter}_retrieval_config" for pick in picks}

    assert parts <= fields
    assert fields - parts - configs <= set(function.__annotations__)


# Requests


@pytest.mark.parametrize(("operation_name", "values"), CASES)
def test_same_intent_same_json(operation_name: str, values: Given) -> None:
    """The same parameters give the same definition."""
    expected = theirs(operation_name, values)
    workflow = ours(NAMES[operation_name], understood(operation_name, values))
    definition = dump_workflow(workflow)

    assert isinstance(definition, dict)
    assert normalised(expected) == normalised(definition)


DIFFERENT_REQUESTS = [
    pytest.param(
        "react_to_comment",
        {
            "comment_url": "https://www.linkedin.com/feed/update/urn:li:activity:7461747?dashCommentUrn=urn:li:fsd_comment:(1,urn:li:activity:7461747)"
        },
        {
            "actionType": "st.reactToComment",
            "commentUrl": "https://www.linkedin.com/feed/update/urn:li:activity:7461747?dashCommentUrn=urn:li:fsd_comment:(1,urn:li:activity:7461747)",
            "type": "like",
        },
        {
            "actionType": "st.reactToComment",
            "commentUrl": "https://www.linkedin.com/feed/update/urn:li:activity:7461747?dashCommentUrn=urn:li:fsd_comment:(1,urn:li:activity:7461747)",
        },
        id="what is not given is not sent: the API's default is the same",
    ),
    pytest.param(
        "fetch_person",
        {"person_url": "https://www.linkedin.com/in/ada"},
        {
            "actionType": "st.openPersonPage",
            "basicInfo": True,
            "personUrl": "https://www.linkedin.com/in/ada",
            "then": [],
        },
        {
            "actionType": "st.openPersonPage",
            "basicInfo": True,
            "personUrl": "https://www.linkedin.com/in/ada",
        },
        id="no children are no then, not an empty one",
    ),
    pytest.param(
        "send_message",
        {
            "person_url": "https://www.linkedin.com/in/ada",
            "text": "Hi",
            "manage_conversation": {"operation": ""},
        },
        {
            "actionType": "st.sendMessage",
            "personUrl": "https://www.linkedin.com/in/ada",
            "text": "Hi",
        },
        ParameterError,
        id="an empty word is an error, not the wish for nothing",
    ),
    pytest.param(
        "fetch_post",
        {},
        {"actionType": "st.openPost", "basicInfo": True, "then": []},
        ParameterError,
        id="a post without its target is refused before it is sent",
    ),
]
"""Where ours differs on purpose: what the SDK sends, what ours sends, and why."""


@pytest.mark.parametrize(("name", "values", "official", "own"), DIFFERENT_REQUESTS)
def test_different_requests(name: str, values: Given, official: Any, own: Any) -> None:
    """Requests differ in these cases only, each for a reason."""
    sent = OFFICIAL[name].mapper.map_request(params_of(name, values))

    assert official == sent
    if isinstance(own, type):
        with pytest.raises(own):
            dump_workflow(ours(name, values))
    else:
        assert own == dump_workflow(ours(name, values))


# Results


NOT_IN_LISTS = {"comments", "reactions"}
"""What only a fetched post has; the SDK has one class for all posts."""


def unlike(official: Any, own: Any, path: str = "data") -> Iterator[str]:
    """Yield where data of the SDK differs from ours, field by field."""
    if isinstance(official, BaseModel):
        for name in type(official).model_fields:
            yield from unlike_field(getattr(official, name), own, name, path)
    elif isinstance(official, list) and isinstance(own, list):
        if len(official) != len(own):
            yield f"{path}: {official!r}, {own!r}"
            return
        for index, (one, other) in enumerate(zip(official, own, strict=True)):
            yield from unlike(one, other, f"{path}[{index}]")
    elif official is None and isinstance(own, Result):
        # An object without data is an empty one here, so that its attributes exist.
        if own != type(own)():
            yield f"{path}: None, {own!r}"
    elif official != (as_float(own) if isinstance(official, float) else own):
        yield f"{path}: {official!r}, {own!r}"


def as_float(number: Any) -> Any:
    """Return an integer as the SDK reads it; above 2⁵³ that is another number."""
    return float(number) if type(number) is int else number


def test_large_integers() -> None:
    """The SDK rounds an integer where it expects a float, and ours stays as it is."""
    assert [] == [*unlike(2.0**53, 2**53 + 1)]
    assert ["data: 1.0, 2"] == [*unlike(1.0, 2)]


def unlike_field(official: Any, own: Any, name: str, path: str) -> Iterator[str]:
    """Yield where the field *name* of the SDK's data differs from ours."""
    if name in NOT_IN_LISTS and not hasattr(own, name):
        assert isinstance(own, FoundPost)
        assert official is None
    elif name == "urn" and type(own) is Actor:
        # The SDK has one class for all actors, too: see ActorWithUrn.
        assert official == own.extra.get("urn")
    elif official is not None or not has_older_spelling(own, name):
        yield from unlike(official, getattr(own, name), f"{path}.{name}")


def has_older_spelling(own: Any, name: str) -> bool:
    """Return whether an attribute came under a name that the SDK does not read."""
    cls: Any = type(own)
    wires = json_names_of(cls).get(name, ())
    return len(wires) > 1 and own.raw.get(wires[0]) is None


def type_and_message(error: Any) -> tuple[str, str]:
    """Return type and message of an error, the SDK's or ours."""
    if isinstance(error, ActionError):
        name = error.action_type
        tag = "" if error.label is None else f" ({error.label!r})"
        return error.type, error.message.removeprefix(f"{name}{tag}: {error.type}: ")
    return error.type, error.message


def differences(name: str, official: Any, raw: Any) -> list[str]:
    """Return where the response of the SDK differs from our result."""
    try:
        own = read(name, raw)
    except ActionError as error:
        return compared([None, [type_and_message(error)]], official)
    errors = (
        [type_and_message(error) for error in own.errors]
        if isinstance(own, ComposedResult)
        else []
    )
    if isinstance(own, EndorsedPerson):
        # Their errors are in the items only, ours are in `errors` too.
        items = own.skills or []
        inner = [
            type_and_message(item.error) for item in items if item.error is not None
        ]
        errors = [error for error in errors if error not in inner]
        own = own.skills
    if isinstance(own, SentMessage):
        own = None
    return [*compared([None, errors], official), *unlike_data(official.data, own)]


def unlike_data(official: Any, own: Any) -> Iterator[str]:
    """Yield where the data differs; errors in it are compared by text."""
    if isinstance(own, list) and own and isinstance(own[0], EndorsedSkill):
        for index, (one, other) in enumerate(zip(official, own, strict=True)):
            their_error = one.error and type_and_message(one.error)
            our_error = other.error and type_and_message(other.error)
            if their_error != our_error or one.success != other.success:
                yield f"data[{index}].error: {one!r}, {other!r}"
            if one.skill_name != other.name:
                yield f"data[{index}]: {one!r}, {other!r}"
        return
    yield from unlike(official, own)


def compared(expected: list[Any], official: Any) -> list[str]:
    """Return how the errors of the SDK's response differ from those expected."""
    errors = [type_and_message(error) for error in official.errors]
    return [] if errors == expected[1] else [f"errors: {errors}, {expected[1]}"]


@pytest.mark.anyio
@pytest.mark.parametrize("generation", ["account_api", "linked_api"])
@each_operation
async def test_same_completion_same_data(name: str, generation: Any) -> None:
    """Completions of the sandbox are read alike, also if a child fails."""
    workflow = ours(name, GIVEN[name])
    kinds = {child.action_type for child in workflow.walk() if child.has_outcome}
    async with (
        Sandbox(speed=1000, duration=0) as sandbox,
        sandbox.session(generation) as session,
    ):
        for broken in (None, *sorted(kinds)):
            if broken is not None:
                sandbox.fail_action(broken, "someReason", "no")
            try:
                handle = await session.start(workflow)
            except (ParameterError, UnsupportedError):
                assert generation == "account_api"
                return
            raw = (await handle.completion()).raw
            official = OFFICIAL[name].mapper.map_response(copy.deepcopy(raw))

            assert [] == differences(name, official, raw)


def moved(node: Node) -> Node:
    """Return a completion with its children where only the SDK looks for them."""
    made = {key: value for key, value in node.items() if key != "then"}
    data = made.get("data")
    if isinstance(data, list):
        made["data"] = [
            item | {"then": [moved(child) for child in listed(item["then"])]}
            if "then" in item
            else item
            for item in data
        ]
        return made
    then = node.get("then") or (data or {}).get("then")
    if then:
        nested = [moved(child) for child in listed(then)]
        made["data"] = (data or {}) | {"then": nested}
    return made


def listed(then: Any) -> list[Any]:
    """Return *then* as a list, whatever its form."""
    return then if isinstance(then, list) else [then]


REFUSALS = (LinkedApiError, KeyError)
"""What the SDK makes of an empty page, of missing fields, of a skill without a name."""


@each_operation
@settings(max_examples=40, deadline=None)
@given(data=draws.data())
def test_any_completion_same_data(name: str, data: Any) -> None:
    """Any completion is read alike, or only the SDK refuses it."""
    workflow = ours(name, GIVEN[name])
    raw = data.draw(completions(workflow, fail=True))
    placed = moved(raw)
    try:
        official = OFFICIAL[name].mapper.map_response(copy.deepcopy(placed))
    except REFUSALS:
        official = None

    if official is not None:
        assert [] == differences(name, official, placed)
    assert outline(name, raw) == outline(name, placed)


def outline(name: str, raw: Any) -> Any:
    """Return all that our operation yields for a completion, for comparison."""
    try:
        own = read(name, raw)
    except ActionError as error:
        return type_and_message(error)
    errors = (
        [type_and_message(error) for error in own.errors]
        if isinstance(own, ComposedResult)
        else []
    )
    return own, errors


# Intended differences of results


def done(action_type: str, data: Any = None, **more: Any) -> Node:
    """Return the record of an action that succeeded."""
    return {"actionType": action_type, "success": True, "data": data, **more}


def failed(action_type: str) -> Node:
    """Return the record of an action that failed."""
    error = {"type": "someReason", "message": "no"}
    return {"actionType": action_type, "success": False, "error": error}


def person(*then: Node, **data: Any) -> Node:
    """Return the record of a person's page."""
    return done("st.openPersonPage", {**data, "then": [*then]})


def skill_list(*then: Any) -> Node:
    """Return the record of a page with skills, each with one of *then* under it."""
    skills = [{"name": "Python", "then": each} for each in then]
    return person(done("st.retrievePersonSkills", skills))


Look = Callable[[Any, Any], Any]
"""What to look at in the data and the errors."""

POSTS: Look = lambda data, errors: (data.posts, [*map(type_and_message, errors)])  # noqa: E731
ERRORS: Look = lambda data, errors: [*map(type_and_message, errors)]  # noqa: E731
REASON = ("someReason", "no")

DIFFERENT_RESULTS = [
    pytest.param(
        "fetch_person",
        failed("st.openPersonPage"),
        lambda data, errors: (data, [*map(type_and_message, errors)]),
        (None, [REASON]),
        ActionError,
        id="an operation that fails is raised, with all that came",
    ),
    pytest.param(
        "fetch_person",
        person(done("st.retrievePersonPosts")),
        POSTS,
        (None, []),
        ([], []),
        id="a selected part that did not fail is empty, not missing",
    ),
    pytest.param(
        "fetch_person",
        done("st.openPersonPage", {}, then=[failed("st.retrievePersonPosts")]),
        POSTS,
        (None, []),
        (None, [REASON]),
        id="children beside the data are children",
    ),
    pytest.param(
        "fetch_person",
        person(failed("st.sendMessage")),
        ERRORS,
        [],
        [REASON],
        id="errors of further children are kept",
    ),
    pytest.param(
        "fetch_person",
        person(
            done(
                "st.retrievePersonPosts",
                [{"then": done("st.openPost", {"then": failed("st.reactToPost")})}],
            )
        ),
        ERRORS,
        [],
        [REASON],
        id="errors further down are kept",
    ),
    pytest.param(
        "fetch_person",
        done("st.openPersonPage"),
        lambda data, errors: (data.name, [*errors]),
        LinkedApiError,
        (None, []),
        id="a page without data is an empty page",
    ),
    pytest.param(
        "fetch_person",
        person(name=5, headline="Engineer"),
        lambda data, errors: (data.name, data.headline),
        LinkedApiError,
        (None, "Engineer"),
        id="a value of another type does not destroy the rest",
    ),
    pytest.param(
        "fetch_company",
        done("st.openCompanyPage", {"employeeCount": 3}),
        lambda data, errors: data.employees_count,
        None,
        3,
        id="the words of account_api are read",
    ),
    pytest.param(
        "sync_conversation",
        done("st.syncConversation"),
        lambda data, errors: data,
        None,
        ConversationSync(),
        id="an answer without data is an empty object",
    ),
    pytest.param(
        "search_people",
        done("st.searchPeople"),
        lambda data, errors: data,
        LinkedApiError,
        [],
        id="a search without data is an empty list",
    ),
    pytest.param(
        "retrieve_invitations",
        done("st.retrieveInvitations", [{"name": "Ada"}, {"name": "Grace"}]),
        lambda data, errors: [item.name for item in data],
        LinkedApiError,
        ["Ada", "Grace"],
        id="an item that lacks something does not destroy the list",
    ),
    pytest.param(
        "endorse_person_skills",
        skill_list([failed("st.endorsePersonSkill")]),
        ERRORS,
        [],
        [REASON],
        id="errors of the skills are among the errors",
    ),
    pytest.param(
        "endorse_person_skills",
        skill_list(done("st.endorsePersonSkill")),
        lambda data, errors: [each.name for each in data.skills],
        TypeError,
        ["Python"],
        id="a single child of a skill may be an object",
    ),
    pytest.param(
        "endorse_person_skills",
        person(failed("st.retrievePersonSkills")),
        lambda data, errors: (
            (data, [*map(type_and_message, errors)]) if data is None else data
        ),
        (None, [REASON]),
        EndorsedPerson(),
        id="skills that cannot be listed are None of an object",
    ),
    pytest.param(
        "send_message",
        done("st.sendMessage"),
        lambda data, errors: data,
        None,
        SentMessage(),
        id="what can have errors is an object",
    ),
]
"""Where ours differs on purpose: what the SDK reads, what ours reads, and why."""


@pytest.mark.parametrize(("name", "raw", "look", "official", "own"), DIFFERENT_RESULTS)
def test_different_results(
    name: str, raw: Node, look: Look, official: Any, own: Any
) -> None:
    """Results differ in these cases only, each for a reason."""

    def their_look() -> Any:
        mapped = OFFICIAL[name].mapper.map_response(copy.deepcopy(raw))
        return look(mapped.data, mapped.errors)

    def our_look() -> Any:
        value = read(name, raw)
        return look(value, getattr(value, "errors", ()))

    for expected, looking in ((official, their_look), (own, our_look)):
        if isinstance(expected, type):
            with pytest.raises(expected):
                looking()
        else:
            assert expected == looking()


def test_custom_workflow() -> None:
    """A raw definition is checked first; the raw completion is the same."""
    definition = {"actionType": "st.retrieveSSI"}
    raw = done("st.retrieveSSI", {"ssi": 5})
    mapper = OFFICIAL[CUSTOM].mapper
    workflow = operations.custom_workflow(definition)

    assert mapper.map_request(definition) == dump_workflow(workflow)
    assert mapper.map_response(raw).data == read_completion(raw, workflow).raw
    assert 5 == workflow.read(read_completion(raw, workflow)).ssi
    with pytest.raises(InvalidDefinitionError, match="cannot be"):
        operations.custom_workflow({"actionType": "st.retrieveCompanyDMs"})
