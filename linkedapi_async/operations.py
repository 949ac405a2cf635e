"""Ready-made operations: those of the official SDK, under its names.

Each returns a workflow like any other: run it, start it, dump it, or nest further
children with ``then``. Most are a single action. Those that compose several actions
yield one flat result: its attributes are the results of the children, and its ``errors``
say why some children failed::

    person = await session.run(fetch_person(url, skills=True, posts=PartLimit(10)))
    person.name, person.skills, person.posts, person.errors

The actions of an operation decide which API generations support it; a session checks
that when it starts the operation.
"""

from collections.abc import Sequence
from typing import Any

from attrs import field

from linkedapi_async import nv, st
from linkedapi_async._actions.action import Action
from linkedapi_async._actions.composite import (
    NOT_IN_JSON,
    ComposedResult,
    PartLimit,
    PartOption,
    compose,
    from_child,
    with_result,
)
from linkedapi_async._actions.scopes import (
    Nowhere,
    NvCompanyPageScope,
    NvPersonPageScope,
    Root,
    StCompanyPageScope,
    StConversationScope,
    StPersonPageScope,
    StPostPageScope,
)
from linkedapi_async._results.completion import Outcome, result
from linkedapi_async._wire.load import load_workflow as custom_workflow
from linkedapi_async.errors import ActionError
from linkedapi_async.nv import manage_conversation as nv_manage_conversation
from linkedapi_async.nv import search_companies as nv_search_companies
from linkedapi_async.nv import search_people as nv_search_people
from linkedapi_async.nv import send_message as nv_send_message
from linkedapi_async.nv import sync_conversation as nv_sync_conversation
from linkedapi_async.nv import sync_inbox as nv_sync_inbox
from linkedapi_async.params import ConversationOperation
from linkedapi_async.results import (
    CompanyPage,
    DecisionMaker,
    Education,
    Experience,
    JobPage,
    Language,
    NvCompanyPage,
    NvDecisionMaker,
    NvPerson,
    NvPersonPage,
    Person,
    PersonComment,
    PersonPage,
    PersonReaction,
    Post,
    PostComment,
    PostReaction,
    Skill,
)
from linkedapi_async.st import (
    accept_invitation,
    check_connection_status,
    comment_on_post,
    create_post,
    create_repost,
    endorse_person_skill,
    ignore_invitation,
    manage_conversation,
    react_to_comment,
    react_to_post,
    remove_connection,
    reply_to_comment,
    retrieve_connections,
    retrieve_feed,
    retrieve_invitations,
    retrieve_pending_requests,
    retrieve_performance,
    retrieve_profile_viewers,
    retrieve_ssi,
    search_companies,
    search_jobs,
    search_people,
    search_posts,
    send_connection_request,
    sync_conversation,
    sync_inbox,
    sync_network,
    withdraw_connection_request,
)


__all__ = [
    "ComposedResult",
    "EndorsedPerson",
    "EndorsedSkill",
    "FetchedCompany",
    "FetchedJob",
    "FetchedPerson",
    "FetchedPost",
    "NvFetchedCompany",
    "NvFetchedPerson",
    "PartLimit",
    "PartOption",
    "SentMessage",
    "accept_invitation",
    "check_connection_status",
    "comment_on_post",
    "create_post",
    "create_repost",
    "custom_workflow",
    "endorse_person_skill",
    "endorse_person_skills",
    "fetch_company",
    "fetch_job",
    "fetch_person",
    "fetch_post",
    "ignore_invitation",
    "manage_conversation",
    "nv_fetch_company",
    "nv_fetch_person",
    "nv_manage_conversation",
    "nv_search_companies",
    "nv_search_people",
    "nv_send_message",
    "nv_sync_conversation",
    "nv_sync_inbox",
    "react_to_comment",
    "react_to_post",
    "remove_connection",
    "reply_to_comment",
    "retrieve_connections",
    "retrieve_feed",
    "retrieve_invitations",
    "retrieve_pending_requests",
    "retrieve_performance",
    "retrieve_profile_viewers",
    "retrieve_ssi",
    "search_companies",
    "search_jobs",
    "search_people",
    "search_posts",
    "send_connection_request",
    "send_message",
    "sync_conversation",
    "sync_inbox",
    "sync_network",
    "withdraw_connection_request",
]


