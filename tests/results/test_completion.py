"""Completions become typed results, and nothing of them is lost."""

from __future__ import annotations

import contextlib
import copy
import datetime as dt
import json
import pathlib
import pickle
import types
import typing
from typing import Any

import pytest
from completion_strategies import (
    at,
    completions,
    nodes_of,
    places,
    replaced,
    results_in,
    seen,
)
from hypothesis import given, settings
from hypothesis import strategies as draws
from strategies import AnyAction, actions, json_values, workflows

from linkedapi_async import custom, load_workflow, results, st
from linkedapi_async._actions.scopes import Root
from linkedapi_async._results.completion import (
    Completion,
    Outcome,
    Result,
    json_names_of,
)
from linkedapi_async._results.key import ACTIONS
from linkedapi_async._wire.read import read_completion, structure
from linkedapi_async.errors import ActionError, AmbiguousKeyError, ResultMissingError


EXAMPLES: list[dict[str, Any]] = json.loads(
    (pathlib.Path(__file__).parents[1] / "data" / "examples_workflows.json").read_text(
        "utf-8"
    )
)

COMPANY = "st.openCompanyPage"
EMPLOYEES = "st.retrieveCompanyEmployees"
DMS = "st.retrieveCompanyDMs"
PERSON = "st.openPersonPage"
STATUS = "st.checkConnectionStatus"

each_action = pytest.mark.parametrize("action_type", ACTIONS)


def node(
    action_type: str,
    data: Any = None,
    *,
    label: str | None = None,
    then: Any = None,
    error: str | None = None,
) -> dict[str, Any]:
    """Return one action's record in a completion."""
    made: dict[str, Any] = {"actionType": action_type, "success": error is None}
    if label is not None:
        made["label"] = label
    if error is not None:
        made["error"] = {"type": error, "message": "so it is"}
    if data is not None:
        made["data"] = data
    if then is not None:
        made["then"] = then
    return made


def connection(state: str, label: str | None = None) -> dict[str, Any]:
    """Return the record of an action that yields a connection status."""
    return node(STATUS, {"connectionStatus": state}, label=label)


def outcomes_by_node(completion: Completion) -> dict[int, Outcome[Any]]:
    """Return all outcomes by the identity of the JSON they were read from."""
    return {id(outcome.raw): outcome for outcome in completion.walk()}


def nested_in_a_tree(cls: Any) -> draws.SearchStrategy[AnyAction]:
    """Draw a workflow with an action of *cls*, and actions nested under it."""
    parent = None if Root in cls.where else st.open_person_page
    return actions(cls, parent, [3])


# The tree


@pytest.mark.parametrize("as_list", [False, True], ids=["object", "list"])
@pytest.mark.parametrize("place", ["in-data", "beside-data", "without-data"])
def test_nested_in_a_page(place: str, as_list: bool) -> None:
    """The children of a page are found inside its data and beside it."""
    employees = st.retrieve_company_employees()
    child = node(EMPLOYEES, [{"name": "Ann"}])
    then = [child] if as_list else child
    raw = {
        "in-data": node(COMPANY, {"name": "Acme", "then": then}),
        "beside-data": node(COMPANY, {"name": "Acme"}, then=then),
        "without-data": node(COMPANY, then=then),
    }[place]
    completion = read_completion(
        raw,
        st.open_company_page("https://www.linkedin.com/company/acme").then(employees),
    )
    company = completion.root.value()

    assert isinstance(company, results.CompanyPage)
    assert [results.Person(name="Ann")] == company[employees]
    assert company[employees] is completion[employees]
    assert company.children == completion.root.children
    assert (None if place == "without-data" else "Acme") == company.name
    assert {} == company.extra


@pytest.mark.parametrize("as_list", [False, True], ids=["object", "list"])
def test_nested_in_each_item(as_list: bool) -> None:
    """A loop has no node of its own: each item has the children of the loop."""
    page = st.open_person_page(basic_info=True)
    workflow = st.search_people().then(st.do_for_people().then(page))
    people = []
    for name in ("Ann", "Bob"):
        child = node(PERSON, {"headline": f"{name} works"})
        people.append({"name": name, "then": [child] if as_list else child})
    people.append({"name": "Cy"})
    completion = read_completion(node("st.searchPeople", people), workflow)
    ann, bob, cy = completion.root.value()

    assert "Ann works" == ann[page].headline
    assert "Bob works" == bob[page].headline
    assert "Bob" == bob.name
    assert () == cy.children
    with pytest.raises(ResultMissingError, match="present: nothing"):
        cy[page]
    assert [ann[page], bob[page]] == [o.data for o in completion.all(page)]
    assert completion.all(st.open_person_page) == completion.all(page)
    assert completion.root.children == ann.children + bob.children
    with pytest.raises(AmbiguousKeyError, match=r"item\[key\] on each item"):
        completion[page]


def test_nested_beside_a_list() -> None:
    """Children beside a list belong to the action, and to none of the items."""
    page = st.open_person_page()
    raw = node("st.searchPeople", [{"name": "Ann"}], then=node(PERSON, {}))
    completion = read_completion(raw)

    assert results.PersonPage() == completion[page]
    assert () == completion.root.value()[0].children


def test_nested_in_data_and_beside() -> None:
    """Children in both places are all found."""
    raw = node(COMPANY, {"then": node(EMPLOYEES, [])}, then=[node(DMS, [])])
    completion = read_completion(raw)

    assert [COMPANY, EMPLOYEES, DMS] == [o.action_type for o in completion.walk()]
    assert [] == completion[st.retrieve_company_dms]
    assert [] == completion.root.value()[st.retrieve_company_employees]


