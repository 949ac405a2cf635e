"""A second opinion: the official SDK sends the same JSON for the same intent."""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Any

import pytest
from sdk_operations import (
    CASES,
    CUSTOM,
    OPERATIONS,
    PREDEFINED,
    Given,
    intents,
    model_of,
    normalised,
    theirs,
    understood,
)

from linkedapi_async import dump_workflow, load_workflow, nv, params, st
from linkedapi_async._actions.action import Action


AnyAction = Action[Any, Any, Any]
# How our classes build each intent


def with_filter(
    cls: Any, filter_class: Any, convert: Callable[[Any], Any] = lambda value: value
) -> Callable[[Given], AnyAction]:
    """Return a function that builds *cls* with a filter of *filter_class*."""

    def build(given: Given) -> AnyAction:
        found = {
            name: convert(value) for name, value in given.pop("filter", {}).items()
        }
        return typing.cast(
            "AnyAction", cls(filter=filter_class(**found) if found else None, **given)
        )

    return build


def search_companies_nv(given: Given) -> AnyAction:
    """Build a company search in Sales Navigator."""
    found = given.pop("filter", None)
    if found is not None:
        revenue = params.AnnualRevenue(**found.pop("annual_revenue"))
        found = params.NvCompaniesFilter(annual_revenue=revenue, **found)
    return nv.search_companies(filter=found, **given)


def search_jobs(given: Given) -> AnyAction:
    """Build a job search, by a filter or by preferences."""
    filter_, wishes = given.pop("filter", None), given.pop("preferences", None)
    return st.search_jobs(
        filter=params.JobsFilter(**filter_) if filter_ else None,
        preferences=params.JobsPreferences(**wishes) if wishes else None,
        **given,
    )


def references(value: Any) -> Any:
    """Return the references of a post filter, with objects as our classes."""
    if not isinstance(value, list):
        return value
    return [
        item
        if isinstance(item, str)
        else params.MemberRef(**item)
        if "person_hashed_url" in item
        else params.CompanyRef(**item)
        for item in value
    ]


def create_post(given: Given) -> AnyAction:
    """Build a new post."""
    files = given.pop("attachments", None)
    return st.create_post(
        attachments=files and [params.PostAttachment(**file) for file in files],
        mentions=mentions(given),
        **given,
    )


def mentions(given: Given) -> list[params.Mention] | None:
    """Remove the mentions from *given* and return them."""
    found = given.pop("mentions", None)
    return found and [params.Mention(**mention) for mention in found]


def send_message(given: Given) -> AnyAction:
    """Build a message, and the operation on its conversation."""
    managed = given.pop("manage_conversation", None)
    message = st.send_message(**given)
    return message.then(st.manage_conversation(**managed)) if managed else message


def endorse_person_skills(given: Given) -> AnyAction:
    """Build the endorsement of all skills that match a pattern."""
    patterns = given.pop("skill_name_patterns", None)
    loop = st.do_for_skills(skill_name_patterns=patterns).then(
        st.endorse_person_skill()
    )
    page = st.open_person_page(basic_info=False, **given)
    return page.then(st.retrieve_person_skills().then(loop))


def page(
    cls: Any, **children: Callable[[Given], AnyAction]
) -> Callable[[Given], AnyAction]:
    """Return a function that builds an open page with the selected children."""

    def build(given: Given) -> AnyAction:
        nested = []
        for name, child in children.items():
            config = given.pop(f"{name}_retrieval_config", {})
            if given.pop(f"retrieve_{name}", False):
                nested.append(child(config))
        return typing.cast("AnyAction", cls(basic_info=True, **given).then(*nested))

    return build


def plain(cls: Any) -> Callable[[Given], AnyAction]:
    """Return a function that builds *cls* with parameters of the same names."""
    return lambda given: cls(**given)


