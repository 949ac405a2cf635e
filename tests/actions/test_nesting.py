"""The nesting rule: by ``then``, by ``children=``, by JSON, and per generation."""

import copy
import functools
import re
import warnings
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as draws
from strategies import (
    EDITS,
    AnyAction,
    BrokenWorkflow,
    Edit,
    arguments_of,
    broken,
    odd_definitions,
    trees,
)

from linkedapi_async import custom, dump_workflow, load_workflow, nv, params, st
from linkedapi_async._actions.action import nesting_error, paths
from linkedapi_async._actions.compatibility import unsupported_in
from linkedapi_async._actions.scopes import Anywhere
from linkedapi_async._results.key import ACTIONS
from linkedapi_async._types import BOTH
from linkedapi_async.errors import (
    InvalidDefinitionError,
    NestingError,
    ParameterError,
    UnknownValueWarning,
    UnsupportedError,
    WorkflowError,
)


few = settings(max_examples=40, deadline=None)
each_edit = pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__)

PAGE: AnyAction = st.open_company_page("https://www.linkedin.com/company/acme")
EMPLOYEES = st.retrieve_company_employees()


def facts_of(error: WorkflowError, names: Any) -> dict[str, Any]:
    """Return the attributes of *error* called *names*."""
    return {name: getattr(error, name) for name in names}


def problems(definition: Any) -> tuple[WorkflowError, ...]:
    """Return what is wrong with a definition."""
    with pytest.raises(InvalidDefinitionError) as caught, warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownValueWarning)
        load_workflow(definition)
    return caught.value.problems


# Legal trees


@given(trees())
@few
def test_any_legal_tree_builds_and_starts(tree: AnyAction) -> None:
    """A legal tree can be dumped, and built again child by child."""
    assert isinstance(dump_workflow(tree), dict)
    if isinstance(tree, custom):
        return
    build: Any = functools.partial(type(tree), **arguments_of(tree))

    assert tree == build().then(*tree.children)
    assert tree == build(children=list(tree.children))
    assert hash(tree) == hash(build(children=[*tree.children]))


@given(trees())
@few
def test_every_place_of_a_tree_has_its_path(tree: AnyAction) -> None:
    """The path of an action leads from the root to that very action."""
    for path, node in paths(tree):
        found = tree
        for index in re.findall(r"\.then\[(\d+)\]", path):
            found = found.children[int(index)]

        assert path.startswith("root")
        assert found is node


# Illegal edits


@each_edit
@given(data=draws.data())
@few
def test_an_illegal_edit_is_the_one_problem_of_a_definition(
    edit: Edit, data: draws.DataObject
) -> None:
    """One mistake gives one problem, with its class, path and words."""
    wrong = data.draw(broken(edit))
    before = copy.deepcopy(wrong.definition)
    (problem,) = problems(wrong.definition)

    assert wrong.error is type(problem)
    assert wrong.path == problem.path
    assert wrong.facts == facts_of(problem, wrong.facts)
    assert wrong.words in str(problem)
    assert str(problem).startswith(f"{wrong.path}: ")
    assert before == wrong.definition


@each_edit
@given(data=draws.data())
@few
def test_an_illegal_edit_raises_at_once_in_python(
    edit: Edit, data: draws.DataObject
) -> None:
    """``then``, ``children=`` and calls raise the errors of ``load_workflow``."""
    wrong = data.draw(broken(edit))
    if wrong.parent is not None:
        refuse_nesting(wrong)
    if wrong.build is not None:
        with pytest.raises(wrong.error) as caught:
            wrong.build()
        expected = wrong.python or wrong.facts

        assert expected == facts_of(caught.value, expected)
        assert wrong.words in str(caught.value)


def refuse_nesting(wrong: BrokenWorkflow) -> None:
    """Check that the child is refused, whichever way it is nested."""
    parent: Any = wrong.parent
    place = f"then[{len(parent.children)}]"
    siblings = [*parent.children, wrong.child]
    before = parent.children
    ways: list[Any] = [lambda: parent.then(wrong.child)]
    if not isinstance(parent, custom):
        cls: Any = type(parent)
        ways.append(lambda: cls(**arguments_of(parent), children=siblings))
    for way in ways:
        with pytest.raises(WorkflowError) as caught:
            way()
        if wrong.error is WorkflowError:  # a parameter is wrong, not an action
            assert isinstance(caught.value, ParameterError)
            assert place == caught.value.parameter
        else:
            assert wrong.error is type(caught.value)
            assert place == caught.value.path
            expected = wrong.python or wrong.facts

            assert expected == facts_of(caught.value, expected)
    assert before is parent.children


