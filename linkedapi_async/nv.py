"""The actions of Sales Navigator, in the order of the API's overview.

Each class is its own builder function. Every optional parameter is None, which means
not sent; the API then takes the default that the docstring names.
"""

from attrs import field

from linkedapi_async import results
from linkedapi_async._actions.action import Action, action
from linkedapi_async._actions.parameters import LINKED_ONLY, info, target
from linkedapi_async._actions.scopes import (
    Nowhere,
    NvCompanyListScope,
    NvCompanyPageScope,
    NvCompanyScope,
    NvPersonListScope,
    NvPersonPageScope,
    NvPersonScope,
    Root,
    StCompanyPageScope,
    StPersonPageScope,
)
from linkedapi_async._types import ACCOUNT, BOTH, LINKED
from linkedapi_async.params import (
    NvCompaniesFilter,
    NvConversationOperation,
    NvEmployeesFilter,
    NvPeopleFilter,
)


__all__ = [
    "do_for_companies",
    "do_for_people",
    "manage_conversation",
    "open_company_page",
    "open_person_page",
    "retrieve_company_dms",
    "retrieve_company_employees",
    "search_companies",
    "search_people",
    "send_message",
    "sync_conversation",
    "sync_inbox",
]


@action("nv.sendMessage", effect="write", category="nvMessages")
class send_message(Action[Root | NvPersonPageScope, Nowhere, None]):
    """Send a Sales Navigator message to a person: an InMail or a reply.

    https://linkedapi.io/docs/action-nv-send-message

    Args:
        person_url: The person, by public or hashed URL.
        thread_id: A conversation to reply into; takes precedence over *person_url*.
            In linked_api only.
        text: The message, 1 to 1900 characters.
        subject: Its subject, at most 80 characters. Always needed in account_api; in
            linked_api only if the message begins a conversation.
    """

    person_url: str | None = field(
        default=None, kw_only=False, metadata=target("person")
    )
    thread_id: str | None = field(default=None, metadata=target("thread", LINKED))
    text: str = field(metadata=info(minimum=1, maximum=1900, enforced_in=BOTH))
    subject: str | None = field(
        default=None, metadata=info(needed_in=ACCOUNT, maximum=80, enforced_in=ACCOUNT)
    )


