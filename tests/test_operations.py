"""Ready-made operations: actions composed, and one flat result that loses nothing."""

from __future__ import annotations

import copy
import inspect
import pickle
import typing
from pathlib import Path
from typing import Any

import pytest
from completion_strategies import at, completions, places, replaced
from hypothesis import given, settings
from hypothesis import strategies as draws
from sample_targets import SAMPLE_TARGETS
from strategies import json_values

from linkedapi_async import (
    ActionError,
    ParameterError,
    ResultMissingError,
    UnsupportedError,
    dump_workflow,
    load_workflow,
    nv,
    operations,
    params,
    results,
    st,
)
from linkedapi_async._actions.action import Action
from linkedapi_async._actions.composite import child_fields
from linkedapi_async._results.key import ACTIONS
from linkedapi_async._wire.read import read_completion
from linkedapi_async.operations import (
    ComposedResult,
    EndorsedPerson,
    FetchedCompany,
    FetchedJob,
    FetchedPerson,
    FetchedPost,
    NvFetchedCompany,
    NvFetchedPerson,
    PartLimit,
    SentMessage,
    endorse_person_skills,
    fetch_company,
    fetch_job,
    fetch_person,
    fetch_post,
    nv_fetch_company,
    nv_fetch_person,
    send_message,
)
from linkedapi_async.sandbox import Sandbox


Node = dict[str, Any]

PERSON = "https://www.linkedin.com/in/ada"
COMPANY = "https://www.linkedin.com/company/acme"
POST, JOB = SAMPLE_TARGETS["post_url"], SAMPLE_TARGETS["job_url"]
HASHED_PERSON = SAMPLE_TARGETS["person_hashed_url"]
HASHED_COMPANY = SAMPLE_TARGETS["company_hashed_url"]

WHOLE: dict[str, Any] = {
    "fetch_person": fetch_person(
        PERSON,
        experience=True,
        education=True,
        skills=True,
        languages=True,
        posts=PartLimit(2),
        comments=PartLimit(2),
        reactions={"limit": 2},
    ),
    "fetch_company": fetch_company(
        COMPANY, employees=PartLimit(2), dms={"limit": 2}, posts=PartLimit(2)
    ),
    "fetch_post": fetch_post(POST, comments=PartLimit(2), reactions=True),
    "fetch_job": fetch_job(JOB),
    "endorse_person_skills": endorse_person_skills(PERSON, skill_name_patterns=["P*"]),
    "send_message": send_message(PERSON, text="Hi", manage_conversation="archive"),
    "nv_fetch_company": nv_fetch_company(
        "https://www.linkedin.com/company/1", employees=PartLimit(2), dms=True
    ),
    "nv_fetch_person": nv_fetch_person("https://www.linkedin.com/in/ACo1"),
}
"""Every operation that composes, with all its parts."""

FLAT: dict[str, type[ComposedResult]] = {
    "fetch_person": FetchedPerson,
    "fetch_company": FetchedCompany,
    "fetch_post": FetchedPost,
    "fetch_job": FetchedJob,
    "endorse_person_skills": EndorsedPerson,
    "send_message": SentMessage,
    "nv_fetch_company": NvFetchedCompany,
    "nv_fetch_person": NvFetchedPerson,
}

each_whole = pytest.mark.parametrize("name", WHOLE)


def done(action_type: str, data: Any = None, **more: Any) -> Node:
    """Return the record of an action that succeeded."""
    return {"actionType": action_type, "success": True, "data": data, **more}


def failed(action_type: str) -> Node:
    """Return the record of an action that failed."""
    error = {"type": "someReason", "message": "no"}
    return {"actionType": action_type, "success": False, "error": error}


def page(*then: Node, **data: Any) -> Node:
    """Return the record of a person's page with what was nested under it."""
    return done("st.openPersonPage", {**data, "then": [*then]})


# What they are


def test_most_are_the_actions_themselves() -> None:
    """An operation of a single action is that action; the others are functions."""
    names = {name for name in operations.__all__ if name.islower()}
    functions = {n for n in names if inspect.isfunction(getattr(operations, n))}

    assert {*WHOLE, "custom_workflow"} == functions
    for name in names - functions:
        module, plain = (nv, name[3:]) if name.startswith("nv_") else (st, name)
        assert getattr(module, plain) is getattr(operations, name)
    assert load_workflow is operations.custom_workflow


