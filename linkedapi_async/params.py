"""Parameters that are objects themselves, and the words that parameters take.

Every list of words is open: an unknown word is sent as it is, with a warning.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias

from attrs import field

from linkedapi_async._actions.parameters import LINKED_ONLY, Validated, info, parameters


__all__ = [
    "AnnualRevenue",
    "AttachmentType",
    "CommentSort",
    "CompaniesFilter",
    "CompanyRef",
    "CompanySize",
    "ConnectionDegree",
    "ConnectionsFilter",
    "ContentType",
    "ConversationOperation",
    "EmployeesFilter",
    "ExperienceLevel",
    "InvitationType",
    "JobDate",
    "JobType",
    "JobsFilter",
    "JobsPreferences",
    "MemberRef",
    "Mention",
    "NvCompaniesFilter",
    "NvConnectionDegree",
    "NvConversationOperation",
    "NvEmployeesFilter",
    "NvPeopleFilter",
    "PeopleFilter",
    "PersonFilter",
    "PostAttachment",
    "PostDate",
    "PostSort",
    "PostedBy",
    "PostsFilter",
    "PreferredJobType",
    "PreferredLevel",
    "ReactionType",
    "RevenueFrom",
    "RevenueUpTo",
    "WorkplaceType",
    "YearsOfExperience",
    "YearsOfExperiences",
]

AttachmentType: TypeAlias = Literal["image", "video", "document"] | str
CommentSort: TypeAlias = Literal["mostRelevant", "mostRecent"] | str
CompanySize: TypeAlias = (
    Literal[
        "1-10",
        "11-50",
        "51-200",
        "201-500",
        "501-1000",
        "1001-5000",
        "5001-10000",
        "10001+",
    ]
    | str
)
ConnectionDegree: TypeAlias = Literal["1st", "2nd", "3rd+"] | str
ContentType: TypeAlias = (
    Literal["videos", "images", "jobPosts", "liveVideos", "documents"] | str
)
ConversationOperation: TypeAlias = (
    Literal["archive", "unarchive", "star", "unstar", "mute", "unmute"] | str
)
ExperienceLevel: TypeAlias = (
    Literal[
        "internship",
        "entryLevel",
        "associate",
        "midSeniorLevel",
        "director",
        "executive",
    ]
    | str
)
InvitationType: TypeAlias = (
    Literal["connect", "companyFollow", "newsletterSubscribe"] | str
)
JobDate: TypeAlias = Literal["anyTime", "past24Hours", "pastWeek", "pastMonth"] | str
JobType: TypeAlias = (
    Literal[
        "fullTime",
        "partTime",
        "contract",
        "temporary",
        "volunteer",
        "internship",
        "other",
    ]
    | str
)
NvConnectionDegree: TypeAlias = Literal["1st", "2nd", "3rd+", "groupMembers"] | str
NvConversationOperation: TypeAlias = Literal["archive", "unarchive"] | str
PostDate: TypeAlias = Literal["past24Hours", "pastWeek", "pastMonth"] | str
PostSort: TypeAlias = Literal["topMatch", "latest"] | str
PostedBy: TypeAlias = Literal["me", "firstConnections", "peopleYouFollow"] | str
PreferredJobType: TypeAlias = (
    Literal["fullTime", "partTime", "contract", "internship", "volunteer"] | str
)
PreferredLevel: TypeAlias = (
    Literal["entryLevel", "senior", "manager", "director", "executive"] | str
)
ReactionType: TypeAlias = (
    Literal["like", "celebrate", "support", "love", "insightful", "funny"] | str
)
RevenueFrom: TypeAlias = (
    Literal["0", "0.5", "1", "2.5", "5", "10", "20", "50", "100", "500", "1000"] | str
)
RevenueUpTo: TypeAlias = (
    Literal["0.5", "1", "2.5", "5", "10", "20", "50", "100", "500", "1000", "1000+"]
    | str
)
WorkplaceType: TypeAlias = Literal["onSite", "remote", "hybrid"] | str
YearsOfExperience: TypeAlias = (
    Literal[
        "lessThanOne",
        "oneToTwo",
        "threeToFive",
        "sixToTen",
        "moreThanTen",
        # Early versions of account_api spelled them in digits.
        "0-1",
        "1-2",
        "3-5",
        "6-10",
        "10+",
    ]
    | str
)
YearsOfExperiences: TypeAlias = (
    Literal["lessThanOne", "oneToTwo", "threeToFive", "sixToTen", "moreThanTen"] | str
)


@parameters
class PersonFilter(Validated):
    """The fields that all filters of people share.

    Fields combine with AND, the values of one list with OR.
    """

    first_name: str | None = None
    last_name: str | None = None
    locations: Sequence[str] | None = None
    """Places in free form."""
    industries: Sequence[str] | None = None
    """Industries by LinkedIn's names."""
    schools: Sequence[str] | None = None


