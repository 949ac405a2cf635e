"""Nested parameters, and the rules between the parameters of an action."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest

from linkedapi_async import nv, st
from linkedapi_async._actions.compatibility import unsupported_in
from linkedapi_async._actions.parameters import parameters_of
from linkedapi_async._types import Generation
from linkedapi_async.errors import ParameterError, UnknownValueWarning
from linkedapi_async.params import (
    AnnualRevenue,
    CompaniesFilter,
    CompanyRef,
    ConnectionsFilter,
    EmployeesFilter,
    JobsFilter,
    JobsPreferences,
    MemberRef,
    Mention,
    NvEmployeesFilter,
    NvPeopleFilter,
    PeopleFilter,
    PostAttachment,
    PostsFilter,
)


IMAGE = PostAttachment(url="i", type="image")
VIDEO = PostAttachment(url="v", type="video")
DOCUMENT = PostAttachment(url="d", type="document", name="Report")


def refusal(build: Callable[..., object], *args: Any, **kwargs: Any) -> ParameterError:
    """Return the error that calling *build* raises."""
    with pytest.raises(ParameterError) as caught:
        build(*args, **kwargs)
    return caught.value


@pytest.mark.parametrize("action", [st.accept_invitation, st.ignore_invitation])
@pytest.mark.parametrize(
    ("kind", "due"),
    [
        ("connect", "person_url"),
        ("companyFollow", "company_url"),
        ("newsletterSubscribe", "newsletter_url"),
    ],
)
def test_an_invitation_takes_the_url_of_its_type(
    action: Any, kind: str, due: str
) -> None:
    """Just the one URL that the type is about is needed, and no other allowed."""
    others = {"person_url", "company_url", "newsletter_url"} - {due}
    missing = refusal(action, kind)
    built = action(kind, **{due: "u"})

    assert "u" == getattr(built, due)
    assert due == missing.parameter
    assert f"is required for the invitation type {kind!r}" == missing.reason
    for other in others:
        surplus = refusal(action, kind, **{due: "u", other: "x"})

        assert other == surplus.parameter
        assert surplus.reason.endswith(f"{due} does")


@pytest.mark.parametrize("action", [st.accept_invitation, st.ignore_invitation])
def test_an_unknown_invitation_type_takes_any_url(action: Any) -> None:
    """What this version does not know, it does not judge."""
    with pytest.warns(UnknownValueWarning, match="eventAttend"):
        invitation = action("eventAttend", company_url="u")

    assert "u" == invitation.company_url


def test_a_post_search_needs_a_term_or_a_url() -> None:
    """Either of the two is enough."""
    assert "x" == st.search_posts(term="x").term
    assert "u" == st.search_posts(custom_search_url="u").custom_search_url
    error = refusal(st.search_posts)

    assert ("st.searchPosts", "term") == (error.owner, error.parameter)
    assert "is required, or custom_search_url is" == error.reason


def test_a_job_search_takes_a_filter_or_preferences() -> None:
    """The two kinds of search do not go together."""
    jobs = JobsFilter(easy_apply=True)
    wishes = JobsPreferences(remote=True)

    assert jobs == st.search_jobs(filter=jobs).filter
    assert wishes == st.search_jobs(preferences=wishes).preferences
    error = refusal(st.search_jobs, filter=jobs, preferences=wishes)

    assert "preferences" == error.parameter


@pytest.mark.parametrize(
    "attachments",
    [[IMAGE] * 9, [VIDEO], [DOCUMENT], []],
    ids=["images", "video", "document", "none"],
)
def test_a_post_takes_attachments_of_one_kind(
    attachments: list[PostAttachment],
) -> None:
    """Nine images, one video or one document."""
    post = st.create_post(text="x", attachments=attachments)

    assert tuple(attachments) == post.attachments


@pytest.mark.parametrize(
    ("attachments", "reason"),
    [
        ([IMAGE] * 10, "must have at most 9 items, got 10"),
        ([IMAGE, VIDEO], "cannot mix image and video"),
        ([VIDEO, VIDEO], "must have only one video, got 2"),
        ([DOCUMENT, DOCUMENT], "must have only one document, got 2"),
    ],
)
def test_a_post_refuses_other_attachments(
    attachments: list[PostAttachment], reason: str
) -> None:
    """Too many, or of several kinds."""
    error = refusal(st.create_post, text="x", attachments=attachments)

    assert ("attachments", reason) == (error.parameter, error.reason)


def test_a_document_needs_a_name() -> None:
    """Images and videos do not."""
    error = refusal(PostAttachment, url="d", type="document")

    assert ("params.PostAttachment", "name") == (error.owner, error.parameter)
    assert IMAGE.name is None


@pytest.mark.parametrize(
    "given",
    [{}, {"urn": "u"}, {"person_hashed_url": "u"}, {"company_hashed_url": "u"}],
    ids=lambda given: next(iter(given), "none"),
)
def test_a_mention_takes_one_identifier_at_most(given: dict[str, str]) -> None:
    """One or none says who is meant; a second one is refused."""
    names = ("urn", "person_hashed_url", "company_hashed_url")
    mention = Mention(key="k", name="n", **given)

    assert given == {n: "u" for n in names if getattr(mention, n) is not None}
    if given:
        (first,) = given
        for second in set(names) - {first}:
            both = {first: "u", second: "u"}
            error = refusal(Mention, key="k", name="n", **both)

            assert error.parameter in both


@pytest.mark.parametrize(
    ("cls", "given", "missing"),
    [
        (MemberRef, {}, "name"),
        (CompanyRef, {"id": "1"}, "name"),
        (AnnualRevenue, {"max": "1"}, "min"),
        (AnnualRevenue, {"min": "1"}, "max"),
        (Mention, {"key": "k"}, "name"),
        (Mention, {"name": "n"}, "key"),
        (PostAttachment, {"url": "u"}, "type"),
        (PostAttachment, {"type": "image"}, "url"),
    ],
)
def test_required_fields(cls: Any, given: dict[str, str], missing: str) -> None:
    """What an object cannot do without is named when it is missing."""
    error = refusal(cls, **given)

    assert (missing, "is required") == (error.parameter, error.reason)


def test_a_list_of_people_mixes_names_and_objects() -> None:
    """A plain string is short for an object with a name."""
    ada = MemberRef(name="Ada", id="urn:li:member:1")
    posts = PostsFilter(from_members=["Bob", ada], sort="latest")

    assert ("Bob", ada) == posts.from_members
    error = refusal(PostsFilter, from_members=[CompanyRef(name="Acme")])

    assert "from_members[0]" == error.parameter


@pytest.mark.parametrize(
    ("action", "wrong"),
    [
        (st.search_people, ConnectionsFilter(first_name="Ada")),
        (st.retrieve_connections, PeopleFilter(first_name="Ada")),
        (st.retrieve_company_employees, PeopleFilter(first_name="Ada")),
        (nv.search_people, PeopleFilter(first_name="Ada")),
        (nv.retrieve_company_employees, EmployeesFilter(first_name="Ada")),
        (nv.search_companies, CompaniesFilter(sizes=["1-10"])),
    ],
)
def test_a_filter_belongs_to_its_action(action: Any, wrong: object) -> None:
    """One filter is never taken for another, however alike they are."""
    error = refusal(action, filter=wrong)

    assert "filter" == error.parameter


def test_names_with_digits_are_spelt_as_the_api_does() -> None:
    """Snake case gives exactly the API's camel case, digits included."""
    wires = {row.name: row.json_name for row in parameters_of(JobsFilter)}

    assert "under10Applicants" == wires["under_10_applicants"]