def test_nested_in_data_of_another_shape() -> None:
    """Children are found also in a list instead of an object, and vice versa."""
    inside = {"name": "Ann", "then": node(STATUS, {"connectionStatus": "pending"})}
    for raw in (
        node(PERSON, [5, inside]),
        node("st.searchPeople", inside),
        node("st.sendMessage", [inside]),
        node("xy.unknown", [inside]),
    ):
        completion = read_completion(raw)
        found = completion[st.check_connection_status]

        assert "pending" == found.connection_status


def test_void_parent() -> None:
    """A void action may have data that only contains its children."""
    manage = st.manage_conversation(operation="archive")
    workflow = st.send_message("https://www.linkedin.com/in/ada", text="Hi").then(
        manage
    )
    child = node("st.manageConversation")
    completion = read_completion(node("st.sendMessage", {"then": [child]}), workflow)

    assert completion.root.success
    assert completion.root.data is None
    assert completion.root.value() is None
    assert completion[manage] is None
    assert child is completion.root.children[0].raw


def test_page_without_data() -> None:
    """A page without data is an empty page, never None."""
    for raw in (
        node(COMPANY),
        node(COMPANY, {}),
        {"actionType": COMPANY, "data": None},
    ):
        page = read_completion(raw).root.value()

        assert results.CompanyPage() == page
        assert {} == page.extra


def test_list_without_data() -> None:
    """A list without data is empty."""
    assert [] == read_completion(node(EMPLOYEES)).root.value()


def test_array_workflow() -> None:
    """The outcomes of an array workflow are in the order of its roots."""
    raw = [connection("connected", "a"), connection("pending", "b")]
    roots = tuple(
        st.check_connection_status("https://www.linkedin.com/in/ada", label=name)
        for name in "ab"
    )
    completion = read_completion(raw, roots, "wf-1")
    states = [completion[root].connection_status for root in roots]

    assert ["connected", "pending"] == states
    assert completion.roots[0] is completion.root
    assert raw is completion.raw
    assert "wf-1" == completion.workflow_id
    assert f"<Completion of {STATUS}, {STATUS}, 0 errors>" == repr(completion)


def test_root_that_is_no_record() -> None:
    """Anything but a record in an array workflow is a failed outcome."""
    first, second = read_completion([connection("pending"), None]).roots

    assert first.success
    assert ("", None, None, None) == (
        second.action_type,
        second.label,
        second.data,
        second.raw,
    )
    with pytest.raises(ActionError, match=r"\(no actionType\): unknownError"):
        second.value()


@pytest.mark.parametrize("placeholder", ["{ ... }", 5, True, 0, ""])
def test_then_that_nests_nothing(placeholder: Any) -> None:
    """A ``then`` that cannot contain records is an unknown field, not a child."""
    completion = read_completion(node(COMPANY, {"then": placeholder}))

    assert () == completion.root.children
    assert () == completion.errors
    assert {"then": placeholder} == completion.root.value().extra


@pytest.mark.parametrize("empty", [None, {}, []])
def test_empty_then(empty: Any) -> None:
    """An empty ``then`` means no children, whatever its form."""
    raw = node(COMPANY, {"then": empty})
    completion = read_completion(raw | {"then": empty})

    assert () == completion.root.children
    assert {} == completion.root.value().extra


def test_deep_nesting() -> None:
    """A tree of any depth is read, visited and searched."""
    raw = connection("pending")
    for _ in range(3000):
        raw = node(PERSON, {"then": [raw]})
    completion = read_completion(raw)

    assert 3001 == len(list(completion.walk()))
    assert "pending" == completion[st.check_connection_status].connection_status
    assert () == completion.errors


# Failed actions


def test_failed_child() -> None:
    """The error of a failed child is raised on access, and has the completion."""
    dms = st.retrieve_company_dms(label="bosses")
    raw = node(
        COMPANY, {"name": "Acme", "then": [node(DMS, label="bosses", error="x")]}
    )
    completion = read_completion(
        raw,
        st.open_company_page("https://www.linkedin.com/company/acme").then(dms),
        "wf-1",
    )
    company = completion.root.value()

    assert "Acme" == company.name
    for access in (
        lambda: company[dms],
        lambda: completion[dms],
        completion.find(label="bosses").value,
    ):
        with pytest.raises(ActionError) as caught:
            access()
        error = caught.value

        assert ("x", DMS, "bosses") == (error.type, error.action_type, error.label)
        assert completion is error.completion
        assert "wf-1" == error.workflow_id
        assert f"{DMS} ('bosses'): x: so it is [workflow wf-1]" == str(error)


def test_errors_are_raised_as_copies() -> None:
    """Every access raises a new error, so that tracebacks do not pile up."""
    completion = read_completion(node(STATUS, error="personNotFound"))
    (kept,) = completion.errors
    raised = []
    for _ in range(2):
        with pytest.raises(ActionError) as caught:
            completion.root.value()
        raised.append(caught.value)

    assert kept is completion.root.error
    assert kept.__traceback__ is None
    assert 3 == len({id(error) for error in [kept, *raised]})
    assert f"{STATUS}: personNotFound: so it is" == str(raised[0])