@parameters
class PeopleFilter(PersonFilter):
    """Which people `st.search_people` finds."""

    position: str | None = None
    current_companies: Sequence[str] | None = None
    previous_companies: Sequence[str] | None = None
    connection_degrees: Sequence[ConnectionDegree] | None = field(
        default=None, metadata=LINKED_ONLY
    )
    """Degrees of connection to the account; linked_api only."""


@parameters
class ConnectionsFilter(PersonFilter):
    """Which connections `st.retrieve_connections` lists."""

    position: str | None = None
    current_companies: Sequence[str] | None = None
    previous_companies: Sequence[str] | None = None


@parameters
class EmployeesFilter(PersonFilter):
    """Which employees `st.retrieve_company_employees` lists."""

    position: str | None = None
    connection_degrees: Sequence[ConnectionDegree] | None = field(
        default=None, metadata=LINKED_ONLY
    )
    """Degrees of connection to the account; linked_api only."""


@parameters
class CompaniesFilter(Validated):
    """Which companies `st.search_companies` finds.

    Fields combine with AND, the values of one list with OR.
    """

    sizes: Sequence[CompanySize] | None = None
    """Numbers of employees."""
    locations: Sequence[str] | None = None
    """Headquarters in free form."""
    industries: Sequence[str] | None = None
    """Industries by LinkedIn's names."""


@parameters
class JobsFilter(Validated):
    """Which jobs the classic search of `st.search_jobs` finds."""

    location: str | None = None
    """Deprecated: use the *location* of the search itself."""
    date_posted: JobDate | None = None
    experience_levels: Sequence[ExperienceLevel] | None = None
    employment_types: Sequence[JobType] | None = None
    workplace_types: Sequence[WorkplaceType] | None = None
    companies: Sequence[str] | None = None
    industries: Sequence[str] | None = None
    job_functions: Sequence[str] | None = None
    easy_apply: bool | None = None
    has_verifications: bool | None = None
    under_10_applicants: bool | None = None
    in_your_network: bool | None = None
    fair_chance_employer: bool | None = None


@parameters
class JobsPreferences(Validated):
    """The criteria of the AI-powered search of `st.search_jobs`.

    Preferences that LinkedIn does not offer for a search are skipped.
    """

    date_posted: JobDate | None = None
    experience_levels: Sequence[PreferredLevel] | None = None
    """Levels; ``senior`` is the filter's ``midSeniorLevel``."""
    employment_types: Sequence[PreferredJobType] | None = None
    companies: Sequence[str] | None = None
    remote: bool | None = None
    easy_apply: bool | None = None
    under_10_applicants: bool | None = None
    in_your_network: bool | None = None
    keywords: Sequence[str] | None = None
    """Skills, technologies or topics."""


@parameters
class MemberRef(Validated):
    """A person to filter by; a plain string is short for one with a name only."""

    name: str = field(metadata=info(maximum=100))
    id: str | None = None
    """URN, public or hashed URL; pins the filter to exactly this person."""
    urn: str | None = None
    """Deprecated: use *id*."""
    person_hashed_url: str | None = None
    """Deprecated: use *id*."""