@each_whole
def test_results_are_in_the_signature(name: str) -> None:
    """The return annotation of an operation has the class that it yields."""
    hints = typing.get_type_hints(getattr(operations, name))
    where, opens, flat = typing.get_args(hints["return"])
    root = ACTIONS[WHOLE[name].action_type]

    assert FLAT[name] is flat
    assert root.opens is opens
    assert where in root.where
    assert issubclass(
        flat, root.result if root.result is not type(None) else ComposedResult
    )


@pytest.mark.parametrize("flat", FLAT.values())
def test_attributes_are_what_the_children_yield(flat: type[ComposedResult]) -> None:
    """An attribute from a child has the type that the child yields."""
    hints = typing.get_type_hints(flat)
    picks = child_fields(typing.cast("Any", flat))

    for pick in picks:
        assert pick.action.result | None == hints[pick.attribute]
    assert len(picks) == len({pick.action for pick in picks})


@each_whole
def test_every_part_is_a_parameter(name: str) -> None:
    """Each attribute from a child has a parameter, which accepts its action."""
    hints = typing.get_type_hints(getattr(operations, name))

    for pick in child_fields(typing.cast("Any", FLAT[name])):
        assert pick.action in typing.get_args(hints[pick.parameter])


@each_whole
def test_they_are_workflows_like_any_other(name: str) -> None:
    """An operation is dumped and shown as the plain tree of its actions."""
    workflow = WHOLE[name]
    plain = load_workflow(dump_workflow(workflow))

    assert dump_workflow(plain) == dump_workflow(workflow)
    assert str(plain) == str(workflow)
    assert repr(plain) == repr(workflow)
    assert type(plain) in type(workflow).__mro__


@each_whole
def test_they_are_values(name: str) -> None:
    """Operations copy, pickle and compare like actions."""
    workflow = WHOLE[name]

    for same in (
        copy.copy(workflow),
        copy.deepcopy(workflow),
        pickle.loads(pickle.dumps(workflow)),
    ):
        assert same == workflow
        assert type(same) is type(workflow)
        assert hash(same) == hash(workflow)
    assert workflow != load_workflow(dump_workflow(workflow))


# Parts


@pytest.mark.parametrize(
    ("posts", "expected"),
    [
        (True, [{"actionType": "st.retrievePersonPosts"}]),
        (PartLimit(5), [{"actionType": "st.retrievePersonPosts", "limit": 5}]),
        (
            PartLimit(5, since="2026-01-01"),
            [
                {
                    "actionType": "st.retrievePersonPosts",
                    "limit": 5,
                    "since": "2026-01-01",
                }
            ],
        ),
        (PartLimit(), [{"actionType": "st.retrievePersonPosts"}]),
        (
            {"since": "2026-01-01", "label": "new"},
            [
                {
                    "actionType": "st.retrievePersonPosts",
                    "label": "new",
                    "since": "2026-01-01",
                }
            ],
        ),
        (
            st.retrieve_person_posts(limit=1),
            [{"actionType": "st.retrievePersonPosts", "limit": 1}],
        ),
        (False, []),
        (None, []),
    ],
)
def test_forms_of_a_part(posts: Any, expected: list[Node]) -> None:
    """True, a limit, a dict of parameters or its action select a part."""
    definition = dump_workflow(fetch_person(PERSON, posts=posts))

    whole = {
        "actionType": "st.openPersonPage",
        "personUrl": "https://www.linkedin.com/in/ada",
        "basicInfo": True,
    }
    then = {"then": expected[0]} if expected else {}
    assert whole | then == definition