def test_all_errors() -> None:
    """The errors of a tree are in its order, parents first."""
    people = [{"then": node(PERSON, error="b")}, {"then": [node(PERSON, error="c")]}]
    raw = [node(STATUS, error="a"), node("st.searchPeople", people)]

    assert ["a", "b", "c"] == [e.type for e in read_completion(raw).errors]


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        pytest.param({"success": True}, None, id="success"),
        pytest.param({"success": True, "error": {"type": "x"}}, None, id="both"),
        pytest.param({}, None, id="neither"),
        pytest.param({"success": None, "error": None}, None, id="nulls"),
        pytest.param({"success": "yes"}, None, id="success-of-another-type"),
        pytest.param({"success": 0, "error": {"type": "x"}}, "x", id="zero"),
        pytest.param({"error": {"type": "x"}}, "x", id="error-only"),
        pytest.param({"error": "boom"}, "unknownError", id="error-is-text"),
        pytest.param({"success": False}, "unknownError", id="no-error"),
        pytest.param(
            {"success": False, "error": {"type": None, "message": None}},
            "unknownError",
            id="null-facts",
        ),
        pytest.param({"success": False, "error": {"type": 5}}, "5", id="number"),
    ],
)
def test_success(fields: dict[str, Any], error: str | None) -> None:
    """An action failed if it says so, or if it has an error and says nothing."""
    outcome = read_completion({"actionType": STATUS, **fields}).root

    assert (error is None) == outcome.success
    assert error == (outcome.error and outcome.error.type)
    if error == "unknownError":
        assert "the API gave no reason" in str(outcome.error)


def test_record_without_anything() -> None:
    """An empty object is a failed outcome."""
    assert not read_completion({}).root.success


def test_failed_parent_keeps_its_children() -> None:
    """The children of a failed action are found all the same."""
    raw = node(COMPANY, {"then": node(EMPLOYEES, [])}, error="x") | {"then": node(DMS)}
    completion = read_completion(raw)

    assert completion.root.data is None
    assert [] == completion[st.retrieve_company_employees]
    assert [] == completion[st.retrieve_company_dms]


# Keys


def test_key_ignores_parameters_and_children() -> None:
    """A key matches by type and label; its parameters and children do not matter."""
    raw = node(COMPANY, {"then": [node(EMPLOYEES, [{}]), node(EMPLOYEES, label="x")]})
    company = read_completion(raw).root.value()

    assert [results.Person()] == company[st.retrieve_company_employees(limit=3)]
    looped = st.retrieve_company_employees(label="x").then(st.do_for_people())

    assert [] == company[looped]


def test_class_as_key() -> None:
    """A class is the key of the one child of its type, whatever the label."""
    raw = node(COMPANY, {"then": [node(EMPLOYEES, label="x"), node(DMS), node(DMS)]})
    completion = read_completion(raw)

    for keyed in (completion, completion.root.value()):
        assert [] == keyed[st.retrieve_company_employees]
        with pytest.raises(AmbiguousKeyError, match=f"2 outcomes match {DMS}"):
            keyed[st.retrieve_company_dms]


LOST = (
    "; if you nested it here: then() returns a new action and does not change the old "
    "one, so run the new action"
)


def test_missing_key() -> None:
    """The error of a missing key lists the present ones, and explains a lost `then`."""
    raw = node(COMPANY, {"then": [node(DMS), node(DMS, label="x")]})
    completion = read_completion(raw)
    words = f"no outcome of {EMPLOYEES}; present: {DMS}, {DMS} ('x')"
    with pytest.raises(ResultMissingError) as caught:
        completion.root.value()[st.retrieve_company_employees]

    assert f"{words}{LOST}" == str(caught.value)
    with pytest.raises(ResultMissingError) as caught:
        completion[st.retrieve_company_employees(label="y")]

    assert (
        f"no outcome of {EMPLOYEES} ('y'); present: {COMPANY}, {DMS}, {DMS} ('x'){LOST}"
        == str(caught.value)
    )
    with pytest.raises(KeyError):
        completion[st.do_for_people]


def test_missing_outcome_of_a_nested_action() -> None:
    """Where the workflow has the action, no `then` was lost: its outcome is missing."""
    employees, dms = st.retrieve_company_employees(), st.retrieve_company_dms()
    page = st.open_company_page("https://www.linkedin.com/company/acme")
    raw = node(COMPANY, {"then": [node(DMS)]})
    completion = read_completion(raw, page.then(employees, dms))
    with pytest.raises(ResultMissingError) as caught:
        completion.root.value()[employees]

    assert f"no outcome of {EMPLOYEES}; present: {DMS}" == str(caught.value)


def test_get() -> None:
    """It gives None for what has no outcome; what failed is an error all the same."""
    employees, dms = st.retrieve_company_employees(), st.retrieve_company_dms()
    failed = {"success": False, "error": {"type": "unknownError", "message": "no"}}
    raw = node(COMPANY, {"then": [{"actionType": DMS, **failed}]})
    completion = read_completion(raw)
    for keyed in (completion, completion.root.value()):
        assert keyed.get(employees) is None
        with pytest.raises(ActionError):
            keyed.get(dms)
    found = read_completion(node(COMPANY, {"then": node(EMPLOYEES, [])}))
    for keyed in (found, found.root.value()):
        assert [] == keyed.get(employees)


ALIKE = node(
    COMPANY, {"then": [node(EMPLOYEES, [{"name": name}]) for name in ("Ann", "Bob")]}
)
ANN, BOB = [results.Person(name="Ann")], [results.Person(name="Bob")]


