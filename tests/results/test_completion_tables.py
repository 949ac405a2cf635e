"""Tables have columns that follow from the action, and lose nothing of the rows."""

from __future__ import annotations

import datetime as dt
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import hostile_text
import polars as pl
import pyarrow as pa
import pytest
from completion_strategies import completions, places, replaced
from hypothesis import given, settings
from hypothesis import strategies as draws
from strategies import odd_values, workflows

from linkedapi_async import Completion, custom, operations, results, st
from linkedapi_async._results import columns
from linkedapi_async._results.completion import Result, Timestamp, json_names_of, result
from linkedapi_async._results.key import ACTIONS
from linkedapi_async._results.places import class_of
from linkedapi_async._utils.spelling import json_name
from linkedapi_async._wire.read import read_completion, structure
from linkedapi_async.tables import Table, table


Row = dict[str, Any]
ADA = "https://www.linkedin.com/in/ada"
ACME = "https://www.linkedin.com/company/acme"
RESULTS = [
    cls
    for cls in vars(results).values()
    if isinstance(cls, type) and issubclass(cls, Result)
]
AROUND = {
    *("extra", "data", "workflow_id", "action_type", "label", "success"),
    *("asked", "error", "from"),
}


@draws.composite
def drawn(draw: draws.DrawFn) -> Completion:
    """Draw any completion, read with or without its workflow."""
    workflow = draw(workflows)
    raw = draw(completions(workflow, fail=True))
    return read_completion(raw, workflow if draw(draws.booleans()) else None, "wf")


@draws.composite
def odd(draw: draws.DrawFn) -> Completion:
    """Draw a completion with something unexpected in any place."""
    workflow = draw(workflows)
    raw = draw(completions(workflow, fail=True))
    place = draw(draws.sampled_from([*places(raw)]))
    return read_completion(replaced(raw, place, draw(odd_values)), workflow)


def keys_of(completion: Completion) -> list[Any]:
    """Return a key for each kind of action in a completion."""
    found = {(outcome.action_type, outcome.label) for outcome in completion.walk()}
    return [
        ACTIONS.get(action_type) or custom.raw(action_type, {}, label=label)
        for action_type, label in sorted(found, key=str)
    ]


def read(made: Table) -> list[Row]:
    """Return the rows of a table as pyarrow reads them."""
    rows: list[Row] = pa.table(made).to_pylist()
    return rows


def flat(row: Row) -> Row:
    """Return a row of a table in the form of `Completion.rows`, without null."""
    found: Row = {"extra": row.get("extra") and json.loads(row["extra"])}
    steps = Counter[str]()
    for step in row["from"]:
        name = step.pop("action_type")
        steps[name] += 1
        prefix = f"from.{name}" + f"[{steps[name]}]" * (steps[name] > 1)
        found |= {f"{prefix}.{column}": value for column, value in step.items()}
    for column, value in row.items():
        if isinstance(value, dict):
            found |= dict(dotted(column, value))
        elif column not in {"extra", "from"} and not column.endswith("_datetime"):
            found[column] = value
    return {column: value for column, value in found.items() if value is not None}


def dotted(column: str, value: Row) -> Iterator[tuple[str, Any]]:
    """Visit the columns inside an object."""
    for name, inner in value.items():
        if isinstance(inner, dict):
            yield from dotted(f"{column}.{name}", inner)
        else:
            yield f"{column}.{name}", inner


def held(row: Row) -> Row:
    """Return a row of a completion, with the numbers that no column holds in *extra*."""
    found = {column: value for column, value in row.items() if value is not None}
    for column, value in row.items():
        if not fits(column, value):
            *above, name = column.split(".")
            extra = found.setdefault("extra", {})
            for part in above:
                extra = extra.setdefault(json_name(part), {})
            extra[json_name(name)] = found.pop(column)
    return found


def fits(column: str, value: Any) -> bool:
    """Return whether a column of 64 bits holds a value, computed independently."""
    if isinstance(value, float):
        return True
    if isinstance(value, int) and column.endswith("_amount"):
        return abs(value) <= sys.float_info.max and int(float(value)) == value
    return not isinstance(value, int) or -(2**63) <= value < 2**63


# Values