OURS: dict[str, Callable[[Given], AnyAction]] = {
    "sendMessage": send_message,
    "syncConversation": plain(st.sync_conversation),
    "syncInbox": plain(st.sync_inbox),
    "syncNetwork": plain(st.sync_network),
    "manageConversation": plain(st.manage_conversation),
    "checkConnectionStatus": plain(st.check_connection_status),
    "sendConnectionRequest": plain(st.send_connection_request),
    "withdrawConnectionRequest": plain(st.withdraw_connection_request),
    "acceptInvitation": plain(st.accept_invitation),
    "ignoreInvitation": plain(st.ignore_invitation),
    "retrievePendingRequests": plain(st.retrieve_pending_requests),
    "retrieveInvitations": plain(st.retrieve_invitations),
    "retrieveConnections": with_filter(
        st.retrieve_connections, params.ConnectionsFilter
    ),
    "removeConnection": plain(st.remove_connection),
    "searchCompanies": with_filter(st.search_companies, params.CompaniesFilter),
    "searchPeople": with_filter(st.search_people, params.PeopleFilter),
    "searchJobs": search_jobs,
    "searchPosts": with_filter(st.search_posts, params.PostsFilter, references),
    "fetchCompany": page(
        st.open_company_page,
        employees=with_filter(st.retrieve_company_employees, params.EmployeesFilter),
        dms=plain(st.retrieve_company_dms),
        posts=plain(st.retrieve_company_posts),
    ),
    "fetchPerson": page(
        st.open_person_page,
        experience=plain(st.retrieve_person_experience),
        education=plain(st.retrieve_person_education),
        skills=plain(st.retrieve_person_skills),
        languages=plain(st.retrieve_person_languages),
        posts=plain(st.retrieve_person_posts),
        comments=plain(st.retrieve_person_comments),
        reactions=plain(st.retrieve_person_reactions),
    ),
    "endorsePersonSkill": plain(st.endorse_person_skill),
    "endorsePersonSkills": endorse_person_skills,
    "fetchPost": page(
        st.open_post,
        comments=plain(st.retrieve_post_comments),
        reactions=plain(st.retrieve_post_reactions),
    ),
    "fetchJob": page(st.open_job),
    "reactToPost": plain(st.react_to_post),
    "commentOnPost": plain(st.comment_on_post),
    "reactToComment": plain(st.react_to_comment),
    "replyToComment": plain(st.reply_to_comment),
    "createPost": create_post,
    "createRepost": lambda given: st.create_repost(mentions=mentions(given), **given),
    "retrieveFeed": plain(st.retrieve_feed),
    "retrieveSSI": plain(st.retrieve_ssi),
    "retrievePerformance": plain(st.retrieve_performance),
    "retrieveProfileViewers": plain(st.retrieve_profile_viewers),
    "nvSendMessage": plain(nv.send_message),
    "nvSyncConversation": plain(nv.sync_conversation),
    "nvSyncInbox": plain(nv.sync_inbox),
    "nvManageConversation": plain(nv.manage_conversation),
    "nvSearchCompanies": search_companies_nv,
    "nvSearchPeople": with_filter(nv.search_people, params.NvPeopleFilter),
    "nvFetchCompany": page(
        nv.open_company_page,
        employees=with_filter(nv.retrieve_company_employees, params.NvEmployeesFilter),
        dms=plain(nv.retrieve_company_dms),
    ),
    "nvFetchPerson": page(nv.open_person_page),
}


def test_all_operations_are_compared() -> None:
    """The SDK has 42 predefined operations, and each of them has a counterpart."""
    assert 42 == len(PREDEFINED)
    assert set(PREDEFINED) == set(OURS)


@pytest.mark.parametrize("name", PREDEFINED)
def test_all_fields_are_compared(name: str) -> None:
    """Among the intents of an operation, every field of its model is set."""
    model = model_of(OPERATIONS[name])
    fields = set() if model is None else set(model.model_fields)

    assert fields == {field for _, given in intents(name) for field in given}


@pytest.mark.parametrize(("name", "given"), CASES)
def test_same_intent_same_json(name: str, given: Given) -> None:
    """Our classes give the same JSON as an operation of the SDK."""
    expected = theirs(name, given)
    workflow = OURS[name](understood(name, given))
    definition = dump_workflow(workflow)

    assert isinstance(definition, dict)
    assert normalised(expected) == normalised(definition)


@pytest.mark.parametrize(("name", "given"), CASES)
def test_their_json_is_our_workflow(name: str, given: Given) -> None:
    """The JSON of the SDK loads, checked, as the workflow that we build."""
    workflow = OURS[name](understood(name, given))

    assert workflow == load_workflow(theirs(name, given))


def test_custom_workflow() -> None:
    """A raw definition of the SDK loads and dumps unchanged."""
    definition = {
        "actionType": "st.openCompanyPage",
        "companyUrl": "https://www.linkedin.com/company/acme",
        "then": {"actionType": "st.retrieveCompanyDMs", "limit": 3},
    }
    sent = OPERATIONS[CUSTOM].mapper.map_request(definition)

    assert sent == dump_workflow(load_workflow(definition))
