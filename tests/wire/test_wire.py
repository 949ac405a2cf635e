"""Workflows to the API's JSON and back; completions are tested with the outcomes."""

import copy
import json
import math
import pathlib
import pickle
import warnings
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as draws
from strategies import (
    LARGE,
    AnyAction,
    json_values,
    odd_definitions,
    plain,
    positions,
    trees,
    workflows,
)

from linkedapi_async import custom, dump_workflow, load_workflow, nv, params, st
from linkedapi_async._actions.action import named_roots
from linkedapi_async._actions.parameters import parameters_of
from linkedapi_async._utils.json import decode_json, encode_json
from linkedapi_async.errors import (
    InvalidDefinitionError,
    ParameterError,
    UnknownValueWarning,
)


EXAMPLES: list[dict[str, Any]] = json.loads(
    (pathlib.Path(__file__).parents[1] / "data" / "examples_workflows.json").read_text(
        "utf-8"
    )
)

few = settings(max_examples=60, deadline=None)

PAGE = st.open_company_page("https://www.linkedin.com/company/acme")

COMPANY_URL = "https://www.linkedin.com/company/acme"

PERSON_URL = "https://www.linkedin.com/in/ada"


def loaded(source: Any, *, check: bool = True) -> Any:
    """Load a workflow without warnings about unknown action types."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownValueWarning)
        return load_workflow(source, check=check)


# Round trips


@given(workflows)
@few
def test_what_is_dumped_loads_as_the_same(workflow: Any) -> None:
    """``load(dump(w)) == w``, for one root and for several."""
    definition = dump_workflow(workflow)
    again = loaded(definition)

    assert workflow == again
    assert hash(workflow) == hash(again)
    assert definition == dump_workflow(again)


@given(workflows)
@few
def test_what_is_sent_loads_as_the_same(workflow: Any) -> None:
    """The bytes of a request load as the same workflow, as str and bytearray too."""
    body = encode_json(dump_workflow(workflow))

    assert workflow == loaded(body)
    assert workflow == loaded(bytearray(body))
    assert workflow == loaded(body.decode())


@given(workflows)
@few
def test_a_legal_workflow_loads_the_same_without_checks(workflow: Any) -> None:
    """``check=False`` changes nothing of a legal workflow."""
    assert workflow == loaded(dump_workflow(workflow), check=False)


@given(trees())
@few
def test_then_as_an_object_or_a_list_is_the_same(tree: AnyAction) -> None:
    """Both forms of ``then`` load as the same tree, empty lists too."""
    definition = dump_workflow(tree)
    assert isinstance(definition, dict)
    for spot in [*positions(tree, definition)]:
        then = spot.definition.setdefault("then", [])
        if not isinstance(then, list):
            spot.definition["then"] = [then]

    assert tree == loaded(definition)


@given(trees())
@few
def test_json_is_as_the_api_documents(tree: AnyAction) -> None:
    """The type is first, one child is an object, several are a list; no nulls."""
    definition = dump_workflow(tree)
    assert isinstance(definition, dict)
    for spot in positions(tree, definition):
        names = [*spot.definition]

        assert "actionType" == names[0]
        assert spot.node.action_type == spot.definition["actionType"]
        assert ("label" in names) == (spot.node.label is not None)
        if isinstance(spot.node, custom):
            continue
        wires = {row.json_name: row.name for row in parameters_of(type(spot.node))}
        sent = set(names) - {"actionType", "label", "then"}

        assert {w for w, n in wires.items() if getattr(spot.node, n) is not None} == (
            sent
        )
        kinds = {0: type(None), 1: dict}

        assert kinds.get(len(spot.node.children), list) is type(
            spot.definition.get("then")
        )


@pytest.mark.parametrize(
    "example", EXAMPLES, ids=lambda e: e.get("source", "").rpartition("/")[2] or None
)
def test_published_examples_come_back(example: dict[str, Any]) -> None:
    """A definition of the API's docs is legal as a root, and dumped unchanged."""
    definition = example["workflow"]
    if "st.retrieveCompanyDMs" in str(definition):
        # Its page shows the action without the open page that it needs.
        page = {
            "actionType": "st.openCompanyPage",
            "companyUrl": "https://www.linkedin.com/company/acme",
        }
        definition = {**page, "then": definition}
    if "'personUrl': 'u'" in str(definition):
        # One has a URL that stands for any.
        definition = {**definition, "personUrl": "https://www.linkedin.com/in/ada"}

    assert definition == dump_workflow(load_workflow(definition))
    assert definition == dump_workflow(load_workflow(json.dumps(definition)))
    assert definition == dump_workflow(load_workflow(definition, check=False))


