"""The actions of standard LinkedIn, in the order of the API's overview.

Each class is its own builder function. Every optional parameter is None, which means
not sent; the API then takes the default that the docstring names.
"""

import datetime as dt
from collections.abc import Iterator, Sequence

from attrs import field

from linkedapi_async._actions.action import Action, action
from linkedapi_async._actions.parameters import LINKED_ONLY, info, target
from linkedapi_async._actions.scopes import (
    Nowhere,
    NvCompanyPageScope,
    NvPersonPageScope,
    Root,
    StCompanyListScope,
    StCompanyPageScope,
    StCompanyScope,
    StConnectionListScope,
    StConversationScope,
    StJobListScope,
    StJobScope,
    StPersonListScope,
    StPersonPageScope,
    StPersonScope,
    StPostListScope,
    StPostPageScope,
    StPostScope,
    StSkillListScope,
    StSkillScope,
)
from linkedapi_async._types import ACCOUNT, BOTH, LINKED, Moment
from linkedapi_async.params import (
    CommentSort,
    CompaniesFilter,
    ConnectionsFilter,
    ConversationOperation,
    EmployeesFilter,
    InvitationType,
    JobsFilter,
    JobsPreferences,
    Mention,
    PeopleFilter,
    PostAttachment,
    PostsFilter,
    ReactionType,
)
from linkedapi_async.results import (
    Company,
    CompanyPage,
    Connection,
    ConnectionStatus,
    ConversationSync,
    CreatedComment,
    CreatedPost,
    DecisionMaker,
    Education,
    Experience,
    FeedPost,
    FoundPost,
    Invitation,
    Job,
    JobPage,
    Language,
    PendingRequest,
    Performance,
    Person,
    PersonComment,
    PersonPage,
    PersonReaction,
    Post,
    PostComment,
    PostReaction,
    ProfileViewer,
    Skill,
    SocialSellingIndex,
)


