"""Actions in Python: building, ``repr``, drawing, walking, wrong calls."""

import copy
import inspect
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from strategies import (
    AnyAction,
    any_objects,
    sample,
    trees,
    workflows,
    wrongs_of,
)

from linkedapi_async import (
    UnknownValueWarning,
    custom,
    dump_workflow,
    load_workflow,
    nv,
    params,
    st,
)
from linkedapi_async._actions.action import Action
from linkedapi_async._actions.parameters import (
    Parameter,
    ParameterInfo,
    info,
    parameters_of,
)
from linkedapi_async._actions.scopes import Anywhere
from linkedapi_async._actions.validators import Integer, String, TargetString, Validator
from linkedapi_async._results.key import ACTIONS
from linkedapi_async._utils.spelling import json_name, nearest
from linkedapi_async._utils.text import short_repr
from linkedapi_async.errors import ParameterError


few = settings(max_examples=60, deadline=None)

NAMES = {"st": st, "nv": nv, "params": params, "custom": custom}
CLASSES: list[Any] = [*ACTIONS.values()] + [
    cls for name in params.__all__ if isinstance(cls := getattr(params, name), type)
]

ACME = "https://www.linkedin.com/company/acme"

PAGE = st.open_company_page(ACME, basic_info=True)
EMPLOYEES = st.retrieve_company_employees(limit=3)


def unknown(**params: Any) -> custom:
    """Build an unknown action with parameters of any name."""
    return custom("x", **params)


def refusal(build: Any, *args: Any, **kwargs: Any) -> ParameterError:
    """Return the error that calling *build* raises."""
    with pytest.raises(ParameterError) as caught:
        build(*args, **kwargs)
    return caught.value


def all_rows() -> Iterator[Any]:
    """Yield every parameter of every class, with a readable id."""
    for cls in CLASSES:
        for row in parameters_of(cls):
            yield pytest.param(
                cls, row, id=f"{cls.__module__[16:]}.{cls.__name__}.{row.name}"
            )


# As text


@given(workflows)
@few
def test_repr_is_python_that_builds_it_again(workflow: Any) -> None:
    """`eval` of the text of an action gives an equal action."""
    assert workflow == eval(repr(workflow), NAMES)


@pytest.mark.parametrize(
    ("workflow", "text"),
    [
        (st.sync_inbox(), "st.sync_inbox()"),
        (nv.sync_inbox(label="a"), "nv.sync_inbox(label='a')"),
        (
            PAGE.then(EMPLOYEES),
            (
                "st.open_company_page('https://www.linkedin.com/company/acme', "
                "basic_info=True)"
                ".then(st.retrieve_company_employees(limit=3))"
            ),
        ),
        (
            st.open_post(label="a", post_urn="urn:li:share:7"),
            "st.open_post(post_urn='urn:li:share:7', label='a')",
        ),
        (
            params.CompaniesFilter(sizes=["1-10"]),
            "params.CompaniesFilter(sizes=('1-10',))",
        ),
        (custom("x"), "custom('x')"),
        (custom("x", label="a", b=[1]), "custom('x', label='a', b=[1])"),
        (unknown(**{"a b": None}), "custom('x', **{'a b': None})"),
        (unknown(**{"class": 1}), "custom('x', **{'class': 1})"),
        (unknown(**dict.fromkeys(["\ufb00"], 1)), "custom('x', **{'\ufb00': 1})"),
        (custom.raw("", {"a": 1}), "custom.raw('', {'a': 1})"),
        (
            custom.raw("x", {"then": 1}, label="a", as_list=True),
            "custom.raw('x', {'then': 1}, label='a', as_list=True)",
        ),
        (
            custom.raw("x", {"a": "\ud83d"}),
            r"custom.raw('x', {'a': '\ud83d'})",
        ),
    ],
    ids=str,
)
def test_repr(workflow: Any, text: str) -> None:
    """The text has only the parameters that were set, the target by position."""
    assert text == repr(workflow)
    assert workflow == eval(text, NAMES)


def test_str_draws_the_tree() -> None:
    """Each line has a type, its label and its parameters, with children below it."""
    tree = st.search_people(term="dev", label="all").then(
        st.do_for_people().then(
            st.open_person_page(basic_info=True).then(
                st.retrieve_person_posts(limit=3), custom("st.new", label="n", a=[1])
            ),
        ),
        custom.raw("", {"actionType": 5}).then(st.do_for_people()),
    )

    assert (
        "st.searchPeople label='all' term='dev'\n"
        "├─ st.doForPeople\n"
        "│  └─ st.openPersonPage basicInfo=True\n"
        "│     ├─ st.retrievePersonPosts limit=3\n"
        "│     └─ st.new label='n' a=[1]\n"
        "└─ (no actionType) actionType=5\n"
        "   └─ st.doForPeople"
    ) == str(tree)