@pytest.mark.parametrize(
    ("posts", "words"),
    [
        (10, "got 10; write PartLimit\\(10\\)"),
        (0, "or the action st.retrieve_person_posts, got 0"),
        ([5], "True, False, a PartLimit, a dict of parameters or the action"),
        (st.retrieve_person_comments(), "got st.retrieve_person_comments"),
        (PartLimit(0), "st.retrievePersonPosts: limit must be at least 1, got 0"),
        ({"top": 5}, "top is not a parameter; known: label, children, limit, since"),
    ],
)
def test_what_is_no_part(posts: Any, words: str) -> None:
    """Anything else is refused at once, with what is allowed."""
    with pytest.raises(ParameterError, match=words):
        fetch_person(PERSON, posts=posts)


def test_settings_that_a_part_does_not_have() -> None:
    """A time is refused for a part whose action has none."""
    with pytest.raises(ParameterError, match="since is not a parameter"):
        fetch_company(COMPANY, employees=PartLimit(5, since="2026-01-01"))


def test_filters() -> None:
    """A part accepts all parameters of its action, filters too."""
    found = params.EmployeesFilter(position="CEO")
    by_dict = fetch_company(COMPANY, employees={"filter": found})

    assert by_dict == fetch_company(
        COMPANY, employees=st.retrieve_company_employees(filter=found)
    )


def test_labels() -> None:
    """An operation takes a label for its root."""
    labelled: list[Action[Any, Any, Any]] = [
        fetch_person(PERSON, label="x"),
        fetch_company(COMPANY, label="x"),
        fetch_post(POST, label="x"),
        fetch_job(JOB, label="x"),
        endorse_person_skills(PERSON, label="x"),
        send_message(PERSON, text="Hi", label="x"),
        nv_fetch_company(HASHED_COMPANY, label="x"),
        nv_fetch_person(HASHED_PERSON, label="x"),
    ]
    assert ["x"] * len(WHOLE) == [workflow.label for workflow in labelled]


# Results


@each_whole
@settings(max_examples=30, deadline=None)
@given(data=draws.data())
def test_nothing_is_lost(name: str, data: Any) -> None:
    """The flat result has the page, all parts and every error."""
    workflow = WHOLE[name]
    raw = data.draw(completions(workflow, fail=True))
    plain = read_completion(raw, load_workflow(dump_workflow(workflow)))
    completion = read_completion(raw, workflow)
    if plain.root.error is not None:
        with pytest.raises(ActionError):
            workflow.read(completion)
        return
    flat = workflow.read(completion)

    assert FLAT[name] is type(flat)
    assert [str(e) for e in plain.errors] == [str(e) for e in flat.errors]
    shown = plain.root.data
    for attribute in shown._json_names() if shown is not None else ():
        assert getattr(shown, attribute) == getattr(flat, attribute)
    for pick in child_fields(typing.cast("Any", FLAT[name])):
        outcomes = plain.all(pick.action)
        expected = outcomes[0].data if outcomes else None
        assert expected == getattr(flat, pick.attribute)


@each_whole
@settings(max_examples=30, deadline=None)
@given(data=draws.data())
def test_nothing_from_outside_breaks_it(name: str, data: Any) -> None:
    """A value of an unexpected type never destroys the rest."""
    workflow = WHOLE[name]
    raw = data.draw(completions(workflow, fail=True))
    path = data.draw(draws.sampled_from([*places(raw)]))
    raw = replaced(raw, path, data.draw(json_values | draws.just(at(raw, path))))
    completion = read_completion(raw, workflow)
    try:
        flat = workflow.read(completion)
    except (ActionError, ResultMissingError):
        return

    assert FLAT[name] is type(flat)
    assert [*map(str, completion.errors)] == [*map(str, flat.errors)]


def test_flat_person() -> None:
    """Parts that failed or were not selected are None; failures are in `errors`."""
    workflow = fetch_person(PERSON, experience=True, posts=PartLimit(2), skills=True)
    raw = page(
        done("st.retrievePersonExperience", [{"position": "Countess"}]),
        done("st.retrievePersonSkills", []),
        failed("st.retrievePersonPosts"),
        name="Ada",
        shoeSize=38,
    )
    person = workflow.read(read_completion(raw, workflow))

    assert "Ada" == person.name
    assert [results.Experience(position="Countess")] == person.experiences
    assert [] == person.skills
    assert (None, None) == (person.posts, person.languages)
    assert ["st.retrievePersonPosts: someReason: no"] == [*map(str, person.errors)]
    assert {"shoeSize": 38} == person.extra
    assert raw["data"] == person.raw
    assert person.errors[0].completion.raw == raw
    expected = "FetchedPerson(name='Ada', experiences=[Experience(position='Countess')]"
    assert f"{expected}, skills=[])" == repr(person)


