"""The official SDK, which shares no code with this library, works with the sandbox."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from linkedapi import LinkedApi, LinkedApiConfig, LinkedApiError, types
from sdk_operations import VOID, YIELDING, params_of

from linkedapi_async.sandbox import Sandbox


if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio


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
