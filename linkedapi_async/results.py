"""What the actions yield, as typed attributes.

Every attribute may be None: the API leaves out unknown values, and a page that was
opened without *basic_info* has no data at all. Known words are listed; unknown ones are
kept.
"""

from typing import ClassVar, Literal, TypeAlias

import attrs
from attrs import field

from linkedapi_async._results.completion import Result, Timestamp, json_names, result
from linkedapi_async._types import Moment
from linkedapi_async.params import (
    ConnectionDegree,
    InvitationType,
    ReactionType,
    WorkplaceType,
)


__all__ = [
    "AccountInfo",
    "ActionUse",
    "Actor",
    "ActorType",
    "ActorWithUrn",
    "Company",
    "CompanyFacts",
    "CompanyPage",
    "Connection",
    "ConnectionState",
    "ConnectionStatus",
    "ContentViewerState",
    "Conversation",
    "ConversationQuery",
    "ConversationSync",
    "CreatedComment",
    "CreatedPost",
    "Currency",
    "DecisionMaker",
    "Education",
    "EmploymentType",
    "Experience",
    "FeedPost",
    "FeedbackType",
    "FoundPost",
    "InboxMessage",
    "InboxThread",
    "InboxType",
    "Invitation",
    "Job",
    "JobFacts",
    "JobPage",
    "Language",
    "Message",
    "Moment",
    "NetworkEvent",
    "NetworkEventType",
    "NvCompany",
    "NvCompanyPage",
    "NvDecisionMaker",
    "NvPerson",
    "NvPersonPage",
    "PayPeriod",
    "PendingRequest",
    "Performance",
    "Person",
    "PersonComment",
    "PersonFacts",
    "PersonInbox",
    "PersonPage",
    "PersonReaction",
    "PersonViewerState",
    "Post",
    "PostComment",
    "PostReaction",
    "PostType",
    "Proficiency",
    "ProfileViewer",
    "Salary",
    "Sender",
    "Skill",
    "SocialSellingIndex",
    "ViewerType",
]

ActorType: TypeAlias = Literal["person", "company"] | str
ConnectionState: TypeAlias = (
    Literal["connected", "notConnected", "pending", "incoming"] | str
)
Currency: TypeAlias = (
    Literal[
        "usd",
        "eur",
        "gbp",
        "inr",
        "cad",
        "aud",
        "nzd",
        "hkd",
        "sgd",
        "jpy",
        "cny",
        "chf",
        "sek",
        "nok",
        "dkk",
        "pln",
        "czk",
        "huf",
        "ron",
        "brl",
        "mxn",
        "ars",
        "zar",
        "aed",
        "sar",
        "ils",
        "try",
        "rub",
        "uah",
        "krw",
        "thb",
        "idr",
        "myr",
        "php",
        "vnd",
        "ngn",
        "twd",
    ]
    | str
)
EmploymentType: TypeAlias = (
    Literal[
        "fullTime",
        "partTime",
        "selfEmployed",
        "freelance",
        "contract",
        "internship",
        "apprenticeship",
        "seasonal",
    ]
    | str
)
PayPeriod: TypeAlias = Literal["yearly", "monthly", "hourly"] | str
PostType: TypeAlias = Literal["original", "repost"] | str
Proficiency: TypeAlias = (
    Literal[
        "elementary",
        "limitedWorking",
        "professionalWorking",
        "fullProfessional",
        "nativeOrBilingual",
    ]
    | str
)
ViewerType: TypeAlias = Literal["identified", "anonymous"] | str


@result
class PersonViewerState(Result):
    """How the account relates to a person."""

    connection_degree: ConnectionDegree | None = None
    """None if LinkedIn shows none, for example for the account's own content."""


@result
class ContentViewerState(Result):
    """What the account did with a post or comment."""

    reaction: ReactionType | None = None
    """The account's own reaction."""
    is_own: bool | None = None
    """Whether the account published it; False for a company page that it runs."""