@settings(max_examples=25)
@given(drawn())
def test_the_values_are_those_of_the_rows(completion: Completion) -> None:
    """A table has the rows of `Completion.rows`, and nothing of them is lost."""
    for key in keys_of(completion):
        if key.action_type in ACTIONS:
            rows = read(completion.table(key))

            assert [held(row) for row in completion.rows(key)] == [*map(flat, rows)]


@settings(max_examples=20)
@given(odd())
def test_odd_data_makes_tables(completion: Completion) -> None:
    """Whatever a completion has in any place, each of its actions gives a table."""
    for key in keys_of(completion):
        made = completion.table(key)

        assert len(completion.rows(key)) == len(made)
        assert pl.DataFrame(made).height == len(read(made))


@settings(max_examples=20)
@given(drawn())
def test_an_unknown_action(completion: Completion) -> None:
    """What an action yields of which no class is known is JSON text, item by item."""
    for key in keys_of(completion):
        if key.action_type not in ACTIONS:
            rows = read(completion.table(key))
            data = [item for o in completion.all(key) for item in items_of(o.raw)]

            assert data == [row["data"] and json.loads(row["data"]) for row in rows]
            assert all("extra" not in row and "asked" not in row for row in rows)


def items_of(node: Row) -> list[Any]:
    """Return the items of a node's data, without what is nested in them."""
    data = node.get("data")
    return [
        {name: value for name, value in item.items() if name != "then"}
        if isinstance(item, dict)
        else item
        for item in (data if isinstance(data, list) else [data])
    ]


def node(action_type: str, data: Any = None, **more: Any) -> Row:
    """Return one action's record in a completion."""
    made = {"actionType": action_type, "success": True, **more}
    return made if data is None else made | {"data": data}


def only(data: Any, key: Any = st.open_post) -> Row:
    """Return the one row of an action that yielded *data*."""
    (row,) = read(read_completion(node(key.action_type, data)).table(key))
    return row


def test_employees() -> None:
    """Each employee is a row, with the company above it."""
    employees = st.retrieve_company_employees(limit=2)
    workflow = st.open_company_page(ACME).then(employees)
    people = [
        {"name": "Ann", "viewerState": {"connectionDegree": "first"}},
        {"name": "Bob", "viewerState": None, "new": {"x": [1]}},
    ]
    inner = node("st.retrieveCompanyEmployees", people)
    raw = node("st.openCompanyPage", {"name": "Acme", "then": inner})
    frame = pl.DataFrame(read_completion(raw, workflow, "wf-1").table(employees))
    above = frame["from"].list.last().struct

    assert ["Ann", "Bob"] == frame["name"].to_list()
    assert [{"connection_degree": "first"}, None] == frame["viewer_state"].to_list()
    assert [None, '{"new":{"x":[1]}}'] == frame["extra"].to_list()
    assert ["wf-1", "wf-1"] == frame["workflow_id"].to_list()
    assert ["Acme", "Acme"] == above.field("name").to_list()
    assert [ACME, ACME] == above.field("company_url").to_list()
    assert "asked" not in frame.columns


def test_failures() -> None:
    """An action that failed is one row with its target and its error."""
    page = st.open_person_page(ADA)
    failed = {"success": False, "error": {"type": "personNotFound", "message": [5]}}
    raw = [node("st.openPersonPage"), node("st.openPersonPage") | failed]
    rows = read(read_completion(raw, (page, page)).table(page))

    assert [True, False] == [row["success"] for row in rows]
    assert [{"person_url": ADA}] * 2 == [row["asked"] for row in rows]
    assert [None, {"type": "personNotFound", "message": "[5]"}] == [
        row["error"] for row in rows
    ]


def test_moments() -> None:
    """A moment is beside its text, in UTC; a text that is none stays."""
    rows = [
        only({"time": text})
        for text in ("2026-11-28T11:00:00.123456+02:00", "1969-12-31T23:59:59Z", "1w")
    ]

    assert [
        dt.datetime(2026, 11, 28, 9, 0, 0, 123456, tzinfo=dt.UTC),
        dt.datetime(1969, 12, 31, 23, 59, 59, tzinfo=dt.UTC),
        None,
    ] == [row["time_datetime"] for row in rows]
    assert "1w" == rows[-1]["time"]


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 2**70])
def test_an_integer_beyond_64_bits(number: int) -> None:
    """An integer that its column cannot hold is in *extra*, and null there."""
    row = only({"reactionCount": number, "commentsCount": 2**63 - 1})

    assert None is row["reactions_count"]
    assert {"reactionsCount": number} == json.loads(row["extra"])
    assert 2**63 - 1 == row["comments_count"]


