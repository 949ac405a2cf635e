"""The official SDK in tests: its operations, and parameters for each of them."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest
from linkedapi import LinkedApi
from linkedapi import types as sdk_types
from linkedapi.http import HttpClient
from linkedapi.types import post as sdk_post
from pydantic import BaseModel
from sample_targets import SAMPLE_TARGETS


Given = dict[str, Any]
"""The parameters that are set, by their Python names."""


class Unplugged(HttpClient[Any]):
    """An HTTP client that sends nothing."""

    def get(self, *args: Any, **kwargs: Any) -> Any:
        """Send nothing."""
        raise NotImplementedError

    post = delete = get


SDK: Any = LinkedApi(Unplugged())
OPERATIONS = {operation.operation_name: operation for operation in SDK.operations}

# Intents, derived from the SDK's own models

BY_PERSON, BY_POST = (
    {"person_url": "https://www.linkedin.com/in/ada"},
    {"post_url": "https://www.linkedin.com/feed/update/urn:li:activity:7461747"},
)

# What the API needs although the SDK's models do not.
NEEDED: dict[str, Given] = {
    "sendMessage": BY_PERSON,
    "nvSendMessage": BY_PERSON,
    "acceptInvitation": BY_PERSON,
    "ignoreInvitation": BY_PERSON,
    "searchPosts": {"term": "x"},
    "fetchPost": BY_POST,
    "reactToPost": BY_POST,
    "commentOnPost": BY_POST,
    "createRepost": BY_POST,
}

KINDS_OF_INVITATION: list[Given] = [
    {"invitation_type": "connect", "person_url": "https://www.linkedin.com/in/ada"},
    {
        "invitation_type": "companyFollow",
        "company_url": "https://www.linkedin.com/company/acme",
    },
    {
        "invitation_type": "newsletterSubscribe",
        "newsletter_url": "https://www.linkedin.com/newsletters/news-67123456789",
    },
]

# Where not all parameters go together: each row is set instead of the whole.
INSTEAD: dict[str, list[Given]] = {
    "acceptInvitation": KINDS_OF_INVITATION,
    "ignoreInvitation": KINDS_OF_INVITATION,
}

# Where parameters exclude each other: each set is left out once.
APART: dict[str, list[set[str]]] = {"searchJobs": [{"filter"}, {"preferences"}]}

# What not all of whose fields go together either.
ROWS: dict[type[BaseModel], list[Given]] = {
    sdk_post.PostMention: [
        {"key": "a", "name": "Ann"},
        {"key": "b", "name": "Bob", "urn": "n"},
        {
            "key": "c",
            "name": "Cy",
            "person_hashed_url": "https://www.linkedin.com/in/ACoAAB1",
        },
        {
            "key": "d",
            "name": "Dee",
            "company_hashed_url": "https://www.linkedin.com/company/1035",
        },
    ],
}


# Values that the SDK leaves open, and we check.
WORDS = {
    "operation": "archive",
    "since": "2024-01-01T00:00:00Z",
    **SAMPLE_TARGETS,
}


def model_of(operation: Any) -> Any:
    """Return the class of an operation's parameters; None where it takes none."""
    (base,) = type(operation).__orig_bases__
    model, _ = typing.get_args(base)
    return None if model is types.NoneType else model


def filled(annotation: Any, name: str) -> Any:
    """Return a value of that type, with everything set that may be."""
    kinds = [kind for kind in options(annotation) if kind is not types.NoneType]
    kind = kinds[0]
    if typing.get_origin(kind) is list:
        (item,) = typing.get_args(kind)
        return [value for each in options(item) for value in elements(each, name)]
    if typing.get_origin(kind) is Literal:
        return typing.get_args(kind)[0]
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return everything(kind)
    return {str: WORDS.get(name, name), int: 2, bool: True}[kind]


def elements(kind: Any, name: str) -> list[Any]:
    """Return elements for a list of that type."""
    return [*ROWS[kind]] if kind in ROWS else [filled(kind, name)]


def options(annotation: Any) -> tuple[Any, ...]:
    """Return the types that a union allows, or the one there is."""
    united = typing.get_origin(annotation) in {typing.Union, types.UnionType}
    return typing.get_args(annotation) if united else (annotation,)


def everything(model: type[BaseModel]) -> Given:
    """Return values for all fields of a model."""
    return {
        name: filled(field.annotation, name)
        for name, field in model.model_fields.items()
    }


def least(name: str, model: type[BaseModel]) -> Given:
    """Return values for the fields that an operation cannot do without."""
    return NEEDED.get(name, {}) | {
        field: filled(info.annotation, field)
        for field, info in model.model_fields.items()
        if info.is_required()
    }


def intents(name: str) -> Iterator[tuple[str, Given]]:
    """Yield parameters of an operation: the required ones, and all of them."""
    model = model_of(OPERATIONS[name])
    if model is None:
        yield "all", {}
        return
    yield "least", least(name, model)
    for index, row in enumerate(INSTEAD.get(name, [])):
        yield f"all-{index}", row
    if name not in INSTEAD:
        whole = everything(model)
        for index, missing in enumerate(APART.get(name, [set()])):
            given = {field: whole[field] for field in whole if field not in missing}
            yield f"all-{index}", given


CUSTOM = "customWorkflow"
PREDEFINED = [name for name in OPERATIONS if name != CUSTOM]
CASES = [
    pytest.param(name, given, id=f"{name}-{case}")
    for name in PREDEFINED
    for case, given in intents(name)
]


def theirs(name: str, given: Given) -> Any:
    """Return what the SDK sends."""
    model = model_of(OPERATIONS[name])
    mapper = OPERATIONS[name].mapper
    return mapper.map_request(None if model is None else model.model_validate(given))


def understood(name: str, given: Given) -> Given:
    """Return the parameters as the SDK has them, defaults of its own included."""
    model = model_of(OPERATIONS[name])
    if model is None:
        return given
    found: Given = model.model_validate(given).model_dump(exclude_none=True)
    return found


def normalised(node: dict[str, Any]) -> dict[str, Any]:
    """Return a definition with every ``then`` a list, and none where it is empty."""
    then = node.get("then", [])
    nodes = then if isinstance(then, list) else [then]
    made = {key: value for key, value in node.items() if key != "then"}
    return made | ({"then": [normalised(child) for child in nodes]} if nodes else {})


# One complete call of every operation

PERSON = "https://www.linkedin.com/in/person1"
HASHED_PERSON = "https://www.linkedin.com/in/SInQBmjJ015eLr8"
COMPANY = "https://www.linkedin.com/company/company1"
HASHED_COMPANY = "https://www.linkedin.com/company/12345678"
POST = "https://www.linkedin.com/feed/update/urn:li:activity:7461747346638207121"
COMMENT = (
    f"{POST}?dashCommentUrn=urn%3Ali%3Afsd_comment%3A%28"
    "1%2Curn%3Ali%3Aactivity%3A7461747346638207121%29"
)
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
    "endorse_person_skills": {"person_url": PERSON, "skill_name_patterns": [".*"]},
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
    "nv_fetch_person": sdk_types.NvOpenPersonPageParams,
    "retrieve_connections": sdk_types.RetrieveConnectionsParams,
}
"""The classes that are not called as their operations are."""


def params_of(name: str, values: dict[str, Any]) -> Any:
    """Return the parameters of operation *name* as the SDK's own class."""
    words = "".join(word.capitalize() for word in name.split("_"))
    cls = PARAMS.get(name) or getattr(sdk_types, f"{words}Params", None)
    return cls(**values) if cls is not None else None