@result
class Actor(Result):
    """Who wrote, reposted or reacted: a person or a company; linked_api only."""

    type: ActorType | None = None
    name: str | None = None
    profile_url: str | None = None
    """People only."""
    headline: str | None = None
    """People only."""
    company_url: str | None = None
    """Companies only."""
    viewer_state: PersonViewerState | None = None
    """People only."""


@result
class ActorWithUrn(Actor):
    """Who wrote or reposted a post of a page, or reacted to a post.

    Searches, the home feed and comments give no URNs of actors.
    """

    urn: str | None = None


@result
class ConversationSync(Result):
    """Until when a conversation is kept up to date."""

    sync_until: str | None = None
    """A moment in ISO 8601; linked_api only."""
    sync_until_datetime: ClassVar[Timestamp] = Timestamp("sync_until")


@result
class ConnectionStatus(Result):
    """How the account is connected to a person."""

    connection_status: ConnectionState | None = None
    """``incoming``, a request by them, comes from linked_api only."""


@result
class PendingRequest(Result):
    """A connection request that was sent and not answered yet."""

    name: str | None = None
    public_url: str | None = None
    headline: str | None = None
    sent_time: str | None = None
    """How long ago, such as ``2 weeks ago``; linked_api only."""
    urn: str | None = None
    """In linked_api only."""


@result
class PersonFacts(Result):
    """The attributes of a person that lists and pages share."""

    name: str | None = None
    public_url: str | None = None
    headline: str | None = None
    location: str | None = None
    """A place in free form."""
    urn: str | None = None
    """In linked_api only."""
    avatar_url: str | None = None
    """In linked_api only."""


@result
class Connection(PersonFacts):
    """One of the account's connections."""

    connected_at: str | None = None
    """When they connected; only without a filter, linked_api only."""
    connected_at_datetime: ClassVar[Timestamp] = Timestamp("connected_at")


@result
class Person(PersonFacts):
    """A person of a search or of a company's employees."""

    viewer_state: PersonViewerState | None = None
    """How the account relates to them; linked_api only."""


@result
class DecisionMaker(Person):
    """A decision maker of a company."""

    country_code: str | None = None
    """Two letters."""


@result
class PersonPage(PersonFacts):
    """What a person's page shows."""

    hashed_url: str | None = None
    country_code: str | None = None
    """Two letters."""
    position: str | None = None
    company_name: str | None = None
    company_hashed_url: str | None = None
    followers_count: int | None = None
    """In linked_api only."""
    about: str | None = None
    """In linked_api only."""
    viewer_state: PersonViewerState | None = None
    """How the account relates to them; linked_api only."""


@result
class Experience(Result):
    """One job of a person, past or present."""

    position: str | None = None
    company_name: str | None = None
    company_hashed_url: str | None = None
    employment_type: EmploymentType | None = None
    location_type: WorkplaceType | None = None
    description: str | None = None
    duration: int | None = None
    """Its length; the API does not document the unit, presumably months."""
    start_time: str | None = None
    end_time: str | None = None
    """None while it lasts."""
    location: str | None = None


@result
class Education(Result):
    """One school of a person."""

    school_name: str | None = None
    school_hashed_url: str | None = None
    details: str | None = None
    """Degree, field and dates in free form."""


@result
class Skill(Result):
    """One skill of a person."""

    name: str | None = None


@result
class Language(Result):
    """A language that a person speaks."""

    name: str | None = None
    proficiency: Proficiency | None = None


