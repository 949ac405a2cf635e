"""Nested parameters, and the rules between the parameters of an action."""

import datetime as dt
import re
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from sample_targets import SAMPLE_TARGETS

from linkedapi_async import load_workflow, nv, st
from linkedapi_async._actions.compatibility import unsupported_in
from linkedapi_async._actions.parameters import parameters_of
from linkedapi_async._types import Generation
from linkedapi_async.errors import (
    InvalidDefinitionError,
    ParameterError,
    UnknownValueWarning,
)
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
    ("kind", "needed"),
    [
        ("connect", "person_url"),
        ("companyFollow", "company_url"),
        ("newsletterSubscribe", "newsletter_url"),
    ],
)
def test_an_invitation_takes_the_url_of_its_type(
    action: Any, kind: str, needed: str
) -> None:
    """The type needs the one URL that it is about, and no other is allowed."""
    others = {"person_url", "company_url", "newsletter_url"} - {needed}
    missing = refusal(action, kind)
    built = action(kind, **{needed: SAMPLE_TARGETS[needed]})

    assert SAMPLE_TARGETS[needed] == getattr(built, needed)
    assert needed == missing.parameter
    assert f"is required for the invitation type {kind!r}" == missing.reason
    for other in others:
        both = {name: SAMPLE_TARGETS[name] for name in (needed, other)}
        surplus = refusal(action, kind, **both)

        assert other == surplus.parameter
        assert surplus.reason.endswith(f"; pass {needed}")


@pytest.mark.parametrize("action", [st.accept_invitation, st.ignore_invitation])
def test_an_unknown_invitation_type_takes_any_url(action: Any) -> None:
    """An invitation type that this version does not know is not checked."""
    with pytest.warns(UnknownValueWarning, match="eventAttend"):
        invitation = action(
            "eventAttend", company_url="https://www.linkedin.com/company/acme"
        )

    assert SAMPLE_TARGETS["company_url"] == invitation.company_url


def test_a_post_search_needs_a_term_or_a_url() -> None:
    """A term or a custom search URL is enough; without both it is refused."""
    assert "x" == st.search_posts(term="x").term
    assert "u" == st.search_posts(custom_search_url="u").custom_search_url
    error = refusal(st.search_posts)

    assert ("st.searchPosts", "term") == (error.owner, error.parameter)
    assert "is required without custom_search_url" == error.reason


def test_a_job_search_takes_a_filter_or_preferences() -> None:
    """The two kinds of search cannot be combined."""
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
    """Nine images, one video or one document are accepted."""
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
    """Too many attachments, or attachments of several kinds, are refused."""
    error = refusal(st.create_post, text="x", attachments=attachments)

    assert ("attachments", reason) == (error.parameter, error.reason)


def test_a_document_needs_a_name() -> None:
    """A document without a name is refused; an image needs none."""
    error = refusal(PostAttachment, url="d", type="document")

    assert ("params.PostAttachment", "name") == (error.owner, error.parameter)
    assert IMAGE.name is None


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"urn": "u"},
        {"person_hashed_url": "u"},
        {"company_hashed_url": "u"},
    ],
    ids=lambda given: next(iter(given), "none"),
)
def test_a_mention_takes_one_identifier_at_most(given: dict[str, str]) -> None:
    """At most one identifier is allowed; a second one is refused."""
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
    """A missing field that is required is named."""
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
    """The filter of another action is refused, however similar."""
    error = refusal(action, filter=wrong)

    assert "filter" == error.parameter


def test_names_with_digits_are_spelt_as_the_api_does() -> None:
    """Snake case gives exactly the API's camel case, digits included."""
    wires = {row.name: row.json_name for row in parameters_of(JobsFilter)}

    assert "under10Applicants" == wires["under_10_applicants"]


def test_the_first_spelling_of_years_is_still_known() -> None:
    """One field accepts years in digits; the other one warns."""
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
        with pytest.warns(UnknownValueWarning, match=f"limit is {limit}, above "):
            built = action(limit=limit)
        assert limit == built.limit


@pytest.mark.parametrize(
    ("node", "generation", "parameters"),
    [
        (lambda: st.search_people(limit=1000), "account_api", []),
        (lambda: st.search_people(limit=1000), "linked_api", []),
        (lambda: st.retrieve_company_employees(limit=501), "account_api", ["limit"]),
        (lambda: st.retrieve_company_employees(limit=501), "linked_api", []),
        (lambda: nv.retrieve_company_employees(limit=501), "account_api", ["limit"]),
        (lambda: nv.retrieve_company_employees(limit=2501), "linked_api", []),
        (
            lambda: st.send_connection_request(
                "https://www.linkedin.com/in/ada", note="x" * 301
            ),
            "account_api",
            [],
        ),
        (
            lambda: st.send_connection_request(
                "https://www.linkedin.com/in/ada", note="x" * 301
            ),
            "linked_api",
            ["note"],
        ),
        (
            lambda: nv.send_message("https://www.linkedin.com/in/ada", text="x"),
            "account_api",
            ["subject"],
        ),
        (
            lambda: nv.send_message("https://www.linkedin.com/in/ada", text="x"),
            "linked_api",
            [],
        ),
        (
            lambda: nv.send_message(
                "https://www.linkedin.com/in/ada", text="x", subject="x" * 81
            ),
            "account_api",
            ["subject"],
        ),
        (
            lambda: nv.send_message(
                "https://www.linkedin.com/in/ada", text="x", subject="x" * 81
            ),
            "linked_api",
            [],
        ),
    ],
)
@pytest.mark.filterwarnings("ignore::linkedapi_async.UnknownValueWarning")
def test_a_generation_has_its_own_bounds(
    node: Any, generation: Generation, parameters: list[str]
) -> None:
    """A bound that is certain in one generation is an error in that one only."""
    found = [getattr(e, "parameter", None) for e in unsupported_in(node(), generation)]

    assert parameters == found