@given(draws.lists(broken(), min_size=2, max_size=4))
@few
def test_all_problems_are_reported_at_once(wrongs: list[BrokenWorkflow]) -> None:
    """Each problem has its own path, and they come in the order of the tree."""
    found = problems([wrong.definition for wrong in wrongs])

    assert [
        wrong.path.replace("root", f"root[{index}]", 1)
        for index, wrong in enumerate(wrongs)
    ] == [problem.path for problem in found]
    assert [wrong.error for wrong in wrongs] == [type(problem) for problem in found]


def test_several_problems_of_one_tree() -> None:
    """A node may have several problems, and its children are checked all the same."""
    definition = {
        "actionType": "st.openCompanyPage",
        "basicInfo": "yes",
        "basicInfos": "red",
        "then": [
            {"actionType": "st.retrieveCompanyEmployees", "limit": 0},
            {
                "actionType": "st.searchPeople",
                "filter": {"locations": ["Oslo", 5], "firstNam": "Ada"},
            },
            7,
            {"then": {"actionType": "st.openPost", "postUrl": 5}},
        ],
    }

    with pytest.raises(InvalidDefinitionError) as caught:
        load_workflow(definition)

    assert (
        "10 problems:\n"
        "  root: st.openCompanyPage: companyUrl is required at the root\n"
        "  root: st.openCompanyPage: basicInfo must be True or False, got 'yes'\n"
        "  root: st.openCompanyPage: basicInfos is not a parameter; did you mean basicInfo?\n"
        "  root.then[0]: st.retrieveCompanyEmployees: limit must be at least 1, got 0\n"
        "  root.then[1]: st.searchPeople cannot be nested under st.openCompanyPage; "
        "allowed there: st.retrieveCompanyEmployees, st.retrieveCompanyDMs, "
        "st.retrieveCompanyPosts, nv.openCompanyPage\n"
        "  root.then[1]: st.searchPeople: filter: locations[1] "
        "must be a string, got 5\n"
        "  root.then[1]: st.searchPeople: filter: firstNam is not a parameter; "
        "did you mean firstName?\n"
        "  root.then[2]: expected an action, a JSON object, got 7\n"
        "  root.then[3]: actionType is required\n"
        "  root.then[3].then[0]: st.openPost: postUrl must be a string, got 5\n"
        "check=False sends a definition as it is."
    ) == str(caught.value)
    assert 10 == len(caught.value.problems)


def test_all_problems_of_a_list_are_reported() -> None:
    """Every wrong item has its index, in lists of objects too."""
    found = problems(
        {
            "actionType": "st.searchPosts",
            "term": "x",
            "filter": {
                "authorIndustries": ["a", 5, ""],
                "fromMembers": [{"personHashed": "u"}, 5, {"name": "Bob"}, "Eve"],
            },
        }
    )

    assert [
        ("st.searchPosts: filter", "authorIndustries[1]"),
        ("st.searchPosts: filter", "authorIndustries[2]"),
        ("st.searchPosts: filter: fromMembers[0]", "personHashed"),
        ("st.searchPosts: filter: fromMembers[0]", "name"),
        ("st.searchPosts: filter", "fromMembers[1]"),
    ] == [(p.owner, p.parameter) for p in found if isinstance(p, ParameterError)]
    assert 5 == len(found)


@pytest.mark.parametrize(
    ("definition", "problem"),
    [
        (
            {
                "actionType": "st.createPost",
                "text": "x",
                "attachments": [{"url": "u", "type": "document"}],
            },
            ("root: st.createPost: attachments[0]: name is required for a document"),
        ),
        (
            {
                "actionType": "st.createPost",
                "text": "x",
                "attachments": [
                    {"url": "u", "type": "image"},
                    {"url": "u", "type": "video"},
                ],
            },
            "root: st.createPost: attachments cannot mix image and video",
        ),
        (
            {"actionType": "st.searchPosts"},
            "root: st.searchPosts: term is required without custom_search_url",
        ),
    ],
)
def test_rules_between_parameters_hold_for_json_too(
    definition: Any, problem: str
) -> None:
    """Parameters that exclude each other are a problem in JSON too."""
    assert [problem] == [str(found) for found in problems(definition)]


def test_an_error_has_the_path_of_a_nested_place() -> None:
    """The path counts children also where ``then`` is an object."""
    (problem,) = problems(
        [
            dump_workflow(PAGE),
            {
                "actionType": "st.searchPeople",
                "then": {
                    "actionType": "st.doForPeople",
                    "then": [
                        {"actionType": "st.openPersonPage"},
                        {"actionType": "st.openPost"},
                    ],
                },
            },
        ]
    )

    assert (
        "root[1].then[0].then[1]: st.openPost cannot be nested under st.doForPeople; "
        "allowed there: st.openPersonPage; did you mean st.openPersonPage?"
    ) == str(problem)