@result
class FoundPost(Result):
    """A post that a search found."""

    url: str | None = None
    time: str | None = None
    """When it was published, in ISO 8601."""
    type: PostType | None = None
    text: str | None = None
    repost_text: str | None = None
    """The text that the reposter added."""
    images: list[str] | None = None
    """URLs of previews."""
    has_video: bool | None = None
    has_poll: bool | None = None
    reactions_count: int | None = field(
        default=None, metadata=json_names("reactionsCount", "reactionCount")
    )
    comments_count: int | None = field(
        default=None, metadata=json_names("commentsCount", "commentCount")
    )
    reposts_count: int | None = None
    """In linked_api only, like all attributes below."""
    activity_urn: str | None = None
    author: Actor | None = None
    reposter: Actor | None = None
    hashtags: list[str] | None = None
    """Without the ``#``."""
    mentions: list[str] | None = None
    """URLs of the people and companies mentioned."""
    external_links: list[str] | None = None
    document_slides: list[str] | None = None
    """URLs of images."""
    video_thumbnail: str | None = None
    """URL of an image."""
    viewer_state: ContentViewerState | None = None
    """What the account did with it."""
    time_datetime: ClassVar[Timestamp] = Timestamp("time")


@result
class Post(FoundPost):
    """A post, from its own page or that of its author."""

    author: ActorWithUrn | None = None
    reposter: ActorWithUrn | None = None


@result
class FeedPost(FoundPost):
    """A post of the home feed."""

    feed_context: str | None = None
    """Why LinkedIn shows it."""


@result
class PersonComment(Result):
    """A comment that a person made."""

    post_url: str | None = None
    time: str | None = None
    text: str | None = None
    image: str | None = None
    """URL of an image."""
    reactions_count: int | None = field(
        default=None, metadata=json_names("reactionsCount", "reactionCount")
    )
    time_datetime: ClassVar[Timestamp] = Timestamp("time")


@result
class PersonReaction(Result):
    """A reaction that a person gave."""

    post_url: str | None = None
    time: str | None = None
    reaction_type: ReactionType | None = field(
        default=None, metadata=json_names("reactionType", "type")
    )
    time_datetime: ClassVar[Timestamp] = Timestamp("time")


@result
class Company(Result):
    """A company of a search."""

    name: str | None = None
    public_url: str | None = None
    industry: str | None = None
    location: str | None = None
    urn: str | None = None
    """In linked_api only."""
    logo_url: str | None = None
    """In linked_api only."""


@result
class CompanyFacts(Result):
    """What both kinds of company page show."""

    name: str | None = None
    public_url: str | None = None
    description: str | None = None
    location: str | None = None
    """The headquarters in free form."""
    headquarters: str | None = None
    """The country of the headquarters, two letters."""
    industry: str | None = None
    website: str | None = None
    employees_count: int | None = field(
        default=None, metadata=json_names("employeesCount", "employeeCount")
    )
    year_founded: int | None = None
    urn: str | None = None
    """In linked_api only."""
    logo_url: str | None = None
    """In linked_api only."""


@result
class CompanyPage(CompanyFacts):
    """What a company's page shows."""

    specialties: str | None = None
    """Separated by commas."""
    venture_financing: bool | None = None
    jobs_count: int | None = None
    """Jobs that are open."""


@result
class Salary(Result):
    """A range of pay."""

    currency: Currency | None = None
    min_amount: float | None = None
    max_amount: float | None = None
    period: PayPeriod | None = None


@result
class JobFacts(Result):
    """What both a search and a job's own page show."""

    job_id: str | None = None
    job_url: str | None = None
    title: str | None = None
    company_name: str | None = None
    location: str | None = None
    workplace_type: str | None = None
    salary: Salary | None = None
    easy_apply: bool | None = None
    urn: str | None = None


@result
class Job(JobFacts):
    """A job of a search."""

    is_promoted: bool | None = None
    is_similar_match: bool | None = None
    """Whether it is only similar to what was searched for."""


@result
class JobPage(JobFacts):
    """What a job's page shows."""

    company_url: str | None = None
    posted_date: str | None = None
    """How long ago, such as ``1w``."""
    applicants_count: int | None = None
    employment_type: str | None = None
    """The text shown, such as ``Full-time``."""
    description: str | None = None
    apply_url: str | None = None


@result
class CreatedPost(Result):
    """The post or repost that was made."""

    post_url: str | None = None
    post_urn: str | None = None


@result
class CreatedComment(Result):
    """The comment or reply that was made; linked_api only."""

    comment_urn: str | None = None
    comment_url: str | None = None