@pytest.mark.parametrize("as_list", [True, False])
@pytest.mark.parametrize("place", ["data", "node"])
def test_children_in_any_place_and_form(place: str, as_list: bool) -> None:
    """A child is found in the data or beside it, as an object or as a list."""
    workflow = fetch_person(PERSON, languages=True)
    child = done("st.retrievePersonLanguages", [{"name": "English"}])
    then = {"then": [child] if as_list else child}
    raw = (
        done("st.openPersonPage", then)
        if place == "data"
        else done("st.openPersonPage", **then)
    )
    person = workflow.read(read_completion(raw, workflow))

    assert [results.Language(name="English")] == person.languages
    assert person.languages is person[st.retrieve_person_languages]


def test_children_in_two_places() -> None:
    """Children in the data and beside it are both found."""
    workflow = fetch_person(PERSON, languages=True, posts=True)
    raw = done(
        "st.openPersonPage",
        {"then": done("st.retrievePersonLanguages", [])},
        then=failed("st.retrievePersonPosts"),
    )
    person = workflow.read(read_completion(raw, workflow))

    assert [] == person.languages
    assert 1 == len(person.errors)


def test_parts_nest_further() -> None:
    """A part given as an action is the key of its result, with all below it."""
    status = st.check_connection_status()
    person_page = st.open_person_page().then(status)
    makers = st.retrieve_company_dms().then(st.do_for_people().then(person_page))
    workflow = fetch_company(COMPANY, dms=makers)
    broken = failed("st.checkConnectionStatus")
    people = [
        {"name": "Ada", "then": done("st.openPersonPage", {"then": broken})},
        {"name": "Grace", "then": failed("st.openPersonPage")},
    ]
    raw = done("st.openCompanyPage", {"then": [done("st.retrieveCompanyDMs", people)]})
    company = workflow.read(read_completion(raw, workflow))

    assert company.dms is company[makers]
    assert ["Ada", "Grace"] == [person.name for person in company.dms or ()]
    assert ["st.checkConnectionStatus", "st.openPersonPage"] == [
        error.action_type for error in company.errors
    ]


def test_more_children() -> None:
    """An operation takes more children, whose errors are in `errors` too."""
    request = st.send_connection_request(note="Hi")
    workflow = fetch_person(PERSON, skills=True).then(request)
    raw = page(done("st.retrievePersonSkills", []), failed("st.sendConnectionRequest"))
    person = workflow.read(read_completion(raw, workflow))

    assert [] == person.skills
    assert ["st.sendConnectionRequest"] == [e.action_type for e in person.errors]
    with pytest.raises(ActionError, match="someReason"):
        person[request]


def test_two_children_of_a_kind() -> None:
    """A second child of a part's type has its own result, by its own key."""
    few, many = st.retrieve_person_posts(limit=1), st.retrieve_person_posts(limit=9)
    workflow = fetch_person(PERSON, posts=few).then(many)
    raw = page(
        done("st.retrievePersonPosts", [{"text": "few"}]),
        done("st.retrievePersonPosts", [{"text": "many"}]),
    )
    person = workflow.read(read_completion(raw, workflow))

    assert person.posts is person[few]
    assert [results.Post(text="many")] == person[many]


def test_parts_are_no_fields_of_the_page() -> None:
    """A field of the page with the name of a part is not used for the part."""
    workflow = fetch_person(PERSON, posts=True)
    posts = done("st.retrievePersonPosts", [{"text": "Hi"}])
    raw = done("st.openPersonPage", {"posts": ["x"], "skills": [], "then": posts})
    person = workflow.read(read_completion(raw, workflow))

    assert [results.Post(text="Hi")] == person.posts
    assert person.skills is None
    assert {"posts": ["x"], "skills": []} == person.extra
    assert person != workflow.read(read_completion(page(), workflow))


