"""Completions become flat rows, and nothing that came is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import hostile_text
import pytest
from completion_strategies import completions, nodes_of
from hypothesis import given
from hypothesis import strategies as draws
from strategies import workflows

from linkedapi_async import Completion, custom, nv, results, st
from linkedapi_async._results.completion import Result, json_names_of, result
from linkedapi_async._results.key import ACTIONS
from linkedapi_async._results.rows import _column_paths
from linkedapi_async._wire.read import read_completion


ADA, BOB = "https://www.linkedin.com/in/ada", "https://www.linkedin.com/in/bob"


RESULTS = [
    cls
    for cls in vars(results).values()
    if isinstance(cls, type) and issubclass(cls, Result)
]


def scalars(value: Any) -> Iterator[tuple[str, Any]]:
    """Visit all scalars of a JSON value except null, each with its type."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from scalars(item)
    elif value is not None:
        yield type(value).__name__, value


def own(value: Any) -> Any:
    """Return *value* without its children."""
    if isinstance(value, list):
        return [own(item) for item in value]
    if isinstance(value, dict):
        return {name: item for name, item in value.items() if name != "then"}
    return value


AROUND = {"workflow_id", "action_type", "label", "success", "error", "asked", "from"}
"""The first parts of the columns around the data."""


def of_data(row: dict[str, Any]) -> dict[str, Any]:
    """Return the cells of *row* with what the action itself yielded."""
    around = {
        "workflow_id",
        "action_type",
        "label",
        "success",
        "error",
        "asked",
        "from",
    }
    return {k: v for k, v in row.items() if k.partition(".")[0] not in around}


@draws.composite
def drawn(draw: draws.DrawFn) -> Completion:
    """Draw any completion, read with or without its workflow."""
    workflow = draw(workflows)
    raw = draw(completions(workflow, fail=True))
    return read_completion(raw, workflow if draw(draws.booleans()) else None)


@given(drawn())
def test_nothing_is_lost(completion: Completion) -> None:
    """Every scalar and every error is in a row; a list gives a row for each item."""
    rows = completion.rows()
    nodes = [node for _, node in nodes_of(completion.raw)]
    data = [own(node["data"]) for node in nodes if "data" in node]
    errors = [node["error"] for node in nodes if "error" in node]

    assert {*scalars(data)} <= {*scalars([of_data(row) for row in rows])}
    assert [(e["type"], e["message"]) for e in errors] == [
        (row["error.type"], row["error.message"]) for row in rows if not row["success"]
    ]
    assert len(rows) == sum(
        len(node["data"]) if isinstance(node.get("data"), list) else 1 for node in nodes
    )
    assert json.dumps(rows)


@given(drawn())
def test_all_rows_have_the_same_columns(completion: Completion) -> None:
    """All rows have the same columns, and with a key the same cells."""
    for key in (None, *{outcome.action_type for outcome in completion.walk()}):
        cls = None if key is None else ACTIONS.get(key)
        rows = completion.rows(cls)

        assert 1 >= len({tuple(row) for row in rows})
        if cls is not None:
            every = [r for r in completion.rows() if r["action_type"] == key]
            assert [{k: v for k, v in r.items() if v is not None} for r in every] == [
                {k: v for k, v in r.items() if v is not None} for r in rows
            ]


def node(action_type: str, data: Any = None, **more: Any) -> dict[str, Any]:
    """Return one action's record in a completion."""
    made = {"actionType": action_type, "success": True, **more}
    return made if data is None else made | {"data": data}


ACME = "https://www.linkedin.com/company/acme"
PERSON = ["name", "public_url", "headline", "location", "urn", "avatar_url"]


def test_items_of_a_list() -> None:
    """Each employee is a row, with the company of the page."""
    employees = st.retrieve_company_employees(limit=2)
    workflow = st.open_company_page(ACME).then(employees)
    people = [
        {"name": "Ann", "viewerState": {"connectionDegree": "first"}},
        {"name": "Bob", "publicUrl": "u", "viewerState": None, "new": {"x": [1]}},
    ]
    raw = node(
        "st.openCompanyPage", {"then": node("st.retrieveCompanyEmployees", people)}
    )
    rows = read_completion(raw, workflow, "wf-1").rows(employees)
    page = "from.st.openCompanyPage"

    assert [
        *PERSON,
        *("viewer_state.connection_degree", "extra"),
        *("workflow_id", "action_type", "label", "success"),
        *("error.type", "error.message"),
        *(f"{page}.label", f"{page}.company_url"),
        *(f"{page}.name", f"{page}.public_url", f"{page}.urn"),
    ] == list(rows[0])
    assert ["first", None] == [row["viewer_state.connection_degree"] for row in rows]
    assert [None, {"new": {"x": [1]}}] == [row["extra"] for row in rows]
    assert ["wf-1", "wf-1"] == [row["workflow_id"] for row in rows]
    assert [ACME, ACME] == [row[f"{page}.company_url"] for row in rows]
    assert rows == read_completion(raw, workflow, "wf-1").rows(
        st.retrieve_company_employees
    )