def test_the_json_of_a_workflow() -> None:
    """The JSON has the set parameters in camel case, in the order of the class."""
    workflow = st.search_people(
        term="dev",
        limit=10,
        filter=params.PeopleFilter(
            locations=["Oslo", "Rome"], first_name="Ada", schools=[]
        ),
    ).then(
        st.do_for_people().then(
            st.open_person_page(basic_info=False, label="page").then(
                st.retrieve_person_posts(limit=20),
                st.retrieve_person_skills(),
            )
        )
    )

    assert (
        b'{"actionType":"st.searchPeople","term":"dev","limit":10,'
        b'"filter":{"firstName":"Ada","locations":["Oslo","Rome"],"schools":[]},'
        b'"then":{"actionType":"st.doForPeople","then":'
        b'{"actionType":"st.openPersonPage","label":"page","basicInfo":false,'
        b'"then":[{"actionType":"st.retrievePersonPosts","limit":20},'
        b'{"actionType":"st.retrievePersonSkills"}]}}}'
    ) == encode_json(dump_workflow(workflow))


def test_objects_in_lists_go_out_as_objects() -> None:
    """Parameter objects in lists are dumped as objects, beside strings."""
    posts = st.search_posts(
        term="x",
        filter=params.PostsFilter(
            from_members=["Bob", params.MemberRef(name="Ada", id="1")]
        ),
    )
    post = st.create_post(
        text="@[a]",
        attachments=[params.PostAttachment(url="i", type="image")],
        mentions=(params.Mention(key="a", name="Ada"),),
    )

    assert [
        {
            "actionType": "st.searchPosts",
            "term": "x",
            "filter": {"fromMembers": ["Bob", {"name": "Ada", "id": "1"}]},
        },
        {
            "actionType": "st.createPost",
            "text": "@[a]",
            "attachments": [{"url": "i", "type": "image"}],
            "mentions": [{"key": "a", "name": "Ada"}],
        },
    ] == dump_workflow((posts, post))
    assert (posts, post) == load_workflow(dump_workflow((posts, post)))


def test_an_array_workflow_is_a_tuple() -> None:
    """A list of one root is a tuple of one; a tuple of dicts loads like a list."""
    one = {"actionType": "st.syncInbox"}

    assert (st.sync_inbox(),) == load_workflow([one])
    assert (st.sync_inbox(),) == load_workflow((one,))
    assert (st.sync_inbox(),) == load_workflow([one], check=False)
    assert [one] == dump_workflow((st.sync_inbox(),))
    assert st.sync_inbox() == load_workflow(one)
    assert one == dump_workflow(st.sync_inbox())


def test_roots_are_numbered() -> None:
    """The path of a root in an array workflow has its index."""
    assert [("root", PAGE)] == [*named_roots(PAGE)]
    assert [("root[0]", PAGE), ("root[1]", PAGE)] == [*named_roots((PAGE, PAGE))]


# Refused definitions


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("{", "root: not JSON: "),
        (b"", "root: not JSON: "),
        (bytearray(b"\xff\xfe"), "root: not JSON: "),
        ("NaN", "root: not JSON: NaN is not JSON"),
        ('{"actionType": Infinity}', "root: not JSON: Infinity is not JSON"),
        ("[" * 100_000, "root: not JSON: nested too deeply"),
        ("5", "root: expected an action, a JSON object, got 5"),
        (None, "root: expected an action, a JSON object, got None"),
        (5, "root: expected an action, a JSON object, got 5"),
        ([], "root: an array workflow must have at least one action"),
        ("[]", "root: an array workflow must have at least one action"),
        (["x"], "root[0]: expected an action, a JSON object, got 'x'"),
        ([[]], "root[0]: expected an action, a JSON object, got []"),
    ],
)
def test_what_is_no_definition(source: Any, problem: str, check: bool) -> None:
    """Broken JSON, scalars and empty lists are refused, also without checks."""
    with pytest.raises(InvalidDefinitionError) as caught:
        load_workflow(source, check=check)

    (found,) = caught.value.problems

    assert str(found).startswith(problem)
    assert "root" == found.path.partition("[")[0]


