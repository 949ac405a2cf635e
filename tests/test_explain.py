"""An explanation is an upper bound of what a workflow will use."""

from __future__ import annotations

import asyncio
import collections
import json
import math
import pathlib
import warnings
from typing import Any

import attrs
import hostile_text
import pytest
from hypothesis import given, settings
from hypothesis import strategies as draws
from strategies import AnyAction, trees, workflows

from linkedapi_async import custom, dump_workflow, nv, st
from linkedapi_async._actions.action import named_roots, paths
from linkedapi_async._polling.durations import DurationLearner
from linkedapi_async._results.key import ACTIONS
from linkedapi_async._types import Generation
from linkedapi_async.errors import (
    InvalidDefinitionError,
    ParameterError,
    UnknownValueWarning,
    WorkflowError,
)
from linkedapi_async.explain import DAILY_LIMITS, explain, explain_batch
from linkedapi_async.sandbox import Sandbox
from linkedapi_async.session._durations import Durations, duration_kind


FACTS: dict[str, Any] = json.loads(
    (pathlib.Path(__file__).parent / "data" / "actions.json").read_text("utf-8")
)
GENERATIONS: tuple[Generation, ...] = ("account_api", "linked_api")
generations = draws.sampled_from(GENERATIONS)

ENDORSE = st.do_for_skills().then(st.endorse_person_skill())
PAGE = st.open_person_page(basic_info=True).then(
    st.send_connection_request(), st.retrieve_person_skills().then(ENDORSE)
)
EMPLOYEES = st.retrieve_company_employees(limit=50)
CAMPAIGN = st.open_company_page("https://www.linkedin.com/company/acme").then(
    EMPLOYEES.then(st.do_for_people().then(PAGE)), st.retrieve_company_dms()
)


def items_of(definition: dict[str, Any], generation: Generation) -> float | None:
    """Return how many items an action yields at most, by the transcribed facts."""
    facts = FACTS.get(definition.get("actionType", ""))
    if facts is None:
        return math.inf
    if facts["result"]["kind"] != "array":
        return None
    (fact,) = [p for p in facts["parameters"] if p["name"] == "limit"] or [{}]
    default = fact.get("default", math.inf)
    default = default[generation] if isinstance(default, dict) else default
    limit = definition.get("limit", default)
    assert isinstance(limit, int | float)
    return limit


def counted(
    definition: Any, generation: Generation, times: float = 1
) -> collections.Counter[str]:
    """Count how often each type is done at most: on the JSON, recursively."""
    found: collections.Counter[str] = collections.Counter()
    if isinstance(definition, list):
        for root in definition:
            found.update(counted(root, generation, times))
        return found
    name = definition["actionType"]
    if not name.partition(".")[2].startswith("doFor"):
        found[name] = times  # type: ignore[assignment]  # infinity, too
    items = items_of(definition, generation)
    below = times if items is None else times * items
    then = definition.get("then", [])
    for child in then if isinstance(then, list) else [then]:
        found.update(counted(child, generation, below))
    return found


@given(workflows, generations)
def test_counts(workflow: Any, generation: Generation) -> None:
    """An action counts as often as the product of the lists above it."""
    found = explain(workflow, generation=generation)
    expected = counted(dump_workflow(workflow), generation)

    assert expected == found.counts
    assert expected.total() == found.total
    assert {n for n in expected if ACTIONS.get(n, custom).effect == "write"} == {
        line.action_type for line in found.writes
    }
    assert ("write" if found.writes else "read") == found.effect
    plus = any(n.startswith("nv.") for n in expected)
    assert ("plus" if plus else "core") == found.plan
    limits: collections.Counter[str] = collections.Counter()
    for name, times in expected.items():
        if "category" in FACTS.get(name, {}):
            limits[FACTS[name]["category"]] += times
    assert limits == {use.category: use.times for use in found.limits}