# Names that are nearly right


def slips(name: str) -> list[str]:
    """Return *name* with one letter lost, one doubled, two swapped."""
    at = len(name) // 2
    return [
        name[:at] + name[at + 1 :],
        name[:at] + name[at] + name[at:],
        name[:at] + name[at + 1] + name[at] + name[at + 2 :],
    ]


@pytest.mark.parametrize("name", ACTIONS)
def test_a_misspelt_action_type_suggests_the_right_one(name: str) -> None:
    """A typo in an action type is an error that suggests the right type."""
    for slip in {*slips(name)} - {name}:
        if len(slip) < 10:  # too short to be sure: a warning, not an error
            continue
        (problem,) = problems({"actionType": slip, "label": "x"})

        assert type(problem) is WorkflowError
        assert f"root: {slip!r} is not an action type; did you mean {name}?" == str(
            problem
        )


def test_a_misspelt_child_has_its_path() -> None:
    """A misspelt child is reported once, and not as a nesting error."""
    (problem,) = problems(
        {
            "actionType": "st.openCompanyPage",
            "companyUrl": "https://www.linkedin.com/company/acme",
            "then": {"actionType": "st.retriveCompanyEmployees"},
        }
    )

    assert "root.then[0]" == problem.path
    assert str(problem).endswith("did you mean st.retrieveCompanyEmployees?")


def test_a_misspelt_child_of_an_unknown_action() -> None:
    """A misspelt action type is an error under an unknown action too."""
    with pytest.warns(UnknownValueWarning, match=r"xy\.new"):
        (problem,) = problems_with_warnings(
            {"actionType": "xy.new", "then": {"actionType": "st.openPerssonPage"}}
        )

    assert str(problem).endswith("did you mean st.openPersonPage?")


def problems_with_warnings(definition: Any) -> tuple[WorkflowError, ...]:
    """Return what is wrong with a definition, and let warnings through."""
    with pytest.raises(InvalidDefinitionError) as caught:
        load_workflow(definition)
    return caught.value.problems


def test_the_nearest_of_what_is_allowed_is_named() -> None:
    """The error suggests the nearest action that is allowed there."""
    page: AnyAction = st.open_person_page("https://www.linkedin.com/in/ada")
    with pytest.raises(NestingError) as caught:
        page.then(st.retrieve_company_posts())

    assert "st.retrievePersonPosts" == caught.value.nearest


def test_nothing_is_suggested_under_a_leaf() -> None:
    """An action that takes no children suggests none."""
    leaf: AnyAction = st.retrieve_ssi()
    with pytest.raises(NestingError) as caught:
        leaf.then(EMPLOYEES)

    assert (
        "then[0]: st.retrieveCompanyEmployees cannot be nested under st.retrieveSSI; "
        "allowed there: nothing"
    ) == str(caught.value)
    assert (None, ()) == (caught.value.nearest, caught.value.allowed)


# Things that are no actions


@pytest.mark.parametrize(
    ("child", "reason"),
    [
        (
            st.retrieve_company_employees,
            (
                "must be an action, got <class "
                "'linkedapi_async.st.retrieve_company_employees'>; "
                "call it: retrieve_company_employees()"
            ),
        ),
        (None, "must be an action, got None"),
        (int, "must be an action, got <class 'int'>"),
        ([EMPLOYEES], "must be an action, got [st.retrieve_company_employees()]"),
        ({"actionType": "st.openPost"}, "must be an action, got {'actionType': "),
    ],
    ids=["class", "None", "int", "list", "dict"],
)
def test_what_is_no_action_is_refused(child: Any, reason: str) -> None:
    """The error of a class instead of an action says to call it."""
    ways: list[Any] = [
        lambda: PAGE.then(EMPLOYEES, child),
        lambda: st.open_company_page(
            "https://www.linkedin.com/company/acme", children=[EMPLOYEES, child]
        ),
    ]
    for way in ways:
        with pytest.raises(ParameterError) as caught:
            way()

        assert "then[1]" == caught.value.parameter
        assert caught.value.reason.startswith(reason)


@pytest.mark.parametrize("children", [EMPLOYEES, 5, {EMPLOYEES}, None, 0], ids=repr)
def test_children_are_a_list(children: Any) -> None:
    """One action alone, a set and None are not lists of children."""
    for build in (st.open_company_page, custom):
        with pytest.raises(ParameterError, match="must be a list of actions") as caught:
            build("https://www.linkedin.com/company/acme", children=children)

        assert "children" == caught.value.parameter