def test_a_built_workflow_is_no_definition() -> None:
    """A built workflow cannot be loaded; the error shows it."""
    with pytest.raises(InvalidDefinitionError, match=r"got st\.open_company_page"):
        load_workflow(PAGE)


@pytest.mark.parametrize("name", ["limit", "filter", "label"])
def test_null_is_a_value_and_refused(name: str) -> None:
    """A null is never dropped silently: it is a problem, or sent with check=False."""
    definition = {"actionType": "st.searchPeople", name: None}
    with pytest.raises(InvalidDefinitionError, match=f"{name} .* got None"):
        load_workflow(definition)

    assert definition == dump_workflow(load_workflow(definition, check=False))


@pytest.mark.parametrize("label", [None, 5, "\ud800"])
def test_the_label_of_an_unknown_action_is_checked(label: Any) -> None:
    """The label of an unknown action must be a string too."""
    with pytest.raises(InvalidDefinitionError, match="label must") as caught:
        loaded({"actionType": "xy.new", "label": label})

    (problem,) = caught.value.problems

    assert isinstance(problem, ParameterError)
    assert ("xy.new", "root") == (problem.owner, problem.path)


# Unknown types and values


def test_an_unknown_action_type_is_sent_with_one_warning() -> None:
    """It loads as `custom`; the warning suggests the nearest type, if any is near."""
    definition = {
        "actionType": "st.retrievePersonAwards",
        "label": "a",
        "limit": 5,
        "deep": {"a": [1, None, LARGE]},
    }
    tree = {
        "actionType": "st.openPersonPage",
        "personUrl": "https://www.linkedin.com/in/ada",
        "then": definition,
    }
    with pytest.warns(UnknownValueWarning) as caught:
        workflow = load_workflow(tree)

    (warning,) = caught

    assert (
        "root.then[0]: 'st.retrievePersonAwards' is not a known action type and is sent "
        "as it is; the nearest known one is st.retrievePersonPosts"
    ) == str(warning.message)
    assert (
        custom(
            "st.retrievePersonAwards", label="a", limit=5, deep={"a": [1, None, LARGE]}
        )
    ) == workflow.children[0]
    assert tree == dump_workflow(workflow)


def test_an_unknown_action_type_may_be_like_no_other() -> None:
    """Without a similar type the warning suggests none."""
    with pytest.warns(UnknownValueWarning) as caught:
        load_workflow({"actionType": "zzz"})

    (warning,) = caught

    assert str(warning.message).endswith("sent as it is")


@pytest.mark.parametrize(
    "name", ["children", "json", "as_list", "action_type", "self", "params", "class"]
)
def test_an_unknown_action_may_have_any_parameter(name: str) -> None:
    """A parameter with a reserved name is sent like any other."""
    definition = {"actionType": "xy.new", name: []}
    workflow = loaded({**definition, "label": "a"})

    assert {**definition, "label": "a"} == dump_workflow(workflow)
    assert workflow == eval(repr(workflow), {"custom": custom})


@pytest.mark.parametrize("value", ["\ud800", {"a": ["\ud800"]}, {"\ud800": 1}])
def test_an_unknown_action_is_checked_for_json(value: Any) -> None:
    """Values that are not JSON are problems of unknown actions too."""
    with pytest.raises(InvalidDefinitionError, match="lone surrogate") as caught:
        loaded([{"actionType": "xy.new", "value": value}])

    (problem,) = caught.value.problems

    assert isinstance(problem, ParameterError)
    assert "root[0]" == problem.path
    assert problem.parameter.startswith("value")