def test_what_is_nested_in_items() -> None:
    """A row of a child has the identity of the items above it, page by page."""
    experience = st.retrieve_person_experience()
    inner = st.open_person_page(label="inner").then(experience)
    outer = nv.open_person_page().then(inner)
    raw: Any = node("st.retrievePersonExperience", [{"position": "cook"}, {}])
    raw = node("st.openPersonPage", {"name": "Ann A.", "then": [raw]}, label="inner")
    raw = node("nv.openPersonPage", {"then": [raw]})
    raw = node("st.openPersonPage", {"name": "Ann", "then": [raw]})
    raw = node("nv.searchPeople", [{"name": "A", "then": [raw]}, {"name": "B"}])
    first, second = read_completion(raw).rows(experience)

    assert "cook" == first["position"]
    assert None is second["position"]
    assert {
        "from.nv.searchPeople.name": "A",
        "from.st.openPersonPage.name": "Ann",
        "from.st.openPersonPage[2].name": "Ann A.",
        "from.st.openPersonPage[2].label": "inner",
    } == {
        name: value
        for name, value in first.items()
        if name.startswith("from.") and value is not None
    }
    workflow = st.open_person_page("https://www.linkedin.com/in/ada").then(outer)
    again = read_completion(raw["data"][0]["then"][0], workflow).rows(inner)

    assert [ADA] == [row["from.st.openPersonPage.person_url"] for row in again]


def test_what_was_nested_beside_a_list() -> None:
    """A child beside a list has the identity of none of its items."""
    raw = node("st.searchPeople", [{"name": "A"}], then=node("st.openPersonPage"))
    (row,) = read_completion(raw).rows(st.open_person_page)

    assert "from.st.searchPeople.label" in row
    assert "from.st.searchPeople.name" not in row


def test_targets_of_what_yields_nothing() -> None:
    """An action without data is a row with its target and its success."""
    people = [st.send_message(url, text="hi") for url in (ADA, BOB)]
    failed = {"success": False, "error": {"type": "personNotFound", "message": "no"}}
    raw = [node("st.sendMessage"), node("st.sendMessage") | failed]
    rows = read_completion(raw, tuple(people)).rows(st.send_message)

    assert [(ADA, True, None, None), (BOB, False, "personNotFound", "no")] == [
        (r["asked.person_url"], r["success"], r["error.type"], r["error.message"])
        for r in rows
    ]
    assert ["extra", "workflow_id"] == list(rows[0])[:2]


def test_all_actions_at_once() -> None:
    """Without a key there are rows of all actions, with their types first."""
    raw = node("st.openCompanyPage", {"name": "Acme", "then": [node("st.retrieveSSI")]})
    rows = read_completion(raw).rows()

    assert ["workflow_id", "action_type", "label", "success", "name"] == list(rows[0])[
        :5
    ]
    assert ["st.openCompanyPage", "st.retrieveSSI"] == [r["action_type"] for r in rows]
    assert list(rows[0]) == list(rows[1])


def test_lists_stay_lists() -> None:
    """A list stays a list, also one with an item of an unexpected type."""
    raw = node("st.openPost", {"images": ["a", "b"], "hashtags": ["x", 5]})
    (row,) = read_completion(raw).rows()

    assert ["a", "b"] == row["images"]
    assert {"hashtags": ["x", 5]} == row["extra"]


def test_inner_extras() -> None:
    """Unknown fields of a nested object are in ``extra``, under its JSON name."""
    author = {"name": "Ann", "mood": "good", "viewerState": {"connectionDegree": 1}}
    raw = node("st.openPost", {"author": author, "reposter": 7, "reactionCount": 1})
    (row,) = read_completion(raw).rows()

    assert "Ann" == row["author.name"]
    assert None is row["author.viewer_state.connection_degree"]
    assert 1 == row["reactions_count"]
    assert {
        "author": {"mood": "good", "viewerState": {"connectionDegree": 1}},
        "reposter": 7,
    } == row["extra"]