@given(trees())
@few
def test_walk_visits_all_parents_first(tree: AnyAction) -> None:
    """Every action is visited once, after its parent."""
    nodes = [*tree.walk()]
    seen = [id(tree)]
    for node in nodes:
        assert id(node) in seen
        seen += map(id, node.children)

    assert nodes[0] is tree
    assert sorted(seen) == sorted(map(id, nodes))
    assert str(tree).startswith(tree.action_type)


# Building


def test_then_gives_a_new_action_and_leaves_the_old_one() -> None:
    """`then` adds children after the present ones, and changes nothing in place."""
    one = PAGE.then(EMPLOYEES)
    two = one.then(st.retrieve_company_dms(), EMPLOYEES)

    assert () == PAGE.children
    assert (EMPLOYEES,) == one.children
    assert (EMPLOYEES, st.retrieve_company_dms(), EMPLOYEES) == two.children
    assert (ACME, True) == (two.company_url, two.basic_info)
    assert one == one.then()
    assert one is not one.then()


def test_a_fragment_is_used_many_times() -> None:
    """One action may be nested in several trees, and several times in one."""
    people = st.do_for_people().then(st.open_person_page())
    search = st.search_people(term="x").then(people)
    page = PAGE.then(
        st.retrieve_company_employees().then(people),
        st.retrieve_company_dms().then(people),
    )

    assert search.children[0] is people
    assert [people, people] == [c.children[0] for c in page.children]
    assert 7 == len([*page.walk()])


def test_children_can_be_given_by_name() -> None:
    """`children=` takes any sequence, and gives the same action as `then`."""
    tree = st.open_company_page(ACME, basic_info=True, children=[EMPLOYEES])

    assert PAGE.then(EMPLOYEES) == tree
    assert hash(PAGE.then(EMPLOYEES)) == hash(tree)
    assert PAGE == st.open_company_page(ACME, basic_info=True, children=[])
    assert hash(PAGE) == hash(st.open_company_page(ACME, basic_info=True, children=[]))
    assert custom("x") == custom("x", children=[])


def test_equality_and_hash() -> None:
    """Actions are equal if type, parameters, label and children are."""
    assert PAGE == st.open_company_page(ACME, basic_info=True)
    assert PAGE != st.open_company_page(ACME)
    assert PAGE != st.open_company_page(ACME, basic_info=True, label="a")
    assert PAGE != PAGE.then(EMPLOYEES)
    assert PAGE != "st.openCompanyPage"
    assert st.sync_inbox() != nv.sync_inbox()
    assert 1 == len({PAGE, copy.deepcopy(PAGE)})
    assert custom("x", a=1, b=2) == custom("x", b=2, a=1)
    assert hash(custom("x", a=1, b=2)) == hash(custom("x", b=2, a=1))
    assert custom("x", a=1) != custom("x", a=True)
    assert custom("x") != custom("x", a=None)
    assert 1 == len(
        {params.Mention(key="a", name="b"), params.Mention(key="a", name="b")}
    )


@pytest.mark.parametrize(
    "thing",
    [PAGE, custom("x", a=1), params.Mention(key="a", name="b")],
    ids=["action", "custom", "params"],
)
def test_everything_is_frozen_and_small(thing: Any) -> None:
    """No attribute can be set or added, and objects have no dict."""
    name = attrs.fields(type(thing))[0].name
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(thing, name, "x")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        delattr(thing, name)
    with pytest.raises((AttributeError, TypeError)):
        thing.no_such_name = "x"

    assert not hasattr(thing, "__dict__")


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_no_class_has_a_dict(cls: Any) -> None:
    """Every class of the catalogue and all its bases have slots."""
    assert all("__dict__" not in base.__dict__ for base in cls.__mro__)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_the_signature_is_the_real_one(cls: Any) -> None:
    """Help and editors show all parameters, and which ones are required."""
    found = inspect.signature(cls).parameters
    expected = {row.name: row for row in parameters_of(cls)}

    assert {*expected} == {*found} - {"label", "children"}
    assert issubclass(cls, Action) == ({"label", "children"} <= {*found})
    for name, row in expected.items():
        required = found[name].default is inspect.Parameter.empty
        by_position = found[name].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD

        assert row.required == required
        assert row.positional == by_position