def test_an_unknown_value_is_sent_with_one_warning() -> None:
    """An unknown value is sent; the warning suggests the nearest one."""
    with pytest.warns(UnknownValueWarning) as caught:
        reaction = st.react_to_post(
            "https://www.linkedin.com/feed/update/urn:li:activity:7461747",
            type="celebrat",
        )

    (warning,) = caught

    assert (
        "st.reactToPost: type has the unknown value 'celebrat', which is sent as it "
        "is; did you mean 'celebrate'?"
    ) == str(warning.message)
    assert (
        b'{"actionType":"st.reactToPost","postUrl":"https://www.linkedin.com/feed/'
        b'update/urn:li:activity:7461747","type":"celebrat"}'
    ) == encode_json(dump_workflow(reaction))


def test_an_unknown_value_like_no_other_lists_what_is_known() -> None:
    """Without a similar value the warning lists all known ones."""
    with pytest.warns(UnknownValueWarning, match=r"known: \('like', 'celebrate', "):
        st.react_to_post(
            "https://www.linkedin.com/feed/update/urn:li:activity:7461747", type="ზ"
        )


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize(
    "definition",
    [
        {"actionType": "st.searchCompanies", "filter": {"sizes": ["1-10", "11-51"]}},
        {"actionType": "st.reactToPost", "postUrl": "urn:li:share:7", "type": "11-51"},
        {
            "actionType": "st.searchPosts",
            "term": "é",
            "filter": {"postedBy": ["me", "11-51"], "fromMembers": ["é"]},
        },
    ],
)
def test_an_unknown_value_of_a_definition_warns_once_too(
    definition: Any, check: bool
) -> None:
    """Loading checks a value several times, and still warns once."""
    with pytest.warns(UnknownValueWarning, match="11-51") as caught:
        workflow = load_workflow(definition, check=check)

    assert definition == dump_workflow(workflow)
    assert 1 == len(caught)


def test_two_unknown_values_warn_once_each() -> None:
    """Each unknown value of one action gives one warning."""
    with pytest.warns(UnknownValueWarning) as caught:
        params.PostsFilter(sort="a", posted_by=["b", "me"], author_industries=["é"])

    assert ["'b',", "'a',"] == [str(w.message).split()[6] for w in caught]


# Without checks


@given(odd_definitions())
@few
def test_unchecked_a_definition_comes_back_as_it_was(definition: Any) -> None:
    """Without checks, any JSON object loads and is dumped unchanged."""
    before = copy.deepcopy(definition)
    workflow = loaded(definition, check=False)

    assert before == definition
    assert before == dump_workflow(workflow)
    assert [before, before] == dump_workflow(
        loaded([definition, definition], check=False)
    )
    assert before == decode_json(encode_json(dump_workflow(workflow))) or holds_large(
        before
    )


def holds_large(value: Any) -> bool:
    """Return whether *value* has a number that orjson reads as a float."""
    if isinstance(value, dict):
        return any(map(holds_large, value.values()))
    if isinstance(value, list):
        return any(map(holds_large, value))
    return isinstance(value, int) and not -(2**63) <= value < 2**64


@pytest.mark.parametrize(
    "definition",
    [
        {},
        {"actionType": None},
        {"actionType": ""},
        {
            "actionType": 5,
            "then": {
                "actionType": "st.openPost",
                "postUrl": "https://www.linkedin.com/feed/update/urn:li:activity:7461747",
            },
        },
        {"actionType": "st.syncInbox", "then": None},
        {"actionType": "st.syncInbox", "then": {}},
        {"actionType": "st.syncInbox", "then": []},
        {"actionType": "st.syncInbox", "then": [{}]},
        {"actionType": "st.syncInbox", "then": [[]]},
        {"actionType": "st.syncInbox", "then": [{}, 5]},
        {"actionType": "st.syncInbox", "then": "x"},
        {"actionType": "st.syncInbox", "label": None},
        {"actionType": "st.syncInbox", "label": 5},
        {"actionType": "st.syncInbox", "actiontype": "x"},
        {"actionType": "st.searchPeople", "limit": LARGE},
        {"actionType": "st.searchPeople", "term": "\ud83d"},
        {"actionType": "\ud83d", "label": "\ud83d", "\ud83d": 1},
        {"actionType": "xy.new", "children": [1], "then": [{"then": 5}]},
    ],
    ids=json.dumps,
)
def test_unchecked_odd_definitions(definition: Any) -> None:
    """Each odd form is loaded, dumped, shown and built again."""
    workflow = loaded(definition, check=False)
    names = {"custom": custom, "st": st, "nv": nv, "params": params}

    assert definition == dump_workflow(workflow)
    assert definition == json.loads(encode_json(dump_workflow(workflow)))
    assert workflow == eval(repr(workflow), names)
    assert workflow == pickle.loads(pickle.dumps(workflow))
    assert str(workflow)


