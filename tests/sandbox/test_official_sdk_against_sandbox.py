"""The official SDK, which shares nothing with us, understands the sandbox."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from linkedapi import LinkedApi, LinkedApiConfig, LinkedApiError, types

from linkedapi_async.sandbox import Sandbox


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

pytestmark = pytest.mark.anyio

PERSON = "https://www.linkedin.com/in/person1"
HASHED_PERSON = "https://www.linkedin.com/in/SInQBmjJ015eLr8"
COMPANY = "https://www.linkedin.com/company/company1"
HASHED_COMPANY = "https://www.linkedin.com/company/12345678"
POST = "https://www.linkedin.com/feed/update/urn:li:activity:7461747346638207121"
COMMENT = f"{POST}?commentUrn=urn%3Ali%3Acomment%3A1"
LONG_AGO = "2024-01-01T00:00:00Z"

PERSON_FILTER = {
    "first_name": "Jane",
    "last_name": "Doe",
    "locations": ["New York", "San Francisco"],
    "industries": ["Software Development"],
    "schools": ["MIT"],
}
COMPANIES_FILTER = {
    "sizes": ["51-200", "201-500"],
    "locations": ["New York"],
    "industries": ["Robotics Engineering"],
}
LIMIT_SINCE = {"limit": 3, "since": LONG_AGO}
EMPLOYERS = {"current_companies": ["Acme"], "previous_companies": ["Globex"]}
REF = {"name": "Jane Doe", "id": PERSON}
COMPANY_REF = {"name": "Acme", "id": COMPANY}

VOID: dict[str, dict[str, Any]] = {
    "send_message": {
        "person_url": PERSON,
        "text": "Hi",
        "manage_conversation": {"operation": "archive"},
    },
    "sync_inbox": {},
    "sync_network": {},
    "manage_conversation": {"thread_id": "t1", "operation": "star"},
    "send_connection_request": {
        "person_url": PERSON,
        "note": "Hi",
        "email": "jane@example.com",
    },
    "withdraw_connection_request": {"person_url": PERSON, "unfollow": False},
    "accept_invitation": {"invitation_type": "companyFollow", "company_url": COMPANY},
    "ignore_invitation": {"invitation_type": "connect", "person_url": PERSON},
    "remove_connection": {"person_url": PERSON},
    "endorse_person_skill": {"person_url": PERSON, "skill_name": "Python"},
    "react_to_post": {"post_url": POST, "type": "love", "company_url": COMPANY},
    "react_to_comment": {"comment_url": COMMENT, "type": "celebrate"},
    "nv_send_message": {"person_url": PERSON, "text": "Hi", "subject": "Hello"},
    "nv_sync_inbox": {},
    "nv_manage_conversation": {"thread_id": "t1", "operation": "archive"},
}
YIELDING: dict[str, dict[str, Any]] = {
    "sync_conversation": {"person_url": PERSON, "days": 7},
    "check_connection_status": {"person_url": PERSON},
    "retrieve_pending_requests": {},
    "retrieve_invitations": {},
    "retrieve_connections": {
        "limit": 3,
        "filter": {**PERSON_FILTER, **EMPLOYERS, "position": "Engineer"},
    },
    "search_companies": {"term": "Tech", "limit": 3, "filter": COMPANIES_FILTER},
    "search_people": {
        "term": "robots",
        "limit": 3,
        "filter": {
            **PERSON_FILTER,
            **EMPLOYERS,
            "position": "Engineer",
            "connection_degrees": ["2nd"],
        },
    },
    "search_jobs": {
        "term": "Engineer",
        "limit": 3,
        "location": "Berlin",
        "allow_similar_results": False,
        "filter": {
            "date_posted": "pastWeek",
            "experience_levels": ["director"],
            "employment_types": ["contract"],
            "workplace_types": ["remote"],
            "companies": ["Acme"],
            "industries": ["Robotics Engineering"],
            "job_functions": ["engineering"],
            "easy_apply": True,
            "has_verifications": True,
            "under_10_applicants": True,
            "in_your_network": True,
            "fair_chance_employer": True,
        },
    },
    "search_posts": {
        "term": "robots",
        "limit": 3,
        "filter": {
            "sort": "latest",
            "date_posted": "pastWeek",
            "content_type": "videos",
            "posted_by": ["firstConnections"],
            "from_members": [REF, "John Roe"],
            "from_companies": [COMPANY_REF, "Globex"],
            "mentioning_members": [REF],
            "mentioning_companies": [COMPANY_REF],
            "author_companies": [COMPANY_REF],
            "author_industries": ["Robotics Engineering"],
        },
    },
    "fetch_company": {
        "company_url": COMPANY,
        "retrieve_employees": True,
        "retrieve_dms": True,
        "retrieve_posts": True,
        "employees_retrieval_config": {
            "limit": 3,
            "filter": {
                **PERSON_FILTER,
                "position": "Engineer",
                "connection_degrees": ["1st"],
            },
        },
        "dms_retrieval_config": {"limit": 2},
        "posts_retrieval_config": LIMIT_SINCE,
    },
    "fetch_person": {
        "person_url": PERSON,
        "retrieve_experience": True,
        "retrieve_education": True,
        "retrieve_skills": True,
        "retrieve_languages": True,
        "retrieve_posts": True,
        "retrieve_comments": True,
        "retrieve_reactions": True,
        "posts_retrieval_config": LIMIT_SINCE,
        "comments_retrieval_config": LIMIT_SINCE,
        "reactions_retrieval_config": LIMIT_SINCE,
    },
    "endorse_person_skills": {"person_url": PERSON, "skill_name_patterns": ["*"]},
    "fetch_post": {
        "post_url": POST,
        "retrieve_comments": True,
        "retrieve_reactions": True,
        "comments_retrieval_config": {
            "limit": 3,
            "replies": True,
            "sort": "mostRecent",
        },
        "reactions_retrieval_config": {"limit": 3},
    },
    "fetch_job": {"job_url": "https://www.linkedin.com/jobs/view/4012345678"},
    "comment_on_post": {
        "post_urn": "urn:li:activity:7461747346638207121",
        "text": "Nice",
        "company_url": COMPANY,
    },
    "reply_to_comment": {"comment_url": COMMENT, "text": "Thanks"},
    "create_post": {
        "text": "Hello @[jane]",
        "mentions": [{"key": "jane", "name": "Jane Doe", "urn": "urn:li:member:1"}],
        "attachments": [
            {"url": "https://example.com/a.pdf", "type": "document", "name": "A"}
        ],
        "company_url": COMPANY,
    },
    "create_repost": {
        "post_url": POST,
        "text": "See @[jane]",
        "mentions": [{"key": "jane", "name": "Jane Doe"}],
    },
    "retrieve_feed": {"limit": 30},
    "retrieve_ssi": {},
    "retrieve_performance": {},
    "retrieve_profile_viewers": LIMIT_SINCE,
    "nv_sync_conversation": {"person_url": PERSON, "days": 7},
    "nv_search_companies": {
        "term": "Tech",
        "limit": 3,
        "filter": {**COMPANIES_FILTER, "annual_revenue": {"min": "1", "max": "20"}},
    },
    "nv_search_people": {
        "term": "robots",
        "limit": 3,
        "filter": {
            **PERSON_FILTER,
            **EMPLOYERS,
            "position": "Engineer",
            "years_of_experiences": ["sixToTen"],
            "connection_degrees": ["groupMembers"],
        },
    },
    "nv_fetch_company": {
        "company_hashed_url": HASHED_COMPANY,
        "retrieve_employees": True,
        "retrieve_dms": True,
        "employees_retrieval_config": {
            "limit": 3,
            "filter": {
                **PERSON_FILTER,
                "positions": ["Engineer", "Designer"],
                "years_of_experiences": ["sixToTen"],
                "connection_degrees": ["3rd+"],
            },
        },
        "dms_retrieval_config": {"limit": 2},
    },
    "nv_fetch_person": {"person_hashed_url": HASHED_PERSON},
}
PARAMS: dict[str, Callable[..., Any]] = {
    "nv_fetch_person": types.NvOpenPersonPageParams,
    "retrieve_connections": types.RetrieveConnectionsParams,
}
"""The classes that are not called as their operations are."""


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A sandbox whose workflows end at once."""
    async with Sandbox(duration=0) as sandbox:
        yield sandbox


