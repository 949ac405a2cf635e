"""Targets of actions: what is certainly wrong is refused, what may be right is sent."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as draws
from sample_targets import SAMPLE_TARGETS

from linkedapi_async import custom, dump_workflow, load_workflow, nv, st
from linkedapi_async._actions.parameters import Parameter, parameters_of
from linkedapi_async._actions.validators import _USUAL_PAGES, TargetString
from linkedapi_async._results.key import ACTIONS
from linkedapi_async.errors import (
    InvalidDefinitionError,
    ParameterError,
    UnknownValueWarning,
)
from linkedapi_async.urls import TargetKind, check_target


SITE = "https://www.linkedin.com"

CHECKED = [
    pytest.param(cls, row, id=f"{name}-{row.json_name}")
    for name, cls in ACTIONS.items()
    for row in parameters_of(cls)
    if row.info.kind is not None
]


def given_with(cls: Any, row: Parameter, value: str) -> dict[str, Any]:
    """Return the parameters of an action whose parameter *row* has *value*."""
    invitations = {
        "person_url": "connect",
        "company_url": "companyFollow",
        "newsletter_url": "newsletterSubscribe",
    }
    given: dict[str, Any] = {}
    for other in parameters_of(cls):
        if other.name == "invitation_type":
            given[other.name] = invitations[row.name]
        elif other.required or other.name in {"post_url", "skill_name"}:
            known = getattr(other.validator, "known", ("Hi",))
            given[other.name] = SAMPLE_TARGETS.get(other.name, known[0])
    return {**given, row.name: value}


def in_json(cls: Any, given: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON of an action with these parameters."""
    names = {row.name: row.json_name for row in parameters_of(cls)}
    return {
        "actionType": cls.action_type,
        **{names[name]: value for name, value in given.items()},
    }


@pytest.mark.parametrize(("cls", "row"), CHECKED)
@pytest.mark.parametrize("nonsense", ["ada lovelace", "ada@example.com", " {}", "{}\n"])
def test_nonsense_is_refused(cls: Any, row: Parameter, nonsense: str) -> None:
    """Certain nonsense is an error that says what was expected, in Python and JSON."""
    value = nonsense.format(SAMPLE_TARGETS[row.name])
    parameters = given_with(cls, row, value)
    with pytest.raises(ParameterError) as in_python:
        cls(**parameters)
    with pytest.raises(InvalidDefinitionError) as in_definition:
        load_workflow(in_json(cls, parameters))

    (problem,) = in_definition.value.problems
    assert isinstance(problem, ParameterError)
    assert row.name == in_python.value.parameter
    assert row.json_name == problem.parameter
    assert in_python.value.reason == problem.reason
    assert repr(value) in problem.reason


@pytest.mark.parametrize(("cls", "row"), CHECKED)
def test_right_targets_are_sent_as_they_are(cls: Any, row: Parameter) -> None:
    """What is right is kept as it is, without a warning."""
    value = SAMPLE_TARGETS[row.name]

    assert value == getattr(cls(**given_with(cls, row, value)), row.name)


@pytest.mark.parametrize(
    ("build", "value", "expected"),
    [
        (st.open_person_page, f"{SITE}/company/acme", "must be the URL of a person"),
        (st.open_person_page, "https://example.com/in/ada", "the URL of a person"),
        (st.open_company_page, f"{SITE}/in/ada", "must be the URL of a company"),
        (st.open_post, f"{SITE}/in/ada", "must be the URL of a post"),
        (st.open_job, f"{SITE}/company/acme", "must be the URL of a job"),
        (nv.open_person_page, f"{SITE}/sales/company/1", "the hashed URL of a person"),
        (nv.open_company_page, f"{SITE}/in/ada", "the numeric URL of a company"),
        (st.manage_conversation, f"{SITE}/in/ada", "the id of a conversation"),
        (st.open_person_page, f"{SITE}/in/ada\u200b", "no white space or invisible"),
        (st.open_person_page, f"\xa0{SITE}/in/ada", "no white space or invisible"),
    ],
)
def test_targets_of_another_kind(build: Any, value: str, expected: str) -> None:
    """A target of another kind, or of another host, is refused."""
    given = {"operation": "archive"} if build is st.manage_conversation else {}
    with pytest.raises(ParameterError, match=expected):
        build(value, **given)