def test_unchecked_only_what_does_not_fit_becomes_custom() -> None:
    """Known nodes around an odd one stay typed, and so do their results."""
    definition = {
        "actionType": "st.openCompanyPage",
        "companyUrl": "https://www.linkedin.com/company/acme",
        "then": [
            {"actionType": "st.retrieveCompanyEmployees", "limit": 0},
            {"actionType": "st.retrieveCompanyDMs", "limit": 3},
        ],
    }
    workflow = loaded(definition, check=False)

    assert [st.open_company_page, custom, st.retrieve_company_dms] == (
        [type(node) for node in workflow.walk()]
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, object()])
def test_what_no_json_can_carry_is_refused_unchecked_too(value: Any) -> None:
    """A value that is not JSON is refused also without checks."""
    definition = {"actionType": "xy.new", "value": value}
    with pytest.raises(ParameterError, match="must be JSON: ") as caught:
        load_workflow(definition, check=False)

    assert ("xy.new", "params") == (caught.value.owner, caught.value.parameter)
    with pytest.raises(InvalidDefinitionError, match="must be a JSON value"):
        loaded(definition)


def test_whole_numbers_of_any_size_survive_text() -> None:
    """JSON text keeps large whole numbers exact."""
    text = '{"actionType":"xy.new","id":123456789012345678901234567890}'
    for source in (text, text.encode(), bytearray(text.encode())):
        workflow = loaded(source)

        assert 123456789012345678901234567890 == workflow.params["id"]
        assert text.encode() == encode_json(dump_workflow(workflow)).replace(b" ", b"")


# Nothing is shared


@given(odd_definitions(), draws.booleans())
@few
def test_a_workflow_shares_nothing_with_its_definition(
    definition: Any, check: bool
) -> None:
    """Changing the input or the output later changes no workflow."""
    try:
        workflow = loaded(definition, check=check)
    except InvalidDefinitionError:
        return
    before, text = dump_workflow(workflow), repr(workflow)
    spoil(definition)
    again = dump_workflow(workflow)

    assert before == again
    spoil(again)

    assert before == dump_workflow(workflow)
    assert text == repr(workflow)


def spoil(value: Any) -> None:
    """Change everything in *value* in place."""
    if isinstance(value, dict):
        for inner in [*value.values()]:
            spoil(inner)
        value.clear()
        value["spoilt"] = True
    elif isinstance(value, list):
        for inner in value:
            spoil(inner)
        value.append("spoilt")


def test_a_list_that_was_given_is_not_kept() -> None:
    """Lists are stored as tuples: changing the list later changes nothing."""
    places: list[str] = ["Oslo"]
    children: list[Any] = [st.do_for_people()]
    found = params.PeopleFilter(locations=places)
    search = st.search_people(filter=found, children=children)
    unknown = custom("xy.new", places=places, children=children)
    places.append("Rome")
    children.append("x")

    assert ("Oslo",) == found.locations
    assert (st.do_for_people(),) == search.children == unknown.children
    assert {"places": ["Oslo"]} == unknown.params
    unknown.params["places"].append("Rome")

    assert {"places": ["Oslo"]} == unknown.params


@given(workflows)
@few
def test_workflows_pickle_copy_and_hash(workflow: Any) -> None:
    """Copies of all kinds are equal and have equal hashes."""
    for again in (
        pickle.loads(pickle.dumps(workflow)),
        copy.copy(workflow),
        copy.deepcopy(workflow),
    ):
        assert workflow == again
        assert hash(workflow) == hash(again)
        assert dump_workflow(workflow) == dump_workflow(again)


@given(trees(), trees())
@few
def test_equal_workflows_are_those_with_equal_json(
    one: AnyAction, other: AnyAction
) -> None:
    """Workflows are equal exactly if their JSON is."""
    same = plain(one) == plain(other) and repr(plain(one)) == repr(plain(other))

    assert (one == other) == same
    assert (one != other) != same


# Encoding