@result
class FetchedPerson(PersonPage, ComposedResult):
    """A person, with the selected parts of `fetch_person`."""

    experiences: list[Experience] | None = field(
        default=None, metadata=from_child(st.retrieve_person_experience, "experience")
    )
    education: list[Education] | None = field(
        default=None, metadata=from_child(st.retrieve_person_education)
    )
    skills: list[Skill] | None = field(
        default=None, metadata=from_child(st.retrieve_person_skills)
    )
    languages: list[Language] | None = field(
        default=None, metadata=from_child(st.retrieve_person_languages)
    )
    posts: list[Post] | None = field(
        default=None, metadata=from_child(st.retrieve_person_posts)
    )
    comments: list[PersonComment] | None = field(
        default=None, metadata=from_child(st.retrieve_person_comments)
    )
    reactions: list[PersonReaction] | None = field(
        default=None, metadata=from_child(st.retrieve_person_reactions)
    )


def fetch_person(
    person_url: str,
    *,
    experience: PartOption | st.retrieve_person_experience = False,
    education: PartOption | st.retrieve_person_education = False,
    skills: PartOption | st.retrieve_person_skills = False,
    languages: PartOption | st.retrieve_person_languages = False,
    posts: PartOption | st.retrieve_person_posts = False,
    comments: PartOption | st.retrieve_person_comments = False,
    reactions: PartOption | st.retrieve_person_reactions = False,
    label: str | None = None,
) -> Action[Root, StPersonPageScope, FetchedPerson]:
    """Return the workflow that reads a person's page and the selected parts.

    https://linkedapi.io/docs/action-st-open-person-page

    Args:
        person_url: The person, by public or hashed URL.
        experience: Whether to list their jobs, past and present.
        education: Whether to list their schools.
        skills: Whether to list their skills.
        languages: Whether to list the languages that they speak.
        posts: Whether to list their posts; at most 20, which is the default.
        comments: Whether to list comments that they made; at most 20, the default.
        reactions: Whether to list reactions that they gave; at most 20, the default.
        label: The caller's tag, echoed in the completion.

    Raises:
        ParameterError: A parameter is wrong; nothing is sent.
    """
    return compose(
        st.open_person_page(person_url, basic_info=True, label=label),
        FetchedPerson,
        experience=experience,
        education=education,
        skills=skills,
        languages=languages,
        posts=posts,
        comments=comments,
        reactions=reactions,
    )


@result
class FetchedCompany(CompanyPage, ComposedResult):
    """A company, with the selected parts of `fetch_company`."""

    employees: list[Person] | None = field(
        default=None, metadata=from_child(st.retrieve_company_employees)
    )
    dms: list[DecisionMaker] | None = field(
        default=None, metadata=from_child(st.retrieve_company_dms)
    )
    """Decision makers, the most senior first."""
    posts: list[Post] | None = field(
        default=None, metadata=from_child(st.retrieve_company_posts)
    )


def fetch_company(
    company_url: str,
    *,
    employees: PartOption | st.retrieve_company_employees = False,
    dms: PartOption | st.retrieve_company_dms = False,
    posts: PartOption | st.retrieve_company_posts = False,
    label: str | None = None,
) -> Action[Root, StCompanyPageScope, FetchedCompany]:
    """Return the workflow that reads a company's page and the selected parts.

    https://linkedapi.io/docs/action-st-open-company-page

    Args:
        company_url: The company, by public or hashed URL.
        employees: Whether to list its employees; at most 500, which is the default.
            Takes a *filter*: ``st.retrieve_company_employees(filter=…)``.
        dms: Whether to list its decision makers; at most 20, which is the default.
        posts: Whether to list its posts; at most 20, which is the default.
        label: The caller's tag, echoed in the completion.

    Raises:
        ParameterError: A parameter is wrong; nothing is sent.
    """
    return compose(
        st.open_company_page(company_url, basic_info=True, label=label),
        FetchedCompany,
        employees=employees,
        dms=dms,
        posts=posts,
    )