def test_then_counts_on_from_the_present_children() -> None:
    """The index in an error is the one that the child would get."""
    with pytest.raises(NestingError) as caught:
        PAGE.then(EMPLOYEES).then(EMPLOYEES, st.search_people())

    assert "then[2]" == caught.value.path


# Roots and targets


def test_a_root_is_checked_when_the_workflow_is_dumped() -> None:
    """A fragment can be built alone, but not dumped alone."""
    with pytest.raises(NestingError) as caught:
        dump_workflow(EMPLOYEES)

    assert "root" == caught.value.path
    assert (
        "root: st.retrieveCompanyEmployees cannot be a root; allowed there: "
        "a search, an open page, …"
    ) == str(caught.value)


def test_a_root_of_an_array_has_its_number() -> None:
    """The path has the number of the wrong root."""
    with pytest.raises(ParameterError) as caught:
        dump_workflow((PAGE, st.open_company_page()))

    assert "root[1]" == caught.value.path
    assert "company_url" == caught.value.parameter


@pytest.mark.parametrize(
    ("workflow", "message"),
    [
        ((), "root: an array workflow must have at least one action"),
        (
            (PAGE, "st.openPost"),
            (
                "root[1]: expected an action, got 'st.openPost'; load_workflow() makes "
                "actions of JSON"
            ),
        ),
        (
            (PAGE, [st.retrieve_ssi()]),
            (
                "root[1]: expected an action, got [st.retrieve_ssi()]; pass its actions "
                "one by one, with *"
            ),
        ),
        (
            (st.retrieve_ssi,),
            (
                "root[0]: expected an action, got <class "
                "'linkedapi_async.st.retrieve_ssi'>; call it: retrieve_ssi()"
            ),
        ),
    ],
    ids=["empty", "string", "list", "class"],
)
def test_only_actions_are_workflows(workflow: Any, message: str) -> None:
    """An empty tuple and other things are refused with their path."""
    with pytest.raises(WorkflowError) as caught:
        dump_workflow(workflow)

    assert message == str(caught.value)


def test_alternative_targets_are_all_named() -> None:
    """If one of two targets is enough, the error names both."""
    (problem,) = problems({"actionType": "st.openPost"})

    assert ("root: st.openPost: postUrl or postUrn is required at the root") == str(
        problem
    )


def test_a_required_target_is_reported_once() -> None:
    """A missing target is not reported as a missing parameter too."""
    definition = {"actionType": "nv.manageConversation", "operation": "archive"}
    (at_root,) = problems(definition)
    (below,) = problems({"actionType": "xy.new", "then": definition})

    assert ("root: nv.manageConversation: threadId is required at the root") == str(
        at_root
    )
    assert "root.then[0]: nv.manageConversation: threadId is required" == str(below)


@pytest.mark.parametrize(
    "half", [{"personUrl": "https://www.linkedin.com/in/ada"}, {"skillName": "s"}]
)
def test_a_pair_of_targets_is_needed_whole(half: dict[str, str]) -> None:
    """At the root a pair needs both targets, and below it allows neither."""
    (problem,) = problems({"actionType": "st.endorsePersonSkill", **half})

    assert isinstance(problem, ParameterError)
    assert "personUrl and skillName" == problem.parameter
    skills = st.do_for_skills()
    with pytest.raises(ParameterError, match="which supplies it") as caught:
        skills.then(
            st.endorse_person_skill("https://www.linkedin.com/in/ada", skill_name="s")
        )

    assert "person_url and skill_name" == caught.value.parameter
    assert 1 == len(skills.then(st.endorse_person_skill()).children)


# Unknown actions


@pytest.mark.parametrize("name", ACTIONS)
def test_custom_nests_anywhere(name: str) -> None:
    """Every known action can be nested under an unknown one, and vice versa."""
    cls = ACTIONS[name]
    unknown = custom("xy.new")

    assert cls.may_nest_under(custom)
    assert custom.may_nest_under(cls)
    assert nesting_error(custom, (), cls, "root") is None
    assert nesting_error(cls, cls.targets, custom, "root") is None
    assert unknown.opens is Anywhere


def test_under_custom_a_target_may_be_given_or_not() -> None:
    """It is unknown whether an unknown action supplies the target."""
    parent = custom("xy.new")

    assert 2 == len(
        parent.then(
            st.open_post(
                "https://www.linkedin.com/feed/update/urn:li:activity:7461747"
            ),
            st.open_post(),
        ).children
    )
    assert "xy.new" == dump_workflow(parent)["actionType"]  # type: ignore[call-overload]