@settings(max_examples=40)
@given(workflows)
def test_lines(workflow: Any) -> None:
    """Every action except loops has a line with its path, the most frequent first."""
    found = explain(workflow)
    places = {
        path: node.action_type
        for top, root in named_roots(workflow)
        for path, node in paths(root, top)
        if node.has_outcome
    }

    assert places == {line.path: line.action_type for line in found.lines}
    assert sorted((n.times for n in found.lines), reverse=True) == [
        line.times for line in found.lines
    ]
    for line in found.lines:
        assert line.times == math.prod(factor.items for factor in line.factors)
        assert line.minimum == (0 if line.factors else 1)
        assert line.known == (line.action_type in ACTIONS)


def test_the_sandbox_does_no_more() -> None:
    """In the sandbox, no action happens more often than explained."""
    full = st.search_people(limit=3).then(
        st.do_for_people().then(
            st.open_person_page().then(st.retrieve_person_posts(limit=2)),
        )
    )
    some = st.search_companies(limit=2).then(
        st.do_for_companies().then(
            st.open_company_page().then(
                st.retrieve_company_dms(limit=20).then(
                    st.do_for_people().then(st.open_person_page())
                )
            )
        )
    )

    async def done() -> collections.Counter[str]:
        """Return how many outcomes each type has."""
        async with Sandbox(speed=1000, duration=0) as sandbox, sandbox.session() as s:
            handle = await s.start(full, some)
            completion = await handle.completion()
        return collections.Counter(outcome.action_type for outcome in completion.walk())

    counts = asyncio.run(done())
    shown = explain(full, some)

    assert explain(full).counts.keys() <= counts.keys()
    assert {"st.searchPeople": 1, "st.searchCompanies": 1} == {
        name: times for name, times in counts.items() if "search" in name
    }
    assert 3 == counts["st.retrievePersonPosts"]
    assert 2 == counts["st.openCompanyPage"] == shown.counts["st.openCompanyPage"]
    assert all(times <= shown.counts[name] for name, times in counts.items())


def test_a_campaign() -> None:
    """The report of a campaign has actions, limits, plan, minutes and causes."""
    found = explain(CAMPAIGN, limits={"stEndorsements": 20, "stPersonProfileViews": 25})
    lines = {line.action_type: line for line in found.lines}
    uses = {use.category: (use.times, use.per_day, use.days) for use in found.limits}

    assert 50 == lines["st.sendConnectionRequest"].times
    assert math.inf == lines["st.endorsePersonSkill"].times == found.total
    assert [
        ("root.then[0]", 50, True),
        ("root.then[0].then[0].then[0].then[1]", math.inf, False),
    ] == [
        (factor.path, factor.items, factor.explicit)
        for factor in lines["st.endorsePersonSkill"].factors
    ]
    assert {
        "stEndorsements": (math.inf, 20, math.inf),
        "stConnectionRequests": (50, 10, 5),
        "stPersonProfileViews": (50, 25, 2),
        "stCompanyPageViews": (1, None, None),
    } == uses
    assert list(uses) == [use.category for use in found.limits]
    assert "stEndorsements" == found.limits[0].category
    assert math.inf == found.days
    assert (1.0, math.inf) == found.minutes
    assert ("core", "write") == (found.plan, found.effect)
    assert ("st.retrievePersonSkills lists all items, without a bound",) == (
        found.notes
    )


def test_the_text() -> None:
    """As text, an explanation is a report for people."""
    company = st.open_company_page("https://www.linkedin.com/company/acme").then(
        st.retrieve_company_employees().then(
            st.do_for_people().then(
                st.open_person_page().then(st.send_connection_request())
            )
        )
    )

    assert """\
1 workflow for linked_api: writes, core plan
at most 1,002 actions
about 40 s to 5.6 h in the lane: 20 s for each action, from empty lists to full ones; long lists take longer

  500 × st.openPersonPage  root.then[0].then[0].then[0]  = 500 of root.then[0] by default
  500 × st.sendConnectionRequest  root.then[0].then[0].then[0].then[0]  (writes)  = 500 of root.then[0] by default
    1 × st.openCompanyPage  root
    1 × st.retrieveCompanyEmployees  root.then[0]

limit stConnectionRequests: at most 500, 10 a day for each account: 50 days
limit stPersonProfileViews: at most 500; the daily maximum is not known, set it with limits= (or --per-day)
limit stCompanyPageViews: at most 1; the daily maximum is not known, set it with limits= (or --per-day)\
""" == str(explain(company))