@action("nv.syncConversation")
class sync_conversation(
    Action[
        Root | StPersonPageScope | NvPersonPageScope, Nowhere, results.ConversationSync
    ]
):
    """Load the history of a conversation and keep it up to date for polling.

    https://linkedapi.io/docs/action-nv-sync-conversation

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


@action("nv.syncInbox", generations=LINKED)
class sync_inbox(Action[Root, Nowhere, None]):
    """Turn on monitoring of the whole Sales Navigator inbox, once per account.

    https://linkedapi.io/docs/action-nv-sync-inbox
    """


@action("nv.manageConversation", effect="write", generations=LINKED)
class manage_conversation(Action[Root, Nowhere, None]):
    """Archive a Sales Navigator conversation, or undo that.

    https://linkedapi.io/docs/action-nv-manage-conversation

    Args:
        thread_id: The conversation.
        operation: What to do with it.
    """

    thread_id: str = field(kw_only=False, metadata=target("thread"))
    operation: NvConversationOperation


@action("nv.searchCompanies")
class search_companies(Action[Root, NvCompanyListScope, list[results.NvCompany]]):
    """Search companies in Sales Navigator.

    https://linkedapi.io/docs/action-nv-search-companies

    Args:
        term: Words to search for.
        limit: How many at most, 1 to 10 in account_api and 1 to 1000 in linked_api;
            default 10 in account_api and 25 in linked_api.
        filter: What the companies must match.
        custom_search_url: URL of a company search, copied from Sales Navigator; takes
            precedence over *term* and *filter*. In linked_api only.
    """

    term: str | None = None
    limit: int | None = field(
        default=None,
        metadata=info(
            default={"account_api": 10, "linked_api": 25},
            minimum=1,
            maximum={"account_api": 10, "linked_api": 1000},
        ),
    )
    filter: NvCompaniesFilter | None = None
    custom_search_url: str | None = field(default=None, metadata=LINKED_ONLY)


@action("nv.searchPeople")
class search_people(Action[Root, NvPersonListScope, list[results.NvPerson]]):
    """Search people in Sales Navigator.

    https://linkedapi.io/docs/action-nv-search-people

    Args:
        term: Words to search for.
        limit: How many at most, 1 to 10 in account_api and 1 to 2500 in linked_api;
            default 10 in account_api and 25 in linked_api.
        filter: What the people must match.
        custom_search_url: URL of a people search, copied from Sales Navigator; takes
            precedence over *term* and *filter*. In linked_api only.
    """

    term: str | None = None
    limit: int | None = field(
        default=None,
        metadata=info(
            default={"account_api": 10, "linked_api": 25},
            minimum=1,
            maximum={"account_api": 10, "linked_api": 2500},
            enforced_in=LINKED,
        ),
    )
    filter: NvPeopleFilter | None = None
    custom_search_url: str | None = field(default=None, metadata=LINKED_ONLY)


@action("nv.openCompanyPage", category="nvCompanyPageViews")
class open_company_page(
    Action[
        Root | NvCompanyScope | StCompanyPageScope,
        NvCompanyPageScope,
        results.NvCompanyPage,
    ]
):
    """Open a company's page in Sales Navigator.

    https://linkedapi.io/docs/action-nv-open-company-page

    Args:
        company_hashed_url: The company, by hashed URL: the one with a number.
        basic_info: Whether to yield what the page shows; default False.
    """

    company_hashed_url: str | None = field(
        default=None, kw_only=False, metadata=target("nvCompany")
    )
    basic_info: bool | None = field(default=None, metadata=info(default=False))


@action("nv.retrieveCompanyEmployees")
class retrieve_company_employees(
    Action[NvCompanyPageScope, NvPersonListScope, list[results.NvPerson]]
):
    """List a company's employees from Sales Navigator.

    https://linkedapi.io/docs/action-nv-retrieve-company-employees

    Args:
        limit: How many at most, 1 to 500 in account_api and 1 to 2500 in linked_api;
            default 500 in account_api and 25 in linked_api.
        filter: What the employees must match.
    """

    limit: int | None = field(
        default=None,
        metadata=info(
            default={"account_api": 500, "linked_api": 25},
            minimum=1,
            # Not enforced in linked_api, where another official source says 500.
            maximum={"account_api": 500, "linked_api": 2500},
            enforced_in=ACCOUNT,
        ),
    )
    filter: NvEmployeesFilter | None = None


@action("nv.retrieveCompanyDMs")
class retrieve_company_dms(
    Action[NvCompanyPageScope, NvPersonListScope, list[results.NvDecisionMaker]]
):
    """List a company's decision makers from Sales Navigator, the most senior first.

    https://linkedapi.io/docs/action-nv-retrieve-company-dms

    Args:
        limit: How many at most, 1 to 20; default 20.
    """

    limit: int | None = field(
        default=None,
        metadata=info(default=20, minimum=1, maximum=20, enforced_in=ACCOUNT),
    )


@action("nv.openPersonPage", category="nvPersonProfileViews")
class open_person_page(
    Action[
        Root | NvPersonScope | StPersonPageScope,
        NvPersonPageScope,
        results.NvPersonPage,
    ]
):
    """Open a person's page in Sales Navigator.

    https://linkedapi.io/docs/action-nv-open-person-page

    Args:
        person_hashed_url: The person, by hashed URL; a public one is not accepted.
        basic_info: Whether to yield what the page shows; default False.
    """

    person_hashed_url: str | None = field(
        default=None, kw_only=False, metadata=target("nvPerson")
    )
    basic_info: bool | None = field(default=None, metadata=info(default=False))


@action("nv.doForCompanies", has_outcome=False)
class do_for_companies(Action[NvCompanyListScope, NvCompanyScope, None]):
    """Do the nested actions for every company of a list.

    https://linkedapi.io/docs/action-nv-do-for-companies
    """


@action("nv.doForPeople", has_outcome=False)
class do_for_people(Action[NvPersonListScope, NvPersonScope, None]):
    """Do the nested actions for every person of a list.

    https://linkedapi.io/docs/action-nv-do-for-people
    """