def test_equal_siblings_by_identity() -> None:
    """Among equal siblings, the very action of the tree is the key."""
    first, second = st.retrieve_company_employees(), st.retrieve_company_employees()
    completion = read_completion(
        ALIKE,
        st.open_company_page("https://www.linkedin.com/company/acme").then(
            first, second
        ),
    )

    for keyed in (completion, completion.root.value()):
        assert ANN == keyed[first]
        assert BOB == keyed[second]
        with pytest.raises(AmbiguousKeyError, match="label="):
            keyed[st.retrieve_company_employees()]
        with pytest.raises(AmbiguousKeyError, match="label="):
            keyed[st.retrieve_company_employees]


def test_equal_siblings_by_equality() -> None:
    """Siblings of one type that differ are found by an equal action too."""
    few, many = (st.retrieve_company_employees(limit=n) for n in (1, 9))
    completion = read_completion(
        ALIKE,
        st.open_company_page("https://www.linkedin.com/company/acme").then(few, many),
    )
    company = completion.root.value()

    assert ANN == company[st.retrieve_company_employees(limit=1)]
    assert BOB == company[st.retrieve_company_employees(limit=9)]
    with pytest.raises(AmbiguousKeyError):
        company[st.retrieve_company_employees(limit=5)]


def test_equal_siblings_in_a_loop() -> None:
    """Actions in loops are distinguished in each item."""
    first, second = (st.open_person_page(basic_info=b) for b in (True, False))
    loops = st.do_for_people().then(first), st.do_for_people().then(second)
    pages = [node(PERSON, {"name": name}) for name in ("Ann", "Bob")]
    raw = node("st.searchPeople", [{"then": pages}, {"then": pages}])
    completion = read_completion(raw, st.search_people().then(*loops))

    for person in completion.root.value():
        assert "Ann" == person[first].name
        assert "Bob" == person[second].name


def test_equal_roots() -> None:
    """Equal actions under different roots are distinguished."""
    employees = [st.retrieve_company_employees() for _ in range(4)]
    roots = (
        st.open_company_page("https://www.linkedin.com/company/a").then(*employees[:2]),
        st.open_company_page("https://www.linkedin.com/company/b").then(*employees[2:]),
    )
    completion = read_completion([ALIKE, ALIKE], roots)
    first, second = (completion[root] for root in roots)

    assert first is completion.roots[0].data
    assert second is completion.roots[1].data
    assert BOB == first[employees[1]]
    assert BOB == second[employees[3]]


@pytest.mark.parametrize("count", [1, 3])
def test_equal_siblings_of_another_number(count: int) -> None:
    """If the number of outcomes differs, position identifies none of them."""
    first, second = st.retrieve_company_employees(), st.retrieve_company_employees()
    raw = node(COMPANY, {"then": [node(EMPLOYEES, [])] * count})
    completion = read_completion(
        raw,
        st.open_company_page("https://www.linkedin.com/company/acme").then(
            first, second
        ),
    )
    with pytest.raises(AmbiguousKeyError):
        completion[first]


def test_equal_siblings_of_an_unknown_workflow() -> None:
    """Without the workflow, only a label distinguishes equal siblings."""
    with pytest.raises(AmbiguousKeyError, match="label="):
        read_completion(ALIKE).root.value()[st.retrieve_company_employees()]


def test_labels_distinguish_siblings() -> None:
    """A label is enough, also without the workflow."""
    people = [connection("pending", "a"), connection("connected", "b")]
    completion = read_completion(people)
    key = st.check_connection_status("https://www.linkedin.com/in/whoever", label="b")

    assert "connected" == completion[key].connection_status
    assert completion.roots[0] is completion.find(label="a")
    with pytest.raises(ResultMissingError, match="no outcome has the label 'c'"):
        completion.find(label="c")
    with pytest.raises(AmbiguousKeyError, match="2 outcomes have the label 'a'"):
        read_completion([people[0], people[0]]).find(label="a")


def test_label_of_another_type() -> None:
    """A label that is not a string is ignored."""
    outcome = read_completion(connection("pending") | {"label": 5}).root

    assert outcome.label is None


def test_custom_action() -> None:
    """An unknown action yields its JSON, and is a key like any other."""
    new = custom("st.somethingNew", level=3)
    child = node("st.somethingNew", {"x": [1], "then": connection("pending")})
    completion = read_completion(node(COMPANY, {"then": child}))

    assert child["data"] is completion[new]
    assert "pending" == completion[st.check_connection_status].connection_status
    assert "st.somethingNew" == completion.root.children[0].action_type


# Typed values


def test_unknown_fields_are_kept() -> None:
    """Unknown fields are in ``extra``, and ``raw`` is the JSON as received."""
    data: dict[str, Any] = {"name": "Acme", "mood": "good", "score": None, "then": []}
    page = read_completion(node(COMPANY, data)).root.value()

    assert data is page.raw
    assert {"mood": "good", "score": None} == page.extra


def test_unknown_words_are_kept() -> None:
    """An unknown enum value is kept as it is."""
    status = read_completion(connection("enthralled")).root.value()

    assert "enthralled" == status.connection_status
    assert {} == status.extra


@pytest.mark.parametrize("spelling", ["employeesCount", "employeeCount"])
def test_both_spellings(spelling: str) -> None:
    """Both spellings of a renamed field fill one attribute."""
    page = read_completion(node(COMPANY, {spelling: 500})).root.value()

    assert 500 == page.employees_count
    assert {} == page.extra