def test_the_text_without_bounds() -> None:
    """Without a bound, the report says so and why."""
    text = str(explain(CAMPAIGN, limits={"stEndorsements": 20}))

    assert "\nany number of actions\nabout 1 min to no end in the lane" in text
    assert "limit stEndorsements: no bound, 20 a day for each account: no end" in text
    assert "  = 50 of root.then[0] × unlimited of root.then[0]" in text
    assert "\nnote: st.retrievePersonSkills lists all items" in text
    text = str(explain(st.retrieve_ssi()))
    assert "only reads, core plan\nat most 1 action\nabout 20 s in the lane" in text
    assert text.endswith("\nno known account limit applies")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (59.94, "59.9 s"),
        (60, "1 min"),
        (90, "1.5 min"),
        (3600, "60 min"),
        (7200, "2 h"),
        (40_000, "11 h"),
        (172_800, "2 days"),
        (1e9, "11,574 days"),
    ],
)
def test_spans(seconds: float, words: str) -> None:
    """The duration is shown in the unit that fits its size."""
    found = explain(st.retrieve_ssi(), seconds_per_action=seconds)

    assert f"about {words} in the lane" in str(found)
    assert (seconds / 60, seconds / 60) == found.minutes


def test_to_dict() -> None:
    """An explanation becomes JSON; a number without a bound is ``unlimited``."""
    found = explain(CAMPAIGN)
    shown = json.loads(json.dumps(found.to_dict(), allow_nan=False))

    assert found.to_dict() == shown
    assert "unlimited" == shown["total"] == shown["counts"]["st.endorsePersonSkill"]
    assert {"shortest": 1.0, "longest": "unlimited"} == shown["minutes"]
    assert {
        "path": "root.then[0].then[0].then[0].then[0]",
        "action_type": "st.sendConnectionRequest",
        "times": 50,
        "minimum": 0,
        "factors": [
            {
                "path": "root.then[0]",
                "action_type": "st.retrieveCompanyEmployees",
                "items": 50,
                "explicit": True,
            }
        ],
        "category": "stConnectionRequests",
        "effect": "write",
        "known": True,
    } in shown["lines"]
    assert [found.days, "core", "write", 20] == [
        shown[name] for name in ("days", "plan", "effect", "seconds_per_action")
    ]
    assert 4 == len(shown["limits"])
    assert list(found.notes) == shown["notes"]


@settings(max_examples=40)
@given(trees(), generations)
def test_to_dict_is_json(workflow: AnyAction, generation: Generation) -> None:
    """The explanation of any workflow is JSON, and its text is printable."""
    found = explain(workflow, generation=generation)

    assert json.dumps(found.to_dict(), allow_nan=False)
    assert set() == hostile_text.acting(str(found), allowed="\n")


# Input