@pytest.fixture
async def sdk(sandbox: Sandbox) -> AsyncIterator[LinkedApi]:
    """The official SDK, pointed at the sandbox."""
    config = LinkedApiConfig(
        linked_api_token="token",
        identification_token="account",
        base_url=sandbox.url,
    )
    sdk = LinkedApi(config)
    yield sdk
    http: Any = sdk.http_client
    http.session.close()


def params_of(name: str, values: dict[str, Any]) -> Any:
    """Return the parameters of operation *name* as the SDK's own class."""
    words = "".join(word.capitalize() for word in name.split("_"))
    cls = PARAMS.get(name) or getattr(types, f"{words}Params", None)
    return cls(**values) if cls is not None else None


def run(sdk: LinkedApi, name: str, params: Any) -> Any:
    """Run an operation, as a user of the SDK does."""
    operation = getattr(sdk, name)
    started = operation.execute(params)
    return operation.result(started.workflow_id, poll_interval=0.01, timeout=10)


async def call(sdk: LinkedApi, name: str, params: Any) -> Any:
    """Run an operation beside the event loop, since the SDK blocks."""
    return await asyncio.to_thread(run, sdk, name, params)


async def test_every_operation_is_covered(sdk: LinkedApi) -> None:
    """The tables below name every operation that the SDK has."""
    operations: list[Any] = sdk.operations
    actual = {operation.operation_name for operation in operations}
    named = {getattr(sdk, name).operation_name for name in [*VOID, *YIELDING]}

    assert named | {"customWorkflow"} == actual