@pytest.mark.parametrize("number", [2**53 + 1, 10**400])
def test_a_number_that_no_float_equals(number: int) -> None:
    """An amount that its column would round is in *extra*, inside its object."""
    row = only({"salary": {"minAmount": number, "maxAmount": 5}}, st.open_job)

    assert {"min_amount": None, "max_amount": 5.0} == {
        name: row["salary"][name] for name in ("min_amount", "max_amount")
    }
    assert {"salary": {"minAmount": number}} == json.loads(row["extra"])


def test_values_of_an_unexpected_type() -> None:
    """A value that does not fit its column is in *extra*; the column stays as it is."""
    row = only({"images": ["a", 5], "hasPoll": "yes", "text": 7, "author": {"mood": 1}})

    assert ["a"] == row["images"]
    assert [None, None] == [row["has_poll"], row["text"]]
    assert {
        "images": ["a", 5],
        "hasPoll": "yes",
        "text": 7,
        "author": {"mood": 1},
    } == json.loads(row["extra"])


def test_null_and_empty_differ() -> None:
    """A missing list or object is null, an empty one is not."""
    row = only({"images": [], "mentions": None, "author": {}})

    assert [[], None, None] == [row["images"], row["mentions"], row["reposter"]]
    assert {None} == set(row["author"].pop("viewer_state") or [None])
    assert {None} == set(row["author"].values())


def test_half_of_an_emoji() -> None:
    """Half of an emoji, which Arrow cannot hold, is written out as in CSV."""
    row = only({"text": "a\ud83d", "images": ["\ude00", "b"], "new\ud83d": "\ud83d"})

    assert "a\\ud83d" == row["text"]
    assert ["\\ude00", "b"] == row["images"]
    assert {"new\ud83d": "\ud83d"} == json.loads(row["extra"])


def test_hostile_text() -> None:
    """Tables keep hostile text as it was sent."""
    completion = read_completion(hostile_text.completion())
    first, second = read(completion.table(st.open_person_page))

    # Half of an emoji, at its end.
    about = hostile_text.PROFILE["about"].encode(errors="backslashreplace").decode()

    assert hostile_text.PROFILE["headline"] == first["headline"]
    assert [about, about] == [first["about"], second["error"]["message"]]


def test_nested_without_end() -> None:
    """JSON text is made of what came, however deep it is nested."""
    value: Any = [5, {}, {"b": "\ud83d"}]
    for _ in range(100_000):
        value = {"a": [value]}
    text = '{"a":[' * 100_000 + '[5,{},{"b":"\\ud83d"}]' + "]}" * 100_000

    assert f'{{"new":{text}}}' == only({"new": value})["extra"]
    new = custom("st.somethingNew")
    assert text == only(value, new)["data"]


def test_lists_of_objects() -> None:
    """A list of objects is a list of structs; what they have beside is kept in place."""
    kind = columns.attributes_of(results.Conversation)
    raw = {"messages": [{"text": "a"}, {"text": "b", "new": 1}], "type": 5}
    made = structure(raw, results.Conversation)
    found, empty = pa.array(kind.array([made, None])).to_pylist()

    assert ["a", "b"] == [message["text"] for message in found["messages"]]
    assert None is empty
    assert kind.rest
    assert {"type": 5, "messages": [None, {"new": 1}]} == kind.rest(made)
    assert None is kind.rest(structure({"messages": [{}]}, results.Conversation))


def test_a_list_that_lost_an_item() -> None:
    """A list with an item of an unexpected type is in *extra* as a whole."""

    @result
    class Totals(Result):
        """Numbers."""

        numbers: list[int] | None = None

    raw = {"numbers": [2**70, "x", 5]}
    made = structure(raw, Totals)
    kind = columns.attributes_of(Totals)

    assert [{"numbers": [None, 5]}] == pa.array(kind.array([made])).to_pylist()
    assert kind.rest
    assert raw == kind.rest(made)


def test_a_list_of_an_unknown_action() -> None:
    """Each item of a list that an unknown action yields is a row, without what is nested."""
    raw = node("st.somethingNew", [1, {"a": 2, "then": {}}])
    rows = read(read_completion(raw).table(custom("st.somethingNew")))

    assert ["1", '{"a":2}'] == [row["data"] for row in rows]