@parameters
class CompanyRef(Validated):
    """A company to filter by; a plain string is short for one with a name only."""

    name: str = field(metadata=info(maximum=100))
    id: str | None = None
    """URN, public or hashed URL, or numeric id; pins the filter to this company."""
    urn: str | None = None
    """Deprecated: use *id*."""
    company_hashed_url: str | None = None
    """Deprecated: use *id*."""


@parameters
class PostsFilter(Validated):
    """Which posts `st.search_posts` finds; ignored with *custom_search_url*."""

    sort: PostSort | None = None
    date_posted: PostDate | None = None
    content_type: ContentType | None = None
    posted_by: Sequence[PostedBy] | None = None
    from_members: Sequence[str | MemberRef] | None = None
    from_companies: Sequence[str | CompanyRef] | None = None
    mentioning_members: Sequence[str | MemberRef] | None = None
    mentioning_companies: Sequence[str | CompanyRef] | None = None
    author_companies: Sequence[str | CompanyRef] | None = None
    """Companies that the authors work for."""
    author_industries: Sequence[str] | None = None


@parameters
class PostAttachment(Validated):
    """A file of a new post: an image, a video or a document."""

    url: str
    """The URL from which LinkedIn fetches it.

    Images are JPEG, PNG, GIF or WebP up to 8 MB, videos MP4, MOV or WebM up to 200 MB,
    documents PDF up to 100 MB.
    """
    type: AttachmentType
    name: str | None = None
    """The title shown; a document must have one."""

    def _problems(self) -> Iterator[tuple[str, str]]:
        if self.type == "document" and self.name is None:
            yield "name", "is required for a document"


@parameters
class Mention(Validated):
    """A person or company that a post mentions.

    It needs its placeholder in the text: ``@[key]``. At most one of *urn*,
    *person_hashed_url* and *company_hashed_url* identifies who is mentioned.
    """

    key: str = field(metadata=info(minimum=1, maximum=30, pattern="[A-Za-z0-9_-]*"))
    """The content of the placeholder: at most 30 letters, digits, ``_`` and ``-``."""
    name: str
    urn: str | None = None
    person_hashed_url: str | None = None
    company_hashed_url: str | None = None

    def _problems(self) -> Iterator[tuple[str, str]]:
        names = ("urn", "person_hashed_url", "company_hashed_url")
        given = [name for name in names if getattr(self, name) is not None]
        if len(given) > 1:
            yield given[1], f"cannot be set beside {given[0]}; leave one of them out"


@parameters
class AnnualRevenue(Validated):
    """A range of yearly revenue, in millions of US dollars, as strings."""

    min: RevenueFrom
    max: RevenueUpTo


@parameters
class NvCompaniesFilter(Validated):
    """Which companies `nv.search_companies` finds.

    Fields combine with AND, the values of one list with OR.
    """

    sizes: Sequence[CompanySize] | None = None
    """Numbers of employees."""
    locations: Sequence[str] | None = None
    """Headquarters in free form."""
    industries: Sequence[str] | None = None
    """Industries by LinkedIn's names."""
    annual_revenue: AnnualRevenue | None = None


@parameters
class NvPeopleFilter(PersonFilter):
    """Which people `nv.search_people` finds."""

    position: str | None = None
    current_companies: Sequence[str] | None = None
    previous_companies: Sequence[str] | None = None
    years_of_experience: Sequence[YearsOfExperience] | None = None
    """The spelling of the API's documentation."""
    years_of_experiences: Sequence[YearsOfExperiences] | None = field(
        default=None, metadata=LINKED_ONLY
    )
    """The spelling of some official clients; linked_api only."""
    connection_degrees: Sequence[NvConnectionDegree] | None = field(
        default=None, metadata=LINKED_ONLY
    )
    """Degrees of connection to the account; linked_api only."""


@parameters
class NvEmployeesFilter(PersonFilter):
    """Which employees `nv.retrieve_company_employees` lists."""

    positions: Sequence[str] | None = None
    years_of_experiences: Sequence[YearsOfExperiences] | None = None
    connection_degrees: Sequence[NvConnectionDegree] | None = field(
        default=None, metadata=LINKED_ONLY
    )
    """Degrees of connection to the account; linked_api only."""