@result
class FetchedPost(Post, ComposedResult):
    """A post, with the selected parts of `fetch_post`."""

    comments: list[PostComment] | None = field(
        default=None, metadata=from_child(st.retrieve_post_comments)
    )
    reactions: list[PostReaction] | None = field(
        default=None, metadata=from_child(st.retrieve_post_reactions)
    )


def fetch_post(
    post_url: str | None = None,
    *,
    post_urn: str | None = None,
    comments: PartOption | st.retrieve_post_comments = False,
    reactions: PartOption | st.retrieve_post_reactions = False,
    label: str | None = None,
) -> Action[Root, StPostPageScope, FetchedPost]:
    """Return the workflow that reads a post and the selected parts.

    https://linkedapi.io/docs/action-st-open-post

    Args:
        post_url: The post.
        post_urn: Its URN, instead of *post_url*. In linked_api only.
        comments: Whether to list the comments on it, 1 to 500; default 10. Takes
            *replies* and *sort*: ``st.retrieve_post_comments(sort=…)``. In linked_api
            only.
        reactions: Whether to list the reactions to it, 1 to 1000; default 10. In
            linked_api only.
        label: The caller's tag, echoed in the completion.

    Raises:
        ParameterError: A parameter is wrong; nothing is sent.
    """
    return compose(
        st.open_post(post_url, post_urn=post_urn, basic_info=True, label=label),
        FetchedPost,
        comments=comments,
        reactions=reactions,
    )


@result
class FetchedJob(JobPage, ComposedResult):
    """A job, as `fetch_job` reads it."""


def fetch_job(
    job_url: str, *, label: str | None = None
) -> Action[Root, Nowhere, FetchedJob]:
    """Return the workflow that reads a job; linked_api only.

    https://linkedapi.io/docs/action-st-open-job

    Args:
        job_url: The job.
        label: The caller's tag, echoed in the completion.

    Raises:
        ParameterError: A parameter is wrong; nothing is sent.
    """
    return compose(st.open_job(job_url, basic_info=True, label=label), FetchedJob)


@result
class EndorsedSkill(Skill):
    """A skill that was to be endorsed."""

    success: bool = False
    """Whether it was endorsed."""

    @property
    def error(self) -> ActionError | None:
        """Why it was not endorsed; None if it was."""
        return next((o.error for o in self.children if _endorses(o)), None)


@result
class EndorsedPerson(PersonPage, ComposedResult):
    """A person whose skills were endorsed; nothing of their page is read.

    `errors` includes those of the skills.
    """

    skills: list[EndorsedSkill] | None = field(default=None, metadata=NOT_IN_JSON)
    """Those that match the patterns, in the order of the page.

    None if they could not be listed.
    """

    def _fill(self) -> None:
        found: list[Skill] | None = self._first(st.retrieve_person_skills)
        skills = []
        for skill in found or ():
            endorsed = next(filter(_endorses, skill.children), None)
            if endorsed is not None:
                skills.append(
                    EndorsedSkill(
                        name=skill.name,
                        success=endorsed.success,
                        raw=skill.raw,
                        nested=skill.nested,
                    )
                )
        self.skills = None if found is None else skills


def _endorses(outcome: Outcome[Any]) -> bool:
    return outcome.action_type == st.endorse_person_skill.action_type