__all__ = [
    "accept_invitation",
    "check_connection_status",
    "comment_on_post",
    "create_post",
    "create_repost",
    "do_for_companies",
    "do_for_jobs",
    "do_for_people",
    "do_for_posts",
    "do_for_skills",
    "endorse_person_skill",
    "ignore_invitation",
    "manage_conversation",
    "open_company_page",
    "open_job",
    "open_person_page",
    "open_post",
    "react_to_comment",
    "react_to_post",
    "remove_connection",
    "reply_to_comment",
    "retrieve_company_dms",
    "retrieve_company_employees",
    "retrieve_company_posts",
    "retrieve_connections",
    "retrieve_feed",
    "retrieve_invitations",
    "retrieve_pending_requests",
    "retrieve_performance",
    "retrieve_person_comments",
    "retrieve_person_education",
    "retrieve_person_experience",
    "retrieve_person_languages",
    "retrieve_person_posts",
    "retrieve_person_reactions",
    "retrieve_person_skills",
    "retrieve_post_comments",
    "retrieve_post_reactions",
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


@action("st.sendMessage", effect="write", category="stMessages")
class send_message(Action[Root | StPersonPageScope, StConversationScope, None]):
    """Send a message to a person.

    https://linkedapi.io/docs/action-st-send-message

    Args:
        person_url: The person, by public or hashed URL.
        thread_id: A conversation to reply into; takes precedence over *person_url*.
            In linked_api only.
        text: The message, 1 to 1900 characters.
    """

    person_url: str | None = field(
        default=None, kw_only=False, metadata=target("person")
    )
    thread_id: str | None = field(default=None, metadata=target("thread", LINKED))
    text: str = field(metadata=info(minimum=1, maximum=1900, enforced_in=BOTH))


@action("st.syncConversation")
class sync_conversation(Action[Root | StPersonPageScope, Nowhere, ConversationSync]):
    """Load the history of a conversation and keep it up to date for polling.

    https://linkedapi.io/docs/action-st-sync-conversation

    Args:
        person_url: The person, by public or hashed URL.
        days: How many days it is kept up to date from now on, 1 to 90; default 30.
            In linked_api only.
    """

    person_url: str | None = field(
        default=None, kw_only=False, metadata=target("person")
    )
    days: int | None = field(
        default=None,
        metadata=info(generations=LINKED, default=30, minimum=1, maximum=90),
    )


@action("st.syncInbox", generations=LINKED)
class sync_inbox(Action[Root, Nowhere, None]):
    """Turn on monitoring of the whole inbox, once per account.

    https://linkedapi.io/docs/action-st-sync-inbox
    """


@action("st.syncNetwork", generations=LINKED)
class sync_network(Action[Root, Nowhere, None]):
    """Turn on monitoring of the network: requests received and accepted.

    https://linkedapi.io/docs/action-st-sync-network
    """


@action("st.manageConversation", effect="write", generations=LINKED)
class manage_conversation(Action[Root | StConversationScope, Nowhere, None]):
    """Archive, star or mute a conversation, or undo that.

    https://linkedapi.io/docs/action-st-manage-conversation

    Args:
        thread_id: The conversation.
        operation: What to do with it.
    """

    thread_id: str | None = field(
        default=None, kw_only=False, metadata=target("thread")
    )
    operation: ConversationOperation


@action("st.checkConnectionStatus")
class check_connection_status(
    Action[Root | StPersonPageScope, Nowhere, ConnectionStatus]
):
    """Check how the account is connected to a person.

    https://linkedapi.io/docs/action-st-check-connection-status

    Args:
        person_url: The person, by public or hashed URL.
    """

    person_url: str | None = field(
        default=None, kw_only=False, metadata=target("person")
    )


@action("st.sendConnectionRequest", effect="write", category="stConnectionRequests")
class send_connection_request(Action[Root | StPersonPageScope, Nowhere, None]):
    """Send a connection request to a person.

    https://linkedapi.io/docs/action-st-send-connection-request

    Args:
        person_url: The person, by public or hashed URL.
        note: A text sent with it, at most 300 characters in linked_api; LinkedIn allows
            free accounts 200. No maximum is known for account_api.
        email: The person's e-mail address, for those who ask for it.
    """

    person_url: str | None = field(
        default=None, kw_only=False, metadata=target("person")
    )
    note: str | None = field(
        default=None, metadata=info(maximum={"linked_api": 300}, enforced_in=LINKED)
    )
    email: str | None = None


@action("st.withdrawConnectionRequest", effect="write")
class withdraw_connection_request(Action[Root | StPersonPageScope, Nowhere, None]):
    """Withdraw a connection request that was sent and not answered yet.

    https://linkedapi.io/docs/action-st-withdraw-connection-request

    Args:
        person_url: The person, by public or hashed URL.
        unfollow: Whether to unfollow them as well; default True.
    """

    person_url: str | None = field(
        default=None, kw_only=False, metadata=target("person")
    )
    unfollow: bool | None = field(default=None, metadata=info(default=True))


@action("st.retrievePendingRequests")
class retrieve_pending_requests(Action[Root, Nowhere, list[PendingRequest]]):
    """List the connection requests that were sent and not answered yet.

    https://linkedapi.io/docs/action-st-retrieve-pending-requests
    """


@action("st.retrieveConnections")
class retrieve_connections(Action[Root, StConnectionListScope, list[Connection]]):
    """List the account's connections.

    https://linkedapi.io/docs/action-st-retrieve-connections

    Args:
        limit: How many at most; by default all of them.
        since: Only those made on or after this date: a date, a datetime with a time
            zone, or ISO 8601 text; works only without *filter*. In linked_api only.
        filter: What the connections must match.
    """

    limit: int | None = field(default=None, metadata=info(minimum=1))
    since: Moment | dt.date | None = field(default=None, metadata=LINKED_ONLY)
    filter: ConnectionsFilter | None = None


@action("st.removeConnection", effect="write")
class remove_connection(Action[Root | StPersonPageScope, Nowhere, None]):
    """Remove a person from the account's connections.

    https://linkedapi.io/docs/action-st-remove-connection

    Args:
        person_url: The person, by public or hashed URL.
    """

    person_url: str | None = field(
        default=None, kw_only=False, metadata=target("person")
    )


_INVITATION_URLS = {
    "connect": "person_url",
    "companyFollow": "company_url",
    "newsletterSubscribe": "newsletter_url",
}


def _invitation_problems(
    invitation: "accept_invitation | ignore_invitation",
) -> Iterator[tuple[str, str]]:
    kind = invitation.invitation_type
    needed = _INVITATION_URLS.get(kind)
    if needed is None:
        return
    for name in _INVITATION_URLS.values():
        given = getattr(invitation, name) is not None
        if name == needed and not given:
            yield name, f"is required for the invitation type {kind!r}"
        if name != needed and given:
            reason = f"cannot be set for the invitation type {kind!r}"
            yield name, f"{reason}; pass {needed}"


@action("st.acceptInvitation", effect="write", generations=LINKED)
class accept_invitation(Action[Root, Nowhere, None]):
    """Accept an invitation to connect, to follow a company or to read a newsletter.

    https://linkedapi.io/docs/action-st-accept-invitation

    Args:
        invitation_type: What it invites to; it decides which URL is needed.
        person_url: The person who wants to connect, for ``connect``.
        company_url: The company, for ``companyFollow``.
        newsletter_url: The newsletter, for ``newsletterSubscribe``.
    """

    invitation_type: InvitationType = field(kw_only=False)
    person_url: str | None = field(
        default=None, metadata=info(minimum=1, kind="person")
    )
    company_url: str | None = field(
        default=None, metadata=info(minimum=1, kind="company")
    )
    newsletter_url: str | None = field(
        default=None, metadata=info(minimum=1, kind="newsletter")
    )

    def _problems(self) -> Iterator[tuple[str, str]]:
        return _invitation_problems(self)


@action("st.ignoreInvitation", effect="write", generations=LINKED)
class ignore_invitation(Action[Root, Nowhere, None]):
    """Ignore an invitation to connect, to follow a company or to read a newsletter.

    https://linkedapi.io/docs/action-st-ignore-invitation

    Args:
        invitation_type: What it invites to; it decides which URL is needed.
        person_url: The person who wants to connect, for ``connect``.
        company_url: The company, for ``companyFollow``.
        newsletter_url: The newsletter, for ``newsletterSubscribe``.
    """

    invitation_type: InvitationType = field(kw_only=False)
    person_url: str | None = field(
        default=None, metadata=info(minimum=1, kind="person")
    )
    company_url: str | None = field(
        default=None, metadata=info(minimum=1, kind="company")
    )
    newsletter_url: str | None = field(
        default=None, metadata=info(minimum=1, kind="newsletter")
    )

    def _problems(self) -> Iterator[tuple[str, str]]:
        return _invitation_problems(self)


@action("st.retrieveInvitations", generations=LINKED)
class retrieve_invitations(Action[Root, Nowhere, list[Invitation]]):
    """List the invitations to connect, to follow a company or to read a newsletter.

    https://linkedapi.io/docs/action-st-retrieve-invitations
    """


@action("st.openPersonPage", category="stPersonProfileViews")
class open_person_page(
    Action[Root | StPersonScope | NvPersonPageScope, StPersonPageScope, PersonPage]
):
    """Open a person's page.

    https://linkedapi.io/docs/action-st-open-person-page

    Args:
        person_url: The person, by public or hashed URL.
        basic_info: Whether to yield what the page shows; default False.
    """

    person_url: str | None = field(
        default=None, kw_only=False, metadata=target("person")
    )
    basic_info: bool | None = field(default=None, metadata=info(default=False))


@action("st.retrievePersonExperience")
class retrieve_person_experience(Action[StPersonPageScope, Nowhere, list[Experience]]):
    """List a person's jobs, past and present.

    https://linkedapi.io/docs/action-st-retrieve-person-experience
    """


@action("st.retrievePersonEducation")
class retrieve_person_education(Action[StPersonPageScope, Nowhere, list[Education]]):
    """List a person's schools.

    https://linkedapi.io/docs/action-st-retrieve-person-education
    """


@action("st.retrievePersonSkills")
class retrieve_person_skills(Action[StPersonPageScope, StSkillListScope, list[Skill]]):
    """List a person's skills.

    https://linkedapi.io/docs/action-st-retrieve-person-skills
    """


@action("st.retrievePersonLanguages")
class retrieve_person_languages(Action[StPersonPageScope, Nowhere, list[Language]]):
    """List the languages that a person speaks.

    https://linkedapi.io/docs/action-st-retrieve-person-languages
    """


@action("st.retrievePersonPosts")
class retrieve_person_posts(Action[StPersonPageScope, StPostListScope, list[Post]]):
    """List a person's posts.

    https://linkedapi.io/docs/action-st-retrieve-person-posts

    Args:
        limit: How many at most, 1 to 20; default 20.
        since: Only those after this moment: a datetime with a time zone, or ISO 8601
            text.
    """

    limit: int | None = field(
        default=None, metadata=info(default=20, minimum=1, maximum=20)
    )
    since: Moment | None = None


@action("st.retrievePersonComments")
class retrieve_person_comments(Action[StPersonPageScope, Nowhere, list[PersonComment]]):
    """List the comments that a person made.

    https://linkedapi.io/docs/action-st-retrieve-person-comments

    Args:
        limit: How many at most, 1 to 20; default 20.
        since: Only those after this moment: a datetime with a time zone, or ISO 8601
            text.
    """

    limit: int | None = field(
        default=None, metadata=info(default=20, minimum=1, maximum=20)
    )
    since: Moment | None = None


@action("st.retrievePersonReactions")
class retrieve_person_reactions(
    Action[StPersonPageScope, Nowhere, list[PersonReaction]]
):
    """List the reactions that a person gave.

    https://linkedapi.io/docs/action-st-retrieve-person-reactions

    Args:
        limit: How many at most, 1 to 20; default 20.
        since: Only those after this moment: a datetime with a time zone, or ISO 8601
            text.
    """

    limit: int | None = field(
        default=None,
        metadata=info(default=20, minimum=1, maximum=20, enforced_in=ACCOUNT),
    )
    since: Moment | None = None


@action("st.searchPeople", category="stSearchQueries")
class search_people(Action[Root, StPersonListScope, list[Person]]):
    """Search people.

    https://linkedapi.io/docs/action-st-search-people

    Args:
        term: Words to search for.
        limit: How many at most, 1 to 10 in account_api and 1 to 1000 in linked_api;
            default 10.
        filter: What the people must match.
        custom_search_url: URL of a people search, copied from LinkedIn; takes
            precedence over *term* and *filter*. In linked_api only.
    """

    term: str | None = None
    limit: int | None = field(
        default=None,
        metadata=info(
            default=10,
            minimum=1,
            # Not enforced in account_api, where another official source says 100.
            maximum={"account_api": 10, "linked_api": 1000},
            enforced_in=LINKED,
        ),
    )
    filter: PeopleFilter | None = None
    custom_search_url: str | None = field(default=None, metadata=LINKED_ONLY)


@action("st.searchCompanies", category="stSearchQueries")
class search_companies(Action[Root, StCompanyListScope, list[Company]]):
    """Search companies.

    https://linkedapi.io/docs/action-st-search-companies

    Args:
        term: Words to search for.
        limit: How many at most, 1 to 10 in account_api and 1 to 1000 in linked_api;
            default 10.
        filter: What the companies must match.
        custom_search_url: URL of a company search, copied from LinkedIn; takes
            precedence over *term* and *filter*. In linked_api only.
    """

    term: str | None = None
    limit: int | None = field(
        default=None,
        metadata=info(
            default=10, minimum=1, maximum={"account_api": 10, "linked_api": 1000}
        ),
    )
    filter: CompaniesFilter | None = None
    custom_search_url: str | None = field(default=None, metadata=LINKED_ONLY)


@action("st.searchJobs", generations=LINKED, category="stSearchQueries")
class search_jobs(Action[Root, StJobListScope, list[Job]]):
    """Search jobs, by LinkedIn's classic search or by the AI-powered one.

    https://linkedapi.io/docs/action-st-search-jobs

    Args:
        term: Words to search for; without them the search is broad.
        limit: How many at most, 1 to 1000; default 10.
        location: Where, in both kinds of search.
        allow_similar_results: Whether similar jobs count as results; default True.
        filter: What the jobs must match, by the classic search; not together with *preferences*.
        preferences: What to look for, by the AI-powered search; not together with
            *filter*.
        custom_search_url: URL of a job search, copied from LinkedIn; takes precedence
            over all parameters but *limit*.
    """

    term: str | None = None
    limit: int | None = field(
        default=None,
        metadata=info(
            generations=LINKED, default=10, minimum=1, maximum=1000, enforced_in=LINKED
        ),
    )
    location: str | None = None
    allow_similar_results: bool | None = field(
        default=None, metadata=info(default=True)
    )
    filter: JobsFilter | None = None
    preferences: JobsPreferences | None = None
    custom_search_url: str | None = None

    def _problems(self) -> Iterator[tuple[str, str]]:
        if self.filter is not None and self.preferences is not None:
            yield "preferences", "cannot be combined with filter; leave one of them out"


@action("st.searchPosts", generations=LINKED, category="stSearchQueries")
class search_posts(Action[Root, StPostListScope, list[FoundPost]]):
    """Search posts.

    https://linkedapi.io/docs/action-st-search-posts

    Args:
        term: Words to search for, at most 50 characters; needed without
            *custom_search_url*.
        limit: How many at most, 1 to 100, with nested actions 1 to 20; default 10.
        filter: What the posts must match; ignored with *custom_search_url*.
        custom_search_url: URL of a post search, copied from LinkedIn.
    """

    term: str | None = field(default=None, metadata=info(maximum=50))
    limit: int | None = field(
        default=None, metadata=info(default=10, minimum=1, maximum=100)
    )
    filter: PostsFilter | None = None
    custom_search_url: str | None = None

    def _problems(self) -> Iterator[tuple[str, str]]:
        if self.term is None and self.custom_search_url is None:
            yield "term", "is required without custom_search_url"


@action("st.openCompanyPage", category="stCompanyPageViews")
class open_company_page(
    Action[Root | StCompanyScope | NvCompanyPageScope, StCompanyPageScope, CompanyPage]
):
    """Open a company's page.

    https://linkedapi.io/docs/action-st-open-company-page

    Args:
        company_url: The company, by public or hashed URL.
        basic_info: Whether to yield what the page shows; default False.
    """

    company_url: str | None = field(
        default=None, kw_only=False, metadata=target("company")
    )
    basic_info: bool | None = field(default=None, metadata=info(default=False))


@action("st.retrieveCompanyEmployees")
class retrieve_company_employees(
    Action[StCompanyPageScope, StPersonListScope, list[Person]]
):
    """List a company's employees.

    https://linkedapi.io/docs/action-st-retrieve-company-employees

    Args:
        limit: How many at most, 1 to 500; default 500.
        filter: What the employees must match.
    """

    limit: int | None = field(
        default=None,
        metadata=info(default=500, minimum=1, maximum=500, enforced_in=ACCOUNT),
    )
    filter: EmployeesFilter | None = None


@action("st.retrieveCompanyDMs")
class retrieve_company_dms(
    Action[StCompanyPageScope, StPersonListScope, list[DecisionMaker]]
):
    """List a company's decision makers, the most senior first.

    https://linkedapi.io/docs/action-st-retrieve-company-dms

    Args:
        limit: How many at most, 1 to 20; default 20.
    """

    limit: int | None = field(
        default=None,
        metadata=info(default=20, minimum=1, maximum=20, enforced_in=ACCOUNT),
    )


@action("st.retrieveCompanyPosts")
class retrieve_company_posts(Action[StCompanyPageScope, StPostListScope, list[Post]]):
    """List a company's posts.

    https://linkedapi.io/docs/action-st-retrieve-company-posts

    Args:
        limit: How many at most, 1 to 20; default 20.
        since: Only those after this moment: a datetime with a time zone, or ISO 8601
            text.
    """

    limit: int | None = field(
        default=None, metadata=info(default=20, minimum=1, maximum=20)
    )
    since: Moment | None = None


@action("st.openPost")
class open_post(Action[Root | StPostScope, StPostPageScope, Post]):
    """Open a post.

    https://linkedapi.io/docs/action-st-open-post

    Args:
        post_url: The post.
        post_urn: Its URN, instead of *post_url*. In linked_api only.
        basic_info: Whether to yield what the post shows; default False.
    """

    post_url: str | None = field(default=None, kw_only=False, metadata=target("post"))
    post_urn: str | None = field(default=None, metadata=target("post", LINKED))
    basic_info: bool | None = field(default=None, metadata=info(default=False))


@action("st.reactToPost", effect="write", category="stReactions")
class react_to_post(Action[Root | StPostPageScope, Nowhere, None]):
    """React to a post, or change the account's reaction to it.

    https://linkedapi.io/docs/action-st-react-to-post

    Args:
        post_url: The post.
        post_urn: Its URN, instead of *post_url*. In linked_api only.
        type: The reaction.
        company_url: A company page to react as; needs content-admin access to it. In
            linked_api only.
    """

    post_url: str | None = field(default=None, kw_only=False, metadata=target("post"))
    post_urn: str | None = field(default=None, metadata=target("post", LINKED))
    type: ReactionType
    company_url: str | None = field(
        default=None, metadata=info(kind="company", generations=LINKED)
    )


@action("st.commentOnPost", effect="write", category="stComments")
class comment_on_post(Action[Root | StPostPageScope, Nowhere, CreatedComment]):
    """Comment on a post.

    https://linkedapi.io/docs/action-st-comment-on-post

    Args:
        post_url: The post.
        post_urn: Its URN, instead of *post_url*. In linked_api only.
        text: The comment, at least 1 character; at most 1000 in linked_api, no maximum
            is known for account_api.
        company_url: A company page to comment as; needs content-admin access to it. In
            linked_api only.
    """

    post_url: str | None = field(default=None, kw_only=False, metadata=target("post"))
    post_urn: str | None = field(default=None, metadata=target("post", LINKED))
    text: str = field(metadata=info(minimum=1, maximum={"linked_api": 1000}))
    company_url: str | None = field(
        default=None, metadata=info(kind="company", generations=LINKED)
    )


@action("st.createPost", effect="write", generations=LINKED, category="stPosts")
class create_post(Action[Root, Nowhere, CreatedPost]):
    """Publish a post.

    https://linkedapi.io/docs/action-st-create-post

    Args:
        text: The post, 1 to 3000 characters.
        attachments: At most 9 images, or 1 video, or 1 document.
        company_url: A company page to post as; needs content-admin access to it.
        mentions: The people and companies that the text mentions.
    """

    text: str = field(
        metadata=info(generations=LINKED, minimum=1, maximum=3000, enforced_in=LINKED)
    )
    attachments: Sequence[PostAttachment] | None = field(
        default=None, metadata=info(generations=LINKED, maximum=9, enforced_in=LINKED)
    )
    company_url: str | None = field(default=None, metadata=info(kind="company"))
    mentions: Sequence[Mention] | None = None

    def _problems(self) -> Iterator[tuple[str, str]]:
        kinds = [attachment.type for attachment in self.attachments or ()]
        if len(set(kinds)) > 1:
            mixed = " and ".join(sorted(set(kinds)))
            yield "attachments", f"cannot mix {mixed}"
        elif len(kinds) > 1 and kinds[0] in {"video", "document"}:
            yield "attachments", f"must have only one {kinds[0]}, got {len(kinds)}"


@action("st.createRepost", effect="write", generations=LINKED)
class create_repost(Action[Root, Nowhere, CreatedPost]):
    """Repost a post, with or without a text of its own.

    https://linkedapi.io/docs/action-st-create-repost

    Args:
        post_url: The post.
        post_urn: Its URN, instead of *post_url*.
        text: The text above it, at most 3000 characters.
        mentions: The people and companies that the text mentions.
    """

    post_url: str | None = field(default=None, kw_only=False, metadata=target("post"))
    post_urn: str | None = field(default=None, metadata=target("post"))
    text: str | None = field(default=None, metadata=info(maximum=3000))
    mentions: Sequence[Mention] | None = None


@action("st.retrievePostComments", generations=LINKED)
class retrieve_post_comments(Action[StPostPageScope, Nowhere, list[PostComment]]):
    """List the comments on a post.

    https://linkedapi.io/docs/action-st-retrieve-post-comments

    Args:
        limit: How many at most, 1 to 500; default 10.
        replies: Whether to list replies too; default False.
        sort: The order; default ``mostRelevant``.
    """

    limit: int | None = field(
        default=None, metadata=info(default=10, minimum=1, maximum=500)
    )
    replies: bool | None = field(default=None, metadata=info(default=False))
    sort: CommentSort | None = field(
        default=None, metadata=info(default="mostRelevant")
    )


@action("st.retrievePostReactions", generations=LINKED)
class retrieve_post_reactions(Action[StPostPageScope, Nowhere, list[PostReaction]]):
    """List the reactions to a post.

    https://linkedapi.io/docs/action-st-retrieve-post-reactions

    Args:
        limit: How many at most, 1 to 1000; default 10.
    """

    limit: int | None = field(
        default=None, metadata=info(default=10, minimum=1, maximum=1000)
    )


@action("st.reactToComment", effect="write", generations=LINKED, category="stReactions")
class react_to_comment(Action[Root, Nowhere, None]):
    """React to a comment.

    https://linkedapi.io/docs/action-st-react-to-comment

    Args:
        comment_url: The comment.
        type: The reaction; default ``like``.
    """

    comment_url: str | None = field(
        default=None, kw_only=False, metadata=target("comment")
    )
    type: ReactionType | None = field(default=None, metadata=info(default="like"))


@action("st.replyToComment", effect="write", generations=LINKED, category="stComments")
class reply_to_comment(Action[Root, Nowhere, CreatedComment]):
    """Reply to a comment.

    https://linkedapi.io/docs/action-st-reply-to-comment

    Args:
        comment_url: The comment.
        text: The reply, 1 to 1000 characters.
    """

    comment_url: str | None = field(
        default=None, kw_only=False, metadata=target("comment")
    )
    text: str = field(metadata=info(minimum=1, maximum=1000))


@action("st.retrieveFeed", generations=LINKED)
class retrieve_feed(Action[Root, Nowhere, list[FeedPost]]):
    """List the posts of the account's home feed.

    https://linkedapi.io/docs/action-st-retrieve-feed

    Args:
        limit: How many at most, 1 to 100; default 20.
    """

    limit: int | None = field(
        default=None, metadata=info(default=20, minimum=1, maximum=100)
    )


@action("st.openJob", generations=LINKED)
class open_job(Action[Root | StJobScope, Nowhere, JobPage]):
    """Open a job.

    https://linkedapi.io/docs/action-st-open-job

    Args:
        job_url: The job.
        basic_info: Whether to yield what the page shows; default False.
    """

    job_url: str | None = field(default=None, kw_only=False, metadata=target("job"))
    basic_info: bool | None = field(default=None, metadata=info(default=False))


@action("st.doForPeople", has_outcome=False)
class do_for_people(
    Action[StPersonListScope | StConnectionListScope, StPersonScope, None]
):
    """Do the nested actions for every person of a list.

    https://linkedapi.io/docs/action-st-do-for-people
    """


@action("st.doForCompanies", has_outcome=False)
class do_for_companies(Action[StCompanyListScope, StCompanyScope, None]):
    """Do the nested actions for every company of a list.

    https://linkedapi.io/docs/action-st-do-for-companies
    """


@action("st.doForPosts", has_outcome=False)
class do_for_posts(Action[StPostListScope, StPostScope, None]):
    """Do the nested actions for every post of a list.

    https://linkedapi.io/docs/action-st-do-for-posts
    """


@action("st.doForJobs", generations=LINKED, has_outcome=False)
class do_for_jobs(Action[StJobListScope, StJobScope, None]):
    """Do the nested actions for every job of a list.

    https://linkedapi.io/docs/action-st-do-for-jobs
    """


@action("st.doForSkills", generations=LINKED, has_outcome=False)
class do_for_skills(Action[StSkillListScope, StSkillScope, None]):
    """Do the nested actions for every skill of a list.

    https://linkedapi.io/docs/action-st-do-for-skills

    Args:
        skill_name_patterns: Only for skills whose names match one of these; the API
            does not document the syntax of patterns.
    """

    skill_name_patterns: Sequence[str] | None = None


@action(
    "st.endorsePersonSkill",
    effect="write",
    generations=LINKED,
    category="stEndorsements",
    needs_all_targets=True,
)
class endorse_person_skill(Action[Root | StSkillScope, Nowhere, None]):
    """Endorse a skill of a person whom the account is connected to.

    https://linkedapi.io/docs/action-st-endorse-person-skill

    Args:
        person_url: The person, by public or hashed URL; needed with *skill_name*.
        skill_name: The exact name of the skill; needed with *person_url*.
    """

    person_url: str | None = field(
        default=None, kw_only=False, metadata=target("person")
    )
    skill_name: str | None = field(default=None, metadata=target(None))


@action("st.retrieveSSI")
class retrieve_ssi(Action[Root, Nowhere, SocialSellingIndex]):
    """Read the account's Social Selling Index.

    https://linkedapi.io/docs/action-st-retrieve-ssi
    """


@action("st.retrievePerformance")
class retrieve_performance(Action[Root, Nowhere, Performance]):
    """Read the account's dashboard.

    https://linkedapi.io/docs/action-st-retrieve-performance
    """


@action("st.retrieveProfileViewers", generations=LINKED)
class retrieve_profile_viewers(Action[Root, Nowhere, list[ProfileViewer]]):
    """List who viewed the account's profile, newest first.

    https://linkedapi.io/docs/action-st-retrieve-profile-viewers

    Args:
        limit: How many at most, 1 to 300; default 20.
        since: Only views at or after this moment: a datetime with a time zone, or ISO
            8601 text; LinkedIn's times are estimates.
    """

    limit: int | None = field(
        default=None, metadata=info(default=20, minimum=1, maximum=300)
    )
    since: Moment | None = None