@result
class PostComment(Result):
    """A comment on a post."""

    author: Actor | None = None
    comment_urn: str | None = None
    comment_url: str | None = None
    time: str | None = None
    text: str | None = None
    image: str | None = None
    """URL of an image."""
    is_reply: bool | None = None
    reactions_count: int | None = None
    replies_count: int | None = None
    viewer_state: ContentViewerState | None = None
    """What the account did with it."""
    commenter_url: str | None = None
    """Deprecated, like the attributes below: use *author*."""
    commenter_name: str | None = None
    commenter_headline: str | None = None
    commenter_type: ActorType | None = None
    time_datetime: ClassVar[Timestamp] = Timestamp("time")


@result
class PostReaction(Result):
    """A reaction to a post."""

    actor: ActorWithUrn | None = None
    type: ReactionType | None = None
    engager_url: str | None = None
    """Deprecated, like the attributes below: use *actor*."""
    engager_name: str | None = None
    engager_headline: str | None = None
    engager_type: ActorType | None = None
    engager_urn: str | None = None


@result
class Invitation(Result):
    """An invitation that came in; *invitation_type* says which attributes it has."""

    invitation_type: InvitationType | None = None
    name: str | None = None
    """Who sent it."""
    urn: str | None = None
    public_url: str | None = None
    headline: str | None = None
    """``connect`` only."""
    note: str | None = None
    """``connect`` only."""
    company_url: str | None = None
    """``companyFollow`` only."""
    company_name: str | None = None
    """``companyFollow`` only."""
    newsletter_url: str | None = None
    """``newsletterSubscribe`` only."""
    newsletter_name: str | None = None
    """``newsletterSubscribe`` only."""


@result
class SocialSellingIndex(Result):
    """The account's Social Selling Index."""

    ssi: int | None = None
    """The index, 1 to 100."""
    industry_top: int | None = None
    """The rank in the industry, in percent: 3 is among the top 3 percent."""
    network_top: int | None = None
    """The rank in the network, in percent: 3 is among the top 3 percent."""


@result
class Performance(Result):
    """The account's dashboard."""

    followers_count: int | None = None
    post_views_last_7_days: int | None = None
    profile_views_last_90_days: int | None = None
    search_appearances_previous_week: int | None = None


@result
class ProfileViewer(Result):
    """Who viewed the account's profile; *viewer_type* says which attributes it has."""

    viewer_type: ViewerType | None = None
    viewed_at: str | None = None
    """An estimate."""
    viewed_ago: str | None = None
    """How long ago, as LinkedIn shows it."""
    name: str | None = None
    """``identified`` only."""
    public_url: str | None = None
    """``identified`` only."""
    urn: str | None = None
    """``identified`` only."""
    headline: str | None = None
    """``identified`` only."""
    connection_degree: int | None = None
    """1, 2 or 3; ``identified`` only."""
    avatar_url: str | None = None
    """``identified`` only."""
    description: str | None = None
    """``anonymous`` only."""
    search_url: str | None = None
    """A *custom_search_url* for `st.search_people`; ``anonymous`` only."""
    viewed_at_datetime: ClassVar[Timestamp] = Timestamp("viewed_at")


@result
class NvCompany(Result):
    """A company of a Sales Navigator search."""

    name: str | None = None
    hashed_url: str | None = None
    industry: str | None = None
    employees_count: int | None = field(
        default=None, metadata=json_names("employeesCount", "employeeCount")
    )
    urn: str | None = None
    """In linked_api only."""
    logo_url: str | None = None
    """In linked_api only."""


@result
class NvPerson(Result):
    """A person of a Sales Navigator search or of a company's employees there."""

    name: str | None = None
    hashed_url: str | None = None
    position: str | None = None
    location: str | None = None
    """A place in free form."""
    urn: str | None = None
    """In linked_api only."""
    avatar_url: str | None = None
    """In linked_api only."""
    viewer_state: PersonViewerState | None = None
    """How the account relates to them; linked_api only."""