# Generations


@given(trees())
@few
def test_what_a_generation_lacks_has_a_path_in_the_tree(tree: AnyAction) -> None:
    """Every unsupported part has the path of an action and names the generation."""
    places = dict(paths(tree))
    for generation in BOTH:
        for problem in unsupported_in(tree, generation):
            assert problem.path in places
            assert generation in str(problem)


def _employees(limit: int) -> st.retrieve_company_employees:
    """Return the action without the warning about a doubtful limit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownValueWarning)
        return st.retrieve_company_employees(limit=limit)


@pytest.mark.parametrize(
    ("tree", "generation", "found"),
    [
        (PAGE.then(EMPLOYEES), "account_api", []),
        (PAGE.then(EMPLOYEES), "linked_api", []),
        (st.retrieve_feed(), "linked_api", []),
        (st.retrieve_feed(), "account_api", ["root: st.retrieveFeed does not exist"]),
        (custom("st.retrieveFeed"), "account_api", []),
        (
            custom("xy.new").then(st.retrieve_feed()),
            "account_api",
            ["root.then[0]: st.retrieveFeed does not exist"],
        ),
        (
            st.retrieve_connections(since="2026").then(st.do_for_people()),
            "account_api",
            ["root: st.retrieveConnections: since does not exist"],
        ),
        (
            st.retrieve_connections(since="2026").then(st.do_for_people()),
            "linked_api",
            ["root: st.retrieveConnections with children does not exist"],
        ),
        (
            st.search_people(
                limit=1000,
                filter=params.PeopleFilter(connection_degrees=["1st"]),
                custom_search_url="u",
            ),
            "account_api",
            [
                "root: st.searchPeople: filter: connection_degrees does not exist",
                "root: st.searchPeople: custom_search_url does not exist",
            ],
        ),
        (
            st.open_person_page("https://www.linkedin.com/in/ada").then(
                nv.open_person_page().then(nv.send_message(text="x"))
            ),
            "account_api",
            [
                (
                    "root.then[0].then[0]: nv.sendMessage: subject "
                    "is required in the account_api generation"
                )
            ],
        ),
        (
            PAGE.then(_employees(501)),
            "account_api",
            [
                (
                    "root.then[0]: st.retrieveCompanyEmployees: limit "
                    "must not exceed 500 in the account_api generation, got 501"
                )
            ],
        ),
        (
            st.send_message(thread_id="t", text="x").then(
                st.manage_conversation(operation="star")
            ),
            "account_api",
            [
                "root: st.sendMessage: thread_id does not exist",
                "root.then[0]: st.manageConversation does not exist",
            ],
        ),
    ],
)
def test_a_tree_is_checked_against_one_generation(
    tree: AnyAction, generation: Any, found: list[str]
) -> None:
    """An action, a parameter, a bound or a nesting may be of one generation only."""
    shown = [str(problem) for problem in unsupported_in(tree, generation)]

    assert len(found) == len(shown)
    for expected, actual in zip(found, shown, strict=True):
        assert actual.startswith(expected)


def test_an_unsupported_action_says_which_token_helps() -> None:
    """The error advises a token of the other generation, in both directions."""
    (old,) = unsupported_in(st.retrieve_feed(), "account_api", "root[3]")
    tree = st.retrieve_connections().then(st.do_for_people())
    (new,) = unsupported_in(tree, "linked_api")

    assert isinstance(old, UnsupportedError)
    assert ("root[3]", "account_api") == (old.path, old.generation)
    assert (
        "root[3]: st.retrieveFeed does not exist in the account_api generation; "
        "use a session with linked_api_token=, or send it anyway with check=False"
    ) == str(old)
    assert "use a session with account_api_token=" in str(new)


# What check=False does with what is illegal


@given(broken())
@few
def test_what_is_illegal_passes_unchecked(wrong: BrokenWorkflow) -> None:
    """Without checks, any illegal tree is sent as it is."""
    loaded = load_workflow(wrong.definition, check=False)

    assert wrong.definition == dump_workflow(loaded)


@given(odd_definitions())
@few
def test_what_loads_with_checks_has_no_problem_left(definition: Any) -> None:
    """A definition either loads as a legal tree, or has a problem."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownValueWarning)
        try:
            workflow = load_workflow(definition)
        except InvalidDefinitionError as error:
            found = error.problems
        else:
            assert dump_workflow(workflow)
            return

    assert found
    assert all(problem.path.startswith("root") for problem in found)