@pytest.mark.parametrize(
    ("build", "value", "doubt"),
    [
        (st.open_person_page, "https://lnkd.in/AbCd", "is a short link"),
        (st.open_person_page, f"{SITE}/pub/ada/1/2/3", "is of no known form"),
        (st.open_person_page, f"{SITE}/sales/lead/ACwAAB1,x", "is a Sales Navigator"),
        (st.open_company_page, f"{SITE}/sales/company/1", "is a Sales Navigator URL"),
        (nv.open_person_page, f"{SITE}/in/ada", "is a public URL"),
    ],
)
def test_doubtful_targets_are_sent(build: Any, value: str, doubt: str) -> None:
    """What might be right is sent as it is, with one warning."""
    with pytest.warns(UnknownValueWarning) as caught:
        action = build(value)
    with pytest.warns(UnknownValueWarning) as loading:
        loaded = load_workflow(dump_workflow(action))

    assert value == getattr(loaded, loaded.targets[0])
    assert action == loaded
    (warning,) = caught
    assert f"_url {doubt}" in str(warning.message)
    assert 1 == len(loading)


@pytest.mark.parametrize(
    "value",
    [
        "linkedin.com/in/ada",
        "www.linkedin.com/in/ada",
        "HTTPS://WWW.LinkedIn.com/in/Ada/",
        f"{SITE}/in/ACoAAB1vKx8BQm3Tz9",
        "https://de.linkedin.com/in/ada",
        "https://m.linkedin.com/in/ada?trk=x#y",
        "urn:li:member:123",
        "urn:li:fsd_profile:ACoAAB1vKx8BQm3Tz9",
        "{{url}}",
        "{{ a name, not a URL }}",
        f"{SITE}/in/{{{{name}}}} ",
    ],
)
def test_right_spellings(value: str) -> None:
    """Every right spelling is sent as it is; a placeholder is not checked yet."""
    assert value == st.open_person_page(value).person_url


@pytest.mark.parametrize("path", ["school", "showcase", "company"])
def test_companies_of_every_sort(path: str) -> None:
    """Schools, showcase pages and numbers are companies."""
    for name in ("acme", "1035"):
        assert st.open_company_page(f"{SITE}/{path}/{name}").company_url


@pytest.mark.parametrize("value", ["Ada Lovelace", "https://lnkd.in/x", " ", "\u200b"])
def test_unchecked_targets(value: str) -> None:
    """Without checks any text is a target, of an action that stays typed."""
    page = {"actionType": "st.openPersonPage", "personUrl": value, "basicInfo": True}
    workflow = load_workflow({**page, "then": []}, check=False)
    several = load_workflow([page], check=False)

    assert isinstance(workflow, st.open_person_page)
    assert value == workflow.person_url
    assert {**page, "then": []} == dump_workflow(workflow)
    assert [page] == dump_workflow(several)
    # The next one is checked again.
    with pytest.raises(InvalidDefinitionError):
        load_workflow({**page, "personUrl": "Ada"})


def test_unknown_actions_are_not_checked() -> None:
    """It is unknown what a parameter of an unknown action names."""
    action = custom("st.somethingNew", personUrl="Ada Lovelace")

    assert {"actionType": "st.somethingNew", "personUrl": "Ada Lovelace"} == (
        dump_workflow(action)
    )


@given(draws.data(), draws.sampled_from([*_USUAL_PAGES]))
def test_usual_spellings_are_right(data: draws.DataObject, kind: TargetKind) -> None:
    """What is accepted without the full check would pass it, too."""
    usual = TargetString(kind).fast_path_argument
    value = data.draw(draws.from_regex(usual.__self__, fullmatch=True))

    assert usual(value)
    assert None is check_target(kind, value)


def test_a_checked_value_is_not_checked_again() -> None:
    """Nesting a built action repeats no warning."""
    with pytest.warns(UnknownValueWarning):
        page = st.open_person_page("https://lnkd.in/AbCd")
    with warnings.catch_warnings():
        warnings.simplefilter("error")

        assert page.then(st.retrieve_person_skills()).children