def test_two_spellings_at_once() -> None:
    """The newer spelling wins; the older one is in ``extra`` if it differs."""
    data: dict[str, Any] = {"employeesCount": 5000, "employeeCount": 5000}
    same = read_completion(node(COMPANY, data)).root.value()
    page = read_completion(node(COMPANY, data | {"employeeCount": 6})).root.value()

    assert {} == same.extra
    assert 5000 == page.employees_count
    assert {"employeeCount": 6} == page.extra


def test_null_spelling() -> None:
    """A null under the newer spelling does not hide the older one."""
    data: dict[str, Any] = {"employeesCount": None, "employeeCount": 6}
    page = read_completion(node(COMPANY, data)).root.value()

    assert 6 == page.employees_count
    assert {} == page.extra


@pytest.mark.parametrize(
    ("cls", "wire", "value"),
    [
        pytest.param(st.open_company_page, "name", 5, id="number-for-text"),
        pytest.param(st.open_company_page, "employeesCount", "5", id="text-for-number"),
        pytest.param(
            st.open_company_page, "employeesCount", True, id="flag-for-number"
        ),
        pytest.param(st.open_company_page, "employeesCount", 5.0, id="half-for-whole"),
        pytest.param(st.open_company_page, "employeeCount", "5", id="older-spelling"),
        pytest.param(st.open_company_page, "ventureFinancing", 1, id="number-for-flag"),
        pytest.param(st.open_post, "images", "x", id="text-for-list"),
        pytest.param(st.open_post, "images", ["x", 5], id="bad-element"),
        pytest.param(st.open_post, "images", {}, id="object-for-list"),
        pytest.param(st.open_post, "author", "Ann", id="text-for-object"),
        pytest.param(st.open_post, "author", [{"name": "Ann"}], id="list-for-object"),
        pytest.param(st.open_job, "salary", 5, id="number-for-object"),
        pytest.param(st.check_connection_status, "connectionStatus", 5, id="word"),
    ],
)
def test_value_of_another_type(cls: Any, wire: str, value: Any) -> None:
    """A value of an unexpected type is in ``extra`` and affects nothing else."""
    (wires, name) = next(
        (also, attribute)
        for attribute, also in json_names_of(cls.result).items()
        if wire in also
    )
    data = {wire: value, "text": "as it was", "name": "too"} | {wire: value}
    made = read_completion(node(cls.action_type, data)).root.value()

    assert wire in wires
    # Of a list, the elements that fit are shown.
    assert (["x"] if value == ["x", 5] else None) == getattr(made, name)
    assert value is made.extra[wire]
    for other in {"text", "name"} - {wire}:
        assert data[other] == getattr(made, other, made.extra.get(other))


def test_whole_amounts_stay_whole() -> None:
    """A whole number is accepted where any number is, and stays whole."""
    data = {"salary": {"minAmount": 3, "maxAmount": 4.5}}
    salary = read_completion(node("st.openJob", data)).root.value().salary

    assert results.Salary(min_amount=3, max_amount=4.5) == salary
    assert isinstance(salary.min_amount, int)


def test_nested_objects() -> None:
    """Nested objects are typed, each with its own unknown fields."""
    author = {
        "name": "Ann",
        "mood": 1,
        "viewerState": {"connectionDegree": "2nd", "x": 2},
    }
    post = read_completion(node("st.openPost", {"author": author})).root.value()

    assert "2nd" == post.author.viewer_state.connection_degree
    assert {"mood": 1} == post.author.extra
    assert {"x": 2} == post.author.viewer_state.extra
    assert author is post.author.raw
    assert {} == post.extra


def test_list_with_a_bad_element() -> None:
    """An element that is not an object is an empty one, and keeps its JSON."""
    raw = node(EMPLOYEES, [{"name": "Ann"}, "Bob", None, {"name": "Cy"}])
    ann, bob, empty, cy = read_completion(raw).root.value()

    assert ("Ann", None, None, "Cy") == (ann.name, bob.name, empty.name, cy.name)
    assert "Bob" == bob.raw
    assert {"": "Bob"} == bob.extra
    assert {} == empty.extra


def test_page_of_another_type() -> None:
    """A page whose data is not an object is empty, and keeps the data in ``extra``."""
    page = read_completion(node(COMPANY, "oops")).root.value()

    assert results.CompanyPage() == page
    assert {"": "oops"} == page.extra


def test_list_of_another_type() -> None:
    """A list whose data is not a list is empty; the outcome keeps the data."""
    outcome = read_completion(node(EMPLOYEES, "oops")).root

    assert [] == outcome.data
    assert "oops" == outcome.raw["data"]


def test_void_with_data() -> None:
    """The data of a void action is in the outcome's JSON."""
    outcome = read_completion(node("st.reactToPost", {"x": 1})).root

    assert outcome.data is None
    assert {"x": 1} == outcome.raw["data"]


# Equality, text, copies


def test_results_compare_by_value() -> None:
    """Results of one class are equal if their attributes are, whatever the JSON."""
    ann = results.Person(name="Ann")
    read = read_completion(node(EMPLOYEES, [{"name": "Ann", "x": 1}])).root.value()[0]

    assert ann == read
    assert ann != results.Person(name="Bob")
    assert ann != results.DecisionMaker(name="Ann")
    assert ann != "Ann"
    with pytest.raises(TypeError, match="unhashable"):
        hash(ann)