@given(json_values)
@few
def test_any_json_value_is_encoded_as_itself(value: Any) -> None:
    """Values are encoded in UTF-8, and decoded equal."""
    assert value == json.loads(encode_json(value))


def test_what_orjson_refuses_is_encoded_all_the_same() -> None:
    """A lone surrogate is encoded as an escape, a large number in full."""
    assert b'["\\ud83d",1180591620717411303424]' == encode_json(["\ud83d", LARGE])
    assert b'{"a":"\xc3\xa9"}' == encode_json({"a": "é"})


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a":"\\ud83d"}', {"a": "\ud83d"}),
        (b'[1,"\xc3\xa9"]', [1, "é"]),
    ],
)
def test_a_lone_surrogate_spoils_no_answer(body: Any, value: Any) -> None:
    """A truncated emoji is kept as it was received."""
    assert value == decode_json(body)


@pytest.mark.parametrize("body", [b"", b"{", b"NaN", b"[-Infinity]", b"[" * 100_000])
def test_what_is_not_json_is_a_value_error(body: bytes) -> None:
    """Any bytes that are not JSON raise a ValueError."""
    with pytest.raises(ValueError, match=r"."):
        decode_json(body)


@pytest.mark.parametrize("number", [2**63, 2**64 - 1, 2**64, 10**19, -(2**70), 10**40])
def test_an_answer_keeps_every_digit(number: int) -> None:
    """A whole number beyond 64 bits stays exact."""
    value = decode_json(json.dumps({"a": [number, f"{number}"]}).encode())

    assert {"a": [number, str(number)]} == value


# Unknown parameters


NEW = {
    "actionType": "nv.searchCompanies",
    "term": "x",
    "filter": {"sizes": ["1-10"], "moodOfTheDay": {"min": 1}},
    "brandNew": [1, {"a": None}],
}


@pytest.mark.parametrize("check", [True, False])
def test_an_unknown_parameter_is_kept_with_a_warning(check: bool) -> None:
    """The action stays typed, and is dumped with the unknown parameter."""
    with pytest.warns(UnknownValueWarning) as caught:
        search = load_workflow(NEW, check=check)

    assert isinstance(search, nv.search_companies)
    assert {"brandNew": [1, {"a": None}]} == search.extra
    assert search.filter is not None
    assert (("1-10",), {"moodOfTheDay": {"min": 1}}) == (
        search.filter.sizes,
        search.filter.extra,
    )
    assert NEW == dump_workflow(search)
    assert ["filter: moodOfTheDay is not a known", "brandNew is not a known"] == [
        str(w.message).partition("Companies: ")[2].partition(" parameter")[0]
        for w in caught
    ]


def test_what_is_unknown_takes_part_in_equality() -> None:
    """`then`, pickle, deepcopy and repr keep unknown parameters."""
    bare = st.open_company_page(COMPANY_URL)
    search = bare.with_extra({"b": 1, "a": 2})

    assert bare != search
    assert bare.with_extra({"a": 2}).with_extra({"b": 1}) == search
    assert hash(bare.with_extra({"a": 2, "b": 1})) == hash(search)
    assert {"a": 2, "b": 1} == search.then(st.retrieve_company_posts()).extra
    assert search == pickle.loads(pickle.dumps(search)) == copy.deepcopy(search)
    assert search == eval(repr(search), {"st": st})
    assert "a=2 b=1" in str(search)
    filters = params.CompaniesFilter().with_extra({"a": 1})
    assert filters == eval(repr(filters), {"params": params})
    dumped: Any = dump_workflow(st.search_companies(filter=filters))
    assert {"a": 1} == dumped["filter"]
    assert {"x": 1, "y": 2} == custom("n", x=1).with_extra({"y": 2}).params