def test_the_signature_as_text() -> None:
    """The signature is the same before and after the first call."""
    expected = [("company_url", True), ("label", False), ("children", False)]
    st.open_company_page(ACME)
    found = inspect.signature(st.open_company_page).parameters.values()

    assert [*expected, ("basic_info", False)] == [
        (p.name, p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD) for p in found
    ]
    assert {"str | None"} == {
        str(found_one.annotation)
        for found_one in found
        if found_one.name in {"company_url", "label"}
    }


# Unknown actions


def test_custom_is_a_write_of_no_generation() -> None:
    """An unknown action counts as a write of any generation, and yields plain JSON."""
    unknown = custom("st.somethingNew", personUrl="https://www.linkedin.com/in/ada")

    assert ("write", Any, (Anywhere,)) == (
        unknown.effect,
        unknown.result,
        unknown.where,
    )
    assert ("account_api", "linked_api") == unknown.generations
    assert "st.somethingNew" == unknown.action_type
    assert {
        "actionType": "st.somethingNew",
        "personUrl": "https://www.linkedin.com/in/ada",
    } == dump_workflow(unknown)
    assert (None, (), True) == (unknown.category, unknown.targets, unknown.has_outcome)


def test_the_category_of_custom_is_for_the_pace() -> None:
    """It is not sent and not compared, and further parameters keep it."""
    made = custom("st.dance", label="a", category="stMessages", step=1)
    more = made.with_extra({"speed": 2}).then(custom("st.sing"))
    named = custom.from_json("st.dance", {"category": "slow"}, None)

    assert {"actionType": "st.dance", "label": "a", "step": 1} == dump_workflow(made)
    assert "stMessages" == made.limit_category == more.limit_category
    assert made == custom("st.dance", label="a", step=1)
    assert "custom('st.dance', label='a', category='stMessages', step=1)" == repr(made)
    assert ({"category": "slow"}, None) == (named.params, named.limit_category)
    assert "custom.raw('st.dance', {'category': 'slow'})" == repr(named)
    for wrong in ("slow", ["stMessages"], 5):
        with pytest.raises(ParameterError, match="category must be one of stPersonPro"):
            custom("st.dance", category=wrong)  # type: ignore[arg-type]


def test_the_parameters_of_custom_are_json_verbatim() -> None:
    """Names and values are sent unchanged; a tuple is sent as a list."""
    unknown = custom("x", snake_case=1, n=None, deep={"a": (1, 2.5, "é", True)})

    assert {
        "actionType": "x",
        "snake_case": 1,
        "n": None,
        "deep": {"a": [1, 2.5, "é", True]},
    } == dump_workflow(unknown)


def test_raw_checks_nothing() -> None:
    """`custom.raw` sends any JSON object as it is."""
    odd = custom.raw(
        "x", {"label": 5, "then2": "\ud83d"}, children=[EMPLOYEES], as_list=True
    )

    assert {
        "actionType": "x",
        "label": 5,
        "then2": "\ud83d",
        "then": [{"actionType": "st.retrieveCompanyEmployees", "limit": 3}],
    } == dump_workflow(odd)


@pytest.mark.parametrize(
    ("args", "kwargs", "parameter", "reason"),
    [
        (("",), {}, "action_type", "must have at least 1 character"),
        ((5,), {}, "action_type", "must be a string, got 5"),
        (("\ud83d",), {}, "action_type", "lone surrogate"),
        (("x",), {"then": []}, "then", "not a parameter; use children"),
        (("x",), {"actionType": "y"}, "actionType", "not a parameter; use action_type"),
        (("x",), {"label": 5}, "label", "must be a string, got 5"),
        (("x",), {"a": {1, 2}}, "a", "must be a JSON value, got {1, 2}"),
        (("x",), {"a": float("nan")}, "a", "must be a JSON value, got nan"),
        (("x",), {"a": [{"b": ["\ud83d"]}]}, "a[0].b[0]", "lone surrogate"),
        (("x",), {"a": {"b": {5: 1}}}, "a.b", "must have string keys, got 5"),
        (("x",), {"a": {"\ud83d": 1}}, "a", "lone surrogate"),
        (("x",), {"\ud83d": 1}, "params", "lone surrogate"),
        (("x",), {"children": [5]}, "then[0]", "must be an action, got 5"),
    ],
)
def test_wrong_calls_of_custom(
    args: tuple[Any, ...], kwargs: dict[str, Any], parameter: str, reason: str
) -> None:
    """Values that are not JSON, and reserved names, are refused."""
    error = refusal(custom, *args, **kwargs)

    assert parameter == error.parameter
    assert reason in error.reason
    assert "x" == error.owner or "action_type" == parameter