def test_text_of_results() -> None:
    """The repr of a result shows the attributes that are set, as Python."""
    post = results.Post(
        author=results.ActorWithUrn(name="Ann"), images=["u"], has_poll=False
    )

    assert (
        "Post(images=['u'], has_poll=False, author=ActorWithUrn(name='Ann'))"
        == repr(post)
    )
    assert "CompanyPage()" == repr(results.CompanyPage())
    assert post == eval(repr(post), vars(results))


def test_text_of_outcomes() -> None:
    """The repr of an outcome shows its type, label, success and data."""
    outcome = read_completion(connection("pending", "a")).root

    assert (
        "Outcome(action_type='st.checkConnectionStatus', label='a', success=True, "
        "data=ConnectionStatus(connection_status='pending'))"
    ) == repr(outcome)


def test_text_of_a_completion() -> None:
    """The repr of a completion counts the errors of the whole tree."""
    raw = node(COMPANY, {"then": node(DMS, error="x")})

    assert f"<Completion of {COMPANY}, 1 errors>" == repr(read_completion(raw))


def by_pickle(value: Any) -> Any:
    """Return *value* after pickling."""
    return pickle.loads(pickle.dumps(value))


@pytest.mark.parametrize("key", [5, int, custom])
def test_wrong_key_says_what_a_key_is(key: Any) -> None:
    """Anything but an action or the class of one is refused as a key."""
    completion = read_completion(node(COMPANY, {"then": node(DMS)}))
    page = completion.root.value()
    for look in (completion.__getitem__, completion.all, page.__getitem__):
        with pytest.raises(
            TypeError, match="a key must be an action or the class of one"
        ):
            look(key)


def test_equal_actions_under_two_roots() -> None:
    """Equal actions under two roots are distinguished by identity."""
    first, second = st.retrieve_company_dms(), st.retrieve_company_dms()
    one = st.open_company_page("https://www.linkedin.com/company/a").then(first)
    two = st.open_company_page("https://www.linkedin.com/company/b").then(second)
    raw = [
        node(COMPANY, {"then": node(DMS, [{"name": name}])}) for name in ("Ann", "Bob")
    ]
    completion = read_completion(raw, (one, two))

    assert "Ann" == completion[first][0].name
    assert "Bob" == completion[second][0].name
    with pytest.raises(AmbiguousKeyError, match="several places"):
        completion[st.retrieve_company_dms()]


def test_missing_sibling_makes_the_others_ambiguous() -> None:
    """If one of two equal siblings is missing, it is unknown which one."""
    twins = (st.retrieve_company_dms(), st.retrieve_company_dms())
    workflow = st.open_company_page("https://www.linkedin.com/company/a").then(*twins)
    completion = read_completion(node(COMPANY, {"then": node(DMS)}), workflow)
    with pytest.raises(AmbiguousKeyError, match="1 of 2 outcomes of"):
        completion[twins[0]]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, by_pickle])
def test_copies(copied: Any) -> None:
    """A completion is copied and pickled with its workflow, errors and parents."""
    few, many = (st.retrieve_company_employees(limit=n) for n in (1, 9))
    dms = st.retrieve_company_dms()
    raw = copy.deepcopy(ALIKE)
    raw["data"]["then"].append(node(DMS, error="x"))
    raw["data"]["mood"] = "good"
    workflow = st.open_company_page("https://www.linkedin.com/company/acme").then(
        few, many, dms
    )
    completion = copied(read_completion(raw, workflow, "wf-1"))

    assert raw == completion.raw
    assert "wf-1" == completion.workflow_id
    assert ANN == completion[few]
    assert BOB == completion.root.value()[many]
    assert {"mood": "good"} == completion.root.value().extra
    assert completion.root.raw is completion.raw
    with pytest.raises(ActionError, match="so it is") as caught:
        completion[dms]
    again = copied(caught.value)

    assert str(caught.value) == str(again)
    assert ANN == again.completion[few]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, by_pickle])
def test_copies_of_errors(copied: Any) -> None:
    """An error is copied and pickled with its completion."""
    dms = st.retrieve_company_dms()
    raw = node(COMPANY, {"name": "Acme", "then": node(DMS, error="x")})
    (error,) = read_completion(
        raw,
        st.open_company_page("https://www.linkedin.com/company/acme").then(dms),
        "wf-1",
    ).errors
    again = copied(error)

    assert str(error) == str(again)
    assert ("x", DMS, None) == (again.type, again.action_type, again.label)
    assert "wf-1" == again.workflow_id
    (inside,) = again.completion.errors

    assert str(error) == str(inside)
    assert again.completion is inside.completion


# Published examples


ANSWERED = [
    pytest.param(example, id=f"{index}-{example['kind']}")
    for index, example in enumerate(EXAMPLES)
    if example["completion"] is not None
]


@pytest.mark.parametrize("example", ANSWERED)
def test_published_example(example: dict[str, Any]) -> None:
    """Each published completion is read completely to typed values."""
    definition = example["workflow"]
    # Two of them show an action without the parent that it needs.
    workflow = load_workflow(definition, check=False)
    completion = read_completion(example["completion"], workflow)
    for (_, raw), outcome in zip(
        nodes_of(example["completion"]), completion.walk(), strict=True
    ):
        cls = ACTIONS[raw["actionType"]]

        assert raw is outcome.raw
        assert raw["success"] == outcome.success
        assert raw.get("label") == outcome.label
        check_yield(cls.result, raw.get("data"), outcome)
        if not outcome.success:
            assert outcome.error is not None
            assert raw["error"]["type"] == outcome.error.type
            assert raw["error"]["message"] in str(outcome.error)