@pytest.mark.parametrize(
    ("extra", "parameter", "reason"),
    [
        (
            {"companyUrl": "https://www.linkedin.com/company/x"},
            "companyUrl",
            "is a known parameter",
        ),
        ({"then": []}, "then", "is a known parameter"),
        ({"new": {1, 2}}, "new", "must be a JSON value"),
        ({"new": {"a": math.nan}}, "new.a", "must be a JSON value"),
    ],
)
def test_extra_is_for_unknown_parameters(
    extra: Any, parameter: str, reason: str
) -> None:
    """A known parameter, or a value that is not JSON, is refused as extra."""
    with pytest.raises(ParameterError) as caught:
        st.open_company_page(COMPANY_URL).with_extra(extra)

    assert parameter == caught.value.parameter
    assert caught.value.reason.startswith(reason)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("companyurl", "companyurl is not a parameter; did you mean companyUrl?"),
        ("basicInfos", "basicInfos is not a parameter; did you mean basicInfo?"),
        ("lable", "lable is not a parameter; did you mean label?"),
        ("basic_info", "basic_info is a Python name; in JSON it is basicInfo"),
        ("company_url", "company_url is a Python name; in JSON it is companyUrl"),
        ("children", "children is a Python name; in JSON it is then"),
    ],
)
def test_a_name_near_to_a_known_one_is_an_error(name: str, words: str) -> None:
    """A misspelt parameter is an error that suggests the right name."""
    node = {"actionType": "st.openCompanyPage", name: "x"}
    if name != "company_url":
        node["companyUrl"] = COMPANY_URL
    with pytest.raises(InvalidDefinitionError) as caught:
        load_workflow(node)

    assert [f"root: st.openCompanyPage: {words}"] == list(
        map(str, caught.value.problems)
    )


def test_an_unknown_parameter_is_json_too() -> None:
    """A value that is not JSON is a problem with its place."""
    with pytest.raises(InvalidDefinitionError, match="brandNew must be a JSON value"):
        load_workflow({"actionType": "st.retrieveSSI", "brandNew": object()})


@pytest.mark.parametrize(
    ("action_type", "meant"),
    [
        ("st.openCompnyPage", "st.openCompanyPage"),
        ("st.open_company_page", "st.openCompanyPage"),
        ("st.OpenCompanyPage", "st.openCompanyPage"),
        ("openPost", "st.openPost"),
    ],
)
def test_a_misspelt_action_type_is_unknown(action_type: str, meant: str) -> None:
    """A misspelt action type is not a nesting error, at the root and below."""
    node = {"actionType": action_type, "companyUrl": COMPANY_URL}
    for source in (node, {"actionType": "st.retrieveSSI", "then": node}):
        with pytest.raises(InvalidDefinitionError) as caught:
            load_workflow(source)

        assert f"{action_type!r} is not an action type; did you mean {meant}?" in str(
            caught.value.problems[0]
        )


# The form of then


POSTS = {"actionType": "st.retrievePersonPosts"}


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize(
    "then", [[], POSTS, [POSTS], [POSTS, POSTS]], ids=["empty", "one", "list", "two"]
)
def test_then_keeps_its_form(then: Any, check: bool) -> None:
    """The form of ``then`` is kept, because a completion follows it."""
    node = {"actionType": "st.openPersonPage", "personUrl": PERSON_URL, "then": then}

    assert node == dump_workflow(load_workflow(node, check=check))


def test_the_form_of_then_is_not_compared() -> None:
    """Equality, hashes and copies do not depend on the form of ``then``."""
    node = {"actionType": "st.openPersonPage", "personUrl": PERSON_URL}
    one = load_workflow({**node, "then": POSTS})
    many = load_workflow({**node, "then": [POSTS]})
    empty = load_workflow({**node, "then": []})

    assert one == many
    assert hash(one) == hash(many)
    assert load_workflow(node) == empty
    dumped: Any = dump_workflow(empty.then(st.retrieve_person_posts()))
    assert [POSTS] == dumped["then"]
    assert custom.raw("x", {}, as_list=True) == custom.raw("x", {})


def test_the_schema_of_a_file_is_ignored() -> None:
    """``$schema`` is ignored at the root; below it is an unknown parameter."""
    node = {"$schema": "workflow.json", "actionType": "st.retrieveSSI"}

    assert st.retrieve_ssi() == load_workflow(node)
    assert (st.retrieve_ssi(),) == load_workflow([node])
    with pytest.warns(UnknownValueWarning, match="schema"):
        load_workflow(
            {
                "actionType": "st.openCompanyPage",
                "companyUrl": COMPANY_URL,
                "then": {"$schema": "x", "actionType": "st.retrieveCompanyPosts"},
            }
        )