def test_children_of_a_nameless_action_are_checked_too() -> None:
    """The error of an action without a type names its class, custom."""
    error = refusal(custom.raw("", {}).then, 5)

    assert ("custom", "then[0]") == (error.owner, error.parameter)


# Wrong calls


@pytest.mark.parametrize(("cls", "row"), [*all_rows()])
def test_what_a_parameter_refuses(cls: Any, row: Parameter) -> None:
    """A value of another type or out of bounds is refused, with the reason."""
    least = {r.name: sample(r) for r in parameters_of(cls) if r.required}
    for value, place, words in wrongs_of(row):
        error = refusal(cls, **{**least, row.name: value})
        owner = getattr(cls, "action_type", f"params.{cls.__name__}")

        assert (owner, row.name + place) == (error.owner, error.parameter)
        if value is None:
            assert "is required" == error.reason
        else:
            assert words in error.reason
        assert "" == error.path


@pytest.mark.parametrize(("cls", "row"), [*all_rows()])
def test_bounds_are_inclusive(cls: Any, row: Parameter) -> None:
    """The minimum and the maximum are accepted, in ASCII and beyond."""
    minimum = getattr(row.validator, "minimum", None)
    maximum = getattr(row.validator, "maximum", None)
    match row.validator:
        case Integer():
            values = [v for v in (minimum, maximum) if v is not None]
        case TargetString():
            return
        case String():
            sizes = [v for v in (minimum, maximum) if v is not None]
            values = ["x" * size for size in sizes] + ["é" * size for size in sizes]
        case _:
            return
    for value in values:
        assert value == row.validator.check(value)
        assert value is row.validator.check(value)


@given(any_objects(st.search_posts))
@few
def test_what_was_given_is_kept(search: Any) -> None:
    """Values are stored unchanged; only sequences become tuples."""
    given = {
        name: getattr(search, name)
        for name in ("term", "limit", "filter", "custom_search_url", "label")
    }

    assert search == st.search_posts(**given)


@pytest.mark.parametrize(
    ("build", "args", "kwargs", "message"),
    [
        (
            st.open_company_page,
            ("u",),
            {"basic_inf": True},
            "st.openCompanyPage: basic_inf is not a parameter; did you mean basic_info?",
        ),
        (
            st.open_company_page,
            ("u",),
            {"basicInfo": True},
            "st.openCompanyPage: basicInfo is not a parameter; did you mean basic_info?",
        ),
        (
            st.sync_inbox,
            (),
            {"zzz": 1},
            "st.syncInbox: zzz is not a parameter; known: label, children",
        ),
        (
            st.open_company_page,
            ("u", True),
            {},
            (
                "st.openCompanyPage: True is one argument too many; only company_url "
                "is accepted by position, pass the others by name"
            ),
        ),
        (
            st.sync_inbox,
            ("u",),
            {},
            "st.syncInbox: 'u' is not accepted by position; pass parameters by name",
        ),
        (
            st.send_message,
            ("https://www.linkedin.com/in/ada",),
            {},
            "st.sendMessage: text is required",
        ),
        (
            st.retrieve_company_employees,
            (),
            {"limit": True},
            "st.retrieveCompanyEmployees: limit must be a whole number, got True",
        ),
        (
            st.open_company_page,
            ("",),
            {},
            "st.openCompanyPage: company_url must have at least 1 character, got ''",
        ),
        (
            st.open_company_page,
            (ACME,),
            {"label": 5},
            "st.openCompanyPage: label must be a string, got 5",
        ),
        (
            st.open_company_page,
            (ACME,),
            {"label": "\ud83d"},
            (
                "st.openCompanyPage: label must not have a lone surrogate, which JSON "
                "cannot carry, got '\\ud83d'"
            ),
        ),
        (
            st.do_for_skills,
            (),
            {"skill_name_patterns": ["a", ""]},
            (
                "st.doForSkills: skill_name_patterns[1] must have at least 1 character, "
                "got ''"
            ),
        ),
        (
            st.do_for_skills,
            (),
            {"skill_name_patterns": b"abc"},
            (
                "st.doForSkills: skill_name_patterns must be a list, got b'abc'; "
                "write [b'abc']"
            ),
        ),
        (
            params.MemberRef,
            ("Ada",),
            {},
            "params.MemberRef: 'Ada' is not accepted by position; pass parameters by name",
        ),
        (
            params.MemberRef,
            (),
            {"person_hashed": "u"},
            "params.MemberRef: person_hashed is not a parameter; did you mean person_hashed_url?",
        ),
    ],
)
def test_wrong_calls(build: Any, args: Any, kwargs: Any, message: str) -> None:
    """The error names the owner of the parameter and the nearest known name."""
    assert message == str(refusal(build, *args, **kwargs))