def endorse_person_skills(
    person_url: str,
    *,
    skill_name_patterns: Sequence[str] | None = None,
    label: str | None = None,
) -> Action[Root, StPersonPageScope, EndorsedPerson]:
    """Return the workflow that endorses skills of a person; linked_api only.

    https://linkedapi.io/docs/action-st-endorse-person-skill

    Args:
        person_url: The person, by public or hashed URL.
        skill_name_patterns: Only skills whose names match one of these; by default all.
            The API does not document the syntax of patterns.
        label: The caller's tag, echoed in the completion.

    Raises:
        ParameterError: A parameter is wrong; nothing is sent.
    """
    each = st.do_for_skills(skill_name_patterns=skill_name_patterns)
    skills = st.retrieve_person_skills().then(each.then(st.endorse_person_skill()))
    page = st.open_person_page(person_url, basic_info=False, label=label)
    return with_result(page.then(skills), EndorsedPerson)


@result
class SentMessage(ComposedResult):
    """A sent message; `errors` says whether managing its conversation failed."""


def send_message(
    person_url: str | None = None,
    *,
    text: str,
    thread_id: str | None = None,
    manage_conversation: ConversationOperation | None = None,
    label: str | None = None,
) -> Action[Root, StConversationScope, SentMessage]:
    """Return the workflow that sends a message, optionally managing its conversation.

    https://linkedapi.io/docs/action-st-send-message

    Args:
        person_url: The person, by public or hashed URL.
        text: The message, 1 to 1900 characters.
        thread_id: A conversation to reply into; takes precedence over *person_url*.
            In linked_api only.
        manage_conversation: What to do with the conversation afterwards, such as
            ``archive``. In linked_api only.
        label: The caller's tag, echoed in the completion.

    Raises:
        ParameterError: A parameter is wrong; nothing is sent.
    """
    sent = st.send_message(person_url, text=text, thread_id=thread_id, label=label)
    if manage_conversation is not None:
        sent = sent.then(st.manage_conversation(operation=manage_conversation))
    return with_result(sent, SentMessage)


@result
class NvFetchedCompany(NvCompanyPage, ComposedResult):
    """A company in Sales Navigator, with the selected parts."""

    employees: list[NvPerson] | None = field(
        default=None, metadata=from_child(nv.retrieve_company_employees)
    )
    dms: list[NvDecisionMaker] | None = field(
        default=None, metadata=from_child(nv.retrieve_company_dms)
    )
    """Decision makers, the most senior first."""


def nv_fetch_company(
    company_hashed_url: str,
    *,
    employees: PartOption | nv.retrieve_company_employees = False,
    dms: PartOption | nv.retrieve_company_dms = False,
    label: str | None = None,
) -> Action[Root, NvCompanyPageScope, NvFetchedCompany]:
    """Return the workflow that reads a company's page in Sales Navigator.

    https://linkedapi.io/docs/action-nv-open-company-page

    Args:
        company_hashed_url: The company, by hashed URL: the one with a number.
        employees: Whether to list its employees; default 500 in account_api and 25 in
            linked_api. Takes a *filter*: ``nv.retrieve_company_employees(filter=…)``.
        dms: Whether to list its decision makers; at most 20, which is the default.
        label: The caller's tag, echoed in the completion.

    Raises:
        ParameterError: A parameter is wrong; nothing is sent.
    """
    return compose(
        nv.open_company_page(company_hashed_url, basic_info=True, label=label),
        NvFetchedCompany,
        employees=employees,
        dms=dms,
    )


@result
class NvFetchedPerson(NvPersonPage, ComposedResult):
    """A person in Sales Navigator, as `nv_fetch_person` reads them."""


def nv_fetch_person(
    person_hashed_url: str, *, label: str | None = None
) -> Action[Root, NvPersonPageScope, NvFetchedPerson]:
    """Return the workflow that reads a person's page in Sales Navigator.

    https://linkedapi.io/docs/action-nv-open-person-page

    Args:
        person_hashed_url: The person, by hashed URL; a public one is not accepted.
        label: The caller's tag, echoed in the completion.

    Raises:
        ParameterError: A parameter is wrong; nothing is sent.
    """
    page = nv.open_person_page(person_hashed_url, basic_info=True, label=label)
    return compose(page, NvFetchedPerson)