@settings(max_examples=40)
@given(workflows)
def test_definitions_are_explained_alike(workflow: Any) -> None:
    """A definition is explained as the built workflow is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownValueWarning)
        loaded = explain(dump_workflow(workflow), check=False)

    assert explain(workflow) == loaded
    if isinstance(workflow, tuple) and len(workflow) > 1:
        assert loaded == explain(*workflow)


def test_what_does_not_fit_is_explained() -> None:
    """Without checks, known types count whatever their parameters are."""
    definition = {
        "actionType": "st.searchPeople",
        "limit": 5000,
        "then": {
            "actionType": "st.doForPeople",
            "then": {"actionType": "st.openPersonPage", "basicInfo": 1},
        },
    }
    with pytest.raises(InvalidDefinitionError):
        explain(definition)
    found = explain(definition, check=False)

    assert {"st.openPersonPage": 5000, "st.searchPeople": 1} == found.counts
    assert "read" == found.effect
    for odd in (0, -1, True, "5", None):
        found = explain({**definition, "limit": odd}, check=False)
        assert 10 == found.counts["st.openPersonPage"]


def test_unknown_actions() -> None:
    """It is unknown how often an unknown action does its children."""
    hostile = "xy.\x1b[2Jnew"
    found = explain(custom(hostile).then(st.search_people(term="x")))
    new, search = sorted(found.lines, key=lambda line: line.times)

    assert (hostile, 1, False, "write") == (
        new.action_type,
        new.times,
        new.known,
        new.effect,
    )
    assert (math.inf, 0) == (search.times, search.minimum)
    assert (
        f"{hostile} is not known; it may count against a limit",
        f"it is not known how often {hostile} runs the actions nested in it",
    ) == found.notes
    assert "plus" == explain(custom("nv.somethingNew")).plan
    assert ("an action without a type is not known; it may count against a limit",) == (
        explain({}, check=False).notes
    )


def test_lists_that_a_limit_would_bound() -> None:
    """A note says where *limit* would bound a list."""
    everybody = st.retrieve_connections()
    page = st.do_for_people().then(st.open_person_page())
    (note,) = explain(everybody.then(page), generation="account_api").notes

    assert "st.retrieveConnections lists all items; bound it with limit=" == note
    assert () == explain(everybody).notes


def test_generations() -> None:
    """Defaults, limits and unsupported parts are those of the generation."""
    search = nv.search_people().then(
        nv.do_for_people().then(nv.open_person_page().then(nv.send_message(text="x")))
    )
    new, old = explain(search), explain(search, generation="account_api")

    assert (25, 10) == (new.counts["nv.sendMessage"], old.counts["nv.sendMessage"])
    assert () == new.notes
    (note,) = old.notes
    assert "subject is required in the account_api generation" in note
    message = st.send_message("https://www.linkedin.com/in/ada", text="x")
    assert (50, None) == tuple(
        explain(message, generation=g).limits[0].per_day
        for g in ("linked_api", "account_api")
    )
    (note,) = explain(st.retrieve_feed(), generation="account_api").notes
    assert note.startswith(
        "root: st.retrieveFeed does not exist in the account_api gen"
    )
    wrong: Any = "v3"
    with pytest.raises(
        ValueError, match="generation must be one of account_api, linked_api, got 'v3'"
    ):
        explain(message, generation=wrong)


@pytest.mark.parametrize(
    ("workflow", "words"),
    [
        ((), "at least one action"),
        ((5,), "expected a workflow, got 5"),
        (("st.openPost",), "expected a workflow, got 'st.openPost'"),
        ((st.retrieve_ssi(), 5), "expected an action, got 5"),
        ((st.retrieve_person_skills(),), "cannot be a root"),
        (([],), "at least one action"),
    ],
)
def test_what_is_no_workflow(workflow: Any, words: str) -> None:
    """A workflow that cannot start is not explained."""
    with pytest.raises(WorkflowError, match=words):
        explain(*workflow)
    with pytest.raises(ParameterError, match="is required at the root"):
        explain_batch([st.open_person_page()])


# Batches


def test_a_batch() -> None:
    """A batch adds up its workflows, merges equal lines and shares the accounts."""
    page = st.open_person_page
    many = [
        page(f"https://www.linkedin.com/in/ada-{n}", label=f"{n}").then(
            st.send_message(text="x")
        )
        for n in range(130)
    ]
    found = explain_batch((w for w in many), accounts=2, seconds_per_action=30)

    assert (130, 2) == (found.workflows, found.accounts)
    assert [("root", 130, 130), ("root.then[0]", 130, 130)] == [
        (line.path, line.times, line.minimum) for line in found.lines
    ]
    assert 2 == found.days
    assert (65.0, 65.0) == found.minutes
    text = str(found)
    assert text.startswith("130 workflows for linked_api: writes, core plan\n")
    assert "about 65 min in each of 2 lanes: 30 s for each action" in text
    assert "limit stMessages: at most 130, 50 a day for each account: 2 days" in text
    assert 3 == explain_batch(many).days
    assert "a day for each account: 1 day" in str(explain_batch(many[:1]))


@settings(max_examples=30)
@given(draws.lists(workflows, max_size=4))
def test_a_batch_is_the_sum(many: list[Any]) -> None:
    """Counts and times of a batch are the sums of those of its workflows."""
    counts: collections.Counter[str] = collections.Counter()
    for workflow in many:
        counts.update(explain(workflow).counts)
    found = explain_batch((f"key {n}", workflow) for n, workflow in enumerate(many))

    assert counts == found.counts
    assert len(many) == found.workflows
    assert sum(explain(w).minutes[0] for w in many) == pytest.approx(found.minutes[0])
    assert explain_batch(many) == found


def test_days() -> None:
    """Days are rounded up; a limit of 0 takes for ever, an infinite one no time."""
    messages = [st.send_message("https://www.linkedin.com/in/ada", text="x")] * 101

    def days(limit: float) -> float | None:
        """Return how many days the messages take."""
        return explain_batch(messages, limits={"stMessages": limit}).days

    assert [2, 3, 1, math.inf, 0] == [days(n) for n in (100, 50, 101, 0, math.inf)]
    endless = explain(CAMPAIGN, limits={"stEndorsements": math.inf})
    assert [5, 0] == [use.days for use in endless.limits[:2]]
    assert 0 == explain_batch([], limits={"stMessages": 0}).total
    assert None is explain_batch([st.retrieve_ssi()]).days
    assert None is explain_batch(messages, generation="account_api").days


def test_limits_are_checked() -> None:
    """Limits must be numbers; an unknown category gives a warning."""
    message = st.send_message("https://www.linkedin.com/in/ada", text="x")
    for wrong in (-1, math.nan, True, "5", None):
        limits: Any = {"stMessages": wrong}
        with pytest.raises(
            ValueError, match=r"limits\['stMessages'\] must be a number of at le"
        ):
            explain(message, limits=limits)
    with pytest.warns(UnknownValueWarning, match="did you mean 'stMessages'") as caught:
        explain(message, limits={"stMesages": 5})
    assert __file__ == caught[0].filename
    with pytest.warns(UnknownValueWarning, match="no action counts .* 'zzz'; known: "):
        explain(message, limits={"zzz": 5})


def test_arguments_are_checked() -> None:
    """Wrong accounts and seconds, and a single workflow as a batch, are refused."""
    message = st.send_message("https://www.linkedin.com/in/ada", text="x")
    for wrong in (0, -1, 1.5, True, "2"):
        accounts: Any = wrong
        with pytest.raises(ValueError, match="accounts must be at least 1, got "):
            explain_batch([message], accounts=accounts)
    with pytest.raises(
        ValueError, match="seconds_per_action must be a number of at least 0"
    ):
        explain(message, seconds_per_action=-1)
    for single in (message, dump_workflow(message), "st.sendMessage"):
        workflows: Any = single
        with pytest.raises(TypeError, match="put this one in a list"):
            explain_batch(workflows)


def test_known_limits_are_categories() -> None:
    """The categories with known defaults are categories of actions."""
    categories = {facts.get("category") for facts in FACTS.values()}

    assert {"stMessages": 50, "stConnectionRequests": 10} == DAILY_LIMITS
    assert DAILY_LIMITS.keys() <= categories


def test_learnt_durations() -> None:
    """What a session has learnt says how long the lanes take, if it knows all kinds."""
    learner = DurationLearner(2.5)
    durations = Durations(learner)
    ssi, check = st.retrieve_ssi(), st.retrieve_performance()
    unknown = explain(ssi, durations=durations)
    for _ in range(40):
        learner.observe(duration_kind(ssi), 600, 600)
    one = explain(ssi, durations=durations)
    many = explain_batch([ssi] * 40, accounts=2, durations=durations)

    assert unknown.expected is None
    assert unknown.to_dict()["expected"] is None
    assert one.expected is not None
    assert one.expected.median == pytest.approx(600, rel=0.05)
    assert many.expected is not None
    assert many.expected.median == pytest.approx(20 * 600, rel=0.1)
    assert attrs.asdict(many.expected) == many.to_dict()["expected"]
    assert explain_batch([ssi, check], durations=durations).expected is None
    assert explain(ssi).expected is None
    line = str(one).splitlines()[2]
    assert line.startswith("about 10 min in the lane, in eight cases of ten ")
    assert line.endswith(" min, as such workflows took before")