def check_yield(result: Any, data: Any, outcome: Outcome[Any]) -> None:
    """Check that all of *data* is in the attributes."""
    if not outcome.success or result is types.NoneType:
        assert outcome.data is None
        return
    if result is Any:
        assert outcome.data is data
        return
    made: Any = outcome.data
    if typing.get_origin(result) is list:
        (item,) = typing.get_args(result)
        found, items = made, data or []
    else:
        item, found, items = result, [made], [data]

    assert len(items) == len(found)
    for raw, each in zip(items, found, strict=True):
        assert item is type(each)
        check_object(raw, each)


def wires_of(made: Result) -> dict[str, tuple[str, ...]]:
    """Return the attributes of a result with their JSON names."""
    cls: Any = type(made)
    return json_names_of(cls)


def check_object(raw: Any, made: Result) -> None:
    """Check that *made* shows all of *raw*, and that *raw* is its JSON."""
    assert raw is made.raw
    assert {} == made.extra
    shown: dict[str, Any] = {}
    for name, wires in wires_of(made).items():
        given_as = [wire for wire in wires if wire in (raw or {})]
        value = getattr(made, name)
        if not given_as:
            assert value is None
        elif isinstance(value, Result):
            check_object(raw[given_as[0]], value)
        else:
            assert raw[given_as[0]] == value
        shown |= dict.fromkeys(given_as)

    assert set(raw or {}) - {"then"} == set(shown)


def test_published_values() -> None:
    """The attributes of the published examples have the documented values."""
    found: list[Any] = [
        read_completion(e["completion"]).root.data
        for e in EXAMPLES
        if e["completion"] is not None
    ]
    company = next(f for f in found if isinstance(f, results.CompanyPage))
    person = next(f for f in found if isinstance(f, results.PersonPage) and f.name)
    post = next(f for f in found if isinstance(f, results.Post))

    assert 500 == company.employees_count
    assert 2019 == company.year_founded
    assert company.venture_financing is True
    assert "https://www.linkedin.com/in/SInQBmjJ015eLr8" == person.hashed_url
    assert 37 == person.followers_count
    assert (27, 8, False) == (post.reactions_count, post.comments_count, post.has_poll)
    assert post.repost_text is None
    assert results.SocialSellingIndex(ssi=78, industry_top=15, network_top=10) in found


# Properties


@each_action
@settings(max_examples=15, deadline=None)
@given(source=draws.data())
def test_any_completion_is_read(action_type: str, source: draws.DataObject) -> None:
    """Every outcome is typed, and in its place in the tree."""
    workflow = source.draw(nested_in_a_tree(ACTIONS[action_type]))
    raw = source.draw(completions(workflow, fail=True))
    completion = read_completion(raw, workflow)
    found = outcomes_by_node(completion)

    assert raw is completion.raw
    assert {id(record) for _, record in nodes_of(raw)} == set(found)
    for _, record in nodes_of(raw):
        outcome = found[id(record)]
        known = ACTIONS.get(record["actionType"])

        assert record["success"] == outcome.success
        result = Any if known is None else known.result
        check_yield(result, record.get("data"), outcome)


@settings(max_examples=60, deadline=None)
@given(workflow=workflows, source=draws.data())
def test_every_action_is_a_key(workflow: Any, source: draws.DataObject) -> None:
    """The actions of the tree find their own outcomes by position."""
    raw = source.draw(completions(workflow, fail=False))
    completion = read_completion(raw, workflow)
    roots = workflow if isinstance(workflow, tuple) else (workflow,)
    check_siblings_by_key(roots, completion.top)


def check_siblings_by_key(actions: Any, siblings: Any) -> None:
    """Check that each of *actions* picks its outcome among *siblings*."""
    expected = list(seen(actions))

    assert len(expected) == len(siblings.outcomes)
    for action in expected:
        same = [
            (one, outcome)
            for one, outcome in zip(expected, siblings.outcomes, strict=True)
            if (one.action_type, one.label) == (action.action_type, action.label)
        ]
        mine = next(outcome for one, outcome in same if one is action)
        twins = [one for one, _ in same if one is action]

        assert action.action_type == mine.action_type
        assert action.label == mine.label
        if len(twins) == 1:
            assert mine is siblings.pick(action)
        for below in mine.branches:
            check_siblings_by_key(action.children, below)


@settings(max_examples=200, deadline=None)
@given(workflow=workflows, source=draws.data())
def test_any_broken_value(workflow: Any, source: draws.DataObject) -> None:
    """A replaced value anywhere does not change how the rest is read."""
    raw = source.draw(completions(workflow, fail=True))
    path = source.draw(draws.sampled_from([*places(raw)]))
    new = source.draw(json_values | draws.sampled_from(sorted(ACTIONS)))
    broken = replaced(raw, path, new)
    before = outcomes_by_node(read_completion(raw, workflow))
    completion = read_completion(broken, workflow)
    after = outcomes_by_node(completion)

    assert broken is completion.raw
    for place, record in nodes_of(raw):
        if path == place[: len(path)]:
            continue  # it was replaced, too
        outcome = after[id(at(broken, place))]
        if place != path[: len(place)]:
            was = before[id(record)]

            assert (was.success, was.data) == (outcome.success, outcome.data)
    for outcome in completion.walk():
        for made in results_in(outcome.data):
            check_nothing_lost(made)
    check_siblings(raw, broken, path, before, after)
    for key in ACTIONS.values():
        for keyed in (completion, *(root.data for root in completion.roots)):
            if isinstance(keyed, Completion | Result):
                # No other error is allowed.
                with contextlib.suppress(
                    ActionError, AmbiguousKeyError, ResultMissingError
                ):
                    keyed[key]