@result
class NvDecisionMaker(NvPerson):
    """A decision maker of a company, as Sales Navigator shows them."""

    country_code: str | None = None
    """Two letters."""


@result
class NvCompanyPage(CompanyFacts):
    """What a company's page shows in Sales Navigator."""


@result
class NvPersonPage(PersonFacts):
    """What a person's page shows in Sales Navigator."""

    hashed_url: str | None = None
    country_code: str | None = None
    """Two letters."""
    position: str | None = None
    company_name: str | None = None
    company_urn: str | None = None
    """In linked_api only."""
    company_hashed_url: str | None = None


InboxType: TypeAlias = Literal["st", "nv"] | str

FeedbackType: TypeAlias = Literal["bug", "feature", "praise", "other"] | str

NetworkEventType: TypeAlias = (
    Literal["connectionAccepted", "connectionAdded", "connectionRequestReceived"] | str
)

Sender: TypeAlias = Literal["us", "them"] | str


@attrs.frozen
class ConversationQuery:
    """One conversation to poll, for `Session.poll_conversations`."""

    person_url: str
    """The person, by the URL that the conversation was synced with."""
    type: InboxType = attrs.field(default="st", kw_only=True)
    """``nv`` is Sales Navigator's."""
    since: Moment | None = attrs.field(default=None, kw_only=True)
    """Only messages since this moment."""


@result
class Message(Result):
    """A message of a conversation."""

    id: str | None = None
    sender: Sender | None = None
    """``us`` is the account."""
    text: str | None = None
    time: str | None = None
    thread_id: str | None = None
    """In linked_api only."""
    time_datetime: ClassVar[Timestamp] = Timestamp("time")


@result
class Conversation(Result):
    """The messages with one person, as far as they were synced."""

    person_url: str | None = None
    """As in the request."""
    type: InboxType | None = None
    since: str | None = None
    """As in the request."""
    messages: list[Message] | None = None
    person_urn: str | None = None
    """In linked_api only, like all attributes below."""
    sync_until: str | None = None
    """Until when the conversation is kept up to date."""
    since_datetime: ClassVar[Timestamp] = Timestamp("since")
    sync_until_datetime: ClassVar[Timestamp] = Timestamp("sync_until")


@result
class InboxMessage(Message):
    """A message that the inbox captured."""

    type: InboxType | None = None
    person_urn: str | None = None
    person_hashed_url: str | None = None
    person_public_url: str | None = None
    person_url: str | None = None
    """Deprecated: use *person_hashed_url*."""
    inbox_message_id: str | None = None
    """Its id in the inbox, if it was captured there; only with *person_url*."""


@result
class InboxThread(Result):
    """The known part of one thread with a person."""

    thread_id: str | None = None
    type: InboxType | None = None
    person_urn: str | None = None
    history_from: str | None = None
    """The time from which on its messages are known."""
    history_complete: bool | None = None
    """Whether all its messages are known, from the first one on."""
    history_from_datetime: ClassVar[Timestamp] = Timestamp("history_from")


@result
class PersonInbox(Result):
    """The whole known conversation with one person."""

    messages: list[InboxMessage] | None = None
    """Newest first: what the inbox captured, and the history that was synced."""
    threads: list[InboxThread] | None = None


@result
class NetworkEvent(Result):
    """A change of the account's connections."""

    id: str | None = None
    type: NetworkEventType | None = None
    person_urn: str | None = None
    person_url: str | None = None
    detected_at: str | None = None
    """When the API detected it."""
    detected_at_datetime: ClassVar[Timestamp] = Timestamp("detected_at")


@result
class AccountInfo(Result):
    """The LinkedIn account behind the tokens."""

    name: str | None = None
    url: str | None = None


@result
class ActionUse(Result):
    """One action that the account executed."""

    action_type: str | None = None
    """Such as ``st.openCompanyPage``."""
    success: bool | None = None
    time: str | None = None
    time_datetime: ClassVar[Timestamp] = Timestamp("time")