@pytest.mark.parametrize(
    ("data", "extras"),
    [
        ([], []),
        (None, []),
        ({"then": []}, []),
        ({"name": "Ann"}, [{"name": "Ann"}]),
        (7, [{"": 7}]),
        ([7, {"name": "Ann"}], [{"": 7}, None]),
    ],
)
def test_something_else_than_a_list(data: Any, extras: list[Any]) -> None:
    """Data that is not a list, or an item that is not an object, is kept."""
    rows = read_completion(node("st.searchPeople", data)).rows()

    assert extras == [row["extra"] for row in rows]
    assert all({"extra", *PERSON} <= row.keys() for row in rows)


@pytest.mark.parametrize(
    "garbage",
    [
        7,
        "x",
        None,
        ["x"],
        {},
        {"data": {"a": 1}},
        node("st.x", success=False, error="no"),
    ],
)
def test_no_outcome_at_all(garbage: Any) -> None:
    """Any JSON as a completion gives rows."""
    rows = read_completion(garbage).rows()

    assert {*scalars(garbage)} <= {*scalars(rows)}
    assert rows


@pytest.mark.parametrize(
    ("data", "cells"),
    [
        (
            {"a": {"b": 1, "c": {}}, "d": [2]},
            [{"data.a.b": 1, "data.a.c": {}, "data.d": [2]}],
        ),
        ({"a.b": 1, "a": {"b": 2}}, [{"data.a\\.b": 1, "data.a.b": 2}]),
        ({"a\\": {"b": 1}, "a\\.b": 2}, [{"data.a\\\\.b": 1, "data.a\\\\\\.b": 2}]),
        ({"x": 1, "then": []}, [{"data.x": 1}]),
        ({"x": 1, "then": "soon"}, [{"data.x": 1, "data.then": "soon"}]),
        ({}, [{"data": {}}]),
        ([{"x": 1}, 5], [{"data.x": 1, "data": None}, {"data.x": None, "data": 5}]),
        ([], []),
        (5, [{"data": 5}]),
        (None, [{"data": None}]),
    ],
)
def test_an_unknown_action(data: Any, cells: list[dict[str, Any]]) -> None:
    """The data of an unknown action is flattened by its own names, without clashes."""
    new = custom("st.somethingNew")
    rows = read_completion(node("st.somethingNew", data), new).rows(new)

    assert cells == [of_data(row) for row in rows]


def test_nested_without_end() -> None:
    """Pages and values are flattened however deep they are nested."""
    raw: Any = node("xy.new", {})
    value: Any = 5
    for _ in range(2000):
        value = {"a": value}
    raw["data"] = value
    for _ in range(200):
        raw = node("st.openPersonPage", {"then": [raw]})
    rows = read_completion(raw).rows()

    assert 201 == len(rows)
    assert 5 == rows[-1]["data" + ".a" * 2000]
    assert "from.st.openPersonPage[200].name" in rows[-1]


def test_a_key_is_an_action() -> None:
    """Anything but an action or the class of one is refused as a key."""
    key: Any = "st.openPersonPage"
    with pytest.raises(TypeError, match="a key must be an action"):
        read_completion(node("st.openPersonPage")).rows(key)


@pytest.mark.parametrize("cls", RESULTS)
def test_columns_of_each_class(cls: Any) -> None:
    """Every attribute is a column, and none clashes with the columns around it."""
    columns = dict(_column_paths(cls))
    heads = {column.partition(".")[0] for column in columns}

    assert len(columns) == len(_column_paths(cls))
    assert set(json_names_of(cls)) == heads
    if cls is not results.ActionUse:  # is what an endpoint answers, never in rows
        assert set() == heads & {*AROUND, "extra", "data"}


def test_a_list_of_objects() -> None:
    """A list of typed objects is shown as the JSON received."""

    @result
    class Team(Result):
        """People together."""

        people: list[results.Person] | None = None

    ann = results.Person(name="Ann", raw={"name": "Ann", "new": 1})
    raw = node("st.openPersonPage", {"people": [ann.raw]})
    completion = read_completion(raw)
    completion.root.data = Team(people=[ann], raw=raw["data"])
    (row,) = completion.rows()

    assert [{"name": "Ann", "new": 1}] == row["people"]


def test_hostile_text_is_kept() -> None:
    """Rows keep hostile text as it was sent."""
    page = st.open_person_page(basic_info=True)
    workflow = st.search_people().then(st.do_for_people().then(page))
    rows = read_completion(hostile_text.completion(), workflow).rows(
        st.open_person_page
    )

    assert [True, False] == [row["success"] for row in rows]
    assert {*scalars(hostile_text.PROFILE)} <= {*scalars(rows[0])}