@pytest.mark.parametrize("name", VOID)
async def test_void_operations_succeed(sdk: LinkedApi, name: str) -> None:
    """An operation that yields nothing ends without data and without errors."""
    response = await call(sdk, name, params_of(name, VOID[name]))

    assert (None, []) == (response.data, response.errors)


@pytest.mark.parametrize("name", YIELDING)
async def test_yielding_operations_are_parsed(sdk: LinkedApi, name: str) -> None:
    """An operation that yields something ends with data that the SDK's models take."""
    response = await call(sdk, name, params_of(name, YIELDING[name]))

    assert [] == response.errors
    items = response.data if isinstance(response.data, list) else [response.data]
    assert items
    assert all(item.model_dump(exclude_none=True) for item in items)


@pytest.mark.parametrize(
    ("name", "lists"),
    [
        ("fetch_company", ("employees", "dms", "posts")),
        (
            "fetch_person",
            (
                *("experiences", "education", "skills", "languages"),
                *("posts", "comments", "reactions"),
            ),
        ),
        ("fetch_post", ("comments", "reactions")),
        ("nv_fetch_company", ("employees", "dms")),
    ],
)
async def test_children_are_parsed(
    sdk: LinkedApi, name: str, lists: tuple[str, ...]
) -> None:
    """All that was nested comes back filled."""
    response = await call(sdk, name, params_of(name, YIELDING[name]))

    missing = [each for each in lists if not getattr(response.data, each)]

    assert [] == missing


@pytest.mark.parametrize("generated", [12, 40])
async def test_lists_hold_all_kinds(sdk: LinkedApi, generated: int) -> None:
    """Invitations and viewers of every kind pass the SDK's strict models."""
    invitations = await call(sdk, "retrieve_invitations", None)
    viewers = await call(
        sdk,
        "retrieve_profile_viewers",
        types.RetrieveProfileViewersParams(limit=generated),
    )

    kinds = {"connect", "companyFollow", "newsletterSubscribe"}
    assert kinds == {invitation.invitation_type for invitation in invitations.data}
    assert {"identified", "anonymous"} == {v.viewer_type for v in viewers.data}


async def test_custom_workflow(sdk: LinkedApi) -> None:
    """A raw array workflow comes back as an array."""
    definition = [
        {"actionType": "st.retrieveSSI", "label": "a"},
        {"actionType": "st.retrievePerformance", "then": []},
    ]

    response = await call(sdk, "custom_workflow", definition)

    expected = [("st.retrieveSSI", "a", True), ("st.retrievePerformance", None, True)]
    assert expected == [
        (node["actionType"], node.get("label"), node["success"])
        for node in response.data
    ]


async def test_failed_children_are_collected(sandbox: Sandbox, sdk: LinkedApi) -> None:
    """An action that fails below a page is one of the SDK's errors, not its end."""
    sandbox.fail_action("st.retrieveCompanyDMs", "retrievingNotAllowed", "no")

    response = await call(
        sdk, "fetch_company", params_of("fetch_company", YIELDING["fetch_company"])
    )

    errors = [(error.type, error.message) for error in response.errors]
    assert [("retrievingNotAllowed", "no")] == errors
    assert response.data.employees


async def test_failures_are_raised(sandbox: Sandbox, sdk: LinkedApi) -> None:
    """A workflow that fails as a whole is raised with the API's reason."""
    sandbox.fail_next("languageNotSupported")

    with pytest.raises(LinkedApiError) as caught:
        await call(sdk, "retrieve_ssi", None)

    assert "languageNotSupported" == caught.value.type


async def test_refusals_are_raised(sandbox: Sandbox, sdk: LinkedApi) -> None:
    """A start that is refused is raised with the API's error type."""
    sandbox.sign_out("account")

    with pytest.raises(LinkedApiError) as caught:
        await call(sdk, "retrieve_ssi", None)

    assert "linkedinAccountSignedOut" == caught.value.type


async def test_cancel(sdk: LinkedApi, sandbox: Sandbox) -> None:
    """Cancelling what has ended is answered with False."""
    started = await asyncio.to_thread(sdk.retrieve_ssi.execute)
    cancelled = await asyncio.to_thread(sdk.retrieve_ssi.cancel, started.workflow_id)

    assert cancelled is False