def check_nothing_lost(made: Result) -> None:
    """Check that all of the JSON is in an attribute, nested, or in ``extra``."""
    if not isinstance(made.raw, dict):
        assert ({} if made.raw is None else {"": made.raw}) == made.extra
        return
    names = {w: n for n, also in wires_of(made).items() for w in also}
    for wire, value in made.raw.items():
        shown = getattr(made, names[wire]) if wire in names else None
        if isinstance(shown, Result):
            shown = shown.raw
        fits = wire in names and type(value) is type(shown) and value == shown
        nested = wire == "then" and isinstance(value, dict | list)
        null = value is None and (wire in names or wire == "then")

        assert (fits or nested or null) == (wire not in made.extra)


def check_siblings(raw: Any, broken: Any, path: Any, before: Any, after: Any) -> None:
    """Check that the other values of an object are the same as *before*."""
    holders = [p for p, _ in nodes_of(raw) if (*p, "data") == path[: len(p) + 1]]
    if not holders:
        return
    holder = max(holders, key=len)
    inside = path[len(holder) + 1 :]
    was, now = before[id(at(raw, holder))].data, after[id(at(broken, holder))].data
    if inside and isinstance(inside[0], int) and isinstance(was, list):
        index, *inside = inside
        rest = [*was[:index], *was[index + 1 :]]

        assert rest == [*now[:index], *now[index + 1 :]]
        was, now = was[index], now[index]
    if inside and isinstance(was, Result):
        for name, wires in wires_of(was).items():
            if inside[0] not in wires:
                assert getattr(was, name) == getattr(now, name)


# Results as dicts, and their moments


def test_a_label_is_a_key() -> None:
    """`completion["label"]` is what the action with the label yields."""
    raw = {"actionType": "st.retrieveSSI", "label": "a", "success": True, "data": {}}
    completion = read_completion([raw, {**raw, "label": None}])

    assert completion.find(label="a").data is completion["a"]
    with pytest.raises(
        ResultMissingError, match="no outcome has the label 'b'; labels: 'a'"
    ):
        completion["b"]


def test_a_result_becomes_a_dict() -> None:
    """`to_dict` gives all attributes as JSON values that nothing else shares."""
    raw = {
        "name": "Ada",
        "viewerState": {"connectionDegree": "1st", "new": [1]},
        "future": {"a": 1},
    }
    person = structure(raw, results.Person)
    found = person.to_dict()

    assert ("Ada", None) == (found["name"], found["location"])
    assert {"connection_degree": "1st", "extra": {"new": [1]}} == found["viewer_state"]
    assert {"future": {"a": 1}} == found["extra"]
    assert found == json.loads(json.dumps(found))
    found["extra"]["future"]["a"] = 2
    assert {"future": {"a": 1}} == person.extra
    assert "extra" not in structure({"name": "Ada"}, results.Person).to_dict()


def test_a_list_in_a_result_becomes_a_list_of_dicts() -> None:
    """Objects in lists become dicts, other items stay."""
    raw = {"messages": [{"text": "a"}]}
    (message,) = structure(raw, results.Conversation).to_dict()["messages"]
    post = structure({"images": ["u"]}, results.Post).to_dict()

    assert "a" == message["text"]
    assert ["u"] == post["images"]


@pytest.mark.parametrize("read", [dict, list, iter, lambda page: "name" in page])
def test_a_result_is_not_a_dict(read: Any) -> None:
    """The error of using a result as a dict names `to_dict`."""
    with pytest.raises(TypeError, match=r"CompanyPage is not iterable; use \.to_dict"):
        read(results.CompanyPage())
    with pytest.raises(TypeError, match=r"use \.name, \.to_dict\(\), or an action"):
        results.CompanyPage()["name"]  # type: ignore[index]
    with pytest.raises(TypeError, match=r"use \.employees_count, \.to_dict\(\)"):
        results.CompanyPage()["employeesCount"]  # type: ignore[index]
    for name in ("st.retrieveCompanyDMs", "retrieveCompanyDMs"):
        with pytest.raises(TypeError, match=r"is not a dict; use \.to_dict\(\), or"):
            results.CompanyPage()[name]  # type: ignore[index]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2023-01-02T12:30:00Z", dt.datetime(2023, 1, 2, 12, 30, tzinfo=dt.UTC)),
        ("2023-01-02T14:30:00+02:00", dt.datetime(2023, 1, 2, 12, 30, tzinfo=dt.UTC)),
        ("2023-01-02", dt.datetime(2023, 1, 2, tzinfo=dt.UTC)),
        ("2 weeks ago", None),
        (None, None),
    ],
)
def test_a_time_is_a_datetime_too(text: str | None, moment: dt.datetime | None) -> None:
    """The text stays; what is not ISO 8601 has no datetime."""
    post = structure({"time": text}, results.Post)

    assert (text, moment) == (post.time, post.time_datetime)
    assert "time_datetime" not in post.to_dict()
    assert "*time* as a datetime" in str(results.Post.time_datetime.__doc__)