def test_the_first_spelling_of_years_is_still_known() -> None:
    """Digits pass in one of the two fields, and are a warning in the other."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        old = NvPeopleFilter(years_of_experience=["0-1", "moreThanTen"])

    assert ("0-1", "moreThanTen") == old.years_of_experience
    with pytest.warns(UnknownValueWarning, match="0-1"):
        NvEmployeesFilter(years_of_experiences=["0-1"])


@pytest.mark.parametrize(
    ("action", "limit", "firm"),
    [
        (st.search_people, 1001, True),
        (nv.search_people, 2501, True),
        (st.search_jobs, 1001, True),
        (st.search_companies, 1001, False),
        (nv.search_companies, 1001, False),
        (nv.retrieve_company_employees, 2501, False),
        (st.retrieve_company_employees, 501, False),
        (st.retrieve_person_posts, 21, False),
    ],
)
def test_only_a_certain_maximum_is_refused(action: Any, limit: int, firm: bool) -> None:
    """A doubtful maximum, or one of a single generation, lets the value pass."""
    if firm:
        assert "limit" == refusal(action, limit=limit).parameter
    else:
        assert limit == action(limit=limit).limit


@pytest.mark.parametrize(
    ("node", "generation", "parameters"),
    [
        (st.search_people(limit=1000), "account_api", []),
        (st.search_people(limit=1000), "linked_api", []),
        (st.retrieve_company_employees(limit=501), "account_api", ["limit"]),
        (st.retrieve_company_employees(limit=501), "linked_api", []),
        (nv.retrieve_company_employees(limit=501), "account_api", ["limit"]),
        (nv.retrieve_company_employees(limit=2501), "linked_api", []),
        (st.send_connection_request("u", note="x" * 301), "account_api", []),
        (st.send_connection_request("u", note="x" * 301), "linked_api", ["note"]),
        (nv.send_message("u", text="x"), "account_api", ["subject"]),
        (nv.send_message("u", text="x"), "linked_api", []),
        (
            nv.send_message("u", text="x", subject="x" * 81),
            "account_api",
            ["subject"],
        ),
        (nv.send_message("u", text="x", subject="x" * 81), "linked_api", []),
    ],
)
def test_a_generation_has_its_own_bounds(
    node: Any, generation: Generation, parameters: list[str]
) -> None:
    """What is firm in one generation only is an error in that one only."""
    found = [getattr(e, "parameter", None) for e in unsupported_in(node, generation)]

    assert parameters == found


def test_fields_of_a_filter_have_generations_too() -> None:
    """A field that only the current generation knows is told from the others."""
    old = st.search_people(filter=PeopleFilter(first_name="Ada"))
    new = st.search_people(filter=PeopleFilter(connection_degrees=["1st"]))

    assert [] == list(unsupported_in(old, "account_api"))
    assert [] == list(unsupported_in(new, "linked_api"))
    (error,) = unsupported_in(new, "account_api")

    assert "connection_degrees" in str(error)


def test_a_plain_string_is_no_list() -> None:
    """A bare string where a list is due is refused, not split into letters."""
    error = refusal(PeopleFilter, locations="Oslo")

    assert "locations" == error.parameter
    assert "must be a list, got 'Oslo'; write ['Oslo']" == error.reason