def test_fields_of_a_filter_have_generations_too() -> None:
    """A field that only linked_api has is an error in account_api."""
    old = st.search_people(filter=PeopleFilter(first_name="Ada"))
    new = st.search_people(filter=PeopleFilter(connection_degrees=["1st"]))

    assert [] == list(unsupported_in(old, "account_api"))
    assert [] == list(unsupported_in(new, "linked_api"))
    (error,) = unsupported_in(new, "account_api")

    assert "connection_degrees" in str(error)


def test_a_plain_string_is_no_list() -> None:
    """A string instead of a list is refused, not split into letters."""
    error = refusal(PeopleFilter, locations="Oslo")

    assert "locations" == error.parameter
    assert "must be a list, got 'Oslo'; write ['Oslo']" == error.reason


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (
            lambda: st.retrieve_feed(limit=101),
            "st.retrieveFeed: limit is 101, above the documented maximum of 100; it",
        ),
        (
            lambda: st.retrieve_profile_viewers(limit=301),
            "above the documented maximum of 300; it",
        ),
        (
            lambda: st.sync_conversation("https://www.linkedin.com/in/ada", days=91),
            "days is 91, above the documented maximum of 90; it",
        ),
        (
            lambda: st.comment_on_post(
                "https://www.linkedin.com/feed/update/urn:li:activity:7461747",
                text="x" * 1001,
            ),
            "text has 1001 characters, above the documented maximum of 1000; it",
        ),
        (
            lambda: st.create_repost(
                "https://www.linkedin.com/feed/update/urn:li:activity:7461747",
                text="x" * 3001,
            ),
            "above the documented maximum of 3000; it",
        ),
        (
            lambda: st.search_posts(term="x" * 51),
            "term has 51 characters, above the documented maximum of 50; it",
        ),
        (
            lambda: nv.send_message(
                "https://www.linkedin.com/in/ada", text="x", subject="x" * 81
            ),
            "above the documented maximum of 80; it",
        ),
        (lambda: MemberRef(name="x" * 101), "params.MemberRef: name has 101"),
        (
            lambda: Mention(key="x" * 31, name="x"),
            "key has 31 characters, above the documented",
        ),
        (lambda: Mention(key="a b", name="x"), r"key is documented as .*, got 'a b'"),
        (
            lambda: PostsFilter(from_members=["x", MemberRef(name="y" * 101)]),
            "name has 101",
        ),
    ],
)
def test_a_documented_maximum_that_is_not_certain_gives_a_warning(
    build: Callable[[], Any], words: str
) -> None:
    """The value is kept as it is, because the API may accept it."""
    with pytest.warns(UnknownValueWarning, match=words) as caught:
        build()

    assert 1 == len(caught)


NOON = dt.datetime(2026, 11, 28, 13, 0, 0, 5_000, dt.timezone(dt.timedelta(hours=1)))


@pytest.mark.parametrize(
    ("since", "kept"),
    [
        (NOON, "2026-11-28T12:00:00.005Z"),
        ("2026-11-28T13:00:00+01:00", "2026-11-28T13:00:00+01:00"),
        ("2026-11-28", "2026-11-28"),
        ("2026-11", "2026-11"),
        ("{{since}}", "{{since}}"),
        (None, None),
    ],
)
@pytest.mark.parametrize(
    "action",
    [
        st.retrieve_connections,
        st.retrieve_person_posts,
        st.retrieve_person_comments,
        st.retrieve_person_reactions,
        st.retrieve_company_posts,
        st.retrieve_profile_viewers,
    ],
)
def test_since_takes_a_datetime_or_iso_text(
    action: Any, since: Any, kept: str | None
) -> None:
    """An aware datetime becomes text in UTC; text is kept as it is."""
    assert kept == action(since=since).since


def test_only_connections_take_a_date() -> None:
    """The API compares days there, and moments elsewhere."""
    day = dt.date(2026, 1, 2)

    assert "2026-01-02" == st.retrieve_connections(since=day).since
    assert "since" == refusal(st.retrieve_person_posts, since=day).parameter


@pytest.mark.parametrize(
    ("since", "reason"),
    [
        ("yesterday", "must be ISO 8601 text.* got 'yesterday'"),
        ("01/02/2026", "must be ISO 8601 text"),
        (5, "must be ISO 8601 text.* got 5"),
        (NOON.replace(tzinfo=None), "must have a time zone: datetime.now\\(UTC\\)"),
    ],
)
def test_since_refuses_what_is_not_a_moment(since: Any, reason: str) -> None:
    """A naive datetime would be another moment on every machine."""
    for action in (st.retrieve_connections, st.retrieve_company_posts):
        error = refusal(action, since=since)

        assert "since" == error.parameter
        assert re.match(reason, error.reason)


def test_since_in_json_is_checked_too() -> None:
    """Text in JSON is checked as in Python."""
    with pytest.raises(InvalidDefinitionError, match="since must be ISO 8601 text"):
        load_workflow({"actionType": "st.retrieveConnections", "since": "soon"})