@pytest.mark.parametrize("sequence", [("a",), ["a"], range(0)], ids=repr)
def test_any_sequence_is_accepted_as_a_list(sequence: Any) -> None:
    """Lists, tuples and other sequences are kept as tuples."""
    loop = st.do_for_skills(skill_name_patterns=sequence)

    assert tuple(sequence) == loop.skill_name_patterns


def test_a_string_of_another_class_is_a_string() -> None:
    """Subclasses of str are accepted and compare as strings."""

    class Url(str):
        """A string of its own class."""

        __slots__ = ()

    page = st.open_company_page(Url(ACME), label=Url("a"))

    assert st.open_company_page(ACME, label="a") == page


def test_long_values_are_cut_in_messages() -> None:
    """A message shows at most 60 characters of a value."""
    assert "'" + "x" * 56 + "…" == short_repr("x" * 100)
    assert "5" == short_repr(5)
    assert r"'\ud83d'" == short_repr("\ud83d")


def test_most_classes_have_no_rules_between_parameters() -> None:
    """By default there are no problems between parameters."""
    assert [] == [*PAGE._problems()]


# What parameters are made of


@pytest.mark.parametrize(
    ("facts", "certain_maximum"),
    [
        ({}, None),
        ({"maximum": 5}, None),
        ({"maximum": 5, "enforced_in": ("account_api",)}, None),
        ({"maximum": 5, "enforced_in": ("account_api", "linked_api")}, 5),
        (
            {
                "maximum": 5,
                "enforced_in": ("linked_api",),
                "generations": ("linked_api",),
            },
            5,
        ),
        ({"maximum": {"linked_api": 5}, "enforced_in": ("linked_api",)}, None),
        (
            {
                "maximum": {"account_api": 1, "linked_api": 5},
                "enforced_in": ("linked_api",),
            },
            5,
        ),
    ],
)
def test_only_a_maximum_of_all_generations_is_enforced(
    facts: Any, certain_maximum: int | None
) -> None:
    """A value is refused only if every generation certainly refuses it."""
    (made,) = info(**facts).values()

    assert ParameterInfo(**facts) == made
    assert certain_maximum == made.certain_maximum


def test_names_are_spelt_as_the_api_does() -> None:
    """Snake case becomes camel case."""
    assert ["limit", "basicInfo", "customSearchUrl"] == (
        [json_name(n) for n in ("limit", "basic_info", "custom_search_url")]
    )


def test_the_nearest_name_is_alike() -> None:
    """No name is suggested if none is similar enough."""
    assert "limit" == nearest("limitt", ["term", "limit"])
    assert nearest("zzz", ["term", "limit"]) is None
    assert nearest("limitt", ["limit"], cutoff=0.95) is None


def test_the_base_of_validators_is_abstract() -> None:
    """The base class of validators has no check of its own."""
    for use in (
        lambda: Validator().check("x"),
        lambda: Validator().fast_path("x", "y"),
    ):
        with pytest.raises(NotImplementedError):
            use()


def test_a_warning_points_at_the_users_line() -> None:
    """A warning has the user's line, however deep in the package it arises."""
    with pytest.warns(UnknownValueWarning) as caught:  # noqa: PT031
        st.react_to_post(
            "https://www.linkedin.com/feed/update/urn:li:activity:7461747",
            type="hooray",
        )
        load_workflow(
            {
                "actionType": "st.reactToPost",
                "postUrl": "https://www.linkedin.com/feed/update/urn:li:activity:7461747",
                "type": "hurrah",
            }
        )
        load_workflow({"actionType": "xy.new"})

    assert 3 * [__file__] == [warning.filename for warning in caught]