def test_an_unknown_action_that_failed() -> None:
    """What came with a failure of an unknown action is one row, also a list."""
    raw = node("st.somethingNew", [1, {"a": 2}]) | {"success": False}
    (row,) = read(read_completion(raw).table(custom("st.somethingNew")))

    assert ('[1,{"a":2}]', False) == (row["data"], row["success"])


def test_the_actions_above() -> None:
    """The actions above a row are in order, the outermost first."""
    raw: Any = node("st.retrievePersonSkills", [{"name": "Cooking"}])
    for number in range(3):
        raw = node("st.openPersonPage", {"name": f"Ann {number}", "then": [raw]})
    raw = node("st.searchPeople", [{"name": "Ann"}, {"name": "A", "then": raw}])
    (row,) = read(read_completion(raw).table(st.retrieve_person_skills))

    assert [
        ("st.searchPeople", "A"),
        *[("st.openPersonPage", f"Ann {number}") for number in (2, 1, 0)],
    ] == [(step["action_type"], step["name"]) for step in row["from"]]


def test_operations() -> None:
    """An operation yields a class of its own; its table is that of its root action."""
    workflow = operations.fetch_person(ADA, skills=True)
    skills = node("st.retrievePersonSkills", [{"name": "Cooking"}])
    raw = node("st.openPersonPage", {"name": "Ada", "new": 1, "then": [skills]})
    completion = read_completion(raw, workflow)
    (row,) = read(completion.table(workflow))

    assert isinstance(completion.root.data, operations.FetchedPerson)
    assert ("Ada", '{"new":1}') == (row["name"], row["extra"])
    assert ["Cooking"] == [
        r["name"] for r in read(completion.table(st.retrieve_person_skills))
    ]


def test_a_result_of_another_class() -> None:
    """A result that is no object of the action's class is kept as JSON text."""
    completion = read_completion(node("st.openPersonPage", {"name": "Ada"}))
    completion.root.data = results.Skill(name="Ada", raw={"name": "Ada"})
    (row,) = read(completion.table(st.open_person_page))

    assert (None, '{"name":"Ada"}') == (row["name"], row["extra"])


# Columns


@settings(max_examples=10)
@given(drawn(), drawn())
def test_two_completions_have_one_schema(one: Completion, other: Completion) -> None:
    """Tables of any two completions have the same columns and can be concatenated."""
    for key in [*keys_of(one), *keys_of(other)]:
        made = [one.table(key), other.table(key), table([], key)]
        arrow, again, empty = map(pa.table, made)
        frames = [pl.DataFrame(each) for each in made]

        assert empty.schema.equals(arrow.schema)
        assert empty.schema.equals(again.schema)
        assert arrow.num_rows + again.num_rows == (
            pa.concat_tables([empty, arrow, again]).num_rows
        )
        assert pl.concat(frames).schema == frames[2].schema


def test_types_of_employees() -> None:
    """The types of the columns are exact, without a row that has any of them."""
    text = pl.String()
    above = dict.fromkeys(
        (
            *("action_type", "label", "person_url", "thread_id", "company_hashed_url"),
            *("person_hashed_url", "company_url", "post_url", "post_urn"),
            *("comment_url", "job_url", "skill_name", "name", "title", "public_url"),
            *("hashed_url", "url", "profile_url", "urn"),
        ),
        text,
    )

    assert {
        **dict.fromkeys(("name", "public_url", "headline", "location"), text),
        **dict.fromkeys(("urn", "avatar_url"), text),
        "viewer_state": pl.Struct({"connection_degree": text}),
        **dict.fromkeys(("extra", "workflow_id", "action_type", "label"), text),
        "success": pl.Boolean(),
        "error": pl.Struct({"type": text, "message": text}),
        "from": pl.List(pl.Struct(above)),
    } == dict(pl.DataFrame(table([], st.retrieve_company_employees)).schema)