def test_rows() -> None:
    """The rows of a completion do not depend on the operation that read it."""
    workflow = fetch_company(COMPANY, dms=True)
    dms = done("st.retrieveCompanyDMs", [{"name": "Ada"}, {"name": "Grace"}])
    raw = done("st.openCompanyPage", {"name": "Acme", "then": [dms]})
    plain = read_completion(raw, load_workflow(dump_workflow(workflow)))

    assert [*plain.rows()] == [*read_completion(raw, workflow).rows()]


def test_read() -> None:
    """An operation can read a completion that was read without it."""
    workflow = fetch_person(PERSON, skills=True)
    raw = page(done("st.retrievePersonSkills", []), name="Ada")
    plain, own = read_completion(raw), read_completion(raw, workflow)

    assert type(plain.root.data) is results.PersonPage
    assert workflow.read(plain) == workflow.read(own) == own[workflow]
    assert workflow.read(own) is workflow.read(own) is own.root.data
    assert raw == own.raw
    assert (
        "Ada" == st.open_person_page("https://www.linkedin.com/in/ada").read(plain).name
    )
    with pytest.raises(ResultMissingError, match=r"no outcome of st\.openCompanyPage"):
        fetch_company(COMPANY).read(plain)


def test_array() -> None:
    """In an array workflow each operation reads its own root."""
    sent = (
        fetch_person(PERSON),
        st.retrieve_ssi(),
        fetch_person(PERSON + "-2", posts=True),
    )
    posts = done("st.retrievePersonPosts", [])
    raw = [page(name="Ada"), done("st.retrieveSSI"), page(posts, name="Grace")]
    completion = read_completion(raw, sent)
    first, last = sent[0].read(completion), sent[2].read(completion)

    assert ("Ada", None) == (first.name, first.posts)
    assert ("Grace", []) == (last.name, last.posts)
    assert results.SocialSellingIndex() == sent[1].read(completion)


def test_another_action_than_expected() -> None:
    """An outcome of another action keeps its own class."""
    raw = done("st.openCompanyPage", {"name": "Acme"})
    completion = read_completion(raw, fetch_person(PERSON))

    assert results.CompanyPage(name="Acme") == completion.root.value()


def test_endorsed_skills() -> None:
    """Each matching skill says whether it was endorsed, and why not."""
    workflow = endorse_person_skills(PERSON, skill_name_patterns=["P*"])
    skills = [
        {"name": "Python", "then": [done("st.endorsePersonSkill")]},
        {"name": "Cobol"},
        {"name": "Perl", "then": failed("st.endorsePersonSkill")},
    ]
    raw = page(done("st.retrievePersonSkills", skills))
    person = workflow.read(read_completion(raw, workflow))

    assert [("Python", True, None), ("Perl", False, "someReason")] == [
        (skill.name, skill.success, skill.error and skill.error.type)
        for skill in person.skills or ()
    ]
    assert [skills[0], skills[2]] == [skill.raw for skill in person.skills or ()]
    assert 1 == len(person.errors)


def test_skills_that_cannot_be_listed() -> None:
    """If the skills cannot be listed, they are None, and `errors` has the reason."""
    workflow = endorse_person_skills(PERSON)
    raw = page(failed("st.retrievePersonSkills"))
    person = workflow.read(read_completion(raw, workflow))

    assert person.skills is None
    assert ["st.retrievePersonSkills"] == [e.action_type for e in person.errors]


def test_sent_message() -> None:
    """A message counts as sent although managing the conversation failed."""
    workflow = send_message(PERSON, text="Hi", manage_conversation="archive")
    managed = {"then": failed("st.manageConversation")}
    sent = workflow.read(read_completion(done("st.sendMessage", managed), workflow))

    assert ["st.manageConversation"] == [error.action_type for error in sent.errors]
    assert managed == sent.raw
    assert {} == sent.extra
    assert () == workflow.read(read_completion(done("st.sendMessage"))).errors