def test_types_of_posts() -> None:
    """Counts are integers, moments have a time zone, lists and objects are nested."""
    schema = pa.table(table([], st.open_post)).schema
    viewer = pa.struct([("reaction", pa.string()), ("is_own", pa.bool_())])

    assert {
        "reactions_count": pa.int64(),
        "time": pa.string(),
        "time_datetime": pa.timestamp("us", tz="UTC"),
        "images": pa.list_(pa.string()),
        "has_poll": pa.bool_(),
        "viewer_state": viewer,
        "asked": pa.struct([("post_url", pa.string()), ("post_urn", pa.string())]),
    } == {
        name: schema.field(name).type
        for name in (
            *("reactions_count", "time", "time_datetime", "images", "has_poll"),
            *("viewer_state", "asked"),
        )
    }
    assert all(field.nullable for field in schema)


def test_types_for_pandas() -> None:
    """Integers and flags say which of pandas' types may be null; pandas reads that."""
    schema = pa.table(table([], st.open_post)).schema
    named = {c["name"]: c["numpy_type"] for c in schema.pandas_metadata["columns"]}

    assert named == {
        field.name: "Int64" if pa.types.is_int64(field.type) else "boolean"
        for field in schema
        if pa.types.is_int64(field.type) or pa.types.is_boolean(field.type)
    }
    assert {"reactions_count", "has_poll", "success"} <= set(named)


@pytest.mark.parametrize("cls", RESULTS)
def test_columns_of_each_class(cls: Any) -> None:
    """Every attribute of a result, and every moment, is a column of the right type."""
    names = [field.name for field in columns.attributes_of(cls).fields]
    moments = {
        name
        for base in cls.__mro__
        for name, value in vars(base).items()
        if isinstance(value, Timestamp)
    }

    assert [*json_names_of(cls)] == [name for name in names if name not in moments]
    assert moments <= set(names)
    assert moments == {name for name in names if name.endswith("_datetime")}


@pytest.mark.parametrize(
    "action", ACTIONS.values(), ids=lambda action: action.action_type
)
def test_columns_of_each_action(action: Any) -> None:
    """The columns of an action have different names, and targets are text."""
    names = table([], action).columns
    fields = json_names_of(class_of(action.result))

    assert len(set(names)) == len(names)
    assert set(fields) <= set(names)
    assert bool(action.targets) == ("asked" in names)


# Many completions


def people(count: int) -> Completion:
    """Return a completion with *count* people, named by their number."""
    data = [{"name": str(number)} for number in range(count)]
    return read_completion(node("st.searchPeople", data), None, f"wf-{count}")


def test_many_completions(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows of many completions follow each other, in batches without a seam."""
    monkeypatch.setattr(columns, "BATCH", 4)
    made = table((people(count) for count in (3, 0, 2, 1)), st.search_people)
    arrow = pa.table(made)

    assert ["0", "1", "2", "0", "1", "0"] == arrow["name"].to_pylist()
    assert [*["wf-3"] * 3, *["wf-2"] * 2, "wf-1"] == arrow["workflow_id"].to_pylist()
    assert [5, 1] == [batch.num_rows for batch in arrow.to_batches()]
    assert 6 == len(made)
    assert arrow.equals(pa.table(made))


def test_no_completions() -> None:
    """Without completions a table has all its columns and no row."""
    made = table([], st.search_people)
    frame = pl.DataFrame(made)

    assert (0, 0) == (len(made), frame.height)
    assert list(made.columns) == frame.columns
    assert repr(made).startswith("<Table of 0 rows: name, public_url, headline,")


def test_a_table_is_a_schema() -> None:
    """A table gives its columns to what asks only for them."""
    made = people(1).table(st.search_people)

    assert pa.table(made).schema.equals(pa.schema(made))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (people(1), "completions must be several; use completion.table(key) for one"),
        ([people(1), None], "expected a Completion, got None"),
    ],
)
def test_what_are_no_completions(given: Any, message: str) -> None:
    """Anything but completions is refused, with what is expected."""
    with pytest.raises(TypeError, match=re.escape(message)):
        table(given, st.search_people)


def test_a_key_is_an_action() -> None:
    """Anything but an action or the class of one is refused as a key."""
    key: Any = "st.searchPeople"
    with pytest.raises(TypeError, match="a key must be an action"):
        people(1).table(key)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without arro3-core a table raises an error that says what to install."""
    monkeypatch.delitem(sys.modules, columns.__name__)
    monkeypatch.setitem(sys.modules, "arro3.core", None)
    with pytest.raises(ImportError, match=r"pip install 'linkedapi-async\[table\]'"):
        people(1).table(st.search_people)