def test_two_views_of_one_page() -> None:
    """A second operation can read a completion that another one has read."""
    fetch, endorse = fetch_person(PERSON, skills=True), endorse_person_skills(PERSON)
    skills = [{"name": "Perl", "then": done("st.endorsePersonSkill")}, {"name": "C"}]
    raw = page(done("st.retrievePersonSkills", skills), name="Ada")
    fetched, endorsed = read_completion(raw, fetch), read_completion(raw, endorse)

    for completion in (fetched, endorsed):
        assert "Ada" == fetch.read(completion).name == endorse.read(completion).name
        assert 2 == len(fetch.read(completion).skills or ())
        assert 1 == len(endorse.read(completion).skills or ())


# Over loopback


@pytest.mark.anyio
@each_whole
async def test_run(name: str) -> None:
    """`run` yields the flat result with all its parts."""
    async with Sandbox(speed=1000, duration=0) as box, box.session() as session:
        flat = await session.run(WHOLE[name])

        assert FLAT[name] is type(flat)
        assert () == flat.errors
        for pick in child_fields(typing.cast("Any", FLAT[name])):
            assert getattr(flat, pick.attribute)


@pytest.mark.anyio
async def test_every_way_to_the_result() -> None:
    """Handles, keys, arrays, streams and attached ids give the same result."""
    workflow = fetch_company(COMPANY, dms=PartLimit(2))
    async with Sandbox(speed=1000, duration=0) as box, box.session() as session:
        handle = await session.start(workflow)
        company = await handle
        completion = await handle.completion()

        assert company.dms
        assert company is await handle.result() is completion[workflow]

        both = await session.run(workflow, fetch_person(PERSON))
        assert [FetchedCompany, FetchedPerson] == [*map(type, both)]
        assert company == both[0]

        async with session.as_completed([("a", workflow), ("b", workflow)]) as stream:
            streamed = [await done async for done in stream]
        assert [company, company] == streamed

        attached = session.attach(handle.workflow_id or "", workflow)
        assert company == await attached

        plain = session.attach((await session.start(workflow)).workflow_id or "")
        assert company == workflow.read(await plain.completion())


@pytest.mark.anyio
async def test_failures() -> None:
    """A failed child is in `errors`; a failed operation raises."""
    workflow = fetch_company(COMPANY, dms=True, posts=PartLimit(1))
    async with Sandbox(speed=1000, duration=0) as box, box.session() as session:
        box.fail_action("st.retrieveCompanyDMs", "retrievingNotAllowed", "no")
        company = await session.run(workflow)

        assert company.dms is None
        assert company.posts
        assert ["retrievingNotAllowed"] == [error.type for error in company.errors]

        box.fail_action("st.openCompanyPage", "companyNotFound", "no")
        with pytest.raises(ActionError, match="companyNotFound") as caught:
            await session.run(workflow)
        assert ["companyNotFound"] == [e.type for e in caught.value.completion.errors]


@pytest.mark.anyio
async def test_older_generation() -> None:
    """In account_api, unsupported operations are refused before they are sent."""
    async with (
        Sandbox(speed=1000, duration=0) as box,
        box.session("account_api") as session,
    ):
        company = await session.run(WHOLE["fetch_company"])
        assert company.employees
        assert company.employees_count is not None

        for unknown in (fetch_job(JOB), fetch_post(POST, comments=True)):
            with pytest.raises(UnsupportedError, match="linked_api_token="):
                await session.run(typing.cast("Action[Any, Any, Any]", unknown))


@pytest.mark.anyio
async def test_recovered_operations(tmp_path: Path) -> None:
    """After a crash a stream gives the flat result, and `recover` the page's."""
    workflow = fetch_person(PERSON, skills=True)
    path = tmp_path / "runs.sqlite3"
    async with Sandbox(speed=1000, duration=0) as box:
        async with box.session(journal=path) as session:
            await session.start(workflow)
            async with session.as_completed([("ada", workflow)]) as stream:
                await anext(stream)  # not acknowledged
        async with box.session(journal=path) as session:
            async with session.as_completed([("ada", workflow)]) as stream:
                streamed = [await handle async for handle in stream]
            resumed = [await handle for handle in (await session.recover()).handles]

        assert 2 == len(box.workflows)
        assert [FetchedPerson] == [*map(type, streamed)]
        assert [results.PersonPage] == [*map(type, resumed)]
